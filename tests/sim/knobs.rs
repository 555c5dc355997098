//! What a seed decides before the first event: settings, listeners, which faults there are at all.

use crate::handler::Habits;
use crate::rng::Rng;
use crate::websocket::requests::FRIEND;
use std::time::Duration;
use tidegate::config::{Deflate, HeartbeatForms, Settings};
use tidegate::connection::{Door, Encryption, ListenWire};
use tidegate::wire::Wire;

/// What may go wrong in a run. Each is on or off for the whole run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Bytes arrive in pieces.
    Split,
    /// One byte at a time, slowly.
    Drip,
    /// Late.
    Delay,
    /// Partial writes and interruptions.
    Flaky,
    /// Little room towards the peer.
    Narrow,
    /// Peers that read slowly or not at all.
    Sluggish,
    /// One direction falls silent.
    HalfOpen,
    /// Peers reset.
    Reset,
    /// Peers shut one side, or go.
    Leave,
    /// What no peer should send.
    Hostile,
    /// A write fails with an error of the transport.
    FailWrite,
    /// An accepted socket can't be attached.
    FailAttach,
    /// Accepting fails.
    FailAccept,
    /// Descriptors run out.
    Descriptors,
    /// Handlers panic.
    Panic,
    /// Readiness without a reason, and for ids long gone.
    Spurious,
    /// The clock jumps.
    Jump,
    /// The loop comes back late.
    Oversleep,
    /// Tasks from other threads.
    Tasks,
    /// More at a time than a read takes.
    Bursts,
    /// Limits met by honest peers.
    Limits,
    /// A drain in mid-flight.
    Drain,
}

pub const FAULTS: [Fault; 22] = [
    Fault::Split,
    Fault::Drip,
    Fault::Delay,
    Fault::Flaky,
    Fault::Narrow,
    Fault::Sluggish,
    Fault::HalfOpen,
    Fault::Reset,
    Fault::Leave,
    Fault::Hostile,
    Fault::FailWrite,
    Fault::FailAttach,
    Fault::FailAccept,
    Fault::Descriptors,
    Fault::Panic,
    Fault::Spurious,
    Fault::Jump,
    Fault::Oversleep,
    Fault::Tasks,
    Fault::Bursts,
    Fault::Limits,
    Fault::Drain,
];

/// The faults of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Faults(u32);

impl Faults {
    pub const NONE: Self = Self(0);

    /// None at all in some runs, just one kind in some, any number in most.
    pub fn draw(rng: &mut Rng) -> Self {
        match rng.below(10) {
            0 => Self::NONE,
            1 | 2 => Self(1 << rng.below(FAULTS.len() as u64)),
            3 | 4 => Self(u32::MAX),
            _ => Self(rng.next() as u32),
        }
    }

    pub fn has(self, fault: Fault) -> bool {
        self.0 & 1 << (fault as u32) != 0
    }

