//! Whether a fault of links is in force, or gone: bursts over the links and a verdict on each.
//!
//! In force: over a few of the affected links, until each shows it. A link on which other faults hide it is
//! named and proves nothing; at least one must show it. One that is not affected must not show it meanwhile.
//! Gone: over all links that were affected. Where nothing else is in force, everything must arrive once,
//! whole and in order; elsewhere the effect itself must be absent.

use ordeal_core::{LinkRule, Probe};
use serde_json::{Value, json};

use super::burst::{Burst, Seen, Trial};
use super::judge::{Case, Verdict};
use super::kinds::{Effect, Means};
use super::refused::refused;
use super::segments;
use crate::ends::{Link, Links, name, names};
use crate::in_force::{InForce, add};
use crate::sockets::Sockets;

/// The most links over which an effect is looked for, and of how many of them the report tells.
const PROBED_MAX: usize = 4;
/// The most bursts.
const ROUNDS_MAX: usize = 3;
/// The most datagrams a second, over all links: the nodes' own packets must get through as well.
const DATAGRAMS_A_SECOND_MAX: f64 = 8_000.0;

/// What is looked at, and by what means.
pub(crate) struct Examination<'a> {
    pub(crate) effect: &'static Effect,
    pub(crate) rule: &'a LinkRule,
    pub(crate) sockets: &'a Sockets,
    pub(crate) in_force: &'a InForce,
}

/// What is known about one link.
#[derive(Clone)]
struct Look {
    link: Link,
    /// Whether the fault is meant to be there.
    affected: bool,
    seen: Seen,
    others: LinkRule,
    verdict: Verdict,
}

impl Look {
    /// Whether other faults are in force that may be why it is not clear.
    fn masked(&self) -> bool {
        self.verdict == Verdict::Unclear && self.others != LinkRule::default()
    }

    fn at(link: Link, affected: bool) -> Self {
        let (seen, others) = (Seen::default(), LinkRule::default());
        Look { link, affected, seen, others, verdict: Verdict::Unclear }
    }

    /// Whether what is meant to be seen has been.
    fn settled(&self) -> bool {
        self.verdict == if self.affected { Verdict::There } else { Verdict::Absent }
    }

    /// Whether everything arrived as it was sent.
    fn untouched(&self) -> bool {
        let seen = &self.seen;
        seen.lost() + seen.copies + seen.broken + seen.overtakers() + seen.resets == 0
            && seen.arrived() + seen.segments > 0
    }

    fn tell(&self) -> Value {
        let seen = &self.seen;
        let verdict = match self.verdict {
            Verdict::There => "there",
            Verdict::Absent => "absent",
            Verdict::Unclear => "unclear",
        };
        let mut told = json!({ "link": name(self.link), "effect": verdict });
        if seen.sent() > 0 {
            told["sent"] = json!(seen.sent());
        }
        for (what, count) in [
            ("lost", seen.lost()),
            ("copies", seen.copies),
            ("broken", seen.broken),
            ("overtakers", seen.overtakers()),
            ("refused_by_kernel", seen.refused),
            ("segments", seen.segments),
            ("resets", seen.resets),
            ("longest_outage_ms", seen.outages_us().0 / 1_000),
        ] {
            if count > 0 {
                told[what] = json!(count);
            }
        }
        let delays = seen.delays_us();
        if let (Some(least), Some(most)) = (delays.first(), delays.last()) {
            let ms = |us: u64| us as f64 / 1_000.0;
            told["delay_ms"] =
                json!({ "min": ms(*least), "median": ms(delays[delays.len() / 2]), "max": ms(*most) });
        }
        if let (Some(first), Some(last)) = (seen.arrivals.first(), seen.arrivals.last()) {
            let us = (last.at_us - first.at_us).max(1);
            told["carried_kbit"] = json!(seen.bytes * 8_000 / us);
        }
        if let Some(why) = &seen.no_connection {
            told["no_connection"] = json!(why);
        }
        if self.others != LinkRule::default() {
            told["others_in_force"] = json!(true);
        }
        told
    }
}

