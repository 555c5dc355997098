//! Messages that a server sends back: so many under way on each connection, or so many a second over all of them. Every
//! byte that comes back is compared with the one that left.

mod check;

use super::hub::encode_pong;
use super::{Crowd, End, Lines, Moment, Opened, Pace, Part, Reach, Rings, Scene, dealt};
use check::Check;

/// The scene of `bench echo`.
#[derive(Debug)]
pub struct Echo {
    /// Of each target.
    rings: Vec<Rings>,
    lanes: Vec<Lane>,
    mode: Mode,
    /// Sent or due on open lanes, and not back.
    under_way: u64,
    came_back: u64,
    /// Sent or due on lanes that are gone.
    lost: u64,
    open_lanes: usize,
    has_wrong_content: bool,
}

#[derive(Debug)]
enum Mode {
    /// The next message leaves when one has come back.
    Closed {
        depth: usize,
        /// Messages that may still begin.
        to_begin: u64,
        measured: bool,
        /// When what is under way left: `depth` places for each lane.
        left_at: Vec<Moment>,
    },
    /// Messages leave when they are due, whatever has come back.
    Open {
        rate: f64,
        /// Set when it begins.
        pace: Option<Pace>,
        /// Messages that were dealt to lanes.
        dealt: u64,
        /// The numbers whose latency counts.
        window: std::ops::Range<u64>,
    },
}

/// What one connection has sent and had back.
#[derive(Debug, Default)]
struct Lane {
    /// Where in the ring the next message begins that is sent.
    send_at: usize,
    check: Check,
    in_flight: usize,
    /// Of an open loop: messages sent and had back since the beginning.
    sent: u64,
    received: u64,
    /// Of a closed loop: where among its places the oldest message under way stands.
    oldest: usize,
    is_open: bool,
}

/// How messages leave.
#[derive(Debug, Clone, Copy)]
pub enum Loop {
    /// So many under way on each connection.
    Closed {
        /// At least 1.
        depth: usize,
    },
    /// So many a second over all connections.
    Open {
        /// More than zero.
        rate: f64,
    },
}

impl Echo {
    /// Messages of `rings`, one for each target, over so many lanes.
    pub fn new(rings: Vec<Rings>, lanes: usize, how: Loop) -> Self {
        let targets = rings.len();
        let begun_at = |lane: usize| {
            let rings = &rings[lane % targets];
            let message = lane / targets % rings.requests.messages();
            let send_at = message * rings.requests.frame();
            Lane { send_at, check: Check::new(message * rings.answers.frame()), ..Lane::default() }
        };
        let mode = match how {
            Loop::Closed { depth } => {
                Mode::Closed { depth, to_begin: 0, measured: false, left_at: vec![Moment::ZERO; depth * lanes] }
            }
            Loop::Open { rate } => Mode::Open { rate, pace: None, dealt: 0, window: 0..0 },
        };
        Self {
            lanes: (0..lanes).map(begun_at).collect(),
            rings,
            mode,
            under_way: 0,
            came_back: 0,
            lost: 0,
            open_lanes: 0,
            has_wrong_content: false,
        }
    }

    /// Messages that were sent, or in an open loop were due, whose echo has not come: those of lost connections, and
    /// those under way.
    pub fn missing(&self) -> u64 {
        self.lost + self.unanswered()
    }

    /// Whether something came back that was not sent.
    pub fn has_wrong_content(&self) -> bool {
        self.has_wrong_content
    }

    /// Sends what may leave on a lane.
    #[inline]
    fn send<L: Lines>(&mut self, line: usize, reach: &mut Reach<'_, L>) {
        let lane = &mut self.lanes[line];
        match &mut self.mode {
            Mode::Closed { depth, to_begin, left_at, .. } => {
                let count = (*depth - lane.in_flight).min(usize::try_from(*to_begin).unwrap_or(usize::MAX));
                if count == 0 {
                    return;
                }
                *to_begin -= count as u64;
                let places = &mut left_at[line * *depth..][..*depth];
                for number in lane.in_flight..lane.in_flight + count {
                    let place = lane.oldest + number;
                    places[if place < *depth { place } else { place - *depth }] = reach.now;
                }
                lane.in_flight += count;
                self.under_way += count as u64;
                let ring = &self.rings[line % self.rings.len()].requests;
                leave(lane, ring, count, reach.lines, line);
            }
            Mode::Open { dealt: so_far, .. } => {
                let due = dealt(*so_far, line as u64, self.lanes.len() as u64);
                let lane = &mut self.lanes[line];
                let ring = &self.rings[line % self.rings.len()].requests;
                while lane.is_open && lane.sent < due && reach.lines.is_clear(line) {
                    let count = usize::try_from(due - lane.sent).unwrap_or(usize::MAX).min(ring.messages());
                    lane.sent += count as u64;
                    leave(lane, ring, count, reach.lines, line);
                }
            }
        }
    }

