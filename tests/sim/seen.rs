//! Situations that a simulator must reach to prove anything, counted.

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
    ResumedReading: "resumed reading after back-pressure",
    ThreeReads: "frame completed over three reads",
    DrainBlocked: "drain while queue blocked",
    SlotReused: "slot reused at once",
    StaleEvent: "stale event for a slot that was used again",
    StaleSend: "sent to an id whose slot was used again",
    ProbeSent: "quiet peer probed",
    ProbeFollowed: "probe followed by bytes",
    ProbeAnswered: "probe answered in its own form",
    DrippedHandshake: "handshake timed out with a dripped first frame",
    SilentHandshake: "handshake timed out without a byte",
    UndecidedHandshake: "handshake timed out with first bytes that did not decide",
    PanicAmongWaiting: "panic in handler while others waited",
    PanicOnOpen: "panic in handler at the opening",
    BudgetUsedUp: "read budget used up",
    AcceptResumed: "accept paused and resumed",
    DescriptorsOut: "descriptors ran out",
    AcceptAborted: "peer gone before it was accepted",
    JumpOverDeadlines: "clock jumped over several deadlines",
    HeartbeatBetween: "heartbeat answered between two messages",
    SlowInBroadcast: "slow consumer closed in a broadcast",
    SlowInEcho: "slow consumer of its own echo",
    WriteStalled: "write timed out",
    Idle: "idle timed out",
    HeartbeatMissed: "silent peer found by heartbeat",
    PeerClosedWaiting: "peer closed its side while bytes waited for it",
    DataAndEnd: "data and end in one event",
    ResetUnread: "reset with bytes unread",
    WriteFailed: "write failed after readiness",
    AttachFailed: "attach failed",
    RefusedTotal: "refused: too many connections",
    RefusedAddress: "refused: too many from one address",
    RefusedRate: "refused: too many accepts a second",
    TooManyMessages: "closed for too many messages a second",
    TooManyBytes: "closed for too many bytes a second",
    TooLarge: "message over the limit",
    AtTheLimit: "message exactly at the limit",
    EmptyMessage: "empty message",
    Http: "HTTP refused politely",
    Tls: "TLS refused politely",
    DecidedLate: "first bytes decided at a second read",
    LingerEnded: "lingering ended by the peer",
    LingerTimedOut: "lingering timed out",
    CloseTimedOut: "orderly close gave up with bytes waiting",
    StopWaiting: "stopped with bytes waiting",
    Farewell: "handler sent to others when one had closed",
    PartialWrite: "partial write went on later",
    InterruptedRead: "read interrupted",
    TimerRang: "handler timer rang",
    TimerCancelled: "handler timer cancelled",
    ClosedFromOutside: "closed by a task from outside",
    ClosedFromInside: "closed by the handler in its own message",
    KickedByOther: "closed by the handler in another's message",
    ClientConnected: "client connected",
    ClientCameBack: "client came back after a cut",
    ClientSendsKept: "client sent what had waited for its return",
    ClientMissedServer: "client found its server silent",
    ClientRefused: "client refused at the door",
    ClientTimedOut: "client's attempt timed out",
    ClientGaveUp: "client gave up",
    ClientStopped: "client stopped by its program",
    ClientsBack: "every client was back after the faults",
    RestHandled: "what came behind a pause handled after it",
    PausedEnded: "connection ended while paused",
    OfferFull: "offer refused for what waits",
    DrainedTold: "handler told of a drained queue",
    Marker: "marker came through after the faults",
    HalfOpenGone: "half-open peer gone after the faults",
    Drained: "drain ran to its end",
    WebSocketOpened: "WebSocket opened",
    FramesBehindHead: "frames behind the request in one read",
    KeptThenUpgraded: "WebSocket asked for after another request",
    RequestInParts: "request completed over three reads",
    Pipelined: "request answered while another waited",
    HeadAsked: "HEAD answered",
    NotFound: "page not found",
    BodyCame: "request with a body answered",
    BadRequest: "refused: bad request",
    WrongVersion: "refused: wrong version of WebSocket",
    WrongMethod: "refused: WebSocket asked for by POST",
    ForeignOrigin: "refused: foreign origin",
    Forbidden: "refused: by the application",
    BodyTooLarge: "refused: body too large",
    HeadTooLarge: "refused: head too large",
    UpgradeInDrain: "refused: WebSocket while draining",
    SlowReaderOfPages: "slow consumer of pages",
    FirstRequestLate: "first request dripped past its time",
    LaterRequestLate: "later request dripped past its time",
    NoMoreRequests: "no further request in time",
    PanicOnRequest: "panic in handler at a request",
    PanicOnUpgrade: "panic in handler at an upgrade",
    Fragmented: "message in fragments",
    FrameInParts: "frame over several reads",
    CharacterInParts: "text cut inside a character",
    PingAnswered: "ping answered by pong",
    PingBetweenFragments: "ping between fragments",
    PongFlood: "flood of pongs",
    PingFloodHeld: "flood of pings held back",
    PongUnasked: "pong that nobody asked for",
    PongCame: "quiet WebSocket pinged and its pong came",
    SilentWebSocket: "silent WebSocket found by heartbeat",
    DeflateAgreed: "compression agreed on",
    Inflated: "compressed message came",
    Deflated: "compressed message sent",
    BadCompression: "broken: compressed data",
    Unmasked: "broken: no mask",
    ReservedBit: "broken: reserved bit",
    Stray: "broken: continuation of nothing",
    BadClose: "broken: close code",
    BadFrame: "broken: another frame",
    BadText: "broken: text that is not UTF-8",
    FrameTooLarge: "broken: frame over the limit",
    TooManyFragments: "broken: too many fragments",
    ClosedByPeer: "close answered by close",
    BehindClose: "bytes behind a close",
    TellsWhy: "WebSocket told why it ends",
    ClosesCross: "closes crossed",
    TextToPlain: "message from a WebSocket to a plain wire",
    PlainToText: "message from a plain wire to a WebSocket",
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
