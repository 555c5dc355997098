//! What waits to be sent: messages in the order they were sent in, and heartbeats, which go before them.
//!
//! It outlives connections. A message leaves it when its last byte has been handed to a socket and not before, so what
//! a cut leaves unfinished is whole again for the next connection.

use super::ClientOptions;
use crate::wire::Wire;
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind, IoSlice};

/// Heartbeats that may wait. To a server that asks on and on and reads nothing, further answers are not given.
const MAX_HEARTBEATS: usize = 64;
/// Slices handed to one vectored write.
const MAX_SLICES: usize = 32;

/// A message that was not taken, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendError {
    /// Why.
    pub refusal: Refusal,
    /// The message, as it was given.
    pub message: Vec<u8>,
}

/// Why a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It is longer than `max_message_bytes`, given here.
    MessageTooLarge(usize),
    /// As many messages wait as `max_outbox_messages` allows, given here.
    TooManyMessages(usize),
    /// With it more bytes would wait than `max_outbox_bytes` allows, given here.
    TooManyBytes(usize),
    /// The client was stopped, or gave up.
    Ended,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::MessageTooLarge(limit) => write!(f, "the message is over max_message_bytes ({limit})"),
            Refusal::TooManyMessages(limit) => write!(f, "max_outbox_messages ({limit}) wait already"),
            Refusal::TooManyBytes(limit) => write!(f, "more than max_outbox_bytes ({limit}) would wait"),
            Refusal::Ended => f.write_str("the client has ended"),
        }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "message of {} bytes not sent: {}", self.message.len(), self.refusal)
    }
}

impl std::error::Error for SendError {}

/// How much may wait on a wire.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    wire: Wire,
    max_message_bytes: usize,
    max_messages: usize,
    max_bytes: usize,
}

impl Room {
    pub(crate) fn new(wire: Wire, options: &ClientOptions) -> Self {
        Self {
            wire,
            max_message_bytes: options.max_message_bytes,
            max_messages: options.max_outbox_messages,
            max_bytes: options.max_outbox_bytes,
        }
    }

    /// Bytes that a message takes up, its frame included.
    pub(crate) fn needed(&self, message: &[u8]) -> usize {
        self.wire.encoded_len(message.len())
    }

    /// The message, if it may join `messages` that take up `bytes`.
    pub(crate) fn admit(&self, message: Vec<u8>, messages: usize, bytes: usize) -> Result<Vec<u8>, SendError> {
        let refusal = if message.len() > self.max_message_bytes {
            Refusal::MessageTooLarge(self.max_message_bytes)
        } else if messages >= self.max_messages {
            Refusal::TooManyMessages(self.max_messages)
        } else if bytes.saturating_add(self.needed(&message)) > self.max_bytes {
            Refusal::TooManyBytes(self.max_bytes)
        } else {
            return Ok(message);
        };
        Err(SendError { refusal, message })
    }
}

/// Frames in the order they leave.
#[derive(Debug)]
pub(super) struct Outbox {
    wire: Wire,
    room: Room,
    /// Heartbeats first, behind a message only where that has begun to leave.
    frames: VecDeque<Frame>,
    /// Bytes of the first frame that have left; less than its length.
    sent: usize,
    heartbeats: usize,
    /// Of the messages, with their frames.
    bytes: usize,
}

#[derive(Debug)]
enum Frame {
    Message(Vec<u8>),
    Heartbeat(Vec<u8>),
}

impl Outbox {
    pub(super) fn new(wire: Wire, options: &ClientOptions) -> Self {
        Self { wire, room: Room::new(wire, options), frames: VecDeque::new(), sent: 0, heartbeats: 0, bytes: 0 }
    }

    /// Messages that have not wholly left.
    pub(super) fn messages(&self) -> usize {
        self.frames.len() - self.heartbeats
    }

    /// Bytes of the messages that have not wholly left, with their frames.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Appends a message.
    pub(super) fn push(&mut self, message: Vec<u8>) -> Result<(), SendError> {
        let message = self.room.admit(message, self.messages(), self.bytes)?;
        let frame = self.frame(message);
        if !frame.is_empty() {
            self.bytes += frame.len();
            self.frames.push_back(Frame::Message(frame));
        }
        Ok(())
    }

