//! A client on WebSocket against every kind of server, on a virtual clock: each stream whole, byte by byte, and between.

mod rig;

use super::*;
use crate::connection::Compressor;
use crate::wire::OwnedMessage;
use crate::wire::websocket::OFFER;
use rig::{Rig, close, frame};
use std::collections::HashSet;

pub(super) use rig::agreement;

const CHUNKS: [usize; 4] = [1, 2, 7, usize::MAX];

/// Nothing but what a test does makes the client act.
fn calm() -> ClientOptions {
    ClientOptions { heartbeat_interval: Duration::ZERO, ..ClientOptions::default() }
}

/// Acts on a client that has not asked yet.
#[track_caller]
fn check_opening(options: ClientOptions, act: impl Fn(&mut Rig), expected: &[&str]) {
    for (seed, chunk) in CHUNKS.into_iter().enumerate() {
        let mut rig = Rig::new(options.clone(), seed as u64, chunk);
        act(&mut rig);
        assert_eq!(rig.log, expected, "in chunks of {chunk}");
    }
}

/// Acts on a client that is connected.
#[track_caller]
fn check(options: ClientOptions, act: impl Fn(&mut Rig), expected: &[&str]) {
    for (seed, chunk) in CHUNKS.into_iter().enumerate() {
        let mut rig = Rig::connected(options.clone(), seed as u64, chunk);
        act(&mut rig);
        assert_eq!(rig.log, expected, "in chunks of {chunk}");
    }
}

#[test]
fn it_asks_says_who_is_meant_and_is_connected_when_the_server_has_agreed() {
    let act = |rig: &mut Rig| {
        rig.run_for(0);
        let key = rig.key();
        let mut head = agreement(&key, "");
        let last = head.pop().map(String::from).unwrap();
        rig.says(head);
        assert_eq!(rig.log, ["connect", "asked"]);
        rig.says([last.as_bytes(), &frame(0x81, b"hi")[..1]].concat());
        rig.says(&frame(0x81, b"hi")[1..]);
        let expected = format!(
            "GET /chat?a=b HTTP/1.1\r\nHost: example.org:8000\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Extensions: {OFFER}\r\n\r\n"
        );
        assert_eq!(rig.asked, [expected]);
    };
    check_opening(calm(), act, &["connect", "asked", "connected, attempt 1", "text hi"]);
}

#[test]
fn bytes_behind_the_answer_are_frames() {
    check_opening(
        calm(),
        |rig| {
            rig.run_for(0);
            let head = agreement(&rig.key(), "");
            rig.says(
                [head.as_bytes(), &frame(0x81, b"one"), &frame(0x82, b"two"), &frame(0x81, b"unfin")[..3]].concat(),
            );
        },
        &["connect", "asked", "connected, attempt 1", "text one", "binary two"],
    );
}

#[test]
fn what_is_set_stands_in_the_request() {
    let options = ClientOptions {
        deflate: false,
        subprotocol: Some("centrifuge-json".into()),
        request_fields: vec![("Authorization".into(), "Bearer x".into()), ("X-Y".into(), String::new())],
        ..calm()
    };
    let mut rig = Rig::new(options, 1, 1);
    rig.run_for(0);
    let behind_key =
        format!("{}\r\nSec-WebSocket-Protocol: centrifuge-json\r\nAuthorization: Bearer x\r\nX-Y: \r\n\r\n", rig.key());
    assert!(rig.asked[0].ends_with(&behind_key), "{}", rig.asked[0]);
    rig.agrees("Sec-WebSocket-Protocol: centrifuge-json\r\n");
    assert!(rig.client.is_connected());
}

#[test]
fn each_attempt_has_a_key_of_its_own() {
    let mut rig = Rig::new(calm(), 1, usize::MAX);
    let mut keys = HashSet::new();
    for _ in 0..20 {
        rig.run_for(30_000);
        keys.insert(rig.key());
        rig.eof();
    }
    assert_eq!(keys.len(), 20);
    let mut other = Rig::new(calm(), 2, usize::MAX);
    other.run_for(0);
    assert!(!keys.contains(&other.key()), "nor is it another client's");
}

