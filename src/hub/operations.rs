//! What back ends and operators ask for, done.

use super::beginning::{Purpose, Wish};
use super::client::{Client, Stage};
use super::codes::{ErrorCode, UnsubscribeCode};
use super::operation::{
    ConnectionDetails, ConnectionEvent, ConnectionFilter, ConnectionRow, ConnectionState, Expiry, Letter, NodeInfo,
    Operation, Outcome, Target, Whose,
};
use super::publishing::{MAX_KEY_BYTES, fits_a_push, has_history, has_presence, history_bounds};
use super::recovery::Recover;
use super::session::Secret;
use super::waiting::{Operating, Wait};
use super::{Hub, namespace, push};
use crate::config::Namespace;
use crate::connection::{CloseReason, LocalReason};
use crate::engine::{Engine, Publish, Query, Request};
use crate::gateway::{ConnId, ConnectionInfo, Context};
use crate::wire::Wire;

impl<E: Engine> Hub<E> {
    /// Does what a back end or an operator asks for; what came of it is told by [`Hub::poll_outcome`] under this ticket,
    /// which the asker has chosen.
    pub fn operate(&mut self, cx: &mut Context<'_>, ticket: u64, operation: Operation) {
        if let Some(outcome) = self.begin_operation(cx, ticket, operation).transpose() {
            self.outcomes.push_back((ticket, outcome));
        }
        self.settle(cx);
    }

    /// What has come of operations.
    pub fn poll_outcome(&mut self) -> Option<(u64, Result<Outcome, ErrorCode>)> {
        self.outcomes.pop_front()
    }

    /// `None` where the engine has to answer first.
    fn begin_operation(
        &mut self,
        cx: &mut Context<'_>,
        ticket: u64,
        operation: Operation,
    ) -> Result<Option<Outcome>, ErrorCode> {
        match operation {
            Operation::Publish { channel, letter } => {
                let request = self.publication(cx, &channel, &letter)?;
                self.operate_on_engine(cx, ticket, request, None)
            }
            Operation::Broadcast { channels, letter } => self.broadcast(cx, ticket, &channels, &letter),
            Operation::Presence { channel } => {
                has_presence(self.rules(&channel)?)?;
                self.operate_on_engine(cx, ticket, Request::Presence { channel: (*channel).into() }, None)
            }
            Operation::PresenceStats { channel } => {
                has_presence(self.rules(&channel)?)?;
                self.operate_on_engine(cx, ticket, Request::PresenceStats { channel: (*channel).into() }, None)
            }
            Operation::History { channel, query } => {
                has_history(self.rules(&channel)?)?;
                let query = Query { limit: query.limit.min(MAX_HISTORY), ..query };
                let since = query.since.clone().filter(|_| query.limit > 0 && !query.reverse);
                self.operate_on_engine(cx, ticket, Request::History { channel: (*channel).into(), query }, since)
            }
            Operation::HistoryRemove { channel } => {
                has_history(self.rules(&channel)?)?;
                self.operate_on_engine(cx, ticket, Request::RemoveHistory { channel: (*channel).into() }, None)
            }
            other => self.operate_at_once(cx, other).map(Some),
        }
    }

