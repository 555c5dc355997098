//! One connection as the model knows it: what was read, what is owed, and by when something must happen.

use crate::incoming::{Incoming, Item, Rules};
use crate::outgoing::Outgoing;
use crate::ways::Shared;
use crate::websocket::visit::{Asks, Visit};
use std::collections::VecDeque;
use std::time::Duration;
use tidegate::config::Settings;
use tidegate::connection::{CloseReason, Door, Expects, LocalReason, PeerReason};
use tidegate::gateway::{ConnId, Peer};

/// Whether the handler has paused a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    None,
    Paused,
    /// It goes on when the reactor comes to it.
    Resumed,
}

#[derive(Debug)]
pub struct Conn {
    pub id: ConnId,
    pub sock: Option<usize>,
    pub peer: Peer,
    pub accepted_at: u64,
    pub incoming: Incoming,
    /// What is known of it if it begins with HTTP.
    pub visit: Option<Box<Visit>>,
    /// What was read and is to be handled before the call returns.
    pub due: VecDeque<Item>,
    pub opened: bool,
    pub told_closed: bool,
    /// Its end and when it was decided.
    pub end: Option<(CloseReason, u64)>,
    pub out: Outgoing,
    pub heard_at: u64,
    pub message_at: u64,
    /// When a part of a message may last have come: idleness may be counted from here.
    pub part_at: u64,
    pub progress_at: u64,
    /// When its queue last fell to the soft limit: silence may be counted from here.
    pub unheld_at: u64,
    pub over_soft: bool,
    pub hold: Hold,
    /// The handler is to hear when its queue has drained.
    pub watched: bool,
    /// The most that was owed since the journal was begun.
    pub peak: usize,
    /// It had something to say while nobody would read it, and when that was over: before then it was not silent.
    pub held: bool,
    pub silent_from: u64,
    pub last_probe: Option<u64>,
    /// A probe was sent, and its answer has not come.
    pub awaits_answer: bool,
    /// The first message came whole, or its time passed with nothing begun.
    pub first_done: bool,
    pub peer_ended: bool,
    pub failed: bool,
    pub shut: bool,
    pub messages: Option<Tokens>,
    pub bytes: Option<Tokens>,
    /// Reads since deadlines were last served.
    pub reads: u32,
    /// A heartbeat was answered since the last message.
    pub beat: bool,
    /// What was read last holds several messages, and nothing else of it has to be looked at.
    pub at_ease: bool,
    pub shared: Shared,
}

/// A rate limit: a second's worth at most, refilled steadily.
#[derive(Debug, Clone)]
pub struct Tokens {
    per_second: u64,
    thousandths: u64,
    at: u64,
}

impl Tokens {
    pub fn new(per_second: u32, now: u64) -> Self {
        let per_second = u64::from(per_second);
        Self { per_second, thousandths: per_second * 1000, at: now }
    }

    pub fn has(&mut self, count: u64, now: u64) -> bool {
        let gained = now.saturating_sub(self.at).saturating_mul(self.per_second);
        self.thousandths = self.thousandths.saturating_add(gained).min(self.per_second * 1000);
        self.at = now;
        self.thousandths >= count * 1000
    }

    pub fn take(&mut self, count: u64, now: u64) -> bool {
        let has = self.has(count, now);
        if has {
            self.thousandths -= count * 1000;
        }
        has
    }
}

pub fn millis(duration: Duration) -> u64 {
    duration.as_millis() as u64
}

/// Whether what is owed is still written after an end for this reason.
pub fn flushes(reason: CloseReason) -> bool {
    !matches!(
        reason,
        CloseReason::Transport(_)
            | CloseReason::Peer(PeerReason::Reset | PeerReason::HeartbeatTimeout)
            | CloseReason::Local(LocalReason::SlowConsumer | LocalReason::WriteTimeout | LocalReason::Stopped)
    )
}

