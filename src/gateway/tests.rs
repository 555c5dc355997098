//! A gateway and its reactor over sockets made of two byte vectors.

use super::*;
use crate::apps::{Broadcast, Echo};
use crate::config::Settings;
use crate::connection::{CloseReason, ListenWire, LocalReason, PeerReason};
use crate::timer::Time;
use crate::wire::{Message, Prepared, Wire};
use std::collections::{HashMap, VecDeque};
use std::io::{self, ErrorKind, IoSlice};
use std::time::Duration;

#[cfg(feature = "websocket")]
mod answering;
mod holding;

/// Sockets that hold what the peer sent and take what it is sent, up to `room`.
#[derive(Default)]
struct Pipes {
    waiting: VecDeque<io::Result<Peer>>,
    ends: HashMap<ConnId, End>,
    calls: usize,
}

#[derive(Default)]
struct End {
    arriving: Vec<u8>,
    peer_closed: bool,
    sent: Vec<u8>,
    room: usize,
    shut: bool,
}

impl Sockets for Pipes {
    type Socket = ();

    fn accept(&mut self, _: usize) -> io::Result<((), Peer)> {
        self.calls += 1;
        self.waiting.pop_front().unwrap_or(Err(ErrorKind::WouldBlock.into())).map(|peer| ((), peer))
    }

    fn attach(&mut self, id: ConnId, (): ()) -> io::Result<()> {
        self.ends.insert(id, End { room: usize::MAX, ..End::default() });
        Ok(())
    }

    fn read(&mut self, id: ConnId, buffer: &mut [u8]) -> io::Result<Received> {
        self.calls += 1;
        let end = self.ends.get_mut(&id).ok_or(ErrorKind::NotConnected)?;
        let n = end.arriving.len().min(buffer.len());
        if n == 0 && !end.peer_closed {
            return Err(ErrorKind::WouldBlock.into());
        }
        buffer[..n].copy_from_slice(&end.arriving[..n]);
        end.arriving.drain(..n);
        Ok(Received::of(n, buffer.len()))
    }

    fn write(&mut self, id: ConnId, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.calls += 1;
        let end = self.ends.get_mut(&id).ok_or(ErrorKind::NotConnected)?;
        let all: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        let n = all.len().min(end.room);
        if n == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        end.room -= n;
        end.sent.extend_from_slice(&all[..n]);
        Ok(n)
    }

    fn shut_down(&mut self, id: ConnId) {
        self.ends.entry(id).and_modify(|end| end.shut = true);
    }

    fn close(&mut self, id: ConnId) {
        self.ends.remove(&id);
    }
}

struct Bench<H: Handler> {
    reactor: Reactor<H, Pipes>,
    now: Time,
}

impl<H: Handler> Bench<H> {
    fn new(handler: H, change: impl FnOnce(&mut Settings)) -> Self {
        Self::listening(handler, ListenWire::Fixed(Wire::Line), change)
    }

    fn listening(handler: H, wire: ListenWire, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::default();
        change(&mut settings);
        let gateway = Gateway::new(handler, settings, Seed { jitter: 1, ids: 2 }, Time::ZERO).unwrap();
        let mut reactor = Reactor::new(gateway, Pipes::default());
        reactor.add_listener(wire);
        Self { reactor, now: Time::ZERO }
    }

    /// Lets a peer from this address in; its id, if it was.
    fn accept(&mut self, from: &str) -> Option<ConnId> {
        let before: Vec<ConnId> = self.pipes().ends.keys().copied().collect();
        self.pipes().waiting.push_back(Ok(Peer::Tcp(from.parse().unwrap())));
        self.reactor.on_acceptable(0);
        self.turn();
        self.pipes().ends.keys().copied().find(|id| !before.contains(id))
    }

    fn open(&mut self) -> ConnId {
        self.accept("192.0.2.1:1").expect("no limit is set")
    }

    fn pipes(&mut self) -> &mut Pipes {
        self.reactor.sockets_mut()
    }

    fn turn(&mut self) {
        self.reactor.begin_turn(self.now);
        self.reactor.end_turn(self.now);
    }

