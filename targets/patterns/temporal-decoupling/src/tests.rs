//! Whole nodes on loopback: the contract, from any node.

use ordeal_kit::testing::Nodes;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::*;

const NODES: usize = 3;

fn args(nodes: &Nodes, node: usize, window_ms: u64, idle_ms: u64) -> Args {
    let raft = RaftArgs { heartbeat_ms: 200, snapshot_every: 10, request_timeout_ms: 10_000 };
    Args { node: nodes.args(node, None), raft, window_ms, buffer: 100, idle_ms }
}

/// Starts these nodes, with snapshots all the time.
async fn start(nodes: &mut Nodes, which: &[usize]) {
    for &node in which {
        let args = args(nodes, node, 1_000, 100);
        nodes.start(node, |server| serve(server, args)).await;
    }
    nodes.ready(which.iter().copied()).await;
}

async fn send(nodes: &Nodes, node: usize, body: &Value) -> (StatusCode, Value) {
    nodes.ask(Method::POST, node, "/events", body.clone()).await
}

fn stock(n: u64, source: &str, timestamp: u64) -> Value {
    json!({ "id": format!("k{n}"), "source": source, "timestamp": timestamp, "kind": "stock", "sku": "p1", "delta": 5 })
}

#[tokio::test]
async fn events_told_in_any_order_at_any_node_are_processed_alike_everywhere_also_after_a_restart() {
    let mut nodes = Nodes::new(NODES);
    start(&mut nodes, &[0, 1, 2]).await;
    let order = json!({
        "id": "o1", "source": "s1", "timestamp": 1_002_000, "kind": "order", "sku": "p1", "quantity": 2,
        "price": 100, "depends_on": ["m1"],
    });
    let promotion = json!({
        "id": "m1", "source": "s2", "timestamp": 1_002_500, "kind": "promotion", "sku": "p1", "percent": 25,
        "from": 1_001_000, "until": 1_003_000,
    });
    for (node, event) in [(0, &order), (1, &promotion), (2, &stock(1, "s1", 1_001_900))] {
        let (status, answer) = send(&nodes, node, event).await;
        assert_eq!((status, &answer["status"]), (StatusCode::OK, &json!("accepted")), "{answer}");
    }
    // Nothing more comes, so time passes by itself.
    let confirmed = nodes.until(0, "/orders/o1", |order| order["status"] == "confirmed").await;
    assert_eq!((&confirmed["price"], &confirmed["promotion"]), (&json!(150), &json!("m1")));
    let (_, again) = send(&nodes, 2, &order).await;
    assert_eq!(again["status"], "accepted");
    let (_, late) = send(&nodes, 1, &stock(2, "s1", 1_000_000)).await;
    assert_eq!(late["status"], "late", "{late}");
    // These wait while all nodes are down.
    for n in 3..30 {
        send(&nodes, n as usize % NODES, &stock(n, "s1", 2_000_000 + n)).await;
    }
    for node in 0..NODES {
        nodes.stop(node).await;
    }
    start(&mut nodes, &[0, 1, 2]).await;
    let (_, conflict) = send(&nodes, 0, &stock(3, "s1", 2_000_004)).await;
    assert_eq!(conflict["definite"], true, "{conflict}");
    send(&nodes, 0, &stock(30, "s2", 2_000_030)).await;
    let mut sequences = Vec::new();
    for node in 0..NODES {
        let page =
            nodes.until(node, "/processed", |page| page["events"].as_array().unwrap().len() == 31).await;
        assert_eq!((&page["from"], &page["next"]), (&json!(0), &Value::Null));
        sequences.push(page["events"].clone());
    }
    assert!(sequences.iter().all(|sequence| *sequence == sequences[0]));
    let ids = sequences[0].as_array().unwrap().iter().map(|step| step["event"]["id"].as_str().unwrap());
    assert_eq!(ids.take(4).collect::<Vec<_>>(), ["k1", "m1", "o1", "k3"]);
    let (_, level) = nodes.get(1, "/stock/p1").await;
    assert_eq!((&level["level"], &level["processed"]), (&json!(5 - 2 + 28 * 5), &json!(31)));
    let (_, status) = nodes.get(2, "/status").await;
    assert_eq!((&status["buffered"], &status["window_ms"]), (&json!(0), &json!(1_000)));
    for node in 0..NODES {
        nodes.stop(node).await;
    }
}

#[tokio::test]
async fn what_is_malformed_is_refused_with_a_reason() {
    let mut nodes = Nodes::new(1);
    start(&mut nodes, &[0]).await;
    let with = |field: &str, value: Value| {
        let mut event = stock(1, "s1", 5);
        event[field] = value;
        event
    };
    for body in [
        with("id", json!("a b")),
        with("source", Value::Null),
        with("timestamp", json!(-1)),
        with("timestamp", json!(1_u64 << 60)),
        with("kind", json!("gift")),
        with("delta", json!(0)),
        with("depends_on", json!(["k1"])),
    ] {
        let (status, why) = send(&nodes, 0, &body).await;
        assert_eq!((status, &why["definite"]), (StatusCode::BAD_REQUEST, &json!(true)), "{body}: {why}");
    }
    for (path, expected) in [("/processed?limit=0", 400), ("/processed?from=x", 400), ("/nothing", 404)] {
        assert_eq!(nodes.get(0, path).await.0.as_u16(), expected, "{path}");
    }
    assert_eq!(nodes.get(0, "/orders/o7").await.1["status"], "none");
    nodes.stop(0).await;
}

#[tokio::test]
async fn an_idle_time_with_which_the_buffer_drains_too_late_is_refused() {
    let nodes = Nodes::new(1);
    for (window_ms, idle_ms, fits) in
        [(100, 500, true), (100, 501, false), (2_000, 2_000, true), (2_000, 2_001, false)]
    {
        assert_eq!(idle_fits(&args(&nodes, 0, window_ms, idle_ms)).is_ok(), fits, "{window_ms} {idle_ms}");
    }
}

#[test]
fn the_bugs_are_those_of_the_readme() {
    let readme = include_str!("../README.md");
    for (name, _) in BUGS {
        assert!(readme.contains(&format!("| `{name}` |")), "{name}");
    }
}
