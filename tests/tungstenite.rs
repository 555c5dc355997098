//! The loop as a WebSocket server, met by another crate's client. Every wait has a limit; nothing here is timed.

#![cfg(feature = "websocket")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::TcpStream;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;
use tidegate::apps::Echo;
use tidegate::config::Settings;
use tidegate::net::{EventLoop, Handle, ListenOptions, ListenUrl};
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tungstenite::{Error, Message, WebSocket};

const PATIENCE: Duration = Duration::from_secs(20);
const MIB: usize = 1 << 20;

/// An echo server for messages of up to 2 MiB, in a thread of its own; stopped and joined when dropped.
struct Server {
    handle: Handle<Echo>,
    address: String,
    thread: Option<JoinHandle<std::io::Result<()>>>,
}

impl Server {
    fn start() -> Self {
        let (tell, told) = mpsc::channel();
        let thread = std::thread::Builder::new().spawn(move || {
            let settings = Settings {
                drain_window: Duration::ZERO,
                max_message_bytes: 2 * MIB,
                write_queue_hard_bytes: Settings::hard_bytes_for(2 * MIB),
                ..Settings::default()
            };
            let mut event_loop = EventLoop::new(Echo, settings).unwrap();
            let url: ListenUrl = "ws://127.0.0.1:0".parse().unwrap();
            let real = event_loop.listen(&url, ListenOptions::default()).unwrap();
            tell.send((event_loop.handle(), real.tcp_address().unwrap().to_owned())).unwrap();
            event_loop.run()
        });
        let (handle, address) = told.recv_timeout(PATIENCE).unwrap();
        Self { handle, address, thread: Some(thread.unwrap()) }
    }

    fn connect(&self) -> WebSocket<TcpStream> {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let (socket, response) = tungstenite::client(format!("ws://{}/any/path", self.address), stream).unwrap();
        assert_eq!(response.status(), 101);
        socket
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.handle.stop();
        if let Some(thread) = self.thread.take().filter(|_| !std::thread::panicking()) {
            thread.join().unwrap().unwrap();
        }
    }
}

/// Sends all of `sent`, and expects exactly `expected` in answer.
fn check(socket: &mut WebSocket<TcpStream>, sent: &[Message], expected: &[Message]) {
    sent.iter().for_each(|message| socket.send(message.clone()).unwrap());
    for message in expected {
        let answer = socket.read().unwrap();
        assert!(answer == *message, "{} bytes came back as {}", message.len(), answer.len());
    }
}

fn echoes(socket: &mut WebSocket<TcpStream>, message: &Message) {
    check(socket, std::slice::from_ref(message), std::slice::from_ref(message));
}

fn fragment(data: &str, kind: Data, is_final: bool) -> Message {
    Message::Frame(Frame::message(data.to_owned(), OpCode::Data(kind), is_final))
}

/// The code and the reason of the close that comes, after which the server ends the connection.
fn close_of(mut socket: WebSocket<TcpStream>) -> (u16, String) {
    let Message::Close(Some(frame)) = socket.read().unwrap() else { panic!("no close came") };
    assert!(matches!(socket.read(), Err(Error::ConnectionClosed)));
    (frame.code.into(), frame.reason.to_string())
}

#[test]
fn text_comes_back_as_text_and_binary_as_binary() {
    let server = Server::start();
    let mut socket = server.connect();
    for size in [0, 1, 125, 126, 127, 65_535, 65_536] {
        echoes(&mut socket, &Message::text("x".repeat(size)));
        echoes(&mut socket, &Message::binary(vec![0xFF; size]));
    }
    echoes(&mut socket, &Message::text("naïve – 潮汐 🌊 \u{10FFFF}"));
    let many: Vec<Message> = (0..100).map(|number| Message::text(number.to_string())).collect();
    check(&mut socket, &many, &many);
}

#[test]
fn a_mebibyte_comes_back_whole() {
    let server = Server::start();
    let mut socket = server.connect();
    echoes(&mut socket, &Message::text("é".repeat(MIB / 2)));
    echoes(&mut socket, &Message::binary((0..MIB).map(|at| (at % 251) as u8).collect::<Vec<u8>>()));
}

#[test]
fn fragments_come_back_as_one_message_and_a_ping_between_them_at_once() {
    let server = Server::start();
    let mut socket = server.connect();
    let parts = [
        fragment("in ", Data::Text, false),
        fragment("", Data::Continue, false),
        Message::Ping("now".into()),
        fragment("parts", Data::Continue, true),
    ];
    check(&mut socket, &parts, &[Message::Pong("now".into()), Message::text("in parts")]);
}

#[test]
fn pings_are_answered_with_their_payload() {
    let server = Server::start();
    let mut socket = server.connect();
    for payload in [&b""[..], b"\0\xFF", &[b'p'; 125]] {
        check(&mut socket, &[Message::Ping(payload.to_vec().into())], &[Message::Pong(payload.to_vec().into())]);
    }
}

#[test]
fn a_close_is_answered_by_its_code() {
    let server = Server::start();
    for code in [1000, 1001, 3000, 4999] {
        let mut socket = server.connect();
        echoes(&mut socket, &Message::text("hi"));
        socket.close(Some(CloseFrame { code: CloseCode::from(code), reason: "done".into() })).unwrap();
        assert_eq!(close_of(socket).0, code);
    }
}

#[test]
fn a_message_over_the_limit_ends_with_1009() {
    let server = Server::start();
    let mut socket = server.connect();
    echoes(&mut socket, &Message::binary(vec![0; 2 * MIB]));
    // The header alone says too much; what follows may meet a connection that has ended.
    let _ = socket.send(Message::binary(vec![0; 2 * MIB + 1]));
    assert_eq!(close_of(socket).0, 1009);
}

#[test]
fn a_shut_down_tells_clients_to_come_back() {
    let server = Server::start();
    let mut socket = server.connect();
    echoes(&mut socket, &Message::text("hi"));
    server.handle.shut_down().unwrap();
    assert_eq!(close_of(socket), (3001, "server is shutting down".to_owned()));
}
