//! A subscription on its way from wanted to live: registered, read for, recovered, answered.

use super::Hub;
use super::channel::{ChannelKey, Standing, Subscriber};
use super::client::Subscription;
use super::codes::ErrorCode;
use super::connecting::unix_seconds;
use super::push;
use super::recovery::{self, Recover, Verdict};
use super::reply::{self, Gap, SubscribeResult};
use super::waiting::{Wait, error_code};
use crate::connection::{CloseReason, LocalReason};
use crate::engine::{ChannelName, Done, Engine, EngineError, Epoch, Page, Position, Publication, Query, Request};
use crate::gateway::{ConnId, Context};
use std::sync::Arc;

/// A subscription as it is wanted.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    pub(super) purpose: Purpose,
    pub(super) recover: Option<Recover>,
    /// Tells it from another try of the same client at the same channel.
    pub(super) attempt: u16,
    pub(super) is_server_side: bool,
    pub(super) is_positioned: bool,
    pub(super) join_leave: bool,
    /// An error rather than a subscription that has missed something.
    pub(super) whole_or_not: bool,
    /// Unix time in seconds at which it ends.
    pub(super) expires_at: Option<u64>,
}

/// Who is told what came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A client's command.
    Reply(u32),
    /// A connect command that waits for all of its subscriptions.
    Connect,
    /// A client that did not ask.
    Push,
}

/// A subscription that waits for the history.
#[derive(Debug)]
pub(super) struct SubscribeWait {
    id: ConnId,
    channel: ChannelName,
    wish: Wish,
    query: Query,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Subscribed {
    ttl: Option<u64>,
    positioned: bool,
    epoch: Option<Epoch>,
    offset: u64,
    publications: Vec<Publication>,
    recovered: bool,
    was_recovering: bool,
    gap: Option<Gap>,
}

impl Wish {
    pub(super) fn server_side(purpose: Purpose, recover: Option<Recover>) -> Self {
        Self {
            purpose,
            recover,
            attempt: 0,
            is_server_side: true,
            is_positioned: true,
            join_leave: true,
            whole_or_not: false,
            expires_at: None,
        }
    }
}

impl Subscribed {
    /// About how many bytes it takes to tell what was missed.
    pub(super) fn missed_bytes(&self) -> usize {
        self.publications.iter().map(|publication| publication.body.len() + recovery::OFFSET_ROOM).sum()
    }

    pub(super) fn result(&self) -> SubscribeResult<'_> {
        SubscribeResult {
            ttl: self.ttl,
            recoverable: self.positioned,
            positioned: self.positioned,
            epoch: self.epoch.as_deref(),
            offset: self.offset,
            publications: &self.publications,
            recovered: self.recovered,
            was_recovering: self.was_recovering,
            gap: self.gap,
            data: None,
        }
    }
}

impl<E: Engine> Hub<E> {
    /// Makes a subscription; whoever its purpose names is told, now or when the engine has answered.
    pub(super) fn begin_subscription(&mut self, cx: &mut Context<'_>, id: ConnId, name: &ChannelName, mut wish: Wish) {
        let Some(namespace) = self.namespaces.of(name) else {
            return self.not_made(cx, id, &wish, ErrorCode::UnknownChannel);
        };
        let rules = self.namespaces.get(namespace);
        wish.is_positioned = rules.history_size > 0 && (wish.is_positioned || rules.force_recovery);
        let max_subscribers = rules.max_subscribers.unwrap_or(usize::MAX);
        let found = self.channels.find(name);
        if found.is_some_and(|key| self.is_subscribed(id, key)) {
            return self.not_made(cx, id, &wish, ErrorCode::AlreadySubscribed);
        }
        let held = self.clients.get(id).map_or(0, |client| client.subscriptions.len());
        if held >= self.settings.max_channels_per_connection {
            return self.not_made(cx, id, &wish, ErrorCode::LimitExceeded);
        }
        let subscribers = found.and_then(|key| self.channels.get(key)).map_or(0, |channel| channel.subscribers.len());
        if subscribers >= max_subscribers || (found.is_none() && self.channels.len() >= self.settings.max_channels) {
            return self.not_made(cx, id, &wish, ErrorCode::LimitExceeded);
        }
        if found.is_none() && self.listen_to(cx, name).is_err() {
            return self.not_made(cx, id, &wish, ErrorCode::TooBusy);
        }
        let key = found.unwrap_or_else(|| self.channels.insert(name, namespace));
        self.last_attempt = self.last_attempt.wrapping_add(1);
        wish.attempt = self.last_attempt;
        self.register(id, key, &wish);
        if !wish.is_positioned {
            return self.finish_subscription(cx, id, key, wish, None);
        }
        match self.known_page(cx, key, &wish) {
            Ok(page) => self.finish_subscription(cx, id, key, wish, Some(page)),
            Err(query) => self.read_for_subscription(cx, id, name.clone(), wish, query),
        }
    }

