//! Caches answer reads by themselves: how often, and how much faster. Without a single hit nothing was learned of them.

use ordeal_core::{Checker, Finding, History, Operation, Verdict, judge_operations};
use serde_json::{Value, json};

/// The judge.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::scores) struct Hits;

const NAME: &str = "hits";

impl Checker for Hits {
    fn name(&self) -> String {
        NAME.to_owned()
    }

    fn check(&self, history: &History) -> Finding {
        judge_operations(NAME, history, |operations| judge_all(&operations))
    }
}

fn judge_all(operations: &[Operation<'_>]) -> Finding {
    let (mut hits, mut misses) = (Vec::new(), Vec::new());
    for op in operations.iter().filter(|op| op.f() == "read") {
        let (Some(answer), Some(complete)) = (op.output(), op.complete) else { continue };
        let took_ns = complete.time.saturating_sub(op.invoke.time);
        match answer.get(2).and_then(Value::as_bool) {
            Some(true) => hits.push(took_ns),
            Some(false) => misses.push(took_ns),
            None => {
                let why = format!("#{}: it is not said who answered", op.index());
                return Finding::new(NAME, Verdict::Unknown, why);
            }
        }
    }
    let (reads, answered) = (hits.len() + misses.len(), hits.len());
    if answered == 0 {
        return Finding::new(NAME, Verdict::Vacuous, format!("of {reads} reads none was answered by a copy"));
    }
    let ratio = answered as f64 / reads as f64;
    Finding::new(NAME, Verdict::Valid, format!("{answered} of {reads} reads were answered by a copy"))
        .with("hits", answered)
        .with("hit_ratio", (ratio * 1000.0).round() / 1000.0)
        .with("hit_latency_ms", quantiles(hits))
        .with("miss_latency_ms", quantiles(misses))
}

/// Median and 99 % of times in nanoseconds; null if there are none.
fn quantiles(mut times_ns: Vec<u64>) -> Value {
    times_ns.sort_unstable();
    let at = |percent: usize| {
        let place = (times_ns.len() * percent / 100).min(times_ns.len().saturating_sub(1));
        times_ns.get(place).map(|ns| *ns as f64 / 1e6)
    };
    json!({ "p50": at(50), "p99": at(99) })
}
