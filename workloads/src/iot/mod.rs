//! `iot`: machines in a factory that sensors slow and shut down (state machine replication).
//!
//! Sensors send readings, operators reset; a machine goes from running over alert and slowed to shutdown. Every
//! node applies the same transitions in the same order, shows them as a log, and publishes those that change a
//! state as a stream of events. The contract is `openapi.yaml` beside this file, with the thresholds; [`client`]
//! speaks it.
//!
//! Consumers of the log and of the events remember where they are and go on from there at any node: whoever of
//! the clients asks next, polls for the consumer. Every request id is unique in a run. Who judges: `judges`.

mod http;
mod judges;
mod op;

pub use http::client;
pub use op::IotOp;

use ordeal_checkers::models::machine::Threshold;
use ordeal_checkers::{Linearizable, Machine, Stats};
use ordeal_core::{
    Ask, Checker, EachThread, Event, EventKind, Generator, Next, Plan, Rng, Sequence, Workload,
};
use serde_json::Value;

use crate::draw::{Keys, only_reads};

/// The workload's name.
pub const NAME: &str = "iot";

/// The workload in one line.
pub const ABOUT: &str =
    "machines in a factory: sensors' readings, an operator's reset, the log of transitions and the events";

/// How often each operation is drawn by the clients that do not only read.
const READINGS: u64 = 8;
const RESETS: u64 = 2;
const READS: u64 = 6;
const EVENT_POLLS: u64 = 2;
const EVENT_STREAMS: u64 = 1;
const LOG_POLLS: u64 = 1;
/// How many of them ask.
const ALL_READS: u64 = READS + EVENT_POLLS + EVENT_STREAMS + LOG_POLLS;

/// Consumers of the events, and of the log.
const CONSUMERS: usize = 2;
/// Sensors of a machine.
const SENSORS: u64 = 3;
/// Of ten readings, so many are below the thresholds, and so many beyond the second one.
const CALM_OF_TEN: u64 = 3;
const HALT_OF_TEN: u64 = 2;
/// How often a request that was answered is sent again.
const AGAIN: f64 = 0.1;

/// The `iot` workload.
#[derive(Clone, Copy, Debug, Default)]
pub struct Iot;

fn machine(n: u64) -> String {
    format!("m{n}")
}

impl Workload for Iot {
    fn name(&self) -> &'static str {
        NAME
    }

    fn about(&self) -> &'static str {
        ABOUT
    }

    fn generator(&self, plan: &Plan) -> Box<dyn Generator> {
        Box::new(Load {
            rng: Rng::fork(plan.seed, "operations"),
            machines: Keys::new(plan.keys),
            thresholds: Machine::default().thresholds().to_vec(),
            nodes: plan.nodes,
            requests: 0,
            events_from: [1; CONSUMERS],
            log_from: [0; CONSUMERS],
        })
    }

    fn final_generator(&self, plan: &Plan) -> Box<dyn Generator> {
        let machines = plan.keys;
        Box::new(EachThread::new(move || {
            let reads = (0..machines).map(|n| IotOp::Read { machine: machine(n) });
            let whole = [IotOp::ReadLog, IotOp::ReadEvents];
            Sequence::new(reads.chain(whole).map(Into::into).collect())
        }))
    }

    fn checkers(&self, _plan: &Plan) -> Vec<Box<dyn Checker>> {
        vec![
            Box::new(Linearizable::new(Machine::default())),
            Box::new(judges::TransitionLog),
            Box::new(judges::EventStream),
            Box::new(judges::Answers),
            Box::new(Stats),
        ]
    }

    fn mutates(&self, f: &str) -> bool {
        matches!(f, op::READING | op::RESET)
    }
}

/// The load.
struct Load {
    rng: Rng,
    machines: Keys,
    thresholds: Vec<Threshold>,
    nodes: usize,
    /// Request ids handed out; every one of a run is another one.
    requests: u64,
    /// Where each consumer goes on.
    events_from: [u64; CONSUMERS],
    log_from: [u64; CONSUMERS],
}

impl Load {
    fn ask(&mut self, draw: u64) -> IotOp {
        let consumer = self.rng.below(CONSUMERS as u64) as usize;
        if draw < READS {
            IotOp::Read { machine: machine(self.machines.next(&mut self.rng)) }
        } else if draw < READS + EVENT_POLLS {
            IotOp::PollEvents { consumer, from: self.events_from[consumer] }
        } else if draw < READS + EVENT_POLLS + EVENT_STREAMS {
            IotOp::FollowEvents { consumer, from: self.events_from[consumer] }
        } else {
            IotOp::PollLog { consumer, from: self.log_from[consumer] }
        }
    }

    fn change(&mut self, draw: u64) -> IotOp {
        let machine = machine(self.machines.next(&mut self.rng));
        self.requests += 1;
        let request = format!("r{}", self.requests);
        let again = self.rng.chance(AGAIN);
        if draw < RESETS {
            return IotOp::Reset { machine, request, again };
        }
        let (kind, value) = self.reading();
        let sensor = format!("s{}", self.rng.below(SENSORS));
        IotOp::Reading { machine, request, sensor, kind, value, again }
    }

    /// A reading in one of the three bands, in tenths of its unit.
    fn reading(&mut self) -> (String, f64) {
        let Threshold { kind, alert, shutdown } =
            &self.thresholds[self.rng.below(self.thresholds.len() as u64) as usize];
        let tenths = |value: f64| (value * 10.0) as u64;
        let band = match self.rng.below(10) {
            band if band < CALM_OF_TEN => (0, tenths(*alert)),
            band if band < CALM_OF_TEN + HALT_OF_TEN => (tenths(*shutdown), 2 * tenths(*shutdown)),
            _ => (tenths(*alert), tenths(*shutdown)),
        };
        let value = band.0 + self.rng.below(band.1 - band.0);
        (kind.clone(), value as f64 / 10.0)
    }
}

impl Generator for Load {
    fn next(&mut self, ask: Ask) -> Next {
        let changes = if only_reads(ask, self.nodes) { 0 } else { RESETS + READINGS };
        let draw = self.rng.below(ALL_READS + changes);
        let op = match draw.checked_sub(ALL_READS) {
            None => self.ask(draw),
            Some(draw) => self.change(draw),
        };
        Next::Op(op.into())
    }

    fn observe(&mut self, event: &Event) {
        let positions = match &*event.f {
            op::POLL_EVENTS | op::FOLLOW_EVENTS => &mut self.events_from,
            op::POLL_LOG => &mut self.log_from,
            _ => return,
        };
        let number = |field: &str| event.value.get(field).and_then(Value::as_u64);
        if let (EventKind::Ok, Some(consumer), Some(next)) = (event.kind, number("consumer"), number("next"))
            && let Some(position) = positions.get_mut(consumer as usize)
        {
            // Polls of one consumer may overlap.
            *position = next.max(*position);
        }
    }
}

#[cfg(test)]
mod tests;
