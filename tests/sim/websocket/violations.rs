//! What no WebSocket may send, one way after the other.

use crate::rng::Rng;
use crate::websocket::frames::{BINARY, CLOSE, CONTINUATION, FIN, PING, RSV1, TEXT, from_client, from_server, masked};
use crate::websocket::squeeze::Squeeze;
use crate::websocket::visitor::{Visitor, key};

const KINDS: u64 = 16;

/// Frames that break the protocol, the last of them at the latest.
pub fn draw(visitor: &mut Visitor, rng: &mut Rng) -> Vec<u8> {
    let one = |first: u8, payload: &[u8], rng: &mut Rng| from_client(first, key(rng), payload);
    let max = visitor.rules.max;
    let compresses = visitor.squeeze.is_some() && rng.chance(40);
    match if compresses { rng.within(12, 13) } else { rng.below(KINDS) } {
        0 => from_server(TEXT, b"without a mask"),
        1 => one(FIN | rng.pick(&[0x20, 0x10, 0x30]) | TEXT, b"reserved", rng),
        2 => one(FIN | RSV1 | rng.pick(&[CONTINUATION, PING]), b"compressed?", rng),
        3 => one(FIN | rng.pick(&[0x3, 0x7, 0xB, 0xF]), b"what?", rng),
        4 => one(rng.pick(&[PING, CLOSE]), b"", rng),
        5 => one(FIN | PING, &[b'p'; 126], rng),
        6 => long_form(rng),
        7 => one(rng.pick(&[0, FIN]) | CONTINUATION, &vec![b'c'; rng.size(0, max + 2)], rng),
        8 => [one(TEXT, b"begun", rng), one(FIN | BINARY, b"anew", rng)].concat(),
        9 | 10 => bad_text(rng),
        11 => bad_close(rng),
        12 => bad_compression(visitor, rng),
        13 => bomb(visitor, rng),
        14 if max < 60_000 && rng.chance(50) => {
            let (kind, over) = (rng.pick(&[TEXT, BINARY]), rng.size(1, 3));
            one(FIN | kind, &vec![b'w'; max + over], rng)
        }
        14 => {
            let half = (max / 2 + 1).min(20_000);
            let first = one(BINARY, &vec![b'o'; half], rng);
            [first, one(CONTINUATION, &vec![b'v'; max - max.min(half)], rng), one(FIN | CONTINUATION, b"er", rng)]
                .concat()
        }
        _ => {
            let count = visitor.rules.max_fragments.min(200) as usize + 1;
            visitor.fragments(BINARY, &[b'f'; 20], count, rng)
        }
    }
}

/// Lengths that could be written shorter, or not at all.
fn long_form(rng: &mut Rng) -> Vec<u8> {
    let key = key(rng);
    let body = [b'l'; 5];
    let length: &[u8] = rng.pick(&[
        &[0xFE, 0, 5][..],
        &[0xFF, 0, 0, 0, 0, 0, 0, 0, 5],
        &[0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF],
        &[0xFF, 0x80, 0, 0, 0, 0, 0, 0, 5],
    ]);
    [&[FIN | BINARY], length, &key[..], &masked(key, &body)].concat()
}

/// Text that is wrong at once, across fragments, or at its end.
fn bad_text(rng: &mut Rng) -> Vec<u8> {
    const TEXTS: [&[&[u8]]; 7] = [
        &[b"\xE0"],
        &[b"\xFF and more"],
        &[b"an overlong \xC0\xAF"],
        &[b"a surrogate \xED\xA0\x80"],
        &[b"an unfinished \xF0\x9F\x98"],
        &[b"cut \xF0\x9F", b"\x98\x80 well", b" and \xE2\x82", b" badly"],
        &[b"cut \xE2\x82", b""],
    ];
    let fragments = rng.pick(&TEXTS);
    let mut bytes = Vec::new();
    for (at, fragment) in fragments.iter().enumerate() {
        let opcode = if at == 0 { TEXT } else { CONTINUATION };
        let fin = if at + 1 == fragments.len() { FIN } else { 0 };
        bytes.extend(from_client(fin | opcode, key(rng), fragment));
    }
    bytes
}

fn bad_close(rng: &mut Rng) -> Vec<u8> {
    let bodies: [&[u8]; 8] = [
        &[3],
        &1004u16.to_be_bytes(),
        &1005u16.to_be_bytes(),
        &1006u16.to_be_bytes(),
        &999u16.to_be_bytes(),
        &2999u16.to_be_bytes(),
        &5000u16.to_be_bytes(),
        b"\x03\xE8\xFF\xFE",
    ];
    from_client(FIN | CLOSE, key(rng), rng.pick(&bodies))
}

/// A block of a type that does not exist, a copy of what was never there, a message cut short, or a text that is none.
fn bad_compression(visitor: &mut Visitor, rng: &mut Rng) -> Vec<u8> {
    let key = key(rng);
    let Some(squeeze) = &mut visitor.squeeze else {
        return from_client(FIN | RSV1 | BINARY, key, rng.pick(&[&b"\x07"[..], b"\x03\x02"]));
    };
    let (kind, payload) = match rng.below(4) {
        0 => (BINARY, b"\x07".to_vec()),
        1 => (BINARY, b"\x03\x02".to_vec()),
        2 => {
            let mut cut = Squeeze::new(6, true).squeeze(b"a message that is cut short, cut short");
            cut.truncate(cut.len() / 2);
            (BINARY, cut)
        }
        _ => (TEXT, squeeze.squeeze(rng.pick(&[&b"wrong \xFF and more"[..], b"unfinished \xF0\x9F\x98"]))),
    };
    from_client(FIN | RSV1 | kind, key, &payload)
}

/// Little that becomes much.
fn bomb(visitor: &mut Visitor, rng: &mut Rng) -> Vec<u8> {
    let much = vec![b'0'; visitor.rules.max.min(300_000) * rng.size(1, 4) + 1];
    let payload = match &mut visitor.squeeze {
        Some(squeeze) => squeeze.squeeze(&much),
        None => Squeeze::new(9, true).squeeze(&much),
    };
    from_client(FIN | RSV1 | BINARY, key(rng), &payload)
}
