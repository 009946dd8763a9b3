//! What became of every element of a set that is read again and again (Jepsen's `set-full`).
//!
//! `add` adds one element, `read` answers with all of them. For every element:
//!
//! - it is *known* from the end of its acknowledged addition or of the first read to show it, whichever
//!   is earlier. Only a read that began after that misses it for certain;
//! - it is *lost* if a read certainly misses it and every read that shows it had ended before;
//! - it is *stale* if a read certainly misses it, but one that shows it ended later: it took until the
//!   beginning of the last such miss to become *stable*. Otherwise it was stable at once;
//! - it was *never read* if no read shows it and none began after it was known.
//!
//! An element is *duplicated* if one read shows it twice, *unexpected* if a read that shows it had ended
//! before anybody began to add it, *resurrected* if only attempts that certainly failed had begun by then.
//! Lost, duplicated, unexpected and resurrected elements are violations; stale ones are if the set is to be
//! [linearizable](SetFull::linearizable). Of reads that overlap, Jepsen lets the later to begin decide
//! whether an element is lost; here it is stale then, for the order of the two is not known.
//!
//! Time O(total size of reads), memory O(elements + runs of elements that reads show; see `fate`).

mod fate;

use std::borrow::Cow;
use std::collections::BTreeMap;

use ordeal_core::{Checker, Finding, History, Intake, Key, Operation, Verdict, check_operations};
use serde_json::Value;

use crate::About;
use crate::models::Atom;
use crate::recall::{Fault, Flaw, Keyed, LISTED, Seen, Trouble, Witnesses, name_of, with_quantiles};
use crate::words::{count, listed};
use fate::{Fate, Set, Sight};

/// How lists show it.
pub(crate) const ABOUT: About =
    About { name: "set-full", about: "how every element of a set fared over time: stable, stale, lost" };

/// The judge.
#[derive(Clone, Debug)]
pub struct SetFull {
    add: Cow<'static, str>,
    read: Cow<'static, str>,
    linearizable: bool,
}

impl SetFull {
    /// A judge of the elements added by the one function and read, all at once, by the other.
    pub fn new(add: impl Into<Cow<'static, str>>, read: impl Into<Cow<'static, str>>) -> Self {
        SetFull { add: add.into(), read: read.into(), linearizable: false }
    }

    /// Whether a read that certainly misses an element is a violation even if a later one shows it.
    #[must_use]
    pub fn linearizable(mut self, linearizable: bool) -> Self {
        self.linearizable = linearizable;
        self
    }
}

impl Default for SetFull {
    fn default() -> Self {
        SetFull::new("add", "read")
    }
}

impl Checker for SetFull {
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

impl SetFull {
    fn intake_now(&self) -> Box<dyn Intake + '_> {
        Box::new(Work {
            judge: self,
            who: Witnesses::default(),
            sets: Keyed::default(),
            trouble: Trouble::default(),
            numbers: Vec::new(),
        })
    }
}

struct Work<'c> {
    judge: &'c SetFull,
    who: Witnesses,
    sets: Keyed<Set>,
    trouble: Trouble,
    /// Room for the elements of one read.
    numbers: Vec<u32>,
}

impl Intake for Work<'_> {
    fn take(&mut self, op: &Operation<'_>) {
        if op.f() == self.judge.add {
            let seen = self.who.remember(op);
            self.sets.of(op.key()).take_add(Atom::from(op.input()), seen, op.kind());
        } else if op.f() == self.judge.read {
            match op.output() {
                Some(Value::Array(elements)) => {
                    let seen = self.who.remember(op);
                    self.sets.of(op.key()).take_read(seen, elements, &mut self.numbers);
                }
                Some(other) => self
                    .trouble
                    .note(op, || format!("`{}` answers with an array, not {other}", self.judge.read)),
                None => {}
            }
        }
    }

    fn finish(self: Box<Self>) -> Finding {
        if let Some(finding) = self.trouble.finding(ABOUT.name) {
            return finding;
        }
        let mut total = Total::default();
        for (key, set) in self.sets.sorted() {
            total.add(self.judge, &self.who, key.as_ref(), &set);
        }
        total.conclude()
    }
}

