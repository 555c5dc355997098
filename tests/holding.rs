//! Pauses, late answers and the ends of slow readers, over real sockets, in the clear and inside TLS. Every wait has a
//! limit.

#![cfg(all(feature = "websocket", feature = "tls"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;
use tidegate::client::{ClientOptions, EndReason, Event};
use tidegate::config::Settings;
use tidegate::connection::{CloseReason, LocalReason};
use tidegate::gateway::{ConnId, Context, Handler, Reply, Request};
use tidegate::net::{Dialer, EventLoop, Handle, ListenOptions, TlsFiles};
use tidegate::wire::http::{Response, Status};
use tidegate::wire::{Message, Prepared};

const PATIENCE: Duration = Duration::from_secs(20);
/// How long somebody else takes, whom the handler has to wait for.
const WORK: Duration = Duration::from_millis(20);

/// Answers each message, and each request, after somebody else has worked on it; `flood` is answered until too much
/// waits.
#[derive(Default)]
struct Desk {
    messages: VecDeque<(ConnId, String)>,
    requests: VecDeque<(ConnId, String)>,
    flooded: Option<ConnId>,
    ended: Vec<CloseReason>,
}

const MESSAGES: u64 = 0;
const REQUESTS: u64 = 1;
const FLOOD: u64 = 2;

impl Handler for Desk {
    const FAREWELL: Option<fn(u16, &str) -> String> = Some(|code, words| format!("bye {code} {words}"));

    fn on_message(&mut self, cx: &mut Context<'_>, id: ConnId, message: Message<'_>) {
        let text = String::from_utf8_lossy(&message).into_owned();
        if text == "flood" {
            self.flooded = Some(id);
            cx.arm_timer(Duration::from_millis(1), FLOOD);
            return;
        }
        cx.pause(id);
        self.messages.push_back((id, text));
        cx.arm_timer(WORK, MESSAGES);
    }

    fn on_request(&mut self, cx: &mut Context<'_>, id: ConnId, request: &Request<'_>) -> Reply {
        self.requests.push_back((id, request.head.path.to_owned()));
        cx.arm_timer(WORK, REQUESTS);
        Reply::Later
    }

    fn on_timer(&mut self, cx: &mut Context<'_>, token: u64) {
        if token == FLOOD {
            return self.flood(cx);
        }
        if token == REQUESTS {
            let (id, path) = self.requests.pop_front().unwrap();
            return cx.respond(id, Response::text(Status::Ok, path));
        }
        let (id, text) = self.messages.pop_front().unwrap();
        let _ = cx.send(id, text.as_str());
        cx.resume(id);
    }

    fn on_closed(&mut self, _: &mut Context<'_>, _: ConnId, reason: CloseReason) {
        self.ended.push(reason);
    }
}

impl Desk {
    /// A quarter of what may wait at most, again and again until that is too much.
    fn flood(&mut self, cx: &mut Context<'_>) {
        let message = Prepared::text("0123456789".repeat(1000));
        let Some(id) = self.flooded else {
            return;
        };
        if (0..26).all(|_| cx.send_prepared(id, &message).is_ok()) {
            cx.arm_timer(Duration::from_millis(1), FLOOD);
        }
    }
}

/// A loop in a thread of its own, which serves everything on one port; stopped and joined when dropped.
struct Server {
    handle: Handle<Desk>,
    address: String,
    /// Vouches for it.
    ca: PathBuf,
    thread: Option<JoinHandle<std::io::Result<()>>>,
}

