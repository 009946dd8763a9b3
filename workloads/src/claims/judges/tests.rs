//! Small histories: valid ones that must pass, and one for every anomaly that a judge can name.

use ordeal_core::EventKind::{Fail, Info, Ok as Done};
use ordeal_core::{Checker, Event, EventKind, Process, Verdict};
use serde_json::{Value, json};

use super::*;

/// Builds histories of operations that follow one another, unless they are begun and ended apart.
#[derive(Default)]
struct Script {
    history: History,
    process: u64,
}

impl Script {
    fn push(&mut self, process: Process, kind: EventKind, f: &'static str, key: Option<&str>, value: Value) {
        let index = self.history.events.len() as u64;
        self.history.events.push(Event {
            index,
            time: index + 1,
            process,
            kind,
            f: f.into(),
            value,
            key: key.map(|key| Key::Text(key.to_owned())),
            node: Some("n1".into()),
            error: None,
        });
    }

    /// An operation that nothing overlaps; returns itself for the next one.
    fn op(mut self, f: &'static str, key: &str, input: Value, kind: EventKind, output: Value) -> Self {
        self.process += 1;
        let key = (!key.is_empty()).then_some(key);
        self.push(Process::Client(self.process), EventKind::Invoke, f, key, input);
        self.push(Process::Client(self.process), kind, f, key, output);
        self
    }

    fn ok(self, f: &'static str, key: &str, input: Value, output: Value) -> Self {
        self.op(f, key, input, EventKind::Ok, output)
    }

    fn final_reads(mut self) -> Self {
        self.push(Process::nemesis(), Info, "phase", None, json!("final-reads"));
        self
    }

    /// A policy as a final read of the core shows it.
    fn costs(self, policy: &str, version: u64, changed: u64, premium: i64) -> Self {
        self.ok("read-policy", policy, Value::Null, at(version, changed, "h1", premium))
    }

    fn adjust(self, id: &str, amount: i64, policies: &[&str], kind: EventKind, version: u64) -> Self {
        let input = json!({ "id": id, "amount": amount, "policies": policies });
        let premiums: BTreeMap<&str, i64> = policies.iter().map(|policy| (*policy, 0)).collect();
        let output = json!({ "version": version, "premiums": premiums });
        self.op("adjust", "", input, kind, output)
    }

    fn confirm(self, department: &str, verdict: &str, kind: EventKind, status: &str) -> Self {
        let input = json!({ "request_id": "r", "department": department, "verdict": verdict });
        self.op("confirm", "c1", input, kind, json!({ "status": status, "version": 1 }))
    }

    fn reads(self, status: &str) -> Self {
        self.ok("read", "c1", Value::Null, json!({ "status": status, "version": 1 }))
    }
}

fn at(version: u64, changed: u64, holder: &str, premium: i64) -> Value {
    json!({ "version": version, "policy": { "holder": holder, "premium": premium, "changed": changed } })
}

fn terms(version: u64, changed: u64, holder: &str, premium: i64) -> Value {
    let mut at = at(version, changed, holder, premium);
    at["node"] = json!("n4");
    at
}

/// The verdict and the names of the anomalies.
fn judge(checker: &dyn Checker, script: &Script) -> (Verdict, Vec<String>) {
    let finding = checker.check(&script.history);
    let names = finding.anomalies.iter().map(|a| a.name.clone()).collect();
    for anomaly in &finding.anomalies {
        assert!(!anomaly.message.is_empty() && !anomaly.events.is_empty(), "{anomaly:?}");
    }
    (finding.verdict, names)
}

fn accepts(checker: &dyn Checker, script: &Script) {
    assert_eq!(judge(checker, script), (Verdict::Valid, Vec::new()));
}

fn finds(checker: &dyn Checker, script: &Script, anomaly: &str) {
    assert_eq!(judge(checker, script), (Verdict::Invalid, vec![anomaly.to_owned()]));
}

