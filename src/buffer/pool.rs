//! Buffers that are lent, given back and, when a burst is over, returned to the system.

/// Lends byte buffers in sizes of a power of two and counts what it lends.
///
/// All growth of a lent buffer goes through [`Pool::append`], so that [`Pool::lent_bytes`] is exact. Buffers over
/// 256 KiB are not kept for later. What lay unused since the last [`Pool::trim`] goes back to the system at the next.
#[derive(Debug)]
pub struct Pool {
    shelves: [Shelf; SHELVES],
    lent: usize,
    kept: usize,
    max_kept: usize,
}

/// Free buffers of one size, and the fewest there were since the last trim: that many were not needed.
#[derive(Debug, Default)]
struct Shelf {
    free: Vec<Vec<u8>>,
    unneeded: usize,
}

const SMALLEST: usize = 512;
const SHELVES: usize = 10;

impl Pool {
    /// A pool that keeps at most `max_kept` bytes of free buffers.
    pub fn new(max_kept: usize) -> Self {
        Self { shelves: Default::default(), lent: 0, kept: 0, max_kept }
    }

    /// An empty buffer with room for at least `room` bytes.
    pub fn take(&mut self, room: usize) -> Vec<u8> {
        let size = size_for(room);
        self.lent += size;
        let Some(shelf) = self.shelf(size) else {
            return Vec::with_capacity(size);
        };
        let free = shelf.free.pop();
        shelf.unneeded = shelf.unneeded.min(shelf.free.len());
        match free {
            Some(buffer) => {
                self.kept -= size;
                buffer
            }
            None => Vec::with_capacity(size),
        }
    }

    /// Takes a lent buffer back. One that owns no memory is nothing.
    pub fn give(&mut self, mut buffer: Vec<u8>) {
        let size = buffer.capacity();
        self.lent = self.lent.checked_sub(size).expect("only lent buffers come back, grown by append alone");
        let has_room = self.kept + size <= self.max_kept;
        if let Some(shelf) = self.shelf(size).filter(|_| size > 0 && has_room) {
            buffer.clear();
            shelf.free.push(buffer);
            self.kept += size;
        }
    }

    /// Appends `bytes` to a buffer of this pool (or to an empty `Vec`, which becomes one).
    pub fn append(&mut self, buffer: &mut Vec<u8>, bytes: &[u8]) {
        let wanted = buffer.len() + bytes.len();
        if wanted > buffer.capacity() {
            let mut larger = self.take(wanted);
            larger.extend_from_slice(buffer);
            self.give(std::mem::replace(buffer, larger));
        }
        buffer.extend_from_slice(bytes);
    }

    /// Frees the buffers that nobody needed since the last call. Meant to be called about once a second while
    /// [`Pool::kept_bytes`] is not zero.
    pub fn trim(&mut self) {
        for (index, shelf) in self.shelves.iter_mut().enumerate() {
            shelf.free.truncate(shelf.free.len() - shelf.unneeded);
            shelf.free.shrink_to(shelf.free.len() * 2);
            self.kept -= shelf.unneeded * (SMALLEST << index);
            shelf.unneeded = shelf.free.len();
        }
    }

    /// Bytes of the buffers now lent, by their capacity.
    pub fn lent_bytes(&self) -> usize {
        self.lent
    }

    /// Bytes of free buffers kept for later.
    pub fn kept_bytes(&self) -> usize {
        self.kept
    }

    /// The shelf of buffers of exactly `size`, where such are kept.
    fn shelf(&mut self, size: usize) -> Option<&mut Shelf> {
        let index = (size / SMALLEST).checked_ilog2()? as usize;
        self.shelves.get_mut(index)
    }
}

fn size_for(room: usize) -> usize {
    room.max(SMALLEST).next_power_of_two()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lent_is_counted_by_capacity() {
        let mut pool = Pool::new(1 << 20);
        let (small, large) = (pool.take(1), pool.take(5000));
        assert_eq!(pool.lent_bytes(), 512 + 8192);
        pool.give(small);
        pool.give(large);
        assert_eq!((pool.lent_bytes(), pool.kept_bytes()), (0, 512 + 8192));
    }

    #[test]
    fn a_buffer_that_comes_back_is_lent_again() {
        let mut pool = Pool::new(1 << 20);
        let mut buffer = pool.take(100);
        buffer.push(7);
        let address = buffer.as_ptr();
        pool.give(buffer);
        let again = pool.take(512);
        assert_eq!((again.as_ptr(), again.len()), (address, 0));
    }

    #[test]
    fn growth_by_appending_stays_counted() {
        let mut pool = Pool::new(1 << 20);
        let mut buffer = Vec::new();
        for _ in 0..100 {
            pool.append(&mut buffer, &[1; 100]);
        }
        assert_eq!((buffer.len(), pool.lent_bytes()), (10_000, 16_384));
        pool.give(buffer);
        assert_eq!(pool.lent_bytes(), 0);
    }

    #[test]
    fn no_more_is_kept_than_allowed() {
        let mut pool = Pool::new(1024);
        let lent: Vec<_> = (0..5).map(|_| pool.take(512)).collect();
        lent.into_iter().for_each(|buffer| pool.give(buffer));
        assert_eq!(pool.kept_bytes(), 1024);
        let huge = pool.take(1 << 22);
        pool.give(huge);
        assert_eq!(pool.kept_bytes(), 1024);
    }

    #[test]
    fn what_lies_unused_goes_back_in_two_trims() {
        let mut pool = Pool::new(1 << 20);
        let lent: Vec<_> = (0..5).map(|_| pool.take(512)).collect();
        lent.into_iter().for_each(|buffer| pool.give(buffer));
        pool.trim();
        let used = pool.take(512);
        pool.give(used);
        pool.trim();
        assert_eq!(pool.kept_bytes(), 512, "one was used meanwhile");
        pool.trim();
        assert_eq!(pool.kept_bytes(), 0);
    }
}
