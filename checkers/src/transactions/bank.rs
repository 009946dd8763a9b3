//! A bank: transfers move money between accounts, so every read of all accounts has the same total.
//!
//! Reads are `read` operations whose result maps accounts to balances. The total is the one that is given,
//! or that of the read that began first. A read with another total, an account too many or too few, a
//! balance that is no number, or (unless overdrafts are allowed) below zero, is a violation of its own. In
//! snapshot isolation and anything stronger none can be.

use ordeal_core::{
    Anomaly, Checker, EventKind, Finding, History, Intake, Operation, Verdict, check_operations,
};
use serde_json::{Value, json};

use super::steps::Txn;
use crate::models::Atom;
use crate::words::count;
use crate::{About, Options};

/// How lists show it.
pub(crate) const ABOUT: About =
    About { name: "bank", about: "every read of all accounts has the same total, and no balance below zero" };

/// How many anomalies of a kind are told.
const TOLD: usize = 8;
/// The kinds, gravest first.
const KINDS: [&str; 5] =
    ["wrong-total", "negative-value", "missing-account", "unexpected-account", "no-number"];

/// The judge.
#[derive(Clone, Debug, Default)]
pub struct Bank {
    /// The total, or the first balances.
    initial: Option<Value>,
    overdraft: bool,
}

impl Bank {
    /// Sets what a person may say: the total or the balances at the beginning, and whether accounts may be
    /// overdrawn.
    #[must_use]
    pub fn with_options(self, options: &Options) -> Self {
        Bank { initial: options.initial.clone(), overdraft: options.overdraft }
    }
}

impl Checker for Bank {
    fn name(&self) -> String {
        ABOUT.name.to_owned()
    }

    fn check(&self, history: &History) -> Finding {
        let intake = AtWork { judge: self, reads: Vec::new(), error: None };
        check_operations(self.name(), Box::new(intake), history)
    }

    fn intake(&self) -> Option<Box<dyn Intake + '_>> {
        Some(Box::new(AtWork { judge: self, reads: Vec::new(), error: None }))
    }
}

/// The balances of all accounts, by account; `None` is no number.
type Balances = Vec<(Atom, Option<i64>)>;

struct AtWork<'a> {
    judge: &'a Bank,
    reads: Vec<(Txn, Balances)>,
    error: Option<String>,
}

impl Intake for AtWork<'_> {
    fn take(&mut self, op: &Operation<'_>) {
        if op.f() != "read" || op.kind() != EventKind::Ok || self.error.is_some() {
            return;
        }
        match op.output().and_then(balances) {
            Some(balances) => self.reads.push((Txn::of(op), balances)),
            None => {
                let why = "a bank is read as a map from accounts to balances";
                self.error = Some(format!("event {}: {why}", op.index()));
            }
        }
    }

    fn finish(mut self: Box<Self>) -> Finding {
        if let Some(why) = self.error {
            return Finding::new(ABOUT.name, Verdict::Unknown, why);
        }
        self.reads.sort_by_key(|(txn, _)| (txn.start, txn.index));
        let Some((_, first)) = self.reads.first() else {
            return Finding::new(ABOUT.name, Verdict::Vacuous, "no read succeeded");
        };
        let given = self.judge.initial.as_ref();
        let given_total = given.and_then(Value::as_i64).map(i128::from);
        let given_balances = given.and_then(balances);
        let expected = given_balances.as_ref().unwrap_or(first);
        let total = given_total.unwrap_or_else(|| sum(expected));
        let accounts: Vec<Atom> = expected.iter().map(|b| b.0).collect();
        let mut told: [Vec<Anomaly>; KINDS.len()] = Default::default();
        let mut counts = [0_usize; KINDS.len()];
        for (txn, balances) in &self.reads {
            for (kind, message) in self.judge.wrong(balances, total, &accounts) {
                counts[kind] += 1;
                if told[kind].len() < TOLD {
                    told[kind].push(anomaly(kind, txn, &message));
                }
            }
        }
        let what = format!("{} of {}", count(self.reads.len(), "read"), count(accounts.len(), "account"));
        let kinds = KINDS.iter().zip(counts).filter(|(_, n)| *n > 0);
        let found: Vec<String> = kinds.map(|(kind, n)| format!("{kind} {n}")).collect();
        let (verdict, summary) = match found.is_empty() {
            true => (Verdict::Valid, format!("every total is {total} ({what})")),
            false => (Verdict::Invalid, format!("{} ({what})", found.join(", "))),
        };
        let mut finding = Finding::new(ABOUT.name, verdict, summary)
            .with("reads", self.reads.len())
            .with("accounts", accounts.len())
            .with("total", total.to_string());
        finding.anomalies = told.into_iter().flatten().collect();
        finding
    }
}

/// A map as an object or as a list of pairs.
fn balances(value: &Value) -> Option<Balances> {
    let mut balances: Balances = match value {
        Value::Object(map) => map.iter().map(|(account, b)| (account_named(account), b.as_i64())).collect(),
        Value::Array(pairs) => {
            let pair = |pair: &Value| match pair.as_array().map(Vec::as_slice) {
                Some([account, balance]) => Some((Atom::from(account), balance.as_i64())),
                _ => None,
            };
            pairs.iter().map(pair).collect::<Option<_>>()?
        }
        _ => return None,
    };
    balances.sort_unstable_by_key(|b| b.0);
    Some(balances)
}

