//! Each rule of the engine in memory by itself, and what it does when there is very much of everything.

use super::super::{
    ChannelName, Done, Engine, EngineError, Event, Full, HistoryBounds, Member, Page, Position, Publish, Query,
    Request, Ticket,
};
use super::{EngineSettings, MAX_READY, MemoryEngine, WORK_PER_CALL};
use crate::timer::Time;
use std::time::Duration;

/// Publications live 10 s and positions as long again; positions without publications live 5 s.
const TEN: HistoryBounds = HistoryBounds { size: 3, ttl: Duration::from_secs(10) };

fn settings() -> EngineSettings {
    EngineSettings {
        position_ttl: Duration::from_secs(5),
        idempotency_ttl: Duration::from_secs(60),
        max_idempotency_keys: 3,
        ..EngineSettings::default()
    }
}

/// An engine whose epochs count from 1, and a clock.
struct Rig {
    engine: MemoryEngine,
    now: Time,
}

impl Rig {
    fn new(settings: &EngineSettings) -> Self {
        let mut last = 0;
        let count = move || {
            last += 1;
            last
        };
        Self { engine: MemoryEngine::new(settings, Box::new(count), Time::ZERO), now: Time::ZERO }
    }

    /// The time `millis` after the start, with all its deadlines served.
    fn at(&mut self, millis: u64) -> &mut Self {
        self.now = Time::from_millis(millis);
        self.serve();
        self
    }

    fn serve(&mut self) {
        for _ in 0..1_000 {
            if self.engine.poll_timeout().is_none_or(|at| self.now < at) {
                return;
            }
            self.engine.handle_timeout(self.now);
        }
        panic!("something is due for ever");
    }

    fn ask(&mut self, request: Request) -> Result<Done, EngineError> {
        self.ask_and_hear(request).0
    }

    /// The answer, and what was heard before it.
    fn ask_and_hear(&mut self, request: Request) -> (Result<Done, EngineError>, Vec<String>) {
        assert_eq!(self.engine.submit(Ticket(7), request, self.now), Ok(()));
        let mut heard = Vec::new();
        loop {
            match self.engine.poll(self.now).expect("there is an answer") {
                Event::Done(ticket, done) => {
                    assert_eq!(ticket, Ticket(7));
                    assert!(self.engine.poll(self.now).is_none(), "nothing follows the answer");
                    return (done, heard);
                }
                event => heard.push(show(&event)),
            }
        }
    }

    fn publish(&mut self, channel: &str, body: &'static str) -> Position {
        published(self.ask(publish(channel, body, Some(TEN), None))).unwrap()
    }

    fn read(&mut self, channel: &str) -> Page {
        match self.ask(history(channel)) {
            Ok(Done::History(page)) => (*page).clone(),
            other => panic!("{other:?}"),
        }
    }

    fn subscribe(&mut self, channel: &str) {
        assert!(matches!(self.ask(Request::Subscribe { channel: channel.into() }), Ok(Done::Nothing)));
    }

    fn unsubscribe(&mut self, channel: &str) {
        assert!(matches!(self.ask(Request::Unsubscribe { channel: channel.into() }), Ok(Done::Nothing)));
    }

    /// Fails unless the position and the offsets of `a` are as told.
    fn check(&mut self, epoch: u64, top: u64, offsets: &[u64]) {
        let page = self.read("a");
        assert_eq!(page.position, position(epoch, top), "at {:?}", self.now);
        let shown: Vec<u64> = page.publications.iter().map(|publication| publication.offset).collect();
        assert_eq!(shown, offsets, "at {:?}", self.now);
    }
}

