//! Nodes over real sockets.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use ordeal_kit::{Peer, listen};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;

/// How long a test waits for something that must come.
const PATIENCE: Duration = Duration::from_secs(20);

struct Node {
    address: SocketAddr,
    http: Client,
    stop: oneshot::Sender<()>,
    running: JoinHandle<anyhow::Result<()>>,
}

impl Node {
    /// The only node of its cluster.
    async fn start(dir: &Path, address: Option<SocketAddr>, bug: Option<Bug>) -> Node {
        let listener = listen(address.unwrap_or(([127, 0, 0, 1], 0).into())).await.unwrap();
        let address = listener.local_addr().unwrap();
        let node = NodeArgs {
            id: "n1".to_owned(),
            listen: address,
            peers: vec![Peer { id: "n1".to_owned(), address }],
            data_dir: dir.to_owned(),
            bug,
        };
        let raft = RaftArgs { heartbeat_ms: 50, snapshot_every: 10, request_timeout_ms: 2_000 };
        let (stop, stopped) = oneshot::channel::<()>();
        let server = Server::until(listener, async move { drop(stopped.await) });
        let running = tokio::spawn(serve(server, Args { node, raft }));
        Node { address, http: Client::builder().no_proxy().build().unwrap(), stop, running }
    }

    async fn stop(self) {
        let _ = self.stop.send(());
        self.running.await.unwrap().unwrap();
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let mut request = self.http.request(method, format!("http://{}{path}", self.address));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.ask(Method::GET, path, None).await
    }

