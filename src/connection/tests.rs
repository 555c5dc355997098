//! What a connection makes of bytes and of time.

use super::*;
use crate::buffer::Pool;
use crate::config::Settings;
use crate::timer::Time;
use crate::wire::{Message, Wire};
use std::io;
use std::time::Duration;

struct Bench {
    connection: Connection,
    settings: Settings,
    pool: Pool,
    compressor: Compressor,
}

impl Bench {
    fn new(listen_wire: ListenWire, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::default();
        change(&mut settings);
        settings.validate().unwrap();
        let first_quiet = settings.heartbeat_interval / 2;
        let start = Start {
            door: listen_wire.into(),
            now: Time::ZERO,
            first_quiet,
            rate: None,
            admits: false,
            handler_asks: false,
            settings: &settings,
        };
        let connection = Connection::new(start);
        Self { connection, settings, pool: Pool::new(0), compressor: Compressor::default() }
    }

    /// Feeds bytes; the messages that came out, and the reason if the stream was refused.
    fn feed(&mut self, bytes: &[u8], millis: u64) -> (Vec<Vec<u8>>, Option<CloseReason>) {
        let (mut bytes, mut messages) = (bytes.to_vec(), Vec::new());
        let mut rest = &mut bytes[..];
        self.connection.on_received(rest.len(), at(millis));
        loop {
            let Self { settings, pool, compressor, connection } = self;
            match connection.handle_bytes(&mut rest, &mut Tools { settings, pool, compressor, now: at(millis) }) {
                Input::NeedMore => return (messages, None),
                Input::Opened => assert!(connection.wire().is_some()),
                Input::Message(payload, _) => {
                    messages.push(payload.bytes().to_vec());
                    payload.give_back(pool, compressor);
                }
                Input::Refused { reason, .. } => return (messages, Some(reason)),
                other => panic!("{other:?} on a plain wire"),
            }
        }
    }

    fn due(&mut self, millis: u64) -> Due {
        self.connection.handle_timeout(at(millis), &self.settings)
    }

    /// Lets time jump from deadline to deadline; when and how it ends.
    fn end(&mut self) -> (u64, Due) {
        for _ in 0..100 {
            let next = self.connection.poll_timeout(&self.settings).expect("an unfinished connection has a deadline");
            match self.connection.handle_timeout(next, &self.settings) {
                Due::Nothing | Due::Probe => {}
                due => return (next.as_millis(), due),
            }
        }
        panic!("deadlines without end");
    }
}

fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}

fn peer(reason: PeerReason) -> Due {
    Due::Close(CloseReason::Peer(reason))
}

fn check_any_split(listen_wire: ListenWire, stream: &[u8], expected: &[&[u8]], wire: Wire) {
    for size in 1..=stream.len() {
        let mut bench = Bench::new(listen_wire, |_| ());
        let mut messages = Vec::new();
        for chunk in stream.chunks(size) {
            let (some, refused) = bench.feed(chunk, 0);
            assert_eq!(refused, None);
            messages.extend(some);
        }
        assert_eq!(messages, expected, "in chunks of {size}");
        assert_eq!((bench.connection.wire(), bench.pool.lent_bytes()), (Some(wire), 0));
    }
}

#[test]
fn the_first_bytes_decide_the_wire_however_they_are_cut() {
    check_any_split(ListenWire::Auto, b"hi\n\nGET me\n", &[b"hi", b"", b"GET me"], Wire::Line);
    check_any_split(ListenWire::Auto, b"\0\0\0\x02hi\0\0\0\0", &[b"hi", b""], Wire::Length);
    check_any_split(ListenWire::Auto, b"POSTPONED\nPO\nP\n", &[b"POSTPONED", b"PO", b"P"], Wire::Line);
    check_any_split(ListenWire::Auto, b"P\nx\n", &[b"P", b"x"], Wire::Line);
    check_any_split(
        ListenWire::Fixed(Wire::Line),
        b"GET / HTTP/1.1\n\x16\n",
        &[b"GET / HTTP/1.1", b"\x16"],
        Wire::Line,
    );
}

#[test]
fn other_protocols_are_refused_in_their_own_words() {
    for (bytes, reason) in
        [(&b"GET / HTTP/1.1"[..], PeerReason::HttpNotServed), (b"\x16\x03", PeerReason::TlsNotServed)]
    {
        let mut bench = Bench::new(ListenWire::Auto, |_| ());
        assert_eq!(bench.feed(bytes, 0), (vec![], Some(CloseReason::Peer(reason))));
    }
}

