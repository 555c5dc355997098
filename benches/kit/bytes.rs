//! What peers say, byte by byte: frames, requests, texts.

use tidegate::wire::websocket::{FrameHeader, Mask, Opcode};
use tidegate::wire::{Kind, Message, Wire};

/// The key of every mask.
pub const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A frame as a client sends it.
pub fn frame(fin: bool, opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let header = FrameHeader { fin, rsv1: false, opcode, len: payload.len() as u64, mask: Some(Mask::new(KEY)) };
    let mut bytes = Vec::new();
    header.encode(&mut bytes);
    let begin = bytes.len();
    bytes.extend_from_slice(payload);
    Mask::new(KEY).apply(&mut bytes[begin..]);
    bytes
}

/// A text message in one frame.
pub fn text_frame(text: &[u8]) -> Vec<u8> {
    frame(true, Opcode::Text, text)
}

/// A message in so many frames.
pub fn fragments(kind: Kind, payload: &[u8], count: usize) -> Vec<u8> {
    let first = if kind == Kind::Text { Opcode::Text } else { Opcode::Binary };
    let pieces: Vec<&[u8]> = payload.chunks(payload.len().div_ceil(count)).collect();
    let frames = pieces.iter().enumerate().map(|(at, piece)| {
        let opcode = if at == 0 { first } else { Opcode::Continuation };
        frame(at + 1 == pieces.len(), opcode, piece)
    });
    frames.collect::<Vec<_>>().concat()
}

/// A message as a client sends it on this wire.
pub fn said(wire: Wire, kind: Kind, message: &[u8]) -> Vec<u8> {
    match wire {
        Wire::WebSocket => fragments(kind, message, 1),
        Wire::Length | Wire::Line | Wire::Raw => {
            let mut bytes = Vec::new();
            wire.encode(Message::from(message), &mut bytes);
            bytes
        }
    }
}

/// ASCII text of this length, on one line, that is no heartbeat.
pub fn ascii(len: usize) -> Vec<u8> {
    b"The tide lifts every boat that is moored with enough rope. ".iter().copied().cycle().take(len).collect()
}

/// Text of this length or a little more, with characters of one to four bytes.
pub fn mixed(len: usize) -> Vec<u8> {
    let phrase = "море и sea und Meër 海潮 🌊 ";
    phrase.repeat(len.div_ceil(phrase.len())).into_bytes()
}

/// What a browser sends to open a WebSocket.
pub fn upgrade_request(path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: gateway.example.com\r\nConnection: Upgrade\r\nPragma: no-cache\r\n\
         Cache-Control: no-cache\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0\r\n\
         Upgrade: websocket\r\nOrigin: http://gateway.example.com\r\nSec-WebSocket-Version: 13\r\n\
         Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-US,en;q=0.9\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .into_bytes()
}
