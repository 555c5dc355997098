//! Timers of the handler: any number, each known by a token of the handler's choice.

use crate::timer::{Polled, Time, Wheel};
use slab::Slab;

/// A timer that was set; cancels it once, and nothing after it rang.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimerId {
    key: u32,
    serial: u64,
}

pub(super) struct Timers {
    wheel: Wheel,
    set: Slab<(u64, u64)>,
    serial: u64,
}

impl Timers {
    pub(super) fn new(now: Time) -> Self {
        Self { wheel: Wheel::new(now), set: Slab::new(), serial: 0 }
    }

    pub(super) fn arm(&mut self, deadline: Time, token: u64) -> TimerId {
        self.serial += 1;
        let key = u32::try_from(self.set.insert((self.serial, token))).expect("timers fit in memory, so in 2^32");
        self.wheel.arm(key, deadline);
        TimerId { key, serial: self.serial }
    }

    pub(super) fn cancel(&mut self, id: TimerId) -> bool {
        let found = self.set.get(id.key as usize).is_some_and(|(serial, _)| *serial == id.serial);
        if found {
            self.set.remove(id.key as usize);
            self.wheel.cancel(id.key);
        }
        found
    }

    /// The token of the next timer that rings, `Ok(None)` when none does, `Err` when there is more to sort: call again.
    #[inline]
    pub(super) fn poll(&mut self, now: Time) -> Result<Option<u64>, Unsorted> {
        match self.wheel.poll(now) {
            Polled::Idle => Ok(None),
            Polled::Working => Err(Unsorted),
            Polled::Due(key) => Ok(Some(self.ring(key))),
        }
    }

    fn ring(&mut self, key: u32) -> u64 {
        let (_, token) = self.set.remove(key as usize);
        if self.set.is_empty() {
            self.set.shrink_to_fit();
        }
        token
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.wheel.next_deadline()
    }

    pub(super) fn len(&self) -> usize {
        self.set.len()
    }
}

/// A wheel has bounded the work of one call and has more.
#[derive(Debug)]
pub(super) struct Unsorted;
