//! Partitions drawn, and partitions as people write them.

use ordeal_core::{Rng, Words};

use super::shapes::{Shape, others};
use super::variants::{OneWay, Style, Variant};
use crate::{link, whom};

/// What [`read`] reads.
pub(crate) const EXPECTED: &str = "a shape: halves, random-halves, one, minority, majority, minority-third, ring, bridge, primary, sides (n1+n2 | n3, the rest together), or links (n1>n2, n1-n2); then one-way, one-way=in or one-way=out (towards or from the smaller side), reject, clients, swizzle or flap";

/// Draws a shape that a cluster of this size (two or more) can have. Those that leave a minority on its
/// own, or take the primary away, come more often: a node that goes on alone is where promises break.
pub(crate) fn draw_shape(rng: &mut Rng, nodes: usize, has_primary: bool) -> Shape {
    let mut shapes = vec![(1, "halves"), (3, "random-halves"), (3, "one"), (2, "one-way")];
    if has_primary {
        shapes.push((3, "primary"));
    }
    let more =
        [(1, "bridge", 3), (1, "ring", 4), (2, "minority", 5), (1, "minority-third", 7), (1, "sides", 3)];
    shapes
        .extend(more.iter().filter(|(_, _, least)| nodes >= *least).map(|&(weight, name, _)| (weight, name)));
    if nodes.is_multiple_of(2) && nodes > 2 {
        // Of an odd number it would be the same as halves.
        shapes.push((1, "majority"));
    }
    let lots: Vec<&str> =
        shapes.iter().flat_map(|&(weight, name)| std::iter::repeat_n(name, weight)).collect();
    let name = *rng.pick(&lots);
    // Every name above is one of a shape.
    named(name, rng, nodes).unwrap_or(Shape::One { node: 0 })
}

