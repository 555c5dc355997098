//! What has to be said before a connection is ready: the request for a WebSocket, the greeting of a hub, a subscription.
//! It knows no socket and no time.

use super::hub::{self, CONNECT, Recovery, SUBSCRIBE, Standing, Told};
use super::{End, Heard, Reader};
use crate::buffer::Pool;
use crate::timer::Jitter;
use crate::wire::Wire;
use crate::wire::websocket::handshake::{HandshakeError, check_response, write_request};
use std::sync::Arc;

/// How connections to one target begin.
#[derive(Debug, Clone)]
pub struct Entrance {
    /// How messages are framed.
    pub wire: Wire,
    /// Host and port, as they stand in a request for a WebSocket.
    pub host: String,
    /// What a WebSocket is asked for.
    pub path: String,
    /// Whether a hub is there, to be greeted.
    pub hub: bool,
    /// The token that the hub is shown.
    pub token: Option<String>,
    /// Bytes of a raw message.
    pub size: usize,
}

/// What one connection asks a hub for.
#[derive(Debug, Clone, Default)]
pub struct Ticket {
    /// The channel to subscribe to.
    pub channel: Option<Arc<str>>,
    /// What to recover in it.
    pub recovery: Recovery,
}

impl Ticket {
    /// One for the channel that falls to a line where all channels get as many; for none where there is none.
    pub fn in_turn(channels: &[Arc<str>], line: usize) -> Self {
        Self { channel: channels.get(line % channels.len().max(1)).cloned(), ..Self::default() }
    }
}

/// A connection that is being opened.
#[derive(Debug)]
pub struct Opening {
    step: Step,
    reader: Reader,
    ticket: Ticket,
}

#[derive(Debug)]
enum Step {
    Upgrading { key: [u8; 16], head: Vec<u8> },
    Greeting,
    Subscribing,
}

/// A connection that is ready.
#[derive(Debug)]
pub struct Opened {
    /// Reads what follows.
    pub reader: Reader,
    /// How its subscription began.
    pub standing: Option<Box<Standing>>,
    /// Documents that came in one message with the last answer, behind it.
    pub early: Vec<u8>,
}

/// How an opening goes.
#[derive(Debug)]
pub enum Progress {
    /// There is more to come.
    GoOn(Box<Opening>),
    /// It is done.
    Ready(Opened),
}

/// What an opening needs to do its work.
#[derive(Debug)]
pub struct Tools<'t> {
    /// The target's.
    pub entrance: &'t Entrance,
    /// For keys and masks.
    pub jitter: &'t mut Jitter,
    /// For what is unfinished.
    pub pool: &'t mut Pool,
    /// What is to be sent.
    pub out: &'t mut Vec<u8>,
}

impl Opening {
    /// Begins on a connection that stands: what has to be sent is appended to the tools' `out`.
    pub fn begin(ticket: Ticket, tools: &mut Tools<'_>) -> Result<Progress, End> {
        let Entrance { wire, host, path, size, .. } = tools.entrance;
        let reader = Reader::new(*wire, *size);
        if *wire != Wire::WebSocket {
            return Self { step: Step::Greeting, reader, ticket }.greet(tools);
        }
        let mut key = [0; 16];
        key[..8].copy_from_slice(&tools.jitter.next_u64().to_le_bytes());
        key[8..].copy_from_slice(&tools.jitter.next_u64().to_le_bytes());
        write_request(tools.out, host, path, &key, None, None).map_err(|error| End::BadAnswer(error.to_string()))?;
        Ok(Progress::GoOn(Box::new(Self { step: Step::Upgrading { key, head: Vec::new() }, reader, ticket })))
    }

