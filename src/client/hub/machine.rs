//! What a program and a driver do with a client of a hub. What follows from what the server says is in `hearing`, what
//! it is told in `talking`.

use super::commands::Commands;
use super::options::{COMMAND_BYTES, WORST_ESCAPE};
use super::publications::Publications;
use super::requests::Requests;
use super::subscription::{State, Subscription};
use super::{
    HubEvent, HubOptions, Json, PublishError, PublishKey, Request, RequestId, SubscribeOptions, SubscribeRefusal,
    TokenSource,
};
use crate::client::websocket::Keys;
use crate::client::{Action, Client, Refusal};
use crate::config::SettingError;
use crate::connection::{CloseReason, PeerReason};
use crate::timer::{Jitter, Time, earliest};
use crate::wire::Wire;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, ErrorKind, IoSlice};
use std::time::Duration;

/// A connection to a hub that comes back by itself, to the same channels, with nothing lost and nothing twice.
///
/// It is driven as a [`Client`] is: reports by `handle_*`, then [`poll_action`](HubClient::poll_action),
/// [`poll_transmit`](HubClient::poll_transmit), [`poll_action`](HubClient::poll_action) again, events, and back by
/// [`poll_timeout`](HubClient::poll_timeout).
///
/// What is promised of publications that come, on channels whose server watches positions: each is delivered at most
/// once and in the order of its offsets, across connections. What the server's history has let go of meanwhile is told
/// as [`HubEvent::Gap`]; what the server leaves out or repeats without a word, which it must not, as
/// [`HubEvent::Missed`] or [`HubEvent::Doubled`].
///
/// What is promised of publications that go: each has a key of its own, is sent until the server answers, after a cut
/// with the same key, and leaves in the order in which it was given. A server that knows keys takes it once; one that
/// does not may take a publication twice that was under way at a cut. One that the server could not take for the moment
/// (a temporary error) holds back those behind it, but not those that were under way already.
///
/// A request that was under way at a cut is answered with [`RequestError::Cut`](super::RequestError::Cut): nothing tells
/// whether the server has acted on it.
#[derive(Debug)]
pub struct HubClient {
    pub(super) client: Client,
    pub(super) wire: Wire,
    pub(super) options: HubOptions,
    pub(super) phase: Phase,
    pub(super) token: Option<String>,
    /// A token came that the server has not been told of.
    pub(super) has_news: bool,
    /// What the server knows us by, for its eyes alone.
    pub(super) session: Option<String>,
    pub(super) channels: BTreeMap<Box<str>, Subscription>,
    /// Channels that the server has yet to be told that we leave, unless it turns out that it does not know.
    pub(super) leaving: BTreeSet<Box<str>>,
    pub(super) commands: Commands,
    pub(super) publications: Publications,
    pub(super) requests: Requests,
    pub(super) jitter: Jitter,
    pub(super) events: VecDeque<HubEvent>,
    pub(super) counts: HubCounts,
    /// The attempt of the present connection.
    pub(super) attempt: u32,
    /// When the server last ceased to know us.
    pub(super) lost_at: Option<Time>,
}

/// What was counted since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HubCounts {
    /// Publications delivered.
    pub publications: u64,
    /// Publications that came again and were not delivered.
    pub doubled: u64,
    /// Publications that were left out without a word.
    pub missed: u64,
    /// Gaps that the server told of.
    pub gaps: u64,
}

/// How far the server is with us.
#[derive(Debug)]
pub(super) enum Phase {
    /// There is no connection.
    Away,
    /// It was asked whether it wants us.
    Greeting,
    Joined(Membership),
    /// We have given the connection up.
    Abandoned {
        had_joined: bool,
    },
}

/// What was agreed on for one connection.
#[derive(Debug)]
pub(super) struct Membership {
    /// How long the server may be silent; `None` where it sends no pings.
    pub(super) patience: Option<Duration>,
    pub(super) last_heard: Time,
    /// Pings are to be answered.
    pub(super) answers_pings: bool,
    /// When another token is wanted.
    pub(super) refresh_at: Option<Time>,
}

/// A longer name is no channel's.
const MAX_CHANNEL: usize = 1024;

impl HubClient {
    /// A client on the length or the line wire that makes its first attempt as soon as it has its token. Keys and waits
    /// follow from `seed`: 64 bits of the system's randomness, or a fixed number in a test.
    pub fn new(wire: Wire, options: HubOptions, seed: u64, now: Time) -> Result<Self, SettingError> {
        if wire == Wire::Raw {
            let mend = "use one that keeps messages apart".to_owned();
            return Err(SettingError { setting: "wire", value: wire.to_string(), mend });
        }
        Self::begin(wire, options, seed, |options, seed| Client::new(wire, options, seed, now))
    }

