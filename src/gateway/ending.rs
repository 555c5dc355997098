//! How connections end: decided once, told to the peer where it can hear it, and what is queued sent, cut or dropped.

use super::core::Core;
use super::id::ConnId;
use crate::connection::{CloseReason, Parting, Phase, close_frame};
use crate::timer::Time;
use crate::wire::websocket::fitting;
use crate::wire::{Message, Wire};

/// What TLS may have taken of a queue without having said so: it has encrypted that, so it must stay in front.
const TAKEN_AHEAD: usize = 64 << 10;

impl Core {
    /// Decides the end of a connection, and tells it to a peer that can hear of it.
    pub(super) fn close(&mut self, id: ConnId, reason: CloseReason, now: Time) {
        let advice = reason.advice();
        self.close_with(id, reason, advice.code, advice.words, now);
    }

    /// Decides the end of a connection, and tells it with this code and these words.
    pub(super) fn close_with(&mut self, id: ConnId, reason: CloseReason, code: u16, words: &str, now: Time) {
        let Some(slot) = self.slots.get(id).filter(|slot| slot.connection.is_live()) else {
            return;
        };
        let hears = reason.parting() != Parting::Silent && !slot.peer_ended;
        let last_words = match slot.connection.wire().filter(|_| hears) {
            Some(Wire::WebSocket) => close_frame(code, words),
            Some(wire) => self.farewell(wire, code, words),
            None => Vec::new(),
        };
        self.end(id, reason, &last_words, now);
    }

    /// Decides the end of a connection with these last words: told to the handler, counted and logged once. Later
    /// reasons change nothing.
    pub(super) fn end(&mut self, id: ConnId, reason: CloseReason, last_words: &[u8], now: Time) {
        self.gather.end_ease(id);
        self.unbundle(id, now);
        if reason.parting() == Parting::Cut {
            self.cut(id);
        }
        if !last_words.is_empty() {
            self.send_raw(id, last_words, now);
        }
        let Some(slot) = self.slots.get_mut(id).filter(|slot| slot.connection.is_live()) else {
            return;
        };
        let queued = slot.connection.queued_bytes();
        slot.connection.begin_close(reason, now, &self.settings, &mut self.pool);
        self.counters.closed[reason.index()] += 1;
        if slot.opened {
            self.ended.push_back((id, reason));
        }
        let peer = slot.peer;
        match slot.connection.phase() {
            Phase::Closed => {
                slot.connection.on_closed(&mut self.pool);
                self.gather.discard(id);
                self.queued -= queued;
                self.gone.push(id);
            }
            _ => self.mark_dirty(id),
        }
        self.drop_rest(id);
        self.rearm(id);
        self.log_close(id, peer, reason, now);
    }

    /// Ends a connection whose end was decided before: its socket can go.
    pub(super) fn drop_connection(&mut self, id: ConnId) {
        let Some(slot) = self.slots.get_mut(id) else {
            return;
        };
        debug_assert!(slot.run.is_none(), "the end was decided, which makes what is sent together with others its own");
        if slot.connection.phase() != Phase::Closed {
            self.queued -= slot.connection.queued_bytes();
            slot.connection.on_closed(&mut self.pool);
            self.gone.push(id);
        }
    }

    /// Drops what waits for a live connection, but for a frame under way.
    fn cut(&mut self, id: ConnId) {
        let Some(slot) = self.slots.get_mut(id).filter(|slot| slot.connection.is_live()) else {
            return;
        };
        let taken = if slot.encrypted { TAKEN_AHEAD } else { 0 };
        self.queued -= slot.connection.cut_queue(taken, &mut self.pool);
        self.gather.clear(id);
    }

    /// The last message on a wire without close frames; empty where the handler has none.
    fn farewell(&self, wire: Wire, code: u16, words: &str) -> Vec<u8> {
        let Some(compose) = self.habits.farewell else {
            return Vec::new();
        };
        let mut encoded = Vec::new();
        wire.encode(Message::from(compose(code, fitting(words)).as_str()), &mut encoded);
        encoded
    }
}
