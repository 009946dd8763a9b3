//! The ring of slots through which the kernel hands frames over, version 2 of its layout.
//!
//! Invariant: a slot belongs to the kernel or to the switch, as the first word in it says. Each side writes
//! that word last, and only the owner touches the rest.

use std::ffi::c_void;
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::errno::Errno;
use nix::libc;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use super::port::set;

/// Room for the longest frame of a cable (1,514 bytes) with what the kernel says about it.
pub(super) const SLOT_BYTES: usize = 2_048;
const SLOTS: usize = 2_048;
const BYTES: usize = SLOT_BYTES * SLOTS;
/// The kernel allocates in pieces of so many bytes.
const BLOCK_BYTES: usize = 64 * 1024;

/// A slot that is the switch's.
pub(super) struct Slot<'a> {
    bytes: &'a [u8],
    start: usize,
    kept: usize,
    whole: bool,
}

impl Slot<'_> {
    /// The frame, and so many bytes before it; nothing if it is not all there.
    pub(super) fn bytes(&self, before: usize) -> &[u8] {
        let frame = self.start.saturating_sub(before)..self.start + self.kept;
        self.bytes.get(frame).filter(|_| self.whole).unwrap_or_default()
    }
}

/// The ring of a packet socket.
#[derive(Debug)]
pub(super) struct Ring {
    memory: NonNull<c_void>,
    next: usize,
}

// SAFETY: the memory is mapped for the whole process, and only the owner of the ring reads it.
unsafe impl Send for Ring {}

impl Ring {
    /// Gives the socket a ring.
    pub(super) fn of(socket: &OwnedFd) -> nix::Result<Self> {
        set(socket, libc::PACKET_VERSION, libc::tpacket_versions::TPACKET_V2)?;
        let request = libc::tpacket_req {
            tp_block_size: BLOCK_BYTES as u32,
            tp_block_nr: (BYTES / BLOCK_BYTES) as u32,
            tp_frame_size: SLOT_BYTES as u32,
            tp_frame_nr: SLOTS as u32,
        };
        set(socket, libc::PACKET_RX_RING, request)?;
        let length = NonZeroUsize::new(BYTES).ok_or(Errno::EINVAL)?;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping wherever there is room takes no memory away from anybody.
        let memory = unsafe { mmap(None, length, access, MapFlags::MAP_SHARED, socket, 0) }?;
        Ok(Ring { memory, next: 0 })
    }

    /// Takes the next frame out, if there is one, and gives its slot back to the kernel.
    pub(super) fn take<T>(&mut self, take: impl FnOnce(Slot<'_>) -> T) -> Option<T> {
        // SAFETY: `next` is below the number of slots, so this is within the mapping.
        let start = unsafe { self.memory.cast::<u8>().add(self.next * SLOT_BYTES) };
        // SAFETY: the slot begins with a word that the kernel writes as a whole, at an aligned address; it
        // lives as long as the mapping.
        let status = unsafe { AtomicU32::from_ptr(start.cast().as_ptr()) };
        if status.load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
            return None;
        }
        // SAFETY: the slot is ours until the word says otherwise, begins with this structure, and is aligned.
        let header = unsafe { start.cast::<libc::tpacket2_hdr>().read() };
        // SAFETY: the slot is ours until the word says otherwise: nobody writes to it while this lives.
        let bytes = unsafe { std::slice::from_raw_parts(start.as_ptr(), SLOT_BYTES) };
        let slot = Slot {
            bytes,
            start: usize::from(header.tp_mac),
            kept: header.tp_snaplen as usize,
            whole: header.tp_snaplen == header.tp_len,
        };
        let taken = take(slot);
        status.store(libc::TP_STATUS_KERNEL, Ordering::Release);
        self.next = (self.next + 1) % SLOTS;
        Some(taken)
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: the mapping is the ring's own, of this length, and nothing borrows from it any more.
        let _ = unsafe { munmap(self.memory, BYTES) };
    }
}
