//! From events to operations: who invoked what, and when it ended.

use std::collections::HashMap;

use ordeal_core::{Event, EventKind, Operation, Process};

use crate::ReadError;
use crate::sink::{Indices, Sink};

/// Where an event stands in real time.
#[derive(Debug)]
enum Clock {
    /// At its place in the file.
    File,
    /// At its time stamp. At one instant invocations come first, so that operations that merely touch
    /// count as overlapping.
    Stamps,
    /// Not yet known: as long as all stamps are the same, there may be none, and the order is that of the
    /// file. These are the events so far.
    Undecided(Vec<(Event, u64)>),
}

/// An operation that has begun.
#[derive(Debug)]
struct Begun {
    invoke: Event,
    call: u64,
}

/// Pairs events up. Remembers those that began and have not ended.
pub(crate) struct Pairs<'s, 't> {
    sink: &'s mut Sink<'t>,
    open: HashMap<u64, Begun>,
    indices: Indices,
    clock: Clock,
    /// How many events there were.
    placed: u64,
}

/// Stamps from here on could not be doubled.
const TIME_NS_MAX: u64 = (1 << 62) - 1;

impl<'s, 't> Pairs<'s, 't> {
    /// Pairs events whose order is that of the file.
    pub(crate) fn in_file_order(sink: &'s mut Sink<'t>) -> Self {
        Pairs { sink, open: HashMap::new(), indices: Indices::default(), clock: Clock::File, placed: 0 }
    }

    /// Pairs events whose order is that of their stamps, if there are any.
    pub(crate) fn by_time(sink: &'s mut Sink<'t>) -> Self {
        Pairs { clock: Clock::Undecided(Vec::new()), ..Pairs::in_file_order(sink) }
    }

    /// The number of the next event, for formats that do not number them.
    pub(crate) fn next_number(&self) -> u64 {
        self.sink.counts.events
    }

    /// The invocation of the operation that a process has open.
    pub(crate) fn opened_by(&self, process: u64) -> Option<&Event> {
        self.open.get(&process).map(|begun| &begun.invoke)
    }

    /// Takes the next event of the file.
    pub(crate) fn event(&mut self, event: Event, line: u64) -> Result<(), ReadError> {
        self.indices.insert(event.index, line)?;
        if !matches!(self.clock, Clock::File) {
            if event.time > TIME_NS_MAX {
                return Err(ReadError::new(line, "expected a time below 2^62 nanoseconds"));
            }
            self.sink.counts.time_ns_max = self.sink.counts.time_ns_max.max(event.time);
        }
        let position = matches!(self.clock, Clock::File).then_some(self.sink.counts.events);
        self.sink.event(&event, position);
        match &mut self.clock {
            Clock::File | Clock::Stamps => self.place(event, line),
            Clock::Undecided(waiting) => {
                let stamped = waiting.last().is_some_and(|(last, _)| last.time != event.time);
                waiting.push((event, line));
                if stamped { self.decide(Clock::Stamps) } else { Ok(()) }
            }
        }
    }

    fn decide(&mut self, clock: Clock) -> Result<(), ReadError> {
        if let Clock::Undecided(waiting) = std::mem::replace(&mut self.clock, clock) {
            for (event, line) in waiting {
                self.place(event, line)?;
            }
        }
        Ok(())
    }

    fn place(&mut self, event: Event, line: u64) -> Result<(), ReadError> {
        let begins = event.kind == EventKind::Invoke;
        let position = match self.clock {
            Clock::Stamps => 2 * event.time + u64::from(!begins),
            Clock::File | Clock::Undecided(_) => self.placed,
        };
        self.placed += 1;
        let Process::Client(process) = event.process else {
            self.sink.other(&event);
            return Ok(());
        };
        if begins {
            let begun = Begun { invoke: event, call: position };
            return match self.open.insert(process, begun) {
                None => Ok(()),
                Some(still) => Err(ReadError::new(
                    line,
                    format!(
                        "process {process} invoked again while its operation {} was open",
                        still.invoke.index
                    ),
                )),
            };
        }
        let Some(Begun { invoke, call }) = self.open.remove(&process) else {
            let why = format!("process {process} completed an operation it never invoked");
            return Err(ReadError::new(line, why));
        };
        if event.f != invoke.f {
            let why = format!("process {process} invoked `{}` and completed `{}`", invoke.f, event.f);
            return Err(ReadError::new(line, why));
        }
        if event.key.is_some() && event.key != invoke.key {
            let why = format!("process {process} completed its `{}` with another key", invoke.f);
            return Err(ReadError::new(line, why));
        }
        if matches!(self.clock, Clock::Stamps) && event.time < invoke.time {
            let why =
                format!("process {process} completed an operation before it invoked it, by the time stamps");
            return Err(ReadError::new(line, why));
        }
        let ret = if event.kind == EventKind::Info { Operation::OPEN } else { position };
        self.sink.operation(&Operation { invoke: &invoke, complete: Some(&event), call, ret });
        Ok(())
    }

    /// At the end of the file: hands over what is still open.
    pub(crate) fn finish(mut self) -> Result<(), ReadError> {
        self.decide(Clock::File)?;
        let mut open: Vec<Begun> = self.open.into_values().collect();
        open.sort_by_key(|begun| (begun.call, begun.invoke.index));
        for Begun { invoke, call } in open {
            self.sink.operation(&Operation { invoke: &invoke, complete: None, call, ret: Operation::OPEN });
        }
        Ok(())
    }
}