    async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        self.ask(Method::POST, path, Some(body)).await
    }

    /// Until the operator is told this state.
    async fn reaches(&self, state: &str) -> Value {
        let reached = async {
            loop {
                let (_, status) = self.get(gate::STATUS).await;
                if status["state"] == state {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, reached).await.unwrap()
    }

    async fn reading(&self, request: &str, value: f64) -> Value {
        let body = json!({ "request_id": request, "sensor": "s1", "kind": "temperature", "value": value });
        let (status, answer) = self.post("/machines/m1/readings", body).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer
    }
}

#[tokio::test]
async fn readings_escalate_and_a_reset_makes_the_machine_run_again() {
    let dir = TempDir::new().unwrap();
    let node = Node::start(dir.path(), None, None).await;
    node.reaches("serving").await;
    for (request, expected) in [("r1", "alert"), ("r2", "slowed"), ("r2", "slowed"), ("r3", "shutdown")] {
        assert_eq!(node.reading(request, 90.0).await["state"], expected);
    }
    let (_, machine) = node.get("/machines/m1").await;
    assert_eq!(machine["state"], "shutdown");
    let (_, after) = node.post("/machines/m1/reset", json!({ "request_id": "r4" })).await;
    assert_eq!(after["state"], "running");
    let (_, log) = node.get("/log?from=0&consistency=strong").await;
    let entries = log["entries"].as_array().unwrap();
    assert_eq!(
        (entries.len(), &entries[3]["action"], &entries[3]["index"]),
        (4, &json!("reset"), &after["index"])
    );
    assert_eq!((&entries[0]["kind"], &entries[0]["value"]), (&json!("temperature"), &json!(90.0)));
    let (_, events) = node.get("/events?from=2&limit=2").await;
    assert_eq!((&events["events"][0]["number"], &events["next"]), (&json!(2), &json!(4)));
    node.stop().await;
}

#[tokio::test]
async fn what_is_malformed_or_contradicts_is_refused_for_certain() {
    let dir = TempDir::new().unwrap();
    let node = Node::start(dir.path(), None, None).await;
    node.reaches("serving").await;
    node.reading("r1", 1.0).await;
    let path = "/machines/m1/readings";
    let reading = |id: &str, kind: &str, value: Value| json!({ "request_id": id, "sensor": "s1", "kind": kind, "value": value });
    for (status, method, path, body) in [
        (400, Method::POST, path, reading("r2", "pressure", json!(1))),
        (400, Method::POST, path, reading("r2", "energy", json!(1.0001))),
        (400, Method::POST, path, reading("", "energy", json!(1))),
        (409, Method::POST, path, reading("r1", "energy", json!(1))),
        (409, Method::POST, "/machines/m1/reset", json!({ "request_id": "r1" })),
        (413, Method::POST, path, reading(&"x".repeat(20_000), "energy", json!(1))),
        (400, Method::GET, "/log?limit=0", Value::Null),
        (400, Method::GET, "/log?from=x", Value::Null),
        (404, Method::GET, "/nothing", Value::Null),
        (405, Method::DELETE, "/log", Value::Null),
    ] {
        let (answered, why) = node.ask(method, path, Some(body)).await;
        assert_eq!((answered.as_u16(), &why["definite"]), (status, &json!(true)), "{path}: {why}");
    }
    node.stop().await;
}

#[tokio::test]
async fn the_stream_shows_what_was_and_what_comes() {
    let dir = TempDir::new().unwrap();
    let node = Node::start(dir.path(), None, None).await;
    node.reaches("serving").await;
    node.reading("r1", 90.0).await;
    let url = format!("http://{}/events/stream?from=1&limit=2", node.address);
    let streaming = tokio::spawn(node.http.get(url).send());
    node.reading("r2", 90.0).await;
    let stream = streaming.await.unwrap().unwrap();
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let text = tokio::time::timeout(PATIENCE, stream.text()).await.unwrap().unwrap();
    let messages: Vec<&str> = text.lines().filter(|line| line.starts_with("id:")).collect();
    assert_eq!(messages, ["id: 1", "id: 2"], "{text}");
    assert!(text.contains("\"before\":\"alert\",\"after\":\"slowed\""), "{text}");
    let url = format!("http://{}/events/stream?from=3&for_ms=1", node.address);
    assert_eq!(node.http.get(url).send().await.unwrap().text().await.unwrap(), "");
    node.stop().await;
}

#[tokio::test]
async fn log_and_events_survive_a_restart_from_a_snapshot_and_the_defect_skips_them() {
    let dir = TempDir::new().unwrap();
    let node = Node::start(dir.path(), None, None).await;
    node.reaches("serving").await;
    for n in 0..40 {
        node.reading(&format!("r{n}"), 90.0).await;
    }
    let (_, log) = node.get("/log").await;
    assert_eq!(log["entries"].as_array().unwrap().len(), 40);
    let address = Some(node.address);
    node.stop().await;

    let node = Node::start(dir.path(), address, None).await;
    node.reaches("serving").await;
    assert_eq!(node.get("/log").await.1["entries"], log["entries"]);
    assert_eq!(node.get("/events").await.1["events"].as_array().unwrap().len(), 3);
    node.stop().await;

    let node = Node::start(dir.path(), address, Some(Bug::EventSkippedAfterRestart)).await;
    node.reaches("serving").await;
    node.post("/machines/m1/reset", json!({ "request_id": "reset" })).await;
    assert_eq!(node.get("/events?from=1").await.1["events"][0]["number"], 4);
    node.stop().await;
}

#[tokio::test]
async fn a_damaged_log_is_told_to_the_operator_and_everything_else_is_refused() {
    let dir = TempDir::new().unwrap();
    let node = Node::start(dir.path(), None, None).await;
    node.reaches("serving").await;
    node.reading("r1-marked", 90.0).await;
    let address = Some(node.address);
    node.stop().await;
    let file = dir.path().join("log.redb");
    let mut bytes = std::fs::read(&file).unwrap();
    let places: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at..].starts_with(b"r1-marked")).collect();
    assert!(!places.is_empty());
    places.into_iter().for_each(|at| bytes[at] = b'x');
    std::fs::write(&file, bytes).unwrap();

    let node = Node::start(dir.path(), address, None).await;
    let status = node.reaches("damaged").await;
    assert!(status["reason"].as_str().unwrap().contains("the log is damaged at"), "{status}");
    assert_eq!(node.get("/health").await, (StatusCode::OK, json!({ "id": "n1", "ready": false })));
    for path in ["/machines/m1", "/log", "/events", "/raft/status"] {
        let (answered, why) = node.get(path).await;
        assert_eq!((answered, &why["definite"]), (StatusCode::SERVICE_UNAVAILABLE, &json!(true)), "{path}");
    }
    node.stop().await;
}

#[test]
fn the_bugs_are_those_of_the_readme() {
    let readme = include_str!("../README.md");
    for (name, _) in BUGS {
        assert!(readme.contains(&format!("| `{name}` |")), "{name}");
    }
}
