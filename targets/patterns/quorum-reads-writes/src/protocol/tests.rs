//! The protocol stepped by hand, over replicas that are plain values.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;

const N: usize = 5;
const W: usize = 3;

fn id(text: &str) -> Id {
    text.parse().unwrap()
}

fn cell(counter: u64, node: &str, text: &str) -> Cell {
    Cell {
        version: Version { counter, node: node.to_owned() },
        request_id: id(&format!("r-{text}")),
        text: text.to_owned(),
    }
}

fn entry(text: &str) -> Entry {
    Entry { kind: Kind::Lab, text: text.to_owned() }
}

fn entries(names: &[&str]) -> Arc<Entries> {
    Arc::new(names.iter().map(|name| (id(name), entry(name))).collect())
}

/// A replica of one patient, in memory.
#[derive(Clone, Default)]
struct Replica {
    cell: Option<Cell>,
    known: BTreeMap<Id, Cell>,
    set: Entries,
}

impl Replica {
    fn register(&self, request_id: Option<&str>) -> Register {
        Register { cell: self.cell.clone(), known: request_id.and_then(|r| self.known.get(&id(r)).cloned()) }
    }

    fn store(&mut self, order: VersionOrder, cell: &Cell) {
        if order.replaces(cell, self.known.get(&cell.request_id)) {
            self.known.insert(cell.request_id.clone(), cell.clone());
        }
        if order.replaces(cell, self.cell.as_ref()) {
            self.cell = Some(cell.clone());
        }
    }
}

fn hear(replicas: &[Replica], nodes: &[usize], request_id: Option<&str>) -> Vec<(usize, Register)> {
    nodes.iter().map(|node| (*node, replicas[*node].register(request_id))).collect()
}

#[test]
fn quorums_must_meet() {
    let check = |nodes, read, write| Quorums { nodes, read, write }.check();
    assert_eq!(check(5, 3, 3), Ok(()));
    assert_eq!(check(5, 1, 5), Ok(()));
    assert!(matches!(check(5, 2, 3), Err(QuorumError::ReadMissesWrite(_))));
    assert!(matches!(check(5, 4, 2), Err(QuorumError::WritesMiss(_))));
    assert!(matches!(check(5, 0, 3), Err(QuorumError::Size(_))));
    assert!(matches!(check(5, 3, 6), Err(QuorumError::Size(_))));
}

#[test]
fn a_round_ends_as_soon_as_it_can() {
    let mut round = Round::new(N, 3);
    assert_eq!(round.answer(0, 'a'), Step::Wait);
    assert_eq!(round.answer(0, 'a'), Step::Wait, "the same node counts once");
    assert_eq!(round.fail(1), Step::Wait);
    assert_eq!(round.answer(2, 'b'), Step::Wait);
    assert!(round.is_open(3) && !round.is_open(1));
    assert_eq!(round.answer(3, 'c'), Step::Enough);
    assert_eq!(round.into_answers(), [(0, 'a'), (2, 'b'), (3, 'c')]);

    let mut round = Round::<()>::new(N, 3);
    assert_eq!((round.fail(0), round.fail(1)), (Step::Wait, Step::Wait));
    assert_eq!(round.fail(2), Step::Hopeless);
}

#[test]
fn a_read_of_a_partial_write_finishes_it() {
    let order = VersionOrder::Total;
    let mut replicas = vec![Replica::default(); N];
    // The coordinator died after its own store and one more had the write.
    let half = cell(1, "n1", "x");
    replicas[0].store(order, &half);
    replicas[3].store(order, &half);
    let read = read_register(order, &hear(&replicas, &[2, 3, 4], None), W);
    let RegisterRead::WriteBack { cell, holders } = read else {
        panic!("answered without write-back: {read:?}");
    };
    assert_eq!((&cell, holders.as_slice()), (&half, &[3][..]));
    for node in [1, 2] {
        replicas[node].store(order, &cell);
    }
    // Now every read quorum has it, and one that has it W times answers at once.
    for quorum in [[0, 1, 4], [2, 3, 4], [1, 3, 4]] {
        assert_eq!(newest(order, &hear(&replicas, &quorum, None)), Some(&half));
    }
    let read = read_register(order, &hear(&replicas, &[0, 1, 2], None), W);
    assert_eq!(read, RegisterRead::Settled(Some(half)));
}

#[test]
fn without_write_back_a_later_read_is_older() {
    let order = VersionOrder::Total;
    let mut replicas = vec![Replica::default(); N];
    replicas[0].store(order, &cell(1, "n1", "x"));
    // What the bug does: answer the newest of a read quorum, leave the rest as it is.
    assert!(newest(order, &hear(&replicas, &[0, 1, 2], None)).is_some());
    assert!(newest(order, &hear(&replicas, &[2, 3, 4], None)).is_none());
}

