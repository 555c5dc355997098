//! Finds where a head ends, or the first line end that no head may have.

/// Bytes compared as one vector.
const BLOCK: usize = 16;

/// How many bytes at the front of `bytes` are to be judged as a head, or `None` while more are needed.
///
/// That is up to and with the empty line (CRLF CRLF) that ends it; or, in a head that can't become one, up to the
/// first CR without LF or LF without CR, so that [`super::Head::parse`] refuses it there and nobody waits for its end.
/// `scanned` bytes were seen by an earlier call that said `None`: they are not searched again, which keeps the cost of
/// a dripping head linear.
pub fn find_end(bytes: &[u8], scanned: usize) -> Option<usize> {
    let first = (scanned..bytes.len().min(2)).find(|&at| {
        let before = |back: usize| at.checked_sub(back).and_then(|at| bytes.get(at)).copied().unwrap_or_default();
        stops(before(2), before(1), before(0))
    });
    first.or_else(|| find_later(bytes, scanned.max(2))).map(|at| at + 1)
}

/// The first place from `from` on, which is two or more, that stops the search.
fn find_later(bytes: &[u8], from: usize) -> Option<usize> {
    let (two_back, one_back, here) = (bytes.get(from - 2..)?, bytes.get(from - 1..)?, bytes.get(from..)?);
    let blocks = two_back.as_chunks::<BLOCK>().0.iter().zip(one_back.as_chunks::<BLOCK>().0);
    let mut blocks = blocks.zip(here.as_chunks::<BLOCK>().0);
    let quiet = blocks.position(|((a, b), c)| stops_within(a, b, c)).unwrap_or(here.len() / BLOCK) * BLOCK;
    let (two_back, one_back, here) = (two_back.get(quiet..)?, one_back.get(quiet..)?, here.get(quiet..)?);
    let mut rest = two_back.iter().zip(one_back).zip(here);
    rest.position(|((&a, &b), &c)| stops(a, b, c)).map(|at| from + quiet + at)
}

fn stops_within(two_back: &[u8; BLOCK], one_back: &[u8; BLOCK], here: &[u8; BLOCK]) -> bool {
    (0..BLOCK).fold(false, |found, at| found | stops(two_back[at], one_back[at], here[at]))
}

/// CR and LF come in pairs only; a pair after a pair is the end.
#[inline]
fn stops(two_back: u8, one_back: u8, here: u8) -> bool {
    ((one_back == b'\r') != (here == b'\n')) | ((here == b'\n') & (two_back == b'\n'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(bytes: &[u8], expected: Option<usize>) {
        assert_eq!(find_end(bytes, 0), expected, "{:?}", bytes.escape_ascii().to_string());
        assert_eq!(dripped(bytes), expected, "dripped: {:?}", bytes.escape_ascii().to_string());
    }

    /// As a connection does it: each byte is seen once.
    fn dripped(bytes: &[u8]) -> Option<usize> {
        (0..bytes.len()).find_map(|scanned| find_end(&bytes[..=scanned], scanned))
    }

    #[test]
    fn a_head_ends_with_its_empty_line() {
        check(b"", None);
        check(b"GET / HTTP/1.1\r\nHost: a\r\n\r", None);
        check(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", Some(27));
        check(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n\r\n", Some(27));
        check(b"\r\nGET / HTTP/1.1\r\n\r\n", Some(20));
        check(b"\r\n\r\n", Some(4));
    }

    #[test]
    fn a_line_end_that_no_head_may_have_is_seen_at_once() {
        check(b"\n", Some(1));
        check(b"\r\r", Some(2));
        check(b"a\n", Some(2));
        check(b"GET / HTTP/1.1\nHost: a", Some(15));
        check(b"GET / HTTP/1.1\r\nHost: a\r\n\n", Some(26));
        check(b"GET / HTTP/1.1\r\nA: a\rb\r\n\r\n", Some(22));
    }

    #[test]
    fn the_end_is_found_wherever_it_lies() {
        for len in 0..150 {
            let mut bytes = vec![b'x'; len];
            check(&bytes, None);
            bytes.extend_from_slice(b"\r\n\r\n");
            check(&bytes, Some(len + 4));
            bytes.extend_from_slice(&[b'x'; 70]);
            check(&bytes, Some(len + 4));
            bytes[len + 1] = b' ';
            check(&bytes, Some(len + 2));
        }
    }

    #[test]
    fn what_was_scanned_is_not_searched_again() {
        for len in 3..150 {
            let mut bytes = vec![b'\n'; len];
            bytes[len - 2..].fill(b'x');
            bytes.push(b'y');
            assert_eq!(find_end(&bytes, len), None, "looks at two bytes before {len}, and no further back");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_cut_anywhere_end_at_the_same_place(bytes in "[\r\nab]{0,120}", cut in 0usize..120) {
            let bytes = bytes.as_bytes();
            let simple = (0..bytes.len()).find(|&at| {
                let back = |by: usize| at.checked_sub(by).map_or(0, |at| bytes[at]);
                (back(1) == b'\r') != (bytes[at] == b'\n') || bytes[..=at].ends_with(b"\r\n\r\n")
            });
            let expected = simple.map(|at| at + 1);
            prop_assert_eq!(find_end(bytes, 0), expected);
            prop_assert_eq!(dripped(bytes), expected);
            let cut = cut.min(bytes.len());
            prop_assert_eq!(find_end(&bytes[..cut], 0).or_else(|| find_end(bytes, cut)), expected);
        }
    }
}
