//! Promises about bounds, which a twin cannot check: work in one call, wakes of an idle driver, memory.

use std::time::Duration;

use super::{MOVES_PER_POLL, Polled, TICK_MILLIS, Time, Wheel};

pub(super) const MINUTE: u64 = 60_000;
pub(super) const HOUR: u64 = 60 * MINUTE;
pub(super) const YEAR: u64 = 365 * 24 * HOUR;
const MILLION: u32 = 1_000_000;

/// Milliseconds at which clocks kept in fewer bits have been seen to fail.
pub(super) const STARTS: [u64; 12] = [
    0,
    (1 << 32) - 1,
    1 << 32,
    (1 << 32) + 1,
    (1 << 36) - 1,
    1 << 36,
    (1 << 36) + 1,
    (1 << 42) - 1,
    1 << 42,
    (1 << 42) + 1,
    u64::MAX - HOUR,
    u64::MAX - 1,
];

#[test]
fn a_day_is_slept_through_with_four_wakes() {
    check_wakes(Wheel::new(Time::ZERO), 24 * HOUR, 4);
}

#[test]
fn a_short_deadline_after_a_long_sleep_takes_one_wake() {
    let mut wheel = Wheel::new(Time::ZERO);
    assert_eq!(wheel.poll(Time::from_millis(YEAR)), Polled::Idle);
    check_wakes(wheel, YEAR + 630, 1);
}

#[test]
fn a_deadline_is_served_at_the_first_tick_that_is_not_before_it() {
    for start in STARTS {
        for wait in 0..=25 {
            let deadline = start.saturating_add(wait);
            let first = (start..=deadline.saturating_add(TICK_MILLIS)).map(Time::from_millis).find(|now| {
                let mut wheel = Wheel::new(Time::from_millis(start));
                wheel.arm(9, Time::from_millis(deadline));
                wheel.poll(*now) == Polled::Due(9)
            });
            let late = first.map(|first| first.as_millis().checked_sub(deadline).expect("not early"));
            assert!(late.expect("not lost") < TICK_MILLIS, "{start} ms + {wait} ms: {late:?} ms late");
        }
    }
}

#[test]
fn a_jump_over_centuries_of_empty_slots_takes_one_call() {
    let mut wheel = Wheel::new(Time::ZERO);
    wheel.arm(3, Time::from_millis(100 * YEAR));
    assert_eq!(wheel.poll(Time::from_millis(99 * YEAR)), Polled::Idle);
    assert_eq!(wheel.poll(Time::from_millis(500 * YEAR)), Polled::Due(3));
    assert_eq!(wheel.poll(Time::MAX), Polled::Idle);
}

#[test]
fn what_is_due_within_82_seconds_never_moves_whenever_it_was_armed() {
    let mut wheel = Wheel::new(Time::ZERO);
    let mut now = Time::ZERO;
    for round in 0..50 {
        (0..10_000).for_each(|key| wheel.arm(key, now + Duration::from_millis(u64::from(key) * 8)));
        now += Duration::from_millis(81_000 + round);
        let (due, working) = drain(&mut wheel, now);
        assert_eq!((due.len(), working), (10_000, 0), "round {round}");
    }
}

#[test]
fn a_million_entries_that_move_down_at_once_are_moved_64_a_call() {
    let mut wheel = Wheel::new(Time::ZERO);
    let deadline = HOUR + TICK_MILLIS;
    (0..MILLION).for_each(|key| wheel.arm(key, Time::from_millis(deadline)));
    let calls_a_level = MILLION as usize / MOVES_PER_POLL;
    let levels_passed = 1;
    let (early, working) = drain(&mut wheel, Time::from_millis(deadline - 1));
    assert_eq!((early.len(), working), (0, levels_passed * calls_a_level));
    let (due, working) = drain(&mut wheel, Time::from_millis(deadline));
    assert_eq!((due.len(), working), (MILLION as usize, 0));
}

#[test]
fn ticks_keep_their_order_when_a_million_entries_are_served_over_many_turns() {
    let mut wheel = Wheel::new(Time::ZERO);
    let ticks = 5_000;
    let tick_of_key = |key: u32| u64::from(key) * 7_919 % ticks;
    shuffled(MILLION).for_each(|key| wheel.arm(key, Time::from_millis(tick_of_key(key) * TICK_MILLIS)));
    let now = Time::from_millis(HOUR);
    let newcomer = MILLION;
    let (mut last, mut served) = (0, 0);
    while wheel.len() > usize::from(wheel.deadline(newcomer).is_some()) {
        for _ in 0..1_000 {
            if let Polled::Due(key) = wheel.poll(now) {
                assert!(key != newcomer && tick_of_key(key) >= last, "tick {last} was being served");
                (last, served) = (tick_of_key(key), served + 1);
            }
        }
        wheel.arm(newcomer, now + Duration::from_millis(TICK_MILLIS));
    }
    assert_eq!(served, MILLION);
}

