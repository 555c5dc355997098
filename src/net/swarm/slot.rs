//! One line on its socket: where it is on its way to being open, and what waits to be sent.

use crate::buffer::WriteQueue;
use crate::gateway::Received;
use crate::net::socket::{Scratch, Socket};
use crate::net::stream::Stream;
use mio::event::Event;
use std::io;

/// A line's place. Its serial number grows with each connection, so that an event of one that is closed is nothing to
/// the next.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) state: State,
    pub(super) serial: u64,
    pub(super) input: Input,
    pub(super) queue: WriteQueue,
    /// It has failed, or is on the list of those to be read on.
    pub(super) is_failed: bool,
    pub(super) is_listed: bool,
}

#[derive(Debug)]
pub(super) enum State {
    Closed,
    Connecting(Stream),
    Securing(Socket),
    Open(Socket),
}

/// What the poll has said about bytes to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    /// There are none until the next event.
    None,
    /// A read that comes back short empties the socket.
    Some,
    /// The end of the stream is there too and will not be told again: read on until it shows.
    Last,
}

impl Slot {
    pub(super) fn new() -> Self {
        Self {
            state: State::Closed,
            serial: 0,
            input: Input::None,
            queue: WriteQueue::default(),
            is_failed: false,
            is_listed: false,
        }
    }

    /// Notes what the poll says about bytes to read.
    #[inline]
    pub(super) fn note(&mut self, event: &Event) {
        if event.is_read_closed() || event.is_error() {
            self.input = Input::Last;
        } else if event.is_readable() && self.input == Input::None {
            self.input = Input::Some;
        }
    }

    /// Reads once, and notes whether there is more.
    #[inline]
    pub(super) fn read(&mut self, buffer: &mut [u8], scratch: &mut Scratch) -> io::Result<Received> {
        let (State::Open(socket) | State::Securing(socket)) = &mut self.state else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let received = socket.read(buffer, scratch);
        match &received {
            Ok(Received::Bytes { drained: true, .. }) if self.input == Input::Some => self.input = Input::None,
            Ok(Received::Bytes { .. }) => {}
            Ok(Received::End) | Err(_) => self.input = Input::None,
        }
        received
    }
}
