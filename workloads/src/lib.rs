//! Workloads: what is asked of a system, over which contract, and who judges the answers.
//!
//! One folder a workload. Its module holds the enum of its operations, with the way to
//! [`ordeal_core::Op`] and back, its generators, the client of its HTTP contract if it has one, and the
//! list of its judges. [`WORKLOADS`] is the only list of them: help, the list command and the tests
//! read it.

pub mod accounts;
pub mod claims;
mod draw;
pub mod http;
pub mod inventory;
pub mod iot;
pub mod orders;
pub mod patients;
pub mod register;
mod report;
pub mod scores;
mod shown;
pub mod stocks;
pub mod telecom;
pub mod trades;
mod waiting;
mod windows;

use std::net::SocketAddr;

use ordeal_core::{Client, Op, Workload};

/// A workload in the registry.
pub struct Entry {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is about, in one line.
    pub about: &'static str,
    /// Makes it.
    pub build: fn() -> Box<dyn Workload>,
    /// A client of its HTTP contract, bound to one node; `None` if it has no such contract.
    pub client: Option<fn(SocketAddr) -> Box<dyn Client>>,
}

/// Every workload there is.
pub const WORKLOADS: &[Entry] = &[
    Entry {
        name: register::NAME,
        about: register::ABOUT,
        build: || Box::new(register::Register),
        client: None,
    },
    Entry {
        name: patients::NAME,
        about: patients::ABOUT,
        build: || Box::new(patients::Patients),
        client: Some(patients::client),
    },
    Entry {
        name: claims::NAME,
        about: claims::ABOUT,
        build: || Box::new(claims::Claims),
        client: Some(claims::client),
    },
    Entry { name: iot::NAME, about: iot::ABOUT, build: || Box::new(iot::Iot), client: Some(iot::client) },
    Entry {
        name: stocks::NAME,
        about: stocks::ABOUT,
        build: || Box::new(stocks::Stocks),
        client: Some(stocks::client),
    },
    Entry {
        name: inventory::NAME,
        about: inventory::ABOUT,
        build: || Box::new(inventory::Inventory),
        client: Some(inventory::client),
    },
    Entry {
        name: scores::NAME,
        about: scores::ABOUT,
        build: || Box::new(scores::Scores),
        client: Some(scores::client),
    },
    Entry {
        name: accounts::NAME,
        about: accounts::ABOUT,
        build: || Box::new(accounts::Accounts),
        client: Some(accounts::client),
    },
    Entry {
        name: orders::NAME,
        about: orders::ABOUT,
        build: || Box::new(orders::Orders),
        client: Some(orders::client),
    },
    Entry {
        name: telecom::NAME,
        about: telecom::ABOUT,
        build: || Box::new(telecom::Telecom),
        client: Some(telecom::client),
    },
    Entry {
        name: trades::NAME,
        about: trades::ABOUT,
        build: || Box::new(trades::Trades),
        client: Some(trades::client),
    },
];

/// The workload of this name.
pub fn find(name: &str) -> Option<&'static Entry> {
    WORKLOADS.iter().find(|w| w.name == name)
}

/// An operation that is none of the workload's own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an operation of the {workload} workload: {op}")]
pub struct NotMine {
    /// The workload that was asked.
    pub workload: &'static str,
    /// The operation as it came.
    pub op: String,
}

impl NotMine {
    fn new(workload: &'static str, op: &Op) -> Self {
        NotMine { workload, op: format!("{op:?}") }
    }
}

#[cfg(test)]
mod by_hand;
#[cfg(test)]
mod tests;
