//! A connection that publishes: what it says, gathered to leave at once, and what it is told.

use super::Setting;
use crate::buffer::Pool;
use crate::load::hub::{self, FIRST_PUBLISH, Told};
use crate::load::ring::encode_frame;
use crate::load::{End, Heard, Lines, Reach, Reader, Stamp};
use crate::timer::Jitter;
use crate::wire::websocket::Opcode;
use crate::wire::{Message, Wire};

/// A publisher.
#[derive(Debug, Default)]
pub(super) struct Voice {
    reader: Option<Reader>,
    /// Framed, and not sent yet.
    gathered: Vec<u8>,
    document: Vec<u8>,
    commands: u32,
}

/// What is gathered leaves when it is more than this.
const GATHERED: usize = 64 << 10;

impl Voice {
    pub(super) fn open(&mut self, reader: Reader) {
        self.reader = Some(reader);
    }

    pub(super) fn close(&mut self, pool: &mut Pool) {
        if let Some(mut reader) = self.reader.take() {
            reader.clear(pool);
        }
        self.gathered.clear();
    }

    pub(super) fn is_full(&self) -> bool {
        self.gathered.len() >= GATHERED
    }

    /// Gathers a publication.
    pub(super) fn say(&mut self, setting: &Setting, channel: usize, stamp: &Stamp, wire: Wire, jitter: &mut Jitter) {
        self.document.clear();
        let Some(channel) = setting.channels.get(channel) else {
            self.document.resize(setting.size, 0);
            stamp.write(&mut self.document);
            return self.frame_plain(setting.text, wire, jitter);
        };
        let id = FIRST_PUBLISH + self.commands;
        self.commands = (self.commands + 1) % (u32::MAX - FIRST_PUBLISH);
        let front = format!(r#"{{"id":{id},"publish":{{"channel":{},"data":""#, hub::quoted(channel));
        self.document.extend_from_slice(front.as_bytes());
        let start = self.document.len();
        self.document.resize(start + setting.size, 0);
        stamp.write(&mut self.document[start..]);
        self.document.extend_from_slice(b"\"}}");
        hub::encode(wire, &self.document, jitter, &mut self.gathered);
    }

    fn frame_plain(&mut self, text: bool, wire: Wire, jitter: &mut Jitter) {
        match wire {
            Wire::WebSocket => {
                let opcode = if text { Opcode::Text } else { Opcode::Binary };
                encode_frame(opcode, Some(hub::mask(jitter)), &self.document, &mut self.gathered);
            }
            Wire::Length | Wire::Line | Wire::Raw => wire.encode(Message::from(&self.document), &mut self.gathered),
        }
    }

    /// Sends what is gathered.
    pub(super) fn send<L: Lines>(&mut self, line: usize, lines: &mut L) {
        if !self.gathered.is_empty() {
            lines.send_copy(line, &self.gathered);
            self.gathered.clear();
        }
    }

    /// Hears what a publisher is told: that a publication was refused ends it. What others publish is nothing to it.
    pub(super) fn hear<L: Lines>(
        &mut self,
        line: usize,
        bytes: &mut [u8],
        is_hub: bool,
        reach: &mut Reach<'_, L>,
    ) -> Result<(), End> {
        let Some(reader) = &mut self.reader else {
            return Ok(());
        };
        let (lines, crowd) = super::tools(reach);
        crowd.out.clear();
        let mut rest = bytes;
        while let Some(heard) = reader.next(&mut rest, &mut crowd.pool)? {
            let Heard::Message(body) = heard else {
                hub::encode_pong(&heard, &mut crowd.jitter, &mut crowd.out);
                continue;
            };
            let mut met = Ok(());
            if is_hub {
                for document in hub::documents(body.bytes()) {
                    met = met.and(react(document));
                    if document == hub::PONG {
                        let wire = crowd.entrance(line).wire;
                        hub::encode(wire, hub::PONG, &mut crowd.jitter, &mut crowd.out);
                    }
                }
            }
            body.give_back(&mut crowd.pool);
            met?;
        }
        if !crowd.out.is_empty() {
            lines.send_copy(line, &crowd.out);
        }
        Ok(())
    }
}

fn react(document: &[u8]) -> Result<(), End> {
    match hub::read(document)? {
        Told::Denied(_, code, words) => Err(End::Rejected { method: "publish", code, words }),
        Told::Disconnected(end) => Err(end),
        Told::Ping | Told::Done(..) | Told::Publication { .. } | Told::Unsubscribed(..) | Told::Other => Ok(()),
    }
}
