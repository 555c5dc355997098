//! Clients of the hub on WebSocket, each subscribed to a channel of ten, to one of a thousand and to one of all.

use crate::bytes;
use crate::meter::Tally;
use crate::plain::{EVENTS, ROUNDS, stand_still, tell_first_beats, tell_share};
use crate::report::{Memory, tell, tell_phase, tell_turns};
use crate::stub::Stub;
use crate::world::{Beats, CLOSING, INTERVAL, READABLE, World};
use std::cell::Cell;
use std::time::Duration;
use tidegate::apps::HubApp;
use tidegate::config::HubSettings;
use tidegate::engine::{EngineSettings, MemoryEngine};
use tidegate::gateway::{ConnId, MAX_EVENTS, Readiness};
use tidegate::hub::Hub;
use tidegate::timer::Time;
use tidegate::wire::Wire;

type App = HubApp<MemoryEngine>;

/// Who goes and comes back.
const COMING_AND_GOING: usize = 100_000;
/// Subscribers of the large channel, where it is not everybody.
const LARGE: usize = 100_000;
const CONNECT: &str = r#"{"id":1,"connect":{"name":"js","version":"5.3.0"}}"#;
const PING: &str = r#"{"id":3,"ping":{}}"#;
const PONG: &str = "{}";

struct Run {
    world: World<App>,
    size: usize,
    /// Connections of back ends.
    callers: Vec<ConnId>,
    /// Of those who come back, by the order of `World::ids`.
    secrets: Vec<[u8; 32]>,
}

pub fn run(size: usize, batch: usize) {
    let mut run = Run::new(size, batch);
    run.come();
    run.subscribe_all();
    run.serve();
    run.publish();
    run.beat();
    run.go_and_come_back();
    run.drain();
}

