//! The sandbox's network: one namespace a node, joined by a bridge in the harness's own, or by a switch.
//!
//! Nothing has a name on the host: namespaces are held by file descriptors, and everything vanishes with
//! the last of them. Nodes are 10.78.0.1, .2, …; the harness and its clients are 10.78.0.254.
//!
//! ```text
//! bridge:   eth0 (node) ─── n1 ┐
//!           eth0 (node) ─── n2 ┴ ordeal0, a bridge with the clients' address
//! switch:   eth0 (node) ─── n1 ┐
//!           eth0 (node) ─── n2 ┤ a thread of the harness
//!        ordeal0 (clients) ─ n254 ┘
//! ```

use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, setns, unshare};
use ordeal_core::{End, Fabric, LinkCounters, LinkRule};

use super::SandboxError;
use super::netlink::{Netlink, Veth};
use super::offload::segment_in_software;
use super::switch::{CLIENTS_NUMBER, MAC_PREFIX, Port, Switch};

/// The address from which clients talk to nodes.
pub const HARNESS_IP: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 254);
const PREFIX_BITS: u8 = 24;
const LOOPBACK_INDEX: u32 = 1;
/// The bridge, or the clients' end of their cable to the switch.
const HARNESS_INTERFACE: &str = "ordeal0";
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

/// What joins the nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Wiring {
    /// The kernel's bridge: fast, and able to cut links but nothing else.
    #[default]
    Bridge,
    /// A thread of the harness, which can do all that a [`LinkRule`] says.
    Switch {
        /// Where everything random about it comes from.
        seed: u64,
        /// The file into which every packet goes, if wanted.
        capture: Option<PathBuf>,
    },
}

/// The network of a cluster.
#[derive(Debug)]
pub struct Network {
    nodes: Vec<OwnedFd>,
    /// `None` with a bridge.
    switch: Option<Switch>,
}

impl Network {
    /// Builds the network for so many nodes. The caller must be inside the sandbox.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn build(nodes: usize, wiring: &Wiring) -> Result<Self, SandboxError> {
        let namespaces = (0..nodes).map(|_| new_namespace()).collect::<nix::Result<Vec<_>>>();
        let nodes = namespaces.map_err(|e| SandboxError::new("create a network namespace", e))?;
        let unlinked = |e| SandboxError::new("link the nodes' network namespaces", e);
        let switch = match wiring {
            Wiring::Bridge => {
                bridge(&nodes).map_err(unlinked)?;
                None
            }
            Wiring::Switch { seed, capture } => {
                let interfaces = cables(&nodes).map_err(unlinked)?;
                Some(Switch::start(interfaces.open()?, *seed, capture.as_deref())?)
            }
        };
        Ok(Network { nodes, switch })
    }

    /// The network namespace of a node.
    pub fn node(&self, index: usize) -> BorrowedFd<'_> {
        self.nodes[index].as_fd()
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

/// Without a switch, links are cut without any program's help by sending what goes to the peer to a hardware
/// address that nobody has: silent loss, in one direction, for new and old connections alike.
impl Fabric for Network {
    fn cut(&self, from: usize, to: usize) -> Result<(), String> {
        match &self.switch {
            Some(switch) => switch.cut(from, to),
            None => self.neighbour(from, to, true),
        }
    }

    fn mend(&self, from: usize, to: usize) -> Result<(), String> {
        match &self.switch {
            Some(switch) => switch.mend(from, to),
            None => self.neighbour(from, to, false),
        }
    }

    fn set(&self, owner: &'static str, from: End, to: End, rule: LinkRule) -> Result<(), String> {
        match &self.switch {
            Some(switch) => switch.set(owner, from, to, rule),
            None => Err("this network has no switch".to_owned()),
        }
    }

    fn clear(&self, owner: &'static str) -> Result<(), String> {
        if let Some(switch) = &self.switch {
            switch.clear(owner);
        }
        Ok(())
    }

