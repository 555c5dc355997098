//! What a listener says about the connections that come through it.

use crate::wire::Wire;

/// What a listener says about the wire of its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ListenWire {
    /// The first bytes decide.
    Auto,
    /// Always this one. WebSocket begins with an HTTP request for it.
    Fixed(Wire),
}

/// Whether connections are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encryption {
    /// TLS is not served, or not any more: it has begun already.
    None,
    /// A peer may begin with TLS.
    Offered,
    /// A peer has to begin with TLS.
    Required,
}

/// Everything a listener says about its connections before their first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Door {
    /// How their messages are framed.
    pub wire: ListenWire,
    /// Whether HTTP requests, and with them WebSocket, are served where the first bytes decide.
    pub http: bool,
    /// Whether they are encrypted.
    pub encryption: Encryption,
    /// Whether a proxy tells first who connects.
    pub proxy: bool,
    /// Whether only this machine reaches it: on a loopback address, or a Unix socket.
    pub local: bool,
}

impl Door {
    /// What is to be found out before the wire is known; `None` where nothing is.
    pub(super) fn wire_at_once(self) -> Option<Wire> {
        match (self.wire, self.encryption, self.proxy) {
            (ListenWire::Fixed(wire), Encryption::None | Encryption::Offered, false) => Some(wire),
            _ => None,
        }
    }
}

/// A door to the world that serves no HTTP and no TLS and stands behind no proxy.
impl From<ListenWire> for Door {
    fn from(wire: ListenWire) -> Self {
        Self { wire, http: false, encryption: Encryption::None, proxy: false, local: false }
    }
}
