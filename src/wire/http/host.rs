//! A host with its port, as it stands in `Host`, in a request's target and in an origin (RFC 9110, section 7.2).

use std::net::Ipv6Addr;

/// The longest name that DNS can carry, in characters.
const MAX_NAME: usize = 255;

/// Cuts `host[:port]` into its parts; `None` where it is anything else.
///
/// A host is a name of letters, digits and `.-_~`, an IPv4 address, or an IPv6 address in brackets, which stay on. User
/// names, percent signs, spaces and whatever else a stricter or laxer reader could take for another host are refused.
/// An empty port counts as none.
pub fn split_host_port(text: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = split(text)?;
    let port = match port {
        None | Some("") => None,
        Some(digits) => Some(parse_port(digits)?),
    };
    Some((host, port))
}

/// One to five digits, at most 65535.
pub(crate) fn parse_port(digits: &str) -> Option<u16> {
    let plain = digits.len() <= 5 && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

fn split(text: &str) -> Option<(&str, Option<&str>)> {
    if text.starts_with('[') {
        return split_literal(text);
    }
    let (host, port) = match text.bytes().position(|byte| byte == b':') {
        Some(colon) => (text.get(..colon)?, text.get(colon + 1..)),
        None => (text, None),
    };
    is_name(host).then_some((host, port))
}

fn split_literal(text: &str) -> Option<(&str, Option<&str>)> {
    let end = text.find(']')?;
    let (host, rest) = text.split_at(end + 1);
    host.get(1..end)?.parse::<Ipv6Addr>().ok()?;
    match rest {
        "" => Some((host, None)),
        _ => Some((host, Some(rest.strip_prefix(':')?))),
    }
}

fn is_name(host: &str) -> bool {
    (1..=MAX_NAME).contains(&host.len()) && host.bytes().all(|byte| IN_NAME[usize::from(byte)])
}

/// What a name is made of (RFC 3986, section 3.2.2, without percent signs and delimiters).
const IN_NAME: [bool; 256] = {
    let mut allowed = [false; 256];
    let mut byte = 0u8;
    while byte < 128 {
        allowed[byte as usize] = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
        byte += 1;
    }
    allowed
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_come_apart() {
        for (text, expected) in [
            ("example.com", ("example.com", None)),
            ("example.com:8000", ("example.com", Some(8000))),
            ("example.com:", ("example.com", None)),
            ("EXAMPLE.com.:65535", ("EXAMPLE.com.", Some(65535))),
            ("127.0.0.1:0", ("127.0.0.1", Some(0))),
            ("my_service~1", ("my_service~1", None)),
            ("[::1]", ("[::1]", None)),
            ("[fd00::1]:443", ("[fd00::1]", Some(443))),
        ] {
            assert_eq!(split_host_port(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_could_be_taken_for_another_host_is_none() {
        for text in [
            "",
            ":80",
            "a:b",
            "a:+80",
            "a:65536",
            "a:000080",
            "a:80:80",
            "user@a",
            "a b",
            "a,b",
            "a/b",
            "a%20b",
            "ä",
            "::1",
            "[::1",
            "[::1]80",
            "[::1]x:80",
            "[]",
            "[1.2.3.4]",
            "[fe80::1%eth0]",
            "a\0",
            "a\t",
            "[::1]:x",
        ] {
            assert_eq!(split_host_port(text), None, "{text}");
        }
        assert_eq!(split_host_port(&"a".repeat(256)), None);
        assert!(split_host_port(&"a".repeat(255)).is_some());
    }
}
