//! The channels of which anything is kept, by name, and when which of it is due. What they say to whom is decided
//! elsewhere; a channel of which nothing is kept any more is not here.

use super::super::Shards;
use super::super::{ChannelName, EngineError, Epoch, HistoryBounds, Page, Position, PublicationBody, Query};
use super::EngineSettings;
use super::history::{History, Ledger};
use super::presence::Presence;
use crate::gateway::Pages;
use crate::timer::{MOVES_PER_POLL, Polled, Time, Wheel};
use std::cell::Cell;
use std::time::Duration;

/// Every method that takes the time first forgets what of the channel is due, so that nobody sees the past however late
/// [`Channels::handle_timeout`] comes.
pub(super) struct Channels {
    by_name: Shards<ChannelName, u32>,
    table: Pages<Channel>,
    /// The one that was found last: a request looks its channel up more than once.
    last: Cell<u32>,
    /// One entry a channel, by its number, at or before its deadline: moved only when that comes nearer.
    wheel: Wheel,
    ledger: Ledger,
    name_bytes: usize,
    /// Members of all channels, and the bytes that they take.
    members: usize,
    presence_bytes: usize,
    epochs: Box<dyn FnMut() -> u64 + Send>,
    position_ttl: Duration,
    max_channels: usize,
    max_history_bytes: usize,
}

struct Channel {
    name: ChannelName,
    is_heard: bool,
    presence: Presence,
    history: Option<History>,
}

/// The wheel's keys end here.
const MAX_CHANNELS: usize = 1 << 31;
/// An epoch's text and the two counts of its handle.
const EPOCH_BYTES: usize = 16 + 2 * size_of::<usize>();

