//! What to dial and over which wire, as people write it.

use crate::net::place::{Place, UrlError};
use crate::wire::Wire;
use std::fmt;
use std::str::FromStr;

/// A server to dial: `ws://host[:port][/path][?query]`, `wss://` (the same inside TLS), `tcp://host:port` (length
/// prefix), `line://host:port`, `tls://host:port` (line inside TLS), `raw://host:port` or `unix:///path` (line).
///
/// Without a scheme it is `line`, and so is `auto://`, which a gateway prints for a listener that takes any wire. The
/// ports of `ws` and `wss` are 80 and 443 where none is given. A host's name is resolved anew for each attempt, and
/// inside TLS the server's certificate has to be for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialUrl {
    /// How messages are framed.
    pub wire: Wire,
    /// Whether all of it goes through TLS.
    pub tls: bool,
    /// Where it is.
    pub(in crate::net) place: Place,
    /// What a WebSocket is asked for, with its query; empty for the root.
    path: String,
}

impl DialUrl {
    /// Host and port as they stand in a request: without the port, where it is the default one (RFC 6455, section 4.1).
    #[cfg(feature = "websocket")]
    pub(in crate::net) fn host(&self) -> &str {
        let Place::Tcp(address) = &self.place else {
            return "";
        };
        let default = format!(":{}", default_port(self.tls));
        address.strip_suffix(default.as_str()).unwrap_or(address)
    }

    /// Path and query.
    #[cfg(feature = "websocket")]
    pub(in crate::net) fn path(&self) -> &str {
        &self.path
    }

    fn scheme(&self) -> &'static str {
        match (self.wire, self.tls) {
            (Wire::Length, _) => "tcp",
            (Wire::Line, false) => "line",
            (Wire::Line, true) => "tls",
            (Wire::Raw, _) => "raw",
            (Wire::WebSocket, false) => "ws",
            (Wire::WebSocket, true) => "wss",
        }
    }
}

impl FromStr for DialUrl {
    type Err = UrlError;

    fn from_str(url: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("line", url));
        let read = spoken(scheme).and_then(|(wire, tls)| match wire {
            Wire::WebSocket => parse_websocket(rest, tls),
            wire => Ok(Self { wire, tls, place: Place::parse(scheme, rest)?, path: String::new() }),
        });
        match read.map_err(|mend| UrlError::new(url, mend))? {
            Self { place: Place::Tcp(address), .. } if address.ends_with(":0") => {
                Err(UrlError::new(url, "nobody listens on port 0; the port is a number from 1 to 65535"))
            }
            read => Ok(read),
        }
    }
}

impl fmt::Display for DialUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[cfg(feature = "websocket")]
        if self.wire == Wire::WebSocket {
            return write!(f, "{}://{}{}", self.scheme(), self.host(), self.path);
        }
        self.place.write(self.scheme(), f)
    }
}

/// The wire of a scheme, and whether it goes through TLS; the error is the mend.
fn spoken(scheme: &str) -> Result<(Wire, bool), &'static str> {
    let (wire, tls) = match scheme {
        "tcp" => (Wire::Length, false),
        "line" | "auto" | "unix" => (Wire::Line, false),
        "raw" => (Wire::Raw, false),
        "tls" => (Wire::Line, true),
        "ws" => (Wire::WebSocket, false),
        "wss" => (Wire::WebSocket, true),
        _ => return Err("begin with ws://, wss://, tcp://, line://, tls://, raw:// or unix://"),
    };
    match wire {
        _ if tls && !cfg!(feature = "tls") => Err("this build has no TLS; build it with the feature `tls`"),
        Wire::WebSocket if !cfg!(feature = "websocket") => {
            Err("this build has no WebSocket; build it with the feature `websocket`")
        }
        wire => Ok((wire, tls)),
    }
}

/// Reads what stands behind `ws://`; the error is the mend.
#[cfg(feature = "websocket")]
fn parse_websocket(rest: &str, tls: bool) -> Result<DialUrl, &'static str> {
    if rest.contains('#') {
        return Err("leave out the part from # on, which is no part of what a server is asked for");
    }
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let has_port = authority.rsplit_once(']').map_or(authority, |(_, behind)| behind).contains(':');
    let address = if has_port { authority.to_owned() } else { format!("{authority}:{}", default_port(tls)) };
    let place = Place::parse("ws", &address)?;
    crate::wire::http::split_host_port(&address).ok_or("the host is a name or an address, and nothing before it")?;
    Ok(DialUrl { wire: Wire::WebSocket, tls, place, path: path.to_owned() })
}

#[cfg(not(feature = "websocket"))]
fn parse_websocket(_: &str, _: bool) -> Result<DialUrl, &'static str> {
    unreachable!("spoken() knows no WebSocket")
}

