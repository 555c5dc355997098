//! Why a connection of a client ended, or an attempt led to none: as any connection ends, or as only a WebSocket does.

use crate::connection::CloseReason;
use std::fmt;

/// Why a connection ended, or why an attempt led to none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndReason {
    /// As any connection ends: it was closed or reset, fell silent, broke the protocol or failed.
    Connection(CloseReason),
    /// The server closed the WebSocket.
    ServerClosed {
        /// Its close code (RFC 6455, section 7.4), where it gave one.
        code: Option<u16>,
        /// Its words, at most 123 bytes, perhaps none. They come from the server: escape them wherever they are shown.
        words: String,
    },
    /// The server answers the request for a WebSocket with this HTTP status.
    Refused(u16),
    /// The server's answer to the request opens no WebSocket: what is wrong with it.
    BadAnswer(String),
    /// The server's application will not have us: its answer to `connect` is an error.
    Rejected {
        /// The error's number.
        code: u32,
        /// Its words, at most 123 bytes. They come from the server: escape them wherever they are shown.
        words: String,
        /// It may agree later.
        is_temporary: bool,
    },
}

impl EndReason {
    /// Whether a client comes back after it. Not where the server says with its close code to stay away: 3500 to 3999
    /// and 4500 to 4999, and 1009, where the same message would end each further connection too; nor where its
    /// application has refused for good.
    pub fn comes_back(&self) -> bool {
        match self {
            EndReason::ServerClosed { code, .. } => !matches!(code, Some(1009 | 3500..=3999 | 4500..=4999)),
            EndReason::Connection(_) | EndReason::Refused(_) | EndReason::BadAnswer(_) => true,
            EndReason::Rejected { is_temporary, .. } => *is_temporary,
        }
    }
}

impl From<CloseReason> for EndReason {
    fn from(reason: CloseReason) -> Self {
        EndReason::Connection(reason)
    }
}

impl PartialEq<CloseReason> for EndReason {
    fn eq(&self, other: &CloseReason) -> bool {
        matches!(self, EndReason::Connection(reason) if reason == other)
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EndReason::Connection(reason) => reason.fmt(f),
            EndReason::ServerClosed { code, words } => {
                f.write_str("closed by the server ")?;
                match code {
                    Some(code) => write!(f, "with {code}")?,
                    None => f.write_str("without a code")?,
                }
                if words.is_empty() { Ok(()) } else { write!(f, ": {}", words.escape_debug()) }
            }
            EndReason::Refused(status) => write!(f, "the server answers with HTTP status {status}"),
            EndReason::BadAnswer(wrong) => f.write_str(wrong),
            EndReason::Rejected { code, words, .. } => write!(f, "refused with {code}: {}", words.escape_debug()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(code: impl Into<Option<u16>>, words: &str) -> EndReason {
        EndReason::ServerClosed { code: code.into(), words: words.to_owned() }
    }

    #[test]
    fn codes_that_say_so_keep_a_client_away_and_no_others() {
        for code in 1000..5000 {
            let away = code == 1009 || (3500..4000).contains(&code) || code >= 4500;
            assert_eq!(closed(code, "").comes_back(), !away, "{code}");
        }
        assert!(closed(None, "").comes_back() && EndReason::Refused(403).comes_back());
    }

    #[test]
    fn words_of_a_server_are_shown_without_effect() {
        assert_eq!(closed(4500, "re\x1b[2Jplaced").to_string(), r"closed by the server with 4500: re\u{1b}[2Jplaced");
        assert_eq!(closed(1000, "").to_string(), "closed by the server with 1000");
        assert_eq!(closed(None, "").to_string(), "closed by the server without a code");
    }
}
