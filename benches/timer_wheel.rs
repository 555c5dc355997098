//! The timer wheel beside the two structures of the standard library one would otherwise use, at 10,000, 100,000 and
//! 1,000,000 armed keys: nanoseconds for one operation while that many are armed.

#![expect(clippy::disallowed_methods, reason = "measuring is what the clock is for")]

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use tidegate::timer::{Jitter, Polled, Time, Wheel};

const SIZES: [u32; 3] = [10_000, 100_000, 1_000_000];

/// Deadlines lie this far ahead at most, as heartbeats do.
const HORIZON: Duration = Duration::from_secs(60);

criterion_main!(benches);

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1));
    targets = compare::<Wheel>, compare::<Heap>, compare::<Sorted>
}

fn compare<T: Timers>(criterion: &mut Criterion) {
    for size in SIZES {
        let mut bench = Bench::<T>::filled(size);
        let mut group = criterion.benchmark_group(format!("{}/{size}", T::NAME));
        let mut measure = |name, operation: fn(&mut Bench<T>, usize) -> Duration| {
            group.bench_function(name, |b| b.iter_custom(|count| bench.in_batches(count as usize, operation)));
        };
        measure("arm", Bench::arm);
        measure("cancel", Bench::cancel);
        measure("re-arm, random keys", Bench::rearm_random);
        measure("expire", Bench::expire);
        measure("re-arm, keys in order", Bench::rearm_in_order);
    }
}

/// Timers with every key armed, between any two batches of operations.
struct Bench<T> {
    timers: T,
    now: Time,
    /// All keys, shuffled: a batch takes the next ones, so none twice and none that a cache still holds.
    shuffled: Vec<u32>,
    next: usize,
    rearmed_in_order: u64,
    jitter: Jitter,
}

impl<T: Timers> Bench<T> {
    fn filled(size: u32) -> Bench<T> {
        let mut jitter = Jitter::new(1);
        let mut shuffled: Vec<u32> = (0..size).collect();
        for last in (1..shuffled.len()).rev() {
            shuffled.swap(last, jitter.below(last as u64 + 1) as usize);
        }
        let timers = T::new(size);
        let mut bench = Bench { timers, now: Time::ZERO, shuffled, next: 0, rearmed_in_order: 0, jitter };
        for (key, deadline) in bench.choose(size as usize) {
            bench.timers.arm(key, deadline);
        }
        bench
    }

    /// A tenth of the keys at a time, so that about as many are armed throughout as the title says.
    fn in_batches(&mut self, count: usize, operation: fn(&mut Bench<T>, usize) -> Duration) -> Duration {
        let batch = self.shuffled.len() / 10;
        let whole_batches: Duration = (0..count / batch).map(|_| operation(self, batch)).sum();
        whole_batches + operation(self, count % batch)
    }

    fn arm(&mut self, count: usize) -> Duration {
        let chosen = self.choose(count);
        self.cancel_all(&chosen);
        self.arm_all(&chosen)
    }

    fn cancel(&mut self, count: usize) -> Duration {
        let chosen = self.choose(count);
        let spent = self.cancel_all(&chosen);
        self.arm_all(&chosen);
        spent
    }

    fn rearm_random(&mut self, count: usize) -> Duration {
        let chosen = self.choose(count);
        self.arm_all(&chosen)
    }

    /// One key after the other, each for the same time ahead, a hundred in a millisecond.
    fn rearm_in_order(&mut self, count: usize) -> Duration {
        let size = self.shuffled.len() as u64;
        let first = self.rearmed_in_order;
        self.rearmed_in_order += count as u64;
        let start = self.now + HORIZON;
        let chosen: Vec<_> = (first..self.rearmed_in_order)
            .map(|nth| ((nth % size) as u32, start + Duration::from_millis(nth / 100)))
            .collect();
        self.arm_all(&chosen)
    }

    /// Goes from tick to tick until `count` keys have come up.
    fn expire(&mut self, count: usize) -> Duration {
        let mut expired = Vec::with_capacity(count);
        let start = Instant::now();
        while expired.len() < count {
            match self.timers.expire(self.now) {
                Some(key) => expired.push(key),
                None => self.now += Duration::from_millis(10),
            }
        }
        let spent = start.elapsed();
        for key in expired {
            let deadline = self.deadline();
            self.timers.arm(key, deadline);
        }
        spent
    }

