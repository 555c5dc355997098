//! One run of a hub: the clock, the reactor over simulated sockets, the clients and the back end.

use super::backend::Backend;
use super::clients::Client;
use super::engine::{Desk, SimEngine};
use super::link::{Link, Look, Rules, Stage};
use super::plan::Plan;
use super::seen::Seen;
use crate::journal::{Entry, Journal, Shared};
use crate::model::{Verdict, broken};
use crate::net::{Happening, Net};
use crate::pipes::{Appetite, Segment, Sock};
use crate::rng::Rng;
use crate::trace::Trace;
use crate::wires::Wires;
use std::cell::RefCell;
use std::rc::Rc;
use tidegate::apps::HubApp;
use tidegate::connection::{CloseReason, Door, ListenWire, LocalReason};
use tidegate::engine::EngineSettings;
use tidegate::gateway::{Gateway, Peer, Reactor, Readiness, Seed};
use tidegate::hub::Hub;
use tidegate::timer::Time;
use tidegate::wire::Wire;

/// Who sits at the far end of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    Link(usize),
    Backend,
}

pub struct World<'a> {
    pub plan: &'a Plan,
    pub reactor: Reactor<HubApp<SimEngine>, Wires>,
    pub net: Rc<RefCell<Net>>,
    pub desk: Rc<RefCell<Desk>>,
    pub seen: Seen,
    pub rules: Rules,
    pub trace: Trace,
    pub rng: Rng,
    pub now: u64,
    /// By socket.
    pub owners: Vec<Owner>,
    pub links: Vec<Link>,
    /// Which client each link is of.
    pub whose: Vec<usize>,
    pub clients: Vec<Client>,
    pub backend: Backend,
    /// Publications get numbers of their own.
    pub last_number: u64,
    pub turns: u64,
    /// The faults have stopped.
    pub is_calm: bool,
    /// All that was asked has been answered.
    pub is_quiet: bool,
    journal: Shared,
    written: Journal,
    idle_turns: u32,
}

/// Turns without anything to show for it before it counts as spinning.
const MAX_IDLE_TURNS: u32 = 40;

impl<'a> World<'a> {
    pub fn new(plan: &'a Plan, seen: Seen, keeps_lines: bool) -> Self {
        let journal = Shared::default();
        let mut net = Net::new(journal.clone(), crate::seen::Seen::default());
        net.now = plan.start;
        let start = Time::from_millis(plan.start);
        let settings = EngineSettings::from(&plan.hub);
        let desk = Rc::new(RefCell::new(Desk::new(settings, plan.temper, plan.seed, plan.start)));
        let mut secrets = Rng::new(plan.seed ^ 0x5ec);
        let secrets = Box::new(move || u128::from(secrets.next()) << 64 | u128::from(secrets.next()));
        let mut hub = Hub::new(plan.hub.clone(), SimEngine(Rc::clone(&desk)), secrets).expect("settings in order");
        // Small enough that a handful of subscribers are told in slices.
        hub.limit_slice([1, 2, 3, 2048][plan.seed as usize % 4]);
        let seed = Seed { jitter: plan.seed, ids: plan.seed ^ 0xabcd };
        let gateway = Gateway::new(HubApp::new(hub), plan.settings.clone(), seed, start).expect("settings in order");
        let net = Rc::new(RefCell::new(net));
        let mut reactor = Reactor::new(gateway, Wires(Rc::clone(&net)));
        reactor.limit_flushes([1, 1024, 2, 1, 1024][plan.seed as usize % 5]);
        for wire in LISTENERS {
            reactor.add_listener(Door { http: true, ..Door::from(wire) });
            net.borrow_mut().listeners.push(Default::default());
        }
        let rules = Rules {
            reliable: plan.temper.is_reliable(),
            recovery_limit: plan.hub.recovery_limit as u64,
            max_channels: plan.hub.max_channels_per_connection,
        };
        Self {
            plan,
            reactor,
            net,
            desk,
            seen,
            rules,
            trace: Trace::new(keeps_lines),
            rng: Rng::new(plan.seed),
            now: plan.start,
            owners: Vec::new(),
            links: Vec::new(),
            whose: Vec::new(),
            clients: (0..plan.clients).map(|_| Client::default()).collect(),
            backend: Backend::default(),
            last_number: 0,
            turns: 0,
            is_calm: false,
            is_quiet: false,
            journal,
            written: Journal::default(),
            idle_turns: 0,
        }
    }

