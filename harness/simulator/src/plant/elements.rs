//! Violations of objects whose elements are read all at once, alone or within transactions.
//!
//! Each element is added only once, and none is ever removed: a read must hold what certainly was added
//! before it began, and of a list all reads must be beginnings of one and the same order.

use std::collections::{HashMap, HashSet};

use super::{Done, NEVER, Scene};
use crate::objects::Object;
use crate::operation::{Answer, Function, Simulated, What};

/// A read of a whole object within an operation: the number of the step, 0 outside transactions.
type Place = (usize, usize);

impl Scene<'_> {
    /// The reads in an operation that was answered.
    fn reads(&self, op: usize) -> Vec<Place> {
        match &self.ops[op] {
            op if !op.is_ok() => Vec::new(),
            Simulated { function: Function::Members | Function::Elements, .. } => vec![(op, 0)],
            Simulated { steps, .. } => {
                let reads = steps.iter().enumerate().filter(|(_, s)| matches!(s.what, What::List(_)));
                reads.map(|(i, _)| (op, i)).collect()
            }
        }
    }

    /// All reads, in the order in which places are to be tried.
    fn all_reads(&self) -> Vec<Place> {
        self.places().flat_map(|op| self.reads(op)).collect()
    }

    fn key(&self, (op, step): Place) -> u64 {
        self.ops[op].steps.get(step).map_or(self.ops[op].key, |step| step.key)
    }

    fn seen(&self, (op, step): Place) -> &[i64] {
        match (&self.ops[op].answer, self.ops[op].steps.get(step).map(|step| &step.what)) {
            (Answer::List(seen), _) | (_, Some(What::List(seen))) => seen,
            _ => &[],
        }
    }

    fn seen_mut(&mut self, (op, step): Place) -> Option<&mut Vec<i64>> {
        let op = &mut self.ops[op];
        match (&mut op.answer, op.steps.get_mut(step).map(|step| &mut step.what)) {
            (Answer::List(seen), _) | (_, Some(What::List(seen))) => Some(seen),
            _ => None,
        }
    }

    /// Who added each element to each object.
    fn adders(&self) -> HashMap<(u64, i64), usize> {
        let mut adders = self.givers();
        for (i, op) in self.ops.iter().enumerate() {
            for step in &op.steps {
                if let What::Append(value) = step.what {
                    adders.insert((step.key, value), i);
                }
            }
        }
        adders
    }
}

/// A read of eight elements or more, or else of any, lacks its second half, of which some element was added
/// before it began.
pub(super) fn stale(scene: &mut Scene<'_>) -> Done {
    let adders = scene.adders();
    let reads = scene.all_reads();
    for least in [8, 1] {
        for &read in &reads {
            let (seen, key) = (scene.seen(read), scene.key(read));
            if seen.len() < least {
                continue;
            }
            let kept = seen.len() / 2;
            let mut cut = seen[kept..].iter().filter_map(|&element| adders.get(&(key, element)));
            let Some(&adder) = cut.find(|&&adder| scene.precedes(adder, read.0)) else { continue };
            let lacks = seen.len() - kept;
            scene.seen_mut(read)?.truncate(kept);
            let what = format!(
                "operation {} lacks the last {lacks} elements of key {key}, one of which operation {adder} \
                 had added before it began",
                read.0
            );
            return Some((vec![read.0, adder], what));
        }
    }
    None
}

/// A read lacks the element in its middle, which was added before it began.
pub(super) fn hole(scene: &mut Scene<'_>) -> Done {
    let adders = scene.adders();
    let reads = scene.all_reads();
    for least in [3, 1] {
        for &read in &reads {
            let (seen, key) = (scene.seen(read), scene.key(read));
            let middle = seen.len() / 2;
            let adder = seen.get(middle).and_then(|&element| adders.get(&(key, element)));
            let Some(&adder) = adder.filter(|&&adder| scene.precedes(adder, read.0)) else { continue };
            if seen.len() < least {
                continue;
            }
            let element = scene.seen_mut(read)?.remove(middle);
            let what = format!(
                "operation {} lacks {element} of key {key}, which operation {adder} had added before it \
                 began",
                read.0
            );
            return Some((vec![read.0, adder], what));
        }
    }
    None
}

