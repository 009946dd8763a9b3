//! Random schedules of the parts without I/O: a database and caches whose messages arrive in any order, late or never,
//! whose clocks drift, and which die. Whatever happens, no cache serves anything that is older than what was written
//! last.

use std::time::Duration;

use ordeal_kit::Id;

use crate::bugs::Bug;
use crate::clock::Terms;
use crate::copies::Copies;
use crate::leases::{Holder, Leases};
use crate::score::Standing;

const TERMS: Terms = Terms { lease: Duration::from_millis(1_000), drift_percent: 5 };
const NODES: usize = 3;
const STEPS: usize = 400;
const SCHEDULES: u64 = 400;

/// Numbers that look random (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

/// A message under way.
enum Message {
    AskLease { cache: usize, session: Option<u64>, asked: Duration },
    Granted { cache: usize, session: Option<u64>, asked: Duration },
    AskRead { holder: Holder },
    Found { holder: Holder, sequence: u64, may_copy: bool },
    Invalidate { cache: usize, sequence: u64 },
    Confirmed { cache: usize, sequence: u64 },
}

/// The write that is under way.
struct Write {
    sequence: u64,
    /// Who has not confirmed, and when that no longer matters, if it was given up already.
    waits_for: Vec<(Holder, Option<Duration>)>,
}

struct World {
    random: Random,
    bug: Option<Bug>,
    /// True time, in milliseconds. The clock of node `n` runs at `rates[n]` percent of it.
    now: u64,
    rates: [u64; NODES],
    life: u32,
    sequence: u64,
    leases: Leases,
    write: Option<Write>,
    /// By node; that of the database is not used.
    copies: Vec<Copies>,
    /// The incarnation of a cache: what was asked by an earlier one is not answered to the next.
    born: [u64; NODES],
    under_way: Vec<(u64, Message)>,
    hits: u64,
}

fn of() -> Id {
    "m1".parse().unwrap()
}

impl World {
    fn new(seed: u64, bug: Option<Bug>) -> Self {
        let mut random = Random(seed);
        let rates = std::array::from_fn(|_| 95 + random.below(11));
        let leases = Leases::new(TERMS, (0, NODES), 1, Duration::ZERO, bug);
        let copies = (0..NODES).map(|_| Copies::new(TERMS, bug)).collect();
        World {
            random,
            bug,
            now: 0,
            rates,
            life: 1,
            sequence: 0,
            leases,
            write: None,
            copies,
            born: [0; NODES],
            under_way: Vec::new(),
            hits: 0,
        }
    }

    fn clock(&self, node: usize) -> Duration {
        Duration::from_millis(self.now * self.rates[node] / 100)
    }

    fn send(&mut self, cache: usize, message: Message) {
        self.under_way.push((self.born[cache], message));
    }

    fn step(&mut self) {
        let cache = 1 + self.random.below(NODES as u64 - 1) as usize;
        match self.random.below(100) {
            0..10 => self.now += self.random.below(60),
            10..11 => self.now += self.random.below(1_500),
            11..70 => self.deliver(),
            70..71 if !self.under_way.is_empty() => self.lose(),
            71..78 => {
                let asked = self.clock(cache);
                let session = self.copies[cache].session();
                self.send(cache, Message::AskLease { cache, session, asked });
            }
            78..90 => {
                let session = self.copies[cache].session();
                self.send(cache, Message::AskRead { holder: Holder { cache, session } });
            }
            90..95 => self.begin_write(),
            95..96 => self.restart_cache(cache),
            96..97 => self.restart_database(),
            _ => {}
        }
        self.end_write();
    }

    fn lose(&mut self) {
        let lost = self.random.below(self.under_way.len() as u64) as usize;
        self.under_way.swap_remove(lost);
    }

    fn restart_cache(&mut self, cache: usize) {
        self.copies[cache] = Copies::new(TERMS, self.bug);
        self.born[cache] += 1;
    }

    fn restart_database(&mut self) {
        self.life += 1;
        self.leases = Leases::new(TERMS, (0, NODES), self.life, self.clock(0), self.bug);
        self.write = None;
    }

    fn begin_write(&mut self) {
        if self.write.is_some() {
            return;
        }
        let sequence = self.sequence + 1;
        let holders = self.leases.begin_write(&of(), self.clock(0));
        for holder in &holders {
            self.send(holder.cache, Message::Invalidate { cache: holder.cache, sequence });
        }
        let waits_for = holders.into_iter().map(|holder| (holder, None)).collect();
        self.write = Some(Write { sequence, waits_for });
    }

