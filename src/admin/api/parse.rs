//! Parameters in JSON to operations. What is missing, of the wrong type or no sense at all is refused with an error
//! code; names and rights are for the hub to judge.

use crate::engine::Query;
use crate::hub::codes::ErrorCode;
use crate::hub::command::{Since, compact};
use crate::hub::json::read::{self, Body};
use crate::hub::operation::{ConnectionFilter, ConnectionState, Expiry, Json, Letter, Operation, Target, Whose};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

mod params;

use params::{
    BroadcastParams, ChannelParams, ChannelsParams, ClientParams, ConnectionsParams, DisconnectParams, Farewell,
    HistoryParams, NoParams, PublishParams, RefreshParams, SendParams, SubscribeParams, UnsubscribeParams,
};

/// A method of the API that is one operation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Command {
    name: &'static str,
    parse: fn(&RawValue) -> Result<Operation, ErrorCode>,
}

const COMMANDS: [Command; 15] = [
    Command { name: "publish", parse: publish },
    Command { name: "broadcast", parse: broadcast },
    Command { name: "subscribe", parse: subscribe },
    Command { name: "unsubscribe", parse: unsubscribe },
    Command { name: "disconnect", parse: disconnect },
    Command { name: "refresh", parse: refresh },
    Command { name: "presence", parse: presence },
    Command { name: "presence_stats", parse: presence_stats },
    Command { name: "history", parse: history },
    Command { name: "history_remove", parse: history_remove },
    Command { name: "channels", parse: channels },
    Command { name: "info", parse: info },
    Command { name: "connections", parse: connections },
    Command { name: "connection", parse: connection },
    Command { name: "send", parse: send },
];

/// Connections of a page, where the caller does not say.
const DEFAULT_PAGE: usize = 100;
/// Connections of a page; who asks for more gets so many.
const MAX_PAGE: usize = 1000;
/// Bytes of the words of a close frame (RFC 6455, section 5.5.1).
const MAX_REASON_BYTES: usize = 123;

impl Command {
    pub(super) fn named(name: &str) -> Option<Self> {
        COMMANDS.into_iter().find(|command| command.name == name)
    }

    pub(super) fn name(self) -> &'static str {
        self.name
    }

    pub(super) fn operation(self, params: &RawValue) -> Result<Operation, ErrorCode> {
        (self.parse)(params)
    }
}

fn publish(params: &RawValue) -> Result<Operation, ErrorCode> {
    let it: PublishParams<'_> = read(params)?;
    let letter = letter(it.data, it.b64data, it.tags, it.skip_history, it.idempotency_key)?;
    Ok(Operation::Publish { channel: some(it.channel)?, letter })
}

fn broadcast(params: &RawValue) -> Result<Operation, ErrorCode> {
    let it: BroadcastParams<'_> = read(params)?;
    let letter = letter(it.data, it.b64data, it.tags, it.skip_history, it.idempotency_key)?;
    if it.channels.is_empty() {
        return Err(ErrorCode::BadRequest);
    }
    let channels = it.channels.into_iter().map(|read::Text(channel)| some(channel)).collect::<Result<_, _>>()?;
    Ok(Operation::Broadcast { channels, letter })
}

fn subscribe(params: &RawValue) -> Result<Operation, ErrorCode> {
    let it: SubscribeParams<'_> = read(params)?;
    Ok(Operation::Subscribe {
        whose: whose(it.user, it.client, it.session)?,
        channel: some(it.channel)?,
        info: payload(it.info, it.b64info)?,
        data: payload(it.data, it.b64data)?,
        recover_since: it.recover_since.map(|Body(Since { offset, epoch })| (offset, epoch.into())),
    })
}

fn unsubscribe(params: &RawValue) -> Result<Operation, ErrorCode> {
    let it: UnsubscribeParams<'_> = read(params)?;
    Ok(Operation::Unsubscribe { whose: whose(it.user, it.client, it.session)?, channel: it.channel.into() })
}

fn disconnect(params: &RawValue) -> Result<Operation, ErrorCode> {
    let it: DisconnectParams<'_> = read(params)?;
    Ok(Operation::Disconnect {
        whose: whose(it.user, it.client, it.session)?,
        whitelist: it.whitelist.unwrap_or_default().into_iter().map(|read::Text(client)| client.into()).collect(),
        farewell: it.disconnect.map(|Body(words)| farewell(words)).transpose()?.flatten(),
    })
}

fn refresh(params: &RawValue) -> Result<Operation, ErrorCode> {
    let it: RefreshParams<'_> = read(params)?;
    let expiry = match (it.expired, it.expire_at) {
        (true, _) => Expiry::Now,
        (false, 0) => Expiry::Never,
        (false, at) => Expiry::At(at),
    };
    Ok(Operation::Refresh { whose: whose(it.user, it.client, it.session)?, expiry })
}

fn presence(params: &RawValue) -> Result<Operation, ErrorCode> {
    Ok(Operation::Presence { channel: channel(params)? })
}

fn presence_stats(params: &RawValue) -> Result<Operation, ErrorCode> {
    Ok(Operation::PresenceStats { channel: channel(params)? })
}

fn history(params: &RawValue) -> Result<Operation, ErrorCode> {
    let it: HistoryParams<'_> = read(params)?;
    let query = Query {
        since: it.since.map(|Body(Since { offset, epoch })| (offset, epoch.into())),
        limit: usize::try_from(it.limit).unwrap_or(usize::MAX),
        reverse: it.reverse,
    };
    Ok(Operation::History { channel: some(it.channel)?, query })
}

