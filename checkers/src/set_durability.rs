//! Set durability: every element whose addition was acknowledged is read in the end.
//!
//! The *final reads* are the successful reads that began in the phase `final-reads`, when everything is
//! healed and settled; or, [in a history without phases](SetDurability::last_read), the successful read of
//! each set that began last (Jepsen's `set`). In each of them must be every element whose addition was
//! acknowledged before that read began. Elements whose addition ended unknown may be there or not.
//! Elements that were never added, or whose every addition certainly failed, must not.
//!
//! Time O(additions + total size of final reads), memory O(elements + final reads).

use std::borrow::Cow;
use std::collections::BTreeMap;

use ordeal_core::{
    Anomaly, Checker, Event, Finding, History, Intake, Key, Operation, Verdict, check_operations,
};
use serde_json::Value;

use crate::About;
use crate::models::Atom;
use crate::phases::{FINAL_READS, Phases};
use crate::recall::{AtomMap, Attempts, Fault, Flaw, Keyed, LISTED, Seen, Trouble, Witnesses, name_of};
use crate::words::{count, listed};

/// How lists show it.
pub(crate) const ABOUT: About = About {
    name: "set-durability",
    about: "every acknowledged element is in the final reads, and nothing else that should not be",
};

/// How lists show the one that looks at the last read.
pub(crate) const ABOUT_LAST: About =
    About { name: "set-final", about: "every acknowledged element is in the last read, and nothing else" };

/// The judge.
#[derive(Clone, Debug)]
pub struct SetDurability {
    add: Cow<'static, str>,
    read: Cow<'static, str>,
    /// Where in an answer the elements are; `None`: the answer is the array.
    field: Option<&'static str>,
    last_read: bool,
}

impl SetDurability {
    /// A judge of the elements added by the one function and read, all at once, by the other.
    pub fn new(add: impl Into<Cow<'static, str>>, read: impl Into<Cow<'static, str>>) -> Self {
        SetDurability { add: add.into(), read: read.into(), field: None, last_read: false }
    }

    /// Takes the elements from this field of an answer, which tells more besides.
    #[must_use]
    pub fn in_field(mut self, field: &'static str) -> Self {
        self.field = Some(field);
        self
    }

    /// Takes the last read of each set for the final one, whatever phase it is in.
    #[must_use]
    pub fn last_read(mut self) -> Self {
        self.last_read = true;
        self
    }

    fn about(&self) -> &'static About {
        if self.last_read { &ABOUT_LAST } else { &ABOUT }
    }

    fn intake_now(&self) -> Box<dyn Intake + '_> {
        Box::new(Work {
            judge: self,
            who: Witnesses::default(),
            sets: Keyed::default(),
            phases: Phases::default(),
            trouble: Trouble::default(),
        })
    }
}

impl Checker for SetDurability {
    fn name(&self) -> String {
        self.about().name.to_owned()
    }

    fn check(&self, history: &History) -> Finding {
        check_operations(self.name(), self.intake_now(), history)
    }

    fn intake(&self) -> Option<Box<dyn Intake + '_>> {
        Some(self.intake_now())
    }
}

/// What can be wrong with an element, gravest first.
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
            Wrong::Lost => "lost-element",
            Wrong::Resurrected => "resurrected-element",
            Wrong::Unexpected => "unexpected-element",
            Wrong::Duplicate => "duplicate-element",
        }
    }

    /// What is said of so many elements.
    fn says(self) -> &'static str {
        match self {
            Wrong::Lost => "acknowledged but missing from a final read",
            Wrong::Resurrected => "reported as certainly not added, yet in a final read",
            Wrong::Unexpected => "in a final read though nobody had added it",
            Wrong::Duplicate => "more than once in one final read",
        }
    }
}

struct Work<'c> {
    judge: &'c SetDurability,
    who: Witnesses,
    sets: Keyed<Set>,
    phases: Phases<'static>,
    trouble: Trouble,
}

/// One set: its additions by element, and its final reads, each with the elements in order.
#[derive(Default)]
struct Set {
    adds: AtomMap<Attempts>,
    reads: Vec<(Seen, Vec<Atom>)>,
}

impl Intake for Work<'_> {
    fn take(&mut self, op: &Operation<'_>) {
        if op.f() == self.judge.add {
            let seen = self.who.remember(op);
            let adds = &mut self.sets.of(op.key()).adds;
            let new = || Attempts::new(seen, op.kind());
            adds.entry(Atom::from(op.input()))
                .and_modify(|adds| adds.add(seen, op.kind()))
                .or_insert_with(new);
        } else if op.f() == self.judge.read && (self.judge.last_read || self.phases.is_final(op.invoke)) {
            let answer = op.output();
            match answer.map(|answer| self.judge.field.map_or(answer, |field| &answer[field])) {
                Some(Value::Array(elements)) => self.take_read(op, elements),
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
        if let Some(finding) = self.trouble.finding(self.judge.about().name) {
            return finding;
        }
        let mut total = Total::default();
        for (key, mut set) in self.sets.sorted() {
            set.reads.sort_by_key(|(op, _)| op.index());
            total.add(self.judge, &self.who, key.as_ref(), &set);
        }
        total.conclude(self.judge)
    }
}

impl Work<'_> {
    fn take_read(&mut self, op: &Operation<'_>, elements: &[Value]) {
        let seen = self.who.remember(op);
        let reads = &mut self.sets.of(op.key()).reads;
        if self.judge.last_read {
            let later = |(last, _): &(Seen, Vec<Atom>)| (last.call, last.index()) > (seen.call, seen.index());
            if reads.first().is_some_and(later) {
                return;
            }
            reads.clear();
        }
        let mut elements: Vec<Atom> = elements.iter().map(Atom::from).collect();
        elements.sort_unstable();
        reads.push((seen, elements));
    }
}

