//! Who a client is, and what it finds again: connect, refresh, sessions, the end of tokens.

use super::beginning::{Purpose, Subscribed, Wish};
use super::channel::Standing;
use super::client::{Client, Connecting, Stage};
use super::codes::ErrorCode;
use super::command::{self, Connect};
use super::few::Few;
use super::recovery::Recover;
use super::reply::{self, ConnectResult, RefreshResult, SubscribeResult};
use super::session::{Kept, Secret};
use super::token::TokenError;
use super::{Hub, Timer};
use crate::connection::{CloseReason, LocalReason};
use crate::engine::{Engine, Epoch};
use crate::gateway::{ConnId, Context};
use std::sync::Arc;
use std::time::Duration;

/// What is known of a client before its subscriptions.
struct Identity {
    user: String,
    info: Option<Box<str>>,
    expires_at: Option<u64>,
    channels: Vec<String>,
}

/// Why a client can't connect.
enum Refusal {
    Error(ErrorCode),
    Close(LocalReason),
}

impl<E: Engine> Hub<E> {
    pub(super) fn connect(&mut self, cx: &mut Context<'_>, id: ConnId, command: u32, connect: &Connect<'_>) {
        let identity = match self.identify(cx, &connect.token) {
            Ok(identity) => identity,
            Err(Refusal::Error(code)) => {
                if let Some(client) = self.clients.get_mut(id) {
                    client.stage = Stage::Refused;
                }
                return self.fail(cx, id, command, code);
            }
            Err(Refusal::Close(reason)) => return self.disconnect(cx, id, CloseReason::Local(reason)),
        };
        // Nobody in particular shares one name.
        let user: Arc<str> = if identity.user.is_empty() { Arc::default() } else { identity.user.into() };
        let (kept, resumed) = self.come_back(cx, connect.session.as_deref(), &user);
        let secret = Secret::new((self.secrets)(), id);
        let wishes = self.wishes(&identity.channels, kept, connect);
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        client.stage = Stage::Connecting;
        client.user = user.clone();
        client.info = identity.info;
        client.session = Some(secret);
        client.agent = self.agents.number(&connect.name, &connect.version);
        // Held until the last of the subscriptions is made, so that the reply does not go out before.
        client.rare().connecting =
            Some(Connecting { command, remaining: wishes.len() + 1, resumed, ready: Vec::new() });
        self.sessions.begin();
        // Nobody in particular is never looked for by name.
        if !user.is_empty() {
            match self.users.get_mut(&user) {
                Some(connections) => connections.push(id),
                None => _ = self.users.insert(user, Few::One(id)),
            }
        }
        self.set_expiry(cx, id, identity.expires_at);
        for (wish, channel) in wishes {
            self.begin_subscription(cx, id, &channel, wish);
        }
        self.on_connect_part(cx, id);
    }

    /// One of the subscriptions that a connect command waits for is made, or can't be.
    pub(super) fn on_connect_part(&mut self, cx: &mut Context<'_>, id: ConnId) {
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        let Some(rare) = client.rare.as_mut() else {
            return;
        };
        let Some(connecting) = rare.connecting.as_mut() else {
            return;
        };
        connecting.remaining -= 1;
        if connecting.remaining > 0 {
            return;
        }
        if let Some(connecting) = rare.connecting.take() {
            self.finish_connect(cx, id, connecting);
        }
    }

