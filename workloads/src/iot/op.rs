//! The operations of the `iot` workload, and what they are called in a history.

use ordeal_core::{Key, Op};
use serde_json::{Value, json};

use super::NAME;
use crate::NotMine;

pub(super) const READING: &str = "reading";
pub(super) const RESET: &str = "reset";
pub(super) const READ: &str = "read";
pub(super) const POLL_EVENTS: &str = "poll-events";
pub(super) const FOLLOW_EVENTS: &str = "follow-events";
pub(super) const POLL_LOG: &str = "poll-log";
pub(super) const READ_LOG: &str = "read-log";
pub(super) const READ_EVENTS: &str = "read-events";

/// An operation on the factory. Those on a machine have it as their key.
#[derive(Clone, Debug, PartialEq)]
pub enum IotOp {
    /// A sensor measured something. Answered with the machine's state afterwards, and where in the log.
    Reading {
        /// The machine.
        machine: String,
        /// The request id, unique in a run.
        request: String,
        /// The sensor.
        sensor: String,
        /// What it measures.
        kind: String,
        /// How much, in the unit of the kind.
        value: f64,
        /// Send it again once it was answered.
        again: bool,
    },
    /// An operator makes the machine run again. Answered as a reading.
    Reset {
        /// The machine.
        machine: String,
        /// The request id, unique in a run.
        request: String,
        /// Send it again once it was answered.
        again: bool,
    },
    /// The machine's state, and its last transition.
    Read {
        /// The machine.
        machine: String,
    },
    /// What there is of the events from this number on, for this consumer.
    PollEvents {
        /// Who asks.
        consumer: usize,
        /// Where it goes on.
        from: u64,
    },
    /// The same as a stream, for a while.
    FollowEvents {
        /// Who asks.
        consumer: usize,
        /// Where it goes on.
        from: u64,
    },
    /// What there is of the log from this index on, for this consumer.
    PollLog {
        /// Who asks.
        consumer: usize,
        /// Where it goes on.
        from: u64,
    },
    /// The whole log, as it is now.
    ReadLog,
    /// All events, as they are now.
    ReadEvents,
}

impl From<IotOp> for Op {
    fn from(op: IotOp) -> Op {
        let about = |f, machine, value| Op::new(f, Key::Text(machine), value);
        let page = |f: &'static str, value| Op { f: f.into(), key: None, value };
        match op {
            IotOp::Reading { machine, request, sensor, kind, value, again } => {
                let value = json!({ "request": request, "sensor": sensor, "kind": kind, "value": value, "again": again });
                about(READING, machine, value)
            }
            IotOp::Reset { machine, request, again } => {
                about(RESET, machine, json!({ "request": request, "again": again }))
            }
            IotOp::Read { machine } => about(READ, machine, Value::Null),
            IotOp::PollEvents { consumer, from } => {
                page(POLL_EVENTS, json!({ "consumer": consumer, "from": from }))
            }
            IotOp::FollowEvents { consumer, from } => {
                page(FOLLOW_EVENTS, json!({ "consumer": consumer, "from": from }))
            }
            IotOp::PollLog { consumer, from } => {
                page(POLL_LOG, json!({ "consumer": consumer, "from": from }))
            }
            IotOp::ReadLog => page(READ_LOG, Value::Null),
            IotOp::ReadEvents => page(READ_EVENTS, Value::Null),
        }
    }
}

impl TryFrom<&Op> for IotOp {
    type Error = NotMine;

    fn try_from(op: &Op) -> Result<Self, NotMine> {
        known(op).ok_or_else(|| NotMine::new(NAME, op))
    }
}

fn known(op: &Op) -> Option<IotOp> {
    let text = |field: &str| Some(op.value.get(field)?.as_str()?.to_owned());
    let number = |field: &str| op.value.get(field)?.as_u64();
    let consumer = || Some(number("consumer")? as usize);
    let again = || op.value.get("again")?.as_bool();
    let Some(key) = &op.key else {
        return match &*op.f {
            POLL_EVENTS => Some(IotOp::PollEvents { consumer: consumer()?, from: number("from")? }),
            FOLLOW_EVENTS => Some(IotOp::FollowEvents { consumer: consumer()?, from: number("from")? }),
            POLL_LOG => Some(IotOp::PollLog { consumer: consumer()?, from: number("from")? }),
            READ_LOG => Some(IotOp::ReadLog),
            READ_EVENTS => Some(IotOp::ReadEvents),
            _ => None,
        };
    };
    let Key::Text(machine) = key.clone() else {
        return None;
    };
    match &*op.f {
        READING => Some(IotOp::Reading {
            machine,
            request: text("request")?,
            sensor: text("sensor")?,
            kind: text("kind")?,
            value: op.value.get("value")?.as_f64()?,
            again: again()?,
        }),
        RESET => Some(IotOp::Reset { machine, request: text("request")?, again: again()? }),
        READ => Some(IotOp::Read { machine }),
        _ => None,
    }
}