#[test]
fn a_server_that_refuses_is_asked_again_later() {
    for (head, told) in [
        ("HTTP/1.1 403 Forbidden", "the server answers with HTTP status 403"),
        ("HTTP/1.1 429 Too Many Requests", "the server answers with HTTP status 429"),
        ("HTTP/1.1 301 Moved", "the server answers with HTTP status 301"),
        ("HTTP/1.1 200 OK", "the server answers with HTTP status 200"),
        ("SSH-2.0-OpenSSH", "the server's answer is not well-formed HTTP/1.1"),
        (
            "HTTP/1.1 101 Fine\r\nUpgrade: h2c\r\nConnection: upgrade",
            "the server switches to something other than WebSocket",
        ),
    ] {
        check_opening(
            calm(),
            |rig| {
                rig.run_for(0);
                rig.says(format!("{head}\r\nX: y\r\n\r\n and a body"));
                rig.run_for(1_000);
            },
            &["connect", "asked", &format!("failed: {told}, next within 1s"), "close", "connect", "asked"],
        );
    }
}

#[test]
fn a_server_that_agrees_to_something_else_is_not_believed() {
    let with_subprotocol = ClientOptions { subprotocol: Some("chat".into()), ..calm() };
    let without_deflate = ClientOptions { deflate: false, ..calm() };
    let extension = "the server uses an extension that was not offered so";
    for (options, lines, told) in [
        (calm(), "Sec-WebSocket-Protocol: chat\r\n", "the server speaks a subprotocol that was not asked for"),
        (
            with_subprotocol.clone(),
            "Sec-WebSocket-Protocol: Chat\r\n",
            "the server speaks a subprotocol that was not asked for",
        ),
        (with_subprotocol, "", "the server does not speak the subprotocol"),
        (calm(), "Sec-WebSocket-Extensions: permessage-bzip2\r\n", extension),
        (calm(), "Sec-WebSocket-Extensions: permessage-deflate\r\n", extension),
        (calm(), "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; x\r\n", extension),
        (without_deflate, "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n", extension),
    ] {
        check_opening(
            options,
            |rig| {
                rig.run_for(0);
                rig.agrees(lines);
            },
            &["connect", "asked", &format!("failed: {told}, next within 1s"), "close"],
        );
    }
}

#[test]
fn an_answer_to_another_key_opens_nothing() {
    check_opening(
        calm(),
        |rig| {
            rig.run_for(0);
            rig.says(agreement("dGhlIHNhbXBsZSBub25jZQ==", ""));
        },
        &[
            "connect",
            "asked",
            "failed: the server's Sec-WebSocket-Accept does not belong to our key, next within 1s",
            "close",
        ],
    );
}

#[test]
fn an_answer_before_the_request_has_left_opens_nothing() {
    check_opening(
        calm(),
        |rig| {
            rig.socket_takes = 400;
            let padding = "x".repeat(400);
            rig.client = Client::websocket("h", &padding, calm(), 1, Time::ZERO).unwrap();
            rig.run_for(0);
            rig.says("HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n");
        },
        &["connect", "failed: the server's Sec-WebSocket-Accept does not belong to our key, next within 1s", "close"],
    );
    let mut rig = Rig::new(calm(), 3, usize::MAX);
    rig.run_for(0);
    let mut twin = Client::websocket("example.org:8000", "/chat?a=b", calm(), 3, Time::ZERO).unwrap();
    twin.handle_timeout(Time::ZERO);
    assert_eq!(twin.poll_action(), Some(Action::Connect));
    twin.handle_connected(Time::ZERO);
    twin.poll_transmit(Time::ZERO, |slices| Ok(slices[0].len() - 1));
    twin.handle_bytes(agreement(&rig.key(), "").as_bytes(), Time::ZERO);
    let Some(Event::AttemptFailed { reason, .. }) = twin.poll_event() else { panic!("it is no connection") };
    assert_eq!(reason, EndReason::BadAnswer("the server answers before it is asked".into()));
}

