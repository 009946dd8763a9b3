//! A process of a node: its vDSO is patched, and its clock is read from within.
//!
//! Patching, once a process: all threads are stopped, one of them is made to map three pages near the vDSO
//! (tracee/stub.rs), and jumps into them are written over the beginnings of the vDSO's functions. Children
//! that it forks have it all; what it executes has not. Reading: one thread is stopped and made to run a few
//! instructions on a stack of ours that read the kernel's clock, the process's, and the kernel's again.
//!
//! The patch stays for the rest of the process's life: a thread could be in the middle of it at any time, it
//! costs some nanoseconds a call, and the next skew then needs no stop at all.

mod session;
mod stub;
mod sys;
mod vdso;

use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;

use self::session::Session;
use self::vdso::Plan;
use super::page::PAGE_BYTES;
use super::reading::{Off, Reading};

const PAGE: u64 = PAGE_BYTES as u64;
/// Code, control, scratch.
const PAGES: u64 = 3;
/// A jump reaches 2 GiB.
const REACH: u64 = 1 << 30;

/// Why something could not be done to a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It has ended.
    Gone,
    /// It has no vDSO, and so reads no clock by it.
    NoVdso,
    /// It is not patched.
    Unpatched,
    /// Anything else.
    Failed(String),
}

impl From<Errno> for Trouble {
    fn from(e: Errno) -> Self {
        if e == Errno::ESRCH { Trouble::Gone } else { Trouble::Failed(e.to_string()) }
    }
}

impl From<io::Error> for Trouble {
    fn from(e: io::Error) -> Self {
        match e.kind() {
            // The memory of a process that has ended reads as empty.
            io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof => Trouble::Gone,
            _ if e.raw_os_error() == Some(libc::ESRCH) => Trouble::Gone,
            _ => Trouble::Failed(e.to_string()),
        }
    }
}

/// What patching a process took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Patched {
    /// So long no thread of it ran.
    pub(super) stopped: Duration,
}

/// Whether the vDSO of this kernel can be patched.
pub(super) fn supported() -> Result<(), String> {
    match own_plan() {
        Some(_) => Ok(()),
        None => Err(
            "this kernel's vDSO is not one that can be patched: run the audit on another kernel, or without \
                     clock faults"
                .to_owned(),
        ),
    }
}

/// Does work that traces processes in a thread of its own: when that ends, the kernel sets free whatever was
/// left traced by an error half-way.
pub(super) fn tracing<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, String> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("clock-trace".to_owned()).spawn_scoped(scope, work);
        let thread = thread.map_err(|e| format!("cannot start a thread: {e}"))?;
        thread.join().map_err(|_| "the tracing thread panicked".to_owned())
    })
}

/// What the preload library needs to patch the process that it is loaded into; empty if that cannot be.
pub(super) fn preload_pages() -> Vec<u8> {
    own_plan().map(Plan::for_preload).unwrap_or_default()
}

/// The plan for the vDSO of this process. Other processes on this machine mostly have the same.
fn own_plan() -> Option<&'static Plan> {
    static PLAN: OnceLock<Option<Plan>> = OnceLock::new();
    let make = || {
        let maps = Maps::of(std::process::id() as i32).ok()?;
        let mut image = vec![0; usize::try_from(maps.vdso.1 - maps.vdso.0).ok()?];
        File::open("/proc/self/mem").ok()?.read_exact_at(&mut image, maps.vdso.0).ok()?;
        Plan::of(&image).ok()
    };
    PLAN.get_or_init(make).as_ref()
}

/// Where the process's vDSO is and, if that is patched, our pages. Does not stop the process.
///
/// # Errors
/// [`Trouble::Unpatched`] if it is not.
fn find_patch(pid: i32) -> Result<(u64, u64), Trouble> {
    let vdso = vdso_of(pid)?;
    let memory = File::open(format!("/proc/{pid}/mem")).map_err(Trouble::from)?;
    // A process with another vDSO than ours has something else there, and is looked at closely elsewhere.
    let at = vdso + own_plan().map_or(0, Plan::clock_gettime);
    let mut first = [0; 5];
    memory.read_exact_at(&mut first, at)?;
    let page = vdso::jump_target(at, first).ok_or(Trouble::Unpatched)? & !(PAGE - 1);
    let mut mark = [0; stub::MARK.len()];
    let read = memory.read_exact_at(&mut mark, page + stub::MARK_AT as u64);
    if read.is_ok() && mark == *stub::MARK { Ok((vdso, page)) } else { Err(Trouble::Unpatched) }
}

