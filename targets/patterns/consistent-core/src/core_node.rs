//! A node of the core: what clients ask of it, and what data nodes follow.

use std::time::Duration;

use axum::http::StatusCode;
use ordeal_kit::ApiError;
use ordeal_raft::Consensus;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::adjusting::{Adjuster, Adjustment};
use crate::claim::Rule;
use crate::machine::{Answer, Command, Core, Refusal};
use crate::messages::{CoreAsk, Fetched, Watched};

/// Adjustments that this node has taken on and not ended yet.
const ADJUSTMENTS_MAX: usize = 32;
/// How long a watcher is kept waiting when nothing happens. Then it asks another core node, in case that this one
/// is behind and does not know.
const WATCH_WAIT: Duration = Duration::from_millis(500);

/// A node of the core.
pub(crate) struct CoreNode {
    pub(crate) core: Consensus<Core>,
    pub(crate) adjuster: Adjuster,
    pub(crate) rule: Rule,
    adjustments: std::sync::Arc<Semaphore>,
}

impl CoreNode {
    pub(crate) fn new(core: Consensus<Core>, adjuster: Adjuster, rule: Rule) -> Self {
        let adjustments = std::sync::Arc::new(Semaphore::new(ADJUSTMENTS_MAX));
        CoreNode { core, adjuster, rule, adjustments }
    }

    /// Answers a client's request.
    pub(crate) async fn answer(&self, ask: CoreAsk) -> Result<Value, ApiError> {
        match ask {
            CoreAsk::PutPolicy { policy, request_id, holder, premium } => {
                let request = format!("policy-{policy}-{request_id}");
                let policy = policy.into();
                self.propose(&request, &Command::PutPolicy { policy, holder, premium }).await
            }
            CoreAsk::Policy { policy } => json(self.core.read(|core| core.policy(policy.as_str())).await?),
            CoreAsk::Submit { claim, request_id, policy, amount } => {
                let request = format!("claim-{claim}-{request_id}");
                let (claim, policy) = (claim.into(), policy.into());
                self.propose(&request, &Command::Submit { claim, policy, amount }).await
            }
            CoreAsk::Confirm { claim, request_id, department, verdict } => {
                let request = format!("confirm-{claim}-{request_id}");
                let (claim, rule) = (claim.into(), self.rule);
                self.propose(&request, &Command::Confirm { claim, department, verdict, rule }).await
            }
            CoreAsk::Claim { claim } => {
                let claim = self.core.read(|core| core.claim(claim.as_str())).await?;
                json(claim.ok_or_else(|| refuse(Refusal::NoClaim))?)
            }
            CoreAsk::Adjust { request_id, amount, policies } => {
                self.adjust(Adjustment { id: request_id, amount, policies }).await
            }
        }
    }

    async fn propose(&self, request: &str, command: &Command) -> Result<Value, ApiError> {
        match self.core.propose(request, command).await?.answer {
            Answer::Policy(policy) => json(policy),
            Answer::Claim(claim) => json(claim),
            Answer::Refused(refusal) => Err(refuse(refusal)),
            _ => Err(unexpected()),
        }
    }

    /// Adjusts premiums. Goes on if the client hangs up: a lease is not left behind.
    async fn adjust(&self, wanted: Adjustment) -> Result<Value, ApiError> {
        let busy = |_| ApiError::busy(format!("{ADJUSTMENTS_MAX} adjustments are under way already"));
        let permit = self.adjustments.clone().try_acquire_owned().map_err(busy)?;
        let adjuster = self.adjuster.clone();
        let adjusting = tokio::spawn(async move {
            let _permit = permit;
            adjuster.adjust(&wanted).await
        });
        let adjusted = adjusting.await.map_err(|e| ApiError::internal(e.to_string()))?;
        json(adjusted?)
    }

    /// What came after this version, as soon as there is something, or nothing after a while.
    pub(crate) async fn watch(&self, after: u64) -> Watched {
        let mut applied = self.core.follow();
        let news = async {
            while self.core.local(Core::version) <= after {
                if applied.changed().await.is_err() {
                    return;
                }
            }
        };
        // Late or not, what there is is what is said.
        let _ = timeout(WATCH_WAIT, news).await;
        Watched { changes: self.core.local(|core| core.changes_after(after)) }
    }

    /// All policies.
    pub(crate) fn fetch(&self) -> Fetched {
        self.core.local(|core| core.policies().clone())
    }
}

/// The body of an answer.
pub(crate) fn json(answer: impl Serialize) -> Result<Value, ApiError> {
    serde_json::to_value(answer).map_err(|e| ApiError::internal(e.to_string()))
}

/// A refusal of the machine as clients see it.
pub(crate) fn refuse(refusal: Refusal) -> ApiError {
    let status = match refusal {
        Refusal::NoPolicy | Refusal::NoClaim => StatusCode::NOT_FOUND,
        Refusal::ClaimExists | Refusal::SaidOtherwise | Refusal::Fenced => StatusCode::CONFLICT,
        Refusal::Full => StatusCode::PAYLOAD_TOO_LARGE,
    };
    ApiError::refused(status, refusal.to_string())
}

/// The machine answered another question. Written by another version of this program.
pub(crate) fn unexpected() -> ApiError {
    ApiError::internal("the core answered something else")
}