#[test]
fn an_endless_head_is_given_up() {
    check_opening(
        calm(),
        |rig| {
            rig.run_for(0);
            rig.says(format!("HTTP/1.1 101 {}", "x".repeat(16 << 10)));
        },
        &["connect", "asked", "failed: the head of the server's answer is over 16384 bytes, next within 1s", "close"],
    );
}

#[test]
fn a_handshake_has_the_time_of_an_attempt_however_it_drips() {
    for chunk in CHUNKS {
        let mut rig = Rig::new(calm(), 1, chunk);
        rig.run_for(0);
        let head = agreement(&rig.key(), "");
        for piece in head.as_bytes()[..20].chunks(2) {
            rig.says(piece);
            rig.run_for(999);
        }
        assert_eq!(rig.log, ["connect", "asked"]);
        rig.run_for(10);
        assert_eq!(rig.log[2..], ["failed: TransportError (timed out), next within 1s", "close"]);
    }
}

#[test]
fn a_server_that_leaves_before_it_answers_failed_the_attempt() {
    check_opening(
        calm(),
        |rig| {
            rig.run_for(0);
            rig.says("HTTP/1.1 101");
            rig.eof();
        },
        &["connect", "asked", "failed: PeerClosed, next within 1s", "close"],
    );
}

#[test]
fn messages_go_as_text_where_they_can_and_as_what_they_are_where_it_is_told() {
    check(
        calm(),
        |rig| {
            rig.client.send("grün").unwrap();
            rig.client.send(b"plain".to_vec()).unwrap();
            rig.client.send(b"\xff".to_vec()).unwrap();
            rig.client.send(OwnedMessage::binary("x")).unwrap();
            rig.client.send("").unwrap();
            rig.settle();
        },
        &[r"sent text gr\xc3\xbcn", "sent text plain", r"sent binary \xff", "sent binary x", "sent text "],
    );
}

#[test]
fn what_comes_says_its_kind() {
    let mut rig = Rig::connected(calm(), 1, 1);
    for (bytes, message) in [
        (frame(0x81, b"x"), OwnedMessage::text("x")),
        (frame(0x82, b"x"), OwnedMessage::binary("x")),
        (frame(0x81, b""), OwnedMessage::text("")),
    ] {
        rig.client.handle_bytes(&bytes, rig.now);
        assert_eq!(rig.client.poll_event(), Some(Event::Message(message)));
    }
}

#[test]
fn every_frame_has_a_mask_of_its_own() {
    let mut rig = Rig::connected(calm(), 1, 1);
    for _ in 0..100 {
        rig.client.send(b"the same".to_vec()).unwrap();
        rig.settle();
    }
    let masks: HashSet<_> = rig.masks.iter().collect();
    assert_eq!((rig.masks.len(), masks.len()), (100, 100));
}

#[test]
fn fragments_are_put_together_and_control_frames_between_them_acted_on() {
    check(
        calm(),
        |rig| {
            rig.says([frame(0x01, b"on"), frame(0x89, b"\x00p"), frame(0x00, b"")].concat());
            rig.says([frame(0x8A, b"?"), frame(0x80, b"e"), frame(0x02, b""), frame(0x80, b"")].concat());
        },
        &[r"sent pong \x00p", "text one", "binary "],
    );
}

#[test]
fn pings_are_answered_before_messages_that_wait() {
    check(
        calm(),
        |rig| {
            rig.client.send("waits").unwrap();
            rig.client.handle_bytes(&[frame(0x89, b"1"), frame(0x89, &[b'x'; 125])].concat(), rig.now);
            rig.settle();
        },
        &["sent pong 1", &format!("sent pong {}", "x".repeat(125)), "sent text waits"],
    );
}

#[test]
fn a_server_that_asks_on_and_on_and_reads_nothing_gets_a_bounded_number_of_answers() {
    let mut rig = Rig::connected(calm(), 1, usize::MAX);
    rig.socket_takes = 0;
    for _ in 0..1000 {
        rig.says(frame(0x89, b"?"));
    }
    rig.socket_takes = usize::MAX;
    rig.settle();
    assert_eq!(rig.log.len(), 64);
}

