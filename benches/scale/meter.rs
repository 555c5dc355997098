//! What is measured: the thread's own CPU time, a turn at a time, and the memory of the process.

use rustix::time::{ClockId, clock_gettime};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// When the wall's clock was first looked at, where it is the one to measure by.
static WALL: OnceLock<Instant> = OnceLock::new();

/// Measures by the clock on the wall from here on: under valgrind there is no other.
#[expect(clippy::disallowed_methods, reason = "measuring is what the clock is for")]
pub fn use_wall_clock() {
    WALL.get_or_init(Instant::now);
}

/// CPU time of this thread: what others do on the machine meanwhile is not in it, what the kernel does for us (page
/// faults) is.
pub fn cpu() -> Duration {
    if let Some(began) = WALL.get() {
        return began.elapsed();
    }
    let now = clock_gettime(ClockId::ThreadCPUTime);
    let part = |value: i64| u64::try_from(value).unwrap_or_default();
    Duration::from_secs(part(now.tv_sec)) + Duration::from_nanos(part(now.tv_nsec))
}

/// Bytes of anonymous memory that the process has touched.
pub fn rss_anon() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("Linux tells RssAnon");
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).expect("a number of KiB") * 1024
}

/// The turns of one phase.
#[derive(Debug, Default, Clone)]
pub struct Tally {
    pub events: u64,
    pub turns: u64,
    pub busy: Duration,
    pub longest: Duration,
    /// Events of the longest turn.
    pub longest_events: usize,
    /// Nanoseconds an event of each round.
    rounds: Vec<f64>,
    round_began: (u64, Duration),
}

impl Tally {
    pub fn turn(&mut self, events: usize, took: Duration) {
        self.turns += 1;
        self.events += events as u64;
        self.busy += took;
        if took > self.longest {
            (self.longest, self.longest_events) = (took, events);
        }
    }

    /// What came since the last round is one.
    pub fn end_round(&mut self) {
        let (events, busy) = self.round_began;
        if self.events > events {
            self.rounds.push((self.busy - busy).as_nanos() as f64 / (self.events - events) as f64);
        }
        self.round_began = (self.events, self.busy);
    }

    /// Nanoseconds an event: the median of the rounds where there were any, else the mean.
    pub fn nanos(&self) -> f64 {
        let mut rounds = self.rounds.clone();
        rounds.sort_by(f64::total_cmp);
        match rounds.get(rounds.len() / 2) {
            Some(median) => *median,
            None => self.busy.as_nanos() as f64 / self.events.max(1) as f64,
        }
    }
}
