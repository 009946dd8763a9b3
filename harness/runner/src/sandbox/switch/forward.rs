//! The switch's thread: takes frames from ports, asks the link what becomes of each, sends it on.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::EventFd;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use ordeal_core::Rng;

use super::capture::Capture;
use super::frame::{Destination, Segment, destination, is_housekeeping};
use super::lane::{Carries, Change, Fate, Lane};
use super::links::Links;
use super::port::Port;
use super::ring::SLOT_BYTES;
use super::rules::Effective;

/// So many frames are taken from one port before the next has its turn.
const BATCH: usize = 64;
/// Frames that are delayed may take so much memory; what comes beyond is dropped.
const WAITING_BYTES_MAX: usize = 256 << 20;
/// What epoll calls the timer and the wish to stop; ports go by their number.
const TIMER: u64 = u64::MAX;
const STOP: u64 = u64::MAX - 1;

/// A frame on its way. Frames that are due at the same moment leave in the order in which they came.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Waiting {
    due: Instant,
    number: u64,
    link: usize,
    to: usize,
    frame: Vec<u8>,
}

/// A directed link: its state, and its rules as last looked up.
#[derive(Debug)]
struct Known {
    lane: Lane,
    version: u64,
    rule: Option<Effective>,
}

/// What the switch's thread owns.
#[derive(Debug)]
pub(super) struct Forwarder {
    ports: Vec<Port>,
    links: Arc<Links>,
    known: Vec<Known>,
    waiting: BinaryHeap<Reverse<Waiting>>,
    waiting_bytes: usize,
    number: u64,
    capture: Option<Capture>,
    epoll: Epoll,
    /// Timers of this kind have no slack, unlike a timeout of the wait itself.
    timer: TimerFd,
    /// For when the timer is set.
    timer_due: Option<Instant>,
}

