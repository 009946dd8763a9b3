//! etcd: a replicated key-value store on Raft, audited with the `register` workload.
//!
//! A register is a key; its version is etcd's own per-key `version`, which counts the writes of a key
//! since it was created. Everything goes through the JSON gateway, which 3.4 and 3.5 both serve.
//!
//! Releases 3.5.0 to 3.5.2 can lose the memory of how far they had applied the log when they are killed,
//! and then apply an entry twice or never (etcd issue 13766). The longer a transaction's compares take,
//! the likelier that is: that is what the option `txn-guards` is for.

mod api;
mod client;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ordeal_core::{BoxFuture, Client, ClusterSpec, Launch, NodeSpec, Outcome, Primary, Target, TargetError};
use ordeal_workloads::http::{HttpClient, Method};
use ordeal_workloads::register;
use tokio::task::JoinSet;
use tokio::time::timeout;

use self::client::{EtcdClient, Settings};
use crate::{Config, Entry, Kind, OptionSpec};

const NAME: &str = "etcd";

/// etcd's standard ports.
const CLIENT_PORT: u16 = 2379;
const PEER_PORT: u16 = 2380;

/// The longest wait for an answer about a node's state.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// Where the program is looked for after the search path.
const USUAL_PLACES: [&str; 2] = ["/usr/bin", "/usr/local/bin"];

/// The most guards a transaction can carry: etcd allows 128 compares in all (`--max-txn-ops`), and a
/// compare-and-set needs one itself.
const GUARDS_MAX: usize = 127;

const BINARY: &str = "binary";
const READ_MODE: &str = "read-mode";
const TXN_GUARDS: &str = "txn-guards";
const FSYNC: &str = "fsync";

/// The registry's row.
pub(crate) const ENTRY: Entry = Entry {
    name: NAME,
    about: "etcd 3.4 or 3.5, through its JSON gateway",
    default_workload: register::NAME,
    default_nodes: 3,
    joining: None,
    nodes: 1..=9,
    bugs: &[],
    options: &[
        OptionSpec {
            name: BINARY,
            about: "the etcd program",
            default: "the one in PATH, /usr/bin or /usr/local/bin",
        },
        OptionSpec {
            name: READ_MODE,
            about: "linearizable, or serializable: answered by one node from what it has",
            default: "linearizable",
        },
        OptionSpec {
            name: TXN_GUARDS,
            about: "how many compares over all registers (always true) every write carries besides its own",
            default: "0",
        },
        OptionSpec {
            name: FSYNC,
            about: "on, or off: started with --unsafe-no-fsync, which power loss brings to light",
            default: "on",
        },
    ],
    kind: Kind::Own(|config| Ok(Box::new(Etcd::new(config)?))),
};

/// The target.
struct Etcd {
    program: PathBuf,
    settings: Arc<Settings>,
    /// Whether it syncs what it writes.
    fsync: bool,
}

/// Which of two words an option says; the first is the default.
fn first_of(config: &Config, name: &str, words: [&str; 2]) -> Result<bool, TargetError> {
    match config.option(name) {
        None => Ok(true),
        Some(word) if word == words[0] => Ok(true),
        Some(word) if word == words[1] => Ok(false),
        Some(other) => Err(TargetError::Unsupported(format!(
            "option `{name}` is {} or {}, not `{other}`",
            words[0], words[1]
        ))),
    }
}

impl Etcd {
    fn new(config: &Config) -> Result<Self, TargetError> {
        let serializable = !first_of(config, READ_MODE, ["linearizable", "serializable"])?;
        let guards = config.number(TXN_GUARDS, &(0..=GUARDS_MAX))?.unwrap_or(0);
        Ok(Etcd {
            program: find_program(config.option(BINARY))?,
            settings: Arc::new(Settings::new(serializable, guards)),
            fsync: first_of(config, FSYNC, ["on", "off"])?,
        })
    }
}

/// The program as an absolute path.
fn find_program(given: Option<&str>) -> Result<PathBuf, TargetError> {
    let found = match given {
        Some(path) => Some(PathBuf::from(path)).filter(|p| p.is_file()),
        None => {
            let path = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&path)
                .chain(USUAL_PLACES.map(PathBuf::from))
                .map(|dir| dir.join("etcd"))
                .find(|p| p.is_file())
        }
    };
    found.and_then(|p| std::path::absolute(p).ok()).ok_or_else(|| TargetError::Missing {
        program: given.unwrap_or(NAME).to_owned(),
        remedy: format!("apt-get install etcd-server, or pass --{BINARY} PATH"),
    })
}

