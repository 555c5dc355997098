//! `bench`: load and latency of any server that speaks a wire of ours, measured by a load that watches itself.
//!
//! `options` is what all benches take, `setup` finds targets and says what will run out, `driving` turns the load and
//! reads the clocks, `outcome` is what was measured, shown by `table`, as JSON, and by `report`.

mod driving;
mod echo;
mod numbers;
mod options;
mod outcome;
mod probe;
mod progress;
mod setup;
mod table;

use super::{Failure, logger};
use crate::load::{Run, Scene};
use crate::net::Swarm;
use options::Common;
use outcome::Outcome;
use setup::Ground;
use std::io::{self, Write};
use std::time::Duration;

/// What `bench` takes.
#[derive(clap::Args, Debug)]
pub(super) struct Arguments {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(clap::Subcommand, Debug)]
enum Bench {
    /// Messages that come back: so many under way on each connection, or so many a second; every byte is compared
    Echo(echo::Arguments),
}

/// Longer than anybody waits: the end is a number of messages.
const FOREVER: Duration = Duration::from_secs(30 * 24 * 3600);

/// Measures, and says what came of it.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    logger::install(log::LevelFilter::Warn);
    match &arguments.bench {
        Bench::Echo(arguments) => echo::run(arguments),
    }
}

/// The lines on sockets, after what is to be warned of was said.
fn swarm<S: Scene>(run: Run<S>, ground: Ground, common: &Common, lines: usize) -> Result<Swarm<Run<S>>, Failure> {
    for warning in &ground.warnings {
        let _ = writeln!(io::stderr(), "warning: {warning}");
    }
    let swarm = Swarm::new(run, ground.targets, common.all_sources(), lines);
    swarm.map_err(|error| Failure::Running(format!("can't start the load: {error}")))
}

/// What was measured; an error where nothing could be.
fn finish<S: Scene>(
    swarm: &Swarm<Run<S>>,
    common: &Common,
    outcome: impl FnOnce(&Run<S>) -> Outcome,
) -> Result<Outcome, Failure> {
    let run = swarm.play();
    if let Some((target, end)) = run.unreachable() {
        return Err(Failure::Running(format!("{}: {end}", common.urls[target])));
    }
    if run.was_stopped() && run.record.elapsed(swarm.now()).is_zero() {
        return Err(Failure::Running("ended before anything was measured".to_owned()));
    }
    Ok(outcome(run))
}
