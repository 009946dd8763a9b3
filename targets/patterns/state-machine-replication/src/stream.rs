//! The event stream as server-sent events: what is there already, then what comes, until the consumer leaves.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State as Node;
use axum::response::sse::{Event as Message, KeepAlive, Sse};
use futures_util::Stream;
use futures_util::stream::unfold;
use ordeal_kit::{ApiError, Query};
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, timeout_at};

use crate::factory::Event;
use crate::routes::{Shared, gone};

/// Consumers at a time.
const STREAMS_MAX: usize = 256;
/// Events that are read ahead for one consumer.
const AHEAD: usize = 100;
/// The longest stream; a consumer asks again from where it was.
const LASTS_MAX: Duration = Duration::from_secs(600);

/// Places for consumers.
#[derive(Clone, Debug)]
pub(crate) struct Streams(Arc<Semaphore>);

impl Streams {
    pub(crate) fn new() -> Streams {
        Streams(Arc::new(Semaphore::new(STREAMS_MAX)))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StreamQuery {
    from: Option<u64>,
    /// Ends after so many events.
    limit: Option<u64>,
    /// Ends after so long.
    for_ms: Option<u64>,
}

/// `GET /events/stream`.
pub(crate) async fn stream(
    Node(node): Node<Shared>,
    Query(query): Query<StreamQuery>,
) -> Result<Sse<impl Stream<Item = Result<Message, Infallible>>>, ApiError> {
    let full = |_| ApiError::busy(format!("{STREAMS_MAX} consumers are there already"));
    let place = Arc::clone(&node.streams.0).try_acquire_owned().map_err(full)?;
    let begin = node.consensus.local(|factory| factory.events(query.from, 1)).map_err(gone)?;
    let lasts = query.for_ms.map_or(LASTS_MAX, Duration::from_millis).min(LASTS_MAX);
    let consumer = Consumer {
        applied: node.consensus.follow(),
        node,
        next: begin.from,
        ahead: VecDeque::new(),
        left: query.limit.unwrap_or(u64::MAX),
        ends: Instant::now() + lasts,
        _place: place,
    };
    let messages = unfold(consumer, async |mut consumer| {
        let event = consumer.event().await?;
        // An event has a JSON form.
        let message = Message::default().id(event.number.to_string()).json_data(&event).ok()?;
        Some((Ok(message), consumer))
    });
    Ok(Sse::new(messages).keep_alive(KeepAlive::default()))
}

/// One who listens.
struct Consumer {
    node: Shared,
    applied: watch::Receiver<u64>,
    /// The number of the event to be read next.
    next: u64,
    ahead: VecDeque<Event>,
    /// Events until the end.
    left: u64,
    ends: Instant,
    _place: OwnedSemaphorePermit,
}

impl Consumer {
    /// The next event; `None` at the end of the stream.
    async fn event(&mut self) -> Option<Event> {
        self.left = self.left.checked_sub(1)?;
        loop {
            if let Some(event) = self.ahead.pop_front() {
                return Some(event);
            }
            self.applied.mark_unchanged();
            // A consumer so slow that what it needs was dropped: the stream ends, and asking again says why.
            let page = self
                .node
                .consensus
                .local(|factory| self.node.published(factory, Some(self.next), AHEAD))
                .ok()?;
            self.next = page.next;
            self.ahead = page.items.into();
            if self.ahead.is_empty() {
                timeout_at(self.ends, self.applied.changed()).await.ok()?.ok()?;
            }
        }
    }
}
