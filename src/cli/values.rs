//! The spellings of values: from text, with a refusal that says the mend, and back. Never where a text came from.

use crate::config::{Audience, Deflate, HeartbeatForms, Network, Publishers, Slow};
use crate::net::ListenUrl;
use log::LevelFilter;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// A value that can be turned off; `off` and `0` say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OrOff<T>(pub(super) Option<T>);

/// The handler that gets every message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum App {
    /// Channels, histories, recovery, presence and the HTTP API.
    Hub,
    /// Each message goes back to its sender.
    Echo,
    /// Each message goes to every other connection.
    Broadcast,
}

impl fmt::Display for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hub => "hub",
            Self::Echo => "echo",
            Self::Broadcast => "broadcast",
        })
    }
}

/// A file with what tokens are verified with, read as soon as it is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyFile {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

/// Stands for a secret wherever a value is shown.
pub(super) const HIDDEN: &str = "(not shown)";

/// Longer times than any socket lives would overflow the arithmetic on deadlines.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let value = humantime::parse_duration(text.trim())
        .map_err(|_| "write a whole number with its unit, such as 500ms, 25s or 5m".to_owned())?;
    if value > LONGEST {
        return Err("choose at most 30d (m is minutes, M is months)".to_owned());
    }
    Ok(value)
}

pub(super) fn size(text: &str) -> Result<usize, String> {
    usize::try_from(bytes(text)?).map_err(|_| too_large(usize::MAX as u64))
}

pub(super) fn count(text: &str) -> Result<usize, String> {
    usize::try_from(whole(text)?).map_err(|_| too_large(usize::MAX as u64))
}

pub(super) fn small_count(text: &str) -> Result<u32, String> {
    u32::try_from(whole(text)?).map_err(|_| too_large(u32::MAX.into()))
}

pub(super) fn duration_or_off(text: &str) -> Result<OrOff<Duration>, String> {
    or_off(text, duration)
}

/// Where off is itself a duration, of zero.
pub(super) fn duration_or_zero(text: &str) -> Result<Duration, String> {
    Ok(duration_or_off(text)?.0.unwrap_or(Duration::ZERO))
}

/// Longer, and whoever is watched by the clock would have to wait for it.
const LONGEST_BUSY_POLL: Duration = Duration::from_millis(10);

pub(super) fn busy_poll(text: &str) -> Result<Duration, String> {
    let time = duration_or_zero(text)?;
    if time <= LONGEST_BUSY_POLL { Ok(time) } else { Err("choose at most 10ms; or off".to_owned()) }
}

pub(super) fn count_or_off(text: &str) -> Result<OrOff<u32>, String> {
    or_off(text, small_count)
}

pub(super) fn size_or_off(text: &str) -> Result<OrOff<u32>, String> {
    or_off(text, |text| u32::try_from(bytes(text)?).map_err(|_| too_large(u32::MAX.into())))
}

pub(super) fn text_or_off(text: &str) -> Result<OrOff<String>, String> {
    Ok(OrOff((!matches!(text, "" | "off")).then(|| text.to_owned())))
}

