//! Compressed messages: round trips, the examples of RFC 7692, streams made in other ways, and hostile ones.

use super::*;
use proptest::prelude::*;

const HELLO: &[u8] = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
/// "Hello" as one reference to a message "Hello" before.
const HELLO_AGAIN: &[u8] = b"\xf2\x00\x11\x00\x00";
const HELLO_FINAL: &[u8] = b"\xf3\x48\xcd\xc9\xc9\x07\x00";

fn deflated(message: &[u8], window_bits: u8) -> Vec<u8> {
    let mut out = b"before".to_vec();
    Deflater::new(window_bits).deflate(message, true, &mut out);
    out.split_off(b"before".len())
}

fn inflated(payload: &[u8], max: usize) -> Result<Vec<u8>, InflateError> {
    let mut out = b"before".to_vec();
    let result = Inflater::new().inflate(payload, max, true, &mut out);
    let message = out.split_off(b"before".len());
    assert!(out == b"before" && (result.is_ok() || message.is_empty()), "what was there stays, an error adds nothing");
    result.map(|()| message)
}

#[track_caller]
fn check(payload: &[u8], message: &[u8]) {
    assert_eq!(inflated(payload, message.len()).as_deref(), Ok(message), "{payload:x?}");
    if !message.is_empty() {
        assert_eq!(inflated(payload, message.len() - 1), Err(InflateError::TooLarge), "{payload:x?}");
    }
}

/// Raw DEFLATE of `pieces`, each flushed in its own way.
fn stream(level: u32, pieces: &[(&[u8], FlushCompress)]) -> Vec<u8> {
    let (mut zlib, mut out) = (Compress::new(Compression::new(level), false), Vec::with_capacity(1 << 20));
    for (piece, flush) in pieces {
        zlib.compress_vec(piece, &mut out, *flush).unwrap();
    }
    assert!(out.len() < out.capacity());
    out
}

/// Text that compresses about as well as JSON does.
fn text(len: usize) -> Vec<u8> {
    let line =
        |n: usize| format!("{{\"id\":{},\"user\":\"u{}\",\"text\":\"hello {}\"}},", n * 7919 % 1000, n % 37, n * n);
    (0..).flat_map(|n| line(n).into_bytes()).take(len).collect()
}

fn noise(len: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}

