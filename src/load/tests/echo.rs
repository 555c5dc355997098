//! Echoes: what is under way, and from when on latency counts.

use super::{MILLI, Rig, plan};
use crate::load::echo::{Echo, Loop};
use crate::load::{End, Rings};
use crate::timer::Jitter;
use crate::wire::Wire;
use std::time::Duration;

fn rig(how: Loop, lines: usize, duration: Duration, most: Option<u64>) -> Rig<Echo> {
    let depth = if let Loop::Closed { depth } = how { depth } else { 1 };
    let rings = Rings::new(Wire::Line, 7, false, depth, &mut Jitter::new(5));
    let mut rig = Rig::new(Echo::new(vec![rings], lines, how), Wire::Line, false, lines, plan(duration, most));
    rig.connect();
    rig.turn();
    rig
}

/// Sends all back that was sent; how many messages there were.
fn answer(rig: &mut Rig<Echo>, lines: usize) -> usize {
    let mut count = 0;
    for line in 0..lines {
        let sent = rig.take(line);
        count += sent.len() / 8;
        if !sent.is_empty() {
            rig.give(line, &sent);
        }
    }
    rig.turn();
    count
}

#[test]
fn a_closed_loop_keeps_its_depth_under_way_and_ends_with_its_last_message() {
    let mut rig = rig(Loop::Closed { depth: 3 }, 2, Duration::from_secs(99), Some(20));
    assert_eq!((answer(&mut rig, 2), answer(&mut rig, 2), answer(&mut rig, 2)), (6, 6, 6));
    assert!(!rig.is_over());
    assert_eq!(answer(&mut rig, 2), 2, "what is left of twenty");
    assert!(rig.is_over());
    assert_eq!((rig.run.record.total_done(), rig.run.record.latencies().len()), (20, 20));
    assert_eq!(rig.run.scene.missing(), 0);
}

#[test]
fn a_closed_loop_ends_after_its_time_when_all_is_back() {
    let mut rig = rig(Loop::Closed { depth: 1 }, 1, 10 * MILLI, None);
    answer(&mut rig, 1);
    rig.wait(11 * MILLI);
    assert!(!rig.is_over(), "a message is under way");
    assert_eq!(answer(&mut rig, 1), 1);
    rig.turn();
    assert!(rig.is_over() && rig.take(0).is_empty());
    assert_eq!(rig.run.record.total_done(), 2);
}

#[test]
fn latency_is_from_leaving_to_coming_back() {
    let mut rig = rig(Loop::Closed { depth: 2 }, 1, Duration::from_secs(99), Some(2));
    let sent = rig.take(0);
    rig.wait(3 * MILLI);
    rig.give(0, &sent[..8]);
    rig.wait(4 * MILLI);
    rig.give(0, &sent[8..]);
    let latencies = rig.run.record.latencies();
    assert!(latencies.min().abs_diff(3_000_000) < 10_000 && latencies.max().abs_diff(7_000_000) < 10_000);
}

#[test]
fn messages_of_an_open_loop_leave_when_they_are_due_whatever_has_come_back() {
    let mut rig = rig(Loop::Open { rate: 1000.0 }, 2, Duration::from_secs(1), None);
    rig.wait(Duration::ZERO);
    for _ in 0..9 {
        rig.wait(MILLI);
    }
    assert_eq!(rig.take(0).len() / 8 + rig.take(1).len() / 8, 10, "one at each of ten moments");
}

#[test]
fn a_stall_of_the_server_is_in_the_latency_of_all_that_were_due_meanwhile() {
    let mut rig = rig(Loop::Open { rate: 1000.0 }, 1, 100 * MILLI, None);
    let mut sent = Vec::new();
    for _ in 0..100 {
        rig.wait(MILLI);
        sent.extend(rig.take(0));
    }
    rig.give(0, &sent);
    rig.turn();
    rig.wait(MILLI);
    let latencies = rig.run.record.latencies();
    assert!(latencies.len() >= 99, "{}", latencies.len());
    // Due evenly over 100 ms and answered at its end: half of them have waited for 50 ms or more.
    assert!(latencies.value_at_quantile(0.5) > 45_000_000 && latencies.max() > 98_000_000);
}

