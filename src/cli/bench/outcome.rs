//! What a bench has measured, in the shape that scripts read: `docs/BENCH.md` names each field.

use super::driving::Readings;
use super::numbers::micros;
use super::options::Common;
use super::probe::Usage;
use super::{report, table};
use crate::cli::values::show_duration;
use crate::cli::{Failure, say};
use crate::load::verdict::{Asked, Evidence, judge};
use crate::load::{Moment, Record, SHARES, Second, value_at};
use hdrhistogram::Histogram;
use serde::{Serialize, Serializer};
use serde_json::Value;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::SystemTime;

/// Names and values, in this order.
#[derive(Debug, Default)]
pub(super) struct Fields(pub(super) Vec<(String, Value)>);

impl Fields {
    /// Adds one more.
    pub(super) fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.0.push((name.into(), value.into()));
        self
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// All of it.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    pub(super) bench: &'static str,
    pub(super) version: &'static str,
    /// UTC, as RFC 3339 has it: when the figures were put together.
    pub(super) ended: String,
    pub(super) targets: Vec<String>,
    /// The settings of this bench in a line, for people.
    #[serde(skip)]
    pub(super) headline: String,
    pub(super) settings: Fields,
    pub(super) machine: Machine,
    /// What is counted: `messages`, `deliveries`, `connections`.
    pub(super) unit: &'static str,
    pub(super) interrupted: bool,
    pub(super) seconds: f64,
    pub(super) rate: Option<f64>,
    pub(super) counts: Fields,
    pub(super) latency_us: Latency,
    /// Percentile and microseconds.
    pub(super) latency_percentiles: Vec<(f64, f64)>,
    pub(super) series: Vec<Row>,
    pub(super) errors: Fields,
    pub(super) load: Load,
    pub(super) server: Option<Server>,
    pub(super) verdict: Verdict,
}

#[derive(Debug, Serialize)]
pub(super) struct Machine {
    pub(super) cpu: String,
    pub(super) cores: usize,
    pub(super) kernel: String,
}

/// Microseconds.
#[derive(Debug, Serialize)]
pub(super) struct Latency {
    pub(super) count: u64,
    pub(super) min: f64,
    pub(super) mean: f64,
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
    pub(super) p99_9: f64,
    pub(super) p99_99: f64,
    pub(super) max: f64,
}

#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) at: f64,
    pub(super) seconds: f64,
    pub(super) count: u64,
    pub(super) rate: f64,
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
    pub(super) p99_9: f64,
    pub(super) max: f64,
    pub(super) errors: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct Load {
    pub(super) cpu_us_per_message: Option<f64>,
    pub(super) busy: f64,
    pub(super) waiting: f64,
    pub(super) turn_us: Spread,
    pub(super) late_us: Option<Spread>,
}

/// Microseconds.
#[derive(Debug, Serialize)]
pub(super) struct Spread {
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
}

#[derive(Debug, Serialize)]
pub(super) struct Server {
    pub(super) pids: Vec<u32>,
    pub(super) cpu_us_per_message: Option<f64>,
    pub(super) busy: f64,
    pub(super) rss_anon_per_connection: Option<f64>,
    pub(super) rss_anon_before: u64,
    pub(super) rss_anon_at_start: u64,
    pub(super) rss_anon_at_end: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct Verdict {
    pub(super) bottleneck: &'static str,
    pub(super) words: Vec<String>,
}

/// What a bench asks of a server.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Wish {
    /// As much as can be.
    Most,
    /// So many a second.
    Rate(f64),
    /// To hold so many connections.
    Hold(u64),
}

/// What only this bench knows.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) bench: &'static str,
    pub(super) unit: &'static str,
    pub(super) settings: Fields,
    pub(super) counts: Fields,
    /// Something came that was not sent, or not so.
    pub(super) is_wrong: bool,
    /// What was asked for.
    pub(super) wish: Wish,
    pub(super) interrupted: bool,
}

impl Outcome {
    /// Puts together what was recorded, what was read, and what is told.
    pub(super) fn new(
        told: Told,
        targets: Vec<String>,
        common: &Common,
        record: &Record,
        readings: &Readings,
        now: Moment,
    ) -> Self {
        let (seconds, done) = (record.elapsed(now).as_secs_f64(), record.total_done());
        let latencies = record.latencies();
        let rate = if seconds > 0.0 { done as f64 / seconds } else { 0.0 };
        let counted = if let Wish::Hold(_) = told.wish { 0 } else { done };
        let load = load(record, readings, seconds, counted);
        let mut server = server(common, readings, seconds, counted);
        if let (Wish::Hold(held @ 1..), Some(server)) = (told.wish, &mut server) {
            let grown = server.rss_anon_at_start as f64 - server.rss_anon_before as f64;
            server.rss_anon_per_connection = Some(grown / held as f64);
        }
        let evidence = Evidence {
            busy: load.busy,
            waiting: load.waiting,
            lag: value_at(record.lags(), 0.99),
            asked: match told.wish {
                Wish::Most => Asked::Most,
                Wish::Rate(asked) => Asked::Rate(asked, rate),
                Wish::Hold(_) => Asked::Rest,
            },
            server: server.as_ref().map(|server| server.busy),
        };
        let (limit, mut words) = judge(&evidence);
        if server.as_ref().and_then(|server| server.rss_anon_per_connection).is_some_and(|bytes| bytes < 1.0) {
            words.push(
                "The server took no new memory, as it still had some of connections before: start it anew to see what \
                 one costs."
                    .to_owned(),
            );
        }
        Self {
            bench: told.bench,
            version: env!("CARGO_PKG_VERSION"),
            ended: humantime::format_rfc3339_seconds(wall_clock()).to_string(),
            targets,
            headline: table::settings(&told.settings),
            settings: with_common(told.settings, common),
            machine: machine(),
            unit: told.unit,
            interrupted: told.interrupted,
            seconds,
            rate: (counted > 0 || !matches!(told.wish, Wish::Hold(_))).then_some(rate),
            counts: told.counts,
            latency_us: latency(&latencies),
            latency_percentiles: percentiles(&latencies),
            series: record.series().iter().map(row).collect(),
            errors: Fields(record.errors().iter().map(|(kind, count)| (kind.to_owned(), count.into())).collect()),
            load,
            server,
            verdict: Verdict { bottleneck: limit.name(), words },
        }
    }

