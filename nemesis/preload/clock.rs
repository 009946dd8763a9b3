//! Loaded into the dynamic programs of nodes whose clocks are skewed (src/clock/launch.rs), by `LD_PRELOAD`.
//!
//! 1. Before `main` it patches the vDSO of the process, with the code and the table that the harness has put
//!    behind the control page (src/clock/tracee/vdso.rs). If that cannot be, the harness does it later.
//! 2. A thread that waits until an absolute time computed that time from a skewed clock; the kernel goes by
//!    the true one. So each function that takes such a time is replaced by one that passes the true time on.
//!
//! It needs nothing but the kernel and, to find the functions it replaces, two of the loader's functions. Where
//! those are missing (musl) it does nothing in 1.; it is not loaded into such programs on purpose.
#![no_std]

use core::arch::{asm, global_asm};
use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr::{null, null_mut};
use core::sync::atomic::{AtomicI64, AtomicPtr, Ordering, fence};

const PAGE: usize = 4096;
/// The control page, the code page and the table.
const FILE_BYTES: usize = 3 * PAGE;
/// A jump reaches 2 GiB.
const REACH: usize = 1 << 30;

const READ: usize = 1;
const WRITE: usize = 2;
const EXECUTE: usize = 4;
const SHARED: usize = 0x1;
const PRIVATE: usize = 0x2;
const FIXED: usize = 0x10;
const ANONYMOUS: usize = 0x20;
const FIXED_NOREPLACE: usize = 0x10_0000;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: ends the process.
    unsafe { asm!("ud2", options(noreturn)) }
}

// The compiler's tables for unwinding name this function. Nothing unwinds here, and a visible one would take
// the place of that of Rust programs.
global_asm!(".globl rust_eh_personality", ".hidden rust_eh_personality", "rust_eh_personality: ud2");

// ---- The kernel and the loader ----

