//! A hash table that becomes many small ones when it is large: no growth or shrinking ever moves more than a small part of
//! a large one, and what is emptied goes back. It never tells its entries in any order.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};

/// Values by key.
pub(crate) struct Shards<K, V> {
    /// One, or [`TABLES`].
    tables: Box<[HashMap<K, V>]>,
    hasher: RandomState,
    len: usize,
}

/// With two million entries one table moves some 8,000 when it grows, in a fraction of a millisecond.
const TABLES: usize = 256;
/// Beyond so many entries there are many tables, however few they become later, until there is none.
const MAX_IN_ONE: usize = 4096;
/// The tables themselves use the lowest bits and the highest seven of the same hash.
const TABLE_BITS_FROM: u32 = 40;

impl<K: Hash + Eq, V> Shards<K, V> {
    pub(crate) fn new() -> Self {
        let hasher = RandomState::new();
        Self { tables: tables(1, &hasher), hasher, len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.tables[self.table_of(key)].get(key)
    }

    pub(crate) fn get_mut<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.tables[self.table_of(key)].get_mut(key)
    }

    /// Puts a value in, in place of the one that may have been there, which is given back.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        if self.len >= MAX_IN_ONE && self.tables.len() == 1 {
            self.divide();
        }
        let table = self.table_of(&key);
        let before = self.tables[table].insert(key, value);
        self.len += usize::from(before.is_none());
        before
    }

    pub(crate) fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let number = self.table_of(key);
        let table = &mut self.tables[number];
        let value = table.remove(key)?;
        self.len -= 1;
        let (len, capacity) = (table.len(), table.capacity());
        if len < capacity / 4 && len < shrinks_below(capacity, number, &self.hasher) {
            table.shrink_to(len * 2);
        }
        if self.len == 0 && self.tables.len() > 1 {
            self.tables = tables(1, &self.hasher);
        }
        Some(value)
    }

    /// All values, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.tables.iter().flatten()
    }

    /// Bytes of the tables, without what their keys and values own elsewhere.
    pub(crate) fn held_bytes(&self) -> usize {
        let slots: usize = self.tables.iter().map(|table| (table.capacity() * 8).div_ceil(7)).sum();
        slots * (size_of::<(K, V)>() + 1) + size_of_val(&*self.tables)
    }

    fn divide(&mut self) {
        let all = std::mem::replace(&mut self.tables, tables(TABLES, &self.hasher));
        for (key, value) in all.into_iter().flatten() {
            let table = self.table_of(&key);
            self.tables[table].insert(key, value);
        }
    }

    fn table_of<Q: Hash + ?Sized>(&self, key: &Q) -> usize {
        match self.tables.len() {
            1 => 0,
            tables => (self.hasher.hash_one(key) >> TABLE_BITS_FROM) as usize % tables,
        }
    }
}

/// How few entries make a table of this capacity smaller: between an eighth and a quarter of it, each table at a number of
/// its own. Many that empty at the same pace, as those of channels of one size do when all clients leave, would otherwise
/// all be rebuilt in one turn.
fn shrinks_below(capacity: usize, table: usize, hasher: &RandomState) -> usize {
    let eighth = capacity / 8 + 1;
    eighth + hasher.hash_one((table, capacity)) as usize % eighth
}

fn tables<K, V>(count: usize, hasher: &RandomState) -> Box<[HashMap<K, V>]> {
    (0..count).map(|_| HashMap::with_hasher(hasher.clone())).collect()
}

impl<K: Hash + Eq, V> Default for Shards<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, V> fmt::Debug for Shards<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shards").field("len", &self.len).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_is_found_until_it_is_taken_out() {
        let mut shards = Shards::new();
        for key in 0..10_000_u32 {
            shards.insert(key, 0);
            shards.insert(key, key);
        }
        assert_eq!(shards.len(), 10_000);
        for key in (0..10_000).step_by(2) {
            assert_eq!((shards.remove(&key), shards.remove(&key)), (Some(key), None));
        }
        assert_eq!(shards.len(), 5_000);
        assert!((0..10_000).all(|key| shards.get(&key).copied() == (key % 2 == 1).then_some(key)));
    }

    #[test]
    fn keys_spread_over_all_tables() {
        let mut shards = Shards::new();
        (0..100_000_u32).for_each(|key| assert_eq!(shards.insert(key, ()), None));
        let lens: Vec<usize> = shards.tables.iter().map(HashMap::len).collect();
        assert!(lens.iter().all(|len| (200..600).contains(len)), "{lens:?}");
    }

    #[test]
    fn memory_of_what_was_taken_out_goes_back() {
        let mut shards = Shards::new();
        let empty = shards.held_bytes();
        (0..100_000_u32).for_each(|key| assert_eq!(shards.insert(key, key), None));
        let full = shards.held_bytes();
        assert!((100_000 * 9..100_000 * 40).contains(&full), "{full}");
        (1_000..100_000).for_each(|key| assert!(shards.remove(&key).is_some()));
        assert!(shards.held_bytes() < full / 10);
        (0..1_000).for_each(|key| assert!(shards.remove(&key).is_some()));
        assert_eq!((shards.held_bytes(), shards.len()), (empty, 0));
    }

    #[test]
    fn tables_that_empty_at_one_pace_are_not_made_smaller_at_one_moment() {
        let mut all: Vec<Shards<u32, ()>> = (0..100).map(|_| Shards::new()).collect();
        all.iter_mut().for_each(|shards| (0..1000).for_each(|key| assert_eq!(shards.insert(key, ()), None)));
        let capacities = |all: &[Shards<u32, ()>]| all.iter().map(|shards| shards.tables[0].capacity()).sum::<usize>();
        let (full, mut most) = (capacities(&all), 0);
        for key in 0..1000 {
            let before = capacities(&all);
            all.iter_mut().for_each(|shards| assert_eq!(shards.remove(&key), Some(())));
            most = most.max(before - capacities(&all));
        }
        assert!(capacities(&all) < full / 100);
        assert!(most < full / 10, "{most} of {full} at once");
    }

    #[test]
    fn nothing_is_lost_where_one_table_becomes_many() {
        let mut shards = Shards::new();
        for key in 0..MAX_IN_ONE as u32 + 1 {
            assert_eq!(shards.insert(key, key), None);
            assert!((0..=key).step_by(97).all(|key| shards.get(&key) == Some(&key)), "with {key}");
        }
        assert_eq!((shards.tables.len(), shards.len(), shards.insert(7, 8)), (TABLES, MAX_IN_ONE + 1, Some(7)));
        let mut all: Vec<u32> = shards.iter().map(|(key, _)| *key).collect();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..=MAX_IN_ONE as u32));
    }
}
