//! The wheel beside a naive twin that keeps every deadline in sorted order: over any sequence of calls, at any time of
//! the clock, both must say the same.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::tests::{HOUR, MINUTE, STARTS, YEAR, check_wakes};
use super::{LEVELS, Polled, TICK_MILLIS, Time, Wheel};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_sequence_of_calls_does_what_a_sorted_list_would(
        start in start(),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        check(start, &steps);
    }

    #[test]
    fn a_far_deadline_wakes_an_idle_driver_once_a_level_and_once_more_at_most(start in start(), wait in distance()) {
        check_wakes(Wheel::new(Time::from_millis(start)), start.saturating_add(wait), LEVELS + 1);
    }
}

fn check(start: u64, steps: &[Step]) {
    let mut pair = Pair::new(start);
    for step in steps {
        pair.run(*step);
    }
    pair.now = Time::MAX;
    pair.poll_until_idle();
    assert!(pair.wheel.is_empty(), "whatever is armed is due at the end of time");
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Arm(Key, Deadline),
    ArmMany(Many),
    Cancel(Key),
    Advance(u64),
    /// To this many milliseconds before the next key is due.
    AdvanceToNext(u64),
    /// As many calls of `poll` as a short turn might bear.
    Poll(usize),
    PollInThePast(u64),
    PollUntilIdle,
}

#[derive(Clone, Copy, Debug)]
enum Key {
    Number(u32),
    NextDue,
}

#[derive(Clone, Copy, Debug)]
enum Deadline {
    In(u64),
    Ago(u64),
    At(u64),
}

/// Keys from `first` on, each due `apart` milliseconds after the one before.
#[derive(Clone, Copy, Debug)]
struct Many {
    first: u32,
    count: u32,
    deadline: Deadline,
    apart: u64,
}

fn start() -> impl Strategy<Value = u64> {
    prop_oneof![4 => prop::sample::select(STARTS.to_vec()), 1 => any::<u64>()]
}

/// Any distance, each order of magnitude as likely as the next.
fn distance() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..=30_u64,
        (0..64_u32).prop_flat_map(|bit| (1_u64 << bit)..=(1_u64 << bit).saturating_mul(2)),
        prop::sample::select(vec![81_910, 81_920, 163_840, 5_242_880, HOUR, YEAR, 584 * YEAR]),
    ]
}

fn deadline() -> impl Strategy<Value = Deadline> {
    let edges = vec![0, 1, u64::MAX - 6, u64::MAX - 5, u64::MAX - 1, u64::MAX];
    prop_oneof![
        4 => distance().prop_map(Deadline::In),
        4 => (0..3 * MINUTE).prop_map(Deadline::In),
        1 => distance().prop_map(Deadline::Ago),
        1 => prop::sample::select(edges).prop_map(Deadline::At),
    ]
}

fn key() -> impl Strategy<Value = Key> {
    let number = prop_oneof![4 => 0..8_u32, 1 => 1_020..1_030_u32, 1 => 0..5_000_u32];
    prop_oneof![4 => number.prop_map(Key::Number), 1 => Just(Key::NextDue)]
}

fn many() -> impl Strategy<Value = Many> {
    let apart = prop_oneof![Just(0_u64), 1..20_u64, 1..700_u64];
    let parts = (0..3_000_u32, 1..300_u32, deadline(), apart);
    parts.prop_map(|(first, count, deadline, apart)| Many { first, count, deadline, apart })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (key(), deadline()).prop_map(|(key, deadline)| Step::Arm(key, deadline)),
        2 => many().prop_map(Step::ArmMany),
        2 => key().prop_map(Step::Cancel),
        3 => (0..2 * MINUTE).prop_map(Step::Advance),
        1 => distance().prop_map(Step::Advance),
        3 => (0..=11_u64).prop_map(Step::AdvanceToNext),
        6 => (1..20_usize).prop_map(Step::Poll),
        1 => distance().prop_map(Step::PollInThePast),
        2 => Just(Step::PollUntilIdle),
    ]
}

/// The wheel and its twin, which must agree after each call.
struct Pair {
    wheel: Wheel,
    now: Time,
    /// The latest moment at which the wheel was polled.
    polled: Time,
    /// The deadline of each key, and its turn: the same, or the moment being served if that was later when it was armed.
    armed: BTreeMap<u32, (Time, Time)>,
    turns: BTreeSet<(Time, u32)>,
    served: Time,
}

