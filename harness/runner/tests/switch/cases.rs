//! What each rule does to real traffic.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{setsockopt, sockopt::UdpGsoSegment};
use ordeal_core::{Distribution, Fabric, LinkRule};
use ordeal_runner::sandbox::{Network, Wiring};

use crate::net::{A, B, BOUND, C, CLIENTS, Net, datagram, likely, numbers, pairs, tally, until};

fn rule() -> LinkRule {
    LinkRule::default()
}

pub(crate) fn everything_passes_untouched_without_rules() {
    let net = Net::new();
    for (from, to) in [(A, B), (CLIENTS, A), (B, CLIENTS)] {
        assert!(net.transfers(from, to, 8 << 20));
        let counters = net.counters(from, to);
        assert!(counters.packets > 5_000, "packets are packets on the wire: {counters:?}");
        assert_eq!((counters.delayed, counters.duplicated, counters.corrupted), (0, 0, 0));
    }
    // Large datagrams travel in fragments.
    let (sender, receiver) = (net.udp(A), net.udp(B));
    let large = datagram(1, 9_000);
    sender.send_to(&large, receiver.local_addr().unwrap()).unwrap();
    let mut buffer = [0; 10_000];
    let length = receiver.recv(&mut buffer).unwrap();
    assert_eq!(buffer[..length], large);
    // A program may ask the kernel to cut them up.
    setsockopt(&sender, UdpGsoSegment, &1_000).unwrap();
    let before = net.counters(A, B).packets;
    sender.send_to(&large, receiver.local_addr().unwrap()).unwrap();
    for part in large.chunks(1_000) {
        let length = receiver.recv(&mut buffer).unwrap();
        assert_eq!(buffer[..length], *part);
    }
    assert_eq!(net.counters(A, B).packets - before, 9);
}

pub(crate) fn streams_survive_everything_that_tcp_can_mend() {
    let net = Net::new();
    let storm = LinkRule {
        delay_us: 2_000,
        jitter_us: 1_000,
        distribution: Distribution::Normal,
        loss: 0.02,
        duplicate: 0.05,
        reorder: 0.1,
        reorder_us: 1_000,
        corrupt: 0.02,
        ..rule()
    };
    for (from, to) in [(A, B), (CLIENTS, C)] {
        net.both_ways(from, to, &storm);
        assert!(net.transfers(from, to, 1 << 20));
        let seen = net.counters(from, to);
        let all = [seen.dropped, seen.delayed, seen.duplicated, seen.corrupted];
        assert!(all.iter().all(|&count| count > 0), "{seen:?}");
    }
}

pub(crate) fn delays_add_to_the_round_trip_and_keep_the_order() {
    let net = Net::new();
    let delay = Duration::from_millis(20);
    let slow = LinkRule { delay_us: 20_000, ..rule() };
    for (from, to) in [(A, B), (CLIENTS, A)] {
        let before = net.round_trip(from, to, 50);
        net.set(from, to, slow.clone());
        let one_way = net.round_trip(from, to, 10);
        net.set(to, from, slow.clone());
        let both_ways = net.round_trip(from, to, 10);
        assert!(before < delay, "{before:?}");
        assert!(one_way >= delay && one_way < 2 * delay, "{one_way:?}");
        assert!(both_ways >= 2 * delay && both_ways < 4 * delay, "{both_ways:?}");
    }
    let arrived = numbers(&net.datagrams(A, B, 500, 100));
    assert_eq!(arrived, (0..500).collect::<Vec<_>>());
    net.clear();
    let after = net.round_trip(A, B, 50);
    assert!(after < delay, "{after:?}");
}

pub(crate) fn jitter_scatters_delays() {
    let net = Net::new();
    for distribution in [Distribution::Uniform, Distribution::Normal, Distribution::Pareto] {
        net.set(A, B, LinkRule { delay_us: 5_000, jitter_us: 4_000, distribution, ..rule() });
        let arrived = numbers(&net.datagrams(A, B, 500, 100));
        assert!(!arrived.is_sorted(), "delays that differ change the order");
        assert_eq!(tally(&arrived).len(), 500, "but lose nothing");
    }
}

