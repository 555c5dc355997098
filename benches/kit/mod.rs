//! What the benchmarks measure, each thing as a [`Step`] that can be done again and again, and what they need for it:
//! gateways over sockets that cost next to nothing, the bytes that peers say.
//!
//! Nothing here measures. Seeds are fixed and time is counted in turns, so that every run does the same.

#![allow(dead_code, unused_imports, reason = "each benchmark uses a part of it")]
#![allow(unreachable_pub, reason = "pub says what is for the benchmarks")]

mod bytes;
mod hub;
mod paths;
mod pieces;
mod rig;
mod sockets;

pub use bytes::{ascii, mixed};
pub use hub::{hub_heartbeats, life_in_the_hub, newcomers, publications, recoveries};
pub use paths::{accepted_and_closed, broadcasts, echoes, heartbeats, life_of_a_websocket, turns};
pub use pieces::*;

/// Something that can be done any number of times, and leaves everything as it was but for what grows slowly.
pub type Step = Box<dyn FnMut()>;

/// Times that a step is done before it is measured, so that what is allocated once has been.
const WARM_UP: usize = 20;

/// A step that has been done a few times.
fn warmed_up(mut step: impl FnMut() + 'static) -> Step {
    (0..WARM_UP).for_each(|_| step());
    Box::new(step)
}
