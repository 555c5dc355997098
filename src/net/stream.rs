//! A non-blocking stream of bytes, TCP or Unix.

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::Shutdown;

#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    /// None any more.
    #[cfg(feature = "tls")]
    Closed,
}

impl Stream {
    pub(super) fn source(&mut self) -> &mut dyn Source {
        match self {
            Stream::Tcp(stream) => stream,
            Stream::Unix(stream) => stream,
            #[cfg(feature = "tls")]
            Stream::Closed => unreachable!("a closed stream is never registered"),
        }
    }

    /// Whether it is connected by now, after it was begun. Events may be spurious, so only the socket itself can tell.
    pub(super) fn progress(&self) -> io::Result<bool> {
        let (error, has_peer) = match self {
            Stream::Tcp(stream) => (stream.take_error()?, has_tcp_peer(stream)),
            Stream::Unix(stream) => (stream.take_error()?, stream.peer_addr().map(|_| ())),
            #[cfg(feature = "tls")]
            Stream::Closed => return Err(ErrorKind::NotConnected.into()),
        };
        match (error, has_peer) {
            (Some(error), _) => Err(error),
            (None, Ok(())) => Ok(true),
            (None, Err(error)) if error.kind() == ErrorKind::NotConnected => Ok(false),
            (None, Err(error)) => Err(error),
        }
    }

    /// Shuts our side: the peer sees the end behind the last byte.
    pub(super) fn shut_down(&self) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write),
            #[cfg(feature = "tls")]
            Stream::Closed => Ok(()),
        }
    }
}

impl Read for Stream {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(buffer),
            Stream::Unix(stream) => stream.read(buffer),
            #[cfg(feature = "tls")]
            Stream::Closed => Err(ErrorKind::NotConnected.into()),
        }
    }
}

impl Write for Stream {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.write(bytes),
            Stream::Unix(stream) => stream.write(bytes),
            #[cfg(feature = "tls")]
            Stream::Closed => Err(ErrorKind::NotConnected.into()),
        }
    }

    /// One slice goes out by `send`, which is cheaper than a vectored write of one.
    #[inline]
    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match (self, slices) {
            (stream, [one]) => stream.write(one),
            (Stream::Tcp(stream), many) => stream.write_vectored(many),
            (Stream::Unix(stream), many) => stream.write_vectored(many),
            #[cfg(feature = "tls")]
            (Stream::Closed, _) => Err(ErrorKind::NotConnected.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A port of this machine in the ephemeral range, where nobody listens, may be given to the very socket that dials it:
/// TCP then connects it to itself (RFC 9293, section 3.5, simultaneous open), and the server could not start again.
fn has_tcp_peer(stream: &TcpStream) -> io::Result<()> {
    if stream.peer_addr()? == stream.local_addr()? { Err(ErrorKind::ConnectionRefused.into()) } else { Ok(()) }
}