pub(crate) fn the_asked_share_is_lost() {
    let net = Net::new();
    net.set(A, B, LinkRule { loss: 0.3, ..rule() });
    let arrived = numbers(&net.datagrams(A, B, 2_000, 100));
    let lost = 2_000 - arrived.len() as u64;
    assert!(likely(lost, 2_000, 0.3), "{lost}");
    let counters = net.counters(A, B);
    assert_eq!((counters.packets, counters.dropped), (2_000, lost));
    net.set(A, B, LinkRule { loss: 1.0, ..rule() });
    assert!(!net.reaches(A, B));
    net.clear();
    assert!(net.reaches(A, B));
}

pub(crate) fn the_same_seed_loses_the_same_datagrams() {
    let run = |seed, others: bool| {
        let life = move || {
            // A namespace of its own for the clients' interface: networks come and go without a trace.
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            let net = Net::with(seed, None);
            let loss = LinkRule { loss: 0.2, duplicate: 0.1, ..rule() };
            for (from, to) in [(A, B), (B, A), (CLIENTS, B)] {
                net.set(from, to, loss.clone());
            }
            if others {
                net.datagrams(B, A, 100, 100);
                net.datagrams(CLIENTS, B, 100, 100);
            }
            numbers(&net.datagrams(A, B, 500, 100))
        };
        std::thread::spawn(life).join().unwrap()
    };
    let once = run(42, false);
    assert_eq!(run(42, false), once);
    assert_eq!(run(42, true), once, "what happens on other links makes no difference");
    assert_ne!(run(43, false), once);
}

pub(crate) fn duplicates_arrive_twice() {
    let net = Net::new();
    net.set(A, B, LinkRule { duplicate: 0.25, ..rule() });
    let arrived = tally(&numbers(&net.datagrams(A, B, 1_000, 100)));
    assert_eq!(arrived.len(), 1_000);
    let twice = arrived.values().filter(|&&times| times == 2).count() as u64;
    assert!(arrived.values().all(|times| (1..=2).contains(times)));
    assert!(likely(twice, 1_000, 0.25), "{twice}");
    assert_eq!(net.counters(A, B).duplicated, twice);
}

pub(crate) fn reordering_lets_some_overtake() {
    let net = Net::new();
    net.set(A, B, LinkRule { reorder: 0.2, reorder_us: 3_000, ..rule() });
    let arrived = numbers(&net.datagrams(A, B, 1_000, 100));
    assert_eq!(tally(&arrived).len(), 1_000, "all arrive");
    let overtaken = arrived.windows(2).filter(|pair| pair[0] > pair[1]).count();
    assert!(overtaken > 5, "{overtaken}");
    let delayed = net.counters(A, B).delayed;
    assert!(likely(delayed, 1_000, 0.8), "{delayed}");
}

pub(crate) fn detected_corruption_never_reaches_the_application() {
    let net = Net::new();
    net.set(A, B, LinkRule { corrupt: 0.5, ..rule() });
    let (sender, receiver) = (net.udp(A), net.udp(B));
    for number in 0..100 {
        sender.send_to(&datagram(number, 200), receiver.local_addr().unwrap()).unwrap();
    }
    until("all have passed", || net.counters(A, B).packets == 100);
    let corrupted = net.counters(A, B).corrupted;
    assert!(likely(corrupted, 100, 0.5), "{corrupted}");
    let mut buffer = [0; 300];
    for _ in 0..100 - corrupted {
        let length = receiver.recv(&mut buffer).unwrap();
        let number = u64::from_be_bytes(buffer[..8].try_into().unwrap());
        assert_eq!(buffer[..length], datagram(number, 200));
    }
    receiver.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    assert!(receiver.recv(&mut buffer).is_err(), "the kernel has dropped all others");
    // A segment that is dropped is sent again: a stream only gets slower.
    net.set(A, B, LinkRule { corrupt: 0.05, ..rule() });
    assert!(net.transfers(A, B, 1 << 20));
    assert!(net.counters(A, B).corrupted > corrupted);
}

