use super::*;
use crate::machine::tests::{Draws, RULES, event, moved};

/// What comes out when the watermark goes through these moments, with what had gone in by each of them.
fn sequence(events: &[Event], moments: &[u64]) -> Vec<(String, bool)> {
    let mut buffer = Buffer::default();
    events.iter().for_each(|event| buffer.insert(event.clone(), &RULES));
    let mut out: Vec<(String, bool)> = Vec::new();
    for until in moments {
        while let Some(due) =
            buffer.next(*until, &RULES, |id| out.iter().any(|(done, _)| done == id.as_str()))
        {
            out.push((due.event.id.into(), due.complete));
        }
    }
    out
}

fn ids(sequence: &[(String, bool)]) -> Vec<&str> {
    sequence.iter().map(|(id, _)| &**id).collect()
}

#[test]
fn turns_come_by_timestamp_then_source_then_id() {
    let events = [
        event("b", "s2", 10),
        event("a", "s2", 10),
        event("z", "s1", 10),
        event("c", "s9", 9),
        event("d", "s1", 11),
    ];
    assert_eq!(ids(&sequence(&events, &[10])), ["c", "z", "a", "b"]);
    assert_eq!(ids(&sequence(&events, &[9, 11])), ["c", "z", "a", "b", "d"]);
    assert_eq!(sequence(&events, &[8]), []);
}

#[test]
fn an_event_is_held_back_until_what_it_depends_on_is_done_and_fails_after_a_window() {
    let after = |id, at, on: &str| Event { depends_on: vec![on.parse().unwrap()], ..event(id, "s1", at) };
    let events = [after("a", 10, "c"), event("b", "s1", 20), event("c", "s2", 30), event("d", "s1", 30)];
    assert_eq!(ids(&sequence(&events, &[40])), ["b", "d", "c", "a"]);
    let chain = [after("a", 10, "b"), after("b", 20, "c"), event("c", "s2", 30), event("d", "s1", 40)];
    assert_eq!(ids(&sequence(&chain, &[40])), ["c", "b", "a", "d"]);
    let end = 10 + RULES.window_ms;
    let orphan = [
        after("a", 10, "never"),
        event("b", "s1", end - 1),
        event("c", "s1", end),
        event("d", "s1", end + 1),
    ];
    assert_eq!(sequence(&orphan, &[end - 1]), [("b".to_owned(), true)]);
    let whole = sequence(&orphan, &[end + 1]);
    assert_eq!(ids(&whole), ["b", "a", "c", "d"]);
    assert!(!whole[1].1, "it has failed");
}

#[test]
fn the_sequence_follows_from_the_events_alone() {
    let mut draws = Draws::new(3);
    for _ in 0..200 {
        let mut events: Vec<Event> = (0..30).map(|n| draws.event(n)).collect();
        let last = 1_000 + 2 * RULES.window_ms;
        let at_once = sequence(&events, &[last]);
        assert_eq!(at_once.len(), events.len());
        draws.shuffle(&mut events);
        let mut moments: Vec<u64> = (0..8).map(|_| draws.below(last)).chain([last]).collect();
        moments.sort_unstable();
        assert_eq!(sequence(&events, &moments), at_once);
    }
}

#[test]
fn a_snapshot_keeps_the_buffer_unless_that_is_the_defect() {
    let again = |rules: &Rules| {
        let mut buffer = Buffer::default();
        buffer.insert(moved("a", 5), rules);
        serde_json::from_str::<Buffer>(&serde_json::to_string(&buffer).unwrap()).unwrap().len()
    };
    assert_eq!(again(&RULES), 1);
    assert_eq!(again(&Rules { bug: Some(Bug::BufferLostOnCrash), ..RULES }), 0);
}
