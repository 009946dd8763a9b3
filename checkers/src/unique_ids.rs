//! Unique identifiers: no two successful `generate` answer the same (Jepsen's `unique-ids`).
//!
//! Time and memory O(answers).

use std::borrow::Cow;
use std::collections::hash_map::Entry;

use ordeal_core::{
    Anomaly, Checker, EventKind, Finding, History, Intake, Operation, Verdict, check_operations,
};
use serde_json::Value;

use crate::About;
use crate::models::Atom;
use crate::recall::{AtomMap, Fault, Flaw, Keyed, LISTED, Seen, Trouble, Witnesses};
use crate::words::count;

/// How lists show it.
pub(crate) const ABOUT: About = About { name: "unique-ids", about: "no identifier is handed out twice" };

/// The judge.
#[derive(Clone, Debug)]
pub struct UniqueIds {
    generate: Cow<'static, str>,
}

impl UniqueIds {
    /// A judge of the answers to this function.
    pub fn new(generate: impl Into<Cow<'static, str>>) -> Self {
        UniqueIds { generate: generate.into() }
    }

    fn intake_now(&self) -> Box<dyn Intake + '_> {
        Box::new(Work {
            judge: self,
            who: Witnesses::default(),
            keys: Keyed::default(),
            asked: 0,
            trouble: Trouble::default(),
        })
    }
}

impl Default for UniqueIds {
    fn default() -> Self {
        UniqueIds::new("generate")
    }
}

impl Checker for UniqueIds {
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
    judge: &'c UniqueIds,
    who: Witnesses,
    keys: Keyed<Ids>,
    asked: usize,
    trouble: Trouble,
}

/// The identifiers of one generator.
#[derive(Default)]
struct Ids {
    first: AtomMap<Seen>,
    again: Vec<(Atom, Seen)>,
}

impl Intake for Work<'_> {
    fn take(&mut self, op: &Operation<'_>) {
        if op.f() != self.judge.generate {
            return;
        }
        self.asked += usize::from(op.kind() != EventKind::Fail);
        let Some(id) = op.output() else {
            return;
        };
        if id.is_null() {
            return self.trouble.note(op, || format!("`{}` answers with an identifier, not null", op.f()));
        }
        let seen = self.who.remember(op);
        let ids = self.keys.of(op.key());
        match ids.first.entry(Atom::from(id)) {
            Entry::Vacant(place) => _ = place.insert(seen),
            Entry::Occupied(place) => ids.again.push((*place.key(), seen)),
        }
    }

    fn finish(self: Box<Self>) -> Finding {
        if let Some(finding) = self.trouble.finding(ABOUT.name) {
            return finding;
        }
        let (mut answers, mut duplicated) = (0, 0);
        let mut range: Option<(Atom, Atom)> = None;
        let mut anomalies = Vec::new();
        for (key, ids) in self.keys.sorted() {
            answers += ids.first.len() + ids.again.len();
            for &id in ids.first.keys() {
                range = Some(range.map_or((id, id), |(low, high)| (low.min(id), high.max(id))));
            }
            let (total, anomaly) = repeated(&self.who, &self.judge.generate, key.as_ref(), ids);
            duplicated += total;
            anomalies.extend(anomaly);
        }
        let ids = count(answers, "identifier");
        let (verdict, summary) = if duplicated > 0 {
            (Verdict::Invalid, format!("{duplicated} of {ids} handed out more than once"))
        } else if answers == 0 {
            (Verdict::Vacuous, format!("no `{}` succeeded", self.judge.generate))
        } else {
            (Verdict::Valid, format!("{ids}, no two the same"))
        };
        let bound = |id: Option<Atom>| id.map_or(Value::Null, |id| Value::String(id.to_string()));
        let mut finding = Finding::new(ABOUT.name, verdict, summary)
            .with("identifiers_asked_for", self.asked)
            .with("identifiers", answers)
            .with("duplicate_identifiers", duplicated)
            .with("lowest_identifier", bound(range.map(|r| r.0)))
            .with("highest_identifier", bound(range.map(|r| r.1)));
        finding.anomalies = anomalies;
        finding
    }
}

/// How many identifiers of one generator came more than once, and the anomaly that says which.
fn repeated(
    who: &Witnesses,
    generate: &str,
    key: Option<&ordeal_core::Key>,
    ids: Ids,
) -> (usize, Option<Anomaly>) {
    let Ids { first, mut again } = ids;
    again.sort_unstable_by_key(|(id, op)| (*id, op.index()));
    let repeats: Vec<&[(Atom, Seen)]> = again.chunk_by(|a, b| a.0 == b.0).collect();
    if repeats.is_empty() {
        return (0, None);
    }
    let flaw = |repeat: &&[(Atom, Seen)]| {
        let mut ops: Vec<Seen> = repeat.iter().take(LISTED).map(|r| r.1).collect();
        ops.extend(first.get(&repeat[0].0));
        ops.sort_unstable_by_key(Seen::index);
        Flaw { value: repeat[0].0, ops: ops.into_iter().map(|op| (generate, op)).collect() }
    };
    let flaws: Vec<Flaw<'_>> = repeats.iter().take(LISTED).map(flaw).collect();
    let fault =
        Fault { key, name: "duplicate-identifier", noun: "identifier", says: "handed out more than once" };
    (repeats.len(), Some(who.anomaly(&fault, &flaws, repeats.len())))
}
