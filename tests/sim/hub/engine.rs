//! An engine as another process would be one: its answers and what is heard of it come late, each channel in order and
//! channels in none; it refuses, fails, loses what was to be heard, and begins anew. Beneath lies the engine in memory.

use super::truth::Truth;
use crate::model::Violation;
use crate::rng::Rng;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use tidegate::engine::{
    ChannelName, Done, Engine, EngineError, EngineSettings, Event, Full, Member, MemoryEngine, Query, Request, Ticket,
};
use tidegate::timer::Time;

/// What a run's engine is like: percentages, and milliseconds at most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Temper {
    pub full: u64,
    pub fails: u64,
    pub reach: u64,
    pub answer: u64,
    pub heard: u64,
    /// It may lose what was to be heard, or everything.
    pub breaks: bool,
}

impl Temper {
    /// Nothing is ever lost or refused, however late it may be.
    pub fn is_reliable(self) -> bool {
        !self.refuses() && !self.breaks
    }

    /// Whether it may refuse what it is asked.
    pub fn refuses(self) -> bool {
        self.full > 0 || self.fails > 0
    }
}

/// The engine as the hub owns it.
pub struct SimEngine(pub Rc<RefCell<Desk>>);

/// The engine as the simulator sees it.
pub struct Desk {
    memory: MemoryEngine,
    settings: EngineSettings,
    pub temper: Temper,
    pub truth: Truth,
    pub rng: Rng,
    seed: u64,
    lives: u64,
    calendar: BTreeMap<(u64, u64), Item>,
    entered: u64,
    lanes: HashMap<ChannelName, Lane>,
    /// What the engine has been told to hold on to, whatever happens to it.
    heard: BTreeSet<ChannelName>,
    members: BTreeMap<(ChannelName, u128), Member>,
    /// Channels that a member was not noted on, because the engine was full.
    pub unsure: BTreeSet<ChannelName>,
    /// Requests that wait for their answer.
    pub pending: usize,
    now: u64,
    pub violation: Option<Violation>,
    pub refused: u64,
    pub failed: u64,
    pub overtaken: u64,
}

enum Item {
    Effect(Ticket, Request),
    Answer(Ticket, Result<Done, EngineError>),
    /// With the number of the subscription it is heard by.
    Heard(Event, u64),
}

/// The latest moments at which something of a channel happens, so that nothing overtakes.
#[derive(Default)]
struct Lane {
    effect: u64,
    answer: u64,
    heard: u64,
    /// Subscriptions to it that were asked for, and that are made.
    asked: u64,
    made: u64,
}

impl Desk {
    pub fn new(settings: EngineSettings, temper: Temper, seed: u64, now: u64) -> Self {
        Self {
            memory: memory(&settings, seed, 0, now),
            settings,
            temper,
            truth: Truth::default(),
            rng: Rng::new(seed ^ 0xe),
            seed,
            lives: 0,
            calendar: BTreeMap::new(),
            entered: 0,
            lanes: HashMap::new(),
            heard: BTreeSet::new(),
            members: BTreeMap::new(),
            unsure: BTreeSet::new(),
            pending: 0,
            now,
            violation: None,
            refused: 0,
            failed: 0,
            overtaken: 0,
        }
    }

    /// Everything in memory is gone; what was asked is not answered, what was to be heard never is.
    pub fn restart(&mut self, now: u64) {
        self.now = now;
        self.lose(true);
        self.lives += 1;
        self.memory = memory(&self.settings, self.seed, self.lives, now);
        self.truth.begin_anew();
        let heard = self.heard.iter().map(|channel| Request::Subscribe { channel: channel.clone() });
        let members = self.members.iter().map(|((channel, _), member)| Request::AddMember {
            channel: channel.clone(),
            member: member.clone(),
            presence: true,
            announce: false,
        });
        for request in heard.chain(members) {
            self.memory.submit(Ticket(0), request, Time::from_millis(now)).expect("there is room in an empty engine");
        }
        while self.memory.poll(Time::from_millis(now)).is_some() {}
        self.enter(now, Item::Heard(Event::Interrupted, 0));
    }

    /// What was to be heard is lost; requests are not.
    pub fn interrupt(&mut self, now: u64) {
        self.now = now;
        self.lose(false);
        self.enter(now, Item::Heard(Event::Interrupted, 0));
    }

