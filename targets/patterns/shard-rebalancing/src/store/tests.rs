use super::*;
use crate::held::Refusal;
use crate::key::Range;

fn key(n: usize) -> Key {
    Key::try_from(format!("r1/c{n:03}")).unwrap()
}

fn update(cost: u64) -> Update {
    Update { plan: format!("p{cost}"), cost }
}

struct Open {
    directory: tempfile::TempDir,
    store: Option<Store>,
}

impl Open {
    fn new(bug: Option<Bug>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Some(Store::open(directory.path(), "d1", bug).unwrap());
        Open { directory, store }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn again(&mut self) {
        self.store = None;
        self.store = Some(Store::open(self.directory.path(), "d1", None).unwrap());
    }

    async fn obey(&self, order: Order) -> Obeyed {
        self.store().obey(vec![order]).await.unwrap().remove(0)
    }

    async fn put(&self, key: Key, request: &str, cost: u64) -> Result<Served<Receipt>, NotDone> {
        let put = Put { key, epoch: None, request: request.to_owned(), update: update(cost) };
        self.store().put(put).await.unwrap()
    }

    fn calls(&self, key: &Key) -> Vec<String> {
        let customer = self.store().customer(key, None).unwrap().unwrap().answer;
        customer.calls.into_iter().map(|call| call.id).collect()
    }

    /// Copies all that has changed after this.
    async fn copy_to(&self, target: &Open, after: u64) -> (usize, bool) {
        let mut of = RowsOf { shard: 1, epoch: 1, after, from: None };
        let mut pages = 0;
        loop {
            let page = self.store().page(&of).unwrap().unwrap();
            let mark = page.next.is_none().then_some(Mark {
                seq: page.seq,
                behind: page.rows.len() as u64,
                whole: page.frozen,
            });
            pages += 1;
            let copied = Copied { shard: 1, epoch: 1, rows: page.rows, mark };
            assert!(target.store().take(copied).await.unwrap());
            match page.next {
                Some(next) => of.from = Some(next),
                None => return (pages, page.frozen),
            }
        }
    }
}

async fn owner(bug: Option<Bug>) -> Open {
    let open = Open::new(bug);
    assert!(open.obey(Order::Create { shard: 1, range: Range::default() }).await.changed);
    open
}

#[tokio::test]
async fn a_request_is_done_once_and_is_there_after_a_restart() {
    let mut open = owner(None).await;
    let first = open.put(key(1), "a", 5).await.unwrap();
    assert_eq!((first.shard, first.epoch, first.answer.version, first.answer.balance), (1, 1, 1, -5));
    assert_eq!(open.put(key(1), "b", 7).await.unwrap().answer.balance, -12);
    open.again();
    assert_eq!(open.put(key(1), "a", 5).await.unwrap(), first);
    assert_eq!(open.put(key(1), "a", 6).await, Err(NotDone::Reused));
    assert_eq!(open.calls(&key(1)), ["a", "b"]);
    assert_eq!(open.calls(&key(2)), [""; 0]);
    let (held, customers) = open.store().counted().unwrap();
    assert_eq!((held.records[&1].seq, customers[&1]), (2, 1));
}

#[tokio::test]
async fn a_shard_moves_with_everything_that_belongs_to_it() {
    let (source, mut target) = (owner(None).await, Open::new(None));
    for n in 0..70 {
        source.put(key(n), &format!("a{n}"), 1).await.unwrap();
    }
    let order = Order::Copy { shard: 1, range: Range::default(), epoch: 1, source: "d1".to_owned() };
    assert!(target.obey(order).await.changed);
    assert_eq!(source.copy_to(&target, 0).await, (3, false));
    assert_eq!(target.store().customer(&key(1), None).unwrap(), Err(Refusal::Moving));
    source.put(key(3), "late", 1).await.unwrap();
    assert!(source.obey(Order::Freeze { shard: 1, epoch: 1 }).await.changed);
    assert_eq!(source.put(key(3), "later", 1).await, Err(NotDone::Refused(Refusal::Moving)));
    assert_eq!(source.copy_to(&target, 70).await, (1, true));
    target.again();
    assert!(target.obey(Order::Activate { shard: 1, copied: 1, epoch: 2 }).await.changed);
    assert_eq!(target.calls(&key(3)), ["a3", "late"]);
    let retried = target.put(key(3), "late", 1).await.unwrap();
    assert_eq!((retried.answer.version, retried.epoch), (2, 2), "the receipt came with the customer");
    assert!(source.obey(Order::Delete { shard: 1, epoch: 2 }).await.changed);
    let (held, customers) = source.store().counted().unwrap();
    assert_eq!((held.records[&1].state, customers.len()), (State::Gone, 0));
    assert!(source.store().page(&RowsOf { shard: 1, epoch: 1, after: 0, from: None }).unwrap().is_none());
}

#[tokio::test]
async fn a_page_of_large_customers_ends_before_it_is_too_long_for_a_message() {
    let (source, target) = (owner(None).await, Open::new(None));
    for n in 0..5 {
        let update = Update { plan: "p".repeat(400 << 10), cost: 1 };
        let put = Put { key: key(n), epoch: None, request: "a".to_owned(), update };
        source.store().put(put).await.unwrap().unwrap();
    }
    let order = Order::Copy { shard: 1, range: Range::default(), epoch: 1, source: "d1".to_owned() };
    assert!(target.obey(order).await.changed);
    // Each is twice in its row: in the record and in the receipt.
    assert_eq!(source.copy_to(&target, 0).await, (3, false));
    assert_eq!(target.store().counted().unwrap().1[&1], 5);
}

#[tokio::test]
async fn a_copy_that_is_begun_again_begins_with_nothing() {
    let (source, target) = (owner(None).await, Open::new(None));
    source.put(key(1), "a", 1).await.unwrap();
    let copy = |epoch| Order::Copy { shard: 1, range: Range::default(), epoch, source: "d1".to_owned() };
    target.obey(copy(1)).await;
    source.copy_to(&target, 0).await;
    assert!(target.obey(Order::Delete { shard: 1, epoch: 2 }).await.changed);
    assert!(target.obey(copy(2)).await.changed);
    assert_eq!(target.store().counted().unwrap().1[&1], 0);
    let old =
        Copied { shard: 1, epoch: 1, rows: Vec::new(), mark: Some(Mark { seq: 1, behind: 0, whole: true }) };
    assert!(!target.store().take(old).await.unwrap(), "a part of the old copy is not taken");
}

#[tokio::test]
async fn bugs_leave_out_receipts_or_the_boundary() {
    for (bug, rows, receipts) in
        [(None, 2, 2), (Some(Bug::RequestsNotMoved), 2, 0), (Some(Bug::BoundaryLost), 1, 1)]
    {
        let source = owner(bug).await;
        for n in 0..3 {
            source.put(key(n), &format!("a{n}"), 1).await.unwrap();
        }
        let split = Order::Split { shard: 1, right: 2, at: key(1), epoch: 2 };
        assert!(source.obey(split).await.changed);
        let page =
            source.store().page(&RowsOf { shard: 2, epoch: 2, after: 0, from: None }).unwrap().unwrap();
        let told: usize = page.rows.iter().map(|row| row.receipts.len()).sum();
        assert_eq!((page.rows.len(), told), (rows, receipts), "{bug:?}");
    }
}
