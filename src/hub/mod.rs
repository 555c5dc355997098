//! The hub: clients, channels, recovery, presence and sessions, over any wire and any [`Engine`].
//!
//! [`Hub`] is a handler without framing, sockets or a clock: commands come in as documents, replies and pushes go out as
//! documents. `command` and `reply`/`push` are JSON in and out; `connecting`, `subscribing`, `publishing` and
//! `delivery` are what happens in between, `fan_out` how very many hear of it; `operation` is what back ends ask for.

mod agents;
mod beginning;
mod channel;
mod client;
pub mod codes;
pub mod command;
mod connecting;
mod delivery;
mod execution;
mod fan_out;
mod few;
pub(crate) mod json;
mod namespace;
pub mod operation;
mod operations;
mod outbox;
mod publishing;
pub mod push;
mod recovery;
pub mod reply;
mod session;
mod subscribing;
pub mod token;
mod waiting;

use crate::config::{HubSettings, SettingError};
use crate::connection::{CloseReason, LocalReason, PeerReason};
use crate::engine::{ChannelName, Engine, Event, Full, Request, Shards};
use crate::gateway::{ConnId, Context, TimerId};
use crate::timer::Time;
use agents::Agents;
use channel::Channels;
use client::{Client, Clients, Stage};
use codes::ErrorCode;
use fan_out::FanOuts;
use few::Few;
use namespace::Namespaces;
use operation::Outcome;
use outbox::Outbox;
use session::Sessions;
use slab::Slab;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use token::Verifier;
use waiting::{Operating, Wait, Waits};

/// Where the hub has its secrets from: numbers that nobody can guess.
pub type Secrets = Box<dyn FnMut() -> u128>;

/// Clients and channels on a gateway.
pub struct Hub<E> {
    settings: HubSettings,
    namespaces: Namespaces,
    verifier: Verifier,
    secrets: Secrets,
    /// Names this start of it.
    uid: u128,
    engine: E,
    clients: Clients,
    channels: Channels,
    sessions: Sessions,
    /// Connections of each user that has a name.
    users: Shards<Arc<str>, Few<ConnId>>,
    agents: Agents,
    outbox: Outbox,
    fan_outs: FanOuts,
    waits: Waits,
    operating: HashMap<u64, Operating>,
    outcomes: VecDeque<(u64, Result<Outcome, ErrorCode>)>,
    last_attempt: u16,
    /// Clients whose engine has answered while another was served.
    freed: VecDeque<ConnId>,
    timers: Slab<Timer>,
    sessions_timer: Option<Armed>,
    engine_timer: Option<(Time, Armed)>,
    counters: HubCounters,
}

/// What a timer of the gateway is for.
#[derive(Debug)]
enum Timer {
    /// The token of a connection ends.
    Token(ConnId),
    /// The token of a subscription ends.
    Subscription(ConnId, ChannelName),
    Sessions,
    Engine,
}

/// A timer of the gateway that will ring for something of ours.
#[derive(Debug, Clone, Copy)]
struct Armed {
    id: TimerId,
    key: usize,
}

/// What the hub has done since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HubCounters {
    /// Commands of clients.
    pub commands: u64,
    /// Of these, answered by an error.
    pub errors: u64,
    /// Publications handed to a channel's subscribers.
    pub publications: u64,
    /// Copies of them handed to connections.
    pub deliveries: u64,
    /// Of the publications, told to a channel's subscribers in slices.
    pub sliced: u64,
    /// Subscribers that fell behind and are served from the history.
    pub lagged: u64,
    /// Subscriptions ended because a position was lost.
    pub insufficient: u64,
    /// Recoveries asked for.
    pub recoveries: u64,
    /// Of these, whole.
    pub recovered: u64,
    /// Sessions that came back.
    pub resumed: u64,
    /// Histories read for recoveries and for those who lag.
    pub history_reads: u64,
    /// Requests that the engine did not take.
    pub engine_full: u64,
    /// Requests that the engine failed.
    pub engine_errors: u64,
}

