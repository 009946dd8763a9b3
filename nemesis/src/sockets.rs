//! The harness's own sockets at every end of every link, with which faults of the network are proved.
//!
//! They are made once, in the nodes' network namespaces and in the clients', so it does not matter whether
//! the nodes themselves run, or how busy they are.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeSpec;
use ordeal_core::{Cluster, End};

use crate::ends::Link;
use crate::netns::{Namespaces, in_each};

/// The port the sockets take if nobody has taken it.
const PORT: u16 = 4774;
/// Room for what arrives while the reading thread does not get the processor.
const BUFFER_BYTES: usize = 4 << 20;
/// No datagram is longer.
const DATAGRAM_BYTES_MAX: usize = 2048;

/// One socket for datagrams at each end.
pub(crate) struct Sockets {
    pub(crate) namespaces: Namespaces,
    /// The nodes', then the clients'.
    sockets: Vec<UdpSocket>,
    addresses: Vec<SocketAddrV4>,
    rounds: AtomicU64,
}

impl Sockets {
    /// Makes the sockets. Must be called in the clients' network namespace.
    pub(crate) fn open(cluster: &dyn Cluster) -> Result<Self, String> {
        let spec = cluster.spec();
        let fail = |e: std::io::Error| format!("no probe socket: {e}");
        let namespaces = Namespaces::of(cluster).map_err(fail)?;
        let mut sockets = in_each(cluster, |node| open_one(spec.nodes[node].ip).map_err(fail))?;
        sockets.push(open_one(spec.clients).map_err(|e| format!("clients: {}", fail(e)))?);
        let (sockets, addresses) = sockets.into_iter().unzip();
        Ok(Sockets { namespaces, sockets, addresses, rounds: AtomicU64::new(0) })
    }

    /// How many nodes there are.
    pub(crate) fn nodes(&self) -> usize {
        self.sockets.len() - 1
    }

    /// The address of an end.
    pub(crate) fn ip(&self, end: End) -> Ipv4Addr {
        *self.addresses[self.index(end)].ip()
    }

    /// A number that no round had before: datagrams carry it, so that a late one of an earlier round is not
    /// taken for one of this.
    pub(crate) fn next_round(&self) -> u64 {
        self.rounds.fetch_add(1, Ordering::Relaxed)
    }

    /// A datagram the kernel refuses to send is one that does not arrive; nothing else is to be known.
    pub(crate) fn send(&self, (from, to): Link, datagram: &[u8]) {
        _ = self.sockets[self.index(from)].send_to(datagram, self.addresses[self.index(to)]);
    }

    /// Waits for something to arrive, not past the deadline, and takes in all there is.
    pub(crate) fn receive_until(
        &self,
        deadline: Instant,
        mut take: impl FnMut(Link, &[u8]),
    ) -> Result<(), String> {
        let mut ready: Vec<PollFd> =
            self.sockets.iter().map(|s| PollFd::new(s.as_fd(), PollFlags::POLLIN)).collect();
        let wait = TimeSpec::from_duration(deadline.saturating_duration_since(Instant::now()));
        match ppoll(&mut ready, Some(wait), None) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(e) => return Err(format!("cannot wait for probe datagrams: {e}")),
        }
        let arrived: Vec<bool> = ready.iter().map(|fd| fd.any().unwrap_or(true)).collect();
        for (to, socket) in self.sockets.iter().enumerate().filter(|(to, _)| arrived[*to]) {
            let mut datagram = [0; DATAGRAM_BYTES_MAX];
            loop {
                match socket.recv_from(&mut datagram) {
                    Ok((length, SocketAddr::V4(source))) => {
                        if let Some(from) = self.addresses.iter().position(|a| *a == source) {
                            take((self.end(from), self.end(to)), &datagram[..length]);
                        }
                    }
                    Ok(_) => {}
                    Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                    // A rejected datagram of ours may be reported on the socket that sent it.
                    Err(e) if matches!(e.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionRefused) => {}
                    Err(e) => return Err(format!("cannot receive probe datagrams: {e}")),
                }
            }
        }
        Ok(())
    }

    fn index(&self, end: End) -> usize {
        match end {
            End::Node(node) => node,
            End::Clients => self.nodes(),
        }
    }

    fn end(&self, index: usize) -> End {
        if index == self.nodes() { End::Clients } else { End::Node(index) }
    }
}

/// Does work that waits for packets on a thread of its own: the clients' thread must not wait with it.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.map_err(|e| e.to_string())?
}

/// Must be called in the network namespace in which it is to be.
fn open_one(ip: Ipv4Addr) -> std::io::Result<(UdpSocket, SocketAddrV4)> {
    let socket = UdpSocket::bind((ip, PORT)).or_else(|_| UdpSocket::bind((ip, 0)))?;
    socket.set_nonblocking(true)?;
    // Only the administrator of the network may ask for more than the usual; less will mostly do.
    let forced = setsockopt(&socket, sockopt::RcvBufForce, &BUFFER_BYTES);
    _ = forced.or_else(|_| setsockopt(&socket, sockopt::RcvBuf, &BUFFER_BYTES));
    let port = socket.local_addr()?.port();
    Ok((socket, SocketAddrV4::new(ip, port)))
}

#[cfg(test)]
impl Sockets {
    /// Sockets on the loopback interface, between which everything passes.
    pub(crate) fn on_loopback(nodes: u8) -> Self {
        let own = || std::fs::File::open("/proc/thread-self/ns/net").unwrap().into();
        let (sockets, addresses) =
            (1..=nodes + 1).map(|end| open_one(Ipv4Addr::new(127, 0, 77, end)).unwrap()).unzip();
        let namespaces = Namespaces::for_tests((0..nodes).map(|_| own()).collect(), own());
        Sockets { namespaces, sockets, addresses, rounds: AtomicU64::new(0) }
    }

    /// What is sent to this end goes there instead.
    pub(crate) fn divert(&mut self, to: End, address: SocketAddrV4) -> SocketAddrV4 {
        let index = self.index(to);
        std::mem::replace(&mut self.addresses[index], address)
    }
}
