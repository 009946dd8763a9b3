//! The logs of Jepsen's first etcd test, as Porcupine judges them:
//! `INFO jepsen.util - 3 :invoke :cas [1 2]`, then `:ok`, `:fail`, or `:info … :timed-out`.

use ordeal_core::{Event, EventKind, Process};
use serde_json::Value;

use crate::ReadError;
use crate::json;
use crate::ours::{function, read_kind};
use crate::pairs::Pairs;
use crate::reader::{Lines, read_lines};
use crate::sink::Sink;
use crate::source::Source;

/// Reads a file.
pub(crate) fn read(source: &mut Source, sink: &mut Sink<'_>) -> Result<Lines, ReadError> {
    let mut pairs = Pairs::in_file_order(sink);
    let lines = read_lines(
        source,
        &mut pairs,
        |pairs, line, _| parse(line, pairs.next_number()),
        |pairs, event, number| pairs.event(event, number),
    )?;
    pairs.finish()?;
    Ok(lines)
}

/// Reads a line; `None` if it is another logger's.
fn parse(line: &str, index: u64) -> Result<Option<Event>, String> {
    let mut words = line.split_ascii_whitespace();
    let expected = "expected `INFO jepsen.util - PROCESS :TYPE :FUNCTION VALUE`";
    if !matches!(words.next(), Some("INFO" | "WARN" | "ERROR" | "DEBUG" | "TRACE")) {
        return Err(expected.to_owned());
    }
    match words.next() {
        Some("jepsen.util") => {}
        Some(_) => return Ok(None),
        None => return Err(expected.to_owned()),
    }
    let (Some("-"), Some(process), Some(kind), Some(f)) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(expected.to_owned());
    };
    let process = match process.strip_prefix(':') {
        Some(name) => Process::Named(name.to_owned().into()),
        None => Process::Client(
            process.parse().map_err(|_| format!("expected the number of a process, not `{process}`"))?,
        ),
    };
    let keyword = |word: &str| word.strip_prefix(':').map(str::to_owned).ok_or(expected.to_owned());
    let kind = read_kind(&keyword(kind)?)?;
    let f = function(keyword(f)?.into());
    let rest: Vec<&str> = words.collect();
    let (value, error) = match rest.join(" ").as_str() {
        text if process.client().is_none() => (Value::String(text.to_owned()), None),
        text => match text.strip_prefix(':') {
            Some(why) => (Value::Null, Some(why.to_owned())),
            None => (read_value(text)?, None),
        },
    };
    if kind == EventKind::Invoke && error.is_some() {
        return Err(expected.to_owned());
    }
    Ok(Some(Event { index, time: 0, process, kind, f, value, key: None, node: None, error }))
}

/// `nil`, a number, or two of them in brackets.
fn read_value(text: &str) -> Result<Value, String> {
    let expected = || format!("expected nil, a whole number or [FROM TO], not `{text}`");
    let number = |word: &str| {
        let digits = word.strip_prefix('-').unwrap_or(word);
        let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        if is_number { Ok(json::whole(word)) } else { Err(expected()) }
    };
    if text == "nil" {
        return Ok(Value::Null);
    }
    match text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        None => number(text),
        Some(pair) => match pair.split_ascii_whitespace().collect::<Vec<_>>().as_slice() {
            [from, to] => Ok(Value::Array(vec![number(from)?, number(to)?])),
            _ => Err(expected()),
        },
    }
}
