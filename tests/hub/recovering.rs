//! Coming back: recovery, sessions, slow readers.

use crate::kit::Rig;
use std::time::Duration;
use tidegate::config::Slow;

/// Offsets of the publications in documents, in order.
fn offsets(documents: &[String]) -> Vec<u64> {
    let publications = documents.iter().flat_map(|document| document.split("\"data\":").skip(1));
    publications
        .filter_map(|rest| rest.split("\"offset\":").nth(1)?.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok())
        .collect()
}

fn epoch(document: &str) -> String {
    document.split("\"epoch\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
}

#[test]
fn what_was_missed_comes_back_with_the_subscription() {
    let mut rig = Rig::insecure();
    let (publisher, first) = (rig.client(), rig.client());
    let subscribed = rig.ask(first, r#"{"id":2,"subscribe":{"channel":"c"}}"#);
    let epoch = epoch(&subscribed[0]);
    for number in 1..=3 {
        rig.ask(publisher, &format!(r#"{{"id":2,"publish":{{"channel":"c","data":{number}}}}}"#));
    }
    assert_eq!(offsets(&rig.told(first)), [1, 2, 3]);
    rig.cut(first);
    for number in 4..=6 {
        rig.ask(publisher, &format!(r#"{{"id":2,"publish":{{"channel":"c","data":{number}}}}}"#));
    }
    let back = rig.client();
    let told = rig
        .ask(back, &format!(r#"{{"id":2,"subscribe":{{"channel":"c","recover":true,"offset":3,"epoch":"{epoch}"}}}}"#));
    assert!(told[0].contains(r#""recovered":true"#) && told[0].contains(r#""was_recovering":true"#), "{told:?}");
    assert_eq!(offsets(&told), [4, 5, 6]);
    rig.ask(publisher, r#"{"id":2,"publish":{"channel":"c","data":7}}"#);
    assert_eq!(offsets(&rig.told(back)), [7]);
}

#[test]
fn what_was_trimmed_is_told_as_a_gap() {
    let mut rig = Rig::new(|settings| {
        settings.insecure = true;
        settings.default_namespace.history_size = 2;
    });
    let publisher = rig.client();
    for number in 1..=5 {
        rig.ask(publisher, &format!(r#"{{"id":2,"publish":{{"channel":"c","data":{number}}}}}"#));
    }
    let back = rig.client();
    let told = rig.ask(back, r#"{"id":2,"subscribe":{"channel":"c","recover":true,"offset":1,"epoch":""}}"#);
    assert!(told[0].contains(r#""gap":{"from":2,"to":5,"reason":"history_trimmed"}"#), "{told:?}");
    assert!(!told[0].contains("recovered\":true") && told[0].contains(r#""offset":5"#), "{told:?}");
    let other = rig.client();
    let told = rig.ask(other, r#"{"id":2,"subscribe":{"channel":"c","recover":true,"offset":1,"flag":2}}"#);
    assert_eq!(told, [r#"{"id":2,"error":{"code":112,"message":"unrecoverable position"}}"#]);
}

#[test]
fn a_session_comes_back_with_its_subscriptions_and_puts_the_old_connection_out() {
    let mut rig = Rig::insecure();
    let publisher = rig.client();
    let old = rig.open();
    let told = rig.ask(old, r#"{"id":1,"connect":{}}"#);
    let secret = told[0].split("\"session\":\"").nth(1).unwrap()[..32].to_owned();
    rig.ask(old, r#"{"id":2,"subscribe":{"channel":"c"}}"#);
    rig.ask(publisher, r#"{"id":2,"publish":{"channel":"c","data":1}}"#);
    assert_eq!(offsets(&rig.told(old)), [1]);
    let new = rig.open();
    let told = rig.ask(new, &format!(r#"{{"id":1,"connect":{{"session":"{secret}"}}}}"#));
    assert!(told[0].contains(r#""resumed":true"#) && told[0].contains(r#""subs":{"c":{"#), "{told:?}");
    assert_eq!(rig.told(old), [r#"{"push":{"disconnect":{"code":4500,"reason":"replaced by a newer connection"}}}"#]);
    rig.ask(publisher, r#"{"id":2,"publish":{"channel":"c","data":2}}"#);
    assert_eq!((offsets(&rig.told(new)), offsets(&rig.told(old))), (vec![2], vec![]));
    // The secret is used up: whoever overheard it finds nothing.
    let thief = rig.open();
    assert!(!rig.ask(thief, &format!(r#"{{"id":1,"connect":{{"session":"{secret}"}}}}"#))[0].contains("resumed"));
}

#[test]
fn a_session_that_returns_with_a_token_gets_what_it_missed_of_the_tokens_channels() {
    let mut rig = Rig::new(|settings| {
        settings.insecure = true;
        settings.tokens.hmac_secrets = vec!["a secret of thirty-two bytes, about".to_owned()];
    });
    // {"sub":"ann","channels":["c"]}
    let token = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm4iLCJjaGFubmVscyI6WyJjIl19.\
                 HDWQPv2opDtk6s0nfBNv9cSxi2b7-dBOg2FxBYb5Nm0";
    let publisher = rig.client();
    let publish = r#"{"id":2,"publish":{"channel":"c","data":1}}"#;
    let gone = rig.open();
    let told = rig.ask(gone, &format!(r#"{{"id":1,"connect":{{"token":"{token}"}}}}"#));
    let secret = told[0].split("\"session\":\"").nth(1).unwrap()[..32].to_owned();
    rig.ask(publisher, publish);
    rig.cut(gone);
    rig.ask(publisher, publish);
    rig.ask(publisher, publish);
    let back = rig.open();
    let told = rig.ask(back, &format!(r#"{{"id":1,"connect":{{"token":"{token}","session":"{secret}"}}}}"#));
    assert!(told[0].contains(r#""resumed":true"#) && told[0].contains(r#""recovered":true"#), "{told:?}");
    assert_eq!(offsets(&told), [2, 3]);
}

#[test]
fn sessions_end_with_their_time_and_leave_nothing_behind() {
    let mut rig = Rig::insecure();
    let id = rig.client();
    rig.ask(id, r#"{"id":2,"subscribe":{"channel":"c"}}"#);
    rig.cut(id);
    assert_eq!(rig.app().hub().table_sizes()[..3], [0, 0, 1]);
    rig.pass(Duration::from_secs(61));
    assert_eq!(rig.app().hub().table_sizes()[..4], [0, 0, 0, 0]);
}

fn slow_rig(slow: Slow, history_size: usize) -> Rig {
    Rig::with(
        |settings| {
            settings.insecure = true;
            settings.default_namespace.slow = slow;
            settings.default_namespace.history_size = history_size;
        },
        |settings| settings.write_queue_soft_bytes = 2000,
    )
}

fn publish(rig: &mut Rig, publisher: tidegate::gateway::ConnId, count: u64) {
    for _ in 0..count {
        rig.ask(publisher, &format!(r#"{{"id":2,"publish":{{"channel":"c","data":"{}"}}}}"#, "x".repeat(100)));
    }
}

#[test]
fn a_slow_reader_is_served_from_the_history_when_it_drains() {
    let mut rig = slow_rig(Slow::Lag, 1000);
    let (publisher, slow) = (rig.client(), rig.client());
    rig.ask(slow, r#"{"id":2,"subscribe":{"channel":"c"}}"#);
    rig.set_room(slow, 0);
    publish(&mut rig, publisher, 500);
    assert!(rig.reactor.gateway().pending_bytes(slow) < 3000, "the rest waits in the history");
    rig.set_room(slow, usize::MAX);
    publish(&mut rig, publisher, 1);
    assert_eq!(offsets(&rig.told(slow)), (1..=501).collect::<Vec<_>>());
}

#[test]
fn a_slow_reader_that_the_history_has_left_behind_is_told() {
    let mut rig = slow_rig(Slow::Lag, 10);
    let (publisher, slow) = (rig.client(), rig.client());
    rig.ask(slow, r#"{"id":2,"subscribe":{"channel":"c"}}"#);
    rig.set_room(slow, 0);
    publish(&mut rig, publisher, 500);
    rig.set_room(slow, usize::MAX);
    let told = rig.told(slow);
    let had = offsets(&told);
    assert_eq!(had, (1..=had.len() as u64).collect::<Vec<_>>());
    let end = r#"{"push":{"channel":"c","unsubscribe":{"code":2500,"reason":"insufficient state"}}}"#;
    assert_eq!(told.last().unwrap(), end);
}

#[test]
fn a_large_recovery_goes_on_as_the_reader_drains() {
    let mut rig = slow_rig(Slow::Lag, 1000);
    let publisher = rig.client();
    publish(&mut rig, publisher, 200);
    let back = rig.client();
    let mut told = rig.ask(back, r#"{"id":2,"subscribe":{"channel":"c","recover":true,"offset":0}}"#);
    told.extend(rig.told(back));
    assert_eq!(offsets(&told), (1..=200).collect::<Vec<_>>());
}
