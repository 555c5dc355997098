//! Many commands in one request: `{"commands":[{"publish":{..}},..],"parallel":true}`. In parallel they are begun
//! together, else each waits for the one before. What is wrong with one is told in its place and stops no other.

use super::answer::{write_error, write_result};
use super::parse::Command;
use crate::hub::codes::ErrorCode;
use crate::hub::json::read::{self, Body, Text};
use crate::hub::operation::{Operation, Outcome};
use crate::wire::http::{Response, Status};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::collections::VecDeque;
use std::fmt;

/// Commands of one batch; more are refused with error 106.
pub(super) const MAX_COMMANDS: usize = 10_000;

/// Bytes of the answers to all that was only asked. From there on error 106 takes their place; what had an effect is
/// always told.
pub(super) const MAX_READ_BYTES: usize = 8 << 20;

/// A batch on its way.
#[derive(Debug)]
pub(super) struct Batch {
    slots: Vec<Slot>,
    /// In order, with their places.
    later: VecDeque<(u16, Operation)>,
    running: usize,
    parallel: bool,
    read_bytes: usize,
}

/// One place in the answer.
#[derive(Debug)]
enum Slot {
    Due(Command),
    Reply(Vec<u8>),
}

impl Batch {
    pub(super) fn parse(params: &RawValue) -> Result<Self, ErrorCode> {
        let Body(params): Body<Params<'_>> = serde_json::from_str(params.get()).map_err(|_| ErrorCode::BadRequest)?;
        let commands = params.commands.ok_or(ErrorCode::BadRequest)?;
        if commands.len() > MAX_COMMANDS {
            return Err(ErrorCode::LimitExceeded);
        }
        let mut batch = Self {
            slots: Vec::with_capacity(commands.len()),
            later: VecDeque::new(),
            running: 0,
            parallel: params.parallel,
            read_bytes: 0,
        };
        for (index, command) in (0..).zip(commands) {
            batch.add(index, command);
        }
        Ok(batch)
    }

    fn add(&mut self, index: u16, command: &RawValue) {
        let parsed = parse_command(command);
        self.slots.push(match parsed {
            Err(code) => Slot::Reply(error(code)),
            Ok((command, operation)) => {
                self.later.push_back((index, operation));
                Slot::Due(command)
            }
        });
    }

    /// Hands out what may begin now.
    pub(super) fn submit(&mut self, mut submit: impl FnMut(u16, Operation)) {
        while self.parallel || self.running == 0 {
            let Some((index, operation)) = self.later.pop_front() else { return };
            self.running += 1;
            submit(index, operation);
        }
    }

    /// Takes what came of the command at `index`; a second time is harmless.
    pub(super) fn complete(&mut self, index: u16, outcome: &Result<Outcome, ErrorCode>) {
        let Some(slot) = self.slots.get_mut(usize::from(index)) else { return };
        let Slot::Due(command) = slot else { return };
        let reply = reply(*command, outcome);
        *slot = Slot::Reply(match outcome {
            Ok(outcome) if only_reads(outcome) => {
                self.read_bytes += reply.len();
                if self.read_bytes > MAX_READ_BYTES { error(ErrorCode::LimitExceeded) } else { reply }
            }
            Ok(_) | Err(_) => reply,
        });
        self.running -= 1;
    }

    /// The answer, when nothing is due.
    pub(super) fn response(&self) -> Option<Response> {
        if self.running > 0 || !self.later.is_empty() {
            return None;
        }
        let mut out = b"{\"replies\":[".to_vec();
        for (at, slot) in self.slots.iter().enumerate() {
            let Slot::Reply(reply) = slot else { return None };
            if at > 0 {
                out.push(b',');
            }
            out.extend_from_slice(reply);
        }
        out.extend_from_slice(b"]}");
        Some(Response::json(Status::Ok, out))
    }
}

/// `{"publish":{"offset":1}}`
fn reply(command: Command, outcome: &Result<Outcome, ErrorCode>) -> Vec<u8> {
    match outcome {
        Err(code) => error(*code),
        Ok(outcome) => {
            let mut out = format!("{{\"{}\":{{", command.name()).into_bytes();
            write_result(&mut out, outcome);
            out.extend_from_slice(b"}}");
            out
        }
    }
}

fn error(code: ErrorCode) -> Vec<u8> {
    let mut out = Vec::new();
    write_error(&mut out, code);
    out
}

fn only_reads(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Presence(_)
        | Outcome::PresenceStats { .. }
        | Outcome::History(_)
        | Outcome::Channels(_)
        | Outcome::Info(_)
        | Outcome::Connections { .. }
        | Outcome::Connection(_) => true,
        Outcome::Published(_) | Outcome::Broadcast(_) | Outcome::Done | Outcome::Sent(_) => false,
    }
}

fn parse_command(command: &RawValue) -> Result<(Command, Operation), ErrorCode> {
    let One { name: Text(name), params } = serde_json::from_str(command.get()).map_err(|_| ErrorCode::BadRequest)?;
    let command = Command::named(&name).ok_or(ErrorCode::MethodNotFound)?;
    Ok((command, command.operation(params)?))
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow, default)]
    commands: Option<Vec<&'a RawValue>>,
    #[serde(default, deserialize_with = "read::or_default")]
    parallel: bool,
}

/// An object with one field that is not `null`.
struct One<'a> {
    name: Text<'a>,
    params: &'a RawValue,
}

impl<'de> Deserialize<'de> for One<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OneVisitor)
    }
}

struct OneVisitor;

impl<'de> Visitor<'de> for OneVisitor {
    type Value = One<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one command")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<One<'de>, A::Error> {
        let mut one = None;
        while let Some((name, params)) = map.next_entry::<Text<'de>, Option<&'de RawValue>>()? {
            let Some(params) = params else { continue };
            if one.replace(One { name, params }).is_some() {
                return Err(serde::de::Error::custom("two commands"));
            }
        }
        one.ok_or_else(|| serde::de::Error::custom("no command"))
    }
}
