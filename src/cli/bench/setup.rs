//! Before a bench begins: the targets are found, and what of this machine would run out is said with the mend.

use super::options::Common;
use super::probe::descriptor_limit;
use crate::cli::{Failure, machine};
use crate::load::{Crowd, Entrance, Rules};
use crate::net::{DialUrl, Target, TargetError};
use std::collections::BTreeMap;
use std::fs;
use std::hash::{BuildHasher, RandomState};

/// Connections opened at once, where nothing else is said: less than any server's backlog.
pub(super) const CONCURRENCY: usize = 256;
/// Connections of one process: what a line's number can be.
const MAX_CONNECTIONS: usize = (1 << 24) - 1;
/// Above this share of the ports some of them may be taken already.
const PORTS_TO_SPARE: f64 = 0.95;

/// What a bench needs of its servers.
#[derive(Debug)]
pub(super) struct Ground {
    pub(super) targets: Vec<Target>,
    pub(super) warnings: Vec<String>,
}

/// Finds the targets for so many connections.
pub(super) fn prepare(common: &Common, connections: usize) -> Result<Ground, Failure> {
    let usage = |told: String| Failure::Usage(vec![told]);
    let mut urls = Vec::new();
    for url in &common.urls {
        urls.push(url.parse::<DialUrl>().map_err(|wrong| usage(wrong.to_string()))?);
    }
    if common.tls_ca.is_some() && !urls.iter().any(|url| url.tls) {
        return Err(usage("--tls-ca is for wss:// and tls://, and no URL is one of them".to_owned()));
    }
    if connections > MAX_CONNECTIONS {
        return Err(usage(format!("--connections {connections}: choose at most {MAX_CONNECTIONS}")));
    }
    for pid in &common.server_pid {
        if descriptor_limit(*pid).is_none() {
            return Err(usage(format!(
                "--server-pid {pid}: there is no such process here, or it is not to be looked at"
            )));
        }
    }
    let room = machine::raise_descriptors();
    let mut targets = Vec::new();
    for url in urls {
        targets.push(Target::find(url, common.tls_ca.as_deref()).map_err(failure)?);
    }
    let mut problems = descriptors(connections, room);
    let mut warnings = servers_descriptors(common, connections);
    ports(common, connections, &targets, &mut problems, &mut warnings);
    if problems.is_empty() { Ok(Ground { targets, warnings }) } else { Err(Failure::Usage(problems)) }
}

/// How connections to each target begin.
pub(super) fn entrances(targets: &[Target], size: usize, hub: bool, token: Option<&str>) -> Vec<Entrance> {
    let entrance = |target: &Target| {
        let (host, path) = target.request();
        let token = token.map(str::to_owned);
        Entrance { wire: target.url().wire, host, path, hub, token, size }
    };
    targets.iter().map(entrance).collect()
}

/// The crowd of so many connections.
pub(super) fn crowd(common: &Common, entrances: Vec<Entrance>, connections: usize) -> Crowd {
    Crowd::new(entrances, connections, rules(common, CONCURRENCY), seed())
}

/// A number that marks the publications of this run.
pub(super) fn run_number() -> u32 {
    u32::try_from(seed() >> 32).unwrap_or(0)
}

/// How fast connections are opened.
pub(super) fn rules(common: &Common, at_once: usize) -> Rules {
    Rules { at_once: common.concurrency.unwrap_or(at_once).max(1), rate: common.connect_rate, timeout: common.timeout }
}

/// The standard library seeds its hash maps from the system's randomness; one of its keys serves here.
pub(super) fn seed() -> u64 {
    RandomState::new().hash_one(0u8)
}

fn failure(error: TargetError) -> Failure {
    match error {
        TargetError::Wrong(told) => Failure::Usage(vec![told]),
        TargetError::Unreachable(told) => Failure::Running(told),
    }
}

fn descriptors(connections: usize, room: Option<u64>) -> Vec<String> {
    let problem = room.filter(|room| *room < connections as u64).map(|room| {
        format!(
            "--connections {connections}: descriptors run out at {room} connections; raise the hard limit (ulimit -Hn, or \
             LimitNOFILE= of a systemd unit), share them out over several bench processes, or choose at most {room}"
        )
    });
    problem.into_iter().collect()
}