/// What can be wrong with an element, gravest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wrong {
    Lost,
    Resurrected,
    Unexpected,
    Duplicate,
    Stale,
}

const WRONGS: [Wrong; 5] =
    [Wrong::Lost, Wrong::Resurrected, Wrong::Unexpected, Wrong::Duplicate, Wrong::Stale];

impl Wrong {
    fn name(self) -> &'static str {
        match self {
            Wrong::Lost => "lost-element",
            Wrong::Resurrected => "resurrected-element",
            Wrong::Unexpected => "unexpected-element",
            Wrong::Duplicate => "duplicate-element",
            Wrong::Stale => "stale-element",
        }
    }

    fn says(self) -> &'static str {
        match self {
            Wrong::Lost => "known to be there, but missing from a read, and seen by none after it",
            Wrong::Resurrected => "reported as certainly not added, yet in a read",
            Wrong::Unexpected => "in a read though nobody had begun to add it",
            Wrong::Duplicate => "more than once in one read",
            Wrong::Stale => "known to be there, but missing from a later read",
        }
    }
}

/// What all sets came to.
#[derive(Default)]
struct Total {
    reads: usize,
    attempted: usize,
    acknowledged: usize,
    stable: usize,
    never_read: usize,
    wrong: BTreeMap<Wrong, usize>,
    unread: Vec<String>,
    stable_ns: Vec<u64>,
    lost_ns: Vec<u64>,
    linearizable: bool,
    anomalies: Vec<(Wrong, ordeal_core::Anomaly)>,
}

impl Total {
    fn add(&mut self, judge: &SetFull, who: &Witnesses, key: Option<&Key>, set: &Set) {
        self.linearizable = judge.linearizable;
        self.reads += set.reads.len();
        let sight = Sight::of(set);
        let mut found: BTreeMap<Wrong, Vec<u32>> = BTreeMap::new();
        let (mut acknowledged, mut seen) = (0, 0);
        for (at, adds) in set.adds.iter().enumerate() {
            self.attempted += usize::from(adds.is_some());
            acknowledged += usize::from(adds.is_some_and(|a| a.acknowledged > 0));
            let fate = sight.fate(at);
            seen += usize::from(matches!(fate, Fate::Stable | Fate::Stale { .. }));
            match fate {
                Fate::Unknown => {}
                Fate::NeverRead => self.never_read += 1,
                Fate::Stable => self.stable_ns.push(0),
                Fate::Stale { known, missed } => {
                    self.stable_ns.push(missed.began_ns.saturating_sub(known.ended_ns()));
                    found.entry(Wrong::Stale).or_default().push(at as u32);
                }
                Fate::Lost { known, last, .. } => {
                    let last_ns = last.map_or(0, |last| last.began_ns);
                    self.lost_ns.push(last_ns.saturating_sub(known.ended_ns()));
                    found.entry(Wrong::Lost).or_default().push(at as u32);
                }
                Fate::Unexpected(_) => found.entry(Wrong::Unexpected).or_default().push(at as u32),
                Fate::Resurrected(_) => found.entry(Wrong::Resurrected).or_default().push(at as u32),
            }
        }
        if !set.duplicated.is_empty() {
            found.insert(Wrong::Duplicate, set.duplicated.keys().copied().collect());
        }
        self.acknowledged += acknowledged;
        self.stable += seen;
        if acknowledged > 0 && set.reads.is_empty() {
            self.unread.push(name_of(key, "set"));
        }
        for (wrong, mut elements) in found {
            *self.wrong.entry(wrong).or_default() += elements.len();
            if wrong != Wrong::Stale || judge.linearizable {
                elements.sort_unstable_by_key(|&e| set.names[e as usize]);
                let flaws: Vec<Flaw<'_>> =
                    elements.iter().take(LISTED).map(|&e| judge.flaw(&sight, wrong, e)).collect();
                let fault = Fault { key, name: wrong.name(), noun: "element", says: wrong.says() };
                self.anomalies.push((wrong, who.anomaly(&fault, &flaws, elements.len())));
            }
        }
    }

