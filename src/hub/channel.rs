//! Channels: who hears of them, and how far each has heard.

use super::fan_out::UnderWay;
use super::namespace::NamespaceKey;
use super::recovery;
use crate::engine::{ChannelName, Epoch, Page, Publication, Query, Shards};
use crate::gateway::{ConnId, Pages};
use crate::timer::Time;
use std::cell::Cell;
use std::sync::Arc;

/// A channel with subscribers, for as long as it has any.
pub(super) type ChannelKey = u32;

/// How a subscriber stands to what is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It has had everything up to the channel's own position, or is on the way of what it has not.
    Live,
    /// It is being answered; what is published meanwhile is kept for it with the channel.
    Buffering,
    /// It has had everything up to here, which the channel will only reach.
    Ahead(u64),
    /// It has had everything up to here, and gets the rest from the history when it drains.
    Lagging(u64),
}

/// One connection that hears of a channel.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subscriber {
    pub(super) id: ConnId,
    pub(super) standing: Standing,
    /// It keeps a position, so that a gap has to be told.
    pub(super) is_positioned: bool,
    /// It hears who comes and goes.
    pub(super) join_leave: bool,
}

#[derive(Debug)]
pub(super) struct Channel {
    pub(super) name: ChannelName,
    pub(super) namespace: NamespaceKey,
    /// Tells it from others of its name, before it and after it.
    pub(super) serial: u64,
    pub(super) subscribers: Vec<Subscriber>,
    /// The newest publication that was handed to subscribers, and the life it belongs to.
    pub(super) position: Option<(u64, Epoch)>,
    /// Publications that some of them have yet to get, those first that fewest have.
    #[allow(clippy::box_collection)]
    pub(super) under_way: Option<Box<Vec<UnderWay>>>,
    /// What was published while some of the subscribers are being answered.
    buffering: Option<Box<Buffering>>,
    /// The last part of the history that was read, and when: as good as new within the same turn of the loop.
    read: Option<Box<Read>>,
}

#[derive(Debug, Default)]
struct Buffering {
    subscribers: usize,
    publications: Vec<Publication>,
    /// The life of the history they belong to.
    epoch: Option<Epoch>,
    /// More came than is kept.
    overflowed: bool,
}

#[derive(Debug)]
struct Read {
    at: Time,
    query: Query,
    page: Arc<Page>,
}

/// What a publication is to a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// It follows what came before, or has no place in any order.
    Next,
    /// It was handed on before.
    Old,
    /// Something before it is missing, or it belongs to another life: positions are worth nothing any more.
    Gap,
}

/// Publications kept for subscribers that are being answered.
const MAX_BUFFERED: usize = 10_000;

/// Up to so many take no more memory than they need.
const EXACT_SUBSCRIBERS: usize = 4;

impl Channel {
    /// Takes note of a publication.
    pub(super) fn advance(&mut self, publication: &Publication, epoch: Option<&Epoch>) -> Step {
        let (offset, Some(epoch)) = (publication.offset, epoch) else {
            return Step::Next;
        };
        self.read = None;
        let step = match &self.position {
            Some((top, own)) if *own == *epoch && offset <= *top => return Step::Old,
            Some((top, own)) if *own == *epoch && offset == *top + 1 => Step::Next,
            Some(_) => Step::Gap,
            None => Step::Next,
        };
        self.position = Some((offset, epoch.clone()));
        if let Some(buffering) = &mut self.buffering {
            if buffering.epoch.as_ref() != Some(epoch) {
                buffering.publications.clear();
                buffering.epoch = Some(epoch.clone());
            }
            buffering.overflowed |= buffering.publications.len() >= MAX_BUFFERED;
            if !buffering.overflowed {
                buffering.publications.push(publication.clone());
            }
        }
        step
    }

    /// A read says where the history stands; the first one says where the channel begins to listen.
    pub(super) fn on_page(&mut self, page: &Page) {
        if self.position.is_none() {
            self.position = Some((page.position.offset, page.position.epoch.clone()));
        }
    }

    /// Where a subscriber stands that has had everything up to `offset`.
    pub(super) fn standing_at(&self, offset: u64) -> Standing {
        match &self.position {
            Some((top, _)) if offset > *top => Standing::Ahead(offset),
            Some((top, _)) if offset < *top => Standing::Lagging(offset),
            Some(_) | None => Standing::Live,
        }
    }

