//! Serializability of transactions that append to lists and read them.
//!
//! Elle's inference (Kingsbury & Alvaro, VLDB 2020): a list that is read tells who appended in which order.
//! `lists` keeps of each key the longest list read, and of each read how much of it; `direct` finds what is
//! impossible without looking further; `edges` says what must come before what. A cycle there is a
//! violation. Where there is none, the transactions are sorted topologically and executed one after
//! another in that order (`replay`): `valid` is said only if every read comes out as recorded.
//!
//! Exact if no element that was read was appended twice to its key: every edge is necessary, and the
//! execution shows that together they are sufficient. Transactions of unknown outcome are in the order if
//! somebody read what they appended, and can be left out if not: what nobody read is missed by nobody.
//! Where an element was appended twice and read, its writer is unclear: what is found without it stands,
//! otherwise the verdict is unknown. Time and memory are linear in the history; the lists themselves are
//! kept once a key, however often they were read.

mod direct;
mod edges;
mod explain;
mod lists;
#[cfg(test)]
mod tests;

use ordeal_core::{Anomaly, Checker, Finding, History, Intake, Operation, Verdict, check_operations};

use super::graph::{EVERY, Kind};
use super::order::{imposed, keeps_to};
use super::{Level, cycles};
use crate::words::count;
use crate::{About, Options};
use direct::Walk;
use edges::Edges;
use lists::{Lists, NONE, Places, What};

/// How lists show it.
pub(crate) const ABOUT: About = About {
    name: "list-append",
    about: "transactions of appends and list reads are serializable (strictly, or see --level)",
};

/// How many cycles, and how many anomalies of each other kind, are told.
const TOLD: usize = 8;

/// The judge.
#[derive(Clone, Debug)]
pub struct ListAppend {
    level: Level,
}

impl ListAppend {
    /// A judge by this level.
    pub fn new(level: Level) -> Self {
        ListAppend { level }
    }

    pub(crate) fn with_options(options: &Options) -> Self {
        ListAppend { level: options.level }
    }
}

impl Checker for ListAppend {
    fn name(&self) -> String {
        ABOUT.name.to_owned()
    }

    fn check(&self, history: &History) -> Finding {
        check_operations(self.name(), Box::new(AtWork { judge: self, lists: Lists::default() }), history)
    }

    fn intake(&self) -> Option<Box<dyn Intake + '_>> {
        Some(Box::new(AtWork { judge: self, lists: Lists::default() }))
    }
}

struct AtWork<'a> {
    judge: &'a ListAppend,
    lists: Lists,
}

impl Intake for AtWork<'_> {
    fn take(&mut self, op: &Operation<'_>) {
        self.lists.take(op);
    }

    fn finish(self: Box<Self>) -> Finding {
        let unknown = |why: String| Finding::new(ABOUT.name, Verdict::Unknown, why);
        let level = self.judge.level;
        if let Some(why) = self.lists.error {
            return unknown(why);
        }
        match Judgement::of(self.lists) {
            Some(judgement) => judgement.conclude(level),
            None => unknown("more than five hundred million elements".to_owned()),
        }
    }
}

/// What was judged, and everything derived from it.
struct Judgement {
    lists: Lists,
    places: Places,
    walk: Walk,
}

/// How one level fared.
enum Fared {
    /// This order explains everything.
    Holds,
    /// So many components of transactions depend on one another in circles; some of them are told.
    Cycles(usize, Vec<Anomaly>),
    /// There is no cycle, but the order does not explain every read either.
    Unclear,
}

impl Judgement {
    fn of(lists: Lists) -> Option<Judgement> {
        let places = Places::of(&lists)?;
        let walk = direct::walk(&lists, &places);
        Some(Judgement { lists, places, walk })
    }

