//! The engine in this process: everything is in memory, and every answer lies ready at the next poll. It never waits for
//! anything, and nothing of it outlives the process.

mod channels;
mod history;
mod presence;
mod results;
mod settings;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod twin;

pub use settings::EngineSettings;

use super::{
    ChannelName, Done, Engine, EngineError, Event, Full, Member, Position, Publication, Publish, Request, Ticket,
};
use crate::timer::{Time, earliest};
use channels::Channels;
use results::{Key, Results};
use std::collections::VecDeque;

/// Histories, presence and the results of idempotent publications, in memory.
///
/// A publication that is heard of comes before the answer to it, so that a publisher who is subscribed sees its message
/// first; so do comers and leavers. An announced member is announced each time it is noted.
///
/// Who asks for more than the settings allow is answered by [`EngineError::LimitExceeded`], and nothing has changed.
pub struct MemoryEngine {
    channels: Channels,
    results: Results,
    ready: VecDeque<Event>,
    /// The latest time it was told; time may stand still, but it does not turn back.
    now: Time,
}

/// Events that wait to be polled, beyond which requests are refused that do not let go of something: some 6 MB.
const MAX_READY: usize = 65_536;
/// Room for events that stays when all have been polled.
const READY_KEPT: usize = 1_024;
/// Entries looked at and publications forgotten in one call, and as many results: some four milliseconds where whole
/// channels vanish that no cache holds. With a call every 10 ms, 200,000 a second.
const WORK_PER_CALL: usize = 2_048;

impl MemoryEngine {
    /// An empty engine at the time `now`.
    ///
    /// Each number that `epochs` gives names one life of a history. No number should come twice, not even in another
    /// process: they are to be random, though not secret.
    pub fn new(settings: &EngineSettings, epochs: Box<dyn FnMut() -> u64 + Send>, now: Time) -> Self {
        Self {
            channels: Channels::new(settings, epochs, now),
            results: Results::new(settings.idempotency_ttl, settings.max_idempotency_keys),
            ready: VecDeque::new(),
            now,
        }
    }

    /// Channels of which anything is kept: that are heard of, have members, or have a position.
    pub fn channels(&self) -> usize {
        self.channels.len()
    }

    /// Publications in all histories.
    pub fn publications(&self) -> usize {
        self.channels.publications()
    }

    /// What these count towards [`EngineSettings::max_history_bytes`].
    pub fn history_bytes(&self) -> usize {
        self.channels.history_bytes()
    }

    /// Members of all channels.
    pub fn members(&self) -> usize {
        self.channels.members()
    }

    /// Results of idempotent publications that are kept.
    pub fn idempotency_keys(&self) -> usize {
        self.results.len()
    }

    /// Results of idempotent publications that made room for others before their time, since the start.
    pub fn dropped_idempotency_keys(&self) -> u64 {
        self.results.dropped_early()
    }

    /// Bytes of memory held, as near as can be told without asking the allocator.
    pub fn held_bytes(&self) -> usize {
        let ready = self.ready.capacity() * size_of::<Event>();
        self.channels.held_bytes() + self.results.held_bytes() + ready
    }

    fn see(&mut self, now: Time) -> Time {
        self.now = self.now.max(now);
        self.now
    }

    fn answer(&mut self, request: Request, now: Time) -> Result<Done, EngineError> {
        match request {
            Request::Publish(publish) => return self.publish(publish, now).map(Done::Published),
            Request::History { channel, query } => {
                return self.channels.page(&channel, &query, now).map(|page| Done::History(page.into()));
            }
            Request::RemoveHistory { channel } => self.channels.clear(&channel, now),
            Request::Subscribe { channel } => self.channels.hear(&channel, now)?,
            Request::Unsubscribe { channel } => self.channels.hear_no_more(&channel, now),
            Request::AddMember { channel, member, presence, announce } => {
                self.add_member(channel, member, presence, announce, now)?;
            }
            Request::RemoveMember { channel, member, presence, announce } => {
                self.remove_member(channel, member, presence, announce, now);
            }
            Request::Presence { channel } => return Ok(Done::Presence(self.list_members(&channel, now))),
            Request::PresenceStats { channel } => return Ok(self.count_members(&channel, now)),
        }
        Ok(Done::Nothing)
    }

