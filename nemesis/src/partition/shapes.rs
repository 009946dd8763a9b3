//! The shapes of partitions, as they stand in a plan, and which directed links each one cuts.
//!
//! The shapes are those of Jepsen's `nemesis.clj` and `nemesis/combined.clj`. One differs: in its ring each
//! node *hears* a majority, which with an even majority is not the same as being heard, and over TCP a link
//! that is cut one way is dead both ways. Ours is symmetric, and so needs four nodes; with three, `bridge` is
//! the same thing.

use std::collections::BTreeSet;

use ordeal_core::End;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::variants::{OneWay, Variant};
use crate::ends::Links;
use crate::whom;

/// Directed links `(from, to)` between nodes.
pub(crate) type Cuts = BTreeSet<(usize, usize)>;

/// A partition as it stands in a plan. Whoever is not named is together on one further side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "shape", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Shape {
    /// Two sides, the first nodes against the last.
    Halves { left: Vec<usize> },
    /// Two sides, drawn.
    RandomHalves { left: Vec<usize> },
    /// Two sides, the named one a drawn minority of two or more.
    Minority { left: Vec<usize> },
    /// Two sides, the named one a drawn majority, as small as one can be.
    Majority { left: Vec<usize> },
    /// Two sides, the named one as many as can be and still less than a third: what a system that bears
    /// liars must bear.
    MinorityThird { left: Vec<usize> },
    /// Any number of sides.
    Sides { sides: Vec<Vec<usize>> },
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

const EXPECTED: &str = r#"expected one of {"shape":"halves","left":[0,1]}, {"shape":"random-halves","left":[3,1]}, {"shape":"minority","left":[1,2]}, {"shape":"majority","left":[0,2,3]}, {"shape":"minority-third","left":[2]}, {"shape":"sides","sides":[[0,1],[2],[3,4]]}, {"shape":"one","node":2}, {"shape":"majority-ring","order":[3,1,0,4,2]}, {"shape":"bridge","node":0,"left":[1,2]}, {"shape":"one-way","from":[0],"to":[1,2]}, {"shape":"primary"}, {"shape":"cut","pairs":[[0,1],[1,0]]}"#;

/// What a shape comes to among so many nodes.
enum Split {
    /// Nodes of different sides do not reach each other; who is on none reaches all.
    Sides(Vec<Vec<usize>>),
    /// Nodes that are more than `reach` steps apart in this circle do not reach each other.
    Ring { order: Vec<usize>, reach: usize },
    /// These links, in one direction; the first side is the one named first.
    OneWay { from: Vec<usize>, to: Vec<usize> },
    /// These links.
    Links(Cuts),
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

    /// The links it cuts between so many nodes, and with clients if the variant says so; at least one.
    /// `primaries` only matters to that shape.
    pub(crate) fn cuts(&self, variant: &Variant, nodes: usize, primaries: &[usize]) -> Result<Links, String> {
        let links = self.split(nodes, primaries).and_then(|split| {
            let node = |(from, to)| (End::Node(from), End::Node(to));
            let mut links: Links = split.cuts(nodes, variant.one_way)?.into_iter().map(node).collect();
            if variant.clients {
                let directions = split.directions(variant.one_way);
                for node in split.weaker()? {
                    links.extend(directions.0.then_some((End::Clients, End::Node(node))));
                    links.extend(directions.1.then_some((End::Node(node), End::Clients)));
                }
            }
            Ok(links)
        });
        let links = links.map_err(|why| format!("{why}; in {}", self.to_args()))?;
        if links.is_empty() {
            return Err(format!("{} cuts nothing among {nodes} nodes", self.to_args()));
        }
        Ok(links)
    }

