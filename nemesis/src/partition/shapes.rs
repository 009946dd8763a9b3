//! The shapes of partitions, as they stand in a plan, and which directed links each one cuts.
//!
//! The shapes are those of Jepsen's `nemesis.clj`. One differs: in its ring each node *hears* a majority,
//! which with an even majority is not the same as being heard, and over TCP a link that is cut one way is
//! dead both ways. Ours is symmetric, and so needs four nodes; with three, `bridge` is the same thing.

use std::collections::BTreeSet;

use ordeal_core::Rng;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::whom;

/// Directed links `(from, to)` whose packets vanish.
pub(crate) type Cuts = BTreeSet<(usize, usize)>;

/// A partition as it stands in a plan. The right side is always everyone who is not named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "shape", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Shape {
    /// Two sides, the first nodes against the last.
    Halves { left: Vec<usize> },
    /// Two sides, drawn.
    RandomHalves { left: Vec<usize> },
    /// One node alone.
    One { node: usize },
    /// In this circle, each node reaches only its nearest neighbours on both sides: as few as make a
    /// majority with itself. No two nodes reach the same ones.
    MajorityRing { order: Vec<usize> },
    /// Two sides that only one node reaches.
    Bridge { node: usize, left: Vec<usize> },
    /// Packets from one side to the other vanish, those back arrive.
    OneWay { from: Vec<usize>, to: Vec<usize> },
    /// Each node that holds itself to be primary when it is injected, alone.
    Primary {},
    /// Exactly these links.
    Cut { pairs: Vec<(usize, usize)> },
}

const EXPECTED: &str = r#"expected one of {"shape":"halves","left":[0,1]}, {"shape":"random-halves","left":[3,1]}, {"shape":"one","node":2}, {"shape":"majority-ring","order":[3,1,0,4,2]}, {"shape":"bridge","node":0,"left":[1,2]}, {"shape":"one-way","from":[0],"to":[1,2]}, {"shape":"primary"}, {"shape":"cut","pairs":[[0,1],[1,0]]}"#;

/// All directed links between so many nodes.
pub(crate) fn pairs(nodes: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..nodes).flat_map(move |from| (0..nodes).filter(move |&to| to != from).map(move |to| (from, to)))
}

/// Draws a shape that a cluster of this size (two or more) can have. Those that leave a minority on its
/// own, or take the primary away, come more often: a node that goes on alone is where promises break.
pub(crate) fn draw(rng: &mut Rng, nodes: usize, has_primary: bool) -> Shape {
    type Draw = fn(&mut Rng, usize) -> Shape;
    let mut shapes: Vec<(usize, Draw)> = vec![
        (1, |_, nodes| Shape::Halves { left: (0..nodes / 2).collect() }),
        (3, |rng, nodes| Shape::RandomHalves { left: whom::some(rng, nodes, nodes / 2) }),
        (3, |rng, nodes| Shape::One { node: rng.below(nodes as u64) as usize }),
        (2, draw_one_way),
    ];
    if nodes >= 3 {
        shapes.push((1, draw_bridge));
    }
    if nodes >= 4 {
        shapes.push((1, |rng, nodes| {
            let mut order: Vec<usize> = (0..nodes).collect();
            rng.shuffle(&mut order);
            Shape::MajorityRing { order }
        }));
    }
    if has_primary {
        shapes.push((3, |_, _| Shape::Primary {}));
    }
    let lots: Vec<Draw> =
        shapes.iter().flat_map(|&(weight, draw)| std::iter::repeat_n(draw, weight)).collect();
    let draw = *rng.pick(&lots);
    draw(rng, nodes)
}

/// One node or half of them against the others, muted or deafened.
fn draw_one_way(rng: &mut Rng, nodes: usize) -> Shape {
    let count = *rng.pick(&[1, nodes / 2]);
    let some = whom::some(rng, nodes, count);
    let others = others(&some, nodes);
    if rng.chance(0.5) {
        Shape::OneWay { from: some, to: others }
    } else {
        Shape::OneWay { from: others, to: some }
    }
}

fn draw_bridge(rng: &mut Rng, nodes: usize) -> Shape {
    let node = rng.below(nodes as u64) as usize;
    let mut left = others(&[node], nodes);
    rng.shuffle(&mut left);
    left.truncate((nodes - 1) / 2);
    left.sort_unstable();
    Shape::Bridge { node, left }
}

impl Shape {
    /// Reads a shape that may have been written by hand.
    pub(crate) fn parse(args: &Value) -> Result<Self, String> {
        Shape::deserialize(args).map_err(|e| format!("{e}; {EXPECTED}; found {args}"))
    }

