//! Bodies and what must come of them, however they are cut.

use super::*;
use proptest::prelude::*;

const MAX: u64 = 100;

/// What came of a stream.
#[derive(Debug, PartialEq)]
struct Outcome {
    data: Vec<u8>,
    /// What followed the body, or why it was refused; `None` while more is needed.
    end: Option<Result<Vec<u8>, Status>>,
}

fn decode(length: BodyLength, stream: &[u8], size: usize) -> Outcome {
    let mut decoder = match BodyDecoder::new(length, MAX) {
        Ok(decoder) => decoder,
        Err(status) => return Outcome { data: Vec::new(), end: Some(Err(status)) },
    };
    let (mut data, mut at) = (Vec::new(), 0);
    loop {
        let mut bytes = &stream[at..(at + size).min(stream.len())];
        at += bytes.len();
        loop {
            match decoder.decode(&mut bytes) {
                Ok(Body::Data(piece)) => data.extend_from_slice(piece),
                Ok(Body::NeedMore) if at == stream.len() => return Outcome { data, end: None },
                Ok(Body::NeedMore) => break assert!(bytes.is_empty(), "needs no more while bytes are left"),
                Ok(Body::End) => {
                    assert!(decoder.is_done());
                    return Outcome { data, end: Some(Ok([bytes, &stream[at..]].concat())) };
                }
                Err(status) => return Outcome { data, end: Some(Err(status)) },
            }
        }
    }
}

fn outcome(length: BodyLength, stream: &[u8]) -> Outcome {
    let whole = decode(length, stream, stream.len().max(1));
    for size in [1, 2, 3, 5] {
        assert_eq!(decode(length, stream, size), whole, "in chunks of {size}: {}", stream.escape_ascii());
    }
    whole
}

#[track_caller]
fn check(length: BodyLength, stream: &str, data: &str, rest: &str) {
    let expected = Outcome { data: data.as_bytes().to_vec(), end: Some(Ok(rest.as_bytes().to_vec())) };
    assert_eq!(outcome(length, stream.as_bytes()), expected, "{stream:?}");
}

#[track_caller]
fn refused(stream: &str, status: Status) {
    assert_eq!(outcome(BodyLength::Chunked, stream.as_bytes()).end, Some(Err(status)), "{stream:?}");
}

#[test]
fn a_body_of_known_length_takes_just_that() {
    check(BodyLength::None, "GET /", "", "GET /");
    check(BodyLength::Length(0), "GET /", "", "GET /");
    check(BodyLength::Length(5), "helloGET /", "hello", "GET /");
    check(BodyLength::Length(MAX), &"x".repeat(101), &"x".repeat(100), "x");
    let unfinished = Outcome { data: b"hel".to_vec(), end: None };
    assert_eq!(outcome(BodyLength::Length(5), b"hel"), unfinished);
}

#[test]
fn a_length_over_the_limit_is_413_before_a_byte_came() {
    for bytes in [MAX + 1, u64::MAX] {
        assert_eq!(outcome(BodyLength::Length(bytes), b"").end, Some(Err(Status::ContentTooLarge)));
    }
}

#[test]
fn chunks_are_joined_and_the_next_request_is_left() {
    check(BodyLength::Chunked, "0\r\n\r\n", "", "");
    check(BodyLength::Chunked, "5\r\nhello\r\n0\r\n\r\nGET /", "hello", "GET /");
    check(BodyLength::Chunked, "1\r\nh\r\n1\r\ni\r\n000\r\n\r\n", "hi", "");
    check(BodyLength::Chunked, "0000000000000002\r\n\r\n\r\n0000000000000000\r\n\r\n0", "\r\n", "0");
    check(BodyLength::Chunked, "a\r\n0123456789\r\nB\r\n0123456789a\r\n0\r\n\r\n", "01234567890123456789a", "");
    assert_eq!(outcome(BodyLength::Chunked, b"5\r\nhello\r\n0\r\n\r"), Outcome { data: b"hello".to_vec(), end: None });
}

#[test]
fn extensions_and_trailers_are_passed_over() {
    check(BodyLength::Chunked, "2;a=b;c=\"d e\"\r\nhi\r\n0 \t;x\r\n\r\n", "hi", "");
    check(BodyLength::Chunked, "2; a\r\nhi\r\n0\r\nA: b\r\nC:\r\nContent-Length: 5\r\n\r\nGET", "hi", "GET");
}

