//! Reads histories, Ordeal's own and those of other tools, operation by operation.
//!
//! [`Reader::open`] finds out what a file is, by its first bytes; [`Reader::profile`] says what follows from
//! that, such as the initial value of a register; [`Reader::read`] then hands over one
//! [`Operation`](ordeal_core::Operation) after another, with the names of functions that
//! [`ordeal_core`] documents, whatever the file calls them. What is remembered grows with the operations
//! that are open at a time, not with the file. [`Reader::collect`] makes a whole
//! [`History`](ordeal_core::History) for judges that need one.
//!
//! What a line must look like, and what is made of it, is in the README beside this crate. Three rules hold
//! for all formats: a malformed line is an error with its number and what was expected instead, never a
//! guess and never a panic; a last line that was cut off is set aside and reported; and different values
//! stay different.

mod awdit;
mod detect;
mod edn;
mod etcd_log;
mod fastlin;
mod interval;
mod jepsen;
mod json;
mod ours;
mod pairs;
mod reader;
mod sink;
mod source;
#[cfg(test)]
mod tests;
mod txn;

pub use reader::{Item, Profile, ReadOptions, Reader, Summary};

/// Forms and values nested deeper are an error.
pub(crate) const MAX_DEPTH: usize = 128;

/// The ways of writing down a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Ordeal's own JSON lines: one event a line, with index and time.
    Ordeal,
    /// Jepsen's EDN: one map a line, or one list of maps.
    JepsenEdn,
    /// The same as JSON, as elle-cli reads it: one object a line, or one array.
    JepsenJson,
    /// Porcupine's logs of a key-value store: EDN with `:get`, `:put`, `:append`.
    PorcupineKv,
    /// The logs of Jepsen's first etcd test that Porcupine judges.
    EtcdLog,
    /// fastlin's: a header such as `# queue`, then `method value start end`.
    Fastlin,
    /// AWDIT's human format: `w key value` and `r key value`, in transactions and sessions.
    Awdit,
    /// One operation a line, as JSON, with the positions of its call and its return.
    Intervals,
}

impl Format {
    /// All of them.
    pub const ALL: &[Format] = &[
        Format::Ordeal,
        Format::JepsenEdn,
        Format::JepsenJson,
        Format::PorcupineKv,
        Format::EtcdLog,
        Format::Fastlin,
        Format::Awdit,
        Format::Intervals,
    ];

    /// Its name on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Format::Ordeal => "ordeal",
            Format::JepsenEdn => "jepsen-edn",
            Format::JepsenJson => "jepsen-json",
            Format::PorcupineKv => "porcupine-kv",
            Format::EtcdLog => "etcd-log",
            Format::Fastlin => "fastlin",
            Format::Awdit => "awdit",
            Format::Intervals => "intervals",
        }
    }

    /// The format of this name.
    pub fn named(name: &str) -> Option<Format> {
        Format::ALL.iter().copied().find(|format| format.name() == name)
    }
}

/// What is wrong with a file, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct ReadError {
    /// The line, counted from 1.
    pub line: u64,
    /// What was expected, or what is wrong.
    pub why: String,
}

impl ReadError {
    pub(crate) fn new(line: u64, why: impl Into<String>) -> Self {
        ReadError { line, why: why.into() }
    }
}
