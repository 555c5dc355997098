//! Questions of the program's, from when they are taken until they are answered or the connection breaks.

use super::commands::{Asked, Channel, Commands, FRAME_BYTES, command, parameters};
use super::post::Post;
use super::{Json, Position, RequestId};
use crate::client::Refusal;
use crate::timer::Time;
use serde::Serialize;
use std::collections::VecDeque;

/// What a hub can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Who is in a channel.
    Presence {
        /// Which.
        channel: String,
    },
    /// How many are in a channel.
    PresenceStats {
        /// Which.
        channel: String,
    },
    /// What is in a channel's history.
    History {
        /// Which.
        channel: String,
        /// How many publications at most; 0 asks for the position alone, -1 for as many as the server gives.
        limit: i32,
        /// Only those after it, or before it in reverse.
        since: Option<Position>,
        /// The newest first.
        reverse: bool,
    },
    /// Whatever the server's application makes of it.
    Rpc {
        /// What it is called there.
        method: String,
        /// What it is given.
        data: Json,
    },
}

/// Requests that have not left, and how many there are in all.
#[derive(Debug, Default)]
pub(super) struct Requests {
    last: u64,
    ready: VecDeque<(RequestId, &'static str, Vec<u8>)>,
    /// Those that have left too.
    open: usize,
}

#[derive(Serialize)]
struct History<'a> {
    channel: &'a str,
    limit: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Since<'a>>,
    reverse: bool,
}

#[derive(Serialize)]
struct Since<'a> {
    offset: u64,
    epoch: &'a str,
}

#[derive(Serialize)]
struct Rpc<'a> {
    method: &'a str,
    data: &'a Json,
}

impl Requests {
    /// Takes a request that fits into a message of `max_bytes`, unless there are `max` already.
    pub(super) fn push(&mut self, request: &Request, max: usize, max_bytes: usize) -> Result<RequestId, Refusal> {
        if self.open >= max {
            return Err(Refusal::TooManyMessages(max));
        }
        let parameters = request.parameters();
        if parameters.len() + FRAME_BYTES > max_bytes {
            return Err(Refusal::MessageTooLarge(max_bytes));
        }
        self.last += 1;
        self.open += 1;
        self.ready.push_back((RequestId(self.last), request.method(), parameters));
        Ok(RequestId(self.last))
    }

    /// Hands out what has not left.
    pub(super) fn send(&mut self, commands: &mut Commands, post: &mut Post<'_>, now: Time) {
        while post.has_room()
            && let Some((request, method, parameters)) = self.ready.pop_front()
        {
            let id = commands.ask(Asked::Request(request, method), now);
            post.push(&command(id, method, &parameters));
        }
    }

    /// Those that have not left and never will.
    pub(super) fn take(&mut self) -> impl Iterator<Item = RequestId> {
        std::mem::take(&mut self.ready).into_iter().map(|(request, ..)| request)
    }

    /// One of those that were handed out is over.
    pub(super) fn settle(&mut self) {
        self.open -= 1;
    }
}

impl Request {
    fn method(&self) -> &'static str {
        match self {
            Request::Presence { .. } => "presence",
            Request::PresenceStats { .. } => "presence_stats",
            Request::History { .. } => "history",
            Request::Rpc { .. } => "rpc",
        }
    }

    fn parameters(&self) -> Vec<u8> {
        match self {
            Request::Presence { channel } | Request::PresenceStats { channel } => parameters(&Channel { channel }),
            Request::History { channel, limit, since, reverse } => {
                let since = since.as_ref().map(|since| Since { offset: since.offset, epoch: &since.epoch });
                parameters(&History { channel, limit: *limit, since, reverse: *reverse })
            }
            Request::Rpc { method, data } => parameters(&Rpc { method, data }),
        }
    }
}
