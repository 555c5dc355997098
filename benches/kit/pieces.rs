//! Pieces of the paths: codecs, masks, texts, heads, timers, JSON.

use super::bytes::{KEY, fragments, said, upgrade_request};
use super::hub::publish;
use super::{Step, ascii, warmed_up};
use std::hint::black_box;
use std::time::Duration;
use tidegate::buffer::Pool;
use tidegate::connection::{FrameReader, FrameRules, Payload};
use tidegate::engine::Publication;
use tidegate::hub::reply::SubscribeResult;
use tidegate::hub::{command, push, reply};
use tidegate::timer::{Polled, Time, Wheel};
use tidegate::wire::http::{Head, Storage, find_end};
use tidegate::wire::websocket::{Mask, Sender, Utf8Validator, handshake, is_utf8};
use tidegate::wire::{Kind, Message, Wire};

const MAX: usize = 1 << 20;

/// Finds one message on a plain wire.
pub fn decoding(wire: Wire, len: usize) -> Step {
    let bytes = said(wire, Kind::Plain, &ascii(len));
    assert_eq!(wire.decode(&bytes, 0, MAX).map(|frame| frame.map(|frame| frame.len)), Ok(Some(bytes.len())));
    warmed_up(move || drop(black_box(wire.decode(black_box(&bytes), 0, MAX))))
}

/// Copies a WebSocket message, as it is unmasked in place, and reads its frames, so many.
pub fn reading_frames(kind: Kind, len: usize, frames: usize) -> Step {
    const RULES: FrameRules =
        FrameRules { sender: Sender::Client, compression: false, max_message_bytes: MAX, max_fragments: 2000 };
    let masked = fragments(kind, &ascii(len), frames);
    let (mut reader, mut pool) = (FrameReader::default(), Pool::new(MAX));
    let mut bytes = masked.clone();
    warmed_up(move || {
        bytes.copy_from_slice(&masked);
        let found = reader.next(&mut &mut bytes[..], &RULES, &mut pool);
        let Ok(Some(tidegate::connection::Found::Message { payload, .. })) = found else {
            unreachable!("it is whole and in order");
        };
        assert_eq!(payload.bytes().len(), len);
        if let Payload::Reassembled(bytes, _) = payload {
            pool.give(bytes);
        }
    })
}

/// Appends a message as a server sends it.
pub fn encoding(wire: Wire, len: usize) -> Step {
    let (text, mut out) = (String::from_utf8(ascii(len)).expect("text"), Vec::new());
    warmed_up(move || {
        out.clear();
        wire.encode(Message::text(black_box(&text)), &mut out);
        black_box(&mut out);
    })
}

/// Takes the mask off so many bytes that begin so many bytes behind where a vector would.
pub fn unmasking(len: usize, offset: usize) -> Step {
    let mut bytes = ascii(len + offset);
    warmed_up(move || Mask::new(KEY).apply(black_box(&mut bytes[offset..])))
}

/// The same, on so many bytes at a time, so that the mask is turned each time.
pub fn unmasking_pieces(len: usize, piece: usize) -> Step {
    let mut bytes = ascii(len);
    warmed_up(move || {
        let mut mask = Mask::new(KEY);
        black_box(&mut bytes[..]).chunks_mut(piece).for_each(|piece| mask.apply(piece));
    })
}

/// Checks a whole text.
pub fn checking_text(text: Vec<u8>) -> Step {
    warmed_up(move || assert!(is_utf8(black_box(&text))))
}

/// Checks a text that comes in pieces of this length, of which some end inside a character.
pub fn checking_pieces(text: Vec<u8>, piece: usize) -> Step {
    warmed_up(move || {
        let mut validator = Utf8Validator::default();
        let all = black_box(&text).chunks(piece).try_for_each(|piece| validator.push(piece));
        assert!(all.is_ok() && validator.finish().is_ok());
    })
}

/// Finds the end of a browser's request and reads its head.
pub fn reading_heads() -> Step {
    let request = upgrade_request("/connection/websocket");
    warmed_up(move || {
        let request = black_box(&request[..]);
        let end = find_end(request, 0).expect("it is whole");
        let mut storage = Storage::new();
        assert!(black_box(Head::parse(&request[..end], &mut storage)).is_ok());
    })
}

/// Checks the head of a request for WebSocket, and writes the answer.
pub fn answering_handshakes() -> Step {
    let (request, mut out) = (upgrade_request("/").leak(), Vec::new());
    let storage = Box::leak(Box::new(Storage::new()));
    let head = Head::parse(request, storage).expect("it is in order");
    warmed_up(move || {
        out.clear();
        let upgrade = handshake::check(black_box(&head)).expect("it asks for WebSocket");
        assert!(handshake::origin_allowed(upgrade.origin(), head.host, &[]));
        handshake::write_101(&mut out, upgrade.key(), None, None);
        black_box(&mut out);
    })
}

/// So many timers are armed for one tick, and all ring in it.
pub fn ringing(timers: u32) -> Step {
    let (mut wheel, mut now) = (Wheel::new(Time::ZERO), Time::ZERO);
    warmed_up(move || {
        let deadline = now + Duration::from_secs(25);
        (0..timers).for_each(|key| wheel.arm(key, deadline));
        now = deadline;
        let mut rung = 0;
        loop {
            match wheel.poll(now) {
                Polled::Due(_) => rung += 1,
                Polled::Working => {}
                Polled::Idle => break,
            }
        }
        assert_eq!(rung, timers);
    })
}

pub const CONNECT_COMMAND: &str = r#"{"id":1,"connect":{"token":"","name":"js","version":"5.3.2"}}"#;
pub const SUBSCRIBE_COMMAND: &str = r#"{"id":2,"subscribe":{"channel":"news","recover":true,"offset":7}}"#;

/// Reads one command.
pub fn reading_commands(text: &'static str) -> Step {
    warmed_up(move || {
        let command = command::next(&mut black_box(text));
        assert!(matches!(black_box(command), Some(Ok(_))));
    })
}

/// Reads the command that publishes 128 bytes.
pub fn reading_publish_commands() -> Step {
    reading_commands(String::from_utf8(publish()).expect("text").leak())
}

/// Writes the push of a publication of 128 bytes.
pub fn writing_pushes() -> Step {
    let data = format!("\"{}\"", "x".repeat(126));
    let publication = Publication { offset: 12_345, body: push::publication_body(&data, None, None) };
    warmed_up(move || drop(black_box(push::publication("news", black_box(&publication)))))
}

/// Writes the reply to a subscribe command.
pub fn writing_replies() -> Step {
    let result = SubscribeResult {
        recoverable: true,
        positioned: true,
        epoch: Some("Gbkt"),
        offset: 12_345,
        ..SubscribeResult::default()
    };
    let mut out = Vec::new();
    warmed_up(move || {
        out.clear();
        reply::subscribe(&mut out, 2, black_box(&result));
        black_box(&mut out);
    })
}
