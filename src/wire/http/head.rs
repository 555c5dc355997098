//! One request head (RFC 9112, sections 2 to 6): what it asks, how its body is framed, or why it is refused.
//!
//! Reads a whole head once, in linear time, and borrows all it says; it allocates nothing. It never decodes percent
//! signs, reads bodies or judges whether what is asked for exists.

mod end;
mod framing;
mod target;
#[cfg(test)]
mod tests;

use super::Status;
use framing::Framing;
use httparse::{EMPTY_HEADER, Header};
use std::mem::MaybeUninit;
use target::Target;

pub use end::find_end;
pub use target::MAX_TARGET;

/// Most fields of one head; more are refused with 431.
pub const MAX_FIELDS: usize = 100;

/// A request head that has passed every check.
#[derive(Debug)]
pub struct Head<'h, 'b> {
    /// What is to be done.
    pub method: Method,
    /// The path of the target, as it came: it begins with `/`, or is `*` with [`Method::Options`].
    pub path: &'b str,
    /// What followed the `?`, as it came.
    pub query: Option<&'b str>,
    /// Host and port as the client means them: of an absolute target, else of `Host`. [`super::split_host_port`] takes
    /// it apart. Empty only where HTTP/1.0 left it out.
    pub host: &'b str,
    /// What follows the head.
    pub body: BodyLength,
    /// HTTP/1.0; any later 1.x counts as 1.1.
    pub is_http_10: bool,
    /// The client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
    /// The connection ends after the answer: `Connection: close`, or HTTP/1.0 without `keep-alive`.
    pub wants_close: bool,
    /// The client asks for WebSocket: `Connection` names `upgrade` and `Upgrade` names `websocket`.
    pub upgrade: bool,
    fields: &'h [Header<'b>],
}

/// Room for the fields of one head on the caller's stack; costs nothing to make.
#[derive(Debug)]
pub struct Storage<'b> {
    fields: [MaybeUninit<Header<'b>>; MAX_FIELDS],
    /// Filled for versions after 1.1 only, see [`parse_later`].
    later: Option<[Header<'b>; MAX_FIELDS]>,
}

/// The methods that are known (RFC 9110, section 9; RFC 5789); others are refused with 501.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is what its name says in the RFC")]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Options,
    Patch,
    Connect,
    Trace,
}

/// How the body after a head is framed (RFC 9112, section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyLength {
    /// No framing at all: what follows is the next request.
    None,
    /// `Content-Length`, in bytes.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

impl<'h, 'b> Head<'h, 'b> {
    /// Judges a whole head, as far as [`find_end`] says it reaches. The caller bounds its length.
    ///
    /// Refuses with
    /// - 400: `Host` doubled, empty, not a host, or missing (HTTP/1.0 may leave it out); `Content-Length` doubled or not
    ///   plain digits below 2^64; `Transfer-Encoding` that does not end in one `chunked`, that comes with
    ///   `Content-Length` or on HTTP/1.0; a bare CR or LF, a folded line, control characters, a space before a colon;
    ///   a target that is not a path, an `http` or `https` URI without user name, or `*` for OPTIONS
    /// - 414: a target over [`MAX_TARGET`]; 431: more than [`MAX_FIELDS`] fields
    /// - 417: `Expect` other than `100-continue`
    /// - 501: a method that is not known; a transfer coding before `chunked`
    /// - 505: a version other than 1.x
    ///
    /// One empty line before the head is passed over (RFC 9112, section 2.2).
    pub fn parse(head: &'b [u8], storage: &'h mut Storage<'b>) -> Result<Self, Status> {
        check_line_ends(head)?;
        let parts = parse_parts(head, storage)?;
        let method = Method::from_token(parts.method).ok_or(Status::NotImplemented)?;
        let target = Target::parse(parts.target, method)?;
        let framing = Framing::read(parts.fields)?;
        let body = framing.body(parts.is_http_10)?;
        Ok(Self {
            method,
            path: target.path,
            query: target.query,
            host: framing.host(target.authority, parts.is_http_10)?,
            body,
            is_http_10: parts.is_http_10,
            expects_continue: framing.expects_continue(parts.is_http_10, body)?,
            wants_close: framing.wants_close(parts.is_http_10),
            upgrade: framing.upgrade(),
            fields: parts.fields,
        })
    }

