//! How stale the reads of registers are, in versions and in milliseconds.
//!
//! For `read` and `write` of registers to which every value is written once. Every read is measured on its
//! own, at least and at most (`reads`); all of them together by the smallest `k` for which the register is
//! *k-atomic* and the smallest Δ for which it is *Δ-atomic* (`zones`): `k` is exact where the two bounds
//! given for it are the same, as they always are for 1 and 2; Δ is exact. A compare-and-set that succeeded
//! counts as a write; what it found is not judged. An open write that nobody read did not happen.
//!
//! Staleness alone is no violation unless a bound was given. What no staleness explains always is: a
//! value that nobody wrote, that only writes left which certainly failed, or that was read before anybody
//! had begun to write it. With a bound in versions the verdict is `unknown` if `k` is not known well enough.
//! A key to which a value was written twice cannot be judged, and is `unknown` too.
//!
//! Golab, Li & Shah, "Analyzing consistency properties for fun and profit" (2011); Golab, Hurwitz & Li, "On
//! the k-atomicity-verification problem" (2013); Golab, Rahman, AuYoung, Keeton & Gupta, "Client-centric
//! benchmarking of eventual consistency for cloud storage systems" (2014).

mod reads;
mod register;
mod report;
#[cfg(test)]
mod tests;
mod versions;
mod zones;

use ordeal_core::{Checker, EventKind, Finding, History, Intake, Operation, check_operations};
use serde_json::Value;

use crate::About;
use crate::models::{Atom, RegisterNames};
use crate::recall::{Keyed, Seen, Trouble, Witnesses};
use report::Report;

/// How lists show it.
pub(crate) const ABOUT: About =
    About { name: "staleness", about: "how stale the reads of registers with unique values are" };

/// How lists show the one that looks at versions.
pub(crate) const ABOUT_VERSIONED: About =
    About { name: "versioned-staleness", about: "how stale reads are that answer with [version, value]" };

/// The judge.
#[derive(Clone, Debug, Default)]
pub struct Staleness {
    names: RegisterNames,
    versioned: bool,
    initial: Value,
    bounds: Bounds,
}

/// How stale a read may be.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bounds {
    max_versions: Option<u64>,
    max_ns: Option<u64>,
}

impl Staleness {
    /// A judge of registers whose functions have these names.
    pub fn new(names: RegisterNames) -> Self {
        Staleness { names, ..Staleness::default() }
    }

    /// Takes answers to be `[version, value]`, where the version counts the writes, and judges by the
    /// versions: they say exactly how many newer values there were when a read began.
    #[must_use]
    pub fn versioned(mut self) -> Self {
        self.versioned = true;
        self
    }

    /// The value before anything was written, `null` if it is not set.
    #[must_use]
    pub fn from(mut self, initial: Value) -> Self {
        self.initial = initial;
        self
    }

    /// How many versions stale a read may be: with 0 every read is of the newest value.
    #[must_use]
    pub fn max_versions(mut self, versions: Option<u64>) -> Self {
        self.bounds.max_versions = versions;
        self
    }

    /// How long, in milliseconds, a value may still be read after it was replaced.
    #[must_use]
    pub fn max_ms(mut self, ms: Option<u64>) -> Self {
        self.bounds.max_ns = ms.map(|ms| ms.saturating_mul(1_000_000));
        self
    }

    fn intake_now(&self) -> Box<dyn Intake + '_> {
        Box::new(Work {
            judge: self,
            who: Witnesses::default(),
            registers: Keyed::default(),
            trouble: Trouble::default(),
        })
    }
}

impl Checker for Staleness {
    fn name(&self) -> String {
        let about = if self.versioned { ABOUT_VERSIONED } else { ABOUT };
        about.name.to_owned()
    }

    fn check(&self, history: &History) -> Finding {
        check_operations(self.name(), self.intake_now(), history)
    }

    fn intake(&self) -> Option<Box<dyn Intake + '_>> {
        Some(self.intake_now())
    }
}

