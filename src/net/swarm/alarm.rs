//! Wakes the poll at a moment, to some microseconds: the time-out of a poll is whole milliseconds.

use crate::load::Moment;
use mio::{Registry, Token};
use std::io;
use std::time::Duration;

#[cfg(target_os = "linux")]
mod system {
    use super::{Duration, Moment, Registry, Token, io};
    use mio::Interest;
    use mio::unix::SourceFd;
    use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
    use std::os::fd::{AsRawFd, OwnedFd};

    /// A timer of the kernel's that is a descriptor.
    #[derive(Debug)]
    pub(in crate::net::swarm) struct Alarm {
        timer: OwnedFd,
        set_to: Option<Moment>,
    }

    impl Alarm {
        pub(in crate::net::swarm) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let timer = rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags)?;
            registry.register(&mut SourceFd(&timer.as_raw_fd()), token, Interest::READABLE)?;
            Ok(Self { timer, set_to: None })
        }

        /// Rings at `at`, which is later than `now`; what the poll may wait besides.
        pub(in crate::net::swarm) fn set(&mut self, at: Moment, now: Moment, most: Duration) -> io::Result<Duration> {
            if self.set_to != Some(at) {
                let wait = at - now;
                let value = Timespec {
                    tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
                    tv_nsec: wait.subsec_nanos().into(),
                };
                let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
                let once = Itimerspec { it_interval: zero, it_value: value };
                rustix::time::timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once)?;
                self.set_to = Some(at);
            }
            Ok(most)
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::{Duration, Moment, Registry, Token, io};

    /// The poll's own time-out has to do.
    #[derive(Debug)]
    pub(in crate::net::swarm) struct Alarm;

    impl Alarm {
        pub(in crate::net::swarm) fn new(_: &Registry, _: Token) -> io::Result<Self> {
            Ok(Self)
        }

        /// What the poll may wait.
        pub(in crate::net::swarm) fn set(&mut self, at: Moment, now: Moment, most: Duration) -> io::Result<Duration> {
            Ok((at - now).min(most))
        }
    }
}

pub(super) use system::Alarm;
