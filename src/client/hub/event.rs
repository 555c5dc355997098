//! What a client of a hub tells its program.

use super::{Json, Position};
use crate::client::{EndReason, Refusal, Wait};
use std::fmt;
use std::time::Duration;

/// What happened, in the order it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HubEvent {
    /// The server knows us. Channels are subscribed again by themselves, and what was published meanwhile is sent.
    Connected {
        /// Our name at the server for the life of this connection.
        client: String,
        /// Which attempt it was since the last connection that lived for `stable_after`, from 1.
        attempt: u32,
        /// Time since the last connection was lost; `None` for the first of all.
        resumed_after: Option<Duration>,
        /// The server still knew our session.
        resumed: bool,
        /// What the server's application says.
        data: Option<Json>,
    },
    /// The connection is no more; the next attempt comes by itself.
    Lost {
        /// Why.
        reason: EndReason,
        /// When the next attempt comes.
        next_attempt: Wait,
    },
    /// An attempt did not lead to a connection that the server agreed to; the next one comes by itself.
    AttemptFailed {
        /// Why.
        reason: EndReason,
        /// When the next attempt comes.
        next_attempt: Wait,
    },
    /// The tries are over, or the server says to stay away. Nothing comes after this.
    GaveUp {
        /// Why.
        reason: EndReason,
    },
    /// The program stopped the client. Nothing comes after this.
    Stopped,
    /// A token is needed: give it with `set_token`. Without one there is no further attempt.
    TokenWanted,
    /// A token for this channel is needed: give it with `set_subscription_token`.
    SubscriptionTokenWanted {
        /// Which.
        channel: Box<str>,
    },
    /// Publications of this channel come from here on.
    Subscribed {
        /// Which.
        channel: Box<str>,
        /// What became of the publications since the last subscription.
        recovery: Recovery,
        /// Where the channel's history stood, if it has one that is watched.
        position: Option<Position>,
        /// The server did it by itself.
        by_server: bool,
    },
    /// The server will not have this subscription. It is forgotten.
    SubscribeFailed {
        /// Which.
        channel: Box<str>,
        /// Why.
        error: HubError,
    },
    /// A subscription is interrupted, or could not be made yet; it is asked for again by itself.
    Resubscribing {
        /// Which.
        channel: Box<str>,
        /// Why.
        error: HubError,
    },
    /// The server ended a subscription for good. It is forgotten.
    Unsubscribed {
        /// Which.
        channel: Box<str>,
        /// The server's code.
        code: u32,
        /// The server's words: escape them wherever they are shown.
        reason: String,
    },
    /// A publication.
    Publication {
        /// Where.
        channel: Box<str>,
        /// Its number in the channel's history, if it is in one.
        offset: Option<u64>,
        /// What was published.
        data: Json,
        /// Who published it, where a client did.
        info: Option<Json>,
        /// Further labels.
        tags: Option<Json>,
    },
    /// Someone joined a channel.
    Joined {
        /// Which.
        channel: Box<str>,
        /// Who.
        info: Json,
    },
    /// Someone left a channel.
    Left {
        /// Which.
        channel: Box<str>,
        /// Who.
        info: Json,
    },
    /// The server sent something for this connection alone.
    Message {
        /// What.
        data: Json,
    },
    /// A publication came again. It is not delivered; the server is at fault.
    Doubled {
        /// Where.
        channel: Box<str>,
        /// Its number.
        offset: u64,
    },
    /// Publications of a watched channel were left out without a word: the server is at fault, or set to leave out what
    /// slow subscribers do not take.
    Missed {
        /// Where.
        channel: Box<str>,
        /// The first one.
        from: u64,
        /// The last one.
        to: u64,
    },
    /// What was missed while away is not to be had any more, and the server says so.
    Gap {
        /// Where.
        channel: Box<str>,
        /// The first offset missed.
        from: u64,
        /// The last one; less than `from`, or zero, where it is not known.
        to: u64,
        /// Why.
        reason: GapReason,
    },
    /// A publication of ours is with the server.
    Published {
        /// Which.
        key: PublishKey,
        /// Its number in the channel's history, where the server tells.
        offset: Option<u64>,
        /// The life of that history; empty where the server does not tell.
        epoch: String,
    },
    /// A publication of ours was refused.
    PublishFailed {
        /// Which.
        key: PublishKey,
        /// Where it was to go.
        channel: Box<str>,
        /// Why.
        error: HubError,
    },
    /// A request was answered.
    Answer {
        /// Which.
        request: RequestId,
        /// The result as the server wrote it.
        result: Result<Json, RequestError>,
    },
}

/// What became of what was published since the last subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// Nothing was asked for.
    Fresh,
    /// All of it follows, or there was nothing.
    Whole,
    /// Not all of it is to be had: a [`HubEvent::Gap`] follows.
    Gap,
}

/// Why something is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapReason {
    /// The history had let go of it.
    HistoryTrimmed,
    /// The history has begun anew: offsets count from the start again.
    EpochChanged,
    /// The server does not say.
    Unknown,
}

/// An error of the server's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubError {
    /// Its number.
    pub code: u32,
    /// Its words, at most 123 bytes: escape them wherever they are shown.
    pub message: String,
    /// It may go better later.
    pub is_temporary: bool,
}

/// Why a request has no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestError {
    /// The server refuses.
    Refused(HubError),
    /// The connection broke before the answer came; whether the server has acted on it is not known.
    Cut,
}

/// Names a publication of ours, now and for as long as the server remembers keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublishKey {
    /// The same for all of one client, and no other's.
    pub(super) client: u64,
    /// From 1 on.
    pub(super) number: u64,
}

/// Names a request, for the life of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub(super) u64);

/// A publication that was not taken, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishError {
    /// Why.
    pub refusal: Refusal,
    /// What was to be published, as it was given.
    pub data: Json,
}

/// Why a channel can't be subscribed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubscribeRefusal {
    /// It is subscribed to, or about to be.
    Already,
    /// There are as many as `max_subscriptions` allows, given here.
    TooMany(usize),
    /// A name has 1 to 1,024 bytes, none of them a control character.
    BadName,
    /// Name and token do not fit into one message.
    TooLarge,
    /// The client was stopped, or gave up.
    Ended,
}

impl fmt::Display for HubError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message.escape_debug(), self.code)
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RequestError::Refused(error) => error.fmt(f),
            RequestError::Cut => f.write_str("the connection broke before the answer came"),
        }
    }
}

impl fmt::Display for GapReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            GapReason::HistoryTrimmed => "the history is shorter",
            GapReason::EpochChanged => "the history has begun anew",
            GapReason::Unknown => "the server does not say why",
        })
    }
}

/// As it stands in the protocol.
impl fmt::Display for PublishKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}", self.client, self.number)
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not published: {}", self.refusal)
    }
}

impl fmt::Display for SubscribeRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SubscribeRefusal::Already => f.write_str("the channel is subscribed to already"),
            SubscribeRefusal::TooMany(limit) => write!(f, "there are max_subscriptions ({limit}) already"),
            SubscribeRefusal::BadName => f.write_str("a channel's name has 1 to 1,024 bytes and no control characters"),
            SubscribeRefusal::TooLarge => f.write_str("name and token do not fit into one message"),
            SubscribeRefusal::Ended => f.write_str("the client has ended"),
        }
    }
}

impl std::error::Error for HubError {}
impl std::error::Error for RequestError {}
impl std::error::Error for PublishError {}
impl std::error::Error for SubscribeRefusal {}
