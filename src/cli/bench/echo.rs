//! `bench echo`: messages that a server sends back.

use super::options::{Common, positive, positive_u64, rate};
use super::outcome::{Fields, Told, Wish};
use super::setup;
use crate::cli::{Failure, values};
use crate::load::echo::{Echo, Loop};
use crate::load::{Plan, Rings, Run};
use crate::timer::Jitter;
use crate::wire::Wire;

/// What `bench echo` takes.
#[derive(clap::Args, Debug, Default)]
pub(super) struct Arguments {
    /// Connections
    #[arg(long, value_name = "COUNT", value_parser = positive, default_value = "64")]
    connections: usize,
    /// Closed loop: messages under way on each connection; the next leaves when one is back [default: 1]
    #[arg(long, value_name = "COUNT", value_parser = positive, conflicts_with = "rate")]
    depth: Option<usize>,
    /// Open loop: messages a second over all connections, sent when they are due whatever has come back; latency counts
    /// from when a message was due
    #[arg(long, value_name = "COUNT", value_parser = rate)]
    rate: Option<f64>,
    /// Bytes of a message
    #[arg(long, value_name = "SIZE", value_parser = values::size, default_value = "64")]
    size: usize,
    /// Sends text on WebSocket, in place of binary
    #[arg(long)]
    text: bool,
    /// Messages after which it ends, in place of a duration
    #[arg(long, value_name = "COUNT", value_parser = positive_u64)]
    messages: Option<u64>,
    #[command(flatten)]
    common: Common,
}

/// Largest message and deepest pipeline: what a ring of messages may take up.
const MAX_RING_BYTES: usize = 256 << 20;

/// Measures, and says what came of it.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { common, connections, size, text, .. } = arguments;
    let depth = arguments.depth.unwrap_or(1);
    if size.saturating_add(16).saturating_mul(depth) > MAX_RING_BYTES {
        return Err(Failure::Usage(vec![format!(
            "--size {size} with --depth {depth} takes more than 256 MiB of messages: choose less of one of them"
        )]));
    }
    let ground = setup::prepare(common, *connections)?;
    if *size == 0 && ground.targets.iter().any(|target| target.url().wire == Wire::Raw) {
        return Err(Failure::Usage(vec!["--size 0: raw:// has no empty messages; choose 1 or more".to_owned()]));
    }
    let mut jitter = Jitter::new(setup::seed());
    let wires = ground.targets.iter().map(|target| target.url().wire);
    let rings = wires.map(|wire| Rings::new(wire, *size, *text, depth, &mut jitter)).collect();
    let how = arguments.rate.map_or(Loop::Closed { depth }, |rate| Loop::Open { rate });
    let crowd = setup::crowd(common, setup::entrances(&ground.targets, *size, false, None), *connections);
    let plan = Plan {
        warm_up: common.warm_up,
        duration: if arguments.messages.is_some() { super::FOREVER } else { common.duration },
        most: arguments.messages,
        patience: common.timeout,
    };
    let run = Run::new(Echo::new(rings, *connections, how), crowd, plan);
    super::play(run, ground, common, "messages", |run| told(arguments, run))
}

fn told(arguments: &Arguments, run: &Run<Echo>) -> Told {
    let Arguments { connections, size, text, rate, messages, .. } = arguments;
    let depth = rate.is_none().then(|| arguments.depth.unwrap_or(1));
    Told {
        bench: "echo",
        unit: "messages",
        settings: Fields::default()
            .with("connections", *connections)
            .with("depth", depth)
            .with("rate", *rate)
            .with("size", *size)
            .with("text", *text)
            .with("messages", *messages),
        counts: Fields::default()
            .with("messages", run.record.latencies().len())
            .with("unanswered", run.scene.missing())
            .with("connections", run.crowd.ready()),
        is_wrong: run.scene.has_wrong_content(),
        wish: rate.map_or(Wish::Most, Wish::Rate),
        interrupted: run.was_stopped(),
    }
}
