//! What the hub knows of one connection.

use super::Armed;
use super::beginning::Wish;
use super::channel::ChannelKey;
use super::few::Few;
use super::session::Secret;
use crate::connection::Bucket;
use crate::engine::{ChannelName, Member, Page};
use crate::gateway::{ConnId, ConnText, Pages};
use bytes::Bytes;
use std::sync::Arc;

/// One connection.
#[derive(Debug)]
pub(super) struct Client {
    id: ConnId,
    pub(super) stage: Stage,
    /// Empty for nobody in particular.
    pub(super) user: Arc<str>,
    /// What the token says about it, as JSON.
    pub(super) info: Option<Box<str>>,
    /// What others are told about it, once it has published.
    told: Option<Arc<[u8]>>,
    pub(super) session: Option<Secret>,
    pub(super) subscriptions: Few<Subscription>,
    /// Times that it was asked for a sign of life, and has not answered: who reads slowly may find two at once.
    pub(super) awaited_pongs: u8,
    /// Answers of the engine without which its next command can't begin.
    pub(super) awaited: u16,
    /// Its program, among those the hub knows.
    pub(super) agent: u16,
    /// What few connections have.
    pub(super) rare: Option<Box<Rare>>,
}

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Its connect command has not come.
    Fresh,
    /// Its connect command waits for the engine.
    Connecting,
    Connected,
    /// It was told that it can't connect; nothing it says counts any more.
    Refused,
}

#[derive(Debug, Default)]
pub(super) struct Rare {
    /// What came behind a command that waits for the engine, in the same message.
    pub(super) backlog: String,
    /// Unix time in seconds at which its token ends, and the timer that tells.
    pub(super) expires_at: Option<u64>,
    pub(super) token_timer: Option<Armed>,
    pub(super) commands: Option<Bucket>,
    pub(super) publications: Option<Bucket>,
    pub(super) errors: Option<Bucket>,
    pub(super) connecting: Option<Connecting>,
    pub(super) subscription_ends: Vec<SubscriptionEnd>,
}

/// When the token of a subscription ends.
#[derive(Debug)]
pub(super) struct SubscriptionEnd {
    pub(super) channel: ChannelName,
    /// Unix time in seconds.
    pub(super) at: u64,
    pub(super) timer: Armed,
}

impl Rare {
    fn is_empty(&self) -> bool {
        self.backlog.is_empty()
            && self.expires_at.is_none()
            && self.token_timer.is_none()
            && self.commands.is_none()
            && self.publications.is_none()
            && self.errors.is_none()
            && self.connecting.is_none()
            && self.subscription_ends.is_empty()
    }
}

/// A connect command whose subscriptions are being made.
#[derive(Debug)]
pub(super) struct Connecting {
    pub(super) command: u32,
    pub(super) remaining: usize,
    pub(super) resumed: bool,
    /// Those whose history is read. They stay in buffering mode until the reply can go out, so that no push precedes it.
    pub(super) ready: Vec<(ChannelKey, Wish, Option<Arc<Page>>)>,
}

/// A client's side of a subscription.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subscription {
    pub(super) channel: ChannelKey,
    /// Its place among the channel's subscribers.
    pub(super) at: u32,
    /// Of the wish that it is made by.
    pub(super) attempt: u16,
    /// Made by the server: losing its position ends the connection, as the client can't ask for it again.
    pub(super) is_server_side: bool,
    /// The engine was told of it as a member.
    pub(super) is_member: bool,
}

impl Client {
    pub(super) fn new(id: ConnId) -> Self {
        Self {
            id,
            stage: Stage::Fresh,
            user: Arc::default(),
            info: None,
            told: None,
            session: None,
            subscriptions: Few::default(),
            awaited_pongs: 0,
            awaited: 0,
            agent: 0,
            rare: None,
        }
    }

    /// Reads a little of each line of the cache that it may lie in.
    #[inline]
    pub(super) fn glance(&self) -> usize {
        usize::from(self.awaited)
            ^ self.id.slot()
            ^ usize::from(self.rare.is_some())
            ^ usize::from(self.session.is_some())
    }

