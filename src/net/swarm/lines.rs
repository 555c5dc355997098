//! The lines of a swarm: mio streams by number, registered once and edge-triggered, read once an event.

use super::slot::{Input, Slot, State};
use super::target::{Source, Target};
use super::{LINE_BITS, Token};
use crate::buffer::Pool;
use crate::gateway::Received;
use crate::load::{End, Lines, Play, tame};
use crate::net::clock::Clock;
use crate::net::socket::{Scratch, Socket};
use crate::net::stream::Stream;
use bytes::Bytes;
use mio::event::Event;
use mio::{Interest, Registry};
use socket2::SockRef;
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind, IoSlice};
use std::mem;
use std::time::Duration;

/// Connections by number, each on its socket.
pub struct SocketLines {
    registry: Registry,
    targets: Vec<Target>,
    sources: Vec<Source>,
    slots: Vec<Slot>,
    pool: Pool,
    scratch: Scratch,
    buffer: Vec<u8>,
    /// Ends that have not been told, with the serial number of the connection.
    ended: VecDeque<(usize, u64, End)>,
    /// Lines of which a read did not take all.
    unread: VecDeque<usize>,
}

/// Bytes of one read.
const READ_BYTES: usize = 64 << 10;
/// Bytes of free buffers kept for what sockets refuse.
const KEPT_BYTES: usize = 4 << 20;

impl SocketLines {
    pub(super) fn new(registry: Registry, targets: Vec<Target>, sources: Vec<Source>, lines: usize) -> Self {
        Self {
            registry,
            targets,
            sources,
            slots: (0..lines).map(|_| Slot::new()).collect(),
            pool: Pool::new(KEPT_BYTES),
            scratch: Scratch::default(),
            buffer: vec![0; READ_BYTES],
            ended: VecDeque::new(),
            unread: VecDeque::new(),
        }
    }

    /// Whether some line has more to read, of which no event will tell.
    pub(super) fn has_unread(&self) -> bool {
        !self.unread.is_empty()
    }

    /// Acts on what the poll says of a line.
    #[inline]
    pub(super) fn on_event<P: Play>(&mut self, event: &Event, play: &mut P, clock: &Clock) {
        let (line, serial) = line_of(event.token());
        let Some(slot) = self.slots.get_mut(line).filter(|slot| slot.serial == serial) else {
            return;
        };
        slot.note(event);
        match &mut slot.state {
            State::Open(_) => {
                if event.is_writable() {
                    self.flush(line, play, clock);
                }
            }
            State::Connecting(_) => self.look_at_attempt(line, play, clock),
            State::Securing(socket) => {
                if let Err(error) = socket.flush() {
                    self.fail(line, tls_end(&error));
                }
            }
            State::Closed => {}
        }
        self.read(line, play, clock);
        self.settle(play, clock);
    }

    /// Reads once more from every line of which a read did not take all.
    pub(super) fn read_on<P: Play>(&mut self, play: &mut P, clock: &Clock) {
        for _ in 0..self.unread.len() {
            let Some(line) = self.unread.pop_front() else {
                return;
            };
            self.slots[line].is_listed = false;
            self.read(line, play, clock);
            self.settle(play, clock);
        }
    }

    /// Tells of the ends that were met meanwhile.
    #[inline]
    pub(super) fn settle<P: Play>(&mut self, play: &mut P, clock: &Clock) {
        while let Some((line, serial, end)) = self.ended.pop_front() {
            if self.slots[line].serial == serial && !matches!(self.slots[line].state, State::Closed) {
                self.close(line);
                play.on_ended(line, end, clock.moment(), self);
            }
        }
    }

    fn look_at_attempt<P: Play>(&mut self, line: usize, play: &mut P, clock: &Clock) {
        let State::Connecting(stream) = &self.slots[line].state else {
            return;
        };
        match stream.progress() {
            Ok(false) => {}
            Err(error) => self.fail(line, End::Unreachable(error.kind())),
            Ok(true) => self.on_reached(line, play, clock),
        }
    }

