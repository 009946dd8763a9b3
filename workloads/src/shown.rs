//! A judge that is shown a history otherwise than it was recorded.

use ordeal_core::{Checker, Event, Finding, History, Limits};

/// Shows a judge what is made of each event.
pub(crate) struct Shown<C> {
    pub(crate) to: C,
    /// What is made of an event.
    pub(crate) with: fn(&Event) -> Event,
}

impl<C: Checker> Checker for Shown<C> {
    fn name(&self) -> String {
        self.to.name()
    }

    fn check(&self, history: &History) -> Finding {
        let events = history.events.iter().map(self.with).collect();
        self.to.check(&History { events, truncated: history.truncated.clone() })
    }

    fn limit(&mut self, limits: &Limits) {
        self.to.limit(limits);
    }
}
