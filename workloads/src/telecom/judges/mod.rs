//! The judges of `telecom`, and what they share.

mod balance;
mod handovers;
mod leftovers;
mod owners;
mod records;
mod routings;

pub(super) use balance::Balance;
pub(super) use handovers::Handovers;
pub(super) use leftovers::Leftovers;
use ordeal_core::{Checker, Event, EventKind, Key, Operation};
pub(super) use owners::Owners;
pub(super) use records::Records;
pub(super) use routings::Routings;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answers::{By, Customer, Done, Load, Routing};
use crate::report::result;
use crate::shown::Shown;

/// Shows a judge of append-only lists the calls of each customer.
pub(super) fn as_list<C: Checker>(to: C) -> Shown<C> {
    Shown { to, with: listed }
}

/// A call that is recorded is appended, and answered with its place; who reads a customer reads the list.
fn listed(event: &Event) -> Event {
    let mut event = event.clone();
    match (&*event.f, event.kind) {
        ("put", kind) => {
            event.f = "append".into();
            event.value = match kind {
                EventKind::Ok => {
                    event.value["version"].as_u64().map_or(Value::Null, |v| json!(v.saturating_sub(1)))
                }
                _ => event.value[0].clone(),
            };
        }
        ("read" | "final-read", kind) => {
            event.f = "read".into();
            if kind == EventKind::Ok {
                event.kind = if event.value.is_null() { EventKind::Fail } else { kind };
                event.value = event.value["calls"].clone();
            }
        }
        _ => {}
    }
    event
}

/// The customer that the operation is about.
fn customer_of<'a>(op: &Operation<'a>) -> Option<&'a str> {
    match op.key() {
        Some(Key::Text(customer)) => Some(customer),
        _ => None,
    }
}

/// What a request asks: its number and the call's cost.
fn asked(op: &Operation<'_>) -> Option<(u64, u64)> {
    matches!(op.f(), "put" | "put-again").then(|| <(u64, u64)>::deserialize(op.input()).ok()).flatten()
}

/// What operations were answered.
#[derive(Default)]
struct Answers<'a> {
    puts: Vec<(&'a str, Done, &'a Operation<'a>)>,
    reads: Vec<(&'a str, Customer, &'a Operation<'a>)>,
    routings: Vec<(Routing, &'a Operation<'a>)>,
    loads: Vec<(Load, &'a Operation<'a>)>,
    /// What could not be read.
    unread: Vec<String>,
}

impl<'a> Answers<'a> {
    fn of(operations: &'a [Operation<'a>]) -> Self {
        let mut answers = Answers::default();
        for op in operations {
            if let Err(why) = answers.take(op) {
                answers.unread.push(why);
            }
        }
        answers
    }

    fn take(&mut self, op: &'a Operation<'a>) -> Result<(), String> {
        match (op.f(), customer_of(op)) {
            ("put" | "put-again", Some(customer)) => {
                self.puts.extend(result(op)?.map(|done| (customer, done, op)));
            }
            ("read" | "final-read", Some(customer)) => {
                let read: Option<Option<Customer>> = result(op)?;
                self.reads.extend(read.flatten().map(|read| (customer, read, op)));
            }
            ("routing", _) => self.routings.extend(result(op)?.map(|routing| (routing, op))),
            ("load", _) => self.loads.extend(result(op)?.map(|load| (load, op))),
            _ => {}
        }
        Ok(())
    }

    /// Who served which customer, for every answer, in no order.
    fn served(&self) -> impl Iterator<Item = (&'a str, &By, &'a Operation<'a>)> {
        let puts = self.puts.iter().map(|(customer, done, op)| (*customer, &done.by, *op));
        puts.chain(self.reads.iter().map(|(customer, read, op)| (*customer, &read.by, *op)))
    }
}

/// Something of an epoch, and the operation that it was answered to.
type AtEpoch<'a, T> = (u64, T, &'a Operation<'a>);

/// Each answer of an epoch that was over when it was asked for, behind the newest one that somebody had by then.
fn went_back<'a, T: Copy>(mut asked: Vec<AtEpoch<'a, T>>) -> Vec<(AtEpoch<'a, T>, AtEpoch<'a, T>)> {
    let mut ended = asked.clone();
    ended.sort_by_key(|(_, _, op)| op.ret);
    asked.sort_by_key(|(_, _, op)| op.call);
    let mut ended = ended.into_iter().peekable();
    let mut newest: Option<AtEpoch<'a, T>> = None;
    let mut found = Vec::new();
    for answer in asked {
        while let Some(before) = ended.next_if(|(_, _, before)| before.ret < answer.2.call) {
            newest = newest.filter(|newest| newest.0 >= before.0).or(Some(before));
        }
        found.extend(newest.filter(|newest| newest.0 > answer.0).map(|newest| (newest, answer)));
    }
    found
}

#[cfg(test)]
mod tests;
