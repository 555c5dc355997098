//! The gateway towards its driver: bytes, ends and deadlines in; bytes and closed connections out.

use super::context::Context;
use super::core::{Core, Habits};
use super::direct::{Write, for_call};
use super::drain::Drain;
use super::handler::Handler;
use super::id::ConnId;
use crate::config::{SettingError, Settings};
use crate::connection::{CloseReason, LocalReason, Phase};
use crate::stats::{Counters, Held};
use crate::timer::Time;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// Randomness from outside: one number to spread heartbeats, one secret to make ids unguessable.
#[derive(Debug, Clone, Copy)]
pub struct Seed {
    /// Spreads deadlines; need not be secret.
    pub jitter: u64,
    /// Keys the permutation that makes ids into UUIDs.
    pub ids: u64,
}

/// All connections and their handler, without sockets, clock or threads.
///
/// The driver calls `handle_*` with what happened, [`Gateway::flush`] for the connection it has just served and
/// [`Gateway::flush_next`] for all others, and drops the sockets [`Gateway::poll_gone`] names.
pub struct Gateway<H> {
    pub(super) core: Core,
    pub(super) handler: H,
    pub(super) trim_at: Option<Time>,
}

/// A shortage that lasts is told again after this.
const ACCEPT_PAUSE_LOG_APART: Duration = Duration::from_secs(60);

impl<H: Handler> Gateway<H> {
    /// A gateway without connections. Fails where a setting is out of bounds.
    pub fn new(handler: H, settings: Settings, seed: Seed, now: Time) -> Result<Self, SettingError> {
        settings.validate()?;
        let habits = Habits { farewell: H::FAREWELL, admits: H::ADMITS, pings: H::PINGS };
        Ok(Self { core: Core::new(habits, settings, seed.jitter, seed.ids, now), handler, trim_at: None })
    }

    /// Says what time it is for people, in milliseconds of Unix time, so that answers can be dated and handlers can
    /// ask.
    pub fn set_unix_time(&mut self, millis: u64, now: Time) {
        self.core.unix_zero_millis = millis.saturating_sub(now.as_millis());
    }

    /// Begins an orderly end: the closes are spread over `drain_window`. The driver accepts no more.
    pub fn begin_drain(&mut self, now: Time) {
        if self.core.drain.is_none() {
            self.core.drain = Some(Drain::new(self.core.slots.len(), self.core.settings.drain_window, now));
        }
    }

    /// Whether a drain was begun and every connection is gone.
    pub fn is_drained(&self) -> bool {
        self.core.drain.is_some() && self.core.slots.len() == 0
    }

    /// Whether a drain was begun.
    pub fn is_draining(&self) -> bool {
        self.core.drain.is_some()
    }

    /// Ends every connection at once, unflushed.
    pub fn stop(&mut self, now: Time) {
        for slot in 0..self.core.slots.end() {
            if let Some(id) = self.core.slots.id_at(slot) {
                self.core.close(id, CloseReason::Local(LocalReason::Stopped), now);
                self.core.drop_connection(id);
            }
        }
        self.deliver_ended(now);
    }

    /// Calls the handler from outside a connection, as handles of other threads do.
    pub fn run(&mut self, now: Time, task: impl FnOnce(&mut H, &mut Context<'_>)) {
        self.call(None, now, task);
        self.deliver_ended(now);
    }

    /// Connections now held, those included that are opening or ending.
    pub fn connection_count(&self) -> usize {
        self.core.slots.len()
    }

    /// What has been counted since the start.
    pub fn counters(&self) -> &Counters {
        &self.core.counters
    }

    /// Bytes that wait to be sent on a connection.
    pub fn pending_bytes(&self, id: ConnId) -> usize {
        self.core.pending(id)
    }

    /// Accepting has paused: said once, not for every try of a shortage that lasts.
    pub(super) fn on_accept_paused(&mut self, error: &io::Error, now: Time) {
        self.core.counters.accept_pauses += 1;
        let repeated = self.core.accept_pause_logged.is_some_and(|at| now < at + ACCEPT_PAUSE_LOG_APART);
        if !repeated {
            self.core.accept_pause_logged = Some(now);
            let held = self.core.slots.len();
            log::warn!("accepting pauses until a connection ends, {held} are served: {error}");
        }
    }

    /// Memory held for bytes under way and for tables.
    pub fn held(&self) -> Held {
        self.core.held()
    }

    /// Entries that exist beside the connections themselves: armed deadlines, handler timers, counted addresses, runs of
    /// messages that wait to leave for many alike.
    pub fn table_sizes(&self) -> [usize; 4] {
        let Core { wheel, timers, admission, bundles, .. } = &self.core;
        [wheel.len(), timers.len(), admission.addresses(), bundles.count()]
    }

    /// The handler.
    pub fn handler(&self) -> &H {
        &self.handler
    }

    /// The settings in force.
    pub fn settings(&self) -> &Settings {
        &self.core.settings
    }

    /// Where a connection is in its life.
    pub fn phase(&self, id: ConnId) -> Option<Phase> {
        self.core.slots.get(id).map(|slot| slot.connection.phase())
    }

    /// Calls a handler that had asked for this turn.
    pub(super) fn deliver_turn(&mut self, now: Time) {
        if std::mem::take(&mut self.core.wants_turn) {
            self.call(None, now, |handler, cx| handler.on_turn(cx));
        }
    }

    pub(super) fn call(&mut self, id: Option<ConnId>, now: Time, task: impl FnOnce(&mut H, &mut Context<'_>)) {
        guarded(&mut self.core, &mut self.handler, id, now, None, task);
    }

    /// Tells the handler of ends. Its answers may end others, so this goes on until all were told; each connection
    /// ends once, which bounds it. Whether there was any.
    pub(super) fn deliver_ended(&mut self, now: Time) -> bool {
        let any = !self.core.ended.is_empty();
        while let Some((id, reason)) = self.core.ended.pop_front() {
            self.call(None, now, |handler, cx| handler.on_closed(cx, id, reason));
        }
        any
    }
}

/// Calls the handler; where it panics, the connection it was called for is closed and all others go on.
pub(super) fn guarded<H>(
    core: &mut Core,
    handler: &mut H,
    id: Option<ConnId>,
    now: Time,
    write: Option<&mut Write<'_>>,
    task: impl FnOnce(&mut H, &mut Context<'_>),
) {
    // Unwinding leaves `core` as its own calls left it between two statements of the handler: each of them completes
    // or asserts, and the handler's own state is the handler's to keep sound.
    let result = catch_unwind(AssertUnwindSafe(|| task(handler, &mut Context::new(core, now, write.map(for_call)))));
    if result.is_err() {
        core.counters.handler_panics += 1;
        if let Some(id) = id {
            core.close(id, CloseReason::Local(LocalReason::HandlerPanicked), now);
        }
    }
}
