//! What clients ask about their subscriptions, and how those end.

use super::beginning::{Purpose, Wish};
use super::channel::{ChannelKey, Standing};
use super::client::SubscriptionEnd;
use super::codes::{ErrorCode, UnsubscribeCode};
use super::command::Subscribe;
use super::connecting::unix_seconds;
use super::namespace::{self, Asker};
use super::recovery::Recover;
use super::reply;
use super::token::TokenError;
use super::waiting::Wait;
use super::{Hub, Timer, push};
use crate::connection::{CloseReason, LocalReason};
use crate::engine::{ChannelName, Engine, Full, Request};
use crate::gateway::{ConnId, Context};
use std::sync::Arc;
use std::time::Duration;

/// Bit of `flag`: an error rather than a subscription that has missed something.
const REJECT_UNRECOVERED: u64 = 2;

impl<E: Engine> Hub<E> {
    pub(super) fn subscribe(&mut self, cx: &mut Context<'_>, id: ConnId, command: u32, asked: &Subscribe<'_>) {
        match self.wish(cx, id, command, asked) {
            Ok(wish) => self.begin_subscription(cx, id, &Arc::from(&*asked.channel), wish),
            Err(code) => self.fail(cx, id, command, code),
        }
    }

    pub(super) fn on_unsubscribe(&mut self, cx: &mut Context<'_>, id: ConnId, command: u32, channel: &str) {
        if let Some(key) = self.channels.find(channel) {
            self.remove_subscriber(cx, id, key);
        }
        self.outbox.tell(cx, id, |out| reply::empty(out, command, "unsubscribe"));
    }

    pub(super) fn sub_refresh(&mut self, cx: &mut Context<'_>, id: ConnId, command: u32, channel: &str, token: &str) {
        let user = self.clients.get(id).map(|client| client.user.clone()).unwrap_or_default();
        let key = self.channels.find(channel).filter(|key| self.is_subscribed(id, *key));
        let expires_at = match (key, self.permit(cx, &user, channel, token)) {
            (None, _) => return self.fail(cx, id, command, ErrorCode::BadRequest),
            (_, Err(code)) => return self.fail(cx, id, command, code),
            (Some(_), Ok(expires_at)) => expires_at,
        };
        let name: ChannelName = channel.into();
        self.set_subscription_end(cx, id, &name, expires_at);
        let ttl = expires_at.map(|at| at.saturating_sub(unix_seconds(cx)));
        self.outbox.tell(cx, id, |out| reply::sub_refresh(out, command, ttl));
    }

    /// Ends a subscription that the client did not end.
    pub(super) fn end_subscription(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        key: ChannelKey,
        code: UnsubscribeCode,
    ) {
        let Some(name) = self.channels.get(key).map(|channel| channel.name.clone()) else {
            return;
        };
        if self.is_subscribed(id, key) {
            self.remove_subscriber(cx, id, key);
            let text = push::unsubscribe(&name, code);
            self.outbox.tell(cx, id, |out| out.extend_from_slice(&text));
        }
    }

    /// A subscriber has missed something: it is told, and asks again by itself.
    pub(super) fn lose_position(&mut self, cx: &mut Context<'_>, id: ConnId, key: ChannelKey) {
        let Some(subscription) = self.clients.get(id).and_then(|client| client.subscription(key)) else {
            return;
        };
        self.counters.insufficient += 1;
        if subscription.is_server_side {
            self.disconnect(cx, id, CloseReason::Local(LocalReason::InsufficientState));
        } else {
            self.end_subscription(cx, id, key, UnsubscribeCode::InsufficientState);
        }
    }

    /// The token of a subscription and its grace are over.
    pub(super) fn on_subscription_end(&mut self, cx: &mut Context<'_>, id: ConnId, name: &ChannelName) {
        let Some(key) = self.channels.find(name) else {
            return;
        };
        match self.clients.get(id).and_then(|client| client.subscription(key)) {
            None => {}
            Some(subscription) if subscription.is_server_side => {
                self.disconnect(cx, id, CloseReason::Local(LocalReason::SubscriptionExpired));
            }
            Some(_) => self.end_subscription(cx, id, key, UnsubscribeCode::Expired),
        }
    }

    /// Asks the engine to tell of a channel.
    pub(super) fn listen_to(&mut self, cx: &Context<'_>, name: &ChannelName) -> Result<(), Full> {
        let request = Request::Subscribe { channel: name.clone() };
        self.submit(cx, request, Some(Wait::Heard { channel: name.clone() }))
    }

    /// Ends every subscription of a channel that has begun; those that are being made have their own answer to wait for.
    pub(super) fn end_all(&mut self, cx: &mut Context<'_>, name: &str) {
        let Some((key, channel)) = self.channels.find(name).and_then(|key| Some((key, self.channels.get(key)?))) else {
            return;
        };
        let begun = channel.subscribers.iter().filter(|subscriber| subscriber.standing != Standing::Buffering);
        for id in begun.map(|subscriber| subscriber.id).collect::<Vec<_>>() {
            self.lose_position(cx, id, key);
        }
    }

    pub(super) fn is_subscribed(&self, id: ConnId, key: ChannelKey) -> bool {
        self.clients.get(id).is_some_and(|client| client.subscription(key).is_some())
    }