    pub fn time(&self) -> Time {
        Time::from_millis(self.now)
    }

    /// Lets time pass, in steps from one thing to the next.
    pub fn advance(&mut self, wait: u64) -> Verdict {
        let target = self.now + wait;
        let most = 50_000 + 4 * wait;
        for _ in 0..most {
            let wakes = self.reactor.poll_timeout(self.time()).map(Time::as_millis);
            let happens = self.net.borrow().next_happening();
            let tells = self.net.borrow().has_events().then_some(self.now);
            let next = [wakes, happens, tells].into_iter().flatten().min().map_or(target, |at| at.max(self.now));
            if next > target {
                self.set_clock(target);
                return Ok(());
            }
            self.set_clock(next);
            self.let_happen()?;
            let due = wakes.is_some_and(|at| at <= self.now);
            if due || self.net.borrow().has_events() {
                self.turn()?;
            } else if self.now == target && self.net.borrow().next_happening().is_none_or(|at| at > target) {
                return Ok(());
            }
        }
        broken("the loop never comes to rest", None, format!("{most} turns in {wait} ms"))
    }

    fn set_clock(&mut self, at: u64) {
        if at > self.now {
            (self.now, self.idle_turns) = (at, 0);
        }
        self.net.borrow_mut().now = self.now;
    }

    fn let_happen(&mut self) -> Verdict {
        loop {
            let happening = self.net.borrow_mut().pop_happening();
            let Some(happening) = happening else {
                return Ok(());
            };
            self.happen(happening)?;
        }
    }

    fn happen(&mut self, happening: Happening) -> Verdict {
        match happening {
            Happening::Arrive(sock) => self.net.borrow_mut().arrive(sock),
            Happening::Space(sock) => {
                let net = &mut *self.net.borrow_mut();
                net.socks[sock].on_space();
                net.list(sock);
            }
            Happening::Take(sock) => {
                let bytes = self.net.borrow_mut().take(sock);
                self.on_taken(sock, &bytes)?;
                return self.look_for_end(sock);
            }
            Happening::Ended(sock) => return self.look_for_end(sock),
            Happening::Beat(_) | Happening::Customer(_) => {}
        }
        Ok(())
    }

    fn on_taken(&mut self, sock: usize, bytes: &[u8]) -> Verdict {
        let owner = self.owners[sock];
        self.trace.note(None, || format!("{} {owner:?} hears {}", self.now, String::from_utf8_lossy(bytes)));
        match owner {
            Owner::Backend => self.on_backend_taken(sock, bytes),
            Owner::Link(link) => {
                if self.links[link].stage == Stage::Connecting {
                    self.links[link].known.clone_from(&self.clients[self.whose[link]].known);
                }
                let desk = Rc::clone(&self.desk);
                let mut guard = desk.borrow_mut();
                let mut look = Look { desk: &mut guard, seen: &self.seen, rules: self.rules };
                let reactions = self.links[link].hear(bytes, &mut look);
                drop(guard);
                let reactions = reactions.map_err(|violation| crate::model::Violation {
                    detail: format!("link {link}: {}", violation.detail),
                    ..violation
                })?;
                reactions.into_iter().try_for_each(|reaction| self.react(link, reaction))
            }
        }
    }

    /// The server has ended a connection, and its last byte was taken.
    fn look_for_end(&mut self, sock: usize) -> Verdict {
        let is_over = {
            let net = self.net.borrow();
            let of = &net.socks[sock];
            (of.shut || of.closed) && of.outbox.is_empty() && !of.deaf
        };
        if is_over {
            if !self.net.borrow().socks[sock].closed {
                self.net.borrow_mut().send(sock, Segment::End, self.now);
            }
            match self.owners[sock] {
                Owner::Backend => self.backend.forget(sock),
                Owner::Link(link) => self.on_link_over(link),
            }
        }
        Ok(())
    }

