//! `bench`: load and latency of any server that speaks a wire of ours, measured by a load that watches itself.
//!
//! `options` is what all benches take, `setup` finds targets and says what will run out, `driving` turns the load and
//! reads the clocks, `outcome` is what was measured, shown by `table`, as JSON, and by `report`.

mod driving;
mod echo;
mod fanout;
mod idle;
mod numbers;
mod options;
mod outcome;
mod probe;
mod progress;
mod report;
mod setup;
mod storm;
mod table;

use super::values::show_duration;
use super::{Failure, logger};
use crate::load::{End, Run, Scene};
use crate::net::Swarm;
use driving::drive;
use options::Common;
use outcome::{Outcome, Told};
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
    /// Publications that reach many: by channels of a hub, or by a server that sends each message to all others
    Fanout(fanout::Arguments),
    /// Connections that do nothing: what one costs the server, and how many are lost meanwhile
    Idle(idle::Arguments),
    /// Connections that come and go as fast as can be; or that are cut all at once, and come back all at once
    Storm(storm::Arguments),
}

/// Longer than anybody waits: the end is a number of messages.
const FOREVER: Duration = Duration::from_secs(30 * 24 * 3600);

/// Measures, and says what came of it.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    logger::install(log::LevelFilter::Warn);
    match &arguments.bench {
        Bench::Echo(arguments) => echo::run(arguments),
        Bench::Fanout(arguments) => fanout::run(arguments),
        Bench::Idle(arguments) => idle::run(arguments),
        Bench::Storm(arguments) => storm::run(arguments),
    }
}

/// Plays it on sockets, after what is to be warned of was said, and says what came of it.
fn play<S: Scene>(
    run: Run<S>,
    ground: Ground,
    common: &Common,
    unit: &'static str,
    told: impl FnOnce(&Run<S>) -> Told,
) -> Result<(), Failure> {
    for warning in &ground.warnings {
        // Nobody may be left to read it.
        let _ = writeln!(io::stderr(), "warning: {warning}");
    }
    let targets = ground.targets.iter().map(|target| target.url().to_string()).collect();
    let lines = run.crowd.size();
    let swarm = Swarm::new(run, ground.targets, common.all_sources(), lines);
    let mut swarm = swarm.map_err(|error| Failure::Running(format!("can't start the load: {error}")))?;
    let readings = drive(&mut swarm, common, unit)?;
    let (run, now) = (swarm.play(), swarm.now());
    if let Some((target, end)) = run.unreachable() {
        return Err(Failure::Running(format!("{}: {end}{}", common.urls[target], mend(&end))));
    }
    if run.was_stopped() && run.record.elapsed(now).is_zero() {
        return Err(Failure::Running("ended before anything was measured".to_owned()));
    }
    let first = run.record.errors().iter().next();
    if run.record.elapsed(now).is_zero() {
        let why = first.map_or("it could not begin", |(kind, _)| kind);
        return Err(Failure::Running(format!("nothing was measured: {why}")));
    }
    let told = told(run);
    let is_wrong = told.is_wrong;
    let outcome = Outcome::new(told, targets, common, &run.record, &readings, now);
    outcome.publish(common)?;
    match first {
        _ if is_wrong => Err(Failure::Running("what came back is not what was sent".to_owned())),
        _ if run.gave_up() => {
            let patience = show_duration(common.timeout);
            Err(Failure::Running(format!("given up: nothing came back for {patience}")))
        }
        Some((kind, _)) if run.record.total_done() == 0 => Err(Failure::Running(format!("nothing came back: {kind}"))),
        _ => Ok(()),
    }
}

/// What to do about an end that has a usual cause.
fn mend(end: &End) -> &'static str {
    match end {
        End::Refused(404) => "; a hub's WebSocket is at /connection/websocket",
        End::Unreachable(io::ErrorKind::ConnectionRefused) => "; start the server, or give the port that it listens on",
        _ => "",
    }
}
