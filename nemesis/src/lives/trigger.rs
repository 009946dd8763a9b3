//! Killing a node at one exact moment, which a thread outside the runtime sees first: a call on the node's
//! disk, a line in its log.
//!
//! That thread holds the moment still (the call is not answered before [`Trigger::pull`] returns) while
//! the runtime tells the cluster that the death is intended; otherwise a node that dies by itself could not
//! be told from one that we killed, or the death would have to be expected of nodes that are never killed.
//! When `pull` returns, `SIGKILL` is pending for every process of the node: none of them ever executes
//! another instruction of its program.

use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ordeal_core::Cluster;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, timeout_at};

use super::{Victims, gone, pids};
use crate::nodes::Running;

/// The longest wait for the runtime's answer, which comes at once unless the machine stands still.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// The longest wait for threads that were about to pull when they were disarmed.
const LATE_TIMEOUT: Duration = Duration::from_secs(1);

/// Ends one life, once.
pub(crate) struct Trigger {
    life: Running,
    asking: Mutex<Option<UnboundedSender<Asking>>>,
}

/// A thread asks to kill, and waits for the answer.
struct Asking {
    life: Running,
    pids: Vec<i32>,
    answer: mpsc::Sender<()>,
}

/// Hears all triggers of one injection.
pub(crate) struct Watch {
    asking: UnboundedReceiver<Asking>,
}

/// A trigger for each of the lives.
pub(crate) fn triggers(lives: Vec<Running>) -> (Vec<Trigger>, Watch) {
    let (ask, asking) = unbounded_channel();
    let trigger = |life| Trigger { life, asking: Mutex::new(Some(ask.clone())) };
    (lives.into_iter().map(trigger).collect(), Watch { asking })
}

impl Trigger {
    /// The node whose life it ends.
    pub(crate) fn node(&self) -> usize {
        self.life.node
    }

    /// Kills the node. Blocks. Does nothing the second time, or when nobody watches any more.
    pub(crate) fn pull(&self) {
        let asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(asking) = asking else { return };
        let (answer, answered) = mpsc::channel();
        let asked = Asking { life: self.life.clone(), pids: pids(&self.life), answer };
        if asking.send(asked).is_err() || answered.recv_timeout(ANSWER_TIMEOUT).is_err() {
            return;
        }
        // The end of init ends all others, but only when init gets to it; this is at once.
        _ = self.life.send(self.life.init, Signal::SIGKILL);
        for pid in pids(&self.life) {
            // It was in the pinned namespace a moment ago.
            _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

impl Watch {
    /// Waits until a trigger is pulled, and until nothing of its node is left. `disarm` must drop the
    /// triggers of all nodes but that one; what is being pulled at that moment kills as well. Answers the
    /// nodes that were killed: the first, and those; none if the time was up before.
    pub(crate) async fn first(
        mut self,
        cluster: &dyn Cluster,
        victims: &Victims,
        limit: Duration,
        disarm: impl FnOnce(Option<usize>),
    ) -> Result<Vec<usize>, String> {
        let first = timeout_at(Instant::now() + limit, self.asking.recv()).await;
        let mut killed = Vec::new();
        if let Ok(Some(first)) = first {
            killed.push(allow(cluster, victims, first).await);
        }
        disarm(killed.first().copied());
        let late = Instant::now() + LATE_TIMEOUT;
        while let Ok(Some(asking)) = timeout_at(late, self.asking.recv()).await {
            killed.push(allow(cluster, victims, asking).await);
        }
        gone(cluster, &killed).await?;
        Ok(killed)
    }
}

async fn allow(cluster: &dyn Cluster, victims: &Victims, asking: Asking) -> usize {
    let node = asking.life.node;
    cluster.expect_death(node);
    victims.adopt(asking.life, asking.pids).await;
    // If the thread has given up waiting, the node lives on, and is not gone in time.
    _ = asking.answer.send(());
    node
}
