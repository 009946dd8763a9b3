//! Bursts of numbered, stamped datagrams, and what became of them on each link.
//!
//! Everything that tells one datagram from another stands in it twice, at the head and at the end, each time
//! with a checksum, so that a single flipped bit does not make it unknown; what lies between is known.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::ends::Link;
use crate::sockets::Sockets;

const MAGIC: [u8; 4] = *b"ORLK";
const HEADER_BYTES: usize = 28;
/// The shortest datagram: two headers.
pub(crate) const DATAGRAM_BYTES: usize = 2 * HEADER_BYTES;
/// What a datagram is longer by on the wire: Ethernet, IP and UDP headers.
pub(crate) const WIRE_BYTES: u64 = 42;

/// How far behind a burst may be and still send faster to make up for it.
const CATCH_UP: Duration = Duration::from_millis(3);

/// What is sent over each link.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Burst {
    /// How many datagrams.
    pub(crate) count: u64,
    /// From the first to the last.
    pub(crate) spread: Duration,
    /// Each one's length without headers.
    pub(crate) bytes: usize,
    /// How long to wait for what has not arrived, after the last.
    pub(crate) wait: Duration,
}

/// A datagram that arrived, for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// Its number on its link.
    pub(crate) number: u64,
    /// When it was sent and when it arrived, from the begin of the trial.
    pub(crate) sent_us: u64,
    pub(crate) at_us: u64,
}

/// What became of the datagrams of one link.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// When each was sent.
    pub(crate) sent_us: Vec<u64>,
    /// In order of arrival.
    pub(crate) arrivals: Vec<Arrival>,
    /// Arrived once more.
    pub(crate) copies: u64,
    /// Arrived with content that was not sent.
    pub(crate) broken: u64,
    /// Of those, how many cannot be told any more.
    pub(crate) unknown: u64,
    /// The length of all on the wire that arrived.
    pub(crate) bytes: u64,
    /// Packets that the receiver's kernel refused for their checksum meanwhile, on whichever link.
    pub(crate) refused: u64,
    /// TCP segments sent, and how many of them ended their connection.
    pub(crate) segments: u64,
    pub(crate) resets: u64,
    /// Why TCP could not be tried.
    pub(crate) no_connection: Option<String>,
    pub(crate) arrived: BTreeSet<u64>,
}

impl Seen {
    /// Adds what was seen in a later burst, as if it had followed at once.
    pub(crate) fn join(&mut self, later: Seen) {
        let offset = self.sent();
        // Each burst counts its time from its own begin.
        let arrived_us = self.arrivals.iter().map(|arrival| arrival.at_us);
        let end_us = arrived_us.chain(self.sent_us.last().copied()).max().unwrap_or_default();
        self.sent_us.extend(later.sent_us.into_iter().map(|us| us + end_us));
        let moved = |a: Arrival| Arrival {
            number: a.number + offset,
            sent_us: a.sent_us + end_us,
            at_us: a.at_us + end_us,
        };
        self.arrivals.extend(later.arrivals.into_iter().map(moved));
        self.arrived.extend(later.arrived.into_iter().map(|number| number + offset));
        self.copies += later.copies;
        self.broken += later.broken;
        self.unknown += later.unknown;
        self.bytes += later.bytes;
    }

    pub(crate) fn sent(&self) -> u64 {
        self.sent_us.len() as u64
    }

    pub(crate) fn arrived(&self) -> u64 {
        self.arrivals.len() as u64
    }

    pub(crate) fn lost(&self) -> u64 {
        self.sent().saturating_sub(self.arrived() + self.unknown)
    }

    /// How many arrived before one that was sent earlier.
    pub(crate) fn overtakers(&self) -> u64 {
        let mut earliest = u64::MAX;
        let mut overtakers = 0;
        for arrival in self.arrivals.iter().rev() {
            overtakers += u64::from(arrival.number > earliest);
            earliest = earliest.min(arrival.number);
        }
        overtakers
    }

    /// How long each took, in ascending order.
    pub(crate) fn delays_us(&self) -> Vec<u64> {
        let mut delays: Vec<u64> = self.arrivals.iter().map(|a| a.at_us - a.sent_us).collect();
        delays.sort_unstable();
        delays
    }

    /// The longest time during which nothing that was sent arrived, but something sent later did; and how
    /// long nothing has arrived at the end.
    pub(crate) fn outages_us(&self) -> (u64, u64) {
        let (mut longest, mut open) = (0, 0);
        let mut since: Option<u64> = None;
        for (number, &sent_us) in self.sent_us.iter().enumerate() {
            let outage = sent_us - *since.get_or_insert(sent_us);
            if self.arrived.contains(&(number as u64)) {
                longest = longest.max(outage);
                (since, open) = (None, 0);
            } else {
                open = outage;
            }
        }
        (longest, open)
    }
}