impl Pair {
    fn new(start: u64) -> Pair {
        let now = Time::from_millis(start);
        let (wheel, served) = (Wheel::new(now), rounded_down(now));
        Pair { wheel, now, polled: now, armed: BTreeMap::new(), turns: BTreeSet::new(), served }
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Arm(key, deadline) => self.arm(self.number(key), self.millis(deadline)),
            Step::ArmMany(many) => self.arm_many(many),
            Step::Cancel(key) => self.cancel(self.number(key)),
            Step::Advance(millis) => self.now += Duration::from_millis(millis),
            Step::AdvanceToNext(short) => self.now = self.now.max(self.shortly_before_next(short)),
            Step::Poll(calls) => self.poll_times(calls),
            Step::PollInThePast(millis) => _ = self.poll(Time::from_millis(self.millis(Deadline::Ago(millis)))),
            Step::PollUntilIdle => self.poll_until_idle(),
        }
        self.compare();
    }

    fn number(&self, key: Key) -> u32 {
        match key {
            Key::Number(number) => number,
            Key::NextDue => self.turns.first().map_or(0, |(_, number)| *number),
        }
    }

    fn millis(&self, deadline: Deadline) -> u64 {
        let now = self.now.as_millis();
        match deadline {
            Deadline::In(millis) => now.saturating_add(millis),
            Deadline::Ago(millis) => now.saturating_sub(millis),
            Deadline::At(millis) => millis,
        }
    }

    fn shortly_before_next(&self, short: u64) -> Time {
        let next = self.turns.first().map_or(self.now, |(turn, _)| *turn);
        Time::from_millis(next.as_millis().saturating_sub(short))
    }

    fn arm_many(&mut self, many: Many) {
        let first = self.millis(many.deadline);
        for i in 0..many.count {
            self.arm(many.first + i, first.saturating_add(u64::from(i) * many.apart));
        }
    }

    fn arm(&mut self, key: u32, millis: u64) {
        self.wheel.arm(key, Time::from_millis(millis));
        self.forget(key);
        let deadline = millis.checked_next_multiple_of(TICK_MILLIS).map_or(Time::MAX, Time::from_millis);
        let turn = deadline.max(self.served);
        self.armed.insert(key, (deadline, turn));
        self.turns.insert((turn, key));
        assert_eq!(self.wheel.deadline(key), Some(deadline));
    }

    fn cancel(&mut self, key: u32) {
        assert_eq!(self.wheel.cancel(key), self.forget(key));
        assert_eq!(self.wheel.deadline(key), None);
    }

    fn forget(&mut self, key: u32) -> bool {
        let Some((_, turn)) = self.armed.remove(&key) else {
            return false;
        };
        self.turns.remove(&(turn, key))
    }

    fn poll_times(&mut self, calls: usize) {
        for _ in 0..calls {
            _ = self.poll(self.now);
        }
    }

    fn poll_until_idle(&mut self) {
        while self.poll(self.now) != Polled::Idle {}
    }

    fn poll(&mut self, now: Time) -> Polled {
        let answer = self.wheel.poll(now);
        self.polled = self.polled.max(now);
        match answer {
            Polled::Due(key) => self.check_due(key),
            Polled::Working => self.check_working(),
            Polled::Idle => self.check_idle(),
        }
        answer
    }

    fn check_due(&mut self, key: u32) {
        let (deadline, turn) = self.armed[&key];
        assert!(deadline <= self.polled, "{key} came early");
        assert_eq!(self.turns.first().map(|(first, _)| *first), Some(turn), "{key} came before its turn");
        assert_eq!(self.wheel.deadline(key), None);
        self.forget(key);
        self.served = turn;
    }

    fn check_working(&mut self) {
        let next = self.wheel.next_deadline().expect("what is moved is not lost");
        self.served = self.served.max(next.min(rounded_down(self.polled)));
    }

    fn check_idle(&mut self) {
        self.served = rounded_down(self.polled);
        if let Some((turn, key)) = self.turns.first() {
            assert!(*turn > self.served, "{key} was due at {turn:?}");
            assert!(self.wheel.next_deadline() > Some(self.polled), "a driver would spin");
        }
    }

    fn compare(&self) {
        assert_eq!(self.wheel.len(), self.armed.len());
        assert_eq!(self.wheel.is_empty(), self.armed.is_empty());
        let first = self.turns.first().map(|(turn, _)| *turn);
        let next = self.wheel.next_deadline();
        assert_eq!(next.is_some(), first.is_some());
        assert!(next <= first, "a driver would sleep until {next:?}, past {first:?}");
    }
}

fn rounded_down(now: Time) -> Time {
    if now == Time::MAX { now } else { Time::from_millis(now.as_millis() / TICK_MILLIS * TICK_MILLIS) }
}
