//! A driver without sockets and a server that says what a test has it say, with a log that people can read.

use crate::client::hub::{HubClient, HubEvent, HubOptions, Json, RequestError};
use crate::client::{Action, ClientOptions};
use crate::timer::Time;
use crate::wire::Wire;
use std::io::ErrorKind;
use std::time::Duration;

pub(super) struct Rig {
    pub(super) hub: HubClient,
    pub(super) now: Time,
    pub(super) wire: Wire,
    /// What happened, until it is looked at.
    log: Vec<String>,
    sent: Vec<u8>,
    /// What the server says arrives in pieces of so many bytes.
    pub(super) piece: usize,
    pub(super) socket_takes: usize,
}

/// Options under which nothing but what a test does makes the client act, and waits are short.
pub(super) fn calm() -> HubOptions {
    let connection = ClientOptions { heartbeat_interval: Duration::ZERO, ..ClientOptions::default() };
    HubOptions { connection, name: "n".into(), version: "v".into(), ..HubOptions::default() }
}

/// What the server says to `connect`.
pub(super) const WELCOME: &str = r#"{"id":1,"connect":{"client":"c","ping":25,"pong":true,"session":"s"}}"#;

impl Rig {
    pub(super) fn new(wire: Wire, options: HubOptions) -> Self {
        let hub = HubClient::new(wire, options, 7, Time::ZERO).unwrap();
        let (log, sent) = (Vec::new(), Vec::new());
        let mut rig = Self { hub, now: Time::ZERO, wire, log, sent, piece: usize::MAX, socket_takes: usize::MAX };
        rig.run_for(0);
        rig
    }

    /// One that the server has welcomed, with nothing in its log.
    pub(super) fn joined() -> Self {
        let mut rig = Self::new(Wire::Length, calm());
        rig.say(WELCOME);
        rig.log.clear();
        rig
    }

    /// Says a message, whole or in pieces.
    pub(super) fn say(&mut self, message: &str) {
        let mut bytes = Vec::new();
        self.wire.encode(message.into(), &mut bytes);
        for piece in bytes.chunks(self.piece) {
            self.hub.handle_bytes(piece, self.now);
            self.settle();
        }
    }

    pub(super) fn cut(&mut self) {
        self.hub.handle_error(ErrorKind::ConnectionReset, self.now);
        self.settle();
    }

    /// Cuts the connection and comes back, as far as the server's welcome.
    pub(super) fn come_back(&mut self, welcome: &str) {
        self.cut();
        self.run_for(1_000);
        self.say(welcome);
    }

    /// Lets `millis` go by, from deadline to deadline.
    pub(super) fn run_for(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        self.settle();
        while let Some(at) = self.hub.poll_timeout().filter(|&at| at <= end) {
            self.now = self.now.max(at);
            self.hub.handle_timeout(self.now);
            self.settle();
            assert!(self.hub.poll_timeout().is_none_or(|next| next > at || self.now > at), "no deadline stays due");
        }
        self.now = end;
    }

    pub(super) fn settle(&mut self) {
        for _ in 0..1000 {
            while let Some(event) = self.hub.poll_event() {
                self.log.push(told(&event));
            }
            match self.hub.poll_action() {
                Some(Action::Connect) => self.hub.handle_connected(self.now),
                Some(Action::CloseSocket) => self.sent.clear(),
                None if !self.transmit() => return,
                None => {}
            }
        }
        panic!("it comes to no rest: {:?}", self.log);
    }

    fn transmit(&mut self) -> bool {
        let (sent, room) = (&mut self.sent, &mut self.socket_takes);
        let before = sent.len();
        self.hub.poll_transmit(self.now, |slices| {
            let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
            let taken = bytes.len().min(*room);
            *room -= taken;
            sent.extend_from_slice(&bytes[..taken]);
            if taken == 0 { Err(ErrorKind::WouldBlock.into()) } else { Ok(taken) }
        });
        let has_sent = self.sent.len() > before;
        while let Some(frame) = self.wire.decode(&self.sent, 0, 1 << 20).unwrap() {
            let text = String::from_utf8(self.sent[frame.payload].to_vec()).unwrap();
            let text = text.replace(self.hub.publications.key(0).to_string().trim_end_matches("-0"), "KEY");
            self.log.extend(
                text.split('\n')
                    .enumerate()
                    .map(|(n, document)| format!("{} {document}", if n == 0 { ">" } else { "+" })),
            );
            self.sent.drain(..frame.len);
        }
        has_sent
    }

    /// What happened since the last look: `>` begins a message to the server, `+` is a further command in it.
    pub(super) fn log(&mut self) -> Vec<String> {
        self.settle();
        std::mem::take(&mut self.log)
    }

    #[track_caller]
    pub(super) fn expect(&mut self, expected: &[&str]) {
        assert_eq!(self.log(), expected);
    }
}

pub(super) fn json(text: &str) -> Json {
    Json::parse(text).unwrap()
}

fn told(event: &HubEvent) -> String {
    match event {
        HubEvent::Connected { client, resumed_after, resumed, .. } => {
            let away = if resumed_after.is_some() { ", away" } else { "" };
            format!("connected as {client}{away}{}", if *resumed { ", resumed" } else { "" })
        }
        HubEvent::Lost { reason, .. } => format!("lost: {reason}"),
        HubEvent::AttemptFailed { reason, .. } => format!("failed: {reason}"),
        HubEvent::GaveUp { reason } => format!("gave up: {reason}"),
        HubEvent::Stopped => "stopped".into(),
        HubEvent::TokenWanted => "token?".into(),
        HubEvent::SubscriptionTokenWanted { channel } => format!("token for {channel}?"),
        HubEvent::Subscribed { channel, recovery, position, by_server } => {
            let by = if *by_server { " by the server" } else { "" };
            let at = position.as_ref().map_or(String::new(), |at| format!(" at {}:{}", at.epoch, at.offset));
            format!("subscribed {channel}{by} {recovery:?}{at}")
        }
        HubEvent::SubscribeFailed { channel, error } => format!("no {channel}: {error}"),
        HubEvent::Resubscribing { channel, error } => format!("again {channel}: {error}"),
        HubEvent::Unsubscribed { channel, code, reason } => format!("unsubscribed {channel}: {code} {reason}"),
        HubEvent::Publication { channel, offset, data, .. } => {
            format!("{channel}{} {data}", offset.map_or(String::new(), |offset| format!("#{offset}")))
        }
        HubEvent::Joined { channel, info } => format!("{channel} join {info}"),
        HubEvent::Left { channel, info } => format!("{channel} leave {info}"),
        HubEvent::Message { data } => format!("message {data}"),
        HubEvent::Doubled { channel, offset } => format!("{channel} doubled {offset}"),
        HubEvent::Missed { channel, from, to } => format!("{channel} missed {from}..{to}"),
        HubEvent::Gap { channel, from, to, reason } => format!("{channel} gap {from}..{to}: {reason}"),
        HubEvent::Published { key, offset, epoch } => {
            format!("published {} {epoch}:{}", key.number, offset.unwrap_or(0))
        }
        HubEvent::PublishFailed { key, channel, error } => format!("unpublished {} {channel}: {error}", key.number),
        HubEvent::Answer { result: Ok(json), .. } => format!("answer {json}"),
        HubEvent::Answer { result: Err(RequestError::Cut), .. } => "answer cut".into(),
        HubEvent::Answer { result: Err(error), .. } => format!("answer {error}"),
    }
}
