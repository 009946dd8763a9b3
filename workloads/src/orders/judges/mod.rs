//! The judges of `orders`.
//!
//! - `observed.rs`: what the history says, and the times of it; `law.rs`: what the contract says must follow; `marks.rs`: how
//!   far event time has come; `drain.rs`: what no longer waits in the end.
//! - The others each judge one promise.

mod delays;
mod drain;
mod law;
mod marks;
mod observed;
mod outcomes;
mod promises;
mod sequences;

pub(super) use delays::Delays;
pub(super) use outcomes::Outcomes;
pub(super) use promises::Promises;
pub(super) use sequences::Sequences;

#[cfg(test)]
mod tests;
