//! Sec-WebSocket-Extensions (RFC 6455, section 9.1) and what is agreed on for permessage-deflate (RFC 7692,
//! section 7.1). One pass over the header, no memory, no other extension.

use std::num::NonZeroU8;

/// What an answer to an offer of permessage-deflate says: how both sides compress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeflateParams {
    /// The server begins each message with an empty window (section 7.1.1.1).
    pub server_no_context_takeover: bool,
    /// The client does (section 7.1.1.2).
    pub client_no_context_takeover: bool,
    /// Bits of the server's window, 8 to 15, where they are bounded (section 7.1.2.1).
    pub server_max_window_bits: Option<NonZeroU8>,
    /// Bits of the client's window, 8 to 15, where they are bounded (section 7.1.2.2).
    pub client_max_window_bits: Option<NonZeroU8>,
}

/// A server's answer that no client offering [`OFFER`] may go on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidAnswer;

/// What a client offers: no memory between messages on either side, and any window.
pub const OFFER: &str =
    "permessage-deflate; client_no_context_takeover; server_no_context_takeover; client_max_window_bits";

const DEFLATE: &[u8] = b"permessage-deflate";
const WIDEST: NonZeroU8 = NonZeroU8::new(15).expect("15 is not zero");
/// The narrowest window that the compressor has; 8 bits are legal on the wire.
const NARROWEST_TO_COMPRESS: u8 = 9;

/// The first offer in the values of a request's headers that can be honoured.
///
/// An offer with a parameter that is unknown, repeated, ill-valued, or a window of 8 bits for the server, is passed
/// over; headers that are no list of extensions offer nothing. Without `takeover` both sides are told to begin each
/// message afresh; with it, only where the offer says so. The client's window is left to the client.
pub fn negotiate<'a>(offers: impl Iterator<Item = &'a [u8]>, takeover: bool) -> Option<DeflateParams> {
    let mut chosen = None;
    for value in offers {
        let mut list = List { rest: value };
        while let Some(name) = list.extension().ok()? {
            let offer = list.deflate_params(Some(WIDEST)).ok()?.filter(|_| name == DEFLATE);
            chosen = chosen.or(offer.and_then(|offer| offer.accepted(takeover)));
        }
    }
    chosen
}

impl DeflateParams {
    /// Appends the answer, as the value of a header.
    pub fn answer(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(DEFLATE);
        if self.server_no_context_takeover {
            out.extend_from_slice(b"; server_no_context_takeover");
        }
        if self.client_no_context_takeover {
            out.extend_from_slice(b"; client_no_context_takeover");
        }
        if let Some(bits) = self.server_max_window_bits {
            out.extend_from_slice(format!("; server_max_window_bits={bits}").as_bytes());
        }
        if let Some(bits) = self.client_max_window_bits {
            out.extend_from_slice(format!("; client_max_window_bits={bits}").as_bytes());
        }
    }

    /// What the values of an answer's headers agree to of [`OFFER`]; `None` where they name no extension.
    ///
    /// An error: another extension, a second one, a parameter that is unknown, repeated or ill-valued, a server that
    /// keeps its context although it was asked not to, a client's window of 8 bits.
    pub fn from_answer<'a>(values: impl Iterator<Item = &'a [u8]>) -> Result<Option<Self>, InvalidAnswer> {
        let mut agreed = None;
        for value in values {
            let mut list = List { rest: value };
            while let Some(name) = list.extension()? {
                let params = list.deflate_params(None)?.ok_or(InvalidAnswer)?;
                if name != DEFLATE || agreed.is_some() || !params.is_within_offer() {
                    return Err(InvalidAnswer);
                }
                // Offering it was a promise, whatever the answer says of it.
                agreed = Some(Self { client_no_context_takeover: true, ..params });
            }
        }
        Ok(agreed)
    }

    /// Bits of the window the server compresses with: at most 15.
    pub fn server_window_bits(&self) -> u8 {
        self.server_max_window_bits.unwrap_or(WIDEST).get()
    }

    /// Bits of the window the client compresses with: at most 15.
    pub fn client_window_bits(&self) -> u8 {
        self.client_max_window_bits.unwrap_or(WIDEST).get()
    }

    /// The answer to these parameters of an offer, where there is one.
    fn accepted(self, takeover: bool) -> Option<Self> {
        (self.server_window_bits() >= NARROWEST_TO_COMPRESS).then_some(Self {
            server_no_context_takeover: self.server_no_context_takeover || !takeover,
            client_no_context_takeover: self.client_no_context_takeover || !takeover,
            server_max_window_bits: self.server_max_window_bits,
            client_max_window_bits: None,
        })
    }

    fn is_within_offer(self) -> bool {
        self.server_no_context_takeover && self.client_window_bits() >= NARROWEST_TO_COMPRESS
    }

    /// These parameters and one more, or `None` if it is not a new one of the four with a value it may have.
    /// `client_max_window_bits` without a value means `bare`.
    fn with(mut self, param: Param, bare: Option<NonZeroU8>) -> Option<Self> {
        let fresh = match (param.name, param.value) {
            (b"server_no_context_takeover", None) => !std::mem::replace(&mut self.server_no_context_takeover, true),
            (b"client_no_context_takeover", None) => !std::mem::replace(&mut self.client_no_context_takeover, true),
            (b"server_max_window_bits", Some(value)) => {
                self.server_max_window_bits.replace(window_bits(value)?).is_none()
            }
            (b"client_max_window_bits", value) => {
                self.client_max_window_bits.replace(value.map_or(bare, window_bits)?).is_none()
            }
            _ => false,
        };
        fresh.then_some(self)
    }
}

