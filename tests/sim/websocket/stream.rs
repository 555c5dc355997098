//! What a visitor's bytes mean, from the first request to the last frame: the reference that the gateway is held to.

use crate::incoming::{Item, Rules};
use crate::seen::Situation;
use crate::websocket::bodies::{self, Came};
use crate::websocket::frames::{self, BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, RSV1, TEXT};
use crate::websocket::heads::{self, Asked, Request, Upgrade};
use crate::websocket::inflate::{Inflater, Unreadable};
use crate::websocket::requests::Agreed;
use std::collections::VecDeque;
use tidegate::connection::Broken;
use tidegate::wire::Kind;
use tidegate::wire::websocket::FrameError;

/// One thing a visitor says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// A whole request for a page.
    Request(Request),
    /// A request that is refused with this status.
    Refused(u16),
    ForeignOrigin,
    /// A request for WebSocket that is in order.
    Upgrade(Upgrade),
    Ping(Vec<u8>),
    Pong,
    /// A Close frame in order, with its code.
    Close(Option<u16>),
    /// What breaks the protocol, on the first byte that shows it.
    Broken(Broken),
}

/// The reader of one visitor's bytes.
#[derive(Debug, Default)]
pub struct Stream {
    is_open: bool,
    /// What follows means nothing.
    is_over: bool,
    pub agreed: Option<Agreed>,
    message: Option<Begun>,
    inflater: Inflater,
    /// What was met on the way.
    pub met: Vec<Situation>,
}

/// A message of which at least one frame has come whole.
#[derive(Debug)]
struct Begun {
    kind: Kind,
    compressed: bool,
    fragments: u32,
    data: Vec<u8>,
}

/// Bytes taken off the front and what they were, if they were all of it. `None` while more is needed.
type Step = Result<Option<(usize, Option<Item>)>, Broken>;

impl Stream {
    /// Whether messages may come.
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// Whether a part of a message has come.
    pub fn is_begun(&self) -> bool {
        self.message.is_some()
    }

    /// What follows means nothing.
    pub fn stop(&mut self) {
        (self.is_over, self.message) = (true, None);
    }

    /// Takes whatever is whole off the front of `tail`.
    pub fn feed(&mut self, tail: &mut Vec<u8>, rules: &Rules, items: &mut VecDeque<Item>) {
        let mut at = 0;
        while !self.is_over && at < tail.len() {
            let step = if self.is_open { self.frame(&tail[at..], rules) } else { Ok(self.request(&tail[at..], rules)) };
            match step {
                Ok(None) => break,
                Ok(Some((used, item))) => {
                    at += used;
                    item.into_iter().for_each(|item| self.on_item(item, rules, items));
                }
                Err(broken) => self.on_item(Item::Said(Said::Broken(broken)), rules, items),
            }
        }
        let closed = matches!(items.back(), Some(Item::Said(Said::Close(_))));
        self.met.extend((closed && at < tail.len()).then_some(Situation::BehindClose));
        if self.is_over {
            self.stop();
            tail.clear();
        } else {
            tail.drain(..at);
        }
    }

    fn on_item(&mut self, item: Item, rules: &Rules, items: &mut VecDeque<Item>) {
        let offer = match &item {
            Item::Said(Said::Refused(_) | Said::ForeignOrigin | Said::Close(_) | Said::Broken(_)) => {
                self.is_over = true;
                None
            }
            Item::Said(Said::Upgrade(upgrade)) => Some(upgrade.offer),
            _ => None,
        };
        items.push_back(item);
        if let Some(offer) = offer {
            self.is_open = true;
            self.agreed = rules.takeover.and_then(|takeover| offer.agreed(takeover));
            items.push_back(Item::Opened);
        }
    }

    fn request(&mut self, bytes: &[u8], rules: &Rules) -> Option<(usize, Option<Item>)> {
        let said = |used, said| Some((used, Some(Item::Said(said))));
        let refused = |status| said(0, Said::Refused(status));
        let head = match heads::end(bytes)? {
            Ok(length) => length,
            Err(status) => return refused(status),
        };
        match heads::read(&bytes[..head], &rules.origins) {
            Asked::Refused(status) => refused(status),
            Asked::ForeignOrigin => said(head, Said::ForeignOrigin),
            Asked::Upgrade(upgrade) => said(head, Said::Upgrade(upgrade)),
            Asked::Request(request, body) => match bodies::read(body, &bytes[head..], rules.max_body) {
                Came::Partly => None,
                Came::Refused(status) => refused(status),
                Came::Whole(body, length) => said(head + length, Said::Request(Request { body, ..request })),
            },
        }
    }

    fn frame(&mut self, bytes: &[u8], rules: &Rules) -> Step {
        let Some((first, len, at)) = self.header(bytes)? else {
            return Ok(None);
        };
        let opcode = first & 0xF;
        if opcode < CLOSE {
            self.check_data(first, len, rules)?;
        }
        let whole = bytes.len() as u64 - at as u64 >= len;
        let payload = if whole { &bytes[at..at + len as usize] } else { &bytes[at..] };
        let key = [bytes[at - 4], bytes[at - 3], bytes[at - 2], bytes[at - 1]];
        let payload = frames::masked(key, payload);
        if !whole {
            self.met.extend((!payload.is_empty()).then_some(Situation::FrameInParts));
            self.check_text(first, &payload, false)?;
            return Ok(None);
        }
        let between = opcode == PING && self.message.is_some();
        self.met.extend(between.then_some(Situation::PingBetweenFragments));
        let said = if opcode >= CLOSE {
            Some(Item::Said(control(opcode, payload)?))
        } else {
            self.data(first, payload, rules)?
        };
        Ok(Some((at + len as usize, said)))
    }

