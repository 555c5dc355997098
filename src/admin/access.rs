//! Who may use the HTTP API and look at figures.

use crate::gateway::{Peer, Request};
use crate::wire::http::Status;
use std::hint::black_box;

/// What is asked of callers.
///
/// With a key: that they show it, in `X-API-Key: <key>` or `Authorization: apikey <key>`. Without one: that they are on
/// this machine, by a listener that only this machine reaches, and neither a browser nor behind a proxy. A browser
/// tells itself by `Origin`, which it sends with every POST, and is no caller even in insecure mode: any page that
/// somebody on this machine looks at could be behind it.
#[derive(Debug, Clone, Copy)]
pub struct Access<'a> {
    /// The key to be shown.
    pub api_key: Option<&'a str>,
    /// Nobody is asked for a key, wherever they come from.
    pub insecure: bool,
    /// The caller's connection came by a listener that only this machine reaches.
    pub listener_is_loopback: bool,
}

/// Fields that a proxy adds: behind one, everybody seems to be on this machine.
const PROXY_FIELDS: [&str; 4] = ["x-forwarded-for", "forwarded", "x-real-ip", "via"];

impl Access<'_> {
    /// What is asked where no key is set.
    pub fn keyless(request: &Request<'_>) -> Self {
        Self { api_key: None, insecure: false, listener_is_loopback: request.local }
    }

    /// 401: the key is missing or wrong. 403: without a key, not for this caller.
    pub(super) fn check(&self, request: &Request<'_>) -> Result<(), Status> {
        match self.api_key {
            Some(key) if !self.insecure => key_shown(request)
                .filter(|shown| !key.is_empty() && are_same(shown, key.as_bytes()))
                .map_or(Err(Status::Unauthorized), |_| Ok(())),
            _ if request.head.field("origin").is_some() => Err(Status::Forbidden),
            _ if self.insecure || self.is_local(request) => Ok(()),
            _ => Err(Status::Forbidden),
        }
    }

    fn is_local(&self, request: &Request<'_>) -> bool {
        let from_here = match request.peer {
            Peer::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Peer::Unix => true,
        };
        from_here && self.listener_is_loopback && PROXY_FIELDS.iter().all(|name| request.head.field(name).is_none())
    }
}

fn key_shown<'r>(request: &Request<'r>) -> Option<&'r [u8]> {
    request.head.field("x-api-key").or_else(|| apikey(request.head.field("authorization")?))
}

/// The key behind the scheme `apikey`, which may be in any case (RFC 9110, section 11.1).
fn apikey(authorization: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = authorization.split_at_checked(6)?;
    (scheme.eq_ignore_ascii_case(b"apikey") && rest.starts_with(b" ")).then(|| rest.trim_ascii_start())
}

/// Takes as long for any wrong text of the right length, so that a key can't be guessed byte by byte.
fn are_same(shown: &[u8], key: &[u8]) -> bool {
    let differences = shown.iter().zip(key).fold(0, |differences, (a, b)| black_box(differences | (a ^ b)));
    shown.len() == key.len() && differences == 0
}
