//! Plain counters of one thread. Whoever acts counts; whoever reports reads.

/// What a gateway has done since its start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections admitted.
    pub accepted: u64,
    /// Connections refused at the door, whatever the limit.
    pub refused: u64,
    /// Connections ended and refused, by the index of their close reason.
    pub closed: Vec<u64>,
    /// Bytes read.
    pub bytes_in: u64,
    /// Bytes written.
    pub bytes_out: u64,
    /// Messages received whole, heartbeats included.
    pub messages_in: u64,
    /// Messages queued or written, heartbeats included.
    pub messages_out: u64,
    /// Heartbeats of clients that were answered.
    pub heartbeats_answered: u64,
    /// Quiet peers that were asked for a sign of life.
    pub probes_sent: u64,
    /// Of these, answered in a known form. Any byte is a sign of life; this counts those the handler need not see.
    pub probes_answered: u64,
    /// TLS streams that began.
    pub tls_begun: u64,
    /// HTTP requests answered by the application.
    pub http_requests: u64,
    /// HTTP requests refused.
    pub http_refused: u64,
    /// WebSocket connections opened.
    pub websockets_opened: u64,
    /// Handler calls that panicked.
    pub handler_panics: u64,
    /// Times that accepting paused because the system had nothing left to accept with.
    pub accept_pauses: u64,
    /// Turns that left connections still to be flushed to the next one.
    pub turns_cut: u64,
}

impl Counters {
    /// Counters at zero, for this many kinds of close reason.
    pub fn new(close_reasons: usize) -> Self {
        Self { closed: vec![0; close_reasons], ..Self::default() }
    }
}

/// Memory held for bytes under way and for tables, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    /// Waiting to be sent, counted for every connection it waits on.
    pub queued: usize,
    /// Buffers lent to connections.
    pub lent: usize,
    /// Free buffers kept for later.
    pub kept: usize,
    /// Tables of connections, of deadlines and of what many are sent alike.
    pub tables: usize,
}
