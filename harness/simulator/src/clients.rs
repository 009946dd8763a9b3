//! What clients ask next, and what they remember of the answers.
//!
//! The order of the draws is part of what a seed means: it never changes.

use std::collections::HashMap;

use crate::draws::{Draws, Keys};
use crate::objects::Object;
use crate::operation::{Answer, Function, Simulated, Step, What};
use crate::parameters::Parameters;
use crate::store::ACCOUNTS;

/// All clients.
#[derive(Clone, Debug)]
pub(crate) struct Clients {
    parameters: Parameters,
    keys: Keys,
    /// The number of the process that each client is at present.
    processes: Vec<u64>,
    next_process: u64,
    /// For objects with compare-and-set: the newest value that each client knows of, by key.
    known: Vec<HashMap<u64, i64>>,
    /// The lock that each client holds, and its token.
    held: Vec<Option<(u64, i64)>>,
    /// The newest fresh value, by key.
    fresh: HashMap<u64, i64>,
    /// The key behind each of the drawn ones; lists are replaced after some appends.
    current: Vec<u64>,
    next_key: u64,
    appended: HashMap<u64, u64>,
}

/// What a client asks.
pub(crate) struct Asked {
    pub(crate) process: u64,
    pub(crate) key: u64,
    pub(crate) function: Function,
    pub(crate) args: [i64; 3],
    pub(crate) steps: Vec<Step>,
}

impl Clients {
    pub(crate) fn new(parameters: &Parameters) -> Self {
        let clients = parameters.clients as usize;
        Clients {
            parameters: parameters.clone(),
            keys: Keys::new(parameters.spread, parameters.keys),
            processes: (0..parameters.clients).collect(),
            next_process: parameters.clients,
            known: vec![HashMap::new(); clients],
            held: vec![None; clients],
            fresh: HashMap::new(),
            current: (0..parameters.keys).collect(),
            next_key: parameters.keys,
            appended: HashMap::new(),
        }
    }

    /// The next operation of a client; `number` is its place among all operations.
    pub(crate) fn ask(&mut self, client: usize, number: u64, draws: &mut Draws) -> Asked {
        let drawn = self.keys.draw(draws);
        let key = self.current[drawn];
        let reads = draws.below(100) < self.parameters.read_percent;
        let process = self.processes[client];
        let mut asked = Asked { process, key, function: Function::Read, args: [0; 3], steps: Vec::new() };
        let (function, args) = match self.parameters.object {
            Object::Register if reads => (Function::Read, [0; 2]),
            Object::Register => (Function::Write, [self.value(key, draws), 0]),
            Object::CasRegister | Object::VersionedRegister => self.cas(client, key, reads, draws),
            Object::Kv if reads => (Function::Get, [0; 2]),
            Object::Kv => {
                let function = if draws.below(4) == 0 { Function::Put } else { Function::AppendText };
                (function, [self.fresh(key), 0])
            }
            Object::Queue | Object::UnorderedQueue if reads => (Function::Dequeue, [0; 2]),
            Object::Queue | Object::UnorderedQueue => (Function::Enqueue, [self.fresh(key), 0]),
            Object::Stack if reads => (Function::Pop, [0; 2]),
            Object::Stack => (Function::Push, [self.fresh(key), 0]),
            Object::PriorityQueue if reads => {
                (if draws.below(4) == 0 { Function::Peek } else { Function::Poll }, [0; 2])
            }
            Object::PriorityQueue => (Function::Insert, [scattered(self.fresh(key)), 0]),
            Object::Set => self.set(number, draws),
            Object::GrowSet if self.reads_all(number) => (Function::Members, [0; 2]),
            Object::GrowSet => (Function::Add, [self.fresh(key), 0]),
            Object::List if reads => (Function::Elements, [0; 2]),
            Object::List => {
                asked.key = self.append_key(drawn);
                (Function::Append, [self.fresh(asked.key), 0])
            }
            Object::Counter if reads => (Function::Count, [0; 2]),
            Object::Counter => {
                let values = self.parameters.values;
                (Function::Increment, [if values == 0 { 1 } else { 1 + draws.below(values) as i64 }, 0])
            }
            Object::Lock | Object::FencedLock => match self.held[client] {
                Some((held, token)) => {
                    asked.key = held;
                    (Function::Release, [token, 0])
                }
                None => (Function::Acquire, [0; 2]),
            },
            Object::Ledger if reads => (Function::Balances, [0; 2]),
            Object::Ledger => {
                let from = draws.below(ACCOUNTS as u64);
                let to = (from + 1 + draws.below(ACCOUNTS as u64 - 1)) % ACCOUNTS as u64;
                asked.args[2] = 1 + draws.below(20) as i64;
                (Function::Transfer, [from as i64, to as i64])
            }
            Object::ListAppend | Object::RwRegister => {
                asked.steps = self.steps(draws);
                (Function::Transaction, [0; 2])
            }
        };
        asked.function = function;
        asked.args[..2].copy_from_slice(&args);
        asked
    }