fn or_off<T>(text: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Result<OrOff<T>, String> {
    match text.trim() {
        "off" | "0" => Ok(OrOff(None)),
        text => parse(text).map(|value| OrOff(Some(value))).map_err(|mend| format!("{mend}; or off")),
    }
}

pub(super) fn heartbeat_answers(text: &str) -> Result<HeartbeatForms, String> {
    let mut forms = HeartbeatForms::NONE;
    match text.trim() {
        "all" => return Ok(HeartbeatForms::ALL),
        "none" | "off" => return Ok(forms),
        _ => (),
    }
    for form in text.split(',') {
        match form.trim() {
            "ping" => forms.lower = true,
            "PING" => forms.upper = true,
            "json" => forms.json = true,
            "byte" => forms.byte = true,
            _ => return Err("choose from ping, PING, json and byte, with commas between; or all, or none".to_owned()),
        }
    }
    Ok(forms)
}

pub(super) fn deflate(text: &str) -> Result<Deflate, String> {
    match text.trim() {
        "off" | "false" => Ok(Deflate::Off),
        "on" | "true" => Ok(Deflate::On),
        "takeover" => Ok(Deflate::Takeover),
        _ => Err("choose off, on or takeover".to_owned()),
    }
}

pub(super) fn show_deflate(mode: Deflate) -> String {
    match mode {
        Deflate::Off => "off",
        Deflate::On => "on",
        Deflate::Takeover => "takeover",
    }
    .to_owned()
}

pub(super) fn origin(text: &str) -> Result<String, String> {
    let text = text.trim();
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let is_host = |host: &str| !host.is_empty() && !host.contains(['/', '?', '#', '@']);
    if matches!(text, "*" | "none") || host.is_some_and(is_host) {
        return Ok(text.to_owned());
    }
    Err("write scheme and host, such as https://app.example.com or https://*.example.com, or * for every one"
        .to_owned())
}

pub(super) fn network(text: &str) -> Result<Network, String> {
    text.trim().parse().map_err(|fault: <Network as FromStr>::Err| fault.to_string())
}

pub(super) fn path_or_off(text: &str) -> Result<OrOff<PathBuf>, String> {
    Ok(OrOff((!matches!(text, "" | "off")).then(|| text.into())))
}

pub(super) fn key_file_or_off(text: &str) -> Result<OrOff<KeyFile>, String> {
    let Some(path) = path_or_off(text)?.0 else {
        return Ok(OrOff(None));
    };
    let read = std::fs::read_to_string(&path);
    let text = read.map_err(|error| format!("name a file that can be read; this one cannot: {error}"))?;
    Ok(OrOff(Some(KeyFile { path, text })))
}

pub(super) fn large_count_or_off(text: &str) -> Result<OrOff<usize>, String> {
    or_off(text, count)
}

/// The values of settings that are one of a few words.
pub(super) const AUDIENCES: [(Audience, &str); 3] =
    [(Audience::Nobody, "nobody"), (Audience::Clients, "clients"), (Audience::Anyone, "anyone")];
pub(super) const PUBLISHERS: [(Publishers, &str); 3] =
    [(Publishers::Nobody, "nobody"), (Publishers::Subscribers, "subscribers"), (Publishers::Clients, "clients")];
pub(super) const SLOW: [(Slow, &str); 3] = [(Slow::Lag, "lag"), (Slow::Disconnect, "disconnect"), (Slow::Drop, "drop")];

pub(super) fn audience(text: &str) -> Result<Audience, String> {
    one_of(&AUDIENCES, text)
}

pub(super) fn publishers(text: &str) -> Result<Publishers, String> {
    one_of(&PUBLISHERS, text)
}

pub(super) fn slow(text: &str) -> Result<Slow, String> {
    one_of(&SLOW, text)
}

fn one_of<T: Copy>(words: &[(T, &str)], text: &str) -> Result<T, String> {
    let found = words.iter().find(|(_, word)| *word == text.trim());
    found.map(|(value, _)| *value).ok_or_else(|| {
        let words: Vec<&str> = words.iter().map(|(_, word)| *word).collect();
        format!("choose from {}", words.join(", "))
    })
}

pub(super) fn show_one_of<T: PartialEq>(words: &[(T, &str)], value: &T) -> String {
    let found = words.iter().find(|(known, _)| known == value);
    found.map(|(_, word)| (*word).to_owned()).expect("the words are those of all values")
}

pub(super) fn listen_url(text: &str) -> Result<ListenUrl, String> {
    text.trim().parse().map_err(|fault: <ListenUrl as FromStr>::Err| fault.to_string())
}

pub(super) fn app(text: &str) -> Result<App, String> {
    [App::Hub, App::Echo, App::Broadcast]
        .into_iter()
        .find(|app| app.to_string() == text)
        .ok_or_else(|| "choose hub, echo or broadcast".to_owned())
}

pub(super) fn log_level(text: &str) -> Result<LevelFilter, String> {
    text.parse().map_err(|_| "choose off, error, warn, info, debug or trace".to_owned())
}

pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text {
        "true" | "on" | "1" => Ok(true),
        "false" | "off" | "0" => Ok(false),
        _ => Err("choose true or false".to_owned()),
    }
}

