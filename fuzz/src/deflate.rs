//! A second opinion on the messages of permessage-deflate (RFC 7692, section 7.2): each is read anew from the first
//! byte of its history.

use flate2::{Decompress, FlushDecompress, Status};
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::{TINFL_FLAG_HAS_MORE_INPUT, TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF};
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};
use tidegate::wire::websocket::InflateError;

/// What a sync flush ends with, and a message leaves out.
pub const TAIL: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];
/// A block of nothing, which changes nothing between two others.
const EMPTY: [u8; 5] = [0x00, 0x00, 0x00, 0xFF, 0xFF];
/// A block of text, to be seen behind a message that stops where one block ends and another may begin.
const PROBE: [u8; 10] = *b"\x00\x05\x00\xFA\xFFprobe";
/// Most that is made of one message before it is given up: over what any test allows.
const ENOUGH: usize = 1 << 20;

/// What is in a message.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    /// As far as it can be read.
    pub bytes: Vec<u8>,
    /// It is whole and in order.
    pub is_sound: bool,
}

/// The messages that were read so far, where they go on from each other.
#[derive(Debug, Default)]
pub struct History {
    payloads: Vec<Vec<u8>>,
}

impl Message {
    /// Whether an inflater that may make `max` bytes may call it this. One that is both broken and too large may be
    /// called either.
    pub fn allows(&self, error: InflateError, max: usize) -> bool {
        match error {
            InflateError::TooLarge => self.bytes.len() > max,
            InflateError::Invalid => !self.is_sound,
        }
    }

    /// Holds what an inflater that could make `max` bytes made of it against it.
    pub fn check(&self, made: Result<&[u8], InflateError>, max: usize) {
        let is_right = match made {
            Ok(bytes) => self.is_sound && self.bytes.len() <= max && bytes == self.bytes,
            Err(error) => self.allows(error, max),
        };
        assert!(is_right, "{made:x?} of {self:x?}, at most {max} bytes");
    }
}

impl History {
    /// Reads one message more.
    pub fn read(&mut self, payload: &[u8]) -> Message {
        let mut decoder = Decompress::new(false);
        for before in &self.payloads {
            take(&mut decoder, before, &mut Vec::new());
        }
        let mut bytes = Vec::new();
        let taken = take(&mut decoder, payload, &mut bytes);
        self.payloads.push(payload.to_vec());
        // One that stops in the header of a block can't be told from one that stops before it, where the history has to
        // stay as it is: to find out is to write into it.
        Message { bytes, is_sound: taken.is_some() }
    }
}

/// Reads a message that stands alone.
pub fn read_alone(payload: &[u8]) -> Message {
    let (mut decoder, mut bytes) = (Decompress::new(false), Vec::new());
    let is_sound = match take(&mut decoder, payload, &mut bytes) {
        None => false,
        Some(Stopped::Final) => true,
        Some(Stopped::Within) => {
            let mut probed = Vec::new();
            feed(&mut decoder, &PROBE, &mut probed) == Some(Stopped::Within) && probed == b"probe"
        }
    };
    Message { bytes, is_sound }
}

/// Decodes a message with its tail; `None` where it is broken, or stops in the data of a block.
fn take(decoder: &mut Decompress, payload: &[u8], out: &mut Vec<u8>) -> Option<Stopped> {
    let stopped = feed(decoder, payload, out)?;
    // Behind a final block there is no tail, and nothing at all is an empty message to everybody.
    if stopped == Stopped::Final || payload.is_empty() {
        return Some(stopped);
    }
    let len = out.len();
    feed(decoder, &[&TAIL[..], &EMPTY].concat(), out).filter(|_| out.len() == len)
}

/// Where a decoder stands after all its input.
#[derive(PartialEq, Eq)]
enum Stopped {
    /// Right behind a final block.
    Final,
    /// Elsewhere.
    Within,
}

/// Decodes all of `input`, with final blocks wherever they stand; `None` where it is broken, or never ends.
fn feed(decoder: &mut Decompress, mut input: &[u8], out: &mut Vec<u8>) -> Option<Stopped> {
    while out.len() < ENOUGH {
        out.reserve(1 << 12);
        let before = decoder.total_in();
        let status = decoder.decompress_vec(input, out, FlushDecompress::None).ok()?;
        input = &input[(decoder.total_in() - before) as usize..];
        let is_full = out.len() == out.capacity();
        match status {
            Status::StreamEnd => {
                decoder.reset(false);
                if input.is_empty() {
                    return Some(Stopped::Final);
                }
            }
            Status::Ok | Status::BufError if input.is_empty() && !is_full => return Some(Stopped::Within),
            Status::Ok | Status::BufError => {}
        }
    }
    None
}

/// What another implementation makes of a message that stands alone, where it is one of `len` bytes.
pub fn read_by_miniz(payload: &[u8], len: usize) -> Option<Vec<u8>> {
    let whole = [payload, &TAIL].concat();
    let (mut rest, mut out, mut at) = (&whole[..], vec![0; len + 1], 0);
    loop {
        // A new one for what stands behind a final block.
        let mut decoder = Box::new(DecompressorOxide::new());
        let flags = TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF | TINFL_FLAG_HAS_MORE_INPUT;
        let (status, used, made) = decompress(&mut decoder, rest, &mut out[at..], 0, flags);
        (rest, at) = (&rest[used..], at + made);
        match status {
            TINFLStatus::Done if rest.len() > TAIL.len() => {}
            TINFLStatus::Done | TINFLStatus::NeedsMoreInput => {
                out.truncate(at);
                return Some(out);
            }
            _ => return None,
        }
    }
}