/// A window's bits: 8 to 15 in decimal digits, without a zero in front (section 7.1.2). `value` may hold the escapes
/// of a quoted string.
fn window_bits(value: &[u8]) -> Option<NonZeroU8> {
    let mut escapes = false;
    let mut digits = value.iter().filter(|&&byte| {
        escapes = byte == b'\\' && !escapes;
        !escapes
    });
    match (digits.next(), digits.next(), digits.next()) {
        (Some(&ones @ b'8'..=b'9'), None, None) => NonZeroU8::new(ones - b'0'),
        (Some(b'1'), Some(&ones @ b'0'..=b'5'), None) => NonZeroU8::new(10 + ones - b'0'),
        _ => None,
    }
}

/// What is left to read of a list of extensions: names separated by commas, each with parameters after semicolons.
struct List<'a> {
    rest: &'a [u8],
}

/// One parameter; the value of a quoted one still has its escapes.
struct Param<'a> {
    name: &'a [u8],
    value: Option<&'a [u8]>,
}

/// The header is not a list of extensions.
struct Malformed;

impl From<Malformed> for InvalidAnswer {
    fn from(_: Malformed) -> Self {
        InvalidAnswer
    }
}

impl<'a> List<'a> {
    /// The name of the next extension. Empty elements count for nothing (RFC 9110, section 5.6.1.2).
    fn extension(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        self.skip_space();
        while self.take(b',') {
            self.skip_space();
        }
        if self.rest.is_empty() { Ok(None) } else { self.token().map(Some) }
    }

