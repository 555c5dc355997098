//! Everything of a gateway but its handler: connections, deadlines, buffers, counts. [`Context`](super::Context) is
//! its face towards handlers, [`Gateway`](super::Gateway) towards the driver.

use super::admission::{Admission, Peer};
use super::bundles::{Bundles, RunKey};
use super::deadlines::PAGES_A_TRIM;
use super::drain::Drain;
use super::gather::Gather;
use super::id::{ConnId, IdCipher};
use super::log_limit::LogLimit;
use super::slots::Slots;
use super::timers::Timers;
use crate::buffer::{Pool, WriteQueue};
use crate::config::Settings;
use crate::connection::{CloseReason, Compressor, Connection, LocalReason, PeerReason};
use crate::stats::{Counters, Held};
use crate::timer::{Jitter, Time, Wheel};
#[cfg(feature = "websocket")]
use crate::wire::http::HttpDate;
use std::collections::{BTreeMap, VecDeque};

/// One connection and what the gateway knows of it. Three lines of the cache with its id in front, and in the first of
/// them all that a delivery needs.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Slot {
    /// What it is sent together with others since its last flush. Nothing else waits for it then: whatever comes behind
    /// that moves both into its queue.
    pub(super) run: Option<RunKey>,
    pub(super) reading: Reading,
    pub(super) watch: Watch,
    /// It stands on the dirty list.
    pub(super) dirty: bool,
    /// Reads go on until they find nothing: the poll has said that the peer closed, or events were missed.
    pub(super) reads_to_end: bool,
    /// What is below the gateway encrypts it.
    pub(super) encrypted: bool,
    /// The peer has shut its side: nothing more will come.
    pub(super) peer_ended: bool,
    /// The handler knows it.
    pub(super) opened: bool,
    /// It is counted for its address.
    pub(super) is_counted: bool,
    /// Whole seconds since the origin of the clock, which last for 136 years.
    pub(super) opened_at_secs: u32,
    pub(super) connection: Connection,
    pub(super) peer: Peer,
}

impl Slot {
    /// Reads a byte or so in each line of the cache that a slot has.
    #[inline]
    pub(super) fn glance(&self) -> usize {
        usize::from(self.dirty) ^ self.connection.glance() ^ usize::from(self.peer == Peer::Unix)
    }
}

/// What makes the driver read from a connection next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// The next event.
    OnEvent,
    /// The driver's list of unread connections.
    Listed,
    /// Its queue draining below the soft limit: until then its bytes are not wanted.
    Held,
}

/// Whether the handler is to hear that a connection's queue has drained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Watch {
    /// No.
    Off,
    /// When that happens.
    Armed,
    /// It stands on the list of those whose queue may have.
    Listed,
}

/// What a gateway takes from the constants of its handler.
#[derive(Debug, Clone, Copy)]
pub(super) struct Habits {
    pub(super) farewell: Option<fn(u16, &str) -> String>,
    pub(super) admits: bool,
    pub(super) pings: bool,
}

/// What a connection that is held had sent before, and how much of it was handled.
#[derive(Debug)]
pub(super) struct Rest {
    pub(super) bytes: Vec<u8>,
    pub(super) from: usize,
}

pub(super) struct Core {
    pub(super) habits: Habits,
    pub(super) settings: Settings,
    pub(super) slots: Slots<Slot>,
    pub(super) wheel: Wheel,
    pub(super) timers: Timers,
    pub(super) pool: Pool,
    pub(super) gather: Gather,
    pub(super) bundles: Bundles,
    pub(super) compressor: Compressor,
    pub(super) admission: Admission,
    pub(super) counters: Counters,
    /// Milliseconds of Unix time at `Time::ZERO`.
    pub(super) unix_zero_millis: u64,
    #[cfg(feature = "websocket")]
    pub(super) date: HttpDate,
    pub(super) jitter: Jitter,
    pub(super) ids: IdCipher,
    pub(super) log_limit: LogLimit,
    pub(super) accept_pause_logged: Option<Time>,
    pub(super) drain: Option<Drain>,
    /// Connections with bytes to send, in the order they got them.
    pub(super) dirty: VecDeque<ConnId>,
    /// The last broadcast went from the last connection to the first.
    pub(super) walks_back: bool,
    /// Connections that have passed their soft limit: to be flushed before the next is served.
    pub(super) pressed: Vec<ConnId>,
    /// The handler wants to be called in the next turn, whatever happens.
    pub(super) wants_turn: bool,
    /// Bytes that were read from connections before these were held, in pooled memory.
    pub(super) rests: BTreeMap<ConnId, Rest>,
    /// Connections that go on, in the order they were let go.
    pub(super) resumed: VecDeque<ConnId>,
    /// Watched connections whose queue may have drained.
    pub(super) drained: VecDeque<ConnId>,
    /// Ends the handler has not heard of.
    pub(super) ended: VecDeque<(ConnId, CloseReason)>,
    /// Connections whose socket can go.
    pub(super) gone: Vec<ConnId>,
    pub(super) queued: usize,
    /// Boxed, because that is how a connection holds its queue: lending one moves a pointer.
    #[allow(clippy::vec_box)]
    pub(super) spare_queues: Vec<Box<WriteQueue>>,
}

