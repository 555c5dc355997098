//! Whether what comes back on a connection is what was sent, byte for byte: by one comparison of whole reads, or, where a
//! server frames otherwise than as shortly as can be, or says something in between, message by message.

use crate::buffer::Pool;
use crate::load::{End, Heard, Reader, Ring, Rings};
use crate::wire::Wire;

/// What has come back of one connection.
#[derive(Debug, Default)]
pub(super) struct Check {
    /// Where in the ring of answers the next byte stands; of a message that is taken apart, where it begins.
    at: usize,
    /// Bytes of the next message that have come and were right.
    partial: usize,
    /// What comes is taken apart.
    reader: Option<Box<Reader>>,
}

impl Check {
    /// Begins at this place of the ring.
    pub(super) fn new(at: usize) -> Self {
        Self { at, partial: 0, reader: None }
    }

    /// Goes on with what a reader holds.
    pub(super) fn go_on_with(&mut self, reader: Reader) {
        if reader.is_unfinished() {
            self.reader = Some(Box::new(reader));
        }
    }

    /// Gives back what it holds.
    pub(super) fn clear(&mut self, pool: &mut Pool) {
        if let Some(mut reader) = self.reader.take() {
            reader.clear(pool);
        }
    }

    /// How many messages are whole with these bytes, if all of them are as they are due; otherwise nothing has happened.
    #[inline]
    pub(super) fn take(&mut self, bytes: &[u8], rings: &Rings) -> Option<usize> {
        if self.reader.is_some() {
            return None;
        }
        let ring = &rings.answers;
        let (mut at, mut rest) = (self.at, bytes);
        while !rest.is_empty() {
            let (part, behind) = rest.split_at(rest.len().min(ring.size()));
            if part != &ring.bytes()[at..at + part.len()] {
                return None;
            }
            at = ring.step(at, part.len());
            rest = behind;
        }
        self.at = at;
        let came = self.partial + bytes.len();
        if came == ring.frame() {
            self.partial = 0;
            return Some(1);
        }
        self.partial = came % ring.frame();
        Some(came / ring.frame())
    }

