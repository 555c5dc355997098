//! Request heads: their end found under any cut, and what is accepted held against a plain reading of its lines.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate::wire::http::{BodyLength, Head, MAX_FIELDS, MAX_TARGET, Method, Status, Storage, find_end};
use tidegate::wire::http::{is_token, is_value, split_host_port};
use tidegate::wire::websocket::handshake;
use tidegate_fuzz::cuts::{SINGLE, pieces};

fuzz_target!(|input: (u16, &[u8])| {
    let (seed, bytes) = input;
    let end = plain_end(bytes);
    assert_eq!(find_end(bytes, 0), end);
    for seed in [SINGLE, seed] {
        assert_eq!(end_in_pieces(bytes, seed), end, "{}", bytes.escape_ascii());
    }
    let _ = Head::parse(bytes, &mut Storage::new());
    let Some(end) = end else { return };
    let (head, mut storage) = (&bytes[..end], Storage::new());
    match Head::parse(head, &mut storage) {
        Ok(parsed) => check_accepted(head, &parsed),
        Err(status) => check_refused(head, status),
    }
});

/// Up to the empty line, or to what no head may have.
fn plain_end(bytes: &[u8]) -> Option<usize> {
    let end = (1..=bytes.len()).find(|&len| {
        let (before, last) = (bytes[..len - 1].last() == Some(&b'\r'), bytes[len - 1] == b'\n');
        before != last || bytes[..len].ends_with(b"\r\n\r\n")
    })?;
    Some(end)
}

fn end_in_pieces(bytes: &[u8], seed: u16) -> Option<usize> {
    let mut scanned = 0;
    pieces(bytes, seed).find_map(|piece| {
        let received = scanned + piece.len();
        let end = find_end(&bytes[..received], scanned);
        scanned = received;
        end
    })
}

/// Names and values of the fields of a head, and its first line.
struct Lines<'b> {
    first: Vec<&'b str>,
    fields: Vec<(String, &'b [u8])>,
}

/// Cuts a head at its line ends and colons, and at nothing else; `None` where that can't be done.
fn lines(head: &[u8]) -> Option<Lines<'_>> {
    let head = head.strip_prefix(b"\r\n").unwrap_or(head).strip_suffix(b"\r\n\r\n")?;
    let mut lines = Vec::new();
    let mut start = 0;
    for at in (0..head.len()).filter(|&at| head[at..].starts_with(b"\r\n")) {
        lines.push(&head[start..at]);
        start = at + 2;
    }
    lines.push(&head[start..]);
    if lines.iter().any(|line| line.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0))) {
        return None;
    }
    let (first, fields) = lines.split_first()?;
    let fields = fields.iter().map(|line| {
        let colon = line.iter().position(|&byte| byte == b':')?;
        Some((std::str::from_utf8(&line[..colon]).ok()?.to_ascii_lowercase(), trimmed(&line[colon + 1..])))
    });
    let first = std::str::from_utf8(first).ok()?.split(' ').collect();
    Some(Lines { first, fields: fields.collect::<Option<_>>()? })
}

fn trimmed(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

impl Lines<'_> {
    fn values(&self, name: &str) -> Vec<&[u8]> {
        self.fields.iter().filter(|field| field.0 == name).map(|field| field.1).collect()
    }

    /// The elements of all lists of that name, in small letters.
    fn list(&self, name: &str) -> Vec<Vec<u8>> {
        let values = self.values(name);
        let elements = values.iter().flat_map(|value| value.split(|&byte| byte == b','));
        elements.map(|element| trimmed(element).to_ascii_lowercase()).collect()
    }

    fn has(&self, name: &str, element: &str) -> bool {
        self.list(name).contains(&element.as_bytes().to_vec())
    }
}

fn check_accepted(head: &[u8], parsed: &Head<'_, '_>) {
    let lines = lines(head).unwrap_or_else(|| panic!("accepted: {}", head.escape_ascii()));
    let [method, target, version] = lines.first[..] else { panic!("accepted: {:?}", lines.first) };
    assert_eq!(format!("{:?}", parsed.method).to_uppercase(), method);
    assert!(version.len() == 8 && version.starts_with("HTTP/1.") && version.as_bytes()[7].is_ascii_digit());
    assert_eq!(parsed.is_http_10, version == "HTTP/1.0");
    check_target(target, parsed);
    check_httparse(head, version, lines.fields.len());
    check_fields(&lines, parsed);
    check_host(&lines, target, parsed);
    check_body(&lines, parsed);
    let has_close = lines.has("connection", "close");
    let keeps = !parsed.is_http_10 || lines.has("connection", "keep-alive");
    assert_eq!(parsed.wants_close, has_close || !keeps);
    assert_eq!(parsed.upgrade, lines.has("connection", "upgrade") && lines.has("upgrade", "websocket"));
    check_upgrade(&lines, parsed);
}

fn check_target(target: &str, parsed: &Head<'_, '_>) {
    assert!(target.len() <= MAX_TARGET && target.bytes().all(|byte| byte.is_ascii_graphic()), "{target:?}");
    let whole = parsed.query.map_or(parsed.path.to_owned(), |query| format!("{}?{query}", parsed.path));
    if parsed.path == "*" {
        assert!(target == "*" && parsed.method == Method::Options);
    } else {
        assert!(parsed.path.starts_with('/') && !parsed.path.contains('?'));
        let scheme_ends = target.find("://").filter(|_| !target.starts_with('/'));
        assert!(whole == target || scheme_ends.is_some(), "{target:?} became {whole:?}");
        assert!(target.ends_with(whole.trim_start_matches('/')), "{target:?} became {whole:?}");
    }
}

