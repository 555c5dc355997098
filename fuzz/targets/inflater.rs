//! Compressed messages: inflated as a plain decoder does, within their limit, each from the history it may see; and
//! what is compressed comes back.

#![no_main]

use arbitrary::{Arbitrary, Result, Unstructured};
use flate2::{Decompress, FlushDecompress};
use libfuzzer_sys::fuzz_target;
use tidegate::wire::websocket::{Contexts, InflateError, Inflater, Shared};
use tidegate_fuzz::deflate::{History, TAIL, read_alone, read_by_miniz};

/// What goes over one connection: a byte for the window, two for the limit, then messages, each with a tag and a length
/// of two bytes.
#[derive(Debug)]
struct Script {
    window_bits: u8,
    max: usize,
    messages: Vec<Message>,
}

#[derive(Debug)]
enum Message {
    /// As a client could send it.
    Compressed(Vec<u8>),
    /// To be compressed.
    Plain(Vec<u8>),
}

/// What lies in a buffer before a message is appended.
const BEFORE: &[u8] = b"before";
/// Decoded at once, to see what the window holds.
const SMALL_STEP: usize = 64;

impl<'a> Arbitrary<'a> for Script {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let (window_bits, max) = (9 + u8::arbitrary(u)? % 7, u16::arbitrary(u)?);
        // Long enough for what is repeated to leave the window.
        let longest = 3 << window_bits >> 1;
        let mut messages = Vec::new();
        while !u.is_empty() {
            let (tag, len) = (u8::arbitrary(u)?, u16::arbitrary(u)?);
            let bytes = u.bytes(usize::from(len).min(u.len()))?;
            messages.push(match tag {
                0..=0x7F => Message::Compressed(bytes.to_vec()),
                _ => Message::Plain(bytes.repeat(usize::from(tag & 0x7F).min(longest / bytes.len().max(1)) + 1)),
            });
        }
        Ok(Self { window_bits, max: usize::from(max), messages })
    }
}

fuzz_target!(|script: Script| {
    let (mut shared, mut contexts) = (Shared::default(), Contexts::default());
    let (mut history, mut peer) = (History::default(), Contexts::default());
    for message in &script.messages {
        match message {
            Message::Compressed(payload) => {
                check_alone(&mut shared, payload, script.max);
                let made = inflate(script.max, |max, out| contexts.inflate(payload, max, out));
                history.read(payload).check(made.as_deref().map_err(|error| *error), script.max);
                if made.is_err() {
                    history = History::default();
                }
            }
            Message::Plain(bytes) => {
                check_round_trip(&mut shared, bytes, script.window_bits);
                let mut payload = Vec::new();
                peer.deflate(bytes, script.window_bits, &mut payload);
                let made = inflate(bytes.len(), |max, out| peer.inflate(&payload, max, out));
                assert_eq!(made.as_ref(), Ok(bytes), "with a history");
            }
        }
    }
});

/// Inflates behind what is in a buffer, which grows no further than it may and otherwise stays as it was.
fn inflate(
    max: usize,
    inflate: impl FnOnce(usize, &mut Vec<u8>) -> std::result::Result<(), InflateError>,
) -> std::result::Result<Vec<u8>, InflateError> {
    let mut out = BEFORE.to_vec();
    let result = inflate(max, &mut out);
    assert!(out.capacity() <= BEFORE.len() + max + 1, "{} bytes of room for {max}", out.capacity());
    assert!(out.len() <= BEFORE.len() + max && out.starts_with(BEFORE));
    let made = out.split_off(BEFORE.len());
    assert!(result.is_ok() || made.is_empty(), "after an error nothing is appended");
    result.map(|()| made)
}

fn check_alone(shared: &mut Shared, payload: &[u8], max: usize) {
    let expected = read_alone(payload);
    let made = inflate(max, |max, out| shared.inflate(payload, max, out));
    expected.check(made.as_deref().map_err(|error| *error), max);
    // With room from an earlier message.
    let mut roomy = Vec::with_capacity(max / 2 + 100);
    let result = shared.inflate(payload, max, &mut roomy);
    expected.check(result.map(|()| &roomy[..]), max);
    // By one who does not know that it stands alone.
    let made_new = inflate(max, |max, out| Inflater::new().inflate(payload, max, true, out));
    History::default().read(payload).check(made_new.as_deref().map_err(|error| *error), max);
    if let Ok(made) = made
        && let Some(by_miniz) = read_by_miniz(payload, made.len())
    {
        assert_eq!(by_miniz, made, "{payload:x?}");
    }
}

fn check_round_trip(shared: &mut Shared, bytes: &[u8], window_bits: u8) {
    let mut payload = Vec::new();
    shared.deflate(bytes, window_bits, &mut payload);
    assert!(payload.len() <= bytes.len() + bytes.len() / 8 + 16, "{} bytes of {}", payload.len(), bytes.len());
    assert!(!payload.is_empty(), "an empty message has a form");
    let made = inflate(bytes.len(), |max, out| shared.inflate(&payload, max, out));
    assert_eq!(made.as_deref(), Ok(bytes));
    if let Some(less) = bytes.len().checked_sub(1) {
        assert_eq!(inflate(less, |max, out| shared.inflate(&payload, max, out)), Err(InflateError::TooLarge));
    }
    assert_eq!(read_by_miniz(&payload, bytes.len()).as_deref(), Some(bytes));
    assert_eq!(inflate_in_window(&payload, window_bits), bytes, "in a window of {window_bits} bits");
}

/// As a peer does that keeps no more than the window that was agreed on: little at a time, so that what is referred to
/// lies in the window and not in the output.
fn inflate_in_window(payload: &[u8], window_bits: u8) -> Vec<u8> {
    let mut decoder = Decompress::new_with_window_bits(false, window_bits);
    let (input, mut out, mut step) = ([payload, &TAIL].concat(), Vec::new(), [0; SMALL_STEP]);
    loop {
        let (used, made) = (decoder.total_in() as usize, decoder.total_out());
        let status = decoder.decompress(&input[used..], &mut step, FlushDecompress::Sync);
        status.unwrap_or_else(|error| panic!("{error} in a window of {window_bits} bits"));
        let len = (decoder.total_out() - made) as usize;
        out.extend_from_slice(&step[..len]);
        if len < SMALL_STEP {
            return out;
        }
    }
}
