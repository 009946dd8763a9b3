//! Sequential specifications that come with the crate.
//!
//! The names of the functions they judge can be set, so that one model serves systems that call the same
//! thing differently; operations with any other function are left out.

use std::collections::HashMap;
use std::hash::Hash;

use ordeal_core::Open;

pub mod claim;
pub mod counter;
pub mod fenced_lock;
pub mod grow_set;
pub mod kv;
pub mod ledger;
pub mod list;
pub mod lock;
pub mod machine;
pub mod members;
pub mod multi_register;
pub mod register;
mod register_calls;
pub mod sequence;
pub mod set;
pub mod trade;
mod value;
pub mod versioned_register;

pub use claim::Claim;
pub use counter::Counter;
pub use fenced_lock::FencedLock;
pub use grow_set::GrowSet;
pub use kv::KeyValue;
pub use ledger::Ledger;
pub use list::AppendList;
pub use lock::Lock;
pub use machine::Machine;
pub use multi_register::MultiRegister;
pub use register::Register;
pub use register_calls::{RegisterAction, RegisterCall, RegisterNames};
pub use set::Set;
pub use trade::Trade;
mod container;
mod persistent;
pub mod priority_queue;
pub mod queue;
pub mod stack;
pub mod unordered_queue;

pub use container::ContainerCall;
pub use priority_queue::PriorityQueue;
pub use queue::Queue;
pub use stack::Stack;
pub use unordered_queue::UnorderedQueue;
pub use value::Atom;
pub use versioned_register::VersionedRegister;

/// Open calls that are equal are interchangeable, whatever the model.
fn alike<C: Eq + Hash>(calls: &[C], open: &[usize]) -> Vec<Open> {
    let mut classes: HashMap<&C, u32> = HashMap::new();
    let hint = |&i: &usize| {
        let next = classes.len() as u32;
        Open::Class(*classes.entry(&calls[i]).or_insert(next))
    };
    open.iter().map(hint).collect()
}

/// The name of an account or a register, which is a text where it is a key of a JSON object: a number if it
/// looks like one.
fn named(name: &str) -> Atom {
    let number = name.parse().ok().filter(|n: &i64| n.to_string() == name);
    number.map_or_else(|| Atom::from(&serde_json::Value::from(name)), Atom::int)
}
