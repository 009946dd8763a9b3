//! `ordeal bench checkers`: time and memory of every row of the suite.

use std::process::Command;

use ordeal_bench::{Judges, Tally, fits};
use ordeal_checkers::{Budget, Options};
use ordeal_simulator::suite::{Row, rows};

use crate::args::BenchArgs;
use crate::exit::{Exit, UsageError, eprint, print, usage};
use crate::resolve::this_program;

/// What is measured is the time to the verdict: shrinking a violation to its core comes after it.
const JUDGES: Judges = |name| {
    let budget = Budget { shrink_ms: 0, ..Budget::default() };
    (ordeal_checkers::judge_named(name)?.judge)(&Options { budget, ..Options::default() }).ok()
};

pub(crate) fn main(args: &BenchArgs) -> anyhow::Result<Exit> {
    let wanted = |row: &Row| args.rows.split(',').any(|pattern| fits(pattern.trim(), row.id));
    let rows: Vec<Row> = rows().into_iter().filter(wanted).collect();
    if rows.is_empty() {
        return usage(format!("no row of the suite fits `{}`", args.rows));
    }
    let program = this_program()?;
    let start = |row: &Row| {
        let mut command = Command::new(&program);
        command.args(["bench", "__row", row.id]);
        command
    };
    if !args.json {
        print(&ordeal_bench::header());
    }
    let measured = ordeal_bench::run(&rows, start, |row| match args.json {
        // What takes minutes should show that it goes on.
        true => eprint(&format!("ordeal: {}", row.id)),
        false => print(&ordeal_bench::line(row)),
    });
    let tally = Tally::of(&measured);
    match args.json {
        true => print(&(serde_json::to_string_pretty(&measured)? + "\n")),
        false => print(&format!("{tally}\n")),
    }
    Ok(match tally {
        Tally { wrong: 1.., .. } => Exit::Violation,
        Tally { undecided: 1.., .. } => Exit::Undecided,
        _ => Exit::Valid,
    })
}

/// One row, in a process of its own.
pub(crate) fn row(id: &str) -> anyhow::Result<Exit> {
    let measured = ordeal_bench::child(id, JUDGES).map_err(UsageError)?;
    print(&(measured + "\n"));
    Ok(Exit::Valid)
}
