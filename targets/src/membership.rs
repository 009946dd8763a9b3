//! How a system is told of a node that joins: `POST /nodes`, as the contracts of workloads with membership have it.

use std::net::SocketAddr;
use std::time::Duration;

use ordeal_core::{BoxFuture, ClusterSpec, NodeSpec};
use ordeal_workloads::http::{HttpClient, Method};
use serde_json::json;

/// The longest wait for one node's answer: a majority may have to agree.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Asks the nodes that were there from the beginning, one after another, to take this one in.
pub(crate) fn join<'a>(
    node: &'a NodeSpec,
    cluster: &'a ClusterSpec,
    address: impl Fn(&NodeSpec) -> SocketAddr + Send + 'a,
) -> BoxFuture<'a, Result<(), String>> {
    // One name for all attempts, so that they have one effect.
    let request = json!({ "request_id": format!("join-{}", node.id), "id": node.id });
    Box::pin(async move {
        let mut refusals = Vec::new();
        for founder in &cluster.nodes[..cluster.founders] {
            let mut http = HttpClient::new(address(founder));
            let asked = http.json(Method::POST, "/nodes", &request);
            let why = match tokio::time::timeout(TIMEOUT, asked).await {
                Ok(Ok(reply)) if (200..=299).contains(&reply.status) => return Ok(()),
                Ok(Ok(reply)) => format!("HTTP {}: {}", reply.status, String::from_utf8_lossy(&reply.body)),
                Ok(Err(e)) => e.to_string(),
                Err(_) => format!("no answer within {} ms", TIMEOUT.as_millis()),
            };
            refusals.push(format!("{}: {why}", founder.id));
        }
        Err(refusals.join("; "))
    })
}
