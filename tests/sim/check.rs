//! What must hold after every turn, whatever happened in it.

use crate::conn::{Conn, millis};
use crate::handler::Recorder;
use crate::model::{Model, Verdict, address_of, broken};
use crate::net::Net;
use tidegate::connection::Phase;
use tidegate::gateway::{Gateway, MAX_EVENTS};
use tidegate::timer::{TICK_MILLIS, Time};
use tidegate::wire::Wire;

/// Longest pause of accepting, in milliseconds.
const MAX_PAUSE: u64 = 1000;
/// What one turn gathers for a connection at most.
const MAX_GATHERED: usize = 128 << 10;

/// A deadline is served at the first whole tick that is not before it.
fn tick(deadline: u64) -> u64 {
    deadline.div_ceil(TICK_MILLIS) * TICK_MILLIS
}

impl Model {
    pub fn check(&mut self, gateway: &Gateway<Recorder>, net: &Net, poll: Option<Time>) -> Verdict {
        self.resolve_cuts(gateway)?;
        self.check_holds(poll)?;
        self.check_probes(gateway)?;
        self.freed.retain(|(_, at)| *at == self.now);
        for slot in 0..self.conns.len() {
            self.check_phase(slot, gateway)?;
        }
        let mut next = self.timers.iter().map(|(_, deadline)| tick(*deadline)).min();
        let (mut late, mut late_id) = (None, None);
        for conn in self.present() {
            self.check_queue(conn, gateway)?;
            let deadline = conn.deadline(&self.settings).into_iter().chain(self.drain_deadline(conn)).min().map(tick);
            if deadline.is_some_and(|at| at <= self.now) {
                late = Some(format!("due at {deadline:?}, now {}: {}", self.now, describe(conn)));
                late_id = Some(conn.id);
            }
            next = [next, deadline].into_iter().flatten().min();
            self.check_edges(conn, net, poll)?;
        }
        // Deadlines wait a turn where somebody has not been heard; the loop must come back at once then.
        let at_once = poll.is_some_and(|at| at.as_millis() <= self.now);
        self.late_turns = if late.is_some() { self.late_turns + 1 } else { 0 };
        // As many turns as it takes to hear everybody once.
        let most = gateway.connection_count() / MAX_EVENTS + 1;
        if let Some(late) = late.filter(|_| !at_once || self.late_turns as usize > most) {
            return broken("a deadline has passed", late_id, late);
        }
        let wakes = poll.map(Time::as_millis);
        if next.is_some_and(|next| wakes.is_none_or(|wakes| wakes > next.max(self.now))) {
            return broken("the next wait would miss a deadline", None, format!("wakes {wakes:?}, due {next:?}"));
        }
        self.check_door(net, poll)?;
        self.check_totals(gateway, net)?;
        self.check_tally(gateway.counters())?;
        self.check_counters(gateway)
    }

    /// What was kept of what was owed to a slow peer shows in how much waits.
    fn resolve_cuts(&mut self, gateway: &Gateway<Recorder>) -> Verdict {
        for slot in 0..self.conns.len() {
            let Some(id) = self.conns[slot].as_ref().filter(|conn| !conn.is_live()).map(|conn| conn.id) else {
                continue;
            };
            let probe = if self.may_probe > 0 { self.probe_frame(id) } else { Vec::new() };
            let pending = gateway.pending_bytes(id);
            match self.known(id)?.out.resolve(pending, MAX_GATHERED, &probe) {
                Ok(true) => self.on_probed(id)?,
                Ok(false) => {}
                Err(()) => {
                    let what = format!("{pending} bytes wait");
                    return broken("a slow peer is owed something else than a frame and last words", Some(id), what);
                }
            }
        }
        Ok(())
    }

    fn drain_deadline(&self, conn: &Conn) -> Option<u64> {
        let drain = self.drain.filter(|_| conn.is_live())?;
        Some(drain.started + millis(self.settings.drain_window))
    }

