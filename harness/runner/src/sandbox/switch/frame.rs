//! Frames as packet sockets hand them over: a header about offloads, then Ethernet.
//!
//! The header (`struct virtio_net_hdr`, virtio 1.2 section 5.1.6) says that a checksum is still to be
//! filled in; on a virtual cable nobody ever does, the receiver just believes it. That is how a flipped bit
//! gets past the receiver's checksum, and why one that should be noticed needs the checksum filled in first.
//!
//! Only TCP and UDP over IPv4 in one piece are looked into. The sandbox's network has no other, but for
//! fragments of large datagrams and what the kernel says for itself.

use std::ops::Range;

/// The bytes of the header about offloads.
pub(super) const OFFLOAD_BYTES: usize = 10;
const NEEDS_CHECKSUM: u8 = 1;
const ETHERNET: usize = OFFLOAD_BYTES;
const ETHERNET_BYTES: usize = 14;
const IP: usize = ETHERNET + ETHERNET_BYTES;
const IP_BYTES_MIN: usize = 20;
const TCP_BYTES_MIN: usize = 20;
const UDP_BYTES: usize = 8;

const TYPE_IPV4: u16 = 0x0800;
const TYPE_ARP: u16 = 0x0806;
const TYPE_IPV6: u16 = 0x86dd;
const HOP_BY_HOP: u8 = 0;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
const TCP_SYN: u8 = 0x02;
const TCP_RST: u8 = 0x04;
const TCP_ACK: u8 = 0x10;

/// The hardware addresses of the switch's ports: this, then the port's number.
pub(crate) const MAC_PREFIX: [u8; 5] = [0x02, 0x78, 0, 0, 0];

/// Whom a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Destination {
    /// Broadcast and multicast.
    Everyone,
    /// The port with this last byte of its hardware address.
    Port(u8),
    /// Nobody whom the switch knows.
    Nobody,
}

fn u16_at(frame: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([frame[at], frame[at + 1]])
}

fn u32_at(frame: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([frame[at], frame[at + 1], frame[at + 2], frame[at + 3]])
}

/// Whom the frame is for.
pub(super) fn destination(frame: &[u8]) -> Destination {
    match frame.get(ETHERNET..IP) {
        Some(ethernet) if ethernet[0] & 1 == 1 => Destination::Everyone,
        Some(ethernet) if ethernet.starts_with(&MAC_PREFIX) => Destination::Port(ethernet[MAC_PREFIX.len()]),
        _ => Destination::Nobody,
    }
}

/// Whether the frame only serves to find neighbours: ARP, and what IPv6 has in its place. Rules leave it
/// alone. If a cut took ARP as well, connections would fail at once with "no route to host" instead of
/// stalling; and as the kernel sends these when it likes, they would make seeded draws differ between runs.
pub(super) fn is_housekeeping(frame: &[u8]) -> bool {
    if frame.len() < IP {
        return false;
    }
    let next_header = frame.get(IP + 6).copied();
    match u16_at(frame, IP - 2) {
        TYPE_ARP => true,
        // Reports of multicast groups carry a hop-by-hop header before ICMPv6.
        TYPE_IPV6 => matches!(next_header, Some(ICMPV6 | HOP_BY_HOP)),
        _ => false,
    }
}

/// Where things are in a frame that carries a whole datagram, or a segment with data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    transport: usize,
    payload: Range<usize>,
    pub(super) tcp: bool,
}