    /// What [`Shape::parse`] reads.
    pub(crate) fn to_args(&self) -> Value {
        // Numbers, lists of them and a word: nothing in a shape can fail to be JSON.
        serde_json::to_value(self).unwrap_or_default()
    }

    /// The links it cuts between so many nodes; at least one. `primaries` only matters to that shape.
    pub(crate) fn cuts(&self, nodes: usize, primaries: &[usize]) -> Result<Cuts, String> {
        let cuts = self.resolve(nodes, primaries).map_err(|why| format!("{why}; in {}", self.to_args()))?;
        if cuts.is_empty() {
            return Err(format!("{} cuts nothing among {nodes} nodes", self.to_args()));
        }
        Ok(cuts)
    }

    fn resolve(&self, nodes: usize, primaries: &[usize]) -> Result<Cuts, String> {
        match self {
            Shape::Halves { left } | Shape::RandomHalves { left } => {
                let left = whom::checked(left, nodes)?;
                Ok(both_ways(&left, &others(&left, nodes)))
            }
            Shape::One { node } => alone(&[*node], nodes),
            Shape::Primary {} => alone(primaries, nodes),
            Shape::MajorityRing { order } => ring(order, nodes),
            Shape::Bridge { node, left } => {
                let left = whom::checked(left, nodes)?;
                if left.contains(node) {
                    return Err(format!("the bridge, node {node}, cannot be on a side"));
                }
                let mut not_right = left.clone();
                not_right.extend(whom::checked(&[*node], nodes)?);
                Ok(both_ways(&left, &others(&not_right, nodes)))
            }
            Shape::OneWay { from, to } => {
                let (from, to) = (whom::checked(from, nodes)?, whom::checked(to, nodes)?);
                match from.iter().find(|node| to.contains(node)) {
                    Some(node) => Err(format!("node {node} cannot be on both sides")),
                    None => Ok(one_way(&from, &to)),
                }
            }
            Shape::Cut { pairs } => {
                for &(from, to) in pairs {
                    whom::checked(&[from, to], nodes)?;
                    if from == to {
                        return Err(format!("node {from} cannot be cut off from itself"));
                    }
                }
                Ok(pairs.iter().copied().collect())
            }
        }
    }
}

/// Each of these against all others.
fn alone(these: &[usize], nodes: usize) -> Result<Cuts, String> {
    let these = whom::checked(these, nodes)?;
    Ok(pairs(nodes).filter(|(from, to)| these.contains(from) || these.contains(to)).collect())
}

fn ring(order: &[usize], nodes: usize) -> Result<Cuts, String> {
    if order.len() != nodes || whom::checked(order, nodes)?.len() != nodes {
        return Err(format!("the order must name each of the {nodes} nodes once"));
    }
    // A majority is nodes/2 + 1; without the node itself, half of that to each side, rounded up.
    let reach = (nodes / 2).div_ceil(2);
    Ok(pairs(nodes)
        .filter(|(a, b)| {
            let steps = a.abs_diff(*b);
            steps.min(nodes - steps) > reach
        })
        .map(|(a, b)| (order[a], order[b]))
        .collect())
}

fn others(these: &[usize], nodes: usize) -> Vec<usize> {
    (0..nodes).filter(|node| !these.contains(node)).collect()
}

fn one_way(from: &[usize], to: &[usize]) -> Cuts {
    from.iter().flat_map(|&from| to.iter().map(move |&to| (from, to))).collect()
}