    /// Finds out who was probed: whose queue has grown by a probe that nobody else has queued.
    fn check_probes(&mut self, gateway: &Gateway<Recorder>) -> Verdict {
        if self.may_probe == 0 {
            self.lost_probes = 0;
            self.conns.iter_mut().flatten().for_each(|conn| conn.out.settle());
            return Ok(());
        }
        for slot in 0..self.conns.len() {
            let Some(id) = self.conns[slot].as_ref().map(|conn| conn.id) else {
                continue;
            };
            let probe = self.probe_frame(id);
            let (now, soft) = (self.now, self.settings.write_queue_soft_bytes);
            let conn = self.known(id)?;
            let surplus = gateway.pending_bytes(id) as isize - conn.out.pending;
            if surplus == probe.len() as isize && surplus > 0 {
                if conn.pending() == 0 {
                    conn.progress_at = now;
                }
                conn.out.add_probe(&probe);
                conn.on_owed(soft, now);
                self.on_probed(id)?;
            } else {
                conn.out.settle();
            }
        }
        self.probes += self.may_probe as u64;
        let missing = std::mem::take(&mut self.may_probe) > std::mem::take(&mut self.lost_probes);
        if missing { broken("counted a probe that nobody was sent", None, "") } else { Ok(()) }
    }

    /// The gateway and the model agree where a connection is in its life.
    fn check_phase(&mut self, slot: usize, gateway: &Gateway<Recorder>) -> Verdict {
        let (now, handshake) = (self.now, millis(self.settings.handshake_timeout));
        let Some(conn) = self.conns[slot].as_mut() else {
            return Ok(());
        };
        let phase = gateway.phase(conn.id);
        let wire = conn.incoming.wire;
        let agrees = match phase {
            Some(Phase::Detecting { .. }) => conn.is_live() && conn.incoming.is_undecided(),
            Some(Phase::Http { expects, .. }) => conn.is_live() && conn.incoming.is_http() && conn.asks(expects),
            Some(Phase::Opening { wire: theirs, .. }) => conn.is_live() && wire == Some(theirs) && !conn.first_done,
            Some(Phase::Open { wire: theirs }) => {
                let may_be_done = now >= conn.accepted_at + handshake && conn.incoming.tail.is_empty();
                conn.first_done |= may_be_done;
                conn.is_live() && wire == Some(theirs) && conn.first_done
            }
            Some(Phase::Flushing { .. }) => !conn.is_live() && !conn.shut,
            Some(Phase::Lingering { .. }) => conn.shut,
            // The handler of the simulator admits nobody: it need not.
            Some(Phase::Entering { .. } | Phase::Closed) | None => false,
        };
        let opened = wire.is_some() == conn.opened || !conn.is_live();
        if agrees && opened {
            return Ok(());
        }
        broken("the phase is not what happened", Some(conn.id), format!("{phase:?}: {}", describe(conn)))
    }

    fn check_queue(&self, conn: &Conn, gateway: &Gateway<Recorder>) -> Verdict {
        let (theirs, ours) = (gateway.pending_bytes(conn.id) as isize, conn.out.pending);
        if theirs != ours {
            return broken("what waits is not what is owed", Some(conn.id), format!("{theirs} wait, {ours} are owed"));
        }
        // A refusal is sent whatever the limit; what was gathered when the end was decided still leaves.
        let extra = if conn.is_live() { 0 } else { MAX_GATHERED };
        let most = self.settings.write_queue_hard_bytes + extra;
        if conn.pending() > most {
            return broken("more waits than the hard limit allows", Some(conn.id), theirs.to_string());
        }
        Ok(())
    }

    /// Whatever edge-triggered polling will not tell again is not forgotten.
    fn check_edges(&self, conn: &Conn, net: &Net, poll: Option<Time>) -> Verdict {
        let Some(sock) = conn.sock.map(|sock| &net.socks[sock]) else {
            return Ok(());
        };
        let at_once = poll.is_some_and(|at| at.as_millis() <= self.now);
        let readable = !sock.inbox.is_empty() || sock.error.is_some() || (sock.end && !conn.peer_ended);
        let reads = conn.reads(&self.settings);
        if readable && reads && !sock.ready.read && !at_once {
            return broken("bytes lie unread and nothing will tell of them", Some(conn.id), describe(conn));
        }
        if conn.pending() > 0 && !sock.blocked && !sock.ready.write && !at_once {
            return broken("bytes wait and nothing will tell of space", Some(conn.id), describe(conn));
        }
        Ok(())
    }

