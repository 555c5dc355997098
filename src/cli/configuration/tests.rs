//! Flags, environment and file in, one configuration out.

use super::*;
use crate::cli::options::known_keys;
use crate::cli::sources::Flags;
use clap::{Args as _, FromArgMatches as _};
use std::time::Duration;

fn read(flags: &[&str], environment: &[(&str, &str)], file: &str) -> Reading {
    let command = Flags::augment_args(clap::Command::new("serve").no_binary_name(true));
    let matches = command.try_get_matches_from(flags).expect("flags of the test");
    let flags = Flags::from_arg_matches(&matches).expect("flags of the test");
    let variables: Vec<_> = environment.iter().map(|(name, value)| (name.into(), value.into())).collect();
    let mut found = Found::default();
    found.read_file("gateway.toml", file);
    let given = flags.gather(&variables);
    found.entries.extend(given.entries);
    found.problems.extend(given.problems);
    Reading::of(found)
}

/// The problems, or else what is not at its default, as `key = value # where from`.
#[track_caller]
fn check(flags: &[&str], environment: &[(&str, &str)], file: &str, expected: &[&str]) {
    let reading = read(flags, environment, file);
    let changes = reading.changes().into_iter().map(|(key, value, place)| format!("{key} = {value} # {place}"));
    let told = if reading.problems.is_empty() { changes.collect() } else { reading.problems };
    assert_eq!(told, expected);
}

#[test]
fn nothing_set_is_the_default() {
    check(&[], &[], "", &[]);
}

#[test]
fn a_flag_wins_over_the_environment_over_the_file() {
    let (environment, file) = ([("TIDEGATE_WRITE_TIMEOUT", "2s")], "write_timeout = '3s'");
    check(&["--write-timeout", "1s"], &environment, file, &["write_timeout = 1s # flag --write-timeout"]);
    check(&[], &environment, file, &["write_timeout = 2s # environment TIDEGATE_WRITE_TIMEOUT"]);
    check(&[], &[], file, &["write_timeout = 3s # gateway.toml:1"]);
}

#[test]
fn a_list_wins_as_a_whole() {
    check(
        &["--listen", "tcp://127.0.0.1:1", "--listen", "raw://127.0.0.1:2"],
        &[],
        "listen = ['line://127.0.0.1:3']",
        &["listen = tcp://127.0.0.1:1,raw://127.0.0.1:2 # flag --listen"],
    );
}

#[test]
fn a_bare_switch_is_on_and_can_be_switched_off() {
    check(&["--reuse-port"], &[], "", &["reuse_port = true # flag --reuse-port"]);
    check(&["--reuse-port=false"], &[("TIDEGATE_REUSE_PORT", "true")], "", &[]);
}

#[test]
fn interval_and_timeout_follow_each_other() {
    check(
        &["--heartbeat-timeout", "2s"],
        &[],
        "",
        &[
            "heartbeat_interval = 800ms # follows heartbeat_timeout",
            "heartbeat_timeout = 2s # flag --heartbeat-timeout",
        ],
    );
    check(
        &[],
        &[],
        "heartbeat_interval = '10s'",
        &["heartbeat_interval = 10s # gateway.toml:1", "heartbeat_timeout = 25s # follows heartbeat_interval"],
    );
    check(
        &["--heartbeat-interval=off"],
        &[],
        "",
        &[
            "heartbeat_interval = off # flag --heartbeat-interval",
            "heartbeat_timeout = off # follows heartbeat_interval",
        ],
    );
}

#[test]
fn the_write_queue_follows_the_message_limit() {
    check(
        &["--max-message-bytes=2MiB"],
        &[],
        "",
        &[
            "max_message_bytes = 2MiB # flag --max-message-bytes",
            "write_queue_hard_bytes = 8MiB # follows max_message_bytes",
        ],
    );
    check(
        &["--write-queue-hard-bytes=100KiB"],
        &[],
        "",
        &[
            "write_queue_soft_bytes = 100KiB # follows write_queue_hard_bytes",
            "write_queue_hard_bytes = 100KiB # flag --write-queue-hard-bytes",
        ],
    );
}

#[test]
fn a_limit_of_the_file_can_be_taken_off_by_a_flag() {
    check(&["--idle-timeout=off"], &[("TIDEGATE_MAX_CONNECTIONS_PER_IP", "0")], "idle_timeout = '1m'", &[]);
}

#[test]
fn a_wrong_value_tells_its_setting_place_text_and_mend() {
    check(
        &[],
        &[("TIDEGATE_BACKLOG", "many")],
        "\nheartbeat_interval = 25",
        &[
            "heartbeat_interval = \"25\" (gateway.toml:2): write a whole number with its unit, such as 500ms, 25s or \
             5m; or off",
            "backlog = \"many\" (environment TIDEGATE_BACKLOG): write a whole number, without unit or sign",
        ],
    );
}

#[test]
fn a_wrong_value_is_told_even_where_a_flag_overrides_it() {
    check(&["--app=echo"], &[], "app = 'ekho'", &["app = \"ekho\" (gateway.toml:1): choose hub, echo or broadcast"]);
}

