//! Whole nodes on the loopback interface, stopped and started on the same directories.

#![allow(clippy::unwrap_used, reason = "the lint does not see that helpers here are tests too")]

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use axum::Json;
use openraft::storage::RaftLogStorage;
use ordeal_kit::Peer;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::log::{Log, LogOptions};
use crate::types::LogId;
use crate::{Consensus, Defects, LogError, Machine, Options, Position, Refused, StartError, Status};

/// A list of numbers: order, repetition and loss can all be seen.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Numbers(Vec<u64>);

impl Machine for Numbers {
    type Command = u64;
    type Answer = usize;

    fn apply(&mut self, _at: Position, command: u64) -> usize {
        self.0.push(command);
        self.0.len()
    }
}

/// How long a test waits for something that must come.
const PATIENCE: Duration = Duration::from_secs(20);

struct Node {
    consensus: Consensus<Numbers>,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Node {
    async fn stop(self) {
        let _ = self.stop.send(());
        self.serving.await.unwrap();
        self.consensus.shutdown().await;
    }
}

struct Cluster {
    dir: TempDir,
    peers: Vec<Peer>,
    defects: Defects,
    timeout: Duration,
}

impl Cluster {
    async fn new(nodes: usize, defects: Defects) -> Cluster {
        let mut peers = Vec::new();
        let mut held = Vec::new();
        for n in 1..=nodes {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            peers.push(Peer { id: format!("n{n}"), address: listener.local_addr().unwrap() });
            held.push(listener);
        }
        Cluster { dir: tempfile::tempdir().unwrap(), peers, defects, timeout: PATIENCE }
    }

    fn dir(&self, own: usize) -> std::path::PathBuf {
        self.dir.path().join(&self.peers[own].id)
    }

    fn options(&self, own: usize) -> Options {
        Options {
            own,
            peers: self.peers.clone(),
            dir: self.dir(own),
            heartbeat: Duration::from_millis(100),
            timeout: self.timeout,
            snapshot_every: 20,
            defects: self.defects,
        }
    }

    async fn try_start(&self, own: usize) -> Result<Node, StartError> {
        let consensus = Consensus::start(self.options(own)).await?;
        let listener = listen(self.peers[own].address).await;
        let (stop, stopped) = oneshot::channel::<()>();
        let routes = consensus.routes();
        let serving = tokio::spawn(async move {
            ordeal_kit::serve(listener, routes, async move { drop(stopped.await) }).await.unwrap();
        });
        Ok(Node { consensus, stop, serving })
    }

    async fn start(&self, own: usize) -> Node {
        self.try_start(own).await.unwrap()
    }

