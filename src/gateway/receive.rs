//! The gateway's inward side: what arrives, and what a socket's readiness asks for.

use super::core::{Core, Reading, Slot};
use super::direct::Write;
use super::handler::Handler;
use super::id::ConnId;
use super::machine::{Gateway, guarded};
use crate::config::Settings;
use crate::connection::{CloseReason, Input, LocalReason, Payload, PeerReason, Phase, Tools, Verdict};
use crate::timer::Time;
use crate::wire::Message;
use std::io::{self, IoSlice};

/// What a poll said of a socket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Readiness {
    /// Bytes, or an end, or an error can be read.
    pub readable: bool,
    /// It takes bytes again.
    pub writable: bool,
    /// The peer has shut its side, or the socket has failed: what is behind the last byte must be read too.
    pub closing: bool,
}

/// What an event asks the driver to do, in this order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Steps {
    /// Let what encrypts it send what of its own waits.
    pub advance: bool,
    /// Flush it.
    pub flush: bool,
    /// Read from it, once.
    pub read: bool,
}

impl<H: Handler> Gateway<H> {
    /// Takes what a poll said of a connection. Reading is put off where it is listed already, or where its bytes are
    /// not wanted: then a later flush says when they are.
    #[inline]
    pub fn begin_event(&mut self, id: ConnId, readiness: Readiness) -> Steps {
        let Some(slot) = self.core.slots.get_mut(id) else {
            return Steps::default();
        };
        slot.reads_to_end |= readiness.closing;
        let flush = readiness.writable && slot.connection.queued_bytes() > 0;
        let read = readiness.readable && slot.reading != Reading::Listed && slot.wants_bytes(&self.core.settings);
        Steps { advance: slot.encrypted && readiness.writable, flush, read }
    }

    /// Takes a connection off the driver's list of unread ones; whether to read from it.
    pub fn take_unread(&mut self, id: ConnId) -> bool {
        let Some(slot) = self.core.slots.get_mut(id) else {
            return false;
        };
        slot.reading = Reading::OnEvent;
        slot.wants_bytes(&self.core.settings)
    }

    /// Puts a connection on the driver's list of unread ones; false where it is there already, or is held.
    pub fn mark_unread(&mut self, id: ConnId) -> bool {
        let Some(slot) = self.core.slots.get_mut(id).filter(|slot| slot.reading == Reading::OnEvent) else {
            return false;
        };
        slot.reading = Reading::Listed;
        true
    }

    /// A read found nothing: events tell of what comes.
    pub fn on_emptied(&mut self, id: ConnId) {
        if let Some(slot) = self.core.slots.get_mut(id) {
            slot.reads_to_end = false;
        }
    }