    /// Tells the engine of one member more.
    pub(super) fn add_member(&mut self, cx: &mut Context<'_>, id: ConnId, key: u32) {
        let Some(channel) = self.channels.get(key) else {
            return;
        };
        let namespace = self.namespaces.get(channel.namespace);
        let (presence, announce) = (namespace.presence, namespace.join_leave);
        let name = channel.name.clone();
        let text = cx.text(id);
        let Some(client) = self.clients.get_mut(id).filter(|_| presence || announce) else {
            return;
        };
        let member = client.member(text);
        if let Some(subscription) = client.subscription_mut(key) {
            subscription.is_member = true;
        }
        self.tell_engine(cx, Request::AddMember { channel: name, member, presence, announce });
    }

    /// Takes a subscriber out of a channel, and the channel away with its last one.
    pub(super) fn remove_subscriber(&mut self, cx: &mut Context<'_>, id: ConnId, key: ChannelKey) {
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        let (Some(subscription), Some(channel)) = (client.remove_subscription(key), self.channels.get_mut(key)) else {
            return;
        };
        let clients = &mut self.clients;
        let removed = channel.remove_subscriber(subscription.at as usize, |id, at| clients.set_place(id, key, at));
        if removed.standing == Standing::Buffering {
            channel.end_buffering();
        }
        let name = channel.name.clone();
        let namespace = self.namespaces.get(channel.namespace);
        let (presence, announce) = (namespace.presence, namespace.join_leave);
        let is_empty = channel.subscribers.is_empty();
        self.set_subscription_end(cx, id, &name, None);
        if subscription.is_member
            && let Some(client) = self.clients.get(id)
        {
            let text = cx.text(id);
            let member = if announce { client.member(text) } else { client.unnamed_member(text) };
            self.tell_engine(cx, Request::RemoveMember { channel: name.clone(), member, presence, announce });
        }
        if is_empty {
            self.channels.remove(key);
            self.tell_engine(cx, Request::Unsubscribe { channel: name });
        }
    }

    /// Whether the client may have what it asks for.
    fn wish(&self, cx: &Context<'_>, id: ConnId, command: u32, asked: &Subscribe<'_>) -> Result<Wish, ErrorCode> {
        let channel = &*asked.channel;
        if !namespace::is_channel_name(channel, self.settings.max_channel_name_bytes) {
            return Err(ErrorCode::BadRequest);
        }
        let client = self.clients.get(id).ok_or(ErrorCode::Internal)?;
        if self.channels.find(channel).is_some_and(|key| client.subscription(key).is_some()) {
            return Err(ErrorCode::AlreadySubscribed);
        }
        let expires_at = self.permit(cx, &client.user, channel, &asked.token)?;
        Ok(Wish {
            purpose: Purpose::Reply(command),
            recover: asked.recover.then(|| Recover { offset: asked.offset, epoch: (&*asked.epoch).into() }),
            attempt: 0,
            is_server_side: false,
            is_positioned: asked.positioned || asked.recoverable || asked.recover,
            join_leave: asked.join_leave,
            whole_or_not: asked.flag & REJECT_UNRECOVERED != 0,
            expires_at,
        })
    }

    /// Whether `user` may hear of a channel, and until when.
    fn permit(&self, cx: &Context<'_>, user: &str, channel: &str, token: &str) -> Result<Option<u64>, ErrorCode> {
        let namespace = self.namespaces.of(channel).ok_or(ErrorCode::UnknownChannel)?;
        let (mut has_token, mut expires_at) = (false, None);
        let insecure = self.settings.insecure;
        let is_looked_at = !insecure || self.verifier.has_keys();
        if !token.is_empty() && is_looked_at {
            let claims = self.verifier.verify_subscription(token, unix_seconds(cx)).map_err(|error| match error {
                TokenError::Expired => ErrorCode::TokenExpired,
                TokenError::Invalid(_) => ErrorCode::PermissionDenied,
            })?;
            if claims.user != user || claims.channel != channel {
                return Err(ErrorCode::PermissionDenied);
            }
            (has_token, expires_at) = (true, claims.expires_at);
        }
        let asker = Asker { user, has_token, is_subscribed: false, insecure };
        let may = namespace::may_subscribe(self.namespaces.get(namespace), channel, asker);
        if may { Ok(expires_at) } else { Err(ErrorCode::PermissionDenied) }
    }

    /// Sets when the token of a subscription ends, or that it does not, and asks to be told after the grace.
    pub(super) fn set_subscription_end(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        name: &ChannelName,
        at: Option<u64>,
    ) {
        let old = self.clients.get_mut(id).and_then(|client| client.rare.as_mut()).and_then(|rare| {
            let found = rare.subscription_ends.iter().position(|end| end.channel == *name)?;
            Some(rare.subscription_ends.swap_remove(found).timer)
        });
        if let Some(timer) = old {
            self.disarm(cx, timer);
        }
        let Some(at) = at else {
            return;
        };
        let left = Duration::from_secs(at.saturating_sub(unix_seconds(cx))) + self.settings.refresh_grace;
        let timer = self.arm(cx, cx.now() + left, Timer::Subscription(id, name.clone()));
        if let Some(client) = self.clients.get_mut(id) {
            client.rare().subscription_ends.push(SubscriptionEnd { channel: name.clone(), at, timer });
        }
    }
}
