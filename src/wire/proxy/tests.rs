//! Headers, sound and unsound, whole and byte by byte.

use super::*;
use proptest::prelude::*;

type Decoded = Result<Option<(Proxied, usize)>, InvalidProxyHeader>;

/// What is said of the shortest beginning of `bytes` of which something can be said, and how long that is.
fn dripped(bytes: &[u8]) -> (Decoded, usize) {
    let said = (0..=bytes.len()).map(|len| (decode(&bytes[..len]), len)).find(|(decoded, _)| *decoded != Ok(None));
    said.unwrap_or((Ok(None), bytes.len()))
}

fn outcome(bytes: &[u8]) -> Decoded {
    let whole = decode(bytes);
    assert_eq!(dripped(bytes).0, whole, "{}", bytes.escape_ascii());
    whole
}

fn from(address: &str) -> Proxied {
    Proxied::Address(address.parse().unwrap())
}

/// A header, and that it is left alone what follows.
#[track_caller]
fn check(header: &[u8], expected: Proxied) {
    assert_eq!(outcome(header), Ok(Some((expected, header.len()))), "{}", header.escape_ascii());
    assert_eq!(outcome(&[header, b"GET / HTTP/1.1\r\n"].concat()), Ok(Some((expected, header.len()))));
    assert_eq!(dripped(header).1, header.len(), "needs all of it: {}", header.escape_ascii());
}

/// Refused on its last byte, and not before.
#[track_caller]
fn refused(bytes: &[u8]) {
    assert_eq!(outcome(bytes), Err(InvalidProxyHeader), "{}", bytes.escape_ascii());
    assert_eq!(dripped(bytes).1, bytes.len(), "on its last byte: {}", bytes.escape_ascii());
}

/// Version 2 with this command, family and body.
fn binary(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let len = u16::try_from(body.len()).unwrap().to_be_bytes();
    [&SIGNATURE[..], &[command, family], &len, body].concat()
}

const IPV4: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 2, 0xdc, 4, 1, 0xbb];

fn ipv6(source: &str) -> Vec<u8> {
    let source: Ipv6Addr = source.parse().unwrap();
    [&source.octets()[..], &[0xff; 16], &[0x12, 0x34], &[0, 80]].concat()
}

