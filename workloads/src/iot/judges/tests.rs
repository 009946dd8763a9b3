use ordeal_core::{Checker, Event, EventKind, Finding, History, Key, Process, Verdict};
use serde_json::{Value, json};

use super::{Answers, EventStream, TransitionLog};

/// A history made of operations, each with its time.
#[derive(Default)]
struct Told(Vec<Event>);

impl Told {
    fn op(
        mut self,
        f: &'static str,
        machine: &str,
        node: &str,
        at: (u64, u64),
        input: Value,
        end: (EventKind, Value),
    ) -> Self {
        let process = Process::Client(self.0.len() as u64);
        let key = (!machine.is_empty()).then(|| Key::Text(machine.to_owned()));
        let event = |time, kind, value| Event {
            index: 0,
            time,
            process: process.clone(),
            kind,
            f: f.into(),
            value,
            key: key.clone(),
            node: Some(node.to_owned().into()),
            error: None,
        };
        self.0.push(event(at.0, EventKind::Invoke, input));
        self.0.push(event(at.1, end.0, end.1));
        self
    }

    /// An alarming temperature of m1, answered with this state at this index.
    fn reading(self, request: &str, at: u64, index: u64, state: &str) -> Self {
        let done = json!({ "state": state, "index": index, "term": 1 });
        self.op("reading", "m1", "n1", (at, at + 1), sent(request), (EventKind::Ok, done))
    }

    fn unanswered(self, request: &str, at: u64, kind: EventKind) -> Self {
        self.op("reading", "m1", "n1", (at, at + 1), sent(request), (kind, Value::Null))
    }

    fn reset(self, request: &str, at: u64, index: u64) -> Self {
        let done = json!({ "state": "running", "index": index, "term": 1 });
        let input = json!({ "request": request, "again": false });
        self.op("reset", "m1", "n1", (at, at + 1), input, (EventKind::Ok, done))
    }

    fn read(self, at: u64, index: u64, state: &str) -> Self {
        let answer = (EventKind::Ok, json!({ "state": state, "index": index }));
        self.op("read", "m1", "n2", (at, at + 1), Value::Null, answer)
    }

    fn page(
        self,
        f: &'static str,
        node: &str,
        at: u64,
        span: (u64, u64),
        applied: u64,
        items: Vec<Value>,
    ) -> Self {
        let answer =
            json!({ "from": span.0, "next": span.1, "applied": applied, "items": Value::Array(items) });
        self.op(f, "", node, (at, at + 1), Value::Null, (EventKind::Ok, answer))
    }

    fn whole_log(self, node: &str, at: u64, items: Vec<Value>) -> Self {
        let applied = items.last().map_or(0, |last| last["index"].as_u64().unwrap());
        self.page("read-log", node, at, (0, applied + 1), applied, items)
    }

    fn all_events(self, node: &str, at: u64, applied: u64, items: Vec<Value>) -> Self {
        let next = 1 + items.len() as u64;
        self.page("read-events", node, at, (1, next), applied, items)
    }

    fn judged(mut self, judge: &dyn Checker) -> Finding {
        self.0.sort_by_key(|event| event.time);
        for (index, event) in (0..).zip(&mut self.0) {
            event.index = index;
        }
        judge.check(&History { events: self.0, truncated: None })
    }

    #[track_caller]
    fn passes(self, judge: &dyn Checker) {
        let finding = self.judged(judge);
        assert_eq!(finding.verdict, Verdict::Valid, "{finding:#?}");
    }

    #[track_caller]
    fn shows(self, judge: &dyn Checker, anomaly: &str) {
        let finding = self.judged(judge);
        assert_eq!(finding.verdict, Verdict::Invalid, "{finding:#?}");
        assert!(finding.anomalies.iter().any(|a| a.name == anomaly && !a.events.is_empty()), "{finding:#?}");
    }

