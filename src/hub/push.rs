//! JSON out: what clients are told without having asked. Each function gives one whole document, made once for all who
//! are to have it; who they are the hub knows.

#[cfg(test)]
mod tests;

use super::codes::UnsubscribeCode;
use super::json::{Fields, write_number, write_text};
use super::reply::{SubscribeResult, write_subscribe_result};
use crate::engine::{Publication, PublicationBody};

/// A publication.
pub fn publication(channel: &str, publication: &Publication) -> Vec<u8> {
    let mut out = begin(channel, "pub", publication.body.len() + 32);
    publication.write(&mut out);
    end(out)
}

/// Somebody came. `info` is a [`crate::engine::Member`]'s.
pub fn join(channel: &str, info: &[u8]) -> Vec<u8> {
    info_push(channel, "join", info)
}

/// Somebody left. `info` is a [`crate::engine::Member`]'s.
pub fn leave(channel: &str, info: &[u8]) -> Vec<u8> {
    info_push(channel, "leave", info)
}

/// A subscription has ended.
pub fn unsubscribe(channel: &str, code: UnsubscribeCode) -> Vec<u8> {
    let mut out = begin(channel, "unsubscribe", 64);
    out.extend_from_slice(b"{\"code\":");
    write_number(&mut out, u64::from(code.code()));
    out.extend_from_slice(b",\"reason\":");
    write_text(&mut out, code.reason());
    out.push(b'}');
    end(out)
}

/// A server-side subscription has begun.
pub fn subscribe(channel: &str, result: &SubscribeResult<'_>) -> Vec<u8> {
    let mut out = begin(channel, "subscribe", 64);
    write_subscribe_result(&mut out, result);
    end(out)
}

/// A message for this client alone, JSON on one line.
pub fn message(data: &str) -> Vec<u8> {
    let mut out = begin("", "message", data.len() + 16);
    out.extend_from_slice(b"{\"data\":");
    out.extend_from_slice(data.as_bytes());
    out.push(b'}');
    end(out)
}

/// The last words on a wire that has no close frame. `words` are plain words, never JSON: who parses them would take
/// them for advice of another kind.
pub fn disconnect(code: u16, words: &str) -> Vec<u8> {
    let mut out = begin("", "disconnect", 64);
    out.extend_from_slice(b"{\"code\":");
    write_number(&mut out, u64::from(code));
    out.extend_from_slice(b",\"reason\":");
    write_text(&mut out, words);
    out.push(b'}');
    end(out)
}

/// The connection's time was changed: `ttl` seconds are left of it, or it never expires.
pub fn refresh(ttl: Option<u64>) -> Vec<u8> {
    let mut out = begin("", "refresh", 32);
    out.push(b'{');
    Fields::new(&mut out).expiry(ttl);
    out.push(b'}');
    end(out)
}

/// A publication but for its offset. `data`, `info` (`{"client":..,"user":..}`) and `tags` (an object of strings) are
/// JSON on one line, as [`super::command::compact`] gives it.
pub fn publication_body(data: &str, info: Option<&[u8]>, tags: Option<&str>) -> PublicationBody {
    let lens = [data.len(), info.map_or(0, <[u8]>::len), tags.map_or(0, str::len)];
    let mut out = Vec::with_capacity(lens.iter().sum::<usize>() + 32);
    out.push(b'{');
    let mut fields = Fields::new(&mut out);
    fields.some_json("data", Some(data));
    if let Some(info) = info {
        fields.name("info").extend_from_slice(info);
    }
    fields.some_json("tags", tags);
    out.into()
}

fn info_push(channel: &str, kind: &str, info: &[u8]) -> Vec<u8> {
    let mut out = begin(channel, kind, info.len() + 16);
    out.extend_from_slice(b"{\"info\":");
    out.extend_from_slice(info);
    out.push(b'}');
    end(out)
}

/// `{"push":{"channel":"c","pub":`, with room for `len` bytes behind it.
fn begin(channel: &str, kind: &str, len: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(channel.len() + kind.len() + len + 32);
    out.extend_from_slice(b"{\"push\":{");
    let mut fields = Fields::new(&mut out);
    fields.text("channel", channel);
    fields.name(kind);
    out
}

fn end(mut out: Vec<u8>) -> Vec<u8> {
    out.extend_from_slice(b"}}");
    out
}
