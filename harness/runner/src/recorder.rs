//! The recorder: the only writer of `history.jsonl`.
//!
//! Invariants:
//! - An invocation is handed over before its operation is sent, and the order of hand-over is kept up to
//!   sorting by time within a batch, so every prefix of the file is causally closed: a history cut at any
//!   byte can still be judged.
//! - What was handed over is in the file within [`FLUSH`], and at the end.
//! - Clients wait for a slow disk at most [`PATIENCE`]; then, as on any write error, the recorder stops for
//!   good, keeps what was written and says why.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ordeal_core::Event;
use tokio::sync::{mpsc, watch};

/// The longest time that an event stays in memory.
const FLUSH: Duration = Duration::from_millis(50);
/// The longest time that a client waits for the recorder.
const PATIENCE: Duration = Duration::from_secs(5);
/// Events on their way to the recorder at most.
const QUEUE_EVENTS: usize = 65_536;
/// Events written at a time at most.
const BATCH_EVENTS: usize = 8_192;
/// How often the recorder looks for events.
const LOOK: Duration = Duration::from_millis(5);
/// Text is handed to the kernel when there is so much of it.
const CHUNK_BYTES: usize = 256 * 1024;

/// Why the history could not be written. What was written before stays readable.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the history could not be written: {0}")]
pub struct RecorderError(pub String);

/// Where clients, faults and the cluster hand over what happened.
#[derive(Clone, Debug)]
pub struct Journal {
    events: mpsc::Sender<Event>,
    failure: watch::Receiver<Option<RecorderError>>,
    origin: Instant,
}

impl Journal {
    /// Nanoseconds since the run began: the one clock of the history.
    pub fn now(&self) -> u64 {
        self.origin.elapsed().as_nanos() as u64
    }

    /// Hands over an event; its index is assigned when it is written.
    ///
    /// # Errors
    /// When the recorder has stopped or does not keep up.
    pub async fn record(&self, event: Event) -> Result<(), RecorderError> {
        let event = match self.events.try_send(event) {
            Ok(()) => return Ok(()),
            Err(mpsc::error::TrySendError::Full(event)) => event,
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(self.why()),
        };
        match tokio::time::timeout(PATIENCE, self.events.send(event)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(self.why()),
            Err(_) => Err(RecorderError(format!("the disk did not keep up for {} s", PATIENCE.as_secs()))),
        }
    }

    /// Waits until the recorder fails, which it may never do.
    pub async fn failed(&self) -> RecorderError {
        let mut failure = self.failure.clone();
        let failed = failure.wait_for(Option::is_some).await.ok().and_then(|f| f.clone());
        match failed {
            Some(error) => error,
            // The recorder has ended in good order.
            None => std::future::pending().await,
        }
    }

    fn why(&self) -> RecorderError {
        self.failure.borrow().clone().unwrap_or_else(|| RecorderError("the recorder has ended".to_owned()))
    }
}

/// The recorder's thread.
#[derive(Debug)]
pub struct Recorder {
    thread: std::thread::JoinHandle<Result<u64, RecorderError>>,
}

impl Recorder {
    /// Starts recording into a new file; time begins now.
    ///
    /// # Errors
    /// When the file exists (a history is never overwritten) or cannot be created.
    pub fn start(path: &Path) -> Result<(Recorder, Journal), RecorderError> {
        let error = |e: std::io::Error| RecorderError(format!("{}: {e}", path.display()));
        let file = OpenOptions::new().append(true).create_new(true).open(path).map_err(error)?;
        let (events, mut incoming) = mpsc::channel(QUEUE_EVENTS);
        let (failed, failure) = watch::channel(None);
        let path: Arc<Path> = path.into();
        let thread = std::thread::Builder::new()
            .name("recorder".to_owned())
            .spawn(move || {
                let written = write_all(file, &mut incoming);
                written.map_err(|e| {
                    let error = RecorderError(format!("{}: {e}", path.display()));
                    // Before the queue is closed, so that whoever finds it closed finds the reason too.
                    failed.send_replace(Some(error.clone()));
                    error
                })
            })
            .map_err(error)?;
        Ok((Recorder { thread }, Journal { events, failure, origin: Instant::now() }))
    }