impl Examination<'_> {
    /// Whether it is in force on these links.
    pub(crate) fn there(&self, affected: &Links) -> Result<Probe, String> {
        let chosen = self.choose(affected);
        let unaffected = crate::ends::all(self.sockets.nodes())
            .filter(|link| !affected.contains(link))
            .min_by_key(|&link| self.others(link) != LinkRule::default());
        let mut looks: Vec<Look> = chosen.into_iter().map(|link| Look::at(link, true)).collect();
        let mut control = None;
        for _ in 0..ROUNDS_MAX {
            let (settled, open): (Vec<Look>, Vec<Look>) = looks.into_iter().partition(Look::settled);
            let mut tried = open.clone();
            tried.extend(unaffected.map(|link| Look::at(link, false)));
            self.measure(&mut tried, true)?;
            control = tried.pop_if(|look| !look.affected);
            // What befalls a link that is not affected as well was something else: this round says nothing.
            let spoilt = control.as_ref().is_some_and(|c| c.verdict == Verdict::There && !c.masked());
            looks = if spoilt { open } else { tried };
            looks.extend(settled);
            if looks.iter().all(|look| look.settled() || look.masked()) {
                break;
            }
        }
        looks.sort_by_key(|look| look.link);
        let shown = looks.iter().filter(|look| look.verdict == Verdict::There).count();
        let hidden = looks.iter().filter(|look| look.masked()).count();
        let mut seen = json!({
            "links_affected": affected.len(),
            "links_probed": looks.len(),
            "links": looks.iter().map(Look::tell).collect::<Vec<_>>(),
        });
        if hidden > 0 {
            let masked = looks.iter().filter(|look| look.masked()).map(|look| &look.link);
            seen["masked_by_others"] = names(masked);
        }
        if let Some(control) = control {
            seen["unaffected"] = control.tell();
        }
        Ok(Probe { proved: shown > 0 && shown + hidden == looks.len(), seen })
    }

    /// Whether it is gone from these links. With it, the links of which that could not be told for others.
    pub(crate) fn gone(&self, affected: &Links) -> Result<(Probe, Links), String> {
        let mut clean = 0;
        let mut left: Vec<Look> = affected.iter().map(|&link| Look::at(link, false)).collect();
        for _ in 0..ROUNDS_MAX {
            // What the last round saw may have been on its way when the fault was taken back.
            left = left.into_iter().map(|look| Look::at(look.link, false)).collect();
            self.measure(&mut left, false)?;
            let before = left.len();
            left.retain(|look| {
                let alone = look.others == LinkRule::default();
                look.verdict != Verdict::Absent || alone && !look.untouched()
            });
            clean += before - left.len();
            if left.iter().all(Look::masked) {
                break;
            }
        }
        let masked: Links = left.iter().filter(|look| look.masked()).map(|look| look.link).collect();
        let mut seen = json!({ "links_affected": affected.len(), "links_untouched": clean });
        if !masked.is_empty() {
            seen["masked_by_others"] = names(&masked);
        }
        if masked.len() < left.len() {
            let not = left.iter().filter(|look| !look.masked()).take(PROBED_MAX);
            seen["links"] = not.map(Look::tell).collect();
        }
        let proved = masked.len() == left.len() && (clean > 0 || affected.is_empty());
        Ok((Probe { proved, seen }, masked))
    }

    /// Some of the affected links, from all over, with as little in force by others as possible.
    fn choose(&self, affected: &Links) -> Vec<Link> {
        let mut free: Vec<Link> = affected.iter().copied().collect();
        free.sort_by_key(|&link| {
            let others = self.others(link);
            (others.cut, others != LinkRule::default())
        });
        let unmasked = free.iter().filter(|&&link| self.others(link) == LinkRule::default()).count();
        let pool = if unmasked > 0 { unmasked } else { free.len() };
        let step = pool.div_ceil(PROBED_MAX);
        free[..pool].iter().copied().step_by(step.max(1)).collect()
    }

    fn others(&self, link: Link) -> LinkRule {
        self.in_force.others(self.effect.name, link)
    }

    /// One round over these links, a batch at a time.
    fn measure(&self, looks: &mut [Look], until_there: bool) -> Result<(), String> {
        let mut rest = looks;
        while !rest.is_empty() {
            let count = match self.effect.means {
                Means::Datagrams(burst) | Means::Row(burst, _) => {
                    let burst = burst(self.rule, &LinkRule::default());
                    let each = burst.count as f64 / burst.spread.as_secs_f64().max(0.001);
                    ((DATAGRAMS_A_SECOND_MAX / each) as usize).max(1)
                }
                Means::Segments(_) => rest.len(),
            };
            let (batch, others) = rest.split_at_mut(count.min(rest.len()));
            self.measure_batch(batch, until_there)?;
            rest = others;
        }
        Ok(())
    }

    fn measure_batch(&self, looks: &mut [Look], until_there: bool) -> Result<(), String> {
        // Whatever is in force at the begin or at the end may have been in the way.
        for look in looks.iter_mut() {
            look.others = self.others(look.link);
        }
        let refused_at = |look: &Look| refused(&self.sockets.namespaces, look.link.1);
        let before = looks.iter().map(refused_at).collect::<Result<Vec<_>, _>>()?;
        match self.effect.means {
            Means::Datagrams(burst) => self.fire(looks, burst, |_, _| false)?,
            Means::Row(burst, enough) => {
                looks.iter_mut().for_each(|look| look.seen = Seen::default());
                self.fire(looks, burst, enough)?;
            }
            Means::Segments(count) => {
                let mut links: Vec<(Link, &mut Seen)> =
                    looks.iter_mut().map(|look| (look.link, &mut look.seen)).collect();
                // Each further round adds as many again.
                let sent = links.iter().map(|(_, seen)| seen.segments).max().unwrap_or_default();
                segments::send(self.sockets, &mut links, sent + count(self.rule), until_there)?;
            }
        }
        for (look, before) in looks.iter_mut().zip(before) {
            look.seen.refused += refused(&self.sockets.namespaces, look.link.1)?.saturating_sub(before);
            let after = self.others(look.link);
            if after != look.others {
                look.others = add(&look.others, &after);
            }
            let case = Case { rule: self.rule, others: &look.others, seen: &look.seen };
            look.verdict = (self.effect.judge)(&case);
        }
        Ok(())
    }

    fn fire(
        &self,
        looks: &mut [Look],
        burst: fn(&LinkRule, &LinkRule) -> Burst,
        enough: fn(&LinkRule, &std::collections::BTreeMap<Link, Seen>) -> bool,
    ) -> Result<(), String> {
        let links: Vec<(Link, Burst)> =
            looks.iter().map(|look| (look.link, burst(self.rule, &look.others))).collect();
        let mut trial = Trial::new(self.sockets, links.iter().map(|(link, _)| *link));
        trial.fire(&links, |seen| enough(self.rule, seen))?;
        for look in looks.iter_mut() {
            let seen = trial.seen.remove(&look.link).unwrap_or_default();
            look.seen.join(seen);
        }
        Ok(())
    }
}
