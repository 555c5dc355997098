//! The loop on real sockets, as an embedder starts it. Every wait has a limit; nothing here is timed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;
use tidegate::apps::{Broadcast, Echo};
use tidegate::config::Settings;
use tidegate::connection::{CloseReason, LocalReason};
use tidegate::gateway::{ConnId, Context, Handler};
use tidegate::net::{EventLoop, Handle, HandleError, ListenOptions, ListenUrl};
use tidegate::wire::Message;

const PATIENCE: Duration = Duration::from_secs(20);

/// A loop in a thread of its own; stopped and joined when dropped.
struct Server<H: Handler + 'static> {
    handle: Handle<H>,
    urls: Vec<ListenUrl>,
    thread: Option<JoinHandle<std::io::Result<()>>>,
}

impl<H: Handler + 'static> Server<H> {
    fn start(make: fn() -> H, urls: &[&str], change: impl FnOnce(&mut Settings) + Send + 'static) -> Self {
        let urls: Vec<ListenUrl> = urls.iter().map(|url| url.parse().unwrap()).collect();
        let (tell, told) = mpsc::channel();
        let thread = std::thread::Builder::new().spawn(move || {
            let mut settings = Settings { drain_window: Duration::ZERO, ..Settings::default() };
            change(&mut settings);
            let mut event_loop = EventLoop::new(make(), settings).unwrap();
            let real = urls.iter().map(|url| event_loop.listen(url, ListenOptions::default()).unwrap()).collect();
            tell.send((event_loop.handle(), real)).unwrap();
            event_loop.run()
        });
        let (handle, urls) = told.recv_timeout(PATIENCE).unwrap();
        Self { handle, urls, thread: Some(thread.unwrap()) }
    }

    fn connect(&self, listener: usize) -> TcpStream {
        let stream = TcpStream::connect(self.urls[listener].tcp_address().unwrap()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Asks the loop's own thread.
    fn ask<T: Send + 'static>(&self, question: impl FnOnce(&mut H, &mut Context<'_>) -> T + Send + 'static) -> T {
        let (tell, told) = mpsc::channel();
        self.handle.run(move |handler, cx| tell.send(question(handler, cx)).unwrap()).unwrap();
        told.recv_timeout(PATIENCE).unwrap()
    }

    fn ids(&self) -> Vec<ConnId> {
        self.ask(|_, cx| cx.connections().map(|connection| connection.id).collect())
    }

    fn end(&mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = self.handle.stop();
            thread.join().unwrap().unwrap();
        }
    }
}

impl<H: Handler> Drop for Server<H> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = self.handle.stop();
            if let Some(thread) = self.thread.take() {
                thread.join().unwrap().unwrap();
            }
        }
    }
}

fn check(stream: &mut (impl Read + Write), sent: &[u8], expected: &[u8]) {
    stream.write_all(sent).unwrap();
    let mut answer = vec![0; expected.len()];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer.escape_ascii().to_string(), expected.escape_ascii().to_string());
}

fn assert_ended(stream: &mut impl Read) {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => assert_eq!(rest, b""),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
}

#[test]
fn several_listeners_serve_every_wire() {
    let urls = ["auto://127.0.0.1:0", "tcp://127.0.0.1:0", "line://127.0.0.1:0", "raw://127.0.0.1:0", "[::1]:0"];
    let server = Server::start(Echo::default, &urls, |_| ());
    check(&mut server.connect(0), b"hi\nping\n", b"hi\npong\n");
    check(&mut server.connect(0), b"\0\0\0\x02hi\0\0\0\x04ping", b"\0\0\0\x02hi\0\0\0\x04pong");
    check(&mut server.connect(1), b"\0\0\0\0\0\0\0\x01\x01", b"\0\0\0\0\0\0\0\x01\x01");
    check(&mut server.connect(2), b"GET it\r\n{\"type\": \"ping\"}\n", b"GET it\n{\"type\":\"pong\"}\n");
    check(&mut server.connect(3), b"ping", b"pong");
    check(&mut server.connect(4), b"v6\n", b"v6\n");
}

