//! Where to listen and for which wire, as people write it.

use super::place::{Place, UrlError};
use crate::connection::{Door, Encryption, ListenWire};
use crate::wire::Wire;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A place to listen: `auto://127.0.0.1:8000`, `tcp://`, `line://`, `raw://`, `ws://`, `wss://`, `tls://` (what `auto`
/// takes, inside TLS) or `unix:///run/gateway.sock`. Without a scheme it is `auto`. Port 0 takes a free one. With
/// `?proxy` at its end it is for proxies, which begin with a header of the PROXY protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenUrl {
    /// How messages of its connections are framed.
    pub wire: ListenWire,
    /// Whether its connections have to begin with TLS. On `auto` they may, where a certificate is set.
    pub tls: bool,
    /// Whether a proxy tells first who connects.
    pub proxy: bool,
    /// Where it is.
    pub(super) place: Place,
}

impl ListenUrl {
    /// The same listener at the address it really has.
    pub(super) fn at(&self, address: impl fmt::Display) -> Self {
        Self { place: Place::Tcp(address.to_string()), ..self.clone() }
    }

    /// Host and port, where it is a TCP address.
    pub fn tcp_address(&self) -> Option<&str> {
        match &self.place {
            Place::Tcp(address) => Some(address),
            Place::Unix(_) => None,
        }
    }

    /// What it says about its connections, where TLS is served or not.
    pub(super) fn door(&self, serves_tls: bool) -> Door {
        let encryption = match self.wire {
            _ if self.tls => Encryption::Required,
            ListenWire::Auto if serves_tls => Encryption::Offered,
            ListenWire::Auto | ListenWire::Fixed(_) => Encryption::None,
        };
        let local = match &self.place {
            Place::Tcp(address) => is_loopback(address),
            Place::Unix(_) => true,
        };
        Door { wire: self.wire, http: cfg!(feature = "websocket"), encryption, proxy: self.proxy, local }
    }

    fn scheme(&self) -> &'static str {
        match (self.wire, self.tls) {
            (ListenWire::Auto, false) => "auto",
            (ListenWire::Auto, true) => "tls",
            (ListenWire::Fixed(Wire::Length), _) => "tcp",
            (ListenWire::Fixed(Wire::Line), _) => "line",
            (ListenWire::Fixed(Wire::Raw), _) => "raw",
            (ListenWire::Fixed(Wire::WebSocket), false) => "ws",
            (ListenWire::Fixed(Wire::WebSocket), true) => "wss",
        }
    }
}

impl FromStr for ListenUrl {
    type Err = UrlError;

    fn from_str(url: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("auto", url));
        let (rest, proxy) = rest.strip_suffix("?proxy").map_or((rest, false), |rest| (rest, true));
        let (wire, tls) = match scheme {
            "auto" | "unix" => (ListenWire::Auto, false),
            "tls" if cfg!(feature = "tls") => (ListenWire::Auto, true),
            "tcp" => (ListenWire::Fixed(Wire::Length), false),
            "line" => (ListenWire::Fixed(Wire::Line), false),
            "raw" => (ListenWire::Fixed(Wire::Raw), false),
            "ws" if cfg!(feature = "websocket") => (ListenWire::Fixed(Wire::WebSocket), false),
            "wss" if cfg!(all(feature = "websocket", feature = "tls")) => (ListenWire::Fixed(Wire::WebSocket), true),
            _ => {
                let mend = "begin with auto://, tcp://, line://, raw://, ws://, wss://, tls:// or unix://";
                return Err(UrlError::new(url, mend));
            }
        };
        let place = Place::parse(scheme, rest).map_err(|mend| UrlError::new(url, mend))?;
        Ok(Self { wire, tls, proxy, place })
    }
}

/// Whether this is a loopback address; a name is one of this machine only where it is `localhost`.
fn is_loopback(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host).trim_matches(['[', ']']);
    host.parse::<IpAddr>().map_or(host == "localhost", |ip| ip.to_canonical().is_loopback())
}

impl fmt::Display for ListenUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.write(self.scheme(), f)?;
        f.write_str(if self.proxy { "?proxy" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_as_they_are_written() {
        for url in [
            "auto://127.0.0.1:8000",
            "tcp://[::1]:1",
            "line://host:2",
            "raw://0.0.0.0:0",
            "unix:///tmp/x",
            "auto://[::]:1?proxy",
        ] {
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
