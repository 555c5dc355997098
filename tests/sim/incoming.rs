//! The reference decoder: what the bytes a peer has sent mean, found in the plainest way and with none of the crate's
//! own codecs.

use std::collections::VecDeque;
use tidegate::config::HeartbeatForms;
use tidegate::connection::ListenWire;
use tidegate::wire::Wire;

/// One thing a stream says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// Its first bytes have told the wire.
    Opened,
    Message(Vec<u8>),
    TooLarge,
    Http,
    Tls,
}

#[derive(Debug)]
pub struct Incoming {
    pub wire: Option<Wire>,
    /// Bytes of what is not complete.
    pub tail: Vec<u8>,
    /// Reads that the tail has come with.
    pub reads: u32,
}

const METHODS: [&str; 9] = ["GET ", "POST ", "PUT ", "HEAD ", "DELETE ", "OPTIONS ", "PATCH ", "CONNECT ", "TRACE "];

impl Incoming {
    pub fn new(listen: ListenWire) -> Self {
        let wire = match listen {
            ListenWire::Auto => None,
            ListenWire::Fixed(wire) => Some(wire),
        };
        Self { wire, tail: Vec::new(), reads: 0 }
    }

    /// What one more read says.
    pub fn feed(&mut self, bytes: &[u8], max: usize, items: &mut VecDeque<Item>) {
        self.reads += 1;
        self.tail.extend_from_slice(bytes);
        if self.wire.is_none() && !self.detect(items) {
            return;
        }
        match self.wire {
            Some(Wire::Length) => self.feed_length(max, items),
            Some(Wire::Line) => self.feed_line(max, items),
            Some(Wire::Raw) => items.push_back(Item::Message(std::mem::take(&mut self.tail))),
            Some(Wire::WebSocket) | None => {}
        }
        if self.tail.is_empty() {
            self.reads = 0;
        }
    }

    /// Whether the stream can be decoded from here on.
    fn detect(&mut self, items: &mut VecDeque<Item>) -> bool {
        let text = String::from_utf8_lossy(&self.tail[..self.tail.len().min(8)]).into_owned();
        let refusal = match self.tail[0] {
            0x16 => Some(Item::Tls),
            _ if METHODS.iter().any(|method| text.starts_with(method)) => Some(Item::Http),
            _ if METHODS.iter().any(|method| method.starts_with(&text)) => return false,
            _ => None,
        };
        match refusal {
            Some(refusal) => {
                self.tail.clear();
                items.push_back(refusal);
                false
            }
            None => {
                self.wire = Some(if self.tail[0] == 0 { Wire::Length } else { Wire::Line });
                items.push_back(Item::Opened);
                true
            }
        }
    }

    fn feed_length(&mut self, max: usize, items: &mut VecDeque<Item>) {
        let mut at = 0;
        while let Some(header) = self.tail.get(at..at + 4) {
            let length = header.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
            if length > max {
                items.push_back(Item::TooLarge);
                break;
            }
            let Some(body) = self.tail.get(at + 4..at + 4 + length) else {
                break;
            };
            items.push_back(Item::Message(body.to_vec()));
            at += 4 + length;
        }
        self.cut(at);
    }

    fn feed_line(&mut self, max: usize, items: &mut VecDeque<Item>) {
        let mut at = 0;
        while let Some(length) = self.tail[at..].iter().position(|byte| *byte == b'\n') {
            let line = &self.tail[at..at + length];
            let body = line.strip_suffix(b"\r").unwrap_or(line);
            if body.len() > max {
                items.push_back(Item::TooLarge);
                return self.cut(at);
            }
            items.push_back(Item::Message(body.to_vec()));
            at += length + 1;
        }
        self.cut(at);
        let could_end_here = self.tail.len() == max + 1 && self.tail.last() == Some(&b'\r');
        if self.tail.len() > max && !could_end_here {
            items.push_back(Item::TooLarge);
        }
    }

    fn cut(&mut self, at: usize) {
        if at > 0 {
            self.tail.drain(..at);
            self.reads = 1;
        }
    }
}

/// A message in a wire's framing.
pub fn frame(wire: Wire, body: &[u8]) -> Vec<u8> {
    match wire {
        Wire::Length => [&(body.len() as u32).to_be_bytes(), body].concat(),
        Wire::Line => [body, b"\n"].concat(),
        Wire::Raw | Wire::WebSocket => body.to_vec(),
    }
}

/// What answers a heartbeat, if it is one.
pub fn heartbeat_answer(body: &[u8], forms: HeartbeatForms) -> Option<&'static [u8]> {
    let answers: [(bool, &[u8], &'static [u8]); 3] =
        [(forms.lower, b"ping", b"pong"), (forms.upper, b"PING", b"PONG"), (forms.byte, b"\x01", b"\x01")];
    let plain = answers.into_iter().find(|(on, ask, _)| *on && *ask == body).map(|(_, _, answer)| answer);
    plain.or_else(|| (forms.json && is_json_ping(body)).then_some(br#"{"type":"pong"}"#))
}

/// White space may stand around each of `{ "type" : "ping" }` and within none.
fn is_json_ping(body: &[u8]) -> bool {
    if body.len() > 64 || !matches!(body.first(), Some(b'{' | b' ' | b'\t' | b'\r' | b'\n')) {
        return false;
    }
    let text = String::from_utf8_lossy(body);
    let spaced = text.replace(['\t', '\r', '\n'], " ");
    let words: Vec<&str> = spaced.split(['{', ':', '}']).map(str::trim).collect();
    let order: String = text.chars().filter(|c| matches!(c, '{' | ':' | '}')).collect();
    order == "{:}" && words == ["", "\"type\"", "\"ping\"", ""]
}