/// Whether at an end for this reason all is dropped but what has begun to leave, and last words behind it.
pub fn cuts(reason: CloseReason) -> bool {
    matches!(reason, CloseReason::Local(LocalReason::SlowConsumer | LocalReason::WriteTimeout))
}

impl Conn {
    pub fn new(id: ConnId, peer: Peer, door: Door, settings: &Settings, now: u64) -> Self {
        Self {
            id,
            sock: None,
            peer,
            accepted_at: now,
            incoming: Incoming::new(door, Rules::of(settings)),
            visit: door.http.then(|| Box::new(Visit::new(settings, now))),
            due: VecDeque::new(),
            opened: false,
            told_closed: false,
            end: None,
            out: Outgoing::default(),
            heard_at: now,
            message_at: now,
            part_at: now,
            progress_at: now,
            unheld_at: now,
            over_soft: false,
            hold: Hold::None,
            watched: false,
            peak: 0,
            held: false,
            silent_from: now,
            last_probe: None,
            awaits_answer: false,
            first_done: false,
            peer_ended: false,
            failed: false,
            shut: false,
            messages: settings.max_messages_per_second.map(|rate| Tokens::new(rate, now)),
            bytes: settings.max_bytes_per_second.map(|rate| Tokens::new(rate, now)),
            reads: 0,
            beat: false,
            at_ease: false,
            shared: Shared::default(),
        }
    }

    pub fn is_live(&self) -> bool {
        self.end.is_none()
    }

    /// Whether messages can be sent to it.
    pub fn takes_messages(&self) -> bool {
        self.is_live() && self.opened
    }

    pub fn pending(&self) -> usize {
        self.out.pending.max(0) as usize
    }

    /// Notes how much is owed after it has changed.
    pub fn on_owed(&mut self, soft: usize, now: u64) {
        self.peak = self.peak.max(self.pending());
        let over = self.pending() > soft;
        if self.over_soft && !over {
            let certainly = std::mem::take(&mut self.held);
            self.unheld_at = now;
            self.silent_from = if certainly { now } else { self.silent_from };
            self.visit.iter_mut().for_each(|visit| visit.on_resumed(certainly, now));
        }
        self.over_soft = over;
    }

    /// Counts a message against its rate, which has room for it.
    pub fn spend_message(&mut self, now: u64) {
        if let Some(tokens) = self.messages.as_mut() {
            tokens.take(1, now);
        }
    }

    /// Whether this is the request it has time for.
    pub fn asks(&self, expects: Expects) -> bool {
        let asks = match expects {
            Expects::First => Asks::First,
            Expects::Another => Asks::Another,
            Expects::Rest => Asks::Rest,
            Expects::Nothing { .. } => return false,
        };
        self.visit.as_ref().is_some_and(|visit| visit.asks == asks)
    }

    pub fn began_first(&self) -> bool {
        !self.first_done && !self.incoming.tail.is_empty() && self.incoming.wire.is_some()
    }

    fn hears(&self, settings: &Settings) -> bool {
        settings.has_heartbeat() && self.reads(settings)
    }

    /// Whether its bytes are wanted: not while it leaves too much of ours waiting.
    pub fn reads(&self, settings: &Settings) -> bool {
        self.hold == Hold::None && self.pending() <= settings.write_queue_soft_bytes
    }

    fn stall_deadline(&self, settings: &Settings) -> Option<u64> {
        (self.pending() > 0).then(|| self.progress_at + millis(settings.write_timeout))
    }

    /// The latest moment by which something must have happened to it if nothing comes, in unrounded milliseconds.
    pub fn deadline(&self, settings: &Settings) -> Option<u64> {
        let own = match self.end {
            Some((_, at)) => Some(at + millis(settings.close_timeout)),
            None => self.live_deadline(settings),
        };
        [own, self.stall_deadline(settings)].into_iter().flatten().min()
    }

