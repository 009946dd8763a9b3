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
    Machine { iptables_restore: find("iptables-restore", &path), no_fuse: no_fuse(), no_trace: no_trace() }
}

fn no_fuse() -> Option<String> {
    let opened = std::fs::OpenOptions::new().read(true).write(true).open("/dev/fuse");
    let error = opened.err()?;
    let remedy = match error.kind() {
        std::io::ErrorKind::PermissionDenied => "run as root, or `sudo chmod 666 /dev/fuse`",
        _ => "load the kernel's module with `sudo modprobe fuse`; a container needs `--device /dev/fuse`",
    };
    Some(format!("/dev/fuse cannot be opened ({error}): {remedy}"))
}

fn no_trace() -> Option<String> {
    // 1 allows to trace descendants, which nodes are; without Yama there is no such file.
    let scope = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    match scope.trim() {
        "2" if !nix::unistd::geteuid().is_root() => Some(
            "only root may trace processes here: run as root, or `sudo sysctl -w kernel.yama.ptrace_scope=1`"
                .to_owned(),
        ),
        "3" => Some(
            "nobody may trace processes here (kernel.yama.ptrace_scope is 3) until the next boot".to_owned(),
        ),
        _ => None,
    }
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
