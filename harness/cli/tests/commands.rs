//! The commands as a user types them: exit codes, words on the right stream, files left behind.
//!
//! Against the in-memory target where no processes are needed, against real nodes where they are. No test
//! depends on how fast the machine is: a slow one may make a run vacuous, never invalid.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]
#![allow(clippy::print_stdout, reason = "tests say what they skip")]

mod common;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use common::{ordeal, output, sandbox, stderr, stdout};

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

/// Runs the memory target for a moment, with more arguments; the run directory and what was said.
fn memory_run(dir: &Path, more: &[&str]) -> (PathBuf, Output) {
    let out = dir.join("run");
    let mut args = vec!["run", "register", "--target", "memory", "--for", "500ms", "--warmup", "200ms"];
    args.extend(["--rate", "2000", "--seed", "7", "--out", out.to_str().unwrap()]);
    args.extend(more);
    let output = output(&args);
    (out, output)
}

fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Processes whose command line names the directory.
fn survivors(dir: &Path) -> usize {
    let named = |pid: &Path| {
        let line = std::fs::read(pid.join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(dir.to_str().unwrap())
    };
    std::fs::read_dir("/proc").unwrap().flatten().filter(|e| named(&e.path())).count()
}

#[test]
fn a_correct_system_is_valid_and_can_be_judged_again() {
    let dir = tempfile::tempdir().unwrap();
    let (run, ran) = memory_run(dir.path(), &[]);
    assert_eq!(code(&ran), 0, "{}{}", stdout(&ran), stderr(&ran));
    assert!(stdout(&ran).starts_with("VALID"), "{}", stdout(&ran));
    for file in ["plan.json", "history.jsonl", "verdict.json", "ordeal.log", "report.html"] {
        assert!(run.join(file).exists(), "{file}");
    }
    let verdict = std::fs::read_to_string(run.join("verdict.json")).unwrap();
    assert_eq!(code(&output(&["check", run.to_str().unwrap()])), 0);
    assert_eq!(std::fs::read_to_string(run.join("verdict.json")).unwrap(), verdict, "the same judgement");
    assert!(stdout(&output(&["show", run.to_str().unwrap()])).starts_with("VALID"));
    let history = stdout(&output(&["show", run.to_str().unwrap(), "--history", "--key", "3"]));
    assert!(history.contains(" 3 ") && !history.contains(" read 4 "), "{history}");
    assert!(!dir.path().join("latest").exists(), "only the default directory has one");
}

#[test]
fn an_audit_tells_bugs_from_sound_targets_and_goes_on_where_it_stood() {
    let dir = tempfile::tempdir().unwrap();
    let (audit, file) = (dir.path().join("audit"), dir.path().join("record.md"));
    std::fs::write(&file, "above\n<!-- audit: begin -->\n<!-- audit: end -->\nbelow\n").unwrap();
    let args = |duration| {
        let (audit, file) = (audit.to_str().unwrap(), file.to_str().unwrap());
        let args = ["audit", "memory", "--for", duration, "--runs", "2", "--jobs", "2", "--out", audit];
        output(&[&args[..], &["--table", file]].concat())
    };
    let first = args("500ms");
    // On a crowded machine a run may have too little time to be decided.
    assert!([0, 3].contains(&code(&first)), "{}{}", stdout(&first), stderr(&first));
    assert!(stderr(&first).contains("memory with stale-read, seed 1: caught after"), "{}", stderr(&first));
    let record = std::fs::read_to_string(&file).unwrap();
    assert!(record.starts_with("above\n") && record.ends_with("\nbelow\n"), "{record}");
    assert!(record.contains("| `memory` | `stale-read` | `none` | caught | `nonlinearizable`"), "{record}");
    let runs = || std::fs::read_dir(&audit).unwrap().count();
    let before = runs();
    let again = args("500ms");
    assert_eq!((code(&again), stdout(&again), runs()), (code(&first), stdout(&first), before));
    let other = args("600ms");
    assert_eq!(code(&other), 2);
    assert!(stderr(&other).contains("runs of other settings"), "{}", stderr(&other));
    let out = ["audit", "memory", "--for", "500ms", "--faults", "none", "--out", audit.to_str().unwrap()];
    assert_eq!(code(&output(&out)), 2, "other faults are other runs");
    let settings = std::fs::read_to_string(audit.join("audit.json")).unwrap();
    std::fs::write(audit.join("audit.json"), settings.replace("\"build\":\"", "\"build\":\"other")).unwrap();
    let other = args("500ms");
    assert_eq!(code(&other), 2);
    assert!(stderr(&other).contains("runs of another build"), "{}", stderr(&other));
    for (wrong, reason) in [
        (&["audit", "nobody"][..], "there is no target `nobody`"),
        (&["audit", "memory", "--bug", "none"], "has a bug `none`"),
        (&["audit", "memory", "--table", "/dev/null"], "has no lines"),
    ] {
        let refused = output(wrong);
        assert_eq!(code(&refused), 2, "{wrong:?}");
        assert!(stderr(&refused).contains(reason), "{}", stderr(&refused));
    }
}

#[test]
fn a_node_that_is_short_of_memory_ends_without_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    let mut ended_early = 0;
    for mb in (16..).step_by(2) {
        let node = "ulimit -v $1; shift; exec \"$@\"";
        let mut command = Command::new("sh");
        command.args(["-c", node, "sh", &(mb * 1024).to_string(), env!("CARGO_BIN_EXE_ordeal"), "node"]);
        command.args(["quorum-reads-writes", "--id", "n1", "--listen", "127.0.0.1:0", "--peers"]);
        command.args(["n1=127.0.0.1:1", "--data-dir", dir.path().to_str().unwrap()]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let (say, said) = std::sync::mpsc::channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| say.send(line)));
        let mut serves = false;
        while !serves {
            match said.recv_timeout(Duration::from_secs(60)) {
                Ok(line) => {
                    assert!(!line.contains("panicked"), "with {mb} MB: {line}");
                    serves = line.contains("serving");
                }
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("with {mb} MB it neither serves nor ends"),
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        if serves {
            break;
        }
        ended_early += 1;
    }
    assert!(ended_early > 0, "no limit was short");
}

#[test]
fn runs_without_a_named_directory_are_found_under_results() {
    let dir = tempfile::tempdir().unwrap();
    let args =
        ["run", "register", "--target", "memory", "--for", "200ms", "--warmup", "100ms", "--seed", "7"];
    for _ in 0..2 {
        let ran = ordeal(&args).current_dir(dir.path()).output().unwrap();
        assert!([0, 3].contains(&code(&ran)), "{}", stderr(&ran));
    }
    let runs = dir.path().join("results/memory-register");
    assert_eq!(std::fs::read_dir(&runs).unwrap().count(), 3, "two runs and `latest`");
    assert!(runs.join("latest").join("verdict.json").exists());
}

#[test]
fn a_broken_system_is_a_violation_that_names_its_operations() {
    for bug in ["stale-read", "lost-write"] {
        let dir = tempfile::tempdir().unwrap();
        let (run, ran) = memory_run(dir.path(), &["--bug", bug]);
        assert_eq!(code(&ran), 1, "{bug}: {}", stdout(&ran));
        assert!(stdout(&ran).contains("nonlinearizable"), "{}", stdout(&ran));
        assert_eq!(code(&output(&["check", run.to_str().unwrap(), "--expect", "invalid"])), 0);
        let json = stdout(&output(&["check", run.to_str().unwrap(), "--json"]));
        let judged: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(judged["verdict"], "invalid");
        let anomalies =
            judged["findings"].as_array().unwrap().iter().filter_map(|f| f["anomalies"].as_array());
        let cited = anomalies.flatten().any(|a| a["events"].as_array().is_some_and(|e| !e.is_empty()));
        assert!(cited, "{json}");
    }
}

#[test]
fn expecting_a_violation_that_is_not_there_fails() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(code(&memory_run(dir.path(), &["--expect", "invalid"]).1), 1);
}