fn history_remove(params: &RawValue) -> Result<Operation, ErrorCode> {
    Ok(Operation::HistoryRemove { channel: channel(params)? })
}

fn channels(params: &RawValue) -> Result<Operation, ErrorCode> {
    let it: ChannelsParams<'_> = read(params)?;
    Ok(Operation::Channels { pattern: option(it.pattern) })
}

fn info(params: &RawValue) -> Result<Operation, ErrorCode> {
    read(params).map(|NoParams {}| Operation::Info)
}

fn connections(params: &RawValue) -> Result<Operation, ErrorCode> {
    let it: ConnectionsParams<'_> = read(params)?;
    if !it.expression.is_empty() {
        return Err(ErrorCode::NotAvailable);
    }
    let state = option(it.state).map(|name| ConnectionState::from_name(&name).ok_or(ErrorCode::BadRequest));
    let ip = option(it.ip).map(|ip| ip.parse().map_err(|_| ErrorCode::BadRequest));
    let filter = ConnectionFilter {
        user: option(it.user),
        channel: option(it.channel),
        ip: ip.transpose()?,
        state: state.transpose()?,
    };
    let limit = if it.limit == 0 { DEFAULT_PAGE } else { it.limit.min(MAX_PAGE) };
    Ok(Operation::Connections { filter, after: option(it.after), limit })
}

fn connection(params: &RawValue) -> Result<Operation, ErrorCode> {
    let it: ClientParams<'_> = read(params)?;
    Ok(Operation::Connection { client: some(it.client)? })
}

fn send(params: &RawValue) -> Result<Operation, ErrorCode> {
    let it: SendParams<'_> = read(params)?;
    let target = match (option(it.client), option(it.session), option(it.user)) {
        (Some(client), None, None) => Target::Client(client),
        (None, Some(session), None) => Target::Session(session),
        (None, None, Some(user)) => Target::User(user),
        _ => return Err(ErrorCode::BadRequest),
    };
    Ok(Operation::Send { target, data: payload(it.data, it.b64data)?.ok_or(ErrorCode::BadRequest)? })
}

fn read<'a, T: Deserialize<'a>>(params: &'a RawValue) -> Result<T, ErrorCode> {
    serde_json::from_str(params.get()).map(|Body(params)| params).map_err(|_| ErrorCode::BadRequest)
}

fn channel(params: &RawValue) -> Result<Box<str>, ErrorCode> {
    some(read::<ChannelParams<'_>>(params)?.channel)
}

/// A text that must not be empty.
fn some(text: Cow<'_, str>) -> Result<Box<str>, ErrorCode> {
    option(text).ok_or(ErrorCode::BadRequest)
}

/// An empty text says nothing.
fn option(text: Cow<'_, str>) -> Option<Box<str>> {
    (!text.is_empty()).then(|| text.into())
}

fn whose(user: Cow<'_, str>, client: Cow<'_, str>, session: Cow<'_, str>) -> Result<Whose, ErrorCode> {
    let whose = Whose { user: user.into(), client: option(client), session: option(session) };
    let names_somebody = !whose.user.is_empty() || whose.client.is_some() || whose.session.is_some();
    names_somebody.then_some(whose).ok_or(ErrorCode::BadRequest)
}

fn letter(
    data: Option<&RawValue>,
    b64data: Cow<'_, str>,
    tags: Option<&RawValue>,
    skip_history: bool,
    idempotency_key: Cow<'_, str>,
) -> Result<Letter, ErrorCode> {
    Ok(Letter {
        data: payload(data, b64data)?.ok_or(ErrorCode::BadRequest)?,
        tags: tags.map(self::tags).transpose()?.flatten(),
        skip_history,
        idempotency_key: option(idempotency_key),
    })
}

/// A payload as JSON, or as base64 of JSON, which has precedence. Other bytes have no place in JSON.
fn payload(data: Option<&RawValue>, base64: Cow<'_, str>) -> Result<Option<Json>, ErrorCode> {
    if base64.is_empty() {
        return Ok(data.map(|data| compact(data).into()));
    }
    let bytes = STANDARD.decode(base64.as_bytes()).map_err(|_| ErrorCode::BadRequest)?;
    let data: &RawValue = serde_json::from_slice(&bytes).map_err(|_| ErrorCode::BadRequest)?;
    Ok(Some(compact(data).into()))
}

/// Tags as they came, if they are an object of strings; `None` where there are none in it.
fn tags(tags: &RawValue) -> Result<Option<Json>, ErrorCode> {
    let found: BTreeMap<Cow<'_, str>, Cow<'_, str>> =
        serde_json::from_str(tags.get()).map_err(|_| ErrorCode::BadRequest)?;
    Ok((!found.is_empty()).then(|| compact(tags).into()))
}

/// The code and the words that a connection is closed with. Words that are JSON, or none, mislead the JavaScript client.
fn farewell(farewell: Farewell<'_>) -> Result<Option<(u16, Box<str>)>, ErrorCode> {
    if farewell.code == 0 && farewell.reason.is_empty() {
        return Ok(None);
    }
    let is_json = serde_json::from_str::<&RawValue>(&farewell.reason).is_ok();
    let is_short = (1..=MAX_REASON_BYTES).contains(&farewell.reason.len());
    if is_json || !is_short || !(3000..5000).contains(&farewell.code) {
        return Err(ErrorCode::BadRequest);
    }
    Ok(Some((farewell.code, farewell.reason.into())))
}