    /// Puts a heartbeat before all messages that have not begun to leave; false where too many heartbeats wait.
    pub(super) fn push_heartbeat(&mut self, message: &[u8]) -> bool {
        if self.heartbeats >= MAX_HEARTBEATS {
            return false;
        }
        let has_begun = self.sent > 0 && matches!(self.frames.front(), Some(Frame::Message(_)));
        let frame = self.frame(message.to_vec());
        self.frames.insert(usize::from(has_begun) + self.heartbeats, Frame::Heartbeat(frame));
        self.heartbeats += 1;
        true
    }

    /// Hands out what waits until all has left or `write` takes less than it was given. `WouldBlock` is no error.
    pub(super) fn flush(&mut self, mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>) -> io::Result<()> {
        while !self.frames.is_empty() {
            let (offered, result) = self.write_once(&mut write);
            match result {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(taken) => {
                    assert!(taken <= offered, "a write takes no more than it was given");
                    self.consume(taken);
                    if taken < offered {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Notes that the connection is no more: its heartbeats mean nothing on the next, and a message that had begun to
    /// leave begins anew. On the raw wire it can't, and is handed back.
    pub(super) fn on_cut(&mut self) -> Option<Vec<u8>> {
        let has_begun = std::mem::take(&mut self.sent) > 0;
        let torn = match self.frames.front() {
            Some(Frame::Message(_)) if has_begun && self.wire == Wire::Raw => self.pop(),
            Some(Frame::Message(_) | Frame::Heartbeat(_)) | None => None,
        };
        self.frames.retain(|frame| matches!(frame, Frame::Message(_)));
        self.heartbeats = 0;
        torn
    }

    fn frame(&self, message: Vec<u8>) -> Vec<u8> {
        match self.wire {
            Wire::Raw => message,
            Wire::Length | Wire::Line => {
                let mut frame = Vec::with_capacity(self.wire.encoded_len(message.len()));
                self.wire.encode(&message, &mut frame);
                frame
            }
        }
    }

    /// A raw message is a write of its own, which is all the boundary it can have.
    fn write_once(&self, write: &mut impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>) -> (usize, io::Result<usize>) {
        let at_once = if self.wire == Wire::Raw { 1 } else { MAX_SLICES };
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let (mut offered, mut count, mut skipped) = (0, 0, self.sent);
        for (slice, frame) in slices.iter_mut().zip(&self.frames).take(at_once) {
            *slice = IoSlice::new(&frame.as_slice()[std::mem::take(&mut skipped)..]);
            offered += slice.len();
            count += 1;
        }
        (offered, write(&slices[..count]))
    }

    fn consume(&mut self, taken: usize) {
        self.sent += taken;
        while let Some(len) = self.frames.front().map(|frame| frame.as_slice().len()).filter(|&len| len <= self.sent) {
            self.sent -= len;
            self.pop();
        }
    }

    fn pop(&mut self) -> Option<Vec<u8>> {
        match self.frames.pop_front()? {
            Frame::Message(frame) => {
                self.bytes -= frame.len();
                Some(frame)
            }
            Frame::Heartbeat(_) => {
                self.heartbeats -= 1;
                None
            }
        }
    }
}

impl Frame {
    fn as_slice(&self) -> &[u8] {
        match self {
            Frame::Message(bytes) | Frame::Heartbeat(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbox(wire: Wire) -> Outbox {
        Outbox::new(
            wire,
            &ClientOptions { max_message_bytes: 8, max_outbox_messages: 3, max_outbox_bytes: 15, ..Default::default() },
        )
    }

    /// What leaves through writes that take the given numbers of bytes, then would block.
    fn flush(outbox: &mut Outbox, takes: &[usize]) -> String {
        let (mut out, mut takes) = (Vec::new(), takes.iter());
        let flushed = outbox.flush(|slices| {
            let take = takes.next().ok_or(ErrorKind::WouldBlock)?;
            let offered = slices.concat_bytes();
            out.extend_from_slice(&offered[..offered.len().min(*take)]);
            Ok(offered.len().min(*take))
        });
        flushed.unwrap();
        String::from_utf8(out).unwrap()
    }

    trait ConcatBytes {
        fn concat_bytes(&self) -> Vec<u8>;
    }

    impl ConcatBytes for [IoSlice<'_>] {
        fn concat_bytes(&self) -> Vec<u8> {
            self.iter().flat_map(|slice| slice.iter().copied()).collect()
        }
    }

    fn refused(outbox: &mut Outbox, message: &str) -> Refusal {
        let error = outbox.push(message.into()).unwrap_err();
        assert_eq!(error.message, message.as_bytes(), "handed back");
        error.refusal
    }

    #[test]
    fn each_limit_refuses_by_its_name_and_hands_the_message_back() {
        let mut outbox = outbox(Wire::Line);
        assert_eq!(refused(&mut outbox, "more than 8"), Refusal::MessageTooLarge(8));
        outbox.push(b"seven..".into()).unwrap();
        assert_eq!(refused(&mut outbox, "seven.."), Refusal::TooManyBytes(15));
        outbox.push(b"a".into()).unwrap();
        outbox.push(b"b".into()).unwrap();
        assert_eq!(refused(&mut outbox, "c"), Refusal::TooManyMessages(3));
        assert_eq!(flush(&mut outbox, &[9]), "seven..\na");
        outbox.push(b"c".into()).unwrap();
    }

    #[test]
    fn heartbeats_go_before_messages_but_never_inside_one() {
        let mut outbox = outbox(Wire::Line);
        outbox.push(b"one".into()).unwrap();
        outbox.push(b"two".into()).unwrap();
        outbox.push_heartbeat(b"H1");
        assert_eq!(flush(&mut outbox, &[4]), "H1\no");
        outbox.push_heartbeat(b"H2");
        outbox.push_heartbeat(b"H3");
        assert_eq!(flush(&mut outbox, &[4]), "ne\nH");
        outbox.push_heartbeat(b"H4");
        assert_eq!(flush(&mut outbox, &[100]), "2\nH3\nH4\ntwo\n");
        assert_eq!((outbox.messages(), outbox.bytes, outbox.heartbeats), (0, 0, 0));
    }

    #[test]
    fn a_message_cut_on_its_way_is_sent_whole_again_and_heartbeats_are_not() {
        let mut outbox = outbox(Wire::Line);
        outbox.push(b"one".into()).unwrap();
        outbox.push(b"two".into()).unwrap();
        assert_eq!(flush(&mut outbox, &[6]), "one\ntw");
        outbox.push_heartbeat(b"H");
        assert_eq!(outbox.on_cut(), None);
        assert_eq!(flush(&mut outbox, &[100]), "two\n");
    }

    #[test]
    fn a_raw_message_cut_on_its_way_is_handed_back() {
        let mut outbox = outbox(Wire::Raw);
        outbox.push(b"one".into()).unwrap();
        outbox.push(b"two".into()).unwrap();
        assert_eq!(flush(&mut outbox, &[3, 1]), "onet");
        outbox.push(b"three".into()).unwrap();
        assert_eq!(outbox.on_cut(), Some(b"two".to_vec()));
        assert_eq!(outbox.on_cut(), None, "nothing of it has left");
        assert_eq!(flush(&mut outbox, &[100]), "three");
        assert_eq!((outbox.on_cut(), outbox.bytes), (None, 0));
    }

    #[test]
    fn each_raw_message_is_a_write_of_its_own() {
        let mut outbox = outbox(Wire::Raw);
        outbox.push(b"one".into()).unwrap();
        outbox.push(b"".into()).unwrap();
        outbox.push(b"two".into()).unwrap();
        assert_eq!(flush(&mut outbox, &[100]), "one");
        assert_eq!(flush(&mut outbox, &[100, 100]), "two");
    }

    #[test]
    fn answers_to_a_server_that_reads_nothing_are_bounded() {
        let mut outbox = outbox(Wire::Line);
        let taken = (0..1000).filter(|_| outbox.push_heartbeat(b"pong")).count();
        assert_eq!((taken, outbox.messages()), (MAX_HEARTBEATS, 0));
    }

    #[test]
    fn errors_surface_and_a_write_of_nothing_is_one() {
        let mut outbox = outbox(Wire::Line);
        outbox.push(b"x".into()).unwrap();
        let mut kind = |result: Result<usize, ErrorKind>| outbox.flush(|_| Ok(result?)).unwrap_err().kind();
        assert_eq!(kind(Err(ErrorKind::ConnectionReset)), ErrorKind::ConnectionReset);
        assert_eq!(kind(Ok(0)), ErrorKind::WriteZero);
    }
}
