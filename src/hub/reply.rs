//! JSON out: replies, appended to what the caller gathers. Decides nothing about what they say, and joins nothing.

#[cfg(test)]
mod tests;

use super::codes::ErrorCode;
use super::json;
use crate::engine::{Member, Page, Position, Publication};

/// What a successful `connect` brings.
#[derive(Debug, Clone, Copy, Default)]
pub struct ConnectResult<'a> {
    /// The connection's public id.
    pub client: &'a str,
    /// The server's version.
    pub version: &'a str,
    /// Seconds between pings.
    pub ping: u64,
    /// Pings are to be answered.
    pub pong: bool,
    /// The secret to come back with.
    pub session: Option<&'a str>,
    /// The session went on.
    pub resumed: bool,
    /// Seconds until the token expires, if it does.
    pub ttl: Option<u64>,
    /// From the application: JSON on one line.
    pub data: Option<&'a str>,
    /// Server-side subscriptions, by channel.
    pub subs: &'a [(&'a str, SubscribeResult<'a>)],
}

/// What a successful `subscribe` brings.
#[derive(Debug, Clone, Copy, Default)]
pub struct SubscribeResult<'a> {
    /// Seconds until the subscription expires, if it does.
    pub ttl: Option<u64>,
    /// What is missed can be recovered.
    pub recoverable: bool,
    /// Offsets are watched for gaps.
    pub positioned: bool,
    /// The current epoch, where the channel has a history.
    pub epoch: Option<&'a str>,
    /// Where live publications go on, less those in `publications`.
    pub offset: u64,
    /// What was missed.
    pub publications: &'a [Publication],
    /// Nothing else was missed.
    pub recovered: bool,
    /// Recovery was asked for.
    pub was_recovering: bool,
    /// What can't be recovered.
    pub gap: Option<Gap>,
    /// From the application: JSON on one line.
    pub data: Option<&'a str>,
}

/// Publications that a subscriber will never see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The first offset missed.
    pub from: u64,
    /// The last one missed.
    pub to: u64,
    /// Why.
    pub reason: GapReason,
}

/// Why publications can't be recovered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapReason {
    /// The history does not reach back so far.
    HistoryTrimmed,
    /// The history began anew.
    EpochChanged,
}

/// What a successful `refresh` brings.
#[derive(Debug, Clone, Copy)]
pub struct RefreshResult<'a> {
    /// The connection's public id.
    pub client: &'a str,
    /// Seconds until the new token expires, if it does.
    pub ttl: Option<u64>,
}

/// A reply that says why a command was not done.
pub fn error(out: &mut Vec<u8>, id: u32, code: ErrorCode) {
    begin(out, id, "error");
    let mut fields = json::Fields::new(out);
    json::write_error(&mut fields, code);
    fields.flag("temporary", code.is_temporary());
    out.extend_from_slice(b"}}");
}

/// A reply with an empty result, for methods that have nothing to tell.
pub fn empty(out: &mut Vec<u8>, id: u32, method: &str) {
    begin(out, id, method);
    out.extend_from_slice(b"}}");
}

/// The reply to `connect`.
pub fn connect(out: &mut Vec<u8>, id: u32, result: &ConnectResult<'_>) {
    begin(out, id, "connect");
    let mut fields = json::Fields::new(out);
    fields.text("client", result.client);
    fields.text("version", result.version);
    fields.number("ping", result.ping);
    fields.flag("pong", result.pong);
    fields.some_text("session", result.session);
    fields.flag("resumed", result.resumed);
    fields.expiry(result.ttl);
    fields.some_json("data", result.data);
    if !result.subs.is_empty() {
        write_subs(fields.name("subs"), result.subs);
    }
    out.extend_from_slice(b"}}");
}

/// The reply to `subscribe`.
pub fn subscribe(out: &mut Vec<u8>, id: u32, result: &SubscribeResult<'_>) {
    begin(out, id, "subscribe");
    write_subscribe_fields(out, result);
    out.extend_from_slice(b"}}");
}

