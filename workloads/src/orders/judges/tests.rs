//! Small histories written by hand: valid ones, and one for every anomaly that a judge can name.

use ordeal_core::{Checker, History, Verdict};
use serde_json::{Value, json};

use super::law::in_order;
use super::*;
use crate::by_hand::{self, Said, VALID, Written, found, phase, said};
use crate::orders::{Event, What};

mod fair;
mod right_node;

/// `(node, f, key, input, from ms, kind, output)` of operations of 5 ms each, by a client each.
type Line = (&'static str, &'static str, Option<&'static str>, Value, u64, &'static str, Value);

const WINDOW_MS: u64 = 100;

/// The reads at the end begin after 9000 ms.
fn history(lines: &[Line]) -> History {
    let written = lines.iter().enumerate().map(|(client, (node, f, key, input, from, kind, output))| {
        let ms = (*from, from + 5);
        Written { process: client as u64, node, f, key: *key, input, ms, kind, output }
    });
    by_hand::history(written, vec![phase(9_000, "final-reads")])
}

fn judge(checker: &impl Checker, lines: &[Line]) -> Said {
    said(checker.check(&history(lines)))
}

const SEQUENCES: Sequences = Sequences { nodes: 2 };
const DELAYS: Delays = Delays { nodes: 2 };

fn stock(id: &str, source: &str, timestamp: u64, delta: i64) -> Event {
    let what = What::Stock { sku: "p1".to_owned(), delta };
    Event { id: id.to_owned(), source: source.to_owned(), timestamp, depends_on: Vec::new(), what }
}

fn promotion() -> Event {
    let what = What::Promotion { sku: "p1".to_owned(), percent: 50, from: 1_000, until: 1_020 };
    Event { what, ..stock("m1", "s1", 1_010, 0) }
}

fn order(id: &str, timestamp: u64, quantity: u64, depends_on: &[&str]) -> Event {
    let what = What::Order { sku: "p1".to_owned(), quantity, price: 10 };
    let depends_on = depends_on.iter().map(|id| (*id).to_owned()).collect();
    Event { what, depends_on, ..stock(id, "s2", timestamp, 0) }
}

/// An event is sent at this moment; answered with this status and watermark.
fn send(from: u64, event: &Event, status: &str, watermark: u64) -> Line {
    let answer = json!({"id": event.id, "status": status, "watermark": watermark});
    ("n1", "send", Some("p1"), json!(event), from, "ok", answer)
}

fn ended(kind: &'static str, mut line: Line) -> Line {
    line.5 = kind;
    line
}

fn outcome(status: &str, price: Option<u64>, promotion: Option<&str>, reason: Option<&str>) -> Value {
    json!({"status": status, "price": price, "promotion": promotion, "reason": reason})
}

/// The five events of the story, as they must be processed.
fn story() -> Vec<(Event, Value)> {
    vec![
        (stock("k1", "s1", 1_000, 5), outcome("applied", None, None, None)),
        (promotion(), outcome("applied", None, None, None)),
        // Stamped before the promotion on which it depends.
        (order("o1", 1_005, 2, &["m1"]), outcome("confirmed", Some(10), Some("m1"), None)),
        (order("o2", 1_020, 1, &[]), outcome("confirmed", Some(10), None, None)),
        (order("o3", 1_030, 9, &[]), outcome("rejected", None, None, Some("sold-out"))),
    ]
}

fn steps(story: &[(Event, Value)]) -> Value {
    let step = |(position, (event, outcome)): (usize, &(Event, Value))| json!({"position": position, "event": event, "outcome": outcome});
    json!(story.iter().enumerate().map(step).collect::<Vec<_>>())
}

fn sequence(node: &'static str, from: u64, story: &[(Event, Value)]) -> Line {
    let steps = json!({"node": node, "events": steps(story)});
    (node, "sequence", None, Value::Null, from, "ok", steps)
}

fn status(node: &'static str, from: u64, watermark: u64, buffered: u64) -> Line {
    let status = json!({"node": node, "watermark": watermark, "buffered": buffered, "capacity": 9,
        "window_ms": WINDOW_MS, "idle_ms": 50});
    (node, "status", None, Value::Null, from, "ok", status)
}