#[test]
fn an_over_long_message_is_refused_before_it_is_held() {
    let mut bench = Bench::new(ListenWire::Fixed(Wire::Length), |_| ());
    assert_eq!(bench.feed(b"\0\0\0\x01x\xff\xff", 0).0, [b"x"]);
    let (_, refused) = bench.feed(b"\xff\xff", 0);
    assert_eq!(refused, Some(CloseReason::Peer(PeerReason::MessageTooLarge)));
    assert!(bench.pool.lent_bytes() <= 512);
    let mut bench = Bench::new(ListenWire::Fixed(Wire::Line), |s| s.max_message_bytes = 10);
    assert_eq!(bench.feed(b"012345678", 0), (vec![], None));
    assert!(bench.feed(&[b'x'; 60_000], 0).1.is_some());
    assert!(bench.pool.lent_bytes() <= 512);
}

#[test]
fn first_bytes_that_never_decide_run_into_the_handshake_time() {
    let mut silent = Bench::new(ListenWire::Auto, |_| ());
    assert_eq!(silent.end(), (10_000, peer(PeerReason::HandshakeTimeout)));
    let mut dripping = Bench::new(ListenWire::Auto, |_| ());
    dripping.feed(b"PO", 9_000);
    assert_eq!(dripping.end(), (10_000, peer(PeerReason::HandshakeTimeout)));
}

#[test]
fn a_first_message_must_be_complete_in_time_once_it_has_begun() {
    let mut bench = Bench::new(ListenWire::Fixed(Wire::Length), |_| ());
    bench.feed(b"\0\0", 9_999);
    assert_eq!(bench.end(), (10_000, peer(PeerReason::HandshakeTimeout)));
}

#[test]
fn a_peer_that_only_listens_is_judged_by_its_silence() {
    let mut bench = Bench::new(ListenWire::Fixed(Wire::Line), |_| ());
    assert_eq!(bench.end(), (62_500, peer(PeerReason::HeartbeatTimeout)));
}

#[test]
fn any_byte_is_life() {
    let mut bench = Bench::new(ListenWire::Fixed(Wire::Line), |_| ());
    bench.feed(b"whole\nunfinished", 1_000);
    bench.feed(b"x", 50_000);
    assert_eq!(bench.due(62_500), Due::Nothing);
    assert_eq!(bench.end(), (112_500, peer(PeerReason::HeartbeatTimeout)));
}

#[test]
fn a_quiet_peer_is_asked_and_a_busy_one_is_not() {
    let mut bench = Bench::new(ListenWire::Fixed(Wire::Line), |s| s.heartbeat_probe = Some(b"ping".to_vec()));
    bench.feed(b"hi\n", 10_000);
    assert_eq!(bench.due(12_500), Due::Nothing, "the spread first probe counts from the last byte");
    assert_eq!(bench.due(22_499), Due::Nothing);
    assert_eq!(bench.due(22_500), Due::Probe);
    assert_eq!(bench.due(22_500), Due::Nothing, "asked once");
    assert_eq!(bench.due(47_500), Due::Probe, "and again after a whole interval");
    bench.feed(b"hi\n", 50_000);
    assert_eq!(bench.due(74_999), Due::Nothing);
    assert_eq!(bench.due(75_000), Due::Probe);
    assert_eq!(bench.end(), (112_500, peer(PeerReason::HeartbeatTimeout)));
}

#[test]
fn the_answer_to_a_probe_is_no_message_and_any_other_pong_is() {
    let mut bench = Bench::new(ListenWire::Fixed(Wire::Line), |s| s.heartbeat_probe = Some(b"ping".to_vec()));
    assert_eq!(bench.connection.on_message(Message::from(b"pong"), at(1_000), &bench.settings), Verdict::Deliver);
    assert_eq!(bench.due(25_000), Due::Probe);
    assert_eq!(bench.connection.on_message(Message::from(b"PONG"), at(25_001), &bench.settings), Verdict::Deliver);
    assert_eq!(
        bench.connection.on_message(Message::from(b"pong"), at(25_001), &bench.settings),
        Verdict::ProbeAnswered
    );
    assert_eq!(bench.connection.on_message(Message::from(b"pong"), at(25_002), &bench.settings), Verdict::Deliver);
}

#[test]
fn the_byte_that_answers_our_byte_is_not_answered_again() {
    let mut bench = Bench::new(ListenWire::Fixed(Wire::Length), |s| s.heartbeat_probe = Some(vec![1]));
    assert_eq!(bench.due(25_000), Due::Probe);
    assert_eq!(bench.connection.on_message(Message::from(&[1]), at(25_001), &bench.settings), Verdict::ProbeAnswered);
    assert_eq!(bench.connection.on_message(Message::from(&[1]), at(25_002), &bench.settings), Verdict::Heartbeat(&[1]));
}

