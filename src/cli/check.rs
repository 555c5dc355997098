//! `check`: a configuration and the machine in, a report out; nothing is started.

use super::configuration::Reading;
use super::machine::Machine;
use super::sections::Section;
use super::sources::Flags;
use super::values::{HIDDEN, quote_for_toml};
use super::{Failure, say};
use std::env;

/// Reports on the configuration that `serve` would run with; a wrong one is a failure that tells every problem.
pub(super) fn run(flags: Flags) -> Result<(), Failure> {
    let reading = Reading::of(flags.gather(&env::vars_os().collect::<Vec<_>>()));
    if !reading.problems.is_empty() {
        return Err(Failure::Usage(reading.problems));
    }
    report(&reading, &Machine::look()).iter().for_each(say);
    Ok(())
}

fn report(reading: &Reading, machine: &Machine) -> Vec<String> {
    let configuration = &reading.configuration;
    let mut lines = changes(reading);
    lines.push("this machine:".to_owned());
    lines.extend(machine.report(configuration).into_iter().map(|line| format!("  {line}")));
    let warnings = reading.warnings.iter().cloned().chain(machine.warnings(configuration));
    let warnings = warnings.chain(configuration.access().map(str::to_owned));
    lines.extend(warnings.map(|warning| format!("warning: {warning}")));
    lines.push("the configuration is fine".to_owned());
    lines
}

/// Written so that it can be copied into a file; a secret is for whoever copies to fill in.
fn changes(reading: &Reading) -> Vec<String> {
    let settings = reading.changes().into_iter().map(|(key, value, place)| match value.as_str() {
        HIDDEN => (format!("# {key} = {HIDDEN}"), place),
        _ => (format!("{key} = {}", quote_for_toml(&value)), place),
    });
    let changes: Vec<_> = settings.chain(reading.sections.iter().flat_map(Section::shown)).collect();
    if changes.is_empty() {
        return vec!["every setting is at its default".to_owned()];
    }
    let lines = changes.into_iter().map(|(setting, place)| format!("  {setting:<40} # {place}"));
    std::iter::once("settings that are not at their default:".to_owned()).chain(lines).collect()
}

#[cfg(test)]
mod tests {
    use super::super::sources::{Entry, Found, Origin};
    use super::*;

    #[track_caller]
    fn check(key: &str, text: &str, expected: &[&str]) {
        let entry = Entry { key: key.to_owned(), text: text.to_owned(), origin: Origin::Flag };
        let reading = Reading::of(Found { entries: vec![entry], ..Found::default() });
        let machine = Machine {
            soft_descriptors: Some(1024),
            hard_descriptors: Some(20_000),
            longest_backlog: Some(4096),
            available_bytes: Some(8 << 30),
            open_files: Some(1 << 20),
            watches: Some(5_000_000),
            tracked: None,
        };
        assert_eq!(report(&reading, &machine), expected);
    }

    #[test]
    fn the_report_tells_changes_machine_and_what_runs_out() {
        check(
            "max_connections",
            "50000",
            &[
                "settings that are not at their default:",
                "  max_connections = 50000                  # flag --max-connections",
                "this machine:",
                "  descriptors: soft limit 1024, hard limit 20000 (serve raises soft to hard)",
                "  backlog: 4096 wanted, net.core.somaxconn is 4096",
                "  memory: 50000 idle connections take about 272.8 MiB, of which 28.6 MiB in the gateway (600 bytes each); \
                 available are 8.0 GiB",
                "  kernel: fs.file-max 1048576, fs.epoll.max_user_watches 5000000, net.netfilter.nf_conntrack_max not loaded",
                "  first to run out: descriptors, at 19984 connections",
                "warning: descriptors run out at 19984 connections, before max_connections (50000): raise the hard limit \
                 (ulimit -Hn, or LimitNOFILE= of a systemd unit), or lower max_connections",
                "warning: no client can connect yet: set token_hmac_secret (openssl rand -hex 32) and give clients tokens \
                 (tidegate token), or let all connect with --allow-anonymous",
                "the configuration is fine",
            ],
        );
    }
}
