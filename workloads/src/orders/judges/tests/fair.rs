//! What the contract leaves open is not judged; what it promises is.

use super::*;

/// The story, with one event more at the end of it, and everything read from this moment on.
fn ending(event: &Event, from: u64, processed: bool) -> Vec<Line> {
    let mut story = story();
    if processed {
        story.push((event.clone(), outcome("applied", None, None, None)));
    }
    let waiting = u64::from(!processed);
    let ends =
        ["n1", "n2"].map(|node| vec![status(node, from, 0, waiting), sequence(node, from + 10, &story)]);
    [sent(), vec![send(9_000, event, "accepted", 0), buffered(115, "o1")], ends.concat(), seen()].concat()
}

fn seen() -> Vec<Line> {
    vec![read_order(500, "o1", story()[2].1.clone(), Some(2))]
}

const UNDECIDED: Said = (Verdict::Unknown, vec![]);

#[test]
fn what_waits_is_judged_only_after_the_quiet_time_of_the_declared_window() {
    let near = stock("k7", "s1", 1_300, 1);
    // Two sources have come to 1030, and the window is 100.
    let far = stock("k7", "s1", 1_030 + 3 * WINDOW_MS, 1);
    for (lines, decided) in [
        (ending(&near, 9_005 + 3_000, false), true),
        (ending(&near, 9_005 + 2_980, false), false),
        (ending(&far, 20_000, false), false),
    ] {
        let (sequences, delays) = (judge(&SEQUENCES, &lines), judge(&DELAYS, &lines));
        if decided {
            assert_eq!(sequences, found("accepted-not-processed"));
            assert_eq!(delays, found("buffer-not-drained"));
        } else {
            assert_eq!((sequences, delays), (UNDECIDED, UNDECIDED));
        }
    }
    assert_eq!(judge(&SEQUENCES, &ending(&near, 9_010, true)), VALID);
    assert_eq!(judge(&DELAYS, &ending(&near, 9_010, true)), VALID);
    let mut longer = ending(&near, 9_005 + 3_000, false);
    for line in longer.iter_mut().filter(|line| line.1 == "status") {
        line.6["window_ms"] = json!(501);
    }
    assert_eq!(judge(&DELAYS, &longer), UNDECIDED, "six windows are longer");
    let settling = by_hand::history([], vec![phase(9_500, "settle")]);
    let mut settled = history(&ending(&near, 9_005 + 3_000, false));
    settled.events.extend(settling.events);
    settled.events.sort_by_key(|event| event.time);
    (0..).zip(&mut settled.events).for_each(|(index, event)| event.index = index);
    assert_eq!(said(DELAYS.check(&settled)), UNDECIDED, "nodes had not reached each other");
}

#[test]
fn without_two_sources_anything_may_wait() {
    let alone = stock("k1", "s1", 1_000, 5);
    let lines = [vec![send(100, &alone, "accepted", 0)], ends(&[]), vec![status("n1", 9_015, 0, 1)]].concat();
    assert_eq!(judge(&SEQUENCES, &lines), UNDECIDED);
    assert_eq!(judge(&DELAYS, &lines), UNDECIDED);
}

#[test]
fn a_node_is_known_by_its_address_and_its_buffer_by_its_capacity() {
    let mut anonymous = whole(seen());
    anonymous.iter_mut().filter(|line| line.1 == "status").for_each(|line| line.6["node"] = json!("me"));
    assert_eq!(judge(&DELAYS, &anonymous), VALID);
    let full = |buffered| judge(&DELAYS, &whole([seen(), vec![status("n1", 170, 0, buffered)]].concat()));
    assert_eq!((full(9), full(10)), (VALID, found("buffer-over-capacity")));
}

#[test]
fn what_is_said_of_an_order_before_it_is_processed_is_what_its_senders_were_told() {
    let said = |from, id, status| read_order(from, id, outcome(status, None, None, None), None);
    let late = || send(300, &order("o9", 900, 1, &[]), "late", 910);
    let refused = || ended("fail", send(300, &order("o9", 900, 1, &[]), "", 0));
    let cases = [
        (vec![late(), said(302, "o9", "none")], None),
        (vec![late(), said(310, "o9", "late")], None),
        (vec![late(), said(310, "o9", "none")], Some("went-back")),
        (vec![late(), said(310, "o9", "buffered")], Some("read-otherwise")),
        (vec![said(310, "o9", "none")], None),
        (vec![late(), said(200, "o9", "late")], Some("read-otherwise")),
        (vec![refused(), said(310, "o9", "buffered")], Some("read-otherwise")),
        (vec![said(310, "o2", "late")], Some("read-otherwise")),
        (vec![said(310, "o2", "confirmed")], Some("read-otherwise")),
        (
            vec![read_order(310, "o2", outcome("buffered", Some(10), None, None), None)],
            Some("read-otherwise"),
        ),
    ];
    for (more, name) in cases {
        let lines = whole([seen(), more].concat());
        assert_eq!(judge(&Outcomes, &lines), name.map_or(VALID, found), "{lines:?}");
    }
    // Two sources have come a window further than o2.
    let further = ["s1", "s3"].map(|source| send(300, &stock(source, source, 1_120, 1), "accepted", 0));
    for status in ["none", "late", "buffered"] {
        let lines = whole([seen(), further.to_vec(), vec![said(310, "o2", status)]].concat());
        assert!(judge(&DELAYS, &lines).1.contains(&"overdue".to_owned()), "{status}");
    }
}

#[test]
fn a_read_answers_about_what_was_asked_for() {
    let mut swapped = [read_order(400, "o1", story()[3].1.clone(), Some(3)), read_stock(400, 0, 3)];
    swapped[0].6["order"] = json!("o2");
    swapped[1].6["sku"] = json!("p2");
    for line in swapped {
        assert_eq!(judge(&Outcomes, &whole(vec![line, read_stock(410, 3, 3)])), found("answered-otherwise"));
    }
}

#[test]
fn event_time_goes_on_only_after_the_idle_time_and_also_before_any_answer() {
    let k8 = stock("k8", "s1", 950, 1);
    // Agreed on 1020 from 135 ms on; nothing is accepted from 140 to 205 ms.
    let at = |idle_ms| {
        let mut lines = whole(vec![send(200, &k8, "late", 1_030 + 40 - WINDOW_MS)]);
        for line in lines.iter_mut().filter(|line| line.1 == "status") {
            line.6["idle_ms"] = json!(idle_ms);
        }
        judge(&Promises, &lines)
    };
    assert_eq!((at(50), at(500)), (VALID, found("watermark-too-high")));
    // Nobody heard that these were accepted.
    let unheard = ["s1", "s2"].map(|source| ended("info", send(10, &stock(source, source, 2_000, 1), "", 0)));
    let start = [unheard.to_vec(), vec![status("n1", 90, 2_000 + 80 - WINDOW_MS, 2)]].concat();
    let lines: Vec<Line> = [start, vec![send(100, &stock("k4", "s1", 3_000, 1), "accepted", 1_980)]].concat();
    assert_eq!(judge(&Promises, &lines).1, Vec::<String>::new());
}

#[test]
fn an_event_may_come_back_without_what_it_depends_on() {
    let event = json!({"id": "k1", "source": "s1", "timestamp": 1, "kind": "stock", "sku": "p1", "delta": 1});
    assert_eq!(serde_json::from_value::<Event>(event).unwrap(), stock("k1", "s1", 1, 1));
}
