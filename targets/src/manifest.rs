//! A system of the user's own, described in a TOML file: anything that serves the HTTP contract of a
//! workload can be audited without a line of Rust.
//!
//! ```toml
//! name = "clinic"
//! workload = "patients"           # its contract: workloads/src/patients/openapi.yaml
//! nodes = 3
//! joining = 2                     # how many more usually join while it runs; left out: none can
//! program = "/opt/clinic/bin/clinic"
//! args = ["--id", "{id}", "--listen", "{ip}:8080", "--peers", "{peers}", "--data", "{data_dir}"]
//! peer = "{id}={ip}:8080"         # how {peers} names each node, separated by commas
//! port = 8080                     # where clients ask
//! ready = "/health"               # answers 2xx when the node can serve; left out: it accepts connections
//! [env]
//! HOME = "{data_dir}"
//! ```
//!
//! Where nodes can join, `{peers}` names those that join later as well, and `{founders}` is how many of them, the first ones,
//! are there from the beginning. The system is told of one that joins by `POST /nodes` (`targets/src/membership.rs`).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ordeal_core::{BoxFuture, Client, ClusterSpec, Launch, Membership, NodeSpec, Target, TargetError};
use ordeal_workloads::http::HttpClient;
use serde::Deserialize;

use crate::{Config, membership};

/// The longest wait for one answer whether a node is ready.
const READY_TIMEOUT: Duration = Duration::from_millis(500);
/// Nodes if the file does not say.
const NODES: usize = 3;

/// A system described in a file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Its name in reports and run directories.
    pub name: String,
    /// The workload whose contract it serves.
    pub workload: String,
    /// How many nodes it usually has.
    #[serde(default = "usual_nodes")]
    pub nodes: usize,
    /// How many more nodes it usually takes in while it runs.
    pub joining: Option<usize>,
    program: PathBuf,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    peer: String,
    port: u16,
    ready: Option<String>,
}

fn usual_nodes() -> usize {
    NODES
}

impl Manifest {
    /// Reads a file. A program named by a relative path lies beside the file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(path: &Path) -> Result<Manifest, TargetError> {
        let wrong = |why: String| TargetError::Unsupported(format!("{}: {why}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|e| wrong(e.to_string()))?;
        let mut manifest: Manifest = toml::from_str(&text).map_err(|e| wrong(e.to_string()))?;
        if let Some(folder) = path.parent() {
            manifest.program = folder.join(&manifest.program);
        }
        manifest.program = std::path::absolute(&manifest.program).map_err(|e| wrong(e.to_string()))?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if manifest.name.is_empty() || !manifest.name.chars().all(plain) {
            return Err(wrong("`name` takes letters, digits, `-`, `_` and `.`".to_owned()));
        }
        Ok(manifest)
    }

    /// The target.
    ///
    /// # Errors
    /// When its workload has no HTTP contract, its program is not there, or it was given a bug or an
    /// option, of which it has none.
    pub fn target(self, config: &Config) -> Result<Box<dyn Target>, TargetError> {
        let name = &self.name;
        if config.bug.is_some() || !config.options.is_empty() {
            return Err(TargetError::Unsupported(format!(
                "{name} has no bugs and no options: it is a manifest"
            )));
        }
        if config.joining > 0 && self.joining.is_none() {
            return Err(TargetError::Unsupported(format!(
                "{name} takes no nodes in while it runs; if it does, say `joining` in its manifest"
            )));
        }
        let workload = ordeal_workloads::find(&self.workload);
        let Some((workload, client)) = workload.and_then(|w| Some((w.name, w.client?))) else {
            let with: Vec<_> = ordeal_workloads::WORKLOADS.iter().filter(|w| w.client.is_some()).collect();
            let with: Vec<_> = with.iter().map(|w| w.name).collect();
            return Err(TargetError::Unsupported(format!(
                "{name}: `{}` is no workload with an HTTP contract; there are: {}",
                self.workload,
                with.join(", ")
            )));
        };
        if !self.program.is_file() {
            return Err(TargetError::Missing {
                program: self.program.display().to_string(),
                remedy: format!("build or install it, or mend `program` in the manifest of {name}"),
            });
        }
        Ok(Box::new(Described { workloads: [workload], client, manifest: self }))
    }
}

/// A system as its manifest describes it.
struct Described {
    manifest: Manifest,
    workloads: [&'static str; 1],
    client: fn(SocketAddr) -> Box<dyn Client>,
}

impl Described {
    fn address(&self, node: &NodeSpec) -> SocketAddr {
        SocketAddr::from((node.ip, self.manifest.port))
    }

    /// Fills in `{id}`, `{index}`, `{ip}`, `{data_dir}`, `{founders}` and `{peers}`.
    fn fill(
        &self,
        template: &str,
        node: &NodeSpec,
        (founders, peers): (usize, &str),
    ) -> Result<String, TargetError> {
        let data_dir = node.data_dir.to_string_lossy();
        let values: [(&str, &str); 6] = [
            ("{id}", &node.id),
            ("{index}", &node.index.to_string()),
            ("{ip}", &node.ip.to_string()),
            ("{data_dir}", &data_dir),
            ("{founders}", &founders.to_string()),
            ("{peers}", peers),
        ];
        let filled = values.iter().fold(template.to_owned(), |text, (name, value)| text.replace(name, value));
        // A misspelt placeholder must not reach the program. Braces with anything else in them may.
        let misspelt =
            filled.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(inner, _)| inner);
        let word =
            |inner: &&str| !inner.is_empty() && inner.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        match misspelt.into_iter().find(word) {
            None => Ok(filled),
            Some(inner) => Err(TargetError::Unsupported(format!(
                "{}: there is no {{{inner}}}; there are {{id}}, {{index}}, {{ip}}, {{data_dir}}, {{founders}} and {{peers}}",
                self.manifest.name
            ))),
        }
    }
}

impl Target for Described {
    fn name(&self) -> &str {
        &self.manifest.name
    }

