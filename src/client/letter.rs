//! Bytes that go out by themselves, before the first message of a connection or after its last one, and what the result
//! of a write means to whoever has more to send.

use std::io::{self, ErrorKind, IoSlice};

/// Bytes on their way to the socket of one connection. They don't outlive it.
#[derive(Debug, Default)]
pub(super) struct Letter {
    bytes: Vec<u8>,
    sent: usize,
}

impl Letter {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, sent: 0 }
    }

    /// Whether all of it has left.
    pub(super) fn is_sent(&self) -> bool {
        self.sent == self.bytes.len()
    }

    /// Sends what has not left, until `write` takes less than it was given.
    pub(super) fn flush(&mut self, mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>) -> io::Result<()> {
        let mut goes_on = true;
        while goes_on && !self.is_sent() {
            let rest = &self.bytes[self.sent..];
            let taken;
            (taken, goes_on) = outcome(rest.len(), write(&[IoSlice::new(rest)]))?;
            self.sent += taken;
        }
        Ok(())
    }
}

/// How many bytes left with a write that was given `offered`, and whether to write again without an event.
pub(super) fn outcome(offered: usize, result: io::Result<usize>) -> io::Result<(usize, bool)> {
    match result {
        Ok(0) => Err(ErrorKind::WriteZero.into()),
        Ok(taken) => {
            assert!(taken <= offered, "a write takes no more than it was given");
            Ok((taken, taken == offered))
        }
        Err(error) if error.kind() == ErrorKind::Interrupted => Ok((0, true)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok((0, false)),
        Err(error) => Err(error),
    }
}