    /// Whoever waits to be accepted is accepted, or will be tried for soon.
    fn check_door(&self, net: &Net, poll: Option<Time>) -> Verdict {
        let waiting = net.listeners.iter().any(|listener| !listener.backlog.is_empty() && !listener.ready);
        let tries_by = self.now + MAX_PAUSE;
        if waiting && poll.is_none_or(|at| at.as_millis() > tries_by) {
            return broken("peers wait at the door and nothing will tell of them", None, format!("{poll:?}"));
        }
        Ok(())
    }

    fn check_totals(&self, gateway: &Gateway<Recorder>, net: &Net) -> Verdict {
        let present = self.present().count();
        if gateway.connection_count() != present || net.attached != present {
            let what =
                format!("{} slots, {} sockets, {present} in the model", gateway.connection_count(), net.attached);
            return broken("slots and sockets do not match", None, what);
        }
        let [armed, timers, addresses, runs] = gateway.table_sizes();
        let limited = self.settings.max_connections_per_ip.is_some();
        let expected = if limited { self.present_addresses() } else { 0 };
        // What is sent to many alike is forgotten when the last of them has it.
        let owes = self.present().any(|conn| conn.pending() > 0);
        if armed > present || timers != self.timers.len() || addresses != expected || (runs > 0 && !owes) {
            let what = format!(
                "{armed} deadlines, {timers} timers, {addresses} addresses, {runs} runs for {present} connections"
            );
            return broken("a table holds what has gone", None, what);
        }
        self.check_held(gateway)
    }

    fn present_addresses(&self) -> usize {
        let mut addresses: Vec<_> = self.present().filter_map(|conn| address_of(conn.peer)).collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses.len()
    }

    fn check_held(&self, gateway: &Gateway<Recorder>) -> Verdict {
        let held = gateway.held();
        let owed: usize = self.present().map(Conn::pending).sum();
        if held.queued != owed {
            return broken("the count of queued bytes is wrong", None, format!("{} counted, {owed} owed", held.queued));
        }
        let raw = |conn: &Conn| conn.incoming.wire == Some(Wire::Raw);
        let begun = |conn: &Conn| (conn.incoming.is_begun() && !raw(conn)) || !conn.due.is_empty();
        let tails = self.present().any(|conn| conn.is_live() && begun(conn));
        if held.lent > 0 && owed == 0 && !tails {
            return broken("buffers are lent to nobody", None, format!("{} bytes", held.lent));
        }
        Ok(())
    }

    fn check_counters(&self, gateway: &Gateway<Recorder>) -> Verdict {
        let counters = gateway.counters();
        let pairs = [
            ("accepted", counters.accepted, self.accepted),
            ("refused", counters.refused, self.refused),
            ("handler panics", counters.handler_panics, self.panics),
            ("requests", counters.http_requests, self.requests),
            ("WebSockets", counters.websockets_opened, self.opened),
            ("bytes in", counters.bytes_in, self.bytes_in),
            ("bytes out", counters.bytes_out, self.bytes_out),
        ];
        if let Some((name, theirs, ours)) = pairs.into_iter().find(|(_, theirs, ours)| theirs != ours) {
            return broken("a counter is wrong", None, format!("{name}: {theirs} counted, {ours} happened"));
        }
        let wrong = (0..counters.closed.len()).find(|index| counters.closed[*index] != self.ended[*index]);
        match wrong.and_then(|index| tidegate::connection::CloseReason::all().nth(index)) {
            Some(reason) => {
                let (theirs, ours) = (counters.closed[reason.index()], self.ended[reason.index()]);
                broken(
                    "ends were counted that did not happen",
                    None,
                    format!("{reason}: {theirs} counted, {ours} happened"),
                )
            }
            None => Ok(()),
        }
    }
}

fn describe(conn: &Conn) -> String {
    format!(
        "live {}, end {:?}, wire {:?}, tail {}, owed {}, heard {}, message {}, progress {}, unheld {}, probe {:?}, accepted {}",
        is_live_word(conn),
        conn.end,
        conn.incoming.wire,
        conn.incoming.tail.len(),
        conn.out.pending,
        conn.heard_at,
        conn.message_at,
        conn.progress_at,
        conn.unheld_at,
        conn.last_probe,
        conn.accepted_at
    )
}

fn is_live_word(conn: &Conn) -> &'static str {
    if conn.is_live() { "yes" } else { "no" }
}
