//! Takes a request's body off the stream (RFC 9112, sections 6 and 7), piece by piece and in place. Keeps no bytes.

use super::list::{is_token_byte, is_value_byte};
use super::{BodyLength, Status};

#[cfg(test)]
mod tests;

/// Decodes one body.
///
/// Takes no byte beyond it: what follows is the next request. Chunk sizes, extensions and trailer fields are checked
/// and dropped; line ends are CRLF only, so that no other reader can find another end.
#[derive(Debug)]
pub struct BodyDecoder {
    state: State,
    /// Bytes of the decoded body that may still come before its limit; for a body of known length, that do come.
    left: u64,
    /// Bytes of chunk extensions that may still come.
    extensions_left: u16,
    /// Bytes of trailer fields that may still come.
    trailers_left: u16,
}

/// What the front of the received bytes turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body<'b> {
    /// Part of the body; more may follow.
    Data(&'b [u8]),
    /// All bytes are used; more are needed.
    NeedMore,
    /// The body is complete, and what is left of the bytes is not part of it.
    End,
}

/// Most bytes of all chunk extensions of one body. Nobody sends any; what they may cost is bounded.
const MAX_EXTENSIONS: u16 = 4 << 10;
/// Most bytes of all trailer fields of one body.
const MAX_TRAILERS: u16 = 8 << 10;
/// What a `u64` holds.
const MAX_SIZE_DIGITS: u8 = 16;

/// Where in a body the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In a body of known length.
    Plain,
    /// In a chunk's size, of which these digits were read.
    Size { digits: u8, size: u64 },
    /// In white space before a `;`, or after it.
    Extension { size: u64, named: bool },
    /// Before the LF of a chunk's first line.
    SizeEnd { size: u64 },
    /// In a chunk, before this many bytes of it.
    Chunk { left: u64 },
    /// Before the CR behind a chunk.
    ChunkCr,
    /// Before the LF behind a chunk.
    ChunkLf,
    /// At the beginning of a line behind the last chunk.
    TrailerStart,
    /// In the name of a trailer field.
    TrailerName,
    /// In its value.
    TrailerValue,
    /// Before the LF behind a trailer field.
    TrailerLf,
    /// Before the last LF.
    LastLf,
    /// Behind the body.
    Done,
}

impl BodyDecoder {
    /// A decoder for a body framed like this, of at most `max_bytes` decoded. A length over that is 413 at once.
    pub fn new(length: BodyLength, max_bytes: u64) -> Result<Self, Status> {
        let (state, left) = match length {
            BodyLength::None | BodyLength::Length(0) => (State::Done, 0),
            BodyLength::Length(bytes) if bytes > max_bytes => return Err(Status::ContentTooLarge),
            BodyLength::Length(bytes) => (State::Plain, bytes),
            BodyLength::Chunked => (State::Size { digits: 0, size: 0 }, max_bytes),
        };
        Ok(Self { state, left, extensions_left: MAX_EXTENSIONS, trailers_left: MAX_TRAILERS })
    }

