//! What follows from what the connection below tells and the server says.

use super::commands::Asked;
use super::heard::{self, Document, Notice, Push, Term, Welcome};
use super::machine::{HubClient, Membership, Phase};
use super::subscription::Subscription;
use super::{HubError, HubEvent, Json, RequestError, RequestId, TokenSource};
use crate::client::{EndReason, Event, Wait};
use crate::connection::{CloseReason, PeerReason};
use crate::timer::Time;
use crate::wire::OwnedMessage;
use std::time::Duration;

pub(super) const TOKEN_EXPIRED: u32 = 109;
/// How long after a refused token another is asked for.
pub(super) const TOKEN_RETRY: Duration = Duration::from_secs(5);
/// A longer session is not kept.
const MAX_SESSION: usize = 1024;

impl HubClient {
    /// Acts on all that the connection below has to tell.
    pub(super) fn listen(&mut self, now: Time) {
        while let Some(event) = self.client.poll_event() {
            match event {
                Event::Connected { attempt, .. } => {
                    self.attempt = attempt;
                    self.greet(now);
                }
                Event::Message(message) => self.on_message(&message, now),
                Event::Lost { reason, next_attempt } => self.on_lost(reason, next_attempt, now),
                Event::AttemptFailed { reason, next_attempt } => {
                    self.events.push_back(HubEvent::AttemptFailed { reason, next_attempt });
                }
                Event::GaveUp { reason } => self.on_end(HubEvent::GaveUp { reason }),
                Event::Stopped => self.on_end(HubEvent::Stopped),
                Event::Kept { .. } | Event::Torn(_) => unreachable!("nothing is sent without a connection, or raw"),
            }
        }
    }

    /// Gives the connection up, to come back where the reason lets us.
    pub(super) fn abandon(&mut self, reason: EndReason, now: Time) {
        self.phase = Phase::Abandoned { had_joined: self.is_joined() };
        self.client.abandon(reason, now);
    }

    fn on_lost(&mut self, reason: EndReason, next_attempt: Wait, now: Time) {
        let had_joined = matches!(self.phase, Phase::Joined(_) | Phase::Abandoned { had_joined: true });
        let cut = self.on_cut();
        self.events.push_back(if had_joined {
            self.lost_at = Some(now);
            HubEvent::Lost { reason, next_attempt }
        } else {
            HubEvent::AttemptFailed { reason, next_attempt }
        });
        self.on_unanswered(cut);
        self.ask_for_token();
    }

    fn on_end(&mut self, last: HubEvent) {
        let mut cut = self.on_cut();
        cut.extend(self.requests.take());
        self.on_unanswered(cut);
        self.events.push_back(last);
    }

    /// Everything that lives as long as a connection ends; the requests that were under way.
    fn on_cut(&mut self) -> Vec<RequestId> {
        (self.phase, self.has_news) = (Phase::Away, false);
        self.client.forget();
        self.publications.on_cut();
        self.channels.values_mut().for_each(Subscription::on_cut);
        let mut requests = Vec::new();
        for asked in std::mem::take(&mut self.commands).into_unanswered() {
            match asked {
                Asked::Request(request, _) => requests.push(request),
                Asked::Unsubscribe(channel) => drop(self.leaving.insert(channel)),
                Asked::Connect | Asked::Subscribe(_) | Asked::Publish(_) | Asked::Refresh | Asked::SubRefresh(_) => {}
            }
        }
        requests
    }

    fn on_unanswered(&mut self, requests: Vec<RequestId>) {
        for request in requests {
            self.requests.settle();
            self.events.push_back(HubEvent::Answer { request, result: Err(RequestError::Cut) });
        }
    }

    fn on_message(&mut self, message: &[u8], now: Time) {
        if let Phase::Joined(membership) = &mut self.phase {
            membership.last_heard = now;
        }
        let (mut is_pinged, text) = (false, std::str::from_utf8(message).unwrap_or("not text"));
        for document in text.split('\n').filter(|document| !document.is_empty()) {
            match heard::read(document) {
                None => self.on_broken("a document is not the protocol's JSON", now),
                Some(document) if document.is_ping() => is_pinged = true,
                Some(document) => self.on_document(document, now),
            }
            if matches!(self.phase, Phase::Abandoned { .. } | Phase::Away) {
                return;
            }
        }
        if is_pinged {
            self.on_ping();
        }
    }

    /// One answer to a message of many pings, and none while too much waits: the server can't make us hoard them.
    fn on_ping(&mut self) {
        let Phase::Joined(Membership { answers_pings: true, .. }) = self.phase else {
            return;
        };
        if self.client.is_connected()
            && let Err(full) = self.client.send(OwnedMessage::text("{}"))
        {
            log::debug!("a ping stays without its answer: {full}");
        }
    }

    fn on_document(&mut self, mut document: Document<'_>, now: Time) {
        match document.push.take() {
            Some(push) => self.on_push(push, now),
            None => match self.commands.answered(document.id, now) {
                Some(asked) => self.on_reply(asked, document, now),
                None => log::debug!("an answer that nobody waits for: {}", document.id),
            },
        }
    }

