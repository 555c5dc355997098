//! An orderly end: the closes are spread over a window, so that the clients do not all come back at once.

use crate::timer::Time;
use std::time::Duration;

/// How far a drain should have come by when.
#[derive(Debug)]
pub(super) struct Drain {
    started: Time,
    window: Duration,
    /// Connections there were at the start.
    total: usize,
    /// Of these, how many were told to go.
    told: usize,
    /// Slots before this one were looked at.
    pub(super) next_slot: usize,
}

/// Closes are told in steps of at least this, so that a short window is no spin.
const STEP: Duration = Duration::from_millis(10);

impl Drain {
    pub(super) fn new(total: usize, window: Duration, now: Time) -> Self {
        Self { started: now, window, total, told: 0, next_slot: 0 }
    }

    /// How many more should have been told to go by `now`.
    pub(super) fn due(&self, now: Time) -> usize {
        let passed = now.saturating_since(self.started);
        let target = if passed >= self.window {
            self.total
        } else {
            let share = passed.as_millis() * self.total as u128 / self.window.as_millis().max(1);
            // The first goes at once, so that a drain of few does not wait out its window.
            usize::try_from(share).map_or(self.total, |share| (share + 1).min(self.total))
        };
        target.saturating_sub(self.told)
    }

    pub(super) fn on_told(&mut self) {
        self.told += 1;
    }

    /// Every slot was looked at: some left by themselves.
    pub(super) fn finish(&mut self) {
        self.told = self.total;
    }

    /// When the next one is to be told, now where that is overdue; `None` when all were.
    pub(super) fn next_deadline(&self, now: Time) -> Option<Time> {
        if self.told >= self.total {
            return None;
        }
        if self.due(now) > 0 {
            return Some(now);
        }
        let apart = self.window / u32::try_from(self.total).unwrap_or(u32::MAX);
        Some((now + apart.max(STEP)).min(self.started + self.window).max(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closes_are_spread_over_the_window() {
        let mut drain = Drain::new(100, Duration::from_secs(10), Time::ZERO);
        for (millis, expected) in [(0, 1), (1000, 11), (5000, 51), (9999, 100), (10_000, 100), (99_000, 100)] {
            while drain.due(Time::from_millis(millis)) > 0 {
                drain.on_told();
            }
            assert_eq!(drain.told, expected, "at {millis} ms");
        }
        assert_eq!(drain.next_deadline(Time::ZERO), None);
    }

    #[test]
    fn what_is_overdue_is_wanted_at_once() {
        let mut drain = Drain::new(100, Duration::from_secs(10), Time::ZERO);
        let later = Time::from_millis(5000);
        for _ in 0..51 {
            assert_eq!(drain.next_deadline(later), Some(later));
            drain.on_told();
        }
        assert_eq!(drain.next_deadline(later), Some(Time::from_millis(5100)));
    }

    #[test]
    fn no_window_means_at_once() {
        assert_eq!(Drain::new(3, Duration::ZERO, Time::ZERO).due(Time::ZERO), 3);
    }
}
