//! Messages and connections through a whole gateway, over sockets that cost nothing: time for each message, delivery or
//! connection.

#![allow(missing_docs, reason = "what the macros make has none")]

mod kit;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kit::*;
use std::time::Duration;
use tidegate::wire::Kind::{Binary, Plain, Text};
use tidegate::wire::Wire::{Length, Line, WebSocket};

criterion_main!(benches);

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800));
    targets = echo, others, connections
}

fn echo(criterion: &mut Criterion) {
    for (name, wire, kind) in [
        ("echo/text", WebSocket, Text),
        ("echo/binary", WebSocket, Binary),
        ("echo/length", Length, Plain),
        ("echo/line", Line, Plain),
    ] {
        bench(criterion, name, "64 B", 1, echoes(wire, kind, 64, 1, 1));
        bench(criterion, name, "64 B, 16 in one read", 16, echoes(wire, kind, 64, 16, 1));
        bench(criterion, name, "64 B, 64 connections in a turn", 64, echoes(wire, kind, 64, 1, 64));
        bench(criterion, name, "64 B, 1,000 connections in a turn", 1000, echoes(wire, kind, 64, 1, 1000));
        bench(criterion, name, "16 KiB", 1, echoes(wire, kind, 16 << 10, 1, 1));
    }
}

fn others(criterion: &mut Criterion) {
    for others in [100, 1_000, 10_000] {
        let name = format!("to {others}");
        bench(criterion, "broadcast", &name, others as u64, broadcasts(WebSocket, others));
    }
}

fn connections(criterion: &mut Criterion) {
    bench(criterion, "turn", "nothing happens", 1, turns());
    bench(criterion, "heartbeat", "1,000 WebSockets", 1000, heartbeats(1000));
    bench(criterion, "connection", "accept, handshake, close", 1, life_of_a_websocket());
    bench(criterion, "connection", "accept, end", 1, accepted_and_closed());
}

/// A step that does so many things at once.
fn bench(criterion: &mut Criterion, group: &str, name: &str, at_once: u64, mut step: Step) {
    let mut group = criterion.benchmark_group(group);
    group.throughput(Throughput::Elements(at_once));
    group.bench_function(name, |bencher| bencher.iter(&mut step));
}