fn read_order(from: u64, id: &str, of: Value, position: Option<u64>) -> Line {
    let mut answer = of;
    answer["order"] = json!(id);
    answer["position"] = json!(position);
    ("n2", "order", Some("p1"), json!(id), from, "ok", answer)
}

fn read_stock(from: u64, level: i64, processed: u64) -> Line {
    let answer = json!({"sku": "p1", "level": level, "processed": processed});
    ("n2", "stock", Some("p1"), Value::Null, from, "ok", answer)
}

fn buffered(from: u64, id: &str) -> Line {
    read_order(from, id, outcome("buffered", None, None, None), None)
}

/// Everything is sent out of order, within the window, and one event too late.
fn sent() -> Vec<Line> {
    let story = story();
    let mut lines: Vec<Line> = [3, 2, 0, 4, 1]
        .iter()
        .zip(0..)
        .map(|(event, n)| send(100 + 10 * n, &story[*event].0, "accepted", 0))
        .collect();
    lines.push(send(130, &story[0].0, "accepted", 0));
    lines.push(send(200, &stock("k9", "s1", 900, 1), "late", 910));
    lines.push(status("n1", 160, 910, 5));
    lines
}

/// What both nodes show in the end.
fn ends(story: &[(Event, Value)]) -> Vec<Line> {
    vec![
        status("n1", 9_010, 0, 0),
        status("n2", 9_010, 0, 0),
        sequence("n1", 9_020, story),
        sequence("n2", 9_020, &story[..story.len().min(5)]),
    ]
}

fn whole(more: Vec<Line>) -> Vec<Line> {
    [sent(), ends(&story()), more].concat()
}

/// The whole run, but with this sequence in the end.
fn with(story: &[(Event, Value)]) -> Vec<Line> {
    [sent(), ends(story)].concat()
}

#[test]
fn what_is_right_is_valid_and_silence_is_not() {
    let read = vec![
        buffered(115, "o1"),
        read_order(400, "o1", story()[2].1.clone(), Some(2)),
        read_stock(410, 3, 3),
        ("n2", "processed", None, json!(1), 420, "ok", json!({"node": "n2", "events": [steps(&story())[1]]})),
    ];
    let lines = whole(read);
    assert_eq!(judge(&SEQUENCES, &lines), VALID);
    assert_eq!(judge(&Promises, &lines), VALID);
    assert_eq!(judge(&Outcomes, &lines), VALID);
    assert_eq!(judge(&DELAYS, &lines), VALID);
    assert_eq!(judge(&SEQUENCES, &with(&[])).0, Verdict::Invalid, "accepted, and nothing processed");
    assert_eq!(judge(&SEQUENCES, &ends(&[])).0, Verdict::Vacuous);
    assert_eq!(judge(&Promises, &ends(&[])).0, Verdict::Vacuous);
    assert_eq!(judge(&Outcomes, &ends(&[])).0, Verdict::Vacuous);
    assert_eq!(judge(&DELAYS, &ends(&[])).0, Verdict::Vacuous);
    let nobody = sent();
    assert_eq!(judge(&SEQUENCES, &nobody).0, Verdict::Unknown);
    assert_eq!(judge(&Outcomes, &nobody).0, Verdict::Unknown);
    assert_eq!(judge(&DELAYS, &nobody).0, Verdict::Unknown);
    let not_late: Vec<Line> = lines.into_iter().filter(|line| line.6["status"] != "late").collect();
    assert_eq!(judge(&Promises, &not_late).0, Verdict::Vacuous, "no event was late");
}

