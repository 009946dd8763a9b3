//! One operation a line, as JSON, with the positions of its call and its return in real time:
//! `{"p":process,"f":"w","k":key,"a":argument,"b":second,"out":result,"l":[…],"call":0,"ret":3,"st":"ok"}`,
//! and for transactions `"txn":[["append",k,v],["r",k,[…]]]`. `ret` is null where the outcome is unknown.
//!
//! Zero is what a register holds before the first write, and what a queue or a stack answers when it is
//! empty.

use ordeal_core::{Event, EventKind, Key, Operation, Process};
use serde_json::Value;

use crate::detect::nothing_if;
use crate::json::{Json, Why};
use crate::ours::read_key;
use crate::reader::{Lines, read_lines};
use crate::sink::Sink;
use crate::source::Source;
use crate::{ReadError, txn};

/// A function of the format.
#[derive(Debug)]
struct Function {
    /// Its name in the file.
    short: &'static str,
    /// Its usual name.
    name: &'static str,
    /// The model it belongs to, if only one knows it.
    model: Option<&'static str>,
    takes: Takes,
    gives: Gives,
}

/// Where the argument stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takes {
    Nothing,
    A,
    Both,
    /// `a`, where zero is nothing.
    Token,
    Txn,
}

/// Where the result stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gives {
    Nothing,
    Out,
    /// `out`, where zero is nothing.
    OutOrEmpty,
    /// `out`, which may be missing.
    Token,
    /// `out`, as 0 or 1; may be missing.
    Bool,
    List,
    Txn,
}

const fn function(
    short: &'static str,
    name: &'static str,
    model: Option<&'static str>,
    takes: Takes,
    gives: Gives,
) -> Function {
    Function { short, name, model, takes, gives }
}

const FUNCTIONS: &[Function] = &[
    function("r", "read", Some("register"), Takes::Nothing, Gives::Out),
    function("w", "write", Some("register"), Takes::A, Gives::Nothing),
    function("cas", "cas", Some("register"), Takes::Both, Gives::Nothing),
    function("enq", "enqueue", Some("queue"), Takes::A, Gives::Nothing),
    function("deq", "dequeue", Some("queue"), Takes::Nothing, Gives::OutOrEmpty),
    function("push", "push", Some("stack"), Takes::A, Gives::Nothing),
    function("pop", "pop", Some("stack"), Takes::Nothing, Gives::OutOrEmpty),
    function("insert", "insert", Some("priority-queue"), Takes::A, Gives::Nothing),
    function("poll", "poll", Some("priority-queue"), Takes::Nothing, Gives::OutOrEmpty),
    function("peek", "peek", Some("priority-queue"), Takes::Nothing, Gives::OutOrEmpty),
    function("add", "add", Some("grow-set"), Takes::A, Gives::Nothing),
    function("rs", "read", Some("grow-set"), Takes::Nothing, Gives::List),
    function("sadd", "add", Some("set"), Takes::A, Gives::Bool),
    function("srem", "remove", Some("set"), Takes::A, Gives::Bool),
    function("shas", "contains", Some("set"), Takes::A, Gives::Bool),
    function("inc", "add", Some("counter"), Takes::A, Gives::Nothing),
    function("rc", "read", Some("counter"), Takes::Nothing, Gives::Out),
    function("append", "append", Some("list"), Takes::A, Gives::Nothing),
    function("rl", "read", Some("list"), Takes::Nothing, Gives::List),
    function("acq", "acquire", None, Takes::Nothing, Gives::Token),
    function("rel", "release", None, Takes::Token, Gives::Nothing),
    function("txn", "txn", None, Takes::Txn, Gives::Txn),
];

fn named(short: &str) -> Result<&'static Function, Why> {
    FUNCTIONS.iter().find(|f| f.short == short).ok_or_else(|| {
        let known: Vec<_> = FUNCTIONS.iter().map(|f| f.short).collect();
        format!("expected a function of {}, not `{short}`", known.join(", "))
    })
}

/// The one model that the functions in these first lines belong to.
pub(crate) fn model(text: &str) -> Option<&'static str> {
    let mut one = None;
    for line in text.lines().filter(|line| line.ends_with('}')) {
        let mut model = None;
        let read = Json::new(line).object(|json, name| match &*name {
            "f" => {
                model = named(&json.text()?)?.model;
                Ok(())
            }
            _ => json.value(0).map(drop),
        });
        if read.is_err() || model.is_none() || one.is_some_and(|one| Some(one) != model) {
            return None;
        }
        one = model;
    }
    one
}

/// Reads a file. If the model was guessed from its first lines, all others must be of it.
pub(crate) fn read(
    source: &mut Source,
    sink: &mut Sink<'_>,
    model: Option<&'static str>,
) -> Result<Lines, ReadError> {
    let mut read = 0;
    read_lines(
        source,
        sink,
        |_, line, _| Row::parse(line).map(Some),
        |sink, row, number| {
            if model.is_some() && row.f.model != model {
                let (f, model) = (row.f.short, model.unwrap_or_default());
                return Err(ReadError::new(number, format!("`{f}` after operations on a {model}")));
            }
            read += 2;
            row.hand_over(sink, read - 2).map_err(|why| ReadError::new(number, why))
        },
    )?
    .whole()
}

/// One line.
#[derive(Debug)]
struct Row {
    f: &'static Function,
    process: u64,
    key: Option<Key>,
    a: Value,
    b: Value,
    out: Option<Value>,
    list: Option<Value>,
    txn: Option<Value>,
    call: u64,
    ret: Option<u64>,
    kind: EventKind,
}

