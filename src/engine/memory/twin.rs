//! The engine beside a naive twin that keeps every publication with its time and looks through all of them for each
//! answer: over any sequence of requests, however the clock moves, both must say the same.

use super::super::{
    Done, Engine, EngineError, Event, HistoryBounds, Member, Page, Position, Publication, Publish, Query, Request,
    Ticket,
};
use super::{EngineSettings, MemoryEngine};
use crate::timer::{TICK_MILLIS, Time};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::time::Duration;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_sequence_of_requests_is_answered_as_by_one_that_remembers_everything(
        steps in prop::collection::vec(step(), 1..120),
    ) {
        check(steps);
    }
}

fn check(steps: Vec<Step>) {
    let mut pair = Pair::new();
    for step in steps {
        pair.run(step);
    }
    pair.let_go_of_everything();
}

#[derive(Debug, Clone)]
enum Step {
    Ask(Request),
    /// So many of the wheel's ticks.
    Elapse(u64),
    ToDeadline,
    Serve,
    ServeOnce,
}

/// How an epoch is named in a random query: one that was given away, by its number, or one that never was.
const EPOCHS: u64 = 8;
const KEYS: usize = 4;

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        30 => request().prop_map(Step::Ask),
        4 => (0..30_u64).prop_map(Step::Elapse),
        1 => (0..1_000_u64).prop_map(Step::Elapse),
        2 => Just(Step::ToDeadline),
        2 => Just(Step::Serve),
        1 => Just(Step::ServeOnce),
    ]
}

fn request() -> impl Strategy<Value = Request> {
    let named = |request: fn(std::sync::Arc<str>) -> Request| channel().prop_map(request);
    prop_oneof![
        8 => publish().prop_map(Request::Publish),
        6 => (channel(), query()).prop_map(|(channel, query)| Request::History { channel, query }),
        1 => named(|channel| Request::RemoveHistory { channel }),
        2 => named(|channel| Request::Subscribe { channel }),
        2 => named(|channel| Request::Unsubscribe { channel }),
        3 => (channel(), member(), any::<bool>(), any::<bool>()).prop_map(|(channel, member, presence, announce)| {
            Request::AddMember { channel, member, presence, announce }
        }),
        3 => (channel(), member(), any::<bool>(), any::<bool>()).prop_map(|(channel, member, presence, announce)| {
            Request::RemoveMember { channel, member, presence, announce }
        }),
        1 => named(|channel| Request::Presence { channel }),
        1 => named(|channel| Request::PresenceStats { channel }),
    ]
}

fn channel() -> impl Strategy<Value = std::sync::Arc<str>> {
    prop::sample::select(vec!["a", "b", "c"]).prop_map(Into::into)
}

fn publish() -> impl Strategy<Value = Publish> {
    let key = prop::option::weighted(0.3, (0..6_u8).prop_map(|key| key.to_string().into()));
    let body = (0..100_u8).prop_map(|number| number.to_string().into());
    let parts = (channel(), body, prop::option::weighted(0.9, bounds()), key);
    parts.prop_map(|(channel, body, history, idempotency_key)| Publish { channel, body, history, idempotency_key })
}

fn bounds() -> impl Strategy<Value = HistoryBounds> {
    let size = prop_oneof![4 => 3..6_usize, 1 => 0..3_usize];
    let millis = prop::sample::select(vec![0, 50, 100, 100, 100, 500]);
    (size, millis).prop_map(|(size, millis)| HistoryBounds { size, ttl: Duration::from_millis(millis) })
}

fn query() -> impl Strategy<Value = Query> {
    let epoch = prop_oneof![4 => (1..EPOCHS).prop_map(epoch), 1 => Just("".into())];
    let offset = prop_oneof![8 => 0..12_u64, 1 => Just(u64::MAX)];
    let limit = prop_oneof![0..4_usize, Just(usize::MAX)];
    let parts = (prop::option::of((offset, epoch)), limit, any::<bool>());
    parts.prop_map(|(since, limit, reverse)| Query { since, limit, reverse })
}

