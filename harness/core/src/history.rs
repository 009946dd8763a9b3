//! A history: every event of a run in the order in which it was recorded, and the operations in it.

use std::collections::HashMap;

use serde_json::Value;

use crate::{Event, EventKind, Key, Process};

/// What is wrong with the text of a history.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// A line that is not an event.
    #[error("line {line}: not a history event: {why}")]
    Line {
        /// The line, counted from 1.
        line: usize,
        /// What the parser expected.
        why: String,
    },
    /// A process that began a second operation before its first one ended.
    #[error("event {index}: process {process} invoked again while its operation {open} was open")]
    Reinvoked {
        /// The index of the second invocation.
        index: u64,
        /// The client.
        process: u64,
        /// The index of the open invocation.
        open: u64,
    },
    /// A completion stamped earlier than its invocation.
    #[error(
        "event {index}: process {process} completed an operation before it invoked it, by the time stamps"
    )]
    Backwards {
        /// The index of the completion.
        index: u64,
        /// The client.
        process: u64,
    },
    /// A completion without an invocation.
    #[error("event {index}: process {process} completed an operation it never invoked")]
    Unmatched {
        /// The index of the completion.
        index: u64,
        /// The client.
        process: u64,
    },
}

/// Every event of a run, in file order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// The events.
    pub events: Vec<Event>,
    /// A last line that was cut off in mid-write (the harness died), left out of `events`.
    pub truncated: Option<String>,
}

/// One operation: an invocation and, if there is one, its completion.
///
/// `call` and `ret` are positions in real time: operation A certainly ended before B began if and only
/// if `A.ret < B.call`. Only that order counts, the numbers themselves mean nothing. Positions come from
/// the time stamps, which are taken at the client's edge; file order merely breaks ties, and an
/// invocation and a completion stamped at the same instant count as overlapping.
#[derive(Clone, Copy, Debug)]
pub struct Operation<'h> {
    /// The invocation.
    pub invoke: &'h Event,
    /// The completion; `None` if the history ends before it.
    pub complete: Option<&'h Event>,
    /// When it began.
    pub call: u64,
    /// When it ended; [`Operation::OPEN`] when nobody knows.
    pub ret: u64,
}

impl<'h> Operation<'h> {
    /// The end of an operation that may take effect at any later time.
    pub const OPEN: u64 = u64::MAX;

    /// The client.
    pub fn process(&self) -> u64 {
        self.invoke.process.client().unwrap_or(u64::MAX)
    }

    /// How it ended: `Ok`, `Fail`, or `Info` when unknown or unfinished.
    pub fn kind(&self) -> EventKind {
        self.complete.map_or(EventKind::Info, |e| e.kind)
    }

    /// The function.
    pub fn f(&self) -> &'h str {
        &self.invoke.f
    }

    /// The object.
    pub fn key(&self) -> Option<&'h Key> {
        self.invoke.key.as_ref()
    }

    /// The argument.
    pub fn input(&self) -> &'h Value {
        &self.invoke.value
    }

    /// The result, if the operation is known to have taken effect.
    pub fn output(&self) -> Option<&'h Value> {
        self.complete.filter(|e| e.kind == EventKind::Ok).map(|e| &e.value)
    }

    /// The index of the invocation, by which verdicts cite the operation.
    pub fn index(&self) -> u64 {
        self.invoke.index
    }

    /// Its events, by which anomalies cite it: the invocation and, if there is one, the completion.
    pub fn events(&self) -> impl Iterator<Item = u64> + use<> {
        [Some(self.invoke.index), self.complete.map(|e| e.index)].into_iter().flatten()
    }
}

impl History {
    /// Reads a history from JSON lines. A last line without its newline that does not parse is what a
    /// killed harness leaves behind: it is set aside in [`History::truncated`]. Empty lines are skipped.
    ///
    /// # Errors
    /// [`HistoryError::Line`] for any other line that is not an event.
    pub fn parse(text: &str) -> Result<History, HistoryError> {
        let mut history = History::default();
        for (i, line) in text.split_inclusive('\n').enumerate() {
            let complete = line.ends_with('\n');
            let line = line.trim();
            if line.is_empty() {
                continue;
            }
            match serde_json::from_str(line) {
                Ok(event) => history.events.push(event),
                Err(_) if !complete => history.truncated = Some(line.to_owned()),
                Err(e) => {
                    return Err(HistoryError::Line { line: i + 1, why: e.to_string() });
                }
            }
        }
        Ok(history)
    }

    /// The event of this index. Indices are positions in every whole history of ours; others are searched.
    pub fn event(&self, index: u64) -> Option<&Event> {
        let there = usize::try_from(index).ok().and_then(|at| self.events.get(at));
        there.filter(|e| e.index == index).or_else(|| self.events.iter().find(|e| e.index == index))
    }

