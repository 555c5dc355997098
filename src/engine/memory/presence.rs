//! Who is on which channel. One table for all channels, so that the many with a single member cost no table each. Of
//! subscriptions and announcements it knows nothing.

use super::super::Member;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Members by the number of their channel.
#[derive(Default)]
pub(super) struct Presence {
    members: BTreeMap<Key, Seen>,
    /// How many members each user has on a channel; never 0.
    users: BTreeMap<(u32, Arc<str>), u32>,
}

/// How many are on one channel; kept with the channel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Crowd {
    pub(super) clients: u32,
    pub(super) users: u32,
}

/// A channel's number and a client's, the upper half first: two halves, as one number would be aligned to 16 bytes.
type Key = (u32, u64, u64);

struct Seen {
    user: Arc<str>,
    info: Bytes,
}

impl Presence {
    /// Members of all channels.
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// Notes a member, in place of the one of the same client.
    pub(super) fn add(&mut self, channel: u32, member: Member, crowd: &mut Crowd) {
        self.remove(channel, member.client, crowd);
        crowd.clients += 1;
        let count = self.users.entry((channel, member.user.clone())).or_insert(0);
        crowd.users += u32::from(*count == 0);
        *count += 1;
        self.members.insert(key(channel, member.client), Seen { user: member.user, info: member.info });
    }

    /// Forgets a member, and says whether there was one.
    pub(super) fn remove(&mut self, channel: u32, client: u128, crowd: &mut Crowd) -> bool {
        let Some(seen) = self.members.remove(&key(channel, client)) else {
            return false;
        };
        crowd.clients -= 1;
        let user = (channel, seen.user);
        let count = self.users.get_mut(&user).expect("the user of a member is counted");
        *count -= 1;
        if *count == 0 {
            self.users.remove(&user);
            crowd.users -= 1;
        }
        true
    }

    /// The members of a channel by their clients' numbers.
    pub(super) fn list(&self, channel: u32) -> Vec<Member> {
        let members = self.members.range(key(channel, 0)..=key(channel, u128::MAX));
        let member = |(&(_, upper, lower), seen): (&Key, &Seen)| Member {
            client: u128::from(upper) << 64 | u128::from(lower),
            user: seen.user.clone(),
            info: seen.info.clone(),
        };
        members.map(member).collect()
    }

    /// Bytes of the tables, estimated from their being two thirds full; without users' names and infos.
    pub(super) fn held_bytes(&self) -> usize {
        let members = self.members.len() * size_of::<(Key, Seen)>();
        let users = self.users.len() * size_of::<((u32, Arc<str>), u32)>();
        (members + users) * 3 / 2
    }
}

fn key(channel: u32, client: u128) -> Key {
    (channel, (client >> 64) as u64, client as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(client: u128, user: &str, info: &'static str) -> Member {
        Member { client, user: user.into(), info: info.into() }
    }

    #[test]
    fn users_count_once_however_many_clients_they_have() {
        let (mut presence, mut crowd) = (Presence::default(), Crowd::default());
        let mut check = |clients, users, change: &dyn Fn(&mut Presence, &mut Crowd)| {
            change(&mut presence, &mut crowd);
            assert_eq!(crowd, Crowd { clients, users });
        };
        check(1, 1, &|presence, crowd| presence.add(0, member(1, "ann", "{}"), crowd));
        check(2, 1, &|presence, crowd| presence.add(0, member(2, "ann", "{}"), crowd));
        check(3, 2, &|presence, crowd| presence.add(0, member(3, "bob", "{}"), crowd));
        check(3, 2, &|presence, crowd| presence.add(0, member(1, "ann", "{}"), crowd));
        check(3, 2, &|presence, crowd| presence.add(0, member(2, "bob", "{}"), crowd));
        check(2, 1, &|presence, crowd| assert!(presence.remove(0, 1, crowd)));
        check(2, 1, &|presence, crowd| assert!(!presence.remove(0, 1, crowd)));
        check(1, 1, &|presence, crowd| assert!(presence.remove(0, 2, crowd)));
        check(0, 0, &|presence, crowd| assert!(presence.remove(0, 3, crowd)));
        assert!(presence.members.is_empty() && presence.users.is_empty());
    }

    #[test]
    fn channels_do_not_mix() {
        let (mut presence, mut crowds) = (Presence::default(), [Crowd::default(); 3]);
        for channel in [0, 1, 2] {
            presence.add(channel, member(u128::MAX, "ann", "last"), &mut crowds[channel as usize]);
            presence.add(channel, member(0, "ann", "first"), &mut crowds[channel as usize]);
        }
        assert!(presence.remove(1, 0, &mut crowds[1]));
        assert_eq!(presence.list(0), [member(0, "ann", "first"), member(u128::MAX, "ann", "last")]);
        assert_eq!(presence.list(1), [member(u128::MAX, "ann", "last")]);
        assert_eq!((presence.list(3), presence.len()), (vec![], 5));
    }
}
