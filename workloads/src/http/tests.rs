//! The transport and its table against a server that misbehaves in every way the table knows.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// What the server does with a connection, request by request.
#[derive(Clone, Copy)]
enum Behaviour {
    /// Answers with these bytes, and again for every further request.
    Answer(&'static str),
    /// Reads the request, then hangs up.
    HangUp,
    /// Sends half of an answer, then hangs up.
    Half,
    /// Answers, then hangs up, without having said that it would.
    AnswerAndHangUp,
    /// Reads the request and never answers.
    Silent,
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n{\"n\":1}\n";

/// A server, and how many connections it has accepted.
async fn serve(behaviour: Behaviour) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepted = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&accepted);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            counter.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(converse(stream, behaviour));
        }
    });
    (address, accepted)
}

async fn converse(mut stream: TcpStream, behaviour: Behaviour) {
    loop {
        // Requests in these tests have a body of `{}` or none.
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") && !request.ends_with(b"\r\n\r\n{}") {
            match stream.read_buf(&mut request).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
        match behaviour {
            Behaviour::Answer(bytes) => stream.write_all(bytes.as_bytes()).await.unwrap(),
            Behaviour::HangUp => return,
            Behaviour::Half => return stream.write_all(&OK.as_bytes()[..OK.len() - 3]).await.unwrap(),
            Behaviour::AnswerAndHangUp => return stream.write_all(OK.as_bytes()).await.unwrap(),
            Behaviour::Silent => std::future::pending().await,
        }
    }
}

fn number(body: &[u8]) -> Result<Value, serde_json::Error> {
    #[derive(Deserialize)]
    struct Body {
        n: i64,
    }
    serde_json::from_slice(body).map(|b: Body| b.n.into())
}

/// The outcome of one mutation and of one read against such a server.
async fn outcomes(behaviour: Behaviour) -> (Outcome, Outcome) {
    let (address, _) = serve(behaviour).await;
    both(&mut HttpClient::new(address)).await
}

async fn both(client: &mut HttpClient) -> (Outcome, Outcome) {
    let empty = serde_json::json!({});
    let answer = client.json(Method::POST, "/x", &empty).await;
    let mutation = outcome(Effect::Mutation, answer, number);
    let read = outcome(Effect::Read, client.get("/x").await, number);
    (mutation, read)
}

#[track_caller]
fn assert_unknown((mutation, read): &(Outcome, Outcome)) {
    assert!(matches!(mutation, Outcome::Info(_)), "{mutation:?}");
    assert!(matches!(read, Outcome::Fail(_)), "{read:?}");
}

#[track_caller]
fn assert_not_done((mutation, read): &(Outcome, Outcome)) {
    assert!(matches!(mutation, Outcome::Fail(_)), "{mutation:?}");
    assert!(matches!(read, Outcome::Fail(_)), "{read:?}");
}

#[tokio::test]
async fn a_2xx_with_a_readable_body_is_done() {
    let done = Outcome::Ok(1.into());
    assert_eq!(outcomes(Behaviour::Answer(OK)).await, (done.clone(), done));
}

#[tokio::test]
async fn a_refused_connection_is_certainly_not_done() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    assert_not_done(&both(&mut HttpClient::new(address)).await);
}

#[tokio::test]
async fn a_connection_that_never_comes_is_given_up_and_not_done() {
    // TEST-NET-1 (RFC 5737): nobody answers, or the network says at once that it is unreachable.
    let mut client = HttpClient::new("192.0.2.1:9".parse().unwrap());
    let begun = std::time::Instant::now();
    assert!(matches!(client.get("/x").await, Err(HttpError::NotSent(_))));
    assert!(begun.elapsed() < CONNECT_TIMEOUT * 4, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_hang_up_after_the_request_leaves_it_in_doubt() {
    assert_unknown(&outcomes(Behaviour::HangUp).await);
}

#[tokio::test]
async fn half_an_answer_leaves_it_in_doubt() {
    assert_unknown(&outcomes(Behaviour::Half).await);
}

#[tokio::test]
async fn garbage_leaves_it_in_doubt() {
    let not_json = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwhat?";
    assert_unknown(&outcomes(Behaviour::Answer(not_json)).await);
    assert_unknown(&outcomes(Behaviour::Answer("SMTP is over there\r\n\r\n")).await);
}

#[tokio::test]
async fn statuses_mean_what_the_table_says() {
    let answer = |status: &str, body: &str| {
        let length = body.len();
        let text = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}");
        Behaviour::Answer(text.leak())
    };
    for not_done in [
        answer("400 Bad Request", "{\"error\":\"malformed\"}"),
        answer("429 Too Many Requests", "nonsense"),
        answer("503 Service Unavailable", "{\"definite\":true}"),
        answer("500 Internal Server Error", "{\"definite\":true}"),
    ] {
        assert_not_done(&outcomes(not_done).await);
    }
    for unknown in [
        answer("503 Service Unavailable", "{\"error\":\"no quorum\"}"),
        answer("504 Gateway Timeout", "{\"definite\":false}"),
        answer("500 Internal Server Error", "nonsense"),
        answer("302 Found", "nonsense"),
        answer("408 Request Timeout", "{\"definite\":false}"),
    ] {
        assert_unknown(&outcomes(unknown).await);
    }
}

#[tokio::test]
async fn chunks_and_trailers_are_read() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x\r\n\r\n\
                   3\r\n{\"n\r\n4\r\n\":1}\r\n0\r\nx: y\r\n\r\n";
    let done = Outcome::Ok(1.into());
    assert_eq!(outcomes(Behaviour::Answer(chunked)).await, (done.clone(), done));
}

#[tokio::test]
async fn the_reason_names_status_and_body() {
    let teapot = "HTTP/1.1 422 I'm a teapot\r\ncontent-length: 14\r\n\r\nshort and stout";
    let (mutation, _) = outcomes(Behaviour::Answer(teapot)).await;
    assert_eq!(mutation, Outcome::Fail("HTTP 422 short and stou".to_owned()));
}

#[tokio::test]
async fn one_connection_serves_many_requests() {
    let (address, accepted) = serve(Behaviour::Answer(OK)).await;
    let mut client = HttpClient::new(address);
    for _ in 0..50 {
        assert_eq!(client.get("/x").await.unwrap().status, 200);
    }
    assert_eq!(accepted.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_connection_that_was_hung_up_while_idle_costs_no_request() {
    let (address, accepted) = serve(Behaviour::AnswerAndHangUp).await;
    let mut client = HttpClient::new(address);
    for round in 1..=5 {
        assert_eq!(client.get("/x").await.unwrap().status, 200);
        // The hang-up is on its way; once it is here, the next request must not be sent into it.
        let kept = client.connection.as_mut().unwrap();
        let noticed = async {
            while kept.ready().await {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(10), noticed).await.unwrap();
        assert_eq!(accepted.load(Ordering::SeqCst), round);
    }
}

#[tokio::test]
async fn an_invocation_given_up_half_way_takes_its_connection_with_it() {
    let (address, accepted) = serve(Behaviour::Silent).await;
    let mut client = HttpClient::new(address);
    for round in 1..=3 {
        let given_up = timeout(Duration::from_millis(50), client.get("/x")).await;
        assert!(given_up.is_err());
        assert!(client.connection.is_none());
        assert_eq!(accepted.load(Ordering::SeqCst), round);
    }
}
