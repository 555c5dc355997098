//! What a connection is sent: encoded for its wire, gathered where it is the one being served, queued otherwise.

use super::context::SendError;
use super::core::Core;
use super::id::ConnId;
use crate::buffer::Pool;
use crate::config::Settings;
use crate::connection::{CloseReason, Compressor, Connection, LocalReason};
use crate::timer::Time;
use crate::wire::websocket::{FrameHeader, MAX_CONTROL, Opcode};
use crate::wire::{Message, Place, Prepared, Wire};
use bytes::Bytes;

/// What became of an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// It was taken for sending, and is sent unless the connection ends first.
    Sent,
    /// Too much waits for the connection already; it was not taken.
    Full,
    /// There is no such open connection any more, or no write queue may ever hold this much.
    Gone,
}

impl Core {
    /// Sends one message to one connection: gathered where it is the one being served, queued otherwise.
    #[inline(always)]
    pub(super) fn send(&mut self, id: ConnId, message: Message<'_>, now: Time) -> Result<(), SendError> {
        if let Some((wire, gathered)) = self.gather.room_at_ease(id, message.len()) {
            wire.encode(message, gathered);
            self.counters.messages_out = self.counters.messages_out.wrapping_add(1);
            return Ok(());
        }
        let (framed, place) = message.apart();
        self.send_with_care(id, framed, place, now)
    }

    /// The same, whatever the connection is about. The message comes [apart](Message::apart).
    pub(super) fn send_with_care(
        &mut self,
        id: ConnId,
        framed: &[u8],
        place: Place,
        now: Time,
    ) -> Result<(), SendError> {
        let message = Message::together(framed, place);
        let slot = self.slots.get_mut(id).ok_or(SendError::Gone)?;
        let wire = slot.connection.wire().ok_or(SendError::Gone)?;
        slot.connection.on_message_sent(now);
        let compresses = wire == Wire::WebSocket && slot.connection.compresses(message.len(), &self.settings);
        let len = wire.encoded_len(message.len());
        if slot.is_empty()
            && let Some(gathered) = self.gather.room_for(id, len)
        {
            if compresses {
                self.compressor.encode(slot.connection.compression(), message, gathered);
            } else {
                wire.encode(message, gathered);
            }
            self.counters.messages_out += 1;
            return Ok(());
        }
        check_size(&self.settings, message.len())?;
        let mut encoded = Vec::with_capacity(if compresses { 0 } else { len });
        if compresses {
            self.compressor.encode(slot.connection.compression(), message, &mut encoded);
        } else {
            wire.encode(message, &mut encoded);
        }
        self.queue(id, Chunk::encoded(encoded), now)
    }

    /// Sends a shared message to one connection.
    pub(super) fn send_prepared(&mut self, id: ConnId, message: &Prepared, now: Time) -> Result<(), SendError> {
        if self.share(id, message, now) {
            return Ok(());
        }
        let slot = self.slots.get_mut(id).ok_or(SendError::Gone)?;
        let wire = slot.connection.wire().ok_or(SendError::Gone)?;
        check_size(&self.settings, message.body().len())?;
        let chunk = chunk_for(&mut slot.connection, wire, message, &self.settings, &mut self.compressor);
        slot.connection.on_message_sent(now);
        self.queue(id, chunk, now)
    }

    /// Sends a shared message to a connection for which little enough waits.
    pub(super) fn offer(&mut self, id: ConnId, message: &Prepared, now: Time) -> Offer {
        if self.share(id, message, now) {
            return Offer::Sent;
        }
        let Some(slot) = self.slots.get(id) else {
            return Offer::Gone;
        };
        let is_open = slot.connection.wire().is_some();
        if !is_open || check_size(&self.settings, message.body().len()).is_err() {
            return Offer::Gone;
        }
        let (before, gathered) = (self.pending(id), self.gather.len_for(id));
        let Settings { write_queue_soft_bytes: soft, write_queue_hard_bytes: hard, .. } = self.settings;
        if before > soft || before + message.body().len() + MAX_OVERHEAD > hard {
            self.arm_watch(id, gathered > 0);
            return Offer::Full;
        }
        self.send_prepared(id, message, now).map_or(Offer::Gone, |()| Offer::Sent)
    }

    /// Answers a WebSocket ping.
    pub(super) fn pong(&mut self, id: ConnId, payload: &[u8], now: Time) {
        self.control(id, Opcode::Pong, payload, now);
    }

    /// Sends a control frame to a connection that speaks WebSocket.
    pub(super) fn control(&mut self, id: ConnId, opcode: Opcode, payload: &[u8], now: Time) {
        let header = FrameHeader { fin: true, rsv1: false, opcode, len: payload.len() as u64, mask: None };
        let mut frame = Vec::with_capacity(MAX_CONTROL + 2);
        header.encode(&mut frame);
        frame.extend_from_slice(payload);
        self.counters.messages_out += 1;
        self.send_judged(id, &frame, now);
    }

    /// Sends bytes as they are, behind everything sent before, and closes who leaves too many waiting.
    pub(super) fn send_judged(&mut self, id: ConnId, bytes: &[u8], now: Time) {
        self.send_raw(id, bytes, now);
        self.close_if_slow(id, now);
    }

    /// Sends bytes as they are, behind everything sent before.
    #[cfg(feature = "websocket")]
    pub(super) fn send_bytes(&mut self, id: ConnId, bytes: Vec<u8>, now: Time) {
        let fits = check_size(&self.settings, bytes.len());
        match self.slots.get(id) {
            Some(slot) if slot.connection.is_live() && fits.is_ok() => {
                // An answer that can't be queued has closed its connection.
                let _ = self.queue(id, Chunk::encoded(bytes), now);
            }
            Some(_) => self.close(id, CloseReason::Local(LocalReason::SlowConsumer), now),
            None => {}
        }
    }

