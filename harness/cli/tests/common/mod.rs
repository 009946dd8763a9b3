//! What the tests of the command line share.

#![allow(dead_code, reason = "several test programs share this; none uses all of it")]

use std::process::{Command, Output};

pub(crate) fn ordeal(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ordeal"));
    command.args(args);
    command
}

pub(crate) fn output(args: &[&str]) -> Output {
    ordeal(args).output().unwrap()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Whether the kernel lets this user have a sandbox; says so in one line if not.
pub(crate) fn sandbox(test: &str) -> bool {
    let works = output(&["__sandbox-probe"]).status.success();
    if !works {
        println!("{test}: skipped, no sandbox here (`ordeal doctor` says why)");
    }
    works
}
