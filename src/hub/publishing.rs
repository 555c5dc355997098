//! Commands about what is published and who is there.

use super::Hub;
use super::client::Client;
use super::codes::ErrorCode;
use super::command::{self, History};
use super::namespace::{self, Asker};
use super::outbox::largest_message;
use super::push;
use super::waiting::{CommandKind, Wait};
use crate::config::Namespace;
use crate::connection::Bucket;
use crate::engine::{Engine, Epoch, HistoryBounds, PublicationBody, Publish, Query, Request};
use crate::gateway::{ConnId, Context};
use serde_json::value::RawValue;

/// Bytes of an idempotency key.
pub(super) const MAX_KEY_BYTES: usize = 255;

impl<E: Engine> Hub<E> {
    pub(super) fn publish(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        command: u32,
        channel: &str,
        data: Option<&RawValue>,
        key: Option<&str>,
    ) {
        let asked = self.look_up(id, channel, namespace::may_publish);
        let (Ok(rules), Some(data)) = (asked, data) else {
            return self.fail(cx, id, command, asked.err().unwrap_or(ErrorCode::BadRequest));
        };
        if key.is_some_and(|key| key.is_empty() || key.len() > MAX_KEY_BYTES) {
            return self.fail(cx, id, command, ErrorCode::BadRequest);
        }
        let history = history_bounds(rules);
        if !self.takes_publication(cx, id) {
            return self.fail(cx, id, command, ErrorCode::TooManyRequests);
        }
        let Some(info) = self.clients.get_mut(id).map(|client| client.told(|| cx.text(id))) else {
            return;
        };
        let body = push::publication_body(&command::compact(data), Some(&info), None);
        if !fits_a_push(cx, channel, &body) {
            return self.fail(cx, id, command, ErrorCode::LimitExceeded);
        }
        let publish =
            Publish { channel: self.channels.name(channel), body, history, idempotency_key: key.map(Into::into) };
        let kind = if key.is_some() { CommandKind::PublishWithKey } else { CommandKind::Publish };
        self.ask(cx, id, command, None, kind, Request::Publish(publish));
    }

    pub(super) fn presence(&mut self, cx: &mut Context<'_>, id: ConnId, command: u32, channel: &str) {
        let request = Request::Presence { channel: channel.into() };
        self.ask_who_is_there(cx, id, command, channel, CommandKind::Presence, request);
    }

    pub(super) fn presence_stats(&mut self, cx: &mut Context<'_>, id: ConnId, command: u32, channel: &str) {
        let request = Request::PresenceStats { channel: channel.into() };
        self.ask_who_is_there(cx, id, command, channel, CommandKind::PresenceStats, request);
    }

    fn ask_who_is_there(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        command: u32,
        channel: &str,
        kind: CommandKind,
        request: Request,
    ) {
        match self.look_up(id, channel, |_, _, asker| namespace::may_look(asker)).and_then(has_presence) {
            Err(code) => self.fail(cx, id, command, code),
            Ok(()) => self.ask(cx, id, command, None, kind, request),
        }
    }

    pub(super) fn history(&mut self, cx: &mut Context<'_>, id: ConnId, command: u32, asked: &History<'_>) {
        let rules = self.look_up(id, &asked.channel, |_, _, asker| namespace::may_look(asker));
        if let Err(code) = rules.and_then(has_history) {
            return self.fail(cx, id, command, code);
        }
        let max = self.settings.recovery_limit;
        let limit = usize::try_from(asked.limit).map_or(max, |limit| limit.min(max));
        let since = asked.since.as_ref().map(|since| (since.offset, Epoch::from(&*since.epoch)));
        let query = Query { since: since.clone(), limit, reverse: asked.reverse };
        let request = Request::History { channel: (&*asked.channel).into(), query };
        self.ask(cx, id, command, since.filter(|_| limit > 0 && !asked.reverse), CommandKind::History, request);
    }

    /// Asks the engine for a client; its next command begins when the answer has come.
    fn ask(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        command: u32,
        since: Option<(u64, Epoch)>,
        kind: CommandKind,
        request: Request,
    ) {
        if self.submit(cx, request, Some(Wait::Command { id, command, since, kind })).is_err() {
            return self.fail(cx, id, command, ErrorCode::TooBusy);
        }
        if let Some(client) = self.clients.get_mut(id) {
            client.awaited += 1;
        }
    }

    /// The rules of a channel, where the client may do this there.
    fn look_up(
        &self,
        id: ConnId,
        channel: &str,
        may: impl FnOnce(&Namespace, &str, Asker<'_>) -> bool,
    ) -> Result<&Namespace, ErrorCode> {
        if !namespace::is_channel_name(channel, self.settings.max_channel_name_bytes) {
            return Err(ErrorCode::BadRequest);
        }
        let rules = self.namespaces.get(self.namespaces.of(channel).ok_or(ErrorCode::UnknownChannel)?);
        let client = self.clients.get(id).ok_or(ErrorCode::Internal)?;
        let asker = Asker {
            user: &client.user,
            has_token: false,
            is_subscribed: self.hears_of(client, channel),
            insecure: self.settings.insecure,
        };
        if may(rules, channel, asker) { Ok(rules) } else { Err(ErrorCode::PermissionDenied) }
    }

    fn hears_of(&self, client: &Client, channel: &str) -> bool {
        self.channels.find(channel).is_some_and(|key| client.subscription(key).is_some())
    }

    /// Counts a publication against the rate of its client.
    fn takes_publication(&mut self, cx: &Context<'_>, id: ConnId) -> bool {
        let (now, Some(per_second)) = (cx.now(), self.settings.max_publications_per_second) else {
            return true;
        };
        self.clients.get_mut(id).is_some_and(|client| {
            client.rare().publications.get_or_insert_with(|| Bucket::new(per_second, now)).take(1, now)
        })
    }
}

/// Whether subscribers can be sent a publication.
pub(super) fn fits_a_push(cx: &Context<'_>, channel: &str, body: &PublicationBody) -> bool {
    // A character of a name may take six to be written.
    body.len() + channel.len() * 6 + PUSH_ROOM <= largest_message(cx)
}

/// What stands around a publication's body and its channel's name.
const PUSH_ROOM: usize = 64;

/// What the history of a channel keeps, where it has one.
pub(super) fn history_bounds(rules: &Namespace) -> Option<HistoryBounds> {
    (rules.history_size > 0).then_some(HistoryBounds { size: rules.history_size, ttl: rules.history_ttl })
}

pub(super) fn has_presence(rules: &Namespace) -> Result<(), ErrorCode> {
    if rules.presence { Ok(()) } else { Err(ErrorCode::NotAvailable) }
}

pub(super) fn has_history(rules: &Namespace) -> Result<(), ErrorCode> {
    if rules.history_size > 0 { Ok(()) } else { Err(ErrorCode::NotAvailable) }
}
