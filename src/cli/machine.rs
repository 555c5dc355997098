//! What the machine under the gateway has to give, and what of it will run out first.

use super::configuration::Configuration;
use super::values::show_roughly;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fmt;
use std::fs;

/// What an idle connection costs in the gateway itself.
const USER_BYTES_EACH: u64 = 300;
/// What an idle TCP socket costs in the kernel, as measured on Linux 6.
const KERNEL_BYTES_EACH: u64 = 5 << 10;
/// Descriptors for what is not a connection: standard streams, listeners, poll, waker, signals.
const DESCRIPTORS_KEPT: u64 = 16;

/// The limits that the machine sets; `None` where it sets none or does not tell.
#[derive(Debug, Clone, Copy)]
pub(super) struct Machine {
    pub(super) soft_descriptors: Option<u64>,
    pub(super) hard_descriptors: Option<u64>,
    pub(super) longest_backlog: Option<u64>,
    pub(super) available_bytes: Option<u64>,
}

/// What ends the growth in connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scarcity {
    Memory,
    Descriptors,
    MaxConnections,
}

impl fmt::Display for Scarcity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "memory",
            Self::Descriptors => "descriptors",
            Self::MaxConnections => "max_connections",
        })
    }
}

impl Machine {
    /// Asks the operating system.
    pub(super) fn look() -> Self {
        let limit = getrlimit(Resource::Nofile);
        Self {
            soft_descriptors: limit.current,
            hard_descriptors: limit.maximum,
            longest_backlog: first_number(&fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap_or_default()),
            available_bytes: available_bytes(&fs::read_to_string("/proc/meminfo").unwrap_or_default()),
        }
    }

    /// The connections that fit, and what then runs out. `serve` raises the soft limit, so the hard one counts.
    pub(super) fn room(&self, max_connections: usize) -> (u64, Scarcity) {
        let memory =
            self.available_bytes.map(|bytes| (bytes / (USER_BYTES_EACH + KERNEL_BYTES_EACH), Scarcity::Memory));
        let descriptors = self.hard_descriptors.map(|limit| (connections_within(limit), Scarcity::Descriptors));
        let own = (max_connections as u64, Scarcity::MaxConnections);
        memory.into_iter().chain(descriptors).fold(own, |least, other| least.min(other))
    }

    /// One line for each thing that can run out.
    pub(super) fn report(&self, config: &Configuration) -> Vec<String> {
        let max = config.settings.max_connections;
        let needed = (USER_BYTES_EACH + KERNEL_BYTES_EACH).saturating_mul(max as u64);
        let (room, scarce) = self.room(max);
        vec![
            format!(
                "descriptors: soft limit {}, hard limit {} (serve raises soft to hard)",
                number(self.soft_descriptors),
                number(self.hard_descriptors)
            ),
            format!("backlog: {} wanted, net.core.somaxconn is {}", config.backlog, number(self.longest_backlog)),
            format!(
                "memory: {max} idle connections take about {}, of which {} in the gateway ({USER_BYTES_EACH} bytes \
                 each); available are {}",
                show_roughly(needed),
                show_roughly(USER_BYTES_EACH.saturating_mul(max as u64)),
                self.available_bytes.map_or_else(|| "unknown".to_owned(), show_roughly)
            ),
            format!("first to run out: {scarce}, at {room} connections"),
        ]
    }

    /// What should be changed, on the machine or in the configuration, before it hurts.
    pub(super) fn warnings(&self, config: &Configuration) -> Vec<String> {
        let max = config.settings.max_connections;
        let scarce = match self.room(max) {
            (room, Scarcity::Descriptors) => Some(format!(
                "descriptors run out at {room} connections, before max_connections ({max}): raise the hard limit \
                 (ulimit -Hn, or LimitNOFILE= of a systemd unit), or lower max_connections"
            )),
            (room, Scarcity::Memory) => Some(format!(
                "memory runs out at about {room} idle connections, before max_connections ({max}): lower max_connections"
            )),
            (_, Scarcity::MaxConnections) => None,
        };
        let backlog = self.longest_backlog.filter(|longest| *longest < config.backlog.into()).map(|longest| {
            format!(
                "the kernel cuts backlog ({}) to net.core.somaxconn ({longest}): run sysctl -w net.core.somaxconn={}",
                config.backlog, config.backlog
            )
        });
        scarce.into_iter().chain(backlog).collect()
    }
}

/// Lets this process use all the descriptors it may have, and says how many connections that carries.
pub(super) fn raise_descriptors() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        log::warn!("the descriptor limit stays at {}: {error}", number(limit.current));
    }
    getrlimit(Resource::Nofile).current.map(connections_within)
}

fn connections_within(descriptors: u64) -> u64 {
    descriptors.saturating_sub(DESCRIPTORS_KEPT)
}

fn number(value: Option<u64>) -> String {
    value.map_or_else(|| "unlimited or unknown".to_owned(), |value| value.to_string())
}

fn first_number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

fn available_bytes(meminfo: &str) -> Option<u64> {
    let kib = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:")).and_then(first_number)?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOMY: Machine = Machine {
        soft_descriptors: Some(1024),
        hard_descriptors: Some(2_000_000),
        longest_backlog: Some(4096),
        available_bytes: Some(64 << 30),
    };

    #[track_caller]
    fn check(machine: Machine, expected: (u64, Scarcity), warned: &[&str]) {
        let config = Configuration::default();
        assert_eq!(machine.room(config.settings.max_connections), expected);
        let warnings = machine.warnings(&config);
        assert_eq!(warnings.len(), warned.len(), "{warnings:?}");
        assert!(warnings.iter().zip(warned).all(|(told, part)| told.contains(part)), "{warnings:?}");
    }

    #[test]
    fn the_scarcest_is_named_with_what_fits() {
        check(ROOMY, (1_000_000, Scarcity::MaxConnections), &[]);
        let few_descriptors = Machine { hard_descriptors: Some(20_000), ..ROOMY };
        check(few_descriptors, (19_984, Scarcity::Descriptors), &["LimitNOFILE="]);
        let little_memory = Machine { available_bytes: Some(5420 * 1000), ..ROOMY };
        check(little_memory, (1000, Scarcity::Memory), &["lower max_connections"]);
    }

    #[test]
    fn what_the_machine_does_not_tell_limits_nothing() {
        let mute =
            Machine { soft_descriptors: None, hard_descriptors: None, longest_backlog: None, available_bytes: None };
        check(mute, (1_000_000, Scarcity::MaxConnections), &[]);
    }

    #[test]
    fn a_backlog_the_kernel_cuts_is_warned_of() {
        check(
            Machine { longest_backlog: Some(128), ..ROOMY },
            (1_000_000, Scarcity::MaxConnections),
            &["somaxconn=4096"],
        );
    }

    #[test]
    fn memory_is_read_from_the_line_that_tells_it() {
        assert_eq!(available_bytes("MemTotal:  9 kB\nMemAvailable:   12 kB\n"), Some(12 << 10));
        assert_eq!(available_bytes(""), None);
    }
}
