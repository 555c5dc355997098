//! Whole paths through a gateway, from the read to the write.

use super::bytes::{ascii, frame, said, upgrade_request};
use super::rig::Rig;
use super::{Step, warmed_up};
use tidegate::apps::{Broadcast, Echo};
use tidegate::gateway::ConnId;
use tidegate::wire::websocket::{Opcode, header_len};
use tidegate::wire::{Kind, Wire};

/// A turn in which so many connections each get back the messages that one read has brought, so many at once.
pub fn echoes(wire: Wire, kind: Kind, len: usize, at_once: usize, connections: usize) -> Step {
    let mut rig = Rig::new(Echo);
    let ids = rig.connect(wire, "/", connections);
    rig.sockets().say(&said(wire, kind, &ascii(len)).repeat(at_once));
    let expected = wire.encoded_len(len) * at_once * connections;
    warmed_up(move || {
        rig.turn(&ids);
        assert_eq!(rig.sockets().take_sent_bytes(), expected);
    })
}

/// A turn in which nothing happens.
pub fn turns() -> Step {
    let mut rig = Rig::new(Echo);
    rig.connect(Wire::WebSocket, "/", 64);
    warmed_up(move || rig.turn(&[]))
}

/// A turn in which one connection's message goes to so many others.
pub fn broadcasts(wire: Wire, others: usize) -> Step {
    let mut rig = Rig::new(Broadcast);
    rig.connect(wire, "/", others);
    let speaker = rig.connect(wire, "/", 1);
    rig.sockets().say(&said(wire, Kind::Text, &ascii(64)));
    let expected = wire.encoded_len(64) * others;
    warmed_up(move || {
        rig.turn(&speaker);
        assert_eq!(rig.sockets().take_sent_bytes(), expected);
    })
}

/// Heartbeats of so many quiet WebSocket connections: their timers ring in one turn, all are pinged, all answer in the next.
pub fn heartbeats(connections: usize) -> Step {
    let mut rig = Rig::beating(Echo);
    let ids = rig.connect(Wire::WebSocket, "/", connections);
    rig.sockets().say(&frame(true, Opcode::Pong, b""));
    let mut pinged = move || {
        rig.pass_an_interval();
        rig.turn(&[]);
        rig.turn(&ids);
        rig.sockets().take_sent_bytes() / header_len(0)
    };
    assert_eq!((pinged(), pinged()), (connections, connections));
    warmed_up(move || assert_eq!(pinged(), connections))
}

/// The whole life of a WebSocket connection: accepted, upgraded, closed by its peer in good order.
pub fn life_of_a_websocket() -> Step {
    let mut rig = Rig::new(Echo);
    let request = upgrade_request("/");
    let close = frame(true, Opcode::Close, &1000_u16.to_be_bytes());
    rig.connect(Wire::WebSocket, "/", 1);
    warmed_up(move || {
        let id = rig.let_in();
        rig.say(id, &request);
        rig.say(id, &close);
        end(&mut rig, id);
    })
}

/// A connection that is accepted, says nothing and ends.
pub fn accepted_and_closed() -> Step {
    let mut rig = Rig::new(Echo);
    rig.connect(Wire::WebSocket, "/", 1);
    warmed_up(move || {
        let id = rig.let_in();
        end(&mut rig, id);
    })
}

fn end(rig: &mut Rig<Echo>, id: ConnId) {
    rig.sockets().end();
    rig.turn(&[id]);
    assert_eq!(rig.connections(), 1, "it is gone");
}
