//! A gateway driven as the loop of `net` drives it, a turn at a time, on a clock that moves a little with each turn.

use super::bytes::upgrade_request;
use super::sockets::Stub;
use std::hint::black_box;
use std::time::Duration;
use tidegate::config::Settings;
use tidegate::connection::{Door, Encryption, ListenWire};
use tidegate::gateway::{ConnId, Gateway, Handler, Reactor, Readiness, Seed};
use tidegate::timer::Time;
use tidegate::wire::Wire;

/// A gateway with one listener.
pub struct Rig<H> {
    reactor: Reactor<H, Stub>,
    /// Since the gateway began.
    passed: Duration,
}

/// The default `heartbeat_interval`.
const INTERVAL: Duration = Duration::from_secs(25);
/// No benchmark lasts as long, by the rig's clock: who is quiet stays.
const FOREVER: Duration = Duration::from_secs(24 * 60 * 60);

/// From one turn to the next.
const TURN: Duration = Duration::from_micros(100);

impl<H: Handler> Rig<H> {
    /// A gateway with the default settings but for heartbeats, which never come. Its peers may speak whatever a public
    /// listener takes but TLS.
    pub fn new(handler: H) -> Self {
        Self::with_heartbeats(handler, FOREVER)
    }

    /// The same with the default heartbeats as well.
    pub fn beating(handler: H) -> Self {
        Self::with_heartbeats(handler, INTERVAL)
    }

    fn with_heartbeats(handler: H, heartbeat_interval: Duration) -> Self {
        let heartbeat_timeout = Settings::timeout_for(heartbeat_interval);
        let settings = Settings { heartbeat_interval, heartbeat_timeout, ..Settings::default() };
        let gateway = Gateway::new(handler, settings, Seed { jitter: 1, ids: 2 }, Time::ZERO);
        let mut reactor = Reactor::new(gateway.expect("the defaults are in order"), Stub::default());
        reactor.gateway_mut().set_unix_time(1_800_000_000_000, Time::ZERO);
        let wire = ListenWire::Auto;
        reactor.add_listener(Door { wire, http: true, encryption: Encryption::None, proxy: false, local: false });
        Self { reactor, passed: Duration::ZERO }
    }

    pub fn sockets(&mut self) -> &mut Stub {
        self.reactor.sockets_mut()
    }

    pub fn handler(&self) -> &H {
        self.reactor.gateway().handler()
    }

    pub fn connections(&self) -> usize {
        self.reactor.gateway().connection_count()
    }

    /// Lets so many peers in, which have said nothing.
    pub fn accept(&mut self, count: usize) -> Vec<ConnId> {
        self.sockets().knock(count);
        self.reactor.on_acceptable(0);
        while self.sockets().opened.len() < count {
            self.turn(&[]);
        }
        std::mem::take(&mut self.sockets().opened)
    }

    /// Lets one peer in.
    pub fn let_in(&mut self) -> ConnId {
        self.sockets().knock(1);
        self.reactor.on_acceptable(0);
        self.turn(&[]);
        self.sockets().opened.pop().expect("there is room for it")
    }

    /// Lets so many peers in that speak this wire, and have said the first by which it is known.
    pub fn connect(&mut self, wire: Wire, path: &str, count: usize) -> Vec<ConnId> {
        let first = match wire {
            Wire::WebSocket => upgrade_request(path),
            Wire::Length => vec![0, 0, 0, 1, b'x'],
            Wire::Line | Wire::Raw => b"x\n".to_vec(),
        };
        let ids = self.accept(count);
        ids.iter().for_each(|id| self.say(*id, &first));
        self.sockets().take_sent_bytes();
        ids
    }

    /// One connection says this, in a turn of its own.
    pub fn say(&mut self, id: ConnId, bytes: &[u8]) {
        self.sockets().say(bytes);
        self.turn(&[id]);
    }

    /// The same, and what is sent to anybody for it.
    pub fn ask(&mut self, id: ConnId, bytes: &[u8]) -> Vec<u8> {
        self.sockets().keep();
        self.say(id, bytes);
        self.sockets().take_kept()
    }

    /// A turn of the loop in which these connections can be read from.
    pub fn turn(&mut self, readable: &[ConnId]) {
        const READABLE: Readiness = Readiness { readable: true, writable: false, closing: false };
        self.passed += TURN;
        let now = Time::from_millis(self.passed.as_millis() as u64);
        self.reactor.begin_turn(now);
        for id in readable {
            self.reactor.on_event(*id, READABLE, now);
        }
        self.reactor.on_batch(readable.len());
        self.reactor.end_turn(now);
        black_box(self.reactor.poll_timeout(now));
    }

    /// Lets the default `heartbeat_interval` pass, and what a timer may be late.
    pub fn pass_an_interval(&mut self) {
        self.passed += INTERVAL + Duration::from_millis(20);
    }
}
