//! Queues that have drained: whose handler wants to hear of it, and when it does.

use super::core::{Core, Watch};
use super::handler::Handler;
use super::id::ConnId;
use super::machine::Gateway;
use crate::timer::Time;

impl<H: Handler> Gateway<H> {
    /// Tells the handler of the watched connections whose queue has drained; whether there was any. Those it asks for
    /// meanwhile come with the next call.
    pub(super) fn deliver_drained(&mut self, now: Time) -> bool {
        let mut any = false;
        for _ in 0..self.core.drained.len() {
            if let Some(id) = self.core.drained.pop_front()
                && self.core.take_drained(id)
            {
                any = true;
                self.call(Some(id), now, |handler, cx| handler.on_drained(cx, id));
            }
        }
        any
    }
}

impl Core {
    /// The handler wants to hear when what waits for `id` has drained, if it is no more than that now as well.
    pub(super) fn watch_drain(&mut self, id: ConnId) {
        let half = self.drained_bytes();
        let drained = self.slots.get(id).is_some_and(|slot| slot.connection.queued_bytes() <= half);
        self.arm_watch(id, drained);
    }

    /// Watches the queue of an open connection. With `looks_at_once` this turn looks, else the flush that drains it.
    pub(super) fn arm_watch(&mut self, id: ConnId, looks_at_once: bool) {
        let Some(slot) = self.slots.get_mut(id).filter(|slot| slot.connection.wire().is_some()) else {
            return;
        };
        match slot.watch {
            Watch::Listed => {}
            Watch::Off | Watch::Armed if looks_at_once => {
                slot.watch = Watch::Listed;
                self.drained.push_back(id);
            }
            Watch::Off | Watch::Armed => slot.watch = Watch::Armed,
        }
    }

    /// A queue counts as drained with this or less.
    pub(super) fn drained_bytes(&self) -> usize {
        self.settings.write_queue_soft_bytes / 2
    }

    /// Takes a connection off the list; whether its queue has drained. If not, it goes on being watched.
    fn take_drained(&mut self, id: ConnId) -> bool {
        let has_drained = self.pending(id) <= self.drained_bytes();
        let Some(slot) = self.slots.get_mut(id).filter(|slot| slot.connection.wire().is_some()) else {
            return false;
        };
        slot.watch = if has_drained { Watch::Off } else { Watch::Armed };
        has_drained
    }
}
