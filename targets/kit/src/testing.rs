//! Whole nodes in one process, for the tests of patterns: on loopback, each with an address and a directory of its
//! own that outlast a restart.

#![allow(clippy::unwrap_used, reason = "code of tests: what fails here fails the test")]

use std::fmt::Debug;
use std::net::SocketAddr;
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::{NodeArgs, Peer, PlantedBug, Server};

/// How long a test waits for something that must come.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How long it waits before it looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// How many connections may wait for a node to take them.
const BACKLOG: u32 = 1_024;

struct Running {
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

/// Nodes `n1`, `n2`, …, none of which runs until it is started.
pub struct Nodes {
    directory: TempDir,
    peers: Vec<Peer>,
    /// What holds a node's address until it is first started. Nobody listens there, so connections are refused.
    held: Vec<Option<TcpSocket>>,
    running: Vec<Option<Running>>,
    http: Client,
}

impl Nodes {
    /// So many nodes.
    ///
    /// # Panics
    /// If the machine has no port or directory left.
    pub fn new(count: usize) -> Nodes {
        let (mut peers, mut held) = (Vec::new(), Vec::new());
        for n in 1..=count {
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_reuseaddr(true).unwrap();
            socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
            peers.push(Peer { id: format!("n{n}"), address: socket.local_addr().unwrap() });
            held.push(Some(socket));
        }
        Nodes {
            directory: tempfile::tempdir().unwrap(),
            peers,
            held,
            running: (0..count).map(|_| None).collect(),
            http: Client::builder().no_proxy().timeout(PATIENCE).build().unwrap(),
        }
    }

    /// What the node at this place is started with.
    ///
    /// # Panics
    /// If the node knows no bug of this name.
    pub fn args<B: PlantedBug>(&self, node: usize, bug: Option<&str>) -> NodeArgs<B> {
        let Peer { id, address } = self.peers[node].clone();
        NodeArgs {
            listen: address,
            peers: self.peers.clone(),
            data_dir: self.directory.path().join(&id),
            bug: bug.map(|name| name.parse().unwrap()),
            id,
        }
    }

    /// Starts a node: `serve` is given what it serves on, and ends when the node is stopped.
    ///
    /// # Panics
    /// If the node runs already, or its address stays in use.
    pub async fn start<F, E>(&mut self, node: usize, serve: impl FnOnce(Server) -> F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Debug,
    {
        assert!(self.running[node].is_none(), "the node runs already");
        let listener = match self.held[node].take() {
            Some(socket) => socket.listen(BACKLOG).unwrap(),
            None => listen_again(self.peers[node].address).await,
        };
        let (stop, stopped) = oneshot::channel();
        let serving = serve(Server::until(listener, async move { drop(stopped.await) }));
        let ended = tokio::spawn(async move { serving.await.unwrap() });
        self.running[node] = Some(Running { stop, ended });
    }

    /// Stops a node, and waits for its end.
    ///
    /// # Panics
    /// If the node does not run, or ends with an error, or not at all.
    pub async fn stop(&mut self, node: usize) {
        let running = self.running[node].take().unwrap();
        // An error means that the node has ended by itself, and why is told next.
        let _ = running.stop.send(());
        tokio::time::timeout(PATIENCE, running.ended).await.unwrap().unwrap();
    }

    /// Where the node at this place is asked for this.
    pub fn url(&self, node: usize, path: &str) -> String {
        format!("http://{}{path}", self.peers[node].address)
    }

    /// What asks the nodes, for a test that asks in a way of its own; see [`answer`].
    pub fn http(&self) -> &Client {
        &self.http
    }

    /// Asks a node; `null` is no body.
    ///
    /// # Panics
    /// If it does not answer, or not with JSON.
    pub async fn ask(
        &self,
        method: Method,
        node: usize,
        path: &str,
        body: impl Into<Option<Value>>,
    ) -> (StatusCode, Value) {
        let request = self.http.request(method, self.url(node, path));
        match body.into().filter(|body| !body.is_null()) {
            Some(body) => answer(request.json(&body)).await,
            None => answer(request).await,
        }
    }

    /// Asks a node for something.
    ///
    /// # Panics
    /// As [`Nodes::ask`].
    pub async fn get(&self, node: usize, path: &str) -> (StatusCode, Value) {
        self.ask(Method::GET, node, path, None).await
    }

    /// Asks again until the node answers 200 and as it is wanted.
    ///
    /// # Panics
    /// If that does not come, or as [`Nodes::ask`].
    pub async fn until(&self, node: usize, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let asking = async {
            loop {
                let (status, body) = self.get(node, path).await;
                if status == StatusCode::OK && wanted(&body) {
                    return body;
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        tokio::time::timeout(PATIENCE, asking).await.unwrap()
    }

    /// Until these nodes say that they are ready.
    ///
    /// # Panics
    /// As [`Nodes::until`].
    pub async fn ready(&self, nodes: impl IntoIterator<Item = usize>) {
        for node in nodes {
            self.until(node, "/health", |health| health["ready"] == true).await;
        }
    }
}

/// Sends a request.
///
/// # Panics
/// If there is no answer, or none in JSON.
pub async fn answer(request: RequestBuilder) -> (StatusCode, Value) {
    let answer = request.send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

/// The address is free again as soon as its last connection has ended.
async fn listen_again(address: SocketAddr) -> TcpListener {
    let binding = async {
        loop {
            if let Ok(listener) = TcpListener::bind(address).await {
                return listener;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    tokio::time::timeout(PATIENCE, binding).await.unwrap()
}
