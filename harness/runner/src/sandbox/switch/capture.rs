//! The capture: every packet that enters the switch, once, in a file for `tcpdump -r` and Wireshark.
//!
//! The format is classic pcap with nanoseconds (draft-ietf-opsawg-pcap). A thread of its own writes it, so
//! that the switch never waits for a disk; what that thread cannot keep up with is left out, counted, and
//! told in the log.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use super::frame::{OFFLOAD_BYTES, complete};

/// So many packets may wait to be written.
const WAITING_MAX: usize = 8_192;
const MAGIC_NANOSECONDS: u32 = 0xa1b2_3c4d;
const VERSION: [u16; 2] = [2, 4];
/// Longer than any packet: none is cut off.
const SNAP_BYTES: u32 = 256 * 1024;
const LINKTYPE_ETHERNET: u32 = 1;

/// A packet on its way into the file.
#[derive(Debug)]
struct Captured {
    since_1970: Duration,
    frame: Vec<u8>,
}

/// The switch's end of a capture. The file is complete when it is dropped.
#[derive(Debug)]
pub(super) struct Capture {
    path: PathBuf,
    /// `None` only while it is dropped.
    packets: Option<SyncSender<Captured>>,
    left_out: u64,
    writer: Option<JoinHandle<()>>,
}

impl Capture {
    /// Creates the file and starts the thread that writes it.
    ///
    /// # Errors
    /// What the file system said.
    pub(super) fn create(path: &Path) -> std::io::Result<Self> {
        let mut file = BufWriter::new(File::create_new(path)?);
        file.write_all(&file_header())?;
        file.flush()?;
        let (packets, waiting) = sync_channel(WAITING_MAX);
        let named = path.to_owned();
        let work = move || match write_all(file, &waiting) {
            Ok(written) => tracing::info!(packets = written, capture = %named.display(), "captured"),
            Err(error) => tracing::warn!(%error, capture = %named.display(), "the capture ends early"),
        };
        let writer = std::thread::Builder::new().name("ordeal-capture".to_owned()).spawn(work)?;
        Ok(Capture { path: path.to_owned(), packets: Some(packets), left_out: 0, writer: Some(writer) })
    }

    /// Takes a frame down. Never waits.
    pub(super) fn take(&mut self, frame: &[u8]) {
        let Some(packets) = &self.packets else {
            return;
        };
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        match packets.try_send(Captured { since_1970, frame: frame.to_vec() }) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => self.left_out += 1,
        }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        // The thread writes what still waits, and ends.
        self.packets = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
        if self.left_out > 0 {
            let (packets, capture) = (self.left_out, self.path.display());
            tracing::warn!(packets, %capture, "packets are missing from the capture: the disk was too slow");
        }
    }
}

/// Writes packets until no more can come. The answer is how many.
fn write_all(mut file: BufWriter<File>, packets: &Receiver<Captured>) -> std::io::Result<u64> {
    let mut written = 0;
    loop {
        let packet = match packets.try_recv() {
            Ok(packet) => packet,
            Err(TryRecvError::Disconnected) => break,
            Err(TryRecvError::Empty) => {
                // A quiet moment: what has been seen is in the file even if the harness is killed.
                file.flush()?;
                match packets.recv() {
                    Ok(packet) => packet,
                    Err(_) => break,
                }
            }
        };
        write_packet(&mut file, packet)?;
        written += 1;
    }
    file.flush()?;
    Ok(written)
}

/// In the byte order of the machine, from which readers learn what it is.
fn file_header() -> Vec<u8> {
    let mut header = MAGIC_NANOSECONDS.to_ne_bytes().to_vec();
    VERSION.iter().for_each(|number| header.extend(number.to_ne_bytes()));
    // Two fields without meaning, then the longest packet.
    [0, 0, SNAP_BYTES, LINKTYPE_ETHERNET].iter().for_each(|field| header.extend(field.to_ne_bytes()));
    header
}

fn write_packet(file: &mut impl Write, packet: Captured) -> std::io::Result<()> {
    let Captured { since_1970, mut frame } = packet;
    complete(&mut frame);
    let bytes = frame.get(OFFLOAD_BYTES..).unwrap_or_default();
    let length = bytes.len() as u32;
    for field in [since_1970.as_secs() as u32, since_1970.subsec_nanos(), length, length] {
        file.write_all(&field.to_ne_bytes())?;
    }
    file.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::frame::tests::frame;
    use super::*;

    #[test]
    fn every_packet_is_in_the_file_in_order_without_the_header_about_offloads() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("packets.pcap");
        let frames: Vec<Vec<u8>> =
            (0..50_u8).map(|i| frame(i % 2 == 0, &vec![i; 1 + usize::from(i)])).collect();
        let mut capture = Capture::create(&path).expect("a file");
        frames.iter().for_each(|frame| capture.take(frame));
        drop(capture);
        let bytes = std::fs::read(&path).expect("the file");
        let field =
            |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize;
        assert_eq!((field(0), field(20)), (MAGIC_NANOSECONDS as usize, 1));
        let (mut at, mut found) = (24, Vec::new());
        while at < bytes.len() {
            assert!(field(at + 4) < 1_000_000_000 && field(at + 8) == field(at + 12));
            found.push(bytes[at + 16..at + 16 + field(at + 8)].to_vec());
            at += 16 + field(at + 8);
        }
        let expected: Vec<Vec<u8>> = frames.iter().map(|frame| frame[OFFLOAD_BYTES..].to_vec()).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_file_that_cannot_be_made_is_an_error() {
        assert!(Capture::create(Path::new("/nonexistent/packets.pcap")).is_err());
    }
}
