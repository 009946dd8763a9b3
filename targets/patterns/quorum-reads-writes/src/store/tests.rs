//! The store: what survives, what is refused, and what the lazy bug loses.

use std::path::Path;

use super::*;
use crate::protocol::{Entry, Kind, Version};

fn id(text: &str) -> Id {
    text.parse().unwrap()
}

fn options(node: &str) -> StoreOptions {
    StoreOptions { node: node.to_owned(), order: VersionOrder::Total, lazy_sync: false }
}

fn some_entries(name: &str) -> Update {
    let entry = Entry { kind: Kind::Lab, text: format!("text of {name}") };
    Update::Entries { patient: id("p"), entries: Entries::from([(id(name), entry)]) }
}

async fn issue(store: &Store, request_id: &str, counter: Counter) -> Cell {
    store.issue(id("p"), id(request_id), format!("text of {request_id}"), counter).await.unwrap()
}

/// What a SIGKILL at this moment leaves: the file as it is, without what the process would still write.
fn killed_now(directory: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(directory.join("replica.redb"), copy.path().join("replica.redb")).unwrap();
    copy
}

#[tokio::test]
async fn acknowledged_changes_survive_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), options("n1")).unwrap();
    store.update(some_entries("e-1")).await.unwrap();
    let cell = issue(&store, "r-1", Counter::After(4)).await;
    assert_eq!(cell.version.counter, 5);

    let copy = killed_now(directory.path());
    let reopened = Store::open(copy.path(), options("n1")).unwrap();
    let set = reopened.set(&id("p")).unwrap();
    assert!(set.entries.contains_key(&id("e-1")));
    assert_eq!(set.digest, Set::new(Arc::clone(&set.entries)).digest);
    assert_eq!(reopened.register(&id("p"), None).unwrap().cell, Some(cell.clone()));
    // A retry after the restart has its version; another request gets the next.
    assert_eq!(issue(&reopened, "r-1", Counter::After(9)).await, cell);
    assert_eq!(issue(&reopened, "r-2", Counter::After(0)).await.version.counter, 6);
}

#[tokio::test]
async fn acknowledged_in_memory_is_lost_by_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let mut lazy = options("n1");
    lazy.lazy_sync = true;
    let store = Store::open(directory.path(), lazy).unwrap();
    store.update(some_entries("e-1")).await.unwrap();
    assert_eq!(store.set(&id("p")).unwrap().entries.len(), 1, "memory is served");

    let copy = killed_now(directory.path());
    let reopened = Store::open(copy.path(), options("n1")).unwrap();
    assert_eq!(reopened.set(&id("p")).unwrap().entries.len(), 0);
    // A clean end is no kill.
    drop(store);
    let reopened = Store::open(directory.path(), options("n1")).unwrap();
    assert_eq!(reopened.set(&id("p")).unwrap().entries.len(), 1);
}

#[tokio::test]
async fn concurrent_writes_of_one_coordinator_get_distinct_counters() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(directory.path(), options("n1")).unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..50 {
        let store = Arc::clone(&store);
        tasks.spawn(async move { issue(&store, &format!("r-{n}"), Counter::After(0)).await });
    }
    let mut counters: Vec<u64> = tasks.join_all().await.iter().map(|cell| cell.version.counter).collect();
    counters.sort_unstable();
    assert_eq!(counters, (1..=50).collect::<Vec<u64>>());
}

#[tokio::test]
async fn older_versions_do_not_replace_newer_ones_but_are_remembered() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), options("n1")).unwrap();
    let cell = |counter, name: &str| Cell {
        version: Version { counter, node: "n2".to_owned() },
        request_id: id(name),
        text: name.to_owned(),
    };
    for cell in [cell(8, "new"), cell(3, "old")] {
        let patient = id("p");
        store.update(Update::Summary { patient, cell }).await.unwrap();
    }
    let register = store.register(&id("p"), Some(&id("old"))).unwrap();
    assert_eq!(register.cell, Some(cell(8, "new")));
    assert_eq!(register.known, Some(cell(3, "old")));
    assert_eq!(store.register(&id("other"), Some(&id("old"))).unwrap(), Register::default());
}

#[tokio::test]
async fn wall_clock_versions_let_a_later_write_lose() {
    let second = Counter::Exactly(1_700_000_000);
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let earlier = issue(&Store::open(one.path(), options("n5")).unwrap(), "r-1", second).await;
    let store = Store::open(two.path(), options("n1")).unwrap();
    let patient = id("p");
    store.update(Update::Summary { patient, cell: earlier.clone() }).await.unwrap();
    issue(&store, "r-2", second).await;
    // n1 saw n5's write before it issued its own, and still holds n5's.
    assert_eq!(store.register(&id("p"), None).unwrap().cell, Some(earlier));
}

#[tokio::test]
async fn digests_are_kept_up_and_compare_whole_sets() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), options("n1")).unwrap();
    for name in ["e-2", "e-1", "e-2"] {
        store.update(some_entries(name)).await.unwrap();
    }
    let set = store.set(&id("p")).unwrap();
    assert_eq!(set.digest, Set::new(Arc::clone(&set.entries)).digest);
    assert_eq!(set.digest.entries, 2);
    assert!(store.set_unless(&id("p"), set.digest).unwrap().is_none());
    assert!(store.set_unless(&id("p"), Digest::default()).unwrap().is_some());
    let (held, bytes) = store.entry(&id("p"), &id("e-1")).unwrap();
    assert_eq!((held.unwrap().text.as_str(), bytes), ("text of e-1", 22));
}

#[tokio::test]
async fn a_directory_belongs_to_one_node() {
    let directory = tempfile::tempdir().unwrap();
    drop(Store::open(directory.path(), options("n1")).unwrap());
    let why = Store::open(directory.path(), options("n2")).unwrap_err();
    assert_eq!(why.to_string(), "the data directory belongs to node n1, not n2");
}