    /// Takes the next thing off the front of `bytes`. Call until it says [`Body::NeedMore`] or [`Body::End`].
    ///
    /// Refuses with 413 when a chunk is announced that goes over the limit, or extensions (4 KiB) or trailers (8 KiB)
    /// go over theirs; with 400 on the first byte that breaks the framing. Nothing after that can be understood. Each
    /// byte costs the same, whatever chunks it comes in.
    pub fn decode<'b>(&mut self, bytes: &mut &'b [u8]) -> Result<Body<'b>, Status> {
        loop {
            match self.state {
                State::Done => return Ok(Body::End),
                State::Plain => return Ok(self.take_plain(bytes)),
                State::Chunk { left } => return Ok(self.take_chunk(left, bytes)),
                _ => match bytes.split_first() {
                    None => return Ok(Body::NeedMore),
                    Some((&byte, rest)) => {
                        self.state = self.after(byte)?;
                        *bytes = rest;
                    }
                },
            }
        }
    }

    /// Whether the whole body was taken.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    fn take_plain<'b>(&mut self, bytes: &mut &'b [u8]) -> Body<'b> {
        let data = take(bytes, self.left);
        self.left -= data.len() as u64;
        if self.left == 0 {
            self.state = State::Done;
        }
        piece(data)
    }

    fn take_chunk<'b>(&mut self, left: u64, bytes: &mut &'b [u8]) -> Body<'b> {
        let data = take(bytes, left);
        let left = left - data.len() as u64;
        self.state = if left == 0 { State::ChunkCr } else { State::Chunk { left } };
        piece(data)
    }

    /// The state behind a byte of the framing.
    fn after(&mut self, byte: u8) -> Result<State, Status> {
        match (self.state, byte) {
            (State::Size { digits, size }, _) => self.after_size(digits, size, byte),
            (State::Extension { size, named }, _) => self.after_extension(size, named, byte),
            (State::SizeEnd { size: 0 }, b'\n') => Ok(State::TrailerStart),
            (State::SizeEnd { size }, b'\n') => self.begin_chunk(size),
            (State::ChunkCr, b'\r') => Ok(State::ChunkLf),
            (State::ChunkLf, b'\n') => Ok(State::Size { digits: 0, size: 0 }),
            (State::TrailerStart, b'\r') => Ok(State::LastLf),
            (State::TrailerName, b':') => self.trailer(State::TrailerValue),
            (State::TrailerStart | State::TrailerName, _) if is_token_byte(byte) => self.trailer(State::TrailerName),
            (State::TrailerValue, b'\r') => Ok(State::TrailerLf),
            (State::TrailerValue, _) if is_value_byte(byte) => self.trailer(State::TrailerValue),
            (State::TrailerLf, b'\n') => Ok(State::TrailerStart),
            (State::LastLf, b'\n') => Ok(State::Done),
            _ => Err(Status::BadRequest),
        }
    }

    fn after_size(&mut self, digits: u8, size: u64, byte: u8) -> Result<State, Status> {
        match (char::from(byte).to_digit(16), byte) {
            (Some(digit), _) if digits < MAX_SIZE_DIGITS => {
                Ok(State::Size { digits: digits + 1, size: size << 4 | u64::from(digit) })
            }
            (None, b'\r') if digits > 0 => Ok(State::SizeEnd { size }),
            (None, b';' | b' ' | b'\t') if digits > 0 => self.after_extension(size, false, byte),
            _ => Err(Status::BadRequest),
        }
    }

    /// White space may stand before the `;` (RFC 9112, section 7.1.1), and not without one.
    fn after_extension(&mut self, size: u64, named: bool, byte: u8) -> Result<State, Status> {
        self.extensions_left = self.extensions_left.checked_sub(1).ok_or(Status::ContentTooLarge)?;
        match (named, byte) {
            (true, b'\r') => Ok(State::SizeEnd { size }),
            (true, _) if is_value_byte(byte) => Ok(State::Extension { size, named }),
            (false, b';') => Ok(State::Extension { size, named: true }),
            (false, b' ' | b'\t') => Ok(State::Extension { size, named }),
            _ => Err(Status::BadRequest),
        }
    }

    fn begin_chunk(&mut self, size: u64) -> Result<State, Status> {
        self.left = self.left.checked_sub(size).ok_or(Status::ContentTooLarge)?;
        Ok(State::Chunk { left: size })
    }

    fn trailer(&mut self, state: State) -> Result<State, Status> {
        self.trailers_left = self.trailers_left.checked_sub(1).ok_or(Status::ContentTooLarge)?;
        Ok(state)
    }
}

/// At most `most` bytes from the front.
fn take<'b>(bytes: &mut &'b [u8], most: u64) -> &'b [u8] {
    let len = usize::try_from(most).unwrap_or(usize::MAX).min(bytes.len());
    let (data, rest) = bytes.split_at(len);
    *bytes = rest;
    data
}

fn piece(data: &[u8]) -> Body<'_> {
    if data.is_empty() { Body::NeedMore } else { Body::Data(data) }
}
