//! Whole files in every format, and files that are damaged in every way.

use std::io::{Cursor, Write};

use ordeal_core::{EventKind, Operation, Rng};
use serde_json::{Value, json};

use crate::{Format, Item, Profile, ReadError, ReadOptions, Reader, Summary};

/// An operation as tests compare it.
#[derive(Clone, Debug, PartialEq)]
struct Op {
    process: u64,
    f: String,
    key: Option<String>,
    input: Value,
    output: Option<Value>,
    kind: EventKind,
    call: u64,
    ret: Option<u64>,
}

fn op(operation: &Operation<'_>) -> Op {
    Op {
        process: operation.process(),
        f: operation.f().to_owned(),
        key: operation.key().map(ToString::to_string),
        input: operation.input().clone(),
        output: operation.output().cloned(),
        kind: operation.kind(),
        call: operation.call,
        ret: Some(operation.ret).filter(|ret| *ret != Operation::OPEN),
    }
}

fn open(bytes: &[u8], options: &ReadOptions) -> Result<Reader, ReadError> {
    Reader::open(Box::new(Cursor::new(bytes.to_vec())), options)
}

fn read_with(bytes: &[u8], options: &ReadOptions) -> Result<(Profile, Vec<Op>, Summary), ReadError> {
    let reader = open(bytes, options)?;
    let profile = reader.profile();
    let mut ops = Vec::new();
    let summary = reader.read(&mut |item| match item {
        Item::Operation(operation) => ops.push(op(operation)),
        Item::Other(event) => assert!(event.process.client().is_none()),
    })?;
    assert_eq!(ops.len() as u64, summary.ok + summary.fail + summary.info);
    Ok((profile, ops, summary))
}

fn read(text: &str) -> (Profile, Vec<Op>, Summary) {
    read_with(text.as_bytes(), &ReadOptions::default()).unwrap_or_else(|e| panic!("{e} in {text}"))
}

fn error(text: &str) -> ReadError {
    read_with(text.as_bytes(), &ReadOptions::default()).map(|read| read.1).unwrap_err()
}

/// `process f key input output call ret`, with `-` for nothing and `open` for an operation without an end.
fn brief(op: &Op) -> String {
    let nothing = || "-".to_owned();
    let end = match (op.ret, op.kind) {
        (None, _) => "open".to_owned(),
        (Some(ret), EventKind::Fail) => format!("{ret} failed"),
        (Some(ret), _) => ret.to_string(),
    };
    let output = op.output.as_ref().map_or_else(nothing, Value::to_string);
    let key = op.key.clone().unwrap_or_else(nothing);
    format!("{} {} {key} {} {output} {} {end}", op.process, op.f, op.input, op.call)
}

fn briefs(text: &str) -> Vec<String> {
    read(text).1.iter().map(brief).collect()
}

fn event(index: u64, time: u64, process: u64, kind: &str, value: &str) -> String {
    format!(
        "{{\"index\":{index},\"time\":{time},\"process\":{process},\"type\":\"{kind}\",\"f\":\"read\",\"value\":{value}}}\n"
    )
}

#[test]
fn our_lines_are_ordered_by_their_stamps() {
    let text = [
        event(0, 5, 0, "invoke", "null"),
        event(1, 7, 0, "ok", "3"),
        "\n".to_owned(),
        // Written down late.
        event(2, 6, 1, "invoke", "null"),
        event(3, 6, 7, "invoke", "null"),
        event(4, 9, 1, "info", "null"),
        r#"{"index":5,"time":9,"process":"nemesis","type":"info","f":"inject","value":{}}"#.to_owned(),
    ]
    .concat();
    let expected = ["0 read - null 3 10 15", "1 read - null - 12 open", "7 read - null - 12 open"];
    assert_eq!(briefs(&text), expected);
    let (profile, _, summary) = read(&text);
    assert_eq!((profile.format, profile.model), (Format::Ordeal, None));
    assert_eq!((summary.events, summary.ok, summary.info, summary.time_ns_max), (6, 1, 2, 9));
}

