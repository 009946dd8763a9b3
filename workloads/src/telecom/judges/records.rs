//! Every call is recorded once, for good, and adds up.
//!
//! - No customer has a call twice (`call-recorded-twice`), or one that nobody can have asked for by then (`unasked-call`).
//! - Whoever reads after a call was acknowledged sees it (`lost-call`).
//! - The balance is what the calls cost, the plan that of the last one, and the version how many there are; whoever recorded a
//!   call is told what they were just after it (`wrong-record`).
//! - A request that is sent again is answered like the first time (`retry-done-again`).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ordeal_core::{Anomaly, Checker, EventKind, Finding, History, Operation, judge_operations};

use super::super::answers::{Customer, Done, plan_of};
use super::{Answers, asked, customer_of};
use crate::report::{Report, anomaly_of, which};

/// The judge.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::telecom) struct Records;

const NAME: &str = "records";

impl Checker for Records {
    fn name(&self) -> String {
        NAME.to_owned()
    }

    fn check(&self, history: &History) -> Finding {
        judge_operations(NAME, history, |operations| judge(&operations))
    }
}

/// A request as it was first sent, and the earliest moment at which it may have had an effect.
struct Request<'a> {
    customer: &'a str,
    cost: u64,
    call: u64,
}

fn judge(operations: &[Operation<'_>]) -> Finding {
    let answers = Answers::of(operations);
    let mut requests: HashMap<u64, Request<'_>> = HashMap::new();
    for op in operations.iter().filter(|op| op.kind() != EventKind::Fail) {
        if let (Some((request, cost)), Some(customer)) = (asked(op), customer_of(op)) {
            let known = requests.entry(request).or_insert(Request { customer, cost, call: op.call });
            known.call = known.call.min(op.call);
        }
    }
    let mut report = Report::of(Vec::new(), &answers.unread);
    let acknowledged = acknowledged(&answers);
    for (customer, read, op) in &answers.reads {
        let known = |request: &u64| requests.get(request).filter(|known| known.customer == *customer);
        for anomaly in [
            twice(customer, read, op),
            unasked(customer, read, op, &known),
            wrong(customer, read, op, &known),
            lost(customer, read, op, acknowledged.get(customer)),
        ] {
            anomaly.into_iter().for_each(|anomaly| report.add(anomaly));
        }
    }
    let longest = longest(&answers);
    for (customer, done, op) in &answers.puts {
        let read = longest.get(customer).copied();
        wrong_receipt(customer, done, op, read, &requests)
            .into_iter()
            .for_each(|anomaly| report.add(anomaly));
    }
    retries(&answers).into_iter().for_each(|anomaly| report.add(anomaly));
    let calls: usize = acknowledged.values().map(Vec::len).sum();
    let judged = format!("{calls} calls acknowledged, {} reads of customers", answers.reads.len());
    report.finding(NAME, judged, calls == 0 || answers.reads.is_empty())
}

/// The calls of each customer that were acknowledged, in the order in which that became known.
type Acknowledged<'a> = BTreeMap<&'a str, Vec<(u64, &'a Operation<'a>)>>;

fn acknowledged<'a>(answers: &Answers<'a>) -> Acknowledged<'a> {
    let mut all: Acknowledged<'a> = BTreeMap::new();
    for (customer, _, op) in &answers.puts {
        if let Some((request, _)) = asked(op) {
            all.entry(customer).or_default().push((request, *op));
        }
    }
    all.values_mut().for_each(|calls| calls.sort_by_key(|(_, op)| op.ret));
    all
}

fn twice(customer: &str, read: &Customer, op: &Operation<'_>) -> Option<Anomaly> {
    let mut seen = BTreeSet::new();
    let again = read.calls.iter().find(|call| !seen.insert(**call))?;
    let message = format!("{} finds the call of request {again} twice.", which(op));
    Some(anomaly_of("call-recorded-twice", Some(customer), message, &[op]))
}

fn unasked<'r, 'a: 'r>(
    customer: &str,
    read: &Customer,
    op: &Operation<'_>,
    known: &impl Fn(&u64) -> Option<&'r Request<'a>>,
) -> Option<Anomaly> {
    let foreign = |call: &&u64| known(call).is_none_or(|request| request.call > op.ret);
    let call = read.calls.iter().find(foreign)?;
    let message = format!("{} finds a call of request {call}, which nobody had asked for.", which(op));
    Some(anomaly_of("unasked-call", Some(customer), message, &[op]))
}

