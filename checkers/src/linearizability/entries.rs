//! From the operations of one object to what the search works on.

use ordeal_core::{EventKind, Model, Open, Operation};

use super::config::FastMap;

/// An operation of one object as the model reads it: as it was, and with its end and its result forgotten.
#[derive(Debug)]
pub(super) struct Item<C> {
    /// Its position among the object's operations.
    pub(super) op: usize,
    /// The call; `None` if only the released form means anything to the model.
    pub(super) call: Option<C>,
    /// The call without its result; `None` if it then makes no difference, as for a read.
    pub(super) released: Option<C>,
    /// When it began.
    pub(super) start: u64,
    /// When it ended, or [`Operation::OPEN`].
    pub(super) end: u64,
    /// It certainly took effect.
    pub(super) ok: bool,
}

/// Reads the operations. Failed ones had no effect and are left out.
///
/// # Errors
/// What the model cannot read, naming the event.
pub(super) fn read<M: Model>(model: &M, ops: &[Operation<'_>]) -> Result<Vec<Item<M::Call>>, String> {
    let mut items = Vec::with_capacity(ops.len());
    for (at, op) in ops.iter().enumerate() {
        if op.kind() == EventKind::Fail {
            continue;
        }
        let unread = |why| format!("event {}: {why}", op.index());
        let Some(call) = model.call(op).map_err(unread)? else {
            continue;
        };
        let blind = Operation { complete: None, ret: Operation::OPEN, ..*op };
        items.push(Item {
            op: at,
            call: Some(call),
            released: model.call(&blind).map_err(unread)?,
            start: op.call,
            end: op.ret,
            ok: op.kind() == EventKind::Ok,
        });
    }
    Ok(items)
}

/// A call to be placed in an order.
#[derive(Debug)]
pub(super) struct Entry<C> {
    /// Its position among the object's operations.
    pub(super) op: usize,
    pub(super) call: C,
    pub(super) start: u64,
    pub(super) end: u64,
    /// Among which open operations it is interchangeable; `None` if its end is known.
    pub(super) class: Option<u32>,
    /// It never changes any state.
    pub(super) reads: bool,
}

/// Makes entries of the items for which `keep` holds; all others are *released*: they may take effect at
/// any time, from the very beginning on, or never, with any result.
///
/// Releasing is sound for every model: an order that explains the whole history explains it with some
/// operations released too, so if there is no order with them released there is none at all.
pub(super) fn entries<M: Model>(
    model: &M,
    items: &[Item<M::Call>],
    keep: impl Fn(usize) -> bool,
) -> Vec<Entry<M::Call>> {
    let mut calls: Vec<M::Call> = Vec::with_capacity(items.len());
    let mut times: Vec<(usize, u64, u64)> = Vec::with_capacity(items.len());
    for item in items {
        let (call, start, end) = if keep(item.op) {
            (&item.call, item.start, item.end)
        } else {
            (&item.released, 0, Operation::OPEN)
        };
        if let Some(call) = call {
            calls.push(call.clone());
            times.push((item.op, start, end));
        }
    }
    let open: Vec<usize> = (0..calls.len()).filter(|&i| times[i].2 == Operation::OPEN).collect();
    let hints = model.open_calls(&calls, &open);
    // A class number of the search's own for each class of the model's and each unique operation.
    let mut classes: FastMap<u32, u32> = FastMap::default();
    let mut next = 0;
    let mut fresh = || {
        next += 1;
        next - 1
    };
    let mut hint_of: FastMap<usize, Option<u32>> = FastMap::default();
    for (i, &at) in open.iter().enumerate() {
        let class = match hints.get(i).copied().unwrap_or(Open::Unique) {
            Open::Irrelevant => None,
            Open::Class(class) => Some(*classes.entry(class).or_insert_with(&mut fresh)),
            Open::Unique => Some(fresh()),
        };
        hint_of.insert(at, class);
    }
    let placed = calls.into_iter().zip(times).enumerate();
    placed
        .filter_map(|(i, (call, (op, start, end)))| {
            let reads = model.reads_only(&call);
            let class = match hint_of.get(&i) {
                None => None,
                Some(None) => return None,
                Some(Some(_)) if reads => return None,
                Some(Some(class)) => Some(*class),
            };
            Some(Entry { op, call, start, end, class, reads })
        })
        .collect()
}
