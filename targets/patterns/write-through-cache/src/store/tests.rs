use super::*;

fn of() -> Id {
    "m1".parse().unwrap()
}

fn score(home: u32) -> Score {
    Score { home, away: 0, event: format!("{home} : 0") }
}

fn open(directory: &Path, bug: Option<Bug>) -> Store {
    Store::open(directory, "n1", bug).unwrap()
}

async fn write(store: &Store, home: u32) -> u64 {
    store.write(of(), format!("r{home}").parse().unwrap(), score(home)).await.unwrap().sequence
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), None);
    assert_eq!((store.life(), store.standing(&of()).unwrap()), (1, Standing::default()));
    assert_eq!((write(&store, 1).await, write(&store, 2).await), (1, 2));
    drop(store);
    let store = open(directory.path(), None);
    assert_eq!(store.life(), 2);
    assert_eq!(store.standing(&of()).unwrap(), Standing { sequence: 2, score: Some(score(2)) });
    assert_eq!(write(&store, 3).await, 3);
    let events = store.events(&of(), 2, 9).unwrap();
    assert_eq!(events.iter().map(|event| event.sequence).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(store.events(&of(), 1, 1).unwrap().len(), 1);
    assert_eq!(store.events(&"m2".parse().unwrap(), 0, 9).unwrap(), []);
    let done = store.done(&of(), &"r2".parse().unwrap()).unwrap();
    assert_eq!(done.map(|event| event.sequence), Some(2));
}

#[tokio::test]
async fn numbers_in_memory_alone_begin_anew() {
    let directory = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let store = open(directory.path(), Some(Bug::SequenceNotPersisted));
        assert_eq!(write(&store, 1).await, 1);
    }
}

#[test]
fn another_node_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path(), None));
    let refused = Store::open(directory.path(), "n2", None).unwrap_err();
    assert!(refused.to_string().contains("belongs to node n1"), "{refused}");
}
