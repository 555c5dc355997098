//! Compressed messages (RFC 7692): sections 12 and 13 of the suite, the RFC's own examples, and what must not inflate.

use crate::kit::*;
use flate2::{Compress, Compression, FlushCompress};
use std::slice;

const MESSAGE: usize = 64 << 10;

/// Plays it on a connection with compression for each way to cut it, without context takeover and with. The request goes
/// first: its answer says what may follow.
fn each_deflated(play: impl Fn(&mut Deflated)) {
    for way in [Way::Whole, Way::ByFrame, Way::ByByte] {
        play(&mut Deflated::open(server(Limits::Default), way));
        play(&mut Deflated::open(server(Limits::Takeover), way));
    }
}

fn check_deflated(sent: &[Frame], expected: &[Reply]) {
    each_deflated(|peer| peer.play(sent, expected));
}

/// A whole compressed text.
fn marked(payload: impl AsRef<[u8]>) -> Frame {
    text(payload).rsv(4)
}

/// `payload` in a stream of its own.
fn raw(payload: &[u8], flush: FlushCompress) -> Vec<u8> {
    deflate(&mut Compress::new(Compression::best(), false), payload, flush)
}

/// The suite's kinds of data, of this length.
#[derive(Debug, Clone, Copy)]
enum Data {
    Json,
    Bitmap,
    German,
    Html,
    Pdf,
}

const DATA: [Data; 5] = [Data::Json, Data::Bitmap, Data::German, Data::Html, Data::Pdf];

impl Data {
    /// A message of `len` bytes; `n` tells one from the next.
    fn message(self, n: usize, len: usize) -> Reply {
        let line = |at: usize| match self {
            Data::Json => {
                format!("{{\"id\":{at},\"name\":\"user-{}\",\"tags\":[\"a\",\"b\"],\"ok\":true}},", at * 7919 % 997)
            }
            Data::German => format!("Über {at} Brücken mußt du geh'n, {} Straßen überqueren. ", at * 31 % 89),
            Data::Html => format!("<tr class=\"row-{at}\"><td>&nbsp;{}</td><td>é</td></tr>\n", at * 101 % 211),
            Data::Bitmap => (0..64).map(|x| if (x ^ (at / 8)) & 12 == 0 { '\u{7f}' } else { '\0' }).collect(),
            Data::Pdf => format!("{at} 0 obj <</Length {}>> stream ", at * 13),
        };
        let mut bytes = Vec::new();
        let mut noise = n as u64 + 1;
        for at in n.. {
            if bytes.len() >= len {
                break;
            }
            bytes.extend_from_slice(line(at).as_bytes());
            if matches!(self, Data::Pdf) {
                bytes.extend((0..80).map(|_| random(&mut noise)));
            }
        }
        match self {
            Data::Bitmap | Data::Pdf => Reply::binary(&bytes[..len]),
            Data::Json | Data::German | Data::Html => Reply::text(cut_text(bytes, len)),
        }
    }
}

/// A byte that no compressor foresees (xorshift).
fn random(state: &mut u64) -> u8 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 32) as u8
}

/// The first `len` bytes; a code point that would be cut is replaced by spaces.
fn cut_text(mut bytes: Vec<u8>, len: usize) -> Vec<u8> {
    bytes.truncate(len);
    let whole = bytes.utf8_chunks().next().map_or(0, |chunk| chunk.valid().len());
    bytes[whole..].fill(b' ');
    bytes
}

/// Sizes of messages, and of their fragments: 12.x.1 to 12.x.18.
fn sizes() -> Vec<(usize, usize)> {
    let whole =
        [16, 64, 256, 1 << 10, 1 << 12, 1 << 13, 1 << 14, 1 << 15, 1 << 16, 1 << 17].map(|len| (len, usize::MAX));
    let fragmented = [1 << 13, 1 << 14, 1 << 15, 1 << 16, 1 << 17].map(|len| (len, 256));
    let larger = [1 << 10, 1 << 12, 1 << 15].map(|fragment| (1 << 17, fragment));
    [&whole[..], &fragmented, &larger].concat()
}

/// Messages of one size echoed one by one: a thousand in the suite, here as many as make some 64 KiB. First by a server
/// that begins each message anew, then, where they fit, by one that keeps its context.
fn echo_many((words, meant): (&str, &[Offer]), data: Data, (len, fragment): (usize, usize)) {
    let fitting = if len <= MESSAGE { &[Limits::Roomy, Limits::Takeover][..] } else { &[Limits::Roomy] };
    for limits in fitting {
        let mut peer = Deflated::open_with(server(*limits), Way::Whole, words, meant);
        for n in 0..(MESSAGE / len).clamp(2, 40) {
            let message = data.message(n * 5, len);
            peer.send(&message, fragment);
            peer.expect(&[message]);
        }
        peer.talk.close();
    }
}

