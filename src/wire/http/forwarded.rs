//! The address of a client behind proxies, as they tell it in `X-Forwarded-For`.

use super::host::parse_port;
use super::list::elements;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The address that the outermost of `hops` trusted proxies saw.
///
/// `values` are the values of all `X-Forwarded-For` lines, in order. Each proxy adds the address it was called from at
/// the end, so that only the last `hops` entries are told by proxies one trusts: with one proxy it is the last entry,
/// with two the last but one. Whatever stands before was written by the client and is not looked at.
///
/// `None` where there are fewer entries, where `hops` is zero, and where the entry is not `ip`, `ip:port`, `[ipv6]` or
/// `[ipv6]:port`. IPv4 addresses in IPv6 form come out as IPv4.
pub fn forwarded_for<'a>(values: impl Iterator<Item = &'a [u8]> + Clone, hops: usize) -> Option<IpAddr> {
    let entries = values.flat_map(elements);
    let before = entries.clone().count().checked_sub(hops)?;
    parse_entry(std::str::from_utf8(entries.clone().nth(before)?).ok()?).map(|address| address.to_canonical())
}

fn parse_entry(entry: &str) -> Option<IpAddr> {
    if let Ok(address) = entry.parse::<IpAddr>() {
        return Some(address);
    }
    if let Some(rest) = entry.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let sound = port.is_empty() || port.strip_prefix(':').and_then(parse_port).is_some();
        return address.parse::<Ipv6Addr>().ok().filter(|_| sound).map(IpAddr::V6);
    }
    let (address, port) = entry.split_once(':')?;
    parse_port(port)?;
    address.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(lines: &[&str], hops: usize, expected: Option<&str>) {
        let address = forwarded_for(lines.iter().map(|line| line.as_bytes()), hops);
        assert_eq!(address, expected.map(|text| text.parse().unwrap()), "{lines:?}, {hops} hops");
    }

    #[test]
    fn only_entries_of_trusted_proxies_count() {
        check(&["1.1.1.1"], 1, Some("1.1.1.1"));
        check(&["6.6.6.6, 1.1.1.1"], 1, Some("1.1.1.1"));
        check(&["6.6.6.6, 1.1.1.1 ,2.2.2.2"], 2, Some("1.1.1.1"));
        check(&["6.6.6.6", "garbage", "1.1.1.1", "2.2.2.2"], 2, Some("1.1.1.1"));
        check(&["6.6.6.6, 1.1.1.1", "2.2.2.2,3.3.3.3"], 3, Some("1.1.1.1"));
        check(&["", ", 1.1.1.1"], 1, Some("1.1.1.1"));
    }

    #[test]
    fn too_few_entries_and_no_hops_give_none() {
        check(&[], 1, None);
        check(&["1.1.1.1"], 2, None);
        check(&["1.1.1.1"], 0, None);
        check(&["1.1.1.1"], usize::MAX, None);
    }

    #[test]
    fn addresses_come_with_or_without_ports() {
        check(&["1.1.1.1:65535"], 1, Some("1.1.1.1"));
        check(&["2001:db8::1"], 1, Some("2001:db8::1"));
        check(&["[2001:db8::1]"], 1, Some("2001:db8::1"));
        check(&["[2001:db8::1]:443"], 1, Some("2001:db8::1"));
        check(&["::ffff:1.2.3.4"], 1, Some("1.2.3.4"));
        check(&["[::ffff:102:304]:80"], 1, Some("1.2.3.4"));
    }

    #[test]
    fn garbage_in_the_entry_that_counts_gives_none() {
        for entry in [
            "",
            "unknown",
            "_hidden",
            "1.1.1",
            "1.1.1.1.1",
            "1.1.1.256",
            "01.1.1.1",
            "1.1.1.1:",
            "1.1.1.1:x",
            "1.1.1.1:65536",
            "1.1.1.1:+80",
            "1.1.1.1 2.2.2.2",
            "\"1.1.1.1\"",
            "[1.1.1.1]",
            "[1.1.1.1]:80",
            "[::1",
            "[::1]80",
            "[::1]:",
            "::1]",
            "fe80::1%eth0",
            "localhost",
            "1.1.1.1;",
            "1.1.1.1\0",
            "\u{661}.1.1.1",
        ] {
            check(&["9.9.9.9", entry], 1, None);
        }
        assert_eq!(forwarded_for([&b"\xff\xfe"[..]].into_iter(), 1), None);
    }
}
