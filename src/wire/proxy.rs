//! The PROXY protocol, versions 1 and 2: who really connects, told by a proxy before the first byte of a connection.
//!
//! Only for listeners that nobody but the proxy reaches: whoever can send this header can claim any address. What a
//! proxy tells besides (TLVs of version 2) is passed over unread.

#[cfg(test)]
mod tests;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// Who connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proxied {
    /// The proxy does not say: a health check of its own, a Unix socket, a protocol it has no name for. The address of
    /// the connection itself counts.
    Unknown,
    /// The client's address and port; IPv4 in IPv6 form comes out as IPv4.
    Address(SocketAddr),
}

/// The bytes are no header of the PROXY protocol. Nothing tells who connects, so the connection can only be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidProxyHeader;

/// Longest header: that of version 2, with 4 KiB for addresses and whatever else a proxy tells.
pub const MAX_HEADER_BYTES: usize = SIGNATURE.len() + 4 + MAX_BINARY_BODY as usize;

/// Reads the header at the front of `bytes`: who connects, and the header's length.
///
/// `None` while more bytes are needed, at most [`MAX_HEADER_BYTES`] in all; a header of version 1 has at most 107. What
/// can't become a header is refused on the first byte that shows it (a field of a text by its characters as they come,
/// by its value when it ends). A call looks at 107 bytes or fewer, so that a dripping header costs little.
pub fn decode(bytes: &[u8]) -> Result<Option<(Proxied, usize)>, InvalidProxyHeader> {
    let mut rest = Rest(bytes);
    let proxied = match bytes.first() {
        Some(b'P') => decode_text(&mut rest),
        Some(_) => decode_binary(&mut rest),
        None => Err(Stop::More),
    };
    match proxied {
        Ok(proxied) => Ok(Some((proxied, bytes.len() - rest.0.len()))),
        Err(Stop::More) => Ok(None),
        Err(Stop::Invalid) => Err(InvalidProxyHeader),
    }
}

/// Longest text of an IPv4 and of an IPv6 address, and of a port.
const MAX_IPV4: usize = 15;
const MAX_IPV6: usize = 39;
const MAX_PORT: usize = 5;
/// What an unknown protocol leaves of the 107 bytes of a text.
const MAX_UNKNOWN: usize = 107 - "PROXY UNKNOWN \r\n".len();

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const MAX_BINARY_BODY: u16 = 4 << 10;

/// Why a header can't be told.
enum Stop {
    /// Its tail is on the way.
    More,
    /// It is none.
    Invalid,
}