#[test]
fn a_plan_repeats_a_run_and_a_dry_run_does_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (run, _) = memory_run(dir.path(), &[]);
    let plan = run.join("plan.json");
    let again = dir.path().join("again");
    let args = ["run", "--plan", plan.to_str().unwrap(), "--out", again.to_str().unwrap()];
    assert_eq!(code(&output(&args)), 0);
    let read = |path: PathBuf| std::fs::read_to_string(path).unwrap();
    assert_eq!(read(plan), read(again.join("plan.json")));
    let dry = output(&["run", "patients", "--seed", "3", "--dry-run"]);
    assert_eq!(code(&dry), 0);
    let plan: serde_json::Value = serde_json::from_str(&stdout(&dry)).unwrap();
    assert_eq!((plan["nodes"].as_u64(), plan["target"].as_str()), (Some(5), Some("quorum-reads-writes")));
    assert!(!plan["faults"].as_array().unwrap().is_empty());
}

#[test]
fn wrong_usage_is_exit_2_and_names_what_there_is() {
    let cases: &[(&[&str], &str)] = &[
        (&["run"], "required"),
        (&["run", "nonsense"], "patients"),
        (&["run", "patients", "--target", "nonsense"], "etcd"),
        (&["run", "patients", "--target", "etcd"], "register"),
        (&["run", "patients", "--bug", "nonsense"], "w-1"),
        (&["run", "patients", "--faults", "nonsense"], "partition"),
        (&["run", "patients", "--for", "20"], "duration"),
        (&["run", "patients", "--rate", "0"], "max"),
        (&["run", "patients", "--nodes", "0"], "1..=100"),
        (&["run", "patients", "-o", "nonsense=1"], "read-quorum"),
        (&["run", "patients", "-o", "read-quorum"], "NAME=VALUE"),
        (&["run", "register", "--target", "memory", "--faults", "kill"], "no processes"),
        (&["run", "register", "--target", "memory", "--pcap", "x.pcap"], "no network"),
        (&["run", "patients", "--pcap", "/proc/version"], "exists already"),
        (&["run", "register", "--target", "etcd", "--binary", "/nonexistent/etcd"], "etcd"),
        (&["run", "--plan", "/nonexistent/plan.json"], "plan.json"),
        (&["check", "/nonexistent"], "/nonexistent"),
        (&["check", "/", "--model", "register"], "--model"),
        (&["show", "/nonexistent"], "/nonexistent"),
        (&["node", "nonsense"], "quorum-reads-writes"),
        (&["generate"], "required"),
        (&["generate", "nonsense"], "rw-register"),
        (&["generate", "lock", "--violation", "nonsense"], "double-grant"),
        (&["generate", "lock", "--violation", "reorder"], "double-grant"),
        (&["generate", "queue", "-n", "2", "--violation", "reorder"], "fits nowhere"),
        (&["generate", "queue", "--open", "2"], "0% to 100%"),
        (&["generate", "queue", "--clients", "0"], "from 1 to"),
        (&["generate", "kv", "--format", "intervals"], "no words"),
        (&["generate", "--suite", "R-1"], "no row `R-1`"),
        (&["generate", "queue", "-o", "/proc/version"], "/proc/version"),
        (&["bench", "checkers", "--rows", "nonsense"], "no row"),
        (&["nonsense"], "Usage"),
    ];
    for (args, expected) in cases {
        let said = output(args);
        assert_eq!(code(&said), 2, "{args:?}: {}", stderr(&said));
        assert!(stderr(&said).contains(expected), "{args:?}: {}", stderr(&said));
        assert_eq!(stdout(&said), "", "{args:?}: errors go to standard error");
    }
}

