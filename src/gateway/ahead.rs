//! A look ahead: where the connections are too many for the caches, what the next few need is fetched together before
//! the first of them is served. It changes nothing, and decides nothing.
//!
//! Each connection lies somewhere else in memory, so each costs several waits for it, one after the other. Loads that do
//! not depend on each other the processor has under way at the same time: those of a handful of connections take hardly
//! longer than those of one.

use super::core::{Core, Slot, key};
use super::handler::Handler;
use super::id::ConnId;
use super::machine::Gateway;
use super::reactor::Reactor;
use super::sockets::Sockets;
use std::hint::black_box;

/// Connections to look at together. As many as leave room for all of their lines in the first cache, where others are
/// served in between.
pub const AHEAD: usize = 16;

/// With up to so many slots, 1.5 MiB of them, most of what is needed is in the second cache, and a look ahead costs what
/// it saves.
const FEW: usize = 8192;

impl<H: Handler, S: Sockets> Reactor<H, S> {
    /// Says which connections the next events are of, [`AHEAD`] of them or so, before the first goes to
    /// [`Reactor::on_event`]. Whether that is done, and whether it is right, changes nothing but the time they take. Where
    /// there are few connections the ids are not asked for.
    #[inline]
    pub fn expect(&self, ids: impl Iterator<Item = ConnId>) {
        if self.gateway().core.has_many() {
            black_box(ids.fold(0, |sum, id| sum ^ self.gateway().glance(id) ^ self.sockets().glance(id)));
        }
    }

    /// The same for those who are to be flushed next.
    #[inline]
    pub(super) fn expect_flushes(&self) {
        let core = &self.gateway().core;
        if core.has_many() {
            let ids = core.dirty.iter().take(AHEAD);
            black_box(ids.fold(0, |sum, id| sum ^ core.glance(*id) ^ self.sockets().glance(*id)));
        }
    }

    /// The same for those whose sockets are to be closed next.
    #[inline]
    pub(super) fn expect_closes(&self) {
        let core = &self.gateway().core;
        if core.has_many() {
            let ids = core.gone.iter().rev().take(AHEAD);
            black_box(ids.fold(0, |sum, id| sum ^ core.wheel.glance(key(*id)) ^ self.sockets().glance(*id)));
        }
    }
}

impl<H: Handler> Gateway<H> {
    /// The same for those whose deadlines are due next.
    #[inline]
    pub(super) fn expect_deadlines(&self) {
        if self.core.has_many() {
            let ids = self.core.wheel.next_due().take(AHEAD).filter_map(|slot| self.core.slots.id_at(slot as usize));
            black_box(ids.fold(0, |sum, id| sum ^ self.glance(id)));
        }
    }

    #[inline]
    fn glance(&self, id: ConnId) -> usize {
        self.core.glance(id) ^ self.handler.glance(id)
    }
}

impl Core {
    /// Fetches what sending to these connections takes, where there are many.
    #[inline]
    pub(super) fn expect(&self, ids: impl Iterator<Item = ConnId>) {
        if self.has_many() {
            black_box(ids.fold(0, |sum, id| sum ^ self.glance(id)));
        }
    }

    #[inline]
    fn has_many(&self) -> bool {
        self.slots.end() > FEW
    }

    #[inline]
    fn glance(&self, id: ConnId) -> usize {
        self.slots.get(id).map_or(0, Slot::glance)
    }
}
