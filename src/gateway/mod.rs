//! All connections: who is here, who may come, who is told what, and in which order a turn of the loop runs.
//!
//! [`Gateway`] takes bytes and time in and gives bytes out; [`Reactor`] drives it over anything that has [`Sockets`],
//! the real ones of `net` or simulated ones.

mod accept;
mod admission;
mod ahead;
mod arriving;
mod at_ease;
mod bundles;
mod context;
mod core;
mod deadlines;
mod direct;
mod drain;
mod drained;
mod ending;
mod gather;
mod handler;
mod holding;
#[cfg(feature = "websocket")]
mod http;
mod id;
mod log_limit;
mod machine;
mod pages;
mod proxied;
mod reactor;
mod receive;
mod send;
mod share;
mod slots;
mod sockets;
#[cfg(test)]
mod tests;
mod timers;
mod transmit;

pub use admission::Peer;
pub use ahead::AHEAD;
pub use context::{ConnectionInfo, Context, SendError};
pub use handler::Handler;
#[cfg(feature = "websocket")]
pub use handler::Reply;
#[cfg(feature = "websocket")]
pub use http::Request;
pub use id::{ConnId, ConnText};
pub use machine::{Gateway, Seed};
pub use pages::Pages;
pub use reactor::{MAX_EVENTS, Reactor};
pub use receive::{Readiness, Steps, Taken};
pub use send::Offer;
pub use sockets::{Received, Sockets};
pub use timers::TimerId;
pub use transmit::FlushOutcome;
