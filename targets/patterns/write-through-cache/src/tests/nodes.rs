//! Whole nodes on loopback: the contract, and what it means that one of them is gone.

use std::time::Duration;

use ordeal_kit::Peer;
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::*;

/// How long a test waits for something that must come.
const PATIENCE: Duration = Duration::from_secs(20);

struct Running {
    stop: oneshot::Sender<()>,
    ended: JoinHandle<anyhow::Result<()>>,
}

/// A database and two caches in this process, each with a port of its own.
struct TestCluster {
    _directory: tempfile::TempDir,
    args: Vec<Args>,
    nodes: Vec<Option<Running>>,
    http: Client,
}

impl TestCluster {
    async fn new(lease_ms: u64, bug: Option<Bug>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut listeners = Vec::new();
        for _ in 0..3 {
            listeners.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
        }
        let peers: Vec<Peer> = (1..)
            .zip(&listeners)
            .map(|(n, listener)| Peer { id: format!("n{n}"), address: listener.local_addr().unwrap() })
            .collect();
        let args = |peer: &Peer| Args {
            node: NodeArgs {
                id: peer.id.clone(),
                listen: peer.address,
                peers: peers.clone(),
                data_dir: directory.path().join(&peer.id),
                bug,
            },
            lease_ms,
            drift_percent: 5,
            request_timeout_ms: 10_000,
        };
        let mut cluster = TestCluster {
            args: peers.iter().map(args).collect(),
            _directory: directory,
            nodes: (0..3).map(|_| None).collect(),
            http: Client::builder().no_proxy().timeout(PATIENCE).build().unwrap(),
        };
        drop(listeners);
        for node in 0..3 {
            cluster.start(node).await;
        }
        cluster
    }

    async fn start(&mut self, node: usize) {
        let args = self.args[node].clone();
        let listener = ordeal_kit::listen(args.node.listen).await.unwrap();
        let (stop, stopped) = oneshot::channel();
        let stopped = async move { drop(stopped.await) };
        let ended = tokio::spawn(serve(Server::until(listener, stopped), args));
        self.nodes[node] = Some(Running { stop, ended });
    }

    async fn stop(&mut self, node: usize) {
        let running = self.nodes[node].take().unwrap();
        running.stop.send(()).unwrap();
        tokio::time::timeout(PATIENCE, running.ended).await.unwrap().unwrap().unwrap();
    }

    fn url(&self, node: usize, path: &str) -> String {
        format!("http://{}{path}", self.args[node].node.listen)
    }

    async fn get(&self, node: usize, path: &str) -> (StatusCode, Value) {
        answer(self.http.get(self.url(node, path))).await
    }

    async fn put(&self, node: usize, request: &str, home: u32) -> (StatusCode, Value) {
        let body = json!({ "request_id": request, "home": home, "away": 0, "event": "goal" });
        answer(self.http.put(self.url(node, "/matches/m1/score")).json(&body)).await
    }

    /// Reads until a copy answers.
    async fn hit(&self, node: usize) -> Value {
        let until = std::time::Instant::now() + PATIENCE;
        while std::time::Instant::now() < until {
            let (_, read) = self.get(node, "/matches/m1").await;
            if read["hit"] == true {
                return read;
            }
            tokio::task::yield_now().await;
        }
        panic!("there was no hit in time")
    }
}

async fn answer(request: RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.unwrap();
    let status = response.status();
    (status, response.json().await.unwrap())
}

#[tokio::test]
async fn a_score_is_seen_everywhere_and_answered_from_copies() {
    let cluster = TestCluster::new(60_000, None).await;
    let (_, nothing) = cluster.get(1, "/matches/m1").await;
    assert_eq!((&nothing["sequence"], &nothing["score"]), (&json!(0), &Value::Null));
    for (node, home) in [(1, 1), (2, 2), (0, 3)] {
        let (status, written) = cluster.put(node, &format!("r{home}"), home).await;
        assert_eq!(status, StatusCode::OK, "{written}");
        assert_eq!(written["sequence"], home);
        for reader in 0..3 {
            let (_, read) = cluster.get(reader, "/matches/m1").await;
            assert_eq!((&read["sequence"], &read["score"]["home"]), (&json!(home), &json!(home)));
        }
        for cache in 1..3 {
            assert_eq!(cluster.hit(cache).await["sequence"], home);
        }
        assert_eq!(cluster.get(1, "/matches/m1?from=database").await.1["hit"], false);
    }
    let (_, stream) = cluster.get(2, "/matches/m1/events?from=2").await;
    let numbers: Vec<_> =
        stream["events"].as_array().unwrap().iter().map(|e| e["sequence"].clone()).collect();
    assert_eq!((numbers, &stream["next"]), (vec![json!(2), json!(3)], &Value::Null));
}

