//! Convergence: when everything is healed and settled, all nodes answer the same.
//!
//! Judged are, for each key and each of the given functions, the last successful answer of each node in
//! the phase `final-reads`. A key on which anything was changed during that phase, or may have been, is
//! left out: there different answers prove nothing.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use ordeal_core::{
    Anomaly, Checker, Event, EventKind, Finding, History, Intake, Key, Operation, Verdict, check_operations,
};
use serde_json::{Map, Value, json};

use crate::About;
use crate::models::Atom;
use crate::phases::{FINAL_READS, Phases};
use crate::recall::{Seen, Witnesses};
use crate::words::{count, listed, of_key};

/// How lists show it.
pub(crate) const ABOUT: About = About { name: "convergence", about: "the final reads of all nodes agree" };

/// How many divergent keys get an anomaly; the rest are counted.
const REPORTED: usize = 50;
/// How many elements a message spells out.
const SPELLED: usize = 10;
/// Answers of at most so many characters are shown in full.
const SHORT: usize = 80;

/// The judge.
#[derive(Clone, Debug)]
pub struct Convergence {
    reads: Vec<Cow<'static, str>>,
    as_sets: bool,
}

impl Convergence {
    /// A judge of the answers to these functions, none of which may change anything. Every other function
    /// is taken to change the key it is about.
    pub fn new<F: Into<Cow<'static, str>>>(reads: impl IntoIterator<Item = F>) -> Self {
        Convergence { reads: reads.into_iter().map(Into::into).collect(), as_sets: false }
    }

    /// Compares arrays without regard to order and repetition.
    #[must_use]
    pub fn as_sets(mut self) -> Self {
        self.as_sets = true;
        self
    }
}

/// An answer, and the operation that got it.
struct Answer {
    op: Seen,
    value: Value,
}

/// The last answer of each node to one function on one key.
type Answers = BTreeMap<String, Answer>;

/// What the history holds for this judge.
#[derive(Default)]
struct Gathered {
    answers: BTreeMap<(Option<Key>, String), Answers>,
    /// Keys that may have changed during the final reads.
    changed: BTreeSet<Option<Key>>,
    /// What mutations of unknown outcome would write, by key: they may take effect at any time, even
    /// between two final reads.
    unknown: BTreeMap<Option<Key>, BTreeSet<Atom>>,
    nodes: BTreeSet<String>,
}

struct Work<'c> {
    judge: &'c Convergence,
    who: Witnesses,
    phases: Phases<'static>,
    gathered: Gathered,
}

impl Checker for Convergence {
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

impl Intake for Work<'_> {
    fn take(&mut self, op: &Operation<'_>) {
        let node = op.invoke.node.as_deref();
        if let Some(node) = node.filter(|node| !self.gathered.nodes.contains(*node)) {
            self.gathered.nodes.insert(node.to_owned());
        }
        if !self.judge.reads.iter().any(|f| f == op.f()) {
            return self.take_change(op);
        }
        let (Some(node), Some(value)) = (node, op.output()) else {
            return;
        };
        if self.phases.is_final(op.invoke) {
            let answer = Answer { op: self.who.remember(op), value: value.clone() };
            let answers = self.gathered.answers.entry((op.key().cloned(), op.f().to_owned())).or_default();
            let later = |last: &Answer| (last.op.ret, last.op.index()) < (answer.op.ret, answer.op.index());
            if answers.get(node).is_none_or(later) {
                answers.insert(node.to_owned(), answer);
            }
        }
    }

    fn mark(&mut self, event: &Event) {
        self.phases.mark(event);
    }

    fn finish(self: Box<Self>) -> Finding {
        self.judge.conclude(&self.gathered)
    }
}

impl Work<'_> {
    fn take_change(&mut self, op: &Operation<'_>) {
        let phases = &self.phases;
        let invoked_then = phases.is_final(op.invoke);
        // Without a completion the history was cut short, and it ran to the end.
        let ended_then = op.complete.map_or(phases.has(FINAL_READS), |e| phases.is_final(e));
        if op.kind() != EventKind::Fail && (invoked_then || ended_then) {
            self.gathered.changed.insert(op.key().cloned());
        }
        if op.kind() == EventKind::Info {
            let written = match op.input() {
                // A compare-and-set: `[from, to]`.
                Value::Array(pair) if pair.len() == 2 => &pair[1],
                other => other,
            };
            self.gathered.unknown.entry(op.key().cloned()).or_default().insert(Atom::from(written));
        }
    }
}