    /// Compares what came with what is due, and answers pings that stand between; how many messages are whole now.
    #[inline]
    fn take<L: Lines>(&mut self, line: usize, bytes: &mut [u8], reach: &mut Reach<'_, L>) -> Result<usize, End> {
        let rings = &self.rings[line % self.rings.len()];
        let check = &mut self.lanes[line].check;
        if let Some(whole) = check.take(bytes, rings) {
            return Ok(whole);
        }
        let Crowd { pool, jitter, out, .. } = &mut *reach.crowd;
        out.clear();
        let whole = check.take_apart(bytes, rings, pool, |ping| encode_pong(ping, jitter, out));
        if !out.is_empty() {
            reach.lines.send_copy(line, out);
        }
        whole
    }

    /// Notes that so many messages are back.
    #[inline]
    fn came<L>(&mut self, line: usize, count: usize, reach: &mut Reach<'_, L>) -> Result<(), End> {
        let lanes = self.lanes.len() as u64;
        let lane = &mut self.lanes[line];
        match &mut self.mode {
            Mode::Closed { depth, measured, left_at, .. } => {
                lane.in_flight = lane.in_flight.checked_sub(count).ok_or(End::Unasked)?;
                self.under_way -= count as u64;
                let places = &left_at[line * *depth..][..*depth];
                let mut left = count;
                while left > 0 {
                    // Messages that left together have one latency.
                    let at = places[lane.oldest];
                    let run = places[lane.oldest..].iter().take(left).take_while(|other| **other == at).count();
                    if *measured {
                        reach.record.latency(reach.now.nanos_since(at), run as u64);
                    }
                    lane.oldest = if lane.oldest + run < *depth { lane.oldest + run } else { 0 };
                    left -= run;
                }
            }
            Mode::Open { pace, window, .. } => {
                if lane.sent - lane.received < count as u64 {
                    return Err(End::Unasked);
                }
                self.under_way -= count as u64;
                for _ in 0..count {
                    let number = lane.received * lanes + line as u64;
                    lane.received += 1;
                    if window.contains(&number) {
                        let due_at = pace.as_ref().map_or(reach.now, |pace| pace.at(number));
                        reach.record.latency(reach.now.nanos_since(due_at), 1);
                    }
                }
            }
        }
        self.came_back += count as u64;
        reach.record.done(count as u64);
        Ok(())
    }
}

/// Sends so many messages from where the lane stands.
#[inline]
fn leave<L: Lines>(lane: &mut Lane, ring: &super::Ring, count: usize, lines: &mut L, line: usize) {
    let bytes = count * ring.frame();
    let from = lane.send_at;
    lane.send_at = ring.step(from, bytes);
    lines.send(line, ring.bytes(), from, from + bytes);
}

impl Scene for Echo {
    fn on_ready<L: Lines>(
        &mut self,
        line: usize,
        opened: Opened,
        _took: u64,
        reach: &mut Reach<'_, L>,
    ) -> Result<(), End> {
        let lane = &mut self.lanes[line];
        lane.is_open = true;
        self.open_lanes += 1;
        lane.check.go_on_with(opened.reader);
        self.send(line, reach);
        Ok(())
    }

    #[inline]
    fn on_bytes<L: Lines>(&mut self, line: usize, bytes: &mut [u8], reach: &mut Reach<'_, L>) -> Result<(), End> {
        let whole = self.take(line, bytes, reach).and_then(|whole| self.came(line, whole, reach).map(|()| whole));
        match whole {
            Ok(0) => Ok(()),
            Ok(_) => {
                self.send(line, reach);
                Ok(())
            }
            Err(end) => {
                self.has_wrong_content |= end.is_wrong_content();
                Err(end)
            }
        }
    }