/// Version 1, such as `PROXY TCP4 192.0.2.1 192.0.2.2 56324 443` and CRLF.
fn decode_text(rest: &mut Rest<'_>) -> Result<Proxied, Stop> {
    rest.expect(b"PROXY ")?;
    match rest.one_of([b"TCP4 ", b"TCP6 ", b"UNKNOWN"])? {
        0 => decode_addresses::<Ipv4Addr>(rest, MAX_IPV4, |byte| byte.is_ascii_digit() || byte == b'.'),
        1 => {
            decode_addresses::<Ipv6Addr>(rest, MAX_IPV6, |byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'))
        }
        _ => decode_unknown(rest),
    }
}

fn decode_addresses<A>(rest: &mut Rest<'_>, max: usize, allowed: fn(u8) -> bool) -> Result<Proxied, Stop>
where
    A: FromStr + Into<IpAddr>,
{
    let source = parse::<A>(rest.field(max, allowed, b' ')?)?;
    parse::<A>(rest.field(max, allowed, b' ')?)?;
    let port = parse_port(rest.field(MAX_PORT, |byte| byte.is_ascii_digit(), b' ')?)?;
    parse_port(rest.field(MAX_PORT, |byte| byte.is_ascii_digit(), b'\r')?)?;
    rest.expect(b"\n")?;
    Ok(address(source, port))
}

/// What stands behind `UNKNOWN ` up to the line's end is to be ignored.
fn decode_unknown(rest: &mut Rest<'_>) -> Result<Proxied, Stop> {
    if rest.one_of([b" ", b"\r\n"])? == 0 {
        rest.field(MAX_UNKNOWN, |byte| byte == b' ' || byte.is_ascii_graphic(), b'\r')?;
        rest.expect(b"\n")?;
    }
    Ok(Proxied::Unknown)
}

fn parse<T: FromStr>(text: &str) -> Result<T, Stop> {
    text.parse().map_err(|_| Stop::Invalid)
}

/// A decimal number without leading zeros.
fn parse_port(text: &str) -> Result<u16, Stop> {
    if text.len() > 1 && text.starts_with('0') { Err(Stop::Invalid) } else { parse(text) }
}

fn address(source: impl Into<IpAddr>, port: u16) -> Proxied {
    Proxied::Address(SocketAddr::new(source.into().to_canonical(), port))
}

/// Version 2: signature, command, family, length, addresses.
fn decode_binary(rest: &mut Rest<'_>) -> Result<Proxied, Stop> {
    rest.expect(SIGNATURE)?;
    let is_local = match rest.byte()? {
        0x20 => true,
        0x21 => false,
        _ => return Err(Stop::Invalid),
    };
    let family = Family::parse(rest.byte()?, is_local)?;
    let body = rest.body(family.address_bytes())?;
    Ok(family.source(body))
}

/// Whose addresses stand in a header of version 2.
#[derive(Clone, Copy)]
enum Family {
    /// The proxy's own connection, or none that it knows; addresses, if any, are to be ignored.
    Ignored,
    Ipv4,
    Ipv6,
    Unix,
}

impl Family {
    /// Streams only: no datagram has become this connection. A proxy's own connection may be said to be of any family.
    fn parse(byte: u8, is_local: bool) -> Result<Self, Stop> {
        match byte {
            _ if is_local => Ok(Self::Ignored),
            0x00 => Ok(Self::Ignored),
            0x11 => Ok(Self::Ipv4),
            0x21 => Ok(Self::Ipv6),
            0x31 => Ok(Self::Unix),
            _ => Err(Stop::Invalid),
        }
    }

    /// Length of both addresses and ports together.
    fn address_bytes(self) -> u16 {
        match self {
            Self::Ignored => 0,
            Self::Ipv4 => 12,
            Self::Ipv6 => 36,
            Self::Unix => 216,
        }
    }

    /// Source address, destination address, source port, destination port.
    fn source(self, body: &[u8]) -> Proxied {
        let source = match (self, body) {
            (Self::Ipv4, &[a, b, c, d, _, _, _, _, high, low, ..]) => Some(([a, b, c, d].into(), [high, low])),
            (Self::Ipv6, _) => split_ipv6(body),
            (Self::Ignored | Self::Ipv4 | Self::Unix, _) => None,
        };
        source.map_or(Proxied::Unknown, |(source, port): (IpAddr, _)| address(source, u16::from_be_bytes(port)))
    }
}

fn split_ipv6(body: &[u8]) -> Option<(IpAddr, [u8; 2])> {
    let (source, rest) = body.split_first_chunk::<16>()?;
    let (port, _) = rest.get(16..)?.split_first_chunk::<2>()?;
    Some(((*source).into(), *port))
}

/// What has not been read of the bytes.
struct Rest<'b>(&'b [u8]);

impl<'b> Rest<'b> {
    fn expect(&mut self, literal: &[u8]) -> Result<(), Stop> {
        self.one_of([literal]).map(|_| ())
    }

    /// Takes one of these off the front and says which; none is the beginning of another.
    fn one_of<const N: usize>(&mut self, literals: [&[u8]; N]) -> Result<usize, Stop> {
        for (which, literal) in literals.iter().enumerate() {
            if let Some(rest) = self.0.strip_prefix(*literal) {
                self.0 = rest;
                return Ok(which);
            }
        }
        let possible = literals.iter().any(|literal| literal.starts_with(self.0));
        Err(if possible { Stop::More } else { Stop::Invalid })
    }

    /// Takes at most `max` bytes and the `end` behind them.
    fn field(&mut self, max: usize, allowed: fn(u8) -> bool, end: u8) -> Result<&'b str, Stop> {
        let len = self.0.iter().take(max).take_while(|&&byte| allowed(byte)).count();
        let (text, rest) = self.0.split_at(len);
        match rest.split_first() {
            None => Err(Stop::More),
            Some((&byte, rest)) if byte == end => {
                self.0 = rest;
                std::str::from_utf8(text).map_err(|_| Stop::Invalid)
            }
            Some(_) => Err(Stop::Invalid),
        }
    }

    fn byte(&mut self) -> Result<u8, Stop> {
        let (&byte, rest) = self.0.split_first().ok_or(Stop::More)?;
        self.0 = rest;
        Ok(byte)
    }

    /// A length of at least `min` bytes, and as many bytes.
    fn body(&mut self, min: u16) -> Result<&'b [u8], Stop> {
        let high = self.byte()?;
        let least = u16::from_be_bytes([high, 0]);
        let len = if least > MAX_BINARY_BODY { least } else { least + u16::from(self.byte()?) };
        if !(min..=MAX_BINARY_BODY).contains(&len) {
            return Err(Stop::Invalid);
        }
        let (body, rest) = self.0.split_at_checked(usize::from(len)).ok_or(Stop::More)?;
        self.0 = rest;
        Ok(body)
    }
}

impl fmt::Display for InvalidProxyHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection does not begin with a header of the PROXY protocol")
    }
}

impl std::error::Error for InvalidProxyHeader {}
