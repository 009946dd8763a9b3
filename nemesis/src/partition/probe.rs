//! The proof of a partition: a datagram over every link, and where packets are rejected a connection.
//!
//! A round ends when every datagram that should arrive has been seen, and none that should not has been for
//! some time after. What is missing where other faults are in force is named as theirs to answer for, and
//! proves nothing.

use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use ordeal_core::{End, LinkRule, Probe};
use serde_json::{Value, json};

use super::NAME;
use crate::ends::{Link, Links, all, name, names};
use crate::in_force::{InForce, delay_us_max};
use crate::link::segments::{NotConnected, dial, listen};
use crate::sockets::Sockets;

/// The longest wait for what should arrive, if no other fault delays it.
const ARRIVAL_TIMEOUT: Duration = Duration::from_millis(500);
/// The longest that waiting for what other faults delay may add.
const DELAY_MAX: Duration = Duration::from_secs(3);
/// Datagrams not seen yet are sent again this often: a link that has just come back may lose one.
const RESEND_INTERVAL: Duration = Duration::from_millis(50);
/// How long to wait for what should not arrive: far longer than the others took.
const GRACE: Duration = Duration::from_millis(30);
/// A connection that is rejected is refused much faster than this; one that is not takes seconds.
const REFUSAL_TIMEOUT: Duration = Duration::from_millis(300);
/// The most connections tried.
const DIALLED_MAX: usize = 6;
const MAGIC: [u8; 4] = *b"ORDL";

/// What was seen of a partition.
pub(crate) struct Round {
    /// Whether exactly what is cut does not arrive, as far as other faults let one see.
    pub(crate) proved: bool,
    pub(crate) seen: Value,
}

impl From<Round> for Probe {
    fn from(Round { proved, seen }: Round) -> Self {
        Probe { proved, seen }
    }
}

/// Whether a rule can keep a datagram from arriving that is sent again and again.
fn blocks(rule: &LinkRule) -> bool {
    rule.cut || rule.loss > 0.5 || rule.corrupt > 0.5 || rule.flap_us.is_some() || rule.rate_bps.is_some()
}

/// One round over all links. `healed`: what was cut before, and of which something must be seen to pass
/// again. Blocks for about as long as the slowest datagram takes, and a grace if anything is cut.
pub(crate) fn round(
    sockets: &Sockets,
    in_force: &InForce,
    cuts: &Links,
    healed: &Links,
) -> Result<Round, String> {
    let number = sockets.next_round();
    let links: Links = all(sockets.nodes()).collect();
    let others = |link: &Link| in_force.others(NAME, *link);
    let held = |links: &mut dyn Iterator<Item = &Link>| {
        let most_us = links.map(|link| delay_us_max(&others(link))).max().unwrap_or_default();
        Duration::from_micros(most_us).min(DELAY_MAX)
    };
    let expected: Links = links.difference(cuts).copied().collect();
    let blocked_before: Links = links.iter().filter(|link| blocks(&others(link))).copied().collect();
    let must: Links = expected.difference(&blocked_before).copied().collect();
    let timeout = ARRIVAL_TIMEOUT + held(&mut expected.iter());
    let mut seen = Links::new();
    let start = Instant::now();
    let mut resend = start;
    loop {
        if Instant::now() >= resend {
            for &link in links.difference(&seen) {
                sockets.send(link, &encode(number, link));
            }
            resend += RESEND_INTERVAL;
        }
        receive(sockets, number, resend.min(start + timeout), &mut seen)?;
        if seen.is_superset(&must) || start.elapsed() >= timeout {
            break;
        }
    }
    let arrived_us = start.elapsed().as_micros() as u64;
    let grace = Instant::now() + GRACE + held(&mut cuts.iter());
    while !cuts.is_empty() && Instant::now() < grace {
        receive(sockets, number, grace, &mut seen)?;
    }
    let blocked: Links =
        links.iter().filter(|link| blocked_before.contains(link) || blocks(&others(link))).copied().collect();
    Ok(conclude(&links, &seen, cuts, healed, &blocked, arrived_us))
}

/// `blocked`: where other faults may be why nothing arrives.
fn conclude(
    links: &Links,
    seen: &Links,
    cuts: &Links,
    healed: &Links,
    blocked: &Links,
    arrived_us: u64,
) -> Round {
    let missing: Links = links.difference(seen).copied().collect();
    let unexpected: Links = missing.difference(cuts).copied().collect();
    let lost: Links = unexpected.difference(blocked).copied().collect();
    let masked: Links = unexpected.intersection(blocked).copied().collect();
    let leaked: Links = seen.intersection(cuts).copied().collect();
    // Something must speak for it that only this fault can be the reason of.
    let cut_seen = cuts.is_empty() || cuts.iter().any(|link| !blocked.contains(link));
    let heal_seen = healed.is_empty() || healed.iter().any(|link| seen.contains(link));
    let mut report = json!({ "passed": seen.len(), "blocked": names(&missing), "arrived_us": arrived_us });
    for (what, links) in [("lost", lost.clone()), ("leaked", leaked.clone()), ("masked_by_others", masked)] {
        if !links.is_empty() {
            report[what] = names(&links);
        }
    }
    if !cut_seen {
        report["cut_masked_by_others"] = json!(true);
    }
    Round { proved: lost.is_empty() && leaked.is_empty() && cut_seen && heal_seen, seen: report }
}