#[test]
fn two_of_three_decide() {
    let approved = Script::default()
        .confirm("finance", "approve", Done, "submitted")
        .reads("submitted")
        .confirm("approval", "reject", Done, "submitted")
        .confirm("policyholder", "approve", Done, "approved")
        .reads("approved");
    accepts(&Decisions, &approved);
    // A vote of which nobody knows may count, and may not.
    for seen in ["submitted", "rejected"] {
        let open = Script::default()
            .confirm("finance", "reject", Done, "submitted")
            .confirm("approval", "reject", Info, "")
            .reads(seen)
            .confirm("policyholder", "reject", Done, "rejected");
        accepts(&Decisions, &open);
    }
    assert_eq!(judge(&Decisions, &Script::default()).0, Verdict::Vacuous);
}

#[test]
fn a_decision_without_two_is_found() {
    let one = Script::default().confirm("finance", "approve", Done, "approved");
    finds(&Decisions, &one, "approved-without-two");
    let twice = Script::default()
        .confirm("finance", "reject", Done, "submitted")
        .confirm("finance", "reject", Done, "rejected");
    finds(&Decisions, &twice, "rejected-without-two");
    let failed = Script::default()
        .confirm("finance", "approve", Done, "submitted")
        .confirm("approval", "approve", Fail, "")
        .reads("approved");
    finds(&Decisions, &failed, "approved-without-two");
}

#[test]
fn a_decision_that_was_forgotten_is_found() {
    let forgotten = Script::default()
        .confirm("finance", "approve", Done, "submitted")
        .confirm("approval", "approve", Done, "approved")
        .reads("submitted");
    finds(&Decisions, &forgotten, "decision-forgotten");
}

#[test]
fn both_decisions_are_found() {
    let both = Script::default()
        .confirm("finance", "approve", Info, "")
        .confirm("approval", "approve", Info, "")
        .reads("approved")
        .confirm("policyholder", "reject", Info, "")
        .confirm("finance", "reject", Info, "")
        .reads("rejected");
    finds(&Decisions, &both, "approved-and-rejected");
}

/// A policy that changed at versions 1 and 3, as the core and a data node tell it.
fn told() -> Script {
    Script::default()
        .ok("put-policy", "p1", json!("h1"), at(1, 1, "h1", 100))
        .ok("read-copy", "p1", json!(0), json!({ "version": 0, "policy": null, "node": "n4" }))
        .ok("read-copy", "p1", json!(1), terms(2, 1, "h1", 100))
        .ok("put-policy", "p1", json!("h3"), at(3, 3, "h3", 100))
        .ok("read-policy", "p1", Value::Null, at(5, 3, "h3", 100))
        .ok("read-copy", "p1", json!(2), terms(2, 1, "h1", 100))
}

#[test]
fn answers_that_fit_into_the_order_of_versions_pass() {
    let adjusted = json!({ "version": 6, "premiums": { "p1": 105 } });
    let wanted = json!({ "id": "a1", "amount": 5, "policies": ["p1"] });
    let script = told()
        .ok("adjust", "", wanted.clone(), adjusted.clone())
        .ok("submit", "c1", json!({}), json!({ "version": 7, "status": "submitted" }))
        .ok("adjust", "", wanted, adjusted)
        .ok("read-copy", "p1", json!(6), terms(6, 6, "h3", 105))
        .ok("read-document", "p1", json!("d1"), json!({ "version": 3, "terms": terms(6, 6, "h3", 105) }))
        .ok("read", "c9", Value::Null, Value::Null)
        .final_reads()
        .ok("read-copy", "p1", json!(0), terms(7, 6, "h3", 105));
    accepts(&CoreVersions, &script);
}

#[test]
fn a_copy_that_misses_a_change_contradicts_the_core() {
    let gap = told().ok("read-copy", "p1", json!(0), terms(4, 1, "h1", 100));
    finds(&CoreVersions, &gap, "contradicts-core");
    let absent =
        told().ok("read-copy", "p1", json!(0), json!({ "version": 4, "policy": null, "node": "n4" }));
    finds(&CoreVersions, &absent, "contradicts-core");
}

#[test]
fn one_change_told_in_two_ways_contradicts_the_core() {
    let other = told().ok("read-copy", "p1", json!(0), terms(4, 3, "h3", 101));
    finds(&CoreVersions, &other, "contradicts-core");
    let early = told().ok("read-copy", "p1", json!(0), terms(4, 5, "h5", 100));
    assert_eq!(judge(&CoreVersions, &early).0, Verdict::Invalid);
}

