//! The crate's own reconnecting clients at the far end of simulated sockets, and what they promise.

use crate::dialling::draw_options;
use crate::incoming::{Incoming, Item, Rules, heartbeat_answer};
use crate::knobs::Fault;
use crate::model::{Verdict, broken, show};
use crate::net::Net;
use crate::plan::Plan;
use crate::rng::Rng;
use crate::seen::{Seen, Situation};
use crate::world::Owner;
use std::collections::{BTreeSet, VecDeque};
use std::io::ErrorKind;
use std::time::Duration;
use tidegate::client::{Client, Event};
use tidegate::config::HeartbeatForms;
use tidegate::connection::{CloseReason, ListenWire, PeerReason};
use tidegate::gateway::ConnId;
use tidegate::timer::Time;
use tidegate::wire::{Kind, Wire};

#[derive(Debug)]
pub struct Customer {
    pub client: Client,
    pub which: usize,
    pub wire: Wire,
    pub listener: usize,
    pub max_message_bytes: usize,
    pub faults: crate::knobs::Faults,
    pub latency: u64,
    pub sock: Option<usize>,
    /// When the attempt under way is decided, and how.
    pub connecting: Option<(u64, Result<(), ErrorKind>)>,
    /// The earliest moment for which it stands in the calendar.
    pub called_at: Option<u64>,
    /// Whether its last event but messages said that the connection stands.
    pub connected: bool,
    pub ended: bool,
    /// No attempt may come before.
    pub attempt_from: u64,
    /// What reached it, decoded by the reference, and was not handed to the program.
    pub reference: Incoming,
    rules: Rules,
    pub expected: VecDeque<Item>,
    pub sent: u32,
    /// The connection on which the server's handler last got one of its messages, and that message's number.
    pub heard_last: Option<(ConnId, u32)>,
    /// Which of its messages the server's handler got.
    pub heard: BTreeSet<u32>,
    pub cuts: u32,
    pub seen: Seen,
    pub rng: Rng,
}

impl Customer {
    pub fn new(plan: &Plan, which: usize, rng: &mut Rng, seen: Seen, now: u64) -> Self {
        let plain = plan.plain_listeners();
        let listener = plain[rng.size(0, plain.len() - 1)];
        let wire = match plan.listeners[listener].wire {
            ListenWire::Fixed(wire) => wire,
            ListenWire::Auto => rng.pick(&[Wire::Length, Wire::Line]),
        };
        let max_message_bytes = plan.settings.max_message_bytes;
        let latency = if plan.faults.has(Fault::Delay) { rng.magnitude(0, 300) } else { rng.below(3) };
        let options = draw_options(rng, plan, latency);
        let client =
            Client::new(wire, options, rng.next(), Time::from_millis(now)).expect("the options drawn are valid");
        Self {
            client,
            which,
            wire,
            listener,
            max_message_bytes,
            faults: plan.faults,
            latency,
            sock: None,
            connecting: None,
            called_at: None,
            connected: false,
            ended: false,
            attempt_from: now,
            reference: Incoming::new(ListenWire::Fixed(wire).into(), Rules::of(&plan.settings)),
            rules: Rules::of(&plan.settings),
            expected: VecDeque::new(),
            sent: 0,
            heard_last: None,
            heard: BTreeSet::new(),
            cuts: 0,
            seen,
            rng: Rng::new(rng.next()),
        }
    }

    /// The program sends a message with a number of its own.
    pub fn say(&mut self, length: usize) {
        let mut body = format!("c{}n{}:", self.which, self.sent + 1).into_bytes();
        body.resize(body.len().max(length).min(self.max_message_bytes), b'+');
        self.sent += u32::from(self.client.send(body).is_ok());
    }

    /// The server's handler got one of its messages. What is still under way on a connection that the client has given
    /// up may come after what it sends on the next.
    pub fn on_heard(&mut self, id: ConnId, number: u32) -> Verdict {
        let in_order = self.heard_last.is_none_or(|(last, before)| last != id || before < number);
        if !in_order || number > self.sent + 1 || !self.heard.insert(number) {
            let what = format!("client {}: {number} after {:?}, {} sent", self.which, self.heard_last, self.sent);
            return broken("a client's message came twice, out of order or from nowhere", Some(id), what);
        }
        self.heard_last = Some((id, number));
        Ok(())
    }

    /// Bytes have reached it.
    pub fn on_taken(&mut self, net: &mut Net, owners: &mut Vec<Owner>, sock: usize, bytes: &[u8]) -> Verdict {
        if self.sock != Some(sock) {
            return Ok(());
        }
        let now = Time::from_millis(net.now);
        let mut rest = bytes;
        while !rest.is_empty() && self.client.is_connected() {
            let cut = if self.faults.has(Fault::Split) { self.rng.size(1, rest.len()) } else { rest.len() };
            let (part, after) = rest.split_at(cut);
            self.reference.feed(part, &mut self.expected);
            self.client.handle_bytes(part, now);
            rest = after;
            while let Some(event) = self.client.poll_event() {
                self.on_event(event, net.now)?;
            }
        }
        if self.client.is_connected()
            && let Some(item) = self.expected.iter().find(|item| !is_heartbeat(item))
        {
            return broken("a client kept a message from its program", None, format!("{item:?}"));
        }
        self.look_for_end(net, sock);
        self.pump(net, owners)
    }

