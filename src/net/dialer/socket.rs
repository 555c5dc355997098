//! A non-blocking socket on its way to a server, TCP or Unix.

use super::dial_url::DialUrl;
use crate::net::place::Place;
use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

/// Where a socket can be connected to.
#[derive(Debug, Clone)]
pub(super) enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Every address of the server, in the order that the system prefers. Blocks while a name is looked up.
pub(super) fn resolve(url: &DialUrl) -> Result<Vec<Address>, ErrorKind> {
    match &url.place {
        Place::Unix(path) => Ok(vec![Address::Unix(path.clone())]),
        Place::Tcp(address) => match address.to_socket_addrs() {
            Ok(addresses) => Ok(addresses.map(Address::Tcp).collect()),
            Err(error) => {
                // Only the text says what is wrong; its kind is one that means nothing to people.
                log::warn!("{url}: {error}");
                Err(ErrorKind::AddrNotAvailable)
            }
        },
    }
}

impl Socket {
    /// Begins to connect, registered for all there is to know about it.
    pub(super) fn open(address: &Address, registry: &Registry, token: Token) -> io::Result<Self> {
        let mut socket = match address {
            Address::Tcp(address) => Socket::Tcp(TcpStream::connect(*address)?),
            Address::Unix(path) => Socket::Unix(UnixStream::connect(path)?),
        };
        if let Socket::Tcp(stream) = &socket {
            // Without it heartbeats and short messages may wait for the server's delayed acknowledgement.
            stream.set_nodelay(true)?;
        }
        socket.source().register(registry, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(socket)
    }

    pub(super) fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.source().deregister(registry)
    }

    /// Whether it is connected by now. Events may be spurious, so only the socket itself can tell.
    pub(super) fn progress(&self) -> io::Result<bool> {
        let (error, has_peer) = match self {
            Socket::Tcp(stream) => (stream.take_error()?, has_tcp_peer(stream)),
            Socket::Unix(stream) => (stream.take_error()?, stream.peer_addr().map(|_| ())),
        };
        match (error, has_peer) {
            (Some(error), _) => Err(error),
            (None, Ok(())) => Ok(true),
            (None, Err(error)) if error.kind() == ErrorKind::NotConnected => Ok(false),
            (None, Err(error)) => Err(error),
        }
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.read(buffer),
            Socket::Unix(stream) => stream.read(buffer),
        }
    }

    pub(super) fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.write_vectored(slices),
            Socket::Unix(stream) => stream.write_vectored(slices),
        }
    }

    fn source(&mut self) -> &mut dyn Source {
        match self {
            Socket::Tcp(stream) => stream,
            Socket::Unix(stream) => stream,
        }
    }
}

/// A port of this machine in the ephemeral range, where nobody listens, may be given to the very socket that dials it:
/// TCP then connects it to itself (RFC 9293, section 3.5, simultaneous open), and the server could not start again.
fn has_tcp_peer(stream: &TcpStream) -> io::Result<()> {
    if stream.peer_addr()? == stream.local_addr()? { Err(ErrorKind::ConnectionRefused.into()) } else { Ok(()) }
}
