//! What a judge remembers of operations that it is shown one after another: as little as will be said
//! of them in the end.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use ordeal_core::{Anomaly, EventKind, Finding, Key, Operation};
use serde_json::{Value, json};

use crate::models::Atom;
use crate::stats::percentile;
use crate::words::{count, listed, ms, of_key};

/// How many values of one kind an anomaly lists and cites.
pub(crate) const LISTED: usize = 50;
/// How many values a message spells out.
const SPELLED: usize = 3;
/// How many operations of one value a message spells out.
const OPERATIONS: usize = 4;
/// No time.
const NEVER: u64 = u64::MAX;

/// An operation as it is remembered: its place in real time, and what it takes to cite it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// When it began, as a position.
    pub(crate) call: u64,
    /// When it ended, as a position.
    pub(crate) ret: u64,
    /// When it began, in nanoseconds.
    pub(crate) began_ns: u64,
    ended_ns: u64,
    index: u64,
    /// How far behind the invocation the completion stands in the history; 0 if there is none.
    completed_after: u32,
    who: u32,
}

impl Seen {
    /// When it ended, in nanoseconds; the greatest number there is if nobody knows.
    pub(crate) fn ended_ns(&self) -> u64 {
        self.ended_ns
    }

    /// The index of its invocation.
    pub(crate) fn index(&self) -> u64 {
        self.index
    }

    /// The indices of its events.
    pub(crate) fn cite(&self) -> impl Iterator<Item = u64> + use<> {
        let completed = (self.completed_after > 0).then(|| self.index + u64::from(self.completed_after));
        [Some(self.index), completed].into_iter().flatten()
    }

    /// An operation of a test, from one position to another.
    #[cfg(test)]
    pub(crate) fn at(call: u64, ret: u64) -> Seen {
        Seen { call, ret, began_ns: call, ended_ns: ret, index: call, completed_after: 0, who: 0 }
    }

    /// Whether it certainly ended before the other began.
    pub(crate) fn precedes(&self, other: &Seen) -> bool {
        self.ret < other.call
    }
}

/// Who did what is remembered: every client with the node it asked, once.
#[derive(Debug, Default)]
pub(crate) struct Witnesses {
    nodes: Vec<Box<str>>,
    node_numbers: HashMap<Box<str>, u32>,
    pairs: Vec<(u64, Option<u32>)>,
    pair_numbers: HashMap<(u64, Option<u32>), u32>,
}

impl Witnesses {
    /// Remembers an operation.
    pub(crate) fn remember(&mut self, op: &Operation<'_>) -> Seen {
        let end = op.complete;
        let after = end.and_then(|e| u32::try_from(e.index.checked_sub(op.index())?).ok());
        let node = op.invoke.node.as_deref().map(|node| self.node(node));
        let pair = (op.process(), node);
        let next = self.pairs.len() as u32;
        let who = *self.pair_numbers.entry(pair).or_insert(next);
        if who == next {
            self.pairs.push(pair);
        }
        Seen {
            call: op.call,
            ret: op.ret,
            began_ns: op.invoke.time,
            ended_ns: end.filter(|_| op.ret != Operation::OPEN).map_or(NEVER, |e| e.time),
            index: op.index(),
            completed_after: after.unwrap_or(0),
            who,
        }
    }

    /// The number of a node.
    pub(crate) fn node(&mut self, name: &str) -> u32 {
        if let Some(&number) = self.node_numbers.get(name) {
            return number;
        }
        let number = self.nodes.len() as u32;
        self.nodes.push(name.into());
        self.node_numbers.insert(name.into(), number);
        number
    }

    /// The node that was asked, by number; `None` if the history does not say.
    pub(crate) fn node_of(&self, seen: &Seen) -> Option<u32> {
        self.pairs.get(seen.who as usize).and_then(|pair| pair.1)
    }

    /// The name of a node.
    pub(crate) fn node_name(&self, number: u32) -> &str {
        self.nodes.get(number as usize).map_or("?", |name| name)
    }

    /// The client.
    pub(crate) fn process(&self, seen: &Seen) -> u64 {
        self.pairs.get(seen.who as usize).map_or(u64::MAX, |pair| pair.0)
    }

