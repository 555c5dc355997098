//! Frame headers (RFC 6455, section 5.2): decoded strictly, as early as the bytes allow, and encoded.

use super::Mask;
use std::fmt;

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// More of the message that an earlier frame began.
    Continuation,
    /// A message of UTF-8 text, or its beginning.
    Text,
    /// A message of bytes, or its beginning.
    Binary,
    /// The sender closes.
    Close,
    /// The sender wants a pong with the same payload.
    Ping,
    /// A ping's answer, or a sign of life by itself.
    Pong,
}

impl Opcode {
    /// Close, ping or pong: never fragmented, at most 125 bytes, allowed between the fragments of a message.
    #[inline]
    pub fn is_control(self) -> bool {
        matches!(self, Opcode::Close | Opcode::Ping | Opcode::Pong)
    }

    #[inline]
    fn code(self) -> u8 {
        match self {
            Opcode::Continuation => 0x0,
            Opcode::Text => 0x1,
            Opcode::Binary => 0x2,
            Opcode::Close => 0x8,
            Opcode::Ping => 0x9,
            Opcode::Pong => 0xA,
        }
    }
}

/// A frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// The last frame of its message.
    pub fin: bool,
    /// The first reserved bit: with permessage-deflate, the message is compressed (RFC 7692, section 6).
    pub rsv1: bool,
    /// What it carries.
    pub opcode: Opcode,
    /// Bytes of payload.
    pub len: u64,
    /// The key its payload is masked with.
    pub mask: Option<Mask>,
}

/// What is wrong with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameError {
    /// A reserved bit that no extension has given a meaning.
    ReservedBit,
    /// An opcode that means nothing.
    ReservedOpcode,
    /// A control frame in fragments.
    FragmentedControl,
    /// A control frame of more than 125 bytes.
    LongControl,
    /// A length in more bytes than it needs, or with its highest bit set.
    BadLength,
    /// A client's frame without a mask.
    MissingMask,
    /// A server's frame with a mask.
    UnexpectedMask,
    /// A continuation of nothing.
    NothingToContinue,
    /// A new message inside an unfinished one.
    UnfinishedMessage,
    /// A close frame whose body is no code, or one that may not be sent.
    BadClose,
    /// Compressed data, or its end, where none is allowed.
    BadCompression,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FrameError::ReservedBit => "reserved bit set",
            FrameError::ReservedOpcode => "reserved opcode",
            FrameError::FragmentedControl => "fragmented control frame",
            FrameError::LongControl => "control frame over 125 bytes",
            FrameError::BadLength => "length not in its shortest form",
            FrameError::MissingMask => "frame without a mask",
            FrameError::UnexpectedMask => "masked frame from a server",
            FrameError::NothingToContinue => "continuation of nothing",
            FrameError::UnfinishedMessage => "new message inside an unfinished one",
            FrameError::BadClose => "bad close frame",
            FrameError::BadCompression => "bad compressed data",
        })
    }
}

/// Who sends frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// A client masks every frame (RFC 6455, section 5.1).
    Client,
    /// A server masks none.
    Server,
}

/// Longest payload of a control frame.
pub const MAX_CONTROL: usize = 125;
/// Longest header: two bytes, eight of length, four of mask.
pub const MAX_HEADER: usize = 14;

const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;
const MASKED: u8 = 0x80;

