//! Sizes, counts, floods and deadlines: what a peer may take of the server's memory and time.

use crate::kit::*;
use std::io::Write;
use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant};

const MESSAGE: usize = 64 << 10;
const FRAGMENTS: usize = 100_000;

/// One fragment of any length up to the limit, in the shortest form.
fn half() -> Frame {
    binary(vec![7; MESSAGE / 2]).more()
}

#[test]
fn a_message_over_the_limit_is_refused_on_its_header() {
    // RFC 6455, 7.4.1 (1009), 10.4: nothing of its payload is waited for, and no memory taken for what is announced.
    let refused = [Reply::close(1009)];
    let lens = [MESSAGE as u64 + 1, 1 << 20, u64::from(u32::MAX), 1 << 32, (1 << 32) + 5, (1 << 63) - 1];
    all(lens.map(|len| (format!("{len:#x}"), len)), |&len| {
        check(&[text("").announcing(len)], &refused);
        check(&[binary("x").announcing(len)], &refused);
        check(&[text("so far").more(), ping("?"), rest("").announcing(len)], &[Reply::pong("?"), refused[0].clone()]);
    });
}

#[test]
fn a_message_over_the_limit_is_refused_though_it_has_come_whole() {
    // Whatever is fast with frames that lie whole in one read looks at their length too.
    let over = [binary([7; 1001]), text("x".repeat(1001)), binary([7; 5000])];
    for frame in over {
        each_way(server(Limits::Tight), |talk| {
            talk.play(&[text("good"), frame.clone(), ping("behind")], &[Reply::text("good"), Reply::close(1009)]);
        });
    }
    each_way(server(Limits::Tight), |talk| talk.play(&[binary([7; 1000])], &[Reply::binary([7; 1000])]));
}

#[test]
fn the_limit_counts_all_fragments_and_no_control_frames() {
    // RFC 6455, 10.4. CVE-2020-27813: a ping in between once set the count back; sums once overflowed.
    let fits = [half(), ping("?"), rest(vec![7; MESSAGE / 2])];
    check(&fits, &[Reply::pong("?"), Reply::binary(vec![7; MESSAGE])]);
    let over = Reply::close(1009);
    check(&[half(), ping("?"), rest("").announcing(MESSAGE as u64 / 2 + 1)], &[Reply::pong("?"), over.clone()]);
    check(&[half(), rest(vec![7; MESSAGE / 2]).more(), rest("!").more()], std::slice::from_ref(&over));
    for len in [u32::MAX as u64 - MESSAGE as u64 / 2 + 1, (1 << 63) - 1, (1 << 63) - MESSAGE as u64 / 2] {
        check(&[half(), rest("").announcing(len)], std::slice::from_ref(&over));
    }
}

#[test]
fn the_limit_begins_anew_with_each_message() {
    let whole = [binary(vec![7; MESSAGE]), half(), rest(vec![7; MESSAGE / 2]), binary(vec![7; MESSAGE])];
    check(&whole, &[(); 3].map(|()| Reply::binary(vec![7; MESSAGE])));
}

#[test]
fn a_message_has_a_limited_number_of_fragments() {
    // CVE-2026-48779: tiny fragments, with a byte or without any, cost more than their bytes. 9.3.1 needs 65,537.
    let cases = [("empty", ""), ("a byte", "x")].map(|(name, piece)| (name, piece));
    all(cases, |piece| {
        let payload = if piece.is_empty() { String::new() } else { piece.repeat(65_536) };
        let count = if piece.is_empty() { FRAGMENTS } else { 65_536 };
        let mut frames = vec![rest(piece).more(); count];
        (frames[0], frames[count - 1]) = (text(piece).more(), rest(piece));
        let mut talk = Talk::open(server(Limits::Default), Way::Whole);
        talk.play(&frames, &[Reply::text(payload)]);
    });
    let mut frames = vec![rest("").more(); FRAGMENTS + 1];
    frames[0] = text("").more();
    let mut talk = Talk::open(server(Limits::Default), Way::Whole);
    talk.play(&frames, &[Reply::close(1009)]);
}

/// Sends all of it in a thread of its own, and gives back what comes until the server ends.
fn flood(frames: &[u8], patience: Duration) -> Vec<Reply> {
    let mut talk = Talk::open(server(Limits::Default), Way::Whole);
    let mut writer = talk.pipe.stream.try_clone().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || {
            // Blocks where the server does not read on, until what it says is read.
            let _ = writer.write_all(frames).and_then(|()| writer.write_all(&close(1000).bytes()));
        });
        pause(patience);
        std::iter::from_fn(|| talk.reply()).collect()
    })
}

