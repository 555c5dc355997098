//! Peers that follow a script: what they speak, how they send, what they do when something reaches them.

use crate::incoming::{Rules, frame, heartbeat_answer};
use crate::knobs::{Fault, Faults};
use crate::net::{Happening, Net};
use crate::pipes::{Appetite, Segment, Sock};
use crate::rng::Rng;
use crate::seen::Situation;
use crate::websocket::visitor::Visitor;
use std::net::SocketAddr;
use tidegate::config::{HeartbeatForms, Settings};
use tidegate::connection::{Door, ListenWire};
use tidegate::gateway::Peer as Address;
use tidegate::wire::Wire;

/// How a peer's bytes are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Whole,
    Pieces,
    /// One at a time, so many milliseconds apart.
    Drip {
        apart: u64,
    },
}

#[derive(Debug)]
pub struct Peer {
    pub sock: usize,
    pub wire: Wire,
    /// What it is beside, where it begins with HTTP.
    pub visitor: Option<Box<Visitor>>,
    pub style: Style,
    pub latency: u64,
    /// Sends a heartbeat this often.
    pub beat: Option<u64>,
    pub form: &'static [u8],
    pub answers_probes: bool,
    /// Shuts its side when the other is shut.
    pub polite: bool,
    /// Begins or goes on in the middle of a frame.
    pub rest: Vec<u8>,
    /// Has sent nothing but whole frames.
    pub clean: bool,
    pub said: u32,
    pub ended: bool,
    pub markers: usize,
}

pub const FORMS: [&[u8]; 5] = [b"ping", b"PING", b"\x01", br#"{"type":"ping"}"#, b" {\t\"type\" : \"ping\"\r}"];
pub const MARKER: &[u8] = b"the marker";

impl Peer {
    /// A peer as a seed wants it, with its socket.
    pub fn draw(rng: &mut Rng, faults: Faults, settings: &Settings, door: Door) -> (Self, Sock) {
        let wire = match door.wire {
            ListenWire::Fixed(wire) => wire,
            ListenWire::Auto if door.http => rng.pick(&[Wire::Length, Wire::Line, Wire::WebSocket, Wire::WebSocket]),
            ListenWire::Auto => rng.pick(&[Wire::Length, Wire::Line]),
        };
        let interval = settings.heartbeat_timeout.as_millis() as u64;
        let delays = faults.has(Fault::Delay);
        let latency = if delays { rng.magnitude(0, 400) } else { rng.below(3) };
        let beats = settings.has_heartbeat() && rng.chance(60);
        let mut peer = Self {
            sock: 0,
            wire,
            visitor: None,
            style: draw_style(rng, faults, settings),
            latency,
            beat: beats.then(|| (interval / 3).max(1)),
            form: rng.pick(&FORMS),
            answers_probes: rng.chance(70),
            polite: rng.chance(80),
            rest: Vec::new(),
            clean: true,
            said: 0,
            ended: false,
            markers: 0,
        };
        let least = (settings.max_message_bytes.min(20_000) / 50).max(settings.write_queue_hard_bytes / 2000);
        let room = if faults.has(Fault::Narrow) { least + rng.magnitude(1, 100_000) as usize } else { 1 << 20 };
        // A narrow line that is emptied every millisecond is only a slow simulation.
        let patience = (20_000 / room as u64).min(50);
        let flaky = if faults.has(Fault::Flaky) { rng.pick(&[0, 10, 50]) } else { 0 };
        let appetite = match draw_appetite(rng, faults, settings) {
            Appetite::Eager { after } => Appetite::Eager { after: after + patience },
            Appetite::Slow { bytes, every } => Appetite::Slow { bytes, every: every + patience },
            Appetite::Never => Appetite::Never,
        };
        let sock = Sock::new(draw_address(rng), appetite, room, flaky);
        if wire == Wire::WebSocket {
            peer.visitor = Some(Box::new(Visitor::draw(rng, faults, Rules::of(settings))));
        }
        (peer, sock)
    }

    /// One that does everything right.
    pub fn witness(wire: Wire, settings: &Settings) -> (Self, Sock) {
        let (mut peer, sock) = Self::draw(&mut Rng::new(1), Faults::NONE, settings, ListenWire::Fixed(wire).into());
        peer.visitor = peer.visitor.map(|_| Box::new(Visitor::witness(Rules::of(settings))));
        let timeout = settings.heartbeat_timeout.as_millis() as u64;
        peer.beat = settings.has_heartbeat().then(|| (timeout / 3).max(1));
        (peer.style, peer.latency, peer.polite) = (Style::Whole, 0, true);
        (peer, Sock { peer: Address::Unix, ..sock })
    }

    /// Sends bytes in its style.
    pub fn send(&mut self, net: &mut Net, bytes: &[u8], rng: &mut Rng) {
        if bytes.is_empty() || self.ended || net.socks[self.sock].is_over() {
            return;
        }
        let mut at = net.now + self.latency;
        for piece in self.cut(bytes, rng) {
            net.send(self.sock, Segment::Bytes(piece.to_vec()), at);
            at += match self.style {
                Style::Whole => 0,
                Style::Pieces => rng.below(2) * rng.below(5),
                Style::Drip { apart } => apart,
            };
        }
    }

    fn cut<'a>(&self, bytes: &'a [u8], rng: &mut Rng) -> Vec<&'a [u8]> {
        let largest = match self.style {
            Style::Whole => return vec![bytes],
            Style::Drip { .. } => (bytes.len() / 64).max(1),
            Style::Pieces => (bytes.len() / 8).max(7),
        };
        let mut pieces = Vec::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            let least = if self.style == Style::Pieces { 1 } else { largest };
            let (piece, after) = rest.split_at(rng.size(least, largest).min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        pieces
    }

    /// One more message of its own, of at most `most` bytes.
    pub fn compose(&mut self, most: usize, rng: &mut Rng) -> Vec<u8> {
        self.said += 1;
        let length = match rng.below(12) {
            0 => 0,
            1 => most,
            2 => most.saturating_sub(1),
            3..=8 => rng.size(0, most.min(40)),
            _ => rng.magnitude(0, most as u64) as usize,
        };
        let mut body = format!("s{}n{}:", self.sock, self.said).into_bytes();
        let filler = [b'a', b'z', 0, b'\r', b'p', 0xff, b' '];
        if self.visitor.is_some() && self.said.is_multiple_of(3) {
            // Characters of every length.
            let text = "a\u{e9}\u{20ac}\u{1f600}".repeat(length / 10 + 1);
            let room = length.saturating_sub(body.len());
            let end = (0..=room).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
            body.extend_from_slice(&text.as_bytes()[..end]);
            body.truncate(length);
            return body;
        }
        body.resize(length, filler[self.said as usize % filler.len()]);
        body
    }

    pub fn frame(&mut self, body: &[u8], rng: &mut Rng) -> Vec<u8> {
        match &mut self.visitor {
            Some(visitor) => visitor.say(body, rng),
            None => frame(self.wire, body),
        }
    }

    /// Sends its heartbeat and says when the next is due.
    pub fn on_beat(&mut self, net: &mut Net, rng: &mut Rng) {
        let Some(every) = self.beat.filter(|_| !self.ended && !net.socks[self.sock].is_over()) else {
            return;
        };
        // In the middle of a frame a heartbeat would be part of it; any byte is a sign of life anyway.
        if self.rest.is_empty() && self.style == Style::Whole {
            let bytes = self.frame(self.form, rng);
            self.send(net, &bytes, rng);
        }
        net.enter(net.now + every, Happening::Beat(self.sock));
    }

    /// Something reached it.
    pub fn on_taken(&mut self, net: &mut Net, bytes: &[u8], probe: Option<&[u8]>, rng: &mut Rng) {
        if self.visitor.is_some() {
            return self.on_heard(net, bytes, rng);
        }
        // What a quiet peer is asked comes alone; a flood is not searched.
        if bytes.len() > 500 {
            return;
        }
        let finds = |what: &[u8]| bytes.windows(what.len()).any(|window| window[0] == what[0] && window == what);
        let asked = self.answers_probes && self.rest.is_empty() && probe.is_some_and(finds);
        self.markers += usize::from(finds(MARKER));
        if asked {
            let answer = probe.and_then(|probe| heartbeat_answer(probe, HeartbeatForms::ALL)).unwrap_or(b"!");
            let answer = self.frame(answer, rng);
            self.send(net, &answer, rng);
        }
    }

    /// Something reached a visitor.
    fn on_heard(&mut self, net: &mut Net, bytes: &[u8], rng: &mut Rng) {
        let Some(visitor) = self.visitor.as_mut() else {
            return;
        };
        // In the middle of a frame nothing else can be said.
        let is_free = self.rest.is_empty();
        let reaction = visitor.on_taken(bytes, self.answers_probes && is_free, self.polite && is_free, rng);
        net.seen.hit_if(reaction.crossed, Situation::ClosesCross);
        self.markers += reaction.messages.iter().filter(|message| message.starts_with(MARKER)).count();
        self.send(net, &reaction.reply, rng);
    }

    pub fn end(&mut self, net: &mut Net, segment: Segment) {
        if !self.ended && !net.socks[self.sock].is_over() {
            self.ended = true;
            net.send(self.sock, segment, net.now + self.latency);
        }
    }

    /// The server has shut or closed its side.
    pub fn on_server_ended(&mut self, net: &mut Net) {
        let sock = &mut net.socks[self.sock];
        if sock.closed {
            sock.outbox = Default::default();
            sock.inbox = Default::default();
            sock.in_flight = Default::default();
        } else if self.polite {
            self.end(net, Segment::End);
        }
    }
}