impl Channels {
    pub(super) fn new(settings: &EngineSettings, epochs: Box<dyn FnMut() -> u64 + Send>, now: Time) -> Self {
        Self {
            by_name: Shards::new(),
            table: Pages::default(),
            last: Cell::new(0),
            wheel: Wheel::new(now),
            ledger: Ledger::default(),
            name_bytes: 0,
            members: 0,
            presence_bytes: 0,
            epochs,
            position_ttl: settings.position_ttl,
            max_channels: settings.max_channels.min(MAX_CHANNELS),
            max_history_bytes: settings.max_history_bytes,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn publications(&self) -> usize {
        self.ledger.publications
    }

    pub(super) fn history_bytes(&self) -> usize {
        self.ledger.bytes
    }

    /// Bytes of the tables, of names, epochs, members and publications.
    pub(super) fn held_bytes(&self) -> usize {
        let tables = self.by_name.held_bytes() + self.table.held_bytes() + self.wheel.held_bytes();
        tables + self.name_bytes + self.presence_bytes + self.table.len() * EPOCH_BYTES + self.ledger.bytes
    }

    /// The number of a channel that is here, the same as long as it is.
    pub(super) fn find(&mut self, name: &str, now: Time) -> Option<u32> {
        let number = self.number(name)?;
        self.settle(number, now);
        if self.channel(number).is_vacant() {
            self.remove(number);
            return None;
        }
        Some(number)
    }

    pub(super) fn find_or_create(&mut self, name: &ChannelName, now: Time) -> Result<u32, EngineError> {
        match self.find(name, now) {
            Some(number) => Ok(number),
            None => self.create(name),
        }
    }

    pub(super) fn is_heard(&self, name: &str) -> bool {
        self.number(name).is_some_and(|number| self.channel(number).is_heard)
    }

    pub(super) fn hear(&mut self, name: &ChannelName, now: Time) -> Result<(), EngineError> {
        let number = self.find_or_create(name, now)?;
        self.channel_mut(number).is_heard = true;
        Ok(())
    }

    /// Who was subscribed may come back with the position, so its time begins now.
    pub(super) fn hear_no_more(&mut self, name: &str, now: Time) {
        let Some(number) = self.find(name, now) else {
            return;
        };
        let channel = self.channel_mut(number);
        let was_heard = std::mem::take(&mut channel.is_heard);
        if let Some(history) = channel.history.as_mut().filter(|_| was_heard) {
            history.keep_position_from(now);
        }
        self.refresh(number);
    }

    pub(super) fn push(
        &mut self,
        name: &ChannelName,
        body: PublicationBody,
        bounds: HistoryBounds,
        now: Time,
    ) -> Result<Position, EngineError> {
        self.check_room(name, &body, bounds, now)?;
        let number = self.find_or_create(name, now)?;
        let (history, ledger) = self.history(number, bounds.ttl, now);
        history.push(body, bounds, now, ledger);
        let position = history.position();
        self.refresh(number);
        Ok(position)
    }

    pub(super) fn page(&mut self, name: &ChannelName, query: &Query, now: Time) -> Result<Page, EngineError> {
        let number = self.find_or_create(name, now)?;
        let (history, _) = self.history(number, self.position_ttl, now);
        history.keep_position_from(now);
        let page = history.page(query);
        self.refresh(number);
        Ok(page)
    }

    /// Forgets the publications of a channel, and nothing else of it.
    pub(super) fn clear(&mut self, name: &str, now: Time) {
        let Some(number) = self.find(name, now) else {
            return;
        };
        let channel = self.table.get_mut(number as usize).expect(HERE);
        if let Some(history) = &mut channel.history {
            history.clear(&mut self.ledger);
        }
        self.refresh(number);
    }

    /// Members of all channels.
    pub(super) fn members(&self) -> usize {
        self.members
    }

    pub(super) fn presence(&self, number: u32) -> &Presence {
        &self.channel(number).presence
    }

    /// Changes who is on a channel.
    pub(super) fn change_presence<T>(&mut self, number: u32, change: impl FnOnce(&mut Presence) -> T) -> T {
        let presence = &mut self.table.get_mut(number as usize).expect(HERE).presence;
        let (members, bytes) = (presence.len(), presence.held_bytes());
        let result = change(presence);
        self.members = self.members - members + presence.len();
        self.presence_bytes = self.presence_bytes - bytes + presence.held_bytes();
        result
    }

    /// After anything of a channel changed: lets go of it if nothing is left, else sees to it that its deadline is kept.
    pub(super) fn refresh(&mut self, number: u32) {
        let channel = self.channel(number);
        if channel.is_vacant() {
            return self.remove(number);
        }
        let Some(deadline) = channel.deadline() else {
            return;
        };
        if self.wheel.deadline(number).is_none_or(|armed| deadline < armed) {
            self.wheel.arm(number, deadline);
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.wheel.next_deadline()
    }

    /// Forgets what is due, as long as the budget of entries looked at and publications forgotten lasts.
    pub(super) fn handle_timeout(&mut self, now: Time, mut budget: usize) {
        while budget > 0 {
            let work = match self.wheel.poll(now) {
                Polled::Idle => break,
                Polled::Working => MOVES_PER_POLL,
                Polled::Due(number) => 1 + self.on_due(number, now),
            };
            budget = budget.saturating_sub(work);
        }
    }

    fn on_due(&mut self, number: u32, now: Time) -> usize {
        let forgotten = self.settle(number, now);
        self.refresh(number);
        forgotten
    }

    /// Forgets what is due of a channel; how many publications.
    fn settle(&mut self, number: u32, now: Time) -> usize {
        let channel = self.table.get_mut(number as usize).expect(HERE);
        let Some(history) = &mut channel.history else {
            return 0;
        };
        let forgotten = history.settle(now, &mut self.ledger);
        if !channel.is_heard && history.has_ended(now) {
            channel.history = None;
        }
        forgotten
    }

    /// Refuses a publication for which all histories together have no room.
    fn check_room(
        &mut self,
        name: &str,
        body: &PublicationBody,
        bounds: HistoryBounds,
        now: Time,
    ) -> Result<(), EngineError> {
        let bytes = self.ledger.bytes.saturating_add(Ledger::cost(body));
        if bytes <= self.max_history_bytes {
            return Ok(());
        }
        let found = self.find(name, now).and_then(|number| self.channel(number).history.as_ref());
        let outgoing = found.map_or(0, |history| history.outgoing_bytes(bounds));
        let bytes = self.ledger.bytes.saturating_add(Ledger::cost(body));
        if bytes - outgoing <= self.max_history_bytes { Ok(()) } else { Err(EngineError::LimitExceeded) }
    }

    /// The history of a channel, begun anew where there is none or where its offsets are used up.
    fn history(&mut self, number: u32, ttl: Duration, now: Time) -> (&mut History, &mut Ledger) {
        let channel = self.table.get_mut(number as usize).expect(HERE);
        if let Some(history) = channel.history.take_if(|history| history.is_used_up()).as_mut() {
            history.clear(&mut self.ledger);
        }
        let epochs = &mut self.epochs;
        let history = channel.history.get_or_insert_with(|| History::new(epoch(epochs()), ttl, now));
        (history, &mut self.ledger)
    }

    fn create(&mut self, name: &ChannelName) -> Result<u32, EngineError> {
        if self.table.len() >= self.max_channels {
            return Err(EngineError::LimitExceeded);
        }
        let index = self.table.vacancy();
        let number = u32::try_from(index).expect("the lowest vacancy is below the limit");
        let channel = Channel { name: name.clone(), is_heard: false, presence: Presence::default(), history: None };
        self.table.insert(index, channel);
        self.by_name.insert(name.clone(), number);
        self.name_bytes += name.len();
        Ok(number)
    }

    fn remove(&mut self, number: u32) {
        self.wheel.cancel(number);
        let channel = self.table.remove(number as usize).expect(HERE);
        self.by_name.remove(&channel.name);
        self.name_bytes -= channel.name.len();
    }

    fn number(&self, name: &str) -> Option<u32> {
        if self.table.get(self.last.get() as usize).is_some_and(|last| *last.name == *name) {
            return Some(self.last.get());
        }
        let number = *self.by_name.get(name)?;
        self.last.set(number);
        Some(number)
    }

    fn channel(&self, number: u32) -> &Channel {
        self.table.get(number as usize).expect(HERE)
    }

    fn channel_mut(&mut self, number: u32) -> &mut Channel {
        self.table.get_mut(number as usize).expect(HERE)
    }
}

impl Channel {
    /// Nothing is kept of it.
    fn is_vacant(&self) -> bool {
        !self.is_heard && self.presence.len() == 0 && self.history.is_none()
    }

    /// When something of it is due.
    fn deadline(&self) -> Option<Time> {
        let history = self.history.as_ref()?;
        history.forget_at().or_else(|| (!self.is_heard).then(|| history.end_at()))
    }
}

fn epoch(random: u64) -> Epoch {
    format!("{random:016x}").into()
}

const HERE: &str = "a channel that has a number is here";
