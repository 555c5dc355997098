//! Where to listen and for which wire, as people write it.

use crate::connection::ListenWire;
use crate::wire::Wire;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// A place to listen: `auto://127.0.0.1:8000`, `tcp://`, `line://`, `raw://` or `unix:///run/gateway.sock`. Without a
/// scheme it is `auto`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenUrl {
    /// How messages of its connections are framed.
    pub wire: ListenWire,
    /// Where it is.
    pub(super) place: Place,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// Host and port; port 0 takes a free one.
    Tcp(String),
    Unix(PathBuf),
}

/// What is wrong with a listening address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenUrlError {
    url: String,
    mend: &'static str,
}

impl fmt::Display for ListenUrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no address to listen on: {}", self.url, self.mend)
    }
}

impl std::error::Error for ListenUrlError {}

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
    type Err = ListenUrlError;

    fn from_str(url: &str) -> Result<Self, ListenUrlError> {
        let wrong = |mend| ListenUrlError { url: url.to_owned(), mend };
        let (scheme, rest) = url.split_once("://").unwrap_or(("auto", url));
        let wire = match scheme {
            "auto" | "unix" => ListenWire::Auto,
            "tcp" => ListenWire::Fixed(Wire::Length),
            "line" => ListenWire::Fixed(Wire::Line),
            "raw" => ListenWire::Fixed(Wire::Raw),
            _ => return Err(wrong("begin with auto://, tcp://, line://, raw:// or unix://")),
        };
        if scheme == "unix" {
            return match rest {
                "" => Err(wrong("name a path, as in unix:///run/gateway.sock")),
                path => Ok(Self { wire, place: Place::Unix(path.into()) }),
            };
        }
        let (host, port) = rest.rsplit_once(':').ok_or_else(|| wrong("add a port, as in 127.0.0.1:8000"))?;
        port.parse::<u16>().map_err(|_| wrong("the port is a number from 0 to 65535"))?;
        let bare_v6 = host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
        match host {
            "" => Err(wrong("name a host; 0.0.0.0 is every IPv4 address of this machine, [::] every address")),
            _ if bare_v6 => Err(wrong("put an IPv6 address in brackets, as in [::1]:8000")),
            _ => Ok(Self::tcp(wire, rest)),
        }
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
        match &self.place {
            Place::Tcp(address) => write!(f, "{scheme}://{address}"),
            Place::Unix(path) => write!(f, "unix://{}", path.display()),
        }
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
