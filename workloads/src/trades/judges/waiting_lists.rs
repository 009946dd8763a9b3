//! No request waits longer than the node says it may (`entry-too-old`), and in the end none waits (`entry-leaked`).

use ordeal_checkers::Phases;
use ordeal_core::{Checker, Finding, History, Operation, Verdict, judge_operations};

use super::super::answers::WaitingList;
use super::conclude;
use crate::report::{anomaly_of, result, which};

/// The judge.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::trades) struct WaitingLists;

const NAME: &str = "waiting-lists";
/// How much older than it may an entry is taken for an error of measurement, in milliseconds.
const SLACK_MS: u64 = 500;

impl Checker for WaitingLists {
    fn name(&self) -> String {
        NAME.to_owned()
    }

    fn check(&self, history: &History) -> Finding {
        judge_operations(NAME, history, |operations| judge(history, &operations))
    }
}

fn judge(history: &History, operations: &[Operation<'_>]) -> Finding {
    let phases = Phases::of(history);
    let (mut anomalies, mut unread, mut entries, mut finals) = (Vec::new(), Vec::new(), 0, 0);
    for op in operations.iter().filter(|op| op.f() == "waiting-list") {
        let list = match result::<WaitingList>(op) {
            Ok(Some(list)) => list,
            Ok(None) => continue,
            Err(why) => {
                unread.push(why);
                continue;
            }
        };
        let is_final = phases.is_final(op.invoke);
        finals += usize::from(is_final);
        for entry in list.pending {
            entries += 1;
            let trade = Some(&*entry.correlation_id);
            if entry.age_ms > list.expiry_ms + SLACK_MS {
                let message =
                    format!("{}: {entry:?}, but {} ms is as long as it may.", which(op), list.expiry_ms);
                anomalies.push(anomaly_of("entry-too-old", trade, message, &[op]));
            }
            if is_final {
                let message = format!("{}: {entry:?} still waits in the end.", which(op));
                anomalies.push(anomaly_of("entry-leaked", trade, message, &[op]));
            }
        }
    }
    let otherwise = match (finals, entries) {
        (0, _) => (Verdict::Unknown, "no waiting list was seen in the end".to_owned()),
        (_, 0) => (Verdict::Vacuous, "no request was ever seen waiting".to_owned()),
        _ => (Verdict::Valid, format!("{entries} entries seen, none too old, none left in the end")),
    };
    conclude(NAME, anomalies, &unread, otherwise)
}
