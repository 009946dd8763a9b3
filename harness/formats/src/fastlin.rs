//! fastlin's logs: `# queue` and then, a line an operation, `method value start end`.
//!
//! `-1` is the answer of an empty object. There are no processes, so each operation is given its own. Unlike
//! elsewhere, an operation that ends where another begins comes before it: that is what fastlin's own
//! examples mean. So ends are put between one start and the next.

use ordeal_core::{Event, EventKind, Process};
use serde_json::Value;

use crate::ReadError;
use crate::detect::nothing_if;
use crate::json;
use crate::reader::{Lines, read_lines};
use crate::sink::Sink;
use crate::source::Source;

/// The model that a header names.
pub(crate) fn model(line: &str) -> Option<&'static str> {
    match line.trim().strip_prefix('#')?.trim() {
        "queue" => Some("queue"),
        "stack" => Some("stack"),
        "priorityqueue" | "priority_queue" | "priority-queue" => Some("priority-queue"),
        _ => None,
    }
}

/// One line.
struct Row {
    f: &'static str,
    /// It takes its value, rather than answering with it.
    takes: bool,
    value: Value,
    call: u64,
    ret: u64,
}

/// Reads a file.
pub(crate) fn read(source: &mut Source, sink: &mut Sink<'_>) -> Result<Lines, ReadError> {
    let (mut model_known, mut number) = (false, 0);
    read_lines(
        source,
        sink,
        |_, line, _| {
            if line.starts_with('#') {
                model_known |= model(line).is_some();
                return match model_known {
                    true => Ok(None),
                    false => Err("expected `# queue`, `# stack` or `# priorityqueue`".to_owned()),
                };
            }
            parse(line).map(Some)
        },
        |sink, row, _| {
            let event = |kind, time, index, value| Event {
                index,
                time,
                process: Process::Client(number / 2),
                kind,
                f: row.f.into(),
                value,
                key: None,
                node: None,
                error: None,
            };
            let (argument, answer) = match row.takes {
                true => (row.value, Value::Null),
                false => (Value::Null, nothing_if(row.value, -1)),
            };
            let invoke = event(EventKind::Invoke, row.call, number, argument);
            let complete = event(EventKind::Ok, row.ret, number + 1, answer);
            sink.interval(&invoke, &complete, row.call, row.ret);
            number += 2;
            Ok(())
        },
    )?
    .whole()
}

fn parse(line: &str) -> Result<Row, String> {
    let mut words = line.split_ascii_whitespace();
    let row = [words.next(), words.next(), words.next(), words.next(), words.next()];
    let [Some(method), Some(value), Some(start), Some(end), None] = row else {
        return Err("expected `method value start end`".to_owned());
    };
    let (f, takes) = match method {
        "enq" => ("enqueue", true),
        "deq" => ("dequeue", false),
        "push" => ("push", true),
        "pop" => ("pop", false),
        "insert" => ("insert", true),
        "poll" => ("poll", false),
        "peek" => ("peek", false),
        _ => {
            return Err(format!("expected enq, deq, push, pop, insert, poll or peek, not `{method}`"));
        }
    };
    let digits = value.strip_prefix('-').unwrap_or(value);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("expected a whole number as value, not `{value}`"));
    }
    let position = |word: &str| {
        let position = word.parse::<u64>().ok().filter(|at| *at < 1 << 62);
        position.ok_or_else(|| format!("expected a position in time, not `{word}`"))
    };
    let (start, end) = (position(start)?, position(end)?);
    if end < start {
        return Err(format!("expected an end that is not before the start {start}, not {end}"));
    }
    let (call, ret) = (2 * start + 1, (2 * end).max(2 * start + 1));
    Ok(Row { f, takes, value: json::whole(value), call, ret })
}