/// An element that was added before a read began is in neither this nor any later read.
pub(super) fn lost(scene: &mut Scene<'_>) -> Done {
    let adders = scene.adders();
    for read in scene.all_reads() {
        let key = scene.key(read);
        let known = scene.seen(read).iter().rev();
        let mut known = known.filter_map(|&element| Some((element, *adders.get(&(key, element))?)));
        let Some((element, adder)) = known.find(|&(_, adder)| scene.precedes(adder, read.0)) else {
            continue;
        };
        for op in read.0..scene.ops.len() {
            for later in
                scene.reads(op).into_iter().filter(|&later| scene.key(later) == key).collect::<Vec<_>>()
            {
                scene.seen_mut(later)?.retain(|&seen| seen != element);
            }
        }
        let what = format!(
            "operation {} and all later reads lack {element} of key {key}, which operation {adder} had added",
            read.0
        );
        return Some((vec![read.0, adder], what));
    }
    None
}

/// A read holds an element that nobody ever added.
pub(super) fn phantom(scene: &mut Scene<'_>) -> Done {
    let read = *scene.all_reads().first()?;
    let key = scene.key(read);
    scene.seen_mut(read)?.push(NEVER);
    Some((vec![read.0], format!("operation {} reads {NEVER} in key {key}, which nobody ever added", read.0)))
}

/// A read shows its middle element twice.
pub(super) fn duplicate(scene: &mut Scene<'_>) -> Done {
    let read = scene.all_reads().into_iter().find(|&read| !scene.seen(read).is_empty())?;
    let key = scene.key(read);
    let seen = scene.seen_mut(read)?;
    let middle = seen.len() / 2;
    let element = seen[middle];
    seen.insert(middle, element);
    Some((vec![read.0], format!("operation {} reads {element} in key {key} twice", read.0)))
}

/// A read shows two elements swapped, of which one was added before the other's addition began.
pub(super) fn reorder(scene: &mut Scene<'_>) -> Done {
    let adders = scene.adders();
    for read in scene.all_reads() {
        let (seen, key) = (scene.seen(read), scene.key(read));
        let adder = |at: usize| adders.get(&(key, seen[at])).copied();
        let pairs = (1..seen.len()).flat_map(|b| (b.saturating_sub(16)..b).rev().map(move |a| (a, b)));
        let mut wrong = pairs.filter_map(|(a, b)| Some((a, b, adder(a)?, adder(b)?)));
        let found = wrong.find(|&(_, _, early, late)| scene.precedes(early, late));
        let Some((a, b, early, late)) = found else { continue };
        scene.seen_mut(read)?.swap(a, b);
        let what = format!(
            "operation {} shows the elements {a} and {b} of key {key} swapped, which operations {early} and \
             {late} had added one after the other",
            read.0
        );
        return Some((vec![read.0, early, late], what));
    }
    None
}

/// Two reads of one object show states of which neither follows from the other: of a list, two elements in
/// different orders; of a set, each lacks an element of the other.
pub(super) fn split_brain(scene: &mut Scene<'_>) -> Done {
    let mut last: HashMap<u64, Place> = HashMap::new();
    let from = scene.all_reads();
    for read in from {
        let key = scene.key(read);
        if scene.seen(read).len() < 2 {
            continue;
        }
        let Some(&other) = last.get(&key).filter(|other| other.0 != read.0) else {
            last.entry(key).or_insert(read);
            continue;
        };
        if scene.object == Object::GrowSet {
            let there: HashSet<i64> = scene.seen(other).iter().copied().collect();
            let both: Vec<i64> = scene.seen(read).iter().copied().filter(|e| there.contains(e)).collect();
            let [.., mine, others] = both[..] else { continue };
            scene.seen_mut(read)?.retain(|&seen| seen != others);
            scene.seen_mut(other)?.retain(|&seen| seen != mine);
        } else {
            let common = scene.seen(read).len().min(scene.seen(other).len());
            scene.seen_mut(read)?.swap(common - 2, common - 1);
        }
        let what = format!(
            "operations {} and {} read states of key {key} of which neither can follow the other",
            read.0, other.0
        );
        return Some((vec![read.0, other.0], what));
    }
    None
}
