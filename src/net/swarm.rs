//! Very many outgoing connections on one thread: the driver of a load. It decides nothing but the order of a turn.

mod alarm;
mod lines;
mod slot;
mod target;

use super::clock::Clock;
use super::signals::Orders;
use crate::load::{Moment, Play};
use alarm::Alarm;
use mio::{Events, Poll, Token};
use std::fmt;
use std::io::{self, ErrorKind};
use std::time::Duration;

pub use lines::SocketLines;
pub use target::{Source, Target, TargetError};

/// A load on real sockets, in the thread that turns it.
pub struct Swarm<P> {
    poll: Poll,
    events: Events,
    clock: Clock,
    alarm: Alarm,
    signals: Option<Orders>,
    lines: SocketLines,
    play: P,
    began: bool,
    last_turn: u64,
}

const ALARM: Token = Token(0);
const SIGNALS: Token = Token(1);
/// Tokens of lines have a serial number from 1 above these bits.
const LINE_BITS: u32 = 24;
/// Events of one wait, which bounds a turn.
const MAX_EVENTS: usize = 1024;

impl<P: Play> Swarm<P> {
    /// So many lines, dealt to the targets and the sources in turn; none is open.
    pub fn new(play: P, targets: Vec<Target>, sources: Vec<Source>, lines: usize) -> io::Result<Self> {
        assert!(!targets.is_empty() && lines < 1 << LINE_BITS, "lines have targets, and their numbers fit a token");
        let poll = Poll::new()?;
        let registry = poll.registry().try_clone()?;
        Ok(Self {
            alarm: Alarm::new(poll.registry(), ALARM)?,
            poll,
            events: Events::with_capacity(MAX_EVENTS),
            clock: Clock::start(),
            signals: None,
            lines: SocketLines::new(registry, targets, sources, lines),
            play,
            began: false,
            last_turn: 0,
        })
    }

    /// Makes a turn tell of SIGTERM and SIGINT in place of ending the process by them.
    pub fn catch_signals(&mut self) -> io::Result<()> {
        self.signals = Some(Orders::register(self.poll.registry(), SIGNALS)?);
        Ok(())
    }

    /// The moment.
    pub fn now(&self) -> Moment {
        self.clock.moment()
    }

    /// What is played.
    pub fn play(&self) -> &P {
        &self.play
    }

    /// The same, to be changed.
    pub fn play_mut(&mut self) -> &mut P {
        &mut self.play
    }

    /// Plays with the lines outside of a turn.
    pub fn act(&mut self, act: impl FnOnce(&mut P, Moment, &mut SocketLines)) {
        let now = self.clock.moment();
        act(&mut self.play, now, &mut self.lines);
        self.lines.settle(&mut self.play, &self.clock);
    }

    /// How long the last turn worked, in nanoseconds, without its wait.
    pub fn last_turn_nanos(&self) -> u64 {
        self.last_turn
    }

    /// Waits for something to happen, at most `max_wait`, and acts on it. How many signals came. Fails only where the
    /// poll does.
    pub fn turn(&mut self, max_wait: Duration) -> io::Result<usize> {
        if !std::mem::replace(&mut self.began, true) {
            self.act(|play, now, lines| play.on_start(now, lines));
        }
        self.wait(max_wait)?;
        let woken = self.clock.moment();
        let mut signalled = false;
        for event in &self.events {
            match event.token() {
                ALARM => {}
                SIGNALS => signalled = true,
                _ => self.lines.on_event(event, &mut self.play, &self.clock),
            }
        }
        self.lines.read_on(&mut self.play, &self.clock);
        self.play.on_turn(self.clock.moment(), &mut self.lines);
        self.lines.settle(&mut self.play, &self.clock);
        self.last_turn = self.clock.moment().nanos_since(woken);
        let orders = self.signals.as_mut().filter(|_| signalled);
        Ok(orders.map_or(0, |orders| orders.take().len()))
    }

    fn wait(&mut self, max_wait: Duration) -> io::Result<()> {
        let next = if self.lines.has_unread() { Some(Moment::ZERO) } else { self.play.next_at() };
        let timeout = match next {
            None => max_wait,
            Some(at) => {
                let now = self.clock.moment();
                if at <= now { Duration::ZERO } else { self.alarm.set(at, now, max_wait)? }
            }
        };
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                self.events.clear();
                Ok(())
            }
            result => result,
        }
    }
}

impl<P> fmt::Debug for Swarm<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Swarm").field("lines", &self.lines).finish_non_exhaustive()
    }
}
