//! Audit feeds at the end: every acknowledged price is in one, nothing else is, and tokens never decrease.
//!
//! A price is acknowledged when a majority of the price nodes took it, so it is in the feed of at least one node of
//! any set that leaves out less than a majority. Only the last feed that each node showed counts.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ordeal_core::{Checker, EventKind, Finding, History, Key, Operation, judge_operations};
use serde_json::Value;

use crate::report::{Report, node, told};
use crate::stocks::two_numbers;

const NAME: &str = "audit-feeds";

/// The judge.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct AuditFeeds {
    /// How many nodes keep feeds.
    pub(in super::super) price_nodes: usize,
}

/// All that was seen of a symbol.
#[derive(Default)]
struct Symbol<'h> {
    updates: Vec<Operation<'h>>,
    /// The last feed that each node showed.
    feeds: BTreeMap<&'h str, Operation<'h>>,
}

#[derive(Default)]
struct Total {
    acknowledged: usize,
    entries: usize,
    feeds: usize,
    /// Symbols of which too few feeds are known.
    unread: usize,
    report: Report,
}

impl Checker for AuditFeeds {
    fn name(&self) -> String {
        NAME.to_owned()
    }

    fn check(&self, history: &History) -> Finding {
        judge_operations(NAME, history, |operations| self.judge_all(operations))
    }
}

impl AuditFeeds {
    fn judge_all(&self, operations: Vec<Operation<'_>>) -> Finding {
        let mut symbols: BTreeMap<Option<&Key>, Symbol<'_>> = BTreeMap::new();
        for op in operations {
            match op.f() {
                "update" => symbols.entry(op.key()).or_default().updates.push(op),
                "audit" if op.output().is_some() => {
                    symbols.entry(op.key()).or_default().feeds.insert(node(&op), op);
                }
                _ => {}
            }
        }
        let mut total = Total::default();
        for (key, symbol) in &symbols {
            self.judge(*key, symbol, &mut total);
        }
        total.conclude()
    }
}

/// Reads a feed.
fn entries(feed: &Value) -> Option<Vec<(u64, u64)>> {
    feed.as_array()?.iter().map(two_numbers).collect()
}

impl AuditFeeds {
    fn judge(&self, key: Option<&Key>, symbol: &Symbol<'_>, total: &mut Total) {
        let asked: HashMap<(u64, u64), &Operation<'_>> =
            symbol.updates.iter().filter_map(|op| Some((two_numbers(op.input())?, op))).collect();
        let mut audited: BTreeSet<(u64, u64)> = BTreeSet::new();
        for feed in symbol.feeds.values() {
            let Some(entries) = feed.output().and_then(entries) else {
                total.unread += 1;
                continue;
            };
            total.feeds += 1;
            total.entries += entries.len();
            judge_feed(key, feed, &entries, &asked, &mut total.report);
            audited.extend(entries);
        }
        let majority = self.price_nodes / 2 + 1;
        if symbol.feeds.len() + majority <= self.price_nodes {
            total.unread += 1;
            return;
        }
        let first_read = symbol.feeds.values().map(|feed| feed.call).min().unwrap_or(0);
        for (what, update) in &asked {
            if update.kind() != EventKind::Ok || update.ret >= first_read {
                continue;
            }
            total.acknowledged += 1;
            if !audited.contains(what) {
                total.report.note("lost-price", key, &[update], || {
                    format!("{} was acknowledged, but is in no audit feed.", told(update))
                });
            }
        }
    }
}

fn judge_feed(
    key: Option<&Key>,
    feed: &Operation<'_>,
    entries: &[(u64, u64)],
    asked: &HashMap<(u64, u64), &Operation<'_>>,
    report: &mut Report,
) {
    let at = node(feed);
    let mut seen = BTreeSet::new();
    for (place, entry) in entries.iter().enumerate() {
        let (token, price) = *entry;
        let name_it = |what: &str| {
            format!("entry {place} of the feed of {at}, price {price} by token {token}, {what}.")
        };
        let before = place.checked_sub(1).map(|before| entries[before].0);
        if let Some(before) = before.filter(|before| *before > token) {
            let what = format!("follows one by token {before}");
            report.note("token-decreased", key, &[feed], || name_it(&what));
        }
        match asked.get(entry) {
            None => {
                report.note("invented-price", key, &[feed], || name_it("was never asked for"));
            }
            Some(update) if update.kind() == EventKind::Fail => {
                report.note("refused-yet-audited", key, &[update, feed], || name_it("was certainly refused"));
            }
            Some(_) => {}
        }
        if !seen.insert(price) {
            report.note("doubled-price", key, &[feed], || name_it("is there twice"));
        }
    }
}

impl Total {
    fn conclude(mut self) -> Finding {
        if self.unread > 0 {
            self.report.undecided(format!("of {} symbols too few audit feeds are known", self.unread));
        }
        let judged = format!("{} acknowledged prices, {} feeds", self.acknowledged, self.feeds);
        self.report
            .finding(NAME, judged, self.acknowledged == 0 || self.feeds == 0)
            .with("acknowledged", self.acknowledged)
            .with("entries", self.entries)
    }
}
