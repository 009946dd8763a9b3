//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use ordeal_checkers::Level;
use ordeal_formats::Format;

/// Audits what distributed systems promise: runs a system's real processes in a private sandbox, drives
/// clients against it, breaks things, and judges what the clients saw.
#[derive(Debug, Parser)]
#[command(name = "ordeal", version, arg_required_else_help = true, after_help = EXIT_CODES)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

// What can be asked for at most, on the command line as in a plan.

/// Nodes in a cluster.
pub(crate) const NODES_MAX: u8 = 100;
/// Clients at a time.
pub(crate) const CLIENTS_MAX: u16 = 10_000;
/// Any time, in milliseconds: a week.
pub(crate) const TIME_MS_MAX: u64 = 7 * 24 * 3_600_000;
/// The slowest and the fastest rate, in operations per second.
pub(crate) const RATE_MIN: f64 = 0.001;
pub(crate) const RATE_MAX: f64 = 10_000_000.0;

const FORMATS: &str = "\
Formats, all of them also as .gz or .zst (* names its model, so that --model may be left out):
  ordeal         JSON lines as in a run directory, one event a line
  jepsen-edn     Jepsen's history.edn: a map a line, or one list of maps
  jepsen-json    the same as JSON, as elle-cli reads it: lines, or one array
  porcupine-kv*  Porcupine's key-value logs: EDN with :get, :put, :append
  etcd-log*      `INFO jepsen.util - 0 :invoke :read nil`
  fastlin*       `# queue`, then `enq 1 0 5`
  awdit          `w key value`, `r key value`, `-----`, `=====`
  intervals*     {\"p\":0,\"f\":\"w\",\"k\":0,\"a\":1,\"call\":0,\"ret\":3,\"st\":\"ok\"}, where its
                 functions belong to one model";

const EXIT_CODES: &str = "\
Exit codes:
  0  valid                    1  a violation was found
  2  wrong usage              3  undecided (unknown or vacuous)
  4  the harness itself failed";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Audit a system
    Run(Box<RunArgs>),
    /// Audit the targets, each as it is and with each planted bug: what is caught, missed, or falsely accused
    Audit(AuditArgs),
    /// Judge a recorded run again, or any history file
    Check(CheckArgs),
    /// Show a run: its verdict, or its history line by line
    Show(ShowArgs),
    /// Simulate a history: valid, or with a planted violation
    Generate(Box<GenerateArgs>),
    /// Measure this machine's judges
    #[command(subcommand)]
    Bench(BenchCommand),
    /// List what there is: targets, workloads, faults, checkers, bugs, violations
    List(ListArgs),
    /// Try faults out
    #[command(subcommand)]
    Fault(FaultCommand),
    /// Say what this machine has and what each lack costs
    Doctor,
    /// Run one node of a reference target (the harness does this)
    Node(NodeArgs),
    /// Try to enter a sandbox and leave it (doctor does this)
    #[command(hide = true, name = "__sandbox-probe")]
    SandboxProbe,
    /// Run one node of the trivial cluster (`fault test` does this)
    #[command(hide = true, name = "__trivial-node")]
    TrivialNode(TrivialArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum FaultCommand {
    /// Inject, prove and heal every fault on a trivial cluster on this machine
    Test(FaultTestArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct FaultTestArgs {
    /// Only these, as `ordeal run --faults` takes them, without times [default: all there are]
    #[arg(long, value_name = "LIST")]
    pub(crate) faults: Option<String>,
    /// Nodes in the trivial cluster
    #[arg(long, default_value = "5", value_parser = clap::value_parser!(u8).range(1..=i64::from(NODES_MAX)))]
    pub(crate) nodes: u8,
    /// How often each is tried; from the second round on nothing more may be open than after the first
    #[arg(long, default_value = "2", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) rounds: u32,
    /// Instead: so many tries in all, each of a fault drawn at random
    #[arg(long, conflicts_with = "rounds", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) pairs: Option<u32>,
    /// The root of everything random
    #[arg(long, default_value = "1")]
    pub(crate) seed: u64,
    /// Keep logs and data in this directory, which must not exist
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct TrivialArgs {
    /// The address to listen at
    pub(crate) ip: std::net::Ipv4Addr,
    /// Where it keeps its data
    pub(crate) data_dir: PathBuf,
    /// Accepted without effect: another version of the node
    #[arg(long)]
    pub(crate) upgraded: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// What is asked of the system (see `ordeal list workloads`)
    #[arg(required_unless_present = "plan")]
    pub(crate) workload: Option<String>,
    /// The system under audit: a name, or a TOML file [default: the workload's reference target]
    #[arg(long)]
    pub(crate) target: Option<String>,
    /// Start the target with this planted defect (see `ordeal list bugs`)
    #[arg(long)]
    pub(crate) bug: Option<String>,
    /// What is broken, and when: `partition, kill`, `all`, `clock`, `none`, or a schedule like
    /// `partition(primary, one-way) every 5s for 2s; kill(n1) at 12s` (see `ordeal list faults`)
    /// [default: partition, kill, pause]
    #[arg(long, value_name = "SCHEDULE")]
    pub(crate) faults: Option<String>,
    /// Let clock faults skew the monotonic clock as well, which no real machine does
    #[arg(long)]
    pub(crate) clock_monotonic: bool,
    /// Write the traffic of the run to this file (classic pcap)
    #[arg(long, value_name = "FILE")]
    pub(crate) pcap: Option<PathBuf>,
    /// Nodes in the cluster [default: the target's]
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=i64::from(NODES_MAX)))]
    pub(crate) nodes: Option<u8>,
    /// Further nodes, which the `join` fault starts while the run goes on [default: the target's]
    #[arg(long, value_name = "NODES", value_parser = clap::value_parser!(u8).range(0..=i64::from(NODES_MAX)))]
    pub(crate) join: Option<u8>,
    /// How long to load the system with faults, e.g. 30s or 2m
    #[arg(long = "for", value_name = "DURATION", default_value = "20s", value_parser = duration)]
    pub(crate) duration: Duration,
    /// How long to load it without faults before that
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration)]
    pub(crate) warmup: Duration,
    /// Operations per second over all clients, or `max`
    #[arg(long, default_value = "200", value_parser = rate)]
    pub(crate) rate: Rate,
    /// Clients at a time; client i talks to node i mod nodes, those that join included [default: four a node]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=i64::from(CLIENTS_MAX)))]
    pub(crate) concurrency: Option<u16>,
    /// Objects (keys) that the clients use
    #[arg(long, default_value = "20", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) keys: u64,
    /// How long an operation may take before its outcome counts as unknown
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration)]
    pub(crate) op_timeout: Duration,
    /// The longest wait for the nodes to be ready, at the start and after the faults
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    pub(crate) ready_timeout: Duration,
    /// The root of everything random [default: drawn, and printed]
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Audit this build of the system
    #[arg(long, value_name = "PATH")]
    pub(crate) binary: Option<PathBuf>,
    /// How reads are asked, where the target has a choice (see `ordeal list targets`)
    #[arg(long, value_name = "MODE")]
    pub(crate) read_mode: Option<String>,
    /// A setting of the target (see `ordeal list targets`); may be repeated
    #[arg(long = "option", short = 'o', value_name = "NAME=VALUE")]
    pub(crate) options: Vec<String>,
    /// Do what this plan.json says
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "workload", "target", "bug", "faults", "nodes", "join", "duration", "warmup", "rate", "concurrency", "keys",
        "op_timeout", "ready_timeout", "seed", "binary", "read_mode", "options", "clock_monotonic",
    ])]
    pub(crate) plan: Option<PathBuf>,
    /// Print the plan and stop
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// The run directory, which must not exist [default: results/TARGET-WORKLOAD/TIME-SEED]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Keep the nodes' data after a run without a violation
    #[arg(long)]
    pub(crate) keep_data: bool,
    /// Succeed if a violation is found, fail if none is
    #[arg(long, value_enum, default_value = "valid")]
    pub(crate) expect: Expect,
}

