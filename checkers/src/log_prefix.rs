//! Agreement on a replicated log: every read is a prefix of every longer one.
//!
//! `append` adds its argument and may answer with a position, `read` answers with the whole log as the
//! node that was asked has it. For each key:
//!
//! - *fork*: two reads have different entries at one position;
//! - *shrunk*: a read of a node is shorter than one of the same node that had ended before it began, be it
//!   in another life of the node;
//! - *moved*: entries stand in another order in the log than the positions with which their appends
//!   were acknowledged, or two appends were acknowledged with one position (entries that the log holds
//!   twice are left out of the former);
//! - *unequal end*: of the reads in the phase `final-reads`, when everything is healed and settled, the
//!   last one of a node is shorter than that of another. A key to which anything was appended during that
//!   phase, or may have been at any time, is left out of this.
//!
//! The longest log so far is kept with the reads that first showed each part of it; every read is compared
//! with it and may lengthen it. As reads that agree with one log agree with one another, this finds a
//! fork if there is one. Time O(total size of reads), memory O(longest log + reads).

mod log;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use ordeal_core::{
    Anomaly, Checker, Event, EventKind, Finding, History, Intake, Key, Operation, Verdict, check_operations,
};
use serde_json::{Value, json};

use crate::About;
use crate::phases::{FINAL_READS, Phases};
use crate::recall::{AtomMap, Keyed, Seen, Trouble, Witnesses, distinct, name_of};
use crate::words::{count, listed, of_key};
use log::Log;

/// How lists show it.
pub(crate) const ABOUT: About =
    About { name: "log-prefix", about: "reads of a replicated log agree, at every node and over time" };

/// How many violations of one kind get an anomaly; the rest are counted.
const REPORTED: usize = 50;

/// The judge.
#[derive(Clone, Debug)]
pub struct LogPrefix {
    append: Cow<'static, str>,
    read: Cow<'static, str>,
}

impl LogPrefix {
    /// A judge of the logs appended to by the one function and read, as a whole, by the other.
    pub fn new(append: impl Into<Cow<'static, str>>, read: impl Into<Cow<'static, str>>) -> Self {
        LogPrefix { append: append.into(), read: read.into() }
    }

    fn intake_now(&self) -> Box<dyn Intake + '_> {
        Box::new(Work {
            judge: self,
            who: Witnesses::default(),
            logs: Keyed::default(),
            phases: Phases::default(),
            trouble: Trouble::default(),
        })
    }
}

impl Default for LogPrefix {
    fn default() -> Self {
        LogPrefix::new("append", "read")
    }
}

impl Checker for LogPrefix {
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
    judge: &'c LogPrefix,
    who: Witnesses,
    logs: Keyed<Log>,
    phases: Phases<'static>,
    trouble: Trouble,
}

impl Intake for Work<'_> {
    fn take(&mut self, op: &Operation<'_>) {
        if op.f() == self.judge.append && op.kind() != EventKind::Fail {
            self.logs.of(op.key()).take_append(op, &mut self.who);
        } else if op.f() == self.judge.read {
            match op.output() {
                Some(Value::Array(entries)) => {
                    let seen = self.who.remember(op);
                    self.logs.of(op.key()).take_read(entries, seen);
                }
                Some(other) => self
                    .trouble
                    .note(op, || format!("`{}` answers with an array, not {other}", self.judge.read)),
                None => {}
            }
        }
    }

    fn mark(&mut self, event: &Event) {
        self.phases.mark(event);
    }

    fn finish(self: Box<Self>) -> Finding {
        if let Some(finding) = self.trouble.finding(ABOUT.name) {
            return finding;
        }
        let Work { judge, who, logs, phases, .. } = *self;
        let mut total = Total { read: &judge.read, who, phases, ..Total::default() };
        for (key, mut log) in logs.sorted() {
            let key = key.as_ref();
            total.reads += log.reads.len();
            total.longest = total.longest.max(log.entries.len());
            if log.reads.is_empty() {
                total.unread.push(name_of(key, "log"));
            }
            total.forks(key, &log);
            total.shrunk(key, &mut log);
            total.moved(key, &mut log);
            total.unequal_end(key, &log);
        }
        total.conclude()
    }
}

/// What can be wrong with a log, gravest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wrong {
    Fork,
    Moved,
    PositionRepeated,
    Shrunk,
    UnequalEnd,
}

const WRONGS: [Wrong; 5] =
    [Wrong::Fork, Wrong::Moved, Wrong::PositionRepeated, Wrong::Shrunk, Wrong::UnequalEnd];