#[test]
fn heartbeats_are_pings_without_a_greeting() {
    for seed in 0..20 {
        let mut rig = Rig::connected(ClientOptions::default(), seed, usize::MAX);
        rig.run_for(4_999);
        assert_eq!(rig.log, [""; 0]);
        rig.run_for(5_001);
        assert_eq!(rig.log, ["sent ping "], "spread over the second half of the interval");
        rig.says(frame(0x8A, b""));
        for _ in 0..100 {
            rig.run_for(10_000);
            rig.says(frame(0x8A, b""));
        }
        assert_eq!(rig.log, vec!["sent ping "; 101]);
    }
}

#[test]
fn messages_that_look_like_heartbeats_are_messages() {
    check(
        ClientOptions::default(),
        |rig| rig.says([frame(0x81, b"ping"), frame(0x81, b"pong"), frame(0x82, b"\x01")].concat()),
        &["text ping", "text pong", r"binary \x01"],
    );
}

#[test]
fn a_silent_server_is_dead_after_the_time_out() {
    let mut rig = Rig::connected(ClientOptions::default(), 1, 1);
    rig.run_for(24_999);
    assert!(rig.log.iter().all(|line| line == "sent ping "), "{:?}", rig.log);
    rig.run_for(1);
    let end = rig.log.len() - 2;
    assert_eq!(rig.log[end..], ["lost: HeartbeatTimeout, next within 1s", "close"]);
}

#[test]
fn a_goodbye_is_answered_with_its_code_and_the_server_closes_first() {
    check(
        calm(),
        |rig| {
            rig.says(
                [
                    frame(0x81, b"last"),
                    close(3001, "server is shutting down"),
                    frame(0x81, b"never"),
                    b"\xFF\xFF".to_vec(),
                ]
                .concat(),
            );
            assert_eq!(rig.log.len(), 3, "{:?}", rig.log);
            rig.eof();
        },
        &[
            "text last",
            "lost: closed by the server with 3001: server is shutting down, next within 1s",
            "sent close 3001 ",
            "close",
        ],
    );
}

#[test]
fn a_server_that_does_not_close_is_left_within_a_second_and_before_the_next_attempt() {
    for seed in 0..20 {
        let mut rig = Rig::connected(calm(), seed, 1);
        rig.says(close(1000, ""));
        assert_eq!(rig.log, ["lost: closed by the server with 1000, next within 1s", "sent close 1000 "]);
        rig.run_for(1_000);
        assert_eq!(rig.log[2..], ["close", "connect", "asked"]);
        rig.agrees("");
        assert!(rig.client.is_connected());
    }
    let slow =
        ClientOptions { backoff_min: Duration::from_secs(3600), backoff_max: Duration::from_secs(3600), ..calm() };
    let mut rig = Rig::connected(slow, 1, 1);
    rig.says(close(1000, ""));
    rig.run_for(999);
    assert_eq!(rig.log.len(), 2);
    rig.run_for(1);
    assert_eq!(rig.log[2..], ["close"]);
}

#[test]
fn a_goodbye_without_a_code_is_answered_without_one() {
    check(
        calm(),
        |rig| {
            rig.says(frame(0x88, b""));
            rig.reset();
        },
        &["lost: closed by the server without a code, next within 1s", "sent close", "close"],
    );
}

#[test]
fn a_server_that_says_to_stay_away_is_not_asked_again() {
    for code in [1009, 3500, 3999, 4500, 4999] {
        check(
            calm(),
            |rig| {
                rig.says(close(code, "away"));
                rig.run_for(3_600_000);
                assert!(rig.client.is_ended() && rig.client.poll_timeout().is_none());
                assert_eq!(rig.client.send("x").unwrap_err().refusal, Refusal::Ended);
            },
            &[&format!("gave up: closed by the server with {code}: away"), &format!("sent close {code} "), "close"],
        );
    }
    for code in [1000, 1001, 1011, 3000, 3499, 4000, 4499] {
        let mut rig = Rig::connected(calm(), 1, 1);
        rig.says(close(code, "later"));
        assert!(rig.log[0].starts_with("lost"), "{code}");
    }
}

