//! The opening handshake of one connection (RFC 6455, section 4.1): the request goes out, the answer is judged.

use super::offer;
use crate::client::letter::Letter;
use crate::client::{ClientOptions, EndReason};
use crate::wire::websocket::DeflateParams;
use crate::wire::websocket::handshake::{Accepted, HandshakeError, MAX_RESPONSE_BYTES, check_response, write_request};
use std::io::{self, IoSlice};

/// A request under way, and what has come of its answer: at most [`MAX_RESPONSE_BYTES`].
#[derive(Debug)]
pub(in crate::client) struct Upgrade {
    request: Letter,
    key: [u8; 16],
    subprotocol: Option<String>,
    offers_deflate: bool,
    head: Vec<u8>,
}

/// What the server agreed to.
#[derive(Debug)]
pub(in crate::client) struct Agreed {
    /// How messages may be compressed, if at all.
    pub(super) deflate: Option<DeflateParams>,
}

impl Upgrade {
    /// The request for `path` on `host`, which fails for a host that can't be asked.
    pub(in crate::client) fn new(
        host: &str,
        path: &str,
        key: [u8; 16],
        options: &ClientOptions,
    ) -> Result<Self, HandshakeError> {
        let (mut request, offer) = (Vec::with_capacity(512), offer(options));
        let subprotocol = options.subprotocol.clone();
        write_request(&mut request, host, path, &key, subprotocol.as_deref(), offer.map(str::as_bytes))?;
        add_fields(&mut request, &options.request_fields);
        let (request, offers_deflate) = (Letter::new(request), offer.is_some());
        Ok(Self { request, key, subprotocol, offers_deflate, head: Vec::new() })
    }

    /// Sends what has not left of the request.
    pub(in crate::client) fn flush(
        &mut self,
        write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<()> {
        self.request.flush(write)
    }

    /// Takes the answer off the front of `bytes`; `None` while it is under way. What is behind it are frames.
    pub(in crate::client) fn handle_bytes(&mut self, bytes: &mut &[u8]) -> Result<Option<Agreed>, EndReason> {
        let before = self.head.len();
        let kept = bytes.len().min(MAX_RESPONSE_BYTES + 1 - before);
        self.head.extend_from_slice(&bytes[..kept]);
        match check_response(&self.head, before, &self.key) {
            Ok(None) => {
                *bytes = &[];
                Ok(None)
            }
            Ok(Some((accepted, len))) => {
                *bytes = &bytes[len.saturating_sub(before)..];
                self.agree(&accepted).map(Some)
            }
            Err(HandshakeError::Refused(status)) => Err(EndReason::Refused(status)),
            Err(error) => Err(EndReason::BadAnswer(error.to_string())),
        }
    }

    /// A server may only agree to what was asked for, and has to be asked first.
    fn agree(&self, accepted: &Accepted) -> Result<Agreed, EndReason> {
        let bad = |wrong: &str| Err(EndReason::BadAnswer(wrong.to_owned()));
        if !self.request.is_sent() {
            return bad("the server answers before it is asked");
        }
        match (&self.subprotocol, &accepted.protocol) {
            (asked, answered) if asked == answered => {}
            (Some(_), None) => return bad("the server does not speak the subprotocol"),
            (_, Some(_)) => return bad("the server speaks a subprotocol that was not asked for"),
            (None, None) => {}
        }
        match DeflateParams::from_answer(accepted.extensions.as_deref().into_iter()) {
            Ok(None) => Ok(Agreed { deflate: None }),
            Ok(Some(params)) if self.offers_deflate => Ok(Agreed { deflate: Some(params) }),
            Ok(Some(_)) | Err(_) => bad("the server uses an extension that was not offered so"),
        }
    }
}

/// Adds fields, which `ClientOptions::validate` has found in order, before the blank line.
fn add_fields(request: &mut Vec<u8>, fields: &[(String, String)]) {
    const BLANK_LINE: &[u8] = b"\r\n";
    request.truncate(request.len() - BLANK_LINE.len());
    for (name, value) in fields {
        request.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    request.extend_from_slice(BLANK_LINE);
}
