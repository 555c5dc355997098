//! UTF-8 (RFC 3629) of messages: whole ones at once, unfinished ones as their bytes come. Keeps no text, only the
//! bytes of a character that is not whole yet.

// As fast as the standard library below 64 bytes; above, up to twice as fast for ASCII and ten times for the rest.
#[cfg(feature = "websocket")]
use simdutf8::compat::from_utf8;
#[cfg(not(feature = "websocket"))]
use std::str::from_utf8;

/// Checks a text whose bytes come in pieces, and fails at the first byte that no text could hold there
/// (RFC 6455, section 8.1): overlong forms, surrogates and what lies above U+10FFFF fail at their second byte.
///
/// After an error it is of no more use.
#[derive(Debug, Clone, Copy, Default)]
pub struct Utf8Validator {
    /// The first `carried_len` bytes begin a character and could still become a valid one.
    carried: [u8; 3],
    carried_len: u8,
}

/// Bytes that are not UTF-8: close code 1007.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidUtf8;

impl Utf8Validator {
    /// Takes the next bytes of the text.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), InvalidUtf8> {
        while self.carried_len > 0 {
            let Some((&byte, rest)) = bytes.split_first() else {
                return Ok(());
            };
            self.push_to_carried(byte)?;
            bytes = rest;
        }
        self.carry(unfinished(bytes)?);
        Ok(())
    }

    /// Whether the text may end here: not inside a character.
    pub fn finish(self) -> Result<(), InvalidUtf8> {
        if self.carried_len == 0 { Ok(()) } else { Err(InvalidUtf8) }
    }

    fn push_to_carried(&mut self, byte: u8) -> Result<(), InvalidUtf8> {
        let len = usize::from(self.carried_len);
        let mut character = [0; 4];
        character[..len].copy_from_slice(&self.carried[..len]);
        character[len] = byte;
        self.carry(unfinished(&character[..=len])?);
        Ok(())
    }

    fn carry(&mut self, unfinished: &[u8]) {
        self.carried[..unfinished.len()].copy_from_slice(unfinished);
        self.carried_len = unfinished.len() as u8;
    }
}

/// Whether `bytes` are UTF-8 from beginning to end.
pub fn is_utf8(bytes: &[u8]) -> bool {
    from_utf8(bytes).is_ok()
}

