//! What a client tells its program, and what it asks of its driver.

use super::{EndReason, Wait};
use crate::wire::OwnedMessage;
use std::time::Duration;

/// What happened, in the order it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The connection stands, and a server on WebSocket has agreed to it; what waited is on its way.
    Connected {
        /// Which attempt it was since the last connection that lived for `stable_after`, from 1.
        attempt: u32,
        /// Time since the last connection was lost; `None` for the first connection of all.
        resumed_after: Option<Duration>,
    },
    /// A message came, heartbeats taken out.
    Message(OwnedMessage),
    /// A message was sent while there is no connection: it waits for the next one.
    Kept {
        /// Messages that wait now.
        waiting: usize,
    },
    /// The raw wire only: the connection broke, or was stopped, when part of this message had left. It is not sent
    /// again, because its beginning may have arrived and nothing would tell the server that it comes twice.
    Torn(OwnedMessage),
    /// The connection is no more; the next attempt comes by itself.
    Lost {
        /// Why.
        reason: EndReason,
        /// When the next attempt comes.
        next_attempt: Wait,
    },
    /// An attempt did not lead to a connection; the next one comes by itself.
    AttemptFailed {
        /// Why.
        reason: EndReason,
        /// When the next attempt comes.
        next_attempt: Wait,
    },
    /// The last try allowed by `max_tries` failed, or its connection was lost early, or the server said with its close
    /// code to stay away. Nothing comes after this.
    GaveUp {
        /// Why the last try or connection ended.
        reason: EndReason,
    },
    /// The program stopped the client. Nothing comes after this.
    Stopped,
}

/// What the driver has to do with its one socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Open a socket and connect it. Only asked for when the socket before has been asked to be closed.
    Connect,
    /// Close the socket, connected or not, at once. Nothing of it may be reported from here on.
    CloseSocket,
}
