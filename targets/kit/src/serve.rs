//! Listening, serving and stopping.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::ApiError;

/// How long requests in flight may take once the node was asked to stop.
const GRACE: Duration = Duration::from_millis(2_000);

/// Sends log lines to stderr, at level `info` unless `RUST_LOG` says otherwise. A second call does nothing.
pub fn log_to_stderr() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    // An error means that a subscriber is installed already, which is as good.
    let _ =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(false).try_init();
}

/// Binds the address.
///
/// # Errors
/// What the operating system said, with the address.
pub async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .map_err(|why| io::Error::new(why.kind(), format!("cannot listen on {address}: {why}")))
}

/// Completes when the process is asked to stop (SIGTERM or SIGINT).
///
/// The handlers are installed by the call, not by the first poll, so no signal is missed in between.
///
/// # Errors
/// If the handlers cannot be installed.
pub fn terminated() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Answers unknown paths and wrong methods like every other error.
pub fn strict(router: Router) -> Router {
    router
        .fallback(async || ApiError::refused(StatusCode::NOT_FOUND, "no such path"))
        .method_not_allowed_fallback(async || {
            ApiError::refused(StatusCode::METHOD_NOT_ALLOWED, "not with this method")
        })
}

/// Serves until `stop` completes, then lets requests in flight end, for two seconds at most.
///
/// # Errors
/// What the operating system said.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (stopping, mut stopped) = tokio::sync::watch::channel(false);
    // Small answers must not wait for the acknowledgement of the one before.
    let listener = listener.tap_io(|stream| {
        if let Err(why) = stream.set_nodelay(true) {
            tracing::debug!(%why, "TCP_NODELAY refused");
        }
    });
    let stop = async move {
        stop.await;
        let _ = stopping.send(true);
    };
    let serving = axum::serve(listener, router).with_graceful_shutdown(stop);
    let overtime = async move {
        // The sender lives in the future that is served, so an error means that serving has ended.
        let _ = stopped.wait_for(|stopping| *stopping).await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        outcome = serving => outcome,
        () = overtime => {
            tracing::warn!("requests were still in flight at the end of the grace period");
            Ok(())
        }
    }
}
