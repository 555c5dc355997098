//! The states of a client, and what moves it from one to the next.

use super::backoff::Backoff;
use super::heartbeat::{Beat, Heartbeat};
use super::outbox::{Outbox, Refusal, SendError};
use super::reader::Reader;
use super::{Action, ClientOptions, Event, Wait};
use crate::config::SettingError;
use crate::connection::{CloseReason, PeerReason, answer};
use crate::timer::{Jitter, Time};
use crate::wire::Wire;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::time::Duration;

/// A connection to one server that comes back by itself.
///
/// The driver reports what happens to its one socket by `handle_*`, and after each report does what [`poll_action`]
/// asks, then lets [`poll_transmit`] write, takes [`poll_event`]s until there are none, and comes back by the time
/// [`poll_timeout`] says. Early, late and repeated calls are harmless. It reports bytes that have arrived before it
/// reports the time, so that a program which was suspended does not take an answer that waits for silence.
///
/// What is promised of messages to the server, where the server drops unfinished frames: they arrive in order on each
/// connection, none twice. A message of which any byte is still to be handed to the socket when the connection breaks
/// is sent whole on the next one; a message that was wholly handed over is never sent again. Hence what the operating
/// system had taken and not delivered at a cut is lost: plain wires have no acknowledgement that could tell. On the raw
/// wire a message that had partly left is reported as [`Event::Torn`] instead of being sent again.
///
/// [`poll_action`]: Client::poll_action
/// [`poll_transmit`]: Client::poll_transmit
/// [`poll_event`]: Client::poll_event
/// [`poll_timeout`]: Client::poll_timeout
#[derive(Debug)]
pub struct Client {
    wire: Wire,
    options: ClientOptions,
    state: State,
    socket: Socket,
    backoff: Backoff,
    outbox: Outbox,
    events: VecDeque<Event>,
    /// `None` before the first loss.
    lost_at: Option<Time>,
}

#[derive(Debug)]
enum State {
    Waiting { attempt_at: Time },
    Connecting { give_up_at: Time },
    Connected(Connection),
    GaveUp,
    Stopped,
}

#[derive(Debug)]
struct Connection {
    since: Time,
    heartbeat: Heartbeat,
    reader: Reader,
}

/// The driver's socket, as far as it was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Socket {
    None,
    /// There is one, for the attempt or the connection of the present state.
    Open,
    /// There is one whose attempt or connection has ended; it has to be closed before anything else.
    Unwanted,
}

impl Client {
    /// A client that makes its first attempt at once. Its waits follow from `seed`: clients that may lose their server
    /// together need seeds of their own.
    pub fn new(wire: Wire, options: ClientOptions, seed: u64, now: Time) -> Result<Self, SettingError> {
        options.validate()?;
        Ok(Self {
            wire,
            state: State::Waiting { attempt_at: now },
            socket: Socket::None,
            backoff: Backoff::new(&options, Jitter::new(seed)),
            outbox: Outbox::new(wire, &options),
            events: VecDeque::new(),
            lost_at: None,
            options,
        })
    }

    /// Whether the connection stands.
    pub fn is_connected(&self) -> bool {
        matches!(self.state, State::Connected(_))
    }

    /// Whether it was stopped or gave up: it will not connect again.
    pub fn is_ended(&self) -> bool {
        matches!(self.state, State::GaveUp | State::Stopped)
    }

    /// Messages that have not wholly been handed to a socket.
    pub fn waiting_messages(&self) -> usize {
        self.outbox.messages()
    }

    /// Bytes of these messages with their frames, counted until a message has wholly been handed over.
    pub fn waiting_bytes(&self) -> usize {
        self.outbox.bytes()
    }

    /// The socket of the latest [`Action::Connect`] is connected.
    pub fn handle_connected(&mut self, now: Time) {
        if let (State::Connecting { .. }, Socket::Open) = (&self.state, self.socket) {
            self.on_connected(now);
        }
    }

    /// The socket of the latest [`Action::Connect`] could not be connected.
    pub fn handle_connect_failed(&mut self, kind: ErrorKind, now: Time) {
        if let (State::Connecting { .. }, Socket::Open) = (&self.state, self.socket) {
            self.on_ended(CloseReason::Transport(kind), now);
        }
    }

