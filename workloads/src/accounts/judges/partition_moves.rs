//! Who owns which partition, and what moves when nodes join.
//!
//! - Every answer names partitions 0, 1, …, each once, always as many (`partition-missing`), each with a member as its
//!   owner (`unknown-owner`), and only accounts that were asked for (`other-account`).
//! - Members stay (`member-lost`): the founders, and every node that the harness had the system take in.
//! - An account's partition never changes, whoever is asked and whenever (`partition-changed`).
//! - A partition at an epoch has one owner (`two-owners`), and epochs never go back in real time (`epoch-went-back`).
//! - When nodes have joined, no more partitions have moved than balance needed (`moved-needlessly`), and in the end the
//!   counts of all members differ by at most one (`unbalanced`).
//!
//! A run in which nodes joined and no partition moved shows nothing.

use std::collections::BTreeMap;
use std::ops::Range;

use ordeal_checkers::Phases;
use ordeal_core::{
    Anomaly, Checker, Event, EventKind, Finding, History, Operation, Process, judge_operations,
};
use serde_json::Value;

use super::super::answers::{Owned, Partitions};
use super::{all_answered, not_asked_for};
use crate::report::{Report, anomaly_of, result, which};

/// The judge.
#[derive(Clone, Copy, Debug)]
pub(in crate::accounts) struct PartitionMoves {
    /// How many nodes there are at first.
    pub(in crate::accounts) founders: usize,
}

const NAME: &str = "partitions";

type Answer<'a> = (Partitions, &'a Operation<'a>);

impl Checker for PartitionMoves {
    fn name(&self) -> String {
        NAME.to_owned()
    }

    fn check(&self, history: &History) -> Finding {
        judge_operations(NAME, history, |operations| self.judge(history, &operations))
    }
}

