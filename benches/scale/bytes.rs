//! What clients send, as it is on the wire.

use tidegate::wire::websocket::{FrameHeader, Mask, Opcode};

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A masked frame.
pub fn frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mask = Some(Mask::new(KEY));
    let header = FrameHeader { fin: true, rsv1: false, opcode, len: payload.len() as u64, mask };
    let mut bytes = Vec::with_capacity(payload.len() + 14);
    header.encode(&mut bytes);
    let begin = bytes.len();
    bytes.extend_from_slice(payload);
    Mask::new(KEY).apply(&mut bytes[begin..]);
    bytes
}

pub fn text(payload: &str) -> Vec<u8> {
    frame(Opcode::Text, payload.as_bytes())
}

/// A message on the length-prefixed wire.
pub fn length(payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).expect("a short message");
    [&len.to_be_bytes(), payload].concat()
}

/// A request for a WebSocket, with the fields that browsers send.
pub fn upgrade(path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: gateway.example:8000\r\nConnection: Upgrade\r\nPragma: no-cache\r\n\
         Cache-Control: no-cache\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) Chrome/140.0.0.0 Safari/537.36\r\n\
         Upgrade: websocket\r\nOrigin: http://gateway.example:8000\r\nSec-WebSocket-Version: 13\r\n\
         Accept-Encoding: gzip, deflate\r\nAccept-Language: en-US,en;q=0.9\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .into_bytes()
}

/// A back end's request to publish 128 bytes of data.
pub fn publish(channel: &str) -> Vec<u8> {
    let data = "x".repeat(126);
    let body = format!(r#"{{"channel":"{channel}","data":"{data}"}}"#);
    format!(
        "POST /api/publish HTTP/1.1\r\nHost: gateway.example:8000\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
