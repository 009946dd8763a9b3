//! Being asked to stop: Ctrl-C, TERM, HUP.

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Becomes true with the first such signal. Each is told to `on_signal`, with whether there was one before.
///
/// # Errors
/// If signals cannot be watched.
pub(crate) fn interrupted(
    on_signal: impl Fn(bool) + Send + 'static,
) -> anyhow::Result<watch::Receiver<bool>> {
    let (interrupt, interrupted) = watch::channel(false);
    let mut signals = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()]
        .map(signal)
        .into_iter()
        .collect::<Result<Vec<_>, _>>()
        .context("cannot watch for signals")?;
    tokio::spawn(async move {
        loop {
            let [a, b, c] = &mut signals[..] else { return };
            tokio::select! { _ = a.recv() => {}, _ = b.recv() => {}, _ = c.recv() => {} }
            on_signal(interrupt.send_replace(true));
        }
    });
    Ok(interrupted)
}
