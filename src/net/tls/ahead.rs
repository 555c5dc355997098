//! What was encrypted ahead of the socket: which plaintext has left, when so much ciphertext has.
//!
//! A record that a cut leaves unfinished means nothing to its receiver, so plaintext has left when the last byte of its
//! record has. It knows numbers only, and neither keys nor sockets.

/// Records that were encrypted and have not wholly left, in order.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// Ciphertext of every kind that has left, since the beginning.
    left: u64,
    records: [Record; MAX_RECORDS],
    /// Of `records`, those that wait.
    waiting: usize,
    /// Plaintext that has left since the last [`Ahead::take_done`].
    done: usize,
}

#[derive(Debug, Default, Clone, Copy)]
struct Record {
    /// What `left` is when the whole record has left.
    end: u64,
    plaintext: usize,
}

/// Records that may be encrypted ahead.
pub(super) const MAX_RECORDS: usize = 4;

impl Ahead {
    /// Notes a record that holds `plaintext` bytes and is the last of `pending` bytes of ciphertext.
    pub(super) fn push(&mut self, plaintext: usize, pending: usize) {
        assert!(self.waiting < MAX_RECORDS, "a batch waits for the one before to have left");
        self.records[self.waiting] = Record { end: self.left + pending as u64, plaintext };
        self.waiting += 1;
    }

    /// Notes that so many bytes of ciphertext left.
    pub(super) fn on_left(&mut self, ciphertext: usize) {
        self.left += ciphertext as u64;
        let gone = self.waiting().iter().take_while(|record| record.end <= self.left).count();
        self.done += self.waiting()[..gone].iter().map(|record| record.plaintext).sum::<usize>();
        self.records.rotate_left(gone);
        self.waiting -= gone;
    }

    /// Plaintext that has left since the last call.
    pub(super) fn take_done(&mut self) -> usize {
        std::mem::take(&mut self.done)
    }

    /// Plaintext that was encrypted and that [`Ahead::take_done`] has not given.
    pub(super) fn bytes(&self) -> usize {
        self.done + self.waiting().iter().map(|record| record.plaintext).sum::<usize>()
    }

    fn waiting(&self) -> &[Record] {
        &self.records[..self.waiting]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plaintext_has_left_with_the_last_byte_of_its_record() {
        let mut ahead = Ahead::default();
        ahead.push(100, 122);
        ahead.push(50, 194);
        let mut left = |bytes| {
            ahead.on_left(bytes);
            (ahead.take_done(), ahead.bytes())
        };
        assert_eq!(left(121), (0, 150));
        assert_eq!(left(1), (100, 50));
        assert_eq!(left(71), (0, 50));
        assert_eq!(left(1), (50, 0));
    }

    #[test]
    fn ciphertext_of_other_kinds_goes_before_between_and_behind() {
        let mut ahead = Ahead::default();
        ahead.on_left(1000);
        ahead.push(10, 7 + 32);
        ahead.push(20, 7 + 32 + 5 + 42);
        ahead.on_left(7 + 31);
        assert_eq!(ahead.take_done(), 0);
        ahead.on_left(1 + 5);
        assert_eq!(ahead.take_done(), 10);
        ahead.on_left(42 + 30);
        assert_eq!((ahead.bytes(), ahead.take_done(), ahead.bytes()), (20, 20, 0));
    }

    #[test]
    fn places_of_records_that_left_are_used_again() {
        let mut ahead = Ahead::default();
        for round in 1..10 {
            (1..=MAX_RECORDS).for_each(|nth| ahead.push(round, nth * 100));
            assert_eq!(ahead.bytes(), MAX_RECORDS * round);
            (0..MAX_RECORDS).for_each(|_| ahead.on_left(100));
            assert_eq!(ahead.take_done(), MAX_RECORDS * round);
        }
    }
}
