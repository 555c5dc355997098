//! Many commands in one request.

use super::super::batch::{MAX_COMMANDS, MAX_READ_BYTES};
use super::*;

fn batch(commands: &[&str], parallel: bool) -> String {
    format!(r#"{{"commands":[{}],"parallel":{parallel}}}"#, commands.join(","))
}

#[test]
fn commands_wait_for_the_one_before_unless_they_are_parallel() {
    let commands =
        [r#"{"publish":{"channel":"a","data":1}}"#, r#"{"history_remove":{"channel":"a"}}"#, r#"{"info":{}}"#];
    let mut bench = Bench::default();
    assert!(bench.post(1, "batch", &batch(&commands, false)).is_none());
    for begun in 1..=3 {
        assert_eq!(bench.submitted.len(), begun);
        let answer = bench.complete(bench.ticket(), Ok(Outcome::Done));
        assert_eq!(answer.is_some(), begun == 3);
    }
    let mut bench = Bench::default();
    assert!(bench.post(1, "batch", &batch(&commands, true)).is_none());
    assert_eq!(bench.submitted.len(), 3);
}

#[test]
fn replies_stand_in_the_order_of_their_commands_whatever_came_first() {
    let commands = [
        r#"{"publish":{"channel":"a","data":1}}"#,
        r#"{"publish":{"channel":"b","data":1}}"#,
        r#"{"presence_stats":{"channel":"a"}}"#,
    ];
    let mut bench = Bench::default();
    assert!(bench.post(9, "batch", &batch(&commands, true)).is_none());
    let tickets: Vec<u64> = bench.submitted.iter().map(|(ticket, _)| *ticket).collect();
    assert!(bench.complete(tickets[2], Ok(Outcome::PresenceStats { clients: 1, users: 1 })).is_none());
    assert!(bench.complete(tickets[0], published(7)).is_none());
    assert!(bench.complete(tickets[0], published(8)).is_none(), "an answer counts once");
    let (id, response) = bench.complete(tickets[1], Err(ErrorCode::TooBusy)).unwrap();
    assert_eq!((id, response.status()), (9, Status::Ok));
    assert_eq!(
        text(&response),
        concat!(
            r#"{"replies":[{"publish":{"offset":7,"epoch":"e"}},"#,
            r#"{"error":{"code":100,"message":"internal server error"}},"#,
            r#"{"presence_stats":{"num_clients":1,"num_users":1}}]}"#
        )
    );
    assert_eq!((bench.api.waiting(), bench.api.held_bytes), (0, 0));
}

#[test]
fn what_is_wrong_with_one_command_stops_no_other() {
    let commands = [
        r#"{"frob":{}}"#,
        r#"{"publish":{"channel":"a"}}"#,
        r#"{"info":{},"channels":{}}"#,
        "{}",
        "1",
        r#"{"batch":{"commands":[]}}"#,
        r#"{"publish":null,"info":{}}"#,
    ];
    for parallel in [false, true] {
        let mut bench = Bench::default();
        assert!(bench.post(1, "batch", &batch(&commands, parallel)).is_none());
        assert!(matches!(bench.submitted[..], [(_, Operation::Info)]));
        let (_, response) = bench.complete(bench.ticket(), Ok(Outcome::Info(NodeInfo::default()))).unwrap();
        let codes: Vec<&str> =
            text(&response).match_indices("\"code\":").map(|(at, _)| &text(&response)[at + 7..at + 10]).collect();
        assert_eq!(codes, ["104", "107", "107", "107", "107", "104"]);
        assert!(text(&response).ends_with(r#"]}}]}"#), "{}", text(&response));
    }
}

#[test]
fn a_batch_with_nothing_to_do_is_answered_at_once() {
    let mut bench = Bench::default();
    assert_eq!(text(&bench.post(1, "batch", r#"{"commands":[]}"#).unwrap()), r#"{"replies":[]}"#);
    let response = bench.post(1, "batch", r#"{"commands":[{"frob":{}}],"parallel":null}"#).unwrap();
    assert_eq!(text(&response), r#"{"replies":[{"error":{"code":104,"message":"method not found"}}]}"#);
    assert!(bench.submitted.is_empty() && bench.api.waiting() == 0);
}

#[test]
fn a_batch_holds_only_so_many_commands() {
    let commands = vec![r#"{"info":{}}"#; MAX_COMMANDS];
    let mut bench = Bench::default();
    assert!(bench.post(1, "batch", &batch(&commands, true)).is_none());
    assert_eq!(bench.submitted.len(), MAX_COMMANDS);
    check_error("batch", &batch(&[&commands[..], &["1"]].concat(), true), ErrorCode::LimitExceeded);
}

#[test]
fn what_is_read_is_bounded_and_what_is_done_is_always_told() {
    let body = publication_body(&format!("\"{}\"", "x".repeat(MAX_READ_BYTES / 2)), None, None);
    let position = Position { offset: 1, epoch: "e".into() };
    let page = Arc::new(Page { position, publications: vec![Publication { offset: 1, body }] });
    let commands = [
        r#"{"history":{"channel":"a","limit":1}}"#,
        r#"{"history":{"channel":"a","limit":1}}"#,
        r#"{"publish":{"channel":"a","data":1}}"#,
    ];
    let mut bench = Bench::default();
    assert!(bench.post(1, "batch", &batch(&commands, false)).is_none());
    assert!(bench.complete(bench.ticket(), Ok(Outcome::History(Arc::clone(&page)))).is_none());
    assert!(bench.complete(bench.ticket(), Ok(Outcome::History(page))).is_none());
    let (_, response) = bench.complete(bench.ticket(), published(2)).unwrap();
    let end =
        r#","epoch":"e"}},{"error":{"code":106,"message":"limit exceeded"}},{"publish":{"offset":2,"epoch":"e"}}]}"#;
    assert!(text(&response).ends_with(end), "{}", &text(&response)[text(&response).len() - 200..]);
}

#[test]
fn a_batch_whose_caller_is_gone_begins_nothing_more() {
    let commands = [r#"{"info":{}}"#; 3];
    let mut bench = Bench::default();
    assert!(bench.post(1, "batch", &batch(&commands, false)).is_none());
    let ticket = bench.ticket();
    bench.api.forget(ConnId::from_bits(1));
    assert!(bench.complete(ticket, Ok(Outcome::Done)).is_none());
    assert_eq!((bench.submitted.len(), bench.api.waiting()), (1, 0));
}