    /// Takes bytes a connection sent, which may be changed in place. A stale id is nothing. Flush it afterwards. `write`
    /// writes to its socket, as a vectored write does: large messages are not gathered for the flush.
    ///
    /// Where it says [`Taken::Tls`], the rest is the beginning of a TLS stream, and what comes out of that is to be
    /// handed in from then on.
    pub fn handle_bytes(
        &mut self,
        id: ConnId,
        bytes: &mut [u8],
        now: Time,
        mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> Taken {
        let Some(slot) = self.core.slots.get_mut(id) else {
            return Taken::All;
        };
        self.core.counters.bytes_in += bytes.len() as u64;
        let within_rate = slot.connection.on_received(bytes.len(), now);
        if !within_rate {
            self.core.close(id, CloseReason::Local(LocalReason::TooManyBytes), now);
        }
        let len = bytes.len();
        let mut rest = bytes;
        let next = self.serve(id, &mut rest, now, Some(&mut write));
        if next == Next::Held {
            self.core.keep_rest(id, rest);
        }
        let left = rest.len();
        self.deliver_ended(now);
        match next {
            Next::Tls => Taken::Tls { from: len - left },
            Next::Again | Next::Done | Next::Held => Taken::All,
        }
    }

    /// What a connection sends is encrypted from here on, below the gateway.
    pub fn handle_encrypted(&mut self, id: ConnId) {
        if let Some(slot) = self.core.slots.get_mut(id) {
            slot.encrypted = true;
            self.core.counters.tls_begun += 1;
        }
    }

    /// The peer closed its sending side.
    pub fn handle_peer_closed(&mut self, id: ConnId, now: Time) {
        if let Some(slot) = self.core.slots.get_mut(id) {
            slot.peer_ended = true;
            slot.reads_to_end = false;
        }
        self.core.close(id, CloseReason::Peer(PeerReason::Closed), now);
        self.deliver_ended(now);
        // What waits may still be wanted; with nothing left there is nobody to linger for.
        if self.core.pending(id) == 0 {
            self.core.drop_connection(id);
        }
    }

    /// The system reported an error on a connection's socket.
    pub fn handle_error(&mut self, id: ConnId, kind: io::ErrorKind, now: Time) {
        self.core.close(id, CloseReason::from(kind), now);
        self.core.drop_connection(id);
        self.deliver_ended(now);
    }

    /// Takes things off the front of `rest` until it is used up, or the connection is held.
    #[inline]
    pub(super) fn serve(
        &mut self,
        id: ConnId,
        rest: &mut &mut [u8],
        now: Time,
        mut write: Option<&mut Write<'_>>,
    ) -> Next {
        self.begin_serving(id, now);
        loop {
            if self.serve_at_ease(id, rest, now, write.as_deref_mut()) {
                return Next::Done;
            }
            match self.handle_input(id, rest, now) {
                Next::Again => {}
                next => return next,
            }
        }
    }

    /// Takes one thing off the front of `rest`. Apart from [`Gateway::serve_at_ease`], whose frame on the stack it would
    /// make many times as large.
    #[inline(never)]
    fn handle_input(&mut self, id: ConnId, rest: &mut &mut [u8], now: Time) -> Next {
        let Self { core, handler, .. } = self;
        let Some(slot) = core.slots.get_mut(id) else {
            return Next::Done;
        };
        if slot.connection.is_held() {
            return Next::Held;
        }
        let Core { settings, pool, compressor, .. } = core;
        match slot.connection.handle_bytes(rest, &mut Tools { settings, pool, compressor, now }) {
            Input::NeedMore => {
                // A request that has begun may have less time than there was for it to begin.
                if let Phase::Http { .. } = slot.connection.phase() {
                    core.rearm(id);
                }
                return Next::Done;
            }
            Input::Message(payload, kind) => {
                let message = Message::new(payload.bytes(), kind);
                let verdict = slot.connection.on_message(message, now, &core.settings);
                act_on_message(core, handler, id, message, verdict, now);
                payload.give_back(&mut core.pool, &mut core.compressor);
            }
            input => return self.handle_rare_input(id, input, rest.is_empty(), now),
        }
        if rest.is_empty() { Next::Done } else { Next::Again }
    }

    fn handle_rare_input(&mut self, id: ConnId, input: Input<'_>, is_last: bool, now: Time) -> Next {
        match input {
            Input::NeedMore => return Next::Done,
            Input::Opened => {
                self.open(id, now);
                // A quiet peer is asked earlier than one whose wire is unknown.
                self.core.rearm(id);
                // First bytes that have been kept may hold a whole message.
                return Next::Again;
            }
            Input::Message(payload, _) => payload.give_back(&mut self.core.pool, &mut self.core.compressor),
            Input::Ping(payload) => self.on_ping(id, payload, now),
            Input::Pong(payload) => {
                payload.give_back(&mut self.core.pool, &mut self.core.compressor);
                self.on_pong(id, now);
            }
            #[cfg(feature = "websocket")]
            Input::Head(head) => {
                self.on_head(id, head, now);
                // A body of no bytes is complete.
                return Next::Again;
            }
            #[cfg(feature = "websocket")]
            Input::Request(request, head_len) => self.on_whole_request(id, request, head_len, now),
            #[cfg(feature = "websocket")]
            Input::BadRequest(status) => self.refuse_request(id, status, now),
            Input::Proxied(proxied) => {
                self.on_proxied(id, proxied, now);
                return Next::Again;
            }
            Input::Tls => return Next::Tls,
            Input::Refused { reason, answer } if answer.is_empty() => self.core.close(id, reason, now),
            Input::Refused { reason, answer } => self.core.end(id, reason, &answer, now),
        }
        if is_last { Next::Done } else { Next::Again }
    }

    /// A ping counts as a message against the rate. Its pong goes where echoes go, so a peer that reads none of them is
    /// read from no more.
    fn on_ping(&mut self, id: ConnId, payload: Payload<'_>, now: Time) {
        self.core.counters.messages_in += 1;
        if self.core.takes_message(id, now) {
            self.core.counters.heartbeats_answered += 1;
            self.core.pong(id, payload.bytes(), now);
        }
        payload.give_back(&mut self.core.pool, &mut self.core.compressor);
    }

    fn on_pong(&mut self, id: ConnId, now: Time) {
        self.core.counters.messages_in += 1;
        if self.core.takes_message(id, now)
            && let Some(slot) = self.core.slots.get_mut(id)
        {
            self.core.counters.probes_answered += u64::from(slot.connection.on_pong());
        }
    }

    pub(super) fn open(&mut self, id: ConnId, now: Time) {
        if let Some(slot) = self.core.slots.get_mut(id) {
            slot.opened = true;
            self.call(Some(id), now, |handler, cx| handler.on_opened(cx, id));
        }
    }

    /// From here to its flush, what `id` is sent is gathered. The one served before may not have been flushed.
    fn begin_serving(&mut self, id: ConnId, now: Time) {
        if let Some(before) = self.core.gather.owner().filter(|before| *before != id)
            && let Some(gathered) = self.core.gather.finish(before)
        {
            self.core.queue_rest(before, &gathered, false, now);
            self.core.mark_dirty(before);
            self.core.gather.put_back(gathered);
        }
        if self.core.gather.len_for(id) == 0 {
            self.core.gather.begin(id);
        }
    }
}

/// How much of the bytes handed in was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// All.
    All,
    /// TLS begins here.
    Tls {
        /// Bytes before it.
        from: usize,
    },
}