    /// Takes what came off the front of `bytes`. Where the opening is done, what is left are messages.
    pub fn go_on(mut self: Box<Self>, bytes: &mut &mut [u8], tools: &mut Tools<'_>) -> Result<Progress, End> {
        if let Step::Upgrading { key, head } = &mut self.step {
            match upgrade(key, head, bytes)? {
                false => return Ok(Progress::GoOn(self)),
                true => match self.greet(tools)? {
                    Progress::GoOn(opening) => self = opening,
                    ready @ Progress::Ready(_) => return Ok(ready),
                },
            }
        }
        while let Some(heard) = self.reader.next(bytes, tools.pool)? {
            let Heard::Message(body) = heard else {
                hub::encode_pong(&heard, tools.jitter, tools.out);
                continue;
            };
            let outcome = self.hear(body.bytes(), tools);
            body.give_back(tools.pool);
            if let Some((standing, early)) = outcome? {
                return Ok(Progress::Ready(Opened { reader: self.reader, standing, early }));
            }
        }
        Ok(Progress::GoOn(self))
    }

    /// Gives back what it holds.
    pub fn clear(&mut self, pool: &mut Pool) {
        self.reader.clear(pool);
    }

    /// Greets the hub, if there is one; otherwise all is done.
    fn greet(mut self, tools: &mut Tools<'_>) -> Result<Progress, End> {
        if !tools.entrance.hub {
            return Ok(Progress::Ready(Opened { reader: self.reader, standing: None, early: Vec::new() }));
        }
        let greeting = hub::connect(tools.entrance.token.as_deref());
        hub::encode(tools.entrance.wire, greeting.as_bytes(), tools.jitter, tools.out);
        self.step = Step::Greeting;
        Ok(Progress::GoOn(Box::new(self)))
    }

    /// Takes a message of a hub; when it makes the connection ready, how the subscription began, and what stands behind.
    #[expect(clippy::type_complexity, reason = "what is ready has two parts")]
    fn hear(&mut self, message: &[u8], tools: &mut Tools<'_>) -> Result<Option<(Option<Box<Standing>>, Vec<u8>)>, End> {
        let mut rest = message;
        while let Some(document) = next_document(&mut rest) {
            match hub::read(document)? {
                Told::Ping => hub::encode(tools.entrance.wire, hub::PONG, tools.jitter, tools.out),
                Told::Done(CONNECT, _) if matches!(self.step, Step::Greeting) => {
                    let Some(channel) = &self.ticket.channel else {
                        return Ok(Some((None, rest.to_vec())));
                    };
                    let asked = hub::subscribe(channel, &self.ticket.recovery);
                    hub::encode(tools.entrance.wire, asked.as_bytes(), tools.jitter, tools.out);
                    self.step = Step::Subscribing;
                }
                Told::Done(SUBSCRIBE, standing) => return Ok(Some((standing, rest.to_vec()))),
                Told::Denied(id, code, words) => {
                    let method = if id == CONNECT { "connect" } else { "subscribe" };
                    return Err(End::Rejected { method, code, words });
                }
                Told::Disconnected(end) => return Err(end),
                Told::Done(..) | Told::Publication { .. } | Told::Unsubscribed(..) | Told::Other => {}
            }
        }
        Ok(None)
    }
}

/// Takes the next document off the front of a message.
fn next_document<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b'\n');
        let (document, behind) = end.map_or((*rest, &[][..]), |at| (&rest[..at], &rest[at + 1..]));
        *rest = behind;
        if !document.is_empty() {
            return Some(document);
        }
    }
    None
}

