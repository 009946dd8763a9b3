//! The judges of `stocks` that no other workload has use for.

mod audit;
mod takeover;
mod tokens;

use ordeal_core::{Checker, Event, EventKind, Finding, History, Limits};

pub(super) use audit::AuditFeeds;
pub(super) use takeover::Takeover;
pub(super) use tokens::FencingTokens;

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

#[cfg(test)]
mod tests;
