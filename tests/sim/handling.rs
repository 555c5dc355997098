//! The model's rules for what the handler is told and what it does.

use crate::conn::{Hold, millis};
use crate::incoming::{Item, frame};
use crate::journal::{Act, Call, Journal};
use crate::model::{Model, Verdict, broken, show};
use crate::net::Net;
use crate::seen::Situation;
use crate::websocket::serving::Serving;
use std::rc::Rc;
use tidegate::connection::{CloseReason, Expects, LocalReason, PeerReason};
use tidegate::gateway::{ConnId, SendError};
use tidegate::wire::{Kind, Wire};

impl Model {
    pub fn on_enter(&mut self, call: &Call, journal: &Journal, net: &Net) -> Verdict {
        self.turn_to(call)?;
        self.settle();
        self.inside = Some(call.clone());
        match call {
            Call::Opened(id) => self.on_told_opened(*id, net),
            Call::Message(id, body, kind) => self.on_message(*id, &journal.bytes[body.clone()], *kind),
            Call::Request(id, path, body) => {
                self.on_request(*id, &journal.bytes[path.clone()], &journal.bytes[body.clone()])
            }
            Call::Upgrade(id, path) => self.on_upgrade(*id, &journal.bytes[path.clone()]),
            Call::Ended(id, reason) => self.on_told_ended(*id, *reason, net),
            Call::Timer(token) => self.on_timer(*token),
            Call::Drained(id) => self.on_drained(*id),
            Call::Task => Ok(()),
        }
    }

    pub fn on_told_opened(&mut self, id: ConnId, net: &Net) -> Verdict {
        let first = self.conn(id).is_none();
        if first {
            self.name_arriving(id, net)?;
        }
        let conn = self.known(id)?;
        let decided_now = conn.due.front() == Some(&Item::Opened);
        let right = if first { conn.incoming.wire.is_some() } else { decided_now };
        if conn.opened || !right || !conn.is_live() {
            return broken("told of an opening out of turn", Some(id), format!("{:?}", conn.due.front()));
        }
        if decided_now {
            conn.due.pop_front();
        }
        conn.opened = true;
        conn.first_done |= conn.incoming.wire == Some(Wire::WebSocket);
        Ok(())
    }

    pub fn on_message(&mut self, id: ConnId, body: &[u8], kind: Kind) -> Verdict {
        let (now, seen) = (self.now, self.seen.clone());
        let max = self.settings.max_message_bytes;
        let served = self.serving == Some(id);
        let conn = self.known(id)?;
        let Some(Item::Message(expected, expected_kind)) = conn.due.pop_front() else {
            return broken("a message that was never sent", Some(id), show(body));
        };
        if expected != body || expected_kind != kind {
            let what = format!("sent {expected_kind:?} {} handed on {kind:?} {}", show(&expected), show(body));
            return broken("a message came changed or out of order", Some(id), what);
        }
        if conn.hold != Hold::None {
            return broken("a message from a paused connection", Some(id), show(body));
        }
        if !served || !conn.takes_messages() {
            return broken("a message after the end", Some(id), show(body));
        }
        seen.hit_if(std::mem::take(&mut conn.beat), Situation::HeartbeatBetween);
        seen.hit_if(conn.at_ease, Situation::AtEase);
        seen.hit_if(body.is_empty(), Situation::EmptyMessage);
        seen.hit_if(body.len() == max, Situation::AtTheLimit);
        conn.spend_message(now);
        conn.message_at = now;
        conn.first_done = true;
        self.count_message();
        Ok(())
    }

    pub fn on_told_ended(&mut self, id: ConnId, reason: CloseReason, net: &Net) -> Verdict {
        let undecided = self.known(id)?.is_live();
        if undecided {
            self.allow(id, reason, net)?;
        }
        let conn = self.known(id)?;
        if !conn.opened || conn.told_closed {
            return broken("told of an end twice or without an opening", Some(id), reason.name());
        }
        conn.told_closed = true;
        match conn.end {
            Some((decided, _)) if decided == reason => Ok(()),
            decided => broken("the wrong reason was told", Some(id), format!("{reason}, should be {decided:?}")),
        }
    }

    /// Takes an end that only the gateway could decide, if it was right to.
    pub fn allow(&mut self, id: ConnId, reason: CloseReason, net: &Net) -> Verdict {
        let (now, stopped, settings) = (self.now, self.stopped, self.settings.clone());
        let conn = self.known(id)?;
        let unread =
            conn.sock.map(|sock| &net.socks[sock]).filter(|sock| !sock.interrupted).map_or(0, |sock| sock.inbox.len());
        let probe = if self.may_probe > 0 { self.probe_frame(id).len() } else { 0 };
        let conn = self.known(id)?;
        let why = match reason {
            // A probe was what made it too much.
            CloseReason::Local(LocalReason::SlowConsumer)
                if probe > 0 && conn.peak + probe > settings.write_queue_hard_bytes =>
            {
                Ok(())
            }
            CloseReason::Local(LocalReason::Draining) => self.allow_drain(),
            CloseReason::Local(LocalReason::Stopped) if stopped => Ok(()),
            _ => conn.may_end(reason, now, unread, &settings),
        };
        if let Err(why) = why {
            return broken("ended for a reason that does not hold", Some(id), why);
        }
        self.note_end(id, reason);
        let late = reason == CloseReason::Peer(PeerReason::HandshakeTimeout);
        let conn = self.known(id)?;
        if late && conn.incoming.is_http() && (conn.incoming.is_begun() || conn.asks(Expects::Rest)) {
            self.refuse_request(id, 408, reason);
        } else {
            self.decide(id, reason);
        }
        Ok(())
    }

