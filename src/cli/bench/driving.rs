//! Turns a load until it is over, and reads the clocks of both sides exactly where the measured window begins and ends.

use super::options::Common;
use super::probe::{Own, Usage, look, look_at_self};
use super::progress::Progress;
use crate::cli::Failure;
use crate::load::{Phase, Run, Scene};
use crate::net::Swarm;
use std::time::Duration;

/// What was read besides what the load itself has recorded.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Readings {
    /// Of the server: before the first connection, where the window begins, and where it ends.
    pub(super) server: [Option<Usage>; 3],
    /// Of the load: where the window begins, and where it ends.
    pub(super) own: [Own; 2],
}

/// A bound on one wait, so that progress is shown.
const MAX_WAIT: Duration = Duration::from_millis(250);

/// Plays it to its end.
pub(super) fn drive<S: Scene>(
    swarm: &mut Swarm<Run<S>>,
    common: &Common,
    unit: &'static str,
) -> Result<Readings, Failure> {
    let failed = |error| Failure::Running(format!("the poll failed: {error}"));
    swarm.catch_signals().map_err(|error| Failure::Running(format!("signals cannot be caught: {error}")))?;
    let mut progress = Progress::new(common.quiet, unit);
    let mut readings = Readings::default();
    readings.server[0] = look(&common.server_pid);
    loop {
        for _ in 0..swarm.turn(MAX_WAIT).map_err(failed)? {
            swarm.act(|run, now, _| run.stop(now));
        }
        match swarm.play().phase() {
            Phase::AtStart => {
                readings.server[1] = look(&common.server_pid);
                readings.own[0] = look_at_self();
                swarm.act(|run, now, lines| run.start(now, lines));
            }
            Phase::Measuring(_) => {
                let turn = swarm.last_turn_nanos();
                swarm.play_mut().record.turn(turn);
            }
            Phase::AtEnd => {
                readings.own[1] = look_at_self();
                readings.server[2] = look(&common.server_pid);
                swarm.act(|run, now, _| run.finish(now));
            }
            Phase::Over => break,
            Phase::Opening | Phase::WarmingUp(_) | Phase::Draining => {}
        }
        let (now, run) = (swarm.now(), swarm.play());
        progress.tell(now, run.phase(), &run.crowd, &run.record);
    }
    progress.end();
    Ok(readings)
}
