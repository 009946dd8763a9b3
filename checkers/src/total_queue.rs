//! What goes into a queue must come out (Jepsen's `total-queue`).
//!
//! `enqueue` puts a value in, `dequeue` takes one out or answers `null` for empty, `drain` takes out
//! everything and answers with an array. Order does not matter. A value is
//!
//! - *lost* if its enqueue was acknowledged, nothing took it out, and the queue was seen empty later: a
//!   `dequeue` that found nothing, or a `drain`, began after the enqueue had ended. What a dequeue of
//!   unknown outcome took is not known, so with `n` of them only more than `n` missing values prove a
//!   loss; otherwise the verdict is `unknown`, as it is after a `drain` of unknown outcome;
//! - *unexpected* if it came out before anybody had begun to put it in, *resurrected* if only enqueues that
//!   certainly failed had begun by then;
//! - *duplicated* if it came out more often than it can have been put in: a violation only where
//!   [exactly one](TotalQueue::exactly_once) delivery is promised;
//! - *recovered* if it came out though no enqueue of it was acknowledged. That is no violation.
//!
//! A queue that was never seen empty teaches nothing about losses: `vacuous`. Values that were put in
//! after it was last seen empty, and are still there, are counted as *left*.
//!
//! Time O(operations), memory O(values).

use std::borrow::Cow;
use std::collections::BTreeMap;

use ordeal_core::{
    Anomaly, Checker, EventKind, Finding, History, Intake, Key, Operation, Verdict, check_operations,
};
use serde_json::Value;

use crate::About;
use crate::models::Atom;
use crate::recall::{AtomMap, Attempts, Fault, Flaw, Keyed, LISTED, Seen, Trouble, Witnesses, name_of};
use crate::words::{count, listed};

/// How lists show it.
pub(crate) const ABOUT: About =
    About { name: "total-queue", about: "everything put into a queue comes out, and nothing else" };

/// The judge.
#[derive(Clone, Debug)]
pub struct TotalQueue {
    enqueue: Cow<'static, str>,
    dequeue: Cow<'static, str>,
    drain: Cow<'static, str>,
    exactly_once: bool,
}

impl Default for TotalQueue {
    fn default() -> Self {
        TotalQueue::new("enqueue", "dequeue", "drain")
    }
}

impl TotalQueue {
    /// A judge of a queue whose functions have these names.
    pub fn new(
        enqueue: impl Into<Cow<'static, str>>,
        dequeue: impl Into<Cow<'static, str>>,
        drain: impl Into<Cow<'static, str>>,
    ) -> Self {
        TotalQueue {
            enqueue: enqueue.into(),
            dequeue: dequeue.into(),
            drain: drain.into(),
            exactly_once: false,
        }
    }

    /// Whether a value that comes out twice is a violation.
    #[must_use]
    pub fn exactly_once(mut self, exactly_once: bool) -> Self {
        self.exactly_once = exactly_once;
        self
    }

    fn intake_now(&self) -> Box<dyn Intake + '_> {
        Box::new(Work {
            judge: self,
            who: Witnesses::default(),
            queues: Keyed::default(),
            trouble: Trouble::default(),
        })
    }
}

impl Checker for TotalQueue {
    fn name(&self) -> String {
        ABOUT.name.to_owned()
    }

    fn check(&self, history: &History) -> Finding {
        check_operations(self.name(), self.intake_now(), history)
    }

    fn intake(&self) -> Option<Box<dyn Intake + '_>> {
        Some(self.intake_now())
    }
}

struct Work<'c> {
    judge: &'c TotalQueue,
    who: Witnesses,
    queues: Keyed<Queue>,
    trouble: Trouble,
}

/// One queue.
#[derive(Default)]
struct Queue {
    numbers: AtomMap<u32>,
    values: Vec<Content>,
    /// Times that a value came out after the first.
    again: Vec<(u32, Seen)>,
    /// The last operation to begin that found the queue empty or emptied it.
    emptied: Option<Seen>,
    /// Dequeues and drains of unknown outcome.
    open_dequeues: Vec<Seen>,
    open_drains: usize,
}

struct Content {
    value: Atom,
    enqueued: Option<Attempts>,
    /// The dequeue of it that ended first.
    out: Option<Seen>,
    times_out: u32,
}

impl Queue {
    fn number(&mut self, value: Atom) -> u32 {
        let next = self.values.len() as u32;
        let number = *self.numbers.entry(value).or_insert(next);
        if number == next {
            self.values.push(Content { value, enqueued: None, out: None, times_out: 0 });
        }
        number
    }

    fn enqueued(&mut self, value: Atom, op: Seen, kind: EventKind) {
        let number = self.number(value);
        match &mut self.values[number as usize].enqueued {
            Some(attempts) => attempts.add(op, kind),
            none => *none = Some(Attempts::new(op, kind)),
        }
    }

