//! A node's side of every request: takes it upon itself, asks the others, waits in the list, answers.
//!
//! Invariants:
//! - a request is on this node's disk before anybody else hears of it, so a restart goes on with it;
//! - a definite error is only given before that, or when what was asked can never happen;
//! - a trade is said to be confirmed when its votes are on a majority's disks, to be settled when all settlement nodes
//!   have confirmed that and a majority knows; so every later read through any majority finds it.

use std::sync::Arc;
use std::time::Duration;

use ordeal_kit::store::StoreError;
use ordeal_kit::{ApiError, Id};
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::bugs::Bug;
use crate::cluster::{Ask, Cluster, Facts, OfTrade};
use crate::condition::{Condition, Look, Mark, Outcome, Tally, look, majority};
use crate::desk::{Desk, Question};
use crate::store::{Fact, Request};
use crate::trade::{Decision, Details, TradeCopy};
use crate::waiting_list::{Purpose, Reply};

/// How long a read waits for the others once a majority has left it unclear whether the trade is decided.
const GRACE: Duration = Duration::from_millis(100);

/// How far a trade has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// Nobody who was asked has heard of it.
    None,
    /// Not decided, or not settled, yet.
    Pending,
    Confirmed,
    Rejected,
    Settled,
}

/// An answer to a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Answer {
    pub(crate) correlation_id: Id,
    pub(crate) status: Status,
    /// Those that were confirmed, or else asked for.
    pub(crate) details: Option<Details>,
}

impl Answer {
    fn of(decision: Decision, trade: Id, asked: Option<Details>) -> Self {
        let (status, details) = match decision {
            Decision::Confirmed(details) => (Status::Confirmed, Some(details)),
            Decision::Rejected => (Status::Rejected, asked),
        };
        Answer { correlation_id: trade, status, details }
    }

    /// What one node's copy says.
    pub(crate) fn local(trade: Id, copy: TradeCopy) -> Self {
        match (copy.decision, copy.vote) {
            (Some(Decision::Confirmed(details)), _) if copy.settled => {
                Answer { correlation_id: trade, status: Status::Settled, details: Some(details) }
            }
            (Some(decision), vote) => Answer::of(decision, trade, vote),
            (None, vote) => {
                let status = if vote.is_some() { Status::Pending } else { Status::None };
                Answer { correlation_id: trade, status, details: vote }
            }
        }
    }
}

/// Coordinates clients' requests.
pub(crate) struct Coordinator {
    pub(crate) desk: Arc<Desk>,
    /// How long a request may wait.
    pub(crate) expiry: Duration,
    pub(crate) bug: Option<Bug>,
}

impl Coordinator {
    pub(crate) fn new(cluster: Cluster, expiry: Duration, bug: Option<Bug>) -> Self {
        Coordinator { desk: Arc::new(Desk::new(cluster, bug)), expiry, bug }
    }

    /// Has a trade decided.
    pub(crate) async fn submit(self: Arc<Self>, trade: Id, details: Details) -> Result<Answer, ApiError> {
        let until = Instant::now() + self.expiry;
        let held = self.desk.cluster.store.accept(trade.clone(), details.clone()).await?;
        let reply = match (held.decision, held.vote) {
            (Some(decision), _) => Reply { trade, asked: details, outcome: Outcome::Decided(decision) },
            // Others are asked for this node's own vote, so that one node never backs two details.
            (None, vote) => {
                self.decide(trade, vote.unwrap_or_else(|| details.clone()), details, until).await?
            }
        };
        let Reply { trade, asked, outcome } = reply;
        let decision = match outcome {
            Outcome::Decided(decision) => decision,
            _ if self.bug == Some(Bug::ExpiryConfirms) => Decision::Confirmed(asked.clone()),
            _ if self.bug == Some(Bug::ExpiryRejects) => Decision::Rejected,
            _ => return Ok(Answer { correlation_id: trade, status: Status::Pending, details: Some(asked) }),
        };
        if matches!(&decision, Decision::Confirmed(details) if *details != asked) {
            return Err(ApiError::conflict(format!("{trade} is confirmed, with other details")));
        }
        Ok(Answer::of(decision, trade, Some(asked)))
    }

    /// How far a trade has come.
    pub(crate) async fn read(self: Arc<Self>, trade: Id) -> Result<Answer, ApiError> {
        let until = Instant::now() + self.expiry;
        self.read_until(trade, until).await
    }

