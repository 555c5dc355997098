//! What an application implements.

use super::context::Context;
use super::id::ConnId;
use crate::connection::CloseReason;

/// An application on the gateway. Every method runs on the loop's thread and must not block; a panic in one ends the
/// connection it was called for, and no other.
pub trait Handler {
    /// Messages can be sent to `id` from now on.
    fn on_opened(&mut self, cx: &mut Context<'_>, id: ConnId) {
        let _ = (cx, id);
    }

    /// One whole message came from `id`. Heartbeats do not come here.
    fn on_message(&mut self, cx: &mut Context<'_>, id: ConnId, message: &[u8]);

    /// A connection that was opened has ended, once, for this reason. Nothing can be sent to it any more.
    fn on_closed(&mut self, cx: &mut Context<'_>, id: ConnId, reason: CloseReason) {
        let _ = (cx, id, reason);
    }

    /// A timer set with [`Context::arm_timer`] rang.
    fn on_timer(&mut self, cx: &mut Context<'_>, token: u64) {
        let _ = (cx, token);
    }

    /// Another thread woke the loop through its handle.
    fn on_woken(&mut self, cx: &mut Context<'_>) {
        let _ = cx;
    }
}
