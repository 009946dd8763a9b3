//! The HTTP transport under every workload client, and the one table that says what an answer means.
//!
//! Built on hyper's low-level HTTP/1.1 client. One [`HttpClient`] is one keep-alive connection to one
//! node. The connection is driven by the task that waits for the answer, so a request costs no wake-up
//! of another task. Invariants:
//!
//! * A request is sent at most once: nothing in here retries.
//! * [`HttpError::NotSent`] is only said when no byte of the request can have left this process.
//! * A connection is put back for the next request only after a whole answer was read from it, so an
//!   invocation that is dropped half-way (a timeout) takes its connection with it.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
pub use hyper::Method;
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper_util::rt::TokioIo;
use ordeal_core::Outcome;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// The longest wait for a connection. Far below the kernel's first SYN retransmission (1 s): a SYN lost
/// while a link comes up must not cost a second.
pub const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// The pause after a refused connection. A refusal comes back in microseconds; without a pause a client
/// of a dead node would fill the history with failures.
const REFUSED_PAUSE: Duration = Duration::from_millis(10);

/// The largest body read, in bytes; a longer one counts as no answer.
const BODY_BYTES_MAX: usize = 64 << 20;

/// How much of an error body is quoted in a history, in characters.
const QUOTE_CHARS_MAX: usize = 200;

/// Why a request got no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// No byte of it was sent.
    #[error("not sent: {0}")]
    NotSent(String),
    /// It may have been sent, and no whole answer came back.
    #[error("no answer: {0}")]
    NoAnswer(String),
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Bytes,
}

/// Whether an operation could change anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It could not: one that has no answer has certainly had no effect.
    Read,
    /// It could.
    Mutation,
}

/// What is known of a request that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It certainly had no effect.
    NotDone(String),
    /// It may have had its effect, or may yet.
    Unknown(String),
}

/// Reads a body of this form, and keeps of it what the form has.
pub(crate) fn kept<T: Serialize + DeserializeOwned>(body: &[u8]) -> Result<Value, serde_json::Error> {
    serde_json::to_value(serde_json::from_slice::<T>(body)?)
}

impl Failure {
    /// The failure as the outcome of an operation: a read is never in doubt.
    pub fn outcome(self, effect: Effect) -> Outcome {
        match (self, effect) {
            (Failure::Unknown(why), Effect::Mutation) => Outcome::Info(why),
            (Failure::Unknown(why) | Failure::NotDone(why), _) => Outcome::Fail(why),
        }
    }
}

/// The table: what an answer, or the lack of one, says about a request's effect.
///
/// # Errors
/// Everything but a 2xx.
pub fn judge(answer: Result<Reply, HttpError>) -> Result<Reply, Failure> {
    match answer {
        Err(e @ HttpError::NotSent(_)) => Err(Failure::NotDone(e.to_string())),
        Err(e @ HttpError::NoAnswer(_)) => Err(Failure::Unknown(e.to_string())),
        Ok(reply) => match (reply.status, reply.definite()) {
            (200..=299, _) => Ok(reply),
            // The system's own word counts for more than the status.
            (_, Some(true)) => Err(Failure::NotDone(reply.quote())),
            (_, Some(false)) => Err(Failure::Unknown(reply.quote())),
            // Refusals of the request as such. Others (a timeout, a conflict, a proxy's own codes) may
            // follow an effect.
            (400 | 401 | 403..=406 | 411 | 413..=417 | 422 | 429 | 431, None) => {
                Err(Failure::NotDone(reply.quote()))
            }
            (_, None) => Err(Failure::Unknown(reply.quote())),
        },
    }
}

/// Reads the body of a request that was done; otherwise, or if it cannot be read, the outcome of the
/// operation. A mutation whose answer cannot be read is in doubt.
///
/// # Errors
/// The outcome, `Fail` or `Info`.
pub fn result<T>(
    effect: Effect,
    judged: Result<Reply, Failure>,
    read: impl FnOnce(&[u8]) -> Result<T, serde_json::Error>,
) -> Result<T, Outcome> {
    let reply = judged.map_err(|failure| failure.outcome(effect))?;
    read(&reply.body).map_err(|e| {
        let why = format!("unreadable answer ({e}): {}", reply.quote());
        Failure::Unknown(why).outcome(effect)
    })
}

/// The outcome of an operation, by [`judge`]; `read` takes its result out of the body.
pub fn outcome(
    effect: Effect,
    answer: Result<Reply, HttpError>,
    read: impl FnOnce(&[u8]) -> Result<Value, serde_json::Error>,
) -> Outcome {
    result(effect, judge(answer), read).map_or_else(|failed| failed, Outcome::Ok)
}

impl Reply {
    /// What an error body says about itself: `{"definite": true}` is certainly not done.
    fn definite(&self) -> Option<bool> {
        #[derive(Deserialize)]
        struct Error {
            definite: bool,
        }
        if (200..=299).contains(&self.status) {
            return None;
        }
        serde_json::from_slice::<Error>(&self.body).ok().map(|e| e.definite)
    }

