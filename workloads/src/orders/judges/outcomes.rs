//! What became of events follows from those before them: prices from the promotions in force, orders from the stock.
//!
//! - In the end every step of a sequence has the outcome that the contract gives it (`wrong-price`, `oversold`,
//!   `wrong-outcome`).
//! - A read answers about what was asked for (`answered-otherwise`). What an order or a stock is read as agrees with the
//!   sequence, and with what the senders of the order were told (`read-otherwise`, `wrong-level`), stock is never
//!   negative (`negative-stock`), and no read knows less than what anybody knew before it began (`went-back`).

use std::collections::HashMap;

use ordeal_core::{Checker, Finding, History, Operation, judge_operations};

use super::super::event::{Outcome, Reason, Status, Step, Stock, Taken};
use super::law::Shop;
use super::observed::{Final, Observed, ended_ns};
use crate::report::{Report, anomaly_of, which};

/// The judge.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::orders) struct Outcomes;

const NAME: &str = "outcomes";

impl Checker for Outcomes {
    fn name(&self) -> String {
        NAME.to_owned()
    }

    fn check(&self, history: &History) -> Finding {
        judge_operations(NAME, history, |operations| judge(&Observed::of(history, &operations)))
    }
}

fn judge(observed: &Observed<'_>) -> Finding {
    let mut report = Report::of(Vec::new(), &observed.unread);
    for (other, op) in &observed.foreign {
        let message = format!("{} answers about {other}.", which(op));
        report.add(anomaly_of("answered-otherwise", Some(other), message, &[op]));
    }
    unprocessed(observed, &mut report);
    let Some(reference) = observed.reference() else {
        report.undecided("no sequence was seen in the end");
        return report.finding(NAME, "nothing to judge by".to_owned(), false);
    };
    for (place, of) in observed.finals.iter().enumerate() {
        if !observed.finals[..place].iter().any(|longer| longer.steps.starts_with(&of.steps)) {
            replay(observed, of, &mut report);
        }
    }
    levels(observed, reference, &mut report);
    orders(observed, reference, &mut report);
    went_back(observed, reference, &mut report);
    let count = |has: fn(&Step) -> bool| reference.steps.iter().filter(|step| has(step)).count();
    let confirmed = count(|step| step.outcome.status == Status::Confirmed);
    let reduced = count(|step| step.outcome.promotion.is_some());
    let sold_out = count(|step| step.outcome.reason == Some(Reason::SoldOut));
    let orphaned = count(|step| step.outcome.reason == Some(Reason::MissingDependency));
    let read = observed.orders.len() + observed.stocks.len();
    let judged = format!(
        "{confirmed} orders confirmed, {reduced} at a lower price; {sold_out} sold out; {read} reads"
    );
    report
        .finding(NAME, judged, confirmed == 0 || reduced == 0 || sold_out == 0 || read == 0)
        .with("confirmed", confirmed)
        .with("reduced", reduced)
        .with("sold_out", sold_out)
        .with("missing_dependency", orphaned)
}

/// Every step of a sequence has its outcome.
fn replay(observed: &Observed<'_>, of: &Final<'_>, report: &mut Report) {
    let mut shop = Shop::default();
    for step in &of.steps {
        let expected = shop.outcome(&step.event);
        if expected != step.outcome {
            let name = match (step.outcome.status, expected.status, expected.reason) {
                (Status::Confirmed, Status::Confirmed, _) => "wrong-price",
                (Status::Confirmed, _, Some(Reason::SoldOut)) => "oversold",
                _ => "wrong-outcome",
            };
            let (id, found) = (&step.event.id, &step.outcome);
            let message = format!(
                "{id} at position {} in {} is {found:?}, but must be {expected:?}.",
                step.position,
                which(of.op)
            );
            report.add(anomaly_of(name, Some(id), message, &observed.shown(id, of.op)));
        }
        shop.take(&step.event, &step.outcome);
    }
}