    /// One event's worth of bytes, then turns until nothing is left over.
    fn receive(&mut self, id: ConnId, bytes: &[u8]) {
        if let Some(end) = self.pipes().ends.get_mut(&id) {
            end.arriving.extend_from_slice(bytes);
        }
        self.reactor.begin_turn(self.now);
        self.reactor.on_event(id, READABLE, self.now);
        self.reactor.end_turn(self.now);
        self.settle();
    }

    fn settle(&mut self) {
        for _ in 0..1000 {
            if self.reactor.poll_timeout(self.now).is_none_or(|at| at > self.now) {
                return;
            }
            self.turn();
        }
        panic!("the reactor spins");
    }

    fn wait(&mut self, wait: Duration) {
        let until = self.now + wait;
        while let Some(at) = self.reactor.poll_timeout(self.now).filter(|at| *at <= until) {
            self.now = at.max(self.now);
            self.turn();
        }
        self.now = until;
        self.turn();
    }

    fn sent(&mut self, id: ConnId) -> Vec<u8> {
        self.pipes().ends.get_mut(&id).map(|end| std::mem::take(&mut end.sent)).unwrap_or_default()
    }

    fn set_room(&mut self, id: ConnId, room: usize) {
        self.pipes().ends.get_mut(&id).unwrap().room = room;
        let now = self.now;
        self.reactor.on_event(id, WRITABLE, now);
        self.settle();
    }

    fn closed(&self, reason: CloseReason) -> u64 {
        self.reactor.gateway().counters().closed[reason.index()]
    }

    fn assert_nothing_left(&mut self) {
        self.wait(Duration::from_secs(10));
        let gateway = self.reactor.gateway();
        let held = gateway.held();
        assert_eq!((gateway.connection_count(), held.queued, held.lent, held.kept), (0, 0, 0, 0));
        assert_eq!(gateway.table_sizes(), [0; 4]);
        assert!(self.pipes().ends.is_empty());
    }
}

/// Counts what it is told and does what messages say.
#[derive(Default)]
struct Probe {
    opened: usize,
    closed: Vec<CloseReason>,
    rang: Vec<u64>,
}

impl Handler for Probe {
    fn on_opened(&mut self, cx: &mut Context<'_>, id: ConnId) {
        self.opened += 1;
        assert_eq!(cx.find(&cx.text(id).to_string()), Some(id));
    }

    fn on_message(&mut self, cx: &mut Context<'_>, id: ConnId, message: Message<'_>) {
        match message.bytes() {
            b"panic" => panic!("as asked"),
            b"close" => cx.close(id, CloseReason::Local(LocalReason::Kicked)),
            b"big" => cx.send_prepared(id, &Prepared::new(vec![b'x'; 1000])).unwrap(),
            b"large" => cx.send(id, &vec![b'L'; 9000]).unwrap(),
            b"ring" => drop(cx.arm_timer(Duration::from_millis(100), 7)),
            other => cx.send(id, other).unwrap(),
        }
    }

    fn on_closed(&mut self, cx: &mut Context<'_>, id: ConnId, reason: CloseReason) {
        assert_eq!(cx.send(id, b"late"), Err(SendError::Gone));
        assert_eq!(cx.connection(id), None);
        self.closed.push(reason);
    }

    fn on_timer(&mut self, _: &mut Context<'_>, token: u64) {
        self.rang.push(token);
    }
}

const READABLE: Readiness = Readiness { readable: true, writable: false, closing: false };
const WRITABLE: Readiness = Readiness { readable: false, writable: true, closing: false };
const KICKED: CloseReason = CloseReason::Local(LocalReason::Kicked);

#[test]
fn a_burst_is_answered_in_order_by_one_write() {
    let mut bench = Bench::new(Echo, |_| ());
    let id = bench.open();
    bench.pipes().calls = 0;
    bench.receive(id, b"one\nping\ntwo\n");
    assert_eq!(bench.sent(id), b"one\npong\ntwo\n");
    assert_eq!(bench.pipes().calls, 2, "one read and one write");
}

#[test]
fn more_than_a_budget_of_bytes_is_read_without_further_events() {
    let mut bench = Bench::new(Echo, |_| ());
    let id = bench.open();
    let stream = b"0123456789abcde\n".repeat(20_000);
    bench.receive(id, &stream);
    assert_eq!(bench.sent(id), stream);
}