    /// The engine has read the history for a subscription.
    pub(super) fn on_subscribe_read(
        &mut self,
        cx: &mut Context<'_>,
        wait: SubscribeWait,
        result: Result<Done, EngineError>,
    ) {
        let SubscribeWait { id, channel, wish, query } = wait;
        if wish.purpose != Purpose::Push {
            self.release(id);
        }
        let Some(key) = self.channels.find(&channel).filter(|key| self.is_awaited(id, *key, &wish)) else {
            // It has left meanwhile, or a back end has ended the subscription before it was made.
            return self.not_made(cx, id, &wish, ErrorCode::PermissionDenied);
        };
        match result {
            Ok(Done::History(page)) => {
                // A position alone is the channel's from here on, and asked for no more.
                if let Some(channel) = self.channels.get_mut(key).filter(|_| query.limit > 0) {
                    channel.cache(query, page.clone(), cx.now());
                }
                self.finish_subscription(cx, id, key, wish, Some(page));
            }
            Ok(_) => {
                self.remove_subscriber(cx, id, key);
                self.not_made(cx, id, &wish, ErrorCode::Internal);
            }
            Err(error) => {
                self.remove_subscriber(cx, id, key);
                self.not_made(cx, id, &wish, error_code(&error));
            }
        }
    }

    /// Puts a subscriber among the others, where what is published from now on is kept for it.
    fn register(&mut self, id: ConnId, key: ChannelKey, wish: &Wish) {
        let (Some(channel), Some(client)) = (self.channels.get_mut(key), self.clients.get_mut(id)) else {
            return;
        };
        let at = u32::try_from(channel.subscribers.len()).expect("connections are fewer than 2^32");
        channel.begin_buffering();
        channel.add_subscriber(Subscriber {
            id,
            standing: Standing::Buffering,
            is_positioned: wish.is_positioned,
            join_leave: wish.join_leave,
        });
        let is_server_side = wish.is_server_side;
        let attempt = wish.attempt;
        client.subscriptions.push(Subscription { channel: key, at, attempt, is_server_side, is_member: false });
    }

    /// What the history would say where that is known without reading it; else what to ask.
    fn known_page(&mut self, cx: &Context<'_>, key: ChannelKey, wish: &Wish) -> Result<Arc<Page>, Query> {
        let limit = self.settings.recovery_limit;
        self.counters.recoveries += u64::from(wish.recover.is_some());
        let channel = self.channels.get(key);
        let position = channel.and_then(|channel| channel.position.as_ref());
        let Some(recover) = &wish.recover else {
            let query = Query { since: None, limit: 0, reverse: false };
            let known = position.map(|(offset, epoch)| Position { offset: *offset, epoch: epoch.clone() });
            return known.map(|position| Arc::new(Page { position, publications: Vec::new() })).ok_or(query);
        };
        if let Some((offset, epoch)) = position {
            let agrees = recover.epoch.is_empty() || *recover.epoch == **epoch;
            if !agrees || recover.offset == *offset {
                let position = Position { offset: *offset, epoch: epoch.clone() };
                return Ok(Arc::new(Page { position, publications: Vec::new() }));
            }
        }
        let since = Some((recover.offset, Epoch::from(&*recover.epoch)));
        let query = Query { since, limit, reverse: false };
        channel.and_then(|channel| channel.cached(&query, cx.now())).ok_or(query)
    }

