//! Publications of ours, from when they are taken until the server has answered them.
//!
//! They leave in the order in which they were taken. One that was under way at a cut is sent again with the same key, so
//! that a server that knows keys takes it once.

use super::commands::{Asked, Commands, FRAME_BYTES, Publish, command, parameters};
use super::post::Post;
use super::{HubOptions, Json, PublishError, PublishKey};
use crate::client::Refusal;
use crate::timer::Time;
use std::collections::VecDeque;

#[derive(Debug)]
pub(super) struct Publications {
    /// What our keys begin with.
    client: u64,
    last: u64,
    /// By their numbers, which only grow.
    waiting: VecDeque<Publication>,
    /// Of the waiting ones' commands.
    bytes: usize,
    in_flight: usize,
    max_message_bytes: usize,
    max_waiting: usize,
    max_bytes: usize,
    max_in_flight: usize,
}

#[derive(Debug)]
struct Publication {
    number: u64,
    channel: Box<str>,
    parameters: Vec<u8>,
    state: State,
    failures: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ready,
    /// The server could not take it; until then it holds back all behind it.
    Held {
        until: Time,
    },
    InFlight,
}

impl Publications {
    pub(super) fn new(client: u64, options: &HubOptions) -> Self {
        let connection = &options.connection;
        Self {
            client,
            last: 0,
            waiting: VecDeque::new(),
            bytes: 0,
            in_flight: 0,
            max_message_bytes: connection.max_message_bytes,
            max_waiting: connection.max_outbox_messages,
            max_bytes: connection.max_outbox_bytes,
            max_in_flight: options.max_in_flight,
        }
    }

    /// Publications without an answer.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn key(&self, number: u64) -> PublishKey {
        PublishKey { client: self.client, number }
    }

    /// Takes a publication.
    pub(super) fn push(&mut self, channel: &str, data: Json) -> Result<PublishKey, PublishError> {
        let key = self.key(self.last + 1);
        let parameters = parameters(&Publish { channel, data: &data, idempotency_key: key.to_string() });
        let bytes = parameters.len() + FRAME_BYTES;
        let refusal = if bytes > self.max_message_bytes {
            Refusal::MessageTooLarge(self.max_message_bytes)
        } else if self.waiting.len() >= self.max_waiting {
            Refusal::TooManyMessages(self.max_waiting)
        } else if self.bytes + bytes > self.max_bytes {
            Refusal::TooManyBytes(self.max_bytes)
        } else {
            self.last += 1;
            self.bytes += bytes;
            let (channel, state) = (channel.into(), State::Ready);
            self.waiting.push_back(Publication { number: self.last, channel, parameters, state, failures: 0 });
            return Ok(key);
        };
        Err(PublishError { refusal, data })
    }

    /// Hands out what may leave.
    pub(super) fn send(&mut self, commands: &mut Commands, post: &mut Post<'_>, now: Time) {
        for publication in &mut self.waiting {
            if self.in_flight >= self.max_in_flight || !post.has_room() {
                return;
            }
            match publication.state {
                State::InFlight => {}
                State::Held { .. } => return,
                State::Ready => {
                    let id = commands.ask(Asked::Publish(publication.number), now);
                    post.push(&command(id, "publish", &publication.parameters));
                    publication.state = State::InFlight;
                    self.in_flight += 1;
                }
            }
        }
    }

    /// The server has answered for good: where it was to go.
    pub(super) fn settle(&mut self, number: u64) -> Option<Box<str>> {
        let publication = self.waiting.remove(self.find(number)?)?;
        self.bytes -= publication.parameters.len() + FRAME_BYTES;
        self.in_flight -= 1;
        Some(publication.channel)
    }

    /// How often the server could not take it.
    pub(super) fn failures(&self, number: u64) -> u32 {
        self.find(number).map_or(0, |at| self.waiting[at].failures)
    }

    /// The server could not take it now.
    pub(super) fn hold(&mut self, number: u64, until: Time) {
        if let Some(publication) = self.find(number).and_then(|at| self.waiting.get_mut(at)) {
            publication.state = State::Held { until };
            publication.failures = publication.failures.saturating_add(1);
            self.in_flight -= 1;
        }
    }

    /// The connection is no more: what was under way leaves again on the next.
    pub(super) fn on_cut(&mut self) {
        self.in_flight = 0;
        self.waiting.iter_mut().for_each(|publication| publication.state = State::Ready);
    }

    /// When something that is held back may leave.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.waiting.iter().find_map(|publication| match publication.state {
            State::Held { until } => Some(until),
            State::Ready | State::InFlight => None,
        })
    }

    pub(super) fn handle_timeout(&mut self, now: Time) {
        for publication in &mut self.waiting {
            if matches!(publication.state, State::Held { until } if until <= now) {
                publication.state = State::Ready;
            }
        }
    }

    /// Where the one with this number is, if it is under way.
    fn find(&self, number: u64) -> Option<usize> {
        let at = self.waiting.binary_search_by_key(&number, |publication| publication.number).ok()?;
        (self.waiting[at].state == State::InFlight).then_some(at)
    }
}
