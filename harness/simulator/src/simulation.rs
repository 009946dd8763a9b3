//! The simulation: clients, one copy of the objects, and an agenda of what happens when.
//!
//! Each operation takes a drawn time, most of them little, some twenty times as long, and takes effect at
//! one drawn instant within it, so that the order of the effects explains every answer: the history is
//! linearizable by construction. An operation that stays open is never answered; with probability 1/2 it
//! takes effect, perhaps long after its client gave up and went on under another number. (An acquisition
//! of a lock that stays open never does, and a release always: nobody would ever get the lock again.)
//!
//! Operations come out in the order in which they began, each as soon as it and all before it are
//! complete: memory follows how many run at once, beside what the objects hold.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};

use crate::clients::Clients;
use crate::draws::Draws;
use crate::objects::Object;
use crate::operation::{Answer, Ended, Function, Simulated};
use crate::parameters::Parameters;
use crate::store::Store;

/// How much longer a slow operation takes.
const SLOW: u64 = 20;
/// After how many mean latencies a client gives up.
const PATIENCE: u64 = 10;

/// What is on the agenda.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// A client begins its next operation.
    Begin(usize),
    /// An operation takes effect.
    Effect(u64),
    /// An operation is answered.
    End(u64),
}

/// An operation that has begun, and what is known of it so far.
struct Running {
    op: Simulated,
    client: usize,
    complete: bool,
}

/// A simulation at work; yields the operations in order of their beginning.
pub(crate) struct Simulation {
    parameters: Parameters,
    draws: Draws,
    clients: Clients,
    store: Store,
    /// By time, then in the order of their planning.
    agenda: BinaryHeap<Reverse<(u64, u64, Due)>>,
    planned: u64,
    /// How many beginnings and ends there were.
    position: u64,
    /// How many operations were begun.
    begun: u64,
    /// Those that have not come out yet, in order.
    running: VecDeque<Running>,
    /// Open operations that came out and will yet take effect.
    late: HashMap<u64, Simulated>,
    dropped: bool,
}

impl Simulation {
    pub(crate) fn new(parameters: &Parameters) -> Self {
        let mut simulation = Simulation {
            draws: Draws::new(parameters.seed),
            clients: Clients::new(parameters),
            store: Store::new(parameters.object),
            agenda: BinaryHeap::new(),
            planned: 0,
            position: 0,
            begun: 0,
            running: VecDeque::new(),
            late: HashMap::new(),
            dropped: false,
            parameters: parameters.clone(),
        };
        for client in 0..parameters.clients as usize {
            let at = simulation.draws.below(2 * parameters.latency);
            simulation.plan(at, Due::Begin(client));
        }
        simulation
    }

    fn plan(&mut self, at: u64, due: Due) {
        self.agenda.push(Reverse((at, self.planned, due)));
        self.planned += 1;
    }

    fn begin(&mut self, now: u64, client: usize) {
        if self.begun >= self.parameters.operations {
            return;
        }
        let number = self.begun;
        let asked = self.clients.ask(client, number, &mut self.draws);
        let Parameters { latency, .. } = self.parameters;
        let mut takes = 1 + self.draws.below(2 * latency);
        if self.draws.per_million(self.parameters.tail_per_million) {
            takes *= SLOW;
        }
        let effect = self.draws.below(takes + 1);
        let open = self.draws.per_million(self.parameters.open_per_million);
        let mut op = Simulated {
            number,
            process: asked.process,
            key: asked.key,
            function: asked.function,
            args: asked.args,
            steps: asked.steps,
            answer: Answer::Silent,
            ended: if open { Ended::Open } else { Ended::Ok },
            call: self.position,
            ret: None,
            called_at: now,
            returned_at: now + if open { PATIENCE * latency } else { takes },
        };
        self.position += 1;
        self.begun += 1;
        if open {
            let drawn = self.draws.below(2) == 0;
            let after = self.draws.below(SLOW * latency);
            let lock = matches!(self.parameters.object, Object::Lock | Object::FencedLock);
            if if lock { op.function == Function::Release } else { drawn } {
                self.plan(now + after, Due::Effect(number));
                self.late.insert(number, op.clone());
            }
            self.clients.gave_up(client);
            self.plan(op.returned_at, Due::Begin(client));
        } else {
            let share = self.parameters.fail_per_million;
            if share > 0 && self.draws.per_million(share) {
                op.ended = Ended::Fail;
            } else {
                self.plan(now + effect, Due::Effect(number));
            }
            self.plan(op.returned_at, Due::End(number));
        }
        self.running.push_back(Running { op, client, complete: open });
    }

    fn effect(&mut self, number: u64) {
        let draws = &mut self.draws;
        let choose = |elements: &[i64]| draws.below(elements.len() as u64) as usize;
        if let Some(mut op) = self.late.remove(&number) {
            self.store.apply(&mut op, choose);
            return;
        }
        let Some(Running { op, .. }) = slot(&mut self.running, number) else {
            return;
        };
        let place = self.parameters.operations * self.parameters.at_percent / 100;
        if self.parameters.drop_write && !self.dropped && number >= place && is_write(op.function) {
            self.dropped = true;
        } else if !self.store.apply(op, choose) {
            op.ended = Ended::Fail;
        }
    }

    fn end(&mut self, now: u64, number: u64) {
        let Some(running) = slot(&mut self.running, number) else {
            return;
        };
        running.op.ret = Some(self.position);
        running.complete = true;
        self.position += 1;
        self.clients.answered(running.client, &running.op);
        let gap = 1 + self.draws.below(2 * self.parameters.gap);
        let client = running.client;
        self.plan(now + gap, Due::Begin(client));
    }
}

/// The slot of an operation that has not come out.
fn slot(running: &mut VecDeque<Running>, number: u64) -> Option<&mut Running> {
    let first = running.front()?.op.number;
    running.get_mut(usize::try_from(number.checked_sub(first)?).ok()?)
}

/// Whether losing its effect may be noticed.
fn is_write(function: Function) -> bool {
    function.gives() || matches!(function, Function::Write | Function::Increment)
}

impl Iterator for Simulation {
    type Item = Simulated;

    fn next(&mut self) -> Option<Simulated> {
        while self.running.front().is_none_or(|running| !running.complete) {
            let Reverse((now, _, due)) = self.agenda.pop()?;
            match due {
                Due::Begin(client) => self.begin(now, client),
                Due::Effect(number) => self.effect(number),
                Due::End(number) => self.end(now, number),
            }
        }
        self.running.pop_front().map(|running| running.op)
    }
}