#[test]
fn every_broken_relation_is_told_with_its_place() {
    check(
        &["--heartbeat-interval=20s", "--heartbeat-timeout=30s"],
        &[("TIDEGATE_MAX_CONNECTIONS", "0")],
        "write_queue_soft_bytes = '2MiB'\nwrite_timeout = '1ms'",
        &[
            "heartbeat_timeout = \"30s\" (flag --heartbeat-timeout): make it at least twice heartbeat_interval (20s), \
             or leave one of the two out",
            "write_timeout = \"1ms\" (gateway.toml:2): make it 10ms or more",
            "write_queue_soft_bytes = \"2MiB\" (gateway.toml:1): choose 1 byte to write_queue_hard_bytes (1048576)",
            "max_connections = \"0\" (environment TIDEGATE_MAX_CONNECTIONS): choose 1 to 16777216",
        ],
    );
}

#[test]
fn messages_too_long_for_detection_are_warned_of() {
    assert_eq!(read(&["--max-message-bytes=16777215"], &[], "").warnings, [""; 0]);
    assert_eq!(read(&["--max-message-bytes=32MiB", "--listen=tcp://127.0.0.1:1"], &[], "").warnings, [""; 0]);
    let warnings = read(&["--max-message-bytes=32MiB"], &[], "").warnings;
    assert!(warnings[0].starts_with("max_message_bytes is 32MiB, but auto://127.0.0.1:8000"), "{warnings:?}");
}

