//! The proof: the clocks of all processes are read from within, and compared with what they should show.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::args::{Order, Shape};
use super::nodes::{Member, Node, members};
use super::reading::{Off, Reading};
use super::tracee::{self, Trouble};
use super::watch::Log;

/// The longest that reading back may take; a strobe needs some of its periods in addition.
const TIMEOUT: Duration = Duration::from_secs(2);
const STROBE_PERIODS: u32 = 8;
/// Between two rounds, if there is nothing else to go by.
const INTERVAL: Duration = Duration::from_millis(10);
/// So often a process may be found in a state in which it cannot be read.
const FAILURES_MAX: usize = 3;
/// So long a process may be unpatched: it was just started, and will be found.
const UNPATCHED_MAX: Duration = Duration::from_millis(400);
/// A less exact reading says nothing: the thread was held up while it read.
const ERROR_NS_MAX: i64 = 100_000;
/// A drift must have grown to this before it counts as seen.
const DRIFT_NS_MIN: i64 = 5_000;

/// What was read back.
pub(super) struct Checked {
    pub(super) proved: bool,
    pub(super) seen: Value,
}

/// What a process must show.
#[derive(Clone, Copy, Debug)]
enum Expected {
    /// True time.
    Truth,
    /// As the node's control page was set.
    Skewed(Order),
}

/// What is known of a process so far.
struct Witness {
    member: Member,
    name: String,
    expected: Expected,
    reading: Option<Reading>,
    /// Of a strobe: true time was seen, wrong time was seen.
    both: (bool, bool),
    failures: usize,
    /// `None` while it is to be read again.
    verdict: Option<bool>,
    why: Option<String>,
    /// It has ended, or has no clock to be wrong.
    void: bool,
}

/// Reads back the clocks of the processes of all `nodes`. `chosen` are skewed as ordered.
pub(super) fn check(
    nodes: &[&Node],
    chosen: &[usize],
    order: Option<Order>,
    log: Option<&Log>,
) -> Result<Checked, String> {
    let start = Instant::now();
    let mut deadline = start + TIMEOUT;
    let mut interval = INTERVAL;
    if let Some(Order { shape: Shape::Strobe { period_ms, .. }, .. }) = order {
        let period = Duration::from_millis(period_ms);
        deadline += STROBE_PERIODS * period;
        // Never in step with it.
        interval = period.mul_f64(0.7).max(Duration::from_millis(1));
    }
    let skewed = |node: &usize| if chosen.contains(node) { order } else { None };
    let mut witnesses: Vec<Witness> = members(nodes)?
        .into_iter()
        .map(|member| Witness::new(skewed(&member.node).map_or(Expected::Truth, Expected::Skewed), member))
        .collect();
    loop {
        let round = || {
            for witness in witnesses.iter_mut().filter(|w| w.verdict.is_none()) {
                if let Some(node) = nodes.iter().find(|node| node.index == witness.member.node) {
                    witness.look(node, start.elapsed(), log);
                }
            }
        };
        tracee::tracing(round)?;
        if witnesses.iter().all(|w| w.verdict.is_some()) || Instant::now() >= deadline {
            break;
        }
        std::thread::sleep(interval);
    }
    witnesses.retain(|witness| !witness.void);
    let right = witnesses.iter().all(|w| w.verdict == Some(true));
    let bites = order.is_none() || witnesses.iter().any(|w| chosen.contains(&w.member.node));
    if let Some(log) = log {
        // After healing, `nodes` are those that were skewed.
        let of_interest = |node: &usize| order.is_none() || chosen.contains(node);
        for (node, reading) in readings(&witnesses).into_iter().filter(|(node, _)| of_interest(node)) {
            log.sample(node, reading.realtime.offset_ns, reading.monotonic.offset_ns, true);
        }
    }
    Ok(Checked { proved: right && bites, seen: to_json(&witnesses, chosen) })
}

impl Witness {
    fn new(expected: Expected, member: Member) -> Self {
        Witness {
            name: member.name(),
            member,
            expected,
            reading: None,
            both: (false, false),
            failures: 0,
            verdict: None,
            why: None,
            void: false,
        }
    }

