//! Each premium adjustment is applied once, to all its policies or to none.
//!
//! In the final reads every policy costs its first premium and the amounts of the adjustments of it that took effect:
//! all that were acknowledged, and some of those whose outcome is unknown, the same ones for all policies. Amounts are
//! drawn so that no two sums are equal by chance.

use std::collections::BTreeMap;

use ordeal_core::{Anomaly, Checker, EventKind, Finding, History, Operation, Verdict, judge_operations};

use super::{Adjusted, Policy, PolicyAt, argument, conclude, final_reads_begin, name_of};
use crate::claims::{Adjustment, FIRST_PREMIUM};
use crate::report::{anomaly_of, result, which};

/// The judge.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::claims) struct Premiums;

const NAME: &str = "premiums";
/// Steps of the search for the unknown adjustments that took effect.
const STEPS_MAX: u64 = 5_000_000;

/// All attempts at one adjustment.
struct Attempts<'a> {
    wanted: Adjustment,
    /// Those that were acknowledged.
    done: Vec<(Adjusted, &'a Operation<'a>)>,
    /// Whether some attempt may have had an effect.
    possible: bool,
    /// Whether it was asked for more than once.
    again: bool,
    first: &'a Operation<'a>,
}

/// A final answer of the core.
struct Seen<'a> {
    version: u64,
    policy: Policy,
    op: &'a Operation<'a>,
}

impl Checker for Premiums {
    fn name(&self) -> String {
        NAME.to_owned()
    }

    fn check(&self, history: &History) -> Finding {
        judge_operations(NAME, history, |operations| judge_all(&operations, final_reads_begin(history)))
    }
}

fn judge_all(operations: &[Operation<'_>], final_reads_ns: Option<u64>) -> Finding {
    let began = final_reads_ns.unwrap_or(u64::MAX);
    let mut adjustments: BTreeMap<String, Attempts<'_>> = BTreeMap::new();
    let mut seen: BTreeMap<String, Vec<Seen<'_>>> = BTreeMap::new();
    let mut unread = Vec::new();
    for op in operations {
        let taken = match op.f() {
            "adjust" => take_attempt(&mut adjustments, op),
            "read-policy" if op.invoke.time >= began => take_seen(&mut seen, op),
            _ => Ok(()),
        };
        unread.extend(taken.err());
    }
    let done = adjustments.values().filter(|a| !a.done.is_empty()).count();
    let mut anomalies: Vec<Anomaly> = adjustments.values().flat_map(answers).collect();
    let Some(cut) = cut(&seen) else {
        let why = "no final reads of all policies at one core version";
        let nothing = Finding::new(NAME, Verdict::Vacuous, why);
        return match anomalies.is_empty() {
            true => nothing,
            false => conclude(NAME, anomalies, &unread, why.to_owned(), 1),
        };
    };
    match sums(&adjustments, &seen, cut) {
        Ok(wrong) => anomalies.extend(wrong),
        Err(why) => unread.push(why),
    }
    let open = adjustments.values().filter(|a| a.done.is_empty() && a.possible).count();
    let fine = format!(
        "{done} adjustments had their effect once on all their policies; the effect of {open} is unknown, and \
         whole; {} policies",
        seen.len()
    );
    conclude(NAME, anomalies, &unread, fine, done)
}

fn take_attempt<'a>(
    adjustments: &mut BTreeMap<String, Attempts<'a>>,
    op: &'a Operation<'a>,
) -> Result<(), String> {
    let wanted: Adjustment = argument(op)?;
    let (done, possible, again) = (Vec::new(), false, false);
    let new = || Attempts { wanted: wanted.clone(), done, possible, again, first: op };
    let attempts = adjustments.entry(wanted.id.clone()).or_insert_with(new);
    attempts.again = attempts.first.index() != op.index();
    attempts.possible |= op.kind() != EventKind::Fail;
    if let Some(adjusted) = result(op)? {
        attempts.done.push((adjusted, op));
    }
    Ok(())
}