/// Free buffers kept between bursts.
const MAX_KEPT: usize = 4 << 20;
/// Empty write queues kept for the next receivers.
const MAX_SPARE_QUEUES: usize = 16 << 10;

impl Core {
    pub(super) fn new(habits: Habits, settings: Settings, jitter: u64, ids: u64, now: Time) -> Self {
        Self {
            habits,
            admission: Admission::new(&settings, now),
            settings,
            slots: Slots::new(),
            wheel: Wheel::new(now),
            timers: Timers::new(now),
            pool: Pool::new(MAX_KEPT),
            gather: Gather::default(),
            bundles: Bundles::default(),
            compressor: Compressor::default(),
            counters: Counters::new(CloseReason::KINDS),
            unix_zero_millis: 0,
            #[cfg(feature = "websocket")]
            date: HttpDate::new(),
            jitter: Jitter::new(jitter),
            ids: IdCipher::new(ids),
            log_limit: LogLimit::new(CloseReason::KINDS),
            accept_pause_logged: None,
            drain: None,
            dirty: VecDeque::new(),
            walks_back: false,
            pressed: Vec::new(),
            wants_turn: false,
            rests: BTreeMap::new(),
            resumed: VecDeque::new(),
            drained: VecDeque::new(),
            ended: VecDeque::new(),
            gone: Vec::new(),
            queued: 0,
            spare_queues: Vec::new(),
        }
    }

    /// Frees the slot of a connection whose socket is about to be closed.
    pub(super) fn free(&mut self, id: ConnId) {
        self.wheel.cancel(key(id));
        self.return_queue(id);
        if let Some(slot) = self.slots.remove(id).filter(|slot| slot.is_counted) {
            self.admission.leave(slot.peer);
        }
    }

    /// Arms the connection's one timer where it has to ring earlier than it would.
    pub(super) fn rearm(&mut self, id: ConnId) {
        let Some(slot) = self.slots.get(id) else {
            return;
        };
        let Some(deadline) = slot.connection.poll_timeout(&self.settings) else {
            self.wheel.cancel(key(id));
            return;
        };
        if self.wheel.deadline(key(id)).is_none_or(|armed| deadline < armed) {
            self.wheel.arm(key(id), deadline);
        }
    }

    /// Of the bytes gathered for `id`, `sent` left in one write. The rest waits in its queue.
    pub(super) fn on_gathered_sent(&mut self, id: ConnId, gathered: &[u8], sent: usize, now: Time) {
        self.counters.bytes_out += sent as u64;
        if sent < gathered.len() {
            self.queue_rest(id, &gathered[sent..], sent > 0, now);
            self.rearm(id);
        }
    }

    /// Gathered bytes that did not leave join the write queue; then everything is in order again. Where others of them
    /// have left, the rest begins inside a frame.
    pub(super) fn queue_rest(&mut self, id: ConnId, rest: &[u8], begun: bool, now: Time) {
        self.queued += rest.len();
        self.with_queue(id, now, |connection, pool| {
            if begun { connection.queue_begun(rest, now, pool) } else { connection.queue_copy(rest, now, pool) }
        });
    }

    /// Milliseconds of Unix time.
    pub(super) fn unix_millis(&self, now: Time) -> u64 {
        self.unix_zero_millis.saturating_add(now.as_millis())
    }

