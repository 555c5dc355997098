//! When messages of an open loop are due. A schedule is arithmetic: it keeps nothing for a message, and never slips
//! because somebody was late.

use super::Moment;

/// So many messages a second from a moment on, evenly spread: number 0 is due at the start.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    start: Moment,
    /// Nanoseconds between two.
    period: f64,
}

impl Pace {
    /// `rate` messages a second, more than zero.
    pub fn new(start: Moment, rate: f64) -> Self {
        assert!(rate > 0.0, "a schedule moves");
        Self { start, period: 1e9 / rate }
    }

    /// When number `n` is due.
    #[inline]
    pub fn at(&self, n: u64) -> Moment {
        Moment::from_nanos(self.start.as_nanos() + (n as f64 * self.period) as u64)
    }

    /// How many are due at `now`: the numbers below this one.
    #[inline]
    pub fn due(&self, now: Moment) -> u64 {
        if now < self.start {
            return 0;
        }
        let guess = (now.nanos_since(self.start) as f64 / self.period) as u64;
        // Rounding may be off by one to either side; what counts is `at`.
        (guess.saturating_sub(1)..guess + 3).find(|n| self.at(*n) > now).unwrap_or(guess + 1)
    }
}

/// Of `count` numbers dealt to `lanes` in turn, how many lane `lane` has: `lane`, `lane + lanes`, and so on.
#[inline]
pub fn dealt(count: u64, lane: u64, lanes: u64) -> u64 {
    if count > lane { (count - lane - 1) / lanes + 1 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_due_from_its_moment_on_and_not_before() {
        for rate in [0.5, 1.0, 3.0, 999.9, 20_000.0, 7_654_321.0] {
            let pace = Pace::new(Moment::from_nanos(12_345), rate);
            for n in [0, 1, 2, 3, 1000, 99_999, 1 << 30] {
                let at = pace.at(n);
                assert_eq!(pace.due(at), n + 1, "{rate} {n}");
                assert!(pace.due(Moment::from_nanos(at.as_nanos() - 1)) <= n, "{rate} {n}");
            }
            assert_eq!(pace.due(Moment::ZERO), 0);
        }
    }

    #[test]
    fn a_schedule_keeps_its_rate_for_hours() {
        let pace = Pace::new(Moment::ZERO, 20_000.0);
        assert_eq!(pace.at(20_000 * 3600).as_nanos(), 3_600_000_000_000);
    }

    #[test]
    fn numbers_are_dealt_in_turn() {
        for count in 0..20 {
            for lanes in 1..6 {
                let by_hand = |lane| (0..count).filter(|n| n % lanes == lane).count() as u64;
                for lane in 0..lanes {
                    assert_eq!(dealt(count, lane, lanes), by_hand(lane), "{count} {lane} {lanes}");
                }
            }
        }
    }
}
