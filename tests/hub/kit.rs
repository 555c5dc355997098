//! A hub on a gateway over pipes in memory: documents in, documents out, on a clock that the test moves.

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::io::{self, ErrorKind, IoSlice};
use std::time::Duration;
use tidegate::apps::HubApp;
use tidegate::config::{HubSettings, Settings};
use tidegate::connection::ListenWire;
use tidegate::engine::{EngineSettings, MemoryEngine};
use tidegate::gateway::{ConnId, Gateway, Peer, Reactor, Readiness, Received, Seed, Sockets};
use tidegate::hub::Hub;
use tidegate::timer::Time;
use tidegate::wire::Wire;

pub type App = HubApp<MemoryEngine>;

/// Unix time at the rig's first moment, in seconds.
pub const BEGAN: u64 = 1_800_000_000;

#[derive(Default)]
pub struct Pipes {
    waiting: VecDeque<Peer>,
    ends: HashMap<ConnId, End>,
}

struct End {
    arriving: Vec<u8>,
    closed_by_peer: bool,
    sent: Vec<u8>,
    room: usize,
    shut: bool,
}

impl Sockets for Pipes {
    type Socket = ();

    fn accept(&mut self, _: usize) -> io::Result<((), Peer)> {
        self.waiting.pop_front().map(|peer| ((), peer)).ok_or(ErrorKind::WouldBlock.into())
    }

    fn attach(&mut self, id: ConnId, (): ()) -> io::Result<()> {
        let end = End { arriving: Vec::new(), closed_by_peer: false, sent: Vec::new(), room: usize::MAX, shut: false };
        self.ends.insert(id, end);
        Ok(())
    }

    fn read(&mut self, id: ConnId, buffer: &mut [u8]) -> io::Result<Received> {
        let end = self.ends.get_mut(&id).ok_or(ErrorKind::NotConnected)?;
        let count = end.arriving.len().min(buffer.len());
        if count == 0 && !end.closed_by_peer {
            return Err(ErrorKind::WouldBlock.into());
        }
        buffer[..count].copy_from_slice(&end.arriving[..count]);
        end.arriving.drain(..count);
        Ok(Received::of(count, buffer.len()))
    }

    fn write(&mut self, id: ConnId, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let end = self.ends.get_mut(&id).ok_or(ErrorKind::NotConnected)?;
        let mut count = 0;
        for slice in slices {
            let part = slice.len().min(end.room);
            end.sent.extend_from_slice(&slice[..part]);
            end.room -= part;
            count += part;
        }
        if count == 0 { Err(ErrorKind::WouldBlock.into()) } else { Ok(count) }
    }

    fn shut_down(&mut self, id: ConnId) {
        self.ends.entry(id).and_modify(|end| end.shut = true);
    }

    fn close(&mut self, id: ConnId) {
        self.ends.remove(&id);
    }
}

/// A hub and those who talk with it, each on a line wire.
pub struct Rig {
    pub reactor: Reactor<App, Pipes>,
    pub now: Time,
}

impl Rig {
    /// A hub with these settings and the default ones of a gateway.
    pub fn new(change: impl FnOnce(&mut HubSettings)) -> Self {
        Self::with(change, |_| {})
    }

    pub fn with(change: impl FnOnce(&mut HubSettings), change_gateway: impl FnOnce(&mut Settings)) -> Self {
        Self::build(change, change_gateway, |_| {})
    }

    /// An insecure hub that tells `subscribers` of a channel's in one turn, and flushes half as many.
    pub fn in_slices(subscribers: usize, change: impl FnOnce(&mut HubSettings)) -> Self {
        let insecure = |settings: &mut HubSettings| {
            settings.insecure = true;
            change(settings);
        };
        let mut rig = Self::build(insecure, |_| {}, |hub| hub.limit_slice(subscribers));
        rig.reactor.limit_flushes(subscribers / 2);
        rig
    }