#[test]
fn an_existing_run_directory_is_never_touched() {
    let dir = tempfile::tempdir().unwrap();
    let (run, _) = memory_run(dir.path(), &[]);
    let before = std::fs::read(run.join("history.jsonl")).unwrap();
    let (_, again) = memory_run(dir.path(), &[]);
    assert_eq!(code(&again), 2);
    assert_eq!(std::fs::read(run.join("history.jsonl")).unwrap(), before);
}

#[test]
fn malformed_histories_are_errors_with_their_line_never_a_verdict() {
    let dir = tempfile::tempdir().unwrap();
    let good = r#"{"index":0,"time":1,"process":0,"type":"invoke","f":"read","value":null,"key":1}"#;
    let cases: &[(&str, Vec<u8>, &str)] = &[
        ("garbage", b"nonsense\n".to_vec(), "line 1"),
        ("second", format!("{good}\n{{\"index\":1}}\n").into_bytes(), "line 2"),
        ("binary", [good.as_bytes(), b"\n\xff\xfe\n"].concat(), "line 2: not UTF-8"),
        ("middle", [good.as_bytes(), b"\n\xff\n", good.as_bytes()].concat(), "line 2: not UTF-8"),
        ("deep", format!("{good}\n{}\n", "[".repeat(100_000)).into_bytes(), "line 2"),
    ];
    for (name, bytes, expected) in cases {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let said = output(&["check", path.to_str().unwrap(), "--model", "versioned-register"]);
        assert_eq!(code(&said), 2, "{name}: {}", stderr(&said));
        assert!(stderr(&said).contains(expected), "{name}: {}", stderr(&said));
    }
    // Cut off within a character of its last line.
    let cut = dir.path().join("cut");
    std::fs::write(&cut, [good.as_bytes(), b"\n{\"index\":1,\"error\":\"\xe2\x82"].concat()).unwrap();
    let said = output(&["check", cut.to_str().unwrap(), "--model", "register"]);
    assert_eq!(code(&said), 3, "{}{}", stdout(&said), stderr(&said));
    // An order is never written over what is there already.
    let whole = dir.path().join("whole");
    std::fs::write(&whole, good.to_owned() + "\n").unwrap();
    let (path, before) = (whole.to_str().unwrap(), std::fs::read(&whole).unwrap());
    let said = output(&["check", path, "--model", "register", "--order", path]);
    assert_eq!(code(&said), 2, "{}", stderr(&said));
    assert_eq!(std::fs::read(&whole).unwrap(), before);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let untold = ordeal(&["check", path, "--model", "register"]).stdout(full).output().unwrap();
    assert_eq!(code(&untold), 4, "{}", stderr(&untold));
    let empty = dir.path().join("empty");
    std::fs::write(&empty, "").unwrap();
    let said = output(&["check", empty.to_str().unwrap(), "--model", "register"]);
    assert_eq!(code(&said), 3, "nothing was judged: {}", stdout(&said));
    let unmatched = dir.path().join("unmatched");
    std::fs::write(&unmatched, good.replace("invoke", "ok") + "\n").unwrap();
    let said = output(&["check", unmatched.to_str().unwrap(), "--model", "register"]);
    assert_eq!(code(&said), 2, "no history at all: {}", stdout(&said));
    assert!(stderr(&said).contains("line 1: process 0 completed an operation it never invoked"));
}