#[test]
fn a_slow_peer_is_not_read_from_until_it_drains() {
    let mut bench = Bench::new(Echo, |_| ());
    let id = bench.open();
    bench.set_room(id, 0);
    let stream = b"0123456789abcde\n".repeat(60_000);
    bench.receive(id, &stream);
    let held = bench.reactor.gateway().held().queued;
    assert!(held > 256 << 10 && held <= (256 << 10) + (64 << 10), "{held}");
    bench.set_room(id, 100_000);
    bench.set_room(id, usize::MAX);
    assert_eq!(bench.sent(id), stream);
}

#[test]
fn a_receiver_that_leaves_too_much_waiting_is_closed_as_slow() {
    let mut bench = Bench::new(Probe::default(), |s| {
        (s.write_queue_soft_bytes, s.write_queue_hard_bytes, s.max_message_bytes) = (1000, 5000, 100);
    });
    let id = bench.open();
    bench.set_room(id, 0);
    bench.receive(id, b"big\nbig\nbig\nbig\nbig\nbig\n");
    assert_eq!(bench.reactor.gateway().handler().closed, [CloseReason::Local(LocalReason::SlowConsumer)]);
    bench.assert_nothing_left();
}

#[test]
fn a_large_message_that_has_not_begun_to_leave_is_dropped_for_a_slow_receiver() {
    let mut bench = Bench::new(Probe::default(), |s| {
        (s.write_queue_soft_bytes, s.write_queue_hard_bytes, s.max_message_bytes) = (1000, 9100, 100);
    });
    let id = bench.open();
    bench.set_room(id, 50);
    let small = [&[b'a'; 90][..], b"\n", &[b'b'; 90], b"\n"].concat();
    bench.receive(id, &[&small[..], b"large\n"].concat());
    assert_eq!(bench.reactor.gateway().handler().closed, [CloseReason::Local(LocalReason::SlowConsumer)]);
    assert_eq!(bench.reactor.gateway().held().queued, small.len() - 50, "what was under way, and nothing behind it");
    bench.set_room(id, usize::MAX);
    assert_eq!(bench.sent(id), small);
}

#[test]
fn nothing_is_answered_after_the_end_was_decided() {
    let mut bench = Bench::new(Probe::default(), |_| ());
    let id = bench.open();
    bench.receive(id, b"before\nclose\nafter\nping\n");
    assert_eq!(bench.sent(id), b"before\n");
    assert!(bench.pipes().ends[&id].shut, "flushed, then shut, then waiting for the peer's end");
    bench.pipes().ends.get_mut(&id).unwrap().peer_closed = true;
    bench.receive(id, b"");
    assert_eq!(bench.reactor.gateway().handler().closed, [KICKED]);
    bench.assert_nothing_left();
}

#[test]
fn a_panic_ends_its_own_connection_and_no_other() {
    let mut bench = Bench::new(Probe::default(), |_| ());
    let (one, other) = (bench.open(), bench.open());
    bench.receive(one, b"panic\nhi\n");
    bench.receive(other, b"hi\n");
    assert_eq!((bench.sent(one), bench.sent(other)), (vec![], b"hi\n".to_vec()));
    let reason = CloseReason::Local(LocalReason::HandlerPanicked);
    assert_eq!((bench.closed(reason), bench.reactor.gateway().counters().handler_panics), (1, 1));
}

#[test]
fn broadcasts_reach_every_wire_in_its_own_framing_and_never_the_sender() {
    let mut bench = Bench::listening(Broadcast, ListenWire::Auto, |_| ());
    let (line, length, undecided) = (bench.open(), bench.open(), bench.open());
    bench.receive(length, b"\0\0\0\x04ping");
    bench.receive(line, b"hello\n");
    assert_eq!(bench.sent(length), b"\0\0\0\x04pong\0\0\0\x05hello");
    bench.receive(length, b"\0\0\0\x02yo");
    assert_eq!((bench.sent(line), bench.sent(length), bench.sent(undecided)), (b"yo\n".to_vec(), vec![], vec![]));
}

