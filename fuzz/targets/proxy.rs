//! Headers of the PROXY protocol: what is said of a beginning stays said, and is what the text or the bytes say.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::net::{IpAddr, SocketAddr};
use tidegate::wire::proxy::{InvalidProxyHeader, MAX_HEADER_BYTES, Proxied, decode};

type Decoded = Result<Option<(Proxied, usize)>, InvalidProxyHeader>;

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

fuzz_target!(|bytes: &[u8]| {
    let decoded = decode(bytes);
    check_beginnings(bytes, decoded);
    match decoded {
        Ok(None) => assert!(bytes.len() < MAX_HEADER_BYTES, "waits for more than any header has"),
        Ok(Some((proxied, len))) => {
            assert!(len <= bytes.len() && len <= MAX_HEADER_BYTES);
            let said = if bytes[0] == b'P' { text_says(&bytes[..len]) } else { binary_says(&bytes[..len]) };
            assert_eq!(said, Some(proxied), "{}", bytes.escape_ascii());
            if let Proxied::Address(address) = proxied {
                check_written(address);
            }
        }
        Err(InvalidProxyHeader) => {}
    }
});

/// Nothing is said of any beginning, up to one; from there on it is always the same. A header is told on its last byte.
fn check_beginnings(bytes: &[u8], whole: Decoded) {
    let mut said = Ok(None);
    for len in 0..=bytes.len().min(MAX_HEADER_BYTES + 100) {
        let now = decode(&bytes[..len]);
        match said {
            Ok(None) => {
                assert!(now.is_err() || now == Ok(None) || now.is_ok_and(|it| it.is_some_and(|(_, used)| used == len)));
            }
            _ => assert_eq!(now, said, "at {len}: {}", bytes.escape_ascii()),
        }
        said = now;
    }
    assert!(said == whole || said == Ok(None));
}

/// What a text says, by the words in it.
fn text_says(header: &[u8]) -> Option<Proxied> {
    assert!(header.len() <= 107);
    let line = std::str::from_utf8(header).ok()?.strip_suffix("\r\n")?;
    if line == "PROXY UNKNOWN" || line.starts_with("PROXY UNKNOWN ") {
        return Some(Proxied::Unknown);
    }
    let words: Vec<&str> = line.split(' ').collect();
    let ["PROXY", family, source, destination, port, to_port] = words[..] else { return None };
    let (source, destination): (IpAddr, IpAddr) = (source.parse().ok()?, destination.parse().ok()?);
    let is_right = |ip: IpAddr| ip.is_ipv4() == (family == "TCP4") && ip.is_ipv6() == (family == "TCP6");
    let number = |word: &str| word.parse::<u16>().ok().filter(|number| number.to_string() == word);
    number(to_port)?;
    let address = SocketAddr::new(source.to_canonical(), number(port)?);
    (is_right(source) && is_right(destination)).then_some(Proxied::Address(address))
}

/// What a binary header says, by the places of its bytes.
fn binary_says(header: &[u8]) -> Option<Proxied> {
    let body = header.strip_prefix(SIGNATURE)?.get(4..)?;
    assert_eq!(usize::from(u16::from_be_bytes([header[14], header[15]])), body.len());
    let port = |at: usize| Some(u16::from_be_bytes([*body.get(at)?, *body.get(at + 1)?]));
    match (header[12], header[13]) {
        (0x20, _) | (0x21, 0x00 | 0x31) => Some(Proxied::Unknown),
        (0x21, 0x11) => {
            let ip: [u8; 4] = body.get(..4)?.try_into().ok()?;
            Some(Proxied::Address(SocketAddr::new(ip.into(), port(8)?)))
        }
        (0x21, 0x21) => {
            let ip: [u8; 16] = body.get(..16)?.try_into().ok()?;
            Some(Proxied::Address(SocketAddr::new(IpAddr::from(ip).to_canonical(), port(32)?)))
        }
        _ => None,
    }
}

/// An address that a proxy writes comes back, in both versions.
fn check_written(address: SocketAddr) {
    let (ip, port) = (address.ip(), address.port());
    let family = if ip.is_ipv4() { "TCP4" } else { "TCP6" };
    let text = format!("PROXY {family} {ip} {ip} {port} 443\r\n").into_bytes();
    let (family, octets) = match ip {
        IpAddr::V4(ip) => (0x11, ip.octets().to_vec()),
        IpAddr::V6(ip) => (0x21, ip.octets().to_vec()),
    };
    let body = [&octets[..], &octets, &port.to_be_bytes(), &[1, 0xBB]].concat();
    let binary = [&SIGNATURE[..], &[0x21, family, 0, body.len() as u8], &body].concat();
    for header in [text, binary] {
        assert_eq!(decode(&header), Ok(Some((Proxied::Address(address), header.len()))), "{address}");
    }
}