fn member() -> impl Strategy<Value = Member> {
    let parts = (0..4_u128, prop::sample::select(vec!["", "ann", "bob"]), 0..10_u8);
    parts.prop_map(|(client, user, info)| Member { client, user: user.into(), info: info.to_string().into() })
}

fn epoch(number: u64) -> std::sync::Arc<str> {
    format!("{number:016x}").into()
}

fn settings() -> EngineSettings {
    EngineSettings {
        position_ttl: Duration::from_millis(200),
        idempotency_ttl: Duration::from_millis(1_500),
        max_idempotency_keys: KEYS,
        ..EngineSettings::default()
    }
}

/// The engine and its twin, which must say the same.
struct Pair {
    engine: MemoryEngine,
    twin: Twin,
    now: Time,
    ticket: u64,
}

impl Pair {
    fn new() -> Self {
        let mut last = 0;
        let count = move || {
            last += 1;
            last
        };
        let engine = MemoryEngine::new(&settings(), Box::new(count), Time::ZERO);
        Self { engine, twin: Twin::default(), now: Time::ZERO, ticket: 0 }
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Ask(request) => self.ask(request),
            Step::Elapse(ticks) => self.now += Duration::from_millis(ticks * TICK_MILLIS),
            Step::ToDeadline => self.now = self.engine.poll_timeout().map_or(self.now, |at| at.max(self.now)),
            Step::Serve => self.serve(),
            Step::ServeOnce => self.engine.handle_timeout(self.now),
        }
    }

    fn ask(&mut self, request: Request) {
        self.ticket += 1;
        let expected = self.twin.answer(Ticket(self.ticket), request.clone(), self.now.as_millis());
        assert_eq!(self.engine.submit(Ticket(self.ticket), request.clone(), self.now), Ok(()));
        let said = std::iter::from_fn(|| self.engine.poll(self.now));
        let said: Vec<String> = said.map(|event| format!("{event:?}")).collect();
        let expected: Vec<String> = expected.iter().map(|event| format!("{event:?}")).collect();
        assert_eq!(said, expected, "to {request:?} at {:?}", self.now);
    }

    /// Serves what is due and compares the figures, which are exact then.
    fn serve(&mut self) {
        for _ in 0..1_000 {
            if self.engine.poll_timeout().is_none_or(|at| self.now < at) {
                return self.compare();
            }
            self.engine.handle_timeout(self.now);
        }
        panic!("something is due for ever");
    }

    fn compare(&self) {
        let now = self.now.as_millis();
        assert_eq!(self.engine.channels(), self.twin.channels(now), "channels at {now}");
        assert_eq!(self.engine.publications(), self.twin.publications(now), "publications at {now}");
        assert_eq!(self.engine.members(), self.twin.members.len(), "members at {now}");
        assert_eq!(self.engine.dropped_idempotency_keys(), self.twin.dropped, "dropped keys at {now}");
        assert!(self.engine.idempotency_keys() <= KEYS);
    }

    fn let_go_of_everything(&mut self) {
        for channel in ["a", "b", "c"] {
            self.ask(Request::Unsubscribe { channel: channel.into() });
        }
        for (channel, member) in self.twin.members.clone() {
            self.ask(Request::RemoveMember { channel: channel.into(), member, presence: true, announce: true });
        }
        self.now += Duration::from_secs(10);
        self.serve();
        let left = (self.engine.channels(), self.engine.publications(), self.engine.members());
        assert_eq!((left, self.engine.idempotency_keys(), self.engine.poll_timeout()), ((0, 0, 0), 0, None));
        assert_eq!(self.engine.history_bytes(), 0);
    }
}

/// Everything there ever was, in the order it came.
#[derive(Default)]
struct Twin {
    lives: Vec<Life>,
    heard: BTreeSet<String>,
    members: Vec<(String, Member)>,
    results: Vec<(String, u64, Option<Position>)>,
    dropped: u64,
}