/// Takes the server's answer off the front of `bytes`; whether it is whole, and what was wanted.
fn upgrade(key: &[u8; 16], head: &mut Vec<u8>, bytes: &mut &mut [u8]) -> Result<bool, End> {
    let before = head.len();
    head.extend_from_slice(bytes);
    match check_response(head, before, key) {
        Ok(None) => {
            *bytes = &mut [];
            Ok(false)
        }
        Ok(Some((accepted, len))) => {
            let rest = std::mem::take(bytes);
            *bytes = &mut rest[len.saturating_sub(before)..];
            if accepted.protocol.is_some() || accepted.extensions.is_some() {
                return Err(End::BadAnswer("the server uses what was not offered".to_owned()));
            }
            Ok(true)
        }
        Err(HandshakeError::Refused(status)) => Err(End::Refused(status)),
        Err(error) => Err(End::BadAnswer(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entrance(wire: Wire, hub: bool) -> Entrance {
        Entrance { wire, host: "h:1".to_owned(), path: "/p".to_owned(), hub, token: None, size: 1 }
    }

    /// Opens with the server's bytes in chunks of every size: what was sent before and behind each answer, and the end.
    fn open(entrance: &Entrance, ticket: &Ticket, server: &[u8], chunk: usize) -> (Vec<u8>, Result<Opened, End>) {
        let (mut jitter, mut pool, mut out) = (Jitter::new(1), Pool::new(0), Vec::new());
        let mut tools = Tools { entrance, jitter: &mut jitter, pool: &mut pool, out: &mut out };
        let mut progress = Opening::begin(ticket.clone(), &mut tools);
        for bytes in server.chunks(chunk) {
            let mut copy = bytes.to_vec();
            progress = match progress {
                Ok(Progress::GoOn(opening)) => opening.go_on(&mut &mut copy[..], &mut tools),
                done => done,
            };
        }
        let opened = match progress {
            Ok(Progress::GoOn(_)) => panic!("more is wanted"),
            Ok(Progress::Ready(opened)) => Ok(opened),
            Err(end) => Err(end),
        };
        (out, opened)
    }

    #[test]
    fn a_plain_wire_is_ready_at_once() {
        let (out, opened) = open(&entrance(Wire::Line, false), &Ticket::default(), b"", 1);
        assert!(out.is_empty() && opened.unwrap().standing.is_none());
    }

    #[test]
    fn a_hub_is_greeted_and_then_asked_for_the_channel() {
        let server = concat!(
            "{\"id\":1,\"connect\":{\"client\":\"x\",\"ping\":25}}\n{}\n",
            "{\"id\":2,\"subscribe\":{\"epoch\":\"e\",\"offset\":4}}\n"
        );
        let ticket = Ticket { channel: Some("c".into()), recovery: Recovery::None };
        for chunk in 1..server.len() {
            let (out, opened) = open(&entrance(Wire::Line, true), &ticket, server.as_bytes(), chunk);
            let lines: Vec<_> =
                std::str::from_utf8(&out).unwrap().lines().map(|line| line.get(..9).unwrap_or(line)).collect();
            assert_eq!(lines[0], "{\"id\":1,\"");
            assert!(lines.contains(&"{\"id\":2,\"") && out.windows(3).any(|three| three == b"{}\n"));
            assert_eq!(opened.unwrap().standing.unwrap().position.offset, 4);
        }
    }

    #[test]
    fn what_stands_behind_the_last_answer_is_kept() {
        let body = "{\"id\":1,\"connect\":{}}\n{\"a\":1}";
        let mut framed = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
        framed.extend_from_slice(body.as_bytes());
        let (_, opened) = open(&entrance(Wire::Length, true), &Ticket::default(), &framed, usize::MAX);
        assert_eq!(opened.unwrap().early, b"{\"a\":1}");
    }

    #[test]
    fn refusals_are_ends_with_their_words() {
        let ticket = Ticket { channel: Some("c".into()), recovery: Recovery::None };
        let hub = entrance(Wire::Line, true);
        let told = |server: &str| open(&hub, &ticket, server.as_bytes(), 7).1.unwrap_err().to_string();
        assert_eq!(
            told("{\"id\":1,\"error\":{\"code\":101,\"message\":\"unauthorized\"}}\n"),
            "connect refused with 101: unauthorized"
        );
        assert_eq!(
            told("{\"id\":1,\"connect\":{}}\n{\"id\":2,\"error\":{\"code\":103,\"message\":\"no\"}}\n"),
            "subscribe refused with 103: no"
        );
        assert_eq!(
            told("{\"push\":{\"disconnect\":{\"code\":3503,\"reason\":\"go\"}}}\n"),
            "closed by the server with 3503: go"
        );
        let refused = open(&entrance(Wire::WebSocket, false), &ticket, b"HTTP/1.1 503 no\r\n\r\n", 5).1.unwrap_err();
        assert_eq!(refused, End::Refused(503));
    }
}
