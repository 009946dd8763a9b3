//! The load: policies are opened, claims go through their lives one after another on each policy, premiums are
//! adjusted, documents are added, and all of that is read from the core and from data nodes.

use std::collections::{BTreeSet, VecDeque};

use ordeal_core::{Ask, Event, EventKind, Generator, Key, Next, Op, Plan, Rng};
use serde::Deserialize;
use serde_json::Value;

use super::{Adjustment, ClaimOp, Confirmation, Document, NewClaim, claim_name, policy_name};
use crate::draw::{Keys, only_reads};

/// Operations on one claim before the next one of its policy comes.
const CLAIM_OPS: u32 = 14;
/// How often a claim that is read is an earlier one.
const EARLIER: f64 = 0.25;
/// How often what is drawn on a claim confirms it.
const CONFIRMS: f64 = 0.6;
/// How often a department agrees with a claim, in claims that most like and in claims that most do not.
const AGREES: [f64; 2] = [0.85, 0.15];
/// How often a question to a data node names the newest version that any client has seen.
const NEWEST: f64 = 0.7;
/// Documents that are read one by one, newest first.
const DOCUMENTS: usize = 64;
/// Only every so many-th policy is ever adjusted: what a data node missed of the others is not made good at once.
const LINE: u64 = 2;
/// The share of these that one adjustment is of.
const ADJUSTED: f64 = 0.8;
/// Amounts of adjustments, in cents, are below this: no two sums are equal by chance.
const AMOUNT_MAX: u64 = 1_000_000_000;

const DEPARTMENTS: [&str; 3] = ["finance", "policyholder", "approval"];

/// What is drawn, and how often by clients that do not only read.
#[derive(Clone, Copy)]
enum Draw {
    Claim,
    Put,
    Adjust,
    AddDocument,
    ReadPolicy,
    ReadCopy,
    ReadClaim,
    ReadDocument,
    ReadDocuments,
}

const WRITES: [(u64, Draw); 4] =
    [(9, Draw::Claim), (4, Draw::Put), (6, Draw::Adjust), (3, Draw::AddDocument)];
const READS: [(u64, Draw); 5] = [
    (3, Draw::ReadPolicy),
    (4, Draw::ReadCopy),
    (4, Draw::ReadClaim),
    (2, Draw::ReadDocument),
    (1, Draw::ReadDocuments),
];

/// The claim that is under way on a policy.
#[derive(Clone, Copy, Default)]
struct Current {
    number: u64,
    asked: u32,
    /// Which of [`AGREES`] it is.
    mood: usize,
}

/// The load.
pub(super) struct Load {
    rng: Rng,
    keys: Keys,
    nodes: usize,
    claims: Vec<Current>,
    /// Request ids handed out; every one of a run is another one.
    requests: u64,
    /// Policies that are there.
    open: BTreeSet<String>,
    /// The newest version that a client has seen.
    version: u64,
    /// Documents that are there: policy, document.
    documents: VecDeque<(String, String)>,
    /// Adjustments of which nobody knows what became of them: to be asked for again.
    retries: VecDeque<Op>,
}

impl Load {
    pub(super) fn new(plan: &Plan) -> Self {
        let keys = plan.keys.max(1);
        Load {
            rng: Rng::fork(plan.seed, "operations"),
            keys: Keys::new(keys),
            nodes: plan.nodes,
            claims: vec![Current::default(); keys as usize],
            requests: 0,
            open: BTreeSet::new(),
            version: 0,
            documents: VecDeque::new(),
            retries: VecDeque::new(),
        }
    }

    fn request(&mut self, letter: char) -> String {
        self.requests += 1;
        format!("{letter}{}", self.requests)
    }

    fn draw(&mut self, only_reads: bool) -> Draw {
        let writes = if only_reads { &[][..] } else { &WRITES };
        let all = || writes.iter().chain(&READS);
        let mut at = self.rng.below(all().map(|(weight, _)| weight).sum());
        for (weight, draw) in all() {
            if at < *weight {
                return *draw;
            }
            at -= weight;
        }
        Draw::ReadPolicy
    }