    fn counters(&self, from: End, to: End) -> Option<LinkCounters> {
        self.switch.as_ref()?.counters(from, to)
    }
}

/// Joins the nodes by a bridge in the harness's own namespace.
fn bridge(nodes: &[OwnedFd]) -> nix::Result<()> {
    let netlink = Netlink::open()?;
    netlink.up(LOOPBACK_INDEX)?;
    netlink.add_bridge(HARNESS_INTERFACE)?;
    let bridge = if_nametoindex(HARNESS_INTERFACE)?;
    netlink.add_address(bridge, HARNESS_IP, PREFIX_BITS)?;
    for (i, node) in nodes.iter().enumerate() {
        netlink.add_veth(&node_cable(i, node.as_fd()), Some(bridge))?;
        inside(node.as_fd(), || configure(NODE_INTERFACE, node_ip(i)))?;
    }
    Ok(())
}

/// The switch's ends of the cables.
struct Cables {
    /// The namespace in which they lie.
    namespace: OwnedFd,
    /// Their indices: the nodes', then the clients'.
    interfaces: Vec<u32>,
}

impl Cables {
    fn open(&self) -> Result<Vec<Port>, SandboxError> {
        let ports =
            inside(self.namespace.as_fd(), || self.interfaces.iter().map(|&i| Port::open(i)).collect());
        ports.map_err(SandboxError::packet_socket)
    }
}

/// Lays a cable from each node, and one from the clients, to where a switch can take hold of them.
fn cables(nodes: &[OwnedFd]) -> nix::Result<Cables> {
    let (namespace, here) = (new_namespace()?, own_namespace()?);
    let interfaces = inside(namespace.as_fd(), || {
        let netlink = Netlink::open()?;
        let nodes = nodes.iter().enumerate().map(|(i, node)| node_cable(i, node.as_fd()));
        let clients = cable(CLIENTS_NUMBER, HARNESS_INTERFACE, here.as_fd());
        let lay = |cable: Veth<'_>| {
            netlink.add_veth(&cable, None)?;
            if_nametoindex(cable.name.as_str())
        };
        nodes.chain([clients]).map(lay).collect::<nix::Result<Vec<_>>>()
    })?;
    for (i, node) in nodes.iter().enumerate() {
        inside(node.as_fd(), || {
            segment_in_software(NODE_INTERFACE)?;
            configure(NODE_INTERFACE, node_ip(i))
        })?;
    }
    segment_in_software(HARNESS_INTERFACE)?;
    configure(HARNESS_INTERFACE, HARNESS_IP)?;
    Ok(Cables { namespace, interfaces })
}

/// The cable of a node.
fn node_cable(index: usize, network: BorrowedFd<'_>) -> Veth<'_> {
    cable(index as u8 + 1, NODE_INTERFACE, network)
}

fn cable<'a>(number: u8, peer: &'static str, peer_network: BorrowedFd<'a>) -> Veth<'a> {
    Veth { name: format!("n{number}"), peer, peer_network, peer_mac: mac(number) }
}

fn mac(number: u8) -> [u8; 6] {
    let [a, b, c, d, e] = MAC_PREFIX;
    [a, b, c, d, e, number]
}

/// Gives an interface of the calling thread's namespace its address, and starts it.
fn configure(interface: &str, ip: Ipv4Addr) -> nix::Result<()> {
    let netlink = Netlink::open()?;
    netlink.up(LOOPBACK_INDEX)?;
    let interface = if_nametoindex(interface)?;
    netlink.add_address(interface, ip, PREFIX_BITS)?;
    netlink.up(interface)
}

fn own_namespace() -> nix::Result<OwnedFd> {
    let file = File::open("/proc/thread-self/ns/net").map_err(|_| Errno::EIO)?;
    Ok(file.into())
}

/// A new network namespace, made in a thread of its own so that the caller stays where it is.
fn new_namespace() -> nix::Result<OwnedFd> {
    in_thread(|| {
        unshare(CloneFlags::CLONE_NEWNET)?;
        own_namespace()
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