    pub fn allow_drain(&mut self) -> Result<(), String> {
        let (now, window) = (self.now, millis(self.settings.drain_window));
        let drain = self.drain.as_mut().ok_or("no drain was begun")?;
        drain.told += 1;
        let passed = now - drain.started;
        let share = if passed >= window { usize::MAX } else { 1 + (passed as usize * drain.total) / window as usize };
        if drain.told > share { Err(format!("told {} after {passed} ms", drain.told)) } else { Ok(()) }
    }

    pub fn on_timer(&mut self, token: u64) -> Verdict {
        self.seen.hit(Situation::TimerRang);
        let now = self.now;
        let Some(at) = self.timers.iter().position(|(other, _)| *other == token) else {
            return broken("a timer rang that was not set", None, token.to_string());
        };
        let (_, deadline) = self.timers.remove(at);
        if deadline > now { broken("a timer rang early", None, format!("{deadline} at {now}")) } else { Ok(()) }
    }

    pub fn on_act(&mut self, act: &Act, journal: &Journal) -> Verdict {
        match act {
            Act::Send { to, body, kind, result } => self.on_send(*to, &journal.bytes[body.clone()], *kind, *result),
            Act::Broadcast { except, body, kind, receivers, took } => {
                self.on_broadcast(*except, &journal.bytes[body.clone()], *kind, receivers, *took)
            }
            Act::Answer(response) => self.on_answer(response),
            Act::Welcome(welcome) => self.on_welcome(*welcome),
            Act::Close { id, live: false, .. } => {
                self.must_end.push(*id);
                Ok(())
            }
            Act::Close { id, reason, live: true } => {
                let inside = match &self.inside {
                    Some(Call::Task) => Situation::ClosedFromOutside,
                    Some(Call::Message(own, ..)) if own == id => Situation::ClosedFromInside,
                    _ => Situation::KickedByOther,
                };
                self.seen.hit(inside);
                self.note_end_of_ease(*id, Situation::EaseThenClose);
                let live = self.conn(*id).is_some_and(|conn| conn.is_live());
                self.decide(*id, *reason);
                if live { Ok(()) } else { broken("an ended connection was known to the handler", Some(*id), "") }
            }
            Act::Arm { token, deadline } => {
                self.timers.push((*token, deadline.as_millis()));
                Ok(())
            }
            Act::Cancel { token, found } => self.on_cancel(*token, *found),
            Act::Pause { id, live } => self.on_pause(*id, *live),
            Act::Resume { id } => self.on_resume(*id),
            Act::Offer { to, body, kind, waiting, result } => {
                self.on_offer(*to, &journal.bytes[body.clone()], *kind, *waiting, *result)
            }
            Act::Watch { id, live } => self.on_watch(*id, *live),
            Act::Panic => self.on_panic(),
        }
    }

    pub fn on_cancel(&mut self, token: u64, found: bool) -> Verdict {
        let before = self.timers.len();
        self.timers.retain(|(other, _)| *other != token);
        self.seen.hit_if(found, Situation::TimerCancelled);
        if found == (self.timers.len() < before) {
            Ok(())
        } else {
            broken("a timer was cancelled that was not set, or not where it was", None, token.to_string())
        }
    }

    pub fn on_panic(&mut self) -> Verdict {
        self.panics += 1;
        if let Some(Call::Message(id, ..)) = self.inside {
            self.note_end_of_ease(id, Situation::EaseThenPanic);
        }
        let call = self.inside.take();
        self.asked = Serving::default();
        if let Some(Call::Opened(id) | Call::Message(id, ..) | Call::Request(id, ..) | Call::Upgrade(id, _)) = call {
            let waiting = self.present().any(|conn| conn.id != id && conn.pending() > 0);
            self.seen.hit_if(waiting, Situation::PanicAmongWaiting);
            self.seen.hit_if(matches!(call, Some(Call::Opened(_))), Situation::PanicOnOpen);
            self.seen.hit_if(matches!(call, Some(Call::Request(..))), Situation::PanicOnRequest);
            self.seen.hit_if(matches!(call, Some(Call::Upgrade(..))), Situation::PanicOnUpgrade);
            // Who was closed in the same call, for what it was sent before the panic, has its reason already.
            if !self.slow.contains(&id) {
                self.decide(id, CloseReason::Local(LocalReason::HandlerPanicked));
            }
        }
        Ok(())
    }

