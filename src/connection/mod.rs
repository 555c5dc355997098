//! One connection: its first bytes, its heartbeats, its deadlines, its end.
//!
//! A state machine over bytes and time. It knows no socket, no handler and no other connection.

mod close;
mod deadlines;
mod heartbeat;
mod input;
mod machine;
mod rate;
#[cfg(test)]
mod tests;

pub use close::{CloseAdvice, CloseReason, LocalReason, PeerReason};
pub use deadlines::Due;
pub use heartbeat::{Answer, answer};
pub use input::{Input, Payload};
pub use machine::{Connection, Flushed, ListenWire, Phase, Start, Verdict};
pub use rate::{Bucket, RateLimiter};
