//! Everything a seed decides before the first event: the hub's settings, its engine, and what is to happen when.

use super::engine::Temper;
use crate::rng::Rng;
use std::time::Duration;
use tidegate::config::{HubSettings, Namespace, Settings, Slow};

/// What may happen next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// A client says something, or comes.
    Say,
    /// It says very much at once.
    Flood,
    /// A newer connection of it comes while the old one is there.
    TakeOver,
    /// It goes, in one of many ways.
    Cut,
    /// Nothing of it arrives any more, and it hears nothing.
    FallSilent,
    Thaw,
    ReadSlowly,
    ReadQuickly,
    /// What no client should say.
    SayNonsense,
    /// It comes and does not connect.
    Lurk,
    /// A back end calls.
    Call,
    Restart,
    Interrupt,
}

#[derive(Debug, Clone, Copy)]
pub struct Action {
    /// Milliseconds before it.
    pub wait: u64,
    pub seed: u64,
    pub who: usize,
    pub deed: Deed,
}

#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    pub start: u64,
    pub settings: Settings,
    pub hub: HubSettings,
    pub temper: Temper,
    pub clients: usize,
    pub channels: Vec<String>,
    /// Bytes arrive in pieces and are taken in pieces.
    pub splits: bool,
    pub room: usize,
    pub actions: Vec<Action>,
}

impl Plan {
    pub fn draw(seed: u64, events: usize) -> Self {
        let mut rng = Rng::new(seed ^ 0x0048_5542);
        let temper = draw_temper(&mut rng);
        let clients = rng.size(2, 8);
        let count = rng.magnitude(1, 12) as usize;
        let channels = (0..count).map(|number| draw_channel(&mut rng, number)).collect();
        let rough = rng.below(4);
        let quick = rng.chance(50);
        let actions = (0..events).map(|_| draw_action(&mut rng, clients, rough, quick, temper)).collect();
        Self {
            seed,
            start: rng.below(1 << 40),
            settings: draw_settings(&mut rng),
            hub: draw_hub(&mut rng),
            temper,
            clients,
            channels,
            splits: rng.chance(60),
            room: rng.magnitude(200, 100_000) as usize,
            actions,
        }
    }
}

fn draw_temper(rng: &mut Rng) -> Temper {
    let late = |rng: &mut Rng| if rng.chance(50) { 0 } else { rng.magnitude(1, 400) };
    let mut temper = Temper { reach: late(rng), answer: late(rng), heard: late(rng), ..Temper::default() };
    if rng.chance(40) {
        temper.full = if rng.chance(50) { rng.within(1, 20) } else { 0 };
        temper.fails = if rng.chance(50) { rng.within(1, 20) } else { 0 };
        temper.breaks = rng.chance(70);
    }
    temper
}

fn draw_channel(rng: &mut Rng, number: usize) -> String {
    let prefix = rng.weighted(&[(5, ""), (2, "live:"), (2, "short:"), (1, "drop:"), (2, "opt:"), (1, "cut:")]);
    format!("{prefix}c{number}")
}

fn draw_action(rng: &mut Rng, clients: usize, rough: u64, quick: bool, temper: Temper) -> Action {
    let breaks = u64::from(temper.breaks);
    let deed = rng.weighted(&[
        (60, Deed::Say),
        (3 * rough, Deed::Flood),
        (2 + rough, Deed::TakeOver),
        (2 + 2 * rough, Deed::Cut),
        (rough, Deed::FallSilent),
        (rough, Deed::Thaw),
        (2 * rough, Deed::ReadSlowly),
        (2 * rough, Deed::ReadQuickly),
        (u64::from(rough > 1), Deed::SayNonsense),
        (u64::from(rough > 1), Deed::Lurk),
        (20, Deed::Call),
        (breaks, Deed::Restart),
        (2 * breaks, Deed::Interrupt),
    ]);
    let wait = match rng.below(if quick { 60 } else { 20 }) {
        0 => rng.magnitude(100, 20_000),
        1..6 => rng.magnitude(1, 300),
        _ => rng.below(3) * 5,
    };
    Action { wait, seed: rng.next(), who: rng.size(0, clients - 1), deed }
}

fn draw_settings(rng: &mut Rng) -> Settings {
    let interval = rng.within(2, 30);
    let soft = rng.magnitude(600, 20_000) as usize;
    let hard = if rng.chance(50) { soft.max(9 << 10) } else { (64 << 10).max(soft * 4) };
    Settings {
        heartbeat_interval: Duration::from_secs(interval),
        heartbeat_timeout: Duration::from_secs(interval * 2 + rng.below(10)),
        write_timeout: Duration::from_millis(rng.magnitude(500, 20_000)),
        max_message_bytes: 8 << 10,
        write_queue_soft_bytes: soft,
        write_queue_hard_bytes: hard,
        http_idle_timeout: Duration::from_secs(600),
        ..Settings::default()
    }
}

fn draw_hub(rng: &mut Rng) -> HubSettings {
    let default_namespace = Namespace {
        history_size: rng.magnitude(2, 200) as usize,
        history_ttl: Duration::from_secs(rng.within(5, 400)),
        ..Namespace::default()
    };
    let with = |change: fn(&mut Namespace)| {
        let mut namespace = default_namespace.clone();
        change(&mut namespace);
        namespace
    };
    let namespaces = [
        ("live", with(|namespace| namespace.history_size = 0)),
        ("short", with(|namespace| (namespace.history_size, namespace.history_ttl) = (3, Duration::from_secs(3)))),
        ("drop", with(|namespace| namespace.slow = Slow::Drop)),
        ("cut", with(|namespace| namespace.slow = Slow::Disconnect)),
        ("opt", with(|namespace| (namespace.force_recovery, namespace.join_leave) = (false, true))),
    ];
    HubSettings {
        insecure: true,
        namespaces: namespaces.into_iter().map(|(name, namespace)| (name.to_owned(), namespace)).collect(),
        default_namespace,
        max_channels_per_connection: if rng.chance(20) { rng.size(1, 4) } else { 128 },
        recovery_limit: rng.magnitude(2, 300) as usize,
        session_ttl: Duration::from_secs(rng.within(1, 60)),
        max_errors: 1_000_000,
        ..HubSettings::default()
    }
}
