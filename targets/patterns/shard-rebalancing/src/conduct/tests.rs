//! Splits and moves played by hand: data nodes with what is on their disks, a leader that only knows reports, orders that come
//! late and again, and a crash of everyone after every step.

use std::collections::BTreeSet;

use ordeal_raft::{Machine, Position};

use super::*;
use crate::held::{Mark, Refusal};
use crate::routing::Command;
use crate::steps::{self, Name, STEPS};

const NODES: [&str; 3] = ["d1", "d2", "d3"];
const SOURCE: &str = "d1";
const TARGET: &str = "d2";
const LEADER: &str = "leader";

fn key(n: u64) -> Key {
    Key::try_from(format!("r1/c{n}")).unwrap()
}

/// The customers there are, and the one at whom the shard is split.
const CUSTOMERS: u64 = 6;
const BOUNDARY: u64 = 3;

/// A data node: what survives a crash, and the copies it was told to make, which do not.
#[derive(Default)]
struct Node {
    held: Held,
    /// Each customer with the change that was the newest, and its calls.
    rows: BTreeMap<Key, (u64, Vec<u64>)>,
    copying: BTreeMap<ShardId, String>,
}

/// A deterministic source of chance (splitmix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

struct World {
    routing: Routing,
    nodes: BTreeMap<String, Node>,
    reports: Reports,
    /// Reports that are on their way; what they say may be over when they come.
    held_back: Reports,
    /// Orders that were given once, and may come again.
    late: Vec<(String, Order)>,
    acknowledged: BTreeMap<Key, Vec<u64>>,
    calls: u64,
    done: Vec<Name>,
    bug: Option<Bug>,
}

impl World {
    /// All customers are in one shard at the source, with a call each.
    fn new(bug: Option<Bug>) -> Self {
        let nodes = NODES.map(|name| (name.to_owned(), Node::default()));
        let mut world = World {
            routing: Routing::default(),
            nodes: nodes.into(),
            reports: Reports::default(),
            held_back: Reports::default(),
            late: Vec::new(),
            acknowledged: BTreeMap::new(),
            calls: 0,
            done: Vec::new(),
            bug,
        };
        let nodes = NODES.map(str::to_owned).to_vec();
        assert!(world.propose(Command::Begin { nodes, regions: vec!["r1".parse().unwrap()] }));
        world.finish();
        (0..CUSTOMERS).for_each(|n| world.write(n));
        world
    }

    fn propose(&mut self, command: Command) -> bool {
        self.routing.apply(Position::default(), command)
    }

    /// A client records a call with whoever serves the customer; nobody may, then it goes without.
    fn write(&mut self, n: u64) {
        let (key, bug) = (key(n), self.bug);
        let serves = |node: &&mut Node| node.held.serving(&key, None, bug).is_ok();
        let mut serving: Vec<&mut Node> = self.nodes.values_mut().filter(serves).collect();
        assert!(serving.len() <= 1, "{key} has two owners");
        let Some(node) = serving.first_mut() else { return };
        let shard = node.held.serving(&key, None, bug).unwrap().0;
        let record = node.held.records.get_mut(&shard).unwrap();
        record.seq += 1;
        self.calls += 1;
        let row = node.rows.entry(key.clone()).or_default();
        row.0 = record.seq;
        row.1.push(self.calls);
        self.acknowledged.entry(key).or_default().push(self.calls);
    }

    fn note(&mut self, step: Name) {
        self.done.push(step);
    }

    fn deliver(&mut self, name: &str, order: &Order) {
        let node = self.nodes.get_mut(name).unwrap();
        let obeyed = node.held.obey(order);
        if let Some(range) = &obeyed.delete {
            node.rows.retain(|key, _| !range.contains(key));
        }
        if let Order::Copy { shard, source, .. } = order {
            node.copying.insert(*shard, source.clone());
        }
        if let Some((step, _)) = obeyed.step {
            self.note(step);
        }
    }

    /// A node makes a round of the copies it was told to make. `half`: it crashes before it has noted how far it came.
    fn round(&mut self, name: &str, half: bool) {
        let copies: Vec<(ShardId, String)> = self.nodes[name].copying.clone().into_iter().collect();
        for (shard, source) in copies {
            let Some(copy) = self.nodes[name].held.records.get(&shard).cloned() else { continue };
            let State::Incoming { whole: false, .. } = copy.state else { continue };
            let from = &self.nodes[&source];
            let Some((record, frozen)) = from.held.source(shard, copy.epoch) else { continue };
            let seq = record.seq;
            let news = from.rows.iter().filter(|(key, row)| copy.range.contains(key) && row.0 > copy.seq);
            let news: Vec<_> = news.map(|(key, row)| (key.clone(), row.clone())).collect();
            let behind = news.len() as u64;
            let node = self.nodes.get_mut(name).unwrap();
            node.rows.extend(news);
            if half {
                continue;
            }
            assert!(node.held.copied(shard, copy.epoch, behind, Some(Mark { seq, behind, whole: frozen })));
            if copy.seq == 0 {
                self.note(steps::SNAPSHOT_READ);
                self.note(steps::COPIED);
            }
            if frozen {
                self.note(steps::REST_READ);
                self.note(steps::REST_COPIED);
            }
        }
    }

