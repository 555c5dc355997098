//! Why a connection of a load ended, or came to nothing, as people and scripts are told.

use crate::connection::Broken;
use crate::wire::websocket::{CloseFrame, fitting};
use std::fmt;
use std::io::ErrorKind;

/// The end of one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It could not be connected.
    Unreachable(ErrorKind),
    /// It was not open in time.
    OpenedTooSlowly,
    /// TLS was refused, with what is wrong.
    Tls(String),
    /// The server answers the request for a WebSocket with this HTTP status.
    Refused(u16),
    /// What the server says is no answer to what it was asked: what is wrong with it.
    BadAnswer(String),
    /// The hub refuses, with its error's number and words.
    Rejected {
        /// What was asked for.
        method: &'static str,
        /// The number.
        code: u32,
        /// The words.
        words: String,
    },
    /// The server closed in order, with a code and words where its wire has them.
    Closed {
        /// The close code.
        code: Option<u16>,
        /// The words.
        words: String,
    },
    /// The connection failed: it was reset, or the like.
    Failed(ErrorKind),
    /// The server broke the protocol.
    Broken(Broken),
    /// Other bytes came than were due.
    WrongBytes,
    /// More came back than was sent.
    Unasked,
}

impl End {
    /// A close without code and words.
    pub const PLAIN_CLOSE: End = End::Closed { code: None, words: String::new() };

    /// What the payload of a close frame says.
    pub fn from_close_frame(payload: &[u8]) -> Self {
        match CloseFrame::parse(payload) {
            Ok(Some(frame)) => Self::closed(Some(frame.code.get()), frame.reason),
            Ok(None) => Self::PLAIN_CLOSE,
            Err(_) => End::BadAnswer("a close frame that is none".to_owned()),
        }
    }

    /// A close with the server's words, which are cut and made harmless.
    pub fn closed(code: Option<u16>, words: &str) -> Self {
        End::Closed { code, words: tame(words) }
    }

    /// Whether what came was not what was sent: no fault of the connection, but of the server's answers.
    pub fn is_wrong_content(&self) -> bool {
        matches!(self, End::WrongBytes | End::Unasked)
    }
}

/// A server's words, cut to 123 bytes, and without anything that a terminal or a page would act on.
pub fn tame(words: &str) -> String {
    fitting(words).escape_debug().to_string()
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Unreachable(kind) => write!(f, "cannot connect: {kind}"),
            End::OpenedTooSlowly => f.write_str("not open in time"),
            End::Tls(detail) => write!(f, "TLS failed: {detail}"),
            End::Refused(status) => write!(f, "refused with HTTP status {status}"),
            End::BadAnswer(wrong) => write!(f, "bad answer: {wrong}"),
            End::Rejected { method, code, words } => write!(f, "{method} refused with {code}: {words}"),
            End::Closed { code: None, .. } => f.write_str("closed by the server"),
            End::Closed { code: Some(code), words } if words.is_empty() => {
                write!(f, "closed by the server with {code}")
            }
            End::Closed { code: Some(code), words } => write!(f, "closed by the server with {code}: {words}"),
            End::Failed(kind) => write!(f, "failed: {kind}"),
            End::Broken(broken) => write!(f, "the server broke the protocol: {broken}"),
            End::WrongBytes => f.write_str("other bytes came back than were sent"),
            End::Unasked => f.write_str("more came back than was sent"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_is_told_with_code_and_words() {
        for (payload, told) in [
            (&b"\x0B\xB9shutdown"[..], "closed by the server with 3001: shutdown"),
            (b"\x03\xE8", "closed by the server with 1000"),
            (b"", "closed by the server"),
            (b"\x00\x01", "bad answer: a close frame that is none"),
        ] {
            assert_eq!(End::from_close_frame(payload).to_string(), told);
        }
    }

    #[test]
    fn words_of_a_server_are_cut_and_shown_without_effect() {
        assert_eq!(tame("re\x1b[2Jplaced"), r"re\u{1b}[2Jplaced");
        assert_eq!(tame(&"ü".repeat(100)).len(), 122);
    }
}