    /// The next parameter of the extension whose name was read last.
    fn param(&mut self) -> Result<Option<Param<'a>>, Malformed> {
        self.skip_space();
        if !self.take(b';') {
            let at_end = matches!(self.rest.first(), None | Some(b','));
            return if at_end { Ok(None) } else { Err(Malformed) };
        }
        self.skip_space();
        let name = self.token()?;
        self.skip_space();
        let value = if self.take(b'=') { Some(self.value()?) } else { None };
        Ok(Some(Param { name, value }))
    }

    /// All parameters of the extension whose name was read last, or `None` where they aren't all known and new.
    fn deflate_params(&mut self, bare: Option<NonZeroU8>) -> Result<Option<DeflateParams>, Malformed> {
        let mut params = Some(DeflateParams::default());
        while let Some(param) = self.param()? {
            params = params.and_then(|params| params.with(param, bare));
        }
        Ok(params)
    }

    fn value(&mut self) -> Result<&'a [u8], Malformed> {
        self.skip_space();
        if self.take(b'"') { self.quoted() } else { self.token() }
    }

    /// A quoted string up to its closing quote, with its escapes (RFC 9110, section 5.6.4).
    fn quoted(&mut self) -> Result<&'a [u8], Malformed> {
        let mut escaped = false;
        let is_end = |&byte: &u8| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends || (byte < b' ' && byte != b'\t') || byte == 0x7F
        };
        let end = self.rest.iter().position(is_end).ok_or(Malformed)?;
        let text = self.advance(end);
        if self.take(b'"') { Ok(text) } else { Err(Malformed) }
    }

    /// A token of at least one character (RFC 9110, section 5.6.2).
    fn token(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.rest.iter().take_while(|&&byte| is_token(byte)).count();
        if len == 0 { Err(Malformed) } else { Ok(self.advance(len)) }
    }

    fn take(&mut self, byte: u8) -> bool {
        let is_there = self.rest.first() == Some(&byte);
        self.advance(usize::from(is_there));
        is_there
    }

    fn skip_space(&mut self) {
        self.advance(self.rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count());
    }

    /// The next `len` bytes, which the caller has seen.
    fn advance(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(len);
        self.rest = rest;
        taken
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The answer to offers, each the value of a header of its own.
    fn answer_to(offers: &[&str], takeover: bool) -> Option<String> {
        let params = negotiate(offers.iter().map(|offer| offer.as_bytes()), takeover)?;
        let mut out = Vec::new();
        params.answer(&mut out);
        Some(String::from_utf8(out).unwrap())
    }

    /// The answer's parameters, first without and then with takeover.
    #[track_caller]
    fn check(offer: &str, afresh: &str, takeover: &str) {
        assert_eq!(answer_to(&[offer], false), Some(format!("permessage-deflate{afresh}")), "{offer:?} afresh");
        assert_eq!(answer_to(&[offer], true), Some(format!("permessage-deflate{takeover}")), "{offer:?} takeover");
    }

    #[track_caller]
    fn check_declined(offer: &str) {
        for takeover in [false, true] {
            assert_eq!(answer_to(&[offer], takeover), None, "{offer:?}");
            let with_another = format!("{offer}, permessage-deflate");
            assert!(answer_to(&[&with_another], takeover).is_some(), "only this offer: {offer:?}");
        }
    }

    fn from_answer(answer: &str) -> Result<Option<DeflateParams>, InvalidAnswer> {
        DeflateParams::from_answer([answer.as_bytes()].into_iter())
    }

    const AFRESH: &str = "; server_no_context_takeover; client_no_context_takeover";

    #[test]
    fn what_browsers_offer_is_accepted() {
        check("permessage-deflate; client_max_window_bits", AFRESH, "");
        check("permessage-deflate", AFRESH, "");
    }

    #[test]
    fn each_offer_of_the_autobahn_suite_gets_the_parameters_it_demands() {
        let offer =
            |more: &str| format!("permessage-deflate; client_no_context_takeover; client_max_window_bits{more}");
        let (none, nine, fifteen) = ("", "; server_max_window_bits=9", "; server_max_window_bits=15");
        for bits in [none, nine, fifteen] {
            check(&offer(bits), &format!("{AFRESH}{bits}"), &format!("; client_no_context_takeover{bits}"));
            let afresh = offer(&format!("; server_no_context_takeover{bits}"));
            check(&afresh, &format!("{AFRESH}{bits}"), &format!("{AFRESH}{bits}"));
        }
        let three = [&offer("; server_no_context_takeover; server_max_window_bits=9"), &offer(""), &offer("")];
        let first = format!("permessage-deflate{AFRESH}; server_max_window_bits=9");
        assert_eq!(answer_to(&[&three.map(String::as_str).join(", ")], true), Some(first));
    }

    #[test]
    fn offers_that_cannot_be_honoured_are_passed_over() {
        for param in [
            "server_max_window_bits=8",
            "server_max_window_bits=7",
            "server_max_window_bits=16",
            "server_max_window_bits=99",
            "server_max_window_bits=09",
            "server_max_window_bits=015",
            "server_max_window_bits=+9",
            "server_max_window_bits=1e1",
            "server_max_window_bits=4294967305",
            "server_max_window_bits",
            "server_max_window_bits=\"\"",
            "client_max_window_bits=7",
            "client_max_window_bits=16",
            "client_max_window_bits=x",
            "server_no_context_takeover=1",
            "client_no_context_takeover=\"\"",
            "Server_No_Context_Takeover",
            "constructor",
            "__proto__=1",
            "client_max_window_bits; client_max_window_bits=10",
            "server_max_window_bits=10; server_max_window_bits=10",
            "server_no_context_takeover; server_no_context_takeover",
            "client_no_context_takeover; server_no_context_takeover; client_no_context_takeover",
        ] {
            check_declined(&format!("permessage-deflate; {param}"));
        }
        for other in
            ["x-webkit-deflate-frame", "permessage-deflat", "PERMESSAGE-DEFLATE", "constructor; a=b", "toString"]
        {
            check_declined(other);
        }
    }

    #[test]
    fn windows_from_nine_to_fifteen_are_honoured() {
        for bits in 9..=15 {
            let bound = format!("; server_max_window_bits={bits}");
            check(&format!("permessage-deflate{bound}"), &format!("{AFRESH}{bound}"), &bound);
        }
        for bits in 8..=15 {
            check(&format!("permessage-deflate; client_max_window_bits={bits}"), AFRESH, "");
        }
    }

    #[test]
    fn space_quotes_and_empty_elements_change_nothing() {
        for offer in [
            "permessage-deflate;server_max_window_bits=10",
            "\t permessage-deflate \t;\tserver_max_window_bits = 10 ",
            ", ,permessage-deflate; server_max_window_bits=\"10\",,",
            "permessage-deflate; server_max_window_bits=\"\\1\\0\"",
            "other; a=\"x, y; \\\" z\\\\\"; b, permessage-deflate; server_max_window_bits=10",
        ] {
            check(offer, &format!("{AFRESH}; server_max_window_bits=10"), "; server_max_window_bits=10");
        }
        let lines = ["other", "", "permessage-deflate; unknown", "permessage-deflate; server_max_window_bits=11"];
        assert_eq!(answer_to(&lines, true).as_deref(), Some("permessage-deflate; server_max_window_bits=11"));
    }

    #[test]
    fn headers_that_are_no_list_offer_nothing() {
        for offer in [
            "permessage-deflate;",
            "permessage-deflate; ; client_max_window_bits",
            "permessage-deflate; client_max_window_bits=",
            "permessage-deflate; client_max_window_bits=\"10",
            "permessage-deflate; client_max_window_bits=\"10\\\"",
            "permessage-deflate; client_max_window_bits=\"10\"0",
            "permessage-deflate; client_max_window_bits=\"1\n0\"",
            "permessage-deflate client_max_window_bits",
            "permessage-deflate, other; =1",
            "permessage-deflate, ;",
            "permessage-deflate, \u{e9}",
            "=, permessage-deflate",
            "\"permessage-deflate\"",
        ] {
            assert_eq!(answer_to(&[offer], false), None, "{offer:?}");
            assert_eq!(answer_to(&["permessage-deflate", offer], true), None, "{offer:?} behind a good header");
            assert_eq!(from_answer(offer), Err(InvalidAnswer), "{offer:?}");
        }
    }

    #[test]
    fn nothing_offered_is_nothing_answered() {
        assert_eq!(answer_to(&[], false), None);
        assert_eq!(answer_to(&["", " , "], false), None);
        assert_eq!(DeflateParams::from_answer(std::iter::empty()), Ok(None));
        assert_eq!(from_answer(""), Ok(None));
    }

    #[test]
    fn our_own_answer_to_our_own_offer_is_accepted() {
        for takeover in [false, true] {
            let answer = answer_to(&[OFFER], takeover).unwrap();
            let agreed = from_answer(&answer).unwrap().unwrap();
            assert!(agreed.server_no_context_takeover && agreed.client_no_context_takeover);
            assert_eq!((agreed.server_window_bits(), agreed.client_window_bits()), (15, 15));
        }
    }

    #[test]
    fn an_answer_may_bound_the_windows() {
        let answer =
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=8; client_max_window_bits=9";
        let agreed = from_answer(answer).unwrap().unwrap();
        assert_eq!((agreed.server_window_bits(), agreed.client_window_bits()), (8, 9));
        assert!(agreed.client_no_context_takeover, "promised by the offer");
    }

    #[test]
    fn answers_to_what_was_not_offered_are_errors() {
        let params = "permessage-deflate; server_no_context_takeover";
        for answer in [
            "other",
            "other; server_no_context_takeover",
            "permessage-deflate",
            &format!("{params}, other"),
            &format!("{params}, {params}"),
            &format!("{params}; other"),
            &format!("{params}; server_no_context_takeover"),
            &format!("{params}; client_max_window_bits"),
            &format!("{params}; client_max_window_bits=8"),
            &format!("{params}; client_max_window_bits=16"),
            &format!("{params}; server_max_window_bits"),
            &format!("{params}; server_max_window_bits=7"),
        ] {
            assert_eq!(from_answer(answer), Err(InvalidAnswer), "{answer:?}");
        }
        let twice = [params.as_bytes(), params.as_bytes()];
        assert_eq!(DeflateParams::from_answer(twice.into_iter()), Err(InvalidAnswer));
    }

    #[test]
    fn parameters_are_four_bytes() {
        assert_eq!(size_of::<DeflateParams>(), 4);
    }

    proptest! {
        #[test]
        fn whatever_is_offered_is_answered_with_what_it_allows(pieces in prop::collection::vec(piece(), 0..12), takeover: bool) {
            let offer = pieces.concat();
            let params = negotiate(std::iter::once(&offer[..]), takeover);
            if let Some(params) = params {
                prop_assert!(takeover || params.server_no_context_takeover && params.client_no_context_takeover);
                prop_assert!((9..=15).contains(&params.server_window_bits()));
                let mut answer = Vec::new();
                params.answer(&mut answer);
                prop_assert_eq!(negotiate(std::iter::once(&answer[..]), takeover), Some(params), "an answer is a legal offer");
            }
            let _ = DeflateParams::from_answer(std::iter::once(&offer[..]));
        }
    }

    /// Pieces of offers, and noise.
    fn piece() -> impl Strategy<Value = Vec<u8>> {
        let known = [
            "permessage-deflate",
            ", permessage-deflate",
            "; server_no_context_takeover",
            ";client_no_context_takeover",
            "; server_max_window_bits",
            "; client_max_window_bits",
            "=9",
            "=15",
            "=\"10\"",
            ";",
            "\"",
            " ",
        ];
        prop_oneof![
            20 => prop::sample::select(known.to_vec()).prop_map(|text| text.as_bytes().to_vec()),
            1 => prop::collection::vec(any::<u8>(), 0..5),
        ]
    }
}