    pub fn names(self) -> Vec<Fault> {
        FAULTS.into_iter().filter(|fault| self.has(*fault)).collect()
    }
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub fn draw_settings(rng: &mut Rng, faults: Faults) -> Settings {
    let interval = rng.magnitude(20, 60_000);
    // Not many heartbeats fit into any other time, or waiting it out would be a run of its own.
    let longest = interval * 20;
    let mut settings = Settings {
        heartbeat_interval: millis(if rng.chance(10) { 0 } else { interval }),
        heartbeat_timeout: millis(interval * 2 + rng.below(interval * 2)),
        heartbeat_probe: draw_probe(rng),
        heartbeat_answers: draw_forms(rng),
        handshake_timeout: millis(rng.magnitude(10, longest)),
        write_timeout: millis(rng.magnitude(10, longest)),
        idle_timeout: rng.chance(30).then(|| millis(rng.magnitude(20, longest))),
        close_timeout: millis(rng.magnitude(10, longest)),
        drain_window: millis(if rng.chance(20) { 0 } else { rng.magnitude(1, longest) }),
        ..Settings::default()
    };
    draw_sizes(rng, &mut settings);
    if faults.has(Fault::Limits) {
        draw_limits(rng, &mut settings);
    }
    settings
}

/// None, a question of its own, or one that peers answer by a known form.
fn draw_probe(rng: &mut Rng) -> Option<Vec<u8>> {
    match rng.below(6) {
        0 | 1 => Some(b"are you there?"[..rng.size(3, 14)].to_vec()),
        2 => Some(rng.pick(&[&b"ping"[..], b"PING", br#"{"type":"ping"}"#]).to_vec()),
        _ => None,
    }
}

fn draw_forms(rng: &mut Rng) -> HeartbeatForms {
    match rng.below(8) {
        0 => HeartbeatForms::NONE,
        1 => {
            HeartbeatForms { lower: rng.chance(50), upper: rng.chance(50), json: rng.chance(50), byte: rng.chance(50) }
        }
        _ => HeartbeatForms::ALL,
    }
}

fn draw_sizes(rng: &mut Rng, settings: &mut Settings) {
    let (low, high) =
        rng.pick(&[(1, 16), (16, 400), (100, 4000), (4000, 70_000), (64 << 10, 64 << 10), (70_000, 300_000)]);
    settings.max_message_bytes = rng.size(low, high);
    // Whatever the gateway sends by itself fits as well.
    let least = settings.max_message_bytes.max(125) + 16;
    let hard = match rng.below(5) {
        0 => least + rng.size(0, 100),
        1 => least * rng.size(2, 6),
        2 => least + rng.size(8, 64) * 1024,
        _ => Settings::hard_bytes_for(settings.max_message_bytes),
    };
    settings.write_queue_hard_bytes = hard;
    settings.write_queue_soft_bytes = match rng.below(4) {
        0 => rng.size(1, hard),
        1 => rng.size(1, hard.min(500)),
        2 => hard,
        _ => (hard / 4).max(1),
    };
}

fn draw_limits(rng: &mut Rng, settings: &mut Settings) {
    if rng.chance(40) {
        settings.max_connections = rng.size(1, 12);
    }
    settings.max_connections_per_ip = rng.chance(40).then(|| rng.within(1, 4) as u32);
    settings.max_accepts_per_second = rng.chance(30).then(|| rng.within(1, 10) as u32);
    settings.max_messages_per_second = rng.chance(30).then(|| rng.magnitude(2, 2000) as u32);
    let least = settings.max_message_bytes as u64;
    settings.max_bytes_per_second = rng.chance(30).then(|| rng.magnitude(least, least * 50 + 2000) as u32);
}

/// What only HTTP and WebSocket have.
pub fn draw_web(rng: &mut Rng, faults: Faults, settings: &mut Settings) {
    let longest = settings.heartbeat_timeout.as_millis() as u64 * 5;
    settings.max_message_fragments = if rng.chance(50) { rng.magnitude(1, 100) as u32 } else { 100_000 };
    settings.deflate = rng.weighted(&[(1, Deflate::Off), (2, Deflate::On), (1, Deflate::Takeover)]);
    settings.deflate_min_bytes = rng.magnitude(0, 1024) as usize;
    settings.max_http_body_bytes = rng.magnitude(1, 2000) as usize;
    settings.http_idle_timeout = millis(rng.magnitude(10, longest));
    settings.allowed_origins = rng.pick(&[&[][..], &[], &[FRIEND], &["*"]]).iter().map(ToString::to_string).collect();
    if rng.chance(90) || !faults.has(Fault::Narrow) {
        // Room for the answer to a request.
        settings.write_queue_hard_bytes = settings.write_queue_hard_bytes.max(600);
    }
}

/// One to four listeners, most of which take visitors.
pub fn draw_doors(rng: &mut Rng) -> Vec<Door> {
    let door = |wire, http| Door { wire, http, encryption: Encryption::None, proxy: false, local: false };
    let fixed = ListenWire::Fixed;
    let weighted = [
        (4, door(fixed(Wire::WebSocket), true)),
        (4, door(ListenWire::Auto, true)),
        (1, door(ListenWire::Auto, false)),
        (1, door(fixed(Wire::Length), false)),
        (1, door(fixed(Wire::Line), false)),
    ];
    (0..rng.size(1, 4)).map(|_| rng.weighted(&weighted)).collect()
}

/// One to four listeners, mostly those that guess.
pub fn draw_listeners(rng: &mut Rng) -> Vec<ListenWire> {
    let fixed = ListenWire::Fixed;
    let weighted = [(4, ListenWire::Auto), (2, fixed(Wire::Length)), (2, fixed(Wire::Line)), (1, fixed(Wire::Raw))];
    (0..rng.size(1, 4)).map(|_| rng.weighted(&weighted)).collect()
}

pub fn draw_habits(rng: &mut Rng, faults: Faults) -> Habits {
    Habits {
        obeys: faults.has(Fault::Panic) || rng.chance(40),
        greets: rng.chance(20),
        farewells: rng.chance(20),
        shy: (faults.has(Fault::Panic) && rng.chance(30)).then(|| rng.within(2, 9)),
        pauses: None,
    }
}

/// Uptimes at which a clock of too few bits would turn over.
pub fn draw_start(rng: &mut Rng) -> u64 {
    let around = rng.pick(&[0u64, 1 << 32, 1 << 36, 1 << 42]);
    around.saturating_sub(rng.below(100_000)) + rng.below(1000)
}