impl Segment {
    /// `None` if there is no payload that could be touched.
    pub(super) fn find(frame: &[u8]) -> Option<Segment> {
        // A super-packet has no checksum of its own.
        let several = *frame.get(1)? != 0;
        if several || frame.len() < IP + IP_BYTES_MIN || u16_at(frame, IP - 2) != TYPE_IPV4 {
            return None;
        }
        let transport = IP + usize::from(frame[IP] & 0x0f) * 4;
        let end = IP + usize::from(u16_at(frame, IP + 2));
        let fragment = u16_at(frame, IP + 6) & 0x3fff != 0;
        if fragment || end > frame.len() {
            return None;
        }
        let (tcp, header) = match frame[IP + 9] {
            TCP if transport + TCP_BYTES_MIN <= end => (true, usize::from(frame[transport + 12] >> 4) * 4),
            UDP => (false, UDP_BYTES),
            _ => return None,
        };
        let payload = transport + header..end;
        (!payload.is_empty()).then_some(Segment { transport, payload, tcp })
    }

    /// Whether the segment belongs to an established connection.
    pub(super) fn is_stream(&self, frame: &[u8]) -> bool {
        self.tcp && frame[self.transport + 13] & (TCP_SYN | TCP_RST | TCP_ACK) == TCP_ACK
    }

    /// Flips the bit of the payload that `die` says. The receiver's kernel will notice, or not.
    pub(super) fn flip(&self, frame: &mut [u8], die: u64, undetected: bool) {
        let bits = self.payload.len() as u64 * 8;
        let bit = (die % bits) as usize;
        let (at, mask) = (self.payload.start + bit / 8, 1 << (bit % 8));
        let checksum = self.transport + if self.tcp { 16 } else { 6 };
        // A datagram may go without a checksum; then nobody would notice.
        let without = !self.tcp && u16_at(frame, checksum) == 0;
        let still_to_fill_in = frame[0] & NEEDS_CHECKSUM != 0;
        if undetected {
            frame[at] ^= mask;
            if !still_to_fill_in && !without {
                self.fill_in_checksum(frame, checksum);
            }
        } else {
            if still_to_fill_in || without {
                self.fill_in_checksum(frame, checksum);
            }
            frame[..OFFLOAD_BYTES].fill(0);
            frame[at] ^= mask;
        }
    }

    /// RFC 9293 section 3.1, RFC 768.
    fn fill_in_checksum(&self, frame: &mut [u8], at: usize) {
        frame[at..at + 2].fill(0);
        let protocol = if self.tcp { TCP } else { UDP };
        let length = (self.payload.end - self.transport) as u32;
        let pseudo = add(&frame[IP + 12..IP + 20], u32::from(protocol) + length);
        let sum = !fold(add(&frame[self.transport..self.payload.end], pseudo));
        put_checksum(frame, at, sum);
    }

    /// The two resets that end the connection of this segment: one for its receiver, in place of the
    /// segment, and one for its sender.
    ///
    /// A reset counts if its number is the very next that is expected (RFC 5961 section 3.2): for the
    /// receiver that of the segment, for the sender what it has acknowledged. Where it is not (the segment
    /// came again, or another was lost before it) the end in question finds out at its next packet, which
    /// the other end's kernel, having no such connection any more, answers with a reset of its own.
    pub(super) fn resets(&self, frame: &[u8]) -> [Vec<u8>; 2] {
        let sequence = u32_at(frame, self.transport + 4);
        let acknowledged = u32_at(frame, self.transport + 8);
        let next = sequence.wrapping_add(self.payload.len() as u32);
        [self.reset(frame, sequence, acknowledged, false), self.reset(frame, acknowledged, next, true)]
    }