/// Objects have texts for keys; an account may well be a number elsewhere.
fn account_named(name: &str) -> Atom {
    name.parse().map_or_else(|_| Atom::from(&Value::from(name)), Atom::int)
}

fn sum(balances: &Balances) -> i128 {
    balances.iter().filter_map(|b| b.1).map(i128::from).sum()
}

impl Bank {
    /// What is wrong with one read: kinds, and what to say.
    fn wrong(&self, balances: &Balances, total: i128, accounts: &[Atom]) -> Vec<(usize, String)> {
        let mut wrong = Vec::new();
        let found = sum(balances);
        if found != total {
            wrong.push((0, format!("a total of {found}, {} than {total}", more_or_less(found - total))));
        }
        let negative = balances.iter().filter(|b| b.1.is_some_and(|n| n < 0)).map(show);
        let negative: Vec<String> = negative.collect();
        if !self.overdraft && !negative.is_empty() {
            wrong.push((1, format!("balances below zero: {}", negative.join(", "))));
        }
        let has = |account: &Atom| balances.binary_search_by_key(account, |b| b.0).is_ok();
        let missing: Vec<String> = accounts.iter().filter(|a| !has(a)).map(Atom::to_string).collect();
        if !missing.is_empty() {
            wrong.push((2, format!("no account {}", missing.join(", "))));
        }
        let further = balances.iter().filter(|b| accounts.binary_search(&b.0).is_err()).map(show);
        let further: Vec<String> = further.collect();
        if !further.is_empty() {
            wrong.push((3, format!("accounts that there are not: {}", further.join(", "))));
        }
        let none: Vec<String> = balances.iter().filter(|b| b.1.is_none()).map(|b| b.0.to_string()).collect();
        if !none.is_empty() {
            wrong.push((4, format!("balances that are no whole numbers: of {}", none.join(", "))));
        }
        wrong
    }
}

fn show(balance: &(Atom, Option<i64>)) -> String {
    format!("{}: {}", balance.0, balance.1.map_or_else(|| "?".to_owned(), |n| n.to_string()))
}

fn more_or_less(difference: i128) -> String {
    if difference > 0 { format!("{difference} more") } else { format!("{} less", -difference) }
}

fn anomaly(kind: usize, txn: &Txn, message: &str) -> Anomaly {
    Anomaly {
        name: KINDS[kind].to_owned(),
        message: format!("{} (process {}) read {message}.", txn.name(), txn.process),
        key: None,
        events: txn.events().collect(),
        details: json!(null),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transactions::testing::names;

    fn history(reads: &[Value]) -> History {
        let mut history = History::default();
        for (i, read) in reads.iter().enumerate() {
            for (kind, value) in [("invoke", &Value::Null), ("ok", read)] {
                let index = history.events.len();
                let event = json!({ "index": index, "time": index, "process": i, "type": kind, "f": "read", "value": value });
                history.events.push(serde_json::from_value(event).unwrap());
            }
        }
        history
    }

    #[test]
    fn each_kind_of_wrong_read_is_named() {
        let right = json!({"0": 5, "1": 5});
        let cases = [
            (json!({"0": 7, "1": 3}), vec![]),
            (json!([[0, 7], [1, 3]]), vec![]),
            (json!({"0": 7, "1": 4}), vec!["wrong-total"]),
            (json!({"0": 11, "1": -1}), vec!["negative-value"]),
            (json!({"0": 10}), vec!["missing-account"]),
            (json!({"0": 9, "1": 0, "2": 1}), vec!["unexpected-account"]),
            (json!({"0": 10, "1": null}), vec!["no-number"]),
        ];
        for (read, expected) in cases {
            let finding = Bank::default().check(&history(&[right.clone(), read]));
            assert_eq!(names(&finding), expected);
            assert_eq!(finding.verdict == Verdict::Valid, expected.is_empty());
        }
    }

    #[test]
    fn options_say_what_is_right() {
        let reads = [json!({"0": 11, "1": -1})];
        let options = |initial, overdraft| Options { initial, overdraft, ..Options::default() };
        let verdict =
            |options: Options| Bank::default().with_options(&options).check(&history(&reads)).verdict;
        assert_eq!(verdict(options(None, false)), Verdict::Invalid);
        assert_eq!(verdict(options(None, true)), Verdict::Valid);
        assert_eq!(verdict(options(Some(json!(10)), true)), Verdict::Valid);
        assert_eq!(verdict(options(Some(json!(11)), true)), Verdict::Invalid);
        assert_eq!(verdict(options(Some(json!({"0": 5, "1": 5})), true)), Verdict::Valid);
        assert_eq!(verdict(options(Some(json!({"0": 5, "2": 5})), true)), Verdict::Invalid);
    }

    #[test]
    fn huge_balances_do_not_overflow() {
        let reads = [json!({"0": i64::MAX, "1": i64::MAX}), json!({"0": i64::MAX, "1": 1.5})];
        assert_eq!(names(&Bank::default().check(&history(&reads))), ["wrong-total", "no-number"]);
    }
}
