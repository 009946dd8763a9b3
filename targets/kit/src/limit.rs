//! Bounded concurrency: a node that has too much to do says so at once.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;

use crate::ApiError;

/// At most so many requests at once; one more is answered 429 and nothing is done for it.
#[derive(Clone, Debug)]
pub struct InFlight {
    free: Arc<Semaphore>,
    limit: usize,
}

impl InFlight {
    /// At most `limit` requests at once.
    pub fn new(limit: usize) -> Self {
        InFlight { free: Arc::new(Semaphore::new(limit)), limit }
    }

    /// Puts the limit around every route of the router.
    pub fn around<S: Clone + Send + Sync + 'static>(self, router: Router<S>) -> Router<S> {
        router.layer(from_fn_with_state(self, admit))
    }
}

async fn admit(State(gate): State<InFlight>, request: Request, next: Next) -> Response {
    match gate.free.clone().try_acquire_owned() {
        Ok(_held) => next.run(request).await,
        Err(_) => ApiError::busy(format!("{} requests are in flight already", gate.limit)).into_response(),
    }
}