    /// Bytes came, as one read returned them. Any byte is a sign of life.
    ///
    /// Each message among them becomes an [`Event`], so a driver that reads little at a time and takes the events in
    /// between bounds the memory that they hold.
    pub fn handle_bytes(&mut self, bytes: &[u8], now: Time) {
        let State::Connected(connection) = &mut self.state else {
            return;
        };
        if !bytes.is_empty() {
            connection.heartbeat.on_received(now);
        }
        let mut rest = bytes;
        loop {
            match connection.reader.next(&mut rest) {
                Ok(Some(message)) => {
                    let message = connection.heartbeat.sort(message, &self.options, &mut self.outbox);
                    self.events.extend(message.map(Event::Message));
                }
                Ok(None) => return,
                Err(_) => return self.on_ended(CloseReason::Peer(PeerReason::MessageTooLarge), now),
            }
        }
    }

    /// The server closed its sending side.
    pub fn handle_closed(&mut self, now: Time) {
        self.handle_end(CloseReason::Peer(PeerReason::Closed), now);
    }

    /// The connection failed.
    pub fn handle_error(&mut self, kind: ErrorKind, now: Time) {
        self.handle_end(CloseReason::from(kind), now);
    }

    /// Acts on a due deadline.
    pub fn handle_timeout(&mut self, now: Time) {
        match &mut self.state {
            State::Waiting { attempt_at } if *attempt_at <= now => {
                self.backoff.on_attempt();
                self.state = State::Connecting { give_up_at: now + self.options.connect_timeout };
            }
            State::Connecting { give_up_at } if *give_up_at <= now => {
                self.on_ended(CloseReason::Transport(ErrorKind::TimedOut), now);
            }
            State::Connected(connection) => match connection.heartbeat.handle_timeout(now, &self.options) {
                Beat::Wait => {}
                Beat::Ask => connection.heartbeat.ask(&self.options, &mut self.outbox),
                Beat::Dead => self.on_ended(CloseReason::Peer(PeerReason::HeartbeatTimeout), now),
            },
            State::Waiting { .. } | State::Connecting { .. } | State::GaveUp | State::Stopped => {}
        }
    }

    /// Sends a message: now, or when the connection stands again.
    ///
    /// A message that can't be taken is handed back with the limit in its way. On the line wire a `\n` inside a message
    /// arrives as a boundary and a `\r` at its end not at all; on the raw wire an empty message is nothing.
    pub fn send(&mut self, message: Vec<u8>) -> Result<(), SendError> {
        if self.is_ended() {
            return Err(SendError { refusal: Refusal::Ended, message });
        }
        self.outbox.push(message)?;
        if !self.is_connected() {
            self.on_kept();
        }
        Ok(())
    }

    /// Ends the client at once, whatever it is doing. What waits to be sent is not sent any more.
    pub fn stop(&mut self) {
        if !self.is_ended() {
            self.drop_socket();
            self.state = State::Stopped;
            self.events.push_back(Event::Stopped);
        }
    }

    /// The next thing to do with the socket.
    pub fn poll_action(&mut self) -> Option<Action> {
        match (&self.state, self.socket) {
            (_, Socket::Unwanted) => {
                self.socket = Socket::None;
                Some(Action::CloseSocket)
            }
            (State::Connecting { .. }, Socket::None) => {
                self.socket = Socket::Open;
                Some(Action::Connect)
            }
            (_, Socket::None | Socket::Open) => None,
        }
    }

    /// Sends what waits through `write`, until all has left or it takes less than it was given. An error other than
    /// `WouldBlock` and `Interrupted`, or a write of nothing, ends the connection.
    ///
    /// On the raw wire each call of `write` gets one message.
    pub fn poll_transmit(&mut self, now: Time, write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>) {
        if self.is_connected()
            && let Err(error) = self.outbox.flush(write)
        {
            self.handle_error(error.kind(), now);
        }
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`Client::handle_timeout`] has something to do. Other inputs may move it; `None` once the client has ended,
    /// or while it is connected without heartbeats.
    pub fn poll_timeout(&self) -> Option<Time> {
        match &self.state {
            State::Waiting { attempt_at } => Some(*attempt_at),
            State::Connecting { give_up_at } => Some(*give_up_at),
            State::Connected(connection) => connection.heartbeat.deadline(&self.options),
            State::GaveUp | State::Stopped => None,
        }
    }

