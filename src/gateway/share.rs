//! What one connection is sent together with others: a run of shared messages, until it is flushed or something else has
//! to wait behind it.

use super::bundles::{Bundles, MAX_RUN};
use super::core::{Core, Slot, list_dirty};
use super::id::ConnId;
use super::send::{MAX_OVERHEAD, shared_form};
use crate::config::Settings;
use crate::connection::Compressor;
use crate::timer::Time;
use crate::wire::Prepared;

impl Core {
    /// Lets a connection for which nothing else waits have a shared message with all the others who get it. False where
    /// this connection is another case, or the message none to share.
    #[inline(always)]
    pub(super) fn share(&mut self, id: ConnId, message: &Prepared, now: Time) -> bool {
        let most = self.longest_run();
        let Core { slots, bundles, gather, settings, compressor, dirty, queued, counters, .. } = self;
        let Some(slot) = slots.get_mut(id).filter(|_| !gather.is_for(id)) else {
            return false;
        };
        let mut sharing = Sharing { message, bundles, settings, compressor, most, now };
        let Some(added) = sharing.share(slot) else {
            return false;
        };
        *queued += added;
        counters.messages_out = counters.messages_out.wrapping_add(1);
        list_dirty(dirty, slot, id);
        true
    }

    /// Sends a shared message to every open connection but one; how many got it.
    ///
    /// The walk turns round each time: where the connections are too many for the caches, those that were written to last
    /// are still there, and nobody is always the last to be told.
    pub(super) fn broadcast(&mut self, message: &Prepared, except: Option<ConnId>, now: Time) -> usize {
        let most = self.longest_run();
        let Core { slots, bundles, gather, settings, compressor, dirty, queued, counters, .. } = self;
        let mut sharing = Sharing { message, bundles, settings, compressor, most, now };
        let (mut receivers, mut others) = (0, Vec::new());
        let tell = |(id, slot): (ConnId, &mut Slot)| {
            if Some(id) == except {
                return;
            }
            let added = if gather.is_for(id) { None } else { sharing.share(slot) };
            let Some(added) = added else {
                return others.push(id);
            };
            receivers += 1;
            *queued += added;
            list_dirty(dirty, slot, id);
        };
        self.walks_back = !self.walks_back;
        if self.walks_back {
            slots.iter_mut().rev().for_each(tell)
        } else {
            slots.iter_mut().for_each(tell)
        }
        counters.messages_out += receivers as u64;
        receivers + others.into_iter().filter(|id| self.send_prepared(*id, message, now).is_ok()).count()
    }

    /// No run holds more than a queue may before its connection is slow.
    #[inline]
    fn longest_run(&self) -> usize {
        MAX_RUN.min(self.settings.write_queue_soft_bytes.saturating_sub(MAX_OVERHEAD))
    }

    /// Something has to wait behind what a connection is sent together with others: both are its own now.
    #[inline]
    pub(super) fn unbundle(&mut self, id: ConnId, now: Time) {
        if self.slots.get(id).is_some_and(|slot| slot.run.is_some()) {
            self.on_run_sent(id, 0, now);
        }
    }

    /// Of what a connection was sent together with others, `sent` bytes have left: the rest is its own now.
    pub(super) fn on_run_sent(&mut self, id: ConnId, sent: usize, now: Time) {
        let Core { slots, bundles, pool, spare_queues, .. } = self;
        let Some((slot, run)) = slots.get_mut(id).and_then(|slot| slot.run.take().map(|run| (slot, run))) else {
            return;
        };
        let rest = bundles.bytes(run).slice(sent..);
        bundles.release(run);
        self.queued -= sent;
        self.counters.bytes_out += sent as u64;
        if !rest.is_empty() {
            slot.connection.lend_queue(spare_queues.pop().unwrap_or_default());
            slot.connection.queue_run(rest, sent > 0, now, pool);
        }
    }
}

/// One message for many, and what it takes to add it to their runs.
struct Sharing<'a> {
    message: &'a Prepared,
    bundles: &'a mut Bundles,
    settings: &'a Settings,
    compressor: &'a mut Compressor,
    most: usize,
    now: Time,
}

impl Sharing<'_> {
    /// Adds the message to what a connection is sent together with others, where nothing else waits for it and it is
    /// open; how many bytes that are.
    #[inline(always)]
    fn share(&mut self, slot: &mut Slot) -> Option<usize> {
        let wire = slot.connection.wire().filter(|_| !slot.connection.has_queue())?;
        let encoded = shared_form(&slot.connection, wire, self.message, self.settings, self.compressor)?;
        slot.run = Some(self.bundles.extend(slot.run, encoded, self.most)?);
        slot.connection.on_message_sent(self.now);
        Some(encoded.len())
    }
}

impl Slot {
    /// Whether nothing waits to be sent.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.connection.queued_bytes() == 0 && self.run.is_none()
    }
}
