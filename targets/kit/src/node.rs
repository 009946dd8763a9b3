//! What every node is started with, and how it runs until it is stopped.

use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::str::FromStr;

use axum::Router;
use tokio::net::TcpListener;

use crate::{Peer, listen, serve, terminated};

/// The enum of a node's planted defects, as [`crate::bugs!`] makes it.
pub trait PlantedBug: Copy + Eq + Debug + FromStr<Err = String> + Send + Sync + 'static {}

impl<B: Copy + Eq + Debug + FromStr<Err = String> + Send + Sync + 'static> PlantedBug for B {}

/// The arguments that every node takes. A pattern adds its own beside `#[command(flatten)]`.
#[derive(Clone, Debug, clap::Args)]
pub struct NodeArgs<B: PlantedBug> {
    /// This node's name; one of the peers.
    #[arg(long)]
    pub id: String,
    /// The address to listen on.
    #[arg(long, value_name = "IP:PORT")]
    pub listen: SocketAddr,
    /// All nodes, this one included.
    #[arg(long, value_name = "ID=IP:PORT,…", value_delimiter = ',', required = true)]
    pub peers: Vec<Peer>,
    /// Where the node keeps its state.
    #[arg(long, value_name = "DIR")]
    pub data_dir: PathBuf,
    /// Switches a planted defect on.
    #[arg(long, value_name = "NAME", value_parser = B::from_str)]
    pub bug: Option<B>,
}

/// Arguments that contradict each other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArgsError {
    /// Two peers of one name or one address.
    #[error("--peers: the name or the address of {0} is there twice")]
    Twice(String),
    /// A node that is none of its peers.
    #[error("--id {0} is not among --peers")]
    Stranger(String),
}

impl<B: PlantedBug> NodeArgs<B> {
    /// This node's position among the peers, once the arguments are seen to agree.
    ///
    /// # Errors
    /// See [`ArgsError`].
    pub fn own(&self) -> Result<usize, ArgsError> {
        for (place, peer) in self.peers.iter().enumerate() {
            let twice = |other: &Peer| other.id == peer.id || other.address == peer.address;
            if self.peers[..place].iter().any(twice) {
                return Err(ArgsError::Twice(peer.id.clone()));
            }
        }
        let own = self.peers.iter().position(|peer| peer.id == self.id);
        own.ok_or_else(|| ArgsError::Stranger(self.id.clone()))
    }

    /// Whether this defect is switched on.
    pub fn has(&self, bug: B) -> bool {
        self.bug == Some(bug)
    }
}

/// Why a node ended without having been asked to.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The operating system, while serving.
    #[error("cannot serve: {0}")]
    Io(#[from] io::Error),
    /// The node itself can do nothing any more.
    #[error("the node cannot go on: {0}")]
    Failed(String),
}

/// An address that is bound, and what ends the serving.
pub struct Server {
    listener: TcpListener,
    stop: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Server {
    /// Binds the address; the server ends on SIGTERM or SIGINT, from this call on.
    ///
    /// # Errors
    /// What the operating system said.
    pub async fn bind(address: SocketAddr) -> io::Result<Server> {
        let stop = terminated()?;
        Ok(Server::until(listen(address).await?, stop))
    }

    /// On a listener that is there already, until `stop` completes.
    pub fn until(listener: TcpListener, stop: impl Future<Output = ()> + Send + 'static) -> Server {
        Server { listener, stop: Box::pin(stop) }
    }

    /// Serves until it is told to stop, or until `failed` completes with the reason why the node cannot go
    /// on; a node that cannot fail gives [`std::future::pending`].
    ///
    /// # Errors
    /// See [`ServeError`]. None if it was told to stop.
    pub async fn run(self, router: Router, failed: impl Future<Output = String>) -> Result<(), ServeError> {
        tokio::select! {
            served = serve(self.listener, router, self.stop) => Ok(served?),
            why = failed => Err(ServeError::Failed(why)),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command, FromArgMatches};

    use super::*;

    #[allow(unreachable_pub, reason = "a node's bugs are part of its arguments, which are public")]
    mod bugs {
        crate::bugs! { First = "first": "one", Second = "second": "two" }
    }

    fn parse(line: &str) -> Result<NodeArgs<bugs::Bug>, clap::Error> {
        let command = NodeArgs::<bugs::Bug>::augment_args(Command::new("node").no_binary_name(true));
        NodeArgs::from_arg_matches(&command.try_get_matches_from(line.split(' '))?)
    }

    const PLACE: &str = "--listen 127.0.0.1:1 --data-dir d";

    #[test]
    fn a_node_knows_its_place_among_its_peers() {
        let args = parse(&format!("{PLACE} --id b --peers a=127.0.0.1:1,b=127.0.0.1:2")).unwrap();
        assert_eq!((args.own(), args.bug), (Ok(1), None));
        let args = parse(&format!("{PLACE} --id c --peers a=127.0.0.1:1")).unwrap();
        assert_eq!(args.own(), Err(ArgsError::Stranger("c".to_owned())));
        for peers in ["a=127.0.0.1:1,a=127.0.0.1:2", "b=127.0.0.1:1,a=127.0.0.1:1"] {
            let args = parse(&format!("{PLACE} --id a --peers {peers}")).unwrap();
            assert_eq!(args.own(), Err(ArgsError::Twice("a".to_owned())));
        }
    }

    #[test]
    fn a_bug_is_known_by_its_name() {
        let args = parse(&format!("{PLACE} --id a --peers a=127.0.0.1:1 --bug second")).unwrap();
        assert!(args.has(bugs::Bug::Second) && !args.has(bugs::Bug::First));
        let refused = parse(&format!("{PLACE} --id a --peers a=127.0.0.1:1 --bug third")).unwrap_err();
        assert!(refused.to_string().contains("there are first, second"), "{refused}");
        assert_eq!(bugs::BUGS, [("first", "one"), ("second", "two")]);
    }

    #[tokio::test]
    async fn a_server_ends_when_told_and_when_its_node_fails() {
        let listener = || listen("127.0.0.1:0".parse().unwrap());
        let told = Server::until(listener().await.unwrap(), std::future::ready(()));
        told.run(Router::new(), std::future::pending()).await.unwrap();
        let failing = Server::until(listener().await.unwrap(), std::future::pending());
        let why = failing.run(Router::new(), std::future::ready("the disk is full".to_owned())).await;
        assert!(why.unwrap_err().to_string().contains("the disk is full"));
    }
}