    /// A client on WebSocket, as [`HubClient::new`]: it asks `host` (with its port, unless it is the default one) for
    /// `path`.
    pub fn websocket(host: &str, path: &str, options: HubOptions, seed: u64, now: Time) -> Result<Self, SettingError> {
        Self::begin(Wire::WebSocket, options, seed, |options, seed| Client::websocket(host, path, options, seed, now))
    }

    fn begin(
        wire: Wire,
        options: HubOptions,
        seed: u64,
        below: impl FnOnce(crate::client::ClientOptions, u64) -> Result<Client, SettingError>,
    ) -> Result<Self, SettingError> {
        options.connection.validate()?;
        options.validate()?;
        // Keys of publications are seen by others, and must give neither masks nor waits away.
        let mut keys = Keys::new(seed);
        let client = below(options.below(), keys.number())?;
        let mut hub = Self {
            client,
            wire,
            phase: Phase::Away,
            token: if let TokenSource::Fixed(token) = &options.token { Some(token.clone()) } else { None },
            has_news: false,
            session: None,
            channels: BTreeMap::new(),
            leaving: BTreeSet::new(),
            commands: Commands::default(),
            publications: Publications::new(keys.number(), &options),
            requests: Requests::default(),
            jitter: Jitter::new(keys.number()),
            events: VecDeque::new(),
            counts: HubCounts::default(),
            attempt: 0,
            lost_at: None,
            options,
        };
        hub.ask_for_token();
        Ok(hub)
    }

    /// Subscribes to a channel, now or as soon as there is a connection, and again after each cut.
    pub fn subscribe(&mut self, channel: &str, options: SubscribeOptions) -> Result<(), SubscribeRefusal> {
        let token = if let TokenSource::Fixed(token) = &options.token { token.len() } else { 0 };
        if self.is_ended() {
            return Err(SubscribeRefusal::Ended);
        }
        if !(1..=MAX_CHANNEL).contains(&channel.len()) || channel.contains(char::is_control) {
            return Err(SubscribeRefusal::BadName);
        }
        if self.channels.contains_key(channel) {
            return Err(SubscribeRefusal::Already);
        }
        if self.channels.len() + self.leaving.len() >= self.options.max_subscriptions {
            return Err(SubscribeRefusal::TooMany(self.options.max_subscriptions));
        }
        if !self.has_room_for(token) {
            return Err(SubscribeRefusal::TooLarge);
        }
        let subscription = Subscription::of_ours(options);
        if subscription.state == State::WantsToken {
            self.events.push_back(HubEvent::SubscriptionTokenWanted { channel: channel.into() });
        }
        self.channels.insert(channel.into(), subscription);
        Ok(())
    }

    /// Leaves a channel: nothing of it comes from here on. Whether there was one to leave; the server's own
    /// subscriptions are the server's to end.
    pub fn unsubscribe(&mut self, channel: &str) -> bool {
        if self.channels.get(channel).is_none_or(Subscription::is_the_servers) {
            return false;
        }
        let left = self.channels.remove(channel);
        let is_known = left.is_some_and(|left| matches!(left.state, State::Asked { .. } | State::Active));
        // A session that was kept remembers channels that we leave while we are away.
        if is_known || (!self.is_joined() && self.session.is_some()) {
            self.leaving.insert(channel.into());
        }
        true
    }

    /// Publishes, now or when the server knows us again. What can't be taken is handed back with the limit in its way.
    pub fn publish(&mut self, channel: &str, data: Json) -> Result<PublishKey, PublishError> {
        if self.is_ended() {
            return Err(PublishError { refusal: Refusal::Ended, data });
        }
        self.publications.push(channel, data)
    }

    /// Asks the server something. A request that is made while there is no connection waits for the next.
    pub fn request(&mut self, request: &Request) -> Result<RequestId, Refusal> {
        if self.is_ended() {
            return Err(Refusal::Ended);
        }
        self.requests.push(request, self.options.max_requests, self.options.connection.max_message_bytes)
    }

    /// The token for this and further connections. One that is too long for a message is refused.
    pub fn set_token(&mut self, token: impl Into<String>) -> Result<(), Refusal> {
        let token = self.admit_token(token.into())?;
        self.token = Some(token);
        self.has_news = matches!(self.phase, Phase::Joined(_));
        self.client.hold(false);
        Ok(())
    }

    /// The token for a subscription of ours, for which it may have been asked. One for another channel is dropped.
    pub fn set_subscription_token(&mut self, channel: &str, token: impl Into<String>) -> Result<(), Refusal> {
        let token = self.admit_token(token.into())?;
        if let Some(subscription) = self.channels.get_mut(channel) {
            subscription.token = Some(token);
            match subscription.state {
                State::WantsToken => subscription.state = State::Ready,
                State::Active => subscription.has_news = true,
                State::Ready | State::Waiting { .. } | State::Asked { .. } => {}
            }
        }
        Ok(())
    }

