//! The course of a load: connections are opened, it warms up, is measured, and ends. What is done with the connections
//! is a [`Scene`]'s.

use super::crowd::Outcome;
use super::{Crowd, End, Lines, Moment, Opened, Play, Record, Ticket};
use crate::timer::earliest;
use std::time::Duration;

/// What a scene can reach while it acts.
#[derive(Debug)]
pub struct Reach<'r, L> {
    /// The moment.
    pub now: Moment,
    /// The connections.
    pub lines: &'r mut L,
    /// Where what is measured goes.
    pub record: &'r mut Record,
    /// Who is ready, and the tools that all share.
    pub crowd: &'r mut Crowd,
}

/// What is done with connections that are ready.
pub trait Scene {
    /// What a line asks for at the entrance.
    fn ticket(&self, _line: usize) -> Ticket {
        Ticket::default()
    }
    /// A line is ready, `took` nanoseconds after it began to connect.
    fn on_ready<L: Lines>(
        &mut self,
        line: usize,
        opened: Opened,
        took: u64,
        reach: &mut Reach<'_, L>,
    ) -> Result<(), End>;
    /// Bytes came on a line that is ready. An error ends the line.
    fn on_bytes<L: Lines>(&mut self, line: usize, bytes: &mut [u8], reach: &mut Reach<'_, L>) -> Result<(), End>;
    /// What waited on a ready line has left.
    fn on_drained<L: Lines>(&mut self, _line: usize, _reach: &mut Reach<'_, L>) {}
    /// A line that was ready is gone, or an opening has failed.
    fn on_gone<L: Lines>(&mut self, line: usize, was_ready: bool, reach: &mut Reach<'_, L>);
    /// All connections are open, or have failed: whether the load can begin. Called again and again until it can.
    fn prepare<L: Lines>(&mut self, _reach: &mut Reach<'_, L>) -> bool {
        true
    }
    /// Begins to load: first, where there is a warm-up, for that; then for the measured window, up to `most` if given.
    fn begin<L: Lines>(&mut self, part: Part, most: Option<u64>, reach: &mut Reach<'_, L>);
    /// Everything that had happened was told.
    fn on_turn<L: Lines>(&mut self, _reach: &mut Reach<'_, L>) {}
    /// When [`Scene::on_turn`] has something to do.
    fn next_at(&self) -> Option<Moment> {
        None
    }
    /// Begins nothing more.
    fn rest(&mut self, now: Moment);
    /// Whether nothing is under way, or ever will be until [`Scene::begin`].
    fn is_at_rest(&self) -> bool;
    /// Grows with everything that comes back.
    fn progress(&self) -> u64;
    /// Of what was begun, how much has not come back.
    fn unanswered(&self) -> u64;
    /// Whether there is somebody left to go on with.
    fn can_go_on(&self) -> bool {
        true
    }
    /// Whether it begins with all connections open, as most do; otherwise it opens them itself.
    fn waits_for_all(&self) -> bool {
        true
    }
    /// Whether the window begins and ends with nothing under way. An open loop goes on.
    fn pauses(&self) -> bool;
}

/// A part of a load's course.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Not measured.
    WarmUp,
    /// Measured.
    Measured,
}

/// What a load is to be.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How long it is not measured first.
    pub warm_up: Duration,
    /// How long it is measured, where no number ends it before.
    pub duration: Duration,
    /// Messages, deliveries or connections after which it ends.
    pub most: Option<u64>,
    /// How long without anything coming back, while something should, before it is given up.
    pub patience: Duration,
}

/// Where a load is in its course.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Connections are opened.
    Opening,
    /// It is not measured yet; until this moment, or until it is at rest.
    WarmingUp(Moment),
    /// Everything is ready for the window: the driver reads its clocks and calls [`Run::start`].
    AtStart,
    /// It is measured, until this moment.
    Measuring(Moment),
    /// The window is over: the driver reads its clocks and calls [`Run::finish`].
    AtEnd,
    /// What is still under way is waited for.
    Draining,
    /// It has ended.
    Over,
}

/// A load in its course.
#[derive(Debug)]
pub struct Run<S> {
    /// What is done.
    pub scene: S,
    /// With whom.
    pub crowd: Crowd,
    /// What came of it.
    pub record: Record,
    plan: Plan,
    phase: Phase,
    /// When something last came back, and how much had by then.
    progress: (Moment, u64),
    /// The scene begins nothing more.
    resting: bool,
    stopped: bool,
    gave_up: bool,
}

/// Failures of a target that nobody has ever reached, before it counts as unreachable.
const HOPELESS: u64 = 16;
/// Lines given up in one turn.
const OVERDUE_BUDGET: usize = 1024;

impl<S: Scene> Run<S> {
    /// A load that has not begun.
    pub fn new(scene: S, crowd: Crowd, plan: Plan) -> Self {
        Self {
            scene,
            crowd,
            record: Record::default(),
            plan,
            phase: Phase::Opening,
            progress: (Moment::ZERO, 0),
            resting: false,
            stopped: false,
            gave_up: false,
        }
    }

    /// Where it is.
    #[inline]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Whether it ended because nothing came back any more.
    pub fn gave_up(&self) -> bool {
        self.gave_up
    }

    /// Whether somebody ended it early.
    pub fn was_stopped(&self) -> bool {
        self.stopped
    }

    /// Begins the measured window.
    pub fn start<L: Lines>(&mut self, now: Moment, lines: &mut L) {
        assert!(self.phase == Phase::AtStart, "the window begins at its start");
        self.record.begin(now);
        self.phase = Phase::Measuring(now + self.plan.duration);
        self.progress = (now, self.scene.progress());
        self.begin(Part::Measured, self.plan.most, now, lines);
    }

    fn begin<L: Lines>(&mut self, part: Part, most: Option<u64>, now: Moment, lines: &mut L) {
        self.resting = false;
        let (scene, mut reach) = self.split(now, lines);
        scene.begin(part, most, &mut reach);
    }

    /// Lets the scene begin nothing more; whether the phase is over.
    fn rest(&mut self, now: Moment) -> bool {
        if !std::mem::replace(&mut self.resting, true) {
            self.scene.rest(now);
        }
        self.scene.is_at_rest()
    }

    /// Ends the measured window.
    pub fn finish(&mut self, now: Moment) {
        assert!(self.phase == Phase::AtEnd, "the window ends at its end");
        self.record.end(now);
        self.phase = if self.scene.is_at_rest() || self.gave_up { Phase::Over } else { Phase::Draining };
    }

    /// Ends it early: what was measured counts. A second time it ends at once.
    pub fn stop(&mut self, now: Moment) {
        self.phase = match (self.phase, self.stopped) {
            (Phase::Measuring(_), false) => Phase::Measuring(now),
            (Phase::Measuring(_), true) => Phase::AtEnd,
            (Phase::AtEnd, _) => Phase::AtEnd,
            (Phase::Opening | Phase::WarmingUp(_) | Phase::AtStart | Phase::Draining | Phase::Over, _) => Phase::Over,
        };
        self.stopped = true;
    }

    /// A target that cannot be reached: its number, and how the first opening failed.
    pub fn unreachable(&self) -> Option<(usize, End)> {
        let mut tallies = self.crowd.tallies().iter().enumerate();
        tallies.find_map(|(target, tally)| {
            let is_hopeless = tally.ready == 0 && (tally.failed >= HOPELESS || self.crowd.is_settled());
            tally.first_failure.clone().filter(|_| is_hopeless).map(|end| (target, end))
        })
    }

    fn split<'r, L: Lines>(&'r mut self, now: Moment, lines: &'r mut L) -> (&'r mut S, Reach<'r, L>) {
        let Self { scene, record, crowd, .. } = self;
        (scene, Reach { now, lines, record, crowd })
    }

    fn meet<L: Lines>(&mut self, line: usize, outcome: Outcome, rest: &mut [u8], now: Moment, lines: &mut L) {
        if !self.crowd.out.is_empty() {
            lines.send_copy(line, &self.crowd.out);
        }
        match outcome {
            Outcome::GoesOn => {}
            Outcome::Ready(opened, took) => {
                let (scene, mut reach) = self.split(now, lines);
                let met = scene.on_ready(line, opened, took, &mut reach);
                let met = met.and_then(|()| {
                    if rest.is_empty() || !reach.crowd.is_ready(line) {
                        return Ok(());
                    }
                    scene.on_bytes(line, rest, &mut reach)
                });
                if let Err(end) = met {
                    self.end(line, &end, now, lines);
                }
            }
            Outcome::Failed(end) => self.end(line, &end, now, lines),
        }
    }

    /// Closes a line for a reason.
    fn end<L: Lines>(&mut self, line: usize, end: &End, now: Moment, lines: &mut L) {
        lines.reset(line);
        self.note_end(line, end, now, lines);
    }

    fn note_end<L: Lines>(&mut self, line: usize, end: &End, now: Moment, lines: &mut L) {
        let was_ready = self.crowd.on_closed(line);
        if !was_ready {
            self.crowd.on_failed(line, end);
        }
        self.record.error(end);
        let (scene, mut reach) = self.split(now, lines);
        scene.on_gone(line, was_ready, &mut reach);
    }

    fn give_up_overdue<L: Lines>(&mut self, now: Moment, lines: &mut L) {
        for _ in 0..OVERDUE_BUDGET {
            let Some(line) = self.crowd.overdue(now) else {
                return;
            };
            self.end(line, &End::OpenedTooSlowly, now, lines);
        }
    }

    /// Moves on to the next phase where this one is over.
    fn move_on<L: Lines>(&mut self, now: Moment, lines: &mut L) {
        match self.phase {
            Phase::Opening | Phase::WarmingUp(_) if self.unreachable().is_some() => self.phase = Phase::Over,
            Phase::Opening if self.crowd.is_settled() || !self.scene.waits_for_all() => {
                let (scene, mut reach) = self.split(now, lines);
                if scene.prepare(&mut reach) {
                    self.warm_up(now, lines);
                }
            }
            Phase::WarmingUp(until) | Phase::Measuring(until) if now >= until => self.end_part(now),
            Phase::Measuring(_) if self.scene.is_at_rest() && self.plan.most.is_some() => self.phase = Phase::AtEnd,
            Phase::Measuring(_) if !self.scene.can_go_on() => self.phase = Phase::AtEnd,
            Phase::Draining if self.scene.is_at_rest() => self.phase = Phase::Over,
            _ => {}
        }
    }

    /// The time of a part is over; so is the part, when nothing is under way, or at once where the load does not pause.
    fn end_part(&mut self, now: Moment) {
        let (goes_on, is_measured) = (!self.scene.pauses(), matches!(self.phase, Phase::Measuring(_)));
        if goes_on && !is_measured {
            // What is not measured has no end of its own.
            self.phase = Phase::AtStart;
        } else if self.rest(now) || goes_on {
            self.phase = if is_measured { Phase::AtEnd } else { Phase::AtStart };
        }
    }

    fn warm_up<L: Lines>(&mut self, now: Moment, lines: &mut L) {
        self.progress = (now, self.scene.progress());
        if self.plan.warm_up.is_zero() {
            self.phase = Phase::AtStart;
            return;
        }
        self.phase = Phase::WarmingUp(now + self.plan.warm_up);
        self.begin(Part::WarmUp, None, now, lines);
    }

    /// Ends it where nothing has come back for too long.
    fn watch(&mut self, now: Moment) {
        let progress = self.scene.progress();
        if progress != self.progress.1 || self.scene.is_at_rest() {
            self.progress = (now, progress);
        }
        if now < self.progress.0 + self.plan.patience {
            return;
        }
        self.phase = match self.phase {
            Phase::WarmingUp(_) | Phase::Draining => Phase::Over,
            Phase::Measuring(_) => Phase::AtEnd,
            other @ (Phase::Opening | Phase::AtStart | Phase::AtEnd | Phase::Over) => other,
        };
        if !matches!(self.phase, Phase::Opening | Phase::AtStart) && !self.gave_up {
            self.gave_up = true;
            let kind = format!("no answer within {:?}", self.plan.patience);
            self.record.errors_of(&kind, self.scene.unanswered());
        }
    }
}

impl<S: Scene> Play for Run<S> {
    fn on_start<L: Lines>(&mut self, now: Moment, lines: &mut L) {
        if self.scene.waits_for_all() {
            (0..self.crowd.size()).for_each(|line| self.crowd.want(line));
            self.crowd.open_due(now, lines);
        }
    }