/// Runs `check` with a text on standard input.
fn check_input(text: &str, more: &[&str]) -> Output {
    let mut args = vec!["check", "-"];
    args.extend(more);
    let mut child =
        ordeal(&args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that refuses its arguments does not read on.
    let _ = std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes());
    child.wait_with_output().unwrap()
}

const STALE_EDN: &str = "{:process 0, :type :invoke, :f :write, :value 1}
{:process 0, :type :ok, :f :write, :value 1}
{:process 1, :type :invoke, :f :write, :value 2}
{:process 1, :type :ok, :f :write, :value 2}
{:process 0, :type :invoke, :f :read, :value nil}
{:process 0, :type :ok, :f :read, :value 1}
";

#[test]
fn histories_of_other_tools_are_judged_and_their_operations_cited() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("history.edn");
    std::fs::write(&file, STALE_EDN).unwrap();
    let said = output(&["check", file.to_str().unwrap(), "--model", "register", "--timing"]);
    assert_eq!(code(&said), 1, "{}{}", stdout(&said), stderr(&said));
    let text = stdout(&said);
    assert!(text.contains("3 operations: 3 ok, 0 failed, 0 unknown"), "{text}");
    assert!(text.contains("client 0  invoke read") && text.contains("parse_ms"), "{text}");
    // The same from standard input, which cannot be read twice.
    let said = check_input(STALE_EDN, &["--model", "cas-register", "--json", "--timing"]);
    assert_eq!(code(&said), 1, "{}{}", stdout(&said), stderr(&said));
    let judged: serde_json::Value = serde_json::from_str(&stdout(&said)).unwrap();
    assert_eq!(judged["verdict"], "invalid");
    assert!(judged["timing"]["judge_ms"].is_number(), "{judged}");
    let cut = &STALE_EDN[..STALE_EDN.len() - 60];
    let said = check_input(cut, &["--model", "register"]);
    assert_eq!(code(&said), 0, "{}{}", stdout(&said), stderr(&said));
    assert!(stdout(&said).contains("last line was cut off"), "{}", stdout(&said));
}

