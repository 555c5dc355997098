//! Heads and what must come of them: accepted with these parts, or refused with this status.

use super::*;
use proptest::prelude::*;

/// What a test wants to know of a head that was accepted.
#[derive(Debug, PartialEq)]
struct Seen {
    method: Method,
    path: String,
    query: Option<String>,
    host: String,
    body: BodyLength,
    flags: Vec<&'static str>,
}

/// Finds the head's end in bytes that come as `sizes` say, and judges what it found.
fn judge_in_chunks(bytes: &[u8], size: usize) -> Option<Result<Seen, Status>> {
    let mut scanned = 0;
    while scanned < bytes.len() {
        let received = (scanned + size).min(bytes.len());
        if let Some(len) = find_end(&bytes[..received], scanned) {
            return Some(judge(&bytes[..len]));
        }
        scanned = received;
    }
    None
}

fn judge(bytes: &[u8]) -> Result<Seen, Status> {
    let mut storage = Storage::new();
    let head = Head::parse(bytes, &mut storage)?;
    let flags = [
        (head.is_http_10, "http/1.0"),
        (head.expects_continue, "continue"),
        (head.wants_close, "close"),
        (head.upgrade, "upgrade"),
    ];
    Ok(Seen {
        method: head.method,
        path: head.path.to_owned(),
        query: head.query.map(str::to_owned),
        host: head.host.to_owned(),
        body: head.body,
        flags: flags.into_iter().filter_map(|(on, name)| on.then_some(name)).collect(),
    })
}

/// Lines of a head, with their line ends, whole and byte by byte.
fn outcome(text: &str) -> Result<Seen, Status> {
    let whole = judge_in_chunks(text.as_bytes(), text.len()).expect("a head that ends");
    for size in [1, 2, 3, 7] {
        assert_eq!(judge_in_chunks(text.as_bytes(), size).as_ref(), Some(&whole), "in chunks of {size}: {text:?}");
    }
    whole
}

#[track_caller]
fn refused(text: &str, status: Status) {
    assert_eq!(outcome(text), Err(status), "{text:?}");
}

/// A sound request with these lines after its `Host`.
fn with(lines: &str) -> String {
    format!("POST /p HTTP/1.1\r\nHost: h\r\n{lines}\r\n")
}

#[track_caller]
fn body_of(lines: &str, expected: BodyLength) {
    assert_eq!(outcome(&with(lines)).map(|seen| seen.body), Ok(expected), "{lines:?}");
}

#[track_caller]
fn flags_of(text: &str, expected: &[&str]) {
    assert_eq!(outcome(text).map(|seen| seen.flags), Ok(expected.to_vec()), "{text:?}");
}

#[track_caller]
fn target(request_line: &str, path: &str, query: Option<&str>, host: &str) {
    let seen = outcome(&format!("{request_line} HTTP/1.1\r\nHost: h\r\n\r\n")).expect(request_line);
    assert_eq!((&*seen.path, seen.query.as_deref(), &*seen.host), (path, query, host), "{request_line}");
}

#[test]
fn a_browsers_upgrade_is_understood() {
    let text = "GET /connection/websocket?a=1&b=%20 HTTP/1.1\r\nHost: localhost:8000\r\nConnection: keep-alive, Upgrade\r\n\
         Pragma: no-cache\r\nUpgrade: websocket\r\nOrigin: http://localhost:8000\r\nSec-WebSocket-Version: 13\r\n\r\n";
    let expected = Seen {
        method: Method::Get,
        path: "/connection/websocket".to_owned(),
        query: Some("a=1&b=%20".to_owned()),
        host: "localhost:8000".to_owned(),
        body: BodyLength::None,
        flags: vec!["upgrade"],
    };
    assert_eq!(outcome(text), Ok(expected));
}

