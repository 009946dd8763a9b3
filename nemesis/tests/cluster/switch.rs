//! A switch for tests that does on request what [`LinkRule`] says: simple, slow, and written from the
//! contract alone, so that the faults' probes are tried against something that knows nothing of them.
//!
//! One packet socket sees what arrives at the switch's ends of all links. Each packet is preceded by the
//! kernel's own header about its checksum, which is passed on: so large packets and those without a checksum
//! yet are carried as they are, and one whose header is wiped out arrives with a wrong checksum.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::sockopt::SetBool;
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, recvfrom, sendto, setsockopt, socket,
};
use nix::sys::time::TimeSpec;
use nix::{libc, setsockopt_impl};
use ordeal_core::{End, LinkCounters, LinkRule, Rng};

use super::inside;

#[derive(Clone, Copy)]
struct VnetHeader;
#[derive(Clone, Copy)]
struct IgnoreOutgoing;
setsockopt_impl!(VnetHeader, libc::SOL_PACKET, libc::PACKET_VNET_HDR, bool, SetBool);
setsockopt_impl!(IgnoreOutgoing, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, bool, SetBool);

/// The kernel's header (linux/virtio_net.h), then Ethernet's, then IP's.
const KERNEL: usize = 10;
const IP: usize = KERNEL + 14;
const TRANSPORT: usize = IP + 20;

/// A packet: when it is due, which it is, where it goes.
type Waiting = (Instant, u64, usize, Vec<u8>);
type Rules = BTreeMap<(&'static str, End, End), (LinkRule, Instant)>;

/// What the switch and the cluster share.
#[derive(Default)]
pub(crate) struct Control {
    pub(crate) rules: Mutex<Rules>,
    pub(crate) counters: Mutex<BTreeMap<(End, End), LinkCounters>>,
}

/// Starts switching between these interfaces of a network namespace.
pub(crate) fn start(network: &OwnedFd, ports: Vec<(String, End)>) -> Arc<Control> {
    let control = Arc::new(Control::default());
    let (socket, ports) = inside(network.as_fd(), || {
        let socket =
            socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_NONBLOCK, SockProtocol::EthAll);
        let socket = socket.expect("a packet socket");
        setsockopt(&socket, VnetHeader, &true).expect("headers");
        setsockopt(&socket, IgnoreOutgoing, &true).expect("only what arrives");
        let interfaces: Vec<_> = nix::ifaddrs::getifaddrs().expect("interfaces").collect();
        let address = |name: &str| {
            let named = interfaces.iter().filter(|i| i.interface_name == name);
            let mut links = named.filter_map(|i| i.address.as_ref()?.as_link_addr().copied());
            links.next().expect("the interface")
        };
        let ports: Vec<Port> =
            ports.into_iter().map(|(name, end)| Port { end, address: address(&name) }).collect();
        (socket, ports)
    });
    let shared = Arc::clone(&control);
    let switch = Switch {
        socket,
        ports,
        control: shared,
        waiting: BinaryHeap::new(),
        free_at: BTreeMap::new(),
        rng: Rng::new(1),
        sent: 0,
    };
    std::thread::spawn(move || switch.run());
    control
}

struct Port {
    end: End,
    address: LinkAddr,
}

struct Switch {
    socket: OwnedFd,
    ports: Vec<Port>,
    control: Arc<Control>,
    /// By time, then in order.
    waiting: BinaryHeap<Reverse<Waiting>>,
    /// When a limited link is free again.
    free_at: BTreeMap<(&'static str, End, End), Instant>,
    rng: Rng,
    sent: u64,
}

impl Switch {
    fn run(mut self) {
        let mut buffer = vec![0; 70_000];
        loop {
            let next = self.waiting.peek().map(|Reverse(packet)| packet.0);
            let wait = next.map_or(Duration::from_secs(1), |at| at.saturating_duration_since(Instant::now()));
            let mut ready = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
            ppoll(&mut ready, Some(TimeSpec::from_duration(wait)), None).expect("poll");
            while let Ok((length, Some(source))) = recvfrom::<LinkAddr>(self.socket.as_raw_fd(), &mut buffer)
            {
                self.release();
                let from = self.ports.iter().position(|port| port.address.ifindex() == source.ifindex());
                if let Some(from) = from.filter(|_| length > IP) {
                    let packet = buffer[..length].to_vec();
                    self.forward(from, &packet);
                }
            }
            self.release();
        }
    }

    /// Sends what is due.
    fn release(&mut self) {
        let now = Instant::now();
        while self.waiting.peek().is_some_and(|Reverse(packet)| packet.0 <= now) {
            let Some(Reverse((_, _, to, packet))) = self.waiting.pop() else { return };
            let address = &self.ports[to].address;
            // A full queue is one more way to lose a packet.
            _ = sendto(self.socket.as_raw_fd(), &packet, address, MsgFlags::empty());
        }
    }

    /// The last byte of a hardware address is the node's number, from 1; clients are 254.
    fn forward(&mut self, from: usize, packet: &[u8]) {
        for to in (0..self.ports.len()).filter(|&to| to != from) {
            let number = match self.ports[to].end {
                End::Node(node) => node as u8 + 1,
                End::Clients => 254,
            };
            let meant = packet[KERNEL] & 1 == 1 || packet[KERNEL + 5] == number;
            if meant && packet[KERNEL + 12..IP] == [8, 0] {
                self.apply(from, to, packet.to_vec());
            } else if meant {
                self.wait(Instant::now(), to, packet.to_vec());
            }
        }
    }