fn app() -> App {
    let settings = HubSettings { insecure: true, max_channels: 2_000_000, ..HubSettings::default() };
    let seed = Cell::new(0x1234_5678_9abc_def0_u64);
    let next = move || {
        seed.set(seed.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        seed.get()
    };
    let engine = MemoryEngine::new(&EngineSettings::from(&settings), Box::new(next.clone()), Time::ZERO);
    let secrets = Box::new(move || u128::from(next()) << 64 | u128::from(next()));
    HubApp::new(Hub::new(settings, engine, secrets).expect("settings in order"))
}

impl Run {
    fn new(size: usize, batch: usize) -> Self {
        let world = World::new(app(), size, Wire::WebSocket, batch);
        let secrets = vec![[1; 32]; COMING_AND_GOING.min(size)];
        Self { world, size, callers: Vec::new(), secrets }
    }

    fn memory(&self) -> Memory {
        let gateway = self.world.reactor.gateway();
        Memory::now(gateway, gateway.handler().hub().engine().held_bytes())
    }

    fn told(&self) -> [u64; 4] {
        let counters = self.world.reactor.gateway().handler().hub().counters();
        [counters.commands, counters.errors, counters.deliveries, counters.lagged]
    }

    /// They come, connect and subscribe to one channel: what an idle client of the hub takes.
    fn come(&mut self) {
        let (upgrade, connect) = (bytes::upgrade("/connection/websocket"), bytes::text(CONNECT));
        let before = self.memory();
        let (opening, mut ids) = self.world.open(self.size, Some(&upgrade));
        self.world.ids.append(&mut ids);
        tell_phase("open and handshake", &opening);
        tell_phase("connect", &self.world.each(self.size, READABLE, |stub, _| stub.prepare(&connect)));
        tell_phase("subscribe to the channel of all", &self.subscribe(self.size, |_| "all".to_owned()));
        let first = self.heartbeats(INTERVAL);
        tell_first_beats(&first);
        self.memory().tell_since(&before, "an idle client with one subscription", self.size);
    }

    fn subscribe_all(&mut self) {
        let before = self.memory();
        let size = self.size;
        let tens = self.subscribe(size, |nth| format!("ten{}", nth % (size / 10)));
        tell_phase("subscribe to a channel of ten", &tens);
        self.memory().tell_since(&before, "a subscription to a channel of ten, its channel included", self.size);
        let before = self.memory();
        let thousands = self.subscribe(size, |nth| format!("thousand{}", nth % (size / 1000)));
        tell_phase("subscribe to a channel of a thousand", &thousands);
        self.memory().tell_since(&before, "a subscription to a channel of a thousand", self.size);
        if self.size > LARGE {
            let large = self.subscribe(LARGE, |_| "large".to_owned());
            tell_phase("subscribe to a channel of 100,000", &large);
        }
        let [clients, channels, sessions, ..] = self.world.reactor.gateway().handler().hub().table_sizes();
        assert_eq!((clients, sessions, self.told()[1]), (self.size, self.size, 0));
        tell("bytes", "channels", channels);
        self.heartbeats(INTERVAL);
    }

    /// The first `count` of `ids` subscribe, in no order.
    fn subscribe(&mut self, count: usize, channel: impl Fn(usize) -> String) -> Tally {
        self.world.each(count, READABLE, |stub, nth| {
            let name = channel(nth);
            stub.prepare(&bytes::text(&format!(r#"{{"id":2,"subscribe":{{"channel":"{name}"}}}}"#)));
        })
    }

    /// Commands that are answered by the hub alone.
    fn serve(&mut self) {
        let ping = bytes::text(PING);
        self.world.rounds(1, EVENTS, &ping);
        tell_phase("command answered", &self.world.rounds(ROUNDS, EVENTS, &ping));
        assert_eq!(self.told()[1], 0, "errors");
    }

    fn publish(&mut self) {
        let (_, callers) = self.world.open(64, None);
        self.callers = callers;
        let tens = self.size / 10;
        let thousands = self.size / 1000;
        self.publications("to a channel of ten, 64 a turn", 200, 64, |pick| format!("ten{}", pick(tens)));
        self.publications("to a channel of a thousand", 100, 1, |pick| format!("thousand{}", pick(thousands)));
        if self.size > LARGE {
            self.publications("to a channel of 100,000", 5, 1, |_| "large".to_owned());
        }
        self.publications("to the channel of all", 5, 1, |_| "all".to_owned());
        assert_eq!(self.told()[3], 0, "nobody lags");
    }

    /// Back ends publish, so many in a turn.
    fn publications(
        &mut self,
        name: &str,
        turns: usize,
        each: usize,
        channel: impl Fn(&mut dyn FnMut(usize) -> usize) -> String,
    ) {
        let mut tally = Tally::default();
        let before = self.told()[2];
        for _ in 0..turns {
            let callers: Vec<ConnId> = self.callers.iter().copied().take(each).collect();
            let jitter = &mut self.world.jitter;
            let mut pick = |below: usize| jitter.below(below as u64) as usize;
            let mut asks: Vec<Vec<u8>> = (0..each).map(|_| bytes::publish(&channel(&mut pick))).collect();
            self.world.turn(&mut tally, callers, READABLE, |stub, _| {
                stub.prepare(&asks.pop().unwrap_or_default());
            });
            self.world.now += Duration::from_millis(1);
        }
        let deliveries = self.told()[2] - before;
        assert!(deliveries as usize >= turns * each * 9, "{deliveries} deliveries");
        let nanos = tally.busy.as_nanos() as f64 / deliveries as f64;
        tell("ns", &format!("delivery, published {name}"), format!("{nanos:.0}"));
        tell_turns(&format!("published {name}"), &tally);
    }

    fn heartbeats(&mut self, length: Duration) -> Beats {
        self.world.beat(length, None, &bytes::text(PONG))
    }

    fn beat(&mut self) {
        self.close_callers();
        // Commands of an interval spread the heartbeats over the next one.
        self.world.beat(INTERVAL, Some(&bytes::text(PING)), &[]);
        self.heartbeats(INTERVAL);
        let beats = self.heartbeats(2 * INTERVAL);
        tell_share(self.size, &beats);
        self.world.check(self.size);
        stand_still(&mut self.world, &bytes::text(PONG));
    }

    fn close_callers(&mut self) {
        let callers = std::mem::take(&mut self.callers);
        self.world.turn(&mut Tally::default(), callers, CLOSING, |stub, _| stub.ends = true);
    }

    /// A hundred thousand lose their connection at once, miss ten publications, and come back with their sessions.
    fn go_and_come_back(&mut self) {
        let count = self.secrets.len();
        self.learn_secrets(count);
        let gone = self.world.ids.split_off(self.size - count);
        let closing = self.in_batches(&gone, CLOSING, |stub, _| stub.ends = true);
        tell_phase("close by the peer", &closing);
        self.world.check(self.size - count);
        let (_, callers) = self.world.open(1, None);
        self.callers = callers;
        let mut tally = Tally::default();
        for _ in 0..10 {
            let caller = self.callers.clone();
            self.world.turn(&mut tally, caller, READABLE, |stub, _| stub.prepare(&bytes::publish("all")));
            self.world.now += Duration::from_millis(1);
        }
        self.close_callers();
        let before = self.memory();
        let (opening, back) = self.world.open(count, Some(&bytes::upgrade("/connection/websocket")));
        tell_turns("mass reconnect: accepts and handshakes", &opening);
        let secrets = std::mem::take(&mut self.secrets);
        let mut frame = Vec::new();
        let returning = self.in_batches(&back, READABLE, |stub, nth| {
            let secret = std::str::from_utf8(&secrets[nth]).unwrap_or_default();
            frame =
                bytes::text(&format!(r#"{{"id":1,"connect":{{"name":"js","version":"5.3.0","session":"{secret}"}}}}"#));
            stub.prepare(&frame);
        });
        self.memory().tell_since(&before, "who comes back, beyond what was freed", count);
        tell_phase("return of a session with 3 channels, 10 publications missed", &returning);
        let resumed = self.world.reactor.gateway().handler().hub().counters().resumed;
        assert_eq!(resumed, count as u64, "all came back as who they were");
        self.world.ids.extend(back);
        self.world.check(self.size);
    }

    /// Those at the end of `ids` connect anew, as the reply to a connect command names the session.
    fn learn_secrets(&mut self, count: usize) {
        let first = self.size - count;
        let old = self.world.ids.split_off(first);
        self.in_batches(&old, CLOSING, |stub, _| stub.ends = true);
        let (_, ids) = self.world.open(count, Some(&bytes::upgrade("/connection/websocket")));
        self.world.ids.extend(&ids);
        let connect = bytes::text(CONNECT);
        for (nth, id) in ids.into_iter().enumerate() {
            self.world.stub().hears = true;
            self.world.turn(&mut Tally::default(), [id], READABLE, |stub, _| stub.prepare(&connect));
            let heard = std::mem::take(&mut self.world.stub().heard);
            let at = heard.windows(11).position(|part| part == b"\"session\":\"").expect("a session") + 11;
            self.secrets[nth].copy_from_slice(&heard[at..at + 32]);
        }
        self.world.stub().hears = false;
        let (tens, thousands) = (self.size / 10, self.size / 1000);
        for part in 0..3 {
            let ids = self.world.ids[first..].to_vec();
            self.in_batches(&ids, READABLE, |stub, nth| {
                let nth = first + nth;
                let name = [format!("ten{}", nth % tens), format!("thousand{}", nth % thousands), "all".to_owned()];
                stub.prepare(&bytes::text(&format!(r#"{{"id":2,"subscribe":{{"channel":"{}"}}}}"#, name[part])));
            });
        }
        self.heartbeats(3 * INTERVAL);
    }

    fn in_batches(&mut self, ids: &[ConnId], readiness: Readiness, mut prepare: impl FnMut(&mut Stub, usize)) -> Tally {
        let (mut tally, mut nth) = (Tally::default(), 0);
        for batch in ids.chunks(self.world.batch) {
            self.world.turn(&mut tally, batch.iter().copied(), readiness, |stub, _| {
                prepare(stub, nth);
                nth += 1;
            });
            self.world.now += Duration::from_millis(1);
        }
        tally
    }

    /// The end in order: everybody is told to go within ten seconds, and goes.
    fn drain(&mut self) {
        let now = self.world.now;
        self.world.reactor.gateway_mut().begin_drain(now);
        let mut tally = Tally::default();
        while !self.world.reactor.gateway().is_drained() {
            let gone: Vec<ConnId> = {
                let shut = &mut self.world.stub().shut;
                shut.split_off(shut.len().saturating_sub(MAX_EVENTS))
            };
            self.world.turn(&mut tally, gone, CLOSING, |stub, _| stub.ends = true);
            if self.world.stub().shut.is_empty() {
                self.world.now += Duration::from_millis(10);
            }
        }
        tell_turns("drain within 10 s", &tally);
        self.world.check(0);
    }
}