#[test]
fn a_text_tells_the_clients_address() {
    check(b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n", from("192.0.2.1:56324"));
    check(b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", from("255.255.255.255:65535"));
    check(b"PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", from("0.0.0.0:0"));
    check(b"PROXY TCP6 2001:db8::1 ::1 4124 443\r\n", from("[2001:db8::1]:4124"));
    check(b"PROXY TCP6 ::ffff:192.0.2.1 ::FFFF:1.2.3.4 1 2\r\n", from("192.0.2.1:1"));
    let full = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    check(format!("PROXY TCP6 {full} {full} 65535 65535\r\n").as_bytes(), from(&format!("[{full}]:65535")));
}

#[test]
fn a_text_may_tell_nothing() {
    check(b"PROXY UNKNOWN\r\n", Proxied::Unknown);
    check(b"PROXY UNKNOWN whatever it is\r\n", Proxied::Unknown);
    let full = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let longest = format!("PROXY UNKNOWN {full} {full} 65535 65535\r\n");
    assert_eq!(longest.len(), 107);
    check(longest.as_bytes(), Proxied::Unknown);
    refused(format!("PROXY UNKNOWN {full} {full} 65535 65535x").as_bytes());
}

#[test]
fn a_text_that_is_none_is_refused_where_it_shows() {
    for text in [
        "PR\n",
        "PX",
        "PROXY\r",
        "PROXY  ",
        "PROXY T\0",
        "PROXY TCP5",
        "PROXY TCP4\r",
        "PROXY t",
        "PROXY UD",
        "PROXY TCP4 \r",
        "PROXY TCP4  ",
        "PROXY TCP4 a",
        "PROXY TCP4 1.2.3 ",
        "PROXY TCP4 01.2.3.4 ",
        "PROXY TCP4 1.2.3.256 ",
        "PROXY TCP4 1.2.3.4\r",
        "PROXY TCP4 1.2.3.4\t",
        "PROXY TCP4 1111.2222.333344",
        "PROXY TCP4 1.2.3.4 1.2.3.4\r",
        "PROXY TCP4 1.2.3.4  ",
        "PROXY TCP4 1.2.3.4 :",
        "PROXY TCP4 1.2.3.4 1.2.3.4 +",
        "PROXY TCP4 1.2.3.4 1.2.3.4 -",
        "PROXY TCP4 1.2.3.4 1.2.3.4  ",
        "PROXY TCP4 1.2.3.4 1.2.3.4 65536 ",
        "PROXY TCP4 1.2.3.4 1.2.3.4 080 ",
        "PROXY TCP4 1.2.3.4 1.2.3.4 100000",
        "PROXY TCP4 1.2.3.4 1.2.3.4 80\r",
        "PROXY TCP4 1.2.3.4 1.2.3.4 80 443\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 80 443 ",
        "PROXY TCP4 1.2.3.4 1.2.3.4 80 70000\r",
        "PROXY TCP4 1.2.3.4 1.2.3.4 80 \r",
        "PROXY TCP4 1.2.3.4 1.2.3.4 80 443\rX",
        "PROXY TCP6 1.2.3.4 ",
        "PROXY TCP6 ::1%",
        "PROXY TCP6 g",
        "PROXY TCP6 [",
        "PROXY TCP6 ::1 ::1::1 ",
        "PROXY TCP4 :",
        "PROXY UNKNOWN\n",
        "PROXY UNKNOWNX",
        "PROXY UNKNOWN\rX",
        "PROXY UNKNOWN a\n",
        "PROXY UNKNOWN a\rX",
        "PROXY UNKNOWN \0",
        "PROXY UNKNOWN \t",
    ] {
        refused(text.as_bytes());
    }
}

#[test]
fn a_binary_header_tells_the_clients_address() {
    check(&binary(0x21, 0x11, &IPV4), from("192.0.2.1:56324"));
    check(&binary(0x21, 0x21, &ipv6("2001:db8::7")), from("[2001:db8::7]:4660"));
    check(&binary(0x21, 0x21, &ipv6("::ffff:192.0.2.1")), from("192.0.2.1:4660"));
}

#[test]
fn a_binary_header_may_tell_nothing() {
    check(&binary(0x20, 0x00, b""), Proxied::Unknown);
    check(&binary(0x20, 0x11, &IPV4), Proxied::Unknown);
    check(&binary(0x20, 0xff, b"?"), Proxied::Unknown);
    check(&binary(0x21, 0x00, b""), Proxied::Unknown);
    check(&binary(0x21, 0x00, b"addresses of some kind"), Proxied::Unknown);
    check(&binary(0x21, 0x31, &[b'/'; 216]), Proxied::Unknown);
}

#[test]
fn what_follows_the_addresses_is_passed_over() {
    check(&binary(0x21, 0x11, &[&IPV4[..], b"\x04\0\x01\0"].concat()), from("192.0.2.1:56324"));
    let longest = binary(0x21, 0x11, &[&IPV4[..], &[0xee; 4096 - 12]].concat());
    assert_eq!(longest.len(), MAX_HEADER_BYTES);
    check(&longest, from("192.0.2.1:56324"));
}

#[test]
fn a_binary_header_that_is_none_is_refused_where_it_shows() {
    for bytes in [&b"G"[..], b"\0", b"\r\r", b"\r\n\r\n\0\r\nQUIT\r", b"\r\n\r\n\r"] {
        refused(bytes);
    }
    for command in [0x00, 0x01, 0x10, 0x11, 0x22, 0x2f, 0x30, 0xff] {
        refused(&[&SIGNATURE[..], &[command]].concat());
    }
    for family in [0x01, 0x02, 0x10, 0x12, 0x13, 0x20, 0x22, 0x30, 0x32, 0x40, 0x41, 0xff] {
        refused(&[&SIGNATURE[..], &[0x21, family]].concat());
    }
    for (family, len) in [(0x11, 11u16), (0x21, 35), (0x31, 215), (0x11, 0), (0x11, 4097)] {
        refused(&[&SIGNATURE[..], &[0x21, family], &len.to_be_bytes()].concat());
    }
    for high in [0x11, 0x80, 0xff] {
        refused(&[&SIGNATURE[..], &[0x20, 0x00, high]].concat());
    }
}

proptest! {
    #[test]
    fn no_bytes_panic_and_splits_agree(bytes in near_header()) {
        let decoded = outcome(&bytes);
        if let Ok(Some((_, len))) = decoded {
            prop_assert!(len <= bytes.len() && len <= MAX_HEADER_BYTES);
        }
    }

    #[test]
    fn what_a_proxy_writes_comes_back(source: SocketAddr, port: u16) {
        let ip = source.ip();
        let kind = if ip.is_ipv4() { "TCP4" } else { "TCP6" };
        let text = format!("PROXY {kind} {ip} {ip} {} {port}\r\n", source.port());
        let canonical = SocketAddr::new(ip.to_canonical(), source.port());
        prop_assert_eq!(outcome(text.as_bytes()), Ok(Some((Proxied::Address(canonical), text.len()))));
        let ports = [source.port().to_be_bytes(), port.to_be_bytes()].concat();
        let header = match ip {
            IpAddr::V4(ip) => binary(0x21, 0x11, &[&ip.octets()[..], &ip.octets(), &ports].concat()),
            IpAddr::V6(ip) => binary(0x21, 0x21, &[&ip.octets()[..], &ip.octets(), &ports].concat()),
        };
        prop_assert_eq!(outcome(&header), Ok(Some((Proxied::Address(canonical), header.len()))));
    }
}

/// Headers of both versions with some bytes changed, cut off or added.
fn near_header() -> impl Strategy<Value = Vec<u8>> {
    let header = prop_oneof![
        Just(b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n".to_vec()),
        Just(b"PROXY TCP6 2001:db8::1 ::1 4124 443\r\n".to_vec()),
        Just(b"PROXY UNKNOWN x\r\n".to_vec()),
        Just(binary(0x21, 0x11, &IPV4)),
        Just(binary(0x21, 0x21, &ipv6("::1"))),
        prop::collection::vec(any::<u8>(), 0..60),
    ];
    (header, prop::collection::vec((any::<u8>(), 0usize..60), 0..3), prop::collection::vec(any::<u8>(), 0..20))
        .prop_map(|(mut header, changes, more)| {
            for (byte, at) in changes {
                if let Some(place) = header.get_mut(at) {
                    *place = byte;
                }
            }
            [header, more].concat()
        })
}
