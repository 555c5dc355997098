//! Frames and fragments (RFC 6455, section 5): sections 1 to 5, 9 and 10 of the suite, and what it leaves out.

use crate::kit::*;
use std::slice;
use std::time::Duration;

/// ASCII whose every part tells where it stands.
fn words(len: usize) -> Vec<u8> {
    (0..len).map(|at| b"0123456789abcdef"[(at ^ at >> 4 ^ at >> 9) & 15]).collect()
}

/// What is sent and what comes back.
type Case = (Vec<Frame>, Vec<Reply>);

/// Refused with 1002, and nothing behind it is looked at: the ping is not answered.
fn refused(frames: &[Frame]) -> Case {
    refused_after(&[], frames)
}

/// The same behind a good message.
fn refused_after(good: &[&str], frames: &[Frame]) -> Case {
    let sent = good.iter().map(text).chain(frames.iter().cloned()).chain([ping("behind")]).collect();
    (sent, good.iter().map(Reply::text).chain([Reply::close(1002)]).collect())
}

fn check_all<N: std::fmt::Display + Sync>(cases: impl AsRef<[(N, Case)]>) {
    all(cases, |(sent, expected)| check(sent, expected));
}

#[test]
fn messages_of_every_length_form_come_back_as_they_went() {
    // 1.1.1-1.2.8 (5.2). Large ones are written 997 bytes at a time where others go byte by byte.
    all([0, 125, 126, 127, 128, 65_535, 65_536].map(|size| (size, words(size))), |payload| {
        check(&[text(payload)], &[Reply::text(payload)]);
        check(&[binary(payload)], &[Reply::binary(payload)]);
    });
}

#[test]
fn bytes_that_are_no_text_come_back_as_binary() {
    let every: Vec<u8> = (0..=255).collect();
    let expected = [Reply::binary(&every), Reply::binary(b"\0"), Reply::text("\0")];
    check(&[binary(&every), binary(b"\0"), text("\0")], &expected);
}

#[test]
fn any_mask_is_taken_off_and_begins_anew_with_each_frame() {
    // 5.3.
    all([[0; 4], [0xFF; 4], [0, 0, 0, 1], *b"mask"].map(|key| (format!("{key:?}"), key)), |key| {
        let mut frames = vec![text("").more().masked(*key)];
        frames.extend(["a", "", "bc", "def", "ghij", "klmno"].map(|piece| rest(piece).more().masked(*key)));
        frames.push(rest("p").masked([1, 2, 3, 4]));
        check(&frames, &[Reply::text("abcdefghijklmnop")]);
    });
}

#[test]
fn pings_are_answered_with_their_payload() {
    // Section 2 (5.5.2, 5.5.3). A control frame's payload need not be UTF-8.
    let numbered = |n| format!("payload {n}");
    check_all([
        ("2.1 empty", (vec![ping("")], vec![Reply::pong("")])),
        ("2.2 text", (vec![ping("Hello, world!")], vec![Reply::pong("Hello, world!")])),
        ("2.3 no UTF-8", (vec![ping(b"\x00\xff\xfe\xfd")], vec![Reply::pong(b"\x00\xff\xfe\xfd")])),
        ("2.4, 2.6 the longest", (vec![ping([0xFE; 125])], vec![Reply::pong([0xFE; 125])])),
        ("2.5 too long", refused(&[ping([0xFE; 126])])),
        ("2.7 a pong nobody asked for", (vec![pong("")], vec![])),
        ("2.8 one with a payload", (vec![pong("unsolicited")], vec![])),
        ("2.9 and a ping", (vec![pong("unsolicited"), ping("asked")], vec![Reply::pong("asked")])),
        ("ten pongs", ((0..10).map(|n| pong(numbered(n))).collect(), vec![])),
    ]);
}

#[test]
fn ten_pings_in_a_row_are_answered_in_order() {
    // 2.10, 2.11 (5.5.3).
    let payloads: Vec<String> = (0..10).map(|n| format!("payload {n}")).collect();
    let pings: Vec<Frame> = payloads.iter().map(ping).collect();
    check(&pings, &payloads.iter().map(Reply::pong).collect::<Vec<Reply>>());
}

#[test]
fn reserved_bits_end_the_connection() {
    // Section 3 (5.2): no extension was agreed on.
    check_all([
        ("3.1 text", refused(&[text("bad").rsv(1)])),
        ("3.2", refused_after(&["good"], &[text("bad").rsv(2)])),
        ("3.3", refused_after(&["good"], &[text("bad").rsv(3)])),
        ("3.4", refused_after(&["good"], &[text("bad").rsv(4)])),
        ("3.5 binary", refused(&[binary("bad").rsv(5)])),
        ("3.6 ping", refused(&[ping("bad").rsv(6)])),
        ("3.7 close", refused(&[close(1000).rsv(7)])),
        ("pong", refused(&[pong("").rsv(1)])),
        ("empty text", refused(&[text("").rsv(4)])),
        ("first fragment", refused(&[text("bad").rsv(1).more(), rest("")])),
        ("continuation", refused(&[text("good").more(), rest("bad").rsv(4)])),
    ]);
}