    fn operate_at_once(&mut self, cx: &mut Context<'_>, operation: Operation) -> Result<Outcome, ErrorCode> {
        match operation {
            Operation::Subscribe { whose, channel, info: _, data: _, recover_since } => {
                self.rules(&channel)?;
                let recover = recover_since.map(|(offset, epoch)| Recover { offset, epoch });
                for id in self.connections_of(cx, &whose)? {
                    let wish = Wish::server_side(Purpose::Push, recover.clone());
                    self.begin_subscription(cx, id, &(*channel).into(), wish);
                }
                Ok(Outcome::Done)
            }
            Operation::Unsubscribe { whose, channel } => {
                for id in self.connections_of(cx, &whose)? {
                    self.unsubscribe_from(cx, id, &channel);
                }
                Ok(Outcome::Done)
            }
            Operation::Disconnect { whose, whitelist, farewell } => {
                for id in self.connections_of(cx, &whose)? {
                    let text = cx.text(id).to_string();
                    if !whitelist.iter().any(|stays| **stays == *text) {
                        self.put_out(cx, id, farewell.as_ref());
                    }
                }
                Ok(Outcome::Done)
            }
            Operation::Refresh { whose, expiry } => {
                for id in self.connections_of(cx, &whose)? {
                    self.change_expiry(cx, id, expiry);
                }
                Ok(Outcome::Done)
            }
            Operation::Channels { pattern } => Ok(Outcome::Channels(self.channels_like(pattern.as_deref()))),
            Operation::Info => Ok(Outcome::Info(self.info(cx))),
            Operation::Connections { filter, after, limit } => {
                Ok(self.connections(cx, &filter, after.as_deref(), limit))
            }
            Operation::Connection { client } => {
                let id = cx.find(&client).ok_or(ErrorCode::BadRequest)?;
                let found = self.clients.get(id).zip(cx.connection(id));
                let (client, info) = found.ok_or(ErrorCode::BadRequest)?;
                Ok(Outcome::Connection(Box::new(self.details(cx, client, &info))))
            }
            Operation::Send { target, data } => Ok(Outcome::Sent(self.send_to(cx, &target, &data))),
            Operation::Publish { .. }
            | Operation::Broadcast { .. }
            | Operation::Presence { .. }
            | Operation::PresenceStats { .. }
            | Operation::History { .. }
            | Operation::HistoryRemove { .. } => Err(ErrorCode::Internal),
        }
    }

    fn broadcast(
        &mut self,
        cx: &mut Context<'_>,
        ticket: u64,
        channels: &[Box<str>],
        letter: &Letter,
    ) -> Result<Option<Outcome>, ErrorCode> {
        let mut parts = Vec::with_capacity(channels.len());
        let mut remaining = 0;
        for (part, channel) in channels.iter().enumerate() {
            let asked = self.publication(cx, channel, letter).and_then(|request| {
                let wait = Wait::Operation { ticket, part };
                self.submit(cx, request, Some(wait)).map_err(|_| ErrorCode::TooBusy)
            });
            remaining += usize::from(asked.is_ok());
            parts.push(asked.map(|()| None));
        }
        if remaining == 0 {
            return Ok(Some(Outcome::Broadcast(parts)));
        }
        self.operating.insert(ticket, Operating { remaining, parts: Some(parts), since: None });
        Ok(None)
    }

    fn operate_on_engine(
        &mut self,
        cx: &mut Context<'_>,
        ticket: u64,
        request: Request,
        since: Option<(u64, crate::engine::Epoch)>,
    ) -> Result<Option<Outcome>, ErrorCode> {
        self.submit(cx, request, Some(Wait::Operation { ticket, part: 0 })).map_err(|_| ErrorCode::TooBusy)?;
        self.operating.insert(ticket, Operating { remaining: 1, parts: None, since });
        Ok(None)
    }

    fn publication(&self, cx: &Context<'_>, channel: &str, letter: &Letter) -> Result<Request, ErrorCode> {
        let rules = self.rules(channel)?;
        let key = letter.idempotency_key.clone().filter(|key| !key.is_empty());
        if key.as_ref().is_some_and(|key| key.len() > MAX_KEY_BYTES) {
            return Err(ErrorCode::BadRequest);
        }
        let body = push::publication_body(&letter.data, None, letter.tags.as_deref());
        if !fits_a_push(cx, channel, &body) {
            return Err(ErrorCode::LimitExceeded);
        }
        Ok(Request::Publish(Publish {
            channel: channel.into(),
            body,
            history: history_bounds(rules).filter(|_| !letter.skip_history),
            idempotency_key: key,
        }))
    }

    fn rules(&self, channel: &str) -> Result<&Namespace, ErrorCode> {
        if !namespace::is_channel_name(channel, self.settings.max_channel_name_bytes) {
            return Err(ErrorCode::BadRequest);
        }
        self.namespaces.of(channel).map(|key| self.namespaces.get(key)).ok_or(ErrorCode::UnknownChannel)
    }

    /// Connected clients of a user, or the one that is named besides.
    fn connections_of(&self, cx: &Context<'_>, whose: &Whose) -> Result<Vec<ConnId>, ErrorCode> {
        if whose.user.is_empty() && whose.client.is_none() && whose.session.is_none() {
            return Err(ErrorCode::BadRequest);
        }
        let of_session = whose.session.as_deref().map(|text| self.holder(text));
        let of_client = whose.client.as_deref().map(|text| cx.find(text));
        let candidates: Vec<ConnId> = match (of_client, of_session) {
            (Some(client), Some(session)) => client.filter(|_| client == session).into_iter().collect(),
            (Some(one), None) | (None, Some(one)) => one.into_iter().collect(),
            (None, None) => self.users.get(&*whose.user).map(|connections| connections.to_vec()).unwrap_or_default(),
        };
        let is_theirs = |id: &ConnId| {
            let client = self.clients.get(*id).filter(|client| client.stage == Stage::Connected);
            client.is_some_and(|client| *client.user == *whose.user)
        };
        Ok(candidates.into_iter().filter(is_theirs).collect())
    }