pub(crate) fn undetected_corruption_does() {
    let net = Net::new();
    let flips = |a: &[u8], b: &[u8]| a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones()).sum::<u32>();
    for (from, to) in [(A, B), (B, CLIENTS)] {
        net.set(from, to, LinkRule { corrupt: 0.5, corrupt_undetected: true, ..rule() });
        let arrived = net.datagrams(from, to, 400, 200);
        // One by one and in order, so the position tells the number, which may be corrupt itself.
        let flipped: Vec<u32> =
            arrived.iter().zip(0..).map(|(d, number)| flips(d, &datagram(number, 200))).collect();
        assert_eq!(flipped.len(), 400);
        assert!(flipped.iter().all(|&bits| bits <= 1), "one bit at most: {flipped:?}");
        let corrupted = flipped.iter().filter(|&&bits| bits == 1).count() as u64;
        assert!(likely(corrupted, 400, 0.5), "{corrupted}");
        assert_eq!(net.counters(from, to).corrupted, corrupted);
    }
    let corrupt = LinkRule { corrupt: 0.5, corrupt_undetected: true, ..rule() };
    net.set(CLIENTS, A, corrupt);
    assert!(!net.transfers(CLIENTS, A, 1 << 20), "TCP is fooled as well");
}

pub(crate) fn a_limited_rate_limits_and_drops_the_tail() {
    let net = Net::new();
    net.set(A, B, LinkRule { rate_bps: Some(10_000_000), ..rule() });
    let start = Instant::now();
    assert!(net.transfers(A, B, 1_000_000));
    let took = start.elapsed();
    // 8 million bits and headers.
    assert!(took >= Duration::from_millis(800), "{took:?}");
    assert!(took < BOUND, "{took:?}");
    // 200 ms hold 250,000 bytes, and a little leaves while the burst lasts.
    until("the queue is empty again", || net.round_trip(CLIENTS, C, 1) > Duration::ZERO);
    let (before, burst) = (net.counters(A, B), Instant::now());
    let (sender, receiver) = (net.udp(A), net.udp(B));
    let sent = 600;
    for number in 0..sent {
        sender.send_to(&datagram(number, 1_400), receiver.local_addr().unwrap()).unwrap();
    }
    until("all have come in", || net.counters(A, B).packets - before.packets >= sent);
    let burst_ms = burst.elapsed().as_millis() as u64;
    let passed = sent - (net.counters(A, B).dropped - before.dropped);
    // 1,452 bytes each, counting headers: 172 in the queue.
    assert!(passed <= 176 + burst_ms, "{passed} in {burst_ms} ms");
    assert!(passed >= 100, "{passed}");
}

pub(crate) fn a_reset_ends_the_connection_at_both_ends() {
    let net = Net::new();
    for (from, to) in [(A, B), (CLIENTS, A), (B, CLIENTS)] {
        let (mut ours, mut theirs) = net.connect(from, to);
        // Data both ways before, so that the numbers are not those of the start.
        ours.write_all(b"hello").unwrap();
        theirs.read_exact(&mut [0; 5]).unwrap();
        theirs.write_all(b"hello yourself").unwrap();
        ours.read_exact(&mut [0; 14]).unwrap();
        net.set(from, to, LinkRule { reset: 1.0, ..rule() });
        ours.write_all(b"last words").unwrap();
        for end in [&mut ours, &mut theirs] {
            let start = Instant::now();
            assert_eq!(end.read(&mut [0; 16]).unwrap_err().kind(), ErrorKind::ConnectionReset);
            assert!(start.elapsed() < BOUND / 2);
        }
        let counters = net.counters(from, to);
        assert_eq!((counters.reset, counters.dropped), (1, 1));
        // The greeting carries no data: new connections can be made.
        drop(net.connect(from, to));
        net.clear();
        assert!(net.transfers(from, to, 1_000));
    }
}