#[test]
fn a_file_that_names_its_model_needs_no_other() {
    let rows = "{\"p\":0,\"f\":\"w\",\"k\":0,\"a\":1,\"b\":0,\"call\":0,\"ret\":1,\"st\":\"ok\"}\n\
                {\"p\":0,\"f\":\"r\",\"k\":0,\"a\":0,\"b\":0,\"out\":1,\"call\":2,\"ret\":3,\"st\":\"ok\"}\n";
    let said = check_input(rows, &[]);
    assert_eq!(code(&said), 0, "{}{}", stdout(&said), stderr(&said));
    assert!(stdout(&said).contains("linearizable(register)"), "{}", stdout(&said));
    for (text, more, expected) in [
        (STALE_EDN, &[][..], "needs --model"),
        (STALE_EDN, &["--model", "nonsense"], "there are: register"),
        (STALE_EDN, &["--model", "register", "--format", "nonsense"], "jepsen-edn"),
        (STALE_EDN, &["--model", "register", "--format", "fastlin"], "line 1"),
        (STALE_EDN, &["--model", "register", "--initial", "{"], "expected JSON"),
        (STALE_EDN, &["--model", "register", "--memory-limit", "2"], "2GB"),
        (STALE_EDN, &["--model", "register", "--level", "serializable"], "for list-append, rw-register"),
        (STALE_EDN, &["--model", "rw-register", "--level", "nonsense"], "strict-serializable"),
        (STALE_EDN, &["--model", "counter", "--initial", "[1]"], "a counter starts with a whole number"),
        (STALE_EDN, &["--workload", "register", "--strict"], "the judges of `register`"),
        (STALE_EDN, &["--model", "register", "--independent"], "line 1: expected a value [key value]"),
        ("x\ny", &["--model", "register"], "line 1: not a history in any format"),
    ] {
        let said = check_input(text, more);
        assert_eq!(code(&said), 2, "{more:?}: {}{}", stdout(&said), stderr(&said));
        assert!(stderr(&said).contains(expected), "{more:?}: {}", stderr(&said));
    }
}

#[test]
fn limits_end_a_search_undecided() {
    let invoke = |n: u64| format!("{{:process {n} :type :invoke :f :write :value {}}}\n", n % 7);
    let text: String = (0..40).map(invoke).chain([STALE_EDN.replace(":process ", ":process 9")]).collect();
    let said = check_input(&text, &["--model", "register", "--memory-limit", "1KB", "--time-limit", "10s"]);
    assert_eq!(code(&said), 3, "{}{}", stdout(&said), stderr(&said));
}

#[test]
fn a_history_cut_at_any_byte_can_still_be_judged() {
    let dir = tempfile::tempdir().unwrap();
    let (run, _) = memory_run(dir.path(), &[]);
    let whole = std::fs::read(run.join("history.jsonl")).unwrap();
    for cut in [1, 17, whole.len() / 3, whole.len() / 2, whole.len() - 5] {
        std::fs::write(run.join("history.jsonl"), &whole[..cut]).unwrap();
        let said = output(&["check", run.to_str().unwrap()]);
        assert_eq!(code(&said), 3, "cut short is undecided: {}{}", stdout(&said), stderr(&said));
        assert!(stdout(&said).contains("cut"), "{}", stdout(&said));
    }
}

