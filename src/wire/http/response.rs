//! Answers as bytes (RFC 9112, section 4). What is asked and whether the connection stays decides `gateway`.

use super::{Status, is_token, is_value};
use bytes::Bytes;
use std::borrow::Cow;
use std::io::Write;

/// An answer with a body of known length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    status: Status,
    content_type: &'static str,
    body: Bytes,
    /// Checked when they came in: names are tokens, values can't end their line, none is about framing.
    fields: Vec<(&'static str, Cow<'static, str>)>,
}

/// What the request and the connection add to an answer.
#[derive(Debug, Clone, Copy)]
pub struct EncodeOptions<'a> {
    /// The request was HEAD: the body is announced and left out.
    pub head_only: bool,
    /// The connection ends after this answer, and the client is told.
    pub close: bool,
    /// Now, as [`super::HttpDate`] writes it.
    pub date: &'a str,
}

impl Response {
    /// An answer with a body of any type. `content_type` is a fixed value of ours.
    pub fn new(status: Status, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let fields = Self::fields_of(status).iter().map(|&(name, value)| (name, Cow::Borrowed(value))).collect();
        Self { status, content_type, body: body.into(), fields }
    }

    /// An answer in plain text.
    pub fn text(status: Status, body: impl Into<Bytes>) -> Self {
        Self::new(status, "text/plain; charset=utf-8", body)
    }

    /// An answer in JSON, which `body` already is.
    pub fn json(status: Status, body: impl Into<Bytes>) -> Self {
        Self::new(status, "application/json", body)
    }

    /// The short answer to what is not served: `400 Bad Request: <advice>` and a line end.
    pub fn refusal(status: Status) -> Self {
        Self::text(status, format!("{status}: {}\n", status.advice()))
    }

    /// Adds a field, or replaces the one of that name.
    ///
    /// A name that is no token, a value that holds a control character, and fields that only `encode` may write
    /// (framing, `Connection`, `Content-Type`, `Date`) are left out: whatever a caller puts in a value, it stays one.
    pub fn with_field(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        let value = value.into();
        if is_token(name.as_bytes()) && is_value(value.as_bytes()) && !is_ours(name) {
            self.fields.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
            self.fields.push((name, value));
        }
        self
    }

    /// The status.
    pub fn status(&self) -> Status {
        self.status
    }

    /// The body, also where `encode` leaves it out.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Appends the answer as it goes over the wire.
    pub fn encode(&self, out: &mut Vec<u8>, options: EncodeOptions<'_>) {
        self.encode_status(out);
        if self.status.code() >= 200 {
            add_field(out, "Date", options.date);
            add_field(out, "Connection", self.connection(options.close));
        }
        for (name, value) in &self.fields {
            add_field(out, name, value);
        }
        if self.status.has_body() {
            add_field(out, "Content-Type", self.content_type);
            add(out, format_args!("Content-Length: {}\r\n", self.body.len()));
        }
        out.extend_from_slice(b"\r\n");
        if self.status.has_body() && !options.head_only {
            out.extend_from_slice(&self.body);
        }
    }

    fn encode_status(&self, out: &mut Vec<u8>) {
        add(out, format_args!("HTTP/1.1 {}\r\n", self.status));
    }

    /// Said always: to HTTP/1.0 clients silence means the end (RFC 9112, section 9.3). `Upgrade` is a field for this
    /// connection only, so it is named here (RFC 9110, section 7.8).
    fn connection(&self, close: bool) -> &'static str {
        match (self.status == Status::UpgradeRequired, close) {
            (false, false) => "keep-alive",
            (false, true) => "close",
            (true, false) => "upgrade",
            (true, true) => "upgrade, close",
        }
    }

    /// What the RFCs want with a status, unless `with_field` says it better.
    fn fields_of(status: Status) -> &'static [(&'static str, &'static str)] {
        match status {
            Status::MethodNotAllowed => &[("Allow", "GET")],
            Status::UpgradeRequired => &[("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")],
            Status::TooManyRequests => &[("Retry-After", "1")],
            Status::Unavailable => &[("Retry-After", "5")],
            _ => &[],
        }
    }
}

