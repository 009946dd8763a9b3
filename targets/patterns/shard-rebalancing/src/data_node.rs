//! A data node: serves the customers of the shards it owns, does what the metadata nodes tell it, copies shards.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ordeal_kit::store::StoreError;
use ordeal_kit::{ApiError, PeerClient, PeerError, encode};
use tokio::task::JoinHandle;

use crate::bugs::Bug;
use crate::conduct::Report;
use crate::customer::{Customer, Receipt};
use crate::held::{Mark, Order, Refusal, State};
use crate::key::Key;
use crate::messages::{Page, ROWS, RowsOf, Table, Tell};
use crate::meter::Meter;
use crate::routing::ShardId;
use crate::steps;
use crate::store::{Copied, NotDone, Put, Served, Store};

/// Between two rounds of a copy, and after one that failed.
const BETWEEN_ROUNDS: Duration = Duration::from_millis(20);
const AFTER_FAILURE: Duration = Duration::from_millis(50);

/// Why a customer is not served here.
pub(crate) enum Elsewhere {
    /// An error of this node.
    Error(ApiError),
    /// By the routing that this node goes by, another one may serve it; nothing was done.
    Look,
}

impl From<StoreError> for Elsewhere {
    fn from(why: StoreError) -> Self {
        Elsewhere::Error(why.into())
    }
}

impl From<Refusal> for Elsewhere {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Elsewhere => Elsewhere::Look,
            Refusal::Moving => Elsewhere::Error(ApiError::unavailable("the customer's shard is moving")),
            Refusal::Older(now) => Elsewhere::Error(ApiError::refused(
                axum::http::StatusCode::MISDIRECTED_REQUEST,
                format!("the epoch is over: the customer's shard is at {now}"),
            )),
            Refusal::Newer => {
                Elsewhere::Error(ApiError::unavailable("this node has not heard of that epoch"))
            }
        }
    }
}

/// A copy that is being made: of which shard, as it was at which epoch.
type Copying = ((ShardId, u64), JoinHandle<()>);

/// A data node.
pub(crate) struct DataNode {
    /// The names of all nodes, in the order of the peers.
    pub(crate) names: Vec<String>,
    pub(crate) store: Store,
    pub(crate) peers: PeerClient,
    pub(crate) meter: Meter,
    pub(crate) bug: Option<Bug>,
    table: Mutex<Table>,
    /// The copy that is being made.
    copying: Mutex<Option<Copying>>,
}

impl DataNode {
    pub(crate) fn new(names: Vec<String>, store: Store, peers: PeerClient, bug: Option<Bug>) -> Self {
        let (meter, table, copying) = (Meter::new(Instant::now()), Mutex::default(), Mutex::default());
        DataNode { names, store, peers, meter, bug, table, copying }
    }

