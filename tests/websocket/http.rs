//! Requests that are no upgrade (RFC 9112), and those that two readers would read in two ways: they are refused, and
//! the connection ends, so that nothing behind them is ever taken for a request.

use crate::kit::*;

const HEALTH: &str = "GET /health HTTP/1.1\r\nHost: {host}\r\n\r\n";
const NOWHERE: &str = "GET /nowhere HTTP/1.1\r\nHost: {host}\r\n\r\n";

/// Sends it whole and byte by byte; these statuses are answered, in this order. The connection stays open.
fn check_answers(requests: &str, statuses: &[u16]) {
    let host = server(Limits::Default);
    for way in [Way::Whole, Way::ByByte] {
        let mut pipe = Pipe::connect(host, way);
        pipe.write(requests.replace("{host}", host).as_bytes());
        for status in statuses {
            let answer = pipe.answer().expect("an answer");
            assert_eq!((answer.status, answer.closes()), (*status, false), "{answer:?}");
        }
        pipe.write(BEHIND);
        assert_eq!(pipe.answer().map(|answer| answer.status), Some(200), "it goes on");
    }
}

#[test]
fn health_is_answered_and_other_paths_are_not_found() {
    check_answers(HEALTH, &[200]);
    check_answers(NOWHERE, &[404]);
    check_answers("GET /healthy HTTP/1.1\r\nHost: {host}\r\n\r\n", &[404]);
    check_answers("GET /health?verbose HTTP/1.1\r\nHost: {host}\r\n\r\n", &[200]);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    // RFC 9112, 9.3.2.
    let both = [HEALTH, NOWHERE, NOWHERE].concat();
    check_answers(&both, &[200, 404, 404]);
    check_answers(&both.repeat(20), &[200, 404, 404].repeat(20));
}

#[test]
fn empty_lines_before_a_request_are_passed_over() {
    // RFC 9112, 2.2.
    check_answers(&format!("\r\n{HEALTH}\r\n{HEALTH}"), &[200, 200]);
}

#[test]
fn requests_may_come_before_an_upgrade_and_frames_right_behind_it() {
    let host = server(Limits::Default);
    for way in [Way::Whole, Way::ByByte] {
        let mut pipe = Pipe::connect(host, way);
        let requests = [HEALTH, NOWHERE].concat().replace("{host}", host);
        pipe.write(&[requests.as_bytes(), &upgrade(host, ""), &text("hi").bytes(), &close(1000).bytes()].concat());
        assert_eq!(pipe.answer().unwrap().status, 200);
        assert_eq!(pipe.answer().unwrap().status, 404);
        assert_upgraded(&pipe.answer().unwrap(), ACCEPT);
        for expected in [Reply::text("hi"), Reply::close(1000)] {
            assert_eq!(pipe.take(ServerFrame::parse).map(ServerFrame::reply), Some(expected));
        }
        pipe.expect_end();
    }
}

#[test]
fn requests_behind_an_upgrade_are_frames() {
    // After 101 no byte is HTTP: "GE" is a frame with opcode 7 and reserved bits.
    each_way(server(Limits::Default), |talk| {
        talk.write(BEHIND);
        talk.expect_close(1002);
    });
}

#[test]
fn who_asks_for_the_last_answer_gets_it_and_the_end() {
    // RFC 9112, 9.6.
    for line in ["Connection: close", "connection: Close", "Connection: foo, close"] {
        check_last_answer(format!("GET /health HTTP/1.1\r\nHost: {{host}}\r\n{line}\r\n\r\n").as_bytes(), &[200]);
    }
}

#[test]
fn the_old_version_of_http_ends_after_its_answer() {
    // RFC 9112, 9.3. Balancers still look for health in it; whether they are served is the server's to say.
    check_last_answer(b"GET /health HTTP/1.0\r\nHost: {host}\r\n\r\n", &[200, 400, 505]);
    check_last_answer(b"GET /health HTTP/1.0\r\n\r\n", &[200, 400, 505]);
}

