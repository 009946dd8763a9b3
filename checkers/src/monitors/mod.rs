//! Near-linear judges of single objects, each exact under conditions that it checks first.
//!
//! One file an object. Each takes the calls of one object, sorted by their beginning, and answers with a
//! legal order or with a few calls that contradict one another; `None` where its conditions do not hold.
//! Models call them from [`Model::monitor`](ordeal_core::Model::monitor).

mod container;
#[cfg(test)]
mod draw;
#[cfg(test)]
mod draw_containers;
mod excess;
pub(crate) mod fenced;
pub(crate) mod grow_set;
mod instants;
mod levels;
pub(crate) mod log;
mod mask;
pub(crate) mod priority_queue;
pub(crate) mod queue;
pub(crate) mod register;
mod shrink;
pub(crate) mod stack;
pub(crate) mod sums;
pub(crate) mod switch;
pub(crate) mod unordered_queue;
pub(crate) mod versioned_register;
