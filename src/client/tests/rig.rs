//! A driver without sockets: a clock that jumps, a server of few words, and a log of all that happens.

use crate::client::{Action, Client, ClientOptions, Event, SendError};
use crate::timer::Time;
use crate::wire::{Kind, OwnedMessage, Wire};
use std::io::ErrorKind;
use std::time::Duration;

/// What the other side does with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    /// Refuses it.
    Refuses,
    /// Never answers the attempt.
    Drops,
    /// Accepts and says nothing.
    Silent,
    /// Accepts and sends `pong` on the length wire for each write.
    Answers,
    /// Sends back whatever comes.
    Echoes,
}

pub(super) struct Rig {
    pub(super) client: Client,
    pub(super) now: Time,
    pub(super) peer: Peer,
    pub(super) log: Vec<String>,
    /// Bytes that the socket still takes before it would block.
    pub(super) socket_takes: usize,
    has_socket: bool,
    attempt_at: Time,
}

pub(super) fn seconds(seconds: u64) -> Time {
    Time::from_millis(seconds * 1000)
}

impl Rig {
    pub(super) fn new(wire: Wire, options: ClientOptions, seed: u64) -> Self {
        let client = Client::new(wire, options, seed, Time::ZERO).unwrap();
        let (now, attempt_at) = (Time::ZERO, Time::ZERO);
        Self { client, now, peer: Peer::Silent, log: vec![], socket_takes: usize::MAX, has_socket: false, attempt_at }
    }

    /// Lets `millis` go by, from deadline to deadline.
    pub(super) fn run_for(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        self.settle();
        while let Some(at) = self.client.poll_timeout().filter(|&at| at <= end) {
            self.jump(at);
        }
        self.now = end;
    }

    /// Jumps from deadline to deadline until `is_enough`.
    pub(super) fn run_until(&mut self, is_enough: impl Fn(&Self) -> bool) {
        self.settle();
        while !is_enough(self) {
            let at = self.client.poll_timeout().expect("something is to come");
            self.jump(at);
        }
    }

    pub(super) fn send(&mut self, message: &str) -> Result<(), SendError> {
        let sent = self.client.send(message);
        self.settle();
        sent
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.client.handle_bytes(bytes, self.now);
        self.settle();
    }

    pub(super) fn eof(&mut self) {
        self.client.handle_closed(self.now);
        self.settle();
    }

    pub(super) fn error(&mut self, kind: ErrorKind) {
        self.client.handle_error(kind, self.now);
        self.settle();
    }

    /// Does what the client asks for until it asks for nothing more.
    pub(super) fn settle(&mut self) {
        loop {
            while let Some(event) = self.client.poll_event() {
                self.note(event);
            }
            let has_acted = self.client.poll_action().map(|action| self.act(action)).is_some();
            if !has_acted && !self.transmit() {
                match self.client.poll_action() {
                    Some(action) => self.act(action),
                    None => return,
                }
            }
        }
    }

    fn jump(&mut self, at: Time) {
        self.now = self.now.max(at);
        self.client.handle_timeout(self.now);
        self.settle();
        let next = self.client.poll_timeout();
        assert!(next.is_none_or(|next| next > at || self.log.last().is_some_and(|line| line == "close")), "{next:?}");
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Connect => {
                assert!(!self.has_socket, "two sockets");
                assert_eq!(self.now, self.attempt_at, "the wait announced is the wait kept");
                self.has_socket = true;
                self.log.push("connect".into());
                match self.peer {
                    Peer::Refuses => self.client.handle_connect_failed(ErrorKind::ConnectionRefused, self.now),
                    Peer::Drops => {}
                    Peer::Silent | Peer::Answers | Peer::Echoes => self.client.handle_connected(self.now),
                }
            }
            Action::CloseSocket => {
                assert!(std::mem::take(&mut self.has_socket), "no socket to close");
                self.log.push("close".into());
            }
        }
    }

    fn transmit(&mut self) -> bool {
        let (mut sent, room) = (Vec::new(), &mut self.socket_takes);
        self.client.poll_transmit(self.now, |slices| {
            let before = sent.len();
            sent.extend(slices.iter().flat_map(|slice| slice.iter().copied()));
            let taken = (sent.len() - before).min(*room);
            sent.truncate(before + taken);
            *room -= taken;
            if taken == 0 { Err(ErrorKind::WouldBlock.into()) } else { Ok(taken) }
        });
        if sent.is_empty() {
            return false;
        }
        self.log.push(format!("sent {}", sent.escape_ascii().to_string().replace("\\\"", "\"")));
        match self.peer {
            Peer::Answers => self.client.handle_bytes(b"\0\0\0\x04pong", self.now),
            Peer::Echoes => self.client.handle_bytes(&sent, self.now),
            Peer::Refuses | Peer::Drops | Peer::Silent => {}
        }
        true
    }

    fn note(&mut self, event: Event) {
        if let Event::Lost { next_attempt, .. } | Event::AttemptFailed { next_attempt, .. } = &event {
            self.attempt_at = self.now + next_attempt.delay;
        }
        self.log.push(told(&event));
    }
}

fn kind(message: &OwnedMessage) -> &'static str {
    match message.kind() {
        Kind::Plain => "message",
        Kind::Text => "text",
        Kind::Binary => "binary",
    }
}

pub(super) fn told(event: &Event) -> String {
    match event {
        Event::Connected { attempt, resumed_after: None } => format!("connected, attempt {attempt}"),
        Event::Connected { attempt, resumed_after: Some(_) } => format!("connected, attempt {attempt}, away"),
        Event::Message(message) => format!("{} {}", kind(message), message.escape_ascii()),
        Event::Kept { waiting } => format!("kept, {waiting} waiting"),
        Event::Torn(message) => format!("torn {}", message.escape_ascii()),
        Event::Lost { reason, next_attempt } => format!("lost: {reason}, next within {:?}", next_attempt.bound),
        Event::AttemptFailed { reason, next_attempt } => {
            format!("failed: {reason}, next within {:?}", next_attempt.bound)
        }
        Event::GaveUp { reason } => format!("gave up: {reason}"),
        Event::Stopped => "stopped".into(),
    }
}
