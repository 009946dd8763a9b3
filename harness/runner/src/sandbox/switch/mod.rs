//! The user-space switch: every packet between nodes, and between clients and nodes, goes through a thread
//! of the harness, which can delay it, lose it, double it, let it overtake, flip a bit of it, or send resets
//! in its place; for each directed link differently, and changed from one packet to the next.
//!
//! Mechanism: packet sockets (packet(7)) on the switch's ends of the nodes' virtual cables. They hand over
//! frames with their offloads (`PACKET_VNET_HDR`), so checksums need not be computed. The switch's ends lie
//! in a network namespace of their own, in which nobody has an address: in the harness's own, the kernel
//! would answer the nodes' ARP requests for the clients' address at the switch's ends, past the switch.
//!
//! Needed are packet sockets and nothing else: no kernel module for disturbances (netem is often missing),
//! no device file, no program. It works without root, in the sandbox's user namespace.
//!
//! A packet here is a packet on the wire: the ends of the cables cut up what the kernel would otherwise hand
//! over in pieces of up to 64 KB (see `offload`), since losing, delaying or reordering such pieces would be
//! something else. That, and the way through user space, costs throughput; so the switch is only there when
//! something asks for it.
//!
//! Proved by `tests/switch`, with real sockets in real namespaces; measured by `benches/fabric.rs`.

mod capture;
mod forward;
mod frame;
mod lane;
mod links;
mod port;
mod ring;
mod rules;

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};
use ordeal_core::{End, LinkCounters, LinkRule};

use self::capture::Capture;
use self::forward::Forwarder;
use self::links::Links;
use super::SandboxError;

pub(super) use self::frame::MAC_PREFIX;
pub(super) use self::links::CLIENTS_NUMBER;
pub(super) use self::port::Port;

/// The owner of what [`ordeal_core::Fabric::cut`] cuts. No fault has such a name.
const CUT: &str = "Fabric::cut";

/// The harness's handle of a running switch, which ends when this is dropped.
#[derive(Debug)]
pub(super) struct Switch {
    links: Arc<Links>,
    stop: EventFd,
    thread: Option<JoinHandle<()>>,
}

impl Switch {
    /// Starts a switch. The ports are those of the nodes, in their order, and then the clients'. Everything
    /// random descends from `seed`; every packet goes into the file `capture`.
    ///
    /// # Errors
    /// What the kernel refused, or why the file cannot be created.
    pub(super) fn start(ports: Vec<Port>, seed: u64, capture: Option<&Path>) -> Result<Self, SandboxError> {
        let capture = capture.map(|path| {
            Capture::create(path).map_err(|error| SandboxError::Capture { path: path.to_owned(), error })
        });
        let capture = capture.transpose()?;
        let links = Arc::new(Links::new(ports.len() - 1));
        let refused = |errno| SandboxError::new("start the switch", errno);
        let stop = EventFd::from_flags(EfdFlags::EFD_CLOEXEC).map_err(refused)?;
        let forwarder = Forwarder::new(ports, Arc::clone(&links), seed, capture, &stop).map_err(refused)?;
        let thread = std::thread::Builder::new().name("ordeal-switch".to_owned());
        let thread = thread.spawn(move || forwarder.run());
        let thread = thread.map_err(|e| refused(e.raw_os_error().map_or(Errno::EAGAIN, Errno::from_raw)))?;
        Ok(Switch { links, stop, thread: Some(thread) })
    }

    pub(super) fn cut(&self, from: usize, to: usize) -> Result<(), String> {
        let rule = LinkRule { cut: true, ..LinkRule::default() };
        self.links.set(CUT, End::Node(from), End::Node(to), rule)
    }

    pub(super) fn mend(&self, from: usize, to: usize) -> Result<(), String> {
        self.links.unset(CUT, End::Node(from), End::Node(to))
    }

    pub(super) fn set(&self, owner: &'static str, from: End, to: End, rule: LinkRule) -> Result<(), String> {
        self.links.set(owner, from, to, rule)
    }

    pub(super) fn clear(&self, owner: &'static str) {
        self.links.clear(owner);
    }

    pub(super) fn counters(&self, from: End, to: End) -> Option<LinkCounters> {
        self.links.counters(from, to)
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        let told = self.stop.write(1).is_ok();
        if let Some(thread) = self.thread.take().filter(|_| told) {
            let _ = thread.join();
        }
    }
}
