//! What a request's head says (RFC 9112): only as much of it as visitors of the simulator ever write, everything else is
//! refused as it must be.

use crate::websocket::requests::{Offer, accept_of};

/// A head as the gateway must understand it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// Refused on sight of the head.
    Refused(u16),
    /// From a page that is not allowed.
    ForeignOrigin,
    Request(Request, Body),
    Upgrade(Upgrade),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub path: String,
    pub is_head: bool,
    pub wants_close: bool,
    pub may_get: bool,
    pub body: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upgrade {
    pub path: String,
    pub key: String,
    pub accept: &'static str,
    pub offer: Offer,
    pub protocol: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    None,
    Length(u64),
    Chunked,
}

/// Longest head.
const MAX_HEAD: usize = 16 << 10;
const METHODS: [&str; 9] = ["GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE"];

/// The length of the head at the front, or how it is refused; `None` while its end has not come.
pub fn end(bytes: &[u8]) -> Option<Result<usize, u16>> {
    let at = |at: Option<usize>| at.and_then(|at| bytes.get(at)).copied().unwrap_or(0);
    let found = (0..bytes.len()).find(|&here| {
        let alone = (at(here.checked_sub(1)) == b'\r') != (bytes[here] == b'\n');
        alone || bytes[..=here].ends_with(b"\r\n\r\n")
    });
    match found {
        Some(last) if last < MAX_HEAD => Some(Ok(last + 1)),
        None if bytes.len() <= MAX_HEAD => None,
        Some(_) | None => Some(Err(431)),
    }
}

/// What a whole head asks for. `origins` are allowed beside the host's own.
pub fn read(head: &[u8], origins: &[String]) -> Asked {
    let Some(fields) = Fields::read(head) else {
        return Asked::Refused(400);
    };
    match fields.judge(origins) {
        Ok(asked) => asked,
        Err(status) => Asked::Refused(status),
    }
}

/// The parts of a head.
struct Fields<'a> {
    method: &'a str,
    target: &'a str,
    version: &'a str,
    fields: Vec<(String, &'a str)>,
}

impl<'a> Fields<'a> {
    fn read(head: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(head).ok()?;
        let text = text.strip_prefix("\r\n").unwrap_or(text).strip_suffix("\r\n\r\n")?;
        let mut lines = text.split("\r\n");
        let words: Vec<&str> = lines.next()?.split(' ').collect();
        let [method, target, version] = words.try_into().ok()?;
        let fields =
            lines.map(|line| line.split_once(':').map(|(name, value)| (name.to_ascii_lowercase(), value.trim())));
        let fields: Vec<(String, &str)> = fields.collect::<Option<_>>()?;
        let plain = |text: &str| text.bytes().all(|byte| (b' '..0x7F).contains(&byte) || byte >= 0x80);
        let sound = fields.iter().all(|(name, value)| !name.is_empty() && !name.contains(' ') && plain(value));
        (sound && method.bytes().all(|byte| byte.is_ascii_uppercase()) && target.starts_with('/')).then_some(Self {
            method,
            target,
            version,
            fields,
        })
    }

    fn field(&self, name: &str) -> Option<&'a str> {
        self.fields.iter().find(|(other, _)| other == name).map(|(_, value)| *value)
    }

    fn names(&self, field: &str, word: &str) -> bool {
        self.field(field).is_some_and(|list| list.split(',').any(|each| each.trim().eq_ignore_ascii_case(word)))
    }

    fn path(&self) -> String {
        self.target.split('?').next().unwrap_or_default().to_owned()
    }

    fn judge(&self, origins: &[String]) -> Result<Asked, u16> {
        let is_old = match self.version {
            "HTTP/1.1" => false,
            "HTTP/1.0" => true,
            _ => return Err(505),
        };
        if !METHODS.contains(&self.method) {
            return Err(501);
        }
        let doubled = self.fields.iter().filter(|(name, _)| name == "host").count() > 1;
        if doubled || (self.field("host").is_none() && !is_old) {
            return Err(400);
        }
        let body = match (self.names("transfer-encoding", "chunked"), self.field("content-length")) {
            (true, _) => Body::Chunked,
            (false, Some(digits)) => Body::Length(digits.parse().map_err(|_| 400u16)?),
            (false, None) => Body::None,
        };
        if self.names("connection", "upgrade") && self.names("upgrade", "websocket") {
            return self.upgrade(is_old, body, origins);
        }
        let request = Request {
            path: self.path(),
            is_head: self.method == "HEAD",
            wants_close: self.names("connection", "close") || is_old && !self.names("connection", "keep-alive"),
            may_get: matches!(self.method, "GET" | "HEAD"),
            body: Vec::new(),
        };
        Ok(Asked::Request(request, body))
    }

    /// RFC 6455, section 4.2.1.
    fn upgrade(&self, is_old: bool, body: Body, origins: &[String]) -> Result<Asked, u16> {
        if self.method != "GET" {
            return Err(405);
        }
        if is_old || body != Body::None {
            return Err(400);
        }
        if self.field("sec-websocket-version") != Some("13") {
            return Err(426);
        }
        let keys: Vec<&(String, &str)> = self.fields.iter().filter(|(name, _)| name == "sec-websocket-key").collect();
        let [(_, key)] = keys.as_slice() else {
            return Err(400);
        };
        let accept = accept_of(key).ok_or(400u16)?;
        let own = self.field("host").map(|host| format!("http://{host}"));
        let allowed =
            |origin: &str| Some(origin) == own.as_deref() || origins.iter().any(|each| each == "*" || each == origin);
        if !self.field("origin").is_none_or(allowed) {
            return Ok(Asked::ForeignOrigin);
        }
        Ok(Asked::Upgrade(Upgrade {
            path: self.path(),
            key: (*key).to_owned(),
            accept,
            offer: Offer::read(self.field("sec-websocket-extensions")),
            protocol: self.names("sec-websocket-protocol", "chat").then_some("chat"),
        }))
    }
}
