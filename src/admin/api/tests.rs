//! The API without sockets: requests as back ends write them, outcomes as the hub gives them.

mod access;
mod batch;

use super::*;
use crate::engine::{Member, Page, Position, Publication};
use crate::gateway::Peer;
use crate::hub::operation::{ConnectionDetails, ConnectionEvent, ConnectionRow, ConnectionState, NodeInfo};
use crate::hub::push::publication_body;
use crate::wire::http::{Head, Storage};
use std::sync::Arc;

/// An [`Api`] with what it has submitted.
#[derive(Default)]
struct Bench {
    api: Api,
    submitted: Vec<(u64, Operation)>,
}

const KEY: Access<'_> = Access { api_key: Some("secret"), insecure: false, listener_is_loopback: false };

impl Bench {
    fn request(&mut self, id: u64, start: &str, fields: &str, body: &[u8]) -> Option<Response> {
        self.ask(id, &format!("{start} HTTP/1.1\r\nHost: h\r\n{fields}\r\n"), body, "203.0.113.1:9", &KEY)
    }

    fn ask(&mut self, id: u64, head: &str, body: &[u8], peer: &str, access: &Access<'_>) -> Option<Response> {
        let mut storage = Storage::new();
        let head = Head::parse(head.as_bytes(), &mut storage).unwrap();
        let request = Request { head: &head, body, peer: Peer::Tcp(peer.parse().unwrap()), local: true };
        let submitted = &mut self.submitted;
        let mut submit = |ticket, operation| submitted.push((ticket, operation));
        self.api.begin(ConnId::from_bits(id), &request, access, &mut submit)
    }

    fn post(&mut self, id: u64, method: &str, body: &str) -> Option<Response> {
        self.request(id, &format!("POST /api/{method}"), "X-API-Key: secret\r\n", body.as_bytes())
    }

    fn complete(&mut self, ticket: u64, outcome: Result<Outcome, ErrorCode>) -> Option<(u64, Response)> {
        let submitted = &mut self.submitted;
        let mut submit = |ticket, operation| submitted.push((ticket, operation));
        let (id, response) = self.api.complete(ticket, outcome, &mut submit)?;
        Some((id.to_bits(), response))
    }

    /// The one operation that was submitted last.
    fn ticket(&self) -> u64 {
        self.submitted.last().expect("something was submitted").0
    }
}

fn text(response: &Response) -> &str {
    std::str::from_utf8(response.body()).unwrap()
}

fn published(offset: u64) -> Result<Outcome, ErrorCode> {
    Ok(Outcome::Published(Some(Position { offset, epoch: "e".into() })))
}

/// The operation that this request becomes.
fn operation(method: &str, body: &str) -> String {
    let mut bench = Bench::default();
    if let Some(response) = bench.post(1, method, body) {
        panic!("{method} {body} was answered with {} {}", response.status(), text(&response));
    }
    let [(_, operation)] = &bench.submitted[..] else { panic!("one operation") };
    format!("{operation:?}")
}

/// The result that this outcome becomes.
fn check_result(outcome: Outcome, expected: &str) {
    let mut bench = Bench::default();
    assert!(bench.post(5, "info", "{}").is_none());
    let (id, response) = bench.complete(bench.ticket(), Ok(outcome)).unwrap();
    assert_eq!((id, response.status(), text(&response)), (5, Status::Ok, &*format!("{{\"result\":{expected}}}")));
    assert!(serde_json::from_slice::<serde_json::Value>(response.body()).is_ok());
    assert_eq!(bench.api.waiting(), 0);
}

