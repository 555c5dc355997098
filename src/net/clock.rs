//! The clock: the one place that reads it for a loop or a dialer.

use crate::timer::Time;
use std::time::Instant;

/// Whole milliseconds since it was started. Monotonic.
#[derive(Debug)]
pub(super) struct Clock {
    origin: Instant,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "net is where the clock is read")]
    pub(super) fn start() -> Self {
        Self { origin: Instant::now() }
    }

    pub(super) fn now(&self) -> Time {
        Time::from_millis(u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}
