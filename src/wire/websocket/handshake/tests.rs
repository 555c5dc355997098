//! Requests and answers, sound and unsound, from both sides.

use super::*;
use crate::wire::http::{MAX_FIELDS, Storage, find_end};
use proptest::prelude::*;

/// The example of RFC 6455, section 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const KEY_BYTES: &[u8; 16] = b"the sample nonce";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A request whose lines after `Host` are these.
fn request(first: &str, lines: &[&str]) -> String {
    format!("{first}\r\nHost: h\r\n{}\r\n\r\n", lines.join("\r\n"))
}

const SOUND: [&str; 4] = [
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
];

/// A sound request with one line replaced by others.
fn with(from: &str, to: &str) -> String {
    let text = request("GET /ws HTTP/1.1", &SOUND).replace(from, to);
    text.replace("\r\n\r\n\r\n", "\r\n\r\n").replace("h\r\n\r\n", "h\r\n")
}

fn judge<T>(text: &str, see: impl FnOnce(&Upgrade<'_, '_>) -> T) -> Result<T, Status> {
    let mut storage = Storage::new();
    let head = Head::parse(text.as_bytes(), &mut storage)?;
    check(&head).map(|upgrade| see(&upgrade))
}

#[track_caller]
fn refused(text: &str, status: Status) {
    assert_eq!(judge(text, |_| ()), Err(status), "{text}");
}

#[test]
fn the_rfcs_example_is_answered_as_in_the_rfc() {
    assert_eq!(accept_key(KEY.as_bytes()), ACCEPT.as_bytes());
    let mut out = b"before".to_vec();
    judge(&request("GET /ws HTTP/1.1", &SOUND), |upgrade| {
        write_101(&mut out, upgrade.key(), Some("chat"), Some(b"a; b=1"))
    })
    .unwrap();
    let expected = format!(
        "beforeHTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {ACCEPT}\r\n\
         Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Extensions: a; b=1\r\n\r\n"
    );
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn only_get_and_http_1_1_upgrade() {
    for method in ["POST", "HEAD", "OPTIONS", "CONNECT"] {
        refused(&request(&format!("{method} /ws HTTP/1.1"), &SOUND), Status::MethodNotAllowed);
    }
    refused(&request("GET /ws HTTP/1.0", &SOUND), Status::BadRequest);
    assert!(judge(&request("GET http://h/ws HTTP/1.2", &SOUND), |_| ()).is_ok());
}

#[test]
fn what_asks_for_no_websocket_is_refused() {
    refused("GET /ws HTTP/1.1\r\nHost: h\r\n\r\n", Status::UpgradeRequired);
    refused(&with("Upgrade: websocket\r\n", ""), Status::UpgradeRequired);
    refused(&with("Upgrade: websocket", "Upgrade: h2c"), Status::BadRequest);
    refused(&with("Connection: Upgrade\r\n", ""), Status::BadRequest);
    refused(&with("Connection: Upgrade", "Connection: keep-alive"), Status::BadRequest);
    for connection in ["Connection: keep-alive,UPGRADE", "Connection: a\r\nConnection: upgrade", "connection: upgrade"]
    {
        assert!(judge(&with("Connection: Upgrade", connection), |_| ()).is_ok(), "{connection}");
    }
    for upgrade in ["Upgrade: WebSocket", "Upgrade: h2c , websocket", "Upgrade: h2c\r\nupgrade: websocket"] {
        assert!(judge(&with("Upgrade: websocket", upgrade), |_| ()).is_ok(), "{upgrade}");
    }
}

#[test]
fn the_version_is_13_and_said_once() {
    for line in [
        "Sec-WebSocket-Version: 0",
        "Sec-WebSocket-Version: 8",
        "Sec-WebSocket-Version: 99",
        "Sec-WebSocket-Version: 013",
        "Sec-WebSocket-Version: 13, 8",
        "Sec-WebSocket-Version:",
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 13",
        "X: y",
    ] {
        refused(&with("Sec-WebSocket-Version: 13", line), Status::UpgradeRequired);
    }
}

#[test]
fn the_key_is_16_bytes_and_said_once() {
    for key in ["AAAAAAAAAAAAAAAAAAAAAA==", "++++////////////////+/==", "zzzzzzzzzzzzzzzzzzzzzz=="] {
        assert_eq!(judge(&with(KEY, key), |upgrade| *upgrade.key()), Ok(key.as_bytes().try_into().unwrap()));
    }
    for key in [
        "",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZQ===",
        "dGhlIHNhbXBsZSBub25jZQA=",
        "dGhlIHNhbXBsZSBub25jZQAA",
        "dGhlIHNhbXBsZSBub25j====",
        "dGhlIHNhbXBsZSBub25-ZQ==",
        "dGhlIHNhbXBsZSBub25 ZQ==",
        "AAAA",
        "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==",
    ] {
        refused(&with(KEY, key), Status::BadRequest);
    }
    refused(&with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""), Status::BadRequest);
    refused(
        &with("Sec-WebSocket-Version: 13", &format!("Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}")),
        Status::BadRequest,
    );
}

