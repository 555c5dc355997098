//! Which pages may open a WebSocket (RFC 6455, section 10.2). A browser tells the page's origin and can't be made to
//! lie; it sends the user's cookies along, so a foreign page must not pass.

use crate::wire::http::split_host_port;

/// Whether a page of `origin` may connect to a server that was asked for as `host`, the value of `Host`.
///
/// - No origin: not a browser, allowed.
/// - The origin's host and port are those of `host`, over http or https: allowed. Where `host` has no port, that is
///   the default port of the origin's scheme.
/// - Else one of `allowed` must match: an origin (`https://app.example.com`, `http://localhost:3000`), one with a
///   wildcard for its first label (`https://*.example.com`, which is one label and not more, and not none), or `*` for
///   every origin there is.
///
/// Compared are whole parts, never substrings; letters match in any case. `null`, and anything that is not just
/// `scheme://host[:port]`, passes with `*` only.
pub fn origin_allowed(origin: Option<&[u8]>, host: &str, allowed: &[String]) -> bool {
    let Some(origin) = origin else { return true };
    if allowed.iter().any(|pattern| pattern == "*") {
        return true;
    }
    let Some(origin) = std::str::from_utf8(origin).ok().and_then(Origin::parse) else { return false };
    origin.is_of(host) || allowed.iter().filter_map(|pattern| Pattern::parse(pattern)).any(|it| it.matches(&origin))
}

/// Scheme, host and port of a page.
#[derive(Debug, Clone, Copy)]
struct Origin<'a> {
    scheme: &'a str,
    host: &'a str,
    /// Its own, or the scheme's default.
    port: Option<u16>,
}

impl<'a> Origin<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let (host, port) = split_host_port(authority)?;
        is_scheme(scheme).then_some(Self { scheme, host, port: port.or_else(|| default_port(scheme)) })
    }

    fn is_of(&self, host: &str) -> bool {
        let Some((name, port)) = split_host_port(host) else { return false };
        let default = default_port(self.scheme);
        default.is_some() && self.host.eq_ignore_ascii_case(name) && self.port == port.or(default)
    }
}

/// An entry of the allow list.
#[derive(Debug, Clone, Copy)]
struct Pattern<'a> {
    origin: Origin<'a>,
    /// Any label may stand before the host.
    wildcard: bool,
}

impl<'a> Pattern<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let (authority, wildcard) = match authority.strip_prefix("*.") {
            Some(parent) => (parent, true),
            None => (authority, false),
        };
        let (host, port) = split_host_port(authority)?;
        let origin = Origin { scheme, host, port: port.or_else(|| default_port(scheme)) };
        is_scheme(scheme).then_some(Self { origin, wildcard })
    }

    fn matches(&self, origin: &Origin<'_>) -> bool {
        let host = if self.wildcard { parent(origin.host) } else { Some(origin.host) };
        self.origin.scheme.eq_ignore_ascii_case(origin.scheme)
            && self.origin.port == origin.port
            && host.is_some_and(|host| host.eq_ignore_ascii_case(self.origin.host))
    }
}

/// What is left of a host without its first label.
fn parent(host: &str) -> Option<&str> {
    host.split_once('.').and_then(|(label, parent)| (!label.is_empty()).then_some(parent))
}

