//! Who is on a channel. A few members are a list, many a table, so that a channel with one member costs no table and one
//! with a million no search. Of subscriptions and announcements it knows nothing.

use super::super::{Member, Shards};
use bytes::Bytes;
use std::fmt::Write;
use std::sync::Arc;

/// The members of one channel.
#[derive(Default)]
pub(super) struct Presence {
    kept: Kept,
}

/// How many are on one channel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Crowd {
    pub(super) clients: usize,
    pub(super) users: usize,
}

enum Kept {
    Few(Vec<(Client, Seen)>),
    Many(Box<Many>),
}

#[derive(Default)]
struct Many {
    members: Shards<Client, Seen>,
    /// How many members each user has; never 0. Nobody in particular is not among them.
    users: Shards<Arc<str>, u32>,
    /// Members that are nobody in particular.
    anonymous: usize,
}

/// A client's number, the upper half first: two halves, as one number would be aligned to 16 bytes.
type Client = (u64, u64);

struct Seen {
    user: Arc<str>,
    info: Info,
}

/// What of a member's info does not follow from its client and user: nothing, the end of it, or all of it behind a zero.
struct Info(Box<[u8]>);

/// Members in a list; one more makes it a table.
const MAX_FEW: usize = 16;
/// Members at which a table becomes a list again.
const FEW_AGAIN: usize = 8;
/// Up to so many a list takes no more memory than it needs.
const EXACT_FEW: usize = 4;

impl Default for Kept {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl Presence {
    pub(super) fn len(&self) -> usize {
        match &self.kept {
            Kept::Few(few) => few.len(),
            Kept::Many(many) => many.members.len(),
        }
    }

    /// How many there are, and of how many users.
    pub(super) fn crowd(&self) -> Crowd {
        let users = match &self.kept {
            Kept::Few(few) => {
                let is_first = |at: usize| !few[..at].iter().any(|(_, other)| other.user == few[at].1.user);
                (0..few.len()).filter(|at| is_first(*at)).count()
            }
            Kept::Many(many) => many.users.len() + usize::from(many.anonymous > 0),
        };
        Crowd { clients: self.len(), users }
    }

    /// Notes a member, in place of the one of the same client.
    pub(super) fn add(&mut self, member: Member) {
        let client = halves(member.client);
        let seen = Seen { info: Info::of(&member), user: member.user };
        match &mut self.kept {
            Kept::Few(few) => {
                if let Some((_, old)) = few.iter_mut().find(|(other, _)| *other == client) {
                    *old = seen;
                    return;
                }
                if few.len() < EXACT_FEW {
                    few.reserve_exact(1);
                }
                few.push((client, seen));
                if few.len() > MAX_FEW {
                    self.kept = Kept::Many(Box::new(Many::of(std::mem::take(few))));
                }
            }
            Kept::Many(many) => many.add(client, seen),
        }
    }

    /// Forgets a member, and says whether there was one.
    pub(super) fn remove(&mut self, client: u128) -> bool {
        let client = halves(client);
        match &mut self.kept {
            Kept::Few(few) => {
                let Some(at) = few.iter().position(|(other, _)| *other == client) else {
                    return false;
                };
                few.swap_remove(at);
                few.shrink_to(few.len() * 2);
                true
            }
            Kept::Many(many) => {
                let was_there = many.remove(client);
                if many.members.len() <= FEW_AGAIN {
                    self.kept = Kept::Few(many.take_all());
                }
                was_there
            }
        }
    }

    /// The members by their clients' numbers.
    pub(super) fn list(&self) -> Vec<Member> {
        let mut members: Vec<Member> = match &self.kept {
            Kept::Few(few) => few.iter().map(|(client, seen)| seen.member(*client)).collect(),
            Kept::Many(many) => many.members.iter().map(|(client, seen)| seen.member(*client)).collect(),
        };
        members.sort_unstable_by_key(|member| member.client);
        members
    }

    /// Bytes on the heap; a table's are estimated from its being two thirds full. Without users' names and infos.
    pub(super) fn held_bytes(&self) -> usize {
        match &self.kept {
            Kept::Few(few) => few.capacity() * size_of::<(Client, Seen)>(),
            Kept::Many(many) => {
                let members = many.members.len() * (size_of::<(Client, Seen)>() + 1);
                let users = many.users.len() * (size_of::<(Arc<str>, u32)>() + 1);
                size_of::<Many>() + (members + users) * 3 / 2
            }
        }
    }
}

impl Many {
    fn of(few: Vec<(Client, Seen)>) -> Self {
        let mut many = Self::default();
        few.into_iter().for_each(|(client, seen)| many.add(client, seen));
        many
    }

    fn add(&mut self, client: Client, seen: Seen) {
        match self.users.get_mut(&seen.user) {
            _ if seen.user.is_empty() => self.anonymous += 1,
            Some(count) => *count += 1,
            None => _ = self.users.insert(seen.user.clone(), 1),
        }
        if let Some(old) = self.members.insert(client, seen) {
            self.discount(&old.user);
        }
    }

    fn remove(&mut self, client: Client) -> bool {
        let Some(seen) = self.members.remove(&client) else {
            return false;
        };
        self.discount(&seen.user);
        true
    }

    /// One member less of this user.
    fn discount(&mut self, user: &Arc<str>) {
        if user.is_empty() {
            self.anonymous -= 1;
            return;
        }
        let count = self.users.get_mut(user).expect("the user of a member is counted");
        *count -= 1;
        if *count == 0 {
            self.users.remove(user);
        }
    }