    fn came_out(&mut self, value: Atom, op: Seen) {
        let number = self.number(value);
        let content = &mut self.values[number as usize];
        content.times_out = content.times_out.saturating_add(1);
        let later = match content.out {
            Some(first) if (first.ret, first.index()) <= (op.ret, op.index()) => Some(op),
            _ => content.out.replace(op),
        };
        self.again.extend(later.map(|op| (number, op)));
    }

    fn empty(&mut self, op: Seen) {
        if self.emptied.is_none_or(|last| (last.call, last.index()) < (op.call, op.index())) {
            self.emptied = Some(op);
        }
    }
}

impl Intake for Work<'_> {
    fn take(&mut self, op: &Operation<'_>) {
        let (judge, f) = (self.judge, op.f());
        if f == judge.enqueue {
            let seen = self.who.remember(op);
            self.queues.of(op.key()).enqueued(Atom::from(op.input()), seen, op.kind());
        } else if f == judge.dequeue || f == judge.drain {
            if op.kind() == EventKind::Fail {
                return;
            }
            let seen = self.who.remember(op);
            let queue = self.queues.of(op.key());
            match op.output() {
                None if f == judge.drain => queue.open_drains += 1,
                None => queue.open_dequeues.push(seen),
                Some(Value::Null) => queue.empty(seen),
                Some(Value::Array(values)) if f == judge.drain => {
                    values.iter().for_each(|value| queue.came_out(Atom::from(value), seen));
                    queue.empty(seen);
                }
                Some(other) if f == judge.drain => {
                    self.trouble.note(op, || format!("`{f}` answers with an array, not {other}"));
                }
                Some(value) => queue.came_out(Atom::from(value), seen),
            }
        }
    }

    fn finish(self: Box<Self>) -> Finding {
        if let Some(finding) = self.trouble.finding(ABOUT.name) {
            return finding;
        }
        let mut total = Total { exactly_once: self.judge.exactly_once, ..Total::default() };
        for (key, mut queue) in self.queues.sorted() {
            queue.again.sort_unstable_by_key(|(number, op)| (*number, op.index()));
            total.add(self.judge, &self.who, key.as_ref(), &queue);
        }
        total.conclude()
    }
}

/// What can be wrong with a value, gravest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wrong {
    Lost,
    Resurrected,
    Unexpected,
    Duplicate,
}

const WRONGS: [Wrong; 4] = [Wrong::Lost, Wrong::Resurrected, Wrong::Unexpected, Wrong::Duplicate];

impl Wrong {
    fn name(self) -> &'static str {
        match self {
            Wrong::Lost => "lost-value",
            Wrong::Resurrected => "resurrected-value",
            Wrong::Unexpected => "unexpected-value",
            Wrong::Duplicate => "duplicate-value",
        }
    }

    fn says(self) -> &'static str {
        match self {
            Wrong::Lost => "acknowledged, but never came out, and the queue was empty later",
            Wrong::Resurrected => "reported as certainly not enqueued, yet came out",
            Wrong::Unexpected => "came out though nobody had begun to enqueue it",
            Wrong::Duplicate => "came out more often than it can have been enqueued",
        }
    }
}

/// What all queues came to.
#[derive(Default)]
struct Total {
    exactly_once: bool,
    attempted: u64,
    acknowledged: u64,
    came_out: u64,
    recovered: usize,
    left: usize,
    open_dequeues: usize,
    open_drains: usize,
    wrong: BTreeMap<Wrong, usize>,
    /// Queues that were never seen empty though something was put in.
    undrained: Vec<String>,
    /// Queues with values that a dequeue of unknown outcome may have taken.
    undecided: Vec<String>,
    anomalies: Vec<(Wrong, Anomaly)>,
}

impl Content {
    fn live(&self) -> u32 {
        self.enqueued.map_or(0, |e| e.live)
    }

    /// What is wrong with its having come out.
    fn wrong(&self) -> Option<Wrong> {
        let out = self.out?;
        match self.enqueued {
            Some(enqueued) if enqueued.first_live_call < out.ret => {
                (self.times_out > enqueued.live).then_some(Wrong::Duplicate)
            }
            Some(enqueued) if enqueued.first_call < out.ret => Some(Wrong::Resurrected),
            _ => Some(Wrong::Unexpected),
        }
    }
}

