//! What a load says to a hub and hears from it: documents of the Centrifuge protocol, JSON, one a line.

use super::end::tame;
use super::ring::encode_frame;
use super::{End, Heard};
use crate::timer::Jitter;
use crate::wire::websocket::{Mask, Opcode};
use crate::wire::{Message, Wire};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// A place in a channel's history.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Position {
    /// Of which life of the history.
    pub epoch: String,
    /// The offset of the last publication that was had.
    pub offset: u64,
}

/// What a subscription is to recover.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Recovery {
    /// Nothing, ever.
    #[default]
    None,
    /// What will be missed when it is asked for again.
    Later,
    /// What was missed since this position.
    From(Position),
}

/// How a subscription began.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    /// Where it stands, without what is in `publications`.
    pub position: Position,
    /// Nothing was missed, or what was is in `publications`.
    pub recovered: bool,
    /// What was missed: offset and data, as JSON.
    pub publications: Vec<(u64, String)>,
}

/// One document.
#[derive(Debug, PartialEq, Eq)]
pub enum Told<'a> {
    /// `{}`, to be answered by the same.
    Ping,
    /// The command of this number was carried out.
    Done(u32, Option<Box<Standing>>),
    /// It was not: error number and words.
    Denied(u32, u32, String),
    /// A publication.
    Publication {
        /// In which channel.
        channel: Cow<'a, str>,
        /// What it holds, as JSON.
        data: &'a str,
        /// Its offset, or zero.
        offset: u64,
    },
    /// The server ends the connection.
    Disconnected(End),
    /// The server ends the subscription, with number and words.
    Unsubscribed(u32, String),
    /// Something that does not matter to a load.
    Other,
}

/// The pong of a hub, which is its ping as well.
pub const PONG: &[u8] = b"{}";

/// The number of `connect`.
pub const CONNECT: u32 = 1;
/// The number of `subscribe`.
pub const SUBSCRIBE: u32 = 2;
/// Publications have numbers from here on.
pub const FIRST_PUBLISH: u32 = 3;