    fn read_for_subscription(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        channel: ChannelName,
        wish: Wish,
        query: Query,
    ) {
        self.counters.history_reads += 1;
        let request = Request::History { channel: channel.clone(), query: query.clone() };
        let wait = SubscribeWait { id, channel: channel.clone(), wish: wish.clone(), query };
        if self.submit(cx, request, Some(Wait::Subscribe(Box::new(wait)))).is_err() {
            if let Some(key) = self.channels.find(&channel) {
                self.remove_subscriber(cx, id, key);
            }
            return self.not_made(cx, id, &wish, ErrorCode::TooBusy);
        }
        if let Some(client) = self.clients.get_mut(id).filter(|_| wish.purpose != Purpose::Push) {
            client.awaited += 1;
        }
    }

    /// Answers a subscription and lets it go live; one of a connect command when all of them can. `page` is the history
    /// behind its offset, where it has a position.
    fn finish_subscription(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        key: ChannelKey,
        wish: Wish,
        page: Option<Arc<Page>>,
    ) {
        if wish.purpose == Purpose::Connect {
            let connecting = self.clients.get_mut(id).and_then(|client| client.rare.as_mut());
            if let Some(connecting) = connecting.and_then(|rare| rare.connecting.as_mut()) {
                connecting.ready.push((key, wish, page));
            }
            return self.on_connect_part(cx, id);
        }
        let room = self.room_to_recover(cx, id);
        let Some(made) = self.settle_subscription(cx, id, key, &wish, page.as_deref(), room) else {
            return;
        };
        let Some(name) = self.channels.get(key).map(|channel| channel.name.clone()) else {
            return;
        };
        match wish.purpose {
            Purpose::Reply(command) => self.outbox.tell(cx, id, |out| reply::subscribe(out, command, &made.result())),
            Purpose::Push | Purpose::Connect => {
                let text = push::subscribe(&name, &made.result());
                self.outbox.tell(cx, id, |out| out.extend_from_slice(&text));
            }
        }
        self.add_member(cx, id, key);
    }

    /// Bytes of missed publications that a reply may bring; the rest follows as the client reads, so that coming back
    /// to many channels at once makes nobody a slow consumer.
    pub(super) fn room_to_recover(&self, cx: &Context<'_>, id: ConnId) -> usize {
        (cx.settings().write_queue_soft_bytes / 2).saturating_sub(self.outbox.waiting(cx, id))
    }

    /// Lets a subscription go live, with at most `room` bytes of what it missed; `None` where it can't, of which
    /// everybody is told who has to be.
    pub(super) fn settle_subscription(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        key: ChannelKey,
        wish: &Wish,
        page: Option<&Page>,
        room: usize,
    ) -> Option<Subscribed> {
        if let Some(page) = page {
            self.note_epoch(cx, id, key, page);
        }
        let judged = self.judge(key, wish, page);
        let channel = self.channels.get_mut(key)?;
        channel.end_buffering();
        if let Some(page) = page {
            channel.on_page(page);
        }
        let name = channel.name.clone();
        self.set_standing(id, key, Standing::Live);
        let Ok((mut made, offset)) = judged else {
            self.disconnect(cx, id, CloseReason::Local(LocalReason::InsufficientState));
            return None;
        };
        if made.was_recovering && !made.recovered && wish.whole_or_not {
            self.remove_subscriber(cx, id, key);
            self.not_made(cx, id, wish, ErrorCode::UnrecoverablePosition);
            return None;
        }
        self.counters.recovered += u64::from(made.recovered);
        let rest = recovery::cut_to(&mut made.publications, room, made.offset);
        let standing = match (rest, self.channels.get(key)) {
            (Some(last), _) => Standing::Lagging(last),
            (None, Some(channel)) if wish.is_positioned => channel.standing_at(offset),
            (None, _) => Standing::Live,
        };
        self.set_standing(id, key, standing);
        if matches!(standing, Standing::Lagging(_)) {
            cx.watch_drain(id);
        }
        made.ttl = wish.expires_at.map(|at| at.saturating_sub(unix_seconds(cx)));
        if wish.expires_at.is_some() {
            self.set_subscription_end(cx, id, &name, wish.expires_at);
        }
        Some(made)
    }

