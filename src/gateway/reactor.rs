//! One turn of the loop, in order, over any sockets: the rules of edge-triggered polling live here.
//!
//! A stop that is not emptiness (a used-up budget, back-pressure, descriptors run out) forfeits the next event.
//! Whoever is stopped so goes on a list, and the next turn begins without waiting.

use super::accept::{Acceptor, Outcome};
use super::ahead::AHEAD;
use super::context::Context;
use super::handler::Handler;
use super::id::ConnId;
use super::machine::Gateway;
use super::receive::{Readiness, Taken};
use super::sockets::{Received, Sockets};
use super::transmit::FlushOutcome;
use crate::connection::Door;
use crate::timer::{Time, earliest};
use std::collections::VecDeque;
use std::io::{self, ErrorKind};

/// Drives a [`Gateway`] over [`Sockets`], a turn at a time.
///
/// A turn: [`Reactor::begin_turn`], then the events in the order they came, then [`Reactor::end_turn`]; then wait no
/// longer than until [`Reactor::poll_timeout`].
pub struct Reactor<H, S> {
    gateway: Gateway<H>,
    sockets: S,
    listeners: Vec<(Door, Acceptor)>,
    /// Connections that were stopped while they had bytes to read, in the order they are to go on.
    unread: VecDeque<ConnId>,
    receive_buffer: Vec<u8>,
    /// The last wait brought as many events as it may, so that more wait.
    batch_was_full: bool,
    /// Turns in a row that passed over the deadlines, because somebody had not been heard.
    turns_deferred: usize,
    flush_budget: usize,
}

/// Events to take from one wait. The rest comes with the next, so this bounds a turn: some 2 ms, even where each is a
/// session that returns to its channels. The wait itself, a microsecond, is hardly felt among so many.
pub const MAX_EVENTS: usize = 256;
/// Bytes read from one connection before the next has its turn, and the size of the receive buffer. One read that
/// empties most sockets; small enough that a turn of many busy connections keeps its latency and that one turn's
/// answers stay far below the hard limit of a write queue.
const READ_BUDGET: usize = 64 << 10;
/// Signals that may interrupt one read before it is put off to the next turn.
const MAX_INTERRUPTIONS: usize = 8;
/// Connections flushed in one turn, beside those that were served: some 3 to 5 ms of system calls. A message to very many
/// is sent over several turns, so that everybody else is served meanwhile.
const FLUSH_BUDGET: usize = 1024;
/// Peers accepted at one listener before connections have their turn: some 2 ms of work.
const ACCEPT_BUDGET: usize = 256;

impl<H: Handler, S: Sockets> Reactor<H, S> {
    /// A reactor without listeners.
    pub fn new(gateway: Gateway<H>, sockets: S) -> Self {
        let receive_buffer = vec![0; READ_BUDGET];
        Self {
            gateway,
            sockets,
            listeners: Vec::new(),
            unread: VecDeque::new(),
            receive_buffer,
            batch_was_full: false,
            turns_deferred: 0,
            flush_budget: FLUSH_BUDGET,
        }
    }

    /// Sets how many connections with bytes to send a turn flushes, at least one; 1,024 without. The next turns go on
    /// with the rest.
    pub fn limit_flushes(&mut self, connections: usize) {
        self.flush_budget = connections.max(1);
    }

    /// Notes one more listener; its number is the one `Sockets::accept` gets.
    pub fn add_listener(&mut self, door: impl Into<Door>) -> usize {
        self.listeners.push((door.into(), Acceptor::default()));
        self.listeners.len() - 1
    }

    /// Forgets all listeners: nobody is accepted any more.
    pub fn clear_listeners(&mut self) {
        self.listeners.clear();
    }

    /// The gateway.
    pub fn gateway(&self) -> &Gateway<H> {
        &self.gateway
    }

    /// The gateway, to drain, stop or run something on. Follow with [`Reactor::end_turn`].
    pub fn gateway_mut(&mut self) -> &mut Gateway<H> {
        &mut self.gateway
    }

    #[inline]
    pub(super) fn sockets(&self) -> &S {
        &self.sockets
    }

    /// The sockets.
    pub fn sockets_mut(&mut self) -> &mut S {
        &mut self.sockets
    }

    /// Goes on with the reads the last turn stopped, each once, before any new event.
    pub fn begin_turn(&mut self, now: Time) {
        for _ in 0..self.unread.len() {
            if let Some(id) = self.unread.pop_front()
                && self.gateway.take_unread(id)
            {
                self.read(id, now);
            }
        }
    }

