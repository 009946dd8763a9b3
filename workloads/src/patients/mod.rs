//! `patients`: medical records that any clinic can read and write (quorum-based reads and writes).
//!
//! A patient's record has two parts: entries (history, lab results, prescriptions), to which is only
//! ever appended, and a summary, which is replaced as a whole. The promise is one linearizable record
//! per patient, from whichever clinic it is asked, and no acknowledged entry is ever lost.
//!
//! The two parts are judged as a set and as a register; each judge picks its operations by their
//! names. Every entry and every summary is unique in a run. The contract is `openapi.yaml` beside this
//! file; [`client`] speaks it.

mod http;

pub use http::client;

use ordeal_checkers::models::RegisterNames;
use ordeal_checkers::{Convergence, GrowSet, Linearizable, Register, SetDurability, Stats};
use ordeal_core::{Ask, Checker, EachThread, Generator, Key, Next, Op, Plan, Rng, Sequence, Workload};
use serde_json::Value;

use crate::NotMine;
use crate::draw::{Keys, only_reads};

/// The workload's name.
pub const NAME: &str = "patients";

/// The workload in one line.
pub const ABOUT: &str = "medical records across clinics: append and read entries, write and read a summary";

/// How often each operation is drawn by the clients that do not only read.
const APPENDS: u64 = 3;
const ENTRY_READS: u64 = 1;
const SUMMARY_WRITES: u64 = 4;
const SUMMARY_READS: u64 = 1;

/// An operation on a patient's record.
#[derive(Clone, Debug, PartialEq)]
pub enum PatientOp {
    /// Append an entry.
    AppendEntry {
        /// The patient.
        patient: String,
        /// The entry's id, unique in a run.
        entry: String,
    },
    /// All entries; answered with an array of ids.
    ReadEntries {
        /// The patient.
        patient: String,
    },
    /// Replace the summary.
    WriteSummary {
        /// The patient.
        patient: String,
        /// The text, unique in a run.
        text: String,
    },
    /// The summary; answered with its text, or null if there is none.
    ReadSummary {
        /// The patient.
        patient: String,
    },
}

impl From<PatientOp> for Op {
    fn from(op: PatientOp) -> Op {
        let (f, patient, value) = match op {
            PatientOp::AppendEntry { patient, entry } => ("append-entry", patient, Value::String(entry)),
            PatientOp::ReadEntries { patient } => ("read-entries", patient, Value::Null),
            PatientOp::WriteSummary { patient, text } => ("write-summary", patient, Value::String(text)),
            PatientOp::ReadSummary { patient } => ("read-summary", patient, Value::Null),
        };
        Op::new(f, Key::Text(patient), value)
    }
}

impl TryFrom<&Op> for PatientOp {
    type Error = NotMine;

    fn try_from(op: &Op) -> Result<Self, NotMine> {
        let Some(Key::Text(patient)) = op.key.clone() else {
            return Err(NotMine::new(NAME, op));
        };
        match (&*op.f, op.value.as_str()) {
            ("append-entry", Some(entry)) => Ok(PatientOp::AppendEntry { patient, entry: entry.to_owned() }),
            ("read-entries", _) => Ok(PatientOp::ReadEntries { patient }),
            ("write-summary", Some(text)) => Ok(PatientOp::WriteSummary { patient, text: text.to_owned() }),
            ("read-summary", _) => Ok(PatientOp::ReadSummary { patient }),
            _ => Err(NotMine::new(NAME, op)),
        }
    }
}

/// The `patients` workload.
#[derive(Clone, Copy, Debug, Default)]
pub struct Patients;

impl Workload for Patients {
    fn name(&self) -> &'static str {
        NAME
    }

    fn about(&self) -> &'static str {
        ABOUT
    }

    fn generator(&self, plan: &Plan) -> Box<dyn Generator> {
        Box::new(Load {
            rng: Rng::fork(plan.seed, "operations"),
            patients: Keys::new(plan.keys),
            nodes: plan.nodes,
            written: 0,
        })
    }

    fn final_generator(&self, plan: &Plan) -> Box<dyn Generator> {
        let patients = plan.keys;
        Box::new(EachThread::new(move || {
            let reads = (0..patients).flat_map(|n| {
                let patient = format!("p{n}");
                [
                    PatientOp::ReadEntries { patient: patient.clone() }.into(),
                    PatientOp::ReadSummary { patient }.into(),
                ]
            });
            Sequence::new(reads.collect())
        }))
    }

    fn checkers(&self, _plan: &Plan) -> Vec<Box<dyn Checker>> {
        let names = RegisterNames { read: "read-summary".into(), write: "write-summary".into(), cas: None };
        let summary = Register { names, ..Register::default() };
        let entries = GrowSet::new("append-entry", "read-entries");
        vec![
            Box::new(Linearizable::new(entries).only(|f| matches!(f, "append-entry" | "read-entries"))),
            Box::new(Linearizable::new(summary).only(|f| matches!(f, "write-summary" | "read-summary"))),
            Box::new(SetDurability::new("append-entry", "read-entries")),
            Box::new(Convergence::new(["read-entries", "read-summary"]).as_sets()),
            Box::new(Stats),
        ]
    }

    fn mutates(&self, f: &str) -> bool {
        matches!(f, "append-entry" | "write-summary")
    }
}

/// The load.
struct Load {
    rng: Rng,
    patients: Keys,
    nodes: usize,
    /// Entries and summaries handed out; every one of a run is another one.
    written: u64,
}

impl Generator for Load {
    fn next(&mut self, ask: Ask) -> Next {
        let patient = format!("p{}", self.patients.next(&mut self.rng));
        let reads = ENTRY_READS + SUMMARY_READS;
        let writes = if only_reads(ask, self.nodes) { 0 } else { APPENDS + SUMMARY_WRITES };
        let draw = self.rng.below(reads + writes);
        let op = if draw < ENTRY_READS {
            PatientOp::ReadEntries { patient }
        } else if draw < reads {
            PatientOp::ReadSummary { patient }
        } else {
            self.written += 1;
            let n = self.written;
            match draw < reads + APPENDS {
                true => PatientOp::AppendEntry { patient, entry: format!("e{n}") },
                false => PatientOp::WriteSummary { patient, text: format!("s{n}") },
            }
        };
        Next::Op(op.into())
    }
}
