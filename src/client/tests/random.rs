//! Random orders of events: whatever a driver reports, in whatever order, the promises hold.

use crate::client::{Action, Client, ClientOptions, Event};
use crate::timer::Time;
use crate::wire::Wire;
use crate::wire::websocket::{FrameHeader, Sender};
use proptest::prelude::*;
use std::io::ErrorKind;
use std::time::Duration;

#[derive(Debug, Clone)]
enum Step {
    Elapse(u64),
    ToDeadline,
    Act,
    Connected,
    ConnectFailed,
    Bytes(Vec<u8>),
    Closed,
    Reset,
    Send(usize),
    /// A server on WebSocket agrees, if it was asked.
    Agree,
    /// The socket takes so many bytes, then would block.
    Write(usize),
    WriteFails,
    Stop,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0u64..20_000).prop_map(Step::Elapse),
        8 => Just(Step::ToDeadline),
        12 => Just(Step::Act),
        8 => Just(Step::Connected),
        8 => Just(Step::Agree),
        2 => Just(Step::ConnectFailed),
        6 => bytes().prop_map(Step::Bytes),
        2 => Just(Step::Closed),
        1 => Just(Step::Reset),
        10 => (0usize..40).prop_map(Step::Send),
        8 => (0usize..60).prop_map(Step::Write),
        4 => (200usize..600).prop_map(Step::Write),
        1 => Just(Step::WriteFails),
        1 => Just(Step::Stop),
    ]
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(b"\0\0\0\x04ping".to_vec()),
        Just(b"\0\0\0\x04pong".to_vec()),
        Just(b"ping\npong\n{\"type\":\"ping\"}\n".to_vec()),
        Just(b"pong".to_vec()),
        Just(b"\x89\x02hi\x01\x02me\x80\x02ss\x82\x00".to_vec()),
        Just(b"\x88\x02\x03\xE8".to_vec()),
        Just(b"\x8A\x00\x88\x02\x11\x94".to_vec()),
        prop::collection::vec(any::<u8>(), 0..50),
    ]
}

/// The driver's side, and what the server has seen.
struct Model {
    client: Client,
    wire: Wire,
    now: Time,
    has_socket: bool,
    /// Handed to the present socket, up to what has arrived whole.
    stream: Vec<u8>,
    /// What the last write was offered and did not take: a transport may have encrypted it ahead.
    ahead: Vec<u8>,
    /// What a server on WebSocket has been asked on the present socket.
    asked: Option<String>,
    /// Numbers of messages taken, in order.
    accepted: Vec<usize>,
    /// Numbers of messages that arrived whole or were handed back torn, in order.
    settled: Vec<usize>,
    is_up: bool,
    has_ended: bool,
}

impl Model {
    fn new(wire: Wire, options: ClientOptions, seed: u64) -> Self {
        let client = match wire {
            #[cfg(feature = "websocket")]
            Wire::WebSocket => Client::websocket("h", "/", options, seed, Time::ZERO),
            wire => Client::new(wire, options, seed, Time::ZERO),
        };
        let client = client.unwrap();
        Self {
            client,
            wire,
            now: Time::ZERO,
            has_socket: false,
            stream: vec![],
            ahead: vec![],
            asked: None,
            accepted: vec![],
            settled: vec![],
            is_up: false,
            has_ended: false,
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Elapse(millis) => self.elapse(self.now + Duration::from_millis(millis)),
            Step::ToDeadline => self.elapse(self.client.poll_timeout().map_or(self.now, |at| at.max(self.now))),
            Step::Act => self.act(),
            Step::Connected => self.client.handle_connected(self.now),
            Step::Agree => self.agree(),
            Step::ConnectFailed => self.client.handle_connect_failed(ErrorKind::ConnectionRefused, self.now),
            Step::Bytes(bytes) => self.bytes(&bytes),
            Step::Closed => self.client.handle_closed(self.now),
            Step::Reset => self.client.handle_error(ErrorKind::ConnectionReset, self.now),
            Step::Send(len) => self.send(len),
            Step::Write(room) => self.write(room),
            Step::WriteFails => self.client.poll_transmit(self.now, |_| Err(ErrorKind::TimedOut.into())),
            Step::Stop => self.client.stop(),
        }
        self.events();
        assert_eq!(self.settled.len() + self.client.waiting_messages(), self.accepted.len(), "nothing lost");
        assert_eq!(self.settled, self.accepted[..self.settled.len()], "in order, nothing twice");
    }

    fn elapse(&mut self, now: Time) {
        self.now = now;
        for _ in 0..4 {
            self.client.handle_timeout(now);
        }
        assert!(self.client.poll_timeout().is_none_or(|at| at > now), "nothing is due for ever");
    }

    fn act(&mut self) {
        let mut left = 3;
        while let Some(action) = self.client.poll_action() {
            left -= 1;
            assert!(left > 0, "actions come to an end");
            match action {
                Action::Connect => {
                    assert!(!self.has_socket, "two sockets at once");
                    self.has_socket = true;
                    (self.stream, self.ahead, self.asked) = (vec![], vec![], None);
                }
                Action::CloseSocket => {
                    assert!(self.has_socket, "closes what is not open");
                    self.has_socket = false;
                }
            }
        }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        let (before, was_connected) = (self.client.poll_timeout(), self.client.is_connected());
        self.client.handle_bytes(bytes, self.now);
        if was_connected && self.client.is_connected() {
            assert!(self.client.poll_timeout() >= before, "life never brings the end nearer");
        }
    }

