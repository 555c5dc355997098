//! How a client talks to its server: on a plain wire at once, over WebSocket when the server has agreed to it. What the
//! states of a client share is here; what only WebSocket needs is in `websocket`.

#![cfg_attr(
    not(feature = "websocket"),
    expect(unused_variables, reason = "plain wires ask nothing and say no goodbye")
)]

use super::ClientOptions;
use super::outbox::Content;
use super::reader::PlainReader;
#[cfg(feature = "websocket")]
use super::websocket::{FrameStream, WebSocket};
use crate::connection::Broken;
use crate::wire::websocket::CloseCode;
use crate::wire::{Message, OwnedMessage, Wire};

#[cfg(feature = "websocket")]
pub(super) use super::websocket::{Agreed, Upgrade};
#[cfg(not(feature = "websocket"))]
pub(super) use never::{Agreed, Upgrade};

/// How a client talks to its server, on this connection and the next.
#[derive(Debug)]
pub(super) enum Speech {
    Plain(Wire),
    #[cfg(feature = "websocket")]
    WebSocket(Box<WebSocket>),
}

/// Takes what a server sends on one connection apart.
#[derive(Debug)]
pub(super) enum Reader {
    Plain(PlainReader),
    #[cfg(feature = "websocket")]
    WebSocket(Box<FrameStream>),
}

/// What a server said.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "websocket"), expect(dead_code, reason = "plain wires have messages only"))]
pub(super) enum Heard {
    /// A message of a plain wire, perhaps a heartbeat.
    Plain(Vec<u8>),
    /// A message of a WebSocket.
    Message(OwnedMessage),
    /// A ping, with what its pong has to carry.
    Ping(Vec<u8>),
    /// That it closes, with code and words. It is the last that is heard.
    Closed(Option<(CloseCode, String)>),
}

impl Speech {
    pub(super) fn wire(&self) -> Wire {
        match self {
            Speech::Plain(wire) => *wire,
            #[cfg(feature = "websocket")]
            Speech::WebSocket(_) => Wire::WebSocket,
        }
    }

    /// What has to be asked before messages can go; `None` where they can at once.
    pub(super) fn ask(&mut self, options: &ClientOptions) -> Option<Box<Upgrade>> {
        match self {
            Speech::Plain(_) => None,
            #[cfg(feature = "websocket")]
            Speech::WebSocket(websocket) => Some(Box::new(websocket.ask(options))),
        }
    }

    /// Notes what the server agreed to for the connection that begins.
    pub(super) fn on_agreed(&mut self, agreed: &Agreed) {
        match self {
            Speech::Plain(_) => {}
            #[cfg(feature = "websocket")]
            Speech::WebSocket(websocket) => websocket.on_agreed(agreed),
        }
    }

    /// A reader for the connection that begins.
    pub(super) fn reader(&self, options: &ClientOptions) -> Reader {
        match self {
            Speech::Plain(wire) => Reader::Plain(PlainReader::new(*wire, options.max_message_bytes)),
            #[cfg(feature = "websocket")]
            Speech::WebSocket(websocket) => Reader::WebSocket(Box::new(websocket.reader(options))),
        }
    }

    /// Appends the frame that this goes out as on the present connection.
    pub(super) fn encode(&mut self, content: &Content, out: &mut Vec<u8>) {
        match self {
            Speech::Plain(wire) => wire.encode(plain(content), out),
            #[cfg(feature = "websocket")]
            Speech::WebSocket(websocket) => websocket.encode(content, out),
        }
    }

    /// What says goodbye, where the wire has something for it.
    pub(super) fn close_frame(&mut self, code: Option<CloseCode>, words: &str) -> Option<Vec<u8>> {
        match self {
            Speech::Plain(_) => None,
            #[cfg(feature = "websocket")]
            Speech::WebSocket(websocket) => Some(websocket.close_frame(code, words)),
        }
    }
}

impl Reader {
    /// Appends what is whole with these bytes to `heard`, up to what can't be read any further.
    pub(super) fn read(&mut self, bytes: &[u8], heard: &mut Vec<Heard>) -> Result<(), Broken> {
        match self {
            Reader::Plain(reader) => reader.read(bytes, heard),
            #[cfg(feature = "websocket")]
            Reader::WebSocket(frames) => frames.read(bytes, heard),
        }
    }
}

/// Plain wires have nothing but messages.
fn plain(content: &Content) -> Message<'_> {
    match content {
        Content::Message(message) => message.as_message(),
        Content::Ask(form) => form.question().into(),
        Content::Answer(answer) => answer.into(),
    }
}

/// Without WebSocket nothing has to be asked for.
#[cfg(not(feature = "websocket"))]
mod never {
    use crate::client::EndReason;
    use std::io::{self, IoSlice};

    #[derive(Debug)]
    pub(in crate::client) enum Agreed {}

    #[derive(Debug)]
    pub(in crate::client) enum Upgrade {}

    impl Upgrade {
        pub(in crate::client) fn flush(
            &mut self,
            _: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
        ) -> io::Result<()> {
            match *self {}
        }

        pub(in crate::client) fn handle_bytes(&mut self, _: &mut &[u8]) -> Result<Option<Agreed>, EndReason> {
            match *self {}
        }
    }
}
