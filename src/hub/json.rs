//! Pieces of JSON that replies, pushes and the HTTP API have in common. Strings are escaped here; what is passed in as
//! JSON must be JSON on one line.

pub(crate) mod read;

use super::codes::ErrorCode;
use crate::engine::{Member, Page, Position, Publication};

/// Writes the fields of one object, without its braces; those with a zero value are left out.
pub(crate) struct Fields<'o> {
    out: &'o mut Vec<u8>,
    is_first: bool,
}

impl<'o> Fields<'o> {
    pub(crate) fn new(out: &'o mut Vec<u8>) -> Self {
        Self { out, is_first: true }
    }

    /// Begins a field, whose value the caller appends. `name` needs no escapes. It is always a literal, which is written
    /// without a call where its length is known.
    #[inline(always)]
    pub(crate) fn name(&mut self, name: &str) -> &mut Vec<u8> {
        if !std::mem::take(&mut self.is_first) {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    pub(crate) fn text(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            write_text(self.name(name), text);
        }
    }

    pub(crate) fn some_text(&mut self, name: &str, text: Option<&str>) {
        self.text(name, text.unwrap_or_default());
    }

    pub(crate) fn number(&mut self, name: &str, number: u64) {
        if number > 0 {
            write_number(self.name(name), number);
        }
    }

    pub(crate) fn flag(&mut self, name: &str, flag: bool) {
        if flag {
            self.name(name).extend_from_slice(b"true");
        }
    }

    pub(crate) fn some_json(&mut self, name: &str, json: Option<&str>) {
        if let Some(json) = json {
            self.name(name).extend_from_slice(json.as_bytes());
        }
    }

    /// What has no `ttl` never expires.
    pub(crate) fn expiry(&mut self, ttl: Option<u64>) {
        self.flag("expires", ttl.is_some());
        self.number("ttl", ttl.unwrap_or_default());
    }
}

pub(crate) fn write_number(out: &mut Vec<u8>, number: u64) {
    serde_json::to_writer(out, &number).expect("a number always serializes, and memory takes it");
}

pub(crate) fn write_text(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a string always serializes, and memory takes it");
}

pub(crate) fn write_error(fields: &mut Fields<'_>, code: ErrorCode) {
    fields.number("code", u64::from(code.code()));
    fields.text("message", code.message());
}

pub(crate) fn write_position(fields: &mut Fields<'_>, position: Option<&Position>) {
    if let Some(position) = position {
        fields.number("offset", position.offset);
        fields.text("epoch", &position.epoch);
    }
}

pub(crate) fn write_publications(out: &mut Vec<u8>, publications: &[Publication]) {
    out.push(b'[');
    for (at, publication) in publications.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        publication.write(out);
    }
    out.push(b']');
}

/// The fields of a history's result.
pub(crate) fn write_history(out: &mut Vec<u8>, page: &Page) {
    let mut fields = Fields::new(out);
    write_publications(fields.name("publications"), &page.publications);
    write_position(&mut fields, Some(&page.position));
}

/// The fields of a presence's result.
pub(crate) fn write_presence(out: &mut Vec<u8>, members: &[Member]) {
    out.extend_from_slice(b"\"presence\":{");
    for (at, member) in members.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_text(out, &uuid(member.client));
        out.push(b':');
        out.extend_from_slice(&member.info);
    }
    out.push(b'}');
}

/// The fields of the result of `presence_stats`; both are always there.
pub(crate) fn write_presence_stats(out: &mut Vec<u8>, clients: usize, users: usize) {
    out.extend_from_slice(format!("\"num_clients\":{clients},\"num_users\":{users}").as_bytes());
}

/// A UUID's text (RFC 9562, section 4).
pub(crate) fn uuid(bits: u128) -> String {
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