/// A value other than the default for each setting.
const SAMPLES: [(&str, &str); 55] = [
    ("listen", "tcp://127.0.0.1:9000"),
    ("app", "broadcast"),
    ("log_level", "debug"),
    ("backlog", "128"),
    ("reuse_port", "true"),
    ("busy_poll", "100us"),
    ("heartbeat_interval", "5s"),
    ("heartbeat_timeout", "1m"),
    ("heartbeat_probe", "are you there?"),
    ("heartbeat_answers", "ping,byte"),
    ("handshake_timeout", "5s"),
    ("write_timeout", "5s"),
    ("idle_timeout", "1h"),
    ("close_timeout", "1s"),
    ("drain_window", "1s"),
    ("max_message_bytes", "1KiB"),
    ("write_queue_soft_bytes", "64KiB"),
    ("write_queue_hard_bytes", "2MiB"),
    ("max_connections", "100"),
    ("max_connections_per_ip", "10"),
    ("max_accepts_per_second", "1000"),
    ("max_messages_per_second", "10"),
    ("max_bytes_per_second", "1MiB"),
    ("max_message_fragments", "10"),
    ("deflate", "takeover"),
    ("deflate_min_bytes", "100"),
    ("allowed_origins", "https://a.example,https://*.b.example"),
    ("max_http_body_bytes", "4KiB"),
    ("http_idle_timeout", "5s"),
    ("trusted_proxies", "10.0.0.0/8,::1"),
    ("forwarded_hops", "1"),
    ("tls_certificate", "/etc/tls/chain.pem"),
    ("tls_key", "/etc/tls/key.pem"),
    ("tls_client_ca", "/etc/tls/clients.pem"),
    ("tls_require_client_certificate", "true"),
    ("insecure", "true"),
    ("allow_anonymous", "true"),
    ("token_hmac_secret", SECRETS),
    ("token_public_key", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/token-public-key.pem")),
    ("token_jwks", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/token-keys.json")),
    ("token_audience", "chat"),
    ("token_issuer", "https://login.example.com"),
    ("api_key", "a1b2c3"),
    ("max_channels_per_connection", "64"),
    ("max_channel_name_bytes", "100"),
    ("max_channels", "5000"),
    ("recovery_limit", "50"),
    ("session_ttl", "5m"),
    ("max_kept_sessions", "0"),
    ("idempotency_ttl", "1m"),
    ("max_idempotency_keys", "100"),
    ("refresh_grace", "5s"),
    ("max_commands_per_second", "20"),
    ("max_publications_per_second", "10"),
    ("max_errors", "10"),
];
const SECRETS: &str = "0123456789abcdef0123456789abcdef,fedcba9876543210fedcba9876543210";
const SECRET: [&str; 2] = ["token_hmac_secret", "api_key"];
/// What the settings of TLS need beside them.
const COMPANIONS: [&str; 3] = ["tls_certificate = \"a\"", "tls_key = \"b\"", "tls_client_ca = \"c\""];

#[test]
fn every_setting_is_reached_by_all_three_spellings() {
    let shown: Vec<_> = Configuration::default().shown().into_iter().map(|(key, _)| key.to_owned()).collect();
    assert_eq!(shown, known_keys());
    assert_eq!(shown, SAMPLES.map(|(key, _)| key));
    for (key, sample) in SAMPLES {
        let flag = format!("--{}={sample}", key.replace('_', "-"));
        let variable = format!("TIDEGATE_{}", key.to_uppercase());
        let line = format!("{key} = {}", values::quote_for_toml(sample));
        let others = COMPANIONS.into_iter().filter(|other| key.starts_with("tls_") && !other.starts_with(key));
        let file = others.collect::<Vec<_>>().join("\n");
        let with_line = format!("{file}\n{line}");
        for reading in
            [read(&[&flag], &[], &file), read(&[], &[(&variable, sample)], &file), read(&[], &[], &with_line)]
        {
            assert_eq!(reading.problems, [""; 0], "{key}");
            let shown = if SECRET.contains(&key) { values::HIDDEN } else { sample };
            assert!(reading.changes().iter().any(|(name, value, _)| *name == key && value == shown), "{key}");
        }
    }
}

#[test]
fn settings_of_tls_that_lack_their_other_half_are_told() {
    for (flags, blamed) in [
        (&["--tls-certificate=a"][..], "tls_key"),
        (&["--tls-key=a"], "tls_certificate"),
        (&["--tls-client-ca=a"], "tls_certificate"),
        (&["--tls-certificate=a", "--tls-key=b", "--tls-require-client-certificate"], "tls_client_ca"),
        (&["--listen=wss://127.0.0.1:1"], "tls_certificate"),
    ] {
        let problems = read(flags, &[], "").problems;
        assert!(problems.len() == 1 && problems[0].contains(blamed), "{flags:?}: {problems:?}");
    }
}

#[test]
fn the_defaults_are_those_of_the_library() {
    assert_eq!(Configuration::default().settings, Settings::default());
    assert_eq!(Configuration::default().hub, HubSettings::default());
}

#[test]
fn what_is_shown_reads_back_as_the_same() {
    let reading = read(&["--heartbeat-timeout=1m", "--heartbeat-probe=a\"b", "--max-message-bytes=65537"], &[], "");
    let lines =
        reading.changes().into_iter().map(|(key, value, _)| format!("{key} = {}\n", values::quote_for_toml(&value)));
    assert_eq!(read(&[], &[], &lines.collect::<String>()).configuration.settings, reading.configuration.settings);
    assert_eq!(reading.configuration.settings.heartbeat_interval, Duration::from_secs(24));
}

#[test]
fn keys_of_tokens_reach_the_hub_whole() {
    let hub = read(&[&format!("--token-hmac-secret={SECRETS}")], &[], "api_key = 'k'").configuration.hub;
    assert_eq!(hub.tokens.hmac_secrets.join(","), SECRETS);
    assert_eq!(hub.api_key.as_deref(), Some("k"));
    let file = "token_hmac_secret = ['first of them', 'second']";
    assert_eq!(read(&[], &[], file).configuration.hub.tokens.hmac_secrets, ["first of them", "second"]);
    assert!(read(&["--token-hmac-secret=off"], &[], file).configuration.hub.tokens.hmac_secrets.is_empty());
}

#[test]
fn no_secret_is_shown_in_a_report_or_a_refusal() {
    let hub = |file: &str| {
        let reading = read(&[], &[], file);
        format!("{:?} {:?} {:?}", reading.problems, reading.warnings, reading.changes())
    };
    for file in ["token_hmac_secret = 'hunter2'", "api_key = 'hunter2 '", "token_hmac_secret = ['hunter2', '']"] {
        let told = hub(file);
        assert!(!told.contains("hunter2") && told.contains("not shown"), "{told}");
    }
    let told = hub("token_hmac_secret = 'hunter2'");
    assert!(told.contains("fewer than 32 bytes"), "{told}");
}

#[test]
fn keys_that_cannot_be_used_are_told_with_their_place() {
    let book = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/OPERATIONS.md");
    for (key, path, mend) in [
        ("token_public_key", "/no/such.pem", "name a file that can be read"),
        ("token_jwks", "/no/such.json", "name a file that can be read"),
        ("token_public_key", book, "PEM"),
        ("token_jwks", book, "JSON Web Key Set"),
    ] {
        let problems = read(&[], &[], &format!("{key} = '{path}'")).problems;
        assert!(problems.len() == 1 && problems[0].starts_with(&format!("{key} = \"{path}\" (gateway.toml:1): ")));
        assert!(problems[0].contains(mend), "{problems:?}");
    }
}

#[test]
fn settings_of_the_hub_at_odds_are_told_with_their_place() {
    check(
        &["--recovery-limit=0"],
        &[("TIDEGATE_SESSION_TTL", "1ms")],
        "",
        &[
            "recovery_limit = \"0\" (flag --recovery-limit): choose 1 to 1000000",
            "session_ttl = \"1ms\" (environment TIDEGATE_SESSION_TTL): make it 1s or more; to keep none at all set \
             max_kept_sessions to 0",
        ],
    );
}

#[test]
fn the_operators_book_has_every_setting_with_its_default() {
    let book = include_str!("../../../docs/OPERATIONS.md");
    for (key, default) in Configuration::default().shown() {
        let row = format!("| `{key}` | `{default}` |");
        assert!(book.contains(&row), "docs/OPERATIONS.md lacks a row that begins {row}");
    }
    for (key, default) in hub_options::shown_namespace(&HubSettings::default().default_namespace) {
        let row = format!("| `{key}` | `{default}` |");
        assert!(book.contains(&row), "docs/OPERATIONS.md lacks a row that begins {row}");
    }
}
