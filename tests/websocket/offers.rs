//! Offers of extensions (RFC 6455, section 9.1; RFC 7692, section 7.1): what is agreed on, what is declined, and that
//! a declined offer costs a client nothing but its compression.

use crate::kit::*;

const PLAIN: Offer = Offer { server_no_takeover: false, server_bits: None, client_bits: None };

/// The answer to `offer`; messages pass, compressed where that was agreed on.
fn answer_to(offer: &str) -> Option<String> {
    let mut talk =
        Talk::open_with(server(Limits::Default), Way::Whole, &format!("Sec-WebSocket-Extensions: {offer}\r\n"));
    let answer = talk.answer().field("Sec-WebSocket-Extensions").map(str::to_owned);
    talk.play(&[text("plain")], &[Reply::text("plain")]);
    answer
}

#[test]
fn offers_that_can_be_kept_are_agreed_on() {
    // RFC 7692, 7.1.1, 7.1.2.
    let client = |bits| Offer { client_bits: Some(bits), ..PLAIN };
    all(
        [
            ("permessage-deflate", PLAIN),
            ("permessage-deflate; server_no_context_takeover", Offer { server_no_takeover: true, ..PLAIN }),
            ("permessage-deflate; client_no_context_takeover", PLAIN),
            ("permessage-deflate; client_max_window_bits", client(None)),
            ("permessage-deflate; client_max_window_bits=15", client(Some(15))),
            ("permessage-deflate; client_max_window_bits=10", client(Some(10))),
            ("permessage-deflate; server_max_window_bits=10", Offer { server_bits: Some(10), ..PLAIN }),
            ("permessage-deflate ;client_max_window_bits ; server_max_window_bits=15", client(None)),
            ("permessage-deflate;client_no_context_takeover;client_max_window_bits", client(None)),
            ("unknown, permessage-deflate", PLAIN),
            ("unknown; a=1; b=\"2, permessage-deflate; x\", permessage-deflate", PLAIN),
            ("permessage-deflate; unknown, permessage-deflate", PLAIN),
            ("permessage-deflate; server_max_window_bits=7, permessage-deflate; client_max_window_bits", client(None)),
            ("permessage-deflate, x-webkit-deflate-frame", PLAIN),
            ("x-webkit-deflate-frame\r\nSec-WebSocket-Extensions: permessage-deflate", PLAIN),
        ]
        .map(|(words, meant)| (words, (words, meant))),
        |(words, meant)| {
            let mut peer = Deflated::open_with(server(Limits::Default), Way::Whole, words, &[*meant]);
            let message = Reply::text("a message of some length, ".repeat(100));
            for _ in 0..3 {
                peer.send(&message, 20);
                peer.expect(std::slice::from_ref(&message));
            }
            peer.talk.close();
        },
    );
}

#[test]
fn offers_with_parameters_that_cannot_be_are_declined() {
    // RFC 7692, 7.1: unknown, twice, out of range, with a value where none belongs or without where one does.
    // CVE-2026-2229: one of these once ended the process.
    let parameters = [
        "server_max_window_bits",
        "server_max_window_bits=",
        "server_max_window_bits=7",
        "server_max_window_bits=16",
        "server_max_window_bits=99",
        "server_max_window_bits=-9",
        "server_max_window_bits=+9",
        "server_max_window_bits=09",
        "server_max_window_bits=1e1",
        "server_max_window_bits=ten",
        "server_max_window_bits=4294967305",
        "server_max_window_bits=10; server_max_window_bits=10",
        "client_max_window_bits=7",
        "client_max_window_bits=16",
        "client_max_window_bits=0",
        "client_max_window_bits=nine",
        "client_max_window_bits; client_max_window_bits",
        "client_max_window_bits=15; client_max_window_bits=14",
        "server_no_context_takeover=1",
        "server_no_context_takeover=true",
        "client_no_context_takeover=0",
        "server_no_context_takeover; server_no_context_takeover",
        "client_no_context_takeover; client_no_context_takeover",
        "unknown",
        "unknown=1",
        "server_max_window_bits=15; unknown",
        "mux",
        "__proto__",
        "constructor=1",
        "toString",
    ];
    all(parameters.map(|words| (words, words)), |words| {
        assert_eq!(answer_to(&format!("permessage-deflate; {words}")), None);
    });
}