    fn arm_all(&mut self, chosen: &[(u32, Time)]) -> Duration {
        let start = Instant::now();
        for (key, deadline) in chosen {
            self.timers.arm(*key, *deadline);
        }
        start.elapsed()
    }

    fn cancel_all(&mut self, chosen: &[(u32, Time)]) -> Duration {
        let start = Instant::now();
        for (key, _) in chosen {
            self.timers.cancel(*key);
        }
        start.elapsed()
    }

    fn choose(&mut self, count: usize) -> Vec<(u32, Time)> {
        let first = self.next;
        self.next = (first + count) % self.shuffled.len();
        (first..first + count).map(|nth| (self.shuffled[nth % self.shuffled.len()], self.deadline())).collect()
    }

    fn deadline(&mut self) -> Time {
        self.now + self.jitter.within(Duration::ZERO, HORIZON)
    }
}

trait Timers {
    const NAME: &'static str;

    /// Nothing armed yet, for keys below `keys`.
    fn new(keys: u32) -> Self;
    fn arm(&mut self, key: u32, deadline: Time);
    fn cancel(&mut self, key: u32);
    fn expire(&mut self, now: Time) -> Option<u32>;
}

impl Timers for Wheel {
    const NAME: &'static str = "wheel";

    fn new(_: u32) -> Wheel {
        Wheel::new(Time::ZERO)
    }

    fn arm(&mut self, key: u32, deadline: Time) {
        Wheel::arm(self, key, deadline);
    }

    fn cancel(&mut self, key: u32) {
        Wheel::cancel(self, key);
    }

    fn expire(&mut self, now: Time) -> Option<u32> {
        loop {
            match self.poll(now) {
                Polled::Due(key) => return Some(key),
                Polled::Working => (),
                Polled::Idle => return None,
            }
        }
    }
}

/// Finds an entry by its deadline, which it therefore keeps by key.
struct Sorted {
    entries: BTreeSet<(Time, u32)>,
    deadlines: Vec<Option<Time>>,
}

impl Timers for Sorted {
    const NAME: &'static str = "btree";

    fn new(keys: u32) -> Sorted {
        Sorted { entries: BTreeSet::new(), deadlines: vec![None; keys as usize] }
    }

    fn arm(&mut self, key: u32, deadline: Time) {
        self.cancel(key);
        self.deadlines[key as usize] = Some(deadline);
        self.entries.insert((deadline, key));
    }

    fn cancel(&mut self, key: u32) {
        if let Some(deadline) = self.deadlines[key as usize].take() {
            self.entries.remove(&(deadline, key));
        }
    }

    fn expire(&mut self, now: Time) -> Option<u32> {
        self.entries.first().filter(|(deadline, _)| *deadline <= now)?;
        let (_, key) = self.entries.pop_first()?;
        self.deadlines[key as usize] = None;
        Some(key)
    }
}

/// Cannot take an entry from its middle: those cancelled or armed anew stay until they come up, or outnumber the rest.
struct Heap {
    entries: BinaryHeap<Reverse<(Time, u32)>>,
    deadlines: Vec<Option<Time>>,
}

impl Heap {
    fn sweep(&mut self) {
        if self.entries.len() > 2 * self.deadlines.len() {
            self.entries.retain(|Reverse((deadline, key))| self.deadlines[*key as usize] == Some(*deadline));
        }
    }
}

impl Timers for Heap {
    const NAME: &'static str = "heap";

    fn new(keys: u32) -> Heap {
        Heap { entries: BinaryHeap::new(), deadlines: vec![None; keys as usize] }
    }

    fn arm(&mut self, key: u32, deadline: Time) {
        self.deadlines[key as usize] = Some(deadline);
        self.entries.push(Reverse((deadline, key)));
        self.sweep();
    }

    fn cancel(&mut self, key: u32) {
        self.deadlines[key as usize] = None;
    }

    fn expire(&mut self, now: Time) -> Option<u32> {
        loop {
            self.entries.peek().filter(|Reverse((deadline, _))| *deadline <= now)?;
            let Reverse((deadline, key)) = self.entries.pop()?;
            if self.deadlines[key as usize] == Some(deadline) {
                self.deadlines[key as usize] = None;
                return Some(key);
            }
        }
    }
}
