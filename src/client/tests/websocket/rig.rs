//! A driver without sockets for a client on WebSocket, and a server that answers what a test has it answer. What the
//! client sends is taken apart frame by frame for the log.

use crate::buffer::Pool;
use crate::client::tests::rig::told;
use crate::client::{Action, Client, ClientOptions};
use crate::connection::{Compression, Compressor, Found, FrameReader, FrameRules};
use crate::timer::Time;
use crate::wire::Kind;
use crate::wire::websocket::handshake::accept_key;
use crate::wire::websocket::{CloseFrame, DeflateParams, FrameHeader, Sender};
use std::io::ErrorKind;
use std::time::Duration;

pub(super) struct Rig {
    pub(super) client: Client,
    pub(super) now: Time,
    pub(super) log: Vec<String>,
    /// What the server has been asked, head by head.
    pub(super) asked: Vec<String>,
    /// Masks of all frames, in their order.
    pub(super) masks: Vec<[u8; 4]>,
    /// Everything that has left on the present socket.
    pub(super) stream: Vec<u8>,
    /// Bytes that the socket still takes before it would block.
    pub(super) socket_takes: usize,
    /// What the server sends arrives in pieces of so many bytes.
    chunk: usize,
    server: Option<Server>,
    /// What was offered to the last write and not taken; it is offered again, as a transport that encrypts ahead needs it.
    ahead: Vec<u8>,
}

/// The server's side of one socket.
#[derive(Default)]
struct Server {
    head: Vec<u8>,
    has_head: bool,
    frames: FrameReader,
}

/// The head of an answer that agrees, with further lines.
pub(in crate::client::tests) fn agreement(key: &str, lines: &str) -> String {
    let accept = String::from_utf8(accept_key(key.as_bytes()).to_vec()).unwrap();
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n{lines}\r\n"
    )
}

/// A frame as a server sends it, with the bits of its first byte given.
pub(super) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..126 => frame.push(len as u8),
        len @ 126..0x1_0000 => frame.extend([&[126], &(len as u16).to_be_bytes()[..]].concat()),
        len => frame.extend([&[127], &(len as u64).to_be_bytes()[..]].concat()),
    }
    [&frame, payload].concat()
}

pub(super) fn close(code: u16, words: &str) -> Vec<u8> {
    frame(0x88, &[&code.to_be_bytes(), words.as_bytes()].concat())
}

impl Rig {
    pub(super) fn new(options: ClientOptions, seed: u64, chunk: usize) -> Self {
        let client = Client::websocket("example.org:8000", "/chat?a=b", options, seed, Time::ZERO).unwrap();
        Self {
            client,
            now: Time::ZERO,
            log: vec![],
            asked: vec![],
            masks: vec![],
            stream: vec![],
            socket_takes: usize::MAX,
            chunk,
            server: None,
            ahead: vec![],
        }
    }

    /// One that the server has agreed with; the log begins behind that.
    pub(super) fn connected(options: ClientOptions, seed: u64, chunk: usize) -> Self {
        let mut rig = Self::new(options, seed, chunk);
        rig.run_for(0);
        rig.agrees("");
        assert_eq!(rig.log, ["connect", "asked", "connected, attempt 1"]);
        rig.log.clear();
        rig
    }

    /// Lets `millis` go by, from deadline to deadline.
    pub(super) fn run_for(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        self.settle();
        while let Some(at) = self.client.poll_timeout().filter(|&at| at <= end) {
            self.now = self.now.max(at);
            self.client.handle_timeout(self.now);
            self.settle();
        }
        self.now = end;
    }

    /// The server sends this.
    pub(super) fn says(&mut self, bytes: impl AsRef<[u8]>) {
        for piece in bytes.as_ref().chunks(self.chunk) {
            self.client.handle_bytes(piece, self.now);
            self.settle();
        }
    }

    /// The server agrees to the latest request, with further lines.
    pub(super) fn agrees(&mut self, lines: &str) {
        let head = agreement(&self.key(), lines);
        self.says(head);
    }

    /// The key of the latest request.
    pub(super) fn key(&self) -> String {
        let head = self.asked.last().expect("it has asked");
        head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap().to_owned()
    }

    pub(super) fn eof(&mut self) {
        self.client.handle_closed(self.now);
        self.settle();
    }

