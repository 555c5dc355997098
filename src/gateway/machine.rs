//! The gateway towards its driver: bytes, ends and deadlines in; bytes and closed connections out.

use super::admission::Peer;
use super::context::Context;
use super::core::{Core, Reading, Slot};
use super::drain::Drain;
use super::handler::Handler;
use super::id::ConnId;
use crate::config::{SettingError, Settings};
use crate::connection::{
    Bucket, CloseReason, Connection, Due, Flushed, Input, ListenWire, LocalReason, Payload, PeerReason, Phase,
    RateLimiter, Start, Verdict,
};
use crate::stats::{Counters, Held};
use crate::timer::{Polled, Time};
use std::io::{self, IoSlice};
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

/// What a poll said of a socket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Readiness {
    /// Bytes, or an end, or an error can be read.
    pub readable: bool,
    /// It takes bytes again.
    pub writable: bool,
    /// The peer has shut its side, or the socket has failed: what is behind the last byte must be read too.
    pub closing: bool,
}

/// What an event asks the driver to do, in this order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Steps {
    /// Flush it.
    pub flush: bool,
    /// Read from it, once.
    pub read: bool,
}

/// All connections and their handler, without sockets, clock or threads.
///
/// The driver calls `handle_*` with what happened, [`Gateway::flush`] for whoever [`Gateway::poll_dirty`] names and
/// for the connection it has just served, and drops the sockets [`Gateway::poll_gone`] names.
pub struct Gateway<H> {
    core: Core,
    handler: H,
    trim_at: Option<Time>,
}

/// Deadlines served in one turn; a million due at once must not starve the sockets.
const MAX_DEADLINES: usize = 4096;
/// A shortage that lasts is told again after this.
const ACCEPT_PAUSE_LOG_APART: Duration = Duration::from_secs(60);
/// How often memory left behind by a burst is looked for.
const TRIM_EVERY: Duration = Duration::from_secs(1);

impl<H: Handler> Gateway<H> {
    /// A gateway without connections. Fails where a setting is out of bounds.
    pub fn new(handler: H, settings: Settings, seed: Seed, now: Time) -> Result<Self, SettingError> {
        settings.validate()?;
        Ok(Self { core: Core::new(settings, seed.jitter, seed.ids, now), handler, trim_at: None })
    }

    /// Admits a connection, or says which limit it met; then its socket is to be closed.
    pub fn handle_accepted(&mut self, peer: Peer, listen_wire: ListenWire, now: Time) -> Result<ConnId, CloseReason> {
        let core = &mut self.core;
        let admitted = core.admission.admit(peer, core.slots.len(), now);
        if let Err(reason) = admitted.map_err(CloseReason::Local) {
            core.log_refusal(peer, reason, now);
            return Err(reason);
        }
        core.counters.accepted += 1;
        let connection = core.new_connection(listen_wire, now);
        let opens = connection.wire().is_some();
        let slot = Slot {
            connection,
            peer,
            opened_at: now,
            opened: false,
            dirty: false,
            reading: Reading::OnEvent,
            reads_to_end: false,
            peer_ended: false,
        };
        let id = core.slots.insert(slot);
        core.rearm(id);
        if opens {
            self.open(id, now);
            self.deliver_ended(now);
        }
        Ok(id)
    }

    /// Takes bytes a connection sent. A stale id is nothing. Flush it afterwards.
    pub fn handle_bytes(&mut self, id: ConnId, bytes: &[u8], now: Time) {
        let Some(slot) = self.core.slots.get_mut(id) else {
            return;
        };
        self.core.counters.bytes_in += bytes.len() as u64;
        let within_rate = slot.connection.on_received(bytes.len(), now);
        if !within_rate {
            self.core.close(id, CloseReason::Local(LocalReason::TooManyBytes), now);
        }
        self.begin_serving(id, now);
        let mut rest = bytes;
        while self.handle_input(id, &mut rest, now) {}
        self.deliver_ended(now);
    }

    /// The peer closed its sending side.
    pub fn handle_peer_closed(&mut self, id: ConnId, now: Time) {
        if let Some(slot) = self.core.slots.get_mut(id) {
            slot.peer_ended = true;
            slot.reads_to_end = false;
        }
        self.core.close(id, CloseReason::Peer(PeerReason::Closed), now);
        self.deliver_ended(now);
        // What waits may still be wanted; with nothing left there is nobody to linger for.
        if self.core.pending(id) == 0 {
            self.core.drop_connection(id);
        }
    }