#[test]
fn whoever_breaks_the_protocol_is_told_how_and_left() {
    let masked = [0x81, 0x81, 1, 2, 3, 4, b'x' ^ 1].to_vec();
    for (bytes, reason, goodbye) in [
        (masked, "ProtocolError", "1002 masked frame from a server"),
        (frame(0x91, b"x"), "ProtocolError", "1002 reserved bit set"),
        (frame(0xC1, b"x"), "ProtocolError", "1002 reserved bit set"),
        (frame(0x83, b"x"), "ProtocolError", "1002 reserved opcode"),
        (frame(0x80, b"x"), "ProtocolError", "1002 continuation of nothing"),
        ([frame(0x01, b"x"), frame(0x81, b"y")].concat(), "ProtocolError", "1002 new message inside an unfinished one"),
        (frame(0x89, &[0; 126]), "ProtocolError", "1002 control frame over 125 bytes"),
        (frame(0x09, b""), "ProtocolError", "1002 fragmented control frame"),
        (frame(0x88, b"\x03"), "ProtocolError", "1002 bad close frame"),
        (close(1005, ""), "ProtocolError", "1002 bad close frame"),
        (frame(0x88, b"\x03\xE8\xFF"), "InvalidText", "1007 text is not UTF-8"),
        (frame(0x81, b"\xFF"), "InvalidText", "1007 text is not UTF-8"),
        ([frame(0x01, b"\xC3"), frame(0x80, b"x")].concat(), "InvalidText", "1007 text is not UTF-8"),
        (frame(0x82, &[0; 101]), "MessageTooLarge", "1009 message too large"),
        ([frame(0x02, &[0; 60]), frame(0x80, &[0; 60])].concat(), "MessageTooLarge", "1009 message too large"),
    ] {
        check(
            ClientOptions { max_message_bytes: 100, ..calm() },
            |rig| {
                rig.says([&frame(0x81, b"good")[..], &bytes, b"more"].concat());
                rig.eof();
            },
            &["text good", &format!("lost: {reason}, next within 1s"), &format!("sent close {goodbye}"), "close"],
        );
    }
}

#[test]
fn a_message_is_refused_on_its_header() {
    let mut rig = Rig::connected(calm(), 1, 1);
    rig.says(&frame(0x82, &vec![0; (64 << 10) + 1])[..10]);
    assert_eq!(rig.log, ["lost: MessageTooLarge, next within 1s", "sent close 1009 message too large"]);
}

#[test]
fn who_is_stopped_says_goodbye() {
    check(
        calm(),
        |rig| {
            rig.client.send("not any more").unwrap();
            rig.client.stop();
            rig.client.stop();
            rig.settle();
        },
        &["stopped", "sent close 1000 ", "close"],
    );
    check_opening(
        calm(),
        |rig| {
            rig.run_for(0);
            rig.client.stop();
            rig.settle();
        },
        &["connect", "asked", "stopped", "close"],
    );
}

#[test]
fn a_goodbye_never_stands_inside_a_message_nor_waits_for_a_socket() {
    check(
        calm(),
        |rig| {
            rig.socket_takes = 5;
            rig.client.send("a long message").unwrap();
            rig.settle();
            rig.socket_takes = usize::MAX;
            rig.client.stop();
            rig.settle();
        },
        &["stopped", "close"],
    );
    check(
        calm(),
        |rig| {
            rig.socket_takes = 0;
            rig.client.stop();
            rig.settle();
        },
        &["stopped", "close"],
    );
}