impl Convergence {
    fn intake_now(&self) -> Box<dyn Intake + '_> {
        Box::new(Work {
            judge: self,
            who: Witnesses::default(),
            phases: Phases::default(),
            gathered: Gathered::default(),
        })
    }

    /// The form in which answers are compared.
    fn form(&self, answer: &Value) -> Form {
        match answer {
            Value::Array(elements) if self.as_sets => Form::Set(elements.iter().map(Atom::from).collect()),
            other => Form::Whole(Atom::from(other)),
        }
    }

    /// Whether the answers differ only by what mutations of unknown outcome would write.
    fn explained(&self, answers: &Answers, late: &BTreeSet<Atom>) -> bool {
        let settled = answers.values().filter_map(|answer| {
            let answer = &answer.value;
            match (self.form(answer), answer) {
                (Form::Set(elements), _) => Some(Form::Set(elements.difference(late).cloned().collect())),
                // `[version, value]`
                (Form::Whole(_), Value::Array(pair))
                    if pair.len() == 2 && late.contains(&Atom::from(&pair[1])) =>
                {
                    None
                }
                // A list of records, some of which hold what was written.
                (Form::Whole(_), Value::Array(records)) if records.iter().all(Value::is_array) => {
                    let others = records.iter().filter(|record| !holds(record, late)).cloned();
                    Some(Form::Whole(Atom::from(&Value::Array(others.collect()))))
                }
                (Form::Whole(value), _) if late.contains(&value) => None,
                (form, _) => Some(form),
            }
        });
        settled.collect::<BTreeSet<Form>>().len() <= 1
    }

    fn conclude(&self, gathered: &Gathered) -> Finding {
        let (mut compared, mut skipped, mut divergent) = (0, 0, 0);
        let (mut lonely, mut missing, mut late) = (Vec::new(), Vec::new(), Vec::new());
        let mut anomalies = Vec::new();
        for ((key, f), answers) in &gathered.answers {
            let of = of_key(key.as_ref());
            if gathered.changed.contains(key) {
                skipped += 1;
                continue;
            }
            if answers.len() < 2 {
                let only: Vec<&str> = answers.keys().map(String::as_str).collect();
                lonely.push(format!("{of}`{f}` by {} only", only.join(", ")));
                continue;
            }
            let absent = gathered.nodes.iter().filter(|n| !answers.contains_key(*n));
            let absent: Vec<&str> = absent.map(String::as_str).collect();
            if !absent.is_empty() {
                missing.push(format!("{of}`{f}` not by {}", absent.join(", ")));
            }
            compared += 1;
            let mut groups: BTreeMap<Form, Vec<&str>> = BTreeMap::new();
            for (node, answer) in answers {
                groups.entry(self.form(&answer.value)).or_default().push(node);
            }
            if groups.len() > 1 && gathered.unknown.get(key).is_some_and(|late| self.explained(answers, late))
            {
                late.push(format!("{of}`{f}`"));
            } else if groups.len() > 1 {
                divergent += 1;
                if anomalies.len() < REPORTED {
                    anomalies.push(divergence(key.as_ref(), f, answers, &groups));
                }
            }
        }
        let answering: BTreeSet<&String> = gathered.answers.values().flat_map(BTreeMap::keys).collect();
        let (verdict, summary) = if divergent > 0 {
            let of = count(compared, "object");
            (Verdict::Invalid, format!("nodes disagree on {divergent} of {of}"))
        } else if !lonely.is_empty() {
            let lonely = listed(&lonely, 3, "; ");
            (Verdict::Vacuous, format!("fewer than two nodes answered: {lonely}"))
        } else if !missing.is_empty() {
            let missing = listed(&missing, 3, "; ");
            (Verdict::Unknown, format!("not every node answered every final read: {missing}"))
        } else if !late.is_empty() {
            let late = listed(&late, 3, "; ");
            (
                Verdict::Unknown,
                format!(
                    "nodes differ by operations whose outcome nobody knows, which may have come late: {late}"
                ),
            )
        } else if compared == 0 {
            let why = match (skipped, answering.len()) {
                (0, 0) => format!("no node answered a read in the phase `{FINAL_READS}`"),
                _ => format!("all {} changed during the final reads", count(skipped, "object")),
            };
            (Verdict::Vacuous, why)
        } else {
            let nodes = count(answering.len(), "node");
            (Verdict::Valid, format!("{nodes} agree on {}", count(compared, "object")))
        };
        let mut finding = Finding::new(ABOUT.name, verdict, summary)
            .with("objects_compared", compared)
            .with("objects_changed_meanwhile", skipped)
            .with("objects_divergent", divergent)
            .with("nodes_answering", answering.len())
            .with("objects_not_answered_by_all", missing.len());
        finding.anomalies = anomalies;
        finding
    }
}