#[test]
fn concurrent_writes_with_one_counter_are_ordered_by_node() {
    let order = VersionOrder::Total;
    let (a, b) = (cell(7, "n1", "a"), cell(7, "n2", "b"));
    let mut one = Replica::default();
    let mut other = Replica::default();
    for (first, second) in [(&a, &b), (&b, &a)] {
        one.store(order, first);
        other.store(order, second);
    }
    assert_eq!(one.cell, Some(b.clone()));
    assert_eq!(other.cell, Some(b));
}

#[test]
fn with_ties_replicas_stay_different() {
    let order = VersionOrder::CounterOnly;
    let (a, b) = (cell(7, "n1", "a"), cell(7, "n2", "b"));
    let mut replicas = vec![Replica::default(); N];
    for (node, replica) in replicas.iter_mut().enumerate() {
        let (first, second) = if node < 3 { (&a, &b) } else { (&b, &a) };
        replica.store(order, first);
        replica.store(order, second);
    }
    // Both are "on a quorum", and the answer depends on who answers first.
    let read = |nodes: &[usize]| read_register(order, &hear(&replicas, nodes, None), W);
    assert_eq!(read(&[0, 1, 2]), RegisterRead::Settled(Some(a)));
    assert_eq!(read(&[4, 3, 2]), RegisterRead::Settled(Some(b)));
}

#[test]
fn a_write_goes_after_everything_it_heard() {
    let mut replicas = vec![Replica::default(); N];
    replicas[1].store(VersionOrder::Total, &cell(4, "n9", "x"));
    let plan = plan_put(&hear(&replicas, &[0, 1, 2], Some("r-new")), "new");
    assert_eq!(plan, PutPlan::Issue { floor: 4 });
    assert_eq!(plan_put(&[], "new"), PutPlan::Issue { floor: 0 });
}

#[test]
fn a_retry_goes_on_with_its_version_even_when_newer_ones_exist() {
    let order = VersionOrder::Total;
    let mut replicas = vec![Replica::default(); N];
    let first = cell(1, "n1", "x");
    for replica in &mut replicas[..3] {
        replica.store(order, &first);
        replica.store(order, &cell(2, "n2", "y"));
    }
    // Through another clinic, whose read quorum meets the write quorum in node 2.
    let answers = hear(&replicas, &[4, 3, 2], Some("r-x"));
    assert_eq!(plan_put(&answers, "x"), PutPlan::Resume(first));
    assert_eq!(plan_put(&answers, "other"), PutPlan::Conflict);
}

#[test]
fn reads_of_entries_settle_only_on_a_set_that_a_write_quorum_holds() {
    let (a, ab) = (entries(&["a"]), entries(&["a", "b"]));
    let answers = |sets: [&Arc<Entries>; 3]| -> Vec<_> { sets.into_iter().cloned().enumerate().collect() };
    assert_eq!(read_set(&answers([&a, &a, &a]), W), SetRead::Settled(Arc::clone(&a)));
    assert_eq!(read_set(&answers([&a, &ab, &a]), W), SetRead::Propose(Arc::clone(&ab)));
    assert_eq!(*missing(&ab, &a).keys().collect::<Vec<_>>(), [&id("b")]);
    // What ABD's union (and the bug no-write-back) would answer: two reads neither of which is in the other.
    let (only_a, only_b) = (entries(&["a"]), entries(&["b"]));
    let none = entries(&[]);
    let (one, other) = (union(&answers([&only_a, &none, &none])), union(&answers([&only_b, &none, &none])));
    assert!(!one.contains_key(&id("b")) && !other.contains_key(&id("a")));
}

#[test]
fn one_id_with_two_contents_settles_on_one() {
    let (a, b) = (entry("a"), entry("b"));
    let (mut one, mut other) = (Entries::new(), Entries::new());
    let offer = |entry: &Entry| Entries::from([(id("r"), entry.clone())]);
    assert!(merge(&mut one, &offer(&a)) && !merge(&mut one, &offer(&b)));
    assert!(merge(&mut other, &offer(&b)) && merge(&mut other, &offer(&a)));
    assert_eq!(one, other);
}

/// xorshift64*: enough for picking interleavings.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % n
    }
}

/// A client's operation in progress: replicas it has not reached yet, in a random order.
struct Running {
    to_reach: Vec<usize>,
    begun: usize,
    what: Doing,
}

enum Doing {
    Append { id: Id, acks: usize },
    Read { proposal: Option<Arc<Entries>>, answers: Vec<(usize, Arc<Entries>)> },
}