    fn build(
        change: impl FnOnce(&mut HubSettings),
        change_gateway: impl FnOnce(&mut Settings),
        change_hub: impl FnOnce(&mut Hub<MemoryEngine>),
    ) -> Self {
        let (mut hub, mut settings) = (HubSettings::default(), Settings::default());
        change(&mut hub);
        change_gateway(&mut settings);
        let seed = Cell::new(0x1234_5678_9abc_def0_u64);
        let next = move || {
            seed.set(seed.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
            seed.get()
        };
        let engine = MemoryEngine::new(&EngineSettings::from(&hub), Box::new(next.clone()), Time::ZERO);
        let secrets = Box::new(move || u128::from(next()) << 64 | u128::from(next()));
        let mut hub = Hub::new(hub, engine, secrets).expect("settings in order");
        change_hub(&mut hub);
        let app = HubApp::new(hub);
        let gateway = Gateway::new(app, settings, Seed { jitter: 1, ids: 2 }, Time::ZERO).expect("settings in order");
        let mut reactor = Reactor::new(gateway, Pipes::default());
        reactor.gateway_mut().set_unix_time(BEGAN * 1000, Time::ZERO);
        reactor.add_listener(ListenWire::Fixed(Wire::Line));
        Self { reactor, now: Time::ZERO }
    }

    /// A hub that asks nobody for anything.
    pub fn insecure() -> Self {
        Self::new(|settings| settings.insecure = true)
    }

    /// A new connection.
    pub fn open(&mut self) -> ConnId {
        let before: Vec<ConnId> = self.pipes().ends.keys().copied().collect();
        self.pipes().waiting.push_back(Peer::Tcp("192.0.2.1:1".parse().expect("an address")));
        self.reactor.on_acceptable(0);
        self.turn();
        self.pipes().ends.keys().copied().find(|id| !before.contains(id)).expect("it was let in")
    }

    /// A new connection that has connected; what it was told is forgotten.
    pub fn client(&mut self) -> ConnId {
        let id = self.open();
        let told = self.ask(id, r#"{"id":1,"connect":{}}"#);
        assert!(told[0].contains(r#""connect":{"client":"#), "{told:?}");
        id
    }

    /// Says documents and gives back what the connection was told.
    pub fn ask(&mut self, id: ConnId, documents: &str) -> Vec<String> {
        self.say(id, documents);
        self.told(id)
    }

    /// Says documents, in one turn of the loop after which others may be wanted at once.
    pub fn say_in_one_turn(&mut self, id: ConnId, documents: &str) {
        self.put(id, documents);
        self.reactor.begin_turn(self.now);
        self.reactor.on_event(id, Readiness { readable: true, ..Readiness::default() }, self.now);
        self.reactor.end_turn(self.now);
    }

    /// One turn without an event; whether another is wanted at once.
    pub fn one_turn(&mut self) -> bool {
        self.reactor.begin_turn(self.now);
        self.reactor.end_turn(self.now);
        self.reactor.poll_timeout(self.now).is_some_and(|due| due <= self.now)
    }

    /// Says documents.
    pub fn say(&mut self, id: ConnId, documents: &str) {
        self.put(id, documents);
        self.ready(id, Readiness { readable: true, ..Readiness::default() });
    }

    fn put(&mut self, id: ConnId, documents: &str) {
        let bytes = format!("{documents}\n").into_bytes();
        if let Some(end) = self.pipes().ends.get_mut(&id) {
            end.arriving.extend_from_slice(&bytes);
        }
    }

    /// What a connection was told since it was last asked.
    pub fn told(&mut self, id: ConnId) -> Vec<String> {
        let sent = self.pipes().ends.get_mut(&id).map(|end| std::mem::take(&mut end.sent)).unwrap_or_default();
        let text = String::from_utf8(sent).expect("documents are text");
        text.lines().map(ToOwned::to_owned).collect()
    }

    /// Whether its end is decided and told.
    pub fn is_gone(&mut self, id: ConnId) -> bool {
        self.pipes().ends.get(&id).is_none_or(|end| end.shut)
    }

    /// The connection takes so many bytes more.
    pub fn set_room(&mut self, id: ConnId, room: usize) {
        if let Some(end) = self.pipes().ends.get_mut(&id) {
            end.room = room;
        }
        self.ready(id, Readiness { writable: true, ..Readiness::default() });
    }

    /// The peer goes without a word.
    pub fn cut(&mut self, id: ConnId) {
        if let Some(end) = self.pipes().ends.get_mut(&id) {
            end.closed_by_peer = true;
        }
        self.ready(id, Readiness { readable: true, closing: true, ..Readiness::default() });
        self.turn();
    }

    /// Time passes.
    pub fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            let due = self.reactor.poll_timeout(self.now).unwrap_or(until);
            self.now = due.clamp(self.now + Duration::from_millis(1), until);
            self.turn();
        }
    }

    pub fn app(&self) -> &App {
        self.reactor.gateway().handler()
    }

    fn pipes(&mut self) -> &mut Pipes {
        self.reactor.sockets_mut()
    }

    fn ready(&mut self, id: ConnId, readiness: Readiness) {
        self.reactor.begin_turn(self.now);
        self.reactor.on_event(id, readiness, self.now);
        self.reactor.end_turn(self.now);
        self.turn();
    }

    fn turn(&mut self) {
        for _ in 0..10_000 {
            if !self.one_turn() {
                return;
            }
        }
        panic!("the loop spins");
    }
}
