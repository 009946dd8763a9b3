//! Mutual exclusion in real time: nobody else holds a lock while somebody certainly does.
//!
//! Whoever `acquire`d a lock *certainly holds* it from the end of the acquisition until the beginning of
//! the release by the same client (or of the same fencing token, where `acquire` answers with one and
//! `release` gives it back), if that release may have taken effect; until the beginning of an operation of
//! that client whose outcome is unknown, since its session may have ended; with a [lease](LockExclusivity::lease_ms),
//! at most so long after the acquisition *began*. A release that certainly failed ends nothing, nor does
//! one by somebody who does not hold the lock: a lock that lets such a one through breaks its promise to
//! the holder, and the overlap that follows shows it. Acquiring again what one holds is no second holder.
//!
//! Two certain holdings that overlap are a violation. Fencing tokens, answers of `acquire` that are whole
//! numbers, must differ, and grow from one acquisition to any that began after it had ended.
//!
//! By sweeps in order of time: O(n log n) time, O(n) memory.

use ordeal_core::{
    Anomaly, Checker, EventKind, Finding, History, Intake, Key, Operation, Verdict, check_operations,
};
use serde_json::{Value, json};

use crate::About;
use crate::models::Atom;
use crate::recall::{Keyed, Seen, Witnesses, distinct, with_quantiles};
use crate::words::{count, ms, of_key};

/// How lists show it.
pub(crate) const ABOUT: About = About {
    name: "lock-exclusivity",
    about: "no two hold a lock at one time for certain, and fencing tokens grow",
};

/// How many violations of one kind get an anomaly; the rest are counted.
const REPORTED: usize = 50;

/// The judge, of `acquire` and `release`.
#[derive(Clone, Copy, Debug, Default)]
pub struct LockExclusivity {
    lease_ns: Option<u64>,
}

impl LockExclusivity {
    /// How long a lock is held at most, from the beginning of its acquisition.
    #[must_use]
    pub fn lease_ms(mut self, lease_ms: Option<u64>) -> Self {
        self.lease_ns = lease_ms.map(|ms| ms.saturating_mul(1_000_000));
        self
    }

    fn intake_now(&self) -> Box<dyn Intake + '_> {
        Box::new(Work {
            lease_ns: self.lease_ns,
            who: Witnesses::default(),
            locks: Keyed::default(),
            gone: Vec::new(),
        })
    }
}

impl Checker for LockExclusivity {
    fn name(&self) -> String {
        ABOUT.name.to_owned()
    }

    fn check(&self, history: &History) -> Finding {
        check_operations(self.name(), self.intake_now(), history)
    }

    fn intake(&self) -> Option<Box<dyn Intake + '_>> {
        Some(self.intake_now())
    }
}

struct Work {
    lease_ns: Option<u64>,
    who: Witnesses,
    locks: Keyed<Lock>,
    /// Operations of unknown outcome.
    gone: Vec<Act>,
}

/// One lock.
#[derive(Default)]
struct Lock {
    acquired: Vec<Act>,
    released: Vec<Act>,
}

/// An acquisition that succeeded, a release that may have, or anything of unknown outcome.
#[derive(Clone, Copy)]
struct Act {
    op: Seen,
    process: u64,
    /// [`Atom::NULL`] if there is none.
    token: Atom,
}

impl Intake for Work {
    fn take(&mut self, op: &Operation<'_>) {
        if op.kind() == EventKind::Info {
            self.gone.push(Act { op: self.who.remember(op), process: op.process(), token: Atom::NULL });
        }
        let token = match (op.f(), op.kind()) {
            ("acquire", EventKind::Ok) => op.output().map_or(Atom::NULL, token_of),
            ("release", EventKind::Ok | EventKind::Info) => token_of(op.input()),
            _ => return,
        };
        let act = Act { op: self.who.remember(op), process: op.process(), token };
        let lock = self.locks.of(op.key());
        if op.f() == "acquire" { &mut lock.acquired } else { &mut lock.released }.push(act);
    }

    fn finish(self: Box<Self>) -> Finding {
        let mut total = Total::default();
        let gone = Ends::of(&self.gone, |act| act.process);
        for (key, mut lock) in self.locks.sorted() {
            lock.acquired.sort_unstable_by_key(|act| (act.op.call, act.op.index()));
            let holdings = lock.holdings(self.lease_ns, &gone);
            total.overlaps(&self.who, key.as_ref(), &holdings);
            total.tokens(&self.who, key.as_ref(), &lock.acquired);
        }
        total.conclude()
    }
}

/// `null` and plain confirmations are no tokens.
fn token_of(value: &Value) -> Atom {
    match value {
        Value::Bool(_) => Atom::NULL,
        value => Atom::from(value),
    }
}

