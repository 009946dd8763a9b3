//! What the switch's thread and the rest of the harness share: the rules and counters of every directed link.
//!
//! Whoever sets a rule writes it under a lock and then raises the link's version. The switch compares
//! versions for every packet, which costs one load, and takes the lock only when there is something new. So
//! a rule is in force for every packet that is sent after [`Links::set`] has returned, the switch need not be
//! woken for it, and setting never waits for traffic.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ordeal_core::{End, LinkCounters, LinkRule};

use super::rules::{Effective, Owners, Standing, check};

/// The last byte of the hardware address of the clients' port; nodes have their index plus one.
pub(crate) const CLIENTS_NUMBER: u8 = 0xfe;

/// A number that only the switch's thread changes.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self) {
        self.0.store(self.get() + 1, Ordering::Release);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// The counters of a directed link.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) packets: Count,
    pub(super) dropped: Count,
    pub(super) delayed: Count,
    pub(super) duplicated: Count,
    pub(super) corrupted: Count,
    pub(super) reset: Count,
}

/// A directed link.
#[derive(Debug, Default)]
pub(super) struct Link {
    owners: Mutex<Owners>,
    version: AtomicU64,
    pub(super) tally: Tally,
}

impl Link {
    fn owners(&self) -> MutexGuard<'_, Owners> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Owners)) {
        let mut owners = self.owners();
        change(&mut owners);
        self.version.fetch_add(1, Ordering::Release);
    }

    /// The version and what the rules come to, if they have changed since `version`.
    pub(super) fn newer_than(&self, version: u64) -> Option<(u64, Option<Effective>)> {
        if self.version.load(Ordering::Acquire) == version {
            return None;
        }
        let owners = self.owners();
        Some((self.version.load(Ordering::Acquire), Effective::of(&owners)))
    }
}

/// All directed links of a switch with so many nodes.
#[derive(Debug)]
pub(super) struct Links {
    nodes: usize,
    links: Vec<Link>,
}

impl Links {
    pub(super) fn new(nodes: usize) -> Self {
        let ports = nodes + 1;
        Links { nodes, links: (0..ports * ports).map(|_| Link::default()).collect() }
    }

    /// The port whose hardware address ends in this byte. The clients' comes after those of the nodes.
    pub(super) fn port(&self, number: u8) -> Option<usize> {
        match usize::from(number) {
            _ if number == CLIENTS_NUMBER => Some(self.nodes),
            number if (1..=self.nodes).contains(&number) => Some(number - 1),
            _ => None,
        }
    }

    pub(super) fn index(&self, from: usize, to: usize) -> usize {
        from * (self.nodes + 1) + to
    }

    pub(super) fn link(&self, index: usize) -> &Link {
        &self.links[index]
    }

    fn between(&self, from: End, to: End) -> Result<&Link, String> {
        let port = |end| match end {
            End::Node(node) if node < self.nodes => Ok(node),
            End::Node(node) => Err(format!("there is no node {node}, only {}", self.nodes)),
            End::Clients => Ok(self.nodes),
        };
        let (from, to) = (port(from)?, port(to)?);
        if from == to {
            return Err("there is no link from an end to itself".to_owned());
        }
        Ok(&self.links[self.index(from, to)])
    }

    /// Sets a rule, in place of what its owner had set.
    pub(super) fn set(&self, owner: &'static str, from: End, to: End, rule: LinkRule) -> Result<(), String> {
        check(&rule)?;
        self.between(from, to)?.change(|owners| {
            if rule == LinkRule::default() {
                owners.remove(owner);
            } else {
                owners.insert(owner, Standing { rule, since: Instant::now() });
            }
        });
        Ok(())
    }

    /// Takes an owner's rule on one link back.
    pub(super) fn unset(&self, owner: &'static str, from: End, to: End) -> Result<(), String> {
        self.set(owner, from, to, LinkRule::default())
    }

    /// Takes everything back that an owner set.
    pub(super) fn clear(&self, owner: &'static str) {
        for link in self.links.iter().filter(|link| link.owners().contains_key(owner)) {
            link.change(|owners| {
                owners.remove(owner);
            });
        }
    }

    pub(super) fn counters(&self, from: End, to: End) -> Option<LinkCounters> {
        let tally = &self.between(from, to).ok()?.tally;
        Some(LinkCounters {
            // Read first, as it is counted last.
            packets: tally.packets.get(),
            dropped: tally.dropped.get(),
            delayed: tally.delayed.get(),
            duplicated: tally.duplicated.get(),
            corrupted: tally.corrupted.get(),
            reset: tally.reset.get(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: End = End::Node(0);
    const B: End = End::Node(1);

    fn links_with(rules: &[(&'static str, End, End, u64)]) -> Links {
        let links = Links::new(2);
        for &(owner, from, to, delay_us) in rules {
            links.set(owner, from, to, LinkRule { delay_us, ..LinkRule::default() }).expect("a link");
        }
        links
    }

    fn delay_us(links: &Links, from: End, to: End) -> Option<u64> {
        let link = links.between(from, to).expect("a link");
        // As a switch that knows of nothing yet.
        link.newer_than(0).and_then(|(_, rule)| rule).map(|rule| rule.delay_us)
    }

    #[test]
    fn rules_are_by_owner_and_direction() {
        let links = links_with(&[("one", A, B, 5), ("two", A, B, 7), ("two", B, End::Clients, 9)]);
        assert_eq!(delay_us(&links, A, B), Some(12));
        assert_eq!(delay_us(&links, B, A), None);
        assert_eq!(delay_us(&links, B, End::Clients), Some(9));
        links.clear("two");
        assert_eq!((delay_us(&links, A, B), delay_us(&links, B, End::Clients)), (Some(5), None));
        links.clear("two");
        links.unset("one", A, B).expect("a link");
        assert_eq!(delay_us(&links, A, B), None);
    }

    #[test]
    fn an_owner_replaces_its_own_rule() {
        let links = links_with(&[("one", A, B, 5), ("one", A, B, 6)]);
        assert_eq!(delay_us(&links, A, B), Some(6));
    }

    #[test]
    fn the_switch_hears_of_every_change_once() {
        let links = links_with(&[("one", A, B, 5)]);
        let link = links.between(A, B).expect("a link");
        let (version, _) = link.newer_than(0).expect("a change");
        assert!(link.newer_than(version).is_none());
        links.clear("somebody else");
        assert!(link.newer_than(version).is_none());
        links.clear("one");
        assert!(link.newer_than(version).is_some());
    }

    #[test]
    fn links_that_do_not_exist_are_refused() {
        let links = Links::new(2);
        assert!(links.set("one", A, A, LinkRule::default()).is_err());
        assert!(links.set("one", A, End::Node(2), LinkRule::default()).is_err());
        assert_eq!(links.counters(End::Clients, End::Clients), None);
        assert_eq!(links.counters(End::Clients, B), Some(LinkCounters::default()));
    }

    #[test]
    fn ports_go_by_their_hardware_address() {
        let links = Links::new(2);
        assert_eq!(
            [0, 1, 2, 3, CLIENTS_NUMBER].map(|n| links.port(n)),
            [None, Some(0), Some(1), None, Some(2)]
        );
    }
}
