//! The closing handshake and ends without one (RFC 6455, sections 5.5.1 and 7): section 7 of the suite, and races.

use crate::kit::*;
use std::net::Shutdown;
use std::time::{Duration, Instant};
use tidegate::connection::{CloseReason, LocalReason};
use tidegate::gateway::ConnId;

fn check_all<N: std::fmt::Display + Sync>(cases: impl AsRef<[(N, (Vec<Frame>, Vec<Reply>))]>) {
    all(cases, |(sent, expected)| check(sent, expected));
}

#[test]
fn a_close_is_answered_once_and_nothing_behind_it_is() {
    // 7.1.1-7.1.5 (5.5.1, 1.4).
    let answered = vec![Reply::close(1000)];
    check_all([
        ("7.1.1 behind a message", (vec![text("hi"), close(1000)], vec![Reply::text("hi"), Reply::close(1000)])),
        ("7.1.2 two", (vec![close(1000), close(1000)], answered.clone())),
        ("7.1.3 a ping behind", (vec![close(1000), ping("behind")], answered.clone())),
        ("7.1.4 a text behind", (vec![close(1000), text("behind")], answered.clone())),
        ("7.1.5 within a message", (vec![text("frag").more(), close(1000), rest("ment")], answered.clone())),
        ("garbage behind", (vec![close(1000), frame(0xF, "").rsv(7)], answered.clone())),
        ("half a frame behind", (vec![close(1000), text("").announcing(100)], answered.clone())),
        ("half a code point before", (vec![text(b"\xc3").more(), close(1000)], answered)),
    ]);
}

#[test]
fn a_close_behind_much_data_waits_its_turn() {
    // 7.1.6: 256 KiB, a text, a close and a ping at once. What is echoed is whole and in order, if not all of it comes.
    let large = vec![b'*'; 1 << 18];
    let mut talk = Talk::open(server(Limits::Roomy), Way::Whole);
    talk.send(&[text(&large), text("Hello, world!"), close(1000), ping("behind")]);
    let mut expected = [Reply::text(&large), Reply::text("Hello, world!"), Reply::close(1000)].into_iter();
    while let Some(reply) = talk.reply() {
        assert!(expected.any(|next| next == reply), "{reply:?} is out of place");
    }
}

#[test]
fn a_close_may_have_a_code_and_a_reason_or_nothing() {
    // 7.3 (5.5.1): the answer has the same code, and none where there was none.
    let (longest, too_long) = ("r".repeat(123), "r".repeat(124));
    check_all([
        ("7.3.1 empty", (vec![close_of("")], vec![Reply::Close(None)])),
        ("7.3.2 one byte", (vec![close_of("\x03")], vec![Reply::close(1002)])),
        ("7.3.3 a code", (vec![close(1000)], vec![Reply::close(1000)])),
        ("7.3.4 and a reason", (vec![close_with(1000, "Auf Wiedersehen, schöne Welt")], vec![Reply::close(1000)])),
        ("7.3.5 the longest", (vec![close_with(1000, longest)], vec![Reply::close(1000)])),
        ("7.3.6 too long", (vec![close_with(1000, too_long)], vec![Reply::close(1002)])),
        ("7.5.1 no UTF-8", (vec![close_with(1000, b"\xCE\xBA\xED\xA0\x80")], vec![Reply::close(1007)])),
        ("half a code point", (vec![close_with(1000, b"\xE6\x97")], vec![Reply::close(1007)])),
    ]);
}

#[test]
fn codes_that_peers_may_send_are_answered() {
    // 7.7 (7.4.1, 7.4.2; 1012 to 1014 are registered).
    let codes = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999];
    check_all(codes.map(|code| (code, (vec![close(code)], vec![Reply::close(code)]))));
}

#[test]
fn codes_that_no_peer_may_send_are_refused() {
    // 7.9, 7.13 (7.4.1): 1004 to 1006 and 1015 are for programs, not for the wire; above 4999 nothing is defined.
    let codes = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 9999, 65_535];
    check_all(codes.map(|code| (code, (vec![close(code), ping("behind")], vec![Reply::close(1002)]))));
}

#[test]
fn the_server_ends_the_stream_first() {
    // 7.1.1: the client keeps its side open and waits.
    for last in [close(1000), close_of(""), text("bad").rsv(1), text(b"\xFF")] {
        let began = Instant::now();
        let mut talk = Talk::open(server(Limits::Default), Way::Whole);
        talk.send(&[last]);
        assert!(matches!(talk.reply(), Some(Reply::Close(_))));
        talk.expect_end();
        assert!(began.elapsed() < Duration::from_secs(3), "it waited for something");
    }
}

#[test]
fn a_client_that_is_refused_may_go_on_talking_for_a_while() {
    // 7.1.7: what says so must not be lost because bytes are still on the way.
    all([1 << 10, 1 << 16, 1 << 20].map(|len| (len, len)), |&len| {
        let mut talk = Talk::open(server(Limits::Default), Way::Whole);
        let frames = [text("bad").rsv(7), binary(vec![0; len]), ping("behind")];
        talk.send(&frames);
        talk.expect_close(1002);
        assert!(!talk.pipe.was_reset(), "a reset can overtake what was said before it");
    });
}