    fn on_reached<P: Play>(&mut self, line: usize, play: &mut P, clock: &Clock) {
        let target = &self.targets[line % self.targets.len()];
        let slot = &mut self.slots[line];
        let State::Connecting(stream) = mem::replace(&mut slot.state, State::Closed) else {
            return;
        };
        match target.secure(stream) {
            Ok(Socket::Plain(stream)) => {
                slot.state = State::Open(Socket::Plain(stream));
                play.on_connected(line, clock.moment(), self);
            }
            Ok(mut socket) => {
                let flushed = socket.flush();
                slot.state = State::Securing(socket);
                if let Err(error) = flushed {
                    self.fail(line, tls_end(&error));
                }
            }
            Err(error) => {
                slot.state = State::Connecting(Stream::Closed);
                self.fail(line, tls_end(&error));
            }
        }
    }

    /// Writes what waits; tells when all has left.
    fn flush<P: Play>(&mut self, line: usize, play: &mut P, clock: &Clock) {
        let slot = &mut self.slots[line];
        let State::Open(socket) = &mut slot.state else {
            return;
        };
        if slot.queue.is_empty() {
            if let Err(error) = socket.flush() {
                self.fail(line, End::Failed(error.kind()));
            }
            return;
        }
        let (_, flushed) = slot.queue.flush(&mut self.pool, |slices| socket.write(slices));
        let is_drained = slot.queue.is_empty();
        if let Err(error) = flushed {
            self.fail(line, End::Failed(error.kind()));
        } else if is_drained {
            play.on_drained(line, clock.moment(), self);
        }
    }

    /// Reads once, if there is something, and lists the line if there may be more.
    #[inline]
    fn read<P: Play>(&mut self, line: usize, play: &mut P, clock: &Clock) {
        let slot = &mut self.slots[line];
        if slot.input == Input::None || slot.is_failed {
            return;
        }
        let was_securing = match &slot.state {
            State::Open(_) => false,
            State::Securing(_) => true,
            State::Connecting(_) | State::Closed => return,
        };
        let (mut buffer, serial) = (mem::take(&mut self.buffer), slot.serial);
        match slot.read(&mut buffer, &mut self.scratch) {
            Ok(Received::Bytes { count, .. }) => {
                if was_securing {
                    self.on_secured(line, play, clock);
                }
                let slot = &self.slots[line];
                if count > 0 && slot.serial == serial && matches!(slot.state, State::Open(_)) {
                    play.on_bytes(line, &mut buffer[..count], clock.moment(), self);
                }
            }
            Ok(Received::End) if was_securing => self.fail(line, End::Tls("closed in the handshake".to_owned())),
            Ok(Received::End) => self.fail(line, End::PLAIN_CLOSE),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => self.slots[line].input = Input::Some,
            Err(error) if was_securing => self.fail(line, tls_end(&error)),
            Err(error) if error.kind() == ErrorKind::InvalidData => self.fail(line, tls_end(&error)),
            Err(error) => self.fail(line, End::Failed(error.kind())),
        }
        self.buffer = buffer;
        let slot = &mut self.slots[line];
        if slot.input != Input::None && !slot.is_listed && slot.serial == serial {
            slot.is_listed = true;
            self.unread.push_back(line);
        }
    }

    /// The line is open if its TLS handshake is complete.
    fn on_secured<P: Play>(&mut self, line: usize, play: &mut P, clock: &Clock) {
        let slot = &mut self.slots[line];
        slot.state = match mem::replace(&mut slot.state, State::Closed) {
            State::Securing(socket) if !socket.is_handshaking() => State::Open(socket),
            state => state,
        };
        if matches!(slot.state, State::Open(_)) {
            play.on_connected(line, clock.moment(), self);
        }
    }

    /// Notes that a line has ended; it is told when nobody is in the middle of something.
    #[cold]
    fn fail(&mut self, line: usize, end: End) {
        let slot = &mut self.slots[line];
        if !mem::replace(&mut slot.is_failed, true) {
            self.ended.push_back((line, slot.serial, end));
        }
    }