    /// Peers wait at a listener.
    pub fn on_acceptable(&mut self, listener: usize) {
        if let Some((_, acceptor)) = self.listeners.get_mut(listener) {
            acceptor.on_event();
        }
    }

    /// Something happened on a connection's socket.
    pub fn on_event(&mut self, id: ConnId, readiness: Readiness, now: Time) {
        let steps = self.gateway.begin_event(id, readiness);
        if steps.advance
            && let Err(error) = self.sockets.advance(id)
        {
            self.gateway.handle_error(id, error.kind(), now);
        }
        if steps.flush {
            self.flush(id, now);
        }
        if steps.read {
            self.read(id, now);
        }
    }

    /// The poll gave `events`, of [`MAX_EVENTS`] it was asked for at most.
    pub fn on_batch(&mut self, events: usize) {
        self.batch_was_full = events >= MAX_EVENTS;
    }

    /// Accepts, serves deadlines, flushes who has bytes to send, closes who has ended. Freed slots are used again
    /// only from the next turn's accepts on, so events of this one can't meet them.
    pub fn end_turn(&mut self, now: Time) {
        if !self.defers_deadlines() {
            self.gateway.handle_timeouts(now);
        }
        self.accept(now);
        self.gateway.deliver_turn(now);
        let mut budget = self.flush_budget;
        self.flush_dirty(&mut budget, now);
        if self.gateway.deliver_drained(now) {
            self.flush_dirty(&mut budget, now);
        }
        self.reap();
        self.gateway.finish_turn(now);
    }

    /// When the next turn must begin even without an event; now, where work was left over.
    pub fn poll_timeout(&self, now: Time) -> Option<Time> {
        if !self.unread.is_empty() || self.gateway.has_unserved() {
            return Some(now);
        }
        let accept = self.listeners.iter().filter_map(|(_, acceptor)| acceptor.poll_timeout()).min();
        earliest([self.gateway.poll_timeout(now), accept])
    }

