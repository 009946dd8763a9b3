//! Violations of transactions. What one reads after its own writes to the same object is left alone.

use super::{Done, NEVER, Scene};
use crate::operation::{Simulated, Step, What};

/// The value that a transaction leaves in a register.
fn leaves(op: &Simulated, key: u64) -> Option<i64> {
    op.steps.iter().rev().find_map(|step| match step.what {
        What::Write(value) if step.key == key => Some(value),
        _ => None,
    })
}

/// The reads of a transaction that see the work of others, each with whether the transaction writes the
/// same object later and does not read it again.
fn outer_reads(op: &Simulated) -> Vec<(usize, bool)> {
    let writes = |step: &Step| matches!(step.what, What::Write(_) | What::Append(_));
    let mut reads = Vec::new();
    for (i, step) in op.steps.iter().enumerate() {
        let same = |other: &&Step| other.key == step.key;
        let overwritten = op.steps[..i].iter().filter(same).any(writes);
        if op.is_ok() && !writes(step) && !overwritten {
            let mut others = op.steps.iter().filter(same);
            let alone = others.clone().filter(|s| !writes(s)).count() == 1;
            reads.push((i, alone && others.any(writes)));
        }
    }
    reads
}

/// A read gets the value of a transaction that certainly ended before another one began, which wrote the
/// same register and certainly ended before the reader began. No value is written twice.
pub(super) fn stale(scene: &mut Scene<'_>) -> Done {
    for reader in scene.places() {
        for (step, _) in outer_reads(&scene.ops[reader]) {
            let key = scene.ops[reader].steps[step].key;
            let written = |before: usize| {
                (scene.before(reader).start..before).rev().find_map(|i| {
                    let value = leaves(&scene.ops[i], key)?;
                    scene.precedes(i, before).then_some((i, value))
                })
            };
            let Some((newer, _)) = written(reader) else { continue };
            let Some((older, value)) = written(newer) else { continue };
            scene.ops[reader].steps[step].what = What::Value(value);
            let what = format!(
                "operation {reader} reads {value} in key {key}, which operation {older} had written and \
                 operation {newer} overwritten before it began"
            );
            return Some((vec![reader, older, newer], what));
        }
    }
    None
}

/// Two transactions read the same state of an object and then both change it. Whichever came second had
/// to see the other's change, for no value is written twice.
pub(super) fn lost_update(scene: &mut Scene<'_>) -> Done {
    for second in scene.places() {
        for (step, updates) in outer_reads(&scene.ops[second]) {
            if !updates {
                continue;
            }
            let key = scene.ops[second].steps[step].key;
            let found = scene.before(second).rev().find_map(|first| {
                let mut reads = outer_reads(&scene.ops[first]).into_iter();
                let read = reads.find(|&(i, updates)| updates && scene.ops[first].steps[i].key == key)?;
                Some((first, scene.ops[first].steps[read.0].what.clone()))
            });
            let Some((first, seen)) = found else { continue };
            scene.ops[second].steps[step].what = seen;
            let what = format!("operations {first} and {second} both change what they read in key {key}");
            return Some((vec![second, first], what));
        }
    }
    None
}

/// A read gets a value that nobody ever wrote.
pub(super) fn phantom(scene: &mut Scene<'_>) -> Done {
    for reader in scene.places() {
        if let Some(&(step, _)) = outer_reads(&scene.ops[reader]).first() {
            scene.ops[reader].steps[step].what = What::Value(NEVER);
            return Some((
                vec![reader],
                format!("operation {reader} reads {NEVER}, which nobody ever wrote"),
            ));
        }
    }
    None
}
