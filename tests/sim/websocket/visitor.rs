//! A scripted peer that begins with HTTP: what it asks for, how it frames what it says, what it answers.

use crate::incoming::Rules;
use crate::knobs::{Fault, Faults};
use crate::rng::Rng;
use crate::websocket::ear::{Ear, Heard};
use crate::websocket::frames::{self, BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, RSV1, TEXT, from_client};
use crate::websocket::requests::{Bid, Offer, WRONG, page, upgrade};
use crate::websocket::squeeze::Squeeze;

#[derive(Debug)]
pub struct Visitor {
    ear: Ear,
    /// What it begins with, until it has begun.
    opening: Vec<u8>,
    /// It reads pages and never asks for a WebSocket.
    pub reads_pages: bool,
    /// It says nothing before its WebSocket was agreed on; what it would have said.
    waits: bool,
    held: Vec<u8>,
    pub squeeze: Option<Squeeze>,
    /// Messages in one frame each, and nothing else.
    is_plain: bool,
    may_panic: bool,
    pub rules: Rules,
    /// The code of the Close frame it has sent.
    pub closed: Option<Option<u16>>,
}

/// What a visitor makes of what it hears.
#[derive(Debug, Default)]
pub struct Reaction {
    pub reply: Vec<u8>,
    pub messages: Vec<Vec<u8>>,
    /// Both sides have closed at once.
    pub crossed: bool,
}

impl Visitor {
    pub fn draw(rng: &mut Rng, faults: Faults, rules: Rules) -> Self {
        let mut visitor = Self {
            ear: Ear::default(),
            opening: Vec::new(),
            reads_pages: rng.chance(20),
            waits: rng.chance(25),
            held: Vec::new(),
            squeeze: None,
            is_plain: rng.chance(10),
            may_panic: faults.has(Fault::Panic),
            rules,
            closed: None,
        };
        if !visitor.reads_pages {
            visitor.begin(Bid::Good, rng);
        }
        if rng.chance(25) {
            visitor.ask_pages(rng.size(1, 3), rng);
        }
        visitor
    }

    /// One that asks in a wrong way.
    pub fn intruder(rng: &mut Rng, faults: Faults, rules: Rules) -> Self {
        let mut visitor = Self { reads_pages: false, ..Self::draw(rng, faults, rules) };
        visitor.opening.clear();
        visitor.begin(rng.pick(&WRONG), rng);
        visitor
    }

    /// One that does everything right and nothing special.
    pub fn witness(rules: Rules) -> Self {
        let rng = &mut Rng::new(1);
        let mut visitor =
            Self { reads_pages: false, is_plain: true, waits: false, ..Self::draw(rng, Faults::NONE, rules) };
        visitor.opening = upgrade(Bid::Good, Offer::None, rng);
        visitor.squeeze = None;
        visitor
    }

    fn begin(&mut self, bid: Bid, rng: &mut Rng) {
        let offers =
            [Offer::Plain, Offer::Browser, Offer::ServerAfresh, Offer::SmallWindow, Offer::Second, Offer::Unknown];
        let offer = if rng.chance(40) { rng.pick(&offers) } else { Offer::None };
        let agreed = self.rules.takeover.and_then(|takeover| offer.agreed(takeover));
        self.squeeze = agreed.map(|agreed| Squeeze::new(rng.within(1, 9) as u32, agreed.client_afresh));
        self.opening = upgrade(bid, offer, rng);
    }

    /// Asks for some pages, before anything else where it has not begun.
    pub fn ask_pages(&mut self, count: usize, rng: &mut Rng) {
        let mut pages = Vec::new();
        for _ in 0..count {
            let (bytes, is_head) = page(self.may_panic, self.rules.max_body, rng);
            self.ear.ask(is_head);
            pages.extend(bytes);
        }
        self.opening.splice(0..0, pages);
    }

    /// Whether it may still ask for pages.
    pub fn may_ask(&self) -> bool {
        self.reads_pages || !self.opening.is_empty()
    }

