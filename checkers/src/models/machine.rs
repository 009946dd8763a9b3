//! A machine in a factory: `reading` of `{"kind", "value"}`, `reset` by an operator, `read` of the state.
//!
//! A reading at or above its kind's first threshold takes the machine one step on: running, alert, slowed,
//! shutdown. One at or above the second shuts it down at once. Others change nothing, and only a reset makes
//! it run again. Answers are the state after it; `null` says nothing.

use ordeal_core::{Model, Open, Operation};
use serde_json::Value;

use crate::About;

/// How lists show it.
pub const ABOUT: About =
    About { name: "machine", about: "a machine that sensors slow and shut down: reading, reset, read" };

/// From where on readings of a kind count.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    /// The kind, e.g. `temperature`.
    pub kind: String,
    /// From here on a reading is an alert.
    pub alert: f64,
    /// From here on it shuts the machine down.
    pub shutdown: f64,
}

/// The model.
#[derive(Clone, Debug)]
pub struct Machine {
    thresholds: Vec<Threshold>,
}

/// What the machine does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MachineState {
    /// All is well.
    #[default]
    Running,
    /// Somebody should look.
    Alert,
    /// It runs slowly.
    Slowed,
    /// It stands still.
    Shutdown,
}

/// What a call does to the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MachineAction {
    /// A reading below the thresholds.
    Calm,
    /// A reading that takes it one step on.
    Escalate,
    /// A reading that shuts it down.
    Halt,
    /// An operator makes it run again.
    Reset,
    /// Asks for the state.
    Read,
}

/// A call on a machine, with the state it answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MachineCall {
    /// What it does.
    pub action: MachineAction,
    /// The state afterwards, where it was said.
    pub state: Option<MachineState>,
}

impl Machine {
    /// A machine with these thresholds.
    pub fn new(thresholds: Vec<Threshold>) -> Self {
        Machine { thresholds }
    }

    /// From where on readings of each kind count.
    pub fn thresholds(&self) -> &[Threshold] {
        &self.thresholds
    }

    /// What a reading does, by its `kind` and `value`.
    ///
    /// # Errors
    /// If the kind is unknown, or there is no value.
    pub fn reading(&self, input: &Value) -> Result<MachineAction, String> {
        let kind = input["kind"].as_str();
        let threshold = self.thresholds.iter().find(|threshold| kind == Some(&threshold.kind));
        match (threshold, input["value"].as_f64()) {
            (Some(threshold), Some(value)) if value >= threshold.shutdown => Ok(MachineAction::Halt),
            (Some(threshold), Some(value)) if value >= threshold.alert => Ok(MachineAction::Escalate),
            (Some(_), Some(_)) => Ok(MachineAction::Calm),
            _ => Err(format!("`reading` needs a known kind and a value, not {input}")),
        }
    }
}

/// Degrees Celsius, millimetres a second, kilowatts.
impl Default for Machine {
    fn default() -> Self {
        let threshold = |(kind, alert, shutdown): (&str, _, _)| {
            let kind = kind.to_owned();
            Threshold { kind, alert, shutdown }
        };
        let kinds = [("temperature", 80.0, 120.0), ("vibration", 7.0, 11.0), ("energy", 50.0, 80.0)];
        Machine::new(kinds.into_iter().map(threshold).collect())
    }
}

fn state_of(answer: &Value) -> Result<Option<MachineState>, String> {
    let state = answer.get("state").unwrap_or(answer);
    match (state, state.as_str()) {
        (Value::Null, _) => Ok(None),
        (_, Some("running")) => Ok(Some(MachineState::Running)),
        (_, Some("alert")) => Ok(Some(MachineState::Alert)),
        (_, Some("slowed")) => Ok(Some(MachineState::Slowed)),
        (_, Some("shutdown")) => Ok(Some(MachineState::Shutdown)),
        _ => Err(format!("a machine is running, on alert, slowed or shut down, not {answer}")),
    }
}

impl Model for Machine {
    type State = MachineState;
    type Call = MachineCall;
    type Next = Option<MachineState>;

    fn name(&self) -> &'static str {
        ABOUT.name
    }

    fn init(&self) -> MachineState {
        MachineState::Running
    }

    fn call(&self, op: &Operation<'_>) -> Result<Option<MachineCall>, String> {
        let action = match (op.f(), op.output()) {
            ("reading", _) => self.reading(op.input())?,
            ("reset", _) => MachineAction::Reset,
            ("read", Some(_)) => MachineAction::Read,
            _ => return Ok(None),
        };
        let state = op.output().map_or(Ok(None), state_of)?;
        Ok(Some(MachineCall { action, state }))
    }

    fn step(&self, state: &MachineState, call: &MachineCall) -> Option<MachineState> {
        let after = match (call.action, state) {
            (MachineAction::Reset, _) => MachineState::Running,
            (MachineAction::Halt, _) => MachineState::Shutdown,
            (MachineAction::Escalate, MachineState::Running) => MachineState::Alert,
            (MachineAction::Escalate, MachineState::Alert) => MachineState::Slowed,
            (MachineAction::Escalate, _) => MachineState::Shutdown,
            (MachineAction::Calm | MachineAction::Read, same) => *same,
        };
        call.state.is_none_or(|said| said == after).then_some(after)
    }

    fn describe(&self, call: &MachineCall) -> String {
        let action = match call.action {
            MachineAction::Calm => "reading below the thresholds",
            MachineAction::Escalate => "reading that alerts",
            MachineAction::Halt => "reading that shuts down",
            MachineAction::Reset => "reset",
            MachineAction::Read => "read",
        };
        match call.state {
            Some(state) => format!("{action}: {}", format!("{state:?}").to_lowercase()),
            None => action.to_owned(),
        }
    }

    fn reads_only(&self, call: &MachineCall) -> bool {
        matches!(call.action, MachineAction::Read | MachineAction::Calm)
    }

    fn open_calls(&self, calls: &[MachineCall], open: &[usize]) -> Vec<Open> {
        super::alike(calls, open)
    }
}
