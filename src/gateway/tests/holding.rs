//! Connections that are paused, admitted, asked and told, over the same pipes.

use super::*;

/// Writes down what it is told. A message that begins with `wait` pauses its connection.
#[derive(Default)]
struct Desk {
    heard: Vec<(ConnId, String)>,
    quiet: Vec<Time>,
    drained: Vec<ConnId>,
    closed: Vec<CloseReason>,
}

impl Handler for Desk {
    const FAREWELL: Option<fn(u16, &str) -> String> = Some(farewell);
    const ADMITS: bool = true;
    const PINGS: bool = true;

    fn on_message(&mut self, cx: &mut Context<'_>, id: ConnId, message: Message<'_>) {
        let text = String::from_utf8_lossy(&message).into_owned();
        match text.as_str() {
            "admit" => cx.admit(id),
            "shared" => cx.send_prepared(id, &Prepared::text("shared")).unwrap_or_default(),
            "leave" => cx.close_with(id, CloseReason::Local(LocalReason::Custom), 4321, "as you wish"),
            "again" => {
                cx.pause(id);
                cx.resume(id);
            }
            _ if text.starts_with("wait") => cx.pause(id),
            _ => cx.send(id, text.as_str()).unwrap(),
        }
        self.heard.push((id, text));
    }

    fn on_quiet(&mut self, cx: &mut Context<'_>, id: ConnId) {
        self.quiet.push(cx.now());
        cx.send(id, "{}").unwrap();
    }

    fn on_drained(&mut self, _: &mut Context<'_>, id: ConnId) {
        self.drained.push(id);
    }

    fn on_closed(&mut self, cx: &mut Context<'_>, id: ConnId, reason: CloseReason) {
        cx.pause(id);
        cx.resume(id);
        cx.admit(id);
        cx.watch_drain(id);
        assert_eq!(cx.offer(id, &Prepared::text("late")), Offer::Gone);
        self.closed.push(reason);
    }
}

fn farewell(code: u16, words: &str) -> String {
    format!("bye {code} {words}")
}

impl Bench<Desk> {
    fn desk(wire: Wire) -> Self {
        Self::listening(Desk::default(), ListenWire::Fixed(wire), |_| ())
    }

    fn resume(&mut self, id: ConnId) {
        let now = self.now;
        self.reactor.run(now, |_, cx| cx.resume(id));
        self.turn();
        self.settle();
    }

    fn heard(&self) -> Vec<&str> {
        self.reactor.gateway().handler().heard.iter().map(|(_, text)| text.as_str()).collect()
    }

    fn end(&mut self, id: ConnId) {
        if let Some(end) = self.pipes().ends.get_mut(&id) {
            end.peer_closed = true;
        }
        let now = self.now;
        self.reactor.on_event(id, Readiness { closing: true, ..READABLE }, now);
        self.settle();
    }
}

/// Each message in this wire's framing, as a client sends it.
fn stream(wire: Wire, messages: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    for message in messages {
        match wire {
            Wire::WebSocket => {
                out.extend_from_slice(&[0x81, 0x80 | message.len() as u8, 1, 2, 3, 4]);
                out.extend(message.bytes().enumerate().map(|(at, byte)| byte ^ [1, 2, 3, 4][at % 4]));
            }
            wire => wire.encode(Message::from(*message), &mut out),
        }
    }
    out
}

#[cfg(feature = "websocket")]
const UPGRADE: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

fn opened(bench: &mut Bench<Desk>, wire: Wire) -> ConnId {
    let id = bench.open();
    #[cfg(feature = "websocket")]
    if wire == Wire::WebSocket {
        bench.receive(id, UPGRADE);
    }
    bench.receive(id, &stream(wire, &["admit"]));
    bench.sent(id);
    id
}

#[cfg(feature = "websocket")]
const WIRES: [Wire; 3] = [Wire::Length, Wire::Line, Wire::WebSocket];
#[cfg(not(feature = "websocket"))]
const WIRES: [Wire; 2] = [Wire::Length, Wire::Line];

