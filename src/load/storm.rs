//! Connections that come and go: whole lives, one behind the other, as many at once as are asked for. `returning` has
//! those that are cut all at once and come back.

pub mod returning;

use super::{End, Lines, Opened, Part, Reach, Scene, Ticket};
use std::sync::Arc;

/// The scene of `bench storm`: connect, open, be reset, again.
#[derive(Debug)]
pub struct Lives {
    channels: Vec<Arc<str>>,
    at_once: usize,
    /// Lives that may still begin.
    to_begin: u64,
    /// Lives under way.
    under_way: u64,
    lived: u64,
    failed: u64,
    measured: bool,
    is_resting: bool,
}

impl Lives {
    /// So many lives at once; each subscribes to one of the channels, if there are any.
    pub fn new(at_once: usize, channels: Vec<Arc<str>>) -> Self {
        Self { channels, at_once, to_begin: 0, under_way: 0, lived: 0, failed: 0, measured: false, is_resting: false }
    }

    /// Connections that did not come to be open, in the measured window.
    pub fn failed(&self) -> u64 {
        self.failed
    }

    /// Begins another life on a line that is closed.
    fn begin_life<L>(&mut self, line: usize, reach: &mut Reach<'_, L>) {
        if self.to_begin > 0 {
            self.to_begin -= 1;
            self.under_way += 1;
            reach.crowd.want(line);
        }
    }
}

impl Scene for Lives {
    fn ticket(&self, line: usize) -> Ticket {
        Ticket::in_turn(&self.channels, line)
    }

    fn on_ready<L: Lines>(
        &mut self,
        line: usize,
        mut opened: Opened,
        took: u64,
        reach: &mut Reach<'_, L>,
    ) -> Result<(), End> {
        opened.reader.clear(&mut reach.crowd.pool);
        if self.measured {
            reach.record.latency(took, 1);
        }
        reach.record.done(1);
        self.lived += 1;
        self.under_way -= 1;
        reach.lines.reset(line);
        reach.crowd.on_closed(line);
        self.begin_life(line, reach);
        Ok(())
    }

    fn on_bytes<L: Lines>(&mut self, _line: usize, _bytes: &mut [u8], _reach: &mut Reach<'_, L>) -> Result<(), End> {
        Ok(())
    }

    fn on_gone<L: Lines>(&mut self, line: usize, was_ready: bool, reach: &mut Reach<'_, L>) {
        if !was_ready {
            self.under_way -= 1;
            self.failed += u64::from(self.measured);
            self.begin_life(line, reach);
        }
    }

    fn begin<L: Lines>(&mut self, part: Part, most: Option<u64>, reach: &mut Reach<'_, L>) {
        (self.measured, self.is_resting) = (part == Part::Measured, false);
        self.to_begin = most.unwrap_or(u64::MAX);
        for line in 0..self.at_once {
            self.begin_life(line, reach);
        }
    }

    fn on_turn<L: Lines>(&mut self, reach: &mut Reach<'_, L>) {
        if self.to_begin == 0 && self.is_resting {
            self.under_way -= reach.crowd.want_nobody() as u64;
        }
    }

    fn rest(&mut self, _now: super::Moment) {
        (self.to_begin, self.is_resting) = (0, true);
    }

    fn is_at_rest(&self) -> bool {
        self.under_way == 0
    }

    fn progress(&self) -> u64 {
        self.lived + self.failed
    }

    fn unanswered(&self) -> u64 {
        self.under_way
    }

    fn waits_for_all(&self) -> bool {
        false
    }

    fn pauses(&self) -> bool {
        true
    }
}