    fn conclude(&self, level: Level) -> Finding {
        let txns = &self.lists.txns;
        let completed = txns.iter().filter(|t| !t.is_open()).count();
        let finding = |verdict, summary| {
            Finding::new(ABOUT.name, verdict, summary)
                .with("level", level.name())
                .with("transactions", txns.len())
                .with("transactions_ok", completed)
                .with("keys", self.lists.keys.len())
                .with("reads", self.lists.reads)
        };
        let what = format!("{} on {}", count(txns.len(), "transaction"), count(self.lists.keys.len(), "key"));
        if self.lists.reads == 0 {
            return finding(Verdict::Vacuous, format!("no read succeeded ({what})"));
        }
        let (direct, mut anomalies) = self.direct_anomalies();
        let fared = self.fares(level, true);
        if let Fared::Holds = fared
            && direct == 0
        {
            return finding(Verdict::Valid, format!("{} ({what})", level.name()));
        }
        let cycles = match fared {
            Fared::Cycles(n, told) => {
                anomalies.extend(told);
                n
            }
            Fared::Holds | Fared::Unclear => 0,
        };
        if direct == 0 && cycles == 0 {
            return finding(Verdict::Unknown, self.explain_unclear());
        }
        let mut names: Vec<&str> = anomalies.iter().map(|a| a.name.as_str()).collect();
        names.dedup();
        let mut finding =
            finding(Verdict::Invalid, format!("not {} ({what}): {}", level.name(), names.join(", ")))
                .with("anomalies_direct", direct)
                .with("cycles", cycles)
                .with("levels_kept", self.levels_kept(level, direct));
        finding.anomalies = anomalies;
        finding
    }

    /// Which weaker promises were kept.
    fn levels_kept(&self, than: Level, direct: usize) -> Vec<&'static str> {
        if direct > 0 {
            return Vec::new();
        }
        let weaker = Level::ALL.into_iter().filter(|&level| level < than);
        let mut kept: Vec<_> = weaker
            .filter(|&level| matches!(self.fares(level, false), Fared::Holds))
            .map(Level::name)
            .collect();
        let imposed = imposed(Level::Serializable, &self.lists.txns, |_| true);
        let graph = Edges::new(&self.lists, &self.places, &self.walk, &imposed, Kind::Process).graph();
        let dirty = Kind::Ww.bit() | Kind::Wr.bit() | Kind::On.bit();
        // Without aborted and intermediate reads and cycles of writes and reads of them (Adya's PL-2).
        if self.places.ambiguous.is_empty() && graph.components(dirty).order().is_some() {
            kept.insert(0, "read-committed");
        }
        kept
    }

    fn fares(&self, level: Level, tell: bool) -> Fared {
        let txns = &self.lists.txns;
        let took_effect = |t: usize| self.places.took_effect[t];
        let imposed = imposed(level, txns, took_effect);
        let imposed_as = if level == Level::Strict { Kind::RealTime } else { Kind::Process };
        let graph = Edges::new(&self.lists, &self.places, &self.walk, &imposed, imposed_as).graph();
        drop(imposed);
        let components = graph.components(EVERY);
        if let Some(order) = components.order() {
            let is_txn = |&node: &u32| (node as usize) < txns.len() && took_effect(node as usize);
            let order: Vec<u32> = order.filter(is_txn).collect();
            let explains = self.replay(&order) && keeps_to(level, txns, &order);
            return if explains { Fared::Holds } else { Fared::Unclear };
        }
        let cyclic: Vec<&[u32]> = components.cyclic().collect();
        let told = if tell { TOLD } else { 0 };
        let told = cyclic.iter().take(told).filter_map(|part| {
            let cycle = cycles::gravest(&graph, part, txns)?;
            Some(cycle.anomaly(cycle.name(), txns, |edge| self.why(edge), |t| self.did(t)))
        });
        Fared::Cycles(cyclic.len(), told.collect())
    }

    /// Executes the transactions one after another on empty lists. What is left in the end must be every
    /// transaction that completed, every list as it was read.
    fn replay(&self, order: &[u32]) -> bool {
        let base = &self.places.base;
        let mut now: Vec<u32> = base[..base.len() - 1].to_vec();
        let mut done = vec![false; self.lists.txns.len()];
        for &txn in order {
            done[txn as usize] = true;
            for step in self.lists.steps_of(txn) {
                let key = self.lists.steps[step].key;
                let now = &mut now[key as usize];
                let right = match self.lists.steps[step].what {
                    What::Odd => false,
                    What::Read(len) => *now == base[key as usize] + len,
                    What::Append(_) => {
                        let (place, end) = (self.places.of_step[step], self.places.end(key));
                        let right = *now == place || (place == NONE && *now >= end);
                        // Nobody sees how far beyond its longest list a key goes, only that it does.
                        *now = if *now >= end { end + 1 } else { *now + 1 };
                        right
                    }
                };
                if !right {
                    return false;
                }
            }
        }
        self.lists.txns.iter().zip(done).all(|(txn, done)| done || txn.is_open())
    }
}
