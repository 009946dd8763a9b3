//! Fencing tokens in real time: nobody acts by an older token once somebody has acted by a newer one.
//!
//! An operation *acts by* a token if its answer says so: a grant, a renewal, an accepted update, a strong read (by
//! that of the holder which answered), a look at who holds the lease. If it began after another one of the
//! same symbol had ended, its token must not be older. And a token is of one node.

use std::collections::BTreeMap;

use ordeal_core::{Checker, Finding, History, Key, Operation, judge_operations};

use crate::report::{Report, node, told};

const NAME: &str = "fencing-tokens";

/// The judge.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct FencingTokens;

/// An operation and the token it acted by.
struct Act<'h> {
    op: Operation<'h>,
    token: u64,
}

fn token(op: &Operation<'_>) -> Option<u64> {
    let output = op.output()?;
    match op.f() {
        "acquire" | "renew" => output.as_u64(),
        "update" | "read" | "lookup" => output.get(0)?.as_u64(),
        _ => None,
    }
}

/// What it is called when an operation of this kind acts by an older token.
fn anomaly_of(f: &str) -> &'static str {
    match f {
        "update" => "older-token-accepted",
        "read" => "older-holder-served",
        "renew" => "lost-lease-renewed",
        "lookup" => "older-lease-shown",
        _ => "token-not-growing",
    }
}

impl Checker for FencingTokens {
    fn name(&self) -> String {
        NAME.to_owned()
    }

    fn check(&self, history: &History) -> Finding {
        judge_operations(NAME, history, judge_all)
    }
}

fn judge_all(operations: Vec<Operation<'_>>) -> Finding {
    let mut symbols: BTreeMap<Option<&Key>, Vec<Act<'_>>> = BTreeMap::new();
    for op in operations {
        if let Some(token) = token(&op) {
            symbols.entry(op.key()).or_default().push(Act { op, token });
        }
    }
    let (mut acts, mut tokens, mut report) = (0, 0, Report::default());
    for (key, mut of_symbol) in symbols {
        of_symbol.sort_by_key(|act| (act.op.call, act.op.index()));
        acts += of_symbol.len();
        tokens += holders(key, &of_symbol, &mut report);
        in_order(key, &of_symbol, &mut report);
    }
    let judged = format!("{acts} operations by {tokens} tokens in order of real time");
    report.finding(NAME, judged, acts == 0).with("operations", acts).with("tokens", tokens)
}

/// Compares each act with the newest token of those that had ended before. They come in order of beginning.
fn in_order(key: Option<&Key>, acts: &[Act<'_>], report: &mut Report) {
    let mut by_end: Vec<&Act<'_>> = acts.iter().collect();
    by_end.sort_by_key(|act| act.op.ret);
    let mut ended = by_end.into_iter().peekable();
    let mut newest: Option<&Act<'_>> = None;
    for act in acts {
        while let Some(before) = ended.next_if(|before| before.op.ret < act.op.call) {
            newest = newest.filter(|newest| newest.token >= before.token).or(Some(before));
        }
        if let Some(newer) = newest.filter(|newest| newest.token > act.token) {
            report.note(anomaly_of(act.op.f()), key, &[&newer.op, &act.op], || {
                format!(
                    "{} went by the token {}, but {} had gone by {} before.",
                    told(&act.op),
                    act.token,
                    told(&newer.op),
                    newer.token
                )
            });
        }
    }
}

/// Whether every token is of one node; answers how many tokens there are. Only what the node asked does
/// itself tells: a read may have been passed on.
fn holders(key: Option<&Key>, acts: &[Act<'_>], report: &mut Report) -> usize {
    let mut holders: BTreeMap<u64, &Act<'_>> = BTreeMap::new();
    for act in acts.iter().filter(|act| matches!(act.op.f(), "acquire" | "renew" | "update")) {
        let first = *holders.entry(act.token).or_insert(act);
        if node(&first.op) != node(&act.op) {
            report.note("token-of-two", key, &[&first.op, &act.op], || {
                format!("the token {} is of two nodes: {}; {}.", act.token, told(&first.op), told(&act.op))
            });
        }
    }
    holders.len()
}
