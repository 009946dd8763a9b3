//! How nodes are started so that also what the vDSO cannot skew is right: the preload library.
//!
//! The kernel knows nothing of the skew, so a thread that waits until an absolute real time would wait too
//! long or not at all. The library (preload/clock.rs) turns such times into true ones. It also patches the
//! process it is loaded into before its `main`, so that no process of a skewed node, however short-lived,
//! sees true time first. It works in dynamic programs of glibc; all others are patched by the harness, and
//! Go, the most common of the static ones, does not wait for absolute times.

use std::io::Read;
use std::path::{Path, PathBuf};

use ordeal_core::{Cluster, Launch, LaunchChange};

use super::nodes::Node;

/// Empty if it could not be built.
static LIBRARY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/clock-preload.so"));
/// Why it could not be built.
const MISSING: &str = include_str!(concat!(env!("OUT_DIR"), "/clock-preload.missing"));
/// The name under which changes of a launch are made.
pub(super) const OWNER: &str = "clock";
const PRELOAD: &str = "LD_PRELOAD";
/// By this the library finds the control page.
const CONTROL: &str = "ORDEAL_CLOCK";
/// Scripts may be run by scripts.
const SCRIPTS_MAX: usize = 4;
/// The beginning of a program, with the headers and the name of its loader.
const HEAD_BYTES: u64 = 4096;

/// Where the library of a node is.
pub(super) fn library(node: &Node) -> PathBuf {
    node.file.with_file_name("clock-preload.so")
}

/// Writes the library and has the node started with it. `Err` inside: why this node does without.
pub(super) fn prepare(cluster: &dyn Cluster, node: &Node) -> Result<Result<(), String>, String> {
    if LIBRARY.is_empty() {
        return Ok(Err(format!("the preload library was not built: {MISSING}")));
    }
    let launch = cluster.launch(node.index).map_err(|why| format!("{}: {why}", node.id))?;
    if let Err(why) = loads_preloads(&launch) {
        return Ok(Err(why));
    }
    let library = library(node);
    let (Some(path), Some(control)) = (library.to_str(), node.file.to_str()) else {
        return Ok(Err(format!("{} is not UTF-8", library.display())));
    };
    if path.contains([':', ' ']) {
        return Ok(Err(format!("the dynamic loader takes no path with a colon or a blank: {path}")));
    }
    std::fs::write(&library, LIBRARY).map_err(|e| format!("{}: cannot write {path}: {e}", node.id))?;
    let already = launch.env.iter().rev().find(|(key, _)| key == PRELOAD).map(|(_, value)| value.as_str());
    let preload = match already {
        Some(already) if already.split([':', ' ']).any(|one| one == path) => already.to_owned(),
        Some(already) if !already.is_empty() => format!("{already}:{path}"),
        _ => path.to_owned(),
    };
    let env = vec![(PRELOAD.to_owned(), preload), (CONTROL.to_owned(), control.to_owned())];
    cluster.change_launch(node.index, OWNER, LaunchChange { env, ..LaunchChange::default() });
    Ok(Ok(()))
}

/// Whether what is started is loaded by glibc's dynamic loader; if not, why.
fn loads_preloads(launch: &Launch) -> Result<(), String> {
    let mut program = launch.program.clone();
    for _ in 0..SCRIPTS_MAX {
        let head = head(&program).map_err(|e| format!("{} cannot be read: {e}", program.display()))?;
        if let Some(script) = head.strip_prefix(b"#!") {
            let line = script.split(|&c| c == b'\n').next().unwrap_or_default();
            program = interpreter(&String::from_utf8_lossy(line), launch)
                .ok_or_else(|| format!("the interpreter of {} is not found", program.display()))?;
            continue;
        }
        return match loader(&head) {
            Some(name) if name.contains("ld-linux") => Ok(()),
            Some(name) => Err(format!("{} is loaded by {name}, not by glibc", program.display())),
            None => Err(format!("{} is not a dynamic program", program.display())),
        };
    }
    Err(format!("{} is a script run by scripts", launch.program.display()))
}

fn head(file: &Path) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    std::fs::File::open(file)?.take(HEAD_BYTES).read_to_end(&mut head)?;
    Ok(head)
}

/// What runs a script with this first line, also if it is looked for by `env`.
fn interpreter(line: &str, launch: &Launch) -> Option<PathBuf> {
    let mut words = line.split_ascii_whitespace();
    let program = PathBuf::from(words.next()?);
    if program.file_name()? != "env" {
        return Some(program);
    }
    let name = words.find(|word| !word.starts_with('-') && !word.contains('='))?;
    let path =
        launch.env.iter().rev().find(|(key, _)| key == "PATH").map_or("/usr/bin:/bin", |(_, path)| path);
    std::env::split_paths(path).map(|directory| directory.join(name)).find(|file| file.is_file())
}

/// The loader that an ELF program of 64 bits asks for. Source: elf(5).
fn loader(head: &[u8]) -> Option<String> {
    const INTERPRETER: u64 = 3;
    let word = |at: usize, bytes: usize| {
        let mut word = [0; 8];
        word[..bytes].copy_from_slice(head.get(at..at.checked_add(bytes)?)?);
        Some(u64::from_le_bytes(word) as usize)
    };
    if head.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let (headers, count) = (word(32, 8)?, word(56, 2)?);
    let header =
        (0..count).map(|i| headers + 56 * i).find(|&at| word(at, 4) == Some(INTERPRETER as usize))?;
    let (from, bytes) = (word(header + 8, 8)?, word(header + 32, 8)?);
    let name = head.get(from..from.checked_add(bytes)?)?;
    Some(String::from_utf8_lossy(name).trim_end_matches('\0').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(program: &str) -> Launch {
        Launch { program: program.into(), ..Launch::default() }
    }

    #[test]
    fn dynamic_programs_and_scripts_are_told_from_others() {
        let home = tempfile::tempdir().unwrap();
        let script = |name: &str, first: &str| {
            let file = home.path().join(name);
            std::fs::write(&file, format!("{first}\necho\n")).unwrap();
            file.to_str().unwrap().to_owned()
        };
        assert_eq!(loads_preloads(&launch("/bin/sh")), Ok(()));
        assert_eq!(loads_preloads(&launch(&script("a", "#!/bin/sh -e"))), Ok(()));
        assert_eq!(loads_preloads(&launch(&script("b", "#!/usr/bin/env -S sh -e"))), Ok(()));
        let nested = script("c", &format!("#! {}", script("d", "#!/bin/sh")));
        assert_eq!(loads_preloads(&launch(&nested)), Ok(()));
        for (program, why) in [
            ("/nowhere", "cannot be read"),
            ("/etc/passwd", "not a dynamic program"),
            (&script("e", "#!/usr/bin/env no-such-program"), "not found"),
            (&script("f", &format!("#!{}", home.path().join("f").display())), "run by scripts"),
        ] {
            let error = loads_preloads(&launch(program)).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
