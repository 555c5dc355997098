//! The polite answers to peers whose protocol is recognised and not served here.

/// The answer to an HTTP request on a listener that serves plain wires only.
pub const HTTP_REFUSAL: &[u8] = b"HTTP/1.1 501 Not Implemented\r\n\
    Content-Type: text/plain\r\n\
    Content-Length: 64\r\n\
    Connection: close\r\n\r\n\
    This port takes length-prefixed or newline messages over TCP.\r\n\n";

/// The answer to a TLS client: a fatal `handshake_failure` alert (RFC 8446, section 6.2) in a TLS 1.0 record, the
/// version every client accepts in a first answer.
pub const TLS_REFUSAL: &[u8] = &[0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 0x28];