impl Forwarder {
    /// A switch with these ports, of which the last is the clients'; it ends when `stop` is written to.
    pub(super) fn new(
        ports: Vec<Port>,
        links: Arc<Links>,
        seed: u64,
        capture: Option<Capture>,
        stop: &EventFd,
    ) -> nix::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        for (number, port) in ports.iter().enumerate() {
            epoll.add(port, EpollEvent::new(EpollFlags::EPOLLIN, number as u64))?;
        }
        let timer =
            TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK)?;
        epoll.add(&timer, EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, TIMER))?;
        epoll.add(stop, EpollEvent::new(EpollFlags::EPOLLIN, STOP))?;
        let pairs = (0..ports.len()).flat_map(|from| (0..ports.len()).map(move |to| (from, to)));
        let known = pairs.map(|(from, to)| Known {
            lane: Lane::new(Rng::fork(seed, &format!("{from}-{to}"))),
            version: 0,
            rule: None,
        });
        Ok(Forwarder {
            known: known.collect(),
            ports,
            links,
            waiting: BinaryHeap::new(),
            waiting_bytes: 0,
            number: 0,
            capture,
            epoll,
            timer,
            timer_due: None,
        })
    }

    /// Forwards until told to stop.
    pub(super) fn run(mut self) {
        go_first();
        let mut buffer = [0; SLOT_BYTES];
        let mut events = [EpollEvent::empty(); 64];
        loop {
            let ready = match self.epoll.wait(&mut events, EpollTimeout::NONE) {
                Ok(ready) => ready,
                Err(Errno::EINTR) => 0,
                Err(errno) => {
                    tracing::error!(%errno, "the switch cannot wait for packets; no more will pass");
                    return;
                }
            };
            for event in &events[..ready] {
                self.send_due();
                match event.data() {
                    STOP => return self.tell_overruns(),
                    TIMER => self.timer_due = None,
                    port => self.drain(port as usize, &mut buffer),
                }
            }
            self.send_due();
            self.set_timer();
        }
    }

    fn drain(&mut self, from: usize, buffer: &mut [u8; SLOT_BYTES]) {
        for _ in 0..BATCH {
            let Some(frame) = self.ports[from].receive(buffer) else {
                return;
            };
            if let Some(capture) = &mut self.capture {
                capture.take(frame);
            }
            let ruled = !is_housekeeping(frame);
            match destination(frame) {
                Destination::Everyone => {
                    for to in (0..self.ports.len()).filter(|&to| to != from) {
                        self.pass(from, to, frame, ruled);
                    }
                }
                Destination::Port(number) => match self.links.port(number) {
                    Some(to) if to != from => self.pass(from, to, frame, ruled),
                    _ => {}
                },
                Destination::Nobody => {}
            }
        }
    }

    /// Sends a frame along a link, `ruled` by what faults have set there or not.
    fn pass(&mut self, from: usize, to: usize, frame: &[u8], ruled: bool) {
        if !ruled {
            self.ports[to].send(frame);
            return;
        }
        let index = self.links.index(from, to);
        self.obey(index, from, to, frame);
        // Counted last: whoever sees so many packets also sees what became of them.
        self.links.link(index).tally.packets.add();
    }

    /// Does with a frame what the link's rules say.
    fn obey(&mut self, index: usize, from: usize, to: usize, frame: &[u8]) {
        let (known, link) = (&mut self.known[index], self.links.link(index));
        // Looked at for every packet: whoever has set a rule may count on it from then on.
        if let Some((version, rule)) = link.newer_than(known.version) {
            (known.version, known.rule) = (version, rule);
        }
        let Some(rule) = &known.rule else {
            if !self.ports[to].send(frame) {
                link.tally.dropped.add();
            }
            return;
        };
        let segment = if rule.touches_payload() { Segment::find(frame) } else { None };
        let stream = segment.as_ref().is_some_and(|segment| segment.is_stream(frame));
        let carries = Carries { payload: segment.is_some(), stream };
        let now = Instant::now();
        let Fate::Sent { change, due, copy_due } = known.lane.judge(rule, now, frame.len(), carries) else {
            link.tally.dropped.add();
            return;
        };
        let changed =
            change.zip(segment).map(|(change, segment)| self.change(index, from, frame, change, &segment));
        let frame = changed.as_deref().unwrap_or(frame);
        self.send_at(due, now, index, to, frame);
        if let Some(due) = copy_due {
            self.links.link(index).tally.duplicated.add();
            self.send_at(due, now, index, to, frame);
        }
    }

    /// What arrives in place of a frame.
    fn change(&self, index: usize, from: usize, frame: &[u8], change: Change, segment: &Segment) -> Vec<u8> {
        let tally = &self.links.link(index).tally;
        match change {
            Change::Reset => {
                let [to_receiver, to_sender] = segment.resets(frame);
                tally.reset.add();
                tally.dropped.add();
                // The sender expects nothing else before it, so it need not wait for anything.
                self.ports[from].send(&to_sender);
                to_receiver
            }
            Change::Flip { undetected, die } => {
                tally.corrupted.add();
                let mut flipped = frame.to_vec();
                segment.flip(&mut flipped, die, undetected);
                flipped
            }
        }
    }

    fn send_at(&mut self, due: Instant, now: Instant, link: usize, to: usize, frame: &[u8]) {
        let tally = &self.links.link(link).tally;
        if due <= now {
            if !self.ports[to].send(frame) {
                tally.dropped.add();
            }
        } else if self.waiting_bytes + frame.len() > WAITING_BYTES_MAX {
            tally.dropped.add();
        } else {
            tally.delayed.add();
            self.waiting_bytes += frame.len();
            self.number += 1;
            let frame = frame.to_vec();
            self.waiting.push(Reverse(Waiting { due, number: self.number, link, to, frame }));
        }
    }

    fn send_due(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let now = Instant::now();
        while self.waiting.peek().is_some_and(|Reverse(first)| first.due <= now) {
            let Some(Reverse(first)) = self.waiting.pop() else {
                return;
            };
            self.waiting_bytes -= first.frame.len();
            if !self.ports[first.to].send(&first.frame) {
                self.links.link(first.link).tally.dropped.add();
            }
        }
    }

    fn set_timer(&mut self) {
        let due = self.waiting.peek().map(|Reverse(first)| first.due);
        if due.is_none() || due == self.timer_due {
            return;
        }
        self.timer_due = due;
        // Nought would switch the timer off.
        let rest = due.map_or(Duration::ZERO, |due| due.saturating_duration_since(Instant::now()));
        let once = Expiration::OneShot(TimeSpec::from(rest.max(Duration::from_nanos(1))));
        if let Err(errno) = self.timer.set(once, TimerSetTimeFlags::empty()) {
            tracing::error!(%errno, "the switch cannot set its timer; delayed packets will be late");
        }
    }

    fn tell_overruns(&self) {
        let packets: u32 = self.ports.iter().map(|port| port.overruns().unwrap_or(0)).sum();
        if packets > 0 {
            tracing::warn!(packets, "lost in the switch, which was too slow for them");
        }
    }
}

/// Every packet waits for this thread, so it goes before others where the kernel allows that (for root).
fn go_first() {
    const CALLING_THREAD: libc::id_t = 0;
    const NICE: libc::c_int = -10;
    // SAFETY: the call takes no pointers.
    let _ = unsafe { libc::setpriority(libc::PRIO_PROCESS, CALLING_THREAD, NICE) };
}