    fn make(&mut self, draw: Draw) -> ClaimOp {
        let n = self.keys.next(&mut self.rng);
        let policy = policy_name(n);
        match draw {
            Draw::Claim | Draw::AddDocument if !self.open.contains(&policy) => self.put(policy),
            Draw::Put => self.put(policy),
            Draw::Claim => self.on_claim(n, policy),
            Draw::Adjust => self.adjust(policy_name(n - n % LINE)),
            Draw::AddDocument => {
                let document = Document { document: self.request('d'), version: self.version };
                ClaimOp::AddDocument(policy, document)
            }
            Draw::ReadCopy => {
                let version = if self.rng.chance(NEWEST) { self.version } else { 0 };
                ClaimOp::ReadCopy(policy, version)
            }
            Draw::ReadClaim => self.read_claim(n),
            Draw::ReadDocument if !self.documents.is_empty() => {
                let at = self.rng.below(self.documents.len() as u64) as usize;
                let (policy, document) = self.documents[at].clone();
                ClaimOp::ReadDocument(policy, document)
            }
            Draw::ReadDocuments => ClaimOp::ReadDocuments(policy),
            Draw::ReadPolicy | Draw::ReadDocument => ClaimOp::ReadPolicy(policy),
        }
    }

    fn put(&mut self, policy: String) -> ClaimOp {
        ClaimOp::PutPolicy(policy, self.request('h'))
    }

    /// The next step in the life of the policy's claim.
    fn on_claim(&mut self, n: u64, policy: String) -> ClaimOp {
        let mut current = self.claims[n as usize];
        if current.asked >= CLAIM_OPS {
            let mood = usize::from(self.rng.chance(0.4));
            current = Current { number: current.number + 1, asked: 0, mood };
        }
        current.asked += 1;
        self.claims[n as usize] = current;
        let claim = claim_name(n, current.number);
        if current.asked == 1 {
            let amount = self.rng.between(1, 100_000);
            return ClaimOp::Submit(claim, NewClaim { request_id: self.request('r'), policy, amount });
        }
        if !self.rng.chance(CONFIRMS) {
            return ClaimOp::ReadClaim(claim);
        }
        let department = (*self.rng.pick(&DEPARTMENTS)).to_owned();
        let verdict = if self.rng.chance(AGREES[current.mood]) { "approve" } else { "reject" }.to_owned();
        ClaimOp::Confirm(claim, Confirmation { request_id: self.request('r'), department, verdict })
    }

    fn read_claim(&mut self, n: u64) -> ClaimOp {
        let mut number = self.claims[n as usize].number;
        if self.rng.chance(EARLIER) {
            number = self.rng.below(number + 1);
        }
        ClaimOp::ReadClaim(claim_name(n, number))
    }

    /// An adjustment of this and other policies; first those of which nobody knows what became of them.
    fn adjust(&mut self, policy: String) -> ClaimOp {
        if !self.open.contains(&policy) {
            return self.put(policy);
        }
        if let Some(adjust) = self.retries.pop_front()
            && let Ok(op) = ClaimOp::try_from(&adjust)
        {
            return op;
        }
        let (open, rng) = (&self.open, &mut self.rng);
        let line = (0..self.claims.len() as u64).step_by(LINE as usize).map(policy_name);
        let policies = line.filter(|p| open.contains(p) && (*p == policy || rng.chance(ADJUSTED))).collect();
        let amount = self.rng.between(1, AMOUNT_MAX) as i64;
        ClaimOp::Adjust(Adjustment { id: self.request('a'), amount, policies })
    }
}

impl Generator for Load {
    fn next(&mut self, ask: Ask) -> Next {
        let draw = self.draw(only_reads(ask, self.nodes));
        Next::Op(self.make(draw).into())
    }

    fn observe(&mut self, event: &Event) {
        match (event.kind, &*event.f) {
            (EventKind::Info, "adjust") => {
                self.retries.push_back(Op { f: event.f.clone(), key: None, value: event.value.clone() });
            }
            (EventKind::Ok, f) => {
                if let Some(version) = event.value["version"].as_u64() {
                    self.version = self.version.max(version);
                }
                let Some(Key::Text(policy)) = &event.key else { return };
                match f {
                    "put-policy" => drop(self.open.insert(policy.clone())),
                    "add-document" => self.remember(policy, &event.value),
                    _ => {}
                }
            }
            _ => {}
        }
    }
}

impl Load {
    fn remember(&mut self, policy: &str, answer: &Value) {
        #[derive(Deserialize)]
        struct Added {
            document: String,
        }
        if let Ok(Added { document }) = Added::deserialize(answer) {
            self.documents.push_front((policy.to_owned(), document));
            self.documents.truncate(DOCUMENTS);
        }
    }
}
