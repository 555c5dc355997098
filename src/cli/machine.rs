//! What the machine under the gateway has to give, and what of it will run out first.

use super::configuration::Configuration;
use super::values::App;
use super::values::show_roughly;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fmt;
use std::fs;

/// What an idle connection costs in the gateway itself.
const PLAIN_BYTES_EACH: u64 = 300;
/// The same of a client of the hub with one subscription.
const HUB_BYTES_EACH: u64 = 600;
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
    /// Open files of all processes together.
    pub(super) open_files: Option<u64>,
    /// Descriptors that one user's polls may watch together.
    pub(super) watches: Option<u64>,
    /// Connections that the kernel's firewall can keep track of, where its tracking is loaded.
    pub(super) tracked: Option<u64>,
}

/// What ends the growth in connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scarcity {
    Memory,
    Descriptors,
    OpenFiles,
    Watches,
    MaxConnections,
}

impl fmt::Display for Scarcity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "memory",
            Self::Descriptors => "descriptors",
            Self::OpenFiles => "open files of the whole machine",
            Self::Watches => "watches of polls",
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
            longest_backlog: sysctl("net/core/somaxconn"),
            available_bytes: available_bytes(&fs::read_to_string("/proc/meminfo").unwrap_or_default()),
            open_files: sysctl("fs/file-max"),
            watches: sysctl("fs/epoll/max_user_watches"),
            tracked: sysctl("net/netfilter/nf_conntrack_max"),
        }
    }

    /// The connections that fit, and what then runs out. `serve` raises the soft limit, so the hard one counts.
    pub(super) fn room(&self, config: &Configuration) -> (u64, Scarcity) {
        let limits = [
            (self.available_bytes.map(|bytes| bytes / bytes_each(config)), Scarcity::Memory),
            (self.hard_descriptors.map(connections_within), Scarcity::Descriptors),
            (self.open_files.map(connections_within), Scarcity::OpenFiles),
            (self.watches.map(connections_within), Scarcity::Watches),
        ];
        let own = (config.settings.max_connections as u64, Scarcity::MaxConnections);
        limits
            .into_iter()
            .filter_map(|(room, scarcity)| Some((room?, scarcity)))
            .fold(own, |least, other| least.min(other))
    }

    /// One line for each thing that can run out.
    pub(super) fn report(&self, config: &Configuration) -> Vec<String> {
        let max = config.settings.max_connections;
        let needed = bytes_each(config).saturating_mul(max as u64);
        let own = own_bytes_each(config);
        let (room, scarce) = self.room(config);
        vec![
            format!(
                "descriptors: soft limit {}, hard limit {} (serve raises soft to hard)",
                number(self.soft_descriptors),
                number(self.hard_descriptors)
            ),
            format!("backlog: {} wanted, net.core.somaxconn is {}", config.backlog, number(self.longest_backlog)),
            format!(
                "memory: {max} idle connections take about {}, of which {} in the gateway ({own} bytes each); available \
                 are {}",
                show_roughly(needed),
                show_roughly(own.saturating_mul(max as u64)),
                self.available_bytes.map_or_else(|| "unknown".to_owned(), show_roughly)
            ),
            format!(
                "kernel: fs.file-max {}, fs.epoll.max_user_watches {}, net.netfilter.nf_conntrack_max {}",
                number(self.open_files),
                number(self.watches),
                self.tracked.map_or_else(|| "not loaded".to_owned(), |tracked| tracked.to_string())
            ),
            format!("first to run out: {scarce}, at {room} connections"),
        ]
    }

    /// What should be changed, on the machine or in the configuration, before it hurts.
    pub(super) fn warnings(&self, config: &Configuration) -> Vec<String> {
        let max = config.settings.max_connections;
        let scarce = match self.room(config) {
            (room, Scarcity::Descriptors) => Some(format!(
                "descriptors run out at {room} connections, before max_connections ({max}): raise the hard limit \
                 (ulimit -Hn, or LimitNOFILE= of a systemd unit), or lower max_connections"
            )),
            (room, Scarcity::Memory) => Some(format!(
                "memory runs out at about {room} idle connections, before max_connections ({max}): lower max_connections"
            )),
            (room, Scarcity::OpenFiles) => Some(format!(
                "all processes together may hold {room} files open, fewer than max_connections ({max}): run \
                 sysctl -w fs.file-max={}",
                max as u64 * 2
            )),
            (room, Scarcity::Watches) => Some(format!(
                "polls may watch {room} descriptors, fewer than max_connections ({max}): run \
                 sysctl -w fs.epoll.max_user_watches={}",
                max as u64 * 2
            )),
            (_, Scarcity::MaxConnections) => None,
        };
        let tracked = self.tracked.filter(|tracked| *tracked < max as u64).map(|tracked| {
            format!(
                "net.netfilter.nf_conntrack_max is {tracked}: a firewall that keeps track of the gateway's connections \
                 refuses those beyond it; raise it above max_connections ({max}), or exempt the listeners (notrack)"
            )
        });
        let backlog = self.longest_backlog.filter(|longest| *longest < config.backlog.into()).map(|longest| {
            format!(
                "the kernel cuts backlog ({}) to net.core.somaxconn ({longest}): run sysctl -w net.core.somaxconn={}",
                config.backlog, config.backlog
            )
        });
        scarce.into_iter().chain(tracked).chain(backlog).collect()
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

/// What one idle connection costs in the gateway, by what it serves.
fn own_bytes_each(config: &Configuration) -> u64 {
    if config.app == App::Hub { HUB_BYTES_EACH } else { PLAIN_BYTES_EACH }
}

fn bytes_each(config: &Configuration) -> u64 {
    own_bytes_each(config) + KERNEL_BYTES_EACH
}

/// A setting of the kernel that is one number.
fn sysctl(name: &str) -> Option<u64> {
    first_number(&fs::read_to_string(format!("/proc/sys/{name}")).unwrap_or_default())
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
        open_files: Some(9_000_000),
        watches: Some(9_000_000),
        tracked: None,
    };

    #[track_caller]
    fn check(machine: Machine, expected: (u64, Scarcity), warned: &[&str]) {
        let config = Configuration::default();
        assert_eq!(machine.room(&config), expected);
        let warnings = machine.warnings(&config);
        assert_eq!(warnings.len(), warned.len(), "{warnings:?}");
        assert!(warnings.iter().zip(warned).all(|(told, part)| told.contains(part)), "{warnings:?}");
    }

    #[test]
    fn the_scarcest_is_named_with_what_fits() {
        check(ROOMY, (1_000_000, Scarcity::MaxConnections), &[]);
        let few_descriptors = Machine { hard_descriptors: Some(20_000), ..ROOMY };
        check(few_descriptors, (19_984, Scarcity::Descriptors), &["LimitNOFILE="]);
        let little_memory = Machine { available_bytes: Some((600 + KERNEL_BYTES_EACH) * 1000), ..ROOMY };
        check(little_memory, (1000, Scarcity::Memory), &["lower max_connections"]);
        let few_files = Machine { open_files: Some(100_016), ..ROOMY };
        check(few_files, (100_000, Scarcity::OpenFiles), &["fs.file-max=2000000"]);
        let few_watches = Machine { watches: Some(100_016), ..ROOMY };
        check(few_watches, (100_000, Scarcity::Watches), &["fs.epoll.max_user_watches=2000000"]);
    }

    #[test]
    fn what_the_machine_does_not_tell_limits_nothing() {
        let mute = Machine {
            soft_descriptors: None,
            hard_descriptors: None,
            longest_backlog: None,
            available_bytes: None,
            open_files: None,
            watches: None,
            tracked: None,
        };
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
    fn a_firewall_that_may_lose_track_is_warned_of_and_limits_nothing() {
        let tracking = Machine { tracked: Some(262_144), ..ROOMY };
        check(tracking, (1_000_000, Scarcity::MaxConnections), &["nf_conntrack_max is 262144"]);
        check(Machine { tracked: Some(1_000_000), ..ROOMY }, (1_000_000, Scarcity::MaxConnections), &[]);
    }

    #[test]
    fn what_serves_no_hub_takes_less_memory() {
        let machine = Machine { available_bytes: Some((300 + KERNEL_BYTES_EACH) * 1000), ..ROOMY };
        let config = Configuration { app: App::Echo, ..Configuration::default() };
        assert_eq!(machine.room(&config), (1000, Scarcity::Memory));
    }

    #[test]
    fn memory_is_read_from_the_line_that_tells_it() {
        assert_eq!(available_bytes("MemTotal:  9 kB\nMemAvailable:   12 kB\n"), Some(12 << 10));
        assert_eq!(available_bytes(""), None);
    }
}
