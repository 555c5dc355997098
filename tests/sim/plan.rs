//! A whole run as data: what a seed decides, and the list of events that a failing run can be cut down to.

use crate::handler::Habits;
use crate::knobs::{Fault, Faults, draw_doors, draw_habits, draw_listeners, draw_settings, draw_start, draw_web};
use crate::rng::Rng;
use tidegate::config::{HeartbeatForms, Settings};
use tidegate::connection::{Door, ListenWire};
use tidegate::wire::Wire;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum World {
    Echo,
    Broadcast,
}

/// SAFETY: nothing wrong may happen. LIVENESS: moreover, when faults stop, everything must settle in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Safety,
    Liveness,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The gateway closes its connections in order.
    Drain,
    /// The gateway stops at once.
    Stop,
    /// The peers go.
    Leave,
}

/// One event. It holds what it needs, so that any part of a list of them is a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Action {
    /// Milliseconds after the one before.
    pub wait: u64,
    /// Whether the loop turns before the next; if not, several come in one batch.
    pub turn: bool,
    /// Whose turn it is; a vacant chair gets a new peer.
    pub chair: usize,
    pub seed: u64,
    pub deed: Deed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// A peer comes and says nothing.
    Come,
    /// Many peers come at once.
    Crowd,
    Say,
    /// A few messages, the last of which is cut off.
    SayPart,
    /// The rest of what was cut off.
    SayRest,
    Beat,
    /// More than one read takes.
    Burst,
    /// An order to the handler.
    Order,
    Oversize,
    Http,
    Tls,
    /// A peer's first bytes do not tell what it speaks.
    Hesitate,
    Noise,
    End,
    SayAndEnd,
    Reset,
    Vanish,
    Mute,
    Deaf,
    Thaw,
    FailWrite,
    FailAttach,
    FailAccept,
    Descriptors,
    Spurious,
    Stale,
    Task,
    Wait,
    Jump,
    Drain,
    /// Nothing but what comes of itself.
    Nothing,
    /// Somebody asks for pages.
    Ask,
    /// Pings and pongs.
    Control,
    /// More of them than a read takes.
    Flood,
    /// A message in very many fragments, perhaps without end.
    Fragments,
    /// What no WebSocket may send.
    Violate,
    /// A Close frame.
    Goodbye,
    /// A WebSocket is asked for in the wrong way.
    BadBid,
}

#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    pub world: World,
    pub mode: Mode,
    pub ending: Ending,
    pub settings: Settings,
    pub listeners: Vec<Door>,
    pub faults: Faults,
    pub habits: Habits,
    pub start: u64,
    pub chairs: usize,
    /// Chairs below this are taken by the crate's own reconnecting client.
    pub clients: usize,
    pub actions: Vec<Action>,
}

impl Plan {
    /// The run of a seed.
    pub fn draw(seed: u64, events: usize) -> Self {
        let rng = &mut Rng::new(seed);
        let faults = Faults::draw(rng);
        let settings = draw_settings(rng, faults);
        let mut plan = Self {
            seed,
            world: if rng.chance(50) { World::Echo } else { World::Broadcast },
            mode: if rng.chance(50) { Mode::Safety } else { Mode::Liveness },
            ending: rng.weighted(&[(2, Ending::Drain), (1, Ending::Stop), (2, Ending::Leave)]),
            listeners: draw_listeners(rng).into_iter().map(Door::from).collect(),
            habits: draw_habits(rng, faults),
            start: draw_start(rng),
            chairs: rng.magnitude(2, 24) as usize,
            clients: 0,
            settings,
            faults,
            actions: Vec::new(),
        };
        plan.open_doors();
        plan.let_pause();
        plan.clients =
            if plan.settings.max_message_bytes >= 24 && rng.chance(40) { rng.size(1, plan.chairs) } else { 0 };
        if plan.plain_listeners().is_empty() || plan.habits.pauses.is_some() {
            plan.clients = 0;
        }
        if plan.clients > 0 {
            // Else a broadcast of each client's question is answered by all others, and each answer is broadcast.
            plan.settings.heartbeat_answers = HeartbeatForms::ALL;
        }
        plan.actions = plan.draw_actions(rng, events);
        plan
    }

    /// Every other seed has doors for HTTP and WebSocket. Numbers of their own decide on these, so that what the others
    /// mean stays as it was.
    fn open_doors(&mut self) {
        if !self.is_web() {
            return;
        }
        let rng = &mut Rng::new(self.seed ^ 0x0eb5_0c4e_7000);
        draw_web(rng, self.faults, &mut self.settings);
        self.listeners = draw_doors(rng);
    }