/// Whether a record holds something that was written.
fn holds(record: &Value, written: &BTreeSet<Atom>) -> bool {
    record.as_array().into_iter().flatten().any(|field| written.contains(&Atom::from(field)))
}

/// An answer, ready for comparison.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    Whole(Atom),
    Set(BTreeSet<Atom>),
}

/// Who answered differently from most, and in what.
fn divergence(key: Option<&Key>, f: &str, answers: &Answers, groups: &BTreeMap<Form, Vec<&str>>) -> Anomaly {
    // The largest group, or of equals the first, is what the others are compared with.
    let most = groups.iter().rev().max_by_key(|(_, nodes)| nodes.len());
    let Some((_, majority)) = most else {
        return Anomaly {
            name: "divergence".to_owned(),
            message: String::new(),
            key: None,
            events: Vec::new(),
            details: Value::Null,
        };
    };
    let answer_of = |node: &str| answers.get(node).map_or(&Value::Null, |answer| &answer.value);
    let reference = answer_of(majority[0]);
    let differing: Vec<String> = groups
        .values()
        .filter(|nodes| *nodes != majority)
        .map(|nodes| {
            let what = difference(reference, answer_of(nodes[0]));
            format!("{} {what}", nodes.join(", "))
        })
        .collect();
    let shown = reference.to_string();
    let shown = if is_short(reference) { shown } else { shown.chars().take(SHORT).chain(['…']).collect() };
    Anomaly {
        name: "divergence".to_owned(),
        message: format!(
            "{}the final `{f}` differs between nodes: {} answered {shown}; {}.",
            of_key(key),
            majority.join(", "),
            differing.join("; "),
        ),
        key: key.cloned(),
        events: answers.values().flat_map(|answer| answer.op.cite()).collect(),
        details: json!({
            "function": f,
            "answers": answers
                .iter()
                .map(|(node, a)| json!({"node": node, "answer": a.value, "invoked": a.op.index()}))
                .collect::<Vec<_>>(),
        }),
    }
}

fn is_short(answer: &Value) -> bool {
    answer.to_string().chars().count() <= SHORT
}

/// How `answer` differs from `reference`: the answer itself, or of long arrays and maps e.g. `lacks 3, 4`.
fn difference(reference: &Value, answer: &Value) -> String {
    if is_short(reference) && is_short(answer) {
        return format!("answered {answer}");
    }
    match (reference, answer) {
        (Value::Array(a), Value::Array(b)) => difference_of_arrays(a, b),
        (Value::Object(a), Value::Object(b)) => difference_of_maps(a, b),
        _ => format!("answered {answer}"),
    }
}

fn difference_of_maps(a: &Map<String, Value>, b: &Map<String, Value>) -> String {
    let lacks: Vec<&String> = a.keys().filter(|k| !b.contains_key(*k)).collect();
    let besides: Vec<String> =
        b.iter().filter(|(k, _)| !a.contains_key(*k)).map(|(k, v)| format!("{k} = {v}")).collect();
    let other = b.iter().filter_map(|(k, v)| Some((k, v, a.get(k).filter(|there| *there != v)?)));
    let other: Vec<String> = other.map(|(k, v, there)| format!("{k} = {v} instead of {there}")).collect();
    let mut parts = Vec::new();
    if !lacks.is_empty() {
        parts.push(format!("lacks {}", listed(&lacks, SPELLED, ", ")));
    }
    if !besides.is_empty() {
        parts.push(format!("has {} besides", listed(&besides, SPELLED, ", ")));
    }
    if !other.is_empty() {
        parts.push(format!("has {}", listed(&other, SPELLED, ", ")));
    }
    parts.join(" and ")
}

fn difference_of_arrays(a: &[Value], b: &[Value]) -> String {
    let a_set: BTreeSet<Atom> = a.iter().map(Atom::from).collect();
    let b_set: BTreeSet<Atom> = b.iter().map(Atom::from).collect();
    let spell = |atoms: Vec<&Atom>| {
        let names: Vec<String> = atoms.iter().map(ToString::to_string).collect();
        listed(&names, SPELLED, ", ")
    };
    let lacks: Vec<&Atom> = a_set.difference(&b_set).collect();
    let extra: Vec<&Atom> = b_set.difference(&a_set).collect();
    let mut parts = Vec::new();
    if !lacks.is_empty() {
        parts.push(format!("lacks {}", spell(lacks)));
    }
    if !extra.is_empty() {
        parts.push(format!("has {} besides", spell(extra)));
    }
    if parts.is_empty() {
        let at = a.iter().zip(b).take_while(|(x, y)| x == y).count();
        parts.push(format!("has the same elements in another order or number, from position {at}"));
    }
    parts.join(" and ")
}
