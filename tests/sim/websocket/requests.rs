//! Requests as visitors write them: for pages, and for WebSocket, rightly and wrongly.

use crate::rng::Rng;

pub const HOST: &str = "gate.example";
/// An origin that some runs allow beside the host's own.
pub const FRIEND: &str = "https://app.example";

/// Keys, and what answers each (RFC 6455, section 4.2.2).
const KEYS: [(&str, &str); 3] = [
    ("dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
    ("AAAAAAAAAAAAAAAAAAAAAA==", "ICX+Yqv66kxgM0FcWaLWlFLwTAI="),
    ("yMnKy8zNzs/Q0dLT1NXW1w==", "8rwIqNeeAghZ7do+LjI3JtXjL/E="),
];

pub fn accept_of(key: &str) -> Option<&'static str> {
    KEYS.iter().find(|(each, _)| *each == key).map(|(_, accept)| *accept)
}

/// What is offered about compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    None,
    Plain,
    Browser,
    /// The server begins each message anew.
    ServerAfresh,
    /// The client does, and the server's window is small.
    SmallWindow,
    /// A first offer that nobody can honour, and one that anybody can.
    Second,
    Unknown,
}

const OFFERS: [(Offer, &str); 6] = [
    (Offer::Plain, "permessage-deflate"),
    (Offer::Browser, "permessage-deflate; client_max_window_bits"),
    (Offer::ServerAfresh, "permessage-deflate; server_no_context_takeover"),
    (Offer::SmallWindow, "permessage-deflate; client_no_context_takeover; server_max_window_bits=10"),
    (Offer::Second, "permessage-deflate; server_max_window_bits=7, permessage-deflate"),
    (Offer::Unknown, "x-unknown; a=b"),
];

/// How both sides compress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agreed {
    pub server_afresh: bool,
    pub client_afresh: bool,
    pub server_bits: Option<u8>,
}

impl Offer {
    pub fn read(field: Option<&str>) -> Self {
        let known = OFFERS.iter().find(|(_, text)| Some(*text) == field);
        known.map_or(if field.is_none() { Self::None } else { Self::Unknown }, |(offer, _)| *offer)
    }

    /// What comes of it where messages may be compressed, and may go on from each other.
    pub fn agreed(self, takeover: bool) -> Option<Agreed> {
        let agreed = |server_afresh, client_afresh, server_bits| {
            Some(Agreed {
                server_afresh: server_afresh || !takeover,
                client_afresh: client_afresh || !takeover,
                server_bits,
            })
        };
        match self {
            Offer::None | Offer::Unknown => None,
            Offer::Plain | Offer::Browser | Offer::Second => agreed(false, false, None),
            Offer::ServerAfresh => agreed(true, false, None),
            Offer::SmallWindow => agreed(false, true, Some(10)),
        }
    }
}

/// How a request for WebSocket is wrong, if it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bid {
    Good,
    BadKey,
    NoKey,
    TwoKeys,
    OldVersion,
    ForeignOrigin,
    NoHost,
    NotGet,
    OldHttp,
    WithBody,
    Endless,
    Broken,
    /// The application says no.
    Forbidden,
}

pub const WRONG: [Bid; 12] = [
    Bid::BadKey,
    Bid::NoKey,
    Bid::TwoKeys,
    Bid::OldVersion,
    Bid::ForeignOrigin,
    Bid::NoHost,
    Bid::NotGet,
    Bid::OldHttp,
    Bid::WithBody,
    Bid::Endless,
    Bid::Broken,
    Bid::Forbidden,
];

/// A request for WebSocket.
pub fn upgrade(bid: Bid, offer: Offer, rng: &mut Rng) -> Vec<u8> {
    let key = rng.pick(&KEYS).0;
    let mut lines = vec![
        match bid {
            Bid::NotGet => "POST /ws HTTP/1.1".to_owned(),
            Bid::OldHttp => "GET /ws HTTP/1.0".to_owned(),
            Bid::Forbidden => "GET /forbidden HTTP/1.1".to_owned(),
            _ => "GET /ws?from=the+simulator HTTP/1.1".to_owned(),
        },
        format!("Host: {HOST}"),
        rng.pick(&["Upgrade: websocket", "upgrade: WebSocket"]).to_owned(),
        rng.pick(&["Connection: Upgrade", "connection: keep-alive, Upgrade"]).to_owned(),
        format!("Sec-WebSocket-Version: {}", if bid == Bid::OldVersion { 8 } else { 13 }),
        format!("Sec-WebSocket-Key: {}", if bid == Bid::BadKey { "c2hvcnQ=" } else { key }),
    ];
    match bid {
        Bid::NoKey => drop(lines.pop()),
        Bid::TwoKeys => lines.push(format!("Sec-WebSocket-Key: {key}")),
        Bid::NoHost => drop(lines.remove(1)),
        Bid::WithBody => lines.push("Content-Length: 3".to_owned()),
        Bid::Endless => lines.push(format!("X-Long: {}", "x".repeat(17 << 10))),
        Bid::Broken => lines.push("X-Broken: a\nb".to_owned()),
        _ => {}
    }
    match bid {
        Bid::ForeignOrigin => lines.push(format!("Origin: {}", rng.pick(&["https://evil.example", FRIEND]))),
        _ if rng.chance(30) => lines.push(format!("Origin: http://{HOST}")),
        _ => {}
    }
    if let Some((_, text)) = OFFERS.iter().find(|(each, _)| *each == offer) {
        lines.push(format!("Sec-WebSocket-Extensions: {text}"));
    }
    if rng.chance(20) {
        lines.push("Sec-WebSocket-Protocol: other, chat".to_owned());
    }
    (lines.join("\r\n") + "\r\n\r\n").into_bytes()
}

/// A request for a page; whether it is HEAD, whose answer has no body.
pub fn page(may_panic: bool, most_body: usize, rng: &mut Rng) -> (Vec<u8>, bool) {
    let paths =
        ["/health", "/health", "/health", "/nowhere", "/big", "/", if may_panic { "/panic" } else { "/health" }];
    let path = rng.pick(&paths);
    let method = rng.weighted(&[(5, "GET"), (2, "HEAD"), (1, "DELETE"), (2, "POST")]);
    let mut lines = vec![format!("{method} {path} HTTP/1.1"), format!("Host: {HOST}")];
    let mut body = Vec::new();
    if method == "POST" {
        let length = rng.magnitude(0, most_body as u64 + 20) as usize;
        body = vec![b'b'; length];
        if rng.chance(40) {
            lines.push("Transfer-Encoding: chunked".to_owned());
            body = chunks(&body, rng);
        } else {
            lines.push(format!("Content-Length: {length}"));
        }
    }
    if rng.chance(7) {
        lines.push("Connection: close".to_owned());
    }
    let head = lines.join("\r\n") + "\r\n\r\n";
    ([head.into_bytes(), body].concat(), method == "HEAD")
}

fn chunks(body: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = body;
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(rng.size(1, rest.len()));
        out.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
        rest = after;
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}
