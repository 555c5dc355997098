//! The signs of life on one connection: when to ask for one, and when their absence has lasted too long.

use super::ClientOptions;
use super::outbox::{Content, Outbox};
use crate::connection::answer;
use crate::timer::Time;
use std::time::Duration;

/// What a client sends to ask its server for a sign of life, as a whole message on its wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeartbeatForm {
    /// `ping`, answered by `pong`.
    Lower,
    /// `PING`, answered by `PONG`.
    Upper,
    /// `{"type":"ping"}`, answered by `{"type":"pong"}` with any white space.
    Json,
    /// One byte `0x01`, answered by the same.
    Byte,
}

impl HeartbeatForm {
    /// What is sent.
    pub fn question(self) -> &'static [u8] {
        match self {
            HeartbeatForm::Lower => b"ping",
            HeartbeatForm::Upper => b"PING",
            HeartbeatForm::Json => br#"{"type":"ping"}"#,
            HeartbeatForm::Byte => &[0x01],
        }
    }

    /// Whether `message` is what a server sends back.
    pub fn is_answer(self, message: &[u8]) -> bool {
        match self {
            HeartbeatForm::Lower => message == b"pong",
            HeartbeatForm::Upper => message == b"PONG",
            HeartbeatForm::Json => is_json_pong(message),
            HeartbeatForm::Byte => message == [0x01],
        }
    }
}

/// Longest message looked at as a JSON answer, so that a large message of white space costs nothing.
const MAX_JSON: usize = 64;

/// Many JSON writers put a space after the colon. White space inside the strings is let pass as well: no server means
/// anything by it.
fn is_json_pong(message: &[u8]) -> bool {
    let dense = message.iter().filter(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
    message.len() <= MAX_JSON && dense.eq(br#"{"type":"pong"}"#)
}

/// What a due deadline asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Beat {
    /// Nothing yet.
    Wait,
    /// Ask with [`Heartbeat::ask`].
    Ask,
    /// The server is to be taken for dead.
    Dead,
}

/// The heartbeat of one connection.
#[derive(Debug)]
pub(super) struct Heartbeat {
    last_received: Time,
    /// `None` where heartbeats are off.
    next: Option<Time>,
    /// Questions since the last byte.
    missed: u32,
    /// Answers under way, to be kept from the program. Not `missed`: a message shows life before the answer comes.
    answers_due: u32,
}

impl Heartbeat {
    /// For a connection that stands since `now` and is to be asked for the first time after `first_wait`.
    pub(super) fn new(now: Time, first_wait: Duration, options: &ClientOptions) -> Self {
        let next = options.has_heartbeat().then(|| now + first_wait);
        Self { last_received: now, next, missed: 0, answers_due: 0 }
    }

    /// Asks the server.
    pub(super) fn ask(&mut self, options: &ClientOptions, outbox: &mut Outbox) {
        if outbox.push_heartbeat(Content::Ask(options.heartbeat_form)) {
            self.on_asked();
        }
    }

    /// Keeps heartbeats and their answers from the program; what is neither comes back.
    pub(super) fn sort(&mut self, message: Vec<u8>, options: &ClientOptions, outbox: &mut Outbox) -> Option<Vec<u8>> {
        if self.takes(&message, options.heartbeat_form) {
            return None;
        }
        match answer(&message, options.heartbeat_answers) {
            Some(answer) => {
                outbox.push_heartbeat(Content::Answer(answer.to_vec()));
                None
            }
            None => Some(message),
        }
    }

    /// Notes that bytes came.
    pub(super) fn on_received(&mut self, now: Time) {
        self.last_received = self.last_received.max(now);
        self.missed = 0;
    }

    /// Whether `message` answers a question of ours that is open; each question is answered once.
    fn takes(&mut self, message: &[u8], form: HeartbeatForm) -> bool {
        let is_due = self.answers_due > 0 && form.is_answer(message);
        self.answers_due -= u32::from(is_due);
        is_due
    }

    /// Notes that the server will be asked.
    fn on_asked(&mut self) {
        self.answers_due = self.answers_due.saturating_add(1);
    }

    /// When [`Heartbeat::handle_timeout`] has something to do.
    pub(super) fn deadline(&self, options: &ClientOptions) -> Option<Time> {
        self.next.map(|next| next.min(self.last_received + options.heartbeat_timeout))
    }

    /// What is due; early or repeated calls ask for nothing.
    pub(super) fn handle_timeout(&mut self, now: Time, options: &ClientOptions) -> Beat {
        let Some(next) = self.next else {
            return Beat::Wait;
        };
        let is_silent = self.last_received + options.heartbeat_timeout <= now;
        if is_silent || (next <= now && self.missed >= options.missed_limit) {
            return Beat::Dead;
        }
        if next > now {
            return Beat::Wait;
        }
        self.missed += 1;
        self.next = Some(now + options.heartbeat_interval);
        Beat::Ask
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::HeartbeatForms;

    const FORMS: [HeartbeatForm; 4] =
        [HeartbeatForm::Lower, HeartbeatForm::Upper, HeartbeatForm::Json, HeartbeatForm::Byte];

    #[test]
    fn what_the_gateway_answers_is_an_answer() {
        for form in FORMS {
            let pong = answer(form.question(), HeartbeatForms::ALL).unwrap();
            assert!(form.is_answer(pong), "{form:?}");
            assert!(FORMS.iter().all(|&other| other == form || !other.is_answer(pong)), "{form:?}");
        }
    }

    #[test]
    fn a_json_answer_may_hold_white_space() {
        for (message, expected) in [
            (&br#"{"type": "pong"}"#[..], true),
            (b" {\n\t\"type\" : \"pong\"\r\n}", true),
            (br#"{"type":"ping"}"#, false),
            (br#"{"type":"pong","id":1}"#, false),
            (&[b' '; 100], false),
            (b"", false),
        ] {
            assert_eq!(HeartbeatForm::Json.is_answer(message), expected, "{}", message.escape_ascii());
        }
    }
}