#[test]
fn extensions_that_are_unknown_are_declined() {
    // RFC 6455, 9.1: in exact words, so not what begins or ends with ours.
    for offer in [
        "unknown",
        "x-webkit-deflate-frame",
        "permessage-bzip2",
        "permessage-deflate2",
        "xpermessage-deflate",
        "permessage",
        "deflate-frame; permessage-deflate",
        "__proto__, constructor, toString",
        "unknown; permessage-deflate=1",
        "unknown; a=\"permessage-deflate\"",
        "unknown; a=\", permessage-deflate, \"",
    ] {
        assert_eq!(answer_to(offer), None, "{offer:?}");
    }
}

#[test]
fn offers_that_are_the_server_s_choice_are_answered_rightly_if_at_all() {
    // RFC 7692, 7.1.2.1: a window of 256 bytes; RFC 6455, 9.1: values in quotes.
    for (offer, meant) in [
        ("permessage-deflate; server_max_window_bits=8", Offer { server_bits: Some(8), ..PLAIN }),
        ("permessage-deflate; client_max_window_bits=8", Offer { client_bits: Some(Some(8)), ..PLAIN }),
        ("permessage-deflate; server_max_window_bits=\"10\"", Offer { server_bits: Some(10), ..PLAIN }),
    ] {
        if let Some(answer) = answer_to(offer) {
            Agreed::read(&answer, &[meant]);
        }
    }
}

#[test]
fn offers_that_are_no_list_are_declined_or_refused() {
    // RFC 6455, 9.1: in one pass, however long (CVE-2020-7662, CVE-2020-7663).
    let spaces = " ".repeat(8000);
    let quoted = format!("a; b=\"{}", "\\\"".repeat(4000));
    let many = "a;b=c,".repeat(1300);
    for offer in [
        "",
        ",",
        ",,,",
        ";",
        "permessage-deflate;",
        "permessage-deflate; ;",
        "permessage-deflate; =",
        "permessage-deflate; =9",
        "permessage-deflate permessage-deflate",
        "permessage-deflate; server_max_window_bits = ",
        "permessage-deflate; a=\"b",
        "permessage-deflate; \"server_no_context_takeover\"",
        "per message deflate",
        "permessage-deflate\u{e9}",
        "(permessage-deflate)",
        &format!("b{spaces}x"),
        &quoted,
        &many,
    ] {
        let mut pipe = Pipe::connect(server(Limits::Default), Way::Whole);
        pipe.write(&upgrade("x", &format!("Sec-WebSocket-Extensions: {offer}\r\n")));
        let answer = pipe.answer().expect("an answer");
        match answer.status {
            101 => assert_eq!(answer.field("Sec-WebSocket-Extensions"), None, "{offer:?}"),
            status => assert_eq!((status, answer.closes()), (400, true), "{offer:?} gets {answer:?}"),
        }
    }
}

#[test]
fn what_was_not_agreed_on_is_refused() {
    // RFC 6455, 5.2: the mark of compression behind an offer that was declined, or none.
    let hello = text(b"\xf2\x48\xcd\xc9\xc9\x07\x00").rsv(4);
    check(std::slice::from_ref(&hello), &[Reply::close(1002)]);
    let fields = "Sec-WebSocket-Extensions: permessage-deflate; unknown\r\n";
    let mut talk = Talk::open_with(server(Limits::Default), Way::Whole, fields);
    talk.play(&[hello], &[Reply::close(1002)]);
}

#[test]
fn compressed_frames_may_come_in_the_segment_of_the_request() {
    let fields = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let mut talk = Talk::open_with(server(Limits::Default), Way::WithTheRequest, fields);
    talk.send(&[text(b"\xf2\x48\xcd\xc9\xc9\x07\x00").rsv(4), ping("?")]);
    assert!(talk.answer().field("Sec-WebSocket-Extensions").is_some());
    assert!(talk.frame().is_some_and(|frame| frame.opcode == 1));
    talk.play(&[], &[Reply::pong("?")]);
}