/// Sends these messages in reads of `step` bytes, resumes until nothing is left, and wants all heard in order.
fn check_order(wire: Wire, step: usize, messages: &[&str]) {
    let mut bench = Bench::desk(wire);
    let id = opened(&mut bench, wire);
    for piece in stream(wire, messages).chunks(step) {
        bench.receive(id, piece);
    }
    let pauses = messages.iter().filter(|message| message.starts_with("wait")).count();
    for passed in 0..pauses {
        let waits = bench.heard().iter().filter(|text| text.starts_with("wait")).count();
        assert_eq!(waits, passed + 1, "{wire}, {step}: nothing is handled behind a pause");
        bench.resume(id);
    }
    assert_eq!(bench.heard()[1..], *messages, "{wire}, {step}");
    bench.end(id);
    bench.assert_nothing_left();
}

#[test]
fn what_came_behind_a_pause_is_handled_in_order_when_it_ends() {
    let messages = ["a", "wait 1", "b", "again", "c", "wait 2", "wait 3", "", "d", "again", "again", "e", "wait 4"];
    for wire in WIRES {
        for step in [1, 2, 3, 7, 20, 1000] {
            check_order(wire, step, &messages);
        }
    }
}

#[test]
fn a_paused_connection_is_not_read_from_and_holds_no_more_than_one_read() {
    let mut bench = Bench::desk(Wire::Line);
    let id = opened(&mut bench, Wire::Line);
    let rest = b"0123456789abcde\n".repeat(20_000);
    bench.receive(id, &[b"wait\n", &rest[..]].concat());
    let held = bench.reactor.gateway().held().lent;
    assert!((60_000..=128 << 10).contains(&held), "{held}");
    bench.pipes().calls = 0;
    bench.receive(id, b"more\n");
    assert_eq!(bench.pipes().calls, 0, "no read");
    bench.resume(id);
    assert_eq!(bench.sent(id), [&rest[..], b"more\n"].concat());
}

#[test]
fn messages_can_be_sent_to_a_paused_connection() {
    let mut bench = Bench::desk(Wire::Line);
    let id = opened(&mut bench, Wire::Line);
    bench.receive(id, b"wait\nlater\n");
    bench.reactor.run(Time::ZERO, |_, cx| assert_eq!(cx.offer(id, &Prepared::text("news")), Offer::Sent));
    bench.turn();
    assert_eq!(bench.sent(id), b"news\n");
    bench.resume(id);
    assert_eq!(bench.sent(id), b"later\n");
}

#[test]
fn the_end_of_a_paused_peer_comes_after_what_it_had_sent_and_its_answers() {
    for wire in WIRES {
        let mut bench = Bench::desk(wire);
        let id = opened(&mut bench, wire);
        let before = bench.reactor.gateway().counters().bytes_out;
        bench.receive(id, &stream(wire, &["wait", "one", "wait", "two"]));
        bench.end(id);
        assert_eq!(bench.heard().len(), 2, "{wire}");
        bench.resume(id);
        bench.reactor.run(Time::ZERO, |_, cx| cx.send(id, "answer").unwrap());
        bench.resume(id);
        let expected: Vec<u8> = ["one", "answer", "two"].iter().fold(Vec::new(), |mut out, text| {
            wire.encode(Message::from(*text), &mut out);
            out
        });
        assert!(!bench.pipes().ends.contains_key(&id), "{wire}: all is sent and both sides have ended");
        let sent = bench.reactor.gateway().counters().bytes_out - before;
        assert_eq!(sent, expected.len() as u64, "{wire}");
        assert_eq!(bench.reactor.gateway().handler().closed, [CloseReason::Peer(PeerReason::Closed)]);
        bench.assert_nothing_left();
    }
}

#[test]
fn a_pause_ends_with_its_connection_and_keeps_nothing() {
    let ends: [fn(&mut Bench<Desk>, ConnId); 5] = [
        |bench, id| bench.reactor.run(Time::ZERO, |_, cx| cx.close(id, KICKED)),
        |bench, id| bench.reactor.gateway_mut().handle_error(id, ErrorKind::ConnectionReset, Time::ZERO),
        |bench, _| bench.reactor.gateway_mut().begin_drain(Time::ZERO),
        |bench, _| bench.reactor.stop(Time::ZERO),
        |bench, id| {
            bench.reactor.run(Time::ZERO, |_, cx| {
                cx.resume(id);
                cx.close(id, KICKED);
            });
        },
    ];
    for end in ends {
        let mut bench = Bench::desk(Wire::Line);
        let id = opened(&mut bench, Wire::Line);
        bench.receive(id, b"wait\nnever\n");
        end(&mut bench, id);
        bench.turn();
        bench.resume(id);
        bench.end(id);
        assert_eq!(bench.heard(), ["admit", "wait"]);
        bench.assert_nothing_left();
    }
}