#[test]
fn a_core_that_goes_back_is_found() {
    let stale = told().ok("read-policy", "p1", Value::Null, at(4, 3, "h3", 100));
    finds(&CoreVersions, &stale, "stale-core");
    let claim = told().ok("read", "c1", Value::Null, json!({ "version": 4, "status": "submitted" }));
    finds(&CoreVersions, &claim, "stale-core");
}

#[test]
fn overlapping_answers_may_come_in_any_order() {
    let mut script = told();
    let read = |script: &mut Script, process, kind, value| {
        script.push(Process::Client(process), kind, "read-policy", Some("p1"), value);
    };
    read(&mut script, 100, EventKind::Invoke, Value::Null);
    read(&mut script, 101, EventKind::Invoke, Value::Null);
    read(&mut script, 101, Done, at(9, 3, "h3", 100));
    read(&mut script, 100, Done, at(8, 3, "h3", 100));
    accepts(&CoreVersions, &script);
}

#[test]
fn a_version_that_two_changes_made_is_found() {
    let reused = told().ok("put-policy", "p2", json!("h9"), at(5, 5, "h9", 100)).ok(
        "put-policy",
        "p3",
        json!("h8"),
        at(5, 5, "h8", 100),
    );
    finds(&CoreVersions, &reused, "version-reused");
}

#[test]
fn a_data_node_that_has_not_reached_a_version_it_was_asked_for_is_found() {
    let copy = told().ok("read-copy", "p1", json!(3), terms(2, 1, "h1", 100));
    finds(&CoreVersions, &copy, "version-not-reached");
    let answer = json!({ "version": 3, "terms": terms(2, 1, "h1", 100) });
    let one = told().ok("read-document", "p1", json!("d1"), answer.clone());
    finds(&CoreVersions, &one, "version-not-reached");
    let added = told().ok("add-document", "p1", json!({ "document": "d1", "version": 3 }), answer);
    finds(&CoreVersions, &added, "version-not-reached");
    let list = json!({ "documents": [document("d1", 3)], "terms": terms(2, 1, "h1", 100) });
    let listed = told().ok("read-documents", "p1", Value::Null, list);
    finds(&CoreVersions, &listed, "version-not-reached");
}

#[test]
fn a_data_node_that_goes_back_or_stays_behind_is_found() {
    let back = told().ok("read-copy", "p1", json!(0), terms(4, 3, "h3", 100)).ok(
        "read-copy",
        "p1",
        json!(0),
        terms(3, 3, "h3", 100),
    );
    finds(&CoreVersions, &back, "version-went-back");
    let behind = told().final_reads().ok("read-copy", "p1", json!(0), terms(4, 3, "h3", 100));
    finds(&CoreVersions, &behind, "never-caught-up");
}

#[test]
fn an_answer_that_cannot_be_read_is_not_passed_over() {
    let odd = told().ok("read-copy", "p1", json!(0), json!({ "version": "four" }));
    assert_eq!(judge(&CoreVersions, &odd).0, Verdict::Unknown);
}

#[test]
fn premiums_are_the_sum_of_what_was_acknowledged_and_some_of_the_rest() {
    let asked = || {
        Script::default()
            .adjust("a1", 3, &["p1", "p2"], Done, 5)
            .adjust("a2", 50, &["p1", "p2"], Info, 0)
            .adjust("a3", 700, &["p1"], Fail, 0)
            .adjust("a4", 9_000, &["p2"], Info, 0)
            .adjust("a4", 9_000, &["p2"], Done, 6)
            .final_reads()
    };
    accepts(&Premiums, &asked().costs("p1", 9, 5, 10_003).costs("p2", 9, 6, 19_003));
    accepts(&Premiums, &asked().costs("p1", 9, 7, 10_053).costs("p2", 9, 7, 19_053));
    // An adjustment that came in between two final reads: judged is what was there at one version.
    let between = asked()
        .costs("p1", 9, 5, 10_003)
        .costs("p2", 11, 10, 19_053)
        .costs("p1", 12, 10, 10_053)
        .costs("p2", 13, 10, 19_053);
    accepts(&Premiums, &between);
}

