//! `ordeal`: audits what distributed systems promise.
//!
//! One way through: arguments become a plan, the plan a run directory, the run directory a judgement, and
//! the judgement an exit code and a report. This is the only crate that sees all parts, and the only one
//! that prints.

mod args;
mod commands;
mod exit;
mod file;
mod judge;
mod progress;
mod resolve;
mod signals;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, BenchCommand, Command, FaultCommand};
use crate::exit::Exit;

fn main() -> ExitCode {
    let argv: Vec<OsString> = std::env::args_os().collect();
    if argv.get(1).is_some_and(|first| first == ordeal_runner::sandbox::INIT_COMMAND) {
        return ExitCode::from(ordeal_runner::sandbox::init_main(&argv[2..]) as u8);
    }
    let args = match Args::try_parse_from(&argv) {
        Ok(args) => args,
        Err(error) => {
            let _ = error.print();
            let asked = error.exit_code() == 0;
            return if asked { Exit::Valid.into() } else { Exit::Usage.into() };
        }
    };
    // A panic of the harness is its own failure and must not look like a verdict.
    let dispatched = std::panic::catch_unwind(|| dispatch(args));
    match dispatched {
        Ok(Ok(exit)) => exit.into(),
        Ok(Err(error)) => exit::report(&error).into(),
        Err(_) => Exit::Harness.into(),
    }
}

fn dispatch(args: Args) -> anyhow::Result<Exit> {
    match args.command {
        Command::Run(args) => commands::run::main(&args),
        Command::Audit(args) => commands::audit::main(&args),
        Command::Check(args) => commands::check::main(&args),
        Command::Show(args) => commands::show::main(&args),
        Command::Generate(args) => commands::generate::main(&args),
        Command::Bench(BenchCommand::Checkers(args)) => commands::bench::main(&args),
        Command::Bench(BenchCommand::Row { id }) => commands::bench::row(&id),
        Command::List(args) => commands::list::main(&args),
        Command::Fault(FaultCommand::Test(args)) => commands::fault::test(&args),
        Command::TrivialNode(args) => commands::fault::trivial::main(&args),
        Command::Doctor => commands::doctor::main(),
        Command::Node(args) => commands::node::main(&args),
        Command::SandboxProbe => commands::doctor::probe_sandbox(),
    }
}