impl FrameHeader {
    /// The header at the front of `bytes` and its length, or `None` while its tail is on the way.
    ///
    /// Every rule that a header can break by itself is checked on the first byte that breaks it; whether the bit that
    /// marks compression may be set is the caller's to say.
    #[inline]
    pub fn decode(bytes: &[u8], sender: Sender, compression: bool) -> Result<Option<(Self, usize)>, FrameError> {
        let Some(&first) = bytes.first() else {
            return Ok(None);
        };
        let (fin, rsv1) = (first & FIN != 0, first & RSV1 != 0);
        let opcode = opcode(first)?;
        check_bits(first, opcode, compression)?;
        let Some(&second) = bytes.get(1) else {
            return Ok(None);
        };
        check_second(second, opcode, sender)?;
        let Some((len, at)) = length(bytes, second)? else {
            return Ok(None);
        };
        if sender == Sender::Server {
            return Ok(Some((Self { fin, rsv1, opcode, len, mask: None }, at)));
        }
        let Some(key) = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>()) else {
            return Ok(None);
        };
        Ok(Some((Self { fin, rsv1, opcode, len, mask: Some(Mask::new(*key)) }, at + 4)))
    }

    /// Appends the header.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let (bytes, len) = self.encoded();
        out.extend_from_slice(&bytes[..len]);
    }

    #[inline]
    fn first_byte(&self) -> u8 {
        self.opcode.code() | if self.fin { FIN } else { 0 } | if self.rsv1 { RSV1 } else { 0 }
    }

    pub(in crate::wire) fn encoded(&self) -> ([u8; MAX_HEADER], usize) {
        let mut bytes = [0; MAX_HEADER];
        let masked = if self.mask.is_some() { MASKED } else { 0 };
        bytes[0] = self.first_byte();
        let mut at = 2;
        match self.len {
            0..=125 => bytes[1] = masked | self.len.to_le_bytes()[0],
            126..=0xFFFF => {
                bytes[1] = masked | 126;
                bytes[2..4].copy_from_slice(&self.len.to_be_bytes()[6..]);
                at = 4;
            }
            _ => {
                bytes[1] = masked | 127;
                bytes[2..10].copy_from_slice(&self.len.to_be_bytes());
                at = 10;
            }
        }
        if let Some(mask) = self.mask {
            bytes[at..at + 4].copy_from_slice(&mask.key());
            at += 4;
        }
        (bytes, at)
    }
}

/// Bytes of the header that a server puts before a payload of `len` bytes.
#[inline]
pub fn header_len(len: usize) -> usize {
    match len {
        0..=125 => 2,
        126..=0xFFFF => 4,
        _ => 10,
    }
}

/// Whether a data frame with this first byte begins a message, or goes on with one; `None` for all other frames.
pub fn begins(first: u8) -> Option<bool> {
    match first & 0x0F {
        0x0 => Some(false),
        0x1 | 0x2 => Some(true),
        _ => None,
    }
}

#[inline]
fn opcode(first: u8) -> Result<Opcode, FrameError> {
    Ok(match first & 0x0F {
        0x0 => Opcode::Continuation,
        0x1 => Opcode::Text,
        0x2 => Opcode::Binary,
        0x8 => Opcode::Close,
        0x9 => Opcode::Ping,
        0xA => Opcode::Pong,
        _ => return Err(FrameError::ReservedOpcode),
    })
}

/// Compression is marked on the first frame of a message and nowhere else (RFC 7692, section 6).
#[inline]
fn check_bits(first: u8, opcode: Opcode, compression: bool) -> Result<(), FrameError> {
    let begins_message = matches!(opcode, Opcode::Text | Opcode::Binary);
    let allowed = if compression && begins_message { RSV1 } else { 0 };
    if first & 0x70 & !allowed != 0 {
        return Err(FrameError::ReservedBit);
    }
    if opcode.is_control() && first & FIN == 0 {
        return Err(FrameError::FragmentedControl);
    }
    Ok(())
}

#[inline]
fn check_second(second: u8, opcode: Opcode, sender: Sender) -> Result<(), FrameError> {
    match (sender, second & MASKED != 0) {
        (Sender::Client, false) => return Err(FrameError::MissingMask),
        (Sender::Server, true) => return Err(FrameError::UnexpectedMask),
        (Sender::Client, true) | (Sender::Server, false) => {}
    }
    if opcode.is_control() && second & !MASKED > 125 {
        return Err(FrameError::LongControl);
    }
    Ok(())
}