#[test]
fn without_stamps_the_file_is_the_order() {
    let text = [
        event(0, 0, 0, "invoke", "null"),
        event(1, 0, 0, "ok", "1"),
        event(2, 0, 1, "invoke", "null"),
        event(3, 0, 1, "ok", "1"),
    ]
    .concat();
    assert_eq!(briefs(&text), ["0 read - null 1 0 1", "1 read - null 1 2 3"]);
    // The same with a stamp at last: the first four touch.
    let stamped = text + &event(4, 1, 3, "invoke", "null");
    let expected = ["0 read - null 1 0 1", "1 read - null 1 0 1", "3 read - null - 2 open"];
    assert_eq!(briefs(&stamped), expected);
}

#[test]
fn events_that_do_not_pair_up_are_errors() {
    let good = event(0, 1, 0, "invoke", "null");
    for (second, expected) in [
        (event(1, 2, 0, "invoke", "null"), "process 0 invoked again while its operation 0 was open"),
        (event(1, 2, 1, "ok", "null"), "process 1 completed an operation it never invoked"),
        (event(0, 2, 0, "ok", "null"), "the index 0 was there before"),
        (event(1, 0, 0, "ok", "null"), "completed an operation before it invoked it"),
        (event(1, u64::MAX, 0, "ok", "null"), "expected a time below 2^62 nanoseconds"),
    ] {
        let e = error(&(good.clone() + &second));
        assert!(e.line == 2 && e.why.contains(expected), "{e}");
    }
    // A process whose operation ended in doubt may come back.
    let again = [good, event(1, 2, 0, "info", "null"), event(2, 3, 0, "invoke", "null")].concat();
    assert_eq!(briefs(&again), ["0 read - null - 2 open", "0 read - null - 6 open"]);
}