/// Written by `encode` alone, or by nobody.
fn is_ours(name: &str) -> bool {
    ["connection", "content-length", "content-type", "date", "keep-alive", "trailer", "transfer-encoding"]
        .iter()
        .any(|ours| name.eq_ignore_ascii_case(ours))
}

fn add_field(out: &mut Vec<u8>, name: &str, value: &str) {
    for part in [name, ": ", value, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

fn add(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to a vector can't fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    fn encoded(response: &Response, head_only: bool, close: bool) -> String {
        let mut out = b"before".to_vec();
        response.encode(&mut out, EncodeOptions { head_only, close, date: DATE });
        String::from_utf8(out).unwrap().strip_prefix("before").unwrap().to_owned()
    }

    #[test]
    fn an_answer_announces_its_true_length() {
        let expected = "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nConnection: keep-alive\r\n\
            Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(encoded(&Response::json(Status::Ok, "{}"), false, false), expected);
    }

    #[test]
    fn an_answer_to_head_is_the_same_without_the_body() {
        let response = Response::text(Status::Ok, "hello\n");
        let (whole, head) = (encoded(&response, false, true), encoded(&response, true, true));
        assert_eq!(whole, format!("{head}hello\n"));
        assert!(head.contains("\r\nConnection: close\r\n") && head.contains("\r\nContent-Length: 6\r\n"), "{head}");
    }

    #[test]
    fn answers_that_have_no_body_announce_none() {
        let none = Response::text(Status::NoContent, "never seen");
        assert_eq!(
            encoded(&none, false, false),
            format!("HTTP/1.1 204 No Content\r\nDate: {DATE}\r\nConnection: keep-alive\r\n\r\n")
        );
        assert_eq!(encoded(&Response::refusal(Status::Continue), false, true), "HTTP/1.1 100 Continue\r\n\r\n");
    }

    #[test]
    fn refusals_say_what_to_mend_and_bring_what_the_rfcs_want() {
        for (status, fields) in [
            (Status::BadRequest, ""),
            (Status::MethodNotAllowed, "Allow: GET\r\n"),
            (Status::UpgradeRequired, "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"),
            (Status::TooManyRequests, "Retry-After: 1\r\n"),
            (Status::Unavailable, "Retry-After: 5\r\n"),
        ] {
            let text = encoded(&Response::refusal(status), false, true);
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert_eq!(body, format!("{status}: {}\n", status.advice()));
            assert!(format!("{head}\r\n").contains(&format!("close\r\n{fields}Content-Type: text/plain")), "{text}");
        }
        assert!(
            encoded(&Response::refusal(Status::UpgradeRequired), false, true)
                .contains("Connection: upgrade, close\r\n")
        );
        assert!(encoded(&Response::refusal(Status::UpgradeRequired), false, false).contains("Connection: upgrade\r\n"));
    }

    #[test]
    fn a_field_replaces_the_one_of_its_name() {
        let response =
            Response::refusal(Status::MethodNotAllowed).with_field("allow", "POST").with_field("X-A", "1".to_owned());
        let text = encoded(&response, false, false);
        assert!(text.contains("allow: POST\r\nX-A: 1\r\n") && !text.contains("Allow: GET"), "{text}");
    }

    #[test]
    fn nothing_in_a_value_ends_its_line() {
        for value in ["a\r\nSet-Cookie: x", "a\nb", "a\rb", "a\0b", "\u{7f}", "\u{1b}[31m"] {
            let response = Response::text(Status::Ok, "").with_field("X-A", value);
            assert!(!encoded(&response, false, false).contains("X-A"), "{value:?}");
        }
        for name in
            ["X A", "", "X:", "X\r\n", "Content-Length", "transfer-encoding", "Connection", "Date", "content-type"]
        {
            let plain = Response::text(Status::Ok, "");
            assert_eq!(plain.clone().with_field(name, "1"), plain, "{name:?}");
        }
        let kept = Response::text(Status::Ok, "").with_field("X-A", "tab\tand \u{e4}");
        assert!(encoded(&kept, false, false).contains("X-A: tab\tand \u{e4}\r\n"));
    }
}