/// Whether connections over cut links are refused at once, as rejecting means.
pub(crate) fn refusals(sockets: &Sockets, in_force: &InForce, cuts: &Links) -> Result<Round, String> {
    let free: Vec<Link> =
        cuts.iter().copied().filter(|&l| in_force.others(NAME, l) == LinkRule::default()).collect();
    let mut refused = Vec::new();
    let mut not = Vec::new();
    for &link in free.iter().step_by(free.len().div_ceil(DIALLED_MAX).max(1)) {
        let back = in_force.others(NAME, (link.1, link.0));
        if back != LinkRule::default() {
            continue;
        }
        let listener = listen(sockets, link)?;
        let port = listener.local_addr().map_err(|e| format!("cannot listen: {e}"))?.port();
        let address = SocketAddrV4::new(sockets.ip(link.1), port);
        match dial(sockets, link, address, REFUSAL_TIMEOUT) {
            Err(NotConnected::Refused) => refused.push(name(link)),
            Err(NotConnected::Other(why)) => not.push(json!({ "link": name(link), "saw": why })),
            Ok(_) => not.push(json!({ "link": name(link), "saw": "it was connected" })),
        }
    }
    let proved = not.is_empty() && !refused.is_empty();
    Ok(Round { proved, seen: json!({ "refused": refused, "not_refused": not }) })
}

fn receive(sockets: &Sockets, round: u64, deadline: Instant, seen: &mut Links) -> Result<(), String> {
    sockets.receive_until(deadline, |link, datagram| {
        if datagram == encode(round, link) {
            seen.insert(link);
        }
    })
}

fn encode(round: u64, (from, to): Link) -> [u8; 16] {
    let end = |end| match end {
        End::Node(node) => (node as u16).to_be_bytes(),
        End::Clients => [0xff; 2],
    };
    let mut datagram = [0; 16];
    datagram[..4].copy_from_slice(&MAGIC);
    datagram[4..12].copy_from_slice(&round.to_be_bytes());
    datagram[12..14].copy_from_slice(&end(from));
    datagram[14..].copy_from_slice(&end(to));
    datagram
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const LINK: Link = (End::Node(0), End::Node(1));

    fn prove(sockets: &Sockets, in_force: &InForce, cuts: &[Link]) -> Round {
        round(sockets, in_force, &cuts.iter().copied().collect(), &Links::new()).unwrap()
    }

    #[test]
    fn where_everything_passes_nothing_is_proved_but_that() {
        let (sockets, alone) = (Sockets::on_loopback(3), InForce::default());
        let whole = prove(&sockets, &alone, &[]);
        assert!(whole.proved);
        assert_eq!(whole.seen["passed"], 12);
        let cut = prove(&sockets, &alone, &[LINK]);
        assert!(!cut.proved);
        assert_eq!(cut.seen["leaked"], json!([[0, 1]]));
        assert!(prove(&sockets, &alone, &[]).proved, "what leaked late does not spoil the next round");
    }

    #[test]
    fn what_does_not_arrive_is_lost_unless_it_was_cut() {
        let (mut sockets, in_force) = (Sockets::on_loopback(2), InForce::default());
        // Datagrams to the clients go astray, and their own come from an unknown address.
        sockets.divert(End::Clients, SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9));
        let astray: Vec<Link> = crate::ends::with_clients([0, 1]).collect();
        let seen = prove(&sockets, &in_force, &[]);
        assert!(!seen.proved);
        assert_eq!(seen.seen["lost"].as_array().unwrap().len(), 4);
        assert!(prove(&sockets, &in_force, &astray).proved);

        in_force.set("flap", astray.iter().copied(), &LinkRule { flap_us: Some(1), ..LinkRule::default() });
        let masked = prove(&sockets, &in_force, &[]);
        assert!(masked.proved, "another fault is to answer for it: {}", masked.seen);
        assert_eq!(masked.seen["masked_by_others"].as_array().unwrap().len(), 4);
        let hidden = prove(&sockets, &in_force, &astray);
        assert!(!hidden.proved, "nothing says that it was us: {}", hidden.seen);
        let healed = round(&sockets, &in_force, &Links::new(), &astray.into_iter().collect()).unwrap();
        assert!(!healed.proved, "none of those that were cut was seen to pass: {}", healed.seen);
    }
}
