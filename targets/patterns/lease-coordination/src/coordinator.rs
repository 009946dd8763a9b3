//! A coordinator: takes commands about leases into the replicated log, and lets leases expire.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::{any, get, post};
use axum::{Json as Answered, Router};
use ordeal_kit::{ApiError, Id, InFlight, Json, Path};
use ordeal_raft::{COMMAND_BYTES_MAX, Consensus, Refused};

use crate::bugs::Bug;
use crate::clock::{Clock, Terms};
use crate::coordinators::{ASK, Asked, Names, TABLE, Told};
use crate::expiry::Watch;
use crate::leases::{Answer, Command, Lease, Leases};
use crate::routes::{LeaseAnswer, REQUESTS_MAX};

/// How often leases are looked at, as a part of the time they last.
const LOOKS_PER_LEASE: u32 = 40;

/// One coordinator.
pub(crate) struct Coordinator {
    pub(crate) leases: Consensus<Leases>,
    pub(crate) clock: Clock,
    pub(crate) terms: Terms,
    pub(crate) names: Names,
    pub(crate) bug: Option<Bug>,
}

impl Coordinator {
    async fn ask(&self, Asked { request, command }: Asked) -> Told {
        if self.bug == Some(Bug::GrantedEarly)
            && let Command::Acquire { symbol, .. } = &command
        {
            self.end_at_once(symbol).await;
        }
        match self.leases.propose(&request, &command).await.map(|done| done.answer) {
            Ok(Answer::Renewed { .. }) if self.bug == Some(Bug::RenewalAfterExpiry) => {
                Told::Done(Answer::Renewed { lost: Vec::new() })
            }
            Ok(answer) => Told::Done(answer),
            Err(Refused::NotDone(why)) => Told::NotDone(why),
            Err(Refused::MaybeDone(why)) => Told::MaybeDone(why),
        }
    }

    /// The defect: a lease gives way to whoever asks.
    async fn end_at_once(&self, symbol: &Id) {
        if let Some(lease) = self.leases.local(|leases| leases.0.get(symbol).cloned()) {
            let leases = [(symbol.clone(), lease.period)].into();
            // Whether it worked is seen by what comes next.
            let _ = self.leases.propose(&self.names.next(), &Command::Expire { leases }).await;
        }
    }

    /// Lets leases expire, for ever. Every coordinator watches; whoever leads proposes.
    pub(crate) async fn expire(self: Arc<Self>) {
        let forgets = self.bug == Some(Bug::LeasesForgottenOnRestart);
        let mut watch = Watch::new(if forgets { self.leases.status().last } else { 0 });
        let mut ticks = tokio::time::interval((self.terms.lease / LOOKS_PER_LEASE).max(TICK_MIN));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // The time is taken after the look: a lease cannot seem older than it is.
            let leases = self.leases.local(Clone::clone);
            let overdue = watch.overdue(&leases, self.clock.now(), self.terms.waited_for());
            if overdue.is_empty() || !self.leases.leads() {
                continue;
            }
            tracing::info!(symbols = overdue.len(), "leases have expired");
            if let Err(why) =
                self.leases.propose(&self.names.next(), &Command::Expire { leases: overdue }).await
            {
                tracing::warn!(%why, "expired leases are not taken back yet");
            }
        }
    }

    async fn lookup(&self, symbol: &Id) -> Result<Option<Lease>, Refused> {
        self.leases.read(|leases| leases.0.get(symbol).cloned()).await
    }
}

const TICK_MIN: Duration = Duration::from_millis(5);

/// What coordinators answer: anybody's question who holds a lease, and the price nodes' commands.
pub(crate) fn router(coordinator: Arc<Coordinator>) -> Router {
    let consensus = coordinator.leases.routes();
    let misdirected = || any(async || Err::<(), _>(at_a_price_node()));
    let clients = Router::new()
        .route("/leases/{symbol}", get(lookup).fallback(async || at_a_price_node()))
        .route("/prices/{symbol}", misdirected())
        .route("/audit/{symbol}", misdirected())
        .with_state(Arc::clone(&coordinator));
    let nodes = Router::new()
        .route(ASK, post(ask))
        .route(TABLE, post(table))
        // A command, escaped, in its envelope.
        .layer(DefaultBodyLimit::max(2 * COMMAND_BYTES_MAX))
        .with_state(coordinator);
    consensus
        .merge(InFlight::new(REQUESTS_MAX).around(clients))
        .merge(InFlight::new(REQUESTS_MAX).around(nodes))
}

fn at_a_price_node() -> ApiError {
    ApiError::refused(StatusCode::MISDIRECTED_REQUEST, "this is a coordinator: ask a price node")
}

async fn lookup(
    State(coordinator): State<Arc<Coordinator>>,
    Path(symbol): Path<Id>,
) -> Result<Answered<LeaseAnswer>, ApiError> {
    Ok(Answered(coordinator.lookup(&symbol).await?.into()))
}

async fn ask(State(coordinator): State<Arc<Coordinator>>, Json(asked): Json<Asked>) -> Answered<Told> {
    Answered(coordinator.ask(asked).await)
}

async fn table(State(coordinator): State<Arc<Coordinator>>) -> Answered<Option<Leases>> {
    Answered(coordinator.leases.read(Clone::clone).await.ok())
}
