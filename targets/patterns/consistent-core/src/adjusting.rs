//! A premium adjustment, driven by the core node that was asked for it: acquire the lease, look at the premiums,
//! stage the new ones piece by piece, commit.
//!
//! Before the commit is proposed nothing a client can see has happened, so every failure until then is definite.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ordeal_kit::{ApiError, Id};
use ordeal_raft::Consensus;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout, timeout_at};

use crate::bugs::Bug;
use crate::core_node::{refuse, unexpected};
use crate::lease::{Acquired, Adjusted, Hold};
use crate::machine::{Answer, Command, Core, Refusal};

/// Policies in one piece. Small, so that the lease spans several commands as it would with very many policies.
const PIECE: usize = 1;
/// How often a piece is sent again when nobody said what became of it.
const ATTEMPTS: usize = 5;
/// The greatest premium, in cents.
pub(crate) const PREMIUM_MAX: i64 = 1 << 50;

/// Makes premium adjustments, one at a time on this node.
#[derive(Clone)]
pub(crate) struct Adjuster {
    core: Consensus<Core>,
    /// Different in every life of every node: the names of this one's proposals begin with it.
    life: String,
    lease: Duration,
    patience: Duration,
    /// False: the bug `lease-without-fencing`.
    fenced: bool,
    /// The bug `adjusted-again`.
    forgetful: bool,
    turn: Arc<Mutex<u64>>,
}

/// What is to be adjusted.
#[derive(Clone, Debug)]
pub(crate) struct Adjustment {
    pub(crate) id: Id,
    /// Added to each premium, in cents.
    pub(crate) amount: i64,
    pub(crate) policies: Vec<Id>,
}

impl Adjuster {
    /// An adjuster whose leases pass on after `lease` without progress; a request waits `patience` for one.
    pub(crate) fn new(
        core: Consensus<Core>,
        life: String,
        lease: Duration,
        patience: Duration,
        bug: Option<Bug>,
    ) -> Self {
        let fenced = bug != Some(Bug::LeaseWithoutFencing);
        let forgetful = bug == Some(Bug::AdjustedAgain);
        Adjuster { core, life, lease, patience, fenced, forgetful, turn: Arc::default() }
    }

    /// Does it, once for each id.
    pub(crate) async fn adjust(&self, wanted: &Adjustment) -> Result<Adjusted, ApiError> {
        let deadline = Instant::now() + self.patience;
        let late = || ApiError::unavailable("other adjustments hold the lease");
        let mut turn = timeout_at(deadline, self.turn.lock()).await.map_err(|_| late())?;
        let token = match self.acquire(wanted, &mut turn, deadline).await? {
            Acquired::Granted(token) => token,
            Acquired::Done(adjusted) => return Ok(adjusted),
            Acquired::Held(_) => return Err(late()),
        };
        if let Err(why) = self.prepare(wanted, token).await {
            self.give_up(wanted, token).await;
            return Err(why);
        }
        self.commit(wanted, token).await
    }

    /// Stages the new premiums.
    async fn prepare(&self, wanted: &Adjustment, token: u64) -> Result<(), ApiError> {
        let rows: Vec<_> = self.look(wanted).await?.into_iter().collect();
        for (n, piece) in rows.chunks(PIECE).enumerate() {
            self.stage(token, n, piece.iter().cloned().collect()).await?;
        }
        Ok(())
    }

    /// Waits for the lease, and takes it over from a holder that makes no progress.
    async fn acquire(
        &self,
        wanted: &Adjustment,
        turn: &mut u64,
        deadline: Instant,
    ) -> Result<Acquired, ApiError> {
        let mut expired = None;
        loop {
            *turn += 1;
            let request = format!("{}-acquire-{turn}", self.life);
            // The core recognizes an adjustment that it has made by its id. This one looks new each time.
            let adjustment = if self.forgetful { request.clone() } else { wanted.id.to_string() };
            let command = Command::Acquire { adjustment, expired };
            // A lease acquired without our knowing passes on like any other.
            let done = self.core.propose(&request, &command).await.map_err(not_done)?;
            let acquired = match done.answer {
                Answer::Acquired(acquired) => acquired,
                _ => return Err(unexpected()),
            };
            let Acquired::Held(hold) = acquired else { return Ok(acquired) };
            if Instant::now() >= deadline {
                return Ok(acquired);
            }
            expired = self.outlast(hold).await;
        }
    }

    /// Waits until this hold has ended or moved on; if it has not within the lease's length, it has expired.
    async fn outlast(&self, hold: Hold) -> Option<Hold> {
        let mut applied = self.core.follow();
        let over = async {
            while self.core.local(|core| core.lease_holder()) == Some(hold) {
                if applied.changed().await.is_err() {
                    return;
                }
            }
        };
        timeout(self.lease, over).await.is_err().then_some(hold)
    }

    /// The premiums as they shall be. Under the lease nobody else changes them.
    async fn look(&self, wanted: &Adjustment) -> Result<BTreeMap<String, i64>, ApiError> {
        let seen = self.core.read(|core| {
            let premium = |id: &Id| (id.to_string(), core.policy(id.as_str()).policy.map(|p| p.premium));
            wanted.policies.iter().map(premium).collect::<Vec<_>>()
        });
        let adjusted = |(id, premium): (String, Option<i64>)| {
            let premium = premium.ok_or_else(|| refuse(Refusal::NoPolicy))?;
            let premium = premium.checked_add(wanted.amount).filter(|sum| (0..=PREMIUM_MAX).contains(sum));
            let premium = premium.ok_or_else(|| {
                ApiError::conflict(format!("the premium of {id} would be below 0 or above {PREMIUM_MAX}"))
            })?;
            Ok((id, premium))
        };
        seen.await?.into_iter().map(adjusted).collect()
    }

    async fn stage(&self, token: u64, piece: usize, premiums: BTreeMap<String, i64>) -> Result<(), ApiError> {
        let request = format!("adjust-{token}-{}-{piece}", self.life);
        let command = Command::Stage { token, premiums, fenced: self.fenced };
        let mut attempt = 1;
        loop {
            match self.core.propose(&request, &command).await {
                Ok(done) => match done.answer {
                    Answer::Staged => return Ok(()),
                    Answer::Refused(refusal) => return Err(not_done(refusal)),
                    _ => return Err(unexpected()),
                },
                Err(_) if attempt < ATTEMPTS => attempt += 1,
                Err(why) => return Err(not_done(why)),
            }
        }
    }

    async fn commit(&self, wanted: &Adjustment, token: u64) -> Result<Adjusted, ApiError> {
        let request = format!("adjust-{token}-{}-commit", self.life);
        let adjustment = wanted.id.to_string();
        let command = Command::Commit { token, adjustment, fenced: self.fenced };
        match self.core.propose(&request, &command).await?.answer {
            Answer::Adjusted(adjusted) => Ok(adjusted),
            Answer::Refused(refusal) => Err(not_done(refusal)),
            _ => Err(unexpected()),
        }
    }

    /// Gives a lease back under which nothing is to be committed. If that fails, it passes on in time.
    async fn give_up(&self, wanted: &Adjustment, token: u64) {
        let request = format!("adjust-{token}-{}-release", self.life);
        let command = Command::Release { token };
        if let Err(why) = self.core.propose(&request, &command).await {
            tracing::info!(adjustment = %wanted.id, %why, "a lease was not given back");
        }
    }
}

/// A step before the commit failed: whatever became of it, no client will see it.
fn not_done(why: impl std::error::Error) -> ApiError {
    ApiError::unavailable(why.to_string())
}