#[test]
fn a_ping_flood_by_who_does_not_read_costs_no_memory() {
    // RFC 6455, 5.5.3: all pongs, or the latest ones; CVE-2019-9512 is the same flood elsewhere.
    let count = 60_000;
    let pings: Vec<u8> = (0..count).flat_map(|n| ping(format!("{n:0>125}")).bytes()).collect();
    let mut replies = flood(&pings, Duration::from_millis(500));
    assert_eq!(replies.pop(), Some(Reply::close(1000)));
    let number = |reply: &Reply| match reply {
        Reply::Pong(payload) => std::str::from_utf8(payload).unwrap().parse::<usize>().unwrap(),
        other => panic!("{other:?}"),
    };
    let numbers: Vec<usize> = replies.iter().map(number).collect();
    assert!(numbers.is_sorted_by(|one, other| one < other), "out of order");
    assert_eq!(numbers.last(), Some(&(count - 1)), "the latest ping is answered");
}

#[test]
fn what_waits_for_who_does_not_read_has_an_end() {
    // Pongs and echoes alike: above `write_queue_soft_bytes` nothing more is read, so nothing more is answered.
    for frame in [ping([7; 125]), text("x".repeat(1000)), text("x".repeat(MESSAGE))] {
        let server = Server::start(Limits::Default);
        let mut talk = Talk::open(&server.address, Way::Whole);
        talk.pipe.stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
        let frames = frame.bytes().repeat(20);
        let tries = (64 << 20) / frames.len();
        assert!((0..tries).any(|_| talk.pipe.stream.write_all(&frames).is_err()), "it reads on for ever");
        let waiting = server.ask(|cx| cx.connections().map(|connection| connection.queued_bytes).collect::<Vec<_>>());
        assert_eq!(waiting.len(), 1, "the connection is still there");
        assert!(waiting[0] < 512 << 10, "{waiting:?}");
    }
}

#[test]
fn a_flood_of_messages_by_who_does_not_read_comes_back_whole() {
    let count = 300;
    let messages: Vec<u8> = (0..count).flat_map(|n| text(format!("{n:0>60000}")).bytes()).collect();
    let mut replies = flood(&messages, Duration::from_millis(300));
    assert_eq!(replies.pop(), Some(Reply::close(1000)));
    assert_eq!(replies.len(), count);
    assert!(replies.iter().enumerate().all(|(n, reply)| *reply == Reply::text(format!("{n:0>60000}"))));
}

#[test]
fn a_pong_flood_is_passed_over() {
    // RFC 6455, 5.5.3. CVE-2021-3690: each of them once kept a buffer.
    let pongs = pong("nobody asked").bytes().repeat(100_000);
    let replies = flood(&[pongs, ping("still there?").bytes()].concat(), Duration::ZERO);
    assert_eq!(replies, [Reply::pong("still there?"), Reply::close(1000)]);
}

#[test]
fn empty_messages_by_the_thousand_come_back_empty() {
    let replies = flood(&text("").bytes().repeat(30_000), Duration::ZERO);
    assert_eq!(replies.len(), 30_001);
    assert!(replies[..30_000].iter().all(|reply| *reply == Reply::text("")));
}

#[test]
fn a_flood_of_one_does_not_starve_another() {
    let pings = ping([7; 125]).bytes().repeat(40_000);
    thread::scope(|scope| {
        let flooding = scope.spawn(|| flood(&pings, Duration::ZERO));
        let mut slowest = Duration::ZERO;
        while !flooding.is_finished() {
            let began = Instant::now();
            Talk::open(server(Limits::Default), Way::Whole).play(&[text("me too")], &[Reply::text("me too")]);
            slowest = slowest.max(began.elapsed());
        }
        assert!(slowest < Duration::from_secs(3), "{slowest:?}");
    });
}

/// A request with `count` fields in all, some of them as long as to make its head `len` bytes, if that is more.
fn request_with(count: usize, len: usize) -> Vec<u8> {
    let host = server(Limits::Default);
    let more: String = (5..count - 1).map(|n| format!("X-{n}: x\r\n")).collect();
    let short = upgrade(host, &format!("{more}X: \r\n")).len();
    upgrade(host, &format!("{more}X: {}\r\n", "x".repeat(len.saturating_sub(short))))
}

