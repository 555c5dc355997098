//! Who is answered, and who is not.

use super::*;

/// The status for a request without a body that fits, or `None` where the caller is let in.
fn asked(access: Access<'_>, peer: &str, fields: &str) -> Option<Status> {
    let mut bench = Bench::default();
    let head = format!("POST /api/info HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
    bench.ask(1, &head, b"{}", peer, &access).map(|response| response.status())
}

#[test]
fn a_key_opens_from_anywhere_and_nothing_else_does() {
    for (fields, expected) in [
        ("X-API-Key: secret\r\n", None),
        ("x-api-key: secret\r\nOrigin: https://a.example\r\n", None),
        ("Authorization: apikey secret\r\n", None),
        ("Authorization: ApiKey  secret\r\n", None),
        ("", Some(Status::Unauthorized)),
        ("X-API-Key: \r\n", Some(Status::Unauthorized)),
        ("X-API-Key: secre\r\n", Some(Status::Unauthorized)),
        ("X-API-Key: secrets\r\n", Some(Status::Unauthorized)),
        ("X-API-Key: Secret\r\n", Some(Status::Unauthorized)),
        ("X-API-Key: wrong\r\nAuthorization: apikey secret\r\n", Some(Status::Unauthorized)),
        ("Authorization: secret\r\n", Some(Status::Unauthorized)),
        ("Authorization: apikeysecret\r\n", Some(Status::Unauthorized)),
        ("Authorization: Bearer secret\r\n", Some(Status::Unauthorized)),
    ] {
        for peer in ["203.0.113.1:9", "127.0.0.1:9"] {
            let local = Access { listener_is_loopback: true, ..KEY };
            assert_eq!((asked(KEY, peer, fields), asked(local, peer, fields)), (expected, expected), "{fields:?}");
        }
    }
}

#[test]
fn an_empty_key_opens_nothing() {
    let access = Access { api_key: Some(""), ..KEY };
    for fields in ["", "X-API-Key: \r\n", "Authorization: apikey \r\n"] {
        assert_eq!(asked(access, "127.0.0.1:9", fields), Some(Status::Unauthorized));
    }
}

#[test]
fn without_a_key_only_this_machine_is_answered() {
    let local = Access { api_key: None, insecure: false, listener_is_loopback: true };
    for (peer, expected) in [
        ("127.0.0.1:9", None),
        ("127.8.8.8:9", None),
        ("[::1]:9", None),
        ("[::ffff:127.0.0.1]:9", None),
        ("10.0.0.1:9", Some(Status::Forbidden)),
        ("[::2]:9", Some(Status::Forbidden)),
    ] {
        assert_eq!(asked(local, peer, ""), expected, "{peer}");
        assert_eq!(asked(Access { listener_is_loopback: false, ..local }, peer, ""), Some(Status::Forbidden), "{peer}");
    }
}

#[test]
fn without_a_key_neither_browsers_nor_proxies_are_answered() {
    let local = Access { api_key: None, insecure: false, listener_is_loopback: true };
    for fields in [
        "Origin: http://127.0.0.1:8000\r\n",
        "Origin: null\r\n",
        "X-Forwarded-For: 127.0.0.1\r\n",
        "Forwarded: for=127.0.0.1\r\n",
        "X-Real-IP: 127.0.0.1\r\n",
        "Via: 1.1 proxy\r\n",
    ] {
        assert_eq!(asked(local, "127.0.0.1:9", fields), Some(Status::Forbidden), "{fields}");
    }
}

#[test]
fn a_process_on_the_same_unix_socket_is_on_this_machine() {
    let mut storage = Storage::new();
    let head = Head::parse(b"POST /api/info HTTP/1.1\r\nHost: h\r\n\r\n", &mut storage).unwrap();
    let request = Request { head: &head, body: b"{}", peer: Peer::Unix, local: true };
    let local = Access { api_key: None, insecure: false, listener_is_loopback: true };
    assert_eq!(local.check(&request), Ok(()));
}

#[test]
fn insecure_asks_for_no_key_but_refuses_pages() {
    for api_key in [None, Some("secret")] {
        let open = Access { api_key, insecure: true, listener_is_loopback: false };
        assert_eq!(asked(open, "203.0.113.1:9", ""), None);
        assert_eq!(asked(open, "127.0.0.1:9", "Origin: http://localhost\r\n"), Some(Status::Forbidden));
    }
}

#[test]
fn strangers_learn_neither_methods_nor_paths() {
    for start in ["POST /api/frob", "GET /api/info", "POST /api/batch", "POST /api/"] {
        let response = Bench::default().request(1, start, "", b"x").unwrap();
        assert_eq!(response.status(), Status::Unauthorized, "{start}");
    }
}

#[test]
fn methods_and_paths_that_are_none_have_their_own_status() {
    let key = "X-API-Key: secret\r\n";
    for path in ["/api/frob", "/api/", "/api", "/api/publish/", "/api/Publish", "/other", "/api/info%20"] {
        let response = Bench::default().request(1, &format!("POST {path}"), key, b"{}").unwrap();
        assert_eq!(response.status(), Status::NotFound, "{path}");
    }
    for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"] {
        let response = Bench::default().request(1, &format!("{method} /api/info"), key, b"{}").unwrap();
        let expected = Response::refusal(Status::MethodNotAllowed).with_field("Allow", "POST");
        assert_eq!(response, expected, "{method}");
    }
}
