//! Paths through the hub: the engine in memory, clients on WebSocket, everybody on one channel with a history.

use super::bytes::{frame, text_frame, upgrade_request};
use super::rig::Rig;
use super::{Step, warmed_up};
use tidegate::apps::HubApp;
use tidegate::config::{HubSettings, Namespace};
use tidegate::engine::{EngineSettings, MemoryEngine};
use tidegate::gateway::ConnId;
use tidegate::hub::{Hub, HubCounters};
use tidegate::timer::{Jitter, Time};
use tidegate::wire::Wire;
use tidegate::wire::websocket::Opcode;

/// A hub that asks nobody for a token, and its clients.
struct HubRig {
    rig: Rig<HubApp<MemoryEngine>>,
}

/// Where clients ask for their WebSocket.
const PATH: &str = "/connection/websocket";
/// Publications that the channel's history keeps: few, so that it is full soon and stays so.
const HISTORY: usize = 16;

const CONNECT: &[u8] = br#"{"id":1,"connect":{}}"#;
const SUBSCRIBE: &[u8] = br#"{"id":2,"subscribe":{"channel":"news"}}"#;

/// A turn in which one client publishes 128 bytes, so many times with one read, to so many others.
pub fn publications(subscribers: usize, at_once: usize) -> Step {
    let mut hub = HubRig::new();
    hub.subscribers(subscribers);
    let publisher = hub.publisher();
    hub.rig.sockets().say(&text_frame(&publish()).repeat(at_once));
    let (mut deliveries, each) = (hub.counters().deliveries, (subscribers * at_once) as u64);
    warmed_up(move || {
        hub.rig.turn(&publisher);
        deliveries += each;
        assert_eq!(hub.counters().deliveries, deliveries);
    })
}

/// One of so many connections after the other becomes a client that hears of the channel. It can be done so many times.
pub fn newcomers(count: usize) -> Step {
    let mut hub = HubRig::new();
    hub.subscribers(16);
    let mut fresh = hub.rig.connect(Wire::WebSocket, PATH, count);
    let both = [text_frame(CONNECT), text_frame(SUBSCRIBE)];
    Box::new(move || {
        let id = fresh.pop().expect("it is not done more often");
        both.iter().for_each(|said| hub.rig.say(id, said));
    })
}

/// The whole life of a client: accepted, upgraded, connected, subscribed, gone. Others hear of the channel.
pub fn life_in_the_hub() -> Step {
    let mut hub = HubRig::new();
    hub.subscribers(16);
    let close = frame(true, Opcode::Close, &1000_u16.to_be_bytes());
    let said = [upgrade_request(PATH), text_frame(CONNECT), text_frame(SUBSCRIBE), close];
    warmed_up(move || {
        let id = hub.rig.let_in();
        said.iter().for_each(|said| hub.rig.say(id, said));
        hub.rig.sockets().end();
        hub.rig.turn(&[id]);
        assert_eq!(hub.rig.connections(), 16, "it is gone");
    })
}

/// A client unsubscribes, and subscribes again from where the channel was sixteen publications ago.
pub fn recoveries() -> Step {
    let mut hub = HubRig::new();
    let returning = hub.subscribers(1)[0];
    hub.publisher();
    let leave = text_frame(br#"{"id":3,"unsubscribe":{"channel":"news"}}"#);
    hub.rig.say(returning, &leave);
    let told = hub.rig.ask(returning, &text_frame(SUBSCRIBE));
    let epoch = behind(&told, r#""epoch":""#);
    let top: usize = behind(&told, r#""offset":"#).parse().expect("an offset");
    let back = format!(
        r#"{{"id":4,"subscribe":{{"channel":"news","recover":true,"epoch":"{epoch}","offset":{}}}}}"#,
        top - HISTORY
    );
    let back = text_frame(back.as_bytes());
    let mut step = move || {
        hub.rig.say(returning, &leave);
        hub.rig.say(returning, &back);
        hub.counters().recovered
    };
    let before = step();
    assert_eq!(step(), before + 1);
    warmed_up(move || {
        step();
    })
}

/// Heartbeats of so many quiet clients: their timers ring in one turn, all are asked, all answer in the next.
pub fn hub_heartbeats(clients: usize) -> Step {
    let mut hub = HubRig { rig: Rig::beating(app()) };
    let ids = hub.clients(clients);
    hub.rig.sockets().take_sent_bytes();
    hub.rig.sockets().say(&text_frame(b"{}"));
    let mut asked = move || {
        hub.rig.pass_an_interval();
        hub.rig.turn(&[]);
        hub.rig.turn(&ids);
        hub.rig.sockets().take_sent_bytes() / Wire::WebSocket.encoded_len(b"{}".len())
    };
    assert_eq!((asked(), asked()), (clients, clients));
    warmed_up(move || assert_eq!(asked(), clients))
}

impl HubRig {
    fn new() -> Self {
        Self { rig: Rig::new(app()) }
    }

    /// So many clients that have connected.
    fn clients(&mut self, count: usize) -> Vec<ConnId> {
        let ids = self.rig.connect(Wire::WebSocket, PATH, count);
        ids.iter().for_each(|id| self.rig.say(*id, &text_frame(CONNECT)));
        ids
    }

    /// So many clients that hear of the channel.
    fn subscribers(&mut self, count: usize) -> Vec<ConnId> {
        let ids = self.clients(count);
        ids.iter().for_each(|id| self.rig.say(*id, &text_frame(SUBSCRIBE)));
        ids
    }

    /// A client that has published until the history was full and every buffer had its size.
    fn publisher(&mut self) -> Vec<ConnId> {
        let ids = self.clients(1);
        (0..2 * HISTORY).for_each(|_| self.rig.say(ids[0], &text_frame(&publish())));
        ids
    }

    fn counters(&self) -> &HubCounters {
        self.rig.handler().hub().counters()
    }
}

fn app() -> HubApp<MemoryEngine> {
    let default_namespace = Namespace { history_size: HISTORY, ..HubSettings::default().default_namespace };
    let settings = HubSettings { insecure: true, default_namespace, ..HubSettings::default() };
    let (mut epochs, mut secrets) = (Jitter::new(3), Jitter::new(4));
    let epochs = Box::new(move || epochs.next_u64());
    let engine = MemoryEngine::new(&EngineSettings::from(&settings), epochs, Time::ZERO);
    let secrets = Box::new(move || u128::from(secrets.next_u64()) << 64 | u128::from(secrets.next_u64()));
    HubApp::new(Hub::new(settings, engine, secrets).expect("settings in order"))
}

/// The command that publishes 128 bytes of data.
pub fn publish() -> Vec<u8> {
    let data = "x".repeat(126);
    format!(r#"{{"id":3,"publish":{{"channel":"news","data":"{data}"}}}}"#).into_bytes()
}

/// The letters and digits that follow `name`.
fn behind(told: &[u8], name: &str) -> String {
    let told = String::from_utf8_lossy(told);
    let rest = told.split_once(name).expect("it was told").1;
    rest.chars().take_while(char::is_ascii_alphanumeric).collect()
}
