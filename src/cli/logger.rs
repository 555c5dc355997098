//! The logger of the program: a line on stderr for each record, with its time, level and target.
//!
//! It never panics: a terminal that went away, or a reader of the pipe that ended, must not end the gateway.

use log::{LevelFilter, Log, Metadata, Record};
use std::io::{self, Write};
use std::time::SystemTime;

struct Stderr;

/// Sends records of `level` and above to stderr; a second call changes the level only.
pub(super) fn install(level: LevelFilter) {
    // Only the first logger of a process is kept, and this one has nothing that a second could change.
    let _ = log::set_logger(&Stderr);
    log::set_max_level(level);
}

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let _ = io::stderr().write_all(line(record, now()).as_bytes());
        }
    }

    fn flush(&self) {}
}

#[expect(clippy::disallowed_methods, reason = "the time of a log line is the calendar's")]
fn now() -> SystemTime {
    SystemTime::now()
}

/// The whole line at once: one system call, and never half of it between another's.
fn line(record: &Record<'_>, now: SystemTime) -> String {
    let time = humantime::format_rfc3339_millis(now);
    format!("{time} {:<5} [{}] {}\n", record.level(), record.target(), record.args())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_time_level_target_and_text() {
        let record = Record::builder()
            .level(log::Level::Warn)
            .target("tidegate::net")
            .args(format_args!("descriptors run out"))
            .build();
        assert_eq!(
            line(&record, SystemTime::UNIX_EPOCH),
            "1970-01-01T00:00:00.000Z WARN  [tidegate::net] descriptors run out\n"
        );
    }
}
