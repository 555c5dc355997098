//! The part of an address that listening and dialling share: a host and port, or a path.

use std::fmt;
use std::path::PathBuf;

/// Where a socket is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// Host and port.
    Tcp(String),
    Unix(PathBuf),
}

/// What is wrong with an address, and the mend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlError {
    url: String,
    mend: &'static str,
}

impl UrlError {
    pub(super) fn new(url: &str, mend: &'static str) -> Self {
        Self { url: url.to_owned(), mend }
    }
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no address: {}", self.url, self.mend)
    }
}

impl std::error::Error for UrlError {}

impl Place {
    /// Reads what stands behind `unix://` or behind the scheme of a wire; the error is the mend.
    pub(super) fn parse(scheme: &str, rest: &str) -> Result<Self, &'static str> {
        if scheme == "unix" {
            return match rest {
                "" => Err("name a path, as in unix:///run/gateway.sock"),
                path => Ok(Place::Unix(path.into())),
            };
        }
        let (host, port) = rest.rsplit_once(':').ok_or("add a port, as in 127.0.0.1:8000")?;
        let is_bare_v6 = host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
        match port.parse::<u16>() {
            _ if host.is_empty() => {
                Err("name a host; 0.0.0.0 is every IPv4 address of this machine, [::] every address")
            }
            _ if is_bare_v6 => Err("put an IPv6 address in brackets, as in [::1]:8000"),
            Err(_) => Err("the port is a number from 0 to 65535"),
            Ok(_) => Ok(Place::Tcp(rest.to_owned())),
        }
    }

    /// The host without its port, and without the brackets of an IPv6 address; none of a path.
    #[cfg(feature = "tls")]
    pub(super) fn host(&self) -> Option<&str> {
        match self {
            Place::Tcp(address) => Some(address.rsplit_once(':')?.0.trim_start_matches('[').trim_end_matches(']')),
            Place::Unix(_) => None,
        }
    }

    /// Writes the address as it is read; a path's scheme is its own.
    pub(super) fn write(&self, scheme: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Tcp(address) => write!(f, "{scheme}://{address}"),
            Place::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}
