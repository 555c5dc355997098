//! WebSocket and HTTP on real sockets, held to RFC 6455, RFC 7692 and RFC 9112 by a client that knows no mercy and
//! shares no code with the server. Every wait has a limit.
//!
//! The numbers in the names of cases are those of the Autobahn test suite. Each conversation is played whole, a frame
//! at a time, a byte at a time, and in the segment of the upgrade request: the outcome must be the same.
//!
//! `TIDEGATE_TEST_WS=host:port` plays them against an echo server that runs already. Cases that need other limits than
//! the defaults go to a second address (messages of 1 MiB), a third (of 1,000 bytes, and deadlines of 300 ms) and a
//! fourth (compression with context) after commas, or, where none is named, to a server of this process.

#![allow(unreachable_pub, reason = "nothing here is for another crate")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "a client on real sockets has a clock and waits")]

mod closing;
mod deflate;
mod framing;
mod handshake;
mod http;
mod kit;
mod limits;
mod offers;
mod utf8;
