//! Tidegate: a long-connection gateway on one thread and one poll loop.
//!
//! Modules in the order a byte meets them: [`net`] reads it, [`gateway`] finds its connection, [`connection`] finds
//! its message with the codecs of [`wire`], a [`gateway::Handler`] (one of [`apps`], or yours) acts on it, and what it
//! sends waits in [`buffer`]s until `net` writes it. [`timer`] says when a silence has lasted too long, [`client`] is
//! the other end of the line, [`config`] holds what can be set and [`stats`] what was counted. The handler that the program
//! serves by default is the `hub`: channels with histories that an `engine` keeps, and `admin` for back ends.
//!
//! Everything but `net` and the program itself works without sockets, clock or threads. An embedder begins with
//! [`net::EventLoop`] and a [`gateway::Handler`]; whoever has a loop already drives a [`gateway::Reactor`].

#[cfg(feature = "websocket")]
pub mod admin;
pub mod apps;
pub mod buffer;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
pub mod client;
pub mod config;
pub mod connection;
#[cfg(feature = "hub")]
pub mod engine;
pub mod gateway;
#[cfg(feature = "hub")]
pub mod hub;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod load;
pub mod net;
pub mod stats;
pub mod timer;
pub mod wire;
