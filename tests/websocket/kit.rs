//! Servers to talk to, cases played side by side, and a client that cuts what it says in every way.

mod answer;
mod deflated;
mod frame;
mod inflate;
mod pipe;
mod server;

pub use answer::Answer;
pub use deflated::{Agreed, Deflated, Offer, deflate};
pub use frame::*;
pub use pipe::{Pipe, WAYS, Way, pause};
pub use server::{Limits, Server, server};

use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How long anything may take that should take no time.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A key and its answer (RFC 6455, 1.3).
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// Sends `sent` cut in every way. `expected` comes back, then the end: ours in good order, or the server's where it
/// closes.
pub fn check(sent: &[Frame], expected: &[Reply]) {
    each_way(server(Limits::Default), |talk| talk.play(sent, expected));
}

/// Plays it on a connection of its own for each way to cut it.
pub fn each_way(address: &str, play: impl Fn(&mut Talk)) {
    for way in WAYS {
        let _said_if_it_fails = Playing(way);
        play(&mut Talk::open(address, way));
    }
}

struct Playing(Way);

impl Drop for Playing {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("that was {:?}", self.0);
        }
    }
}

/// Plays every case, some side by side, and names all that fail.
pub fn all<N: Display + Sync, C: Sync>(cases: impl AsRef<[(N, C)]>, play: impl Fn(&C) + Sync) {
    let (cases, next, failed) = (cases.as_ref(), AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some((name, case)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            if catch_unwind(AssertUnwindSafe(|| play(case))).is_err() {
                failed.lock().unwrap().push(name.to_string());
            }
        }
    };
    std::thread::scope(|scope| (0..8).for_each(|_| drop(scope.spawn(work))));
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} of {} cases failed: {failed:#?}", failed.len(), cases.len());
}

/// A request to upgrade, with `fields` as further lines, each with its CRLF.
pub fn upgrade(host: &str, fields: &str) -> Vec<u8> {
    format!(
        "GET / HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{fields}\r\n"
    )
    .into_bytes()
}

/// A WebSocket connection from the client's side.
pub struct Talk {
    pub pipe: Pipe,
    /// What waits for the first frames, to leave with them.
    request: Vec<u8>,
    answer: Option<Answer>,
}

impl Talk {
    pub fn open(address: &str, way: Way) -> Self {
        Self::open_with(address, way, "")
    }

    /// `fields` are further lines of the request, each with its CRLF.
    pub fn open_with(address: &str, way: Way, fields: &str) -> Self {
        let mut talk = Self { pipe: Pipe::connect(address, way), request: upgrade(address, fields), answer: None };
        if way != Way::WithTheRequest {
            talk.write(&[]);
            talk.answer();
        }
        talk
    }

    /// What the server answered to the request; it has upgraded.
    pub fn answer(&mut self) -> &Answer {
        if self.answer.is_none() {
            assert!(self.request.is_empty(), "nothing was asked yet");
            let answer = self.pipe.answer().expect("an answer to the upgrade");
            assert_upgraded(&answer, ACCEPT);
            self.answer = Some(answer);
        }
        self.answer.as_ref().unwrap()
    }

    pub fn send(&mut self, frames: &[Frame]) {
        match self.pipe.way {
            Way::ByFrame => frames.iter().for_each(|frame| self.write(&frame.bytes())),
            Way::Whole | Way::ByByte | Way::WithTheRequest => {
                self.write(&frames.iter().flat_map(Frame::bytes).collect::<Vec<u8>>());
            }
        }
    }

    pub fn write(&mut self, bytes: &[u8]) {
        let mut out = std::mem::take(&mut self.request);
        out.extend_from_slice(bytes);
        self.pipe.write(&out);
    }

    /// The server's next frame, `None` at its end.
    pub fn frame(&mut self) -> Option<ServerFrame> {
        self.answer();
        self.pipe.take(ServerFrame::parse)
    }

    pub fn reply(&mut self) -> Option<Reply> {
        self.frame().map(ServerFrame::reply)
    }

    pub fn expect(&mut self, expected: &[Reply]) {
        for reply in expected {
            assert_eq!(self.reply().as_ref(), Some(reply));
        }
    }

    /// The server says no more.
    pub fn expect_end(&mut self) {
        assert_eq!(self.reply(), None);
    }

    /// The server closes with this code, and that is the end.
    pub fn expect_close(&mut self, code: u16) {
        self.expect(&[Reply::close(code)]);
        self.expect_end();
    }

    /// Closes in good order: nothing was left to say, and the server answers and ends (RFC 6455, 7.1.1 and 7.1.2).
    pub fn close(&mut self) {
        self.send(&[close(1000)]);
        self.expect_close(1000);
        assert!(!self.pipe.was_reset(), "a reset is no good order");
    }

    pub fn play(&mut self, sent: &[Frame], expected: &[Reply]) {
        self.send(sent);
        self.expect(expected);
        match expected.last() {
            Some(Reply::Close(_)) => self.expect_end(),
            _ => self.close(),
        }
    }
}

/// RFC 6455, 4.2.2.
pub fn assert_upgraded(answer: &Answer, accept: &str) {
    assert_eq!(answer.status, 101, "{answer:?}");
    let has = |name, value: &str| answer.field(name).is_some_and(|field| field.eq_ignore_ascii_case(value));
    assert!(has("Upgrade", "websocket") && has("Connection", "Upgrade"), "{answer:?}");
    assert_eq!(answer.field("Sec-WebSocket-Accept"), Some(accept));
}

/// A request that would be answered with 200, were it one.
pub const BEHIND: &[u8] = b"GET /health HTTP/1.1\r\nHost: behind\r\n\r\n";

/// The server answers with one of `statuses` and ends; what stands behind is nothing to it, whole and byte by byte.
/// `{host}` stands for the server's address.
pub fn check_last_answer(request: &[u8], statuses: &[u16]) {
    let host = server(Limits::Default);
    let request = [replace(request, b"{host}", host.as_bytes()), BEHIND.to_vec()].concat();
    for way in [Way::Whole, Way::ByByte] {
        let shown = || request[..request.len().min(300)].escape_ascii().to_string();
        let mut pipe = Pipe::connect(host, way);
        pipe.write(&request);
        let answer = pipe.answer().unwrap_or_else(|| panic!("no answer to {}", shown()));
        assert!(statuses.contains(&answer.status), "not one of {statuses:?}: {answer:?} to {}", shown());
        assert!(answer.closes(), "{answer:?} goes on");
        // RFC 9110, 15.5.6 and 15.5.22; RFC 6455, 4.4.
        assert!(answer.status != 405 || answer.field("Allow").is_some(), "{answer:?}");
        assert!(answer.status != 426 || answer.field("Upgrade") == Some("websocket"), "{answer:?}");
        assert!(answer.status != 426 || answer.field("Sec-WebSocket-Version") == Some("13"), "{answer:?}");
        pipe.expect_end();
    }
}

fn replace(bytes: &[u8], piece: &[u8], other: &[u8]) -> Vec<u8> {
    match bytes.windows(piece.len()).position(|window| window == piece) {
        Some(at) => [&bytes[..at], other, &replace(&bytes[at + piece.len()..], piece, other)].concat(),
        None => bytes.to_vec(),
    }
}
