//! What visitors do in a run, beside what all peers do.

use crate::peers::Peer;
use crate::pipes::Segment;
use crate::plan::Deed;
use crate::rng::Rng;
use crate::websocket::frames::{BINARY, FIN, PING, PONG, TEXT, from_client};
use crate::websocket::violations;
use crate::websocket::visitor::{Visitor, control, key};
use crate::world::World;
use tidegate::wire::Wire;

/// More than one read takes, a few times over.
const FLOOD: usize = 160 << 10;

impl World<'_> {
    /// A visitor does something of its own; false where who sits there is none.
    pub fn act_as_visitor(&mut self, sock: usize, deed: Deed) -> bool {
        let mut is_visitor = false;
        self.with_peer(sock, |peer, net, rng| {
            let rest = std::mem::take(&mut peer.rest);
            peer.send(net, &rest, rng);
            let Some(visitor) = peer.visitor.as_mut() else {
                return;
            };
            is_visitor = true;
            let bytes = visitor.does(deed, rng);
            if deed == Deed::Flood && !peer.ended && !net.socks[sock].is_over() {
                net.send(sock, Segment::Bytes(bytes), net.now + peer.latency);
            } else {
                peer.send(net, &bytes, rng);
            }
        });
        is_visitor
    }

    /// Somebody asks for a WebSocket in a wrong way.
    pub fn come_as_intruder(&mut self) {
        let doors: Vec<usize> = self.plan.web_listeners().collect();
        if doors.is_empty() {
            return;
        }
        let listener = self.rng.pick(&doors);
        let (plan, rng) = (self.plan, &mut self.rng);
        let (peer, sock) = Peer::draw(rng, plan.faults, &plan.settings, plan.listeners[listener]);
        let rules = crate::incoming::Rules::of(&plan.settings);
        let visitor = Some(Box::new(Visitor::intruder(rng, plan.faults, rules)));
        let peer = Peer { visitor, wire: Wire::WebSocket, ..peer };
        if let Some(sock) = self.seat(listener, peer, sock) {
            self.say(sock, b"let me in");
        }
    }
}

impl World<'_> {
    /// Visitors who have come and have not asked for anything yet.
    pub fn seat_latecomers(&mut self) -> Vec<usize> {
        let mut seated = Vec::new();
        for listener in self.plan.web_listeners() {
            let (peer, sock) = Peer::witness(Wire::WebSocket, &self.plan.settings);
            seated.extend(self.seat(listener, peer, sock));
        }
        seated
    }
}

impl Visitor {
    fn does(&mut self, deed: Deed, rng: &mut Rng) -> Vec<u8> {
        if deed == Deed::Ask && self.may_ask() {
            self.ask_pages(rng.size(1, 5), rng);
            return self.wrap(&[]);
        }
        if self.reads_pages {
            if deed == Deed::Flood {
                self.ask_pages(600, rng);
            }
            return self.say(b"", rng);
        }
        let frames = match deed {
            Deed::Flood => self.flood(rng),
            Deed::Fragments => self.many_fragments(rng),
            Deed::Violate => [violations::draw(self, rng), self.something(rng)].concat(),
            Deed::Goodbye => self.goodbye(rng),
            _ => (0..rng.size(1, 5)).flat_map(|_| control(rng)).collect(),
        };
        self.wrap(&frames)
    }

    /// A frame that would be fine.
    fn something(&self, rng: &mut Rng) -> Vec<u8> {
        let body = &b"hello?"[..6.min(self.rules.max)];
        if rng.chance(50) { from_client(FIN | TEXT, key(rng), body) } else { control(rng) }
    }

    fn flood(&self, rng: &mut Rng) -> Vec<u8> {
        let (opcode, length) = (rng.pick(&[PING, PONG]), rng.magnitude(0, 125) as usize);
        let key = key(rng);
        let frame = from_client(FIN | opcode, key, &vec![b'~'; length]);
        frame.repeat(FLOOD / frame.len())
    }

    fn many_fragments(&self, rng: &mut Rng) -> Vec<u8> {
        let most = (self.rules.max_fragments as usize + 1).min(rng.magnitude(2, 150) as usize);
        let text = "fragments: \u{e9}\u{20ac}\u{1f600}".repeat(rng.size(1, 60));
        let end = (0..=text.len().min(self.rules.max)).rev().find(|end| text.is_char_boundary(*end));
        let body = &text.as_bytes()[..end.unwrap_or(0)];
        let mut frames = self.fragments(if rng.chance(70) { TEXT } else { BINARY }, body, rng.size(1, most), rng);
        if rng.chance(15) {
            // Its end never comes.
            frames.truncate(frames.len() - frames.len() / 4);
        } else if rng.chance(15) {
            // Nor here, and the last of it is a ping.
            let first = &b"begun"[..5.min(self.rules.max)];
            return [from_client(TEXT, key(rng), first), from_client(FIN | PING, key(rng), b"")].concat();
        }
        frames
    }

    /// A Close frame, and sometimes more behind it.
    fn goodbye(&mut self, rng: &mut Rng) -> Vec<u8> {
        let (code, words) =
            rng.pick(&[(None, ""), (Some(1000), ""), (Some(1001), "g\u{fc}le g\u{fc}le"), (Some(4999), "bye")]);
        let mut frames = self.close(code, words, rng);
        if rng.chance(40) {
            frames.extend(self.something(rng));
        }
        frames
    }
}
