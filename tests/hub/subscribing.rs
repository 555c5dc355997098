//! Connecting, subscribing, publishing.

use crate::kit::Rig;

#[test]
fn commands_are_answered_in_order_with_their_ids() {
    let mut rig = Rig::insecure();
    let id = rig.client();
    assert_eq!(
        rig.ask(
            id,
            "{\"id\":2,\"ping\":{}}\n{\"id\":3,\"rpc\":{\"method\":\"x\",\"data\":{}}}\n{\"id\":4,\"frob\":{}}"
        ),
        [
            r#"{"id":2,"ping":{}}"#,
            r#"{"id":3,"error":{"code":108,"message":"not available"}}"#,
            r#"{"id":4,"error":{"code":104,"message":"method not found"}}"#,
        ]
    );
}

#[test]
fn a_publication_reaches_every_subscriber_once_and_its_publisher_gets_it_before_the_answer() {
    let mut rig = Rig::insecure();
    let (a, b) = (rig.client(), rig.client());
    for id in [a, b] {
        let told = rig.ask(id, r#"{"id":2,"subscribe":{"channel":"c"}}"#);
        assert!(told[0].starts_with(r#"{"id":2,"subscribe":{"recoverable":true,"#), "{told:?}");
    }
    let told = rig.ask(a, r#"{"id":3,"publish":{"channel":"c","data":{"x":1}}}"#);
    assert_eq!(told.len(), 2);
    assert!(told[0].starts_with(r#"{"push":{"channel":"c","pub":{"data":{"x":1},"info":{"client":""#), "{told:?}");
    assert!(told[0].ends_with(r#""offset":1}}}"#), "{told:?}");
    assert_eq!(told[1], r#"{"id":3,"publish":{}}"#);
    assert_eq!(rig.told(b), told[..1]);
}

#[test]
fn a_second_subscription_to_the_same_channel_is_an_error_and_an_end_never_is() {
    let mut rig = Rig::insecure();
    let id = rig.client();
    rig.ask(id, r#"{"id":2,"subscribe":{"channel":"c"}}"#);
    let again = rig.ask(id, r#"{"id":3,"subscribe":{"channel":"c"}}"#);
    assert_eq!(again, [r#"{"id":3,"error":{"code":105,"message":"already subscribed"}}"#]);
    for command in 4..6 {
        let ended = rig.ask(id, &format!(r#"{{"id":{command},"unsubscribe":{{"channel":"c"}}}}"#));
        assert_eq!(ended, [format!(r#"{{"id":{command},"unsubscribe":{{}}}}"#)]);
    }
}

#[test]
fn a_command_before_connect_and_a_second_connect_close_with_3501() {
    let mut rig = Rig::insecure();
    let early = rig.open();
    let told = rig.ask(early, r#"{"id":1,"ping":{}}"#);
    assert_eq!(told, [r#"{"push":{"disconnect":{"code":3501,"reason":"bad request"}}}"#]);
    assert!(rig.is_gone(early));
    let twice = rig.client();
    let told = rig.ask(twice, r#"{"id":2,"connect":{}}"#);
    assert_eq!(told, [r#"{"push":{"disconnect":{"code":3501,"reason":"bad request"}}}"#]);
}

#[test]
fn presence_tells_who_is_there() {
    let mut rig = Rig::insecure();
    let (a, b) = (rig.client(), rig.client());
    for id in [a, b] {
        rig.ask(id, r#"{"id":2,"subscribe":{"channel":"c"}}"#);
    }
    let stats = r#"{"id":3,"presence_stats":{"channel":"c"}}"#;
    assert_eq!(rig.ask(a, stats), [r#"{"id":3,"presence_stats":{"num_clients":2,"num_users":1}}"#]);
    rig.cut(b);
    assert_eq!(rig.ask(a, stats), [r#"{"id":3,"presence_stats":{"num_clients":1,"num_users":1}}"#]);
}
