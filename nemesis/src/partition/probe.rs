//! The proof of a partition: a datagram from every node to every other.
//!
//! The sockets are the harness's own, made once in the nodes' network namespaces, so it does not matter
//! whether the nodes themselves run. A round ends when every datagram that should arrive has been seen,
//! and none that should not has been for some time after.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use ordeal_core::{Cluster, Probe};
use serde_json::{Value, json};

use super::shapes::{Cuts, pairs};
use crate::netns;

/// The port the sockets take if the node has not taken it.
const PORT: u16 = 4774;
/// The longest wait for what should arrive.
const ARRIVAL_TIMEOUT: Duration = Duration::from_millis(500);
/// Datagrams not seen yet are sent again this often: a link that has just come back may lose one.
const RESEND_INTERVAL: Duration = Duration::from_millis(50);
/// How long to wait for what should not arrive: far longer than the others took.
const GRACE: Duration = Duration::from_millis(30);
const MAGIC: [u8; 4] = *b"ORDL";

/// One socket a node, for a whole run.
pub(crate) struct Prober {
    sockets: Vec<UdpSocket>,
    addresses: Vec<SocketAddrV4>,
    /// How many rounds were begun; a datagram carries the number, so that a late one of an earlier round
    /// is not taken for one of this.
    rounds: AtomicU64,
}

impl Prober {
    /// Makes the sockets.
    pub(crate) fn open(cluster: &dyn Cluster) -> Result<Self, String> {
        let nodes = &cluster.spec().nodes;
        let sockets = netns::in_each(cluster, |node| {
            open_one(nodes[node].ip).map_err(|e| format!("no probe socket: {e}"))
        })?;
        let (sockets, addresses) = sockets.into_iter().unzip();
        Ok(Prober { sockets, addresses, rounds: AtomicU64::new(0) })
    }

    /// One round. Blocks for about as long as the slowest datagram takes, and a grace if anything is cut.
    pub(crate) fn round(&self, cuts: &Cuts) -> Result<Probe, String> {
        let round = self.rounds.fetch_add(1, Ordering::Relaxed);
        let all = || pairs(self.sockets.len());
        let expected: Cuts = all().filter(|pair| !cuts.contains(pair)).collect();
        let mut seen = Cuts::new();
        let start = Instant::now();
        let mut resend = start;
        loop {
            if Instant::now() >= resend {
                for pair in all().filter(|pair| !seen.contains(pair)) {
                    self.send(round, pair);
                }
                resend += RESEND_INTERVAL;
            }
            self.receive_until(round, resend.min(start + ARRIVAL_TIMEOUT), &mut seen)?;
            if seen.is_superset(&expected) || start.elapsed() >= ARRIVAL_TIMEOUT {
                break;
            }
        }
        let arrived_us = start.elapsed().as_micros() as u64;
        let grace = Instant::now() + GRACE;
        while !cuts.is_empty() && Instant::now() < grace {
            self.receive_until(round, grace, &mut seen)?;
        }
        Ok(Probe { proved: seen == expected, seen: report(&seen, cuts, self.sockets.len(), arrived_us) })
    }

    /// A datagram the kernel refuses to send is one that does not arrive; nothing else is to be known.
    fn send(&self, round: u64, (from, to): (usize, usize)) {
        _ = self.sockets[from].send_to(&encode(round, from, to), self.addresses[to]);
    }