/// Sends over some links, and gathers what arrives.
pub(crate) struct Trial<'a> {
    sockets: &'a Sockets,
    round: u64,
    start: Instant,
    pub(crate) seen: BTreeMap<Link, Seen>,
}

impl<'a> Trial<'a> {
    pub(crate) fn new(sockets: &'a Sockets, links: impl IntoIterator<Item = Link>) -> Self {
        let seen = links.into_iter().map(|link| (link, Seen::default())).collect();
        Trial { sockets, round: sockets.next_round(), start: Instant::now(), seen }
    }

    /// Sends a burst over each of these links at the same time, until `enough` is seen, and waits for what is
    /// on its way.
    pub(crate) fn fire(
        &mut self,
        links: &[(Link, Burst)],
        enough: impl Fn(&BTreeMap<Link, Seen>) -> bool,
    ) -> Result<(), String> {
        let begin = Instant::now();
        let spacing = |burst: &Burst| burst.spread.div_f64(burst.count.max(1) as f64);
        let mut next: Vec<(Instant, u64)> = links.iter().map(|_| (begin, 0)).collect();
        let mut last = begin;
        while let Some(due) = next.iter().zip(links).filter(|(n, l)| n.1 < l.1.count).map(|(n, _)| n.0).min()
        {
            let now = Instant::now();
            if now < due {
                self.receive_until(due)?;
                if enough(&self.seen) {
                    break;
                }
                continue;
            }
            for ((at, sent), (link, burst)) in next.iter_mut().zip(links) {
                if *sent < burst.count && *at <= now {
                    self.send(*link, burst.bytes);
                    *sent += 1;
                    // Who is very late does not make up for it: a crowd would be lost for other reasons.
                    *at = (*at + spacing(burst)).max(now.checked_sub(CATCH_UP).unwrap_or(now));
                    last = Instant::now() + burst.wait;
                }
            }
            // What is late must not be read late as well.
            self.receive_until(now)?;
        }
        while Instant::now() < last && !self.complete(links) {
            self.receive_until(last)?;
        }
        Ok(())
    }

    fn complete(&self, links: &[(Link, Burst)]) -> bool {
        links.iter().all(|(link, _)| self.seen.get(link).is_none_or(|seen| seen.lost() == 0))
    }

    fn send(&mut self, link: Link, bytes: usize) {
        let Some(seen) = self.seen.get_mut(&link) else { return };
        let sent_us = self.start.elapsed().as_micros() as u64;
        let header = Header { round: self.round, number: seen.sent_us.len() as u32, sent_us };
        seen.sent_us.push(sent_us);
        self.sockets.send(link, &header.datagram(bytes));
    }

    fn receive_until(&mut self, deadline: Instant) -> Result<(), String> {
        let (round, start, seen) = (self.round, self.start, &mut self.seen);
        self.sockets.receive_until(deadline, |link, datagram| {
            let at_us = start.elapsed().as_micros() as u64;
            if let Some(seen) = seen.get_mut(&link) {
                take(seen, round, datagram, at_us);
            }
        })
    }
}

/// Takes in one datagram.
fn take(seen: &mut Seen, round: u64, datagram: &[u8], at_us: u64) {
    let Some(header) = Header::of(datagram) else {
        seen.broken += 1;
        seen.unknown += 1;
        return;
    };
    if header.round != round || u64::from(header.number) >= seen.sent() {
        return;
    }
    seen.broken += u64::from(header.datagram(datagram.len()) != datagram);
    if !seen.arrived.insert(u64::from(header.number)) {
        seen.copies += 1;
        return;
    }
    seen.bytes += datagram.len() as u64 + WIRE_BYTES;
    let sent_us = header.sent_us.min(at_us);
    seen.arrivals.push(Arrival { number: u64::from(header.number), sent_us, at_us });
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    round: u64,
    number: u32,
    sent_us: u64,
}

impl Header {
    fn encode(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..12].copy_from_slice(&self.round.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.number.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.sent_us.to_be_bytes());
        let sum = checksum(&bytes[..24]);
        bytes[24..].copy_from_slice(&sum.to_be_bytes());
        bytes
    }

    fn datagram(self, bytes: usize) -> Vec<u8> {
        let header = self.encode();
        let mut datagram = header.to_vec();
        let filled = bytes.max(DATAGRAM_BYTES) - HEADER_BYTES;
        datagram.extend((HEADER_BYTES..filled).map(|at| (at as u8).wrapping_add(self.number as u8)));
        datagram.extend_from_slice(&header);
        datagram
    }

    /// Reads the header at the head, or the one at the end.
    fn of(datagram: &[u8]) -> Option<Self> {
        let end = datagram.len().checked_sub(HEADER_BYTES)?;
        Header::decode(&datagram[..HEADER_BYTES]).or_else(|| Header::decode(&datagram[end..]))
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let number = |from: usize, to: usize| {
            bytes.get(from..to).map(|b| b.iter().fold(0_u64, |n, byte| n << 8 | u64::from(*byte)))
        };
        let header =
            Header { round: number(4, 12)?, number: number(12, 16)? as u32, sent_us: number(16, 24)? };
        (header.encode() == bytes).then_some(header)
    }
}

