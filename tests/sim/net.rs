//! The simulated network: pipes, listeners with a backlog, and a calendar of what happens when.

use crate::journal::Shared;
use crate::pipes::{Appetite, Ready, Segment, Sock};
use crate::rng::Rng;
use crate::seen::{Seen, Situation};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io::ErrorKind;
use tidegate::gateway::ConnId;

/// What the calendar holds, each for one socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Happening {
    /// The next segment arrives at the server.
    Arrive(usize),
    /// The peer takes bytes.
    Take(usize),
    /// A socket that only pretended to be full has space.
    Space(usize),
    /// The peer's heartbeat.
    Beat(usize),
    /// The server has shut or closed its side.
    Ended(usize),
    /// A reconnecting client has something to do.
    Customer(usize),
}

#[derive(Debug, Default)]
pub struct Listener {
    pub backlog: VecDeque<usize>,
    pub ready: bool,
}

pub struct Net {
    pub socks: Vec<Sock>,
    pub listeners: Vec<Listener>,
    pub journal: Shared,
    pub seen: Seen,
    pub rng: Rng,
    /// Of its own for what came later, so that the rest of a seed means what it meant.
    pub whims: Rng,
    pub now: u64,
    calendar: BinaryHeap<Reverse<(u64, u64, Happening)>>,
    entered: u64,
    listed: Vec<usize>,
    /// The socket of each slot.
    pub owners: Vec<Option<(ConnId, usize)>>,
    pub attached: usize,
    /// Descriptors there are; sockets attached beyond them are not accepted.
    pub descriptors: usize,
    /// The next accepts fail so.
    pub accept_errors: VecDeque<ErrorKind>,
    pub attach_errors: VecDeque<ErrorKind>,
    /// No more faults of the network.
    pub is_calm: bool,
}

impl Net {
    pub fn new(journal: Shared, seen: Seen) -> Self {
        Self {
            socks: Vec::new(),
            listeners: Vec::new(),
            journal,
            seen,
            rng: Rng::new(0),
            whims: Rng::new(0),
            now: 0,
            calendar: BinaryHeap::new(),
            entered: 0,
            listed: Vec::new(),
            owners: Vec::new(),
            attached: 0,
            descriptors: usize::MAX,
            accept_errors: VecDeque::new(),
            attach_errors: VecDeque::new(),
            is_calm: false,
        }
    }

    pub fn enter(&mut self, at: u64, happening: Happening) {
        self.entered += 1;
        self.calendar.push(Reverse((at, self.entered, happening)));
    }

    pub fn next_happening(&self) -> Option<u64> {
        self.calendar.peek().map(|Reverse((at, _, _))| *at)
    }

    pub fn pop_happening(&mut self) -> Option<Happening> {
        let due = self.next_happening().is_some_and(|at| at <= self.now);
        due.then(|| self.calendar.pop().map(|Reverse((_, _, happening))| happening)).flatten()
    }

    /// A peer connects; its socket's number.
    pub fn connect(&mut self, listener: usize, sock: Sock) -> Option<usize> {
        let listener = self.listeners.get_mut(listener)?;
        self.socks.push(sock);
        let number = self.socks.len() - 1;
        listener.backlog.push_back(number);
        listener.ready = true;
        Some(number)
    }

    /// A peer sends: it arrives after all it sent before.
    pub fn send(&mut self, sock: usize, segment: Segment, at: u64) {
        let from = &mut self.socks[sock];
        let at = at.max(from.last_arrival).max(self.now);
        from.last_arrival = at;
        from.in_flight.push_back((at, segment));
        self.enter(at, Happening::Arrive(sock));
    }

    /// The next segment of a socket arrives, if it is time.
    pub fn arrive(&mut self, sock: usize) {
        let now = self.now;
        let to = &mut self.socks[sock];
        if to.mute || to.in_flight.front().is_none_or(|(at, _)| *at > now) {
            return;
        }
        if let Some((_, segment)) = to.in_flight.pop_front() {
            self.seen.hit_if(matches!(segment, Segment::Reset(_)) && !to.inbox.is_empty(), Situation::ResetUnread);
            self.seen.hit_if(matches!(segment, Segment::BytesAndEnd(_)), Situation::DataAndEnd);
            to.arrive(segment);
            self.list(sock);
        }
    }

