//! What is right, by trying every order: against this, judges and planted violations are tested.

use std::collections::BTreeSet;

use crate::objects::Object;
use crate::operation::{Answer, Ended, Function, Simulated};
use crate::store::Store;

/// How many operations can be looked at; more would take too long anyway.
const MOST: usize = 64;

/// Whether some order of a few operations, in keeping with real time, explains every answer. Each key is not
/// looked at on its own: all of them are one system. Operations that failed had no effect; open ones may
/// have had one at any time since they began. `None` if there are too many to tell.
pub fn explained(object: Object, operations: &[Simulated]) -> Option<bool> {
    let ops: Vec<&Simulated> = operations.iter().filter(|op| op.ended != Ended::Fail).collect();
    (ops.len() <= MOST).then(|| search(object, &ops, &Store::new(object), 0))
}

fn search(object: Object, ops: &[&Simulated], store: &Store, placed: u64) -> bool {
    let waiting = |i: &usize| placed & (1 << i) == 0;
    let Some(first_end) = (0..ops.len()).filter(waiting).filter_map(|i| ops[i].ret).min() else {
        return true;
    };
    (0..ops.len()).filter(waiting).filter(|&i| ops[i].call < first_end).any(|i| {
        let stores = after(object, store, ops[i]);
        stores.iter().any(|store| search(object, ops, store, placed | 1 << i))
    })
}

/// The states in which an operation can leave the objects; none if its answer is impossible.
fn after(object: Object, store: &Store, op: &Simulated) -> Vec<Store> {
    let open = op.ended == Ended::Open;
    if object == Object::FencedLock && op.function == Function::Acquire {
        let mut store = store.clone();
        let token = match op.answer {
            Answer::Number(token) if !open => Some(token),
            _ => None,
        };
        return store.grant(op.key, token).then_some(store).into_iter().collect();
    }
    let (mut stores, mut tried, mut choices) = (Vec::new(), 0, 1);
    while tried < choices {
        let (mut store, mut again) = (store.clone(), op.clone());
        let choose = |elements: &[i64]| {
            choices = elements.len();
            tried
        };
        let possible = store.apply(&mut again, choose);
        // A plain lock does not tell its tokens.
        let silent = open || object == Object::Lock;
        if possible && (silent || (same(op, &again) && again.steps == op.steps)) {
            stores.push(store);
        }
        tried += 1;
    }
    stores
}

/// Whether two operations that were asked the same are answered the same. A set has no order.
fn same(one: &Simulated, other: &Simulated) -> bool {
    match (&one.answer, &other.answer) {
        (Answer::List(one_seen), Answer::List(other_seen)) if one.function == Function::Members => {
            let set = |seen: &[i64]| seen.iter().copied().collect::<BTreeSet<i64>>();
            set(one_seen) == set(other_seen)
        }
        (one, other) => one == other,
    }
}