#[test]
fn a_stall_of_the_load_itself_is_in_the_latency_too() {
    let mut rig = rig(Loop::Open { rate: 1000.0 }, 1, 100 * MILLI, None);
    rig.wait(50 * MILLI);
    answer(&mut rig, 1);
    let record = &rig.run.record;
    assert!(record.latencies().max() > 49_000_000 && record.lags().max() > 49_000_000);
    assert_eq!(record.total_done(), 51);
}

#[test]
fn a_socket_that_takes_nothing_delays_messages_and_drops_none() {
    let mut rig = rig(Loop::Open { rate: 1000.0 }, 1, 40 * MILLI, None);
    rig.pipes.is_stuck = true;
    for _ in 0..20 {
        rig.wait(MILLI);
    }
    let sent = rig.take(0).len() / 8;
    assert!(sent < 3, "{sent} left before the socket was full");
    (rig.pipes.is_stuck, rig.pipes.waiting) = (false, Vec::new());
    let (now, pipes) = (rig.now, &mut rig.pipes);
    crate::load::Play::on_drained(&mut rig.run, 0, now, pipes);
    assert!(sent + rig.take(0).len() / 8 >= 20);
}

#[test]
fn another_answer_ends_the_connection_and_is_told() {
    let mut rig = rig(Loop::Closed { depth: 1 }, 2, Duration::from_secs(99), None);
    rig.give(0, b"nonsense\n");
    assert_eq!(rig.errors(), [(End::WrongBytes.to_string(), 1)]);
    assert!(rig.run.scene.has_wrong_content() && rig.run.scene.missing() == 2, "one lost, one under way");
    let sent = rig.take(1);
    rig.give(1, &[sent.clone(), sent].concat());
    assert_eq!(rig.errors().len(), 1, "a doubled answer is not the next one either: {:?}", rig.errors());
    assert_eq!(rig.errors()[0].1, 2);
}

#[test]
fn an_answer_that_was_not_asked_for_is_told() {
    let mut rig = rig(Loop::Closed { depth: 1 }, 1, 10 * MILLI, Some(1));
    let sent = rig.take(0);
    let next = Rings::new(Wire::Line, 7, false, 1, &mut Jitter::new(5)).answers.bytes()[8..16].to_vec();
    rig.give(0, &[sent, next].concat());
    assert_eq!(rig.errors(), [(End::Unasked.to_string(), 1)]);
}

#[test]
fn a_server_that_falls_silent_is_given_up_and_what_is_missing_counted() {
    for how in [Loop::Closed { depth: 2 }, Loop::Open { rate: 100.0 }] {
        let mut rig = rig(how, 1, Duration::from_secs(99), None);
        for _ in 0..300 {
            rig.wait(10 * MILLI);
        }
        assert!(rig.is_over() && rig.run.gave_up(), "{how:?}");
        assert!(rig.errors()[0].0.contains("no answer within 1s"), "{:?}", rig.errors());
        assert!(rig.run.scene.missing() >= 2);
    }
}

#[test]
fn the_load_ends_when_nobody_is_left() {
    let mut rig = rig(Loop::Closed { depth: 1 }, 2, Duration::from_secs(99), None);
    rig.close(0);
    rig.turn();
    assert!(!rig.is_over());
    rig.close(1);
    rig.turn();
    rig.turn();
    assert!(rig.is_over());
    assert_eq!(rig.errors(), [("closed by the server".to_owned(), 2)]);
}

#[test]
fn who_cannot_be_reached_ends_the_load_before_it_begins() {
    let rings = Rings::new(Wire::Line, 7, false, 1, &mut Jitter::new(5));
    let scene = Echo::new(vec![rings], 3, Loop::Closed { depth: 1 });
    let mut rig = Rig::new(scene, Wire::Line, false, 3, plan(MILLI, None));
    for line in 0..3 {
        let refused = End::Unreachable(std::io::ErrorKind::ConnectionRefused);
        crate::load::Play::on_ended(&mut rig.run, line, refused, rig.now, &mut rig.pipes);
    }
    rig.turn();
    assert!(rig.is_over());
    let (target, end) = rig.run.unreachable().unwrap();
    assert_eq!((target, end), (0, End::Unreachable(std::io::ErrorKind::ConnectionRefused)));
}
