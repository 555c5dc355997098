//! What a load has measured: latencies, a row for each second, errors by kind, and how late the load itself was.

use super::{End, Moment};
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::time::Duration;

/// Everything measured, from [`Record::begin`] to [`Record::end`].
#[derive(Debug)]
pub struct Record {
    window: Window,
    /// Of the second under way; `total` has those before.
    second: Histogram<u64>,
    total: Histogram<u64>,
    done_before: u64,
    done: u64,
    errors_before: u64,
    series: Vec<Second>,
    errors: Errors,
    lags: Histogram<u64>,
    turns: Histogram<u64>,
}

#[derive(Debug, Clone, Copy)]
enum Window {
    Ahead,
    Open { began: Moment, cut_at: Moment },
    Closed { began: Moment, ended: Moment },
}

/// One second of the series, or what was left of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Second {
    /// When it ended, in seconds since the window began.
    pub at: f64,
    /// How long it was, in seconds.
    pub seconds: f64,
    /// What was done in it: messages, deliveries or connections.
    pub count: u64,
    /// Latency in nanoseconds: half, 90 %, 99 %, 99.9 % and all of them were within these. Zero where there was none.
    pub percentiles: [u64; 5],
    /// Errors in it.
    pub errors: u64,
}

/// The shares of [`Second::percentiles`].
pub const SHARES: [f64; 5] = [0.5, 0.9, 0.99, 0.999, 1.0];

/// Latencies below are counted as this, in nanoseconds.
const SHORTEST: u64 = 64;
/// Latencies above are counted as this: an hour.
const LONGEST: u64 = 3_600_000_000_000;
/// Digits that a latency is kept to.
const DIGITS: u8 = 3;
/// Rows of the series: a day's. Later seconds count in the totals only.
const MAX_ROWS: usize = 86_400;
const A_SECOND: Duration = Duration::from_secs(1);
const SCRAP: Duration = Duration::from_millis(250);

impl Default for Record {
    fn default() -> Self {
        Self {
            window: Window::Ahead,
            second: histogram(),
            total: histogram(),
            done_before: 0,
            done: 0,
            errors_before: 0,
            series: Vec::new(),
            errors: Errors::default(),
            lags: histogram(),
            turns: histogram(),
        }
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(SHORTEST, LONGEST, DIGITS).expect("the bounds are in order")
}

impl Record {
    /// The measured window begins. What was done before is forgotten, but no error is.
    pub fn begin(&mut self, now: Moment) {
        self.window = Window::Open { began: now, cut_at: now };
        for histogram in [&mut self.second, &mut self.total, &mut self.lags, &mut self.turns] {
            histogram.reset();
        }
        (self.done_before, self.done, self.errors_before) = (0, 0, self.errors.total());
    }

    /// The measured window ends. Latencies of what is still to come back count.
    pub fn end(&mut self, now: Moment) {
        if let Window::Open { began, cut_at } = self.window {
            match self.series.last_mut() {
                // What is too short to be a row of its own joins the last one.
                Some(last) if now < cut_at + SCRAP => {
                    last.at = (now - began).as_secs_f64();
                    last.seconds += (now - cut_at).as_secs_f64();
                    last.count += self.done - self.done_before;
                    last.errors += self.errors.total() - self.errors_before;
                }
                _ if now > cut_at => self.cut(began, cut_at, now),
                _ => {}
            }
            self.window = Window::Closed { began, ended: now };
        }
    }

    /// Closes the second under way if it is over.
    #[inline]
    pub fn tick(&mut self, now: Moment) {
        if let Window::Open { began, cut_at } = self.window
            && now >= cut_at + A_SECOND
        {
            self.cut(began, cut_at, now);
            self.window = Window::Open { began, cut_at: now };
        }
    }

    /// When [`Record::tick`] has something to do.
    pub fn tick_at(&self) -> Option<Moment> {
        match self.window {
            Window::Open { cut_at, .. } => Some(cut_at + A_SECOND),
            Window::Ahead | Window::Closed { .. } => None,
        }
    }

    /// `count` of what is counted came with this latency.
    #[inline]
    pub fn latency(&mut self, nanos: u64, count: u64) {
        // It can't fail: no latency is beyond the bounds.
        let _ = self.second.record_n(nanos.min(LONGEST), count);
    }

    /// `count` of what is counted was done. Outside of the window it is nothing.
    #[inline]
    pub fn done(&mut self, count: u64) {
        if matches!(self.window, Window::Open { .. }) {
            self.done += count;
        }
    }

    /// A connection ended with an error, or something else went wrong.
    pub fn error(&mut self, end: &End) {
        self.errors.count(end.to_string(), 1);
    }

    /// So many errors of a kind that is no end of a connection.
    pub fn errors_of(&mut self, kind: &str, count: u64) {
        if count > 0 {
            self.errors.count(kind.to_owned(), count);
        }
    }