impl Target for Etcd {
    fn name(&self) -> &str {
        NAME
    }

    fn workloads(&self) -> &[&'static str] {
        &[register::NAME]
    }

    fn launch(&self, node: &NodeSpec, cluster: &ClusterSpec) -> Result<Option<Launch>, TargetError> {
        let url = |n: &NodeSpec, port: u16| format!("http://{}:{port}", n.ip);
        let members: Vec<String> =
            cluster.nodes.iter().map(|n| format!("{}={}", n.id, url(n, PEER_PORT))).collect();
        let (peer, client) = (url(node, PEER_PORT), url(node, CLIENT_PORT));
        let flags = [
            ("name", node.id.clone()),
            ("data-dir", text(&node.data_dir.join("data"))),
            ("listen-peer-urls", peer.clone()),
            ("initial-advertise-peer-urls", peer),
            ("listen-client-urls", client.clone()),
            ("advertise-client-urls", client),
            ("initial-cluster", members.join(",")),
            ("initial-cluster-state", "new".to_owned()),
            ("initial-cluster-token", "ordeal".to_owned()),
            ("logger", "zap".to_owned()),
            ("log-outputs", "stderr".to_owned()),
        ];
        let mut args: Vec<String> =
            flags.into_iter().flat_map(|(name, value)| [format!("--{name}"), value]).collect();
        args.extend((!self.fsync).then(|| "--unsafe-no-fsync".to_owned()));
        Ok(Some(Launch {
            program: self.program.clone(),
            args,
            env: vec![("HOME".to_owned(), text(&node.data_dir))],
        }))
    }

    fn ready<'a>(&'a self, node: &'a NodeSpec) -> BoxFuture<'a, bool> {
        // Its own word that it is healthy, and a read that needs a leader and a quorum, through it.
        let probe = async move {
            let mut http = HttpClient::new(address(node));
            let health = http.get("/health").await;
            let healthy = health.is_ok_and(|r| r.status == 200 && api::is_healthy(&r.body));
            let mut client = EtcdClient::new(address(node), Arc::new(Settings::new(false, 0)));
            healthy && matches!(client.read("ordeal/ready").await, Outcome::Ok(_))
        };
        Box::pin(async move { timeout(PROBE_TIMEOUT, probe).await.unwrap_or(false) })
    }

    fn client(&self, workload: &str, node: &NodeSpec) -> Result<Box<dyn Client>, TargetError> {
        match workload {
            register::NAME => Ok(Box::new(EtcdClient::new(address(node), Arc::clone(&self.settings)))),
            other => Err(crate::not_served(NAME, other, self.workloads())),
        }
    }

    fn primary(&self) -> Option<&dyn Primary> {
        Some(self)
    }
}

impl Primary for Etcd {
    fn primaries<'a>(&'a self, cluster: &'a ClusterSpec) -> BoxFuture<'a, Vec<usize>> {
        let mut asked: JoinSet<Option<usize>> = cluster
            .nodes
            .iter()
            .map(|node| {
                let (index, address) = (node.index, address(node));
                async move {
                    let leads = timeout(PROBE_TIMEOUT, leads(address)).await.unwrap_or(false);
                    leads.then_some(index)
                }
            })
            .collect();
        Box::pin(async move {
            let mut leaders = Vec::new();
            while let Some(answer) = asked.join_next().await {
                leaders.extend(answer.ok().flatten());
            }
            leaders.sort_unstable();
            leaders
        })
    }
}

/// Whether the node holds itself to be the leader.
async fn leads(address: SocketAddr) -> bool {
    let mut http = HttpClient::new(address);
    let status = http.send(Method::POST, "/v3/maintenance/status", b"{}".to_vec());
    status.await.is_ok_and(|r| r.status == 200 && api::is_leader(&r.body))
}

fn address(node: &NodeSpec) -> SocketAddr {
    SocketAddr::from((node.ip, CLIENT_PORT))
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
