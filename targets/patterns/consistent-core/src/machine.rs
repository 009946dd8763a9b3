//! What the core agrees on: policies, claims, the lease of premium adjustments, and the versions of all that.
//!
//! Every change has a number, the core version, without gaps. Data nodes follow it by the changes; the core keeps
//! the last [`RECENT`] of them, and who is further behind fetches everything.
//!
//! This is the replicated machine: its state follows from the commands alone.

use std::collections::{BTreeMap, VecDeque};

use ordeal_raft::{Machine, Position};
use serde::{Deserialize, Serialize};

use crate::claim::{Claim, Department, Rule, SaidOtherwise, Status, Verdict, Votes};
use crate::lease::{Acquired, Adjusted, Fenced, Hold, Lease};

/// Changes kept for data nodes that lag. Few, so that fetching is no rare case.
pub(crate) const RECENT: usize = 16;
/// Policies that the core keeps; all of them are in one message when a data node fetches them.
const POLICIES_MAX: usize = 20_000;
/// Claims that the core keeps.
const CLAIMS_MAX: usize = 200_000;

/// A policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Policy {
    pub(crate) holder: String,
    /// In cents.
    pub(crate) premium: i64,
    /// The version that changed it last.
    pub(crate) changed: u64,
}

/// One version: what it changed of the policies. Versions that changed only claims have no rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Change {
    pub(crate) version: u64,
    pub(crate) rows: BTreeMap<String, Policy>,
}

/// All policies at one version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Policies {
    pub(crate) version: u64,
    pub(crate) rows: BTreeMap<String, Policy>,
}

/// A policy as it is at a version; null if there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PolicyAt {
    pub(crate) version: u64,
    pub(crate) policy: Option<Policy>,
}

/// A claim as it is at a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClaimAt {
    pub(crate) version: u64,
    pub(crate) claim: String,
    pub(crate) policy: String,
    pub(crate) amount: u64,
    pub(crate) status: Status,
    pub(crate) confirmations: Votes,
}

/// What can be asked of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Command {
    /// Opens a policy, or changes the holder of one. Only a new policy takes the premium from here.
    PutPolicy { policy: String, holder: String, premium: i64 },
    /// Hands a claim in.
    Submit { claim: String, policy: String, amount: u64 },
    /// A department says what it thinks.
    Confirm { claim: String, department: Department, verdict: Verdict, rule: Rule },
    /// Asks for the lease, over one that has expired.
    Acquire { adjustment: String, expired: Option<Hold> },
    /// Stages premiums under the lease.
    Stage { token: u64, premiums: BTreeMap<String, i64>, fenced: bool },
    /// Ends the lease; what was staged is dropped.
    Release { token: u64 },
    /// Gives effect to what was staged and ends the lease.
    Commit { token: u64, adjustment: String, fenced: bool },
}

/// Why a command changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("there is no such policy")]
    NoPolicy,
    #[error("there is no such claim")]
    NoClaim,
    #[error("there is such a claim already")]
    ClaimExists,
    #[error("the department has said otherwise before")]
    SaidOtherwise,
    #[error("the lease has passed on")]
    Fenced,
    #[error("the core keeps no more of them")]
    Full,
}

/// What the machine answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Answer {
    Policy(PolicyAt),
    Claim(ClaimAt),
    Acquired(Acquired),
    Staged,
    Released,
    Adjusted(Adjusted),
    Refused(Refusal),
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Answer {
        Answer::Refused(refusal)
    }
}

impl From<Fenced> for Answer {
    fn from(_: Fenced) -> Answer {
        Answer::Refused(Refusal::Fenced)
    }
}

/// The state of the core.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Core {
    policies: Policies,
    claims: BTreeMap<String, Claim>,
    lease: Lease,
    recent: VecDeque<Change>,
}

impl Core {
    /// The number of changes so far.
    pub(crate) fn version(&self) -> u64 {
        self.policies.version
    }

    /// All policies.
    pub(crate) fn policies(&self) -> &Policies {
        &self.policies
    }

    /// A policy as it is now.
    pub(crate) fn policy(&self, policy: &str) -> PolicyAt {
        PolicyAt { version: self.version(), policy: self.policies.rows.get(policy).cloned() }
    }

