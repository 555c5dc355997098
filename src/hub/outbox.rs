//! What the connection being served is told: gathered, and sent as one message when its own has been dealt with.

use crate::connection::{CloseReason, LocalReason};
use crate::gateway::{ConnId, Context};
use crate::wire::{Kind, Message};

/// The answers to one message, with a line end between them.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    owner: Option<ConnId>,
    bytes: Vec<u8>,
}

/// Capacity that is kept between messages.
const MAX_KEPT: usize = 64 << 10;
/// Bytes of documents that go together as one message, where there is more than one.
const MAX_GATHERED: usize = 64 << 10;
/// What a wire adds to a message.
const WIRE_ROOM: usize = 16;

/// Bytes of the largest message that a connection can be sent.
pub(super) fn largest_message(cx: &Context<'_>) -> usize {
    cx.settings().write_queue_hard_bytes.saturating_sub(WIRE_ROOM)
}

impl Outbox {
    /// From here on what `id` is told is gathered.
    pub(super) fn begin(&mut self, id: ConnId) {
        debug_assert!(self.bytes.is_empty(), "the one served before was sent what it was told");
        self.owner = Some(id);
    }

    /// Whether it is `id` that is being served.
    #[inline]
    pub(super) fn is_for(&self, id: ConnId) -> bool {
        self.owner == Some(id)
    }

    /// Tells `id` one document.
    pub(super) fn tell(&mut self, cx: &mut Context<'_>, id: ConnId, write: impl FnOnce(&mut Vec<u8>)) {
        if !self.try_tell(cx, id, write) {
            log::warn!("a document for {id:?} is larger than write_queue_hard_bytes");
            cx.close(id, CloseReason::Local(LocalReason::ServerError));
        }
    }

    /// Tells `id` one document, unless that is larger than any message may be.
    pub(super) fn try_tell(&mut self, cx: &mut Context<'_>, id: ConnId, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        let most = largest_message(cx);
        if !self.is_for(id) {
            let mut document = Vec::with_capacity(128);
            write(&mut document);
            let fits = document.len() <= most;
            if fits {
                send(cx, id, &document);
            }
            return fits;
        }
        let before = self.bytes.len();
        if before > 0 {
            self.bytes.push(b'\n');
        }
        let begin = self.bytes.len();
        write(&mut self.bytes);
        let fits = self.bytes.len() - begin <= most;
        if !fits {
            self.bytes.truncate(before);
        } else if before > 0 && self.bytes.len() > most.min(MAX_GATHERED) {
            send(cx, id, &self.bytes[..before]);
            self.bytes.drain(..begin);
        }
        fits
    }

    /// Bytes that wait for `id` here and in its queue.
    pub(super) fn waiting(&self, cx: &Context<'_>, id: ConnId) -> usize {
        cx.queued_bytes(id) + if self.is_for(id) { self.bytes.len() } else { 0 }
    }

    /// Sends what was gathered so far.
    pub(super) fn flush(&mut self, cx: &mut Context<'_>) {
        if let Some(id) = self.owner.filter(|_| !self.bytes.is_empty()) {
            send(cx, id, &self.bytes);
            self.bytes.clear();
            self.bytes.shrink_to(MAX_KEPT);
        }
    }

    /// Sends what was gathered; nobody is being served.
    pub(super) fn end(&mut self, cx: &mut Context<'_>) {
        self.flush(cx);
        self.owner = None;
    }
}

/// Sends documents. A connection that is gone, or can't take them, has its reason counted by the gateway.
fn send(cx: &mut Context<'_>, id: ConnId, documents: &[u8]) {
    debug_assert!(std::str::from_utf8(documents).is_ok(), "documents are JSON");
    let _ = cx.send(id, Message::new(documents, Kind::Text));
}
