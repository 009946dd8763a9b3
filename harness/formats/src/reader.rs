//! The way through: open, know the format, read.

use std::io::Read;

use ordeal_core::{Event, History, Operation};
use serde_json::Value;

use crate::detect::{self, Kind};
use crate::sink::{Counts, Sink};
use crate::source::Source;
use crate::{Format, ReadError, awdit, etcd_log, fastlin, interval, jepsen, ours};

/// How to read a file, as far as that does not follow from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// The format; found out from the first bytes if not given.
    pub format: Option<Format>,
    /// Values of Jepsen's operations are `[key value]` (`jepsen.independent`). This cannot be told from the
    /// file: a compare-and-set looks the same.
    pub independent: bool,
}

/// What follows from the format of a file, before any operation is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The format.
    pub format: Format,
    /// The model, where the file leaves no choice.
    pub model: Option<&'static str>,
    /// A read that answered null says nothing, rather than that there was no value.
    pub null_is_unknown: bool,
    /// A compare-and-set that failed proves that the value was another.
    pub failed_cas_proves: bool,
}

impl Profile {
    fn of(kind: Kind) -> Profile {
        let format = kind.format();
        Profile {
            format,
            model: kind.model(),
            null_is_unknown: matches!(format, Format::JepsenEdn | Format::JepsenJson),
            failed_cas_proves: format == Format::EtcdLog,
        }
    }

    /// The state of an object of this model before anything happened, where the format says.
    pub fn initial(&self, model: &str) -> Option<Value> {
        match (self.format, model) {
            (Format::Intervals, "register") => Some(0.into()),
            (Format::PorcupineKv, _) => Some("".into()),
            _ => None,
        }
    }
}

/// What was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Events, or what amounts to them in formats of whole operations.
    pub events: u64,
    /// Operations that took effect.
    pub ok: u64,
    /// Operations that did not.
    pub fail: u64,
    /// Operations of which nobody knows.
    pub info: u64,
    /// The latest time stamp, where there are stamps.
    pub time_ns_max: u64,
    /// A last line that was cut off and is left out.
    pub truncated: Option<String>,
    /// What a person should know about how the file was read.
    pub notes: Vec<String>,
}

/// What a reader of lines has to say in the end.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    pub(crate) truncated: Option<String>,
    pub(crate) notes: Vec<String>,
    /// How many lines there were.
    pub(crate) count: u64,
}

impl Lines {
    /// Refuses a file whose last line was cut off. Where a line is a whole operation and lines are in no
    /// order of time, what is missing may have begun before anything that is there, and would explain it.
    pub(crate) fn whole(self) -> Result<Lines, ReadError> {
        match self.truncated {
            None => Ok(self),
            Some(_) => {
                let why = "cut off: what is missing may explain the other operations; record the history \
                           again, or take this line out if nothing but it is missing";
                Err(ReadError::new(self.count, why))
            }
        }
    }
}

/// What a file is read into.
#[derive(Clone, Copy, Debug)]
pub enum Item<'r> {
    /// A client's operation: when it completes, or at the end if it never does.
    Operation(&'r Operation<'r>),
    /// An event that is no client's, such as the injection of a fault.
    Other(&'r Event),
}

/// A file whose format is known.
pub struct Reader {
    source: Source,
    kind: Kind,
    independent: bool,
}

impl Reader {
    /// Opens a file: decompresses gzip and Zstandard, and finds out the format.
    ///
    /// # Errors
    /// If it cannot be read, or is in no format that is known.
    pub fn open(source: Box<dyn Read>, options: &ReadOptions) -> Result<Reader, ReadError> {
        let mut source = Source::open(source)?;
        let kind = detect::kind(&mut source, options.format)?;
        Ok(Reader { source, kind, independent: options.independent })
    }

    /// What follows from the format.
    pub fn profile(&self) -> Profile {
        Profile::of(self.kind)
    }

    /// Hands over everything: completed operations when they complete, open ones at the end.
    ///
    /// # Errors
    /// What is wrong, and in which line.
    pub fn read(self, take: &mut dyn FnMut(Item<'_>)) -> Result<Summary, ReadError> {
        self.run(Sink::new(take, None))
    }

    /// Makes a whole history. Where positions in real time are not time stamps they become them.
    ///
    /// # Errors
    /// As [`read`](Reader::read).
    pub fn collect(self) -> Result<(History, Summary), ReadError> {
        let mut events: Vec<Event> = Vec::new();
        let mut keep = |event: &Event, position: Option<u64>| {
            let time = position.unwrap_or(event.time);
            events.push(Event { time, ..event.clone() });
        };
        let summary = self.run(Sink::new(&mut |_| {}, Some(&mut keep)))?;
        let truncated = summary.truncated.clone();
        Ok((History { events, truncated }, summary))
    }

    fn run(self, mut sink: Sink<'_>) -> Result<Summary, ReadError> {
        let Reader { mut source, kind, independent } = self;
        let lines = match kind {
            Kind::Ordeal => ours::read(&mut source, &mut sink),
            Kind::JepsenEdn | Kind::PorcupineKv => jepsen::read_edn(source, &mut sink, independent),
            Kind::JepsenJson => jepsen::read_json(source, &mut sink, independent),
            Kind::EtcdLog => etcd_log::read(&mut source, &mut sink),
            Kind::Fastlin(_) => fastlin::read(&mut source, &mut sink),
            Kind::Awdit => awdit::read(&mut source, &mut sink),
            Kind::Intervals(family) => interval::read(&mut source, &mut sink, family),
        }?;
        let Counts { events, ok, fail, info, time_ns_max } = sink.counts;
        let Lines { truncated, notes, .. } = lines;
        Ok(Summary { events, ok, fail, info, time_ns_max, truncated, notes })
    }
}

/// How much of a line that was cut off is kept.
const SHOWN: usize = 200;

/// Reads a file of lines: `parse` makes something of a line, or nothing, and `take` takes it. A last line
/// without its newline that `parse` refuses is set aside.
pub(crate) fn read_lines<S, T>(
    source: &mut Source,
    state: &mut S,
    mut parse: impl FnMut(&mut S, &str, u64) -> Result<Option<T>, String>,
    mut take: impl FnMut(&mut S, T, u64) -> Result<(), ReadError>,
) -> Result<Lines, ReadError> {
    let mut lines = Lines::default();
    while let Some(line) = source.line()? {
        let parsed = match std::str::from_utf8(line.bytes) {
            Ok(text) if text.trim_ascii().is_empty() => continue,
            Ok(text) => parse(state, text.strip_suffix('\r').unwrap_or(text), line.number),
            Err(_) => Err("not UTF-8".to_owned()),
        };
        lines.count = line.number;
        match parsed {
            Ok(None) => {}
            Ok(Some(parsed)) => take(state, parsed, line.number)?,
            Err(_) if !line.whole => {
                lines.truncated = Some(shown(&String::from_utf8_lossy(line.bytes)));
            }
            Err(why) => return Err(ReadError::new(line.number, why)),
        }
    }
    Ok(lines)
}

/// The beginning of a text.
pub(crate) fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