#[test]
fn a_message_cut_on_its_way_is_sent_whole_on_the_next_connection_under_another_mask() {
    for takes in 1..11 {
        let mut rig = Rig::connected(calm(), 1, 1);
        rig.socket_takes = takes;
        rig.client.send("hello").unwrap();
        rig.client.send("world").unwrap();
        rig.settle();
        let first = std::mem::take(&mut rig.stream);
        rig.reset();
        rig.socket_takes = usize::MAX;
        rig.run_for(1_000);
        rig.agrees("");
        assert_eq!(
            rig.log[..5],
            ["lost: PeerReset, next within 1s", "close", "connect", "asked", "connected, attempt 2, away"]
        );
        assert_eq!(rig.log[5..], ["sent text hello", "sent text world"], "{takes} bytes had left");
        assert_eq!((rig.client.waiting_messages(), rig.client.waiting_bytes()), (0, 0));
        let second = &rig.stream[rig.asked[1].len()..];
        assert!(takes < 6 || first[first.len() - takes..] != second[..takes], "the mask is another");
    }
}

#[test]
fn what_has_wholly_left_is_not_sent_again() {
    let mut rig = Rig::connected(calm(), 1, 1);
    rig.socket_takes = 11;
    rig.client.send("hello").unwrap();
    rig.client.send("world").unwrap();
    rig.settle();
    rig.reset();
    rig.socket_takes = usize::MAX;
    rig.run_for(1_000);
    rig.agrees("");
    assert_eq!(rig.log.last().map(String::as_str), Some("sent text world"));
    assert_eq!(rig.log.iter().filter(|line| line.contains("hello")).count(), 1);
}

#[test]
fn what_is_sent_while_away_waits_for_the_servers_agreement() {
    check_opening(
        calm(),
        |rig| {
            rig.client.send("one").unwrap();
            rig.run_for(0);
            rig.client.send("two").unwrap();
            rig.settle();
            rig.agrees("");
        },
        &[
            "kept, 1 waiting",
            "connect",
            "asked",
            "kept, 2 waiting",
            "connected, attempt 1",
            "sent text one",
            "sent text two",
        ],
    );
}

#[test]
fn what_waits_is_counted_with_its_whole_frame() {
    let options = ClientOptions { max_message_bytes: 200, max_outbox_bytes: 300, ..calm() };
    let mut client = Client::websocket("h", "/", options, 1, Time::ZERO).unwrap();
    client.send(vec![b'x'; 125]).unwrap();
    assert_eq!(client.waiting_bytes(), 2 + 4 + 125);
    client.send(vec![b'x'; 126]).unwrap();
    assert_eq!(client.waiting_bytes(), 131 + 4 + 4 + 126);
    assert_eq!(client.send(vec![b'x'; 30]).unwrap_err().refusal, Refusal::TooManyBytes(300));
    assert_eq!(client.send(vec![b'x'; 201]).unwrap_err().refusal, Refusal::MessageTooLarge(200));
}

const DEFLATE: &str =
    "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n";

/// A client that may compress.
fn compressing(options: ClientOptions, lines: &str, chunk: usize) -> Rig {
    let mut rig = Rig::new(options, 1, chunk);
    rig.run_for(0);
    rig.agrees(lines);
    assert!(rig.client.is_connected(), "{:?}", rig.log);
    rig.log.clear();
    rig
}

/// A message as a server compresses it.
fn deflated(text: &[u8]) -> Vec<u8> {
    let frame = Compressor::default().encode_shared(text.into());
    assert_eq!(frame[0], 0xC1);
    frame
}

#[test]
#[cfg(feature = "deflate")]
fn long_messages_are_compressed_where_the_server_agrees_and_it_helps() {
    for lines in [
        DEFLATE,
        &DEFLATE.replace("client_no_context_takeover", "client_max_window_bits=9"),
        &DEFLATE.replace("; client_no_context_takeover", ""),
    ] {
        let mut rig = compressing(calm(), lines, 1);
        let noise: Vec<u8> =
            (0..2000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8 ^ (n % 251) as u8).collect();
        for message in [vec![b'x'; 1023], vec![b'x'; 1024], vec![b'y'; 60_000]] {
            rig.client.send(message).unwrap();
        }
        rig.client.send(OwnedMessage::binary(noise)).unwrap();
        rig.settle();
        let of = |start: &str| rig.log.iter().filter(|line| line.starts_with(start)).count();
        assert_eq!((of("sent text x"), of("sent text of 1024 bytes as"), of("sent text of 60000 bytes as")), (1, 1, 1));
        assert_eq!(rig.log.len(), 4);
        assert!(rig.stream.len() < 8_000, "{}", rig.stream.len());
    }
}

