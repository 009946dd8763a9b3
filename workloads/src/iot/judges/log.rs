//! The nodes' logs of transitions.
//!
//! - `log-disorder`: a page does not rise in index, or shows what is not in its range;
//! - `log-fork`: two pages differ on one index;
//! - `log-shrunk`: a node had applied less than the same node had before, in whatever life;
//! - `applied-twice`: one request is in the log at two places;
//! - `invented-transition`: nobody sent it, it was refused for certain, or it says something else than what was sent;
//! - `contradicted-answer`: the log has the request at another place, or with another state, than it was answered;
//! - `lost-transition`: a request was acknowledged before a whole log was asked for, and no whole log has it, nor
//!   any other page that speaks of its index;
//! - `stale-log`: a whole log lacks what had been acknowledged, or another whole log had had, before it was asked for;
//! - `wrong-transition`: a state is not what the rules make of the one before;
//! - `unequal-end`: the last whole logs of two nodes, asked for when every request had ended, differ by more than
//!   requests whose end nobody knows.

use std::collections::{BTreeMap, HashMap, HashSet};

use ordeal_checkers::Machine;
use ordeal_checkers::models::machine::{MachineAction, MachineCall, MachineState};
use ordeal_core::{Checker, EventKind, Finding, History, Key, Model, Verdict};
use serde_json::json;

use super::agreed::Agreed;
use super::observed::{Observed, Page, Request, Transition};
use crate::iot::op::{READING, RESET};
use crate::report::{Report, who};

/// The judge.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::iot) struct TransitionLog;

const NAME: &str = "transition-log";

impl Checker for TransitionLog {
    fn name(&self) -> String {
        NAME.to_owned()
    }

    fn check(&self, history: &History) -> Finding {
        let seen = match Observed::of(history) {
            Ok(seen) => seen,
            Err(why) => return Finding::new(NAME, Verdict::Unknown, why),
        };
        let agreed = Agreed::of(&seen.log);
        let work = Work { seen: &seen, agreed: &agreed };
        let mut report = Report::default();
        work.order(&mut report);
        work.forks(&mut report);
        work.shrunk(&mut report);
        work.requests(&mut report);
        work.whole_logs(&mut report);
        work.dropped(&mut report);
        work.rules(&mut report);
        work.unequal_end(&mut report);
        let acknowledged = seen.requests.iter().filter(|request| request.answer.is_some()).count();
        if acknowledged > 0 && !seen.log.iter().any(|page| page.whole) {
            report.undecided("no whole log was read");
        }
        let judged = format!(
            "{} transitions on {} pages, {acknowledged} requests acknowledged",
            agreed.entries.len(),
            seen.log.len()
        );
        report.finding(NAME, judged, agreed.entries.is_empty())
    }
}

struct Work<'o> {
    seen: &'o Observed<'o>,
    agreed: &'o Agreed<'o>,
}

