//! Streams of frames and what must come out of them, however they are cut.

use super::*;
use crate::wire::websocket::Mask;
use proptest::prelude::*;

const RULES: FrameRules =
    FrameRules { sender: Sender::Client, compression: false, max_message_bytes: 200, max_fragments: 5 };

/// A masked frame whose first byte is given.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut mask = Mask::new([0x37, 0xfa, 0x21, 0x3d]);
    let mut out = vec![first];
    match u16::try_from(payload.len()) {
        Ok(len @ 0..=125) => out.push(0x80 | len as u8),
        Ok(len) => {
            out.push(0x80 | 126);
            out.extend_from_slice(&len.to_be_bytes());
        }
        Err(_) => panic!("longer than these tests need"),
    }
    out.extend_from_slice(&mask.key());
    let at = out.len();
    out.extend_from_slice(payload);
    mask.apply(&mut out[at..]);
    out
}

/// What comes out of `stream` in pieces of these sizes, as text; a refusal is the last.
fn read(stream: &[u8], sizes: &[usize], rules: &FrameRules) -> Vec<String> {
    let (mut reader, mut pool, mut found) = (FrameReader::default(), Pool::new(0), Vec::new());
    let mut rest = stream;
    for size in sizes.iter().cycle() {
        let (piece, later) = rest.split_at((*size).clamp(1, rest.len().max(1)).min(rest.len()));
        rest = later;
        let mut piece = piece.to_vec();
        let mut bytes = &mut piece[..];
        loop {
            match reader.next(&mut bytes, rules, &mut pool) {
                Ok(Some(what)) => found.push(told(what, &mut pool)),
                Ok(None) => break,
                Err(broken) => {
                    found.push(format!("refused: {broken}"));
                    rest = &[];
                    break;
                }
            }
        }
        if rest.is_empty() {
            break;
        }
    }
    reader.clear(&mut pool);
    assert_eq!(pool.lent_bytes(), 0, "all memory came back");
    found
}

fn told(found: Found<'_>, pool: &mut Pool) -> String {
    let (name, payload) = match found {
        Found::Message { payload, kind, compressed } => {
            (format!("{kind:?}{}", if compressed { " compressed" } else { "" }), payload)
        }
        Found::Ping(payload) => ("Ping".to_owned(), payload),
        Found::Pong(payload) => ("Pong".to_owned(), payload),
        Found::Close(payload) => ("Close".to_owned(), payload),
    };
    let text = format!("{name} {}", payload.bytes().escape_ascii());
    payload.give_back(pool, &mut super::super::Compressor::default());
    text
}

#[track_caller]
fn check(frames: &[Vec<u8>], expected: &[&str]) {
    check_with(&RULES, frames, expected);
}

#[track_caller]
fn check_with(rules: &FrameRules, frames: &[Vec<u8>], expected: &[&str]) {
    let stream = frames.concat();
    for size in 1..=stream.len() {
        assert_eq!(read(&stream, &[size], rules), expected, "in pieces of {size}");
    }
}

#[test]
fn messages_come_out_as_what_they_are() {
    check(&[frame(0x81, b"hi"), frame(0x82, b"\xff"), frame(0x81, b"")], &["Text hi", r"Binary \xff", "Text "]);
}

#[test]
fn fragments_are_put_together_and_control_frames_pass_between_them() {
    let frames = [frame(0x01, b"a"), frame(0x89, b"p"), frame(0x00, b""), frame(0x8A, b""), frame(0x80, b"b")];
    check(&frames, &["Ping p", "Pong ", "Text ab"]);
}

#[test]
fn what_stands_in_the_wrong_place_is_refused() {
    check(&[frame(0x80, b"x")], &["refused: continuation of nothing"]);
    check(&[frame(0x01, b"a"), frame(0x81, b"b")], &["refused: new message inside an unfinished one"]);
    check(&[frame(0x81, b"a"), frame(0x00, b"b")], &["Text a", "refused: continuation of nothing"]);
}

#[test]
fn text_is_refused_on_its_first_wrong_byte() {
    check(&[frame(0x81, b"a\xC0\xAFb")], &["refused: text is not UTF-8"]);
    let split = [frame(0x01, b"\xE2\x82"), frame(0x80, b"\xAC")];
    check(&split, &[r"Text \xe2\x82\xac"]);
    let mut unfinished = frame(0x81, b"fine so far, then \xFF and much more");
    unfinished.truncate(6 + 19);
    assert_eq!(read(&unfinished, &[unfinished.len()], &RULES), ["refused: text is not UTF-8"]);
    check(&[frame(0x81, b"\xE2\x82")], &["refused: text is not UTF-8"]);
}

#[test]
fn the_limit_counts_all_fragments_and_is_checked_on_the_header() {
    let fits = [frame(0x02, &[b'x'; 100]), frame(0x80, &[b'x'; 100])];
    assert_eq!(read(&fits.concat(), &[7], &RULES).len(), 1);
    let over = [frame(0x02, &[b'x'; 100]), frame(0x89, b""), frame(0x80, &[b'x'; 101])[..6].to_vec()];
    check(&over, &["Ping ", "refused: message too large"]);
    let huge = b"\x82\xFF\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFFmask".to_vec();
    check(&[huge], &["refused: message too large"]);
}

#[test]
fn fragments_are_counted() {
    let five = [frame(0x01, b""), frame(0, b""), frame(0, b""), frame(0, b""), frame(0x80, b"end")];
    check(&five, &["Text end"]);
    let six = [frame(0x01, b""), frame(0, b""), frame(0, b""), frame(0, b""), frame(0, b""), frame(0x80, b"end")];
    check(&six, &["refused: too many fragments"]);
}

#[test]
fn compression_is_told_and_its_text_left_to_who_inflates() {
    let rules = FrameRules { compression: true, ..RULES };
    check_with(&rules, &[frame(0xC1, b"\xFF"), frame(0x81, b"plain")], &[r"Text compressed \xff", "Text plain"]);
    check_with(&rules, &[frame(0x41, b"\xFF"), frame(0x80, b"!")], &[r"Text compressed \xff!"]);
}

proptest! {
    #[test]
    fn any_bytes_mean_the_same_however_they_are_cut(
        stream in prop::collection::vec(prop_oneof![Just(0x81u8), Just(0x01), Just(0x80), Just(0x89), any::<u8>()], 0..80),
        sizes in prop::collection::vec(1usize..20, 1..6),
    ) {
        prop_assert_eq!(read(&stream, &sizes, &RULES), read(&stream, &[stream.len().max(1)], &RULES));
    }

    #[test]
    fn frames_mean_the_same_however_they_are_cut(
        frames in prop::collection::vec(
            (prop_oneof![Just(0x81u8), Just(0x82), Just(0x01), Just(0x00), Just(0x80), Just(0x89), Just(0x8A)],
             prop::collection::vec(b'a'..=b'z', 0..150)),
            0..8),
        sizes in prop::collection::vec(1usize..200, 1..6),
    ) {
        let stream: Vec<u8> = frames.iter()
            .flat_map(|(first, payload)| frame(*first, &payload[..payload.len().min(if first & 8 == 8 { 125 } else { 150 })]))
            .collect();
        prop_assert_eq!(read(&stream, &sizes, &RULES), read(&stream, &[stream.len().max(1)], &RULES));
    }
}
