//! The phases of a connection, its deadlines, and what waits to be sent.

use super::holding::Hold;
#[cfg(feature = "websocket")]
use super::http::Body;
use super::{Answer, CloseReason, Compression, Door, FrameReader, Parting, RateLimiter, answer};
use crate::buffer::{Pool, WriteQueue};
use crate::config::Settings;
use crate::timer::Time;
use crate::wire::{Message, Wire};
use std::time::Duration;

/// Where a connection is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The wire is not known; nothing can be sent.
    Detecting {
        /// When the first bytes must have decided.
        give_up_at: Time,
    },
    /// HTTP requests come, one after the other; one of them may ask for WebSocket.
    Http {
        /// When the request that is expected must have come whole.
        give_up_at: Time,
        /// Which one that is.
        expects: Expects,
    },
    /// Messages go both ways; the handler, who has to admit it, has not.
    Entering {
        /// The wire.
        wire: Wire,
        /// When it must have been admitted.
        give_up_at: Time,
    },
    /// Messages go both ways; the first one has not come whole.
    Opening {
        /// The wire.
        wire: Wire,
        /// When a first message that has begun must be complete.
        give_up_at: Time,
    },
    /// Messages go both ways.
    Open {
        /// The wire.
        wire: Wire,
    },
    /// The end is decided; what waits is still sent, what arrives is dropped.
    Flushing {
        /// When it is dropped all the same.
        give_up_at: Time,
    },
    /// All was sent and our side is shut; the peer's end has not come. Closing at once could reset the connection
    /// under the peer's last unread bytes (RFC 1122, section 4.2.2.13).
    Lingering {
        /// When it is dropped all the same.
        give_up_at: Time,
    },
    /// Over; the socket can go.
    Closed,
}

/// Which HTTP request is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expects {
    /// The first of the connection.
    First,
    /// One more, after which nobody has to ask.
    Another,
    /// The rest of one that has begun.
    Rest,
    /// None: the last one has not been answered. How that is to be done, and whether it is the last one.
    Nothing {
        /// The request's method was HEAD.
        head_only: bool,
        /// Close afterwards.
        close: bool,
    },
}

/// Who asks a connection for signs of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asker {
    /// Its handler, who knows what answers.
    Handler,
    /// Itself.
    Gateway,
    /// Itself, with a probe; the message that answers its form has not come.
    Awaiting,
}

/// What is to become of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The handler gets it.
    Deliver,
    /// It is a heartbeat, and this answers it.
    Heartbeat(Answer),
    /// It answers our own question for a sign of life.
    ProbeAnswered,
    /// The peer sends more than it may.
    TooMany,
}

/// How far a flush came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flushed {
    /// Nothing waits any more.
    All,
    /// The socket takes no more for now.
    Blocked,
}

/// One connection's state. Idle, it owns no buffer.
///
/// Of very many, the lines of the cache are what costs: what a delivery looks at comes first, then what a message does.
#[derive(Debug)]
#[repr(C)]
pub struct Connection {
    pub(super) asker: Asker,
    /// Why nothing of it is handled or read, if so.
    pub(super) hold: Hold,
    /// The handler has to admit it.
    pub(super) admits: bool,
    /// What still has to be found out about it before its wire is known.
    pub(super) door: Door,
    pub(super) phase: Phase,
    pub(super) queue: Option<Box<WriteQueue>>,
    /// When a message was last sent, or queued. Control frames, which no application hears of, do not count.
    pub(super) last_sent: Time,
    pub(super) last_received: Time,
    pub(super) rate: Option<Box<RateLimiter>>,
    /// WebSocket frames whose end has not come.
    pub(super) frames: FrameReader,
    /// An unfinished frame, or first bytes that have not decided.
    pub(super) tail: Vec<u8>,
    /// What was agreed on about compressing WebSocket messages.
    pub(super) compression: Compression,
    pub(super) last_message: Time,
    /// When a sign of life was last asked for; `Time::MAX` where it never was.
    pub(super) asked_at: Time,
    /// An HTTP request's body that has not come whole; its head lies in the tail.
    #[cfg(feature = "websocket")]
    pub(super) body: Option<Box<Body>>,
    /// Bytes of the tail known to hold no end of a line.
    pub(super) scanned: u32,
    /// Silence before the first probe: spread, so that a storm of connects is no storm of probes.
    pub(super) first_quiet_millis: u32,
}

