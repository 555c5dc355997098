//! The configuration in force: the winners among what the sources say, applied to the defaults, with every problem named.

use super::hub_options::{self, KeyFiles};
use super::options::{Options, parse};
use super::sections::{self, Section};
use super::sources::{Entry, Found};
use super::values::{self, App};
use crate::config::{HubSettings, SettingError, Settings, TokenKeys};
use crate::connection::ListenWire;
use crate::hub::token::Verifier;
use crate::net::{ListenOptions, ListenUrl, TlsFiles};
use log::LevelFilter;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// Everything `serve` needs to know.
#[derive(Debug)]
pub(super) struct Configuration {
    pub(super) settings: Settings,
    pub(super) hub: HubSettings,
    pub(super) key_files: KeyFiles,
    pub(super) listen: Vec<ListenUrl>,
    pub(super) app: App,
    pub(super) log_level: LevelFilter,
    pub(super) backlog: u32,
    pub(super) reuse_port: bool,
    /// Time to look for events without sleeping; zero for none.
    pub(super) busy_poll: Duration,
    pub(super) tls: Tls,
}

/// What is needed to serve TLS.
#[derive(Debug, Default)]
pub(super) struct Tls {
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    pub(super) client_ca: Option<PathBuf>,
    pub(super) require_client_certificate: bool,
}

impl Tls {
    /// The files to load, where TLS is to be served.
    pub(super) fn files(&self) -> Option<TlsFiles> {
        let (certificate, key) = (self.certificate.clone()?, self.key.clone()?);
        let (client_ca, require_client_certificate) = (self.client_ca.clone(), self.require_client_certificate);
        Some(TlsFiles { certificate, key, client_ca, require_client_certificate })
    }

    /// Settings that are at odds: the one at fault, its value and the mend.
    fn validate(&self, listen: &[ListenUrl]) -> Result<(), SettingError> {
        let fault = |setting, value: String, mend: &str| Err(SettingError { setting, value, mend: mend.to_owned() });
        let show = |path: &Option<PathBuf>| show_path(path.as_ref());
        match (&self.certificate, &self.key) {
            (Some(_), None) => return fault("tls_certificate", show(&self.certificate), "set tls_key as well"),
            (None, Some(_)) => return fault("tls_key", show(&self.key), "set tls_certificate as well"),
            (None, None) if self.client_ca.is_some() => {
                return fault("tls_client_ca", show(&self.client_ca), "set tls_certificate and tls_key as well");
            }
            (None, None) => {
                if let Some(url) = listen.iter().find(|url| url.tls) {
                    return fault("listen", url.to_string(), "set tls_certificate and tls_key, or listen without TLS");
                }
            }
            (Some(_), Some(_)) => {}
        }
        if self.require_client_certificate && self.client_ca.is_none() {
            return fault("tls_require_client_certificate", "true".to_owned(), "set tls_client_ca as well");
        }
        Ok(())
    }
}

fn show_path(path: Option<&PathBuf>) -> String {
    values::show_or_off(path, |path| path.display().to_string())
}

impl Default for Configuration {
    fn default() -> Self {
        Options::default().configuration()
    }
}

impl Configuration {
    /// How each listener is opened.
    pub(super) fn listen_options(&self) -> ListenOptions {
        ListenOptions { backlog: self.backlog, reuse_port: self.reuse_port }
    }

    /// The first setting that is out of its bounds or at odds with another.
    fn validate(&self) -> Result<(), SettingError> {
        self.settings.validate()?;
        self.tls.validate(&self.listen)?;
        self.hub.validate()?;
        Verifier::new(&self.hub.tokens).map(drop)
    }

