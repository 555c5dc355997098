//! Replies, byte by byte.

use super::*;
use crate::engine::Epoch;
use crate::hub::push::publication_body;
use serde_json::Value;

/// What `write` appends, which must be one JSON document on one line.
fn check(write: impl Fn(&mut Vec<u8>), expected: &str) {
    let mut out = b"before".to_vec();
    write(&mut out);
    let text = String::from_utf8(out).unwrap().strip_prefix("before").unwrap().to_owned();
    assert_eq!(text, expected);
    assert!(serde_json::from_str::<Value>(&text).is_ok() && !text.contains(['\n', '\r']), "{text}");
}

fn publication(offset: u64, data: &str) -> Publication {
    Publication { offset, body: publication_body(data, None, None) }
}

fn position(offset: u64) -> Position {
    Position { offset, epoch: Epoch::from("e1") }
}

fn member(client: u128, user: &str) -> Member {
    let info = format!(r#"{{"client":"{}","user":"{user}"}}"#, json::uuid(client));
    Member { client, user: user.into(), info: info.into() }
}

#[test]
fn an_error_says_its_code_its_words_and_whether_it_passes() {
    check(
        |out| error(out, 7, ErrorCode::PermissionDenied),
        r#"{"id":7,"error":{"code":103,"message":"permission denied"}}"#,
    );
    let temporary = r#"{"id":4294967295,"error":{"code":111,"message":"too many requests","temporary":true}}"#;
    check(|out| error(out, u32::MAX, ErrorCode::TooManyRequests), temporary);
    let busy = r#"{"id":1,"error":{"code":100,"message":"internal server error","temporary":true}}"#;
    check(|out| error(out, 1, ErrorCode::TooBusy), busy);
}

#[test]
fn a_result_is_there_even_when_it_is_empty() {
    for method in ["unsubscribe", "ping", "publish"] {
        check(|out| empty(out, 3, method), &format!(r#"{{"id":3,"{method}":{{}}}}"#));
    }
    check(|out| subscribe(out, 3, &SubscribeResult::default()), r#"{"id":3,"subscribe":{}}"#);
    check(|out| published(out, 3, None), r#"{"id":3,"publish":{}}"#);
    check(|out| presence(out, 3, &[]), r#"{"id":3,"presence":{"presence":{}}}"#);
    check(|out| sub_refresh(out, 3, None), r#"{"id":3,"sub_refresh":{}}"#);
    check(|out| write_subscribe_result(out, &SubscribeResult::default()), "{}");
}

#[test]
fn a_connection_is_told_all_it_needs_to_come_back() {
    let bare = ConnectResult { client: "c1", version: "Tidegate 0.1.0", ping: 25, pong: true, ..Default::default() };
    check(
        |out| connect(out, 1, &bare),
        r#"{"id":1,"connect":{"client":"c1","version":"Tidegate 0.1.0","ping":25,"pong":true}}"#,
    );
    let sub = SubscribeResult { recoverable: true, epoch: Some("e1"), ..Default::default() };
    let subs = [("news", sub), ("quote\"d", SubscribeResult::default())];
    let full = ConnectResult {
        session: Some("s1"),
        resumed: true,
        ttl: Some(60),
        data: Some("{\"a\":1}"),
        subs: &subs,
        ..bare
    };
    check(
        |out| connect(out, 1, &full),
        concat!(
            r#"{"id":1,"connect":{"client":"c1","version":"Tidegate 0.1.0","ping":25,"pong":true,"session":"s1","#,
            r#""resumed":true,"expires":true,"ttl":60,"data":{"a":1},"#,
            r#""subs":{"news":{"recoverable":true,"epoch":"e1"},"quote\"d":{}}}}"#
        ),
    );
}

#[test]
fn a_recovery_brings_what_was_missed() {
    let publications = [publication(8, "{\"x\":1}"), publication(9, "2")];
    let result = SubscribeResult {
        recoverable: true,
        positioned: true,
        epoch: Some("e1"),
        offset: 7,
        publications: &publications,
        recovered: true,
        was_recovering: true,
        ..Default::default()
    };
    check(
        |out| subscribe(out, 2, &result),
        concat!(
            r#"{"id":2,"subscribe":{"recoverable":true,"epoch":"e1","offset":7,"#,
            r#""publications":[{"data":{"x":1},"offset":8},{"data":2,"offset":9}],"#,
            r#""recovered":true,"positioned":true,"was_recovering":true}}"#
        ),
    );
}

#[test]
fn what_is_lost_is_told_from_its_first_to_its_last() {
    for (reason, name) in [(GapReason::HistoryTrimmed, "history_trimmed"), (GapReason::EpochChanged, "epoch_changed")] {
        let gap = Some(Gap { from: 0, to: 4, reason });
        let result = SubscribeResult { offset: 9, was_recovering: true, gap, ..Default::default() };
        let expected = format!(
            r#"{{"id":2,"subscribe":{{"offset":9,"was_recovering":true,"gap":{{"from":0,"to":4,"reason":"{name}"}}}}}}"#
        );
        check(|out| subscribe(out, 2, &result), &expected);
    }
}

#[test]
fn what_expires_says_when() {
    let result = SubscribeResult { ttl: Some(30), data: Some("null"), ..Default::default() };
    check(|out| subscribe(out, 2, &result), r#"{"id":2,"subscribe":{"expires":true,"ttl":30,"data":null}}"#);
    check(|out| sub_refresh(out, 2, Some(0)), r#"{"id":2,"sub_refresh":{"expires":true}}"#);
    let result = RefreshResult { client: "c1", ttl: Some(3600) };
    check(|out| refresh(out, 2, &result), r#"{"id":2,"refresh":{"client":"c1","expires":true,"ttl":3600}}"#);
    check(|out| refresh(out, 2, &RefreshResult { client: "c1", ttl: None }), r#"{"id":2,"refresh":{"client":"c1"}}"#);
}

#[test]
fn a_publication_with_a_key_learns_its_place() {
    check(|out| published(out, 4, Some(&position(12))), r#"{"id":4,"publish":{"offset":12,"epoch":"e1"}}"#);
}

#[test]
fn presence_is_told_by_client() {
    let members = [member(1, "a"), member(u128::MAX, "")];
    check(
        |out| presence(out, 5, &members),
        concat!(
            r#"{"id":5,"presence":{"presence":{"#,
            r#""00000000-0000-0000-0000-000000000001":{"client":"00000000-0000-0000-0000-000000000001","user":"a"},"#,
            r#""ffffffff-ffff-ffff-ffff-ffffffffffff":{"client":"ffffffff-ffff-ffff-ffff-ffffffffffff","user":""}}}}"#
        ),
    );
    check(|out| presence_stats(out, 5, 0, 0), r#"{"id":5,"presence_stats":{"num_clients":0,"num_users":0}}"#);
}

#[test]
fn a_history_always_says_where_it_stands() {
    let page = Page { position: position(2), publications: vec![publication(2, "2"), publication(1, "1")] };
    check(
        |out| history(out, 6, &page),
        r#"{"id":6,"history":{"publications":[{"data":2,"offset":2},{"data":1,"offset":1}],"offset":2,"epoch":"e1"}}"#,
    );
    let empty = Page { position: position(0), publications: Vec::new() };
    check(|out| history(out, 6, &empty), r#"{"id":6,"history":{"publications":[],"epoch":"e1"}}"#);
}

#[test]
fn an_answer_of_the_application_is_passed_on() {
    check(|out| rpc(out, 9, "[1,2]"), r#"{"id":9,"rpc":{"data":[1,2]}}"#);
}

#[test]
fn no_text_breaks_out_of_its_string() {
    for text in ["\"}", "\\", "\n\r\t\0\u{1f}", "\u{2028}ä😀", "</script>"] {
        let mut out = Vec::new();
        connect(&mut out, 1, &ConnectResult { client: text, session: Some(text), ..Default::default() });
        let value: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!((&value["connect"]["client"], &value["connect"]["session"]), (&text.into(), &text.into()));
        assert!(!out.contains(&b'\n'));
    }
}
