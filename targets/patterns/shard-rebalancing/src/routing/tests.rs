use super::*;

fn begun() -> Routing {
    let mut routing = Routing::default();
    let regions = ["r1", "r2", "r3"].map(|region| region.parse().unwrap()).to_vec();
    let nodes = ["d1", "d2"].map(str::to_owned).to_vec();
    assert!(apply(&mut routing, Command::Begin { nodes, regions }));
    routing
}

fn apply(routing: &mut Routing, command: Command) -> bool {
    routing.apply(Position::default(), command)
}

fn key(text: &str) -> Key {
    Key::try_from(text.to_owned()).unwrap()
}

fn moving(routing: &Routing, shard: ShardId, to: &str) -> Command {
    Command::Move { shard, epoch: routing.shards[&shard].epoch, to: to.to_owned() }
}

/// Every customer is in one shard.
fn covered(routing: &Routing) {
    let mut shards: Vec<&Shard> = routing.shards.values().collect();
    shards.sort_by(|a, b| a.range.from.cmp(&b.range.from));
    assert_eq!((&shards[0].range.from, &shards[shards.len() - 1].range.to), (&None, &None));
    assert!(
        shards.windows(2).all(|pair| pair[0].range.to.is_some() && pair[0].range.to == pair[1].range.from)
    );
}

#[test]
fn in_the_beginning_there_is_a_shard_a_region_in_turn() {
    let mut routing = begun();
    covered(&routing);
    let owners: Vec<&str> = routing.shards.values().map(|shard| &*shard.node).collect();
    assert_eq!((routing.epoch, owners), (FIRST_EPOCH, vec!["d1", "d2", "d1"]));
    assert!(
        routing.shards[&2].range.contains(&key("r2/a")) && !routing.shards[&2].range.contains(&key("r1/z"))
    );
    let before = routing.clone();
    assert!(!apply(&mut routing, Command::Begin { nodes: vec!["d9".to_owned()], regions: Vec::new() }));
    assert_eq!(routing, before);
}

#[test]
fn a_split_shows_both_halves_at_a_new_epoch() {
    let mut routing = begun();
    let split = Command::Split { shard: 1, epoch: 1, at: key("r1/c5") };
    assert!(apply(&mut routing, split.clone()));
    assert!(!apply(&mut routing, split), "it is split already");
    covered(&routing);
    let (left, right) = (&routing.shards[&1], &routing.shards[&4]);
    assert_eq!(
        (left.epoch, right.epoch, &left.node, &right.node),
        (2, 2, &"d1".to_owned(), &"d1".to_owned())
    );
    assert!(right.range.contains(&key("r1/c5")));
    assert!(
        !apply(&mut routing, Command::Split { shard: 2, epoch: 1, at: key("r2/x") }),
        "one change at a time"
    );
    assert!(!apply(&mut begun(), Command::Split { shard: 1, epoch: 1, at: key("r2/x") }), "not in it");
}

#[test]
fn a_move_changes_the_owner_once_and_a_step_that_is_over_does_nothing() {
    let mut routing = begun();
    let refused = moving(&routing, 1, "d9");
    assert!(!apply(&mut routing, refused), "no such node");
    let planned = moving(&routing, 1, "d2");
    assert!(apply(&mut routing, planned.clone()) && !apply(&mut routing, planned));
    let mut over = Vec::new();
    while let Some(change) = routing.change.clone() {
        let before = routing.shards[&1].clone();
        assert!(apply(&mut routing, Command::Advance { change: change.clone() }));
        let switched = matches!(change.step, Step::Freezing { .. });
        assert_eq!(switched, routing.shards[&1] != before);
        over.push(change);
    }
    assert_eq!((&*routing.shards[&1].node, routing.shards[&1].epoch, routing.moves), ("d2", 2, 1));
    let after = routing.clone();
    for change in over {
        assert!(!apply(&mut routing, Command::Advance { change: change.clone() }));
        assert!(!apply(&mut routing, Command::Abort { change }));
    }
    assert_eq!(routing, after);
    covered(&routing);
}

#[test]
fn a_move_can_be_given_up_until_the_owner_has_changed() {
    for steps in 0..4 {
        let mut routing = begun();
        let planned = moving(&routing, 1, "d2");
        assert!(apply(&mut routing, planned));
        for _ in 0..steps {
            let change = routing.change.clone().unwrap();
            assert!(apply(&mut routing, Command::Advance { change }));
        }
        let change = routing.change.clone().unwrap();
        assert_eq!(apply(&mut routing, Command::Abort { change }), steps < 2);
        let owner = if steps < 2 { "d1" } else { "d2" };
        assert_eq!((&*routing.shards[&1].node, routing.shards[&1].epoch), (owner, 2));
    }
}

#[test]
fn a_node_joins_once() {
    let mut routing = begun();
    assert!(apply(&mut routing, Command::Join { node: "d3".to_owned() }));
    assert!(!apply(&mut routing, Command::Join { node: "d3".to_owned() }));
    assert_eq!((routing.epoch, routing.nodes.len()), (2, 3));
    let planned = moving(&routing, 1, "d3");
    assert!(apply(&mut routing, planned));
}
