//! Pushes, byte by byte.

use super::*;
use serde_json::Value;

/// A push must be one JSON document on one line.
fn check(push: &[u8], expected: &str) {
    let text = std::str::from_utf8(push).unwrap();
    assert_eq!(text, expected);
    assert!(serde_json::from_str::<Value>(text).is_ok() && !text.contains(['\n', '\r']), "{text}");
}

#[test]
fn a_publication_says_where_and_what_and_its_offset_if_it_has_one() {
    let body = publication_body("{\"x\":1}", None, None);
    let at = |offset| publication("n:1", &Publication { offset, body: body.clone() });
    check(&at(3), r#"{"push":{"channel":"n:1","pub":{"data":{"x":1},"offset":3}}}"#);
    check(&at(0), r#"{"push":{"channel":"n:1","pub":{"data":{"x":1}}}}"#);
    check(&at((1 << 53) - 1), r#"{"push":{"channel":"n:1","pub":{"data":{"x":1},"offset":9007199254740991}}}"#);
}

#[test]
fn a_publication_of_a_client_says_whose_it_is() {
    let body = publication_body("1", Some(br#"{"user":"u","client":"c"}"#), Some(r#"{"k":"v"}"#));
    check(
        &publication("c", &Publication { offset: 1, body }),
        r#"{"push":{"channel":"c","pub":{"data":1,"info":{"user":"u","client":"c"},"tags":{"k":"v"},"offset":1}}}"#,
    );
}

#[test]
fn who_comes_and_goes_is_told() {
    let info = br#"{"client":"c1","user":"u","conn_info":{"name":"x"}}"#;
    let told = r#"{"info":{"client":"c1","user":"u","conn_info":{"name":"x"}}}"#;
    check(&join("c", info), &format!(r#"{{"push":{{"channel":"c","join":{told}}}}}"#));
    check(&leave("c", info), &format!(r#"{{"push":{{"channel":"c","leave":{told}}}}}"#));
}

#[test]
fn the_end_of_a_subscription_has_a_code_and_words() {
    for (code, told) in [
        (UnsubscribeCode::ByServer, r#"{"code":2000,"reason":"server unsubscribe"}"#),
        (UnsubscribeCode::InsufficientState, r#"{"code":2500,"reason":"insufficient state"}"#),
        (UnsubscribeCode::Expired, r#"{"code":2501,"reason":"subscription expired"}"#),
    ] {
        check(&unsubscribe("c", code), &format!(r#"{{"push":{{"channel":"c","unsubscribe":{told}}}}}"#));
    }
}

#[test]
fn a_server_side_subscription_brings_its_position() {
    let result = SubscribeResult { recoverable: true, epoch: Some("e"), offset: 4, ..Default::default() };
    let expected = r#"{"push":{"channel":"c","subscribe":{"recoverable":true,"epoch":"e","offset":4}}}"#;
    check(&subscribe("c", &result), expected);
    check(&subscribe("c", &SubscribeResult::default()), r#"{"push":{"channel":"c","subscribe":{}}}"#);
}

#[test]
fn what_concerns_the_connection_names_no_channel() {
    check(&message("[1,2]"), r#"{"push":{"message":{"data":[1,2]}}}"#);
    check(
        &disconnect(3001, "server is shutting down"),
        r#"{"push":{"disconnect":{"code":3001,"reason":"server is shutting down"}}}"#,
    );
    check(&refresh(Some(60)), r#"{"push":{"refresh":{"expires":true,"ttl":60}}}"#);
    check(&refresh(None), r#"{"push":{"refresh":{}}}"#);
}

#[test]
fn a_channel_can_not_break_out_of_its_name() {
    for channel in ["\"},\"x\":{\"", "\\", "ä\u{2028}\n\0"] {
        let push = join(channel, b"{}");
        let value: Value = serde_json::from_slice(&push).unwrap();
        assert_eq!(value["push"]["channel"], channel);
        assert!(!push.contains(&b'\n') && value.as_object().unwrap().len() == 1);
    }
}