    /// One seed in eight has a handler that pauses its connections, under every fault there is on plain wires. What the
    /// gateway answers by itself, and when, nobody would see there: it answers nothing.
    fn let_pause(&mut self) {
        if self.seed % 8 != 6 {
            return;
        }
        let rng = &mut Rng::new(self.seed ^ 0x9a05_e000);
        self.habits.pauses = Some(rng.within(2, 9));
        self.settings.heartbeat_answers = HeartbeatForms::NONE;
        self.settings.heartbeat_probe = None;
    }

    pub fn is_web(&self) -> bool {
        !self.seed.is_multiple_of(2)
    }

    /// Where the crate's own client can go.
    pub fn plain_listeners(&self) -> Vec<usize> {
        let plain = |listener: &usize| self.listeners[*listener].wire != ListenWire::Fixed(Wire::WebSocket);
        (0..self.listeners.len()).filter(plain).collect()
    }

    /// Where visitors can go.
    pub fn web_listeners(&self) -> impl Iterator<Item = usize> {
        (0..self.listeners.len()).filter(|listener| self.listeners[*listener].http)
    }

    fn draw_actions(&self, rng: &mut Rng, events: usize) -> Vec<Action> {
        let weights = self.weights();
        let drain_at = self.faults.has(Fault::Drain).then(|| rng.size(events / 2, events * 2));
        let pace = rng.magnitude(1, 2000);
        let one = |at| Action {
            wait: draw_wait(rng, pace),
            turn: rng.chance(70),
            chair: rng.below(self.chairs as u64) as usize,
            seed: rng.next(),
            deed: if drain_at == Some(at) { Deed::Drain } else { rng.weighted(&weights) },
        };
        (0..events).map(one).collect()
    }

    /// How often each deed is done, by the faults that are on.
    fn weights(&self) -> Vec<(u64, Deed)> {
        let on = |fault, weight| if self.faults.has(fault) { weight } else { 0 };
        let orders = if self.habits.obeys { 6 } else { 0 };
        let web = if self.is_web() { 1 } else { 0 };
        let mut weights = vec![
            (12 * web, Deed::Ask),
            (12 * web, Deed::Control),
            (6 * web, Deed::Fragments),
            (on(Fault::Bursts, web), Deed::Flood),
            (on(Fault::Hostile, 8 * web), Deed::Violate),
            (on(Fault::Hostile, 6 * web), Deed::BadBid),
            (on(Fault::Leave, 5 * web), Deed::Goodbye),
        ];
        weights.retain(|(weight, _)| *weight > 0);
        weights.extend([
            (6, Deed::Come),
            (60, Deed::Say),
            (8, Deed::Beat),
            (4, Deed::Wait),
            (10, Deed::Nothing),
            (orders, Deed::Order),
            (on(Fault::Bursts, 1), Deed::Burst),
            (on(Fault::Split, 8), Deed::SayPart),
            (on(Fault::Split, 10), Deed::SayRest),
            (on(Fault::Bursts, 1), Deed::Crowd),
            (on(Fault::Hostile, 2), Deed::Oversize),
            (on(Fault::Hostile, 2), Deed::Http),
            (on(Fault::Hostile, 1), Deed::Tls),
            (on(Fault::Hostile, 3), Deed::Noise),
            (on(Fault::Hostile, 2), Deed::Hesitate),
            (on(Fault::Leave, 3), Deed::End),
            (on(Fault::Leave, 3), Deed::SayAndEnd),
            (on(Fault::Leave, 2), Deed::Vanish),
            (on(Fault::Reset, 3), Deed::Reset),
            (on(Fault::HalfOpen, 3), Deed::Mute),
            (on(Fault::HalfOpen, 3), Deed::Deaf),
            (on(Fault::HalfOpen, 4), Deed::Thaw),
            (on(Fault::FailWrite, 3), Deed::FailWrite),
            (on(Fault::FailAttach, 2), Deed::FailAttach),
            (on(Fault::FailAccept, 3), Deed::FailAccept),
            (on(Fault::Descriptors, 3), Deed::Descriptors),
            (on(Fault::Spurious, 5), Deed::Spurious),
            (on(Fault::Spurious, 3), Deed::Stale),
            (on(Fault::Tasks, 8), Deed::Task),
            (on(Fault::Jump, 1), Deed::Jump),
        ]);
        weights
    }
}

fn draw_wait(rng: &mut Rng, pace: u64) -> u64 {
    match rng.below(10) {
        0..=5 => 0,
        6..=8 => rng.below(pace.min(20) + 1),
        _ => rng.below(pace + 1),
    }
}