    /// Waits for something to arrive, not past the deadline, and takes in all there is.
    fn receive_until(
        &self,
        round: u64,
        deadline: Instant,
        seen: &mut BTreeSet<(usize, usize)>,
    ) -> Result<(), String> {
        let mut ready: Vec<PollFd> =
            self.sockets.iter().map(|s| PollFd::new(s.as_fd(), PollFlags::POLLIN)).collect();
        // Rounded up, so that the last fraction of a millisecond is not spun away.
        let wait_ms = deadline.saturating_duration_since(Instant::now()).as_micros().div_ceil(1000);
        match poll(&mut ready, PollTimeout::try_from(wait_ms).unwrap_or(PollTimeout::MAX)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(e) => return Err(format!("cannot wait for probe datagrams: {e}")),
        }
        for (to, socket) in self.sockets.iter().enumerate() {
            let mut datagram = [0; 32];
            loop {
                match socket.recv_from(&mut datagram) {
                    Ok((length, SocketAddr::V4(source))) => {
                        let from = self.addresses.iter().position(|a| *a == source);
                        if let Some(from) = from.filter(|&from| datagram[..length] == encode(round, from, to))
                        {
                            seen.insert((from, to));
                        }
                    }
                    Ok(_) => {}
                    Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                    Err(e) if e.kind() == ErrorKind::Interrupted => {}
                    Err(e) => return Err(format!("cannot receive probe datagrams: {e}")),
                }
            }
        }
        Ok(())
    }
}

/// Must be called in the node's network namespace.
fn open_one(ip: std::net::Ipv4Addr) -> std::io::Result<(UdpSocket, SocketAddrV4)> {
    let socket = UdpSocket::bind((ip, PORT)).or_else(|_| UdpSocket::bind((ip, 0)))?;
    socket.set_nonblocking(true)?;
    let port = socket.local_addr()?.port();
    Ok((socket, SocketAddrV4::new(ip, port)))
}

fn encode(round: u64, from: usize, to: usize) -> [u8; 16] {
    let mut datagram = [0; 16];
    datagram[..4].copy_from_slice(&MAGIC);
    datagram[4..12].copy_from_slice(&round.to_be_bytes());
    datagram[12..14].copy_from_slice(&(from as u16).to_be_bytes());
    datagram[14..].copy_from_slice(&(to as u16).to_be_bytes());
    datagram
}

/// What was seen, with the links as a plan names them. What should not be is only there if it is.
fn report(seen: &Cuts, cuts: &Cuts, nodes: usize, arrived_us: u64) -> Value {
    let blocked: Cuts = pairs(nodes).filter(|pair| !seen.contains(pair)).collect();
    let mut report = json!({ "passed": seen.len(), "blocked": blocked, "arrived_us": arrived_us });
    let lost: Cuts = blocked.difference(cuts).copied().collect();
    let leaked: Cuts = seen.intersection(cuts).copied().collect();
    for (name, links) in [("lost", lost), ("leaked", leaked)] {
        if !links.is_empty() {
            report[name] = json!(links);
        }
    }
    report
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    /// Sockets on the loopback interface, between which everything passes.
    fn prober(nodes: u8) -> Prober {
        let (sockets, addresses) =
            (1..=nodes).map(|node| open_one(Ipv4Addr::new(127, 0, 77, node)).unwrap()).unzip();
        Prober { sockets, addresses, rounds: AtomicU64::new(0) }
    }

    #[test]
    fn where_everything_passes_nothing_is_proved_but_that() {
        let prober = prober(3);
        let whole = prober.round(&Cuts::new()).unwrap();
        assert!(whole.proved);
        assert_eq!(whole.seen["passed"], 6);
        let cut = prober.round(&Cuts::from([(0, 1)])).unwrap();
        assert!(!cut.proved);
        assert_eq!(cut.seen["leaked"], json!([[0, 1]]));
        assert!(prober.round(&Cuts::new()).unwrap().proved, "what leaked late does not spoil the next round");
    }

    #[test]
    fn what_does_not_arrive_is_lost_unless_it_was_cut() {
        let mut prober = prober(2);
        // Datagrams to the second node go astray.
        prober.addresses[1].set_port(9);
        let seen = prober.round(&Cuts::new()).unwrap();
        assert!(!seen.proved);
        assert_eq!(seen.seen["blocked"], json!([[0, 1], [1, 0]]), "its own come from an unknown address");
        assert_eq!(seen.seen["lost"], json!([[0, 1], [1, 0]]));
    }
}
