//! What a handler can do while it is called.

use super::admission::Peer;
use super::core::Core;
use super::direct::{LARGE, Write};
use super::id::{ConnId, ConnText};
use super::send::Offer;
use super::timers::TimerId;
use crate::config::Settings;
use crate::connection::CloseReason;
use crate::stats::Counters;
use crate::timer::Time;
#[cfg(feature = "websocket")]
use crate::wire::http::Response;
use crate::wire::{Message, Prepared, Wire};
use std::fmt;
use std::time::Duration;

/// The gateway as a handler sees it, for the length of one call.
pub struct Context<'a> {
    core: &'a mut Core,
    now: Time,
    /// To the socket of the connection that is being served, where it may be written to at once.
    write: Option<&'a mut Write<'a>>,
}

/// Why a message was not taken for sending. What was taken is sent unless the connection ends first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendError {
    /// There is no such open connection, or no longer.
    Gone,
    /// No write queue may ever hold this much: over `write_queue_hard_bytes`.
    TooLarge,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendError::Gone => "the connection is closed",
            SendError::TooLarge => "the message is larger than write_queue_hard_bytes allows",
        })
    }
}

impl std::error::Error for SendError {}

/// What is known of an open connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// Its id.
    pub id: ConnId,
    /// Where it comes from.
    pub peer: Peer,
    /// How its messages are framed.
    pub wire: Wire,
    /// When it was accepted, to the second.
    pub opened_at: Time,
    /// When a byte last came.
    pub last_received: Time,
    /// Bytes that wait to be sent to it.
    pub queued_bytes: usize,
}

impl<'a> Context<'a> {
    pub(super) fn new(core: &'a mut Core, now: Time, write: Option<&'a mut Write<'a>>) -> Self {
        Self { core, now, write }
    }

    /// The moment of this turn of the loop.
    pub fn now(&self) -> Time {
        self.now
    }

    /// The same in milliseconds of Unix time, as the driver last set it.
    pub fn unix_millis(&self) -> u64 {
        self.core.unix_millis(self.now)
    }