impl Row {
    fn parse(line: &str) -> Result<Row, Why> {
        let mut json = Json::new(line);
        let (mut f, mut kind, mut call, mut ret) = (None, None, None, None);
        let mut row = Row {
            f: &FUNCTIONS[0],
            process: 0,
            key: None,
            a: Value::Null,
            b: Value::Null,
            out: None,
            list: None,
            txn: None,
            call: 0,
            ret: None,
            kind: EventKind::Info,
        };
        json.object(|json, name| {
            match &*name {
                "p" => row.process = json.unsigned()?,
                "f" => f = Some(named(&json.text()?)?),
                "k" => row.key = read_key(json.value(0)?)?,
                "a" => row.a = json.value(0)?,
                "b" => row.b = json.value(0)?,
                "out" => row.out = Some(json.value(0)?),
                "l" => row.list = Some(json.value(0)?),
                "txn" => row.txn = Some(json.value(0)?),
                "call" => call = Some(position(json.unsigned()?)?),
                "ret" => match json.peek() {
                    Some(b'n') => ret = Some(json.value(0).map(|_| None)?),
                    _ => ret = Some(Some(position(json.unsigned()?)?)),
                },
                "st" => kind = Some(outcome(&json.text()?)?),
                _ => drop(json.value(0)?),
            }
            Ok(())
        })?;
        json.end()?;
        let missing = |name: &str| format!("expected a field `{name}`");
        row.f = f.ok_or_else(|| missing("f"))?;
        row.kind = kind.ok_or_else(|| missing("st"))?;
        row.call = call.ok_or_else(|| missing("call"))?;
        row.ret = ret.ok_or_else(|| missing("ret"))?;
        if row.ret.is_some_and(|ret| ret < row.call) {
            return Err("expected a `ret` that is not before `call`".to_owned());
        }
        Ok(row)
    }

    fn argument(&mut self) -> Result<Value, Why> {
        let missing = |name: &str| format!("expected a field `{name}`, which every `{}` has", self.f.short);
        if matches!(self.f.takes, Takes::A | Takes::Both) && self.a.is_null() {
            return Err(missing("a"));
        }
        if self.f.takes == Takes::Both && self.b.is_null() {
            return Err(missing("b"));
        }
        Ok(match self.f.takes {
            Takes::Nothing => Value::Null,
            Takes::A => self.a.take(),
            Takes::Token => nothing_if(self.a.take(), 0),
            Takes::Both => Value::Array(vec![self.a.take(), self.b.take()]),
            Takes::Txn => {
                let txn = self.txn.as_mut().filter(|txn| txn.is_array());
                let txn = txn.ok_or("expected a field `txn` with an array")?;
                txn::usual_names(txn);
                txn::asked(txn)
            }
        })
    }

    fn result(&mut self) -> Result<Value, Why> {
        let missing =
            |name: &str| format!("expected a field `{name}`, which a successful `{}` has", self.f.short);
        Ok(match self.f.gives {
            Gives::Nothing => Value::Null,
            Gives::Out => self.out.take().ok_or_else(|| missing("out"))?,
            Gives::OutOrEmpty => nothing_if(self.out.take().ok_or_else(|| missing("out"))?, 0),
            Gives::Token => self.out.take().unwrap_or(Value::Null),
            Gives::Bool => match self.out.take() {
                None | Some(Value::Null) => Value::Null,
                Some(Value::Bool(said)) => Value::Bool(said),
                Some(said) => match said.as_i64() {
                    Some(bit @ 0..=1) => Value::Bool(bit == 1),
                    _ => return Err(format!("expected an `out` of 0 or 1, not {said}")),
                },
            },
            Gives::List => self.list.take().ok_or_else(|| missing("l"))?,
            Gives::Txn => self.txn.take().unwrap_or(Value::Null),
        })
    }

    fn hand_over(mut self, sink: &mut Sink<'_>, index: u64) -> Result<(), Why> {
        let value = self.argument()?;
        let answer = if self.kind == EventKind::Ok { self.result()? } else { Value::Null };
        let event = |kind, time, index, value, key| Event {
            index,
            time,
            process: Process::Client(self.process),
            kind,
            f: self.f.name.into(),
            value,
            key,
            node: None,
            error: None,
        };
        // Transactions name their own objects.
        let key = if self.f.takes == Takes::Txn { None } else { self.key.take() };
        let invoke = event(EventKind::Invoke, self.call, index, value, key.clone());
        let (stamp, ret) = match self.kind {
            EventKind::Info => (self.call, Operation::OPEN),
            // One that took effect but of whose end nothing is known ends after everything else.
            _ => [self.ret.unwrap_or(Operation::OPEN - 1); 2].into(),
        };
        let complete = event(self.kind, stamp, index + 1, answer, key);
        sink.interval(&invoke, &complete, self.call, ret);
        Ok(())
    }
}

fn position(at: u64) -> Result<u64, Why> {
    match at < Operation::OPEN - 1 {
        true => Ok(at),
        false => Err("expected a position below 2^64 - 2".to_owned()),
    }
}

fn outcome(text: &str) -> Result<EventKind, Why> {
    match text {
        "ok" => Ok(EventKind::Ok),
        "fail" => Ok(EventKind::Fail),
        "info" => Ok(EventKind::Info),
        other => Err(format!("expected the outcome ok, fail or info, not `{other}`")),
    }
}