    pub fn on_send(&mut self, to: ConnId, body: &[u8], kind: Kind, result: Result<(), SendError>) -> Verdict {
        let takes = self.conn(to).is_some_and(|conn| conn.takes_messages());
        let slot_used = self.conns.get(to.slot()).is_some_and(Option::is_some);
        let is_stale = self.conn(to).is_none();
        self.seen.hit_if(slot_used && is_stale, Situation::StaleSend);
        let too_large = body.len() + 16 > self.settings.write_queue_hard_bytes;
        match result {
            Ok(()) if takes => {
                self.count_sent(to);
                self.owe(to, body, kind);
                Ok(())
            }
            // The gateway may have ended it in this very call; then it is told of before the call returns.
            Err(SendError::Gone) if takes => {
                self.must_end.push(to);
                Ok(())
            }
            Err(SendError::Gone) => Ok(()),
            Err(SendError::TooLarge) if takes && too_large => {
                self.seen.hit(Situation::DirectTooLarge);
                Ok(())
            }
            result => broken("a send went wrong", Some(to), format!("{result:?}, takes messages: {takes}")),
        }
    }

    pub fn on_broadcast(
        &mut self,
        except: Option<ConnId>,
        body: &[u8],
        kind: Kind,
        receivers: &[ConnId],
        took: Option<usize>,
    ) -> Verdict {
        let too_large = body.len() + 16 > self.settings.write_queue_hard_bytes;
        let slow = receivers.iter().filter(|id| self.slow.contains(id)).count();
        let right = if too_large { 0..=0 } else { receivers.len() - slow..=receivers.len() };
        if took.is_some_and(|took| !right.contains(&took)) {
            return broken("a broadcast went to the wrong number", except, format!("{took:?} of {receivers:?}"));
        }
        if too_large {
            return Ok(());
        }
        if let Some(id) = receivers.iter().find(|id| !self.conn(**id).is_some_and(|conn| conn.takes_messages())) {
            return broken("a broadcast went to somebody who had ended", Some(*id), "");
        }
        let left_out = self.present().filter(|conn| conn.takes_messages() && Some(conn.id) != except);
        let left_out: Vec<ConnId> = left_out.map(|conn| conn.id).filter(|id| !receivers.contains(id)).collect();
        self.must_end.extend(left_out);
        self.seen.hit_if(matches!(self.inside, Some(Call::Ended(..))) && !receivers.is_empty(), Situation::Farewell);
        self.seen.hit_if(slow > 0, Situation::SlowInBroadcast);
        self.note_wires(receivers);
        receivers.iter().for_each(|id| self.count_sent(*id));
        receivers.iter().for_each(|id| self.note_end_of_ease(*id, Situation::EaseThenQueued));
        let before = self.owed_to(receivers);
        for wire in [Wire::Length, Wire::Line, Wire::Raw] {
            let shared: Rc<[u8]> = frame(wire, body).into();
            for id in receivers {
                self.owe_frame(*id, wire, &shared);
            }
        }
        for id in receivers {
            if self.conn(*id).is_some_and(|conn| conn.incoming.wire == Some(Wire::WebSocket)) {
                self.owe_message(*id, body, kind);
            }
        }
        self.note_shared(receivers, &before);
        Ok(())
    }

    /// Notes whether a message goes from one kind of wire to another.
    fn note_wires(&mut self, receivers: &[ConnId]) {
        let Some(Call::Message(from, ..)) = self.inside else {
            return;
        };
        let speaks =
            |id: ConnId| self.conns.get(id.slot()).and_then(Option::as_ref).and_then(|conn| conn.incoming.wire);
        let to = |web: bool| receivers.iter().any(|id| (speaks(*id) == Some(Wire::WebSocket)) == web);
        match speaks(from) {
            Some(Wire::WebSocket) => self.seen.hit_if(to(false), Situation::TextToPlain),
            _ => self.seen.hit_if(to(true), Situation::PlainToText),
        }
    }

    /// A message is owed to a connection.
    pub fn owe(&mut self, id: ConnId, body: &[u8], kind: Kind) {
        match self.conn(id).and_then(|conn| conn.incoming.wire) {
            Some(Wire::WebSocket) => self.owe_message(id, body, kind),
            Some(wire) => self.owe_frame(id, wire, &frame(wire, body).into()),
            None => {}
        }
    }

    pub fn owe_frame(&mut self, id: ConnId, wire: Wire, frame: &Rc<[u8]>) {
        let (now, soft) = (self.now, self.settings.write_queue_soft_bytes);
        if let Some(conn) = self.conn(id).filter(|conn| conn.incoming.wire == Some(wire)) {
            if conn.pending() == 0 && !frame.is_empty() {
                conn.progress_at = now;
            }
            conn.out.push(Rc::clone(frame));
            conn.on_owed(soft, now);
        }
    }
}
