//! The control page of a node's clocks: a file that every process of the node has mapped, and the harness.
//!
//! Eight words of 64 bits: a sequence number, which is odd while the rest is being written; flags (1: real
//! time is skewed, 2: monotonic time is); then anchor, offset and rate of each. A clock that is skewed shows
//! `t + offset + ((t - anchor) * rate >> 32)`. To skew all clocks of a node is therefore a few stores.
//!
//! Behind the page the file holds what the preload library puts into a process that it is loaded into.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicI64, Ordering, fence};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use super::reading::{ClockId, now_ns};

/// The size of a page, and so of the control page.
pub(super) const PAGE_BYTES: usize = 4096;
const WORDS: usize = 8;

/// How one clock is wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Skew {
    /// The true time at which what the rate adds is zero.
    pub(super) anchor_ns: i64,
    pub(super) offset_ns: i64,
    /// How much too fast it runs, in units of 2⁻³².
    pub(super) rate: i64,
}

impl Skew {
    /// How far the clock is off at a true time.
    pub(super) fn offset_at(&self, now_ns: i64) -> i64 {
        let gained = (i128::from(now_ns - self.anchor_ns) * i128::from(self.rate)) >> 32;
        // A clock since boot stands at zero rather than before it.
        (self.offset_ns + gained as i64).max(-now_ns)
    }
}

/// How the clocks of a node are wrong; `None`: they are right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) realtime: Option<Skew>,
    pub(super) monotonic: Option<Skew>,
}

impl Setting {
    /// A setting that begins now: an offset, and so many parts per million too fast.
    pub(super) fn from_now(offset_ns: i64, ppm: i64, monotonic: bool) -> Self {
        let rate = ((i128::from(ppm) << 32) / 1_000_000) as i64;
        let skew = |clock| Some(Skew { anchor_ns: now_ns(clock), offset_ns, rate });
        Setting {
            realtime: skew(ClockId::CLOCK_REALTIME),
            monotonic: monotonic.then(|| skew(ClockId::CLOCK_MONOTONIC)).flatten(),
        }
    }

    /// How far the clocks are off now: real time, monotonic time.
    pub(super) fn offsets_now(&self) -> (i64, i64) {
        let off = |skew: Option<Skew>, clock| skew.map_or(0, |skew| skew.offset_at(now_ns(clock)));
        (off(self.realtime, ClockId::CLOCK_REALTIME), off(self.monotonic, ClockId::CLOCK_MONOTONIC))
    }
}

/// A control page, mapped.
#[derive(Debug)]
pub(super) struct Page {
    words: NonNull<AtomicI64>,
    setting: Mutex<Setting>,
}

// SAFETY: the words are only used as atomics, and the mapping lives as long as the page.
unsafe impl Send for Page {}
// SAFETY: as above.
unsafe impl Sync for Page {}

impl Page {
    /// Makes the file, with `appendix` behind the page, and maps it. A file that is there is taken over as it
    /// is, since processes may have it mapped.
    pub(super) fn create(file: &Path, appendix: &[u8]) -> std::io::Result<Self> {
        use std::os::unix::fs::FileExt;
        let options =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o644).open(file);
        let handle = options?;
        handle.set_len((PAGE_BYTES + appendix.len()) as u64)?;
        handle.write_all_at(appendix, PAGE_BYTES as u64)?;
        let length = std::num::NonZero::<usize>::MIN.saturating_add(PAGE_BYTES - 1);
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice; nobody makes the file shorter.
        let words = unsafe { mmap(None, length, access, MapFlags::MAP_SHARED, &handle, 0) }?;
        let page = Page { words: words.cast(), setting: Mutex::default() };
        page.set(Setting::default());
        Ok(page)
    }

    fn words(&self) -> &[AtomicI64; WORDS] {
        // SAFETY: the mapping is longer than this, aligned to a page, and lives as long as `self`.
        unsafe { self.words.cast::<[AtomicI64; WORDS]>().as_ref() }
    }

    fn lock(&self) -> MutexGuard<'_, Setting> {
        self.setting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the clocks of the node show this from now on.
    pub(super) fn set(&self, setting: Setting) {
        let mut current = self.lock();
        let [sequence, flags, rest @ ..] = self.words();
        let before = sequence.load(Ordering::Relaxed) & !1;
        sequence.store(before + 1, Ordering::Relaxed);
        fence(Ordering::Release);
        let bit = |skew: Option<Skew>, bit| if skew.is_some() { bit } else { 0 };
        flags.store(bit(setting.realtime, 1) | bit(setting.monotonic, 2), Ordering::Relaxed);
        for (words, skew) in rest.chunks(3).zip([setting.realtime, setting.monotonic]) {
            let Skew { anchor_ns, offset_ns, rate } = skew.unwrap_or_default();
            words
                .iter()
                .zip([anchor_ns, offset_ns, rate])
                .for_each(|(word, value)| word.store(value, Ordering::Relaxed));
        }
        sequence.store(before + 2, Ordering::Release);
        *current = setting;
    }

    /// What the clocks of the node show.
    pub(super) fn setting(&self) -> Setting {
        *self.lock()
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: the mapping is this object's own, and nothing borrows from it any more.
        // A failure would leave one page mapped.
        _ = unsafe { munmap(self.words.cast(), PAGE_BYTES) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_constant_and_a_rate_adds_up() {
        let step = Skew { anchor_ns: 100, offset_ns: -5, rate: 0 };
        assert_eq!((step.offset_at(100), step.offset_at(1_000_000)), (-5, -5));
        let skew = |ppm| Setting::from_now(0, ppm, true).realtime.unwrap();
        for (ppm, after_ten_seconds_ns) in
            [(1_000_000, 10_000_000_000_i64), (-500_000, -5_000_000_000), (100, 1_000_000)]
        {
            let skew = skew(ppm);
            let off = skew.offset_at(skew.anchor_ns + 10_000_000_000);
            assert!((off - after_ten_seconds_ns).abs() <= 10, "{ppm}: {off}");
        }
        assert_eq!(Skew { anchor_ns: 0, offset_ns: -50, rate: 0 }.offset_at(20), -20, "not before boot");
    }

    #[test]
    fn what_is_set_stands_in_the_file() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("clock");
        let page = Page::create(&file, b"more").unwrap();
        let words = || -> Vec<i64> {
            let bytes = std::fs::read(&file).unwrap();
            assert_eq!(&bytes[PAGE_BYTES..], b"more");
            bytes[..64].chunks(8).map(|word| i64::from_ne_bytes(word.try_into().unwrap())).collect()
        };
        assert_eq!(words(), [2, 0, 0, 0, 0, 0, 0, 0]);
        let setting = Setting::from_now(-7, 1_000_000, true);
        page.set(setting);
        let (real, mono) = (setting.realtime.unwrap(), setting.monotonic.unwrap());
        assert_eq!(words(), [4, 3, real.anchor_ns, -7, 1 << 32, mono.anchor_ns, -7, 1 << 32]);
        assert_eq!(page.setting(), setting);
        let again = Page::create(&file, b"more").unwrap();
        assert_eq!(words(), [6, 0, 0, 0, 0, 0, 0, 0]);
        drop((page, again));
    }
}
