//! Which of two ways to explain the past makes the other superfluous.

use std::collections::HashSet;

use super::run::{Config, NO_STEP, Run, TooMany};

/// How many configurations are kept.
const CONFIGURATIONS: usize = 1 << 15;
/// Up to so many every two are compared.
const COMPARED: usize = 256;
/// Up to so many additions left over are grouped.
const MERGED: usize = 8;

impl<const W: usize> Run<'_, W> {
    /// Keeps what nothing else makes superfluous.
    pub(super) fn prune(&mut self, after: Vec<Config<W>>) -> Result<(), TooMany> {
        if after.len() > CONFIGURATIONS || self.trail.len() >= NO_STEP as usize {
            return Err(TooMany::Ways);
        }
        self.configs = Vec::with_capacity(after.len());
        if after.len() > COMPARED {
            let mut seen = HashSet::with_capacity(after.len());
            for config in after {
                if seen.insert((config.placed, config.used.clone())) {
                    self.configs.push(config);
                }
            }
            return Ok(());
        }
        for config in after {
            if !self.configs.iter().any(|other| self.covers(other, &config)) {
                let mut kept = std::mem::take(&mut self.configs);
                kept.retain(|other| !self.covers(&config, other));
                kept.push(config);
                self.configs = kept;
            }
        }
        Ok(())
    }

    /// Whether everything that `b` can explain `a` can explain too.
    fn covers(&self, a: &Config<W>, b: &Config<W>) -> bool {
        if a.sum > b.sum || !b.placed.includes(&a.placed) {
            return false;
        }
        if a.sum == b.sum {
            return a.placed == b.placed && (a.used == b.used || self.finer(a, b));
        }
        let next = self.classes.get(a.class as usize).map(|class| class.value);
        let next = match next {
            Some(value) if value == a.sum => self.classes.get(a.class as usize + 1).map(|class| class.value),
            other => other,
        };
        a.used.iter().zip(&b.used).all(|(a, b)| a <= b) && next.is_none_or(|next| next >= b.sum)
    }

    /// Whether the open additions that `a` has left make up those that `b` has left.
    fn finer(&self, a: &Config<W>, b: &Config<W>) -> bool {
        let (mut spare, mut wanted) = (Vec::new(), Vec::new());
        for kind in self.amounts.iter().filter(|kind| !kind.open.is_empty()) {
            let (a, b) = (a.used[kind.counter], b.used[kind.counter]);
            // Largest first.
            spare.extend(std::iter::repeat_n(kind.amount, usize::from(b.saturating_sub(a))));
            wanted.extend(std::iter::repeat_n(kind.amount, usize::from(a.saturating_sub(b))));
            if spare.len() > MERGED || wanted.len() > MERGED {
                return false;
            }
        }
        spare.len() >= wanted.len() && group(&mut spare, &wanted, 0, 0)
    }
}

/// Whether disjoint groups of `spare` make up each amount in `wanted`. Of the first of these `part` is still
/// to be found, 0 if it has not been begun, among spare ones from `from` on. A used one becomes 0.
fn group(spare: &mut [i64], wanted: &[i64], part: i64, from: usize) -> bool {
    let Some((&first, rest)) = wanted.split_first() else {
        return true;
    };
    let part = if part == 0 { first } else { part };
    for at in from..spare.len() {
        let amount = spare[at];
        if amount == 0 || amount > part || (at > from && spare[at - 1] == amount) {
            continue;
        }
        spare[at] = 0;
        let fits = match part - amount {
            0 => group(spare, rest, 0, 0),
            left => group(spare, wanted, left, at + 1),
        };
        spare[at] = amount;
        if fits {
            return true;
        }
    }
    false
}
