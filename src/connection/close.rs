//! Why a connection ended: one reason, whose it is, and one table from reason to code, advice and words.

use std::fmt;
use std::io::ErrorKind;

/// The one reason a connection ended for. Decided once, counted, logged, and handed to the handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The other side ended it, fell silent or broke the protocol.
    Peer(PeerReason),
    /// We ended it.
    Local(LocalReason),
    /// The operating system reported an error on its socket.
    Transport(ErrorKind),
}

/// What the peer did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PeerReason {
    /// Closed its sending side in order.
    Closed,
    /// Reset the connection.
    Reset,
    /// Sent nothing for the heartbeat time-out.
    HeartbeatTimeout,
    /// Did not finish its first message, or send its first bytes, in time.
    HandshakeTimeout,
    /// Sent or announced a message over the limit.
    MessageTooLarge,
    /// Spoke HTTP to a listener that does not serve it.
    HttpNotServed,
    /// Spoke TLS to a listener that does not serve it.
    TlsNotServed,
    /// Did not begin with TLS on a listener that demands it.
    TlsRequired,
    /// Its TLS handshake failed, or what it sent is not what TLS expects.
    TlsFailed,
    /// Came without the header that a proxy puts first, or with a broken one.
    BadProxyHeader,
    /// Sent an HTTP request that is refused.
    BadRequest,
    /// Sent a message that the application can't take for a command.
    BadCommand,
    /// Broke the WebSocket protocol.
    ProtocolError,
    /// Sent text that is not UTF-8.
    InvalidText,
    /// Sent compressed data that can't be inflated.
    InvalidData,
    /// Sent a message in more fragments than allowed.
    TooManyFragments,
}

/// What we decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LocalReason {
    /// The application closed it, all being well.
    Normal,
    /// More bytes waited for the peer than it may leave waiting.
    SlowConsumer,
    /// Bytes waited and none left for the write time-out.
    WriteTimeout,
    /// Nothing but heartbeats for the idle time-out.
    IdleTimeout,
    /// Over the number of connections in total.
    TooManyConnections,
    /// Over the number of connections from one address.
    TooManyFromIp,
    /// Over the number of new connections a second.
    TooManyAccepts,
    /// Over the number of messages a second.
    TooManyMessages,
    /// Over the number of bytes a second.
    TooManyBytes,
    /// An operator or the application put it out.
    Kicked,
    /// A newer connection took its place.
    Replaced,
    /// It may not be here.
    Unauthorised,
    /// Came to a listener for proxies from an address that is not trusted.
    UntrustedProxy,
    /// A browser on a page of an origin that is not allowed.
    OriginRefused,
    /// The gateway is shutting down and closes its connections in order.
    Draining,
    /// The gateway was stopped at once.
    Stopped,
    /// The handler panicked while it served this connection.
    HandlerPanicked,
    /// What the application needs to serve it failed.
    ServerError,
    /// The token it came with has expired.
    Expired,
    /// The token of one of its subscriptions has expired.
    SubscriptionExpired,
    /// What it was sent has a gap that can't be mended on this connection.
    InsufficientState,
    /// The application wants it to connect anew.
    ForcedReconnect,
    /// The token it came with is not valid.
    InvalidToken,
    /// Over the number of channels of one connection.
    ChannelLimit,
    /// Too many of its commands failed.
    TooManyErrors,
    /// The application closed it with a code and words of its own.
    Custom,
}

/// What becomes, at an end, of what is still queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parting {
    /// All of it is sent, and last words with it.
    Flush,
    /// It is dropped but for a frame that has begun to leave; last words are tried. For a peer that is slow.
    Cut,
    /// Nothing is sent any more. For a peer that is gone, or where there is no time.
    Silent,
}

/// What a reason means to the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CloseAdvice {
    /// The name in logs, counters and docs.
    pub name: &'static str,
    /// The close code on wires that carry one.
    pub code: u16,
    /// Whether the peer does well to come back.
    pub come_back: bool,
    /// Plain words for people, at most 123 bytes.
    pub words: &'static str,
}

impl CloseReason {
    /// How many kinds of reason there are; transport errors count as one.
    pub const KINDS: usize = ALL.len();

    /// A small number for this kind of reason, below [`CloseReason::KINDS`].
    pub fn index(self) -> usize {
        let kind = match self {
            CloseReason::Transport(_) => TRANSPORT,
            reason => reason,
        };
        ALL.iter().position(|&each| each == kind).expect("ALL names every reason, which a test holds it to")
    }

    /// Every kind of reason, in the order of [`CloseReason::index`].
    pub fn all() -> impl Iterator<Item = CloseReason> {
        ALL.into_iter()
    }

