//! Commands as clients write them, and as nobody should.

use super::*;
use proptest::prelude::*;

/// Every command of a unit, or `BadCommand` in place of the first that is none.
fn read(unit: &str) -> Vec<Result<Command<'_>, BadCommand>> {
    let mut rest = unit;
    std::iter::from_fn(|| next(&mut rest)).collect()
}

/// Reads a unit of one good command.
fn one(unit: &str) -> Command<'_> {
    let mut commands = read(unit);
    assert_eq!(commands.len(), 1, "{unit}");
    commands.remove(0).unwrap_or_else(|bad| panic!("{bad:?}: {unit}"))
}

/// The unit is closed on at its first document.
fn refused(unit: &str) {
    assert!(matches!(read(unit)[..], [Err(BadCommand)]), "{unit:?} gave {:?}", read(unit));
}

/// The unit's commands read like this, field by field.
fn check(unit: &str, expected: &[&str]) {
    let found: Vec<String> = read(unit).iter().map(|command| format!("{command:?}")).collect();
    assert_eq!(found.len(), expected.len(), "{unit} gave {found:?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.contains(expected), "{unit} gave {found}");
    }
}

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap()
}

#[test]
fn the_first_command_of_the_javascript_client_is_read() {
    let unit =
        r#"{"connect":{"token":"a.b.c","name":"js","subs":{"n:1":{"recover":true,"epoch":"e","offset":7}}},"id":1}"#;
    let Command { id: 1, method: Method::Connect(connect) } = one(unit) else { panic!("a connect") };
    assert_eq!((&*connect.token, &*connect.name, &*connect.version), ("a.b.c", "js", ""));
    assert!(connect.data.is_none() && connect.session.is_none());
    let [(channel, recover)] = &connect.subs[..] else { panic!("one sub") };
    assert_eq!((&**channel, recover.recover, &*recover.epoch, recover.offset), ("n:1", true, "e", 7));
}