    /// `process 4 on n2`.
    pub(crate) fn who(&self, seen: &Seen) -> String {
        let node = self.node_of(seen).map_or_else(String::new, |n| format!(" on {}", self.node_name(n)));
        format!("process {}{node}", self.process(seen))
    }

    /// `process 4 on n2, 1203.112 to 1210.400 ms`.
    pub(crate) fn who_when(&self, seen: &Seen) -> String {
        let began = ms(seen.began_ns);
        let when = match seen.ended_ns {
            NEVER => format!("from {began:.3} ms, end unknown"),
            ended => format!("{began:.3} to {:.3} ms", ms(ended)),
        };
        format!("{}, {when}", self.who(seen))
    }

    /// One anomaly for all values of one object with which the same is wrong; `flaws` are the first of
    /// them, `total` counts all.
    pub(crate) fn anomaly(&self, at: &Fault<'_>, flaws: &[Flaw<'_>], total: usize) -> Anomaly {
        let spell = |flaw: &Flaw<'_>| {
            let ops: Vec<String> =
                flaw.ops.iter().map(|(f, op)| format!("{f} by {}", self.who_when(op))).collect();
            format!("{} ({})", flaw.value, listed(&ops, OPERATIONS, "; "))
        };
        let spelled: Vec<String> = flaws.iter().take(SPELLED).map(spell).collect();
        let more = total.saturating_sub(spelled.len());
        let tail = if more == 0 { String::new() } else { format!(", and {more} more") };
        let cited = |flaw: &Flaw<'_>| flaw.ops.iter().flat_map(|(_, op)| op.cite()).collect::<Vec<u64>>();
        let values: Vec<Value> = flaws
            .iter()
            .take(LISTED)
            .map(|flaw| json!({ at.noun: flaw.value.to_string(), "events": cited(flaw) }))
            .collect();
        Anomaly {
            name: at.name.to_owned(),
            message: format!(
                "{}{} {}: {}{tail}.",
                of_key(at.key),
                count(total, at.noun),
                at.says,
                spelled.join(", "),
            ),
            key: at.key.cloned(),
            events: distinct(flaws.iter().take(LISTED).flat_map(cited)),
            details: json!({ "total": total, format!("{}s", at.noun): values }),
        }
    }
}

/// What is wrong with some values of one object.
pub(crate) struct Fault<'a> {
    pub(crate) key: Option<&'a Key>,
    /// The anomaly's name.
    pub(crate) name: &'a str,
    /// What the values are, e.g. `element`.
    pub(crate) noun: &'a str,
    /// What is said of so many of them.
    pub(crate) says: &'a str,
}

/// A value with which something is wrong, and the operations that show it, each with its function.
pub(crate) struct Flaw<'a> {
    pub(crate) value: Atom,
    pub(crate) ops: Vec<(&'a str, Seen)>,
}

/// Every index once, in the order of first mention.
pub(crate) fn distinct(indices: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut events: Vec<u64> = Vec::new();
    for index in indices {
        if !events.contains(&index) {
            events.push(index);
        }
    }
    events
}

/// All attempts to bring one value into being.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempts {
    /// The one to cite: the first acknowledged one to end, or else the first to begin that may have taken
    /// effect, or else the first to begin.
    pub(crate) best: Seen,
    best_kind: EventKind,
    /// When the first one began, as a position.
    pub(crate) first_call: u64,
    /// When the first one began that did not certainly fail.
    pub(crate) first_live_call: u64,
    /// How many may have taken effect.
    pub(crate) live: u32,
    /// How many certainly did.
    pub(crate) acknowledged: u32,
}

impl Attempts {
    /// The first attempt to be seen.
    pub(crate) fn new(op: Seen, kind: EventKind) -> Self {
        let mut attempts = Attempts {
            best: op,
            best_kind: EventKind::Fail,
            first_call: op.call,
            first_live_call: u64::MAX,
            live: 0,
            acknowledged: 0,
        };
        attempts.add(op, kind);
        attempts
    }