    /// The clients' operations, in order of invocation in the file.
    ///
    /// # Errors
    /// When invocations and completions do not pair up.
    pub fn operations(&self) -> Result<Vec<Operation<'_>>, HistoryError> {
        let rank = self.ranks();
        let mut open: HashMap<u64, usize> = HashMap::new();
        let mut operations: Vec<Operation<'_>> = Vec::with_capacity(self.events.len() / 2);
        for (position, event) in self.events.iter().enumerate() {
            let Process::Client(process) = event.process else {
                continue;
            };
            if event.kind == EventKind::Invoke {
                if let Some(at) = open.insert(process, operations.len()) {
                    let open = operations[at].index();
                    return Err(HistoryError::Reinvoked { index: event.index, process, open });
                }
                let call = rank[position];
                operations.push(Operation { invoke: event, complete: None, call, ret: Operation::OPEN });
            } else {
                let at =
                    open.remove(&process).ok_or(HistoryError::Unmatched { index: event.index, process })?;
                if event.time < operations[at].invoke.time {
                    return Err(HistoryError::Backwards { index: event.index, process });
                }
                operations[at].complete = Some(event);
                if event.kind != EventKind::Info {
                    operations[at].ret = rank[position];
                }
            }
        }
        Ok(operations)
    }

    /// For each event its position in real time: by time stamp; at one instant invocations come first,
    /// so that operations which merely touch count as overlapping. A history without stamps (all the same)
    /// is in the order of the file.
    fn ranks(&self) -> Vec<u64> {
        let stamped = self.events.windows(2).any(|pair| pair[0].time != pair[1].time);
        if !stamped {
            return (0..self.events.len() as u64).collect();
        }
        let mut order: Vec<usize> = (0..self.events.len()).collect();
        let sort_key = |&i: &usize| {
            let e: &Event = &self.events[i];
            (e.time, e.kind != EventKind::Invoke, i)
        };
        if !order.is_sorted_by_key(sort_key) {
            order.sort_by_key(sort_key);
        }
        let mut rank = vec![0; order.len()];
        for (position, &i) in order.iter().enumerate() {
            rank[i] = position as u64;
        }
        rank
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(index: u64, time: u64, process: u64, kind: &str) -> String {
        format!(
            r#"{{"index":{index},"time":{time},"process":{process},"type":"{kind}","f":"read","value":null}}"#
        )
    }

    #[test]
    fn pairs_operations_by_process() {
        let text = [line(0, 1, 0, "invoke"), line(1, 2, 1, "invoke"), line(2, 3, 0, "ok")].join("\n") + "\n";
        let history = History::parse(&text).unwrap();
        let ops = history.operations().unwrap();
        assert_eq!(ops.len(), 2);
        assert_eq!((ops[0].kind(), ops[1].kind()), (EventKind::Ok, EventKind::Info));
        assert_eq!(ops[1].ret, Operation::OPEN);
    }

    #[test]
    fn real_time_comes_from_the_stamps_not_from_the_file() {
        // Process 1 began (time 2) before process 0 ended (time 3), but was written down after it.
        let text =
            [line(0, 1, 0, "invoke"), line(1, 3, 0, "ok"), line(2, 2, 1, "invoke"), line(3, 4, 1, "ok")]
                .join("\n");
        let history = History::parse(&(text + "\n")).unwrap();
        let ops = history.operations().unwrap();
        assert!(ops[1].call < ops[0].ret, "they overlap");
    }

    #[test]
    fn a_touching_pair_overlaps() {
        let text =
            [line(0, 1, 0, "invoke"), line(1, 2, 0, "ok"), line(2, 2, 1, "invoke"), line(3, 3, 1, "ok")]
                .join("\n");
        let history = History::parse(&(text + "\n")).unwrap();
        let ops = history.operations().unwrap();
        assert!(ops[1].call < ops[0].ret);
    }

    #[test]
    fn a_cut_last_line_is_set_aside_and_a_bad_line_is_an_error() {
        let whole = line(0, 1, 0, "invoke");
        let cut = History::parse(&format!("{whole}\n{}", &whole[..20])).unwrap();
        assert_eq!(cut.events.len(), 1);
        assert!(cut.truncated.is_some());
        let bad = History::parse(&format!("{whole}\nnonsense\n{whole}\n"));
        assert!(matches!(bad, Err(HistoryError::Line { line: 2, .. })));
    }

    #[test]
    fn without_stamps_the_file_is_the_order() {
        let text =
            [line(0, 0, 0, "invoke"), line(1, 0, 0, "ok"), line(2, 0, 1, "invoke"), line(3, 0, 1, "ok")]
                .join("\n");
        let history = History::parse(&(text + "\n")).unwrap();
        let ops = history.operations().unwrap();
        assert!(ops[0].ret < ops[1].call);
    }

    #[test]
    fn a_completion_before_its_invocation_is_an_error() {
        let text = [line(0, 10, 0, "invoke"), line(1, 5, 0, "ok")].join("\n") + "\n";
        let history = History::parse(&text).unwrap();
        assert!(matches!(history.operations(), Err(HistoryError::Backwards { index: 1, process: 0 })));
    }

    #[test]
    fn events_are_found_by_index_wherever_they_stand() {
        let text = [line(5, 1, 0, "invoke"), line(1, 2, 1, "invoke")].join("\n") + "\n";
        let history = History::parse(&text).unwrap();
        let time = |index| history.event(index).map(|e| e.time);
        assert_eq!((time(5), time(1), time(0)), (Some(1), Some(2), None));
    }

    #[test]
    fn unpaired_events_are_errors() {
        let twice = [line(0, 1, 0, "invoke"), line(1, 2, 0, "invoke")].join("\n") + "\n";
        let twice = History::parse(&twice).unwrap();
        assert!(matches!(twice.operations(), Err(HistoryError::Reinvoked { index: 1, process: 0, open: 0 })));
        let never = History::parse(&(line(0, 1, 0, "ok") + "\n")).unwrap();
        assert!(matches!(never.operations(), Err(HistoryError::Unmatched { .. })));
    }
}