    fn close(&mut self, line: usize) {
        let slot = &mut self.slots[line];
        slot.state = State::Closed;
        slot.input = Input::None;
        slot.queue.clear(&mut self.pool);
    }

    fn connect(&mut self, line: usize) -> io::Result<Stream> {
        let target = &self.targets[line % self.targets.len()];
        let turn = line / self.targets.len();
        let source = self.sources.get(turn % self.sources.len().max(1)).copied();
        let mut stream = target.connect(source)?;
        let token = token_of(line, self.slots[line].serial);
        stream.source().register(&self.registry, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(stream)
    }
}

impl Lines for SocketLines {
    fn open(&mut self, line: usize) {
        let slot = &mut self.slots[line];
        assert!(matches!(slot.state, State::Closed), "only closed lines are opened");
        slot.serial += 1;
        slot.is_failed = false;
        slot.input = Input::None;
        match self.connect(line) {
            Ok(stream) => self.slots[line].state = State::Connecting(stream),
            Err(error) => {
                // Told like any other end: as one of a line that was being opened.
                self.slots[line].state = State::Connecting(Stream::Closed);
                self.fail(line, End::Unreachable(error.kind()));
            }
        }
    }

    #[inline]
    fn send(&mut self, line: usize, bytes: &Bytes, from: usize, to: usize) {
        let slot = &mut self.slots[line];
        let State::Open(socket) = &mut slot.state else {
            return;
        };
        if !slot.queue.is_empty() {
            return slot.queue.push_shared(bytes.slice(from..to), &mut self.pool);
        }
        let taken = write(socket, &bytes[from..to]);
        match taken {
            Ok(count) if count == to - from => {}
            Ok(count) => slot.queue.push_shared(bytes.slice(from + count..to), &mut self.pool),
            Err(error) => self.fail(line, End::Failed(error.kind())),
        }
    }

    fn send_copy(&mut self, line: usize, bytes: &[u8]) {
        let slot = &mut self.slots[line];
        let State::Open(socket) = &mut slot.state else {
            return;
        };
        let taken = if slot.queue.is_empty() { write(socket, bytes) } else { Ok(0) };
        match taken {
            Ok(count) => slot.queue.push_copy(&bytes[count..], &mut self.pool),
            Err(error) => self.fail(line, End::Failed(error.kind())),
        }
    }

    #[inline]
    fn is_clear(&self, line: usize) -> bool {
        self.slots[line].queue.is_empty()
    }

    fn reset(&mut self, line: usize) {
        cut(&mut self.slots[line]);
        self.close(line);
    }
}

/// Writes once; what is refused is no error.
#[inline]
fn write(socket: &mut Socket, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match socket.write(&[IoSlice::new(bytes)]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Makes the close of a TCP connection a reset, which leaves no port behind that waits for a minute.
fn cut(slot: &mut Slot) {
    let stream = match &mut slot.state {
        State::Closed => return,
        State::Connecting(stream) => stream,
        State::Securing(socket) | State::Open(socket) => socket.stream_mut(),
    };
    if let Stream::Tcp(stream) = stream {
        // It may be gone by now.
        let _ = SockRef::from(&*stream).set_linger(Some(Duration::ZERO));
    }
}

fn tls_end(error: &io::Error) -> End {
    match error.kind() {
        ErrorKind::InvalidData => End::Tls(tame(&error.to_string())),
        kind => End::Failed(kind),
    }
}

fn token_of(line: usize, serial: u64) -> Token {
    Token(usize::try_from(serial).unwrap_or(usize::MAX) << LINE_BITS | line)
}

fn line_of(token: Token) -> (usize, u64) {
    (token.0 & ((1 << LINE_BITS) - 1), token.0 as u64 >> LINE_BITS)
}

impl Drop for SocketLines {
    fn drop(&mut self) {
        self.slots.iter_mut().for_each(cut);
        self.slots.iter_mut().for_each(|slot| slot.queue.clear(&mut self.pool));
    }
}

impl fmt::Debug for SocketLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketLines").field("lines", &self.slots.len()).finish_non_exhaustive()
    }
}
