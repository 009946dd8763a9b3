//! The histories that judges are measured with, and the verdicts they must get.
//!
//! Their identifiers, sizes and seeds are shared with other projects' figures, so they never change. The
//! expected verdicts hold by construction.

use ordeal_core::Verdict;

use crate::objects::{Object, Violation};
use crate::parameters::{Parameters, Shape};

/// A history of the suite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name.
    pub id: &'static str,
    /// What a judge must say; `None` if that is not known beforehand.
    pub expected: Option<Verdict>,
    /// What it is.
    pub parameters: Parameters,
}

/// A valid history with the suite's defaults.
fn row(id: &'static str, object: Object, operations: u64, clients: u64, seed: u64) -> Row {
    let read_percent = if object == Object::CasRegister { 33 } else { 50 };
    let parameters = Parameters { operations, clients, seed, read_percent, ..Parameters::new(object) };
    Row { id, expected: Some(Verdict::Valid), parameters }
}

impl Row {
    /// The row of this name.
    pub fn named(id: &str) -> Option<Row> {
        rows().into_iter().find(|row| row.id == id)
    }

    fn with(mut self, change: impl FnOnce(&mut Parameters)) -> Row {
        change(&mut self.parameters);
        self
    }

    fn keys(self, keys: u64) -> Row {
        self.with(|p| p.keys = keys)
    }

    fn values(self, values: u64) -> Row {
        self.with(|p| p.values = values)
    }

    fn gap(self, gap: u64) -> Row {
        self.with(|p| p.gap = gap)
    }

    /// So many of a million operations stay open.
    fn open(self, per_million: u64) -> Row {
        self.with(|p| p.open_per_million = per_million)
    }

    fn appends(self, appends: u64) -> Row {
        self.with(|p| p.appends_per_key = appends)
    }

    fn read_every(self, operations: u64) -> Row {
        self.with(|p| p.read_every = operations)
    }

    fn bursts(self) -> Row {
        self.with(|p| p.shape = Shape::Bursts)
    }

    fn bad(self, violation: Violation, at_percent: u64) -> Row {
        let bad = self.with(|p| (p.violation, p.at_percent) = (Some(violation), at_percent));
        Row { expected: Some(Verdict::Invalid), ..bad }
    }

    /// A write is dropped, which other operations may hide.
    fn drops(self, at_percent: u64) -> Row {
        let dropped = self.with(|p| (p.drop_write, p.at_percent) = (true, at_percent));
        Row { expected: None, ..dropped }
    }
}