    /// Ends the client at once, as [`Client::stop`] does.
    pub fn stop(&mut self, now: Time) {
        self.client.stop();
        self.listen(now);
    }

    /// Whether the server knows us.
    pub fn is_joined(&self) -> bool {
        matches!(self.phase, Phase::Joined(_))
    }

    /// Whether it was stopped or gave up: it will not connect again.
    pub fn is_ended(&self) -> bool {
        self.client.is_ended()
    }

    /// Publications of ours that the server has not answered.
    pub fn waiting_publications(&self) -> usize {
        self.publications.waiting()
    }

    /// Where a channel stands; `None` where it is not subscribed to, or nobody watches.
    pub fn position(&self, channel: &str) -> Option<&super::Position> {
        self.channels.get(channel)?.position.as_ref()
    }

    /// What was counted since the start.
    pub fn counts(&self) -> HubCounts {
        self.counts
    }

    /// As [`Client::handle_connected`].
    pub fn handle_connected(&mut self, now: Time) {
        self.client.handle_connected(now);
        self.listen(now);
    }

    /// As [`Client::handle_connect_failed`].
    pub fn handle_connect_failed(&mut self, kind: ErrorKind, now: Time) {
        self.client.handle_connect_failed(kind, now);
        self.listen(now);
    }

    /// As [`Client::handle_bytes`].
    pub fn handle_bytes(&mut self, bytes: &[u8], now: Time) {
        self.client.handle_bytes(bytes, now);
        self.listen(now);
    }

    /// As [`Client::handle_closed`].
    pub fn handle_closed(&mut self, now: Time) {
        self.client.handle_closed(now);
        self.listen(now);
    }

    /// As [`Client::handle_error`].
    pub fn handle_error(&mut self, kind: ErrorKind, now: Time) {
        self.client.handle_error(kind, now);
        self.listen(now);
    }

    /// Acts on due deadlines.
    pub fn handle_timeout(&mut self, now: Time) {
        self.client.handle_timeout(now);
        self.listen(now);
        let is_due = |at: Option<Time>| at.is_some_and(|at| at <= now);
        if is_due(self.commands.deadline(self.options.answer_timeout)) {
            self.abandon(CloseReason::Transport(ErrorKind::TimedOut).into(), now);
        } else if is_due(self.silent_at()) {
            self.abandon(CloseReason::Peer(PeerReason::HeartbeatTimeout).into(), now);
        }
        self.listen(now);
        self.publications.handle_timeout(now);
        self.on_due_tokens(now);
        self.on_due_subscriptions(now);
    }

    /// As [`Client::poll_action`].
    pub fn poll_action(&mut self) -> Option<Action> {
        self.client.poll_action()
    }

    /// As [`Client::poll_transmit`].
    pub fn poll_transmit(&mut self, now: Time, mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>) {
        loop {
            self.talk(now);
            let before = self.client.waiting_messages();
            self.client.poll_transmit(now, &mut write);
            self.listen(now);
            if before == 0 || self.client.waiting_messages() > 0 {
                return;
            }
        }
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<HubEvent> {
        self.events.pop_front()
    }

    /// When [`HubClient::handle_timeout`] has something to do. Other inputs may move it.
    pub fn poll_timeout(&self) -> Option<Time> {
        if self.is_ended() {
            return self.client.poll_timeout();
        }
        let refresh_at = if let Phase::Joined(membership) = &self.phase { membership.refresh_at } else { None };
        earliest([
            self.client.poll_timeout(),
            self.commands.deadline(self.options.answer_timeout),
            self.silent_at(),
            refresh_at,
            self.publications.deadline(),
            self.channels.values().filter_map(Subscription::deadline).min(),
        ])
    }

    /// Below, where there is no connection, nothing of the program's is waited with.
    pub(super) fn ask_for_token(&mut self) {
        if self.options.token == TokenSource::Asked && self.token.is_none() {
            self.client.hold(true);
            self.events.push_back(HubEvent::TokenWanted);
        }
    }

    fn silent_at(&self) -> Option<Time> {
        let Phase::Joined(membership) = &self.phase else {
            return None;
        };
        Some(membership.last_heard + membership.patience?)
    }

    fn admit_token(&self, token: String) -> Result<String, Refusal> {
        let max = self.options.connection.max_message_bytes;
        if self.has_room_for(token.len()) { Ok(token) } else { Err(Refusal::MessageTooLarge(max)) }
    }

    /// Whether a token of so many bytes fits into a command, beside the longest name of a channel or our own texts.
    fn has_room_for(&self, token: usize) -> bool {
        let texts = self.options.text_bytes().max(MAX_CHANNEL * WORST_ESCAPE);
        let needed = token.saturating_mul(WORST_ESCAPE).saturating_add(texts).saturating_add(COMMAND_BYTES);
        needed <= self.options.connection.max_message_bytes
    }
}
