//! Every deadline of the gateway, one for each key, in a hierarchical timing wheel.
//!
//! It never reads a clock, allocates only when a block of 1,024 keys comes into use, and does no more than a fixed amount
//! of work in one call, however many deadlines fall together.

mod lists;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod twin;

use super::Time;
use lists::Lists;

/// The wheel's resolution in milliseconds: a deadline is served at the first multiple of this that is not before it.
pub const TICK_MILLIS: u64 = 10;

/// The lowest level has a slot for each of the next 8,192 ticks, 82 seconds: heartbeats and whatever else a million
/// connections wait for at once goes straight to its tick, and never moves.
const NEAR_BITS: usize = 13;
const NEAR_SLOTS: usize = 1 << NEAR_BITS;

/// Eight levels of 6 bits above it span every tick a [`Time`] can name, so no deadline lies beyond the top of the wheel.
const LEVELS: usize = 9;
const LEVEL_BITS: usize = 6;
const SLOTS_PER_LEVEL: usize = 1 << LEVEL_BITS;
const SLOTS: usize = NEAR_SLOTS + (LEVELS - 1) * SLOTS_PER_LEVEL;
const _: () = assert!(NEAR_SLOTS.is_multiple_of(4096) && SLOTS_PER_LEVEL == 64, "a level above is a word of bits");

/// Entries that one call of [`Wheel::poll`] moves at most: two or three microseconds of work if no move hits a cache.
/// Short beside a turn of the loop, long beside a call.
pub const MOVES_PER_POLL: usize = 64;

/// Deadlines by key, given out in the order of their ticks.
///
/// Keys are slots of the caller's slab: small, dense, and each with one deadline at most. A deadline is never early, and
/// late by less than [`TICK_MILLIS`] if [`poll`](Wheel::poll) is called when [`next_deadline`](Wheel::next_deadline) says.
///
/// Level 0 has a slot for each of 8,192 ticks, level 1 has 64 slots of as many, each level above has slots 64 times as
/// wide. All of them are rings that begin at the wheel's tick. An entry lies at the lowest level whose ring reaches its
/// tick; when the wheel's tick enters its slot it moves down.
pub struct Wheel {
    /// One list for each slot, by its number.
    slots: Lists,
    /// The tick being served. No entry waits in a slot that begins earlier.
    tick: u64,
    /// The last tick the clock has been seen to reach, at or after `tick`.
    reached: u64,
    /// The slot that begins at `tick` and is emptied before any other is looked at. At level 0 its entries are due; above,
    /// they are on their way down, and only here may an entry lie higher than its tick demands.
    open: Slot,
    /// The slot with entries that begins first, and when. Until that is reached nothing has to be looked for.
    next: Option<(Slot, u64)>,
}

/// What one call of [`Wheel::poll`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Polled {
    /// The deadline of this key has come; the wheel holds the key no more.
    Due(u32),
    /// One call's share of entries was moved towards their ticks, and none was due yet: call again, this turn or the next.
    Working,
    /// Nothing more is due at this time.
    Idle,
}

impl Wheel {
    /// An empty wheel for a clock that shows `now`.
    pub fn new(now: Time) -> Wheel {
        let tick = tick_reached(now);
        let slots = Lists::new(SLOTS);
        Wheel { slots, tick, reached: tick, open: Slot::of_tick(tick), next: None }
    }

    /// Sets the deadline of `key`, in place of the one it may have had, in constant time.
    ///
    /// A deadline that is past or present is due at once, behind those of the tick being served. Hence a caller that
    /// answers each due key by arming it for the present must bound how many it takes in one turn.
    ///
    /// # Panics
    ///
    /// If `key` is 2^31 or more.
    pub fn arm(&mut self, key: u32, deadline: Time) {
        let (slot, begin) = self.place(key, tick_of(deadline));
        if self.next.is_none_or(|(_, next)| begin < next) {
            self.next = Some((slot, begin));
        }
        self.keep_next();
    }

