//! One message for many receivers: encoded once per wire, shared, never copied per receiver.

use super::{Kind, Message, Wire};
use bytes::Bytes;
use std::cell::OnceCell;

/// A message that remembers its encoded forms.
///
/// Raw receivers share the body itself; the other forms are built when the first receiver needs them.
#[derive(Debug, Clone, Default)]
pub struct Prepared {
    body: Bytes,
    kind: Kind,
    length: OnceCell<Bytes>,
    line: OnceCell<Bytes>,
    websocket: OnceCell<Bytes>,
    deflated: OnceCell<Bytes>,
}

impl Prepared {
    /// A message with this body, whose kind is not told: WebSocket receivers get text where it is UTF-8.
    pub fn new(body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), ..Self::default() }
    }

    /// Text.
    pub fn text(text: impl Into<String>) -> Self {
        Self { body: text.into().into(), kind: Kind::Text, ..Self::default() }
    }

    /// Text that the caller has put together from text, so that it need not be looked at again.
    #[cfg(feature = "hub")]
    pub(crate) fn known_text(text: Vec<u8>) -> Self {
        debug_assert!(std::str::from_utf8(&text).is_ok(), "text is UTF-8");
        Self { body: text.into(), kind: Kind::Text, ..Self::default() }
    }

    /// Bytes that WebSocket receivers get as binary.
    pub fn binary(body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), kind: Kind::Binary, ..Self::default() }
    }

    /// The message's bytes as the application sees them.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The message as the application sees it.
    pub fn message(&self) -> Message<'_> {
        Message::new(&self.body, self.kind)
    }

    /// The message as it goes over `wire`; a cheap handle on shared bytes.
    pub fn encoded(&self, wire: Wire) -> Bytes {
        self.framed(wire).clone()
    }

    /// The same, borrowed.
    #[inline]
    pub(crate) fn framed(&self, wire: Wire) -> &Bytes {
        match wire {
            Wire::Raw => &self.body,
            Wire::Length => self.length.get_or_init(|| self.encode(wire)),
            Wire::Line => self.line.get_or_init(|| self.encode(wire)),
            Wire::WebSocket => self.websocket.get_or_init(|| self.encode(wire)),
        }
    }

    /// The message as a compressed WebSocket frame; `encode` is called for the first receiver alone.
    pub(crate) fn deflated(&self, encode: impl FnOnce(Message<'_>) -> Vec<u8>) -> &Bytes {
        self.deflated.get_or_init(|| encode(self.message()).into())
    }

    fn encode(&self, wire: Wire) -> Bytes {
        let mut out = Vec::with_capacity(wire.encoded_len(self.body.len()));
        wire.encode(self.message(), &mut out);
        out.into()
    }
}

impl From<Message<'_>> for Prepared {
    fn from(message: Message<'_>) -> Self {
        let kind = message.kind();
        Self { body: Bytes::copy_from_slice(message.bytes()), kind, ..Self::default() }
    }
}
