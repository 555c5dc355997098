//! Connections that are held: paused by their handler, or waiting for its answer. What they had sent before is kept, and
//! handled before anything newer when they go on.

use super::core::{Core, Rest};
use super::handler::Handler;
use super::id::ConnId;
use super::machine::Gateway;
use super::receive::Next;
use crate::timer::Time;

impl<H: Handler> Gateway<H> {
    /// The next connection that goes on after it was held, when what it had sent before has been handled. Flush it, and
    /// read from it where that asks for it.
    pub fn handle_resumed(&mut self, now: Time) -> Option<ConnId> {
        let id = self.core.resumed.pop_front()?;
        let slot = self.core.slots.get_mut(id).and_then(|slot| slot.connection.take_released().then_some(slot));
        let Some(slot) = slot else {
            return Some(id);
        };
        slot.connection.on_reading_resumed(now, &self.core.settings);
        // Bytes that an earlier read left inside the connection may hold a whole message without any more.
        let Rest { mut bytes, from } = self.core.rests.remove(&id).unwrap_or(Rest { bytes: Vec::new(), from: 0 });
        let mut rest = &mut bytes[from..];
        let next = self.serve(id, &mut rest, now, None);
        let left = rest.len();
        match next {
            Next::Held if left > 0 => {
                let from = bytes.len() - left;
                self.core.rests.insert(id, Rest { bytes, from });
            }
            _ => self.core.pool.give(bytes),
        }
        self.deliver_ended(now);
        self.core.rearm(id);
        Some(id)
    }

    /// Whether a connection waits to be flushed or to go on, or a handler to be called.
    pub fn has_unserved(&self) -> bool {
        let core = &self.core;
        !core.dirty.is_empty() || core.wants_turn || !core.resumed.is_empty() || !core.drained.is_empty()
    }
}

impl Core {
    /// The connection may stay.
    pub(super) fn admit(&mut self, id: ConnId) {
        if self.slots.get_mut(id).is_some_and(|slot| slot.connection.admit()) {
            self.rearm(id);
        }
    }

    pub(super) fn pause(&mut self, id: ConnId) {
        self.gather.end_ease(id);
        if let Some(slot) = self.slots.get_mut(id) {
            slot.connection.pause();
        }
    }

    pub(super) fn resume(&mut self, id: ConnId) {
        if self.slots.get_mut(id).is_some_and(|slot| slot.connection.resume()) {
            self.resumed.push_back(id);
        }
    }

    /// Keeps what a held connection has sent. Nothing more is read from it, so that is one read at most.
    pub(super) fn keep_rest(&mut self, id: ConnId, rest: &[u8]) {
        if rest.is_empty() {
            return;
        }
        let kept = self.rests.entry(id).or_insert(Rest { bytes: Vec::new(), from: 0 });
        self.pool.append(&mut kept.bytes, rest);
    }

    /// Forgets what a connection had sent, which has ended.
    pub(super) fn drop_rest(&mut self, id: ConnId) {
        if let Some(rest) = self.rests.remove(&id) {
            self.pool.give(rest.bytes);
        }
    }
}