#[test]
fn lists_and_help_go_to_standard_output() {
    for (args, expected) in [
        (vec!["list"], "quorum-reads-writes --bug w-1"),
        (vec!["list", "bugs"], "    --faults partition,kill,pause"),
        (vec!["list", "faults"], "partition"),
        (vec!["list", "violations"], "--violation token-regression"),
        (vec!["--help"], "Exit codes"),
        (vec!["--version"], "ordeal"),
        (vec!["run", "--help"], "--faults"),
    ] {
        let said = output(&args);
        assert_eq!(code(&said), 0, "{args:?}");
        assert!(stdout(&said).contains(expected), "{args:?}: {}", stdout(&said));
    }
}

#[test]
fn simulated_histories_get_the_verdict_they_were_made_for() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let generate = |more: &[&str]| {
        let mut args = vec!["generate", "register", "-n", "300", "--clients", "4", "--seed", "5"];
        args.extend(more);
        output(&args)
    };
    let (valid, invalid) = (file("valid.jsonl"), file("invalid.jsonl"));
    let said = generate(&["-o", &valid]);
    assert_eq!((code(&said), stdout(&said), stderr(&said)), (0, String::new(), String::new()));
    assert_eq!(stdout(&generate(&[])), std::fs::read_to_string(&valid).unwrap(), "the same seed");
    assert_eq!(code(&output(&["check", &valid, "--model", "register"])), 0);
    let said = generate(&["--violation", "stale-read", "-o", &invalid]);
    assert!(stderr(&said).contains("planted stale-read: operation"), "{}", stderr(&said));
    let judged = stdout(&output(&["check", &invalid, "--model", "register", "--json"]));
    let judged: serde_json::Value = serde_json::from_str(&judged).unwrap();
    // The operation that was changed is among those that were found, by the event that began it.
    let planted = stderr(&said).rsplit_once("events ").unwrap().1.to_owned();
    let changed = planted.split(',').next().unwrap();
    let cited = judged["findings"][0]["anomalies"][0]["events"].to_string();
    let cited: Vec<&str> = cited.trim_matches(['[', ']']).split(',').collect();
    assert!(cited.contains(&changed), "{changed}: {cited:?}");
    // Nothing is ever overwritten.
    let before = std::fs::read(&valid).unwrap();
    assert_eq!(code(&generate(&["--violation", "stale-read", "-o", &valid])), 2);
    assert_eq!(std::fs::read(&valid).unwrap(), before);
}

#[test]
fn histories_are_written_in_the_formats_of_others() {
    let dir = tempfile::tempdir().unwrap();
    let said = |args: &[&str]| {
        let said = output(&[&["generate"], args].concat());
        assert_eq!(code(&said), 0, "{args:?}: {}", stderr(&said));
        stdout(&said)
    };
    let intervals = said(&["--suite", "R-1k-c10", "--format", "intervals"]);
    assert_eq!(
        intervals.lines().next().unwrap(),
        r#"{"p":6,"f":"r","k":0,"a":0,"b":0,"out":2,"call":0,"ret":19,"st":"ok"}"#
    );
    assert_eq!(intervals.lines().count(), 1_000);
    let edn = said(&["list-append", "-n", "50", "--format", "edn"]);
    assert!(edn.starts_with("{:index 0, :time "), "{edn}");
    assert!(edn.contains(":type :invoke, :process ") && edn.contains("[:append 0 1]"), "{edn}");
    let keyed = said(&["register", "-n", "50", "--keys", "3", "--format", "edn"]);
    assert!(keyed.contains(":f :read, :value [2 nil]}"), "{keyed}");
    let packed = dir.path().join("history.jsonl.gz");
    said(&["stack", "-n", "50", "-o", packed.to_str().unwrap()]);
    let unpacked = Command::new("gzip").args(["-dc", packed.to_str().unwrap()]).output();
    match unpacked {
        Ok(unpacked) => assert_eq!(stdout(&unpacked), said(&["stack", "-n", "50"])),
        Err(e) => println!("unpacking: skipped, no gzip here ({e})"),
    }
}

#[test]
fn judges_are_measured_row_by_row() {
    let rows = ["bench", "checkers", "--rows", "C-1k-c10-i0*,Q-1k*"];
    let said = output(&rows);
    let table = stdout(&said);
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("row ") && lines[1].starts_with("C-1k-c10-i0 "), "{table}");
    assert_eq!(lines.len(), 5, "{table}");
    assert!(lines[4].contains("0 wrong"), "{table}");
    let json = stdout(&output(&[&rows[..], &["--json"]].concat()));
    let measured: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (measured[0]["verdict"].as_str(), measured[0]["operations"].as_u64()),
        (Some("valid"), Some(1_000))
    );
    assert!(measured[0]["peak_bytes"].as_u64().unwrap() > 1 << 20, "{json}");
}

