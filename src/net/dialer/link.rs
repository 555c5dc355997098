//! The dialer's one socket: opened, connected, read, written, closed. It decides nothing but which address is next.

use super::address::{Address, resolve};
use super::dial_url::DialUrl;
use super::security::Security;
use crate::gateway::Received;
use crate::net::socket::{Scratch, Socket};
use crate::net::stream::Stream;
use mio::event::Event;
use mio::{Registry, Token};
use std::borrow::BorrowMut;
use std::io::{self, ErrorKind, IoSlice};
use std::{mem, vec};

/// This token and all above it are for the link's sockets.
pub(super) const FIRST_TOKEN: Token = Token(1);

/// At most one socket at any time, registered once, edge-triggered.
#[derive(Debug)]
pub(super) struct Link {
    url: DialUrl,
    security: Security,
    registry: Registry,
    /// Grows with each socket, so that an event of one that is closed is nothing to the next.
    token: Token,
    attempts: usize,
    state: State,
    scratch: Scratch,
}

#[derive(Debug)]
enum State {
    Closed,
    Connecting {
        stream: Stream,
        others: Addresses,
    },
    /// The stream is connected; the TLS handshake is not complete.
    Securing {
        socket: Socket,
        input: Input,
        others: Addresses,
    },
    /// What came with the end of the TLS handshake has still to be given.
    Connected {
        socket: Socket,
        input: Input,
        early: Vec<u8>,
    },
}

/// Addresses of the host that this attempt has not tried.
type Addresses = vec::IntoIter<Address>;

/// What the poll has said about bytes to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Input {
    /// There are none until the next event.
    None,
    /// A read that comes back short empties the socket.
    Some,
    /// The end of the stream is there too and will not be told again: read on until it shows.
    Last,
}

/// What a look at the socket found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing to act on.
    Nothing,
    /// The attempt succeeded.
    Connected,
    /// The attempt failed at every address.
    ConnectFailed(ErrorKind),
    /// So many bytes were read.
    Bytes(usize),
    /// The peer closed its sending side.
    End,
    /// The connection failed.
    Failed(ErrorKind),
}

impl Link {
    pub(super) fn new(url: DialUrl, security: Security, registry: Registry) -> Self {
        let (token, scratch) = (FIRST_TOKEN, Scratch::default());
        Self { url, security, registry, token, attempts: 0, state: State::Closed, scratch }
    }

    /// Begins an attempt: each address of the host in turn, from another one each time, so that one that swallows every
    /// packet can't keep the others from their turn for ever.
    pub(super) fn connect(&mut self) -> Result<(), ErrorKind> {
        self.close();
        let addresses = resolve(&self.url)?;
        self.begin(addresses)
    }

    /// Leaves no socket.
    pub(super) fn close(&mut self) {
        match mem::replace(&mut self.state, State::Closed) {
            State::Closed => {}
            State::Connecting { stream, .. } => self.forget(stream),
            State::Securing { mut socket, .. } => self.forget(socket.stream_mut()),
            State::Connected { mut socket, .. } => {
                // A server that is gone by now needs no end of ours.
                let _ = socket.shut_down();
                self.forget(socket.stream_mut());
            }
        }
    }

    /// Notes what the poll says of the present socket.
    pub(super) fn on_event(&mut self, event: &Event) {
        if event.token() != self.token {
            return;
        }
        if let State::Securing { input, .. } | State::Connected { input, .. } = &mut self.state {
            if event.is_read_closed() || event.is_error() {
                *input = Input::Last;
            } else if event.is_readable() && *input == Input::None {
                *input = Input::Some;
            }
        }
    }

    /// Whether [`Link::look`] has something to find without a further event.
    pub(super) fn has_input(&self) -> bool {
        match &self.state {
            State::Securing { input, .. } => *input != Input::None,
            State::Connected { input, early, .. } => *input != Input::None || !early.is_empty(),
            State::Connecting { .. } | State::Closed => false,
        }
    }