#[test]
fn the_same_calls_give_the_same_order() {
    let run = || {
        let mut wheel = Wheel::new(Time::ZERO);
        shuffled(10_000).for_each(|key| wheel.arm(key, Time::from_millis(u64::from(key % 300) * TICK_MILLIS)));
        drain(&mut wheel, Time::from_millis(HOUR)).0
    };
    assert_eq!(run(), run());
}

#[test]
fn a_key_on_its_way_down_can_be_cancelled_and_armed_again() {
    let mut wheel = Wheel::new(Time::ZERO);
    let (soon, later) = (Time::from_millis(2 * MINUTE), Time::from_millis(4 * MINUTE));
    (0..1_000).for_each(|key| wheel.arm(key, soon));
    assert_eq!(wheel.poll(soon), Polled::Working);
    let (moved, waiting) = (0, 999);
    assert!(wheel.cancel(moved) && wheel.cancel(waiting));
    wheel.arm(moved + 1, later);
    wheel.arm(waiting - 1, later);
    assert_eq!(drain(&mut wheel, soon).0.len(), 996);
    assert_eq!(drain(&mut wheel, later).0.len(), 2);
}

#[test]
fn memory_is_17_bytes_a_key_and_goes_back_when_the_keys_have_gone() {
    let give_back: [fn(&mut Wheel); 2] = [
        |wheel| (0..MILLION).for_each(|key| assert!(wheel.cancel(key))),
        |wheel| assert_eq!(drain(wheel, Time::MAX).0.len(), MILLION as usize),
    ];
    for give_back in give_back {
        let mut wheel = Wheel::new(Time::ZERO);
        (0..MILLION).for_each(|key| wheel.arm(key, Time::from_millis(u64::from(key))));
        assert!(wheel.held_bytes() <= 17 * MILLION as usize);
        give_back(&mut wheel);
        assert!(wheel.held_bytes() <= 128 * 1_024, "{} bytes are held for nothing", wheel.held_bytes());
    }
}

#[test]
fn a_lone_key_that_comes_and_goes_neither_takes_nor_gives_memory() {
    let mut wheel = Wheel::new(Time::ZERO);
    wheel.arm(5_000, Time::MAX);
    let held = wheel.held_bytes();
    for key in [5_000, 0, 5_119, 2_000] {
        wheel.cancel(5_000);
        wheel.arm(key, Time::MAX);
        assert_eq!(wheel.held_bytes(), held);
        wheel.cancel(key);
        assert_eq!(wheel.held_bytes(), held);
    }
}

#[test]
fn unknown_keys_have_no_deadline() {
    let mut wheel = Wheel::new(Time::ZERO);
    wheel.arm(1, Time::MAX);
    for key in [0, 2, 1_024, u32::MAX] {
        assert!(!wheel.cancel(key));
        assert_eq!(wheel.deadline(key), None);
    }
}

#[test]
#[should_panic(expected = "no slot of a slab")]
fn a_key_beyond_any_slab_is_the_callers_slip() {
    Wheel::new(Time::ZERO).arm(1 << 31, Time::ZERO);
}

/// Sleeps from `next_deadline` to `next_deadline` until the only entry is due.
pub(super) fn check_wakes(mut wheel: Wheel, deadline: u64, most: usize) {
    wheel.arm(0, Time::from_millis(deadline));
    let due = wheel.deadline(0);
    for wakes in 1.. {
        assert!(wakes <= most, "{wakes} wakes and still waiting for {deadline} ms");
        let now = wheel.next_deadline().expect("it is armed");
        if wheel.poll(now) == Polled::Due(0) {
            return assert_eq!(Some(now), due, "the last wake is the deadline");
        }
    }
}

/// Polls until idle: the keys in the order they came, and how many calls were `Working`.
fn drain(wheel: &mut Wheel, now: Time) -> (Vec<u32>, usize) {
    let (mut keys, mut working) = (Vec::new(), 0);
    loop {
        match wheel.poll(now) {
            Polled::Due(key) => keys.push(key),
            Polled::Working => working += 1,
            Polled::Idle => return (keys, working),
        }
    }
}

/// Keys `0..count` in an order without pattern; `count` is no multiple of the prime.
fn shuffled(count: u32) -> impl Iterator<Item = u32> {
    (0..u64::from(count)).map(move |i| (i * 2_654_435_761 % u64::from(count)) as u32)
}

#[test]
fn what_is_said_to_be_due_next_is_due_next() {
    let mut wheel = Wheel::new(Time::ZERO);
    for key in 0..3000 {
        wheel.arm(key * 7 % 3000, Time::from_millis(u64::from(key / 100) * TICK_MILLIS));
    }
    let now = Time::from_millis(MINUTE);
    let mut told = 0;
    loop {
        let next: Vec<u32> = wheel.next_due().take(5).collect();
        for key in &next {
            assert_eq!(wheel.poll(now), Polled::Due(*key));
        }
        told += next.len();
        // A slot that has not been opened tells nothing of what it holds.
        if next.is_empty() && wheel.poll(now) == Polled::Idle {
            break;
        }
    }
    assert!(told > 2000 && wheel.is_empty(), "{told}");
}