    fn publish(&mut self, publish: Publish, now: Time) -> Result<Option<Position>, EngineError> {
        let Publish { channel, body, history, idempotency_key } = publish;
        let key = idempotency_key.map(|key| Key { channel: channel.clone(), key });
        if let Some(first) = key.as_ref().and_then(|key| self.results.get(key, now)) {
            return Ok(first.clone());
        }
        let kept = history.map(|bounds| self.channels.push(&channel, body.clone(), bounds, now));
        let position = kept.transpose()?;
        if let Some(key) = key {
            self.results.insert(key, position.clone(), now);
        }
        if self.channels.is_heard(&channel) {
            self.tell(channel, body, position.clone());
        }
        Ok(position)
    }

    fn tell(&mut self, channel: ChannelName, body: super::PublicationBody, position: Option<Position>) {
        let (offset, epoch) = position.map_or((0, None), |position| (position.offset, Some(position.epoch)));
        self.ready.push_back(Event::Publication { channel, publication: Publication { offset, body }, epoch });
    }

    fn add_member(
        &mut self,
        channel: ChannelName,
        member: Member,
        presence: bool,
        announce: bool,
        now: Time,
    ) -> Result<(), EngineError> {
        let info = member.info.clone();
        if presence {
            let number = self.channels.find_or_create(&channel, now)?;
            self.channels.change_presence(number, |presence| presence.add(member));
        }
        if announce && self.channels.is_heard(&channel) {
            self.ready.push_back(Event::Joined { channel, info });
        }
        Ok(())
    }

    fn remove_member(&mut self, channel: ChannelName, member: Member, presence: bool, announce: bool, now: Time) {
        let is_gone = !presence || self.take_member(&channel, member.client, now);
        if announce && is_gone && self.channels.is_heard(&channel) {
            self.ready.push_back(Event::Left { channel, info: member.info });
        }
    }

    fn take_member(&mut self, channel: &str, client: u128, now: Time) -> bool {
        let Some(number) = self.channels.find(channel, now) else {
            return false;
        };
        let was_there = self.channels.change_presence(number, |presence| presence.remove(client));
        self.channels.refresh(number);
        was_there
    }

    fn list_members(&mut self, channel: &str, now: Time) -> Vec<Member> {
        self.channels.find(channel, now).map_or_else(Vec::new, |number| self.channels.presence(number).list())
    }

    fn count_members(&mut self, channel: &str, now: Time) -> Done {
        let number = self.channels.find(channel, now);
        let crowd = number.map(|number| self.channels.presence(number).crowd()).unwrap_or_default();
        Done::PresenceStats { clients: crowd.clients, users: crowd.users }
    }
}

impl Engine for MemoryEngine {
    /// Never refuses what lets go of something, so that nobody stays behind because too many left at once.
    fn submit(&mut self, ticket: Ticket, request: Request, now: Time) -> Result<(), Full> {
        if self.ready.len() >= MAX_READY && !lets_go(&request) {
            return Err(Full);
        }
        let now = self.see(now);
        let done = self.answer(request, now);
        self.ready.push_back(Event::Done(ticket, done));
        Ok(())
    }

    fn poll(&mut self, _now: Time) -> Option<Event> {
        let event = self.ready.pop_front();
        if self.ready.is_empty() && self.ready.capacity() > READY_KEPT {
            self.ready = VecDeque::new();
        }
        event
    }

    fn poll_timeout(&self) -> Option<Time> {
        earliest([self.channels.next_deadline(), self.results.next_deadline()])
    }

    /// Where there is more to let go of than one call may, [`Engine::poll_timeout`] is in the past.
    fn handle_timeout(&mut self, now: Time) {
        let now = self.see(now);
        self.channels.handle_timeout(now, WORK_PER_CALL);
        self.results.handle_timeout(now, WORK_PER_CALL);
    }
}

fn lets_go(request: &Request) -> bool {
    match request {
        Request::RemoveHistory { .. } | Request::Unsubscribe { .. } | Request::RemoveMember { .. } => true,
        Request::Publish(_)
        | Request::History { .. }
        | Request::Subscribe { .. }
        | Request::AddMember { .. }
        | Request::Presence { .. }
        | Request::PresenceStats { .. } => false,
    }
}
