//! What this machine offers to faults.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ordeal_core::Machine;

/// Where distributions put administrators' programs; often not in an ordinary user's `PATH`.
const SYSTEM_DIRECTORIES: [&str; 2] = ["/usr/sbin", "/sbin"];

/// Finds out what this machine offers. Looks at files only; starts nothing.
pub fn machine() -> Machine {
    let path = std::env::var_os("PATH").unwrap_or_default();
    Machine { iptables_restore: find("iptables-restore", &path) }
}

fn find(program: &str, path: &OsStr) -> Option<PathBuf> {
    std::env::split_paths(path)
        // A relative entry would mean another file once a child changes its directory.
        .filter(|directory| directory.is_absolute())
        .chain(SYSTEM_DIRECTORIES.iter().map(PathBuf::from))
        .map(|directory| directory.join(program))
        .find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    file.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_in_the_path_and_only_if_executable() {
        assert_eq!(find("sh", OsStr::new("/nowhere:/bin")), Some(PathBuf::from("/bin/sh")));
        assert_eq!(find("sh", OsStr::new("bin:")), None);
        assert_eq!(find("passwd", OsStr::new("/etc")), None);
        assert_eq!(find("no-such-program", OsStr::new("/bin")), None);
    }
}
