//! Reads of a counter lie between what must and what may have been added (Jepsen's `counter`).
//!
//! `add` adds its argument, which may be negative, `read` answers with the sum. A read is *too low* if it is
//! smaller than the initial value, with every addition acknowledged before the read began, and every
//! negative one that may have taken effect before it ended; *too high* correspondingly. Every read is
//! judged on its own: reads that are each within bounds but contradict one another are for
//! `linearizable(counter)`.
//!
//! Sums by sweeping over additions and reads in order of time: time O(n log n), memory O(n).

use std::borrow::Cow;

use ordeal_core::{
    Anomaly, Checker, EventKind, Finding, History, Intake, Key, Operation, Verdict, check_operations,
};
use serde_json::{Value, json};

use crate::About;
use crate::recall::{Keyed, Seen, Trouble, Witnesses, distinct, name_of, with_counts};
use crate::words::{count, listed, of_key};

/// How lists show it.
pub(crate) const ABOUT: About = About {
    name: "counter-bounds",
    about: "every read of a counter lies between what must and what may have been added",
};

/// How many reads out of bounds get an anomaly; the rest are counted.
const REPORTED: usize = 50;
/// How many additions an anomaly cites.
const CITED: usize = 8;

/// The judge.
#[derive(Clone, Debug)]
pub struct CounterBounds {
    add: Cow<'static, str>,
    read: Cow<'static, str>,
    initial: i64,
}

impl CounterBounds {
    /// A judge of a counter whose functions have these names, and which starts from 0.
    pub fn new(add: impl Into<Cow<'static, str>>, read: impl Into<Cow<'static, str>>) -> Self {
        CounterBounds { add: add.into(), read: read.into(), initial: 0 }
    }

    /// The value before anything was added.
    #[must_use]
    pub fn from(mut self, initial: i64) -> Self {
        self.initial = initial;
        self
    }

    fn intake_now(&self) -> Box<dyn Intake + '_> {
        Box::new(Work {
            judge: self,
            who: Witnesses::default(),
            counters: Keyed::default(),
            trouble: Trouble::default(),
        })
    }
}

impl Default for CounterBounds {
    fn default() -> Self {
        CounterBounds::new("add", "read")
    }
}

impl Checker for CounterBounds {
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
    judge: &'c CounterBounds,
    who: Witnesses,
    counters: Keyed<Counter>,
    trouble: Trouble,
}

/// One counter.
#[derive(Default)]
struct Counter {
    adds: Vec<Add>,
    reads: Vec<Read>,
}

struct Add {
    call: u64,
    /// [`Operation::OPEN`] if it may never have taken effect.
    ret: u64,
    amount: i64,
    index: u64,
}

struct Read {
    op: Seen,
    value: i64,
    low: i128,
    high: i128,
}

impl Intake for Work<'_> {
    fn take(&mut self, op: &Operation<'_>) {
        let not_whole =
            |value: &Value| format!("`{}` of a counter goes with a whole number, not {value}", op.f());
        if op.f() == self.judge.add && op.kind() != EventKind::Fail {
            match op.input().as_i64() {
                Some(amount) => self.counters.of(op.key()).adds.push(Add {
                    call: op.call,
                    ret: op.ret,
                    amount,
                    index: op.index(),
                }),
                None => self.trouble.note(op, || not_whole(op.input())),
            }
        } else if op.f() == self.judge.read {
            match op.output() {
                None | Some(Value::Null) => {}
                Some(answer) => match answer.as_i64() {
                    Some(value) => {
                        let read = Read { op: self.who.remember(op), value, low: 0, high: 0 };
                        self.counters.of(op.key()).reads.push(read);
                    }
                    None => self.trouble.note(op, || not_whole(answer)),
                },
            }
        }
    }

    fn finish(self: Box<Self>) -> Finding {
        if let Some(finding) = self.trouble.finding(ABOUT.name) {
            return finding;
        }
        let (mut adds, mut reads, mut out) = (0, 0, 0);
        let (mut windows, mut unread, mut anomalies) = (Vec::new(), Vec::new(), Vec::new());
        for (key, mut counter) in self.counters.sorted() {
            counter.bound(self.judge.initial.into());
            adds += counter.adds.len();
            reads += counter.reads.len();
            if counter.reads.is_empty() {
                unread.push(name_of(key.as_ref(), "counter"));
            }
            counter.reads.sort_unstable_by_key(|r| r.op.index());
            for read in &counter.reads {
                windows.push(u64::try_from(read.high - read.low).unwrap_or(u64::MAX));
                if !(read.low..=read.high).contains(&read.value.into()) {
                    out += 1;
                    if anomalies.len() < REPORTED {
                        anomalies.push(anomaly(&self.who, key.as_ref(), &counter.adds, read));
                    }
                }
            }
        }
        let judged = format!("{}, {}", count(adds, "addition"), count(reads, "read"));
        let (verdict, summary) = if out > 0 {
            (Verdict::Invalid, format!("{} out of bounds ({judged})", count(out, "read")))
        } else if reads == 0 || adds == 0 {
            let what = if reads == 0 { "no read succeeded" } else { "nothing was added" };
            (Verdict::Vacuous, format!("{what} ({judged})"))
        } else if !unread.is_empty() {
            let unread = listed(&unread, 5, ", ");
            (Verdict::Vacuous, format!("no read succeeded of {unread} ({judged})"))
        } else {
            (Verdict::Valid, format!("every read is within bounds: {judged}"))
        };
        let mut finding = Finding::new(ABOUT.name, verdict, summary)
            .with("additions", adds)
            .with("reads", reads)
            .with("reads_out_of_bounds", out);
        finding = with_counts(finding, "width_of_bounds", windows);
        finding.anomalies = anomalies;
        finding
    }
}