#[derive(Debug, clap::Args)]
pub(crate) struct AuditArgs {
    /// Only these targets (see `ordeal list targets`) [default: all there are]
    pub(crate) targets: Vec<String>,
    /// Only this planted bug (see `ordeal list bugs`); may be repeated
    #[arg(long = "bug", value_name = "BUG")]
    pub(crate) bugs: Vec<String>,
    /// Only the targets as they are
    #[arg(long, conflicts_with = "bugs")]
    pub(crate) sound: bool,
    /// What is broken of the targets as they are, as `ordeal run` takes it; if repeated, each is audited [default:
    /// what `ordeal run` breaks]
    #[arg(long, value_name = "SCHEDULE", conflicts_with = "bugs")]
    pub(crate) faults: Vec<String>,
    /// How long each run loads its system with faults
    #[arg(long = "for", value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub(crate) duration: Duration,
    /// How often a target as it is is run, and how often at most one with a bug, until it is caught
    #[arg(long, default_value = "3", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) runs: u32,
    /// Runs at a time
    #[arg(long, default_value = "1", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) jobs: u16,
    /// Where the runs go; what is there already is not run again [default: results/audit/TIME]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Put the table into this file too, between the lines `<!-- audit: begin -->` and `<!-- audit: end -->`
    #[arg(long, value_name = "FILE")]
    pub(crate) table: Option<PathBuf>,
}

