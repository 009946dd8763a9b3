//! How a node was really started, as `/proc` shows it.
//!
//! The command line of the node's main program says it, and the file it executes. But a program may write
//! another title over its command line, and a script that ends in `exec` becomes another program; then the
//! command line of the node's init process, which ends in what it was told to start, must do: it ends
//! at once if it cannot start that.
//!
//! Source: proc_pid_cmdline(5), proc_pid_environ(5), proc_pid_exe(5).

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use ordeal_core::Launch;
use serde_json::{Value, json};

use crate::processes::{PidNamespace, main_program, unreadable};

/// The node's main program and its init process.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Started {
    program: Process,
    init: Process,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Process {
    pid: i32,
    command: Vec<String>,
    env: Vec<String>,
    /// Device and inode of the file it executes.
    file: Option<(u64, u64)>,
}

impl Started {
    /// Blocks.
    pub(super) fn look(init: i32) -> Result<Self, String> {
        let processes = PidNamespace::of(init).and_then(|ns| ns.processes()).map_err(|e| unreadable(&e))?;
        let program = main_program(init, &processes).ok_or("its main program has ended")?;
        Ok(Started { program: Process::read(program)?, init: Process::read(init)? })
    }

    /// Whether the node was started exactly so.
    pub(super) fn is_as(&self, launch: &Launch) -> bool {
        let expected: Vec<&str> =
            launch.program.to_str().into_iter().chain(launch.args.iter().map(String::as_str)).collect();
        let told = |command: &[String]| {
            command.len() >= expected.len() && command[command.len() - expected.len()..] == expected
        };
        let itself = self.program.file.is_some()
            && self.program.file == identity(&launch.program)
            && self.program.command.get(1..).is_some_and(|args| args == launch.args);
        let commanded = itself || told(&self.program.command) || told(&self.init.command);
        // Of two variables of one name the later holds.
        let env: BTreeMap<_, _> = launch.env.iter().map(|(key, value)| (key, value)).collect();
        commanded && env.into_iter().all(|(key, value)| self.has(&(key.clone(), value.clone())))
    }

    /// Whether it was started with this variable.
    pub(super) fn has(&self, (key, value): &(String, String)) -> bool {
        let pair = format!("{key}={value}");
        [&self.program, &self.init].iter().any(|process| process.env.contains(&pair))
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "pid": self.program.pid,
            "command": self.program.command,
            "told": self.init.command,
        })
    }
}

impl Process {
    fn read(pid: i32) -> Result<Self, String> {
        let strings = |file: &str| -> Result<Vec<String>, String> {
            let bytes = fs::read(format!("/proc/{pid}/{file}")).map_err(|e| unreadable(&e))?;
            let parts = bytes.strip_suffix(b"\0").unwrap_or(&bytes).split(|&byte| byte == 0);
            Ok(parts.map(|part| String::from_utf8_lossy(part).into_owned()).collect())
        };
        let file = identity(Path::new(&format!("/proc/{pid}/exe")));
        Ok(Process { pid, command: strings("cmdline")?, env: strings("environ")?, file })
    }
}

/// What tells a file from all others.
fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|at| (at.dev(), at.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    fn started(program: &str, init: &str) -> Started {
        let process = |text| Process { command: words(text), env: words("A=1 B=2"), ..Process::default() };
        Started { program: process(program), init: process(init) }
    }

    fn launch(program: &str, args: &str, env: &[(&str, &str)]) -> Launch {
        let env = env.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Launch { program: program.into(), args: words(args), env }
    }

    #[test]
    fn a_node_is_started_as_told_only_if_everything_is() {
        let node = started("/bin/db --port 1", "shim n1 /bin/db --port 1");
        assert!(node.is_as(&launch("/bin/db", "--port 1", &[("A", "1")])));
        assert!(!node.is_as(&launch("/bin/db", "--port 1 --new", &[])), "an argument is missing");
        assert!(!node.is_as(&launch("/bin/db", "--port", &[])), "one is too many");
        assert!(!node.is_as(&launch("/bin/other", "--port 1", &[])));
        assert!(!node.is_as(&launch("/bin/db", "--port 1", &[("A", "2")])));
        assert!(node.is_as(&launch("/bin/db", "--port 1", &[("A", "2"), ("A", "1")])), "the later holds");
        assert!(node.has(&("B".into(), "2".into())) && !node.has(&("B".into(), "".into())));
    }

    #[test]
    fn titles_and_scripts_do_not_hide_how_it_was_started() {
        let titled = started("db: serving *:1", "shim n1 /bin/db --port 1");
        assert!(titled.is_as(&launch("/bin/db", "--port 1", &[])));
        assert!(!titled.is_as(&launch("/bin/db", "--port 2", &[])));
        let script = started("/bin/sh /opt/start.sh --port 1", "shim n1 /opt/start.sh --port 1");
        assert!(script.is_as(&launch("/opt/start.sh", "--port 1", &[])));
    }

    #[test]
    fn this_process_is_read() {
        let me = Process::read(std::process::id() as i32).unwrap();
        assert!(me.file.is_some() && me.file == identity(&std::env::current_exe().unwrap()));
        assert_eq!(me.command[1..], std::env::args().skip(1).collect::<Vec<_>>());
    }
}
