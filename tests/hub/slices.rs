//! Publications to more subscribers than a turn tells: whoever comes, goes or returns meanwhile, each gets each once, in
//! order.

use crate::kit::Rig;
use tidegate::gateway::ConnId;

const SUBSCRIBERS: usize = 40;
const SLICE: usize = 8;

/// A hub that tells eight at a time and flushes four, and forty who hear of `c`.
fn forty(history: usize) -> (Rig, Vec<ConnId>) {
    let mut rig = Rig::in_slices(SLICE, |settings| settings.default_namespace.history_size = history);
    let ids: Vec<ConnId> = (0..SUBSCRIBERS).map(|_| subscriber(&mut rig)).collect();
    (rig, ids)
}

fn subscriber(rig: &mut Rig) -> ConnId {
    let id = rig.client();
    let told = rig.ask(id, r#"{"id":2,"subscribe":{"channel":"c"}}"#);
    assert!(told[0].contains(r#""subscribe":{"#), "{told:?}");
    id
}

fn publish(rig: &mut Rig, by: ConnId, numbers: std::ops::RangeInclusive<u32>) {
    let commands: Vec<String> =
        numbers.map(|number| format!(r#"{{"id":{number},"publish":{{"channel":"c","data":{number}}}}}"#)).collect();
    rig.say_in_one_turn(by, &commands.join("\n"));
}

/// The numbers a connection has been sent on `c` since it was last asked.
fn heard(rig: &mut Rig, id: ConnId) -> Vec<u32> {
    let number = |line: &String| line.split_once(r#""data":"#)?.1.split([',', '}']).next()?.parse().ok();
    rig.told(id).iter().filter(|line| line.contains(r#""channel":"c""#)).filter_map(number).collect()
}

fn rest(rig: &mut Rig) -> usize {
    (1..10_000).find(|_| !rig.one_turn()).expect("it comes to rest")
}

#[test]
fn each_turn_tells_a_slice_and_all_get_each_once_in_order() {
    let (mut rig, ids) = forty(0);
    let publisher = rig.client();
    publish(&mut rig, publisher, 1..=3);
    let mut all: Vec<Vec<u32>> = vec![Vec::new(); ids.len()];
    let (mut turns, mut is_wanted) = (0, true);
    loop {
        let mut told = 0;
        for (id, all) in ids.iter().zip(&mut all) {
            let new = heard(&mut rig, *id);
            // Those that were published together leave together.
            assert!(new.is_empty() || new == [1, 2, 3], "{new:?}");
            told += usize::from(!new.is_empty());
            all.extend(new);
        }
        assert!(told <= SLICE / 2, "{told} in turn {turns}");
        if all.iter().all(|all| !all.is_empty()) {
            break;
        }
        turns += 1;
        assert!(is_wanted, "the next turn begins at once");
        is_wanted = rig.one_turn();
    }
    assert!(turns >= SUBSCRIBERS / (SLICE / 2) - 1);
    rest(&mut rig);
    assert!(ids.iter().all(|id| heard(&mut rig, *id).is_empty()));
}

#[test]
fn a_small_channel_does_not_wait_for_a_large_one() {
    let (mut rig, _) = forty(0);
    let (one, publisher) = (rig.client(), rig.client());
    rig.ask(one, r#"{"id":2,"subscribe":{"channel":"small"}}"#);
    publish(&mut rig, publisher, 1..=3);
    rig.say_in_one_turn(publisher, r#"{"id":9,"publish":{"channel":"small","data":1}}"#);
    let turns = (0..100).find(|_| !rig.told(one).is_empty() || !rig.one_turn()).expect("it is told");
    assert!(turns <= 2 * SLICE / (SLICE / 2), "after {turns} turns");
    assert!(rest(&mut rig) > 4, "the others have yet to be told");
}

#[test]
fn who_leaves_meanwhile_costs_nobody_else_a_publication() {
    for leaver in 0..SUBSCRIBERS {
        let (mut rig, ids) = forty(0);
        let publisher = rig.client();
        publish(&mut rig, publisher, 1..=2);
        rig.one_turn();
        publish(&mut rig, publisher, 3..=3);
        rig.say_in_one_turn(ids[leaver], r#"{"id":3,"unsubscribe":{"channel":"c"}}"#);
        rig.say_in_one_turn(ids[(leaver + 7) % SUBSCRIBERS], r#"{"id":3,"unsubscribe":{"channel":"c"}}"#);
        publish(&mut rig, publisher, 4..=4);
        rest(&mut rig);
        for (at, id) in ids.iter().enumerate() {
            let heard = heard(&mut rig, *id);
            let stayed = at != leaver && at != (leaver + 7) % SUBSCRIBERS;
            assert!(if stayed { heard == [1, 2, 3, 4] } else { [1, 2, 3, 4].starts_with(&heard) }, "{at}: {heard:?}");
        }
    }
}

#[test]
fn who_comes_meanwhile_gets_what_is_published_from_then_on() {
    for history in [0, 10] {
        let (mut rig, _) = forty(history);
        let (publisher, late) = (rig.client(), rig.client());
        publish(&mut rig, publisher, 1..=2);
        rig.say_in_one_turn(late, r#"{"id":2,"subscribe":{"channel":"c","recoverable":true}}"#);
        publish(&mut rig, publisher, 3..=3);
        rest(&mut rig);
        assert_eq!(heard(&mut rig, late), [3]);
    }
}

#[test]
fn who_is_cut_before_its_turn_recovers_what_it_was_not_told() {
    for cut in [0, SUBSCRIBERS / 2, SUBSCRIBERS - 1] {
        let mut rig = Rig::in_slices(SLICE, |settings| settings.default_namespace.history_size = 10);
        let mut sessions = Vec::new();
        for _ in 0..SUBSCRIBERS {
            let id = rig.open();
            let told = rig.ask(id, r#"{"id":1,"connect":{}}"#);
            let session = told[0].split_once(r#""session":""#).and_then(|(_, rest)| rest.split_once('"'));
            sessions.push((id, session.expect("it has a session").0.to_owned()));
            rig.ask(id, r#"{"id":2,"subscribe":{"channel":"c","recoverable":true}}"#);
        }
        let publisher = rig.client();
        publish(&mut rig, publisher, 1..=1);
        rest(&mut rig);
        publish(&mut rig, publisher, 2..=3);
        let (id, session) = &sessions[cut];
        let before = heard(&mut rig, *id);
        // What was sent counts as heard, so nothing may be on its way unread.
        rig.cut(*id);
        let back = rig.open();
        let told = rig.ask(back, &format!(r#"{{"id":1,"connect":{{"session":"{session}"}}}}"#));
        rest(&mut rig);
        let missed: Vec<bool> = (1..=3).map(|number| told[0].contains(&format!(r#""data":{number}"#))).collect();
        let had: Vec<bool> = (1..=3).map(|number| before.contains(&number)).collect();
        assert!(missed.iter().zip(&had).all(|(missed, had)| missed != had), "{cut}: had {before:?}, told {told:?}");
    }
}

#[test]
fn a_flood_of_publications_to_many_is_bounded_and_in_order() {
    let (mut rig, ids) = forty(0);
    let publisher = rig.client();
    for first in (1..=600).step_by(3) {
        publish(&mut rig, publisher, first..=first + 2);
    }
    rest(&mut rig);
    let expected: Vec<u32> = (1..=600).collect();
    for id in ids {
        assert_eq!(heard(&mut rig, id), expected);
    }
}