    /// The routing that this node goes by.
    pub(crate) fn table(&self) -> Table {
        self.table.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Goes by this routing, if it is newer.
    pub(crate) fn learn(&self, table: Table) {
        let mut known = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if table.epoch > known.epoch {
            *known = table;
        }
    }

    /// A customer's record.
    pub(crate) fn read(&self, key: &Key, epoch: Option<u64>) -> Result<Served<Customer>, Elsewhere> {
        let served = self.store.customer(key, epoch)??;
        self.meter.count(key, Instant::now());
        Ok(served)
    }

    /// Changes a customer's record.
    pub(crate) async fn put(&self, put: Put) -> Result<Served<Receipt>, Elsewhere> {
        let key = put.key.clone();
        let served = self.store.put(put).await?.map_err(|why| match why {
            NotDone::Refused(refusal) => refusal.into(),
            NotDone::Reused => {
                Elsewhere::Error(ApiError::conflict("this request id was used for something else"))
            }
            NotDone::Full => Elsewhere::Error(ApiError::too_large("the customer has too many calls")),
        })?;
        self.meter.count(&key, Instant::now());
        Ok(served)
    }

    /// Does what the leader says, and answers with what then is.
    pub(crate) async fn told(self: &Arc<Self>, tell: Tell) -> Result<Report, ApiError> {
        if let Some(table) = tell.routing {
            self.learn(table);
        }
        if !tell.orders.is_empty() {
            for obeyed in self.store.obey(tell.orders.clone()).await? {
                if let Some((step, shard)) = obeyed.step {
                    steps::done(step, shard);
                }
            }
        }
        for order in tell.orders {
            if let Order::Copy { shard, epoch, source, .. } = order {
                self.copy(shard, epoch, source);
            }
        }
        self.report().map_err(ApiError::from)
    }

    fn report(&self) -> Result<Report, StoreError> {
        let (held, customers) = self.store.counted()?;
        let (load, counted) = self.meter.rates(Instant::now());
        Ok(Report { held, customers, load, counted, routing: self.table().epoch })
    }

    /// Some rows, for a target.
    pub(crate) fn rows(&self, of: &RowsOf) -> Result<Page, ApiError> {
        let page = self.store.page(of)?;
        let page = page.ok_or_else(|| ApiError::conflict("the shard is not owned here at that epoch"))?;
        if of.from.is_none() && of.after == 0 {
            steps::done(steps::SNAPSHOT_READ, of.shard);
        }
        if page.frozen && page.next.is_none() {
            steps::done(steps::REST_READ, of.shard);
        }
        Ok(page)
    }

    /// Sees to it that a copy is being made.
    fn copy(self: &Arc<Self>, shard: ShardId, epoch: u64, source: String) {
        let mut copying = self.copying.lock().unwrap_or_else(PoisonError::into_inner);
        match &*copying {
            Some((this, task)) if *this == (shard, epoch) && !task.is_finished() => {}
            other => {
                if let Some((_, task)) = other {
                    task.abort();
                }
                let node = Arc::clone(self);
                let task = tokio::spawn(async move { node.copy_all(shard, epoch, &source).await });
                *copying = Some(((shard, epoch), task));
            }
        }
    }

    /// Ends what the node does by itself.
    pub(crate) fn stop(&self) {
        if let Some((_, task)) = self.copying.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }

    /// Copies round by round, until the copy is whole, or is not wanted any more.
    async fn copy_all(&self, shard: ShardId, epoch: u64, source: &str) {
        let Some(source) = self.names.iter().position(|name| name == source) else { return };
        loop {
            let held = self.store.held().unwrap_or_default();
            let record = held.records.get(&shard).filter(|record| record.epoch == epoch);
            let Some(record) = record else { return };
            let State::Incoming { whole: false, .. } = record.state else { return };
            match self.round(shard, epoch, record.seq, source).await {
                Ok(true) => {
                    if record.seq == 0 {
                        steps::done(steps::COPIED, shard);
                    }
                    tokio::time::sleep(BETWEEN_ROUNDS).await;
                }
                Ok(false) => return,
                Err(why) => {
                    tracing::debug!(shard, %why, "a round of the copy failed");
                    tokio::time::sleep(AFTER_FAILURE).await;
                }
            }
        }
    }

    /// Copies what has changed after `after`; false if the copy is whole, or not wanted any more.
    async fn round(&self, shard: ShardId, epoch: u64, after: u64, source: usize) -> Result<bool, String> {
        let mut of = RowsOf { shard, epoch, after, from: None };
        let mut behind = 0;
        let mut first = None;
        loop {
            let body = encode(&of).map_err(|why| why.to_string())?;
            let page: Result<Page, PeerError> = self.peers.post(source, ROWS, body).await;
            let Page { mut rows, next, seq, frozen } = page.map_err(|why| why.to_string())?;
            // What changes while the round goes on comes again in the next one.
            let (seq, frozen) = *first.get_or_insert((seq, frozen));
            behind += rows.len() as u64;
            if self.bug == Some(Bug::WriteDropped) && after > 0 {
                rows.clear();
            }
            let mark = next.is_none().then_some(Mark { seq, behind, whole: frozen });
            let taken = self.store.take(Copied { shard, epoch, rows, mark }).await;
            match taken.map_err(|why| why.to_string())? {
                false => return Ok(false),
                true if next.is_none() => {
                    if frozen {
                        steps::done(steps::REST_COPIED, shard);
                    }
                    return Ok(!frozen);
                }
                true => of.from = next,
            }
        }
    }
}