    /// The system reported an error on a connection's socket.
    pub fn handle_error(&mut self, id: ConnId, kind: io::ErrorKind, now: Time) {
        self.core.close(id, CloseReason::from(kind), now);
        self.core.drop_connection(id);
        self.deliver_ended(now);
    }

    /// Serves due deadlines, at most a few thousand a call. Early or repeated calls do nothing.
    pub fn handle_timeouts(&mut self, now: Time) {
        for _ in 0..MAX_DEADLINES {
            match self.core.wheel.poll(now) {
                Polled::Due(slot) => self.handle_deadline(slot, now),
                Polled::Working => {}
                Polled::Idle => break,
            }
        }
        for _ in 0..MAX_DEADLINES {
            match self.core.timers.poll(now) {
                Ok(Some(token)) => self.call(None, now, |handler, cx| handler.on_timer(cx, token)),
                Ok(None) => break,
                Err(_) => {}
            }
        }
        self.advance_drain(now);
        self.advance_trim(now);
        self.deliver_ended(now);
    }

    /// When [`Gateway::handle_timeouts`] is wanted next.
    pub fn poll_timeout(&self, now: Time) -> Option<Time> {
        let drain = self.core.drain.as_ref().and_then(|drain| drain.next_deadline(now));
        [self.core.wheel.next_deadline(), self.core.timers.next_deadline(), drain, self.trim_at]
            .into_iter()
            .flatten()
            .min()
    }

    /// Takes what a poll said of a connection. Reading is put off where it is listed already, or where its bytes are
    /// not wanted: then a later flush says when they are.
    #[inline]
    pub fn begin_event(&mut self, id: ConnId, readiness: Readiness) -> Steps {
        let Some(slot) = self.core.slots.get_mut(id) else {
            return Steps::default();
        };
        slot.reads_to_end |= readiness.closing;
        let flush = readiness.writable && slot.connection.queued_bytes() > 0;
        let read = readiness.readable && slot.reading != Reading::Listed && slot.wants_bytes(&self.core.settings);
        Steps { flush, read }
    }

    /// Takes a connection off the driver's list of unread ones; whether to read from it.
    pub fn take_unread(&mut self, id: ConnId) -> bool {
        let Some(slot) = self.core.slots.get_mut(id) else {
            return false;
        };
        slot.reading = Reading::OnEvent;
        slot.wants_bytes(&self.core.settings)
    }

    /// Puts a connection on the driver's list of unread ones; false where it is there already, or is held.
    pub fn mark_unread(&mut self, id: ConnId) -> bool {
        let Some(slot) = self.core.slots.get_mut(id).filter(|slot| slot.reading == Reading::OnEvent) else {
            return false;
        };
        slot.reading = Reading::Listed;
        true
    }

    /// A read found nothing: events tell of what comes.
    pub fn on_emptied(&mut self, id: ConnId) {
        if let Some(slot) = self.core.slots.get_mut(id) {
            slot.reads_to_end = false;
        }
    }

    /// The next connection with bytes to send.
    pub fn poll_dirty(&mut self) -> Option<ConnId> {
        let id = self.core.dirty.pop_front()?;
        if let Some(slot) = self.core.slots.get_mut(id) {
            slot.dirty = false;
        }
        Some(id)
    }

    /// Whether some connection is over its soft limit: flush all dirty ones before serving the next.
    pub fn take_pressed(&mut self) -> bool {
        std::mem::take(&mut self.core.pressed)
    }