#[test]
fn methods_are_told_apart_by_case_and_unknown_ones_are_501() {
    for (name, method) in [
        ("GET", Method::Get),
        ("HEAD", Method::Head),
        ("POST", Method::Post),
        ("PUT", Method::Put),
        ("DELETE", Method::Delete),
        ("OPTIONS", Method::Options),
        ("PATCH", Method::Patch),
        ("CONNECT", Method::Connect),
        ("TRACE", Method::Trace),
    ] {
        assert_eq!(outcome(&format!("{name} / HTTP/1.1\r\nHost: h\r\n\r\n")).map(|seen| seen.method), Ok(method));
    }
    for name in ["get", "Get", "BREW", "PROPFIND", "G", "GETS"] {
        refused(&format!("{name} / HTTP/1.1\r\nHost: h\r\n\r\n"), Status::NotImplemented);
    }
    for name in ["", "G(T", "\"GET\"", "GET\t", "G\u{e4}T"] {
        refused(&format!("{name} / HTTP/1.1\r\nHost: h\r\n\r\n"), Status::BadRequest);
    }
}

#[test]
fn targets_come_in_three_forms() {
    target("GET /", "/", None, "h");
    target("GET /a/b?", "/a/b", Some(""), "h");
    target("GET /a?b?c", "/a", Some("b?c"), "h");
    target("GET //x//../y", "//x//../y", None, "h");
    target("GET /[]{}|^`~!$&'()*+,;=:@%7f", "/[]{}|^`~!$&'()*+,;=:@%7f", None, "h");
    target("OPTIONS *", "*", None, "h");
    target("GET http://other:81/a?b", "/a", Some("b"), "other:81");
    target("GET HTTPS://other", "/", None, "other");
    target("GET http://other?q=/", "/", Some("q=/"), "other");
    target("GET http://[::1]:80/", "/", None, "[::1]:80");
}

#[test]
fn other_targets_are_400() {
    for request_line in [
        "GET *",
        "GET a",
        "GET h:80",
        "CONNECT h:80",
        "CONNECT h",
        "OPTIONS *a",
        "GET ?a",
        "GET ftp://h/",
        "GET ws://h/",
        "GET http:///a",
        "GET http://u@h/",
        "GET http://u:p@h/",
        "GET http:/h",
        "GET http://h:x/",
        "GET http://",
        "GET http",
        "GET /#a",
        "GET /\"",
        "GET /<",
        "GET /\\",
        "GET /\u{e4}",
        "GET /\u{7f}",
        "GET /\0",
        "GET /a\tb",
        "GET /a b",
        "GET  /",
        "GET / ",
        "GET",
        "GET ",
        " GET /",
        "GET /\r",
    ] {
        for version in ["1.0", "1.1", "1.2", "2.0"] {
            let status = outcome(&format!("{request_line} HTTP/{version}\r\nHost: h\r\n\r\n")).map(|_| ());
            let other = version == "2.0" && status == Err(Status::VersionNotSupported);
            assert!(other || status == Err(Status::BadRequest), "{status:?}: {request_line:?} {version}");
        }
    }
}

#[test]
fn a_target_over_8_kib_is_414() {
    let request = |len: usize| format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(len - 1));
    assert_eq!(outcome(&request(MAX_TARGET)).unwrap().path.len(), MAX_TARGET);
    refused(&request(MAX_TARGET + 1), Status::UriTooLong);
}

#[test]
fn versions_within_1_are_taken_and_others_are_505() {
    flags_of("GET / HTTP/1.0\r\nHost: h\r\n\r\n", &["http/1.0", "close"]);
    for version in ["1.1", "1.2", "1.9"] {
        flags_of(&format!("GET /a HTTP/{version}\r\nHost: h\r\n\r\n"), &[]);
        flags_of(&format!("\r\nGET /a HTTP/{version}\r\nHost: h\r\nConnection: close\r\n\r\n"), &["close"]);
        refused(&format!("GET /a HTTP/{version}\r\n\r\n"), Status::BadRequest);
        refused(&format!("GET /a HTTP/{version}\r\nHost: h\r\n a: b\r\n\r\n"), Status::BadRequest);
        refused(&format!("GET /a HTTP/{version}\r\nHost: h\r\n{}\r\n", "a: b\r\n".repeat(100)), Status::FieldsTooLarge);
    }
    for version in ["0.9", "2.0", "3.0", "9.9"] {
        refused(&format!("GET / HTTP/{version}\r\nHost: h\r\n\r\n"), Status::VersionNotSupported);
    }
    refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Status::VersionNotSupported);
    for version in
        ["HTTP/1", "HTTP/1.", "HTTP/1.10", "HTTP/11.1", "HTTP/a.b", "http/1.1", "HTTP 1.1", "HTTP/1.1 ", "", "X"]
    {
        refused(&format!("GET / {version}\r\nHost: h\r\n\r\n"), Status::BadRequest);
    }
    refused("GET /\r\n\r\n", Status::BadRequest);
}