impl<E: Engine> Hub<E> {
    /// A hub without clients. Fails where a setting is out of bounds, or a key can't be read.
    pub fn new(settings: HubSettings, engine: E, mut secrets: Secrets) -> Result<Self, SettingError> {
        settings.validate()?;
        Ok(Self {
            namespaces: Namespaces::new(&settings),
            verifier: Verifier::new(&settings.tokens)?,
            settings,
            uid: secrets(),
            secrets,
            engine,
            clients: Clients::default(),
            channels: Channels::default(),
            sessions: Sessions::default(),
            users: Shards::new(),
            agents: Agents::default(),
            outbox: Outbox::default(),
            fan_outs: FanOuts::default(),
            waits: Waits::default(),
            operating: HashMap::new(),
            outcomes: VecDeque::new(),
            last_attempt: 0,
            freed: VecDeque::new(),
            timers: Slab::new(),
            sessions_timer: None,
            engine_timer: None,
            counters: HubCounters::default(),
        })
    }

    /// A connection can be sent to.
    pub fn on_opened(&mut self, _: &mut Context<'_>, id: ConnId) {
        self.clients.insert(Client::new(id));
    }

    /// Documents came from a connection.
    pub fn on_message(&mut self, cx: &mut Context<'_>, id: ConnId, message: &[u8]) {
        match std::str::from_utf8(message) {
            Ok(documents) => self.serve(cx, id, documents),
            Err(_) => self.disconnect(cx, id, CloseReason::Peer(PeerReason::BadCommand)),
        }
        self.settle(cx);
    }

    /// Nothing was heard from a client, or nothing told it, for a while.
    pub fn on_quiet(&mut self, cx: &mut Context<'_>, id: ConnId) {
        if let Some(client) = self.clients.get_mut(id).filter(|client| client.stage == Stage::Connected) {
            client.awaited_pongs = client.awaited_pongs.saturating_add(1);
            self.outbox.tell(cx, id, |out| out.extend_from_slice(b"{}"));
        }
    }

    /// What waited for a client has gone down.
    pub fn on_drained(&mut self, cx: &mut Context<'_>, id: ConnId) {
        self.catch_up_all(cx, id);
        self.settle(cx);
    }

    /// A connection has ended.
    pub fn on_closed(&mut self, cx: &mut Context<'_>, id: ConnId, reason: CloseReason) {
        if let Some(client) = self.clients.get(id) {
            let comes_back = reason.advice().come_back && reason != CloseReason::Local(LocalReason::Normal);
            let session = client.session.filter(|_| comes_back).map(|secret| (secret, client.user.clone()));
            let kept = self.depart(cx, id);
            if let Some((secret, user)) = session {
                self.keep_session(cx, secret, user, kept);
            }
        }
        self.settle(cx);
    }

    /// A timer rang.
    pub fn on_timer(&mut self, cx: &mut Context<'_>, token: u64) {
        let timer = usize::try_from(token).ok().and_then(|key| self.timers.try_remove(key));
        match timer {
            Some(Timer::Token(id)) => self.on_token_end(cx, id),
            Some(Timer::Subscription(id, channel)) => self.on_subscription_end(cx, id, &channel),
            Some(Timer::Sessions) => {
                self.sessions_timer = None;
                self.sessions.expire(cx.now());
                self.arm_sessions_timer(cx);
            }
            Some(Timer::Engine) => {
                self.engine_timer = None;
                self.engine.handle_timeout(cx.now());
            }
            None => {}
        }
        self.settle(cx);
    }

    /// The engine may have something to say.
    pub fn on_woken(&mut self, cx: &mut Context<'_>) {
        self.settle(cx);
    }

    /// Reads a little of what is kept for a connection, as [`Handler::glance`](crate::gateway::Handler::glance) does.
    #[inline]
    pub fn glance(&self, id: ConnId) -> usize {
        self.clients.get(id).map_or(0, Client::glance)
    }

