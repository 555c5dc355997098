//! The length-prefixed wire: four big-endian bytes of length, then the body.

use super::{DecodeError, Frame};

const HEADER: usize = 4;

pub(super) fn decode(bytes: &[u8], max: usize) -> Result<Option<Frame>, DecodeError> {
    let Some(header) = bytes.first_chunk::<HEADER>() else {
        return Ok(None);
    };
    let body = u32::from_be_bytes(*header) as usize;
    if body > max {
        return Err(DecodeError::TooLarge);
    }
    let len = HEADER + body;
    Ok((bytes.len() >= len).then_some(Frame { payload: HEADER..len, len }))
}

/// Bytes still missing from the frame that `tail` begins, or from its header where that is not whole.
pub(super) fn missing(tail: &[u8]) -> usize {
    match tail.first_chunk::<HEADER>() {
        Some(header) => (HEADER + u32::from_be_bytes(*header) as usize).saturating_sub(tail.len()),
        None => HEADER - tail.len(),
    }
}

pub(super) fn header(len: usize) -> [u8; HEADER] {
    u32::try_from(len).expect("Settings bounds messages to 1 GiB").to_be_bytes()
}
