//! Violations of registers and texts.

use super::{Done, Scene};
use crate::operation::{Answer, Ended, Function, Simulated};

/// A read gets the value of a write that certainly ended before another write began, which certainly ended
/// before the read began. As no value is written twice, nothing can bring it back.
pub(super) fn stale(scene: &mut Scene<'_>) -> Done {
    for read in scene.places() {
        if !matches!(scene.ops[read].function, Function::Read | Function::Get) || !scene.ops[read].is_ok() {
            continue;
        }
        let written = |scene: &Scene<'_>, before: usize| {
            (scene.before(read).start..before).rev().find(|&i| {
                matches!(scene.ops[i].function, Function::Write | Function::Put)
                    && scene.ops[i].key == scene.ops[read].key
                    && scene.precedes(i, before)
            })
        };
        let Some(newer) = written(scene, read) else { continue };
        let Some(older) = written(scene, newer) else { continue };
        let value = scene.ops[older].args[0];
        let answer = match scene.ops[read].function {
            Function::Get => Answer::Text(Some(vec![value])),
            _ if matches!(scene.ops[older].answer, Answer::Versioned(..)) => scene.ops[older].answer.clone(),
            _ => Answer::Number(value),
        };
        scene.ops[read].answer = answer;
        let what = format!(
            "operation {read} reads {value}, which operation {older} had written and operation {newer} \
             overwritten before it began"
        );
        return Some((vec![read, older, newer], what));
    }
    None
}

/// The same where values are written several times: everything that may ever have written the value ended
/// before some operation began that certainly leaves or shows another one and ended before the read began.
pub(super) fn stale_repeated(scene: &mut Scene<'_>) -> Done {
    for read in scene.places() {
        if scene.ops[read].function != Function::Read || !scene.ops[read].is_ok() {
            continue;
        }
        for value in (1..=scene.values as i64).filter(|&v| scene.ops[read].answer != Answer::Number(v)) {
            let Some(other) = overwritten(scene, read, value) else { continue };
            scene.ops[read].answer = Answer::Number(value);
            let what = format!(
                "operation {read} reads {value}, which nothing after operation {other} can have written"
            );
            return Some((vec![read, other], what));
        }
    }
    None
}

/// An operation before `read` that certainly saw or left another value after the last one that may have
/// written `value`.
fn overwritten(scene: &Scene<'_>, read: usize, value: i64) -> Option<usize> {
    let ends = scene.ops[read].ret?;
    let key = scene.ops[read].key;
    let mut last = 0;
    for op in scene.ops.iter().take_while(|op| op.call <= ends) {
        let writes = match op.function {
            Function::Write => op.args[0] == value,
            Function::Cas => op.args[1] == value,
            _ => false,
        };
        if writes && op.key == key && op.ended != Ended::Fail {
            last = last.max(op.ret?);
        }
    }
    let another = |op: &Simulated| match op.function {
        Function::Write => op.args[0] != value,
        Function::Cas => op.args[0] != value && op.args[1] != value,
        Function::Read => op.answer != Answer::Number(value),
        _ => false,
    };
    (0..read).find(|&i| {
        let op = &scene.ops[i];
        op.key == key && op.call > last && scene.precedes(i, read) && another(op)
    })
}

/// A successful compare-and-set is said to have started from the value from which an earlier one did. As
/// no value is written twice, only one of them can have found it.
pub(super) fn lost_update(scene: &mut Scene<'_>) -> Done {
    if scene.values > 0 {
        return None;
    }
    for second in scene.places() {
        let cas = |op: &Simulated| op.function == Function::Cas && op.is_ok();
        if !cas(&scene.ops[second]) {
            continue;
        }
        let key = scene.ops[second].key;
        let first = scene.before(second).rev().find(|&i| cas(&scene.ops[i]) && scene.ops[i].key == key);
        let Some(first) = first else { continue };
        let from = scene.ops[first].args[0];
        scene.ops[second].args[0] = from;
        let what = format!("operations {first} and {second} both replace the value {from}");
        return Some((vec![second, first], what));
    }
    None
}

/// A write is counted with the number of an earlier one. Every write counts, so no two can have the same.
pub(super) fn same_version(scene: &mut Scene<'_>) -> Done {
    for second in scene.places() {
        let version = |op: &Simulated| match op.answer {
            Answer::Versioned(version, _) if op.function != Function::Read && op.is_ok() => Some(version),
            _ => None,
        };
        if version(&scene.ops[second]).is_none() {
            continue;
        }
        let key = scene.ops[second].key;
        let mut before = scene.before(second).rev().filter(|&i| scene.ops[i].key == key);
        let found = before.find_map(|i| version(&scene.ops[i]).map(|version| (i, version)));
        let Some((first, taken)) = found else { continue };
        if let Answer::Versioned(version, _) = &mut scene.ops[second].answer {
            *version = taken;
        }
        let what = format!("operations {first} and {second} both make version {taken}");
        return Some((vec![second, first], what));
    }
    None
}
