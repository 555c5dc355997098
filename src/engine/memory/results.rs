//! What idempotent publications came to, for those who ask twice. Bounded in number and in time; it never publishes.

use super::super::Shards;
use super::super::{ChannelName, Position};
use crate::timer::Time;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Results by channel and key, each kept for the same time.
pub(super) struct Results {
    by_key: Shards<Arc<Key>, Kept>,
    /// In the order they came, which is that in which they end. One whose key came again meanwhile has lost it.
    in_order: VecDeque<(Time, Arc<Key>)>,
    ttl: Duration,
    max: usize,
    dropped_early: u64,
    /// Of all keys in `in_order`.
    key_bytes: usize,
}

/// What names an idempotent publication.
#[derive(PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) channel: ChannelName,
    pub(super) key: Box<str>,
}

struct Kept {
    until: Time,
    position: Option<Position>,
}

/// Results are let go together, so that a stream of them does not wake the loop for each. Until then they are not seen.
const BATCH_MILLIS: u64 = 1_000;

impl Results {
    pub(super) fn new(ttl: Duration, max: usize) -> Self {
        Self { by_key: Shards::new(), in_order: VecDeque::new(), ttl, max, dropped_early: 0, key_bytes: 0 }
    }

    /// Results kept.
    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Results that made room for others before their time, since the start.
    pub(super) fn dropped_early(&self) -> u64 {
        self.dropped_early
    }

    /// What the first publication with this key came to.
    pub(super) fn get(&self, key: &Key, now: Time) -> Option<&Option<Position>> {
        let kept = self.by_key.get(key)?;
        (now < kept.until).then_some(&kept.position)
    }

    /// Keeps a result. Where there are too many, the oldest goes.
    pub(super) fn insert(&mut self, key: Key, position: Option<Position>, now: Time) {
        let (key, until) = (Arc::new(key), now + self.ttl);
        self.key_bytes += key.key.len();
        self.in_order.push_back((until, key.clone()));
        self.by_key.insert(key, Kept { until, position });
        if self.in_order.len() > self.max {
            self.dropped_early += u64::from(self.drop_oldest().is_some_and(|until| now < until));
        }
    }

    /// When to let go of what has ended.
    pub(super) fn next_deadline(&self) -> Option<Time> {
        let (until, _) = self.in_order.front()?;
        Some(Time::from_millis(until.as_millis().checked_next_multiple_of(BATCH_MILLIS).unwrap_or(u64::MAX)))
    }

    /// Lets go of what has ended, of at most so many.
    pub(super) fn handle_timeout(&mut self, now: Time, budget: usize) {
        if self.next_deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        for _ in 0..budget {
            if self.in_order.front().is_none_or(|(until, _)| now < *until) {
                break;
            }
            self.drop_oldest();
        }
        if self.in_order.len() < self.in_order.capacity() / 4 {
            self.in_order.shrink_to(self.in_order.len() * 2);
        }
    }

    /// Bytes held; channels' names are not counted.
    pub(super) fn held_bytes(&self) -> usize {
        let keys = self.in_order.len() * KEY_BYTES + self.key_bytes;
        self.by_key.held_bytes() + self.in_order.capacity() * size_of::<(Time, Arc<Key>)>() + keys
    }

    fn drop_oldest(&mut self) -> Option<Time> {
        let (until, key) = self.in_order.pop_front()?;
        self.key_bytes -= key.key.len();
        if self.by_key.get(&*key).is_some_and(|kept| kept.until == until) {
            self.by_key.remove(&*key);
        }
        Some(until)
    }
}

/// A key with its two counts.
const KEY_BYTES: usize = size_of::<Key>() + 2 * size_of::<usize>();
