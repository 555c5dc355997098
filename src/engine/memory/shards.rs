//! A hash table in many small ones: no growth or shrinking ever moves more than a small part of what is there, and
//! what is emptied goes back. It never tells its entries in any order.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};

/// Values by key.
pub(super) struct Shards<K, V> {
    tables: Box<[HashMap<K, V>]>,
    hasher: RandomState,
    len: usize,
}

/// With two million entries one table moves some 8,000 when it grows, in a fraction of a millisecond.
const TABLES: usize = 256;
/// The tables themselves use the lowest bits and the highest seven of the same hash.
const TABLE_BITS_FROM: u32 = 40;

impl<K: Hash + Eq, V> Shards<K, V> {
    pub(super) fn new() -> Self {
        let hasher = RandomState::new();
        let tables = (0..TABLES).map(|_| HashMap::with_hasher(hasher.clone())).collect();
        Self { tables, hasher, len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.tables[self.table_of(key)].get(key)
    }

    /// Puts a value in, in place of the one that may have been there.
    pub(super) fn insert(&mut self, key: K, value: V) {
        let table = self.table_of(&key);
        if self.tables[table].insert(key, value).is_none() {
            self.len += 1;
        }
    }

    pub(super) fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let number = self.table_of(key);
        let table = &mut self.tables[number];
        let value = table.remove(key)?;
        self.len -= 1;
        if table.len() < table.capacity() / 4 {
            table.shrink_to(table.len() * 2);
        }
        Some(value)
    }

    /// Bytes of the tables, without what their keys and values own elsewhere.
    pub(super) fn held_bytes(&self) -> usize {
        let slots: usize = self.tables.iter().map(|table| (table.capacity() * 8).div_ceil(7)).sum();
        slots * (size_of::<(K, V)>() + 1) + size_of_val(&*self.tables)
    }

    fn table_of<Q: Hash + ?Sized>(&self, key: &Q) -> usize {
        (self.hasher.hash_one(key) >> TABLE_BITS_FROM) as usize % TABLES
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
        (0..100_000_u32).for_each(|key| shards.insert(key, ()));
        let lens: Vec<usize> = shards.tables.iter().map(HashMap::len).collect();
        assert!(lens.iter().all(|len| (200..600).contains(len)), "{lens:?}");
    }

    #[test]
    fn memory_of_what_was_taken_out_goes_back() {
        let mut shards = Shards::new();
        let empty = shards.held_bytes();
        (0..100_000_u32).for_each(|key| shards.insert(key, key));
        let full = shards.held_bytes();
        assert!((100_000 * 9..100_000 * 40).contains(&full), "{full}");
        (1_000..100_000).for_each(|key| assert!(shards.remove(&key).is_some()));
        assert!(shards.held_bytes() < full / 10);
        (0..1_000).for_each(|key| assert!(shards.remove(&key).is_some()));
        assert!(shards.held_bytes() <= empty + TABLES * 4 * 9);
    }
}