    fn finish_connect(&mut self, cx: &mut Context<'_>, id: ConnId, connecting: Connecting) {
        let mut made = Vec::with_capacity(connecting.ready.len());
        let mut room = self.room_to_recover(cx, id);
        for (key, wish, page) in &connecting.ready {
            let subscribed = self.settle_subscription(cx, id, *key, wish, page.as_deref(), room);
            room = room.saturating_sub(subscribed.as_ref().map_or(0, Subscribed::missed_bytes));
            let name = self.channels.get(*key).map(|channel| channel.name.clone());
            made.extend(name.zip(subscribed).map(|(name, subscribed)| (*key, name, subscribed)));
        }
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        client.stage = Stage::Connected;
        let expires_at = client.rare.as_ref().and_then(|rare| rare.expires_at);
        let session = client.session.map(|secret| secret.to_string());
        client.shed_rare();
        let text = cx.text(id).to_string();
        let subs: Vec<(&str, SubscribeResult<'_>)> =
            made.iter().map(|(_, channel, made)| (&**channel, made.result())).collect();
        let result = ConnectResult {
            client: &text,
            version: env!("CARGO_PKG_VERSION"),
            ping: cx.settings().heartbeat_interval.as_secs(),
            pong: !cx.settings().heartbeat_interval.is_zero(),
            session: session.as_deref(),
            resumed: connecting.resumed,
            ttl: expires_at.map(|at| at.saturating_sub(unix_seconds(cx))),
            data: None,
            subs: &subs,
        };
        self.outbox.tell(cx, id, |out| reply::connect(out, connecting.command, &result));
        cx.admit(id);
        for (key, ..) in made {
            self.add_member(cx, id, key);
        }
    }

    pub(super) fn refresh(&mut self, cx: &mut Context<'_>, id: ConnId, command: u32, token: &str) {
        if self.settings.insecure && !self.verifier.has_keys() {
            let text = cx.text(id).to_string();
            let result = RefreshResult { client: &text, ttl: None };
            return self.outbox.tell(cx, id, |out| reply::refresh(out, command, &result));
        }
        let claims = match self.verifier.verify_connection(token, unix_seconds(cx)) {
            Ok(claims) => claims,
            Err(TokenError::Expired) => return self.fail(cx, id, command, ErrorCode::TokenExpired),
            Err(TokenError::Invalid(_)) => {
                return self.disconnect(cx, id, CloseReason::Local(LocalReason::InvalidToken));
            }
        };
        if self.clients.get(id).is_none_or(|client| *client.user != *claims.user) {
            return self.disconnect(cx, id, CloseReason::Local(LocalReason::InvalidToken));
        }
        self.set_expiry(cx, id, claims.expires_at);
        let ttl = claims.expires_at.map(|at| at.saturating_sub(unix_seconds(cx)));
        let text = cx.text(id).to_string();
        self.outbox.tell(cx, id, |out| reply::refresh(out, command, &RefreshResult { client: &text, ttl }));
    }

    /// Sets when a connection's token ends, and asks to be told after the grace.
    pub(super) fn set_expiry(&mut self, cx: &mut Context<'_>, id: ConnId, expires_at: Option<u64>) {
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        let old = client.rare.as_mut().and_then(|rare| rare.token_timer.take());
        if let Some(timer) = old {
            self.disarm(cx, timer);
        }
        let Some(at) = expires_at else {
            if let Some(rare) = self.clients.get_mut(id).and_then(|client| client.rare.as_mut()) {
                rare.expires_at = None;
            }
            return;
        };
        let left = Duration::from_secs(at.saturating_sub(unix_seconds(cx))) + self.settings.refresh_grace;
        let timer = self.arm(cx, cx.now() + left, Timer::Token(id));
        if let Some(client) = self.clients.get_mut(id) {
            let rare = client.rare();
            (rare.expires_at, rare.token_timer) = (Some(at), Some(timer));
        }
    }

    /// A token and its grace are over.
    pub(super) fn on_token_end(&mut self, cx: &mut Context<'_>, id: ConnId) {
        if let Some(rare) = self.clients.get_mut(id).and_then(|client| client.rare.as_mut()) {
            rare.token_timer = None;
            self.disconnect(cx, id, CloseReason::Local(LocalReason::Expired));
        }
    }

    /// Takes a client out of every table. What it would find again: its subscriptions and how far each was sent.
    pub(super) fn depart(&mut self, cx: &mut Context<'_>, id: ConnId) -> Vec<Kept> {
        let Some(client) = self.clients.get(id) else {
            return Vec::new();
        };
        let channels: Vec<_> = client.subscriptions.iter().map(|subscription| subscription.channel).collect();
        let mut kept = Vec::with_capacity(channels.len());
        for channel in channels {
            kept.extend(self.kept(id, channel));
            self.remove_subscriber(cx, id, channel);
        }
        if let Some(client) = self.clients.remove(id) {
            self.forget(cx, client, id);
        }
        kept
    }

    /// Keeps what a client had, for its return.
    pub(super) fn keep_session(&mut self, cx: &mut Context<'_>, secret: Secret, user: Arc<str>, kept: Vec<Kept>) {
        let settings = &self.settings;
        self.sessions.keep(secret, user, kept, cx.now(), settings.session_ttl, settings.max_kept_sessions);
        self.arm_sessions_timer(cx);
    }

    fn forget(&mut self, cx: &mut Context<'_>, client: Client, id: ConnId) {
        if client.session.is_some() {
            self.sessions.end();
        }
        if let Some(connections) = self.users.get_mut(&client.user) {
            connections.iter().position(|other| *other == id).and_then(|at| connections.swap_remove(at));
            if connections.is_empty() {
                self.users.remove(&client.user);
            }
        }
        let timer = client.rare.and_then(|rare| rare.token_timer);
        if let Some(timer) = timer {
            self.disarm(cx, timer);
        }
    }

    /// What a client left behind under the secret that it shows; whether there was such a session. A connection that
    /// still holds it goes first.
    fn come_back(&mut self, cx: &mut Context<'_>, secret: Option<&str>, user: &Arc<str>) -> (Vec<Kept>, bool) {
        let Some(secret) = secret.and_then(Secret::parse) else {
            return (Vec::new(), false);
        };
        let is_theirs = |old: &ConnId| self.clients.get(*old).is_some_and(|client| *client.user == **user);
        let kept = match self.clients.holder(secret).filter(is_theirs) {
            Some(old) => {
                let kept = self.depart(cx, old);
                cx.close(old, CloseReason::Local(LocalReason::Replaced));
                Some(kept)
            }
            None => self.sessions.take(secret, user, cx.now()),
        };
        self.counters.resumed += u64::from(kept.is_some());
        let resumed = kept.is_some();
        (kept.unwrap_or_default(), resumed)
    }

    fn identify(&self, cx: &Context<'_>, token: &str) -> Result<Identity, Refusal> {
        let nobody = Identity { user: String::new(), info: None, expires_at: None, channels: Vec::new() };
        if token.is_empty() || (self.settings.insecure && !self.verifier.has_keys()) {
            let may = self.settings.insecure || self.settings.allow_anonymous;
            return if may { Ok(nobody) } else { Err(Refusal::Error(ErrorCode::Unauthorized)) };
        }
        match self.verifier.verify_connection(token, unix_seconds(cx)) {
            Ok(claims) => Ok(Identity {
                user: claims.user,
                info: claims.info.map(|info| command::compact(&info).into()),
                expires_at: claims.expires_at,
                channels: claims.channels,
            }),
            Err(TokenError::Expired) => Err(Refusal::Error(ErrorCode::TokenExpired)),
            Err(TokenError::Invalid(why)) => {
                log::debug!("token refused: {why}");
                Err(Refusal::Close(LocalReason::InvalidToken))
            }
        }
    }

    /// The subscriptions that a connect command brings: those of the token, and those it had. Where the client says
    /// how far it got, that counts; what was sent to it may have been lost on the way.
    fn wishes(&self, channels: &[String], mut kept: Vec<Kept>, connect: &Connect<'_>) -> Vec<(Wish, Arc<str>)> {
        let recover = |channel: &str, position: Option<(u64, Epoch)>| {
            let told = connect.subs.iter().find(|(name, _)| name == channel).filter(|(_, told)| told.recover);
            told.map(|(_, told)| Recover { offset: told.offset, epoch: (&*told.epoch).into() })
                .or_else(|| position.map(|(offset, epoch)| Recover { offset, epoch: (&*epoch).into() }))
        };
        let max = self.settings.max_channels_per_connection;
        let mut wishes: Vec<(Wish, Arc<str>)> = Vec::new();
        for channel in channels.iter().filter(|channel| !channel.is_empty()) {
            // A token can name thousands.
            if wishes.len() < max && !wishes.iter().any(|(_, other)| **other == **channel) {
                let had = kept.iter().position(|kept| *kept.channel == **channel);
                let position = had.and_then(|had| kept.remove(had).position);
                let wish = Wish::server_side(Purpose::Connect, recover(channel, position));
                wishes.push((wish, channel.as_str().into()));
            }
        }
        for Kept { channel, position, is_server_side, join_leave, expires_at } in kept {
            let mut wish = Wish::server_side(Purpose::Connect, recover(&channel, position));
            (wish.is_server_side, wish.join_leave, wish.expires_at) = (is_server_side, join_leave, expires_at);
            wishes.push((wish, channel));
        }
        wishes.truncate(max);
        wishes
    }

    /// What a session keeps of a subscription.
    fn kept(&self, id: ConnId, key: u32) -> Option<Kept> {
        let client = self.clients.get(id)?;
        let subscription = client.subscription(key)?;
        let channel = self.channels.get(key)?;
        let subscriber = channel.subscribers.get(subscription.at as usize)?;
        let offset = match subscriber.standing {
            Standing::Live => channel.heard(subscription.at as usize),
            Standing::Ahead(at) | Standing::Lagging(at) => Some(at),
            Standing::Buffering => return None,
        };
        let epoch = channel.position.as_ref().map(|(_, epoch)| epoch.clone());
        let mut ends = client.rare.iter().flat_map(|rare| &rare.subscription_ends);
        Some(Kept {
            channel: channel.name.clone(),
            position: offset.zip(epoch).filter(|_| subscriber.is_positioned),
            is_server_side: subscription.is_server_side,
            join_leave: subscriber.join_leave,
            expires_at: ends.find(|end| end.channel == channel.name).map(|end| end.at),
        })
    }
}

/// Seconds of Unix time.
pub(super) fn unix_seconds(cx: &Context<'_>) -> u64 {
    cx.unix_millis() / 1000
}
