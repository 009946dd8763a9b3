//! Recovery: after everything is healed, every node serves again.
//!
//! Read are the harness's `node-not-ready` events. A node that does not come back is not by itself a broken
//! promise, but what it holds was not read, so the run is undecided. How soon after healing the load goes
//! through again is measured, and judges nothing.

use std::collections::BTreeMap;

use ordeal_core::{Checker, Finding, History, Verdict};
use serde_json::{Value, json};

use crate::About;
use crate::phases::of_nemesis;
use crate::words::{count, listed, ms};
use throughput::Throughput;

mod throughput;

/// How lists show it.
pub(crate) const ABOUT: About =
    About { name: "recovery", about: "after healing every node became ready again" };

/// The judge.
#[derive(Clone, Copy, Debug, Default)]
pub struct Recovery;

impl Checker for Recovery {
    fn name(&self) -> String {
        ABOUT.name.to_owned()
    }

    fn check(&self, history: &History) -> Finding {
        let late: BTreeMap<&str, Option<f64>> = history
            .events
            .iter()
            .filter(|e| of_nemesis(e, "node-not-ready"))
            .map(|e| {
                let node = e.value.get("node").and_then(Value::as_str).unwrap_or("a node");
                (node, e.value.get("after_ms").and_then(Value::as_f64))
            })
            .collect();
        let throughput = Throughput::of(history);
        let (verdict, summary) = if history.events.is_empty() {
            (Verdict::Vacuous, "the history is empty".to_owned())
        } else if late.is_empty() {
            (Verdict::Valid, format!("every node became ready again{}", told(&throughput)))
        } else {
            let late: Vec<String> = late
                .iter()
                .map(|(node, after)| match after {
                    Some(ms) => format!("{node} was not ready {ms} ms after healing"),
                    None => format!("{node} was not ready after healing"),
                })
                .collect();
            (Verdict::Unknown, listed(&late, 5, "; "))
        };
        let nodes: Vec<&str> = late.into_keys().collect();
        let back_ms: Vec<f64> = throughput.back_ns.iter().map(|&ns| ms(ns)).collect();
        Finding::new(ABOUT.name, verdict, summary)
            .with("nodes_not_ready", json!(nodes))
            .with("throughput_back_ms", json!(back_ms))
            .with("throughput_not_back_in_10_s", json!(throughput.not_back))
    }
}

/// How long throughput took to come back, if that was seen.
fn told(throughput: &Throughput) -> String {
    if throughput.not_back > 0 {
        let times = count(throughput.not_back as usize, "time");
        return format!("; half of the throughput was not back within 10 s after healing, {times}");
    }
    let slowest = throughput.back_ns.iter().max();
    slowest.map_or_else(String::new, |&ns| {
        format!("; half of the throughput was back {:.1} s after healing, or sooner", ms(ns) / 1e3)
    })
}

#[cfg(test)]
mod tests {
    use ordeal_core::{Event, EventKind, Process};

    use super::*;

    fn event(time_ms: u64, process: Process, kind: EventKind, f: &str, value: Value) -> Event {
        Event {
            index: 0,
            time: time_ms * 1_000_000,
            process,
            kind,
            f: f.to_owned().into(),
            value,
            key: None,
            node: None,
            error: None,
        }
    }

    /// Ten reads a second but where they stop, and the nemesis' doings.
    fn history(stops_ms: &[(u64, u64)], doings: &[(u64, EventKind, &str, Value)]) -> History {
        let nemesis = || Process::Named("nemesis".to_owned().into());
        let mut events: Vec<Event> = doings
            .iter()
            .map(|(at, kind, f, value)| event(*at, nemesis(), *kind, f, value.clone()))
            .chain(
                (0..400)
                    .map(|n| n * 100)
                    .filter(|at| !stops_ms.iter().any(|(from, to)| (from..to).contains(&at)))
                    .map(|at| event(at, Process::Client(0), EventKind::Ok, "read", json!(1))),
            )
            .collect();
        events.sort_by_key(|e| e.time);
        (0..).zip(&mut events).for_each(|(n, e)| e.index = n);
        History { events, truncated: None }
    }

    #[test]
    fn throughput_is_timed_from_the_last_heal_to_half_of_the_warm_up() {
        use EventKind::{Info, Invoke};
        let kill = json!({"fault": "kill"});
        let phase = |at, name: &str| (at, Info, "phase", json!(name));
        let heal = |at| (at, Info, "heal", kill.clone());
        let inject = |at| [(at, Invoke, "inject", kill.clone()), (at + 5, Info, "inject", kill.clone())];
        let load = [phase(0, "warm-up"), phase(2_000, "load")];
        let back = |stops: &[(u64, u64)], more: &[&[(u64, EventKind, &'static str, Value)]]| {
            let doings = [&load[..], &more.concat()].concat();
            let of = Throughput::of(&history(stops, &doings));
            (of.back_ns.iter().map(|ns| ns / 1_000_000).collect::<Vec<_>>(), of.not_back)
        };
        let end = [phase(30_000, "settle")];
        assert_eq!(back(&[(3_000, 5_500)], &[&inject(3_000), &[heal(4_000)], &end]), (vec![1_500], 0));
        let two = [heal(4_000), heal(5_000)];
        let both = back(&[(3_000, 5_500)], &[&inject(3_000), &inject(3_100), &two, &end]);
        assert_eq!(both, (vec![500], 0), "one was still in force");
        let never = back(&[(3_000, 40_000)], &[&inject(3_000), &[heal(4_000)], &end]);
        assert_eq!(never, (vec![], 1));
        let late = back(&[(3_000, 20_000)], &[&inject(3_000), &[heal(4_000)], &end]);
        assert_eq!(late, (vec![], 1));
        let too_short = back(&[(3_000, 8_000)], &[&inject(3_000), &[heal(4_000)], &inject(7_000), &end]);
        assert_eq!(too_short, (vec![], 0), "nobody knows when it would have come back");
        assert_eq!(back(&[(0, 3_000)], &[&inject(3_000), &[heal(4_000)], &end]), (vec![], 0), "no warm-up");
    }
}