/// The result of `subscribe` alone, as a JSON object.
pub fn write_subscribe_result(out: &mut Vec<u8>, result: &SubscribeResult<'_>) {
    out.push(b'{');
    write_subscribe_fields(out, result);
    out.push(b'}');
}

/// The reply to `publish`; `position` is told to those who gave an idempotency key.
pub fn published(out: &mut Vec<u8>, id: u32, position: Option<&Position>) {
    begin(out, id, "publish");
    json::write_position(&mut json::Fields::new(out), position);
    out.extend_from_slice(b"}}");
}

/// The reply to `presence`.
pub fn presence(out: &mut Vec<u8>, id: u32, members: &[Member]) {
    begin(out, id, "presence");
    json::write_presence(out, members);
    out.extend_from_slice(b"}}");
}

/// The reply to `presence_stats`.
pub fn presence_stats(out: &mut Vec<u8>, id: u32, clients: usize, users: usize) {
    begin(out, id, "presence_stats");
    json::write_presence_stats(out, clients, users);
    out.extend_from_slice(b"}}");
}

/// The reply to `history`.
pub fn history(out: &mut Vec<u8>, id: u32, page: &Page) {
    begin(out, id, "history");
    json::write_history(out, page);
    out.extend_from_slice(b"}}");
}

/// The reply to `rpc`; `data` is JSON on one line.
pub fn rpc(out: &mut Vec<u8>, id: u32, data: &str) {
    begin(out, id, "rpc");
    json::Fields::new(out).some_json("data", Some(data));
    out.extend_from_slice(b"}}");
}

/// The reply to `refresh`.
pub fn refresh(out: &mut Vec<u8>, id: u32, result: &RefreshResult<'_>) {
    begin(out, id, "refresh");
    let mut fields = json::Fields::new(out);
    fields.text("client", result.client);
    fields.expiry(result.ttl);
    out.extend_from_slice(b"}}");
}

/// The reply to `sub_refresh`.
pub fn sub_refresh(out: &mut Vec<u8>, id: u32, ttl: Option<u64>) {
    begin(out, id, "sub_refresh");
    json::Fields::new(out).expiry(ttl);
    out.extend_from_slice(b"}}");
}

/// `{"id":1,"publish":{`
fn begin(out: &mut Vec<u8>, id: u32, method: &str) {
    out.extend_from_slice(b"{\"id\":");
    json::write_number(out, u64::from(id));
    out.extend_from_slice(b",\"");
    out.extend_from_slice(method.as_bytes());
    out.extend_from_slice(b"\":{");
}

fn write_subs(out: &mut Vec<u8>, subs: &[(&str, SubscribeResult<'_>)]) {
    out.push(b'{');
    for (at, (channel, result)) in subs.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        json::write_text(out, channel);
        out.push(b':');
        write_subscribe_result(out, result);
    }
    out.push(b'}');
}

fn write_subscribe_fields(out: &mut Vec<u8>, result: &SubscribeResult<'_>) {
    let mut fields = json::Fields::new(out);
    fields.expiry(result.ttl);
    fields.flag("recoverable", result.recoverable);
    fields.some_text("epoch", result.epoch);
    fields.number("offset", result.offset);
    if !result.publications.is_empty() {
        json::write_publications(fields.name("publications"), result.publications);
    }
    fields.flag("recovered", result.recovered);
    fields.flag("positioned", result.positioned);
    fields.flag("was_recovering", result.was_recovering);
    if let Some(gap) = result.gap {
        write_gap(fields.name("gap"), gap);
    }
    fields.some_json("data", result.data);
}

/// Offsets stand here even where they are zero: a gap has two ends.
fn write_gap(out: &mut Vec<u8>, gap: Gap) {
    out.extend_from_slice(b"{\"from\":");
    json::write_number(out, gap.from);
    out.extend_from_slice(b",\"to\":");
    json::write_number(out, gap.to);
    out.extend_from_slice(b",\"reason\":");
    json::write_text(out, gap.reason.name());
    out.push(b'}');
}

impl GapReason {
    /// The word on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::HistoryTrimmed => "history_trimmed",
            Self::EpochChanged => "epoch_changed",
        }
    }
}
