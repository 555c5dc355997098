//! All connections of a load: who is to be opened next, who is being opened, who is ready. It opens so many at once, so
//! many a second, and gives up who takes too long.

use super::opening::{Opening, Progress, Tools};
use super::{End, Entrance, Lines, Moment, Opened, Pace, Ticket};
use crate::buffer::Pool;
use crate::timer::Jitter;
use std::collections::VecDeque;
use std::time::Duration;

/// Every connection, by the number of its line. Lines are dealt to the targets in turn.
#[derive(Debug)]
pub struct Crowd {
    entrances: Vec<Entrance>,
    members: Vec<Member>,
    wanted: VecDeque<usize>,
    /// In the order of their deadlines; a member's serial tells whether it still means this opening.
    deadlines: VecDeque<(Moment, usize, u32)>,
    rules: Rules,
    pace: Option<Pace>,
    begun: u64,
    opening: usize,
    ready: usize,
    tallies: Vec<Tally>,
    /// For keys and masks.
    pub jitter: Jitter,
    /// For what is unfinished.
    pub pool: Pool,
    /// Bytes to be sent, for a moment.
    pub out: Vec<u8>,
}

/// How fast connections are opened.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Openings at once.
    pub at_once: usize,
    /// Openings begun in a second.
    pub rate: Option<f64>,
    /// How long one may take.
    pub timeout: Duration,
}

/// How a target has answered.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Connections that became ready, ever.
    pub ready: u64,
    /// Openings that failed, ever.
    pub failed: u64,
    /// How the first of them did.
    pub first_failure: Option<End>,
}

#[derive(Debug)]
struct Member {
    stage: Stage,
    serial: u32,
    began: Moment,
}

#[derive(Debug)]
enum Stage {
    Closed,
    Connecting,
    Opening(Box<Opening>),
    Ready,
}

/// What became of a line.
#[derive(Debug)]
pub enum Outcome {
    /// There is more to come.
    GoesOn,
    /// It is ready, so many nanoseconds after it began to connect.
    Ready(Opened, u64),
    /// It failed, and has to be closed.
    Failed(End),
}

impl Crowd {
    /// `count` lines, none of them open.
    pub fn new(entrances: Vec<Entrance>, count: usize, rules: Rules, seed: u64) -> Self {
        let closed = || Member { stage: Stage::Closed, serial: 0, began: Moment::ZERO };
        Self {
            tallies: vec![Tally::default(); entrances.len()],
            entrances,
            members: (0..count).map(|_| closed()).collect(),
            wanted: VecDeque::new(),
            deadlines: VecDeque::new(),
            rules,
            pace: None,
            begun: 0,
            opening: 0,
            ready: 0,
            jitter: Jitter::new(seed),
            pool: Pool::new(4 << 20),
            out: Vec::new(),
        }
    }

    /// How many lines there are.
    pub fn size(&self) -> usize {
        self.members.len()
    }

    /// Whether this line is ready.
    #[inline]
    pub fn is_ready(&self, line: usize) -> bool {
        matches!(self.members[line].stage, Stage::Ready)
    }

    /// Lines that are ready.
    pub fn ready(&self) -> usize {
        self.ready
    }

    /// Whether nobody waits to be opened or is being opened.
    pub fn is_settled(&self) -> bool {
        self.wanted.is_empty() && self.opening == 0
    }

    /// How each target has answered.
    pub fn tallies(&self) -> &[Tally] {
        &self.tallies
    }

    /// The target of a line.
    #[inline]
    pub fn target(&self, line: usize) -> usize {
        line % self.entrances.len()
    }

    /// How a line begins.
    pub fn entrance(&self, line: usize) -> &Entrance {
        &self.entrances[line % self.entrances.len()]
    }

    /// Opens this line when its turn comes.
    pub fn want(&mut self, line: usize) {
        self.wanted.push_back(line);
    }

    /// Opens nobody who waits for it any more; how many there were.
    pub fn want_nobody(&mut self) -> usize {
        std::mem::take(&mut self.wanted).len()
    }

    /// How fast lines are opened from here on, and that the pace begins anew.
    pub fn set_rules(&mut self, rules: Rules) {
        (self.rules, self.pace, self.begun) = (rules, None, 0);
    }