#[test]
fn silence_does_not_count_while_a_connection_is_paused() {
    let mut bench = Bench::desk(Wire::Line);
    let id = opened(&mut bench, Wire::Line);
    bench.receive(id, b"wait\nlater\n");
    bench.wait(Duration::from_secs(600));
    assert!(bench.reactor.gateway().handler().quiet.is_empty());
    bench.resume(id);
    assert_eq!(bench.sent(id), b"later\n");
    bench.wait(Duration::from_millis(62_400));
    assert_eq!(bench.reactor.gateway().connection_count(), 1);
    bench.wait(Duration::from_millis(200));
    assert_eq!(bench.reactor.gateway().handler().closed, [CloseReason::Peer(PeerReason::HeartbeatTimeout)]);
}

#[test]
fn who_is_not_admitted_in_time_is_sent_away_however_much_it_says() {
    for wire in WIRES {
        let mut bench = Bench::desk(wire);
        let id = bench.open();
        bench.wait(Duration::from_secs(3));
        #[cfg(feature = "websocket")]
        if wire == Wire::WebSocket {
            bench.receive(id, UPGRADE);
        }
        bench.wait(Duration::from_secs(3));
        bench.receive(id, &stream(wire, &["hello", "wait"]));
        bench.wait(Duration::from_millis(3_900));
        assert_eq!(bench.reactor.gateway().handler().closed, []);
        bench.sent(id);
        bench.wait(Duration::from_millis(120));
        let reason = CloseReason::Peer(PeerReason::HandshakeTimeout);
        assert_eq!(bench.reactor.gateway().handler().closed, [reason], "{wire}");
        let told = bench.sent(id);
        assert!(told.windows(9).any(|part| part == b"handshake"), "{wire}: {}", told.escape_ascii());
    }
}

#[test]
fn the_handler_asks_once_an_interval_who_hears_or_says_nothing() {
    let mut bench = Bench::desk(Wire::Line);
    let id = opened(&mut bench, Wire::Line);
    bench.wait(Duration::from_secs(25));
    let asked = bench.reactor.gateway().handler().quiet.clone();
    assert!(asked.len() == 1 && asked[0] >= Time::from_millis(12_500), "{asked:?}");
    // It says something each second, and hears nothing.
    bench.now = asked[0];
    for _ in 0..60 {
        bench.wait(Duration::from_secs(1));
        bench.receive(id, b"again\n");
    }
    let times: Vec<u64> = bench.reactor.gateway().handler().quiet.iter().map(|at| at.as_millis()).collect();
    assert!(times.windows(2).all(|pair| (25_000..=25_020).contains(&(pair[1] - pair[0]))), "{times:?}");
    assert_eq!(times.len(), 3);
}

#[test]
fn an_end_is_told_in_the_words_of_its_wire() {
    for (wire, expected) in [
        (Wire::Line, &b"bye 4321 as you wish\n"[..]),
        (Wire::Length, b"\0\0\0\x14bye 4321 as you wish"),
        #[cfg(feature = "websocket")]
        (Wire::WebSocket, b"\x88\x0d\x10\xe1as you wish"),
    ] {
        let mut bench = Bench::desk(wire);
        let id = opened(&mut bench, wire);
        bench.receive(id, &stream(wire, &["leave", "ignored"]));
        assert_eq!(bench.sent(id), expected, "{wire}");
        assert!(bench.pipes().ends[&id].shut);
        assert_eq!(bench.closed(CloseReason::Local(LocalReason::Custom)), 1);
    }
}

#[test]
fn words_of_the_handler_are_cut_at_a_character() {
    let mut bench = Bench::desk(Wire::Raw);
    let id = bench.open();
    let words = format!("a{}", "\u{20ac}".repeat(60));
    bench.reactor.run(Time::ZERO, |_, cx| cx.close_with(id, KICKED, 4000, &words));
    bench.turn();
    assert_eq!(bench.sent(id), format!("bye 4000 {}", &words[..121]).into_bytes());
}

