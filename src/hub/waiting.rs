//! Who waits for which answer of the engine, and what becomes of them when it comes.

use super::Hub;
use super::beginning::SubscribeWait;
use super::codes::ErrorCode;
use super::operation::Outcome;
use super::reply;
use crate::engine::{ChannelName, Done, Engine, EngineError, Epoch, Position, Query, Ticket};
use crate::gateway::{ConnId, Context};
use slab::Slab;

/// Who waits.
#[derive(Debug)]
pub(super) enum Wait {
    /// A subscription that is being made.
    Subscribe(Box<SubscribeWait>),
    /// A client's command.
    Command {
        id: ConnId,
        command: u32,
        /// Of a history: what it is asked for after.
        since: Option<(u64, Epoch)>,
        kind: CommandKind,
    },
    /// A subscriber that lags.
    CatchUp { id: ConnId, channel: ChannelName, query: Query },
    /// A channel whose position has to be looked at.
    Check { channel: ChannelName, serial: u64 },
    /// A channel that the engine is to tell of.
    Heard { channel: ChannelName },
    /// A part of a back end's operation.
    Operation { ticket: u64, part: usize },
}

/// What a client has asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CommandKind {
    Publish,
    /// It wants to know where, too.
    PublishWithKey,
    History,
    Presence,
    PresenceStats,
}

/// A back end's operation, part of which the engine has not answered.
#[derive(Debug)]
pub(super) struct Operating {
    pub(super) remaining: usize,
    /// Of a broadcast.
    pub(super) parts: Option<Vec<Result<Option<Position>, ErrorCode>>>,
    /// Of a history: what it is asked for after.
    pub(super) since: Option<(u64, Epoch)>,
}

/// Who waits, by ticket: a place in a table, and a count that makes it another one each time. So an answer finds who asked
/// without a hash.
#[derive(Debug, Default)]
pub(super) struct Waits {
    table: Slab<(Ticket, Wait)>,
    count: u32,
}

/// The place in a ticket with which nobody waits.
const NOWHERE: usize = u32::MAX as usize;
/// Room that stays when nobody waits any more.
const MAX_KEPT: usize = 1_024;

impl Waits {
    /// Who waits for answers.
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// A ticket for a request, and for who waits for its answer, if anybody does.
    pub(super) fn add(&mut self, wait: Option<Wait>) -> Ticket {
        self.count = self.count.wrapping_add(1);
        let place = if wait.is_some() { self.table.vacant_key() } else { NOWHERE };
        assert!(place <= NOWHERE, "fewer than 2^32 wait");
        let ticket = Ticket(u64::from(self.count) << 32 | place as u64);
        if let Some(wait) = wait {
            self.table.insert((ticket, wait));
        }
        ticket
    }

    /// Who waits for this answer.
    pub(super) fn take(&mut self, ticket: Ticket) -> Option<Wait> {
        let place = (ticket.0 & NOWHERE as u64) as usize;
        self.table.get(place).filter(|(own, _)| *own == ticket)?;
        let (_, wait) = self.table.remove(place);
        if self.table.is_empty() && self.table.capacity() > MAX_KEPT {
            self.table = Slab::new();
        }
        Some(wait)
    }
}

impl<E: Engine> Hub<E> {
    pub(super) fn resolve(&mut self, cx: &mut Context<'_>, wait: Wait, result: Result<Done, EngineError>) {
        match wait {
            Wait::Subscribe(wait) => self.on_subscribe_read(cx, *wait, result),
            Wait::Command { id, command, since, kind } => {
                self.answer(cx, id, command, since.as_ref(), kind, result);
                self.release(id);
            }
            Wait::CatchUp { id, channel, query } => self.on_catch_up_read(cx, id, &channel, query, result),
            Wait::Check { channel, serial } => self.on_position_read(cx, &channel, serial, result),
            // Nobody may believe to hear of a channel of which the engine says nothing.
            Wait::Heard { channel } if result.is_err() => self.end_all(cx, &channel),
            Wait::Heard { .. } => {}
            Wait::Operation { ticket, part } => self.on_operation_part(ticket, part, result),
        }
    }

    /// One answer less is due to this client; with none left its next command begins.
    pub(super) fn release(&mut self, id: ConnId) {
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        client.awaited = client.awaited.saturating_sub(1);
        if client.awaited == 0 && !self.outbox.is_for(id) {
            self.freed.push_back(id);
        }
    }

    fn answer(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        command: u32,
        since: Option<&(u64, Epoch)>,
        kind: CommandKind,
        result: Result<Done, EngineError>,
    ) {
        let done = match result {
            Ok(done) => done,
            Err(error) => return self.fail(cx, id, command, error_code(&error)),
        };
        if let (Done::History(page), Some(since)) = (&done, since)
            && !page.follows(since)
        {
            return self.fail(cx, id, command, ErrorCode::UnrecoverablePosition);
        }
        let fits = self.outbox.try_tell(cx, id, |out| match done {
            Done::Published(position) => {
                reply::published(out, command, position.as_ref().filter(|_| kind == CommandKind::PublishWithKey));
            }
            Done::History(page) => reply::history(out, command, &page),
            Done::Presence(members) => reply::presence(out, command, &members),
            Done::PresenceStats { clients, users } => reply::presence_stats(out, command, clients, users),
            Done::Nothing => reply::error(out, command, ErrorCode::Internal),
        });
        if !fits {
            self.fail(cx, id, command, ErrorCode::LimitExceeded);
        }
    }

    fn on_operation_part(&mut self, ticket: u64, part: usize, result: Result<Done, EngineError>) {
        let Some(operating) = self.operating.get_mut(&ticket) else {
            return;
        };
        let result = result.map_err(|error| error_code(&error));
        if let Some(parts) = &mut operating.parts {
            let position = match result {
                Ok(Done::Published(position)) => Ok(position),
                Ok(_) => Ok(None),
                Err(error) => Err(error),
            };
            if let Some(slot) = parts.get_mut(part) {
                *slot = position;
            }
            operating.remaining -= 1;
            if operating.remaining == 0
                && let Some(parts) = self.operating.remove(&ticket).and_then(|operating| operating.parts)
            {
                self.outcomes.push_back((ticket, Ok(Outcome::Broadcast(parts))));
            }
            return;
        }
        let since = self.operating.remove(&ticket).and_then(|operating| operating.since);
        let outcome = result.and_then(|done| match done {
            Done::Published(position) => Ok(Outcome::Published(position)),
            Done::History(page) if since.is_some_and(|since| !page.follows(&since)) => {
                Err(ErrorCode::UnrecoverablePosition)
            }
            Done::History(page) => Ok(Outcome::History(page)),
            Done::Presence(members) => Ok(Outcome::Presence(members)),
            Done::PresenceStats { clients, users } => Ok(Outcome::PresenceStats { clients, users }),
            Done::Nothing => Ok(Outcome::Done),
        });
        self.outcomes.push_back((ticket, outcome));
    }
}

/// What a client is told when the engine fails.
pub(super) fn error_code(error: &EngineError) -> ErrorCode {
    match error {
        EngineError::Unavailable(_) => ErrorCode::Internal,
        EngineError::LimitExceeded => ErrorCode::LimitExceeded,
    }
}