    /// Sends one message to one connection, in its wire's framing. On a line wire a `\n` inside the message arrives
    /// as the end of a message. Bytes go to a WebSocket as text where they are UTF-8, a `&str` or a [`Message`] as what
    /// it is.
    #[inline(always)]
    pub fn send<'m>(&mut self, id: ConnId, message: impl Into<Message<'m>>) -> Result<(), SendError> {
        let message = message.into();
        match &mut self.write {
            Some(write) if message.len() >= LARGE => {
                let (framed, place) = message.apart();
                self.core.send_large(id, framed, place, *write, self.now)
            }
            _ => self.core.send(id, message, self.now),
        }
    }

    /// Whether what `id` sends next can be handled as the message before was.
    #[inline]
    pub(super) fn is_at_ease(&self, id: ConnId) -> bool {
        self.core.gather.is_at_ease(id)
    }

    /// A message came. Counters of messages don't reach the end of their range within a machine's life.
    #[inline]
    pub(super) fn count_message(&mut self) {
        self.core.counters.messages_in = self.core.counters.messages_in.wrapping_add(1);
    }

    /// A heartbeat came, and this answers it.
    #[inline(never)]
    pub(super) fn answer_heartbeat(&mut self, id: ConnId, answer: Message<'_>) {
        self.core.counters.messages_in += 1;
        self.core.counters.heartbeats_answered += 1;
        // The connection is open, and an answer is far below any limit.
        let _ = self.core.send(id, answer, self.now);
    }

    /// Sends a shared message to one connection, without copying it.
    pub fn send_prepared(&mut self, id: ConnId, message: &Prepared) -> Result<(), SendError> {
        self.core.send_prepared(id, message, self.now)
    }

    /// Sends a shared message to one connection, unless more than `write_queue_soft_bytes` wait for it already. Then it
    /// is `Full`, and [`Handler::on_drained`](super::Handler::on_drained) tells when it is not any more.
    #[inline]
    pub fn offer(&mut self, id: ConnId, message: &Prepared) -> Offer {
        self.core.offer(id, message, self.now)
    }

    /// Asks for [`Handler::on_drained`](super::Handler::on_drained): later in this turn, where no more than half of
    /// `write_queue_soft_bytes` waits for the connection as it is.
    pub fn watch_drain(&mut self, id: ConnId) {
        self.core.watch_drain(id);
    }

    /// Bytes that wait to be sent to a connection, also to one that is ending; 0 where there is none.
    pub fn queued_bytes(&self, id: ConnId) -> usize {
        self.core.pending(id)
    }

    /// Sends a shared message to every open connection; how many took it.
    pub fn broadcast(&mut self, message: &Prepared) -> usize {
        self.core.broadcast(message, None, self.now)
    }

    /// Sends a shared message to every open connection but one; how many took it.
    pub fn broadcast_except(&mut self, except: ConnId, message: &Prepared) -> usize {
        self.core.broadcast(message, Some(except), self.now)
    }

    /// Decides the end of a connection. What was sent before still leaves, if the reason allows it.
    pub fn close(&mut self, id: ConnId, reason: CloseReason) {
        self.core.close(id, reason, self.now);
    }

    /// Decides the end of a connection as [`Context::close`] does, and tells it to the peer with this code and as many
    /// characters of these words as fit 123 bytes.
    pub fn close_with(&mut self, id: ConnId, reason: CloseReason, code: u16, words: &str) {
        self.core.close_with(id, reason, code, words, self.now);
    }

    /// Lets a connection stay that has to be admitted, as [`Handler::ADMITS`](super::Handler::ADMITS) says.
    pub fn admit(&mut self, id: ConnId) {
        self.core.admit(id);
    }

    /// Holds a connection until [`Context::resume`]: nothing more of it is handled or read. What has been read stays,
    /// in order. Messages can be sent to it; its silence does not count, and is counted anew from the resume.
    pub fn pause(&mut self, id: ConnId) {
        self.core.pause(id);
    }

    /// Ends a pause. What was read before is handled later in this turn, before anything newer.
    pub fn resume(&mut self, id: ConnId) {
        self.core.resume(id);
    }

    /// Answers an HTTP request for which the handler had said [`Reply::Later`](super::Reply::Later), and lets the
    /// connection go on. Does nothing where it has ended, or nothing waits for an answer.
    #[cfg(feature = "websocket")]
    pub fn respond(&mut self, id: ConnId, response: Response) {
        self.core.respond(id, &response, self.now);
    }

    /// Sets a timer: `Handler::on_timer` gets `token` after at least `wait`, late by at most a tick of 10 ms.
    pub fn arm_timer(&mut self, wait: Duration, token: u64) -> TimerId {
        self.core.timers.arm(self.now + wait, token)
    }

    /// Asks for [`Handler::on_turn`](super::Handler::on_turn), once, in the next turn of the loop, which then begins at
    /// once. So long work is done in slices, between which connections are flushed and served.
    pub fn ask_turn(&mut self) {
        self.core.wants_turn = true;
    }

    /// Connections with bytes to send that have yet to be flushed: what a turn leaves of them, the next ones go on with.
    pub fn unflushed(&self) -> usize {
        self.core.dirty.len()
    }

    /// Says who is to be sent to next, [`AHEAD`](super::AHEAD) of them or so. It changes nothing but the time that takes
    /// where there are very many connections; where there are few the ids are not asked for.
    #[inline]
    pub fn expect(&self, ids: impl Iterator<Item = ConnId>) {
        self.core.expect(ids);
    }

    /// Cancels a timer. False where it has rung or was cancelled.
    pub fn cancel_timer(&mut self, id: TimerId) -> bool {
        self.core.timers.cancel(id)
    }

    /// What is known of an open connection.
    pub fn connection(&self, id: ConnId) -> Option<ConnectionInfo> {
        let slot = self.core.slots.get(id)?;
        Some(ConnectionInfo {
            id,
            peer: slot.peer,
            wire: slot.connection.wire()?,
            opened_at: Time::from_millis(u64::from(slot.opened_at_secs) * 1000),
            last_received: slot.connection.last_received(),
            queued_bytes: self.core.pending(id),
        })
    }

    /// Every open connection. Its cost grows with their number.
    pub fn connections(&self) -> impl Iterator<Item = ConnectionInfo> {
        self.core.slots.iter().filter_map(|(id, _)| self.connection(id))
    }

    /// Connections now held, those included that are opening or ending.
    pub fn connection_count(&self) -> usize {
        self.core.slots.len()
    }

    /// The id as a UUID, for people and other programs.
    pub fn text(&self, id: ConnId) -> ConnText {
        self.core.ids.text(id)
    }

    /// The connection a UUID names, if it is open.
    pub fn find(&self, text: &str) -> Option<ConnId> {
        self.core.ids.id(text).filter(|id| self.connection(*id).is_some())
    }

    /// The settings in force.
    pub fn settings(&self) -> &Settings {
        &self.core.settings
    }

    /// What has been counted since the start.
    pub fn counters(&self) -> &Counters {
        &self.core.counters
    }
}
