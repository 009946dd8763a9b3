//! What the leading metadata node does by itself: listens to the data nodes, tells them their orders, moves the change that
//! is under way on, and begins a new one when the load asks for it.
//!
//! Everything it does follows from what is committed and what data nodes report (`conduct.rs`). What it remembers besides
//! is only about time: since when nothing has moved, so that it gives up, and when load was last worth looking at.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ordeal_kit::encode;

use crate::balance::{self, Loads};
use crate::bugs::Bug;
use crate::conduct::{self, Report, Reports};
use crate::held::{Order, Record};
use crate::messages::{TELL, Table, Tell};
use crate::metadata_node::MetadataNode;
use crate::meter::WINDOW;
use crate::routing::{Change, Command, Routing, ShardId, Step};
use crate::steps;

/// How often a data node is asked at least; and how soon it is told the same again.
const ASK_EVERY: Duration = Duration::from_millis(150);
const TELL_AGAIN: Duration = Duration::from_millis(25);
/// How often the leader looks at least.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Something new is only begun on reports that are no older.
const FRESH: Duration = Duration::from_millis(600);
/// A copy that makes no progress for so long is given up; and so is one for which the source has stopped serving.
const COPY_PATIENCE: Duration = Duration::from_millis(4_000);
const FREEZE_PATIENCE: Duration = Duration::from_millis(1_500);

/// What a leader remembers while it leads. Another one begins anew.
#[derive(Default)]
pub(crate) struct Memory {
    reports: Reports,
    /// When each came.
    heard: HashMap<String, Instant>,
    /// Who has been told something and has not answered yet.
    waiting: HashSet<String>,
    /// What each was told last, and when.
    told: HashMap<String, (Vec<Order>, Instant)>,
    stands: Option<Stands>,
    /// When load last changed hands, or the leader began to look.
    unsettled: Option<Instant>,
    /// The changes that this leader has begun; only the defect asks.
    begun: HashSet<(ShardId, u64)>,
    proposals: u64,
}

/// A step that stands, what its copy has come to, and since when.
struct Stands {
    change: Change,
    copy: Option<Record>,
    since: Instant,
}

impl Memory {
    /// What the node reported last, and how long ago, in milliseconds.
    pub(crate) fn seen(&self, node: &str) -> Option<(&Report, u64)> {
        let at = self.heard.get(node)?;
        Some((self.reports.get(node)?, at.elapsed().as_millis() as u64))
    }

    fn fresh(&self, node: &str) -> bool {
        self.heard.get(node).is_some_and(|at| at.elapsed() < FRESH)
    }

    /// Whether the node should be told these orders now, which may be none.
    fn is_due(&self, node: &str, orders: &[Order], epoch: u64) -> bool {
        if self.waiting.contains(node) {
            return false;
        }
        let Some((last, at)) = self.told.get(node) else { return true };
        let outdated = self.reports.get(node).is_some_and(|report| report.routing < epoch);
        let again = if orders.is_empty() && !outdated { ASK_EVERY } else { TELL_AGAIN };
        last != orders || at.elapsed() >= again
    }

    /// For how long the step that stands, and its copy, have been as they are.
    fn standing(&mut self, change: &Change) -> Duration {
        let copy = match &change.step {
            Step::Copying { to } | Step::Freezing { to } => {
                self.reports.get(to).and_then(|report| report.held.records.get(&change.shard)).cloned()
            }
            _ => None,
        };
        match &self.stands {
            Some(stands) if stands.change == *change && stands.copy == copy => stands.since.elapsed(),
            _ => {
                self.stands = Some(Stands { change: change.clone(), copy, since: Instant::now() });
                Duration::ZERO
            }
        }
    }
}

/// Conducts for as long as this node leads, whenever it does.
pub(crate) async fn conduct(node: Arc<MetadataNode>) {
    loop {
        if !node.core.leads() {
            *node.memory() = Memory::default();
            tokio::time::sleep(LOOK_EVERY).await;
            continue;
        }
        // Also makes sure that this node does lead, and has applied all that was committed before.
        let routing = node.core.read(Clone::clone).await;
        let went_on = match &routing {
            Ok(routing) => node.go_on(routing).await,
            Err(_) => false,
        };
        if !went_on {
            let _ = tokio::time::timeout(LOOK_EVERY, node.news.notified()).await;
        }
    }
}

impl MetadataNode {
    /// Takes one step, or tells data nodes what is to be done; whether it took a step.
    async fn go_on(self: &Arc<Self>, routing: &Routing) -> bool {
        if self.is_orphan(routing) {
            self.tell_all(&[], routing);
            return false;
        }
        if let Some((command, step)) = self.next(routing) {
            return self.propose(command, step).await;
        }
        let orders = conduct::orders(routing, &self.memory().reports, self.bug);
        self.tell_all(&orders, routing);
        false
    }

