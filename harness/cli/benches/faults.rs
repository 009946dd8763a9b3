//! How long each fault takes to inject and to heal: `cargo bench -p ordeal --bench faults`. The same table
//! as `ordeal fault test` prints, over many tries of each. Arguments behind `--` are passed on, such as
//! `--rounds 100` or `--faults link`.

#![expect(clippy::print_stdout, reason = "what a benchmark prints is its result")]

use std::process::Command;

fn main() {
    let own: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let rounds: &[&str] = if own.iter().any(|arg| arg == "--rounds") { &[] } else { &["--rounds", "30"] };
    let mut test = Command::new(env!("CARGO_BIN_EXE_ordeal"));
    let status = test.args(["fault", "test"]).args(rounds).args(own).status();
    match status {
        Ok(status) => std::process::exit(status.code().unwrap_or(4)),
        Err(error) => println!("cannot start ordeal: {error}"),
    }
}
