//! One run: the clock, the reactor over simulated sockets, the peers, and the model that looks on.

use crate::customers::Customer;
use crate::handler::{App, Order, Recorder};
use crate::journal::{Call, Entry, Journal, Shared};
use crate::knobs::Fault;
use crate::model::{Model, Verdict, Violation, broken};
use crate::net::{Happening, Net};
use crate::peers::Peer;
use crate::pipes::{Ready, Sock};
use crate::plan::{Action, Plan, World as Kind};
use crate::rng::Rng;
use crate::seen::{Seen, Situation};
use crate::trace::Trace;
use crate::wires::Wires;
use std::cell::RefCell;
use std::rc::Rc;
use tidegate::apps::{Broadcast, Echo};
use tidegate::gateway::{ConnId, Gateway, Reactor, Readiness, Seed};
use tidegate::timer::Time;

/// Who sits at the far end of a socket.
#[derive(Debug)]
pub enum Owner {
    Script(Box<Peer>),
    Customer(usize),
}

pub struct World<'a> {
    pub plan: &'a Plan,
    pub reactor: Reactor<Recorder, Wires>,
    pub net: Rc<RefCell<Net>>,
    pub model: Model,
    pub trace: Trace,
    pub seen: Seen,
    pub now: u64,
    /// By socket.
    pub owners: Vec<Owner>,
    pub customers: Vec<Customer>,
    /// The socket at each chair.
    pub chairs: Vec<Option<usize>>,
    pub rng: Rng,
    journal: Shared,
    written: Journal,
    events: Vec<(ConnId, Ready)>,
    /// Turns in a row at one moment in which nothing happened.
    idle_turns: u32,
    pub turns: u64,
    jumped: bool,
    turns_cut: u64,
    /// Ids that once were, to be told of again.
    pub old_ids: Vec<ConnId>,
    paused: bool,
}

/// Turns without anything to show for it before it counts as spinning.
const MAX_IDLE_TURNS: u32 = 12;
/// Turns between two events of the plan.
const MAX_TURNS: u32 = 200_000;

impl<'a> World<'a> {
    pub fn new(plan: &'a Plan, seen: Seen, keeps_lines: bool) -> Self {
        let journal = Shared::default();
        let mut net = Net::new(journal.clone(), seen.clone());
        net.now = plan.start;
        let net = Rc::new(RefCell::new(net));
        let app = match plan.world {
            Kind::Echo => App::Echo(Echo),
            Kind::Broadcast => App::Broadcast(Broadcast),
        };
        let handler = Recorder::new(app, journal.clone(), plan.habits);
        let seed = Seed { jitter: plan.seed, ids: plan.seed ^ 0xabcd };
        let start = Time::from_millis(plan.start);
        let gateway = Gateway::new(handler, plan.settings.clone(), seed, start).expect("the settings drawn are valid");
        let mut reactor = Reactor::new(gateway, Wires(Rc::clone(&net)));
        // Where the clock may leap between two turns, what was left to the second would seem to have stalled.
        let leaps = plan.faults.has(Fault::Jump) || plan.faults.has(Fault::Oversleep);
        reactor.limit_flushes(if leaps { 1024 } else { [3, 5, 11, 1024][plan.seed as usize % 4] });
        for listener in &plan.listeners {
            reactor.add_listener(*listener);
            net.borrow_mut().listeners.push(Default::default());
        }
        let model = Model::new(plan.settings.clone(), plan.listeners.clone(), seen.clone(), plan.start);
        Self {
            plan,
            reactor,
            net,
            model,
            trace: Trace::new(keeps_lines),
            seen,
            now: plan.start,
            owners: Vec::new(),
            customers: Vec::new(),
            chairs: vec![None; plan.chairs],
            rng: Rng::new(plan.seed ^ 0x77),
            journal,
            written: Journal::default(),
            events: Vec::new(),
            idle_turns: 0,
            turns: 0,
            jumped: false,
            turns_cut: 0,
            old_ids: Vec::new(),
            paused: false,
        }
    }

    /// One event of the plan, and the turns it takes.
    pub fn step(&mut self, action: &Action) -> Verdict {
        self.rng = Rng::new(action.seed);
        self.net.borrow_mut().rng = Rng::new(action.seed ^ 0x1234);
        self.net.borrow_mut().whims = Rng::new(action.seed ^ 0x5678);
        self.advance(action.wait)?;
        self.trace.note(None, || format!("{} {:?} at {}", self.now, action.deed, action.chair));
        self.act(action)?;
        if action.turn { self.advance(0) } else { Ok(()) }
    }

