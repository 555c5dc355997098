//! The gateway's clockwork: deadlines of connections and handlers, the drain, memory left behind.

use super::ahead::AHEAD;
use super::core::Core;
use super::handler::Handler;
use super::id::ConnId;
use super::machine::Gateway;
use crate::connection::{CloseReason, Due, LocalReason};
use crate::timer::{MOVES_PER_POLL, Polled, Time, earliest};
use crate::wire::websocket::Opcode;
use crate::wire::{Message, Wire};
use std::time::Duration;

/// Deadlines served in one turn, or entries of the wheel moved instead: a million due at once must not starve the sockets.
/// Each takes about a microsecond, without what it sends.
const MAX_DEADLINES: usize = 1024;
/// Connections that a drain ends in one turn, and slots that it looks at for them. Behind its time it goes on at once.
const MAX_DRAINED: usize = 256;
const MAX_LOOKED_AT: usize = 16_384;
/// Emptied pages of slots whose memory goes back in one turn, some tens of microseconds each; and at each look for memory
/// left behind, when there may be no turns but those.
const PAGES_A_TURN: usize = 2;
pub(super) const PAGES_A_TRIM: usize = 32;
/// How often memory left behind by a burst is looked for.
const TRIM_EVERY: Duration = Duration::from_secs(1);

impl<H: Handler> Gateway<H> {
    /// Serves due deadlines, at most a thousand or so a call. Early or repeated calls do nothing.
    pub fn handle_timeouts(&mut self, now: Time) {
        self.serve_deadlines(now);
        self.serve_timers(now);
        self.advance_drain(now);
        self.advance_trim(now);
        self.deliver_ended(now);
    }

    /// When [`Gateway::handle_timeouts`] is wanted next.
    pub fn poll_timeout(&self, now: Time) -> Option<Time> {
        let drain = self.core.drain.as_ref().and_then(|drain| drain.next_deadline(now));
        earliest([self.core.wheel.next_deadline(), self.core.timers.next_deadline(), drain, self.trim_at])
    }

    /// The turn is over. Memory it has left behind is looked for later.
    pub fn finish_turn(&mut self, now: Time) {
        if self.core.slots.has_emptied() {
            self.core.slots.give_back(PAGES_A_TURN);
        }
        self.core.counters.turns_cut += u64::from(!self.core.dirty.is_empty());
        if self.trim_at.is_none() && self.core.has_slack() {
            self.trim_at = Some(now + TRIM_EVERY);
        }
    }

    fn serve_deadlines(&mut self, now: Time) {
        let (mut budget, mut ahead) = (MAX_DEADLINES, 0);
        while budget > 0 {
            match self.core.wheel.poll(now) {
                Polled::Due(slot) => {
                    if ahead == 0 {
                        self.expect_deadlines();
                        ahead = AHEAD;
                    }
                    ahead -= 1;
                    self.handle_deadline(slot, now);
                }
                Polled::Working => budget = budget.saturating_sub(MOVES_PER_POLL - 1),
                Polled::Idle => break,
            }
            budget = budget.saturating_sub(1);
        }
    }

    fn serve_timers(&mut self, now: Time) {
        let mut budget = MAX_DEADLINES;
        while budget > 0 {
            match self.core.timers.poll(now) {
                Ok(Some(token)) => self.call(None, now, |handler, cx| handler.on_timer(cx, token)),
                Ok(None) => break,
                Err(_) => budget = budget.saturating_sub(MOVES_PER_POLL - 1),
            }
            budget = budget.saturating_sub(1);
        }
    }

    fn handle_deadline(&mut self, slot: u32, now: Time) {
        let Some(id) = self.core.slots.id_at(slot as usize) else {
            return;
        };
        let core = &mut self.core;
        let due =
            core.slots.get_mut(id).map_or(Due::Nothing, |slot| slot.connection.handle_timeout(now, &core.settings));
        match due {
            Due::Nothing => {}
            Due::Probe if H::PINGS => self.call(Some(id), now, |handler, cx| handler.on_quiet(cx, id)),
            Due::Probe => core.probe(id, now),
            Due::Close(reason) => core.close(id, reason, now),
            #[cfg(feature = "websocket")]
            Due::RequestLate(reason) => {
                let answer = core.refusal(crate::wire::http::Status::RequestTimeout, now);
                core.end(id, reason, &answer, now);
            }
            #[cfg(feature = "websocket")]
            Due::AnswerLate => core.answer_late(id, now),
            #[cfg(not(feature = "websocket"))]
            Due::RequestLate(reason) => core.close(id, reason, now),
            #[cfg(not(feature = "websocket"))]
            Due::AnswerLate => {}
            Due::Drop => core.drop_connection(id),
        }
        self.core.rearm(id);
    }

    fn advance_drain(&mut self, now: Time) {
        let Some(mut drain) = self.core.drain.take() else {
            return;
        };
        let mut due = drain.due(now).min(MAX_DRAINED);
        let end = self.core.slots.end();
        let looked_at_until = end.min(drain.next_slot + MAX_LOOKED_AT);
        while due > 0 && drain.next_slot < looked_at_until {
            if let Some(id) = self.core.slots.id_at(drain.next_slot) {
                self.core.close_in_order(id, now);
                drain.on_told();
                due -= 1;
            }
            drain.next_slot += 1;
        }
        if drain.next_slot >= end {
            drain.finish();
        }
        self.core.drain = Some(drain);
    }

    fn advance_trim(&mut self, now: Time) {
        if self.trim_at.is_some_and(|at| at <= now) {
            self.core.trim();
            self.trim_at = self.core.has_slack().then(|| now + TRIM_EVERY);
        }
    }
}

impl Core {
    /// Ends a connection of a drain; one whose request the handler has yet to answer, with that answer.
    fn close_in_order(&mut self, id: ConnId, now: Time) {
        #[cfg(feature = "websocket")]
        if self.limit_answer(id, now) {
            return;
        }
        self.close(id, CloseReason::Local(LocalReason::Draining), now);
    }

    fn probe(&mut self, id: ConnId, now: Time) {
        let wire = self.slots.get(id).and_then(|slot| slot.connection.wire());
        if wire == Some(Wire::WebSocket) {
            self.counters.probes_sent += 1;
            return self.control(id, Opcode::Ping, &[], now);
        }
        if let Some(probe) = self.settings.heartbeat_probe.clone() {
            self.counters.probes_sent += 1;
            // It was open a moment ago, and a probe is far below any limit.
            let _ = self.send(id, Message::from(&probe), now);
        }
    }
}
