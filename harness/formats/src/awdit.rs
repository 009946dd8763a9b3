//! AWDIT's human format: `w key value` and `r key value`, a line each; `-----` ends a transaction, `=====` a
//! session.
//!
//! The sessions have no common clock. No intervals of time can say that the transactions of a session
//! follow one another while sessions do not: so all transactions overlap, those of a session begin in their
//! order, and each session is a process.

use ordeal_core::{Event, EventKind, Operation, Process};
use serde_json::Value;

use crate::ReadError;
use crate::json;
use crate::reader::{Lines, read_lines};
use crate::sink::Sink;
use crate::source::Source;
use crate::txn;

/// What a line is.
enum Row {
    Op(Value),
    EndOfTxn,
    EndOfSession,
}

/// Where the reader is.
#[derive(Default)]
struct At {
    session: u64,
    /// Its transactions so far.
    in_session: u64,
    /// All transactions so far.
    number: u64,
    txn: Vec<Value>,
}

/// Reads a file.
pub(crate) fn read(source: &mut Source, sink: &mut Sink<'_>) -> Result<Lines, ReadError> {
    let mut at = At::default();
    let lines = read_lines(
        source,
        &mut at,
        |_, line, _| parse(line).map(Some),
        |at, row, _| {
            match row {
                Row::Op(op) => at.txn.push(op),
                Row::EndOfTxn => at.hand_over(sink),
                Row::EndOfSession => {
                    at.hand_over(sink);
                    at.session += 1;
                    at.in_session = 0;
                }
            }
            Ok(())
        },
    )?
    .whole()?;
    at.hand_over(sink);
    Ok(lines)
}

impl At {
    fn hand_over(&mut self, sink: &mut Sink<'_>) {
        if self.txn.is_empty() {
            return;
        }
        let value = Value::Array(std::mem::take(&mut self.txn));
        let (call, ret) = (self.in_session, Operation::OPEN - 1);
        let event = |kind, time, index, value| Event {
            index,
            time,
            process: Process::Client(self.session),
            kind,
            f: "txn".into(),
            value,
            key: None,
            node: None,
            error: None,
        };
        let invoke = event(EventKind::Invoke, call, 2 * self.number, txn::asked(&value));
        let complete = event(EventKind::Ok, ret, 2 * self.number + 1, value);
        sink.interval(&invoke, &complete, call, ret);
        self.in_session += 1;
        self.number += 1;
    }
}

fn parse(line: &str) -> Result<Row, String> {
    let mut words = line.split_ascii_whitespace();
    let row = [words.next(), words.next(), words.next(), words.next()];
    match row {
        [Some(f @ ("r" | "w")), Some(key), Some(value), None] => {
            let atom = |word: &str| match word.bytes().all(|b| b.is_ascii_digit()) {
                true => json::whole(word),
                false => Value::String(word.to_owned()),
            };
            Ok(Row::Op(Value::Array(vec![f.into(), atom(key), atom(value)])))
        }
        [Some(rule), None, None, None] if rule.len() >= 3 && rule.bytes().all(|b| b == b'-') => {
            Ok(Row::EndOfTxn)
        }
        [Some(rule), None, None, None] if rule.len() >= 3 && rule.bytes().all(|b| b == b'=') => {
            Ok(Row::EndOfSession)
        }
        _ => Err("expected `r key value`, `w key value`, `-----` or `=====`".to_owned()),
    }
}