/// What a connection starts from.
#[derive(Debug)]
pub struct Start<'a> {
    /// What its listener says about it.
    pub door: Door,
    /// The moment it was accepted.
    pub now: Time,
    /// Silence before its first probe, within [1/2, 1] x `heartbeat_interval`.
    pub first_quiet: Duration,
    /// Its limits on messages and bytes a second, where there are any.
    pub rate: Option<Box<RateLimiter>>,
    /// The handler has to admit it.
    pub admits: bool,
    /// The handler asks it for signs of life.
    pub handler_asks: bool,
    /// The settings.
    pub settings: &'a Settings,
}

impl Connection {
    /// A connection that was just accepted.
    pub fn new(start: Start<'_>) -> Self {
        let give_up_at = start.now + start.settings.handshake_timeout;
        Self {
            phase: match start.door.wire_at_once() {
                None => Phase::Detecting { give_up_at },
                Some(Wire::WebSocket) => Phase::Http { give_up_at, expects: Expects::First },
                Some(wire) => opening(wire, give_up_at, start.admits),
            },
            last_received: start.now,
            last_message: start.now,
            asked_at: Time::MAX,
            last_sent: start.now,
            asker: if start.handler_asks { Asker::Handler } else { Asker::Gateway },
            tail: Vec::new(),
            scanned: 0,
            first_quiet_millis: u32::try_from(start.first_quiet.as_millis()).unwrap_or(u32::MAX),
            door: start.door,
            frames: FrameReader::default(),
            compression: Compression::default(),
            #[cfg(feature = "websocket")]
            body: None,
            hold: Hold::default(),
            admits: start.admits,
            queue: None,
            rate: start.rate,
        }
    }

    /// Where it is in its life.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// What its listener said about it, less what has been found out since.
    pub fn door(&self) -> Door {
        self.door
    }

    /// The wire, where messages can be sent.
    #[inline]
    pub fn wire(&self) -> Option<Wire> {
        match self.phase {
            Phase::Entering { wire, .. } | Phase::Opening { wire, .. } | Phase::Open { wire } => Some(wire),
            Phase::Detecting { .. }
            | Phase::Http { .. }
            | Phase::Flushing { .. }
            | Phase::Lingering { .. }
            | Phase::Closed => None,
        }
    }

    /// How its messages are compressed.
    #[inline]
    pub fn compression(&mut self) -> &mut Compression {
        &mut self.compression
    }

    /// Whether a message of `len` bytes is to be compressed for it.
    #[inline]
    pub fn compresses(&self, len: usize, settings: &Settings) -> bool {
        self.compression.is_agreed() && len >= settings.deflate_min_bytes
    }

    /// Whether what is compressed for it is good for others.
    pub fn is_compression_shareable(&self) -> bool {
        self.compression.is_shareable()
    }

    /// Whether its end has not been decided.
    pub fn is_live(&self) -> bool {
        match self.phase {
            Phase::Detecting { .. }
            | Phase::Http { .. }
            | Phase::Entering { .. }
            | Phase::Opening { .. }
            | Phase::Open { .. } => true,
            Phase::Flushing { .. } | Phase::Lingering { .. } | Phase::Closed => false,
        }
    }

    /// When a byte last came.
    pub fn last_received(&self) -> Time {
        self.last_received
    }

    /// Whether its bytes are wanted: not while it is paused, or leaves too many of ours waiting.
    pub fn wants_bytes(&self, settings: &Settings) -> bool {
        !self.is_held() && self.queued_bytes() <= settings.write_queue_soft_bytes
    }

    /// Notes that messages went to the handler.
    #[inline]
    pub fn on_message_handled(&mut self, now: Time) {
        self.last_message = now;
    }

    /// Notes that `bytes` came. Any byte is a sign of life. False where it sends more than it may.
    #[inline]
    pub fn on_received(&mut self, bytes: usize, now: Time) -> bool {
        self.last_received = now;
        let Some(bucket) = self.rate.as_mut().and_then(|rate| rate.bytes.as_mut()) else {
            return true;
        };
        bucket.take(u32::try_from(bytes).unwrap_or(u32::MAX), now)
    }