    /// The server has shut or closed its side of this socket.
    pub fn on_server_ended(&mut self, net: &mut Net, owners: &mut Vec<Owner>, sock: usize) -> Verdict {
        if self.sock == Some(sock) {
            self.look_for_end(net, sock);
        }
        self.pump(net, owners)
    }

    pub fn on_event(&mut self, event: Event, now: u64) -> Verdict {
        if self.ended {
            return broken("a client goes on after its end", None, format!("{event:?}"));
        }
        let right = match &event {
            Event::Connected { .. } => !self.connected,
            Event::Lost { .. } | Event::Message(_) => self.connected,
            Event::AttemptFailed { .. } => !self.connected,
            Event::Kept { .. } | Event::Torn(_) | Event::GaveUp { .. } | Event::Stopped => true,
        };
        if !right {
            return broken("a client tells of what can't be", None, format!("{event:?}"));
        }
        match event {
            Event::Connected { resumed_after, .. } => {
                self.connected = true;
                self.reference = Incoming::new(ListenWire::Fixed(self.wire).into(), self.rules.clone());
                self.expected.clear();
                self.seen.hit(Situation::ClientConnected);
                self.seen.hit_if(resumed_after.is_some(), Situation::ClientCameBack);
                self.seen.hit_if(self.client.waiting_messages() > 0, Situation::ClientSendsKept);
            }
            Event::Message(message) => return self.on_message(&message),
            Event::Lost { reason, next_attempt } => {
                let missed = reason == CloseReason::Peer(PeerReason::HeartbeatTimeout);
                self.seen.hit_if(missed, Situation::ClientMissedServer);
                self.on_lost(next_attempt.delay, now);
            }
            Event::AttemptFailed { reason, next_attempt } => {
                let timed_out = reason == CloseReason::Transport(ErrorKind::TimedOut);
                let how = if timed_out { Situation::ClientTimedOut } else { Situation::ClientRefused };
                self.seen.hit(how);
                self.on_lost(next_attempt.delay, now);
            }
            Event::GaveUp { .. } | Event::Stopped => {
                let gave_up = matches!(event, Event::GaveUp { .. });
                self.seen.hit_if(gave_up, Situation::ClientGaveUp);
                self.on_lost(Duration::ZERO, now);
                self.ended = true;
            }
            Event::Kept { .. } | Event::Torn(_) => {}
        }
        Ok(())
    }

    fn on_lost(&mut self, delay: Duration, now: u64) {
        self.cuts += u32::from(self.connected);
        self.connected = false;
        self.expected.clear();
        self.attempt_from = now + delay.as_millis() as u64;
    }

    /// The program gets exactly what was sent to it, heartbeats taken out.
    fn on_message(&mut self, message: &[u8]) -> Verdict {
        while let Some(item) = self.expected.pop_front() {
            if item == Item::Message(message.to_vec(), Kind::Plain) {
                return Ok(());
            }
            if !is_heartbeat(&item) {
                let what = format!("{item:?} expected, {} came", show(message));
                return broken("a client's program got a changed message", None, what);
            }
        }
        broken("a client's program got a message that was never sent", None, show(message))
    }

    /// It has ended, or it stands and everything has left.
    pub fn has_nothing_to_send(&self) -> bool {
        self.client.is_ended() || self.client.is_connected() && self.client.waiting_messages() == 0
    }

    /// Nothing was cut, so nothing may be missing.
    pub fn check_all_heard(&self, net: &Net) -> Verdict {
        let under_way = self.sock.is_none_or(|sock| {
            let of = &net.socks[sock];
            of.id.is_none() || !of.inbox.is_empty() || !of.in_flight.is_empty()
        });
        let whole = !under_way
            && self.cuts == 0
            && self.connected
            && self.client.waiting_messages() == 0
            && self.wire != Wire::Raw;
        if whole && self.heard.len() != self.sent as usize && self.max_message_bytes >= 24 {
            let what = format!("client {}: {} of {}", self.which, self.heard.len(), self.sent);
            return broken("a client's messages were lost without a cut", None, what);
        }
        Ok(())
    }
}

/// Whether a client may keep it from its program.
fn is_heartbeat(item: &Item) -> bool {
    let answers: [&[u8]; 4] = [b"pong", b"PONG", b"\x01", br#"{"type":"pong"}"#];
    match item {
        Item::Message(body, _) => {
            let dense: Vec<u8> = body.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
            answers.contains(&dense.as_slice()) || heartbeat_answer(body, HeartbeatForms::ALL).is_some()
        }
        Item::Opened | Item::TooLarge | Item::Http | Item::Tls | Item::Said(_) => false,
    }
}
