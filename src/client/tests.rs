//! A client on a virtual clock: what it does, as a log that people can read.

mod random;
mod rig;
#[cfg(feature = "websocket")]
mod websocket;

use super::*;
use crate::connection::{CloseReason, PeerReason};
use crate::timer::Time;
use crate::wire::Wire;
use rig::{Peer, Rig, seconds};
use std::io::ErrorKind;
use std::time::Duration;

/// Options under which nothing but what a test does makes the client act.
fn calm() -> ClientOptions {
    ClientOptions { heartbeat_interval: Duration::ZERO, ..ClientOptions::default() }
}

fn check(options: ClientOptions, wire: Wire, act: impl Fn(&mut Rig), expected: &[&str]) {
    for seed in 0..20 {
        let mut rig = Rig::new(wire, options.clone(), seed);
        act(&mut rig);
        assert_eq!(rig.log, expected, "seed {seed}");
    }
}

#[test]
fn the_first_attempt_comes_at_once_and_messages_go_both_ways() {
    check(
        calm(),
        Wire::Length,
        |rig| {
            rig.run_for(0);
            rig.send("hi").unwrap();
            rig.bytes(b"\0\0\0\x02yo\0\0");
            rig.bytes(b"\0\x01!");
        },
        &["connect", "connected, attempt 1", r"sent \x00\x00\x00\x02hi", "message yo", "message !"],
    );
}

#[test]
fn a_connection_begins_with_a_heartbeat_that_tells_its_wire() {
    check(
        ClientOptions::default(),
        Wire::Line,
        |rig| {
            rig.send("hello").unwrap();
            rig.run_for(0);
        },
        &["kept, 1 waiting", "connect", "connected, attempt 1", r"sent ping\nhello\n"],
    );
}

