//! How a transfer is made by the node that owns the account that pays; two-phase commit with the other owner.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use ordeal_kit::store::StoreError;
use ordeal_kit::{ApiError, PeerError, encode};
use tokio::time::{Instant, sleep, timeout_at};

use crate::book::{self, Begun, Order, Receipt, Refusal, There};
use crate::map::Part;
use crate::messages::{FINISH, Failure, Finish, PREPARE, Prepare, Vote};
use crate::node::Node;

/// How long a participant may take to answer; the account that pays is locked meanwhile.
const VOTE_MAX: Duration = Duration::from_millis(700);
/// The shortest and the longest wait before a locked account is tried again.
const AGAIN_MS: (u64, u64) = (3, 20);
/// Before the store, whose queue is full, is asked again.
const STORE_AGAIN: Duration = Duration::from_millis(5);

impl Node {
    /// Makes a transfer, once, or says that nothing was done. Nobody waits for a lock while it holds one, so nobody waits in
    /// a circle: it lets go, and tries again a little later.
    pub(crate) async fn transfer(
        self: &Arc<Self>,
        order: Order,
        from: Part,
        deadline: Instant,
    ) -> Result<Receipt, Failure> {
        loop {
            let refusal = match self.try_transfer(&order, from, deadline).await? {
                Ok(receipt) => return Ok(receipt),
                Err(refusal) => refusal,
            };
            let wait = Duration::from_millis(self.between(AGAIN_MS));
            if Instant::now() + wait >= deadline {
                return Err(refusal.into());
            }
            match refusal {
                Refusal::Locked => {}
                Refusal::NotServed => {
                    self.atlas.refresh().await;
                    let map = self.atlas.map().ok_or_else(|| Failure::again("the map is not known yet"))?;
                    if self.place_of(&order.from, &map) != (There { node: self.own, part: from }) {
                        // Whoever asked asks the new owner.
                        return Err(refusal.into());
                    }
                }
                _ => return Err(refusal.into()),
            }
            sleep(wait).await;
        }
    }

    /// A number from the first to the second, at random.
    fn between(&self, (low, high): (u64, u64)) -> u64 {
        low + RandomState::new().hash_one(self.own) % (high - low + 1)
    }

    async fn try_transfer(
        self: &Arc<Self>,
        order: &Order,
        from: Part,
        deadline: Instant,
    ) -> Result<Result<Receipt, Refusal>, Failure> {
        let map = self.atlas.map().ok_or_else(|| Failure::again("the map is not known yet"))?;
        let to = self.place_of(&order.to, &map);
        let tx = self.transactions.next();
        let (own, bug, name, wanted) = (self.own, self.bug, tx.clone(), order.clone());
        let begun =
            self.store.step(move |rows| book::transfer(rows, &name, &wanted, from, to, own, bug)).await?;
        match begun {
            Ok(Begun::Made(receipt)) => Ok(Ok(receipt)),
            Ok(Begun::Begun) => self.two_phases(tx, order, to, deadline).await,
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    /// The transaction is begun: asks the other owner, and decides.
    async fn two_phases(
        self: &Arc<Self>,
        tx: String,
        order: &Order,
        to: There,
        deadline: Instant,
    ) -> Result<Result<Receipt, Refusal>, Failure> {
        let vote = self.vote(&tx, order, to, deadline).await;
        if let Ok(Ok(paid)) = &vote {
            let (name, paid, bug) = (tx.clone(), paid.clone(), self.bug);
            match self.store.step(move |rows| book::commit(rows, &name, paid, bug)).await {
                Ok(Some(receipt)) => {
                    tracing::info!(tx, "decided to commit");
                    let node = Arc::clone(self);
                    tokio::spawn(async move { node.tell(tx, to.node, true).await });
                    return Ok(Ok(receipt));
                }
                // Nothing was decided.
                Err(StoreError::Busy) => {}
                Ok(None) => return Err(ApiError::internal("the transaction was not under way").into()),
                Err(e) => return Err(e.into()),
            }
        }
        self.give_up(&tx).await?;
        match vote {
            // It has promised nothing.
            Ok(Err(refusal)) => Ok(Err(refusal)),
            Ok(Ok(_)) | Err(_) => {
                let node = Arc::clone(self);
                tokio::spawn(async move { node.tell(tx, to.node, false).await });
                Err(Failure::again(vote.err().unwrap_or_else(|| StoreError::Busy.to_string())))
            }
        }
    }

    /// What the other owner says; an error if that is not known.
    async fn vote(&self, tx: &str, order: &Order, to: There, deadline: Instant) -> Result<Vote, String> {
        let prepare = Prepare {
            tx: tx.to_owned(),
            coordinator: self.own,
            part: to.part,
            account: order.to.clone(),
            amount: order.amount,
        };
        let body = encode(&prepare).map_err(|e| e.to_string())?;
        let limit = deadline.min(Instant::now() + VOTE_MAX);
        match timeout_at(limit, self.peers.post::<Vote>(to.node, PREPARE, body)).await {
            Ok(Ok(vote)) => Ok(vote),
            Ok(Err(e)) => Err(e.to_string()),
            Err(_) => Err("the other owner did not answer in time".to_owned()),
        }
    }

    /// Aborts, whatever it takes: until then the account is locked.
    async fn give_up(&self, tx: &str) -> Result<(), StoreError> {
        loop {
            let name = tx.to_owned();
            match self.store.step(move |rows| book::abort(rows, &name)).await {
                Err(StoreError::Busy) => sleep(STORE_AGAIN).await,
                done => return done,
            }
        }
    }

    /// Tells a participant what was decided; once it has booked a commit, the decision need not be kept.
    pub(crate) async fn tell(&self, tx: String, participant: usize, committed: bool) {
        let Ok(body) = encode(&Finish { tx: tx.clone(), committed }) else { return };
        let told: Result<(), PeerError> = self.peers.post(participant, FINISH, body).await;
        if told.is_ok()
            && committed
            && let Err(why) = self.store.step(move |rows| book::forget(rows, &tx)).await
        {
            tracing::debug!(%why, "a decision is kept longer");
        }
    }
}
