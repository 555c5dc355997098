//! `bench fanout`: publications that reach many.

use super::options::{Common, Hub, positive, positive_u64, rate};
use super::outcome::{Fields, Told, Wish};
use super::setup;
use crate::cli::{Failure, values};
use crate::load::fanout::{Fanout, Faults, How, Setting};
use crate::load::{Plan, Run, STAMP_BYTES};

/// What `bench fanout` takes.
#[derive(clap::Args, Debug, Default)]
pub(super) struct Arguments {
    #[command(flatten)]
    hub: Hub,
    /// Connections that receive
    #[arg(long, value_name = "COUNT", value_parser = positive, default_value = "100")]
    connections: usize,
    /// Connections that publish, besides
    #[arg(long, value_name = "COUNT", value_parser = positive, default_value = "1")]
    publishers: usize,
    /// Closed loop: publications in each channel at once; the next when all have come everywhere [default: 1]
    #[arg(long, value_name = "COUNT", value_parser = positive_u64, conflicts_with = "rate")]
    depth: Option<u64>,
    /// Open loop: publications a second in all, made when they are due whatever has come; latency counts from then
    #[arg(long, value_name = "COUNT", value_parser = rate)]
    rate: Option<f64>,
    /// Bytes of a publication's data, or of a message
    #[arg(long, value_name = "SIZE", value_parser = values::size, default_value = "128")]
    size: usize,
    /// Sends text on WebSocket, in place of binary; a hub gets text anyhow
    #[arg(long)]
    text: bool,
    /// Publications after which it ends, in place of a duration
    #[arg(long, value_name = "COUNT", value_parser = positive_u64)]
    messages: Option<u64>,
    #[command(flatten)]
    common: Common,
}

/// Streams have numbers of 16 bits.
const MAX_STREAMS: usize = u16::MAX as usize;
/// Largest payload: what any server may be set to take.
const MAX_SIZE: usize = 16 << 20;

/// Measures, and says what came of it.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { common, hub, connections, publishers, size, text, .. } = arguments;
    let usage = |told: String| Err(Failure::Usage(vec![told]));
    if !(STAMP_BYTES..=MAX_SIZE).contains(size) {
        return usage(format!("--size {size}: choose {STAMP_BYTES} bytes, which the time stamp takes, to {MAX_SIZE}"));
    }
    let channels = hub.names();
    if channels.len().max(1).saturating_mul(*publishers) > MAX_STREAMS {
        return usage(format!(
            "--channels times --publishers may be {MAX_STREAMS} at most; choose fewer of one of them"
        ));
    }
    if channels.len() > *connections {
        return usage(format!(
            "--channels {} with --connections {connections}: each channel needs a receiver; choose more connections",
            channels.len()
        ));
    }
    let ground = setup::prepare(common, connections + publishers)?;
    let entrances = setup::entrances(&ground.targets, *size, hub.is_there(), hub.token.as_deref());
    let crowd = setup::crowd(common, entrances, connections + publishers);
    let setting = Setting {
        channels,
        publishers: *publishers,
        receivers: *connections,
        size: *size,
        text: *text,
        how: arguments.rate.map_or(How::Rounds(arguments.depth.unwrap_or(1)), How::Rate),
        run: setup::run_number(),
    };
    let plan = Plan {
        warm_up: common.warm_up,
        duration: if arguments.messages.is_some() { super::FOREVER } else { common.duration },
        most: arguments.messages,
        patience: common.timeout,
    };
    let run = Run::new(Fanout::new(setting), crowd, plan);
    super::play(run, ground, common, "deliveries", |run| told(arguments, run))
}

fn told(arguments: &Arguments, run: &Run<Fanout>) -> Told {
    let Arguments { connections, publishers, size, rate, messages, hub, .. } = arguments;
    let depth = rate.is_none().then(|| arguments.depth.unwrap_or(1));
    let Faults { doubled, out_of_order, lost, cut_off, foreign } = run.scene.faults();
    let channels = hub.names().len();
    Told {
        bench: "fanout",
        unit: "deliveries",
        settings: Fields::default()
            .with("connections", *connections)
            .with("publishers", *publishers)
            .with("channel", hub.channel.clone())
            .with("channels", (channels > 0).then_some(channels))
            .with("depth", depth)
            .with("rate", *rate)
            .with("size", *size)
            .with("messages", *messages),
        counts: Fields::default()
            .with("deliveries", run.record.latencies().len())
            .with("publications", run.scene.published())
            .with("lost", lost)
            .with("doubled", doubled)
            .with("out_of_order", out_of_order)
            .with("cut_off", cut_off)
            .with("foreign", foreign)
            .with("connections", run.crowd.ready()),
        is_wrong: lost + doubled + out_of_order > 0 && !run.was_stopped(),
        // A publication reaches those who listen to its channel.
        wish: rate.map_or(Wish::Most, |rate| Wish::Rate(rate * *connections as f64 / channels.max(1) as f64)),
        interrupted: run.was_stopped(),
    }
}
