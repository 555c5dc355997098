//! Sockets without a kernel: whoever reads finds the same bytes, and what is written is counted and forgotten.

use std::io::{self, ErrorKind, IoSlice};
use std::mem;
use tidegate::gateway::{ConnId, Peer, Received, Sockets};

/// Sockets of any number of peers, all of which say the same.
///
/// A read copies what is said, as a kernel would; a write looks at nothing but lengths. So what remains is ours.
#[derive(Debug, Default)]
pub struct Stub {
    waiting: usize,
    /// Connections that were accepted, and not taken note of.
    pub opened: Vec<ConnId>,
    said: Vec<u8>,
    has_ended: bool,
    kept: Option<Vec<u8>>,
    sent_bytes: usize,
}

impl Stub {
    /// So many peers wait to be accepted.
    pub fn knock(&mut self, peers: usize) {
        self.waiting += peers;
    }

    /// What every read finds from now on.
    pub fn say(&mut self, bytes: &[u8]) {
        assert!(bytes.len() < 64 << 10, "one read takes it, and knows that it was all");
        self.said.clear();
        self.said.extend_from_slice(bytes);
        self.has_ended = false;
    }

    /// Every read finds the peer's end from now on.
    pub fn end(&mut self) {
        self.has_ended = true;
    }

    /// Keeps what is written from now on.
    pub fn keep(&mut self) {
        self.kept = Some(Vec::new());
    }

    /// What was written since [`Stub::keep`]; nothing is kept any more.
    pub fn take_kept(&mut self) -> Vec<u8> {
        self.kept.take().unwrap_or_default()
    }

    /// Bytes written since this was last asked.
    pub fn take_sent_bytes(&mut self) -> usize {
        mem::take(&mut self.sent_bytes)
    }
}

impl Sockets for Stub {
    type Socket = ();

    fn accept(&mut self, _: usize) -> io::Result<((), Peer)> {
        self.waiting = self.waiting.checked_sub(1).ok_or(ErrorKind::WouldBlock)?;
        Ok(((), Peer::Tcp(([192, 0, 2, 1], 40_000).into())))
    }

    fn attach(&mut self, id: ConnId, (): ()) -> io::Result<()> {
        self.opened.push(id);
        Ok(())
    }

    fn read(&mut self, _: ConnId, buffer: &mut [u8]) -> io::Result<Received> {
        if self.has_ended {
            return Ok(Received::End);
        }
        buffer[..self.said.len()].copy_from_slice(&self.said);
        Ok(Received::of(self.said.len(), buffer.len()))
    }

    fn write(&mut self, _: ConnId, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if let Some(kept) = &mut self.kept {
            slices.iter().for_each(|slice| kept.extend_from_slice(slice));
        }
        let count = slices.iter().map(|slice| slice.len()).sum();
        self.sent_bytes += count;
        Ok(count)
    }

    fn shut_down(&mut self, _: ConnId) {}

    fn close(&mut self, _: ConnId) {}
}
