//! A target without a cluster: registers in the harness's own memory, correct or broken.
//!
//! It understands the operations of the `register` workload (`read`, `write`, `cas`, with versions), and
//! exists so that runner, judges and reports can be tested, and the load path measured, with nothing
//! else running.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use crate::{BoxFuture, Bug, Client, ClusterSpec, Key, Launch, NodeSpec, Op, Outcome, Target, TargetError};

/// The ways in which the memory target can be wrong.
pub const BUGS: &[Bug] = &[
    Bug {
        name: "stale-read",
        about: "every seventh read of a key answers with the value before the newest one",
        anomalies: &["nonlinearizable"],
        faults: "none",
    },
    Bug {
        name: "lost-write",
        about: "every eleventh write is acknowledged and forgotten",
        anomalies: &["nonlinearizable", "divergence"],
        faults: "none",
    },
];

/// Registers in memory, one copy for all nodes.
#[derive(Clone, Debug)]
pub struct MemoryTarget {
    bug: Option<&'static str>,
    shards: Arc<[Mutex<HashMap<Key, Register>>; SHARDS]>,
}

/// Locks are spread over so many shards that clients seldom wait for one another.
const SHARDS: usize = 64;

#[derive(Clone, Debug, Default)]
struct Register {
    version: u64,
    value: Value,
    before: (u64, Value),
    reads: u64,
}

impl MemoryTarget {
    /// A correct target, or one with the named bug of [`BUGS`].
    ///
    /// # Errors
    /// [`TargetError::Unsupported`] for a bug it does not have.
    pub fn new(bug: Option<&str>) -> Result<Self, TargetError> {
        let bug = match bug {
            None => None,
            Some(name) => Some(BUGS.iter().find(|b| b.name == name).map(|b| b.name).ok_or_else(|| {
                TargetError::Unsupported(format!(
                    "the memory target has no bug `{name}`; see `ordeal list bugs`"
                ))
            })?),
        };
        Ok(MemoryTarget { bug, shards: Arc::new(std::array::from_fn(|_| Mutex::default())) })
    }
}

impl Target for MemoryTarget {
    fn name(&self) -> &str {
        "memory"
    }

    fn workloads(&self) -> &[&'static str] {
        &["register"]
    }

    fn bugs(&self) -> &[Bug] {
        BUGS
    }

    fn launch(&self, _node: &NodeSpec, _cluster: &ClusterSpec) -> Result<Option<Launch>, TargetError> {
        Ok(None)
    }

    fn ready<'a>(&'a self, _node: &'a NodeSpec) -> BoxFuture<'a, bool> {
        Box::pin(std::future::ready(true))
    }

    fn client(&self, _workload: &str, _node: &NodeSpec) -> Result<Box<dyn Client>, TargetError> {
        Ok(Box::new(self.clone()))
    }
}

impl MemoryTarget {
    fn apply(&self, op: &Op) -> Outcome {
        let Some(key) = &op.key else {
            return Outcome::Fail("an operation needs a key".to_owned());
        };
        let shard = match key {
            Key::Int(n) => *n as usize % SHARDS,
            Key::Text(s) => s.len() % SHARDS,
        };
        let mut shard = self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner);
        if !shard.contains_key(key) {
            shard.insert(key.clone(), Register::default());
        }
        let Some(register) = shard.get_mut(key) else {
            return Outcome::Fail("no register".to_owned());
        };
        match (&*op.f, &op.value) {
            ("read", _) => {
                register.reads += 1;
                let stale = self.bug == Some("stale-read") && register.reads.is_multiple_of(7);
                let (version, value) =
                    if stale { register.before.clone() } else { (register.version, register.value.clone()) };
                Outcome::Ok(json!([version, value]))
            }
            ("write", value) => self.write(register, value),
            ("cas", Value::Array(pair)) if pair.len() == 2 => {
                if register.value == pair[0] {
                    self.write(register, &pair[1])
                } else {
                    Outcome::Fail("the value was another one".to_owned())
                }
            }
            (f, _) => Outcome::Fail(format!("the memory target does not know `{f}`")),
        }
    }

    fn write(&self, register: &mut Register, value: &Value) -> Outcome {
        let version = register.version + 1;
        if self.bug == Some("lost-write") && version.is_multiple_of(11) && register.reads > 0 {
            register.reads = 0;
            return Outcome::Ok(json!([version, value]));
        }
        let before = std::mem::replace(&mut register.value, value.clone());
        register.before = (register.version, before);
        register.version = version;
        Outcome::Ok(json!([version, value]))
    }
}

impl Client for MemoryTarget {
    fn invoke<'a>(&'a mut self, op: &'a Op) -> BoxFuture<'a, Outcome> {
        Box::pin(std::future::ready(self.apply(op)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(target: &MemoryTarget, f: &'static str, value: Value) -> Outcome {
        target.apply(&Op::new(f, Key::Int(1), value))
    }

    #[test]
    fn a_correct_register_reads_what_was_written() {
        let target = MemoryTarget::new(None).unwrap();
        assert_eq!(run(&target, "read", Value::Null), Outcome::Ok(json!([0, null])));
        assert_eq!(run(&target, "write", json!(5)), Outcome::Ok(json!([1, 5])));
        assert_eq!(run(&target, "cas", json!([5, 6])), Outcome::Ok(json!([2, 6])));
        assert!(matches!(run(&target, "cas", json!([5, 7])), Outcome::Fail(_)));
        assert_eq!(run(&target, "read", Value::Null), Outcome::Ok(json!([2, 6])));
    }

    #[test]
    fn a_broken_register_answers_with_the_past() {
        let target = MemoryTarget::new(Some("stale-read")).unwrap();
        run(&target, "write", json!(1));
        run(&target, "write", json!(2));
        let answers: Vec<_> = (0..7).map(|_| run(&target, "read", Value::Null)).collect();
        assert_eq!(answers[6], Outcome::Ok(json!([1, 1])));
    }

    #[test]
    fn an_unknown_bug_is_refused() {
        assert!(MemoryTarget::new(Some("no-such")).is_err());
    }
}
