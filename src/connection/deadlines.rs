//! A connection's deadlines: what silence, a stall or an unfinished beginning leads to.

use super::machine::{Asker, Connection, Expects, Phase};
use super::{CloseReason, LocalReason, PeerReason};
use crate::config::Settings;
use crate::timer::{Time, earliest};
use crate::wire::Wire;
use std::time::Duration;

/// What a deadline asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Nothing: it was early, or there was life meanwhile.
    Nothing,
    /// Ask the quiet peer for a sign of life.
    Probe,
    /// Close for this reason.
    Close(CloseReason),
    /// An HTTP request did not come whole in time: say so, and close for this reason.
    RequestLate(CloseReason),
    /// The handler did not answer a request in time, while we shut down: say so, and close.
    AnswerLate,
    /// A close took too long: drop the socket.
    Drop,
}

impl Connection {
    /// When it next wants [`Connection::handle_timeout`]; may be moved on by what happens meanwhile, never earlier
    /// but by bytes that begin to wait, an end that is decided, or reading that resumes.
    pub fn poll_timeout(&self, settings: &Settings) -> Option<Time> {
        let phase = match self.phase {
            Phase::Closed => return None,
            Phase::Lingering { give_up_at } => return Some(give_up_at),
            Phase::Http { give_up_at, expects: Expects::Nothing { .. } } => {
                (give_up_at < Time::MAX).then_some(give_up_at)
            }
            Phase::Opening { give_up_at, .. } | Phase::Http { give_up_at, .. } => {
                self.wants_bytes(settings).then_some(give_up_at)
            }
            Phase::Detecting { give_up_at } | Phase::Entering { give_up_at, .. } | Phase::Flushing { give_up_at } => {
                Some(give_up_at)
            }
            Phase::Open { .. } => None,
        };
        let hears = self.is_live() && !matches!(self.phase, Phase::Http { .. });
        let silence = if hears { self.silence_deadline(settings) } else { None };
        earliest([phase, self.stall_deadline(settings), silence])
    }

    /// Acts on a due deadline; early or repeated calls do nothing.
    pub fn handle_timeout(&mut self, now: Time, settings: &Settings) -> Due {
        if is_due(self.stall_deadline(settings), now) {
            let stalled = Due::Close(CloseReason::Local(LocalReason::WriteTimeout));
            return if self.is_live() { stalled } else { Due::Drop };
        }
        let late = Due::Close(CloseReason::Peer(PeerReason::HandshakeTimeout));
        match self.phase {
            Phase::Detecting { give_up_at } | Phase::Entering { give_up_at, .. } if give_up_at <= now => late,
            Phase::Opening { wire, give_up_at } if give_up_at <= now && self.wants_bytes(settings) => {
                if !self.tail.is_empty() {
                    return late;
                }
                // Nothing has begun: a peer that only listens is judged by its heartbeats from here on.
                self.phase = Phase::Open { wire };
                self.handle_silence(now, settings)
            }
            Phase::Opening { .. } => self.handle_silence(now, settings),
            Phase::Http { give_up_at, expects: Expects::Nothing { .. } } if give_up_at <= now => Due::AnswerLate,
            Phase::Http { give_up_at, expects } if give_up_at <= now && self.wants_bytes(settings) => match expects {
                Expects::First if self.tail.is_empty() => late,
                Expects::First | Expects::Rest => Due::RequestLate(CloseReason::Peer(PeerReason::HandshakeTimeout)),
                Expects::Another => Due::Close(CloseReason::Local(LocalReason::IdleTimeout)),
                Expects::Nothing { .. } => Due::Nothing,
            },
            Phase::Http { .. } => Due::Nothing,
            Phase::Detecting { .. } | Phase::Entering { .. } | Phase::Open { .. } => self.handle_silence(now, settings),
            Phase::Flushing { give_up_at } | Phase::Lingering { give_up_at } if give_up_at <= now => Due::Drop,
            Phase::Flushing { .. } | Phase::Lingering { .. } | Phase::Closed => Due::Nothing,
        }
    }

    fn handle_silence(&mut self, now: Time, settings: &Settings) -> Due {
        if is_due(self.heartbeat_deadline(settings), now) {
            return Due::Close(CloseReason::Peer(PeerReason::HeartbeatTimeout));
        }
        if is_due(self.idle_deadline(settings), now) {
            return Due::Close(CloseReason::Local(LocalReason::IdleTimeout));
        }
        if is_due(self.probe_deadline(settings), now) {
            self.asked_at = now;
            // What answers a handler's question is the handler's to know.
            if self.asker != Asker::Handler {
                self.asker = Asker::Awaiting;
            }
            return Due::Probe;
        }
        Due::Nothing
    }

    /// None of these counts while its bytes are not read: it could not show life, or finish what it began.
    fn silence_deadline(&self, settings: &Settings) -> Option<Time> {
        earliest([self.heartbeat_deadline(settings), self.idle_deadline(settings), self.probe_deadline(settings)])
    }

    fn heartbeat_deadline(&self, settings: &Settings) -> Option<Time> {
        self.hears(settings).then(|| self.last_received + settings.heartbeat_timeout)
    }

    fn probe_deadline(&self, settings: &Settings) -> Option<Time> {
        if self.asker == Asker::Handler {
            return self.quiet_deadline(settings);
        }
        let wire = self.wire()?;
        // A WebSocket peer has to answer a ping; on other wires silence alone is no sign, unless a probe is set.
        if !self.hears(settings) || (settings.heartbeat_probe.is_none() && wire != Wire::WebSocket) {
            return None;
        }
        Some(self.next_question(self.last_received, settings))
    }

    /// When its handler is to ask it: a while after anything was last sent or received, whichever is longer ago.
    fn quiet_deadline(&self, settings: &Settings) -> Option<Time> {
        let may_be_asked = matches!(self.phase, Phase::Opening { .. } | Phase::Open { .. });
        let quiet_since = self.last_received.min(self.last_sent);
        (may_be_asked && self.hears(settings)).then(|| self.next_question(quiet_since, settings))
    }

    fn next_question(&self, quiet_since: Time, settings: &Settings) -> Time {
        match self.asked_at {
            Time::MAX => quiet_since + Duration::from_millis(u64::from(self.first_quiet_millis)),
            asked => quiet_since.max(asked) + settings.heartbeat_interval,
        }
    }

    fn hears(&self, settings: &Settings) -> bool {
        settings.has_heartbeat() && self.wants_bytes(settings)
    }

    fn idle_deadline(&self, settings: &Settings) -> Option<Time> {
        settings.idle_timeout.filter(|_| self.wants_bytes(settings)).map(|timeout| self.last_message + timeout)
    }

    fn stall_deadline(&self, settings: &Settings) -> Option<Time> {
        self.progress_at().map(|at| at + settings.write_timeout)
    }
}

fn is_due(deadline: Option<Time>, now: Time) -> bool {
    deadline.is_some_and(|at| at <= now)
}
