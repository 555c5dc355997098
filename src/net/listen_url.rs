//! Where to listen and for which wire, as people write it.

use super::place::{Place, UrlError};
use crate::connection::ListenWire;
use crate::wire::Wire;
use std::fmt;
use std::str::FromStr;

/// A place to listen: `auto://127.0.0.1:8000`, `tcp://`, `line://`, `raw://` or `unix:///run/gateway.sock`. Without a
/// scheme it is `auto`. Port 0 takes a free one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenUrl {
    /// How messages of its connections are framed.
    pub wire: ListenWire,
    /// Where it is.
    pub(super) place: Place,
}

impl ListenUrl {
    pub(super) fn tcp(wire: ListenWire, address: impl fmt::Display) -> Self {
        Self { wire, place: Place::Tcp(address.to_string()) }
    }

    /// Host and port, where it is a TCP address.
    pub fn tcp_address(&self) -> Option<&str> {
        match &self.place {
            Place::Tcp(address) => Some(address),
            Place::Unix(_) => None,
        }
    }
}

impl FromStr for ListenUrl {
    type Err = UrlError;

    fn from_str(url: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("auto", url));
        let wire = match scheme {
            "auto" | "unix" => ListenWire::Auto,
            "tcp" => ListenWire::Fixed(Wire::Length),
            "line" => ListenWire::Fixed(Wire::Line),
            "raw" => ListenWire::Fixed(Wire::Raw),
            _ => return Err(UrlError::new(url, "begin with auto://, tcp://, line://, raw:// or unix://")),
        };
        let place = Place::parse(scheme, rest).map_err(|mend| UrlError::new(url, mend))?;
        Ok(Self { wire, place })
    }
}

impl fmt::Display for ListenUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.wire {
            ListenWire::Auto => "auto",
            ListenWire::Fixed(Wire::Length) => "tcp",
            ListenWire::Fixed(Wire::Line) => "line",
            ListenWire::Fixed(Wire::Raw) => "raw",
        };
        self.place.write(scheme, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_as_they_are_written() {
        for url in ["auto://127.0.0.1:8000", "tcp://[::1]:1", "line://host:2", "raw://0.0.0.0:0", "unix:///tmp/x"] {
            assert_eq!(url.parse::<ListenUrl>().unwrap().to_string(), url);
        }
        assert_eq!("127.0.0.1:8000".parse::<ListenUrl>().unwrap().to_string(), "auto://127.0.0.1:8000");
    }

    #[test]
    fn wrong_addresses_say_the_mend() {
        for (url, word) in [
            ("http://127.0.0.1:1", "auto://"),
            ("127.0.0.1", "add a port"),
            ("tcp://:80", "name a host"),
            ("line://x:99999", "65535"),
            ("tcp://::1:80", "brackets"),
            ("unix://", "path"),
        ] {
            let error = url.parse::<ListenUrl>().unwrap_err().to_string();
            assert!(error.contains(word) && error.contains(url), "{error}");
        }
    }
}