    fn on_reply(&mut self, asked: Asked, document: Document<'_>, now: Time) {
        let error = document.error.as_ref().map(heard::Refused::error);
        match (asked, error) {
            (Asked::Connect, Some(error)) => self.on_refused(error, now),
            (Asked::Connect, None) => match document.connect {
                Some(welcome) => self.on_welcome(welcome, now),
                None => self.on_broken("an answer to connect without a result", now),
            },
            (Asked::Subscribe(channel), Some(error)) => self.on_subscribe_failed(channel, document.id, error, now),
            (Asked::Subscribe(channel), None) => self.on_subscribed(&channel, document, now),
            (Asked::Publish(number), Some(error)) => self.on_publish_failed(number, error, now),
            (Asked::Publish(number), None) => self.on_published(number, document.publish.unwrap_or_default()),
            (Asked::Request(request, method), error) => self.on_answer(request, method, error, &document),
            (Asked::Refresh, error) => self.on_refreshed(error.is_some(), document.refresh.unwrap_or_default(), now),
            (Asked::SubRefresh(channel), error) => {
                self.on_sub_refreshed(&channel, error.is_some(), document.sub_refresh.unwrap_or_default(), now);
            }
            (Asked::Unsubscribe(_), _) => {}
        }
    }

    pub(super) fn on_broken(&mut self, wrong: &str, now: Time) {
        log::debug!("what the server sends can't be acted on: {wrong}");
        self.abandon(CloseReason::Peer(PeerReason::ProtocolError).into(), now);
    }

    fn on_refused(&mut self, error: HubError, now: Time) {
        let mut is_temporary = error.is_temporary;
        if error.code == TOKEN_EXPIRED && self.options.token == TokenSource::Asked {
            (self.token, is_temporary) = (None, true);
        }
        self.abandon(EndReason::Rejected { code: error.code, words: error.message, is_temporary }, now);
    }

    fn on_welcome(&mut self, welcome: Welcome<'_>, now: Time) {
        let patience = Duration::from_secs(welcome.ping.into()) + self.options.ping_margin;
        self.phase = Phase::Joined(Membership {
            patience: (welcome.ping > 0).then_some(patience),
            last_heard: now,
            answers_pings: welcome.pong,
            refresh_at: if welcome.expires { self.refresh_at(welcome.ttl, now) } else { None },
        });
        self.session = Some(welcome.session.into_owned()).filter(|it| (1..=MAX_SESSION).contains(&it.len()));
        self.events.push_back(HubEvent::Connected {
            client: welcome.client.into_owned(),
            attempt: self.attempt,
            resumed_after: self.lost_at.map(|lost_at| now.saturating_since(lost_at)),
            resumed: welcome.resumed,
            data: heard::taken(welcome.data),
        });
        let has_gone = |channel: &str, it: &Subscription| it.is_the_servers() && !welcome.subs.contains_key(channel);
        self.channels.retain(|channel, subscription| {
            let is_over = has_gone(channel, subscription);
            if is_over {
                let reason = "the server does not make this subscription any more".to_owned();
                self.events.push_back(HubEvent::Unsubscribed { channel: channel.clone(), code: 0, reason });
            }
            !is_over
        });
        self.leaving.retain(|channel| welcome.subs.contains_key(&**channel));
        for (channel, standing) in welcome.subs {
            if !self.leaving.contains(&*channel) {
                self.on_server_standing(&channel, standing, now);
            }
        }
    }

    fn on_published(&mut self, number: u64, published: heard::Published<'_>) {
        if self.publications.settle(number).is_some() {
            let (key, offset) = (self.publications.key(number), Some(published.offset).filter(|&offset| offset > 0));
            self.events.push_back(HubEvent::Published { key, offset, epoch: published.epoch.into_owned() });
        }
    }

    fn on_publish_failed(&mut self, number: u64, error: HubError, now: Time) {
        if error.is_temporary {
            let failures = self.publications.failures(number);
            let until = self.retry_at(failures, now);
            self.publications.hold(number, until);
        } else if let Some(channel) = self.publications.settle(number) {
            let key = self.publications.key(number);
            self.events.push_back(HubEvent::PublishFailed { key, channel, error });
        }
    }

    fn on_answer(&mut self, request: RequestId, method: &str, error: Option<HubError>, document: &Document<'_>) {
        self.requests.settle();
        let result = match error {
            Some(error) => Err(RequestError::Refused(error)),
            None => Ok(Json::taken(document.result(method))),
        };
        self.events.push_back(HubEvent::Answer { request, result });
    }

    fn on_refreshed(&mut self, has_failed: bool, term: Term, now: Time) {
        let after = if has_failed { Some(now + TOKEN_RETRY) } else { self.refresh_at(term.ttl, now) };
        if let Phase::Joined(membership) = &mut self.phase {
            membership.refresh_at = after.filter(|_| has_failed || term.expires);
        }
    }

    fn on_push(&mut self, push: Push<'_>, now: Time) {
        if !self.is_joined() {
            // A server on a plain wire may say why it ends before it has said anything else.
            return push.disconnect.into_iter().for_each(|notice| self.on_disconnect(&notice, now));
        }
        let channel = push.channel.as_ref();
        if let Some(publication) = push.publication {
            self.on_publication(channel, publication);
        } else if let Some(joined) = push.join {
            self.tell_subscriber(channel, |channel| HubEvent::Joined { channel, info: Json::taken(joined.info) });
        } else if let Some(left) = push.leave {
            self.tell_subscriber(channel, |channel| HubEvent::Left { channel, info: Json::taken(left.info) });
        } else if let Some(standing) = push.subscribe {
            self.on_server_subscribed(channel, standing, now);
        } else if let Some(notice) = push.unsubscribe {
            self.on_unsubscribed(channel, &notice, now);
        } else if let Some(message) = push.message {
            self.events.push_back(HubEvent::Message { data: Json::taken(message.data) });
        } else if let Some(notice) = push.disconnect {
            self.on_disconnect(&notice, now);
        } else if let Some(term) = push.refresh {
            self.on_refreshed(false, term, now);
        }
    }
    fn on_disconnect(&mut self, notice: &Notice<'_>, now: Time) {
        let code = u16::try_from(notice.code).ok();
        self.abandon(EndReason::ServerClosed { code, words: notice.words() }, now);
    }
}
