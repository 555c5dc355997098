//! Listening sockets: made once with everything their connections inherit.

use super::listen_url::ListenUrl;
use super::place::Place;
use super::stream::Stream;
use crate::gateway::Peer;
use mio::event::Source;
use mio::{Interest, Registry, Token};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

/// How a listening socket is made. Without the feature `socket-options` the system's defaults apply to both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenOptions {
    /// Connections that may wait to be accepted; the kernel cuts it to `net.core.somaxconn`. Default 4096.
    pub backlog: u32,
    /// Several processes may listen on the address; the kernel spreads connections over them. Default off.
    pub reuse_port: bool,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self { backlog: 4096, reuse_port: false }
    }
}

#[derive(Debug)]
pub(super) enum Listener {
    Tcp(mio::net::TcpListener),
    Unix(UnixListener),
}

/// A Unix socket that takes its file away when it is dropped.
#[derive(Debug)]
pub(super) struct UnixListener {
    listener: mio::net::UnixListener,
    path: PathBuf,
}

impl Listener {
    /// Binds and listens. A name is resolved once, and its first address taken.
    pub(super) fn bind(url: &ListenUrl, options: ListenOptions) -> io::Result<Self> {
        match &url.place {
            Place::Tcp(address) => {
                let address = address.to_socket_addrs()?.next();
                let address = address.ok_or_else(|| io::Error::other("the name has no address"))?;
                bind_tcp(address, options).map(Listener::Tcp)
            }
            Place::Unix(path) => UnixListener::bind(path).map(Listener::Unix),
        }
    }

    /// The place it really listens on.
    pub(super) fn url(&self, asked: &ListenUrl) -> io::Result<ListenUrl> {
        match self {
            Listener::Tcp(listener) => Ok(asked.at(listener.local_addr()?)),
            Listener::Unix(_) => Ok(asked.clone()),
        }
    }

    pub(super) fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Listener::Tcp(listener) => {
                let (stream, address) = listener.accept()?;
                // With socket options the listener has passed it on.
                #[cfg(not(feature = "socket-options"))]
                stream.set_nodelay(true)?;
                Ok((Stream::Tcp(stream), Peer::Tcp(address)))
            }
            Listener::Unix(UnixListener { listener, .. }) => {
                listener.accept().map(|(stream, _)| (Stream::Unix(stream), Peer::Unix))
            }
        }
    }

    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match self {
            Listener::Tcp(listener) => listener.register(registry, token, Interest::READABLE),
            Listener::Unix(unix) => unix.listener.register(registry, token, Interest::READABLE),
        }
    }
}

impl UnixListener {
    /// A socket file that nobody listens on any more is left over from a process that was killed, and is replaced.
    fn bind(path: &Path) -> io::Result<Self> {
        let bound = match mio::net::UnixListener::bind(path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_left_over(path) => {
                std::fs::remove_file(path)?;
                mio::net::UnixListener::bind(path)
            }
            bound => bound,
        };
        Ok(Self { listener: bound?, path: path.to_owned() })
    }
}

impl Drop for UnixListener {
    fn drop(&mut self) {
        // Somebody else may have removed it already.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn is_left_over(path: &Path) -> bool {
    let answer = std::os::unix::net::UnixStream::connect(path);
    answer.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

#[cfg(feature = "socket-options")]
fn bind_tcp(address: SocketAddr, options: ListenOptions) -> io::Result<mio::net::TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    if options.reuse_port {
        socket.set_reuse_port(true)?;
    }
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
    Ok(mio::net::TcpListener::from_std(socket.into()))
}

#[cfg(not(feature = "socket-options"))]
fn bind_tcp(address: SocketAddr, _: ListenOptions) -> io::Result<mio::net::TcpListener> {
    mio::net::TcpListener::bind(address)
}
