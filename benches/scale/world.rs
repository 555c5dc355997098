//! A reactor over stub sockets on a virtual clock, driven as `net` drives it: batches of events, then the end of a turn.

use crate::meter::{Tally, cpu};
use crate::stub::Stub;
use std::time::Duration;
use tidegate::config::Settings;
use tidegate::connection::{Door, ListenWire};
use tidegate::gateway::{AHEAD, ConnId, Gateway, Handler, MAX_EVENTS, Reactor, Readiness, Seed};
use tidegate::timer::{Jitter, Time};
use tidegate::wire::Wire;

pub const READABLE: Readiness = Readiness { readable: true, writable: false, closing: false };
pub const CLOSING: Readiness = Readiness { readable: true, writable: true, closing: true };
const TICK: Duration = Duration::from_millis(10);
pub const INTERVAL: Duration = Duration::from_secs(25);
/// Peers accepted in a turn at most, so that memory for those noted is there before.
const ACCEPTS: usize = 256;

pub struct World<H: Handler> {
    pub reactor: Reactor<H, Stub>,
    pub now: Time,
    pub ids: Vec<ConnId>,
    pub jitter: Jitter,
    /// Events a turn.
    pub batch: usize,
    /// Where the walk over connections in no order is.
    walked: usize,
    order: Vec<u32>,
}

/// Heartbeats of one interval.
pub struct Beats {
    pub tally: Tally,
    pub beats: u64,
    /// CPU of the busiest second of the interval, as a share of a core.
    pub busiest: f64,
}

impl<H: Handler> World<H> {
    pub fn new(handler: H, size: usize, wire: Wire, batch: usize) -> Self {
        // A few more than are counted: back ends.
        let settings = Settings { max_connections: size + 10_000, ..Settings::default() };
        let gateway = Gateway::new(handler, settings, Seed { jitter: 1, ids: 2 }, Time::ZERO).expect("in order");
        let mut reactor = Reactor::new(gateway, Stub::default());
        reactor.gateway_mut().set_unix_time(1_800_000_000_000, Time::ZERO);
        reactor.add_listener(Door { local: true, http: true, ..Door::from(ListenWire::Fixed(wire)) });
        // All of the bench's own memory is touched before any is measured.
        let (mut ids, written) = (vec![ConnId::from_bits(1); size], vec![ConnId::from_bits(1); size + ACCEPTS]);
        ids.clear();
        let mut jitter = Jitter::new(7);
        let mut order: Vec<u32> = (0..u32::try_from(size).expect("a size in 32 bits")).collect();
        for last in (1..order.len()).rev() {
            order.swap(last, jitter.below(last as u64 + 1) as usize);
        }
        let stub = reactor.sockets_mut();
        stub.written = written;
        stub.written.clear();
        stub.accepted.reserve(ACCEPTS);
        Self { reactor, now: Time::ZERO, ids, jitter, batch: batch.min(MAX_EVENTS), walked: 0, order }
    }

    pub fn stub(&mut self) -> &mut Stub {
        self.reactor.sockets_mut()
    }

    /// One turn with these events.
    pub fn turn<I: IntoIterator<Item = ConnId>>(
        &mut self,
        tally: &mut Tally,
        events: I,
        readiness: Readiness,
        mut prepare: impl FnMut(&mut Stub, ConnId),
    ) -> usize {
        let (now, began, mut count) = (self.now, cpu(), 0_usize);
        self.reactor.begin_turn(now);
        let events: Vec<ConnId> = events.into_iter().collect();
        let mut ahead = events.iter().copied();
        for id in events.iter().copied() {
            if count.is_multiple_of(AHEAD) {
                self.reactor.expect(ahead.by_ref().take(AHEAD));
            }
            prepare(self.reactor.sockets_mut(), id);
            self.reactor.on_event(id, readiness, now);
            count += 1;
        }
        self.reactor.on_batch(count);
        self.reactor.end_turn(now);
        tally.turn(count, cpu() - began);
        count
    }

    /// The next connections of the walk, as many as one wait gives.
    pub fn batch(&mut self, most: usize) -> Vec<ConnId> {
        let count = self.batch.min(most);
        let picked =
            (0..count).map(|nth| self.ids[self.order[(self.walked + nth) % self.ids.len()] as usize]).collect();
        self.walked = (self.walked + count) % self.ids.len();
        picked
    }

    /// The first `count` connections once each, in no order, in turns of up to a batch; `prepare` is told which one it is.
    pub fn each(&mut self, count: usize, readiness: Readiness, mut prepare: impl FnMut(&mut Stub, usize)) -> Tally {
        let mut tally = Tally::default();
        let order = std::mem::take(&mut self.order);
        let picked: Vec<usize> = order.iter().map(|nth| *nth as usize).filter(|nth| *nth < count).collect();
        self.order = order;
        for part in picked.chunks(self.batch) {
            let batch: Vec<ConnId> = part.iter().map(|nth| self.ids[*nth]).collect();
            let mut nths = part.iter();
            self.turn(&mut tally, batch, readiness, |stub, _| {
                prepare(stub, *nths.next().expect("one for each event"));
            });
            if tally.turns.is_multiple_of(8) {
                self.now += Duration::from_millis(1);
            }
        }
        tally
    }