    /// Most channels have one subscriber, or few: memory for more is only taken when there are more.
    pub(super) fn add_subscriber(&mut self, subscriber: Subscriber) {
        if self.subscribers.len() < EXACT_SUBSCRIBERS {
            self.subscribers.reserve_exact(1);
        }
        self.subscribers.push(subscriber);
    }

    /// Whether some of the subscribers are being answered.
    pub(super) fn is_buffering(&self) -> bool {
        self.buffering.is_some()
    }

    /// Nobody knows what was missed: who is being answered can't rely on what was read for it.
    pub(super) fn lose_track(&mut self) {
        self.forget_position();
        if let Some(buffering) = &mut self.buffering {
            buffering.overflowed = true;
        }
    }

    /// One more subscriber is being answered.
    pub(super) fn begin_buffering(&mut self) {
        self.buffering.get_or_insert_default().subscribers += 1;
    }

    /// What was published meanwhile; `Err` where more was than is kept, or in another life of the history than `epoch`.
    pub(super) fn buffered(&self, epoch: &Epoch) -> Result<&[Publication], recovery::Hole> {
        match &self.buffering {
            Some(buffering) if buffering.overflowed => Err(recovery::Hole),
            Some(buffering) if buffering.epoch.as_ref().is_some_and(|of| of != epoch) => Err(recovery::Hole),
            Some(buffering) => Ok(&buffering.publications),
            None => Ok(&[]),
        }
    }

    /// One of them has its answer, or needs none.
    pub(super) fn end_buffering(&mut self) {
        if let Some(buffering) = &mut self.buffering {
            buffering.subscribers -= 1;
            if buffering.subscribers == 0 {
                self.buffering = None;
            }
        }
    }

    /// What the same question brought in this turn of the loop.
    pub(super) fn cached(&self, query: &Query, now: Time) -> Option<Arc<Page>> {
        self.read.as_ref().filter(|read| read.at == now && read.query == *query).map(|read| read.page.clone())
    }

    /// Keeps an answer for those who ask the same in this turn.
    pub(super) fn cache(&mut self, query: Query, page: Arc<Page>, now: Time) {
        self.read = Some(Box::new(Read { at: now, query, page }));
    }

    /// Forgets where it stood: another life of its history has begun.
    pub(super) fn forget_position(&mut self) {
        self.position = None;
        self.read = None;
    }
}

/// Every channel that has subscribers.
#[derive(Debug, Default)]
pub(super) struct Channels {
    by_name: Shards<ChannelName, ChannelKey>,
    channels: Pages<Channel>,
    /// The one that was found last: who publishes is looked up, and then what was published.
    last: Cell<ChannelKey>,
    last_serial: u64,
}

impl Channels {
    pub(super) fn len(&self) -> usize {
        self.channels.len()
    }

    pub(super) fn find(&self, name: &str) -> Option<ChannelKey> {
        if self.get(self.last.get()).is_some_and(|last| *last.name == *name) {
            return Some(self.last.get());
        }
        let key = *self.by_name.get(name)?;
        self.last.set(key);
        Some(key)
    }

    /// A channel's name to be shared: its own, where anybody hears of it.
    pub(super) fn name(&self, name: &str) -> ChannelName {
        let channel = self.find(name).and_then(|key| self.get(key));
        channel.map_or_else(|| name.into(), |channel| channel.name.clone())
    }

    pub(super) fn get(&self, key: ChannelKey) -> Option<&Channel> {
        self.channels.get(key as usize)
    }

    pub(super) fn get_mut(&mut self, key: ChannelKey) -> Option<&mut Channel> {
        self.channels.get_mut(key as usize)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ChannelKey, &Channel)> {
        self.channels.iter().map(|(key, channel)| (to_key(key), channel))
    }

    /// Makes room for a channel that has no subscribers yet.
    pub(super) fn insert(&mut self, name: &ChannelName, namespace: NamespaceKey) -> ChannelKey {
        self.last_serial += 1;
        let index = self.channels.vacancy();
        let key = to_key(index);
        let channel = Channel {
            name: name.clone(),
            namespace,
            serial: self.last_serial,
            subscribers: Vec::new(),
            position: None,
            under_way: None,
            buffering: None,
            read: None,
        };
        self.channels.insert(index, channel);
        self.by_name.insert(name.clone(), key);
        key
    }

    /// Forgets a channel that nobody hears of.
    pub(super) fn remove(&mut self, key: ChannelKey) {
        if let Some(channel) = self.channels.remove(key as usize) {
            self.by_name.remove(&channel.name);
        }
    }
}

fn to_key(index: usize) -> ChannelKey {
    u32::try_from(index).expect("max_channels is far below 2^32")
}
