//! Violations of objects that add up. Counters are only ever added to.

use super::{Done, Scene};
use crate::operation::{Answer, Ended, Function};

impl Scene<'_> {
    /// The least and the greatest sum a read may see: what was added before it began, and all that may have
    /// been added before it ended.
    fn sums(&self, read: usize) -> (i64, i64) {
        let (mut least, mut greatest) = (0, 0);
        for (i, op) in self.ops.iter().enumerate() {
            if op.function != Function::Increment || op.key != self.ops[read].key {
                continue;
            }
            if self.precedes(i, read) {
                least += op.args[0];
            }
            if op.ended != Ended::Fail && Some(op.call) < self.ops[read].ret {
                greatest += op.args[0];
            }
        }
        (least, greatest)
    }

    fn counts(&self, i: usize) -> bool {
        self.ops[i].function == Function::Count && self.ops[i].is_ok()
    }
}

/// A read of a counter sees one less than what was added before it began.
pub(super) fn stale(scene: &mut Scene<'_>) -> Done {
    let reads = scene.places().filter(|&i| scene.counts(i));
    let (read, least) = reads.map(|i| (i, scene.sums(i).0)).find(|&(_, least)| least > 0)?;
    scene.ops[read].answer = Answer::Number(least - 1);
    let what = format!("operation {read} reads {}, after {least} had been added", least - 1);
    Some((vec![read], what))
}

/// A read of a counter sees one more than can have been added; a read of all accounts, one more than there is.
pub(super) fn off_by(scene: &mut Scene<'_>) -> Done {
    let accounts = |i: &usize| matches!(scene.ops[*i].answer, Answer::Accounts(_)) && scene.ops[*i].is_ok();
    if let Some(read) = scene.places().find(accounts) {
        if let Answer::Accounts(balances) = &mut scene.ops[read].answer {
            *balances.first_mut()? += 1;
        }
        return Some((vec![read], format!("operation {read} reads one more in the first account")));
    }
    let read = scene.places().find(|&i| scene.counts(i))?;
    let (_, greatest) = scene.sums(read);
    scene.ops[read].answer = Answer::Number(greatest + 1);
    let what = format!("operation {read} reads {}, where at most {greatest} had been added", greatest + 1);
    Some((vec![read], what))
}