#[test]
fn the_examples_of_the_rfc_are_read() {
    check(HELLO, b"Hello");
    check(b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", b"Hello");
    check(b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", b"Hello");
    check(b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", b"Hello");
    check(b"\x00", b"");
    check(b"\x02\x00", b"");
}

#[test]
fn the_examples_of_the_rfc_are_what_is_written() {
    assert_eq!(deflated(b"Hello", 15), HELLO);
    assert_eq!(deflated(b"", 15), b"\x00");
}

#[test]
fn only_a_context_remembers_what_it_has_written() {
    let (mut shared, mut contexts) = (Shared::default(), Contexts::default());
    let (mut afresh, mut taken_over) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        afresh.clear();
        taken_over.clear();
        shared.deflate(b"Hello", 15, &mut afresh);
        contexts.deflate(b"Hello", 15, &mut taken_over);
    }
    assert_eq!(afresh, HELLO);
    assert!(taken_over.len() < HELLO.len(), "{taken_over:x?}");
}

#[test]
fn a_message_may_lean_on_the_one_before_only_if_that_was_agreed() {
    let (mut contexts, mut shared, mut out) = (Contexts::default(), Shared::default(), Vec::new());
    for payload in [HELLO, HELLO_AGAIN] {
        contexts.inflate(payload, 5, &mut out).unwrap();
    }
    assert_eq!(out, b"HelloHello");
    shared.inflate(HELLO, 5, &mut out).unwrap();
    assert_eq!(shared.inflate(HELLO_AGAIN, 5, &mut out), Err(InflateError::Invalid));
}

#[test]
fn a_failed_message_takes_the_history_with_it() {
    let too_large = deflated(b"Hello, world", 15);
    for (bad, error) in [(&b"\xff"[..], InflateError::Invalid), (&too_large, InflateError::TooLarge)] {
        let (mut contexts, mut out) = (Contexts::default(), Vec::new());
        contexts.inflate(HELLO, 5, &mut out).unwrap();
        assert_eq!(contexts.inflate(bad, 5, &mut out), Err(error));
        assert_eq!(contexts.inflate(HELLO_AGAIN, 5, &mut out), Err(InflateError::Invalid));
        assert_eq!(out, b"Hello");
    }
}

#[test]
fn messages_of_every_size_come_back() {
    let (mut shared, mut contexts) = (Shared::default(), Contexts::default());
    for len in (0..700).chain([4095, 16384, 32767, 65535, 65536, 100_000, 1 << 20]) {
        for message in [text(len), noise(len)] {
            let (mut payload, mut out) = (Vec::new(), Vec::new());
            shared.deflate(&message, 15, &mut payload);
            shared.inflate(&payload, len, &mut out).unwrap();
            assert!(out == message, "{len} bytes");
            assert!(payload.len() <= len + len / 8 + 16, "{len} bytes became {}", payload.len());
            payload.clear();
            out.clear();
            contexts.deflate(&message, 15, &mut payload);
            contexts.inflate(&payload, len, &mut out).unwrap();
            assert!(out == message, "{len} bytes, taken over");
        }
    }
}

#[test]
fn room_that_runs_out_anywhere_changes_nothing() {
    let message = noise(4096);
    let expected = deflated(&message, 15);
    let mut deflater = Deflater::new(15);
    for capacity in expected.len() - 20..expected.len() + 20 {
        let mut out = Vec::with_capacity(capacity);
        deflater.deflate(&message, true, &mut out);
        check(&out, &message);
    }
    for capacity in (0..40).chain(4080..4110) {
        let mut out = Vec::with_capacity(capacity);
        Inflater::new().inflate(&expected, 4096, true, &mut out).unwrap();
        assert!(out == message);
    }
}

#[test]
fn streams_made_in_other_ways_are_read() {
    let (head, tail) = (text(50_000), noise(3000));
    let both = [&head[..], &tail].concat();
    for level in [0, 1, 3, 6, 9] {
        for flush in [FlushCompress::Sync, FlushCompress::Full, FlushCompress::Partial, FlushCompress::None] {
            let sync = stream(level, &[(&head, flush), (&tail, FlushCompress::Sync)]);
            check(sync.strip_suffix(&TAIL).unwrap(), &both);
            let mut finished = stream(level, &[(&head, flush), (&tail, FlushCompress::Finish)]);
            check(&finished, &both);
            finished.push(EMPTY);
            check(&finished, &both);
        }
    }
}

#[test]
fn data_may_go_on_behind_a_final_block() {
    check(&[HELLO_FINAL, HELLO].concat(), b"HelloHello");
    check(&[HELLO_FINAL, HELLO_FINAL, b"\x00"].concat(), b"HelloHello");
    check(&[HELLO_FINAL, HELLO_FINAL].concat(), b"HelloHello");
    assert_eq!(inflated(&[HELLO_FINAL, HELLO_AGAIN].concat(), 99), Err(InflateError::Invalid), "anew, without history");
    let (mut contexts, mut out) = (Contexts::default(), Vec::new());
    for payload in [HELLO_FINAL, HELLO, HELLO_AGAIN] {
        contexts.inflate(payload, 5, &mut out).unwrap();
    }
    assert_eq!(out, b"HelloHelloHello");
}

#[test]
fn a_message_that_stops_early_is_refused() {
    let message = [text(300), noise(50)].concat();
    for level in [0, 1, 6] {
        let whole = stream(level, &[(&message, FlushCompress::Sync)]);
        let payload = whole.strip_suffix(&TAIL).unwrap();
        check(payload, &message);
        // One byte of a stored block is the empty message.
        for len in 2..payload.len() {
            assert_eq!(inflated(&payload[..len], 1000), Err(InflateError::Invalid), "level {level}, {len} bytes");
        }
        assert_eq!(inflated(&whole, 1000), Err(InflateError::Invalid), "the tail is there twice");
    }
}

#[test]
fn a_message_that_stops_in_a_blocks_header_is_refused_where_it_stands_alone() {
    let header = b"\x94\x3a";
    let hello = [HELLO, &TAIL[..], header].concat();
    let (mut shared, mut out) = (Shared::default(), Vec::new());
    for payload in [&header[..], &hello] {
        assert_eq!(shared.inflate(payload, 1000, &mut out), Err(InflateError::Invalid), "{payload:x?}");
        shared.inflate(HELLO, 1000, &mut out).unwrap();
    }
    assert_eq!(out, b"HelloHello");
}

#[test]
fn nothing_at_all_is_taken_for_an_empty_message() {
    check(b"", b"");
    let (mut contexts, mut out) = (Contexts::default(), Vec::new());
    for payload in [HELLO, b"", b"\x00", b"\x02\x00", HELLO_AGAIN] {
        contexts.inflate(payload, 5, &mut out).unwrap();
    }
    assert_eq!(out, b"HelloHello");
}

#[test]
fn a_bomb_is_refused_before_it_takes_memory() {
    const MAX: usize = 64 << 10;
    let bomb = stream(9, &[(&vec![0; 64 << 20], FlushCompress::Sync)]);
    let bomb = bomb.strip_suffix(&TAIL).unwrap();
    assert!(bomb.len() <= 70_000, "{} bytes", bomb.len());
    for before in [0, 1, 1000] {
        let mut out = vec![7; before];
        assert_eq!(Inflater::new().inflate(bomb, MAX, true, &mut out), Err(InflateError::TooLarge));
        assert_eq!(out, vec![7; before]);
        assert!(out.capacity() <= before + MAX + 1, "{} bytes", out.capacity());
    }
}

#[test]
fn memory_grows_with_what_is_produced_and_not_with_what_is_allowed() {
    let mut out = Vec::new();
    Inflater::new().inflate(&deflated(&text(5000), 15), usize::MAX, true, &mut out).unwrap();
    assert!(out.capacity() <= 2 * 5000, "{} bytes", out.capacity());
    let mut out = Vec::new();
    assert_eq!(Inflater::new().inflate(b"\xff", usize::MAX, true, &mut out), Err(InflateError::Invalid));
    assert!(out.capacity() <= STEP);
}

#[test]
fn an_empty_message_that_begins_afresh_forgets_what_was_before() {
    let (mut deflater, mut inflater) = (Deflater::new(9), Inflater::new());
    for (message, reset) in [(&b"a"[..], false), (b"", true), (b"aaaa", false)] {
        let (mut payload, mut out) = (Vec::new(), Vec::new());
        deflater.deflate(message, reset, &mut payload);
        inflater.inflate(&payload, 4, reset, &mut out).unwrap();
        assert_eq!(out, message);
    }
}

#[test]
fn a_message_of_empty_blocks_comes_to_its_end() {
    check(&b"\x03\x00".repeat(50_000), b"");
    check(&[&b"\x00\x00\x00\xff\xff".repeat(50_000)[..], b"\x00"].concat(), b"");
}

#[test]
fn no_message_reaches_back_beyond_the_window_that_was_agreed() {
    let message = [text(40_000), vec![b'x'; 3000], noise(2000), text(40_000)].concat();
    for bits in 9..=15 {
        let (mut contexts, mut seen) = (Contexts::default(), Vec::new());
        for part in message.chunks(7000) {
            let mut payload = Vec::new();
            contexts.deflate(part, bits, &mut payload);
            payload.extend_from_slice(&TAIL);
            let farthest = decode_plainly(&payload, &mut seen);
            assert!(farthest <= 1 << bits, "{farthest} bytes back with {bits} bits");
        }
        assert!(seen == message, "{bits} bits");
    }
}

#[test]
fn what_is_not_needed_is_not_made() {
    let (mut shared, mut contexts, mut out) = (Shared::default(), Contexts::default(), Vec::new());
    assert_eq!((shared.held_bytes(), contexts.held_bytes()), (0, 0));
    shared.inflate(HELLO, 5, &mut out).unwrap();
    contexts.inflate(HELLO, 5, &mut out).unwrap();
    assert_eq!((shared.held_bytes(), contexts.held_bytes()), (47 << 10, 47 << 10));
    shared.deflate(b"Hello", 9, &mut out);
    shared.deflate(b"Hello", 9, &mut out);
    contexts.deflate(b"Hello", 15, &mut out);
    assert_eq!((shared.held_bytes() >> 10, contexts.held_bytes() >> 10), (47 + 245, 47 + 371));
    (9..=15).for_each(|bits| shared.deflate(b"Hello", bits, &mut out));
    assert!(shared.held_bytes() <= 2 << 20, "{} bytes", shared.held_bytes());
}

proptest! {
    #[test]
    fn conversations_come_back(messages in prop::collection::vec(message(), 1..8), bits in 9u8..=15, resets: u8) {
        let (mut deflater, mut inflater) = (Deflater::new(bits), Inflater::new());
        for (index, message) in messages.iter().enumerate() {
            let (mut payload, mut out) = (Vec::new(), Vec::new());
            let reset = resets >> index & 1 == 1;
            deflater.deflate(message, reset, &mut payload);
            inflater.inflate(&payload, message.len(), reset, &mut out).unwrap();
            prop_assert_eq!(&out, message);
        }
    }

    #[test]
    fn broken_messages_are_bounded_and_leave_nothing_behind(
        message in message(),
        breaks in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        max in 0usize..5000,
    ) {
        let mut payload = deflated(&message, 15);
        for (at, byte) in breaks {
            let at = at.index(payload.len());
            payload[at] = byte;
        }
        let (mut inflater, mut out) = (Inflater::new(), Vec::new());
        if inflater.inflate(&payload, max, false, &mut out).is_err() {
            prop_assert!(out.is_empty());
            inflater.inflate(HELLO, 5, false, &mut out).unwrap();
            prop_assert_eq!(&out, b"Hello");
        }
        prop_assert!(out.len() <= max.max(5) && out.capacity() <= (max + 1).max(STEP), "{}", out.capacity());
    }

    #[test]
    fn noise_is_read_or_refused(payload in prop::collection::vec(any::<u8>(), 0..200), max in 0usize..5000) {
        if let Ok(message) = inflated(&payload, max) {
            prop_assert!(message.len() <= max);
        }
    }
}

fn message() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..3000),
        "[ab]{0,300}".prop_map(String::into_bytes),
        (0usize..40_000).prop_map(text),
    ]
}

