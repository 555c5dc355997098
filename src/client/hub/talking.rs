//! What the server is told, and when it is time to tell it.

use super::commands::{Asked, Channel, Commands, Connect, Recover, Refresh, Subscribe, command, parameters};
use super::machine::{HubClient, Phase};
use super::post::Post;
use super::subscription::{State, Subscription};
use super::{HubEvent, TokenSource};
use crate::timer::Time;
use crate::wire::OwnedMessage;
use std::collections::BTreeMap;
use std::time::Duration;

impl HubClient {
    /// Says who we are, as the first message of a connection.
    pub(super) fn greet(&mut self, now: Time) {
        let id = self.commands.ask(Asked::Connect, now);
        let max = self.options.connection.max_message_bytes;
        let mut greeting = command(id, "connect", &parameters(&self.introduction(true)));
        if greeting.len() > max {
            // The session would go on where the server left off, not where we did. Our own subscriptions recover; what
            // those of the server miss is told.
            greeting = command(id, "connect", &parameters(&self.introduction(false)));
        }
        self.phase = Phase::Greeting;
        self.say(greeting);
    }

    /// Hands down all that may leave, as far as there is room.
    pub(super) fn talk(&mut self, now: Time) {
        if !self.is_joined() || !self.client.is_connected() {
            return;
        }
        let Self { client, commands, channels, leaving, .. } = self;
        let mut post = Post::new(client, self.wire, self.options.connection.max_message_bytes);
        if let Some(token) = self.token.as_deref().filter(|_| self.has_news && post.has_room()) {
            let id = commands.ask(Asked::Refresh, now);
            post.push(&command(id, "refresh", &parameters(&Refresh { channel: None, token })));
            self.has_news = false;
        }
        while post.has_room()
            && let Some(channel) = leaving.pop_first()
        {
            let parameters = parameters(&Channel { channel: &channel });
            let id = commands.ask(Asked::Unsubscribe(channel), now);
            post.push(&command(id, "unsubscribe", &parameters));
        }
        for (channel, subscription) in channels {
            subscription.talk(channel, commands, &mut post, now);
        }
        self.requests.send(commands, &mut post, now);
        self.publications.send(commands, &mut post, now);
        post.close();
    }

    /// Asks for tokens that expire soon.
    pub(super) fn on_due_tokens(&mut self, now: Time) {
        let Phase::Joined(membership) = &mut self.phase else {
            return;
        };
        if membership.refresh_at.take_if(|at| *at <= now).is_some() {
            self.events.push_back(HubEvent::TokenWanted);
        }
    }

    /// Makes subscriptions ready whose time has come.
    pub(super) fn on_due_subscriptions(&mut self, now: Time) {
        for (channel, subscription) in &mut self.channels {
            if subscription.handle_timeout(now) {
                self.events.push_back(HubEvent::SubscriptionTokenWanted { channel: channel.clone() });
            }
        }
    }

    /// When to try again what has failed so often before: full jitter below a bound that doubles.
    pub(super) fn retry_at(&mut self, failures: u32, now: Time) -> Time {
        let connection = &self.options.connection;
        let factor = 1u32.checked_shl(failures).unwrap_or(u32::MAX);
        let bound = connection.backoff_min.saturating_mul(factor).min(connection.backoff_max);
        now + self.jitter.within(Duration::ZERO, bound)
    }

    /// When to ask for another token, for one that is good for so many seconds: when four fifths are over.
    pub(super) fn refresh_at(&self, ttl: u32, now: Time) -> Option<Time> {
        let is_asked = self.options.token == TokenSource::Asked;
        is_asked.then(|| now + share(ttl))
    }

    pub(super) fn say(&mut self, document: Vec<u8>) {
        let text = String::from_utf8(document).expect("commands are made of texts");
        self.client.send(OwnedMessage::text(text)).expect("nothing waits at the start of a connection");
    }

    fn introduction(&self, with_positions: bool) -> Connect<'_> {
        // What a session remembers of our own subscriptions is what was sent; what has arrived may be less.
        let has_session = self.session.is_some();
        let counts = |it: &Subscription| it.is_the_servers() || has_session;
        let known = self.channels.iter().filter(|(_, subscription)| counts(subscription));
        let subs: BTreeMap<&str, Recover<'_>> = known
            .filter_map(|(channel, subscription)| Some((&**channel, subscription.position.as_ref()?.into())))
            .collect();
        Connect {
            token: self.token.as_deref(),
            session: self.session.as_deref().filter(|_| with_positions),
            name: &self.options.name,
            version: &self.options.version,
            data: self.options.data.as_ref(),
            subs: if with_positions { subs } else { BTreeMap::new() },
        }
    }
}

/// Four fifths of so many seconds.
pub(super) fn share(ttl: u32) -> Duration {
    Duration::from_secs(ttl.max(1).into()) * 4 / 5
}

impl Subscription {
    /// Asks for the subscription, or tells of its new token, if that is what it waits for.
    fn talk(&mut self, channel: &str, commands: &mut Commands, post: &mut Post<'_>, now: Time) {
        let Some(options) = self.options.as_ref().filter(|_| post.has_room()) else {
            return;
        };
        match (self.state, &self.token) {
            (State::Ready, token) => {
                let subscribe = Subscribe::new(channel, token.as_deref(), self.position.as_ref(), options);
                let id = commands.ask(Asked::Subscribe(channel.into()), now);
                post.push(&command(id, "subscribe", &parameters(&subscribe)));
                self.state = State::Asked { id };
            }
            (State::Active, Some(token)) if self.has_news => {
                let id = commands.ask(Asked::SubRefresh(channel.into()), now);
                post.push(&command(id, "sub_refresh", &parameters(&Refresh { channel: Some(channel), token })));
                self.has_news = false;
            }
            (State::Active | State::Waiting { .. } | State::WantsToken | State::Asked { .. }, _) => {}
        }
    }

    /// When [`Subscription::handle_timeout`] has something to do.
    pub(super) fn deadline(&self) -> Option<Time> {
        match self.state {
            State::Waiting { until } => Some(until),
            State::Active => self.refresh_at,
            State::Ready | State::WantsToken | State::Asked { .. } => None,
        }
    }

    /// Whether a token is wanted now.
    fn handle_timeout(&mut self, now: Time) -> bool {
        if self.deadline().is_none_or(|at| at > now) {
            return false;
        }
        if self.state == State::Active {
            self.refresh_at = None;
            return true;
        }
        let wants_token = self.asks_for_tokens() && self.token.is_none();
        self.state = if wants_token { State::WantsToken } else { State::Ready };
        wants_token
    }
}
