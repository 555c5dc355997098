//! Tokens of clients: JSON Web Tokens (RFC 7519) in, what they say out, once their signature and times hold.
//!
//! The key decides by which algorithm a token is verified; the token's header only says which keys to try. No clock is
//! read: the time is an argument. Tokens are never made here.

mod keys;
#[cfg(test)]
mod tests;

use crate::config::{SettingError, TokenKeys};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keys::Key;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::fmt;

/// Verifies tokens with the keys it was made of; any one of them suffices.
#[derive(Debug)]
pub struct Verifier {
    keys: Vec<Key>,
    audience: Option<String>,
    issuer: Option<String>,
}

/// What a token for a connection says.
#[derive(Debug, Clone)]
pub struct ConnectionClaims {
    /// The user (`sub`); empty for an anonymous one.
    pub user: String,
    /// The second, since 1970, from which on the token is no longer valid (`exp`); `None`: it never ends.
    pub expires_at: Option<u64>,
    /// What others are told of the connection (`info`): JSON without white space.
    pub info: Option<Box<RawValue>>,
    /// Channels that the connection is subscribed to by the server.
    pub channels: Vec<String>,
}

/// What a token for a subscription says.
#[derive(Debug, Clone)]
pub struct SubscriptionClaims {
    /// The user it was made for (`sub`); empty for an anonymous one.
    pub user: String,
    /// The channel it was made for.
    pub channel: String,
    /// The second, since 1970, from which on the token is no longer valid (`exp`); `None`: it never ends.
    pub expires_at: Option<u64>,
    /// What others are told of the subscription (`info`): JSON without white space.
    pub info: Option<Box<RawValue>>,
}

/// Why a token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenError {
    /// It is genuine, and its time is over: the client should get a new one.
    Expired,
    /// It is not genuine, not for us, or not yet valid; in plain words.
    Invalid(&'static str),
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired => f.write_str("the token has expired"),
            Self::Invalid(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for TokenError {}

impl Verifier {
    /// Longest token that is looked at, in bytes.
    pub const MAX_TOKEN_BYTES: usize = 16 << 10;
    /// How far ahead of ours the clock of who makes tokens may be, in seconds.
    pub const MAX_CLOCK_LEAD_SECONDS: u64 = 5;
    /// Keys of one verifier: a token may have to be tried with all of them.
    pub const MAX_KEYS: usize = 64;

    /// Reads the keys; one that cannot be used is told by its setting, and never shown.
    pub fn new(settings: &TokenKeys) -> Result<Self, SettingError> {
        let keys = keys::read(settings)?;
        Ok(Self { keys, audience: settings.audience.clone(), issuer: settings.issuer.clone() })
    }

    /// Whether there is a key, without which no token is valid.
    pub fn has_keys(&self) -> bool {
        !self.keys.is_empty()
    }

    /// What a token for a connection says, if it is valid at `unix_seconds`. One for a channel is none for a connection.
    pub fn verify_connection(&self, token: &str, unix_seconds: u64) -> Result<ConnectionClaims, TokenError> {
        let payload = self.genuine(token)?;
        let claims = self.claims(&payload, unix_seconds)?;
        if claims.channel.is_some() {
            return Err(TokenError::Invalid("the token is for a channel, not for a connection"));
        }
        Ok(ConnectionClaims {
            expires_at: claims.exp.map(|exp| exp.0),
            info: claims.info.map(compact).transpose()?,
            user: claims.sub.unwrap_or_default(),
            channels: claims.channels.unwrap_or_default(),
        })
    }

    /// What a token for a subscription says, if it is valid at `unix_seconds`. Whether it is for this user and this
    /// channel is the caller's to compare.
    pub fn verify_subscription(&self, token: &str, unix_seconds: u64) -> Result<SubscriptionClaims, TokenError> {
        let payload = self.genuine(token)?;
        let claims = self.claims(&payload, unix_seconds)?;
        Ok(SubscriptionClaims {
            expires_at: claims.exp.map(|exp| exp.0),
            info: claims.info.map(compact).transpose()?,
            user: claims.sub.unwrap_or_default(),
            channel: claims.channel.ok_or(TokenError::Invalid("the token names no channel"))?,
        })
    }

    /// The payload of a token whose signature one of the keys made (RFC 7515, section 5.2).
    fn genuine(&self, token: &str) -> Result<Vec<u8>, TokenError> {
        let parts = Parts::of(token)?;
        let header: Header = serde_json::from_slice(&parts.header).map_err(|_| MALFORMED)?;
        if header.crit.is_some() {
            return Err(TokenError::Invalid("the token demands an extension that is not known (crit)"));
        }
        let mut fitting = self.keys.iter().filter(|key| key.fits(&header.alg, header.kid.as_deref())).peekable();
        if fitting.peek().is_none() {
            return Err(TokenError::Invalid("no key is set that the token's algorithm and key id name"));
        }
        if !fitting.any(|key| key.has_signed(parts.signed, &parts.signature)) {
            return Err(TokenError::Invalid("the token's signature is not of a key that is set"));
        }
        Ok(parts.payload)
    }

    fn claims<'a>(&self, payload: &'a [u8], now: u64) -> Result<Claims<'a>, TokenError> {
        let claims: Claims<'_> =
            serde_json::from_slice(payload).map_err(|_| TokenError::Invalid("the token's claims cannot be read"))?;
        if self.issuer.is_some() && claims.iss != self.issuer {
            return Err(TokenError::Invalid("the token is of another issuer (iss)"));
        }
        if self.audience.as_ref().is_some_and(|own| !claims.is_for(own)) {
            return Err(TokenError::Invalid("the token is for another audience (aud)"));
        }
        let latest = now.saturating_add(Self::MAX_CLOCK_LEAD_SECONDS);
        if [&claims.nbf, &claims.iat].into_iter().flatten().any(|begin| begin.0 > latest) {
            return Err(TokenError::Invalid("the token is not valid yet (nbf, iat)"));
        }
        if claims.exp.as_ref().is_some_and(|end| end.0 <= now) {
            return Err(TokenError::Expired);
        }
        Ok(claims)
    }
}

