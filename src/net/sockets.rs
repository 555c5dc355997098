//! The gateway's sockets: mio streams by connection, registered once and edge-triggered.

use super::listener::Listener;
use crate::gateway::{ConnId, Pages, Peer, Sockets};
use mio::event::Source;
use mio::{Interest, Registry, Token};
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::Shutdown;

/// One stream of bytes.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(mio::net::TcpStream),
    Unix(mio::net::UnixStream),
}

#[derive(Debug)]
pub(super) struct MioSockets {
    registry: Registry,
    listeners: Vec<Listener>,
    /// By slot. A slot's socket is closed before its id is forgotten, so the slot alone finds the right one.
    streams: Pages<(ConnId, Socket)>,
}

impl MioSockets {
    pub(super) fn new(registry: Registry) -> Self {
        Self { registry, listeners: Vec::new(), streams: Pages::default() }
    }

    pub(super) fn add_listener(&mut self, mut listener: Listener, token: Token) -> io::Result<()> {
        listener.register(&self.registry, token)?;
        self.listeners.push(listener);
        Ok(())
    }

    /// Stops listening: who waits to be accepted is refused by the system.
    pub(super) fn close_listeners(&mut self) {
        self.listeners.clear();
    }

    #[inline]
    fn stream(&mut self, id: ConnId) -> io::Result<&mut Socket> {
        match self.streams.get_mut(id.slot()) {
            Some((owner, socket)) if *owner == id => Ok(socket),
            _ => Err(ErrorKind::NotConnected.into()),
        }
    }
}

impl Sockets for MioSockets {
    type Socket = Socket;

    fn accept(&mut self, listener: usize) -> io::Result<(Socket, Peer)> {
        self.listeners.get(listener).ok_or(ErrorKind::NotConnected)?.accept()
    }

    fn attach(&mut self, id: ConnId, mut socket: Socket) -> io::Result<()> {
        let token = Token(usize::try_from(id.to_bits()).map_err(|_| ErrorKind::Unsupported)?);
        socket.register(&self.registry, token)?;
        self.streams.insert(id.slot(), (id, socket));
        Ok(())
    }

    #[inline]
    fn read(&mut self, id: ConnId, buffer: &mut [u8]) -> io::Result<usize> {
        match self.stream(id)? {
            Socket::Tcp(stream) => stream.read(buffer),
            Socket::Unix(stream) => stream.read(buffer),
        }
    }

    /// One slice goes out by `send`, which is cheaper than a vectored write of one.
    #[inline]
    fn write(&mut self, id: ConnId, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match (self.stream(id)?, slices) {
            (Socket::Tcp(stream), [one]) => stream.write(one),
            (Socket::Tcp(stream), many) => stream.write_vectored(many),
            (Socket::Unix(stream), [one]) => stream.write(one),
            (Socket::Unix(stream), many) => stream.write_vectored(many),
        }
    }

    fn shut_down(&mut self, id: ConnId) {
        // A peer that is gone by now shows in the next read.
        let _ = match self.stream(id) {
            Ok(Socket::Tcp(stream)) => stream.shutdown(Shutdown::Write),
            Ok(Socket::Unix(stream)) => stream.shutdown(Shutdown::Write),
            Err(_) => Ok(()),
        };
    }

    /// Closing the descriptor takes it out of the poll as well, as nothing holds a copy of it.
    fn close(&mut self, id: ConnId) {
        if self.stream(id).is_ok() {
            self.streams.remove(id.slot());
        }
    }
}

impl Socket {
    fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        match self {
            Socket::Tcp(stream) => stream.register(registry, token, interest),
            Socket::Unix(stream) => stream.register(registry, token, interest),
        }
    }
}