/// Sums of the positive and of the negative amounts of some additions.
#[derive(Clone, Copy, Default)]
struct Sums {
    up: i128,
    down: i128,
}

impl Sums {
    fn add(&mut self, amount: i64) {
        match amount > 0 {
            true => self.up += i128::from(amount),
            false => self.down += i128::from(amount),
        }
    }
}

impl Counter {
    /// Finds the bounds of every read. What must have been added are the additions that ended before the
    /// read began; what may have been, in addition, those that began before it ended.
    fn bound(&mut self, initial: i128) {
        self.adds.sort_unstable_by_key(|add| add.ret);
        self.reads.sort_unstable_by_key(|read| read.op.call);
        let (mut before, mut done) = (Sums::default(), 0);
        for read in &mut self.reads {
            while let Some(add) = self.adds.get(done).filter(|add| add.ret < read.op.call) {
                before.add(add.amount);
                done += 1;
            }
            (read.low, read.high) = (initial + before.up, initial + before.down);
        }
        self.adds.sort_unstable_by_key(|add| add.call);
        self.reads.sort_unstable_by_key(|read| read.op.ret);
        let (mut begun, mut done) = (Sums::default(), 0);
        for read in &mut self.reads {
            while let Some(add) = self.adds.get(done).filter(|add| add.call < read.op.ret) {
                begun.add(add.amount);
                done += 1;
            }
            // All that began by its end, of the one sign, and all that ended by its beginning, of the other.
            read.low += begun.down;
            read.high += begun.up;
        }
    }
}

fn anomaly(who: &Witnesses, key: Option<&Key>, adds: &[Add], read: &Read) -> Anomaly {
    let low = i128::from(read.value) < read.low;
    // The last additions that count for the bound: those that must have been there, or those that may.
    let counts = |add: &&Add| match low {
        true => add.ret < read.op.call && add.amount > 0,
        false => add.call < read.op.ret && add.amount > 0,
    };
    let (name, says) = match low {
        true => ("read-too-low", format!("at least {} must have been there when it began", read.low)),
        false => ("read-too-high", format!("at most {} can have been there when it ended", read.high)),
    };
    let cited = adds.iter().rev().filter(counts).take(CITED).map(|add| add.index);
    Anomaly {
        name: name.to_owned(),
        message: format!("{}`read {}` ({}): {says}.", of_key(key), read.value, who.who_when(&read.op)),
        key: key.cloned(),
        events: distinct(cited.collect::<Vec<_>>().into_iter().rev().chain(read.op.cite())),
        details: json!({
            "value": read.value,
            "low": read.low.to_string(),
            "high": read.high.to_string(),
            "additions_begun": adds.iter().filter(|add| add.call < read.op.ret).count(),
            "additions_acknowledged": adds.iter().filter(|add| add.ret < read.op.call).count(),
        }),
    }
}
