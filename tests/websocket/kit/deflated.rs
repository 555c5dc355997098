//! permessage-deflate (RFC 7692) from the client's side: what an answer may agree to, and messages under it.

use super::inflate::Inflater;
use super::{Frame, Reply, Talk, Way, fragmented};
use flate2::{Compress, Compression, FlushCompress, Status};

/// What ends every flushed block and is left out on the wire (RFC 7692, 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xFF, 0xFF];

/// What was agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agreed {
    pub server_takeover: bool,
    pub client_takeover: bool,
    pub server_bits: u8,
    pub client_bits: u8,
}

/// One alternative of an offer, as the client means it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Offer {
    pub server_no_takeover: bool,
    pub server_bits: Option<u8>,
    /// `Some(None)`: without a value.
    pub client_bits: Option<Option<u8>>,
}

impl Agreed {
    /// Reads an answer. Whatever RFC 7692 forbids a server to answer to `offers` panics.
    pub fn read(answer: &str, offers: &[Offer]) -> Self {
        let mut words = answer.split(';').map(str::trim);
        assert_eq!(words.next(), Some("permessage-deflate"), "{answer:?}");
        let mut agreed = Self { server_takeover: true, client_takeover: true, server_bits: 15, client_bits: 15 };
        let mut seen = Vec::new();
        for word in words {
            let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
            assert!(!seen.contains(&name), "{name} twice in {answer:?} (7.1)");
            seen.push(name);
            match (name, value.map(bits)) {
                ("server_no_context_takeover", None) => agreed.server_takeover = false,
                ("client_no_context_takeover", None) => agreed.client_takeover = false,
                ("server_max_window_bits", Some(bits)) => agreed.server_bits = bits,
                ("client_max_window_bits", Some(bits)) => agreed.client_bits = bits,
                _ => panic!("{word:?} in {answer:?}"),
            }
        }
        let client_bits_named = seen.contains(&"client_max_window_bits");
        let answers = |offer: &Offer| agreed.answers(offer, client_bits_named);
        assert!(offers.iter().any(answers), "{answer:?} answers none of {offers:?}");
        agreed
    }

    /// RFC 7692, 7.1.1.1, 7.1.2.1 and 7.1.2.2.
    fn answers(&self, offer: &Offer, client_bits_named: bool) -> bool {
        let takeover = !(self.server_takeover && offer.server_no_takeover);
        let server_bits = self.server_bits <= offer.server_bits.unwrap_or(15);
        let client_bits = match offer.client_bits {
            None => !client_bits_named,
            // Its value is a promise of the client's, which an answer may pass over.
            Some(most) => !client_bits_named || self.client_bits <= most.unwrap_or(15),
        };
        takeover && server_bits && client_bits
    }
}

fn bits(value: &str) -> u8 {
    let bits: u8 = value.parse().expect(value);
    assert!((8..=15).contains(&bits) && !value.starts_with(['0', '+']), "{value:?} (7.1.2)");
    bits
}

/// A connection on which permessage-deflate was agreed on.
pub struct Deflated {
    pub talk: Talk,
    pub agreed: Agreed,
    compress: Compress,
    inflater: Inflater,
}

impl Deflated {
    /// A connection with the plain offer.
    pub fn open(address: &str, way: Way) -> Self {
        Self::open_with(address, way, "permessage-deflate", &[Offer::default()])
    }

    /// `offer` in the words of the field, and in ours.
    pub fn open_with(address: &str, way: Way, offer: &str, meant: &[Offer]) -> Self {
        let mut talk = Talk::open_with(address, way, &format!("Sec-WebSocket-Extensions: {offer}\r\n"));
        let answer = talk.answer().field("Sec-WebSocket-Extensions").expect("an extension is agreed on");
        let agreed = Agreed::read(answer, meant);
        // The library knows no window of 256 bytes; 512 is no less strict for what is sent here.
        let compress = Compress::new_with_window_bits(Compression::default(), false, agreed.client_bits.max(9));
        Self { talk, agreed, compress, inflater: Inflater::new(agreed.server_bits) }
    }

    /// The payload of a compressed message.
    pub fn compressed(&mut self, payload: &[u8]) -> Vec<u8> {
        if !self.agreed.client_takeover {
            self.compress.reset();
        }
        let mut out = deflate(&mut self.compress, payload, FlushCompress::Sync);
        assert!(out.ends_with(&TAIL));
        out.truncate(out.len() - TAIL.len());
        out
    }

    /// Sends it compressed, in fragments of `size`: the first bears the mark.
    pub fn send(&mut self, message: &Reply, size: usize) {
        let (opcode, payload) = match message {
            Reply::Text(payload) => (1, payload),
            Reply::Binary(payload) => (2, payload),
            other => panic!("{other:?} is no message"),
        };
        let mut frames = fragmented(opcode, &self.compressed(payload), size);
        frames[0] = frames[0].clone().rsv(4);
        self.talk.send(&frames);
    }

    /// The server's next message or control frame, inflated; and whether it was compressed.
    pub fn reply(&mut self) -> Option<(Reply, bool)> {
        let mut frame = self.talk.frame()?;
        let compressed = std::mem::take(&mut frame.rsv1);
        if compressed {
            frame.payload = self.inflated(&frame.payload);
        }
        Some((frame.reply(), compressed))
    }

    pub fn expect(&mut self, expected: &[Reply]) {
        for expected in expected {
            assert_eq!(self.reply().map(|(reply, _)| reply).as_ref(), Some(expected));
        }
    }

    /// Sends frames as they are; `expected` comes back, then the end.
    pub fn play(&mut self, sent: &[Frame], expected: &[Reply]) {
        self.talk.send(sent);
        self.expect(expected);
        match expected.last() {
            Some(Reply::Close(_)) => self.talk.expect_end(),
            _ => self.talk.close(),
        }
    }

    fn inflated(&mut self, payload: &[u8]) -> Vec<u8> {
        if !self.agreed.server_takeover {
            self.inflater.reset();
        }
        self.inflater.inflate(&[payload, &TAIL].concat())
    }
}

/// Everything that `compress` makes of `payload`.
pub fn deflate(compress: &mut Compress, payload: &[u8], flush: FlushCompress) -> Vec<u8> {
    let (begin, mut out) = (compress.total_in(), Vec::new());
    loop {
        out.reserve(4096);
        let consumed = usize::try_from(compress.total_in() - begin).unwrap();
        let status = compress.compress_vec(&payload[consumed..], &mut out, flush).unwrap();
        let all = compress.total_in() - begin == payload.len() as u64;
        if status == Status::StreamEnd || all && out.len() < out.capacity() {
            return out;
        }
    }
}
