//! The gateway's sockets: mio streams by connection, registered once and edge-triggered.

use super::listener::Listener;
use super::socket::{Scratch, Socket};
use super::stream::Stream;
#[cfg(feature = "tls")]
use super::tls::TlsServer;
use crate::gateway::{ConnId, Pages, Peer, Received, Sockets};
use mio::{Interest, Registry, Token};
use std::io::{self, ErrorKind, IoSlice};

#[derive(Debug)]
pub(super) struct MioSockets {
    registry: Registry,
    listeners: Vec<Listener>,
    /// By slot. A slot's socket is closed before its id is forgotten, so the slot alone finds the right one.
    streams: Pages<(ConnId, Socket)>,
    #[cfg(feature = "tls")]
    tls: Option<TlsServer>,
    scratch: Scratch,
}

impl MioSockets {
    pub(super) fn new(registry: Registry) -> Self {
        Self {
            registry,
            listeners: Vec::new(),
            streams: Pages::default(),
            #[cfg(feature = "tls")]
            tls: None,
            scratch: Scratch::default(),
        }
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

    #[cfg(feature = "tls")]
    pub(super) fn set_tls(&mut self, tls: TlsServer) {
        self.tls = Some(tls);
    }

    #[cfg(feature = "tls")]
    pub(super) fn tls_mut(&mut self) -> Option<&mut TlsServer> {
        self.tls.as_mut()
    }

    #[inline]
    fn socket(&mut self, id: ConnId) -> io::Result<&mut Socket> {
        match self.streams.get_mut(id.slot()) {
            Some((owner, socket)) if *owner == id => Ok(socket),
            _ => Err(ErrorKind::NotConnected.into()),
        }
    }
}

impl Sockets for MioSockets {
    type Socket = Stream;

    fn accept(&mut self, listener: usize) -> io::Result<(Stream, Peer)> {
        self.listeners.get(listener).ok_or(ErrorKind::NotConnected)?.accept()
    }

    fn attach(&mut self, id: ConnId, mut stream: Stream) -> io::Result<()> {
        let token = Token(usize::try_from(id.to_bits()).map_err(|_| ErrorKind::Unsupported)?);
        stream.source().register(&self.registry, token, Interest::READABLE | Interest::WRITABLE)?;
        self.streams.insert(id.slot(), (id, Socket::Plain(stream)));
        Ok(())
    }

    #[inline]
    fn read(&mut self, id: ConnId, buffer: &mut [u8]) -> io::Result<Received> {
        match self.streams.get_mut(id.slot()) {
            Some((owner, socket)) if *owner == id => socket.read(buffer, &mut self.scratch),
            _ => Err(ErrorKind::NotConnected.into()),
        }
    }

    #[inline]
    fn write(&mut self, id: ConnId, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.socket(id)?.write(slices)
    }

    #[inline]
    fn glance(&self, id: ConnId) -> usize {
        self.streams.get(id.slot()).map_or(0, |(owner, _)| owner.slot())
    }

    fn shut_down(&mut self, id: ConnId) {
        // A peer that is gone by now shows in the next read.
        let _ = self.socket(id).and_then(Socket::shut_down);
    }

    /// Closing the descriptor takes it out of the poll as well, as nothing holds a copy of it.
    fn close(&mut self, id: ConnId) {
        match self.socket(id) {
            Ok(Socket::Plain(_)) => {}
            #[cfg(feature = "tls")]
            Ok(Socket::Tls(encrypted)) => {
                let (stream, session) = &mut **encrypted;
                session.answer_end(stream);
            }
            Err(_) => return,
        }
        self.streams.remove(id.slot());
    }

    #[cfg(feature = "tls")]
    fn start_tls(&mut self, id: ConnId, first: &[u8]) -> io::Result<()> {
        let mut session = self.tls.as_ref().ok_or(ErrorKind::Unsupported)?.session()?;
        let socket = self.socket(id)?;
        let fed = session.feed(first);
        if let Socket::Plain(stream) = socket {
            // The server's part of the handshake, or the alert that says what is wrong.
            session.flush(stream).and(fed)?;
        }
        match std::mem::replace(socket, Socket::Plain(Stream::Closed)) {
            Socket::Plain(stream) => {
                *socket = Socket::Tls(Box::new((stream, session)));
                Ok(())
            }
            Socket::Tls(_) => Err(ErrorKind::Unsupported.into()),
        }
    }

    #[cfg(feature = "tls")]
    fn advance(&mut self, id: ConnId) -> io::Result<()> {
        self.socket(id)?.flush()
    }
}
