//! Two-phase commit, step by step, with a crash at every point; and many transfers at once, with crashes at random.
//!
//! A crash takes nothing but what is not in rows: requests on their way, and who waits for what.

use std::collections::BTreeMap;

use super::*;
use crate::map::{Map, Owner};
use crate::ownership;

type Disk = BTreeMap<String, String>;

const OPENING: i64 = 100;

fn id(text: &str) -> Id {
    text.parse().unwrap()
}

fn part(node: usize) -> Part {
    Part { partition: node, epoch: 1 }
}

fn there(node: usize) -> There {
    There { node, part: part(node) }
}

/// Nodes, each with a partition of its own number; account `aN-…` is at node N.
struct Bank {
    disks: Vec<Disk>,
    bug: Option<Bug>,
}

impl Bank {
    fn new(nodes: usize, accounts: usize, bug: Option<Bug>) -> Bank {
        let owners = (0..nodes).map(|node| Owner { node, epoch: 1 }).collect();
        let map = Map { version: 1, owners, wanted: (0..nodes).collect(), nodes: (0..nodes).collect() };
        let mut disks = vec![Disk::default(); nodes];
        for (node, disk) in disks.iter_mut().enumerate() {
            assert!(ownership::follow(disk, &map, node).unwrap());
            for n in 0..accounts {
                open(disk, part(node), &id(&format!("a{node}-{n}")), OPENING).unwrap().unwrap();
            }
        }
        Bank { disks, bug }
    }

    fn order(request: &str, from: &str, to: &str, amount: i64) -> Order {
        Order { request_id: id(request), from: id(from), to: id(to), amount }
    }

    fn node_of(account: &Id) -> usize {
        account.as_str()[1..].split('-').next().unwrap().parse().unwrap()
    }

    fn begin(&mut self, tx: &str, order: &Order) -> Result<Begun, Refusal> {
        let (from, to) = (Self::node_of(&order.from), Self::node_of(&order.to));
        transfer(&mut self.disks[from], tx, order, part(from), there(to), from, self.bug).unwrap()
    }

    fn prepare(&mut self, tx: &str, order: &Order) -> Result<Account, Refusal> {
        let (from, to) = (Self::node_of(&order.from), Self::node_of(&order.to));
        prepare(&mut self.disks[to], tx, from, part(to), &order.to, order.amount, self.bug).unwrap()
    }

    fn crash(&mut self, node: usize) {
        let partitions = self.disks.len();
        recover(&mut self.disks[node], partitions, self.bug).unwrap();
    }

    /// Everybody asks and tells until nothing is open: what `settle.rs` does.
    fn settle(&mut self) {
        for node in 0..self.disks.len() {
            for (tx, incoming) in in_doubt(&self.disks[node]).unwrap() {
                match outcome(&self.disks[incoming.coordinator], &tx).unwrap() {
                    Outcome::Undecided => {}
                    known => finish(&mut self.disks[node], &tx, known == Outcome::Committed).unwrap(),
                }
            }
            for (tx, outgoing) in untold(&self.disks[node]).unwrap() {
                finish(&mut self.disks[outgoing.to.node], &tx, true).unwrap();
                forget(&mut self.disks[node], &tx).unwrap();
            }
        }
    }

    fn account(&self, account: &str) -> Account {
        let node = Self::node_of(&id(account));
        read(&self.disks[node], part(node), &id(account), None).unwrap().unwrap().unwrap()
    }

    fn accounts(&self) -> Vec<Account> {
        let mut all = Vec::new();
        for (node, disk) in self.disks.iter().enumerate() {
            let prefix = rows::account(node, "");
            all.extend(under::<Account>(disk, &prefix).unwrap().into_iter().map(|(_, account)| account));
        }
        all
    }

    fn assert_settled(&self) {
        let total: i64 = self.accounts().iter().map(|account| account.balance).sum();
        assert_eq!(total, OPENING * self.accounts().len() as i64);
        for (node, disk) in self.disks.iter().enumerate() {
            for open in [OUTGOING.to_owned(), INCOMING.to_owned(), rows::locks(node)] {
                assert_eq!(disk.rows(&open).unwrap(), []);
            }
        }
    }
}

/// How far a transfer comes before the crash.
const STEPS: usize = 5;

