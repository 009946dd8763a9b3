//! Each bug, beside the sound node in the same situation.

use std::time::{SystemTime, UNIX_EPOCH};

use super::*;

/// What became of an append at a node that is alone but for the named bug.
async fn append_alone(bug: Option<&str>) -> StatusCode {
    let mut cluster = TestCluster::new(bug).await;
    cluster.start([0]).await;
    cluster.append(0, "r-1").await.0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w_1_and_hint_counted_acknowledge_what_one_node_has() {
    assert_eq!(append_alone(None).await, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(append_alone(Some("w-1")).await, StatusCode::OK);
    assert_eq!(append_alone(Some("hint-counted")).await, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hints_are_delivered_later() {
    let mut cluster = TestCluster::new(Some("hint-counted")).await;
    cluster.start([0]).await;
    assert_eq!(cluster.append(0, "r-1").await.0, StatusCode::OK);
    cluster.start([1, 2, 3]).await;
    cluster.start([4]).await;
    let offer = json!({"patient": "p1", "entries": {}, "digest": {"entries": 0, "sums": [0, 0]}});
    let delivered = async {
        loop {
            let request = cluster.http().post(cluster.url(4, replicas::OFFER)).json(&offer);
            if answer(request).await.1.to_string().contains("r-1") {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, delivered).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r_plus_w_reads_miss_an_acknowledged_write() {
    for (bug, two_nodes_answer) in [(None, false), (Some("r-plus-w"), true)] {
        let mut cluster = TestCluster::new(bug).await;
        cluster.start([0, 1, 2]).await;
        assert_eq!(cluster.append(0, "r-1").await.0, StatusCode::OK);
        cluster.stop([0, 1, 2]).await;
        cluster.start([3, 4]).await;
        let (status, body) = cluster.get(3, "/patients/p1/entries").await;
        assert_eq!(status == StatusCode::OK && body["entries"] == json!([]), two_nodes_answer, "{body}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_write_back_forgets_what_a_read_answered() {
    let nothing = (json!([]), json!(null));
    let half = (json!(["e-half"]), json!("half"));
    for (bug, later) in [(None, &half), (Some("no-write-back"), &nothing)] {
        let mut cluster = TestCluster::new(bug).await;
        cluster.plant(0, half_written_summary()).await;
        cluster.plant(0, half_written_entry()).await;
        cluster.start([0, 1, 2, 3, 4]).await;
        assert_eq!((cluster.entries(0).await, cluster.summary(0).await), half);
        cluster.stop([0]).await;
        assert_eq!((cluster.entries(1).await, cluster.summary(1).await), *later, "{bug:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wall_clock_versions_lose_what_is_written_after_a_write_from_the_future() {
    let in_an_hour = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + Duration::from_secs(3_600);
    for (bug, read) in [(None, "later"), (Some("wall-clock-versions"), "half")] {
        let mut cluster = TestCluster::new(bug).await;
        for node in 0..5 {
            // The clock of the node that wrote it was an hour ahead.
            let Update::Summary { patient, mut cell } = half_written_summary() else {
                unreachable!();
            };
            cell.version.counter = in_an_hour.as_micros() as u64;
            cluster.plant(node, Update::Summary { patient, cell }).await;
        }
        cluster.start([0, 1, 2, 3, 4]).await;
        assert_eq!(cluster.put(0, "s-2", "later").await.0, StatusCode::OK);
        assert_eq!(cluster.summary(2).await, read, "{bug:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn version_ties_leave_replicas_different() {
    for (bug, same) in [(None, true), (Some("version-ties"), false)] {
        let mut cluster = TestCluster::new(bug).await;
        for node in 0..5 {
            let Update::Summary { patient, mut cell } = half_written_summary() else {
                unreachable!();
            };
            // Two coordinators issued the same counter; each reached the nodes next to it first.
            if node >= 3 {
                let (node, text) = ("n5".to_owned(), "other".to_owned());
                (cell.version.node, cell.text, cell.request_id) = (node, text, id("r-other"));
            }
            cluster.plant(node, Update::Summary { patient, cell }).await;
        }
        cluster.start([0, 1, 2, 3, 4]).await;
        let (low, high) = (cluster.summary(0).await, cluster.summary(4).await);
        let again = cluster.summary(0).await;
        if same {
            // Whatever was read first, the larger version never gives way again.
            assert!(high == "other" && again == "other", "{low} {high} {again}");
        } else {
            assert_eq!((&low, &high, &again), (&json!("half"), &json!("other"), &json!("half")));
        }
    }
}