#[test]
fn every_fault_of_a_sequence_has_its_name() {
    let all = story();
    let step = |n: usize| all[n].clone();
    let in_another_order = [step(0), step(2), step(1), step(3), step(4)];
    assert_eq!(judge(&SEQUENCES, &with(&in_another_order)), found("out-of-order"));
    let twice = [all.clone(), vec![step(4)]].concat();
    assert_eq!(judge(&SEQUENCES, &with(&twice)), found("processed-twice"));
    assert_eq!(judge(&SEQUENCES, &with(&all[..4])), found("accepted-not-processed"));
    let strange = |event: Event| {
        let strange = [all.clone(), vec![(event, outcome("applied", None, None, None))]].concat();
        with(&strange)
    };
    assert_eq!(judge(&SEQUENCES, &strange(stock("k7", "s1", 1_040, 1))), found("unknown-event"));
    let of = |line: Line, event: Event| [vec![line], strange(event)].concat();
    let k7 = stock("k7", "s1", 1_040, 1);
    assert_eq!(
        judge(&SEQUENCES, &of(ended("fail", send(150, &k7, "", 0)), k7.clone())),
        found("refused-yet-processed")
    );
    assert_eq!(judge(&SEQUENCES, &of(ended("info", send(150, &k7, "", 0)), k7.clone())), VALID);
    assert_eq!(
        judge(&SEQUENCES, &of(send(150, &k7, "late", 1_050), k7.clone())),
        found("late-yet-processed")
    );
    let otherwise = stock("k7", "s1", 1_040, 2);
    let altered = judge(&SEQUENCES, &of(send(150, &k7, "accepted", 0), otherwise));
    assert!(altered.1.contains(&"unknown-event".to_owned()), "{altered:?}");
    let mut differ = with(&all);
    let other =
        [all[..4].to_vec(), vec![(all[4].0.clone(), outcome("confirmed", Some(90), None, None))]].concat();
    differ.retain(|line| (line.0, line.1) != ("n2", "sequence"));
    differ.push(sequence("n2", 9_020, &other));
    assert_eq!(judge(&SEQUENCES, &differ), found("sequences-differ"));
    let mut gap = with(&all);
    for line in gap.iter_mut().filter(|line| line.1 == "sequence") {
        line.6["events"][4]["position"] = json!(5);
    }
    assert_eq!(judge(&SEQUENCES, &gap), found("sequence-gap"));
    let changed = (
        "n2",
        "processed",
        None,
        json!(1),
        420,
        "ok",
        json!({"node": "n2", "events": [
        {"position": 1, "event": all[3].0, "outcome": all[3].1}]}),
    );
    assert_eq!(judge(&SEQUENCES, &whole(vec![changed])), found("sequence-changed"));
}

#[test]
fn every_broken_promise_has_its_name() {
    let k1 = story()[0].0.clone();
    let k8 = stock("k8", "s1", 950, 1);
    // Only one source has come further, and then a second one.
    let ahead = |from| send(from, &stock("k5", "s3", 5_000, 1), "accepted", 0);
    let cases = [
        (vec![send(300, &k1, "late", 1_000)], "answered-otherwise"),
        (vec![send(300, &k8, "late", 940)], "late-without-reason"),
        (vec![send(300, &k8, "accepted", 950)], "accepted-too-late"),
        (vec![ahead(150), send(200, &k8, "late", 3_000)], "watermark-too-high"),
        (vec![ahead(150), status("n1", 200, 3_000, 0)], "watermark-too-high"),
        (
            vec![
                ahead(150),
                send(160, &stock("k6", "s4", 2_000, 1), "accepted", 0),
                send(300, &k8, "accepted", 0),
            ],
            "accepted-too-late",
        ),
    ];
    for (more, name) in cases {
        assert_eq!(judge(&Promises, &whole(more)), found(name), "{name}");
    }
    let mut foreign = send(300, &k8, "accepted", 0);
    foreign.6["id"] = json!("k1");
    assert_eq!(judge(&Promises, &whole(vec![foreign])), found("answered-otherwise"));
}

#[test]
fn event_time_goes_on_only_while_nothing_is_accepted() {
    let after_quiet = |watermark| whole(vec![send(600, &stock("k8", "s1", 950, 1), "late", watermark)]);
    // Agreed on 1020 at 145 ms; the last event was accepted from 140 ms on, so 465 ms may have passed.
    assert_eq!(judge(&Promises, &after_quiet(1_010 + 450 - 100)), VALID);
    assert_eq!(judge(&Promises, &after_quiet(1_010 + 480 - 100)), found("watermark-too-high"));
    let mut busy = after_quiet(1_010 + 450 - 100);
    for n in 0..9 {
        let n_th = ["a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8"][n as usize];
        busy.push(send(150 + 50 * n, &stock(n_th, "s1", 1_015, 1), "accepted", 0));
    }
    assert_eq!(judge(&Promises, &busy), found("watermark-too-high"));
}