    fn workloads(&self) -> &[&'static str] {
        &self.workloads
    }

    fn launch(&self, node: &NodeSpec, cluster: &ClusterSpec) -> Result<Option<Launch>, TargetError> {
        let peers = cluster.nodes.iter().map(|n| self.fill(&self.manifest.peer, n, (cluster.founders, "")));
        let peers = peers.collect::<Result<Vec<_>, _>>()?.join(",");
        let told = (cluster.founders, &*peers);
        let args = self.manifest.args.iter().map(|arg| self.fill(arg, node, told));
        let env =
            self.manifest.env.iter().map(|(name, value)| Ok((name.clone(), self.fill(value, node, told)?)));
        Ok(Some(Launch {
            program: self.manifest.program.clone(),
            args: args.collect::<Result<_, _>>()?,
            env: env.collect::<Result<_, _>>()?,
        }))
    }

    fn ready<'a>(&'a self, node: &'a NodeSpec) -> BoxFuture<'a, bool> {
        let address = self.address(node);
        Box::pin(async move {
            let answers = async {
                match &self.manifest.ready {
                    None => tokio::net::TcpStream::connect(address).await.is_ok(),
                    Some(path) => {
                        let reply = HttpClient::new(address).get(path).await;
                        reply.is_ok_and(|reply| (200..=299).contains(&reply.status))
                    }
                }
            };
            tokio::time::timeout(READY_TIMEOUT, answers).await.unwrap_or(false)
        })
    }

    fn client(&self, workload: &str, node: &NodeSpec) -> Result<Box<dyn Client>, TargetError> {
        match self.workloads.contains(&workload) {
            true => Ok((self.client)(self.address(node))),
            false => Err(crate::not_served(&self.manifest.name, workload, self.workloads())),
        }
    }

    fn membership(&self) -> Option<&dyn Membership> {
        self.manifest.joining.is_some().then_some(self as &dyn Membership)
    }
}

impl Membership for Described {
    fn join<'a>(&'a self, node: &'a NodeSpec, cluster: &'a ClusterSpec) -> BoxFuture<'a, Result<(), String>> {
        membership::join(node, cluster, |founder| self.address(founder))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Manifest, TargetError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("system.toml");
        std::fs::write(&path, text).unwrap();
        Manifest::read(&path)
    }

    fn target(text: &str) -> Result<Box<dyn Target>, TargetError> {
        read(text)?.target(&Config::default())
    }

    const GOOD: &str = r#"
        name = "clinic"
        workload = "patients"
        program = "/bin/sh"
        args = ["--id", "{id}", "--peers", "{peers}", "--config", "{\"dir\": \"{data_dir}\"}"]
        peer = "{id}={ip}:{index}"
        port = 8080
        [env]
        HOME = "{data_dir}"
    "#;

    fn cluster() -> ClusterSpec {
        let node = |index: usize| NodeSpec {
            index,
            id: format!("n{}", index + 1),
            ip: std::net::Ipv4Addr::new(10, 78, 0, index as u8 + 1),
            data_dir: PathBuf::from(format!("/run/n{}", index + 1)),
        };
        ClusterSpec {
            nodes: (0..2).map(node).collect(),
            founders: 2,
            clients: std::net::Ipv4Addr::new(10, 78, 0, 254),
        }
    }

    #[test]
    fn nodes_join_only_if_the_manifest_says_that_they_can() {
        let two = Config { nodes: 2, joining: 1, ..Config::default() };
        let refused = read(GOOD).unwrap().target(&two).err().unwrap().to_string();
        assert!(refused.contains("say `joining` in its manifest"), "{refused}");
        let joined = GOOD.replace("program =", "joining = 1\n        program =");
        assert!(read(&joined).unwrap().target(&two).unwrap().membership().is_some());
        assert!(target(GOOD).unwrap().membership().is_none());
    }

    #[test]
    fn every_node_gets_its_own_command_line() {
        let target = target(GOOD).unwrap();
        let cluster = cluster();
        let launch = target.launch(&cluster.nodes[1], &cluster).unwrap().unwrap();
        let expected =
            ["--id", "n2", "--peers", "n1=10.78.0.1:0,n2=10.78.0.2:1", "--config", "{\"dir\": \"/run/n2\"}"];
        assert_eq!(launch.args, expected);
        assert_eq!(launch.env, [("HOME".to_owned(), "/run/n2".to_owned())]);
        assert!(target.client("patients", &cluster.nodes[0]).is_ok());
    }

    #[test]
    fn what_is_wrong_with_a_manifest_is_said() {
        let refusal = |from: &str, to: &str| match target(&GOOD.replace(from, to)) {
            Ok(target) => {
                let cluster = cluster();
                target.launch(&cluster.nodes[0], &cluster).unwrap_err().to_string()
            }
            Err(e) => e.to_string(),
        };
        assert!(refusal("workload", "work_load").contains("work_load"));
        assert!(refusal("\"patients\"", "\"register\"").contains("patients"));
        assert!(refusal("/bin/sh", "/nonexistent").contains("/nonexistent"));
        assert!(refusal("{peers}", "{pears}").contains("{pears}"));
        assert!(refusal("\"clinic\"", "\"../clinic\"").contains("name"));
        assert!(
            Manifest::read(Path::new("/nonexistent.toml")).unwrap_err().to_string().contains("nonexistent")
        );
    }
}
