//! The clock: the one place that reads it for a loop, a dialer or a swarm.

#[cfg(feature = "cli")]
use crate::load::Moment;
use crate::timer::Time;
use std::time::{Duration, Instant, SystemTime};

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

    /// Time since it was started, as fine as the system has it.
    pub(super) fn elapsed(&self) -> Duration {
        self.origin.elapsed()
    }

    /// Nanoseconds since it was started.
    #[cfg(feature = "cli")]
    pub(super) fn moment(&self) -> Moment {
        Moment::from_nanos(u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// Milliseconds of Unix time, for dates that people read. It may jump.
    #[expect(clippy::disallowed_methods, reason = "net is where the clock is read")]
    pub(super) fn unix_millis(&self) -> u64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or_default()
    }
}