    /// Gives up waiting now and then, and commits when there is nobody left to wait for.
    fn end_write(&mut self) {
        let now = self.clock(0);
        let Some(write) = &mut self.write else { return };
        let gives_up = self.random.below(20) == 0;
        for (holder, until) in &mut write.waits_for {
            if gives_up && until.is_none() {
                *until = Some(self.leases.close(*holder, now));
            }
        }
        write.waits_for.retain(|(_, until)| until.is_none_or(|until| now <= until));
        if write.waits_for.is_empty() {
            self.sequence = write.sequence;
            self.write = None;
            self.leases.end_write(&of());
        }
    }

    /// Some message arrives, usually one of the oldest.
    fn deliver(&mut self) {
        if self.under_way.is_empty() {
            return;
        }
        let among =
            if self.random.below(4) == 0 { self.under_way.len() } else { self.under_way.len().min(3) };
        let at = self.random.below(among as u64) as usize;
        let (born, message) = self.under_way.remove(at);
        let now = self.clock(0);
        match message {
            Message::AskLease { cache, session, asked } => {
                let session = match session {
                    None => Some(self.leases.begin(cache, now)),
                    Some(session) => self.leases.renew(cache, session, now).then_some(session),
                };
                self.under_way.push((born, Message::Granted { cache, session, asked }));
            }
            Message::Granted { cache, session, asked } if born == self.born[cache] => match session {
                // Of the answers that a cache waits for there is one at a time: it must be the latest question.
                Some(session) if self.waits_for_lease(cache, session) => {
                    let under = self.copies[cache].session();
                    self.copies[cache].granted(session, under, asked);
                }
                Some(_) => {}
                None => self.copies[cache].end(),
            },
            Message::AskRead { holder } => {
                let may_copy = self.leases.may_copy(&of(), holder, now);
                let sequence = self.sequence;
                self.under_way.push((born, Message::Found { holder, sequence, may_copy }));
            }
            Message::Found { holder, sequence, may_copy } if born == self.born[holder.cache] => {
                if let (true, Some(session)) = (may_copy, holder.session) {
                    self.copies[holder.cache].fill(&of(), Standing { sequence, score: None }, session);
                }
            }
            Message::Invalidate { cache, sequence } => {
                // Whoever is there now is told, also if it was meant for somebody before.
                self.copies[cache].invalidate(&of(), sequence);
                self.under_way.push((born, Message::Confirmed { cache, sequence }));
            }
            Message::Confirmed { cache, sequence } => {
                if let Some(write) = self.write.as_mut().filter(|write| write.sequence == sequence) {
                    write.waits_for.retain(|(holder, _)| holder.cache != cache);
                }
            }
            Message::Granted { .. } | Message::Found { .. } => {}
        }
    }

    /// A renewal, or a first grant.
    fn waits_for_lease(&self, cache: usize, session: u64) -> bool {
        self.copies[cache].session().is_none_or(|own| own == session)
    }

    /// Whether any cache serves something old.
    fn is_stale(&mut self) -> bool {
        let served: Vec<u64> = (1..NODES)
            .filter_map(|cache| self.copies[cache].hit(&of(), self.clock(cache)))
            .map(|standing| standing.sequence)
            .collect();
        self.hits += served.len() as u64;
        served.iter().any(|sequence| *sequence < self.sequence)
    }
}

/// In how many schedules something old was served, how often anything was, and what was written.
fn run(bug: Option<Bug>) -> (u64, u64, u64) {
    let (mut stale, mut hits, mut written) = (0, 0, 0);
    for seed in 0..SCHEDULES {
        let mut world = World::new(seed, bug);
        let found = (0..STEPS).any(|_| {
            world.step();
            world.is_stale()
        });
        stale += u64::from(found);
        hits += world.hits;
        written += world.sequence;
    }
    (stale, hits, written)
}

#[test]
fn no_schedule_makes_a_cache_serve_what_is_old() {
    let (stale, hits, written) = run(None);
    assert_eq!(stale, 0);
    assert!(hits > 20 * SCHEDULES && written > 2 * SCHEDULES, "{hits} hits, {written} writes");
}

#[test]
fn every_defect_of_leases_and_copies_is_found_so() {
    for bug in [
        Bug::ServesPastLease,
        Bug::LapsedLeaseRenewed,
        Bug::MissedInvalidationsKept,
        Bug::LeasesForgotten,
        Bug::FillRacesInvalidation,
    ] {
        let (stale, ..) = run(Some(bug));
        assert!(stale > 0, "{bug:?}");
    }
}