fn both_ways(left: &[usize], right: &[usize]) -> Cuts {
    let mut cuts = one_way(left, right);
    cuts.extend(one_way(right, left));
    cuts
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cuts(args: &Value, nodes: usize) -> Result<Cuts, String> {
        Shape::parse(args)?.cuts(nodes, &[1])
    }

    /// The nodes with which a node can exchange packets both ways, itself included.
    fn reach(cuts: &Cuts, node: usize, nodes: usize) -> BTreeSet<usize> {
        (0..nodes).filter(|&other| !cuts.contains(&(node, other)) && !cuts.contains(&(other, node))).collect()
    }

    #[test]
    fn halves_do_not_reach_each_other() {
        for shape in ["halves", "random-halves"] {
            let cuts = cuts(&json!({"shape": shape, "left": [1, 0]}), 5).unwrap();
            assert_eq!(cuts.len(), 2 * 2 * 3);
            assert_eq!(reach(&cuts, 0, 5), BTreeSet::from([0, 1]));
            assert_eq!(reach(&cuts, 4, 5), BTreeSet::from([2, 3, 4]));
        }
    }

    #[test]
    fn one_node_is_alone_and_so_is_the_primary() {
        let one = cuts(&json!({"shape": "one", "node": 1}), 3).unwrap();
        assert_eq!(one, Cuts::from([(0, 1), (1, 0), (1, 2), (2, 1)]));
        assert_eq!(cuts(&json!({"shape": "primary"}), 3).unwrap(), one);
        let both = Shape::Primary {}.cuts(4, &[0, 3]).unwrap();
        assert_eq!(
            reach(&both, 0, 4),
            BTreeSet::from([0]),
            "two that both lead are cut off from each other too"
        );
        assert_eq!(reach(&both, 1, 4), BTreeSet::from([1, 2]));
    }

    #[test]
    fn in_the_ring_each_reaches_another_majority() {
        for nodes in 4..=11 {
            let order = whom::some(&mut Rng::new(nodes as u64), nodes, nodes);
            let cuts = Shape::MajorityRing { order }.cuts(nodes, &[]).unwrap();
            let majorities: BTreeSet<_> = (0..nodes).map(|node| reach(&cuts, node, nodes)).collect();
            assert_eq!(majorities.len(), nodes, "no two alike");
            assert!(majorities.iter().all(|m| 2 * m.len() > nodes), "{nodes} nodes: {majorities:?}");
            assert!(cuts.iter().all(|&(a, b)| cuts.contains(&(b, a))));
        }
        assert!(Shape::MajorityRing { order: vec![0, 1, 2] }.cuts(3, &[]).is_err(), "cuts nothing");
    }

    #[test]
    fn the_bridge_reaches_all_and_the_sides_only_it() {
        let cuts = cuts(&json!({"shape": "bridge", "node": 0, "left": [1, 2]}), 5).unwrap();
        assert_eq!(reach(&cuts, 0, 5).len(), 5);
        assert_eq!(reach(&cuts, 1, 5), BTreeSet::from([0, 1, 2]));
        assert_eq!(reach(&cuts, 4, 5), BTreeSet::from([0, 3, 4]));
    }

    #[test]
    fn one_way_is_directed() {
        let cuts = cuts(&json!({"shape": "one-way", "from": [0], "to": [2, 1]}), 3).unwrap();
        assert_eq!(cuts, Cuts::from([(0, 1), (0, 2)]));
    }

    #[test]
    fn literal_links_are_cut_as_they_stand() {
        let cuts = cuts(&json!({"shape": "cut", "pairs": [[0, 1], [2, 0]]}), 3).unwrap();
        assert_eq!(cuts, Cuts::from([(0, 1), (2, 0)]));
    }

    #[test]
    fn what_is_wrong_in_a_plan_is_said() {
        for (args, why) in [
            (json!({"shape": "triangle"}), "triangle"),
            (json!({"shape": "one"}), "node"),
            (json!({"shape": "one", "node": 0, "nodes": [1]}), "unknown field"),
            (json!({"left": [0]}), "shape"),
            (json!("halves"), "expected one of"),
            (json!({"shape": "one", "node": 3}), "there is no node 3"),
            (json!({"shape": "halves", "left": []}), "no node is named"),
            (json!({"shape": "halves", "left": [0, 1, 2]}), "cuts nothing"),
            (json!({"shape": "cut", "pairs": [[1, 1]]}), "itself"),
            (json!({"shape": "cut", "pairs": []}), "cuts nothing"),
            (json!({"shape": "bridge", "node": 0, "left": [0]}), "cannot be on a side"),
            (json!({"shape": "one-way", "from": [0], "to": [0, 1]}), "both sides"),
            (json!({"shape": "majority-ring", "order": [0, 1, 1]}), "each of the 3 nodes once"),
        ] {
            let error = cuts(&args, 3).unwrap_err();
            assert!(error.contains(why), "{args}: {error}");
        }
    }

    #[test]
    fn all_that_fit_are_drawn_and_all_drawn_can_be_read_and_injected() {
        for nodes in 2..=7 {
            let mut drawn = BTreeSet::new();
            for seed in 0..300 {
                let shape = draw(&mut Rng::new(seed), nodes, nodes > 4);
                let args = shape.to_args();
                assert_eq!(Shape::parse(&args).unwrap(), shape);
                assert!(!shape.cuts(nodes, &[0]).unwrap().is_empty());
                drawn.insert(args["shape"].as_str().unwrap().to_owned());
            }
            let expected = 4 + usize::from(nodes >= 3) + usize::from(nodes >= 4) + usize::from(nodes > 4);
            assert_eq!(drawn.len(), expected, "{nodes} nodes: {drawn:?}");
        }
    }
}
