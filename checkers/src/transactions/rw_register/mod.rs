//! Serializability of transactions that read and write registers, and sequential consistency of registers.
//!
//! Values say who wrote what is read (`versions`), but nothing says in which order blind writes followed on
//! one another; to decide that is NP-hard in general. `search` executes transactions one after another as
//! far as it can, never overwriting a value that somebody still has to read, and learns from each dead end
//! an order that it had missed. Whatever order it arrives at is executed once more from the recorded steps
//! (`replay`): `valid` is said only if every read comes out as recorded. `invalid` is said only if what must
//! come before what has a cycle, or if every choice that was open led to one. Out of time: unknown.
//!
//! Transactions of unknown outcome are in the order if somebody saw what they wrote, and can be left out if
//! not: a write that nobody sees is missed by nobody. Values that were read must be written once a key;
//! where one is not, a violation that shows without it stands, otherwise the verdict is unknown.
//!
//! For plain serializability, which knows no time, a history may be a part of a longer one: a value that
//! nobody wrote is then the one its key began with, if nothing speaks against that.

mod explain;
mod problem;
mod search;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use ordeal_core::{Anomaly, Checker, Finding, History, Intake, Operation, Verdict, check_operations};

use super::order::keeps_to;
use super::versions::{Raw, Versions};
use super::{Level, initial_value};
use crate::models::Atom;
use crate::words::count;
use crate::{About, Budget, Options};
use problem::Problem;
use search::{Limits, Outcome, Search};

/// How lists show it.
pub(crate) const ABOUT: About = About {
    name: "rw-register",
    about: "transactions of reads and writes are serializable (strictly, or see --level)",
};
/// How lists show it.
pub(crate) const SEQUENTIAL: About = About {
    name: "sequential",
    about: "one order of all operations on all registers, in keeping with each process, explains every answer",
};

/// About how much memory something learned takes.
const LEARNED_BYTES: usize = 256;
/// How many dead ends an attempt that may miss an order ends after, besides one for every transaction.
const FEW: u64 = 1_000;

/// The judge.
#[derive(Clone, Debug)]
pub struct RwRegister {
    about: About,
    level: Level,
    initial: Atom,
    budget: Budget,
}

impl RwRegister {
    /// A judge by this level.
    pub fn new(level: Level) -> Self {
        RwRegister { about: ABOUT, level, initial: Atom::NULL, budget: Budget::default() }
    }

    /// A judge of sequential consistency.
    pub fn sequential() -> Self {
        RwRegister { about: SEQUENTIAL, ..RwRegister::new(Level::StrongSession) }
    }

    /// Sets what a person may say.
    #[must_use]
    pub fn with_options(mut self, options: &Options) -> Self {
        if self.about == ABOUT {
            self.level = options.level;
        }
        self.initial = initial_value(options.initial.as_ref());
        self.budget = options.budget;
        self
    }
}

impl Checker for RwRegister {
    fn name(&self) -> String {
        self.about.name.to_owned()
    }

    fn check(&self, history: &History) -> Finding {
        check_operations(self.name(), Box::new(AtWork { judge: self, raw: Raw::default() }), history)
    }

    fn intake(&self) -> Option<Box<dyn Intake + '_>> {
        Some(Box::new(AtWork { judge: self, raw: Raw::default() }))
    }
}

struct AtWork<'a> {
    judge: &'a RwRegister,
    raw: Raw,
}

impl Intake for AtWork<'_> {
    fn take(&mut self, op: &Operation<'_>) {
        self.raw.take(op);
    }

    fn finish(self: Box<Self>) -> Finding {
        let unknown = |why: String| Finding::new(self.judge.name(), Verdict::Unknown, why);
        let level = self.judge.level;
        match self.raw.error {
            Some(why) => unknown(why),
            None => Case { judge: self.judge, level, raw: &self.raw }.conclude(),
        }
    }
}

/// What searches came to, and cost altogether.
struct Tried {
    outcome: Outcome,
    dead_ends: u64,
    choices: u64,
}

/// A history to be judged by a level.
struct Case<'a> {
    judge: &'a RwRegister,
    level: Level,
    raw: &'a Raw,
}