/// Appends what `stream` says, of fixed and stored blocks only; how far back its references reach at most.
fn decode_plainly(stream: &[u8], out: &mut Vec<u8>) -> usize {
    let (mut bits, mut farthest) = (Bits { stream, at: 0 }, 0);
    while bits.at < stream.len() * 8 {
        assert_eq!(bits.take(1), 0, "no final block");
        match bits.take(2) {
            0 => bits.stored(out),
            1 => farthest = farthest.max(bits.fixed(out)),
            kind => panic!("a block of kind {kind}"),
        }
    }
    farthest
}

struct Bits<'a> {
    stream: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    /// The next `count` bits, the first as the lowest.
    fn take(&mut self, count: usize) -> usize {
        let bit = |at: usize| usize::from(self.stream[at / 8] >> (at % 8) & 1);
        let value = (0..count).map(|index| bit(self.at + index) << index).sum();
        self.at += count;
        value
    }

    /// `code` with `count` more bits of a Huffman code, the first as the highest.
    fn code(&mut self, code: usize, count: usize) -> usize {
        (0..count).fold(code, |code, _| code << 1 | self.take(1))
    }

    fn stored(&mut self, out: &mut Vec<u8>) {
        self.at = self.at.next_multiple_of(8);
        let (len, complement) = (self.take(16), self.take(16));
        assert_eq!(len ^ complement, 0xFFFF);
        (0..len).for_each(|_| out.push(self.take(8) as u8));
    }

    fn fixed(&mut self, out: &mut Vec<u8>) -> usize {
        let mut farthest = 0;
        loop {
            match self.symbol() {
                256 => return farthest,
                symbol @ 0..256 => out.push(symbol as u8),
                symbol => {
                    let (len, distance) = (self.length(symbol), self.distance());
                    (0..len).for_each(|_| out.push(out[out.len() - distance]));
                    farthest = farthest.max(distance);
                }
            }
        }
    }

    /// A literal or length of the fixed code (RFC 1951, section 3.2.6).
    fn symbol(&mut self) -> usize {
        match self.code(0, 7) {
            code @ 0..=23 => 256 + code,
            code @ 24..=95 => self.code(code, 1) - 48,
            code @ 96..=99 => self.code(code, 1) - 192 + 280,
            code => self.code(code, 2) - 400 + 144,
        }
    }

    /// The length that a symbol and its extra bits stand for (section 3.2.5).
    fn length(&mut self, symbol: usize) -> usize {
        match symbol {
            257..=264 => symbol - 254,
            285 => 258,
            _ => {
                let (extra, base) = ((symbol - 261) / 4, (symbol - 261) % 4 + 4);
                (base << extra) + self.take(extra) + 3
            }
        }
    }

    fn distance(&mut self) -> usize {
        match self.code(0, 5) {
            code @ 0..=3 => code + 1,
            code => {
                let (extra, base) = (code / 2 - 1, code % 2 + 2);
                (base << extra) + self.take(extra) + 1
            }
        }
    }
}