    fn split(&self, nodes: usize, primaries: &[usize]) -> Result<Split, String> {
        match self {
            Shape::Halves { left }
            | Shape::RandomHalves { left }
            | Shape::Minority { left }
            | Shape::Majority { left }
            | Shape::MinorityThird { left } => sides(vec![left.clone()], nodes),
            Shape::Sides { sides: named } => sides(named.clone(), nodes),
            Shape::One { node } => sides(vec![vec![*node]], nodes),
            Shape::Primary {} => {
                let primaries = whom::checked(primaries, nodes)?;
                sides(primaries.into_iter().map(|primary| vec![primary]).collect(), nodes)
            }
            Shape::MajorityRing { order } => {
                if order.len() != nodes || whom::checked(order, nodes)?.len() != nodes {
                    return Err(format!("the order must name each of the {nodes} nodes once"));
                }
                // A majority is nodes/2 + 1; without the node itself, half of that to each side, rounded up.
                Ok(Split::Ring { order: order.clone(), reach: (nodes / 2).div_ceil(2) })
            }
            Shape::Bridge { node, left } => {
                let mut left = whom::checked(left, nodes)?;
                if left.contains(node) {
                    return Err(format!("the bridge, node {node}, cannot be on a side"));
                }
                whom::checked(&[*node], nodes)?;
                let right = others(&[&left[..], &[*node]].concat(), nodes);
                left.sort_unstable();
                Ok(Split::Sides(vec![left, right]))
            }
            Shape::OneWay { from, to } => {
                let (from, to) = (whom::checked(from, nodes)?, whom::checked(to, nodes)?);
                match from.iter().find(|node| to.contains(node)) {
                    Some(node) => Err(format!("node {node} cannot be on both sides")),
                    None => Ok(Split::OneWay { from, to }),
                }
            }
            Shape::Cut { pairs } => {
                for &(from, to) in pairs {
                    whom::checked(&[from, to], nodes)?;
                    if from == to {
                        return Err(format!("node {from} cannot be cut off from itself"));
                    }
                }
                Ok(Split::Links(pairs.iter().copied().collect()))
            }
        }
    }
}

/// These sides, and one of whoever is left.
fn sides(named: Vec<Vec<usize>>, nodes: usize) -> Result<Split, String> {
    let mut sides = Vec::new();
    let mut taken: Vec<usize> = Vec::new();
    for side in named {
        let side = whom::checked(&side, nodes)?;
        if let Some(node) = side.iter().find(|node| taken.contains(node)) {
            return Err(format!("node {node} cannot be on two sides"));
        }
        taken.extend(&side);
        sides.push(side);
    }
    let rest = others(&taken, nodes);
    if !rest.is_empty() {
        sides.push(rest);
    }
    Ok(Split::Sides(sides))
}

impl Split {
    /// The links between nodes. One way `in`, only those towards the smaller of two sides (of equal ones,
    /// the one named first); in a ring, those that are shorter with the circle's order, and `out` against it.
    fn cuts(&self, nodes: usize, one_way: Option<OneWay>) -> Result<Cuts, String> {
        let wanted = |inward: bool| one_way.is_none_or(|way| (way == OneWay::In) == inward);
        match self {
            Split::Sides(sides) => Ok(pairs(nodes)
                .filter(|(from, to)| {
                    let rank = |node: &usize| {
                        let at = sides.iter().position(|side| side.contains(node))?;
                        Some((sides[at].len(), at))
                    };
                    let (from, to) = (rank(from), rank(to));
                    from.is_some() && to.is_some() && from != to && wanted(to < from)
                })
                .collect()),
            Split::Ring { order, reach } => Ok(pairs(nodes)
                .filter(|(a, b)| {
                    let ahead = (b + nodes - a) % nodes;
                    // Of two that face each other, the way from the first in the order goes with it.
                    let with = 2 * ahead < nodes || 2 * ahead == nodes && a < b;
                    ahead.min(nodes - ahead) > *reach && wanted(with)
                })
                .map(|(a, b)| (order[a], order[b]))
                .collect()),
            Split::OneWay { .. } | Split::Links(_) if one_way.is_some() => {
                Err("`one_way` is for shapes that cut both ways".to_owned())
            }
            Split::OneWay { from, to } => {
                Ok(from.iter().flat_map(|&from| to.iter().map(move |&to| (from, to))).collect())
            }
            Split::Links(links) => Ok(links.clone()),
        }
    }