/// The parameters are refused with this code, at once, and nothing is submitted.
fn check_error(method: &str, body: &str, code: ErrorCode) {
    let mut bench = Bench::default();
    let response = bench.post(1, method, body).unwrap_or_else(|| panic!("{method} {body} was submitted"));
    let expected = format!(r#"{{"error":{{"code":{},"message":"{}"}}}}"#, code.code(), code.message());
    assert_eq!((response.status(), text(&response)), (Status::Ok, &*expected), "{method} {body}");
    assert!(bench.submitted.is_empty() && bench.api.waiting() == 0);
}

#[test]
fn every_method_of_the_api_is_understood() {
    for (method, body, expected) in [
        (
            "publish",
            r#"{"channel":"c","data":{"x": 1},"tags":{"k":"v"},"skip_history":true,"idempotency_key":"i"}"#,
            r#"Publish { channel: "c", letter: Letter { data: "{\"x\": 1}", tags: Some("{\"k\":\"v\"}"), skip_history: true, idempotency_key: Some("i") } }"#,
        ),
        (
            "broadcast",
            r#"{"channels":["a","b"],"data":null}"#,
            r#"Broadcast { channels: ["a", "b"], letter: Letter { data: "null", tags: None, skip_history: false, idempotency_key: None } }"#,
        ),
        (
            "subscribe",
            r#"{"user":"u","channel":"c","client":"x","session":"s","info":{"a":1},"data":[2],"recover_since":{"offset":3,"epoch":"e"},"override":{}}"#,
            r#"Subscribe { whose: Whose { user: "u", client: Some("x"), session: Some("s") }, channel: "c", info: Some("{\"a\":1}"), data: Some("[2]"), recover_since: Some((3, "e")) }"#,
        ),
        (
            "unsubscribe",
            r#"{"user":"u","channel":""}"#,
            r#"Unsubscribe { whose: Whose { user: "u", client: None, session: None }, channel: "" }"#,
        ),
        (
            "disconnect",
            r#"{"user":"u","whitelist":["w"],"disconnect":{"code":4501,"reason":"go away"}}"#,
            r#"whitelist: ["w"], farewell: Some((4501, "go away"))"#,
        ),
        ("disconnect", r#"{"user":"u","disconnect":{}}"#, "whitelist: [], farewell: None"),
        ("refresh", r#"{"user":"u","expired":true,"expire_at":9}"#, "expiry: Now"),
        ("refresh", r#"{"user":"u","expire_at":1800000000}"#, "expiry: At(1800000000)"),
        ("refresh", r#"{"client":"x"}"#, "expiry: Never"),
        ("presence", r#"{"channel":"c"}"#, r#"Presence { channel: "c" }"#),
        ("presence_stats", r#"{"channel":"c"}"#, r#"PresenceStats { channel: "c" }"#),
        ("history", r#"{"channel":"c"}"#, "query: Query { since: None, limit: 0, reverse: false }"),
        (
            "history",
            r#"{"channel":"c","limit":7,"since":{"offset":3,"epoch":"e"},"reverse":true}"#,
            r#"Query { since: Some((3, "e")), limit: 7, reverse: true }"#,
        ),
        ("history", r#"{"channel":"c","limit":-1}"#, &format!("limit: {}", usize::MAX)),
        ("history_remove", r#"{"channel":"c"}"#, r#"HistoryRemove { channel: "c" }"#),
        ("channels", r#"{"pattern":"n:*"}"#, r#"Channels { pattern: Some("n:*") }"#),
        ("channels", "{}", "Channels { pattern: None }"),
        ("info", " {} \n", "Info"),
        (
            "connections",
            r#"{"user":"u","channel":"c","ip":"::1","state":"connected","after":"x","limit":5000,"expression":""}"#,
            r#"ConnectionFilter { user: Some("u"), channel: Some("c"), ip: Some(::1), state: Some(Connected) }, after: Some("x"), limit: 1000"#,
        ),
        ("connections", "{}", "state: None }, after: None, limit: 100"),
        ("connection", r#"{"client":"x"}"#, r#"Connection { client: "x" }"#),
        ("send", r#"{"client":"x","data":1}"#, r#"Send { target: Client("x"), data: "1" }"#),
        ("send", r#"{"session":"s","data":1}"#, r#"target: Session("s")"#),
        ("send", r#"{"user":"u","data":1}"#, r#"target: User("u")"#),
    ] {
        let found = operation(method, body);
        assert!(found.contains(expected), "{method} {body} became {found}");
    }
}

#[test]
fn parameters_that_make_no_sense_are_told_at_once() {
    for (method, body) in [
        ("publish", "{}"),
        ("publish", "[]"),
        ("publish", "1"),
        ("publish", r#"{"channel":"c"}"#),
        ("publish", r#"{"data":1}"#),
        ("publish", r#"{"channel":"","data":1}"#),
        ("publish", r#"{"channel":null,"data":1}"#),
        ("publish", r#"{"channel":["c"],"data":1}"#),
        ("publish", r#"{"channel":"c","data":1,"skip_history":"yes"}"#),
        ("publish", r#"{"channel":"c","data":1,"tags":{"k":1}}"#),
        ("publish", r#"{"channel":"c","data":1,"tags":["k"]}"#),
        ("publish", r#"{"channel":"c","channel":"d","data":1}"#),
        ("broadcast", r#"{"channels":[],"data":1}"#),
        ("broadcast", r#"{"channels":["a",""],"data":1}"#),
        ("broadcast", r#"{"channels":"a","data":1}"#),
        ("broadcast", r#"{"channels":["a"]}"#),
        ("subscribe", r#"{"user":"u"}"#),
        ("subscribe", r#"{"channel":"c"}"#),
        ("subscribe", r#"{"user":"u","channel":"c","recover_since":[1,"e"]}"#),
        ("unsubscribe", r#"{"channel":"c"}"#),
        ("disconnect", "{}"),
        ("disconnect", r#"{"user":"u","disconnect":{"code":1000,"reason":"x"}}"#),
        ("disconnect", r#"{"user":"u","disconnect":{"code":5000,"reason":"x"}}"#),
        ("disconnect", r#"{"user":"u","disconnect":{"code":4501}}"#),
        ("disconnect", r#"{"user":"u","disconnect":{"code":4501,"reason":"{\"code\":1}"}}"#),
        ("disconnect", r#"{"user":"u","disconnect":{"code":4501,"reason":"42"}}"#),
        ("refresh", r#"{"expired":true}"#),
        ("refresh", r#"{"user":"u","expire_at":-1}"#),
        ("presence", "{}"),
        ("presence_stats", r#"{"channel":""}"#),
        ("history", r#"{"limit":1}"#),
        ("history", r#"{"channel":"c","limit":1.5}"#),
        ("history_remove", "{}"),
        ("info", "null"),
        ("connections", r#"{"ip":"here"}"#),
        ("connections", r#"{"state":"asleep"}"#),
        ("connection", "{}"),
        ("send", r#"{"data":1}"#),
        ("send", r#"{"user":"u"}"#),
        ("send", r#"{"user":"u","client":"x","data":1}"#),
        ("batch", "{}"),
        ("batch", "[]"),
        ("batch", r#"{"commands":{}}"#),
        ("batch", r#"{"commands":[],"parallel":1}"#),
    ] {
        check_error(method, body, ErrorCode::BadRequest);
    }
    check_error("connections", r#"{"expression":"true"}"#, ErrorCode::NotAvailable);
    let long = format!(r#"{{"user":"u","disconnect":{{"code":4501,"reason":"x{}"}}}}"#, "y".repeat(123));
    check_error("disconnect", &long, ErrorCode::BadRequest);
}

#[test]
fn every_outcome_is_told_as_back_ends_know_it() {
    check_result(Outcome::Done, "{}");
    check_result(Outcome::Published(None), "{}");
    check_result(published(3).unwrap(), r#"{"offset":3,"epoch":"e"}"#);
    check_result(
        Outcome::Broadcast(vec![
            Ok(Some(Position { offset: 1, epoch: "e".into() })),
            Ok(None),
            Err(ErrorCode::UnknownChannel),
        ]),
        concat!(
            r#"{"responses":[{"result":{"offset":1,"epoch":"e"}},{"result":{}},"#,
            r#"{"error":{"code":102,"message":"unknown channel"}}]}"#
        ),
    );
    let member = Member { client: 1, user: "u".into(), info: r#"{"client":"1","user":"u"}"#.into() };
    check_result(
        Outcome::Presence(vec![member]),
        r#"{"presence":{"00000000-0000-0000-0000-000000000001":{"client":"1","user":"u"}}}"#,
    );
    check_result(Outcome::PresenceStats { clients: 2, users: 1 }, r#"{"num_clients":2,"num_users":1}"#);
    let publications = vec![Publication { offset: 2, body: publication_body("1", None, None) }];
    let page = Page { position: Position { offset: 2, epoch: "e".into() }, publications };
    check_result(
        Outcome::History(Arc::new(page)),
        r#"{"publications":[{"data":1,"offset":2}],"offset":2,"epoch":"e"}"#,
    );
    check_result(
        Outcome::Channels(vec![("a\"".into(), 2), ("b".into(), 1)]),
        r#"{"channels":{"a\"":{"num_clients":2},"b":{"num_clients":1}}}"#,
    );
    check_result(Outcome::Channels(Vec::new()), r#"{"channels":{}}"#);
    check_result(Outcome::Sent(0), r#"{"sent":0}"#);
}

#[test]
fn the_node_is_told_with_all_its_counts() {
    let node =
        NodeInfo { uid: "1".into(), name: "n".into(), clients: 4, subscriptions: 3, users: 2, ..Default::default() };
    check_result(
        Outcome::Info(node),
        concat!(
            r#"{"nodes":[{"uid":"1","name":"n","num_clients":4,"num_users":2,"num_channels":0,"num_subs":3,"#,
            r#""uptime":0}]}"#
        ),
    );
}

#[test]
fn connections_are_told_in_pages_and_one_with_what_happened_to_it() {
    let row = ConnectionRow {
        client: "x".into(),
        user: "u".into(),
        address: "[::1]:9".into(),
        transport: "websocket",
        state: ConnectionState::Connected,
        app_name: "js".into(),
        app_version: String::new(),
        since_unix_secs: 1_800_000_000,
        channels: 1,
    };
    let told = concat!(
        r#""user":"u","app_name":"js","transport":"websocket","protocol":"json","status":"connected","#,
        r#""address":"[::1]:9","connected_at":1800000000,"num_channels":1"#
    );
    check_result(
        Outcome::Connections { rows: vec![row.clone()], next: Some("x".into()) },
        &format!(r#"{{"connections":{{"x":{{{told}}}}},"next":"x"}}"#),
    );
    check_result(Outcome::Connections { rows: Vec::new(), next: None }, r#"{"connections":{}}"#);
    let events = vec![ConnectionEvent { at_unix_millis: 5, words: "subscribed".into() }];
    let details = ConnectionDetails { row, channels: vec!["c".into()], queued_bytes: 7, events };
    check_result(
        Outcome::Connection(Box::new(details)),
        &format!(
            r#"{{"client":"x",{told},"channels":["c"],"queued_bytes":7,"events":[{{"at_ms":5,"event":"subscribed"}}]}}"#
        ),
    );
}

#[test]
fn an_error_of_the_hub_is_told_with_status_200_and_a_full_engine_with_503() {
    let mut bench = Bench::default();
    assert!(bench.post(1, "info", "{}").is_none());
    let (_, response) = bench.complete(bench.ticket(), Err(ErrorCode::NotAvailable)).unwrap();
    assert_eq!(
        (response.status(), text(&response)),
        (Status::Ok, r#"{"error":{"code":108,"message":"not available"}}"#)
    );
    assert!(bench.post(1, "info", "{}").is_none());
    let (_, response) = bench.complete(bench.ticket(), Err(ErrorCode::TooBusy)).unwrap();
    assert_eq!(response.status(), Status::Unavailable);
}

#[test]
fn a_payload_in_base64_must_be_json() {
    let found = operation("publish", r#"{"channel":"c","data":1,"b64data":"eyJ4IjoKMX0="}"#);
    assert!(found.contains(r#"data: "{\"x\":1}""#), "{found}");
    let found = operation("subscribe", r#"{"user":"u","channel":"c","b64info":"MQ==","b64data":"Mg=="}"#);
    assert!(found.contains(r#"info: Some("1"), data: Some("2")"#), "{found}");
    for bytes in ["AAEC", "/w==", "eyJ4IjoKMX0", "eyJ4IjoKMX0=!", "e30gMQ==", "////"] {
        check_error("publish", &format!(r#"{{"channel":"c","b64data":"{bytes}"}}"#), ErrorCode::BadRequest);
    }
}

#[test]
fn payloads_printed_over_many_lines_are_put_on_one() {
    let body = "{\n  \"channel\": \"c\",\n  \"data\": {\n    \"x\": \"a\\nb\"\r\n  },\n  \"tags\": {\n}}\n";
    let found = operation("publish", body);
    assert!(found.contains(r#"data: "{    \"x\": \"a\\nb\"  }", tags: None"#), "{found}");
}

#[test]
fn what_is_no_json_is_a_bad_request() {
    for body in [&b""[..], b" ", b"x", b"{", b"{}{}", b"{\"a\":\"\xff\"}", b"\xef\xbb\xbf{}", b"channel=c&data=1"] {
        for method in ["publish", "batch"] {
            let mut bench = Bench::default();
            let response = bench.request(1, &format!("POST /api/{method}"), "X-API-Key: secret\r\n", body).unwrap();
            assert_eq!(response.status(), Status::BadRequest, "{body:?}");
        }
    }
}

#[test]
fn depth_costs_no_stack() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    operation("publish", &format!(r#"{{"channel":"c","data":{deep}}}"#));
    operation("publish", &format!(r#"{{"channel":"c","data":1,"later":{deep}}}"#));
    check_error("publish", &deep, ErrorCode::BadRequest);
    check_error("publish", &format!(r#"{{"channel":"c","data":1,"tags":{deep}}}"#), ErrorCode::BadRequest);
    check_error("disconnect", &format!(r#"{{"user":"u","disconnect":{deep}}}"#), ErrorCode::BadRequest);
}

#[test]
fn what_came_for_a_connection_that_is_gone_is_dropped() {
    let mut bench = Bench::default();
    assert!(bench.post(1, "info", "{}").is_none());
    let first = bench.ticket();
    bench.api.forget(ConnId::from_bits(1));
    bench.api.forget(ConnId::from_bits(2));
    assert!(bench.complete(first, Ok(Outcome::Done)).is_none());
    assert!(bench.post(1, "info", "{}").is_none());
    let second = bench.ticket();
    assert_ne!(first, second);
    assert!(bench.complete(first, Ok(Outcome::Done)).is_none());
    assert!(bench.complete(second, Ok(Outcome::Done)).is_some());
    assert!(bench.complete(second, Ok(Outcome::Done)).is_none());
}

#[test]
fn answers_find_their_connections_in_any_order() {
    let mut bench = Bench::default();
    for id in 1..=3 {
        assert!(bench.post(id, "info", "{}").is_none());
    }
    let tickets: Vec<u64> = bench.submitted.iter().map(|(ticket, _)| *ticket).collect();
    for (at, id) in [(2, 3), (0, 1), (1, 2)] {
        assert_eq!(bench.complete(tickets[at], Ok(Outcome::Done)).unwrap().0, id);
    }
    assert_eq!((bench.api.waiting(), bench.api.held_bytes), (0, 0));
}

#[test]
fn only_so_many_requests_wait() {
    let mut bench = Bench::default();
    for id in 0..MAX_WAITING as u64 {
        assert!(bench.post(id, "info", "{}").is_none());
    }
    assert_eq!(bench.post(1 << 40, "info", "{}").unwrap().status(), Status::Unavailable);
    assert!(bench.complete(bench.ticket(), Ok(Outcome::Done)).is_some());
    assert!(bench.post(1 << 40, "info", "{}").is_none());
    assert_eq!(bench.api.waiting(), MAX_WAITING);
}

#[test]
fn only_so_many_bytes_wait() {
    let mut bench = Bench::default();
    let body = format!(r#"{{"channel":"c","data":"{}"}}"#, "x".repeat(8 << 20));
    let taken = (0..20).take_while(|id| bench.post(*id, "publish", &body).is_none()).count();
    assert_eq!(taken, 7);
    bench.api.forget(ConnId::from_bits(0));
    assert!(bench.post(30, "publish", &body).is_none());
}