    fn lose(&mut self, answers_too: bool) {
        for ((at, order), item) in std::mem::take(&mut self.calendar) {
            match item {
                Item::Heard(Event::Publication { channel, publication, .. }, _) => {
                    self.truth.lose(&channel, &publication);
                }
                Item::Heard(Event::Interrupted, _) => self.enter(self.now, Item::Heard(Event::Interrupted, 0)),
                Item::Heard(..) => {}
                Item::Effect(ticket, _) | Item::Answer(ticket, _) if answers_too => {
                    self.failed += 1;
                    self.enter(self.now, Item::Answer(ticket, Err(EngineError::Unavailable("begins anew".to_owned()))));
                }
                kept @ (Item::Effect(..) | Item::Answer(..)) => {
                    self.calendar.insert((at, order), kept);
                }
            }
        }
        for lane in self.lanes.values_mut() {
            lane.heard = self.now;
            if answers_too {
                (lane.effect, lane.answer, lane.made) = (self.now, self.now, lane.asked);
            }
        }
    }

    /// From here on it is as good as the engine in memory.
    pub fn calm(&mut self) {
        self.temper = Temper { breaks: self.temper.breaks, ..Temper::default() };
    }

    pub fn memory(&self) -> &MemoryEngine {
        &self.memory
    }

    /// Whether the history has everything behind this place.
    pub fn holds(&mut self, channel: &str, epoch: &str, offset: u64) -> bool {
        let query = Query { since: Some((offset, epoch.into())), limit: usize::MAX, reverse: false };
        match self.ask(Request::History { channel: channel.into(), query }) {
            Ok(Done::History(page)) => page.follows(&(offset, epoch.into())) && offset <= page.position.offset,
            _ => false,
        }
    }

    /// Where a history stands.
    pub fn stands(&mut self, channel: &str) -> Option<(String, u64)> {
        let query = Query { since: None, limit: 0, reverse: false };
        match self.ask(Request::History { channel: channel.into(), query }) {
            Ok(Done::History(page)) => Some((page.position.epoch.to_string(), page.position.offset)),
            _ => None,
        }
    }

    fn ask(&mut self, request: Request) -> Result<Done, EngineError> {
        let now = Time::from_millis(self.now);
        self.memory.submit(Ticket(0), request, now).expect("the engine in memory is emptied at once");
        let mut result = Err(EngineError::LimitExceeded);
        while let Some(event) = self.memory.poll(now) {
            if let Event::Done(_, done) = event {
                result = done;
            }
        }
        result
    }

    fn enter(&mut self, at: u64, item: Item) {
        self.entered += 1;
        self.calendar.insert((at, self.entered), item);
    }

    fn take(&mut self, ticket: Ticket, request: Request) -> Result<(), Full> {
        let channel = channel_of(&request).clone();
        if !holds_on(&request) && self.rng.chance(self.temper.full) {
            self.refused += 1;
            if let Request::AddMember { .. } = request {
                self.unsure.insert(channel);
            }
            return Err(Full);
        }
        self.remember(&request);
        let at = self.now + self.rng.below(self.temper.reach + 1);
        let lane = self.lanes.entry(channel).or_default();
        lane.asked += u64::from(matches!(request, Request::Subscribe { .. }));
        lane.effect = lane.effect.max(at);
        let at = lane.effect;
        self.pending += 1;
        self.enter(at, Item::Effect(ticket, request));
        Ok(())
    }

    fn remember(&mut self, request: &Request) {
        match request {
            Request::Subscribe { channel } => {
                self.heard.insert(channel.clone());
            }
            Request::Unsubscribe { channel } => {
                self.heard.remove(channel);
            }
            Request::AddMember { channel, member, presence: true, .. } => {
                self.members.insert((channel.clone(), member.client), member.clone());
            }
            Request::RemoveMember { channel, member, .. } => {
                self.members.remove(&(channel.clone(), member.client));
            }
            _ => {}
        }
    }

    fn effect(&mut self, ticket: Ticket, request: Request) {
        let channel = channel_of(&request).clone();
        let fails = can_fail(&request) && self.rng.chance(self.temper.fails);
        if fails && self.rng.chance(50) {
            return self.answer(&channel, ticket, Err(unavailable()));
        }
        if let Request::Subscribe { .. } = request {
            self.lanes.entry(channel.clone()).or_default().made += 1;
        }
        let publish = match &request {
            Request::Publish(publish) => Some(publish.clone()),
            _ => None,
        };
        let now = Time::from_millis(self.now);
        self.memory.submit(Ticket(0), request, now).expect("the engine in memory is emptied at once");
        let times = (self.now, self.settings.idempotency_ttl.as_millis() as u64);
        let mut heard = false;
        while let Some(event) = self.memory.poll(now) {
            match event {
                Event::Done(_, result) => {
                    if let (Some(publish), Ok(Done::Published(position))) = (&publish, &result)
                        && let Err(violation) = self.truth.on_published(publish, position.as_ref(), heard, times)
                    {
                        self.violation = Some(violation);
                    }
                    self.answer(&channel, ticket, if fails { Err(unavailable()) } else { result });
                }
                event => {
                    heard = true;
                    self.say(&channel, event);
                }
            }
        }
    }