#[test]
fn a_message_larger_than_any_buffer_comes_back_whole() {
    let server = Server::start(Echo::default, &["tcp://127.0.0.1:0"], |settings| {
        settings.max_message_bytes = 8 << 20;
        settings.write_queue_hard_bytes = Settings::hard_bytes_for(8 << 20);
    });
    let body: Vec<u8> = (0..8u32 << 20).map(|at| (at % 251) as u8).collect();
    let frame = [&(8u32 << 20).to_be_bytes()[..], &body].concat();
    let mut stream = server.connect(0);
    let mut writer = stream.try_clone().unwrap();
    let sent = frame.clone();
    let writing = std::thread::Builder::new().spawn(move || writer.write_all(&sent).unwrap()).unwrap();
    let mut answer = vec![0; frame.len()];
    stream.read_exact(&mut answer).unwrap();
    writing.join().unwrap();
    assert!(answer == frame);
}

#[test]
fn an_over_long_length_is_refused_at_once() {
    let server = Server::start(Echo::default, &["tcp://127.0.0.1:0"], |_| ());
    let mut stream = server.connect(0);
    stream.write_all(b"\xff\xff\xff\xff").unwrap();
    assert_ended(&mut stream);
}

#[test]
fn a_unix_socket_serves_and_takes_its_file_away() {
    let path = std::env::temp_dir().join(format!("tidegate-test-{}.sock", std::process::id()));
    let url = format!("unix://{}", path.display());
    // A file left over by a process that was killed.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let mut server = Server::start(Echo::default, &[&url], |_| ());
    check(&mut UnixStream::connect(&path).unwrap(), b"hi\n", b"hi\n");
    server.end();
    assert!(!path.exists());
}

#[test]
fn an_address_in_use_is_named() {
    let server = Server::start(Echo::default, &["127.0.0.1:0"], |_| ());
    let mut second = EventLoop::new(Echo, Settings::default()).unwrap();
    let error = second.listen(&server.urls[0], ListenOptions::default()).unwrap_err().to_string();
    assert!(error.contains(&server.urls[0].to_string()) && error.contains("in use"), "{error}");
}

#[cfg(feature = "socket-options")]
#[test]
fn several_loops_can_share_a_port() {
    let options = ListenOptions { reuse_port: true, ..ListenOptions::default() };
    let mut first = EventLoop::new(Echo, Settings::default()).unwrap();
    let url = first.listen(&"127.0.0.1:0".parse().unwrap(), options).unwrap();
    let mut second = EventLoop::new(Echo, Settings::default()).unwrap();
    assert_eq!(second.listen(&url, options).unwrap(), url);
}

#[test]
fn other_threads_send_broadcast_close_and_run() {
    let server = Server::start(Echo::default, &["line://127.0.0.1:0", "tcp://127.0.0.1:0"], |_| ());
    let mut line = server.connect(0);
    check(&mut line, b"here\n", b"here\n");
    let first = server.ids()[0];
    let mut length = server.connect(1);
    check(&mut length, b"\0\0\0\x01x", b"\0\0\0\x01x");
    server.handle.send(first, "to one").unwrap();
    server.handle.broadcast("to all").unwrap();
    check(&mut line, b"", b"to one\nto all\n");
    check(&mut length, b"", b"\0\0\0\x06to all");
    server.handle.close(first, CloseReason::Local(LocalReason::Kicked)).unwrap();
    assert_ended(&mut line);
    drop(line);
    check(&mut length, b"\0\0\0\x01y", b"\0\0\0\x01y");
}

#[derive(Default)]
struct CountWakes {
    wakes: usize,
}

impl Handler for CountWakes {
    fn on_message(&mut self, _: &mut Context<'_>, _: ConnId, _: Message<'_>) {}

    fn on_woken(&mut self, _: &mut Context<'_>) {
        self.wakes += 1;
    }
}

#[test]
fn every_command_of_many_threads_arrives() {
    let server = Server::start(CountWakes::default, &[], |_| ());
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let handle = server.handle.clone();
            std::thread::Builder::new().spawn(move || (0..1000).for_each(|_| handle.wake().unwrap())).unwrap()
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(server.ask(|handler, _| handler.wakes), 4000);
}

#[test]
fn a_loop_that_has_ended_says_so() {
    let mut server = Server::start(Echo::default, &[], |_| ());
    server.handle.shut_down().unwrap();
    server.end();
    assert!(matches!(server.handle.wake(), Err(HandleError::Ended)));
}

