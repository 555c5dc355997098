//! One subscription of ours: what it waits for, and where in the channel's history it stands.

use super::heard::Standing;
use super::{GapReason, SubscribeOptions, TokenSource};
use crate::timer::Time;

/// A place in a channel's history.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Position {
    /// The life of the history.
    pub epoch: String,
    /// The number of the latest publication.
    pub offset: u64,
}

#[derive(Debug)]
pub(super) struct Subscription {
    /// `None` where the server made it.
    pub(super) options: Option<SubscribeOptions>,
    pub(super) state: State,
    /// The token that is used next, where there is one.
    pub(super) token: Option<String>,
    /// `None` where nobody watches that all publications come.
    pub(super) position: Option<Position>,
    /// Attempts in a row that led to none.
    pub(super) failures: u32,
    /// When another token is wanted.
    pub(super) refresh_at: Option<Time>,
    /// A token came that the server has not been told of.
    pub(super) has_news: bool,
}

/// What a subscription waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// For the connection, or for room in it.
    Ready,
    /// For its time after a failure.
    Waiting { until: Time },
    /// For the program's token.
    WantsToken,
    /// For the answer to this command.
    Asked { id: u32 },
    /// For publications.
    Active,
}

/// What a publication's number means where it arrives.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It is the next, or nobody counts.
    Next,
    Doubled,
    /// Those from here to there were left out.
    Missed(u64, u64),
}

/// What is known to be missing after a recovery.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Hole {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) reason: GapReason,
}

/// What a new standing says of the time since the last one.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Return {
    Fresh,
    Whole,
    Gap(Hole),
}

/// No epoch is longer; with one that is, nothing is counted.
const MAX_EPOCH: usize = 255;

impl Subscription {
    /// As the program asks for it.
    pub(super) fn of_ours(options: SubscribeOptions) -> Self {
        let token = if let TokenSource::Fixed(token) = &options.token { Some(token.clone()) } else { None };
        let state = if options.token == TokenSource::Asked { State::WantsToken } else { State::Ready };
        Self { token, state, ..Self::new(Some(options)) }
    }

    /// As the server makes it.
    pub(super) fn of_the_server() -> Self {
        Self::new(None)
    }

    fn new(options: Option<SubscribeOptions>) -> Self {
        let (state, token, position, refresh_at) = (State::Ready, None, None, None);
        Self { options, state, token, position, failures: 0, refresh_at, has_news: false }
    }

    /// Whether the program is asked for tokens.
    pub(super) fn asks_for_tokens(&self) -> bool {
        self.options.as_ref().is_some_and(|options| options.token == TokenSource::Asked)
    }

    /// Whether the server made it.
    pub(super) fn is_the_servers(&self) -> bool {
        self.options.is_none()
    }

    /// Notes that the connection is no more.
    pub(super) fn on_cut(&mut self) {
        (self.refresh_at, self.has_news) = (None, false);
        if matches!(self.state, State::Asked { .. } | State::Active) {
            self.state = State::Ready;
        }
    }

    /// Takes a standing over, all but its publications.
    pub(super) fn on_standing(&mut self, standing: &Standing<'_>) -> Return {
        (self.state, self.failures) = (State::Active, 0);
        let is_watched = (standing.recoverable || standing.positioned) && standing.epoch.len() <= MAX_EPOCH;
        let before = self.position.take();
        let found = before.as_ref().map_or(Return::Fresh, |before| judge(before, standing, is_watched));
        let offset = match (&found, before) {
            (Return::Whole, Some(before)) => before.offset,
            _ => standing.offset,
        };
        self.position = is_watched.then(|| Position { epoch: standing.epoch.to_string(), offset });
        found
    }

    /// Counts a publication.
    pub(super) fn on_publication(&mut self, offset: u64) -> Arrival {
        match &mut self.position {
            Some(position) if offset > 0 => position.advance(offset),
            _ => Arrival::Next,
        }
    }

    /// What a standing's top offset says is missing when all its publications have been counted.
    pub(super) fn on_top(&mut self, top: u64) -> Arrival {
        match &mut self.position {
            Some(position) if top > position.offset => {
                let from = position.offset + 1;
                position.offset = top;
                Arrival::Missed(from, top)
            }
            _ => Arrival::Next,
        }
    }
}

impl Position {
    fn advance(&mut self, offset: u64) -> Arrival {
        let Some(between) = offset.checked_sub(self.offset).and_then(|ahead| ahead.checked_sub(1)) else {
            return Arrival::Doubled;
        };
        let before = std::mem::replace(&mut self.offset, offset);
        if between == 0 { Arrival::Next } else { Arrival::Missed(before + 1, offset - 1) }
    }
}