    fn answer(&mut self, channel: &ChannelName, ticket: Ticket, result: Result<Done, EngineError>) {
        self.failed += u64::from(result.is_err());
        let at = self.now + self.rng.below(self.temper.answer + 1);
        let lane = self.lanes.entry(channel.clone()).or_default();
        lane.answer = lane.answer.max(at);
        let (at, heard) = (lane.answer, lane.heard);
        self.overtaken += u64::from(heard > at);
        self.enter(at, Item::Answer(ticket, result));
    }

    fn say(&mut self, channel: &ChannelName, event: Event) {
        let at = self.now + self.rng.below(self.temper.heard + 1);
        let lane = self.lanes.entry(channel.clone()).or_default();
        lane.heard = lane.heard.max(at);
        let (at, by) = (lane.heard, lane.made);
        self.enter(at, Item::Heard(event, by));
    }

    fn next(&mut self) -> Option<Event> {
        while let Some(first) = self.calendar.first_entry().filter(|first| first.key().0 <= self.now) {
            match first.remove() {
                Item::Effect(ticket, request) => self.effect(ticket, request),
                Item::Answer(ticket, result) => {
                    self.pending -= 1;
                    return Some(Event::Done(ticket, result));
                }
                Item::Heard(event, by) => {
                    if self.is_heard(&event, by) {
                        return Some(event);
                    }
                }
            }
        }
        None
    }
}

/// Whose channel is heard of no more, or anew, hears nothing of what was before.
impl Desk {
    fn is_heard(&mut self, event: &Event, by: u64) -> bool {
        let channel = match event {
            Event::Publication { channel, .. } | Event::Joined { channel, .. } | Event::Left { channel, .. } => channel,
            Event::Interrupted | Event::Done(..) => return true,
        };
        let is_heard = self.heard.contains(channel) && self.lanes.get(channel).is_some_and(|lane| lane.asked == by);
        if let (Event::Publication { channel, publication, .. }, false) = (event, is_heard) {
            self.truth.lose(channel, publication);
        }
        is_heard
    }
}

impl Engine for SimEngine {
    fn submit(&mut self, ticket: Ticket, request: Request, now: Time) -> Result<(), Full> {
        let mut desk = self.0.borrow_mut();
        desk.now = now.as_millis();
        desk.take(ticket, request)
    }

    fn poll(&mut self, now: Time) -> Option<Event> {
        let mut desk = self.0.borrow_mut();
        desk.now = now.as_millis();
        desk.next()
    }

    fn poll_timeout(&self) -> Option<Time> {
        let desk = self.0.borrow();
        let next = desk.calendar.first_key_value().map(|((at, _), _)| Time::from_millis(*at));
        [next, desk.memory.poll_timeout()].into_iter().flatten().min()
    }

    fn handle_timeout(&mut self, now: Time) {
        let mut desk = self.0.borrow_mut();
        desk.now = now.as_millis();
        desk.memory.handle_timeout(now);
    }
}

fn memory(settings: &EngineSettings, seed: u64, life: u64, now: u64) -> MemoryEngine {
    let mut epochs = Rng::new(seed ^ life << 32);
    MemoryEngine::new(settings, Box::new(move || epochs.next()), Time::from_millis(now))
}

fn unavailable() -> EngineError {
    EngineError::Unavailable("out of reach".to_owned())
}

/// Who lets go is never refused, as the hub does not ask again.
fn holds_on(request: &Request) -> bool {
    matches!(request, Request::Unsubscribe { .. } | Request::RemoveMember { .. } | Request::RemoveHistory { .. })
}

/// What has to be kept whatever happens does not fail: an engine sees to it by itself.
fn can_fail(request: &Request) -> bool {
    match request {
        Request::Publish(_)
        | Request::History { .. }
        | Request::RemoveHistory { .. }
        | Request::Presence { .. }
        | Request::PresenceStats { .. } => true,
        Request::Subscribe { .. }
        | Request::Unsubscribe { .. }
        | Request::AddMember { .. }
        | Request::RemoveMember { .. } => false,
    }
}

fn channel_of(request: &Request) -> &ChannelName {
    match request {
        Request::Publish(publish) => &publish.channel,
        Request::History { channel, .. }
        | Request::RemoveHistory { channel }
        | Request::Subscribe { channel }
        | Request::Unsubscribe { channel }
        | Request::AddMember { channel, .. }
        | Request::RemoveMember { channel, .. }
        | Request::Presence { channel }
        | Request::PresenceStats { channel } => channel,
    }
}