#[test]
fn lost_repeated_partial_and_unexplained_adjustments_are_found() {
    let asked = || {
        Script::default()
            .adjust("a1", 3, &["p1", "p2"], Done, 5)
            .adjust("a2", 50, &["p1", "p2"], Info, 0)
            .final_reads()
    };
    finds(&Premiums, &asked().costs("p1", 9, 5, 10_000).costs("p2", 9, 5, 10_003), "lost-adjustment");
    finds(&Premiums, &asked().costs("p1", 9, 5, 10_006).costs("p2", 9, 5, 10_003), "repeated-adjustment");
    let retried = Script::default()
        .adjust("a1", 3, &["p1"], Info, 0)
        .adjust("a1", 3, &["p1"], Done, 5)
        .adjust("a2", 50, &["p1"], Info, 0)
        .adjust("a2", 50, &["p1"], Info, 0)
        .final_reads();
    finds(&Premiums, &retried.costs("p1", 9, 5, 10_106), "repeated-adjustment");
    finds(&Premiums, &asked().costs("p1", 9, 5, 10_004).costs("p2", 9, 5, 10_003), "unexplained-premium");
    finds(&Premiums, &asked().costs("p1", 9, 7, 10_053).costs("p2", 9, 5, 10_003), "partial-adjustment");
}

#[test]
fn answers_to_adjustments_are_whole_and_the_same_each_time() {
    let input = json!({ "id": "a1", "amount": 3, "policies": ["p1", "p2"] });
    let output = json!({ "version": 5, "premiums": { "p1": 10_003 } });
    let part = Script::default()
        .ok("adjust", "", input, output)
        .final_reads()
        .costs("p1", 9, 5, 10_003)
        .costs("p2", 9, 5, 10_003);
    finds(&Premiums, &part, "partial-adjustment");
    let again = Script::default()
        .adjust("a1", 3, &["p1"], Done, 5)
        .adjust("a1", 3, &["p1"], Done, 6)
        .final_reads()
        .costs("p1", 9, 6, 10_003);
    finds(&Premiums, &again, "repeated-adjustment");
}

#[test]
fn without_final_reads_nothing_is_said_of_premiums() {
    let script = Script::default().adjust("a1", 3, &["p1"], Done, 5);
    assert_eq!(judge(&Premiums, &script).0, Verdict::Vacuous);
}

fn document(name: &str, version: u64) -> Value {
    json!({ "document": name, "version": version })
}

fn listed(script: Script, documents: &[Value]) -> Script {
    let answer = json!({ "documents": documents, "terms": terms(9, 1, "h1", 100) });
    script.ok("read-documents", "p1", Value::Null, answer)
}

/// One document that was acknowledged, one of which nobody knows, and one that was not added.
fn added() -> Script {
    let answer = json!({ "document": "d1", "version": 3, "terms": terms(9, 1, "h1", 100) });
    Script::default()
        .ok("read-document", "p1", json!("d1"), Value::Null)
        .ok("add-document", "p1", document("d1", 3), answer)
        .op("add-document", "p1", document("d2", 3), Info, Value::Null)
        .op("add-document", "p1", document("d3", 3), Fail, Value::Null)
}

#[test]
fn documents_that_are_found_as_they_were_added_pass() {
    let script = listed(added(), &[document("d1", 3)])
        .ok("read-document", "p1", json!("d1"), document("d1", 3))
        .ok("read-document", "p1", json!("d2"), Value::Null)
        .op("read-document", "p1", json!("d1"), Fail, Value::Null);
    accepts(&Documents, &listed(script, &[document("d1", 3), document("d2", 3)]));
    assert_eq!(judge(&Documents, &added()).0, Verdict::Vacuous);
}

#[test]
fn a_document_that_is_lost_or_changed_is_found() {
    finds(&Documents, &listed(added(), &[]), "lost-document");
    finds(&Documents, &added().ok("read-document", "p1", json!("d1"), Value::Null), "lost-document");
    finds(&Documents, &listed(added(), &[document("d1", 4)]), "changed-document");
    let other = json!({ "document": "d1", "version": 3, "other_text": "x" });
    finds(&Documents, &added().ok("read-document", "p1", json!("d1"), other), "changed-document");
}