    /// What an operator should know of who is let in: everybody, or nobody.
    pub(super) fn access(&self) -> Option<&'static str> {
        if self.app != App::Hub {
            return None;
        }
        let TokenKeys { hmac_secrets, public_keys, jwks, .. } = &self.hub.tokens;
        if self.hub.insecure {
            return Some(
                "INSECURE: everybody who reaches a listener may connect, subscribe, publish and call the API; for \
                 development alone",
            );
        }
        let has_keys = !hmac_secrets.is_empty() || !public_keys.is_empty() || jwks.is_some();
        (!has_keys && !self.hub.allow_anonymous).then_some(
            "no client can connect yet: set token_hmac_secret (openssl rand -hex 32) and give clients tokens \
             (tidegate token), or let all connect with --allow-anonymous",
        )
    }

    /// Each setting and its value, as it would be written.
    pub(super) fn shown(&self) -> Vec<(&'static str, String)> {
        let Self { settings, hub, key_files, listen, app, log_level, backlog, reuse_port, busy_poll, tls } = self;
        let urls: Vec<String> = listen.iter().map(ToString::to_string).collect();
        let mut shown = vec![
            ("listen", urls.join(",")),
            ("app", app.to_string()),
            ("log_level", log_level.to_string().to_lowercase()),
            ("backlog", backlog.to_string()),
            ("reuse_port", reuse_port.to_string()),
            (
                "busy_poll",
                values::show_or_off((!busy_poll.is_zero()).then_some(busy_poll), |time| values::show_duration(*time)),
            ),
        ];
        shown.extend(shown_settings(settings));
        shown.extend([
            ("tls_certificate", show_path(tls.certificate.as_ref())),
            ("tls_key", show_path(tls.key.as_ref())),
            ("tls_client_ca", show_path(tls.client_ca.as_ref())),
            ("tls_require_client_certificate", tls.require_client_certificate.to_string()),
        ]);
        shown.extend(hub_options::shown(hub, key_files));
        shown
    }
}

/// Names every field, so that a new one does not compile before it can be shown.
fn shown_settings(settings: &Settings) -> Vec<(&'static str, String)> {
    let Settings {
        heartbeat_interval,
        heartbeat_timeout,
        heartbeat_probe,
        heartbeat_answers,
        handshake_timeout,
        write_timeout,
        idle_timeout,
        close_timeout,
        drain_window,
        max_message_bytes,
        write_queue_soft_bytes,
        write_queue_hard_bytes,
        max_connections,
        max_connections_per_ip,
        max_accepts_per_second,
        max_messages_per_second,
        max_bytes_per_second,
        max_message_fragments,
        deflate,
        deflate_min_bytes,
        allowed_origins,
        max_http_body_bytes,
        http_idle_timeout,
        trusted_proxies,
        forwarded_hops,
    } = settings;
    let networks: Vec<String> = trusted_proxies.iter().map(ToString::to_string).collect();
    let duration = |value: &_| values::show_duration(*value);
    let duration_or_zero =
        |value: &std::time::Duration| values::show_or_off((!value.is_zero()).then_some(*value), values::show_duration);
    let size = |value: &usize| values::show_size(*value);
    let count_or_off = |value: &Option<u32>| values::show_or_off(*value, |count| count.to_string());
    vec![
        ("heartbeat_interval", duration_or_zero(heartbeat_interval)),
        ("heartbeat_timeout", duration_or_zero(heartbeat_timeout)),
        (
            "heartbeat_probe",
            values::show_or_off(heartbeat_probe.as_ref(), |probe| String::from_utf8_lossy(probe).into_owned()),
        ),
        ("heartbeat_answers", values::show_heartbeat_answers(*heartbeat_answers)),
        ("handshake_timeout", duration(handshake_timeout)),
        ("write_timeout", duration(write_timeout)),
        ("idle_timeout", values::show_or_off(*idle_timeout, values::show_duration)),
        ("close_timeout", duration(close_timeout)),
        ("drain_window", duration(drain_window)),
        ("max_message_bytes", size(max_message_bytes)),
        ("write_queue_soft_bytes", size(write_queue_soft_bytes)),
        ("write_queue_hard_bytes", size(write_queue_hard_bytes)),
        ("max_connections", max_connections.to_string()),
        ("max_connections_per_ip", count_or_off(max_connections_per_ip)),
        ("max_accepts_per_second", count_or_off(max_accepts_per_second)),
        ("max_messages_per_second", count_or_off(max_messages_per_second)),
        ("max_bytes_per_second", values::show_or_off(*max_bytes_per_second, |bytes| values::show_size(bytes as usize))),
        ("max_message_fragments", max_message_fragments.to_string()),
        ("deflate", values::show_deflate(*deflate)),
        ("deflate_min_bytes", size(deflate_min_bytes)),
        ("allowed_origins", if allowed_origins.is_empty() { "none".to_owned() } else { allowed_origins.join(",") }),
        ("max_http_body_bytes", size(max_http_body_bytes)),
        ("http_idle_timeout", duration(http_idle_timeout)),
        ("trusted_proxies", networks.join(",")),
        ("forwarded_hops", forwarded_hops.to_string()),
    ]
}

