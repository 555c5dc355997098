//! Frames as a client may or may not build them, and what a server may answer.

const FIN: u8 = 0x80;

/// A frame of the client's, right or wrong.
#[derive(Debug, Clone)]
pub struct Frame {
    first: u8,
    mask: Option<[u8; 4]>,
    form: Form,
    announced: Option<u64>,
    payload: Vec<u8>,
}

/// How many bytes tell the length.
#[derive(Debug, Clone, Copy)]
enum Form {
    Shortest,
    Two,
    Eight,
}

pub fn text(payload: impl AsRef<[u8]>) -> Frame {
    frame(0x1, payload)
}

pub fn binary(payload: impl AsRef<[u8]>) -> Frame {
    frame(0x2, payload)
}

/// The next fragment, and the last one unless it says [`Frame::more`].
pub fn rest(payload: impl AsRef<[u8]>) -> Frame {
    frame(0x0, payload)
}

pub fn ping(payload: impl AsRef<[u8]>) -> Frame {
    frame(0x9, payload)
}

pub fn pong(payload: impl AsRef<[u8]>) -> Frame {
    frame(0xA, payload)
}

pub fn close(code: u16) -> Frame {
    close_with(code, "")
}

pub fn close_with(code: u16, reason: impl AsRef<[u8]>) -> Frame {
    close_of([&code.to_be_bytes(), reason.as_ref()].concat())
}

/// A close frame with any body.
pub fn close_of(body: impl AsRef<[u8]>) -> Frame {
    frame(0x8, body)
}

pub fn frame(opcode: u8, payload: impl AsRef<[u8]>) -> Frame {
    let mask = Some([0x37, 0xFA, 0x21, 0x3D]);
    Frame { first: FIN | opcode, mask, form: Form::Shortest, announced: None, payload: payload.as_ref().to_vec() }
}

/// One message in fragments of `size`, of which an empty message has one.
pub fn fragmented(opcode: u8, payload: &[u8], size: usize) -> Vec<Frame> {
    let pieces: Vec<&[u8]> = if payload.is_empty() { vec![payload] } else { payload.chunks(size).collect() };
    let last = pieces.len() - 1;
    let number = |(at, piece): (usize, &&[u8])| {
        let fragment = frame(if at == 0 { opcode } else { 0 }, piece);
        if at == last { fragment } else { fragment.more() }
    };
    pieces.iter().enumerate().map(number).collect()
}

impl Frame {
    /// More fragments follow.
    pub fn more(mut self) -> Self {
        self.first &= !FIN;
        self
    }

    /// The three reserved bits, as a number from 0 to 7.
    pub fn rsv(mut self, bits: u8) -> Self {
        self.first |= bits << 4;
        self
    }

    pub fn unmasked(mut self) -> Self {
        self.mask = None;
        self
    }

    pub fn masked(mut self, key: [u8; 4]) -> Self {
        self.mask = Some(key);
        self
    }

    /// The length in two bytes more, whatever it is.
    pub fn two_byte_length(mut self) -> Self {
        self.form = Form::Two;
        self
    }

    /// The length in eight bytes more, whatever it is.
    pub fn eight_byte_length(mut self) -> Self {
        self.form = Form::Eight;
        self
    }

