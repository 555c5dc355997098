//! A client of a hub on a virtual clock: what it says, does and tells, as a log that people can read.

mod model;
mod rig;

use super::*;
use crate::client::{ClientOptions, Refusal};
use crate::wire::Wire;
use rig::{Rig, WELCOME, calm, json};
use std::time::Duration;

const CONNECT: &str = r#"> {"id":1,"connect":{"name":"n","version":"v"}}"#;
const CONNECT_AGAIN: &str = r#"> {"id":1,"connect":{"session":"s","name":"n","version":"v"}}"#;
/// The same from `a` at 5 or 6.
const CONNECT_AT_5: &str = r#"> {"id":1,"connect":{"session":"s","name":"n","version":"v","subs":{"a":{"recover":true,"epoch":"e","offset":5}}}}"#;
const CONNECT_AT_6: &str = r#"> {"id":1,"connect":{"session":"s","name":"n","version":"v","subs":{"a":{"recover":true,"epoch":"e","offset":6}}}}"#;
const RESET: &str = "lost: PeerReset";
/// What stands in the log for what all keys of a client begin with.
const KEY: &str = "KEY";

/// Subscribed to `a` and watched at offset 5 of epoch `e`.
fn watched() -> Rig {
    let mut rig = Rig::joined();
    rig.hub.subscribe("a", SubscribeOptions::default()).unwrap();
    rig.settle();
    rig.say(r#"{"id":2,"subscribe":{"recoverable":true,"epoch":"e","offset":5}}"#);
    rig.log();
    rig
}

fn publication(offset: u64) -> String {
    format!(r#"{{"push":{{"channel":"a","pub":{{"offset":{offset},"data":{offset}}}}}}}"#)
}

#[test]
fn it_says_who_it_is_and_waits_with_everything_else_until_it_is_welcome() {
    let mut rig = Rig::new(Wire::Length, calm());
    rig.hub.subscribe("a", SubscribeOptions::default()).unwrap();
    rig.hub.subscribe("b", SubscribeOptions { recoverable: true, ..SubscribeOptions::default() }).unwrap();
    rig.hub.publish("a", json("{\n\"x\":1}")).unwrap();
    rig.expect(&[CONNECT]);
    rig.say(WELCOME);
    rig.expect(&[
        "connected as c",
        r#"> {"id":2,"subscribe":{"channel":"a"}}"#,
        r#"+ {"id":3,"subscribe":{"channel":"b","recoverable":true}}"#,
        &format!(r#"+ {{"id":4,"publish":{{"channel":"a","data":{{ "x":1}},"idempotency_key":"{KEY}-1"}}}}"#),
    ]);
}

#[test]
fn on_the_line_wire_a_command_is_a_line() {
    let mut rig = Rig::new(Wire::Line, calm());
    rig.hub.subscribe("a", SubscribeOptions::default()).unwrap();
    rig.hub.subscribe("b", SubscribeOptions::default()).unwrap();
    rig.say(WELCOME);
    rig.expect(&[
        CONNECT,
        "connected as c",
        r#"> {"id":2,"subscribe":{"channel":"a"}}"#,
        r#"> {"id":3,"subscribe":{"channel":"b"}}"#,
    ]);
}

#[test]
fn publications_arrive_in_their_order_however_the_bytes_are_cut() {
    for piece in [usize::MAX, 1, 2, 3, 7, 64] {
        let mut rig = watched();
        rig.piece = piece;
        rig.say(&format!("{}\n{}\n{{}}", publication(6), publication(7)));
        rig.say(&publication(8));
        rig.expect(&["a#6 6", "a#7 7", "> {}", "a#8 8"]);
    }
}

#[test]
fn on_return_each_channel_is_asked_for_from_where_it_stood_in_one_message() {
    let mut rig = watched();
    rig.hub.subscribe("b", SubscribeOptions::default()).unwrap();
    rig.settle();
    rig.say(r#"{"id":3,"subscribe":{}}"#);
    rig.say(&publication(6));
    rig.log();
    rig.come_back(WELCOME);
    rig.expect(&[
        RESET,
        CONNECT_AT_6,
        "connected as c, away",
        r#"> {"id":2,"subscribe":{"channel":"a","recover":true,"epoch":"e","offset":6}}"#,
        r#"+ {"id":3,"subscribe":{"channel":"b"}}"#,
    ]);
    rig.say(
        r#"{"id":2,"subscribe":{"recoverable":true,"epoch":"e","offset":6,"recovered":true,"was_recovering":true,"publications":[{"offset":7,"data":7},{"offset":8,"data":8}]}}"#,
    );
    rig.say(&publication(9));
    rig.expect(&["subscribed a Whole at e:6", "a#7 7", "a#8 8", "a#9 9"]);
    assert_eq!(rig.hub.position("a"), Some(&Position { epoch: "e".into(), offset: 9 }));
}

#[test]
fn what_a_history_has_let_go_of_is_told() {
    let mut rig = watched();
    rig.come_back(WELCOME);
    rig.log();
    rig.say(
        r#"{"id":2,"subscribe":{"recoverable":true,"epoch":"f","offset":3,"gap":{"from":1,"to":3,"reason":"epoch_changed"}}}"#,
    );
    rig.say(&publication(4));
    rig.expect(&["subscribed a Gap at f:3", "a gap 1..3: the history has begun anew", "a#4 4"]);
    assert_eq!(rig.hub.counts(), HubCounts { publications: 1, gaps: 1, ..HubCounts::default() });
}

#[test]
fn what_a_server_leaves_out_or_repeats_is_told_and_nothing_is_delivered_twice() {
    let mut rig = watched();
    for offset in [6, 6, 9, 8, 10] {
        rig.say(&publication(offset));
    }
    rig.expect(&["a#6 6", "a doubled 6", "a missed 7..8", "a#9 9", "a doubled 8", "a#10 10"]);
    assert_eq!(rig.hub.counts(), HubCounts { publications: 3, doubled: 2, missed: 2, gaps: 0 });
}

#[test]
fn a_recovery_that_leaves_something_out_is_told() {
    let mut rig = watched();
    rig.come_back(WELCOME);
    rig.log();
    rig.say(
        r#"{"id":2,"subscribe":{"recoverable":true,"epoch":"e","offset":9,"recovered":true,"publications":[{"offset":7,"data":7}]}}"#,
    );
    rig.expect(&["subscribed a Whole at e:5", "a missed 6..6", "a#7 7", "a missed 8..9"]);
}

#[test]
fn a_channel_left_is_left_at_once_and_can_be_entered_again() {
    let mut rig = watched();
    assert!(rig.hub.unsubscribe("a") && !rig.hub.unsubscribe("a"));
    rig.hub.subscribe("a", SubscribeOptions::default()).unwrap();
    rig.expect(&[r#"> {"id":3,"unsubscribe":{"channel":"a"}}"#, r#"+ {"id":4,"subscribe":{"channel":"a"}}"#]);
    rig.say(&publication(6));
    rig.say(r#"{"id":3,"unsubscribe":{}}"#);
    rig.say(r#"{"id":4,"subscribe":{"recoverable":true,"epoch":"e","offset":6}}"#);
    rig.say(&publication(7));
    rig.expect(&["subscribed a Fresh at e:6", "a#7 7"]);
}

#[test]
fn an_answer_to_a_subscription_that_was_left_meanwhile_changes_nothing() {
    let mut rig = Rig::joined();
    rig.hub.subscribe("a", SubscribeOptions::default()).unwrap();
    rig.settle();
    rig.hub.unsubscribe("a");
    rig.hub.subscribe("a", SubscribeOptions::default()).unwrap();
    rig.log();
    rig.say(r#"{"id":2,"subscribe":{"recoverable":true,"epoch":"e","offset":6}}"#);
    rig.expect(&[]);
    rig.say(r#"{"id":4,"subscribe":{"recoverable":true,"epoch":"e","offset":9}}"#);
    rig.expect(&["subscribed a Fresh at e:9"]);
}

#[test]
fn a_server_that_interrupts_a_subscription_is_asked_again_and_one_that_ends_it_is_not() {
    let mut rig = watched();
    rig.say(r#"{"push":{"channel":"a","unsubscribe":{"code":2500,"reason":"insufficient state"}}}"#);
    rig.expect(&["again a: insufficient state (2500)"]);
    rig.say(&publication(6));
    rig.run_for(1_000);
    rig.expect(&[r#"> {"id":3,"subscribe":{"channel":"a","recover":true,"epoch":"e","offset":5}}"#]);
    rig.say(r#"{"id":3,"subscribe":{"recoverable":true,"epoch":"e","offset":5,"recovered":true}}"#);
    rig.say(r#"{"push":{"channel":"a","unsubscribe":{"code":2000,"reason":"by the server"}}}"#);
    rig.say(&publication(6));
    rig.run_for(100);
    rig.expect(&["subscribed a Whole at e:5", "unsubscribed a: 2000 by the server"]);
}

#[test]
fn errors_that_pass_are_waited_for_and_others_end_a_subscription() {
    let mut rig = Rig::joined();
    rig.hub.subscribe("a", SubscribeOptions::default()).unwrap();
    rig.hub.subscribe("b", SubscribeOptions::default()).unwrap();
    rig.log();
    rig.say(r#"{"id":2,"error":{"code":100,"message":"internal server error"}}"#);
    rig.say(r#"{"id":3,"error":{"code":103,"message":"permission denied"}}"#);
    rig.expect(&["again a: internal server error (100)", "no b: permission denied (103)"]);
    rig.run_for(1_000);
    rig.expect(&[r#"> {"id":4,"subscribe":{"channel":"a"}}"#]);
    assert_eq!(rig.hub.subscribe("b", SubscribeOptions::default()), Ok(()));
}

#[test]
fn a_subscription_that_the_session_kept_is_made_again_from_our_position() {
    let mut rig = watched();
    rig.come_back(r#"{"id":1,"connect":{"client":"d","session":"s","resumed":true}}"#);
    rig.say(&publication(6));
    rig.say(r#"{"id":2,"error":{"code":105,"message":"already subscribed"}}"#);
    rig.run_for(0);
    let log = rig.log();
    assert_eq!(log[2], "connected as d, away, resumed");
    assert_eq!(
        log[4..],
        [
            "again a: already subscribed (105)",
            r#"> {"id":3,"unsubscribe":{"channel":"a"}}"#,
            r#"+ {"id":4,"subscribe":{"channel":"a","recover":true,"epoch":"e","offset":5}}"#,
        ]
    );
}

#[test]
fn a_subscription_that_the_session_brings_along_is_taken_over() {
    let mut rig = watched();
    rig.come_back(
        r#"{"id":1,"connect":{"client":"d","resumed":true,"subs":{"a":{"recoverable":true,"epoch":"e","offset":5,"recovered":true,"publications":[{"offset":6,"data":6}]}}}}"#,
    );
    rig.expect(&[RESET, CONNECT_AT_5, "connected as d, away, resumed", "subscribed a Whole at e:5", "a#6 6"]);
}

#[test]
fn what_was_left_while_away_is_not_brought_along() {
    let mut rig = watched();
    rig.cut();
    assert!(rig.hub.unsubscribe("a"));
    rig.run_for(1_000);
    rig.say(
        r#"{"id":1,"connect":{"client":"d","resumed":true,"subs":{"a":{"recoverable":true,"epoch":"e","offset":6}}}}"#,
    );
    rig.say(&publication(7));
    rig.expect(&[RESET, CONNECT_AGAIN, "connected as d, away, resumed", r#"> {"id":2,"unsubscribe":{"channel":"a"}}"#]);
    rig.come_back(r#"{"id":1,"connect":{"client":"e"}}"#);
    assert_eq!(rig.log().last().unwrap(), "connected as e, away", "nothing is left to be told");
}

#[test]
fn subscriptions_of_the_servers_are_recovered_with_the_connection() {
    let mut rig = Rig::new(Wire::Length, calm());
    let subs = r#"{"id":1,"connect":{"client":"c","subs":{"s":{"recoverable":true,"epoch":"e","offset":2},"t":{}}}}"#;
    rig.say(subs);
    rig.say(r#"{"push":{"channel":"s","pub":{"offset":3,"data":3}}}"#);
    rig.say(r#"{"push":{"channel":"u","subscribe":{"positioned":true,"epoch":"e","offset":9}}}"#);
    rig.say(r#"{"push":{"channel":"u","unsubscribe":{"code":2500,"reason":"r"}}}"#);
    assert_eq!(rig.hub.subscribe("s", SubscribeOptions::default()), Err(SubscribeRefusal::Already));
    assert!(!rig.hub.unsubscribe("s"));
    rig.expect(&[
        CONNECT,
        "connected as c",
        "subscribed s by the server Fresh at e:2",
        "subscribed t by the server Fresh",
        "s#3 3",
        "subscribed u by the server Fresh at e:9",
        "unsubscribed u: 2500 r",
    ]);
    rig.come_back(
        r#"{"id":1,"connect":{"client":"d","subs":{"s":{"recoverable":true,"epoch":"e","offset":3,"recovered":true,"publications":[{"offset":4,"data":4}]}}}}"#,
    );
    rig.expect(&[
        RESET,
        r#"> {"id":1,"connect":{"name":"n","version":"v","subs":{"s":{"recover":true,"epoch":"e","offset":3}}}}"#,
        "connected as d, away",
        "unsubscribed t: 0 the server does not make this subscription any more",
        "subscribed s by the server Whole at e:3",
        "s#4 4",
    ]);
}

#[test]
fn what_was_published_without_an_answer_is_sent_again_with_its_key() {
    let mut rig = Rig::joined();
    for number in 1..=3 {
        rig.hub.publish("a", json(&number.to_string())).unwrap();
        rig.settle();
    }
    rig.say(r#"{"id":3,"publish":{"offset":8,"epoch":"e"}}"#);
    rig.log();
    rig.come_back(WELCOME);
    let publish = |id: u32, n: u32| {
        format!(r#"{{"id":{id},"publish":{{"channel":"a","data":{n},"idempotency_key":"{KEY}-{n}"}}}}"#)
    };
    let sent = [format!("> {}", publish(2, 1)), format!("+ {}", publish(3, 3))];
    rig.expect(&[RESET, CONNECT_AGAIN, "connected as c, away", &sent[0], &sent[1]]);
    rig.say("{\"id\":2,\"publish\":{}}\n{\"id\":3,\"error\":{\"code\":103,\"message\":\"permission denied\"}}");
    rig.expect(&["published 1 :0", "unpublished 3 a: permission denied (103)"]);
    assert_eq!(rig.hub.waiting_publications(), 0);
}

#[test]
fn a_publication_that_the_server_cannot_take_holds_back_those_behind_it() {
    let mut rig = Rig::joined();
    rig.hub.publish("a", json("1")).unwrap();
    rig.log();
    rig.say(r#"{"id":2,"error":{"code":111,"message":"too many requests"}}"#);
    rig.hub.publish("a", json("2")).unwrap();
    rig.expect(&[]);
    rig.run_for(1_000);
    let sent = rig.log();
    assert!(sent.len() == 2 && sent[0].contains("-1") && sent[1].contains("-2"), "{sent:?}");
}

#[test]
fn outboxes_are_bounded_and_hand_back_what_they_refuse() {
    let options = || HubOptions {
        connection: ClientOptions {
            max_outbox_messages: 2,
            max_message_bytes: 16 << 10,
            max_outbox_bytes: 17 << 10,
            ..calm().connection
        },
        max_requests: 1,
        max_subscriptions: 1,
        ..calm()
    };
    let mut rig = Rig::new(Wire::Length, options());
    let large = Json::string(&"x".repeat(16 << 10));
    let refused = rig.hub.publish("a", large.clone()).unwrap_err();
    assert_eq!((refused.refusal, refused.data), (Refusal::MessageTooLarge(16 << 10), large));
    let half = Json::string(&"x".repeat(10 << 10));
    rig.hub.publish("a", half.clone()).unwrap();
    assert_eq!(rig.hub.publish("a", half).unwrap_err().refusal, Refusal::TooManyBytes(17 << 10));
    rig.hub.publish("a", json("1")).unwrap();
    assert_eq!(rig.hub.publish("a", json("1")).unwrap_err().refusal, Refusal::TooManyMessages(2));
    let request = Request::PresenceStats { channel: "a".into() };
    rig.hub.request(&request).unwrap();
    assert_eq!(rig.hub.request(&request), Err(Refusal::TooManyMessages(1)));
    let mut subscribe = |channel: &str| rig.hub.subscribe(channel, SubscribeOptions::default());
    assert_eq!(subscribe(""), Err(SubscribeRefusal::BadName));
    assert_eq!(subscribe("a\n"), Err(SubscribeRefusal::BadName));
    assert_eq!((subscribe("a"), subscribe("a")), (Ok(()), Err(SubscribeRefusal::Already)));
    assert_eq!(subscribe("b"), Err(SubscribeRefusal::TooMany(1)));
    assert_eq!(rig.hub.set_token("x".repeat(9_000)), Err(Refusal::MessageTooLarge(16 << 10)));
}

#[test]
fn requests_are_answered_with_what_the_server_wrote() {
    let mut rig = Rig::joined();
    let since = Some(Position { epoch: "e".into(), offset: 3 });
    for request in [
        Request::Presence { channel: "a".into() },
        Request::PresenceStats { channel: "a".into() },
        Request::History { channel: "a".into(), limit: 5, since, reverse: true },
        Request::Rpc { method: "m".into(), data: json("[1]") },
    ] {
        rig.hub.request(&request).unwrap();
    }
    rig.expect(&[
        r#"> {"id":2,"presence":{"channel":"a"}}"#,
        r#"+ {"id":3,"presence_stats":{"channel":"a"}}"#,
        r#"+ {"id":4,"history":{"channel":"a","limit":5,"since":{"offset":3,"epoch":"e"},"reverse":true}}"#,
        r#"+ {"id":5,"rpc":{"method":"m","data":[1]}}"#,
    ]);
    rig.say(r#"{"id":2,"presence":{"presence": {}}}"#);
    rig.say(r#"{"id":4,"history":{"offset":3}}"#);
    rig.say(r#"{"id":3,"error":{"code":108,"message":"not available"}}"#);
    rig.cut();
    rig.expect(&[
        r#"answer {"presence": {}}"#,
        r#"answer {"offset":3}"#,
        "answer not available (108)",
        RESET,
        "answer cut",
    ]);
    assert!(rig.hub.request(&Request::Presence { channel: "a".into() }).is_ok());
    rig.hub.stop(rig.now);
    rig.expect(&["answer cut", "stopped"]);
}

#[test]
fn pings_are_answered_and_their_absence_ends_the_connection() {
    let mut rig = Rig::joined();
    rig.run_for(20_000);
    rig.say("{}");
    rig.expect(&["> {}"]);
    rig.run_for(34_999);
    rig.expect(&[]);
    rig.run_for(1);
    assert_eq!(rig.log()[0], "lost: HeartbeatTimeout");
}

#[test]
fn a_message_of_many_pings_is_answered_once() {
    let mut rig = Rig::joined();
    rig.say(&"{}\n".repeat(1000));
    rig.expect(&["> {}"]);
}

#[test]
fn an_answer_that_does_not_come_ends_the_connection() {
    let mut rig = Rig::new(Wire::Length, calm());
    rig.run_for(10_000);
    assert_eq!(rig.log()[..2], [CONNECT, "failed: TransportError (timed out)"]);
    let mut rig = watched();
    rig.hub.publish("a", json("1")).unwrap();
    rig.settle();
    for _ in 0..12 {
        rig.run_for(1_000);
        rig.say("{}");
    }
    assert!(rig.log().contains(&"lost: TransportError (timed out)".to_owned()));
}

#[test]
fn codes_that_say_so_keep_it_away_and_others_do_not() {
    for (code, expected) in [(3500, "gave up"), (4500, "gave up"), (1009, "gave up"), (3001, "lost"), (4000, "lost")] {
        let mut rig = Rig::joined();
        rig.say(&format!(r#"{{"push":{{"disconnect":{{"code":{code},"reason":"words"}}}}}}"#));
        rig.expect(&[&format!("{expected}: closed by the server with {code}: words")]);
        assert_eq!(rig.hub.is_ended(), expected == "gave up");
    }
    let mut rig = Rig::new(Wire::Line, calm());
    rig.say(r#"{"push":{"disconnect":{"code":3501,"reason":"bad request"}}}"#);
    rig.expect(&[CONNECT, "gave up: closed by the server with 3501: bad request"]);
}

#[test]
fn a_refusal_for_good_is_the_end_and_one_that_passes_is_not() {
    let mut rig = Rig::new(Wire::Length, calm());
    rig.say(r#"{"id":1,"error":{"code":100,"message":"internal server error","temporary":true}}"#);
    rig.run_for(1_000);
    rig.expect(&[CONNECT, "failed: refused with 100: internal server error", CONNECT]);
    rig.say(r#"{"id":1,"error":{"code":101,"message":"unauthorized"}}"#);
    rig.expect(&["gave up: refused with 101: unauthorized"]);
}

fn asking() -> HubOptions {
    HubOptions { token: TokenSource::Asked, ..calm() }
}

#[test]
fn nothing_is_tried_without_the_token_that_was_asked_for() {
    let mut rig = Rig::new(Wire::Length, asking());
    rig.run_for(60_000);
    rig.expect(&["token?"]);
    rig.hub.set_token("t1").unwrap();
    rig.run_for(0);
    rig.expect(&[r#"> {"id":1,"connect":{"token":"t1","name":"n","version":"v"}}"#]);
    rig.say(r#"{"id":1,"error":{"code":109,"message":"token expired"}}"#);
    rig.run_for(60_000);
    rig.expect(&["failed: refused with 109: token expired", "token?"]);
    rig.hub.set_token("t2").unwrap();
    rig.run_for(0);
    rig.expect(&[r#"> {"id":1,"connect":{"token":"t2","name":"n","version":"v"}}"#]);
}

#[test]
fn a_token_is_asked_for_before_the_last_one_expires() {
    let mut rig = Rig::new(Wire::Length, asking());
    rig.hub.set_token("t1").unwrap();
    rig.run_for(0);
    rig.say(r#"{"id":1,"connect":{"client":"c","expires":true,"ttl":10}}"#);
    rig.log();
    rig.run_for(7_999);
    rig.expect(&[]);
    rig.run_for(1);
    rig.expect(&["token?"]);
    rig.hub.set_token("t2").unwrap();
    rig.expect(&[r#"> {"id":2,"refresh":{"token":"t2"}}"#]);
    rig.say(r#"{"id":2,"error":{"code":100,"message":"internal server error"}}"#);
    rig.run_for(5_000);
    rig.expect(&["token?"]);
    rig.hub.set_token("t3").unwrap();
    rig.log();
    rig.say(r#"{"id":3,"refresh":{"client":"c","expires":true,"ttl":10}}"#);
    rig.run_for(8_000);
    rig.expect(&["token?"]);
}

#[test]
fn a_subscription_is_asked_with_a_token_of_its_own() {
    let mut rig = Rig::joined();
    rig.hub.subscribe("a", SubscribeOptions { token: TokenSource::Asked, ..Default::default() }).unwrap();
    rig.expect(&["token for a?"]);
    rig.hub.set_subscription_token("a", "t1").unwrap();
    rig.expect(&[r#"> {"id":2,"subscribe":{"channel":"a","token":"t1"}}"#]);
    rig.say(r#"{"id":2,"error":{"code":109,"message":"token expired"}}"#);
    rig.run_for(0);
    rig.expect(&["again a: token expired (109)", "token for a?"]);
    rig.hub.set_subscription_token("a", "t2").unwrap();
    rig.log();
    rig.say(r#"{"id":3,"subscribe":{"expires":true,"ttl":10}}"#);
    rig.run_for(8_000);
    rig.expect(&["subscribed a Fresh", "token for a?"]);
    rig.hub.set_subscription_token("a", "t3").unwrap();
    rig.expect(&[r#"> {"id":4,"sub_refresh":{"channel":"a","token":"t3"}}"#]);
}

#[test]
fn who_comes_and_goes_and_what_is_for_us_alone_is_told() {
    let mut rig = watched();
    rig.say(r#"{"push":{"channel":"a","join":{"info":{"user":"u"}}}}"#);
    rig.say(r#"{"push":{"channel":"a","leave":{"info":{"user":"u"}}}}"#);
    rig.say(r#"{"push":{"channel":"elsewhere","leave":{"info":{"user":"u"}}}}"#);
    rig.say(r#"{"push":{"channel":"elsewhere","pub":{"data":1}}}"#);
    rig.say(r#"{"push":{"message":{"data":null}}}"#);
    rig.expect(&[r#"a join {"user":"u"}"#, r#"a leave {"user":"u"}"#, "message null"]);
}

#[test]
fn what_is_not_the_protocol_ends_the_connection_and_what_is_new_does_not() {
    for message in ["hello", "{\"id\":", "[]", "\u{7f}", r#"{"push":{"pub":{"offset":-1}}}"#] {
        let mut rig = watched();
        rig.say(message);
        rig.expect(&["lost: ProtocolError"]);
    }
    let mut rig = watched();
    rig.say(r#"{"id":99,"frob":{}}"#);
    rig.say(r#"{"push":{"channel":"a","frob":{"x":[]}}}"#);
    rig.say(r#"{"push":{"channel":"a","connect":{}}}"#);
    rig.say("");
    rig.expect(&[]);
}

#[test]
fn a_server_that_subscribes_us_to_everything_is_left() {
    let mut rig = Rig::new(Wire::Length, HubOptions { max_subscriptions: 2, ..calm() });
    rig.say(r#"{"id":1,"connect":{"client":"c","subs":{"a":{},"b":{},"c":{}}}}"#);
    assert_eq!(rig.log().last().unwrap(), "lost: ProtocolError");
}

#[test]
fn what_comes_before_the_end_in_one_read_still_counts() {
    let mut rig = watched();
    rig.say(&format!(
        "{}\n{}\n{}",
        publication(6),
        r#"{"push":{"disconnect":{"code":3001,"reason":"w"}}}"#,
        publication(7)
    ));
    rig.expect(&["a#6 6", "lost: closed by the server with 3001: w"]);
}

#[test]
fn a_full_socket_holds_commands_back_and_is_not_asked_again_and_again() {
    let mut rig = watched();
    rig.socket_takes = 100;
    for _ in 0..1024 {
        rig.hub.publish("a", Json::string(&"x".repeat(900))).unwrap();
    }
    rig.settle();
    let below = rig.hub.client.waiting_bytes();
    assert!(below < 3 * (64 << 10), "{below}");
    rig.socket_takes = usize::MAX;
    let sent = rig.log().len();
    assert_eq!(sent, calm().max_in_flight);
}

#[test]
fn options_that_do_not_fit_are_refused() {
    let raw = HubClient::new(Wire::Raw, calm(), 1, crate::timer::Time::ZERO).unwrap_err();
    assert_eq!(raw.setting, "wire");
    let none = HubOptions { answer_timeout: Duration::ZERO, ..calm() };
    assert_eq!(HubClient::new(Wire::Line, none, 1, crate::timer::Time::ZERO).unwrap_err().setting, "answer_timeout");
}