#[test]
fn a_body_on_an_upgrade_is_refused() {
    for line in ["Content-Length: 0", "Content-Length: 9000", "Transfer-Encoding: chunked"] {
        refused(&with("Upgrade: websocket", &format!("Upgrade: websocket\r\n{line}")), Status::BadRequest);
    }
}

#[test]
fn an_origin_is_told_once() {
    let line = |lines: &str| with("Upgrade: websocket", &format!("Upgrade: websocket{lines}"));
    assert_eq!(judge(&line(""), |upgrade| upgrade.origin().is_none()), Ok(true));
    assert_eq!(judge(&line("\r\nOrigin: http://a"), |upgrade| upgrade.origin() == Some(b"http://a")), Ok(true));
    refused(&line("\r\nOrigin: http://a\r\nOrigin: http://a"), Status::BadRequest);
}

#[test]
fn subprotocols_and_extensions_come_from_all_lines() {
    let text = with(
        "Upgrade: websocket",
        "Upgrade: websocket\r\nSec-WebSocket-Protocol: a, \"b\" ,, c d,e\r\nsec-websocket-protocol: f\r\n\
         Sec-WebSocket-Extensions: x; y=1, z\r\nSec-WebSocket-Extensions: w",
    );
    let protocols = judge(&text, |upgrade| upgrade.protocols().map(str::to_owned).collect::<Vec<_>>());
    assert_eq!(protocols, Ok(["a", "e", "f"].map(str::to_owned).to_vec()));
    let extensions = judge(&text, |upgrade| upgrade.extensions().map(<[u8]>::to_vec).collect::<Vec<_>>());
    assert_eq!(extensions, Ok(vec![b"x; y=1, z".to_vec(), b"w".to_vec()]));
}

#[test]
fn nothing_agreed_on_ends_its_line() {
    let key = KEY.as_bytes().try_into().unwrap();
    let plain = written(|out| write_101(out, key, None, None));
    assert_eq!(written(|out| write_101(out, key, Some("a\r\nb: c"), Some(b"a\r\nb: c"))), plain);
    assert_eq!(written(|out| write_101(out, key, Some(""), Some(b"\n"))), plain);
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8(out).unwrap()
}

fn asked(host: &str, path: &str) -> String {
    written(|out| write_request(out, host, path, KEY_BYTES, Some("chat"), Some(b"permessage-deflate")).unwrap())
}

#[test]
fn what_a_client_asks_a_server_accepts() {
    for (path, expected, query) in [
        ("/ws?a=b%20c", "/ws", Some("a=b%20c")),
        ("", "/", None),
        ("ws", "/ws", None),
        ("/\u{e4} \r\nX: y#z", "/%C3%A4%20%0D%0AX:%20y%23z", None),
    ] {
        let text = asked("example.com:8000", path);
        let mut storage = Storage::new();
        let head = Head::parse(text.as_bytes(), &mut storage).unwrap();
        assert_eq!((head.path, head.query, head.host), (expected, query, "example.com:8000"));
        let upgrade = check(&head).unwrap();
        assert_eq!(upgrade.key(), KEY.as_bytes());
        assert_eq!(upgrade.protocols().collect::<Vec<_>>(), ["chat"]);
        assert_eq!(upgrade.extensions().collect::<Vec<_>>(), [b"permessage-deflate"]);
    }
}