    /// A header that promises `len` bytes of payload, whatever follows it.
    pub fn announcing(mut self, len: u64) -> Self {
        self.announced = Some(len);
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![self.first];
        self.put_length(&mut bytes);
        bytes.extend(self.mask.into_iter().flatten());
        let key = self.mask.unwrap_or_default();
        bytes.extend(self.payload.iter().zip(key.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        bytes
    }

    fn put_length(&self, bytes: &mut Vec<u8>) {
        let masked = if self.mask.is_some() { 0x80 } else { 0 };
        let len = self.announced.unwrap_or(self.payload.len() as u64);
        match (self.form, len) {
            (Form::Shortest, 0..=125) => bytes.push(masked | len as u8),
            (Form::Shortest, 126..=0xFFFF) | (Form::Two, _) => {
                bytes.push(masked | 126);
                bytes.extend_from_slice(&(len as u16).to_be_bytes());
            }
            (Form::Shortest | Form::Eight, _) => {
                bytes.push(masked | 127);
                bytes.extend_from_slice(&len.to_be_bytes());
            }
        }
    }
}

/// What a server sent, whole.
#[derive(Clone, PartialEq, Eq)]
pub enum Reply {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Pong(Vec<u8>),
    /// With its code, if it has one.
    Close(Option<u16>),
}

impl Reply {
    pub fn text(payload: impl AsRef<[u8]>) -> Self {
        Self::Text(payload.as_ref().to_vec())
    }

    pub fn binary(payload: impl AsRef<[u8]>) -> Self {
        Self::Binary(payload.as_ref().to_vec())
    }

    pub fn pong(payload: impl AsRef<[u8]>) -> Self {
        Self::Pong(payload.as_ref().to_vec())
    }

    pub fn close(code: u16) -> Self {
        Self::Close(Some(code))
    }
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (name, payload) = match self {
            Reply::Text(payload) => ("Text", payload),
            Reply::Binary(payload) => ("Binary", payload),
            Reply::Pong(payload) => ("Pong", payload),
            Reply::Close(code) => return write!(f, "Close({code:?})"),
        };
        let shown = payload[..payload.len().min(80)].escape_ascii();
        write!(f, "{name}({} bytes: {shown})", payload.len())
    }
}

/// A frame of the server's. Whatever the RFCs forbid a server panics here.
#[derive(Debug)]
pub struct ServerFrame {
    pub opcode: u8,
    /// With permessage-deflate: the payload is compressed.
    pub rsv1: bool,
    pub payload: Vec<u8>,
}

impl ServerFrame {
    /// The frame at the front of `bytes` and its length, or `None` while its tail is on the way.
    pub fn parse(bytes: &[u8]) -> Option<(Self, usize)> {
        let (first, second) = (*bytes.first()?, *bytes.get(1)?);
        assert_eq!(second & 0x80, 0, "a server masks nothing (RFC 6455, 5.1)");
        assert_eq!(first & 0x30, 0, "reserved bits are zero (5.2)");
        assert_eq!(first & FIN, FIN, "what fits in one frame comes in one");
        let (opcode, rsv1) = (first & 0x0F, first & 0x40 != 0);
        assert!(matches!(opcode, 0x1 | 0x2 | 0x8 | 0x9 | 0xA), "no such opcode: {opcode:#x} (5.2)");
        assert!(!rsv1 || opcode < 0x8, "no control frame is compressed (RFC 7692, 6)");
        let (len, at) = length(bytes, second)?;
        assert!(opcode < 0x8 || len <= 125, "control frames are short (5.5)");
        let payload = bytes.get(at..at + len)?.to_vec();
        Some((Self { opcode, rsv1, payload }, at + len))
    }

    /// What it means where no extension was agreed on.
    pub fn reply(self) -> Reply {
        assert!(!self.rsv1, "compressed, and nobody agreed on that (5.2)");
        match self.opcode {
            0x1 => {
                assert!(std::str::from_utf8(&self.payload).is_ok(), "text is UTF-8 (5.6)");
                Reply::Text(self.payload)
            }
            0x2 => Reply::Binary(self.payload),
            0x8 => Reply::Close(close_code(&self.payload)),
            0xA => Reply::Pong(self.payload),
            _ => panic!("nobody is silent for long here, and still it sends {self:?}"),
        }
    }
}

fn length(bytes: &[u8], second: u8) -> Option<(usize, usize)> {
    let long = bytes.get(2..)?;
    let (len, at, least) = match second {
        126 => (u64::from(u16::from_be_bytes(*long.first_chunk()?)), 4, 126),
        127 => (u64::from_be_bytes(*long.first_chunk()?), 10, 0x1_0000),
        len => (u64::from(len), 2, 0),
    };
    assert!(len >= least, "the length is in its shortest form (5.2)");
    Some((usize::try_from(len).unwrap(), at))
}

/// The code of a close frame that is as it should be (RFC 6455, 5.5.1 and 7.4).
fn close_code(body: &[u8]) -> Option<u16> {
    if body.is_empty() {
        return None;
    }
    let (code, reason) = body.split_first_chunk().expect("a code has two bytes (5.5.1)");
    let code = u16::from_be_bytes(*code);
    assert!(matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999), "{code} is not for the wire (7.4)");
    assert!(std::str::from_utf8(reason).is_ok(), "a reason is UTF-8 (5.5.1)");
    Some(code)
}