/// The first command of a connection.
pub fn connect(token: Option<&str>) -> String {
    let token = token.map(|token| format!(r#""token":{},"#, quoted(token))).unwrap_or_default();
    let version = env!("CARGO_PKG_VERSION");
    format!(r#"{{"id":{CONNECT},"connect":{{{token}"name":"tidegate bench","version":"{version}"}}}}"#)
}

/// Asks for a channel: to recover later, or from a position on.
pub fn subscribe(channel: &str, recovery: &Recovery) -> String {
    let from = match recovery {
        Recovery::None => String::new(),
        Recovery::Later => r#","recoverable":true"#.to_owned(),
        Recovery::From(Position { epoch, offset }) => {
            format!(r#","recoverable":true,"recover":true,"epoch":{},"offset":{offset}"#, quoted(epoch))
        }
    };
    format!(r#"{{"id":{SUBSCRIBE},"subscribe":{{"channel":{}{from}}}}}"#, quoted(channel))
}

/// A text as JSON has it.
pub fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a text is JSON")
}

/// Appends documents, which stand on lines of their own, as a client sends them: in one message where the wire has
/// messages of several.
pub fn encode(wire: Wire, documents: &[u8], jitter: &mut Jitter, out: &mut Vec<u8>) {
    match wire {
        Wire::WebSocket => encode_frame(Opcode::Text, Some(mask(jitter)), documents, out),
        Wire::Length | Wire::Line | Wire::Raw => wire.encode(Message::from(documents), out),
    }
}

/// A mask. It only has to differ from frame to frame here: no stranger chooses what a load sends.
pub fn mask(jitter: &mut Jitter) -> Mask {
    let [a, b, c, d, ..] = jitter.next_u64().to_le_bytes();
    Mask::new([a, b, c, d])
}

/// Appends the answer to a ping of a server's WebSocket.
pub fn encode_pong(heard: &Heard<'_>, jitter: &mut Jitter, out: &mut Vec<u8>) {
    if let Heard::Ping((len, payload)) = heard {
        encode_frame(Opcode::Pong, Some(mask(jitter)), &payload[..usize::from(*len)], out);
    }
}

/// The documents of a message.
pub fn documents(message: &[u8]) -> impl Iterator<Item = &[u8]> {
    message.split(|byte| *byte == b'\n').filter(|document| !document.is_empty())
}

/// What a document says.
pub fn read(document: &[u8]) -> Result<Told<'_>, End> {
    if document == PONG {
        return Ok(Told::Ping);
    }
    let text = std::str::from_utf8(document).map_err(|_| no_document())?;
    let document: Document<'_> = serde_json::from_str(text).map_err(|_| no_document())?;
    Ok(match document {
        Document { id: id @ 1.., error: Some(error), .. } => Told::Denied(id, error.code, tame(&error.message)),
        Document { id: id @ 1.., subscribe, .. } => Told::Done(id, subscribe.map(|result| Box::new(result.into()))),
        Document { push: Some(push), .. } => push.told(),
        Document { .. } if text.trim() == "{}" => Told::Ping,
        Document { .. } => Told::Other,
    })
}

fn no_document() -> End {
    End::BadAnswer("no document of the Centrifuge protocol (JSON)".to_owned())
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Document<'a> {
    id: u32,
    #[serde(borrow)]
    error: Option<Error<'a>>,
    #[serde(borrow)]
    subscribe: Option<Subscribed<'a>>,
    #[serde(borrow)]
    push: Option<Push<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Error<'a> {
    code: u32,
    #[serde(borrow)]
    message: Cow<'a, str>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Subscribed<'a> {
    #[serde(borrow)]
    epoch: Cow<'a, str>,
    offset: u64,
    recovered: bool,
    #[serde(borrow)]
    publications: Vec<Publication<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Publication<'a> {
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    offset: u64,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Push<'a> {
    #[serde(borrow)]
    channel: Cow<'a, str>,
    #[serde(borrow, rename = "pub")]
    publication: Option<Publication<'a>>,
    #[serde(borrow)]
    disconnect: Option<Notice<'a>>,
    #[serde(borrow)]
    unsubscribe: Option<Notice<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Notice<'a> {
    code: u32,
    #[serde(borrow)]
    reason: Cow<'a, str>,
}

impl<'a> Push<'a> {
    fn told(self) -> Told<'a> {
        match self {
            Push { disconnect: Some(Notice { code, reason }), .. } => {
                Told::Disconnected(End::closed(u16::try_from(code).ok(), &reason))
            }
            Push { unsubscribe: Some(Notice { code, reason }), .. } => Told::Unsubscribed(code, tame(&reason)),
            Push { channel, publication: Some(Publication { data, offset }), .. } => {
                Told::Publication { channel, data: data.map_or("null", RawValue::get), offset }
            }
            Push { .. } => Told::Other,
        }
    }
}

impl From<Subscribed<'_>> for Standing {
    fn from(result: Subscribed<'_>) -> Self {
        let taken = |publication: &Publication<'_>| {
            (publication.offset, publication.data.map_or("null", RawValue::get).to_owned())
        };
        Self {
            position: Position { epoch: result.epoch.into_owned(), offset: result.offset },
            recovered: result.recovered,
            publications: result.publications.iter().map(taken).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(document: &str, expected: Told<'_>) {
        assert_eq!(read(document.as_bytes()), Ok(expected), "{document}");
    }

    #[test]
    fn commands_stand_as_the_protocol_has_them() {
        assert!(connect(Some("a\"b")).starts_with(r#"{"id":1,"connect":{"token":"a\"b","name":"tidegate bench""#));
        assert_eq!(subscribe("news", &Recovery::None), r#"{"id":2,"subscribe":{"channel":"news"}}"#);
        assert_eq!(subscribe("a", &Recovery::Later), r#"{"id":2,"subscribe":{"channel":"a","recoverable":true}}"#);
        let position = Position { epoch: "e".to_owned(), offset: 7 };
        assert_eq!(
            subscribe("n", &Recovery::From(position)),
            concat!(
                r#"{"id":2,"subscribe":{"channel":"n","recoverable":true,"#,
                r#""recover":true,"epoch":"e","offset":7}}"#
            )
        );
    }

    #[test]
    fn documents_say_what_matters_to_a_load() {
        check("{}", Told::Ping);
        check(" {} ", Told::Ping);
        check(r#"{"id":3,"publish":{}}"#, Told::Done(3, None));
        check(r#"{"id":3,"error":{"code":103,"message":"no"}}"#, Told::Denied(3, 103, "no".to_owned()));
        check(
            r#"{"push":{"channel":"c","pub":{"data":"x","info":{"user":"u"},"offset":9}}}"#,
            Told::Publication { channel: "c".into(), data: r#""x""#, offset: 9 },
        );
        check(
            r#"{"push":{"disconnect":{"code":3001,"reason":"shutdown"}}}"#,
            Told::Disconnected(End::closed(Some(3001), "shutdown")),
        );
        check(r#"{"push":{"channel":"c","unsubscribe":{"code":2500}}}"#, Told::Unsubscribed(2500, String::new()));
        check(r#"{"push":{"channel":"c","join":{"info":{}}}}"#, Told::Other);
        assert!(read(b"hello").is_err() && read(b"\xFF").is_err());
    }

    #[test]
    fn a_subscription_tells_where_it_stands_and_what_was_missed() {
        let told =
            r#"{"id":2,"subscribe":{"epoch":"e","offset":5,"recovered":true,"publications":[{"data":1,"offset":6}]}}"#;
        let standing = Standing {
            position: Position { epoch: "e".to_owned(), offset: 5 },
            recovered: true,
            publications: vec![(6, "1".to_owned())],
        };
        check(told, Told::Done(2, Some(Box::new(standing))));
    }
}