impl Total {
    fn add(&mut self, judge: &TotalQueue, who: &Witnesses, key: Option<&Key>, queue: &Queue) {
        let mut found: BTreeMap<Wrong, Vec<u32>> = BTreeMap::new();
        let (mut acknowledged, mut missing) = (0, Vec::new());
        for (number, content) in queue.values.iter().enumerate() {
            let acks = content.enqueued.map_or(0, |e| e.acknowledged);
            acknowledged += u64::from(acks);
            self.attempted += u64::from(content.live());
            self.came_out += u64::from(content.times_out);
            self.recovered += usize::from(acks == 0 && content.live() > 0 && content.times_out > 0);
            if content.times_out < acks {
                let known = content.enqueued.as_ref().and_then(Attempts::first_acknowledged);
                let emptied = queue.emptied.as_ref();
                match known.zip(emptied).is_some_and(|(known, emptied)| known.precedes(emptied)) {
                    // Of several copies only the first is known to have been there when it was empty.
                    true if content.times_out == 0 => missing.push(number as u32),
                    _ => self.left += 1,
                }
            }
            if let Some(wrong) = content.wrong() {
                found.entry(wrong).or_default().push(number as u32);
            }
        }
        self.acknowledged += acknowledged;
        self.open_dequeues += queue.open_dequeues.len();
        self.open_drains += queue.open_drains;
        if missing.len() > queue.open_dequeues.len() && queue.open_drains == 0 {
            found.insert(Wrong::Lost, missing);
        } else if !missing.is_empty() {
            let values = count(missing.len(), "value");
            self.undecided.push(format!("{values} of {}", name_of(key, "queue")));
        }
        if acknowledged > 0 && queue.emptied.is_none() {
            self.undrained.push(name_of(key, "queue"));
        }
        for (wrong, mut values) in found {
            *self.wrong.entry(wrong).or_default() += values.len();
            if wrong != Wrong::Duplicate || judge.exactly_once {
                values.sort_unstable_by_key(|&v| queue.values[v as usize].value);
                let flaws: Vec<Flaw<'_>> =
                    values.iter().take(LISTED).map(|&v| judge.flaw(queue, wrong, v)).collect();
                let fault = Fault { key, name: wrong.name(), noun: "value", says: wrong.says() };
                let mut anomaly = who.anomaly(&fault, &flaws, values.len());
                if wrong == Wrong::Lost && !queue.open_dequeues.is_empty() {
                    let open = count(queue.open_dequeues.len(), "dequeue");
                    anomaly.message +=
                        &format!(" At most {open} of unknown outcome may have taken one each.");
                }
                self.anomalies.push((wrong, anomaly));
            }
        }
    }

    fn conclude(mut self) -> Finding {
        self.anomalies.sort_by_key(|a| a.0);
        let of = |wrong| self.wrong.get(&wrong).copied().unwrap_or(0);
        let judged = format!(
            "{} acknowledged, {} taken out",
            count(self.acknowledged as usize, "value"),
            self.came_out
        );
        let (verdict, summary) = if !self.anomalies.is_empty() {
            let told =
                self.wrong.iter().filter(|(wrong, _)| **wrong != Wrong::Duplicate || self.exactly_once);
            let kinds: Vec<String> = told.map(|(wrong, n)| format!("{n} {}", wrong.name())).collect();
            (Verdict::Invalid, format!("{} ({judged})", kinds.join(", ")))
        } else if !self.undecided.is_empty() {
            let undecided = listed(&self.undecided, 5, ", ");
            let why = format!(
                "nothing is known to have taken out {undecided}, but an operation of unknown outcome may have ({judged})"
            );
            (Verdict::Unknown, why)
        } else if self.acknowledged == 0 {
            (Verdict::Vacuous, "no enqueue was ever acknowledged".to_owned())
        } else if !self.undrained.is_empty() {
            let undrained = listed(&self.undrained, 5, ", ");
            (Verdict::Vacuous, format!("never seen empty: {undrained} ({judged})"))
        } else {
            let twice = of(Wrong::Duplicate);
            let twice = if twice > 0 { format!(", {twice} of them too often") } else { String::new() };
            (Verdict::Valid, format!("nothing lost, nothing invented: {judged}{twice}"))
        };
        let mut finding = Finding::new(ABOUT.name, verdict, summary)
            .with("values_attempted", self.attempted)
            .with("values_acknowledged", self.acknowledged)
            .with("values_taken_out", self.came_out)
            .with("values_recovered", self.recovered)
            .with("values_left", self.left)
            .with("dequeues_of_unknown_outcome", self.open_dequeues)
            .with("drains_of_unknown_outcome", self.open_drains);
        for wrong in WRONGS {
            finding = finding.with(&(wrong.name().replace('-', "_") + "s"), of(wrong));
        }
        finding.anomalies = self.anomalies.into_iter().map(|a| a.1).collect();
        finding
    }
}

impl TotalQueue {
    /// The operations that show what is wrong with a value.
    fn flaw<'q>(&'q self, queue: &Queue, wrong: Wrong, number: u32) -> Flaw<'q> {
        let content = &queue.values[number as usize];
        let mut ops: Vec<(&str, Seen)> =
            content.enqueued.iter().map(|attempts| (&*self.enqueue, attempts.best)).collect();
        ops.extend(content.out.map(|out| (&*self.dequeue, out)));
        match wrong {
            Wrong::Lost => ops.extend(queue.emptied.map(|op| (&*self.dequeue, op))),
            Wrong::Duplicate => {
                let start = queue.again.partition_point(|(n, _)| *n < number);
                let again = queue.again[start..].iter().take_while(|(n, _)| *n == number).take(LISTED);
                ops.extend(again.map(|(_, op)| (&*self.dequeue, *op)));
            }
            Wrong::Resurrected | Wrong::Unexpected => {}
        }
        Flaw { value: content.value, ops }
    }
}
