//! The loop's one send buffer: what the connection being served is sent leaves in one write.

use super::id::ConnId;
use crate::wire::Wire;

/// Bytes for the connection that is being served, in order, not yet in its write queue.
#[derive(Debug, Default)]
pub(super) struct Gather {
    owner: Option<ConnId>,
    bytes: Vec<u8>,
    /// The owner's wire, while a message to it has only to be encoded behind what was gathered before: it is open, its
    /// messages are not compressed, and nothing waits in its queue.
    at_ease: Option<Wire>,
}

/// More than this goes to the write queue instead: about what a socket takes at once.
const MAX: usize = 128 << 10;
/// What any wire adds to a message at most.
const MAX_OVERHEAD: usize = 16;

impl Gather {
    pub(super) fn begin(&mut self, owner: ConnId) {
        debug_assert!(self.bytes.is_empty());
        self.owner = Some(owner);
        self.at_ease = None;
    }

    /// The owner is at ease, until [`Gather::end_ease`].
    #[inline]
    pub(super) fn begin_ease(&mut self, wire: Wire) {
        self.at_ease = Some(wire);
    }

    /// Whatever becomes of `id` now, it is not at ease any more.
    #[inline]
    pub(super) fn end_ease(&mut self, id: ConnId) {
        if self.owner == Some(id) {
            self.at_ease = None;
        }
    }

    /// Whether `id` is the owner, and at ease.
    #[inline]
    pub(super) fn is_at_ease(&self, id: ConnId) -> bool {
        self.owner == Some(id) && self.at_ease.is_some()
    }

    /// The wire of `id` and the buffer, where `id` is at ease and a message of `len` bytes may be gathered.
    #[inline]
    pub(super) fn room_at_ease(&mut self, id: ConnId, len: usize) -> Option<(Wire, &mut Vec<u8>)> {
        let wire = self.at_ease?;
        (self.owner == Some(id) && self.bytes.len() + len <= MAX - MAX_OVERHEAD).then_some((wire, &mut self.bytes))
    }

    /// The wire of `id` and what was gathered for it, where it is at ease, as it stays; give that back with
    /// [`Gather::put_back`].
    pub(super) fn take_at_ease(&mut self, id: ConnId) -> Option<(Wire, Vec<u8>)> {
        let wire = self.at_ease.filter(|_| self.owner == Some(id))?;
        Some((wire, std::mem::take(&mut self.bytes)))
    }

    /// The buffer, where `len` more bytes for `id` may be gathered.
    #[inline]
    pub(super) fn room_for(&mut self, id: ConnId, len: usize) -> Option<&mut Vec<u8>> {
        (self.owner == Some(id) && self.bytes.len() + len <= MAX).then_some(&mut self.bytes)
    }

    /// What was gathered for `id`; give it back with [`Gather::put_back`].
    #[inline]
    pub(super) fn take(&mut self, id: ConnId) -> Option<Vec<u8>> {
        (self.owner == Some(id) && !self.bytes.is_empty()).then(|| std::mem::take(&mut self.bytes))
    }

    /// Gives the buffer back. Last words may have been gathered meanwhile: those stay.
    #[inline]
    pub(super) fn put_back(&mut self, mut bytes: Vec<u8>) {
        if self.bytes.is_empty() {
            bytes.clear();
            self.bytes = bytes;
        }
    }

    /// Forgets what was gathered for `id`, which goes on being served.
    pub(super) fn clear(&mut self, id: ConnId) {
        if self.owner == Some(id) {
            self.bytes.clear();
        }
    }

    /// Forgets what was gathered for `id`: its connection is gone.
    pub(super) fn discard(&mut self, id: ConnId) {
        if self.owner == Some(id) {
            self.bytes.clear();
            self.owner = None;
            self.at_ease = None;
        }
    }

    /// Whether what `id` is sent is gathered.
    #[inline]
    pub(super) fn is_for(&self, id: ConnId) -> bool {
        self.owner == Some(id)
    }

    pub(super) fn owner(&self) -> Option<ConnId> {
        self.owner
    }

    /// Takes what was gathered for `id` and ends its turn: what it is sent from here on is queued.
    #[inline]
    pub(super) fn finish(&mut self, id: ConnId) -> Option<Vec<u8>> {
        let gathered = self.take(id);
        if self.owner == Some(id) {
            self.owner = None;
            self.at_ease = None;
        }
        gathered
    }

    pub(super) fn len_for(&self, id: ConnId) -> usize {
        if self.owner == Some(id) { self.bytes.len() } else { 0 }
    }
}
