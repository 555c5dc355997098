//! Reads what the gateway sends to a visitor, as strictly as the RFCs allow: answers one after the other, then frames, and
//! nothing behind a Close.

use crate::websocket::frames::{self, BINARY, CLOSE, FIN, PING, PONG, RSV1, TEXT};
use crate::websocket::inflate::Inflater;
use std::collections::VecDeque;
use tidegate::wire::Kind;

/// One thing a visitor is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    Answer(Answer),
    Message(Vec<u8>, Kind),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>),
}

/// An answer to a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    pub status: u16,
    /// The connection ends behind it.
    pub closes: bool,
    /// The length it announces.
    pub length: Option<usize>,
    pub body: Vec<u8>,
    pub accept: Option<String>,
    pub extensions: Option<String>,
    pub protocol: Option<String>,
}

#[derive(Debug, Default)]
pub struct Ear {
    bytes: Vec<u8>,
    is_open: bool,
    is_closed: bool,
    /// Messages may be compressed; and each is by itself.
    deflates: Option<bool>,
    inflater: Inflater,
    /// Of the requests that were not answered, which were HEAD.
    heads: VecDeque<bool>,
    /// A message came compressed.
    pub inflated: bool,
}

type Complaint = &'static str;

impl Ear {
    /// A request was sent.
    pub fn ask(&mut self, is_head: bool) {
        self.heads.push_back(is_head);
    }

    /// Whether what came ends between two answers or frames.
    pub fn is_between(&self) -> bool {
        self.bytes.is_empty()
    }

    /// More has come.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Heard>, Complaint> {
        self.bytes.extend_from_slice(bytes);
        let all = std::mem::take(&mut self.bytes);
        let (mut at, mut heard) = (0, Vec::new());
        while at < all.len() {
            let found = if self.is_open { self.frame(&all[at..])? } else { self.answer(&all[at..])? };
            let Some((one, used)) = found else {
                break;
            };
            at += used;
            heard.push(one);
        }
        self.bytes = all[at..].to_vec();
        Ok(heard)
    }

    fn answer(&mut self, bytes: &[u8]) -> Result<Option<(Heard, usize)>, Complaint> {
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            return Ok(None);
        };
        let text = std::str::from_utf8(&bytes[..end]).map_err(|_| "an answer's head is no text")?;
        let mut lines = text.split("\r\n");
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")).ok_or("no status line")?;
        let (code, reason) = status.split_at_checked(3).ok_or("no status")?;
        let mut answer =
            Answer { status: code.parse().map_err(|_| "a status that is no number")?, ..Answer::default() };
        if !reason.starts_with(' ') || reason.len() < 2 {
            return Err("a status without its words");
        }
        let (mut dated, mut said) = (false, false);
        for line in lines {
            let (name, value) = line.split_once(": ").ok_or("a field without its colon")?;
            match name {
                "Date" => dated = value.ends_with(" GMT"),
                "Connection" => {
                    said = true;
                    answer.closes = value.split(", ").any(|option| option == "close");
                }
                "Content-Length" if answer.length.is_some() => return Err("two lengths"),
                "Content-Length" => answer.length = Some(value.parse().map_err(|_| "a length that is no number")?),
                "Sec-WebSocket-Accept" => answer.accept = Some(value.to_owned()),
                "Sec-WebSocket-Extensions" => answer.extensions = Some(value.to_owned()),
                "Sec-WebSocket-Protocol" => answer.protocol = Some(value.to_owned()),
                _ => {}
            }
        }
        self.take_body(answer, &bytes[end + 4..], end + 4, dated && said)
    }

    fn take_body(
        &mut self,
        mut answer: Answer,
        rest: &[u8],
        head: usize,
        sound: bool,
    ) -> Result<Option<(Heard, usize)>, Complaint> {
        if answer.status == 101 {
            let known = ["permessage-deflate", "; server_no_context_takeover"];
            let extensions = answer.extensions.clone();
            self.deflates =
                extensions.filter(|value| value.starts_with(known[0])).map(|value| value.contains(known[1]));
            self.is_open = true;
            return Ok(Some((Heard::Answer(answer), head)));
        }
        let length = answer.length.filter(|_| sound).ok_or("an answer without length, date or connection")?;
        let is_head = self.heads.front().copied().unwrap_or(false);
        if !is_head {
            let Some(body) = rest.get(..length) else {
                return Ok(None);
            };
            answer.body = body.to_vec();
        }
        self.heads.pop_front();
        let used = head + answer.body.len();
        Ok(Some((Heard::Answer(answer), used)))
    }

    fn frame(&mut self, bytes: &[u8]) -> Result<Option<(Heard, usize)>, Complaint> {
        if self.is_closed {
            return Err("bytes behind a Close frame");
        }
        let first = bytes[0];
        let (opcode, marked) = (first & 0xF, first & 0x70);
        let may_mark = self.deflates.is_some() && matches!(opcode, TEXT | BINARY);
        if first & FIN == 0 || marked != 0 && !(marked == RSV1 && may_mark) {
            return Err("a frame in parts, or a bit that nobody agreed on");
        }
        let (len, at) = match frames::length(bytes) {
            None => return Ok(None),
            Some(length) => length?,
        };
        if bytes[1] & 0x80 != 0 || opcode >= CLOSE && len > 125 {
            return Err("a masked frame, or a long control frame");
        }
        let Some(payload) = bytes.get(at..at.saturating_add(len as usize)) else {
            return Ok(None);
        };
        let heard = self.hear(opcode, payload, marked != 0)?;
        Ok(Some((heard, at + len as usize)))
    }

    fn hear(&mut self, opcode: u8, payload: &[u8], compressed: bool) -> Result<Heard, Complaint> {
        let body = match self.deflates.filter(|_| compressed) {
            Some(afresh) => {
                self.inflated = true;
                self.inflater
                    .inflate(payload, !afresh, usize::MAX)
                    .map_err(|_| "compressed data that nobody can read")?
            }
            None => payload.to_vec(),
        };
        match opcode {
            TEXT if std::str::from_utf8(&body).is_err() => Err("text that is not UTF-8"),
            TEXT => Ok(Heard::Message(body, Kind::Text)),
            BINARY => Ok(Heard::Message(body, Kind::Binary)),
            PING => Ok(Heard::Ping(body)),
            PONG => Ok(Heard::Pong(body)),
            CLOSE => {
                self.is_closed = true;
                let code = body.first_chunk().map(|code| u16::from_be_bytes(*code));
                let sound = code.is_none_or(frames::is_code) && (code.is_some() || body.is_empty());
                let words = std::str::from_utf8(body.get(2..).unwrap_or_default()).is_ok();
                if sound && words { Ok(Heard::Close(code)) } else { Err("a Close frame that may not be sent") }
            }
            _ => Err("an opcode that no server sends"),
        }
    }
}