    pub(super) fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// Gives up what it does not have any more.
    pub(super) fn shed_rare(&mut self) {
        self.rare.take_if(|rare| rare.is_empty());
    }

    pub(super) fn subscription(&self, channel: ChannelKey) -> Option<&Subscription> {
        self.subscriptions.iter().find(|subscription| subscription.channel == channel)
    }

    pub(super) fn subscription_mut(&mut self, channel: ChannelKey) -> Option<&mut Subscription> {
        self.subscriptions.iter_mut().find(|subscription| subscription.channel == channel)
    }

    /// Takes a subscription away.
    pub(super) fn remove_subscription(&mut self, channel: ChannelKey) -> Option<Subscription> {
        let at = self.subscriptions.iter().position(|subscription| subscription.channel == channel)?;
        self.subscriptions.swap_remove(at)
    }

    /// Itself as others see it, under its public id.
    pub(super) fn member(&self, text: ConnText) -> Member {
        Member { info: self.tell(text).into(), ..self.unnamed_member(text) }
    }

    /// The same where nobody is told of it.
    pub(super) fn unnamed_member(&self, text: ConnText) -> Member {
        Member { client: text.into(), user: self.user.clone(), info: Bytes::new() }
    }

    /// What others are told about it: `{"client":..,"user":..,"conn_info":..}`. Its public id is asked for the first time
    /// alone: a client that publishes is told about with every publication.
    pub(super) fn told(&mut self, text: impl FnOnce() -> ConnText) -> Arc<[u8]> {
        if let Some(told) = &self.told {
            return told.clone();
        }
        let told: Arc<[u8]> = self.tell(text()).into();
        self.told = Some(told.clone());
        told
    }

    fn tell(&self, text: ConnText) -> Vec<u8> {
        let text = text.to_string();
        // As much as is needed, where nothing of the name has to be escaped.
        let info = self.info.as_deref().map_or(0, |info| info.len() + INFO.len());
        let mut told = Vec::with_capacity(CLIENT.len() + text.len() + USER.len() + self.user.len() + info + 3);
        told.extend_from_slice(CLIENT);
        told.extend_from_slice(text.as_bytes());
        told.extend_from_slice(USER);
        super::json::write_text(&mut told, &self.user);
        if let Some(info) = &self.info {
            told.extend_from_slice(INFO);
            told.extend_from_slice(info.as_bytes());
        }
        told.push(b'}');
        told
    }
}

const CLIENT: &[u8] = b"{\"client\":\"";
const USER: &[u8] = b"\",\"user\":";
const INFO: &[u8] = b",\"conn_info\":";

/// Every connection the hub knows of.
#[derive(Debug, Default)]
pub(super) struct Clients(Pages<Client>);

impl Clients {
    pub(super) fn insert(&mut self, client: Client) {
        self.0.insert(client.id.slot(), client);
    }

    #[inline]
    pub(super) fn get(&self, id: ConnId) -> Option<&Client> {
        self.0.get(id.slot()).filter(|client| client.id == id)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, id: ConnId) -> Option<&mut Client> {
        self.0.get_mut(id.slot()).filter(|client| client.id == id)
    }

    /// A client's place among the subscribers of a channel.
    pub(super) fn set_place(&mut self, id: ConnId, channel: ChannelKey, at: usize) {
        if let Some(subscription) = self.get_mut(id).and_then(|client| client.subscription_mut(channel)) {
            subscription.at = u32::try_from(at).expect("connections are fewer than 2^32");
        }
    }

    /// The connection that holds this session.
    pub(super) fn holder(&self, secret: Secret) -> Option<ConnId> {
        self.0.get(secret.slot()).filter(|client| client.session == Some(secret)).map(|client| client.id)
    }

    pub(super) fn remove(&mut self, id: ConnId) -> Option<Client> {
        self.get(id)?;
        self.0.remove(id.slot())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ConnId, &Client)> {
        self.0.iter().map(|(_, client)| (client.id, client))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A million clients are as many times this.
    #[test]
    fn a_client_with_one_subscription_is_small_and_owns_no_memory() {
        assert!(size_of::<Client>() <= 112 && size_of::<Few<Subscription>>() <= 24);
    }
}
