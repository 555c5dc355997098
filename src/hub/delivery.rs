//! Publications on their way to subscribers: copies for those who keep up, a place in the history for those who don't.

use super::channel::{ChannelKey, Standing, Step, Subscriber};
use super::waiting::Wait;
use super::{Hub, push};
use crate::engine::{Done, Engine, EngineError, Epoch, Page, Publication, Query, Request};
use crate::gateway::{ConnId, Context, Offer};
use crate::wire::Prepared;
use std::sync::Arc;

/// Publications read at once for a subscriber that lags.
const CATCH_UP: usize = 256;

impl<E: Engine> Hub<E> {
    /// Hands a publication to everybody who hears of the channel.
    pub(super) fn deliver(
        &mut self,
        cx: &mut Context<'_>,
        name: &str,
        publication: &Publication,
        epoch: Option<&Epoch>,
    ) {
        let Some(key) = self.channels.find(name) else {
            return;
        };
        let Some(channel) = self.channels.get_mut(key) else {
            return;
        };
        match channel.advance(publication, epoch) {
            Step::Old => return,
            Step::Gap => self.lose_positions(cx, key, None),
            Step::Next => {}
        }
        self.counters.publications += 1;
        let push = Prepared::known_text(push::publication(name, publication));
        self.fan_out(cx, key, publication.offset, push);
    }

    /// Tells those who want to hear of it that somebody came or left.
    pub(super) fn announce(&mut self, cx: &mut Context<'_>, name: &str, push: Vec<u8>) {
        let Self { channels, outbox, .. } = self;
        let Some(channel) = channels.find(name).and_then(|key| channels.get(key)) else {
            return;
        };
        let push = Prepared::known_text(push);
        let told = channel.subscribers.iter();
        for subscriber in told.filter(|subscriber| subscriber.join_leave && subscriber.standing != Standing::Buffering)
        {
            if outbox.is_for(subscriber.id) {
                outbox.tell(cx, subscriber.id, |out| out.extend_from_slice(push.body()));
            } else {
                cx.offer(subscriber.id, &push);
            }
        }
    }

    /// What waited for a client has gone down: it gets more of what it lags behind with.
    pub(super) fn catch_up_all(&mut self, cx: &mut Context<'_>, id: ConnId) {
        let Some(client) = self.clients.get(id) else {
            return;
        };
        let channels: Vec<_> = client.subscriptions.iter().map(|subscription| subscription.channel).collect();
        for key in channels {
            self.catch_up(cx, id, key);
        }
    }

    fn catch_up(&mut self, cx: &mut Context<'_>, id: ConnId, key: ChannelKey) {
        let Some(Standing::Lagging(at)) = self.standing(id, key) else {
            return;
        };
        let Some(channel) = self.channels.get(key) else {
            return;
        };
        let Some((_, epoch)) = &channel.position else {
            return self.lose_position(cx, id, key);
        };
        let query = Query { since: Some((at, epoch.clone())), limit: CATCH_UP, reverse: false };
        let name = channel.name.clone();
        if let Some(page) = channel.cached(&query, cx.now()) {
            return self.serve_page(cx, id, key, at, &page);
        }
        self.counters.history_reads += 1;
        let request = Request::History { channel: name.clone(), query: query.clone() };
        if self.submit(cx, request, Some(Wait::CatchUp { id, channel: name, query })).is_err() {
            self.lose_position(cx, id, key);
        }
    }

    /// The engine has read the history for a subscriber that lags.
    pub(super) fn on_catch_up_read(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        name: &str,
        query: Query,
        result: Result<Done, EngineError>,
    ) {
        let Some(key) = self.channels.find(name) else {
            return;
        };
        let at = query.since.as_ref().map(|(at, _)| *at);
        let Some(at) = at.filter(|at| self.standing(id, key) == Some(Standing::Lagging(*at))) else {
            return;
        };
        match result {
            Ok(Done::History(page)) => {
                if let Some(channel) = self.channels.get_mut(key) {
                    channel.cache(query, page.clone(), cx.now());
                }
                self.serve_page(cx, id, key, at, &page);
            }
            Ok(_) | Err(_) => self.lose_position(cx, id, key),
        }
    }

