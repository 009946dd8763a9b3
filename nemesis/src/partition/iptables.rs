//! Rules in the nodes' own network namespaces: one `iptables-restore` a node, all at the same time.
//!
//! The rules are in chains of our own, which are replaced as a whole, so each node changes from one
//! partition to the next in one step. Only IP packets are dropped: if ARP vanished as well, connecting
//! would fail with "no route to host" after three seconds instead of getting no answer.
//!
//! What one node sends another is stopped where it arrives. What a node sends to clients is stopped where it
//! leaves, because clients share the harness's own namespace, in which no rules are set.
//!
//! Rejecting answers TCP with a reset and everything else with "port unreachable". These answers go back
//! over links that may be cut as well, so they are let through everywhere.

use std::fmt::Write;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use ordeal_core::{Cluster, End};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::runtime::Handle;

use crate::ends::Links;
use crate::netns;

/// For what arrives, and for what leaves.
const CHAINS: [(&str, &str); 2] = [("ORDEAL", "INPUT"), ("ORDEAL-OUT", "OUTPUT")];
/// What answers a rejected packet.
const ANSWERS: [&str; 2] = ["-p tcp --tcp-flags RST RST", "-p icmp --icmp-type destination-unreachable"];
/// The longest that all nodes' rules together may take.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Makes these cuts and no others. `hook`: the chains are not in place yet.
pub(crate) async fn stop_packets(
    program: &Path,
    cluster: &dyn Cluster,
    cuts: &Links,
    reject: bool,
    hook: bool,
) -> Result<(), String> {
    let spec = cluster.spec();
    let scripts = (0..spec.nodes.len())
        .map(|node| {
            let stopped = cuts.iter().filter_map(|&(from, to)| match (from, to) {
                (End::Node(from), to) if to == End::Node(node) => Some(Stop::From(spec.nodes[from].ip)),
                (End::Clients, to) if to == End::Node(node) => Some(Stop::From(spec.clients)),
                (from, End::Clients) if from == End::Node(node) => Some(Stop::To(spec.clients)),
                _ => None,
            });
            script(stopped, reject, hook)
        })
        .collect();
    restore(program, cluster, scripts).await
}

/// Removes all cuts; fine if there are none.
pub(crate) async fn flush(program: &Path, cluster: &dyn Cluster) -> Result<(), String> {
    let none = cluster.spec().nodes.iter().map(|_| script(std::iter::empty(), false, false));
    restore(program, cluster, none.collect()).await
}

/// Packets that a node does not get, or does not get rid of.
enum Stop {
    From(Ipv4Addr),
    To(Ipv4Addr),
}

/// Declaring a chain that is there already empties it.
fn script(stopped: impl Iterator<Item = Stop>, reject: bool, hook: bool) -> String {
    let mut script = "*filter\n".to_owned();
    for (chain, _) in CHAINS {
        _ = writeln!(script, ":{chain} - [0:0]");
    }
    for (chain, hooked) in CHAINS.iter().filter(|_| hook) {
        _ = writeln!(script, "-A {hooked} -j {chain}");
    }
    for (chain, _) in CHAINS.iter().filter(|_| reject) {
        for answer in ANSWERS {
            _ = writeln!(script, "-A {chain} {answer} -j RETURN");
        }
    }
    for stop in stopped {
        let packets = match stop {
            Stop::From(ip) => format!("{} -s {ip}", CHAINS[0].0),
            Stop::To(ip) => format!("{} -d {ip}", CHAINS[1].0),
        };
        if reject {
            _ = writeln!(script, "-A {packets} -p tcp -j REJECT --reject-with tcp-reset");
            _ = writeln!(script, "-A {packets} -j REJECT --reject-with icmp-port-unreachable");
        } else {
            _ = writeln!(script, "-A {packets} -j DROP");
        }
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
    fn the_chains_are_emptied_hooked_once_and_filled() {
        let ips = [Ipv4Addr::new(10, 78, 0, 1), Ipv4Addr::new(10, 78, 0, 254)];
        let stopped = || [Stop::From(ips[0]), Stop::To(ips[1])].into_iter();
        assert_eq!(
            script(stopped(), false, true),
            "*filter\n:ORDEAL - [0:0]\n:ORDEAL-OUT - [0:0]\n-A INPUT -j ORDEAL\n-A OUTPUT -j ORDEAL-OUT\n\
             -A ORDEAL -s 10.78.0.1 -j DROP\n-A ORDEAL-OUT -d 10.78.0.254 -j DROP\nCOMMIT\n"
        );
        let empty = "*filter\n:ORDEAL - [0:0]\n:ORDEAL-OUT - [0:0]\nCOMMIT\n";
        assert_eq!(script(std::iter::empty(), false, false), empty);
    }

    #[test]
    fn answers_pass_before_anything_is_rejected() {
        let script = script([Stop::From(Ipv4Addr::new(10, 78, 0, 1))].into_iter(), true, false);
        let at = |text: &str| script.find(text).unwrap_or_else(|| panic!("{text} is missing in {script}"));
        let tcp = at("-A ORDEAL -s 10.78.0.1 -p tcp -j REJECT --reject-with tcp-reset\n");
        assert!(at("-A ORDEAL -p tcp --tcp-flags RST RST -j RETURN\n") < tcp);
        assert!(at("-A ORDEAL-OUT -p icmp --icmp-type destination-unreachable -j RETURN\n") < tcp);
        assert!(tcp < at("-A ORDEAL -s 10.78.0.1 -j REJECT --reject-with icmp-port-unreachable\n"));
    }
}