/// Which verdict is success.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Expect {
    Valid,
    Invalid,
}

/// Operations per second; `None` is as many as possible.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rate(pub(crate) Option<f64>);

#[derive(Debug, clap::Args)]
#[command(after_help = FORMATS)]
pub(crate) struct CheckArgs {
    /// A run directory, or a history file; `-` is standard input
    pub(crate) path: PathBuf,
    /// Judge a file against this model, or with this judge (see `ordeal list checkers`) [default: what the
    /// file says it is about, if it does]
    #[arg(long, conflicts_with = "workload")]
    pub(crate) model: Option<String>,
    /// Judge a file with the judges of this workload
    #[arg(long)]
    pub(crate) workload: Option<String>,
    /// The format of a file [default: known by its first bytes]
    #[arg(long, value_parser = format)]
    pub(crate) format: Option<Format>,
    /// The state before anything happened, as JSON [default: what the format says, or the model]
    #[arg(long, value_name = "JSON", value_parser = json)]
    pub(crate) initial: Option<serde_json::Value>,
    /// Values of Jepsen's operations are [key value] (jepsen.independent)
    #[arg(long)]
    pub(crate) independent: bool,
    /// The longest time to judge, e.g. 60s; a search that needs more ends undecided
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) time_limit: Option<Duration>,
    /// The most memory for judging, e.g. 2GB; a search that needs more ends undecided
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) memory_limit: Option<usize>,
    /// The longest time, after the verdict, to look for the fewest operations that contradict one another; 0s
    /// leaves that out [default: 2s]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) shrink_limit: Option<Duration>,
    /// Judge every key, also after a violation was found
    #[arg(long)]
    pub(crate) all: bool,
    /// The isolation level to judge transactions by: serializable, strong-session-serializable or
    /// strict-serializable [default: the last]
    #[arg(long, value_parser = Level::named)]
    pub(crate) level: Option<Level>,
    /// Judge by the stricter of two readings: no stale read for `set-full`, no value twice for `total-queue`
    #[arg(long)]
    pub(crate) strict: bool,
    /// Accounts of a `bank` may be overdrawn
    #[arg(long)]
    pub(crate) overdraft: bool,
    /// How many versions stale a read may be, for `staleness`
    #[arg(long, value_name = "N")]
    pub(crate) max_versions: Option<u64>,
    /// How stale a read may be, for `staleness`, e.g. 500ms
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) max_staleness: Option<Duration>,
    /// How long a lock is held at most, for `lock-exclusivity`, e.g. 5s
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) lease: Option<Duration>,
    /// Write to this file, as JSON, in which order the operations of a linearizable history can have taken
    /// effect
    #[arg(long, value_name = "FILE")]
    pub(crate) order: Option<PathBuf>,
    /// Say how long reading and judging took, and how much memory
    #[arg(long)]
    pub(crate) timing: bool,
    /// Print the judgement as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Succeed if a violation is found, fail if none is
    #[arg(long, value_enum, default_value = "valid")]
    pub(crate) expect: Expect,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    /// A run directory
    pub(crate) dir: PathBuf,
    /// Show the history instead of the verdict
    #[arg(long)]
    pub(crate) history: bool,
    /// Of the history, only events about this key
    #[arg(long, requires = "history")]
    pub(crate) key: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// What to list; everything if left out
    #[arg(value_enum)]
    pub(crate) what: Option<Listed>,
}

