//! What waits to be sent on one connection, and when bytes last left. It encodes nothing and decides no end.

use super::machine::{Connection, Flushed};
use crate::buffer::{Pool, WriteQueue};
use crate::timer::Time;
use bytes::Bytes;
use std::io::{self, IoSlice};

impl Connection {
    /// Bytes that wait to be sent.
    #[inline]
    pub fn queued_bytes(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.len())
    }

    /// Appends to what waits: shared bytes.
    pub fn queue_shared(&mut self, bytes: Bytes, now: Time, pool: &mut Pool) {
        self.queue_at(now).push_shared(bytes, pool);
    }

    /// Appends to what waits: a copy.
    pub fn queue_copy(&mut self, bytes: &[u8], now: Time, pool: &mut Pool) {
        self.queue_at(now).push_copy(bytes, pool);
    }

    /// Sends what waits through `write`, until all has left or it takes no more; how many bytes left in any case.
    pub fn flush(
        &mut self,
        now: Time,
        pool: &mut Pool,
        write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> (usize, io::Result<Flushed>) {
        let Some(queue) = self.queue.as_mut() else {
            return (0, Ok(Flushed::All));
        };
        let (sent, result) = queue.flush(pool, write);
        if sent > 0 {
            queue.set_stamp(now.as_millis());
        }
        let flushed = if queue.is_empty() { Flushed::All } else { Flushed::Blocked };
        (sent, result.map(|()| flushed))
    }

    /// Appends what is left of bytes of which the first have left: it begins inside a frame.
    pub fn queue_begun(&mut self, rest: &[u8], now: Time, pool: &mut Pool) {
        self.queue_at(now).push_begun(rest, pool);
    }

    /// Appends to what waits, where nothing does: bytes shared with others, of which the first have left if it has begun.
    pub fn queue_run(&mut self, rest: Bytes, begun: bool, now: Time, pool: &mut Pool) {
        self.queue_at(now).push_run(rest, begun, pool);
    }

    /// Drops what waits but for what has begun to leave: the frame under way, or what was queued together with it, and
    /// at least the first `taken` bytes, which what is below may have taken already. How many bytes that was.
    pub fn cut_queue(&mut self, taken: usize, pool: &mut Pool) -> usize {
        self.queue.as_mut().map_or(0, |queue| queue.cut(taken, pool))
    }

    /// Gives up an empty write queue, for another connection to use.
    pub fn take_empty_queue(&mut self) -> Option<Box<WriteQueue>> {
        self.queue.take_if(|queue| queue.is_empty())
    }

    /// Whether it has a write queue.
    #[inline]
    pub fn has_queue(&self) -> bool {
        self.queue.is_some()
    }

    /// Gives it a write queue, before anything is queued.
    pub fn lend_queue(&mut self, queue: Box<WriteQueue>) {
        debug_assert!(self.queue.is_none() && queue.is_empty());
        self.queue = Some(queue);
    }

    /// Reads something of each of its lines of the cache, so that they are there when they are needed.
    #[inline]
    pub fn glance(&self) -> usize {
        usize::from(self.admits) ^ (self.last_received.as_millis() ^ self.last_message.as_millis()) as usize
    }

    /// When bytes last left, or began to wait, where some wait.
    pub(super) fn progress_at(&self) -> Option<Time> {
        self.queue.as_ref().filter(|queue| !queue.is_empty()).map(|queue| Time::from_millis(queue.stamp()))
    }

    /// What waits has its whole time to leave from now on.
    pub(super) fn renew_progress(&mut self, now: Time) {
        if let Some(queue) = &mut self.queue {
            queue.set_stamp(now.as_millis());
        }
    }

    /// The queue, with the stall clock started where nothing waited before.
    fn queue_at(&mut self, now: Time) -> &mut WriteQueue {
        let queue = self.queue.get_or_insert_default();
        if queue.is_empty() {
            queue.set_stamp(now.as_millis());
        }
        queue
    }
}