    /// Rounds of events on random connections, each of which reads the same.
    #[inline(never)]
    pub fn rounds(&mut self, rounds: usize, events: usize, bytes: &[u8]) -> Tally {
        let mut tally = Tally::default();
        for _ in 0..rounds {
            let mut done = 0;
            while done < events {
                let batch = self.batch(events - done);
                done += self.turn(&mut tally, batch, READABLE, |stub, _| stub.prepare(bytes));
            }
            tally.end_round();
        }
        tally
    }

    /// `count` peers come; each that asks for an upgrade sends it in the turn after its accept.
    pub fn open(&mut self, count: usize, first: Option<&[u8]>) -> (Tally, Vec<ConnId>) {
        let (mut tally, mut opened) = (Tally::default(), Vec::with_capacity(count));
        self.stub().waiting = count;
        self.reactor.on_acceptable(0);
        let mut greeted = 0;
        loop {
            let before = std::mem::take(&mut self.stub().accepted);
            let come = before.len();
            opened.extend_from_slice(&before);
            let events = if first.is_some() { before } else { Vec::new() };
            self.turn(&mut tally, events, READABLE, |stub, _| stub.prepare(first.unwrap_or_default()));
            greeted += come;
            if greeted == count {
                break;
            }
            if tally.turns.is_multiple_of(4) {
                self.now += Duration::from_millis(1);
            }
        }
        // A connection is what is counted, not its events.
        tally.events = count as u64;
        (tally, opened)
    }

    /// Time passes with nothing but heartbeats: `asks` of the peers in each interval, and what the gateway asks is
    /// answered in the next turn.
    #[inline(never)]
    pub fn beat(&mut self, length: Duration, asks: Option<&[u8]>, answer: &[u8]) -> Beats {
        let mut beats = Beats { tally: Tally::default(), beats: 0, busiest: 0.0 };
        let (began, mut asked, mut waiting) = (self.now, 0, Vec::new());
        let (mut second, mut second_busy) = (0, Duration::ZERO);
        self.stub().listens = asks.is_none();
        while self.now < began + length {
            let rest = waiting.split_off(self.batch.min(waiting.len()));
            let (mut events, mut bytes) = (std::mem::replace(&mut waiting, rest), answer);
            if let Some(ask) = asks {
                let passed = self.now.saturating_since(began).as_millis();
                let due = (passed * self.ids.len() as u128 / INTERVAL.as_millis()) as usize;
                events = self.batch(due - asked);
                asked += events.len();
                bytes = ask;
            }
            beats.beats += events.len() as u64;
            let busy = beats.tally.busy;
            self.turn(&mut beats.tally, events, READABLE, |stub, _| stub.prepare(bytes));
            second_busy += beats.tally.busy - busy;
            waiting.append(&mut self.stub().written);
            self.advance(&waiting, asks.is_some());
            let passed = self.now.saturating_since(began).as_secs();
            if passed > second {
                beats.busiest = beats.busiest.max(second_busy.as_secs_f64() / (passed - second) as f64);
                (second, second_busy) = (passed, Duration::ZERO);
            }
        }
        // Whoever was asked last answers as well.
        while !waiting.is_empty() {
            let rest = waiting.split_off(self.batch.min(waiting.len()));
            let events = std::mem::replace(&mut waiting, rest);
            beats.beats += events.len() as u64;
            self.turn(&mut beats.tally, events, READABLE, |stub, _| stub.prepare(answer));
        }
        self.stub().listens = false;
        self.stub().written.clear();
        beats
    }

    /// On to when the loop would wake.
    fn advance(&mut self, waiting: &[ConnId], peers_ask: bool) {
        let next = self.reactor.poll_timeout(self.now).unwrap_or(self.now + TICK);
        let latest = self.now + TICK;
        if !waiting.is_empty() && next > self.now {
            // Answers come before anything else is due.
            self.now += Duration::from_millis(1);
        } else if peers_ask {
            self.now = next.max(self.now + Duration::from_millis(1)).min(latest);
        } else {
            self.now = next.max(self.now);
        }
    }

    /// Turns until nothing is left over.
    pub fn settle(&mut self, tally: &mut Tally) {
        while self.reactor.poll_timeout(self.now).is_some_and(|at| at <= self.now) {
            self.turn(tally, [], READABLE, |_, _| {});
        }
    }

    /// Nothing was lost on the way.
    pub fn check(&self, open: usize) {
        let gateway = self.reactor.gateway();
        assert_eq!(gateway.connection_count(), open, "connections: {:?}", gateway.counters());
        assert_eq!(gateway.counters().handler_panics, 0);
    }
}