/// The beginning of a character, at most three bytes, that `bytes` end with; empty where they end with a whole one.
fn unfinished(bytes: &[u8]) -> Result<&[u8], InvalidUtf8> {
    match from_utf8(bytes) {
        Ok(_) => Ok(&[]),
        Err(error) if error.error_len().is_none() => Ok(&bytes[error.valid_up_to()..]),
        Err(_) => Err(InvalidUtf8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Well-formed characters by the table of RFC 3629, section 4: the range of each byte.
    const WELL_FORMED: [&[(u8, u8)]; 9] = [
        &[(0x00, 0x7F)],
        &[(0xC2, 0xDF), (0x80, 0xBF)],
        &[(0xE0, 0xE0), (0xA0, 0xBF), (0x80, 0xBF)],
        &[(0xE1, 0xEC), (0x80, 0xBF), (0x80, 0xBF)],
        &[(0xED, 0xED), (0x80, 0x9F), (0x80, 0xBF)],
        &[(0xEE, 0xEF), (0x80, 0xBF), (0x80, 0xBF)],
        &[(0xF0, 0xF0), (0x90, 0xBF), (0x80, 0xBF), (0x80, 0xBF)],
        &[(0xF1, 0xF3), (0x80, 0xBF), (0x80, 0xBF), (0x80, 0xBF)],
        &[(0xF4, 0xF4), (0x80, 0x8F), (0x80, 0xBF), (0x80, 0xBF)],
    ];

    /// The first byte that no text could hold there, by the table.
    fn first_bad(bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at < bytes.len() {
            let matching = |form: &&[(u8, u8)]| {
                form.iter().zip(&bytes[at..]).take_while(|((low, high), byte)| (low..=high).contains(byte)).count()
            };
            let (matched, form) = WELL_FORMED.iter().map(|form| (matching(form), form)).max_by_key(|(n, _)| *n)?;
            if matched < form.len() {
                return (at + matched < bytes.len()).then_some(at + matched);
            }
            at += matched;
        }
        None
    }

    fn validate(pieces: &[&[u8]]) -> Result<(), InvalidUtf8> {
        let mut validator = Utf8Validator::default();
        pieces.iter().try_for_each(|piece| validator.push(piece))?;
        validator.finish()
    }

    /// The byte at which a validator fed byte by byte fails.
    fn fails_at(bytes: &[u8]) -> Option<usize> {
        let mut validator = Utf8Validator::default();
        bytes.iter().position(|&byte| validator.push(&[byte]).is_err())
    }

    /// Every split in three, the earliest failure, and the verdict on the whole.
    fn check(bytes: &[u8]) {
        let valid = std::str::from_utf8(bytes).is_ok();
        assert_eq!(is_utf8(bytes), valid, "{bytes:x?}");
        assert_eq!(fails_at(bytes), first_bad(bytes), "{bytes:x?}");
        for at in 0..=bytes.len() {
            let (head, tail) = bytes.split_at(at);
            assert_eq!(validate(&[head, tail]).is_ok(), valid, "{head:x?} {tail:x?}");
            assert_eq!(Utf8Validator::default().push(head).is_ok(), first_bad(head).is_none(), "{head:x?}");
            let middle = tail.len() / 2;
            assert_eq!(validate(&[head, &tail[..middle], &[], &tail[middle..]]).is_ok(), valid, "{head:x?} {tail:x?}");
        }
    }

    #[test]
    fn bytes_at_every_border_of_the_table_are_judged_as_the_table_says() {
        let borders = WELL_FORMED.iter().flat_map(|form| form.iter()).flat_map(|(low, high)| [*low, *high]);
        let mut borders: Vec<u8> = borders.chain([0x90, 0xA0, 0xC0, 0xC1, 0xF5, 0xF8, 0xFC, 0xFE, 0xFF]).collect();
        borders.sort_unstable();
        borders.dedup();
        let pairs = borders.iter().flat_map(|&a| borders.iter().map(move |&b| (a, b)));
        for (a, b) in pairs {
            for (&c, &d) in borders.iter().flat_map(|c| borders.iter().map(move |d| (c, d))) {
                let bytes = [a, b, c, d];
                assert_eq!(fails_at(&bytes), first_bad(&bytes), "{bytes:x?}");
                assert_eq!(is_utf8(&bytes), std::str::from_utf8(&bytes).is_ok(), "{bytes:x?}");
            }
        }
    }

    #[test]
    fn every_character_is_valid_byte_by_byte_and_none_ends_early() {
        for character in '\0'..=char::MAX {
            let mut buffer = [0; 4];
            let bytes = character.encode_utf8(&mut buffer).as_bytes();
            assert_eq!(fails_at(bytes), None, "{character:?}");
            assert!(validate(&[bytes]).is_ok(), "{character:?}");
            assert!(bytes.len() == 1 || validate(&[&bytes[..bytes.len() - 1]]).is_err(), "{character:?}");
        }
    }

    #[test]
    fn what_is_bad_is_bad_at_once_and_at_every_split() {
        for bytes in [
            &b"\xC0\xAF"[..],                                  // overlong
            b"\xE0\x80\xAF",                                   // overlong
            b"\xF0\x80\x80\xAF",                               // overlong
            b"\xED\xA0\x80",                                   // a surrogate
            b"\xF4\x90\x80\x80",                               // above U+10FFFF
            b"\xF8\x88\x80\x80\x80",                           // five bytes
            b"\xCE\xBA\xE1\xBD\xB9\xCF\x83\xED\xA0\x80edited", // behind good characters
            b"\x80",
            b"\xFF",
        ] {
            assert!(first_bad(bytes).is_some());
            check(bytes);
        }
    }

    #[test]
    fn a_validator_is_four_bytes() {
        assert_eq!(size_of::<Utf8Validator>(), 4);
    }

    proptest! {
        #[test]
        fn texts_with_a_byte_changed_are_judged_alike_at_every_split(
            text in "[a-zé€😀\u{D7FF}\u{E000}\u{FFFF}\u{10FFFF}]{0,80}",
            noise in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
        ) {
            let mut bytes = text.into_bytes();
            if let (Some((at, byte)), false) = (noise, bytes.is_empty()) {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            check(&bytes);
        }

        #[test]
        fn noise_is_judged_alike_at_every_split(bytes in prop::collection::vec(any::<u8>(), 0..20)) {
            check(&bytes);
        }
    }
}