#[test]
fn a_peer_that_breaks_its_wire_hears_the_farewell_and_one_that_left_does_not() {
    let mut bench = Bench::desk(Wire::Length);
    let id = opened(&mut bench, Wire::Length);
    bench.receive(id, b"\xff\xff\xff\xff");
    assert_eq!(bench.sent(id), b"\0\0\0\x1abye 1009 message too large");
    let left = opened(&mut bench, Wire::Length);
    bench.set_room(left, 0);
    bench.reactor.run(Time::ZERO, |_, cx| cx.send(left, "owed").unwrap());
    bench.turn();
    bench.end(left);
    bench.set_room(left, 5);
    assert_eq!(bench.sent(left), b"\0\0\0\x04o");
    bench.set_room(left, 100);
    bench.turn();
    assert_eq!(bench.reactor.gateway().connection_count(), 1, "no farewell was owed");
}

/// A connection that takes `room` bytes of ten messages of 1,000 bytes, and then more than may wait.
fn slow(wire: Wire, room: usize) -> (Bench<Desk>, ConnId) {
    let mut bench = Bench::listening(Desk::default(), ListenWire::Fixed(wire), |s| {
        (s.write_queue_soft_bytes, s.write_queue_hard_bytes, s.max_message_bytes) = (4_000, 20_000, 1000);
    });
    let id = opened(&mut bench, wire);
    bench.set_room(id, room);
    for count in [10, 14] {
        bench.reactor.run(Time::ZERO, |_, cx| {
            for _ in 0..count {
                // The last ones find it closed.
                let _ = cx.send_prepared(id, &Prepared::text("m".repeat(1000)));
            }
        });
        bench.turn();
    }
    (bench, id)
}

#[test]
fn a_slow_consumer_is_told_behind_the_frame_under_way_and_holds_nothing_else() {
    let reason = CloseReason::Local(LocalReason::SlowConsumer);
    for wire in WIRES {
        let (mut bench, id) = slow(wire, 2_500);
        assert_eq!(bench.reactor.gateway().handler().closed, [reason]);
        let queued = bench.reactor.gateway().held().queued;
        assert!((500..1_100).contains(&queued), "{wire}: {queued}");
        assert_eq!(bench.reactor.gateway().pending_bytes(id), queued);
        bench.set_room(id, usize::MAX);
        let mut expected = Vec::new();
        (0..3).for_each(|_| wire.encode(Message::from("m".repeat(1000).as_str()), &mut expected));
        match wire {
            Wire::WebSocket => expected.extend_from_slice(b"\x88\x1f\x0b\xc0too slow to take what is sent"),
            wire => wire.encode(Message::from("bye 3008 too slow to take what is sent"), &mut expected),
        }
        assert_eq!(bench.sent(id), expected, "{wire}");
        assert!(bench.pipes().ends[&id].shut, "{wire}");
        bench.end(id);
        bench.assert_nothing_left();
    }
}

#[test]
fn a_slow_consumer_that_is_being_served_is_told_as_well() {
    let mut bench = Bench::listening(Desk::default(), ListenWire::Fixed(Wire::Line), |s| {
        (s.write_queue_soft_bytes, s.write_queue_hard_bytes, s.max_message_bytes) = (100, 1_016, 1000);
    });
    let id = opened(&mut bench, Wire::Line);
    // Both are gathered; then one more is queued behind them, which is too much.
    bench.receive(id, &stream(Wire::Line, &["m".repeat(600).as_str(), "m".repeat(600).as_str(), "shared"]));
    assert_eq!(bench.sent(id), b"bye 3008 too slow to take what is sent\n");
    assert_eq!(bench.reactor.gateway().handler().closed, [CloseReason::Local(LocalReason::SlowConsumer)]);
}

#[test]
fn a_slow_consumer_that_takes_nothing_more_is_dropped_after_the_close_timeout() {
    let (mut bench, id) = slow(Wire::Line, 0);
    assert_eq!(bench.reactor.gateway().held().queued, 39, "the farewell alone");
    bench.wait(Duration::from_millis(4_900));
    assert!(bench.pipes().ends.contains_key(&id));
    bench.wait(Duration::from_millis(200));
    bench.assert_nothing_left();
}

