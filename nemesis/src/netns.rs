//! Acting inside other network namespaces.
//!
//! `setns` changes the calling thread only, and what that thread makes stays where it was made: a socket
//! keeps its namespace for good, a child process starts in it. So one short-lived thread visits the
//! namespaces one after another, and the harness's own threads never leave theirs.

use ordeal_core::Cluster;

/// Does `act` once in each node's network namespace, in node order.
///
/// # Errors
/// When the thread cannot be started or a namespace refuses entry, or the first error of `act`; each
/// names the node.
pub(crate) fn in_each<T: Send>(
    cluster: &dyn Cluster,
    act: impl Fn(usize) -> Result<T, String> + Sync,
) -> Result<Vec<T>, String> {
    let visit = || {
        cluster
            .spec()
            .nodes
            .iter()
            .map(|node| {
                nix::sched::setns(cluster.network(node.index), nix::sched::CloneFlags::CLONE_NEWNET)
                    .map_err(|e| format!("cannot enter the network namespace of {}: {e}", node.id))?;
                act(node.index).map_err(|e| format!("{}: {e}", node.id))
            })
            .collect()
    };
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("netns".to_owned())
            .spawn_scoped(scope, visit)
            .map_err(|e| format!("cannot start a thread: {e}"))?
            .join()
            .unwrap_or_else(|_| Err("the thread in the network namespaces panicked".to_owned()))
    })
}
