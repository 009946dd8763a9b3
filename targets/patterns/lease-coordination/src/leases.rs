//! Who holds which lease: the coordinators' replicated machine.
//!
//! It has no clock. That a lease has expired is a command like any other, proposed by the leader
//! when the time has passed on its clock (`expiry.rs`), and it names the renewal it goes by: a renewal that
//! came first makes it void. Tokens are places in the log, so they grow from grant to grant, over all symbols.

use std::collections::BTreeMap;

use ordeal_kit::Id;
use ordeal_raft::{Machine, Position};
use serde::{Deserialize, Serialize};

/// Leases at a time.
pub(crate) const LEASES_MAX: usize = 256;

/// A lease that somebody holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lease {
    /// The node that holds it.
    pub(crate) holder: Id,
    #[serde(flatten)]
    pub(crate) period: Period,
}

/// A lease from its grant, or its last renewal, on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Period {
    /// The fencing token: where in the log it was granted.
    pub(crate) token: u64,
    /// Where in the log it was granted or renewed last.
    pub(crate) renewed: u64,
}

/// All leases that somebody holds, by symbol.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Leases(pub(crate) BTreeMap<Id, Lease>);

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Command {
    /// A node wants to be the holder.
    Acquire { symbol: Id, holder: Id },
    /// A holder is still there; the leases by their tokens.
    Renew { leases: BTreeMap<Id, u64> },
    /// A holder has stopped serving.
    Release { symbol: Id, token: u64 },
    /// These have not been renewed in time.
    Expire { leases: BTreeMap<Id, Period> },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// The lease is the asking node's, with this token.
    Granted { token: u64 },
    /// Somebody else has it.
    Held { holder: Id, token: u64 },
    /// There are too many leases.
    Full,
    /// All were renewed but these, which are over.
    Renewed { lost: Vec<Id> },
    /// It is over, now or before.
    Ended,
}

impl Machine for Leases {
    type Command = Command;
    type Answer = Answer;

    fn apply(&mut self, at: Position, command: Command) -> Answer {
        match command {
            Command::Acquire { symbol, holder } => self.acquire(at, symbol, holder),
            Command::Renew { leases } => {
                let over = leases.into_iter().filter(|(symbol, token)| !self.renew(at, symbol, *token));
                Answer::Renewed { lost: over.map(|(symbol, _)| symbol).collect() }
            }
            Command::Release { symbol, token } => {
                self.end_if(&symbol, |period| period.token == token);
                Answer::Ended
            }
            Command::Expire { leases } => {
                leases.iter().for_each(|(symbol, expired)| self.end_if(symbol, |period| period == expired));
                Answer::Ended
            }
        }
    }
}

impl Leases {
    fn acquire(&mut self, at: Position, symbol: Id, holder: Id) -> Answer {
        match self.0.get(&symbol) {
            // A node that asks for what it has does not know that it has it: it was restarted, or an answer
            // was lost. It serves nothing with the old token, so it may have a new one at once.
            Some(lease) if lease.holder != holder => {
                return Answer::Held { holder: lease.holder.clone(), token: lease.period.token };
            }
            None if self.0.len() >= LEASES_MAX => return Answer::Full,
            _ => {}
        }
        let token = at.index;
        self.0.insert(symbol, Lease { holder, period: Period { token, renewed: token } });
        Answer::Granted { token }
    }

    /// Whether this very lease was still there.
    fn renew(&mut self, at: Position, symbol: &Id, token: u64) -> bool {
        match self.0.get_mut(symbol).filter(|lease| lease.period.token == token) {
            Some(lease) => lease.period.renewed = at.index,
            None => return false,
        }
        true
    }

    fn end_if(&mut self, symbol: &Id, over: impl Fn(&Period) -> bool) {
        if self.0.get(symbol).is_some_and(|lease| over(&lease.period)) {
            self.0.remove(symbol);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> Id {
        text.parse().unwrap()
    }

    struct Log(Leases, u64);

    impl Log {
        fn apply(&mut self, command: Command) -> Answer {
            self.1 += 1;
            self.0.apply(Position { term: 1, index: self.1 }, command)
        }

        fn acquire(&mut self, holder: &str) -> Answer {
            self.apply(Command::Acquire { symbol: id("p1"), holder: id(holder) })
        }

        fn renew(&mut self, token: u64) -> Answer {
            self.apply(Command::Renew { leases: [(id("p1"), token)].into() })
        }

        fn expire(&mut self, token: u64, renewed: u64) -> Answer {
            self.apply(Command::Expire { leases: [(id("p1"), Period { token, renewed })].into() })
        }
    }

    #[test]
    fn a_lease_has_one_holder_until_it_ends_and_tokens_grow() {
        let mut log = Log(Leases::default(), 6);
        assert_eq!(log.acquire("n4"), Answer::Granted { token: 7 });
        assert_eq!(log.acquire("n5"), Answer::Held { holder: id("n4"), token: 7 });
        assert_eq!(log.renew(7), Answer::Renewed { lost: vec![] });
        // The expiry was proposed before that renewal was in the log.
        log.expire(7, 7);
        assert_eq!(log.acquire("n5"), Answer::Held { holder: id("n4"), token: 7 });
        log.expire(7, 9);
        assert_eq!(log.renew(7), Answer::Renewed { lost: vec![id("p1")] });
        assert_eq!(log.acquire("n5"), Answer::Granted { token: 14 });
        assert_eq!(log.renew(7), Answer::Renewed { lost: vec![id("p1")] });
        log.apply(Command::Release { symbol: id("p1"), token: 7 });
        assert_eq!(log.acquire("n4"), Answer::Held { holder: id("n5"), token: 14 });
        log.apply(Command::Release { symbol: id("p1"), token: 14 });
        assert_eq!(log.acquire("n4"), Answer::Granted { token: 19 });
    }

    #[test]
    fn a_holder_that_forgot_gets_another_token_and_the_old_one_is_dead() {
        let mut log = Log(Leases::default(), 0);
        assert_eq!(log.acquire("n4"), Answer::Granted { token: 1 });
        assert_eq!(log.acquire("n4"), Answer::Granted { token: 2 });
        assert_eq!(log.renew(1), Answer::Renewed { lost: vec![id("p1")] });
        assert_eq!(log.renew(2), Answer::Renewed { lost: vec![] });
    }

    #[test]
    fn there_are_not_more_leases_than_a_node_can_carry() {
        let mut log = Log(Leases::default(), 0);
        for n in 0..LEASES_MAX {
            let granted = log.apply(Command::Acquire { symbol: id(&format!("s{n}")), holder: id("n4") });
            assert!(matches!(granted, Answer::Granted { .. }));
        }
        assert_eq!(log.acquire("n4"), Answer::Full);
    }
}
