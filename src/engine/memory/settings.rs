//! What can be set about the engine in memory. Plain values, with what the hub's settings say of them.

use crate::config::{HubSettings, Namespace};
use std::time::Duration;

/// How long an engine in memory keeps things, and how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineSettings {
    /// How long the position of a channel is kept that was asked for and never published to. Default 300 s.
    pub position_ttl: Duration,
    /// How long the result of an idempotent publication is kept. Default 5 minutes.
    pub idempotency_ttl: Duration,
    /// Results kept of idempotent publications. The oldest go first. Default 100,000.
    pub max_idempotency_keys: usize,
    /// Channels that are heard of, have members, or have a position, some 300 bytes each. What would be one more is
    /// refused. Default 2,000,000.
    pub max_channels: usize,
    /// Publications in all histories, each counted with 32 bytes for its handle. What does not fit is refused, until
    /// time or a newer one takes away an older one. Default 1 GiB.
    pub max_history_bytes: usize,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self::from(&HubSettings::default())
    }
}

impl From<&HubSettings> for EngineSettings {
    /// Positions live as long as the longest history; for each channel with a subscriber there may be another without.
    fn from(hub: &HubSettings) -> Self {
        let namespaces = hub.namespaces.values().chain([&hub.default_namespace]);
        let longest = namespaces.map(|namespace: &Namespace| namespace.history_ttl).max();
        Self {
            position_ttl: longest.unwrap_or_default(),
            idempotency_ttl: hub.idempotency_ttl,
            max_idempotency_keys: hub.max_idempotency_keys,
            max_channels: hub.max_channels.saturating_mul(2),
            max_history_bytes: 1 << 30,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_hub() {
        let defaults = EngineSettings {
            position_ttl: Duration::from_secs(300),
            idempotency_ttl: Duration::from_secs(300),
            max_idempotency_keys: 100_000,
            max_channels: 2_000_000,
            max_history_bytes: 1 << 30,
        };
        assert_eq!(EngineSettings::default(), defaults);
    }

    #[test]
    fn positions_live_as_long_as_the_longest_history() {
        let long = Namespace { history_ttl: Duration::from_secs(3_600), ..Namespace::default() };
        let mut hub = HubSettings::default();
        hub.namespaces.insert("long".to_owned(), long);
        assert_eq!(EngineSettings::from(&hub).position_ttl, Duration::from_secs(3_600));
    }
}
