//! How open calls can bring about a value.

use super::super::calls::Act;
use super::frontier::Search;
use super::pool::{Config, Place};

impl<const N: usize> Search<'_, N> {
    /// Whether an open call of the class is left that can be placed there. Before the last blind write that is
    /// one that began before it: all writes of the class that were used up are placed by then; of
    /// compare-and-sets some may come later, so too much may be allowed, never too little, and what
    /// comes of it is checked in the end.
    pub(super) fn available(&self, config: &Config<N>, place: Place, class: u32) -> bool {
        let of = &self.problem.classes[class as usize];
        let begun = self.begun[class as usize];
        let in_time = match place {
            Place::Hidden(..) => of.begins.partition_point(|&event| event < config.blind) as u32,
            _ => begun,
        };
        let used = if self.mode.counts { self.combinations.count(config.used, class) } else { 0 };
        match of.act {
            Act::Write(_) => used < in_time,
            _ => in_time > 0 && used < begun,
        }
    }

    /// Sequences of classes that bring about `target`: from the present value by compare-and-sets alone,
    /// or (`blind`) beginning with a write. No value comes up twice in one; all of them, or one of the
    /// shortest, by the mode.
    pub(super) fn paths(
        &mut self,
        config: &Config<N>,
        place: Place,
        target: u32,
        blind: bool,
    ) -> Vec<Vec<u32>> {
        let here = match place {
            Place::Hidden(value, _) => value,
            _ => config.value,
        };
        let mut found = Vec::new();
        // Backwards from the target: the value reached, the class that leaves the next one, and where in
        // this list the next one is.
        let mut reached: Vec<(u32, u32, usize)> = vec![(target, u32::MAX, 0)];
        let mut at = 0;
        while at < reached.len() {
            let (value, _, _) = reached[at];
            for &class in &self.problem.into[value as usize] {
                if !self.available(config, place, class) {
                    continue;
                }
                let complete = match self.problem.classes[class as usize].act {
                    Act::Write(_) => blind && !self.runs_too(config, place, value),
                    Act::Swap(from, _) if from == here && !blind => true,
                    Act::Swap(from, _) => {
                        if !self.known(&reached, at, from) {
                            reached.push((from, class, at));
                        }
                        false
                    }
                    _ => false,
                };
                if complete {
                    found.push(path(&reached, at, class));
                    if !self.mode.all_paths {
                        self.spent += reached.len() as u64 / 4;
                        return found;
                    }
                }
            }
            at += 1;
            if found.len() + reached.len() > MOST {
                self.cut = true;
                break;
            }
        }
        self.spent += reached.len() as u64 / 4;
        found
    }

    /// Whether the value was come by already: on the way from there, or at all if one way is enough.
    fn known(&self, reached: &[(u32, u32, usize)], at: usize, value: u32) -> bool {
        if !self.mode.all_paths {
            return reached.iter().any(|&(v, _, _)| v == value);
        }
        let mut at = at;
        loop {
            let (v, _, next) = reached[at];
            if v == value {
                return true;
            }
            if at == 0 {
                return false;
            }
            at = next;
        }
    }

    /// Whether a running write of the value could take the place of an open one. It is better used up, for
    /// it must have a place anyway, and has one before the last blind write.
    fn runs_too(&self, config: &Config<N>, place: Place, value: u32) -> bool {
        let mut writes = self.running.writes.minus(&config.placed);
        if let Place::Hidden(..) = place {
            writes = writes.and(&config.free);
        }
        writes.iter().any(|slot| self.act(slot) == Act::Write(value))
    }
}

/// So many ways are followed; if there are more, a violation is not certain.
const MOST: usize = 1 << 16;

fn path(reached: &[(u32, u32, usize)], mut at: usize, class: u32) -> Vec<u32> {
    let mut path = vec![class];
    while at != 0 {
        let (_, class, next) = reached[at];
        path.push(class);
        at = next;
    }
    path
}