    /// What is to be sent so that these frames come: its beginning before them, or that alone while it waits.
    pub fn wrap(&mut self, frames: &[u8]) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.opening);
        if self.waits { &mut self.held } else { &mut bytes }.extend_from_slice(frames);
        bytes
    }

    /// A message of its own.
    pub fn say(&mut self, body: &[u8], rng: &mut Rng) -> Vec<u8> {
        if self.reads_pages {
            self.ask_pages(1, rng);
            return std::mem::take(&mut self.opening);
        }
        let frames = self.message(body, rng);
        self.wrap(&frames)
    }

    fn message(&mut self, body: &[u8], rng: &mut Rng) -> Vec<u8> {
        let is_text = std::str::from_utf8(body).is_ok() && (self.is_plain || rng.chance(85));
        let opcode = if is_text { TEXT } else { BINARY };
        if self.is_plain {
            return from_client(FIN | opcode, key(rng), body);
        }
        let fits = body.len() + body.len() / 8 + 32 <= self.rules.max;
        let (first, payload) = match self.squeeze.as_mut().filter(|_| fits && rng.chance(60)) {
            Some(squeeze) => (RSV1 | opcode, squeeze.squeeze(body)),
            None => (opcode, body.to_vec()),
        };
        let most = if rng.chance(30) { 5 } else { 1 };
        self.fragments(first, &payload, rng.size(1, most.min(self.rules.max_fragments as usize)), rng)
    }

    /// A message in so many frames, with others between them.
    pub fn fragments(&self, first: u8, payload: &[u8], count: usize, rng: &mut Rng) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut rest = payload;
        for at in 1..=count {
            let last = at == count;
            let (part, after) =
                rest.split_at(if last { rest.len() } else { rng.size(0, rest.len() * 2 / count).min(rest.len()) });
            let opcode = if at == 1 { first } else { CONTINUATION };
            bytes.extend(from_client(if last { FIN | opcode } else { opcode }, key(rng), part));
            rest = after;
            if !last && rng.chance(20) {
                bytes.extend(control(rng));
            }
        }
        bytes
    }

    /// A Close frame.
    pub fn close(&mut self, code: Option<u16>, words: &str, rng: &mut Rng) -> Vec<u8> {
        self.closed = Some(code);
        from_client(FIN | CLOSE, key(rng), &frames::close(code, words))
    }

    /// Something reached it.
    pub fn on_taken(&mut self, bytes: &[u8], answers_pings: bool, is_polite: bool, rng: &mut Rng) -> Reaction {
        let mut reaction = Reaction::default();
        // What it should not hear, the model has heard before.
        for heard in self.ear.feed(bytes).unwrap_or_default() {
            match heard {
                Heard::Answer(answer) if answer.status == 101 => {
                    self.waits = false;
                    reaction.reply.append(&mut self.held);
                }
                Heard::Ping(payload) if answers_pings && self.closed.is_none() => {
                    reaction.reply.extend(from_client(FIN | PONG, key(rng), &payload));
                }
                Heard::Close(code) => {
                    reaction.crossed |= self.closed.is_some_and(|own| own != code);
                    if is_polite && self.closed.is_none() {
                        let close = self.close(code, "", rng);
                        reaction.reply.extend(close);
                    }
                }
                Heard::Message(body, _) => reaction.messages.push(body),
                Heard::Answer(_) | Heard::Ping(_) | Heard::Pong(_) => {}
            }
        }
        reaction
    }
}

/// A ping or a pong with anything in it.
pub fn control(rng: &mut Rng) -> Vec<u8> {
    let payload: Vec<u8> = (0..rng.magnitude(0, 125)).map(|_| rng.next() as u8).collect();
    let opcode = rng.pick(&[PING, PING, PONG]);
    from_client(FIN | opcode, key(rng), &payload)
}

/// A key; that of all zeros leaves bytes as they are.
pub fn key(rng: &mut Rng) -> [u8; 4] {
    if rng.chance(5) { [0; 4] } else { (rng.next() as u32).to_le_bytes() }
}