    /// The same, message by message, until no part of one is left over.
    #[cold]
    pub(super) fn take_apart(
        &mut self,
        bytes: &mut [u8],
        rings: &Rings,
        pool: &mut Pool,
        mut on_ping: impl FnMut(&Heard<'_>),
    ) -> Result<usize, End> {
        if rings.wire == Wire::Raw {
            return Err(End::WrongBytes);
        }
        let mut reader = match self.reader.take() {
            Some(reader) => reader,
            None => self.begin_reader(&rings.answers, rings.wire, pool)?,
        };
        let (mut rest, mut whole, mut is_right) = (bytes, 0, true);
        loop {
            let heard = match reader.next(&mut rest, pool) {
                Ok(None) => break,
                Ok(Some(heard)) => heard,
                Err(end) => {
                    reader.clear(pool);
                    return Err(end);
                }
            };
            match heard {
                Heard::Message(body) => {
                    is_right &= body.bytes() == rings.answers.payload(self.at, rings.wire);
                    body.give_back(pool);
                    self.at = rings.answers.step(self.at, rings.answers.frame());
                    whole += 1;
                }
                Heard::Ping(_) => on_ping(&heard),
                Heard::Pong => {}
            }
        }
        if reader.is_unfinished() {
            self.reader = Some(reader);
        }
        if is_right { Ok(whole) } else { Err(End::WrongBytes) }
    }

    /// A reader that has read what has come of this message: it was as it is due, so the ring has it.
    fn begin_reader(&mut self, ring: &Ring, wire: Wire, pool: &mut Pool) -> Result<Box<Reader>, End> {
        let begun_at = ring.step(self.at, ring.size() - self.partial);
        let mut front = ring.bytes()[begun_at..begun_at + self.partial].to_vec();
        (self.at, self.partial) = (begun_at, 0);
        let (mut reader, mut rest) = (Box::new(Reader::new(wire, 0)), &mut front[..]);
        while reader.next(&mut rest, pool)?.is_some() {}
        Ok(reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timer::Jitter;
    use crate::wire::Message;

    /// Feeds a stream in chunks of every size: messages that came back, and pings between them, or the end.
    fn check(wire: Wire, stream: impl Fn(&Rings) -> Vec<u8>, expected: Result<(usize, usize), End>) {
        let rings = Rings::new(wire, 10, false, 1, &mut Jitter::new(3));
        let stream = stream(&rings);
        for chunk in 1..=stream.len() {
            let (mut check, mut pool, mut pings) = (Check::new(0), Pool::new(0), 0);
            let came = stream.chunks(chunk).try_fold(0, |count, bytes| match check.take(bytes, &rings) {
                Some(whole) => Ok(count + whole),
                None => {
                    let mut copy = bytes.to_vec();
                    check.take_apart(&mut copy, &rings, &mut pool, |_| pings += 1).map(|whole| count + whole)
                }
            });
            assert_eq!(came.map(|count| (count, pings)), expected, "{wire} in chunks of {chunk}");
            check.clear(&mut pool);
            assert_eq!(pool.lent_bytes(), 0);
        }
    }

    fn payload(rings: &Rings, number: usize) -> Vec<u8> {
        rings.answers.payload(number * rings.answers.frame(), rings.wire).to_vec()
    }

    const WIRES: [Wire; 4] = [Wire::Length, Wire::Line, Wire::Raw, Wire::WebSocket];

    #[test]
    fn what_comes_back_as_it_was_sent_is_counted_whole_by_whole() {
        for wire in WIRES {
            check(wire, |rings| rings.answers.bytes().to_vec(), Ok((2 * 61, 0)));
        }
    }

    #[test]
    fn a_message_that_is_lost_doubled_torn_or_another_is_noticed() {
        for wire in WIRES {
            let frames = |rings: &Rings, numbers: &[usize]| {
                let (all, frame) = (rings.answers.bytes().to_vec(), rings.answers.frame());
                numbers.iter().flat_map(|number| all[number * frame..][..frame].to_vec()).collect::<Vec<u8>>()
            };
            check(wire, |rings| frames(rings, &[0, 2]), Err(End::WrongBytes));
            check(wire, |rings| frames(rings, &[0, 0]), Err(End::WrongBytes));
            check(wire, |rings| frames(rings, &[1]), Err(End::WrongBytes));
            let torn = |rings: &Rings| {
                let mut bytes = frames(rings, &[0, 1]);
                let len = bytes.len();
                bytes[len - 3] ^= 1;
                bytes
            };
            check(wire, torn, Err(End::WrongBytes));
        }
    }

    #[test]
    fn other_framings_of_the_same_messages_are_the_same() {
        let with_returns = |rings: &Rings| {
            (0..5).flat_map(|number| [payload(rings, number), b"\r\n".to_vec()].concat()).collect::<Vec<u8>>()
        };
        check(Wire::Line, with_returns, Ok((5, 0)));
        let in_fragments = |rings: &Rings| {
            let message = payload(rings, 0);
            let mut bytes = [b"\x02\x04", &message[..4], b"\x80\x06", &message[4..]].concat();
            Wire::WebSocket.encode(Message::binary(&payload(rings, 1)), &mut bytes);
            bytes
        };
        check(Wire::WebSocket, in_fragments, Ok((2, 0)));
    }

    #[test]
    fn pings_between_messages_and_within_them_are_heard() {
        let with_pings = |rings: &Rings| {
            let (all, frame) = (rings.answers.bytes().to_vec(), rings.answers.frame());
            let message = payload(rings, 2);
            [&all[..2 * frame], b"\x89\x02hi", b"\x02\x04", &message[..4], b"\x89\x00\x80\x06", &message[4..]].concat()
        };
        check(Wire::WebSocket, with_pings, Ok((3, 2)));
    }

    #[test]
    fn a_goodbye_is_an_end() {
        let goodbye = |_: &Rings| b"\x88\x05\x0B\xB9bye".to_vec();
        check(Wire::WebSocket, goodbye, Err(End::closed(Some(3001), "bye")));
    }
}