    /// A peer resets: at once, whatever is on its way.
    pub fn reset(&mut self, sock: usize, loses: bool) {
        let to = &mut self.socks[sock];
        to.in_flight.clear();
        to.gone = true;
        to.arrive(Segment::Reset(loses));
        self.list(sock);
    }

    /// A peer closes its socket whatever lies in it; what reaches it from here on is answered by a reset.
    pub fn vanish(&mut self, sock: usize) {
        let of = &mut self.socks[sock];
        of.gone = true;
        if !of.outbox.is_empty() {
            self.send(sock, Segment::Reset(false), self.now);
        }
    }

    /// A peer that waited to be accepted, or was accepted and not admitted, is closed.
    pub fn hang_up(&mut self, sock: usize) {
        self.socks[sock].closed = true;
        self.enter(self.now, Happening::Ended(sock));
    }

    pub fn stop_listening(&mut self) {
        for listener in std::mem::take(&mut self.listeners) {
            listener.backlog.into_iter().for_each(|sock| self.hang_up(sock));
        }
    }

    /// What was held back while a socket was mute is on its way again.
    pub fn thaw(&mut self, sock: usize) {
        let to = &mut self.socks[sock];
        (to.mute, to.deaf) = (false, false);
        let waiting = to.in_flight.len();
        let hungry = !to.outbox.is_empty();
        for _ in 0..waiting {
            self.enter(self.now, Happening::Arrive(sock));
        }
        if hungry {
            self.socks[sock].taking = false;
            self.be_hungry(sock);
        }
    }

    /// Notes that a socket may have something to tell.
    pub fn list(&mut self, sock: usize) {
        let of = &mut self.socks[sock];
        if of.ready.any() && of.id.is_some() && !of.closed && !of.listed {
            of.listed = true;
            self.listed.push(sock);
        }
    }

    pub fn has_events(&self) -> bool {
        !self.listed.is_empty() || self.listeners.iter().any(|listener| listener.ready)
    }

    /// What a poll tells now: each socket once, in no order.
    pub fn take_events(&mut self, into: &mut Vec<(ConnId, Ready)>, rng: &mut Rng) {
        into.clear();
        for sock in std::mem::take(&mut self.listed) {
            let of = &mut self.socks[sock];
            of.listed = false;
            let ready = std::mem::take(&mut of.ready);
            if let Some(id) = of.id.filter(|_| !of.closed && ready.any()) {
                into.push((id, ready));
            }
        }
        rng.shuffle(into);
    }

    /// The peer's appetite is raised by what was written.
    pub fn be_hungry(&mut self, sock: usize) {
        let of = &mut self.socks[sock];
        if of.taking || of.deaf || of.outbox.is_empty() {
            return;
        }
        let after = match of.appetite {
            Appetite::Eager { after } => after,
            Appetite::Slow { every, .. } => every,
            Appetite::Never => return,
        };
        of.taking = true;
        self.enter(self.now + after, Happening::Take(sock));
    }

    /// The peer takes what it wants; these bytes.
    pub fn take(&mut self, sock: usize) -> Vec<u8> {
        let of = &mut self.socks[sock];
        of.taking = false;
        if of.deaf {
            return Vec::new();
        }
        let most = match of.appetite {
            Appetite::Eager { .. } => usize::MAX,
            Appetite::Slow { bytes, .. } => bytes,
            Appetite::Never => 0,
        };
        let taken = of.take(most);
        self.list(sock);
        self.be_hungry(sock);
        taken
    }

    pub fn sock_of(&self, id: ConnId) -> Option<usize> {
        let (owner, sock) = (*self.owners.get(id.slot())?)?;
        (owner == id).then_some(sock)
    }
}
