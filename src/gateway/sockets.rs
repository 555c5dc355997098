//! What a reactor asks of sockets, whatever they are. It knows no system.

use super::admission::Peer;
use super::id::ConnId;
use std::io::{self, ErrorKind, IoSlice};

/// Non-blocking sockets, known by the id of their connection. A closed or unknown id is an error or nothing.
pub trait Sockets {
    /// A socket that was accepted and has no id yet. Dropping it closes it.
    type Socket;

    /// The next peer that waits at a listener.
    fn accept(&mut self, listener: usize) -> io::Result<(Self::Socket, Peer)>;
    /// Takes a socket under an id; events for it come from now on.
    fn attach(&mut self, id: ConnId, socket: Self::Socket) -> io::Result<()>;
    /// Reads once.
    fn read(&mut self, id: ConnId, buffer: &mut [u8]) -> io::Result<Received>;
    /// Writes once, as a vectored write does. What encrypts may have taken up to 64 KiB more than it says; the next
    /// write offers those bytes again, in front.
    fn write(&mut self, id: ConnId, slices: &[IoSlice<'_>]) -> io::Result<usize>;
    /// Shuts our side, so that the peer sees the end after the last byte.
    fn shut_down(&mut self, id: ConnId);
    /// Closes it; nothing is heard of this id again.
    fn close(&mut self, id: ConnId);
    /// Takes it for a TLS stream that begins with these bytes: what is read and written from here on is what is inside.
    fn start_tls(&mut self, id: ConnId, first: &[u8]) -> io::Result<()> {
        let _ = (id, first);
        Err(ErrorKind::Unsupported.into())
    }
    /// It takes bytes again: lets TLS send what of its own waits.
    fn advance(&mut self, id: ConnId) -> io::Result<()> {
        let _ = id;
        Ok(())
    }
    /// Reads a little of what it keeps for this socket, so that it is in the cache when that is needed: where there are
    /// very many, before several of them are read from or written to. What it gives back means nothing.
    fn glance(&self, id: ConnId) -> usize {
        let _ = id;
        0
    }
}

impl Received {
    /// What a plain socket's read of `count` bytes into `room` says: a short one has emptied it.
    #[inline]
    pub fn of(count: usize, room: usize) -> Self {
        if count == 0 { Received::End } else { Received::Bytes { count, drained: count < room } }
    }
}

/// What one read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// Bytes; of an encrypted stream perhaps none.
    Bytes {
        /// How many.
        count: usize,
        /// Nothing is left to read, as far as can be told.
        drained: bool,
    },
    /// The peer's end.
    End,
}
