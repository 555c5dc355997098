//! Puts commands into as few messages as the wire allows, for as long as the connection takes them.

use super::options::MAX_UNSENT;
use crate::client::Client;
use crate::wire::{OwnedMessage, Wire};

/// Commands on their way into the connection's outbox. [`Post::close`] sees the last of them off.
#[derive(Debug)]
pub(super) struct Post<'a> {
    client: &'a mut Client,
    unit: Vec<u8>,
    /// A command is a message of its own.
    is_line: bool,
    max: usize,
}

impl<'a> Post<'a> {
    /// Messages have at most `max` bytes.
    pub(super) fn new(client: &'a mut Client, wire: Wire, max: usize) -> Self {
        Self { client, unit: Vec::new(), is_line: wire == Wire::Line, max }
    }

    /// Whether another command may be pushed. It is not where a message's worth of bytes waits below: what is there
    /// goes before any heartbeat.
    pub(super) fn has_room(&self) -> bool {
        self.client.waiting_bytes() < self.max && self.client.waiting_messages() < MAX_UNSENT
    }

    /// Adds a command, after a line end to a message that has some, or as a message of its own where the line end is
    /// the message's.
    pub(super) fn push(&mut self, command: &[u8]) {
        if self.is_line || self.unit.len() + 1 + command.len() > self.max {
            self.flush();
        }
        if !self.unit.is_empty() {
            self.unit.push(b'\n');
        }
        self.unit.extend_from_slice(command);
    }

    /// Sends what has been pushed.
    pub(super) fn close(mut self) {
        self.flush();
    }

    fn flush(&mut self) {
        if !self.unit.is_empty() {
            let text = String::from_utf8(std::mem::take(&mut self.unit)).expect("commands are made of texts");
            self.client.send(OwnedMessage::text(text)).expect("the outbox below has room for two messages more");
        }
    }
}
