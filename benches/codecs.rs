//! Bytes to messages and messages to bytes, texts, masks, heads, JSON: time for one of each, without a connection around it.

#![allow(missing_docs, reason = "what the macros make has none")]

mod kit;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kit::*;
use std::time::Duration;
use tidegate::wire::Kind::{Binary, Text};
use tidegate::wire::Wire::{Length, Line, WebSocket};

criterion_main!(benches);

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(500));
    targets = plain_wires, websocket, masks_and_texts, handshake, json
}

/// Bytes of a short, a medium and a large message.
const SIZES: [usize; 3] = [64, 1 << 10, 64 << 10];

fn plain_wires(criterion: &mut Criterion) {
    each_size(criterion, "decode/length", |size| decoding(Length, size));
    each_size(criterion, "decode/line", |size| decoding(Line, size));
    each_size(criterion, "encode/length", |size| encoding(Length, size));
    each_size(criterion, "encode/line", |size| encoding(Line, size));
}

fn websocket(criterion: &mut Criterion) {
    each_size(criterion, "frames/text", |size| reading_frames(Text, size, 1));
    each_size(criterion, "frames/binary", |size| reading_frames(Binary, size, 1));
    each_size(criterion, "frames/text in 16 fragments", |size| reading_frames(Text, size, 16));
    each_size(criterion, "encode/websocket", |size| encoding(WebSocket, size));
}

fn masks_and_texts(criterion: &mut Criterion) {
    each_size(criterion, "unmask", |size| unmasking(size, 0));
    each_size(criterion, "unmask/behind a header", |size| unmasking(size, 6));
    each_size(criterion, "unmask/in pieces of 13", |size| unmasking_pieces(size, 13));
    each_size(criterion, "utf-8/ascii", |size| checking_text(ascii(size)));
    each_size(criterion, "utf-8/mixed", |size| checking_text(mixed(size)));
    each_size(criterion, "utf-8/mixed, in pieces of 1,000", |size| checking_pieces(mixed(size), 1000));
}

fn handshake(criterion: &mut Criterion) {
    each(criterion, "handshake", [("head", reading_heads()), ("answer", answering_handshakes())]);
}

fn json(criterion: &mut Criterion) {
    let read = [
        ("connect", reading_commands(CONNECT_COMMAND)),
        ("subscribe", reading_commands(SUBSCRIBE_COMMAND)),
        ("publish 128 B", reading_publish_commands()),
        ("pong", reading_commands("{}")),
    ];
    each(criterion, "json/read", read);
    each(criterion, "json/write", [("push 128 B", writing_pushes()), ("reply", writing_replies())]);
}

fn each_size(criterion: &mut Criterion, name: &str, make: impl Fn(usize) -> Step) {
    let mut group = criterion.benchmark_group(name);
    for size in SIZES {
        group.throughput(Throughput::Bytes(size as u64));
        let mut step = make(size);
        group.bench_function(size.to_string(), |bencher| bencher.iter(&mut step));
    }
}

fn each<const N: usize>(criterion: &mut Criterion, name: &str, steps: [(&str, Step); N]) {
    let mut group = criterion.benchmark_group(name);
    for (name, mut step) in steps {
        group.bench_function(name, |bencher| bencher.iter(&mut step));
    }
}