    pub(super) fn held(&self) -> Held {
        Held {
            queued: self.queued,
            lent: self.pool.lent_bytes(),
            kept: self.pool.kept_bytes(),
            tables: self.slots.held_bytes()
                + self.wheel.held_bytes()
                + self.bundles.held_bytes()
                + self.compressor.held_bytes(),
        }
    }

    /// Memory that a burst left behind and nobody needs.
    pub(super) fn trim(&mut self) {
        self.pool.trim();
        self.slots.give_back(PAGES_A_TRIM);
        self.bundles.trim();
        self.spare_queues.truncate(self.spare_queues.len() / 2);
        self.spare_queues.shrink_to(self.spare_queues.len() * 2);
        self.dirty.shrink_to(self.dirty.len() * 2);
        self.pressed.shrink_to(self.pressed.len() * 2);
        self.ended.shrink_to(self.ended.len() * 2);
        self.resumed.shrink_to(self.resumed.len() * 2);
        self.drained.shrink_to(self.drained.len() * 2);
    }

    /// Whether [`Core::trim`] has anything left to do.
    pub(super) fn has_slack(&self) -> bool {
        let keeps_tables = self.slots.has_emptied() || self.bundles.has_slack();
        keeps_tables || self.pool.kept_bytes() > 0 || !self.spare_queues.is_empty()
    }

    /// Bytes gathered for a connection, bytes in its queue and those it is sent together with others.
    pub(super) fn pending(&self, id: ConnId) -> usize {
        let queued = |slot: &Slot| slot.connection.queued_bytes() + self.bundles.len(slot.run);
        self.slots.get(id).map_or(0, queued) + self.gather.len_for(id)
    }

    pub(super) fn mark_dirty(&mut self, id: ConnId) {
        if let Some(slot) = self.slots.get_mut(id) {
            list_dirty(&mut self.dirty, slot, id);
        }
    }

    fn return_queue(&mut self, id: ConnId) {
        let queue = self.slots.get_mut(id).and_then(|slot| slot.connection.take_empty_queue());
        spare(&mut self.spare_queues, queue);
    }

    /// Ends that an operator may have to act on are told at info, at most one line a second for each reason.
    pub(super) fn log_close(&mut self, id: ConnId, peer: Peer, reason: CloseReason, now: Time) {
        let expected = matches!(
            reason,
            CloseReason::Peer(PeerReason::Closed) | CloseReason::Local(LocalReason::Normal | LocalReason::Draining)
        );
        let text = self.ids.text(id);
        match self.log_limit.pass(reason.index(), now).filter(|_| !expected) {
            Some(skipped) => log::info!("connection {text} from {peer} closed: {reason}{}", more(skipped)),
            None => log::debug!("connection {text} from {peer} closed: {reason}"),
        }
    }

    /// Counts a peer that was refused at the door and says so, at most once a second for each limit.
    pub(super) fn log_refusal(&mut self, peer: Peer, reason: CloseReason, now: Time) {
        self.counters.refused += 1;
        self.counters.closed[reason.index()] += 1;
        if let Some(skipped) = self.log_limit.pass(reason.index(), now) {
            log::warn!("refused {peer}: {reason}{}", more(skipped));
        }
    }
}

/// Puts a connection on the list of those to be flushed, where it does not stand there yet.
#[inline(always)]
pub(super) fn list_dirty(dirty: &mut VecDeque<ConnId>, slot: &mut Slot, id: ConnId) {
    if !slot.dirty {
        slot.dirty = true;
        dirty.push_back(id);
    }
}

/// Keeps an empty queue for the next connection that needs one, where not too many are kept.
#[allow(clippy::vec_box)]
pub(super) fn spare(spare_queues: &mut Vec<Box<WriteQueue>>, queue: Option<Box<WriteQueue>>) {
    if let Some(mut queue) = queue.filter(|_| spare_queues.len() < MAX_SPARE_QUEUES) {
        queue.shrink();
        spare_queues.push(queue);
    }
}

/// A connection's key in the timer wheel.
pub(super) fn key(id: ConnId) -> u32 {
    u32::try_from(id.slot()).expect("a slot has 24 bits")
}

fn more(skipped: u64) -> String {
    if skipped == 0 { String::new() } else { format!(" ({skipped} more since the last such line)") }
}