    fn reset(&self, frame: &[u8], sequence: u32, acknowledged: u32, back: bool) -> Vec<u8> {
        const END: usize = IP + IP_BYTES_MIN + TCP_BYTES_MIN;
        const TRANSPORT: usize = IP + IP_BYTES_MIN;
        let mut reset = vec![0; END];
        // From one place of the frame to another, where it goes back with the two sides exchanged.
        let mut copy = |first: usize, second: usize, bytes: usize, to: usize| {
            let (first, second) = if back { (second, first) } else { (first, second) };
            reset[to..to + bytes].copy_from_slice(&frame[first..first + bytes]);
            reset[to + bytes..to + 2 * bytes].copy_from_slice(&frame[second..second + bytes]);
        };
        copy(ETHERNET, ETHERNET + 6, 6, ETHERNET);
        copy(IP + 12, IP + 16, 4, IP + 12);
        copy(self.transport, self.transport + 2, 2, TRANSPORT);
        reset[IP - 2..IP].copy_from_slice(&TYPE_IPV4.to_be_bytes());
        let length = (END - IP) as u16;
        reset[IP] = 0x45;
        reset[IP + 2..IP + 4].copy_from_slice(&length.to_be_bytes());
        // Don't fragment, 64 hops.
        reset[IP + 6] = 0x40;
        reset[IP + 8] = 64;
        reset[IP + 9] = TCP;
        let sum = !fold(add(&reset[IP..TRANSPORT], 0));
        reset[IP + 10..IP + 12].copy_from_slice(&sum.to_be_bytes());
        reset[TRANSPORT + 4..TRANSPORT + 8].copy_from_slice(&sequence.to_be_bytes());
        reset[TRANSPORT + 8..TRANSPORT + 12].copy_from_slice(&acknowledged.to_be_bytes());
        reset[TRANSPORT + 12] = (TCP_BYTES_MIN as u8 / 4) << 4;
        reset[TRANSPORT + 13] = TCP_RST | TCP_ACK;
        let whole = Segment { transport: TRANSPORT, payload: END..END, tcp: true };
        whole.fill_in_checksum(&mut reset, TRANSPORT + 16);
        reset
    }
}

/// Fills in the checksum that is still to be filled in, for readers that do not know of it.
pub(super) fn complete(frame: &mut [u8]) {
    if frame.len() < IP || frame[0] & NEEDS_CHECKSUM == 0 {
        return;
    }
    // In the byte order of the machine, counted from the Ethernet header.
    let start = ETHERNET + usize::from(u16::from_ne_bytes([frame[6], frame[7]]));
    let at = start + usize::from(u16::from_ne_bytes([frame[8], frame[9]]));
    if at + 2 <= frame.len() {
        // The field holds the sum of what is outside the segment.
        let sum = !fold(add(&frame[start..], 0));
        put_checksum(frame, at, sum);
        frame[..OFFLOAD_BYTES].fill(0);
    }
}