fn draw_style(rng: &mut Rng, faults: Faults, settings: &Settings) -> Style {
    let handshake = settings.handshake_timeout.as_millis() as u64;
    if faults.has(Fault::Drip) && rng.chance(25) {
        return Style::Drip { apart: rng.below(handshake / 8 + 2) };
    }
    if faults.has(Fault::Split) && rng.chance(60) { Style::Pieces } else { Style::Whole }
}

fn draw_appetite(rng: &mut Rng, faults: Faults, settings: &Settings) -> Appetite {
    if !faults.has(Fault::Sluggish) || rng.chance(50) {
        return Appetite::Eager { after: rng.below(4) };
    }
    if rng.chance(30) {
        return Appetite::Never;
    }
    // Slow beside the time-outs, so that waiting one out is no endless series of small steps.
    let least = settings.heartbeat_timeout.as_millis() as u64 / 100;
    Appetite::Slow { bytes: rng.magnitude(10, 5000) as usize, every: least + rng.within(1, 50) }
}

/// Few addresses, so that limits on them are met: IPv4, the same mapped into IPv6, two networks of IPv6, a Unix socket.
fn draw_address(rng: &mut Rng) -> Address {
    let host = rng.within(1, 3);
    let port = rng.within(1024, 65_535) as u16;
    let text = match rng.below(5) {
        0 | 1 => format!("192.0.2.{host}:{port}"),
        2 => format!("[::ffff:192.0.2.{host}]:{port}"),
        3 => format!("[2001:db8:0:{}::{host}]:{port}", host % 2),
        _ => return Address::Unix,
    };
    Address::Tcp(text.parse::<SocketAddr>().expect("written as an address"))
}