fn take_seen<'a>(seen: &mut BTreeMap<String, Vec<Seen<'a>>>, op: &'a Operation<'a>) -> Result<(), String> {
    if let Some(PolicyAt { version, policy: Some(policy), .. }) = result(op)? {
        seen.entry(name_of(op)).or_default().push(Seen { version, policy, op });
    }
    Ok(())
}

/// What is wrong with the answers themselves: not of all policies, or not the same each time.
fn answers(attempts: &Attempts<'_>) -> Vec<Anomaly> {
    let mut anomalies = Vec::new();
    let id = &attempts.wanted.id;
    let Some((first, by)) = attempts.done.first() else { return anomalies };
    let missing: Vec<&String> =
        attempts.wanted.policies.iter().filter(|policy| !first.premiums.contains_key(*policy)).collect();
    if !missing.is_empty() || first.premiums.len() != attempts.wanted.policies.len() {
        let message = format!(
            "Adjustment {id} is of {} policies, and {} says that it changed {}.",
            attempts.wanted.policies.len(),
            which(by),
            first.premiums.len()
        );
        anomalies.push(anomaly_of("partial-adjustment", None, message, &[by]));
    }
    if let Some((other, again)) = attempts.done.iter().find(|(other, _)| other.version != first.version) {
        let message = format!(
            "Adjustment {id} was made at core version {} in {} and again at version {} in {}.",
            first.version,
            which(by),
            other.version,
            which(again)
        );
        anomalies.push(anomaly_of("repeated-adjustment", None, message, &[by, again]));
    }
    anomalies
}

/// A version at which every policy was read in the end: the policies as of then are known together.
fn cut(seen: &BTreeMap<String, Vec<Seen<'_>>>) -> Option<u64> {
    let covers = |seen: &Seen<'_>, version| (seen.policy.changed..=seen.version).contains(&version);
    let everywhere =
        |version: &u64| seen.values().all(|reads| reads.iter().any(|read| covers(read, *version)));
    let mut versions: Vec<u64> = seen.values().flatten().map(|read| read.version).collect();
    versions.sort_unstable();
    versions.dedup();
    versions.into_iter().rev().find(everywhere)
}

