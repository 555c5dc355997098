//! The fields that decide where a request ends and what becomes of its connection, read in one pass.

use super::{BodyLength, Status};
use crate::wire::http::list::{elements, has_element};
use crate::wire::http::split_host_port;
use httparse::Header;

/// What the fields said, before they are weighed against each other.
#[derive(Default)]
pub(super) struct Framing<'b> {
    host: Option<&'b str>,
    content_length: Option<u64>,
    coding: Option<Coding>,
    expectation: Option<Expectation>,
    close: bool,
    keep_alive: bool,
    upgrade_option: bool,
    websocket: bool,
}

/// The transfer codings of all lines together.
#[derive(Clone, Copy)]
enum Coding {
    /// `chunked` and nothing else.
    Chunked,
    /// None of them `chunked`: nobody can tell where the body ends.
    Others,
    /// Others, and `chunked` as the last.
    OthersThenChunked,
    /// Something after `chunked`, or an empty element.
    Endless,
}

#[derive(Clone, Copy)]
enum Expectation {
    Continue,
    Other,
}

impl<'b> Framing<'b> {
    pub(super) fn read(fields: &[Header<'b>]) -> Result<Self, Status> {
        let mut framing = Self::default();
        for field in fields {
            framing.on_field(field.name, field.value)?;
        }
        Ok(framing)
    }

    /// Looks at the length of a name first: most fields have none of these.
    fn on_field(&mut self, name: &str, value: &'b [u8]) -> Result<(), Status> {
        match name.len() {
            4 if name.eq_ignore_ascii_case("host") => return self.on_host(value),
            6 if name.eq_ignore_ascii_case("expect") => self.on_expect(value),
            7 if name.eq_ignore_ascii_case("upgrade") => self.websocket |= has_element(value, "websocket"),
            10 if name.eq_ignore_ascii_case("connection") => self.on_connection(value),
            14 if name.eq_ignore_ascii_case("content-length") => return self.on_content_length(value),
            17 if name.eq_ignore_ascii_case("transfer-encoding") => self.on_transfer_encoding(value),
            _ => {}
        }
        Ok(())
    }

    fn on_host(&mut self, value: &'b [u8]) -> Result<(), Status> {
        let host = std::str::from_utf8(value).ok().filter(|host| split_host_port(host).is_some());
        let doubled = self.host.replace(host.ok_or(Status::BadRequest)?).is_some();
        if doubled { Err(Status::BadRequest) } else { Ok(()) }
    }

    fn on_content_length(&mut self, value: &[u8]) -> Result<(), Status> {
        let doubled = self.content_length.replace(parse_length(value).ok_or(Status::BadRequest)?).is_some();
        if doubled { Err(Status::BadRequest) } else { Ok(()) }
    }

    fn on_transfer_encoding(&mut self, value: &[u8]) {
        for element in elements(value) {
            self.coding = Some(match (self.coding, element) {
                (_, b"") => Coding::Endless,
                (None, coding) if is_chunked(coding) => Coding::Chunked,
                (Some(Coding::Others), coding) if is_chunked(coding) => Coding::OthersThenChunked,
                (None | Some(Coding::Others), _) => Coding::Others,
                (Some(Coding::Chunked | Coding::OthersThenChunked | Coding::Endless), _) => Coding::Endless,
            });
        }
    }

    fn on_connection(&mut self, value: &[u8]) {
        for option in elements(value) {
            match option.len() {
                5 if option.eq_ignore_ascii_case(b"close") => self.close = true,
                7 if option.eq_ignore_ascii_case(b"upgrade") => self.upgrade_option = true,
                10 if option.eq_ignore_ascii_case(b"keep-alive") => self.keep_alive = true,
                _ => {}
            }
        }
    }

    fn on_expect(&mut self, value: &[u8]) {
        self.expectation = Some(match self.expectation {
            None | Some(Expectation::Continue) if value.eq_ignore_ascii_case(b"100-continue") => Expectation::Continue,
            _ => Expectation::Other,
        });
    }

    /// An absolute target's authority goes before `Host`, which must be sound all the same (RFC 9112, section 3.2).
    pub(super) fn host(&self, authority: Option<&'b str>, is_http_10: bool) -> Result<&'b str, Status> {
        match self.host {
            None if !is_http_10 => Err(Status::BadRequest),
            host => Ok(authority.or(host).unwrap_or_default()),
        }
    }

    /// RFC 9112, section 6.3. Where two framings are told, two readers could take different ones.
    pub(super) fn body(&self, is_http_10: bool) -> Result<BodyLength, Status> {
        match (self.coding, self.content_length) {
            (None, None) => Ok(BodyLength::None),
            (None, Some(bytes)) => Ok(BodyLength::Length(bytes)),
            (Some(_), Some(_)) => Err(Status::BadRequest),
            (Some(_), None) if is_http_10 => Err(Status::BadRequest),
            (Some(Coding::Chunked), None) => Ok(BodyLength::Chunked),
            (Some(Coding::OthersThenChunked), None) => Err(Status::NotImplemented),
            (Some(Coding::Others | Coding::Endless), None) => Err(Status::BadRequest),
        }
    }

    /// HTTP/1.0 knew no expectations, and theirs are ignored (RFC 9110, section 10.1.1).
    pub(super) fn expects_continue(&self, is_http_10: bool, body: BodyLength) -> Result<bool, Status> {
        match self.expectation {
            Some(Expectation::Other) if !is_http_10 => Err(Status::ExpectationFailed),
            Some(Expectation::Continue) if !is_http_10 => Ok(body != BodyLength::None),
            None | Some(Expectation::Continue | Expectation::Other) => Ok(false),
        }
    }

    pub(super) fn wants_close(&self, is_http_10: bool) -> bool {
        self.close || (is_http_10 && !self.keep_alive)
    }

    pub(super) fn upgrade(&self) -> bool {
        self.upgrade_option && self.websocket
    }
}

fn is_chunked(coding: &[u8]) -> bool {
    coding.eq_ignore_ascii_case(b"chunked")
}

/// Digits and nothing else, below 2^64.
fn parse_length(digits: &[u8]) -> Option<u64> {
    let add = |sum: u64, &digit: &u8| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    };
    if digits.is_empty() { None } else { digits.iter().try_fold(0, add) }
}