fn bytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let scale = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1000,
        "kib" => 1 << 10,
        "mb" => 1000 * 1000,
        "mib" => 1 << 20,
        "gb" => 1000 * 1000 * 1000,
        "gib" => 1 << 30,
        _ => return Err(SIZE_FORM.to_owned()),
    };
    if digits.is_empty() {
        return Err(SIZE_FORM.to_owned());
    }
    digits.parse::<u64>().ok().and_then(|number| number.checked_mul(scale)).ok_or_else(|| too_large(u64::MAX))
}

const SIZE_FORM: &str = "write whole bytes, or a whole number with kB, KiB, MB, MiB, GB or GiB, such as 64KiB";

fn whole(text: &str) -> Result<u64, String> {
    let text = text.trim();
    if text.is_empty() || text.contains(|c: char| !c.is_ascii_digit()) {
        return Err("write a whole number, without unit or sign".to_owned());
    }
    text.parse().map_err(|_| too_large(u64::MAX))
}

fn too_large(most: u64) -> String {
    format!("choose at most {most}")
}

pub(super) fn show_duration(value: Duration) -> String {
    humantime::format_duration(value).to_string()
}

/// Exact, in the largest unit that divides it.
pub(super) fn show_size(value: usize) -> String {
    [(30, "GiB"), (20, "MiB"), (10, "KiB")]
        .into_iter()
        .find(|(shift, _)| value != 0 && value.is_multiple_of(1 << shift))
        .map_or_else(|| value.to_string(), |(shift, unit)| format!("{}{unit}", value >> shift))
}

/// Rounded, for people.
pub(super) fn show_roughly(bytes: u64) -> String {
    [(30, "GiB"), (20, "MiB"), (10, "KiB")].into_iter().find(|(shift, _)| bytes >> shift > 0).map_or_else(
        || format!("{bytes} bytes"),
        |(shift, unit)| format!("{:.1} {unit}", bytes as f64 / (1u64 << shift) as f64),
    )
}

pub(super) fn show_or_off<T>(value: Option<T>, show: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| "off".to_owned(), show)
}

pub(super) fn show_heartbeat_answers(forms: HeartbeatForms) -> String {
    match forms {
        HeartbeatForms::ALL => "all".to_owned(),
        HeartbeatForms::NONE => "none".to_owned(),
        HeartbeatForms { lower, upper, json, byte } => {
            let named = [(lower, "ping"), (upper, "PING"), (json, "json"), (byte, "byte")];
            named.into_iter().filter(|(on, _)| *on).map(|(_, name)| name).collect::<Vec<_>>().join(",")
        }
    }
}

