//! A look at every call by itself, before any search: does some call leave what another one found?
//!
//! Where every call that changes the state leaves a state that it determines alone ([`Model::leaves`]), a
//! call that is possible in one state only ([`Model::needs`]) needs another that left it, or that the
//! object began with it. If those that leave it all begin after it ended, it and they contradict one
//! another whatever else happened. Linear, and exact as far as it goes: it only ever finds violations.

use ordeal_core::{Model, Timed};

use super::hash::FastMap;

/// Beyond so many calls that come too late they are not worth naming.
const NAMED: usize = 1_000;

/// A completed call that no other can explain, with those that come too late to; rising.
pub(super) fn unexplained<M: Model>(model: &M, calls: &[Timed<M::Call>]) -> Option<Vec<u32>> {
    let init = model.init();
    // Most models do not say: then one look tells.
    calls.iter().find_map(|call| model.needs(&call.call))?;
    let mut earliest: FastMap<M::State, u64> = FastMap::default();
    for call in calls.iter().filter(|call| !model.reads_only(&call.call)) {
        let start = earliest.entry(model.leaves(&call.call)?).or_insert(call.start);
        *start = call.start.min(*start);
    }
    let unexplained = |call: &&Timed<M::Call>| {
        let Some(needs) = model.needs(&call.call).filter(|_| !call.is_open()) else {
            return false;
        };
        needs != init && earliest.get(&needs).is_none_or(|&start| start > call.end)
    };
    let at = calls.iter().position(|call| unexplained(&call))?;
    let needs = model.needs(&calls[at].call);
    let too_late = |&i: &usize| !model.reads_only(&calls[i].call) && model.leaves(&calls[i].call) == needs;
    let mut core: Vec<u32> = (0..calls.len()).filter(|i| *i != at && too_late(i)).map(|i| i as u32).collect();
    core.push(at as u32);
    core.sort_unstable();
    (core.len() <= NAMED).then_some(core)
}