/// Whether the process is patched. Does not stop it.
///
/// # Errors
/// [`Trouble::Unpatched`] if it is not.
pub(super) fn is_patched(pid: i32) -> Result<(), Trouble> {
    find_patch(pid).map(drop)
}

/// The address of the vDSO, as the kernel told the process. Source: getauxval(3).
fn vdso_of(pid: i32) -> Result<u64, Trouble> {
    const AT_SYSINFO_EHDR: u64 = 33;
    let vector = std::fs::read(format!("/proc/{pid}/auxv")).map_err(Trouble::from)?;
    let words: Vec<u64> = vector.as_chunks::<8>().0.iter().map(|word| u64::from_ne_bytes(*word)).collect();
    let found = words.as_chunks::<2>().0.iter().find(|[key, _]| *key == AT_SYSINFO_EHDR);
    match found {
        Some([_, address]) => Ok(*address),
        // Empty for one that has ended and waits for its parent.
        None if vector.is_empty() => Err(Trouble::Gone),
        None => Err(Trouble::NoVdso),
    }
}

/// Patches the process, so that its clocks show what the control page `file` says.
///
/// # Errors
/// Why it could not be; then nothing is left in it.
pub(super) fn patch(pid: i32, file: &Path) -> Result<Patched, Trouble> {
    let mut session = Session::all(pid)?;
    let start = Instant::now();
    // Between the last look and now another may have been executed, or the process patched itself.
    match find_patch(pid) {
        Ok(_) => return Ok(Patched { stopped: start.elapsed() }),
        Err(Trouble::Unpatched) => {}
        Err(e) => return Err(e),
    }
    let maps = Maps::of(pid)?;
    let (vdso, end) = maps.vdso;
    let mut image = vec![0; usize::try_from(end - vdso).unwrap_or_default()];
    session.read(vdso, &mut image)?;
    let plan = own_plan().filter(|plan| plan.fits(&image)).ok_or_else(|| {
        Trouble::Failed(
            "its vDSO is not one that can be patched; a program of 32 bits has such a one".to_owned(),
        )
    })?;
    let place = maps.hole().ok_or_else(|| Trouble::Failed("there is no room near its vDSO".to_owned()))?;
    let worker = session.worker()?;
    let syscall = vdso + plan.syscall();
    let private = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE) as u64;
    let executable = (libc::PROT_READ | libc::PROT_EXEC) as u64;
    let pages = [place, PAGES * PAGE, executable, private, u64::MAX, 0];
    let page = session.call(worker, syscall, libc::SYS_mmap, pages)?;
    let redirected = redirect(&mut session, worker, page, vdso, plan, file);
    if redirected.is_err() {
        unmap(&mut session, worker, syscall, page);
    }
    drop(session);
    redirected.map(|()| Patched { stopped: start.elapsed() })
}

/// Fills our three pages, and writes the jumps to them over the vDSO.
fn redirect(
    session: &mut Session,
    worker: i32,
    page: u64,
    vdso: u64,
    plan: &Plan,
    file: &Path,
) -> Result<(), Trouble> {
    // Old kernels take the address that was asked for as a hint.
    if page.abs_diff(vdso) >= REACH {
        return Err(Trouble::Failed("there is no room near its vDSO".to_owned()));
    }
    session.write(page, &plan.code(page, vdso))?;
    session.write(page + 2 * PAGE, &[file.as_os_str().as_bytes(), b"\0"].concat())?;
    let stack = page + PAGES * PAGE;
    let after = session.execute(worker, page + stub::set_up() as u64, stack, 0, page)?;
    let action = match after.rbx {
        0 => None,
        1 => Some("open"),
        2 => Some("map"),
        _ => Some("be given a page to write to, for reading"),
    };
    if let Some(action) = action {
        let error = Errno::from_raw((after.rax as i64).wrapping_neg() as i32);
        return Err(Trouble::Failed(format!("it cannot {action} {}: {error}", file.display())));
    }
    for tid in session.threads().to_vec() {
        session.step_out(tid, |address| plan.is_inside(address, vdso))?;
    }
    plan.jumps(page, vdso).try_for_each(|(at, jump)| session.write(at, &jump))
}