    fn on_connected<L: Lines>(&mut self, line: usize, now: Moment, lines: &mut L) {
        let outcome = self.crowd.on_connected(line, self.scene.ticket(line), now);
        self.meet(line, outcome, &mut [], now, lines);
    }

    #[inline]
    fn on_bytes<L: Lines>(&mut self, line: usize, mut bytes: &mut [u8], now: Moment, lines: &mut L) {
        if !self.crowd.is_ready(line) {
            let outcome = self.crowd.on_bytes(line, &mut bytes, now);
            return self.meet(line, outcome, bytes, now, lines);
        }
        let (scene, mut reach) = self.split(now, lines);
        if let Err(end) = scene.on_bytes(line, bytes, &mut reach) {
            self.end(line, &end, now, lines);
        }
    }

    fn on_drained<L: Lines>(&mut self, line: usize, now: Moment, lines: &mut L) {
        if self.crowd.is_ready(line) {
            let (scene, mut reach) = self.split(now, lines);
            scene.on_drained(line, &mut reach);
        }
    }

    fn on_ended<L: Lines>(&mut self, line: usize, end: End, now: Moment, lines: &mut L) {
        self.note_end(line, &end, now, lines);
    }

    fn on_turn<L: Lines>(&mut self, now: Moment, lines: &mut L) {
        self.give_up_overdue(now, lines);
        self.crowd.open_due(now, lines);
        let (scene, mut reach) = self.split(now, lines);
        scene.on_turn(&mut reach);
        self.record.tick(now);
        self.watch(now);
        self.move_on(now, lines);
    }

    fn next_at(&self) -> Option<Moment> {
        let phase = match self.phase {
            // Behind the end of a phase nothing is waited for but what comes back.
            Phase::WarmingUp(until) | Phase::Measuring(until) => Some(until).filter(|_| !self.resting),
            Phase::AtStart | Phase::AtEnd | Phase::Over => Some(Moment::ZERO),
            Phase::Opening | Phase::Draining => None,
        };
        let watch = (!self.scene.is_at_rest()).then(|| self.progress.0 + self.plan.patience);
        earliest([phase, watch, self.record.tick_at(), self.scene.next_at(), self.crowd.next_at()])
    }
}
