//! How long to stay away after a loss, and when to stop trying.
//!
//! The bound on the wait doubles from wait to wait; the wait itself is drawn evenly from zero to that bound ("full
//! jitter"). A server that restarts loses all its clients in the same instant. With equal waits they would come back in
//! the same instants too, and with jitter around a common centre still in waves, each as large as the crowd; drawn from
//! the whole range they arrive as an even stream from the first moment on, and it takes them the fewest attempts in all.

use super::ClientOptions;
use crate::timer::Jitter;
use std::time::Duration;

/// A wait before the next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// From now to the attempt, in whole milliseconds.
    pub delay: Duration,
    /// The most it could have been. This is what grows from wait to wait; `delay` is drawn evenly from zero to here.
    pub bound: Duration,
}

/// Counts attempts and waits since the last connection that lasted.
#[derive(Debug)]
pub(super) struct Backoff {
    min: Duration,
    max: Duration,
    max_tries: Option<u32>,
    tries: u32,
    /// Not always one less than `tries`: the first attempt of all needs no wait, the first after a loss does.
    waits: u32,
    jitter: Jitter,
}

impl Backoff {
    pub(super) fn new(options: &ClientOptions, jitter: Jitter) -> Self {
        let ClientOptions { backoff_min: min, backoff_max: max, max_tries, .. } = *options;
        Self { min, max, max_tries, tries: 0, waits: 0, jitter }
    }

    /// Counts an attempt.
    pub(super) fn on_attempt(&mut self) {
        self.tries = self.tries.saturating_add(1);
    }

    /// Attempts since the last connection that lasted.
    pub(super) fn tries(&self) -> u32 {
        self.tries
    }

    /// Starts from the beginning after a connection that lasted.
    pub(super) fn reset(&mut self) {
        (self.tries, self.waits) = (0, 0);
    }

    /// The wait before the next attempt, or `None` where no try is left.
    pub(super) fn next_wait(&mut self) -> Option<Wait> {
        if self.max_tries.is_some_and(|max| self.tries >= max) {
            return None;
        }
        let bound = self.bound();
        self.waits = self.waits.saturating_add(1);
        let millis = u64::try_from(bound.as_millis()).unwrap_or(u64::MAX - 1);
        Some(Wait { delay: Duration::from_millis(self.jitter.below(millis + 1)), bound })
    }

    /// A first heartbeat's share of `interval`, within [1/2, 1], so that a storm of connects is no storm of heartbeats.
    pub(super) fn spread(&mut self, interval: Duration) -> Duration {
        self.jitter.within(interval / 2, interval)
    }

    fn bound(&self) -> Duration {
        let doubled = 1u32.checked_shl(self.waits).map_or(Duration::MAX, |factor| self.min.saturating_mul(factor));
        doubled.min(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backoff(seed: u64) -> Backoff {
        Backoff::new(&ClientOptions::default(), Jitter::new(seed))
    }

    fn bounds(backoff: &mut Backoff, count: usize) -> Vec<u64> {
        (0..count).filter_map(|_| backoff.next_wait()).map(|wait| wait.bound.as_secs()).collect()
    }

    #[test]
    fn bounds_double_up_to_the_longest_and_start_again_after_a_reset() {
        let mut backoff = backoff(1);
        assert_eq!(bounds(&mut backoff, 8), [1, 2, 4, 8, 16, 30, 30, 30]);
        backoff.waits = u32::MAX;
        assert_eq!(bounds(&mut backoff, 2), [30, 30]);
        backoff.reset();
        assert_eq!(bounds(&mut backoff, 2), [1, 2]);
    }

    #[test]
    fn waits_fill_the_whole_range_evenly() {
        let mut quarters = [0; 4];
        for seed in 0..4000 {
            let wait = backoff(seed).next_wait().unwrap();
            assert!(wait.delay <= wait.bound);
            quarters[(wait.delay.as_millis() as usize / 250).min(3)] += 1;
        }
        assert!(quarters.iter().all(|count| (900..1100).contains(count)), "{quarters:?}");
    }

    #[test]
    fn tries_run_out_after_the_last_attempt() {
        let mut backoff = Backoff { max_tries: Some(2), ..backoff(1) };
        backoff.on_attempt();
        assert!(backoff.next_wait().is_some());
        backoff.on_attempt();
        assert_eq!(backoff.next_wait(), None);
        backoff.reset();
        assert!(backoff.next_wait().is_some());
    }
}
