//! Whether the node serves clients, and why not: what the operator sees.
//!
//! A node that starts has applied its snapshot and what its log holds for certain, but not what the others
//! decided meanwhile. It serves from the first read on that a leader has confirmed; so no client sees a node
//! go back in time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use ordeal_kit::{ApiError, strict};
use ordeal_raft::{Consensus, StartError};
use serde_json::json;

use crate::factory::Factory;

/// Where the operator asks.
pub(crate) const STATUS: &str = "/operator/status";
/// Between two attempts to catch up.
const AGAIN: Duration = Duration::from_millis(20);
/// The gate is closed.
const CLOSED: u64 = u64::MAX;

/// Open once the node has caught up.
#[derive(Debug)]
pub(crate) struct Gate {
    /// Events there were when it was opened, or [`CLOSED`].
    opened_at: AtomicU64,
    /// A planted defect: what happened before it was opened is not published.
    skips: bool,
}

impl Gate {
    pub(crate) fn new(skips: bool) -> Gate {
        Gate { opened_at: AtomicU64::new(CLOSED), skips }
    }

    /// Opens the gate once the node has applied everything that was acknowledged anywhere before it started.
    pub(crate) async fn open(&self, consensus: &Consensus<Factory>) {
        loop {
            if let Ok(events) = consensus.read(Factory::event_count).await {
                self.opened_at.store(events, Ordering::Release);
                tracing::info!(events, "caught up: serving");
                return;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.opened_at.load(Ordering::Acquire) != CLOSED
    }

    /// The last event that is kept from consumers; `None` unless that is the planted defect.
    pub(crate) fn skipped(&self) -> Option<u64> {
        self.skips.then(|| self.opened_at.load(Ordering::Acquire))
    }

    /// Refuses everything while the gate is closed.
    pub(crate) fn around(gate: Arc<Gate>, routes: Router) -> Router {
        routes.layer(from_fn_with_state(gate, admit))
    }
}

async fn admit(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    match gate.is_open() {
        true => next.run(request).await,
        false => ApiError::unavailable("the node replays its log and catches up").into_response(),
    }
}

/// What the operator sees of a node that runs.
pub(crate) fn status_route(consensus: Consensus<Factory>, gate: Arc<Gate>) -> Router {
    let status = async move || {
        let state = if gate.is_open() { "serving" } else { "catching-up" };
        Json(json!({ "state": state, "reason": null, "raft": consensus.status() }))
    };
    Router::new().route(STATUS, get(status))
}

/// What is served by a node whose log or snapshot cannot be read: the reason, and nothing else. Guessing at
/// what was in it could undo a shutdown.
pub(crate) fn damaged_router(id: &str, why: &StartError) -> Router {
    let why = why.to_string();
    let status = json!({ "state": "damaged", "reason": why, "raft": null });
    let health = json!({ "id": id, "ready": false });
    let refusal = ApiError::unavailable(format!("the node needs an operator: {why}"));
    let open = Router::new()
        .route(STATUS, get(async move || Json(status)))
        .route("/health", get(async move || Json(health)));
    strict(open).fallback(async move || refusal)
}