    /// One more.
    pub(crate) fn add(&mut self, op: Seen, kind: EventKind) {
        self.first_call = self.first_call.min(op.call);
        if kind != EventKind::Fail {
            self.first_live_call = self.first_live_call.min(op.call);
            self.live = self.live.saturating_add(1);
        }
        if kind == EventKind::Ok {
            self.acknowledged = self.acknowledged.saturating_add(1);
        }
        let rank = |kind, op: &Seen| match kind {
            EventKind::Ok => (0, op.ret, op.index),
            EventKind::Fail => (2, op.call, op.index),
            _ => (1, op.call, op.index),
        };
        if rank(kind, &op) < rank(self.best_kind, &self.best) {
            (self.best, self.best_kind) = (op, kind);
        }
    }

    /// The first acknowledged one to end.
    pub(crate) fn first_acknowledged(&self) -> Option<&Seen> {
        (self.best_kind == EventKind::Ok).then_some(&self.best)
    }
}

/// Something for every object of a history.
#[derive(Debug)]
pub(crate) struct Keyed<T> {
    numbers: HashMap<Key, usize>,
    without_key: Option<usize>,
    parts: Vec<(Option<Key>, T)>,
}

impl<T> Default for Keyed<T> {
    fn default() -> Self {
        Keyed { numbers: HashMap::new(), without_key: None, parts: Vec::new() }
    }
}

impl<T: Default> Keyed<T> {
    /// What is kept for this object.
    pub(crate) fn of(&mut self, key: Option<&Key>) -> &mut T {
        let known = key.map_or(self.without_key, |key| self.numbers.get(key).copied());
        let at = known.unwrap_or_else(|| {
            let next = self.parts.len();
            match key {
                Some(key) => _ = self.numbers.insert(key.clone(), next),
                None => self.without_key = Some(next),
            }
            self.parts.push((key.cloned(), T::default()));
            next
        });
        &mut self.parts[at].1
    }

    /// All of them, in order of the keys.
    pub(crate) fn sorted(mut self) -> Vec<(Option<Key>, T)> {
        self.parts.sort_by(|a, b| a.0.cmp(&b.0));
        self.parts
    }
}

/// `key 7`, or `the set` where operations have no key.
pub(crate) fn name_of(key: Option<&Key>, noun: &str) -> String {
    key.map_or_else(|| format!("the {noun}"), |k| format!("key {k}"))
}

/// What could not be read: the first thing, in order of the history, so that it is always the same.
#[derive(Debug, Default)]
pub(crate) struct Trouble(Option<(u64, String)>);

impl Trouble {
    /// Notes what is wrong with an operation.
    pub(crate) fn note(&mut self, op: &Operation<'_>, why: impl FnOnce() -> String) {
        if self.0.as_ref().is_none_or(|(first, _)| op.index() < *first) {
            self.0 = Some((op.index(), why()));
        }
    }

    /// The finding, if there was anything.
    pub(crate) fn finding(&self, checker: &str) -> Option<Finding> {
        let (index, why) = self.0.as_ref()?;
        Some(Finding::new(checker, ordeal_core::Verdict::Unknown, format!("event {index}: {why}")))
    }
}

/// Adds quantiles of durations, in milliseconds.
pub(crate) fn with_quantiles(finding: Finding, name: &str, mut durations_ns: Vec<u64>) -> Finding {
    durations_ns.sort_unstable();
    let at = |percent| percentile(&durations_ns, percent).map(ms);
    finding
        .with(&format!("{name}_ms_p50"), at(50))
        .with(&format!("{name}_ms_p95"), at(95))
        .with(&format!("{name}_ms_p99"), at(99))
        .with(&format!("{name}_ms_max"), at(100))
}

/// Adds quantiles of numbers of something.
pub(crate) fn with_counts(finding: Finding, name: &str, mut counts: Vec<u64>) -> Finding {
    counts.sort_unstable();
    let at = |percent| percentile(&counts, percent);
    finding
        .with(&format!("{name}_p50"), at(50))
        .with(&format!("{name}_p95"), at(95))
        .with(&format!("{name}_p99"), at(99))
        .with(&format!("{name}_max"), at(100))
}

/// A map from values. Their one word is hashed by multiplication (the scheme of FxHash).
pub(crate) type AtomMap<V> = HashMap<Atom, V, BuildHasherDefault<WordHasher>>;

/// The hasher of [`AtomMap`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WordHasher(u64);

impl Hasher for WordHasher {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn finish(&self) -> u64 {
        // The table looks at the low bits and the highest seven; multiplication mixes only upwards.
        self.0 ^ (self.0 >> 32)
    }
}