#[test]
fn real_nodes_are_audited_and_leave_nothing() {
    if !sandbox("real_nodes_are_audited_and_leave_nothing") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let args = ["run", "patients", "--for", "6s", "--seed", "5", "--out", out.to_str().unwrap()];
    let ran = output(&args);
    assert!([0, 3].contains(&code(&ran)), "{}{}", stdout(&ran), stderr(&ran));
    assert_eq!(survivors(&out), 0);
    let history = std::fs::read_to_string(out.join("history.jsonl")).unwrap();
    for fault in ["kill", "pause", "partition"] {
        let injected = history.lines().any(|line| {
            line.contains("\"inject\"")
                && line.contains(&format!("\"fault\":\"{fault}\""))
                && line.contains("\"proved\":true")
        });
        assert!(injected, "{fault} bit");
    }
}

#[test]
fn a_system_described_in_a_file_is_audited_like_any_other() {
    if !sandbox("a_system_described_in_a_file_is_audited_like_any_other") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let manifest = dir.path().join("clinic.toml");
    let program = env!("CARGO_BIN_EXE_ordeal");
    let text = format!(
        r#"
        name = "clinic"
        workload = "patients"
        program = "{program}"
        args = ["node", "quorum-reads-writes", "--id", "{{id}}", "--listen", "{{ip}}:8080",
                "--peers", "{{peers}}", "--data-dir", "{{data_dir}}"]
        peer = "{{id}}={{ip}}:8080"
        port = 8080
        ready = "/health"
        "#
    );
    std::fs::write(&manifest, text).unwrap();
    let out = dir.path().join("run");
    let (manifest, out) = (manifest.to_str().unwrap(), out.to_str().unwrap());
    let args = ["run", "patients", "--target", manifest, "--faults", "kill", "--for", "4s", "--out", out];
    let ran = output(&args);
    assert!([0, 3].contains(&code(&ran)), "{}{}", stdout(&ran), stderr(&ran));
    assert!(stdout(&ran).contains("3 nodes"), "{}", stdout(&ran));
    let broken = output(&["run", "patients", "--target", "/nonexistent/clinic.toml"]);
    assert_eq!(code(&broken), 2, "{}", stderr(&broken));
}

/// Starts a long run of real nodes and waits until the load has begun.
fn long_run(out: &Path) -> Child {
    let args = ["run", "patients", "--for", "10m", "--seed", "5", "--out", out.to_str().unwrap()];
    let run = ordeal(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for("the load", || {
        std::fs::read_to_string(out.join("history.jsonl")).is_ok_and(|h| h.contains("\"value\":\"load\""))
    });
    run
}

#[test]
fn a_killed_harness_leaves_nothing_but_a_history_that_can_be_judged() {
    if !sandbox("a_killed_harness_leaves_nothing_but_a_history_that_can_be_judged") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let mut run = long_run(&out);
    run.kill().unwrap();
    run.wait().unwrap();
    wait_for("every process to be gone", || survivors(&out) == 0);
    let said = output(&["check", out.to_str().unwrap()]);
    assert_eq!(code(&said), 3, "{}{}", stdout(&said), stderr(&said));
    assert!(stdout(&said).contains("cut short"), "{}", stdout(&said));
}

#[test]
fn a_signal_ends_a_run_in_good_order() {
    if !sandbox("a_signal_ends_a_run_in_good_order") {
        return;
    }
    for signal in ["-INT", "-TERM"] {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("run");
        let run = long_run(&out);
        let sent = Command::new("kill").args([signal, &run.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let said = run.wait_with_output().unwrap();
        assert_eq!(code(&said), 3, "{}{}", stdout(&said), stderr(&said));
        assert!(stdout(&said).contains("interrupted"), "{}", stdout(&said));
        assert_eq!(survivors(&out), 0);
    }
}