    /// How far a trade has come as far as this node knows.
    pub(crate) fn read_local(&self, trade: Id) -> Result<Answer, ApiError> {
        let copy = self.desk.cluster.store.copy(&trade).map_err(not_done)?;
        Ok(Answer::local(trade, copy))
    }

    /// Has a confirmed trade settled.
    pub(crate) async fn settle(self: Arc<Self>, trade: Id) -> Result<Answer, ApiError> {
        let until = Instant::now() + self.expiry;
        let read = self.read_until(trade.clone(), until).await?;
        let details = match (read.status, &read.details) {
            (Status::Settled, _) => return Ok(read),
            (Status::Confirmed, Some(details)) => details.clone(),
            _ => {
                return Err(ApiError::conflict(format!("{trade} is not confirmed, so it cannot be settled")));
            }
        };
        self.desk.cluster.store.accept_settlement(trade.clone()).await?;
        self.finish_settlement(trade, details, until).await
    }

    /// Goes on with a request that was accepted earlier, unless one about the same trade waits already.
    pub(crate) async fn resume(self: Arc<Self>, request: Request, trade: Id) -> Result<(), ApiError> {
        if self.desk.waits_for(&trade) {
            return Ok(());
        }
        let until = Instant::now() + self.expiry;
        let held = self.desk.cluster.store.copy(&trade).map_err(not_done)?;
        match (request, held) {
            (Request::Trade, TradeCopy { vote: Some(details), .. }) => {
                self.decide(trade, details.clone(), details, until).await?;
            }
            (Request::Settlement, TradeCopy { decision: Some(Decision::Confirmed(details)), .. }) => {
                self.finish_settlement(trade, details, until).await?;
            }
            // A trade is voted on, and known to be confirmed, in or before the commit that accepts the request.
            (Request::Trade | Request::Settlement, _) => {}
        }
        Ok(())
    }

    /// Asks all nodes to vote for `proposed`, until the trade is decided or the time is up.
    async fn decide(
        self: &Arc<Self>,
        trade: Id,
        proposed: Details,
        asked: Details,
        until: Instant,
    ) -> Result<Reply, ApiError> {
        let tally = Tally::new(self.desk.cluster.roles.len(), proposed.clone(), self.bug);
        let ask = Ask::Vote(OfTrade { trade: trade.clone(), details: proposed });
        let (purpose, condition) = (Purpose::Confirmation, Condition::Votes(tally));
        let nodes = self.desk.cluster.all();
        let reply = self.desk.wait(Question { trade, asked, purpose, condition, nodes, ask, until }).await?;
        if let Outcome::Decided(decision) = &reply.outcome {
            self.learn(&reply.trade, decision.clone(), false).await?;
        }
        Ok(reply)
    }

    /// Asks all settlement nodes to confirm, then has a majority know it.
    async fn finish_settlement(
        self: &Arc<Self>,
        trade: Id,
        details: Details,
        until: Instant,
    ) -> Result<Answer, ApiError> {
        let nodes = self.desk.cluster.settlement_nodes();
        let condition = Condition::Kept(Mark::high_water(nodes.len(), self.bug));
        let ask = Ask::Settle(OfTrade { trade: trade.clone(), details: details.clone() });
        let (purpose, asked) = (Purpose::Settlement, details);
        let question = Question { trade, asked, purpose, condition, nodes, ask, until };
        let Reply { trade, asked, outcome } = self.desk.wait(question).await?;
        if outcome != Outcome::Reached {
            return Ok(Answer { correlation_id: trade, status: Status::Pending, details: Some(asked) });
        }
        self.learn(&trade, Decision::Confirmed(asked.clone()), true).await?;
        if self.bug == Some(Bug::SettledUntold) {
            return Ok(Answer { correlation_id: trade, status: Status::Settled, details: Some(asked) });
        }
        self.have_known_settled(trade, asked, until).await
    }

