//! Where a swarm's connections go to and come from.

use crate::net::DialUrl;
use crate::net::dialer::address::{Address, resolve};
use crate::net::dialer::security::Security;
use crate::net::socket::Socket as Encrypted;
use crate::net::stream::Stream;
use crate::net::{DialError, UrlError};
use mio::net::{TcpStream, UnixStream};
use socket2::{Domain, Protocol, Socket, Type};
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, TcpStream as BlockingStream};
use std::path::Path;
use std::time::Duration;

/// The address that connections come from.
pub type Source = IpAddr;

/// A server, found by name.
#[derive(Debug)]
pub struct Target {
    url: DialUrl,
    address: Address,
    security: Security,
}

/// Why there is no such target.
#[derive(Debug)]
pub enum TargetError {
    /// What was asked for cannot be: a file or a name.
    Wrong(String),
    /// Nobody can be reached there.
    Unreachable(String),
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TargetError::Wrong(told) | TargetError::Unreachable(told) => f.write_str(told),
        }
    }
}

impl std::error::Error for TargetError {}

/// How long each of several addresses of a host is tried.
const PATIENCE: Duration = Duration::from_secs(3);

impl Target {
    /// Finds the server. Of several addresses the first that can be connected to is taken, which blocks.
    pub fn find(url: DialUrl, ca: Option<&Path>) -> Result<Self, TargetError> {
        let security = Security::new(&url, ca).map_err(|error| TargetError::Wrong(wrong(error)))?;
        let unreachable = |why: &str| TargetError::Unreachable(format!("cannot reach {url}: {why}"));
        let addresses = resolve(&url).map_err(|_| unreachable("its name is not known"))?;
        let chosen = match &addresses[..] {
            [one] => one,
            several => several
                .iter()
                .find(|address| answers(address))
                .ok_or_else(|| unreachable("none of its addresses can be connected to"))?,
        };
        Ok(Self { address: chosen.clone(), security, url })
    }

    /// How it was written.
    pub fn url(&self) -> &DialUrl {
        &self.url
    }

    /// Host and port, and the path with its query, as they stand in a request for a WebSocket.
    pub fn request(&self) -> (String, String) {
        (self.url.host().to_owned(), self.url.path().to_owned())
    }

    /// Its address, where it has one with a port.
    pub fn socket_address(&self) -> Option<SocketAddr> {
        match &self.address {
            Address::Tcp(address) => Some(*address),
            Address::Unix(_) => None,
        }
    }

    /// Begins to connect, from this address if one is given.
    pub(super) fn connect(&self, source: Option<Source>) -> io::Result<Stream> {
        match &self.address {
            Address::Tcp(address) => connect_tcp(*address, source).map(Stream::Tcp),
            Address::Unix(path) => UnixStream::connect(path).map(Stream::Unix),
        }
    }

    /// The stream, which is connected, with a TLS handshake before it where there is to be one.
    pub(super) fn secure(&self, stream: Stream) -> io::Result<Encrypted> {
        self.security.secure(stream)
    }
}

fn wrong(error: DialError) -> String {
    match error {
        DialError::Url(error) => UrlError::to_string(&error),
        error => error.to_string(),
    }
}

fn answers(address: &Address) -> bool {
    match address {
        Address::Tcp(address) => BlockingStream::connect_timeout(address, PATIENCE).is_ok(),
        Address::Unix(_) => true,
    }
}

fn connect_tcp(address: SocketAddr, source: Option<Source>) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    if let Some(source) = source {
        share_ports(&socket);
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    match socket.connect(&address.into()) {
        Err(error) if is_under_way(&error) => {}
        result => result?,
    }
    Ok(TcpStream::from_std(socket.into()))
}

fn is_under_way(error: &io::Error) -> bool {
    error.kind() == ErrorKind::WouldBlock || error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error())
}

/// Leaves the choice of the port to the connect, which knows the other end: one port then serves for each target.
#[cfg(target_os = "linux")]
fn share_ports(socket: &Socket) {
    // Kernels before 4.2 lack it; the bind then takes a port for all targets.
    let _ = nix::sys::socket::setsockopt(socket, nix::sys::socket::sockopt::IpBindAddressNoPort, &true);
}

#[cfg(not(target_os = "linux"))]
fn share_ports(_: &Socket) {}
