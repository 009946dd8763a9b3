//! Levels: what a warehouse shows is exactly what the updates that its vector counts make of it.
//!
//! Each acknowledged update has a number at its warehouse, so a vector says which of them are in it. Numbers that
//! belong to none are updates of unknown outcome: there must be enough of these, and the level is a range then.
//! Judged for every read are
//! - the siblings: those stock-takes, with what was counted, that no other one in the vector had seen;
//! - the level: what they and the movements that they had not seen make, by the rule of the SKU;
//! - the rule: that of the contract, for a SKU of this name;
//! - that equal vectors show equal things, at whichever node.
//!
//! And just after a stock-take the level is what was counted.
//!
//! And the reads at the end must count every update that was acknowledged before.

use std::collections::{BTreeMap, HashMap};

use ordeal_checkers::Phases;
use ordeal_core::{Checker, Finding, History, Key, Operation, judge_operations};
use serde::Deserialize;

use super::updates::{Gathered, Update, Updates};
use crate::inventory::answers::{Done, Dot, Rule, Sibling, Stock, Vector, contains, number_of, request_id};
use crate::inventory::rule;
use crate::report::{Report, told};

const NAME: &str = "levels";

/// The judge.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Levels;

/// The updates of one warehouse.
#[derive(Default)]
struct Book {
    /// The acknowledged ones in order of their numbers, each with the sum of all deltas up to it.
    known: Vec<(u64, i64)>,
    /// What those of unknown outcome would move, in order.
    unknown: Vec<i64>,
}

impl Book {
    /// How many acknowledged updates have at most this number, and what they moved.
    fn up_to(&self, number: u64) -> (u64, i64) {
        let count = self.known.partition_point(|(known, _)| *known <= number);
        (count as u64, count.checked_sub(1).map_or(0, |last| self.known[last].1))
    }

    /// How many of the updates with numbers in this range were not acknowledged.
    fn gaps(&self, after: u64, to: u64) -> u64 {
        if to <= after {
            return 0;
        }
        let acknowledged = self.up_to(to).0 - self.up_to(after).0;
        (to - after).saturating_sub(acknowledged)
    }

    /// The least and the most that the updates with numbers in this range can have moved.
    fn moved(&self, after: u64, to: u64) -> (i64, i64) {
        if to <= after {
            return (0, 0);
        }
        let known = self.up_to(to).1 - self.up_to(after).1;
        let gaps = (self.gaps(after, to) as usize).min(self.unknown.len());
        let least: i64 = self.unknown[..gaps].iter().sum();
        let most: i64 = self.unknown[self.unknown.len() - gaps..].iter().sum();
        (known + least, known + most)
    }
}

/// All that is known of a SKU.
struct Sku<'g, 'h> {
    key: &'h Key,
    updates: &'g Updates<'h>,
    counts: BTreeMap<Dot, (&'g Update<'h>, &'g Done)>,
    books: BTreeMap<String, Book>,
}

impl Checker for Levels {
    fn name(&self) -> String {
        NAME.to_owned()
    }