const EDN: &str = r#"; a history
{:process 0, :type :invoke, :f :write, :value 3, :time 10, :index 0}
{:process :nemesis, :type :info, :f :start, :value {:n1 #{:n2}}, :index 1}
#jepsen.history.Op{:process 1, :type :invoke, :f :read, :value nil, :time 20}
{:process 1 :type :ok :f :read :value nil}
{:process 0 :type :info :f :write :value 3 :error [:timed-out "x"]}
{:process 2 :type :invoke :f :cas :value [1 2]}
{:process 2 :type :fail :f :cas :value [1 2]}
{:process 0 :type :invoke :f :add :value 123456789012345678901234567890}
"#;

const EDN_OPS: [&str; 4] = [
    "1 read - null null 2 3",
    "0 write - 3 - 0 open",
    "2 cas - [1,2] - 5 6 failed",
    "0 add - \"123456789012345678901234567890\" - 7 open",
];

#[test]
fn jepsen_histories_are_in_the_order_of_the_file() {
    let (profile, ops, summary) = read(EDN);
    assert_eq!(ops.iter().map(brief).collect::<Vec<_>>(), EDN_OPS);
    assert!(profile.null_is_unknown && !profile.failed_cas_proves);
    assert_eq!((profile.format, summary.events, summary.fail), (Format::JepsenEdn, 8, 1));
    let maps = EDN.trim_start_matches("; a history");
    assert_eq!(briefs(&format!("; x\n[{maps}]\n")), EDN_OPS);
    assert_eq!(briefs(&format!("({maps}) ; the end")), EDN_OPS);
}

#[test]
fn elle_cli_json_reads_like_edn() {
    let lines = [
        r#"{"process":0,"type":"invoke","f":"write","value":3,"time":10}"#,
        r#"{"process":"nemesis","type":"info","f":"start","value":{"n1":["n2"]}}"#,
        r#"{"process":1,"type":"invoke","f":"read","value":null}"#,
        r#"{"process":1,"type":"ok","f":"read"}"#,
        r#"{"process":0,"type":"info","f":"write","value":3}"#,
        r#"{"process":2,"type":"invoke","f":"cas","value":[1,2]}"#,
        r#"{"process":2,"type":"fail","f":"cas","value":[1,2]}"#,
        r#"{"process":0,"type":"invoke","f":"add","value":123456789012345678901234567890}"#,
    ];
    for text in [
        lines.join("\n"),
        format!("[{}]", lines.join(",\n")),
        format!(" [\n{}\n]\n", lines.join(" , ")),
        lines.join(" "),
    ] {
        let (profile, ops, _) = read(&text);
        assert_eq!(profile.format, Format::JepsenJson);
        assert_eq!(ops.iter().map(brief).collect::<Vec<_>>(), EDN_OPS, "{text}");
    }
    assert!(read("[ ]").1.is_empty());
}

#[test]
fn lists_of_small_operations_are_transactions_under_any_name() {
    let text = r#"
        {:type :invoke, :value [[:append 4 2] [:r 5 nil]]}
        {:type :ok, :value [[:append 4 2] [:r 5 [1 2]]]}
        {:type :invoke, :f :read, :value [[:read :x nil] [:write :y 2]]}
        {:type :ok, :f :read, :value [[:read :x 1] [:write :y 2]]}
        {:type :invoke, :value []}
        {:type :ok, :value []}"#;
    let expected = [
        r#"0 txn - [["append",4,2],["r",5,null]] [["append",4,2],["r",5,[1,2]]] 0 1"#,
        r#"0 txn - [["r","x",null],["w","y",2]] [["r","x",1],["w","y",2]] 2 3"#,
        "0 txn - [] [] 4 5",
    ];
    assert_eq!(briefs(text), expected);
    assert!(error("{:type :invoke :value 3}").why.contains("expected an `f`"));
}

#[test]
fn independent_tuples_are_taken_apart_only_on_request() {
    let text = r#"
        {:process 0 :type :invoke :f :read :value [7 nil]}
        {:process 0 :type :ok :f :read :value [7 3]}
        {:process 0 :type :invoke :f :cas :value [:a [1 2]]}
        {:process 0 :type :info :f :cas :value :timed-out}"#;
    let (_, ops, summary) = read(text);
    assert_eq!(brief(&ops[0]), "0 read - [7,null] [7,3] 0 1");
    assert!(summary.notes[0].contains("--independent"), "{:?}", summary.notes);
    let independent = ReadOptions { independent: true, ..ReadOptions::default() };
    let (_, ops, summary) = read_with(text.as_bytes(), &independent).unwrap();
    let ops: Vec<_> = ops.iter().map(brief).collect();
    assert_eq!(ops, ["0 read 7 null 3 0 1", "0 cas a [1,2] - 2 open"]);
    assert!(summary.notes.is_empty());
    let e = read_with(b"{:process 0 :type :invoke :f :read :value 3}", &independent).unwrap_err();
    assert!(e.why.contains("[key value]"), "{e}");
}

#[test]
fn key_value_logs_name_their_model() {
    let text = r#"{:process 0, :type :invoke, :f :append, :key "0", :value "x 0 0 y"}
{:process 0, :type :ok, :f :append, :key "0", :value "x 0 0 y"}
{:process 1, :type :invoke, :f :get, :key "7", :value nil}
{:process 1, :type :ok, :f :get, :key "7", :value ""}
"#;
    let (profile, ops, _) = read(text);
    assert_eq!((profile.format, profile.model), (Format::PorcupineKv, Some("kv")));
    assert_eq!(profile.initial("kv"), Some(json!("")));
    assert_eq!(brief(&ops[0]), r#"0 append 0 "x 0 0 y" "x 0 0 y" 0 1"#);
    assert_eq!(brief(&ops[1]), r#"1 get 7 null "" 2 3"#);
}

#[test]
fn etcd_logs_know_failed_and_timed_out_operations() {
    let text = "INFO  jepsen.util - 0\t:invoke\t:read\tnil\n\
                INFO  jepsen.core - Worker 0 starting\n\
                INFO  jepsen.util - :nemesis :info :start nil\n\
                INFO  jepsen.util - 1   :invoke :cas    [4 1]\n\
                INFO  jepsen.util - 1   :fail   :cas    [4 1]\n\
                INFO  jepsen.util - 0   :fail   :read   :timed-out\n\
                INFO  jepsen.util - 1   :invoke :write  4\n\
                INFO  jepsen.util - 1   :info   :write  :timed-out\n\
                INFO  jepsen.util - 6   :invoke :read   nil\n\
                INFO  jepsen.util - 6   :ok     :read   4\n";
    let (profile, ops, summary) = read(text);
    assert!(profile.failed_cas_proves && !profile.null_is_unknown);
    assert_eq!(profile.model, Some("register"));
    let expected = [
        "1 cas - [4,1] - 2 3 failed",
        "0 read - null - 0 4 failed",
        "1 write - 4 - 5 open",
        "6 read - null 4 7 8",
    ];
    assert_eq!(ops.iter().map(brief).collect::<Vec<_>>(), expected);
    assert_eq!((summary.ok, summary.fail, summary.info), (1, 2, 1));
    for bad in ["nonsense", "INFO jepsen.util", "INFO jepsen.util - x :ok :read 1", "INFO"] {
        assert_eq!(error(&format!("{text}{bad}\n")).line, 11, "{bad}");
    }
    for bad in [":ok :read", ":ok read 1", ":maybe :read nil", ":invoke :cas [1]", ":invoke :read :x"] {
        let e = error(&format!("{text}INFO jepsen.util - 9 {bad}\n"));
        assert!(e.line == 11 && e.why.contains("expected"), "{e}");
    }
}

#[test]
fn fastlin_logs_name_their_model_in_the_header() {
    let (profile, ops, _) = read("# queue\nenq 7 1 5\ndeq 7 2 6\ndeq -1 7 8\n");
    assert_eq!((profile.format, profile.model), (Format::Fastlin, Some("queue")));
    let ops: Vec<_> = ops.iter().map(brief).collect();
    assert_eq!(ops, ["0 enqueue - 7 null 3 10", "1 dequeue - null 7 5 12", "2 dequeue - null null 15 16"]);
    assert_eq!(read("# priorityqueue\ninsert 2 1 5").0.model, Some("priority-queue"));
    let (_, touching, _) = read("# stack\npush 2 1 5\npop 2 5 6\npeek -1 6 6\n");
    assert!(touching[0].ret < Some(touching[1].call) && touching[1].ret < Some(touching[2].call));
    for (line, expected) in [
        ("enq 1 5 4", "not before the start"),
        ("enq 1 5", "method value start end"),
        ("enq x 1 2", "whole number as value"),
        ("frob 1 1 2", "expected enq"),
        ("deq 1 -1 2", "position in time"),
    ] {
        let e = error(&format!("# stack\npush 1 1 2\n{line}\npop 1 3 4\n"));
        assert!(e.line == 3 && e.why.contains(expected), "{e}");
    }
}

#[test]
fn awdit_sessions_have_only_an_order_of_their_own() {
    let text = "w 0 1\nr 1 0\n-----\nr 0 1\n=====\n-----\nw 1 5\n-----\n";
    let end = u64::MAX - 1;
    let expected = [
        format!(r#"0 txn - [["w",0,1],["r",1,null]] [["w",0,1],["r",1,0]] 0 {end}"#),
        format!(r#"0 txn - [["r",0,null]] [["r",0,1]] 1 {end}"#),
        format!(r#"1 txn - [["w",1,5]] [["w",1,5]] 0 {end}"#),
    ];
    assert_eq!(briefs(text), expected);
    // What a history starts with is written in it, where it matters.
    assert_eq!(read(text).0.initial("causal"), None);
    assert_eq!(error("w 0 1\nx 0 1\n").line, 2);
}

#[test]
fn intervals_get_their_usual_names() {
    let row = |f: &str, more: &str, call: u64| {
        format!(
            "{{\"p\":1,\"f\":\"{f}\",\"k\":7,{more},\"call\":{call},\"ret\":{},\"st\":\"ok\"}}\n",
            call + 1
        )
    };
    for (f, more, expected) in [
        ("r", r#""a":0,"b":0,"out":0"#, "read 7 null 0"),
        ("w", r#""a":3,"b":0"#, "write 7 3 null"),
        ("cas", r#""a":3,"b":4"#, "cas 7 [3,4] null"),
        ("enq", r#""a":3"#, "enqueue 7 3 null"),
        ("deq", r#""out":0"#, "dequeue 7 null null"),
        ("pop", r#""out":5"#, "pop 7 null 5"),
        ("sadd", r#""a":3,"out":1"#, "add 7 3 true"),
        ("shas", r#""a":3,"out":0"#, "contains 7 3 false"),
        ("add", r#""a":3"#, "add 7 3 null"),
        ("rs", r#""l":[1,2]"#, "read 7 null [1,2]"),
        ("inc", r#""a":2"#, "add 7 2 null"),
        ("rc", r#""out":2"#, "read 7 null 2"),
        ("append", r#""a":2"#, "append 7 2 null"),
        ("rl", r#""l":[]"#, "read 7 null []"),
        ("acq", r#""a":0,"out":4"#, "acquire 7 null 4"),
        ("rel", r#""a":4"#, "release 7 4 null"),
        (
            "txn",
            r#""txn":[["append",1,2],["r",1,[2]]]"#,
            r#"txn - [["append",1,2],["r",1,null]] [["append",1,2],["r",1,[2]]]"#,
        ),
    ] {
        assert_eq!(briefs(&row(f, more, 4)), [format!("1 {expected} 4 5")]);
    }
    let (profile, ops, _) = read(
        "{\"p\":2,\"f\":\"w\",\"k\":0,\"a\":1,\"b\":0,\"call\":0,\"ret\":null,\"st\":\"info\"}\n\
         {\"p\":2,\"f\":\"cas\",\"k\":0,\"a\":1,\"b\":2,\"call\":3,\"ret\":9,\"st\":\"fail\"}\n",
    );
    assert_eq!((profile.model, profile.initial("register")), (Some("register"), Some(json!(0))));
    let ops: Vec<_> = ops.iter().map(brief).collect();
    assert_eq!(ops, ["2 write 0 1 - 0 open", "2 cas 0 [1,2] - 3 9 failed"]);
}

#[test]
fn interval_rows_must_be_whole_and_of_one_model() {
    let good = r#"{"p":2,"f":"w","k":0,"a":1,"call":0,"ret":1,"st":"ok"}"#;
    for (line, expected) in [
        (r#"{"p":2,"f":"frob","call":0,"ret":1,"st":"ok"}"#, "expected a function of r, w, cas"),
        (r#"{"p":2,"f":"r","call":0,"ret":1,"st":"ok"}"#, "expected a field `out`"),
        (r#"{"p":2,"f":"r","out":1,"ret":1,"st":"ok"}"#, "expected a field `call`"),
        (r#"{"p":2,"f":"r","out":1,"call":5,"ret":1,"st":"ok"}"#, "not before `call`"),
        (r#"{"p":2,"f":"r","out":1,"call":5,"ret":6,"st":"good"}"#, "ok, fail or info"),
        (r#"{"p":2,"f":"txn","call":5,"ret":6,"st":"ok"}"#, "`txn`"),
        (r#"{"p":2,"f":"sadd","a":1,"out":7,"call":5,"ret":6,"st":"ok"}"#, "`out` of 0 or 1"),
    ] {
        // Not among the first lines, by which the model is known.
        let e = error(&format!("{}{line}\n", format!("{good}\n").repeat(2_000)));
        assert!(e.line == 2_001 && (e.why.contains(expected) || e.why.contains("on a register")), "{e}");
        let options = ReadOptions { format: Some(Format::Intervals), ..ReadOptions::default() };
        let e = read_with(format!("{line}\n{good}\n").as_bytes(), &options).unwrap_err();
        assert!(e.line == 1 && e.why.contains(expected), "{line}: {e}");
    }
    let other = r#"{"p":2,"f":"enq","k":0,"a":1,"call":0,"ret":1,"st":"ok"}"#;
    assert_eq!(read(&format!("{good}\n{other}\n")).0.model, None);
    let late = error(&format!("{}{other}\n", format!("{good}\n").repeat(2_000)));
    assert!(late.line == 2_001 && late.why.contains("`enq` after operations on a register"), "{late}");
}

/// A small file of every format.
fn samples() -> Vec<(Format, String)> {
    let ours = [event(0, 1, 0, "invoke", "null"), event(1, 2, 0, "ok", "[1,\"\\u00e9\"]")].concat();
    vec![
        (Format::Ordeal, ours),
        (Format::JepsenEdn, EDN.to_owned()),
        (Format::JepsenEdn, format!("[{}]", EDN.replace("; a history", ""))),
        (Format::JepsenJson, "{\"process\":0,\"type\":\"invoke\",\"f\":\"read\"}\n{\"process\":0,\"type\":\"ok\",\"f\":\"read\",\"value\":[[\"r\",1,null]]}\n".to_owned()),
        (Format::JepsenJson, "[{\"process\":0,\"type\":\"invoke\",\"f\":\"add\",\"value\":1.5e3}]".to_owned()),
        (Format::PorcupineKv, "{:process 0, :type :invoke, :f :get, :key \"7\", :value nil}\n{:process 0, :type :ok, :f :get, :key \"7\", :value \"\"}\n".to_owned()),
        (Format::EtcdLog, "INFO  jepsen.util - 0\t:invoke\t:cas\t[1 2]\nINFO  jepsen.util - 0\t:info\t:cas\t:timed-out\n".to_owned()),
        (Format::Fastlin, "# queue\nenq 1 1 2\ndeq 1 2 3\ndeq -1 4 5\n".to_owned()),
        (Format::Awdit, "w 0 1\nr 1 0\n-----\nr 0 1\n=====\nw 1 5\n".to_owned()),
        (Format::Intervals, "{\"p\":2,\"f\":\"w\",\"k\":0,\"a\":1,\"b\":0,\"call\":0,\"ret\":null,\"st\":\"info\"}\n{\"p\":2,\"f\":\"txn\",\"k\":0,\"txn\":[[\"append\",1,2],[\"r\",1,[2]]],\"call\":0,\"ret\":1,\"st\":\"ok\"}\n".to_owned()),
    ]
}

#[test]
fn a_file_cut_at_any_byte_is_an_error_or_set_aside() {
    for (format, text) in samples() {
        // Where lines are operations in any order, the one that is missing may explain the others.
        let whole_operations = matches!(format, Format::Intervals | Format::Fastlin | Format::Awdit);
        let whole = read(&text).1.len();
        let options = ReadOptions { format: Some(format), ..ReadOptions::default() };
        for cut in 0..text.len() {
            match read_with(&text.as_bytes()[..cut], &options) {
                Ok((_, ops, summary)) => {
                    assert!(ops.len() <= whole && summary.events <= 20, "{format:?} {cut}");
                }
                Err(e) => {
                    assert!(text.starts_with('[') || whole_operations, "{format:?} {cut}: {e}");
                }
            }
        }
        // All lines but the last are whole.
        let last = text.trim_end().rfind('\n').map_or(0, |at| at + 1);
        if last > 0 && !text.starts_with('[') && format != Format::Awdit {
            match read_with(&text.as_bytes()[..last + 3], &options) {
                Ok((_, _, summary)) => {
                    assert!(!whole_operations && summary.truncated.is_some(), "{format:?}: {summary:?}");
                }
                Err(e) => assert!(whole_operations && e.why.contains("cut off"), "{format:?}: {e}"),
            }
        }
    }
}

#[test]
fn a_completion_must_be_of_what_was_invoked() {
    let event = |n, kind: &str, f: &str, key| {
        format!(r#"{{"index":{n},"time":{n},"process":0,"type":"{kind}","f":"{f}","value":1,"key":{key}}}"#)
            + "\n"
    };
    let begun = event(0, "invoke", "write", 1);
    assert_eq!(read(&(begun.clone() + &event(1, "ok", "write", 1))).1.len(), 1);
    for (f, key, expected) in [("read", 1, "completed `read`"), ("write", 2, "another key")] {
        let text = begun.clone() + &event(1, "ok", f, key);
        let error = read_with(text.as_bytes(), &ReadOptions::default()).unwrap_err();
        assert!(error.line == 2 && error.why.contains(expected), "{error}");
    }
}

#[test]
fn a_bracket_missing_further_up_hides_nothing() {
    let text = EDN.replacen("{:process 1 :type :ok :f :read :value nil}", "{:process 1 :type :ok", 1);
    assert!(error(&text).line >= 5, "{}", error(&text));
    let json = "{\"process\":0,\"type\":\"invoke\",\"f\":\"read\"\n{\"process\":1,\"type\":\"invoke\",\"f\":\"read\"}\n";
    assert_eq!(error(json).line, 1);
}

#[test]
fn bytes_that_are_no_utf_8_are_errors_with_their_line() {
    for (format, text) in samples() {
        if !text.starts_with('[') {
            let options = ReadOptions { format: Some(format), ..ReadOptions::default() };
            let bytes = [text.as_bytes(), b"\"\xff\xfe\"\n", text.as_bytes()].concat();
            let e = read_with(&bytes, &options).unwrap_err();
            assert_eq!(e.line, 1 + text.matches('\n').count() as u64, "{format:?}: {e}");
        }
    }
    assert_eq!(read_with(b"{:a 1}\n;\xff\n{:b \"\xff\"}", &ReadOptions::default()).unwrap_err().line, 1);
    assert_eq!(read_with(b";\n;\xff\n{:b \"\xff\"}", &ReadOptions::default()).unwrap_err().line, 2);
}

#[test]
fn a_forced_format_is_not_guessed() {
    let options = ReadOptions { format: Some(Format::Fastlin), ..ReadOptions::default() };
    assert!(read_with(b"enq 1 1 2\n", &options).is_ok());
    assert!(read_with(EDN.as_bytes(), &options).is_err());
    for format in Format::ALL {
        assert_eq!(Format::named(format.name()), Some(*format));
        let options = ReadOptions { format: Some(*format), ..ReadOptions::default() };
        assert!(read_with(b"", &options).unwrap().1.is_empty());
    }
}

#[test]
fn a_collected_history_has_the_same_operations() {
    for (format, text) in samples() {
        let (_, expected, _) = read(&text);
        let (history, summary) = open(text.as_bytes(), &ReadOptions::default()).unwrap().collect().unwrap();
        assert_eq!(history.events.len() as u64, summary.events);
        let operations = history.operations().unwrap_or_else(|e| panic!("{format:?}: {e}"));
        assert_eq!(operations.len(), expected.len());
        for a in &operations {
            let twin = expected.iter().find(|e| {
                (e.process, e.f.as_str(), &e.input, e.kind) == (a.process(), a.f(), a.input(), a.kind())
            });
            assert!(twin.is_some(), "{format:?}: {a:?}");
        }
        // Who was certainly before whom is the same.
        let before = |ops: &[(u64, Option<u64>)]| {
            let ended = |(_, ret): &(u64, Option<u64>)| *ret;
            ops.iter()
                .map(|a| ops.iter().filter(|b| ended(a).is_some_and(|ret| ret < b.0)).count())
                .sum::<usize>()
        };
        let times = |op: &Op| (op.call, op.ret);
        let collected: Vec<_> = operations.iter().map(|o| times(&op(o))).collect();
        let streamed: Vec<_> = expected.iter().map(times).collect();
        assert_eq!(before(&collected), before(&streamed), "{format:?}");
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

#[test]
fn compressed_files_are_known_by_their_magic() {
    let text = EDN.replace("; a history\n", "\u{feff}");
    let half = text.len() / 2;
    let skippable = [&[0x53, 0x2a, 0x4d, 0x18, 4, 0, 0, 0][..], b"skip"].concat();
    let several = [gzip(&text.as_bytes()[..half]), gzip(&text.as_bytes()[half..])].concat();
    let frames = [skippable, zstd(&text.as_bytes()[..half]), zstd(&text.as_bytes()[half..])].concat();
    for bytes in [text.clone().into_bytes(), gzip(text.as_bytes()), zstd(text.as_bytes()), several, frames] {
        let (_, ops, _) = read_with(&bytes, &ReadOptions::default()).unwrap();
        assert_eq!(ops.iter().map(brief).collect::<Vec<_>>(), EDN_OPS);
    }
    for mut bytes in [gzip(text.as_bytes()), zstd(text.as_bytes())] {
        bytes.truncate(bytes.len() - 9);
        let e = read_with(&bytes, &ReadOptions::default()).unwrap_err();
        assert!(e.why.contains("cannot be read"), "{e}");
    }
}

#[test]
fn huge_lines_are_read() {
    let elements = (0..300_000).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    let text = [event(0, 1, 0, "invoke", "null"), event(1, 2, 0, "ok", &format!("[{elements}]"))].concat();
    let (_, ops, _) = read(&text);
    assert_eq!(ops[0].output.as_ref().and_then(|v| v.as_array()).map(Vec::len), Some(300_000));
}

/// Damages a text in one to four places.
fn damage(rng: &mut Rng, text: &str) -> Vec<u8> {
    const SPICE: &[&[u8]] = &[
        b"{",
        b"}",
        b"[",
        b"]",
        b"(",
        b")",
        b"\"",
        b"\\",
        b":",
        b",",
        b"#",
        b"#_",
        b"^",
        b"\n",
        b" ",
        b"0",
        b"9",
        b"-",
        b".",
        b"e",
        b"N",
        b"\\u",
        b"\xff",
        b"\x00",
        b"99999999999999999999",
        b"nil",
        b"null",
        b"# queue\n",
        b"INFO ",
        b"=====\n",
        b";",
    ];
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..rng.between(1, 4) {
        let at = rng.below(bytes.len() as u64 + 1) as usize;
        let piece = SPICE[rng.below(SPICE.len() as u64) as usize];
        match rng.below(5) {
            0 => drop(bytes.splice(at..at, piece.iter().copied())),
            1 => drop(bytes.splice(at..(at + piece.len()).min(bytes.len()), piece.iter().copied())),
            2 => drop(bytes.splice(at..(at + 1).min(bytes.len()), [])),
            3 => bytes.truncate(at),
            _ => {
                let to = (at + rng.below(40) as usize).min(bytes.len());
                let copied = bytes[at..to].to_vec();
                drop(bytes.splice(at..at, copied));
            }
        }
    }
    bytes
}

#[test]
fn damaged_files_never_panic_and_blame_a_line_of_theirs() {
    let samples = samples();
    let mut rng = Rng::new(2026);
    let (mut fine, mut refused) = (0, 0);
    for _ in 0..300_000 {
        let (format, text) = &samples[rng.below(samples.len() as u64) as usize];
        let bytes = damage(&mut rng, text);
        let format = Some(*format).filter(|_| rng.below(2) == 0);
        let options = ReadOptions { format, independent: rng.below(8) == 0 };
        match read_with(&bytes, &options) {
            Ok((_, ops, _)) => {
                assert!(ops.iter().all(|op| op.ret.is_none_or(|ret| op.call <= ret)));
                fine += 1;
            }
            Err(e) => {
                let lines = 1 + bytes.iter().filter(|b| **b == b'\n').count() as u64;
                assert!((1..=lines).contains(&e.line) && !e.why.is_empty(), "{e}");
                refused += 1;
            }
        }
    }
    assert!(fine > 30_000 && refused > 30_000, "{fine} {refused}");
}

#[test]
fn noise_never_panics() {
    let mut rng = Rng::new(3);
    let alphabet = b"{}[]()\":,;#^_\\ \n\t0123456789-+.eEMNnilrwopqueINFO=\xff\xc3\xa9\x28\xb5\x1f\x8b";
    for _ in 0..100_000 {
        let len = rng.below(60) as usize;
        let bytes: Vec<u8> = (0..len).map(|_| alphabet[rng.below(alphabet.len() as u64) as usize]).collect();
        let format = Format::ALL.get(rng.below(12) as usize).copied();
        let _ = read_with(&bytes, &ReadOptions { format, independent: false });
    }
    for magic in [&[0x1f, 0x8b, 8, 0][..], &[0x28, 0xb5, 0x2f, 0xfd], &[0x50, 0x2a, 0x4d, 0x18]] {
        for _ in 0..3_000 {
            let noise: Vec<u8> = (0..rng.below(40)).map(|_| rng.below(256) as u8).collect();
            let _ = read_with(&[magic, &noise].concat(), &ReadOptions::default());
        }
    }
}