#[derive(Debug)]
struct Ended {
    begun: usize,
    ended: usize,
    appended: Option<Id>,
    read: Option<Arc<Entries>>,
}

impl Running {
    fn begin(dice: &mut Dice, now: usize, what: Doing) -> Self {
        Running { to_reach: shuffled(dice), begun: now, what }
    }

    /// Reaches one more replica; the result, once there is one. `agree`: whether reads propose.
    fn advance(
        &mut self,
        replicas: &mut [Replica],
        dice: &mut Dice,
        now: usize,
        agree: bool,
    ) -> Option<Ended> {
        let node = self.to_reach.pop()?;
        let mut ended = Ended { begun: self.begun, ended: now, appended: None, read: None };
        match &mut self.what {
            Doing::Append { id, acks } => {
                merge(&mut replicas[node].set, &Entries::from([(id.clone(), entry("x"))]));
                *acks += 1;
                ended.appended = Some(id.clone());
                (*acks == W).then_some(ended)
            }
            Doing::Read { proposal, answers } => {
                if let Some(proposal) = proposal {
                    merge(&mut replicas[node].set, proposal);
                }
                answers.push((node, Arc::new(replicas[node].set.clone())));
                if answers.len() < W {
                    return None;
                }
                ended.read = Some(union(answers));
                if !agree {
                    return Some(ended);
                }
                match read_set(answers, W) {
                    SetRead::Settled(_) => Some(ended),
                    SetRead::Propose(union) => {
                        *proposal = Some(union);
                        answers.clear();
                        self.to_reach = shuffled(dice);
                        None
                    }
                }
            }
        }
    }
}

fn shuffled(dice: &mut Dice) -> Vec<usize> {
    let mut nodes: Vec<usize> = (0..N).collect();
    for i in (1..N).rev() {
        nodes.swap(i, dice.below(i + 1));
    }
    nodes
}

fn interleave(seed: u64, agree: bool) -> Vec<Ended> {
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let mut replicas = vec![Replica::default(); N];
    let (mut running, mut ended) = (Vec::<Running>::new(), Vec::new());
    for now in 0..400 {
        if running.len() < 6 && now < 300 {
            let what = if dice.below(2) == 0 {
                Doing::Append { id: id(&format!("e-{now}")), acks: 0 }
            } else {
                Doing::Read { proposal: None, answers: Vec::new() }
            };
            running.push(Running::begin(&mut dice, now, what));
        }
        if running.is_empty() {
            break;
        }
        let i = dice.below(running.len());
        if let Some(done) = running[i].advance(&mut replicas, &mut dice, now, agree) {
            ended.push(done);
            // A read is over; of the appends, one in three coordinators reaches nobody else.
            if matches!(running[i].what, Doing::Read { .. }) || dice.below(3) == 0 {
                running.swap_remove(i);
            }
        }
        running.retain(|operation| !operation.to_reach.is_empty());
    }
    ended
}

/// The first thing that no linearizable set would show.
fn anomaly(ended: &[Ended]) -> Option<String> {
    for a in ended {
        let Some(set) = &a.read else { continue };
        for b in ended.iter().filter(|b| b.ended < a.begun) {
            if b.appended.as_ref().is_some_and(|id| !set.contains_key(id)) {
                return Some(format!("{a:?} misses {b:?}"));
            }
        }
        for (b, other) in ended.iter().filter_map(|b| b.read.as_ref().map(|set| (b, set))) {
            let within = set.keys().all(|id| other.contains_key(id));
            let around = other.keys().all(|id| set.contains_key(id));
            if !around && (!within || b.ended < a.begun) {
                return Some(format!("{a:?} against {b:?}"));
            }
        }
        // An entry in sight brings every append that ended before its own began.
        for later in ended.iter().filter(|e| e.appended.as_ref().is_some_and(|id| set.contains_key(id))) {
            for earlier in ended.iter().filter(|e| e.ended < later.begun) {
                if earlier.appended.as_ref().is_some_and(|id| !set.contains_key(id)) {
                    return Some(format!("{a:?} has {later:?} but not {earlier:?}"));
                }
            }
        }
    }
    None
}

#[test]
fn any_interleaving_of_reads_and_appends_is_linearizable() {
    let mut reads = 0;
    for seed in 1..=300 {
        let ended = interleave(seed, true);
        reads += ended.iter().filter(|e| e.read.is_some()).count();
        assert_eq!(anomaly(&ended), None, "seed {seed}");
    }
    assert!(reads > 5_000, "only {reads} reads ended");
}

#[test]
fn the_same_interleavings_show_that_union_alone_is_not() {
    let found = (1..=200).any(|seed: u64| anomaly(&interleave(seed, false)).is_some());
    assert!(found, "reads without agreement were never caught");
}
