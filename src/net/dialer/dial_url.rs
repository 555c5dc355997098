//! What to dial and over which wire, as people write it.

use crate::wire::Wire;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// A server to dial: `tcp://host:port` (length prefix), `line://host:port`, `raw://host:port` or `unix:///path` (line).
///
/// Without a scheme it is `line`, and so is `auto://`, which a gateway prints for a listener that takes any wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialUrl {
    /// How messages are framed.
    pub wire: Wire,
    /// Where it is.
    pub(super) place: Place,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// Host and port; a host's name is resolved anew for each attempt.
    Tcp(String),
    Unix(PathBuf),
}

/// What is wrong with an address to dial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialUrlError {
    url: String,
    mend: &'static str,
}

impl fmt::Display for DialUrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no address to dial: {}", self.url, self.mend)
    }
}

impl std::error::Error for DialUrlError {}

impl FromStr for DialUrl {
    type Err = DialUrlError;

    fn from_str(url: &str) -> Result<Self, DialUrlError> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("line", url));
        parse(scheme, rest).map_err(|mend| DialUrlError { url: url.to_owned(), mend })
    }
}

fn parse(scheme: &str, rest: &str) -> Result<DialUrl, &'static str> {
    let wire = match scheme {
        "tcp" => Wire::Length,
        "line" | "auto" | "unix" => Wire::Line,
        "raw" => Wire::Raw,
        _ => return Err("begin with tcp://, line://, raw:// or unix://"),
    };
    let place = match (scheme, rest) {
        ("unix", "") => return Err("name a path, as in unix:///run/gateway.sock"),
        ("unix", path) => Place::Unix(path.into()),
        _ => Place::Tcp(host_and_port(rest)?),
    };
    Ok(DialUrl { wire, place })
}

fn host_and_port(address: &str) -> Result<String, &'static str> {
    let (host, port) = address.rsplit_once(':').ok_or("add a port, as in 127.0.0.1:8000")?;
    let is_bare_v6 = host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
    match (host, port.parse::<u16>()) {
        ("", _) => Err("name a host, as in 127.0.0.1:8000"),
        _ if is_bare_v6 => Err("put an IPv6 address in brackets, as in [::1]:8000"),
        (_, Err(_) | Ok(0)) => Err("the port is a number from 1 to 65535"),
        (_, Ok(_)) => Ok(address.to_owned()),
    }
}

impl fmt::Display for DialUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.wire {
            Wire::Length => "tcp",
            Wire::Line => "line",
            Wire::Raw => "raw",
        };
        match &self.place {
            Place::Tcp(address) => write!(f, "{scheme}://{address}"),
            Place::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
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

    #[test]
    fn wrong_addresses_say_the_mend() {
        check("http://127.0.0.1:1", Err("tcp://"));
        check("127.0.0.1", Err("add a port"));
        check("tcp://:80", Err("name a host"));
        check("line://x:99999", Err("65535"));
        check("line://x:0", Err("65535"));
        check("tcp://::1:80", Err("brackets"));
        check("unix://", Err("path"));
    }
}
