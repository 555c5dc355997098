//! A connection that receives: payloads out of messages, and out of the documents of a hub.

use super::{Fanout, tools};
use crate::buffer::Pool;
use crate::load::hub::{self, Told};
use crate::load::{End, Heard, Lines, Reach, Reader};

/// A receiver.
#[derive(Debug)]
pub(super) struct Ear {
    /// The channel it listens to; zero where there are none.
    pub(super) channel: usize,
    /// Publications in its channel that it has had, those before its time included.
    pub(super) got: u64,
    /// A call has come.
    pub(super) has_heard: bool,
    reader: Option<Reader>,
}

impl Ear {
    pub(super) fn new(channel: usize) -> Self {
        Self { channel, got: 0, has_heard: false, reader: None }
    }

    pub(super) fn is_open(&self) -> bool {
        self.reader.is_some()
    }

    pub(super) fn open(&mut self, reader: Reader) {
        self.reader = Some(reader);
    }

    pub(super) fn close(&mut self, pool: &mut Pool) {
        if let Some(mut reader) = self.reader.take() {
            reader.clear(pool);
        }
    }
}

/// Takes what came to a receiver apart.
#[inline]
pub(super) fn hear<L: Lines>(
    fanout: &mut Fanout,
    receiver: usize,
    bytes: &mut [u8],
    reach: &mut Reach<'_, L>,
) -> Result<(), End> {
    let Some(mut reader) = fanout.ears[receiver].reader.take() else {
        return Ok(());
    };
    let heard = hear_with(fanout, receiver, &mut reader, bytes, reach);
    fanout.ears[receiver].reader = Some(reader);
    heard
}

#[inline]
fn hear_with<L: Lines>(
    fanout: &mut Fanout,
    receiver: usize,
    reader: &mut Reader,
    bytes: &mut [u8],
    reach: &mut Reach<'_, L>,
) -> Result<(), End> {
    let mut rest = bytes;
    while let Some(heard) = reader.next(&mut rest, &mut reach.crowd.pool)? {
        match heard {
            Heard::Message(body) => {
                let met = hear_message(fanout, receiver, body.bytes(), reach);
                body.give_back(&mut reach.crowd.pool);
                met?;
            }
            Heard::Ping(_) => {
                let (lines, crowd) = tools(reach);
                crowd.out.clear();
                hub::encode_pong(&heard, &mut crowd.jitter, &mut crowd.out);
                lines.send_copy(fanout.voices.len() + receiver, &crowd.out);
            }
            Heard::Pong => {}
        }
    }
    Ok(())
}

/// A whole message came.
#[inline]
pub(super) fn hear_message<L: Lines>(
    fanout: &mut Fanout,
    receiver: usize,
    message: &[u8],
    reach: &mut Reach<'_, L>,
) -> Result<(), End> {
    if fanout.setting.channels.is_empty() {
        fanout.arrive(receiver, message, reach);
        return Ok(());
    }
    let mut rest = message;
    while !rest.is_empty() {
        if let Some((payload, len)) = fanout.fast_payload(receiver, rest) {
            fanout.arrive(receiver, payload, reach);
            rest = behind(rest, len);
            continue;
        }
        let len = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        if len > 0 {
            hear_document(fanout, receiver, &rest[..len], reach)?;
        }
        rest = behind(rest, len);
    }
    Ok(())
}

/// What stands behind a document of `len` bytes and the end of its line.
#[inline]
fn behind(rest: &[u8], len: usize) -> &[u8] {
    rest.get(len + 1..).unwrap_or_default()
}

#[cold]
fn hear_document<L: Lines>(
    fanout: &mut Fanout,
    receiver: usize,
    document: &[u8],
    reach: &mut Reach<'_, L>,
) -> Result<(), End> {
    match hub::read(document)? {
        Told::Publication { data, .. } => {
            let payload = data.strip_prefix('"').and_then(|data| data.strip_suffix('"')).unwrap_or(data);
            fanout.arrive(receiver, payload.as_bytes(), reach);
        }
        Told::Ping => {
            let line = fanout.voices.len() + receiver;
            let (lines, crowd) = tools(reach);
            crowd.out.clear();
            hub::encode(crowd.entrance(line).wire, hub::PONG, &mut crowd.jitter, &mut crowd.out);
            lines.send_copy(line, &crowd.out);
        }
        Told::Disconnected(end) => return Err(end),
        Told::Unsubscribed(code, words) => return Err(End::Rejected { method: "subscription", code, words }),
        Told::Denied(_, code, words) => return Err(End::Rejected { method: "subscribe", code, words }),
        Told::Done(..) | Told::Other => {}
    }
    Ok(())
}

impl Fanout {
    /// The payload of a push that is written as servers write it, and how long the document is.
    #[inline]
    fn fast_payload<'a>(&self, receiver: usize, rest: &'a [u8]) -> Option<(&'a [u8], usize)> {
        let front = self.fronts[self.ears[receiver].channel].as_slice();
        let from = front.len();
        let payload_end = from + self.setting.size;
        let is_push = rest.len() > payload_end && &rest[..from] == front && rest[payload_end] == b'"';
        if !is_push {
            return None;
        }
        let end = rest[payload_end..].iter().position(|byte| *byte == b'\n');
        Some((&rest[from..payload_end], end.map_or(rest.len(), |at| payload_end + at)))
    }
}