/// Nought would mean that there is no checksum.
fn put_checksum(frame: &mut [u8], at: usize, sum: u16) {
    let sum = if sum == 0 { 0xffff } else { sum };
    frame[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

/// The Internet checksum (RFC 1071), unfolded.
fn add(bytes: &[u8], start: u32) -> u32 {
    let mut pairs = bytes.chunks_exact(2);
    let sum: u32 = pairs.by_ref().map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let last = pairs.remainder().first().map_or(0, |&byte| u32::from(byte) << 8);
    start + sum + last
}

fn fold(sum: u32) -> u16 {
    let once = (sum & 0xffff) + (sum >> 16);
    ((once & 0xffff) + (once >> 16)) as u16
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const HERE: [u8; 4] = [10, 78, 0, 1];
    const THERE: [u8; 4] = [10, 78, 0, 2];

    /// A frame from port 1 to port 2 with whole checksums.
    pub(crate) fn frame(tcp: bool, payload: &[u8]) -> Vec<u8> {
        let header = if tcp { TCP_BYTES_MIN } else { UDP_BYTES };
        let mut frame = vec![0; IP + IP_BYTES_MIN + header];
        for (at, port) in [(ETHERNET, 2), (ETHERNET + 6, 1)] {
            frame[at..at + 5].copy_from_slice(&MAC_PREFIX);
            frame[at + 5] = port;
        }
        frame[IP - 2..IP].copy_from_slice(&TYPE_IPV4.to_be_bytes());
        frame[IP] = 0x45;
        let length = (IP_BYTES_MIN + header + payload.len()) as u16;
        frame[IP + 2..IP + 4].copy_from_slice(&length.to_be_bytes());
        frame[IP + 9] = if tcp { TCP } else { UDP };
        frame[IP + 12..IP + 16].copy_from_slice(&HERE);
        frame[IP + 16..IP + 20].copy_from_slice(&THERE);
        let transport = IP + IP_BYTES_MIN;
        frame[transport..transport + 4].copy_from_slice(&[0x1f, 0x40, 0x1b, 0x58]);
        if tcp {
            frame[transport + 4..transport + 8].copy_from_slice(&1_000_u32.to_be_bytes());
            frame[transport + 8..transport + 12].copy_from_slice(&2_000_u32.to_be_bytes());
            frame[transport + 12] = 5 << 4;
            frame[transport + 13] = TCP_ACK;
        } else {
            let length = (UDP_BYTES + payload.len()) as u16;
            frame[transport + 4..transport + 6].copy_from_slice(&length.to_be_bytes());
        }
        frame.extend_from_slice(payload);
        if let Some(segment) = Segment::find(&frame) {
            segment.fill_in_checksum(&mut frame, transport + if tcp { 16 } else { 6 });
        }
        frame
    }

    /// As the kernel hands it over: the sum of the pseudo header in place of the checksum.
    fn unfinished(mut frame: Vec<u8>) -> Vec<u8> {
        let segment = Segment::find(&frame).expect("a payload");
        let (offset, protocol) = if segment.tcp { (16_u16, TCP) } else { (6, UDP) };
        let length = (segment.payload.end - segment.transport) as u32;
        let pseudo = fold(add(&frame[IP + 12..IP + 20], u32::from(protocol) + length));
        let at = segment.transport + usize::from(offset);
        frame[at..at + 2].copy_from_slice(&pseudo.to_be_bytes());
        frame[0] = NEEDS_CHECKSUM;
        frame[6..8].copy_from_slice(&((segment.transport - ETHERNET) as u16).to_ne_bytes());
        frame[8..10].copy_from_slice(&offset.to_ne_bytes());
        frame
    }

    fn checksum_is_right(frame: &[u8]) -> bool {
        let segment = Segment::find(frame).expect("a payload");
        let protocol = if segment.tcp { TCP } else { UDP };
        let length = (segment.payload.end - segment.transport) as u32;
        let pseudo = add(&frame[IP + 12..IP + 20], u32::from(protocol) + length);
        fold(add(&frame[segment.transport..segment.payload.end], pseudo)) == 0xffff
    }

    #[test]
    fn checksums_agree_with_the_example_of_rfc_1071() {
        assert_eq!(fold(add(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7], 0)), 0xddf2);
    }

    #[test]
    fn completing_gives_the_checksum_of_a_whole_frame() {
        for tcp in [true, false] {
            let whole = frame(tcp, b"odd sum");
            let mut completed = unfinished(whole.clone());
            assert_ne!(completed, whole);
            complete(&mut completed);
            assert_eq!(completed, whole);
            complete(&mut completed);
            assert_eq!(completed, whole, "a whole frame stays as it is");
        }
    }

    #[test]
    fn frames_are_told_apart_by_whom_they_are_for_and_what_they_serve() {
        let unicast = frame(true, b"x");
        assert_eq!(destination(&unicast), Destination::Port(2));
        assert!(!is_housekeeping(&unicast));
        let mut broadcast = unicast.clone();
        broadcast[ETHERNET..ETHERNET + 6].fill(0xff);
        broadcast[IP - 2..IP].copy_from_slice(&TYPE_ARP.to_be_bytes());
        assert_eq!(destination(&broadcast), Destination::Everyone);
        assert!(is_housekeeping(&broadcast));
        let mut stranger = unicast;
        stranger[ETHERNET + 1] = 0xde;
        assert_eq!(destination(&stranger), Destination::Nobody);
        assert_eq!(destination(&[0; OFFLOAD_BYTES + 3]), Destination::Nobody);
        assert!(!is_housekeeping(&[0; OFFLOAD_BYTES + 3]));
    }

    #[test]
    fn only_whole_segments_with_data_are_found() {
        for tcp in [true, false] {
            let with_data = frame(tcp, b"12345");
            let segment = Segment::find(&with_data).expect("a payload");
            assert_eq!(&with_data[segment.payload.clone()], b"12345");
            assert_eq!(segment.is_stream(&with_data), tcp);
            assert_eq!(Segment::find(&frame(tcp, b"")), None);
            let mut fragment = with_data.clone();
            fragment[IP + 7] = 1;
            assert_eq!(Segment::find(&fragment), None);
            let short = &with_data[..with_data.len() - 1];
            assert_eq!(Segment::find(short), None, "it says that it is longer than it is");
            let mut several = with_data;
            several[1] = 1;
            assert_eq!(Segment::find(&several), None);
        }
        let mut greeting = frame(true, b"fast open");
        greeting[IP + IP_BYTES_MIN + 13] = TCP_SYN;
        assert!(!Segment::find(&greeting).expect("a payload").is_stream(&greeting));
    }

    #[test]
    fn one_bit_of_the_payload_flips_and_the_checksum_tells_or_does_not() {
        for tcp in [true, false] {
            for die in [0, 1, 39, 12_345] {
                for before in [frame(tcp, b"12345"), unfinished(frame(tcp, b"12345"))] {
                    let segment = Segment::find(&before).expect("a payload");
                    for undetected in [true, false] {
                        let mut after = before.clone();
                        segment.flip(&mut after, die, undetected);
                        let changed = |i: usize| (after[i] ^ before[i]).count_ones();
                        assert_eq!(segment.payload.clone().map(changed).sum::<u32>(), 1);
                        let believed = after[0] & NEEDS_CHECKSUM != 0;
                        assert_eq!(believed || checksum_is_right(&after), undetected);
                    }
                }
            }
        }
    }

    #[test]
    fn a_datagram_without_a_checksum_gets_one_where_the_flip_should_be_noticed() {
        let mut before = frame(false, b"12345");
        let at = IP + IP_BYTES_MIN + 6;
        before[at..at + 2].fill(0);
        let segment = Segment::find(&before).expect("a payload");
        let mut after = before.clone();
        segment.flip(&mut after, 7, true);
        assert_eq!(u16_at(&after, at), 0);
        let mut after = before;
        segment.flip(&mut after, 7, false);
        assert!(u16_at(&after, at) != 0 && !checksum_is_right(&after));
    }

    #[test]
    fn resets_carry_the_numbers_that_each_end_expects_next() {
        let data = frame(true, b"12345");
        let [to_receiver, to_sender] = Segment::find(&data).expect("a payload").resets(&data);
        assert_eq!(destination(&to_receiver), Destination::Port(2));
        assert_eq!(destination(&to_sender), Destination::Port(1));
        let transport = IP + IP_BYTES_MIN;
        let numbers = |reset: &[u8]| (u32_at(reset, transport + 4), u32_at(reset, transport + 8));
        assert_eq!(numbers(&to_receiver), (1_000, 2_000));
        assert_eq!(numbers(&to_sender), (2_000, 1_005));
        assert_eq!(to_receiver[IP + 12..IP + 20], [HERE, THERE].concat());
        assert_eq!(to_sender[IP + 12..IP + 20], [THERE, HERE].concat());
        assert_eq!(to_sender[transport..transport + 4], [0x1b, 0x58, 0x1f, 0x40]);
        for reset in [to_receiver, to_sender] {
            assert_eq!(reset[transport + 13], TCP_RST | TCP_ACK);
            assert_eq!(fold(add(&reset[IP..transport], 0)), 0xffff, "the header's checksum");
            let pseudo = add(&reset[IP + 12..IP + 20], u32::from(TCP) + TCP_BYTES_MIN as u32);
            assert_eq!(fold(add(&reset[transport..], pseudo)), 0xffff, "the segment's checksum");
        }
    }
}