/// What can be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Listed {
    Targets,
    Workloads,
    Faults,
    Checkers,
    Bugs,
    Violations,
}

#[derive(Debug, clap::Args)]
pub(crate) struct GenerateArgs {
    /// What the simulated clients talk to (see `ordeal list violations`)
    #[arg(required_unless_present = "suite")]
    pub(crate) model: Option<String>,
    /// Operations
    #[arg(long, short = 'n', default_value = "1000000")]
    pub(crate) operations: u64,
    /// Clients at a time
    #[arg(long, default_value = "10")]
    pub(crate) clients: u64,
    /// Objects at a time
    #[arg(long, default_value = "1")]
    pub(crate) keys: u64,
    /// How often each object is asked for
    #[arg(long, value_enum, default_value = "uniform")]
    pub(crate) key_distribution: KeyDistribution,
    /// How many values are written; 0: none is written twice
    #[arg(long, default_value = "0")]
    pub(crate) values: u64,
    /// The share of operations that read or take
    #[arg(long, value_name = "PERCENT", default_value = "50%", value_parser = share)]
    pub(crate) reads: u64,
    /// The share of operations that are never answered; half of them take effect, late
    #[arg(long, value_name = "PERCENT", default_value = "0%", value_parser = share)]
    pub(crate) open: u64,
    /// The share of operations that fail without effect
    #[arg(long, value_name = "PERCENT", default_value = "0%", value_parser = share)]
    pub(crate) fail: u64,
    /// The mean time of an operation, in microseconds
    #[arg(long, value_name = "MICROSECONDS", default_value = "1000")]
    pub(crate) latency: u64,
    /// The share of operations that take twenty times as long
    #[arg(long, value_name = "PERCENT", default_value = "1%", value_parser = share)]
    pub(crate) tail: u64,
    /// The mean time between a client's operations, in microseconds
    #[arg(long, value_name = "MICROSECONDS", default_value = "100")]
    pub(crate) gap: u64,
    /// Plant a violation of this kind (see `ordeal list violations`)
    #[arg(long, value_name = "KIND")]
    pub(crate) violation: Option<String>,
    /// Where to plant it, as a share of all operations
    #[arg(long, value_name = "PERCENT", default_value = "50%", value_parser = share)]
    pub(crate) at: u64,
    /// The root of everything random
    #[arg(long, default_value = "1")]
    pub(crate) seed: u64,
    /// Instead: this row of the benchmark suite, e.g. `R-10k-c10-bad`
    #[arg(long, value_name = "ROW", conflicts_with_all = [
        "model", "operations", "clients", "keys", "key_distribution", "values", "reads", "open", "fail", "latency",
        "tail", "gap", "violation", "at", "seed",
    ])]
    pub(crate) suite: Option<String>,
    /// How it is written: `jsonl` an event a line, `intervals` an operation a line, `edn` as Jepsen does
    #[arg(long, value_enum, default_value = "jsonl")]
    pub(crate) format: HistoryFormat,
    /// The file, which must not exist; compressed if it is called `.gz`; `-` is standard output
    #[arg(long, short = 'o', value_name = "FILE", default_value = "-")]
    pub(crate) output: PathBuf,
}