/// What follows one thing taken off the front.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// There may be another.
    Again,
    Done,
    Tls,
    /// The connection is held: the rest is for later.
    Held,
}

impl Slot {
    /// Whether its bytes are wanted now. If not, the flush that makes them wanted says so.
    #[inline]
    fn wants_bytes(&mut self, settings: &Settings) -> bool {
        if self.connection.phase() == Phase::Closed || self.peer_ended {
            return false;
        }
        let wanted = self.connection.wants_bytes(settings);
        if !wanted {
            self.reading = Reading::Held;
        }
        wanted
    }
}

impl Core {
    /// Counts one message of a connection against its rate; one that sends more than it may is closed.
    pub(super) fn takes_message(&mut self, id: ConnId, now: Time) -> bool {
        let takes = self.slots.get_mut(id).is_some_and(|slot| slot.connection.takes_message(now));
        if !takes {
            self.close(id, CloseReason::Local(LocalReason::TooManyMessages), now);
        }
        takes
    }
}

/// One message: answered where it is a heartbeat, given to the handler otherwise.
#[inline]
fn act_on_message<H: Handler>(
    core: &mut Core,
    handler: &mut H,
    id: ConnId,
    message: Message<'_>,
    verdict: Verdict,
    now: Time,
) {
    core.counters.messages_in += 1;
    match verdict {
        Verdict::Deliver => {
            guarded(core, handler, Some(id), now, None, |handler, cx| handler.on_message(cx, id, message));
        }
        Verdict::Heartbeat(answer) => {
            core.counters.heartbeats_answered += 1;
            // The connection is open, and an answer is far below any limit.
            let _ = core.send(id, Message::new(answer, message.kind()), now);
        }
        Verdict::ProbeAnswered => core.counters.probes_answered += 1,
        Verdict::TooMany => core.close(id, CloseReason::Local(LocalReason::TooManyMessages), now),
    }
}