    /// One turn of the loop over everything the poll has to tell.
    fn turn(&mut self) -> Verdict {
        self.turns += 1;
        let (now, before) = (self.time(), self.trace.entries);
        self.reactor.begin_turn(now);
        let mut events = Vec::new();
        let mut order = Rng::new(self.rng.next());
        self.net.borrow_mut().take_events(&mut events, &mut order);
        for number in 0..LISTENERS.len() {
            if std::mem::take(&mut self.net.borrow_mut().listeners[number].ready) {
                self.reactor.on_acceptable(number);
            }
        }
        for (id, ready) in &events {
            let readable = ready.read || ready.closed;
            let readiness = Readiness { readable, writable: ready.write, closing: ready.closed };
            self.reactor.on_event(*id, readiness, now);
        }
        self.reactor.on_batch(events.len());
        self.reactor.end_turn(now);
        self.digest()?;
        self.idle_turns = if self.trace.entries > before { 0 } else { self.idle_turns + 1 };
        if self.idle_turns > MAX_IDLE_TURNS {
            return broken("the loop spins", None, format!("{MAX_IDLE_TURNS} turns at {now:?} did nothing"));
        }
        Ok(())
    }

    fn digest(&mut self) -> Verdict {
        self.journal.swap(&mut self.written);
        self.trace.journal(&self.written, self.now);
        for entry in &self.written.entries {
            match entry {
                Entry::Dropped { sock } => self.net.borrow_mut().hang_up(*sock),
                Entry::Misuse(what, id) => return broken("sockets misused", Some(*id), *what),
                _ => {}
            }
        }
        self.check()
    }

    /// What holds after every turn.
    fn check(&mut self) -> Verdict {
        if let Some(violation) = self.desk.borrow_mut().violation.take() {
            return Err(violation);
        }
        let gateway = self.reactor.gateway();
        let panicked = CloseReason::Local(LocalReason::HandlerPanicked).index();
        if gateway.counters().closed[panicked] > 0 {
            return broken("panicked", None, "in the hub");
        }
        let [clients, channels, _, waits, _] = gateway.handler().hub().table_sizes();
        let pending = self.desk.borrow().pending;
        if waits > pending || clients > gateway.connection_count() || channels > self.plan.channels.len() {
            let detail = format!("{clients} clients, {channels} channels, {waits} waits of {pending}");
            return broken("tables hold more than there is", None, detail);
        }
        Ok(())
    }

    /// Somebody connects; the number of the socket.
    pub fn connect(&mut self, wire: Wire, owner: Owner) -> usize {
        let listener = LISTENERS.iter().position(|listens| *listens == ListenWire::Fixed(wire)).unwrap_or(2);
        let number = self.owners.len();
        let address = std::net::SocketAddr::from(([192, 0, 2, (number % 200) as u8], 1000));
        let after = self.rng.below(3);
        let flaky = if self.plan.splits && !self.is_calm { self.rng.below(20) } else { 0 };
        let sock = Sock::new(Peer::Tcp(address), Appetite::Eager { after }, self.plan.room, flaky);
        let number = self.net.borrow_mut().connect(listener, sock).unwrap_or(number);
        self.owners.push(owner);
        number
    }

    /// Bytes on their way to the server, in pieces where there are any.
    pub fn send(&mut self, sock: usize, bytes: &[u8]) {
        self.trace
            .note(None, || format!("{} {:?} says {}", self.now, self.owners[sock], String::from_utf8_lossy(bytes)));
        let mut net = self.net.borrow_mut();
        let (mut rest, mut at) = (bytes, self.now);
        while self.plan.splits && !self.is_calm && rest.len() > 1 && self.rng.chance(40) {
            let (piece, behind) = rest.split_at(self.rng.size(1, rest.len() - 1));
            at += self.rng.below(5);
            net.send(sock, Segment::Bytes(piece.to_vec()), at);
            rest = behind;
        }
        net.send(sock, Segment::Bytes(rest.to_vec()), at);
    }

    pub fn is_open(&self, link: usize) -> bool {
        self.links[link].stage != Stage::Over
    }
}

/// Who listens: the last one takes WebSockets and back ends.
const LISTENERS: [ListenWire; 3] = [ListenWire::Fixed(Wire::Line), ListenWire::Fixed(Wire::Length), ListenWire::Auto];