/// How often each object is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum KeyDistribution {
    /// All alike
    Uniform,
    /// The i-th as often as 1/i says
    Zipf,
    /// Nine of ten operations are about one object in ten
    Hot,
}

/// How a history is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum HistoryFormat {
    Jsonl,
    Intervals,
    Edn,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Judge every history of the benchmark suite, each in a process of its own: time and peak memory
    Checkers(BenchArgs),
    /// Measure one row (`bench checkers` does this)
    #[command(hide = true, name = "__row")]
    Row {
        /// Its name
        id: String,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct BenchArgs {
    /// Only rows whose names fit, e.g. `R-*,*-bad`
    #[arg(long, value_name = "PATTERNS", default_value = "*")]
    pub(crate) rows: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct NodeArgs {
    /// The reference target
    pub(crate) pattern: String,
    /// The node's own arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) args: Vec<OsString>,
}

/// Reads `500ms`, `30s`, `2m` or `1h`.
fn duration(text: &str) -> Result<Duration, String> {
    let expected = || format!("expected a duration like 500ms, 30s, 2m or 1h, not `{text}`");
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(expected)?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| expected())?;
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(expected()),
    };
    let ms = number.checked_mul(unit_ms).filter(|ms| *ms <= TIME_MS_MAX);
    ms.map(Duration::from_millis).ok_or_else(|| "at most 168h".to_owned())
}

/// Reads `500MB`, `2GB` or `1GiB`.
fn size(text: &str) -> Result<usize, String> {
    let expected = || format!("expected a size like 500MB or 2GB, not `{text}`");
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(expected)?;
    let (number, unit) = text.split_at(digits);
    let number: usize = number.parse().map_err(|_| expected())?;
    let unit = match unit {
        "B" => 1,
        "KB" | "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(expected()),
    };
    number.checked_mul(unit).ok_or_else(expected)
}

fn format(text: &str) -> Result<Format, String> {
    Format::named(text).ok_or_else(|| {
        let known: Vec<_> = Format::ALL.iter().map(|f| f.name()).collect();
        format!("expected one of {}", known.join(", "))
    })
}

fn json(text: &str) -> Result<serde_json::Value, String> {
    serde_json::from_str(text).map_err(|e| format!("expected JSON: {e}"))
}

fn rate(text: &str) -> Result<Rate, String> {
    if text == "max" {
        return Ok(Rate(None));
    }
    match text.parse::<f64>() {
        Ok(rate) if (RATE_MIN..=RATE_MAX).contains(&rate) => Ok(Rate(Some(rate))),
        _ => Err(format!("expected operations per second from 0.001 to 10000000, or `max`, not `{text}`")),
    }
}

/// Reads `1%` or `0.05%` as parts of a million.
fn share(text: &str) -> Result<u64, String> {
    let percent = text.strip_suffix('%').and_then(|number| number.parse::<f64>().ok());
    match percent {
        Some(percent) if (0.0..=100.0).contains(&percent) => Ok((percent * 10_000.0).round() as u64),
        _ => Err(format!("expected a share from 0% to 100%, not `{text}`")),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn durations_sizes_and_rates_are_read_strictly() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for bad in ["", "5", "s", "-1s", "1.5s", "3 s", "99999999999999999999s", "1000h"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert_eq!((size("2GB"), size("1KiB")), (Ok(2_000_000_000), Ok(1024)));
        for bad in ["", "2", "GB", "-1GB", "2gb", "99999999999999999999GB", "99999999999999GB"] {
            assert!(size(bad).is_err(), "{bad}");
        }
        assert_eq!((share("1%"), share("0.05%"), share("100%")), (Ok(10_000), Ok(500), Ok(1_000_000)));
        for bad in ["", "%", "1", "-1%", "101%", "nan%", "x%"] {
            assert!(share(bad).is_err(), "{bad}");
        }
        assert_eq!(rate("max"), Ok(Rate(None)));
        for bad in ["0", "-1", "1e-300", "1e300", "nan", "inf", "fast"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }
}
