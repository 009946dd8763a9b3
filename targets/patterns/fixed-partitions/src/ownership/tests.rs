//! A partition passes from node 0 to node 1, with a crash after every step.

use super::*;
use crate::book;

type Disk = BTreeMap<String, String>;

const FIRST: Part = Part { partition: 0, epoch: 1 };
const NEXT: Part = Part { partition: 0, epoch: 2 };

fn map(node: usize, epoch: u64) -> Map {
    Map { version: epoch, owners: vec![Owner { node, epoch }], wanted: vec![1], nodes: vec![0, 1] }
}

fn serving(disk: &Disk, part: Part) -> bool {
    serves(disk, part, None).unwrap()
}

/// Both nodes at the beginning, with an account at node 0.
fn disks() -> (Disk, Disk) {
    let (mut source, mut target) = (Disk::new(), Disk::new());
    assert!(follow(&mut source, &map(0, 1), 0).unwrap());
    assert!(!follow(&mut target, &map(0, 1), 1).unwrap());
    book::open(&mut source, FIRST, &"a1".parse().unwrap(), 100).unwrap().unwrap();
    (source, target)
}

fn balance(disk: &Disk, part: Part) -> i64 {
    book::read(disk, part, &"a1".parse().unwrap(), None).unwrap().unwrap().unwrap().balance
}

#[test]
fn whoever_crashes_after_whatever_step_one_node_serves_in_the_end_and_nothing_is_lost() {
    for steps in 0..=4 {
        for crashed in [(false, false), (true, false), (false, true), (true, true)] {
            let (mut source, mut target) = disks();
            let mut attempt = 0;
            for step in 0..steps {
                match step {
                    0 => attempt = drain(&mut source, FIRST, 1).unwrap().unwrap(),
                    1 => {
                        let copied = copy(&source, 0, None).unwrap();
                        assert!(stage(&mut target, NEXT, attempt, &copied).unwrap());
                    }
                    2 => assert!(seal(&mut source, 0, attempt).unwrap()),
                    _ => assert!(follow(&mut target, &map(1, 2), 1).unwrap()),
                }
                assert!(!(serving(&source, FIRST) && serving(&target, NEXT)));
            }
            for (disk, crashed) in [(&mut source, crashed.0), (&mut target, crashed.1)] {
                if crashed {
                    book::recover(disk, 1, None).unwrap();
                }
            }
            // What is sealed can only go forward, and the map passes on when it is.
            if own(&source, 0).unwrap().unwrap().stage == Stage::Sealed {
                follow(&mut target, &map(1, 2), 1).unwrap();
                assert!(follow(&mut source, &map(1, 2), 0).unwrap());
                assert!(!serving(&source, FIRST) && serving(&target, NEXT));
                assert_eq!(balance(&target, NEXT), 100);
                assert_eq!(source.rows(&rows::partition(0)).unwrap(), []);
            } else {
                undrain(&mut source, 0).unwrap();
                assert!(serving(&source, FIRST) && !serving(&target, NEXT));
                assert_eq!(balance(&source, FIRST), 100);
            }
        }
    }
}

#[test]
fn a_copy_of_an_earlier_attempt_does_not_replace_a_later_one() {
    let (mut source, mut target) = disks();
    let first = drain(&mut source, FIRST, 1).unwrap().unwrap();
    let held_up = copy(&source, 0, None).unwrap();
    undrain(&mut source, 0).unwrap();
    book::open(&mut source, FIRST, &"a2".parse().unwrap(), 7).unwrap().unwrap();
    let second = drain(&mut source, FIRST, 1).unwrap().unwrap();
    assert!(!seal(&mut source, 0, first).unwrap());
    assert!(stage(&mut target, NEXT, second, &copy(&source, 0, None).unwrap()).unwrap());
    assert!(!stage(&mut target, NEXT, first, &held_up).unwrap());
    assert!(seal(&mut source, 0, second).unwrap());
    follow(&mut target, &map(1, 2), 1).unwrap();
    assert!(!stage(&mut target, NEXT, second, &held_up).unwrap(), "it serves already");
    assert_eq!(target.rows(&rows::account(0, "")).unwrap().len(), 2);
}

#[test]
fn the_first_owner_begins_with_nothing_once_only() {
    let (mut source, _) = disks();
    let attempt = drain(&mut source, FIRST, 1).unwrap().unwrap();
    assert!(seal(&mut source, 0, attempt).unwrap());
    assert!(follow(&mut source, &map(1, 2), 0).unwrap());
    // An old map, seen late.
    assert!(!follow(&mut source, &map(0, 1), 0).unwrap());
    assert!(!serving(&source, FIRST));
}

#[test]
fn a_partition_with_a_transfer_under_way_is_not_drained_and_takes_nothing_new() {
    let (mut source, _) = disks();
    let order = |request: &str| book::Order {
        request_id: request.parse().unwrap(),
        from: "a1".parse().unwrap(),
        to: "b1".parse().unwrap(),
        amount: 1,
    };
    let there = book::There { node: 1, part: Part { partition: 1, epoch: 1 } };
    let begun = book::transfer(&mut source, "tx", &order("r1"), FIRST, there, 0, None).unwrap();
    assert_eq!(begun, Ok(book::Begun::Begun));
    drain(&mut source, FIRST, 1).unwrap().unwrap();
    assert!(!drained(&source, 0).unwrap());
    assert_eq!(balance(&source, FIRST), 100, "it can be read");
    book::abort(&mut source, "tx").unwrap();
    assert!(drained(&source, 0).unwrap());
    let refused = book::transfer(&mut source, "tx2", &order("r2"), FIRST, there, 0, None).unwrap();
    assert_eq!(refused, Err(book::Refusal::NotServed));
    let unfenced = Some(Bug::HandoffWithoutFencing);
    assert!(serves(&source, FIRST, unfenced).unwrap());
}
