//! Why a call on a priority queue has no place: values that block all instants it could take, and the calls
//! that say when these were certainly there.

use super::{Blocked, Presence};

impl Presence<'_> {
    /// Calls that contradict one another: those that have no place, and as few values as possible that block
    /// all instants between the two.
    pub(super) fn explain(&self, blocked: Blocked) -> Vec<u32> {
        let Blocked { calls: mut core, from, to } = blocked;
        let mut certain: Vec<usize> =
            (0..self.certain.len()).filter(|&i| self.certain[i].from < self.certain[i].to).collect();
        certain.sort_unstable_by_key(|&i| self.certain[i].from);
        let (mut next, mut best) = (from, None);
        let mut certain = certain.into_iter().peekable();
        while next <= to {
            while let Some(turn) = certain.next_if(|&turn| self.certain[turn].from < next) {
                let until = self.certain[turn].to;
                if until > best.map_or(next, |(until, _)| until) {
                    best = Some((until, turn));
                }
            }
            let Some((until, turn)) = best.take() else {
                break;
            };
            let stay = self.certain[turn];
            core.extend(self.container.calls_of(self.falling[turn]));
            core.extend([stay.from_call, stay.to_call]);
            next = until;
        }
        core.sort_unstable();
        core.dedup();
        core
    }
}
