//! A second opinion on WebSocket frames (RFC 6455, section 5): what a peer's stream says, and what a server may send.

use tidegate::connection::{Broken, FrameRules};
use tidegate::wire::Kind;
use tidegate::wire::websocket::{FrameError, Opcode, Sender};

/// One thing that a stream of frames says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A whole message.
    Message { kind: Kind, compressed: bool, bytes: Vec<u8> },
    /// A ping.
    Ping(Vec<u8>),
    /// A pong.
    Pong(Vec<u8>),
    /// A close frame, with its body.
    Close(Vec<u8>),
}

/// Everything that a stream of frames says, and how it ends: in the midst of something (`true`), or broken.
pub type Said = (Vec<Event>, Result<bool, Broken>);

/// A message of which the end has not come.
struct Begun {
    kind: Kind,
    compressed: bool,
    frames: u32,
    bytes: Vec<u8>,
}

struct Header {
    fin: bool,
    rsv1: bool,
    opcode: Opcode,
    len: u64,
    key: [u8; 4],
    /// Of the header itself.
    size: usize,
}

/// What `bytes` say, as far as they go.
pub fn read(bytes: &[u8], rules: &FrameRules) -> Said {
    let mut events = Vec::new();
    let end = read_into(&mut events, bytes, rules);
    (events, end)
}

fn read_into(events: &mut Vec<Event>, mut rest: &[u8], rules: &FrameRules) -> Result<bool, Broken> {
    let mut begun: Option<Begun> = None;
    while !rest.is_empty() {
        let Some(header) = header(rest, begun.is_some(), rules)? else {
            return Ok(true);
        };
        let available = &rest[header.size..];
        let len = usize::try_from(header.len).unwrap_or(usize::MAX).min(available.len());
        let is_whole = len as u64 == header.len;
        let payload: Vec<u8> = available[..len].iter().zip(header.key.iter().cycle()).map(|(b, k)| b ^ k).collect();
        rest = &available[len..];
        match header.opcode {
            Opcode::Ping if is_whole => events.push(Event::Ping(payload)),
            Opcode::Pong if is_whole => events.push(Event::Pong(payload)),
            Opcode::Close if is_whole => events.push(Event::Close(payload)),
            Opcode::Ping | Opcode::Pong | Opcode::Close => return Ok(true),
            Opcode::Continuation | Opcode::Text | Opcode::Binary => {
                let message = add(begun.take(), &header, payload, rules)?;
                let is_over = is_whole && header.fin;
                check_text(&message, is_over)?;
                if is_over {
                    let Begun { kind, compressed, bytes, .. } = message;
                    events.push(Event::Message { kind, compressed, bytes });
                } else if is_whole {
                    begun = Some(message);
                } else {
                    return Ok(true);
                }
            }
        }
    }
    Ok(begun.is_some())
}

/// The message with one more frame. Judged by what the header announces, whatever has come of it.
fn add(begun: Option<Begun>, header: &Header, payload: Vec<u8>, rules: &FrameRules) -> Result<Begun, Broken> {
    let mut message = begun.unwrap_or_else(|| Begun {
        kind: if header.opcode == Opcode::Text { Kind::Text } else { Kind::Binary },
        compressed: header.rsv1,
        frames: 0,
        bytes: Vec::new(),
    });
    if u128::from(header.len) + message.bytes.len() as u128 > rules.max_message_bytes as u128 {
        return Err(Broken::TooLarge);
    }
    message.frames += 1;
    if message.frames > rules.max_fragments {
        return Err(Broken::TooManyFragments);
    }
    message.bytes.extend(payload);
    Ok(message)
}

fn check_text(message: &Begun, is_over: bool) -> Result<(), Broken> {
    if message.kind != Kind::Text || message.compressed {
        return Ok(());
    }
    match std::str::from_utf8(&message.bytes) {
        Ok(_) => Ok(()),
        Err(error) if error.error_len().is_none() && !is_over => Ok(()),
        Err(_) => Err(Broken::InvalidText),
    }
}

/// Rule after rule in the order in which the bytes come that can break them.
fn header(bytes: &[u8], is_inside: bool, rules: &FrameRules) -> Result<Option<Header>, Broken> {
    let broken = |error| Err(Broken::Frame(error));
    let (fin, rsv1, reserved) = (bytes[0] >> 7 == 1, bytes[0] & 0x40 != 0, bytes[0] & 0x30 != 0);
    let opcode = match bytes[0] & 0xF {
        0 => Opcode::Continuation,
        1 => Opcode::Text,
        2 => Opcode::Binary,
        8 => Opcode::Close,
        9 => Opcode::Ping,
        10 => Opcode::Pong,
        _ => return broken(FrameError::ReservedOpcode),
    };
    let is_control = bytes[0] & 8 != 0;
    let may_be_compressed = rules.compression && matches!(opcode, Opcode::Text | Opcode::Binary);
    if reserved || (rsv1 && !may_be_compressed) {
        return broken(FrameError::ReservedBit);
    }
    if is_control && !fin {
        return broken(FrameError::FragmentedControl);
    }
    match opcode {
        Opcode::Continuation if !is_inside => return broken(FrameError::NothingToContinue),
        Opcode::Text | Opcode::Binary if is_inside => return broken(FrameError::UnfinishedMessage),
        _ => {}
    }
    let Some(&second) = bytes.get(1) else { return Ok(None) };
    match (rules.sender, second >> 7) {
        (Sender::Client, 0) => return broken(FrameError::MissingMask),
        (Sender::Server, 1) => return broken(FrameError::UnexpectedMask),
        _ => {}
    }
    if is_control && second & 0x7F > 125 {
        return broken(FrameError::LongControl);
    }
    let extended = [0, 2, 8][usize::from((second & 0x7F).saturating_sub(125))];
    let Some(digits) = bytes.get(2..2 + extended) else { return Ok(None) };
    let announced = digits.iter().fold(0, |sum: u64, &digit| sum << 8 | u64::from(digit));
    let len = if extended == 0 { u64::from(second & 0x7F) } else { announced };
    if (extended == 2 && len < 126) || (extended == 8 && (len < 65536 || len >> 63 == 1)) {
        return broken(FrameError::BadLength);
    }
    let (key, size) = match (rules.sender, bytes.get(2 + extended..6 + extended)) {
        (Sender::Server, _) => ([0; 4], 2 + extended),
        (Sender::Client, Some(key)) => ([key[0], key[1], key[2], key[3]], 6 + extended),
        (Sender::Client, None) => return Ok(None),
    };
    Ok(Some(Header { fin, rsv1, opcode, len, key, size }))
}

/// The frames that a server has sent, which have to be whole, unmasked and unfragmented.
///
/// # Panics
/// Where they are not.
pub fn read_server(bytes: &[u8], compression: bool) -> Vec<Event> {
    let rules = FrameRules { sender: Sender::Server, compression, max_message_bytes: usize::MAX, max_fragments: 1 };
    let (events, end) = read(bytes, &rules);
    assert_eq!(end, Ok(false), "a server's frames: {}", bytes.escape_ascii());
    events
}
