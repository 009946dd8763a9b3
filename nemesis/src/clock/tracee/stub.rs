//! The code that is put into the processes, as it stands in this program. It is position-independent: a copy
//! of it works at any address.
//!
//! ```text
//! page 0, code     the functions below; RELOCATED: the overwritten beginnings of the vDSO's functions, each
//!                  followed by a jump back; MARK: by which our page is known
//! page 1, control  the node's control page (page.rs), shared with the harness
//! page 2, scratch  a stack and a buffer for the reading of the clock by the harness
//! ```
//!
//! A function of the vDSO begins with a jump to its counterpart here, which calls the original and turns the
//! time it got into `t + offset + ((t - anchor) * rate >> 32)`, under the seqlock of the control page. While
//! no skew is in force that is one load and a test.

/// The whole code, at offset 0 of page 0.
pub(super) fn code() -> &'static [u8] {
    // SAFETY: both are labels in one section, the second after the first, with code between them.
    unsafe {
        let start = &raw const ordeal_clock_start;
        let length = (&raw const ordeal_clock_end).offset_from_unsigned(start);
        std::slice::from_raw_parts(start, length)
    }
}

/// Where the counterparts of the vDSO's functions begin, as offsets: `clock_gettime`, `gettimeofday`, `time`.
pub(super) fn entries() -> [usize; 3] {
    [&raw const ordeal_clock_gettime, &raw const ordeal_gettimeofday, &raw const ordeal_time].map(offset)
}

/// Where the reading of the clock for the harness begins. It takes the address of the vDSO's `clock_gettime`
/// in `rbx` and of a buffer for six times in `r12`: the kernel's real time by a system call, the vDSO's, the
/// kernel's again; then the same of the monotonic clock. It ends in a breakpoint.
pub(super) fn reader() -> usize {
    offset(&raw const ordeal_clock_read)
}

/// Where the mapping of the control page begins, once the three pages are there and the file's name stands in
/// the last. It takes the address of the first in `r12`. It ends in a breakpoint, with `rbx` zero, or the step
/// that failed: 1 opening the file, 2 mapping it, 3 making the scratch page writable; the error is in `rax`.
pub(super) fn set_up() -> usize {
    offset(&raw const ordeal_clock_set_up)
}

fn offset(label: *const u8) -> usize {
    // SAFETY: every label lies in the code, which begins with this one.
    unsafe { label.offset_from_unsigned(&raw const ordeal_clock_start) }
}

/// Where the relocated beginnings of the original functions are, as offsets; `time` needs none.
pub(super) const RELOCATED: [Option<usize>; 3] = [Some(0x800), Some(0x880), None];
/// The room that each has.
pub(super) const RELOCATED_BYTES: usize = 0x80;
/// Where [`MARK`] is.
pub(super) const MARK_AT: usize = 0xff0;
/// By this a page of ours is known.
pub(super) const MARK: &[u8; 16] = b"ordeal clock v1\0";

unsafe extern "C" {
    static ordeal_clock_start: u8;
    static ordeal_clock_end: u8;
    static ordeal_clock_gettime: u8;
    static ordeal_gettimeofday: u8;
    static ordeal_time: u8;
    static ordeal_clock_read: u8;
    static ordeal_clock_set_up: u8;
}

