//! Clients of a hub against the hub on real sockets, over each wire, through a proxy that cuts connections. Every wait has
//! a limit; nothing here is timed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tidegate::apps::HubApp;
use tidegate::client::ClientOptions;
use tidegate::client::hub::{GapReason, HubCounts, HubEvent, HubOptions, Json, Recovery, Request, SubscribeOptions};
use tidegate::config::{HubSettings, Settings};
use tidegate::engine::{EngineSettings, MemoryEngine};
use tidegate::hub::Hub;
use tidegate::net::{EventLoop, Handle, HubDialer, ListenOptions};
use tidegate::timer::{Jitter, Time};

const PATIENCE: Duration = Duration::from_secs(30);
const WIRES: [&str; 3] = ["tcp", "line", "ws"];

/// A hub in a thread of its own; stopped and joined when dropped.
struct Server {
    handle: Handle<HubApp<MemoryEngine>>,
    port: u16,
    thread: Option<JoinHandle<std::io::Result<()>>>,
}

impl Server {
    fn start(change: impl FnOnce(&mut HubSettings) + Send + 'static) -> Self {
        let (tell, told) = mpsc::channel();
        let thread = thread::Builder::new().spawn(move || {
            let mut settings = HubSettings { insecure: true, ..HubSettings::default() };
            change(&mut settings);
            let random = || RandomState::new().hash_one(0u8);
            let engine = MemoryEngine::new(&EngineSettings::from(&settings), Box::new(random), Time::ZERO);
            let secrets = Box::new(move || u128::from(random()) << 64 | u128::from(random()));
            let app = HubApp::new(Hub::new(settings, engine, secrets).unwrap());
            let settings = Settings { drain_window: Duration::ZERO, ..Settings::default() };
            let mut event_loop = EventLoop::new(app, settings).unwrap();
            let url = event_loop.listen(&"auto://127.0.0.1:0".parse().unwrap(), ListenOptions::default()).unwrap();
            tell.send((event_loop.handle(), url)).unwrap();
            event_loop.run()
        });
        let (handle, url) = told.recv_timeout(PATIENCE).unwrap();
        let (_, port) = url.tcp_address().unwrap().rsplit_once(':').unwrap();
        Self { handle, port: port.parse().unwrap(), thread: Some(thread.unwrap()) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.handle.stop();
        if let Some(thread) = self.thread.take().filter(|_| !thread::panicking()) {
            thread.join().unwrap().unwrap();
        }
    }
}

/// Passes bytes on, and cuts each connection after some, until it has cut as many as it was told to.
struct Proxy {
    port: u16,
    cuts: Arc<AtomicUsize>,
}

impl Proxy {
    fn start(to: u16, cuts: usize, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let cuts = Arc::new(AtomicUsize::new(cuts));
        let (left, mut chance) = (cuts.clone(), Jitter::new(seed));
        aside(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), TcpStream::connect(("127.0.0.1", to)).unwrap());
                for side in [&client, &server] {
                    side.set_nodelay(true).unwrap();
                }
                let limits = [chance.below(6_000) as usize, chance.below(6_000) as usize];
                let ways = [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)];
                for ((from, to), limit) in ways.into_iter().zip(limits) {
                    let left = left.clone();
                    aside(move || pass(from, to, limit, &left));
                }
            }
        });
        Self { port, cuts }
    }
}

