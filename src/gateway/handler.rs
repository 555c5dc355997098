//! What an application implements.

use super::context::Context;
#[cfg(feature = "websocket")]
use super::http::Request;
use super::id::ConnId;
use crate::connection::CloseReason;
use crate::wire::Message;
#[cfg(feature = "websocket")]
use crate::wire::http::{Response, Status};

/// What answers an HTTP request.
#[cfg(feature = "websocket")]
#[derive(Debug)]
pub enum Reply {
    /// This, at once.
    Now(Response),
    /// What [`Context::respond`] gets later. Until then the connection is paused.
    Later,
}

#[cfg(feature = "websocket")]
impl From<Response> for Reply {
    fn from(response: Response) -> Self {
        Reply::Now(response)
    }
}

/// An application on the gateway. Every method runs on the loop's thread and must not block; a panic in one ends the
/// connection it was called for, and no other.
pub trait Handler {
    /// Turns a close code and its words into the last message on wires without close frames; none by default. Sent for
    /// every end that the gateway or the handler decides and that still sends anything, on connections that were opened.
    const FAREWELL: Option<fn(code: u16, words: &str) -> String> = None;

    /// Whether a connection has to be admitted, by [`Context::admit`], within `handshake_timeout` of its accept (or of
    /// the first byte of its request for WebSocket, where that was not its first). Else it ends with
    /// [`PeerReason::HandshakeTimeout`](crate::connection::PeerReason). Pauses do not move that deadline.
    const ADMITS: bool = false;

    /// Whether the handler asks quiet peers for a sign of life itself, in [`Handler::on_quiet`]; the gateway then sends
    /// neither probes nor pings. A peer that sends nothing for `heartbeat_timeout` is closed all the same.
    const PINGS: bool = false;

    /// Messages can be sent to `id` from now on.
    fn on_opened(&mut self, cx: &mut Context<'_>, id: ConnId) {
        let _ = (cx, id);
    }

    /// No message was sent to `id`, or nothing was received from it, for `heartbeat_interval` (the first time: between
    /// a half and the whole of it). Only where [`Handler::PINGS`], for connections that were admitted if they have to be.
    fn on_quiet(&mut self, cx: &mut Context<'_>, id: ConnId) {
        let _ = (cx, id);
    }

    /// At most half of `write_queue_soft_bytes` waits for `id` any more, after [`Context::offer`] was `Full` or
    /// [`Context::watch_drain`] asked. Once for each asking.
    fn on_drained(&mut self, cx: &mut Context<'_>, id: ConnId) {
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
    fn on_request(&mut self, cx: &mut Context<'_>, id: ConnId, request: &Request<'_>) -> Reply {
        let _ = (cx, id, request);
        Response::refusal(Status::NotFound).into()
    }

    /// A connection that was opened has ended, once, for this reason. Nothing can be sent to it any more.
    fn on_closed(&mut self, cx: &mut Context<'_>, id: ConnId, reason: CloseReason) {
        let _ = (cx, id, reason);
    }

    /// A timer set with [`Context::arm_timer`] rang.
    fn on_timer(&mut self, cx: &mut Context<'_>, token: u64) {
        let _ = (cx, token);
    }

    /// Reads a little of each line of memory that it keeps for `id`, so that they are in the cache when a message of it is
    /// served, or its end: called where there are very many connections, for several of them before the first is served.
    /// What it gives back means nothing.
    #[inline]
    fn glance(&self, id: ConnId) -> usize {
        let _ = id;
        0
    }

    /// The turn has come that [`Context::ask_turn`] asked for: connections were flushed since.
    fn on_turn(&mut self, cx: &mut Context<'_>) {
        let _ = cx;
    }

    /// Another thread woke the loop through its handle.
    fn on_woken(&mut self, cx: &mut Context<'_>) {
        let _ = cx;
    }
}
