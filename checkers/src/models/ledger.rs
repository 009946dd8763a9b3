//! Accounts of a bank: `transfer` of `{"from", "to", "amount"}`, and `read` of `{account: balance}`, of all
//! accounts or of some, at one moment.
//!
//! A transfer that succeeded moved its amount, whole; so the total never changes. Unless balances may be
//! negative, it is possible only if the account has as much.

use ordeal_core::{Model, Open, Operation};
use serde_json::{Map, Value};

use super::value::Atom;
use crate::About;

/// How lists show it.
pub const ABOUT: About =
    About { name: "ledger", about: "accounts whose total never changes: transfer, read of balances" };

/// The model.
#[derive(Clone, Debug)]
pub struct Ledger {
    initial: Balances,
    negative: bool,
}

/// Accounts and their balances, in the order of accounts; all others have 0.
type Balances = Vec<(Atom, i64)>;

/// A call on the accounts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LedgerCall {
    /// Moves an amount.
    Transfer {
        /// Whose balance shrinks.
        from: Atom,
        /// Whose balance grows.
        to: Atom,
        /// By how much.
        amount: i64,
    },
    /// Returns these balances.
    Read(Vec<(Atom, i64)>),
}

fn balances(map: &Map<String, Value>) -> Result<Balances, String> {
    let balance = |(name, value): (&String, &Value)| match value.as_i64() {
        Some(balance) => Ok((super::named(name), balance)),
        None => Err(format!("a balance is a whole number, not {value}")),
    };
    let mut balances: Balances = map.iter().map(balance).collect::<Result<_, _>>()?;
    balances.sort_unstable();
    Ok(balances)
}

impl Ledger {
    /// Balances in the beginning, `{account: balance}`, or `{"balances": {..}, "negative": true}` if they may
    /// become negative.
    ///
    /// # Errors
    /// If that is something else, or a balance is no whole number.
    pub fn from_options(initial: &Value) -> Result<Self, String> {
        let (map, negative) = match initial.get("balances") {
            Some(map @ Value::Object(_)) => (map, initial.get("negative") == Some(&Value::Bool(true))),
            _ => (initial, false),
        };
        let Value::Object(map) = map else {
            return Err(format!("a ledger starts with {{account: balance}}, not {initial}"));
        };
        Ok(Ledger { initial: balances(map)?, negative })
    }

    fn add(&self, balances: &mut Balances, account: Atom, amount: i64) -> Option<()> {
        let at = balances.binary_search_by_key(&account, |balance| balance.0);
        let at = at.unwrap_or_else(|at| {
            balances.insert(at, (account, 0));
            at
        });
        let after = balances[at].1.checked_add(amount)?;
        balances[at].1 = after;
        (self.negative || amount >= 0 || after >= 0).then_some(())
    }
}

/// Every account has 0 and may go below: balances are what was won or lost since.
impl Default for Ledger {
    fn default() -> Self {
        Ledger { initial: Vec::new(), negative: true }
    }
}

impl Model for Ledger {
    type State = Balances;
    type Call = LedgerCall;
    type Next = Option<Balances>;

    fn name(&self) -> &'static str {
        ABOUT.name
    }

    fn init(&self) -> Balances {
        self.initial.clone()
    }

    fn call(&self, op: &Operation<'_>) -> Result<Option<LedgerCall>, String> {
        match (op.f(), op.output()) {
            ("transfer", _) => {
                let input = op.input();
                let account = |side: &str| match &input[side] {
                    Value::String(name) => Some(super::named(name)),
                    Value::Null => None,
                    other => Some(Atom::from(other)),
                };
                match (account("from"), account("to"), input["amount"].as_i64()) {
                    (Some(from), Some(to), Some(amount @ 0..)) => {
                        Ok(Some(LedgerCall::Transfer { from, to, amount }))
                    }
                    _ => Err(format!("`transfer` needs from, to and an amount from 0 on, not {input}")),
                }
            }
            ("read", Some(Value::Object(map))) => Ok(Some(LedgerCall::Read(balances(map)?))),
            ("read", Some(other)) => Err(format!("`read` answers with balances, not {other}")),
            _ => Ok(None),
        }
    }

    fn step(&self, state: &Balances, call: &LedgerCall) -> Option<Balances> {
        let mut balances = state.clone();
        match call {
            LedgerCall::Transfer { from, to, amount } => {
                self.add(&mut balances, *from, amount.checked_neg()?)?;
                self.add(&mut balances, *to, *amount)?;
            }
            LedgerCall::Read(seen) => {
                for &(account, balance) in seen {
                    let at = state.binary_search_by_key(&account, |balance| balance.0);
                    if at.map_or(0, |at| state[at].1) != balance {
                        return None;
                    }
                }
            }
        }
        Some(balances)
    }

    fn describe(&self, call: &LedgerCall) -> String {
        match call {
            LedgerCall::Transfer { from, to, amount } => format!("transfer {amount} from {from} to {to}"),
            LedgerCall::Read(seen) => {
                let seen: Vec<String> = seen.iter().map(|(name, sum)| format!("{name}: {sum}")).collect();
                format!("read {{{}}}", seen.join(", "))
            }
        }
    }

    fn reads_only(&self, call: &LedgerCall) -> bool {
        matches!(call, LedgerCall::Read(_))
    }

    fn state_bytes(&self, state: &Balances) -> usize {
        size_of_val(state) + size_of_val(state.as_slice())
    }

    fn open_calls(&self, calls: &[LedgerCall], open: &[usize]) -> Vec<Open> {
        super::alike(calls, open)
    }
}
