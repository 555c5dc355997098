//! What can be set about a client of a hub, and what a subscription is asked with.

use super::Json;
use crate::client::ClientOptions;
use crate::config::SettingError;
use std::fmt;
use std::time::Duration;

/// Everything that can be set about a client of a hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubOptions {
    /// What it has in common with any client. Here `max_outbox_messages` and `max_outbox_bytes` bound the publications
    /// that wait for their answers, and waits before a channel is subscribed or a publication sent again follow
    /// `backoff_min` and `backoff_max` too.
    pub connection: ClientOptions,
    /// Who it is. Default nobody.
    pub token: TokenSource,
    /// Its program's name, for the server's eyes. Default `tidegate`.
    pub name: String,
    /// Its program's version. Default that of this crate.
    pub version: String,
    /// What the server's application is told in `connect`. Default nothing.
    pub data: Option<Json>,
    /// Channels at a time, with those that the server subscribes it to. Default 1,024, at least 1. One more is refused;
    /// a server that goes beyond breaks the protocol.
    pub max_subscriptions: usize,
    /// Requests that may wait for their answers. Default 64, at least 1. One more is refused.
    pub max_requests: usize,
    /// Publications that are under way without an answer; more wait. Default 256, at least 1.
    pub max_in_flight: usize,
    /// Time without any answer, while one is due, after which the connection is given up. Default 10 s, at least 10 ms.
    pub answer_timeout: Duration,
    /// How much later than its interval a server's ping may come. Default 10 s.
    pub ping_margin: Duration,
}

/// Where a token comes from.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum TokenSource {
    /// There is none.
    #[default]
    None,
    /// This one, for as long as it is good.
    Fixed(String),
    /// The program is asked by an event whenever one is needed: at the start, before one expires, and where one has.
    Asked,
}

/// What a subscription is asked with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SubscribeOptions {
    /// The subscription's own token. Default none.
    pub token: TokenSource,
    /// Ask the server to watch that nothing is missed. Default no; the channel's settings may say so anyhow.
    pub positioned: bool,
    /// Ask for what is missed while away. Default no; the channel's settings may say so anyhow.
    pub recoverable: bool,
    /// Ask to hear who comes and goes. Default no.
    pub join_leave: bool,
}

impl Default for HubOptions {
    fn default() -> Self {
        Self {
            connection: ClientOptions::default(),
            token: TokenSource::None,
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            data: None,
            max_subscriptions: 1024,
            max_requests: 64,
            max_in_flight: 256,
            answer_timeout: Duration::from_secs(10),
            ping_margin: Duration::from_secs(10),
        }
    }
}

/// Room in a message for what a command has besides the program's own texts: its keys, numbers, an epoch, a session.
pub(super) const COMMAND_BYTES: usize = 8 << 10;
/// What a byte can become in a JSON string.
pub(super) const WORST_ESCAPE: usize = 6;

impl HubOptions {
    /// Checks every bound and relation but those of `connection`; the first that does not hold is named with the mend.
    pub fn validate(&self) -> Result<(), SettingError> {
        at_least_one("max_subscriptions", self.max_subscriptions)?;
        at_least_one("max_requests", self.max_requests)?;
        at_least_one("max_in_flight", self.max_in_flight)?;
        let (timeout, texts) = (self.answer_timeout, self.text_bytes());
        check(timeout >= Duration::from_millis(10), "answer_timeout", format!("{timeout:?}"), || {
            "make it 10ms or more".to_owned()
        })?;
        let max = self.connection.max_message_bytes;
        check(max >= 2 * COMMAND_BYTES, "max_message_bytes", max.to_string(), || {
            format!("make it at least {} for a hub", 2 * COMMAND_BYTES)
        })?;
        check(COMMAND_BYTES + texts <= max, "token", format!("{texts} bytes"), || {
            "name, version, data and token have to fit into one message".to_owned()
        })
    }

    /// At most what the program's texts take up in `connect`.
    pub(super) fn text_bytes(&self) -> usize {
        let token = if let TokenSource::Fixed(token) = &self.token { token.len() } else { 0 };
        let data = self.data.as_ref().map_or(0, |data| data.as_str().len());
        (self.name.len() + self.version.len() + token).saturating_mul(WORST_ESCAPE) + data
    }

    /// The settings of the connection below, whose outbox holds a few messages that are about to leave.
    pub(super) fn below(&self) -> ClientOptions {
        ClientOptions {
            max_outbox_messages: 2 * MAX_UNSENT,
            max_outbox_bytes: self.connection.max_message_bytes.saturating_mul(4).saturating_add(OUTBOX_SPARE),
            ..self.connection.clone()
        }
    }
}

/// Messages below that have not left, before no more commands are handed down.
pub(super) const MAX_UNSENT: usize = 1024;
/// For pongs and frames.
const OUTBOX_SPARE: usize = 64 << 10;

fn at_least_one(setting: &'static str, value: usize) -> Result<(), SettingError> {
    check(value > 0, setting, value.to_string(), || "choose 1 or more".to_owned())
}

fn check(holds: bool, setting: &'static str, value: String, mend: impl FnOnce() -> String) -> Result<(), SettingError> {
    if holds { Ok(()) } else { Err(SettingError { setting, value, mend: mend() }) }
}

/// A token opens doors; it stays out of logs.
impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TokenSource::None => "None",
            TokenSource::Fixed(_) => "Fixed(..)",
            TokenSource::Asked => "Asked",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blamed(change: impl FnOnce(&mut HubOptions)) -> Option<&'static str> {
        let mut options = HubOptions::default();
        change(&mut options);
        options.validate().err().map(|error| error.setting)
    }

    #[test]
    fn each_broken_bound_names_its_setting() {
        assert_eq!(blamed(|_| ()), None);
        assert_eq!(blamed(|o| o.max_subscriptions = 0), Some("max_subscriptions"));
        assert_eq!(blamed(|o| o.max_requests = 0), Some("max_requests"));
        assert_eq!(blamed(|o| o.max_in_flight = 0), Some("max_in_flight"));
        assert_eq!(blamed(|o| o.answer_timeout = Duration::ZERO), Some("answer_timeout"));
        assert_eq!(blamed(|o| o.connection.max_message_bytes = 1000), Some("max_message_bytes"));
        assert_eq!(blamed(|o| o.token = TokenSource::Fixed("x".repeat(60_000))), Some("token"));
    }

    #[test]
    fn tokens_stay_out_of_logs() {
        let options = HubOptions { token: TokenSource::Fixed("secret".to_owned()), ..HubOptions::default() };
        assert!(!format!("{options:?}").contains("secret"));
    }
}
