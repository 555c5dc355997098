//! Accepting without spinning: when to try, when to stop, when to try again.

use crate::timer::Time;
use std::io::{self, ErrorKind};
use std::time::Duration;

/// One listener's state.
#[derive(Debug, Default)]
pub(super) struct Acceptor {
    state: State,
}

/// Edge-triggered: an event that was not followed until "would block" is owed.
#[derive(Debug, Default, PartialEq, Eq)]
enum State {
    /// Peers may wait in the backlog.
    #[default]
    Ready,
    /// The backlog was emptied; the poll will tell.
    Empty,
    /// The system has nothing left to accept with.
    Paused { again_at: Time },
}

/// What became of one accept.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Try the next.
    Next,
    /// Nobody waits.
    Empty,
    /// Accepting has paused.
    Paused,
}

/// How long a pause lasts where no connection ends meanwhile.
const PAUSE: Duration = Duration::from_secs(1);

impl Acceptor {
    pub(super) fn on_event(&mut self) {
        if self.state == State::Empty {
            self.state = State::Ready;
        }
    }

    /// Whether to accept now.
    pub(super) fn wants_accept(&mut self, now: Time) -> bool {
        if matches!(self.state, State::Paused { again_at } if again_at <= now) {
            self.state = State::Ready;
        }
        self.state == State::Ready
    }

    /// A descriptor was given back: one more try costs nothing.
    pub(super) fn on_descriptor_freed(&mut self) {
        if let State::Paused { .. } = self.state {
            self.state = State::Ready;
        }
    }

    pub(super) fn on_error(&mut self, error: &io::Error, now: Time) -> Outcome {
        match error.kind() {
            ErrorKind::WouldBlock => {
                self.state = State::Empty;
                Outcome::Empty
            }
            // This one peer is gone or forbidden (accept(2)); the next may be fine.
            ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::Interrupted
            | ErrorKind::PermissionDenied
            | ErrorKind::TimedOut
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable => Outcome::Next,
            _ => {
                self.state = State::Paused { again_at: now + PAUSE };
                Outcome::Paused
            }
        }
    }

    /// When to come back without an event.
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        match self.state {
            State::Ready => Some(Time::ZERO),
            State::Empty => None,
            State::Paused { again_at } => Some(again_at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(kind: ErrorKind) -> (Acceptor, Outcome) {
        let mut acceptor = Acceptor::default();
        let outcome = acceptor.on_error(&kind.into(), Time::ZERO);
        (acceptor, outcome)
    }

    #[test]
    fn an_empty_backlog_waits_for_an_event() {
        let (mut acceptor, outcome) = failed(ErrorKind::WouldBlock);
        assert_eq!((outcome, acceptor.poll_timeout()), (Outcome::Empty, None));
        assert!(!acceptor.wants_accept(Time::from_millis(u64::MAX)));
        acceptor.on_event();
        assert!(acceptor.wants_accept(Time::ZERO));
    }

    #[test]
    fn a_peer_that_left_early_stops_nobody() {
        let (mut acceptor, outcome) = failed(ErrorKind::ConnectionAborted);
        assert_eq!(outcome, Outcome::Next);
        assert!(acceptor.wants_accept(Time::ZERO));
    }

    #[test]
    fn exhaustion_pauses_until_a_descriptor_is_freed_or_a_second_has_passed() {
        let (mut acceptor, outcome) = failed(ErrorKind::Other);
        assert_eq!((outcome, acceptor.poll_timeout()), (Outcome::Paused, Some(Time::from_millis(1000))));
        acceptor.on_event();
        assert!(!acceptor.wants_accept(Time::from_millis(999)), "events do not end a pause");
        assert!(acceptor.wants_accept(Time::from_millis(1000)));
        let (mut acceptor, _) = failed(ErrorKind::Other);
        acceptor.on_descriptor_freed();
        assert!(acceptor.wants_accept(Time::ZERO));
    }
}
