//! Sessions at one warehouse, and its vectors: what was seen there is never unseen, also across restarts.
//!
//! An operation that begins after another one at the same node has ended must show a vector that counts all that
//! the other one's did. If both are of one client, that is read-your-writes, monotonic reads, monotonic writes, or
//! writes-follow-reads. If they are of two clients, the vector of the warehouse has gone back.

use std::collections::{BTreeMap, HashMap, HashSet};

use ordeal_core::{Checker, Finding, History, Key, Operation, judge_operations};
use serde::Deserialize;

use crate::inventory::answers::{Vector, number_of};
use crate::inventory::asked;
use crate::report::{Report, node, told};

const NAME: &str = "sessions";

/// The judge.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Sessions;

/// An operation that showed a vector.
struct Shown<'h> {
    op: Operation<'h>,
    vector: Vector,
    writes: bool,
    /// A retry: it is answered with what was seen when the request was done first.
    again: bool,
}

fn shown<'h>(op: &Operation<'h>, again: bool) -> Option<Shown<'h>> {
    #[derive(Deserialize)]
    struct Answer {
        vector: Vector,
    }
    let writes = match op.f() {
        "read" => false,
        "move" | "count" => true,
        _ => return None,
    };
    let Answer { vector } = Answer::deserialize(op.output()?).ok()?;
    Some(Shown { op: *op, vector, writes, again })
}

/// The most that was seen of each warehouse, and by which operation.
#[derive(Default)]
struct Seen<'s, 'h>(BTreeMap<&'s str, (u64, &'s Shown<'h>)>);

impl<'s, 'h> Seen<'s, 'h> {
    fn add(&mut self, shown: &'s Shown<'h>) {
        for (warehouse, number) in &shown.vector {
            let most = self.0.entry(warehouse).or_insert((*number, shown));
            if most.0 < *number {
                *most = (*number, shown);
            }
        }
    }

    /// What of it this vector does not count.
    fn unseen(&self, vector: &Vector) -> Option<(&'s str, u64, &'s Shown<'h>)> {
        let lacking = self.0.iter().find(|(warehouse, (number, _))| number_of(vector, warehouse) < *number);
        lacking.map(|(warehouse, (number, shown))| (*warehouse, *number, *shown))
    }
}

impl Checker for Sessions {
    fn name(&self) -> String {
        NAME.to_owned()
    }

    fn check(&self, history: &History) -> Finding {
        judge_operations(NAME, history, judge_all)
    }
}

fn judge_all(mut operations: Vec<Operation<'_>>) -> Finding {
    operations.sort_by_key(|op| (op.call, op.index()));
    let mut requests = HashSet::new();
    let mut places: BTreeMap<(&str, Option<&Key>), Vec<Shown<'_>>> = BTreeMap::new();
    for op in &operations {
        let request = asked(op.input()).map(|(_, request)| request);
        let again = request.is_some_and(|request| !requests.insert(request));
        if let Some(shown) = shown(op, again) {
            places.entry((node(op), op.key())).or_default().push(shown);
        }
    }
    let mut report = Report::default();
    let judged = places.values().map(Vec::len).sum::<usize>();
    for ((_, key), all) in &places {
        in_order(*key, all, &mut report);
    }
    let vectors = format!("{judged} vectors, compared with what was seen there before");
    report.finding(NAME, vectors, judged == 0).with("vectors", judged)
}

/// Compares each operation with those that had ended before it began. They come in order of beginning.
fn in_order(key: Option<&Key>, all: &[Shown<'_>], report: &mut Report) {
    let mut by_end: Vec<&Shown<'_>> = all.iter().collect();
    by_end.sort_by_key(|shown| shown.op.ret);
    let mut ended = by_end.into_iter().peekable();
    let mut at_node = Seen::default();
    let mut by_client: HashMap<(u64, bool), Seen<'_, '_>> = HashMap::new();
    for shown in all {
        while let Some(before) = ended.next_if(|before| before.op.ret < shown.op.call) {
            at_node.add(before);
            by_client.entry((before.op.process(), before.writes)).or_default().add(before);
        }
        if shown.again {
            continue;
        }
        let of_client = |writes: bool| by_client.get(&(shown.op.process(), writes))?.unseen(&shown.vector);
        let (name, unseen) = if let Some(own_write) = of_client(true) {
            (if shown.writes { "monotonic-writes" } else { "read-your-writes" }, own_write)
        } else if let Some(own_read) = of_client(false) {
            (if shown.writes { "writes-follow-reads" } else { "monotonic-reads" }, own_read)
        } else if let Some(unseen) = at_node.unseen(&shown.vector) {
            ("vector-went-back", unseen)
        } else {
            continue;
        };
        let (warehouse, number, before) = unseen;
        report.note(name, key, &[&before.op, &shown.op], || {
            format!(
                "{} counts {} updates of {warehouse}, but {}, before, counted {number}.",
                told(&shown.op),
                number_of(&shown.vector, warehouse),
                told(&before.op)
            )
        });
    }
}
