//! What the pattern is about: the commit of a confirmation in a cluster with a consistent core, beside a
//! cluster of the same size in which all nodes are the quorum.
//!
//! `core` has 3 nodes in the quorum and 4, 8 or 20 data nodes that follow it; `flat` has all of 3, 9 or 23 in the
//! quorum. It is the same program, in this process, on the loopback interface; every node keeps its state in a
//! directory of its own under `$TMPDIR`. One commit is one confirmation from the request at a core node
//! to its answer; one at a time, so that what is measured is latency.

use std::cell::Cell;
use std::net::TcpListener;
use std::time::Duration;

use divan::Bencher;
use ordeal_consistent_core::{Args, run};
use ordeal_kit::{NodeArgs, Peer};
use ordeal_raft::RaftArgs;
use reqwest::Client;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

fn main() {
    divan::main();
}

/// Nodes that run until this is dropped.
struct Cluster {
    runtime: Runtime,
    http: Client,
    peers: Vec<Peer>,
    claims: Cell<u64>,
    _directory: TempDir,
}

impl Cluster {
    fn start(nodes: usize, core: usize) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let peers = free_addresses(nodes)?;
        let runtime = Runtime::new()?;
        for peer in &peers {
            let node = NodeArgs {
                id: peer.id.clone(),
                listen: peer.address,
                peers: peers.clone(),
                data_dir: directory.path().join(&peer.id),
                bug: None,
            };
            // Twenty-three nodes on a small machine are slow to answer: no election may come of that.
            let raft = RaftArgs { heartbeat_ms: 1_000, snapshot_every: 5_000, request_timeout_ms: 20_000 };
            runtime.spawn(run(Args { node, raft, core, lease_ms: 500 }));
        }
        let http = Client::builder().no_proxy().timeout(Duration::from_secs(30)).build()?;
        let cluster = Cluster { runtime, http, peers, claims: Cell::new(0), _directory: directory };
        cluster.runtime.block_on(cluster.settle())?;
        Ok(cluster)
    }

    /// Waits until all nodes are ready and a policy is there.
    async fn settle(&self) -> anyhow::Result<()> {
        let settling = async {
            for peer in &self.peers {
                while !self.ready(peer).await {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), settling).await?;
        let policy = json!({ "request_id": "r", "holder": "h", "premium": 1 });
        let put = self.http.put(self.url("/policies/p1")).json(&policy);
        put.send().await?.error_for_status()?;
        Ok(())
    }

    async fn ready(&self, peer: &Peer) -> bool {
        let Ok(answer) = self.http.get(format!("http://{}/health", peer.address)).send().await else {
            return false;
        };
        answer.json().await.is_ok_and(|health: Value| health["ready"] == true)
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.peers[0].address)
    }

    /// Hands in a claim of which nobody has said anything; its name.
    fn submit(&self) -> anyhow::Result<String> {
        self.claims.set(self.claims.get() + 1);
        let claim = format!("c{}", self.claims.get());
        let body = json!({ "request_id": "r", "claim": claim, "policy": "p1", "amount": 1 });
        self.runtime.block_on(async {
            self.http.post(self.url("/claims")).json(&body).send().await?.error_for_status()?;
            anyhow::Ok(claim)
        })
    }

    fn confirm(&self, claim: &str) -> anyhow::Result<()> {
        let body = json!({ "request_id": "r", "department": "finance", "verdict": "approve" });
        let path = self.url(&format!("/claims/{claim}/confirmations"));
        self.runtime.block_on(async {
            self.http.post(path).json(&body).send().await?.error_for_status()?;
            Ok(())
        })
    }
}

/// Addresses that were free a moment ago.
fn free_addresses(nodes: usize) -> std::io::Result<Vec<Peer>> {
    let listeners = (0..nodes).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<Vec<_>, _>>()?;
    (1..).zip(&listeners).map(|(n, l)| Ok(Peer { id: format!("n{n}"), address: l.local_addr()? })).collect()
}

fn measure(bencher: Bencher<'_, '_>, nodes: usize, core: usize) {
    let works = "the cluster of the benchmark works";
    let cluster = Cluster::start(nodes, core).expect(works);
    bencher
        .with_inputs(|| cluster.submit().expect(works))
        .bench_local_refs(|claim| cluster.confirm(claim).expect(works));
}

/// A core of three beside so many data nodes.
#[divan::bench(args = [4, 8, 20], sample_count = 100, sample_size = 1)]
fn core(bencher: Bencher<'_, '_>, data_nodes: usize) {
    measure(bencher, 3 + data_nodes, 3);
}

/// All nodes in the quorum.
#[divan::bench(args = [3, 9, 23], sample_count = 100, sample_size = 1)]
fn flat(bencher: Bencher<'_, '_>, nodes: usize) {
    measure(bencher, nodes, nodes);
}
