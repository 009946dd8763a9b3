//! Set durability: every element whose addition was acknowledged is read in the end.
//!
//! The *final reads* are the successful reads that began in the phase `final-reads`, when everything is
//! healed and settled. In each of them must be every element whose addition was acknowledged before that
//! read began. Elements whose addition ended unknown may be there or not. Elements that were never
//! added, or whose every addition certainly failed, must not.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

use ordeal_core::{Anomaly, Checker, EventKind, Finding, History, Key, Operation, Verdict};
use serde_json::{Value, json};

use crate::About;
use crate::models::Atom;
use crate::phases::{FINAL_READS, Phases};
use crate::words::{cite, count, listed, of_key, who_when};

/// How lists show it.
pub(crate) const ABOUT: About = About {
    name: "set-durability",
    about: "every acknowledged element is in the final reads, and nothing else that should not be",
};

/// How many elements of one kind an anomaly lists and cites.
const LISTED: usize = 50;
/// How many elements a message spells out.
const SPELLED: usize = 3;

/// The judge.
#[derive(Clone, Debug)]
pub struct SetDurability {
    add: Cow<'static, str>,
    read: Cow<'static, str>,
}

impl SetDurability {
    /// A judge of the elements added by the one function and read, all at once, by the other.
    pub fn new(add: impl Into<Cow<'static, str>>, read: impl Into<Cow<'static, str>>) -> Self {
        SetDurability { add: add.into(), read: read.into() }
    }
}

/// What can be wrong with an element, gravest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Lost,
    Resurrected,
    Unexpected,
    Duplicate,
}

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Fault::Lost => "lost-element",
            Fault::Resurrected => "resurrected-element",
            Fault::Unexpected => "unexpected-element",
            Fault::Duplicate => "duplicate-element",
        }
    }

    /// What is said of so many elements.
    fn says(self) -> &'static str {
        match self {
            Fault::Lost => "acknowledged but missing from a final read",
            Fault::Resurrected => "reported as certainly not added, yet in a final read",
            Fault::Unexpected => "in a final read though nobody had added it",
            Fault::Duplicate => "more than once in one final read",
        }
    }
}

/// One set: its additions by element, and its final reads.
#[derive(Default)]
struct Set<'h> {
    adds: HashMap<Atom, Vec<Operation<'h>>>,
    acknowledged: Vec<(Atom, Operation<'h>)>,
    reads: Vec<(Operation<'h>, Vec<Atom>)>,
}

/// Every wrong element of one set, with the additions and the reads that show it.
type Faults<'h> = BTreeMap<(Fault, Atom), Vec<Operation<'h>>>;

impl Checker for SetDurability {
    fn name(&self) -> String {
        ABOUT.name.to_owned()
    }

    fn check(&self, history: &History) -> Finding {
        match self.sets(history) {
            Ok(sets) => conclude(&sets),
            Err(why) => Finding::new(ABOUT.name, Verdict::Unknown, why),
        }
    }
}

impl SetDurability {
    fn sets<'h>(&self, history: &'h History) -> Result<BTreeMap<Option<&'h Key>, Set<'h>>, String> {
        let phases = Phases::of(history);
        let mut sets: BTreeMap<Option<&Key>, Set<'_>> = BTreeMap::new();
        for op in history.operations().map_err(|e| e.to_string())? {
            if op.f() == self.add {
                let set = sets.entry(op.key()).or_default();
                let element = Atom::from(op.input());
                if op.kind() == EventKind::Ok {
                    set.acknowledged.push((element.clone(), op));
                }
                set.adds.entry(element).or_default().push(op);
            } else if op.f() == self.read && phases.is_final(op.invoke) {
                let Some(output) = op.output() else {
                    continue;
                };
                let Value::Array(elements) = output else {
                    return Err(format!(
                        "event {}: `{}` answers with an array, not {output}",
                        op.index(),
                        self.read
                    ));
                };
                let elements = elements.iter().map(Atom::from).collect();
                sets.entry(op.key()).or_default().reads.push((op, elements));
            }
        }
        Ok(sets)
    }
}

impl<'h> Set<'h> {
    fn faults(&self) -> Faults<'h> {
        let mut faults = Faults::new();
        for (read, elements) in &self.reads {
            let mut present: HashSet<&Atom> = HashSet::with_capacity(elements.len());
            for element in elements {
                let fault = if present.insert(element) {
                    self.fault_of(element, read)
                } else {
                    Some(Fault::Duplicate)
                };
                if let Some(fault) = fault {
                    self.note(&mut faults, fault, element, read);
                }
            }
            for (element, add) in &self.acknowledged {
                if add.ret < read.call && !present.contains(element) {
                    self.note(&mut faults, Fault::Lost, element, read);
                }
            }
        }
        faults
    }

    /// What is wrong with `element` being in `read`.
    fn fault_of(&self, element: &Atom, read: &Operation<'_>) -> Option<Fault> {
        let adds = self.adds.get(element).map_or(&[][..], Vec::as_slice);
        let mut begun = adds.iter().filter(|add| add.call < read.ret).peekable();
        if begun.peek().is_none() {
            return Some(Fault::Unexpected);
        }
        begun.all(|add| add.kind() == EventKind::Fail).then_some(Fault::Resurrected)
    }

    fn note(&self, faults: &mut Faults<'h>, fault: Fault, element: &Atom, read: &Operation<'h>) {
        let ops = faults.entry((fault, element.clone())).or_insert_with(|| {
            let adds = self.adds.get(element).into_iter().flatten();
            adds.copied().collect()
        });
        if ops.last().is_none_or(|last| last.index() != read.index()) {
            ops.push(*read);
        }
    }
}

