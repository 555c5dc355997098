//! The reconnecting client: finds out that its server is gone, comes back by itself, sends what waited meanwhile.
//!
//! [`Client`] is a state machine over bytes and time: it knows no socket, no clock and no thread. `net` drives it over
//! real sockets for programs; tests drive it over a virtual clock.
//!
//! [`ClientOptions`] is what can be set; `backoff` decides how long to stay away, `heartbeat` when a silence has lasted
//! too long, `outbox` what is sent next, `speech` how it is said and heard (by `reader` on plain wires, by `websocket`
//! else), and `machine` joins them.

mod backoff;
mod event;
mod heartbeat;
#[cfg(feature = "hub")]
pub mod hub;
mod letter;
mod machine;
mod options;
mod outbox;
mod reader;
mod reason;
mod speech;
mod state;
#[cfg(test)]
mod tests;
#[cfg(feature = "websocket")]
mod websocket;

pub use backoff::Wait;
pub use event::{Action, Event};
pub use heartbeat::HeartbeatForm;
pub use machine::Client;
pub use options::ClientOptions;
pub(crate) use outbox::Room;
pub use outbox::{Refusal, SendError};
pub use reason::EndReason;
