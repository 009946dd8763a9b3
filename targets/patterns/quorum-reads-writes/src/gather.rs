//! One round: asking all replicas at once, going on as soon as enough have answered.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use crate::protocol::{Round, Step};
use crate::replicas::{ReplicaError, Replicas};

/// Not enough replicas answered.
#[derive(Debug, thiserror::Error)]
#[error("{heard} of the {need} replicas needed answered {}", if *.late { "in time" } else { "; too many others cannot be reached" })]
pub(crate) struct NoQuorum {
    heard: usize,
    need: usize,
    late: bool,
}

/// A replica, and what became of asking it.
pub(crate) type Answer<T> = (usize, Result<T, ReplicaError>);

/// A quorum's answers, and the channel on which the others' may still come.
pub(crate) struct Gathered<T> {
    pub(crate) answers: Vec<(usize, T)>,
    pub(crate) late: mpsc::Receiver<Answer<T>>,
}

impl Replicas {
    /// Asks every replica but those whose answers are `ready`, until `need` have answered.
    pub(crate) async fn gather<T, F>(
        self: &Arc<Self>,
        ready: Vec<(usize, T)>,
        need: usize,
        deadline: Instant,
        ask: impl Fn(Arc<Replicas>, usize) -> F,
    ) -> Result<Gathered<T>, NoQuorum>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ReplicaError>> + Send + 'static,
    {
        let nodes = self.nodes;
        let mut round = Round::new(nodes, need);
        for (node, answer) in ready {
            round.answer(node, answer);
        }
        let (tell, mut late) = mpsc::channel(nodes);
        for node in (0..nodes).filter(|node| round.is_open(*node)) {
            let (tell, asked) = (tell.clone(), ask(Arc::clone(self), node));
            tokio::spawn(async move {
                let answer = asked.await;
                // Nobody listens any more when the quorum was there and nothing is to be repaired.
                let _ = tell.send((node, answer)).await;
            });
        }
        drop(tell);
        let mut step = round.step();
        let mut in_time = true;
        while step == Step::Wait && in_time {
            step = match timeout_at(deadline, late.recv()).await {
                Ok(Some((node, Ok(answer)))) => round.answer(node, answer),
                Ok(Some((node, Err(why)))) => {
                    tracing::debug!(node, %why, "no answer of a replica");
                    round.fail(node)
                }
                Ok(None) => Step::Hopeless,
                Err(_) => {
                    in_time = false;
                    Step::Wait
                }
            };
        }
        let answers = round.into_answers();
        if step == Step::Enough {
            return Ok(Gathered { answers, late });
        }
        Err(NoQuorum { heard: answers.len(), need, late: !in_time })
    }
}