    /// Sends bytes as they are, behind everything sent before, whatever the limits say.
    pub(super) fn send_raw(&mut self, id: ConnId, bytes: &[u8], now: Time) {
        let Some(slot) = self.slots.get_mut(id).filter(|slot| slot.connection.is_live()) else {
            return;
        };
        if slot.is_empty()
            && let Some(gathered) = self.gather.room_for(id, bytes.len())
        {
            gathered.extend_from_slice(bytes);
            return;
        }
        if let Some(gathered) = self.gather.take(id) {
            self.queue_unjudged(id, &gathered, now);
            self.gather.put_back(gathered);
        }
        self.queue_unjudged(id, bytes, now);
        self.mark_dirty(id);
    }

    fn queue(&mut self, id: ConnId, chunk: Chunk, now: Time) -> Result<(), SendError> {
        // What was gathered before comes first; it may be more than a slow peer may leave waiting.
        if let Some(gathered) = self.gather.take(id) {
            self.queue_rest(id, &gathered, false, now);
            self.gather.put_back(gathered);
            self.slots.get(id).filter(|slot| slot.connection.is_live()).ok_or(SendError::Gone)?;
        }
        self.queued += chunk.len();
        self.counters.messages_out += 1;
        self.mark_dirty(id);
        self.with_queue(id, now, |connection, pool| chunk.queue(connection, now, pool));
        Ok(())
    }

    /// Queues on a connection that has a slot, and closes it where that is more than it may leave waiting.
    pub(super) fn with_queue(&mut self, id: ConnId, now: Time, queue: impl FnOnce(&mut Connection, &mut Pool)) {
        self.unbundle(id, now);
        let slot = self.slots.get_mut(id).expect("only connections with a slot are sent to");
        if !slot.connection.has_queue() {
            slot.connection.lend_queue(self.spare_queues.pop().unwrap_or_default());
        }
        self.gather.end_ease(id);
        let before = slot.connection.queued_bytes();
        queue(&mut slot.connection, &mut self.pool);
        let after = slot.connection.queued_bytes();
        self.press(id, before, after);
        self.close_if_slow(id, now);
    }

    fn close_if_slow(&mut self, id: ConnId, now: Time) {
        let queued = self.slots.get(id).map_or(0, |slot| slot.connection.queued_bytes());
        if queued > self.settings.write_queue_hard_bytes {
            self.close(id, CloseReason::Local(LocalReason::SlowConsumer), now);
        }
    }

    /// Queues last words and the like, which are few and short, without a look at the limits.
    fn queue_unjudged(&mut self, id: ConnId, bytes: &[u8], now: Time) {
        self.unbundle(id, now);
        let Some(slot) = self.slots.get_mut(id) else {
            return;
        };
        if !slot.connection.has_queue() {
            slot.connection.lend_queue(self.spare_queues.pop().unwrap_or_default());
        }
        self.gather.end_ease(id);
        let before = slot.connection.queued_bytes();
        slot.connection.queue_copy(bytes, now, &mut self.pool);
        self.queued += bytes.len();
        self.press(id, before, before + bytes.len());
    }

    /// Notes who passes its soft limit: it is flushed before another is served.
    fn press(&mut self, id: ConnId, before: usize, after: usize) {
        let soft = self.settings.write_queue_soft_bytes;
        if before <= soft && after > soft {
            self.pressed.push(id);
        }
    }
}

/// What any wire adds to a message at most.
pub(super) const MAX_OVERHEAD: usize = 16;
/// Encoded messages up to this size are copied together in the queue.
const MAX_COPY: usize = 4 << 10;

pub(super) fn check_size(settings: &Settings, len: usize) -> Result<(), SendError> {
    let fits = len + MAX_OVERHEAD <= settings.write_queue_hard_bytes;
    if fits { Ok(()) } else { Err(SendError::TooLarge) }
}

/// A shared message as it goes to this connection.
#[inline]
fn chunk_for(
    connection: &mut Connection,
    wire: Wire,
    message: &Prepared,
    settings: &Settings,
    compressor: &mut Compressor,
) -> Chunk {
    match shared_form(connection, wire, message, settings, compressor) {
        Some(encoded) => Chunk::Shared(encoded.clone()),
        None => {
            let mut encoded = Vec::new();
            compressor.encode(connection.compression(), message.message(), &mut encoded);
            Chunk::encoded(encoded)
        }
    }
}

/// The same, where others may get it in the same form.
#[inline]
pub(super) fn shared_form<'m>(
    connection: &Connection,
    wire: Wire,
    message: &'m Prepared,
    settings: &Settings,
    compressor: &mut Compressor,
) -> Option<&'m Bytes> {
    if wire != Wire::WebSocket || !connection.compresses(message.body().len(), settings) {
        return Some(message.framed(wire));
    }
    let is_shareable = connection.is_compression_shareable();
    is_shareable.then(|| message.deflated(|message| compressor.encode_shared(message)))
}

enum Chunk {
    Shared(Bytes),
    Copied(Vec<u8>),
}

impl Chunk {
    fn encoded(bytes: Vec<u8>) -> Self {
        if bytes.len() <= MAX_COPY { Chunk::Copied(bytes) } else { Chunk::Shared(bytes.into()) }
    }

    fn queue(self, connection: &mut Connection, now: Time, pool: &mut Pool) {
        match self {
            Chunk::Shared(bytes) => connection.queue_shared(bytes, now, pool),
            Chunk::Copied(bytes) => connection.queue_copy(&bytes, now, pool),
        }
    }

    fn len(&self) -> usize {
        match self {
            Chunk::Shared(bytes) => bytes.len(),
            Chunk::Copied(bytes) => bytes.len(),
        }
    }
}
