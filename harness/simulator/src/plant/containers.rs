//! Violations of objects that elements are put into and taken from one by one.

use super::{Done, Scene};
use crate::objects::Object;
use crate::operation::{Answer, Ended, Function};

/// Two takes, one certainly after the other, swap their elements, where that is certainly the wrong order:
/// of a queue, both were put one after the other before the first take; of a stack, the same; of a
/// priority queue, the greater was put before the first take.
pub(super) fn reorder(scene: &mut Scene<'_>) -> Done {
    let givers = scene.givers();
    for first in scene.places() {
        let key = scene.ops[first].key;
        let Some(early) = scene.ops[first].taken() else { continue };
        let Some(&gave_early) = givers.get(&(key, early)) else { continue };
        if scene.ops[gave_early].ended == Ended::Open {
            continue;
        }
        for second in scene.after(first) {
            let Some(late) = scene.ops[second].taken().filter(|_| scene.ops[second].key == key) else {
                continue;
            };
            if !scene.precedes(first, second) {
                continue;
            }
            let Some(&gave_late) = givers.get(&(key, late)) else { continue };
            let wrong = match scene.object {
                Object::Stack => scene.precedes(gave_late, gave_early) && scene.precedes(gave_early, first),
                Object::PriorityQueue => early > late && scene.precedes(gave_early, first),
                _ => scene.precedes(gave_early, gave_late) && scene.precedes(gave_late, first),
            };
            if !wrong {
                continue;
            }
            scene.ops[first].answer = Answer::Number(late);
            scene.ops[second].answer = Answer::Number(early);
            let what = format!("operation {first} takes {late} and operation {second} {early}, swapped");
            return Some((vec![first, second], what));
        }
    }
    None
}

/// A take finds nothing, though an element was put before it began and taken after it ended.
pub(super) fn lost(scene: &mut Scene<'_>) -> Done {
    let givers = scene.givers();
    for empty in scene.places() {
        let key = scene.ops[empty].key;
        let Some(gone) = scene.ops[empty].taken() else { continue };
        let there = scene.after(empty).find_map(|taker| {
            let element = scene.ops[taker].taken().filter(|_| scene.ops[taker].key == key)?;
            let giver = *givers.get(&(key, element))?;
            let all_along = scene.precedes(giver, empty) && scene.precedes(empty, taker);
            all_along.then_some((giver, taker, element))
        });
        let Some((giver, taker, element)) = there else { continue };
        scene.ops[empty].answer = Answer::Number(0);
        let what = format!(
            "operation {empty} finds nothing, instead of {gone}, while {element} was there: put by \
             operation {giver}, taken by operation {taker}"
        );
        return Some((vec![empty, giver, taker], what));
    }
    None
}

/// A take gets an element that an earlier one took. As none is put twice, only one can have it.
pub(super) fn duplicate(scene: &mut Scene<'_>) -> Done {
    for second in scene.places() {
        let key = scene.ops[second].key;
        if scene.ops[second].taken().is_none() {
            continue;
        }
        let taken = |i: usize| scene.ops[i].taken().filter(|_| scene.ops[i].key == key);
        let found = scene.before(second).rev().find_map(|i| taken(i).map(|element| (i, element)));
        let Some((first, element)) = found else { continue };
        scene.ops[second].answer = Answer::Number(element);
        let what = format!("operations {first} and {second} both take {element}");
        return Some((vec![second, first], what));
    }
    None
}

/// A set denies an element that was added before the question, while every removal of it that may have
/// taken effect ended before that addition or began after the answer.
pub(super) fn absent(scene: &mut Scene<'_>) -> Done {
    for question in scene.places() {
        let op = &scene.ops[question];
        if op.function != Function::Contains || op.answer != Answer::Number(1) || !op.is_ok() {
            continue;
        }
        let (key, element, ends) = (op.key, op.args[0], op.ret);
        let about = |i: usize, function| {
            let op = &scene.ops[i];
            op.function == function && op.key == key && op.args[0] == element
        };
        let mut additions = scene.before(question).rev();
        let addition = additions.find(|&i| about(i, Function::AddNew) && scene.precedes(i, question));
        let Some(addition) = addition else { continue };
        let begun = (0..scene.ops.len()).take_while(|&i| Some(scene.ops[i].call) < ends);
        let mut removals = begun.filter(|&i| about(i, Function::Remove) && scene.ops[i].ended != Ended::Fail);
        if !removals.all(|i| scene.ops[i].precedes(&scene.ops[addition])) {
            continue;
        }
        scene.ops[question].answer = Answer::Number(0);
        let what = format!(
            "operation {question} denies {element}, which operation {addition} had added and nobody removed"
        );
        return Some((vec![question, addition], what));
    }
    None
}
