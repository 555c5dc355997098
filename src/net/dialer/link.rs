//! The dialer's one socket: opened, connected, read, written, closed. It decides nothing but which address is next.

use super::dial_url::DialUrl;
use super::socket::{Address, Socket, resolve};
use mio::event::Event;
use mio::{Registry, Token};
use std::io::{self, ErrorKind, IoSlice};
use std::vec;

/// This token and all above it are for the link's sockets.
pub(super) const FIRST_TOKEN: Token = Token(1);

/// At most one socket at any time, registered once, edge-triggered.
#[derive(Debug)]
pub(super) struct Link {
    url: DialUrl,
    registry: Registry,
    /// Grows with each socket, so that an event of one that is closed is nothing to the next.
    token: Token,
    attempts: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    Closed,
    Connecting { socket: Socket, others: Addresses },
    Connected { socket: Socket, input: Input },
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
    pub(super) fn new(url: DialUrl, registry: Registry) -> Self {
        Self { url, registry, token: FIRST_TOKEN, attempts: 0, state: State::Closed }
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
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Closed => {}
            State::Connecting { mut socket, .. } | State::Connected { mut socket, .. } => {
                // The poll forgets a descriptor that is closed; this only spares it the surprise.
                let _ = socket.deregister(&self.registry);
            }
        }
    }

    /// Notes what the poll says of the present socket.
    pub(super) fn on_event(&mut self, event: &Event) {
        if event.token() != self.token {
            return;
        }
        if let State::Connected { input, .. } = &mut self.state {
            if event.is_read_closed() || event.is_error() {
                *input = Input::Last;
            } else if event.is_readable() && *input == Input::None {
                *input = Input::Some;
            }
        }
    }

    /// Whether [`Link::look`] has something to find without a further event.
    pub(super) fn has_input(&self) -> bool {
        match self.state {
            State::Connected { input, .. } => input != Input::None,
            State::Connecting { .. } | State::Closed => false,
        }
    }

    /// Finds out how the attempt goes, or reads once.
    pub(super) fn look(&mut self, buffer: &mut [u8]) -> Found {
        match &mut self.state {
            State::Closed => Found::Nothing,
            State::Connecting { .. } => self.look_at_attempt(),
            State::Connected { input: Input::None, .. } => Found::Nothing,
            State::Connected { socket, input } => read(socket, input, buffer),
        }
    }

    /// Writes once.
    pub(super) fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match &mut self.state {
            State::Connected { socket, .. } => socket.write(slices),
            State::Connecting { .. } | State::Closed => Err(ErrorKind::WouldBlock.into()),
        }
    }

    fn begin(&mut self, mut addresses: Vec<Address>) -> Result<(), ErrorKind> {
        let count = addresses.len().max(1);
        addresses.rotate_left(self.attempts % count);
        self.attempts = self.attempts.wrapping_add(1);
        self.connect_to_next(addresses.into_iter(), ErrorKind::AddrNotAvailable)
    }

    fn look_at_attempt(&mut self) -> Found {
        let State::Connecting { socket, others } = std::mem::replace(&mut self.state, State::Closed) else {
            return Found::Nothing;
        };
        match socket.progress() {
            Ok(true) => {
                // What came with the event that told of the connection has not been read.
                self.state = State::Connected { socket, input: Input::Last };
                Found::Connected
            }
            Ok(false) => {
                self.state = State::Connecting { socket, others };
                Found::Nothing
            }
            Err(error) => {
                self.state = State::Connecting { socket, others: Addresses::default() };
                self.close();
                self.connect_to_next(others, error.kind()).err().map_or(Found::Nothing, Found::ConnectFailed)
            }
        }
    }

    /// Tries addresses until one does not fail at once; `before` is how the one before them failed.
    fn connect_to_next(&mut self, mut others: Addresses, before: ErrorKind) -> Result<(), ErrorKind> {
        let mut failed = before;
        while let Some(address) = others.next() {
            self.token = Token(self.token.0.wrapping_add(1).max(FIRST_TOKEN.0));
            match Socket::open(&address, &self.registry, self.token) {
                Ok(socket) => {
                    self.state = State::Connecting { socket, others };
                    return Ok(());
                }
                Err(error) => failed = error.kind(),
            }
        }
        Err(failed)
    }
}

fn read(socket: &mut Socket, input: &mut Input, buffer: &mut [u8]) -> Found {
    match socket.read(buffer) {
        Ok(0) => Found::End,
        Ok(count) => {
            if count < buffer.len() && *input == Input::Some {
                *input = Input::None;
            }
            Found::Bytes(count)
        }
        Err(error) if error.kind() == ErrorKind::Interrupted => Found::Nothing,
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            *input = Input::None;
            Found::Nothing
        }
        Err(error) => Found::Failed(error.kind()),
    }
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
        let mut link = Link::new("127.0.0.1:1".parse().unwrap(), registry);
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
