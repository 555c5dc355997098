//! The opening handshake (RFC 6455, section 4.2): what upgrades, what is refused, and that a refusal is the end.

use crate::kit::*;

/// A request in the usual words with one piece replaced by another. `{host}` stands for the server's address.
fn but(piece: &str, other: &str) -> String {
    let usual = String::from_utf8(upgrade("{host}", "")).unwrap();
    assert!(usual.contains(piece), "{piece:?} is no part of {usual:?}");
    usual.replacen(piece, other, 1)
}

/// The usual request and a line more.
fn and(line: &str) -> String {
    but("\r\n\r\n", &format!("\r\n{line}\r\n\r\n"))
}

/// The server upgrades, whole and byte by byte, and speaks WebSocket then.
fn check_upgrades(words: &str, accept: &str) {
    let host = server(Limits::Default);
    for way in [Way::Whole, Way::ByByte] {
        let mut pipe = Pipe::connect(host, way);
        pipe.write(words.replace("{host}", host).as_bytes());
        let answer = pipe.answer().expect("an answer");
        assert_upgraded(&answer, accept);
        for unasked in ["Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol", "Content-Length", "Transfer-Encoding"] {
            assert_eq!(answer.field(unasked), None, "{unasked}");
        }
        pipe.write(&ping("there?").bytes());
        assert_eq!(pipe.take(ServerFrame::parse).map(ServerFrame::reply), Some(Reply::pong("there?")));
    }
}

fn all_upgrade(cases: &[(&str, String)]) {
    all(cases, |words| check_upgrades(words, ACCEPT));
}

fn all_refused(status: u16, cases: &[(&str, String)]) {
    all(cases, |words| check_last_answer(words.as_bytes(), &[status]));
}

#[test]
fn the_accept_field_follows_from_the_key() {
    // 4.2.2, 5.4.
    for (key, accept) in [
        (KEY, ACCEPT),
        ("AAAAAAAAAAAAAAAAAAAAAA==", "ICX+Yqv66kxgM0FcWaLWlFLwTAI="),
        ("/////////////////////w==", "XXpj4jYzLM2yUE0C7TIgMwTQh2g="),
        ("AQIDBAUGBwgJCgsMDQ4PEA==", "C/0nmHhBztSRGR1CwL6Tf4ZjwpY="),
    ] {
        check_upgrades(&but(KEY, key), accept);
    }
}

#[test]
fn fields_may_be_written_as_http_allows() {
    // 4.2.1; RFC 9110, 5.1, 5.3, 5.5: names and these values in any case, lists, spaces around values, any order.
    all_upgrade(&[
        ("as usual", and("X-More: 1")),
        ("upper case", but("Upgrade: websocket", "UPGRADE: WEBSOCKET")),
        ("mixed case", but("Connection: Upgrade", "connection: uPGRADE")),
        ("a list of connection options", but("Connection: Upgrade", "Connection: keep-alive, Upgrade")),
        ("without spaces", but("Connection: Upgrade", "Connection:keep-alive,upgrade,foo")),
        (
            "two lines of connection options",
            but("Connection: Upgrade", "Connection: keep-alive\r\nConnection: upgrade"),
        ),
        ("a list of protocols to upgrade to", but("Upgrade: websocket", "Upgrade: h2c, websocket")),
        ("two lines of them", but("Upgrade: websocket", "Upgrade: h2c\r\nUpgrade: websocket")),
        ("empty members", but("Connection: Upgrade", "Connection: ,, Upgrade ,")),
        ("spaces and tabs around values", but("Version: 13", "Version: \t 13 \t ")),
        ("spaces behind the key", but(KEY, &format!("  {KEY}  "))),
        ("an empty field", and("X-Empty:")),
        ("a value of other bytes", and("X-Latin: caf\u{e9}")),
        ("a name of other characters", and("!#$%&'*+-.^_`|~1: x")),
        ("a query", but("GET / ", "GET /?token=a%20b&c=/d? ")),
        ("any path", but("GET / ", "GET /some/where ")),
        ("a host name", but("Host: {host}", "Host: example.com")),
        ("a host in IPv6", but("Host: {host}", "Host: [::1]:8000")),
        ("an empty line before", format!("\r\n{}", and("X-More: 1"))),
    ]);
}

