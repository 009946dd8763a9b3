//! Strict serializability: one order of all transfers and reads explains every version that was told, and keeps to real
//! time (`not-serializable`).
//!
//! The versions say what must come before what (Adya 1999): who made a version comes before who saw it, and who saw it before
//! who made the next one. Real time says the rest: what ended before something else began comes before it. All these
//! are necessary; and if they have no cycle, any order that keeps to them is one in which every read sees the last write, so
//! they are sufficient. Each account on its own is then linearizable. Time O(n log n).

use std::collections::{BTreeMap, HashMap, VecDeque};

use ordeal_core::{Checker, Finding, History, Operation, judge_operations};

use super::Facts;
use crate::report::{Report, anomaly_of, which};

/// The judge.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::accounts) struct Order;

const NAME: &str = "order";
/// How many points are tried for a short cycle through them.
const TRIED: usize = 64;

impl Checker for Order {
    fn name(&self) -> String {
        NAME.to_owned()
    }

    fn check(&self, history: &History) -> Finding {
        judge_operations(NAME, history, |operations| judge(&operations))
    }
}

fn judge(operations: &[Operation<'_>]) -> Finding {
    let facts = Facts::of(operations);
    let graph = Graph::of(&facts);
    let mut anomalies = Vec::new();
    if let Some(cycle) = graph.cycle() {
        let told: Vec<String> = cycle.iter().map(|&point| graph.points[point].name()).collect();
        let shown_by: Vec<&Operation<'_>> =
            cycle.iter().filter_map(|&point| graph.points[point].shown_by).collect();
        let message = format!(
            "Each of these comes before the next, and the last before the first: {}.",
            told.join("; ")
        );
        anomalies.push(anomaly_of("not-serializable", None, message, &shown_by));
    }
    let (effects, reads) = (graph.effects, facts.seen.len());
    let judged = format!("{effects} transfers and {reads} reads fit into one order");
    Report::of(anomalies, &facts.unread).finding(NAME, judged, effects == 0 || reads == 0)
}

/// Something that takes effect at one moment; or a moment.
#[derive(Default)]
struct Point<'a> {
    /// What it is; empty of a moment in real time.
    about: String,
    shown_by: Option<&'a Operation<'a>>,
    then: Vec<usize>,
    /// Of a real event: it is within these.
    call: u64,
    ret: u64,
}

impl Point<'_> {
    fn name(&self) -> String {
        let shown_by = self.shown_by.map_or_else(String::new, |op| format!(" ({})", which(op)));
        format!("{}{shown_by}", self.about)
    }
}

/// What comes before what.
#[derive(Default)]
struct Graph<'a> {
    points: Vec<Point<'a>>,
    effects: usize,
}

impl<'a> Graph<'a> {
    fn of(facts: &Facts<'a>) -> Self {
        let mut graph = Graph::default();
        let chains = facts.chains();
        // Who made what.
        let mut makers: HashMap<&str, usize> = HashMap::new();
        let mut versions: BTreeMap<(&str, u64), usize> = BTreeMap::new();
        for (account, chain) in &chains {
            for (&version, known) in chain {
                let request = known.made_by.as_deref().and_then(|id| facts.requests.get_key_value(id));
                let maker = match request {
                    Some((id, request)) => *makers.entry(id).or_insert_with(|| {
                        graph.effects += 1;
                        let ret = request.receipts.iter().map(|(_, op)| op.ret).min();
                        let first = request.first_call();
                        graph.add(Point {
                            about: format!("transfer {id}"),
                            shown_by: request.receipts.first().map(|(_, op)| *op).or(first),
                            call: first.map_or(0, |op| op.call),
                            ret: ret.unwrap_or(Operation::OPEN),
                            then: Vec::new(),
                        })
                    }),
                    None => graph.add(Point {
                        about: format!("version {version} of {account}"),
                        ret: Operation::OPEN,
                        ..Point::default()
                    }),
                };
                versions.insert((account, version), maker);
            }
        }
        // Who saw what.
        let mut readers: BTreeMap<(&str, u64), Vec<usize>> = BTreeMap::new();
        for seen in &facts.seen {
            let told: Vec<String> =
                seen.accounts.iter().map(|a| format!("{} at {}", a.id, a.version)).collect();
            let op = seen.op;
            let about = format!("the sight of {}", told.join(", "));
            let point =
                graph.add(Point { about, shown_by: Some(op), then: Vec::new(), call: op.call, ret: op.ret });
            for account in &seen.accounts {
                readers.entry((&account.id, account.version)).or_default().push(point);
            }
        }
        let mut before: Option<(&str, usize, Vec<usize>)> = None;
        for (at, maker) in versions {
            let saw = readers.remove(&at).unwrap_or_default();
            if let Some((account, last, sights)) = before
                && account == at.0
            {
                [last].into_iter().chain(sights).for_each(|point| graph.edge(point, maker));
            }
            saw.iter().for_each(|&sight| graph.edge(maker, sight));
            before = Some((at.0, maker, saw));
        }
        graph.real_time();
        graph
    }

