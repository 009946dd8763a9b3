//! The bytes of a file: decompressed, as lines or one by one, with the number of the line they stand in.

use std::io::{self, BufRead, Read};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use crate::ReadError;

/// Read at a time.
const CHUNK: usize = 256 * 1024;
/// The longest line, or element of a list, that is held in memory.
pub(crate) const LONGEST: usize = 1 << 30;

/// A buffered file.
pub(crate) struct Source {
    inner: Box<dyn Read>,
    buffer: Vec<u8>,
    /// The unread bytes are `buffer[at..end]`.
    at: usize,
    end: usize,
    ended: bool,
    /// The number of the line in which the next byte stands.
    line: u64,
}

/// A line without its newline.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'s> {
    pub(crate) bytes: &'s [u8],
    pub(crate) number: u64,
    /// It ended with a newline: nobody cut it off.
    pub(crate) whole: bool,
}

impl Source {
    /// Wraps a file, looking at its first bytes for gzip and Zstandard.
    pub(crate) fn open(mut inner: Box<dyn Read>) -> Result<Source, ReadError> {
        let mut magic = [0; 4];
        let mut len = 0;
        while len < magic.len() {
            match inner.read(&mut magic[len..]) {
                Ok(0) => break,
                Ok(n) => len += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(unreadable(1, &e)),
            }
        }
        let magic = magic[..len].to_vec();
        let gzip = magic.starts_with(&[0x1f, 0x8b]);
        let zstd = magic == [0x28, 0xb5, 0x2f, 0xfd]
            || (len == 4 && magic[0] & 0xf0 == 0x50 && magic[1..] == [0x2a, 0x4d, 0x18]);
        let whole = io::BufReader::with_capacity(CHUNK, io::Cursor::new(magic).chain(inner));
        let inner: Box<dyn Read> = if gzip {
            Box::new(MultiGzDecoder::new(whole))
        } else if zstd {
            Box::new(Frames { inner: whole, decoder: FrameDecoder::new(), within_frame: false })
        } else {
            Box::new(whole)
        };
        let mut source = Source::plain(inner);
        // A byte order mark says nothing.
        if source.look(2)?.starts_with(&[0xef, 0xbb, 0xbf]) {
            source.at += 3;
        }
        Ok(source)
    }

    fn plain(inner: Box<dyn Read>) -> Source {
        Source { inner, buffer: Vec::new(), at: 0, end: 0, ended: false, line: 1 }
    }

    /// The number of the line in which the next byte stands.
    pub(crate) fn line_number(&self) -> u64 {
        self.line
    }

    /// Reads more; `false` at the end of the file.
    fn fill(&mut self) -> Result<bool, ReadError> {
        if self.ended {
            return Ok(false);
        }
        if self.at > 0 {
            self.buffer.copy_within(self.at..self.end, 0);
            self.end -= self.at;
            self.at = 0;
        }
        if self.end >= LONGEST {
            return Err(ReadError::new(self.line, "longer than 1 GiB"));
        }
        if self.buffer.len() < self.end + CHUNK {
            // A long line must not be copied again for every chunk of it.
            self.buffer.resize((2 * self.buffer.len()).max(2 * CHUNK), 0);
        }
        loop {
            match self.inner.read(&mut self.buffer[self.end..]) {
                Ok(0) => self.ended = true,
                Ok(n) => self.end += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(unreadable(self.line, &e)),
            }
            return Ok(!self.ended);
        }
    }

    /// The unread bytes, `more` after the first at least if the file has them.
    pub(crate) fn look(&mut self, more: usize) -> Result<&[u8], ReadError> {
        while self.end - self.at <= more && self.fill()? {}
        Ok(&self.buffer[self.at..self.end])
    }

    /// The byte that is `ahead` after the next one.
    #[inline]
    pub(crate) fn peek_at(&mut self, ahead: usize) -> Result<Option<u8>, ReadError> {
        if self.end - self.at <= ahead {
            self.look(ahead)?;
        }
        Ok(self.buffer[self.at..self.end].get(ahead).copied())
    }

    /// The next byte, which stays.
    #[inline]
    pub(crate) fn peek(&mut self) -> Result<Option<u8>, ReadError> {
        self.peek_at(0)
    }

    /// Takes the byte that was just seen.
    #[inline]
    pub(crate) fn skip(&mut self) {
        if let Some(&byte) = self.buffer[..self.end].get(self.at) {
            self.at += 1;
            self.line += u64::from(byte == b'\n');
        }
    }

    /// Takes the next byte.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<u8>, ReadError> {
        let byte = self.peek()?;
        self.skip();
        Ok(byte)
    }

    /// The next line; `None` at the end of the file.
    pub(crate) fn line(&mut self) -> Result<Option<Line<'_>>, ReadError> {
        let mut searched = 0;
        let (len, whole) = loop {
            let unread = &self.buffer[self.at..self.end];
            if let Some(found) = memchr::memchr(b'\n', &unread[searched..]) {
                break (searched + found, true);
            }
            searched = unread.len();
            if !self.fill()? {
                if searched == 0 {
                    return Ok(None);
                }
                break (searched, false);
            }
        };
        let (from, number) = (self.at, self.line);
        self.at += len + usize::from(whole);
        self.line += u64::from(whole);
        Ok(Some(Line { bytes: &self.buffer[from..from + len], number, whole }))
    }
}

fn unreadable(line: u64, error: &io::Error) -> ReadError {
    ReadError::new(line, format!("cannot be read: {error}"))
}

fn damaged() -> io::Error {
    io::Error::other("the compressed data is damaged or cut off")
}

/// A Zstandard file: frame after frame.
struct Frames<R> {
    inner: R,
    decoder: FrameDecoder,
    within_frame: bool,
}

impl<R: BufRead> Frames<R> {
    /// Begins the next frame that holds data; `false` at the end of the file.
    fn begin(&mut self) -> io::Result<bool> {
        while !self.inner.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.inner) {
                Ok(()) => {
                    self.within_frame = true;
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    io::copy(&mut (&mut self.inner).take(u64::from(length)), &mut io::sink())?;
                }
                Err(_) => return Err(damaged()),
            }
        }
        Ok(false)
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.within_frame || self.begin()? {
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                let one = BlockDecodingStrategy::UptoBlocks(1);
                self.decoder.decode_blocks(&mut self.inner, one).map_err(|_| damaged())?;
            }
            let n = self.decoder.read(out)?;
            if n > 0 || out.is_empty() {
                return Ok(n);
            }
            self.within_frame = false;
            let (said, found) =
                (self.decoder.get_checksum_from_data(), self.decoder.get_calculated_checksum());
            if said.is_some() && found.is_some() && said != found {
                return Err(io::Error::other("the checksum of the compressed data is wrong"));
            }
        }
        Ok(0)
    }
}
