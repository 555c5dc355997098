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

/// The first `\n`, looked for in blocks that the compiler compares as one vector.
pub(super) fn find_newline(bytes: &[u8]) -> Option<usize> {
    const BLOCK: usize = 32;
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    let whole = blocks.iter().take_while(|block| !holds_newline(block)).count() * BLOCK;
    let tail = if whole == blocks.len() * BLOCK { rest } else { &bytes[whole..] };
    tail.iter().position(|&byte| byte == b'\n').map(|at| whole + at)
}

fn holds_newline(block: &[u8; 32]) -> bool {
    block.iter().fold(0u8, |found, &byte| found | u8::from(byte == b'\n')) != 0
}
