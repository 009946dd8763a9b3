//! The kit as a node uses it, over real sockets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use super::*;

/// A handler tells when it is in, and waits to be let out.
#[derive(Default)]
struct Door {
    inside: Notify,
    open: Notify,
}

async fn wait(State(door): State<Arc<Door>>) -> axum::Json<Value> {
    door.inside.notify_one();
    door.open.notified().await;
    axum::Json(json!("out"))
}

async fn echo(Json(body): Json<Value>) -> axum::Json<Value> {
    axum::Json(body)
}

struct Server {
    address: SocketAddr,
    door: Arc<Door>,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<std::io::Result<()>>,
}

async fn server() -> Server {
    let door = Arc::new(Door::default());
    let router = Router::new()
        .route("/wait", post(wait))
        .route("/echo", post(echo))
        .layer(DefaultBodyLimit::max(100))
        .with_state(Arc::clone(&door));
    let router = strict(InFlight::new(1).around(router));
    let listener = listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let ended = tokio::spawn(serve(listener, router, async move { drop(stopped.await) }));
    Server { address, door, stop, ended }
}

fn client(address: SocketAddr, timeout_ms: u64) -> Arc<PeerClient> {
    let id = "n1".to_owned();
    let options = PeerOptions {
        connect_timeout: Duration::from_millis(300),
        timeout: Duration::from_millis(timeout_ms),
        connections_max: 4,
        requests_max: 2,
        answer_bytes_max: 50,
    };
    Arc::new(PeerClient::new(&[Peer { id, address }], options).unwrap())
}

async fn ask(client: &PeerClient, path: &str, body: &Value) -> Result<Value, PeerError> {
    client.post(0, path, encode(body).unwrap()).await
}

#[tokio::test]
async fn too_much_and_too_long_are_refused_and_the_rest_ends_cleanly() {
    let server = server().await;
    let client = client(server.address, 10_000);
    assert_eq!(ask(&client, "/echo", &json!([1])).await, Ok(json!([1])));
    assert_eq!(ask(&client, "/echo", &json!("x".repeat(200))).await, Err(PeerError::Refused(413)));
    assert_eq!(ask(&client, "/nowhere", &json!(0)).await, Err(PeerError::Refused(404)));
    let long = ask(&client, "/echo", &json!("x".repeat(60))).await;
    assert!(matches!(long, Err(PeerError::NoAnswer(why)) if why.contains("too long")));

    let waiting = tokio::spawn({
        let client = Arc::clone(&client);
        async move { ask(&client, "/wait", &json!(0)).await }
    });
    server.door.inside.notified().await;
    assert_eq!(ask(&client, "/echo", &json!(1)).await, Err(PeerError::Refused(429)));
    // Asked to stop, the server still answers the request that is in.
    server.stop.send(()).unwrap();
    server.door.open.notify_one();
    assert_eq!(waiting.await.unwrap(), Ok(json!("out")));
    server.ended.await.unwrap().unwrap();
    assert_eq!(ask(&client, "/echo", &json!(1)).await, Err(PeerError::Unreachable));
    assert!(!client.answering(0));
}

#[tokio::test]
async fn a_peer_that_does_not_answer_costs_bounded_time_and_requests() {
    let server = server().await;
    let client = client(server.address, 200);
    let (one, two) = (Arc::clone(&client), Arc::clone(&client));
    let zero = json!(0);
    // The second is refused by the peer (429), the third by the client, whose limit is two.
    let first = tokio::spawn(async move { ask(&one, "/wait", &json!(0)).await });
    server.door.inside.notified().await;
    let (second, third) = tokio::join!(ask(&two, "/echo", &zero), ask(&client, "/echo", &zero));
    assert_eq!((second, third), (Err(PeerError::Refused(429)), Err(PeerError::Busy)));
    assert_eq!(first.await.unwrap(), Err(PeerError::NoAnswer("too late".to_owned())));
    assert!(!client.answering(0));
}

#[tokio::test]
async fn errors_are_json_with_the_reason() {
    let server = server().await;
    let response = reqwest::Client::builder()
        .no_proxy()
        .build()
        .unwrap()
        .post(format!("http://{}/echo", server.address))
        .body("{")
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 400);
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["definite"], true);
    assert!(body["error"].as_str().unwrap().contains("EOF"), "{body}");
}