#[test]
fn a_half_closed_peer_still_gets_its_answers() {
    let mut bench = Bench::new(Echo, |_| ());
    let id = bench.open();
    bench.set_room(id, 3);
    bench.pipes().ends.get_mut(&id).unwrap().arriving.extend_from_slice(b"hello\n");
    bench.pipes().ends.get_mut(&id).unwrap().peer_closed = true;
    let now = bench.now;
    bench.reactor.on_event(id, Readiness { closing: true, ..READABLE }, now);
    bench.settle();
    assert_eq!(bench.sent(id), b"hel");
    bench.pipes().ends.get_mut(&id).unwrap().room = 100;
    bench.reactor.on_event(id, WRITABLE, now);
    assert_eq!(bench.sent(id), b"lo\n");
    bench.assert_nothing_left();
}

#[test]
fn limits_refuse_at_the_door_and_make_room_again() {
    let mut bench = Bench::new(Probe::default(), |s| (s.max_connections, s.max_connections_per_ip) = (2, Some(1)));
    let one = bench.accept("192.0.2.1:1").unwrap();
    assert_eq!(bench.accept("192.0.2.1:2"), None);
    assert!(bench.accept("192.0.2.2:1").is_some());
    assert_eq!(bench.accept("192.0.2.3:1"), None);
    assert_eq!(bench.closed(CloseReason::Local(LocalReason::TooManyFromIp)), 1);
    assert_eq!(bench.closed(CloseReason::Local(LocalReason::TooManyConnections)), 1);
    bench.reactor.gateway_mut().handle_error(one, ErrorKind::ConnectionReset, Time::ZERO);
    bench.turn();
    assert!(bench.accept("192.0.2.1:3").is_some());
}

#[test]
fn message_and_byte_rates_are_limited() {
    let mut bench = Bench::new(Echo, |s| s.max_messages_per_second = Some(2));
    let id = bench.open();
    bench.receive(id, b"1\n2\n3\n4\n");
    assert_eq!(bench.sent(id), b"1\n2\n");
    assert_eq!(bench.closed(CloseReason::Local(LocalReason::TooManyMessages)), 1);
    let mut bench = Bench::new(Echo, |s| (s.max_bytes_per_second, s.max_message_bytes) = (Some(100), 100));
    let id = bench.open();
    bench.receive(id, &[b'\n'; 101]);
    assert_eq!(bench.closed(CloseReason::Local(LocalReason::TooManyBytes)), 1);
}

#[test]
fn exhausted_descriptors_pause_accepting_without_a_spin() {
    let mut bench = Bench::new(Echo, |_| ());
    let id = bench.open();
    let exhausted = || Err(io::Error::other("Too many open files"));
    bench.pipes().waiting.extend([exhausted(), Ok(Peer::Unix)]);
    bench.reactor.on_acceptable(0);
    bench.turn();
    bench.pipes().calls = 0;
    bench.receive(id, b"still served\n");
    assert_eq!((bench.sent(id), bench.pipes().calls), (b"still served\n".to_vec(), 2));
    assert_eq!(bench.reactor.gateway().connection_count(), 1);
    bench.reactor.gateway_mut().handle_error(id, ErrorKind::ConnectionReset, Time::ZERO);
    bench.turn();
    bench.settle();
    assert_eq!(bench.reactor.gateway().connection_count(), 1, "one left, so the waiting one came in");
}

#[test]
fn silent_connections_end_with_their_reason_and_leave_nothing() {
    let mut bench = Bench::new(Probe::default(), |_| ());
    for _ in 0..50 {
        bench.open();
    }
    bench.wait(Duration::from_millis(62_400));
    assert_eq!(bench.reactor.gateway().connection_count(), 50);
    bench.wait(Duration::from_millis(110));
    assert_eq!(bench.closed(CloseReason::Peer(PeerReason::HeartbeatTimeout)), 50);
    assert_eq!(bench.reactor.gateway().handler().closed.len(), 50);
    bench.assert_nothing_left();
}

#[test]
fn probes_are_sent_in_the_wires_framing() {
    let mut bench = Bench::new(Echo, |s| s.heartbeat_probe = Some(b"are you there".to_vec()));
    let id = bench.open();
    bench.wait(Duration::from_secs(25));
    assert_eq!(bench.sent(id), b"are you there\n");
}

#[test]
fn handler_timers_ring_once_and_not_early() {
    let mut bench = Bench::new(Probe::default(), |_| ());
    let id = bench.open();
    bench.receive(id, b"ring\n");
    bench.wait(Duration::from_millis(99));
    assert!(bench.reactor.gateway().handler().rang.is_empty());
    bench.wait(Duration::from_millis(11));
    assert_eq!(bench.reactor.gateway().handler().rang, [7]);
}

