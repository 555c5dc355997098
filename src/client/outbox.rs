//! What waits to be sent: messages in the order they were sent in, and heartbeats, which go before them.
//!
//! It outlives connections. A message leaves it when its last byte has been handed to a socket and not before, so what
//! a cut leaves unfinished is whole again for the next connection, in a frame made anew.

use super::letter::outcome;
use super::speech::Speech;
use super::{ClientOptions, HeartbeatForm};
use crate::wire::{OwnedMessage, Wire};
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IoSlice};

/// Heartbeats that may wait. To a server that asks on and on and reads nothing, further answers are not given.
const MAX_HEARTBEATS: usize = 64;
/// Slices handed to one vectored write.
const MAX_SLICES: usize = 32;
/// No further frame is handed to a write that has as many bytes. What it does not take has to be handed to the next as
/// it is, and a heartbeat can't go before it.
const MAX_OFFERED: usize = 64 << 10;
/// What a client's frames on a WebSocket have besides a server's.
const MASK_BYTES: usize = 4;

/// A message that was not taken, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendError {
    /// Why.
    pub refusal: Refusal,
    /// The message, as it was given.
    pub message: OwnedMessage,
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

    /// Bytes that a message takes up, its frame included. Compression is not counted on.
    pub(crate) fn needed(&self, message: &[u8]) -> usize {
        let mask = if self.wire == Wire::WebSocket { MASK_BYTES } else { 0 };
        self.wire.encoded_len(message.len()) + mask
    }

    /// The message, if it may join `messages` that take up `bytes`.
    pub(crate) fn admit(
        &self,
        message: OwnedMessage,
        messages: usize,
        bytes: usize,
    ) -> Result<OwnedMessage, SendError> {
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

/// What leaves, in its order.
#[derive(Debug)]
pub(super) struct Outbox {
    room: Room,
    /// Heartbeats first, behind messages only where these have been offered to a write.
    items: VecDeque<Item>,
    /// Items at the front that the last write was offered: until they have left they are offered again as they are, for
    /// a transport that has encrypted them ahead.
    offered: usize,
    /// Bytes of the first frame that have left; less than its length.
    sent: usize,
    heartbeats: usize,
    /// Of the messages, with their frames.
    bytes: usize,
}

#[derive(Debug)]
struct Item {
    content: Content,
    /// Made when it is first offered on a connection; empty before.
    frame: Vec<u8>,
}

/// What a frame holds.
#[derive(Debug)]
pub(super) enum Content {
    Message(OwnedMessage),
    /// Asks for a sign of life, by this form where the wire has none of its own.
    Ask(HeartbeatForm),
    /// Answers a heartbeat with these bytes.
    Answer(Vec<u8>),
}

impl Outbox {
    pub(super) fn new(wire: Wire, options: &ClientOptions) -> Self {
        Self { room: Room::new(wire, options), items: VecDeque::new(), offered: 0, sent: 0, heartbeats: 0, bytes: 0 }
    }

    /// Messages that have not wholly left.
    pub(super) fn messages(&self) -> usize {
        self.items.len() - self.heartbeats
    }

    /// Bytes of the messages that have not wholly left, with their frames.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether all that was offered to a write has left, so that something else may follow.
    pub(super) fn is_at_rest(&self) -> bool {
        self.offered == 0
    }

    /// Appends a message.
    pub(super) fn push(&mut self, message: OwnedMessage) -> Result<(), SendError> {
        let message = self.room.admit(message, self.messages(), self.bytes)?;
        let is_nothing = self.room.wire == Wire::Raw && message.is_empty();
        if !is_nothing {
            self.bytes += self.room.needed(&message);
            self.items.push_back(Item { content: Content::Message(message), frame: Vec::new() });
        }
        Ok(())
    }

    /// Puts a heartbeat before all messages that have not been offered; false where too many heartbeats wait.
    pub(super) fn push_heartbeat(&mut self, heartbeat: Content) -> bool {
        if self.heartbeats >= MAX_HEARTBEATS {
            return false;
        }
        let before = self.items.iter().skip(self.offered).take_while(|item| !item.is_message()).count();
        self.items.insert(self.offered + before, Item { content: heartbeat, frame: Vec::new() });
        self.heartbeats += 1;
        true
    }

    /// Hands out what waits until all has left or `write` takes less than it was given. `WouldBlock` is no error.
    pub(super) fn flush(
        &mut self,
        speech: &mut Speech,
        mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<()> {
        let mut goes_on = true;
        while goes_on && !self.items.is_empty() {
            self.offer(speech);
            let (offered, result) = self.write_once(&mut write);
            let taken;
            (taken, goes_on) = outcome(offered, result)?;
            self.consume(taken);
        }
        Ok(())
    }

    /// Notes that the connection is no more: its heartbeats mean nothing on the next, and a message that had begun to
    /// leave begins anew. On the raw wire it can't, and is handed back.
    pub(super) fn on_cut(&mut self) -> Option<OwnedMessage> {
        let has_begun = std::mem::take(&mut self.sent) > 0;
        let is_torn = has_begun && self.room.wire == Wire::Raw;
        let torn = if is_torn { self.pop() } else { None };
        self.items.iter_mut().take(self.offered).for_each(|item| item.frame = Vec::new());
        self.items.retain(Item::is_message);
        (self.offered, self.heartbeats) = (0, 0);
        torn
    }

    /// Forgets all that waits. Nothing of it may have begun to leave.
    #[cfg(feature = "hub")]
    pub(super) fn forget(&mut self) {
        assert!(self.is_at_rest(), "the connection is no more");
        self.items.clear();
        (self.heartbeats, self.bytes) = (0, 0);
    }

    /// Makes the frames that the next write is offered. A raw message is a write of its own, which is all the boundary
    /// it can have.
    fn offer(&mut self, speech: &mut Speech) {
        let at_once = if self.room.wire == Wire::Raw { 1 } else { MAX_SLICES };
        let (mut count, mut bytes) = (0, 0);
        for item in self.items.iter_mut().take(at_once) {
            if bytes >= MAX_OFFERED {
                break;
            }
            if item.frame.is_empty() {
                speech.encode(&item.content, &mut item.frame);
            }
            bytes += item.frame.len();
            count += 1;
        }
        assert!(count >= self.offered, "what was offered is offered again");
        self.offered = count;
    }

    fn write_once(&self, write: &mut impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>) -> (usize, io::Result<usize>) {
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let (mut offered, mut skipped) = (0, self.sent);
        for (slice, item) in slices.iter_mut().zip(&self.items).take(self.offered) {
            *slice = IoSlice::new(&item.frame[std::mem::take(&mut skipped)..]);
            offered += slice.len();
        }
        (offered, write(&slices[..self.offered]))
    }

    fn consume(&mut self, taken: usize) {
        self.sent += taken;
        while let Some(len) = self.items.front().map(|item| item.frame.len()).filter(|&len| 0 < len && len <= self.sent)
        {
            self.sent -= len;
            self.pop();
        }
    }

    /// Takes off the first item, which was offered; the message, if it is one.
    fn pop(&mut self) -> Option<OwnedMessage> {
        let item = self.items.pop_front()?;
        self.offered -= 1;
        match item.content {
            Content::Message(message) => {
                self.bytes -= self.room.needed(&message);
                Some(message)
            }
            Content::Ask(_) | Content::Answer(_) => {
                self.heartbeats -= 1;
                None
            }
        }
    }
}

impl Item {
    fn is_message(&self) -> bool {
        matches!(self.content, Content::Message(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;

    fn outbox(wire: Wire) -> Outbox {
        Outbox::new(
            wire,
            &ClientOptions { max_message_bytes: 8, max_outbox_messages: 3, max_outbox_bytes: 15, ..Default::default() },
        )
    }

    fn beat(text: &str) -> Content {
        Content::Answer(text.into())
    }

    /// What leaves through writes that take the given numbers of bytes, then would block.
    fn flush(outbox: &mut Outbox, takes: &[usize]) -> String {
        let (mut out, mut takes) = (Vec::new(), takes.iter());
        let flushed = outbox.flush(&mut Speech::Plain(outbox.room.wire), |slices| {
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
        assert_eq!(*error.message, *message.as_bytes(), "handed back");
        error.refusal
    }

    #[test]
    fn each_limit_refuses_by_its_name_and_hands_the_message_back() {
        let mut outbox = outbox(Wire::Line);
        assert_eq!(refused(&mut outbox, "more than 8"), Refusal::MessageTooLarge(8));
        outbox.push("seven..".into()).unwrap();
        assert_eq!(refused(&mut outbox, "seven.."), Refusal::TooManyBytes(15));
        outbox.push("a".into()).unwrap();
        outbox.push("b".into()).unwrap();
        assert_eq!(refused(&mut outbox, "c"), Refusal::TooManyMessages(3));
        assert_eq!(flush(&mut outbox, &[9]), "seven..\na");
        outbox.push("c".into()).unwrap();
    }

    #[test]
    fn heartbeats_go_before_messages_but_never_inside_one() {
        let mut outbox = outbox(Wire::Line);
        outbox.push("one".into()).unwrap();
        outbox.push("two".into()).unwrap();
        outbox.push_heartbeat(beat("H1"));
        assert_eq!(flush(&mut outbox, &[4]), "H1\no");
        outbox.push_heartbeat(beat("H2"));
        outbox.push_heartbeat(beat("H3"));
        outbox.push("three".into()).unwrap();
        assert_eq!(flush(&mut outbox, &[8]), "ne\ntwo\nH", "what was offered stays where it is");
        outbox.push_heartbeat(beat("H4"));
        assert_eq!(flush(&mut outbox, &[100]), "2\nH3\nthree\nH4\n");
        assert_eq!((outbox.messages(), outbox.bytes, outbox.heartbeats), (0, 0, 0));
    }

    #[test]
    fn a_message_cut_on_its_way_is_sent_whole_again_and_heartbeats_are_not() {
        let mut outbox = outbox(Wire::Line);
        outbox.push("one".into()).unwrap();
        outbox.push("two".into()).unwrap();
        assert_eq!(flush(&mut outbox, &[6]), "one\ntw");
        outbox.push_heartbeat(beat("H"));
        assert_eq!(outbox.on_cut(), None);
        assert_eq!(flush(&mut outbox, &[100]), "two\n");
    }

    #[test]
    fn a_raw_message_cut_on_its_way_is_handed_back() {
        let mut outbox = outbox(Wire::Raw);
        outbox.push("one".into()).unwrap();
        outbox.push("two".into()).unwrap();
        assert_eq!(flush(&mut outbox, &[3, 1]), "onet");
        outbox.push("three".into()).unwrap();
        assert_eq!(outbox.on_cut(), Some("two".into()));
        assert_eq!(outbox.on_cut(), None, "nothing of it has left");
        assert_eq!(flush(&mut outbox, &[100]), "three");
        assert_eq!((outbox.on_cut(), outbox.bytes), (None, 0));
    }

    #[test]
    fn each_raw_message_is_a_write_of_its_own() {
        let mut outbox = outbox(Wire::Raw);
        outbox.push("one".into()).unwrap();
        outbox.push("".into()).unwrap();
        outbox.push("two".into()).unwrap();
        assert_eq!(flush(&mut outbox, &[100]), "one");
        assert_eq!(flush(&mut outbox, &[100, 100]), "two");
    }

    #[test]
    fn answers_to_a_server_that_reads_nothing_are_bounded() {
        let mut outbox = outbox(Wire::Line);
        let taken = (0..1000).filter(|_| outbox.push_heartbeat(beat("pong"))).count();
        assert_eq!((taken, outbox.messages()), (MAX_HEARTBEATS, 0));
    }

    #[test]
    fn errors_surface_and_a_write_of_nothing_is_one() {
        let mut outbox = outbox(Wire::Line);
        outbox.push("x".into()).unwrap();
        let mut kind = |result: Result<usize, ErrorKind>| {
            outbox.flush(&mut Speech::Plain(Wire::Line), |_| Ok(result?)).unwrap_err().kind()
        };
        assert_eq!(kind(Err(ErrorKind::ConnectionReset)), ErrorKind::ConnectionReset);
        assert_eq!(kind(Ok(0)), ErrorKind::WriteZero);
    }
}
