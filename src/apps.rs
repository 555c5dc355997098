//! The two applications that need nothing but the embedding interface.

use crate::gateway::{ConnId, Context, Handler};
use crate::wire::Prepared;
use bytes::Bytes;

/// Sends each message back to where it came from.
#[derive(Debug, Default)]
pub struct Echo;

impl Handler for Echo {
    fn on_message(&mut self, cx: &mut Context<'_>, id: ConnId, message: &[u8]) {
        // A connection that is gone, or an echo too large for its queue, has its reason counted elsewhere.
        let _ = cx.send(id, message);
    }
}

/// Sends each message to every other connection, in the framing of each: a chat in one process.
#[derive(Debug, Default)]
pub struct Broadcast;

impl Handler for Broadcast {
    fn on_message(&mut self, cx: &mut Context<'_>, id: ConnId, message: &[u8]) {
        cx.broadcast_except(id, &Prepared::new(Bytes::copy_from_slice(message)));
    }
}