#[tokio::test]
async fn a_retry_has_one_effect_and_another_score_none() {
    let cluster = TestCluster::new(60_000, None).await;
    for node in [1, 2, 0] {
        let (status, written) = cluster.put(node, "r1", 1).await;
        assert_eq!((status, &written["sequence"]), (StatusCode::OK, &json!(1)));
        let (status, refused) = cluster.put(node, "r1", 2).await;
        assert_eq!((status, &refused["definite"]), (StatusCode::CONFLICT, &json!(true)));
    }
}

#[tokio::test]
async fn what_is_no_goal_is_refused() {
    let cluster = TestCluster::new(60_000, None).await;
    let long = "x".repeat(1_001);
    for body in [
        json!({ "request_id": "r", "home": -1, "away": 0, "event": "goal" }),
        json!({ "request_id": "r", "home": 1, "away": 0 }),
        json!({ "request_id": "r", "home": 1, "away": 0, "event": "" }),
        json!({ "request_id": "r", "home": 1, "away": 0, "event": long }),
        json!({ "request_id": "r", "home": 9_999_999, "away": 0, "event": "goal" }),
    ] {
        let request = cluster.http.put(cluster.url(1, "/matches/m1/score")).json(&body);
        let (status, refused) = answer(request).await;
        assert_eq!((status, &refused["definite"]), (StatusCode::BAD_REQUEST, &json!(true)), "{body}");
    }
    assert_eq!(cluster.get(1, "/matches/m1?from=elsewhere").await.0, StatusCode::BAD_REQUEST);
    let ask = json!({ "cache": 9, "session": null });
    let request = cluster.http.post(cluster.url(0, messages::LEASE)).json(&ask);
    assert_eq!(answer(request).await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn without_the_database_a_cache_serves_copies_until_its_lease_runs_out() {
    let mut cluster = TestCluster::new(500, None).await;
    cluster.put(1, "r1", 1).await;
    cluster.hit(1).await;
    cluster.stop(0).await;
    let until = std::time::Instant::now() + PATIENCE;
    let refused = loop {
        let (status, read) = cluster.get(1, "/matches/m1").await;
        if status != StatusCode::OK {
            break (status, read);
        }
        assert_eq!(read["hit"], true);
        assert!(std::time::Instant::now() < until, "it serves for ever");
    };
    assert_eq!((refused.0, &refused.1["definite"]), (StatusCode::SERVICE_UNAVAILABLE, &json!(true)));
    let (status, refused) = cluster.put(1, "r2", 2).await;
    assert_eq!((status, &refused["definite"]), (StatusCode::SERVICE_UNAVAILABLE, &json!(true)));
    cluster.start(0).await;
    assert_eq!(cluster.hit(1).await["sequence"], 1);
    assert_eq!(cluster.put(1, "r2", 2).await.1["sequence"], 2);
}

#[tokio::test]
async fn a_write_waits_for_the_lease_of_a_cache_that_is_gone() {
    for (bug, waits) in [(None, true), (Some(Bug::SilentCacheGivenUp), false)] {
        let mut cluster = TestCluster::new(600_000, bug).await;
        cluster.put(1, "r1", 1).await;
        cluster.hit(2).await;
        cluster.stop(2).await;
        let bound = if waits { Duration::from_millis(300) } else { PATIENCE };
        let written = tokio::time::timeout(bound, cluster.put(1, "r2", 2)).await;
        assert_eq!(written.is_err(), waits);
    }
}
