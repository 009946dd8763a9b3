//! The sandbox's network: one namespace a node, joined by a bridge in the harness's own.
//!
//! Nothing has a name on the host: namespaces are held by file descriptors, and everything vanishes with
//! the last of them. Nodes are 10.78.0.1, .2, …; the harness and its clients are 10.78.0.254.

use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, setns, unshare};
use ordeal_core::{End, Fabric, LinkCounters, LinkRule};

use super::SandboxError;
use super::netlink::Netlink;

/// The address from which clients talk to nodes.
pub const HARNESS_IP: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 254);
const PREFIX_BITS: u8 = 24;
const LOOPBACK_INDEX: u32 = 1;
const BRIDGE: &str = "ordeal0";
const NODE_INTERFACE: &str = "eth0";
/// A hardware address that nobody has: what is sent there vanishes without a sound.
const NOBODY: [u8; 6] = [0x02, 0xde, 0xad, 0, 0, 0];

/// The address of a node.
///
/// # Panics
/// Above 250 nodes; the plan allows fewer.
pub fn node_ip(index: usize) -> Ipv4Addr {
    assert!(index < 250, "the sandbox's network has room for 250 nodes");
    Ipv4Addr::new(10, 78, 0, index as u8 + 1)
}

/// The network of a cluster.
#[derive(Debug)]
pub struct Network {
    nodes: Vec<OwnedFd>,
}

impl Network {
    /// Builds the network for so many nodes. The caller must be inside the sandbox.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn build(nodes: usize) -> Result<Self, SandboxError> {
        let fds = (0..nodes).map(|_| new_namespace()).collect::<nix::Result<Vec<_>>>();
        let network = Network { nodes: fds.map_err(|e| SandboxError::new("create a network namespace", e))? };
        network.join().map_err(|e| SandboxError::new("link the nodes' network namespaces", e))?;
        Ok(network)
    }

    /// The network namespace of a node.
    pub fn node(&self, index: usize) -> BorrowedFd<'_> {
        self.nodes[index].as_fd()
    }

    fn join(&self) -> nix::Result<()> {
        let netlink = Netlink::open()?;
        netlink.up(LOOPBACK_INDEX)?;
        netlink.add_bridge(BRIDGE)?;
        let bridge = if_nametoindex(BRIDGE)?;
        netlink.add_address(bridge, HARNESS_IP, PREFIX_BITS)?;
        for (i, node) in self.nodes.iter().enumerate() {
            let mac = [0x02, 0x78, 0, 0, 0, i as u8 + 1];
            netlink.add_veth(&format!("n{}", i + 1), bridge, NODE_INTERFACE, node.as_fd(), mac)?;
            inside(node.as_fd(), || {
                let netlink = Netlink::open()?;
                netlink.up(LOOPBACK_INDEX)?;
                let interface = if_nametoindex(NODE_INTERFACE)?;
                netlink.add_address(interface, node_ip(i), PREFIX_BITS)?;
                netlink.up(interface)
            })?;
        }
        Ok(())
    }

    fn neighbour(&self, from: usize, to: usize, cut: bool) -> Result<(), String> {
        let done = inside(self.node(from), || {
            let netlink = Netlink::open()?;
            let interface = if_nametoindex(NODE_INTERFACE)?;
            match cut {
                true => netlink.pin_neighbour(interface, node_ip(to), NOBODY),
                false => netlink.forget_neighbour(interface, node_ip(to)),
            }
        });
        done.map_err(|e| format!("the link from node {from} to node {to}: {e}"))
    }
}

/// Links are cut without any program's help by sending what goes to the peer to a hardware address that
/// nobody has: silent loss, in one direction, for new and old connections alike.
impl Fabric for Network {
    fn cut(&self, from: usize, to: usize) -> Result<(), String> {
        self.neighbour(from, to, true)
    }

    fn mend(&self, from: usize, to: usize) -> Result<(), String> {
        self.neighbour(from, to, false)
    }

    fn set(&self, _: &'static str, _: End, _: End, _: LinkRule) -> Result<(), String> {
        Err("this network has no switch".to_owned())
    }

    fn clear(&self, _: &'static str) -> Result<(), String> {
        Ok(())
    }

    fn counters(&self, _: End, _: End) -> Option<LinkCounters> {
        None
    }
}

/// A new network namespace, made in a thread of its own so that the caller stays where it is.
fn new_namespace() -> nix::Result<OwnedFd> {
    in_thread(|| {
        unshare(CloneFlags::CLONE_NEWNET)?;
        let file = File::open("/proc/thread-self/ns/net").map_err(|_| Errno::EIO)?;
        Ok(file.into())
    })
}

/// Runs `work` in a network namespace.
fn inside<T: Send>(network: BorrowedFd<'_>, work: impl FnOnce() -> nix::Result<T> + Send) -> nix::Result<T> {
    in_thread(|| {
        setns(network, CloneFlags::CLONE_NEWNET)?;
        work()
    })
}

fn in_thread<T: Send>(work: impl FnOnce() -> nix::Result<T> + Send) -> nix::Result<T> {
    std::thread::scope(|scope| scope.spawn(work).join().unwrap_or(Err(Errno::EIO)))
}