fn servers_descriptors(common: &Common, connections: usize) -> Vec<String> {
    let limits = common.server_pid.iter().filter_map(|pid| Some((pid, descriptor_limit(*pid)?)));
    let total: u64 = limits.clone().map(|(_, limit)| limit).fold(0, u64::saturating_add);
    let is_short = !common.server_pid.is_empty() && total < connections as u64;
    let warning = is_short.then(|| {
        format!("the server may have {total} descriptors, fewer than --connections {connections}: raise its limit (ulimit -n)")
    });
    warning.into_iter().collect()
}

/// A port serves one connection for each pair of addresses and each port of the server.
fn ports(
    common: &Common,
    connections: usize,
    targets: &[Target],
    problems: &mut Vec<String>,
    warnings: &mut Vec<String>,
) {
    let Some((first, last)) =
        port_range(&fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default())
    else {
        return;
    };
    let sources = common.all_sources().len().max(1);
    let room = usize::from(last - first + 1).saturating_mul(sources);
    let mut shares: BTreeMap<_, usize> = BTreeMap::new();
    for (at, target) in targets.iter().enumerate() {
        let share = (connections + targets.len() - 1 - at) / targets.len();
        *shares.entry(target.socket_address()).or_default() += share;
    }
    for (address, share) in shares.into_iter().filter_map(|(address, share)| Some((address?, share))) {
        let told = |what: &str| {
            format!(
                "{share} connections to {address} {what}: {sources} source address{} and the ports {first} to {last} give {room}; \
                 add sources (--sources {} has enough), or widen the range (sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\")",
                if sources == 1 { "" } else { "es" },
                share / usize::from(last - first + 1) + 1
            )
        };
        if share > room {
            problems.push(told("need more ports than there are"));
        } else if share as f64 > room as f64 * PORTS_TO_SPARE {
            warnings.push(told("take nearly all ports"));
        }
    }
}

fn port_range(text: &str) -> Option<(u16, u16)> {
    let mut numbers = text.split_whitespace().map_while(|word| word.parse().ok());
    let (first, last) = (numbers.next()?, numbers.next()?);
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_connections_than_descriptors_are_refused_with_the_mend() {
        assert_eq!(descriptors(1000, Some(1000)), Vec::<String>::new());
        assert_eq!(descriptors(1000, None), Vec::<String>::new());
        let told = descriptors(1001, Some(1000)).join(" ");
        assert!(
            told.contains("--connections 1001") && told.contains("at most 1000") && told.contains("ulimit"),
            "{told}"
        );
    }

    #[test]
    fn more_connections_than_ports_are_refused_and_nearly_as_many_warned_of() {
        let target = |url: &str| Target::find(url.parse().expect("a URL"), None).expect("an address");
        let Some((first, last)) =
            port_range(&fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default())
        else {
            return;
        };
        let room = usize::from(last - first + 1);
        let look = |sources, connections, urls: &[&str]| {
            let common = Common { sources, ..Common::default() };
            let targets: Vec<_> = urls.iter().map(|url| target(url)).collect();
            let (mut problems, mut warnings) = (Vec::new(), Vec::new());
            ports(&common, connections, &targets, &mut problems, &mut warnings);
            (problems.len(), warnings.len())
        };
        let one = ["line://127.0.0.1:1"];
        assert_eq!(look(None, room / 2, &one), (0, 0));
        assert_eq!(look(None, room - 1, &one), (0, 1));
        assert_eq!(look(None, room + 1, &one), (1, 0));
        assert_eq!(look(Some(2), room + 1, &one), (0, 0));
        assert_eq!(look(None, room + 1, &["line://127.0.0.1:1", "line://127.0.0.1:2"]), (0, 0));
        assert_eq!(look(None, room + 1, &["line://127.0.0.1:1", "tcp://127.0.0.1:1"]), (1, 0));
        assert_eq!(look(None, room + 1, &["unix:///tmp/x"]), (0, 0));
    }

    #[test]
    fn the_range_of_ports_is_two_numbers() {
        assert_eq!(port_range("32768\t60999\n"), Some((32768, 60999)));
        assert_eq!(port_range(""), None);
        assert_eq!(port_range("2 1"), None);
    }
}