impl PartitionMoves {
    fn judge(self, history: &History, operations: &[Operation<'_>]) -> Finding {
        let (mut answers, mut unread): (Vec<Answer<'_>>, _) = (Vec::new(), Vec::new());
        let mut anomalies = Vec::new();
        for op in operations.iter().filter(|op| op.f() == "partitions") {
            match result::<Partitions>(op) {
                Ok(None) => {}
                Ok(Some(answer)) => {
                    anomalies.extend(not_asked_for(op, &answer.accounts));
                    unread.extend(all_answered(op, &answer.accounts).err());
                    answers.push((answer, op));
                }
                Err(why) => unread.push(why),
            }
        }
        answers.sort_by_key(|(_, op)| op.call);
        let phases = Phases::of(history);
        // Half-done moves may be seen in the first of the final reads: the newest counts.
        let last = answers.iter().rfind(|(_, op)| phases.is_final(op.invoke));
        anomalies.extend(whole(&answers));
        anomalies.extend(unknown_owners(&answers));
        anomalies.extend(self.members_lost(history, &answers));
        anomalies.extend(one_partition_each(&answers));
        anomalies.extend(one_owner_each(&answers));
        anomalies.extend(forwards(&answers));
        let mut report = Report::default();
        let (mut moved, mut joined) = (0, 0);
        match last {
            Some((map, op)) => {
                joined = map.nodes.len().saturating_sub(self.founders);
                moved = map.partitions.iter().map(|owned| owned.epoch.saturating_sub(1)).sum();
                anomalies.extend(self.needless(map, moved, op));
                anomalies.extend(unbalanced(map, op));
            }
            None => unread.push("no node showed the partitions in the end".to_owned()),
        }
        anomalies.into_iter().for_each(|anomaly| report.add(anomaly));
        if let Some(why) = unread.first() {
            report.undecided(why.as_str());
        }
        let partitions = last.map_or(0, |(map, _)| map.partitions.len());
        let judged = format!("{partitions} partitions, {joined} nodes joined, {moved} moves");
        report.finding(NAME, judged, joined > 0 && moved == 0).with("moves", moved).with("joined", joined)
    }

    /// Answers that leave out a member, each with the first that it leaves out.
    fn members_lost(self, history: &History, answers: &[Answer<'_>]) -> Vec<Anomaly> {
        let mut members: BTreeMap<usize, u64> = (0..self.founders).map(|founder| (founder, 0)).collect();
        for event in &history.events {
            for node in taken_in(event) {
                let since = members.entry(node).or_insert(event.time);
                *since = event.time.min(*since);
            }
        }
        let lost = |(map, op): &Answer<'_>| {
            let is_lost = |node: usize, since: u64| {
                (node < self.founders || since < op.invoke.time) && !map.nodes.contains(&name_of(node))
            };
            let name = name_of(
                members.iter().find(|(node, since)| is_lost(**node, **since)).map(|(node, _)| *node)?,
            );
            let message = format!("{} shows members {:?}: {name} had been one.", which(op), map.nodes);
            Some(anomaly_of("member-lost", None, message, &[op]))
        };
        answers.iter().filter_map(lost).collect()
    }

    /// Each node that joins takes its share, rounded down, and nothing else moves.
    fn needless(self, map: &Partitions, moved: u64, op: &Operation<'_>) -> Option<Anomaly> {
        let shares = (self.founders + 1..=map.nodes.len()).map(|nodes| (map.partitions.len() / nodes) as u64);
        let needed: u64 = shares.sum();
        let message = || {
            format!(
                "{}: {moved} moves of partitions from {} to {} nodes, by their epochs; {needed} suffice.",
                which(op),
                self.founders,
                map.nodes.len()
            )
        };
        (moved > needed).then(|| anomaly_of("moved-needlessly", None, message(), &[op]))
    }
}

/// The nodes that the system had taken in when the harness noted this.
fn taken_in(event: &Event) -> Range<usize> {
    let Event { kind: EventKind::Info, process: Process::Named(_), f, value, .. } = event else {
        return 0..0;
    };
    if value["fault"] != "join" || value["proved"] != true {
        return 0..0;
    }
    let number = |value: &Value| value.as_u64().and_then(|number| usize::try_from(number).ok());
    match &**f {
        "inject" => number(&value["installed"]["node"]).map_or(0..0, |node| node..node + 1),
        // All that there are, whether or not their own injection could be proved.
        "heal" => 0..number(&value["seen"]["nodes"]).unwrap_or(0),
        _ => 0..0,
    }
}

/// The harness counts nodes from 0, and names them from `n1`.
fn name_of(node: usize) -> String {
    format!("n{}", node + 1)
}

/// Answers that do not name each partition once.
fn whole(answers: &[Answer<'_>]) -> Vec<Anomaly> {
    let Some((first, by)) = answers.first() else { return Vec::new() };
    let mut anomalies = Vec::new();
    for (map, op) in answers {
        let mut named: Vec<u64> = map.partitions.iter().map(|owned| owned.partition).collect();
        named.sort_unstable();
        if named.is_empty() || !named.iter().copied().eq(0..named.len() as u64) {
            let message = format!("{} names the partitions {named:?}.", which(op));
            anomalies.push(anomaly_of("partition-missing", None, message, &[op]));
        } else if named.len() != first.partitions.len() {
            let message = format!(
                "{} names {} partitions, and {} named {}.",
                which(op),
                named.len(),
                which(by),
                first.partitions.len()
            );
            anomalies.push(anomaly_of("partition-missing", None, message, &[by, op]));
        }
    }
    anomalies
}

/// Partitions that are owned by no member.
fn unknown_owners(answers: &[Answer<'_>]) -> Vec<Anomaly> {
    let mut anomalies = Vec::new();
    for (map, op) in answers {
        for Owned { partition, node, .. } in
            map.partitions.iter().filter(|owned| !map.nodes.contains(&owned.node))
        {
            let message = format!("{} has partition {partition} owned by {node}, no member.", which(op));
            anomalies.push(anomaly_of("unknown-owner", None, message, &[op]));
        }
    }
    anomalies
}

/// Accounts that were said to be in two partitions.
fn one_partition_each(answers: &[Answer<'_>]) -> Vec<Anomaly> {
    let mut anomalies = Vec::new();
    let mut known = BTreeMap::new();
    for (map, op) in answers {
        for (account, partition) in &map.accounts {
            let (first, by) = known.entry(account).or_insert((partition, *op));
            if *first != partition {
                let message = format!(
                    "{account} is in partition {first}, says {}, and in {partition}, says {}.",
                    which(by),
                    which(op)
                );
                anomalies.push(anomaly_of("partition-changed", Some(account), message, &[by, op]));
            }
        }
    }
    anomalies
}

/// Partitions that had two owners at one epoch.
fn one_owner_each(answers: &[Answer<'_>]) -> Vec<Anomaly> {
    let mut anomalies = Vec::new();
    let mut known = BTreeMap::new();
    for (map, op) in answers {
        for Owned { partition, node, epoch } in &map.partitions {
            let (first, by) = known.entry((partition, epoch)).or_insert((node, *op));
            if *first != node {
                let message = format!(
                    "partition {partition} at epoch {epoch} is {first}'s, says {}, and {node}'s, says {}.",
                    which(by),
                    which(op)
                );
                anomalies.push(anomaly_of("two-owners", None, message, &[by, op]));
            }
        }
    }
    anomalies
}

/// Answers with older epochs than one that had ended before they were asked for.
fn forwards(answers: &[Answer<'_>]) -> Vec<Anomaly> {
    let mut ended: Vec<&Answer<'_>> = answers.iter().collect();
    ended.sort_by_key(|(_, op)| op.ret);
    let mut ended = ended.into_iter().peekable();
    let mut newest: BTreeMap<u64, (u64, &Operation<'_>)> = BTreeMap::new();
    let mut anomalies = Vec::new();
    for (map, op) in answers {
        while let Some((before, by)) = ended.next_if(|(_, by)| by.ret < op.call) {
            for owned in &before.partitions {
                let known = newest.entry(owned.partition).or_insert((owned.epoch, by));
                if owned.epoch > known.0 {
                    *known = (owned.epoch, by);
                }
            }
        }
        for Owned { partition, epoch, .. } in &map.partitions {
            if let Some((newer, by)) = newest.get(partition).filter(|(newer, _)| newer > epoch) {
                let message = format!(
                    "{} shows partition {partition} at epoch {epoch}, though {} had shown epoch {newer} before.",
                    which(op),
                    which(by)
                );
                anomalies.push(anomaly_of("epoch-went-back", None, message, &[by, op]));
            }
        }
    }
    anomalies
}

/// Members that have two partitions more than others.
fn unbalanced(map: &Partitions, op: &Operation<'_>) -> Option<Anomaly> {
    let count = |node: &String| map.partitions.iter().filter(|owned| owned.node == *node).count();
    let counts: BTreeMap<&String, usize> = map.nodes.iter().map(|node| (node, count(node))).collect();
    let (most, least) = (counts.values().max()?, counts.values().min()?);
    let message = || format!("In the end the members have {counts:?} partitions, says {}.", which(op));
    (most - least > 1).then(|| anomaly_of("unbalanced", None, message(), &[op]))
}