#[test]
fn an_answer_to_head_has_no_body() {
    // RFC 9110, 9.3.2: or whatever comes next would be read as one.
    let host = server(Limits::Default);
    let mut pipe = Pipe::connect(host, Way::Whole);
    pipe.write(b"HEAD /health HTTP/1.1\r\nHost: x\r\n\r\n");
    pipe.write(BEHIND);
    let answer = pipe.take(|bytes| Answer::parse(bytes, true)).expect("an answer");
    assert!(matches!(answer.status, 200 | 405), "{answer:?}");
    if answer.closes() {
        pipe.expect_end();
    } else {
        assert_eq!(pipe.answer().unwrap().status, 200);
    }
}

#[test]
fn a_body_is_never_read_as_a_request() {
    // Its path is unknown, its length is not: what is inside it is not answered, what is behind it may be.
    let body = "GET /health HTTP/1.1\r\nHost: inside\r\n\r\n";
    let request = format!("POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    for way in [Way::Whole, Way::ByByte] {
        let mut pipe = Pipe::connect(server(Limits::Default), way);
        pipe.write(request.as_bytes());
        pipe.write(NOWHERE.replace("{host}", "x").as_bytes());
        let answer = pipe.answer().expect("an answer");
        assert!(matches!(answer.status, 404 | 405), "{answer:?}");
        if answer.closes() {
            pipe.expect_end();
        } else {
            assert_eq!(pipe.answer().unwrap().status, 404, "the one behind, not the one inside");
        }
    }
}

#[test]
fn a_body_over_the_limit_is_refused_before_it_comes() {
    // RFC 9110, 15.5.14.
    for len in ["10000000000", "9223372036854775807", "18446744073709551615"] {
        let words = format!("POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: {len}\r\n\r\n");
        check_last_answer(words.as_bytes(), &[400, 405, 413]);
    }
}

#[test]
fn what_is_no_http_is_refused_from_its_first_bytes() {
    // TLS, and a length prefix, where HTTP is spoken. An alert or a status may say so; then it ends.
    let hello = b"\x16\x03\x01\x00\x2f\x01\x00\x00\x2b\x03\x03";
    for bytes in [&hello[..], b"\0\0\0\x05hello", b"\xff\xfe\xfd\r\n\r\n"] {
        let mut pipe = Pipe::connect(server(Limits::Tight), Way::Whole);
        pipe.write(bytes);
        let said = pipe.take(|bytes| (!bytes.is_empty()).then(|| (bytes.to_vec(), bytes.len()))).unwrap_or_default();
        assert!(matches!(said.get(..10), None | Some(b"HTTP/1.1 4")), "{}", said.escape_ascii());
        pipe.expect_end();
    }
}

/// A POST with these lines and this behind them, refused with 400.
fn check_bad_lines(lines: &[&str], behind: &str) {
    check_framings(lines, behind, &[400]);
}

fn check_framings(lines: &[&str], behind: &str, statuses: &[u16]) {
    let cases: Vec<_> = lines.iter().map(|lines| (lines.escape_debug().to_string(), lines)).collect();
    all(cases, |lines| {
        let request = format!("POST /health HTTP/1.1\r\nHost: {{host}}\r\n{lines}\r\n\r\n{behind}");
        check_last_answer(request.as_bytes(), statuses);
    });
}

#[test]
fn lengths_that_are_no_number_are_refused() {
    // RFC 9112, 6.3; RFC 9110, 8.6: digits, and no more than one such field. CVE-2018-7159, RUSTSEC-2021-0078.
    let values = ["", "+5", "-5", "0x5", "5 5", "5;", "5.0", "5,", "five", "\u{665}", "5\u{b}", "1e1", "0o5", "\"5\""];
    let lines = values.map(|value| format!("Content-Length: {value}"));
    check_bad_lines(&lines.each_ref().map(String::as_str), "hello");
    check_bad_lines(
        &[
            "Content-Length: 18446744073709551621",
            "Content-Length: 99999999999999999999999999999999",
            "Content-Length: 5\r\nContent-Length: 6",
            "Content-Length: 6\r\nContent-Length: 5",
            "Content-Length: 5\r\nContent-Length: 5",
            "Content-Length: 5, 6",
            "Content-Length: 5, 5",
            "Content-Length: 0, 5",
        ],
        "hello",
    );
}