#[test]
fn heartbeats_of_either_side_are_not_shown_to_the_program() {
    check(
        ClientOptions::default(),
        Wire::Line,
        |rig| {
            rig.run_for(0);
            rig.bytes(b"pong\nping\nPING\n{\"type\": \"ping\"}\nhello\n");
        },
        &["connect", "connected, attempt 1", r"sent ping\n", "message hello", r#"sent pong\nPONG\n{"type":"pong"}\n"#],
    );
}

#[test]
fn an_answer_that_nobody_asked_for_is_a_message() {
    check(
        ClientOptions::default(),
        Wire::Line,
        |rig| {
            rig.run_for(0);
            rig.bytes(b"pong\npong\nPONG\n");
        },
        &["connect", "connected, attempt 1", r"sent ping\n", "message pong", "message PONG"],
    );
}

#[test]
fn each_form_of_heartbeat_is_asked_and_its_answer_kept_back() {
    for (form, question, answer) in [
        (HeartbeatForm::Lower, "ping", "pong"),
        (HeartbeatForm::Upper, "PING", "PONG"),
        (HeartbeatForm::Json, r#"{"type":"ping"}"#, r#"{"type":"pong"}"#),
        (HeartbeatForm::Byte, r"\x01", "\x01"),
    ] {
        check(
            ClientOptions { heartbeat_form: form, ..ClientOptions::default() },
            Wire::Line,
            |rig| {
                rig.run_for(0);
                rig.bytes(format!("{answer}\n").as_bytes());
            },
            &["connect", "connected, attempt 1", &format!(r"sent {question}\n")],
        );
    }
}

#[test]
fn a_server_that_answers_keeps_the_connection_for_ever() {
    let mut rig = Rig::new(Wire::Length, ClientOptions::default(), 1);
    rig.peer = Peer::Answers;
    rig.run_for(3600 * 1000);
    assert_eq!(rig.log[..2], ["connect", "connected, attempt 1"]);
    let pings = rig.log.iter().filter(|line| line.starts_with("sent")).count();
    assert_eq!(pings, rig.log.len() - 2, "{:?}", rig.log);
    assert!((361..=362).contains(&pings), "one every 10 s: {pings}");
}

#[test]
fn on_the_raw_wire_heartbeats_wait_for_their_time() {
    for seed in 0..20 {
        let mut rig = Rig::new(Wire::Raw, ClientOptions::default(), seed);
        rig.run_for(4_999);
        assert_eq!(rig.log, ["connect", "connected, attempt 1"]);
        rig.run_for(5_001);
        assert_eq!(rig.log[2..], ["sent ping"], "spread over the second half of the interval");
    }
}

/// How long a connection to a silent server lasts.
fn endurance(options: ClientOptions, seed: u64, hear_until: u64) -> Duration {
    let mut rig = Rig::new(Wire::Line, options, seed);
    rig.run_for(0);
    for _ in 0..hear_until {
        rig.run_for(1_000);
        rig.bytes(b".");
    }
    rig.run_until(|rig| rig.log.iter().any(|line| line.starts_with("lost")));
    assert!(rig.log.contains(&"lost: HeartbeatTimeout, next within 1s".to_owned()) || hear_until > 9, "{:?}", rig.log);
    rig.now.saturating_since(Time::ZERO)
}

#[test]
fn a_silent_server_is_dead_after_the_time_out() {
    for seed in 0..20 {
        assert_eq!(endurance(ClientOptions::default(), seed, 0), Duration::from_secs(25));
    }
}

#[test]
fn any_byte_counts_as_life() {
    for seed in 0..20 {
        assert_eq!(endurance(ClientOptions::default(), seed, 100), Duration::from_secs(125));
    }
}

#[test]
fn a_server_is_dead_when_enough_heartbeats_in_a_row_had_no_answer() {
    let options = ClientOptions { heartbeat_timeout: Duration::from_secs(1000), ..ClientOptions::default() };
    for seed in 0..20 {
        let lasted = endurance(options.clone(), seed, 0).as_millis();
        assert!(
            (25_000..=30_000).contains(&lasted),
            "asked within 10 s, twice, and one interval for the answer: {lasted}"
        );
    }
}

#[test]
fn the_old_socket_is_closed_before_the_next_is_opened() {
    check(
        calm(),
        Wire::Line,
        |rig| {
            rig.run_for(0);
            rig.eof();
            rig.run_for(1_000);
        },
        &[
            "connect",
            "connected, attempt 1",
            "lost: PeerClosed, next within 1s",
            "close",
            "connect",
            "connected, attempt 2, away",
        ],
    );
}

#[test]
fn a_driver_that_is_late_closes_the_old_socket_first_all_the_same() {
    let mut client = Client::new(Wire::Line, calm(), 1, Time::ZERO).unwrap();
    client.handle_timeout(Time::ZERO);
    assert_eq!(client.poll_action(), Some(Action::Connect));
    client.handle_connect_failed(ErrorKind::ConnectionRefused, Time::ZERO);
    client.handle_timeout(seconds(5));
    client.handle_connected(seconds(5));
    assert!(!client.is_connected(), "a report on the old socket is not one on the next");
    assert_eq!(client.poll_action(), Some(Action::CloseSocket));
    assert_eq!(client.poll_action(), Some(Action::Connect));
    assert_eq!(client.poll_action(), None);
}

#[test]
fn bounds_on_the_waits_double_while_the_server_is_away() {
    let within = |bound: &str| format!("failed: TransportError (connection refused), next within {bound}s");
    let mut expected = Vec::new();
    for bound in ["1", "2", "4", "8", "16", "30", "30"] {
        expected.extend(["connect".to_owned(), within(bound), "close".to_owned()]);
    }
    for seed in 0..20 {
        let mut rig = Rig::new(Wire::Line, calm(), seed);
        rig.peer = Peer::Refuses;
        rig.run_until(|rig| rig.log.len() >= expected.len());
        assert_eq!(rig.log, expected, "seed {seed}");
    }
}

/// The bound announced at the end of each of the connections that live for the given milliseconds.
fn bounds_after(lifetimes: &[u64]) -> Vec<String> {
    let mut rig = Rig::new(Wire::Line, calm(), 1);
    let mut bounds = Vec::new();
    for lifetime in lifetimes {
        rig.run_until(|rig| rig.client.is_connected());
        rig.run_for(*lifetime);
        rig.eof();
        let lost = rig.log.iter().rfind(|line| line.starts_with("lost")).unwrap();
        bounds.extend(lost.rsplit(' ').next().map(str::to_owned));
    }
    bounds
}

#[test]
fn only_a_connection_that_lived_for_a_while_starts_the_waits_anew() {
    assert_eq!(bounds_after(&[0, 9_999, 500, 10_000, 1, 3_600_000]), ["1s", "2s", "4s", "1s", "2s", "1s"]);
}

#[test]
fn an_attempt_that_leads_nowhere_is_given_up_in_time() {
    check(
        calm(),
        Wire::Line,
        |rig| {
            rig.peer = Peer::Drops;
            rig.run_for(9_999);
            assert_eq!(rig.log, ["connect"]);
            rig.run_for(1);
        },
        &["connect", "failed: TransportError (timed out), next within 1s", "close"],
    );
}

#[test]
fn the_last_try_that_fails_ends_the_client() {
    check(
        ClientOptions { max_tries: Some(2), ..calm() },
        Wire::Line,
        |rig| {
            rig.peer = Peer::Refuses;
            rig.run_for(3_600_000);
            assert_eq!(rig.send("too late").unwrap_err().refusal, Refusal::Ended);
        },
        &[
            "connect",
            "failed: TransportError (connection refused), next within 1s",
            "close",
            "connect",
            "gave up: TransportError (connection refused)",
            "close",
        ],
    );
}

#[test]
fn a_client_can_be_stopped_at_any_moment() {
    let stop = |rig: &mut Rig| {
        rig.client.stop();
        rig.client.stop();
        rig.run_for(3_600_000);
        assert!(rig.client.is_ended() && rig.client.poll_timeout().is_none());
    };
    check(calm(), Wire::Line, |rig| stop(rig), &["stopped"]);
    check(
        calm(),
        Wire::Line,
        |rig| {
            rig.run_for(0);
            stop(rig);
        },
        &["connect", "connected, attempt 1", "stopped", "close"],
    );
    check(
        calm(),
        Wire::Line,
        |rig| {
            rig.peer = Peer::Drops;
            rig.run_for(0);
            stop(rig);
        },
        &["connect", "stopped", "close"],
    );
}

#[test]
fn what_is_sent_while_away_waits_and_is_sent_once() {
    check(
        calm(),
        Wire::Line,
        |rig| {
            rig.run_for(0);
            rig.send("one").unwrap();
            rig.eof();
            rig.send("two").unwrap();
            rig.send("three").unwrap();
            rig.run_for(1_000);
        },
        &[
            "connect",
            "connected, attempt 1",
            r"sent one\n",
            "lost: PeerClosed, next within 1s",
            "close",
            "kept, 1 waiting",
            "kept, 2 waiting",
            "connect",
            "connected, attempt 2, away",
            r"sent two\nthree\n",
        ],
    );
}

#[test]
fn a_message_cut_on_its_way_is_sent_whole_on_the_next_connection() {
    check(
        calm(),
        Wire::Length,
        |rig| {
            rig.run_for(0);
            rig.socket_takes = 5;
            rig.send("hello").unwrap();
            rig.error(ErrorKind::ConnectionReset);
            rig.socket_takes = usize::MAX;
            rig.run_for(1_000);
        },
        &[
            "connect",
            "connected, attempt 1",
            r"sent \x00\x00\x00\x05h",
            "lost: PeerReset, next within 1s",
            "close",
            "connect",
            "connected, attempt 2, away",
            r"sent \x00\x00\x00\x05hello",
        ],
    );
}

#[test]
fn a_raw_message_cut_on_its_way_is_handed_back() {
    check(
        calm(),
        Wire::Raw,
        |rig| {
            rig.run_for(0);
            rig.socket_takes = 2;
            rig.send("hello").unwrap();
            rig.send("world").unwrap();
            rig.error(ErrorKind::ConnectionReset);
            rig.socket_takes = usize::MAX;
            rig.run_for(1_000);
        },
        &[
            "connect",
            "connected, attempt 1",
            "sent he",
            "torn hello",
            "lost: PeerReset, next within 1s",
            "close",
            "connect",
            "connected, attempt 2, away",
            "sent world",
        ],
    );
}

#[test]
fn a_write_that_fails_ends_the_connection() {
    let mut rig = Rig::new(Wire::Line, calm(), 1);
    rig.run_for(0);
    rig.client.send(b"hi".to_vec()).unwrap();
    rig.client.poll_transmit(rig.now, |_| Err(ErrorKind::BrokenPipe.into()));
    rig.settle();
    assert_eq!(rig.log[2..], ["lost: PeerReset, next within 1s", "close"]);
}

#[test]
fn a_message_over_the_limit_ends_the_connection_and_not_the_client() {
    check(
        ClientOptions { max_message_bytes: 5, ..calm() },
        Wire::Length,
        |rig| {
            rig.run_for(0);
            rig.bytes(b"\0\0\0\x02ok\0\0\0\x06");
            rig.bytes(b"of the old connection");
            rig.run_for(1_000);
        },
        &[
            "connect",
            "connected, attempt 1",
            "message ok",
            "lost: MessageTooLarge, next within 1s",
            "close",
            "connect",
            "connected, attempt 2, away",
        ],
    );
}

#[test]
fn an_unfinished_message_ends_with_its_connection() {
    check(
        calm(),
        Wire::Line,
        |rig| {
            rig.run_for(0);
            rig.bytes(b"unfini");
            rig.eof();
            rig.run_for(1_000);
            rig.bytes(b"new\n");
        },
        &[
            "connect",
            "connected, attempt 1",
            "lost: PeerClosed, next within 1s",
            "close",
            "connect",
            "connected, attempt 2, away",
            "message new",
        ],
    );
}

#[test]
fn an_answer_due_on_the_old_connection_is_not_due_on_the_next() {
    let mut rig = Rig::new(Wire::Raw, ClientOptions::default(), 1);
    rig.run_for(10_000);
    rig.eof();
    rig.run_until(|rig| rig.client.is_connected());
    rig.bytes(b"pong");
    assert_eq!(rig.log.last().map(String::as_str), Some("message pong"));
}

#[test]
fn two_sides_that_echo_heartbeats_come_to_rest() {
    let mut rig = Rig::new(Wire::Line, ClientOptions::default(), 1);
    rig.peer = Peer::Echoes;
    rig.run_for(4_000);
    assert_eq!(rig.log, ["connect", "connected, attempt 1", r"sent ping\n", r"sent pong\n"]);
}

#[test]
fn wrong_options_are_refused() {
    let options = ClientOptions { missed_limit: 0, ..ClientOptions::default() };
    assert_eq!(Client::new(Wire::Line, options, 1, Time::ZERO).unwrap_err().setting, "missed_limit");
}

#[test]
fn reasons_are_those_of_every_connection() {
    assert_eq!(CloseReason::from(ErrorKind::ConnectionReset), CloseReason::Peer(PeerReason::Reset));
}
