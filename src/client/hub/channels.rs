//! What follows for a channel from what the server says of it.

use super::heard::{Document, Notice, Publication, Standing, Term};
use super::hearing::{TOKEN_EXPIRED, TOKEN_RETRY};
use super::machine::{HubClient, HubCounts};
use super::subscription::{Arrival, Hole, Return, State, Subscription};
use super::talking::share;
use super::{HubError, HubEvent, Json, Recovery, heard};
use crate::timer::Time;
use std::collections::VecDeque;

const ALREADY_SUBSCRIBED: u32 = 105;
/// The first code after which a subscription is asked for again.
const INSUFFICIENT_STATE: u32 = 2500;
/// A subscription's own token has expired.
const SUBSCRIPTION_EXPIRED: u32 = 2501;

impl HubClient {
    /// The server has subscribed us, or has kept a subscription of ours while we were away.
    pub(super) fn on_server_standing(&mut self, channel: &str, standing: Standing<'_>, now: Time) {
        if !self.channels.contains_key(channel) {
            if self.channels.len() >= self.options.max_subscriptions {
                return self.on_broken("more subscriptions than we asked for and want", now);
            }
            self.channels.insert(channel.into(), Subscription::of_the_server());
        }
        self.on_standing(channel, standing, now);
    }

    pub(super) fn on_subscribed(&mut self, channel: &str, document: Document<'_>, now: Time) {
        let is_ours = |it: &Subscription| it.state == State::Asked { id: document.id };
        if self.channels.get(channel).is_some_and(is_ours) {
            self.on_standing(channel, document.subscribe.unwrap_or_default(), now);
        }
    }

    fn on_standing(&mut self, channel: &str, standing: Standing<'_>, now: Time) {
        let Self { channels, events, counts, .. } = self;
        let Some(subscription) = channels.get_mut(channel) else {
            return;
        };
        let found = subscription.on_standing(&standing);
        let is_refreshed = standing.expires && subscription.asks_for_tokens();
        subscription.refresh_at = is_refreshed.then(|| now + share(standing.ttl));
        let (channel, position) = (Box::<str>::from(channel), subscription.position.clone());
        let (recovery, hole) = match found {
            Return::Fresh => (Recovery::Fresh, None),
            Return::Whole => (Recovery::Whole, None),
            Return::Gap(hole) => (Recovery::Gap, Some(hole)),
        };
        let by_server = subscription.is_the_servers();
        events.push_back(HubEvent::Subscribed { channel: channel.clone(), recovery, position, by_server });
        if let Some(Hole { from, to, reason }) = hole {
            counts.gaps += 1;
            events.push_back(HubEvent::Gap { channel: channel.clone(), from, to, reason });
        }
        for publication in standing.publications {
            deliver(&channel, subscription, publication, events, counts);
        }
        if let Arrival::Missed(from, to) = subscription.on_top(standing.offset) {
            miss(&channel, from, to, events, counts);
        }
    }

    pub(super) fn on_subscribe_failed(&mut self, channel: Box<str>, id: u32, error: HubError, now: Time) {
        let Some(failures) = self.channels.get(&channel).filter(|it| it.state == State::Asked { id }) else {
            return;
        };
        let (failures, asks) = (failures.failures, failures.asks_for_tokens());
        let is_expired = error.code == TOKEN_EXPIRED && asks;
        let is_already = error.code == ALREADY_SUBSCRIBED;
        if !(error.is_temporary || is_expired || is_already) {
            self.channels.remove(&channel);
            return self.events.push_back(HubEvent::SubscribeFailed { channel, error });
        }
        if is_already {
            // A session that was kept. Where it stands is not where we do: our position counts.
            self.leaving.insert(channel.clone());
        }
        // Another token, or another order, may do at once; not twice.
        let is_mended = (is_expired || is_already) && failures == 0;
        let until = if is_mended { now } else { self.retry_at(failures, now) };
        self.subscribe_again(channel, until, is_expired, error);
        self.on_due_subscriptions(now);
    }