    async fn have_known_settled(
        self: &Arc<Self>,
        trade: Id,
        details: Details,
        until: Instant,
    ) -> Result<Answer, ApiError> {
        let decision = Decision::Confirmed(details.clone());
        let ask = Ask::Learn(Facts { facts: vec![Fact { trade: trade.clone(), decision, settled: true }] });
        let condition = Condition::Kept(Mark::of(majority(self.desk.cluster.roles.len())));
        let (purpose, asked, nodes) = (Purpose::SettledKnown, details, self.desk.cluster.all());
        let question = Question { trade, asked, purpose, condition, nodes, ask, until };
        let Reply { trade, asked, outcome } = self.desk.wait(question).await?;
        let status = if outcome == Outcome::Reached { Status::Settled } else { Status::Pending };
        Ok(Answer { correlation_id: trade, status, details: Some(asked) })
    }

    async fn read_until(self: &Arc<Self>, trade: Id, until: Instant) -> Result<Answer, ApiError> {
        if self.bug == Some(Bug::ReadsOwnCopy) {
            return self.read_local(trade);
        }
        let nodes = self.desk.cluster.roles.len();
        let copies = self.copies(&trade, until).await?;
        let decision = match look(nodes, &copies) {
            Look::TooFew => return Err(cannot_tell()),
            Look::Undecided { known } => {
                let status = if known { Status::Pending } else { Status::None };
                return Ok(Answer { correlation_id: trade, status, details: None });
            }
            Look::Decided(decision) => decision,
            Look::Unclear(_) if self.bug == Some(Bug::UnclearIsPending) => {
                return Ok(Answer { correlation_id: trade, status: Status::Pending, details: None });
            }
            Look::Unclear(details) => {
                // It may be confirmed by votes that were not heard: then it is made to be by those that are.
                let reply = self.decide(trade.clone(), details.clone(), details, until).await?;
                let Outcome::Decided(decision) = reply.outcome else { return Err(cannot_tell()) };
                decision
            }
        };
        if copies[0].1.decision.is_none() {
            self.learn(&trade, decision.clone(), false).await?;
        }
        let know_it_settled = copies.iter().filter(|(_, copy)| copy.settled).count();
        match decision {
            Decision::Confirmed(details) if know_it_settled > 0 => {
                // The next read may hear others, so a majority has to know.
                if know_it_settled >= majority(nodes) {
                    return Ok(Answer {
                        correlation_id: trade,
                        status: Status::Settled,
                        details: Some(details),
                    });
                }
                let answer = self.have_known_settled(trade, details, until).await?;
                if answer.status == Status::Settled { Ok(answer) } else { Err(cannot_tell()) }
            }
            decision => Ok(Answer::of(decision, trade, None)),
        }
    }

    /// What nodes have of a trade, this one first, and as many more as it takes to tell how far it has come.
    async fn copies(
        self: &Arc<Self>,
        trade: &Id,
        until: Instant,
    ) -> Result<Vec<(usize, TradeCopy)>, ApiError> {
        let own = self.desk.cluster.own;
        let mut copies = vec![(own, self.desk.cluster.store.copy(trade).map_err(not_done)?)];
        let mut asked = JoinSet::new();
        for node in self.desk.cluster.all().into_iter().filter(|node| *node != own) {
            let (this, trade) = (Arc::clone(self), trade.clone());
            asked.spawn(async move { (node, this.desk.cluster.look(node, &trade).await) });
        }
        let mut patience = until;
        while let Ok(Some(answer)) = timeout_at(patience, asked.join_next()).await {
            let Ok((node, Ok(copy))) = answer else { continue };
            copies.push((node, copy));
            match look(self.desk.cluster.roles.len(), &copies) {
                Look::TooFew => {}
                Look::Unclear(_) => patience = patience.min(Instant::now() + GRACE),
                Look::Decided(_) | Look::Undecided { .. } => break,
            }
        }
        Ok(copies)
    }

    async fn learn(&self, trade: &Id, decision: Decision, settled: bool) -> Result<(), ApiError> {
        let fact = Fact { trade: trade.clone(), decision, settled };
        // The request was accepted before, so this can never be definite.
        self.desk.cluster.store.learn(vec![fact]).await.map_err(|why| ApiError::maybe_done(why.to_string()))
    }
}

fn cannot_tell() -> ApiError {
    ApiError::unavailable("too few nodes answer to tell")
}

/// Of a failed read, or of a failure before anything was done.
#[allow(clippy::needless_pass_by_value, reason = "the signature map_err asks for")]
fn not_done(why: StoreError) -> ApiError {
    ApiError::unavailable(why.to_string())
}