#[test]
fn requests_that_lack_a_part_or_have_it_twice_are_refused() {
    // 4.2.1.
    all_refused(
        400,
        &[
            ("no host", but("Host: {host}\r\n", "")),
            ("two hosts", and("Host: {host}")),
            ("two different hosts", and("Host: example.com")),
            ("a list of hosts", but("Host: {host}", "Host: a.example, b.example")),
            ("a host with a user", but("Host: {host}", "Host: user@example.com")),
            ("a host with a path", but("Host: {host}", "Host: example.com/path")),
            ("no key", but(&format!("Sec-WebSocket-Key: {KEY}\r\n"), "")),
            ("two keys", and("Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==")),
            ("the same key twice", and(&format!("Sec-WebSocket-Key: {KEY}"))),
            ("HTTP/1.0", but("HTTP/1.1", "HTTP/1.0")),
        ],
    );
}

#[test]
fn keys_are_sixteen_bytes_in_base64() {
    // 4.2.1, item 5.
    let keys = [
        "",
        "AAAA",
        "AAAAAAAAAAAAAAAAAAAA",
        "AAAAAAAAAAAAAAAAAAAAAAA=",
        "AAAAAAAAAAAAAAAAAAAAAAAA",
        "AAAAAAAAAAAAAAAAAAAAAA",
        "AAAAAAAAAAAAAAAAAAAAAA=",
        "AAAAAAAAAAAAAAAAAAAAAA===",
        "AAAAAAAAAAAAAAAAAAAAA==A",
        "AAAAAAAAAA AAAAAAAAAAA==",
        "AAAAAAAAAA-_AAAAAAAAAA==",
        "AAAAAAAAAA*AAAAAAAAAAA==",
        "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==",
    ];
    all(keys.map(|key| (key, but(KEY, key))), |words| check_last_answer(words.as_bytes(), &[400]));
}

#[test]
fn other_versions_are_told_which_one_is_spoken() {
    // 4.2.2, 4.4; RFC 9110, 15.5.22.
    let versions = ["0", "7", "8", "12", "14", "99", "130", "1 3", "-13", "13.0", "thirteen", "4294967309"];
    all(versions.map(|version| (version, but("Version: 13", &format!("Version: {version}")))), |words| {
        check_last_answer(words.as_bytes(), &[426])
    });
    // None, none that is one, or two: the RFC names no status.
    let odd = ["Sec-WebSocket-Version:", "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 8", "X-Version: 13"];
    let odd = odd.map(|line| (line, but("Sec-WebSocket-Version: 13", line)));
    all(odd, |words| check_last_answer(words.as_bytes(), &[400, 426]));
}

#[test]
fn only_get_upgrades() {
    // 4.2.1, item 1; RFC 9110, 15.5.6: the answer names what is allowed.
    let methods = ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"];
    all(methods.map(|method| (method, but("GET", method))), |words| check_last_answer(words.as_bytes(), &[405]));
    // Methods have a case (RFC 9110, 9.1), and not all are known.
    let unknown = ["get", "BREW", "GETGET", "G"];
    all(unknown.map(|method| (method, but("GET", method))), |words| {
        check_last_answer(words.as_bytes(), &[400, 405, 501])
    });
}

#[test]
fn other_versions_of_http_are_refused() {
    // RFC 9110, 15.6.6.
    for version in ["HTTP/2.0", "HTTP/0.9", "HTTP/3", "HTTP/1.10", "HTTP/11", "http/1.1", "HTTPS/1.1", ""] {
        check_last_answer(but("HTTP/1.1", version).as_bytes(), &[400, 505]);
    }
}

