//! Transactions: lists of small operations, `["append", k, v]`, `["w", k, v]`, `["r", k, result]`.

use serde_json::Value;

/// Whether a value is a list of small operations, of which there is at least one.
pub(crate) fn is_txn(value: &Value) -> bool {
    let small = |op: &Value| {
        op.as_array().is_some_and(|op| {
            matches!(
                op.as_slice(),
                [Value::String(f), _, _] if matches!(f.as_str(), "append" | "w" | "r" | "write" | "read")
            )
        })
    };
    value.as_array().is_some_and(|ops| !ops.is_empty() && ops.iter().all(small))
}

/// Gives small operations their usual names.
pub(crate) fn usual_names(txn: &mut Value) {
    for op in txn.as_array_mut().into_iter().flatten() {
        if let Some(Value::String(f)) = op.get_mut(0) {
            match f.as_str() {
                "read" => *f = "r".to_owned(),
                "write" => *f = "w".to_owned(),
                _ => {}
            }
        }
    }
}

/// The transaction as it was asked: its reads without results.
pub(crate) fn asked(txn: &Value) -> Value {
    let mut asked = txn.clone();
    for op in asked.as_array_mut().into_iter().flatten() {
        if let Value::Array(op) = op
            && op.first().is_some_and(|f| f == "r")
            && let Some(result) = op.get_mut(2)
        {
            *result = Value::Null;
        }
    }
    asked
}
