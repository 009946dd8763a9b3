//! Jepsen's histories, as EDN or as JSON: maps with `:process`, `:type`, `:f`, `:value` and perhaps
//! `:index`, `:time`, `:key`, `:error`.
//!
//! Real time is the order of the file, as for Jepsen's own checkers: an invocation is written down before
//! the request is sent, a completion after its answer has come. Stamps are kept, but not looked at. What
//! faults did (`:process :nemesis`) is no operation. Lists of small operations are transactions, whatever
//! their `:f`, and where it is missing.

use std::borrow::Cow;

use ordeal_core::{Event, EventKind, Key, Process};
use serde_json::Value;

use crate::edn::Edn;
use crate::json::Json;
use crate::ours::{function, read_kind};
use crate::pairs::Pairs;
use crate::reader::{Lines, shown};
use crate::sink::Sink;
use crate::source::{LONGEST, Source};
use crate::{ReadError, txn};

/// A map as it stands in the file.
#[derive(Debug, Default)]
struct Raw {
    process: Value,
    kind: Option<EventKind>,
    f: Option<Cow<'static, str>>,
    value: Value,
    index: Option<u64>,
    time: u64,
    key: Value,
    node: Value,
    error: Value,
}

impl Raw {
    fn set(&mut self, name: &str, value: Value) -> Result<(), String> {
        let text = |value: Value, name: &str| match value {
            Value::String(text) => Ok(text),
            other => Err(format!("expected a name as `{name}`, not {other}")),
        };
        match name {
            "process" => self.process = value,
            "type" => self.kind = Some(read_kind(&text(value, name)?)?),
            "f" if value.is_null() => self.f = None,
            "f" => self.f = Some(function(text(value, name)?.into())),
            "value" => self.value = value,
            "index" => self.index = value.as_u64(),
            "time" => self.time = value.as_u64().unwrap_or(0),
            "key" => self.key = value,
            "node" => self.node = value,
            "error" => self.error = value,
            _ => {}
        }
        Ok(())
    }
}

/// Makes events of maps.
struct Events<'s, 't> {
    pairs: Pairs<'s, 't>,
    independent: bool,
    /// A read was asked with `[key nil]`, as only `jepsen.independent` does.
    looks_independent: bool,
}

impl<'s, 't> Events<'s, 't> {
    fn new(sink: &'s mut Sink<'t>, independent: bool) -> Self {
        Events { pairs: Pairs::in_file_order(sink), independent, looks_independent: false }
    }

    fn take(&mut self, raw: Raw, line: u64) -> Result<(), ReadError> {
        let event = self.event(raw).map_err(|why| ReadError::new(line, why))?;
        self.pairs.event(event, line)
    }

    fn event(&mut self, mut raw: Raw) -> Result<Event, String> {
        let kind = raw.kind.ok_or("expected a `type`: invoke, ok, fail or info")?;
        let process = match raw.process.take() {
            // Small hand-written histories have just one process, and do not name it.
            Value::Null => Process::Client(0),
            Value::String(name) => Process::Named(name.into()),
            other => match other.as_u64() {
                Some(n) => Process::Client(n),
                None => return Err(format!("expected a `process` that is a number or a name, not {other}")),
            },
        };
        let mut key = read_key(raw.key.take());
        let mut value = raw.value.take();
        let mut f = raw.f.take();
        if let Process::Client(client) = process {
            if kind == EventKind::Invoke && f.as_deref() == Some("read") {
                self.looks_independent |=
                    matches!(value.as_array().map(Vec::as_slice), Some([k, Value::Null]) if !k.is_null());
            }
            if self.independent {
                (key, value) = split(value, kind)?;
            }
            let begun = self.pairs.opened_by(client).filter(|_| kind != EventKind::Invoke);
            let asked = begun.map_or(&value, |begun| &begun.value);
            if txn::is_txn(asked) || (f.is_none() && asked.is_array()) {
                txn::usual_names(&mut value);
                f = Some("txn".into());
            }
            if key.is_none() {
                key = begun.and_then(|begun| begun.key.clone());
            }
        }
        Ok(Event {
            index: raw.index.unwrap_or_else(|| self.pairs.next_number()),
            time: raw.time,
            process,
            kind,
            f: f.ok_or("expected an `f`")?,
            value,
            key,
            node: as_text(raw.node).map(Cow::Owned),
            error: as_text(raw.error),
        })
    }

    fn finish(self) -> Result<Vec<String>, ReadError> {
        let suspicious = self.looks_independent && !self.independent;
        self.pairs.finish()?;
        let note = "reads are asked with [key nil]: if values are [key value] throughout, as jepsen.independent \
                    makes them, say --independent";
        Ok(suspicious.then(|| note.to_owned()).into_iter().collect())
    }
}

/// Takes `[key value]` apart. What failed or timed out may have something else there.
fn split(value: Value, kind: EventKind) -> Result<(Option<Key>, Value), String> {
    match value {
        Value::Array(mut pair) if pair.len() == 2 => {
            let value = pair.pop().unwrap_or_default();
            Ok((read_key(pair.pop().unwrap_or_default()), value))
        }
        other if matches!(kind, EventKind::Fail | EventKind::Info) => Ok((None, other)),
        other => Err(format!("expected a value [key value], not {other}")),
    }
}

