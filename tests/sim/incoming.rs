//! The reference decoder: what the bytes a peer has sent mean, found in the plainest way and with none of the crate's
//! own codecs.

use crate::websocket::stream::{Said, Stream};
use std::collections::VecDeque;
use std::rc::Rc;
use tidegate::config::{Deflate, HeartbeatForms, Settings};
use tidegate::connection::{Door, ListenWire};
use tidegate::wire::{Kind, Wire};

/// One thing a stream says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// Its first bytes have told the wire.
    Opened,
    Message(Vec<u8>, Kind),
    TooLarge,
    Http,
    Tls,
    /// What only visitors say, in HTTP or WebSocket.
    Said(Said),
}

/// What decides how bytes are understood.
#[derive(Debug, Clone)]
pub struct Rules {
    pub max: usize,
    pub max_fragments: u32,
    pub max_body: usize,
    /// Whether messages may be compressed; and may go on from each other.
    pub takeover: Option<bool>,
    pub origins: Rc<[String]>,
}

impl Rules {
    pub fn of(settings: &Settings) -> Self {
        Self {
            max: settings.max_message_bytes,
            max_fragments: settings.max_message_fragments,
            max_body: settings.max_http_body_bytes,
            takeover: match settings.deflate {
                Deflate::Off => None,
                Deflate::On => Some(false),
                Deflate::Takeover => Some(true),
            },
            origins: settings.allowed_origins.as_slice().into(),
        }
    }
}

#[derive(Debug)]
pub struct Incoming {
    /// How its messages come, once there can be any.
    pub wire: Option<Wire>,
    /// Bytes of what is not complete.
    pub tail: Vec<u8>,
    /// Reads that the tail has come with.
    pub reads: u32,
    /// Of a visitor, who begins with HTTP.
    pub stream: Option<Box<Stream>>,
    http: bool,
    rules: Rules,
}

const METHODS: [&str; 9] = ["GET ", "POST ", "PUT ", "HEAD ", "DELETE ", "OPTIONS ", "PATCH ", "CONNECT ", "TRACE "];

impl Incoming {
    pub fn new(door: Door, rules: Rules) -> Self {
        let (wire, stream) = match door.wire {
            ListenWire::Auto => (None, None),
            ListenWire::Fixed(Wire::WebSocket) => (None, Some(Box::default())),
            ListenWire::Fixed(wire) => (Some(wire), None),
        };
        Self { wire, tail: Vec::new(), reads: 0, stream, http: door.http, rules }
    }

    /// Whether something has begun whose end has not come.
    pub fn is_begun(&self) -> bool {
        !self.tail.is_empty() || self.stream.as_ref().is_some_and(|stream| stream.is_begun())
    }

    /// Whether its first bytes have not told what it speaks.
    pub fn is_undecided(&self) -> bool {
        self.wire.is_none() && self.stream.is_none()
    }

    /// Whether requests come.
    pub fn is_http(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| !stream.is_open())
    }

    /// Nothing that comes means anything from here on.
    pub fn stop(&mut self) {
        self.tail.clear();
        if let Some(stream) = self.stream.as_mut() {
            stream.stop();
        }
    }

    /// What one more read says.
    pub fn feed(&mut self, bytes: &[u8], items: &mut VecDeque<Item>) {
        self.reads += 1;
        self.tail.extend_from_slice(bytes);
        if self.is_undecided() && !self.detect(items) {
            return;
        }
        let max = self.rules.max;
        match (self.wire, self.stream.as_mut()) {
            (_, Some(stream)) => {
                stream.feed(&mut self.tail, &self.rules, items);
                self.wire = stream.is_open().then_some(Wire::WebSocket);
            }
            (Some(Wire::Length), None) => self.feed_length(max, items),
            (Some(Wire::Line), None) => self.feed_line(max, items),
            (Some(Wire::Raw), None) => items.push_back(Item::Message(std::mem::take(&mut self.tail), Kind::Plain)),
            (Some(Wire::WebSocket) | None, None) => {}
        }
        if !self.is_begun() {
            self.reads = 0;
        }
    }

    /// Whether the stream can be decoded from here on.
    fn detect(&mut self, items: &mut VecDeque<Item>) -> bool {
        let text = String::from_utf8_lossy(&self.tail[..self.tail.len().min(8)]).into_owned();
        let refusal = match self.tail[0] {
            0x16 => Some(Item::Tls),
            _ if METHODS.iter().any(|method| text.starts_with(method)) && self.http => {
                self.stream = Some(Box::default());
                return true;
            }
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
            items.push_back(Item::Message(body.to_vec(), Kind::Plain));
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
            items.push_back(Item::Message(body.to_vec(), Kind::Plain));
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

/// A message in the framing of a plain wire.
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