    /// Finds out how the attempt goes, or reads once.
    pub(super) fn look(&mut self, buffer: &mut [u8]) -> Found {
        match &mut self.state {
            State::Closed => Found::Nothing,
            State::Connecting { .. } => self.look_at_attempt(),
            State::Securing { .. } => self.look_at_handshake(buffer),
            State::Connected { early, .. } if !early.is_empty() => Found::Bytes(take_front(early, buffer)),
            State::Connected { socket, input, .. } => {
                read(socket, input, &mut self.scratch, buffer).unwrap_or_else(|error| Found::Failed(self.kind(&error)))
            }
        }
    }

    /// Writes once. What was offered and not taken has to be offered again, with or without more behind it.
    pub(super) fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match &mut self.state {
            State::Connected { socket, .. } => socket.write(slices),
            State::Securing { .. } | State::Connecting { .. } | State::Closed => Err(ErrorKind::WouldBlock.into()),
        }
    }

    /// Writes what TLS has to say by itself. Only where nothing was offered and not taken: what leaves here is told to
    /// nobody.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        match &mut self.state {
            State::Connected { socket, .. } => socket.flush(),
            State::Securing { .. } | State::Connecting { .. } | State::Closed => Ok(()),
        }
    }

    fn begin(&mut self, mut addresses: Vec<Address>) -> Result<(), ErrorKind> {
        let count = addresses.len().max(1);
        addresses.rotate_left(self.attempts % count);
        self.attempts = self.attempts.wrapping_add(1);
        self.connect_to_next(addresses.into_iter(), ErrorKind::AddrNotAvailable)
    }

    fn look_at_attempt(&mut self) -> Found {
        let State::Connecting { stream, others } = mem::replace(&mut self.state, State::Closed) else {
            return Found::Nothing;
        };
        match stream.progress() {
            Ok(true) => self.on_reached(stream, others),
            Ok(false) => {
                self.state = State::Connecting { stream, others };
                Found::Nothing
            }
            Err(error) => {
                self.forget(stream);
                self.go_on(others, &error)
            }
        }
    }

    fn on_reached(&mut self, stream: Stream, others: Addresses) -> Found {
        // What came with the event that told of the connection has not been read.
        let input = Input::Last;
        match self.security.secure(stream) {
            Ok(socket) if socket.is_handshaking() => {
                self.state = State::Securing { socket, input, others };
                Found::Nothing
            }
            Ok(socket) => {
                self.state = State::Connected { socket, input, early: Vec::new() };
                Found::Connected
            }
            Err(error) => self.go_on(others, &error),
        }
    }

    fn look_at_handshake(&mut self, buffer: &mut [u8]) -> Found {
        let State::Securing { mut socket, mut input, others } = mem::replace(&mut self.state, State::Closed) else {
            return Found::Nothing;
        };
        let found = socket.flush().and_then(|()| read(&mut socket, &mut input, &mut self.scratch, buffer));
        let early = if let Ok(Found::Bytes(count)) = &found { buffer[..*count].to_vec() } else { Vec::new() };
        match found {
            Ok(_) if !socket.is_handshaking() => {
                self.state = State::Connected { socket, input, early };
                Found::Connected
            }
            Ok(Found::End) => {
                self.forget(socket.stream_mut());
                self.go_on(others, &ErrorKind::UnexpectedEof.into())
            }
            Ok(_) => {
                self.state = State::Securing { socket, input, others };
                Found::Nothing
            }
            Err(error) => {
                self.forget(socket.stream_mut());
                self.go_on(others, &error)
            }
        }
    }

    /// Tries the next address after one that failed so.
    fn go_on(&mut self, others: Addresses, error: &io::Error) -> Found {
        let kind = self.kind(error);
        self.connect_to_next(others, kind).err().map_or(Found::Nothing, Found::ConnectFailed)
    }

    /// Tries addresses until one does not fail at once; `before` is how the one before them failed.
    fn connect_to_next(&mut self, mut others: Addresses, before: ErrorKind) -> Result<(), ErrorKind> {
        let mut failed = before;
        while let Some(address) = others.next() {
            self.token = Token(self.token.0.wrapping_add(1).max(FIRST_TOKEN.0));
            match address.connect(&self.registry, self.token) {
                Ok(stream) => {
                    self.state = State::Connecting { stream, others };
                    return Ok(());
                }
                Err(error) => failed = error.kind(),
            }
        }
        Err(failed)
    }

    /// The poll forgets a descriptor that is closed; this only spares it the surprise.
    fn forget(&self, mut stream: impl BorrowMut<Stream>) {
        let _ = stream.borrow_mut().source().deregister(&self.registry);
    }

    /// What kind of error it is. Where TLS is refused only the text says why.
    fn kind(&self, error: &io::Error) -> ErrorKind {
        if error.kind() == ErrorKind::InvalidData {
            log::warn!("{}: {error}", self.url);
        }
        error.kind()
    }
}

