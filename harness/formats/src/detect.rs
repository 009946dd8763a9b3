//! Finds out what a file is by its first bytes.

use serde_json::Value;

use crate::json::Json;
use crate::source::Source;
use crate::{Format, ReadError, fastlin, interval};

/// How much of a file is looked at.
const LOOKED_AT: usize = 64 * 1024;

/// A format, with what its beginning tells about the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ordeal,
    JepsenEdn,
    JepsenJson,
    PorcupineKv,
    EtcdLog,
    Fastlin(Option<&'static str>),
    Awdit,
    Intervals(Option<&'static str>),
}

impl Kind {
    pub(crate) fn format(self) -> Format {
        match self {
            Kind::Ordeal => Format::Ordeal,
            Kind::JepsenEdn => Format::JepsenEdn,
            Kind::JepsenJson => Format::JepsenJson,
            Kind::PorcupineKv => Format::PorcupineKv,
            Kind::EtcdLog => Format::EtcdLog,
            Kind::Fastlin(_) => Format::Fastlin,
            Kind::Awdit => Format::Awdit,
            Kind::Intervals(_) => Format::Intervals,
        }
    }

    /// The model, where there is no choice.
    pub(crate) fn model(self) -> Option<&'static str> {
        match self {
            Kind::PorcupineKv => Some("kv"),
            Kind::EtcdLog => Some("register"),
            Kind::Fastlin(model) | Kind::Intervals(model) => model,
            _ => None,
        }
    }
}

/// The kind of a file, of which nothing is consumed.
pub(crate) fn kind(source: &mut Source, format: Option<Format>) -> Result<Kind, ReadError> {
    let bytes = source.look(LOOKED_AT)?;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(LOOKED_AT)]);
    let format = match format {
        Some(format) => format,
        None => guess(&text)?,
    };
    Ok(match format {
        Format::Ordeal => Kind::Ordeal,
        Format::JepsenEdn => Kind::JepsenEdn,
        Format::JepsenJson => Kind::JepsenJson,
        Format::PorcupineKv => Kind::PorcupineKv,
        Format::EtcdLog => Kind::EtcdLog,
        Format::Fastlin => Kind::Fastlin(text.lines().next().and_then(fastlin::model)),
        Format::Awdit => Kind::Awdit,
        Format::Intervals => Kind::Intervals(interval::model(&text)),
    })
}

fn guess(text: &str) -> Result<Format, ReadError> {
    let start = text.trim_start();
    let first_line = start.lines().next().unwrap_or("").trim_end();
    let within = start.strip_prefix(['[', '(']).unwrap_or(start).trim_start();
    let object = within.strip_prefix('{').map(str::trim_start);
    if start.is_empty() {
        // Nothing happened, in whatever format.
        return Ok(Format::Ordeal);
    }
    if fastlin::model(first_line).is_some() {
        return Ok(Format::Fastlin);
    }
    if start.starts_with(['{', '[']) && object.is_some_and(|fields| fields.starts_with('"')) {
        return Ok(of_json(start, within));
    }
    if ["INFO", "WARN"].iter().any(|level| first_line.starts_with(level)) {
        return Ok(Format::EtcdLog);
    }
    if is_awdit(first_line) {
        return Ok(Format::Awdit);
    }
    if start.starts_with(['{', '[', '(', ';', '#', '^']) {
        return Ok(of_edn(start));
    }
    let line = 1 + text[..text.len() - start.len()].matches('\n').count() as u64;
    Err(ReadError::new(
        line,
        "not a history in any format that is known; expected JSON or EDN maps, `INFO jepsen.util - …`, \
         a header such as `# queue`, or `r key value`",
    ))
}

/// Which kind of JSON: by the fields of the first object.
fn of_json(start: &str, within: &str) -> Format {
    let mut fields = Vec::new();
    // A first object that is longer than what is looked at, or damaged, still has first fields.
    let _ = Json::new(within).object(|json, name| {
        fields.push(name.into_owned());
        json.value(0).map(drop)
    });
    let has = |name: &str| fields.iter().any(|field| field == name);
    if start.starts_with('[') {
        Format::JepsenJson
    } else if has("call") {
        Format::Intervals
    } else if has("type") && !(has("index") && has("time")) {
        Format::JepsenJson
    } else {
        Format::Ordeal
    }
}

/// Porcupine's key-value logs are Jepsen's EDN with functions of their own.
fn of_edn(text: &str) -> Format {
    let of_map = |f: &str| text.contains(&format!(":f {f},")) && text.contains(":key \"");
    match [":get", ":put", ":append"].iter().any(|f| of_map(f)) {
        true => Format::PorcupineKv,
        false => Format::JepsenEdn,
    }
}

fn is_awdit(line: &str) -> bool {
    let mut words = line.split_ascii_whitespace();
    match (words.next(), words.count()) {
        (Some("r" | "w"), 2) => true,
        (Some(rule), 0) => {
            rule.len() >= 5 && (rule.trim_matches('=').is_empty() || rule.trim_matches('-').is_empty())
        }
        _ => false,
    }
}

/// A value that a format writes for "nothing there".
pub(crate) fn nothing_if(value: Value, nothing: i64) -> Value {
    match value.as_i64() == Some(nothing) {
        true => Value::Null,
        false => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_known_by_their_beginning() {
        for (text, format) in [
            ("", Format::Ordeal),
            (" \n", Format::Ordeal),
            (r#"{"index":0,"time":1,"process":0,"type":"invoke","f":"read"}"#, Format::Ordeal),
            (r#"{"index":0,"ti"#, Format::Ordeal),
            (r#"{"process":0,"type":"invoke","f":"read"}"#, Format::JepsenJson),
            ("[{\"process\":0}]", Format::JepsenJson),
            ("[\n {\"process\":0}]", Format::JepsenJson),
            (r#"{"p":0,"f":"r","k":0,"call":0,"ret":1,"st":"ok"}"#, Format::Intervals),
            ("{:process 0}", Format::JepsenEdn),
            ("; comment\n[{:process 0}", Format::JepsenEdn),
            ("({:process 0})", Format::JepsenEdn),
            ("#jepsen.history.Op{:process 0}", Format::JepsenEdn),
            ("[]", Format::JepsenEdn),
            ("{:process 0, :type :invoke, :f :get, :key \"7\", :value nil}", Format::PorcupineKv),
            ("INFO  jepsen.util - 0\t:invoke\t:read\tnil", Format::EtcdLog),
            ("# queue\nenq 1 0 1", Format::Fastlin),
            ("# priorityqueue\n", Format::Fastlin),
            ("w 0 1\nr 1 0", Format::Awdit),
            ("=====\n", Format::Awdit),
        ] {
            assert_eq!(guess(text), Ok(format), "{text}");
        }
        for text in ["nonsense", "\n\nx y", "<html>", "\u{0}", "# nonsense"] {
            assert!(guess(text).is_ok_and(|f| f == Format::JepsenEdn) == text.starts_with('#'), "{text}");
        }
        assert_eq!(guess("\n\nx y").unwrap_err().line, 3);
    }
}
