//! Every effect once, whole, and for good.
//!
//! - A version of an account has one balance, whoever tells it (`two-balances`), and was made by one transfer
//!   (`version-made-twice`).
//! - A transfer has one effect, however often it is asked for (`repeated-transfer`).
//! - A balance differs from the one before by what one transfer moved, which was asked for and may have been made
//!   (`unexplained-balance`).
//! - A version grows by one with each effect, so it is at most one more than the transfers that may have had one
//!   (`version-skipped`).
//! - Who is asked for an account answers with this account (`other-account`).
//! - Accounts stay (`missing-account`); a transfer that was acknowledged is in the final balances (`lost-transfer`); one that
//!   changed one account also changed the other (`half-transfer`).

use std::collections::{BTreeMap, BTreeSet};

use ordeal_checkers::Phases;
use ordeal_core::{Anomaly, Checker, Finding, History, Operation, judge_operations};

use super::{Chains, Facts, change_of};
use crate::report::{Report, anomaly_of, which};

/// The judge.
#[derive(Clone, Copy, Debug)]
pub(in crate::accounts) struct Effects {
    /// How many accounts there are.
    pub(in crate::accounts) accounts: u64,
}

const NAME: &str = "effects";

impl Checker for Effects {
    fn name(&self) -> String {
        NAME.to_owned()
    }

    fn check(&self, history: &History) -> Finding {
        judge_operations(NAME, history, |operations| self.judge(history, &operations))
    }
}

impl Effects {
    fn judge(self, history: &History, operations: &[Operation<'_>]) -> Finding {
        let facts = Facts::of(operations);
        let chains = facts.chains();
        let mut anomalies = facts.others.clone();
        anomalies.extend(two_tellings(&facts));
        anomalies.extend(repeated(&facts));
        anomalies.extend(unexplained(&facts, &chains));
        anomalies.extend(skipped(&facts));
        anomalies.extend(missing(&facts));
        let finals = final_versions(history, &facts);
        anomalies.extend(lost(&facts, &finals));
        anomalies.extend(halves(&facts, &chains, &finals));
        let made = facts.requests.values().filter(|request| !request.receipts.is_empty()).count();
        let snapshots = facts.seen.iter().filter(|seen| seen.op.f() == "snapshot").count();
        let mut report = Report::of(anomalies, &facts.unread);
        let unseen = self.accounts.saturating_sub(finals.len() as u64);
        if unseen > 0 {
            report.undecided(format!("{unseen} accounts were not seen in the end"));
        }
        let judged = format!(
            "{made} transfers with one effect each, {snapshots} snapshots, {} accounts in the end",
            finals.len()
        );
        report
            .finding(NAME, judged, made == 0 || snapshots == 0)
            .with("transfers", made)
            .with("snapshots", snapshots)
    }
}

/// Versions that are told in two ways.
fn two_tellings(facts: &Facts<'_>) -> Vec<Anomaly> {
    let mut anomalies = Vec::new();
    let mut balances = BTreeMap::new();
    let mut makers = BTreeMap::new();
    for (account, op, request) in facts.told() {
        let at = (&account.id, account.version);
        let (balance, first) = balances.entry(at).or_insert((account.balance, op));
        if *balance != account.balance {
            let message = format!(
                "version {} of {} has balance {balance} in {} and {} in {}.",
                account.version,
                account.id,
                which(first),
                account.balance,
                which(op)
            );
            anomalies.push(anomaly_of("two-balances", Some(&account.id), message, &[first, op]));
        }
        let Some(request) = request.map(|request| &request.transfer.request_id) else { continue };
        let (maker, by) = makers.entry(at).or_insert((request, op));
        if *maker != request {
            let message = format!(
                "version {} of {} was made by transfer {maker} ({}) and by transfer {request} ({}).",
                account.version,
                account.id,
                which(by),
                which(op)
            );
            anomalies.push(anomaly_of("version-made-twice", Some(&account.id), message, &[by, op]));
        }
    }
    anomalies
}

/// Transfers whose attempts were answered with different effects.
fn repeated(facts: &Facts<'_>) -> Vec<Anomaly> {
    let mut anomalies = Vec::new();
    for (id, request) in &facts.requests {
        let Some((first, by)) = request.receipts.first() else { continue };
        for (other, op) in request.receipts.iter().filter(|(other, _)| other != first) {
            let message = format!(
                "transfer {id} has made version {} of {} ({}) and version {} ({}).",
                first.from.version,
                first.from.id,
                which(by),
                other.from.version,
                which(op)
            );
            anomalies.push(anomaly_of("repeated-transfer", Some(&first.from.id), message, &[by, op]));
        }
        let asked = (&request.transfer.from, &request.transfer.to, request.transfer.amount, id);
        if (&first.from.id, &first.to.id, first.amount, &first.request_id) != asked {
            let message = format!("{} was answered with the receipt of another transfer.", which(by));
            anomalies.push(anomaly_of("other-receipt", Some(&first.from.id), message, &[by]));
        }
    }
    anomalies
}

/// Versions that follow one another, whose balances do not.
fn unexplained(facts: &Facts<'_>, chains: &Chains<'_>) -> Vec<Anomaly> {
    let mut anomalies = Vec::new();
    for (account, chain) in chains {
        let mut made = BTreeMap::new();
        for ((&last, before), (&version, known)) in chain.iter().zip(chain.iter().skip(1)) {
            if last + 1 != version {
                continue;
            }
            let maker = known.made_by.as_ref().and_then(|id| facts.requests.get(id));
            let change = known.balance - before.balance;
            if maker.and_then(|request| change_of(&request.transfer, account)) != Some(change) {
                let by = known.made_by.as_deref().unwrap_or("no transfer that may have been made");
                let message = format!(
                    "version {last} of {account} has {} ({}), version {version} has {} ({}): {by} explains a change of \
                     {change}.",
                    before.balance,
                    which(before.told),
                    known.balance,
                    which(known.told)
                );
                let shown_by = [before.told, known.told];
                anomalies.push(anomaly_of("unexplained-balance", Some(account), message, &shown_by));
            }
            let Some(maker) = maker else { continue };
            if let Some((first, op)) = made.insert(&maker.transfer.request_id, (version, known.told)) {
                let id = &maker.transfer.request_id;
                let message =
                    format!("transfer {id} has made version {first} of {account}, and version {version}.");
                anomalies.push(anomaly_of("repeated-transfer", Some(account), message, &[op, known.told]));
            }
        }
    }
    anomalies
}

/// Accounts with more versions than there can have been effects: the first such version that was told of each.
fn skipped(facts: &Facts<'_>) -> Vec<Anomaly> {
    // Of the transfers that may have changed an account, when each was first asked for.
    let mut asked: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for request in facts.requests.values() {
        let Some(first) = request.first_call() else { continue };
        for account in [&request.transfer.from, &request.transfer.to] {
            asked.entry(account).or_default().push(first.call);
        }
    }
    asked.values_mut().for_each(|calls| calls.sort_unstable());
    let mut anomalies = BTreeMap::new();
    for (account, op, _) in facts.told() {
        let possible =
            asked.get(&*account.id).map_or(0, |calls| calls.partition_point(|&call| call < op.ret));
        if account.version > possible as u64 + 1 {
            anomalies.entry(&*account.id).or_insert_with(|| {
                let message = format!(
                    "{} shows version {} of {}, of which {possible} transfers may have been made by then.",
                    which(op),
                    account.version,
                    account.id
                );
                anomaly_of("version-skipped", Some(&account.id), message, &[op])
            });
        }
    }
    anomalies.into_values().collect()
}

/// Accounts that were opened and are not there.
fn missing(facts: &Facts<'_>) -> Vec<Anomaly> {
    let mut opened: BTreeMap<&str, &Operation<'_>> = BTreeMap::new();
    for (account, op, _) in facts.told() {
        let first = opened.entry(&account.id).or_insert(op);
        if op.ret < first.ret {
            *first = op;
        }
    }
    let mut anomalies = Vec::new();
    for seen in &facts.seen {
        for account in &seen.missing {
            if let Some(first) = opened.get(&**account).filter(|first| first.ret < seen.op.call) {
                let message = format!(
                    "{} found no account {account}, which {} had found.",
                    which(seen.op),
                    which(first)
                );
                anomalies.push(anomaly_of("missing-account", Some(account), message, &[first, seen.op]));
            }
        }
    }
    anomalies
}

/// The highest version of each account that any final read told, and the one that told it.
type Finals<'a> = BTreeMap<String, (u64, &'a Operation<'a>)>;

fn final_versions<'a>(history: &History, facts: &Facts<'a>) -> Finals<'a> {
    let phases = Phases::of(history);
    let mut finals = Finals::new();
    for seen in facts.seen.iter().filter(|seen| phases.is_final(seen.op.invoke)) {
        for account in &seen.accounts {
            let known = finals.entry(account.id.clone()).or_insert((account.version, seen.op));
            if account.version > known.0 {
                *known = (account.version, seen.op);
            }
        }
    }
    finals
}

