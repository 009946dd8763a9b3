//! What a price node does by itself: it renews what it holds, takes over what nobody holds, and follows the
//! prices that others hold.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ordeal_kit::Id;
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::bugs::Bug;
use crate::desk::Desk;
use crate::replicas::{FOLLOW, Quote, Quotes};

/// How often prices are followed, as a part of the age that a local read may have.
const LOOKS_PER_STALENESS: u32 = 5;

fn every(time: Duration) -> Interval {
    let mut ticks = interval(time.max(Duration::from_millis(5)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Renews what this node holds, for ever.
pub(crate) async fn renew(desk: Arc<Desk>) {
    let mut ticks = every(desk.terms.renewal());
    loop {
        ticks.tick().await;
        let tokens = desk.tokens();
        if !tokens.is_empty()
            && let Err(why) = desk.renew(tokens).await
        {
            tracing::warn!(why = why.reason, "not renewed");
        }
    }
}

/// Takes over what nobody holds any more, for ever: of every symbol that was ever named here.
pub(crate) async fn stand_by(desk: Arc<Desk>) {
    let mut ticks = every(desk.terms.renewal());
    loop {
        ticks.tick().await;
        let Some(leases) = desk.look_up().await else { continue };
        let tokens = desk.tokens();
        let mut acquiring = JoinSet::new();
        for symbol in desk.store.symbols() {
            let lost = match leases.0.get(&symbol) {
                None => true,
                // From an earlier life of this node.
                Some(lease) => lease.holder == desk.id && !tokens.contains_key(&symbol),
            };
            if lost {
                let desk = Arc::clone(&desk);
                acquiring.spawn(async move {
                    // Usually somebody else was faster.
                    let _ = desk.acquire(&symbol).await;
                });
            }
        }
        acquiring.join_all().await;
    }
}

/// Copies of the prices that other nodes hold, for local reads.
pub(crate) struct Copies {
    desk: Arc<Desk>,
    /// How old a copy may be that is shown.
    staleness: Duration,
    /// Each with a time at which, or after which, it was the price.
    copies: Mutex<BTreeMap<Id, (Quote, Duration)>>,
}

impl Copies {
    pub(crate) fn new(desk: Arc<Desk>, staleness: Duration) -> Self {
        Copies { desk, staleness, copies: Mutex::default() }
    }

    /// A price that was the newest one at some moment no longer ago than the declared staleness.
    pub(crate) fn read(&self, symbol: &Id) -> Option<Quote> {
        if let Some(quote) = self.desk.quote(symbol) {
            return Some(quote);
        }
        let (quote, at) = *self.lock().get(symbol)?;
        let age = self.desk.clock.now().saturating_sub(at);
        let fresh = age <= self.desk.terms.shortened(self.staleness);
        (fresh || self.desk.bug == Some(Bug::LocalReadsOfAnyAge)).then_some(quote)
    }

    /// Follows the prices of the other nodes, for ever.
    pub(crate) async fn follow(self: Arc<Self>) {
        let mut following = JoinSet::new();
        for node in self.desk.replicas.others() {
            following.spawn(Arc::clone(&self).follow_one(node));
        }
        following.join_all().await;
    }

    async fn follow_one(self: Arc<Self>, node: usize) {
        let mut ticks = every(self.staleness / LOOKS_PER_STALENESS);
        loop {
            ticks.tick().await;
            let asked_at = self.desk.clock.now();
            let Some(quotes) = self.desk.replicas.post::<Quotes>(node, FOLLOW, &()).await else { continue };
            let mut copies = self.lock();
            for (symbol, quote) in quotes {
                if copies.get(&symbol).is_none_or(|(_, at)| *at <= asked_at) {
                    copies.insert(symbol, (quote, asked_at));
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Id, (Quote, Duration)>> {
        self.copies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
