//! What back ends and operators ask of the hub, and what they get: the HTTP API without HTTP and without JSON around it.
//! Everything is owned, as answers may take a while.

use super::codes::ErrorCode;
use crate::engine::{ChannelName, Member, Page, Position, Query};
use std::net::IpAddr;
use std::sync::Arc;

/// A JSON text on one line.
pub type Json = Box<str>;

/// One thing to be done. Names are as they came: whether there is such a channel, the hub judges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Publish. Gives [`Outcome::Published`].
    Publish {
        /// Where.
        channel: Box<str>,
        /// What.
        letter: Letter,
    },
    /// Publish the same on many channels. Gives [`Outcome::Broadcast`].
    Broadcast {
        /// Where; at least one.
        channels: Vec<Box<str>>,
        /// What.
        letter: Letter,
    },
    /// Subscribe a user's connections, from our side. Gives [`Outcome::Done`].
    Subscribe {
        /// Who.
        whose: Whose,
        /// To which channel.
        channel: Box<str>,
        /// About the subscriber in this channel; told to nobody yet.
        info: Option<Json>,
        /// For the client.
        data: Option<Json>,
        /// What was published after this offset of this epoch is sent along.
        recover_since: Option<(u64, Box<str>)>,
    },
    /// End subscriptions of a user's connections. Gives [`Outcome::Done`].
    Unsubscribe {
        /// Whose.
        whose: Whose,
        /// Of which channel; empty: of all.
        channel: Box<str>,
    },
    /// Close a user's connections. Gives [`Outcome::Done`].
    Disconnect {
        /// Whose.
        whose: Whose,
        /// Public ids of those that stay.
        whitelist: Vec<Box<str>>,
        /// Another code than 3503 and its words, 1 to 123 bytes that are no JSON.
        farewell: Option<(u16, Box<str>)>,
    },
    /// Change when a user's connections expire. Gives [`Outcome::Done`].
    Refresh {
        /// Whose.
        whose: Whose,
        /// When.
        expiry: Expiry,
    },
    /// Who is on a channel. Gives [`Outcome::Presence`].
    Presence {
        /// Which.
        channel: Box<str>,
    },
    /// How many are on a channel. Gives [`Outcome::PresenceStats`].
    PresenceStats {
        /// Which.
        channel: Box<str>,
    },
    /// A part of a history. Gives [`Outcome::History`].
    History {
        /// Of which channel.
        channel: Box<str>,
        /// Which part; `usize::MAX` for no limit, which the hub lowers to its own. An empty epoch agrees with any.
        query: Query,
    },
    /// Forget a history. Gives [`Outcome::Done`].
    HistoryRemove {
        /// Of which channel.
        channel: Box<str>,
    },
    /// Channels with subscribers here. Gives [`Outcome::Channels`].
    Channels {
        /// `*` stands for any text, `?` for one character; `None`: all.
        pattern: Option<Box<str>>,
    },
    /// Who we are and how many are here. Gives [`Outcome::Info`].
    Info,
    /// A page of the connections. Gives [`Outcome::Connections`].
    Connections {
        /// Which.
        filter: ConnectionFilter,
        /// Only those after this public id, as the page before gave it.
        after: Option<Box<str>>,
        /// At most so many; at least 1.
        limit: usize,
    },
    /// One connection. Gives [`Outcome::Connection`], or error 107 where there is none.
    Connection {
        /// Its public id.
        client: Box<str>,
    },
    /// Send a message past all channels. Gives [`Outcome::Sent`].
    Send {
        /// To whom.
        target: Target,
        /// The message.
        data: Json,
    },
}

/// What is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// The payload.
    pub data: Json,
    /// An object of strings.
    pub tags: Option<Json>,
    /// It is in no history.
    pub skip_history: bool,
    /// A second one with the same key on the same channel has no effect.
    pub idempotency_key: Option<Box<str>>,
}