    fn holder(&self, session: &str) -> Option<ConnId> {
        self.clients.holder(Secret::parse(session)?)
    }

    fn unsubscribe_from(&mut self, cx: &mut Context<'_>, id: ConnId, channel: &str) {
        let keys: Vec<_> = if channel.is_empty() {
            let client = self.clients.get(id);
            client.map(|client| client.subscriptions.iter().map(|each| each.channel).collect()).unwrap_or_default()
        } else {
            self.channels.find(channel).into_iter().collect()
        };
        for key in keys {
            self.end_subscription(cx, id, key, UnsubscribeCode::ByServer);
        }
    }

    fn put_out(&mut self, cx: &mut Context<'_>, id: ConnId, farewell: Option<&(u16, Box<str>)>) {
        match farewell {
            None => cx.close(id, CloseReason::Local(LocalReason::Kicked)),
            Some((code, words)) => cx.close_with(id, CloseReason::Local(LocalReason::Custom), *code, words),
        }
        if self.ends_session(farewell.map(|(code, _)| *code))
            && self.clients.get_mut(id).and_then(|client| client.session.take()).is_some()
        {
            self.sessions.end();
        }
    }

    /// Whether a close code means that the client has to stay away.
    fn ends_session(&self, code: Option<u16>) -> bool {
        matches!(code, None | Some(3500..=3999 | 4500..=4999))
    }

    fn change_expiry(&mut self, cx: &mut Context<'_>, id: ConnId, expiry: Expiry) {
        let now = super::connecting::unix_seconds(cx);
        let expires_at = match expiry {
            Expiry::At(at) if at > now => Some(at),
            Expiry::Never => None,
            Expiry::Now | Expiry::At(_) => return cx.close(id, CloseReason::Local(LocalReason::Expired)),
        };
        self.set_expiry(cx, id, expires_at);
        let text = push::refresh(expires_at.map(|at| at.saturating_sub(now)));
        self.outbox.tell(cx, id, |out| out.extend_from_slice(&text));
    }

    fn send_to(&mut self, cx: &mut Context<'_>, target: &Target, data: &str) -> usize {
        let ids: Vec<ConnId> = match target {
            Target::Client(text) => cx.find(text).into_iter().collect(),
            Target::Session(text) => self.holder(text).into_iter().collect(),
            Target::User(user) => self.users.get(&**user).map(|connections| connections.to_vec()).unwrap_or_default(),
        };
        let text = push::message(data);
        let mut sent = 0;
        for id in ids {
            if self.clients.get(id).is_some_and(|client| client.stage == Stage::Connected) {
                self.outbox.tell(cx, id, |out| out.extend_from_slice(&text));
                sent += 1;
            }
        }
        sent
    }

    fn channels_like(&self, pattern: Option<&str>) -> Vec<(crate::engine::ChannelName, usize)> {
        let all = self.channels.iter().map(|(_, channel)| (channel.name.clone(), channel.subscribers.len()));
        let mut found: Vec<_> = all.filter(|(name, _)| pattern.is_none_or(|pattern| is_like(name, pattern))).collect();
        found.sort_unstable();
        found
    }

    fn info(&self, cx: &Context<'_>) -> NodeInfo {
        let clients = self.clients.iter().filter(|(_, client)| client.stage == Stage::Connected).count();
        NodeInfo {
            uid: format!("{:032x}", self.uid),
            name: "tidegate".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            clients,
            users: self.users.len(),
            channels: self.channels.len(),
            subscriptions: self.channels.iter().map(|(_, channel)| channel.subscribers.len()).sum(),
            uptime_secs: cx.now().as_millis() / 1000,
        }
    }

