//! The disk against a model of what must survive, and against real programs.

mod hazards;
mod model;
mod ops;
mod programs;
mod random;
mod real;
mod speed;

use std::net::Ipv4Addr;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ordeal_core::{BoxFuture, Cluster, ClusterSpec, Fabric, Launch, LaunchChange, NodeSpec};

use super::{Disk, Disks, Unsynced};

const INSIDE: &str = "ORDEAL_DISK_TEST_INSIDE";
/// The longest wait for anything in a test.
const BOUND: Duration = Duration::from_secs(10);

/// Runs the body of this crate's test `name` in mount and PID namespaces of its own; where the machine does
/// not allow that, prints one line and passes.
fn sandboxed(name: &str, body: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return body();
    }
    let mut flags = vec!["--mount", "--pid", "--fork", "--mount-proc", "--kill-child"];
    if !nix::unistd::geteuid().is_root() {
        flags.extend(["--user", "--map-root-user"]);
    }
    let allowed = Command::new("unshare").args(&flags).arg("true").output();
    if !allowed.as_ref().is_ok_and(|o| o.status.success()) {
        return say(&format!("{name}: skipped, no namespaces here: {allowed:?}"));
    }
    if let Some(why) = crate::machine().no_fuse {
        return say(&format!("{name}: skipped: {why}"));
    }
    let output = Command::new("unshare")
        .args(&flags)
        .arg(std::env::current_exe().expect("this program"))
        .args(["--exact", &format!("disk::tests::{name}"), "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .expect("unshare runs");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "inside: {}\n{out}\n{err}", output.status);
    assert!(out.contains("1 passed"), "the test must exist by this name:\n{out}");
    out.lines().filter(|line| line.starts_with("  ")).for_each(say);
}

/// A line for the reader of the test's output.
fn say(line: &str) {
    println!("{line}");
}

/// Waits for a condition.
fn until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < BOUND, "waited {BOUND:?} for: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A disk at `n1/data` in a directory of its own.
struct Home {
    disk: Disk,
    directory: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        super::raise_file_limit().unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("n1")).unwrap();
        let disk = Disk::mount(&directory.path().join("n1/data")).unwrap();
        Home { disk, directory }
    }

    /// Below the mount.
    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("n1/data").join(name)
    }

    /// Below the real directory.
    fn real(&self, name: &str) -> PathBuf {
        self.directory.path().join("n1/disk").join(name)
    }

    /// Outside.
    fn outside(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// Whether a program is there, and python has this module.
fn has_python(module: &str) -> bool {
    let output = Command::new("python3").args(["-c", &format!("import {module}")]).output();
    output.is_ok_and(|o| o.status.success())
}

/// Runs a shell script in a directory; its output if it succeeds.
fn shell(script: &str, directory: &Path) -> String {
    let output = Command::new("sh").args(["-euc", script]).current_dir(directory).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{script}: {}\n{out}\n{err}", output.status);
    out.into_owned()
}

/// No more of a cluster than where its nodes keep their data.
struct Directories(ClusterSpec);

impl Cluster for Directories {
    fn spec(&self) -> &ClusterSpec {
        &self.0
    }

    fn init_pid(&self, _: usize) -> Option<i32> {
        None
    }

    fn network(&self, _: usize) -> BorrowedFd<'_> {
        nix::fcntl::AT_FDCWD
    }

    fn fabric(&self) -> &dyn Fabric {
        panic!("it has no links")
    }

    fn launch(&self, _: usize) -> Result<Launch, String> {
        Err("it has no nodes".to_owned())
    }

    fn change_launch(&self, _: usize, _: &'static str, _: LaunchChange) {}

    fn log_file(&self, _: usize, _: &str) -> PathBuf {
        PathBuf::new()
    }

    fn note(&self, _: &'static str, _: serde_json::Value) {}

    fn expect_deaths(&self, _: usize) {}

    fn expect_death(&self, _: usize) {}

    fn gone(&self, _: usize) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn start(&self, _: usize) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn primaries(&self) -> BoxFuture<'_, Option<Vec<usize>>> {
        Box::pin(std::future::ready(None))
    }

    fn last_acknowledged(&self) -> Option<usize> {
        None
    }

    fn ready(&self, _: usize) -> BoxFuture<'_, bool> {
        Box::pin(std::future::ready(false))
    }
}

#[test]
fn all_nodes_get_a_disk_once_and_keep_their_files() {
    sandboxed("all_nodes_get_a_disk_once_and_keep_their_files", || {
        let home = tempfile::tempdir().unwrap();
        let node = |index: usize| NodeSpec {
            index,
            id: format!("n{}", index + 1),
            ip: Ipv4Addr::LOCALHOST,
            data_dir: home.path().join(format!("n{}/data", index + 1)),
        };
        let cluster = Directories(ClusterSpec {
            nodes: (0..5).map(node).collect(),
            founders: 5,
            clients: Ipv4Addr::LOCALHOST,
        });
        // One node has data already.
        let data = |index: usize| home.path().join(format!("n{}/data", index + 1));
        std::fs::create_dir_all(data(0)).unwrap();
        std::fs::write(data(0).join("before"), "x").unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let disks = Disks::default();
            assert!(disks.of(0).unwrap_err().contains("no disk is mounted"));
            let start = Instant::now();
            disks.mount_all(&cluster).await.unwrap();
            say(&format!("  5 disks in {:.1?}", start.elapsed()));
            let first = disks.of(4).unwrap();
            disks.mount_all(&cluster).await.unwrap();
            assert!(Arc::ptr_eq(&first, &disks.of(4).unwrap()));
            assert!(disks.of(5).is_err());
            for index in 0..5 {
                std::fs::write(data(index).join("after"), "y").unwrap();
                let expected = Unsynced { files: 1, bytes: 1, directory_ops: 1 };
                assert_eq!(disks.of(index).unwrap().unsynced(), expected);
            }
            disks.unmount_all(&cluster).await.unwrap();
            disks.unmount_all(&cluster).await.unwrap();
            assert!(disks.of(0).is_err());
        });
        assert_eq!(std::fs::read_to_string(data(0).join("before")).unwrap(), "x");
        for index in 0..5 {
            assert_eq!(std::fs::read_to_string(data(index).join("after")).unwrap(), "y");
            assert_eq!(std::fs::read_dir(data(index).parent().unwrap()).unwrap().count(), 1);
        }
    });
}