    pub fn time(&self) -> Time {
        Time::from_millis(self.now)
    }

    /// Lets time pass, in steps from one thing to the next.
    pub fn advance(&mut self, wait: u64) -> Verdict {
        let target = self.now + wait;
        // A long wait holds many honest turns; one that spins is caught where it does.
        let most = u64::from(MAX_TURNS) + 4 * wait;
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
            let late = self.plan.faults.has(Fault::Oversleep) && wakes == Some(next) && self.rng.chance(20);
            if late {
                let at = (next + self.rng.below(30)).min(target);
                self.set_clock(at);
            }
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

    /// The clock shows a later time, whatever was to happen meanwhile.
    pub fn jump(&mut self, by: u64) -> Verdict {
        self.set_clock(self.now + by);
        self.jumped = true;
        self.let_happen()?;
        self.turn()
    }

    fn set_clock(&mut self, at: u64) {
        if at > self.now {
            (self.now, self.idle_turns) = (at, 0);
        }
        self.model.now = self.now;
        self.net.borrow_mut().now = self.now;
    }

    /// Whatever is due on the network happens: all at once, or, sometimes, only the first.
    fn let_happen(&mut self) -> Verdict {
        let only_one = !self.jumped && self.plan.faults.has(Fault::Split) && self.rng.chance(40);
        loop {
            let happening = self.net.borrow_mut().pop_happening();
            let Some(happening) = happening else {
                return Ok(());
            };
            self.happen(happening)?;
            if only_one {
                return Ok(());
            }
        }
    }

    fn happen(&mut self, happening: Happening) -> Verdict {
        let net = Rc::clone(&self.net);
        let net = &mut *net.borrow_mut();
        match happening {
            Happening::Arrive(sock) => net.arrive(sock),
            Happening::Space(sock) => {
                net.socks[sock].on_space();
                net.list(sock);
            }
            Happening::Take(sock) => {
                let bytes = net.take(sock);
                match &mut self.owners[sock] {
                    Owner::Script(peer) => {
                        peer.on_taken(net, &bytes, self.plan.settings.heartbeat_probe.as_deref(), &mut self.rng);
                    }
                    Owner::Customer(which) => {
                        let which = *which;
                        return self.customers[which].on_taken(net, &mut self.owners, sock, &bytes);
                    }
                }
            }
            Happening::Beat(sock) => {
                if let Owner::Script(peer) = &mut self.owners[sock] {
                    peer.on_beat(net, &mut self.rng);
                }
            }
            Happening::Ended(sock) => match &mut self.owners[sock] {
                Owner::Script(peer) => peer.on_server_ended(net),
                Owner::Customer(which) => {
                    let which = *which;
                    return self.customers[which].on_server_ended(net, &mut self.owners, sock);
                }
            },
            Happening::Customer(which) => return self.customers[which].on_time(net, &mut self.owners),
        }
        Ok(())
    }

    /// One turn of the loop over everything the poll has to tell.
    fn turn(&mut self) -> Verdict {
        self.turns += 1;
        let (now, before) = (self.time(), self.trace.entries);
        let was_asked_for = self.reactor.poll_timeout(now).is_some_and(|at| at <= now);
        self.reactor.begin_turn(now);
        self.digest()?;
        let mut events = std::mem::take(&mut self.events);
        self.net.borrow_mut().take_events(&mut events, &mut self.rng);
        self.tell_of_listeners();
        for (id, ready) in &events {
            self.tell(*id, *ready)?;
        }
        self.reactor.on_batch(events.len());
        // Where nothing comes of an event, or of a turn that the plan wants, the gateway has not asked for it.
        let was_of_use = !events.is_empty() || !was_asked_for;
        self.events = events;
        self.end_turn()?;
        self.idle_turns = if was_of_use || self.trace.entries > before { 0 } else { self.idle_turns + 1 };
        if self.idle_turns > MAX_IDLE_TURNS {
            return broken("the loop spins", None, format!("{MAX_IDLE_TURNS} turns at {now:?} did nothing"));
        }
        Ok(())
    }

    fn tell_of_listeners(&mut self) {
        for (number, listener) in self.net.borrow_mut().listeners.iter_mut().enumerate() {
            if std::mem::take(&mut listener.ready) {
                self.reactor.on_acceptable(number);
            }
        }
    }

    /// An event as the loop of `net` hands it on.
    pub fn tell(&mut self, id: ConnId, ready: Ready) -> Verdict {
        let now = self.time();
        let readable = ready.read || ready.closed;
        let readiness = Readiness { readable, writable: ready.write, closing: ready.closed };
        if readable {
            self.model.on_readable(id);
        }
        self.reactor.on_event(id, readiness, now);
        self.digest()
    }

    pub fn end_turn(&mut self) -> Verdict {
        self.model.mark();
        self.reactor.end_turn(self.time());
        self.digest()?;
        let turns_cut = self.reactor.gateway().counters().turns_cut;
        if turns_cut > self.turns_cut {
            self.seen.hit(Situation::FlushLeftOver);
            // It was of use, even if all it flushed were full.
            (self.turns_cut, self.idle_turns) = (turns_cut, 0);
        }
        self.seen.hit_if(self.jumped && self.model.timed_out >= 3, Situation::JumpOverDeadlines);
        self.jumped = false;
        let pauses = self.reactor.gateway().counters().accept_pauses;
        let poll = self.reactor.poll_timeout(self.time());
        self.trace.mix(pauses);
        self.trace.mix(poll.map_or(0, Time::as_millis));
        let net = self.net.borrow();
        self.model.check(self.reactor.gateway(), &net, poll)
    }

    /// Lets the model see what one call has done.
    pub fn digest(&mut self) -> Verdict {
        self.journal.swap(&mut self.written);
        self.trace.journal(&self.written, self.now);
        self.note_pauses();
        let net = Rc::clone(&self.net);
        self.model.digest(&self.written, &net.borrow(), self.reactor.gateway())?;
        for entry in &self.written.entries {
            match entry {
                Entry::Dropped { sock } => net.borrow_mut().hang_up(*sock),
                Entry::Closed { id } => self.old_ids.push(*id),
                Entry::Enter(Call::Message(id, body, _)) => {
                    if let Some((which, number)) = tag_of(&self.written.bytes[body.clone()]) {
                        self.customers.get_mut(which).map_or(Ok(()), |customer| customer.on_heard(*id, number))?;
                    }
                }
                _ => {}
            }
        }
        let forget = self.old_ids.len().saturating_sub(32);
        self.old_ids.drain(..forget);
        Ok(())
    }

    fn note_pauses(&mut self) {
        for entry in &self.written.entries {
            match entry {
                Entry::AcceptFailed { kind } if *kind == std::io::ErrorKind::Other => self.paused = true,
                Entry::Accepted { .. } => {
                    self.seen.hit_if(std::mem::take(&mut self.paused), Situation::AcceptResumed);
                }
                _ => {}
            }
        }
    }

    /// Runs something on the loop, as another thread's handle does.
    pub fn order(&mut self, order: Order) -> Verdict {
        self.reactor.run(self.time(), |handler, cx| handler.run(cx, order));
        self.digest()?;
        self.end_turn()
    }

    /// A scripted peer connects.
    pub fn seat(&mut self, listener: usize, peer: Peer, sock: Sock) -> Option<usize> {
        let number = self.net.borrow_mut().connect(listener, sock)?;
        let beat = peer.beat;
        self.owners.push(Owner::Script(Box::new(Peer { sock: number, ..peer })));
        if let Some(every) = beat {
            self.net.borrow_mut().enter(self.now + every, Happening::Beat(number));
        }
        Some(number)
    }

    /// Lets a scripted peer do something to the network.
    pub fn with_peer(&mut self, sock: usize, deed: impl FnOnce(&mut Peer, &mut Net, &mut Rng)) {
        if let Owner::Script(peer) = &mut self.owners[sock] {
            deed(peer, &mut self.net.borrow_mut(), &mut self.rng);
        }
    }

    pub fn say(&mut self, sock: usize, body: &[u8]) {
        self.with_peer(sock, |peer, net, rng| {
            let bytes = peer.frame(body, rng);
            peer.send(net, &bytes, rng);
        });
    }

    pub fn fail(rule: &'static str, detail: impl Into<String>) -> Violation {
        Violation { rule, detail: detail.into(), conn: None }
    }
}

/// Which client's message this is, and its number.
fn tag_of(body: &[u8]) -> Option<(usize, u32)> {
    let end = body.iter().take(24).position(|byte| *byte == b':')?;
    let (which, number) = std::str::from_utf8(&body[..end]).ok()?.strip_prefix('c')?.split_once('n')?;
    Some((which.parse().ok()?, number.parse().ok()?))
}