/// A system call; an error is a small negative number.
unsafe fn syscall(number: usize, args: [usize; 6]) -> isize {
    let result: isize;
    let [a, b, c, d, e, f] = args;
    // SAFETY: the caller knows what the call does; the kernel clobbers rcx and r11.
    unsafe {
        asm!("syscall", inlateout("rax") number => result, in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d,
            in("r8") e, in("r9") f, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result
}

unsafe fn map(at: usize, bytes: usize, access: usize, flags: usize, fd: isize) -> Option<usize> {
    let mapped = unsafe { syscall(9, [at, bytes, access, flags, fd as usize, 0]) };
    (mapped > 0).then_some(mapped as usize)
}

unsafe fn unmap(at: usize, bytes: usize) {
    unsafe { syscall(11, [at, bytes, 0, 0, 0, 0]) };
}

unsafe fn protect(at: usize, bytes: usize, access: usize) -> bool {
    unsafe { syscall(10, [at, bytes, access, 0, 0, 0]) == 0 }
}

/// The address of a function that may not exist: an ordinary reference would keep the library from loading.
macro_rules! weak {
    ($name:literal) => {{
        let address: usize;
        // SAFETY: reads an entry of the table of addresses that the loader has filled in.
        unsafe {
            asm!(concat!(".weak ", $name), concat!("mov {}, qword ptr [rip + ", $name, "@GOTPCREL]"),
                out(reg) address, options(nostack, pure, readonly));
        }
        address
    }};
}

const NEXT: *mut c_void = -1_isize as *mut c_void;

/// The function of this name in the libraries behind this one.
#[inline(never)]
unsafe fn next(name: &CStr, version: Option<&CStr>) -> *mut c_void {
    let (with_version, plain) = (weak!("dlvsym"), weak!("dlsym"));
    if let (Some(version), true) = (version, with_version != 0) {
        // SAFETY: this is the type of dlvsym(3).
        let find: extern "C" fn(*mut c_void, *const c_char, *const c_char) -> *mut c_void =
            unsafe { core::mem::transmute(with_version) };
        let found = find(NEXT, name.as_ptr(), version.as_ptr());
        if !found.is_null() {
            return found;
        }
    }
    if plain == 0 {
        return null_mut();
    }
    // SAFETY: this is the type of dlsym(3).
    let find: extern "C" fn(*mut c_void, *const c_char) -> *mut c_void =
        unsafe { core::mem::transmute(plain) };
    let found = find(NEXT, name.as_ptr());
    // Not as the last call: the loader goes by the address to which it returns.
    fence(Ordering::SeqCst);
    found
}

// ---- Before main ----

#[used]
#[unsafe(link_section = ".init_array")]
static BEGIN: unsafe extern "C" fn(c_int, *const *const c_char, *const *const c_char) = begin;

/// The node's control page, if there is one.
static CONTROL: AtomicPtr<AtomicI64> = AtomicPtr::new(null_mut());

unsafe extern "C" fn begin(_: c_int, _: *const *const c_char, environment: *const *const c_char) {
    // Only glibc passes arguments to this function.
    if weak!("dlvsym") == 0 || weak!("getauxval") == 0 || environment.is_null() {
        return;
    }
    // SAFETY: the environment is an array of strings that ends with a null.
    unsafe {
        let mut variable = environment;
        while !(*variable).is_null() {
            if let Some(path) = CStr::from_ptr(*variable).to_bytes_with_nul().strip_prefix(b"ORDEAL_CLOCK=") {
                attach(path);
                return;
            }
            variable = variable.add(1);
        }
    }
}

/// Maps the control page, and patches this process.
unsafe fn attach(path: &[u8]) {
    const CLOSE_ON_EXEC: usize = 0o2_000_000;
    // SAFETY: the mappings are new; what is written to is checked in `patch`.
    unsafe {
        let fd = syscall(2, [path.as_ptr() as usize, CLOSE_ON_EXEC, 0, 0, 0, 0]);
        if fd < 0 {
            return;
        }
        if let Some(file) = map(0, FILE_BYTES, READ, SHARED, fd) {
            CONTROL.store(file as *mut AtomicI64, Ordering::Release);
            patch(file, fd);
        }
        syscall(3, [fd as usize, 0, 0, 0, 0, 0]);
    }
}

/// Reads the words of the table one by one.
struct Table(*const u64);

impl Table {
    unsafe fn next(&mut self) -> usize {
        // SAFETY: the harness has written so many as it says, in one page.
        unsafe {
            let word = self.0.read();
            self.0 = self.0.add(1);
            word as usize
        }
    }
}

unsafe fn patch(file: usize, fd: isize) {
    const AT_SYSINFO_EHDR: usize = 33;
    // SAFETY: this is the type of getauxval(3); the file is as the harness wrote it; the vDSO is only written
    // to where it holds what the harness found in its own.
    unsafe {
        let value: extern "C" fn(usize) -> usize = core::mem::transmute(weak!("getauxval"));
        let vdso = value(AT_SYSINFO_EHDR);
        let mut table = Table((file + 2 * PAGE) as *const u64);
        let (bytes, planned_below) = (table.next(), table.next());
        let distances = table.next();
        if vdso == 0 || bytes == 0 {
            return;
        }
        let mut functions = Table(table.0.add(distances));
        let (count, first) = (functions.next(), functions.0);
        for _ in 0..count {
            let (at, _, first) = (functions.next(), functions.next(), functions.next());
            if ((vdso + at) as *const u64).read_unaligned() != first as u64 {
                return;
            }
        }
        let Some(page) = room_near(vdso) else { return };
        core::ptr::copy_nonoverlapping((file + PAGE) as *const u8, page as *mut u8, PAGE);
        let correction = vdso.wrapping_sub(page).wrapping_sub(planned_below) as u32;
        for _ in 0..distances {
            let distance = (page + table.next()) as *mut u32;
            distance.write_unaligned(distance.read_unaligned().wrapping_add(correction));
        }
        let control = map(page + PAGE, PAGE, READ, SHARED | FIXED, fd);
        // The kernel lets the vDSO be protected as a whole only.
        if control.is_none()
            || !protect(page, PAGE, READ | EXECUTE)
            || !protect(vdso, bytes, READ | WRITE | EXECUTE)
        {
            unmap(page, 3 * PAGE);
            return;
        }
        let mut functions = Table(first);
        for _ in 0..count {
            let (at, entry, _) = (vdso + functions.next(), functions.next(), functions.next());
            let distance = (page + entry).wrapping_sub(at + 5) as u32;
            (at as *mut u8).write_volatile(0xe9);
            ((at + 1) as *mut u32).write_unaligned(distance);
        }
        protect(vdso, bytes, READ | EXECUTE);
    }
}

/// Three pages within reach of the vDSO: where the kernel puts them, or above the vDSO. Below it may be the
/// stack, which must be able to grow.
unsafe fn room_near(vdso: usize) -> Option<usize> {
    const STEP: usize = 64 * 1024;
    // SAFETY: new mappings, where nothing is.
    unsafe {
        let map_at =
            |at: usize, fixed: usize| map(at, 3 * PAGE, READ | WRITE, PRIVATE | ANONYMOUS | fixed, -1);
        let near = |page: &usize| page.abs_diff(vdso) < REACH;
        let anywhere = map_at(0, 0)?;
        if near(&anywhere) {
            return Some(anywhere);
        }
        unmap(anywhere, 3 * PAGE);
        for at in (1..=32).map(|i| vdso + i * STEP) {
            match map_at(at, FIXED_NOREPLACE) {
                Some(page) if near(&page) => return Some(page),
                Some(page) => unmap(page, 3 * PAGE),
                None => {}
            }
        }
        None
    }
}

// ---- Waiting until an absolute time ----

const REALTIME: c_int = 0;
const MONOTONIC: c_int = 1;
const NS: i64 = 1_000_000_000;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Timespec {
    sec: i64,
    ns: i64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Itimerspec {
    interval: Timespec,
    value: Timespec,
}

/// The clock that a time is meant for, if the function does not say. A monotonic clock begins near zero when
/// the machine starts, and takes 31 years to get so far.
fn clock_of(time: Timespec) -> c_int {
    if time.sec >= 1_000_000_000 { REALTIME } else { MONOTONIC }
}

/// The true time at which the skewed clock shows `time`.
fn true_time(clock: c_int, time: Timespec) -> Timespec {
    let (flag, at) = match clock {
        REALTIME => (1, 2),
        MONOTONIC => (2, 5),
        _ => return time,
    };
    let control = CONTROL.load(Ordering::Acquire);
    // What the kernel would refuse it shall refuse.
    if control.is_null() || !(0..NS).contains(&time.ns) {
        return time;
    }
    // SAFETY: the control page has eight words, and stays mapped for ever.
    let word = |i: usize| unsafe { (*control.add(i)).load(Ordering::Acquire) };
    loop {
        let sequence = word(0);
        if sequence & 1 == 1 {
            core::hint::spin_loop();
            continue;
        }
        if word(1) & flag == 0 {
            return time;
        }
        let (anchor, offset, rate) = (word(at), word(at + 1), word(at + 2));
        if word(0) != sequence {
            continue;
        }
        let shown = time.sec.saturating_mul(NS).saturating_add(time.ns);
        let gone = i128::from(shown) - i128::from(offset) - i128::from(anchor);
        let ns = i128::from(anchor) + (gone << 32) / ((1_i128 << 32) + i128::from(rate));
        // Never zero, which would disarm a timer instead of letting it go off at once.
        let ns = ns.clamp(1, i128::from(i64::MAX)) as i64;
        return Timespec { sec: ns / NS, ns: ns % NS };
    }
}

/// The function behind this one, found at the first call.
macro_rules! behind {
    ($name:literal, $version:expr, $type:ty) => {{
        static FOUND: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
        let mut found = FOUND.load(Ordering::Relaxed);
        if found.is_null() {
            // SAFETY: only looks up a name.
            found = unsafe { next($name, $version) };
            if found.is_null() {
                return ENOSYS;
            }
            FOUND.store(found, Ordering::Relaxed);
        }
        // SAFETY: the function of that name has this type.
        unsafe { core::mem::transmute::<*mut c_void, $type>(found) }
    }};
}

const ENOSYS: c_int = 38;

/// `name(object, …, until)`: the time is the last argument.
macro_rules! wait {
    ($name:ident, $text:literal, $version:expr, ($($arg:ident: $type:ty),*), $clock:expr) => {
        /// # Safety
        /// As of the function that it replaces.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($arg: $type,)* until: *const Timespec) -> c_int {
            let real = behind!($text, $version, unsafe extern "C" fn($($type,)* *const Timespec) -> c_int);
            if until.is_null() {
                // SAFETY: as the caller promised.
                return unsafe { real($($arg,)* null()) };
            }
            // SAFETY: as the caller promised.
            unsafe {
                let clock: fn(Timespec) -> c_int = $clock;
                let until = true_time(clock(*until), *until);
                real($($arg,)* &raw const until)
            }
        }
    };
}

/// `name(object, clock, until)`.
macro_rules! wait_by_clock {
    ($name:ident, $text:literal, ($($arg:ident: $type:ty),*)) => {
        /// # Safety
        /// As of the function that it replaces.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($arg: $type,)* clock: c_int, until: *const Timespec) -> c_int {
            let real = behind!($text, None, unsafe extern "C" fn($($type,)* c_int, *const Timespec) -> c_int);
            if until.is_null() {
                // SAFETY: as the caller promised.
                return unsafe { real($($arg,)* clock, null()) };
            }
            // SAFETY: as the caller promised.
            unsafe {
                let until = true_time(clock, *until);
                real($($arg,)* clock, &raw const until)
            }
        }
    };
}

// The clock of a condition is one of its attributes, in a place that differs between versions of glibc. The
// lookup without a version finds the function of before 2003.
wait!(pthread_cond_timedwait, c"pthread_cond_timedwait", Some(c"GLIBC_2.3.2"), (condition: *mut c_void, mutex: *mut c_void), clock_of);
wait!(pthread_mutex_timedlock, c"pthread_mutex_timedlock", None, (mutex: *mut c_void), |_| REALTIME);
wait!(pthread_rwlock_timedrdlock, c"pthread_rwlock_timedrdlock", None, (lock: *mut c_void), |_| REALTIME);
wait!(pthread_rwlock_timedwrlock, c"pthread_rwlock_timedwrlock", None, (lock: *mut c_void), |_| REALTIME);
wait!(sem_timedwait, c"sem_timedwait", None, (semaphore: *mut c_void), |_| REALTIME);
wait_by_clock!(pthread_cond_clockwait, c"pthread_cond_clockwait", (condition: *mut c_void, mutex: *mut c_void));
wait_by_clock!(pthread_mutex_clocklock, c"pthread_mutex_clocklock", (mutex: *mut c_void));
wait_by_clock!(pthread_rwlock_clockrdlock, c"pthread_rwlock_clockrdlock", (lock: *mut c_void));
wait_by_clock!(pthread_rwlock_clockwrlock, c"pthread_rwlock_clockwrlock", (lock: *mut c_void));
wait_by_clock!(sem_clockwait, c"sem_clockwait", (semaphore: *mut c_void));

/// # Safety
/// As of clock_nanosleep(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_nanosleep(
    clock: c_int,
    flags: c_int,
    until: *const Timespec,
    left: *mut Timespec,
) -> c_int {
    const ABSOLUTE: c_int = 1;
    type Sleep = unsafe extern "C" fn(c_int, c_int, *const Timespec, *mut Timespec) -> c_int;
    let real = behind!(c"clock_nanosleep", None, Sleep);
    // SAFETY: as the caller promised.
    unsafe {
        if flags & ABSOLUTE == 0 || until.is_null() {
            return real(clock, flags, until, left);
        }
        let until = true_time(clock, *until);
        real(clock, flags, &raw const until, left)
    }
}

/// # Safety
/// As of timerfd_settime(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn timerfd_settime(
    fd: c_int,
    flags: c_int,
    new: *const Itimerspec,
    old: *mut Itimerspec,
) -> c_int {
    const ABSOLUTE: c_int = 1;
    type Set = unsafe extern "C" fn(c_int, c_int, *const Itimerspec, *mut Itimerspec) -> c_int;
    let real = behind!(c"timerfd_settime", None, Set);
    // SAFETY: as the caller promised.
    unsafe {
        // A time of zero disarms the timer.
        if flags & ABSOLUTE == 0 || new.is_null() || ((*new).value.sec, (*new).value.ns) == (0, 0) {
            return real(fd, flags, new, old);
        }
        let mut timer = *new;
        timer.value = true_time(clock_of(timer.value), timer.value);
        real(fd, flags, &raw const timer, old)
    }
}