std::arch::global_asm!(
    r#"
.pushsection .text.ordeal_clock, "ax", @progbits
.balign 16
.hidden ordeal_clock_start
.hidden ordeal_clock_end
.hidden ordeal_clock_gettime
.hidden ordeal_gettimeofday
.hidden ordeal_time
.hidden ordeal_clock_read
.hidden ordeal_clock_set_up
.globl ordeal_clock_start
.globl ordeal_clock_end
.globl ordeal_clock_gettime
.globl ordeal_gettimeofday
.globl ordeal_time
.globl ordeal_clock_read
.globl ordeal_clock_set_up
ordeal_clock_start:

// rcx: a time in ns, r9: its skew in the control page, r10: its flag, r8: the control page.
// Answers the skewed time in rax; carry is clear if there was no skew.
.Lordeal_skewed:
5:  mov r11, [r8]
    test r11b, 1                // being written
    jnz 6f
    test [r8 + 8], r10
    jz 7f
    mov rax, rcx
    sub rax, [r9]
    imul qword ptr [r9 + 16]
    shrd rax, rdx, 32
    add rax, [r9 + 8]
    add rax, rcx
    cmp r11, [r8]               // written meanwhile
    jne 5b
    test rax, rax               // a clock since boot would be negative: it stands at zero
    jns 4f
    xor eax, eax
4:  stc
    ret
6:  pause
    jmp 5b
7:  clc
    ret

ordeal_clock_gettime:
    endbr64
    push rbx
    push r12
    sub rsp, 8
    mov ebx, edi
    mov r12, rsi
    call ordeal_clock_start + 0x800
    test eax, eax
    jnz 8f
    lea r8, [rip + ordeal_clock_start + 0x1000]
    cmp ebx, 11
    ja 9f
    mov eax, 1
    mov ecx, ebx
    shl eax, cl
    test eax, 0x821             // REALTIME 0, REALTIME_COARSE 5, TAI 11
    jz 2f
    lea r9, [r8 + 16]
    mov r10d, 1
    jmp 3f
2:  test eax, 0xd2              // MONOTONIC 1, _RAW 4, _COARSE 6, BOOTTIME 7
    jz 9f
    lea r9, [r8 + 40]
    mov r10d, 2
3:  imul rcx, [r12], 1000000000
    add rcx, [r12 + 8]
    call .Lordeal_skewed
    jnc 9f
    xor edx, edx
    mov ecx, 1000000000
    div rcx
    mov [r12], rax
    mov [r12 + 8], rdx
9:  xor eax, eax
8:  add rsp, 8
    pop r12
    pop rbx
    ret

ordeal_gettimeofday:
    endbr64
    push rbx
    push r12
    sub rsp, 8
    mov r12, rdi
    call ordeal_clock_start + 0x880
    test eax, eax
    jnz 9f
    test r12, r12
    jz 9f
    lea r8, [rip + ordeal_clock_start + 0x1000]
    lea r9, [r8 + 16]
    mov r10d, 1
    imul rcx, [r12], 1000000000
    imul rax, [r12 + 8], 1000
    add rcx, rax
    call .Lordeal_skewed
    mov ecx, 1000000000
    jnc 8f
    xor edx, edx
    div rcx
    mov [r12], rax
    mov rax, rdx
    xor edx, edx
    mov ecx, 1000
    div rcx
    mov [r12 + 8], rax
8:  xor eax, eax
9:  add rsp, 8
    pop r12
    pop rbx
    ret

ordeal_time:
    endbr64
    push rbx
    sub rsp, 16
    mov rbx, rdi
    mov edi, 5
    mov rsi, rsp
    call ordeal_clock_gettime
    mov rax, [rsp]
    test rbx, rbx
    jz 2f
    mov [rbx], rax
2:  add rsp, 16
    pop rbx
    ret

ordeal_clock_read:
    xor r13d, r13d              // CLOCK_REALTIME, then CLOCK_MONOTONIC
5:  mov eax, 228                // clock_gettime
    mov edi, r13d
    mov rsi, r12
    syscall
    mov edi, r13d
    lea rsi, [r12 + 16]
    call rbx
    mov eax, 228
    mov edi, r13d
    lea rsi, [r12 + 32]
    syscall
    add r12, 48
    inc r13d
    cmp r13d, 2
    jb 5b
    int3

ordeal_clock_set_up:
    mov ebx, 1
    mov eax, 257                // openat(AT_FDCWD, scratch, O_CLOEXEC)
    mov rdi, -100
    lea rsi, [r12 + 0x2000]
    mov edx, 0x80000
    xor r10d, r10d
    syscall
    test rax, rax
    js 9f
    mov r13, rax
    mov ebx, 2
    mov eax, 9                  // mmap(control, 0x1000, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0)
    lea rdi, [r12 + 0x1000]
    mov esi, 0x1000
    mov edx, 1
    mov r10d, 0x11
    mov r8, r13
    xor r9d, r9d
    syscall
    mov r14, rax
    mov eax, 3                  // close(fd)
    mov rdi, r13
    syscall
    mov rax, r14
    test rax, rax
    js 9f
    mov ebx, 3
    mov eax, 10                 // mprotect(scratch, 0x1000, PROT_READ | PROT_WRITE)
    lea rdi, [r12 + 0x2000]
    mov esi, 0x1000
    mov edx, 3
    syscall
    test rax, rax
    jnz 9f
    xor ebx, ebx
9:  int3
ordeal_clock_end:
.popsection
"#
);
