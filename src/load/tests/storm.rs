//! Connections that come and go, and clients that come back: what a hub leaves out or says twice is noticed.

use super::{MILLI, Rig, plan};
use crate::load::storm::Lives;
use crate::load::storm::returning::{Counts, Returning, Setting};
use crate::load::{Plan, Rules, STAMP_BYTES};
use crate::wire::Wire;
use std::time::Duration;

#[test]
fn lives_follow_each_other_as_many_at_once_as_asked_for() {
    let mut rig = Rig::new(Lives::new(2, Vec::new()), Wire::Line, false, 2, plan(Duration::from_secs(9), Some(5)));
    rig.turn();
    for expected in [2, 2, 1] {
        rig.turn();
        assert_eq!(rig.pipes.opened.len(), expected);
        rig.connect();
    }
    rig.turn();
    rig.turn();
    assert!(rig.is_over());
    assert_eq!((rig.run.record.total_done(), rig.pipes.resets, rig.run.scene.failed()), (5, 5, 0));
}

const CLIENTS: usize = 2;
const MISSED: u64 = 3;

/// Clients of a hub that are subscribed, have been cut and come back; what was published meanwhile.
fn returning() -> (Rig<Returning>, Vec<String>) {
    let setting = Setting {
        channels: vec!["c".into()],
        clients: CLIENTS,
        missed: MISSED,
        size: STAMP_BYTES,
        rules: Rules { at_once: 99, rate: None, timeout: Duration::from_secs(5) },
        run: 5,
    };
    let plan = Plan { warm_up: Duration::from_nanos(1), ..plan(Duration::from_secs(9), Some(CLIENTS as u64)) };
    let mut rig = Rig::new(Returning::new(setting), Wire::Line, true, 1 + CLIENTS, plan);
    open(&mut rig, "{\"id\":2,\"subscribe\":{\"epoch\":\"e\",\"offset\":4}}\n");
    rig.turn();
    let sent = String::from_utf8(rig.take(0)).unwrap();
    let data: Vec<String> = sent
        .lines()
        .filter_map(|line| line.split_once("\"data\":"))
        .map(|(_, data)| data.trim_end_matches('}').to_owned())
        .collect();
    assert_eq!((data.len(), rig.pipes.resets), (3, CLIENTS as u64));
    rig.give(0, b"{\"id\":3,\"publish\":{}}\n{\"id\":4,\"publish\":{}}\n{\"id\":5,\"publish\":{}}\n");
    rig.wait(MILLI);
    rig.turn();
    (rig, data)
}

/// Connects all who wait for it, and answers what they ask.
fn open(rig: &mut Rig<Returning>, subscribed: &str) {
    rig.turn();
    let opened: Vec<usize> = rig.pipes.opened.iter().copied().collect();
    rig.connect();
    for line in opened {
        rig.give(line, b"{\"id\":1,\"connect\":{\"client\":\"x\"}}\n");
        if line > 0 {
            rig.give(line, subscribed.as_bytes());
        }
    }
}

/// A reply that says all is there, with these of the publications.
fn reply(data: &[String], numbers: &[usize]) -> String {
    let publication = |number: &usize| format!("{{\"data\":{},\"offset\":{}}}", data[*number], 5 + number);
    let publications: Vec<String> = numbers.iter().map(publication).collect();
    format!(
        "{{\"id\":2,\"subscribe\":{{\"epoch\":\"e\",\"offset\":4,\"recovered\":true,\"publications\":[{}]}}}}\n",
        publications.join(",")
    )
}

fn check(numbers: &[usize], expected: Counts) {
    let (mut rig, data) = returning();
    open(&mut rig, &reply(&data, numbers));
    let asked = String::from_utf8(rig.take(1)).unwrap();
    assert!(asked.contains("\"recover\":true,\"epoch\":\"e\",\"offset\":4"), "{asked}");
    (0..150).for_each(|_| rig.wait(10 * MILLI));
    assert!(rig.is_over());
    assert_eq!(rig.run.scene.counts(), expected, "{numbers:?}");
}

#[test]
fn who_gets_all_it_missed_is_back() {
    check(&[0, 1, 2], Counts { whole: 2, recovered: 6, ..Counts::default() });
}

#[test]
fn a_recovery_that_leaves_out_doubles_or_reorders_is_noticed() {
    check(&[0, 2], Counts { away: 2, recovered: 4, lost: 2, ..Counts::default() });
    check(&[0, 1, 1, 2], Counts { whole: 2, recovered: 6, doubled: 2, ..Counts::default() });
    check(&[1, 0, 2], Counts { whole: 2, recovered: 6, out_of_order: 2, ..Counts::default() });
}

#[test]
fn who_is_told_that_something_is_gone_is_counted_as_such() {
    let (mut rig, _) = returning();
    open(&mut rig, "{\"id\":2,\"subscribe\":{\"epoch\":\"f\",\"offset\":0}}\n");
    rig.turn();
    rig.turn();
    assert!(rig.is_over());
    assert_eq!(rig.run.scene.counts(), Counts { unrecovered: 2, lost: 6, ..Counts::default() });
}

#[test]
fn the_rest_of_a_recovery_may_follow_as_pushes() {
    let (mut rig, data) = returning();
    open(&mut rig, &reply(&data, &[0]));
    for line in 1..=CLIENTS {
        for (number, data) in data.iter().enumerate().skip(1) {
            let push =
                format!("{{\"push\":{{\"channel\":\"c\",\"pub\":{{\"data\":{data},\"offset\":{}}}}}}}\n", 5 + number);
            rig.give(line, push.as_bytes());
        }
    }
    rig.turn();
    rig.turn();
    assert!(rig.is_over());
    assert_eq!(rig.run.scene.counts(), Counts { whole: 2, recovered: 6, ..Counts::default() });
}
