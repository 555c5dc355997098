//! A moment as a number. It never asks a clock what time it is, and no arithmetic on it can overflow.

use std::ops::{Add, AddAssign};
use std::time::Duration;

/// A moment on the gateway's clock: whole milliseconds since an origin that the driver chose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// The origin.
    pub const ZERO: Time = Time(0);

    /// The last moment the clock can show, half a billion years on: a deadline that means "never".
    pub const MAX: Time = Time(u64::MAX);

    /// The moment `millis` milliseconds after the origin.
    pub const fn from_millis(millis: u64) -> Time {
        Time(millis)
    }

    /// Milliseconds since the origin.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// How long ago `earlier` was, or zero if it has yet to come.
    pub fn saturating_since(self, earlier: Time) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// The earliest of these moments, or the shortest of waits, as far as there are any. Every turn asks several times, and
/// a flattened iterator's `min` costs ten times as much.
#[inline]
pub(crate) fn earliest<T: Copy + Ord, const N: usize>(moments: [Option<T>; N]) -> Option<T> {
    moments.iter().fold(None, |first, next| match (first, *next) {
        (Some(first), Some(next)) => Some(T::min(first, next)),
        (first, next) => first.or(next),
    })
}

/// Stops at [`Time::MAX`]. A part of a millisecond counts as a whole one, so that no deadline comes early.
impl Add<Duration> for Time {
    type Output = Time;

    fn add(self, wait: Duration) -> Time {
        let part = u64::from(wait.subsec_nanos().div_ceil(1_000_000));
        let millis = wait.as_secs().saturating_mul(1_000).saturating_add(part);
        Time(self.0.saturating_add(millis))
    }
}

/// As `+` does.
impl AddAssign<Duration> for Time {
    fn add_assign(&mut self, wait: Duration) {
        *self = *self + wait;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(start: u64, wait: Duration, end: u64) {
        let mut time = Time::from_millis(start);
        time += wait;
        assert_eq!(time, Time::from_millis(end), "{start} ms + {wait:?}");
    }

    #[test]
    fn adding_rounds_parts_of_a_millisecond_up() {
        check(5, Duration::ZERO, 5);
        check(5, Duration::from_nanos(1), 6);
        check(5, Duration::from_nanos(1_000_000), 6);
        check(5, Duration::from_nanos(1_000_001), 7);
        check(5, Duration::new(2, 999_999_999), 3_005);
    }

    #[test]
    fn the_earliest_moment_is_found_wherever_it_stands() {
        assert_eq!(earliest([None, Some(3), Some(1), None, Some(2)]), Some(1));
        assert_eq!(earliest([Some(1), None]), Some(1));
        assert_eq!(earliest([None, Some(1)]), Some(1));
        assert_eq!(earliest::<u64, 2>([None, None]), None);
    }

    #[test]
    fn adding_stops_at_the_end_of_the_clock() {
        check(u64::MAX - 1, Duration::from_millis(1), u64::MAX);
        check(u64::MAX, Duration::from_nanos(1), u64::MAX);
        check(1, Duration::MAX, u64::MAX);
    }

    #[test]
    fn what_is_yet_to_come_was_no_time_ago() {
        let (early, late) = (Time::from_millis(40), Time::from_millis(100));
        assert_eq!(late.saturating_since(early), Duration::from_millis(60));
        assert_eq!(early.saturating_since(late), Duration::ZERO);
        assert_eq!(Time::MAX.saturating_since(Time::ZERO), Duration::from_millis(u64::MAX));
    }
}
