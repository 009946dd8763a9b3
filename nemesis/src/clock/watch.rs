//! What goes on in threads of its own while a skew is in force: new processes are patched, clocks strobe,
//! and how far they are off is noted for the report.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::nodes::{Node, members};
use super::page::Setting;
use super::tracee::{self, Trouble};

/// Between two looks for new processes.
const SCAN_INTERVAL: Duration = Duration::from_millis(20);
/// Before another attempt at a process that could not be patched.
const RETRY_INTERVAL: Duration = Duration::from_millis(200);
/// Between two notes of how far the clocks are off, and the most that are kept.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(500);
const SAMPLES_MAX: usize = 20_000;
/// The most rounds of looking for processes that were started meanwhile, before the skew begins.
const ROUNDS_MAX: usize = 5;

/// A thread that does something again and again until this is dropped.
#[derive(Debug)]
pub(super) struct Repeated {
    alive: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Repeated {
    /// `work` answers when it wants to be called next.
    pub(super) fn start(
        name: &str,
        mut work: impl FnMut() -> Instant + Send + 'static,
    ) -> Result<Self, String> {
        let (alive, ended) = mpsc::channel();
        let run = move || {
            let mut next = work();
            while ended.recv_timeout(next.saturating_duration_since(Instant::now()))
                == Err(RecvTimeoutError::Timeout)
            {
                next = work();
            }
        };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run);
        let thread = thread.map_err(|e| format!("cannot start a thread: {e}"))?;
        Ok(Repeated { alive: Some(alive), thread: Some(thread) })
    }
}

impl Drop for Repeated {
    fn drop(&mut self) {
        self.alive = None;
        // Work that panicked has been reported by the panic.
        _ = self.thread.take().map(JoinHandle::join);
    }
}

/// How far the clocks of a node were off at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sample {
    node: usize,
    after: Duration,
    offset_ns: i64,
    monotonic_offset_ns: i64,
    /// Read inside a process; otherwise worked out from the control page.
    measured: bool,
}

/// What was done and seen since the skew began.
#[derive(Debug)]
pub(super) struct Log {
    start: Instant,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    samples: Vec<Sample>,
    patched: usize,
    longest_stop: Duration,
    /// Processes that could not be patched, when that was tried last, and why.
    failed: BTreeMap<i32, (Instant, String)>,
}

impl Log {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Log { start: Instant::now(), inner: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn sample(&self, node: usize, offset_ns: i64, monotonic_offset_ns: i64, measured: bool) {
        let mut inner = self.lock();
        if inner.samples.len() < SAMPLES_MAX {
            inner.samples.push(Sample {
                node,
                after: self.start.elapsed(),
                offset_ns,
                monotonic_offset_ns,
                measured,
            });
        }
    }

    /// Takes the samples out, as they are noted in the history.
    pub(super) fn take_samples(&self, name: impl Fn(usize) -> Option<String>) -> Vec<Value> {
        let samples = std::mem::take(&mut self.lock().samples);
        let to_json = |s: Sample| {
            json!({
                "node": name(s.node),
                "at_ms_after_inject": s.after.as_millis() as u64,
                "offset_us": s.offset_ns / 1_000,
                "monotonic_offset_us": s.monotonic_offset_ns / 1_000,
                "measured": s.measured,
            })
        };
        samples.into_iter().map(to_json).collect()
    }

    /// How many processes were patched, and how long one of them stood still at most.
    pub(super) fn patched(&self) -> (usize, Duration) {
        let inner = self.lock();
        (inner.patched, inner.longest_stop)
    }

    /// Why the process could not be patched, if it was tried.
    pub(super) fn why_not(&self, pid: i32) -> Option<String> {
        self.lock().failed.get(&pid).map(|(_, why)| why.clone())
    }
}

/// Patches what there is and not yet patched. Answers how many processes were.
pub(super) fn patch_new(nodes: &[&Node], log: &Log) -> Result<usize, String> {
    let unpatched = |pid| tracee::is_patched(pid) == Err(Trouble::Unpatched);
    let tried_lately =
        |pid: i32| log.lock().failed.get(&pid).is_some_and(|(at, _)| at.elapsed() < RETRY_INTERVAL);
    let mut new = members(nodes)?;
    new.retain(|member| unpatched(member.pid) && !tried_lately(member.pid));
    if new.is_empty() {
        return Ok(0);
    }
    let patch_all = || {
        let mut patched = 0;
        for member in &new {
            let Some(node) = nodes.iter().find(|node| node.index == member.node) else { continue };
            let result = tracee::patch(member.pid, &node.file);
            let mut inner = log.lock();
            match result {
                Ok(done) => {
                    patched += 1;
                    inner.longest_stop = inner.longest_stop.max(done.stopped);
                    inner.failed.remove(&member.pid);
                }
                Err(Trouble::Gone | Trouble::NoVdso | Trouble::Unpatched) => {}
                Err(Trouble::Failed(why)) => _ = inner.failed.insert(member.pid, (Instant::now(), why)),
            }
        }
        log.lock().patched += patched;
        patched
    };
    tracee::tracing(patch_all)
}

/// Patches everything there is, also what is started meanwhile.
pub(super) fn patch_all(nodes: &[&Node], log: &Log) -> Result<(), String> {
    for _ in 0..ROUNDS_MAX {
        if patch_new(nodes, log)? == 0 {
            break;
        }
    }
    Ok(())
}

/// Keeps patching what is started or executed on these nodes, and samples the control pages.
pub(super) fn watch(nodes: Vec<Arc<Node>>, log: Arc<Log>) -> Result<Repeated, String> {
    let mut next_sample = Instant::now() + SAMPLE_INTERVAL;
    Repeated::start("clock-watch", move || {
        let borrowed: Vec<&Node> = nodes.iter().map(AsRef::as_ref).collect();
        // What cannot be read now can be at the next look.
        _ = patch_new(&borrowed, &log);
        if Instant::now() >= next_sample {
            next_sample += SAMPLE_INTERVAL;
            for node in &nodes {
                let (offset_ns, monotonic_offset_ns) = node.page.setting().offsets_now();
                log.sample(node.index, offset_ns, monotonic_offset_ns, false);
            }
        }
        Instant::now() + SCAN_INTERVAL
    })
}

/// Switches the nodes' clocks between two settings.
pub(super) fn strobe(nodes: Vec<Arc<Node>>, wrong: Setting, period: Duration) -> Result<Repeated, String> {
    let mut next = Instant::now();
    let mut is_wrong = false;
    Repeated::start("clock-strobe", move || {
        is_wrong = !is_wrong;
        let setting = if is_wrong { wrong } else { Setting::default() };
        nodes.iter().for_each(|node| node.page.set(setting));
        // After having been held up it goes on in step and does not catch up.
        next = (next + period).max(Instant::now());
        next
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn repeated_work_ends_at_once_when_dropped() {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let start = Instant::now();
        let repeated = Repeated::start("test", move || {
            let calls = counted.fetch_add(1, Ordering::SeqCst) + 1;
            // The third call will not come for long.
            Instant::now() + if calls < 2 { Duration::ZERO } else { Duration::from_secs(100) }
        });
        while calls.load(Ordering::SeqCst) < 2 {
            assert!(start.elapsed() < Duration::from_secs(10));
            std::thread::yield_now();
        }
        drop(repeated.unwrap());
        assert!(start.elapsed() < Duration::from_secs(10));
        assert_eq!(calls.load(Ordering::SeqCst), 2);
    }
}