    #[track_caller]
    fn is(self, judge: &dyn Checker, verdict: Verdict) {
        let finding = self.judged(judge);
        assert_eq!(finding.verdict, verdict, "{finding:#?}");
    }
}

fn sent(request: &str) -> Value {
    json!({ "request": request, "sensor": "s1", "kind": "temperature", "value": 90.0, "again": false })
}

/// The reading of [`Told::reading`] as the log has it.
fn logged(request: &str, index: u64, before: &str, after: &str) -> Value {
    json!({
        "index": index, "term": 1, "request_id": request, "machine": "m1", "action": "reading", "sensor": "s1",
        "kind": "temperature", "value": 90.0, "before": before, "after": after,
    })
}

fn first() -> Value {
    logged("r1", 3, "running", "alert")
}

fn second() -> Value {
    logged("r2", 5, "alert", "slowed")
}

/// Two readings, as they were answered.
fn two() -> Told {
    Told::default().reading("r1", 0, 3, "alert").reading("r2", 10, 5, "slowed")
}

fn event(number: u64, index: u64, before: &str, after: &str) -> Value {
    json!({ "number": number, "index": index, "term": 1, "machine": "m1", "before": before, "after": after })
}

fn both_events() -> Vec<Value> {
    vec![event(1, 3, "running", "alert"), event(2, 5, "alert", "slowed")]
}

/// Two readings and the whole log.
fn with_log() -> Told {
    two().whole_log("n1", 50, vec![first(), second()])
}

#[test]
fn logs_that_agree_pass_also_one_that_lags() {
    two()
        .page("poll-log", "n3", 20, (0, 4), 3, vec![first()])
        .page("poll-log", "n2", 22, (4, 6), 5, vec![second()])
        .page("poll-log", "n2", 24, (9, 9), 5, vec![])
        .whole_log("n1", 50, vec![first(), second()])
        .whole_log("n2", 51, vec![first(), second()])
        .passes(&TransitionLog);
}

#[test]
fn an_unknown_request_may_come_late_or_never() {
    let late = || logged("r3", 6, "slowed", "shutdown");
    let open = || two().unanswered("r3", 20, EventKind::Info);
    open().whole_log("n1", 50, vec![first(), second()]).passes(&TransitionLog);
    open()
        .whole_log("n1", 50, vec![first(), second()])
        .whole_log("n2", 60, vec![first(), second(), late()])
        .passes(&TransitionLog);
}

#[test]
fn nothing_read_is_not_valid() {
    two().page("poll-log", "n1", 20, (0, 6), 5, vec![first(), second()]).is(&TransitionLog, Verdict::Unknown);
    Told::default().whole_log("n1", 5, vec![]).is(&TransitionLog, Verdict::Vacuous);
    Told::default().is(&EventStream, Verdict::Vacuous);
    Told::default().is(&Answers, Verdict::Vacuous);
    Told::default()
        .op("read", "m1", "n1", (0, 1), Value::Null, (EventKind::Ok, json!(7)))
        .is(&Answers, Verdict::Unknown);
}

#[test]
fn a_log_out_of_order_is_seen() {
    two()
        .page("read-log", "n1", 50, (0, 6), 5, vec![second(), first()])
        .shows(&TransitionLog, "log-disorder");
}

#[test]
fn a_fork_is_seen_whether_something_differs_or_is_missing() {
    let other = logged("r2", 3, "running", "alert");
    with_log().page("poll-log", "n2", 20, (0, 4), 3, vec![other]).shows(&TransitionLog, "log-fork");
    with_log().page("poll-log", "n2", 20, (0, 6), 5, vec![second()]).shows(&TransitionLog, "log-fork");
}

#[test]
fn a_log_that_shrinks_is_seen() {
    with_log().page("poll-log", "n1", 60, (0, 4), 3, vec![first()]).shows(&TransitionLog, "log-shrunk");
}

#[test]
fn a_retry_that_was_applied_twice_is_seen() {
    let twice = logged("r2", 6, "slowed", "shutdown");
    two().whole_log("n1", 50, vec![first(), second(), twice]).shows(&TransitionLog, "applied-twice");
}