fn read_key(value: Value) -> Option<Key> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(Key::Text(text)),
        other => Some(other.as_i64().map_or_else(|| Key::Text(other.to_string()), Key::Int)),
    }
}

fn as_text(value: Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    }
}

/// Reads EDN: maps one after another, or one list of them.
pub(crate) fn read_edn(source: Source, sink: &mut Sink<'_>, independent: bool) -> Result<Lines, ReadError> {
    let mut events = Events::new(sink, independent);
    let mut edn = Edn::new(source);
    let mut truncated = None;
    let close = match edn.untagged(0)? {
        Some(b'[') => Some(b']'),
        Some(b'(') => Some(b')'),
        _ => None,
    };
    if close.is_some() {
        edn.take();
    }
    loop {
        edn.skip_blank(0)?;
        let line = edn.line_number();
        match edn_map(&mut edn, close) {
            Ok(Some(raw)) => events.take(raw, line)?,
            Ok(None) => break,
            // Only the last line may have been cut off: a missing bracket further up would hide all below.
            Err(e) if close.is_none() && e.line == line && edn.is_last_line() => {
                truncated = Some(format!("line {line}: {}", e.why));
                break;
            }
            Err(e) => return Err(e),
        }
    }
    Ok(Lines { truncated, notes: events.finish()?, ..Lines::default() })
}

/// The next map; `None` at the end of them all.
fn edn_map(edn: &mut Edn, close: Option<u8>) -> Result<Option<Raw>, ReadError> {
    match (edn.untagged(0)?, close) {
        (Some(b'{'), _) => {}
        (None, None) => return Ok(None),
        (None, Some(_)) => return edn.wrong("the file ends within its list of operations"),
        (Some(byte), Some(close)) if byte == close => {
            edn.take();
            return match edn.skip_blank(0)? {
                None => Ok(None),
                Some(_) => edn.wrong("expected nothing after the list of operations"),
            };
        }
        (Some(byte), _) => {
            let found = char::from(byte);
            return edn.wrong(format!("expected a map like {{:process 0, :type :invoke, …}}, not `{found}`"));
        }
    }
    let mut raw = Raw::default();
    edn.map(0, |edn, name| {
        let value = edn.form(0)?;
        match raw.set(&name, value) {
            Ok(()) => Ok(()),
            Err(why) => edn.wrong(why),
        }
    })?;
    Ok(Some(raw))
}

/// Reads JSON: objects one after another, or one array of them.
pub(crate) fn read_json(
    mut source: Source,
    sink: &mut Sink<'_>,
    independent: bool,
) -> Result<Lines, ReadError> {
    let mut events = Events::new(sink, independent);
    let mut truncated = None;
    let array = skip_space(&mut source)? == Some(b'[');
    if array {
        source.skip();
    }
    let mut element = Vec::new();
    let mut first = true;
    loop {
        let next = skip_space(&mut source)?;
        let line = source.line_number();
        let wrong = |why: &str| Err(ReadError::new(line, why));
        match next {
            None if array => return wrong("the file ends within its array of operations"),
            None => break,
            Some(b']') if array => {
                source.skip();
                match skip_space(&mut source)? {
                    None => break,
                    Some(_) => return wrong("expected nothing after the array of operations"),
                }
            }
            Some(b',') if array && !first => {
                source.skip();
                skip_space(&mut source)?;
            }
            Some(_) if array && !first => return wrong("expected `,` or `]`"),
            Some(_) => {}
        }
        first = false;
        let line = source.line_number();
        let whole = read_element(&mut source, &mut element)?;
        let parsed = match std::str::from_utf8(&element) {
            Ok(text) => json_map(text),
            Err(_) => Err("not UTF-8".to_owned()),
        };
        match parsed {
            Ok(raw) => events.take(raw, line)?,
            Err(_) if !whole && !array && !element.contains(&b'\n') => {
                truncated = Some(shown(&String::from_utf8_lossy(&element)));
            }
            Err(why) => return Err(ReadError::new(line, why)),
        }
    }
    Ok(Lines { truncated, notes: events.finish()?, ..Lines::default() })
}

fn skip_space(source: &mut Source) -> Result<Option<u8>, ReadError> {
    loop {
        match source.peek()? {
            Some(b' ' | b'\t' | b'\r' | b'\n') => source.skip(),
            other => return Ok(other),
        }
    }
}

/// Takes a JSON value by its brackets; `false` if the file ends within it.
fn read_element(source: &mut Source, element: &mut Vec<u8>) -> Result<bool, ReadError> {
    element.clear();
    let (mut depth, mut quoted) = (0_u64, false);
    while let Some(byte) = source.next()? {
        if element.len() >= LONGEST {
            return Err(ReadError::new(source.line_number(), "longer than 1 GiB"));
        }
        element.push(byte);
        match byte {
            b'\\' if quoted => element.extend(source.next()?),
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => depth += 1,
            b'}' | b']' if !quoted => depth = depth.saturating_sub(1),
            // Something that is no object ends with its line.
            b'\n' if depth == 0 => return Ok(true),
            _ => continue,
        }
        if depth == 0 && !quoted {
            return Ok(true);
        }
    }
    Ok(false)
}

fn json_map(text: &str) -> Result<Raw, String> {
    let mut raw = Raw::default();
    let mut json = Json::new(text);
    json.object(|json, name| {
        let value = json.value(0)?;
        raw.set(&name, value)
    })?;
    json.end()?;
    Ok(raw)
}
