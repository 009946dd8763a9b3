//! Every history of the suite: the verdict, the time and the peak of memory, each in a process of its own.
//!
//! `cargo bench -p ordeal-checkers --bench suite -- 'R-*'` measures only the rows whose names fit. A wrong
//! verdict makes it fail. `ordeal bench checkers` prints the same table.

#![expect(clippy::print_stdout, reason = "what a benchmark prints is its result")]

use std::process::{Command, ExitCode};

use ordeal_bench::{Judges, Tally, fits};
use ordeal_checkers::{Budget, Options, judge_named};
use ordeal_simulator::suite::{Row, rows};

/// What is measured is the time to the verdict: shrinking a violation to its core comes after it.
const JUDGES: Judges = |name| {
    let budget = Budget { shrink_ms: 0, ..Budget::default() };
    (judge_named(name)?.judge)(&Options { budget, ..Options::default() }).ok()
};

/// Without `--bench`, this only sees to it that it works.
const SMALL: u64 = 1_000;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, id] = &args[..]
        && flag == "--row"
    {
        return match ordeal_bench::child(id, JUDGES) {
            Ok(measured) => {
                println!("{measured}");
                ExitCode::SUCCESS
            }
            Err(why) => {
                println!("{why}");
                ExitCode::FAILURE
            }
        };
    }
    let patterns: Vec<&String> = args.iter().filter(|arg| !arg.starts_with("--")).collect();
    let measures = args.iter().any(|arg| arg == "--bench");
    let wanted = |row: &Row| {
        (patterns.is_empty() || patterns.iter().any(|pattern| fits(pattern, row.id)))
            && (measures || row.parameters.operations <= SMALL)
    };
    let rows: Vec<Row> = rows().into_iter().filter(wanted).collect();
    let Ok(program) = std::env::current_exe() else {
        println!("this program does not know where it is");
        return ExitCode::FAILURE;
    };
    let start = |row: &Row| {
        let mut command = Command::new(&program);
        command.args(["--row", row.id]);
        command
    };
    print!("{}", ordeal_bench::header());
    let measured = ordeal_bench::run(&rows, start, |row| print!("{}", ordeal_bench::line(row)));
    let tally = Tally::of(&measured);
    println!("{tally}");
    if tally.wrong > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
