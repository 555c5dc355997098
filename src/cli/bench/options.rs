//! What every bench takes: where to, how many, for how long, and where the figures go.

use crate::cli::values;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Flags of all benches.
#[derive(clap::Args, Debug, Clone, Default)]
pub(super) struct Common {
    /// Servers: ws://HOST[:PORT][/PATH], wss:// (inside TLS), tcp://HOST:PORT (length prefix), line://HOST:PORT,
    /// tls:// (line inside TLS), raw://HOST:PORT or unix:///PATH (line); of several each connection takes the next
    #[arg(required = true, value_name = "URL")]
    pub(super) urls: Vec<String>,
    /// Connections opened at once [default: 256]
    #[arg(long, value_name = "COUNT", value_parser = values::count)]
    pub(super) concurrency: Option<usize>,
    /// Connections begun in a second, at most [default: no limit]
    #[arg(long, value_name = "COUNT", value_parser = rate)]
    pub(super) connect_rate: Option<f64>,
    /// Address that connections come from; may be given several times, and each connection takes the next
    #[arg(long, value_name = "ADDRESS")]
    pub(super) source: Vec<IpAddr>,
    /// Addresses 127.0.0.1 to 127.0.0.N as sources, each of which has ports of its own
    #[arg(long, value_name = "N", value_parser = sources, conflicts_with = "source")]
    pub(super) sources: Option<u8>,
    /// How long it runs before it is measured
    #[arg(long, value_name = "DURATION", value_parser = values::duration, default_value = "1s")]
    pub(super) warm_up: Duration,
    /// How long it is measured
    #[arg(long, value_name = "DURATION", value_parser = values::duration, default_value = "10s")]
    pub(super) duration: Duration,
    /// How long an opening may take, and how long nothing may come back before it is given up
    #[arg(long, value_name = "DURATION", value_parser = values::duration, default_value = "10s")]
    pub(super) timeout: Duration,
    /// PEM file of the certificate authorities that are trusted inside TLS [default: the system's]
    #[arg(long, value_name = "FILE")]
    pub(super) tls_ca: Option<PathBuf>,
    /// Process of the server on this machine: its CPU time and memory are measured too; may be given several times
    #[arg(long, value_name = "PID")]
    pub(super) server_pid: Vec<u32>,
    /// Prints the figures as JSON, on stdout or to a file as in --json=FILE; the table then goes to stderr
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "-")]
    pub(super) json: Option<PathBuf>,
    /// Writes a page with charts, for a browser
    #[arg(long, value_name = "FILE")]
    pub(super) report: Option<PathBuf>,
    /// Shows no progress, and with --json no table
    #[arg(long)]
    pub(super) quiet: bool,
}

/// Flags of the benches that know hubs.
#[derive(clap::Args, Debug, Clone, Default)]
pub(super) struct Hub {
    /// Channel of a hub (Centrifuge protocol, JSON) to subscribe to
    #[arg(long, value_name = "CHANNEL")]
    pub(super) channel: Option<String>,
    /// Several channels, CHANNEL-0, CHANNEL-1 and so on, to which the connections are dealt in turn
    #[arg(long, value_name = "COUNT", value_parser = positive, requires = "channel")]
    pub(super) channels: Option<usize>,
    /// Token that tells a hub who the clients are
    #[arg(long, value_name = "TOKEN", requires = "channel")]
    pub(super) token: Option<String>,
}

impl Hub {
    /// Whether there is one.
    pub(super) fn is_there(&self) -> bool {
        self.channel.is_some()
    }

    /// The channels' names.
    pub(super) fn names(&self) -> Vec<Arc<str>> {
        match (&self.channel, self.channels) {
            (None, _) => Vec::new(),
            (Some(channel), None) => vec![channel.as_str().into()],
            (Some(channel), Some(count)) => (0..count).map(|number| format!("{channel}-{number}").into()).collect(),
        }
    }
}

impl Common {
    /// Whether the JSON goes to stdout.
    pub(super) fn prints_json(&self) -> bool {
        self.json.as_ref().is_some_and(|path| path.as_os_str() == "-")
    }

    /// Where connections come from.
    pub(super) fn all_sources(&self) -> Vec<IpAddr> {
        match self.sources {
            Some(last) => (1..=last).map(|host| IpAddr::from([127, 0, 0, host])).collect(),
            None => self.source.clone(),
        }
    }
}

/// A number of things a second.
pub(super) fn rate(text: &str) -> Result<f64, String> {
    let number = text.trim().parse::<f64>().ok().filter(|rate| *rate > 0.0 && *rate <= 1e9);
    number.ok_or_else(|| "write a number above 0, at most 1000000000, such as 20000 or 0.5".to_owned())
}

fn sources(text: &str) -> Result<u8, String> {
    let number = text.trim().parse::<u8>().ok().filter(|count| (1..=254).contains(count));
    number.ok_or_else(|| "choose 1 to 254".to_owned())
}

/// A count of at least 1.
pub(super) fn positive(text: &str) -> Result<usize, String> {
    values::count(text).and_then(|count| if count > 0 { Ok(count) } else { Err("choose 1 or more".to_owned()) })
}

/// The same, of what may be more than fits into memory.
pub(super) fn positive_u64(text: &str) -> Result<u64, String> {
    positive(text).map(|count| count as u64)
}