    /// First byte, length and where the payload begins.
    fn header(&self, bytes: &[u8]) -> Result<Option<(u8, u64, usize)>, FrameError> {
        let first = bytes[0];
        let opcode = first & 0xF;
        if ![CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG].contains(&opcode) {
            return Err(FrameError::ReservedOpcode);
        }
        let begins = matches!(opcode, TEXT | BINARY);
        let marked = first & 0x70;
        if marked != 0 && !(marked == RSV1 && begins && self.agreed.is_some()) {
            return Err(FrameError::ReservedBit);
        }
        if opcode >= CLOSE && first & FIN == 0 {
            return Err(FrameError::FragmentedControl);
        }
        match (opcode, &self.message) {
            (CONTINUATION, None) => return Err(FrameError::NothingToContinue),
            (TEXT | BINARY, Some(_)) => return Err(FrameError::UnfinishedMessage),
            _ => {}
        }
        let Some(second) = bytes.get(1) else {
            return Ok(None);
        };
        if second & 0x80 == 0 {
            return Err(FrameError::MissingMask);
        }
        if opcode >= CLOSE && second & 0x7F > 125 {
            return Err(FrameError::LongControl);
        }
        match frames::length(bytes) {
            None => Ok(None),
            Some(Err(_)) => Err(FrameError::BadLength),
            Some(Ok((len, at))) => Ok((bytes.len() >= at + 4).then_some((first, len, at + 4))),
        }
    }

    fn check_data(&self, first: u8, len: u64, rules: &Rules) -> Result<(), Broken> {
        let before = match (first & 0xF, &self.message) {
            (CONTINUATION, Some(begun)) => begun.data.len() as u64,
            _ => 0,
        };
        if len.saturating_add(before) > rules.max as u64 {
            return Err(Broken::TooLarge);
        }
        let fragments = self.message.as_ref().map_or(0, |begun| begun.fragments) + 1;
        if fragments > rules.max_fragments { Err(Broken::TooManyFragments) } else { Ok(()) }
    }

    /// Text may be wrong before its end has come.
    fn check_text(&mut self, first: u8, payload: &[u8], ends: bool) -> Result<(), Broken> {
        let (kind, compressed) = match &self.message {
            Some(begun) => (begun.kind, begun.compressed),
            None => (kind_of(first), first & RSV1 != 0),
        };
        if kind != Kind::Text || compressed || first & 0xF >= CLOSE {
            return Ok(());
        }
        let before = self.message.as_ref().map_or(&[][..], |begun| &begun.data);
        match std::str::from_utf8(&[before, payload].concat()) {
            Err(error) if ends || error.error_len().is_some() => Err(Broken::InvalidText),
            Err(_) => {
                self.met.push(Situation::CharacterInParts);
                Ok(())
            }
            Ok(_) => Ok(()),
        }
    }

    fn data(&mut self, first: u8, payload: Vec<u8>, rules: &Rules) -> Result<Option<Item>, Broken> {
        let ends = first & FIN != 0;
        self.check_text(first, &payload, ends)?;
        let mut begun = self.message.take().unwrap_or_else(|| Begun {
            kind: kind_of(first),
            compressed: first & RSV1 != 0,
            fragments: 0,
            data: Vec::new(),
        });
        begun.data.extend(payload);
        begun.fragments += 1;
        if !ends {
            self.message = Some(begun);
            return Ok(None);
        }
        self.met.extend((begun.fragments > 1).then_some(Situation::Fragmented));
        self.inflated(begun, rules).map(|(body, kind)| Some(Item::Message(body, kind)))
    }

    fn inflated(&mut self, begun: Begun, rules: &Rules) -> Result<(Vec<u8>, Kind), Broken> {
        let Some(agreed) = self.agreed.filter(|_| begun.compressed) else {
            return Ok((begun.data, begun.kind));
        };
        let body =
            self.inflater.inflate(&begun.data, !agreed.client_afresh, rules.max).map_err(
                |unreadable| match unreadable {
                    Unreadable::TooLarge => Broken::TooLarge,
                    Unreadable::Invalid => Broken::Frame(FrameError::BadCompression),
                },
            )?;
        self.met.push(Situation::Inflated);
        if begun.kind == Kind::Text && std::str::from_utf8(&body).is_err() {
            return Err(Broken::InvalidText);
        }
        Ok((body, begun.kind))
    }
}

fn kind_of(first: u8) -> Kind {
    if first & 0xF == TEXT { Kind::Text } else { Kind::Binary }
}

fn control(opcode: u8, payload: Vec<u8>) -> Result<Said, Broken> {
    match opcode {
        PING => Ok(Said::Ping(payload)),
        PONG => Ok(Said::Pong),
        _ if payload.is_empty() => Ok(Said::Close(None)),
        _ => {
            let code =
                payload.first_chunk().map(|code| u16::from_be_bytes(*code)).filter(|code| frames::is_code(*code));
            let code = code.ok_or(FrameError::BadClose)?;
            std::str::from_utf8(&payload[2..]).map_err(|_| Broken::InvalidText)?;
            Ok(Said::Close(Some(code)))
        }
    }
}