    /// From whom clients are cut off as well: every side but the largest (of equal ones, the one named last);
    /// of a ring, its first node.
    fn weaker(&self) -> Result<Vec<usize>, String> {
        match self {
            Split::Sides(sides) => {
                let largest = (0..sides.len()).max_by_key(|&at| (sides[at].len(), at));
                let weaker = (0..sides.len()).filter(|&at| Some(at) != largest);
                Ok(weaker.flat_map(|at| sides[at].iter().copied()).collect())
            }
            Split::Ring { order, .. } => Ok(order.iter().copied().take(1).collect()),
            Split::OneWay { from, to } => Ok(if from.len() <= to.len() { from.clone() } else { to.clone() }),
            Split::Links(_) => {
                Err("`clients` is for shapes with sides, and single links have none".to_owned())
            }
        }
    }

    /// Whether what clients send to the weaker side is cut, and what they are sent.
    fn directions(&self, one_way: Option<OneWay>) -> (bool, bool) {
        match (self, one_way) {
            (Split::OneWay { from, to }, _) => (from.len() > to.len(), from.len() <= to.len()),
            (_, Some(way)) => (way == OneWay::In, way == OneWay::Out),
            (_, None) => (true, true),
        }
    }
}

fn pairs(nodes: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..nodes).flat_map(move |from| (0..nodes).filter(move |&to| to != from).map(move |to| (from, to)))
}

/// Everyone else.
pub(crate) fn others(these: &[usize], nodes: usize) -> Vec<usize> {
    (0..nodes).filter(|node| !these.contains(node)).collect()
}

#[cfg(test)]
mod tests {
    use ordeal_core::Rng;
    use serde_json::json;

    use super::*;

    fn cuts(args: &Value, nodes: usize) -> Result<Cuts, String> {
        Ok(between(&all_cuts(args, nodes)?))
    }

    fn all_cuts(args: &Value, nodes: usize) -> Result<Links, String> {
        let (variant, shape) = Variant::split(args)?;
        Shape::parse(&shape)?.cuts(&variant, nodes, &[1])
    }

    /// Those between nodes.
    fn between(links: &Links) -> Cuts {
        let nodes = |link: &(End, End)| match *link {
            (End::Node(from), End::Node(to)) => Some((from, to)),
            _ => None,
        };
        links.iter().filter_map(nodes).collect()
    }

    /// Those with clients: to the nodes, and from them.
    fn of_clients(links: &Links) -> (Vec<usize>, Vec<usize>) {
        let node = |end| if let End::Node(node) = end { Some(node) } else { None };
        let to = links.iter().filter(|link| link.0 == End::Clients).filter_map(|link| node(link.1));
        let from = links.iter().filter(|link| link.1 == End::Clients).filter_map(|link| node(link.0));
        (to.collect(), from.collect())
    }

    /// The nodes with which a node can exchange packets both ways, itself included.
    fn reach(cuts: &Cuts, node: usize, nodes: usize) -> BTreeSet<usize> {
        (0..nodes).filter(|&other| !cuts.contains(&(node, other)) && !cuts.contains(&(other, node))).collect()
    }

