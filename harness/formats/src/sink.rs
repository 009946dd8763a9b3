//! Where the readers put what they have read.

use std::collections::BTreeMap;

use ordeal_core::{Event, EventKind, Operation};

use crate::{Item, ReadError};

/// Takes an event, and its position in real time where that does not follow from its stamp.
pub(crate) type TakeEvent<'t> = dyn FnMut(&Event, Option<u64>) + 't;

/// Who wants the operations, and what has been counted.
pub(crate) struct Sink<'t> {
    /// Takes each operation, and what is none.
    take: &'t mut dyn FnMut(Item<'_>),
    /// Takes each event in the order of the file, if whole histories are wanted.
    event: Option<&'t mut TakeEvent<'t>>,
    pub(crate) counts: Counts,
}

/// What was read so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) events: u64,
    pub(crate) ok: u64,
    pub(crate) fail: u64,
    pub(crate) info: u64,
    pub(crate) time_ns_max: u64,
}

impl<'t> Sink<'t> {
    pub(crate) fn new(take: &'t mut dyn FnMut(Item<'_>), event: Option<&'t mut TakeEvent<'t>>) -> Self {
        Sink { take, event, counts: Counts::default() }
    }

    /// Notes an event in the order of the file.
    pub(crate) fn event(&mut self, event: &Event, position: Option<u64>) {
        self.counts.events += 1;
        if let Some(take) = &mut self.event {
            take(event, position);
        }
    }

    /// Hands over an event that is no client's.
    pub(crate) fn other(&mut self, event: &Event) {
        (self.take)(Item::Other(event));
    }

    /// Hands over an operation.
    pub(crate) fn operation(&mut self, operation: &Operation<'_>) {
        match operation.kind() {
            EventKind::Ok => self.counts.ok += 1,
            EventKind::Fail => self.counts.fail += 1,
            EventKind::Info | EventKind::Invoke => self.counts.info += 1,
        }
        (self.take)(Item::Operation(operation));
    }

    /// Hands over an operation that the file gives as a whole.
    pub(crate) fn interval(&mut self, invoke: &Event, complete: &Event, call: u64, ret: u64) {
        self.event(invoke, Some(invoke.time));
        self.event(complete, Some(complete.time));
        self.operation(&Operation { invoke, complete: Some(complete), call, ret });
    }
}

/// The indices seen so far, as ranges from first to last: almost always one.
#[derive(Debug, Default)]
pub(crate) struct Indices(BTreeMap<u64, u64>);

impl Indices {
    /// Notes an index.
    ///
    /// # Errors
    /// If it was there before.
    pub(crate) fn insert(&mut self, index: u64, line: u64) -> Result<(), ReadError> {
        if let Some(mut end) = self.0.last_entry()
            && end.get().checked_add(1) == Some(index)
        {
            *end.get_mut() = index;
            return Ok(());
        }
        let before = self.0.range(..=index).next_back().map(|(&first, &last)| (first, last));
        if before.is_some_and(|(_, last)| last >= index) {
            return Err(ReadError::new(line, format!("the index {index} was there before")));
        }
        let first = before.filter(|(_, last)| last + 1 == index).map_or(index, |(first, _)| first);
        let after = index.checked_add(1).and_then(|next| self.0.remove(&next));
        self.0.insert(first, after.unwrap_or(index));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_in_any_order_are_noted_once() {
        let mut indices = Indices::default();
        let mut seen = std::collections::BTreeSet::new();
        let mut rng = ordeal_core::Rng::new(7);
        for _ in 0..20_000 {
            let index = match rng.below(20) {
                0 => u64::MAX - rng.below(3),
                1 => rng.below(2_000),
                _ => seen.range(..u64::MAX - 9).next_back().map_or(5, |last| last + 1),
            };
            assert_eq!(indices.insert(index, 1).is_ok(), seen.insert(index), "{index}");
        }
    }
}