#[test]
fn a_host_that_is_none_is_never_asked() {
    for host in ["", "a\r\nb", "a b", "user@h", "h:x", "h/"] {
        let mut out = Vec::new();
        assert_eq!(write_request(&mut out, host, "/", KEY_BYTES, None, None), Err(HandshakeError::InvalidHost));
        assert!(out.is_empty());
    }
}

/// Feeds an answer whole and in small pieces, as a client does.
fn answered(text: &str) -> Result<Option<(Accepted, usize)>, HandshakeError> {
    let bytes = text.as_bytes();
    let whole = check_response(bytes, 0, KEY_BYTES);
    for size in [1, 2, 7] {
        let ends = (1..=bytes.len()).filter(|end| end % size == 0 || *end == bytes.len());
        let mut scanned = 0;
        let mut steps = ends.map(|end| check_response(&bytes[..end], std::mem::replace(&mut scanned, end), KEY_BYTES));
        assert_eq!(steps.find(|step| *step != Ok(None)).unwrap_or(Ok(None)), whole, "in pieces of {size}: {text:?}");
    }
    whole
}

/// An answer with these lines.
fn answer(lines: &[&str]) -> String {
    format!("HTTP/1.1 101 Switching Protocols\r\n{}\r\n\r\n", lines.join("\r\n"))
}

const UPGRADED: [&str; 3] =
    ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="];

#[test]
fn a_client_accepts_what_a_server_answers() {
    let text = written(|out| write_101(out, KEY.as_bytes().try_into().unwrap(), Some("chat"), Some(b"a, b")));
    let accepted = Accepted { protocol: Some("chat".to_owned()), extensions: Some(b"a, b".to_vec()) };
    assert_eq!(answered(&format!("{text}frames")), Ok(Some((accepted, text.len()))));
    let nothing = Accepted { protocol: None, extensions: None };
    for lines in [
        &UPGRADED[..],
        &["upgrade: WebSocket", "connection: keep-alive, UPGRADE", UPGRADED[2]],
        &["Connection: x", "Connection: upgrade", UPGRADED[0], UPGRADED[2], "Server: y"],
    ] {
        let text = answer(lines);
        assert_eq!(answered(&text), Ok(Some((nothing.clone(), text.len()))));
    }
    assert_eq!(answered(&text[..text.len() - 1]), Ok(None));
    assert_eq!(answered(""), Ok(None));
}

#[test]
fn a_client_trusts_no_other_answer() {
    let [upgrade, connection, accept] = UPGRADED;
    for (lines, error) in [
        (&[connection, accept][..], HandshakeError::NotUpgraded),
        (&[upgrade, accept], HandshakeError::NotUpgraded),
        (&["Upgrade: h2c", connection, accept], HandshakeError::NotUpgraded),
        (&["Upgrade: websocket, h2c", connection, accept], HandshakeError::NotUpgraded),
        (&[upgrade, "Connection: close", accept], HandshakeError::NotUpgraded),
        (&[upgrade, connection], HandshakeError::WrongAccept),
        (&[upgrade, connection, "Sec-WebSocket-Accept: S3pPLMBiTxaQ9kYGzzhZRbK+xOo="], HandshakeError::WrongAccept),
        (&[upgrade, upgrade, connection, accept], HandshakeError::Malformed),
        (&[upgrade, connection, accept, accept], HandshakeError::Malformed),
        (
            &[upgrade, connection, accept, "Sec-WebSocket-Protocol: a", "Sec-WebSocket-Protocol: a"],
            HandshakeError::Malformed,
        ),
        (
            &[upgrade, connection, accept, "Sec-WebSocket-Extensions: a", "sec-websocket-extensions: b"],
            HandshakeError::Malformed,
        ),
        (&[upgrade, connection, accept, " folded"], HandshakeError::Malformed),
        (&[upgrade, connection, accept, "a : b"], HandshakeError::Malformed),
    ] {
        assert_eq!(answered(&answer(lines)), Err(error), "{lines:?}");
    }
}