/// One life of a history. Where a channel had several, the last is the one that counts.
struct Life {
    channel: String,
    epoch: std::sync::Arc<str>,
    bodies: Vec<bytes::Bytes>,
    /// Offsets up to here are out of reach for good, trimmed or removed.
    out_of_reach: u64,
    /// The last publication's, in milliseconds.
    published_at: u64,
    ttl: u64,
    ends_at: u64,
    /// It ended before something that would have kept it.
    is_over: bool,
}

impl Life {
    fn offset(&self) -> u64 {
        self.bodies.len() as u64
    }

    fn position(&self) -> Position {
        Position { offset: self.offset(), epoch: self.epoch.clone() }
    }

    fn publications(&self, now: u64) -> Vec<Publication> {
        let all = (1..).zip(&self.bodies).map(|(offset, body)| Publication { offset, body: body.clone() });
        let is_alive = now < self.published_at + self.ttl;
        all.filter(|publication| is_alive && publication.offset > self.out_of_reach).collect()
    }

    fn publish(&mut self, body: bytes::Bytes, bounds: HistoryBounds, now: u64) {
        // What was forgotten in the meantime does not come back with a new time to live.
        if self.publications(now).is_empty() {
            self.out_of_reach = self.offset();
        }
        self.bodies.push(body);
        self.out_of_reach = self.out_of_reach.max(self.offset().saturating_sub(bounds.size.max(1) as u64));
        (self.published_at, self.ttl) = (now, bounds.ttl.as_millis() as u64);
        self.ends_at = self.ends_at.max(now + 2 * self.ttl);
    }
}

impl Twin {
    fn answer(&mut self, ticket: Ticket, request: Request, now: u64) -> Vec<Event> {
        let mut events = Vec::new();
        let done = self.done(request, now, &mut events);
        events.push(Event::Done(ticket, Ok::<_, EngineError>(done)));
        events
    }

    fn done(&mut self, request: Request, now: u64, events: &mut Vec<Event>) -> Done {
        match request {
            Request::Publish(publish) => return Done::Published(self.publish(publish, now, events)),
            Request::History { channel, query } => return Done::History(self.read(&channel, &query, now).into()),
            Request::RemoveHistory { channel } => {
                self.life(&channel, now).into_iter().for_each(|life| life.out_of_reach = life.offset());
            }
            Request::Subscribe { channel } => {
                // A position that has ended is not saved by it.
                self.bury(&channel, now);
                self.heard.insert(channel.to_string());
            }
            Request::Unsubscribe { channel } => {
                if self.heard.contains(&*channel) {
                    self.life(&channel, now)
                        .into_iter()
                        .for_each(|life| life.ends_at = life.ends_at.max(now + life.ttl));
                }
                self.heard.remove(&*channel);
            }
            Request::AddMember { channel, member, presence, announce } => {
                if announce && self.heard.contains(&*channel) {
                    events.push(Event::Joined { channel: channel.clone(), info: member.info.clone() });
                }
                if presence {
                    self.take(&channel, member.client);
                    self.members.push((channel.to_string(), member));
                }
            }
            Request::RemoveMember { channel, member, presence, announce } => {
                let is_gone = !presence || self.take(&channel, member.client);
                if announce && is_gone && self.heard.contains(&*channel) {
                    events.push(Event::Left { channel, info: member.info });
                }
            }
            Request::Presence { channel } => return Done::Presence(self.present(&channel)),
            Request::PresenceStats { channel } => {
                let members = self.present(&channel);
                let users: BTreeSet<_> = members.iter().map(|member| member.user.clone()).collect();
                return Done::PresenceStats { clients: members.len(), users: users.len() };
            }
        }
        Done::Nothing
    }

