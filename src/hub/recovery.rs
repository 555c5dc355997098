//! Whether what a subscriber missed can be given back whole. Pure: positions and publications in, a verdict out.

use super::reply::{Gap, GapReason};
use crate::engine::{Page, Position, Publication};

/// Where a returning subscriber says it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Recover {
    /// The newest offset it has.
    pub(super) offset: u64,
    /// The epoch it knows; empty where it knows none, which agrees with any.
    pub(super) epoch: Box<str>,
}

/// What a subscriber is told and where it stands then.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Everything it missed is in `publications`.
    pub(super) recovered: bool,
    /// What it missed, in order; nothing where that is not whole.
    pub(super) publications: Vec<Publication>,
    /// What it has missed for good.
    pub(super) gap: Option<Gap>,
    /// The offset it stands at afterwards.
    pub(super) offset: u64,
}

/// Between what was read and what came meanwhile something is missing.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Hole;

/// Judges a return. `page` is the history after the subscriber's offset, `meanwhile` what was published on the channel
/// since it was registered, in order.
pub(super) fn judge(recover: &Recover, page: &Page, meanwhile: &[Publication]) -> Result<Verdict, Hole> {
    let Position { offset: top, epoch } = &page.position;
    let offset = merged_top(*top, meanwhile)?;
    let gap = gap(recover, page, *top, epoch);
    if gap.is_some() {
        return Ok(Verdict { recovered: false, publications: Vec::new(), gap, offset });
    }
    let newer = meanwhile.iter().filter(|publication| publication.offset > *top);
    let publications = page.publications.iter().chain(newer).cloned().collect();
    Ok(Verdict { recovered: true, publications, gap: None, offset })
}

/// Where a subscriber stands that begins at `top` and has missed nothing of what came `meanwhile`.
pub(super) fn merged_top(top: u64, meanwhile: &[Publication]) -> Result<u64, Hole> {
    let mut at = top;
    for publication in meanwhile.iter().filter(|publication| publication.offset > top) {
        if publication.offset != at + 1 {
            return Err(Hole);
        }
        at = publication.offset;
    }
    Ok(at)
}

/// What can't be given back.
fn gap(recover: &Recover, page: &Page, top: u64, epoch: &str) -> Option<Gap> {
    if !recover.epoch.is_empty() && *recover.epoch != *epoch {
        let from = u64::from(top > 0);
        return Some(Gap { from, to: top, reason: GapReason::EpochChanged });
    }
    let (first, last) = (page.publications.first(), page.publications.last());
    match (first, last) {
        (None, None) if top == recover.offset => None,
        (Some(first), Some(last)) if first.offset == recover.offset + 1 && last.offset == top => None,
        // It is ahead of us: what it knows is of another life of this history.
        _ if recover.offset > top => Some(Gap { from: 0, to: top, reason: GapReason::EpochChanged }),
        _ => Some(Gap { from: recover.offset + 1, to: top, reason: GapReason::HistoryTrimmed }),
    }
}

/// Leaves only as many publications as fit in `max_bytes`; where some were cut, the offset of the last that stays, or
/// the one `before` all of them.
pub(super) fn cut_to(publications: &mut Vec<Publication>, max_bytes: usize, before: u64) -> Option<u64> {
    let mut bytes = 0;
    let fits = publications.iter().take_while(|publication| {
        bytes += publication.body.len() + OFFSET_ROOM;
        bytes <= max_bytes
    });
    let count = fits.count();
    let is_cut = count < publications.len();
    publications.truncate(count);
    is_cut.then(|| publications.last().map_or(before, |publication| publication.offset))
}

/// What the offset adds to a publication's text, about.
pub(super) const OFFSET_ROOM: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use std::ops::RangeInclusive;

    fn publications(offsets: RangeInclusive<u64>) -> Vec<Publication> {
        offsets.map(|offset| Publication { offset, body: Bytes::from_static(b"{\"data\":1") }).collect()
    }

    #[track_caller]
    fn check(
        (offset, epoch): (u64, &str),
        (top, read): (u64, RangeInclusive<u64>),
        meanwhile: RangeInclusive<u64>,
        expected: Result<(Option<RangeInclusive<u64>>, u64), Hole>,
    ) {
        let page = Page { position: Position { offset: top, epoch: "now".into() }, publications: publications(read) };
        let recover = Recover { offset, epoch: epoch.into() };
        let verdict = judge(&recover, &page, &publications(meanwhile));
        let expected = expected.map(|(range, at)| (range.is_some(), range.map(publications).unwrap_or_default(), at));
        assert_eq!(verdict.map(|v| (v.recovered, v.publications, v.offset)), expected);
    }

    #[expect(clippy::reversed_empty_ranges, reason = "that is how nothing is written")]
    const NOTHING: RangeInclusive<u64> = 1..=0;

    #[test]
    fn what_is_whole_is_given_back() {
        check((5, "now"), (5, NOTHING), NOTHING, Ok((Some(NOTHING), 5)));
        check((5, "now"), (8, 6..=8), NOTHING, Ok((Some(6..=8), 8)));
        check((0, ""), (3, 1..=3), NOTHING, Ok((Some(1..=3), 3)));
    }

    #[test]
    fn what_came_meanwhile_is_joined_without_doubles() {
        check((5, "now"), (8, 6..=8), 7..=10, Ok((Some(6..=10), 10)));
        check((5, "now"), (5, NOTHING), 6..=7, Ok((Some(6..=7), 7)));
        check((5, "now"), (8, 6..=8), 3..=8, Ok((Some(6..=8), 8)));
    }

    #[test]
    fn a_hole_is_found() {
        check((5, "now"), (8, 6..=8), 10..=11, Err(Hole));
        check((2, "then"), (8, NOTHING), 10..=11, Err(Hole));
    }

    #[test]
    fn what_was_trimmed_or_is_of_another_life_is_not_given_back() {
        check((5, "now"), (20, 11..=20), NOTHING, Ok((None, 20)));
        check((5, "now"), (20, 6..=10), NOTHING, Ok((None, 20)));
        check((5, "now"), (20, NOTHING), 21..=21, Ok((None, 21)));
        check((5, "then"), (5, NOTHING), NOTHING, Ok((None, 5)));
        check((9, "now"), (5, NOTHING), NOTHING, Ok((None, 5)));
    }

    #[test]
    fn a_gap_says_from_where_to_where_and_why() {
        let page = |top| Page { position: Position { offset: top, epoch: "now".into() }, publications: Vec::new() };
        let gap =
            |offset, epoch: &str, top| judge(&Recover { offset, epoch: epoch.into() }, &page(top), &[]).map(|v| v.gap);
        assert_eq!(gap(5, "now", 9), Ok(Some(Gap { from: 6, to: 9, reason: GapReason::HistoryTrimmed })));
        assert_eq!(gap(5, "then", 9), Ok(Some(Gap { from: 1, to: 9, reason: GapReason::EpochChanged })));
        assert_eq!(gap(5, "then", 0), Ok(Some(Gap { from: 0, to: 0, reason: GapReason::EpochChanged })));
        assert_eq!(gap(5, "now", 5), Ok(None));
    }
}
