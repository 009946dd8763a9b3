//! The lease under which premiums are adjusted, and what is staged under it.
//!
//! An adjustment is more than one command: the lease is acquired, the new premiums are staged piece by piece,
//! and the commit gives all of them effect at once. Invariants:
//! - there is at most one lease; each has a greater token than all before it, and what comes with
//!   any other token is refused (fencing), so a holder that was away too long changes nothing;
//! - what was staged under a lease that passed on is dropped;
//! - an adjustment takes effect once, whoever asks for it how often.
//!
//! There is no time in here. That a lease has expired is seen by whoever wants it next: the holder has made
//! no progress for the lease's length, by a monotonic clock. It asks for the lease *over* the one it watched, and
//! gets it only if that one is still where it was seen.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

/// How many adjustments later one is forgotten, and a retry of it would have an effect again.
const REMEMBERED: usize = 10_000;

/// A lease as it was seen at some moment: whose, and how far its holder was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hold {
    pub(crate) token: u64,
    /// Pieces staged so far; each renews the lease.
    pub(crate) staged: u64,
}

/// What an adjustment did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Adjusted {
    /// The core version that it made.
    pub(crate) version: u64,
    /// The new premiums, in cents.
    pub(crate) premiums: BTreeMap<String, i64>,
}

/// The answer to whoever asks for the lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Acquired {
    /// It is yours; the token goes with everything done under it.
    Granted(u64),
    /// Somebody else has it.
    Held(Hold),
    /// What it was wanted for is done.
    Done(Adjusted),
}

/// The token is not that of the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fenced;

/// The lease and what it is about.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Lease {
    last_token: u64,
    holder: Option<Hold>,
    staged: BTreeMap<String, i64>,
    done: BTreeMap<String, Adjusted>,
    /// The ids in `done`, oldest first.
    order: VecDeque<String>,
}

impl Lease {
    /// Who holds it.
    pub(crate) fn holder(&self) -> Option<Hold> {
        self.holder
    }

    /// Asks for the lease, to do this adjustment; `expired` is a hold that made no progress for too long.
    pub(crate) fn acquire(&mut self, adjustment: &str, expired: Option<Hold>) -> Acquired {
        if let Some(done) = self.done.get(adjustment) {
            return Acquired::Done(done.clone());
        }
        match self.holder {
            Some(hold) if Some(hold) != expired => Acquired::Held(hold),
            _ => {
                self.last_token += 1;
                self.holder = Some(Hold { token: self.last_token, staged: 0 });
                self.staged.clear();
                Acquired::Granted(self.last_token)
            }
        }
    }

    /// Stages new premiums. `fenced` is false under the bug `lease-without-fencing`.
    pub(crate) fn stage(
        &mut self,
        token: u64,
        premiums: BTreeMap<String, i64>,
        fenced: bool,
    ) -> Result<(), Fenced> {
        self.check(token, fenced)?;
        self.staged.extend(premiums);
        if let Some(hold) = &mut self.holder {
            hold.staged += 1;
        }
        Ok(())
    }

    /// Ends the lease and hands out what was staged, to be given effect.
    pub(crate) fn take(&mut self, token: u64, fenced: bool) -> Result<BTreeMap<String, i64>, Fenced> {
        self.check(token, fenced)?;
        self.holder = None;
        Ok(std::mem::take(&mut self.staged))
    }

    /// Remembers what an adjustment did.
    pub(crate) fn remember(&mut self, adjustment: String, adjusted: Adjusted) {
        self.order.push_back(adjustment.clone());
        self.done.insert(adjustment, adjusted);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.done.remove(&oldest);
        }
    }

    fn check(&self, token: u64, fenced: bool) -> Result<(), Fenced> {
        let current = self.holder.is_some_and(|hold| hold.token == token);
        if current || !fenced { Ok(()) } else { Err(Fenced) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(policy: &str, premium: i64) -> BTreeMap<String, i64> {
        BTreeMap::from([(policy.to_owned(), premium)])
    }

    #[test]
    fn one_holder_at_a_time_and_tokens_that_grow() {
        let mut lease = Lease::default();
        assert_eq!(lease.acquire("a1", None), Acquired::Granted(1));
        assert_eq!(lease.acquire("a2", None), Acquired::Held(Hold { token: 1, staged: 0 }));
        assert_eq!(lease.stage(1, rows("p1", 5), true), Ok(()));
        assert_eq!(lease.take(1, true), Ok(rows("p1", 5)));
        assert_eq!(lease.acquire("a2", None), Acquired::Granted(2));
    }

    #[test]
    fn progress_renews_a_lease() {
        let mut lease = Lease::default();
        lease.acquire("a1", None);
        let seen = lease.holder();
        lease.stage(1, rows("p1", 5), true).unwrap();
        assert_eq!(lease.acquire("a2", seen), Acquired::Held(Hold { token: 1, staged: 1 }));
        assert_eq!(lease.acquire("a2", lease.holder()), Acquired::Granted(2));
    }

    #[test]
    fn a_holder_whose_lease_has_passed_on_changes_nothing() {
        let mut lease = Lease::default();
        lease.acquire("a1", None);
        lease.stage(1, rows("p1", 5), true).unwrap();
        lease.acquire("a2", lease.holder());
        assert_eq!(lease.stage(1, rows("p2", 5), true), Err(Fenced));
        assert_eq!(lease.take(1, true), Err(Fenced));
        assert_eq!(lease.take(2, true), Ok(BTreeMap::new()), "what was staged before is dropped");
        assert_eq!(lease.take(2, true), Err(Fenced), "the lease has ended");
    }

    #[test]
    fn without_fencing_the_late_one_is_let_through() {
        let mut lease = Lease::default();
        lease.acquire("a1", None);
        lease.acquire("a2", lease.holder());
        assert_eq!(lease.stage(1, rows("p1", 5), false), Ok(()));
        assert_eq!(lease.take(1, false), Ok(rows("p1", 5)));
    }

    #[test]
    fn what_is_done_is_not_done_again() {
        let mut lease = Lease::default();
        lease.acquire("a1", None);
        let done = Adjusted { version: 9, premiums: rows("p1", 5) };
        lease.take(1, true).unwrap();
        lease.remember("a1".to_owned(), done.clone());
        assert_eq!(lease.acquire("a1", None), Acquired::Done(done));
        for n in 0..REMEMBERED {
            lease.remember(format!("b{n}"), Adjusted { version: 10, premiums: BTreeMap::new() });
        }
        assert_eq!(lease.acquire("a1", None), Acquired::Granted(2));
    }
}
