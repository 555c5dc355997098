//! `bench storm`: connections that come and go, or come back all at once.

use super::options::{Common, Hub, positive};
use super::outcome::{Fields, Told, Wish};
use super::setup;
use crate::cli::{Failure, values};
use crate::load::storm::Lives;
use crate::load::storm::returning::{Counts, Returning, Setting};
use crate::load::{Plan, Rules, Run, STAMP_BYTES};
use std::time::Duration;

/// What `bench storm` takes.
#[derive(clap::Args, Debug, Default)]
pub(super) struct Arguments {
    #[command(flatten)]
    hub: Hub,
    /// Connections after which it ends, in place of a duration; with --reconnect the clients [default there: 1000]
    #[arg(long, value_name = "COUNT", value_parser = positive)]
    connections: Option<usize>,
    /// All clients connect and are cut at once, then all come back at once; with --channel each recovers what it missed
    #[arg(long)]
    reconnect: bool,
    /// Publications in each channel while the clients are away
    #[arg(long, value_name = "COUNT", value_parser = values::count, default_value = "10", requires = "channel")]
    missed: usize,
    /// Bytes of a publication's data
    #[arg(long, value_name = "SIZE", value_parser = values::size, default_value = "128", requires = "channel")]
    size: usize,
    #[command(flatten)]
    common: Common,
}

/// Lives at once, where nothing else is said.
const AT_ONCE: usize = 64;
/// Clients that come back, where nothing else is said.
const CLIENTS: usize = 1000;
/// Largest payload.
const MAX_SIZE: usize = 16 << 20;
/// A bound on what is published while clients are away.
const MAX_MISSED: usize = 1_000_000;

/// Measures, and says what came of it.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    if arguments.reconnect { come_back(arguments) } else { come_and_go(arguments) }
}

fn come_and_go(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { common, hub, connections, .. } = arguments;
    let at_once = common.concurrency.unwrap_or(AT_ONCE).max(1);
    let ground = setup::prepare(common, at_once)?;
    let entrances = setup::entrances(&ground.targets, 1, hub.is_there(), hub.token.as_deref());
    let mut crowd = setup::crowd(common, entrances, at_once);
    crowd.set_rules(setup::rules(common, at_once));
    let plan = Plan {
        warm_up: common.warm_up,
        duration: if connections.is_some() { super::FOREVER } else { common.duration },
        most: connections.map(|count| count as u64),
        patience: common.timeout,
    };
    let scene = Lives::new(at_once, hub.names());
    super::play(Run::new(scene, crowd, plan), ground, common, "connections", |run| Told {
        bench: "storm",
        unit: "connections",
        settings: Fields::default()
            .with("at_once", at_once)
            .with("connections", *connections)
            .with("channel", hub.channel.clone()),
        counts: Fields::default().with("connections", run.record.total_done()).with("failed", run.scene.failed()),
        is_wrong: false,
        wish: common.connect_rate.map_or(Wish::Most, Wish::Rate),
        interrupted: run.was_stopped(),
    })
}

fn come_back(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { common, hub, connections, missed, size, .. } = arguments;
    let clients = connections.unwrap_or(CLIENTS);
    let usage = |told: String| Err(Failure::Usage(vec![told]));
    if !(STAMP_BYTES..=MAX_SIZE).contains(size) {
        return usage(format!("--size {size}: choose {STAMP_BYTES} bytes, which the time stamp takes, to {MAX_SIZE}"));
    }
    if *missed > MAX_MISSED {
        return usage(format!("--missed {missed}: choose at most {MAX_MISSED}"));
    }
    let lines = clients + usize::from(hub.is_there());
    let ground = setup::prepare(common, lines)?;
    let entrances = setup::entrances(&ground.targets, *size, hub.is_there(), hub.token.as_deref());
    let crowd = setup::crowd(common, entrances, lines);
    let at_once = common.concurrency.unwrap_or(clients);
    let setting = Setting {
        channels: hub.names(),
        clients,
        missed: *missed as u64,
        size: *size,
        rules: Rules { at_once, ..setup::rules(common, at_once) },
        run: setup::run_number(),
    };
    // The cut and what is published meanwhile are the warm-up; it ends when all of that is done.
    let warm_up = Duration::from_nanos(1);
    let plan = Plan { warm_up, duration: super::FOREVER, most: Some(clients as u64), patience: common.timeout };
    let run = Run::new(Returning::new(setting), crowd, plan);
    super::play(run, ground, common, "connections", |run| told_of_return(arguments, clients, run))
}

fn told_of_return(arguments: &Arguments, clients: usize, run: &Run<Returning>) -> Told {
    let Arguments { hub, size, .. } = arguments;
    let Counts { whole, unrecovered, away, recovered, lost, doubled, out_of_order } = run.scene.counts();
    Told {
        bench: "storm",
        unit: "connections",
        settings: Fields::default()
            .with("reconnect", true)
            .with("connections", clients)
            .with("channel", hub.channel.clone())
            .with("channels", hub.channels)
            .with("missed", run.scene.missed())
            .with("size", hub.is_there().then_some(*size)),
        counts: Fields::default()
            .with("connections", run.record.total_done())
            .with("whole", whole)
            .with("unrecovered", unrecovered)
            .with("away", away)
            .with("recovered", recovered)
            .with("lost", lost)
            .with("doubled", doubled)
            .with("out_of_order", out_of_order),
        is_wrong: doubled + out_of_order > 0,
        wish: Wish::Most,
        interrupted: run.was_stopped(),
    }
}
