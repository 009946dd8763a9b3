//! Every answer belongs to the request of the one who gets it: correlation id and details come back as they were asked.

use ordeal_core::{Checker, Finding, History, Operation, Verdict, judge_operations};
use serde::Deserialize;

use super::super::Details;
use super::super::answers::{Answer, Status};
use super::{conclude, trade_of};
use crate::report::{anomaly_of, result, which};

/// The judge.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::trades) struct Answers;

const NAME: &str = "answers";

impl Checker for Answers {
    fn name(&self) -> String {
        NAME.to_owned()
    }

    fn check(&self, history: &History) -> Finding {
        judge_operations(NAME, history, |operations| judge(&operations))
    }
}

fn judge(operations: &[Operation<'_>]) -> Finding {
    let (mut anomalies, mut unread, mut answered) = (Vec::new(), Vec::new(), 0);
    for op in operations {
        let Some(trade) = trade_of(op) else { continue };
        match result::<Answer>(op) {
            Ok(Some(answer)) => {
                answered += 1;
                if let Some(why) = foreign(op, trade, &answer) {
                    let message = format!("{} about {trade} was answered {why}.", which(op));
                    anomalies.push(anomaly_of("swapped-reply", Some(trade), message, &[op]));
                }
            }
            Ok(None) => {}
            Err(why) => unread.push(why),
        }
    }
    let otherwise = match answered {
        0 => (Verdict::Vacuous, "nothing was answered".to_owned()),
        _ => (Verdict::Valid, format!("{answered} answers, each to the request of its client")),
    };
    conclude(NAME, anomalies, &unread, otherwise)
}

/// In which way the answer is that to another request.
fn foreign(op: &Operation<'_>, trade: &str, answer: &Answer) -> Option<String> {
    if answer.correlation_id != trade {
        return Some(format!("about {}", answer.correlation_id));
    }
    let asked = Details::deserialize(op.input()).ok().filter(|_| op.f() == "submit")?;
    let told = answer.details.as_ref();
    let matter = answer.status >= Status::Confirmed || told.is_some();
    (matter && told != Some(&asked)).then(|| format!("with other details: {told:?}"))
}
