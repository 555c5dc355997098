//! Messages of permessage-deflate (RFC 7692, section 7.2): raw DEFLATE without its last four bytes. Never makes more
//! of a message than it is allowed to, and never lets one message see another's history unless told to.

#[cfg(test)]
mod tests;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// Compresses messages at the fastest level.
#[derive(Debug)]
pub struct Deflater {
    zlib: Compress,
    window_bits: u8,
}

/// Inflates messages of any window.
#[derive(Debug)]
pub struct Inflater {
    zlib: Decompress,
}

/// Why a compressed message can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InflateError {
    /// It is over the limit when inflated: close code 1009.
    TooLarge,
    /// It is no DEFLATE data, or stops inside a block: close code 1007. Where a history is kept, one that stops in a
    /// block's header passes for one that stops before it.
    Invalid,
}

/// What all connections that begin each message afresh compress and inflate with: one inflater, and one compressor
/// for each size of window that a peer has asked for, made when it is first needed.
#[derive(Debug, Default)]
pub struct Shared {
    deflaters: [Option<Deflater>; WINDOWS],
    inflater: Option<Inflater>,
}

/// The history of one connection whose messages go on from each other, for the directions that do, made when it is
/// first needed. After an error of [`Contexts::inflate`] the connection can't go on: its history is gone.
#[derive(Debug, Default)]
pub struct Contexts {
    deflater: Option<Deflater>,
    inflater: Option<Inflater>,
}

/// What a sync flush ends with, and a message leaves out (section 7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];
/// The tail, and an empty block that changes nothing for a decoder that the tail has brought to the end of a block.
/// One that was in the midst of a block takes it for data.
///
/// One in the midst of a block's header swallows both and waits for more, without a sign.
const TAIL_AND_PROBE: [u8; 9] = [0x00, 0x00, 0xFF, 0xFF, 0x00, 0x00, 0x00, 0xFF, 0xFF];
/// The tail, and a final block of nothing. That it ends the stream is a sign that no block was left open, and costs
/// the history.
const TAIL_AND_END: [u8; 9] = [0x00, 0x00, 0xFF, 0xFF, 0x01, 0x00, 0x00, 0xFF, 0xFF];
/// The empty message: the header of an empty stored block, whose length is the tail (section 7.2.3.6).
const EMPTY: u8 = 0x00;

const NARROWEST: u8 = 9;
const WIDEST: u8 = 15;
const WINDOWS: usize = (WIDEST - NARROWEST + 1) as usize;
/// The least by which the output grows.
const STEP: usize = 512;

impl Deflater {
    /// A compressor with a window of 2^`window_bits` bytes, 9 to 15; it holds 245 KiB at 9 bits and 371 KiB at 15.
    ///
    /// Panics outside of that range, which [`super::negotiate`] keeps to.
    pub fn new(window_bits: u8) -> Self {
        assert!((NARROWEST..=WIDEST).contains(&window_bits), "a window of {window_bits} bits");
        Self { zlib: Compress::new_with_window_bits(Compression::fast(), false, window_bits), window_bits }
    }

    /// Appends `message` compressed; with `reset`, as if it were the first (some 1.6 us: 128 KiB are zeroed).
    ///
    /// What is appended may be longer than the message, by an eighth of it and a few bytes.
    pub fn deflate(&mut self, message: &[u8], reset: bool, out: &mut Vec<u8>) {
        if reset {
            self.zlib.reset();
        }
        if message.is_empty() {
            return out.push(EMPTY);
        }
        let start = out.len();
        out.reserve(message.len() / 2 + STEP);
        let mut rest = message;
        loop {
            let before = self.zlib.total_in();
            self.zlib.compress_vec(rest, out, FlushCompress::Sync).expect("a compressor takes any bytes");
            rest = &rest[(self.zlib.total_in() - before) as usize..];
            if rest.is_empty() && out.len() < out.capacity() {
                break;
            }
            out.reserve(out.len() - start);
        }
        assert!(out.ends_with(&TAIL), "a sync flush that had room has ended");
        out.truncate(out.len() - TAIL.len());
    }

    /// Bytes it holds: two windows of text and a chain of two bytes for each position of one, besides tables that
    /// don't depend on the window.
    pub fn held_bytes(&self) -> usize {
        (243 << 10) + (4 << self.window_bits)
    }
}

impl Inflater {
    /// An inflater; it holds 47 KiB.
    pub fn new() -> Self {
        Self { zlib: Decompress::new(false) }
    }

    /// Appends the message whose compressed form is `payload`, at most `max` bytes; with `reset`, as if it were the
    /// first.
    ///
    /// `out` grows with what is produced, at most to `max` + 1 bytes beyond what is in it; a message that is too large
    /// is given up there, or where the room is used up that `out` had before. Besides what is produced, a byte of
    /// `payload` costs at most some 60 ns, 20 times the usual (tables of codes that nothing is coded with).
    /// After an error nothing is appended and the history is forgotten.
    pub fn inflate(&mut self, payload: &[u8], max: usize, reset: bool, out: &mut Vec<u8>) -> Result<(), InflateError> {
        if reset {
            self.zlib.reset(false);
        }
        self.inflate_next(payload, max, false, out)
    }

    /// Bytes it holds.
    pub fn held_bytes(&self) -> usize {
        47 << 10
    }

