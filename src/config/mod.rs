//! Settings with their defaults and bounds, and the relations between them that must hold before anything starts.
//!
//! Plain values only: reading files, flags and environment is the program's work, in `cli`.

mod settings;

pub use settings::{HeartbeatForms, SettingError, Settings};
