//! What is captured, and what is left in the end.

use std::path::Path;
use std::process::Command;

use ordeal_core::{LinkCounters, LinkRule};
use ordeal_runner::sandbox::{Network, Wiring};

use crate::net::{A, B, C, CLIENTS, Net, datagram, until};

/// The packets of a capture file (draft-ietf-opsawg-pcap, nanoseconds, the machine's byte order).
fn packets(path: &Path) -> Vec<(u64, Vec<u8>)> {
    let bytes = std::fs::read(path).unwrap();
    let field = |at: usize| u64::from(u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap()));
    assert_eq!(field(0), 0xa1b2_3c4d);
    assert_eq!(field(20), 1, "Ethernet");
    let (mut at, mut packets) = (24, Vec::new());
    while at < bytes.len() {
        let length = field(at + 8) as usize;
        let time_ns = field(at) * 1_000_000_000 + field(at + 4);
        packets.push((time_ns, bytes[at + 16..at + 16 + length].to_vec()));
        at += 16 + length;
    }
    packets
}

pub(crate) fn every_packet_is_captured_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("packets.pcap");
    let net = Net::with(1, Some(path.clone()));
    // What rules do comes after the capture: lost packets are in it, copies are not.
    net.set(A, B, LinkRule { loss: 0.5, duplicate: 0.5, ..LinkRule::default() });
    net.datagrams(A, B, 300, 100);
    net.datagrams(CLIENTS, C, 100, 100);
    assert!(net.transfers(B, CLIENTS, 100_000));
    drop(net);
    let packets = packets(&path);
    assert!(packets.is_sorted_by_key(|(time_ns, _)| *time_ns));
    let count = |number: u64| {
        let wanted = datagram(number, 100);
        packets.iter().filter(|(_, packet)| packet.ends_with(&wanted)).count()
    };
    assert!((0..100).all(|number| count(number) == 2) && (100..300).all(|number| count(number) == 1));
    assert!(packets.iter().all(|(_, packet)| packet.len() <= 1_514), "no super-packets");
    let arp = packets.iter().filter(|(_, packet)| packet[12..14] == [8, 6]).count();
    assert!(arp >= 2, "{arp}");
    match Command::new("tcpdump").arg("-nr").arg(&path).output() {
        Ok(read) => {
            let text = String::from_utf8_lossy(&read.stdout);
            assert!(read.status.success() && text.lines().count() == packets.len(), "{read:?}");
        }
        Err(error) => println!("tcpdump does not run here ({error}): the file was only read by this test"),
    }
}

pub(crate) fn a_capture_that_cannot_be_made_is_an_error() {
    let wiring = Wiring::Switch { seed: 1, capture: Some("/nonexistent/packets.pcap".into()) };
    let error = Network::build(2, &wiring).unwrap_err().to_string();
    assert!(error.contains("/nonexistent/packets.pcap"), "{error}");
}

pub(crate) fn nothing_is_left_of_a_dropped_network() {
    let threads = || {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
        tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok()).collect::<Vec<_>>()
    };
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let ours = |threads: Vec<String>| threads.iter().filter(|name| name.starts_with("ordeal-")).count();
    let dir = tempfile::tempdir().unwrap();
    let interfaces = || {
        let all = nix::net::if_::if_nameindex().unwrap();
        all.iter().map(|interface| interface.name().to_owned()).collect::<Vec<_>>()
    };
    let (before, interfaces_before) = (descriptors(), interfaces());
    let net = Net::with(1, Some(dir.path().join("packets.pcap")));
    assert!(net.reaches(A, B));
    // A thread gives itself its name, some time after it was started.
    until("both threads are there", || ours(threads()) == 2);
    // Packets that are still on their way are no reason to stay.
    net.set(A, B, LinkRule { delay_us: 3_600_000_000, ..LinkRule::default() });
    assert!(!net.reaches(A, B));
    assert_eq!(net.counters(A, B), LinkCounters { packets: 2, delayed: 1, ..LinkCounters::default() });
    drop(net);
    assert_eq!(ours(threads()), 0, "{:?}", threads());
    assert_eq!(descriptors(), before);
    // The kernel takes the interfaces down in its own time.
    until("the clients' interface is gone", || interfaces() == interfaces_before);
}
