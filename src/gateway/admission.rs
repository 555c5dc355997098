//! Who may come in: limits in total, for each address and a second.

use crate::config::Settings;
use crate::connection::{Bucket, LocalReason};
use crate::timer::Time;
use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// Where a connection comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Peer {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A process on this machine, over a Unix socket.
    Unix,
}

impl Peer {
    /// Its IP address, where it has one; that of an IPv4 peer on an IPv6 listener is an IPv4 address.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Peer::Tcp(address) => Some(address.ip().to_canonical()),
            Peer::Unix => None,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Tcp(address) => address.fmt(f),
            Peer::Unix => f.write_str("unix"),
        }
    }
}

/// What counts as one address: an IPv4 address, or an IPv6 /64, which is what one subscriber is given (RFC 6177).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Address {
    V4([u8; 4]),
    V6Prefix([u8; 8]),
}

/// Counts of who is here, kept only where a limit asks for them.
#[derive(Debug)]
pub(super) struct Admission {
    max_connections: usize,
    max_per_address: Option<u32>,
    by_address: HashMap<Address, u32>,
    accepts: Option<Bucket>,
}

impl Admission {
    pub(super) fn new(settings: &Settings, now: Time) -> Self {
        Self {
            max_connections: settings.max_connections,
            max_per_address: settings.max_connections_per_ip,
            by_address: HashMap::new(),
            accepts: settings.max_accepts_per_second.map(|rate| Bucket::new(rate, now)),
        }
    }

    /// Lets a peer in beside the `present` ones, or says which limit it met. One that comes for others is counted when
    /// it has told for whom.
    pub(super) fn admit(&mut self, peer: Peer, counts: bool, present: usize, now: Time) -> Result<(), LocalReason> {
        if present >= self.max_connections {
            return Err(LocalReason::TooManyConnections);
        }
        if self.accepts.as_mut().is_some_and(|accepts| !accepts.take(1, now)) {
            return Err(LocalReason::TooManyAccepts);
        }
        if counts { self.count(peer) } else { Ok(()) }
    }

    /// Counts a peer for its address, if there may be one more.
    pub(super) fn count(&mut self, peer: Peer) -> Result<(), LocalReason> {
        let (Some(max), Some(address)) = (self.max_per_address, Address::of(peer)) else {
            return Ok(());
        };
        let count = self.by_address.entry(address).or_default();
        if *count >= max {
            return Err(LocalReason::TooManyFromIp);
        }
        *count += 1;
        Ok(())
    }

    /// Notes that a peer that was counted has left.
    pub(super) fn leave(&mut self, peer: Peer) {
        let Some(address) = Address::of(peer).filter(|_| self.max_per_address.is_some()) else {
            return;
        };
        let count = self.by_address.get_mut(&address).expect("who leaves was counted");
        *count -= 1;
        if *count == 0 {
            self.by_address.remove(&address);
            if self.by_address.len() < self.by_address.capacity() / 4 {
                self.by_address.shrink_to_fit();
            }
        }
    }

    /// Addresses now counted.
    pub(super) fn addresses(&self) -> usize {
        self.by_address.len()
    }
}

impl Address {
    fn of(peer: Peer) -> Option<Address> {
        match peer {
            Peer::Tcp(address) => Some(match address.ip().to_canonical() {
                IpAddr::V4(v4) => Address::V4(v4.octets()),
                IpAddr::V6(v6) => Address::V6Prefix(*v6.octets().first_chunk().expect("16 octets begin with 8")),
            }),
            Peer::Unix => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> Peer {
        Peer::Tcp(text.parse().unwrap())
    }

    fn limited(change: impl FnOnce(&mut Settings)) -> Admission {
        let mut settings = Settings::default();
        change(&mut settings);
        Admission::new(&settings, Time::ZERO)
    }

    fn check(admission: &mut Admission, from: &str, expected: Result<(), LocalReason>) {
        assert_eq!(admission.admit(peer(from), true, 0, Time::ZERO), expected, "{from}");
    }

    #[test]
    fn one_address_is_an_ipv4_or_an_ipv6_network() {
        let mut admission = limited(|s| s.max_connections_per_ip = Some(1));
        let full = Err(LocalReason::TooManyFromIp);
        check(&mut admission, "192.0.2.1:1", Ok(()));
        check(&mut admission, "192.0.2.1:2", full);
        check(&mut admission, "[::ffff:192.0.2.1]:3", full);
        check(&mut admission, "192.0.2.2:1", Ok(()));
        check(&mut admission, "[2001:db8::1]:1", Ok(()));
        check(&mut admission, "[2001:db8::2]:1", full);
        check(&mut admission, "[2001:db8:0:1::1]:1", Ok(()));
        assert_eq!(admission.admit(Peer::Unix, true, 0, Time::ZERO), Ok(()));
    }

    #[test]
    fn who_leaves_makes_room_and_is_forgotten() {
        let mut admission = limited(|s| s.max_connections_per_ip = Some(1));
        check(&mut admission, "192.0.2.1:1", Ok(()));
        admission.leave(peer("192.0.2.1:1"));
        assert_eq!(admission.addresses(), 0);
        check(&mut admission, "192.0.2.1:1", Ok(()));
    }

    #[test]
    fn totals_and_rates_are_limited() {
        let mut admission = limited(|s| s.max_connections = 5);
        assert_eq!(admission.admit(Peer::Unix, true, 5, Time::ZERO), Err(LocalReason::TooManyConnections));
        let mut admission = limited(|s| s.max_accepts_per_second = Some(2));
        check(&mut admission, "192.0.2.1:1", Ok(()));
        check(&mut admission, "192.0.2.1:1", Ok(()));
        check(&mut admission, "192.0.2.1:1", Err(LocalReason::TooManyAccepts));
        assert_eq!(admission.admit(Peer::Unix, true, 0, Time::from_millis(500)), Ok(()));
    }
}