#[test]
fn reserved_opcodes_end_the_connection() {
    // Section 4 (5.2).
    let forms = |opcode: u8| {
        [
            (format!("{opcode} empty"), refused(&[frame(opcode, "")])),
            (format!("{opcode} with a payload"), refused(&[frame(opcode, "reserved")])),
            (format!("{opcode} behind a text"), refused_after(&["good"], &[frame(opcode, "")])),
            (format!("{opcode} with a payload behind two"), refused_after(&["good", "more"], &[frame(opcode, "no")])),
            (format!("{opcode} within a message"), refused(&[text("good").more(), frame(opcode, "x"), rest("")])),
        ]
    };
    check_all((3..=7).chain(11..=15).flat_map(forms).collect::<Vec<_>>());
}

#[test]
fn fragments_are_one_message() {
    // 5.3-5.8, 10.1.1 (5.4): control frames come between them and are answered at once.
    let (first, second) = (text("fragment1").more(), rest("fragment2"));
    let long = words(65_536);
    check_all([
        ("5.3-5.5", (vec![first.clone(), second.clone()], vec![Reply::text("fragment1fragment2")])),
        (
            "5.6-5.8 a ping between",
            (vec![first.clone(), ping("?"), second.clone()], vec![Reply::pong("?"), Reply::text("fragment1fragment2")]),
        ),
        ("a pong between", (vec![first, pong("!"), second], vec![Reply::text("fragment1fragment2")])),
        ("binary", (vec![binary([0xFF]).more(), rest([0xFE])], vec![Reply::binary([0xFF, 0xFE])])),
        ("empty ones", (vec![text("").more(), rest("").more(), rest("")], vec![Reply::text("")])),
        ("10.1.1", (fragmented(1, &long, 1300), vec![Reply::text(&long)])),
    ]);
}

#[test]
fn fragments_out_of_place_end_the_connection() {
    // 5.1, 5.2, 5.9-5.18 (5.4, 5.5).
    let whole = [text("frag").more(), rest("ment")];
    let stray_between =
        |stray: Frame| refused(&[slice::from_ref(&stray), &whole, slice::from_ref(&stray), &whole].concat());
    let behind = [&whole[..], &[rest("stray").more(), text("not echoed"), ping("")]].concat();
    check_all([
        ("5.1 ping in two fragments", refused(&[ping("frag").more(), rest("ment")])),
        ("5.2 pong in two fragments", refused(&[pong("frag").more(), rest("ment")])),
        ("close in two fragments", refused(&[close(1000).more(), rest("ment")])),
        ("5.9-5.11 nothing to continue", refused(&[rest("stray"), text("not echoed")])),
        ("5.12-5.14 and more of it", refused(&[rest("stray").more(), text("not echoed")])),
        ("5.15 behind a fragmented text", (behind, vec![Reply::text("fragment"), Reply::close(1002)])),
        ("5.16", stray_between(rest("stray").more())),
        ("5.17", stray_between(rest("stray"))),
        ("5.18 text within a text", refused(&[text("frag").more(), text("ment")])),
        ("binary within a text", refused(&[text("frag").more(), binary("ment").more()])),
        ("a continued pong", refused(&[text("frag").more(), pong("").more(), rest("ment")])),
    ]);
}

#[test]
fn a_ping_between_fragments_is_answered_before_the_message_is_complete() {
    // 5.19, 5.20 (5.4): with pauses, so that an answer that waits for the message never comes.
    each_way(server(Limits::Default), |talk| {
        talk.send(&[text("one ").more(), rest("two ").more(), ping("first")]);
        talk.expect(&[Reply::pong("first")]);
        pause(Duration::from_millis(100));
        talk.send(&[rest("three ").more(), rest("four ").more(), ping("second")]);
        talk.expect(&[Reply::pong("second")]);
        pause(Duration::from_millis(100));
        talk.play(&[rest("five")], &[Reply::text("one two three four five")]);
    });
}

#[test]
fn clients_mask_every_frame() {
    // 5.1.
    check_all([
        ("text", refused(&[text("bare").unmasked()])),
        ("empty text", refused(&[text("").unmasked()])),
        ("behind a good one", refused_after(&["good"], &[binary("bare").unmasked()])),
        ("continuation", refused(&[text("good").more(), rest("bare").unmasked()])),
        ("ping", refused(&[ping("bare").unmasked()])),
        ("pong", refused(&[pong("").unmasked()])),
        ("close", refused(&[close(1000).unmasked()])),
    ]);
}

