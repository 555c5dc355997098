//! Where a load meets its driver: what it can do to its connections, and what it is told of them.

use super::{End, Moment};
use bytes::Bytes;

/// The connections of a load, by number. The driver has them on sockets; tests have them in memory.
///
/// What a socket refuses waits in order; an error shows as the end of the connection.
pub trait Lines {
    /// Begins to connect a line that is closed.
    fn open(&mut self, line: usize);
    /// Sends a stretch of shared bytes.
    fn send(&mut self, line: usize, bytes: &Bytes, from: usize, to: usize);
    /// Sends a copy.
    fn send_copy(&mut self, line: usize, bytes: &[u8]);
    /// Whether nothing waits to be sent.
    fn is_clear(&self, line: usize) -> bool;
    /// Closes at once, by a reset, which leaves no port behind. Nothing more is told of the line.
    fn reset(&mut self, line: usize);
}

/// What a driver tells. Every call has the moment it is made at.
pub trait Play {
    /// The load begins.
    fn on_start<L: Lines>(&mut self, now: Moment, lines: &mut L);
    /// A line is connected, and its TLS handshake complete.
    fn on_connected<L: Lines>(&mut self, line: usize, now: Moment, lines: &mut L);
    /// Bytes came. They may be changed.
    fn on_bytes<L: Lines>(&mut self, line: usize, bytes: &mut [u8], now: Moment, lines: &mut L);
    /// What waited on a line has left.
    fn on_drained<L: Lines>(&mut self, line: usize, now: Moment, lines: &mut L);
    /// A line is closed, by no act of ours.
    fn on_ended<L: Lines>(&mut self, line: usize, end: End, now: Moment, lines: &mut L);
    /// Everything that had happened was told.
    fn on_turn<L: Lines>(&mut self, now: Moment, lines: &mut L);
    /// When [`Play::on_turn`] has something to do.
    fn next_at(&self) -> Option<Moment>;
}
