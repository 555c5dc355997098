//! Sessions: what a client finds again when it comes back, and proof that it is the same.

use crate::engine::{ChannelName, Epoch, Shards};
use crate::gateway::ConnId;
use crate::timer::Time;
use std::collections::VecDeque;
use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

/// An unguessable number that only the session's client knows; written as 32 hexadecimal digits.
///
/// 103 bits of it are random. The lowest 24 are the slot of the connection it was made for, so that whoever shows it
/// while that is still there is found without a table.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Secret {
    high: NonZeroU64,
    low: u64,
}

/// Slots have so many bits.
const SLOT_BITS: u32 = 24;

impl Secret {
    /// The secret of a session that `id` holds, from a number that nobody can guess.
    pub(super) fn new(random: u128, id: ConnId) -> Self {
        let random = (random & !((1 << SLOT_BITS) - 1)) | id.slot() as u128;
        Self::from_bits(random | 1 << 127).expect("the highest bit is set")
    }

    /// Reads what [`Secret`] writes; anything else is no secret of ours.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let is_ours = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_ours.then(|| u128::from_str_radix(text, 16).ok()).flatten().and_then(Self::from_bits)
    }

    /// The slot of the connection it was made for.
    pub(super) fn slot(self) -> usize {
        (self.low & ((1 << SLOT_BITS) - 1)) as usize
    }

    fn from_bits(bits: u128) -> Option<Self> {
        NonZeroU64::new((bits >> 64) as u64).map(|high| Self { high, low: bits as u64 })
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.high, self.low)
    }
}

/// Never shows the secret: logs are read by others.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// One subscription of a client that is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) channel: ChannelName,
    /// What had been sent of it; `None` where it has no position.
    pub(super) position: Option<(u64, Epoch)>,
    pub(super) is_server_side: bool,
    pub(super) join_leave: bool,
    /// Unix time in seconds at which it ends.
    pub(super) expires_at: Option<u64>,
}

/// What a client left behind.
#[derive(Debug)]
struct Left {
    user: Arc<str>,
    until: Time,
    kept: Vec<Kept>,
}

/// The sessions whose connection is gone, for a while. One whose connection is here is that connection's.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    by_secret: Shards<Secret, Left>,
    /// The oldest first; some have come back meanwhile.
    ages: VecDeque<(Time, Secret)>,
    /// How many a connection holds.
    held: usize,
}

/// Sessions forgotten in one call: after a mass departure a hundred thousand end together.
const MAX_EXPIRED: usize = 4096;

impl Sessions {
    /// A connection holds a session from now on.
    pub(super) fn begin(&mut self) {
        self.held += 1;
    }

    /// A connection holds its session no more.
    pub(super) fn end(&mut self) {
        self.held -= 1;
    }

    /// Takes what `user` left behind under this secret: its subscriptions. The session is used up then: the client gets
    /// a new secret.
    pub(super) fn take(&mut self, secret: Secret, user: &str, now: Time) -> Option<Vec<Kept>> {
        self.by_secret.get(&secret).filter(|left| *left.user == *user && left.until > now)?;
        self.by_secret.remove(&secret).map(|left| left.kept)
    }

    /// A connection is gone: keeps what it had for `ttl`, at most `max` of them in all.
    pub(super) fn keep(
        &mut self,
        secret: Secret,
        user: Arc<str>,
        kept: Vec<Kept>,
        now: Time,
        ttl: Duration,
        max: usize,
    ) {
        let until = now + ttl;
        self.by_secret.insert(secret, Left { user, until, kept });
        self.ages.push_back((until, secret));
        while self.ages.len() > max {
            self.drop_oldest();
        }
    }

    /// Forgets those whose time is over, a few thousand a call; the rest is due at once.
    pub(super) fn expire(&mut self, now: Time) {
        for _ in 0..MAX_EXPIRED {
            if self.ages.front().is_none_or(|(until, _)| *until > now) {
                break;
            }
            self.drop_oldest();
        }
        if self.ages.is_empty() {
            self.ages.shrink_to_fit();
        }
    }