    /// Forgets the deadline of `key` in constant time, and says whether it had one.
    pub fn cancel(&mut self, key: u32) -> bool {
        let was_armed = self.slots.remove(key);
        self.keep_next();
        was_armed
    }

    /// When `key` will be due: the deadline it was armed for, rounded up to a whole tick.
    pub fn deadline(&self, key: u32) -> Option<Time> {
        self.slots.tick(key).map(moment)
    }

    /// When to poll again: never after the earliest deadline, and in the past if one has been reached already.
    ///
    /// It may be before the earliest deadline, when entries must move to a lower level; that happens to an entry at most
    /// once for each level: never to one less than 82 seconds away, to one that is hours away once or twice. `None` if no
    /// key is armed.
    #[inline]
    pub fn next_deadline(&self) -> Option<Time> {
        self.next.map(|(_, begin)| moment(begin))
    }

    /// Gives out one key whose deadline is not after `now`: ticks in their order, the keys of one tick in any.
    ///
    /// Each call moves at most 64 entries, so the caller decides how many calls a turn can bear; between them the wheel may
    /// be used freely. A `now` before that of an earlier call counts as that one: time may stand still, but not turn back.
    #[inline]
    pub fn poll(&mut self, now: Time) -> Polled {
        self.reached = self.reached.max(tick_reached(now));
        if self.next.is_none_or(|(_, begin)| begin > self.reached) {
            return self.rest();
        }
        let polled = self.serve();
        self.keep_next();
        polled
    }

    /// The next keys that [`Wheel::poll`] will give out, as far as they are known without opening a slot.
    pub fn next_due(&self) -> impl Iterator<Item = u32> {
        self.slots.keys(self.open.0).filter(|_| self.open.is_near())
    }

    /// Reads what setting or forgetting the deadline of `key` looks at, so that it is in the cache then. What it gives
    /// back means nothing.
    #[inline]
    pub fn glance(&self, key: u32) -> usize {
        self.slots.glance(key)
    }

    /// How many keys have a deadline.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether no key has a deadline.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes on the heap: 16 for each key of every block of 1,024 keys in which at least one is armed, and some change.
    pub fn held_bytes(&self) -> usize {
        self.slots.held_bytes()
    }

    fn serve(&mut self) -> Polled {
        for _ in 0..MOVES_PER_POLL {
            let Some((key, tick)) = self.first_begun() else {
                return self.rest();
            };
            if self.open.is_near() {
                self.slots.remove(key);
                return Polled::Due(key);
            }
            self.place(key, tick);
        }
        Polled::Working
    }

    /// Nothing is due: the wheel's tick is that of the clock.
    #[inline]
    fn rest(&mut self) -> Polled {
        self.open(Slot::of_tick(self.reached), self.reached);
        Polled::Idle
    }

    /// Puts a key into the slot for its tick; which one that is, and when it begins.
    fn place(&mut self, key: u32, tick: u64) -> (Slot, u64) {
        let (slot, begin) = Slot::holding(tick.max(self.tick), self.tick);
        self.slots.put(slot.0, key, tick);
        (slot, begin)
    }

    /// Looks for the slot that begins first, if the one that did has lost its last entry.
    fn keep_next(&mut self) {
        if self.next.is_some_and(|(slot, _)| !self.slots.is_occupied(slot.0)) {
            self.next = self.first_slot();
        }
    }

    /// The first entry of the open slot or, if that is empty, of the next slot that has begun.
    fn first_begun(&mut self) -> Option<(u32, u64)> {
        if let Some(first) = self.slots.first(self.open.0) {
            return Some(first);
        }
        let (slot, begin) = self.next_slot().filter(|(_, begin)| *begin <= self.reached)?;
        self.open(slot, begin);
        self.slots.first(slot.0)
    }

    /// The occupied slot that begins first, and when: the open one before any other.
    fn first_slot(&self) -> Option<(Slot, u64)> {
        if self.slots.is_occupied(self.open.0) { Some((self.open, self.tick)) } else { self.next_slot() }
    }

