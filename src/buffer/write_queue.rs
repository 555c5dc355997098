//! What waits to be sent on one connection, in order.

use super::Pool;
use bytes::Bytes;
use std::collections::VecDeque;
use std::io::{self, IoSlice};

/// Bytes in order, as handles on shared chunks and as pooled chunks of its own.
///
/// Small messages are copied together once a handful of shared handles wait, so that the memory held stays near the
/// bytes counted however small the messages are. Owned memory comes from and returns to the [`Pool`] that every call
/// names; a queue that is dropped while it holds bytes must be [cleared](WriteQueue::clear) first.
#[derive(Debug, Default)]
pub struct WriteQueue {
    chunks: VecDeque<Chunk>,
    /// Bytes of the front chunk that have left; less than its length.
    sent: usize,
    /// The front chunk begins inside a frame, of which the first bytes have left.
    begun: bool,
    bytes: usize,
    /// What its owner has noted, in milliseconds.
    stamp: u64,
}

#[derive(Debug)]
enum Chunk {
    Shared(Bytes),
    Owned(Vec<u8>),
}

/// Shared chunks up to this size are copied when [`HANDLES`] chunks wait already.
const SMALL: usize = 1024;
const HANDLES: usize = 16;
/// An end of shared bytes up to this size is copied.
const SHORT_END: usize = 4 << 10;
/// Owned chunks are filled up to this size before the next is begun.
const OWNED_CHUNK: usize = 64 << 10;
/// Slices handed to one vectored write.
const MAX_SLICES: usize = 32;

impl WriteQueue {
    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// What was noted last, by [`WriteQueue::set_stamp`].
    pub fn stamp(&self) -> u64 {
        self.stamp
    }

    /// Notes a moment for its owner, in milliseconds: here it takes no room where nothing waits.
    pub fn set_stamp(&mut self, millis: u64) {
        self.stamp = millis;
    }

    /// Appends a handle on shared bytes.
    pub fn push_shared(&mut self, bytes: Bytes, pool: &mut Pool) {
        if bytes.len() <= SMALL && self.chunks.len() >= HANDLES {
            return self.push_copy(&bytes, pool);
        }
        if !bytes.is_empty() {
            self.bytes += bytes.len();
            self.chunks.push_back(Chunk::Shared(bytes));
        }
    }

    /// Appends a copy of `bytes`.
    pub fn push_copy(&mut self, bytes: &[u8], pool: &mut Pool) {
        if bytes.is_empty() {
            return;
        }
        self.bytes += bytes.len();
        match self.chunks.back_mut() {
            Some(Chunk::Owned(chunk)) if chunk.len() + bytes.len() <= OWNED_CHUNK => pool.append(chunk, bytes),
            _ => {
                let mut chunk = pool.take(bytes.len());
                chunk.extend_from_slice(bytes);
                self.chunks.push_back(Chunk::Owned(chunk));
            }
        }
    }

    /// Begins an empty queue with a copy of what is left of bytes of which the first have left.
    pub fn push_begun(&mut self, rest: &[u8], pool: &mut Pool) {
        assert!(self.is_empty(), "what has begun to leave stands in front");
        self.push_copy(rest, pool);
        self.begun = !rest.is_empty();
    }

    /// Begins an empty queue with the end of shared bytes, of which the first have left if it has `begun`. A short end is
    /// copied, so that it does not hold all of them.
    pub fn push_run(&mut self, rest: Bytes, begun: bool, pool: &mut Pool) {
        assert!(self.is_empty(), "what has begun to leave stands in front");
        self.begun = begun && !rest.is_empty();
        if begun && rest.len() <= SHORT_END { self.push_copy(&rest, pool) } else { self.push_shared(rest, pool) }
    }

    /// Forgets what waits but for the front chunk, if any of its frames has begun to leave, and for the chunks of the
    /// first `taken` bytes; how many bytes were forgotten.
    pub fn cut(&mut self, taken: usize, pool: &mut Pool) -> usize {
        let (mut kept, mut chunks) = (0, 0);
        for chunk in &self.chunks {
            let is_under_way = chunks == 0 && (self.sent > 0 || self.begun);
            if !is_under_way && kept >= taken {
                break;
            }
            kept += chunk.as_slice().len() - if chunks == 0 { self.sent } else { 0 };
            chunks += 1;
        }
        for chunk in self.chunks.drain(chunks..) {
            chunk.give_back(pool);
        }
        let dropped = self.bytes - kept;
        self.bytes = kept;
        dropped
    }