    fn on_drained<L: Lines>(&mut self, line: usize, reach: &mut Reach<'_, L>) {
        if matches!(self.mode, Mode::Open { .. }) {
            self.send(line, reach);
        }
    }

    fn on_gone<L: Lines>(&mut self, line: usize, was_ready: bool, reach: &mut Reach<'_, L>) {
        if !was_ready {
            return;
        }
        let lane = &mut self.lanes[line];
        lane.is_open = false;
        self.open_lanes -= 1;
        lane.check.clear(&mut reach.crowd.pool);
        let lost = match &self.mode {
            Mode::Closed { .. } => std::mem::take(&mut lane.in_flight) as u64,
            Mode::Open { dealt: so_far, .. } => {
                dealt(*so_far, line as u64, self.lanes.len() as u64) - self.lanes[line].received
            }
        };
        self.under_way -= lost;
        self.lost += lost;
    }

    fn begin<L: Lines>(&mut self, part: Part, most: Option<u64>, reach: &mut Reach<'_, L>) {
        match &mut self.mode {
            Mode::Closed { to_begin, measured, .. } => {
                (*to_begin, *measured) = (most.unwrap_or(u64::MAX), part == Part::Measured);
                for line in 0..self.lanes.len() {
                    if self.lanes[line].is_open {
                        self.send(line, reach);
                    }
                }
            }
            Mode::Open { rate, pace, dealt, window } => {
                let now = reach.now;
                pace.get_or_insert_with(|| Pace::new(now, *rate));
                *window = match part {
                    Part::WarmUp => u64::MAX..u64::MAX,
                    // What is due from here on counts.
                    Part::Measured => *dealt..most.map_or(u64::MAX, |most| *dealt + most),
                };
            }
        }
    }

    fn on_turn<L: Lines>(&mut self, reach: &mut Reach<'_, L>) {
        let Mode::Open { pace: Some(pace), dealt: so_far, window, .. } = &mut self.mode else {
            return;
        };
        let (from, due) = (*so_far, pace.due(reach.now).min(window.end));
        if due <= from {
            return;
        }
        reach.record.lag(reach.now.nanos_since(pace.at(from)));
        *so_far = due;
        let lanes = self.lanes.len() as u64;
        self.under_way += due - from;
        if self.open_lanes < self.lanes.len() {
            let gone = self.lanes.iter().enumerate().filter(|(_, lane)| !lane.is_open);
            let of = |line: usize| dealt(due, line as u64, lanes) - dealt(from, line as u64, lanes);
            let lost: u64 = gone.map(|(line, _)| of(line)).sum();
            self.under_way -= lost;
            self.lost += lost;
        }
        for number in from..due.min(from + lanes) {
            self.send(usize::try_from(number % lanes).unwrap_or(0), reach);
        }
    }

    fn next_at(&self) -> Option<Moment> {
        match &self.mode {
            Mode::Closed { .. } => None,
            Mode::Open { pace, dealt, window, .. } => {
                pace.as_ref().filter(|_| *dealt < window.end).map(|pace| pace.at(*dealt))
            }
        }
    }

    fn rest(&mut self, now: Moment) {
        match &mut self.mode {
            Mode::Closed { to_begin, .. } => *to_begin = 0,
            Mode::Open { pace, window, .. } => {
                let due = pace.as_ref().map_or(0, |pace| pace.due(now));
                window.end = window.end.min(due);
                window.start = window.start.min(window.end);
            }
        }
    }

    fn is_at_rest(&self) -> bool {
        match &self.mode {
            Mode::Closed { to_begin, .. } => self.under_way == 0 && (*to_begin == 0 || self.open_lanes == 0),
            Mode::Open { dealt, window, .. } => *dealt >= window.end && self.under_way == 0,
        }
    }

    fn progress(&self) -> u64 {
        self.came_back
    }

    fn unanswered(&self) -> u64 {
        self.under_way
    }

    fn can_go_on(&self) -> bool {
        self.open_lanes > 0
    }

    fn pauses(&self) -> bool {
        matches!(self.mode, Mode::Closed { .. })
    }
}