fn run_until_crash(bank: &mut Bank, order: &Order, steps: usize) -> bool {
    let (from, to) = (Bank::node_of(&order.from), Bank::node_of(&order.to));
    let mut committed = false;
    let mut paid = None;
    for step in 0..steps {
        match step {
            0 => assert_eq!(bank.begin("tx", order), Ok(Begun::Begun)),
            1 => paid = Some(bank.prepare("tx", order).unwrap()),
            2 => {
                let receipt = commit(&mut bank.disks[from], "tx", paid.clone().unwrap(), bank.bug).unwrap();
                committed = receipt.is_some();
            }
            3 => finish(&mut bank.disks[to], "tx", true).unwrap(),
            _ => forget(&mut bank.disks[from], "tx").unwrap(),
        }
    }
    committed
}

#[test]
fn whoever_crashes_wherever_there_is_never_half_a_transfer() {
    for steps in 0..=STEPS {
        for crashed in [vec![], vec![0], vec![1], vec![0, 1]] {
            let mut bank = Bank::new(2, 1, None);
            let order = Bank::order("r1", "a0-0", "a1-0", 30);
            let committed = run_until_crash(&mut bank, &order, steps);
            crashed.iter().for_each(|&node| bank.crash(node));
            if !crashed.contains(&0) {
                // A coordinator that is alive gives up by itself what it has not decided.
                abort(&mut bank.disks[0], "tx").unwrap();
            }
            bank.settle();
            bank.assert_settled();
            let balances = (bank.account("a0-0").balance, bank.account("a1-0").balance);
            assert_eq!(balances, if committed { (70, 130) } else { (100, 100) }, "{steps} {crashed:?}");
            // A retry has the effect once.
            match bank.begin("again", &order) {
                Ok(Begun::Made(receipt)) => {
                    assert!(committed);
                    assert_eq!((receipt.from, receipt.to), (bank.account("a0-0"), bank.account("a1-0")));
                }
                begun => assert_eq!((committed, begun), (false, Ok(Begun::Begun))),
            }
        }
    }
}

#[test]
fn a_decision_that_is_not_kept_leaves_half_a_transfer() {
    let mut bank = Bank::new(2, 1, Some(Bug::LostCommitRecord));
    assert!(run_until_crash(&mut bank, &Bank::order("r1", "a0-0", "a1-0", 30), 3));
    bank.settle();
    assert_eq!((bank.account("a0-0").balance, bank.account("a1-0").balance), (70, 100));
}

#[test]
fn a_participant_that_aborts_when_it_comes_back_leaves_half_a_transfer() {
    let mut bank = Bank::new(2, 1, Some(Bug::InDoubtAborts));
    assert!(run_until_crash(&mut bank, &Bank::order("r1", "a0-0", "a1-0", 30), 3));
    bank.crash(1);
    bank.settle();
    assert_eq!((bank.account("a0-0").balance, bank.account("a1-0").balance), (70, 100));
}

#[test]
fn what_arrives_late_changes_nothing() {
    let mut bank = Bank::new(2, 1, None);
    let order = Bank::order("r1", "a0-0", "a1-0", 30);
    run_until_crash(&mut bank, &order, STEPS);
    finish(&mut bank.disks[1], "tx", true).unwrap();
    finish(&mut bank.disks[1], "tx", false).unwrap();
    abort(&mut bank.disks[0], "tx").unwrap();
    let paid = bank.account("a1-0");
    assert_eq!(commit(&mut bank.disks[0], "tx", paid, None).unwrap(), None);
    // A coordinator that has decided does not change its mind.
    let mut bank = Bank::new(2, 1, None);
    run_until_crash(&mut bank, &order, 3);
    abort(&mut bank.disks[0], "tx").unwrap();
    bank.settle();
    bank.assert_settled();
    assert_eq!(bank.account("a1-0"), Account { id: id("a1-0"), balance: 130, version: 2 });
}

#[test]
fn a_prepared_account_is_not_read_and_one_that_pays_is() {
    let mut bank = Bank::new(2, 1, None);
    run_until_crash(&mut bank, &Bank::order("r1", "a0-0", "a1-0", 30), 2);
    let seen = |bank: &Bank, node: usize, bug| {
        read(&bank.disks[node], part(node), &id(&format!("a{node}-0")), bug)
            .unwrap()
            .map(|a| a.unwrap().balance)
    };
    assert_eq!(seen(&bank, 0, None), Ok(100));
    assert_eq!(seen(&bank, 1, None), Err(Refusal::Locked));
    assert_eq!(seen(&bank, 1, Some(Bug::LockedRead)), Ok(100));
    for (from, to) in [("a0-0", "a1-0"), ("a1-0", "a0-0")] {
        assert_eq!(bank.begin("tx2", &Bank::order("r2", from, to, 1)), Err(Refusal::Locked));
    }
}