struct Work<'c> {
    judge: &'c Staleness,
    who: Witnesses,
    registers: Keyed<Register>,
    trouble: Trouble,
}

/// The operations on one register.
#[derive(Default)]
struct Register {
    writes: Vec<Access>,
    reads: Vec<Access>,
}

impl Register {
    /// Whether the history says when anything happened: without stamps all times are the same.
    fn is_stamped(&self) -> bool {
        let mut times = self.writes.iter().chain(&self.reads).flat_map(|a| [a.op.began_ns, a.op.ended_ns()]);
        let first = times.next();
        times.any(|time| Some(time) != first && time != u64::MAX)
    }
}

/// A read or a write.
struct Access {
    op: Seen,
    value: Atom,
    /// The version it answered with; without versions 0.
    version: Option<u64>,
    /// Whether it certainly failed.
    failed: bool,
}

impl Staleness {
    /// The version and the value of an answer.
    fn answer<'v>(&self, answer: &'v Value) -> Result<(Option<u64>, &'v Value), String> {
        if !self.versioned {
            return Ok((Some(0), answer));
        }
        match answer.as_array().map(Vec::as_slice) {
            Some([Value::Null, value]) => Ok((None, value)),
            Some([version, value]) if version.is_u64() => Ok((version.as_u64(), value)),
            _ => Err(format!("an answer is [version, value], not {answer}")),
        }
    }

    fn read(&self, op: &Operation<'_>, who: &mut Witnesses) -> Result<Option<Access>, String> {
        let Some(output) = op.output() else {
            return Ok(None);
        };
        let (version, value) = self.answer(output)?;
        Ok(Some(Access { op: who.remember(op), value: Atom::from(value), version, failed: false }))
    }

    fn write(&self, op: &Operation<'_>, who: &mut Witnesses) -> Result<Option<Access>, String> {
        let failed = op.kind() == EventKind::Fail;
        let written = match (op.f() == self.names.write, op.input()) {
            (true, value) => value,
            // A compare-and-set that failed proves nothing about the value it would have written.
            (false, _) if failed => return Ok(None),
            (false, Value::Array(pair)) if pair.len() == 2 => &pair[1],
            (false, other) => return Err(format!("`{}` goes with [from, to], not {other}", op.f())),
        };
        let version = match op.output() {
            None | Some(Value::Null) => None,
            Some(output) if self.versioned => self.answer(output)?.0,
            Some(_) => None,
        };
        Ok(Some(Access { op: who.remember(op), value: Atom::from(written), version, failed }))
    }
}

impl Intake for Work<'_> {
    fn take(&mut self, op: &Operation<'_>) {
        let names = &self.judge.names;
        let is_read = op.f() == names.read;
        if !is_read && op.f() != names.write && names.cas.as_ref().is_none_or(|cas| op.f() != cas) {
            return;
        }
        let access = match is_read {
            true => self.judge.read(op, &mut self.who),
            false => self.judge.write(op, &mut self.who),
        };
        match access {
            Ok(Some(access)) => {
                let register = self.registers.of(op.key());
                if is_read { &mut register.reads } else { &mut register.writes }.push(access);
            }
            Ok(None) => {}
            Err(why) => self.trouble.note(op, || why),
        }
    }

    fn finish(self: Box<Self>) -> Finding {
        let Work { judge, who, registers, trouble } = *self;
        if let Some(finding) = trouble.finding(&judge.name()) {
            return finding;
        }
        let mut report = Report::new(judge.name(), judge.bounds, who, &judge.names);
        for (key, mut register) in registers.sorted() {
            register.writes.sort_by_key(|write| write.op.index());
            register.reads.sort_by_key(|read| read.op.index());
            match judge.versioned {
                true => versions::judge(key.as_ref(), &register, &mut report),
                false => register::judge(key.as_ref(), &register, Atom::from(&judge.initial), &mut report),
            }
        }
        report.conclude()
    }
}