/// Passes bytes one way, up to the byte at which the connection is cut if there is a cut left by then.
fn pass(mut from: TcpStream, mut to: TcpStream, mut limit: usize, cuts: &AtomicUsize) {
    let mut buffer = [0; 700];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let passed = count.min(limit);
        let _ = to.write_all(&buffer[..passed]);
        let has_cut = |left: usize| left.checked_sub(1);
        if passed < count && cuts.fetch_update(Ordering::SeqCst, Ordering::SeqCst, has_cut).is_ok() {
            break;
        }
        if to.write_all(&buffer[passed..count]).is_err() {
            break;
        }
        limit = if passed < count { 3_000 } else { limit - count };
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

fn aside(act: impl FnOnce() + Send + 'static) {
    thread::Builder::new().spawn(act).unwrap();
}

/// Quick to come back.
fn dial(scheme: &str, port: u16) -> HubDialer {
    let connection = ClientOptions {
        heartbeat_interval: Duration::ZERO,
        backoff_min: Duration::from_millis(1),
        backoff_max: Duration::from_millis(20),
        ..ClientOptions::default()
    };
    let url = format!("{scheme}://127.0.0.1:{port}").parse().unwrap();
    HubDialer::new(url, HubOptions { connection, ..HubOptions::default() }).unwrap()
}

fn next(dialer: &mut HubDialer) -> HubEvent {
    dialer.poll(Some(PATIENCE)).unwrap().expect("an event in time")
}

/// The first event that is what is waited for, whatever comes before.
fn next_where<T>(dialer: &mut HubDialer, wanted: impl Fn(HubEvent) -> Option<T>) -> T {
    let mut last = None;
    for _ in 0..5_000 {
        let event = next(dialer);
        last = Some(format!("{event:?}"));
        if let Some(found) = wanted(event) {
            return found;
        }
    }
    panic!("what is waited for does not come; the last was {last:?}");
}

fn subscribed(event: HubEvent) -> Option<Recovery> {
    if let HubEvent::Subscribed { recovery, .. } = event { Some(recovery) } else { None }
}

fn published(event: HubEvent) -> Option<u64> {
    if let HubEvent::Published { offset, .. } = event { offset } else { None }
}

fn subscribe(dialer: &mut HubDialer, channel: &str) {
    dialer.client_mut().subscribe(channel, SubscribeOptions::default()).unwrap();
    assert_eq!(next_where(dialer, subscribed), Recovery::Fresh);
}

fn publish(dialer: &mut HubDialer, channel: &str, number: u64) {
    dialer.client_mut().publish(channel, Json::parse(number.to_string()).unwrap()).unwrap();
}

#[test]
fn whatever_is_cut_everything_arrives_once_and_in_order_over_every_wire() {
    const COUNT: u64 = 400;
    for (n, scheme) in WIRES.into_iter().enumerate() {
        let server = Server::start(|settings| {
            settings.default_namespace.history_size = 1000;
            settings.recovery_limit = 1000;
        });
        let ways = [Proxy::start(server.port, 12, n as u64), Proxy::start(server.port, 12, 100 + n as u64)];
        let mut subscriber = dial(scheme, ways[0].port);
        subscribe(&mut subscriber, "news");
        let mut publisher = dial(scheme, ways[1].port);
        let publishing = thread::Builder::new().spawn(move || {
            let mut settled = HashSet::new();
            for number in 1..=COUNT {
                publish(&mut publisher, "news", number);
                while publisher.client().waiting_publications() > 20 {
                    settled.extend(published(next(&mut publisher)));
                }
            }
            while settled.len() < COUNT as usize {
                settled.extend(published(next(&mut publisher)));
            }
        });
        for number in 1..=COUNT {
            let came = next_where(&mut subscriber, |event| match event {
                HubEvent::Publication { offset, data, .. } => Some((offset, data.to_string())),
                HubEvent::Gap { .. } | HubEvent::Missed { .. } | HubEvent::Doubled { .. } => panic!("{event:?}"),
                _ => None,
            });
            assert_eq!(came, (Some(number), number.to_string()), "{scheme}");
        }
        publishing.unwrap().join().unwrap();
        assert_eq!(subscriber.client().counts(), HubCounts { publications: COUNT, ..HubCounts::default() });
        let left = ways.map(|way| way.cuts.load(Ordering::SeqCst));
        assert!(left.iter().all(|&left| left < 11), "{scheme}: it was cut: {left:?}");
    }
}

#[test]
fn what_the_history_has_let_go_of_is_told_to_the_offset() {
    for scheme in WIRES {
        let server = Server::start(|settings| settings.default_namespace.history_size = 3);
        let (mut subscriber, mut publisher) = (dial(scheme, server.port), dial(scheme, server.port));
        subscribe(&mut subscriber, "news");
        publish(&mut publisher, "news", 1);
        assert_eq!(next_where(&mut publisher, published), 1);
        next_where(&mut subscriber, |event| matches!(event, HubEvent::Publication { .. }).then_some(()));
        // It goes away for the server, and misses seven publications.
        server
            .handle
            .run(|_, cx| {
                let all: Vec<_> = cx.connections().map(|connection| connection.id).collect();
                all.into_iter().for_each(|id| {
                    cx.close(id, tidegate::connection::CloseReason::Local(tidegate::connection::LocalReason::Draining))
                });
            })
            .unwrap();
        let lost = |event| matches!(event, HubEvent::Lost { .. }).then_some(());
        next_where(&mut publisher, lost);
        for number in 2..=8 {
            publish(&mut publisher, "news", number);
        }
        while next_where(&mut publisher, published) < 8 {}
        next_where(&mut subscriber, lost);
        assert_eq!(next_where(&mut subscriber, subscribed), Recovery::Gap, "{scheme}");
        let HubEvent::Gap { from: 2, to: 8, reason: GapReason::HistoryTrimmed, .. } = next(&mut subscriber) else {
            panic!("{scheme}: the gap is told with the subscription");
        };
        publish(&mut publisher, "news", 9);
        assert_eq!(next_where(&mut publisher, published), 9);
        let offset = next_where(&mut subscriber, |event| match event {
            HubEvent::Publication { offset, .. } => offset,
            _ => None,
        });
        assert_eq!((offset, subscriber.client().counts().missed), (9, 0));
    }
}

#[test]
fn sessions_are_resumed_and_questions_answered() {
    for scheme in WIRES {
        let server = Server::start(|_| ());
        let way = Proxy::start(server.port, 0, 1);
        let mut dialer = dial(scheme, way.port);
        subscribe(&mut dialer, "news");
        publish(&mut dialer, "news", 1);
        assert_eq!(next_where(&mut dialer, published), 1);
        let mut ask = |request: Request| {
            let asked = dialer.client_mut().request(&request).unwrap();
            next_where(&mut dialer, |event| match event {
                HubEvent::Answer { request, result } if request == asked => Some(result.unwrap().to_string()),
                _ => None,
            })
        };
        let stats = ask(Request::PresenceStats { channel: "news".to_owned() });
        assert!(stats.contains(r#""num_clients":1"#), "{stats}");
        assert!(ask(Request::Presence { channel: "news".to_owned() }).contains("client"));
        let history = Request::History { channel: "news".to_owned(), limit: -1, since: None, reverse: false };
        assert!(ask(history).contains(r#""data":1"#));
        way.cuts.store(1, Ordering::SeqCst);
        // More than any limit of the proxy's: it cuts when it gets there.
        let cut = (0..2000).find(|number| {
            publish(&mut dialer, "news", 2 + number);
            let event = next(&mut dialer);
            matches!(event, HubEvent::Lost { .. })
        });
        assert!(cut.is_some(), "{scheme}");
        let resumed = next_where(&mut dialer, |event| match event {
            HubEvent::Connected { resumed, .. } => Some(resumed),
            _ => None,
        });
        assert!(resumed, "{scheme}");
        assert_eq!(next_where(&mut dialer, subscribed), Recovery::Whole, "{scheme}");
    }
}

#[test]
fn who_may_not_come_in_stays_away() {
    for scheme in WIRES {
        let server = Server::start(|settings| {
            settings.insecure = false;
            settings.tokens.hmac_secrets = vec!["a secret of at least thirty-two bytes".to_owned()];
        });
        let mut dialer = dial(scheme, server.port);
        let HubEvent::GaveUp { reason } = next(&mut dialer) else { panic!("{scheme}: it comes back") };
        assert!(reason.to_string().contains("101"), "{scheme}: {reason}");
    }
}
