//! JSON in: the commands of clients, borrowed from the text they came in. Knows the form of a command and nothing of
//! channels, rights or what may come when.

mod fields;
#[cfg(test)]
mod tests;

use super::json::read::Body;
use fields::{Channel, Payload, SubRefreshFields, TokenField};
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

pub use fields::{Connect, History, Recover, Since, Subscribe};

/// One command.
#[derive(Debug)]
pub struct Command<'a> {
    /// What the reply is to hold. 0: none, which only [`Method::Pong`] and [`Method::Send`] may have.
    pub id: u32,
    /// What is asked for.
    pub method: Method<'a>,
}

/// What a command asks for. A text that is missing is empty; what is missing or empty and must not be, the hub judges.
///
/// A command is moved a dozen times on its way out of the parser, so what is large and rare is boxed.
#[derive(Debug)]
pub enum Method<'a> {
    /// `{}`: the answer to our ping.
    Pong,
    /// The first command of a connection.
    Connect(Box<Connect<'a>>),
    /// A channel is to be heard.
    Subscribe(Box<Subscribe<'a>>),
    /// A channel is to be heard no more.
    Unsubscribe {
        /// Which.
        channel: Cow<'a, str>,
    },
    /// Something is to be published.
    Publish {
        /// Where.
        channel: Cow<'a, str>,
        /// What.
        data: Option<&'a RawValue>,
        /// A second one with the same key has no effect.
        idempotency_key: Option<Cow<'a, str>>,
    },
    /// Who is on a channel.
    Presence {
        /// Which.
        channel: Cow<'a, str>,
    },
    /// How many are on a channel.
    PresenceStats {
        /// Which.
        channel: Cow<'a, str>,
    },
    /// What was published.
    History(History<'a>),
    /// A sign of life with a reply.
    Ping,
    /// A message to the application; it has no reply.
    Send {
        /// The message.
        data: Option<&'a RawValue>,
    },
    /// A question to the application.
    Rpc {
        /// Which question.
        method: Cow<'a, str>,
        /// The rest of it.
        data: Option<&'a RawValue>,
    },
    /// The connection's next token.
    Refresh {
        /// The token.
        token: Cow<'a, str>,
    },
    /// The next token of a subscription.
    SubRefresh {
        /// Of which channel.
        channel: Cow<'a, str>,
        /// The token.
        token: Cow<'a, str>,
    },
    /// A well-formed command with an id, whose method nobody knows: to be answered by error 104.
    Unknown,
}

/// What came is no command: the connection is to be closed with 3501.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadCommand;

/// Takes the next command off the front of what is left of a unit, in time linear in the command's length.
///
/// A unit is JSON documents joined by `\n`, with at most one `\n` behind the last. A document that is empty, malformed
/// JSON, without method or with two, with an id out of 1..2^32-1 or none where a reply is due, with a field of the wrong
/// type or twice, is a [`BadCommand`]; nothing is left of the unit then. Unknown fields are passed over, and a field
/// that is `null` is one that is not there, except `data`, which may be anything. `None`: the unit is at its end. Whether it was empty from the beginning,
/// which is not allowed either, the caller knows.
pub fn next<'a>(rest: &mut &'a str) -> Option<Result<Command<'a>, BadCommand>> {
    if rest.is_empty() {
        return None;
    }
    let parsed = split_command(rest);
    *rest = parsed.as_ref().map_or("", |(_, rest)| rest);
    Some(parsed.map(|(command, _)| command))
}

/// The text of a payload on one line.
pub fn compact(data: &RawValue) -> Cow<'_, str> {
    let text = data.get();
    if holds_line_end(text.as_bytes()) {
        // Inside a string they would be escaped, so here they are white space.
        Cow::Owned(text.replace(['\n', '\r'], ""))
    } else {
        Cow::Borrowed(text)
    }
}

/// Without a way out before the end, so that the compiler looks at sixteen bytes at once: there is hardly ever one.
fn holds_line_end(text: &[u8]) -> bool {
    text.iter().fold(0, |found, &byte| found | u8::from(byte == b'\n') | u8::from(byte == b'\r')) != 0
}

