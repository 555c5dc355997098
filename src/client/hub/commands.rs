//! Commands as they go out, and what is known of each until its answer comes.

use super::{Json, Position, RequestId, SubscribeOptions};
use crate::timer::Time;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// Commands of one connection that wait for their answers.
#[derive(Debug, Default)]
pub(super) struct Commands {
    /// The latest number given; zero at the start of a connection.
    last: u32,
    awaited: BTreeMap<u32, Asked>,
    /// When the latest answer came, or, if that is later, when answers began to be due.
    since: Time,
}

/// What an answer is the answer to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    Connect,
    Subscribe(Box<str>),
    Unsubscribe(Box<str>),
    /// A publication of ours, by its number.
    Publish(u64),
    Request(RequestId, &'static str),
    Refresh,
    SubRefresh(Box<str>),
}

impl Commands {
    /// Gives a number to a command that leaves now.
    pub(super) fn ask(&mut self, asked: Asked, now: Time) -> u32 {
        if self.awaited.is_empty() {
            self.since = now;
        }
        self.last = self.last.checked_add(1).unwrap_or(1);
        self.awaited.insert(self.last, asked);
        self.last
    }

    /// What this number was given to, once.
    pub(super) fn answered(&mut self, id: u32, now: Time) -> Option<Asked> {
        let asked = self.awaited.remove(&id)?;
        self.since = self.since.max(now);
        Some(asked)
    }

    /// What will not be answered any more, in the order it left in.
    pub(super) fn into_unanswered(self) -> impl Iterator<Item = Asked> {
        self.awaited.into_values()
    }

    /// When the server has been silent for too long about what it was asked.
    pub(super) fn deadline(&self, timeout: Duration) -> Option<Time> {
        (!self.awaited.is_empty()).then(|| self.since + timeout)
    }
}

/// A whole command.
pub(super) fn command(id: u32, method: &str, parameters: &[u8]) -> Vec<u8> {
    let mut document = format!(r#"{{"id":{id},"{method}":"#).into_bytes();
    document.extend_from_slice(parameters);
    document.push(b'}');
    document
}

/// At most what [`command`] adds to parameters.
pub(super) const FRAME_BYTES: usize = r#"{"id":4294967295,"presence_stats":}"#.len();

/// The JSON of parameters.
pub(super) fn parameters(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("texts and numbers are JSON")
}

#[derive(Serialize)]
pub(super) struct Connect<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) session: Option<&'a str>,
    pub(super) name: &'a str,
    pub(super) version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) data: Option<&'a Json>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) subs: BTreeMap<&'a str, Recover<'a>>,
}

/// From where on publications are asked for.
#[derive(Serialize)]
pub(super) struct Recover<'a> {
    recover: bool,
    epoch: &'a str,
    offset: u64,
}

impl<'a> From<&'a Position> for Recover<'a> {
    fn from(position: &'a Position) -> Self {
        Self { recover: true, epoch: &position.epoch, offset: position.offset }
    }
}

#[derive(Serialize)]
pub(super) struct Subscribe<'a> {
    channel: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    #[serde(flatten)]
    recover: Option<Recover<'a>>,
    #[serde(skip_serializing_if = "is_false")]
    positioned: bool,
    #[serde(skip_serializing_if = "is_false")]
    recoverable: bool,
    #[serde(skip_serializing_if = "is_false")]
    join_leave: bool,
}

impl<'a> Subscribe<'a> {
    pub(super) fn new(
        channel: &'a str,
        token: Option<&'a str>,
        position: Option<&'a Position>,
        options: &SubscribeOptions,
    ) -> Self {
        let SubscribeOptions { positioned, recoverable, join_leave, .. } = *options;
        Self { channel, token, recover: position.map(Recover::from), positioned, recoverable, join_leave }
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

#[derive(Serialize)]
pub(super) struct Channel<'a> {
    pub(super) channel: &'a str,
}

#[derive(Serialize)]
pub(super) struct Refresh<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) channel: Option<&'a str>,
    pub(super) token: &'a str,
}

#[derive(Serialize)]
pub(super) struct Publish<'a> {
    pub(super) channel: &'a str,
    pub(super) data: &'a Json,
    pub(super) idempotency_key: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscribed(position: Option<&Position>, options: &SubscribeOptions) -> String {
        let parameters = parameters(&Subscribe::new("a\"b", Some("t"), position, options));
        String::from_utf8(command(7, "subscribe", &parameters)).unwrap()
    }

    #[test]
    fn commands_stand_as_the_protocol_has_them() {
        let position = Position { epoch: "e".to_owned(), offset: 3 };
        assert_eq!(
            subscribed(None, &SubscribeOptions::default()),
            r#"{"id":7,"subscribe":{"channel":"a\"b","token":"t"}}"#
        );
        let all = SubscribeOptions { positioned: true, recoverable: true, join_leave: true, ..Default::default() };
        assert_eq!(
            subscribed(Some(&position), &all),
            concat!(
                r#"{"id":7,"subscribe":{"channel":"a\"b","token":"t","recover":true,"epoch":"e","offset":3,"#,
                r#""positioned":true,"recoverable":true,"join_leave":true}}"#
            )
        );
    }

    #[test]
    fn a_number_is_answered_once_and_silence_counts_from_the_latest_answer() {
        let (mut commands, at) = (Commands::default(), Time::from_millis);
        let timeout = Duration::from_millis(100);
        assert_eq!(commands.deadline(timeout), None);
        assert_eq!((commands.ask(Asked::Connect, at(5)), commands.ask(Asked::Refresh, at(50))), (1, 2));
        assert_eq!(commands.deadline(timeout), Some(at(105)));
        assert_eq!(commands.answered(1, at(60)), Some(Asked::Connect));
        assert_eq!((commands.answered(1, at(70)), commands.answered(9, at(70))), (None, None));
        assert_eq!(commands.deadline(timeout), Some(at(160)));
        commands.answered(2, at(80));
        assert_eq!(commands.deadline(timeout), None);
    }

    #[test]
    fn numbers_begin_again_before_they_run_out() {
        let mut commands = Commands { last: u32::MAX - 1, ..Commands::default() };
        assert_eq!([(); 2].map(|()| commands.ask(Asked::Refresh, Time::ZERO)), [u32::MAX, 1]);
    }
}