#[test]
fn a_broken_frame_is_400_on_its_first_byte() {
    for stream in [
        "\r",
        "\n",
        ";",
        " ",
        "x",
        "-",
        "+",
        "0x",
        "5\n",
        "5\r\r",
        "5 \r",
        "5\t\r",
        "5 5",
        "5,",
        "5\0",
        "g",
        "5\r\nhelloX",
        "5\r\nhello\n",
        "5\r\nhello\rX",
        "5\r\nhello\r\n\r",
        "5;a\n",
        "5;a\r5",
        "5;a\0",
        "5;a\u{7f}",
        "5;a\u{1}",
        "5;\n",
        "00000000000000005",
        "fffffffffffffffff",
        "0\r\n\n",
        "0\r\n\r\r",
        "0\r\n\rA",
        "0\r\n:",
        "0\r\n ",
        "0\r\nA\r",
        "0\r\nA ",
        "0\r\nA: b\n",
        "0\r\nA: b\rC",
        "0\r\nA: \0",
        "0\r\nA\n",
        "0\r\nA: b\r\n ",
        "0\r\n\u{e4}",
    ] {
        refused(stream, Status::BadRequest);
        let sound = &stream.as_bytes()[..stream.char_indices().next_back().unwrap().0];
        assert_eq!(outcome(BodyLength::Chunked, sound).end, None, "not before its last character: {stream:?}");
    }
}

#[test]
fn chunks_over_the_limit_are_413_when_they_are_announced() {
    let fifty = format!("32\r\n{}\r\n", "x".repeat(50));
    check(BodyLength::Chunked, &format!("{fifty}{fifty}0\r\n\r\n"), &"x".repeat(100), "");
    refused(&format!("{fifty}{fifty}1\r\n"), Status::ContentTooLarge);
    refused("65\r\n", Status::ContentTooLarge);
    refused("ffffffffffffffff\r\n", Status::ContentTooLarge);
    refused("1\r\nx\r\nffffffffffffffff\r\n", Status::ContentTooLarge);
}

#[test]
fn extensions_and_trailers_are_bounded_over_the_whole_body() {
    let extended = |bytes: usize| format!("1;{}\r\nx\r\n", "a".repeat(bytes));
    check(BodyLength::Chunked, &format!("{}{}0\r\n\r\n", extended(2000), extended(2000)), "xx", "");
    refused(&format!("{}{}{}", extended(2000), extended(2000), extended(2000)), Status::ContentTooLarge);
    refused(&format!("5{}", " ".repeat(5000)), Status::ContentTooLarge);
    let trailer = |bytes: usize| format!("A:{}\r\n", "b".repeat(bytes));
    check(BodyLength::Chunked, &format!("0\r\n{}{}\r\n", trailer(4000), trailer(4000)), "", "");
    refused(&format!("0\r\n{}{}{}", trailer(4000), trailer(4000), trailer(4000)), Status::ContentTooLarge);
    refused(&format!("0\r\n{}", "a".repeat(9000)), Status::ContentTooLarge);
}

#[test]
fn bytes_in_tiny_chunks_cost_a_step_each_and_no_memory() {
    let stream = b"1\r\nx\r\n".repeat(10_000);
    let mut decoder = BodyDecoder::new(BodyLength::Chunked, 10_000).unwrap();
    let (mut bytes, mut steps) = (&stream[..], 0);
    while decoder.decode(&mut bytes).unwrap() != Body::NeedMore {
        steps += 1;
    }
    assert_eq!(steps, 10_000);
    assert!(size_of::<BodyDecoder>() <= 40, "{}", size_of::<BodyDecoder>());
}

proptest! {
    #[test]
    fn no_bytes_panic_and_splits_agree(stream in near_body(), size in 1usize..20) {
        for length in [BodyLength::Chunked, BodyLength::Length(20)] {
            prop_assert_eq!(decode(length, &stream, size), decode(length, &stream, stream.len().max(1)));
        }
    }

    #[test]
    fn what_is_chunked_comes_back(pieces in prop::collection::vec("[a-z\r\n]{1,10}", 0..10), size in 1usize..20) {
        let framed: String = pieces.iter().map(|piece| format!("{:x}\r\n{piece}\r\n", piece.len())).collect();
        let expected = Outcome { data: pieces.concat().into_bytes(), end: Some(Ok(b"next".to_vec())) };
        prop_assert_eq!(decode(BodyLength::Chunked, format!("{framed}0\r\n\r\nnext").as_bytes(), size), expected);
    }
}

/// Streams that are mostly chunks, with something odd here and there.
fn near_body() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        6 => "[a-z]{1,8}".prop_map(|data| format!("{:X}\r\n{data}\r\n", data.len()).into_bytes()),
        2 => prop::sample::select(vec!["0\r\n", "\r\n", "A: b\r\n", "1;x=y\r\nz\r\n", "f", ";", "\n"]).prop_map(|s| s.into()),
        1 => prop::collection::vec(any::<u8>(), 0..6),
    ];
    prop::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat())
}