#[test]
fn an_end_without_a_close_is_taken_quietly() {
    // 7.1.1: at every stage of a message; what was complete is answered.
    let frames = [text("whole"), text("frag").more(), rest("ment")];
    let bytes: Vec<u8> = frames.iter().flat_map(Frame::bytes).collect();
    all((0..=bytes.len()).map(|len| (len, len)).collect::<Vec<_>>(), |&len| {
        let mut talk = Talk::open(server(Limits::Default), Way::Whole);
        talk.write(&bytes[..len]);
        talk.pipe.stream.shutdown(Shutdown::Write).unwrap();
        let mut replies = Vec::new();
        while let Some(reply) = talk.reply() {
            replies.push(reply);
        }
        let whole = [(11, "whole"), (31, "fragment")].into_iter().filter(|(end, _)| *end <= len);
        let expected: Vec<Reply> = whole.map(|(_, payload)| Reply::text(payload)).collect();
        replies.retain(|reply| !matches!(reply, Reply::Close(_)));
        assert_eq!(replies, expected);
    });
}

/// A server of the test's own, with one connection that is open, and its id.
fn server_and_one() -> (Server, Talk, ConnId) {
    let server = Server::start(Limits::Tight);
    let mut talk = Talk::open(&server.address, Way::Whole);
    talk.send(&[text("here")]);
    talk.expect(&[Reply::text("here")]);
    let ids = server.ask(|cx| cx.connections().map(|connection| connection.id).collect::<Vec<_>>());
    assert_eq!(ids.len(), 1);
    (server, talk, ids[0])
}

const KICKED: CloseReason = CloseReason::Local(LocalReason::Kicked);

#[test]
fn the_server_closes_with_its_reason_and_ends_when_it_is_answered() {
    // 5.5.1, 7.1.1. What the client says meanwhile is for nobody.
    let (server, mut talk, id) = server_and_one();
    server.handle.close(id, KICKED).unwrap();
    talk.expect(&[Reply::close(KICKED.advice().code)]);
    talk.send(&[text("too late"), ping("too late"), close(KICKED.advice().code)]);
    talk.expect_end();
}

#[test]
fn a_close_that_is_never_answered_ends_all_the_same() {
    // 7.1.1: within `close_timeout`, and the connection is forgotten though the client keeps its side open.
    let (server, mut talk, id) = server_and_one();
    let began = Instant::now();
    server.handle.close(id, KICKED).unwrap();
    talk.expect_close(KICKED.advice().code);
    assert!(began.elapsed() < Duration::from_secs(3));
    expect_nobody(&server);
}

#[test]
fn a_client_that_closes_and_stays_is_forgotten() {
    let (server, mut talk, _) = server_and_one();
    talk.close();
    expect_nobody(&server);
}

#[test]
fn both_may_close_at_once() {
    // 7.1.5: whoever came first gives the code, and there is one. The frames cross on the wire, or nearly.
    for wait in (0..30).map(|n| Duration::from_micros(n % 6 * 50)) {
        let (server, mut talk, id) = server_and_one();
        server.handle.close(id, KICKED).unwrap();
        if !wait.is_zero() {
            pause(wait);
        }
        talk.send(&[close(1000)]);
        let first = talk.reply().expect("a close frame");
        assert!([Reply::close(1000), Reply::close(KICKED.advice().code)].contains(&first), "{first:?}");
        talk.expect_end();
        drop(talk);
        expect_nobody(&server);
        server.handle.stop().unwrap();
    }
}

/// Every slot is free again before patience ends.
fn expect_nobody(server: &Server) {
    let began = Instant::now();
    while server.ask(|cx| cx.connection_count()) > 0 {
        assert!(began.elapsed() < PATIENCE, "somebody is still there");
        pause(Duration::from_millis(5));
    }
}

#[test]
fn connections_that_are_cut_at_any_point_of_the_handshake_leave_nothing() {
    // Closed, half-closed, or reset, after each byte of the request.
    let server = Server::start(Limits::Tight);
    let request = upgrade(&server.address, "");
    all((0..=request.len()).map(|len| (len, len)).collect::<Vec<_>>(), |&len| {
        for cut in [close_it, half_close_it, reset_it] {
            let mut pipe = Pipe::connect(&server.address, Way::Whole);
            pipe.write(&request[..len]);
            cut(pipe);
        }
    });
    expect_nobody(&server);
    Talk::open(&server.address, Way::Whole).play(&[text("alive")], &[Reply::text("alive")]);
}

fn close_it(pipe: Pipe) {
    drop(pipe);
}

fn half_close_it(mut pipe: Pipe) {
    pipe.stream.shutdown(Shutdown::Write).unwrap();
    // Whatever is said to that, it ends.
    while pipe.take(|bytes| (!bytes.is_empty()).then_some(((), bytes.len()))).is_some() {}
}

/// A reset is what follows where bytes are left unread; with socket options it can be asked for at any time.
fn reset_it(pipe: Pipe) {
    #[cfg(feature = "socket-options")]
    socket2::SockRef::from(&pipe.stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(pipe);
}