    fn conclude(mut self) -> Finding {
        self.anomalies.sort_by_key(|a| a.0);
        let of = |wrong| self.wrong.get(&wrong).copied().unwrap_or(0);
        let judged =
            format!("{} acknowledged, {}", count(self.acknowledged, "element"), count(self.reads, "read"));
        let (verdict, summary) = if !self.anomalies.is_empty() {
            let judge_stale = self.linearizable;
            let told = self.wrong.iter().filter(|(wrong, _)| **wrong != Wrong::Stale || judge_stale);
            let kinds: Vec<String> = told.map(|(wrong, n)| format!("{n} {}", wrong.name())).collect();
            (Verdict::Invalid, format!("{} ({judged})", kinds.join(", ")))
        } else if self.reads == 0 {
            (Verdict::Vacuous, "no read succeeded".to_owned())
        } else if !self.unread.is_empty() {
            let unread = listed(&self.unread, 5, ", ");
            (Verdict::Vacuous, format!("no read succeeded of {unread} ({judged})"))
        } else if self.stable == 0 {
            (Verdict::Vacuous, format!("no read shows an element that was added ({judged})"))
        } else {
            let stale = of(Wrong::Stale);
            let late = if stale > 0 { format!(", {stale} of them late") } else { String::new() };
            (Verdict::Valid, format!("{} stable{late}: {judged}", count(self.stable, "element")))
        };
        let mut finding = Finding::new(ABOUT.name, verdict, summary)
            .with("reads", self.reads)
            .with("elements_attempted", self.attempted)
            .with("elements_acknowledged", self.acknowledged)
            .with("elements_stable", self.stable)
            .with("elements_never_read", self.never_read);
        for wrong in WRONGS {
            finding = finding.with(&(wrong.name().replace('-', "_") + "s"), of(wrong));
        }
        finding = with_quantiles(finding, "stable_latency", self.stable_ns);
        finding = with_quantiles(finding, "lost_latency", self.lost_ns);
        finding.anomalies = self.anomalies.into_iter().map(|a| a.1).collect();
        finding
    }
}

impl SetFull {
    /// The operations that show what is wrong with an element.
    fn flaw<'s>(&'s self, sight: &Sight<'s>, wrong: Wrong, number: u32) -> Flaw<'s> {
        let adds = &sight.set.adds[number as usize];
        let read = |op: &Seen| (&*self.read, *op);
        let mut ops: Vec<(&str, Seen)> = adds.iter().map(|adds| (&*self.add, adds.best)).collect();
        match (wrong, sight.fate(number as usize)) {
            (Wrong::Duplicate, _) => {
                let shown = sight.set.duplicated.get(&number).and_then(|(_, at)| sight.read(*at));
                ops.extend(shown.map(read));
            }
            (_, Fate::Lost { known, last, missed }) => {
                ops.extend([Some(known), last, Some(missed)].into_iter().flatten().map(read));
            }
            (_, Fate::Stale { known, missed }) => ops.extend([known, missed].map(read)),
            (_, Fate::Unexpected(shown) | Fate::Resurrected(shown)) => ops.push(read(shown)),
            _ => {}
        }
        // What it is known from may be the addition itself.
        let mut cited: Vec<u64> = Vec::new();
        ops.retain(|(_, op)| {
            let new = !cited.contains(&op.index());
            cited.push(op.index());
            new
        });
        Flaw { value: sight.set.names[number as usize], ops }
    }
}
