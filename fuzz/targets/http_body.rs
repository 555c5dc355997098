//! Request bodies: the same under any cut, within their limit, and where they end by another's reading.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate::wire::http::{Body, BodyDecoder, BodyLength, Status};
use tidegate_fuzz::cuts::{SINGLE, WHOLE, pieces};

/// What came of a stream.
#[derive(Debug, PartialEq)]
struct Outcome {
    data: Vec<u8>,
    /// How much of the stream the body took, or why it was refused; `None` while more is needed.
    end: Option<Result<usize, Status>>,
}

fuzz_target!(|input: (u8, u16, u16, &[u8])| {
    let (mode, max, seed, bytes) = input;
    let length = match mode {
        0 => BodyLength::None,
        1..=0x7F => BodyLength::Chunked,
        _ => BodyLength::Length(u64::from(mode & 0x7F) * 5),
    };
    let whole = decode(length, bytes, max, WHOLE);
    for seed in [SINGLE, seed] {
        assert_eq!(decode(length, bytes, max, seed), whole, "cut by {seed}: {}", bytes.escape_ascii());
    }
    assert!(whole.data.len() <= usize::from(max));
    check_meaning(length, bytes, max, &whole);
    check_written(bytes, seed);
});

fn decode(length: BodyLength, stream: &[u8], max: u16, seed: u16) -> Outcome {
    let mut data = Vec::new();
    let mut decoder = match BodyDecoder::new(length, u64::from(max)) {
        Ok(decoder) => decoder,
        Err(status) => return Outcome { data, end: Some(Err(status)) },
    };
    let mut before = 0;
    // What needs no byte is over before one comes.
    for piece in std::iter::once(&b""[..]).chain(pieces(stream, seed)) {
        let mut rest = piece;
        if let Some(end) = decode_piece(&mut decoder, &mut rest, &mut data) {
            return Outcome { data, end: Some(end.map(|()| before + piece.len() - rest.len())) };
        }
        before += piece.len();
    }
    Outcome { data, end: None }
}

/// How the body ends in these bytes, where it does.
fn decode_piece(decoder: &mut BodyDecoder, rest: &mut &[u8], data: &mut Vec<u8>) -> Option<Result<(), Status>> {
    loop {
        match decoder.decode(rest) {
            Ok(Body::Data(part)) => {
                assert!(!part.is_empty());
                data.extend_from_slice(part);
            }
            Ok(Body::NeedMore) => {
                assert!(rest.is_empty() && !decoder.is_done(), "needs no more while bytes are left");
                return None;
            }
            Ok(Body::End) => {
                assert!(decoder.is_done());
                return Some(Ok(()));
            }
            Err(status) => return Some(Err(status)),
        }
    }
}

fn check_meaning(length: BodyLength, bytes: &[u8], max: u16, outcome: &Outcome) {
    match (length, &outcome.end) {
        (BodyLength::None, end) => assert!(*end == Some(Ok(0)) && outcome.data.is_empty()),
        (BodyLength::Length(len), end) if len > u64::from(max) => {
            assert_eq!(*end, Some(Err(Status::ContentTooLarge)));
        }
        (BodyLength::Length(len), end) => {
            let len = len as usize;
            assert_eq!(outcome.data, bytes[..len.min(bytes.len())]);
            assert_eq!(*end, (len <= bytes.len()).then_some(Ok(len)));
        }
        (BodyLength::Chunked, Some(Ok(len))) => {
            let (data, end) = plain_chunks(&bytes[..*len]).expect("a body that was taken is one");
            assert!(data == outcome.data && end == *len, "{}", bytes.escape_ascii());
        }
        (BodyLength::Chunked, None) => assert!(plain_chunks(bytes).is_none(), "it is over: {}", bytes.escape_ascii()),
        (BodyLength::Chunked, Some(Err(status))) => {
            assert!(matches!(status, Status::BadRequest | Status::ContentTooLarge));
        }
    }
}

/// The data of a whole chunked body and its length, with sizes as another parser reads them.
fn plain_chunks(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut data, mut at) = (Vec::new(), 0);
    loop {
        let Ok(httparse::Status::Complete((len, size))) = httparse::parse_chunk_size(&bytes[at..]) else {
            return None;
        };
        at += len;
        if size == 0 {
            break;
        }
        let end = at.checked_add(usize::try_from(size).ok()?)?;
        data.extend_from_slice(bytes.get(at..end)?);
        at = end + bytes[end..].strip_prefix(b"\r\n").map(|_| 2)?;
    }
    loop {
        let len = bytes[at..].windows(2).position(|pair| pair == b"\r\n")?;
        at += len + 2;
        if len == 0 {
            return Some((data, at));
        }
    }
}

/// What a client writes in chunks comes back, and what it writes behind them stays where it is.
fn check_written(data: &[u8], seed: u16) {
    let mut stream = Vec::new();
    for piece in pieces(data, seed) {
        stream.extend_from_slice(format!("{:X}\r\n", piece.len()).as_bytes());
        stream.extend_from_slice(piece);
        stream.extend_from_slice(b"\r\n");
    }
    stream.extend_from_slice(b"0\r\n\r\n");
    let end = Some(Ok(stream.len()));
    stream.extend_from_slice(data);
    let outcome = decode(BodyLength::Chunked, &stream, u16::MAX, seed.rotate_left(7));
    assert!(data.len() > usize::from(u16::MAX) || outcome == Outcome { data: data.to_vec(), end });
}