    /// A claim as it is now.
    pub(crate) fn claim(&self, id: &str) -> Option<ClaimAt> {
        let claim = self.claims.get(id)?;
        Some(ClaimAt {
            version: self.version(),
            claim: id.to_owned(),
            policy: claim.policy.clone(),
            amount: claim.amount,
            status: claim.status(),
            confirmations: claim.votes(),
        })
    }

    /// Who holds the lease.
    pub(crate) fn lease_holder(&self) -> Option<Hold> {
        self.lease.holder()
    }

    /// The changes after this version, as far as they are kept: the first may be later than asked for.
    pub(crate) fn changes_after(&self, version: u64) -> Vec<Change> {
        self.recent.iter().filter(|change| change.version > version).cloned().collect()
    }

    /// Makes a new version in which these policies are different.
    fn change(&mut self, rows: BTreeMap<String, Policy>) -> u64 {
        let version = self.next_version();
        self.policies.version = version;
        self.policies.rows.extend(rows.clone());
        self.recent.push_back(Change { version, rows });
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
        version
    }

    fn next_version(&self) -> u64 {
        self.version() + 1
    }

    fn put_policy(&mut self, id: &str, holder: String, premium: i64) -> Answer {
        let known = self.policies.rows.get(id);
        if known.is_none() && self.policies.rows.len() >= POLICIES_MAX {
            return Refusal::Full.into();
        }
        let premium = known.map_or(premium, |policy| policy.premium);
        let policy = Policy { holder, premium, changed: self.next_version() };
        self.change(BTreeMap::from([(id.to_owned(), policy)]));
        Answer::Policy(self.policy(id))
    }

    fn submit(&mut self, id: &str, policy: String, amount: u64) -> Answer {
        if !self.policies.rows.contains_key(&policy) {
            return Refusal::NoPolicy.into();
        }
        if self.claims.contains_key(id) {
            return Refusal::ClaimExists.into();
        }
        if self.claims.len() >= CLAIMS_MAX {
            return Refusal::Full.into();
        }
        self.claims.insert(id.to_owned(), Claim::new(policy, amount));
        self.change(BTreeMap::new());
        self.claim_answer(id)
    }

    fn confirm(&mut self, id: &str, department: Department, verdict: Verdict, rule: Rule) -> Answer {
        let Some(claim) = self.claims.get_mut(id) else {
            return Refusal::NoClaim.into();
        };
        match claim.confirm(department, verdict, rule) {
            Ok(true) => {
                self.change(BTreeMap::new());
            }
            Ok(false) => {}
            Err(SaidOtherwise) => return Refusal::SaidOtherwise.into(),
        }
        self.claim_answer(id)
    }

    fn claim_answer(&self, id: &str) -> Answer {
        self.claim(id).map_or(Answer::Refused(Refusal::NoClaim), Answer::Claim)
    }

    fn commit(&mut self, token: u64, adjustment: String, fenced: bool) -> Result<Answer, Fenced> {
        let premiums = self.lease.take(token, fenced)?;
        let version = self.next_version();
        let rows = premiums.iter().filter_map(|(id, premium)| {
            let holder = self.policies.rows.get(id)?.holder.clone();
            Some((id.clone(), Policy { holder, premium: *premium, changed: version }))
        });
        let rows = rows.collect();
        self.change(rows);
        let adjusted = Adjusted { version, premiums };
        self.lease.remember(adjustment, adjusted.clone());
        Ok(Answer::Adjusted(adjusted))
    }
}

impl Machine for Core {
    type Command = Command;
    type Answer = Answer;

    fn apply(&mut self, _at: Position, command: Command) -> Answer {
        match command {
            Command::PutPolicy { policy, holder, premium } => self.put_policy(&policy, holder, premium),
            Command::Submit { claim, policy, amount } => self.submit(&claim, policy, amount),
            Command::Confirm { claim, department, verdict, rule } => {
                self.confirm(&claim, department, verdict, rule)
            }
            Command::Acquire { adjustment, expired } => {
                Answer::Acquired(self.lease.acquire(&adjustment, expired))
            }
            Command::Stage { token, premiums, fenced } => {
                self.lease.stage(token, premiums, fenced).map_or_else(Answer::from, |()| Answer::Staged)
            }
            Command::Release { token } => {
                self.lease.take(token, true).map_or_else(Answer::from, |_| Answer::Released)
            }
            Command::Commit { token, adjustment, fenced } => {
                self.commit(token, adjustment, fenced).unwrap_or_else(Answer::from)
            }
        }
    }
}

#[cfg(test)]
mod tests;
