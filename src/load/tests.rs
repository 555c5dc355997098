//! Loads over lines in memory, on a clock that the test moves: what is sent when, and what is noticed of servers that are
//! late, lose, double or reorder.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod echo;
mod fanout;
mod storm;

use super::{Crowd, End, Entrance, Lines, Moment, Phase, Plan, Play, Rules, Run, Scene};
use crate::wire::Wire;
use bytes::Bytes;
use std::collections::VecDeque;
use std::time::Duration;

/// Lines whose other end is the test.
#[derive(Debug, Default)]
struct Pipes {
    sent: Vec<Vec<u8>>,
    opened: VecDeque<usize>,
    resets: u64,
    /// Takes nothing: all that is sent waits.
    is_stuck: bool,
    waiting: Vec<usize>,
}

impl Lines for Pipes {
    fn open(&mut self, line: usize) {
        self.opened.push_back(line);
    }

    fn send(&mut self, line: usize, bytes: &Bytes, from: usize, to: usize) {
        self.send_copy(line, &bytes[from..to]);
    }

    fn send_copy(&mut self, line: usize, bytes: &[u8]) {
        self.sent[line].extend_from_slice(bytes);
        if self.is_stuck {
            self.waiting.push(line);
        }
    }

    fn is_clear(&self, line: usize) -> bool {
        !self.waiting.contains(&line)
    }

    fn reset(&mut self, line: usize) {
        self.sent[line].clear();
        self.resets += 1;
    }
}

/// A load, its lines and its clock.
struct Rig<S: Scene> {
    run: Run<S>,
    pipes: Pipes,
    now: Moment,
}

const MILLI: Duration = Duration::from_millis(1);

fn plan(duration: Duration, most: Option<u64>) -> Plan {
    Plan { warm_up: Duration::ZERO, duration, most, patience: Duration::from_secs(1) }
}

impl<S: Scene> Rig<S> {
    /// So many lines of one target, all of them begun.
    fn new(scene: S, wire: Wire, hub: bool, lines: usize, plan: Plan) -> Self {
        let entrance = Entrance { wire, host: "h:1".to_owned(), path: String::new(), hub, token: None, size: 64 };
        let rules = Rules { at_once: usize::MAX, rate: None, timeout: Duration::from_secs(5) };
        let crowd = Crowd::new(vec![entrance], lines, rules, 1);
        let pipes = Pipes { sent: vec![Vec::new(); lines], ..Pipes::default() };
        let mut rig = Self { run: Run::new(scene, crowd, plan), pipes, now: Moment::from_nanos(1_000_000) };
        rig.run.on_start(rig.now, &mut rig.pipes);
        rig
    }

    /// Connects all who wait for it.
    fn connect(&mut self) {
        while let Some(line) = self.pipes.opened.pop_front() {
            self.run.on_connected(line, self.now, &mut self.pipes);
        }
    }

    /// A turn of the loop, and what its driver does at both ends of the window.
    fn turn(&mut self) {
        self.run.on_turn(self.now, &mut self.pipes);
        match self.run.phase() {
            Phase::AtStart => self.run.start(self.now, &mut self.pipes),
            Phase::AtEnd => self.run.finish(self.now),
            _ => {}
        }
    }

    fn wait(&mut self, time: Duration) {
        self.now = self.now + time;
        self.turn();
    }

    /// What was sent on a line since the last call.
    fn take(&mut self, line: usize) -> Vec<u8> {
        std::mem::take(&mut self.pipes.sent[line])
    }

    fn give(&mut self, line: usize, bytes: &[u8]) {
        self.run.on_bytes(line, &mut bytes.to_vec(), self.now, &mut self.pipes);
    }

    fn close(&mut self, line: usize) {
        self.run.on_ended(line, End::PLAIN_CLOSE, self.now, &mut self.pipes);
    }

    fn is_over(&self) -> bool {
        self.run.phase() == Phase::Over
    }

    fn errors(&self) -> Vec<(String, u64)> {
        self.run.record.errors().iter().map(|(kind, count)| (kind.to_owned(), count)).collect()
    }
}
