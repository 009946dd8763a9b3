use super::*;

fn key(text: &str) -> Key {
    Key::try_from(text.to_owned()).unwrap()
}

/// A node that owns everything, since the first epoch.
fn owner() -> Held {
    let mut held = Held::default();
    assert!(held.obey(&Order::Create { shard: 1, range: Range::default() }).changed);
    held
}

fn copy(epoch: u64) -> Order {
    Order::Copy { shard: 1, range: Range::default(), epoch, source: "d1".to_owned() }
}

fn whole(seq: u64) -> Option<Mark> {
    Some(Mark { seq, behind: 0, whole: true })
}

fn serves(held: &Held, epoch: Option<u64>, bug: Option<Bug>) -> Result<u64, Refusal> {
    held.serving(&key("r1/a"), epoch, bug).map(|(_, record)| record.epoch)
}

#[test]
fn only_the_owner_at_the_epoch_that_a_request_names_serves() {
    let mut held = owner();
    assert!(held.obey(&Order::Keep { shard: 1, epoch: 3 }).changed);
    assert_eq!(serves(&held, None, None), Ok(3));
    assert_eq!(serves(&held, Some(3), None), Ok(3));
    assert_eq!(serves(&held, Some(2), None), Err(Refusal::Older(3)));
    assert_eq!(serves(&held, Some(4), None), Err(Refusal::Newer));
    assert_eq!(serves(&Held::default(), None, None), Err(Refusal::Elsewhere));
    assert!(!held.obey(&Order::Freeze { shard: 1, epoch: 1 }).changed, "that order is of before");
    assert!(held.obey(&Order::Freeze { shard: 1, epoch: 3 }).changed);
    for epoch in [None, Some(3), Some(4)] {
        assert_eq!(serves(&held, epoch, None), Err(Refusal::Moving));
    }
    assert_eq!(serves(&held, Some(3), Some(Bug::OldEpoch)), Ok(3));
    assert_eq!(serves(&held, None, Some(Bug::OldEpoch)), Err(Refusal::Moving));
    assert_eq!(serves(&held, None, Some(Bug::TwoOwners)), Ok(3));
}

#[test]
fn a_copy_is_owned_when_it_is_whole_and_not_before() {
    let mut held = Held::default();
    let begun = held.obey(&copy(1));
    assert_eq!((begun.step, begun.delete), (Some((steps::COPY_BEGUN, 1)), Some(Range::default())));
    assert_eq!(held.obey(&copy(1)), Obeyed::default(), "it is being made");
    let activate = Order::Activate { shard: 1, copied: 1, epoch: 2 };
    assert!(!held.obey(&activate).changed);
    assert!(held.copied(1, 1, 3, whole(7)) && !held.copied(1, 2, 3, whole(8)));
    assert!(held.obey(&activate).changed && !held.obey(&activate).changed);
    assert_eq!((serves(&held, None, None), held.records[&1].seq), (Ok(2), 7));
    assert!(held.obey(&Order::Freeze { shard: 1, epoch: 2 }).changed);
    assert!(!held.obey(&activate).changed, "late, it does not undo what came after");
}

#[test]
fn what_is_gone_is_not_brought_back_by_late_orders() {
    let mut held = owner();
    assert!(!held.obey(&Order::Delete { shard: 1, epoch: 2 }).changed, "it is served");
    assert!(held.obey(&Order::Freeze { shard: 1, epoch: 1 }).changed);
    assert!(held.obey(&Order::Delete { shard: 1, epoch: 2 }).changed);
    let late = [
        Order::Create { shard: 1, range: Range::default() },
        Order::Keep { shard: 1, epoch: 3 },
        Order::Freeze { shard: 1, epoch: 1 },
        Order::Activate { shard: 1, copied: 1, epoch: 2 },
        Order::Delete { shard: 1, epoch: 2 },
        copy(1),
    ];
    for order in late {
        assert_eq!(held.obey(&order), Obeyed::default(), "{order:?}");
    }
    assert_eq!(serves(&held, None, None), Err(Refusal::Elsewhere));
    assert!(held.obey(&copy(2)).changed, "it may come back at a later epoch");
}

#[test]
fn what_was_to_be_deleted_and_never_came_does_not_come_any_more() {
    let mut held = Held::default();
    let deleted = held.obey(&Order::Delete { shard: 1, epoch: 2 });
    assert_eq!(deleted, Obeyed { changed: true, ..Obeyed::default() });
    assert_eq!((held.records[&1].state, held.records[&1].epoch), (State::Gone, 2));
    assert_eq!(held.obey(&copy(1)), Obeyed::default(), "late");
    assert!(held.obey(&Order::Delete { shard: 1, epoch: 4 }).changed);
    assert_eq!(held.obey(&copy(3)), Obeyed::default(), "late");
    assert!(held.obey(&copy(4)).changed, "the next move of it begins at the epoch at which it is another's");
}

#[test]
fn every_page_of_a_copy_is_progress() {
    let mut held = Held::default();
    held.obey(&copy(1));
    let before = held.clone();
    assert!(held.copied(1, 1, 32, None) && held != before);
    let State::Incoming { taken, behind, whole } = held.records[&1].state else { panic!("{held:?}") };
    assert_eq!((taken, behind, whole, held.records[&1].seq), (32, u64::MAX, false, 0));
}

#[test]
fn a_split_gives_the_boundary_to_the_right_side_only() {
    let mut held = owner();
    let split = Order::Split { shard: 1, right: 2, at: key("r1/a"), epoch: 2 };
    assert!(held.obey(&split).changed && !held.obey(&split).changed);
    assert_eq!(held.serving(&key("r1/a"), Some(2), None).unwrap().0, 2);
    assert_eq!(held.serving(&key("q1/a"), Some(2), None).unwrap().0, 1);
    assert_eq!(held.serving(&key("r1/a"), Some(2), Some(Bug::BoundaryTwice)).unwrap().0, 1);
    assert!(held.obey(&Order::Freeze { shard: 2, epoch: 2 }).changed);
    assert_eq!(held.serving(&key("r1/b"), Some(2), None), Err(Refusal::Moving));
    assert!(held.serving(&key("q1/a"), Some(2), None).is_ok());
}

#[test]
fn nothing_is_copied_over_what_is_held() {
    let mut held = owner();
    let other = Order::Copy { shard: 9, range: Range::default(), epoch: 5, source: "d2".to_owned() };
    assert_eq!(held.obey(&other), Obeyed::default());
    assert_eq!(held.obey(&copy(1)), Obeyed::default());
}