    fn take_all(&mut self) -> Vec<(Client, Seen)> {
        let clients: Vec<Client> = self.members.iter().map(|(client, _)| *client).collect();
        clients.into_iter().filter_map(|client| Some((client, self.members.remove(&client)?))).collect()
    }
}

impl Seen {
    fn member(&self, (upper, lower): Client) -> Member {
        let client = u128::from(upper) << 64 | u128::from(lower);
        Member { client, user: self.user.clone(), info: self.info.whole(client, &self.user) }
    }
}

impl Info {
    fn of(member: &Member) -> Self {
        match member.info.strip_prefix(&*usual_beginning(member.client, &member.user)) {
            Some(USUAL_END) => Self(Box::default()),
            Some(end) if end.first().is_some_and(|first| *first != 0) => Self(end.into()),
            Some(_) | None => Self([&[0], &*member.info].concat().into()),
        }
    }

    fn whole(&self, client: u128, user: &str) -> Bytes {
        match self.0.first() {
            None => [&*usual_beginning(client, user), USUAL_END].concat().into(),
            Some(0) => Bytes::copy_from_slice(&self.0[1..]),
            Some(_) => [&*usual_beginning(client, user), &*self.0].concat().into(),
        }
    }
}

/// What stands behind the user where nothing else is told.
const USUAL_END: &[u8] = b"}";

/// How the info of a member begins whose user needs no escapes in JSON.
fn usual_beginning(client: u128, user: &str) -> Vec<u8> {
    let hex = |from: u32, digits: u32| client << (4 * from) >> (128 - 4 * digits);
    let mut text = String::with_capacity(64 + user.len());
    // Writing into a String does not fail.
    let _ = write!(
        text,
        "{{\"client\":\"{:08x}-{:04x}-{:04x}-{:04x}-{:012x}\",\"user\":\"{user}\"",
        hex(0, 8),
        hex(8, 4),
        hex(12, 4),
        hex(16, 4),
        hex(20, 12)
    );
    text.into_bytes()
}

fn halves(client: u128) -> Client {
    ((client >> 64) as u64, client as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(client: u128, user: &str, info: &str) -> Member {
        Member { client, user: user.into(), info: Bytes::copy_from_slice(info.as_bytes()) }
    }

    #[test]
    fn users_count_once_however_many_clients_they_have() {
        // As a list, and as a table.
        for others in [0, MAX_FEW] {
            let mut presence = Presence::default();
            (0..others).for_each(|other| presence.add(member(100 + other as u128, "", "{}")));
            let mut check = |clients: usize, users: usize, change: &dyn Fn(&mut Presence)| {
                change(&mut presence);
                let expected = Crowd { clients: clients + others, users: users + others.min(1) };
                assert_eq!((presence.crowd(), presence.len()), (expected, clients + others));
            };
            check(1, 1, &|presence| presence.add(member(1, "ann", "{}")));
            check(2, 1, &|presence| presence.add(member(2, "ann", "{}")));
            check(3, 2, &|presence| presence.add(member(3, "bob", "{}")));
            check(3, 2, &|presence| presence.add(member(1, "ann", "{}")));
            check(3, 2, &|presence| presence.add(member(2, "bob", "{}")));
            check(2, 1, &|presence| assert!(presence.remove(1)));
            check(2, 1, &|presence| assert!(!presence.remove(1)));
            check(1, 1, &|presence| assert!(presence.remove(2)));
            check(0, 0, &|presence| assert!(presence.remove(3)));
        }
    }

    #[test]
    fn a_list_that_grows_and_shrinks_loses_nobody() {
        let mut presence = Presence::default();
        let expected =
            |from: usize, to: usize| (from..to).map(|client| member(client as u128, "u", "x")).collect::<Vec<_>>();
        for client in 0..100 {
            presence.add(member(client, "u", "x"));
            assert_eq!(presence.list(), expected(0, client as usize + 1));
        }
        for client in 0..100 {
            assert!(presence.remove(client));
            assert_eq!(presence.list(), expected(client as usize + 1, 100));
        }
        assert_eq!((presence.crowd(), presence.held_bytes()), (Crowd::default(), 0));
    }

    #[test]
    fn infos_come_out_as_they_went_in_and_the_usual_ones_take_no_memory() {
        let client = 0x0123_4567_89ab_8def_8123_4567_89ab_cdef;
        let beginning = r#"{"client":"01234567-89ab-8def-8123-456789abcdef","user":"#;
        for (user, info, kept) in [
            ("ann", format!(r#"{beginning}"ann"}}"#), 0),
            ("", format!(r#"{beginning}""}}"#), 0),
            ("ann", format!(r#"{beginning}"ann","conn_info":{{"a":1}}}}"#), 21),
            ("a\"b", format!(r#"{beginning}"a\"b"}}"#), 64),
            ("bob", format!(r#"{beginning}"ann"}}"#), 63),
            ("ann", format!(r#"{beginning}"ann""#), 62),
            ("ann", String::new(), 1),
            ("ann", "other".to_owned(), 6),
        ] {
            let member = member(client, user, &info);
            assert_eq!(Info::of(&member).0.len(), kept, "{info}");
            let mut presence = Presence::default();
            presence.add(member.clone());
            assert_eq!(presence.list(), [member]);
        }
    }
}