    /// Tells each data node its orders, if it is time to.
    fn tell_all(self: &Arc<Self>, orders: &[(String, Order)], routing: &Routing) {
        let nodes = routing.nodes.iter();
        let mut of_node: BTreeMap<&str, Vec<Order>> = nodes.map(|node| (node.as_str(), Vec::new())).collect();
        for (node, order) in orders {
            of_node.entry(node).or_default().push(order.clone());
        }
        for (node, orders) in of_node {
            self.tell(node, orders, routing);
        }
    }

    /// What to propose now, and what step that is.
    fn next(&self, routing: &Routing) -> Option<(Command, Option<(steps::Name, ShardId)>)> {
        if routing.epoch == 0 {
            let begin = Command::Begin { nodes: self.first.clone(), regions: self.regions.clone() };
            return Some((begin, None));
        }
        let mut memory = self.memory();
        let Some(change) = &routing.change else {
            drop(memory);
            let command = self.plan(routing)?;
            let step = match &command {
                Command::Split { shard, .. } => Some((steps::SPLIT_PLANNED, *shard)),
                Command::Move { shard, .. } => Some((steps::MOVE_PLANNED, *shard)),
                _ => None,
            };
            return Some((command, step));
        };
        if !matches!(change.step, Step::Splitting { .. }) {
            memory.unsettled = Some(Instant::now());
        }
        let change = change.clone();
        if conduct::is_done(routing, &change, &memory.reports) {
            let step = (steps::advanced(&change), change.shard);
            return Some((Command::Advance { change }, Some(step)));
        }
        let patience = match change.step {
            Step::Copying { .. } => COPY_PATIENCE,
            Step::Freezing { .. } => FREEZE_PATIENCE,
            _ => return None,
        };
        let step = (steps::ABORT_DECIDED, change.shard);
        (memory.standing(&change) >= patience).then_some((Command::Abort { change }, Some(step)))
    }

    /// The defect: whether nobody conducts this change any more.
    fn is_orphan(&self, routing: &Routing) -> bool {
        let begun = |change: &Change| self.memory().begun.contains(&(change.shard, change.epoch));
        self.bug == Some(Bug::Orphaned) && routing.change.as_ref().is_some_and(|change| !begun(change))
    }

    /// What the load asks for, if everybody has told it lately and for long enough, and everything is in its place.
    fn plan(&self, routing: &Routing) -> Option<Command> {
        let mut memory = self.memory();
        let unsettled = *memory.unsettled.get_or_insert_with(Instant::now);
        let known = routing
            .nodes
            .iter()
            .all(|node| memory.fresh(node) && memory.reports.get(node).is_some_and(|report| report.counted));
        if self.bug == Some(Bug::NeverRebalances) || unsettled.elapsed() < WINDOW || !known {
            return None;
        }
        if !conduct::at_rest(routing, &memory.reports) {
            return None;
        }
        let reports = memory.reports.iter();
        let loads: Loads<'_> = reports.map(|(node, report)| (node.as_str(), &*report.load)).collect();
        balance::plan(routing, &loads, self.capacity as f64)
    }

    async fn propose(&self, command: Command, step: Option<(steps::Name, ShardId)>) -> bool {
        let request = {
            let mut memory = self.memory();
            memory.proposals += 1;
            if self.bug == Some(Bug::Orphaned)
                && let Command::Split { shard, epoch, .. } | Command::Move { shard, epoch, .. } = &command
            {
                memory.begun.insert((*shard, *epoch));
            }
            format!("{}-{}", self.life, memory.proposals)
        };
        match self.core.propose(&request, &command).await {
            Ok(done) => {
                if let Some((step, shard)) = step.filter(|_| done.answer) {
                    steps::done(step, shard);
                }
                true
            }
            Err(why) => {
                tracing::debug!(%why, "not proposed");
                false
            }
        }
    }

    /// Tells a data node what it is to do, if it is time to, and takes its report when that comes.
    fn tell(self: &Arc<Self>, node: &str, orders: Vec<Order>, routing: &Routing) {
        let mut memory = self.memory();
        let place = self.names.iter().position(|name| name == node);
        let Some(place) = place.filter(|_| memory.is_due(node, &orders, routing.epoch)) else { return };
        let known = memory.reports.get(node).map_or(0, |report| report.routing);
        let table = (known < routing.epoch).then(|| Table::of(routing, &self.addresses));
        let Ok(body) = encode(&Tell { routing: table, orders: orders.clone() }) else { return };
        memory.waiting.insert(node.to_owned());
        memory.told.insert(node.to_owned(), (orders, Instant::now()));
        drop(memory);
        let (this, node) = (Arc::clone(self), node.to_owned());
        tokio::spawn(async move {
            let report = this.peers.post::<Report>(place, TELL, body).await;
            let mut memory = this.memory();
            memory.waiting.remove(&node);
            if let Ok(report) = report {
                memory.heard.insert(node.clone(), Instant::now());
                memory.reports.insert(node, report);
            }
            drop(memory);
            this.news.notify_one();
        });
    }
}
