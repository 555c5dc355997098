//! A connection that speaks HTTP: heads and bodies out of bytes. What is asked for and what answers it knows `gateway`.

use super::input::{Input, Payload, Tools, take_front};
use super::machine::{Connection, Expects, Phase, opening};
use crate::buffer::Pool;
use crate::config::Settings;
use crate::timer::Time;
use crate::wire::Wire;
use crate::wire::http::{Body as BodyPart, BodyDecoder, BodyLength, Status, find_end};
use crate::wire::websocket::DeflateParams;

/// The body of a request under way. Its head, and what has come of the body behind it, lie in the connection's tail.
#[derive(Debug)]
pub(super) struct Body {
    head_len: usize,
    decoder: BodyDecoder,
}

/// Longest head of a request. A constant and no setting: no peer of ours needs more.
pub const MAX_HEAD: usize = 16 << 10;

impl Connection {
    /// Keeps a request's head until its body has come. Refuses one that is announced longer than allowed.
    pub fn begin_body(
        &mut self,
        head: Payload<'_>,
        body: BodyLength,
        now: Time,
        settings: &Settings,
        pool: &mut Pool,
    ) -> Result<(), Status> {
        let head_len = head.bytes().len();
        match head {
            Payload::Reassembled(buffer, _) => self.tail = buffer,
            Payload::InPlace(_) | Payload::Inflated(_) => pool.append(&mut self.tail, head.bytes()),
        }
        // Where it refuses, the end of the connection gives the head's buffer back.
        let decoder = BodyDecoder::new(body, settings.max_http_body_bytes as u64)?;
        self.body = Some(Box::new(Body { head_len, decoder }));
        self.on_request_begun(now, settings);
        Ok(())
    }

    /// Notes that a request was answered: the next one has its time.
    pub fn on_answered(&mut self, now: Time, settings: &Settings) {
        if let Phase::Http { .. } = self.phase {
            self.phase = Phase::Http { give_up_at: now + settings.http_idle_timeout, expects: Expects::Another };
        }
    }

    /// Notes that a request for WebSocket was answered with yes.
    pub fn on_upgraded(&mut self, params: Option<DeflateParams>, now: Time, settings: &Settings) {
        if let Phase::Http { give_up_at, expects } = self.phase {
            self.phase = if self.admits {
                opening(Wire::WebSocket, admission_deadline(give_up_at, expects, now, settings), true)
            } else {
                Phase::Open { wire: Wire::WebSocket }
            };
            self.last_message = now;
            if let Some(params) = params {
                self.compression.agree(params);
            }
        }
    }

    #[inline]
    pub(super) fn handle_http<'a>(&mut self, bytes: &mut &'a mut [u8], tools: &mut Tools<'_>) -> Input<'a> {
        if self.body.is_some() {
            return self.handle_body(bytes, tools);
        }
        if self.tail.is_empty() {
            return self.handle_head(bytes, tools);
        }
        self.complete_head(bytes, tools)
    }

    fn handle_head<'a>(&mut self, bytes: &mut &'a mut [u8], tools: &mut Tools<'_>) -> Input<'a> {
        if bytes.is_empty() {
            return Input::NeedMore;
        }
        match find_end(bytes, 0) {
            Some(len) if len <= MAX_HEAD => Input::Head(Payload::InPlace(take_front(bytes, len))),
            None if bytes.len() <= MAX_HEAD => {
                self.keep_tail(bytes, tools);
                self.on_request_begun(tools.now, tools.settings);
                Input::NeedMore
            }
            Some(_) | None => Input::BadRequest(Status::FieldsTooLarge),
        }
    }

    /// Adds to the tail just what completes the head.
    fn complete_head<'a>(&mut self, bytes: &mut &'a mut [u8], tools: &mut Tools<'_>) -> Input<'a> {
        let before = self.tail.len();
        let room = (MAX_HEAD + 1).saturating_sub(before).min(bytes.len());
        tools.pool.append(&mut self.tail, &bytes[..room]);
        match find_end(&self.tail, self.scanned as usize) {
            Some(len) if len <= MAX_HEAD => {
                self.tail.truncate(len);
                take_front(bytes, len - before);
                Input::Head(Payload::Reassembled(self.take_tail(), 0..len))
            }
            None if self.tail.len() <= MAX_HEAD => {
                take_front(bytes, room);
                self.set_scanned();
                self.on_request_begun(tools.now, tools.settings);
                Input::NeedMore
            }
            Some(_) | None => Input::BadRequest(Status::FieldsTooLarge),
        }
    }

    fn handle_body<'a>(&mut self, bytes: &mut &'a mut [u8], tools: &mut Tools<'_>) -> Input<'a> {
        let Self { body, tail, .. } = self;
        let Some(body) = body else {
            return Input::NeedMore;
        };
        let end = loop {
            let mut rest: &[u8] = bytes;
            let step = match body.decoder.decode(&mut rest) {
                Ok(BodyPart::Data(data)) => {
                    tools.pool.append(tail, data);
                    None
                }
                Ok(part) => Some(Ok(part == BodyPart::End)),
                Err(status) => Some(Err(status)),
            };
            let used = bytes.len() - rest.len();
            take_front(bytes, used);
            if let Some(end) = step {
                break end;
            }
        };
        match end {
            Ok(true) => {
                let head_len = body.head_len;
                self.body = None;
                Input::Request(self.take_tail(), head_len)
            }
            Ok(false) => Input::NeedMore,
            Err(status) => Input::BadRequest(status),
        }
    }

    /// A later request than the first has the time of a handshake from its first byte on.
    fn on_request_begun(&mut self, now: Time, settings: &Settings) {
        if let Phase::Http { expects: Expects::Another, .. } = self.phase {
            self.phase = Phase::Http { give_up_at: now + settings.handshake_timeout, expects: Expects::Rest };
        }
    }
}

/// The time of the first request, which began with the accept, goes on; a later one has a time of its own.
fn admission_deadline(give_up_at: Time, expects: Expects, now: Time, settings: &Settings) -> Time {
    match expects {
        Expects::First | Expects::Rest => give_up_at,
        Expects::Another | Expects::Nothing { .. } => now + settings.handshake_timeout,
    }
}
