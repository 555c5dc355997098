//! The numbers that tell clients what went wrong, and the words that go with them. Closes have theirs in `connection`.

/// Why a command was not done: the `error` of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// 100, temporary: an error on our side.
    Internal = 100,
    /// 101: no token, and nobody may be anonymous.
    Unauthorized = 101,
    /// 102: a channel of no namespace.
    UnknownChannel = 102,
    /// 103: the channel is not for this client, or not for this.
    PermissionDenied = 103,
    /// 104: no such method.
    MethodNotFound = 104,
    /// 105: subscribed to it before.
    AlreadySubscribed = 105,
    /// 106: over a limit, such as that of channels.
    LimitExceeded = 106,
    /// 107: a parameter is missing, too long or out of range.
    BadRequest = 107,
    /// 108: the channel, or this server, does not offer it.
    NotAvailable = 108,
    /// 109: the token was good once.
    TokenExpired = 109,
    /// 110: what is asked for has expired.
    Expired = 110,
    /// 111, temporary: over a rate.
    TooManyRequests = 111,
    /// 112: the position is not in the history any more.
    UnrecoverablePosition = 112,
    /// The engine's queue is full. Callers over HTTP get status 503; a client gets code 100, temporary.
    TooBusy,
}

impl ErrorCode {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Internal,
        Self::Unauthorized,
        Self::UnknownChannel,
        Self::PermissionDenied,
        Self::MethodNotFound,
        Self::AlreadySubscribed,
        Self::LimitExceeded,
        Self::BadRequest,
        Self::NotAvailable,
        Self::TokenExpired,
        Self::Expired,
        Self::TooManyRequests,
        Self::UnrecoverablePosition,
        Self::TooBusy,
    ];

    /// The number on the wire, 100 to 112.
    pub fn code(self) -> u16 {
        match self {
            Self::TooBusy => Self::Internal as u16,
            other => other as u16,
        }
    }

    /// The words on the wire.
    pub fn message(self) -> &'static str {
        match self {
            Self::Internal | Self::TooBusy => "internal server error",
            Self::Unauthorized => "unauthorized",
            Self::UnknownChannel => "unknown channel",
            Self::PermissionDenied => "permission denied",
            Self::MethodNotFound => "method not found",
            Self::AlreadySubscribed => "already subscribed",
            Self::LimitExceeded => "limit exceeded",
            Self::BadRequest => "bad request",
            Self::NotAvailable => "not available",
            Self::TokenExpired => "token expired",
            Self::Expired => "expired",
            Self::TooManyRequests => "too many requests",
            Self::UnrecoverablePosition => "unrecoverable position",
        }
    }

    /// The same command may succeed later.
    pub fn is_temporary(self) -> bool {
        matches!(self, Self::Internal | Self::TooManyRequests | Self::TooBusy)
    }
}

/// Why the server ended a subscription. Under 2500 final; from 2500 the client subscribes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UnsubscribeCode {
    /// 2000: an operator or the application wanted it.
    ByServer = 2000,
    /// 2500: publications were missed; the client recovers.
    InsufficientState = 2500,
    /// 2501: its token has expired.
    Expired = 2501,
}

impl UnsubscribeCode {
    /// The number on the wire.
    pub fn code(self) -> u16 {
        self as u16
    }

    /// The words on the wire; never JSON.
    pub fn reason(self) -> &'static str {
        match self {
            Self::ByServer => "server unsubscribe",
            Self::InsufficientState => "insufficient state",
            Self::Expired => "subscription expired",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_the_numbers_of_the_protocol_and_words_of_their_own() {
        let codes: Vec<u16> = ErrorCode::ALL.into_iter().map(ErrorCode::code).collect();
        assert_eq!(codes, [100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111, 112, 100]);
        let words: std::collections::HashSet<_> = ErrorCode::ALL.into_iter().map(ErrorCode::message).collect();
        assert_eq!(words.len(), 13);
        let temporary: Vec<u16> =
            ErrorCode::ALL.into_iter().filter(|code| code.is_temporary()).map(ErrorCode::code).collect();
        assert_eq!(temporary, [100, 111, 100]);
    }

    #[test]
    fn reasons_are_words_and_never_json() {
        use UnsubscribeCode::{ByServer, Expired, InsufficientState};
        for (code, number) in [(ByServer, 2000), (InsufficientState, 2500), (Expired, 2501)] {
            assert_eq!(code.code(), number);
            assert!(serde_json::from_str::<serde_json::Value>(code.reason()).is_err() && !code.reason().is_empty());
        }
    }
}
