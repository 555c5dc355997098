//! Publications and clients through the hub with the engine in memory, over sockets that cost nothing: time for each
//! delivery or client.

#![allow(missing_docs, reason = "what the macros make has none")]

mod kit;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kit::*;
use std::time::Duration;

criterion_main!(benches);

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1));
    targets = publish, clients
}

fn publish(criterion: &mut Criterion) {
    for (subscribers, name) in [(1, "to 1"), (100, "to 100"), (1_000, "to 1,000"), (10_000, "to 10,000")] {
        bench(criterion, "publication", name, subscribers as u64, publications(subscribers, 1));
        bench(criterion, "16 publications in one read", name, 16 * subscribers as u64, publications(subscribers, 16));
    }
}

fn clients(criterion: &mut Criterion) {
    bench(criterion, "client", "from accept to close", 1, life_in_the_hub());
    bench(criterion, "client", "unsubscribes, and recovers 16", 1, recoveries());
    bench(criterion, "client", "heartbeat of 1,000", 1000, hub_heartbeats(1000));
}

/// A step that does so many things at once.
fn bench(criterion: &mut Criterion, group: &str, name: &str, at_once: u64, mut step: Step) {
    let mut group = criterion.benchmark_group(group);
    group.throughput(Throughput::Elements(at_once));
    group.bench_function(name, |bencher| bencher.iter(&mut step));
}