#[test]
fn heartbeats_can_be_off() {
    let mut bench = Bench::new(ListenWire::Fixed(Wire::Line), |s| s.heartbeat_interval = Duration::ZERO);
    assert_eq!(bench.due(10_000), Due::Nothing);
    assert_eq!(bench.connection.poll_timeout(&bench.settings), None);
}

#[test]
fn a_peer_that_only_heartbeats_is_idle() {
    let mut bench = Bench::new(ListenWire::Fixed(Wire::Line), |s| s.idle_timeout = Some(Duration::from_secs(30)));
    bench.feed(b"message\n", 5_000);
    assert_eq!(bench.connection.on_message(Message::from(b"message"), at(5_000), &bench.settings), Verdict::Deliver);
    bench.feed(b"ping\n", 34_000);
    assert_eq!(
        bench.connection.on_message(Message::from(b"ping"), at(34_000), &bench.settings),
        Verdict::Heartbeat(b"pong")
    );
    assert_eq!(bench.end(), (35_000, Due::Close(CloseReason::Local(LocalReason::IdleTimeout))));
}

#[test]
fn waiting_bytes_without_progress_are_a_write_timeout() {
    let mut bench = Bench::new(ListenWire::Fixed(Wire::Line), |_| ());
    bench.connection.queue_copy(&[0; 100], at(1_000), &mut bench.pool);
    let mut takes = [10, 0].into_iter();
    let flushed = bench.connection.flush(at(9_000), &mut bench.pool, |_| match takes.next() {
        Some(n) if n > 0 => Ok(n),
        _ => Err(io::ErrorKind::WouldBlock.into()),
    });
    assert!(matches!(flushed, (10, Ok(Flushed::Blocked))));
    assert_eq!(bench.due(11_000), Due::Nothing, "there was progress at 9 s");
    assert_eq!(bench.end(), (19_000, Due::Close(CloseReason::Local(LocalReason::WriteTimeout))));
}

#[test]
fn silence_does_not_count_while_nothing_is_read() {
    let change = |s: &mut Settings| (s.write_queue_soft_bytes, s.write_timeout) = (10, Duration::from_secs(1000));
    let mut bench = Bench::new(ListenWire::Fixed(Wire::Raw), change);
    bench.connection.queue_copy(&[0; 100], at(0), &mut bench.pool);
    assert!(!bench.connection.wants_bytes(&bench.settings));
    assert_eq!(bench.due(62_500), Due::Nothing);
    bench.connection.flush(at(70_000), &mut bench.pool, |slices| Ok(slices[0].len())).1.unwrap();
    bench.connection.on_reading_resumed(at(70_000), &bench.settings);
    assert_eq!(bench.end(), (132_500, peer(PeerReason::HeartbeatTimeout)));
}

#[test]
fn an_end_flushes_lingers_and_gives_up_in_time() {
    let mut bench = Bench::new(ListenWire::Fixed(Wire::Line), |_| ());
    bench.feed(b"unfinished", 0);
    bench.connection.queue_copy(b"last words", at(0), &mut bench.pool);
    let reason = CloseReason::Local(LocalReason::Kicked);
    bench.connection.begin_close(reason, at(100), &bench.settings, &mut bench.pool);
    assert_eq!(bench.feed(b"ignored\n", 200), (vec![], None));
    bench.connection.flush(at(200), &mut bench.pool, |slices| Ok(slices[0].len())).1.unwrap();
    bench.connection.on_shut_down();
    assert_eq!(bench.connection.phase(), Phase::Lingering { give_up_at: at(5_100) });
    assert_eq!(bench.end(), (5_100, Due::Drop));
    bench.connection.on_closed(&mut bench.pool);
    assert_eq!(bench.pool.lent_bytes(), 0);
}

#[test]
fn an_end_that_cannot_flush_is_over_at_once() {
    let mut bench = Bench::new(ListenWire::Fixed(Wire::Line), |_| ());
    bench.connection.queue_copy(b"never sent", at(0), &mut bench.pool);
    let reason = CloseReason::Local(LocalReason::Stopped);
    bench.connection.begin_close(reason, at(0), &bench.settings, &mut bench.pool);
    assert_eq!(bench.connection.phase(), Phase::Closed);
}

/// What stands before it with its owner takes 24 bytes of the first line of 64.
#[cfg(all(feature = "deflate", target_pointer_width = "64"))]
#[test]
fn what_a_delivery_and_a_message_look_at_comes_first() {
    use std::mem::offset_of;
    let line = |offset: usize| (24 + offset) / 64;
    assert_eq!(size_of::<Connection>(), 136);
    assert_eq!(line(offset_of!(Connection, last_sent)), 0);
    assert_eq!([line(offset_of!(Connection, last_received)), line(offset_of!(Connection, compression) + 15)], [1, 1]);
    assert_eq!(line(offset_of!(Connection, last_message)), 2);
}