#[test]
fn every_method_is_read() {
    for (unit, expected) in [
        ("{}", "Pong"),
        (r#"{"id":1,"connect":{}}"#, "Connect(Connect { token: \"\""),
        (r#"{"id":1,"connect":{"session":"s"}}"#, "session: Some(\"s\")"),
        (r#"{"id":2,"subscribe":{"channel":"c"}}"#, "Subscribe(Subscribe { channel: \"c\""),
        (r#"{"id":3,"unsubscribe":{"channel":"c"}}"#, "Unsubscribe { channel: \"c\" }"),
        (r#"{"id":4,"publish":{"channel":"c","data":{"x":1}}}"#, r#"data: Some(RawValue({"x":1}))"#),
        (r#"{"id":4,"publish":{"channel":"c","data":null}}"#, "data: Some(RawValue(null))"),
        (r#"{"id":4,"publish":{"channel":"c"}}"#, "data: None, idempotency_key: None"),
        (r#"{"id":4,"publish":{"idempotency_key":"k"}}"#, "idempotency_key: Some(\"k\")"),
        (r#"{"id":5,"presence":{"channel":"c"}}"#, "Presence { channel: \"c\" }"),
        (r#"{"id":6,"presence_stats":{"channel":"c"}}"#, "PresenceStats { channel: \"c\" }"),
        (r#"{"id":7,"history":{"channel":"c","limit":-1,"reverse":true}}"#, "limit: -1, since: None, reverse: true"),
        (r#"{"id":7,"history":{"since":{"offset":3,"epoch":"e"}}}"#, "since: Some(Since { offset: 3, epoch: \"e\" })"),
        (r#"{"id":8,"ping":{}}"#, "Ping"),
        (r#"{"send":{"data":[1]}}"#, "id: 0, method: Send { data: Some(RawValue([1])) }"),
        (r#"{"id":9,"send":{}}"#, "id: 9, method: Send { data: None }"),
        (r#"{"id":10,"rpc":{"method":"m","data":"d"}}"#, "Rpc { method: \"m\", data: Some(RawValue(\"d\")) }"),
        (r#"{"id":11,"refresh":{"token":"t"}}"#, "Refresh { token: \"t\" }"),
        (r#"{"id":12,"sub_refresh":{"channel":"c","token":"t"}}"#, "SubRefresh { channel: \"c\", token: \"t\" }"),
        (r#"{"id":4294967295,"ping":{}}"#, "id: 4294967295"),
    ] {
        check(unit, &[expected]);
    }
}

#[test]
fn a_subscription_brings_all_its_wishes() {
    let unit = r#"{"id":2,"subscribe":{"channel":"c","token":"t","recover":true,"epoch":"e","offset":9007199254740991,
        "positioned":true,"recoverable":true,"join_leave":true,"flag":3,"data":{},"delta":"fossil","tf":{"a":[1]}}}"#;
    let Method::Subscribe(wish) = one(unit).method else { panic!("a subscribe") };
    assert_eq!((&*wish.token, &*wish.epoch, wish.offset, wish.flag), ("t", "e", (1 << 53) - 1, 3));
    assert!(wish.recover && wish.positioned && wish.recoverable && wish.join_leave && wish.data.is_some());
}

#[test]
fn what_nobody_knows_is_passed_over_and_a_method_nobody_knows_is_told() {
    check(r#"{"id":1,"frob":{}}"#, &["id: 1, method: Unknown"]);
    check(r#"{"id":1,"frob":{"a":[[]]},"trace":"x","ping":{"later":1}}"#, &["id: 1, method: Ping"]);
    check(r#"{"ping":{},"trace":"x","id":1}"#, &["id: 1, method: Ping"]);
    check(r#"{"id":1,"connect":null,"ping":{}}"#, &["Ping"]);
}

#[test]
fn null_is_what_a_missing_field_is() {
    let unit = r#"{"id":1,"connect":{"token":null,"subs":null,"session":null}}"#;
    let Method::Connect(connect) = one(unit).method else { panic!("a connect") };
    assert!(connect.token.is_empty() && connect.subs.is_empty() && connect.session.is_none());
    check(r#"{"id":1,"subscribe":{"offset":null,"recover":null,"flag":null}}"#, &["offset: 0"]);
    check(r#"{"id":1,"history":{"limit":null,"since":null}}"#, &["limit: 0, since: None"]);
}

#[test]
fn many_commands_in_one_unit_come_in_order() {
    let unit = "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{}}\n{}\n{\"send\":{}}";
    let expected = ["Connect", "Subscribe", "Pong", "Send"];
    check(unit, &expected);
    check(&format!("{unit}\n"), &expected);
    check(&unit.replace('\n', " \r\n\t"), &expected);
}

#[test]
fn a_command_may_be_printed_over_many_lines() {
    check("{\n  \"id\": 1,\n  \"ping\": {\n  }\n}\n{}", &["Ping", "Pong"]);
}

#[test]
fn an_empty_document_ends_a_unit() {
    for unit in ["\n", " ", "\r\n", "\n{}", " \t\n{}"] {
        refused(unit);
    }
    for unit in ["{}\n\n", "{}\n\n{}", "{}\n ", "{}{}", "{} {}", "{},{}", "{}]"] {
        assert_eq!(read(unit).last().unwrap().as_ref().unwrap_err(), &BadCommand, "{unit:?}");
    }
    assert!(read("").is_empty());
}

#[test]
fn nothing_behind_a_bad_command_is_read() {
    check("{\"id\":1,\"ping\":{}}\n{\"id\":0,\"ping\":{}}\n{}", &["Ping", "BadCommand"]);
}

#[test]
fn what_is_no_command_is_refused() {
    for unit in [
        "x",
        "1",
        "null",
        "\"ping\"",
        "[]",
        "[{}]",
        "{",
        "}",
        "{\"id\"}",
        "{\"id\":}",
        "{id:1}",
        "{'id':1}",
        r#"{"id":1}"#,
        r#"{"id":1,"ping":null}"#,
        r#"{"id":1,"ping":{},}"#,
        r#"{"id":1,"ping":{}"#,
        r#"{"ping":{}}"#,
        r#"{"id":0,"ping":{}}"#,
        r#"{"id":0,"send":{}}"#,
        r#"{"frob":{}}"#,
        r#"{"frob":null}"#,
        r#"{"id":4294967296,"ping":{}}"#,
        r#"{"id":-1,"ping":{}}"#,
        r#"{"id":1.0,"ping":{}}"#,
        r#"{"id":1e0,"ping":{}}"#,
        r#"{"id":"1","ping":{}}"#,
        r#"{"id":null,"ping":{}}"#,
        r#"{"id":1,"id":1,"ping":{}}"#,
        r#"{"id":1,"ping":{},"rpc":{}}"#,
        r#"{"id":1,"ping":{},"ping":{}}"#,
        r#"{"id":1,"ping":[]}"#,
        r#"{"id":1,"ping":1}"#,
        r#"{"id":1,"subscribe":["c"]}"#,
        r#"{"id":1,"subscribe":{"channel":1}}"#,
        r#"{"id":1,"subscribe":{"offset":-1}}"#,
        r#"{"id":1,"subscribe":{"offset":18446744073709551616}}"#,
        r#"{"id":1,"subscribe":{"offset":"1"}}"#,
        r#"{"id":1,"subscribe":{"recover":1}}"#,
        r#"{"id":1,"subscribe":{"channel":"a","channel":"b"}}"#,
        r#"{"id":1,"connect":{"subs":[]}}"#,
        r#"{"id":1,"connect":{"subs":{"c":1}}}"#,
        r#"{"id":1,"connect":{"subs":{"c":[]}}}"#,
        r#"{"id":1,"history":{"since":[3,"e"]}}"#,
        r#"{"id":1,"history":{"limit":2147483648}}"#,
        r#"{"id":1,"publish":{"data":{"x":01}}}"#,
        r#"{"id":1,"publish":{"data":nul}}"#,
        r#"{"id":1,"publish":{"data":"\x"}}"#,
        "{\"id\":1,\"publish\":{\"data\":\"a\nb\"}}",
        "\u{feff}{}",
        "\u{a0}{}",
    ] {
        refused(unit);
    }
}

#[test]
fn no_part_of_a_command_is_one() {
    let whole = r#"{"id":4,"publish":{"channel":"c","data":{"x":[1,"\u00e4",null]},"idempotency_key":"k"}}"#;
    for len in 1..whole.len() {
        refused(&whole[..len]);
    }
    one(whole);
}

#[test]
fn texts_are_borrowed_unless_they_hold_escapes() {
    let unit = r#"{"id":1,"connect":{"token":"t","session":"s","subs":{"plain":{},"esc\u0061ped":{"epoch":"e"}}}}"#;
    let Method::Connect(connect) = one(unit).method else { panic!("a connect") };
    assert!(matches!(connect.token, Cow::Borrowed("t")) && matches!(connect.session, Some(Cow::Borrowed("s"))));
    assert!(matches!(connect.subs[0].0, Cow::Borrowed("plain")));
    assert!(matches!(&connect.subs[1].0, Cow::Owned(name) if name == "escaped"));
    let Method::Unsubscribe { channel } = one(r#"{"id":1,"unsubscribe":{"channel":"\ud83d\ude00\n"}}"#).method else {
        panic!("an unsubscribe")
    };
    assert_eq!(channel, "😀\n");
    refused(r#"{"id":1,"unsubscribe":{"channel":"\ud83d"}}"#);
}

#[test]
fn a_payload_is_the_text_that_came() {
    let data = r#"{ "b" : 1.50, "a":[ 1e400 ,"ä\u0000"], "b":2 }"#;
    let unit = format!(r#"{{"id":1,"publish":{{"data": {data} }}}}"#);
    let Method::Publish { data: Some(found), .. } = one(&unit).method else { panic!("a publish") };
    assert_eq!(found.get(), data);
}

#[test]
fn a_compact_payload_is_on_one_line_and_says_the_same() {
    for (text, expected) in
        [("{\n  \"a\": 1,\r\n  \"b\\n\": [\n]\n}", "{  \"a\": 1,  \"b\\n\": []}"), ("[\n1\n,\n2]", "[1,2]")]
    {
        let data = raw(text);
        let compacted = compact(&data);
        assert_eq!(compacted, expected);
        let meaning = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(meaning(&compacted), meaning(text));
    }
    assert!(matches!(compact(&raw("{ \"a\" : \"\\n\" }")), Cow::Borrowed("{ \"a\" : \"\\n\" }")));
}

#[test]
fn depth_costs_no_stack() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for unit in [
        format!(r#"{{"id":1,"publish":{{"channel":"c","data":{deep}}}}}"#),
        format!(r#"{{"id":1,"ping":{{"later":{deep}}}}}"#),
        format!(r#"{{"id":1,"frob":{deep}}}"#),
    ] {
        one(&unit);
        refused(&unit[..unit.len() / 2]);
    }
    refused(&deep);
    let objects = format!(r#"{{"id":1,"connect":{}1{}}}"#, r#"{"a":"#.repeat(100_000), "}".repeat(100_000));
    one(&objects);
}

/// The lines of the hub's part of the protocol that begin with `mark`.
fn documented(mark: &str) -> Vec<String> {
    let protocol = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/PROTOCOL.md")).unwrap();
    let part = protocol.split("## The hub's messages").nth(1).unwrap().split("## The HTTP API").next().unwrap();
    part.lines().filter_map(|line| line.strip_prefix(mark)).map(str::to_owned).collect()
}

#[test]
fn the_documented_commands_are_commands_and_all_of_them_are_documented() {
    let commands = documented("> ");
    let mut names = std::collections::HashSet::new();
    for command in &commands {
        let method = format!("{:?}", one(command).method);
        names.insert(method.split(|c: char| !c.is_alphanumeric()).next().unwrap().to_owned());
    }
    assert_eq!(names.len(), 13, "each method but the pong is there: {names:?}");
}

#[test]
fn what_is_documented_as_sent_is_json_and_every_error_has_its_row() {
    let sent = documented("< ");
    assert!(sent.len() > 20);
    for line in sent {
        assert!(serde_json::from_str::<serde_json::Value>(&line).is_ok(), "{line}");
    }
    let rows = documented("| ");
    for code in crate::hub::codes::ErrorCode::ALL {
        let passes = if code.is_temporary() { "yes" } else { "no" };
        let row = format!("{} | {} | {passes} | ", code.code(), code.message());
        assert!(rows.iter().any(|line| line.starts_with(&row)), "{row}");
    }
}

/// Pieces that commands are made of, so that random texts come close to good ones.
const PIECES: [&str; 30] = [
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "\\",
    "\n",
    " ",
    "\"id\"",
    "1",
    "0",
    "-1",
    "1e9",
    "null",
    "true",
    "\"connect\"",
    "\"publish\"",
    "\"subscribe\"",
    "\"subs\"",
    "\"data\"",
    "\"channel\"",
    "\"c\"",
    "{\"id\":1,",
    "\"ping\":{}",
    "\"send\":{",
    "\\u00",
    "ä",
    "\u{2028}",
];

proptest! {
    #[test]
    fn no_text_does_harm(picks in proptest::collection::vec(0..PIECES.len(), 0..60)) {
        let unit: String = picks.into_iter().map(|pick| PIECES[pick]).collect();
        let (mut rest, mut turns) = (&unit[..], 0);
        while let Some(command) = next(&mut rest) {
            turns += 1;
            prop_assert!(turns <= unit.len());
            prop_assert!(unit.ends_with(rest));
            prop_assert!(command.is_ok() || rest.is_empty());
            if let Ok(command) = command {
                let goes_without_id = matches!(command.method, Method::Pong | Method::Send { .. });
                prop_assert!(command.id > 0 || goes_without_id);
            }
        }
    }

    #[test]
    fn whatever_is_published_comes_out_as_it_was(channel in ".{0,20}", text in ".{0,40}", id in 1..=u32::MAX) {
        let data = serde_json::to_string(&text).unwrap();
        let channel_json = serde_json::to_string(&channel).unwrap();
        let unit = format!(r#"{{"publish":{{"data":{data},"channel":{channel_json}}},"id":{id}}}"#);
        let command = one(&unit);
        prop_assert_eq!(command.id, id);
        let Method::Publish { channel: found, data: Some(found_data), .. } = command.method else { panic!("a publish") };
        prop_assert_eq!(found, channel);
        prop_assert_eq!(found_data.get(), data);
    }
}