fn show(event: &Event) -> String {
    match event {
        Event::Publication { channel, publication, epoch } => {
            let epoch = epoch.as_deref().map_or("none", |epoch| epoch.trim_start_matches('0'));
            format!("{channel}: {}@{} of {epoch}", text(&publication.body), publication.offset)
        }
        Event::Joined { channel, info } => format!("{channel} + {}", text(info)),
        Event::Left { channel, info } => format!("{channel} - {}", text(info)),
        Event::Done(..) | Event::Interrupted => panic!("{event:?}"),
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn position(epoch: u64, offset: u64) -> Position {
    Position { offset, epoch: format!("{epoch:016x}").into() }
}

fn published(answer: Result<Done, EngineError>) -> Option<Position> {
    match answer {
        Ok(Done::Published(position)) => position,
        other => panic!("{other:?}"),
    }
}

fn publish(channel: &str, body: &'static str, history: Option<HistoryBounds>, key: Option<&str>) -> Request {
    let (channel, key) = (channel.into(), key.map(Into::into));
    Request::Publish(Publish { channel, body: body.into(), history, idempotency_key: key })
}

fn history(channel: &str) -> Request {
    Request::History { channel: channel.into(), query: Query { since: None, limit: usize::MAX, reverse: false } }
}

fn add(channel: &str, client: u128, user: &str, presence: bool, announce: bool) -> Request {
    Request::AddMember { channel: channel.into(), member: member(client, user), presence, announce }
}

fn remove(channel: &str, client: u128, user: &str, presence: bool, announce: bool) -> Request {
    Request::RemoveMember { channel: channel.into(), member: member(client, user), presence, announce }
}

fn member(client: u128, user: &str) -> Member {
    Member { client, user: user.into(), info: format!("{user}{client}").into() }
}

#[test]
fn a_history_keeps_its_newest_publications() {
    let mut rig = Rig::new(&settings());
    for offset in 1..=5 {
        assert_eq!(rig.publish("a", "x"), position(1, offset));
    }
    rig.check(1, 5, &[3, 4, 5]);
    assert_eq!((rig.engine.channels(), rig.engine.publications()), (1, 3));
}

#[test]
fn channels_have_offsets_and_epochs_of_their_own() {
    let mut rig = Rig::new(&settings());
    rig.publish("a", "x");
    assert_eq!(rig.publish("b", "x"), position(2, 1));
    rig.check(1, 1, &[1]);
}

#[test]
fn a_smaller_size_trims_with_the_next_publication() {
    let mut rig = Rig::new(&settings());
    (0..3).for_each(|_| _ = rig.publish("a", "x"));
    _ = rig.ask(publish("a", "x", Some(HistoryBounds { size: 1, ..TEN }), None));
    rig.check(1, 4, &[4]);
}

#[test]
fn publications_and_then_the_position_are_forgotten_on_time() {
    let mut rig = Rig::new(&settings());
    rig.publish("a", "x");
    rig.at(5_000).publish("a", "x");
    assert_eq!(rig.at(14_990).engine.publications(), 2);
    assert_eq!(rig.at(15_000).engine.publications(), 0);
    assert_eq!(rig.at(24_990).engine.channels(), 1);
    assert_eq!(rig.publish("a", "x"), position(1, 3));
    rig.at(44_990);
    assert_eq!((rig.engine.channels(), rig.engine.publications()), (0, 0));
    assert_eq!(rig.publish("a", "x"), position(2, 1));
}

#[test]
fn what_is_due_shows_no_more_however_late_the_timeout_comes() {
    let mut rig = Rig::new(&settings());
    rig.publish("a", "x");
    rig.now = Time::from_millis(9_999);
    rig.check(1, 1, &[1]);
    rig.now = Time::from_millis(10_000);
    rig.check(1, 1, &[]);
    rig.now = Time::from_millis(20_000);
    rig.check(2, 0, &[]);
}

#[test]
fn a_position_that_was_read_is_kept_from_then() {
    let mut rig = Rig::new(&settings());
    rig.check(1, 0, &[]);
    rig.at(4_990).check(1, 0, &[]);
    rig.at(9_980).check(1, 0, &[]);
    assert_eq!(rig.at(14_970).engine.channels(), 1);
    assert_eq!(rig.at(14_980).engine.channels(), 0);
    rig.check(2, 0, &[]);
}

#[test]
fn subscribers_keep_a_position_and_leave_it_for_its_time_to_live() {
    let mut rig = Rig::new(&settings());
    rig.subscribe("a");
    rig.publish("a", "x");
    rig.at(3_600_000).check(1, 1, &[]);
    rig.at(7_200_000).unsubscribe("a");
    rig.at(7_209_990).unsubscribe("a");
    assert_eq!(rig.engine.channels(), 1, "a second end of a subscription changes nothing");
    assert_eq!(rig.at(7_210_000).engine.channels(), 0);
}

#[test]
fn subscribers_alone_keep_a_channel_without_a_position() {
    let mut rig = Rig::new(&settings());
    rig.subscribe("a");
    rig.subscribe("a");
    assert_eq!((rig.engine.channels(), rig.engine.poll_timeout()), (1, None));
    rig.unsubscribe("a");
    assert_eq!(rig.engine.channels(), 0);
}

#[test]
fn a_subscription_after_the_end_of_a_position_does_not_bring_it_back() {
    let mut rig = Rig::new(&settings());
    rig.publish("a", "x");
    rig.now = Time::from_millis(20_000);
    rig.subscribe("a");
    rig.check(2, 0, &[]);
}

#[test]
fn a_shorter_time_to_live_counts_at_once() {
    let mut rig = Rig::new(&settings());
    rig.publish("a", "x");
    let second = HistoryBounds { ttl: Duration::from_secs(1), ..TEN };
    _ = rig.ask(publish("a", "x", Some(second), None));
    assert_eq!(rig.at(1_000).engine.publications(), 0);
}

#[test]
fn a_history_without_time_to_live_is_gone_at_once_and_never_spins() {
    let mut rig = Rig::new(&settings());
    let none = HistoryBounds { ttl: Duration::ZERO, ..TEN };
    assert_eq!(published(rig.ask(publish("a", "x", Some(none), None))), Some(position(1, 1)));
    rig.serve();
    assert_eq!(rig.engine.channels(), 0);
}

#[test]
fn a_history_that_lives_for_ever_stays_until_the_end_of_the_clock() {
    let mut rig = Rig::new(&settings());
    let always = HistoryBounds { ttl: Duration::MAX, ..TEN };
    _ = rig.ask(publish("a", "x", Some(always), None));
    assert_eq!(rig.at(u64::MAX - 100).engine.publications(), 1);
}

#[test]
fn a_clock_that_turns_back_stands_still() {
    let mut rig = Rig::new(&settings());
    rig.at(60_000).publish("a", "x");
    rig.now = Time::ZERO;
    rig.publish("a", "x");
    assert_eq!(rig.at(69_990).engine.publications(), 2);
    assert_eq!(rig.at(70_000).engine.publications(), 0);
}

#[test]
fn a_history_that_was_removed_goes_on_in_the_same_epoch() {
    let mut rig = Rig::new(&settings());
    (0..2).for_each(|_| _ = rig.publish("a", "x"));
    assert!(matches!(rig.ask(Request::RemoveHistory { channel: "a".into() }), Ok(Done::Nothing)));
    rig.check(1, 2, &[]);
    assert_eq!(rig.publish("a", "x"), position(1, 3));
    rig.check(1, 3, &[3]);
    assert!(matches!(rig.ask(Request::RemoveHistory { channel: "b".into() }), Ok(Done::Nothing)));
    assert_eq!(rig.engine.channels(), 1, "removing what is not there begins nothing");
}

#[test]
fn publications_are_heard_of_by_subscription_alone_and_before_their_answer() {
    let mut rig = Rig::new(&settings());
    let mut check = |request: Request, expected: &[&str]| assert_eq!(rig.ask_and_hear(request).1, expected);
    check(publish("a", "x", Some(TEN), None), &[]);
    check(Request::Subscribe { channel: "a".into() }, &[]);
    check(publish("a", "y", Some(TEN), None), &["a: y@2 of 1"]);
    check(publish("a", "z", None, None), &["a: z@0 of none"]);
    check(publish("b", "y", Some(TEN), None), &[]);
    check(Request::Unsubscribe { channel: "a".into() }, &[]);
    check(publish("a", "x", Some(TEN), None), &[]);
}

#[test]
fn a_publication_left_out_of_the_history_moves_no_offset_and_begins_no_channel() {
    let mut rig = Rig::new(&settings());
    assert_eq!(published(rig.ask(publish("a", "x", None, None))), None);
    assert_eq!(rig.engine.channels(), 0);
    rig.publish("a", "x");
    assert_eq!(published(rig.ask(publish("a", "x", None, None))), None);
    rig.check(1, 1, &[1]);
}

#[test]
fn the_same_key_again_brings_the_first_answer_and_no_publication() {
    let mut rig = Rig::new(&settings());
    rig.subscribe("a");
    let mut check = |millis, channel, key, epoch, offset, heard: usize| {
        let request = publish(channel, "x", Some(TEN), Some(key));
        let (answer, events) = rig.at(millis).ask_and_hear(request);
        assert_eq!((published(answer), events.len()), (Some(position(epoch, offset)), heard), "{channel} {key}");
    };
    check(0, "a", "one", 1, 1, 1);
    check(10, "a", "one", 1, 1, 0);
    check(10, "a", "two", 1, 2, 1);
    check(10, "b", "one", 2, 1, 0);
    check(59_990, "a", "one", 1, 1, 0);
    check(60_000, "a", "one", 1, 3, 1);
    check(60_000, "a", "two", 1, 2, 0);
}

#[test]
fn a_key_counts_where_no_history_is_kept() {
    let mut rig = Rig::new(&settings());
    rig.subscribe("a");
    assert_eq!(rig.ask_and_hear(publish("a", "x", None, Some("k"))).1.len(), 1);
    let (answer, heard) = rig.ask_and_hear(publish("a", "x", Some(TEN), Some("k")));
    assert_eq!((published(answer), heard.len()), (None, 0));
}

#[test]
fn the_oldest_keys_make_room_and_are_counted() {
    let mut rig = Rig::new(&settings());
    rig.at(10);
    for key in ["1", "2", "3", "4"] {
        _ = rig.ask(publish("a", "x", Some(TEN), Some(key)));
    }
    assert_eq!((rig.engine.idempotency_keys(), rig.engine.dropped_idempotency_keys()), (3, 1));
    assert_eq!(published(rig.ask(publish("a", "x", Some(TEN), Some("2")))), Some(position(1, 2)));
    assert_eq!(published(rig.ask(publish("a", "x", Some(TEN), Some("1")))), Some(position(1, 5)));
    assert_eq!(rig.at(60_990).engine.idempotency_keys(), 3, "they are let go of all at once");
    assert_eq!(rig.at(61_000).engine.idempotency_keys(), 0);
    assert_eq!(rig.engine.dropped_idempotency_keys(), 2);
}

#[test]
fn no_keys_are_kept_where_none_may_be() {
    let mut rig = Rig::new(&EngineSettings { max_idempotency_keys: 0, ..settings() });
    for offset in [1, 2] {
        assert_eq!(published(rig.ask(publish("a", "x", Some(TEN), Some("k")))), Some(position(1, offset)));
    }
    assert_eq!((rig.engine.idempotency_keys(), rig.engine.dropped_idempotency_keys()), (0, 2));
}

#[test]
fn members_are_listed_counted_and_announced() {
    let mut rig = Rig::new(&settings());
    rig.subscribe("a");
    let mut check = |request: Request, heard: &[&str], expected: &[u128], users: usize| {
        assert_eq!(rig.ask_and_hear(request).1, heard);
        let Ok(Done::Presence(members)) = rig.ask(Request::Presence { channel: "a".into() }) else { panic!() };
        assert_eq!(members.iter().map(|member| member.client).collect::<Vec<_>>(), expected);
        let stats = rig.ask(Request::PresenceStats { channel: "a".into() });
        let expected = Done::PresenceStats { clients: expected.len(), users };
        assert_eq!(format!("{stats:?}"), format!("{:?}", Ok::<_, EngineError>(expected)));
    };
    check(add("a", 2, "ann", true, true), &["a + ann2"], &[2], 1);
    check(add("a", 1, "ann", true, false), &[], &[1, 2], 1);
    check(add("a", 3, "bob", true, true), &["a + bob3"], &[1, 2, 3], 2);
    check(add("a", 3, "cat", true, true), &["a + cat3"], &[1, 2, 3], 2);
    check(add("a", 4, "dan", false, true), &["a + dan4"], &[1, 2, 3], 2);
    check(add("b", 5, "eve", true, true), &[], &[1, 2, 3], 2);
    check(remove("a", 4, "dan", false, true), &["a - dan4"], &[1, 2, 3], 2);
    check(remove("a", 4, "dan", true, true), &[], &[1, 2, 3], 2);
    check(remove("a", 1, "ann", true, false), &[], &[2, 3], 2);
    check(remove("a", 3, "cat", true, true), &["a - cat3"], &[2], 1);
    check(remove("a", 3, "cat", true, true), &[], &[2], 1);
}

#[test]
fn members_keep_their_channel_and_not_its_position() {
    let mut rig = Rig::new(&settings());
    rig.publish("a", "x");
    _ = rig.ask(add("a", 1, "ann", true, false));
    assert_eq!(rig.at(60_000).engine.channels(), 1);
    rig.check(2, 0, &[]);
    assert_eq!((rig.at(120_000).engine.channels(), rig.engine.members()), (1, 1));
    _ = rig.ask(remove("a", 1, "ann", true, false));
    assert_eq!((rig.engine.channels(), rig.engine.members()), (0, 0));
}

#[test]
fn asking_after_members_begins_no_channel() {
    let mut rig = Rig::new(&settings());
    assert!(
        matches!(rig.ask(Request::Presence { channel: "a".into() }), Ok(Done::Presence(members)) if members.is_empty())
    );
    let stats = rig.ask(Request::PresenceStats { channel: "a".into() });
    assert!(matches!(stats, Ok(Done::PresenceStats { clients: 0, users: 0 })));
    _ = rig.ask(add("a", 1, "ann", false, true));
    assert_eq!(rig.engine.channels(), 0);
}

#[test]
fn one_channel_more_than_may_be_is_refused_until_another_is_gone() {
    let mut rig = Rig::new(&EngineSettings { max_channels: 2, ..settings() });
    rig.publish("a", "x");
    rig.subscribe("b");
    let refused = [
        publish("c", "x", Some(TEN), Some("k")),
        history("c"),
        Request::Subscribe { channel: "c".into() },
        add("c", 1, "ann", true, true),
    ];
    for request in refused {
        assert_eq!(rig.ask(request).err(), Some(EngineError::LimitExceeded));
    }
    assert_eq!((rig.engine.channels(), rig.engine.members(), rig.engine.idempotency_keys()), (2, 0, 0));
    rig.unsubscribe("b");
    assert_eq!(published(rig.ask(publish("c", "x", Some(TEN), Some("k")))), Some(position(2, 1)));
}

#[test]
fn a_publication_without_room_is_refused_and_not_heard_of() {
    let room_for_three = 3 * (1 + size_of::<bytes::Bytes>());
    let mut rig = Rig::new(&EngineSettings { max_history_bytes: room_for_three, ..settings() });
    (0..3).for_each(|_| _ = rig.publish("a", "x"));
    rig.subscribe("b");
    let (answer, heard) = rig.ask_and_hear(publish("b", "y", Some(TEN), Some("k")));
    assert_eq!((answer.err(), heard.len()), (Some(EngineError::LimitExceeded), 0));
    assert_eq!((rig.engine.history_bytes(), rig.engine.idempotency_keys()), (room_for_three, 0));
    assert_eq!(rig.publish("a", "y"), position(1, 4), "it takes the place of the oldest");
    assert_eq!(rig.ask(publish("a", "xy", Some(TEN), None)).err(), Some(EngineError::LimitExceeded));
    rig.check(1, 4, &[2, 3, 4]);
    assert_eq!(rig.at(10_000).publish("b", "y"), position(2, 1));
}

#[test]
fn a_queue_that_nobody_polls_is_full_and_still_lets_go() {
    let mut rig = Rig::new(&settings());
    rig.subscribe("a");
    _ = rig.ask(add("a", 1, "ann", true, false));
    for _ in 0..MAX_READY {
        assert_eq!(rig.engine.submit(Ticket(1), history("a"), rig.now), Ok(()));
    }
    assert_eq!(rig.engine.submit(Ticket(1), history("a"), rig.now), Err(Full));
    assert_eq!(rig.engine.submit(Ticket(1), publish("b", "x", Some(TEN), None), rig.now), Err(Full));
    assert_eq!(rig.engine.submit(Ticket(2), remove("a", 1, "ann", true, true), rig.now), Ok(()));
    assert_eq!((rig.engine.channels(), rig.engine.members()), (1, 0));
    let held = rig.engine.held_bytes();
    assert_eq!(std::iter::from_fn(|| rig.engine.poll(rig.now)).count(), MAX_READY + 2);
    assert!(rig.engine.held_bytes() + MAX_READY * size_of::<Event>() <= held);
    rig.check(1, 0, &[]);
}

#[test]
fn a_hundred_thousand_channels_are_small_and_vanish_a_bounded_number_at_a_time() {
    const CHANNELS: usize = 100_000;
    let mut rig = Rig::new(&settings());
    let empty = rig.engine.held_bytes();
    let names: Vec<ChannelName> = (0..CHANNELS).map(|number| format!("personal:{number}").into()).collect();
    for channel in &names {
        _ = rig.ask(publish(channel, "x", Some(TEN), None));
    }
    assert_eq!((rig.engine.channels(), rig.engine.publications()), (CHANNELS, CHANNELS));
    rig.at(10_000);
    assert_eq!((rig.engine.channels(), rig.engine.publications()), (CHANNELS, 0));
    let each = (rig.engine.held_bytes() - empty) / CHANNELS;
    assert!((100..300).contains(&each), "an empty channel takes {each} bytes");

    rig.now = Time::from_millis(20_000);
    let (mut calls, mut before) = (0, CHANNELS);
    while rig.engine.poll_timeout().is_some_and(|at| at <= rig.now) {
        rig.engine.handle_timeout(rig.now);
        assert!(before - rig.engine.channels() <= WORK_PER_CALL);
        (calls, before) = (calls + 1, rig.engine.channels());
        assert!(calls < 100, "they come to an end");
    }
    assert!(calls >= CHANNELS / WORK_PER_CALL);
    assert_eq!((rig.engine.channels(), rig.engine.poll_timeout()), (0, None));
    let left = rig.engine.held_bytes() - empty;
    assert!(left < 1 << 18, "{left} bytes are left");
}

#[test]
fn one_call_forgets_a_bounded_number_of_publications() {
    let mut rig = Rig::new(&settings());
    let many = HistoryBounds { size: 1_000, ..TEN };
    for channel in 0..50 {
        (0..1_000).for_each(|_| _ = rig.ask(publish(&channel.to_string(), "x", Some(many), None)));
    }
    rig.now = Time::from_millis(10_000);
    rig.engine.handle_timeout(rig.now);
    let left = rig.engine.publications();
    assert!((50_000 - WORK_PER_CALL - 1_000..50_000).contains(&left), "{left} are left");
    assert!(rig.engine.poll_timeout().is_some_and(|at| at <= rig.now));
    rig.serve();
    assert_eq!(rig.engine.publications(), 0);
}
