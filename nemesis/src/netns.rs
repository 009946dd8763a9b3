//! Acting inside other network namespaces.
//!
//! `setns` changes the calling thread only, and what that thread makes stays where it was made: a socket
//! keeps its namespace for good, a child process starts in it. So one short-lived thread visits the
//! namespaces one after another, and the harness's own threads never leave theirs.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sched::{CloneFlags, setns};
use ordeal_core::{Cluster, End};

/// Does `act` once in each node's network namespace, in node order.
///
/// # Errors
/// When the thread cannot be started or a namespace refuses entry, or the first error of `act`; each
/// names the node.
pub(crate) fn in_each<T: Send>(
    cluster: &dyn Cluster,
    act: impl Fn(usize) -> Result<T, String> + Sync,
) -> Result<Vec<T>, String> {
    in_thread(|| {
        let nodes = cluster.spec().nodes.iter();
        nodes
            .map(|node| {
                enter(cluster.network(node.index)).map_err(|e| format!("{}: {e}", node.id))?;
                act(node.index).map_err(|e| format!("{}: {e}", node.id))
            })
            .collect()
    })
}

/// The network namespaces of all ends of links: each node's, and the one in which clients run, which is the
/// harness's own. Held open, so that threads may use them that must not borrow the cluster.
pub(crate) struct Namespaces {
    nodes: Vec<OwnedFd>,
    clients: OwnedFd,
}

impl Namespaces {
    /// Must be called in the clients' namespace.
    pub(crate) fn of(cluster: &dyn Cluster) -> std::io::Result<Self> {
        let nodes = cluster.spec().nodes.iter();
        let nodes = nodes.map(|node| cluster.network(node.index).try_clone_to_owned());
        let clients = std::fs::File::open("/proc/thread-self/ns/net")?.into();
        Ok(Namespaces { nodes: nodes.collect::<Result<_, _>>()?, clients })
    }

    #[cfg(test)]
    pub(crate) fn for_tests(nodes: Vec<OwnedFd>, clients: OwnedFd) -> Self {
        Namespaces { nodes, clients }
    }

    /// Does `act` in the network namespace of an end.
    pub(crate) fn inside<T: Send>(
        &self,
        end: End,
        act: impl FnOnce() -> Result<T, String> + Send,
    ) -> Result<T, String> {
        let namespace = match end {
            End::Node(node) => self.nodes.get(node).ok_or_else(|| format!("there is no node {node}"))?,
            End::Clients => &self.clients,
        };
        in_thread(|| {
            enter(namespace.as_fd())?;
            act()
        })
    }
}

fn enter(namespace: BorrowedFd<'_>) -> Result<(), String> {
    setns(namespace, CloneFlags::CLONE_NEWNET).map_err(|e| format!("cannot enter the network namespace: {e}"))
}

fn in_thread<T: Send>(visit: impl FnOnce() -> Result<T, String> + Send) -> Result<T, String> {
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("netns".to_owned())
            .spawn_scoped(scope, visit)
            .map_err(|e| format!("cannot start a thread: {e}"))?
            .join()
            .unwrap_or_else(|_| Err("the thread in the network namespaces panicked".to_owned()))
    })
}