#[test]
fn a_full_command_queue_refuses_and_recovers() {
    let mut event_loop = EventLoop::new(Echo, Settings::default()).unwrap();
    let handle = event_loop.handle();
    let taken = (0..70_000).take_while(|_| handle.broadcast("x").is_ok()).count();
    assert_eq!(taken, 65_536);
    assert!(matches!(handle.wake(), Err(HandleError::Full)));
    for _ in 0..100 {
        event_loop.turn(Some(Duration::ZERO)).unwrap();
    }
    handle.wake().unwrap();
}

#[test]
fn a_shut_down_flushes_what_is_queued() {
    let mut server = Server::start(Echo::default, &["line://127.0.0.1:0"], |_| ());
    let mut stream = server.connect(0);
    check(&mut stream, b"hi\n", b"hi\n");
    let id = server.ids()[0];
    for _ in 0..9 {
        server.handle.send(id, vec![b'x'; 99_999]).unwrap();
    }
    server.handle.shut_down().unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert_eq!(rest.len(), 900_000);
    drop(stream);
    server.thread.take().unwrap().join().unwrap().unwrap();
}

#[test]
fn a_chat_reaches_all_but_the_speaker() {
    let server = Server::start(Broadcast::default, &["line://127.0.0.1:0"], |_| ());
    let mut streams: Vec<TcpStream> = (0..10).map(|_| server.connect(0)).collect();
    for stream in &mut streams {
        check(stream, b"ping\n", b"pong\n");
    }
    for (speaker, stream) in streams.iter_mut().enumerate() {
        writeln!(stream, "from {speaker}").unwrap();
    }
    for (listener, stream) in streams.into_iter().enumerate() {
        let mut lines: Vec<String> = BufReader::new(stream).lines().take(9).map(Result::unwrap).collect();
        lines.sort();
        let others = (0..10).filter(|speaker| *speaker != listener).map(|speaker| format!("from {speaker}"));
        assert!(lines.iter().eq(others.collect::<Vec<_>>().iter()));
    }
}

#[test]
fn a_thousand_lines_sent_byte_by_byte_come_back_whole() {
    let server = Server::start(Echo::default, &["line://127.0.0.1:0"], |_| ());
    let mut stream = server.connect(0);
    stream.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let text = (0..1000).map(|number| format!("{number}\n")).collect::<String>();
    let reading = std::thread::Builder::new().spawn(move || {
        let mut all = String::new();
        while all.lines().count() < 1000 {
            reader.read_line(&mut all).unwrap();
        }
        all
    });
    for byte in text.as_bytes() {
        stream.write_all(&[*byte]).unwrap();
    }
    assert_eq!(reading.unwrap().join().unwrap(), text);
}

#[derive(Default)]
struct Touchy {
    closed: Vec<CloseReason>,
}

impl Handler for Touchy {
    fn on_message(&mut self, cx: &mut Context<'_>, id: ConnId, message: Message<'_>) {
        assert_ne!(message.bytes(), b"500", "as asked");
        cx.send(id, message).unwrap();
    }

    fn on_closed(&mut self, _: &mut Context<'_>, _: ConnId, reason: CloseReason) {
        self.closed.push(reason);
    }
}

#[test]
fn a_panic_for_one_in_a_thousand_is_noticed_by_no_other() {
    let server = Server::start(Touchy::default, &["line://127.0.0.1:0"], |_| ());
    // Two hundred at a time, for machines that grant a process no more than 1,024 descriptors.
    for first in (0..1000).step_by(200) {
        let mut streams: Vec<(usize, TcpStream)> = (first..first + 200).map(|n| (n, server.connect(0))).collect();
        for (number, stream) in &mut streams {
            writeln!(stream, "{number}").unwrap();
        }
        for (number, stream) in &mut streams {
            match number {
                500 => assert_ended(stream),
                _ => check(stream, b"still here\n", format!("{number}\nstill here\n").as_bytes()),
            }
        }
    }
    let panics = server.ask(|_, cx| cx.counters().handler_panics);
    let closed = server.ask(|handler, _| handler.closed.clone());
    let panicked = CloseReason::Local(LocalReason::HandlerPanicked);
    assert_eq!((panics, closed.iter().filter(|reason| **reason == panicked).count()), (1, 1));
}