/// Connections of one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whose {
    /// The user; empty: nobody's, which is allowed only with one of the others.
    pub user: Box<str>,
    /// Only the one with this public id.
    pub client: Option<Box<str>>,
    /// Only the one of this session.
    pub session: Option<Box<str>>,
}

/// When a connection is to expire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// At once.
    Now,
    /// At this time, in seconds since 1970; one that has passed is now.
    At(u64),
    /// Never.
    Never,
}

/// To whom a message goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The connection with this public id.
    Client(Box<str>),
    /// The connection of this session.
    Session(Box<str>),
    /// Each connection of this user.
    User(Box<str>),
}

/// Which connections are asked for: those to which all of it applies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConnectionFilter {
    /// Of this user.
    pub user: Option<Box<str>>,
    /// Subscribed to this channel.
    pub channel: Option<Box<str>>,
    /// From this address.
    pub ip: Option<IpAddr>,
    /// In this state.
    pub state: Option<ConnectionState>,
}

/// How far a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConnectionState {
    /// Its `connect` is yet to come, or to be answered.
    Connecting,
    /// Served.
    Connected,
    /// On its way out.
    Closing,
}

impl ConnectionState {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Connecting, Self::Connected, Self::Closing];

    /// The word on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Closing => "closing",
        }
    }

    /// The state with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// What came of an [`Operation`].
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Where the history stands with it; `None` where it is in none.
    Published(Option<Position>),
    /// One for each channel, in the order they were named.
    Broadcast(Vec<Result<Option<Position>, ErrorCode>>),
    /// Done, and nothing to tell.
    Done,
    /// Everybody there.
    Presence(Vec<Member>),
    /// How many are there.
    PresenceStats {
        /// Connections.
        clients: usize,
        /// Different users.
        users: usize,
    },
    /// A part of a history.
    History(Arc<Page>),
    /// Channels with how many subscribers each has.
    Channels(Vec<(ChannelName, usize)>),
    /// This process.
    Info(NodeInfo),
    /// A page of connections.
    Connections {
        /// In the order of the table they stand in, which is the same from page to page.
        rows: Vec<ConnectionRow>,
        /// What to ask the next page with; `None`: this was the last.
        next: Option<String>,
    },
    /// One connection.
    Connection(Box<ConnectionDetails>),
    /// To so many connections.
    Sent(usize),
}

/// One process as others see it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeInfo {
    /// Names this start of it.
    pub uid: String,
    /// What its operator calls it.
    pub name: String,
    /// Of the program.
    pub version: String,
    /// Connections that have connected.
    pub clients: usize,
    /// Different users among them.
    pub users: usize,
    /// Channels with a subscriber.
    pub channels: usize,
    /// Subscriptions.
    pub subscriptions: usize,
    /// Seconds since its start.
    pub uptime_secs: u64,
}

/// A connection in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionRow {
    /// Its public id.
    pub client: String,
    /// Its user; empty for an anonymous one.
    pub user: Arc<str>,
    /// Where it comes from; empty where that is not known.
    pub address: String,
    /// `websocket`, `line`, `length` or `raw`.
    pub transport: &'static str,
    /// How far it is.
    pub state: ConnectionState,
    /// The client's program, as it says.
    pub app_name: String,
    /// Its version, as it says.
    pub app_version: String,
    /// When it was accepted, in seconds since 1970.
    pub since_unix_secs: u64,
    /// Channels it is subscribed to.
    pub channels: usize,
}

/// A connection looked at closely.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionDetails {
    /// What a list says of it.
    pub row: ConnectionRow,
    /// Its subscriptions.
    pub channels: Vec<ChannelName>,
    /// Bytes that wait to be sent to it.
    pub queued_bytes: usize,
    /// What happened to it last, the oldest first.
    pub events: Vec<ConnectionEvent>,
}

/// Something that happened to a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionEvent {
    /// When, in milliseconds since 1970.
    pub at_unix_millis: u64,
    /// What, in plain words.
    pub words: String,
}
