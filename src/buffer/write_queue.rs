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
    bytes: usize,
}

#[derive(Debug)]
enum Chunk {
    Shared(Bytes),
    Owned(Vec<u8>),
}

/// Shared chunks up to this size are copied when [`HANDLES`] chunks wait already.
const SMALL: usize = 1024;
const HANDLES: usize = 16;
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
        (self.sent, self.bytes) = (0, 0);
    }

    /// Gives up the capacity that a burst left behind in an empty queue.
    pub fn shrink(&mut self) {
        self.chunks.shrink_to(HANDLES);
    }

    fn write_once(&self, write: &mut impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>) -> (usize, io::Result<usize>) {
        let Some(front) = self.chunks.front().map(|chunk| &chunk.as_slice()[self.sent..]) else {
            return (0, Ok(0));
        };
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