#[test]
fn an_answer_that_is_no_101_is_told_with_its_status() {
    for (first, error) in [
        ("HTTP/1.1 200 OK", HandshakeError::Refused(200)),
        ("HTTP/1.1 503 Busy", HandshakeError::Refused(503)),
        ("HTTP/1.1 401", HandshakeError::Refused(401)),
        ("HTTP/1.0 101 Switching Protocols", HandshakeError::Malformed),
        ("HTTP/2.0 101 Switching Protocols", HandshakeError::Malformed),
        ("SSH-2.0-x", HandshakeError::Malformed),
        ("HTTP/1.1 1o1 x", HandshakeError::Malformed),
    ] {
        assert_eq!(answered(&format!("{first}\r\n{}\r\n\r\n", UPGRADED.join("\r\n"))), Err(error), "{first}");
    }
    assert_eq!(answered("SSH-2.0-x\n"), Err(HandshakeError::Malformed));
}

#[test]
fn an_answer_has_its_limits() {
    let padded = |len: usize| {
        let text = answer(&[UPGRADED[0], UPGRADED[1], UPGRADED[2], "X: "]);
        text.replace("X: ", &format!("X: {}", "x".repeat(len - text.len())))
    };
    assert!(matches!(answered(&padded(MAX_RESPONSE_BYTES)), Ok(Some((_, MAX_RESPONSE_BYTES)))));
    assert_eq!(answered(&padded(MAX_RESPONSE_BYTES + 1)), Err(HandshakeError::TooLarge));
    assert_eq!(answered(&"x".repeat(MAX_RESPONSE_BYTES)), Err(HandshakeError::TooLarge));
    assert_eq!(answered(&"x".repeat(MAX_RESPONSE_BYTES - 1)), Ok(None));
    assert_eq!(answered(&answer(&vec!["a: b"; MAX_FIELDS + 1])), Err(HandshakeError::Malformed));
}

proptest! {
    #[test]
    fn no_answer_panics_and_splits_agree(bytes in near_answer(), cut in 0usize..400) {
        let cut = cut.min(bytes.len());
        let whole = check_response(&bytes, 0, KEY_BYTES);
        let in_two = match check_response(&bytes[..cut], 0, KEY_BYTES) {
            Ok(None) => check_response(&bytes, cut, KEY_BYTES),
            early => early,
        };
        prop_assert_eq!(in_two, whole);
    }

    #[test]
    fn no_request_panics(lines in prop::collection::vec("(Sec-WebSocket-(Key|Version|Protocol)|Upgrade|Connection|Origin): [ -~]{0,30}", 0..8)) {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let _ = judge(&request("GET / HTTP/1.1", &lines), |upgrade| (upgrade.protocols().count(), upgrade.extensions().count()));
    }

    #[test]
    fn any_path_makes_one_head(path in any::<String>()) {
        let text = asked("h", &path);
        prop_assert_eq!(find_end(text.as_bytes(), 0), Some(text.len()));
    }
}

fn near_answer() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        6 => prop::sample::select(UPGRADED.to_vec()).prop_map(|line| format!("{line}\r\n").into_bytes()),
        2 => prop::sample::select(vec!["HTTP/1.1 101 x\r\n", "\r\n", "\n", "\r", "a: b\r\n"]).prop_map(|line| line.into()),
        1 => prop::collection::vec(any::<u8>(), 0..10),
    ];
    prop::collection::vec(line, 0..10).prop_map(|lines| [&b"HTTP/1.1 101 x\r\n"[..], &lines.concat()].concat())
}