/// A value as TOML writes it: numbers and switches bare, all else quoted.
pub(super) fn quote_for_toml(text: &str) -> String {
    if text.parse::<i64>().is_ok() || text.parse::<bool>().is_ok() {
        return text.to_owned();
    }
    let escape = |c: char| match c {
        '"' | '\\' => format!("\\{c}"),
        c if c.is_control() => format!("\\u{:04X}", u32::from(c)),
        c => c.to_string(),
    };
    format!("\"{}\"", text.chars().map(escape).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A text that is refused with `mend`, or read and shown again as `expected`.
    #[track_caller]
    fn check<T>(read: Result<T, String>, show: impl FnOnce(T) -> String, expected: Result<&str, &str>) {
        match (read, expected) {
            (Ok(value), Ok(text)) => assert_eq!(show(value), text),
            (Err(mend), Err(part)) => assert!(mend.contains(part), "{mend:?} should tell {part:?}"),
            (read, _) => panic!("expected {expected:?}, got {:?}", read.map(show)),
        }
    }

    #[test]
    fn sizes_read_in_both_families_of_units() {
        for (text, expected) in [
            ("0", "0"),
            ("512", "512"),
            ("512B", "512"),
            ("64KiB", "64KiB"),
            ("64 KiB", "64KiB"),
            ("64kib", "64KiB"),
            ("64kB", "64000"),
            ("64KB", "64000"),
            ("1MiB", "1MiB"),
            ("1MB", "1000000"),
            ("2GiB", "2GiB"),
            ("1024", "1KiB"),
        ] {
            check(size(text), show_size, Ok(expected));
        }
    }

    #[test]
    fn sizes_that_are_nonsense_are_refused_with_the_form() {
        for text in ["", "KiB", "64K", "64 parsecs", "1.5MiB", "-1", "0x40", "1e6", "64KiB64"] {
            check(size(text), show_size, Err("such as 64KiB"));
        }
    }

    #[test]
    fn sizes_that_overflow_are_refused() {
        for text in ["18446744073709551616", "99999999999GiB", "18014398509481984KiB"] {
            check(size(text), show_size, Err("at most 18446744073709551615"));
        }
        check(size_or_off("4GiB"), |size| format!("{size:?}"), Err("at most 4294967295"));
    }

    #[test]
    fn durations_need_a_unit() {
        check(duration("500ms"), show_duration, Ok("500ms"));
        check(duration("25s"), show_duration, Ok("25s"));
        check(duration("300s"), show_duration, Ok("5m"));
        check(duration("1m 2s 500ms"), show_duration, Ok("1m 2s 500ms"));
        check(duration("0"), show_duration, Ok("0s"));
        for text in ["", "25", "s", "-1s", "ten seconds", "99999999999999999999s"] {
            check(duration(text), show_duration, Err("such as 500ms, 25s or 5m"));
        }
    }

    #[test]
    fn months_are_not_minutes() {
        check(duration("5M"), show_duration, Err("m is minutes"));
    }

    #[test]
    fn off_and_zero_turn_a_limit_off() {
        let show = |value: OrOff<u32>| show_or_off(value.0, |count| count.to_string());
        check(count_or_off("off"), show, Ok("off"));
        check(count_or_off("0"), show, Ok("off"));
        check(count_or_off("7"), show, Ok("7"));
        check(count_or_off("-7"), show, Err("; or off"));
        check(duration_or_zero("off"), show_duration, Ok("0s"));
        check(duration("off"), show_duration, Err("such as 500ms"));
    }

    #[test]
    fn counts_are_whole_numbers() {
        check(small_count("4096"), |count| count.to_string(), Ok("4096"));
        check(small_count("4294967296"), |count| count.to_string(), Err("at most 4294967295"));
        for text in ["", "+5", "5k", "1_000", "5.0"] {
            check(count(text), |count| count.to_string(), Err("whole number"));
        }
    }

    #[test]
    fn heartbeat_answers_are_a_list() {
        for (text, expected) in [
            ("all", "all"),
            ("none", "none"),
            ("PING, ping", "ping,PING"),
            ("ping,PING,json,byte", "all"),
            ("byte", "byte"),
        ] {
            check(heartbeat_answers(text), show_heartbeat_answers, Ok(expected));
        }
        check(heartbeat_answers("ping,pong"), show_heartbeat_answers, Err("json and byte"));
        check(heartbeat_answers(""), show_heartbeat_answers, Err("or none"));
    }

    #[test]
    fn a_shown_value_can_stand_in_a_file() {
        assert_eq!(quote_for_toml("25s"), r#""25s""#);
        assert_eq!(quote_for_toml("4096"), "4096");
        assert_eq!(quote_for_toml("true"), "true");
        assert_eq!(quote_for_toml("a\"\\\u{1}"), r#""a\"\\\u0001""#);
    }

    #[test]
    fn rough_sizes_keep_one_digit() {
        assert_eq!(show_roughly(300), "300 bytes");
        assert_eq!(show_roughly(5_420), "5.3 KiB");
        assert_eq!(show_roughly(5 << 30), "5.0 GiB");
    }
}
