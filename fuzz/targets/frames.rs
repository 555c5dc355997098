//! The reader of WebSocket frames against a plain one, whole and in pieces.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate::buffer::Pool;
use tidegate::connection::{Compressor, Found, FrameReader, FrameRules, Payload};
use tidegate::wire::websocket::{MAX_CONTROL, Sender};
use tidegate_fuzz::cuts::{SINGLE, WHOLE, pieces};
use tidegate_fuzz::frames::{Event, Said, read};

const MESSAGE_LIMITS: [usize; 8] = [1, 5, 60, 125, 126, 1000, 65_536, 1 << 30];
const FRAGMENT_LIMITS: [u32; 4] = [1, 2, 10, 100_000];

fuzz_target!(|input: (u8, u16, &[u8])| {
    let (options, seed, bytes) = input;
    let rules = FrameRules {
        sender: if options & 1 == 0 { Sender::Client } else { Sender::Server },
        compression: options & 2 != 0,
        max_message_bytes: MESSAGE_LIMITS[usize::from(options >> 2 & 7)],
        max_fragments: FRAGMENT_LIMITS[usize::from(options >> 5 & 3)],
    };
    let expected = read(bytes, &rules);
    for seed in [WHOLE, SINGLE, seed] {
        assert_eq!(read_in_pieces(bytes, seed, &rules), expected, "cut by {seed}: {}", bytes.escape_ascii());
    }
});

/// What the reader says, with its memory counted after each piece.
fn read_in_pieces(bytes: &[u8], seed: u16, rules: &FrameRules) -> Said {
    let (mut reader, mut pool) = (FrameReader::default(), Pool::new(1 << 20));
    let mut events = Vec::new();
    let mut end = Ok(());
    for piece in pieces(bytes, seed) {
        let mut piece = piece.to_vec();
        end = read_piece(&mut reader, &mut piece, rules, &mut pool, &mut events);
        assert!(reader.held_bytes() <= rules.max_message_bytes.saturating_add(MAX_CONTROL));
        assert!(reader.held_bytes() <= bytes.len() && pool.lent_bytes() <= 2 * reader.held_bytes() + 1024);
        assert!(reader.is_unfinished() || pool.lent_bytes() == 0, "idle, it owns nothing");
        if end.is_err() {
            break;
        }
    }
    let is_unfinished = reader.is_unfinished();
    reader.clear(&mut pool);
    assert_eq!(pool.lent_bytes(), 0);
    (events, end.map(|()| is_unfinished))
}

fn read_piece(
    reader: &mut FrameReader,
    mut rest: &mut [u8],
    rules: &FrameRules,
    pool: &mut Pool,
    events: &mut Vec<Event>,
) -> Result<(), tidegate::connection::Broken> {
    loop {
        let before = rest.len();
        let Some(found) = reader.next(&mut rest, rules, pool)? else {
            assert!(rest.is_empty(), "says nothing while bytes are left");
            return Ok(());
        };
        assert!(rest.len() < before, "finds something in no byte");
        let (event, payload) = match found {
            Found::Message { payload, kind, compressed } => {
                (Event::Message { kind, compressed, bytes: payload.bytes().to_vec() }, payload)
            }
            Found::Ping(payload) => (Event::Ping(payload.bytes().to_vec()), payload),
            Found::Pong(payload) => (Event::Pong(payload.bytes().to_vec()), payload),
            Found::Close(payload) => (Event::Close(payload.bytes().to_vec()), payload),
        };
        events.push(event);
        give_back(payload, pool);
    }
}

fn give_back(payload: Payload<'_>, pool: &mut Pool) {
    payload.give_back(pool, &mut Compressor::default());
}
