//! Whether a dialer speaks TLS, whom it trusts then, and the name that its server must have.

use super::{DialError, DialUrl};
use crate::net::socket::Socket;
use crate::net::stream::Stream;
#[cfg(feature = "tls")]
use crate::net::tls::{Inside, Session, client_config, server_name};
#[cfg(feature = "tls")]
use crate::wire::Wire;
#[cfg(feature = "tls")]
use rustls::{ClientConfig, pki_types::ServerName};
use std::io;
use std::path::Path;
#[cfg(feature = "tls")]
use std::sync::Arc;

/// What each stream of a dialer goes through before its first message.
#[derive(Debug, Default)]
pub(in crate::net) struct Security {
    #[cfg(feature = "tls")]
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

impl Security {
    /// What `url` asks for, with the authorities in this PEM file, or else with the system's.
    #[cfg(feature = "tls")]
    pub(in crate::net) fn new(url: &DialUrl, ca: Option<&Path>) -> Result<Self, DialError> {
        let Some(host) = url.place.host().filter(|_| url.tls) else {
            return Ok(Self { tls: None });
        };
        let inside = if url.wire == Wire::WebSocket { Inside::Http } else { Inside::Wire };
        let config = client_config(ca, inside).map_err(DialError::Tls)?;
        Ok(Self { tls: Some((config, server_name(host).map_err(DialError::Url)?)) })
    }

    /// Nothing, in a build without TLS.
    #[cfg(not(feature = "tls"))]
    pub(in crate::net) fn new(_: &DialUrl, _: Option<&Path>) -> Result<Self, DialError> {
        Ok(Self::default())
    }

    /// The stream, which is connected, with a TLS handshake before it that waits for a flush, where there is to be one.
    pub(in crate::net) fn secure(&self, stream: Stream) -> io::Result<Socket> {
        #[cfg(feature = "tls")]
        if let Some((config, name)) = &self.tls {
            let session = Session::client(config.clone(), name.clone())?;
            return Ok(Socket::Tls(Box::new((stream, session))));
        }
        Ok(Socket::Plain(stream))
    }
}