#[test]
fn lengths_come_in_their_shortest_form() {
    // 5.2: "the minimal number of bytes MUST be used", and the highest bit of eight is zero.
    check_all([
        ("empty in two", refused(&[text("").two_byte_length()])),
        ("125 in two", refused(&[binary([0; 125]).two_byte_length()])),
        ("125 in eight", refused(&[binary([0; 125]).eight_byte_length()])),
        ("65,535 in eight", refused_after(&["good"], &[binary([0; 65_535]).eight_byte_length()])),
        ("a ping in two", refused(&[ping("x").two_byte_length()])),
        ("a close in eight", refused(&[close(1000).eight_byte_length()])),
        ("highest bit", refused(&[text("x").announcing(1 << 63)])),
        ("highest bit and one", refused(&[text("x").announcing(0x8000_0000_0000_0001)])),
        ("every bit", refused(&[rest("x").announcing(u64::MAX)])),
    ]);
}

#[test]
fn what_the_header_breaks_is_refused_before_a_payload_comes() {
    // 5.2: whoever waits for the payload of a bad frame waits for whatever its sender likes.
    let headers = [0x83, 0x8F, 0x91, 0xA2, 0xC1, 0x80, 0x09, 0x08].map(|first| vec![first]);
    let longer =
        [&[0x81, 0x05][..], &[0x89, 0xFE], &[0x88, 0xFF], &[0x81, 0xFE, 0, 0x7D], b"\x82\xFF\x80\0\0\0\0\0\0\0"];
    let longer = longer.map(<[u8]>::to_vec);
    let cases: Vec<_> = headers.into_iter().chain(longer).map(|bytes| (format!("{bytes:02x?}"), bytes)).collect();
    all(cases, |bytes| {
        each_way(server(Limits::Default), |talk| {
            talk.write(bytes);
            talk.expect_close(1002);
        });
    });
}

#[test]
fn a_message_may_be_cut_anywhere_in_its_header_and_its_mask() {
    // 5.2: two segments, cut behind each of the first fifteen bytes, for each form of the length.
    let cuts = |len| (1..16).map(move |cut| (format!("{len} at {cut}"), (len, cut)));
    all([10, 300, 65_536].into_iter().flat_map(cuts).collect::<Vec<_>>(), |&(len, cut)| {
        let payload = words(len);
        let bytes = text(&payload).bytes();
        let mut talk = Talk::open(server(Limits::Default), Way::Whole);
        talk.write(&bytes[..cut]);
        pause(Duration::from_millis(1));
        talk.write(&bytes[cut..]);
        talk.play(&[], &[Reply::text(payload)]);
    });
}

#[test]
fn a_text_heartbeat_is_answered_in_a_text() {
    check(&[text("ping"), text("PING")], &[Reply::text("pong"), Reply::text("PONG")]);
}

#[test]
fn large_messages_come_back_in_whatever_fragments_and_segments() {
    // 9.1-9.6 up to 1 MiB, in frames and in chops of sizes from 64 bytes (65,536 fragments are in the tests of limits).
    let whole = [1 << 16, 1 << 18, 1 << 20].map(|len| (len, len, 1 << 20));
    let fragments = [256, 1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18].map(|size| (1 << 20, size, 1 << 20));
    let chops = [64, 128, 256, 512, 1024, 2048].map(|chop| (1 << 20, 1 << 20, chop));
    let cases: Vec<_> =
        [&whole[..], &fragments, &chops].concat().into_iter().map(|case| (format!("{case:?}"), case)).collect();
    all(cases, |&(len, fragment, chop)| {
        let payload = words(len);
        for opcode in [1, 2] {
            let bytes: Vec<u8> = fragmented(opcode, &payload, fragment).iter().flat_map(Frame::bytes).collect();
            let mut talk = Talk::open(server(Limits::Roomy), Way::Whole);
            bytes.chunks(chop).for_each(|piece| talk.write(piece));
            talk.expect(&[if opcode == 1 { Reply::text(&payload) } else { Reply::binary(&payload) }]);
            talk.close();
        }
    });
}

#[test]
fn hundreds_of_echoes_follow_one_another() {
    // 9.7, 9.8: a thousand in the suite.
    all([0, 16, 64, 256, 1 << 10, 1 << 12].map(|size| (size, words(size))), |payload| {
        let mut talk = Talk::open(server(Limits::Default), Way::Whole);
        for _ in 0..150 {
            talk.send(&[text(payload)]);
            talk.expect(&[Reply::text(payload)]);
            talk.send(&[binary(payload)]);
            talk.expect(&[Reply::binary(payload)]);
        }
        talk.close();
    });
}