impl Server {
    fn start(name: &str) -> Self {
        let (ca, files) = certified(name);
        let (tell, told) = mpsc::channel();
        let thread = std::thread::Builder::new().spawn(move || {
            let mut event_loop = EventLoop::new(Desk::default(), Settings::default()).unwrap();
            event_loop.serve_tls(files).unwrap();
            let url = event_loop.listen(&"auto://127.0.0.1:0".parse().unwrap(), ListenOptions::default()).unwrap();
            tell.send((url.tcp_address().unwrap().to_owned(), event_loop.handle())).unwrap();
            event_loop.run()
        });
        let (address, handle) = told.recv_timeout(PATIENCE).unwrap();
        Self { handle, address, ca, thread: Some(thread.unwrap()) }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn dial(&self, scheme: &str) -> Dialer {
        let url = format!("{scheme}://{}", self.address).parse().unwrap();
        let options = ClientOptions { heartbeat_interval: Duration::ZERO, deflate: false, ..ClientOptions::default() };
        let mut dialer = match scheme {
            "tls" | "wss" => Dialer::trusting(&self.ca, url, options).unwrap(),
            _ => Dialer::new(url, options).unwrap(),
        };
        assert!(matches!(next(&mut dialer), Event::Connected { .. }));
        dialer
    }

    /// Waits until so many connections have ended.
    #[expect(clippy::disallowed_methods, reason = "the loop has a thread of its own")]
    fn wait_for_end(&self, count: usize) {
        for _ in 0..1000 {
            if self.ended().len() >= count {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("nobody was closed as slow");
    }

    fn ended(&self) -> Vec<CloseReason> {
        let (tell, told) = mpsc::channel();
        self.handle.run(move |desk, _| tell.send(desk.ended.clone()).unwrap()).unwrap();
        told.recv_timeout(PATIENCE).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.handle.stop();
        let _ = std::fs::remove_dir_all(self.ca.parent().unwrap());
        if let Some(thread) = self.thread.take().filter(|_| !std::thread::panicking()) {
            thread.join().unwrap().unwrap();
        }
    }
}

/// An authority's certificate in a file, and the files of a server that it vouches for as 127.0.0.1.
fn certified(name: &str) -> (PathBuf, TlsFiles) {
    let folder = std::env::temp_dir().join(format!("tidegate-holding-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let (ca_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let authority = ca.self_signed(&ca_key).unwrap().pem();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap().pem();
    let write = |name: &str, text: String| {
        let file = folder.join(name);
        std::fs::write(&file, text).unwrap();
        file
    };
    let (ca, certificate, key) =
        (write("ca.pem", authority), write("cert.pem", certificate), write("key.pem", key.serialize_pem()));
    (ca, TlsFiles { certificate, key, client_ca: None, require_client_certificate: false })
}

fn next(dialer: &mut Dialer) -> Event {
    dialer.poll(Some(PATIENCE)).unwrap().expect("an event in time")
}

#[test]
fn what_comes_behind_a_pause_is_answered_in_order_on_every_wire() {
    let server = Server::start("order");
    for scheme in ["line", "ws", "tls", "wss"] {
        let mut dialer = server.dial(scheme);
        let messages: Vec<String> = (0..20).map(|number| format!("{number} {}", "x".repeat(number * 50))).collect();
        messages.iter().for_each(|message| dialer.send(message.as_str()).unwrap());
        for message in messages {
            match next(&mut dialer) {
                Event::Message(answer) => assert_eq!(*answer, *message.as_bytes(), "{scheme}"),
                event => panic!("{scheme}: {event:?}"),
            }
        }
    }
}

#[test]
fn a_peer_that_shut_its_side_gets_every_answer() {
    let server = Server::start("half");
    let mut stream = server.connect();
    stream.write_all(b"one\ntwo\nthree\n").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    assert_eq!(answers, "one\ntwo\nthree\n");
}

#[test]
fn requests_behind_one_that_waits_are_answered_in_order() {
    let server = Server::start("requests");
    let mut stream = server.connect();
    let requests: String = (0..10).map(|number| format!("GET /{number} HTTP/1.1\r\nHost: x\r\n\r\n")).collect();
    stream.write_all(requests.as_bytes()).unwrap();
    stream.write_all(b"GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    let bodies: Vec<&str> = answers.split("\r\n\r\n").skip(1).map(|part| part.split("HTTP").next().unwrap()).collect();
    assert_eq!(bodies, ["/0", "/1", "/2", "/3", "/4", "/5", "/6", "/7", "/8", "/9", "/last"]);
}

/// A reader that looks away while it is flooded, then reads what is there: whole messages, then why it was closed.
#[test]
fn a_slow_reader_hears_whole_messages_and_then_why() {
    let server = Server::start("slow");
    let expected = "0123456789".repeat(1000).into_bytes();
    for (turn, scheme) in ["line", "ws", "tls", "wss"].into_iter().enumerate() {
        let mut dialer = server.dial(scheme);
        dialer.send("flood").unwrap();
        // It is sent, and what comes is left lying.
        let _ = dialer.poll(Some(Duration::ZERO)).unwrap();
        server.wait_for_end(turn + 1);
        let (mut whole, mut farewell) = (0, None);
        let reason = loop {
            match next(&mut dialer) {
                Event::Message(message) if *message == *expected => whole += 1,
                Event::Message(message) => farewell = Some(String::from_utf8(message.to_vec()).unwrap()),
                Event::Lost { reason, .. } => break reason,
                event => panic!("{scheme}: {event:?}"),
            }
        };
        let words = "too slow to take what is sent";
        if scheme.starts_with('w') {
            assert_eq!(reason, EndReason::ServerClosed { code: Some(3008), words: words.to_owned() }, "{scheme}");
        } else {
            assert_eq!(farewell, Some(format!("bye 3008 {words}")), "{scheme}");
        }
        assert!(whole > 0, "{scheme}: some had left");
    }
    assert_eq!(server.ended(), [CloseReason::Local(LocalReason::SlowConsumer); 4]);
}