    pub(super) fn reset(&mut self) {
        self.client.handle_error(ErrorKind::ConnectionReset, self.now);
        self.settle();
    }

    /// Does what the client asks for until it asks for nothing more, as a driver does.
    pub(super) fn settle(&mut self) {
        loop {
            while let Some(event) = self.client.poll_event() {
                self.log.push(told(&event));
            }
            let mut has_acted = self.act();
            let has_sent = self.transmit();
            has_acted |= self.act();
            if !has_acted && !has_sent {
                return;
            }
        }
    }

    fn act(&mut self) -> bool {
        let Some(action) = self.client.poll_action() else {
            return false;
        };
        match action {
            Action::Connect => {
                assert!(self.server.is_none(), "two sockets");
                self.server = Some(Server::default());
                (self.stream, self.ahead) = (vec![], vec![]);
                self.log.push("connect".into());
                self.client.handle_connected(self.now);
                assert!(!self.client.is_connected(), "nobody has agreed to that");
            }
            Action::CloseSocket => {
                self.server.take().expect("no socket to close");
                self.log.push("close".into());
            }
        }
        true
    }

    fn transmit(&mut self) -> bool {
        let (before, room, ahead, stream) =
            (self.stream.len(), &mut self.socket_takes, &mut self.ahead, &mut self.stream);
        self.client.poll_transmit(self.now, |slices| {
            let offered: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
            assert!(offered.starts_with(ahead), "what was offered is offered again");
            let taken = offered.len().min(*room);
            *room -= taken;
            stream.extend_from_slice(&offered[..taken]);
            *ahead = offered[taken..].to_vec();
            if taken == 0 { Err(ErrorKind::WouldBlock.into()) } else { Ok(taken) }
        });
        let sent = self.stream[before..].to_vec();
        let has_sent = !sent.is_empty();
        if let Some(mut server) = self.server.take() {
            self.hear(&mut server, sent);
            self.server = Some(server);
        }
        has_sent
    }

    fn hear(&mut self, server: &mut Server, mut sent: Vec<u8>) {
        let mut rest = &mut sent[..];
        while !server.has_head && !rest.is_empty() {
            server.head.push(rest[0]);
            rest = &mut rest[1..];
            if server.head.ends_with(b"\r\n\r\n") {
                server.has_head = true;
                self.asked.push(String::from_utf8(server.head.clone()).unwrap());
                self.log.push("asked".into());
            }
        }
        self.note_masks(server, rest);
        let rules =
            FrameRules { sender: Sender::Client, compression: true, max_message_bytes: 1 << 30, max_fragments: 1 };
        let mut pool = Pool::new(0);
        while let Some(found) = server.frames.next(&mut rest, &rules, &mut pool).expect("the client keeps the rules") {
            self.log.push(match found {
                Found::Message { payload, kind, compressed: false } => {
                    assert_ne!(kind, Kind::Plain);
                    format!("sent {} {}", name(kind), payload.bytes().escape_ascii())
                }
                Found::Message { payload, kind, compressed: true } => {
                    let text = inflated(payload.bytes());
                    format!("sent {} of {} bytes as {}", name(kind), text.len(), payload.bytes().len())
                }
                Found::Ping(payload) => format!("sent ping {}", payload.bytes().escape_ascii()),
                Found::Pong(payload) => format!("sent pong {}", payload.bytes().escape_ascii()),
                Found::Close(payload) => match CloseFrame::parse(payload.bytes()).unwrap() {
                    Some(CloseFrame { code, reason }) => format!("sent close {} {reason}", code.get()),
                    None => "sent close".into(),
                },
            });
        }
    }

    /// Where a write begins with a frame, its mask.
    fn note_masks(&mut self, server: &Server, bytes: &[u8]) {
        if !server.frames.is_unfinished()
            && let Ok(Some((FrameHeader { mask: Some(mask), .. }, _))) =
                FrameHeader::decode(bytes, Sender::Client, true)
        {
            self.masks.push(mask.key());
        }
    }
}

fn name(kind: Kind) -> &'static str {
    if kind == Kind::Text { "text" } else { "binary" }
}

fn inflated(payload: &[u8]) -> Vec<u8> {
    let mut compression = Compression::default();
    compression.agree(DeflateParams { client_no_context_takeover: true, ..DeflateParams::default() });
    Compressor::default().inflate(&mut compression, payload, 1 << 20).unwrap()
}