/// Every wrong element of one set, with the final reads that show it.
type Faults = BTreeMap<(Wrong, Atom), Vec<Seen>>;

impl Set {
    fn faults(&self) -> Faults {
        let mut faults = Faults::new();
        for (read, elements) in &self.reads {
            let mut note = |wrong, element| faults.entry((wrong, element)).or_default().push(*read);
            let mut present: AtomMap<()> = AtomMap::default();
            for same in elements.chunk_by(|a, b| a == b) {
                present.insert(same[0], ());
                if let Some(wrong) = self.wrong(same[0], read) {
                    note(wrong, same[0]);
                }
                if same.len() > 1 {
                    note(Wrong::Duplicate, same[0]);
                }
            }
            for (element, adds) in &self.adds {
                let acknowledged = adds.first_acknowledged().is_some_and(|add| add.precedes(read));
                if acknowledged && !present.contains_key(element) {
                    note(Wrong::Lost, *element);
                }
            }
        }
        faults
    }

    /// What is wrong with `element` being in `read`.
    fn wrong(&self, element: Atom, read: &Seen) -> Option<Wrong> {
        match self.adds.get(&element) {
            Some(adds) if adds.first_live_call < read.ret => None,
            Some(adds) if adds.first_call < read.ret => Some(Wrong::Resurrected),
            _ => Some(Wrong::Unexpected),
        }
    }
}

/// What all sets came to.
#[derive(Default)]
struct Total {
    acknowledged: usize,
    reads: usize,
    unread: Vec<String>,
    wrong: BTreeMap<Wrong, usize>,
    anomalies: Vec<(Wrong, Anomaly)>,
}

impl Total {
    fn add(&mut self, judge: &SetDurability, who: &Witnesses, key: Option<&Key>, set: &Set) {
        self.acknowledged += set.adds.values().map(|adds| adds.acknowledged as usize).sum::<usize>();
        self.reads += set.reads.len();
        if set.reads.is_empty() {
            self.unread.push(name_of(key, "set"));
        }
        let faults = set.faults();
        for wrong in WRONGS {
            let found: Vec<_> = faults.iter().filter(|((w, _), _)| *w == wrong).collect();
            if found.is_empty() {
                continue;
            }
            *self.wrong.entry(wrong).or_default() += found.len();
            let flaw = |((_, element), reads): &(&(Wrong, Atom), &Vec<Seen>)| {
                let add = set.adds.get(element).map(|adds| (&*judge.add, adds.best));
                let reads = reads.iter().map(|read| (&*judge.read, *read));
                Flaw { value: *element, ops: add.into_iter().chain(reads).collect() }
            };
            let flaws: Vec<Flaw<'_>> = found.iter().take(LISTED).map(flaw).collect();
            let fault = Fault { key, name: wrong.name(), noun: "element", says: wrong.says() };
            self.anomalies.push((wrong, who.anomaly(&fault, &flaws, found.len())));
        }
    }

    fn conclude(mut self, judge: &SetDurability) -> Finding {
        self.anomalies.sort_by_key(|a| a.0);
        let judged = format!(
            "{} acknowledged, {}",
            count(self.acknowledged, "element"),
            count(self.reads, "final read")
        );
        let (verdict, summary) = if !self.wrong.is_empty() {
            let kinds: Vec<String> = self.wrong.iter().map(|(w, n)| format!("{n} {}", w.name())).collect();
            (Verdict::Invalid, format!("{} ({judged})", kinds.join(", ")))
        } else if self.reads == 0 && judge.last_read {
            (Verdict::Vacuous, "no read succeeded".to_owned())
        } else if self.reads == 0 {
            (Verdict::Vacuous, format!("no read succeeded in the phase `{FINAL_READS}`"))
        } else if !self.unread.is_empty() {
            let unread = listed(&self.unread, 5, ", ");
            (Verdict::Vacuous, format!("no final read succeeded of {unread} ({judged})"))
        } else if self.acknowledged == 0 {
            (Verdict::Vacuous, "no addition was ever acknowledged".to_owned())
        } else {
            (Verdict::Valid, format!("nothing lost, nothing invented: {judged}"))
        };
        let mut finding = Finding::new(judge.about().name, verdict, summary)
            .with("elements_acknowledged", self.acknowledged)
            .with("final_reads", self.reads)
            .with("keys_without_final_read", self.unread.len());
        for wrong in WRONGS {
            let name = wrong.name().replace('-', "_") + "s";
            finding = finding.with(&name, self.wrong.get(&wrong).copied().unwrap_or(0));
        }
        finding.anomalies = self.anomalies.into_iter().map(|a| a.1).collect();
        finding
    }
}
