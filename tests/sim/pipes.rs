//! One simulated connection: bytes on their way to the server, bytes on their way to the peer, and what a poll would
//! tell of it. Faithful to edge-triggered epoll: an arrival is told once, space is told only after a write met none.

use crate::rng::Rng;
use std::collections::VecDeque;
use std::io::ErrorKind;
use tidegate::gateway::{ConnId, Peer};

/// Something on its way to the server, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    Bytes(Vec<u8>),
    /// The peer has shut its sending side.
    End,
    /// Bytes and the end in one event.
    BytesAndEnd(Vec<u8>),
    /// The peer has reset the connection; `true` loses what was not read.
    Reset(bool),
}

impl Segment {
    pub fn len(&self) -> usize {
        match self {
            Segment::Bytes(bytes) | Segment::BytesAndEnd(bytes) => bytes.len(),
            Segment::End | Segment::Reset(_) => 0,
        }
    }
}

/// What an edge-triggered poll has to tell and has not told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ready {
    pub read: bool,
    pub write: bool,
    /// The peer's end or an error lies behind the bytes.
    pub closed: bool,
}

impl Ready {
    pub fn any(self) -> bool {
        self.read || self.write || self.closed
    }
}

/// How a peer takes what is sent to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appetite {
    /// Everything, a moment after it was written.
    Eager { after: u64 },
    /// So many bytes, every so many milliseconds.
    Slow { bytes: usize, every: u64 },
    /// Nothing.
    Never,
}

#[derive(Debug)]
pub struct Sock {
    pub peer: Peer,
    pub id: Option<ConnId>,
    pub ready: Ready,
    /// On the list of sockets with something to tell.
    pub listed: bool,
    pub appetite: Appetite,
    /// Bytes, ends and resets on their way to the server, with the moment they arrive.
    pub in_flight: VecDeque<(u64, Segment)>,
    pub last_arrival: u64,
    /// Bytes that have arrived and were not read.
    pub inbox: VecDeque<u8>,
    pub end: bool,
    pub error: Option<ErrorKind>,
    /// An error was reported once; nothing moves any more.
    pub dead: bool,
    /// Written by the server and not taken by the peer.
    pub outbox: VecDeque<u8>,
    pub room: usize,
    /// The server met no space and waits to hear of some.
    pub blocked: bool,
    pub taking: bool,
    /// The server has shut its side, or closed all of it.
    pub shut: bool,
    pub closed: bool,
    /// Nothing of the peer's arrives any more; nothing is taken any more.
    pub mute: bool,
    pub deaf: bool,
    /// The peer has closed its socket: whatever reaches it is answered by a reset.
    pub gone: bool,
    /// After so many more writes one fails so.
    pub fail_write: Option<(u32, ErrorKind)>,
    /// The last read was interrupted: what lies here was asked for.
    pub interrupted: bool,
    /// Partial writes and interruptions at random, in percent.
    pub flaky: u64,
}

impl Sock {
    pub fn new(peer: Peer, appetite: Appetite, room: usize, flaky: u64) -> Self {
        Self {
            peer,
            id: None,
            ready: Ready::default(),
            listed: false,
            appetite,
            in_flight: VecDeque::new(),
            last_arrival: 0,
            inbox: VecDeque::new(),
            end: false,
            error: None,
            dead: false,
            outbox: VecDeque::new(),
            room,
            blocked: false,
            taking: false,
            shut: false,
            closed: false,
            mute: false,
            deaf: false,
            gone: false,
            fail_write: None,
            interrupted: false,
            flaky,
        }
    }

    /// A segment arrives: an edge.
    pub fn arrive(&mut self, segment: Segment) {
        if self.closed || self.dead || self.error.is_some() {
            return;
        }
        self.ready.read = true;
        match segment {
            Segment::Bytes(bytes) => self.inbox.extend(bytes),
            Segment::End => self.on_end(),
            Segment::BytesAndEnd(bytes) => {
                self.inbox.extend(bytes);
                self.on_end();
            }
            Segment::Reset(loses) => {
                if loses {
                    self.inbox.clear();
                }
                self.error = Some(ErrorKind::ConnectionReset);
                self.on_end();
                self.ready.write = true;
            }
        }
    }

    fn on_end(&mut self) {
        self.end = true;
        self.ready.closed = true;
    }

    /// What the server reads next.
    pub fn read(&mut self, buffer: &mut [u8], rng: &mut Rng) -> Result<usize, ErrorKind> {
        if !self.inbox.is_empty() {
            self.interrupted = self.flaky > 0 && rng.chance(self.flaky / 8);
            if self.interrupted {
                return Err(ErrorKind::Interrupted);
            }
            return Ok(move_into(&mut self.inbox, buffer));
        }
        if let Some(kind) = self.error.take() {
            self.dead = true;
            return Err(kind);
        }
        if self.end || self.dead { Ok(0) } else { Err(ErrorKind::WouldBlock) }
    }

    /// How many of `offered` bytes the socket takes.
    pub fn accepts(&mut self, offered: usize, rng: &mut Rng) -> Result<usize, ErrorKind> {
        let failing = self.fail_write.take_if(|(writes, _)| *writes == 0).map(|(_, kind)| kind);
        if let Some(kind) = self.error.take().or(failing) {
            self.dead = true;
            return Err(kind);
        }
        if self.dead {
            return Err(ErrorKind::BrokenPipe);
        }
        if let Some((writes, _)) = self.fail_write.as_mut() {
            *writes -= 1;
        }
        let mut room = self.room.saturating_sub(self.outbox.len()).min(offered);
        if self.flaky > 0 && rng.chance(self.flaky) {
            room = rng.size(0, room);
        }
        if room < offered {
            self.blocked = true;
        }
        if room == 0 { Err(ErrorKind::WouldBlock) } else { Ok(room) }
    }

    /// Space came free: an edge, if the server has met none.
    pub fn on_space(&mut self) {
        if self.blocked && self.outbox.len() < self.room {
            self.blocked = false;
            self.ready.write = true;
        }
    }

    /// The next bytes the peer takes, up to `most`.
    pub fn take(&mut self, most: usize) -> Vec<u8> {
        let count = most.min(self.outbox.len());
        let mut taken = vec![0; count];
        move_into(&mut self.outbox, &mut taken);
        self.on_space();
        taken
    }

    /// Whether the peer has nothing more to expect or to say.
    pub fn is_over(&self) -> bool {
        self.closed || self.dead || self.gone
    }
}

fn move_into(from: &mut VecDeque<u8>, buffer: &mut [u8]) -> usize {
    let count = from.len().min(buffer.len());
    let (front, back) = from.as_slices();
    let first = front.len().min(count);
    buffer[..first].copy_from_slice(&front[..first]);
    buffer[first..count].copy_from_slice(&back[..count - first]);
    from.drain(..count);
    count
}
