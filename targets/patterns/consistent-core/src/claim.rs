//! A claim and the rule by which it is decided: two of three departments.
//!
//! Each department says once whether it agrees. Two that agree approve the claim, two that do not reject it;
//! both cannot be, so the decision is final. The third may still be heard and changes nothing.

use serde::{Deserialize, Serialize};

/// The departments that are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Department {
    Finance,
    Policyholder,
    Approval,
}

/// What a department says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    Approve,
    Reject,
}

/// Where a claim stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    Submitted,
    Approved,
    Rejected,
}

/// What each department has said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Votes {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) finance: Option<Verdict>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) policyholder: Option<Verdict>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) approval: Option<Verdict>,
}

impl Votes {
    fn of(&mut self, department: Department) -> &mut Option<Verdict> {
        match department {
            Department::Finance => &mut self.finance,
            Department::Policyholder => &mut self.policyholder,
            Department::Approval => &mut self.approval,
        }
    }

    /// Whether at least so many departments say this.
    fn say(self, verdict: Verdict, enough: usize) -> bool {
        let said = [self.finance, self.policyholder, self.approval];
        said.iter().filter(|said| **said == Some(verdict)).count() >= enough
    }
}

/// How confirmations are counted. Part of the command, for the machine knows no settings: what it does follows
/// from the log alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rule {
    /// Departments that decide.
    pub(crate) enough: usize,
    /// Whether a snapshot has the vote; false is the bug `votes-lost-on-restart`.
    pub(crate) saved: bool,
}

impl Rule {
    /// Two of three, and nothing is forgotten.
    pub(crate) const RIGHT: Rule = Rule { enough: 2, saved: true };
}

/// A claim as the core keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claim {
    pub(crate) policy: String,
    /// In cents.
    pub(crate) amount: u64,
    votes: Votes,
    /// Votes that no snapshot has (bug `votes-lost-on-restart`).
    #[serde(skip)]
    unsaved: Votes,
    enough: usize,
}

/// A department has said something else before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SaidOtherwise;

impl Claim {
    /// A claim of which nobody has said anything.
    pub(crate) fn new(policy: String, amount: u64) -> Self {
        let (votes, unsaved) = Default::default();
        Claim { policy, amount, votes, unsaved, enough: Rule::RIGHT.enough }
    }

    /// What the departments have said.
    pub(crate) fn votes(&self) -> Votes {
        Votes {
            finance: self.votes.finance.or(self.unsaved.finance),
            policyholder: self.votes.policyholder.or(self.unsaved.policyholder),
            approval: self.votes.approval.or(self.unsaved.approval),
        }
    }

    /// Where the claim stands.
    pub(crate) fn status(&self) -> Status {
        let votes = self.votes();
        match (votes.say(Verdict::Approve, self.enough), votes.say(Verdict::Reject, self.enough)) {
            (true, _) => Status::Approved,
            (_, true) => Status::Rejected,
            _ => Status::Submitted,
        }
    }

    /// A department says what it thinks; whether that was new.
    pub(crate) fn confirm(
        &mut self,
        department: Department,
        verdict: Verdict,
        rule: Rule,
    ) -> Result<bool, SaidOtherwise> {
        match *self.votes().of(department) {
            Some(said) if said == verdict => return Ok(false),
            Some(_) => return Err(SaidOtherwise),
            None => {}
        }
        let votes = if rule.saved { &mut self.votes } else { &mut self.unsaved };
        *votes.of(department) = Some(verdict);
        self.enough = rule.enough;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Department; 3] = [Department::Finance, Department::Policyholder, Department::Approval];

    fn voted(said: [Option<Verdict>; 3], rule: Rule) -> Claim {
        let mut claim = Claim::new("p1".to_owned(), 100);
        for (department, verdict) in ALL.into_iter().zip(said) {
            if let Some(verdict) = verdict {
                assert_eq!(claim.confirm(department, verdict, rule), Ok(true));
            }
        }
        claim
    }

    #[test]
    fn two_of_three_decide_whatever_the_third_says() {
        let (yes, no) = (Some(Verdict::Approve), Some(Verdict::Reject));
        let every = [None, yes, no];
        for a in every {
            for b in every {
                for c in every {
                    let said = [a, b, c];
                    let of = |v| said.iter().filter(|s| **s == v).count();
                    let expected = match (of(yes), of(no)) {
                        (2.., _) => Status::Approved,
                        (_, 2..) => Status::Rejected,
                        _ => Status::Submitted,
                    };
                    assert_eq!(voted(said, Rule::RIGHT).status(), expected, "{said:?}");
                }
            }
        }
    }

    #[test]
    fn a_department_says_one_thing_once() {
        let mut claim = voted([Some(Verdict::Approve), None, None], Rule::RIGHT);
        assert_eq!(claim.confirm(Department::Finance, Verdict::Approve, Rule::RIGHT), Ok(false));
        assert_eq!(claim.confirm(Department::Finance, Verdict::Reject, Rule::RIGHT), Err(SaidOtherwise));
        assert_eq!(claim.status(), Status::Submitted);
    }

    #[test]
    fn a_vote_survives_the_way_through_a_snapshot_unless_it_is_left_out() {
        let through = |claim: &Claim| -> Claim {
            serde_json::from_value(serde_json::to_value(claim).unwrap()).unwrap()
        };
        let said = [Some(Verdict::Reject), Some(Verdict::Reject), None];
        let kept = voted(said, Rule::RIGHT);
        assert_eq!(through(&kept), kept);
        let lost = voted(said, Rule { saved: false, ..Rule::RIGHT });
        assert_eq!((lost.status(), through(&lost).status()), (Status::Rejected, Status::Submitted));
    }

    #[test]
    fn with_the_bug_one_vote_decides() {
        let rule = Rule { enough: 1, ..Rule::RIGHT };
        assert_eq!(voted([None, None, Some(Verdict::Approve)], rule).status(), Status::Approved);
    }
}