    fn check(&self, history: &History) -> Finding {
        judge_operations(NAME, history, |operations| judge_all(&operations, &Phases::of(history)))
    }
}

fn judge_all(operations: &[Operation<'_>], phases: &Phases<'_>) -> Finding {
    let mut report = Report::default();
    let gathered = Gathered::of(operations, &mut report);
    let mut reads: BTreeMap<&Key, Vec<(Operation<'_>, Stock)>> = BTreeMap::new();
    for op in operations.iter().filter(|op| op.f() == "read") {
        let stock = op.output().and_then(|output| Stock::deserialize(output).ok());
        if let (Some(key), Some(stock)) = (op.key(), stock) {
            reads.entry(key).or_default().push((*op, stock));
        }
    }
    let (mut reads_judged, mut acknowledged, mut unread, mut ambiguous) = (0, 0, 0, 0);
    for (key, updates) in &gathered.skus {
        let reads = reads.remove(*key).unwrap_or_default();
        acknowledged += updates.done().count();
        unread += usize::from(!reads.iter().any(|(op, _)| phases.is_final(op.invoke)));
        let Some(sku) = Sku::of(key, updates, &gathered, &mut report) else { continue };
        reads_judged += reads.len();
        sku.counted_levels(&mut report);
        ambiguous += sku.judge(&reads, phases, &mut report);
    }
    if unread > 0 && acknowledged > 0 && reads_judged > 0 {
        report.undecided(format!("{unread} SKUs were not read at the end"));
    }
    let judged = format!("{reads_judged} reads of what {acknowledged} acknowledged updates make");
    report
        .finding(NAME, judged, acknowledged == 0 || reads_judged == 0)
        .with("acknowledged", acknowledged)
        .with("reads", reads_judged)
        .with("reads_with_a_range", ambiguous)
}

impl<'g, 'h> Sku<'g, 'h> {
    /// None, and an anomaly, if a number was given out twice: then a vector does not say what is in it.
    fn of(
        key: &'h Key,
        updates: &'g Updates<'h>,
        gathered: &Gathered<'h>,
        report: &mut Report,
    ) -> Option<Self> {
        let mut by_dot: BTreeMap<Dot, &Update<'h>> = BTreeMap::new();
        let mut twice = false;
        for (update, done) in updates.done() {
            if let Some(other) = by_dot.insert(done.dot(), update) {
                twice = true;
                let (warehouse, number) = done.dot();
                report.note("number-used-twice", Some(key), &[&other.op, &update.op], || {
                    format!(
                        "{} and {} were both done as update {number} of {warehouse}.",
                        told(&other.op),
                        told(&update.op)
                    )
                });
            }
        }
        let mut books: BTreeMap<String, Book> = BTreeMap::new();
        for ((warehouse, number), update) in by_dot {
            let book = books.entry(warehouse).or_default();
            let before = book.known.last().map_or(0, |(_, sum)| *sum);
            book.known.push((number, before + update.delta));
        }
        for update in updates.unknown() {
            books.entry(gathered.warehouse(update).to_owned()).or_default().unknown.push(update.delta);
        }
        books.values_mut().for_each(|book| book.unknown.sort_unstable());
        (!twice).then(|| Sku { key, updates, counts: updates.counts(), books })
    }

    /// Just after a stock-take, which has seen all others that its warehouse knows of, the level is what was counted.
    fn counted_levels(&self, report: &mut Report) {
        for (update, done) in self.counts.values().filter(|(update, done)| update.counted != Some(done.level))
        {
            report.note("wrong-level", Some(self.key), &[&update.op], || {
                format!("{} was done, but the level just after it is {}.", told(&update.op), done.level)
            });
        }
    }

    /// Judges all reads; answers with how many of them are of a range.
    fn judge(&self, reads: &[(Operation<'h>, Stock)], phases: &Phases<'_>, report: &mut Report) -> usize {
        let mut shown: HashMap<String, &(Operation<'h>, Stock)> = HashMap::new();
        let mut ambiguous = 0;
        for read in reads {
            let (op, stock) = read;
            let first = shown.entry(format!("{:?}", stock.vector)).or_insert(read);
            if first.1 != *stock {
                report.note("one-vector-two-states", Some(self.key), &[&first.0, op], || {
                    format!(
                        "{} and {} showed one vector, but the levels {} and {}, or other siblings.",
                        told(&first.0),
                        told(op),
                        first.1.level,
                        stock.level
                    )
                });
            }
            if stock.rule != rule(&self.key.to_string()) {
                report.note("wrong-rule", Some(self.key), &[op], || {
                    format!("{} says that {:?} resolves its stock-takes.", told(op), stock.rule)
                });
            }
            self.all_were_asked(op, stock, report);
            self.siblings(op, stock, report);
            let (least, most) = self.level(stock);
            ambiguous += usize::from(least != most);
            if !(least..=most).contains(&stock.level) {
                let due = if least == most { format!("{least}") } else { format!("{least} to {most}") };
                report.note("wrong-level", Some(self.key), &[op], || {
                    format!("{} showed {}, but what it had seen makes {due}.", told(op), stock.level)
                });
            }
            if phases.is_final(op.invoke) {
                self.nothing_is_lost(op, stock, report);
            }
        }
        ambiguous
    }

    /// Whether each update that the vector counts can be one that somebody asked for.
    fn all_were_asked(&self, op: &Operation<'h>, stock: &Stock, report: &mut Report) {
        let nothing = Book::default();
        for (warehouse, number) in &stock.vector {
            let book = self.books.get(warehouse).unwrap_or(&nothing);
            let gaps = book.gaps(0, *number);
            if gaps > book.unknown.len() as u64 {
                report.note("unasked-update", Some(self.key), &[op], || { format!(
                    "{} counts {number} updates of {warehouse}, {gaps} of which nobody was told of; of unknown outcome \
                     are {}.",
                    told(op),
                    book.unknown.len()
                ) });
            }
        }
    }

    fn siblings(&self, op: &Operation<'h>, stock: &Stock, report: &mut Report) {
        let shown: Vec<Dot> = stock.siblings.iter().map(Sibling::dot).collect();
        for sibling in &stock.siblings {
            if !self.was_asked(sibling) {
                report.note("invented-sibling", Some(self.key), &[op], || {
                    format!("{} shows a stock-take that nobody asked for: {sibling:?}.", told(op))
                });
            }
        }
        let seen = self.counts.iter().filter(|(dot, _)| contains(&stock.vector, dot));
        for (dot, (update, done)) in seen {
            let knows_of = |sibling: &&Sibling| sibling.dot() != *dot && contains(&sibling.vector, dot);
            if !shown.contains(dot) && !stock.siblings.iter().any(|sibling| knows_of(&sibling)) {
                report.note("sibling-missing", Some(self.key), &[op, &update.op], || {
                    format!("{} does not show {}, which no other one had seen.", told(op), told(&update.op))
                });
            }
            let outlived = shown.iter().find(|other| *other != dot && contains(&done.vector, other));
            if let Some((warehouse, number)) = outlived {
                report.note("sibling-outlived", Some(self.key), &[op, &update.op], || {
                    format!(
                        "{} still shows stock-take {number} of {warehouse}, though {} had seen it.",
                        told(op),
                        told(&update.op)
                    )
                });
            }
        }
    }

    /// Whether the sibling is what some client did, or may have done.
    fn was_asked(&self, sibling: &Sibling) -> bool {
        let same = |update: &Update<'h>| {
            request_id(update.request) == sibling.request_id && update.counted == Some(sibling.counted)
        };
        match self.counts.get(&sibling.dot()) {
            Some((update, done)) => same(update) && done.vector == sibling.vector,
            None => self.updates.unknown().any(same),
        }
    }

    /// The least and the highest level that the vector and the siblings can make.
    fn level(&self, stock: &Stock) -> (i64, i64) {
        let since = |counted: i64, seen: &Vector| {
            let moved = self.books.iter().map(|(warehouse, book)| {
                book.moved(number_of(seen, warehouse), number_of(&stock.vector, warehouse))
            });
            moved.fold((counted, counted), |(a, b), (least, most)| (a + least, b + most))
        };
        if let Rule::Priority { warehouse } = &stock.rule
            && let Some(named) = stock.siblings.iter().find(|sibling| sibling.warehouse == *warehouse)
        {
            return since(named.counted, &named.vector);
        }
        let levels = stock.siblings.iter().map(|sibling| since(sibling.counted, &sibling.vector));
        let lowest = levels.reduce(|a, b| (a.0.min(b.0), a.1.min(b.1)));
        lowest.unwrap_or_else(|| since(0, &Vector::new()))
    }

    fn nothing_is_lost(&self, op: &Operation<'h>, stock: &Stock, report: &mut Report) {
        for (update, done) in self.updates.done() {
            if update.op.ret < op.call && !contains(&stock.vector, &done.dot()) {
                report.note("lost-update", Some(self.key), &[op, &update.op], || {
                    format!(
                        "{}, at the end, has not seen {}, which was acknowledged as update {} of {}.",
                        told(op),
                        told(&update.op),
                        done.number,
                        done.warehouse
                    )
                });
            }
        }
    }
}
