//! Where publications, histories and presence live: asked by ticket, answered by completion, never at once by contract.
//!
//! [`Engine`] is what the hub asks. An engine in memory answers from this process; an engine that asks another process
//! answers later, and out of order across channels. No engine knows connections, and none reads a clock.

mod memory;
mod shards;

pub(crate) use shards::Shards;

pub use memory::{EngineSettings, MemoryEngine};

use crate::timer::Time;
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Names a request, so that its answer finds who asked. Chosen by the asker, who does not use it again
/// before it was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What the hub asks, and what it hears of.
///
/// Requests that name one channel take effect in the order they were submitted, and are answered in that order.
/// Publications of one channel are heard of in the order of their offsets, and a publication is answered after the
/// engine has it. Publications, comers and leavers are heard of on channels with [`Request::Subscribe`] alone; an engine
/// in memory says them before it answers the request they come from.
pub trait Engine {
    /// Takes a request. Where it is full nothing was taken, and no answer will come.
    fn submit(&mut self, ticket: Ticket, request: Request, now: Time) -> Result<(), Full>;

    /// The next thing the engine has to say.
    fn poll(&mut self, now: Time) -> Option<Event>;

    /// When it next wants [`Engine::handle_timeout`].
    fn poll_timeout(&self) -> Option<Time>;

    /// Lets go of what has expired; early or repeated calls are harmless.
    fn handle_timeout(&mut self, now: Time);

    /// Why it can't answer at present, if it can't.
    fn trouble(&self) -> Option<&str> {
        None
    }
}

/// The engine's queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// A channel's name, shared by everybody who has to name it.
pub type ChannelName = Arc<str>;

/// One request.
#[derive(Debug, Clone)]
pub enum Request {
    /// Publish. Answered by [`Done::Published`], heard of as [`Event::Publication`] unless it is a repetition.
    Publish(Publish),
    /// Read a history. Answered by [`Done::History`]. One that is not there begins with it, without publications: who
    /// was shown its position finds the same epoch later. A position that was asked for is kept as if it had been
    /// published to.
    History {
        /// Whose.
        channel: ChannelName,
        /// Which part.
        query: Query,
    },
    /// Forget the publications of a history; offsets go on from its position in the same epoch, as they do in
    /// Centrifugo. Answered by [`Done::Nothing`].
    RemoveHistory {
        /// Whose.
        channel: ChannelName,
    },
    /// Hear of a channel from now on, asked for once or often; its position is kept meanwhile. Answered by
    /// [`Done::Nothing`].
    Subscribe {
        /// Which.
        channel: ChannelName,
    },
    /// Hear of a channel no more; its position is kept for its time to live from now. Answered by [`Done::Nothing`].
    Unsubscribe {
        /// Which.
        channel: ChannelName,
    },
    /// Note a member, or note it anew in place of the one of the same client. Answered by [`Done::Nothing`].
    AddMember {
        /// Of which channel.
        channel: ChannelName,
        /// Who.
        member: Member,
        /// It is in the presence until it is removed.
        presence: bool,
        /// Subscribers hear of it as [`Event::Joined`].
        announce: bool,
    },
    /// Forget a member. Where it should be in the presence and is not, nobody hears of it. Answered by
    /// [`Done::Nothing`].
    RemoveMember {
        /// Of which channel.
        channel: ChannelName,
        /// Who. Its info is looked at only where it is announced.
        member: Member,
        /// It was added to the presence.
        presence: bool,
        /// Subscribers hear of it as [`Event::Left`].
        announce: bool,
    },
    /// Everybody who is present. Answered by [`Done::Presence`].
    Presence {
        /// Where.
        channel: ChannelName,
    },
    /// How many are present. Answered by [`Done::PresenceStats`].
    PresenceStats {
        /// Where.
        channel: ChannelName,
    },
}

/// A publication to be.
#[derive(Debug, Clone)]
pub struct Publish {
    /// Where.
    pub channel: ChannelName,
    /// Its body.
    pub body: PublicationBody,
    /// How much of it the channel's history keeps; `None`: the channel has none, or it is left out of it.
    pub history: Option<HistoryBounds>,
    /// A second publication with the same key on the same channel has no effect and the answer of the first. How long
    /// a key may be is for the asker to say.
    pub idempotency_key: Option<Box<str>>,
}