    /// The reason's name in logs, counters and docs.
    pub fn name(self) -> &'static str {
        self.advice().name
    }

    /// The one table: what each reason is called, its close code, whether to come back, and why in plain words.
    pub fn advice(self) -> CloseAdvice {
        use LocalReason::*;
        let row = |name, code, come_back, words| CloseAdvice { name, code, come_back, words };
        match self {
            CloseReason::Peer(reason) => peer_advice(reason),
            CloseReason::Transport(_) => row("TransportError", 3009, true, "connection failed"),
            CloseReason::Local(reason) => match reason {
                Normal => row("Normal", 3000, true, "connection closed"),
                SlowConsumer => row("SlowConsumer", 3008, true, "too slow to take what is sent"),
                WriteTimeout => row("WriteTimeout", 3009, true, "nothing could be sent for too long"),
                IdleTimeout => row("IdleTimeout", 3000, true, "idle for too long"),
                TooManyConnections => row("TooManyConnections", 3504, false, "connection limit reached"),
                TooManyFromIp => row("TooManyFromIp", 3504, false, "connection limit for this address reached"),
                TooManyAccepts => row("TooManyAccepts", 3013, true, "too many new connections"),
                TooManyMessages => row("TooManyMessages", 3013, true, "too many messages"),
                TooManyBytes => row("TooManyBytes", 3013, true, "too many bytes"),
                Kicked => row("Kicked", 3503, false, "disconnected by the server"),
                Replaced => row("Replaced", 4500, false, "replaced by a newer connection"),
                Unauthorised => row("Unauthorised", 3507, false, "permission denied"),
                UntrustedProxy => row("UntrustedProxy", 3507, false, "not a trusted proxy"),
                OriginRefused => row("OriginRefused", 3507, false, "origin not allowed"),
                Draining => row("Draining", 3001, true, "server is shutting down"),
                Stopped => row("Stopped", 3001, true, "server stopped"),
                HandlerPanicked => row("HandlerPanicked", 3004, true, "server error"),
                ServerError => row("ServerError", 3004, true, "server error"),
                Expired => row("Expired", 3005, true, "token expired"),
                SubscriptionExpired => row("SubscriptionExpired", 3006, true, "subscription expired"),
                InsufficientState => row("InsufficientState", 3010, true, "insufficient state"),
                ForcedReconnect => row("ForcedReconnect", 3011, true, "connect anew"),
                InvalidToken => row("InvalidToken", 3500, false, "invalid token"),
                ChannelLimit => row("ChannelLimit", 3505, false, "channel limit reached"),
                TooManyErrors => row("TooManyErrors", 3509, false, "too many errors"),
                Custom => row("Custom", 3503, false, "closed by the application"),
            },
        }
    }

    /// What becomes of what is still queued.
    pub fn parting(self) -> Parting {
        use LocalReason::*;
        match self {
            CloseReason::Peer(PeerReason::Reset | PeerReason::HeartbeatTimeout) | CloseReason::Transport(_) => {
                Parting::Silent
            }
            CloseReason::Local(Stopped) => Parting::Silent,
            CloseReason::Local(SlowConsumer | WriteTimeout) => Parting::Cut,
            CloseReason::Peer(_) | CloseReason::Local(_) => Parting::Flush,
        }
    }
}

impl From<ErrorKind> for CloseReason {
    /// A reset is the peer's doing, and so is what TLS can't read; anything else is the transport's.
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => CloseReason::Peer(PeerReason::Reset),
            ErrorKind::InvalidData => CloseReason::Peer(PeerReason::TlsFailed),
            other => CloseReason::Transport(other),
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CloseReason::Transport(kind) => write!(f, "TransportError ({kind})"),
            reason => f.write_str(reason.name()),
        }
    }
}