#[test]
fn what_nobody_sent_or_was_refused_must_not_be_in_the_log() {
    let foreign = logged("r9", 6, "slowed", "shutdown");
    two()
        .whole_log("n1", 50, vec![first(), second(), foreign.clone()])
        .shows(&TransitionLog, "invented-transition");
    two()
        .unanswered("r9", 20, EventKind::Fail)
        .whole_log("n1", 50, vec![first(), second(), foreign])
        .shows(&TransitionLog, "invented-transition");
    let mut altered = second();
    altered["value"] = json!(91.0);
    two().whole_log("n1", 50, vec![first(), altered]).shows(&TransitionLog, "invented-transition");
}

#[test]
fn an_answer_and_the_log_agree() {
    Told::default()
        .reading("r1", 0, 4, "alert")
        .whole_log("n1", 50, vec![first()])
        .shows(&TransitionLog, "contradicted-answer");
}

#[test]
fn an_acknowledged_request_that_is_nowhere_is_lost() {
    two().whole_log("n1", 50, vec![first()]).shows(&TransitionLog, "lost-transition");
    let stale = || two().whole_log("n2", 50, vec![first(), second()]);
    stale().whole_log("n1", 20, vec![first()]).shows(&TransitionLog, "stale-log");
    stale().whole_log("n1", 10, vec![first()]).passes(&TransitionLog);
}

#[test]
fn what_nodes_keep_no_more_is_judged_by_what_consumers_saw() {
    let trimmed = || two().page("read-log", "n1", 50, (4, 6), 5, vec![second()]);
    trimmed().page("poll-log", "n1", 20, (0, 4), 3, vec![first()]).passes(&TransitionLog);
    trimmed().page("poll-log", "n1", 20, (0, 4), 3, vec![]).shows(&TransitionLog, "lost-transition");
    trimmed().is(&TransitionLog, Verdict::Unknown);
}

#[test]
fn a_transition_that_breaks_the_rules_is_seen() {
    let wrong = logged("r2", 5, "alert", "alert");
    Told::default()
        .reading("r1", 0, 3, "alert")
        .reading("r2", 10, 5, "alert")
        .whole_log("n1", 50, vec![first(), wrong])
        .shows(&TransitionLog, "wrong-transition");
    let unfounded = logged("r1", 3, "alert", "slowed");
    Told::default()
        .reading("r1", 0, 3, "slowed")
        .whole_log("n1", 50, vec![unfounded])
        .shows(&TransitionLog, "wrong-transition");
}

#[test]
fn ends_that_stay_different_are_seen() {
    two()
        .whole_log("n1", 50, vec![first(), second()])
        .whole_log("n2", 50, vec![first()])
        .shows(&TransitionLog, "unequal-end");
}

#[test]
fn consumers_that_move_between_nodes_see_every_event_once() {
    with_log()
        .page("poll-events", "n1", 12, (1, 2), 3, vec![event(1, 3, "running", "alert")])
        .page("poll-events", "n2", 14, (2, 2), 3, vec![])
        .page("follow-events", "n3", 16, (2, 3), 5, vec![event(2, 5, "alert", "slowed")])
        .all_events("n1", 60, 5, both_events())
        .passes(&EventStream);
}

#[test]
fn gaps_in_the_stream_are_seen() {
    let events = || with_log().all_events("n1", 60, 5, both_events());
    // A page that begins too late, by what is on it or by where it goes on.
    let second = || event(2, 5, "alert", "slowed");
    events().page("poll-events", "n2", 20, (1, 3), 5, vec![second()]).shows(&EventStream, "event-gap");
    events().page("poll-events", "n2", 20, (1, 3), 5, vec![]).shows(&EventStream, "event-gap");
    // Numbers without a hole, though the log has more, before, or at the end.
    let renumbered = event(1, 5, "alert", "slowed");
    with_log().all_events("n1", 60, 5, vec![renumbered]).shows(&EventStream, "event-gap");
    with_log()
        .all_events("n1", 60, 5, vec![event(1, 3, "running", "alert")])
        .shows(&EventStream, "event-gap");
    events().all_events("n2", 61, 5, vec![]).shows(&EventStream, "event-gap");
    // Before it had applied the second one, the node could not show it.
    with_log().all_events("n1", 60, 4, vec![event(1, 3, "running", "alert")]).passes(&EventStream);
}