impl Work<'_> {
    fn order(&self, report: &mut Report) {
        for page in &self.seen.log {
            let mut least = page.from;
            for transition in &page.items {
                let index = transition.index;
                if index < least || index >= page.next {
                    report.note("log-disorder", None, &[&page.op], || {
                        format!(
                            "the log from {} to {} shows index {index} where {least} or more must come ({}).",
                            page.from,
                            page.next,
                            who(&page.op)
                        )
                    });
                    break;
                }
                least = index + 1;
            }
        }
    }

    fn forks(&self, report: &mut Report) {
        for page in &self.seen.log {
            let held: HashMap<u64, &Transition> = page.items.iter().map(|t| (t.index, t)).collect();
            // Everything that is known of the page's range, and what it shows outside of it.
            let inside = self.agreed.entries.range(page.from..page.next.max(page.from));
            let forked = inside.map(|(index, _)| *index).chain(held.keys().copied()).find(|index| {
                held.get(index).copied() != self.agreed.entries.get(index).map(|shown| shown.transition)
            });
            if let Some(index) = forked
                && let Some(other) = self.agreed.entries.get(&index)
            {
                let first = &self.seen.log[other.page].op;
                report.note("log-fork", None, &[first, &page.op], || {
                    let here = held.get(&index).map_or("nothing".to_owned(), |t| described(t));
                    format!(
                        "at index {index} the log has {} ({}), and {here} ({}).",
                        described(other.transition),
                        who(first),
                        who(&page.op)
                    )
                });
            }
        }
    }

    fn shrunk(&self, report: &mut Report) {
        let mut nodes: BTreeMap<&str, Vec<&Page<'_, Transition>>> = BTreeMap::new();
        for page in &self.seen.log {
            nodes.entry(page.op.invoke.node.as_deref().unwrap_or_default()).or_default().push(page);
        }
        for pages in nodes.values() {
            for (before, after) in went_back(pages) {
                report.note("log-shrunk", None, &[&before.op, &after.op], || {
                    format!(
                        "a node had applied {} ({}), and later {} ({}).",
                        before.applied.unwrap_or(0),
                        who(&before.op),
                        after.applied.unwrap_or(0),
                        who(&after.op)
                    )
                });
            }
        }
    }

    /// What the log says of each request, and each of its transitions.
    fn requests(&self, report: &mut Report) {
        let sent: HashMap<&str, &Request<'_>> = self.seen.requests.iter().map(|r| (r.id, r)).collect();
        let mut first: HashMap<&str, u64> = HashMap::new();
        for (index, shown) in &self.agreed.entries {
            let (transition, page) = (shown.transition, &self.seen.log[shown.page].op);
            let machine = Some(&transition.machine);
            if let Some(before) = first.insert(&transition.request_id, *index) {
                report.note("applied-twice", machine, &[page], || {
                    format!("request {} is in the log at {before} and at {index}.", transition.request_id)
                });
                continue;
            }
            let Some(request) = sent.get(&*transition.request_id) else {
                report.note("invented-transition", machine, &[page], || {
                    format!("nobody sent {}.", described(transition))
                });
                continue;
            };
            let refused = request.op.kind() == EventKind::Fail;
            if refused || !is_what_was_sent(request, transition) {
                report.note("invented-transition", machine, &[&request.op, page], || {
                    let why = if refused { "was refused for certain" } else { "is not what was sent" };
                    format!("{} {why} ({}).", described(transition), who(&request.op))
                });
            }
            if let Some(answer) = &request.answer {
                let done = &answer.done;
                if (done.index, done.term, &done.state) != (*index, transition.term, &transition.after) {
                    report.note("contradicted-answer", machine, &[&request.op, page], || {
                        format!(
                            "the request was answered with index {}, term {} and `{}` ({}), but the log has {}.",
                            done.index,
                            done.term,
                            done.state,
                            who(&request.op),
                            described(transition)
                        )
                    });
                }
            }
        }
    }

    /// Whole logs have everything that came before them.
    fn whole_logs(&self, report: &mut Report) {
        let whole: Vec<&Page<'_, Transition>> = self.seen.log.iter().filter(|page| page.whole).collect();
        let somewhere: HashSet<&str> =
            whole.iter().flat_map(|page| &page.items).map(|t| &*t.request_id).collect();
        for page in &whole {
            let held: HashSet<&str> = page.items.iter().map(|t| &*t.request_id).collect();
            for request in self.seen.requests.iter().filter(|request| request.op.ret < page.op.call) {
                let Some(answer) = &request.answer else { continue };
                if answer.done.index < page.from || held.contains(request.id) {
                    continue;
                }
                let name = if somewhere.contains(request.id) { "stale-log" } else { "lost-transition" };
                report.note(name, Some(&request.machine), &[&request.op, &page.op], || {
                    format!(
                        "request {} was acknowledged ({}), but the whole log lacks it ({}).",
                        request.id,
                        who(&request.op),
                        who(&page.op)
                    )
                });
            }
        }
        for (before, after) in went_back(&whole) {
            report.note("stale-log", None, &[&before.op, &after.op], || {
                format!("the whole log was longer before: {}, then {}.", who(&before.op), who(&after.op))
            });
        }
    }

    /// Of what a node keeps no more when whole logs are read, only consumers know.
    fn dropped(&self, report: &mut Report) {
        let whole_from = self.seen.log.iter().filter(|page| page.whole).map(|page| page.from).min();
        let kept: HashSet<&str> =
            self.agreed.entries.values().map(|shown| &*shown.transition.request_id).collect();
        for request in &self.seen.requests {
            let index = request.answer.as_ref().map(|answer| answer.done.index);
            let Some(index) = index.filter(|index| whole_from.is_some_and(|from| *index < from)) else {
                continue;
            };
            if !self.agreed.covers(index, index) {
                report.undecided("nobody read the part of the log that was dropped in the meantime");
            } else if !kept.contains(request.id) {
                report.note("lost-transition", Some(&request.machine), &[&request.op], || {
                    format!(
                        "request {} was acknowledged ({}), but the log lacks it.",
                        request.id,
                        who(&request.op)
                    )
                });
            }
        }
    }

    /// Every transition follows from the one before by the rules.
    fn rules(&self, report: &mut Report) {
        let model = Machine::default();
        let mut machines: HashMap<&Key, String> = HashMap::new();
        let mut whole_from = None;
        for (index, shown) in &self.agreed.entries {
            // After a part of the log that nobody saw, nothing is known of any machine.
            if whole_from.is_none_or(|from| !self.agreed.covers(from, *index)) {
                machines.clear();
                whole_from = Some(*index);
            }
            let transition = shown.transition;
            // Before the first index, all machines run.
            let first =
                || if self.agreed.covers(0, *index) { "running" } else { &transition.before }.to_owned();
            let before = machines.remove(&transition.machine).unwrap_or_else(first);
            let after = after(&model, &before, transition);
            if before != transition.before || after.as_ref() != Ok(&transition.after) {
                report.note(
                    "wrong-transition",
                    Some(&transition.machine),
                    &[&self.seen.log[shown.page].op],
                    || {
                        let after = after.unwrap_or_else(|why| why);
                        format!("{} must lead from `{before}` to `{after}`.", described(transition))
                    },
                );
            }
            machines.insert(&transition.machine, transition.after.clone());
        }
    }

    fn unequal_end(&self, report: &mut Report) {
        let ends = self.seen.requests.iter().filter(|request| !request.is_open()).map(|r| r.op.ret);
        let settled = ends.max().unwrap_or(0);
        let mut last: BTreeMap<&str, &Page<'_, Transition>> = BTreeMap::new();
        for page in self.seen.log.iter().filter(|page| page.whole && page.op.call > settled) {
            last.insert(page.op.invoke.node.as_deref().unwrap_or_default(), page);
        }
        let Some(longest) = last.values().max_by_key(|page| page.next) else { return };
        let open: HashSet<&str> = self.seen.requests.iter().filter(|r| r.is_open()).map(|r| r.id).collect();
        for (node, page) in &last {
            let late = |t: &&Transition| t.index >= page.next && !open.contains(&*t.request_id);
            if let Some(lacks) = longest.items.iter().find(late) {
                report.note("unequal-end", Some(&lacks.machine), &[&longest.op, &page.op], || {
                    format!("the last log of {node} ({}) lacks {}.", who(&page.op), described(lacks))
                });
            }
        }
    }
}