    /// What has been counted since the start.
    pub fn counters(&self) -> &HubCounters {
        &self.counters
    }

    /// The engine.
    pub fn engine(&self) -> &E {
        &self.engine
    }

    /// The settings in force.
    pub fn settings(&self) -> &HubSettings {
        &self.settings
    }

    /// Clients, channels with subscribers, sessions, answers of the engine that are due, timers.
    pub fn table_sizes(&self) -> [usize; 5] {
        [self.clients.len(), self.channels.len(), self.sessions.len(), self.waits.len(), self.timers.len()]
    }

    /// Hears the engine out, and lets those go on who waited for it.
    fn settle(&mut self, cx: &mut Context<'_>) {
        self.hear_engine(cx);
        while let Some(id) = self.freed.pop_front() {
            self.go_on(cx, id);
            self.hear_engine(cx);
        }
        self.arm_engine_timer(cx);
    }

    fn hear_engine(&mut self, cx: &mut Context<'_>) {
        while let Some(event) = self.engine.poll(cx.now()) {
            match event {
                Event::Done(ticket, result) => {
                    if result.is_err() {
                        self.counters.engine_errors += 1;
                    }
                    if let Some(wait) = self.waits.take(ticket) {
                        self.resolve(cx, wait, result);
                    }
                }
                Event::Publication { channel, publication, epoch } => {
                    self.deliver(cx, &channel, &publication, epoch.as_ref());
                }
                Event::Joined { channel, info } => self.announce(cx, &channel, push::join(&channel, &info)),
                Event::Left { channel, info } => self.announce(cx, &channel, push::leave(&channel, &info)),
                Event::Interrupted => self.check_positions(cx),
            }
        }
    }

    /// Asks the engine. Nobody is called back where it is full.
    fn submit(&mut self, cx: &Context<'_>, request: Request, wait: Option<Wait>) -> Result<(), Full> {
        let ticket = self.waits.add(wait);
        if let Err(full) = self.engine.submit(ticket, request, cx.now()) {
            self.counters.engine_full += 1;
            self.waits.take(ticket);
            return Err(full);
        }
        Ok(())
    }

    /// Asks the engine where nothing depends on the answer.
    fn tell_engine(&mut self, cx: &Context<'_>, request: Request) {
        // What it does not take is counted; presence mends itself when the client leaves or comes again.
        let _ = self.submit(cx, request, None);
    }

    /// Ends a connection after what it was told so far.
    fn disconnect(&mut self, cx: &mut Context<'_>, id: ConnId, reason: CloseReason) {
        if self.outbox.is_for(id) {
            self.outbox.flush(cx);
        }
        cx.close(id, reason);
    }

    /// What is due already rings with the next tick: whoever does a share of something at each ring would do all of it in
    /// this turn else.
    fn arm(&mut self, cx: &mut Context<'_>, at: Time, timer: Timer) -> Armed {
        let key = self.timers.insert(timer);
        let wait = at.saturating_since(cx.now()).max(Duration::from_millis(1));
        Armed { id: cx.arm_timer(wait, key as u64), key }
    }

    fn disarm(&mut self, cx: &mut Context<'_>, armed: Armed) {
        if cx.cancel_timer(armed.id) {
            self.timers.try_remove(armed.key);
        }
    }

    fn arm_sessions_timer(&mut self, cx: &mut Context<'_>) {
        if let (None, Some(at)) = (&self.sessions_timer, self.sessions.next_deadline()) {
            self.sessions_timer = Some(self.arm(cx, at, Timer::Sessions));
        }
    }

    /// The engine's deadline may have moved either way; a later one is looked at when the timer rings.
    fn arm_engine_timer(&mut self, cx: &mut Context<'_>) {
        let Some(at) = self.engine.poll_timeout() else {
            return;
        };
        if let Some((armed_at, armed)) = self.engine_timer {
            if armed_at <= at {
                return;
            }
            self.disarm(cx, armed);
        }
        self.engine_timer = Some((at, self.arm(cx, at, Timer::Engine)));
    }
}
