//! A port of the switch: a packet socket on the switch's end of a virtual cable (packet(7)).
//!
//! Frames arrive in a ring of slots that the kernel and the switch share (`packet_mmap` in the kernel's
//! networking documentation), which saves a system call for each. What matters more: the ring has room for a
//! slow moment of a busy machine, where the queue of an ordinary socket is limited, without root, to a few
//! dozen packets beyond which packets would be lost that no rule meant to lose.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::unistd::write;

use super::frame::OFFLOAD_BYTES;
use super::ring::{Ring, SLOT_BYTES};

/// A packet socket that hands over whole frames, each with the header that says which offloads it still
/// needs, and never waits.
#[derive(Debug)]
pub(crate) struct Port {
    socket: OwnedFd,
    ring: Ring,
}

impl Port {
    /// A socket on the interface with this index in the calling thread's network namespace.
    pub(crate) fn open(interface: u32) -> nix::Result<Self> {
        let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // SAFETY: the call takes no pointers. Protocol 0: nothing is received before the bind.
        let fd = Errno::result(unsafe { libc::socket(libc::AF_PACKET, kind, 0) })?;
        // SAFETY: the kernel just made this descriptor, and nobody else owns it.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        set(&socket, libc::PACKET_VNET_HDR, 1)?;
        // Only what comes from the cable, not what the kernel itself sends into it.
        set(&socket, libc::PACKET_IGNORE_OUTGOING, 1)?;
        set(&socket, libc::PACKET_QDISC_BYPASS, 1)?;
        let ring = Ring::of(&socket)?;
        bind(&socket, interface)?;
        Ok(Port { socket, ring })
    }

    /// The next frame that waits, in a buffer of [`SLOT_BYTES`]; `None` if none does.
    pub(super) fn receive<'a>(&mut self, buffer: &'a mut [u8; SLOT_BYTES]) -> Option<&'a mut [u8]> {
        let length = self.ring.take(|slot| {
            let frame = slot.bytes(OFFLOAD_BYTES);
            buffer[..frame.len()].copy_from_slice(frame);
            frame.len()
        })?;
        Some(&mut buffer[..length])
    }

    /// Sends a frame. The answer is whether there was room for it at the receiver.
    pub(super) fn send(&self, frame: &[u8]) -> bool {
        write(&self.socket, frame).is_ok()
    }

    /// How many packets found no room, because the switch was too slow for them; asking starts anew.
    pub(super) fn overruns(&self) -> nix::Result<u32> {
        let mut seen = libc::tpacket_stats { tp_packets: 0, tp_drops: 0 };
        let mut size = size_of_val(&seen) as libc::socklen_t;
        let (socket, option) = (self.socket.as_raw_fd(), libc::PACKET_STATISTICS);
        // SAFETY: both pointers are to values of the caller's, and `size` is that of the first.
        let done = unsafe {
            libc::getsockopt(socket, libc::SOL_PACKET, option, (&raw mut seen).cast(), &raw mut size)
        };
        Errno::result(done).map(|_| seen.tp_drops)
    }
}

impl AsFd for Port {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Sets an option of packet sockets to what may be any plain structure.
pub(super) fn set<T: Copy>(socket: &OwnedFd, option: libc::c_int, value: T) -> nix::Result<()> {
    let size = size_of::<T>() as libc::socklen_t;
    // SAFETY: the pointer is to a value of the size given, which lives across the call.
    let done = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_PACKET, option, (&raw const value).cast(), size)
    };
    Errno::result(done).map(drop)
}

fn bind(socket: &OwnedFd, interface: u32) -> nix::Result<()> {
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: (libc::ETH_P_ALL as u16).to_be(),
        sll_ifindex: interface as i32,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let size = size_of_val(&address) as libc::socklen_t;
    // SAFETY: the pointer is to an address of the size given, which lives across the call.
    let done = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size) };
    Errno::result(done).map(drop)
}
