//! The gateway's outward side: what waits is written, and what has ended is let go.

use super::core::{Core, Reading, Slot, Watch, spare};
use super::handler::Handler;
use super::id::ConnId;
use super::machine::Gateway;
use crate::connection::{Flushed, Phase};
use crate::timer::Time;
use std::io::{self, IoSlice};

/// What the driver has to do after a flush.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FlushOutcome {
    /// Everything was sent and the end is decided: shut our side of the socket.
    pub shut_down: bool,
    /// Reading stopped for this peer's slowness and can go on: no event will tell.
    pub resume_reading: bool,
    /// A short read of this connection is no proof that nothing is left.
    pub reads_to_end: bool,
}

impl<H: Handler> Gateway<H> {
    /// Sends what waits for the next connection with bytes to send, as [`Gateway::flush`] does, and says which it was.
    #[inline]
    pub fn flush_next(
        &mut self,
        now: Time,
        mut write: impl FnMut(ConnId, &[IoSlice<'_>]) -> io::Result<usize>,
    ) -> Option<(ConnId, FlushOutcome)> {
        let (id, slot) = loop {
            let id = self.core.dirty.pop_front()?;
            let Some(slot) = self.core.slots.get_mut(id) else {
                continue;
            };
            slot.dirty = false;
            // It may have been flushed since, by itself.
            if !slot.is_at_ease() && slot.connection.phase() != Phase::Closed {
                break (id, slot);
            }
        };
        // Nearly all of many connections have just a run to be sent.
        if let Some(run) = slot.run.filter(|_| slot.watch == Watch::Off && slot.is_idle()) {
            let bytes = self.core.bundles.bytes(run);
            let len = bytes.len();
            let written = write(id, &[IoSlice::new(bytes)]);
            if matches!(written, Ok(sent) if sent == len) {
                slot.run = None;
                self.core.bundles.release(run);
                self.core.queued -= len;
                self.core.counters.bytes_out += len as u64;
                return Some((id, FlushOutcome { reads_to_end: slot.reads_to_end, ..FlushOutcome::default() }));
            }
            return Some((id, self.after_run(id, written, now)));
        }
        Some((id, self.flush(id, now, |slices| write(id, slices))))
    }

    /// The next connection that has passed its soft limit: flush it before serving another, so that nobody is slow for
    /// what it had no chance to take.
    #[inline]
    pub fn poll_pressed(&mut self) -> Option<ConnId> {
        self.core.pressed.pop()
    }

    /// Sends what waits for a connection through `write`, which takes slices as a vectored write does.
    pub fn flush(
        &mut self,
        id: ConnId,
        now: Time,
        mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> FlushOutcome {
        if let Some(gathered) = self.core.gather.finish(id) {
            let Some(slot) = self.core.slots.get_mut(id).filter(|slot| slot.connection.phase() != Phase::Closed) else {
                return FlushOutcome::default();
            };
            let written = write_gathered(&gathered, &mut write);
            if matches!(written, Ok((sent, Flushed::All)) if sent == gathered.len()) && slot.is_at_ease() {
                self.core.counters.bytes_out += gathered.len() as u64;
                self.core.gather.put_back(gathered);
                return FlushOutcome { reads_to_end: slot.reads_to_end, ..FlushOutcome::default() };
            }
            if let Ok((sent, _)) = written {
                self.core.on_gathered_sent(id, &gathered, sent, now);
            }
            self.core.gather.put_back(gathered);
            match written {
                Ok((_, Flushed::All)) => {}
                Ok((_, Flushed::Blocked)) => return self.after_flush(id, now),
                Err(error) => return self.fail(id, &error, now),
            }
        }
        match self.flush_queue(id, now, &mut write) {
            Ok(Queue::AtEase { reads_to_end }) => FlushOutcome { reads_to_end, ..FlushOutcome::default() },
            Ok(Queue::Other) => self.after_flush(id, now),
            Err(error) => self.fail(id, &error, now),
        }
    }

    /// Our side of the socket was shut after [`FlushOutcome::shut_down`].
    pub fn handle_shut_down(&mut self, id: ConnId) {
        if let Some(slot) = self.core.slots.get_mut(id) {
            slot.connection.on_shut_down();
        }
    }

    /// The next connection whose socket can go; its slot is free from here on.
    pub fn poll_gone(&mut self) -> Option<ConnId> {
        let id = self.core.gone.pop()?;
        self.core.free(id);
        Some(id)
    }

    fn fail(&mut self, id: ConnId, error: &io::Error, now: Time) -> FlushOutcome {
        self.handle_error(id, error.kind(), now);
        FlushOutcome::default()
    }

    /// Sends what waits in the queue of one connection, looking it up once: a publication has as many receivers as there
    /// are, and each is flushed by itself.
    fn flush_queue(
        &mut self,
        id: ConnId,
        now: Time,
        write: &mut impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<Queue> {
        // What else was sent together with others is its own now.
        self.core.unbundle(id, now);
        let Core { slots, pool, settings, drained, queued, counters, spare_queues, .. } = &mut self.core;
        let Some(slot) = slots.get_mut(id) else {
            return Ok(Queue::Other);
        };
        let before = slot.connection.queued_bytes();
        if before == 0 || slot.connection.phase() == Phase::Closed {
            let is_at_ease = slot.is_at_ease();
            return Ok(if is_at_ease { Queue::AtEase { reads_to_end: slot.reads_to_end } } else { Queue::Other });
        }
        let (sent, result) = slot.connection.flush(now, pool, write);
        if slot.watch == Watch::Armed && sent > 0 && before - sent <= settings.write_queue_soft_bytes / 2 {
            slot.watch = Watch::Listed;
            drained.push_back(id);
        }
        *queued -= sent;
        counters.bytes_out += sent as u64;
        spare(spare_queues, slot.connection.take_empty_queue());
        let soft = settings.write_queue_soft_bytes;
        let heard_again = before > soft && before - sent <= soft;
        let is_at_ease = slot.is_at_ease();
        let reads_to_end = slot.reads_to_end;
        if result? == Flushed::Blocked || heard_again {
            self.core.rearm(id);
        }
        Ok(if is_at_ease { Queue::AtEase { reads_to_end } } else { Queue::Other })
    }

    /// A run has not left as a whole: its rest waits in the queue.
    #[cold]
    fn after_run(&mut self, id: ConnId, written: io::Result<usize>, now: Time) -> FlushOutcome {
        match written {
            Ok(sent) => self.core.on_run_sent(id, sent, now),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.core.on_run_sent(id, 0, now),
            // Queued, and tried again by the next flush.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.core.on_run_sent(id, 0, now);
                self.core.mark_dirty(id);
            }
            Err(error) => return self.fail(id, &error, now),
        }
        self.core.rearm(id);
        self.after_flush(id, now)
    }

    fn after_flush(&mut self, id: ConnId, now: Time) -> FlushOutcome {
        let Some(slot) = self.core.slots.get_mut(id).filter(|slot| slot.connection.phase() != Phase::Closed) else {
            return FlushOutcome::default();
        };
        let resume_reading = slot.reading == Reading::Held && slot.connection.wants_bytes(&self.core.settings);
        if resume_reading {
            slot.reading = Reading::OnEvent;
            slot.reads_to_end = true;
            slot.connection.on_reading_resumed(now, &self.core.settings);
        }
        let over = slot.connection.queued_bytes() == 0 && matches!(slot.connection.phase(), Phase::Flushing { .. });
        let shut_down = over && !slot.peer_ended;
        let outcome = FlushOutcome { shut_down, resume_reading, reads_to_end: slot.reads_to_end };
        if resume_reading {
            self.core.rearm(id);
        }
        if over && !shut_down {
            self.core.drop_connection(id);
        }
        outcome
    }
}

/// What the flush of a queue leaves behind.
enum Queue {
    /// Nothing, on a connection of which nothing else hangs on that.
    AtEase { reads_to_end: bool },
    /// Bytes, or a connection that has to be looked at.
    Other,
}

impl Slot {
    /// Open, with nothing waiting and no reading held: a write that takes everything gathered changes nothing more.
    #[inline]
    fn is_at_ease(&self) -> bool {
        self.is_empty() && self.is_idle()
    }

    /// Open, with no reading held.
    #[inline]
    fn is_idle(&self) -> bool {
        self.connection.is_live() && self.reading != Reading::Held
    }
}

/// One write of what was gathered; what it refused is for the queue.
#[inline]
fn write_gathered(
    gathered: &[u8],
    write: &mut impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
) -> io::Result<(usize, Flushed)> {
    match write(&[IoSlice::new(gathered)]) {
        Ok(sent) if sent == gathered.len() => Ok((sent, Flushed::All)),
        Ok(sent) => Ok((sent, Flushed::Blocked)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok((0, Flushed::Blocked)),
        // Queued, and tried again by the flush of the queue.
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok((0, Flushed::All)),
        Err(error) => Err(error),
    }
}
