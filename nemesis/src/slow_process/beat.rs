//! The thread that stops one node and lets it go on, in turns.
//!
//! Invariant: however the thread ends, the last signal it sends is `SIGCONT`.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::processes::PidNamespace;
use crate::sweep;

/// After the first sweep of a period comes a second one, for what was forked meanwhile.
const RESWEEP: Duration = Duration::from_millis(1);

/// How the time is divided.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Slice {
    /// The share of the time in which the node runs, 0 to 1.
    pub(super) share: f64,
    pub(super) period: Duration,
}

/// A running thread. If this is dropped the thread ends by itself.
pub(super) struct Beat {
    alive: Sender<()>,
    thread: JoinHandle<u64>,
}

impl Beat {
    /// Begins after `shift`.
    pub(super) fn start(namespace: Arc<PidNamespace>, slice: Slice, shift: Duration) -> Result<Self, String> {
        let (alive, watch) = mpsc::channel();
        let name = "ordeal-slow".to_owned();
        let thread = std::thread::Builder::new()
            .name(name)
            .spawn(move || run(&namespace, slice, shift, &watch))
            .map_err(|e| format!("cannot start a thread: {e}"))?;
        Ok(Beat { alive, thread })
    }

    /// Ends the thread, waits for it, and answers how many periods there were. Blocks.
    pub(super) fn end(self) -> u64 {
        drop(self.alive);
        // One that panicked is gone as well, and who heals looks what it left.
        self.thread.join().unwrap_or(0)
    }
}

/// Goes on until nobody is interested any more, or nothing of the node is left.
fn run(namespace: &PidNamespace, slice: Slice, shift: Duration, watch: &Receiver<()>) -> u64 {
    let stopped = slice.period.mul_f64(1.0 - slice.share);
    let second = RESWEEP.min(stopped / 2);
    let mut periods = 0;
    let mut running = shift;
    // Each part is timed by itself: a thread that comes late makes a period longer, not the share wrong.
    while wait(running, watch) {
        let alive = sweep::once(namespace, Signal::SIGSTOP).unwrap_or(0);
        let going = wait(second, watch)
            && sweep::once(namespace, Signal::SIGSTOP).is_ok()
            && wait(stopped - second, watch);
        _ = sweep::once(namespace, Signal::SIGCONT);
        if alive == 0 || !going {
            break;
        }
        periods += 1;
        running = slice.period - stopped;
    }
    periods
}

/// Whether the time has passed; otherwise it is the end.
fn wait(time: Duration, watch: &Receiver<()>) -> bool {
    matches!(watch.recv_timeout(time), Err(RecvTimeoutError::Timeout))
}
