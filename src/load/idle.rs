//! Connections that are held and do nothing but answer what keeps them alive.

use super::hub::{self, Told};
use super::{End, Heard, Lines, Moment, Opened, Pace, Part, Reach, Reader, Scene, Ticket};
use crate::wire::websocket::Opcode;
use crate::wire::{Message, Wire};
use std::sync::Arc;
use std::time::Duration;

/// The scene of `bench idle`.
#[derive(Debug)]
pub struct Idle {
    channels: Vec<Arc<str>>,
    is_hub: bool,
    readers: Vec<Option<Reader>>,
    /// Signs of life of our own, over all connections in turn.
    heartbeats: Option<Duration>,
    pace: Option<Pace>,
    sent: u64,
    answered: u64,
    messages: u64,
    lost: u64,
    held: usize,
}

impl Idle {
    /// So many connections; to a hub if `is_hub`, where each is subscribed to one of the channels, if there are any.
    pub fn new(lines: usize, is_hub: bool, channels: Vec<Arc<str>>, heartbeats: Option<Duration>) -> Self {
        Self {
            channels,
            is_hub,
            readers: (0..lines).map(|_| None).collect(),
            heartbeats,
            pace: None,
            sent: 0,
            answered: 0,
            messages: 0,
            lost: 0,
            held: 0,
        }
    }

    /// Pings of the server that were answered, signs of life that were sent, messages that came, and connections that
    /// were lost since they stood.
    pub fn counts(&self) -> [u64; 4] {
        [self.answered, self.sent, self.messages, self.lost]
    }

    fn hear(
        &mut self,
        line: usize,
        message: &[u8],
        wire: Wire,
        tools: (&mut Vec<u8>, &mut crate::timer::Jitter),
    ) -> Result<(), End> {
        if !self.is_hub {
            self.messages += 1;
            return Ok(());
        }
        let (out, jitter) = tools;
        debug_assert!(line < self.readers.len());
        for document in hub::documents(message) {
            match hub::read(document)? {
                Told::Ping => {
                    self.answered += 1;
                    hub::encode(wire, hub::PONG, jitter, out);
                }
                Told::Disconnected(end) => return Err(end),
                Told::Unsubscribed(code, words) => return Err(End::Rejected { method: "subscription", code, words }),
                Told::Denied(..) | Told::Done(..) | Told::Publication { .. } | Told::Other => self.messages += 1,
            }
        }
        Ok(())
    }

    /// A sign of life that a server understands on its wire.
    fn heartbeat<L: Lines>(&mut self, line: usize, reach: &mut Reach<'_, L>) {
        let wire = reach.crowd.entrance(line).wire;
        let (out, jitter) = (&mut reach.crowd.out, &mut reach.crowd.jitter);
        out.clear();
        match wire {
            Wire::WebSocket => super::ring::encode_frame(Opcode::Ping, Some(hub::mask(jitter)), b"", out),
            Wire::Length | Wire::Line | Wire::Raw => wire.encode(Message::from(b"ping"), out),
        }
        reach.lines.send_copy(line, out);
        self.sent += 1;
    }
}

impl Scene for Idle {
    fn ticket(&self, line: usize) -> Ticket {
        Ticket::in_turn(&self.channels, line)
    }

    fn on_ready<L: Lines>(
        &mut self,
        line: usize,
        opened: Opened,
        _took: u64,
        _reach: &mut Reach<'_, L>,
    ) -> Result<(), End> {
        self.readers[line] = Some(opened.reader);
        self.held += 1;
        Ok(())
    }

    fn on_bytes<L: Lines>(&mut self, line: usize, bytes: &mut [u8], reach: &mut Reach<'_, L>) -> Result<(), End> {
        let Some(mut reader) = self.readers[line].take() else {
            return Ok(());
        };
        let wire = reach.crowd.entrance(line).wire;
        reach.crowd.out.clear();
        let (mut rest, mut met) = (bytes, Ok(()));
        while met.is_ok() {
            let heard = match reader.next(&mut rest, &mut reach.crowd.pool) {
                Ok(None) => break,
                Ok(Some(heard)) => heard,
                Err(end) => {
                    met = Err(end);
                    break;
                }
            };
            match heard {
                Heard::Message(body) => {
                    met = self.hear(line, body.bytes(), wire, (&mut reach.crowd.out, &mut reach.crowd.jitter));
                    body.give_back(&mut reach.crowd.pool);
                }
                Heard::Ping(_) => {
                    self.answered += 1;
                    hub::encode_pong(&heard, &mut reach.crowd.jitter, &mut reach.crowd.out);
                }
                Heard::Pong => {}
            }
        }
        self.readers[line] = Some(reader);
        if !reach.crowd.out.is_empty() {
            reach.lines.send_copy(line, &reach.crowd.out);
        }
        met
    }

    fn on_gone<L: Lines>(&mut self, line: usize, was_ready: bool, reach: &mut Reach<'_, L>) {
        if let Some(mut reader) = self.readers[line].take() {
            reader.clear(&mut reach.crowd.pool);
        }
        if was_ready {
            self.lost += 1;
            self.held -= 1;
        }
    }

    fn begin<L: Lines>(&mut self, part: Part, _most: Option<u64>, reach: &mut Reach<'_, L>) {
        if let Some(interval) = self.heartbeats {
            let rate = self.readers.len() as f64 / interval.as_secs_f64();
            let now = reach.now;
            self.pace.get_or_insert_with(|| Pace::new(now, rate));
        }
        if part == Part::Measured {
            reach.record.done(self.held as u64);
        }
    }

    fn on_turn<L: Lines>(&mut self, reach: &mut Reach<'_, L>) {
        let Some(pace) = self.pace else {
            return;
        };
        let lines = self.readers.len() as u64;
        let due = pace.due(reach.now);
        for number in self.sent..due.min(self.sent + lines) {
            self.heartbeat(usize::try_from(number % lines).unwrap_or(0), reach);
        }
        self.sent = due;
    }

    fn next_at(&self) -> Option<Moment> {
        self.pace.map(|pace| pace.at(self.sent))
    }

    fn rest(&mut self, _now: Moment) {}

    fn is_at_rest(&self) -> bool {
        true
    }

    fn progress(&self) -> u64 {
        0
    }

    fn unanswered(&self) -> u64 {
        0
    }

    fn can_go_on(&self) -> bool {
        self.held > 0
    }

    fn pauses(&self) -> bool {
        true
    }
}
