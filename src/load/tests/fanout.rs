//! Publications to many: servers that lose, double and reorder on purpose are noticed.

use super::{MILLI, Rig, plan};
use crate::load::fanout::{Fanout, Faults, How, Setting};
use crate::load::{STAMP_BYTES, Stamp};
use crate::wire::Wire;
use std::time::Duration;

const SIZE: usize = STAMP_BYTES + 4;
const RECEIVERS: usize = 3;

fn rig(how: How, publishers: usize, duration: Duration, most: Option<u64>) -> Rig<Fanout> {
    let setting =
        Setting { channels: Vec::new(), publishers, receivers: RECEIVERS, size: SIZE, text: true, how, run: 77 };
    let lines = publishers + RECEIVERS;
    let mut rig = Rig::new(Fanout::new(setting), Wire::Line, false, lines, plan(duration, most));
    rig.connect();
    rig.turn();
    let call = rig.take(0);
    (0..RECEIVERS).for_each(|receiver| rig.give(publishers + receiver, &call));
    rig.turn();
    rig
}

/// The lines that were published since the last call.
fn published(rig: &mut Rig<Fanout>, publisher: usize) -> Vec<Vec<u8>> {
    rig.take(publisher).chunks(SIZE + 1).map(<[u8]>::to_vec).collect()
}

fn deliver(rig: &mut Rig<Fanout>, line: usize, messages: &[Vec<u8>]) {
    rig.give(line, &messages.concat());
    rig.turn();
}

#[test]
fn nothing_is_published_before_all_receivers_have_heard_a_call() {
    let setting = Setting {
        channels: Vec::new(),
        publishers: 1,
        receivers: 2,
        size: SIZE,
        text: true,
        how: How::Rounds(1),
        run: 77,
    };
    let mut rig = Rig::new(Fanout::new(setting), Wire::Line, false, 3, plan(Duration::from_secs(9), Some(1)));
    rig.connect();
    rig.turn();
    let call = rig.take(0);
    rig.give(1, &call);
    rig.turn();
    assert!(rig.take(0).is_empty(), "one has not heard");
    rig.wait(101 * MILLI);
    let again = rig.take(0);
    assert_eq!(again.len(), call.len(), "it is called again");
    rig.give(2, &again);
    rig.give(1, &again);
    rig.turn();
    let first = rig.take(0);
    assert_eq!(Stamp::read(&first[..SIZE]).unwrap().number, 0);
    (1..3).for_each(|line| rig.give(line, &first));
    rig.turn();
    assert!(rig.is_over());
    assert_eq!((rig.run.record.total_done(), rig.run.scene.faults()), (2, Faults::default()));
}

#[test]
fn the_next_round_begins_when_all_have_the_last() {
    let mut rig = rig(How::Rounds(2), 1, Duration::from_secs(99), Some(6));
    for round in 0..3 {
        let messages = published(&mut rig, 0);
        assert_eq!(messages.len(), 2, "round {round}");
        for line in 1..=RECEIVERS {
            assert!(rig.pipes.sent[0].is_empty(), "somebody has not got all");
            deliver(&mut rig, line, &messages);
        }
    }
    assert!(rig.is_over());
    assert_eq!((rig.run.record.total_done(), rig.run.scene.published()), (18, 6));
    assert_eq!(rig.run.scene.faults(), Faults::default());
}

#[test]
fn a_server_that_drops_is_noticed() {
    let mut rig = rig(How::Rounds(3), 1, Duration::from_secs(99), Some(3));
    let messages = published(&mut rig, 0);
    deliver(&mut rig, 1, &messages);
    deliver(&mut rig, 2, &[messages[0].clone(), messages[2].clone()]);
    deliver(&mut rig, 3, &messages[..2]);
    (0..150).for_each(|_| rig.wait(10 * MILLI));
    assert!(rig.is_over() && rig.run.gave_up());
    assert_eq!(rig.run.scene.faults(), Faults { lost: 2, ..Faults::default() });
}

#[test]
fn a_server_that_doubles_or_reorders_is_noticed() {
    let mut rig = rig(How::Rounds(3), 1, Duration::from_secs(99), Some(3));
    let [one, two, three]: [Vec<u8>; 3] = published(&mut rig, 0).try_into().unwrap();
    deliver(&mut rig, 1, &[one.clone(), one.clone(), two.clone(), three.clone()]);
    deliver(&mut rig, 2, &[two.clone(), one.clone(), three.clone(), two.clone()]);
    deliver(&mut rig, 3, &[one, two, three]);
    assert!(rig.is_over());
    assert_eq!(rig.run.scene.faults(), Faults { doubled: 2, out_of_order: 1, ..Faults::default() });
    assert_eq!(rig.run.record.total_done(), 9);
}

#[test]
fn what_is_torn_or_somebody_elses_is_told_apart() {
    let mut rig = rig(How::Rounds(1), 1, Duration::from_secs(99), Some(1));
    let mut torn = published(&mut rig, 0).remove(0);
    torn[STAMP_BYTES + 1] = b'!';
    deliver(&mut rig, 1, &[torn, b"hello\n".to_vec()]);
    assert_eq!(rig.run.scene.faults(), Faults { foreign: 2, lost: 3, ..Faults::default() });
}

#[test]
fn a_receiver_that_leaves_is_not_waited_for() {
    let mut rig = rig(How::Rounds(2), 1, Duration::from_secs(99), Some(2));
    let messages = published(&mut rig, 0);
    deliver(&mut rig, 1, &messages);
    deliver(&mut rig, 2, &messages);
    deliver(&mut rig, 3, &messages[..1]);
    rig.close(3);
    rig.turn();
    rig.turn();
    assert!(rig.is_over());
    assert_eq!(rig.run.scene.faults(), Faults { cut_off: 1, ..Faults::default() });
}

#[test]
fn publications_at_a_rate_are_dated_by_when_they_were_due_and_take_turns() {
    let mut rig = rig(How::Rate(1000.0), 2, 20 * MILLI, None);
    for _ in 0..10 {
        rig.wait(2 * MILLI);
    }
    let of = [published(&mut rig, 0), published(&mut rig, 1)];
    assert!(of[0].len() >= 10 && of[1].len() >= 9, "{} and {}", of[0].len(), of[1].len());
    let stamp = |message: &Vec<u8>| Stamp::read(&message[..SIZE]).unwrap();
    let gap = stamp(&of[0][1]).at.nanos_since(stamp(&of[0][0]).at);
    assert!(gap.abs_diff(2_000_000) < 10, "every second one is its: {gap}");
    rig.wait(30 * MILLI);
    for line in 2..2 + RECEIVERS {
        deliver(&mut rig, line, &[of[0].concat(), of[1].concat()]);
    }
    assert!(rig.run.record.latencies().max() > 45_000_000, "a publication of the beginning comes 50 ms later");
    assert_eq!(rig.run.scene.faults().out_of_order, 0, "order is each publisher's own");
}
