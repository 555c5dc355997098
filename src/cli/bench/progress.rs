//! What is said while a bench runs: one line that is written over on a terminal, a line every few seconds elsewhere.

use super::numbers::{grouped, micros, rounded};
use crate::load::{Crowd, Moment, Phase, Record};
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

/// Tells how a bench goes, on stderr.
#[derive(Debug)]
pub(super) struct Progress {
    mode: Mode,
    unit: &'static str,
    next: Moment,
    rows: usize,
    shown: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Silent,
    Line,
    Lines,
}

/// How often a line is written over.
const OFTEN: Duration = Duration::from_millis(250);
/// How often a line is added.
const SELDOM: Duration = Duration::from_secs(5);

impl Progress {
    /// What is counted is called `unit`.
    pub(super) fn new(quiet: bool, unit: &'static str) -> Self {
        let mode = match quiet {
            true => Mode::Silent,
            false if io::stderr().is_terminal() => Mode::Line,
            false => Mode::Lines,
        };
        Self { mode, unit, next: Moment::ZERO + if mode == Mode::Line { OFTEN } else { SELDOM }, rows: 0, shown: false }
    }

    /// Says how it goes if it is time to.
    #[inline]
    pub(super) fn tell(&mut self, now: Moment, phase: Phase, crowd: &Crowd, record: &Record) {
        if self.mode == Mode::Silent || now < self.next {
            return;
        }
        self.next = now + if self.mode == Mode::Line { OFTEN } else { SELDOM };
        let text = match phase {
            Phase::Opening => {
                format!("opening: {} of {}", grouped(crowd.ready() as u64), grouped(crowd.size() as u64))
            }
            Phase::WarmingUp(_) | Phase::AtStart => "warming up".to_owned(),
            Phase::Measuring(_) => match self.measured(now, crowd, record) {
                Some(text) => text,
                None => return,
            },
            Phase::AtEnd | Phase::Draining => "waiting for what is under way".to_owned(),
            Phase::Over => return,
        };
        self.show(&text);
    }

    /// Leaves a clean line.
    pub(super) fn end(&mut self) {
        if self.shown && self.mode == Mode::Line {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }

    fn measured(&mut self, now: Moment, crowd: &Crowd, record: &Record) -> Option<String> {
        let rows = record.series();
        let fresh = &rows[self.rows.min(rows.len())..];
        let last = rows.last()?;
        let rows_shown = if self.mode == Mode::Lines && !fresh.is_empty() { fresh } else { std::slice::from_ref(last) };
        self.rows = rows.len();
        let (count, seconds): (u64, f64) =
            rows_shown.iter().fold((0, 0.0), |(count, seconds), row| (count + row.count, seconds + row.seconds));
        let [half, _, most, ..] = last.percentiles.map(micros);
        let (elapsed, errors) = (record.elapsed(now).as_secs_f64(), record.errors().total());
        if record.latencies_are_none() {
            let ready = grouped(crowd.ready() as u64);
            return Some(format!("{elapsed:3.0} s  {ready} ready  {} errors", grouped(errors)));
        }
        Some(format!(
            "{elapsed:3.0} s  {} {}/s  p50 {} us  p99 {} us  {} errors",
            rounded(count as f64 / seconds),
            self.unit,
            rounded(half),
            rounded(most),
            grouped(errors)
        ))
    }

    fn show(&mut self, text: &str) {
        self.shown = true;
        // Nobody may be left to see it.
        let _ = match self.mode {
            Mode::Silent => Ok(()),
            Mode::Line => write!(io::stderr(), "\r\x1b[K{text}"),
            Mode::Lines => writeln!(io::stderr(), "{text}"),
        };
    }
}
