//! Connections of an echo: WebSocket, and length prefix.

use crate::bytes;
use crate::meter::Tally;
use crate::report::{Memory, tell, tell_phase, tell_turns};
use crate::world::{Beats, CLOSING, INTERVAL, World};
use std::time::Duration;
use tidegate::apps::Echo;
use tidegate::wire::Wire;
use tidegate::wire::websocket::Opcode;

/// Events of a round, and rounds of a phase.
pub const EVENTS: usize = 100_000;
pub const ROUNDS: usize = 9;

pub fn run(size: usize, wire: Wire, batch: usize) {
    let mut world = World::new(Echo, size, wire, batch);
    let upgrade = bytes::upgrade("/");
    let is_websocket = wire == Wire::WebSocket;
    let message = vec![b'm'; 64];
    let (message, first, ask) = match is_websocket {
        true => (bytes::frame(Opcode::Binary, &message), Some(&*upgrade), None),
        false => (bytes::length(&message), None, Some(bytes::length(b"ping"))),
    };
    let before = Memory::now(world.reactor.gateway(), 0);
    let (opening, mut ids) = world.open(size, first);
    world.ids.append(&mut ids);
    world.check(size);
    tell_phase("open and handshake", &opening);

    let answer = bytes::frame(Opcode::Pong, b"");
    let first_beats = world.beat(INTERVAL, ask.as_deref(), &answer);
    tell_first_beats(&first_beats);
    Memory::now(world.reactor.gateway(), 0).tell_since(&before, "an idle connection", size);

    world.rounds(1, EVENTS, &message);
    tell_phase("message of 64 bytes echoed", &world.rounds(ROUNDS, EVENTS, &message));

    // Messages of an interval spread the heartbeats over the next one.
    world.beat(INTERVAL, Some(&message), &answer);
    world.beat(INTERVAL, ask.as_deref(), &answer);
    let beats = world.beat(2 * INTERVAL, ask.as_deref(), &answer);
    tell_share(size, &beats);
    world.check(size);
    if is_websocket {
        stand_still(&mut world, &answer);
    }

    let closing = world.each(size, CLOSING, |stub, _| stub.ends = true);
    tell_phase("close by the peer", &closing);
    world.check(0);
}

/// Heartbeats and what they cost.
pub fn tell_first_beats(beats: &Beats) {
    tell_turns("first heartbeats after all came at once", &beats.tally);
    tell("share", "busiest second after all came at once", format!("{:.2} %", beats.busiest * 100.0));
}

pub fn tell_share(size: usize, beats: &Beats) {
    let nanos = beats.tally.busy.as_nanos() as f64 / beats.beats as f64;
    tell("ns", "heartbeat, question and answer", format!("{nanos:.0}"));
    tell_turns("heartbeats", &beats.tally);
    let share = beats.tally.busy.as_secs_f64() / (2.0 * INTERVAL.as_secs_f64());
    tell("share", "mean", format!("{:.2} %", share * 100.0));
    tell("share", "busiest second", format!("{:.2} %", beats.busiest * 100.0));
    tell("share", "heartbeats in 25 s", beats.beats / 2);
    assert!(beats.beats as usize >= 2 * size * 9 / 10, "{} heartbeats", beats.beats);
}

/// The whole process stood still for an interval: everybody's heartbeat is due at once.
pub fn stand_still<H: tidegate::gateway::Handler>(world: &mut World<H>, answer: &[u8]) {
    world.now += INTERVAL;
    let beats = world.beat(Duration::from_secs(1), None, answer);
    tell_turns("all heartbeats due at once, after a standstill", &beats.tally);
    world.check(world.ids.len());
    let mut tally = Tally::default();
    world.settle(&mut tally);
}