#[test]
fn repeats_disorder_and_forks_in_the_stream_are_seen() {
    let page = |items| {
        with_log().all_events("n1", 60, 5, both_events()).page("poll-events", "n2", 20, (2, 3), 5, items)
    };
    let [one, two] = [both_events().remove(0), both_events().remove(1)];
    page(vec![one.clone(), two.clone()]).shows(&EventStream, "event-repeated");
    page(vec![two.clone(), two]).shows(&EventStream, "event-repeated");
    let early = event(2, 3, "alert", "slowed");
    with_log().all_events("n1", 60, 5, vec![one, early.clone()]).shows(&EventStream, "event-disorder");
    page(vec![early]).shows(&EventStream, "event-fork");
}

#[test]
fn events_that_the_log_does_not_have_are_seen() {
    let invented = event(3, 6, "slowed", "running");
    let with = |invented| with_log().all_events("n1", 60, 5, [both_events(), vec![invented]].concat());
    with(event(3, 5, "slowed", "running")).shows(&EventStream, "event-invented");
    // Nobody has seen that part of the log.
    with(invented).passes(&EventStream);
}

#[test]
fn answers_in_order_pass() {
    two().read(20, 5, "slowed").reset("r3", 30, 7).read(40, 7, "running").passes(&Answers);
    // While a reset runs, the machine may be in either state.
    Told::default().read(0, 3, "shutdown").reset("r3", 10, 7).read(10, 7, "running").passes(&Answers);
    Told::default().read(0, 0, "running").passes(&Answers);
}

#[test]
fn two_states_of_one_transition_conflict() {
    two().read(20, 5, "shutdown").shows(&Answers, "conflicting-action");
}

#[test]
fn an_older_answer_is_seen() {
    two().read(20, 3, "alert").shows(&Answers, "stale-answer");
    two().reading("r3", 20, 5, "slowed").shows(&Answers, "stale-answer");
    // Both were under way at once.
    two().read(10, 3, "alert").passes(&Answers);
}

#[test]
fn a_retry_is_answered_as_the_first_time() {
    let answer = |index| json!({ "state": "alert", "index": 3, "term": 1, "again": { "state": "alert", "index": index, "term": 1 } });
    let told =
        |index| Told::default().op("reading", "m1", "n1", (0, 1), sent("r1"), (EventKind::Ok, answer(index)));
    told(3).passes(&Answers);
    told(4).shows(&Answers, "retry-answered-differently");
}

#[test]
fn a_shutdown_is_never_forgotten() {
    let shut = || Told::default().reading("r1", 0, 3, "shutdown");
    shut().read(20, 4, "running").shows(&Answers, "shutdown-forgotten");
    shut().reset("r2", 10, 4).read(20, 4, "running").passes(&Answers);
    let asked = |kind| {
        shut().op(
            "reset",
            "m1",
            "n1",
            (10, 11),
            json!({ "request": "r2", "again": false }),
            (kind, Value::Null),
        )
    };
    asked(EventKind::Info).read(20, 4, "running").passes(&Answers);
    asked(EventKind::Fail).read(20, 4, "running").shows(&Answers, "shutdown-forgotten");
    // A reset before the shutdown explains nothing.
    Told::default()
        .reset("r0", 0, 2)
        .reading("r1", 10, 3, "shutdown")
        .read(20, 4, "alert")
        .shows(&Answers, "shutdown-forgotten");
}
