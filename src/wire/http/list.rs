//! What field values are made of (RFC 9110, section 5.6): tokens, lists, and the characters that may stand in a value.

/// The elements of a comma-separated list, trimmed; empty ones are among them. Knows no quoted strings.
pub fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}

/// Whether the list in `value` has `token` as an element, in any case.
pub(crate) fn has_element(value: &[u8], token: &str) -> bool {
    elements(value).any(|element| element.eq_ignore_ascii_case(token.as_bytes()))
}

/// Whether `bytes` are a token: at least one character, none of them a delimiter.
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| is_token_byte(byte))
}

/// Whether `bytes` may stand as a field's value: no control characters, and so no way to end the line.
pub fn is_value(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| is_value_byte(byte))
}

pub(super) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

pub(super) fn is_value_byte(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_cut_at_commas_and_trimmed() {
        let all: Vec<&[u8]> = elements(b"keep-alive ,\tUpgrade,,").collect();
        assert_eq!(all, [&b"keep-alive"[..], b"Upgrade", b"", b""]);
        assert!(has_element(b"keep-alive, Upgrade", "upgrade"));
        assert!(!has_element(b"keep-alive, xupgrade", "upgrade"));
        assert!(!has_element(b"keep alive upgrade", "upgrade"));
    }

    #[test]
    fn tokens_hold_no_delimiters() {
        for token in ["a", "centrifuge-json", "v1.0", "!#$%&'*+-.^_`|~09azAZ"] {
            assert!(is_token(token.as_bytes()), "{token}");
        }
        for other in ["", "a b", "a,b", "a/b", "a\r", "\"a\"", "a=b", "ä", "a\0"] {
            assert!(!is_token(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn values_hold_no_control_characters_but_the_tab() {
        for byte in 0..=u8::MAX {
            let allowed = byte == b'\t' || !byte.is_ascii_control();
            assert_eq!(is_value(&[b'a', byte, b'b']), allowed, "{byte:#x}");
        }
    }
}
