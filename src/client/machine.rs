//! The states of a client, and what moves it from one to the next.

use super::backoff::Backoff;
use super::heartbeat::{Beat, Heartbeat};
use super::letter::Letter;
use super::outbox::{Content, Outbox, Refusal, SendError};
use super::speech::{Heard, Speech};
use super::state::{Connection, LEAVE, Socket, State};
use super::{Action, ClientOptions, EndReason, Event, Wait};
use crate::config::SettingError;
use crate::connection::{Broken, CloseReason, PeerReason};
use crate::timer::{Jitter, Time, earliest};
use crate::wire::websocket::CloseCode;
use crate::wire::{OwnedMessage, Wire};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};

/// A connection to one server that comes back by itself.
///
/// The driver reports what happens to its one socket by `handle_*`, and after each report does what [`poll_action`]
/// asks, then lets [`poll_transmit`] write, asks [`poll_action`] again, takes [`poll_event`]s until there are none, and
/// comes back by the time [`poll_timeout`] says. Early, late and repeated calls are harmless. It reports bytes that have
/// arrived before it reports the time, so that a program which was suspended does not take an answer that waits for
/// silence.
///
/// What is promised of messages to the server, where the server drops unfinished frames: they arrive in order on each
/// connection, none twice. A message of which any byte is still to be handed to the socket when the connection breaks
/// is sent whole on the next one; a message that was wholly handed over is never sent again. Hence what the operating
/// system had taken and not delivered at a cut is lost: plain wires have no acknowledgement that could tell. On the raw
/// wire a message that had partly left is reported as [`Event::Torn`] instead of being sent again.
///
/// On WebSocket it asks for the upgrade itself, answers pings, and tells of the server's close code. Messages that look
/// like heartbeats are messages there.
///
/// [`poll_action`]: Client::poll_action
/// [`poll_transmit`]: Client::poll_transmit
/// [`poll_event`]: Client::poll_event
/// [`poll_timeout`]: Client::poll_timeout
#[derive(Debug)]
pub struct Client {
    speech: Speech,
    options: ClientOptions,
    state: State,
    socket: Socket,
    backoff: Backoff,
    outbox: Outbox,
    events: VecDeque<Event>,
    /// `None` before the first loss.
    lost_at: Option<Time>,
    /// No attempt begins for the time being.
    is_held: bool,
}

impl Client {
    /// A client on a plain wire that makes its first attempt at once. Its waits follow from `seed`: clients that may lose
    /// their server together need seeds of their own.
    pub fn new(wire: Wire, options: ClientOptions, seed: u64, now: Time) -> Result<Self, SettingError> {
        options.validate()?;
        if wire == Wire::WebSocket {
            let mend = "begin with Client::websocket, which knows host and path".to_owned();
            return Err(SettingError { setting: "wire", value: wire.to_string(), mend });
        }
        Ok(Self::begin(Speech::Plain(wire), options, Jitter::new(seed), now))
    }