/// Acknowledged transfers that the final reads do not reach.
fn lost(facts: &Facts<'_>, finals: &Finals<'_>) -> Vec<Anomaly> {
    let mut anomalies = Vec::new();
    for (receipt, op) in facts.requests.values().filter_map(|request| request.receipts.first()) {
        for account in [&receipt.from, &receipt.to] {
            let Some((version, last)) = finals.get(&account.id) else { continue };
            if op.ret < last.call && *version < account.version {
                let message = format!(
                    "{} made version {} of {}, which ends with version {version} ({}).",
                    which(op),
                    account.version,
                    account.id,
                    which(last)
                );
                anomalies.push(anomaly_of("lost-transfer", Some(&account.id), message, &[op, last]));
            }
        }
    }
    anomalies
}

/// Transfers that nobody has a receipt for and that changed one account, but not the other, of which all versions are known.
fn halves(facts: &Facts<'_>, chains: &Chains<'_>, finals: &Finals<'_>) -> Vec<Anomaly> {
    let made = |account: &str, request: &str| {
        let chain = chains.get(account)?;
        chain.values().find(|known| known.made_by.as_deref() == Some(request))
    };
    // All versions of these are known.
    let whole: BTreeSet<&str> = chains
        .iter()
        .filter(|(account, chain)| {
            let last = finals.get(*account).map_or(0, |(version, _)| *version);
            last > 0 && (1..=last).all(|version| chain.contains_key(&version))
        })
        .map(|(account, _)| account.as_str())
        .collect();
    let mut anomalies = Vec::new();
    for (id, request) in facts.requests.iter().filter(|(_, request)| request.receipts.is_empty()) {
        let (from, to) = (&*request.transfer.from, &*request.transfer.to);
        for (one, other) in [(from, to), (to, from)] {
            let (Some(half), None, true) = (made(one, id), made(other, id), whole.contains(other)) else {
                continue;
            };
            let Some((_, last)) = finals.get(other).filter(|(_, last)| half.told.ret < last.call) else {
                continue;
            };
            let message = format!(
                "transfer {id} of {} has changed {one}, says {}, and {other} was never changed by it, as {} shows last.",
                request.transfer.amount,
                which(half.told),
                which(last)
            );
            anomalies.push(anomaly_of("half-transfer", Some(one), message, &[half.told, last]));
        }
    }
    anomalies
}