/// The payload's length and where the header goes on.
#[inline]
fn length(bytes: &[u8], second: u8) -> Result<Option<(u64, usize)>, FrameError> {
    let long = bytes.get(2..).unwrap_or_default();
    match second & !MASKED {
        126 => match long.first_chunk::<2>().map(|bytes| u64::from(u16::from_be_bytes(*bytes))) {
            Some(len) if len < 126 => Err(FrameError::BadLength),
            len => Ok(len.map(|len| (len, 4))),
        },
        127 => match long.first_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes)) {
            Some(len) if len <= 0xFFFF || len > i64::MAX as u64 => Err(FrameError::BadLength),
            len => Ok(len.map(|len| (len, 10))),
        },
        len => Ok(Some((u64::from(len), 2))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8]) -> Result<Option<(FrameHeader, usize)>, FrameError> {
        FrameHeader::decode(bytes, Sender::Client, false)
    }

    /// Whatever the cut, the same answer, and none before the bytes allow one.
    fn check(bytes: &[u8], expected: Result<(Opcode, u64), FrameError>) {
        let answer = (0..=bytes.len()).find_map(|len| decode(&bytes[..len]).transpose());
        let answer = answer.unwrap_or_else(|| panic!("{bytes:02x?} gives nothing"));
        assert_eq!(answer.map(|(header, _)| (header.opcode, header.len)), expected, "{bytes:02x?}");
        if let Ok((_, len)) = answer {
            assert_eq!(len, bytes.len(), "{bytes:02x?}");
        }
    }

    #[test]
    fn lengths_are_read_in_their_three_forms() {
        check(b"\x81\x80mask", Ok((Opcode::Text, 0)));
        check(b"\x82\xFDmask", Ok((Opcode::Binary, 125)));
        check(b"\x80\xFE\x00\x7Emask", Ok((Opcode::Continuation, 126)));
        check(b"\x82\xFE\xFF\xFFmask", Ok((Opcode::Binary, 65_535)));
        check(b"\x82\xFF\0\0\0\0\0\x01\0\0mask", Ok((Opcode::Binary, 65_536)));
        check(b"\x82\xFF\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFFmask", Ok((Opcode::Binary, i64::MAX as u64)));
    }

    #[test]
    fn lengths_in_a_longer_form_than_they_need_are_refused() {
        check(b"\x82\xFE\x00\x7D", Err(FrameError::BadLength));
        check(b"\x82\xFF\0\0\0\0\0\0\xFF\xFF", Err(FrameError::BadLength));
        check(b"\x82\xFF\x80\0\0\0\0\0\0\x01", Err(FrameError::BadLength));
    }

    #[test]
    fn what_is_reserved_is_refused_on_its_byte() {
        for bits in [0x10, 0x20, 0x30, 0x40, 0x70] {
            check(&[0x81 | bits], Err(FrameError::ReservedBit));
        }
        for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
            check(&[0x80 | opcode], Err(FrameError::ReservedOpcode));
        }
    }

    #[test]
    fn compression_is_marked_where_a_message_begins_and_only_if_it_was_agreed_on() {
        let marked = |first| FrameHeader::decode(&[first], Sender::Client, true);
        assert_eq!((marked(0xC1), marked(0x42)), (Ok(None), Ok(None)));
        for first in [0xC0, 0xC8, 0xC9, 0xCA, 0xE1] {
            assert_eq!(marked(first), Err(FrameError::ReservedBit), "{first:02x}");
        }
    }

    #[test]
    fn control_frames_are_short_and_whole() {
        check(b"\x09", Err(FrameError::FragmentedControl));
        check(b"\x89\xFE", Err(FrameError::LongControl));
        check(b"\x88\xFF", Err(FrameError::LongControl));
        check(b"\x8A\xFDmask", Ok((Opcode::Pong, 125)));
    }

    #[test]
    fn clients_mask_and_servers_do_not() {
        check(b"\x81\x05", Err(FrameError::MissingMask));
        assert_eq!(FrameHeader::decode(b"\x81\x85", Sender::Server, false), Err(FrameError::UnexpectedMask));
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        for len in [0, 1, 125, 126, 127, 65_535, 65_536, 1 << 40] {
            for mask in [None, Some(Mask::new([1, 2, 3, 4]))] {
                let header = FrameHeader { fin: true, rsv1: true, opcode: Opcode::Text, len, mask };
                let mut bytes = Vec::new();
                header.encode(&mut bytes);
                let sender = if mask.is_some() { Sender::Client } else { Sender::Server };
                assert_eq!(FrameHeader::decode(&bytes, sender, true), Ok(Some((header, bytes.len()))));
                if mask.is_none() && len < 1 << 30 {
                    assert_eq!(header_len(usize::try_from(len).unwrap()), bytes.len());
                }
            }
        }
    }
}
