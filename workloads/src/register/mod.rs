//! `register`: numbered registers with read, write and compare-and-set.
//!
//! The plainest use of a consistent store. Every value written is unique in a run, so a read names the
//! write it saw; where the system counts versions, a result carries the version too, which pins the
//! order of writes and lets the judge decide long histories fast.
//!
//! Results of all three operations are `[version, value]`; `version` is null if the system has none,
//! and a register that was never written reads as value null.

use std::collections::HashMap;

use ordeal_checkers::{Convergence, Linearizable, Stats, VersionedRegister};
use ordeal_core::{
    Ask, Checker, EachThread, Event, EventKind, Generator, Key, Next, Op, Plan, Rng, Sequence, Workload,
};
use serde_json::{Value, json};

use crate::NotMine;
use crate::draw::{Keys, only_reads};

/// The workload's name.
pub const NAME: &str = "register";

/// The workload in one line.
pub const ABOUT: &str = "numbered registers: read, write, compare-and-set";

/// How often each operation is drawn by the clients that do not only read.
const READS: u64 = 2;
const WRITES: u64 = 4;
const SWAPS: u64 = 3;

/// Of so many compare-and-sets one expects an older value than the newest one known.
const OLD_ONE_IN: u64 = 4;

/// An operation on a register.
#[derive(Clone, Debug, PartialEq)]
pub enum RegisterOp {
    /// What is in it?
    Read {
        /// The register.
        key: i64,
    },
    /// Put `value` into it.
    Write {
        /// The register.
        key: i64,
        /// The new value.
        value: i64,
    },
    /// Put `to` into it if `from` is in it.
    Cas {
        /// The register.
        key: i64,
        /// The value expected.
        from: i64,
        /// The new value.
        to: i64,
    },
}

impl From<RegisterOp> for Op {
    fn from(op: RegisterOp) -> Op {
        match op {
            RegisterOp::Read { key } => Op::new("read", Key::Int(key), Value::Null),
            RegisterOp::Write { key, value } => Op::new("write", Key::Int(key), json!(value)),
            RegisterOp::Cas { key, from, to } => Op::new("cas", Key::Int(key), json!([from, to])),
        }
    }
}

impl TryFrom<&Op> for RegisterOp {
    type Error = NotMine;

    fn try_from(op: &Op) -> Result<Self, NotMine> {
        let parsed = match (&*op.f, &op.key) {
            ("read", &Some(Key::Int(key))) => Some(RegisterOp::Read { key }),
            ("write", &Some(Key::Int(key))) => {
                op.value.as_i64().map(|value| RegisterOp::Write { key, value })
            }
            ("cas", &Some(Key::Int(key))) => match op.value.as_array().map(Vec::as_slice) {
                Some([from, to]) => {
                    from.as_i64().zip(to.as_i64()).map(|(from, to)| RegisterOp::Cas { key, from, to })
                }
                _ => None,
            },
            _ => None,
        };
        parsed.ok_or_else(|| NotMine::new(NAME, op))
    }
}

/// The `register` workload.
#[derive(Clone, Copy, Debug, Default)]
pub struct Register;

impl Workload for Register {
    fn name(&self) -> &'static str {
        NAME
    }

    fn about(&self) -> &'static str {
        ABOUT
    }

    fn generator(&self, plan: &Plan) -> Box<dyn Generator> {
        Box::new(Load::new(plan))
    }

    fn final_generator(&self, plan: &Plan) -> Box<dyn Generator> {
        let keys = plan.keys as i64;
        Box::new(EachThread::new(move || {
            Sequence::new((0..keys).map(|key| RegisterOp::Read { key }.into()).collect())
        }))
    }

    fn checkers(&self, _plan: &Plan) -> Vec<Box<dyn Checker>> {
        vec![
            Box::new(Linearizable::new(VersionedRegister::default())),
            Box::new(Convergence::new(["read"])),
            Box::new(Stats),
        ]
    }

    fn mutates(&self, f: &str) -> bool {
        f != "read"
    }
}

/// The load. A compare-and-set expects a value that was seen lately, so that many of them succeed.
struct Load {
    rng: Rng,
    keys: Keys,
    nodes: usize,
    /// The last value handed out; every value of a run is another one.
    value: i64,
    /// For each register the two values seen last, the newest first.
    seen: HashMap<i64, [i64; 2]>,
}

impl Load {
    fn new(plan: &Plan) -> Self {
        Load {
            rng: Rng::fork(plan.seed, "operations"),
            keys: Keys::new(plan.keys),
            nodes: plan.nodes,
            value: 0,
            seen: HashMap::new(),
        }
    }

    fn unique(&mut self) -> i64 {
        self.value += 1;
        self.value
    }
}

impl Generator for Load {
    fn next(&mut self, ask: Ask) -> Next {
        let key = self.keys.next(&mut self.rng) as i64;
        let draw = self.rng.below(READS + WRITES + SWAPS);
        let op = if draw < READS || only_reads(ask, self.nodes) {
            RegisterOp::Read { key }
        } else if let Some(seen) = self.seen.get(&key).copied()
            && draw >= READS + WRITES
        {
            let from = seen[usize::from(self.rng.below(OLD_ONE_IN) == 0)];
            let to = self.unique();
            RegisterOp::Cas { key, from, to }
        } else {
            // Also in place of a compare-and-set of a register in which nothing was seen yet.
            let value = self.unique();
            RegisterOp::Write { key, value }
        };
        Next::Op(op.into())
    }

    fn observe(&mut self, event: &Event) {
        if event.kind != EventKind::Ok {
            return;
        }
        let (Some(&Key::Int(key)), Some(value)) = (event.key.as_ref(), event.value.get(1)) else {
            return;
        };
        let Some(value) = value.as_i64() else { return };
        let seen = self.seen.entry(key).or_insert([value; 2]);
        if seen[0] != value {
            *seen = [value, seen[0]];
        }
    }
}