    /// Whoever wanted a subscription is told that there is none.
    fn not_made(&mut self, cx: &mut Context<'_>, id: ConnId, wish: &Wish, code: ErrorCode) {
        match wish.purpose {
            _ if self.clients.get(id).is_none() => {}
            Purpose::Reply(command) => self.fail(cx, id, command, code),
            Purpose::Connect => self.on_connect_part(cx, id),
            Purpose::Push => {}
        }
    }

    fn judge(&self, key: ChannelKey, wish: &Wish, page: Option<&Page>) -> Result<(Subscribed, u64), recovery::Hole> {
        let (Some(channel), Some(page)) = (self.channels.get(key), page) else {
            return Ok((Subscribed::default(), 0));
        };
        let meanwhile = channel.buffered(&page.position.epoch)?;
        let mut made =
            Subscribed { positioned: true, epoch: Some(page.position.epoch.clone()), ..Subscribed::default() };
        let Some(recover) = &wish.recover else {
            let offset = recovery::merged_top(page.position.offset, meanwhile)?;
            made.offset = offset;
            return Ok((made, offset));
        };
        let Verdict { recovered, publications, gap, offset } = recovery::judge(recover, page, meanwhile)?;
        made.offset = if recovered { recover.offset } else { offset };
        (made.was_recovering, made.recovered, made.gap, made.publications) = (true, recovered, gap, publications);
        Ok((made, offset))
    }

    /// A read that tells of another life of the history than the channel knows: whoever stood in the old one has lost
    /// its position.
    fn note_epoch(&mut self, cx: &mut Context<'_>, id: ConnId, key: ChannelKey, page: &Page) {
        let Some(channel) = self.channels.get_mut(key) else {
            return;
        };
        if channel.position.as_ref().is_some_and(|(_, epoch)| *epoch != page.position.epoch) {
            channel.forget_position();
            self.lose_positions(cx, key, Some(id));
        }
    }

    pub(super) fn set_standing(&mut self, id: ConnId, key: ChannelKey, standing: Standing) {
        let at = self.clients.get(id).and_then(|client| client.subscription(key)).map(|subscription| subscription.at);
        if let (Some(at), Some(channel)) = (at, self.channels.get_mut(key))
            && let Some(subscriber) = channel.subscribers.get(at as usize)
        {
            channel.subscribers[at as usize].standing = channel.standing_of(subscriber, standing);
        }
    }

    /// Whether a subscription is being made by this very wish.
    fn is_awaited(&self, id: ConnId, key: ChannelKey, wish: &Wish) -> bool {
        let subscription = self.clients.get(id).and_then(|client| client.subscription(key));
        let is_its_own = subscription.is_some_and(|subscription| subscription.attempt == wish.attempt);
        is_its_own && self.standing(id, key) == Some(Standing::Buffering)
    }

    pub(super) fn standing(&self, id: ConnId, key: ChannelKey) -> Option<Standing> {
        let subscription = self.clients.get(id)?.subscription(key)?;
        Some(self.channels.get(key)?.subscribers.get(subscription.at as usize)?.standing)
    }
}
