//! Where a dialer's stream goes to: found by name, and begun.

use super::dial_url::DialUrl;
use crate::net::place::Place;
use crate::net::stream::Stream;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

/// Where a socket can be connected to.
#[derive(Debug, Clone)]
pub(in crate::net) enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// Every address of the server, in the order that the system prefers. Blocks while a name is looked up.
pub(in crate::net) fn resolve(url: &DialUrl) -> Result<Vec<Address>, ErrorKind> {
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

impl Address {
    /// Begins to connect, registered for all there is to know about it.
    pub(in crate::net) fn connect(&self, registry: &Registry, token: Token) -> io::Result<Stream> {
        let mut stream = match self {
            Address::Tcp(address) => Stream::Tcp(TcpStream::connect(*address)?),
            Address::Unix(path) => Stream::Unix(UnixStream::connect(path)?),
        };
        if let Stream::Tcp(stream) = &stream {
            // Without it heartbeats and short messages may wait for the server's delayed acknowledgement.
            stream.set_nodelay(true)?;
        }
        stream.source().register(registry, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(stream)
    }
}