#[test]
fn a_length_and_a_coding_together_are_refused() {
    // RFC 9112, 6.1, 6.3: CL.TE and TE.CL. CVE-2019-16869, CVE-2021-38512.
    check_bad_lines(
        &[
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nContent-Length: 5",
            "Content-Length: 0\r\nTransfer-Encoding: chunked",
            "content-length: 5\r\nX-Between: 1\r\ntransfer-encoding: CHUNKED",
            "Content-Length: 5\r\nTransfer-Encoding: identity",
            "Content-Length: 5\r\nTransfer-Encoding: xchunked",
            "Content-Length: 5\r\nTransfer-Encoding:",
        ],
        "0\r\n\r\n",
    );
}

#[test]
fn codings_that_readers_disagree_on_are_refused() {
    // RFC 9112, 6.1. CVE-2019-20444, CVE-2020-7238, RUSTSEC-2021-0020.
    check_framings(
        &[
            "Transfer-Encoding: xchunked",
            "Transfer-Encoding: identity",
            "Transfer-Encoding: chunked, identity",
            "Transfer-Encoding: chunked, chunked",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: \"chunked\"",
            "Transfer-Encoding: chunked;q=1",
            "Transfer-Encoding: ,",
            "Transfer-Encoding:",
        ],
        "0\r\n\r\n",
        &[400, 411, 501],
    );
}

#[test]
fn chunks_that_readers_disagree_on_are_refused() {
    // RFC 9112, 7.1. CVE-2025-22871, CVE-2025-55315, RUSTSEC-2021-0079: or chunks are not taken at all.
    for chunks in [
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
        "fffffffffffffffb\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "5\nhello\n0\n\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "5;\rx\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello!!0\r\n\r\n",
        "g\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
    ] {
        check_framings(&["Transfer-Encoding: chunked"], chunks, &[400, 404, 405, 411, 413, 501]);
    }
}

#[test]
fn heads_that_readers_disagree_on_are_refused() {
    // RFC 9112, 2.2, 5.1, 5.2; RFC 9110, 5.5: spaces before the colon, folded lines, bare CR or LF, NUL.
    check_bad_lines(
        &[
            "Content-Length : 5",
            "Content-Length\t: 5",
            "Content Length: 5",
            "Content-Length\0: 5",
            " Content-Length: 5",
            "\tContent-Length: 5",
            "Content-Length: \r\n 5",
            "X-Folded: a\r\n b",
            "X-Folded: a\r\n\tTransfer-Encoding: chunked",
            "Transfer-Encoding : chunked",
            "Transfer-Encoding:\r\n chunked",
            "X: y\nTransfer-Encoding: chunked",
            "X: y\rTransfer-Encoding: chunked",
            "X: y\r\rContent-Length: 5",
            "X: a\0b",
            "X: a\u{1}b",
            "X: a\u{7f}b",
            "X: a\u{1b}[31mb",
            "X(y): z",
            "X\u{e9}: z",
            "no colon",
            ": no name",
            ":",
        ],
        "hello",
    );
}

#[test]
fn request_lines_have_three_words() {
    // RFC 9112, 3.
    for line in [
        "GET",
        "GET /health",
        "GET  /health HTTP/1.1",
        "GET /health  HTTP/1.1",
        "GET /health HTTP/1.1 ",
        "GET\t/health\tHTTP/1.1",
        "GET /health HTTP/1.1 HTTP/1.1",
        " GET /health HTTP/1.1",
        "G\u{1}T /health HTTP/1.1",
        "G(T /health HTTP/1.1",
        "/health GET HTTP/1.1",
    ] {
        check_last_answer(format!("{line}\r\nHost: {{host}}\r\n\r\n").as_bytes(), &[400, 501, 505]);
    }
}
