use super::*;

/// Applies commands as they would stand in the log.
fn apply(core: &mut Core, command: Command) -> Answer {
    core.apply(Position::default(), command)
}

fn put(policy: &str, holder: &str, premium: i64) -> Command {
    Command::PutPolicy { policy: policy.to_owned(), holder: holder.to_owned(), premium }
}

fn submit(claim: &str, policy: &str) -> Command {
    Command::Submit { claim: claim.to_owned(), policy: policy.to_owned(), amount: 5 }
}

fn confirm(claim: &str, department: Department, verdict: Verdict) -> Command {
    Command::Confirm { claim: claim.to_owned(), department, verdict, rule: Rule::RIGHT }
}

fn acquire(adjustment: &str, expired: Option<Hold>) -> Command {
    Command::Acquire { adjustment: adjustment.to_owned(), expired }
}

fn stage(token: u64, rows: &[(&str, i64)], fenced: bool) -> Command {
    let premiums = rows.iter().map(|(policy, premium)| ((*policy).to_owned(), *premium)).collect();
    Command::Stage { token, premiums, fenced }
}

fn commit(token: u64, adjustment: &str, fenced: bool) -> Command {
    Command::Commit { token, adjustment: adjustment.to_owned(), fenced }
}

/// A core with the policies `p1` and `p2`, each at 100: version 2.
fn two_policies() -> Core {
    let mut core = Core::default();
    apply(&mut core, put("p1", "h1", 100));
    apply(&mut core, put("p2", "h2", 100));
    core
}

fn premium(core: &Core, policy: &str) -> i64 {
    core.policy(policy).policy.unwrap().premium
}

#[test]
fn a_policy_is_opened_with_a_premium_that_a_new_holder_does_not_change() {
    let mut core = two_policies();
    let expected = Policy { holder: "h3".to_owned(), premium: 100, changed: 3 };
    assert_eq!(
        apply(&mut core, put("p1", "h3", 999)),
        Answer::Policy(PolicyAt { version: 3, policy: Some(expected) })
    );
    assert_eq!(core.policy("p3"), PolicyAt { version: 3, policy: None });
}

#[test]
fn a_claim_lives_from_submission_to_decision() {
    let mut core = two_policies();
    assert_eq!(apply(&mut core, submit("c1", "p9")), Answer::Refused(Refusal::NoPolicy));
    assert_eq!(
        apply(&mut core, confirm("c1", Department::Finance, Verdict::Approve)),
        Answer::Refused(Refusal::NoClaim)
    );
    apply(&mut core, submit("c1", "p1"));
    assert_eq!(apply(&mut core, submit("c1", "p1")), Answer::Refused(Refusal::ClaimExists));
    apply(&mut core, confirm("c1", Department::Finance, Verdict::Approve));
    assert_eq!(core.claim("c1").unwrap().status, Status::Submitted);
    assert_eq!(
        apply(&mut core, confirm("c1", Department::Finance, Verdict::Reject)),
        Answer::Refused(Refusal::SaidOtherwise)
    );
    match apply(&mut core, confirm("c1", Department::Approval, Verdict::Approve)) {
        Answer::Claim(claim) => assert_eq!((claim.status, claim.version), (Status::Approved, 5)),
        other => panic!("{other:?}"),
    }
    apply(&mut core, confirm("c1", Department::Policyholder, Verdict::Reject));
    assert_eq!(core.claim("c1").unwrap().status, Status::Approved);
}

#[test]
fn only_what_changes_something_makes_a_version() {
    let mut core = two_policies();
    apply(&mut core, submit("c1", "p1"));
    apply(&mut core, confirm("c1", Department::Finance, Verdict::Approve));
    let version = core.version();
    apply(&mut core, confirm("c1", Department::Finance, Verdict::Approve));
    apply(&mut core, submit("c1", "p1"));
    apply(&mut core, acquire("a1", None));
    apply(&mut core, stage(1, &[("p1", 7)], true));
    assert_eq!(core.version(), version);
}

#[test]
fn an_adjustment_has_one_effect_on_all_its_policies_at_one_version() {
    let mut core = two_policies();
    apply(&mut core, acquire("a1", None));
    apply(&mut core, stage(1, &[("p1", 107)], true));
    apply(&mut core, stage(1, &[("p2", 107)], true));
    assert_eq!((premium(&core, "p1"), premium(&core, "p2")), (100, 100));
    let adjusted = match apply(&mut core, commit(1, "a1", true)) {
        Answer::Adjusted(adjusted) => adjusted,
        other => panic!("{other:?}"),
    };
    assert_eq!((premium(&core, "p1"), premium(&core, "p2"), core.version()), (107, 107, 3));
    assert_eq!(apply(&mut core, acquire("a1", None)), Answer::Acquired(Acquired::Done(adjusted)));
}

#[test]
fn a_holder_that_lost_the_lease_cannot_undo_what_came_after() {
    for fenced in [true, false] {
        let mut core = two_policies();
        apply(&mut core, acquire("a1", None));
        let stalled = core.lease_holder();
        apply(&mut core, acquire("a2", stalled));
        apply(&mut core, stage(2, &[("p1", 150)], fenced));
        apply(&mut core, commit(2, "a2", fenced));
        // The first one comes back, with what it computed from the premiums as they were.
        let late =
            [apply(&mut core, stage(1, &[("p1", 101)], fenced)), apply(&mut core, commit(1, "a1", fenced))];
        if fenced {
            assert_eq!(late, [Answer::Refused(Refusal::Fenced), Answer::Refused(Refusal::Fenced)]);
        }
        assert_eq!(premium(&core, "p1"), if fenced { 150 } else { 101 });
    }
}

#[test]
fn the_changes_that_are_kept_lead_from_a_version_to_the_newest() {
    let mut core = Core::default();
    let mut copy = Policies::default();
    for n in 0..RECENT as u64 + 10 {
        apply(&mut core, put(&format!("p{}", n % 7), &format!("h{n}"), 5));
        if n == 20 {
            copy = core.policies().clone();
        }
    }
    let changes = core.changes_after(copy.version);
    let next = copy.next(changes, false).unwrap();
    copy.advance(next);
    assert_eq!(copy, *core.policies());
    assert_eq!(core.changes_after(0).first().map(|change| change.version), Some(11));
    assert!(Policies::default().next(core.changes_after(0), false).is_err());
}

#[test]
fn a_core_is_the_same_after_the_way_through_a_snapshot() {
    let mut core = two_policies();
    apply(&mut core, submit("c1", "p1"));
    apply(&mut core, confirm("c1", Department::Finance, Verdict::Reject));
    apply(&mut core, acquire("a1", None));
    apply(&mut core, stage(1, &[("p1", 7)], true));
    let json = serde_json::to_value(&core).unwrap();
    let back: Core = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(serde_json::to_value(&back).unwrap(), json);
}