fn peer_advice(reason: PeerReason) -> CloseAdvice {
    let row = |name, code, come_back, words| CloseAdvice { name, code, come_back, words };
    match reason {
        PeerReason::Closed => row("PeerClosed", 3000, true, "closed by the peer"),
        PeerReason::Reset => row("PeerReset", 3000, true, "reset by the peer"),
        PeerReason::HeartbeatTimeout => row("HeartbeatTimeout", 3012, true, "no sign of life"),
        PeerReason::HandshakeTimeout => row("HandshakeTimeout", 3502, false, "handshake took too long"),
        PeerReason::MessageTooLarge => row("MessageTooLarge", 1009, false, "message too large"),
        PeerReason::HttpNotServed => row("HttpNotServed", 3501, false, "HTTP is not served here"),
        PeerReason::TlsNotServed => row("TlsNotServed", 3501, false, "TLS is not served here"),
        PeerReason::TlsRequired => row("TlsRequired", 3501, false, "TLS is required here"),
        PeerReason::TlsFailed => row("TlsFailed", 3501, false, "TLS failed"),
        PeerReason::BadProxyHeader => row("BadProxyHeader", 3501, false, "no valid PROXY header"),
        PeerReason::BadRequest => row("BadRequest", 3501, false, "bad HTTP request"),
        PeerReason::BadCommand => row("BadCommand", 3501, false, "bad request"),
        PeerReason::ProtocolError => row("ProtocolError", 1002, false, "protocol error"),
        PeerReason::InvalidText => row("InvalidText", 1007, false, "text is not UTF-8"),
        PeerReason::InvalidData => row("InvalidData", 1007, false, "compressed data is invalid"),
        PeerReason::TooManyFragments => row("TooManyFragments", 1009, false, "too many fragments"),
    }
}

const TRANSPORT: CloseReason = CloseReason::Transport(ErrorKind::Other);

const ALL: [CloseReason; 43] = [
    CloseReason::Peer(PeerReason::Closed),
    CloseReason::Peer(PeerReason::Reset),
    CloseReason::Peer(PeerReason::HeartbeatTimeout),
    CloseReason::Peer(PeerReason::HandshakeTimeout),
    CloseReason::Peer(PeerReason::MessageTooLarge),
    CloseReason::Peer(PeerReason::HttpNotServed),
    CloseReason::Peer(PeerReason::TlsNotServed),
    CloseReason::Peer(PeerReason::TlsRequired),
    CloseReason::Peer(PeerReason::TlsFailed),
    CloseReason::Peer(PeerReason::BadProxyHeader),
    CloseReason::Peer(PeerReason::BadRequest),
    CloseReason::Peer(PeerReason::BadCommand),
    CloseReason::Peer(PeerReason::ProtocolError),
    CloseReason::Peer(PeerReason::InvalidText),
    CloseReason::Peer(PeerReason::InvalidData),
    CloseReason::Peer(PeerReason::TooManyFragments),
    CloseReason::Local(LocalReason::Normal),
    CloseReason::Local(LocalReason::SlowConsumer),
    CloseReason::Local(LocalReason::WriteTimeout),
    CloseReason::Local(LocalReason::IdleTimeout),
    CloseReason::Local(LocalReason::TooManyConnections),
    CloseReason::Local(LocalReason::TooManyFromIp),
    CloseReason::Local(LocalReason::TooManyAccepts),
    CloseReason::Local(LocalReason::TooManyMessages),
    CloseReason::Local(LocalReason::TooManyBytes),
    CloseReason::Local(LocalReason::Kicked),
    CloseReason::Local(LocalReason::Replaced),
    CloseReason::Local(LocalReason::Unauthorised),
    CloseReason::Local(LocalReason::UntrustedProxy),
    CloseReason::Local(LocalReason::OriginRefused),
    CloseReason::Local(LocalReason::Draining),
    CloseReason::Local(LocalReason::Stopped),
    CloseReason::Local(LocalReason::HandlerPanicked),
    CloseReason::Local(LocalReason::ServerError),
    CloseReason::Local(LocalReason::Expired),
    CloseReason::Local(LocalReason::SubscriptionExpired),
    CloseReason::Local(LocalReason::InsufficientState),
    CloseReason::Local(LocalReason::ForcedReconnect),
    CloseReason::Local(LocalReason::InvalidToken),
    CloseReason::Local(LocalReason::ChannelLimit),
    CloseReason::Local(LocalReason::TooManyErrors),
    CloseReason::Local(LocalReason::Custom),
    TRANSPORT,
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_reason_has_a_name_and_a_number_of_its_own() {
        let names: HashSet<_> = CloseReason::all().map(CloseReason::name).collect();
        let numbers: HashSet<_> = CloseReason::all().map(CloseReason::index).collect();
        assert_eq!((names.len(), numbers.len()), (CloseReason::KINDS, CloseReason::KINDS));
        assert_eq!(CloseReason::Transport(ErrorKind::TimedOut).index(), TRANSPORT.index());
    }

    #[test]
    fn codes_agree_with_the_advice_to_come_back() {
        for reason in CloseReason::all() {
            let CloseAdvice { code, come_back, words, .. } = reason.advice();
            let stay_away = matches!(code, 1002 | 1007 | 1009 | 3500..=3999 | 4500..=4999);
            assert_eq!(come_back, !stay_away, "{reason}");
            assert!(!words.is_empty() && words.len() <= 123, "{reason}");
        }
    }
}
