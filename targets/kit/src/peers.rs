//! The other nodes of a cluster, and the HTTP client to talk to them.
//!
//! Connections are kept alive and pooled; connects, answers, and the number of requests a peer may hold
//! up are all limited, so a dead, cut off or paused peer costs a bounded amount of memory and time.

use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

/// One node of the cluster, written `n1=10.78.0.1:8080`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its name.
    pub id: String,
    /// Where it listens.
    pub address: SocketAddr,
}

impl FromStr for Peer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (id, address) =
            text.split_once('=').ok_or_else(|| format!("{text:?} is not of the form id=ip:port"))?;
        let id = crate::Id::from_str(id).map_err(|why| why.to_string())?;
        let address =
            address.parse().map_err(|_| format!("{address:?} is not an address of the form ip:port"))?;
        Ok(Peer { id: id.into(), address })
    }
}

/// Limits of a [`PeerClient`].
#[derive(Clone, Copy, Debug)]
pub struct PeerOptions {
    /// For a connection to be made.
    pub connect_timeout: Duration,
    /// For an answer, the wait for a connection included.
    pub timeout: Duration,
    /// Connections to one peer, each for one request at a time.
    pub connections_max: usize,
    /// Requests to one peer, sent or waiting for a connection; one more fails at once.
    pub requests_max: usize,
    /// The longest answer, in bytes.
    pub answer_bytes_max: usize,
}

impl PeerOptions {
    /// The usual limits, for answers of this time and length.
    pub fn usual(timeout: Duration, answer_bytes_max: usize) -> Self {
        PeerOptions {
            connect_timeout: Duration::from_millis(300),
            timeout,
            connections_max: 64,
            requests_max: 1024,
            answer_bytes_max,
        }
    }
}

/// Why a peer gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// Too many requests wait for this peer already; nothing was sent.
    #[error("too many requests wait for this peer")]
    Busy,
    /// No connection; nothing was sent.
    #[error("no connection")]
    Unreachable,
    /// It may have got the request, but no (readable) answer came in time.
    #[error("no answer: {0}")]
    NoAnswer(String),
    /// It answered with an error.
    #[error("refused with {0}")]
    Refused(u16),
}

/// A client for all peers. Peers are numbered as in the list it was made with.
#[derive(Debug)]
pub struct PeerClient {
    http: reqwest::Client,
    options: PeerOptions,
    links: Vec<Link>,
}

#[derive(Debug)]
struct Link {
    base: String,
    requests: Semaphore,
    connections: Semaphore,
    answering: AtomicBool,
}

/// The JSON of a request body, made once for all the peers it goes to.
///
/// # Errors
/// If the value has no JSON form.
pub fn encode<T: Serialize>(value: &T) -> serde_json::Result<Bytes> {
    serde_json::to_vec(value).map(Bytes::from)
}

impl PeerClient {
    /// A client for these peers. Nothing is connected yet, and every peer is thought to be well.
    ///
    /// # Errors
    /// If the HTTP client cannot be made.
    pub fn new(peers: &[Peer], options: PeerOptions) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .http1_only()
            .connect_timeout(options.connect_timeout)
            .pool_max_idle_per_host(options.connections_max)
            .build()?;
        let link = |peer: &Peer| Link {
            base: format!("http://{}", peer.address),
            requests: Semaphore::new(options.requests_max),
            connections: Semaphore::new(options.connections_max),
            answering: AtomicBool::new(true),
        };
        Ok(PeerClient { http, options, links: peers.iter().map(link).collect() })
    }

    /// Whether the peer answered the last request that came to an end. A guess about the next one.
    pub fn answering(&self, peer: usize) -> bool {
        self.links[peer].answering.load(Ordering::Relaxed)
    }

    /// Posts a JSON body to the peer and reads its JSON answer.
    ///
    /// # Errors
    /// See [`PeerError`].
    pub async fn post<A: DeserializeOwned>(
        &self,
        peer: usize,
        path: &str,
        body: Bytes,
    ) -> Result<A, PeerError> {
        let link = &self.links[peer];
        let _request = link.requests.try_acquire().map_err(|_| PeerError::Busy)?;
        let exchange = tokio::time::timeout(self.options.timeout, self.exchange(link, path, body));
        let answer = exchange.await.unwrap_or_else(|_| Err(PeerError::NoAnswer("too late".to_owned())));
        link.answering.store(answer.is_ok(), Ordering::Relaxed);
        let answer = answer?;
        serde_json::from_slice(&answer).map_err(|why| PeerError::NoAnswer(why.to_string()))
    }

    async fn exchange(&self, link: &Link, path: &str, body: Bytes) -> Result<Vec<u8>, PeerError> {
        let _connection = link.connections.acquire().await.map_err(|_| PeerError::Busy)?;
        let request = self
            .http
            .post(format!("{}{path}", link.base))
            .header("content-type", "application/json")
            .body(body);
        let mut response = request.send().await.map_err(|why| no_answer(&why))?;
        if !response.status().is_success() {
            return Err(PeerError::Refused(response.status().as_u16()));
        }
        let mut answer = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|why| no_answer(&why))? {
            if answer.len() + chunk.len() > self.options.answer_bytes_max {
                return Err(PeerError::NoAnswer("the answer is too long".to_owned()));
            }
            answer.extend_from_slice(&chunk);
        }
        Ok(answer)
    }
}

fn no_answer(why: &reqwest::Error) -> PeerError {
    if why.is_connect() { PeerError::Unreachable } else { PeerError::NoAnswer(why.to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_parsed_and_refused_with_a_reason() {
        let peer: Peer = "n1=10.78.0.1:8080".parse().unwrap();
        assert_eq!((peer.id.as_str(), peer.address.port()), ("n1", 8080));
        for (bad, reason) in
            [("n1", "form id=ip:port"), ("=1.2.3.4:1", "has 0"), ("n1=host:1", "not an address")]
        {
            let why = bad.parse::<Peer>().unwrap_err();
            assert!(why.contains(reason), "{why}");
        }
    }
}
