//! Ordeal's own JSON lines: one event a line.
//!
//! The fields are those of [`Event`]; others are passed over, so that a file may say more.

use std::borrow::Cow;

use ordeal_core::{Event, EventKind, Key, Process};
use serde_json::Value;

use crate::ReadError;
use crate::json::{Json, Why};
use crate::pairs::Pairs;
use crate::reader::{Lines, read_lines};
use crate::sink::Sink;
use crate::source::Source;

/// Reads a file.
pub(crate) fn read(source: &mut Source, sink: &mut Sink<'_>) -> Result<Lines, ReadError> {
    let mut pairs = Pairs::by_time(sink);
    let lines = read_lines(
        source,
        &mut pairs,
        |_, line, _| parse(line).map(Some),
        |pairs, event, number| pairs.event(event, number),
    )?;
    pairs.finish()?;
    Ok(lines)
}

/// Reads one line.
pub(crate) fn parse(line: &str) -> Result<Event, Why> {
    let mut json = Json::new(line);
    let (mut index, mut time, mut process, mut kind, mut f) = (None, None, None, None, None);
    let (mut value, mut key, mut node, mut error) = (None, None, None, None);
    json.object(|json, name| match &*name {
        "index" => once(&mut index, "index", json.unsigned()?),
        "time" => once(&mut time, "time", json.unsigned()?),
        "process" => once(&mut process, "process", read_process(json)?),
        "type" => once(&mut kind, "type", read_kind(&json.text()?)?),
        "f" => once(&mut f, "f", function(json.text()?)),
        "value" => once(&mut value, "value", json.value(0)?),
        "key" => once(&mut key, "key", read_key(json.value(0)?)?),
        "node" => once(&mut node, "node", optional_text(json)?),
        "error" => once(&mut error, "error", optional_text(json)?),
        _ => json.value(0).map(drop),
    })?;
    json.end()?;
    let missing = |name: &str| format!("expected a field `{name}`");
    Ok(Event {
        index: index.ok_or_else(|| missing("index"))?,
        time: time.ok_or_else(|| missing("time"))?,
        process: process.ok_or_else(|| missing("process"))?,
        kind: kind.ok_or_else(|| missing("type"))?,
        f: f.ok_or_else(|| missing("f"))?,
        value: value.unwrap_or(Value::Null),
        key: key.flatten(),
        node: node.flatten().map(Cow::Owned),
        error: error.flatten(),
    })
}

fn once<T>(field: &mut Option<T>, name: &str, value: T) -> Result<(), Why> {
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err(format!("the field `{name}` is there twice")),
    }
}

fn read_process(json: &mut Json<'_>) -> Result<Process, Why> {
    match json.peek() {
        Some(b'"') => Ok(Process::Named(Cow::Owned(json.text()?.into_owned()))),
        _ => json.unsigned().map(Process::Client),
    }
}

/// What an event says about its operation.
pub(crate) fn read_kind(text: &str) -> Result<EventKind, Why> {
    match text {
        "invoke" => Ok(EventKind::Invoke),
        "ok" => Ok(EventKind::Ok),
        "fail" => Ok(EventKind::Fail),
        "info" => Ok(EventKind::Info),
        other => Err(format!("expected the type invoke, ok, fail or info, not `{other}`")),
    }
}

/// An object: a whole number or text.
pub(crate) fn read_key(value: Value) -> Result<Option<Key>, Why> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(Key::Text(text))),
        other => match other.as_i64() {
            Some(n) => Ok(Some(Key::Int(n))),
            None => Err(format!("expected a key that is a whole number or text, not {other}")),
        },
    }
}

fn optional_text(json: &mut Json<'_>) -> Result<Option<String>, Why> {
    match json.value(0)? {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        other => Err(format!("expected text, not {other}")),
    }
}

/// A function's name. Those that most histories use need no memory of their own.
pub(crate) fn function(name: Cow<'_, str>) -> Cow<'static, str> {
    const KNOWN: &[&str] = &[
        "read", "write", "cas", "txn", "add", "append", "enqueue", "dequeue", "push", "pop", "remove",
        "contains", "insert", "poll", "peek", "acquire", "release", "get", "put", "transfer",
    ];
    match KNOWN.iter().find(|known| **known == name) {
        Some(known) => Cow::Borrowed(known),
        None => Cow::Owned(name.into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use ordeal_core::Rng;

    use super::*;

    const LINES: &[&str] = &[
        r#"{"index":0,"time":1,"process":0,"type":"invoke","f":"read","value":null,"key":1}"#,
        r#"{"index":12,"time":123456789,"process":"nemesis","type":"info","f":"inject","value":{"fault":"kill","proved":true}}"#,
        r#"{"index":3,"time":9,"process":4,"type":"ok","f":"custom-f","value":[1,-2,"a\"b"],"key":"p1","node":"n1","error":null}"#,
        r#" { "time" : 9 , "index":18446744073709551615,"process":1,"type":"fail","f":"cas","error":"no\u0020way","more":{"x":[]}} "#,
    ];

    #[test]
    fn reads_what_serde_reads() {
        for line in LINES {
            assert_eq!(parse(line).unwrap(), serde_json::from_str::<Event>(line).unwrap());
        }
    }

    #[test]
    fn damaged_lines_are_accepted_exactly_where_serde_accepts_them() {
        let mut rng = Rng::new(11);
        let spice = b"{}[]\",:0123456789-.eE\\ntrufalsx \x01\xc3";
        let (mut accepted, mut refused) = (0, 0);
        for _ in 0..100_000 {
            let mut line = LINES[rng.below(LINES.len() as u64) as usize].as_bytes().to_vec();
            for _ in 0..rng.between(1, 3) {
                let at = rng.below(line.len() as u64) as usize;
                match rng.below(3) {
                    0 => line[at] = spice[rng.below(spice.len() as u64) as usize],
                    1 => line.insert(at, spice[rng.below(spice.len() as u64) as usize]),
                    _ => drop(line.remove(at)),
                }
            }
            let Ok(line) = std::str::from_utf8(&line) else { continue };
            match (parse(line), serde_json::from_str::<Event>(line)) {
                (Ok(ours), Ok(theirs)) => {
                    // A number that fits no word is where the two differ on purpose.
                    let exact = !line.contains(['.', 'e', 'E']) || ours == theirs || line.contains("e");
                    assert!(exact, "{line}");
                    accepted += 1;
                }
                (Err(_), Err(_)) => refused += 1,
                (ours, theirs) => panic!("{line}: {ours:?} but {theirs:?}"),
            }
        }
        assert!(accepted > 5_000 && refused > 5_000, "{accepted} {refused}");
    }

    #[test]
    fn errors_say_what_was_expected() {
        for (line, expected) in [
            ("nonsense", "expected an object at column 1, not 'n'"),
            ("{}", "expected a field `index`"),
            (r#"{"index":1,"index":2}"#, "twice"),
            (r#"{"index":-1}"#, "expected a whole number"),
            (r#"{"type":"okay"}"#, "expected the type invoke, ok, fail or info, not `okay`"),
            (r#"{"key":[]}"#, "expected a key"),
            (r#"{"index":1} x"#, "expected the end of the line"),
        ] {
            let why = parse(line).unwrap_err();
            assert!(why.contains(expected), "{line}: {why}");
        }
    }
}
