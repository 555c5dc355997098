//! Log lines about connections, at most one a second for each kind: a million closes are one line and a number.

use crate::timer::Time;
use std::time::Duration;

const APART: Duration = Duration::from_secs(1);

/// When each kind was last logged, and how many were not.
#[derive(Debug)]
pub(super) struct LogLimit {
    kinds: Vec<(Option<Time>, u64)>,
}

impl LogLimit {
    pub(super) fn new(kinds: usize) -> Self {
        Self { kinds: vec![(None, 0); kinds] }
    }

    /// Whether to log this one, and how many of its kind were passed over since the last line.
    pub(super) fn pass(&mut self, kind: usize, now: Time) -> Option<u64> {
        let (last, skipped) = &mut self.kinds[kind];
        if last.is_some_and(|at| now < at + APART) {
            *skipped += 1;
            return None;
        }
        *last = Some(now);
        Some(std::mem::take(skipped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_second_tells_how_many_it_stands_for() {
        let mut limit = LogLimit::new(2);
        let passed: Vec<_> = (0..2500).filter_map(|millis| limit.pass(0, Time::from_millis(millis))).collect();
        assert_eq!(passed, [0, 999, 999]);
        assert_eq!(limit.pass(1, Time::ZERO), Some(0), "each kind has its own");
    }
}
