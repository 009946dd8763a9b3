//! The network: what the switch costs, beside the kernel's bridge.
//!
//! Between two nodes: the round trip of 64 bytes over one TCP connection, requests of 64 bytes over eight,
//! and one TCP stream; for the bridge, for the switch without rules, and for the switch with rules on every
//! link that change nothing. Fabrics take turns, each in a process of its own, and the median round counts.
//!
//! `cargo bench -p ordeal-runner --bench fabric -- 5` sets the number of rounds.

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};
use ordeal_core::{End, Fabric, LinkRule};
use ordeal_runner::sandbox::{self, Entered, Network, Wiring, node_ip};

const FABRICS: [&str; 3] = ["bridge", "switch", "switch with rules"];
const REQUEST_BYTES: usize = 64;
const CONNECTIONS: usize = 8;
const PART: Duration = Duration::from_secs(1);

/// Microseconds, microseconds, requests a second, megabits a second.
type Figures = [f64; 4];

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["measure", fabric] => inside(fabric),
        [rounds] => compare(rounds.parse().expect("a number of rounds")),
        _ => compare(3),
    }
}

fn compare(rounds: usize) {
    let mut all: Vec<Vec<Figures>> = vec![Vec::new(); FABRICS.len()];
    for _ in 0..rounds {
        for (fabric, measured) in FABRICS.iter().zip(&mut all) {
            let this = std::env::current_exe().expect("own path");
            let output = Command::new(this).args(["measure", fabric]).output().expect("it starts");
            let text = String::from_utf8_lossy(&output.stdout);
            let numbers: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
            measured.push(numbers.try_into().unwrap_or_else(|_| panic!("{fabric}: {output:?}")));
        }
    }
    println!("{:<18} {:>9} {:>9} {:>12} {:>9}", "", "RTT p50", "RTT p99", "8 x requests", "stream");
    for (fabric, measured) in FABRICS.iter().zip(&all) {
        let [p50, p99, requests, mbits] = std::array::from_fn(|figure| {
            let mut values: Vec<f64> = measured.iter().map(|figures| figures[figure]).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        });
        println!("{fabric:<18} {p50:>6.0} us {p99:>6.0} us {requests:>10.0}/s {mbits:>4.0} Mb/s");
    }
}

fn inside(fabric: &str) {
    match sandbox::enter().expect("a sandbox") {
        Entered::Inside => {}
        Entered::Outside(Ok(code)) => std::process::exit(code),
        Entered::Outside(Err(signal)) => panic!("killed by {signal}"),
    }
    let wiring = match fabric {
        "bridge" => Wiring::Bridge,
        _ => Wiring::Switch { seed: 1, capture: None },
    };
    let network = Network::build(2, &wiring).expect("a network");
    if fabric == "switch with rules" {
        // Something is in force, but it takes no time and loses nothing.
        let rule = LinkRule { reorder_us: 1, ..LinkRule::default() };
        for (from, to) in [(0, 1), (1, 0)] {
            network.set("bench", End::Node(from), End::Node(to), rule.clone()).expect("a switch");
        }
    }
    let (p50, p99) = round_trips(&network);
    println!("{p50} {p99} {} {}", requests(&network), stream(&network));
}

/// A connection from the first node to the second.
fn connect(network: &Network) -> (TcpStream, TcpStream) {
    std::thread::scope(|scope| {
        let at = |node| move || setns(network.node(node), CloneFlags::CLONE_NEWNET).expect("a namespace");
        let bind = move || {
            at(1)();
            TcpListener::bind((node_ip(1), 0)).expect("an address")
        };
        let listener = scope.spawn(bind).join().expect("no panic");
        let address = listener.local_addr().expect("bound");
        let connect = move || {
            at(0)();
            TcpStream::connect(address).expect("a connection")
        };
        let ours = scope.spawn(connect).join().expect("no panic");
        let (theirs, _) = listener.accept().expect("a connection");
        ours.set_nodelay(true).expect("settable");
        theirs.set_nodelay(true).expect("settable");
        (ours, theirs)
    })
}

fn echo(mut stream: TcpStream) {
    let mut request = [0; REQUEST_BYTES];
    while stream.read_exact(&mut request).is_ok() && stream.write_all(&request).is_ok() {}
}

fn ask(stream: &mut TcpStream) {
    let mut request = [1; REQUEST_BYTES];
    stream.write_all(&request).expect("the other end is there");
    stream.read_exact(&mut request).expect("the other end is there");
}

fn round_trips(network: &Network) -> (f64, f64) {
    let (mut ours, theirs) = connect(network);
    std::thread::spawn(|| echo(theirs));
    let start = Instant::now();
    let mut trips_us = Vec::new();
    while start.elapsed() < PART {
        let asked = Instant::now();
        ask(&mut ours);
        trips_us.push(asked.elapsed().as_secs_f64() * 1e6);
    }
    trips_us.sort_by(f64::total_cmp);
    (trips_us[trips_us.len() / 2], trips_us[trips_us.len() * 99 / 100])
}

fn requests(network: &Network) -> f64 {
    let (answered, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let pairs: Vec<_> = (0..CONNECTIONS).map(|_| connect(network)).collect();
    std::thread::scope(|scope| {
        for (mut ours, theirs) in pairs {
            scope.spawn(|| echo(theirs));
            let (answered, over) = (&answered, &over);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    ask(&mut ours);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        std::thread::sleep(PART);
        over.store(true, Ordering::Relaxed);
    });
    answered.load(Ordering::Relaxed) as f64 / PART.as_secs_f64()
}

fn stream(network: &Network) -> f64 {
    let (mut ours, mut theirs) = connect(network);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let (chunk, start) = ([0; 64 * 1024], Instant::now());
            while start.elapsed() < PART {
                ours.write_all(&chunk).expect("the other end is there");
            }
        });
        let (mut buffer, mut bytes, start) = (vec![0; 64 * 1024], 0, Instant::now());
        loop {
            match theirs.read(&mut buffer).expect("the other end is there") {
                0 => break,
                more => bytes += more,
            }
        }
        bytes as f64 * 8.0 / 1e6 / start.elapsed().as_secs_f64()
    })
}