    /// Status and the beginning of the body, for the history.
    pub fn quote(&self) -> String {
        // Four bytes a character at most.
        let head = &self.body[..self.body.len().min(QUOTE_CHARS_MAX * 4)];
        let text: String = String::from_utf8_lossy(head).trim().chars().take(QUOTE_CHARS_MAX).collect();
        format!("HTTP {} {text}", self.status).trim_end().to_owned()
    }
}

/// One connection to one node: connects when first used, and again after anything went wrong.
pub struct HttpClient {
    base: SocketAddr,
    host: HeaderValue,
    json: HeaderValue,
    connection: Option<Connection>,
}

impl HttpClient {
    /// A client of the node at `base`. Does not connect yet.
    pub fn new(base: SocketAddr) -> Self {
        HttpClient {
            base,
            // An address is always a valid header.
            host: HeaderValue::try_from(base.to_string()).unwrap_or(HeaderValue::from_static("node")),
            json: HeaderValue::from_static("application/json"),
            connection: None,
        }
    }

    /// Asks for `path` without a body.
    ///
    /// # Errors
    /// When no whole answer came back.
    pub async fn get(&mut self, path: &str) -> Result<Reply, HttpError> {
        self.send(Method::GET, path, Vec::new()).await
    }

    /// Sends `body` as JSON.
    ///
    /// # Errors
    /// When no whole answer came back.
    pub async fn json(
        &mut self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Reply, HttpError> {
        let body = serde_json::to_vec(body).map_err(|e| HttpError::NotSent(e.to_string()))?;
        self.send(method, path, body).await
    }

    /// Sends `body`, which is JSON already, or empty for none.
    ///
    /// # Errors
    /// When no whole answer came back.
    pub async fn send(&mut self, method: Method, path: &str, body: Vec<u8>) -> Result<Reply, HttpError> {
        let mut request = Request::builder().method(method).uri(path).header(HOST, self.host.clone());
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, self.json.clone());
        }
        let request = request.body(Full::from(body)).map_err(|e| HttpError::NotSent(e.to_string()))?;
        let mut connection = self.ready().await?;
        let reply = connection.exchange(request).await?;
        self.connection = Some(connection);
        Ok(reply)
    }

    /// A connection that can take a request now: the kept one if it still lives, else a new one.
    async fn ready(&mut self) -> Result<Connection, HttpError> {
        if let Some(mut connection) = self.connection.take()
            && connection.ready().await
        {
            return Ok(connection);
        }
        let stream = match timeout(CONNECT_TIMEOUT, TcpStream::connect(self.base)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(e)) => {
                sleep(REFUSED_PAUSE).await;
                return Err(HttpError::NotSent(e.to_string()));
            }
            Err(_) => {
                return Err(HttpError::NotSent(format!("no connection in {CONNECT_TIMEOUT:?}")));
            }
        };
        let connection = Connection::open(stream).await;
        connection.map_err(|e| HttpError::NotSent(e.to_string()))
    }
}

type Driver = http1::Connection<TokioIo<TcpStream>, Full<Bytes>>;

/// An open connection: hyper's handle for requests and the state machine that does the I/O for it.
struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    /// `None` once the connection has ended.
    driver: Option<Box<Driver>>,
}

impl Connection {
    async fn open(stream: TcpStream) -> std::io::Result<Self> {
        stream.set_nodelay(true)?;
        let handshake = http1::Builder::new().writev(false).handshake(TokioIo::new(stream));
        let (sender, driver) = handshake.await.map_err(std::io::Error::other)?;
        Ok(Connection { sender, driver: Some(Box::new(driver)) })
    }

    /// Whether it can take a request; notices that the other side has hung up in the meantime.
    async fn ready(&mut self) -> bool {
        drive(&mut self.driver, self.sender.ready()).await.is_ok()
    }

    /// Sends a request and reads the whole answer.
    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Reply, HttpError> {
        let answer = self.sender.try_send_request(request);
        let response = match drive(&mut self.driver, answer).await {
            Ok(response) => response,
            // hyper hands the request back if and only if it never began to write it.
            Err(mut e) => {
                return Err(match e.take_message() {
                    Some(_) => HttpError::NotSent(e.error().to_string()),
                    None => HttpError::NoAnswer(chain(e.error())),
                });
            }
        };
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), BODY_BYTES_MAX).collect();
        match drive(&mut self.driver, body).await {
            Ok(body) => Ok(Reply { status, body: body.to_bytes() }),
            Err(e) => Err(HttpError::NoAnswer(format!("HTTP {status}, body cut off: {e}"))),
        }
    }
}

/// Waits for `future` while doing the I/O of the connection it depends on, all in this task.
async fn drive<F: Future>(driver: &mut Option<Box<Driver>>, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| {
        // The driver goes first: what it reads makes the future ready.
        if let Some(running) = driver
            && let Poll::Ready(_) = Pin::new(running.as_mut()).poll(cx)
        {
            *driver = None;
        }
        future.as_mut().poll(cx)
    })
    .await
}

/// An error with its causes: hyper's own text leaves out what the kernel said.
fn chain(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests;
