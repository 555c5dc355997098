//! What a client sends, as the bytes of a fuzzer tell: an edited request, and frames that are sound or nearly so.
//!
//! Everything is read from the front of the fuzzer's bytes, so that a seed can be written by hand.

use arbitrary::{Arbitrary, Result, Unstructured};
use flate2::{Compress, Compression, FlushCompress};

/// One change of a text: where, what kind, and which byte.
#[derive(Debug, Clone, Copy, Arbitrary)]
pub struct Edit {
    at: u16,
    kind: u8,
    byte: u8,
}

/// One frame of a client: its first byte, how it is made, and its payload, whose length is one byte.
#[derive(Debug, Clone)]
pub struct Frame {
    first: u8,
    style: u8,
    payload: Vec<u8>,
}

/// Bits of a frame's style; none of them is a frame in order, masked with nothing.
const NO_MASK: u8 = 1;
const LONG_LENGTH: u8 = 1 << 1;
const COMPRESSED: u8 = 1 << 2;
const REPEATED: u8 = 1 << 3;
const WITH_KEY: u8 = 1 << 4;
const CUT_OFF: u8 = 1 << 5;

impl Edit {
    /// The text, changed.
    pub fn apply(self, mut text: Vec<u8>) -> Vec<u8> {
        let at = usize::from(self.at) % text.len().max(1);
        match self.kind % 3 {
            0 if at < text.len() => text[at] = self.byte,
            1 if at < text.len() => drop(text.remove(at)),
            _ => text.insert(at, self.byte),
        }
        text
    }
}

impl<'a> Arbitrary<'a> for Frame {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let [first, style, len] = u.arbitrary()?;
        let payload = u.bytes(usize::from(len).min(u.len()))?.to_vec();
        Ok(Self { first, style, payload })
    }
}

impl Frame {
    /// The frame as it goes over the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let has = |bit| self.style & bit != 0;
        let mut payload = self.payload.repeat(if has(REPEATED) { 20 } else { 1 });
        if has(COMPRESSED) {
            payload = compressed(&payload);
        }
        let mut frame = vec![self.first];
        let masked = if has(NO_MASK) { 0 } else { 0x80 };
        match (payload.len(), has(LONG_LENGTH)) {
            (len @ 0..=125, false) => frame.push(masked | len as u8),
            (len @ 0..=0xFFFF, false) | (len @ 0..=125, true) => {
                frame.push(masked | 126);
                frame.extend_from_slice(&(len as u16).to_be_bytes());
            }
            (len, _) => {
                frame.push(masked | 127);
                frame.extend_from_slice(&(len as u64).to_be_bytes());
            }
        }
        if masked != 0 {
            let key = if has(WITH_KEY) { [0x37, 0xFA, 0x21, self.style] } else { [0; 4] };
            frame.extend_from_slice(&key);
            payload.iter_mut().zip(key.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
        }
        payload.truncate(payload.len() - usize::from(has(CUT_OFF)).min(payload.len()));
        frame.extend(payload);
        frame
    }
}

/// A message of permessage-deflate, without a history.
fn compressed(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() * 2 + 100);
    let mut zlib = Compress::new(Compression::default(), false);
    zlib.compress_vec(message, &mut out, FlushCompress::Sync).expect("there is room");
    out.truncate(out.len() - 4);
    out
}
