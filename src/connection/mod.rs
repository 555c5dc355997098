//! One connection: its first bytes, its heartbeats, its deadlines, its end.
//!
//! A state machine over bytes and time. It knows no socket, no handler and no other connection.

mod close;
mod compression;
mod deadlines;
mod door;
mod frames;
mod heartbeat;
mod holding;
#[cfg(feature = "websocket")]
mod http;
mod input;
mod machine;
mod outgoing;
mod rate;
#[cfg(test)]
mod tests;
mod websocket;
mod whole;

pub use close::{CloseAdvice, CloseReason, LocalReason, Parting, PeerReason};
pub use compression::{Compression, Compressor, Unreadable};
pub use deadlines::Due;
pub use door::{Door, Encryption, ListenWire};
pub use frames::{Broken, Found, FrameReader, FrameRules};
pub use heartbeat::{Answer, answer};
#[cfg(feature = "websocket")]
pub use http::MAX_HEAD;
pub use input::{Input, Payload, Tools};
pub use machine::{Connection, Expects, Flushed, Phase, Start, Verdict};
pub use rate::{Bucket, RateLimiter};
pub use websocket::close_frame;
pub use whole::take_whole;
