//! A connection that begins with HTTP, as the model knows it: what it is to hear, and how long it may take to ask.

use crate::conn::millis;
use crate::websocket::ear::{Ear, Heard};
use std::collections::VecDeque;
use tidegate::config::Settings;
use tidegate::connection::{CloseReason, Compression, LocalReason, PeerReason};

/// Which request it has time for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asks {
    First,
    Another,
    /// The rest of one that has begun.
    Rest,
}

#[derive(Debug)]
pub struct Visit {
    pub ear: Ear,
    /// What it is to hear, in order; pings come unannounced.
    pub expected: VecDeque<Heard>,
    /// Tells how long a compressed message is. What it says is judged by the ear.
    pub compression: Compression,
    pub asks: Asks,
    /// When it may be given up for what it does not ask, and when it must be.
    pub from: u64,
    pub by: u64,
    handshake: u64,
    /// What it was to hear was dropped, but for what had begun to leave and the last words.
    pub is_cut: bool,
}

impl Visit {
    pub fn new(settings: &Settings, now: u64) -> Self {
        let handshake = millis(settings.handshake_timeout);
        Self {
            ear: Ear::default(),
            expected: VecDeque::new(),
            compression: Compression::default(),
            asks: Asks::First,
            from: now + handshake,
            by: now + handshake,
            handshake,
            is_cut: false,
        }
    }

    /// It may take so long for this request.
    pub fn allow(&mut self, asks: Asks, until: u64) {
        (self.asks, self.from, self.by) = (asks, until, until);
    }

    /// A request has begun, and its end has not come.
    pub fn on_begun(&mut self, now: u64) {
        if self.asks == Asks::Another {
            self.allow(Asks::Rest, now + self.handshake);
        }
    }

    /// Its bytes are read again; certainly, where it had some to say meanwhile.
    pub fn on_resumed(&mut self, certainly: bool, now: u64) {
        self.by = self.by.max(now + self.handshake);
        if certainly {
            self.from = self.from.max(now + self.handshake);
        }
    }

    /// Judges bytes that the gateway has written.
    pub fn hear(&mut self, bytes: &[u8]) -> Result<(), String> {
        for heard in self.ear.feed(bytes)? {
            match heard {
                Heard::Ping(payload) if payload.is_empty() => {}
                Heard::Close(code) if self.is_cut => {
                    if self.expected.drain(..).next_back() != Some(Heard::Close(code)) {
                        return Err(format!("a Close frame with {code:?}"));
                    }
                }
                heard => match self.expected.pop_front() {
                    Some(expected) if expected == heard => {}
                    expected => return Err(format!("{heard:?} instead of {expected:?}")),
                },
            }
        }
        Ok(())
    }

    /// Whether it has heard all it was to hear.
    pub fn is_satisfied(&self) -> bool {
        self.expected.is_empty() && self.ear.is_between()
    }
}

/// The code of a Close frame that ends a connection for this reason.
pub fn code_of(reason: CloseReason) -> u16 {
    use LocalReason::*;
    match reason {
        CloseReason::Local(Normal | IdleTimeout) => 3000,
        CloseReason::Local(Draining | Stopped) => 3001,
        CloseReason::Local(HandlerPanicked | ServerError) => 3004,
        CloseReason::Local(Expired) => 3005,
        CloseReason::Local(SubscriptionExpired) => 3006,
        CloseReason::Local(SlowConsumer) => 3008,
        CloseReason::Local(WriteTimeout) | CloseReason::Transport(_) => 3009,
        CloseReason::Local(TooManyAccepts | TooManyMessages | TooManyBytes) => 3013,
        CloseReason::Local(InsufficientState) => 3010,
        CloseReason::Local(ForcedReconnect) => 3011,
        CloseReason::Local(InvalidToken) => 3500,
        CloseReason::Local(Kicked | Custom) => 3503,
        CloseReason::Local(ChannelLimit) => 3505,
        CloseReason::Local(TooManyErrors) => 3509,
        CloseReason::Local(TooManyConnections | TooManyFromIp) => 3504,
        CloseReason::Local(Unauthorised | UntrustedProxy | OriginRefused) => 3507,
        CloseReason::Local(Replaced) => 4500,
        CloseReason::Peer(reason) => peer_code(reason),
    }
}

fn peer_code(reason: PeerReason) -> u16 {
    use PeerReason::*;
    match reason {
        Closed | Reset => 3000,
        ProtocolError => 1002,
        InvalidText | InvalidData => 1007,
        MessageTooLarge | TooManyFragments => 1009,
        HeartbeatTimeout => 3012,
        HttpNotServed | TlsNotServed | TlsRequired | TlsFailed | BadProxyHeader | BadRequest | BadCommand => 3501,
        HandshakeTimeout => 3502,
    }
}
