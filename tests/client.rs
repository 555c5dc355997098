//! The dialer against the loop on real sockets, over WebSocket and through TLS. Every wait has a limit; nothing here is
//! timed.

#![cfg(all(feature = "websocket", feature = "tls"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tidegate::client::{ClientOptions, EndReason, Event};
use tidegate::config::Settings;
use tidegate::connection::{CloseReason, LocalReason, PeerReason};
use tidegate::gateway::{ConnId, Context, Handler};
use tidegate::net::{Dialer, EventLoop, Handle, ListenOptions, TlsFiles};
use tidegate::wire::{Message, OwnedMessage};

const PATIENCE: Duration = Duration::from_secs(30);

/// Sends everything back and tells how connections end.
struct Witness {
    ends: mpsc::Sender<CloseReason>,
}

impl Handler for Witness {
    fn on_message(&mut self, cx: &mut Context<'_>, id: ConnId, message: Message<'_>) {
        let _ = cx.send(id, message);
    }

    fn on_closed(&mut self, _: &mut Context<'_>, _: ConnId, reason: CloseReason) {
        let _ = self.ends.send(reason);
    }
}

/// A loop in a thread of its own; stopped and joined when dropped.
struct Server {
    handle: Handle<Witness>,
    ends: mpsc::Receiver<CloseReason>,
    port: u16,
    ca: PathBuf,
    thread: Option<JoinHandle<std::io::Result<()>>>,
}

