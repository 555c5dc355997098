//! The model's rules for what a visitor says that no handler sees, and for the words a connection ends with.

use crate::incoming::heartbeat_answer;
use crate::model::Model;
use crate::seen::Situation;
use crate::websocket::ear::{Answer, Heard};
use crate::websocket::frames::{self, BINARY, CLOSE, PONG, TEXT};
use crate::websocket::stream::Said;
use crate::websocket::visit::code_of;
use tidegate::connection::{Broken, CloseReason, LocalReason, PeerReason};
use tidegate::gateway::ConnId;
use tidegate::wire::http::{EncodeOptions, Response, Status};
use tidegate::wire::websocket::FrameError;
use tidegate::wire::{Kind, Message, Wire};

impl Model {
    /// Acts on what a visitor has said; false where it is the handler's turn, or nobody's any more.
    pub fn settle_said(&mut self, id: ConnId, said: &Said, is_slow: bool) -> bool {
        match said {
            Said::Request(_) | Said::Ping(_) | Said::Pong if !is_slow && !self.has_tokens(id) => {
                self.on_too_many(id, said);
                return false;
            }
            Said::Request(_) => return false,
            Said::Upgrade(_) if self.drain.is_none() => return false,
            Said::Ping(payload) => self.on_ping(id, payload),
            Said::Pong => self.on_pong(id),
            _ if is_slow => return false,
            Said::Upgrade(_) => {
                self.seen.hit(Situation::UpgradeInDrain);
                self.refuse_request(id, 503, CloseReason::Local(LocalReason::Draining));
            }
            Said::Refused(status) => {
                self.note_refused(*status);
                self.refuse_request(id, *status, CloseReason::Peer(PeerReason::BadRequest));
            }
            Said::ForeignOrigin => {
                self.seen.hit(Situation::ForeignOrigin);
                self.refuse_request(id, 403, CloseReason::Local(LocalReason::OriginRefused));
            }
            Said::Close(code) => {
                self.seen.hit(Situation::ClosedByPeer);
                self.last_words(id, CloseReason::Peer(PeerReason::Closed), *code, "");
            }
            Said::Broken(broken) => self.on_broken(id, *broken),
        }
        true
    }

    fn has_tokens(&mut self, id: ConnId) -> bool {
        let now = self.now;
        self.conn(id).and_then(|conn| conn.messages.as_mut()).is_none_or(|tokens| tokens.has(1, now))
    }

    fn on_too_many(&mut self, id: ConnId, said: &Said) {
        let reason = CloseReason::Local(LocalReason::TooManyMessages);
        self.seen.hit(Situation::TooManyMessages);
        if let Said::Request(_) = said {
            self.requests += 1;
            self.refuse_request(id, 429, reason);
        } else {
            self.count_message();
            self.decide(id, reason);
        }
    }

    fn on_ping(&mut self, id: ConnId, payload: &[u8]) {
        let now = self.now;
        if let Some(conn) = self.conn(id) {
            conn.due.pop_front();
            conn.spend_message(now);
        }
        self.count_heartbeat(id);
        self.seen.hit(Situation::PingAnswered);
        self.push(id, Heard::Pong(payload.to_vec()), &frames::from_server(PONG, payload));
    }

    fn on_pong(&mut self, id: ConnId) {
        let now = self.now;
        let Some(conn) = self.conn(id) else {
            return;
        };
        conn.due.pop_front();
        conn.spend_message(now);
        let answers = std::mem::take(&mut conn.awaits_answer);
        self.count_answer(id, answers);
        self.seen.hit(if answers { Situation::PongCame } else { Situation::PongUnasked });
    }

    fn on_broken(&mut self, id: ConnId, broken: Broken) {
        // What is compressed can be broken and too large: one of the two is found first, and is as true as the other.
        let is_either = broken == Broken::Frame(FrameError::BadCompression) && self.too_large.contains(&id);
        let broken = if is_either { Broken::TooLarge } else { broken };
        let (reason, code, situation) = match broken {
            Broken::Frame(FrameError::BadCompression) => (PeerReason::InvalidData, 1007, Situation::BadCompression),
            Broken::Frame(FrameError::MissingMask) => (PeerReason::ProtocolError, 1002, Situation::Unmasked),
            Broken::Frame(FrameError::ReservedBit) => (PeerReason::ProtocolError, 1002, Situation::ReservedBit),
            Broken::Frame(FrameError::NothingToContinue) => (PeerReason::ProtocolError, 1002, Situation::Stray),
            Broken::Frame(FrameError::BadClose) => (PeerReason::ProtocolError, 1002, Situation::BadClose),
            Broken::Frame(_) => (PeerReason::ProtocolError, 1002, Situation::BadFrame),
            Broken::InvalidText => (PeerReason::InvalidText, 1007, Situation::BadText),
            Broken::TooLarge => (PeerReason::MessageTooLarge, 1009, Situation::FrameTooLarge),
            Broken::TooManyFragments => (PeerReason::TooManyFragments, 1009, Situation::TooManyFragments),
        };
        self.seen.hit(situation);
        self.last_words(id, CloseReason::Peer(reason), Some(code), &broken.to_string());
    }