#[test]
fn a_stalled_peer_is_told_and_has_the_close_timeout_to_hear() {
    for (hears, room) in [(true, 100), (false, 0)] {
        let mut bench = Bench::desk(Wire::Line);
        let id = opened(&mut bench, Wire::Line);
        bench.set_room(id, 3);
        bench.reactor.run(Time::ZERO, |_, cx| {
            cx.send(id, "first").unwrap();
            cx.send_prepared(id, &Prepared::new(vec![b'x'; 5000])).unwrap();
        });
        bench.turn();
        bench.wait(Duration::from_millis(10_100));
        let reason = CloseReason::Local(LocalReason::WriteTimeout);
        assert_eq!(bench.reactor.gateway().handler().closed, [reason]);
        bench.set_room(id, room);
        let heard = bench.sent(id);
        assert_eq!(heard.starts_with(b"first\nbye 3009 nothing could be sent"), hears, "{}", heard.escape_ascii());
        bench.wait(Duration::from_millis(5_100));
        bench.assert_nothing_left();
    }
}

#[test]
fn an_offer_is_refused_while_much_waits_and_its_handler_hears_when_half_has_left() {
    let mut bench = Bench::listening(Desk::default(), ListenWire::Fixed(Wire::Line), |s| {
        (s.write_queue_soft_bytes, s.write_queue_hard_bytes, s.max_message_bytes) = (4_000, 20_000, 1000);
    });
    let id = opened(&mut bench, Wire::Line);
    bench.set_room(id, 0);
    let message = Prepared::text("m".repeat(999));
    let offer = |bench: &mut Bench<Desk>| {
        let mut offered = Offer::Gone;
        bench.reactor.run(Time::ZERO, |_, cx| offered = cx.offer(id, &message));
        bench.turn();
        offered
    };
    for _ in 0..5 {
        assert_eq!(offer(&mut bench), Offer::Sent);
    }
    assert_eq!((offer(&mut bench), offer(&mut bench)), (Offer::Full, Offer::Full));
    bench.set_room(id, 2_999);
    bench.turn();
    assert_eq!(bench.reactor.gateway().handler().drained, []);
    bench.set_room(id, 1);
    bench.turn();
    assert_eq!(bench.reactor.gateway().handler().drained, [id], "2,000 wait");
    bench.set_room(id, 500);
    bench.set_room(id, 5000);
    bench.turn();
    assert_eq!(bench.reactor.gateway().handler().drained, [id], "once");
    assert_eq!(offer(&mut bench), Offer::Sent);
    assert_eq!(bench.sent(id), [b"m".repeat(999), b"\n".to_vec()].concat().repeat(6));
}

#[test]
fn who_asks_for_a_drained_queue_hears_at_once_where_nothing_waits_and_once_for_each_asking() {
    let mut bench = Bench::desk(Wire::Line);
    let id = opened(&mut bench, Wire::Line);
    bench.reactor.run(Time::ZERO, |_, cx| {
        cx.watch_drain(id);
        cx.watch_drain(id);
    });
    assert_eq!(bench.reactor.gateway().handler().drained, [], "not inside the call");
    bench.turn();
    bench.turn();
    assert_eq!(bench.reactor.gateway().handler().drained, [id]);
    bench.reactor.run(Time::ZERO, |_, cx| cx.watch_drain(id));
    bench.reactor.gateway_mut().handle_error(id, ErrorKind::ConnectionReset, Time::ZERO);
    bench.turn();
    assert_eq!(bench.reactor.gateway().handler().drained, [id], "nobody is there any more");
    bench.assert_nothing_left();
}

#[test]
fn an_offer_that_no_queue_may_hold_is_never_sent() {
    let mut bench = Bench::desk(Wire::Line);
    let id = opened(&mut bench, Wire::Line);
    bench.reactor.run(Time::ZERO, |_, cx| {
        assert_eq!(cx.offer(id, &Prepared::new(vec![b'x'; 2 << 20])), Offer::Gone);
        assert_eq!(cx.offer(id, &Prepared::text("fits")), Offer::Sent);
    });
    bench.turn();
    assert_eq!(bench.sent(id), b"fits\n");
}

/// With the id in front, three lines of the cache.
#[test]
fn a_slot_grows_only_knowingly() {
    use crate::gateway::core::Slot;
    assert!(size_of::<Slot>() <= 3 * 64 - size_of::<ConnId>());
    assert_eq!(std::mem::offset_of!(Slot, connection), 16);
}

#[test]
fn people_s_time_goes_on_from_where_it_was_set() {
    let mut bench = Bench::desk(Wire::Line);
    bench.reactor.gateway_mut().set_unix_time(1_700_000_000_000, Time::from_millis(500));
    bench.reactor.run(Time::from_millis(1750), |_, cx| assert_eq!(cx.unix_millis(), 1_700_000_001_250));
}
