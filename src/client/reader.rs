//! Where messages of a plain wire end in the bytes of one connection. Holds nothing but the frame whose end has not come.

use super::speech::Heard;
use crate::connection::Broken;
use crate::wire::{DecodeError, Wire};
use std::mem;

/// The unfinished frame of one connection: at most one message of `max` bytes with its frame.
#[derive(Debug)]
pub(super) struct PlainReader {
    wire: Wire,
    max: usize,
    tail: Vec<u8>,
    /// Bytes of the tail known to hold no end of a line.
    scanned: usize,
}

impl PlainReader {
    pub(super) fn new(wire: Wire, max: usize) -> Self {
        Self { wire, max, tail: Vec::new(), scanned: 0 }
    }

    /// Appends the messages that are whole with these bytes to `heard`.
    pub(super) fn read(&mut self, mut bytes: &[u8], heard: &mut Vec<Heard>) -> Result<(), Broken> {
        while let Some(message) = self.next(&mut bytes).map_err(|DecodeError::TooLarge| Broken::TooLarge)? {
            heard.push(Heard::Plain(message));
        }
        Ok(())
    }

    /// Takes the next message off the front of `bytes`, or all of them and says `None`.
    fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<Vec<u8>>, DecodeError> {
        if self.tail.is_empty() {
            if let Some(frame) = self.wire.decode(bytes, 0, self.max)? {
                let (whole, rest) = bytes.split_at(frame.len);
                *bytes = rest;
                return Ok(Some(whole[frame.payload].to_vec()));
            }
            self.keep(bytes.len(), bytes);
            self.scanned = self.tail.len();
        }
        self.complete_tail(bytes)
    }

    /// Adds to the tail just what completes its frame.
    fn complete_tail(&mut self, bytes: &mut &[u8]) -> Result<Option<Vec<u8>>, DecodeError> {
        while !bytes.is_empty() {
            self.keep(self.wire.completes(&self.tail, bytes, self.max), bytes);
            if let Some(frame) = self.wire.decode(&self.tail, self.scanned, self.max)? {
                assert_eq!(frame.len, self.tail.len(), "a tail takes only what completes its frame");
                let mut message = mem::take(&mut self.tail);
                message.truncate(frame.payload.end);
                message.drain(..frame.payload.start);
                return Ok(Some(message));
            }
            self.scanned = self.tail.len();
        }
        Ok(None)
    }

    fn keep(&mut self, count: usize, bytes: &mut &[u8]) {
        let (kept, rest) = bytes.split_at(count);
        self.tail.extend_from_slice(kept);
        *bytes = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(wire: Wire, stream: &[u8], size: usize) -> Result<Vec<Vec<u8>>, DecodeError> {
        let (mut reader, mut messages) = (PlainReader::new(wire, 5), Vec::new());
        for mut bytes in stream.chunks(size) {
            while let Some(message) = reader.next(&mut bytes)? {
                messages.push(message);
            }
            assert!(bytes.is_empty() && reader.tail.len() < 10);
        }
        Ok(messages)
    }

    fn check(wire: Wire, stream: &[u8], expected: Result<&[&[u8]], DecodeError>) {
        for size in 1..=stream.len() {
            let expected = expected.map(|messages| messages.iter().map(|message| message.to_vec()).collect());
            assert_eq!(read(wire, stream, size), expected, "in chunks of {size}");
        }
    }

    #[test]
    fn messages_survive_any_split() {
        check(Wire::Length, b"\0\0\0\x02hi\0\0\0\0\0\0\0\x01!\0\0\0\x05x", Ok(&[b"hi", b"", b"!"]));
        check(Wire::Line, b"hi\n\r\n\nworld\r\nunfinished"[..15].as_ref(), Ok(&[b"hi", b"", b"", b"world"]));
    }

    #[test]
    fn a_message_over_the_limit_ends_the_stream() {
        check(Wire::Length, b"\0\0\0\x06", Err(DecodeError::TooLarge));
        check(Wire::Line, b"sixsix\r\n", Err(DecodeError::TooLarge));
        check(Wire::Line, b"endless", Err(DecodeError::TooLarge));
    }

    #[test]
    fn what_one_read_returned_is_one_raw_message() {
        assert_eq!(read(Wire::Raw, b"abcdef", 3), Ok(vec![b"abc".to_vec(), b"def".to_vec()]));
    }
}
