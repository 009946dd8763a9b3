//! The judges of `stocks` that no other workload has use for.

mod audit;
mod takeover;
mod tokens;

use ordeal_core::{Checker, Event, EventKind};

pub(super) use audit::AuditFeeds;
pub(super) use takeover::Takeover;
pub(super) use tokens::FencingTokens;

use crate::shown::Shown;

/// Shows a judge of registers the prices without the tokens they came with.
pub(super) fn prices<C: Checker>(to: C) -> Shown<C> {
    Shown { to, with: without_token }
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