/// Somebody's certain possession of a lock.
#[derive(Clone, Copy)]
struct Holding {
    by: Act,
    /// What ended it, if anything did.
    end: Option<Seen>,
    from: u64,
    /// [`Operation::OPEN`] if nothing ended it.
    to: u64,
}

impl Lock {
    /// All certain holdings that last at all, in order of their beginning. With a lease they are measured
    /// in nanoseconds, otherwise in positions.
    fn holdings(&self, lease_ns: Option<u64>, gone: &Ends<'_, u64>) -> Vec<Holding> {
        let by_client = Ends::of(&self.released, |act| act.process);
        let by_token = Ends::of(&self.released, |act| act.token);
        let mut holdings: Vec<Holding> = Vec::with_capacity(self.acquired.len());
        for act in &self.acquired {
            let ends = [
                by_client.first_after(act.process, act.op.call),
                by_token.first_after(act.token, act.op.call).filter(|_| !act.token.is_null()),
                gone.first_after(act.process, act.op.call),
            ];
            let end = ends.into_iter().flatten().min_by_key(|op| (op.call, op.index()));
            let (from, to) = match lease_ns {
                None => (act.op.ret, end.map_or(Operation::OPEN, |op| op.call)),
                Some(lease) => {
                    let expires = act.op.began_ns.saturating_add(lease);
                    (act.op.ended_ns(), end.map_or(expires, |op| op.began_ns.min(expires)))
                }
            };
            if from < to {
                holdings.push(Holding { by: *act, end, from, to });
            }
        }
        holdings.sort_unstable_by_key(|h| (h.from, h.by.op.index()));
        holdings
    }
}

/// Acts by who or what they are about, each in order of time.
struct Ends<'a, K> {
    acts: &'a [Act],
    key: fn(&Act) -> K,
    sorted: Vec<u32>,
}

impl<'a, K: Ord> Ends<'a, K> {
    fn of(acts: &'a [Act], key: fn(&Act) -> K) -> Self {
        let mut sorted: Vec<u32> = (0..acts.len() as u32).collect();
        let place = |i: u32| (key(&acts[i as usize]), acts[i as usize].op.call, acts[i as usize].op.index());
        sorted.sort_unstable_by_key(|&i| place(i));
        Ends { acts, key, sorted }
    }

    /// The first that began after this position.
    fn first_after(&self, key: K, call: u64) -> Option<Seen> {
        let place = |act: &Act| ((self.key)(act), act.op.call);
        let wanted = (key, call);
        let at = self.sorted.partition_point(|&i| place(&self.acts[i as usize]) <= wanted);
        let act = self.acts.get(*self.sorted.get(at)? as usize)?;
        ((self.key)(act) == wanted.0).then_some(act.op)
    }
}

/// What all locks came to.
#[derive(Default)]
struct Total {
    acquired: usize,
    holdings: usize,
    overlaps: usize,
    tokens: usize,
    bad_tokens: usize,
    held_ns: Vec<u64>,
    anomalies: Vec<Anomaly>,
}

impl Total {
    fn overlaps(&mut self, who: &Witnesses, key: Option<&Key>, holdings: &[Holding]) {
        self.holdings += holdings.len();
        // Of all holdings so far the one that lasts longest, and the longest by anybody else.
        let (mut longest, mut other): (Option<&Holding>, Option<&Holding>) = (None, None);
        for holding in holdings {
            if let Some(end) = holding.end {
                self.held_ns.push(end.began_ns.saturating_sub(holding.by.op.ended_ns()));
            }
            let rival =
                if longest.is_some_and(|h| h.by.process == holding.by.process) { other } else { longest };
            if let Some(rival) = rival.filter(|rival| holding.from < rival.to) {
                self.overlaps += 1;
                if self.overlaps <= REPORTED {
                    self.anomalies.push(overlap(who, key, rival, holding));
                }
            }
            match longest {
                Some(top) if top.by.process == holding.by.process => {
                    longest = Some(if top.to < holding.to { holding } else { top });
                }
                Some(top) if holding.to > top.to => (longest, other) = (Some(holding), longest),
                Some(_) if other.is_none_or(|other| other.to < holding.to) => other = Some(holding),
                Some(_) => {}
                None => longest = Some(holding),
            }
        }
    }

