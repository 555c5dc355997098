//! Networks in lists of who may do what: one address, or all with a common prefix.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// An address or a network: `127.0.0.1`, `10.0.0.0/8`, `::1`, `fd00::/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    /// The first address; its bits beyond the prefix are zero.
    address: IpAddr,
    /// Leading bits that count: at most 32, or 128 where the address is IPv6.
    prefix: u8,
}

/// Why a text is no network, and the mend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidNetwork {
    text: String,
    mend: String,
}

impl Network {
    /// Whether `address` lies in it. IPv4 in IPv6 form (`::ffff:10.0.0.1`, as a dual-stack socket tells it) counts as
    /// IPv4, and IPv4 lies in no IPv6 network.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                u32::from(network) == u32::from(address) & mask_v4(self.prefix)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                u128::from(network) == u128::from(address) & mask_v6(self.prefix)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }

    /// This machine, as it reaches itself.
    pub fn loopback() -> Vec<Self> {
        vec![Self::new(Ipv4Addr::LOCALHOST.into(), 8), Self::new(Ipv6Addr::LOCALHOST.into(), 128)]
    }

    /// A network in its one form: IPv4 in IPv6 form as IPv4, bits beyond the prefix zero.
    fn new(address: IpAddr, prefix: u8) -> Self {
        match address {
            IpAddr::V4(address) => {
                let first = u32::from(address) & mask_v4(prefix);
                Self { address: Ipv4Addr::from(first).into(), prefix }
            }
            IpAddr::V6(address) => match (address.to_ipv4_mapped(), prefix.checked_sub(96)) {
                (Some(mapped), Some(prefix)) => Self::new(mapped.into(), prefix),
                _ => {
                    let first = u128::from(address) & mask_v6(prefix);
                    Self { address: Ipv6Addr::from(first).into(), prefix }
                }
            },
        }
    }

    fn is_single(&self) -> bool {
        self.prefix == max_prefix(self.address)
    }
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        Self::new(address, max_prefix(address))
    }
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let fail = |mend: String| InvalidNetwork { text: text.to_owned(), mend };
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| fail(mend_address(address)))?;
        let max = max_prefix(address);
        let Some(prefix) = prefix else { return Ok(address.into()) };
        let prefix = parse_prefix(prefix).filter(|prefix| *prefix <= max);
        let network =
            Self::new(address, prefix.ok_or_else(|| fail(format!("write a prefix of 0 to {max} after the /")))?);
        if network.address == address.to_canonical() {
            Ok(network)
        } else {
            Err(fail(format!("it has bits beyond its prefix; write {network}, or {address} for the one address")))
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_single() { write!(f, "{}", self.address) } else { write!(f, "{}/{}", self.address, self.prefix) }
    }
}

impl fmt::Display for InvalidNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no network: {}", self.text, self.mend)
    }
}

impl std::error::Error for InvalidNetwork {}

/// What to write in place of something that is no address.
fn mend_address(text: &str) -> String {
    let inner =
        text.strip_prefix('[').and_then(|text| text.split(']').next()).filter(|text| text.parse::<Ipv6Addr>().is_ok());
    let ported = text.rsplit_once(':').map(|(address, _)| address).filter(|text| text.parse::<Ipv4Addr>().is_ok());
    match inner.or(ported) {
        Some(address) => format!("write {address}, without brackets or port"),
        None if text == "localhost" => "names are not looked up; write 127.0.0.1 or ::1".to_owned(),
        None => "write an address such as 127.0.0.1 or ::1, or a network such as 10.0.0.0/8 or fd00::/8".to_owned(),
    }
}

/// Digits without a sign or leading zeros.
fn parse_prefix(text: &str) -> Option<u8> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
    plain.then(|| text.parse().ok()).flatten()
}