    fn publish(&mut self, publish: Publish, now: u64, events: &mut Vec<Event>) -> Option<Position> {
        let key = publish.idempotency_key.map(|key| format!("{} {key}", publish.channel));
        let last = self.results.iter().rev().take(KEYS);
        let mut known = last.filter(|(known, until, _)| now < *until && Some(known) == key.as_ref());
        if let Some((_, _, first)) = known.next() {
            return first.clone();
        }
        let position = publish.history.map(|bounds| {
            let life = self.life_or_new(&publish.channel, bounds.ttl.as_millis() as u64, now);
            life.publish(publish.body.clone(), bounds, now);
            life.position()
        });
        if let Some(key) = key {
            self.results.push((key, now + 1_500, position.clone()));
            let pushed_out = self.results.iter().rev().nth(KEYS);
            self.dropped += u64::from(pushed_out.is_some_and(|(_, until, _)| now < *until));
        }
        if self.heard.contains(&*publish.channel) {
            let (offset, epoch) = position.clone().map_or((0, None), |at| (at.offset, Some(at.epoch)));
            let publication = Publication { offset, body: publish.body };
            events.push(Event::Publication { channel: publish.channel, publication, epoch });
        }
        position
    }

    fn read(&mut self, channel: &str, query: &Query, now: u64) -> Page {
        let life = self.life_or_new(channel, 200, now);
        life.ends_at = life.ends_at.max(now + life.ttl);
        let mut publications = life.publications(now);
        if let Some((since, epoch)) = &query.since {
            let agrees = epoch.is_empty() || *epoch == life.epoch;
            publications
                .retain(|shown| agrees && if query.reverse { shown.offset < *since } else { shown.offset > *since });
        }
        if query.reverse {
            publications.reverse();
        }
        publications.truncate(query.limit);
        Page { position: life.position(), publications }
    }

    /// The present life of a channel's history.
    fn life(&mut self, channel: &str, now: u64) -> Option<&mut Life> {
        self.bury(channel, now);
        self.lives.iter_mut().rev().find(|life| life.channel == channel).filter(|life| !life.is_over)
    }

    fn life_or_new(&mut self, channel: &str, ttl: u64, now: u64) -> &mut Life {
        if self.life(channel, now).is_none() {
            let (channel, epoch) = (channel.to_owned(), epoch(self.lives.len() as u64 + 1));
            let life = Life {
                channel,
                epoch,
                bodies: vec![],
                out_of_reach: 0,
                published_at: now,
                ttl,
                ends_at: now + ttl,
                is_over: false,
            };
            self.lives.push(life);
        }
        // One that began without time to live has ended already, and is used this once.
        self.lives.iter_mut().rev().find(|life| life.channel == channel).unwrap()
    }

    /// Marks a life that has ended, for it must not be saved by what comes later.
    fn bury(&mut self, channel: &str, now: u64) {
        let is_heard = self.heard.contains(channel);
        let last = self.lives.iter_mut().rev().find(|life| life.channel == channel);
        if let Some(life) = last.filter(|life| !is_heard && life.ends_at <= now) {
            life.is_over = true;
        }
    }

    fn take(&mut self, channel: &str, client: u128) -> bool {
        let before = self.members.len();
        self.members.retain(|(of, member)| of != channel || member.client != client);
        self.members.len() < before
    }

    fn present(&self, channel: &str) -> Vec<Member> {
        let members = self.members.iter().filter(|(of, _)| of == channel).map(|(_, member)| member.clone());
        let mut members: Vec<Member> = members.collect();
        members.sort_by_key(|member| member.client);
        members
    }

    fn channels(&self, now: u64) -> usize {
        let alive = self.lives.iter().filter(|life| self.is_present(life, now)).map(|life| life.channel.as_str());
        let peopled = self.members.iter().map(|(channel, _)| channel.as_str());
        let heard = self.heard.iter().map(String::as_str);
        alive.chain(peopled).chain(heard).collect::<BTreeSet<&str>>().len()
    }

    fn publications(&self, now: u64) -> usize {
        let alive = self.lives.iter().filter(|life| self.is_present(life, now));
        alive.map(|life| life.publications(now).len()).sum()
    }

    fn is_present(&self, life: &Life, now: u64) -> bool {
        !life.is_over && (now < life.ends_at || self.heard.contains(&life.channel))
    }
}
