//! The judges of `stocks` that no other workload has use for.

mod audit;
mod takeover;
mod tokens;

use std::borrow::Cow;

use ordeal_core::{Checker, Event, EventKind, Finding, History, Limits, Operation};
use serde_json::Value;

pub(super) use audit::AuditFeeds;
pub(super) use takeover::Takeover;
pub(super) use tokens::FencingTokens;

/// How many violations of one kind are told; the rest are counted.
const REPORTED: usize = 20;

/// A judge of registers, shown the prices without the tokens they came with.
pub(super) struct Prices<C>(pub(super) C);

impl<C: Checker> Checker for Prices<C> {
    fn name(&self) -> String {
        self.0.name()
    }

    fn check(&self, history: &History) -> Finding {
        let events = history.events.iter().map(without_token).collect();
        self.0.check(&History { events, truncated: history.truncated.clone() })
    }

    fn limit(&mut self, limits: &Limits) {
        self.0.limit(limits);
    }
}

/// An update and the answer of a strong read are `[token, price]`; of these only the price is left.
fn without_token(event: &Event) -> Event {
    let mut event = event.clone();
    let paired = event.f == "update" || (event.f == "read" && event.kind == EventKind::Ok);
    if paired && let Some(price) = event.value.get_mut(1) {
        event.value = price.take();
    }
    event
}

/// The node that was asked.
fn node<'h>(op: &Operation<'h>) -> &'h str {
    op.invoke.node.as_deref().unwrap_or("?")
}

/// An operation in words.
fn told(op: &Operation<'_>) -> String {
    let ms = |ns: u64| ns as f64 / 1e6;
    let ended = op.complete.map_or(Cow::Borrowed("?"), |e| Cow::Owned(format!("{:.3}", ms(e.time))));
    let value = op.output().filter(|v| !v.is_null()).unwrap_or(op.input());
    let value = if *value == Value::Null { String::new() } else { format!(" {value}") };
    format!("`{}{value}` at {}, {:.3} to {ended} ms", op.f(), node(op), ms(op.invoke.time))
}

#[cfg(test)]
mod tests;
