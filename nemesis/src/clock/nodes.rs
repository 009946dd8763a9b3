//! The nodes whose clocks can be skewed, and which processes are theirs.
//!
//! A node's processes are those in its network namespace that are not in the harness's own PID namespace.
//! The network namespace outlives the node's processes, so those of a node that was started again are found
//! as well, by threads that cannot ask the cluster.

use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use nix::sys::stat::fstat;
use ordeal_core::Cluster;

use super::page::Page;
use super::tracee;

/// A namespace, as long as somebody holds it open: device and inode.
type Namespace = (u64, u64);

#[derive(Debug)]
pub(super) struct Node {
    pub(super) index: usize,
    pub(super) id: String,
    network: Namespace,
    /// The control page's file, beside the node's data.
    pub(super) file: PathBuf,
    pub(super) page: Page,
}

impl Node {
    /// Makes the node's control page.
    pub(super) fn of(cluster: &dyn Cluster, index: usize) -> Result<Self, String> {
        let spec = &cluster.spec().nodes[index];
        let network = fstat(cluster.network(index)).map_err(|e| format!("{}: its network: {e}", spec.id))?;
        let home = spec.data_dir.parent().unwrap_or(&spec.data_dir);
        let file = home.join("clock");
        let page = std::fs::create_dir_all(home).and_then(|()| Page::create(&file, &tracee::preload_pages()));
        let page = page.map_err(|e| format!("{}: cannot create {}: {e}", spec.id, file.display()))?;
        Ok(Node { index, id: spec.id.clone(), network: (network.st_dev, network.st_ino), file, page })
    }
}

/// A process of a node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Member {
    /// The node's index.
    pub(super) node: usize,
    pub(super) pid: i32,
}

impl Member {
    /// Its name, as far as it can still be read.
    pub(super) fn name(&self) -> String {
        let name = std::fs::read(format!("/proc/{}/comm", self.pid)).unwrap_or_default();
        String::from_utf8_lossy(&name).trim_end().to_owned()
    }
}

/// The processes of these nodes, in ascending order.
pub(super) fn members(nodes: &[&Node]) -> Result<Vec<Member>, String> {
    let fail = |e: std::io::Error| format!("cannot read /proc: {e}");
    let own = namespace("self", "pid").ok_or("this process's own PID namespace cannot be read")?;
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").map_err(fail)? {
        let name = entry.map_err(fail)?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let network = namespace(&name, "net");
        let node = nodes.iter().find(|node| Some(node.network) == network);
        if let Some(node) = node.filter(|_| namespace(&name, "pid").is_some_and(|pid| pid != own)) {
            found.push(Member { node: node.index, pid });
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// `None` if the process is gone, or dead and waits for its parent.
fn namespace(process: impl AsRef<OsStr>, kind: &str) -> Option<Namespace> {
    let path = PathBuf::from("/proc").join(process.as_ref()).join("ns").join(kind);
    path.metadata().ok().map(|at| (at.dev(), at.ino()))
}