    /// Begins to open whose turn it is.
    pub fn open_due<L: Lines>(&mut self, now: Moment, lines: &mut L) {
        let mut allowed = u64::MAX;
        if let Some(rate) = self.rules.rate.filter(|_| !self.wanted.is_empty()) {
            allowed = self.pace.get_or_insert_with(|| Pace::new(now, rate)).due(now) - self.begun;
        }
        while allowed > 0
            && self.opening < self.rules.at_once
            && let Some(line) = self.wanted.pop_front()
        {
            let member = &mut self.members[line];
            assert!(matches!(member.stage, Stage::Closed), "only closed lines are opened");
            member.stage = Stage::Connecting;
            member.serial = member.serial.wrapping_add(1);
            // Where they have a schedule, waiting for a place is a part of the time.
            member.began = self.pace.map_or(now, |pace| pace.at(self.begun).min(now));
            self.deadlines.push_back((now + self.rules.timeout, line, member.serial));
            self.opening += 1;
            self.begun += 1;
            allowed -= 1;
            lines.open(line);
        }
    }

    /// When [`Crowd::open_due`] or [`Crowd::overdue`] has something to do.
    pub fn next_at(&self) -> Option<Moment> {
        let may_open = !self.wanted.is_empty() && self.opening < self.rules.at_once;
        let turn = may_open.then(|| self.pace.map_or(Moment::ZERO, |pace| pace.at(self.begun)));
        let deadline = self.deadlines.front().map(|(at, ..)| *at);
        turn.into_iter().chain(deadline).min()
    }

    /// A line that takes too long to open, if there is one. It has to be closed.
    pub fn overdue(&mut self, now: Moment) -> Option<usize> {
        while let Some((at, line, serial)) = self.deadlines.front().copied() {
            let member = &self.members[line];
            let is_opening = matches!(member.stage, Stage::Connecting | Stage::Opening(_)) && member.serial == serial;
            if is_opening && at > now {
                return None;
            }
            self.deadlines.pop_front();
            if is_opening {
                return Some(line);
            }
        }
        None
    }

    /// A line is connected; what it has to say first is in `out`.
    pub fn on_connected(&mut self, line: usize, ticket: Ticket, now: Moment) -> Outcome {
        self.advance(line, now, |_, tools| Opening::begin(ticket, tools))
    }

    /// Bytes came on a line that is not ready; what it has to answer is in `out`.
    pub fn on_bytes(&mut self, line: usize, bytes: &mut &mut [u8], now: Moment) -> Outcome {
        self.advance(line, now, |stage, tools| match stage {
            Stage::Opening(opening) => opening.go_on(bytes, tools),
            Stage::Closed | Stage::Connecting | Stage::Ready => unreachable!("bytes come on lines that stand"),
        })
    }

    fn advance(
        &mut self,
        line: usize,
        now: Moment,
        step: impl FnOnce(Stage, &mut Tools<'_>) -> Result<Progress, End>,
    ) -> Outcome {
        self.out.clear();
        let entrance = &self.entrances[line % self.entrances.len()];
        let mut tools = Tools { entrance, jitter: &mut self.jitter, pool: &mut self.pool, out: &mut self.out };
        let member = &mut self.members[line];
        match step(std::mem::replace(&mut member.stage, Stage::Connecting), &mut tools) {
            Ok(Progress::GoOn(opening)) => {
                member.stage = Stage::Opening(opening);
                Outcome::GoesOn
            }
            Ok(Progress::Ready(opened)) => {
                member.stage = Stage::Ready;
                self.opening -= 1;
                self.ready += 1;
                self.tallies[line % self.entrances.len()].ready += 1;
                Outcome::Ready(opened, now.nanos_since(member.began))
            }
            Err(end) => Outcome::Failed(end),
        }
    }

    /// A line is closed, whoever closed it. Whether it had been ready.
    pub fn on_closed(&mut self, line: usize) -> bool {
        match std::mem::replace(&mut self.members[line].stage, Stage::Closed) {
            Stage::Closed => false,
            Stage::Connecting => {
                self.opening -= 1;
                false
            }
            Stage::Opening(mut opening) => {
                opening.clear(&mut self.pool);
                self.opening -= 1;
                false
            }
            Stage::Ready => {
                self.ready -= 1;
                true
            }
        }
    }

    /// Notes that an opening failed.
    pub fn on_failed(&mut self, line: usize, end: &End) {
        let target = self.target(line);
        let tally = &mut self.tallies[target];
        tally.failed += 1;
        tally.first_failure.get_or_insert_with(|| end.clone());
    }
}