    /// `alone`: no message will lean on this one, so that finding its end may cost the history.
    fn inflate_next(&mut self, payload: &[u8], max: usize, alone: bool, out: &mut Vec<u8>) -> Result<(), InflateError> {
        let start = out.len();
        let result = self.inflate_message(payload, alone, &mut Bounded { out, start, max });
        if result.is_err() {
            out.truncate(start);
            self.zlib.reset(false);
        }
        result
    }

    fn inflate_message(&mut self, payload: &[u8], alone: bool, out: &mut Bounded<'_>) -> Result<(), InflateError> {
        // Nothing at all is no DEFLATE data; others send it for an empty message and take it for one.
        if payload.is_empty() || self.feed(payload, out)? == Stopped::Final {
            return Ok(());
        }
        let len = out.out.len();
        let stopped = self.feed(if alone { &TAIL_AND_END } else { &TAIL_AND_PROBE }, out)?;
        let is_whole = out.out.len() == len && (!alone || stopped == Stopped::Final);
        if is_whole { Ok(()) } else { Err(InflateError::Invalid) }
    }

    /// Inflates all of `input`. Each round fills all the room there is, which is bounded, or takes all input up to a
    /// final block; a decoder that does neither is given up.
    ///
    /// A final block need not be the last: the next one follows on the next byte (section 7.2.1), without the history
    /// of those before, as DEFLATE begins anew after it (RFC 1951, section 3.2.3).
    fn feed(&mut self, mut input: &[u8], out: &mut Bounded<'_>) -> Result<Stopped, InflateError> {
        loop {
            let room = out.room();
            let before = self.zlib.total_in();
            let status = self.zlib.decompress_vec(input, room, FlushDecompress::Sync);
            let status = status.map_err(|_| InflateError::Invalid)?;
            let is_full = room.len() == room.capacity();
            out.check()?;
            input = &input[(self.zlib.total_in() - before) as usize..];
            match status {
                Status::StreamEnd => {
                    self.zlib.reset(false);
                    if input.is_empty() {
                        return Ok(Stopped::Final);
                    }
                }
                Status::Ok | Status::BufError if is_full => {}
                Status::Ok | Status::BufError if input.is_empty() => return Ok(Stopped::Within),
                Status::Ok | Status::BufError => return Err(InflateError::Invalid),
            }
        }
    }
}

impl Default for Inflater {
    fn default() -> Self {
        Self::new()
    }
}

/// Where a decoder stands after all its input.
#[derive(PartialEq, Eq)]
enum Stopped {
    /// Right behind a final block.
    Final,
    /// Between other blocks, or inside one.
    Within,
}

/// A buffer that takes `max` bytes from `start` on.
struct Bounded<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    max: usize,
}

impl Bounded<'_> {
    /// The buffer with room for at least one byte; one byte more than allowed tells a message that is too large from
    /// one that just fits.
    fn room(&mut self) -> &mut Vec<u8> {
        if self.out.len() == self.out.capacity() {
            let allowed = (self.max - self.produced()).saturating_add(1);
            self.out.reserve_exact(self.produced().max(STEP).min(allowed));
        }
        self.out
    }

    fn check(&self) -> Result<(), InflateError> {
        if self.produced() <= self.max { Ok(()) } else { Err(InflateError::TooLarge) }
    }

    fn produced(&self) -> usize {
        self.out.len() - self.start
    }
}

impl Shared {
    /// Appends `message` compressed on its own, for a window of 2^`window_bits` bytes, 9 to 15.
    pub fn deflate(&mut self, message: &[u8], window_bits: u8, out: &mut Vec<u8>) {
        let slot = window_bits.checked_sub(NARROWEST).and_then(|index| self.deflaters.get_mut(usize::from(index)));
        let slot = slot.expect("negotiate keeps to windows of 9 to 15 bits");
        slot.get_or_insert_with(|| Deflater::new(window_bits)).deflate(message, true, out);
    }

    /// Appends the message, at most `max` bytes, that was compressed on its own; see [`Inflater::inflate`].
    /// One that stops anywhere inside a block is refused.
    pub fn inflate(&mut self, payload: &[u8], max: usize, out: &mut Vec<u8>) -> Result<(), InflateError> {
        let inflater = self.inflater.get_or_insert_default();
        inflater.zlib.reset(false);
        inflater.inflate_next(payload, max, true, out)
    }

    /// Bytes held by what has been made so far: at most 2 MiB.
    pub fn held_bytes(&self) -> usize {
        let deflaters: usize = self.deflaters.iter().flatten().map(Deflater::held_bytes).sum();
        deflaters + self.inflater.as_ref().map_or(0, Inflater::held_bytes)
    }
}

impl Contexts {
    /// Appends `message` compressed with what went before it in view. `window_bits`, 9 to 15, is the same in each
    /// call.
    pub fn deflate(&mut self, message: &[u8], window_bits: u8, out: &mut Vec<u8>) {
        self.deflater.get_or_insert_with(|| Deflater::new(window_bits)).deflate(message, false, out);
    }

    /// Appends the message, at most `max` bytes, that was compressed with what went before it in view; see
    /// [`Inflater::inflate`].
    pub fn inflate(&mut self, payload: &[u8], max: usize, out: &mut Vec<u8>) -> Result<(), InflateError> {
        self.inflater.get_or_insert_default().inflate(payload, max, false, out)
    }

    /// Bytes held by what has been made so far.
    pub fn held_bytes(&self) -> usize {
        self.deflater.as_ref().map_or(0, Deflater::held_bytes) + self.inflater.as_ref().map_or(0, Inflater::held_bytes)
    }
}
