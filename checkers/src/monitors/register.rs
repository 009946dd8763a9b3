//! Registers: reads, writes and compare-and-sets.
//!
//! - [`zones`]: no value is written twice; exact in O(n log n).
//! - [`refute`]: a read of a value that certainly was not there then; values may be written any number of
//!   times. Only ever finds violations.
//! - [`search`]: everything else, for which the problem is NP-hard. Exact, or undecided after so much work.
//!
//! A compare-and-set that sets what it expects only reads.

use ordeal_core::{Answer, Operation, Timed};

use crate::models::{Atom, RegisterAction};
use calls::Calls;
use values::Values;

mod calls;
mod order;
mod refute;
mod search;
#[cfg(test)]
mod tests;
mod values;
mod zones;

/// Judges the calls of one register.
pub(crate) fn judge(initial: Atom, calls: &[Timed<RegisterAction>]) -> Option<Answer> {
    let strange = |c: &Timed<RegisterAction>| c.end < c.start || c.start == Operation::OPEN;
    if calls.len() > 1 << 28 || calls.iter().any(strange) || !calls.is_sorted_by_key(|c| c.start) {
        return None;
    }
    let values = Values::of(initial, calls);
    if let Some(answer) = zones::judge(calls, &values) {
        return Some(answer);
    }
    let calls = Calls::of(calls, &values);
    match refute::judge(&calls) {
        Some(core) => Some(Answer::Illegal(core)),
        None => search::judge(&calls),
    }
}
