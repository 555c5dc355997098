//! The bodies of requests, of known length or in chunks (RFC 9112, sections 6 and 7.1), read from their beginning.

use crate::websocket::heads::Body;

/// How far a body has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Came {
    /// More is needed.
    Partly,
    /// These bytes, and so many on the wire.
    Whole(Vec<u8>, usize),
    /// It is refused with this status.
    Refused(u16),
}

/// The body at the front of `bytes`, of at most `max` bytes.
pub fn read(body: Body, bytes: &[u8], max: usize) -> Came {
    match body {
        Body::None => Came::Whole(Vec::new(), 0),
        Body::Length(length) if length > max as u64 => Came::Refused(413),
        Body::Length(length) => match bytes.get(..length as usize) {
            Some(whole) => Came::Whole(whole.to_vec(), whole.len()),
            None => Came::Partly,
        },
        Body::Chunked => read_chunks(bytes, max),
    }
}

fn read_chunks(bytes: &[u8], max: usize) -> Came {
    let (mut rest, mut body) = (bytes, Vec::new());
    loop {
        let size = match take_size(&mut rest) {
            Ok(size) => size,
            Err(came) => return came,
        };
        if size == 0 {
            return match expect(&mut rest, b"\r\n") {
                Ok(()) => Came::Whole(body, bytes.len() - rest.len()),
                Err(came) => came,
            };
        }
        if size > (max - body.len()) as u64 {
            return Came::Refused(413);
        }
        let Some((chunk, after)) = rest.split_at_checked(size as usize) else {
            return Came::Partly;
        };
        body.extend_from_slice(chunk);
        rest = after;
        if let Err(came) = expect(&mut rest, b"\r\n") {
            return came;
        }
    }
}

fn take_size(rest: &mut &[u8]) -> Result<u64, Came> {
    let digits = rest.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    if digits == rest.len() && digits <= 16 {
        return Err(Came::Partly);
    }
    let text = std::str::from_utf8(&rest[..digits]).unwrap_or_default();
    let size = u64::from_str_radix(text, 16).map_err(|_| Came::Refused(400))?;
    *rest = &rest[digits..];
    expect(rest, b"\r\n")?;
    Ok(size)
}

fn expect(rest: &mut &[u8], wanted: &[u8]) -> Result<(), Came> {
    let there = rest.len().min(wanted.len());
    if rest[..there] != wanted[..there] {
        return Err(Came::Refused(400));
    }
    if there < wanted.len() {
        return Err(Came::Partly);
    }
    *rest = &rest[there..];
    Ok(())
}
