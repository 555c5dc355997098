//! However much is due at once, one turn of the loop does a bounded part of it, and the next one goes on at once. What is
//! counted is work, not time: writes and closes of a turn with a hundred thousand connections.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::Cell;
use std::io::{self, ErrorKind, IoSlice};
use std::time::Duration;
use tidegate::apps::Echo;
use tidegate::config::Settings;
use tidegate::connection::ListenWire;
use tidegate::gateway::{AHEAD, ConnId, Gateway, Peer, Reactor, Received, Seed, Sockets};
use tidegate::timer::Time;
use tidegate::wire::{Prepared, Wire};

const CONNECTIONS: usize = 100_000;
/// Deadlines served, and connections flushed, in one turn.
const A_TURN: usize = 1024;

/// Counts what is done with sockets; nothing arrives from any.
#[derive(Default)]
struct Counts {
    waiting: usize,
    writes: usize,
    shuts: usize,
    closes: usize,
    glances: Cell<usize>,
}

impl Sockets for Counts {
    type Socket = ();

    fn accept(&mut self, _: usize) -> io::Result<((), Peer)> {
        self.waiting = self.waiting.checked_sub(1).ok_or(ErrorKind::WouldBlock)?;
        Ok(((), Peer::Unix))
    }

    fn attach(&mut self, _: ConnId, (): ()) -> io::Result<()> {
        Ok(())
    }

    fn read(&mut self, _: ConnId, _: &mut [u8]) -> io::Result<Received> {
        Err(ErrorKind::WouldBlock.into())
    }

    fn write(&mut self, _: ConnId, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.writes += 1;
        Ok(slices.iter().map(|slice| slice.len()).sum())
    }

    fn shut_down(&mut self, _: ConnId) {
        self.shuts += 1;
    }

    fn close(&mut self, _: ConnId) {
        self.closes += 1;
    }

    fn glance(&self, id: ConnId) -> usize {
        self.glances.set(self.glances.get() + 1);
        id.slot()
    }
}

type World = Reactor<Echo, Counts>;

/// A hundred thousand connections that came at once, at the time zero.
fn world() -> World {
    world_of(CONNECTIONS)
}

fn world_of(connections: usize) -> World {
    let settings = Settings {
        heartbeat_probe: Some(b"ping".to_vec()),
        write_timeout: Duration::from_secs(600),
        ..Settings::default()
    };
    let gateway = Gateway::new(Echo, settings, Seed { jitter: 1, ids: 2 }, Time::ZERO).unwrap();
    let mut reactor = Reactor::new(gateway, Counts { waiting: connections, ..Counts::default() });
    reactor.add_listener(ListenWire::Fixed(Wire::Line));
    reactor.on_acceptable(0);
    while reactor.sockets_mut().waiting > 0 {
        turn(&mut reactor, Time::ZERO);
    }
    reactor
}

fn turn(reactor: &mut World, now: Time) {
    reactor.begin_turn(now);
    reactor.end_turn(now);
}

/// Turns until nothing is left over at `now`; the most that `count` grew by in one of them, and how much it grew in all.
fn check(reactor: &mut World, now: Time, most: usize, in_all: usize, count: impl Fn(&Counts) -> usize) {
    let begin = count(reactor.sockets_mut());
    let mut before = begin;
    for _ in 0..100_000 {
        turn(reactor, now);
        let after = count(reactor.sockets_mut());
        assert!(after - before <= most, "{} in one turn", after - before);
        before = after;
        if reactor.poll_timeout(now).is_none_or(|at| at > now) {
            assert_eq!(before - begin, in_all);
            return;
        }
    }
    panic!("the loop spins");
}

#[test]
fn a_hundred_thousand_heartbeats_due_at_once_are_asked_a_thousand_a_turn() {
    let mut reactor = world();
    let now = Time::from_millis(26_000);
    check(&mut reactor, now, A_TURN, CONNECTIONS, |counts| counts.writes);
}

#[test]
fn a_hundred_thousand_silent_peers_are_given_up_a_thousand_a_turn() {
    let mut reactor = world();
    check(&mut reactor, Time::from_millis(26_000), A_TURN, CONNECTIONS, |counts| counts.writes);
    check(&mut reactor, Time::from_millis(200_000), A_TURN, CONNECTIONS, |counts| counts.shuts + counts.closes);
}

#[test]
fn a_drain_that_is_behind_its_time_ends_a_few_hundred_a_turn() {
    let mut reactor = world();
    reactor.gateway_mut().begin_drain(Time::ZERO);
    check(&mut reactor, Time::from_millis(9_000), 256, CONNECTIONS * 9 / 10 + 1, |counts| counts.shuts + counts.closes);
}

#[test]
fn memory_of_a_hundred_thousand_that_go_at_once_goes_back_a_little_a_turn_and_all_of_it_in_the_end() {
    const PAGE: usize = 1024 * 192;
    let mut reactor = world();
    let tables = |reactor: &World| reactor.gateway().held().tables;
    let full = tables(&reactor);
    reactor.gateway_mut().stop(Time::ZERO);
    turn(&mut reactor, Time::ZERO);
    assert_eq!(reactor.gateway().connection_count(), 0);
    assert!(tables(&reactor) > full - 4 * PAGE - CONNECTIONS * 16, "{} of {full}", tables(&reactor));
    let mut now = Time::ZERO;
    while let Some(at) = reactor.poll_timeout(now) {
        assert!(now < Time::from_millis(10_000), "{} after all that time", tables(&reactor));
        now = at.max(now + Duration::from_millis(1));
        let before = tables(&reactor);
        turn(&mut reactor, now);
        assert!(before - tables(&reactor) < 40 * PAGE);
    }
    assert!(tables(&reactor) < full / 20, "{} of {full}", tables(&reactor));
}

#[test]
fn where_there_are_very_many_who_comes_next_is_looked_at_and_where_there_are_few_nobody() {
    let stale = ConnId::from_bits(1 << 40);
    for (connections, glances) in [(5_000, 0), (20_000, AHEAD)] {
        let mut reactor = world_of(connections);
        let before = reactor.sockets_mut().glances.get();
        reactor.expect((0..AHEAD).map(|_| stale));
        assert_eq!(reactor.sockets_mut().glances.get() - before, glances);
    }
}

#[test]
fn a_message_to_a_hundred_thousand_leaves_a_thousand_a_turn() {
    let mut reactor = world();
    let message = Prepared::text(String::from("to all"));
    reactor.run(Time::ZERO, |_, cx| assert_eq!(cx.broadcast(&message), CONNECTIONS));
    check(&mut reactor, Time::ZERO, A_TURN, CONNECTIONS, |counts| counts.writes);
}