#[test]
#[cfg(feature = "deflate")]
fn compressed_messages_are_inflated_each_by_itself() {
    for chunk in CHUNKS {
        let mut rig = compressing(calm(), DEFLATE, chunk);
        let text = "to and fro ".repeat(20);
        let whole = deflated(text.as_bytes());
        rig.says([&whole[..], &whole].concat());
        let (first, second) = whole[2..].split_at(whole.len() / 2);
        rig.says([frame(0x41, first), frame(0x89, b"!")].concat());
        rig.says([frame(0x80, second), frame(0x81, b"not compressed")].concat());
        let long = format!("text {text}");
        assert_eq!(rig.log, [&long, &long, "sent pong !", &long, "text not compressed"]);
    }
}

#[test]
#[cfg(feature = "deflate")]
fn what_inflates_to_too_much_or_to_nothing_good_ends_the_connection() {
    for (bytes, reason, goodbye) in [
        (deflated(&[b'x'; 2001]), "MessageTooLarge", "1009 message too large"),
        (deflated(&[b'x'; 50_000_000]), "MessageTooLarge", "1009 message too large"),
        (frame(0xC1, b"\xFF\xFF\xFF"), "InvalidData", "1007 bad compressed data"),
        (frame(0xC0, b"x"), "ProtocolError", "1002 reserved bit set"),
    ] {
        let options = ClientOptions { max_message_bytes: 2000, ..calm() };
        let mut rig = compressing(options, DEFLATE, 1000);
        rig.says(bytes);
        rig.eof();
        let expected = [&format!("lost: {reason}, next within 1s"), &format!("sent close {goodbye}"), "close"];
        assert_eq!(rig.log, expected);
    }
    let mut rig = compressing(ClientOptions { max_message_bytes: 2000, ..calm() }, DEFLATE, 1000);
    rig.says(deflated(&[b'x'; 2000]));
    assert_eq!(rig.log, [format!("text {}", "x".repeat(2000))]);
}

#[test]
#[cfg(feature = "deflate")]
fn text_that_inflates_to_something_else_is_refused() {
    let mut binary = Compressor::default().encode_shared(crate::wire::Message::binary(&[0xFF; 3000]));
    assert_eq!(binary[0], 0xC2);
    binary[0] = 0xC1;
    let mut rig = compressing(calm(), DEFLATE, 1);
    rig.says(binary);
    assert_eq!(rig.log, ["lost: InvalidText, next within 1s", "sent close 1007 text is not UTF-8"]);
}

#[test]
#[cfg(feature = "deflate")]
fn a_message_that_was_compressed_for_one_connection_is_not_for_the_next_that_does_not_agree() {
    let mut rig = compressing(calm(), DEFLATE, 1);
    rig.socket_takes = 10;
    rig.client.send(vec![b'x'; 2000]).unwrap();
    rig.settle();
    rig.reset();
    rig.socket_takes = usize::MAX;
    rig.run_for(1_000);
    rig.agrees("");
    assert_eq!(rig.log.last(), Some(&format!("sent text {}", "x".repeat(2000))));
}

#[test]
fn a_host_that_cannot_be_asked_is_refused_at_once() {
    for host in ["", "a b", "user@h", "h:x"] {
        let error = Client::websocket(host, "/", calm(), 1, Time::ZERO).unwrap_err();
        assert_eq!((error.setting, error.value.as_str()), ("host", host));
    }
    assert_eq!(Client::new(Wire::WebSocket, calm(), 1, Time::ZERO).unwrap_err().setting, "wire");
    let options = ClientOptions { max_outbox_bytes: (64 << 10) + 13, ..calm() };
    assert_eq!(Client::websocket("h", "/", options, 1, Time::ZERO).unwrap_err().setting, "max_outbox_bytes");
}
