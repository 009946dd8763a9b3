//! Simulated histories: clients that talk to one atomic object, valid by construction or with a violation
//! planted in them that is certain and of a named kind.
//!
//! ```
//! use ordeal_simulator::{Events, Object, Parameters, Violation, simulate};
//!
//! let parameters = Parameters { violation: Some(Violation::Reorder), ..Parameters::new(Object::Queue) };
//! let history = simulate(&parameters).expect("a queue can be out of order");
//! let planted = history.planted().expect("it is").clone();
//! assert_eq!(planted.operations.len(), 2);
//! assert_eq!(Events::new(Object::Queue, history).count(), 2_000);
//! ```
//!
//! The same parameters give the same history everywhere: [`Parameters::seed`] is the root of everything
//! random. A valid history comes out operation by operation, with no more memory than the running ones and
//! the objects take; one with a violation is held in memory, for what was answered when must be known to
//! make an answer certainly wrong.
//!
//! [`OBJECTS`] and [`VIOLATIONS`] are the tables that lists and help read, [`suite`] the histories that
//! judges are measured with. Nothing here does input or output.

mod bursts;
mod clients;
mod draws;
mod events;
mod objects;
mod operation;
mod oracle;
mod parameters;
mod plant;
mod simulation;
mod store;
pub mod suite;
mod text;

pub use draws::Spread;
pub use events::{Events, Pair};
pub use objects::{OBJECTS, Object, ObjectEntry, VIOLATIONS, Violation, ViolationEntry};
pub use operation::{Answer, Ended, Function, Simulated, Step, What};
pub use oracle::explained;
pub use parameters::{Parameters, Shape, SimulatorError};
pub use plant::Planted;
pub use store::{ACCOUNTS, BALANCE, Store};
pub use text::{write_edn, write_interval};

use bursts::Bursts;
use simulation::Simulation;

/// A simulated history: its operations, in order of their beginning.
pub struct History {
    source: Box<dyn Iterator<Item = Simulated>>,
    planted: Option<Planted>,
}

impl History {
    /// What is wrong with it.
    pub fn planted(&self) -> Option<&Planted> {
        self.planted.as_ref()
    }
}

impl Iterator for History {
    type Item = Simulated;

    fn next(&mut self) -> Option<Simulated> {
        self.source.next()
    }
}

/// Simulates a history.
///
/// # Errors
/// If the parameters make no sense, or if the violation fits nowhere.
pub fn simulate(parameters: &Parameters) -> Result<History, SimulatorError> {
    parameters.check()?;
    let source: Box<dyn Iterator<Item = Simulated>> = match parameters.shape {
        Shape::Steady => Box::new(Simulation::new(parameters)),
        Shape::Bursts => Box::new(Bursts::new(parameters)),
    };
    let Some(violation) = parameters.violation else {
        return Ok(History { source, planted: None });
    };
    let mut operations: Vec<Simulated> = source.collect();
    let planted = plant::plant(violation, &mut operations, parameters)?;
    Ok(History { source: Box::new(operations.into_iter()), planted: Some(planted) })
}