#[test]
fn messages_of_every_kind_and_size_come_back_compressed_or_not() {
    // 12.1-12.5.
    let each = |data: Data| sizes().into_iter().map(move |size| (format!("{data:?} {size:?}"), (data, size)));
    all(DATA.into_iter().flat_map(each).collect::<Vec<_>>(), |&(data, size)| {
        echo_many(("permessage-deflate", &[Offer::default()]), data, size);
    });
}

#[test]
fn every_way_to_negotiate_gives_messages_that_inflate() {
    // 13.1-13.7: an answer holds the server to what it says.
    let offer = |server_no_takeover, server_bits| Offer { server_no_takeover, server_bits, ..Offer::default() };
    let offers = [
        ("permessage-deflate", vec![offer(false, None)]),
        ("permessage-deflate; server_no_context_takeover", vec![offer(true, None)]),
        ("permessage-deflate; server_max_window_bits=9", vec![offer(false, Some(9))]),
        ("permessage-deflate; server_max_window_bits=15", vec![offer(false, Some(15))]),
        ("permessage-deflate; server_no_context_takeover; server_max_window_bits=9", vec![offer(true, Some(9))]),
        ("permessage-deflate; server_max_window_bits=15; server_no_context_takeover", vec![offer(true, Some(15))]),
        (
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=9, \
             permessage-deflate; server_no_context_takeover, permessage-deflate",
            vec![offer(true, Some(9)), offer(true, None), offer(false, None)],
        ),
    ];
    let each = |(words, meant): &(&'static str, Vec<Offer>)| {
        let case = (*words, meant.clone());
        sizes().into_iter().map(move |size| (format!("{} {size:?}", case.0), (case.clone(), size)))
    };
    all(offers.iter().flat_map(each).collect::<Vec<_>>(), |((words, meant), size)| {
        echo_many((words, meant), Data::Json, *size);
    });
}

#[test]
fn the_server_keeps_to_the_window_it_agreed_on() {
    // RFC 7692, 7.1.2.1: noise that comes twice, at a distance that only a larger window spans.
    let mut noise = 1;
    let half: Vec<u8> = (0..3000).map(|_| b"0123456789abcdef"[usize::from(random(&mut noise)) % 16]).collect();
    let message = text(half.repeat(2));
    for (bits, limits) in [(9, Limits::Default), (11, Limits::Default), (9, Limits::Takeover), (11, Limits::Takeover)] {
        let meant = Offer { server_bits: Some(bits), ..Offer::default() };
        let words = format!("permessage-deflate; server_max_window_bits={bits}");
        let mut peer = Deflated::open_with(server(limits), Way::Whole, &words, &[meant]);
        for _ in 0..3 {
            peer.talk.send(slice::from_ref(&message));
            assert_eq!(peer.reply(), Some((Reply::text(half.repeat(2)), true)));
        }
    }
}

#[test]
fn a_server_that_keeps_its_context_makes_use_of_it() {
    // RFC 7692, 7.1.1.1, 7.2.3.2: what came before is told in a few bytes, unless the client would have none of that.
    let mut noise = 2;
    let message = binary((0..900).map(|_| random(&mut noise)).collect::<Vec<u8>>());
    let second_len = |offer, meant| {
        let mut peer = Deflated::open_with(server(Limits::Takeover), Way::Whole, offer, &[meant]);
        peer.talk.send(&[message.clone(), message.clone()]);
        [(); 2].map(|()| peer.talk.frame().unwrap().payload.len())[1]
    };
    assert!(second_len("permessage-deflate", Offer::default()) < 50);
    let forgetful = Offer { server_no_takeover: true, ..Offer::default() };
    assert!(second_len("permessage-deflate; server_no_context_takeover", forgetful) >= 900);
}

#[test]
fn a_message_that_compresses_well_comes_back_compressed() {
    // Or the extension would be agreed on for nothing.
    each_deflated(|peer| {
        let message = Data::Json.message(0, 20_000);
        peer.send(&message, 1000);
        assert_eq!(peer.reply(), Some((message, true)));
    });
}

