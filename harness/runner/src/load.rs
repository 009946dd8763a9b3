//! Clients: workers that ask the generator, invoke, and hand over both ends of every operation.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ordeal_core::{
    Ask, Client, ClusterSpec, Event, EventKind, Generator, Next, Op, Outcome, Process, Rng, Target,
    TargetError, Workload,
};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::cluster::Joined;
use crate::{Journal, Progress, RecorderError};

/// Pause before a generator that had nothing is asked again, and before a failed final read is repeated.
const AGAIN: Duration = Duration::from_millis(5);

/// What all workers of a run share.
pub(crate) struct Clients {
    pub(crate) journal: Journal,
    pub(crate) target: Arc<dyn Target>,
    pub(crate) workload: Arc<dyn Workload>,
    pub(crate) spec: ClusterSpec,
    pub(crate) op_timeout: Duration,
    pub(crate) progress: Arc<Progress>,
    /// Clients are numbered over the whole run: a crashed one never acts again.
    pub(crate) next_process: AtomicU64,
    /// The node that last acknowledged a write, plus one.
    pub(crate) last_acknowledged: Arc<AtomicUsize>,
    pub(crate) joined: Arc<Joined>,
}

/// Why the load ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    #[error(transparent)]
    Recorder(#[from] RecorderError),
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error("a client of the workload panicked: {0}")]
    Panic(String),
}

/// One source of operations for many workers, at one pace.
pub(crate) struct Source {
    state: Mutex<(Box<dyn Generator>, Pace)>,
}

/// When operations are due: independently of one another (a Poisson process), as those of many clients
/// would be, so that some come together and some alone.
struct Pace {
    rate: Option<f64>,
    next: Instant,
    rng: Rng,
}

impl Pace {
    /// When the next operation is due. A load that fell behind does not catch up in a burst.
    fn due(&mut self) -> Option<Instant> {
        let rate = self.rate?;
        let due = self.next.max(Instant::now());
        // In (0, 1], so that its logarithm is finite.
        let uniform = ((self.rng.next_u64() >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        self.next = due + Duration::from_secs_f64(-uniform.ln() / rate);
        Some(due)
    }
}

impl Source {
    /// `rate`: operations per second on average; `None` is as fast as the workers can.
    pub(crate) fn new(generator: Box<dyn Generator>, rate: Option<f64>, seed: u64) -> Self {
        let pace = Pace { rate, next: Instant::now(), rng: Rng::fork(seed, "pace") };
        Source { state: Mutex::new((generator, pace)) }
    }

    fn lock(&self) -> MutexGuard<'_, (Box<dyn Generator>, Pace)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self, ask: Ask) -> (Next, Option<Instant>) {
        let mut state = self.lock();
        let next = state.0.next(ask);
        let due = matches!(next, Next::Op(_)).then(|| state.1.due()).flatten();
        (next, due)
    }

    fn observe(&self, event: &Event) {
        self.lock().0.observe(event);
    }
}

/// How long workers go on.
#[derive(Clone, Copy)]
enum Until {
    /// Until told to stop or out of operations; what fails, fails.
    Stopped,
    /// Until every operation has succeeded once, but not after this.
    AllSucceeded(Instant),
}

impl Clients {
    /// Runs workers until `stop` turns true or the generator is exhausted for each.
    pub(crate) async fn load(
        self: &Arc<Self>,
        source: &Arc<Source>,
        workers: usize,
        stop: &watch::Receiver<bool>,
    ) -> Result<(), LoadError> {
        self.work(source, workers, stop, Until::Stopped).await
    }

    /// Runs one worker for each node that has joined through a generator of final reads, repeating each until it succeeds, at
    /// most until `deadline`.
    pub(crate) async fn final_reads(
        self: &Arc<Self>,
        source: &Arc<Source>,
        stop: &watch::Receiver<bool>,
        deadline: Instant,
    ) -> Result<(), LoadError> {
        self.work(source, self.joined.taken_in(), stop, Until::AllSucceeded(deadline)).await
    }