    /// A client whose options are valid.
    pub(super) fn begin(speech: Speech, options: ClientOptions, jitter: Jitter, now: Time) -> Self {
        Self {
            state: State::Waiting { attempt_at: now },
            socket: Socket::None,
            backoff: Backoff::new(&options, jitter),
            outbox: Outbox::new(speech.wire(), &options),
            events: VecDeque::new(),
            lost_at: None,
            is_held: false,
            speech,
            options,
        }
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

    /// Forgets the messages that have not wholly left; only while there is no connection.
    #[cfg(feature = "hub")]
    pub(super) fn forget(&mut self) {
        self.outbox.forget();
    }

    /// Bytes of these messages with their frames, counted until a message has wholly been handed over.
    pub fn waiting_bytes(&self) -> usize {
        self.outbox.bytes()
    }

    /// The socket of the latest [`Action::Connect`] is connected.
    pub fn handle_connected(&mut self, now: Time) {
        if let (&State::Connecting { give_up_at }, Socket::Open) = (&self.state, &self.socket) {
            match self.speech.ask(&self.options) {
                Some(upgrade) => self.state = State::Upgrading { give_up_at, upgrade },
                None => self.on_connected(now),
            }
        }
    }

    /// The socket of the latest [`Action::Connect`] could not be connected.
    pub fn handle_connect_failed(&mut self, kind: ErrorKind, now: Time) {
        if let (State::Connecting { .. }, Socket::Open) = (&self.state, &self.socket) {
            self.on_ended(CloseReason::from(kind).into(), None, now);
        }
    }

    /// Bytes came, as one read returned them. Any byte is a sign of life.
    ///
    /// Each message among them becomes an [`Event`], so a driver that reads little at a time and takes the events in
    /// between bounds the memory that they hold. Where compression was agreed on, messages may take a thousand times the
    /// bytes they came in, each of them at most `max_message_bytes`.
    pub fn handle_bytes(&mut self, mut bytes: &[u8], now: Time) {
        if let State::Upgrading { upgrade, .. } = &mut self.state {
            match upgrade.handle_bytes(&mut bytes) {
                Ok(None) => return,
                Ok(Some(agreed)) => {
                    self.speech.on_agreed(&agreed);
                    self.on_connected(now);
                }
                Err(reason) => return self.on_ended(reason, None, now),
            }
        }
        let State::Connected(connection) = &mut self.state else {
            return;
        };
        if !bytes.is_empty() {
            connection.heartbeat.on_received(now);
        }
        let mut heard = Vec::new();
        let read = connection.reader.read(bytes, &mut heard);
        heard.into_iter().for_each(|heard| self.on_heard(heard, now));
        if let Err(broken) = read {
            self.on_broken(broken, now);
        }
    }

    /// The server closed its sending side.
    pub fn handle_closed(&mut self, now: Time) {
        self.handle_end(CloseReason::Peer(PeerReason::Closed).into(), now);
    }

    /// The connection failed.
    pub fn handle_error(&mut self, kind: ErrorKind, now: Time) {
        self.handle_end(CloseReason::from(kind).into(), now);
    }

    /// Acts on a due deadline.
    pub fn handle_timeout(&mut self, now: Time) {
        if let Socket::Leaving { until, .. } = &mut self.socket {
            until.take_if(|until| *until <= now);
        }
        match &mut self.state {
            State::Waiting { attempt_at } if *attempt_at <= now && !self.is_held => {
                self.backoff.on_attempt();
                self.state = State::Connecting { give_up_at: now + self.options.connect_timeout };
            }
            State::Connecting { give_up_at } | State::Upgrading { give_up_at, .. } if *give_up_at <= now => {
                self.on_ended(CloseReason::Transport(ErrorKind::TimedOut).into(), None, now);
            }
            State::Connected(connection) => match connection.heartbeat.handle_timeout(now, &self.options) {
                Beat::Wait => {}
                Beat::Ask => connection.heartbeat.ask(&self.options, &mut self.outbox),
                Beat::Dead => self.on_ended(CloseReason::Peer(PeerReason::HeartbeatTimeout).into(), None, now),
            },
            State::Waiting { .. }
            | State::Connecting { .. }
            | State::Upgrading { .. }
            | State::GaveUp
            | State::Stopped => {}
        }
    }

    /// Sends a message: now, or when the connection stands again.
    ///
    /// A message that can't be taken is handed back with the limit in its way. On the line wire a `\n` inside a message
    /// arrives as a boundary and a `\r` at its end not at all; on the raw wire an empty message is nothing. On WebSocket
    /// bytes of which nothing is told go as text where they are UTF-8, and as binary else.
    pub fn send(&mut self, message: impl Into<OwnedMessage>) -> Result<(), SendError> {
        let message = message.into();
        if self.is_ended() {
            return Err(SendError { refusal: Refusal::Ended, message });
        }
        self.outbox.push(message)?;
        if !self.is_connected() {
            self.on_kept();
        }
        Ok(())
    }

    /// Ends the client at once, whatever it is doing. What waits to be sent is not sent any more. A server on WebSocket
    /// is told, with code 1000, if the socket takes that at once.
    pub fn stop(&mut self) {
        if !self.is_ended() {
            let goodbye = if self.is_connected() { self.speech.close_frame(Some(CloseCode::NORMAL), "") } else { None };
            self.leave(goodbye, None);
            self.state = State::Stopped;
            self.events.push_back(Event::Stopped);
        }
    }

    /// Begins no attempt until told otherwise.
    #[cfg(feature = "hub")]
    pub(super) fn hold(&mut self, is_held: bool) {
        self.is_held = is_held;
    }

    /// Gives the connection up, as if the server had ended it so.
    #[cfg(feature = "hub")]
    pub(super) fn abandon(&mut self, reason: EndReason, now: Time) {
        if self.is_connected() {
            let goodbye = self.speech.close_frame(Some(CloseCode::NORMAL), "");
            self.on_ended(reason, goodbye, now);
        }
    }

    /// The next thing to do with the socket.
    pub fn poll_action(&mut self) -> Option<Action> {
        match (&self.state, &self.socket) {
            (_, Socket::Unwanted) => {
                self.socket = Socket::None;
                Some(Action::CloseSocket)
            }
            (State::Connecting { .. }, Socket::None) => {
                self.socket = Socket::Open;
                Some(Action::Connect)
            }
            (_, Socket::None | Socket::Open | Socket::Leaving { .. }) => None,
        }
    }

    /// Sends what waits through `write`, until all has left or it takes less than it was given. An error other than
    /// `WouldBlock` and `Interrupted`, or a write of nothing, ends the connection.
    ///
    /// On the raw wire each call of `write` gets one message. What a call does not take is offered again by the next on
    /// the same connection as it was, with or without more behind it: a transport may have encrypted it ahead.
    pub fn poll_transmit(&mut self, now: Time, write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>) {
        if let Socket::Leaving { last_words, until } = &mut self.socket {
            if last_words.flush(write).is_err() || until.is_none() {
                self.socket = Socket::Unwanted;
            }
            return;
        }
        let sent = match &mut self.state {
            State::Upgrading { upgrade, .. } => upgrade.flush(write),
            State::Connected(_) => self.outbox.flush(&mut self.speech, write),
            State::Waiting { .. } | State::Connecting { .. } | State::GaveUp | State::Stopped => Ok(()),
        };
        if let Err(error) = sent {
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
        let leaves_at = if let Socket::Leaving { until, .. } = &self.socket { *until } else { None };
        let due_at = match &self.state {
            State::Waiting { attempt_at } => (!self.is_held).then_some(*attempt_at),
            State::Connecting { give_up_at } | State::Upgrading { give_up_at, .. } => Some(*give_up_at),
            State::Connected(connection) => connection.heartbeat.deadline(&self.options),
            State::GaveUp | State::Stopped => None,
        };
        earliest([leaves_at, due_at])
    }

    fn handle_end(&mut self, reason: EndReason, now: Time) {
        match (&self.state, &self.socket) {
            (_, Socket::Leaving { .. }) => self.socket = Socket::Unwanted,
            (State::Connecting { .. } | State::Upgrading { .. } | State::Connected(_), Socket::Open) => {
                self.on_ended(reason, None, now);
            }
            (_, Socket::None | Socket::Open | Socket::Unwanted) => {}
        }
    }

    fn on_connected(&mut self, now: Time) {
        let first_wait = self.backoff.spread(self.options.heartbeat_interval);
        let mut heartbeat = Heartbeat::new(now, first_wait, &self.options);
        if self.wants_greeting() {
            heartbeat.ask(&self.options, &mut self.outbox);
        }
        let reader = self.speech.reader(&self.options);
        self.state = State::Connected(Connection { since: now, heartbeat, reader });
        let resumed_after = self.lost_at.map(|lost_at| now.saturating_since(lost_at));
        self.events.push_back(Event::Connected { attempt: self.backoff.tries(), resumed_after });
    }

    /// A heartbeat as the first message tells a listener that guesses which wire this is, before it loses patience, and
    /// finds out early whether anybody serves what the kernel accepted. On the raw wire, which such a listener does not
    /// offer, it would run together with the first message; on WebSocket both are known from the handshake.
    fn wants_greeting(&self) -> bool {
        self.options.has_heartbeat() && matches!(self.speech.wire(), Wire::Length | Wire::Line)
    }

    fn on_heard(&mut self, heard: Heard, now: Time) {
        let State::Connected(connection) = &mut self.state else {
            return;
        };
        match heard {
            Heard::Plain(message) => {
                let message = connection.heartbeat.sort(message, &self.options, &mut self.outbox);
                self.events.extend(message.map(|message| Event::Message(message.into())));
            }
            Heard::Message(message) => self.events.push_back(Event::Message(message)),
            Heard::Ping(payload) => {
                self.outbox.push_heartbeat(Content::Answer(payload));
            }
            Heard::Closed(close) => self.on_closed(close, now),
        }
    }

    /// A close frame is answered with its own code (RFC 6455, section 5.5.1).
    fn on_closed(&mut self, close: Option<(CloseCode, String)>, now: Time) {
        let (code, words) = close.map_or((None, String::new()), |(code, words)| (Some(code), words));
        let answer = self.speech.close_frame(code, "");
        self.on_ended(EndReason::ServerClosed { code: code.map(CloseCode::get), words }, answer, now);
    }

    fn on_broken(&mut self, broken: Broken, now: Time) {
        let reason = CloseReason::Peer(broken.blame());
        log::debug!("what the server sends can't be read any further: {broken}");
        let last_words = self.speech.close_frame(CloseCode::new(reason.advice().code), &broken.to_string());
        self.on_ended(reason.into(), last_words, now);
    }

    /// Many messages in a row are told once.
    fn on_kept(&mut self) {
        let waiting = self.outbox.messages();
        match self.events.back_mut() {
            Some(Event::Kept { waiting: told }) => *told = waiting,
            _ => self.events.push_back(Event::Kept { waiting }),
        }
    }

    fn on_ended(&mut self, reason: EndReason, last_words: Option<Vec<u8>>, now: Time) {
        let lifetime = self.state.lifetime(now);
        if let Some(lifetime) = lifetime {
            self.lost_at = Some(now);
            if lifetime >= self.options.stable_after {
                self.backoff.reset();
            }
        }
        let next_wait = if reason.comes_back() { self.backoff.next_wait() } else { None };
        self.leave(last_words, next_wait.map(|wait| now + wait.delay.min(LEAVE)));
        match next_wait {
            Some(next_attempt) => self.on_wait(next_attempt, lifetime.is_some(), reason, now),
            None => {
                self.state = State::GaveUp;
                self.events.push_back(Event::GaveUp { reason });
            }
        }
    }

    fn on_wait(&mut self, next_attempt: Wait, was_connected: bool, reason: EndReason, now: Time) {
        self.state = State::Waiting { attempt_at: now + next_attempt.delay };
        self.events.push_back(if was_connected {
            Event::Lost { reason, next_attempt }
        } else {
            Event::AttemptFailed { reason, next_attempt }
        });
    }

    /// Has the socket closed, after last words where there are any. Not where a frame has begun to leave: they would end
    /// up inside it.
    fn leave(&mut self, last_words: Option<Vec<u8>>, until: Option<Time>) {
        if let Socket::Open = self.socket {
            self.socket = match last_words.filter(|_| self.outbox.is_at_rest()) {
                Some(last_words) => Socket::Leaving { last_words: Letter::new(last_words), until },
                None => Socket::Unwanted,
            };
        }
        self.events.extend(self.outbox.on_cut().map(Event::Torn));
    }
}
