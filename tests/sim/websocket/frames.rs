//! Frames as bytes (RFC 6455, section 5.2): written as either side writes them, read strictly.

pub const CONTINUATION: u8 = 0x0;
pub const TEXT: u8 = 0x1;
pub const BINARY: u8 = 0x2;
pub const CLOSE: u8 = 0x8;
pub const PING: u8 = 0x9;
pub const PONG: u8 = 0xA;

pub const FIN: u8 = 0x80;
pub const RSV1: u8 = 0x40;

/// A frame as a server sends it: whole and without a mask.
pub fn from_server(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(FIN | first, 0, payload.len());
    frame.extend_from_slice(payload);
    frame
}

/// A frame as a client sends it, under this key.
pub fn from_client(first: u8, key: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut frame = header(first, 0x80, payload.len());
    frame.extend_from_slice(&key);
    frame.extend(masked(key, payload));
    frame
}

/// The payload of a Close frame.
pub fn close(code: Option<u16>, words: &str) -> Vec<u8> {
    let mut payload = Vec::new();
    if let Some(code) = code {
        payload.extend_from_slice(&code.to_be_bytes());
        payload.extend_from_slice(words.as_bytes());
    }
    payload
}

pub fn masked(key: [u8; 4], bytes: &[u8]) -> Vec<u8> {
    bytes.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]).collect()
}

/// The first bytes of a frame, its length in the shortest form.
fn header(first: u8, mask: u8, len: usize) -> Vec<u8> {
    match len {
        0..126 => vec![first, mask | len as u8],
        126..0x1_0000 => [&[first, mask | 126][..], &(len as u16).to_be_bytes()].concat(),
        _ => [&[first, mask | 127][..], &(len as u64).to_be_bytes()].concat(),
    }
}

/// A length and where the bytes behind it begin, or how it is wrong; `None` while it is not whole.
pub fn length(bytes: &[u8]) -> Option<Result<(u64, usize), &'static str>> {
    let number = |from: &[u8]| from.iter().fold(0, |sum: u64, byte| sum << 8 | u64::from(*byte));
    let short = bytes.get(1)? & 0x7F;
    let (len, at, least) = match short {
        126 => (number(bytes.get(2..4)?), 4, 126),
        127 => (number(bytes.get(2..10)?), 10, 0x1_0000),
        _ => (u64::from(short), 2, 0),
    };
    let right = len >= least && len >> 63 == 0;
    Some(if right { Ok((len, at)) } else { Err("a length not in its shortest form") })
}

/// Whether a Close frame may carry this code (RFC 6455, section 7.4, and the registry of IANA).
pub fn is_code(code: u16) -> bool {
    let reserved = [1004, 1005, 1006, 1015];
    (1000..1015).contains(&code) && !reserved.contains(&code) || (3000..5000).contains(&code)
}