    /// The occupied slot that begins first, and when, as long as the open one is empty. Of those that begin together it
    /// is the highest: what moves down from there may be due then.
    fn next_slot(&self) -> Option<(Slot, u64)> {
        let mut first = self.next_near_slot();
        let mut occupied = self.slots.occupied_of_4096(NEAR_SLOTS);
        while occupied != 0 {
            let level = 1 + occupied.trailing_zeros() as usize;
            occupied &= occupied - 1;
            let next = self.next_slot_at(level);
            first = first.filter(|(_, begin)| *begin < next.1).or(Some(next));
        }
        first
    }

    fn next_near_slot(&self) -> Option<(Slot, u64)> {
        let at = Slot::of_tick(self.tick).0;
        let found = self.slots.first_occupied(at, NEAR_SLOTS).or_else(|| self.slots.first_occupied(0, at))?;
        let ahead = found.wrapping_sub(at) % NEAR_SLOTS;
        Some((Slot(found), self.tick + ahead as u64))
    }

    /// The same among the slots of a level above the lowest, which is not empty. Its ring begins with the slot in which
    /// the wheel's tick lies, which holds something only while it begins right there and has not been opened.
    fn next_slot_at(&self, level: usize) -> (Slot, u64) {
        let here = self.tick >> shift(level);
        let at = here % SLOTS_PER_LEVEL as u64;
        let ahead = self.slots.occupied_of_64(base(level)).rotate_right(at as u32).trailing_zeros();
        let found = (at as usize + ahead as usize) % SLOTS_PER_LEVEL;
        (Slot(base(level) + found), (here + u64::from(ahead)) << shift(level))
    }

    fn open(&mut self, slot: Slot, tick: u64) {
        self.open = slot;
        self.tick = tick;
    }
}

/// A slot of the wheel by its number: where its level begins, plus the place in the level's ring.
#[derive(Clone, Copy)]
struct Slot(usize);

impl Slot {
    /// Where an entry for `tick` lies while the wheel is at `wheel_tick`, which is not after it, and when that begins.
    fn holding(tick: u64, wheel_tick: u64) -> (Slot, u64) {
        if tick - wheel_tick < NEAR_SLOTS as u64 {
            return (Slot::of_tick(tick), tick);
        }
        let reaches = |level: &usize| (tick >> shift(*level)) - (wheel_tick >> shift(*level)) < SLOTS_PER_LEVEL as u64;
        let level = (1..LEVELS).find(reaches).expect("the highest level reaches every tick there is");
        let number = tick >> shift(level);
        (Slot(base(level) + number as usize % SLOTS_PER_LEVEL), number << shift(level))
    }

    /// The slot of the lowest level for `tick`.
    fn of_tick(tick: u64) -> Slot {
        Slot(tick as usize % NEAR_SLOTS)
    }

    fn is_near(self) -> bool {
        self.0 < NEAR_SLOTS
    }
}

/// The number of the first slot of a level above the lowest.
fn base(level: usize) -> usize {
    NEAR_SLOTS + (level - 1) * SLOTS_PER_LEVEL
}

/// A slot of a level above the lowest is two to this power of ticks wide.
fn shift(level: usize) -> usize {
    NEAR_BITS + (level - 1) * LEVEL_BITS
}

/// The first tick that is not before `deadline`.
fn tick_of(deadline: Time) -> u64 {
    deadline.as_millis().div_ceil(TICK_MILLIS)
}

/// The last tick that is not after `now`. The clock ends in the middle of a tick; its last moment counts as that tick's
/// end, lest a deadline close to it never come.
fn tick_reached(now: Time) -> u64 {
    match now {
        Time::MAX => tick_of(now),
        _ => now.as_millis() / TICK_MILLIS,
    }
}

fn moment(tick: u64) -> Time {
    Time::from_millis(tick.saturating_mul(TICK_MILLIS))
}