impl Server {
    /// On `auto://`, with a certificate for localhost.
    fn start(change: impl FnOnce(&mut Settings) + Send + 'static) -> Self {
        let folder =
            std::env::temp_dir().join(format!("tidegate-client-{}-{:?}", std::process::id(), thread::current().id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (ca, files) = write_certificates(&folder);
        let ((tell, told), (ends, told_ends)) = (mpsc::channel(), mpsc::channel());
        let thread = thread::Builder::new().spawn(move || {
            let mut settings = Settings { drain_window: Duration::ZERO, ..Settings::default() };
            change(&mut settings);
            let mut event_loop = EventLoop::new(Witness { ends }, settings).unwrap();
            event_loop.serve_tls(files).unwrap();
            let url = event_loop.listen(&"auto://127.0.0.1:0".parse().unwrap(), ListenOptions::default()).unwrap();
            tell.send((event_loop.handle(), url)).unwrap();
            event_loop.run()
        });
        let (handle, url) = told.recv_timeout(PATIENCE).unwrap();
        let (_, port) = url.tcp_address().unwrap().rsplit_once(':').unwrap();
        Self { handle, ends: told_ends, port: port.parse().unwrap(), ca, thread: Some(thread.unwrap()) }
    }

    fn dial(&self, scheme: &str, options: ClientOptions) -> Dialer {
        let url = format!("{scheme}://localhost:{}", self.port).parse().unwrap();
        Dialer::trusting(&self.ca, url, options).unwrap()
    }

    fn connect(&self, scheme: &str, options: ClientOptions) -> Dialer {
        let mut dialer = self.dial(scheme, options);
        assert_eq!(next(&mut dialer), Event::Connected { attempt: 1, resumed_after: None }, "{scheme}");
        dialer
    }

    /// Closes all connections for this reason.
    fn close_all(&self, reason: CloseReason) {
        self.handle
            .run(move |_, cx| {
                let all: Vec<ConnId> = cx.connections().map(|connection| connection.id).collect();
                all.into_iter().for_each(|id| cx.close(id, reason));
            })
            .unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.handle.stop();
        if let Some(thread) = self.thread.take().filter(|_| !thread::panicking()) {
            thread.join().unwrap().unwrap();
        }
        let _ = std::fs::remove_dir_all(self.ca.parent().unwrap());
    }
}

/// An authority's certificate, and one that it issued for localhost.
fn write_certificates(folder: &std::path::Path) -> (PathBuf, TlsFiles) {
    let write = |name: &str, text: &str| {
        std::fs::write(folder.join(name), text).unwrap();
        folder.join(name)
    };
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_certificate = ca.self_signed(&ca_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
    let files = TlsFiles {
        certificate: write("server.pem", &certificate.pem()),
        key: write("server.key", &key.serialize_pem()),
        client_ca: None,
        require_client_certificate: false,
    };
    (write("ca.pem", &ca_certificate.pem()), files)
}

/// Quick to come back, and silent but for what a test sends.
fn quick() -> ClientOptions {
    let backoff = Duration::from_millis(1);
    ClientOptions {
        heartbeat_interval: Duration::ZERO,
        backoff_min: backoff,
        backoff_max: backoff,
        ..ClientOptions::default()
    }
}

fn next(dialer: &mut Dialer) -> Event {
    dialer.poll(Some(PATIENCE)).unwrap().expect("an event in time")
}

/// The next message, whatever else happens.
fn next_message(dialer: &mut Dialer) -> OwnedMessage {
    loop {
        match next(dialer) {
            Event::Message(message) => return message,
            Event::Kept { .. } | Event::Connected { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

const BOTH: [&str; 2] = ["ws", "wss"];

#[test]
fn messages_of_every_kind_and_length_come_back_as_they_went() {
    let server = Server::start(|settings| {
        settings.max_message_bytes = 1 << 20;
        settings.write_queue_hard_bytes = Settings::hard_bytes_for(1 << 20);
    });
    for (scheme, deflate) in BOTH.into_iter().flat_map(|scheme| [(scheme, false), (scheme, true)]) {
        let options = ClientOptions { deflate, max_message_bytes: 1 << 20, max_outbox_bytes: 16 << 20, ..quick() };
        let mut dialer = server.connect(scheme, options);
        let noise: Vec<u8> = (0..1u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 23) as u8).collect();
        for len in [0, 1, 125, 126, 1023, 1024, 65_535, 65_536, 1 << 20] {
            let text = OwnedMessage::text("grün".repeat(len)[..len / 5 * 5].to_owned());
            for message in [text, OwnedMessage::binary(noise[..len].to_vec())] {
                dialer.send(message.clone()).unwrap();
                assert!(next_message(&mut dialer) == message, "{scheme}, {len} bytes, deflate {deflate}");
            }
        }
    }
}

/// What TLS has encrypted ahead of a full socket is offered again as it was, although pings and messages are added
/// meanwhile; and nothing is lost, doubled or out of order.
#[test]
fn a_socket_that_is_full_most_of_the_time_loses_nothing() {
    const COUNT: u32 = 3000;
    let server = Server::start(|settings| {
        settings.write_queue_soft_bytes = 20_000;
        settings.write_queue_hard_bytes = 64 << 20;
    });
    for scheme in ["ws", "wss", "tls"] {
        let options = ClientOptions {
            heartbeat_interval: Duration::from_millis(10),
            heartbeat_timeout: PATIENCE,
            missed_limit: 10_000,
            deflate: false,
            max_outbox_messages: 10_000,
            max_outbox_bytes: 64 << 20,
            ..quick()
        };
        let mut dialer = server.connect(scheme, options);
        let handle = dialer.handle();
        let sender = thread::Builder::new().spawn(move || {
            for number in 0..COUNT {
                let len = number.wrapping_mul(2_654_435_761) as usize % 20_000;
                handle.send(format!("{number} {}", "x".repeat(len))).unwrap();
            }
        });
        for number in 0..COUNT {
            let message = next_message(&mut dialer);
            let text = std::str::from_utf8(&message).unwrap();
            assert_eq!(text.split_once(' ').unwrap().0.parse(), Ok(number), "{scheme}");
        }
        sender.unwrap().join().unwrap();
        assert_eq!(dialer.waiting_messages(), 0);
    }
}

#[test]
fn pings_keep_a_quiet_connection_and_find_out_nothing_bad() {
    let server = Server::start(|_| ());
    for scheme in BOTH {
        let options =
            ClientOptions { heartbeat_interval: Duration::from_millis(20), heartbeat_timeout: PATIENCE, ..quick() };
        let mut dialer = server.connect(scheme, options);
        assert_eq!(dialer.poll(Some(Duration::from_millis(300))).unwrap(), None, "{scheme}: two misses would end it");
        assert!(dialer.is_connected());
    }
}

#[test]
fn a_servers_code_and_words_are_told_and_say_whether_to_come_back() {
    let server = Server::start(|_| ());
    for scheme in BOTH {
        let mut dialer = server.connect(scheme, quick());
        server.close_all(CloseReason::Local(LocalReason::TooManyMessages));
        let reason = EndReason::ServerClosed { code: Some(3013), words: "too many messages".to_owned() };
        assert!(matches!(next(&mut dialer), Event::Lost { reason: told, .. } if told == reason));
        assert!(matches!(next(&mut dialer), Event::Connected { resumed_after: Some(_), .. }));
        dialer.send("back").unwrap();
        assert_eq!(next(&mut dialer), Event::Message("back".into()));
        server.close_all(CloseReason::Local(LocalReason::Replaced));
        let words = "replaced by a newer connection".to_owned();
        assert_eq!(next(&mut dialer), Event::GaveUp { reason: EndReason::ServerClosed { code: Some(4500), words } });
        assert!(dialer.is_ended());
    }
}

#[test]
fn who_stops_says_goodbye() {
    let server = Server::start(|_| ());
    for scheme in BOTH {
        let mut dialer = server.connect(scheme, quick());
        dialer.handle().stop();
        assert_eq!(next(&mut dialer), Event::Stopped);
        let end = server.ends.recv_timeout(PATIENCE).unwrap();
        assert_eq!(end, CloseReason::Peer(PeerReason::Closed), "{scheme}");
    }
}

#[test]
fn a_refusal_is_told_with_its_status_and_tried_again() {
    let server = Server::start(|_| ());
    for scheme in BOTH {
        let elsewhere = ("Origin".to_owned(), "http://elsewhere.example".to_owned());
        let mut dialer = server.dial(scheme, ClientOptions { request_fields: vec![elsewhere], ..quick() });
        for _ in 0..3 {
            assert!(matches!(next(&mut dialer), Event::AttemptFailed { reason: EndReason::Refused(403), .. }));
        }
    }
}

#[test]
fn lines_go_through_tls_too() {
    let server = Server::start(|_| ());
    let mut dialer = server.connect("tls", ClientOptions::default());
    dialer.send("a line").unwrap();
    assert_eq!(next(&mut dialer), Event::Message(b"a line".to_vec().into()));
}

#[test]
fn a_certificate_that_is_not_the_servers_own_or_not_trusted_is_refused() {
    let (server, other) = (Server::start(|_| ()), Server::start(|_| ()));
    let by_address = format!("wss://127.0.0.1:{}", server.port);
    let by_name = format!("wss://localhost:{}", server.port);
    for (url, ca) in [(by_address, &server.ca), (by_name, &other.ca)] {
        let mut dialer = Dialer::trusting(ca, url.parse().unwrap(), quick()).unwrap();
        for _ in 0..2 {
            let refused = EndReason::from(CloseReason::Peer(PeerReason::TlsFailed));
            assert!(matches!(next(&mut dialer), Event::AttemptFailed { reason, .. } if reason == refused), "{url}");
        }
    }
}

#[test]
fn an_authority_that_cannot_be_read_is_told_at_once() {
    let url = || "wss://localhost:1".parse().unwrap();
    let error = Dialer::trusting("/no/such/file".as_ref(), url(), quick()).unwrap_err().to_string();
    assert!(error.contains("/no/such/file"), "{error}");
}
