//! The HTTP API for back ends and operators: requests in, operations out; outcomes in, responses out. Knows the forms
//! of Centrifugo's API and nothing of channels; opens no connection and keeps no clock.

mod answer;
mod batch;
mod parse;
#[cfg(test)]
mod tests;

use super::Access;
use crate::gateway::{ConnId, Request};
use crate::hub::codes::ErrorCode;
use crate::hub::operation::{Operation, Outcome};
use crate::wire::http::{Method, Response, Status};
use batch::Batch;
use parse::Command;
use serde_json::value::RawValue;
use std::collections::HashMap;

/// Where operations go: each with a ticket of its own, under which its outcome is to come to [`Api::complete`].
pub type Submit<'s> = dyn FnMut(u64, Operation) + 's;

/// Requests whose answer is due. A connection has at most one.
#[derive(Debug, Default)]
pub struct Api {
    calls: HashMap<u64, Call>,
    /// Each connection that waits, and for which call.
    waiting: HashMap<ConnId, u64>,
    /// Bytes of the bodies of all that wait.
    held_bytes: usize,
    next_call: u64,
}

/// A request whose answer is due.
#[derive(Debug)]
struct Call {
    id: ConnId,
    body_bytes: usize,
    work: Work,
}

#[derive(Debug)]
enum Work {
    One,
    Batch(Batch),
}

/// Requests that may wait at a time; more get status 503.
pub const MAX_WAITING: usize = 10_000;

/// Bytes of bodies that may wait at a time; more get status 503.
pub const MAX_WAITING_BYTES: usize = 64 << 20;

/// Bits of a ticket that say which command of a batch it is.
const INDEX_BITS: u32 = 16;

impl Api {
    /// Begins to answer a request for a path under `/api/`. `None`: the answer will come from [`Api::complete`].
    ///
    /// A response at once is one of
    /// - 401, 403: not for this caller, see [`Access`]
    /// - 405: not a POST; 404: no such method; 400: not JSON
    /// - 503: too much waits already
    /// - 200 with an error, where the parameters are wrong, or with the result of an empty batch.
    pub fn begin(
        &mut self,
        id: ConnId,
        request: &Request<'_>,
        access: &Access<'_>,
        submit: &mut Submit<'_>,
    ) -> Option<Response> {
        self.forget(id);
        match self.try_begin(id, request, access, submit) {
            Ok(answer) => answer,
            Err(Status::MethodNotAllowed) => {
                Some(Response::refusal(Status::MethodNotAllowed).with_field("Allow", "POST"))
            }
            Err(status) => Some(Response::refusal(status)),
        }
    }

    /// Takes what came of an operation. When it was the last that a request waited for: whose it was, and the answer.
    /// An unknown ticket is that of a request forgotten meanwhile.
    pub fn complete(
        &mut self,
        ticket: u64,
        outcome: Result<Outcome, ErrorCode>,
        submit: &mut Submit<'_>,
    ) -> Option<(ConnId, Response)> {
        let (number, index) = split_ticket(ticket);
        let call = self.calls.get_mut(&number)?;
        let (id, response) = match &mut call.work {
            Work::One => (call.id, answer::response(&outcome)),
            Work::Batch(batch) => {
                batch.complete(index, &outcome);
                batch.submit(|index, operation| submit(ticket_of(number, index), operation));
                (call.id, batch.response()?)
            }
        };
        self.forget(id);
        Some((id, response))
    }

    /// The connection has ended: its request, if it has one, needs no answer.
    pub fn forget(&mut self, id: ConnId) {
        if let Some(number) = self.waiting.remove(&id) {
            let call = self.calls.remove(&number).expect("each that waits has a call");
            self.held_bytes -= call.body_bytes;
        }
    }

    /// How many requests wait for their answer.
    pub fn waiting(&self) -> usize {
        assert_eq!(self.calls.len(), self.waiting.len(), "a call for each that waits");
        self.calls.len()
    }

    fn try_begin(
        &mut self,
        id: ConnId,
        request: &Request<'_>,
        access: &Access<'_>,
        submit: &mut Submit<'_>,
    ) -> Result<Option<Response>, Status> {
        access.check(request)?;
        let method = request.head.path.strip_prefix("/api/").ok_or(Status::NotFound)?;
        let command = Command::named(method);
        if command.is_none() && method != "batch" {
            return Err(Status::NotFound);
        }
        if request.head.method != Method::Post {
            return Err(Status::MethodNotAllowed);
        }
        let params: &RawValue = serde_json::from_slice(request.body).map_err(|_| Status::BadRequest)?;
        if self.calls.len() >= MAX_WAITING || self.held_bytes + request.body.len() > MAX_WAITING_BYTES {
            return Err(Status::Unavailable);
        }
        Ok(match command {
            Some(command) => self.begin_one(id, command, params, submit),
            None => self.begin_batch(id, params, submit),
        })
    }

    fn begin_one(
        &mut self,
        id: ConnId,
        command: Command,
        params: &RawValue,
        submit: &mut Submit<'_>,
    ) -> Option<Response> {
        match command.operation(params) {
            Err(code) => Some(answer::response(&Err(code))),
            Ok(operation) => {
                let number = self.wait(id, params.get().len(), Work::One);
                submit(ticket_of(number, 0), operation);
                None
            }
        }
    }

    fn begin_batch(&mut self, id: ConnId, params: &RawValue, submit: &mut Submit<'_>) -> Option<Response> {
        let mut batch = match Batch::parse(params) {
            Err(code) => return Some(answer::response(&Err(code))),
            Ok(batch) => batch,
        };
        let number = self.next_call;
        batch.submit(|index, operation| submit(ticket_of(number, index), operation));
        let response = batch.response();
        if response.is_none() {
            self.wait(id, params.get().len(), Work::Batch(batch));
        }
        response
    }

    /// Notes that a call waits, and gives its number.
    fn wait(&mut self, id: ConnId, body_bytes: usize, work: Work) -> u64 {
        let number = self.next_call;
        self.next_call += 1;
        self.held_bytes += body_bytes;
        self.calls.insert(number, Call { id, body_bytes, work });
        self.waiting.insert(id, number);
        number
    }
}

fn ticket_of(number: u64, index: u16) -> u64 {
    number << INDEX_BITS | u64::from(index)
}

fn split_ticket(ticket: u64) -> (u64, u16) {
    (ticket >> INDEX_BITS, (ticket & u64::from(u16::MAX)) as u16)
}
