//! Streams and the messages that must come out of them, however they are cut.

use super::*;
use proptest::prelude::*;

const MAX: usize = 300;

/// Decodes `stream` cut into chunks of `sizes` (cycled), as a connection does: complete the tail, then in place.
fn decode_in_chunks(wire: Wire, stream: &[u8], sizes: &[usize]) -> (Vec<Vec<u8>>, Option<DecodeError>) {
    let (mut messages, mut tail, mut scanned) = (Vec::new(), Vec::new(), 0);
    let mut rest = stream;
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (mut fresh, later) = rest.split_at((*size).clamp(1, rest.len()));
        rest = later;
        while !fresh.is_empty() {
            let taken = wire.completes(&tail, fresh, MAX);
            tail.extend_from_slice(&fresh[..taken]);
            fresh = &fresh[taken..];
            match wire.decode(&tail, scanned, MAX) {
                Ok(None) => scanned = tail.len(),
                Ok(Some(frame)) => {
                    assert_eq!(frame.len, tail.len(), "never takes more than completes the frame");
                    messages.push(tail[frame.payload].to_vec());
                    tail.clear();
                    scanned = 0;
                }
                Err(error) => return (messages, Some(error)),
            }
        }
    }
    (messages, None)
}

fn decode_whole(wire: Wire, mut stream: &[u8]) -> (Vec<Vec<u8>>, Option<DecodeError>) {
    let mut messages = Vec::new();
    loop {
        match wire.decode(stream, 0, MAX) {
            Ok(None) => return (messages, None),
            Ok(Some(frame)) => {
                messages.push(stream[frame.payload].to_vec());
                stream = &stream[frame.len..];
            }
            Err(error) => return (messages, Some(error)),
        }
    }
}

fn check(wire: Wire, stream: &[u8], expected: &[&[u8]]) {
    assert_eq!(decode_whole(wire, stream), (expected.iter().map(|m| m.to_vec()).collect(), None));
    for size in 1..=stream.len() {
        assert_eq!(decode_in_chunks(wire, stream, &[size]), decode_whole(wire, stream), "in chunks of {size}");
    }
}

#[test]
fn length_frames_survive_any_split() {
    check(Wire::Length, b"\0\0\0\x02hi\0\0\0\0\0\0\0\x01!", &[b"hi", b"", b"!"]);
}

#[test]
fn lines_drop_one_carriage_return_only() {
    check(Wire::Line, b"hi\n\r\n\na\r\r\nb\rc\n", &[b"hi", b"", b"", b"a\r", b"b\rc"]);
}

#[test]
fn an_unfinished_frame_is_no_message() {
    check(Wire::Line, b"done\nnot don", &[b"done"]);
    check(Wire::Length, b"\0\0\0\x05shor", &[]);
}

#[test]
fn a_length_over_the_limit_is_refused_on_its_header() {
    assert_eq!(Wire::Length.decode(b"\xff\xff\xff\xff", 0, MAX), Err(DecodeError::TooLarge));
    assert_eq!(Wire::Length.decode(&301u32.to_be_bytes(), 0, MAX), Err(DecodeError::TooLarge));
    assert_eq!(Wire::Length.decode(&300u32.to_be_bytes(), 0, MAX), Ok(None));
}

#[test]
fn a_line_may_be_as_long_as_the_limit_and_no_longer() {
    for end in [&b"\n"[..], b"\r\n"] {
        let fits = [&[b'x'; MAX][..], end].concat();
        assert_eq!(decode_in_chunks(Wire::Line, &fits, &[1]).0.len(), 1);
        let over = [&[b'x'; MAX + 1][..], end].concat();
        assert_eq!(decode_in_chunks(Wire::Line, &over, &[1]).1, Some(DecodeError::TooLarge));
        assert_eq!(decode_whole(Wire::Line, &over).1, Some(DecodeError::TooLarge));
    }
    assert_eq!(Wire::Line.decode(&[b'x'; MAX + 1], MAX, MAX), Err(DecodeError::TooLarge));
}

#[test]
fn what_one_read_returned_is_one_raw_message() {
    assert_eq!(Wire::Raw.decode(b"abc", 0, MAX), Ok(Some(Frame { payload: 0..3, len: 3 })));
    assert_eq!(Wire::Raw.decode(b"", 0, MAX), Ok(None));
}

#[test]
fn first_bytes_decide() {
    for (bytes, expected) in [
        (&b""[..], None),
        (b"\0", Some(Detected::Wire(Wire::Length))),
        (b"\x16\x03\x01", Some(Detected::Tls)),
        (b"G", None),
        (b"GET", None),
        (b"GET ", Some(Detected::Http)),
        (b"GETS", Some(Detected::Wire(Wire::Line))),
        (b"P", None),
        (b"PING\n", Some(Detected::Wire(Wire::Line))),
        (b"OPTIONS * HTTP/1.1", Some(Detected::Http)),
        (b"hello", Some(Detected::Wire(Wire::Line))),
        (b"\xff\xfd", Some(Detected::Wire(Wire::Line))),
    ] {
        assert_eq!(detect(bytes), expected, "{bytes:?}");
    }
}

#[test]
fn the_http_refusal_announces_its_true_length() {
    let text = std::str::from_utf8(HTTP_REFUSAL).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{}", body.len());
}

#[test]
fn the_newline_is_found_wherever_it_stands() {
    for len in 0..100 {
        let mut bytes = vec![b'x'; len];
        assert_eq!(line::find_newline(&bytes), None);
        for at in (0..len).rev() {
            bytes[at] = b'\n';
            assert_eq!(line::find_newline(&bytes), Some(at));
        }
    }
}

#[test]
fn a_prepared_message_is_encoded_once_for_each_wire() {
    let message = Prepared::new(&b"hi"[..]);
    assert_eq!(&message.encoded(Wire::Length)[..], b"\0\0\0\x02hi");
    assert_eq!(&message.encoded(Wire::Line)[..], b"hi\n");
    assert_eq!(&message.encoded(Wire::Raw)[..], b"hi");
    assert_eq!(message.encoded(Wire::Line).as_ptr(), message.encoded(Wire::Line).as_ptr());
}

proptest! {
    #[test]
    fn any_stream_cut_anywhere_gives_the_same_messages(
        stream in stream(),
        sizes in prop::collection::vec(1usize..50, 1..10),
        wire in prop::sample::select(vec![Wire::Length, Wire::Line]),
    ) {
        prop_assert_eq!(decode_in_chunks(wire, &stream, &sizes), decode_whole(wire, &stream));
        prop_assert_eq!(decode_in_chunks(wire, &stream, &[1]), decode_whole(wire, &stream));
    }

    #[test]
    fn what_is_encoded_is_decoded(messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..MAX), 0..20)) {
        let mut stream = Vec::new();
        let mut expected = 0;
        for message in &messages {
            Wire::Length.encode(message.into(), &mut stream);
            expected += Wire::Length.encoded_len(message.len());
        }
        prop_assert_eq!(stream.len(), expected);
        prop_assert_eq!(decode_whole(Wire::Length, &stream), (messages, None));
    }
}

/// Streams that are mostly sensible: small length headers, newlines, carriage returns, noise.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..MAX)
            .prop_map(|body| [&u32::try_from(body.len()).unwrap().to_be_bytes()[..], &body].concat()),
        4 => "[a-z\r\n]{0,40}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..20),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}
