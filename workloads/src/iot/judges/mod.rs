//! The judges of `iot` alone.
//!
//! - [`TransitionLog`]: the nodes' logs are one log, equal in the end; every acknowledged request is in it
//!   exactly once, as it was answered; and its transitions follow the rules;
//! - [`EventStream`]: what consumers saw is that log's changes of state, each once, in its order, without a gap,
//!   at whichever node and after whatever restarts;
//! - [`Answers`]: no two answers contradict one another, none is older than one before it, and a shutdown is
//!   not forgotten.

mod agreed;
mod answers;
mod events;
mod log;
mod observed;

pub(super) use answers::Answers;
pub(super) use events::EventStream;
pub(super) use log::TransitionLog;

#[cfg(test)]
mod tests;