    fn serve_page(&mut self, cx: &mut Context<'_>, id: ConnId, key: ChannelKey, at: u64, page: &Arc<Page>) {
        let Some(channel) = self.channels.get(key) else {
            return;
        };
        let name = channel.name.clone();
        let is_same_life = channel.position.as_ref().is_some_and(|(_, epoch)| *epoch == page.position.epoch);
        let follows = page.publications.first().is_some_and(|first| first.offset == at + 1);
        if !is_same_life || !follows {
            return self.lose_position(cx, id, key);
        }
        let (mut sent, mut full) = (at, false);
        for publication in &page.publications {
            let push = Prepared::known_text(push::publication(&name, publication));
            match cx.offer(id, &push) {
                Offer::Sent => sent = publication.offset,
                Offer::Full => {
                    full = true;
                    break;
                }
                Offer::Gone => return,
            }
            self.counters.deliveries += 1;
        }
        let standing = self.channels.get(key).map_or(Standing::Live, |channel| channel.standing_at(sent));
        self.set_standing(id, key, standing);
        if matches!(standing, Standing::Lagging(_)) && !full {
            self.catch_up(cx, id, key);
        }
    }

    /// Whoever keeps a position in this channel has lost it, but one.
    pub(super) fn lose_positions(&mut self, cx: &mut Context<'_>, key: ChannelKey, except: Option<ConnId>) {
        let Some(channel) = self.channels.get_mut(key) else {
            return;
        };
        channel.spare_positioned();
        let losers = channel.subscribers.iter().filter(|subscriber| {
            subscriber.is_positioned && subscriber.standing != Standing::Buffering && Some(subscriber.id) != except
        });
        for id in losers.map(|subscriber| subscriber.id).collect::<Vec<_>>() {
            self.lose_position(cx, id, key);
        }
    }

    /// Publications may have been missed: asks where every history stands.
    pub(super) fn check_positions(&mut self, cx: &mut Context<'_>) {
        // A subscription that is being made may have been read for before the loss.
        let channels = self.channels.iter().filter(|(_, channel)| {
            let has_history = self.namespaces.get(channel.namespace).history_size > 0;
            channel.position.is_some() || (has_history && channel.is_buffering())
        });
        let checks = channels.map(|(key, channel)| (key, channel.name.clone(), channel.serial));
        for (key, channel, serial) in checks.collect::<Vec<_>>() {
            let query = Query { since: None, limit: 0, reverse: false };
            let request = Request::History { channel: channel.clone(), query };
            if self.submit(cx, request, Some(Wait::Check { channel, serial })).is_err() {
                if let Some(channel) = self.channels.get_mut(key) {
                    channel.lose_track();
                }
                self.lose_positions(cx, key, None);
            }
        }
    }

    /// Where a history stands that may have gone on without us. What was read for a channel that has ended since says
    /// nothing of the one that has begun under its name: that hears only of what came after both.
    pub(super) fn on_position_read(
        &mut self,
        cx: &mut Context<'_>,
        name: &str,
        serial: u64,
        result: Result<Done, EngineError>,
    ) {
        let Some(key) = self.channels.find(name) else {
            return;
        };
        let Some(channel) = self.channels.get_mut(key).filter(|channel| channel.serial == serial) else {
            return;
        };
        match (&result, &channel.position) {
            (Ok(Done::History(page)), None) => return channel.on_page(page),
            (Ok(Done::History(page)), Some((top, epoch)))
                if page.position.epoch == *epoch && page.position.offset <= *top =>
            {
                return;
            }
            (Ok(Done::History(page)), Some(_)) => {
                channel.forget_position();
                // Whoever is being answered and was read for before goes on from the history.
                if channel.is_buffering() {
                    channel.on_page(page);
                }
            }
            _ => channel.lose_track(),
        }
        self.lose_positions(cx, key, None);
    }
}

impl Subscriber {
    /// Whether it gets the publication with this offset now; 0 is in no order.
    #[inline]
    pub(super) fn is_next(&mut self, offset: u64) -> bool {
        match self.standing {
            Standing::Live => true,
            Standing::Buffering => false,
            Standing::Ahead(at) if offset > at => {
                self.standing = Standing::Live;
                true
            }
            Standing::Ahead(_) | Standing::Lagging(_) => offset == 0,
        }
    }
}
