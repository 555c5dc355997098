//! The applications of the program: two that need nothing but the embedding interface, and the hub.

#[cfg(feature = "hub")]
mod hub;

#[cfg(feature = "hub")]
pub use hub::HubApp;

#[cfg(feature = "websocket")]
use crate::admin::{self, Access};
use crate::gateway::{ConnId, Context, Handler};
#[cfg(feature = "websocket")]
use crate::gateway::{Reply, Request};
use crate::wire::{Message, Prepared};

/// Sends each message back to where it came from, as what it came.
#[derive(Debug, Default)]
pub struct Echo;

impl Handler for Echo {
    #[inline(always)]
    fn on_message(&mut self, cx: &mut Context<'_>, id: ConnId, message: Message<'_>) {
        // A connection that is gone, or an echo too large for its queue, has its reason counted elsewhere.
        let _ = cx.send(id, message);
    }

    #[cfg(feature = "websocket")]
    fn on_request(&mut self, cx: &mut Context<'_>, _: ConnId, request: &Request<'_>) -> Reply {
        admin::respond(cx, request, &Access::keyless(request)).into()
    }
}

/// Sends each message to every other connection, in the framing of each: a chat in one process.
#[derive(Debug, Default)]
pub struct Broadcast;

impl Handler for Broadcast {
    fn on_message(&mut self, cx: &mut Context<'_>, id: ConnId, message: Message<'_>) {
        cx.broadcast_except(id, &Prepared::from(message));
    }

    #[cfg(feature = "websocket")]
    fn on_request(&mut self, cx: &mut Context<'_>, _: ConnId, request: &Request<'_>) -> Reply {
        admin::respond(cx, request, &Access::keyless(request)).into()
    }
}
