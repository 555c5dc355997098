//! One message for many receivers: encoded once per wire, shared, never copied per receiver.

use super::Wire;
use bytes::Bytes;
use std::cell::OnceCell;

/// A message that remembers its encoded forms.
///
/// Raw receivers share the body itself; the other forms are built when the first receiver needs them.
#[derive(Debug, Clone, Default)]
pub struct Prepared {
    body: Bytes,
    length: OnceCell<Bytes>,
    line: OnceCell<Bytes>,
}

impl Prepared {
    /// A message with this body.
    pub fn new(body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), length: OnceCell::new(), line: OnceCell::new() }
    }

    /// The message as the application sees it.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The message as it goes over `wire`; a cheap handle on shared bytes.
    pub fn encoded(&self, wire: Wire) -> Bytes {
        match wire {
            Wire::Raw => self.body.clone(),
            Wire::Length => self.length.get_or_init(|| self.encode(wire)).clone(),
            Wire::Line => self.line.get_or_init(|| self.encode(wire)).clone(),
        }
    }

    fn encode(&self, wire: Wire) -> Bytes {
        let mut out = Vec::with_capacity(wire.encoded_len(self.body.len()));
        wire.encode(&self.body, &mut out);
        out.into()
    }
}
