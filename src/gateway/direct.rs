//! Large messages leave from where they lie: copied nowhere, unless the socket does not take all of them.

use super::context::SendError;
use super::core::Core;
use super::id::ConnId;
use super::send::check_size;
use crate::connection::CloseReason;
use crate::timer::Time;
use crate::wire::{Message, Place};
use std::io::{self, ErrorKind, IoSlice};

/// Writes to the socket of the connection that is being served, as a vectored write does.
pub(super) type Write<'w> = dyn FnMut(&[IoSlice<'_>]) -> io::Result<usize> + 'w;

/// The same writer, for as long as it is lent.
pub(super) fn for_call<'w>(write: &'w mut Write<'_>) -> &'w mut Write<'w> {
    write
}

/// From here on a vectored write costs less than a copy.
pub(super) const LARGE: usize = 8 << 10;

impl Core {
    /// Sends a large message to one connection: at once where it is at ease, behind what was gathered for it.
    /// The message comes [apart](Message::apart).
    pub(super) fn send_large(
        &mut self,
        id: ConnId,
        framed: &[u8],
        place: Place,
        write: &mut Write<'_>,
        now: Time,
    ) -> Result<(), SendError> {
        let message = Message::together(framed, place);
        check_size(&self.settings, message.len())?;
        let Some(slot) = self.slots.get_mut(id).filter(|slot| !slot.encrypted) else {
            return self.send_with_care(id, framed, place, now);
        };
        let Some((wire, gathered)) = self.gather.take_at_ease(id) else {
            return self.send_with_care(id, framed, place, now);
        };
        slot.connection.on_message_sent(now);
        let anew;
        let parts = match message.frame_for(wire) {
            Some(frame) => [&gathered[..], frame, &[], &[]],
            None => {
                anew = wire.frame(&message, message.kind());
                [&gathered[..], &anew.0, &message, anew.1]
            }
        };
        let total: usize = parts.iter().map(|part| part.len()).sum();
        self.counters.messages_out += 1;
        match write_parts(parts, write) {
            Ok(sent) if sent == total => self.counters.bytes_out += sent as u64,
            Ok(sent) => self.on_large_sent(id, &gathered, parts[1..].concat(), sent, now),
            Err(error) => {
                self.close(id, CloseReason::from(error.kind()), now);
                self.drop_connection(id);
            }
        }
        self.gather.put_back(gathered);
        Ok(())
    }

    /// Of gathered bytes and a large frame behind them `sent` have left. The rest waits, and the frame by itself: where it
    /// has not begun, it is dropped if its receiver is slow.
    fn on_large_sent(&mut self, id: ConnId, gathered: &[u8], frame: Vec<u8>, sent: usize, now: Time) {
        let first = sent.min(gathered.len());
        self.on_gathered_sent(id, gathered, first, now);
        if first == gathered.len() {
            return self.on_gathered_sent(id, &frame, sent - first, now);
        }
        if self.slots.get(id).is_some_and(|slot| slot.connection.is_live()) {
            self.queued += frame.len();
            self.with_queue(id, now, |connection, pool| connection.queue_shared(frame.into(), now, pool));
        }
    }
}

/// One write of what is not empty; how much the socket took.
fn write_parts(parts: [&[u8]; 4], write: &mut Write<'_>) -> io::Result<usize> {
    let mut slices = [IoSlice::new(&[]); 4];
    let mut count = 0;
    for part in parts.into_iter().filter(|part| !part.is_empty()) {
        slices[count] = IoSlice::new(part);
        count += 1;
    }
    match write(&slices[..count]) {
        // Queued, and tried again by the flush that follows.
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(0),
        written => written,
    }
}