    fn add(&mut self, point: Point<'a>) -> usize {
        self.points.push(point);
        self.points.len() - 1
    }

    fn edge(&mut self, from: usize, to: usize) {
        // One transfer may have made two versions of one account; that is for another judge.
        if from != to {
            self.points[from].then.push(to);
        }
    }

    /// Moments of real time, one after another: what ends comes before the next moment, what begins after the last one.
    fn real_time(&mut self) {
        let real: Vec<usize> =
            (0..self.points.len()).filter(|&at| self.points[at].shown_by.is_some()).collect();
        let mut ends: Vec<(u64, bool, usize)> = Vec::new();
        for at in real {
            // At one instant what begins comes first: the two overlap.
            ends.push((self.points[at].call, false, at));
            if self.points[at].ret != Operation::OPEN {
                ends.push((self.points[at].ret, true, at));
            }
        }
        ends.sort_unstable();
        let mut now = self.add(Point::default());
        for (_, is_end, at) in ends {
            if is_end {
                let next = self.add(Point::default());
                self.edge(at, next);
                self.edge(now, next);
                now = next;
            } else {
                self.edge(now, at);
            }
        }
    }

    /// A short cycle, an early one if there is, without the moments in it.
    fn cycle(&self) -> Option<Vec<usize>> {
        let left = self.left_in_cycles();
        let start = left.iter().position(|&is_left| is_left)?;
        let is_real = |&point: &usize| !self.points[point].about.is_empty();
        let shortest_of = |points: &[usize]| {
            let tried = points.iter().copied().filter(is_real).take(TRIED);
            tried.filter_map(|point| self.shortest(point, &left)).min_by_key(Vec::len)
        };
        let mut earliest: Vec<usize> = (0..left.len()).filter(|&point| left[point]).collect();
        earliest.sort_by_key(|&point| self.points[point].ret);
        let cycle = shortest_of(&earliest).or_else(|| shortest_of(&self.round(start, &left)))?;
        Some(cycle.into_iter().filter(is_real).collect())
    }

    /// Some cycle: whatever is left is followed by something that is left, so a walk comes back to where it was.
    fn round(&self, start: usize, left: &[bool]) -> Vec<usize> {
        let mut seen = vec![false; self.points.len()];
        let (mut at, mut walked) = (start, Vec::new());
        while !seen[at] {
            seen[at] = true;
            walked.push(at);
            let Some(&next) = self.points[at].then.iter().find(|&&next| left[next]) else { break };
            at = next;
        }
        walked.into_iter().skip_while(|&point| point != at).collect()
    }

    /// Points that come after a cycle and before one.
    fn left_in_cycles(&self) -> Vec<bool> {
        let backwards = {
            let mut before: Vec<Vec<usize>> = vec![Vec::new(); self.points.len()];
            for (at, point) in self.points.iter().enumerate() {
                point.then.iter().for_each(|&next| before[next].push(at));
            }
            before
        };
        let forwards: Vec<&[usize]> = self.points.iter().map(|point| &*point.then).collect();
        let backwards: Vec<&[usize]> = backwards.iter().map(|before| &**before).collect();
        let mut left = vec![true; self.points.len()];
        for (next, before) in [(&forwards, &backwards), (&backwards, &forwards)] {
            let mut waits: Vec<usize> =
                before.iter().map(|before| before.iter().filter(|&&point| left[point]).count()).collect();
            let mut free: Vec<usize> = (0..left.len()).filter(|&at| left[at] && waits[at] == 0).collect();
            while let Some(at) = free.pop() {
                left[at] = false;
                for &after in next[at].iter().filter(|&&after| left[after]) {
                    waits[after] -= 1;
                    if waits[after] == 0 {
                        free.push(after);
                    }
                }
            }
        }
        left
    }

    /// The shortest way from a point back to it.
    fn shortest(&self, from: usize, left: &[bool]) -> Option<Vec<usize>> {
        let mut came: HashMap<usize, usize> = HashMap::new();
        let mut queue = VecDeque::from([from]);
        while let Some(at) = queue.pop_front() {
            for &next in self.points[at].then.iter().filter(|&&next| left[next]) {
                if next == from {
                    let mut way = vec![at];
                    while let Some(&before) = way.last().and_then(|at| came.get(at)) {
                        way.push(before);
                    }
                    way.reverse();
                    return Some(way);
                }
                if next != from && !came.contains_key(&next) {
                    came.insert(next, at);
                    queue.push_back(next);
                }
            }
        }
        None
    }
}