    fn fresh(&mut self, key: u64) -> i64 {
        let fresh = self.fresh.entry(key).or_default();
        *fresh += 1;
        *fresh
    }

    fn value(&mut self, key: u64, draws: &mut Draws) -> i64 {
        match self.parameters.values {
            0 => self.fresh(key),
            values => 1 + draws.below(values) as i64,
        }
    }

    fn cas(&mut self, client: usize, key: u64, reads: bool, draws: &mut Draws) -> (Function, [i64; 2]) {
        if reads {
            return (Function::Read, [0; 2]);
        }
        if draws.below(2) == 0 {
            return (Function::Write, [self.value(key, draws), 0]);
        }
        let from = match self.parameters.values {
            // Only a value that is there has a chance to be found.
            0 => self.known[client].get(&key).copied().unwrap_or(0),
            values => 1 + draws.below(values) as i64,
        };
        (Function::Cas, [from, self.value(key, draws)])
    }

    fn set(&mut self, number: u64, draws: &mut Draws) -> (Function, [i64; 2]) {
        if self.parameters.read_every > 0 && self.reads_all(number) {
            return (Function::Members, [0; 2]);
        }
        let values = if self.parameters.values == 0 { 100 } else { self.parameters.values };
        let element = 1 + draws.below(values) as i64;
        let function = match draws.below(3) {
            0 => Function::AddNew,
            1 => Function::Remove,
            _ => Function::Contains,
        };
        (function, [element, 0])
    }

    fn reads_all(&self, number: u64) -> bool {
        let every = match self.parameters.read_every {
            0 => (self.parameters.operations / 100).max(4),
            every => every,
        };
        (number + 1).is_multiple_of(every)
    }

    /// The key of the list to append to, a fresh one if that has had its share.
    fn append_key(&mut self, drawn: usize) -> u64 {
        let key = self.current[drawn];
        let appended = self.appended.entry(key).or_default();
        *appended += 1;
        if *appended <= self.parameters.appends_per_key {
            return key;
        }
        self.appended.remove(&key);
        self.fresh.remove(&key);
        let key = self.next_key;
        self.next_key += 1;
        self.current[drawn] = key;
        self.appended.insert(key, 1);
        key
    }

    fn steps(&mut self, draws: &mut Draws) -> Vec<Step> {
        let lists = self.parameters.object == Object::ListAppend;
        let steps = 1 + draws.below(self.parameters.steps);
        let mut step = |_| {
            let drawn = self.keys.draw(draws);
            if draws.below(100) < self.parameters.read_percent {
                let what = if lists { What::List(Vec::new()) } else { What::Value(0) };
                return Step { key: self.current[drawn], what };
            }
            let key = self.append_key(drawn);
            let value = self.fresh(key);
            Step { key, what: if lists { What::Append(value) } else { What::Write(value) } }
        };
        (0..steps).map(&mut step).collect()
    }

    /// The client gave up waiting and goes on as somebody else.
    pub(crate) fn gave_up(&mut self, client: usize) {
        self.processes[client] = self.next_process;
        self.next_process += 1;
        self.held[client] = None;
    }

    /// The client was answered.
    pub(crate) fn answered(&mut self, client: usize, op: &Simulated) {
        let known = match (op.function, &op.answer) {
            (Function::Read, Answer::Number(value) | Answer::Versioned(_, value)) => Some(*value),
            (Function::Write, _) if op.is_ok() => Some(op.args[0]),
            (Function::Cas, _) if op.is_ok() => Some(op.args[1]),
            (Function::Acquire, Answer::Number(token)) if op.is_ok() => {
                self.held[client] = Some((op.key, *token));
                None
            }
            (Function::Release, _) if op.is_ok() => {
                self.held[client] = None;
                None
            }
            _ => None,
        };
        if let Some(value) = known.filter(|_| self.parameters.object != Object::Register) {
            self.known[client].insert(op.key, value);
        }
    }
}

/// Rising numbers become different ones without an order: an odd factor loses nothing modulo a power of two.
fn scattered(number: i64) -> i64 {
    i64::from((number as u32).wrapping_mul(0x9E37_79B1))
}