    /// Waits until everything handed over is in the file; all journals must have been dropped. Returns
    /// the number of events.
    ///
    /// # Errors
    /// What went wrong while writing.
    pub fn finish(self) -> Result<u64, RecorderError> {
        self.thread.join().unwrap_or_else(|_| Err(RecorderError("the recorder panicked".to_owned())))
    }
}

/// Looks for events now and then instead of waiting for each: to be woken once an event would cost the
/// clients more than everything else about recording.
fn write_all(mut file: File, incoming: &mut mpsc::Receiver<Event>) -> std::io::Result<u64> {
    let mut batch = Vec::with_capacity(BATCH_EVENTS);
    let mut text = Vec::with_capacity(2 * CHUNK_BYTES);
    let mut index = 0;
    let mut flushed = Instant::now();
    loop {
        let ended = loop {
            match incoming.try_recv() {
                Ok(event) => batch.push(event),
                Err(mpsc::error::TryRecvError::Empty) => break false,
                Err(mpsc::error::TryRecvError::Disconnected) => break true,
            }
            if batch.len() == BATCH_EVENTS {
                break false;
            }
        };
        let busy = batch.len() > BATCH_EVENTS / 2;
        batch.sort_by_key(|e: &Event| e.time);
        for mut event in batch.drain(..) {
            event.index = index;
            index += 1;
            serde_json::to_writer(&mut text, &event)?;
            text.push(b'\n');
        }
        if text.len() >= CHUNK_BYTES || ended || flushed.elapsed() >= FLUSH {
            file.write_all(&text)?;
            text.clear();
            flushed = Instant::now();
        }
        if ended {
            return Ok(index);
        }
        if !busy {
            std::thread::sleep(LOOK);
        }
    }
}

#[cfg(test)]
mod tests {
    use ordeal_core::{EventKind, History, Process};

    use super::*;

    fn event(time: u64, process: u64, kind: EventKind) -> Event {
        Event {
            index: 0,
            time,
            process: Process::Client(process),
            kind,
            f: "read".into(),
            value: serde_json::Value::Null,
            key: None,
            node: None,
            error: None,
        }
    }

    #[tokio::test]
    async fn writes_every_event_once_with_dense_indices() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history.jsonl");
        let (recorder, journal) = Recorder::start(&path).unwrap();
        for time in 0..10_000 {
            journal.record(event(time, time, EventKind::Invoke)).await.unwrap();
        }
        drop(journal);
        assert_eq!(recorder.finish().unwrap(), 10_000);
        let history = History::parse(&std::fs::read_to_string(&path).unwrap()).unwrap();
        assert!(history.events.iter().enumerate().all(|(i, e)| e.index == i as u64));
        assert_eq!(history.events.len(), 10_000);
    }

    #[tokio::test]
    async fn what_was_handed_over_is_soon_in_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history.jsonl");
        let (_recorder, journal) = Recorder::start(&path).unwrap();
        journal.record(event(1, 0, EventKind::Invoke)).await.unwrap();
        let seen = async {
            while std::fs::read_to_string(&path).unwrap().is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), seen).await.unwrap();
    }

    #[tokio::test]
    async fn a_history_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history.jsonl");
        std::fs::write(&path, "precious").unwrap();
        assert!(Recorder::start(&path).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }

    #[tokio::test]
    async fn a_full_disk_stops_the_recorder_and_says_so() {
        let full = Path::new("/dev/full");
        let file = OpenOptions::new().append(true).open(full).unwrap();
        let (events, mut incoming) = mpsc::channel(8);
        events.send(event(1, 0, EventKind::Invoke)).await.unwrap();
        drop(events);
        let error = write_all(file, &mut incoming).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    }
}