fn read(socket: &mut Socket, input: &mut Input, scratch: &mut Scratch, buffer: &mut [u8]) -> io::Result<Found> {
    if *input == Input::None {
        return Ok(Found::Nothing);
    }
    match socket.read(buffer, scratch) {
        Ok(Received::End) => Ok(Found::End),
        Ok(Received::Bytes { count, drained }) => {
            if drained && *input == Input::Some {
                *input = Input::None;
            }
            Ok(Found::Bytes(count))
        }
        Err(error) if error.kind() == ErrorKind::Interrupted => Ok(Found::Nothing),
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            *input = Input::None;
            Ok(Found::Nothing)
        }
        Err(error) => Err(error),
    }
}

/// Moves as many bytes as there is room for.
fn take_front(bytes: &mut Vec<u8>, buffer: &mut [u8]) -> usize {
    let count = bytes.len().min(buffer.len());
    buffer[..count].copy_from_slice(&bytes[..count]);
    bytes.drain(..count);
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::{Events, Poll};
    use std::net::TcpListener;
    use std::time::Duration;

    fn listen() -> (TcpListener, Address) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address::Tcp(listener.local_addr().unwrap());
        (listener, address)
    }

    /// How an attempt to connect to one of `addresses` ends.
    fn attempt(link: &mut Link, poll: &mut Poll, addresses: &[&Address]) -> Found {
        link.close();
        link.begin(addresses.iter().map(|&address| address.clone()).collect()).unwrap();
        let mut events = Events::with_capacity(8);
        loop {
            poll.poll(&mut events, Some(Duration::from_secs(5))).unwrap();
            assert!(!events.is_empty(), "nothing comes of it");
            match link.look(&mut [0]) {
                Found::Nothing => {}
                found => return found,
            }
        }
    }

    #[test]
    fn addresses_are_tried_in_turn_from_another_one_each_time() {
        let mut poll = Poll::new().unwrap();
        let registry = poll.registry().try_clone().unwrap();
        let mut link = Link::new("127.0.0.1:1".parse().unwrap(), Security::default(), registry);
        let ((one, first), (two, second)) = (listen(), listen());
        let is_reached = |listener: &TcpListener| {
            listener.set_nonblocking(true).unwrap();
            listener.accept().is_ok()
        };
        assert_eq!(attempt(&mut link, &mut poll, &[&first, &second]), Found::Connected);
        assert!(is_reached(&one) && !is_reached(&two));
        assert_eq!(attempt(&mut link, &mut poll, &[&first, &second]), Found::Connected);
        assert!(!is_reached(&one) && is_reached(&two));
        drop(one);
        assert_eq!(
            attempt(&mut link, &mut poll, &[&first, &second]),
            Found::Connected,
            "the second, where the first refuses"
        );
        assert!(is_reached(&two));
        drop(two);
        let refused = Found::ConnectFailed(ErrorKind::ConnectionRefused);
        assert_eq!(attempt(&mut link, &mut poll, &[&first, &second]), refused);
    }
}
