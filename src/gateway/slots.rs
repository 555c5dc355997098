//! Connections by id: a slot number that is used again, and a serial number that never is.

use super::id::ConnId;
use super::pages::Pages;

/// Values by [`ConnId`]. An id whose value was removed finds nothing, whoever has its slot now.
#[derive(Debug)]
pub(super) struct Slots<T> {
    pages: Pages<(ConnId, T)>,
    last_serial: u64,
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
        self.pages.insert(id.slot(), (id, value));
        id
    }

    #[inline]
    pub(super) fn get(&self, id: ConnId) -> Option<&T> {
        let (owner, value) = self.pages.get(id.slot())?;
        (*owner == id).then_some(value)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, id: ConnId) -> Option<&mut T> {
        let (owner, value) = self.pages.get_mut(id.slot())?;
        (*owner == id).then_some(value)
    }

    pub(super) fn remove(&mut self, id: ConnId) -> Option<T> {
        self.get(id)?;
        self.pages.remove(id.slot()).map(|(_, value)| value)
    }

    /// The id that has this slot now.
    pub(super) fn id_at(&self, slot: usize) -> Option<ConnId> {
        self.pages.get(slot).map(|(id, _)| *id)
    }

    /// One more than the highest slot in use.
    pub(super) fn end(&self) -> usize {
        self.pages.end()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ConnId, &T)> {
        self.pages.iter().map(|(_, (id, value))| (*id, value))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (ConnId, &mut T)> {
        self.pages.iter_mut().map(|(id, value)| (*id, value))
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