    #[test]
    fn halves_do_not_reach_each_other() {
        for shape in ["halves", "random-halves", "minority", "majority", "minority-third"] {
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
        let both = between(&Shape::Primary {}.cuts(&Variant::default(), 4, &[0, 3]).unwrap());
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
            let shape = Shape::MajorityRing { order };
            let cuts = between(&shape.cuts(&Variant::default(), nodes, &[]).unwrap());
            let majorities: BTreeSet<_> = (0..nodes).map(|node| reach(&cuts, node, nodes)).collect();
            assert_eq!(majorities.len(), nodes, "no two alike");
            assert!(majorities.iter().all(|m| 2 * m.len() > nodes), "{nodes} nodes: {majorities:?}");
            assert!(cuts.iter().all(|&(a, b)| cuts.contains(&(b, a))));
        }
        assert!(cuts(&json!({"shape": "majority-ring", "order": [0, 1, 2]}), 3).is_err(), "cuts nothing");
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
            (json!({"shape": "sides", "sides": [[0, 1], [1]]}), "cannot be on two sides"),
            (json!({"shape": "sides", "sides": []}), "cuts nothing"),
            (json!({"shape": "cut", "pairs": [[0, 1]], "one_way": "in"}), "cut both ways"),
            (json!({"shape": "cut", "pairs": [[0, 1]], "clients": true}), "with sides"),
            (json!({"shape": "one", "node": 0, "one_way": "up"}), "one_way"),
            (json!({"shape": "one", "node": 0, "turns": [1]}), "swizzle"),
        ] {
            let error = cuts(&args, 3).unwrap_err();
            assert!(error.contains(why), "{args}: {error}");
        }
    }

    #[test]
    fn any_number_of_sides_and_the_rest_is_one_more() {
        let three = cuts(&json!({"shape": "sides", "sides": [[0, 1], [2], [4, 3]]}), 5).unwrap();
        assert_eq!(three, cuts(&json!({"shape": "sides", "sides": [[0, 1], [2]]}), 5).unwrap());
        for (node, reached) in [(0, vec![0, 1]), (2, vec![2]), (4, vec![3, 4])] {
            assert_eq!(reach(&three, node, 5), reached.into_iter().collect());
        }
    }

    #[test]
    fn one_way_keeps_half_of_each_shape_and_the_other_way_the_other_half() {
        for shape in [
            json!({"shape": "halves", "left": [0, 1]}),
            json!({"shape": "halves", "left": [2, 3, 4]}),
            json!({"shape": "one", "node": 2}),
            json!({"shape": "sides", "sides": [[0, 1], [2], [3, 4]]}),
            json!({"shape": "majority-ring", "order": [3, 1, 0, 4, 2]}),
            json!({"shape": "bridge", "node": 0, "left": [1, 2]}),
            json!({"shape": "primary"}),
        ] {
            let way = |one_way: &str| {
                let mut args = shape.clone();
                args["one_way"] = json!(one_way);
                cuts(&args, 5).unwrap()
            };
            let (inward, outward) = (way("in"), way("out"));
            let back: Cuts = inward.iter().map(|&(from, to)| (to, from)).collect();
            assert_eq!(back, outward, "{shape}");
            assert_eq!(&inward | &outward, cuts(&shape, 5).unwrap());
            assert!(inward.is_disjoint(&outward), "{shape}");
        }
        let inward = cuts(&json!({"shape": "halves", "left": [2, 3, 4], "one_way": "in"}), 5).unwrap();
        assert!(inward.iter().all(|&(_, to)| to < 2), "the right side is the smaller: {inward:?}");
        let tie = cuts(&json!({"shape": "halves", "left": [0, 1], "one_way": "in"}), 4).unwrap();
        assert!(tie.iter().all(|&(_, to)| to < 2), "of equal sides the one named first: {tie:?}");
        let ring = json!({"shape": "majority-ring", "order": [0, 1, 2, 3], "one_way": "in"});
        assert_eq!(cuts(&ring, 4).unwrap(), Cuts::from([(0, 2), (1, 3)]));
    }

    #[test]
    fn clients_lose_the_smaller_sides() {
        for (args, to, from) in [
            (json!({"shape": "halves", "left": [2, 3, 4]}), vec![0, 1], vec![0, 1]),
            (json!({"shape": "one", "node": 2, "one_way": "in"}), vec![2], vec![]),
            (json!({"shape": "one", "node": 2, "one_way": "out"}), vec![], vec![2]),
            (json!({"shape": "sides", "sides": [[0, 1], [2], [3, 4]]}), vec![0, 1, 2], vec![0, 1, 2]),
            (json!({"shape": "majority-ring", "order": [3, 1, 0, 4, 2]}), vec![3], vec![3]),
            (json!({"shape": "one-way", "from": [0], "to": [1, 2]}), vec![], vec![0]),
            (json!({"shape": "one-way", "from": [1, 2], "to": [0]}), vec![0], vec![]),
            (json!({"shape": "primary"}), vec![1], vec![1]),
        ] {
            let mut with = args.clone();
            with["clients"] = json!(true);
            let links = all_cuts(&with, 5).unwrap();
            assert_eq!(of_clients(&links), (to, from), "{args}");
            assert_eq!(between(&links), cuts(&args, 5).unwrap());
        }
    }
}