#[test]
fn what_asks_for_no_websocket_gets_none() {
    // 4.2.1, items 3 and 4: an upgrade that the connection options do not name is not asked for (RFC 9110, 7.8).
    for words in [
        but("Upgrade: websocket\r\n", ""),
        but("Upgrade: websocket", "Upgrade: h2c"),
        but("Upgrade: websocket", "Upgrade: websockets"),
        but("Upgrade: websocket", "Upgrade: web socket"),
        but("Connection: Upgrade\r\n", ""),
        but("Connection: Upgrade", "Connection: keep-alive"),
        but("Connection: Upgrade", "Connection: Upgrades"),
    ] {
        let host = server(Limits::Default);
        let mut pipe = Pipe::connect(host, Way::Whole);
        pipe.write(words.replace("{host}", host).as_bytes());
        let answer = pipe.answer().expect("an answer");
        assert!(matches!(answer.status, 400 | 404 | 426), "{words:?} gets {answer:?}");
    }
}

#[test]
fn targets_are_paths() {
    // RFC 9112, 3.2; RFC 6455, 3: no fragment, no space, and nothing outside ASCII.
    for target in ["*", "{host}", "chat", "", "/\u{7f}", "/\0", "/\t", "/a b", "/#f", "/caf\u{e9}"] {
        check_last_answer(but("GET / ", &format!("GET {target} ")).as_bytes(), &[400]);
    }
}

#[test]
fn an_absolute_target_is_understood_or_refused() {
    // 4.2.1; RFC 9112, 3.2.2 and 3.2.4.
    let host = server(Limits::Default);
    let mut pipe = Pipe::connect(host, Way::Whole);
    pipe.write(but("GET / ", "GET http://{host}/ ").replace("{host}", host).as_bytes());
    let answer = pipe.answer().expect("an answer");
    match answer.status {
        101 => assert_upgraded(&answer, ACCEPT),
        status => assert_eq!((status, answer.closes()), (400, true), "{answer:?}"),
    }
}

#[test]
fn an_upgrade_has_no_body() {
    // What follows its head is frames and nothing else.
    for framing in [
        "Content-Length: 5",
        "Content-Length: 99999999999",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
    ] {
        check_last_answer(and(framing).as_bytes(), &[400]);
    }
}

/// The request of a page of `origin` to `host`.
fn page(origin: &str, host: &str) -> String {
    and(&format!("Origin: {origin}")).replace("Host: {host}", &format!("Host: {host}"))
}

#[test]
fn pages_of_other_origins_are_refused() {
    // 4.2.2, 10.2: exactly the host that was asked, or no origin at all.
    all_upgrade(&[
        ("the same address", page("http://{host}", "{host}")),
        ("the same name", page("http://example.com", "example.com")),
        ("the same name and port", page("http://example.com:8000", "example.com:8000")),
    ]);
    all_refused(
        403,
        &[
            ("none that can be told", page("null", "example.com")),
            ("another", page("http://evil.example", "example.com")),
            ("one that begins like it", page("http://example.com.evil.example", "example.com")),
            ("one that ends like it", page("http://evilexample.com", "example.com")),
            ("one below it", page("http://evil.example.com", "example.com")),
            ("one with it as a user", page("http://example.com@evil.example", "example.com")),
            ("one with it as a path", page("http://evil.example/example.com", "example.com")),
            ("one with it behind a #", page("http://evil.example#http://example.com", "example.com")),
            ("another port", page("http://example.com:9000", "example.com:8000")),
            ("a file", page("file://", "example.com")),
        ],
    );
    let odd = [page("", "example.com"), page("http://example.com\r\nOrigin: http://evil.example", "example.com")];
    odd.iter().for_each(|words| check_last_answer(words.as_bytes(), &[400, 403]));
}

#[test]
fn no_subprotocol_is_answered_that_was_not_asked_for() {
    // 4.2.2, item 5. The last two once took parsers minutes.
    let spaces = " ".repeat(8000);
    for asked in ["chat", "chat, superchat", "__proto__", "a,b,c", &format!("b{spaces}x"), &format!("a,{spaces},b")] {
        let host = server(Limits::Default);
        let mut pipe = Pipe::connect(host, Way::Whole);
        pipe.write(&upgrade(host, &format!("Sec-WebSocket-Protocol: {asked}\r\n")));
        let answer = pipe.answer().expect("an answer");
        let chosen = answer.field("Sec-WebSocket-Protocol");
        assert!(chosen.is_none_or(|chosen| asked.split(',').any(|one| one.trim() == chosen)), "{answer:?}");
    }
}
