//! The streams that rustls is handed in place of the real one, and the slices that it makes a record of.

use rustls::Connection;
use std::io::{self, ErrorKind, IoSlice, Read, Write};

/// Plaintext in one record of ours (RFC 8446, section 5.1).
pub(super) const RECORD_PLAINTEXT: usize = 16 << 10;
/// Slices that may go into one record; what is beyond them goes into the next.
const MAX_SLICES: usize = 32;
/// The first byte of a record that holds plaintext (RFC 5246, section 6.2.1); with TLS 1.3, of any that is encrypted.
const APPLICATION_DATA: u8 = 23;

/// The stream for one write of ciphertext, which notes how much it was offered.
pub(super) struct Outlet<'a, S> {
    stream: &'a mut S,
    pub(super) offered: usize,
}

impl<'a, S> Outlet<'a, S> {
    pub(super) fn new(stream: &'a mut S) -> Self {
        Self { stream, offered: 0 }
    }
}

impl<S: Write> Write for Outlet<'_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    /// One slice goes out by `send`, which is cheaper than a vectored write of one.
    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.offered = slices.iter().map(|slice| slice.len()).sum();
        match slices {
            [one] => self.stream.write(one),
            many => self.stream.write_vectored(many),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Takes nothing, and notes what it was offered.
#[derive(Default)]
pub(super) struct Scale {
    pub(super) bytes: usize,
    /// Of the last record.
    last_type: Option<u8>,
}

impl Scale {
    /// What waits for the stream: all of it, as a batch is far from the 64 pieces that rustls shows at once.
    pub(super) fn weigh(tls: &mut Connection) -> Self {
        let mut scale = Self::default();
        // It takes nothing, so it can't fail.
        let _ = tls.write_tls(&mut scale);
        scale
    }

    /// Whether the last record that waits holds plaintext, as far as the outside shows.
    pub(super) fn ends_with_plaintext(&self) -> bool {
        self.last_type == Some(APPLICATION_DATA)
    }
}

impl Write for Scale {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.bytes = slices.iter().map(|slice| slice.len()).sum();
        self.last_type = slices.last().and_then(|record| record.first().copied());
        Ok(0)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A stream with nothing to read.
pub(super) struct Nothing;

impl Read for Nothing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(ErrorKind::WouldBlock.into())
    }
}

/// What goes into the record that begins behind `skipped` bytes, and in how many slices.
pub(super) fn take_record<'a>(slices: &'a [IoSlice<'_>], mut skipped: usize) -> ([IoSlice<'a>; MAX_SLICES], usize) {
    let mut record = [IoSlice::new(&[]); MAX_SLICES];
    let (mut count, mut room) = (0, RECORD_PLAINTEXT);
    for slice in slices {
        let rest = slice.get(skipped..).unwrap_or_default();
        skipped = skipped.saturating_sub(slice.len());
        if room == 0 || count == MAX_SLICES {
            break;
        }
        if !rest.is_empty() {
            record[count] = IoSlice::new(&rest[..rest.len().min(room)]);
            room -= record[count].len();
            count += 1;
        }
    }
    (record, count)
}