#[test]
fn a_drain_spreads_the_closes_and_ends() {
    let mut bench = Bench::new(Probe::default(), |_| ());
    for _ in 0..100 {
        bench.open();
    }
    bench.reactor.clear_listeners();
    bench.reactor.gateway_mut().begin_drain(Time::ZERO);
    for percent in [0, 25, 50, 75, 100] {
        let told = bench.reactor.gateway().handler().closed.len();
        assert!(told.abs_diff(percent) <= 2, "{told} of {percent}");
        bench.wait(Duration::from_millis(2_500));
    }
    bench.wait(Duration::from_secs(5));
    assert!(bench.reactor.gateway().is_drained());
}

#[test]
fn a_stop_ends_everything_now() {
    let mut bench = Bench::new(Probe::default(), |_| ());
    bench.open();
    bench.reactor.stop(Time::ZERO);
    assert_eq!(bench.reactor.gateway().handler().closed, [CloseReason::Local(LocalReason::Stopped)]);
    bench.assert_nothing_left();
}

#[test]
fn tasks_from_outside_are_flushed_with_the_turn() {
    let mut bench = Bench::new(Probe::default(), |_| ());
    let id = bench.open();
    bench.receive(id, b"hi\n");
    bench.reactor.run(Time::ZERO, |_, cx| cx.send(id, b"from outside").unwrap());
    bench.turn();
    assert_eq!(bench.sent(id), b"hi\nfrom outside\n");
}

#[test]
fn an_end_met_while_flushing_is_told_before_its_slot_is_free() {
    let mut bench = Bench::new(Probe::default(), |s| {
        (s.max_message_bytes, s.write_queue_soft_bytes, s.write_queue_hard_bytes) = (1000, 500, 1016);
    });
    let id = bench.open();
    bench.pipes().ends.get_mut(&id).unwrap().room = 10;
    let message = [&[b'y'; 900][..], b"\n"].concat();
    bench.pipes().ends.get_mut(&id).unwrap().arriving = [&message[..], &message].concat();
    // Something is left unread elsewhere, so that the deadlines of this turn wait.
    bench.reactor.on_batch(MAX_EVENTS);
    let now = bench.now;
    bench.reactor.on_event(id, READABLE, now);
    bench.reactor.end_turn(now);
    assert_eq!(bench.reactor.gateway().handler().closed, [CloseReason::Local(LocalReason::SlowConsumer)]);
    bench.assert_nothing_left();
}

#[test]
fn a_settings_slip_is_named() {
    let settings = Settings { max_connections: 0, ..Settings::default() };
    let error = Gateway::new(Echo, settings, Seed { jitter: 0, ids: 0 }, Time::ZERO).err().unwrap();
    assert_eq!(error.setting, "max_connections");
}

#[test]
fn nobody_is_taken_for_silent_while_events_wait() {
    let mut bench = Bench::new(Echo, |_| ());
    for _ in 0..10 {
        bench.open();
    }
    bench.now = Time::from_millis(3_600_000);
    bench.reactor.on_batch(MAX_EVENTS);
    bench.turn();
    assert_eq!(bench.reactor.gateway().connection_count(), 10, "a full batch: more may wait");
    bench.reactor.on_batch(MAX_EVENTS);
    bench.turn();
    let counters = bench.reactor.gateway().counters();
    assert_eq!(counters.closed[CloseReason::Peer(PeerReason::HeartbeatTimeout).index()], 10, "everybody had a turn");
}

#[test]
fn a_peer_that_leaves_its_own_burst_waiting_is_closed_once() {
    let mut bench = Bench::new(Probe::default(), |s| {
        (s.max_message_bytes, s.write_queue_soft_bytes, s.write_queue_hard_bytes) = (1000, 500, 1016);
    });
    let id = bench.open();
    bench.set_room(id, 0);
    let message = [&[b'y'; 900][..], b"\n"].concat();
    bench.receive(id, &[&message[..], &message, b"big\n"].concat());
    assert_eq!(bench.reactor.gateway().handler().closed, [CloseReason::Local(LocalReason::SlowConsumer)]);
    bench.assert_nothing_left();
}