/// Draws whom a shape of this name hits.
fn named(name: &str, rng: &mut Rng, nodes: usize) -> Option<Shape> {
    let majority = nodes / 2 + 1;
    Some(match name {
        "halves" => Shape::Halves { left: (0..nodes / 2).collect() },
        "random-halves" => Shape::RandomHalves { left: whom::some(rng, nodes, nodes / 2) },
        "one" => Shape::One { node: rng.below(nodes as u64) as usize },
        "minority" => {
            let most = (nodes - majority).max(1);
            let count = rng.between(2.min(most as u64), most as u64) as usize;
            Shape::Minority { left: whom::some(rng, nodes, count) }
        }
        "majority" => Shape::Majority { left: whom::some(rng, nodes, majority) },
        "minority-third" => Shape::MinorityThird { left: whom::some(rng, nodes, (nodes - 1) / 3) },
        "ring" | "majority-ring" | "majorities-ring" => {
            let mut order: Vec<usize> = (0..nodes).collect();
            rng.shuffle(&mut order);
            Shape::MajorityRing { order }
        }
        "bridge" => {
            let node = rng.below(nodes as u64) as usize;
            let mut left = others(&[node], nodes);
            rng.shuffle(&mut left);
            left.truncate((nodes - 1) / 2);
            left.sort_unstable();
            Shape::Bridge { node, left }
        }
        "sides" => {
            // Three at least: two have names of their own.
            let mut order: Vec<usize> = (0..nodes).collect();
            rng.shuffle(&mut order);
            let first = rng.between(1, (nodes as u64 - 1) / 2) as usize;
            let second = rng.between(1, (nodes as u64 - 1) / 2) as usize;
            let mut sides = vec![order[..first].to_vec(), order[first..first + second].to_vec()];
            sides.iter_mut().for_each(|side| side.sort_unstable());
            Shape::Sides { sides }
        }
        "one-way" => draw_one_way(rng, nodes),
        "primary" | "primaries" => Shape::Primary {},
        _ => return None,
    })
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

/// Draws what is said about a shape in addition: mostly nothing. `rules`: iptables can be used, without
/// which nothing is rejected, and clients can only be cut off by a switch.
pub(crate) fn draw_variant(rng: &mut Rng, shape: &Shape, nodes: usize, rules: bool) -> Variant {
    let directed = matches!(shape, Shape::OneWay { .. } | Shape::Cut { .. });
    let one_way = *rng.pick(&[OneWay::In, OneWay::Out]);
    let one_way = (rng.chance(0.2) && !directed).then_some(one_way);
    let (reject, clients) = (rng.chance(0.2) && rules, rng.chance(0.2) && rules);
    let style = match rng.below(10) {
        0 => Some(Style::Swizzle),
        1 => Some(Style::Flap),
        _ => None,
    };
    with_orders(rng, nodes, Variant { one_way, reject, clients, style, ..Variant::default() })
}

/// Draws the orders of a swizzle.
fn with_orders(rng: &mut Rng, nodes: usize, variant: Variant) -> Variant {
    if variant.style != Some(Style::Swizzle) {
        return variant;
    }
    let mut order = || {
        let mut order: Vec<usize> = (0..nodes).collect();
        rng.shuffle(&mut order);
        order
    };
    Variant { turns: order(), back: order(), ..variant }
}

/// Takes the words that say a shape, and what is said in addition. Of a shape that is written, nothing is
/// added that is not written as well.
pub(crate) fn read(
    words: &mut Words,
    rng: &mut Rng,
    nodes: usize,
    has_primary: bool,
) -> Result<(Shape, Variant), String> {
    let one_way = match (words.flag("one-way"), words.value("one-way", "in or out", one_way)?) {
        (true, None) => Some(*rng.pick(&[OneWay::In, OneWay::Out])),
        (_, way) => way,
    };
    let (reject, clients) = (words.flag("reject"), words.flag("clients"));
    let style = match (words.flag("swizzle"), words.flag("flap")) {
        (true, true) => return Err("a partition either swizzles or flaps".to_owned()),
        (true, false) => Some(Style::Swizzle),
        (false, true) => Some(Style::Flap),
        (false, false) => None,
    };
    let written = read_shape(words, rng, nodes, has_primary)?;
    let shape = written.unwrap_or_else(|| {
        loop {
            let shape = draw_shape(rng, nodes, has_primary);
            // Such a shape is directed already.
            if one_way.is_none() || !matches!(shape, Shape::OneWay { .. }) {
                break shape;
            }
        }
    });
    let variant = Variant { one_way, reject, clients, style, ..Variant::default() };
    Ok((shape, with_orders(rng, nodes, variant)))
}

fn one_way(text: &str) -> Option<OneWay> {
    serde_json::from_value(text.into()).ok()
}

fn read_shape(
    words: &mut Words,
    rng: &mut Rng,
    nodes: usize,
    has_primary: bool,
) -> Result<Option<Shape>, String> {
    let pairs = link::which::read_pairs(words, nodes)?;
    if !pairs.is_empty() {
        return Ok(Some(Shape::Cut { pairs }));
    }
    if let Some(sides) = words.take(read_sides) {
        let index = |node: usize| node.checked_sub(1).filter(|node| *node < nodes);
        let checked =
            |node| index(node).ok_or_else(|| format!("there is no n{node}: the nodes are n1 to n{nodes}"));
        let side = |side: Vec<usize>| side.into_iter().map(checked).collect::<Result<Vec<_>, _>>();
        let sides = sides.into_iter().map(side).collect::<Result<Vec<_>, _>>()?;
        return Ok(Some(match sides.as_slice() {
            [side] if side.len() == 1 => Shape::One { node: side[0] },
            _ => Shape::Sides { sides },
        }));
    }
    let shape = words.take(|word| named(word, rng, nodes).filter(|_| word != "sides"));
    match shape {
        Some(Shape::Primary {}) if !has_primary => {
            Err("the target cannot say which node is primary".to_owned())
        }
        Some(Shape::MinorityThird { left }) if left.is_empty() => {
            Err(format!("no node is less than a third of {nodes}; ask for more with --nodes"))
        }
        shape => Ok(shape),
    }
}

/// Reads `n1 n2 | n3` or `n1+n2`: sides of nodes by number, from 1.
fn read_sides(word: &str) -> Option<Vec<Vec<usize>>> {
    let node = |name: &str| name.strip_prefix('n')?.parse().ok();
    let side = |side: &str| {
        let names = side.split(['+', ' ']).filter(|name| !name.is_empty());
        names.map(node).collect::<Option<Vec<usize>>>().filter(|nodes| !nodes.is_empty())
    };
    word.split('|').map(side).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    #[test]
    fn all_that_fit_are_drawn_and_all_drawn_can_be_read_and_injected() {
        for nodes in 2..=8 {
            let mut drawn = BTreeSet::new();
            let mut variants = BTreeSet::new();
            for seed in 0..600 {
                let rng = &mut Rng::new(seed);
                let shape = draw_shape(rng, nodes, nodes > 4);
                let variant = draw_variant(rng, &shape, nodes, nodes > 3);
                let args = variant.join(shape.to_args());
                let (read, rest) = Variant::split(&args).unwrap();
                assert_eq!((Shape::parse(&rest).unwrap(), &read), (shape.clone(), &variant));
                assert!(!shape.cuts(&variant, nodes, &[0]).unwrap().is_empty());
                drawn.insert(args["shape"].as_str().unwrap().to_owned());
                let given = args.as_object().unwrap().keys().filter(|k| {
                    serde_json::to_value(Variant {
                        one_way: Some(OneWay::In),
                        reject: true,
                        clients: true,
                        style: Some(Style::Flap),
                        ..Variant::default()
                    })
                    .unwrap()
                    .get(k)
                    .is_some()
                });
                variants.extend(given.cloned());
            }
            let sized = [3, 4, 5, 7, 3].iter().filter(|least| nodes >= **least).count();
            let even = usize::from(nodes > 2 && nodes.is_multiple_of(2));
            assert_eq!(drawn.len(), 4 + sized + even + usize::from(nodes > 4), "{nodes} nodes: {drawn:?}");
            assert_eq!(variants.len(), if nodes > 3 { 4 } else { 2 }, "{nodes} nodes: {variants:?}");
        }
    }

    #[test]
    fn what_people_write_is_what_is_cut() {
        let read = |text: &str| {
            let mut words = Words::parse(text);
            let (shape, variant) = read(&mut words, &mut Rng::new(1), 5, true)?;
            words.finish(EXPECTED)?;
            Ok::<_, String>(variant.join(shape.to_args()))
        };
        for (text, args) in [
            ("primary", json!({"shape": "primary"})),
            ("primary, one-way=in", json!({"shape": "primary", "one_way": "in"})),
            ("halves, reject", json!({"shape": "halves", "left": [0, 1], "reject": true})),
            ("n1 n2 | n3, clients", json!({"shape": "sides", "sides": [[0, 1], [2]], "clients": true})),
            ("n1+n2|n3+n4", json!({"shape": "sides", "sides": [[0, 1], [2, 3]]})),
            ("n3, flap", json!({"shape": "one", "node": 2, "style": "flap"})),
            ("n1>n2, n3-n4", json!({"shape": "cut", "pairs": [[0, 1], [2, 3], [3, 2]]})),
        ] {
            assert_eq!(read(text), Ok(args), "{text}");
        }
        for (text, shape, size) in [
            ("minority", "minority", 2),
            ("majority", "majority", 3),
            ("minority-third", "minority-third", 1),
        ] {
            let args = read(text).unwrap();
            assert_eq!((&args["shape"], args["left"].as_array().unwrap().len()), (&json!(shape), size));
        }
        let ring = read("ring, swizzle").unwrap();
        assert_eq!((&ring["shape"], &ring["style"]), (&json!("majority-ring"), &json!("swizzle")));
        assert_eq!(ring["turns"].as_array().unwrap().len(), 5);
        assert!(["in", "out"].contains(&read("one-way").unwrap()["one_way"].as_str().unwrap()));
        for bad in ["circle", "n6", "n0", "n1|", "halves, ring", "one-way=up", "swizzle, flap", "n1>n9"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        let error = read("circle").unwrap_err();
        assert!(error.contains("minority-third") && error.contains("one-way=in"), "{error}");
        let primary = super::read(&mut Words::parse("primary"), &mut Rng::new(1), 5, false);
        assert!(primary.unwrap_err().contains("cannot say"));
    }
}
