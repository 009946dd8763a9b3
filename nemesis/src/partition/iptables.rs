//! Drop rules in the nodes' own network namespaces: one `iptables-restore` a node, all at the same time.
//!
//! The rules are in a chain of our own, which is replaced as a whole, so each node changes from one
//! partition to the next in one step. Only IP packets are dropped: if ARP vanished as well, connecting
//! would fail with "no route to host" after three seconds instead of getting no answer.

use std::fmt::Write;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use ordeal_core::Cluster;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::runtime::Handle;

use super::shapes::Cuts;
use crate::netns;

const CHAIN: &str = "ORDEAL";
/// The longest that all nodes' rules together may take.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Makes these cuts and no others. `hook`: the chain is not in place yet.
pub(crate) async fn drop_packets(
    program: &Path,
    cluster: &dyn Cluster,
    cuts: &Cuts,
    hook: bool,
) -> Result<(), String> {
    let nodes = &cluster.spec().nodes;
    let scripts = (0..nodes.len())
        .map(|to| {
            let sources = cuts.iter().filter(|cut| cut.1 == to).map(|cut| nodes[cut.0].ip);
            script(sources, hook)
        })
        .collect();
    restore(program, cluster, scripts).await
}

/// Removes all cuts; fine if there are none.
pub(crate) async fn flush(program: &Path, cluster: &dyn Cluster) -> Result<(), String> {
    let scripts = cluster.spec().nodes.iter().map(|_| script(std::iter::empty(), false)).collect();
    restore(program, cluster, scripts).await
}

/// Declaring a chain that is there already empties it.
fn script(sources: impl Iterator<Item = Ipv4Addr>, hook: bool) -> String {
    let mut script = format!("*filter\n:{CHAIN} - [0:0]\n");
    if hook {
        _ = writeln!(script, "-A INPUT -j {CHAIN}");
    }
    for ip in sources {
        _ = writeln!(script, "-A {CHAIN} -s {ip} -j DROP");
    }
    script.push_str("COMMIT\n");
    script
}

async fn restore(program: &Path, cluster: &dyn Cluster, scripts: Vec<String>) -> Result<(), String> {
    let runtime = Handle::current();
    let children = netns::in_each(cluster, |_| {
        let _in_runtime = runtime.enter();
        spawn(program)
    })?;
    let all = async {
        let mut children = children;
        for (child, script) in children.iter_mut().zip(&scripts) {
            if let Some(mut stdin) = child.stdin.take() {
                // A program that failed early has closed its end; what it said is read below.
                _ = stdin.write_all(script.as_bytes()).await;
            }
        }
        let mut errors = Vec::new();
        for (child, node) in children.into_iter().zip(&cluster.spec().nodes) {
            let output = child.wait_with_output().await.map_err(|e| e.to_string())?;
            if !output.status.success() {
                let said = String::from_utf8_lossy(&output.stderr);
                errors.push(format!("{}: {} ({})", node.id, said.trim(), output.status));
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(errors.join("; ")) }
    };
    tokio::time::timeout(TIMEOUT, all)
        .await
        .unwrap_or_else(|_| Err(format!("not done after {TIMEOUT:?}")))
        .map_err(|why| format!("{}: {why}", program.display()))
}

/// Starts the program in the namespace of the calling thread.
fn spawn(program: &Path) -> Result<Child, String> {
    Command::new(program)
        .args(["--noflush", "-w"])
        // The default lock is one file for the whole machine, which only root may open. The namespace
        // itself is the right thing to lock: its rules are what the lock is for.
        .env("XTABLES_LOCKFILE", "/proc/self/ns/net")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| format!("cannot start {}: {e}", program.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_is_emptied_hooked_once_and_filled() {
        let sources = [Ipv4Addr::new(10, 78, 0, 1), Ipv4Addr::new(10, 78, 0, 3)];
        assert_eq!(
            script(sources.into_iter(), true),
            "*filter\n:ORDEAL - [0:0]\n-A INPUT -j ORDEAL\n\
             -A ORDEAL -s 10.78.0.1 -j DROP\n-A ORDEAL -s 10.78.0.3 -j DROP\nCOMMIT\n"
        );
        assert_eq!(script(std::iter::empty(), false), "*filter\n:ORDEAL - [0:0]\nCOMMIT\n");
    }
}