    /// The acquisitions come in order of their beginning.
    fn tokens(&mut self, who: &Witnesses, key: Option<&Key>, acquired: &[Act]) {
        self.acquired += acquired.len();
        let token = |i: u32| acquired[i as usize].token.as_int();
        let op = |i: u32| &acquired[i as usize].op;
        let mut order: Vec<u32> = (0..acquired.len() as u32).collect();
        if order.iter().any(|&i| token(i).is_none()) {
            return;
        }
        self.tokens += order.len();
        order.sort_unstable_by_key(|&i| (op(i).ret, op(i).index()));
        let (mut ended, mut greatest): (usize, Option<u32>) = (0, None);
        for i in 0..acquired.len() as u32 {
            while let Some(&before) = order.get(ended).filter(|&&before| op(before).precedes(op(i))) {
                greatest = greatest.filter(|&g| token(g) >= token(before)).or(Some(before));
                ended += 1;
            }
            // Equal ones are told below, once, whether they overlap or not.
            if let Some(before) = greatest.filter(|&before| token(before) > token(i)) {
                self.bad_token(
                    who,
                    key,
                    "token-not-growing",
                    &acquired[before as usize],
                    &acquired[i as usize],
                );
            }
        }
        order.sort_unstable_by_key(|&i| (token(i), op(i).call, op(i).index()));
        for pair in order.windows(2).filter(|pair| token(pair[0]) == token(pair[1])) {
            self.bad_token(
                who,
                key,
                "token-repeated",
                &acquired[pair[0] as usize],
                &acquired[pair[1] as usize],
            );
        }
    }

    fn bad_token(&mut self, who: &Witnesses, key: Option<&Key>, name: &str, first: &Act, then: &Act) {
        self.bad_tokens += 1;
        if self.bad_tokens > REPORTED {
            return;
        }
        let said = |act: &Act| format!("{} ({})", act.token, who.who_when(&act.op));
        self.anomalies.push(Anomaly {
            name: name.to_owned(),
            message: format!("{}fencing token {}, then {}.", of_key(key), said(first), said(then)),
            key: key.cloned(),
            events: distinct(first.op.cite().chain(then.op.cite())),
            details: json!({ "tokens": [first.token.as_int(), then.token.as_int()] }),
        });
    }

    fn conclude(mut self) -> Finding {
        self.anomalies.sort_by_key(|a| a.name != "two-holders");
        let judged = count(self.acquired, "acquisition");
        let (verdict, summary) = if self.overlaps + self.bad_tokens > 0 {
            let mut wrong = Vec::new();
            if self.overlaps > 0 {
                wrong.push(format!("two holders at one time, {}", count(self.overlaps, "time")));
            }
            if self.bad_tokens > 0 {
                wrong.push(format!("{} repeated or not growing", count(self.bad_tokens, "fencing token")));
            }
            (Verdict::Invalid, format!("{} ({judged})", wrong.join("; ")))
        } else if self.acquired == 0 {
            (Verdict::Vacuous, "nothing was ever acquired".to_owned())
        } else if self.holdings == 0 && self.tokens == 0 {
            (Verdict::Vacuous, format!("nobody ever held a lock for certain ({judged})"))
        } else {
            (Verdict::Valid, format!("never two holders at one time: {judged}"))
        };
        let mut finding = Finding::new(ABOUT.name, verdict, summary)
            .with("acquisitions", self.acquired)
            .with("certain_holdings", self.holdings)
            .with("overlaps", self.overlaps)
            .with("fencing_tokens", self.tokens)
            .with("bad_fencing_tokens", self.bad_tokens);
        finding = with_quantiles(finding, "held", self.held_ns);
        finding.anomalies = self.anomalies;
        finding
    }
}

fn overlap(who: &Witnesses, key: Option<&Key>, first: &Holding, then: &Holding) -> Anomaly {
    let said = |holding: &Holding| {
        let until = match holding.end {
            Some(end) => format!("to {:.3} ms", ms(end.began_ns)),
            None => "to the end".to_owned(),
        };
        format!("{} held it from {:.3} ms {until}", who.who(&holding.by.op), ms(holding.by.op.ended_ns()))
    };
    let events = [Some(first.by.op), Some(then.by.op), first.end, then.end];
    Anomaly {
        name: "two-holders".to_owned(),
        message: format!("{}two held the lock at one time: {}, {}.", of_key(key), said(first), said(then)),
        key: key.cloned(),
        events: distinct(events.into_iter().flatten().flat_map(|op| op.cite())),
        details: json!({ "holders": [holder(first), holder(then)] }),
    }
}

fn holder(holding: &Holding) -> Value {
    json!({
        "process": holding.by.process,
        "from_ms": ms(holding.by.op.ended_ns()),
        "to_ms": holding.end.map(|end| ms(end.began_ns)),
        "token": (!holding.by.token.is_null()).then(|| holding.by.token.to_string()),
    })
}
