//! The status codes this server answers with (RFC 9110, section 15).

use std::fmt;

/// A status code with its reason phrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// 100: the body may come.
    Continue = 100,
    /// 101: what follows is WebSocket.
    SwitchingProtocols = 101,
    /// 200
    Ok = 200,
    /// 204: done, and nothing to say.
    NoContent = 204,
    /// 400: not understood, or doubtful enough to be an attack.
    BadRequest = 400,
    /// 401. Who answers with it adds `WWW-Authenticate` where a scheme of HTTP is meant.
    Unauthorized = 401,
    /// 403
    Forbidden = 403,
    /// 404
    NotFound = 404,
    /// 405: comes with `Allow`.
    MethodNotAllowed = 405,
    /// 408: the head or the body took too long.
    RequestTimeout = 408,
    /// 411: a body must announce its length.
    LengthRequired = 411,
    /// 413: the body is over its limit.
    ContentTooLarge = 413,
    /// 414: the target is over its limit.
    UriTooLong = 414,
    /// 417: an expectation other than `100-continue`.
    ExpectationFailed = 417,
    /// 426: only WebSocket is spoken here; comes with `Upgrade` and `Sec-WebSocket-Version`.
    UpgradeRequired = 426,
    /// 429: over a rate or a limit of one address; comes with `Retry-After`.
    TooManyRequests = 429,
    /// 431: too many fields, or a head over its limit.
    FieldsTooLarge = 431,
    /// 500
    InternalError = 500,
    /// 501: a method or a transfer coding that is not known.
    NotImplemented = 501,
    /// 503: over a limit of the whole gateway, or draining; comes with `Retry-After`.
    Unavailable = 503,
    /// 505: a version of HTTP other than 1.x.
    VersionNotSupported = 505,
}

impl Status {
    /// All of them, in the order of their codes.
    pub const ALL: [Self; 21] = [
        Self::Continue,
        Self::SwitchingProtocols,
        Self::Ok,
        Self::NoContent,
        Self::BadRequest,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::LengthRequired,
        Self::ContentTooLarge,
        Self::UriTooLong,
        Self::ExpectationFailed,
        Self::UpgradeRequired,
        Self::TooManyRequests,
        Self::FieldsTooLarge,
        Self::InternalError,
        Self::NotImplemented,
        Self::Unavailable,
        Self::VersionNotSupported,
    ];

    /// The number on the wire.
    pub fn code(self) -> u16 {
        self as u16
    }

    /// The reason phrase.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Continue => "Continue",
            Self::SwitchingProtocols => "Switching Protocols",
            Self::Ok => "OK",
            Self::NoContent => "No Content",
            Self::BadRequest => "Bad Request",
            Self::Unauthorized => "Unauthorized",
            Self::Forbidden => "Forbidden",
            Self::NotFound => "Not Found",
            Self::MethodNotAllowed => "Method Not Allowed",
            Self::RequestTimeout => "Request Timeout",
            Self::LengthRequired => "Length Required",
            Self::ContentTooLarge => "Content Too Large",
            Self::UriTooLong => "URI Too Long",
            Self::ExpectationFailed => "Expectation Failed",
            Self::UpgradeRequired => "Upgrade Required",
            Self::TooManyRequests => "Too Many Requests",
            Self::FieldsTooLarge => "Request Header Fields Too Large",
            Self::InternalError => "Internal Server Error",
            Self::NotImplemented => "Not Implemented",
            Self::Unavailable => "Service Unavailable",
            Self::VersionNotSupported => "HTTP Version Not Supported",
        }
    }

    /// What a person who meets this status may want to know or to try.
    pub fn advice(self) -> &'static str {
        match self {
            Self::Continue => "send the body",
            Self::SwitchingProtocols => "go on with WebSocket frames",
            Self::Ok | Self::NoContent => "done",
            Self::BadRequest => "the request is not well-formed HTTP/1.1",
            Self::Unauthorized => "a valid key or token is needed",
            Self::Forbidden => "not allowed from here",
            Self::NotFound => "nothing is served at this path",
            Self::MethodNotAllowed => "this path takes other methods",
            Self::RequestTimeout => "the request took too long to arrive",
            Self::LengthRequired => "announce the body with Content-Length",
            Self::ContentTooLarge => "the body is over the limit",
            Self::UriTooLong => "the target is over the limit",
            Self::ExpectationFailed => "only 100-continue can be expected",
            Self::UpgradeRequired => "this path speaks WebSocket, version 13",
            Self::TooManyRequests => "over a limit for this client; come back later",
            Self::FieldsTooLarge => "the header fields are over the limit",
            Self::InternalError => "an error on our side",
            Self::NotImplemented => "this method or transfer coding is not known here",
            Self::Unavailable => "no room at the moment; come back later",
            Self::VersionNotSupported => "HTTP/1.1 is spoken here",
        }
    }

    /// Whether an answer with this status may carry a body (RFC 9110, section 6.4.1).
    pub fn has_body(self) -> bool {
        self.code() >= 200 && self != Self::NoContent
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code(), self.reason())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_is_listed_once_with_three_digits_and_words() {
        assert!(Status::ALL.windows(2).all(|pair| pair[0].code() < pair[1].code()));
        for status in Status::ALL {
            assert!((100..600).contains(&status.code()));
            assert!(!status.reason().is_empty() && !status.advice().is_empty());
        }
        assert_eq!(Status::FieldsTooLarge.to_string(), "431 Request Header Fields Too Large");
    }

    #[test]
    fn interim_answers_and_204_have_no_body() {
        let bodyless: Vec<u16> = Status::ALL.into_iter().filter(|s| !s.has_body()).map(Status::code).collect();
        assert_eq!(bodyless, [100, 101, 204]);
    }
}
