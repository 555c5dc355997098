//! Clocks and memory as the system tells them: of the server's process, and of the thread that loads it.

use rustix::time::{ClockId, clock_gettime};
use std::fs;

/// What a process has used and holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// CPU time of all its threads, in nanoseconds.
    pub(super) cpu: u64,
    /// Anonymous memory, in bytes.
    pub(super) rss_anon: u64,
}

/// What the thread that asks has used.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Own {
    /// CPU time, in nanoseconds.
    pub(super) cpu: u64,
    /// Time that it waited for a CPU, in nanoseconds; zero where the system does not tell.
    pub(super) waited: u64,
}

/// The processes of the server together; `None` where there are none or one is gone.
pub(super) fn look(pids: &[u32]) -> Option<Usage> {
    let all = pids.iter().map(|pid| usage(*pid)).collect::<Option<Vec<_>>>()?;
    all.into_iter().reduce(|one, other| Usage { cpu: one.cpu + other.cpu, rss_anon: one.rss_anon + other.rss_anon })
}

fn usage(pid: u32) -> Option<Usage> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let mut cpu = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        // A thread may end between two looks.
        let text = thread.ok().and_then(|thread| fs::read_to_string(thread.path().join("schedstat")).ok());
        cpu += text.as_deref().and_then(|text| field(text, 0)).unwrap_or(0);
    }
    Some(Usage { cpu, rss_anon: rss_anon(&status)? })
}

/// The thread that asks.
pub(super) fn look_at_self() -> Own {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let nanos = u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0);
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Own { cpu: nanos, waited: field(&text, 1).unwrap_or(0) }
}

/// The most descriptors that a process may have.
pub(super) fn descriptor_limit(pid: u32) -> Option<u64> {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn field(text: &str, at: usize) -> Option<u64> {
    text.split_whitespace().nth(at)?.parse().ok()
}

fn rss_anon(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    Some(field(line, 0)? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_tells_its_time_and_its_memory() {
        let own = look(&[std::process::id()]).expect("this process is there");
        assert!(own.rss_anon > 100_000 && own.cpu > 0, "{own:?}");
        assert_eq!(look(&[]), None);
        assert_eq!(look(&[std::process::id(), u32::MAX]), None);
        assert!(look_at_self().cpu > 0 && descriptor_limit(std::process::id()).is_some());
    }
}