impl Case<'_> {
    fn conclude(&self) -> Finding {
        let (txns, keys) = (&self.raw.txns, &self.raw.keys);
        let what = format!("{} on {}", count(txns.len(), "transaction"), count(keys.len(), "key"));
        if self.raw.reads == 0 {
            return self.finding(Verdict::Vacuous, format!("no read succeeded ({what})"));
        }
        let guess_initial = self.level == Level::Serializable;
        let versions = Versions::of(self.raw, self.judge.initial, guess_initial);
        let (direct, mut anomalies) = versions.direct_anomalies(self.raw);
        let (unrepeatable, told) = versions.unrepeatable_anomalies(self.raw, "internal");
        anomalies.extend(told);
        if direct + unrepeatable > 0 {
            let finding = self.violated(&what, anomalies);
            return finding.with("anomalies_direct", direct + unrepeatable);
        }
        let tried = self.search(&versions);
        let finding = match tried.outcome {
            Outcome::Order(order) if keeps_to(self.level, txns, &order) && self.replay(&versions, &order) => {
                match versions.why_ambiguous(self.raw) {
                    Some(why) => self.finding(Verdict::Unknown, why),
                    None => self.finding(Verdict::Valid, format!("{} ({what})", self.promise())),
                }
            }
            Outcome::Order(_) => {
                let why = "an order was found, but executing it gives other results";
                self.finding(Verdict::Unknown, why.to_owned())
            }
            Outcome::Impossible(refutation) => {
                let anomaly = explain::anomaly(self.raw, &versions, &refutation);
                self.violated(&what, vec![anomaly])
            }
            Outcome::GaveUp => {
                let why = format!("out of budget after {} dead ends ({what})", tried.dead_ends);
                self.finding(Verdict::Unknown, why)
            }
        };
        finding.with("dead_ends", tried.dead_ends).with("choices", tried.choices)
    }

    /// Searches for an order. Where the level does not impose real time, most systems nearly keep to it all
    /// the same, and a search that does is far shorter: so that is tried first, more and more loosely.
    fn search(&self, versions: &Versions) -> Tried {
        let budget = self.judge.budget;
        let limits = Limits {
            deadline: Instant::now().checked_add(Duration::from_millis(budget.time_ms)),
            dead_ends: u64::MAX,
            learned: budget.memory_bytes / LEARNED_BYTES,
        };
        let mut attempts: Vec<Option<u64>> = Vec::new();
        if self.level != Level::Strict {
            let ended = self.raw.txns.iter().filter(|t| !t.is_open());
            let longest = ended.map(|t| t.end.saturating_sub(t.start)).max().unwrap_or(0);
            attempts = [0, 1, 8].map(|times| Some(longest.saturating_mul(times))).to_vec();
        }
        attempts.push(None);
        let mut tried = Tried { outcome: Outcome::GaveUp, dead_ends: 0, choices: 0 };
        for late in attempts {
            let problem = Problem::new(self.raw, versions, self.level, late);
            let few = FEW + self.raw.txns.len() as u64;
            let dead_ends = if late.is_some() { few } else { limits.dead_ends };
            let mut search = Search::new(&problem, Limits { dead_ends, ..limits });
            tried.outcome = search.run();
            tried.dead_ends += search.dead_ends;
            tried.choices += search.choices_made;
            if let Outcome::Order(_) = tried.outcome {
                break;
            }
        }
        tried
    }

    fn promise(&self) -> &'static str {
        if self.judge.about == SEQUENTIAL { "sequentially consistent" } else { self.level.name() }
    }

    fn finding(&self, verdict: Verdict, summary: String) -> Finding {
        let ok = self.raw.txns.iter().filter(|t| !t.is_open()).count();
        Finding::new(self.judge.name(), verdict, summary)
            .with("level", self.level.name())
            .with("transactions", self.raw.txns.len())
            .with("transactions_ok", ok)
            .with("keys", self.raw.keys.len())
            .with("reads", self.raw.reads)
    }

    fn violated(&self, what: &str, anomalies: Vec<Anomaly>) -> Finding {
        let mut names: Vec<&str> = anomalies.iter().map(|a| a.name.as_str()).collect();
        names.dedup();
        let summary = format!("not {} ({what}): {}", self.promise(), names.join(", "));
        let mut finding = self.finding(Verdict::Invalid, summary);
        finding.anomalies = anomalies;
        finding
    }

    /// Executes the transactions one after another. Every one that completed must be among them, every
    /// read come out as recorded.
    fn replay(&self, versions: &Versions, order: &[u32]) -> bool {
        // The first versions are those before anything happened.
        let mut now: Vec<Atom> = versions.value[..self.raw.keys.len()].to_vec();
        let mut done = vec![false; self.raw.txns.len()];
        for &txn in order {
            done[txn as usize] = true;
            for number in self.raw.steps_of(txn) {
                let step = &self.raw.steps[number];
                let now = &mut now[step.key as usize];
                if step.writes {
                    *now = step.value;
                } else if *now != step.value && !versions.is_unclear(number) {
                    return false;
                }
            }
        }
        self.raw.txns.iter().zip(done).all(|(txn, done)| done || txn.is_open())
    }
}
