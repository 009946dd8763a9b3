//! Sockets at the ends of a network, and what tests do with them.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};
use ordeal_core::{End, Fabric, LinkCounters, LinkRule, Rng};
use ordeal_runner::sandbox::{HARNESS_IP, Network, Wiring, node_ip};

/// The longest wait for anything.
pub(crate) const BOUND: Duration = Duration::from_secs(20);
pub(crate) const A: End = End::Node(0);
pub(crate) const B: End = End::Node(1);
pub(crate) const C: End = End::Node(2);
pub(crate) const CLIENTS: End = End::Clients;

/// A network of three nodes and clients, joined by a switch.
pub(crate) struct Net(pub(crate) Network);

impl Net {
    pub(crate) fn new() -> Self {
        Net::with(1, None)
    }

    pub(crate) fn with(seed: u64, capture: Option<PathBuf>) -> Self {
        let net = Net(Network::build(3, &Wiring::Switch { seed, capture }).unwrap());
        // All ends know their neighbours: the kernel sends what waited for an ARP reply in any order.
        for (from, to) in pairs() {
            assert!(net.reaches(from, to), "{from:?} to {to:?}");
        }
        net
    }

    pub(crate) fn set(&self, from: End, to: End, rule: LinkRule) {
        self.0.set("test", from, to, rule).unwrap();
    }

    pub(crate) fn both_ways(&self, a: End, b: End, rule: &LinkRule) {
        self.set(a, b, rule.clone());
        self.set(b, a, rule.clone());
    }

    pub(crate) fn clear(&self) {
        self.0.clear("test").unwrap();
    }

    /// The counters of a link, but for the first datagram of all.
    pub(crate) fn counters(&self, from: End, to: End) -> LinkCounters {
        let counters = self.0.counters(from, to).unwrap();
        LinkCounters { packets: counters.packets - 1, ..counters }
    }

    /// Does something where `end` is.
    fn at<T: Send>(&self, end: End, act: impl FnOnce() -> T + Send) -> T {
        let End::Node(node) = end else { return act() };
        let there = || {
            setns(self.0.node(node), CloneFlags::CLONE_NEWNET).unwrap();
            act()
        };
        std::thread::scope(|scope| scope.spawn(there).join().unwrap())
    }

    pub(crate) fn udp(&self, end: End) -> UdpSocket {
        let socket = self.at(end, || UdpSocket::bind((ip(end), 0)).unwrap());
        socket.set_read_timeout(Some(BOUND)).unwrap();
        socket
    }

    pub(crate) fn listen(&self, end: End) -> TcpListener {
        self.at(end, || TcpListener::bind((ip(end), 0)).unwrap())
    }

    /// Both ends of a new connection.
    pub(crate) fn connect(&self, from: End, to: End) -> (TcpStream, TcpStream) {
        let listener = self.listen(to);
        let address = listener.local_addr().unwrap();
        let ours = self.at(from, || TcpStream::connect_timeout(&address, BOUND).unwrap());
        let (theirs, _) = listener.accept().unwrap();
        for stream in [&ours, &theirs] {
            stream.set_nodelay(true).unwrap();
            stream.set_read_timeout(Some(BOUND)).unwrap();
        }
        (ours, theirs)
    }

    /// Sends so many numbered datagrams along a link, each with `bytes` bytes, and gives back all that
    /// arrived, in their order. The switch's own counters say how many to wait for.
    pub(crate) fn datagrams(&self, from: End, to: End, count: u64, bytes: usize) -> Vec<Vec<u8>> {
        let (sender, receiver) = (self.udp(from), self.udp(to));
        let address = receiver.local_addr().unwrap();
        let before = self.counters(from, to);
        let mut arrived = Vec::new();
        let mut buffer = [0; 2_048];
        for first in (0..count).step_by(50) {
            let batch = first..count.min(first + 50);
            let sent = batch.end;
            for number in batch {
                sender.send_to(&datagram(number, bytes), address).unwrap();
            }
            until("the switch has seen them", || self.counters(from, to).packets - before.packets == sent);
            let now = self.counters(from, to);
            let lost = now.dropped - before.dropped;
            // What arrives corrupt, the kernel drops; those tests count for themselves.
            let expected = sent - lost + now.duplicated - before.duplicated;
            while (arrived.len() as u64) < expected {
                let Ok(length) = receiver.recv(&mut buffer) else {
                    panic!("{} of {expected} arrived: {:?}", arrived.len(), self.counters(from, to));
                };
                arrived.push(buffer[..length].to_vec());
            }
        }
        arrived
    }

