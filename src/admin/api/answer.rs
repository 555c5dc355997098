//! Outcomes to JSON, by the names that results have in Centrifugo's API, and to HTTP responses.

use crate::engine::Position;
use crate::hub::codes::ErrorCode;
use crate::hub::json::{self, Fields, write_number, write_text};
use crate::hub::operation::{ConnectionDetails, ConnectionEvent, ConnectionRow, NodeInfo, Outcome};
use crate::wire::http::{Response, Status};

/// The response to a request that was one operation.
pub(super) fn response(outcome: &Result<Outcome, ErrorCode>) -> Response {
    let mut out = Vec::with_capacity(128);
    match outcome {
        Err(ErrorCode::TooBusy) => return Response::refusal(Status::Unavailable),
        Err(code) => write_error(&mut out, *code),
        Ok(outcome) => {
            out.extend_from_slice(b"{\"result\":{");
            write_result(&mut out, outcome);
            out.extend_from_slice(b"}}");
        }
    }
    Response::json(Status::Ok, out)
}

/// `{"error":{"code":107,"message":"bad request"}}`
pub(super) fn write_error(out: &mut Vec<u8>, code: ErrorCode) {
    out.extend_from_slice(b"{\"error\":{");
    json::write_error(&mut Fields::new(out), code);
    out.extend_from_slice(b"}}");
}

/// The fields of a result.
pub(super) fn write_result(out: &mut Vec<u8>, outcome: &Outcome) {
    match outcome {
        Outcome::Done => {}
        Outcome::Published(position) => json::write_position(&mut Fields::new(out), position.as_ref()),
        Outcome::Broadcast(answers) => write_list(Fields::new(out).name("responses"), answers, write_response),
        Outcome::Presence(members) => json::write_presence(out, members),
        Outcome::PresenceStats { clients, users } => json::write_presence_stats(out, *clients, *users),
        Outcome::History(page) => json::write_history(out, page),
        Outcome::Channels(channels) => write_map(Fields::new(out).name("channels"), channels, write_channel),
        Outcome::Info(node) => write_list(Fields::new(out).name("nodes"), std::slice::from_ref(node), write_node),
        Outcome::Connections { rows, next } => {
            let mut fields = Fields::new(out);
            write_map(fields.name("connections"), rows, write_connection);
            fields.some_text("next", next.as_deref());
        }
        Outcome::Connection(details) => write_details(&mut Fields::new(out), details),
        Outcome::Sent(count) => write_number(Fields::new(out).name("sent"), *count as u64),
    }
}

/// `{"result":{"offset":1,"epoch":"e"}}`
fn write_response(out: &mut Vec<u8>, answer: &Result<Option<Position>, ErrorCode>) {
    match answer {
        Err(code) => write_error(out, *code),
        Ok(position) => {
            out.extend_from_slice(b"{\"result\":{");
            json::write_position(&mut Fields::new(out), position.as_ref());
            out.extend_from_slice(b"}}");
        }
    }
}

fn write_channel(out: &mut Vec<u8>, (channel, subscribers): &(impl AsRef<str>, usize)) {
    write_text(out, channel.as_ref());
    out.extend_from_slice(b":{");
    Fields::new(out).number("num_clients", *subscribers as u64);
    out.push(b'}');
}

fn write_node(out: &mut Vec<u8>, node: &NodeInfo) {
    out.push(b'{');
    let mut fields = Fields::new(out);
    write_text(fields.name("uid"), &node.uid);
    write_text(fields.name("name"), &node.name);
    fields.text("version", &node.version);
    for (name, count) in [
        ("num_clients", node.clients),
        ("num_users", node.users),
        ("num_channels", node.channels),
        ("num_subs", node.subscriptions),
    ] {
        write_number(fields.name(name), count as u64);
    }
    write_number(fields.name("uptime"), node.uptime_secs);
    out.push(b'}');
}

/// `"<client>":{..}`
fn write_connection(out: &mut Vec<u8>, row: &ConnectionRow) {
    write_text(out, &row.client);
    out.extend_from_slice(b":{");
    write_row(&mut Fields::new(out), row);
    out.push(b'}');
}

/// What Centrifugo says of a connection under the same names; `state` is an object there, so ours is `status`.
fn write_row(fields: &mut Fields<'_>, row: &ConnectionRow) {
    fields.text("user", &row.user);
    fields.text("app_name", &row.app_name);
    fields.text("app_version", &row.app_version);
    fields.text("transport", row.transport);
    fields.text("protocol", "json");
    fields.text("status", row.state.name());
    fields.text("address", &row.address);
    fields.number("connected_at", row.since_unix_secs);
    fields.number("num_channels", row.channels as u64);
}

fn write_details(fields: &mut Fields<'_>, details: &ConnectionDetails) {
    fields.text("client", &details.row.client);
    write_row(fields, &details.row);
    write_list(fields.name("channels"), &details.channels, |out, channel| write_text(out, channel));
    fields.number("queued_bytes", details.queued_bytes as u64);
    write_list(fields.name("events"), &details.events, write_event);
}

fn write_event(out: &mut Vec<u8>, event: &ConnectionEvent) {
    out.push(b'{');
    let mut fields = Fields::new(out);
    fields.number("at_ms", event.at_unix_millis);
    fields.text("event", &event.words);
    out.push(b'}');
}

fn write_list<T>(out: &mut Vec<u8>, items: &[T], write: impl Fn(&mut Vec<u8>, &T)) {
    write_between(out, b"[]", items, write);
}

fn write_map<T>(out: &mut Vec<u8>, items: &[T], write: impl Fn(&mut Vec<u8>, &T)) {
    write_between(out, b"{}", items, write);
}

fn write_between<T>(out: &mut Vec<u8>, [open, close]: &[u8; 2], items: &[T], write: impl Fn(&mut Vec<u8>, &T)) {
    out.push(*open);
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(*close);
}