#[test]
fn every_wrong_outcome_has_its_name() {
    let all = story();
    let but = |place: usize, outcome: Value| {
        let mut story = all.clone();
        story[place].1 = outcome;
        story
    };
    let cases = [
        (but(3, outcome("confirmed", Some(5), Some("m1"), None)), "wrong-price"),
        (but(4, outcome("confirmed", Some(90), None, None)), "oversold"),
        (but(2, outcome("rejected", None, None, Some("missing-dependency"))), "wrong-outcome"),
    ];
    for (story, name) in cases {
        assert!(judge(&Outcomes, &with(&story)).1.contains(&name.to_owned()), "{name}");
    }
    let confirmed = all[2].1.clone();
    let nothing = outcome("none", None, None, None);
    let cases = [
        (vec![read_order(400, "o1", all[3].1.clone(), Some(3))], "read-otherwise"),
        (vec![read_order(400, "o1", outcome("confirmed", Some(20), None, None), Some(2))], "read-otherwise"),
        (vec![read_stock(400, 5, 3)], "wrong-level"),
        (vec![read_stock(400, 2, 7)], "wrong-level"),
        (vec![read_stock(400, -1, 3)], "negative-stock"),
        (vec![read_stock(400, 3, 3), read_stock(410, 5, 1)], "went-back"),
        (vec![read_order(400, "o1", confirmed, Some(2)), read_stock(410, 5, 2)], "went-back"),
        (vec![read_stock(400, 2, 4), buffered(410, "o2")], "went-back"),
        (vec![read_order(400, "o2", nothing, None)], "went-back"),
    ];
    for (more, name) in cases {
        assert_eq!(judge(&Outcomes, &whole(more)), found(name), "{name}");
    }
}

#[test]
fn what_waits_too_long_is_found_by_event_time() {
    let later = |from| {
        let further = |id, source| stock(id, source, 1_120, 1);
        vec![send(from, &further("k5", "s1"), "accepted", 0), send(from, &further("k6", "s3"), "accepted", 0)]
    };
    let seen = || read_order(500, "o1", story()[2].1.clone(), Some(2));
    let lines = |at, id| whole([later(300), vec![buffered(at, id), seen()]].concat());
    assert_eq!(judge(&DELAYS, &lines(310, "o2")), found("overdue"));
    assert_eq!(judge(&DELAYS, &lines(302, "o2")), VALID, "while the others were being accepted");
    assert_eq!(judge(&DELAYS, &lines(310, "o1")), VALID, "it depends on something");
    assert_eq!(judge(&DELAYS, &lines(310, "o3")), VALID);
    assert_eq!(
        judge(&DELAYS, &whole(vec![seen(), status("n1", 9_100, 1_100, 1)])),
        found("buffer-not-drained")
    );
}

#[test]
fn the_law_orders_by_place_and_holds_back_what_lacks_something() {
    let after = |id: &str, at, on: &str| Event { depends_on: vec![on.to_owned()], ..stock(id, "s1", at, 1) };
    let ids = |events: &[Event]| {
        let all: Vec<&Event> = events.iter().collect();
        in_order(&all, WINDOW_MS).into_iter().map(|at| &*events[at].id).collect::<Vec<_>>().join(" ")
    };
    let ties =
        [stock("b", "s2", 10, 1), stock("a", "s2", 10, 1), stock("z", "s1", 10, 1), stock("c", "s3", 9, 1)];
    assert_eq!(ids(&ties), "c z a b");
    let chain = [after("a", 10, "b"), after("b", 20, "c"), stock("c", "s2", 30, 1), stock("d", "s1", 40, 1)];
    assert_eq!(ids(&chain), "c b a d");
    let orphan = [after("a", 10, "never"), stock("b", "s1", 109, 1), stock("c", "s1", 110, 1)];
    assert_eq!(ids(&orphan), "b a c");
}