#[test]
fn a_host_is_wanted_exactly_once() {
    for lines in [
        "",
        "Host: \r\n",
        "Host: h\r\nHost: h\r\n",
        "Host: h\r\nhost: other\r\n",
        "Host: a b\r\n",
        "Host: a,b\r\n",
        "Host: h\r\nHost: \r\n",
        "Host: user@h\r\n",
        "Host: h/x\r\n",
        "Host: h:99999\r\n",
        "Host: \u{e4}\r\n",
    ] {
        refused(&format!("GET / HTTP/1.1\r\n{lines}\r\n"), Status::BadRequest);
        refused(&format!("GET http://h/ HTTP/1.1\r\n{lines}\r\n"), Status::BadRequest);
        if !lines.is_empty() {
            refused(&format!("GET / HTTP/1.0\r\n{lines}\r\n"), Status::BadRequest);
        }
    }
    assert_eq!(outcome("GET / HTTP/1.0\r\n\r\n").unwrap().host, "");
    assert_eq!(outcome("GET http://other/ HTTP/1.0\r\n\r\n").unwrap().host, "other");
    assert_eq!(outcome("GET / HTTP/1.1\r\nhOsT:\tExample.COM:80 \t\r\n\r\n").unwrap().host, "Example.COM:80");
}

#[test]
fn a_body_is_framed_in_one_way_or_refused() {
    body_of("", BodyLength::None);
    body_of("Content-Length: 0\r\n", BodyLength::Length(0));
    body_of("content-length:007\r\n", BodyLength::Length(7));
    body_of("Content-Length: 18446744073709551615\r\n", BodyLength::Length(u64::MAX));
    body_of("Transfer-Encoding: chunked\r\n", BodyLength::Chunked);
    body_of("transfer-encoding:\tCHUNKED \r\n", BodyLength::Chunked);
    for lines in [
        "Content-Length: \r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -5\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5.0\r\n",
        "Content-Length: 18446744073709551616\r\n",
        "Content-Length: 99999999999999999999999999\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\ncontent-length: 6\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: gzip, chunked\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: \r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: chunked, gzip\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: gzip, chunked, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: chunked,\r\n",
        "Transfer-Encoding: , chunked\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked;q=1\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding: \u{b}chunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding\t: chunked\r\n",
        "Transfer-Encoding:\r\n chunked\r\n",
    ] {
        refused(&with(lines), Status::BadRequest);
    }
    refused(&with("Transfer-Encoding: gzip, chunked\r\n"), Status::NotImplemented);
    refused(&with("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"), Status::NotImplemented);
    refused("POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", Status::BadRequest);
    assert_eq!(outcome("POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\n").unwrap().body, BodyLength::Length(3));
}

#[test]
fn the_connections_fate_is_read_from_all_its_lines() {
    let get = |version: &str, lines: &str| format!("GET / HTTP/{version}\r\nHost: h\r\n{lines}\r\n");
    flags_of(&get("1.1", ""), &[]);
    flags_of(&get("1.1", "Connection: keep-alive\r\n"), &[]);
    flags_of(&get("1.1", "Connection: x , CLOSE\r\n"), &["close"]);
    flags_of(&get("1.1", "Connection: keep-alive\r\nConnection: close\r\n"), &["close"]);
    flags_of(&get("1.1", "Connection: closed\r\n"), &[]);
    flags_of(&get("1.0", "Connection: Keep-Alive\r\n"), &["http/1.0"]);
    flags_of(&get("1.0", "Connection: keep-alive, close\r\n"), &["http/1.0", "close"]);
}

#[test]
fn an_upgrade_is_asked_for_in_two_lists() {
    let get = |lines: &str| format!("GET / HTTP/1.1\r\nHost: h\r\n{lines}\r\n");
    flags_of(&get("Connection: keep-alive\r\nconnection: UPGRADE\r\nupgrade: h2c, WebSocket\r\n"), &["upgrade"]);
    flags_of(&get("Upgrade: h2c\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"), &["upgrade"]);
    for lines in [
        "Upgrade: websocket\r\n",
        "Connection: upgrade\r\n",
        "Connection: upgrade\r\nUpgrade: h2c\r\n",
        "Connection: upgrades\r\nUpgrade: websocket\r\n",
        "Connection: upgrade websocket\r\nUpgrade: websocket\r\n",
        "Connection: upgrade\r\nUpgrade: websockets\r\n",
    ] {
        flags_of(&get(lines), &[]);
    }
}