/// What the sources come to.
#[derive(Debug)]
pub(super) struct Reading {
    /// The configuration, without the entries that `problems` name.
    pub(super) configuration: Configuration,
    /// What makes it wrong; nothing may start before this is empty.
    pub(super) problems: Vec<String>,
    /// What is odd but harmless.
    pub(super) warnings: Vec<String>,
    /// The entry in force for each setting that somebody set.
    winners: BTreeMap<String, Entry>,
    /// The namespaces that the file sets.
    pub(super) sections: Vec<Section>,
}

impl Reading {
    /// Lets later entries win, then checks what comes of it.
    pub(super) fn of(found: Found) -> Self {
        let Found { entries, mut sections, mut problems, mut warnings } = found;
        let mut winners = BTreeMap::new();
        for entry in entries {
            match parse::<Options>([&entry]) {
                Ok(_) => drop(winners.insert(entry.key.clone(), entry)),
                Err(mend) => problems.push(entry.blame(&mend)),
            }
        }
        sections::settle(&mut sections, &mut problems);
        let configuration = settle(&mut winners, &sections, &mut problems);
        warnings.extend(hidden_lengths(&configuration));
        warnings.extend(short_secret(&configuration));
        Self { configuration, problems, warnings, winners, sections }
    }

    /// Each setting that is not at its default: its name, its value and where that comes from.
    pub(super) fn changes(&self) -> Vec<(&'static str, String, String)> {
        let defaults = Configuration::default().shown();
        let pairs = self.configuration.shown().into_iter().zip(defaults);
        pairs
            .filter(|(now, default)| now != default)
            .map(|((key, value), _)| (key, value, self.winners.get(key).map_or_else(|| followed(key), Entry::place)))
            .collect()
    }
}

/// Why a setting that nobody set is not at its default.
fn followed(key: &str) -> String {
    let leader = match key {
        "heartbeat_interval" => "heartbeat_timeout",
        "heartbeat_timeout" => "heartbeat_interval",
        "write_queue_hard_bytes" => "max_message_bytes",
        "write_queue_soft_bytes" => "write_queue_hard_bytes",
        _ => unreachable!("{key} follows no other setting"),
    };
    format!("follows {leader}")
}

/// Applies the winners. A value at odds with another is told and taken away, to see what else is wrong.
fn settle(winners: &mut BTreeMap<String, Entry>, sections: &[Section], problems: &mut Vec<String>) -> Configuration {
    loop {
        let options: Options = parse(winners.values()).expect("entries that parse alone parse together");
        let mut config = options.configuration();
        sections::apply(sections, &mut config.hub);
        let Err(fault) = config.validate() else {
            return config;
        };
        let Some(entry) = winners.remove(fault.setting) else {
            problems.push(fault.to_string());
            return config;
        };
        problems.push(entry.blame(&fault.mend));
    }
}

/// A length of 16 MiB or more does not begin with the zero byte that tells its wire from the others.
fn hidden_lengths(config: &Configuration) -> Option<String> {
    let url = config.listen.iter().find(|url| url.wire == ListenWire::Auto)?;
    (config.settings.max_message_bytes >= 1 << 24).then(|| {
        format!(
            "max_message_bytes is {}, but {url} knows a length prefix by a first byte of 0, which lengths from 16MiB on \
             do not have: a client that opens with such a message is not understood; give it a tcp:// listener",
            values::show_size(config.settings.max_message_bytes)
        )
    })
}

/// HS256 wants a key as long as its hash (RFC 7518, section 3.2); a shorter one can be guessed from one token.
fn short_secret(config: &Configuration) -> Option<String> {
    let is_short = |secret: &String| secret.len() < 32;
    config.hub.tokens.hmac_secrets.iter().any(is_short).then(|| {
        "token_hmac_secret has fewer than 32 bytes: whoever has a token may guess it; make one by openssl rand -hex 32"
            .to_owned()
    })
}

#[cfg(test)]
mod tests;