    fn report_of(&self, name: &str) -> Report {
        Report { held: self.nodes[name].held.clone(), ..Report::default() }
    }

    /// A report comes: the one that is on its way, if there is one.
    fn report(&mut self, name: &str) {
        let report = self.held_back.remove(name).unwrap_or_else(|| self.report_of(name));
        self.reports.insert(name.to_owned(), report);
    }

    /// A report is made, and comes later.
    fn hold_back(&mut self, name: &str) {
        let report = self.report_of(name);
        self.held_back.entry(name.to_owned()).or_insert(report);
    }

    /// The leader moves the change on, if that can be; else answers with what is to be told.
    fn conduct(&mut self) -> Vec<(String, Order)> {
        if let Some(change) = self.routing.change.clone()
            && is_done(&self.routing, &change, &self.reports)
        {
            let step = steps::advanced(&change);
            assert!(self.propose(Command::Advance { change }));
            self.note(step);
            return Vec::new();
        }
        orders(&self.routing, &self.reports, self.bug)
    }

    fn abort(&mut self) {
        if let Some(change) = self.routing.change.clone()
            && self.propose(Command::Abort { change })
        {
            self.note(steps::ABORT_DECIDED);
        }
    }

    /// What does not survive is gone.
    fn crash(&mut self, who: &str) {
        match self.nodes.get_mut(who) {
            Some(node) => node.copying.clear(),
            None => {
                self.reports.clear();
                self.held_back.clear();
            }
        }
    }

    /// Everybody does everything, in turn.
    fn turn(&mut self) {
        for name in NODES {
            self.report(name);
        }
        for (name, order) in self.conduct() {
            self.deliver(&name, &order);
            self.late.push((name, order));
        }
        for name in NODES {
            self.round(name, false);
        }
    }

    /// Until nothing is left to be done.
    fn finish(&mut self) {
        for _ in 0..40 {
            self.turn();
            if at_rest(&self.routing, &self.reports) {
                return;
            }
        }
        panic!("it did not come to rest: {:?}", self.routing.change);
    }

    /// Every customer is served by one node, the one of the routing, with every call.
    fn check(&self) {
        assert!(at_rest(&self.routing, &self.reports));
        for (key, calls) in &self.acknowledged {
            let owner = self.routing.shards.values().find(|shard| shard.range.contains(key)).unwrap();
            for (name, node) in &self.nodes {
                match node.held.serving(key, Some(owner.epoch), self.bug) {
                    Ok((shard, _)) => assert_eq!((name, shard), (&owner.node, owner.shard)),
                    Err(refusal) => assert_eq!(refusal, Refusal::Elsewhere),
                }
                let row = node.rows.get(key).map(|row| &row.1);
                assert_eq!(row, (*name == owner.node).then_some(calls), "{key} at {name}");
            }
        }
    }

    fn begin_move(&mut self) {
        let shard = self.routing.shards[&1].clone();
        let command = Command::Move { shard: 1, epoch: shard.epoch, to: TARGET.to_owned() };
        assert!(shard.node == SOURCE && self.propose(command));
        self.note(steps::MOVE_PLANNED);
    }

    fn begin_split(&mut self) {
        let command = Command::Split { shard: 1, epoch: self.routing.shards[&1].epoch, at: key(BOUNDARY) };
        assert!(self.propose(command));
        self.note(steps::SPLIT_PLANNED);
    }
}

/// Plays a split, a move, and a move that is given up, with a crash right after this step; the steps that were done.
fn play(crash: Option<(Name, &str)>) -> BTreeSet<Name> {
    let mut world = World::new(None);
    let mut looked = 0;
    for part in 0..3 {
        match part {
            0 => world.begin_split(),
            1 => world.begin_move(),
            _ => {
                let right = world.routing.shards[&2].clone();
                let to = TARGET.to_owned();
                assert!(world.propose(Command::Move { shard: 2, epoch: right.epoch, to }));
            }
        }
        for turn in 0..40 {
            // Calls come in all the time, at every customer.
            (0..CUSTOMERS).for_each(|n| world.write(n));
            world.turn();
            if part == 2 && turn == 2 {
                world.abort();
            }
            let news = world.done[looked..].to_vec();
            looked = world.done.len();
            if let Some((_, who)) = crash.filter(|(step, _)| news.contains(step)) {
                world.crash(who);
            }
            if at_rest(&world.routing, &world.reports) {
                break;
            }
        }
        world.check();
    }
    assert_eq!((world.routing.splits, world.routing.moves, world.routing.aborts), (1, 1, 1));
    world.done.into_iter().collect()
}