#[test]
fn only_100_continue_can_be_expected() {
    flags_of(&with("Expect: 100-Continue\r\nContent-Length: 5\r\n"), &["continue"]);
    flags_of(&with("Expect: 100-continue\r\n"), &[]);
    for value in ["", "200-ok", "100-continue, x", "100-continuex"] {
        refused(&with(&format!("Content-Length: 5\r\nExpect: {value}\r\n")), Status::ExpectationFailed);
    }
    refused(&with("Expect: x\r\nExpect: 100-continue\r\n"), Status::ExpectationFailed);
    refused(&with("Expect: 100-continue\r\nExpect: x\r\n"), Status::ExpectationFailed);
    flags_of("POST / HTTP/1.0\r\nExpect: x\r\nContent-Length: 1\r\n\r\n", &["http/1.0", "close"]);
    flags_of("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n", &["http/1.0", "close"]);
}

#[test]
fn broken_lines_are_400() {
    for line in [
        " folded: x\r\n",
        "\tfolded: x\r\n",
        "a: b\r\n c\r\n",
        "a: b\r\n\tc\r\n",
        "a : b\r\n",
        "a\t: b\r\n",
        ": b\r\n",
        "a\r\n",
        "a b: c\r\n",
        "a(: c\r\n",
        "\u{e4}: c\r\n",
        "a\0: c\r\n",
        "a: b\0c\r\n",
        "a: b\u{1}c\r\n",
        "a: b\u{b}c\r\n",
        "a: b\u{1b}c\r\n",
        "a: b\u{7f}c\r\n",
        "a: b\rc\r\n",
        "a: b\r\r\n",
        "a: b\nc: d\r\n",
        "a: b\n",
        "a: \0\r\n",
        "\"a\": b\r\n",
        "a: b\n\r\n",
        "a: b\r\n\n",
    ] {
        refused(&with(line), Status::BadRequest);
        refused(&format!("GET / HTTP/1.1\r\n{line}Host: h\r\n\r\n"), Status::BadRequest);
    }
    refused("GET / HTTP/1.1\nHost: h\n\n", Status::BadRequest);
    refused("GET / HTTP/1.1\r\nHost: h\r\n\n", Status::BadRequest);
    refused("\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", Status::BadRequest);
    refused("\n", Status::BadRequest);
}

#[test]
fn a_control_character_is_found_wherever_it_stands_in_a_value() {
    for byte in (0..0x20).chain([0x7f]).filter(|byte| *byte != b'\t') {
        for at in 0..80 {
            let mut text = with(&format!("a: {}\r\n", "x".repeat(80))).into_bytes();
            let start = text.iter().position(|&byte| byte == b'x').unwrap();
            text[start + at] = byte;
            let seen = judge_in_chunks(&text, text.len());
            assert_eq!(seen, Some(Err(Status::BadRequest)), "{byte:#x} at {at}");
        }
    }
}

#[test]
fn an_unfinished_head_is_not_judged_and_a_broken_one_is_at_once() {
    let text = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    for len in 0..text.len() {
        assert_eq!(judge_in_chunks(&text.as_bytes()[..len], 1), None, "{len}");
        assert_eq!(judge(&text.as_bytes()[..len]), Err(Status::BadRequest), "{len}");
    }
    assert_eq!(judge(format!("{text}x").as_bytes()), Err(Status::BadRequest));
    assert_eq!(judge(format!("{text}{text}").as_bytes()), Err(Status::BadRequest));
    for before in ["\n", "\r", "\r\n\r\n", "\r\n\n", " ", "\0"] {
        assert_eq!(judge(format!("{before}{text}").as_bytes()), Err(Status::BadRequest), "{before:?}");
    }
    assert_eq!(judge_in_chunks(b"GET / HTTP/1.1\n", 1), Some(Err(Status::BadRequest)));
}

#[test]
fn a_hundred_fields_are_taken_and_one_more_is_431() {
    assert!(outcome(&with(&"a: b\r\n".repeat(MAX_FIELDS - 1))).is_ok());
    refused(&with(&"a: b\r\n".repeat(MAX_FIELDS)), Status::FieldsTooLarge);
}