const MALFORMED: TokenError = TokenError::Invalid("the token is not three parts of base64url and JSON");

/// A token taken apart (RFC 7515, section 7.1).
struct Parts<'a> {
    header: Vec<u8>,
    payload: Vec<u8>,
    signature: Vec<u8>,
    /// What the signature was made of.
    signed: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(token: &'a str) -> Result<Self, TokenError> {
        if token.len() > Verifier::MAX_TOKEN_BYTES {
            return Err(TokenError::Invalid("the token is longer than 16 KiB"));
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(MALFORMED)?;
        let (header, payload) = signed.split_once('.').ok_or(MALFORMED)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| MALFORMED);
        Ok(Self {
            header: decode(header)?,
            payload: decode(payload)?,
            signature: decode(signature)?,
            signed: signed.as_bytes(),
        })
    }
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<serde::de::IgnoredAny>,
}

/// The claims that mean something here (RFC 7519, section 4.1). One that is there twice makes them unreadable.
#[derive(Deserialize)]
struct Claims<'a> {
    sub: Option<String>,
    exp: Option<Seconds>,
    nbf: Option<Seconds>,
    iat: Option<Seconds>,
    aud: Option<Audiences>,
    iss: Option<String>,
    #[serde(borrow)]
    info: Option<&'a RawValue>,
    channels: Option<Vec<String>>,
    channel: Option<String>,
}

impl Claims<'_> {
    fn is_for(&self, own: &str) -> bool {
        match &self.aud {
            None => false,
            Some(Audiences::One(name)) => name == own,
            Some(Audiences::Many(names)) => names.iter().any(|name| name == own),
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audiences {
    One(String),
    Many(Vec<String>),
}

/// A date in seconds since 1970, which may have a fraction; what is before or after all that can be counted is the first
/// or the last second.
struct Seconds(u64);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = serde_json::Number::deserialize(deserializer)?;
        // A cast of a float saturates.
        Ok(Self(number.as_u64().unwrap_or_else(|| number.as_f64().unwrap_or_default() as u64)))
    }
}

/// The same JSON without white space between its parts, so that it can be a part of a line.
fn compact(json: &RawValue) -> Result<Box<RawValue>, TokenError> {
    let (mut in_string, mut escaped) = (false, false);
    let mut text = json.get().to_owned();
    text.retain(|c| {
        let keep = in_string || !c.is_ascii_whitespace();
        in_string ^= c == '"' && !escaped;
        escaped = in_string && c == '\\' && !escaped;
        keep
    });
    RawValue::from_string(text).map_err(|_| TokenError::Invalid("the token's info is not JSON"))
}
