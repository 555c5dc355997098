//! The payload of a Close frame (RFC 6455, sections 5.5.1 and 7.4). Which code a connection ends with decides
//! `connection`.

/// A close code that may stand in a Close frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CloseCode(u16);

/// What the payload of a Close frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CloseFrame<'a> {
    /// Why the connection ends.
    pub code: CloseCode,
    /// Words for people, perhaps none. They come from the peer: escape them wherever they are shown.
    pub reason: &'a str,
}

/// What is wrong with the payload of a Close frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseError {
    /// Half a code, or one that must not be sent (sections 5.5.1, 7.4.1 and 7.4.2).
    Code,
    /// The reason is not UTF-8 (sections 5.5.1 and 8.1).
    Reason,
}

/// Longest reason that fits a control frame of 125 bytes.
pub const MAX_REASON: usize = 123;

impl CloseCode {
    /// 1000: all is done.
    pub const NORMAL: Self = Self(1000);
    /// 1001: the server goes down, or the browser leaves the page.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: the peer broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// 1003: data of a kind that is not taken here.
    pub const UNSUPPORTED: Self = Self(1003);
    /// 1007: a text that is not UTF-8, or compressed data that is broken.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// 1008: a rule of this server.
    pub const POLICY: Self = Self(1008);
    /// 1009: a message over the limit.
    pub const TOO_BIG: Self = Self(1009);
    /// 1011: the server failed.
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// 1012: the server restarts.
    pub const RESTART: Self = Self(1012);
    /// 1013: the server is overloaded; later, perhaps.
    pub const TRY_LATER: Self = Self(1013);

    /// The code `code`, where it may be sent: registered and not kept for local use (1004-1006 and 1015 are), or in
    /// the ranges of libraries (3000-3999) and applications (4000-4999).
    pub fn new(code: u16) -> Option<Self> {
        matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999).then_some(Self(code))
    }

    /// The number.
    pub fn get(self) -> u16 {
        self.0
    }
}

impl<'a> CloseFrame<'a> {
    /// Reads a payload; an empty one says nothing.
    pub fn parse(payload: &'a [u8]) -> Result<Option<Self>, CloseError> {
        if payload.is_empty() {
            return Ok(None);
        }
        let (code, reason) = payload.split_first_chunk().ok_or(CloseError::Code)?;
        let code = CloseCode::new(u16::from_be_bytes(*code)).ok_or(CloseError::Code)?;
        let reason = std::str::from_utf8(reason).map_err(|_| CloseError::Reason)?;
        Ok(Some(Self { code, reason }))
    }

    /// Appends the payload: the code and as many whole characters of the reason as fit in [`MAX_REASON`] bytes.
    pub fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.code.get().to_be_bytes());
        out.extend_from_slice(fitting(self.reason).as_bytes());
    }
}

impl CloseError {
    /// The code to answer with.
    pub fn code(self) -> CloseCode {
        match self {
            CloseError::Code => CloseCode::PROTOCOL_ERROR,
            CloseError::Reason => CloseCode::INVALID_PAYLOAD,
        }
    }
}

/// As many whole characters of `reason` as fit in [`MAX_REASON`] bytes.
pub fn fitting(reason: &str) -> &str {
    let end = (0..=reason.len().min(MAX_REASON)).rev().find(|&end| reason.is_char_boundary(end)).unwrap_or(0);
    &reason[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(code: CloseCode, reason: &str) -> Vec<u8> {
        let mut out = b"before".to_vec();
        CloseFrame { code, reason }.encode(&mut out);
        out.split_off(b"before".len())
    }

    #[test]
    fn an_empty_payload_says_nothing_and_half_a_code_is_an_error() {
        assert_eq!(CloseFrame::parse(b""), Ok(None));
        assert_eq!(CloseFrame::parse(b"\x03"), Err(CloseError::Code));
        assert_eq!(CloseError::Code.code().get(), 1002);
    }

    #[test]
    fn of_all_codes_only_those_that_may_be_sent_are_taken() {
        for code in 0..=u16::MAX {
            let may_be_sent = (1000..=1003).chain(1007..=1014).chain(3000..=4999).any(|each| each == code);
            let parsed = CloseFrame::parse(&code.to_be_bytes()).map(|frame| frame.unwrap().code.get());
            assert_eq!(parsed, if may_be_sent { Ok(code) } else { Err(CloseError::Code) });
        }
    }

    #[test]
    fn a_code_is_judged_before_the_reason() {
        assert_eq!(CloseFrame::parse(b"\x03\xE8bye\xFF"), Err(CloseError::Reason));
        assert_eq!(CloseFrame::parse(b"\x03\xED\xFF"), Err(CloseError::Code));
        assert_eq!(CloseError::Reason.code().get(), 1007);
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        assert_eq!(encoded(CloseCode::NORMAL, &"x".repeat(123)).len(), 125);
        assert_eq!(encoded(CloseCode::NORMAL, &"x".repeat(500)).len(), 125);
        assert_eq!(encoded(CloseCode::NORMAL, &"😀".repeat(40)).len(), 2 + 4 * 30);
    }

    #[test]
    fn the_constants_are_codes_that_may_be_sent() {
        use CloseCode as C;
        let errors = [C::PROTOCOL_ERROR, C::UNSUPPORTED, C::INVALID_PAYLOAD, C::POLICY, C::TOO_BIG, C::INTERNAL_ERROR];
        for code in errors.into_iter().chain([C::NORMAL, C::GOING_AWAY, C::RESTART, C::TRY_LATER]) {
            assert_eq!(CloseCode::new(code.get()), Some(code));
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_read(code in prop_oneof![1000u16..=1003, 1007u16..=1014, 3000u16..=4999], reason in ".{0,200}") {
            let code = CloseCode::new(code).unwrap();
            let payload = encoded(code, &reason);
            let frame = CloseFrame::parse(&payload).unwrap().unwrap();
            prop_assert_eq!(frame.code, code);
            prop_assert!(reason.starts_with(frame.reason) && payload.len() <= 125);
            prop_assert!(frame.reason.len() == reason.len() || frame.reason.len() > MAX_REASON - 4);
        }

        #[test]
        fn what_is_read_is_encoded_alike(code in 990u16..1020, reason in prop::collection::vec(any::<u8>(), 0..6)) {
            let payload = [&code.to_be_bytes()[..], &reason].concat();
            match CloseFrame::parse(&payload) {
                Ok(frame) => prop_assert_eq!(frame.map(|frame| encoded(frame.code, frame.reason)), Some(payload)),
                Err(error) => prop_assert_eq!(error == CloseError::Code, CloseCode::new(code).is_none()),
            }
        }
    }
}
