//! UTF-8 that comes in pieces, against the standard library's opinion of the whole.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate::wire::websocket::{Utf8Validator, is_utf8};
use tidegate_fuzz::cuts::{SINGLE, pieces};

/// Longest text that is cut at every place.
const MAX_CUT_EVERYWHERE: usize = 300;

fuzz_target!(|input: (u16, &[u8])| {
    let (seed, bytes) = input;
    let bad = first_bad(bytes);
    let is_whole = std::str::from_utf8(bytes).is_ok();
    assert_eq!(is_utf8(bytes), is_whole);
    for seed in [SINGLE, seed] {
        check(bytes, pieces(bytes, seed), bad, is_whole);
    }
    if bytes.len() <= MAX_CUT_EVERYWHERE {
        for at in 0..=bytes.len() {
            let (head, tail) = bytes.split_at(at);
            check(bytes, [head, tail].into_iter(), bad, is_whole);
        }
    }
});

/// The byte that makes a text of no beginning, where there is one.
fn first_bad(bytes: &[u8]) -> Option<usize> {
    let is_hopeless = |len: &usize| std::str::from_utf8(&bytes[..*len]).is_err_and(|e| e.error_len().is_some());
    let error = std::str::from_utf8(bytes).err().filter(|error| error.error_len().is_some())?;
    // A sequence that is broken by what follows it is at most three bytes long.
    (error.valid_up_to() + 1..=error.valid_up_to() + 4).find(is_hopeless).map(|len| len - 1)
}

/// Fails in the piece that holds the first bad byte, and nowhere else.
fn check<'b>(bytes: &[u8], pieces: impl Iterator<Item = &'b [u8]>, bad: Option<usize>, is_whole: bool) {
    let (mut validator, mut at) = (Utf8Validator::default(), 0);
    for piece in pieces {
        let is_bad_here = bad.is_some_and(|bad| (at..at + piece.len()).contains(&bad));
        assert_eq!(validator.push(piece).is_err(), is_bad_here, "at {at} of {bytes:x?}");
        if is_bad_here {
            return;
        }
        at += piece.len();
    }
    assert_eq!(validator.finish().is_ok(), is_whole, "{bytes:x?}");
}
