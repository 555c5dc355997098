//! What to dial and over which wire, as people write it.

use crate::net::place::{Place, UrlError};
use crate::wire::Wire;
use std::fmt;
use std::str::FromStr;

/// A server to dial: `tcp://host:port` (length prefix), `line://host:port`, `raw://host:port` or `unix:///path` (line).
///
/// Without a scheme it is `line`, and so is `auto://`, which a gateway prints for a listener that takes any wire. A
/// host's name is resolved anew for each attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialUrl {
    /// How messages are framed.
    pub wire: Wire,
    /// Where it is.
    pub(super) place: Place,
}

impl FromStr for DialUrl {
    type Err = UrlError;

    fn from_str(url: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("line", url));
        let wire = match scheme {
            "tcp" => Wire::Length,
            "line" | "auto" | "unix" => Wire::Line,
            "raw" => Wire::Raw,
            _ => return Err(UrlError::new(url, "begin with tcp://, line://, raw:// or unix://")),
        };
        match Place::parse(scheme, rest).map_err(|mend| UrlError::new(url, mend))? {
            Place::Tcp(address) if address.ends_with(":0") => {
                Err(UrlError::new(url, "nobody listens on port 0; the port is a number from 1 to 65535"))
            }
            place => Ok(Self { wire, place }),
        }
    }
}

impl fmt::Display for DialUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.wire {
            Wire::Length => "tcp",
            Wire::Line => "line",
            Wire::Raw => "raw",
        };
        self.place.write(scheme, f)
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