#[test]
fn fields_are_found_by_name_in_any_case_and_in_order() {
    let text = with("X-A: 1\r\nB: \t x y \t\r\nx-a:2\r\nEmpty:\r\nObs: \u{e4}\r\n");
    let mut storage = Storage::new();
    let head = Head::parse(text.as_bytes(), &mut storage).unwrap();
    assert_eq!(head.field("x-A"), Some(&b"1"[..]));
    assert_eq!(head.fields("X-a").collect::<Vec<_>>(), [b"1", b"2"]);
    assert_eq!(head.field("b"), Some(&b"x y"[..]));
    assert_eq!(head.field("empty"), Some(&b""[..]));
    assert_eq!(head.field("obs"), Some("\u{e4}".as_bytes()));
    assert_eq!(head.field("missing"), None);
}

proptest! {
    #[test]
    fn no_bytes_panic_and_splits_agree(bytes in prop::collection::vec(any::<u8>(), 0..300), size in 1usize..40) {
        let _ = judge(&bytes);
        prop_assert_eq!(judge_in_chunks(&bytes, size), judge_in_chunks(&bytes, bytes.len().max(1)));
    }

    #[test]
    fn near_heads_judged_in_any_chunks_agree_with_a_plain_reader(text in near_head(), size in 1usize..40) {
        let whole = judge_in_chunks(text.as_bytes(), text.len().max(1));
        prop_assert_eq!(&judge_in_chunks(text.as_bytes(), size), &whole);
        if matches!(whole, Some(Ok(_))) || judge(text.as_bytes()).is_ok() {
            prop_assert_eq!(plainly_sound(&text), Ok(()), "{:?}", text);
        }
    }
}

/// The grammar once more, line by line and without haste, for what was accepted.
fn plainly_sound(text: &str) -> Result<(), String> {
    let text = text.strip_prefix("\r\n").unwrap_or(text);
    let (head, _) = text.split_once("\r\n\r\n").ok_or("no end")?;
    let mut lines = head.split("\r\n");
    let parts: Vec<&str> = lines.next().ok_or("no line")?.split(' ').collect();
    let [_, target, version] = parts[..] else { return Err(format!("{parts:?}")) };
    if !target.bytes().all(|byte| byte.is_ascii_graphic()) || !version.starts_with("HTTP/1.") || version.len() != 8 {
        return Err(format!("{target} {version}"));
    }
    for line in lines {
        let (name, value) = line.split_once(':').ok_or("no colon")?;
        let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        if name.is_empty() || !name.chars().all(token) || value.chars().any(|c| c.is_ascii_control() && c != '\t') {
            return Err(line.to_owned());
        }
    }
    Ok(())
}

/// Heads that are mostly sound, with something odd here and there.
fn near_head() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        3 => prop::sample::select(vec!["Host", "Connection", "Upgrade", "Content-Length", "Transfer-Encoding", "Expect"])
            .prop_map(str::to_owned),
        1 => "[a-z \t\0(]{0,6}",
    ];
    let value = prop_oneof![
        3 => prop::sample::select(vec!["h", "close", "upgrade", "websocket", "5", "chunked", "100-continue"])
            .prop_map(str::to_owned),
        1 => "[a-z0-9,; \t\r\n\0\u{7f}ä]{0,50}",
    ];
    let line_end = || prop::sample::select(vec!["\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\n", "\r", ""]);
    let line = (name, prop::sample::select(vec![": ", ": ", ":", " : "]), value, line_end())
        .prop_map(|(name, colon, value, end)| [&*name, colon, &*value, end].concat());
    let first = prop::sample::select(vec![
        "GET / HTTP/1.1",
        "POST /a?b HTTP/1.1",
        "GET http://x/ HTTP/1.0",
        "OPTIONS * HTTP/1.2",
        "GET /a b HTTP/1.3",
        "GET  / HTTP/1.1",
    ]);
    let start = prop::sample::select(vec!["", "", "", "\r\n", "\n"]);
    (start, first, line_end(), prop::collection::vec(line, 0..6))
        .prop_map(|(start, first, end, lines)| format!("{start}{first}{end}Host: h\r\n{}\r\n", lines.concat()))
}