    /// Shows it where it was asked for.
    pub(super) fn publish(&self, common: &Common) -> Result<(), Failure> {
        if !common.prints_json() {
            table::lines(self).iter().for_each(say);
        } else if !common.quiet {
            // Nobody may be left to read it.
            table::lines(self).iter().for_each(|line| drop(writeln!(io::stderr(), "{line}")));
        }
        if let Some(path) = &common.report {
            write(path, "report", &report::page(self))?;
        }
        if let Some(path) = &common.json {
            let json = serde_json::to_string_pretty(self).expect("names and numbers are JSON");
            if common.prints_json() {
                say(json);
            } else {
                write(path, "json", &(json + "\n"))?;
            }
        }
        Ok(())
    }
}

/// The settings of all benches behind those of one.
fn with_common(settings: Fields, common: &Common) -> Fields {
    let sources: Vec<String> = common.all_sources().iter().map(ToString::to_string).collect();
    settings
        .with("warm_up", show_duration(common.warm_up))
        .with("duration", show_duration(common.duration))
        .with("timeout", show_duration(common.timeout))
        .with("concurrency", common.concurrency)
        .with("connect_rate", common.connect_rate)
        .with("source", sources)
}

fn write(path: &Path, flag: &str, text: &str) -> Result<(), Failure> {
    fs::write(path, text)
        .map_err(|error| Failure::Running(format!("--{flag} {}: cannot be written: {error}", path.display())))
}

fn load(record: &Record, readings: &Readings, seconds: f64, done: u64) -> Load {
    let [from, to] = readings.own;
    let share = |nanos: u64| if seconds > 0.0 { nanos as f64 / 1e9 / seconds } else { 0.0 };
    let (cpu, waited) = (to.cpu.saturating_sub(from.cpu), to.waited.saturating_sub(from.waited));
    Load {
        cpu_us_per_message: each(cpu, done),
        busy: share(cpu),
        waiting: share(waited),
        turn_us: spread(record.turns()),
        late_us: (!record.lags().is_empty()).then(|| spread(record.lags())),
    }
}

fn server(common: &Common, readings: &Readings, seconds: f64, done: u64) -> Option<Server> {
    let [before, from, to] = readings.server;
    let (before, from, to): (Usage, Usage, Usage) = (before?, from?, to?);
    let cpu = to.cpu.saturating_sub(from.cpu);
    Some(Server {
        pids: common.server_pid.clone(),
        cpu_us_per_message: each(cpu, done),
        busy: if seconds > 0.0 { cpu as f64 / 1e9 / seconds } else { 0.0 },
        rss_anon_per_connection: None,
        rss_anon_before: before.rss_anon,
        rss_anon_at_start: from.rss_anon,
        rss_anon_at_end: to.rss_anon,
    })
}

#[expect(clippy::disallowed_methods, reason = "people compare it with their own clock")]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}

/// Microseconds for each of so many.
fn each(nanos: u64, count: u64) -> Option<f64> {
    (count > 0).then(|| micros(nanos) / count as f64)
}

fn spread(histogram: &Histogram<u64>) -> Spread {
    let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| micros(value_at(histogram, share)));
    Spread { p50, p99, max }
}

fn latency(histogram: &Histogram<u64>) -> Latency {
    let at = |share| micros(value_at(histogram, share));
    Latency {
        count: histogram.len(),
        min: if histogram.is_empty() { 0.0 } else { micros(histogram.min()) },
        mean: histogram.mean() / 1e3,
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        p99_9: at(0.999),
        p99_99: at(0.9999),
        max: at(1.0),
    }
}

/// Ever closer to all, as far as there are values to tell apart.
fn percentiles(histogram: &Histogram<u64>) -> Vec<(f64, f64)> {
    let mut points = Vec::new();
    let mut rest = 1.0;
    while !histogram.is_empty() && rest * histogram.len() as f64 >= 1.0 {
        for step in 0..9 {
            let share = 1.0 - rest * (1.0 - f64::from(step) / 10.0);
            // Shares are read by people, and not made of tenths in binary.
            points.push(((share * 1e11).round() / 1e9, micros(value_at(histogram, share))));
        }
        rest /= 10.0;
    }
    if !histogram.is_empty() {
        points.push((100.0, micros(histogram.max())));
    }
    points
}

fn row(second: &Second) -> Row {
    let [p50, p90, p99, p99_9, max] = second.percentiles.map(micros);
    debug_assert_eq!(SHARES.len(), second.percentiles.len());
    let Second { at, seconds, count, errors, .. } = *second;
    Row { at, seconds, count, rate: count as f64 / seconds, p50, p90, p99, p99_9, max, errors }
}

fn machine() -> Machine {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let system = rustix::system::uname();
    Machine {
        cpu: model.trim_start_matches([' ', '\t', ':']).to_owned(),
        cores: std::thread::available_parallelism().map_or(0, usize::from),
        kernel: format!("{} {}", system.sysname().to_string_lossy(), system.release().to_string_lossy()),
    }
}