/// The parser of others, told of a version that it knows, takes it as well and to its end.
fn check_httparse(head: &[u8], version: &str, count: usize) {
    let mut head = head.to_vec();
    let line_end = head.iter().skip(2).position(|&byte| byte == b'\r').map_or(0, |at| at + 2);
    if version != "HTTP/1.0" {
        head[line_end - 1] = b'1';
    }
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    assert_eq!(request.parse(&head), Ok(httparse::Status::Complete(head.len())), "{}", head.escape_ascii());
    assert_eq!(request.headers.len(), count);
}

fn check_fields(lines: &Lines<'_>, parsed: &Head<'_, '_>) {
    assert!(lines.fields.len() <= MAX_FIELDS);
    for (name, value) in &lines.fields {
        assert!(is_token(name.as_bytes()) && is_value(value), "{name:?}: {}", value.escape_ascii());
        let values = lines.values(name);
        assert_eq!(parsed.field(&name.to_ascii_uppercase()), values.first().copied());
        assert_eq!(parsed.fields(name).collect::<Vec<_>>(), values);
    }
    assert_eq!(parsed.field(""), None);
}

/// One `Host`, or none with HTTP/1.0; an absolute target's goes before it.
fn check_host(lines: &Lines<'_>, target: &str, parsed: &Head<'_, '_>) {
    let hosts = lines.values("host");
    assert!(hosts.len() == 1 || (hosts.is_empty() && parsed.is_http_10), "{hosts:?}");
    let told = hosts.first().copied().unwrap_or_default();
    assert!(hosts.is_empty() || split_host_port(std::str::from_utf8(told).unwrap_or_default()).is_some());
    let authority = target.split_once("://").filter(|_| !target.starts_with('/')).map(|(_, rest)| rest);
    let authority = authority.map(|rest| rest.split(['/', '?']).next().unwrap_or_default());
    assert_eq!(parsed.host.as_bytes(), authority.map_or(told, str::as_bytes));
    assert!(!parsed.host.contains(['@', '/', ' ', ',', '%']));
}

/// One framing, told once (RFC 9112, section 6.3).
fn check_body(lines: &Lines<'_>, parsed: &Head<'_, '_>) {
    let (lengths, codings) = (lines.values("content-length"), lines.list("transfer-encoding"));
    let expected = match (&lengths[..], &codings[..]) {
        ([], []) => BodyLength::None,
        ([digits], []) => {
            assert!(digits.iter().all(u8::is_ascii_digit));
            let digits = std::str::from_utf8(digits).unwrap_or_default();
            BodyLength::Length(digits.parse().expect("an accepted length is a number"))
        }
        ([], [coding]) if coding == b"chunked" && !parsed.is_http_10 => BodyLength::Chunked,
        _ => panic!("accepted: {lengths:?}, {codings:?}"),
    };
    assert_eq!(parsed.body, expected);
    let expectations = lines.values("expect");
    assert!(parsed.is_http_10 || expectations.iter().all(|value| value.eq_ignore_ascii_case(b"100-continue")));
    let expects = !parsed.is_http_10 && !expectations.is_empty() && expected != BodyLength::None;
    assert_eq!(parsed.expects_continue, expects);
}

/// What opens a WebSocket is what RFC 6455, section 4.2.1, asks for.
fn check_upgrade(lines: &Lines<'_>, parsed: &Head<'_, '_>) {
    let Ok(upgrade) = handshake::check(parsed) else { return };
    assert!(parsed.method == Method::Get && !parsed.is_http_10 && parsed.upgrade && parsed.body == BodyLength::None);
    assert_eq!(lines.values("sec-websocket-version"), [b"13"]);
    assert_eq!(lines.values("sec-websocket-key"), [upgrade.key()]);
    let origins = lines.values("origin");
    assert!(origins.len() <= 1 && upgrade.origin() == origins.first().copied());
    let offered = lines.list("sec-websocket-protocol");
    assert!(upgrade.protocols().all(|name| offered.contains(&name.to_ascii_lowercase().into_bytes())));
    if let Some(origin) = origins.first().filter(|_| handshake::origin_allowed(upgrade.origin(), parsed.host, &[])) {
        let origin = origin.to_ascii_lowercase();
        let host = origin.strip_prefix(b"http://").or(origin.strip_prefix(b"https://")).expect("a web page");
        let name = |text: &str| split_host_port(text).map(|(name, _)| name.to_ascii_lowercase());
        assert_eq!(name(std::str::from_utf8(host).unwrap_or_default()), name(parsed.host));
    }
}

/// A refusal is one of those that are promised, and no plain request is refused.
fn check_refused(head: &[u8], status: Status) {
    assert!(matches!(status.code(), 400 | 414 | 417 | 431 | 501 | 505), "{status}");
    assert!(!is_plain(head), "{status}: {}", head.escape_ascii());
}

/// A GET as anybody would write it, with no field that bears on framing.
fn is_plain(head: &[u8]) -> bool {
    let Some(lines) = lines(head) else { return false };
    let ["GET", target, "HTTP/1.1"] = lines.first[..] else { return false };
    let is_target_plain = target.starts_with('/') && target.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'/');
    let framing = ["content-length", "transfer-encoding", "expect"];
    is_target_plain
        && target.len() <= MAX_TARGET
        && lines.fields.len() <= MAX_FIELDS
        && lines.values("host") == [b"example.com"]
        && lines.fields.iter().all(|(name, value)| is_token(name.as_bytes()) && is_value(value))
        && framing.iter().all(|name| lines.values(name).is_empty())
}
