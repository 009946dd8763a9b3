//! Every node executes every confirmed trade once: one line in its ledger, and the counterparty's position moves by the
//! trade's volume.
//!
//! In the end each node's ledger has no trade twice (`executed-twice`), all positions right (`wrong-position`), every
//! trade that the node has as confirmed (`not-executed`), and nothing else (`executed-otherwise`).

use std::collections::{BTreeMap, BTreeSet};

use ordeal_core::{Anomaly, Checker, EventKind, Finding, History, Operation, Verdict, judge_operations};

use super::super::answers::{Copies, Ledger, Status};
use super::{conclude, finals, trade_of};
use crate::report::{anomaly_of, which};

/// The judge.
#[derive(Clone, Copy, Debug)]
pub(in crate::trades) struct Ledgers {
    /// All nodes there are.
    pub(in crate::trades) nodes: usize,
}

const NAME: &str = "ledgers";

impl Checker for Ledgers {
    fn name(&self) -> String {
        NAME.to_owned()
    }

    fn check(&self, history: &History) -> Finding {
        judge_operations(NAME, history, |operations| self.judge(history, &operations))
    }
}

impl Ledgers {
    fn judge(self, history: &History, operations: &[Operation<'_>]) -> Finding {
        let (ledgers, mut unread) = finals::<Ledger>(history, operations, "ledger");
        let (copies, also_unread) = finals::<Copies>(history, operations, "copies");
        unread.extend(also_unread);
        let (mut anomalies, mut lines) = (Vec::new(), 0);
        // An attempt of unknown outcome may come late, between a node's copies and its ledger.
        let open: BTreeSet<&str> =
            operations.iter().filter(|op| op.kind() == EventKind::Info).filter_map(trade_of).collect();
        for (node, (ledger, op)) in &ledgers {
            lines += ledger.bookings.len();
            anomalies.extend(repeated(ledger, op));
            if let Some((copies, _)) = copies.get(node) {
                anomalies.extend(compared(ledger, copies, &open, op));
            }
        }
        let otherwise = if ledgers.len() < self.nodes || copies.len() < self.nodes {
            (Verdict::Unknown, format!("{} of {} nodes showed their ledgers", ledgers.len(), self.nodes))
        } else if lines == 0 {
            (Verdict::Vacuous, "nothing was executed".to_owned())
        } else {
            (Verdict::Valid, format!("{lines} executions at {} nodes, each trade once at each", self.nodes))
        };
        conclude(NAME, anomalies, &unread, otherwise)
    }
}

/// Within a ledger: no trade twice, and positions that add up.
fn repeated(ledger: &Ledger, op: &Operation<'_>) -> Vec<Anomaly> {
    let mut anomalies = Vec::new();
    let (mut seen, mut positions) = (BTreeSet::new(), BTreeMap::<&str, u64>::new());
    for (line, booking) in ledger.bookings.iter().enumerate() {
        let trade = &*booking.correlation_id;
        let position = positions.entry(&booking.counterparty).or_default();
        *position = position.saturating_add(booking.volume);
        if !seen.insert(trade) {
            let message = format!("{}: line {line} executes {trade} once more.", which(op));
            anomalies.push(anomaly_of("executed-twice", Some(trade), message, &[op]));
        }
        if *position != booking.position {
            let message = format!("{}: line {line} should come to {position}: {booking:?}.", which(op));
            anomalies.push(anomaly_of("wrong-position", Some(trade), message, &[op]));
            // What follows is measured by this line.
            *position = booking.position;
        }
    }
    anomalies
}

/// A ledger and what the same node had, just before, of each trade. `open`: trades with attempts of unknown outcome.
fn compared(ledger: &Ledger, copies: &Copies, open: &BTreeSet<&str>, op: &Operation<'_>) -> Vec<Anomaly> {
    let mut anomalies = Vec::new();
    let mut booked = BTreeSet::new();
    for booking in &ledger.bookings {
        let trade = &*booking.correlation_id;
        booked.insert(trade);
        let copy = copies.copies.get(trade).filter(|copy| copy.status >= Status::Confirmed);
        let details = copy.and_then(|copy| copy.details.as_ref());
        if details.is_none() && open.contains(trade) {
            continue;
        }
        if details.is_none_or(|d| (d.volume, &d.counterparty) != (booking.volume, &booking.counterparty)) {
            let message = format!("{}: {booking:?} was executed, but the node has {details:?}.", which(op));
            anomalies.push(anomaly_of("executed-otherwise", Some(trade), message, &[op]));
        }
    }
    for (trade, copy) in &copies.copies {
        if copy.status >= Status::Confirmed && !booked.contains(&**trade) {
            let message = format!("{}: {trade} is confirmed, but was not executed.", which(op));
            anomalies.push(anomaly_of("not-executed", Some(trade), message, &[op]));
        }
    }
    anomalies
}