    fn connections(&self, cx: &Context<'_>, filter: &ConnectionFilter, after: Option<&str>, limit: usize) -> Outcome {
        let after = after.and_then(|text| cx.find(text)).map(ConnId::slot);
        let key = filter.channel.as_deref().map(|channel| self.channels.find(channel));
        let mut rows = Vec::new();
        let later = self.clients.iter().filter(|(id, _)| after.is_none_or(|after| id.slot() > after));
        for (id, client) in later {
            let Some(info) = cx.connection(id) else {
                continue;
            };
            let row = self.row(cx, client, &info);
            let fits = filter.user.as_deref().is_none_or(|user| *user == *client.user)
                && key.is_none_or(|key| key.is_some_and(|key| client.subscription(key).is_some()))
                && filter.ip.is_none_or(|ip| info.peer.ip() == Some(ip))
                && filter.state.is_none_or(|state| state == row.state);
            if fits && rows.len() == limit {
                let next = rows.last().map(|row: &ConnectionRow| row.client.clone());
                return Outcome::Connections { rows, next };
            }
            if fits {
                rows.push(row);
            }
        }
        Outcome::Connections { rows, next: None }
    }

    fn row(&self, cx: &Context<'_>, client: &Client, info: &ConnectionInfo) -> ConnectionRow {
        let (name, version) = self.agents.get(client.agent);
        ConnectionRow {
            client: cx.text(info.id).to_string(),
            user: client.user.clone(),
            address: info.peer.to_string(),
            transport: match info.wire {
                Wire::WebSocket => "websocket",
                Wire::Line => "line",
                Wire::Length => "length",
                Wire::Raw => "raw",
            },
            state: match client.stage {
                Stage::Fresh | Stage::Connecting => ConnectionState::Connecting,
                Stage::Connected => ConnectionState::Connected,
                Stage::Refused => ConnectionState::Closing,
            },
            app_name: name.to_owned(),
            app_version: version.to_owned(),
            since_unix_secs: unix_millis_of(cx, info.opened_at) / 1000,
            channels: client.subscriptions.len(),
        }
    }

    fn details(&self, cx: &Context<'_>, client: &Client, info: &ConnectionInfo) -> ConnectionDetails {
        let keys = client.subscriptions.iter().map(|subscription| subscription.channel);
        let event =
            |at, words: &str| ConnectionEvent { at_unix_millis: unix_millis_of(cx, at), words: words.to_owned() };
        ConnectionDetails {
            row: self.row(cx, client, info),
            channels: keys.filter_map(|key| Some(self.channels.get(key)?.name.clone())).collect(),
            queued_bytes: info.queued_bytes,
            events: vec![event(info.opened_at, "accepted"), event(info.last_received, "a byte came last")],
        }
    }
}

/// Publications that a back end gets at once.
const MAX_HISTORY: usize = 10_000;

/// A moment of the gateway's clock for people.
fn unix_millis_of(cx: &Context<'_>, at: crate::timer::Time) -> u64 {
    cx.unix_millis().saturating_sub(cx.now().as_millis().saturating_sub(at.as_millis()))
}

/// Whether a name fits a pattern in which `*` stands for any text and `?` for any character. Linear in memory, and in
/// time at most the product of both lengths.
fn is_like(name: &str, pattern: &str) -> bool {
    let (name, pattern): (Vec<char>, Vec<char>) = (name.chars().collect(), pattern.chars().collect());
    let (mut at, mut with, mut star) = (0, 0, None);
    while at < name.len() {
        match pattern.get(with) {
            Some('*') => {
                star = Some((with + 1, at));
                with += 1;
            }
            Some('?') => (at, with) = (at + 1, with + 1),
            Some(c) if *c == name[at] => (at, with) = (at + 1, with + 1),
            _ => match &mut star {
                Some((behind, from)) => {
                    *from += 1;
                    (at, with) = (*from, *behind);
                }
                None => return false,
            },
        }
    }
    pattern[with.min(pattern.len())..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::is_like;

    #[test]
    fn patterns_fit_as_shells_do() {
        for (name, pattern, fits) in [
            ("chat:one", "chat:*", true),
            ("chat:one", "*one", true),
            ("chat:one", "c*t:*n?", true),
            ("chat:one", "chat", false),
            ("chat", "chat?", false),
            ("chat", "chat*", true),
            ("", "*", true),
            ("aaaaaaaaab", "*a*a*a*c", false),
            ("räum", "r?um", true),
        ] {
            assert_eq!(is_like(name, pattern), fits, "{name} {pattern}");
        }
    }
}
