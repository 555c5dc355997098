//! The hub that `serve` runs: its engine and its secrets, from the configuration and the operating system.

use super::Failure;
use crate::apps::HubApp;
use crate::config::HubSettings;
use crate::engine::{EngineSettings, MemoryEngine};
use crate::hub::Hub;
use crate::timer::Time;

/// A hub over an engine in memory.
pub(super) fn hub(settings: &HubSettings) -> Result<HubApp<MemoryEngine>, Failure> {
    // Asked once at the start, so that a system without randomness is told now and not in the middle of a connect.
    let mut probe = [0; 16];
    getrandom::fill(&mut probe)
        .map_err(|error| Failure::Running(format!("the system has no random numbers to give: {error}")))?;
    let engine = MemoryEngine::new(&EngineSettings::from(settings), Box::new(random_u64), Time::ZERO);
    let hub = Hub::new(settings.clone(), engine, Box::new(random_u128));
    hub.map(HubApp::new).map_err(|error| Failure::Usage(vec![error.to_string()]))
}

fn random_u64() -> u64 {
    getrandom::u64().expect("the system gave random numbers at the start")
}

fn random_u128() -> u128 {
    u128::from(random_u64()) << 64 | u128::from(random_u64())
}
