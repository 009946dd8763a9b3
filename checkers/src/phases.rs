//! The phases of a run, as the harness marks them in the history.
//!
//! A marker is an `info` event of the nemesis with `f: "phase"` and the phase's name as value. A phase
//! lasts until the next marker; an operation belongs to the phase in which it was invoked.

use std::borrow::Cow;

use ordeal_core::{Event, EventKind, History, Process};

/// The reads after everything is healed and settled.
pub const FINAL_READS: &str = "final-reads";
/// The load under faults.
pub(crate) const LOAD: &str = "load";
/// The load before any fault.
pub(crate) const WARM_UP: &str = "warm-up";

/// The markers of a history, in order of time.
#[derive(Debug, Default)]
pub struct Phases<'h> {
    marks: Vec<(u64, u64, Cow<'h, str>)>,
}

/// Whether the event is the harness's own, with this function.
pub(crate) fn of_nemesis(event: &Event, f: &str) -> bool {
    event.kind == EventKind::Info && event.f == f && matches!(event.process, Process::Named(_))
}

impl Phases<'static> {
    /// Remembers the event if it is a marker.
    pub(crate) fn mark(&mut self, event: &Event) {
        let Some(name) = event.value.as_str().filter(|_| of_nemesis(event, "phase")) else {
            return;
        };
        let mark = (event.time, event.index, Cow::Owned(name.to_owned()));
        let place = self.marks.partition_point(|m| *m <= mark);
        self.marks.insert(place, mark);
    }
}

impl<'h> Phases<'h> {
    /// The phases of a whole history.
    pub fn of(history: &'h History) -> Self {
        let mut marks: Vec<_> = history
            .events
            .iter()
            .filter(|e| of_nemesis(e, "phase"))
            .filter_map(|e| Some((e.time, e.index, Cow::Borrowed(e.value.as_str()?))))
            .collect();
        marks.sort_unstable();
        Phases { marks }
    }

    /// The phase an event falls into; `None` before the first marker.
    pub(crate) fn at(&self, event: &Event) -> Option<&str> {
        self.at_stamp(event.time, event.index)
    }

    /// The phase that an event of this time and index falls into; `None` before the first marker.
    pub(crate) fn at_stamp(&self, time_ns: u64, index: u64) -> Option<&str> {
        let before = self.marks.partition_point(|m| (m.0, m.1) <= (time_ns, index));
        before.checked_sub(1).map(|i| &*self.marks[i].2)
    }

    /// Whether the event falls into the final reads.
    pub fn is_final(&self, event: &Event) -> bool {
        self.at(event) == Some(FINAL_READS)
    }

    /// When this phase first began: time in nanoseconds, and index, of its marker.
    pub fn began(&self, name: &str) -> Option<(u64, u64)> {
        self.marks.iter().find(|m| m.2 == name).map(|m| (m.0, m.1))
    }

    /// Whether the harness ever marked this phase.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.began(name).is_some()
    }

    /// The phases in order, each with how long it lasted in nanoseconds (`None`: to the end).
    pub(crate) fn lasted(&self) -> impl Iterator<Item = (&str, Option<u64>)> {
        self.marks.iter().enumerate().map(|(i, m)| {
            let next = self.marks.get(i + 1);
            (&*m.2, next.map(|n| n.0 - m.0))
        })
    }
}
