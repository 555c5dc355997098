//! Text is UTF-8 (RFC 6455, section 8.1; RFC 3629): section 6 of the suite. Whoever sends anything else is closed with
//! 1007 on the first byte that no text can have there, wherever frames and segments end.

use crate::kit::*;
use std::str::from_utf8;
use std::time::Duration;

/// Text, then what no text can hold, in an encoding that once was.
const BEYOND_UNICODE: &[u8] = b"\xF4\x90\x80\x80";

/// Bytes after which none can make it text again; `None` where only its end is missing.
fn first_bad(bytes: &[u8]) -> Option<usize> {
    (1..=bytes.len()).find(|len| from_utf8(&bytes[..*len]).is_err_and(|error| error.error_len().is_some()))
}

/// As one frame, in fragments of a byte, and in the midst of a message, it comes back.
fn check_valid(bytes: &[u8]) {
    assert!(from_utf8(bytes).is_ok(), "a slip in the table");
    check(&[text(bytes)], &[Reply::text(bytes)]);
    check(&fragmented(1, bytes, 1), &[Reply::text(bytes)]);
    let around = [Reply::pong("?"), Reply::text([b"<", bytes, b">"].concat())];
    check(&[text("<").more(), rest(bytes).more(), ping("?"), rest(">")], &around);
}

/// Refused as one frame and in fragments of a byte; and on its first bad byte, though the frame's rest never comes.
fn check_invalid(bytes: &[u8]) {
    assert!(from_utf8(bytes).is_err(), "a slip in the table");
    let refused = [Reply::close(1007)];
    check(&[text(bytes), ping("behind")], &refused);
    check(&[&fragmented(1, bytes, 1)[..], &[ping("behind")]].concat(), &refused);
    if let Some(bad) = first_bad(bytes) {
        check(&[text(&bytes[..bad]).announcing(1000)], &refused);
        check(&[text("so far").more(), rest(&bytes[..bad]).more().announcing(70)], &refused);
    }
}

fn named(cases: impl IntoIterator<Item = Vec<u8>>) -> Vec<(String, Vec<u8>)> {
    cases.into_iter().map(|bytes| (bytes.escape_ascii().to_string(), bytes)).collect()
}

fn all_valid(cases: &[&[u8]]) {
    all(named(cases.iter().map(|bytes| bytes.to_vec())), |bytes| check_valid(bytes));
}

fn all_invalid(cases: &[&[u8]]) {
    all(named(cases.iter().map(|bytes| bytes.to_vec())), |bytes| check_invalid(bytes));
}

#[test]
fn empty_texts_and_empty_fragments_are_text() {
    // 6.1.
    check(&[text("")], &[Reply::text("")]);
    check(&[text("").more(), rest("").more(), rest("")], &[Reply::text("")]);
    check(&[text("").more(), rest("middle").more(), rest("")], &[Reply::text("middle")]);
}

#[test]
fn texts_of_every_script_come_back() {
    // 6.2, 6.5; 6.2.2 is cut on the border of a code point.
    let greeting = "Hello-µ@ßöäüàá-UTF-8!!";
    check(&[text("Hello-µ@ß").more(), rest("öäüàá-UTF-8!!")], &[Reply::text(greeting)]);
    for text in [greeting, "κόσμε", "Привет, мир", "日本語のテキスト", "𐍈𝄞😀 and a\u{301}ccents", "\u{FEFF}marked"]
    {
        check_valid(text.as_bytes());
    }
}

#[test]
fn a_prefix_is_text_unless_it_ends_within_a_code_point() {
    // 6.6.
    for text in ["κόσμε", "日本", "a😀"].map(str::as_bytes) {
        all(named((1..=text.len()).map(|len| text[..len].to_vec())), |prefix| match from_utf8(prefix) {
            Ok(_) => check_valid(prefix),
            Err(_) => check_invalid(prefix),
        });
    }
}