    /// Calls the handler from outside a connection.
    pub fn run(&mut self, now: Time, task: impl FnOnce(&mut H, &mut Context<'_>)) {
        self.gateway.run(now, task);
        self.flush_pressed(now);
    }

    /// Closes every connection at once.
    pub fn stop(&mut self, now: Time) {
        self.gateway.stop(now);
        self.reap();
    }

    /// Reads one budget's worth, serves it, and lists the connection again if there may be more.
    fn read(&mut self, id: ConnId, now: Time) {
        let mut may_hold_more = false;
        match self.read_once(id) {
            Ok(Received::End) => self.gateway.handle_peer_closed(id, now),
            Ok(Received::Bytes { count, drained }) => {
                may_hold_more = !drained;
                may_hold_more |= self.take(id, count, now);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return self.gateway.on_emptied(id),
            Err(error) if error.kind() == ErrorKind::Interrupted => may_hold_more = true,
            Err(error) => self.gateway.handle_error(id, error.kind(), now),
        }
        let outcome = self.flush(id, now);
        // A short read has emptied the socket, unless the peer's end lies behind it.
        if may_hold_more || outcome.reads_to_end {
            self.list_unread(id);
        }
        self.flush_pressed(now);
    }

    /// Serves what was read; whether what follows on the stream may have been read already.
    #[inline]
    fn take(&mut self, id: ConnId, count: usize, now: Time) -> bool {
        if count == 0 {
            return false;
        }
        let Self { gateway, sockets, receive_buffer, .. } = self;
        let bytes = &mut receive_buffer[..count];
        match gateway.handle_bytes(id, bytes, now, |slices| sockets.write(id, slices)) {
            Taken::All => false,
            Taken::Tls { from } => {
                match self.sockets.start_tls(id, &self.receive_buffer[from..count]) {
                    Ok(()) => self.gateway.handle_encrypted(id),
                    Err(error) => self.gateway.handle_error(id, error.kind(), now),
                }
                true
            }
        }
    }

    /// Whether to pass over the deadlines of this turn. After a suspension the heartbeats of half the world lie unread:
    /// nobody is taken for silent until everybody had a turn to be heard. The number of such turns in a row is bounded,
    /// so a flood that always leaves something unread puts deadlines off by a few turns only.
    fn defers_deadlines(&mut self) -> bool {
        let unheard = self.batch_was_full || !self.unread.is_empty();
        let enough = self.gateway.connection_count() / MAX_EVENTS + 1;
        self.turns_deferred = if unheard && self.turns_deferred < enough { self.turns_deferred + 1 } else { 0 };
        self.turns_deferred > 0
    }

    #[inline]
    fn read_once(&mut self, id: ConnId) -> io::Result<Received> {
        match self.sockets.read(id, &mut self.receive_buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => self.read_again(id),
            result => result,
        }
    }

    /// An interrupted read is repeated, not put off: who has bytes to read must not be judged as silent meanwhile.
    #[cold]
    fn read_again(&mut self, id: ConnId) -> io::Result<Received> {
        for _ in 1..MAX_INTERRUPTIONS {
            match self.sockets.read(id, &mut self.receive_buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => return result,
            }
        }
        self.sockets.read(id, &mut self.receive_buffer)
    }

    fn list_unread(&mut self, id: ConnId) {
        if self.gateway.mark_unread(id) {
            self.unread.push_back(id);
        }
    }

    fn flush(&mut self, id: ConnId, now: Time) -> FlushOutcome {
        let Self { gateway, sockets, .. } = self;
        let outcome = gateway.flush(id, now, |slices| sockets.write(id, slices));
        self.after_flush(id, outcome);
        outcome
    }

    /// Flushes the next connection with bytes to send; whether there was one.
    fn flush_next(&mut self, now: Time) -> bool {
        let Self { gateway, sockets, .. } = self;
        let Some((id, outcome)) = gateway.flush_next(now, |id, slices| sockets.write(id, slices)) else {
            return false;
        };
        self.after_flush(id, outcome);
        true
    }

    #[inline]
    fn after_flush(&mut self, id: ConnId, outcome: FlushOutcome) {
        if outcome.shut_down {
            self.sockets.shut_down(id);
            self.gateway.handle_shut_down(id);
        }
        if outcome.resume_reading {
            self.list_unread(id);
        }
    }

    /// Whoever has passed its soft limit is written to at once, wherever it stands on the list; the handler hears of those
    /// who have passed the hard one as well.
    #[inline]
    fn flush_pressed(&mut self, now: Time) {
        while let Some(id) = self.gateway.poll_pressed() {
            self.flush(id, now);
            self.gateway.deliver_ended(now);
        }
    }

    /// A flush may end connections, and a handler that is told of it may send, or let a connection go on that was
    /// held: until there is none of it, or enough was flushed. No slot is freed before its end was told.
    fn flush_dirty(&mut self, budget: &mut usize, now: Time) {
        loop {
            while *budget > 0 {
                if budget.is_multiple_of(AHEAD) {
                    self.expect_flushes();
                }
                if !self.flush_next(now) {
                    break;
                }
                *budget -= 1;
            }
            self.flush_pressed(now);
            if let Some(id) = self.gateway.handle_resumed(now) {
                self.go_on(id, now);
                continue;
            }
            if !self.gateway.deliver_ended(now) {
                return;
            }
        }
    }

    /// What a held connection had sent was handled: answers leave, and what came meanwhile is read in its turn.
    fn go_on(&mut self, id: ConnId, now: Time) {
        let outcome = self.flush(id, now);
        if outcome.reads_to_end {
            self.list_unread(id);
        }
    }

    fn accept(&mut self, now: Time) {
        for listener in 0..self.listeners.len() {
            let mut budget = ACCEPT_BUDGET;
            while budget > 0 && self.listeners[listener].1.wants_accept(now) {
                budget -= 1;
                self.accept_one(listener, now);
            }
        }
    }

    fn accept_one(&mut self, listener: usize, now: Time) {
        let (door, acceptor) = &mut self.listeners[listener];
        match self.sockets.accept(listener) {
            Ok((socket, peer)) => {
                let Ok(id) = self.gateway.handle_accepted(peer, *door, now) else {
                    return;
                };
                if let Err(error) = self.sockets.attach(id, socket) {
                    self.gateway.handle_error(id, error.kind(), now);
                }
            }
            Err(error) => match acceptor.on_error(&error, now) {
                Outcome::Next | Outcome::Empty => {}
                Outcome::Paused => self.gateway.on_accept_paused(&error, now),
            },
        }
    }

    fn reap(&mut self) {
        let mut freed = 0_usize;
        while let Some(id) = self.gateway.poll_gone() {
            if freed.is_multiple_of(AHEAD) {
                self.expect_closes();
            }
            self.sockets.close(id);
            freed += 1;
        }
        if freed > 0 {
            self.listeners.iter_mut().for_each(|(_, acceptor)| acceptor.on_descriptor_freed());
        }
    }
}
