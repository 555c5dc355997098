//! Connections by id: a slot number that is used again, and a serial number that never is.

use super::id::ConnId;
use super::pages::Pages;

/// Values by [`ConnId`]. An id whose value was removed finds nothing, whoever has its slot now.
#[derive(Debug)]
pub(super) struct Slots<T> {
    pages: Pages<Entry<T>>,
    last_serial: u64,
}

/// Begins where a line of the cache does: the processor fetches as few as there are, whichever slot it is.
#[derive(Debug)]
#[repr(C, align(64))]
struct Entry<T> {
    owner: ConnId,
    value: T,
}

impl<T> Slots<T> {
    pub(super) fn new() -> Self {
        Self { pages: Pages::default(), last_serial: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.pages.len()
    }

    pub(super) fn insert(&mut self, value: T) -> ConnId {
        self.last_serial += 1;
        let id = ConnId::new(self.pages.vacancy(), self.last_serial);
        self.pages.insert(id.slot(), Entry { owner: id, value });
        id
    }

    #[inline]
    pub(super) fn get(&self, id: ConnId) -> Option<&T> {
        let entry = self.pages.get(id.slot())?;
        (entry.owner == id).then_some(&entry.value)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, id: ConnId) -> Option<&mut T> {
        let entry = self.pages.get_mut(id.slot())?;
        (entry.owner == id).then_some(&mut entry.value)
    }

    pub(super) fn remove(&mut self, id: ConnId) -> Option<T> {
        self.get(id)?;
        self.pages.take(id.slot()).map(|entry| entry.value)
    }

    /// The id that has this slot now.
    pub(super) fn id_at(&self, slot: usize) -> Option<ConnId> {
        self.pages.get(slot).map(|entry| entry.owner)
    }

    /// One more than the highest slot in use.
    pub(super) fn end(&self) -> usize {
        self.pages.end()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ConnId, &T)> {
        self.pages.iter().map(|(_, entry)| (entry.owner, &entry.value))
    }

    pub(super) fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = (ConnId, &mut T)> {
        self.pages.iter_mut().map(|entry| (entry.owner, &mut entry.value))
    }

    /// Gives the memory of emptied pages back, of so many at most.
    pub(super) fn give_back(&mut self, most: usize) {
        self.pages.give_back(most);
    }

    /// Whether some pages may be empty and still hold memory.
    pub(super) fn has_emptied(&self) -> bool {
        self.pages.has_emptied()
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.pages.held_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_id_never_finds_the_new_owner_of_its_slot() {
        let mut slots = Slots::new();
        let old = slots.insert("old");
        assert_eq!(slots.remove(old), Some("old"));
        let new = slots.insert("new");
        assert_eq!(new.slot(), old.slot());
        assert_eq!(slots.remove(old), None);
        assert_eq!((slots.get(old), slots.get(new)), (None, Some(&"new")));
    }
}