/// Of pages by one node, or by all: each that had applied less than one that had ended before it began.
fn went_back<'o, 'h>(
    pages: &[&'o Page<'h, Transition>],
) -> Vec<(&'o Page<'h, Transition>, &'o Page<'h, Transition>)> {
    let mut ended = pages.to_vec();
    ended.sort_by_key(|page| page.op.ret);
    let mut begun = pages.to_vec();
    begun.sort_by_key(|page| page.op.call);
    let (mut ended, mut furthest, mut found) = (ended.into_iter().peekable(), None, Vec::new());
    for page in begun {
        while let Some(before) = ended.next_if(|before| before.op.ret < page.op.call) {
            furthest = furthest.filter(|f: &&Page<'_, _>| f.applied >= before.applied).or(Some(before));
        }
        found.extend(furthest.filter(|before| before.applied > page.applied).map(|before| (before, page)));
    }
    found
}

fn described(t: &Transition) -> String {
    let what = match (&t.kind, t.value) {
        (Some(kind), Some(value)) => format!("{kind} {value}"),
        _ => t.action.clone(),
    };
    format!(
        "{} ({what} of {}, `{}` to `{}`, index {}, term {})",
        t.request_id, t.machine, t.before, t.after, t.index, t.term
    )
}

fn is_what_was_sent(request: &Request<'_>, logged: &Transition) -> bool {
    let sent = request.op.input();
    let text = |field: &str| sent.get(field).and_then(serde_json::Value::as_str);
    let number = |field: &str| sent.get(field).and_then(serde_json::Value::as_f64);
    request.machine == logged.machine
        && request.op.f() == logged.action
        && text("sensor") == logged.sensor.as_deref()
        && text("kind") == logged.kind.as_deref()
        && number("value") == logged.value
}

/// What the rules make of a state.
fn after(model: &Machine, before: &str, transition: &Transition) -> Result<String, String> {
    let action = match &*transition.action {
        READING => model.reading(&json!({ "kind": transition.kind, "value": transition.value }))?,
        RESET => MachineAction::Reset,
        other => return Err(format!("an unknown action, {other}")),
    };
    let states = [MachineState::Running, MachineState::Alert, MachineState::Slowed, MachineState::Shutdown];
    let word = |state: &MachineState| format!("{state:?}").to_lowercase();
    let state = states.iter().find(|state| word(state) == before).ok_or("an unknown state")?;
    let after = model.step(state, &MachineCall { action, state: None });
    after.map(|state| word(&state)).ok_or_else(|| "nothing".to_owned())
}
