//! Planting violations: a valid history is changed in one place so that no order explains it any more.
//!
//! Every change is a *certain* violation: its condition, checked on the history before the change, makes
//! it impossible to explain, whatever operations of unknown outcome did. The conditions are written down
//! beside each. They rest on values that are put only once, where nothing else is said.
//!
//! The place is the first operation at or after the one asked for where a condition holds; if there is
//! none, the last one before.

mod containers;
mod elements;
mod locks;
mod registers;
mod sums;
mod transactions;

use std::collections::HashMap;

use crate::objects::{Object, Violation};
use crate::operation::{Answer, Function, Simulated};
use crate::parameters::{Parameters, SimulatorError};

/// A value that nobody ever puts anywhere: far above all counted values.
const NEVER: i64 = 1_000_000_007;
/// A value above all that a priority queue is given.
const NEVER_SCATTERED: i64 = 1 << 40;
/// How far from one another the operations of a violation may be, in operations.
const REACH: usize = 4_000;

/// A planted violation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planted {
    /// Its kind.
    pub violation: Violation,
    /// The operations that contradict one another, by their place in the order of their beginning; those
    /// that were changed first.
    pub operations: Vec<u64>,
    /// What was done, in words.
    pub what: String,
}

/// What a violation is planted into.
struct Scene<'o> {
    ops: &'o mut [Simulated],
    object: Object,
    /// How many values are written; 0 if no value is written twice.
    values: u64,
    start: usize,
}

/// The operations of a violation and what was done; `None` if it fits nowhere.
type Done = Option<(Vec<usize>, String)>;

impl Scene<'_> {
    /// Where to try, in this order.
    fn places(&self) -> impl Iterator<Item = usize> + use<> {
        (self.start..self.ops.len()).chain((0..self.start).rev())
    }

    /// The places after one, within reach.
    fn after(&self, place: usize) -> std::ops::Range<usize> {
        place + 1..self.ops.len().min(place + REACH)
    }

    /// The places before one, within reach.
    fn before(&self, place: usize) -> std::ops::Range<usize> {
        place.saturating_sub(REACH)..place
    }

    /// Whether these were successful and one certainly ended before the other began.
    fn precedes(&self, earlier: usize, later: usize) -> bool {
        self.ops[earlier].is_ok() && self.ops[earlier].precedes(&self.ops[later])
    }

    /// Who gave each element to each single object.
    fn givers(&self) -> HashMap<(u64, i64), usize> {
        let gives = self.ops.iter().enumerate().filter(|(_, op)| op.function.gives());
        gives.map(|(i, op)| ((op.key, op.args[0]), i)).collect()
    }
}

/// Plants a violation.
pub(crate) fn plant(
    violation: Violation,
    ops: &mut [Simulated],
    parameters: &Parameters,
) -> Result<Planted, SimulatorError> {
    let start = (ops.len() as u64 * parameters.at_percent / 100) as usize;
    let mut scene = Scene { ops, object: parameters.object, values: parameters.values, start };
    let done = dispatch(violation, &mut scene);
    let (changed, what) = done.ok_or(SimulatorError::NotPlaced(violation.entry().name))?;
    let operations = changed.iter().map(|&i| scene.ops[i].number).collect();
    Ok(Planted { violation, operations, what })
}

fn dispatch(violation: Violation, scene: &mut Scene<'_>) -> Done {
    use Object::{CasRegister, Counter, GrowSet, Register, RwRegister, Set};
    let elements = matches!(scene.object, GrowSet | Object::List | Object::ListAppend);
    // A version or a text is never the same again.
    let repeated = scene.values > 0 && matches!(scene.object, Register | CasRegister);
    match violation {
        Violation::StaleRead if scene.object == Counter => sums::stale(scene),
        Violation::StaleRead if scene.object == RwRegister => transactions::stale(scene),
        Violation::StaleRead if elements => elements::stale(scene),
        Violation::StaleRead if repeated => registers::stale_repeated(scene),
        Violation::StaleRead => registers::stale(scene),
        Violation::LostUpdate if scene.object == CasRegister => registers::lost_update(scene),
        Violation::LostUpdate if scene.object.is_transactional() => transactions::lost_update(scene),
        Violation::LostUpdate => registers::same_version(scene),
        Violation::Phantom if elements => elements::phantom(scene),
        Violation::Phantom if scene.object == RwRegister => transactions::phantom(scene),
        Violation::Phantom => phantom(scene),
        Violation::Reorder if elements => elements::reorder(scene),
        Violation::Reorder => containers::reorder(scene),
        Violation::LostElement if scene.object == GrowSet => elements::lost(scene),
        Violation::LostElement if scene.object == Set => containers::absent(scene),
        Violation::LostElement => containers::lost(scene),
        Violation::Duplicate if elements => elements::duplicate(scene),
        Violation::Duplicate => containers::duplicate(scene),
        Violation::Hole => elements::hole(scene),
        Violation::OffBy => sums::off_by(scene),
        Violation::DoubleGrant => locks::double_grant(scene),
        Violation::TokenRegression => locks::token_regression(scene),
        Violation::SplitBrain => elements::split_brain(scene),
    }
}

/// An answer with a value that nobody ever put there: always wrong.
fn phantom(scene: &mut Scene<'_>) -> Done {
    let place = scene.places().find(|&i| {
        let op = &scene.ops[i];
        let shows = matches!(op.function, Function::Read | Function::Get | Function::Contains);
        op.is_ok() && (shows || op.function.takes())
    })?;
    let scattered = scene.object == Object::PriorityQueue;
    let never = if scattered { NEVER_SCATTERED } else { NEVER };
    let op = &mut scene.ops[place];
    match &mut op.answer {
        // Whether the set contains it is the question: ask for what was never added.
        Answer::Number(yes) if op.function == Function::Contains => (op.args[0], *yes) = (never, 1),
        Answer::Number(value) | Answer::Versioned(_, value) => *value = never,
        answer => *answer = Answer::Text(Some(vec![never])),
    }
    Some((vec![place], format!("operation {place} answers with {never}, which nobody ever put there")))
}