    async fn start_all(&self) -> Vec<Node> {
        let mut nodes = Vec::new();
        for own in 0..self.peers.len() {
            nodes.push(self.start(own).await);
        }
        nodes
    }
}

/// The address is free again as soon as its last connection has ended.
async fn listen(address: SocketAddr) -> TcpListener {
    for _ in 0..500 {
        if let Ok(listener) = TcpListener::bind(address).await {
            return listener;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{address} stays in use");
}

async fn get<T: serde::de::DeserializeOwned>(address: SocketAddr, path: &str) -> T {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    http.get(format!("http://{address}{path}")).send().await.unwrap().json().await.unwrap()
}

async fn all(node: &Node) -> Vec<u64> {
    node.consensus.read(|numbers| numbers.0.clone()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_node_takes_proposals_and_answers_reads() {
    let cluster = Cluster::new(3, Defects::default()).await;
    let nodes = cluster.start_all().await;
    for (n, node) in (0_u64..).zip(&nodes) {
        let done = node.consensus.propose(&format!("r{n}"), &n).await.unwrap();
        assert_eq!(done.answer as u64, n + 1);
    }
    for node in &nodes {
        assert_eq!(all(node).await, [0, 1, 2]);
    }
    assert_eq!(nodes.iter().filter(|node| node.consensus.leads()).count(), 1);
    for (node, peer) in nodes.iter().zip(&cluster.peers) {
        let status: Status = get(peer.address, "/raft/status").await;
        assert_eq!((&status.id, status.leads), (&peer.id, node.consensus.leads()));
        assert!(status.term > 0 && status.applied >= 3 && status.last >= status.applied, "{status:?}");
        let health: serde_json::Value = get(peer.address, "/health").await;
        assert_eq!(health["ready"], true);
    }
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_has_one_effect_and_one_answer_wherever_it_is_repeated() {
    let cluster = Cluster::new(3, Defects::default()).await;
    let nodes = cluster.start_all().await;
    let first = nodes[0].consensus.propose("same", &7).await.unwrap();
    nodes[1].consensus.propose("other", &8).await.unwrap();
    for node in &nodes {
        assert_eq!(node.consensus.propose("same", &7).await.unwrap(), first);
    }
    assert_eq!(all(&nodes[2]).await, [7, 8]);
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_dedupe_a_retry_counts_twice() {
    let cluster = Cluster::new(1, Defects { no_dedupe: true, ..Defects::default() }).await;
    let node = cluster.start(0).await;
    node.consensus.propose("same", &7).await.unwrap();
    node.consensus.propose("same", &7).await.unwrap();
    assert_eq!(all(&node).await, [7, 7]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_after_all_nodes_were_stopped() {
    let cluster = Cluster::new(3, Defects::default()).await;
    let nodes = cluster.start_all().await;
    for n in 0..50 {
        nodes[n % 3].consensus.propose(&format!("r{n}"), &(n as u64)).await.unwrap();
    }
    for node in nodes {
        node.stop().await;
    }
    let nodes = cluster.start_all().await;
    for node in &nodes {
        assert_eq!(all(node).await, (0..50).collect::<Vec<_>>());
    }
    // Request ids are remembered too, though a snapshot took the place of the log.
    assert_eq!(nodes[0].consensus.propose("r3", &3).await.unwrap().answer, 4);
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_away_catches_up_from_a_snapshot() {
    let cluster = Cluster::new(3, Defects::default()).await;
    let mut nodes = cluster.start_all().await;
    nodes[0].consensus.propose("first", &1_000).await.unwrap();
    let away = nodes.pop().unwrap();
    away.stop().await;
    for n in 0..100 {
        nodes[0].consensus.propose(&format!("r{n}"), &n).await.unwrap();
    }
    let back = cluster.start(2).await;
    let expected: Vec<u64> = std::iter::once(1_000).chain(0..100).collect();
    assert_eq!(all(&back).await, expected);
    nodes.push(back);
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_majority_nothing_is_answered() {
    let mut cluster = Cluster::new(3, Defects::default()).await;
    cluster.timeout = Duration::from_secs(1);
    let mut nodes = cluster.start_all().await;
    while nodes[0].consensus.propose("r", &1).await.is_err() {}
    for node in nodes.drain(1..) {
        node.stop().await;
    }
    let alone = nodes.remove(0);
    // An answer would be a promise that one node cannot give.
    let leads = alone.consensus.leads();
    match alone.consensus.propose("s", &2).await {
        Err(Refused::MaybeDone(_)) => {}
        Err(Refused::NotDone(_)) => assert!(!leads, "it is in the leader's log"),
        Ok(done) => panic!("{done:?}"),
    }
    let read = alone.consensus.read(|numbers| numbers.0.len()).await;
    assert!(matches!(read, Err(Refused::NotDone(_))), "{read:?}");
    assert_eq!(alone.consensus.local(|numbers| numbers.0.clone()), [1]);
    alone.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_majority_that_restarts_at_once_loses_nothing() {
    let cluster = Cluster::new(3, Defects::default()).await;
    let mut nodes = cluster.start_all().await;
    nodes[0].consensus.propose("r1", &1).await.unwrap();
    for node in nodes.drain(1..) {
        node.stop().await;
    }
    nodes.push(cluster.start(1).await);
    nodes.push(cluster.start(2).await);
    nodes[1].consensus.propose("r2", &2).await.unwrap();
    for node in &nodes {
        assert_eq!(all(node).await, [1, 2]);
    }
    for node in nodes {
        node.stop().await;
    }
}

/// Stands in for a follower: hears who leads, and takes no entries.
async fn deaf(address: SocketAddr) -> JoinHandle<()> {
    let append = async |Json(request): Json<serde_json::Value>| {
        if request["entries"].as_array().is_none_or(|entries| !entries.is_empty()) {
            std::future::pending::<()>().await;
        }
        Json(serde_json::json!({ "Ok": "Success" }))
    };
    let routes = axum::Router::new().route("/raft/append", axum::routing::post(append));
    let listener = listen(address).await;
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() })
}

/// What it had acknowledged is in its log, but its note of what is committed was not on disk yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_restarts_within_its_term_does_not_answer_older_reads() {
    let mut cluster = Cluster::new(3, Defects::default()).await;
    let mut nodes = cluster.start_all().await;
    nodes[0].consensus.propose("r0", &0).await.unwrap();
    // Now all follow the same leader.
    for node in &nodes {
        assert_eq!(all(node).await, [0]);
    }
    for n in 1..5 {
        nodes[0].consensus.propose(&format!("r{n}"), &n).await.unwrap();
    }
    let own = nodes.iter().position(|node| node.consensus.leads()).unwrap();
    nodes.swap(0, own);
    for node in nodes {
        node.stop().await;
    }
    let mut log = Log::open(&cluster.dir(own), LogOptions::default()).unwrap();
    let committed = log.read_committed().await.unwrap().unwrap();
    log.save_committed(Some(LogId { index: committed.index - 2, ..committed })).await.unwrap();
    log.close().await;
    let mut deaf_peers = Vec::new();
    for peer in cluster.peers.iter().filter(|peer| peer.id != cluster.peers[own].id) {
        deaf_peers.push(deaf(peer.address).await);
    }
    cluster.timeout = Duration::from_secs(1);
    let back = cluster.start(own).await;
    assert!(back.consensus.leads(), "it goes on in its term");
    let read = back.consensus.read(|numbers| numbers.0.clone()).await;
    assert!(matches!(read, Err(Refused::NotDone(_))), "{read:?}");
    assert_eq!(
        back.consensus.local(|numbers| numbers.0.len()),
        3,
        "confirmed, but not what it had acknowledged"
    );
    back.stop().await;
    for peer in deaf_peers {
        peer.abort();
        let _ = peer.await;
    }
    cluster.timeout = PATIENCE;
    let nodes = cluster.start_all().await;
    for node in &nodes {
        assert_eq!(all(node).await, [0, 1, 2, 3, 4]);
    }
    for node in nodes {
        node.stop().await;
    }
}

/// A disk that can become full.
#[derive(Debug)]
struct Filling {
    disk: redb::backends::InMemoryBackend,
    full: Arc<AtomicBool>,
}

impl Filling {
    fn room(&self) -> io::Result<()> {
        let full = self.full.load(Ordering::Relaxed);
        if full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl redb::StorageBackend for Filling {
    fn len(&self) -> io::Result<u64> {
        self.disk.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.disk.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.room().and_then(|()| self.disk.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.room().and_then(|()| self.disk.write(offset, data))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_disk_is_full_acknowledges_nothing_and_says_that_it_cannot_go_on() {
    let mut cluster = Cluster::new(1, Defects::default()).await;
    cluster.timeout = Duration::from_secs(2);
    let full = Arc::new(AtomicBool::new(false));
    let disk = Filling { disk: redb::backends::InMemoryBackend::new(), full: Arc::clone(&full) };
    let database = redb::Database::builder().create_with_backend(disk).unwrap();
    let log = Log::over(database, LogOptions::default()).unwrap();
    let node = Consensus::<Numbers>::start_on(log, cluster.options(0)).await.unwrap();
    while node.propose("r1", &1).await.is_err() {}
    full.store(true, Ordering::Relaxed);
    let refused = node.propose("r2", &2).await;
    assert!(matches!(refused, Err(Refused::MaybeDone(_))), "{refused:?}");
    let why = tokio::time::timeout(PATIENCE, node.failed()).await.unwrap();
    assert!(!why.is_empty() && node.read(|numbers| numbers.0.len()).await.is_err());
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_cannot_save_a_snapshot_stops() {
    let cluster = Cluster::new(1, Defects::default()).await;
    std::fs::create_dir_all(cluster.dir(0).join("snapshot.new")).unwrap();
    let node = cluster.start(0).await;
    for n in 0..30 {
        // The last ones come too late.
        let _ = node.consensus.propose(&format!("r{n}"), &n).await;
    }
    tokio::time::timeout(PATIENCE, node.consensus.failed()).await.unwrap();
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_or_lost_snapshot_is_refused_with_its_place() {
    let cluster = Cluster::new(1, Defects::default()).await;
    let node = cluster.start(0).await;
    let snapshot = cluster.dir(0).join("snapshot");
    for n in 0..60 {
        node.consensus.propose(&format!("r{n}"), &n).await.unwrap();
    }
    let purged = async {
        while node.consensus.status().purged == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, purged).await.unwrap();
    node.stop().await;
    let mut bytes = std::fs::read(&snapshot).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&snapshot, bytes).unwrap();
    let refusal = async || {
        let why = cluster.try_start(0).await.err().unwrap();
        assert!(why.is_damage());
        why.to_string()
    };
    let why = refusal().await;
    assert!(why.contains(snapshot.to_str().unwrap()) && why.contains("checksum"), "{why}");
    std::fs::remove_file(&snapshot).unwrap();
    let why = refusal().await;
    assert!(why.contains("no snapshot covers them"), "{why}");
}

/// As openraft asks for it while a snapshot that was received is still being saved.
#[tokio::test]
async fn nothing_is_removed_from_the_log_before_a_snapshot_covers_it() {
    let disk = redb::backends::InMemoryBackend::new();
    let database = redb::Database::builder().create_with_backend(disk).unwrap();
    let log = Log::over(database, LogOptions::default()).unwrap();
    let (saved, covered) = watch::channel(Some(None));
    log.keep_behind(covered);
    let upto = LogId::new(openraft::CommittedLeaderId::new(1, 0), 5);
    let mut removing = log.clone();
    let mut removing = pin!(removing.purge(upto));
    assert!(poll_fn(|cx| Poll::Ready(removing.as_mut().poll(cx).is_pending())).await);
    assert_eq!(log.purged(), None);
    saved.send_replace(Some(Some(upto)));
    removing.await.unwrap();
    assert_eq!(log.purged(), Some(upto));
    // One that cannot be saved is not waited for.
    saved.send_replace(None);
    assert!(log.clone().purge(LogId::new(upto.leader_id, 9)).await.is_err());
    assert_eq!(log.purged(), Some(upto));
}

/// As a node leaves it that ends while it makes its files for the first time.
#[tokio::test]
async fn a_log_whose_making_was_interrupted_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("log.unfinished"), vec![0; 1 << 20]).unwrap();
    for _ in 0..2 {
        let log = Log::open(dir.path(), LogOptions::default()).unwrap();
        log.close().await;
    }
    let files = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(files.collect::<Vec<_>>(), ["log.redb"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_log_is_refused_with_its_place() {
    let cluster = Cluster::new(1, Defects::default()).await;
    let node = cluster.start(0).await;
    for n in 0..10 {
        node.consensus.propose(&format!("r{n}"), &(4_242_000 + n)).await.unwrap();
    }
    node.stop().await;
    damage(&cluster.dir(0).join("log.redb"));
    match cluster.try_start(0).await {
        Err(StartError::Log(LogError::Damaged { why, .. })) => assert!(why.contains("checksum"), "{why}"),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("a damaged log was opened"),
    }
}

/// Changes a digit of a command, in every place where the file has it.
fn damage(file: &Path) {
    let mut bytes = std::fs::read(file).unwrap();
    let command = b"4242003";
    let places: Vec<usize> =
        (0..bytes.len() - command.len()).filter(|&at| bytes[at..].starts_with(command)).collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at] = b'5';
    }
    std::fs::write(file, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proposal_that_never_left_is_certainly_not_done() {
    let mut cluster = Cluster::new(3, Defects::default()).await;
    cluster.timeout = Duration::from_millis(300);
    // The only node of three that was ever started: nobody leads.
    let alone = Consensus::<Numbers>::start(cluster.options(0)).await.unwrap();
    assert!(matches!(alone.propose("r", &1).await, Err(Refused::NotDone(_))));
    alone.shutdown().await;
}