    async fn work(
        self: &Arc<Self>,
        source: &Arc<Source>,
        workers: usize,
        stop: &watch::Receiver<bool>,
        until: Until,
    ) -> Result<(), LoadError> {
        let mut tasks = tokio::task::JoinSet::new();
        for thread in 0..workers {
            let (clients, source, stop) = (Arc::clone(self), Arc::clone(source), stop.clone());
            tasks.spawn(async move {
                let process = clients.new_process();
                let place = thread % clients.spec.nodes.len();
                let node = clients.stand_in(place);
                let worker =
                    Worker { clients: &clients, source: &source, thread, place, node, process, client: None };
                worker.run(stop, until).await
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended.map_err(|e| LoadError::Panic(e.to_string()))??;
        }
        Ok(())
    }

    /// The node that clients of this place ask now.
    fn stand_in(&self, place: usize) -> usize {
        self.spec.stand_in(place, self.joined.taken_in())
    }

    fn new_process(&self) -> u64 {
        self.next_process.fetch_add(1, Ordering::Relaxed)
    }
}

/// A worker: one client after another, all bound to one node, and until that has joined to its stand-in.
struct Worker<'a> {
    clients: &'a Clients,
    source: &'a Source,
    thread: usize,
    place: usize,
    node: usize,
    process: u64,
    client: Option<Box<dyn Client>>,
}

impl Worker<'_> {
    async fn run(mut self, mut stop: watch::Receiver<bool>, until: Until) -> Result<(), LoadError> {
        while !*stop.borrow() {
            self.settle();
            let ask = Ask { process: self.process, thread: self.thread, node: self.node };
            let (next, due) = self.source.next(ask);
            let op = match next {
                Next::Op(op) => op,
                Next::Exhausted => break,
                Next::Pending => {
                    tokio::time::sleep(AGAIN).await;
                    continue;
                }
            };
            if let Some(due) = due {
                tokio::select! {
                    () = tokio::time::sleep_until(due) => {}
                    _ = stop.wait_for(|stopped| *stopped) => break,
                }
            }
            let mut done = self.invoke(&op).await?;
            if let Until::AllSucceeded(deadline) = until {
                while done != EventKind::Ok && Instant::now() < deadline && !*stop.borrow() {
                    tokio::time::sleep(AGAIN).await;
                    done = self.invoke(&op).await?;
                }
            }
        }
        Ok(())
    }

    /// Goes to its own node once that has joined, as a new client: what one was shown by one node is not promised
    /// to it by another.
    fn settle(&mut self) {
        let node = self.clients.stand_in(self.place);
        if node != self.node {
            self.node = node;
            self.process = self.clients.new_process();
            self.client = None;
        }
    }

    /// One operation from its invocation to its completion, both stamped here, at the client's edge.
    async fn invoke(&mut self, op: &Op) -> Result<EventKind, LoadError> {
        let clients = self.clients;
        let node = &clients.spec.nodes[self.node];
        let client = match &mut self.client {
            Some(client) => client,
            empty => empty.insert(clients.target.client(clients.workload.name(), node)?),
        };
        let event = |kind, value, error| Event {
            index: 0,
            time: clients.journal.now(),
            process: Process::Client(self.process),
            kind,
            f: op.f.clone(),
            value,
            key: op.key.clone(),
            node: Some(node.id.clone().into()),
            error,
        };
        clients.journal.record(event(EventKind::Invoke, op.value.clone(), None)).await?;
        let answered = tokio::time::timeout(clients.op_timeout, client.invoke(op)).await;
        let timed_out = answered.is_err();
        let outcome = answered.unwrap_or_else(|_| {
            let why = format!("no answer within {} ms", clients.op_timeout.as_millis());
            match clients.workload.mutates(&op.f) {
                true => Outcome::Info(why),
                false => Outcome::Fail(why),
            }
        });
        let completion = match outcome {
            Outcome::Ok(value) => event(EventKind::Ok, value, None),
            Outcome::Fail(why) => event(EventKind::Fail, op.value.clone(), Some(why)),
            Outcome::Info(why) => event(EventKind::Info, op.value.clone(), Some(why)),
        };
        let kind = completion.kind;
        if kind == EventKind::Ok && clients.workload.mutates(&op.f) {
            clients.last_acknowledged.store(self.node + 1, Ordering::Relaxed);
        }
        clients.progress.ended(kind);
        self.source.observe(&completion);
        clients.journal.record(completion).await?;
        if kind == EventKind::Info {
            // Its operation may still take effect, so this client must not be seen to act after it.
            self.process = clients.new_process();
        }
        if timed_out || kind == EventKind::Info {
            self.client = None;
        }
        Ok(kind)
    }
}
