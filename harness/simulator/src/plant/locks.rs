//! Violations of locks.

use super::{Done, Scene};
use crate::operation::{Answer, Ended, Function};

/// A refused acquisition is granted, though it began after another was granted and ended before that one
/// was given back; and no release of unknown outcome had begun that might have freed the lock meanwhile.
pub(super) fn double_grant(scene: &mut Scene<'_>) -> Done {
    for second in scene.places() {
        let op = &scene.ops[second];
        if op.function != Function::Acquire || op.ended != Ended::Fail {
            continue;
        }
        let (key, ends) = (op.key, op.ret);
        let mut granted = scene.before(second).rev();
        let first = granted.find(|&i| {
            let op = &scene.ops[i];
            op.function == Function::Acquire && op.key == key && scene.precedes(i, second)
        });
        let Some(first) = first else { continue };
        let loosens = |i: usize| {
            let op = &scene.ops[i];
            let open = op.ended == Ended::Open;
            let back = i > first && op.process == scene.ops[first].process;
            op.function == Function::Release && op.key == key && (open || back)
        };
        let mut begun = (0..scene.ops.len()).take_while(|&i| Some(scene.ops[i].call) < ends);
        if begun.any(loosens) {
            continue;
        }
        let Answer::Number(token) = scene.ops[first].answer else { continue };
        (scene.ops[second].ended, scene.ops[second].answer) = (Ended::Ok, Answer::Number(token + 1));
        let what = format!("operation {second} is granted the lock that operation {first} had acquired");
        return Some((vec![second, first], what));
    }
    None
}

/// A lock is granted with the token of an earlier grant, and given back with it.
pub(super) fn token_regression(scene: &mut Scene<'_>) -> Done {
    for second in scene.places() {
        let acquired = |i: usize, key: u64| {
            let op = &scene.ops[i];
            op.function == Function::Acquire && op.key == key && op.is_ok()
        };
        let key = scene.ops[second].key;
        if !acquired(second, key) {
            continue;
        }
        let mut before = scene.before(second).rev();
        let Some(first) = before.find(|&i| acquired(i, key) && scene.precedes(i, second)) else {
            continue;
        };
        let Answer::Number(token) = scene.ops[first].answer else { continue };
        scene.ops[second].answer = Answer::Number(token);
        let process = scene.ops[second].process;
        let next = (second + 1..scene.ops.len()).find(|&i| scene.ops[i].process == process);
        if let Some(release) = next.filter(|&i| scene.ops[i].function == Function::Release) {
            scene.ops[release].args[0] = token;
        }
        let what = format!("operations {first} and {second} are both granted the lock with token {token}");
        return Some((vec![second, first], what));
    }
    None
}
