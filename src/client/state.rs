//! Where a client is between two connections, and what became of its socket.

use super::heartbeat::Heartbeat;
use super::letter::Letter;
use super::speech::{Reader, Upgrade};
use crate::timer::Time;
use std::time::Duration;

/// What a client is doing.
#[derive(Debug)]
pub(super) enum State {
    Waiting {
        attempt_at: Time,
    },
    Connecting {
        give_up_at: Time,
    },
    /// The socket is connected; the server is asked for a WebSocket.
    Upgrading {
        give_up_at: Time,
        upgrade: Box<Upgrade>,
    },
    Connected(Connection),
    GaveUp,
    Stopped,
}

/// A connection that stands.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) since: Time,
    pub(super) heartbeat: Heartbeat,
    pub(super) reader: Reader,
}

/// The driver's socket, as far as it was told.
#[derive(Debug)]
pub(super) enum Socket {
    None,
    /// There is one, for the attempt or the connection of the present state.
    Open,
    /// There is one whose connection has ended, and the server is told so. It may close first until then (RFC 6455,
    /// section 7.1.1), or until the last words have been given to one more write where there is no time.
    Leaving {
        last_words: Letter,
        until: Option<Time>,
    },
    /// There is one whose attempt or connection has ended; it has to be closed before anything else.
    Unwanted,
}

/// How long a server may take to close first when it is told that a WebSocket ends, unless the next attempt is due.
pub(super) const LEAVE: Duration = Duration::from_secs(1);

impl State {
    /// How long the connection has stood; `None` where there is none.
    pub(super) fn lifetime(&self, now: Time) -> Option<Duration> {
        match self {
            State::Connected(connection) => Some(now.saturating_since(connection.since)),
            State::Waiting { .. }
            | State::Connecting { .. }
            | State::Upgrading { .. }
            | State::GaveUp
            | State::Stopped => None,
        }
    }
}
