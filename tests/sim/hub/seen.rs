//! Situations of a hub that its worlds must reach to prove anything, counted.

use std::cell::Cell;
use std::rc::Rc;

macro_rules! situations {
    ($($name:ident: $words:literal,)*) => {
        /// One situation.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Situation { $($name,)* }

        /// What each is called, in the order of their numbers.
        pub const NAMES: &[&str] = &[$($words,)*];
    };
}

situations! {
    OnLine: "client connected on a line wire",
    OnLength: "client connected on a length wire",
    OnWebSocket: "client connected on a WebSocket",
    Live: "publication delivered live",
    Loose: "publication without a place delivered",
    Skipped: "copies left out for a slow reader, where that is wanted",
    Recovered: "recovered whole",
    RecoveredSome: "recovered whole, with publications",
    RecoveredNone: "told of a gap: trimmed",
    OtherEpoch: "told of a gap: another life",
    LiveBehindRecovery: "live publication behind a recovery",
    Rejected: "unrecoverable position refused",
    Insufficient: "subscription ended: insufficient state",
    InsufficientClose: "connection closed: insufficient state",
    Lagged: "slow reader served from the history",
    LaggedLost: "slow reader left behind by the history",
    Resumed: "session resumed",
    ResumedWithSubs: "session resumed with subscriptions",
    ResumedKept: "session resumed after its connection was gone",
    TakenOver: "old connection replaced by the new one of its session",
    TakenOverReading: "old connection heard that it was replaced",
    SessionGone: "session shown too late",
    ServerSide: "subscribed by a back end",
    EndedByServer: "unsubscribed by a back end",
    Kicked: "disconnected by a back end",
    PublishedTwice: "idempotent publication tried again",
    KeyedAnswer: "idempotent publication answered with its place",
    AnswerLate: "answer overtaken by what is heard",
    EngineFull: "command refused, the engine being full",
    EngineFailed: "command failed with the engine",
    Restarted: "engine began anew with subscribers there",
    Interrupted: "publications lost on their way with subscribers there",
    LostOnTheWay: "gap of a lossy channel crossed",
    Malformed: "closed for a malformed command",
    Silent: "closed for not connecting",
    Ponged: "ping answered",
    TooSlow: "closed as a slow consumer",
    Stalled: "closed as nothing could be sent",
    AlreadyThere: "subscribed twice refused",
    ChannelLimit: "channel limit met",
    Batch: "many commands in one unit",
    InConnectUnit: "commands in one unit with connect",
    Joined: "somebody came",
    Left: "somebody left",
    Unsubscribed: "unsubscribed",
    PresenceAsked: "presence asked for",
    HistoryAsked: "history asked for",
    HistoryGone: "history asked for behind its end",
    Called: "back end answered",
    Broadcast: "broadcast by a back end",
    HistoryRemoved: "history removed by a back end",
    CameBack: "client back after the faults",
    Marker: "marker heard by all after the faults",
    PresenceQuiet: "presence true in the quiet",
    Empty: "everything empty in the end",
}

/// Counts of each situation, shared by all parts of a run.
#[derive(Debug, Clone)]
pub struct Seen(Rc<Vec<Cell<u64>>>);

impl Default for Seen {
    fn default() -> Self {
        Self(Rc::new(vec![Cell::new(0); NAMES.len()]))
    }
}

impl Seen {
    pub fn hit(&self, situation: Situation) {
        let cell = &self.0[situation as usize];
        cell.set(cell.get() + 1);
    }

    pub fn hit_if(&self, condition: bool, situation: Situation) {
        if condition {
            self.hit(situation);
        }
    }

    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        NAMES.iter().copied().zip(self.0.iter().map(Cell::get))
    }

    pub fn missing(&self) -> Vec<&'static str> {
        self.counts().filter(|(_, count)| *count == 0).map(|(name, _)| name).collect()
    }
}