    /// A message says its number, in brackets that no heartbeat has.
    fn send(&mut self, len: usize) {
        let number = self.accepted.len();
        let message = format!("<{number}{}>", ".".repeat(len)).into_bytes();
        match self.client.send(message.clone()) {
            Ok(()) => self.accepted.push(number),
            Err(error) => assert_eq!(*error.message, message, "handed back"),
        }
    }

    fn write(&mut self, mut room: usize) {
        let mut calls = 0;
        let Self { client, stream, ahead, now, .. } = self;
        client.poll_transmit(*now, |slices| {
            calls += 1;
            assert!(calls < 1000, "writing comes to an end");
            let offered: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
            assert!(offered.starts_with(&ahead[..ahead.len().min(64 << 10)]), "what was offered is offered again");
            let taken = offered.len().min(room);
            room -= taken;
            *ahead = offered[taken..].to_vec();
            stream.extend_from_slice(&offered[..taken]);
            if taken == 0 { Err(ErrorKind::WouldBlock.into()) } else { Ok(taken) }
        });
        self.arrive();
    }

    /// Moves whole messages from the stream to what has arrived.
    fn arrive(&mut self) {
        while let Some((message, len)) = self.first_message() {
            self.stream.drain(..len);
            self.settled.extend(number(&message));
        }
    }

    #[cfg(feature = "websocket")]
    fn agree(&mut self) {
        if self.wire == Wire::WebSocket && self.asked.is_none() && self.stream.ends_with(b"\r\n\r\n") {
            let head = String::from_utf8(std::mem::take(&mut self.stream)).unwrap();
            let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
            self.bytes(super::websocket::agreement(key, "").as_bytes());
            self.asked = Some(head);
        }
    }

    #[cfg(not(feature = "websocket"))]
    fn agree(&mut self) {}

    /// The message of the first frame, nothing where it is a control frame, and the length of that frame.
    fn first_frame(&self) -> Option<(Vec<u8>, usize)> {
        self.asked.as_ref()?;
        let (header, at) = FrameHeader::decode(&self.stream, Sender::Client, false).unwrap()?;
        let end = at + usize::try_from(header.len).unwrap();
        let mut payload = self.stream.get(at..end)?.to_vec();
        header.mask.unwrap().apply(&mut payload);
        Some((if header.opcode.is_control() { vec![] } else { payload }, end))
    }

    fn first_message(&self) -> Option<(Vec<u8>, usize)> {
        if self.wire == Wire::WebSocket {
            return self.first_frame();
        }
        if self.wire == Wire::Raw {
            let len = self.stream.iter().position(|&byte| byte == b'>')? + 1;
            return Some((self.stream[..len].to_vec(), len));
        }
        let frame = self.wire.decode(&self.stream, 0, 1000).expect("the client sends what it may")?;
        Some((self.stream[frame.payload].to_vec(), frame.len))
    }

    fn events(&mut self) {
        while let Some(event) = self.client.poll_event() {
            assert!(!self.has_ended, "after the end: {event:?}");
            match event {
                Event::Connected { attempt, .. } => {
                    assert!(!std::mem::replace(&mut self.is_up, true) && attempt > 0);
                }
                Event::Message(_) => assert!(self.is_up),
                Event::Kept { waiting } => assert!(!self.is_up && waiting > 0),
                Event::Torn(message) => {
                    assert!(self.wire == Wire::Raw && self.stream.contains(&b'<'), "some of it has left");
                    self.settled.extend(number(&message));
                }
                Event::Lost { next_attempt, .. } => {
                    assert!(std::mem::take(&mut self.is_up) && next_attempt.delay <= next_attempt.bound);
                }
                Event::AttemptFailed { next_attempt, .. } => {
                    assert!(!self.is_up && next_attempt.delay <= next_attempt.bound);
                }
                Event::GaveUp { .. } | Event::Stopped => (self.has_ended, self.is_up) = (true, false),
            }
        }
    }
}

fn number(message: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(message).unwrap();
    let (_, numbered) = text.split_once('<')?;
    Some(numbered.trim_end_matches('>').trim_end_matches('.').parse().unwrap())
}

fn wires() -> Vec<Wire> {
    let mut wires = vec![Wire::Length, Wire::Line, Wire::Raw];
    wires.extend(cfg!(feature = "websocket").then_some([Wire::WebSocket; 3]).into_iter().flatten());
    wires
}

proptest! {
    #[test]
    fn the_promises_hold_in_any_order_of_events(
        steps in prop::collection::vec(step(), 0..200),
        wire in prop::sample::select(wires()),
        max_tries in prop::option::of(1u32..5),
        seed in any::<u64>(),
    ) {
        let options = ClientOptions { max_tries, max_message_bytes: 45, max_outbox_bytes: 200, max_outbox_messages: 8, ..ClientOptions::default() };
        let mut model = Model::new(wire, options, seed);
        for step in steps {
            model.take(step);
        }
    }
}