#[cfg(feature = "websocket")]
fn default_port(tls: bool) -> u16 {
    if tls { 443 } else { 80 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, expected: Result<&str, &str>) {
        match (url.parse::<DialUrl>(), expected) {
            (Ok(read), Ok(written)) => assert_eq!(read.to_string(), written),
            (Err(error), Err(word)) => {
                assert!(error.to_string().contains(word) && error.to_string().contains(url), "{error}");
            }
            (read, expected) => panic!("{url}: {read:?}, not {expected:?}"),
        }
    }

    #[test]
    fn addresses_read_as_they_are_written() {
        for url in ["tcp://[::1]:1", "line://example.org:2", "raw://127.0.0.1:65535", "unix:///tmp/x"] {
            check(url, Ok(url));
        }
    }

    #[test]
    fn lines_are_spoken_where_nothing_else_is_said() {
        check("127.0.0.1:8000", Ok("line://127.0.0.1:8000"));
        check("auto://127.0.0.1:8000", Ok("line://127.0.0.1:8000"));
    }

    #[cfg(feature = "tls")]
    #[test]
    fn lines_go_through_tls_too() {
        check("tls://127.0.0.1:8000", Ok("tls://127.0.0.1:8000"));
        check("tls://127.0.0.1", Err("add a port"));
        let url: DialUrl = "tls://[::1]:8000".parse().unwrap();
        assert_eq!((url.wire, url.tls, url.place.host()), (Wire::Line, true, Some("::1")));
    }

    #[cfg(feature = "websocket")]
    #[test]
    fn a_websocket_has_a_path_and_a_port_that_may_be_left_out() {
        for (url, shown, host, path) in [
            ("ws://example.org", "ws://example.org", "example.org", ""),
            ("ws://example.org:80/", "ws://example.org/", "example.org", "/"),
            ("ws://example.org:443/a/b?c=d/e", "ws://example.org:443/a/b?c=d/e", "example.org:443", "/a/b?c=d/e"),
            ("ws://127.0.0.1:8000?token=x:y", "ws://127.0.0.1:8000?token=x:y", "127.0.0.1:8000", "?token=x:y"),
            ("ws://[::1]/x:y", "ws://[::1]/x:y", "[::1]", "/x:y"),
            ("ws://[::1]:8080", "ws://[::1]:8080", "[::1]:8080", ""),
        ] {
            check(url, Ok(shown));
            check(shown, Ok(shown));
            let read: DialUrl = url.parse().unwrap();
            assert_eq!(read, shown.parse().unwrap(), "what is shown reads the same");
            assert_eq!((read.host(), read.path(), read.wire, read.tls), (host, path, Wire::WebSocket, false));
        }
    }

    #[cfg(all(feature = "tls", feature = "websocket"))]
    #[test]
    fn the_default_port_inside_tls_is_another() {
        check("wss://example.org:443/x", Ok("wss://example.org/x"));
        check("wss://example.org:80", Ok("wss://example.org:80"));
        let url: DialUrl = "wss://[::1]/x".parse().unwrap();
        assert_eq!((url.host(), url.place.host()), ("[::1]", Some("::1")));
        assert_eq!(url.place, Place::Tcp("[::1]:443".to_owned()));
    }

    #[cfg(feature = "websocket")]
    #[test]
    fn wrong_addresses_of_websockets_say_the_mend() {
        check("ws://", Err("name a host"));
        check("ws:///path", Err("name a host"));
        check("ws://host:/path", Err("the port is a number"));
        check("ws://host:99999/", Err("the port is a number"));
        check("ws://host:0/", Err("65535"));
        check("ws://::1/", Err("brackets"));
        check("ws://user@host/", Err("nothing before it"));
        check("ws://ho st/", Err("a name or an address"));
        check("ws://[fe80::1%25eth0]/", Err("a name or an address"));
        check("ws://host/a#b", Err("leave out the part from #"));
    }

    #[cfg(not(feature = "websocket"))]
    #[test]
    fn a_build_that_lacks_a_wire_names_its_feature() {
        check("ws://host", Err("feature `websocket`"));
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn a_build_that_lacks_tls_names_its_feature() {
        check("tls://host:1", Err("feature `tls`"));
        check("wss://host", Err("feature `tls`"));
    }

    #[test]
    fn wrong_addresses_say_the_mend() {
        check("http://127.0.0.1:1", Err("ws://"));
        check("127.0.0.1", Err("add a port"));
        check("tcp://:80", Err("name a host"));
        check("line://x:99999", Err("65535"));
        check("line://x:0", Err("65535"));
        check("tcp://::1:80", Err("brackets"));
        check("unix://", Err("path"));
    }
}