pub(crate) fn a_flapping_link_goes_down_and_up() {
    let net = Net::new();
    let (sender, receiver) = (net.udp(A), net.udp(B));
    receiver.set_nonblocking(true).unwrap();
    net.set(A, B, LinkRule { flap_us: Some(50_000), ..rule() });
    let start = Instant::now();
    let mut passed = Vec::new();
    while start.elapsed() < Duration::from_secs(1) {
        let before = net.counters(A, B);
        sender.send_to(b"up?", receiver.local_addr().unwrap()).unwrap();
        until("it has come in", || net.counters(A, B).packets > before.packets);
        std::thread::sleep(Duration::from_millis(2));
        passed.push(receiver.recv(&mut [0; 8]).is_ok());
    }
    assert!(!passed[0], "it begins by going down");
    let changes = passed.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!((4..=20).contains(&changes), "{changes} changes within 20 turns: {passed:?}");
    net.clear();
    assert!(net.reaches(A, B));
}

pub(crate) fn owners_add_up_and_are_cleared_apart() {
    let net = Net::new();
    let slow = LinkRule { delay_us: 15_000, ..rule() };
    net.0.set("one", A, B, slow.clone()).unwrap();
    net.0.set("two", A, B, slow.clone()).unwrap();
    net.0.set("two", A, C, slow).unwrap();
    let both = net.round_trip(A, B, 5);
    assert!(both >= Duration::from_millis(30), "{both:?}");
    net.0.clear("one").unwrap();
    let one = net.round_trip(A, B, 20);
    assert!(one >= Duration::from_millis(15) && one < Duration::from_millis(30), "{one:?}");
    assert!(net.round_trip(A, C, 5) >= Duration::from_millis(15));
    net.0.clear("two").unwrap();
    net.0.clear("two").unwrap();
    for to in [B, C] {
        let none = net.round_trip(A, to, 50);
        assert!(none < Duration::from_millis(15), "{none:?}");
    }
}

pub(crate) fn rules_are_one_way_and_spare_other_links() {
    let net = Net::new();
    let cut = LinkRule { cut: true, ..rule() };
    net.set(A, B, cut.clone());
    net.set(CLIENTS, C, cut);
    let cut_links = BTreeSet::from([(A, B), (CLIENTS, C)]);
    for (from, to) in pairs() {
        assert_eq!(net.reaches(from, to), !cut_links.contains(&(from, to)), "{from:?} to {to:?}");
    }
    assert_eq!((net.counters(A, B).dropped, net.counters(B, A).dropped), (1, 0));
    net.clear();
    assert!(net.reaches(A, B) && net.reaches(CLIENTS, C));
}

pub(crate) fn a_cut_stalls_connections_and_mending_revives_them() {
    let net = Net::new();
    let (mut ours, mut theirs) = net.connect(A, B);
    net.0.cut(0, 1).unwrap();
    // Another owner's rules come and go beside it.
    net.set(A, B, LinkRule { delay_us: 1, ..rule() });
    net.clear();
    ours.write_all(b"held up").unwrap();
    theirs.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    assert_eq!(theirs.read(&mut [0; 16]).unwrap_err().kind(), ErrorKind::WouldBlock, "a silent stall");
    assert!(!net.reaches(A, B) && net.reaches(B, A));
    net.0.mend(0, 1).unwrap();
    net.0.mend(0, 1).unwrap();
    theirs.set_read_timeout(Some(BOUND)).unwrap();
    theirs.read_exact(&mut [0; 7]).unwrap();
    assert!(net.reaches(A, B));
}

pub(crate) fn wrong_rules_and_fabrics_without_a_switch_are_refused() {
    let net = Net::new();
    assert!(net.0.set("test", A, B, LinkRule { loss: 2.0, ..rule() }).is_err());
    assert!(net.0.set("test", A, A, rule()).is_err());
    drop(net);
    let life = || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        let bridge = Network::build(2, &Wiring::Bridge).unwrap();
        assert!(bridge.set("test", A, B, rule()).unwrap_err().contains("no switch"));
        assert_eq!(bridge.clear("test"), Ok(()));
        assert_eq!(bridge.counters(A, B), None);
    };
    std::thread::spawn(life).join().unwrap();
}