    /// The value of the first field with this name, in any case, without the white space around it.
    pub fn field(&self, name: &str) -> Option<&'b [u8]> {
        self.fields(name).next()
    }

    /// The values of all fields with this name, in the order they came.
    pub fn fields(&self, name: &str) -> impl Iterator<Item = &'b [u8]> + Clone {
        self.fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
    }
}

impl Storage<'_> {
    /// Empty room.
    #[inline]
    pub fn new() -> Self {
        Self { fields: [const { MaybeUninit::uninit() }; MAX_FIELDS], later: None }
    }
}

impl Default for Storage<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl Method {
    /// Methods are told apart by case.
    fn from_token(token: &str) -> Option<Self> {
        Some(match token {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "DELETE" => Self::Delete,
            "OPTIONS" => Self::Options,
            "PATCH" => Self::Patch,
            "CONNECT" => Self::Connect,
            "TRACE" => Self::Trace,
            _ => return None,
        })
    }
}

/// What the grammar alone finds in a head.
struct Parts<'h, 'b> {
    method: &'b str,
    target: &'b str,
    is_http_10: bool,
    fields: &'h [Header<'b>],
}

/// The parser takes bare LFs for line ends, and any number of empty lines before the head; where another reader does
/// not, one request becomes two.
fn check_line_ends(head: &[u8]) -> Result<(), Status> {
    let pairs = head.iter().zip(head.get(1..).unwrap_or_default());
    let bare = pairs.fold(false, |bare, (&before, &byte)| bare | ((byte == b'\n') & (before != b'\r')));
    if bare || head.starts_with(b"\n") || head.starts_with(b"\r\n\r\n") { Err(Status::BadRequest) } else { Ok(()) }
}

fn parse_parts<'h, 'b>(head: &'b [u8], storage: &'h mut Storage<'b>) -> Result<Parts<'h, 'b>, Status> {
    let mut request = httparse::Request::new(&mut []);
    let parsed = request.parse_with_uninit_headers(head, &mut storage.fields);
    let (method, target) = (request.method.unwrap_or_default(), request.path.unwrap_or_default());
    match parsed {
        Ok(httparse::Status::Complete(len)) if len == head.len() => {
            Ok(Parts { method, target, is_http_10: request.version == Some(0), fields: request.headers })
        }
        Ok(httparse::Status::Complete(_) | httparse::Status::Partial) => Err(Status::BadRequest),
        Err(httparse::Error::Version) => {
            let fields = parse_later(head, &mut storage.later)?;
            Ok(Parts { method, target, is_http_10: false, fields })
        }
        Err(error) => Err(refusal(error)),
    }
}

/// The fields of a request whose version the parser does not know. HTTP/1.2 to 1.9, which nobody has defined, would
/// have to be readable as 1.1 (RFC 9110, section 2.5).
#[cold]
fn parse_later<'h, 'b>(
    head: &'b [u8],
    later: &'h mut Option<[Header<'b>; MAX_FIELDS]>,
) -> Result<&'h [Header<'b>], Status> {
    let start = if head.starts_with(b"\r\n") { 2 } else { 0 };
    let line_end = head.iter().skip(start).position(|&byte| byte == b'\n').map_or(head.len(), |at| start + at + 1);
    let (line, rest) = head.split_at(line_end);
    match line.splitn(3, |&byte| byte == b' ').nth(2) {
        Some([b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'2'..=b'9', b'\r', b'\n']) => {}
        Some([b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9', b'\r', b'\n']) => {
            return Err(Status::VersionNotSupported);
        }
        _ => return Err(Status::BadRequest),
    }
    match httparse::parse_headers(rest, later.insert([EMPTY_HEADER; MAX_FIELDS])) {
        Ok(httparse::Status::Complete((len, fields))) if len == rest.len() => Ok(fields),
        Ok(httparse::Status::Complete(_) | httparse::Status::Partial) => Err(Status::BadRequest),
        Err(error) => Err(refusal(error)),
    }
}

fn refusal(error: httparse::Error) -> Status {
    match error {
        httparse::Error::TooManyHeaders => Status::FieldsTooLarge,
        httparse::Error::HeaderName
        | httparse::Error::HeaderValue
        | httparse::Error::NewLine
        | httparse::Error::Status
        | httparse::Error::Token
        | httparse::Error::Version => Status::BadRequest,
    }
}
