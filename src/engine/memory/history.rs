//! One channel's publications in memory, and the position that outlives them. It reads no clock and arms no timer: it
//! says when something of it is due.

use super::super::{Epoch, HistoryBounds, Page, Position, Publication, PublicationBody, Query};
use crate::timer::Time;
use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

/// The newest publications of one life of a channel, without a hole between them.
///
/// The publications are forgotten at one moment, the position at a later one. What is due shows no more once
/// [`settle`](History::settle) was told the time.
pub(super) struct History {
    epoch: Epoch,
    /// The offset of the newest publication there ever was in this epoch, and of the last one in `kept` if any is.
    top: u64,
    kept: VecDeque<PublicationBody>,
    /// Of the last publication.
    ttl: Duration,
    forget_at: Time,
    /// Not before `forget_at`.
    end_at: Time,
}

/// What all histories together keep.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) publications: usize,
    /// Bodies, and the handles on them.
    pub(super) bytes: usize,
}

/// Clients count in doubles: beyond 2^53 two offsets might look the same to them.
const MAX_OFFSET: u64 = (1 << 53) - 1;

impl History {
    /// A life that begins now. Without a publication it ends after `ttl`.
    pub(super) fn new(epoch: Epoch, ttl: Duration, now: Time) -> Self {
        Self { epoch, top: 0, kept: VecDeque::new(), ttl, forget_at: now, end_at: now + ttl }
    }

    pub(super) fn position(&self) -> Position {
        Position { offset: self.top, epoch: self.epoch.clone() }
    }

    /// Whether every offset of this epoch has been given away.
    pub(super) fn is_used_up(&self) -> bool {
        self.top >= MAX_OFFSET
    }

    /// Appends a publication. The oldest go until no more than `bounds.size` are left.
    pub(super) fn push(&mut self, body: PublicationBody, bounds: HistoryBounds, now: Time, ledger: &mut Ledger) {
        let size = bounds.size.max(1);
        while self.kept.len() >= size {
            self.drop_oldest(ledger);
        }
        ledger.enter(&body);
        self.kept.push_back(body);
        self.top += 1;
        self.fit(size);
        self.ttl = bounds.ttl;
        self.forget_at = now + bounds.ttl;
        self.keep_position_from(self.forget_at);
    }

    /// Bytes that go when one more publication comes under these bounds.
    pub(super) fn outgoing_bytes(&self, bounds: HistoryBounds) -> usize {
        let count = (self.kept.len() + 1).saturating_sub(bounds.size.max(1));
        self.kept.iter().take(count).map(Ledger::cost).sum()
    }

    /// Who was shown the position may come back with it: it stays for the time to live, counted from `moment`.
    pub(super) fn keep_position_from(&mut self, moment: Time) {
        self.end_at = self.end_at.max(moment + self.ttl);
    }

    /// Forgets the publications and keeps the position; how many there were.
    pub(super) fn clear(&mut self, ledger: &mut Ledger) -> usize {
        let kept = std::mem::take(&mut self.kept);
        kept.iter().for_each(|body| ledger.leave(body));
        kept.len()
    }

    /// Forgets what is due; how many publications.
    pub(super) fn settle(&mut self, now: Time, ledger: &mut Ledger) -> usize {
        if self.forget_at <= now { self.clear(ledger) } else { 0 }
    }

    /// Whether the position too is to be forgotten, unless somebody lives by it.
    pub(super) fn has_ended(&self, now: Time) -> bool {
        self.end_at <= now
    }

    /// When publications have to be forgotten.
    pub(super) fn forget_at(&self) -> Option<Time> {
        (!self.kept.is_empty()).then_some(self.forget_at)
    }

    /// When the position may be forgotten.
    pub(super) fn end_at(&self) -> Time {
        self.end_at
    }

    /// What is asked for, in time that grows with what is returned alone.
    pub(super) fn page(&self, query: &Query) -> Page {
        let range = self.range(query);
        let limit = query.limit;
        let publications = match query.reverse {
            false => range.take(limit).filter_map(|index| self.publication(index)).collect(),
            true => range.rev().take(limit).filter_map(|index| self.publication(index)).collect(),
        };
        Page { position: self.position(), publications }
    }

    /// The indices of what is newer than asked for, or older where the newest come first.
    fn range(&self, query: &Query) -> Range<usize> {
        let len = self.kept.len();
        let Some((since, epoch)) = &query.since else {
            return 0..len;
        };
        if !epoch.is_empty() && *epoch != self.epoch {
            return 0..0;
        }
        if query.reverse { 0..self.index_from(*since) } else { self.index_from(since.saturating_add(1))..len }
    }

    /// The index of the first publication whose offset is `offset` or more.
    fn index_from(&self, offset: u64) -> usize {
        let len = self.kept.len();
        let index = offset.saturating_sub(self.first_offset());
        usize::try_from(index).map_or(len, |index| index.min(len))
    }

    /// The offset of the oldest publication; one above the top where there is none.
    fn first_offset(&self) -> u64 {
        self.top + 1 - self.kept.len() as u64
    }

    fn publication(&self, index: usize) -> Option<Publication> {
        let body = self.kept.get(index)?.clone();
        Some(Publication { offset: self.first_offset() + index as u64, body })
    }

    fn drop_oldest(&mut self, ledger: &mut Ledger) {
        if let Some(body) = self.kept.pop_front() {
            ledger.leave(&body);
        }
    }

    /// Gives back what a larger size once needed.
    fn fit(&mut self, size: usize) {
        if self.kept.capacity() > size.saturating_mul(2).max(MIN_CAPACITY) {
            self.kept.shrink_to(size);
        }
    }
}