    fn note_refused(&self, status: u16) {
        self.seen.hit(match status {
            426 => Situation::WrongVersion,
            413 => Situation::BodyTooLarge,
            431 => Situation::HeadTooLarge,
            405 => Situation::WrongMethod,
            _ => Situation::BadRequest,
        });
    }

    /// Ends a connection with this Close frame.
    fn last_words(&mut self, id: ConnId, reason: CloseReason, code: Option<u16>, words: &str) {
        self.push(id, Heard::Close(code), &frames::from_server(CLOSE, &frames::close(code, words)));
        self.end(id, reason);
    }

    /// A peer that hears words is told of an end that was decided.
    pub fn tell_end(&mut self, id: ConnId, reason: CloseReason) {
        let hears = |conn: &crate::conn::Conn| conn.takes_messages() && conn.incoming.wire == Some(Wire::WebSocket);
        if self.conn(id).is_some_and(|conn| hears(conn) && !conn.peer_ended) {
            self.seen.hit(Situation::TellsWhy);
            let (code, words) = (Some(code_of(reason)), reason.advice().words);
            self.push(id, Heard::Close(code), &frames::from_server(CLOSE, &frames::close(code, words)));
        }
    }

    /// Ends a connection with this answer.
    pub fn refuse_request(&mut self, id: ConnId, status: u16, reason: CloseReason) {
        let status = Status::ALL.into_iter().find(|each| each.code() == status).unwrap_or(Status::InternalError);
        self.push_answer(id, &Response::refusal(status), false, true);
        self.end(id, reason);
    }

    /// An answer is owed; how long it is.
    pub fn push_answer(&mut self, id: ConnId, response: &Response, is_head: bool, closes: bool) -> usize {
        let (mut bytes, body) = (Vec::new(), response.body().to_vec());
        let date = self.date.text(self.now / 1000);
        response.encode(&mut bytes, EncodeOptions { head_only: is_head, close: closes, date });
        let answer = Answer {
            status: response.status().code(),
            closes,
            length: Some(body.len()),
            body: if is_head { Vec::new() } else { body },
            ..Answer::default()
        };
        if let Some(visit) = self.conn(id).and_then(|conn| conn.visit.as_mut()) {
            visit.ear.ask(is_head);
        }
        self.push(id, Heard::Answer(answer), &bytes);
        bytes.len()
    }

    /// A message is owed to a WebSocket.
    pub fn owe_message(&mut self, id: ConnId, body: &[u8], kind: Kind) {
        let kind = match kind {
            Kind::Plain if std::str::from_utf8(body).is_ok() => Kind::Text,
            Kind::Plain => Kind::Binary,
            kind => kind,
        };
        let (least, opcode) = (self.settings.deflate_min_bytes, if kind == Kind::Text { TEXT } else { BINARY });
        let slot = self.conns.get_mut(id.slot()).and_then(Option::as_mut);
        let Some(visit) = slot.and_then(|conn| conn.visit.as_mut()) else {
            return;
        };
        let bytes = if visit.compression.is_agreed() && body.len() >= least {
            let message = std::str::from_utf8(body).ok().filter(|_| kind == Kind::Text).map(Message::text);
            let mut bytes = Vec::new();
            self.compressor.encode(&mut visit.compression, message.unwrap_or(Message::binary(body)), &mut bytes);
            bytes
        } else {
            frames::from_server(opcode, body)
        };
        self.push(id, Heard::Message(body.to_vec(), kind), &bytes);
    }

    /// Something is owed to a visitor.
    pub fn push(&mut self, id: ConnId, heard: Heard, bytes: &[u8]) {
        let (now, soft) = (self.now, self.settings.write_queue_soft_bytes);
        let Some(conn) = self.conn(id) else {
            return;
        };
        if conn.pending() == 0 {
            conn.progress_at = now;
        }
        if let Some(visit) = conn.visit.as_mut() {
            visit.expected.push_back(heard);
        }
        conn.out.push(bytes.into());
        conn.on_owed(soft, now);
    }

    /// What answers a message that is a heartbeat; a WebSocket is asked by a ping, so no message answers that.
    pub fn answers(&mut self, id: ConnId, body: &[u8]) -> (Option<&'static [u8]>, bool) {
        let answer = heartbeat_answer(body, self.settings.heartbeat_answers);
        let probe_answer = self.probe_answer.clone();
        let asked = self.conn(id).is_some_and(|conn| conn.awaits_answer && conn.incoming.wire != Some(Wire::WebSocket));
        (answer, answer.is_none() && asked && Some(body) == probe_answer.as_deref())
    }
}