    fn live_deadline(&self, settings: &Settings) -> Option<u64> {
        if self.incoming.is_http() {
            return self.visit.as_ref().filter(|_| self.reads(settings)).map(|visit| visit.by);
        }
        let held = self.heard_at.max(self.unheld_at);
        let undecided = self.incoming.is_undecided();
        let handshake = undecided || self.began_first();
        let probed = !undecided && (settings.heartbeat_probe.is_some() || self.incoming.stream.is_some());
        let asked = held.max(self.last_probe.unwrap_or(0));
        let reads = self.reads(settings);
        let all = [
            self.hears(settings).then(|| held + millis(settings.heartbeat_timeout)),
            (self.hears(settings) && probed).then(|| asked + millis(settings.heartbeat_interval)),
            settings
                .idle_timeout
                .filter(|_| reads)
                .map(|idle| self.message_at.max(self.part_at).max(self.unheld_at) + millis(idle)),
            (handshake && reads).then(|| self.accepted_at.max(self.unheld_at) + millis(settings.handshake_timeout)),
        ];
        all.into_iter().flatten().min()
    }

    /// The earliest moment at which it may be probed.
    pub fn probe_from(&self, settings: &Settings) -> u64 {
        let interval = millis(settings.heartbeat_interval);
        match self.last_probe {
            Some(asked) => self.heard_at.max(asked) + interval,
            None => self.heard_at + millis(settings.heartbeat_interval / 2),
        }
    }

    /// Whether the gateway may end it now for a reason that only the gateway can know first. `unread` bytes of it have
    /// arrived and lie in its socket.
    pub fn may_end(&self, reason: CloseReason, now: u64, unread: usize, settings: &Settings) -> Result<(), String> {
        let asking = self.visit.as_ref().filter(|_| self.incoming.is_http()).map(|visit| (visit.asks, visit.from));
        let (due, at) = match (reason, asking) {
            (CloseReason::Peer(PeerReason::HeartbeatTimeout), Some(_)) => (false, 0),
            (CloseReason::Peer(PeerReason::HandshakeTimeout), Some((asks, from))) => {
                (asks != Asks::Another && self.reads(settings), from)
            }
            (CloseReason::Local(LocalReason::IdleTimeout), Some((asks, from))) => {
                let silent = unread == 0 || self.heard_at == now;
                (asks == Asks::Another && self.reads(settings) && silent, from)
            }
            (CloseReason::Peer(PeerReason::HeartbeatTimeout), None) => {
                let at = self.heard_at.max(self.silent_from) + millis(settings.heartbeat_timeout);
                (self.hears(settings) && unread == 0, at)
            }
            (CloseReason::Peer(PeerReason::HandshakeTimeout), None) => {
                let open = self.incoming.is_undecided() || self.began_first();
                (open, self.accepted_at + millis(settings.handshake_timeout))
            }
            (CloseReason::Local(LocalReason::IdleTimeout), None) => {
                let idle = settings.idle_timeout.unwrap_or(Duration::MAX);
                (
                    // Nothing but heartbeats may have come, a budget's worth in each turn.
                    settings.idle_timeout.is_some() && (unread == 0 || self.heard_at == now),
                    self.message_at.max(self.silent_from).saturating_add(millis(idle)),
                )
            }
            (CloseReason::Local(LocalReason::WriteTimeout), _) => {
                (self.pending() > 0, self.progress_at + millis(settings.write_timeout))
            }
            (CloseReason::Local(LocalReason::SlowConsumer), _) => (self.peak > settings.write_queue_hard_bytes, 0),
            _ => (false, 0),
        };
        if due && at <= now {
            return Ok(());
        }
        Err(format!(
            "ended for {reason} at {now}, allowed from {at}; owed {}, unread {unread}, heard at {}, message at {}, \
             progress at {}, accepted at {}, tail {}",
            self.pending(),
            self.heard_at,
            self.message_at,
            self.progress_at,
            self.accepted_at,
            self.incoming.tail.len()
        ))
    }
}