/// The first command and what follows it and its `\n`. A document may hold raw `\n` as white space, so where it ends
/// only the parser knows.
fn split_command(text: &str) -> Result<(Command<'_>, &str), BadCommand> {
    let begin = text.trim_start_matches(BLANKS);
    if begin.is_empty() || begin.starts_with('\n') {
        return Err(BadCommand);
    }
    let mut documents = serde_json::Deserializer::from_str(begin).into_iter::<Command<'_>>();
    let command = documents.next().and_then(Result::ok).ok_or(BadCommand)?;
    let rest = begin.get(documents.byte_offset()..).ok_or(BadCommand)?.trim_start_matches(BLANKS);
    match rest.strip_prefix('\n') {
        Some(rest) => Ok((command, rest)),
        None if rest.is_empty() => Ok((command, rest)),
        None => Err(BadCommand),
    }
}

/// JSON's white space without `\n`.
const BLANKS: [char; 3] = [' ', '\t', '\r'];

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Key {
    Id,
    Connect,
    Subscribe,
    Unsubscribe,
    Publish,
    Presence,
    PresenceStats,
    History,
    Ping,
    Send,
    Rpc,
    Refresh,
    SubRefresh,
    #[serde(other)]
    Other,
}

impl<'de> Deserialize<'de> for Command<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(CommandVisitor)
    }
}

struct CommandVisitor;

impl<'de> Visitor<'de> for CommandVisitor {
    type Value = Command<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a command")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Command<'de>, A::Error> {
        let (mut id, mut method, mut is_pong) = (None, None, true);
        while let Some(key) = map.next_key::<Key>()? {
            is_pong = false;
            let slot = match key {
                Key::Id if id.is_some() => return Err(A::Error::duplicate_field("id")),
                Key::Id => {
                    id = Some(map.next_value::<u32>()?);
                    continue;
                }
                key => next_method(&key, &mut map)?,
            };
            method = match (method, slot) {
                (None | Some(Method::Unknown), slot) => slot,
                (known, None | Some(Method::Unknown)) => known,
                (Some(_), Some(_)) => return Err(A::Error::custom("two methods")),
            };
        }
        match (id, method) {
            (None, None) if is_pong => Ok(Command { id: 0, method: Method::Pong }),
            (None, Some(method @ Method::Send { .. })) => Ok(Command { id: 0, method }),
            (Some(id @ 1..), Some(method)) => Ok(Command { id, method }),
            (None | Some(_), None | Some(_)) => Err(A::Error::custom("no id or no method")),
        }
    }
}

/// The method that the value behind `key` asks for; `None` where it is `null`.
fn next_method<'de, A: MapAccess<'de>>(key: &Key, map: &mut A) -> Result<Option<Method<'de>>, A::Error> {
    match key {
        Key::Connect => body(map, |connect| Method::Connect(Box::new(connect))),
        Key::Subscribe => body(map, |subscribe| Method::Subscribe(Box::new(subscribe))),
        Key::Unsubscribe => body(map, |Channel { channel }| Method::Unsubscribe { channel }),
        Key::Publish => body(map, |fields::Publish { channel, data, idempotency_key }| Method::Publish {
            channel,
            data,
            idempotency_key,
        }),
        Key::Presence => body(map, |Channel { channel }| Method::Presence { channel }),
        Key::PresenceStats => body(map, |Channel { channel }| Method::PresenceStats { channel }),
        Key::History => body(map, Method::History),
        Key::Ping => body(map, |fields::Nothing {}| Method::Ping),
        Key::Send => body(map, |Payload { data }| Method::Send { data }),
        Key::Rpc => body(map, |fields::Rpc { method, data }| Method::Rpc { method, data }),
        Key::Refresh => body(map, |TokenField { token }| Method::Refresh { token }),
        Key::SubRefresh => body(map, |SubRefreshFields { channel, token }| Method::SubRefresh { channel, token }),
        Key::Id | Key::Other => map.next_value::<IgnoredAny>().map(|_| Some(Method::Unknown)),
    }
}

fn body<'de, A: MapAccess<'de>, T: Deserialize<'de>>(
    map: &mut A,
    method: impl FnOnce(T) -> Method<'de>,
) -> Result<Option<Method<'de>>, A::Error> {
    Ok(map.next_value::<Option<Body<T>>>()?.map(|Body(fields)| method(fields)))
}