    /// Asks for a subscription again when its time has come.
    fn subscribe_again(&mut self, channel: Box<str>, until: Time, drops_token: bool, error: HubError) {
        if let Some(subscription) = self.channels.get_mut(&channel) {
            subscription.state = State::Waiting { until };
            subscription.failures = subscription.failures.saturating_add(1);
            subscription.token.take_if(|_| drops_token);
            self.events.push_back(HubEvent::Resubscribing { channel, error });
        }
    }

    pub(super) fn on_sub_refreshed(&mut self, channel: &str, has_failed: bool, term: Term, now: Time) {
        if let Some(subscription) = self.channels.get_mut(channel).filter(|it| it.asks_for_tokens()) {
            let after = if has_failed { TOKEN_RETRY } else { share(term.ttl) };
            subscription.refresh_at = (has_failed || term.expires).then(|| now + after);
        }
    }

    /// A publication of a channel that we are in; others belong to a subscription that we have left.
    pub(super) fn on_publication(&mut self, channel: &str, publication: Publication<'_>) {
        let Self { channels, events, counts, .. } = self;
        if let Some(subscription) = channels.get_mut(channel).filter(|it| it.state == State::Active) {
            deliver(channel, subscription, publication, events, counts);
        }
    }

    /// Tells something of a channel that we are in.
    pub(super) fn tell_subscriber(&mut self, channel: &str, event: impl FnOnce(Box<str>) -> HubEvent) {
        if self.channels.get(channel).is_some_and(|it| it.state == State::Active) {
            self.events.push_back(event(channel.into()));
        }
    }

    /// The server subscribes us by itself, unless we are already.
    pub(super) fn on_server_subscribed(&mut self, channel: &str, standing: Standing<'_>, now: Time) {
        if self.channels.get(channel).is_none_or(Subscription::is_the_servers) {
            self.on_server_standing(channel, standing, now);
        }
    }

    pub(super) fn on_unsubscribed(&mut self, channel: &str, notice: &Notice<'_>, now: Time) {
        let Some(subscription) = self.channels.get(channel).filter(|it| it.state == State::Active) else {
            return;
        };
        let (code, failures, channel) = (notice.code, subscription.failures, Box::<str>::from(channel));
        if code < INSUFFICIENT_STATE || subscription.is_the_servers() {
            self.channels.remove(&channel);
            return self.events.push_back(HubEvent::Unsubscribed { channel, code, reason: notice.words() });
        }
        let drops_token = code == SUBSCRIPTION_EXPIRED && subscription.asks_for_tokens();
        let until = self.retry_at(failures, now);
        let error = HubError { code, message: notice.words(), is_temporary: true };
        self.subscribe_again(channel, until, drops_token, error);
    }
}

fn deliver(
    channel: &str,
    subscription: &mut Subscription,
    publication: Publication<'_>,
    events: &mut VecDeque<HubEvent>,
    counts: &mut HubCounts,
) {
    match subscription.on_publication(publication.offset) {
        Arrival::Next => {}
        Arrival::Doubled => {
            counts.doubled += 1;
            return events.push_back(HubEvent::Doubled { channel: channel.into(), offset: publication.offset });
        }
        Arrival::Missed(from, to) => miss(channel, from, to, events, counts),
    }
    counts.publications += 1;
    events.push_back(HubEvent::Publication {
        channel: channel.into(),
        offset: Some(publication.offset).filter(|&offset| offset > 0),
        data: Json::taken(publication.data),
        info: heard::taken(publication.info),
        tags: heard::taken(publication.tags),
    });
}

fn miss(channel: &str, from: u64, to: u64, events: &mut VecDeque<HubEvent>, counts: &mut HubCounts) {
    counts.missed = counts.missed.saturating_add((to - from).saturating_add(1));
    events.push_back(HubEvent::Missed { channel: channel.into(), from, to });
}
