//! The way of nearly every message: it lies whole in what was read, and nothing of its connection has to be looked at but
//! that it goes on as before. What is the same for all messages of a read is asked and noted once.

use super::context::Context;
use super::core::{Core, Slot};
use super::direct::Write;
use super::handler::Handler;
use super::id::ConnId;
use super::machine::{Gateway, guarded};
use crate::connection::{answer, take_whole};
use crate::timer::Time;
use crate::wire::{Message, Wire};
use std::mem;

impl<H: Handler> Gateway<H> {
    /// Takes the messages that lie whole at the front of `rest`, until something has to be handled with more care. True
    /// where nothing has: all of `rest` was used, and the connection keeps nothing of it.
    #[inline]
    pub(super) fn serve_at_ease(
        &mut self,
        id: ConnId,
        rest: &mut &mut [u8],
        now: Time,
        write: Option<&mut Write<'_>>,
    ) -> bool {
        let Self { core, handler, .. } = self;
        let Some(wire) = core.slots.get(id).and_then(Slot::easy_wire) else {
            return false;
        };
        core.gather.begin_ease(wire);
        let gathered = core.gather.len_for(id);
        let before = core.counters.messages_in - core.counters.heartbeats_answered;
        guarded(core, handler, Some(id), now, write, |handler, cx| hand_on(handler, cx, id, wire, rest));
        let has_handed_on = core.counters.messages_in - core.counters.heartbeats_answered > before;
        core.end_ease(id, has_handed_on, gathered, now);
        rest.is_empty()
    }
}

/// Each wire in a loop of its own. Where the handler panics, the rest is lost, with the connection it came from.
#[inline(always)]
fn hand_on<H: Handler>(handler: &mut H, cx: &mut Context<'_>, id: ConnId, wire: Wire, rest: &mut &mut [u8]) {
    match wire {
        Wire::WebSocket => hand_on_by(handler, cx, id, Wire::WebSocket, rest),
        Wire::Length => hand_on_by(handler, cx, id, Wire::Length, rest),
        Wire::Line => hand_on_by(handler, cx, id, Wire::Line, rest),
        Wire::Raw => hand_on_by(handler, cx, id, Wire::Raw, rest),
    }
}

#[inline(always)]
fn hand_on_by<H: Handler>(handler: &mut H, cx: &mut Context<'_>, id: ConnId, wire: Wire, rest: &mut &mut [u8]) {
    let (max, forms) = (cx.settings().max_message_bytes, cx.settings().heartbeat_answers);
    let mut bytes = mem::take(rest);
    while let Some(message) = take_whole(wire, &mut bytes, max) {
        match answer(&message, forms) {
            None => {
                cx.count_message();
                handler.on_message(cx, id, message);
            }
            Some(answer) => cx.answer_heartbeat(id, Message::new(answer, message.kind())),
        }
        if !cx.is_at_ease(id) {
            break;
        }
    }
    *rest = bytes;
}

impl Slot {
    /// The wire, where the connection is at ease and nothing is waiting for it that has to leave first.
    #[inline]
    fn easy_wire(&self) -> Option<Wire> {
        self.connection.easy_wire().filter(|_| self.run.is_none())
    }
}

impl Core {
    /// Notes what became of a connection that was at ease, when it was handed messages and was sent some.
    fn end_ease(&mut self, id: ConnId, has_handed_on: bool, gathered: usize, now: Time) {
        let is_answered = self.gather.len_for(id) > gathered;
        self.gather.end_ease(id);
        let Some(slot) = self.slots.get_mut(id) else {
            return;
        };
        if has_handed_on {
            slot.connection.on_message_handled(now);
        }
        if is_answered {
            slot.connection.on_message_sent(now);
        }
    }
}
