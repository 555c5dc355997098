//! Settings with their defaults and bounds, and the relations between them that must hold before anything starts.
//!
//! Plain values only: reading files, flags and environment is the program's work, in `cli`.

mod hub;
mod network;
mod settings;

pub use hub::{Audience, HubSettings, Namespace, Publishers, Slow, TokenKeys};
pub use network::{InvalidNetwork, Network};
pub use settings::{Deflate, HeartbeatForms, SettingError, Settings};
