//! The objects themselves: what one correct copy answers, one operation after another.

use std::collections::{BTreeSet, BinaryHeap, HashMap, VecDeque};

use crate::objects::Object;
use crate::operation::{Answer, Function, Simulated, Step, What};

/// How many accounts a ledger has.
pub const ACCOUNTS: usize = 8;
/// What each of them holds in the beginning.
pub const BALANCE: i64 = 100;

/// One copy of all objects of a kind.
#[derive(Clone, Debug)]
pub struct Store {
    object: Object,
    registers: HashMap<u64, (u64, i64)>,
    queues: HashMap<u64, VecDeque<i64>>,
    lists: HashMap<u64, Vec<i64>>,
    heaps: HashMap<u64, BinaryHeap<i64>>,
    sets: HashMap<u64, BTreeSet<i64>>,
    locks: HashMap<u64, Lock>,
    accounts: Vec<i64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Lock {
    held: bool,
    /// The newest token.
    token: i64,
    /// It is held with a newer one, which was never told.
    untold: bool,
}

impl Store {
    /// Objects to which nothing has happened.
    pub fn new(object: Object) -> Self {
        Store {
            object,
            registers: HashMap::new(),
            queues: HashMap::new(),
            lists: HashMap::new(),
            heaps: HashMap::new(),
            sets: HashMap::new(),
            locks: HashMap::new(),
            accounts: vec![BALANCE; ACCOUNTS],
        }
    }

    /// Applies an operation and writes down its answer; `false` if it is refused and changes nothing.
    /// Where any element may come out, `choose` says which of them.
    pub fn apply(&mut self, op: &mut Simulated, choose: impl FnOnce(&[i64]) -> usize) -> bool {
        let (key, [a, b, _]) = (op.key, op.args);
        op.answer = Answer::Silent;
        match op.function {
            Function::Read | Function::Write | Function::Cas => return self.register(op),
            Function::Acquire | Function::Release => return self.lock(op),
            Function::Transfer => return self.transfer(a as usize, b as usize, op.args[2]),
            Function::Enqueue => self.queues.entry(key).or_default().push_back(a),
            Function::Push | Function::Append | Function::AppendText => {
                self.lists.entry(key).or_default().push(a);
            }
            Function::Insert => self.heaps.entry(key).or_default().push(a),
            Function::Increment => {
                let sum = &mut self.registers.entry(key).or_default().1;
                *sum = sum.wrapping_add(a);
            }
            Function::Put => {
                self.lists.insert(key, vec![a]);
            }
            Function::Add => {
                self.sets.entry(key).or_default().insert(a);
            }
            Function::Transaction => op.steps.iter_mut().for_each(|step| self.step(step)),
            _ => op.answer = self.ask(op, choose),
        }
        true
    }

    /// Applies what has an answer.
    fn ask(&mut self, op: &Simulated, choose: impl FnOnce(&[i64]) -> usize) -> Answer {
        let (key, element) = (op.key, op.args[0]);
        match op.function {
            Function::Dequeue => self.dequeue(key, choose),
            Function::Pop => number(self.lists.entry(key).or_default().pop()),
            Function::Poll => number(self.heaps.entry(key).or_default().pop()),
            Function::Peek => number(self.heaps.entry(key).or_default().peek().copied()),
            Function::Elements => Answer::List(self.lists.entry(key).or_default().clone()),
            Function::Get => Answer::Text(self.lists.get(&key).cloned()),
            Function::AddNew => flag(self.sets.entry(key).or_default().insert(element)),
            Function::Remove => flag(self.sets.entry(key).or_default().remove(&element)),
            Function::Contains => flag(self.sets.entry(key).or_default().contains(&element)),
            Function::Members => Answer::List(self.sets.entry(key).or_default().iter().copied().collect()),
            Function::Count => Answer::Number(self.registers.entry(key).or_default().1),
            Function::Balances => Answer::Accounts(self.accounts.clone()),
            _ => Answer::Silent,
        }
    }

    fn register(&mut self, op: &mut Simulated) -> bool {
        let (version, value) = self.registers.entry(op.key).or_default();
        match op.function {
            Function::Write => (*version, *value) = (*version + 1, op.args[0]),
            Function::Cas if *value == op.args[0] => (*version, *value) = (*version + 1, op.args[1]),
            Function::Cas => return false,
            _ => {}
        }
        op.answer = match self.object {
            Object::VersionedRegister => Answer::Versioned(*version, *value),
            _ if op.function == Function::Read => Answer::Number(*value),
            _ => Answer::Silent,
        };
        true
    }

    fn dequeue(&mut self, key: u64, choose: impl FnOnce(&[i64]) -> usize) -> Answer {
        let queue = self.queues.entry(key).or_default();
        if self.object != Object::UnorderedQueue || queue.is_empty() {
            return number(queue.pop_front());
        }
        let at = choose(queue.make_contiguous());
        number(queue.swap_remove_back(at))
    }

    /// A plain lock is released by anyone, a fenced one with the token it was acquired with.
    fn lock(&mut self, op: &mut Simulated) -> bool {
        let lock = self.locks.entry(op.key).or_default();
        let acquires = op.function == Function::Acquire;
        let fits = match self.object {
            _ if acquires || self.object == Object::Lock => true,
            _ if lock.untold => op.args[0] > lock.token,
            _ => op.args[0] == lock.token,
        };
        if lock.held == acquires || !fits {
            return false;
        }
        let token = if acquires { lock.token + 1 } else { op.args[0].max(lock.token) };
        *lock = Lock { held: acquires, token, untold: false };
        op.answer = if acquires { Answer::Number(token) } else { Answer::Silent };
        true
    }

    /// Grants a lock that is free with this token, if it is newer than all before; `None` if it was not told.
    pub(crate) fn grant(&mut self, key: u64, token: Option<i64>) -> bool {
        let lock = self.locks.entry(key).or_default();
        if lock.held || token.is_some_and(|token| token <= lock.token) {
            return false;
        }
        *lock = Lock { held: true, token: token.unwrap_or(lock.token), untold: token.is_none() };
        true
    }

    fn transfer(&mut self, from: usize, to: usize, amount: i64) -> bool {
        let enough = self.accounts.get(from).is_some_and(|&held| held >= amount);
        if !enough || to >= self.accounts.len() {
            return false;
        }
        self.accounts[from] -= amount;
        self.accounts[to] += amount;
        true
    }

    fn step(&mut self, step: &mut Step) {
        match &mut step.what {
            What::Append(value) => self.lists.entry(step.key).or_default().push(*value),
            What::List(seen) => *seen = self.lists.entry(step.key).or_default().clone(),
            What::Write(value) => self.registers.entry(step.key).or_default().1 = *value,
            What::Value(seen) => *seen = self.registers.entry(step.key).or_default().1,
        }
    }
}

fn number(value: Option<i64>) -> Answer {
    Answer::Number(value.unwrap_or(0))
}

fn flag(yes: bool) -> Answer {
    Answer::Number(i64::from(yes))
}