/// Compares the premiums at the cut with the sums.
fn sums(
    adjustments: &BTreeMap<String, Attempts<'_>>,
    seen: &BTreeMap<String, Vec<Seen<'_>>>,
    cut: u64,
) -> Result<Vec<Anomaly>, String> {
    let mut rest: BTreeMap<&str, (i64, &Operation<'_>)> = BTreeMap::new();
    for (policy, reads) in seen {
        let at = reads.iter().find(|read| (read.policy.changed..=read.version).contains(&cut));
        if let Some(read) = at {
            rest.insert(policy, (read.policy.premium - FIRST_PREMIUM, read.op));
        }
    }
    let mut open: Vec<&Attempts<'_>> = Vec::new();
    for attempts in adjustments.values() {
        match attempts.done.first() {
            Some((adjusted, _)) if adjusted.version <= cut => {
                for policy in &attempts.wanted.policies {
                    if let Some((rest, _)) = rest.get_mut(policy.as_str()) {
                        *rest -= attempts.wanted.amount;
                    }
                }
            }
            // Made after the cut, or certainly never.
            Some(_) => {}
            None if attempts.possible => open.push(attempts),
            None => {}
        }
    }
    let alone = |policy: &str, (rest, op): (i64, &Operation<'_>)| -> Result<Option<Anomaly>, String> {
        let of: Vec<&Attempts<'_>> =
            open.iter().filter(|a| a.wanted.policies.iter().any(|p| p == policy)).copied().collect();
        if subset(&of, &BTreeMap::from([(policy, rest)]))? {
            return Ok(None);
        }
        Ok(Some(unexplained(policy, rest, op, adjustments)))
    };
    let mut anomalies = Vec::new();
    for (policy, found) in &rest {
        anomalies.extend(alone(policy, *found)?);
    }
    let together: BTreeMap<&str, i64> = rest.iter().map(|(policy, (rest, _))| (*policy, *rest)).collect();
    if anomalies.is_empty() && !subset(&open, &together)? {
        let message = format!(
            "No choice of the {} adjustments whose outcome is unknown explains the premiums of all policies at core \
             version {cut}, though one does for each policy alone: some adjustment had its effect on a part of its \
             policies.",
            open.len()
        );
        let ops: Vec<&Operation<'_>> = open.iter().map(|a| a.first).collect();
        anomalies.push(anomaly_of("partial-adjustment", None, message, &ops));
    }
    Ok(anomalies)
}

/// A premium that the adjustments do not add up to: what must have happened, if it is plain.
fn unexplained(
    policy: &str,
    rest: i64,
    op: &Operation<'_>,
    adjustments: &BTreeMap<String, Attempts<'_>>,
) -> Anomaly {
    let of = || adjustments.values().filter(|a| a.wanted.policies.iter().any(|p| p == policy));
    let lost = of().find(|a| !a.done.is_empty() && a.wanted.amount == -rest);
    let again = of().find(|a| !a.done.is_empty() && a.wanted.amount == rest);
    let asked_again: Vec<&Attempts<'_>> = of().filter(|a| a.again).collect();
    let open = of().filter(|a| a.done.is_empty() && a.possible);
    let candidates: Vec<&Attempts<'_>> = open.chain(asked_again.iter().copied()).collect();
    let several = || subset(&candidates, &BTreeMap::from([(policy, rest)])) == Ok(true);
    let (name, what, those) = match (lost, again) {
        (Some(a), _) => ("lost-adjustment", format!("{} is missing", a.wanted.id), vec![a]),
        (_, Some(a)) => ("repeated-adjustment", format!("{} was made twice", a.wanted.id), vec![a]),
        _ if rest < 0 => ("lost-adjustment", "some that were acknowledged are missing".to_owned(), vec![]),
        _ if several() => {
            let what = "some of those that were asked for again were made twice".to_owned();
            ("repeated-adjustment", what, asked_again)
        }
        _ => ("unexplained-premium", "none that are known explain it".to_owned(), vec![]),
    };
    let message = format!(
        "The premium of {policy} in {} differs by {rest} from the first premium and all acknowledged adjustments of \
         it, and unknown ones do not explain that: {what}.",
        which(op)
    );
    let ops: Vec<&Operation<'_>> = those.iter().map(|a| a.first).chain([op]).collect();
    anomaly_of(name, Some(policy), message, &ops)
}

/// Whether some of these adjustments, each on all its policies that are asked about, add up to these sums.
///
/// # Errors
/// If that is too much to find out.
fn subset(open: &[&Attempts<'_>], rest: &BTreeMap<&str, i64>) -> Result<bool, String> {
    let mut steps = 0;
    search(open, rest, &mut steps)
        .ok_or_else(|| format!("{} adjustments of unknown outcome are too many to be told apart", open.len()))
}

fn search(open: &[&Attempts<'_>], rest: &BTreeMap<&str, i64>, steps: &mut u64) -> Option<bool> {
    *steps += 1;
    if *steps > STEPS_MAX {
        return None;
    }
    // Amounts are positive: what is left must be within reach.
    let reach = |policy: &str| -> i64 {
        let of = open.iter().filter(|a| a.wanted.policies.iter().any(|p| p == policy));
        of.map(|a| a.wanted.amount).sum()
    };
    if rest.iter().any(|(policy, rest)| !(0..=reach(policy)).contains(rest)) {
        return Some(false);
    }
    let Some((first, others)) = open.split_first() else {
        return Some(true);
    };
    let mut taken = rest.clone();
    for policy in &first.wanted.policies {
        if let Some(rest) = taken.get_mut(policy.as_str()) {
            *rest -= first.wanted.amount;
        }
    }
    match search(others, &taken, steps)? {
        true => Some(true),
        false => search(others, rest, steps),
    }
}