    /// Whether a datagram arrives within a fifth of a second.
    pub(crate) fn reaches(&self, from: End, to: End) -> bool {
        let (sender, receiver) = (self.udp(from), self.udp(to));
        receiver.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        sender.send_to(b"there?", receiver.local_addr().unwrap()).unwrap();
        receiver.recv(&mut [0; 16]).is_ok()
    }

    /// The shortest of so many round trips of one byte over TCP.
    pub(crate) fn round_trip(&self, from: End, to: End, times: u32) -> Duration {
        let (mut ours, mut theirs) = self.connect(from, to);
        let mut byte = [7];
        let trips = (0..times).map(|_| {
            let start = Instant::now();
            ours.write_all(&byte).unwrap();
            theirs.read_exact(&mut byte).unwrap();
            theirs.write_all(&byte).unwrap();
            ours.read_exact(&mut byte).unwrap();
            start.elapsed()
        });
        trips.min().unwrap()
    }

    /// Sends so many random bytes over a connection; true if the very same arrive.
    pub(crate) fn transfers(&self, from: End, to: End, bytes: usize) -> bool {
        let (mut ours, mut theirs) = self.connect(from, to);
        let mut rng = Rng::new(bytes as u64);
        let data: Vec<u8> = (0..bytes.div_ceil(8)).flat_map(|_| rng.next_u64().to_ne_bytes()).collect();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                ours.write_all(&data).unwrap();
                ours.shutdown(std::net::Shutdown::Write).unwrap();
            });
            let mut arrived = Vec::new();
            theirs.read_to_end(&mut arrived).unwrap();
            arrived == data
        })
    }
}

/// All directed links.
pub(crate) fn pairs() -> impl Iterator<Item = (End, End)> {
    let ends = [A, B, C, CLIENTS];
    ends.into_iter().flat_map(move |from| ends.map(|to| (from, to))).filter(|(from, to)| from != to)
}

fn ip(end: End) -> Ipv4Addr {
    match end {
        End::Node(node) => node_ip(node),
        End::Clients => HARNESS_IP,
    }
}

/// A datagram whose bytes all follow from its number.
pub(crate) fn datagram(number: u64, bytes: usize) -> Vec<u8> {
    let mut rng = Rng::new(number);
    let rest = std::iter::repeat_with(|| rng.next_u64() as u8).take(bytes - 8);
    number.to_be_bytes().into_iter().chain(rest).collect()
}

pub(crate) fn numbers(datagrams: &[Vec<u8>]) -> Vec<u64> {
    datagrams.iter().map(|d| u64::from_be_bytes(d[..8].try_into().unwrap())).collect()
}

/// How often each occurs.
pub(crate) fn tally(numbers: &[u64]) -> BTreeMap<u64, usize> {
    numbers.iter().fold(BTreeMap::new(), |mut tally, &number| {
        *tally.entry(number).or_default() += 1;
        tally
    })
}

pub(crate) fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + BOUND;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Whether `count` is what so many tries of chance `p` may well give: within six standard deviations.
pub(crate) fn likely(count: u64, tries: u64, p: f64) -> bool {
    let (mean, deviation) = (tries as f64 * p, (tries as f64 * p * (1.0 - p)).sqrt());
    (count as f64 - mean).abs() <= 6.0 * deviation
}
