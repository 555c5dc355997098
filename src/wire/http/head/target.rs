//! The request target (RFC 9112, section 3.2): a path, a whole URI, or `*`.

use super::{Method, Status};
use crate::wire::http::split_host_port;

/// Longest request target, in bytes; a longer one is refused with 414.
pub const MAX_TARGET: usize = 8 << 10;

/// A target in its parts, as they came.
pub(super) struct Target<'b> {
    /// Of an absolute target, which goes before `Host`.
    pub(super) authority: Option<&'b str>,
    pub(super) path: &'b str,
    pub(super) query: Option<&'b str>,
}

impl<'b> Target<'b> {
    pub(super) fn parse(target: &'b str, method: Method) -> Result<Self, Status> {
        if target.len() > MAX_TARGET {
            return Err(Status::UriTooLong);
        }
        if !target.bytes().all(|byte| ALLOWED[usize::from(byte)]) {
            return Err(Status::BadRequest);
        }
        if target.starts_with('/') {
            return Ok(Self::origin_form(None, target));
        }
        if target == "*" && method == Method::Options {
            return Ok(Self { authority: None, path: target, query: None });
        }
        Self::absolute_form(target).ok_or(Status::BadRequest)
    }

    fn absolute_form(target: &'b str) -> Option<Self> {
        let rest = after_scheme(target, "http://").or_else(|| after_scheme(target, "https://"))?;
        let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        split_host_port(authority)?;
        Some(Self::origin_form(Some(authority), rest))
    }

    fn origin_form(authority: Option<&'b str>, rest: &'b str) -> Self {
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (rest, None),
        };
        Self { authority, path: if path.is_empty() { "/" } else { path }, query }
    }
}

fn after_scheme<'b>(target: &'b str, scheme: &str) -> Option<&'b str> {
    let (front, rest) = target.split_at_checked(scheme.len())?;
    front.eq_ignore_ascii_case(scheme).then_some(rest)
}

/// All visible characters but those that no URI holds raw and that browsers always encode, `\` and the fragment's `#`.
const ALLOWED: [bool; 256] = {
    let mut allowed = [false; 256];
    let mut byte = b'!';
    while byte <= b'~' {
        allowed[byte as usize] = !matches!(byte, b'"' | b'#' | b'<' | b'>' | b'\\');
        byte += 1;
    }
    allowed
};