/// What a queue of one takes at once.
const MIN_CAPACITY: usize = 4;

impl Ledger {
    /// What keeping a publication costs, in bytes.
    pub(super) fn cost(body: &PublicationBody) -> usize {
        body.len() + size_of::<PublicationBody>()
    }

    fn enter(&mut self, body: &PublicationBody) {
        self.publications += 1;
        self.bytes += Self::cost(body);
    }

    fn leave(&mut self, body: &PublicationBody) {
        self.publications -= 1;
        self.bytes -= Self::cost(body);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIVE: HistoryBounds = HistoryBounds { size: 5, ttl: Duration::from_secs(10) };

    /// A history of which `count` publications came, under bounds that keep five.
    fn history(count: u64) -> (History, Ledger) {
        let (mut history, mut ledger) = (History::new("e".into(), FIVE.ttl, Time::ZERO), Ledger::default());
        for number in 1..=count {
            history.push(number.to_string().into(), FIVE, Time::ZERO, &mut ledger);
        }
        (history, ledger)
    }

    fn check(history: &History, since: Option<(u64, &str)>, limit: usize, reverse: bool, expected: &[u64]) {
        let query = Query { since: since.map(|(offset, epoch)| (offset, epoch.into())), limit, reverse };
        let page = history.page(&query);
        let offsets: Vec<u64> = page.publications.iter().map(|publication| publication.offset).collect();
        assert_eq!(offsets, expected, "{query:?}");
        assert!(page.publications.iter().all(|shown| shown.body == shown.offset.to_string()), "{page:?}");
        assert_eq!(page.position, history.position());
    }

    #[test]
    fn a_page_begins_where_it_was_asked_to_and_ends_at_its_limit() {
        let (kept, _) = history(8); // 4 to 8 are there.
        check(&kept, None, 0, false, &[]);
        check(&kept, None, 9, false, &[4, 5, 6, 7, 8]);
        check(&kept, None, 2, false, &[4, 5]);
        check(&kept, Some((5, "e")), 9, false, &[6, 7, 8]);
        check(&kept, Some((5, "e")), 1, false, &[6]);
        check(&kept, Some((0, "e")), 2, false, &[4, 5]);
        check(&kept, Some((3, "e")), 2, false, &[4, 5]);
        check(&kept, Some((8, "e")), 9, false, &[]);
        check(&kept, Some((u64::MAX, "e")), 9, false, &[]);
        check(&kept, Some((6, "")), 9, false, &[7, 8]);
        check(&kept, Some((6, "other")), 9, false, &[]);
    }

    #[test]
    fn a_reversed_page_goes_down_from_before_its_beginning() {
        let (kept, _) = history(8);
        check(&kept, None, 0, true, &[]);
        check(&kept, None, 9, true, &[8, 7, 6, 5, 4]);
        check(&kept, None, 2, true, &[8, 7]);
        check(&kept, Some((7, "e")), 9, true, &[6, 5, 4]);
        check(&kept, Some((7, "e")), 2, true, &[6, 5]);
        check(&kept, Some((9, "e")), 1, true, &[8]);
        check(&kept, Some((u64::MAX, "e")), 1, true, &[8]);
        check(&kept, Some((4, "e")), 9, true, &[]);
        check(&kept, Some((0, "e")), 9, true, &[]);
        check(&kept, Some((7, "other")), 9, true, &[]);
    }

    #[test]
    fn a_history_without_publications_has_empty_pages() {
        let (mut kept, mut ledger) = history(8);
        assert_eq!(kept.clear(&mut ledger), 5);
        for reverse in [false, true] {
            for since in [None, Some((0, "e")), Some((8, "e")), Some((9, "e"))] {
                check(&kept, since, 9, reverse, &[]);
                check(&history(0).0, since, 9, reverse, &[]);
            }
        }
    }

    #[test]
    fn the_ledger_counts_what_is_kept() {
        let (mut kept, mut ledger) = history(8);
        let cost = 1 + size_of::<PublicationBody>();
        assert_eq!((ledger.publications, ledger.bytes), (5, 5 * cost));
        assert_eq!(kept.outgoing_bytes(FIVE), cost);
        assert_eq!(kept.outgoing_bytes(HistoryBounds { size: 2, ..FIVE }), 4 * cost);
        assert_eq!(kept.outgoing_bytes(HistoryBounds { size: 6, ..FIVE }), 0);
        kept.push("9".into(), HistoryBounds { size: 2, ..FIVE }, Time::ZERO, &mut ledger);
        assert_eq!((ledger.publications, ledger.bytes), (2, 2 * cost));
        kept.clear(&mut ledger);
        assert_eq!((ledger.publications, ledger.bytes), (0, 0));
    }

    #[test]
    fn a_smaller_size_gives_memory_back() {
        let (mut kept, mut ledger) = history(0);
        (0..1_000).for_each(|_| kept.push("x".into(), HistoryBounds { size: 1_000, ..FIVE }, Time::ZERO, &mut ledger));
        kept.push("x".into(), FIVE, Time::ZERO, &mut ledger);
        assert!(kept.kept.len() == 5 && kept.kept.capacity() <= 10);
    }

    #[test]
    fn the_last_offset_that_a_double_can_tell_apart_uses_an_epoch_up() {
        let (mut kept, mut ledger) = history(1);
        kept.top = (1 << 53) - 2;
        assert!(!kept.is_used_up());
        kept.push("x".into(), FIVE, Time::ZERO, &mut ledger);
        assert!(kept.is_used_up());
        assert_eq!(kept.position().offset, (1 << 53) - 1);
    }
}