    /// When [`Sessions::expire`] has something to do.
    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.ages.front().map(|(until, _)| *until)
    }

    /// Sessions in all.
    pub(super) fn len(&self) -> usize {
        self.held + self.by_secret.len()
    }

    fn drop_oldest(&mut self) {
        let Some((until, secret)) = self.ages.pop_front() else {
            return;
        };
        if self.by_secret.get(&secret).is_some_and(|left| left.until == until) {
            self.by_secret.remove(&secret);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(60);
    fn secret() -> Secret {
        Secret::new(u128::MAX / 7, ConnId::from_bits(1))
    }

    fn at(seconds: u64) -> Time {
        Time::from_millis(seconds * 1000)
    }

    fn left(max: usize) -> Sessions {
        let mut sessions = Sessions::default();
        sessions.keep(secret(), "ann".into(), Vec::new(), at(0), TTL, max);
        sessions
    }

    #[test]
    fn a_secret_is_read_as_it_is_written_and_never_logged() {
        assert_eq!(Secret::parse(&secret().to_string()), Some(secret()));
        assert_eq!(format!("{:?}", secret()), "Secret");
        for other in ["", "7", &"g".repeat(32), &"+".repeat(32), &"0".repeat(33), &"0".repeat(32)] {
            assert_eq!(Secret::parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_secret_leads_to_the_slot_it_was_made_for_and_keeps_every_other_bit_of_its_number() {
        for (random, slot) in [(0, 0), (u128::MAX, 0), (0, (1 << SLOT_BITS) - 1), (u128::MAX / 3, 5)] {
            let made = Secret::new(random, ConnId::from_bits(1 << SLOT_BITS | slot as u64));
            assert_eq!((made.slot(), Secret::parse(&made.to_string())), (slot, Some(made)));
        }
        let id = ConnId::from_bits(5);
        assert!((SLOT_BITS..127).all(|bit| Secret::new(0, id) != Secret::new(1 << bit, id)));
    }

    #[test]
    fn a_session_is_found_once_by_its_own_user_within_its_time() {
        assert_eq!(left(9).take(secret(), "ann", at(59)), Some(Vec::new()));
        assert_eq!(left(9).take(secret(), "bob", at(1)), None);
        assert_eq!(left(9).take(Secret::new(8, ConnId::from_bits(1)), "ann", at(1)), None);
        assert_eq!(left(9).take(secret(), "ann", at(60)), None);
        let mut sessions = left(9);
        sessions.take(secret(), "ann", at(1));
        assert_eq!(sessions.take(secret(), "ann", at(1)), None);
    }

    #[test]
    fn what_is_kept_is_bounded_in_time_and_number() {
        let mut sessions = left(9);
        assert_eq!(sessions.next_deadline(), Some(at(60)));
        sessions.expire(at(59));
        assert_eq!(sessions.len(), 1);
        sessions.expire(at(60));
        assert_eq!((sessions.len(), sessions.next_deadline()), (0, None));
        assert_eq!(left(0).len(), 0);
    }

    #[test]
    fn many_that_end_together_are_forgotten_in_several_calls() {
        let mut sessions = Sessions::default();
        for number in 0..10_000 {
            let secret = Secret::new(number << SLOT_BITS, ConnId::from_bits(1));
            sessions.keep(secret, "ann".into(), Vec::new(), at(0), TTL, 20_000);
        }
        for left in [10_000 - MAX_EXPIRED, 10_000 - 2 * MAX_EXPIRED, 0] {
            assert_eq!(sessions.next_deadline(), Some(at(60)));
            sessions.expire(at(60));
            assert_eq!(sessions.len(), left);
        }
        assert_eq!(sessions.next_deadline(), None);
    }

    #[test]
    fn sessions_that_connections_hold_are_counted() {
        let mut sessions = left(9);
        sessions.begin();
        assert_eq!(sessions.len(), 2);
        sessions.end();
        assert_eq!(sessions.len(), 1);
    }
}