/// All rows.
#[rustfmt::skip]
pub fn rows() -> Vec<Row> {
    use Object::{CasRegister, Counter, FencedLock, GrowSet, List, ListAppend, Lock, Queue, Register, RwRegister, Set, Stack};
    use Violation::{Hole, Phantom, Reorder, StaleRead};
    vec![
        // Registers, every value written once.
        row("R-1k-c10", Register, 1_000, 10, 11),
        row("R-10k-c5", Register, 10_000, 5, 12),
        row("R-10k-c10", Register, 10_000, 10, 13),
        row("R-10k-c10-bad", Register, 10_000, 10, 13).bad(StaleRead, 50),
        row("R-10k-c50", Register, 10_000, 50, 14),
        row("R-10k-c50-bad", Register, 10_000, 50, 14).bad(StaleRead, 50),
        row("R-100k-c10", Register, 100_000, 10, 15),
        row("R-100k-c10-bad", Register, 100_000, 10, 15).bad(StaleRead, 90),
        row("R-100k-c50", Register, 100_000, 50, 16),
        row("R-100k-c100", Register, 100_000, 100, 17),
        row("R-1m-c10", Register, 1_000_000, 10, 18),
        row("R-1m-c10-bad", Register, 1_000_000, 10, 18).bad(StaleRead, 90),
        row("R-1m-c50", Register, 1_000_000, 50, 19),
        row("R-1m-c100", Register, 1_000_000, 100, 20),
        row("R-1m-c100-bad", Register, 1_000_000, 100, 20).bad(StaleRead, 90),
        // Little concurrency.
        row("L-100k-c10", Register, 100_000, 10, 21).gap(10_000),
        row("L-10k-c10", Register, 10_000, 10, 22).gap(10_000),
        // A thousand keys.
        row("K-100k-1000-c10", Register, 100_000, 10, 30).keys(1_000),
        row("K-1m-1000-c10", Register, 1_000_000, 10, 31).keys(1_000),
        row("K-1m-1000-c50", Register, 1_000_000, 50, 32).keys(1_000),
        row("K-1m-1000-c100", Register, 1_000_000, 100, 33).keys(1_000),
        row("K-1m-1000-c50-bad", Register, 1_000_000, 50, 32).keys(1_000).bad(StaleRead, 50),
        // Five values.
        row("V-10k-c10", Register, 10_000, 10, 40).values(5),
        row("V-100k-c10", Register, 100_000, 10, 41).values(5),
        // Open operations.
        row("RI-10k-c10-i1", Register, 10_000, 10, 42).open(10_000),
        row("RI-10k-c10-i5", Register, 10_000, 10, 43).open(50_000),
        row("RI-100k-c10-i1", Register, 100_000, 10, 44).open(10_000),
        // Compare-and-set, five values.
        row("C-1k-c10-i0", CasRegister, 1_000, 10, 50).values(5),
        row("C-1k-c10-i1", CasRegister, 1_000, 10, 51).values(5).open(10_000),
        row("C-1k-c10-i5", CasRegister, 1_000, 10, 52).values(5).open(50_000),
        row("C-10k-c10-i0", CasRegister, 10_000, 10, 53).values(5),
        row("C-10k-c10-i1", CasRegister, 10_000, 10, 54).values(5).open(10_000),
        row("C-10k-c10-i5", CasRegister, 10_000, 10, 55).values(5).open(50_000),
        row("C-1k-c10-i0-lost", CasRegister, 1_000, 10, 50).values(5).drops(50),
        row("C-1k-c10-i1-lost", CasRegister, 1_000, 10, 51).values(5).open(10_000).drops(50),
        row("C-10k-c10-i0-lost", CasRegister, 10_000, 10, 53).values(5).drops(50),
        row("C-10k-c10-i1-lost", CasRegister, 10_000, 10, 54).values(5).open(10_000).drops(50),
        // Compare-and-set, every value written once.
        row("CU-10k-c10", CasRegister, 10_000, 10, 56),
        row("CU-100k-c10-i1", CasRegister, 100_000, 10, 57).open(10_000),
        // Queues.
        row("Q-1k-c10", Queue, 1_000, 10, 60),
        row("Q-10k-c10", Queue, 10_000, 10, 61),
        row("Q-100k-c10", Queue, 100_000, 10, 62),
        row("Q-10k-c10-bad", Queue, 10_000, 10, 61).bad(Reorder, 50),
        row("Q-100k-c10-bad", Queue, 100_000, 10, 62).bad(Reorder, 50),
        row("Q-1m-c50", Queue, 1_000_000, 50, 63),
        // Stacks.
        row("S-10k-c10", Stack, 10_000, 10, 65),
        row("S-100k-c10", Stack, 100_000, 10, 66),
        // Lists.
        row("LA-10k-c10", List, 10_000, 10, 70).keys(10).appends(32),
        row("LA-100k-c10", List, 100_000, 10, 71).keys(10).appends(32),
        row("LA-100k-c50", List, 100_000, 50, 72).keys(10).appends(256),
        row("LA-100k-c50-bad", List, 100_000, 50, 72).keys(10).appends(256).bad(Hole, 50),
        // Sets that only grow.
        row("GS-10k-c10", GrowSet, 10_000, 10, 80).read_every(100),
        row("GS-10k-c10-bad", GrowSet, 10_000, 10, 80).read_every(100).bad(Hole, 50),
        // Sets.
        row("DS-100k-c10", Set, 100_000, 10, 82).values(1_000),
        // Counters.
        row("CT-10k-c10", Counter, 10_000, 10, 84),
        row("CT-100k-c10", Counter, 100_000, 10, 85).values(5),
        row("CT-10k-c10-i1", Counter, 10_000, 10, 86).values(5).open(10_000),
        // Locks.
        row("M-10k-c10", Lock, 10_000, 10, 90),
        // Fenced locks.
        row("F-10k-c10", FencedLock, 10_000, 10, 91),
        row("F-100k-c10", FencedLock, 100_000, 10, 92),
        // Violations that are hard to find.
        row("XC-1k-c10-i0-cert", CasRegister, 1_000, 10, 50).values(5).bad(StaleRead, 50),
        row("XC-10k-c10-i0-cert", CasRegister, 10_000, 10, 53).values(5).bad(StaleRead, 50),
        row("XC-1k-c5-i1-cert", CasRegister, 1_000, 5, 51).values(5).open(10_000).bad(StaleRead, 30),
        row("XC-1k-c10-i1-phant", CasRegister, 1_000, 10, 51).values(5).open(10_000).bad(Phantom, 50),
        row("XC-10k-c10-i0-phant", CasRegister, 10_000, 10, 53).values(5).bad(Phantom, 90),
        row("XC-10k-c10-i1-phant", CasRegister, 10_000, 10, 54).values(5).open(10_000).bad(Phantom, 50),
        row("XC-10k-c10-i5-phant", CasRegister, 10_000, 10, 55).values(5).open(50_000).bad(Phantom, 50),
        row("XC-1k-v100-i1-cert", CasRegister, 1_000, 10, 54).values(100).open(10_000).bad(StaleRead, 50),
        row("XC-10k-v100-i1-cert", CasRegister, 10_000, 10, 57).values(100).open(10_000).bad(StaleRead, 20),
        row("XRI-10k-c10-i1-bad", Register, 10_000, 10, 42).open(10_000).bad(StaleRead, 50),
        // Bursts: every order of the writes is possible.
        row("XB-1k-c10", Register, 1_100, 10, 100).bursts(),
        row("XB-1k-c15", Register, 1_120, 15, 101).bursts(),
        row("XB-1k-c20", Register, 1_050, 20, 102).bursts(),
        row("XB-1k-c30", Register, 1_054, 30, 103).bursts(),
        row("XB-1k-c20-v5", Register, 1_050, 20, 104).bursts().values(5),
        row("XB-10k-c100", Register, 10_100, 100, 105).bursts(),
        row("XB-10k-c100-v5", Register, 10_100, 100, 106).bursts().values(5),
        // Transactions on lists.
        row("TA-10k-c10", ListAppend, 10_000, 10, 120).keys(10).appends(32),
        row("TA-100k-c10", ListAppend, 100_000, 10, 121).keys(10).appends(32),
        row("TA-100k-c50-w256", ListAppend, 100_000, 50, 122).keys(10).appends(256),
        row("TA-100k-c10-bad", ListAppend, 100_000, 10, 121).keys(10).appends(32).bad(StaleRead, 50),
        row("TA-1m-c20", ListAppend, 1_000_000, 20, 123).keys(100).appends(32),
        // Transactions on registers.
        row("TR-10k-c10", RwRegister, 10_000, 10, 130).keys(10).appends(1_000_000),
        row("TR-100k-c10", RwRegister, 100_000, 10, 131).keys(10).appends(1_000_000),
        row("TR-100k-c50-k1000", RwRegister, 100_000, 50, 132).keys(1_000).appends(1_000_000),
        row("TR-1m-c50-k1000", RwRegister, 1_000_000, 50, 133).keys(1_000).appends(1_000_000),
    ]
}
