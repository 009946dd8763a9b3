//! A sequence of steps up and down of which single ones can be taken away: where does the sum of the steps
//! from some place on first come back to zero? Blocks of steps below a binary tree, in which each node has
//! the sum of its steps and the least sum of a beginning of them; O(log n) for each change and question.

/// How many steps a block has.
const BLOCK: usize = 32;

/// The steps.
pub(super) struct Excess {
    steps: Vec<i8>,
    /// How many blocks the tree has room for: a power of two. The root is node 1, the children of node n are
    /// 2n and 2n + 1, and the blocks come last.
    blocks: usize,
    nodes: Vec<Sums>,
}

#[derive(Clone, Copy, Default)]
struct Sums {
    all: i32,
    /// Of no steps, zero, or of more.
    least: i32,
}

impl Sums {
    fn then(self, next: Sums) -> Sums {
        Sums { all: self.all + next.all, least: self.least.min(self.all + next.least) }
    }

    fn of(steps: &[i8]) -> Sums {
        let mut sums = Sums::default();
        for &step in steps {
            sums.all += i32::from(step);
            sums.least = sums.least.min(sums.all);
        }
        sums
    }
}

impl Excess {
    pub(super) fn of(steps: Vec<i8>) -> Excess {
        let blocks = steps.len().div_ceil(BLOCK).next_power_of_two();
        let mut nodes = vec![Sums::default(); 2 * blocks];
        for (node, steps) in nodes[blocks..].iter_mut().zip(steps.chunks(BLOCK)) {
            *node = Sums::of(steps);
        }
        for node in (1..blocks).rev() {
            nodes[node] = nodes[2 * node].then(nodes[2 * node + 1]);
        }
        Excess { steps, blocks, nodes }
    }

    /// Whether there is a step up here.
    pub(super) fn rises(&self, place: usize) -> bool {
        self.steps[place] > 0
    }

    /// Takes the step away.
    pub(super) fn flatten(&mut self, place: usize) {
        self.steps[place] = 0;
        let block = place / BLOCK;
        let end = self.steps.len().min((block + 1) * BLOCK);
        let mut node = self.blocks + block;
        self.nodes[node] = Sums::of(&self.steps[block * BLOCK..end]);
        while node > 1 {
            node /= 2;
            self.nodes[node] = self.nodes[2 * node].then(self.nodes[2 * node + 1]);
        }
    }

    /// After a step up at `from`: the place of the step that brings the sum back to zero, if one does.
    pub(super) fn falls_back(&self, from: usize) -> Option<usize> {
        let mut sum = 0;
        let block = from / BLOCK;
        let end = self.steps.len().min((block + 1) * BLOCK);
        if let Some(place) = self.falls_in(from, end, &mut sum) {
            return Some(place);
        }
        // Up to where the next tree to the right goes low enough, then down to the block.
        let mut node = self.blocks + block;
        loop {
            while node & 1 == 1 {
                node /= 2;
            }
            if node == 0 {
                return None;
            }
            node += 1;
            if sum + self.nodes[node].least <= 0 {
                break;
            }
            sum += self.nodes[node].all;
        }
        while node < self.blocks {
            node *= 2;
            if sum + self.nodes[node].least > 0 {
                sum += self.nodes[node].all;
                node += 1;
            }
        }
        let start = (node - self.blocks) * BLOCK;
        self.falls_in(start, self.steps.len().min(start + BLOCK), &mut sum)
    }

    fn falls_in(&self, start: usize, end: usize, sum: &mut i32) -> Option<usize> {
        (start..end).find(|&place| {
            *sum += i32::from(self.steps[place]);
            *sum <= 0
        })
    }
}

#[cfg(test)]
mod tests {
    use ordeal_core::Rng;

    use super::*;

    #[test]
    fn it_finds_what_a_walk_finds() {
        let mut rng = Rng::new(3);
        for _ in 0..200 {
            let n = 1 + rng.below(300) as usize;
            let up = 0.3 + 0.1 * rng.below(5) as f64;
            let mut steps: Vec<i8> = (0..n).map(|_| if rng.chance(up) { 1 } else { -1 }).collect();
            let mut excess = Excess::of(steps.clone());
            for _ in 0..n {
                for from in (0..n).filter(|&i| steps[i] == 1).collect::<Vec<_>>() {
                    let mut sum = 0;
                    let walk = (from..n).find(|&i| {
                        sum += i32::from(steps[i]);
                        sum <= 0
                    });
                    assert_eq!(excess.falls_back(from), walk, "{steps:?} from {from}");
                }
                let at = rng.below(n as u64) as usize;
                steps[at] = 0;
                excess.flatten(at);
            }
        }
    }
}