fn wrong<'r, 'a: 'r>(
    customer: &str,
    read: &Customer,
    op: &Operation<'_>,
    known: &impl Fn(&u64) -> Option<&'r Request<'a>>,
) -> Option<Anomaly> {
    let costs: Option<Vec<u64>> = read.calls.iter().map(|call| known(call).map(|r| r.cost)).collect();
    // Calls that nobody knows are told of as such.
    let balance = costs?.iter().fold(0_i64, |sum, cost| sum.saturating_sub_unsigned(*cost));
    let plan = read.calls.last().map(|call| plan_of(*call));
    if balance == read.balance && plan == read.plan && read.version == read.calls.len() as u64 {
        return None;
    }
    let is = format!("balance {}, plan {:?} and version {}", read.balance, read.plan, read.version);
    let calls = read.calls.len();
    let message = format!("{} finds {is}, but {calls} calls come to {balance} and {plan:?}.", which(op));
    Some(anomaly_of("wrong-record", Some(customer), message, &[op]))
}

/// The read of each customer that has the most calls.
fn longest<'r>(answers: &'r Answers<'_>) -> HashMap<&'r str, &'r Customer> {
    let mut longest: HashMap<&str, &Customer> = HashMap::new();
    for (customer, read, _) in &answers.reads {
        let known = longest.entry(customer).or_insert(read);
        if known.calls.len() < read.calls.len() {
            *known = read;
        }
    }
    longest
}

/// Whether who recorded a call was told another plan than the one asked for, or another balance than a read shows the customer
/// to have had just after it. That calls are not in the same place everywhere is for other judges.
fn wrong_receipt(
    customer: &str,
    done: &Done,
    op: &Operation<'_>,
    read: Option<&Customer>,
    requests: &HashMap<u64, Request<'_>>,
) -> Option<Anomaly> {
    let (request, _) = asked(op)?;
    let calls = read.and_then(|read| read.calls.get(..usize::try_from(done.version).ok()?));
    let calls = calls.filter(|calls| calls.last() == Some(&request));
    let costs = calls.and_then(|calls| calls.iter().map(|call| Some(requests.get(call)?.cost)).collect());
    let balance =
        costs.map(|costs: Vec<u64>| costs.iter().fold(0_i64, |sum, c| sum.saturating_sub_unsigned(*c)));
    let plan = plan_of(request);
    if done.plan == plan && balance.is_none_or(|balance| balance == done.balance) {
        return None;
    }
    let is = format!("balance {} and plan {:?}", done.balance, done.plan);
    let message = format!("{} is told {is}; the calls up to it come to {balance:?} and {plan:?}.", which(op));
    Some(anomaly_of("wrong-record", Some(customer), message, &[op]))
}

fn lost(
    customer: &str,
    read: &Customer,
    op: &Operation<'_>,
    acknowledged: Option<&Vec<(u64, &Operation<'_>)>>,
) -> Option<Anomaly> {
    let seen: BTreeSet<u64> = read.calls.iter().copied().collect();
    let before = acknowledged?.iter().take_while(|(_, put)| put.ret < op.call);
    let missing: Vec<_> = before.filter(|(request, _)| !seen.contains(request)).collect();
    let (request, put) = missing.first()?;
    let others = missing.len() - 1;
    let message = format!(
        "{} does not find the call of request {request}, acknowledged in {}, nor {others} others.",
        which(op),
        which(put)
    );
    Some(anomaly_of("lost-call", Some(customer), message, &[*put, op]))
}

fn retries(answers: &Answers<'_>) -> Vec<Anomaly> {
    let mut first: HashMap<u64, (&Done, &Operation<'_>)> = HashMap::new();
    let mut anomalies = Vec::new();
    for (customer, done, op) in &answers.puts {
        let Some((request, _)) = asked(op) else { continue };
        let (known, earlier) = *first.entry(request).or_insert((done, op));
        if known.version != done.version {
            let message = format!(
                "Request {request} is the customer's call {} in {} and call {} in {}.",
                known.version,
                which(earlier),
                done.version,
                which(op)
            );
            anomalies.push(anomaly_of("retry-done-again", Some(customer), message, &[earlier, op]));
        }
    }
    anomalies
}