fn status_of(request: &[u8]) -> u16 {
    let mut pipe = Pipe::connect(server(Limits::Default), Way::Whole);
    pipe.write(request);
    pipe.answer().expect("an answer").status
}

#[test]
fn a_head_has_at_most_a_hundred_fields() {
    // CVE-2024-37890; RFC 6585, 5.
    assert_eq!(status_of(&request_with(100, 0)), 101);
    for count in [101, 200, 500] {
        check_last_answer(&request_with(count, 0), &[431]);
    }
}

#[test]
fn a_head_has_at_most_16_kib() {
    assert_eq!(status_of(&request_with(20, 16_000)), 101);
    for len in [17_000, 100_000, 20 << 20] {
        let began = Instant::now();
        let mut pipe = Pipe::connect(server(Limits::Default), Way::Whole);
        pipe.write(&request_with(20, len));
        let answer = pipe.answer().expect("an answer");
        assert!(answer.status == 431 && answer.closes(), "{answer:?}");
        pipe.expect_end();
        assert!(began.elapsed() < Duration::from_secs(10));
    }
    check_last_answer(&[b'x'; 20_000], &[400, 414, 431]);
    check_last_answer(format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(20_000)).as_bytes(), &[414, 431]);
    check_last_answer(&"X-Flood: x\r\n".repeat(3000).into_bytes(), &[400, 431]);
}

#[test]
fn a_head_byte_by_byte_costs_no_more_than_its_bytes() {
    // RUSTSEC-2023-0065: each read once began anew at the first byte.
    let began = Instant::now();
    let mut pipe = Pipe::connect(server(Limits::Default), Way::Whole);
    request_with(100, 16_000).chunks(1).for_each(|byte| pipe.write(byte));
    assert_upgraded(&pipe.answer().expect("an answer"), ACCEPT);
    assert!(began.elapsed() < Duration::from_secs(10));
}

/// The server ends about when its handshake's time is over; it may say why (RFC 9110, 15.5.9).
fn assert_timed_out(pipe: &mut Pipe, began: Instant) {
    if let Some(answer) = pipe.answer() {
        assert!(answer.status == 408 && answer.closes(), "{answer:?}");
    }
    pipe.expect_end();
    let took = began.elapsed();
    assert!((Duration::from_millis(250)..Duration::from_secs(3)).contains(&took), "{took:?}");
}

#[test]
fn a_handshake_that_stands_still_ends() {
    // CVE-2018-12122: silence from the beginning, or in the midst of a request.
    let request = upgrade("x", "");
    all([0, 1, 3, 20, request.len() - 1].map(|len| (len, len)), |&len| {
        let began = Instant::now();
        let mut pipe = Pipe::connect(server(Limits::Tight), Way::Whole);
        pipe.write(&request[..len]);
        assert_timed_out(&mut pipe, began);
    });
}

#[test]
fn a_handshake_that_drips_ends() {
    // The deadline is for the whole of it: no byte moves it.
    let began = Instant::now();
    let mut pipe = Pipe::connect(server(Limits::Tight), Way::Whole);
    let mut dripping = pipe.stream.try_clone().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || {
            for byte in upgrade("x", "").chunks(1) {
                if dripping.write_all(byte).is_err() {
                    return;
                }
                pause(Duration::from_millis(20));
            }
        });
        assert_timed_out(&mut pipe, began);
        let _ = pipe.stream.shutdown(Shutdown::Both);
    });
}

#[test]
fn a_connection_outlives_the_deadline_of_its_handshake() {
    let mut talk = Talk::open(server(Limits::Tight), Way::Whole);
    pause(Duration::from_millis(800));
    talk.play(&[text("hi")], &[Reply::text("hi")]);
}

#[test]
fn a_thousand_come_and_go_beside_one_that_stays() {
    let mut stays = Talk::open(server(Limits::Default), Way::Whole);
    all((0..1000).map(|n| (n, n)).collect::<Vec<_>>(), |n| {
        let mut talk = Talk::open(server(Limits::Default), Way::Whole);
        talk.send(&[text(n.to_string())]);
        if n % 3 > 0 {
            talk.expect(&[Reply::text(n.to_string())]);
        }
        if n % 3 > 1 {
            talk.close();
        }
    });
    stays.play(&[text("here")], &[Reply::text("here")]);
}