/// Every stock that was read is that after as many events as it says.
fn levels(observed: &Observed<'_>, reference: &Final<'_>, report: &mut Report) {
    // What was read last may have seen more than the sequence before it.
    let known = reference.steps.len() as u64;
    let judged =
        |(stock, op): &&(Stock, &Operation<'_>)| stock.processed <= known || op.ret < reference.op.call;
    let mut reads: Vec<_> = observed.stocks.iter().filter(judged).collect();
    reads.sort_by_key(|(stock, _)| stock.processed);
    let mut steps = reference.steps.iter().enumerate().peekable();
    let mut shop = Shop::default();
    for (stock, op) in reads {
        while let Some((_, step)) = steps.next_if(|(place, _)| (*place as u64) < stock.processed) {
            shop.take(&step.event, &step.outcome);
        }
        let (sku, level) = (&stock.sku, stock.level);
        if level < 0 {
            let message = format!("{} finds {level} of {sku}.", which(op));
            report.add(anomaly_of("negative-stock", Some(sku), message, &[op]));
        } else if stock.processed > known || shop.level(sku) != level {
            let message = format!(
                "{} finds {level} of {sku} after {} events, but {} of those in {} leave {}.",
                which(op),
                stock.processed,
                stock.processed.min(known),
                which(reference.op),
                shop.level(sku)
            );
            report.add(anomaly_of("wrong-level", Some(sku), message, &[op, reference.op]));
        }
    }
}

/// Every processed order that was read is in the sequence as it was read.
fn orders(observed: &Observed<'_>, reference: &Final<'_>, report: &mut Report) {
    for (order, op) in &observed.orders {
        let Some(position) = order.position else { continue };
        let step = reference.steps.get(position as usize).filter(|step| step.event.id == order.order);
        if step.is_none_or(|step| step.outcome != order.outcome) {
            let found = step.map(|step| &step.outcome);
            let message = format!(
                "{} finds {:?} at position {position}, where {} has {found:?}.",
                which(op),
                order.outcome,
                which(reference.op)
            );
            report.add(anomaly_of("read-otherwise", Some(&order.order), message, &[op, reference.op]));
        }
    }
}

/// What is said of an order that is not processed agrees with what its senders were told before.
fn unprocessed(observed: &Observed<'_>, report: &mut Report) {
    for (order, op) in observed.orders.iter().filter(|(order, _)| order.position.is_none()) {
        let sent = observed.sent.get(&order.order);
        let told = |taken| {
            let attempt = sent.and_then(|sent| sent.answered(taken));
            attempt.filter(|attempt| attempt.op.ret < op.call).map(|attempt| attempt.op)
        };
        let began_ns = sent.and_then(|sent| sent.began_ns());
        let (accepted, late) = (told(Taken::Accepted), told(Taken::Late));
        let Outcome { status, price, promotion, reason } = &order.outcome;
        let (name, why, earlier) = match (status, accepted, late) {
            _ if price.is_some() || promotion.is_some() || reason.is_some() => {
                ("read-otherwise", "it has no position", None)
            }
            (Status::None, Some(earlier), _) => ("went-back", "it had been accepted", Some(earlier)),
            (Status::None, _, Some(earlier)) => ("went-back", "it had been told to be late", Some(earlier)),
            (Status::None, ..) => continue,
            (Status::Late | Status::Buffered, ..)
                if began_ns.is_none_or(|began_ns| began_ns > ended_ns(op)) =>
            {
                ("read-otherwise", "nobody had sent it, or it was refused", None)
            }
            (Status::Late, Some(earlier), None) => ("read-otherwise", "it had been accepted", Some(earlier)),
            (Status::Buffered, None, Some(earlier)) => {
                ("read-otherwise", "it had been told to be late", Some(earlier))
            }
            (Status::Late | Status::Buffered, ..) => continue,
            _ => ("read-otherwise", "it has no position", None),
        };
        let by = earlier.map_or_else(String::new, |earlier| format!(" in {}", which(earlier)));
        let message = format!("{} finds {} {:?}, but {why}{by}.", which(op), order.order, order.outcome);
        let shown_by: Vec<_> = earlier.into_iter().chain([*op]).collect();
        report.add(anomaly_of(name, Some(&order.order), message, &shown_by));
    }
}

/// From some position of the run on, so many events were known to have been processed.
#[derive(Clone, Copy)]
struct Known<'a> {
    from: u64,
    processed: u64,
    op: &'a Operation<'a>,
}

/// What reads of orders and stock had shown, in the order in which they ended; it only grows.
fn known<'a>(observed: &Observed<'a>) -> Vec<Known<'a>> {
    let by_stock = observed.stocks.iter().map(|(stock, op)| (stock.processed, *op));
    let by_order = observed.orders.iter().filter_map(|(order, op)| Some((order.position? + 1, *op)));
    let of = |(processed, op): (u64, &'a Operation<'a>)| Known { from: op.ret, processed, op };
    let mut known: Vec<Known<'a>> = by_stock.chain(by_order).map(of).collect();
    known.sort_by_key(|known| known.from);
    for at in 1..known.len() {
        if known[at - 1].processed > known[at].processed {
            known[at] = Known { from: known[at].from, ..known[at - 1] };
        }
    }
    known
}

/// Reads are linearizable: each knows what was known when it began.
fn went_back(observed: &Observed<'_>, reference: &Final<'_>, report: &mut Report) {
    let known = known(observed);
    let mut knows_less = |op: &Operation<'_>, processed: u64, what: String| {
        let before = known.partition_point(|known| known.from < op.call).checked_sub(1);
        let Some(earlier) = before.map(|at| known[at]).filter(|earlier| earlier.processed > processed) else {
            return;
        };
        let told =
            format!("{} had shown that {} events were processed", which(earlier.op), earlier.processed);
        report.add(anomaly_of(
            "went-back",
            None,
            format!("{} {what}, but {told}.", which(op)),
            &[earlier.op, op],
        ));
    };
    for (stock, op) in &observed.stocks {
        knows_less(op, stock.processed, format!("knows of {}", stock.processed));
    }
    let positions: HashMap<&str, u64> =
        reference.steps.iter().map(|step| (&*step.event.id, step.position)).collect();
    for (order, op) in observed.orders.iter().filter(|(order, _)| order.position.is_none()) {
        if let Some(position) = positions.get(&*order.order) {
            let what = format!("finds {} {:?}, which is at {position}", order.order, order.outcome.status);
            knows_less(op, *position, what);
        }
    }
}
