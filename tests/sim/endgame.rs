//! How a run ends: in LIVENESS the faults stop first and everything must settle; then all must go, and nothing be left.

use crate::conn::millis;
use crate::handler::Order;
use crate::knobs::Fault;
use crate::model::{Verdict, broken};
use crate::peers::{MARKER, Peer};
use crate::pipes::{Appetite, Segment};
use crate::plan::{Ending, Mode};
use crate::seen::Situation;
use crate::world::{Owner, World};
use tidegate::connection::ListenWire;
use tidegate::timer::Time;
use tidegate::wire::Wire;

/// Time in which a message of a prompt peer must be through.
const PROMPT: u64 = 1000;
/// How late a loop that oversleeps may be, all in all.
const LATE: u64 = 200;
/// Longer than any wait and any attempt of a client.
const CLIENTS_BACK: u64 = 40_000;

impl World<'_> {
    pub fn finish(&mut self) -> Verdict {
        self.advance(0)?;
        if self.plan.mode == Mode::Liveness && self.model.drain.is_none() {
            self.calm();
            self.advance(PROMPT)?;
            self.pass_markers()?;
            self.clients_are_back()?;
            self.bury_the_dead()?;
        }
        self.calm();
        match self.plan.ending {
            _ if self.model.drain.is_some() => self.drain_out(),
            Ending::Drain => self.drain_out(),
            Ending::Stop => self.stop(),
            Ending::Leave => self.all_leave(),
        }?;
        self.nothing_is_left()
    }

    /// No more faults from here on. What was silenced stays so.
    fn calm(&mut self) {
        let net = &mut *self.net.borrow_mut();
        net.accept_errors.clear();
        net.attach_errors.clear();
        net.descriptors = usize::MAX;
        for sock in &mut net.socks {
            (sock.flaky, sock.fail_write) = (0, None);
        }
    }

    /// Fresh peers come, and a marker of each gets through.
    fn pass_markers(&mut self) -> Verdict {
        let mut witnesses = Vec::new();
        for listener in 0..self.plan.listeners.len() {
            for _ in 0..2 {
                let door = self.plan.listeners[listener];
                let wire = match door.wire {
                    ListenWire::Fixed(wire) => wire,
                    ListenWire::Auto if door.http => self.rng.pick(&[Wire::Length, Wire::Line, Wire::WebSocket]),
                    ListenWire::Auto => self.rng.pick(&[Wire::Length, Wire::Line]),
                };
                let (peer, sock) = Peer::witness(wire, &self.plan.settings);
                witnesses.extend(self.seat(listener, peer, sock));
            }
        }
        self.advance(PROMPT)?;
        let body = &MARKER[..MARKER.len().min(self.plan.settings.max_message_bytes)];
        witnesses.iter().for_each(|witness| self.say(*witness, body));
        self.advance(PROMPT)?;
        for _ in 0..50 {
            self.advance(7)?;
            witnesses.retain(|witness| !self.is_served(*witness));
        }
        witnesses.into_iter().try_for_each(|witness| self.is_late(witness))
    }

    /// A witness is in step with the server, or was sent away for a reason the model has allowed.
    fn is_served(&self, witness: usize) -> bool {
        let net = self.net.borrow();
        let sock = &net.socks[witness];
        let waits = !sock.in_flight.is_empty() || !sock.inbox.is_empty() || !sock.outbox.is_empty();
        let owed = sock.id.and_then(|id| self.model.present().find(|conn| conn.id == id)).map(|conn| conn.pending());
        if let Owner::Script(peer) = &self.owners[witness] {
            self.seen.hit_if(peer.markers > 0, Situation::Marker);
        }
        sock.closed || sock.shut || (!waits && owed == Some(0))
    }

    fn is_late(&self, witness: usize) -> Verdict {
        let net = self.net.borrow();
        let sock = &net.socks[witness];
        let what = format!("witness {witness}: unread {}, untaken {}", sock.inbox.len(), sock.outbox.len());
        broken("a prompt peer is not served in time", sock.id, what)
    }

    /// Clients come back by themselves, and send what has waited.
    fn clients_are_back(&mut self) -> Verdict {
        let socks: Vec<usize> = self.customers.iter().filter_map(|customer| customer.sock).collect();
        for sock in socks {
            if !self.net.borrow().socks[sock].is_over() {
                self.net.borrow_mut().thaw(sock);
            }
        }
        self.net.borrow_mut().is_calm = true;
        // Some come and go, as silence or idleness ends them: all must have been there, though not all at once.
        let mut late: Vec<usize> = (0..self.customers.len()).collect();
        for _ in 0..CLIENTS_BACK / 50 {
            self.advance(50)?;
            late.retain(|which| !self.customers[*which].has_nothing_to_send());
            if late.is_empty() {
                self.seen.hit_if(!self.customers.is_empty(), Situation::ClientsBack);
                self.advance(PROMPT)?;
                let net = self.net.borrow();
                return self.customers.iter().try_for_each(|customer| customer.check_all_heard(&net));
            }
        }
        if self.may_stay_away() {
            Ok(())
        } else {
            broken("a client did not come back", None, format!("{:?}", self.customers[late[0]]))
        }
    }

    /// Limits may keep clients away for good, and so may a server that has less patience than the way there is long.
    fn may_stay_away(&self) -> bool {
        let settings = &self.plan.settings;
        let idle = settings.idle_timeout.unwrap_or(settings.handshake_timeout);
        let patience = settings.handshake_timeout.min(settings.heartbeat_timeout).min(idle);
        self.plan.faults.has(Fault::Limits) || (self.plan.faults.has(Fault::Delay) && millis(patience) < 2000)
    }

    fn customers_stop(&mut self) -> Verdict {
        for which in 0..self.customers.len() {
            self.customers[which].client.stop();
            self.customers[which].pump(&mut self.net.borrow_mut(), &mut self.owners)?;
        }
        Ok(())
    }

    /// Whoever has fallen silent must be found by now.
    fn bury_the_dead(&mut self) -> Verdict {
        let settings = &self.plan.settings;
        // Each pause has silence counted anew, and handlers that pause do so to anybody.
        if !settings.has_heartbeat() || self.plan.habits.pauses.is_some() {
            return Ok(());
        }
        let seated: Vec<usize> = self.chairs.iter().skip(self.plan.clients).flatten().copied().collect();
        for sock in seated {
            self.net.borrow_mut().socks[sock].mute |= self.rng.chance(30);
        }
        let silent: Vec<usize> = self.silent_socks();
        let mut all = vec![settings.heartbeat_timeout, settings.write_timeout, settings.close_timeout];
        if self.plan.is_web() {
            all.extend([settings.handshake_timeout, settings.http_idle_timeout]);
        }
        self.advance(all.into_iter().map(millis).sum::<u64>() + 100)?;
        let net = self.net.borrow();
        for sock in silent {
            let of = &net.socks[sock];
            let takes = !of.deaf && of.appetite != Appetite::Never && !of.outbox.is_empty();
            if !of.closed && of.id.is_some() && !takes {
                return broken("a dead peer is still there", of.id, format!("socket {sock}"));
            }
            self.seen.hit(Situation::HalfOpenGone);
        }
        Ok(())
    }

    /// Of whom nothing more will ever arrive.
    fn silent_socks(&self) -> Vec<usize> {
        let net = self.net.borrow();
        let silent = |sock: &usize| {
            let of = &net.socks[*sock];
            of.mute && of.inbox.is_empty() && of.id.is_some() && !of.closed
        };
        (0..net.socks.len()).filter(silent).collect()
    }

    fn drain_out(&mut self) -> Verdict {
        let late = self.seat_latecomers();
        if !late.is_empty() {
            self.advance(1)?;
        }
        self.begin_drain()?;
        late.into_iter().for_each(|sock| self.say(sock, b"am I late?"));
        let settings = &self.plan.settings;
        let started = self.model.drain.map_or(self.now, |drain| drain.started);
        let passed = self.now - started;
        let window = millis(settings.drain_window).saturating_sub(passed);
        self.advance(window + millis(settings.close_timeout) + LATE)?;
        if !self.reactor.gateway().is_drained() {
            return broken("a drain did not end in time", None, "");
        }
        self.seen.hit(Situation::Drained);
        Ok(())
    }

    /// Some peers have no room for what everybody is sent.
    fn leave_something_waiting(&mut self) -> Verdict {
        for sock in &mut self.net.borrow_mut().socks {
            sock.room = if self.rng.chance(50) { sock.outbox.len() } else { sock.room };
        }
        self.order(Order::Broadcast { except: None, body: b"last words".to_vec() })
    }

    fn stop(&mut self) -> Verdict {
        self.leave_something_waiting()?;
        self.model.stopped = true;
        self.reactor.clear_listeners();
        self.net.borrow_mut().stop_listening();
        self.reactor.stop(Time::from_millis(self.now));
        self.digest()?;
        self.end_turn()?;
        self.expect_nobody("a stop left connections behind")
    }

    /// Every peer goes, one way or another.
    fn all_leave(&mut self) -> Verdict {
        self.customers_stop()?;
        let socks = self.net.borrow().socks.len();
        for sock in 0..socks {
            let reset = self.rng.chance(50);
            let mut net = self.net.borrow_mut();
            if net.socks[sock].closed || net.socks[sock].dead {
                continue;
            }
            net.thaw(sock);
            if reset {
                net.reset(sock, true);
            } else {
                let at = net.now;
                net.send(sock, Segment::End, at);
                net.vanish(sock);
            }
        }
        let settings = &self.plan.settings;
        let mut rest = millis(settings.close_timeout) + millis(settings.write_timeout) + 5000;
        // What drips is still on its way.
        rest +=
            self.net.borrow().socks.iter().map(|sock| sock.last_arrival.saturating_sub(self.now)).max().unwrap_or(0);
        self.advance(rest)?;
        self.expect_nobody("all peers have left and connections are still there")
    }

    fn expect_nobody(&self, rule: &'static str) -> Verdict {
        let count = self.reactor.gateway().connection_count();
        if count == 0 {
            Ok(())
        } else {
            broken(rule, self.model.present().next().map(|conn| conn.id), count.to_string())
        }
    }

    /// All connections are gone: so is everything that was theirs.
    fn nothing_is_left(&mut self) -> Verdict {
        self.customers_stop()?;
        // Timers of the handler may still ring, and free memory goes back within a few seconds.
        self.advance(120_000)?;
        if let Some(at) = self.reactor.poll_timeout(self.time()) {
            return broken(
                "nobody is here and the loop still wants to wake",
                None,
                format!("at {at:?}, now {}", self.now),
            );
        }
        let (held, tables) = (self.reactor.gateway().held(), self.reactor.gateway().table_sizes());
        if (held.queued, held.lent, tables) != (0, 0, [0; 4]) {
            return broken("something outlived all connections", None, format!("{held:?} {tables:?}"));
        }
        if held.kept > 0 {
            return broken("memory of a burst never goes back", None, format!("{held:?}"));
        }
        let handler = self.reactor.gateway().handler();
        if !handler.open.is_empty() || handler.timer_count() > 0 {
            return broken("the handler still knows somebody", None, format!("{:?}", handler.open));
        }
        Ok(())
    }
}
