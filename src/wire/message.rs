//! A message and its kind, borrowed from wherever it lies or with bytes of its own.

use super::Wire;
use std::ops::Deref;

/// What a message is, where its wire tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Kind {
    /// The wire does not tell. WebSocket receivers get text where it is UTF-8, and binary otherwise.
    #[default]
    Plain,
    /// Text: UTF-8, checked.
    Text,
    /// Bytes.
    Binary,
}

/// One whole message. It derefs to its bytes; text is UTF-8.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// With the framing it lies in, as a server sends it on the place's wire.
    framed: &'a [u8],
    place: Place,
}

/// Where in some bytes a message lies, and what it is. Small enough for a register: the usual way of a message hands both
/// parts to the unusual ones, which are functions of their own, so that it need not keep the whole in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// Bytes of framing.
    before: u8,
    behind: u8,
    kind: Kind,
    wire: Wire,
}

impl<'a> Message<'a> {
    /// Text.
    pub fn text(text: &'a str) -> Self {
        Self::new(text.as_bytes(), Kind::Text)
    }

    /// Bytes that WebSocket receivers get as binary.
    pub fn binary(bytes: &'a [u8]) -> Self {
        Self::new(bytes, Kind::Binary)
    }

    /// A message of this kind. The caller has checked that text is UTF-8.
    #[inline]
    pub(crate) fn new(bytes: &'a [u8], kind: Kind) -> Self {
        // The raw wire frames nothing.
        Self::framed(bytes, (0, 0), kind, Wire::Raw)
    }

    /// A message of this kind that lies in its framing for `wire`, so many bytes before it and behind it: whoever sends
    /// it there needs no other.
    #[inline]
    pub(crate) fn framed(framed: &'a [u8], (before, behind): (u8, u8), kind: Kind, wire: Wire) -> Self {
        let message = Self { framed, place: Place { before, behind, kind, wire } };
        debug_assert!(framed.len() == wire.encoded_len(message.len()), "a frame is what the wire would make of it");
        message
    }

    /// The message in its two parts.
    #[inline]
    pub(crate) fn apart(self) -> (&'a [u8], Place) {
        (self.framed, self.place)
    }

    /// Of the parts of a message the message.
    #[inline]
    pub(crate) fn together(framed: &'a [u8], place: Place) -> Self {
        Self { framed, place }
    }

    /// Its framing for `wire`, where it lies in it already.
    #[inline]
    pub(crate) fn frame_for(&self, wire: Wire) -> Option<&'a [u8]> {
        (self.place.wire == wire).then_some(self.framed)
    }

    /// Its bytes, as long as they live where they lie.
    #[inline]
    pub fn bytes(&self) -> &'a [u8] {
        let Place { before, behind, .. } = self.place;
        &self.framed[usize::from(before)..self.framed.len() - usize::from(behind)]
    }

    /// What it is.
    #[inline]
    pub fn kind(&self) -> Kind {
        self.place.kind
    }
}

impl Deref for Message<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.bytes()
    }
}

/// Messages are equal in their bytes and their kind, wherever they lie.
impl PartialEq for Message<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes() && self.kind() == other.kind()
    }
}

impl Eq for Message<'_> {}

impl<'a> From<&'a [u8]> for Message<'a> {
    #[inline]
    fn from(bytes: &'a [u8]) -> Self {
        Self::new(bytes, Kind::Plain)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Message<'a> {
    fn from(bytes: &'a [u8; N]) -> Self {
        Self::new(bytes, Kind::Plain)
    }
}

impl<'a> From<&'a Vec<u8>> for Message<'a> {
    fn from(bytes: &'a Vec<u8>) -> Self {
        Self::new(bytes, Kind::Plain)
    }
}

impl<'a> From<&'a str> for Message<'a> {
    fn from(text: &'a str) -> Self {
        Self::text(text)
    }
}

/// A message with bytes of its own. It derefs to them; text is UTF-8.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OwnedMessage {
    bytes: Vec<u8>,
    kind: Kind,
}

impl OwnedMessage {
    /// Text.
    pub fn text(text: impl Into<String>) -> Self {
        Self { bytes: text.into().into_bytes(), kind: Kind::Text }
    }

    /// Bytes that go over a WebSocket as binary.
    pub fn binary(bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: bytes.into(), kind: Kind::Binary }
    }

    /// A message of this kind. The caller has checked that text is UTF-8.
    #[cfg(feature = "websocket")]
    pub(crate) fn new(bytes: Vec<u8>, kind: Kind) -> Self {
        Self { bytes, kind }
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The same message, borrowed.
    pub fn as_message(&self) -> Message<'_> {
        Message::new(&self.bytes, self.kind)
    }

    /// Its bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

impl Deref for OwnedMessage {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl From<Vec<u8>> for OwnedMessage {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, kind: Kind::Plain }
    }
}

impl From<String> for OwnedMessage {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

impl From<&str> for OwnedMessage {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}