/// FNV-1a: any single flipped bit changes it.
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use ordeal_core::End;

    use super::*;

    pub(crate) const LINK: Link = (End::Node(0), End::Node(1));

    #[test]
    fn any_flipped_bit_is_noticed_and_the_number_survives() {
        let header = Header { round: 7, number: 300, sent_us: 5 };
        for bytes in [0, 100, 1200] {
            let sent = header.datagram(bytes);
            assert_eq!(sent.len(), bytes.max(DATAGRAM_BYTES));
            for bit in 0..sent.len() * 8 {
                let mut got = sent.clone();
                got[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(Header::of(&got), Some(header));
                assert_ne!(got, header.datagram(bytes));
            }
        }
        assert_eq!(Header::of(b"anything else"), None);
    }

    #[test]
    fn each_datagram_is_counted_as_what_became_of_it() {
        let datagram = |round, number| Header { round, number, sent_us: 10 }.datagram(90);
        let mut seen = Seen { sent_us: vec![10; 6], ..Seen::default() };
        for (round, number, at_us) in [(1, 0, 20), (1, 3, 30), (1, 1, 40), (1, 1, 50), (0, 2, 60), (1, 9, 70)]
        {
            take(&mut seen, 1, &datagram(round, number), at_us);
        }
        let mut flipped = datagram(1, 4);
        flipped[50] ^= 1;
        take(&mut seen, 1, &flipped, 80);
        assert_eq!((seen.arrived(), seen.copies, seen.broken, seen.lost()), (4, 1, 1, 2));
        assert_eq!(seen.overtakers(), 1, "only the fourth came before one sent earlier");
        assert_eq!(seen.delays_us(), [10, 20, 30, 70]);
        take(&mut seen, 1, &[0; 60], 90);
        assert_eq!((seen.broken, seen.lost()), (2, 1));
    }

    #[test]
    fn bursts_add_up_as_if_they_were_one() {
        let burst = |number: u64| {
            let arrival = Arrival { number, sent_us: number * 100, at_us: number * 100 + 30 };
            Seen {
                sent_us: vec![0, 100, 200],
                arrivals: vec![arrival],
                arrived: [number].into(),
                ..Seen::default()
            }
        };
        let mut seen = burst(1);
        seen.join(burst(0));
        assert_eq!((seen.sent(), seen.arrived(), seen.lost(), seen.overtakers()), (6, 2, 4, 0));
        assert_eq!(seen.sent_us, [0, 100, 200, 200, 300, 400]);
        assert_eq!((seen.delays_us(), seen.outages_us()), (vec![30, 30], (100, 100)));
    }

    #[test]
    fn the_longest_silence_is_found() {
        let mut seen = Seen { sent_us: (0..10).map(|n| n * 100).collect(), ..Seen::default() };
        assert_eq!(seen.outages_us(), (0, 900));
        seen.arrived = BTreeSet::from([0, 1, 5, 8]);
        assert_eq!(seen.outages_us(), (300, 0), "from the third to the sixth");
        seen.arrived = BTreeSet::from([3, 4]);
        assert_eq!(seen.outages_us(), (300, 400));
    }

    #[test]
    fn on_a_whole_link_everything_arrives_as_it_was_sent() {
        let sockets = Sockets::on_loopback(2);
        let mut trial = Trial::new(&sockets, [LINK, (End::Clients, End::Node(0))]);
        let burst = Burst {
            count: 100,
            spread: Duration::from_millis(20),
            bytes: 200,
            wait: Duration::from_millis(500),
        };
        let links: Vec<(Link, Burst)> = trial.seen.keys().map(|&link| (link, burst)).collect();
        trial.fire(&links, |_| false).unwrap();
        trial.fire(&links, |_| false).unwrap();
        for seen in trial.seen.values() {
            assert_eq!((seen.sent(), seen.arrived(), seen.lost()), (200, 200, 0));
            assert_eq!((seen.copies, seen.broken, seen.overtakers()), (0, 0, 0));
            assert_eq!(seen.bytes, 200 * 242);
        }
    }
}
