//! What is simulated, and what is wrong with asking for it.

use crate::draws::Spread;
use crate::objects::{Object, Violation};

/// How the clients' operations lie in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    /// Every client asks, waits for the answer, pauses, and asks again.
    #[default]
    Steady,
    /// All clients write a register at the same time; when all have been answered, one of them reads it. The
    /// hardest shape for a search: every order of the writes is possible.
    Bursts,
}

/// A history to simulate. A tick is a microsecond in the time stamps of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// What the clients talk to.
    pub object: Object,
    /// How many operations are begun.
    pub operations: u64,
    /// How many clients there are at a time.
    pub clients: u64,
    /// How many objects there are at a time.
    pub keys: u64,
    /// Which of them are asked for how often.
    pub spread: Spread,
    /// How many values are written; 0 if no value is written twice.
    pub values: u64,
    /// Of a hundred operations, how many read or take.
    pub read_percent: u64,
    /// Of a million operations, how many stay open. Half of them take effect, late.
    pub open_per_million: u64,
    /// Of a million operations, how many fail and have no effect.
    pub fail_per_million: u64,
    /// The mean time an operation takes, in ticks.
    pub latency: u64,
    /// Of a million operations, how many take twenty times as long.
    pub tail_per_million: u64,
    /// The mean time between a client's operations, in ticks.
    pub gap: u64,
    /// A list is replaced by a fresh one, under a new key, after so many appends.
    pub appends_per_key: u64,
    /// How many operations apart whole sets are read; 0 is a hundredth of all.
    pub read_every: u64,
    /// The steps of a transaction at most.
    pub steps: u64,
    /// How the operations lie in time.
    pub shape: Shape,
    /// What is to be wrong.
    pub violation: Option<Violation>,
    /// Where: after so many percent of all operations, or as soon after as it fits.
    pub at_percent: u64,
    /// Whether one acknowledged write about there is never applied, which may or may not show.
    pub drop_write: bool,
    /// The root of everything random.
    pub seed: u64,
}

impl Parameters {
    /// A thousand operations by ten clients on one object.
    pub fn new(object: Object) -> Self {
        Parameters {
            object,
            operations: 1_000,
            clients: 10,
            keys: 1,
            spread: Spread::Uniform,
            values: 0,
            read_percent: 50,
            open_per_million: 0,
            fail_per_million: 0,
            latency: 1_000,
            tail_per_million: 10_000,
            gap: 100,
            appends_per_key: 32,
            read_every: 0,
            steps: 4,
            shape: Shape::Steady,
            violation: None,
            at_percent: 50,
            drop_write: false,
            seed: 1,
        }
    }

    /// Refuses what cannot be simulated.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn check(&self) -> Result<(), SimulatorError> {
        let bounds = [
            ("operations", self.operations, 1, 1_000_000_000),
            ("clients", self.clients, 1, 100_000),
            ("keys", self.keys, 1, 10_000_000),
            ("values", self.values, 0, 1_000_000_000),
            ("the share of reads", self.read_percent, 0, 100),
            ("the share of open operations", self.open_per_million, 0, 1_000_000),
            ("the share of failures", self.fail_per_million, 0, 1_000_000),
            ("the latency", self.latency, 1, 1_000_000_000),
            ("the share of slow operations", self.tail_per_million, 0, 1_000_000),
            ("the gap", self.gap, 1, 1_000_000_000),
            ("appends to a key", self.appends_per_key, 1, u64::MAX),
            ("steps of a transaction", self.steps, 1, 1_000),
            ("the place of the violation", self.at_percent, 0, 100),
        ];
        for (what, value, low, high) in bounds {
            if !(low..=high).contains(&value) {
                return Err(SimulatorError::OutOfRange { what, value, low, high });
            }
        }
        if self.shape == Shape::Bursts && self.object != Object::Register {
            return Err(SimulatorError::Bursts(self.object.entry().name));
        }
        let known = self.object.entry().violations;
        let Some(violation) = self.violation.filter(|violation| !known.contains(violation)) else {
            return Ok(());
        };
        Err(SimulatorError::NotApplicable {
            violation: violation.entry().name,
            object: self.object.entry().name,
            known: known.iter().map(|v| v.entry().name).collect::<Vec<_>>().join(", "),
        })
    }
}

/// Why there is no history.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SimulatorError {
    /// A number that makes no sense.
    #[error("{what}: from {low} to {high}, not {value}")]
    OutOfRange {
        /// Which.
        what: &'static str,
        /// What was asked for.
        value: u64,
        /// The least possible.
        low: u64,
        /// The greatest possible.
        high: u64,
    },
    /// Bursts of something else than writes to a register.
    #[error("bursts are of writes to a `register`, not of `{0}`")]
    Bursts(&'static str),
    /// A violation that this object cannot show.
    #[error("`{violation}` cannot be planted in a `{object}`; there are: {known}")]
    NotApplicable {
        /// The violation.
        violation: &'static str,
        /// The object.
        object: &'static str,
        /// What can be.
        known: String,
    },
    /// Nothing in the history could be made certainly wrong.
    #[error("`{0}` fits nowhere in this history; more operations, another seed or fewer open ones may help")]
    NotPlaced(&'static str),
}