/// A publication's JSON object without its offset and its last brace: `{"data":{"x":1}`. An engine gives back what it was
/// given: nobody looks again whether it is JSON on one line.
pub type PublicationBody = Bytes;

/// How much of a history is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryBounds {
    /// Publications; at least 1.
    pub size: usize,
    /// Since the last publication. Then all of it is forgotten; the position stays for as long again, and as long as
    /// anybody subscribes.
    pub ttl: Duration,
}

/// One publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// Its place in the channel's history, from 1; 0 where it is in none.
    pub offset: u64,
    /// The rest of it.
    pub body: PublicationBody,
}

impl Publication {
    /// Appends it as a JSON object.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.body);
        if self.offset > 0 {
            out.extend_from_slice(b",\"offset\":");
            serde_json::to_writer(&mut *out, &self.offset).expect("a number always serializes, and memory takes it");
        }
        out.push(b'}');
    }
}

/// A place in one life of a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The offset of the newest publication; 0 where there was none.
    pub offset: u64,
    /// Names the life of the history.
    pub epoch: Epoch,
}

/// Names one life of a history: other publications had the same offsets in another. Never empty.
pub type Epoch = Arc<str>;

/// Which part of a history is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Query {
    /// Only what is newer than this offset (older, where `reverse`). An epoch that is not the current one brings no
    /// publications; an empty one agrees with any.
    pub since: Option<(u64, Epoch)>,
    /// At most so many; 0 asks for the position alone. The asker bounds it.
    pub limit: usize,
    /// The newest first.
    pub reverse: bool,
}

/// A part of a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Where the history stands.
    pub position: Position,
    /// In the order asked for.
    pub publications: Vec<Publication>,
}

impl Page {
    /// Whether nothing is missing between a place and what was read behind it: of the same life, with the next offset
    /// first.
    pub fn follows(&self, (offset, epoch): &(u64, Epoch)) -> bool {
        let is_same_life = epoch.is_empty() || *epoch == self.position.epoch;
        let first = self.publications.first().map(|first| first.offset);
        is_same_life && first.map_or(*offset >= self.position.offset, |first| first == offset + 1)
    }
}

/// One subscriber of a channel as others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The connection's public id.
    pub client: u128,
    /// Its user; empty for an anonymous one.
    pub user: Arc<str>,
    /// A JSON object: `{"client":..,"user":..,"conn_info":..}`.
    pub info: Bytes,
}

/// What an engine says.
#[derive(Debug, Clone)]
pub enum Event {
    /// The answer to a request.
    Done(Ticket, Result<Done, EngineError>),
    /// A publication on a channel that is heard of.
    Publication {
        /// Where.
        channel: ChannelName,
        /// What.
        publication: Publication,
        /// The epoch of its offset; `None` where it has no offset.
        epoch: Option<Epoch>,
    },
    /// A subscriber came.
    Joined {
        /// Where.
        channel: ChannelName,
        /// Who.
        info: Bytes,
    },
    /// A subscriber left.
    Left {
        /// Where.
        channel: ChannelName,
        /// Who.
        info: Bytes,
    },
    /// Publications on any channel may have been missed: positions have to be looked at.
    Interrupted,
}

/// The answer to a request.
#[derive(Debug, Clone)]
pub enum Done {
    /// To [`Request::Publish`]: where the history stands with it; `None` where it is in none.
    Published(Option<Position>),
    /// To [`Request::History`]. Shared, as many may have asked.
    History(Arc<Page>),
    /// To [`Request::Presence`].
    Presence(Vec<Member>),
    /// To [`Request::PresenceStats`].
    PresenceStats {
        /// Connections.
        clients: usize,
        /// Different users.
        users: usize,
    },
    /// To everything else.
    Nothing,
}

/// Why a request was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineError {
    /// The engine can't be reached, or not in time. It may have been done.
    Unavailable(String),
    /// More is kept already than may be.
    LimitExceeded,
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EngineError::Unavailable(why) => write!(f, "the engine is not available: {why}"),
            EngineError::LimitExceeded => f.write_str("the engine holds as much as it may"),
        }
    }
}

impl std::error::Error for EngineError {}
