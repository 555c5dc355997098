//! `bench idle`: connections that do nothing, and what they cost.

use super::options::{Common, Hub, positive};
use super::outcome::{Fields, Told, Wish};
use super::setup;
use crate::cli::{Failure, values};
use crate::load::idle::Idle;
use crate::load::{Plan, Run};
use std::time::Duration;

/// What `bench idle` takes.
#[derive(clap::Args, Debug, Default)]
pub(super) struct Arguments {
    #[command(flatten)]
    hub: Hub,
    /// Connections
    #[arg(long, value_name = "COUNT", value_parser = positive, default_value = "1000")]
    connections: usize,
    /// How often each connection sends a sign of life of its own: a ping on WebSocket, the message `ping` elsewhere
    /// [default: never]
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    heartbeat_interval: Option<Duration>,
    #[command(flatten)]
    common: Common,
}

/// Shorter intervals are load, not life.
const SHORTEST: Duration = Duration::from_millis(100);

/// Measures, and says what came of it.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { common, hub, connections, heartbeat_interval } = arguments;
    if let Some(interval) = heartbeat_interval.filter(|interval| *interval < SHORTEST) {
        return Err(Failure::Usage(vec![format!("--heartbeat-interval {interval:?}: choose 100ms or more")]));
    }
    let ground = setup::prepare(common, *connections)?;
    let entrances = setup::entrances(&ground.targets, 1, hub.is_there(), hub.token.as_deref());
    let crowd = setup::crowd(common, entrances, *connections);
    let plan = Plan { warm_up: common.warm_up, duration: common.duration, most: None, patience: common.timeout };
    let scene = Idle::new(*connections, hub.is_there(), hub.names(), *heartbeat_interval);
    super::play(Run::new(scene, crowd, plan), ground, common, "connections", |run| told(arguments, run))
}

fn told(arguments: &Arguments, run: &Run<Idle>) -> Told {
    let Arguments { connections, hub, heartbeat_interval, .. } = arguments;
    let [answered, sent, messages, lost] = run.scene.counts();
    Told {
        bench: "idle",
        unit: "connections",
        settings: Fields::default()
            .with("connections", *connections)
            .with("channel", hub.channel.clone())
            .with("channels", hub.channels)
            .with("heartbeat_seconds", heartbeat_interval.map(|interval| interval.as_secs_f64())),
        counts: Fields::default()
            .with("connections", run.record.total_done())
            .with("lost", lost)
            .with("pings_answered", answered)
            .with("heartbeats_sent", sent)
            .with("messages", messages),
        is_wrong: false,
        wish: Wish::Hold(run.record.total_done()),
        interrupted: run.was_stopped(),
    }
}
