//! What an application implements.

use super::context::Context;
#[cfg(feature = "websocket")]
use super::http::Request;
use super::id::ConnId;
use crate::connection::CloseReason;
use crate::wire::Message;
#[cfg(feature = "websocket")]
use crate::wire::http::{Response, Status};

/// An application on the gateway. Every method runs on the loop's thread and must not block; a panic in one ends the
/// connection it was called for, and no other.
pub trait Handler {
    /// Messages can be sent to `id` from now on.
    fn on_opened(&mut self, cx: &mut Context<'_>, id: ConnId) {
        let _ = (cx, id);
    }

    /// One whole message came from `id`. Heartbeats do not come here.
    fn on_message(&mut self, cx: &mut Context<'_>, id: ConnId, message: Message<'_>);

    /// A WebSocket is asked for, and its request is in order. `Ok` opens it, with the subprotocol chosen among those
    /// the request names, if any; a status refuses it. By default every path is welcome.
    #[cfg(feature = "websocket")]
    fn on_upgrade(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        request: &Request<'_>,
    ) -> Result<Option<&'static str>, Status> {
        let _ = (cx, id, request);
        Ok(None)
    }

    /// An HTTP request came. Nothing can be sent to `id` but the answer. By default nothing is found.
    #[cfg(feature = "websocket")]
    fn on_request(&mut self, cx: &mut Context<'_>, id: ConnId, request: &Request<'_>) -> Response {
        let _ = (cx, id, request);
        Response::refusal(Status::NotFound)
    }

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
