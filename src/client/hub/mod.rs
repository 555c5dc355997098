//! The client of a hub: channels that are subscribed to again by themselves, publications that arrive once and in
//! order, publications of ours that reach the server although the connection breaks.
//!
//! [`HubClient`] stands on the [`Client`](super::Client) below it and is driven in the same way; it knows the protocol
//! and no wire. [`HubOptions`] is what can be set and [`HubEvent`] what it tells. `heard` reads what the server says,
//! `commands` writes what it is asked, `subscription` keeps positions, `publications` and `requests` what waits, `post`
//! puts it into messages, and `machine`, `hearing`, `channels` and `talking` join them.

mod channels;
mod commands;
mod event;
mod heard;
mod hearing;
mod json;
mod machine;
mod options;
mod post;
mod publications;
mod requests;
mod subscription;
mod talking;
#[cfg(test)]
mod tests;

pub use event::{
    GapReason, HubError, HubEvent, PublishError, PublishKey, Recovery, RequestError, RequestId, SubscribeRefusal,
};
pub use json::{Json, NotJson};
pub use machine::{HubClient, HubCounts};
pub use options::{HubOptions, SubscribeOptions, TokenSource};
pub use requests::Request;
pub use subscription::Position;
