//! Waiting as an operation: before the final reads, replicas get the time that their contract gives them.

use std::time::Duration;

use ordeal_core::{Outcome, Plan};
use serde_json::Value;

/// The longest single wait, in milliseconds.
const STEP_MS_MAX: u64 = 500;

/// Waits that come to this time, or a little more. Each is an operation, and none may time out.
pub(crate) fn steps_ms(plan: &Plan, total_ms: u64) -> impl Iterator<Item = u64> + Clone + use<> {
    let step_ms = (plan.op_timeout_ms / 2).clamp(1, STEP_MS_MAX);
    std::iter::repeat_n(step_ms, total_ms.div_ceil(step_ms) as usize)
}

/// Carries one out.
pub(crate) async fn wait(ms: u64) -> Outcome {
    tokio::time::sleep(Duration::from_millis(ms)).await;
    Outcome::Ok(Value::Null)
}