    /// How late the load was to look at what was due.
    #[inline]
    pub fn lag(&mut self, nanos: u64) {
        let _ = self.lags.record(nanos.min(LONGEST));
    }

    /// How long a turn of the loop took.
    #[inline]
    pub fn turn(&mut self, nanos: u64) {
        let _ = self.turns.record(nanos.min(LONGEST));
    }

    /// What was done in the window.
    pub fn total_done(&self) -> u64 {
        self.done
    }

    /// How long the window is, or was until now.
    pub fn elapsed(&self, now: Moment) -> Duration {
        match self.window {
            Window::Ahead => Duration::ZERO,
            Window::Open { began, .. } => now - began,
            Window::Closed { began, ended } => ended - began,
        }
    }

    /// All latencies, in nanoseconds.
    pub fn latencies(&self) -> Histogram<u64> {
        let mut all = self.total.clone();
        // They have the same bounds.
        let _ = all.add(&self.second);
        all
    }

    /// Whether there are no latencies.
    pub fn latencies_are_none(&self) -> bool {
        self.total.is_empty() && self.second.is_empty()
    }

    /// How late the load was.
    pub fn lags(&self) -> &Histogram<u64> {
        &self.lags
    }

    /// How long the turns of its loop were.
    pub fn turns(&self) -> &Histogram<u64> {
        &self.turns
    }

    /// A row for each second.
    pub fn series(&self) -> &[Second] {
        &self.series
    }

    /// Errors by kind.
    pub fn errors(&self) -> &Errors {
        &self.errors
    }

    fn cut(&mut self, began: Moment, cut_at: Moment, now: Moment) {
        let percentiles = SHARES.map(|share| value_at(&self.second, share));
        let row = Second {
            at: (now - began).as_secs_f64(),
            seconds: (now - cut_at).as_secs_f64(),
            count: self.done - self.done_before,
            percentiles,
            errors: self.errors.total() - self.errors_before,
        };
        if self.series.len() < MAX_ROWS {
            self.series.push(row);
        }
        let _ = self.total.add(&self.second);
        self.second.reset();
        (self.done_before, self.errors_before) = (self.done, self.errors.total());
    }
}

/// The latency that this share of all is within; zero where there is none.
pub fn value_at(histogram: &Histogram<u64>, share: f64) -> u64 {
    if histogram.is_empty() { 0 } else { histogram.value_at_quantile(share).min(histogram.max()) }
}

/// Errors by kind: at most 64 of them, and the rest together.
#[derive(Debug, Default)]
pub struct Errors {
    kinds: BTreeMap<String, u64>,
}

/// Kinds that are told apart.
const MAX_KINDS: usize = 64;
const OTHERS: &str = "others";

impl Errors {
    fn count(&mut self, kind: String, count: u64) {
        let is_full = self.kinds.len() >= MAX_KINDS && !self.kinds.contains_key(&kind);
        *self.kinds.entry(if is_full { OTHERS.to_owned() } else { kind }).or_default() += count;
    }

    /// Of all kinds.
    pub fn total(&self) -> u64 {
        self.kinds.values().sum()
    }

    /// Kind and number, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.kinds.iter().map(|(kind, count)| (kind.as_str(), *count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn a_row_holds_its_second_and_the_total_all_of_them() {
        let mut record = Record::default();
        record.latency(9_000_000, 5);
        record.begin(at(500));
        for (now, latency, count) in [(600, 1_000, 3), (1499, 2_000, 1), (1700, 50_000, 2)] {
            record.tick(at(now));
            record.latency(latency, count);
            record.done(count);
        }
        record.tick(at(1501));
        record.error(&End::PLAIN_CLOSE);
        record.end(at(2000));
        let rows: Vec<_> = record.series().iter().map(|row| (row.at, row.count, row.errors)).collect();
        assert_eq!(rows, [(1.2, 4, 0), (1.5, 2, 1)]);
        assert!((record.series()[0].seconds - 1.2).abs() < 1e-9 && record.series()[1].percentiles[4] / 100 == 500);
        let all = record.latencies();
        assert_eq!((all.len(), record.total_done(), record.elapsed(at(9999))), (6, 6, Duration::from_millis(1500)));
        assert!(all.max() >= 50_000 && all.min() <= 1_000, "what came before the window is not in it");
    }

    #[test]
    fn latencies_keep_three_digits() {
        let mut record = Record::default();
        record.begin(at(0));
        for nanos in [1_234, 56_789, 1_234_567, 987_654_321] {
            record.latency(nanos, 1);
            let read = record.latencies().max();
            assert!(read.abs_diff(nanos) <= (nanos / 1000).max(SHORTEST), "{nanos} is read as {read}");
        }
    }

    #[test]
    fn kinds_of_errors_are_bounded_and_their_number_is_not() {
        let mut errors = Errors::default();
        (0..1000).for_each(|number| errors.count(format!("kind {number:04}"), 2));
        assert_eq!((errors.total(), errors.iter().count()), (2000, MAX_KINDS + 1));
    }
}