fn max_prefix(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// Ones for the leading bits that count. A shift by the whole width is no shift, so that zero stands apart.
fn mask_v4(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

fn mask_v6(prefix: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, shown: &str, inside: &[&str], outside: &[&str]) {
        let network: Network = text.parse().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(network.to_string(), shown);
        assert_eq!(shown.parse(), Ok(network), "what is shown can be read");
        for (addresses, expected) in [(inside, true), (outside, false)] {
            for address in addresses {
                assert_eq!(network.contains(address.parse().unwrap()), expected, "{address} in {text}");
            }
        }
    }

    #[track_caller]
    fn refused(text: &str, mend: &str) {
        let error = text.parse::<Network>().expect_err(text).to_string();
        assert!(error.starts_with(&format!("{text:?} is no network: ")) && error.contains(mend), "{error}");
    }

    #[test]
    fn an_address_is_a_network_of_one() {
        check("127.0.0.1", "127.0.0.1", &["127.0.0.1", "::ffff:127.0.0.1"], &["127.0.0.2", "::1", "::7f00:1"]);
        check("::1", "::1", &["::1"], &["::2", "127.0.0.1", "0.0.0.1"]);
        check("10.0.0.1/32", "10.0.0.1", &["10.0.0.1"], &["10.0.0.0"]);
        check("FD00::A/128", "fd00::a", &["fd00::a"], &["fd00::b"]);
    }

    #[test]
    fn a_network_holds_all_addresses_with_its_prefix() {
        check(
            "10.0.0.0/8",
            "10.0.0.0/8",
            &["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"],
            &["9.255.255.255", "11.0.0.0", "a00::"],
        );
        check("192.168.1.128/25", "192.168.1.128/25", &["192.168.1.128", "192.168.1.255"], &["192.168.1.127"]);
        check("fd00::/8", "fd00::/8", &["fd00::", "fdff::1"], &["fc00::", "fe00::", "253.0.0.1"]);
        check("2001:db8::/33", "2001:db8::/33", &["2001:db8:7fff::"], &["2001:db8:8000::"]);
        check("0.0.0.0/0", "0.0.0.0/0", &["0.0.0.0", "255.255.255.255", "::ffff:1.2.3.4"], &["::", "::1"]);
        check("::/0", "::/0", &["::", "ffff::"], &["1.2.3.4", "::ffff:1.2.3.4"]);
    }

    #[test]
    fn ipv4_in_ipv6_form_is_ipv4() {
        check("::ffff:10.0.0.1", "10.0.0.1", &["10.0.0.1", "::ffff:10.0.0.1"], &["10.0.0.2"]);
        check("::ffff:10.0.0.0/104", "10.0.0.0/8", &["10.1.2.3"], &["11.0.0.0", "::1"]);
        check("::ffff:0:0/96", "0.0.0.0/0", &["1.2.3.4"], &["::1"]);
    }

    #[test]
    fn what_is_no_network_is_refused_with_the_mend() {
        for text in [
            "",
            "/8",
            "10",
            "10.0.0",
            "10.0.0.0.0",
            "010.0.0.1",
            "256.0.0.1",
            "example.com",
            "10.0.0.*",
            " 10.0.0.1",
            "fe80::1%eth0",
        ] {
            refused(text, "write an address such as 127.0.0.1");
        }
        for text in [
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/08",
            "10.0.0.0/8/8",
            "10.0.0.0/255.0.0.0",
            "10.0.0.0/-1",
            "10.0.0.0/256",
        ] {
            refused(text, "a prefix of 0 to 32");
        }
        refused("fd00::/129", "a prefix of 0 to 128");
        refused("localhost", "write 127.0.0.1 or ::1");
        refused("127.0.0.1:8000", "write 127.0.0.1, without");
        refused("[::1]", "write ::1, without");
        refused("[::1]:8000", "write ::1, without");
        refused("10.0.0.1/8", "write 10.0.0.0/8, or 10.0.0.1 for");
        refused("fd00::1/8", "write fd00::/8, or fd00::1 for");
        refused("::ffff:10.0.0.1/104", "write 10.0.0.0/8");
    }

    proptest! {
        #[test]
        fn containing_is_having_the_same_leading_bits(address: u32, other: u32, prefix in 0u8..=32, flips in 0u32..32) {
            let network = Network::new(Ipv4Addr::from(address).into(), prefix);
            for other in [other, address ^ (1 << flips)] {
                let same = (0..u32::from(prefix)).all(|bit| (address ^ other).leading_zeros() > bit);
                prop_assert_eq!(network.contains(Ipv4Addr::from(other).into()), same);
            }
        }

        #[test]
        fn what_is_shown_can_be_read(address: IpAddr, prefix in 0u8..=128) {
            let network = Network::new(address, prefix.min(max_prefix(address)));
            prop_assert_eq!(network.to_string().parse(), Ok(network));
            prop_assert!(network.contains(network.address));
        }

        #[test]
        fn no_text_panics(text in "[0-9a-f:./\\[\\]%]{0,24}") {
            if let Ok(network) = text.parse::<Network>() {
                prop_assert_eq!(network.to_string().parse(), Ok(network));
            }
        }
    }
}