    fn handle_end(&mut self, reason: CloseReason, now: Time) {
        if let (State::Connecting { .. } | State::Connected(_), Socket::Open) = (&self.state, self.socket) {
            self.on_ended(reason, now);
        }
    }

    fn on_connected(&mut self, now: Time) {
        let first_wait = self.backoff.spread(self.options.heartbeat_interval);
        let mut heartbeat = Heartbeat::new(now, first_wait, &self.options);
        if self.wants_greeting() {
            heartbeat.ask(&self.options, &mut self.outbox);
        }
        let reader = Reader::new(self.wire, self.options.max_message_bytes);
        self.state = State::Connected(Connection { since: now, heartbeat, reader });
        let resumed_after = self.lost_at.map(|lost_at| now.saturating_since(lost_at));
        self.events.push_back(Event::Connected { attempt: self.backoff.tries(), resumed_after });
    }

    /// A heartbeat as the first message tells a listener that guesses which wire this is, before it loses patience, and
    /// finds out early whether anybody serves what the kernel accepted. On the raw wire, which such a listener does not
    /// offer, it would run together with the first message.
    fn wants_greeting(&self) -> bool {
        self.options.has_heartbeat() && self.wire != Wire::Raw
    }

    /// Many messages in a row are told once.
    fn on_kept(&mut self) {
        let waiting = self.outbox.messages();
        match self.events.back_mut() {
            Some(Event::Kept { waiting: told }) => *told = waiting,
            _ => self.events.push_back(Event::Kept { waiting }),
        }
    }

    fn on_ended(&mut self, reason: CloseReason, now: Time) {
        let lifetime = self.lifetime(now);
        if let Some(lifetime) = lifetime {
            self.lost_at = Some(now);
            if lifetime >= self.options.stable_after {
                self.backoff.reset();
            }
        }
        self.drop_socket();
        match self.backoff.next_wait() {
            Some(next_attempt) => self.on_wait(next_attempt, lifetime.is_some(), reason, now),
            None => {
                self.state = State::GaveUp;
                self.events.push_back(Event::GaveUp { reason });
            }
        }
    }

    fn on_wait(&mut self, next_attempt: Wait, was_connected: bool, reason: CloseReason, now: Time) {
        self.state = State::Waiting { attempt_at: now + next_attempt.delay };
        self.events.push_back(if was_connected {
            Event::Lost { reason, next_attempt }
        } else {
            Event::AttemptFailed { reason, next_attempt }
        });
    }

    /// How long the connection has stood; `None` where there is none.
    fn lifetime(&self, now: Time) -> Option<Duration> {
        match &self.state {
            State::Connected(connection) => Some(now.saturating_since(connection.since)),
            State::Waiting { .. } | State::Connecting { .. } | State::GaveUp | State::Stopped => None,
        }
    }

    fn drop_socket(&mut self) {
        if self.socket == Socket::Open {
            self.socket = Socket::Unwanted;
        }
        self.events.extend(self.outbox.on_cut().map(Event::Torn));
    }
}

impl Heartbeat {
    fn ask(&mut self, options: &ClientOptions, outbox: &mut Outbox) {
        if outbox.push_heartbeat(options.heartbeat_form.question()) {
            self.on_asked();
        }
    }

    /// Keeps heartbeats and their answers from the program; what is neither comes back.
    fn sort(&mut self, message: Vec<u8>, options: &ClientOptions, outbox: &mut Outbox) -> Option<Vec<u8>> {
        if self.takes(&message, options.heartbeat_form) {
            return None;
        }
        match answer(&message, options.heartbeat_answers) {
            Some(answer) => {
                outbox.push_heartbeat(answer);
                None
            }
            None => Some(message),
        }
    }
}