    fn wait(&mut self, at: Instant, to: usize, packet: Vec<u8>) {
        self.sent += 1;
        self.waiting.push(Reverse((at, self.sent, to, packet)));
    }

    fn apply(&mut self, from: usize, to: usize, mut packet: Vec<u8>) {
        let now = Instant::now();
        let ends = (self.ports[from].end, self.ports[to].end);
        let control = Arc::clone(&self.control);
        let rules = control.rules.lock().expect("not poisoned");
        let mut counters = control.counters.lock().expect("not poisoned");
        let counters = counters.entry(ends).or_default();
        counters.packets += 1;
        let (mut at, mut copies) = (now, 1);
        let (mut first, mut wait_us, mut overtaken_us) = (false, 0, 0);
        for (&key, (rule, since)) in rules.iter().filter(|(key, _)| (key.1, key.2) == ends) {
            let age_us = now.duration_since(*since).as_micros() as u64;
            let down = rule.flap_us.is_some_and(|turn_us| (age_us / turn_us).is_multiple_of(2));
            if rule.cut || down || self.rng.chance(rule.loss) {
                counters.dropped += 1;
                return;
            }
            if self.rng.chance(rule.reset) && has_tcp_data(&packet) {
                counters.reset += 1;
                let (onward, back) = resets(&packet);
                self.wait(now, to, onward);
                return self.wait(now, from, back);
            }
            if self.rng.chance(rule.corrupt) {
                counters.corrupted += 1;
                let last = packet.len() - 1;
                let byte = self.rng.between((TRANSPORT + 8).min(last) as u64, last as u64) as usize;
                packet[byte] ^= 1 << self.rng.below(8);
                if !rule.corrupt_undetected {
                    packet[..KERNEL].fill(0);
                }
            }
            let jitter_us = rule.jitter_us.min(rule.delay_us);
            let scatter_us = if jitter_us > 0 { self.rng.below(2 * jitter_us + 1) } else { 0 };
            first |= self.rng.chance(rule.reorder);
            overtaken_us = overtaken_us.max(rule.reorder_us);
            wait_us += rule.delay_us - jitter_us + scatter_us;
            if let Some(full_bps) = rule.rate_bps {
                let part = if rule.ramp_us > 0 { age_us as f64 / rule.ramp_us as f64 } else { 1.0 };
                let bps = full_bps as f64 * part.clamp(0.01, 1.0);
                let free = self.free_at.get(&key).copied().unwrap_or(now).max(now);
                if free > now + Duration::from_millis(200) {
                    counters.dropped += 1;
                    return;
                }
                let bits = (packet.len() - KERNEL) as f64 * 8.0;
                let done = free + Duration::from_secs_f64(bits / bps);
                self.free_at.insert(key, done);
                at = at.max(done);
            }
            copies += usize::from(self.rng.chance(rule.duplicate));
        }
        // Who overtakes waits for nothing, whatever else delays.
        if !first {
            at += Duration::from_micros(wait_us.max(overtaken_us));
        }
        counters.delayed += u64::from(at > now);
        counters.duplicated += copies as u64 - 1;
        for _ in 0..copies {
            self.wait(at, to, packet.clone());
        }
    }
}

fn has_tcp_data(packet: &[u8]) -> bool {
    let header = || TRANSPORT + usize::from(packet[TRANSPORT + 12] >> 4) * 4;
    packet[IP + 9] == 6 && packet.len() > TRANSPORT + 20 && packet.len() > header()
}

/// What both ends get in place of a segment: the receiver in its sender's name, the sender in the receiver's.
fn resets(packet: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let make = |swap: bool| {
        let mut reset = packet[..TRANSPORT + 20].to_vec();
        let tcp = TRANSPORT;
        if swap {
            for (at, length) in [(KERNEL, 6), (IP + 12, 4), (tcp, 2)] {
                let (a, b) = reset[at..at + 2 * length].split_at_mut(length);
                a.swap_with_slice(b);
            }
            // What the sender waits for next is what it last acknowledged.
            reset.copy_within(tcp + 8..tcp + 12, tcp + 4);
        }
        reset[tcp + 12] = 5 << 4;
        reset[tcp + 13] = 0x04;
        reset[IP + 2..IP + 4].copy_from_slice(&40_u16.to_be_bytes());
        reset[IP + 10..IP + 12].fill(0);
        let inverted = !sum(&reset[IP..tcp], 0);
        reset[IP + 10..IP + 12].copy_from_slice(&inverted.to_be_bytes());
        reset[tcp + 16..tcp + 18].fill(0);
        let inverted = !sum(&reset[tcp..], u32::from(sum(&reset[IP + 12..tcp], 6 + 20)));
        reset[tcp + 16..tcp + 18].copy_from_slice(&inverted.to_be_bytes());
        reset[..KERNEL].fill(0);
        reset
    };
    (make(false), make(true))
}

/// The internet checksum (RFC 1071), not yet inverted.
fn sum(bytes: &[u8], begin: u32) -> u16 {
    let words =
        bytes.chunks(2).map(|two| u32::from(two[0]) << 8 | u32::from(two.get(1).copied().unwrap_or(0)));
    let mut sum = words.fold(begin, |sum, word| sum + word);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}