/// RFC 3986, section 3.1.
fn is_scheme(scheme: &str) -> bool {
    scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        _ if scheme.eq_ignore_ascii_case("http") => Some(80),
        _ if scheme.eq_ignore_ascii_case("https") => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn allowed(origin: &str, host: &str, list: &[&str]) -> bool {
        let list: Vec<String> = list.iter().map(ToString::to_string).collect();
        origin_allowed(Some(origin.as_bytes()), host, &list)
    }

    #[test]
    fn the_same_host_and_port_pass() {
        for (origin, host) in [
            ("http://localhost:8000", "localhost:8000"),
            ("https://example.com", "example.com"),
            ("http://example.com", "example.com"),
            ("https://EXAMPLE.com", "example.COM"),
            ("https://example.com", "example.com:443"),
            ("https://example.com:443", "example.com"),
            ("http://example.com", "example.com:80"),
            ("HTTPS://example.com:8443", "example.com:8443"),
            ("http://[::1]:8000", "[::1]:8000"),
        ] {
            assert!(allowed(origin, host, &[]), "{origin} on {host}");
        }
    }

    #[test]
    fn other_hosts_and_ports_and_tricks_do_not_pass() {
        for origin in [
            "",
            "null",
            "*",
            "https://",
            "example.com",
            "//example.com",
            "https:example.com",
            "https:/example.com",
            "https://evil.com",
            "https://example.com.evil.com",
            "https://evil-example.com",
            "https://evilexample.com",
            "https://sub.example.com",
            "https://example.co",
            "https://example.com:8443",
            "https://example.com:80",
            "http://example.com:443",
            "https://example.com/",
            "https://example.com/x",
            "https://example.com?x",
            "https://example.com#x",
            "https://example.com@evil.com",
            "https://evil.com@example.com",
            "https://example.com:443@evil.com",
            "https://evil.com/https://example.com",
            "https://evil.com#https://example.com",
            "https://example.com https://evil.com",
            "https://example.com,https://evil.com",
            "https://example.com\0",
            " https://example.com",
            "https://example.com.",
            "https://example.com:",
            "ftp://example.com",
            "chrome-extension://example.com",
            "ws://example.com",
            "javascript://example.com",
            "1https://example.com",
            "https ://example.com",
            "https://ex\u{e4}mple.com",
        ] {
            assert_eq!(allowed(origin, "example.com", &[]), origin == "https://example.com:", "{origin}");
            assert!(allowed(origin, "example.com", &["https://x.com", "*"]), "{origin} with all allowed");
        }
        assert!(!origin_allowed(Some(b"https://example.com\xff"), "example.com", &[]));
        assert!(!allowed("https://example.com", "", &[]));
        assert!(!allowed("https://example.com", "not a host", &[]));
    }

    #[test]
    fn no_origin_is_no_browser() {
        assert!(origin_allowed(None, "example.com", &[]));
    }

    #[test]
    fn an_origin_on_the_list_passes_exactly() {
        let list = ["https://app.example.com", "http://localhost:3000", "capacitor://localhost", "https://[::1]:9"];
        for origin in [
            "https://app.example.com",
            "https://APP.example.com:443",
            "http://localhost:3000",
            "capacitor://localhost",
            "https://[::1]:9",
        ] {
            assert!(allowed(origin, "h", &list), "{origin}");
        }
        for origin in [
            "http://app.example.com",
            "https://app.example.com:444",
            "https://x.app.example.com",
            "https://example.com",
            "http://localhost",
            "http://localhost:30000",
            "https://localhost:3000",
            "ionic://localhost",
            "capacitor://localhost:1",
            "null",
        ] {
            assert!(!allowed(origin, "h", &list), "{origin}");
        }
    }

    #[test]
    fn a_wildcard_is_one_label() {
        let list = ["https://*.example.com", "http://*.test:3000"];
        for origin in
            ["https://a.example.com", "https://A.EXAMPLE.com", "https://a-b.example.com:443", "http://x.test:3000"]
        {
            assert!(allowed(origin, "h", &list), "{origin}");
        }
        for origin in [
            "https://example.com",
            "https://.example.com",
            "https://a.b.example.com",
            "https://aexample.com",
            "https://a.example.com.evil.com",
            "http://a.example.com",
            "https://a.example.com:8443",
            "https://evil.com/.example.com",
            "https://evil.com?.example.com",
            "https://*.example.com",
            "http://x.test",
        ] {
            assert!(!allowed(origin, "h", &list), "{origin}");
        }
    }

    #[test]
    fn entries_that_are_no_origins_match_nothing() {
        let list = [
            "",
            "example.com",
            "https://",
            "https://*",
            "https://*.",
            "https://a*.example.com",
            "https://*.*.com",
            "**",
            "null",
        ];
        for origin in ["https://example.com", "https://a.example.com", "https://a.b.com", "null", "", "https://a."] {
            assert!(!allowed(origin, "h", &list), "{origin}");
        }
    }

    proptest! {
        #[test]
        fn whatever_passes_is_the_host_or_on_the_list(origin in "[a-z.:/@#?* ]{0,12}(example\\.com)?[a-z.:/@#?* ]{0,12}") {
            let passed = allowed(&origin, "example.com", &["https://*.example.com"]);
            let known = ["http://example.com", "https://example.com"].contains(&origin.trim_end_matches(':'));
            let label = origin.trim_end_matches(':').strip_prefix("https://").and_then(|it| it.strip_suffix(".example.com"));
            prop_assert_eq!(passed, known || label.is_some_and(|it| !it.is_empty() && it.chars().all(|c| c.is_ascii_lowercase())));
        }
    }
}