#[test]
fn the_first_and_last_code_points_of_each_length_are_text() {
    // 6.7, 6.9, 6.11: and those beside what is left out.
    all_valid(&[b"\x00", b"\xC2\x80", b"\xE0\xA0\x80", b"\xF0\x90\x80\x80"]);
    all_valid(&[b"\x7F", b"\xDF\xBF", b"\xEF\xBF\xBF", b"\xF4\x8F\xBF\xBF"]);
    all_valid(&[b"\xED\x9F\xBF", b"\xEE\x80\x80", b"\xEF\xBF\xBD", b"\xF4\x8F\xBF\xBF"]);
}

#[test]
fn nothing_lies_beyond_the_last_code_point() {
    // 6.8, 6.10, 6.11.5: longer forms, and numbers that Unicode does not have.
    all_invalid(&[b"\xF8\x88\x80\x80\x80", b"\xFC\x84\x80\x80\x80\x80"]);
    all_invalid(&[b"\xF7\xBF\xBF\xBF", b"\xFB\xBF\xBF\xBF\xBF", b"\xFD\xBF\xBF\xBF\xBF\xBF", BEYOND_UNICODE]);
}

#[test]
fn continuation_bytes_alone_are_no_text() {
    // 6.12.
    let alternating = |len| (0..len).map(|at| if at % 2 == 0 { 0x80 } else { 0xBF }).collect();
    let cases = [vec![0xBF], (0x80..=0xBE).collect()].into_iter().chain((1..=7).map(alternating));
    all(named(cases), |bytes| check_invalid(bytes));
}

#[test]
fn first_bytes_alone_are_no_text() {
    // 6.13: each byte that could begin a sequence, followed by a space.
    let spaced = |first: std::ops::RangeInclusive<u8>| first.flat_map(|byte| [byte, b' ']).collect::<Vec<u8>>();
    let ranges = [0xC0..=0xDF, 0xE0..=0xEF, 0xF0..=0xF7, 0xF8..=0xFB, 0xFC..=0xFD];
    all(named(ranges.map(spaced)), |bytes| check_invalid(bytes));
    all(named((0xC0..=0xFF).map(|byte| vec![b'a', byte, b' '])), |bytes| check_invalid(bytes));
}

#[test]
fn sequences_without_their_last_byte_are_no_text() {
    // 6.14, and 6.15: all of them in a row.
    let cases: [&[u8]; 10] = [
        b"\xC0",
        b"\xE0\x80",
        b"\xF0\x80\x80",
        b"\xF8\x80\x80\x80",
        b"\xFC\x80\x80\x80\x80",
        b"\xDF",
        b"\xEF\xBF",
        b"\xF7\xBF\xBF",
        b"\xFB\xBF\xBF\xBF",
        b"\xFD\xBF\xBF\xBF\xBF",
    ];
    all_invalid(&cases);
    check_invalid(&cases.concat());
}

#[test]
fn bytes_that_no_sequence_has_are_no_text() {
    // 6.16.
    all_invalid(&[b"\xFE", b"\xFF", b"\xFE\xFE\xFF\xFF"]);
}

#[test]
fn forms_longer_than_needed_are_no_text() {
    // 6.17 the slash, 6.18 the largest such forms, 6.19 NUL.
    all_invalid(&[b"\xC0\xAF", b"\xE0\x80\xAF", b"\xF0\x80\x80\xAF"]);
    all_invalid(&[b"\xF8\x80\x80\x80\xAF", b"\xFC\x80\x80\x80\x80\xAF"]);
    all_invalid(&[b"\xC1\xBF", b"\xE0\x9F\xBF", b"\xF0\x8F\xBF\xBF"]);
    all_invalid(&[b"\xF8\x87\xBF\xBF\xBF", b"\xFC\x83\xBF\xBF\xBF\xBF"]);
    all_invalid(&[b"\xC0\x80", b"\xE0\x80\x80", b"\xF0\x80\x80\x80"]);
    all_invalid(&[b"\xF8\x80\x80\x80\x80", b"\xFC\x80\x80\x80\x80\x80"]);
}