    /// Sends what waits for a connection through `write`, which takes slices as a vectored write does.
    pub fn flush(
        &mut self,
        id: ConnId,
        now: Time,
        mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> FlushOutcome {
        let gathered = self.core.gather.finish(id);
        let Some(slot) = self.core.slots.get_mut(id).filter(|slot| slot.connection.phase() != Phase::Closed) else {
            return FlushOutcome::default();
        };
        if let Some(gathered) = gathered {
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
            Ok(()) => self.after_flush(id, now),
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

    /// The turn is over. Memory it has left behind is looked for later.
    pub fn finish_turn(&mut self, now: Time) {
        if self.trim_at.is_none() && self.core.has_slack() {
            self.trim_at = Some(now + TRIM_EVERY);
        }
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

    /// Entries that exist beside the connections themselves: armed deadlines, handler timers, counted addresses.
    pub fn table_sizes(&self) -> [usize; 3] {
        [self.core.wheel.len(), self.core.timers.len(), self.core.admission.addresses()]
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

    /// Takes one thing off the front of `rest`; false when there is nothing more to do.
    fn handle_input(&mut self, id: ConnId, rest: &mut &[u8], now: Time) -> bool {
        let Self { core, handler, .. } = self;
        let Some(slot) = core.slots.get_mut(id) else {
            return false;
        };
        match slot.connection.handle_bytes(rest, core.settings.max_message_bytes, &mut core.pool) {
            Input::NeedMore => return false,
            Input::Opened => {
                self.open(id, now);
                // A quiet peer is asked earlier than one whose wire is unknown.
                self.core.rearm(id);
                // First bytes that have been kept may hold a whole message.
                return true;
            }
            Input::Message(Payload::InPlace(message)) => {
                let verdict = slot.connection.on_message(message, now, core.settings.heartbeat_answers);
                act_on_message(core, handler, id, message, verdict, now);
            }
            Input::Message(Payload::Reassembled(frame, payload)) => {
                let message = &frame[payload];
                let verdict = slot.connection.on_message(message, now, core.settings.heartbeat_answers);
                act_on_message(core, handler, id, message, verdict, now);
                core.pool.give(frame);
            }
            Input::Refused { reason, answer } => {
                core.queue_answer(id, answer, now);
                core.close(id, reason, now);
            }
        }
        !rest.is_empty()
    }

    fn open(&mut self, id: ConnId, now: Time) {
        if let Some(slot) = self.core.slots.get_mut(id) {
            slot.opened = true;
            self.call(Some(id), now, |handler, cx| handler.on_opened(cx, id));
        }
    }

    fn call(&mut self, id: Option<ConnId>, now: Time, task: impl FnOnce(&mut H, &mut Context<'_>)) {
        guarded(&mut self.core, &mut self.handler, id, now, task);
    }

    /// Tells the handler of ends. Its answers may end others, so this goes on until all were told; each connection
    /// ends once, which bounds it.
    fn deliver_ended(&mut self, now: Time) {
        while let Some((id, reason)) = self.core.ended.pop_front() {
            self.call(None, now, |handler, cx| handler.on_closed(cx, id, reason));
        }
    }

    /// From here to its flush, what `id` is sent is gathered. The one served before may not have been flushed.
    fn begin_serving(&mut self, id: ConnId, now: Time) {
        if let Some(before) = self.core.gather.owner().filter(|before| *before != id)
            && let Some(gathered) = self.core.gather.take(before)
        {
            self.core.queue_rest(before, &gathered, now);
            self.core.mark_dirty(before);
            self.core.gather.put_back(gathered);
        }
        if self.core.gather.len_for(id) == 0 {
            self.core.gather.begin(id);
        }
    }

    fn handle_deadline(&mut self, slot: u32, now: Time) {
        let Some(id) = self.core.slots.id_at(slot as usize) else {
            return;
        };
        let core = &mut self.core;
        let due =
            core.slots.get_mut(id).map_or(Due::Nothing, |slot| slot.connection.handle_timeout(now, &core.settings));
        match due {
            Due::Nothing => {}
            Due::Probe => core.probe(id, now),
            Due::Close(reason) => core.close(id, reason, now),
            Due::Drop => core.drop_connection(id),
        }
        core.rearm(id);
    }

    fn fail(&mut self, id: ConnId, error: &io::Error, now: Time) -> FlushOutcome {
        self.handle_error(id, error.kind(), now);
        FlushOutcome::default()
    }

    fn flush_queue(
        &mut self,
        id: ConnId,
        now: Time,
        write: &mut impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<()> {
        let core = &mut self.core;
        let Some(slot) = core.slots.get_mut(id).filter(|slot| slot.connection.queued_bytes() > 0) else {
            return Ok(());
        };
        let before = slot.connection.queued_bytes();
        let (sent, result) = slot.connection.flush(now, &mut core.pool, write);
        core.on_sent(id, sent);
        let soft = core.settings.write_queue_soft_bytes;
        let heard_again = before > soft && before - sent <= soft;
        if result? == Flushed::Blocked || heard_again {
            core.rearm(id);
        }
        Ok(())
    }

    fn after_flush(&mut self, id: ConnId, now: Time) -> FlushOutcome {
        let Some(slot) = self.core.slots.get_mut(id) else {
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

    fn advance_drain(&mut self, now: Time) {
        let Some(mut drain) = self.core.drain.take() else {
            return;
        };
        let mut due = drain.due(now);
        while due > 0 && drain.next_slot < self.core.slots.end() {
            if let Some(id) = self.core.slots.id_at(drain.next_slot) {
                self.core.close(id, CloseReason::Local(LocalReason::Draining), now);
                drain.on_told();
                due -= 1;
            }
            drain.next_slot += 1;
        }
        if drain.next_slot >= self.core.slots.end() {
            drain.finish();
        }
        self.core.drain = Some(drain);
    }

    fn advance_trim(&mut self, now: Time) {
        if self.trim_at.is_some_and(|at| at <= now) {
            self.core.trim();
            self.trim_at = self.core.has_slack().then(|| now + TRIM_EVERY);
        }
    }
}

impl Slot {
    /// Whether its bytes are wanted now. If not, the flush that makes them wanted says so.
    #[inline]
    fn wants_bytes(&mut self, settings: &Settings) -> bool {
        if self.connection.phase() == Phase::Closed || self.peer_ended {
            return false;
        }
        let wanted = self.connection.wants_bytes(settings);
        if !wanted {
            self.reading = Reading::Held;
        }
        wanted
    }

    /// Open, with nothing queued and no reading held: a write that takes everything gathered changes nothing more.
    #[inline]
    fn is_at_ease(&self) -> bool {
        self.connection.is_live() && self.connection.queued_bytes() == 0 && self.reading != Reading::Held
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

impl Core {
    fn new_connection(&mut self, listen_wire: ListenWire, now: Time) -> Connection {
        let settings = &self.settings;
        let interval = settings.heartbeat_interval;
        let rate = (settings.max_messages_per_second.is_some() || settings.max_bytes_per_second.is_some()).then(|| {
            Box::new(RateLimiter {
                messages: settings.max_messages_per_second.map(|rate| Bucket::new(rate, now)),
                bytes: settings.max_bytes_per_second.map(|rate| Bucket::new(rate, now)),
            })
        });
        let first_quiet = self.jitter.within(interval / 2, interval);
        Connection::new(Start { listen_wire, now, first_quiet, rate, settings })
    }

    fn probe(&mut self, id: ConnId, now: Time) {
        if let Some(probe) = self.settings.heartbeat_probe.clone() {
            self.counters.probes_sent += 1;
            // It was open a moment ago, and a probe is far below any limit.
            let _ = self.send(id, &probe, now);
        }
    }
}

/// One message: answered where it is a heartbeat, given to the handler otherwise.
#[inline]
fn act_on_message<H: Handler>(
    core: &mut Core,
    handler: &mut H,
    id: ConnId,
    message: &[u8],
    verdict: Verdict,
    now: Time,
) {
    core.counters.messages_in += 1;
    match verdict {
        Verdict::Deliver => {
            guarded(core, handler, Some(id), now, |handler, cx| handler.on_message(cx, id, message));
        }
        Verdict::Heartbeat(answer) => {
            core.counters.heartbeats_answered += 1;
            // The connection is open, and an answer is far below any limit.
            let _ = core.send(id, answer, now);
        }
        Verdict::TooMany => core.close(id, CloseReason::Local(LocalReason::TooManyMessages), now),
    }
}

/// Calls the handler; where it panics, the connection it was called for is closed and all others go on.
fn guarded<H>(
    core: &mut Core,
    handler: &mut H,
    id: Option<ConnId>,
    now: Time,
    task: impl FnOnce(&mut H, &mut Context<'_>),
) {
    // Unwinding leaves `core` as its own calls left it between two statements of the handler: each of them completes
    // or asserts, and the handler's own state is the handler's to keep sound.
    let result = catch_unwind(AssertUnwindSafe(|| task(handler, &mut Context::new(core, now))));
    if result.is_err() {
        core.counters.handler_panics += 1;
        if let Some(id) = id {
            core.close(id, CloseReason::Local(LocalReason::HandlerPanicked), now);
        }
    }
}
