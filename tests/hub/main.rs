//! The hub as clients and back ends meet it.

#![allow(unreachable_pub, reason = "nothing here is for another crate")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod forgetting;
mod kit;
mod recovering;
mod slices;
mod subscribing;