/// Whether nothing is missing between `before` and a standing. Where the server does not say what is, its position does;
/// in another epoch nothing of which is known, all of it is.
fn judge(before: &Position, standing: &Standing<'_>, is_watched: bool) -> Return {
    let is_same = before.epoch.is_empty() || before.epoch == standing.epoch;
    if is_same && (standing.recovered || (is_watched && before.offset == standing.offset)) {
        return Return::Whole;
    }
    let next = before.offset.saturating_add(1);
    Return::Gap(match &standing.gap {
        Some(gap) => Hole { from: gap.from, to: gap.to, reason: gap.reason() },
        None if !is_watched => Hole { from: next, to: before.offset, reason: GapReason::Unknown },
        None if !is_same => Hole { from: 1, to: standing.offset, reason: GapReason::EpochChanged },
        None => Hole { from: next, to: standing.offset, reason: GapReason::HistoryTrimmed },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::hub::heard;

    fn position(epoch: &str, offset: u64) -> Option<Position> {
        Some(Position { epoch: epoch.to_owned(), offset })
    }

    /// What a subscription at `before` makes of a standing, and where it is then.
    fn check(before: Option<Position>, standing: &str, expected: Return, after: Option<Position>) {
        let text = format!(r#"{{"id":1,"subscribe":{standing}}}"#);
        let mut subscription = Subscription { position: before, ..Subscription::of_ours(SubscribeOptions::default()) };
        let found = subscription.on_standing(&heard::read(&text).unwrap().subscribe.unwrap());
        assert_eq!((found, subscription.position), (expected, after), "{standing}");
    }

    fn gap(from: u64, to: u64, reason: GapReason) -> Return {
        Return::Gap(Hole { from, to, reason })
    }

    #[test]
    fn a_first_standing_sets_the_position_where_somebody_watches() {
        check(None, r#"{"recoverable":true,"epoch":"e","offset":7}"#, Return::Fresh, position("e", 7));
        check(None, r#"{"positioned":true,"epoch":"e"}"#, Return::Fresh, position("e", 0));
        check(None, r#"{"epoch":"e","offset":7}"#, Return::Fresh, None);
        let long = format!(r#"{{"recoverable":true,"epoch":"{}"}}"#, "e".repeat(256));
        check(None, &long, Return::Fresh, None);
    }

    #[test]
    fn after_a_recovery_counting_goes_on_where_it_was() {
        let recovered = r#"{"recoverable":true,"epoch":"e","offset":7,"recovered":true}"#;
        check(position("e", 5), recovered, Return::Whole, position("e", 5));
        check(position("", 5), recovered, Return::Whole, position("e", 5));
        check(position("e", 7), r#"{"positioned":true,"epoch":"e","offset":7}"#, Return::Whole, position("e", 7));
    }

    #[test]
    fn a_gap_is_as_the_server_says_or_as_the_positions_do() {
        use GapReason::*;
        let told = r#"{"recoverable":true,"epoch":"f","offset":9,"gap":{"from":6,"to":8,"reason":"epoch_changed"}}"#;
        check(position("e", 5), told, gap(6, 8, EpochChanged), position("f", 9));
        let trimmed = r#"{"recoverable":true,"epoch":"e","offset":9}"#;
        check(position("e", 5), trimmed, gap(6, 9, HistoryTrimmed), position("e", 9));
        check(position("d", 5), trimmed, gap(1, 9, EpochChanged), position("e", 9));
        check(position("e", 5), "{}", gap(6, 5, Unknown), None);
        let lie = r#"{"recoverable":true,"epoch":"f","offset":9,"recovered":true}"#;
        check(position("e", 5), lie, gap(1, 9, EpochChanged), position("f", 9));
    }

    #[test]
    fn offsets_are_counted_to_the_last() {
        let mut subscription =
            Subscription { position: position("e", 5), ..Subscription::of_ours(SubscribeOptions::default()) };
        let arrivals = [6, 6, 1, 9, 0, 10, u64::MAX, u64::MAX].map(|offset| subscription.on_publication(offset));
        use Arrival::*;
        let missed = Missed(11, u64::MAX - 1);
        assert_eq!(arrivals, [Next, Doubled, Doubled, Missed(7, 8), Next, Next, missed, Doubled]);
        subscription.position = position("e", 5);
        assert_eq!([5, 4, 8, 8].map(|top| subscription.on_top(top)), [Next, Next, Missed(6, 8), Next]);
    }
}
