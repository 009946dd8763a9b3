use std::collections::BTreeSet;

use ordeal_raft::{Machine, Position};

use super::*;

const CAPACITY: f64 = 150.0;

fn begun(nodes: &[&str]) -> Routing {
    let mut routing = Routing::default();
    let nodes = nodes.iter().map(|node| (*node).to_owned()).collect();
    let regions = ["r1", "r2", "r3", "r4"].map(|region| region.parse().unwrap()).to_vec();
    assert!(routing.apply(Position::default(), Command::Begin { nodes, regions }));
    routing
}

/// Customers of the hot region, and few others, each with what it is asked for.
fn customers() -> Vec<(Key, f64)> {
    let rate = |n: u64| if n < 40 { 130.0 / 40.0 } else { 70.0 / 30.0 };
    let region = |n: u64| if n < 40 { 1 } else { 2 + n % 3 };
    let mut all: Vec<_> =
        (0..70).map(|n| (Key::try_from(format!("r{}/c{n:02}", region(n))).unwrap(), rate(n))).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

fn loads(routing: &Routing, customers: &[(Key, f64)]) -> BTreeMap<String, Vec<(Key, f64)>> {
    let owner = |key: &Key| &routing.shards.values().find(|shard| shard.range.contains(key)).unwrap().node;
    let of = |node: &String| customers.iter().filter(|(key, _)| owner(key) == node).cloned().collect();
    routing.nodes.iter().map(|node| (node.clone(), of(node))).collect()
}

/// Does what is planned until nothing is, and says how many changes that took, and the most loaded node's load by the mean.
fn settle(routing: &mut Routing, customers: &[(Key, f64)]) -> (usize, f64) {
    for changes in 0..30 {
        let now = loads(routing, customers);
        let borrowed: Loads<'_> = now.iter().map(|(node, load)| (node.as_str(), &**load)).collect();
        let Some(command) = plan(routing, &borrowed, CAPACITY) else {
            let totals: Vec<f64> = now.values().map(|load| total(load)).collect();
            let mean = totals.iter().sum::<f64>() / totals.len() as f64;
            return (changes, totals.into_iter().fold(0.0, f64::max) / mean);
        };
        assert!(routing.apply(Position::default(), command));
        while let Some(change) = routing.change.clone() {
            assert!(routing.apply(Position::default(), Command::Advance { change }));
        }
    }
    panic!("it never comes to rest");
}

#[test]
fn a_skewed_load_becomes_even_and_stays_so_and_a_node_that_joins_gets_its_share() {
    let mut routing = begun(&["d1", "d2"]);
    let customers = customers();
    let (changes, ratio) = settle(&mut routing, &customers);
    assert!((1..=6).contains(&changes) && ratio <= UNEVEN, "{changes} changes, {ratio}");
    for (count, node) in (3..).zip(["d3", "d4"]) {
        assert!(routing.apply(Position::default(), Command::Join { node: node.to_owned() }));
        let (changes, ratio) = settle(&mut routing, &customers);
        assert!((2..=10).contains(&changes) && ratio <= UNEVEN, "{count} nodes: {changes} changes, {ratio}");
        let owners: BTreeSet<&String> = routing.shards.values().map(|shard| &shard.node).collect();
        assert_eq!(owners.len(), count);
    }
}

#[test]
fn nothing_is_done_about_a_trivial_load_or_what_nothing_can_be_done_about() {
    let routing = begun(&["d1", "d2"]);
    let key = |text: &str| Key::try_from(text.to_owned()).unwrap();
    for (load, planned) in [(19.0, false), (200.0, false)] {
        // One customer alone cannot be split; moving it would only change places.
        let hot = vec![(key("r1/a"), load)];
        let loads: Loads<'_> = [("d1", &*hot), ("d2", &[][..])].into_iter().collect();
        assert_eq!(plan(&routing, &loads, CAPACITY).is_some(), planned);
    }
    let even = vec![(key("r1/a"), 148.0)];
    let other = vec![(key("r2/a"), 148.0)];
    let loads: Loads<'_> = [("d1", &*even), ("d2", &*other)].into_iter().collect();
    assert_eq!(plan(&routing, &loads, CAPACITY), None, "both are overloaded");
}

#[test]
fn a_node_that_is_relieved_splits_at_a_customer_that_has_load() {
    let routing = begun(&["d1", "d2"]);
    let customers = customers();
    let now = loads(&routing, &customers);
    let borrowed: Loads<'_> = now.iter().map(|(node, load)| (node.as_str(), &**load)).collect();
    let Some(Command::Split { shard: 1, epoch: 1, at }) = plan(&routing, &borrowed, CAPACITY) else {
        panic!("the hot region is to be split");
    };
    assert!(customers.iter().any(|(key, _)| *key == at));
}
