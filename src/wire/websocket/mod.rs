//! WebSocket (RFC 6455): frames and what is in them. Bytes only; what a broken frame means for its sender decides
//! `connection`.

mod close;
mod utf8;

pub use close::{CloseCode, CloseError, CloseFrame, MAX_REASON};
pub use utf8::{InvalidUtf8, Utf8Validator, is_utf8};