impl Wrong {
    fn name(self) -> &'static str {
        match self {
            Wrong::Fork => "log-fork",
            Wrong::Moved => "entry-moved",
            Wrong::PositionRepeated => "position-repeated",
            Wrong::Shrunk => "log-shrunk",
            Wrong::UnequalEnd => "unequal-end",
        }
    }

    /// The name of their number.
    fn measurement(self) -> &'static str {
        match self {
            Wrong::Fork => "log_forks",
            Wrong::Moved => "entries_moved",
            Wrong::PositionRepeated => "positions_repeated",
            Wrong::Shrunk => "logs_shrunk",
            Wrong::UnequalEnd => "unequal_ends",
        }
    }
}

/// What all logs came to.
#[derive(Default)]
struct Total<'c> {
    read: &'c str,
    who: Witnesses,
    phases: Phases<'static>,
    reads: usize,
    longest: usize,
    unread: Vec<String>,
    ends_compared: usize,
    /// Logs whose ends differ by appends of unknown outcome only.
    late: Vec<String>,
    found: BTreeMap<Wrong, usize>,
    anomalies: Vec<(Wrong, Anomaly)>,
}

impl Total<'_> {
    fn note(
        &mut self,
        wrong: Wrong,
        key: Option<&Key>,
        ops: &[Seen],
        message: impl FnOnce(&Self) -> (String, Value),
    ) {
        let found = self.found.entry(wrong).or_default();
        *found += 1;
        if *found <= REPORTED {
            let (message, details) = message(self);
            let anomaly = Anomaly {
                name: wrong.name().to_owned(),
                message: of_key(key) + &message,
                key: key.cloned(),
                events: distinct(ops.iter().flat_map(Seen::cite)),
                details,
            };
            self.anomalies.push((wrong, anomaly));
        }
    }

    fn forks(&mut self, key: Option<&Key>, log: &Log) {
        for ((at, entry), fork) in &log.forks {
            self.note(Wrong::Fork, key, &[fork.from, fork.first], |this| {
                let reads = count(fork.reads, "read");
                let there = fork.instead_of.map_or_else(String::new, |entry| entry.to_string());
                let (from, first) = (this.who.who_when(&fork.from), this.who.who_when(&fork.first));
                let message = format!(
                    "reads fork at position {at}: {there} ({} by {from}), but {entry} in {reads} (first by {first}).",
                    this.read,
                );
                let details = json!({ "position": at, "entries": [there, entry.to_string()], "reads": fork.reads });
                (message, details)
            });
        }
    }

    /// Looks at the reads of each node in order of time.
    fn shrunk(&mut self, key: Option<&Key>, log: &mut Log) {
        let mut nodes: BTreeMap<u32, Vec<(Seen, usize)>> = BTreeMap::new();
        for read in &log.reads {
            if let Some(node) = self.who.node_of(&read.0) {
                nodes.entry(node).or_default().push(*read);
            }
        }
        for mut reads in nodes.into_values() {
            reads.sort_unstable_by_key(|(op, _)| (op.call, op.index()));
            let mut ended = reads.clone();
            ended.sort_unstable_by_key(|(op, _)| (op.ret, op.index()));
            let (mut done, mut longest): (usize, Option<(Seen, usize)>) = (0, None);
            for (op, length) in reads {
                while let Some(before) = ended.get(done).filter(|(before, _)| before.precedes(&op)) {
                    longest = longest.filter(|longest| longest.1 >= before.1).or(Some(*before));
                    done += 1;
                }
                if let Some((before, was)) = longest.filter(|longest| longest.1 > length) {
                    self.note(Wrong::Shrunk, key, &[before, op], |this| {
                        let (first, then) = (this.who.who_when(&before), this.who.who_when(&op));
                        let message = format!(
                            "the log of one node shrank: its length was {was} ({first}), then {length} ({then})."
                        );
                        (message, json!({ "was": was, "is": length }))
                    });
                }
            }
        }
    }

    fn moved(&mut self, key: Option<&Key>, log: &mut Log) {
        if log.placed.is_empty() {
            return;
        }
        log.placed.sort_unstable_by_key(|(position, _, op)| (*position, op.index()));
        for pair in log.placed.windows(2) {
            let ((position, a, first), (again, b, then)) = (pair[0], pair[1]);
            if position == again {
                self.note(Wrong::PositionRepeated, key, &[first, then], |this| {
                    let (first, then) = (this.who.who_when(&first), this.who.who_when(&then));
                    let message = format!(
                        "two appends were acknowledged with position {position}: {a} ({first}), {b} ({then})."
                    );
                    (message, json!({ "position": position }))
                });
            }
        }
        let mut places: AtomMap<Option<usize>> = AtomMap::default();
        for (at, entry) in log.entries.iter().enumerate() {
            places.entry(*entry).and_modify(|place| *place = None).or_insert(Some(at));
        }
        let mut appended: AtomMap<u32> = AtomMap::default();
        log.placed.iter().for_each(|(_, value, _)| *appended.entry(*value).or_default() += 1);
        // The order of positions; their places in the log must rise with them.
        let mut before: Option<(usize, usize)> = None;
        for i in 0..log.placed.len() {
            let (position, value, op) = log.placed[i];
            let Some(at) = places.get(&value).copied().flatten().filter(|_| appended[&value] == 1) else {
                continue;
            };
            if let Some((_, j)) = before.filter(|(there, j)| *there > at && log.placed[*j].0 < position) {
                let (first, other, rival) = log.placed[j];
                let shown = log.shown_by(at.max(before.map_or(at, |b| b.0)));
                let ops: Vec<Seen> = [Some(rival), Some(op), shown].into_iter().flatten().collect();
                self.note(Wrong::Moved, key, &ops, |_| {
                    let message = format!(
                        "{value} was acknowledged with position {position}, after {other} with {first}, but stands before it in the log."
                    );
                    (message, json!({ "entries": [other.to_string(), value.to_string()], "positions": [first, position] }))
                });
            }
            if before.is_none_or(|(there, _)| there < at) {
                before = Some((at, i));
            }
        }
    }

    /// Compares the last final reads of the nodes.
    fn unequal_end(&mut self, key: Option<&Key>, log: &Log) {
        if self.phases.began(FINAL_READS).is_none_or(|began| log.changed >= Some(began)) {
            return;
        }
        let mut last: HashMap<u32, (Seen, usize)> = HashMap::new();
        for read in &log.reads {
            let is_final = self.phases.at_stamp(read.0.began_ns, read.0.index()) == Some(FINAL_READS);
            if let Some(node) = self.who.node_of(&read.0).filter(|_| is_final) {
                let last = last.entry(node).or_insert(*read);
                if (last.0.ret, last.0.index()) < (read.0.ret, read.0.index()) {
                    *last = *read;
                }
            }
        }
        let mut ends: Vec<(u32, (Seen, usize))> = last.into_iter().collect();
        ends.sort_unstable_by_key(|(_, (op, length))| (std::cmp::Reverse(*length), op.index()));
        let Some((longest, behind)) = ends.split_first().filter(|(_, others)| !others.is_empty()) else {
            return;
        };
        self.ends_compared += 1;
        let length = longest.1.1;
        for (_, (op, short)) in behind.iter().filter(|(_, (_, short))| *short < length) {
            let lacks = log.entries.get(*short..length).unwrap_or_default();
            if lacks.iter().all(|entry| log.open.contains_key(entry)) {
                self.late.push(name_of(key, "log"));
                continue;
            }
            self.note(Wrong::UnequalEnd, key, &[longest.1.0, *op], |this| {
                let lacks: Vec<String> = lacks.iter().map(ToString::to_string).collect();
                let message = format!(
                    "the final read by {} lacks {}, which the one by {} has.",
                    this.who.who_when(op),
                    listed(&lacks, 5, ", "),
                    this.who.who_when(&longest.1.0),
                );
                (message, json!({ "lengths": [length, short] }))
            });
        }
    }

    fn conclude(mut self) -> Finding {
        self.anomalies.sort_by_key(|a| a.0);
        self.late.dedup();
        let judged = format!("{}, the longest of {}", count(self.reads, "read"), self.longest);
        let (verdict, summary) = if !self.found.is_empty() {
            let kinds: Vec<String> =
                self.found.iter().map(|(wrong, n)| format!("{n} {}", wrong.name())).collect();
            (Verdict::Invalid, format!("{} ({judged})", kinds.join(", ")))
        } else if self.reads == 0 {
            (Verdict::Vacuous, "no read succeeded".to_owned())
        } else if !self.late.is_empty() {
            let late = listed(&self.late, 5, ", ");
            let why = format!(
                "nodes end differently by appends whose outcome nobody knows, which may have come late: {late} ({judged})"
            );
            (Verdict::Unknown, why)
        } else if !self.unread.is_empty() {
            let unread = listed(&self.unread, 5, ", ");
            (Verdict::Vacuous, format!("no read succeeded of {unread} ({judged})"))
        } else if self.longest == 0 {
            (Verdict::Vacuous, format!("every read was empty ({judged})"))
        } else {
            (Verdict::Valid, format!("all reads agree: {judged}"))
        };
        let mut finding = Finding::new(ABOUT.name, verdict, summary)
            .with("reads", self.reads)
            .with("longest_log_entries", self.longest)
            .with("final_ends_compared", self.ends_compared);
        for wrong in WRONGS {
            finding = finding.with(wrong.measurement(), self.found.get(&wrong).copied().unwrap_or(0));
        }
        finding.anomalies = self.anomalies.into_iter().map(|a| a.1).collect();
        finding
    }
}
