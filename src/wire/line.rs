//! The line wire: bytes up to `\n`, with one `\r` before it dropped.

use super::{DecodeError, Frame};

pub(super) fn decode(bytes: &[u8], scanned: usize, max: usize) -> Result<Option<Frame>, DecodeError> {
    let Some(at) = find_newline(bytes.get(scanned..).unwrap_or_default()) else {
        return if could_still_fit(bytes, max) { Ok(None) } else { Err(DecodeError::TooLarge) };
    };
    let newline = scanned + at;
    let end = if newline > 0 && bytes[newline - 1] == b'\r' { newline - 1 } else { newline };
    if end > max {
        return Err(DecodeError::TooLarge);
    }
    Ok(Some(Frame { payload: 0..end, len: newline + 1 }))
}

/// A line without its end may hold one byte more than the limit where that is the `\r` to be dropped.
fn could_still_fit(bytes: &[u8], max: usize) -> bool {
    bytes.len() <= max || (bytes.len() == max + 1 && bytes.last() == Some(&b'\r'))
}

/// The first `\n`, looked for in blocks that the compiler compares as one vector, and then in words.
pub(super) fn find_newline(bytes: &[u8]) -> Option<usize> {
    const BLOCK: usize = 32;
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    let whole = blocks.iter().take_while(|block| !holds_newline(block)).count();
    let place = find_in_words(blocks.get(whole).map_or(rest, |block| &block[..]));
    place.map(|at| whole * BLOCK + at)
}

fn holds_newline(block: &[u8; 32]) -> bool {
    block.iter().fold(0u8, |found, &byte| found | u8::from(byte == b'\n')) != 0
}

fn find_in_words(bytes: &[u8]) -> Option<usize> {
    const WORD: usize = size_of::<u64>();
    const ONES: u64 = u64::from_ne_bytes([1; WORD]);
    let (words, rest) = bytes.as_chunks::<WORD>();
    let in_words = words.iter().enumerate().find_map(|(n, word)| {
        let other = u64::from_le_bytes(*word) ^ (ONES * b'\n' as u64);
        // The top bit of each byte that is zero. Others may show too, but only above one that is: the lowest is right.
        let zeros = other.wrapping_sub(ONES) & !other & (ONES << 7);
        (zeros != 0).then(|| n * WORD + zeros.trailing_zeros() as usize / 8)
    });
    in_words.or_else(|| rest.iter().position(|&byte| byte == b'\n').map(|at| words.len() * WORD + at))
}