    /// Notes a message and says what is to become of it. Heartbeats count against the rate too.
    #[inline]
    pub fn on_message(&mut self, message: Message<'_>, now: Time, settings: &Settings) -> Verdict {
        if !self.takes_message(now) {
            return Verdict::TooMany;
        }
        // First, because the byte 0x01 answers itself: answering the answer would never end.
        if self.asker == Asker::Awaiting && self.is_answer(&message, settings) {
            self.asker = Asker::Gateway;
            return Verdict::ProbeAnswered;
        }
        if let Some(answer) = answer(&message, settings.heartbeat_answers) {
            return Verdict::Heartbeat(answer);
        }
        self.last_message = now;
        Verdict::Deliver
    }

    /// Counts one message, or a request, against the rate. False where it is more than the peer may send.
    #[inline]
    pub fn takes_message(&mut self, now: Time) -> bool {
        let bucket = self.rate.as_mut().and_then(|rate| rate.messages.as_mut());
        bucket.is_none_or(|bucket| bucket.take(1, now))
    }

    /// Notes that a message was sent, or queued.
    #[inline]
    pub fn on_message_sent(&mut self, now: Time) {
        self.last_sent = now;
    }

    /// The handler has admitted it: whether that was awaited.
    pub fn admit(&mut self) -> bool {
        let Phase::Entering { wire, .. } = self.phase else {
            return false;
        };
        self.phase = Phase::Open { wire };
        true
    }

    /// Notes a pong; whether it answers our own question for a sign of life.
    pub fn on_pong(&mut self) -> bool {
        let was_awaited = self.asker == Asker::Awaiting;
        if was_awaited {
            self.asker = Asker::Gateway;
        }
        was_awaited
    }

    /// Starts counting silence anew: while its bytes were not wanted it could not show life.
    pub fn on_reading_resumed(&mut self, now: Time, settings: &Settings) {
        self.last_received = now;
        self.last_message = now;
        if let Phase::Opening { give_up_at, .. } | Phase::Http { give_up_at, .. } = &mut self.phase {
            *give_up_at = (*give_up_at).max(now + settings.handshake_timeout);
        }
    }

    /// Decides its end. Later reasons change nothing.
    pub fn begin_close(&mut self, reason: CloseReason, now: Time, settings: &Settings, pool: &mut Pool) {
        if !self.is_live() {
            return;
        }
        self.drop_tail(pool);
        self.hold = Hold::default();
        let flushing = Phase::Flushing { give_up_at: now + settings.close_timeout };
        self.phase = match reason.parting() {
            Parting::Flush => flushing,
            Parting::Cut => {
                // Its last words have the time of any.
                self.renew_progress(now);
                flushing
            }
            Parting::Silent => Phase::Closed,
        };
    }

    /// Notes that everything was sent and our side is shut.
    pub fn on_shut_down(&mut self) {
        if let Phase::Flushing { give_up_at } = self.phase {
            self.phase = Phase::Lingering { give_up_at };
        }
    }

    /// Ends it for good and gives its memory back.
    pub fn on_closed(&mut self, pool: &mut Pool) {
        self.phase = Phase::Closed;
        self.drop_tail(pool);
        if let Some(queue) = self.queue.as_mut() {
            queue.clear(pool);
        }
    }

    pub(super) fn on_detected(&mut self, wire: Wire) {
        if let Phase::Detecting { give_up_at } = self.phase {
            self.phase = match wire {
                Wire::WebSocket => Phase::Http { give_up_at, expects: Expects::First },
                Wire::Length | Wire::Line | Wire::Raw => opening(wire, give_up_at, self.admits),
            };
        }
    }

    pub(super) fn on_first_message(&mut self) {
        if let Phase::Opening { wire, .. } = self.phase {
            self.phase = Phase::Open { wire };
        }
    }

    fn drop_tail(&mut self, pool: &mut Pool) {
        pool.give(std::mem::take(&mut self.tail));
        self.scanned = 0;
        self.frames.clear(pool);
        self.compression = Compression::default();
        #[cfg(feature = "websocket")]
        {
            self.body = None;
        }
    }
}

/// How a connection of this wire begins.
pub(super) fn opening(wire: Wire, give_up_at: Time, admits: bool) -> Phase {
    if admits { Phase::Entering { wire, give_up_at } } else { Phase::Opening { wire, give_up_at } }
}