fn conclude(sets: &BTreeMap<Option<&Key>, Set<'_>>) -> Finding {
    let acknowledged: usize = sets.values().map(|s| s.acknowledged.len()).sum();
    let reads: usize = sets.values().map(|s| s.reads.len()).sum();
    let unread: Vec<String> = sets
        .iter()
        .filter(|(_, set)| set.reads.is_empty())
        .map(|(key, _)| key.map_or_else(|| "the set".to_owned(), |k| format!("key {k}")))
        .collect();
    let mut totals: BTreeMap<Fault, usize> = BTreeMap::new();
    let mut anomalies: Vec<(Fault, Anomaly)> = Vec::new();
    for (key, set) in sets {
        let faults = set.faults();
        for fault in [Fault::Lost, Fault::Resurrected, Fault::Unexpected, Fault::Duplicate] {
            let found: Vec<_> = faults.iter().filter(|((f, _), _)| *f == fault).collect();
            if !found.is_empty() {
                *totals.entry(fault).or_default() += found.len();
                anomalies.push((fault, anomaly(*key, fault, &found)));
            }
        }
    }
    anomalies.sort_by_key(|a| a.0);
    let judged = format!("{} acknowledged, {}", count(acknowledged, "element"), count(reads, "final read"));
    let (verdict, summary) = if !totals.is_empty() {
        let kinds: Vec<String> = totals.iter().map(|(f, n)| format!("{n} {}", f.name())).collect();
        (Verdict::Invalid, format!("{} ({judged})", kinds.join(", ")))
    } else if reads == 0 {
        let why = format!("no read succeeded in the phase `{FINAL_READS}`");
        (Verdict::Vacuous, why)
    } else if !unread.is_empty() {
        let unread = listed(&unread, 5, ", ");
        (Verdict::Vacuous, format!("no final read succeeded of {unread} ({judged})"))
    } else if acknowledged == 0 {
        (Verdict::Vacuous, "no addition was ever acknowledged".to_owned())
    } else {
        (Verdict::Valid, format!("nothing lost, nothing invented: {judged}"))
    };
    let mut finding = Finding::new(ABOUT.name, verdict, summary)
        .with("elements_acknowledged", acknowledged)
        .with("final_reads", reads)
        .with("keys_without_final_read", unread.len());
    for fault in [Fault::Lost, Fault::Resurrected, Fault::Unexpected, Fault::Duplicate] {
        let name = fault.name().replace('-', "_") + "s";
        finding = finding.with(&name, totals.get(&fault).copied().unwrap_or(0));
    }
    finding.anomalies = anomalies.into_iter().map(|a| a.1).collect();
    finding
}

/// One anomaly for all elements of one set with the same fault.
fn anomaly(key: Option<&Key>, fault: Fault, found: &[(&(Fault, Atom), &Vec<Operation<'_>>)]) -> Anomaly {
    let spelled: Vec<String> = found
        .iter()
        .take(SPELLED)
        .map(|((_, element), ops)| {
            let ops: Vec<String> = ops.iter().map(|op| format!("{} by {}", op.f(), who_when(op))).collect();
            format!("{element} ({})", listed(&ops, 4, "; "))
        })
        .collect();
    let more = found.len() - spelled.len();
    let tail = if more == 0 { String::new() } else { format!(", and {more} more") };
    let elements: Vec<Value> = found
        .iter()
        .take(LISTED)
        .map(|((_, element), ops)| {
            let events: Vec<u64> = ops.iter().flat_map(cite).collect();
            json!({ "element": element.to_string(), "events": events })
        })
        .collect();
    let mut events: Vec<u64> = Vec::new();
    for index in found.iter().take(LISTED).flat_map(|(_, ops)| ops.iter()).flat_map(cite) {
        if !events.contains(&index) {
            events.push(index);
        }
    }
    Anomaly {
        name: fault.name().to_owned(),
        message: format!(
            "{}{} {}: {}{tail}.",
            of_key(key),
            count(found.len(), "element"),
            fault.says(),
            spelled.join(", "),
        ),
        key: key.cloned(),
        events,
        details: json!({ "total": found.len(), "elements": elements }),
    }
}