#[test]
fn the_examples_of_the_rfc_are_understood() {
    // RFC 7692, 7.2.3.1, 7.2.3.3-7.2.3.5.
    let hello = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
    let cases: [(&str, Vec<Frame>); 5] = [
        ("one block", vec![marked(hello)]),
        ("in two fragments", vec![marked(&hello[..3]).more(), rest(&hello[3..])]),
        ("a block without compression", vec![marked(b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00")]),
        ("a final block", vec![marked(b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00")]),
        ("two blocks", vec![marked(b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00")]),
    ];
    all(cases, |frames| check_deflated(frames, &[Reply::text("Hello")]));
}

#[test]
fn a_final_block_ends_its_message_and_nothing_else() {
    // RFC 7692, 7.2.3.4: the next message begins a new stream, or goes on with the window.
    let ended = marked([raw(b"first", FlushCompress::Finish), vec![0]].concat());
    let second = marked(b"\xf2\x48\xcd\xc9\xc9\x07\x00");
    let expected = [Reply::text("first"), Reply::text("Hello"), Reply::text("first")];
    check_deflated(&[ended.clone(), second, ended], &expected);
}

#[test]
fn the_context_goes_on_only_if_that_was_agreed() {
    // RFC 7692, 7.1.1.2, 7.2.3.2: the second message says "what you have there already".
    each_deflated(|peer| {
        let again = marked(b"\xf2\x00\x11\x00\x00");
        let expected = if peer.agreed.client_takeover { Reply::text("Hello") } else { Reply::close(1007) };
        peer.play(&[marked(b"\xf2\x48\xcd\xc9\xc9\x07\x00"), again], &[Reply::text("Hello"), expected]);
    });
}

#[test]
fn no_message_reaches_back_into_another_connection() {
    // Inflaters may be shared; what one connection sent must not be there for the next.
    for _ in 0..20 {
        let mut first = Deflated::open(server(Limits::Default), Way::Whole);
        let secret = Reply::text("secret".repeat(1000));
        first.send(&secret, usize::MAX);
        first.expect(&[secret]);
        let mut second = Deflated::open(server(Limits::Default), Way::Whole);
        second.play(&[marked(b"\xf2\x00\x11\x00\x00")], &[Reply::close(1007)]);
    }
}

#[test]
fn empty_messages_may_be_compressed() {
    // RFC 7692, 7.2.3.6.
    let empty = [Reply::text("")];
    for payload in [&b"\x00"[..], b"\x02\x00", b"\x00\x00\x00\xff\xff\x00", b"\x03\x00\x00"] {
        check_deflated(&[marked(payload)], &empty);
        check_deflated(&[marked(payload).more(), rest("")], &empty);
        check_deflated(&[marked("").more(), rest(payload)], &empty);
    }
}

#[test]
fn uncompressed_messages_may_come_between() {
    // RFC 7692, 6: the mark is a message's own choice.
    let hello = marked(b"\xf2\x48\xcd\xc9\xc9\x07\x00");
    let sent = [text("plain"), hello.clone(), binary(b"\xff"), text("pl").more(), rest("ain"), hello];
    let (plain, compressed) = (Reply::text("plain"), Reply::text("Hello"));
    check_deflated(&sent, &[plain.clone(), compressed.clone(), Reply::binary(b"\xff"), plain, compressed]);
}

#[test]
fn control_frames_may_come_between_compressed_fragments() {
    // RFC 7692, 6.1: and are never compressed themselves.
    let frames = [marked(b"\xf2\x48\xcd").more(), ping("?"), rest(b"\xc9\xc9").more(), pong("!"), rest(b"\x07\x00")];
    check_deflated(&frames, &[Reply::pong("?"), Reply::text("Hello")]);
}

#[test]
fn the_mark_stands_on_first_fragments_only() {
    // RFC 7692, 6, 7.2.1; the other reserved bits have no meaning yet.
    let refused = [Reply::close(1002)];
    for frames in [
        vec![marked(b"\xf2\x48\xcd").more(), rest(b"\xc9\xc9\x07\x00").rsv(4)],
        vec![text("He").more(), rest("llo").rsv(4)],
        vec![ping("?").rsv(4)],
        vec![pong("!").rsv(4)],
        vec![close(1000).rsv(4)],
        vec![text("x").rsv(1)],
        vec![text("x").rsv(2)],
        vec![text("x").rsv(6)],
    ] {
        check_deflated(&[&frames[..], &[ping("behind")]].concat(), &refused);
    }
}

#[test]
fn what_does_not_inflate_is_refused() {
    // RFC 7692, 7.2.2: a block type that is none, a length and its complement at odds, codes that can't be, distances
    // before the beginning, and streams that are cut.
    let cut = raw(b"a message that is cut somewhere in its midst", FlushCompress::Sync);
    let cases: [&[u8]; 10] = [
        b"\x06",
        b"\xff\xff\xff\xff",
        b"\x00\x05\x00\xfa\xfeHello\x00",
        b"\x00\x05\x00\x05\x00Hello\x00",
        b"\x04\xff\xff\xff\xff\xff\xff\xff",
        b"\xf2\x00\x11\x00\x00",
        b"Hello, I was never compressed",
        &cut[..cut.len() / 2],
        b"\x00\x05\x00\xfa\xffHe",
        b"\x00\x20\x00\xdf\xffHe",
    ];
    all(cases.map(|bytes| (bytes.escape_ascii().to_string(), bytes)), |bytes| {
        // As binary too, where no UTF-8 gives garbage away.
        check_deflated(&[binary(bytes).rsv(4), ping("behind")], &[Reply::close(1007)]);
        check_deflated(&[marked(bytes), ping("behind")], &[Reply::close(1007)]);
        check_deflated(&[&fragments_of(bytes)[..], &[ping("behind")]].concat(), &[Reply::close(1007)]);
    });
}

/// A compressed message in fragments of a byte.
fn fragments_of(bytes: &[u8]) -> Vec<Frame> {
    let mut frames = fragmented(1, bytes, 1);
    frames[0] = frames[0].clone().rsv(4);
    frames
}

#[test]
fn bad_data_of_one_is_no_harm_to_the_next() {
    // A shared inflater is clean again after it failed in the midst of a block.
    let cut = raw(&[b'x'; 5000], FlushCompress::Sync);
    for _ in 0..20 {
        let mut bad = Deflated::open(server(Limits::Default), Way::Whole);
        bad.play(&[marked(&cut[..5]), marked(b"\x06")], &[Reply::close(1007)]);
        let mut good = Deflated::open(server(Limits::Default), Way::Whole);
        good.play(&[marked(b"\xf2\x48\xcd\xc9\xc9\x07\x00")], &[Reply::text("Hello")]);
    }
}

#[test]
fn inflated_text_is_utf8() {
    // RFC 7692, 6.2; RFC 6455, 8.1.
    for bytes in [&b"\xff"[..], b"good, then \xed\xa0\x80", b"cut \xe6\x97"] {
        let compressed = raw(bytes, FlushCompress::Sync);
        let payload = &compressed[..compressed.len() - 4];
        check_deflated(&[marked(payload), ping("behind")], &[Reply::close(1007)]);
        check_deflated(&[&fragments_of(payload)[..], &[ping("behind")]].concat(), &[Reply::close(1007)]);
        check_deflated(&[binary(payload).rsv(4)], &[Reply::binary(bytes)]);
    }
}

#[test]
fn the_limit_counts_inflated_bytes() {
    // RFC 6455, 10.4; RFC 7692, 8. CVE-2026-27571: 64 KiB once became 64 MiB.
    let zeros = |len: usize| {
        let compressed = raw(&vec![0; len], FlushCompress::Sync);
        binary(&compressed[..compressed.len() - 4]).rsv(4)
    };
    check_deflated(&[zeros(MESSAGE)], &[Reply::binary(vec![0; MESSAGE])]);
    check_deflated(&[zeros(MESSAGE + 1), ping("behind")], &[Reply::close(1009)]);
    let bomb = raw(&vec![0; 32 << 20], FlushCompress::Sync);
    assert!(bomb.len() < MESSAGE, "it passes every limit on the wire");
    check_deflated(&[binary(&bomb).rsv(4), ping("behind")], &[Reply::close(1009)]);
    let mut fragments = fragmented(2, &bomb, 1000);
    fragments[0] = fragments[0].clone().rsv(4);
    check_deflated(&fragments, &[Reply::close(1009)]);
}

#[test]
fn blocks_without_data_cost_no_more_than_their_bytes() {
    // Thousands of empty blocks in one message, and of final ones.
    check_deflated(&[marked([b"\x00\x00\x00\xff\xff".repeat(13_000), vec![0]].concat())], &[Reply::text("")]);
    let mut peer = Deflated::open(server(Limits::Default), Way::Whole);
    let empty = vec![marked(b"\x00"); 5000];
    peer.play(&empty, &vec![Reply::text(""); 5000]);
}