    fn look(&mut self, node: &Node, waited: Duration, log: Option<&Log>) {
        match tracee::read(self.member.pid) {
            Ok(reading) => {
                self.reading = Some(reading);
                self.verdict = self.judge(node, &reading);
            }
            Err(Trouble::Gone | Trouble::NoVdso) => (self.void, self.verdict) = (true, Some(true)),
            // Its vDSO is the kernel's own: nothing can be wrong with it.
            Err(Trouble::Unpatched) if matches!(self.expected, Expected::Truth) => self.verdict = Some(true),
            Err(Trouble::Unpatched) if waited < UNPATCHED_MAX => {}
            Err(Trouble::Unpatched) => {
                let why = log.and_then(|log| log.why_not(self.member.pid));
                self.fail(why.unwrap_or_else(|| "it is not patched".to_owned()));
            }
            Err(Trouble::Failed(why)) => {
                self.failures += 1;
                self.why = Some(why);
                if self.failures >= FAILURES_MAX {
                    self.verdict = Some(false);
                }
            }
        }
    }

    fn fail(&mut self, why: String) {
        self.why = Some(why);
        self.verdict = Some(false);
    }

    /// Whether the reading is what it should be; `None`: not to be told from this reading alone.
    fn judge(&mut self, node: &Node, reading: &Reading) -> Option<bool> {
        if reading.realtime.error_ns.max(reading.monotonic.error_ns) > ERROR_NS_MAX {
            return None;
        }
        let Expected::Skewed(Order { shape, monotonic }) = self.expected else {
            return Some(reading.realtime.may_be(0) && reading.monotonic.may_be(0));
        };
        if !monotonic && !reading.monotonic.may_be(0) {
            return Some(false);
        }
        if let Shape::Strobe { offset_ms, .. } = shape {
            let state = |off: &Off| {
                // A clock since boot stops at zero.
                let wrong = (offset_ms * 1_000_000).max(-off.at_ns);
                (off.may_be(0), off.may_be(wrong))
            };
            let (right, wrong) = state(&reading.realtime);
            if !(right || wrong) || monotonic && state(&reading.monotonic) == (false, false) {
                return Some(false);
            }
            // If it could be either, it says nothing.
            self.both.0 |= right && !wrong;
            self.both.1 |= wrong && !right;
            return (self.both == (true, true)).then_some(true);
        }
        let setting = node.page.setting();
        let pairs = [
            (reading.realtime, setting.realtime),
            (reading.monotonic, setting.monotonic.filter(|_| monotonic)),
        ];
        let mut told = true;
        for (off, skew) in pairs {
            let Some(skew) = skew else { continue };
            let expected_ns = skew.offset_at(off.at_ns);
            if !off.may_be(expected_ns) {
                return Some(false);
            }
            let least = if matches!(shape, Shape::Drift { .. }) { DRIFT_NS_MIN } else { 0 };
            told &= !off.may_be(0) && expected_ns.abs() >= least;
        }
        told.then_some(true)
    }

    fn to_json(&self) -> Value {
        let mut seen = self.reading.map_or_else(|| json!({}), Reading::to_json);
        seen["pid"] = json!(self.member.pid);
        seen["comm"] = json!(self.name);
        seen["as_expected"] = json!(self.verdict == Some(true));
        if self.reading.is_none() && self.why.is_none() {
            seen["untouched"] = json!(true);
        }
        if let Expected::Skewed(Order { shape: Shape::Strobe { .. }, .. }) = self.expected {
            seen["seen_right"] = json!(self.both.0);
            seen["seen_wrong"] = json!(self.both.1);
        }
        if let Some(why) = &self.why {
            seen["why"] = json!(why);
        }
        seen
    }
}

/// The last reading of one process of each node that was measured.
fn readings(witnesses: &[Witness]) -> BTreeMap<usize, Reading> {
    witnesses.iter().rev().filter_map(|w| Some((w.member.node, w.reading?))).collect()
}

fn to_json(witnesses: &[Witness], chosen: &[usize]) -> Value {
    let readings = readings(witnesses);
    let mut nodes: BTreeMap<usize, Vec<&Witness>> = BTreeMap::new();
    witnesses.iter().for_each(|w| nodes.entry(w.member.node).or_default().push(w));
    let to_json = |(node, witnesses): (usize, Vec<&Witness>)| {
        let mut seen = readings.get(&node).map_or_else(|| json!({}), |reading| reading.to_json());
        seen["node"] = json!(node);
        seen["skewed"] = json!(chosen.contains(&node));
        seen["processes"] = witnesses.into_iter().map(Witness::to_json).collect();
        seen
    };
    nodes.into_iter().map(to_json).collect()
}