#[test]
fn surrogates_are_no_text_alone_or_in_pairs() {
    // 6.20, 6.21, and 6.3: behind good text.
    all_invalid(&[b"\xED\xA0\x80", b"\xED\xAD\xBF", b"\xED\xAE\x80", b"\xED\xAF\xBF"]);
    all_invalid(&[b"\xED\xB0\x80", b"\xED\xBE\x80", b"\xED\xBF\xBF"]);
    let halves = |high: &'static [u8; 3]| [b"\xED\xB0\x80", b"\xED\xBF\xBF"].map(|low| [&high[..], low].concat());
    let highs = [b"\xED\xA0\x80", b"\xED\xAD\xBF", b"\xED\xAE\x80", b"\xED\xAF\xBF"];
    all(named(highs.into_iter().flat_map(halves)), |bytes| check_invalid(bytes));
    check_invalid(&["κόσμε".as_bytes(), b"\xED\xA0\x80", b"edited"].concat());
}

#[test]
fn code_points_that_mean_nothing_are_text() {
    // 6.22 non-characters: the last two of every plane, and FDD0 to FDEF.
    let ends = (0..=16).flat_map(|plane| [plane << 16 | 0xFFFE, plane << 16 | 0xFFFF]);
    let encode = |point: u32| char::from_u32(point).unwrap().to_string().into_bytes();
    all(named(ends.chain(0xFDD0..=0xFDEF).map(encode)), |bytes| check_valid(bytes));
}

#[test]
fn special_code_points_are_text() {
    // 6.23: replacement and annotation characters, marks that turn the direction, the byte order mark.
    let points = ['\u{FFF9}', '\u{FFFA}', '\u{FFFB}', '\u{FFFC}', '\u{FFFD}', '\u{200E}', '\u{202E}', '\u{FEFF}'];
    all(named(points.map(|point| point.to_string().into_bytes())), |bytes| check_valid(bytes));
}

#[test]
fn bad_text_is_refused_on_its_byte_between_two_fragments() {
    // 6.4.1, 6.4.2: the message would go on. In the second, the code point began in the fragment before.
    for split in [0, 1] {
        let (before, bad) = BEYOND_UNICODE.split_at(split);
        each_way(server(Limits::Default), |talk| {
            talk.send(&[text(["κόσμε".as_bytes(), before].concat()).more(), ping("well so far")]);
            talk.expect(&[Reply::pong("well so far")]);
            pause(Duration::from_millis(20));
            talk.send(&[rest(bad).more()]);
            talk.expect_close(1007);
        });
    }
}

#[test]
fn bad_text_is_refused_on_its_byte_within_one_frame() {
    // 6.4.3, 6.4.4: one frame in three writes, of which the third is never made.
    for split in ["κόσμε".len(), "κόσμε".len() + 1] {
        let bytes = text(["κόσμε".as_bytes(), BEYOND_UNICODE, b"edited"].concat()).bytes();
        let header = bytes.len() - "κόσμεxxxxedited".len();
        each_way(server(Limits::Default), |talk| {
            talk.write(&bytes[..header + split]);
            pause(Duration::from_millis(20));
            talk.write(&bytes[header + split..header + split + 2]);
            talk.expect_close(1007);
        });
    }
}

#[test]
fn long_texts_are_checked_to_their_last_byte() {
    // Fast paths read many bytes at once: one bad byte at every place of a block, ASCII and not around it.
    let fill = |pattern: &str| pattern.repeat(300).into_bytes();
    for filler in [fill("a"), fill("é"), fill("語")] {
        let cases =
            (0..70).map(|at| [&filler[..filler.len() - 120], &fill("b")[..at], b"\xFF", &fill("c")[..50]].concat());
        let named = cases.enumerate().map(|(at, bytes)| (format!("{at} of {}", filler.len()), bytes));
        all(named.collect::<Vec<_>>(), |bytes| {
            let mut talk = Talk::open(server(Limits::Default), Way::Whole);
            talk.play(&[text(bytes), ping("behind")], &[Reply::close(1007)]);
            let mut talk = Talk::open(server(Limits::Default), Way::Whole);
            talk.play(&fragmented(1, bytes, 7), &[Reply::close(1007)]);
        });
    }
}
