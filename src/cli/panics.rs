//! Logs panics, at most one in a second: a handler that panics for every message must not drown the log.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, PanicHookInfo};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Panics are logged by the hook from now on, instead of printed.
pub(super) fn log_them() {
    let throttle = Mutex::new(Throttle::default());
    panic::set_hook(Box::new(move |info| {
        let suppressed = throttle.lock().unwrap_or_else(PoisonError::into_inner).admit(now());
        if let Some(suppressed) = suppressed {
            log::error!("{}", describe(info, suppressed));
        }
    }));
}

#[expect(clippy::disallowed_methods, reason = "a panic brings no time with it")]
fn now() -> Instant {
    Instant::now()
}

const PAUSE: Duration = Duration::from_secs(1);

/// Lets one event pass in each pause and counts the others.
#[derive(Debug, Default)]
struct Throttle {
    quiet_until: Option<Instant>,
    suppressed: u64,
}

impl Throttle {
    /// The number of events held back since the last that passed, if this one passes.
    fn admit(&mut self, now: Instant) -> Option<u64> {
        if self.quiet_until.is_some_and(|end| now < end) {
            self.suppressed += 1;
            return None;
        }
        self.quiet_until = Some(now + PAUSE);
        Some(std::mem::take(&mut self.suppressed))
    }
}

fn describe(info: &PanicHookInfo<'_>, suppressed: u64) -> String {
    let place = info.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    let mut told = format!("panicked at {place}: {}", message(info.payload()));
    if suppressed > 0 {
        told += &format!(" ({suppressed} more since the last such line)");
    }
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        told += &format!("\n{backtrace}");
    }
    told
}

fn message(payload: &(dyn Any + Send)) -> &str {
    let owned = || payload.downcast_ref::<String>().map(String::as_str);
    payload.downcast_ref::<&str>().copied().or_else(owned).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_panic_a_second_is_told_and_the_others_are_counted() {
        let (mut throttle, start) = (Throttle::default(), now());
        let mut admit = |millis| throttle.admit(start + Duration::from_millis(millis));
        assert_eq!(admit(0), Some(0));
        assert_eq!(admit(1), None);
        assert_eq!(admit(999), None);
        assert_eq!(admit(1000), Some(2));
        assert_eq!(admit(5000), Some(0));
    }

    #[test]
    fn both_kinds_of_panic_message_are_told() {
        assert_eq!(message(&"text"), "text");
        assert_eq!(message(&"text".to_owned()), "text");
        assert_eq!(message(&7), "no message");
    }
}
