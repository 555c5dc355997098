//! What was measured, as people read it.

use super::numbers::{grouped, rounded};
use super::outcome::{Fields, Latency, Load, Outcome, Server, Spread};
use crate::cli::values::show_roughly;
use serde_json::Value;

/// The lines of the table.
pub(super) fn lines(outcome: &Outcome) -> Vec<String> {
    let Outcome { bench, targets, unit, .. } = outcome;
    let mut lines = vec![format!("{bench}  {}  {}", targets.join(" "), outcome.headline), String::new()];
    let longest = outcome.counts.0.iter().map(|(name, _)| name.len()).max().unwrap_or_default().max(unit.len());
    let mut row = |name: &str, text: String| lines.push(format!("  {name:<longest$}  {text}"));
    let interrupted = if outcome.interrupted { ", ended early" } else { "" };
    let rate = outcome.rate.map_or_else(String::new, |rate| format!(", {}/s", rounded(rate)));
    row(unit, format!("{} in {:.2} s{rate}{interrupted}", count(outcome), outcome.seconds));
    for (name, value) in outcome.counts.0.iter().skip(1) {
        row(&name.replace('_', " "), shown(value));
    }
    if outcome.latency_us.count > 0 {
        row("latency", latency(&outcome.latency_us));
    }
    match outcome.errors.0.as_slice() {
        [] => row("errors", "none".to_owned()),
        errors => errors.iter().for_each(|(kind, count)| row("errors", format!("{} {kind}", shown(count)))),
    }
    if let Some(server) = &outcome.server {
        row("server", servers(server, unit));
    }
    row("load", loads(&outcome.load, unit));
    lines.push(String::new());
    lines.extend(outcome.verdict.words.iter().cloned());
    lines
}

/// What was asked for, in a line.
pub(super) fn settings(settings: &Fields) -> String {
    let named = |(name, value): &(String, Value)| match value {
        Value::Bool(true) => name.replace('_', " "),
        value => format!("{} {}", name.replace('_', " "), shown(value)),
    };
    let told = settings.0.iter().filter(|(_, value)| !matches!(value, Value::Null | Value::Bool(false)));
    told.map(named).collect::<Vec<_>>().join(", ")
}

fn count(outcome: &Outcome) -> String {
    outcome.counts.0.first().map(|(_, value)| shown(value)).unwrap_or_default()
}

/// A value as people read it.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => match (number.as_u64(), number.as_f64()) {
            (Some(whole), _) => grouped(whole),
            (None, Some(number)) => rounded(number),
            (None, None) => number.to_string(),
        },
        Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

fn latency(latency: &Latency) -> String {
    let Latency { min, mean, p50, p90, p99, p99_9, p99_99, max, .. } = latency;
    let named = [
        ("min", min),
        ("mean", mean),
        ("p50", p50),
        ("p90", p90),
        ("p99", p99),
        ("p99.9", p99_9),
        ("p99.99", p99_99),
        ("max", max),
    ];
    let parts: Vec<String> = named.iter().map(|(name, value)| format!("{name} {}", rounded(**value))).collect();
    format!("{} us", parts.join("  "))
}

fn servers(server: &Server, unit: &str) -> String {
    let Server { cpu_us_per_message, busy, rss_anon_per_connection, rss_anon_at_end, .. } = server;
    let memory = match rss_anon_per_connection {
        Some(bytes) => format!("{} bytes a connection ({} in all)", rounded(*bytes), show_roughly(*rss_anon_at_end)),
        None => show_roughly(*rss_anon_at_end),
    };
    format!("{}{:.2} % of a CPU, memory {memory}", cpu(*cpu_us_per_message, unit), busy * 100.0)
}

fn loads(load: &Load, unit: &str) -> String {
    let Load { cpu_us_per_message, busy, waiting, turn_us: Spread { p99, max, .. }, late_us } = load;
    let late = late_us
        .as_ref()
        .map_or_else(String::new, |late| format!(", late p99 {} max {} us", rounded(late.p99), rounded(late.max)));
    format!(
        "{}busy {:.1} %, waited for a CPU {:.1} %, turns p99 {} max {} us{late}",
        cpu(*cpu_us_per_message, unit),
        busy * 100.0,
        waiting * 100.0,
        rounded(*p99),
        rounded(*max)
    )
}

/// CPU time for one of what is counted.
fn cpu(micros: Option<f64>, unit: &str) -> String {
    micros.map_or_else(String::new, |micros| format!("{} us of CPU a {}, ", rounded(micros), one(unit)))
}

/// One of what is counted.
pub(super) fn one(unit: &str) -> &str {
    match unit {
        "deliveries" => "delivery",
        unit => unit.trim_end_matches('s'),
    }
}