#[test]
fn every_step_is_done_and_named() {
    let all: BTreeSet<Name> = STEPS.iter().map(|(name, _, _)| *name).collect();
    assert_eq!((all.len(), play(None)), (STEPS.len(), all));
}

#[test]
fn whoever_crashes_after_any_step_no_call_is_lost_and_the_change_is_brought_to_an_end() {
    for (step, _, _) in STEPS {
        for who in [LEADER, SOURCE, TARGET] {
            assert!(play(Some((step, who))).contains(step), "{step} {who}");
        }
    }
}

/// Anything that can happen, in any order, then a fair end.
fn play_at_random(seed: u64) -> World {
    let mut world = World::new(None);
    let chance = &mut Chance(seed);
    for _ in 0..170 {
        let node = NODES[chance.below(3) as usize];
        match chance.below(14) {
            0 | 1 => world.write(chance.below(CUSTOMERS)),
            2 | 3 => world.report(node),
            4..=6 => {
                for (name, order) in world.conduct() {
                    world.late.push((name.clone(), order.clone()));
                    if chance.below(3) > 0 {
                        world.deliver(&name, &order);
                    }
                }
            }
            7 | 8 => world.round(node, chance.below(4) == 0),
            9 if !world.late.is_empty() => {
                let (name, order) = world.late[chance.below(world.late.len() as u64) as usize].clone();
                world.deliver(&name, &order);
            }
            12 | 13 => world.hold_back(node),
            10 => world.crash([node, LEADER][chance.below(2) as usize]),
            _ if world.routing.change.is_some() => {
                if chance.below(12) == 0 {
                    world.abort();
                }
            }
            _ => begin_any(&mut world, chance),
        }
    }
    world
}

/// Something new, if everything is at rest by what the leader knows.
fn begin_any(world: &mut World, chance: &mut Chance) {
    if !at_rest(&world.routing, &world.reports) {
        return;
    }
    let shards: Vec<_> = world.routing.shards.values().cloned().collect();
    let shard = shards[chance.below(shards.len() as u64) as usize].clone();
    let (shard, epoch) = (shard.shard, shard.epoch);
    match chance.below(2) {
        0 => world.propose(Command::Split { shard, epoch, at: key(chance.below(CUSTOMERS)) }),
        _ => world.propose(Command::Move { shard, epoch, to: NODES[chance.below(3) as usize].to_owned() }),
    };
}

#[test]
fn in_any_order_and_with_orders_that_come_late_no_call_is_lost_and_nobody_has_two_owners() {
    let (mut moves, mut aborts) = (0, 0);
    for seed in 0..400 {
        let mut world = play_at_random(seed);
        world.finish();
        (0..CUSTOMERS).for_each(|n| world.write(n));
        world.check();
        // What was ordered long ago changes nothing, in whatever order it comes.
        let late = world.late.clone();
        for (name, order) in late.iter().chain(late.iter().rev()) {
            world.deliver(name, order);
        }
        NODES.iter().for_each(|name| world.report(name));
        world.check();
        moves += world.routing.moves;
        aborts += world.routing.aborts;
    }
    assert!(moves > 100 && aborts > 20, "{moves} {aborts}");
}

#[test]
fn that_nothing_is_left_at_the_target_is_not_concluded_from_an_old_report() {
    for copy_is_late in [false, true] {
        let mut world = World::new(None);
        world.begin_move();
        let copy = world.conduct();
        assert!(matches!(&copy[..], [(to, Order::Copy { .. })] if to == TARGET));
        // The target does it, but nobody hears of that before the move is given up.
        if !copy_is_late {
            world.deliver(TARGET, &copy[0].1);
        }
        world.abort();
        let orders = world.conduct();
        let keep = orders.iter().find(|(_, order)| matches!(order, Order::Keep { .. })).unwrap();
        world.deliver(SOURCE, &keep.1);
        world.report(SOURCE);
        world.conduct();
        assert!(world.routing.change.is_some(), "the target has not said that it is gone");
        world.finish();
        if copy_is_late {
            world.deliver(TARGET, &copy[0].1);
            world.report(TARGET);
        }
        world.check();
    }
}

#[test]
fn with_the_bug_the_source_is_told_to_delete_what_the_target_does_not_have() {
    for (bug, deleted) in [(None, false), (Some(Bug::DeletedEarly), true)] {
        let mut world = World::new(bug);
        world.begin_move();
        while !world.done.contains(&steps::FROZEN) {
            world.turn();
        }
        // The target has not come to the rest yet.
        let node = world.nodes.get_mut(TARGET).unwrap();
        if let Some(record) = node.held.records.get_mut(&1) {
            record.state = State::Incoming { taken: 5, behind: 1, whole: false };
        }
        NODES.iter().for_each(|name| world.report(name));
        for (name, order) in world.conduct() {
            world.deliver(&name, &order);
        }
        assert_eq!(world.nodes[SOURCE].held.records[&1].state == State::Gone, deleted);
    }
}