    /// Hands out what waits until all has left or `write` takes less than it was given; how many bytes left, and the
    /// error that followed them.
    ///
    /// `WouldBlock` is no error. A `write` that takes nothing without an error is `WriteZero`.
    pub fn flush(
        &mut self,
        pool: &mut Pool,
        mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> (usize, io::Result<()>) {
        let mut total = 0;
        while !self.is_empty() {
            let (offered, result) = self.write_once(&mut write);
            match result {
                Ok(0) => return (total, Err(io::ErrorKind::WriteZero.into())),
                Ok(n) => {
                    self.consume(n, pool);
                    total += n;
                    if n < offered {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return (total, Err(error)),
            }
        }
        (total, Ok(()))
    }

    /// Forgets what waits.
    pub fn clear(&mut self, pool: &mut Pool) {
        for chunk in self.chunks.drain(..) {
            chunk.give_back(pool);
        }
        (self.sent, self.begun, self.bytes) = (0, false, 0);
    }

    /// Gives up the capacity that a burst left behind in an empty queue.
    pub fn shrink(&mut self) {
        self.chunks.shrink_to(HANDLES);
    }

    fn write_once(&self, write: &mut impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>) -> (usize, io::Result<usize>) {
        let Some(front) = self.chunks.front().map(|chunk| &chunk.as_slice()[self.sent..]) else {
            return (0, Ok(0));
        };
        if self.chunks.len() == 1 {
            return (front.len(), write(&[IoSlice::new(front)]));
        }
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        slices[0] = IoSlice::new(front);
        let mut offered = front.len();
        let mut count = 1;
        for (slice, chunk) in slices[1..].iter_mut().zip(self.chunks.iter().skip(1)) {
            *slice = IoSlice::new(chunk.as_slice());
            offered += slice.len();
            count += 1;
        }
        (offered, write(&slices[..count]))
    }

    fn consume(&mut self, n: usize, pool: &mut Pool) {
        assert!(n <= self.bytes, "a write takes no more than it was given");
        self.bytes -= n;
        self.sent += n;
        while let Some(front) = self.chunks.front() {
            let len = front.as_slice().len();
            if self.sent < len {
                break;
            }
            self.sent -= len;
            self.begun = false;
            if let Some(chunk) = self.chunks.pop_front() {
                chunk.give_back(pool);
            }
        }
    }
}

impl Chunk {
    fn as_slice(&self) -> &[u8] {
        match self {
            Chunk::Shared(bytes) => bytes,
            Chunk::Owned(bytes) => bytes,
        }
    }

    fn give_back(self, pool: &mut Pool) {
        match self {
            Chunk::Shared(_) => {}
            Chunk::Owned(buffer) => pool.give(buffer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Flushes through writes that take the given numbers of bytes, then would block.
    fn flush(queue: &mut WriteQueue, pool: &mut Pool, takes: &[usize]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut takes = takes.iter();
        let flushed = queue.flush(pool, |slices| {
            let Some(&take) = takes.next() else {
                return Err(io::ErrorKind::WouldBlock.into());
            };
            let all: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
            let take = take.min(all.len());
            out.extend_from_slice(&all[..take]);
            Ok(take)
        });
        assert!(flushed.1.is_ok() && flushed.0 == out.len());
        out
    }

    #[test]
    fn bytes_leave_in_order_through_partial_writes() {
        let (mut queue, mut pool) = (WriteQueue::default(), Pool::new(0));
        queue.push_copy(b"one", &mut pool);
        queue.push_shared(Bytes::from_static(b"two"), &mut pool);
        queue.push_copy(b"three", &mut pool);
        assert_eq!(flush(&mut queue, &mut pool, &[4]), b"onet");
        assert_eq!(flush(&mut queue, &mut pool, &[]), b"");
        assert_eq!(flush(&mut queue, &mut pool, &[100]), b"wothree");
        assert!(queue.is_empty());
        assert_eq!(pool.lent_bytes(), 0);
    }

    #[test]
    fn a_short_write_ends_the_flush_without_another_call() {
        let (mut queue, mut pool) = (WriteQueue::default(), Pool::new(0));
        queue.push_copy(b"abcdef", &mut pool);
        assert_eq!(flush(&mut queue, &mut pool, &[2, 4]), b"ab");
    }

    #[test]
    fn errors_surface_and_a_write_of_nothing_is_one() {
        let (mut queue, mut pool) = (WriteQueue::default(), Pool::new(0));
        queue.push_copy(b"x", &mut pool);
        let kind = |flushed: (usize, io::Result<()>)| flushed.1.unwrap_err().kind();
        let reset = queue.flush(&mut pool, |_| Err(io::ErrorKind::ConnectionReset.into()));
        assert_eq!(kind(reset), io::ErrorKind::ConnectionReset);
        assert_eq!(kind(queue.flush(&mut pool, |_| Ok(0))), io::ErrorKind::WriteZero);
        queue.clear(&mut pool);
        assert_eq!((queue.len(), pool.lent_bytes()), (0, 0));
    }

    #[test]
    fn what_left_before_an_error_is_still_told() {
        let (mut queue, mut pool) = (WriteQueue::default(), Pool::new(0));
        for _ in 0..MAX_SLICES + 8 {
            queue.push_shared(vec![0; SMALL + 1].into(), &mut pool);
        }
        let mut first = true;
        let (sent, result) = queue.flush(&mut pool, |slices| {
            let all = slices.iter().map(|slice| slice.len()).sum();
            if std::mem::take(&mut first) { Ok(all) } else { Err(io::ErrorKind::ConnectionReset.into()) }
        });
        assert_eq!((sent, result.is_err(), queue.len()), (MAX_SLICES * (SMALL + 1), true, 8 * (SMALL + 1)));
    }

    #[test]
    fn many_tiny_messages_hold_little_more_memory_than_their_bytes() {
        let (mut queue, mut pool) = (WriteQueue::default(), Pool::new(0));
        for _ in 0..100_000 {
            queue.push_shared(Bytes::from_static(b"."), &mut pool);
        }
        assert!(queue.chunks.len() < HANDLES + 3 && pool.lent_bytes() <= 4 * queue.len());
    }

    #[test]
    fn a_cut_keeps_what_has_begun_to_leave_and_what_may_have_been_taken() {
        let big = || Bytes::from(vec![b'b'; SMALL + 1]);
        // Bytes that left, bytes taken ahead, and the chunks that stay of three.
        for (left, taken, kept) in
            [(0, 0, 0), (1, 0, 1), (1025, 0, 0), (1026, 0, 1), (0, 1, 1), (0, 1026, 2), (5, 9999, 3)]
        {
            let (mut queue, mut pool) = (WriteQueue::default(), Pool::new(0));
            (0..3).for_each(|_| queue.push_shared(big(), &mut pool));
            assert_eq!(flush(&mut queue, &mut pool, &[left][..usize::from(left > 0)]).len(), left);
            let before = queue.len();
            let dropped = queue.cut(taken, &mut pool);
            assert_eq!((queue.len() + dropped, queue.chunks.len()), (before, kept), "{left} {taken}");
            queue.push_copy(b"end", &mut pool);
            assert!(flush(&mut queue, &mut pool, &[9999, 9999]).ends_with(b"end"));
            assert_eq!((queue.len(), pool.lent_bytes()), (0, 0));
        }
    }

    #[test]
    fn a_cut_keeps_the_rest_of_a_frame_that_began_elsewhere_until_it_has_left() {
        let (mut queue, mut pool) = (WriteQueue::default(), Pool::new(0));
        queue.push_begun(b"rest", &mut pool);
        queue.push_shared(vec![0; SMALL + 1].into(), &mut pool);
        assert_eq!(queue.cut(0, &mut pool), SMALL + 1);
        assert_eq!(flush(&mut queue, &mut pool, &[4]), b"rest");
        queue.push_copy(b"whole", &mut pool);
        assert_eq!((queue.cut(0, &mut pool), queue.len(), pool.lent_bytes()), (5, 0, 0));
    }

    proptest! {
        #[test]
        fn whatever_is_pushed_comes_out_once_and_in_order(
            pieces in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..3000)), 0..60),
            takes in prop::collection::vec(1usize..5000, 1..200),
        ) {
            let (mut queue, mut pool) = (WriteQueue::default(), Pool::new(1 << 16));
            let mut expected = Vec::new();
            for (shared, piece) in pieces {
                expected.extend_from_slice(&piece);
                if shared { queue.push_shared(piece.into(), &mut pool) } else { queue.push_copy(&piece, &mut pool) }
                prop_assert_eq!(queue.len(), expected.len());
            }
            let mut out = Vec::new();
            for take in takes.iter().cycle() {
                if queue.is_empty() {
                    break;
                }
                out.extend(flush(&mut queue, &mut pool, &[*take]));
            }
            prop_assert_eq!(out, expected);
            prop_assert_eq!(pool.lent_bytes(), 0);
        }
    }
}
