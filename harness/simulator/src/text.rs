//! Histories as text: JSON lines are the harness's own (an [`Event`] a line); here are the others.

use std::fmt::Write;

use ordeal_core::{Event, EventKind, Key, Process};
use serde_json::Value;

use crate::operation::{Answer, Ended, Function, Simulated, Step, What};

/// Writes one line of the interval format: an operation with its places among all beginnings and ends.
/// [`Object::has_intervals`](crate::Object::has_intervals) says for which objects the format has words.
pub fn write_interval(out: &mut String, op: &Simulated) {
    let name = interval_name(op.function);
    // Writing to a string does not fail.
    let _ = write!(out, r#"{{"p":{},"f":"{name}","k":{}"#, op.process, op.key);
    if op.function == Function::Transaction {
        out.push_str(r#","txn":["#);
        for (i, step) in op.steps.iter().enumerate() {
            out.push_str(if i > 0 { "," } else { "" });
            write_step(out, step, op.is_ok());
        }
        out.push(']');
    } else {
        let _ = write!(out, r#","a":{},"b":{}"#, op.args[0], op.args[1]);
        match &op.answer {
            Answer::Number(value) if op.is_ok() => {
                let _ = write!(out, r#","out":{value}"#);
            }
            Answer::List(elements) if op.is_ok() => {
                out.push_str(r#","l":["#);
                write_numbers(out, elements, ",");
                out.push(']');
            }
            _ => {}
        }
    }
    let ended = match op.ended {
        Ended::Ok => "ok",
        Ended::Fail => "fail",
        Ended::Open => "info",
    };
    let ret = op.ret.map_or_else(|| "null".to_owned(), |ret| ret.to_string());
    let _ = writeln!(out, r#","call":{},"ret":{ret},"st":"{ended}"}}"#, op.call);
}

fn interval_name(function: Function) -> &'static str {
    match function {
        Function::Read => "r",
        Function::Write => "w",
        Function::Cas => "cas",
        Function::Enqueue => "enq",
        Function::Dequeue => "deq",
        Function::Push => "push",
        Function::Pop => "pop",
        Function::Add => "add",
        Function::AddNew => "sadd",
        Function::Remove => "srem",
        Function::Contains => "shas",
        Function::Members => "rs",
        Function::Increment => "inc",
        Function::Count => "rc",
        Function::Append => "append",
        Function::Elements => "rl",
        Function::Acquire => "acq",
        Function::Release => "rel",
        Function::Transaction => "txn",
        other => other.name(),
    }
}

fn write_step(out: &mut String, step: &Step, answered: bool) {
    let key = step.key;
    let _ = match &step.what {
        What::Append(value) => write!(out, r#"["append",{key},{value}]"#),
        What::Write(value) => write!(out, r#"["w",{key},{value}]"#),
        What::Value(value) if answered && *value != 0 => write!(out, r#"["r",{key},{value}]"#),
        What::List(elements) if answered => {
            let _ = write!(out, r#"["r",{key},["#);
            write_numbers(out, elements, ", ");
            write!(out, "]]")
        }
        What::Value(_) | What::List(_) => write!(out, r#"["r",{key},null]"#),
    };
}

fn write_numbers(out: &mut String, numbers: &[i64], between: &str) {
    for (i, number) in numbers.iter().enumerate() {
        let _ = write!(out, "{}{number}", if i > 0 { between } else { "" });
    }
}

/// Writes one line of EDN, as Jepsen does. With `keyed`, values are pairs of a key and a value, as its
/// `independent` workloads have them.
pub fn write_edn(out: &mut String, event: &Event, keyed: bool) {
    let kind = match event.kind {
        EventKind::Invoke => "invoke",
        EventKind::Ok => "ok",
        EventKind::Fail => "fail",
        EventKind::Info => "info",
    };
    let process = match &event.process {
        Process::Client(number) => number.to_string(),
        Process::Named(name) => format!(":{name}"),
    };
    let Event { index, time, f, .. } = event;
    let _ =
        write!(out, "{{:index {index}, :time {time}, :type :{kind}, :process {process}, :f :{f}, :value ");
    match event.key.as_ref().filter(|_| keyed) {
        Some(key) => {
            out.push('[');
            match key {
                Key::Int(number) => write_value(out, &(*number).into()),
                Key::Text(name) => write_value(out, &name.as_str().into()),
            }
            out.push(' ');
            write_value(out, &event.value);
            out.push(']');
        }
        None => write_value(out, &event.value),
    }
    if let Some(error) = &event.error {
        out.push_str(", :error ");
        write_value(out, &error.as_str().into());
    }
    out.push_str("}\n");
}

fn write_value(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("nil"),
        // The names of a transaction's steps are keywords.
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                out.push_str(if i > 0 { " " } else { "" });
                match item.as_str().filter(|_| i == 0 && items.len() == 3) {
                    Some(name) => {
                        let _ = write!(out, ":{name}");
                    }
                    None => write_value(out, item),
                }
            }
            out.push(']');
        }
        Value::Object(fields) => {
            out.push('{');
            for (i, (name, value)) in fields.iter().enumerate() {
                // Accounts are numbers; everything else is a keyword.
                let mark = if name.bytes().all(|b| b.is_ascii_digit()) { "" } else { ":" };
                let _ = write!(out, "{}{mark}{name} ", if i > 0 { ", " } else { "" });
                write_value(out, value);
            }
            out.push('}');
        }
        plain => {
            let _ = write!(out, "{plain}");
        }
    }
}