#[test]
fn a_transfer_is_refused_with_a_reason_and_nothing_is_done() {
    let mut bank = Bank::new(1, 2, None);
    let before = bank.disks.clone();
    for (order, refusal) in [
        (Bank::order("r1", "a0-0", "a0-1", 101), Refusal::Funds(100)),
        (Bank::order("r1", "a0-9", "a0-1", 1), Refusal::NoAccount(id("a0-9"))),
        (Bank::order("r1", "a0-0", "a0-9", 1), Refusal::NoAccount(id("a0-9"))),
    ] {
        assert_eq!(bank.begin("tx", &order), Err(refusal));
        assert_eq!(bank.disks, before);
    }
    let order = Bank::order("r1", "a0-0", "a0-1", 100);
    let Ok(Begun::Made(receipt)) = bank.begin("tx", &order) else { panic!("it was not made") };
    assert_eq!(bank.begin("tx", &order), Ok(Begun::Made(receipt)));
    assert_eq!(bank.begin("tx", &Order { amount: 99, ..order.clone() }), Err(Refusal::RequestReused));
    assert_eq!(bank.begin("tx", &Bank::order("r2", "a0-0", "a0-1", 1)), Err(Refusal::Funds(0)));
    bank.bug = Some(Bug::RetryAppliedTwice);
    assert_eq!(bank.begin("tx", &order), Err(Refusal::Funds(0)));
    let stale = Part { partition: 0, epoch: 2 };
    let made = transfer(&mut bank.disks[0], "tx", &order, stale, there(0), 0, None).unwrap();
    assert_eq!(made, Err(Refusal::NotServed));
}

/// A stream of numbers from a seed (Knuth's MMIX).
struct Draws(u64);

impl Draws {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

/// A transfer under way: its order, its number, and the vote if it has come.
struct UnderWay {
    tx: String,
    order: Order,
    vote: Option<Account>,
}

#[test]
fn many_transfers_at_once_with_crashes_and_lost_messages_move_money_and_make_none() {
    for seed in 0..300 {
        let mut draws = Draws(seed);
        let mut bank = Bank::new(3, 2, None);
        let mut under_way: Vec<UnderWay> = Vec::new();
        let mut receipts: BTreeMap<String, Receipt> = BTreeMap::new();
        let mut orders: Vec<Order> = Vec::new();
        for n in 0..60 {
            match draws.below(10) {
                0..4 => {
                    let account = |draws: &mut Draws| format!("a{}-{}", draws.below(3), draws.below(2));
                    let (from, to) = (account(&mut draws), account(&mut draws));
                    if from == to {
                        continue;
                    }
                    let new = Bank::order(&format!("r{n}"), &from, &to, 1 + draws.below(20) as i64);
                    orders.push(new);
                    // Often it is one of before.
                    let order = orders[draws.below(orders.len())].clone();
                    let tx = format!("tx{n}");
                    match bank.begin(&tx, &order) {
                        Ok(Begun::Begun) => under_way.push(UnderWay { tx, order, vote: None }),
                        Ok(Begun::Made(receipt)) => {
                            let first = receipts
                                .entry(order.request_id.as_str().to_owned())
                                .or_insert(receipt.clone());
                            assert_eq!(*first, receipt);
                        }
                        Err(_) => {}
                    }
                }
                4..8 if !under_way.is_empty() => {
                    let chosen = draws.below(under_way.len());
                    let UnderWay { tx, order, vote } = under_way.swap_remove(chosen);
                    let from = Bank::node_of(&order.from);
                    match vote {
                        // The vote may get lost.
                        None => match bank.prepare(&tx, &order) {
                            Ok(paid) if draws.below(5) > 0 => {
                                under_way.push(UnderWay { tx, order, vote: Some(paid) });
                            }
                            _ => abort(&mut bank.disks[from], &tx).unwrap(),
                        },
                        Some(paid) => {
                            let receipt = commit(&mut bank.disks[from], &tx, paid, None).unwrap().unwrap();
                            assert_eq!(receipts.insert(order.request_id.as_str().to_owned(), receipt), None);
                        }
                    }
                }
                8 => {
                    let node = draws.below(3);
                    bank.crash(node);
                    under_way.retain(|transfer| Bank::node_of(&transfer.order.from) != node);
                }
                _ => bank.settle(),
            }
        }
        for UnderWay { tx, order, .. } in under_way {
            abort(&mut bank.disks[Bank::node_of(&order.from)], &tx).unwrap();
        }
        bank.settle();
        bank.assert_settled();
        // Every account had as many effects as receipts say.
        for account in bank.accounts() {
            let own = receipts.values().filter(|r| r.from.id == account.id || r.to.id == account.id).count();
            assert_eq!(account.version, 1 + own as u64, "seed {seed}");
        }
    }
}