/// Takes our pages away again; if not even that can be done, they stay, and nothing refers to them.
fn unmap(session: &mut Session, worker: i32, syscall: u64, page: u64) {
    _ = session.call(worker, syscall, libc::SYS_munmap, [page, PAGES * PAGE, 0, 0, 0, 0]);
}

/// Reads the clocks of a patched process.
///
/// # Errors
/// [`Trouble::Unpatched`] if it is not patched.
pub(super) fn read(pid: i32) -> Result<Reading, Trouble> {
    find_patch(pid)?;
    let mut session = Session::one(pid)?;
    // It may have executed another program in the meantime.
    let (vdso, page) = find_patch(pid)?;
    let worker = session.worker()?;
    let (buffer, stack) = (page + 2 * PAGE, page + PAGES * PAGE);
    let mut times = [0; 6 * 16];
    session.write(buffer, &times)?;
    let function = vdso + own_plan().map_or(0, Plan::clock_gettime);
    let before_ns = super::reading::now_ns(nix::time::ClockId::CLOCK_REALTIME);
    session.execute(worker, page + stub::reader() as u64, stack, function, buffer)?;
    let after_ns = super::reading::now_ns(nix::time::ClockId::CLOCK_REALTIME);
    session.read(buffer, &mut times)?;
    drop(session);
    let words: Vec<i64> = times.as_chunks::<8>().0.iter().map(|word| i64::from_ne_bytes(*word)).collect();
    let ns: Vec<i64> = words.as_chunks::<2>().0.iter().map(|[s, ns]| s * 1_000_000_000 + ns).collect();
    let &[real_1, real, real_2, mono_1, mono, mono_2] = ns.as_slice() else {
        return Err(Trouble::Failed("its clock was not read".to_owned()));
    };
    // The kernel's clock as the process saw it must be the harness's own.
    if !(before_ns <= real_1 && real_1 <= real_2 && real_2 <= after_ns) {
        let seen = format!("it read {real_1} and {real_2} between {before_ns} and {after_ns}");
        return Err(Trouble::Failed(format!("the kernel's clock in it is not the harness's: {seen}")));
    }
    Ok(Reading {
        realtime: Off::between(real_1, real, real_2),
        monotonic: Off::between(mono_1, mono, mono_2),
    })
}

/// The memory of a process as the kernel lists it.
struct Maps {
    ranges: Vec<(u64, u64)>,
    /// Where the main thread's stack begins: the gap below it is for the stack to grow into.
    stack: Option<u64>,
    vdso: (u64, u64),
}

impl Maps {
    fn of(pid: i32) -> Result<Self, Trouble> {
        let text = std::fs::read(format!("/proc/{pid}/maps")).map_err(Trouble::from)?;
        let (mut ranges, mut vdso, mut stack) = (Vec::new(), None, None);
        for line in String::from_utf8_lossy(&text).lines() {
            let range = line.split(' ').next().and_then(|range| {
                let (from, to) = range.split_once('-')?;
                Some((u64::from_str_radix(from, 16).ok()?, u64::from_str_radix(to, 16).ok()?))
            });
            let range = range.ok_or_else(|| Trouble::Failed(format!("its maps cannot be read: {line}")))?;
            if line.ends_with(" [vdso]") {
                vdso = Some(range);
            }
            if line.ends_with(" [stack]") {
                stack = Some(range.0);
            }
            ranges.push(range);
        }
        Ok(Maps { ranges, stack, vdso: vdso.ok_or(Trouble::NoVdso)? })
    }

    /// An address with room for our pages, and some to spare, near the vDSO: below it if possible.
    fn hole(&self) -> Option<u64> {
        const SPARE: u64 = 4 * PAGE;
        let bytes = PAGES * PAGE + 2 * SPARE;
        let gaps = || {
            let gaps = self.ranges.windows(2).map(|pair| (pair[0].1, pair[1].0));
            gaps.filter(|(from, to)| to - from >= bytes && Some(*to) != self.stack)
        };
        let below = gaps().rev().find(|(_, to)| *to <= self.vdso.0).map(|(_, to)| to - SPARE - PAGES * PAGE);
        let above = || gaps().find(|(from, _)| *from >= self.vdso.1).map(|(from, _)| from + SPARE);
        let near = |address: &u64| address.abs_diff(self.vdso.0) < REACH;
        below.filter(near).or_else(|| above().filter(near))
    }
}
