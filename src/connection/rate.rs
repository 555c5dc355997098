//! Token buckets: how many a second, with a burst of one second's worth.

use crate::timer::Time;

/// A bucket that holds at most one second's worth of tokens and refills steadily.
#[derive(Debug, Clone)]
pub struct Bucket {
    per_second: u32,
    /// Thousandths of a token, so that whole milliseconds refill exactly.
    milli_tokens: u64,
    refilled_at: Time,
}

impl Bucket {
    /// A full bucket.
    pub fn new(per_second: u32, now: Time) -> Self {
        Self { per_second, milli_tokens: u64::from(per_second) * 1000, refilled_at: now }
    }

    /// Takes `tokens` if there are as many.
    pub fn take(&mut self, tokens: u32, now: Time) -> bool {
        self.refill(now);
        let wanted = u64::from(tokens) * 1000;
        let enough = self.milli_tokens >= wanted;
        if enough {
            self.milli_tokens -= wanted;
        }
        enough
    }

    fn refill(&mut self, now: Time) {
        let full = u64::from(self.per_second) * 1000;
        let passed = now.as_millis().saturating_sub(self.refilled_at.as_millis());
        let gained = passed.saturating_mul(u64::from(self.per_second));
        self.milli_tokens = self.milli_tokens.saturating_add(gained).min(full);
        self.refilled_at = self.refilled_at.max(now);
    }
}

/// What one connection may send, where that is limited.
#[derive(Debug, Clone)]
pub struct RateLimiter {
    /// Messages a second.
    pub messages: Option<Bucket>,
    /// Bytes a second.
    pub bytes: Option<Bucket>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    #[test]
    fn a_second_holds_its_worth_and_a_burst_of_one_more() {
        let mut bucket = Bucket::new(10, at(0));
        let taken = (0..=1000).filter(|&millis| bucket.take(1, at(millis))).count();
        assert_eq!(taken, 20);
    }

    #[test]
    fn a_long_rest_fills_no_more_than_one_second() {
        let mut bucket = Bucket::new(10, at(0));
        assert!(bucket.take(10, at(u64::MAX)));
        assert!(!bucket.take(1, at(u64::MAX)));
    }

    #[test]
    fn time_that_runs_backwards_refills_nothing() {
        let mut bucket = Bucket::new(1, at(5000));
        assert!(bucket.take(1, at(5000)));
        assert!(!bucket.take(1, at(0)));
        assert!(!bucket.take(1, at(5999)));
        assert!(bucket.take(1, at(6000)));
    }
}
