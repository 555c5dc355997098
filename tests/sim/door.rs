//! The model's rules for the door: who is let in, who is attached, who goes, and what must be over by then.

use crate::conn::{Conn, Tokens, cuts, flushes, millis};
use crate::handler::Recorder;
use crate::model::{Arriving, Model, Verdict, address_of, broken};
use crate::net::Net;
use crate::seen::Situation;
use tidegate::connection::{CloseReason, Expects, LocalReason, PeerReason, Phase};
use tidegate::gateway::{ConnId, Gateway, Peer};

/// Ends that nobody is told of where the connection was never opened.
const UNTOLD: [CloseReason; 6] = [
    // A stall is looked for before anything else, where a leap of the clock makes several of them due.
    CloseReason::Local(LocalReason::WriteTimeout),
    CloseReason::Peer(PeerReason::HandshakeTimeout),
    CloseReason::Peer(PeerReason::HeartbeatTimeout),
    CloseReason::Local(LocalReason::IdleTimeout),
    CloseReason::Local(LocalReason::Draining),
    CloseReason::Local(LocalReason::Stopped),
];

impl Model {
    pub fn on_accepted(&mut self, listener: usize, sock: usize, net: &Net) -> Verdict {
        if self.arriving.is_some_and(|before| before.admitted) {
            return broken("an admitted peer got no connection", None, "");
        }
        let verdict = self.admit(net.socks[sock].peer);
        match verdict {
            Ok(()) => self.accepted += 1,
            Err(reason) => {
                self.refused += 1;
                self.ended[CloseReason::Local(reason).index()] += 1;
            }
        }
        self.arriving = Some(Arriving { sock, door: self.listeners[listener], admitted: verdict.is_ok() });
        Ok(())
    }

    fn admit(&mut self, peer: Peer) -> Result<(), LocalReason> {
        let now = self.now;
        if self.present().count() >= self.settings.max_connections {
            self.seen.hit(Situation::RefusedTotal);
            return Err(LocalReason::TooManyConnections);
        }
        if !self.accepts.as_mut().is_none_or(|tokens: &mut Tokens| tokens.take(1, now)) {
            self.seen.hit(Situation::RefusedRate);
            return Err(LocalReason::TooManyAccepts);
        }
        let address = address_of(peer);
        let same = self.present().filter(|conn| address.is_some() && address_of(conn.peer) == address).count();
        match self.settings.max_connections_per_ip {
            Some(limit) if same >= limit as usize => {
                self.seen.hit(Situation::RefusedAddress);
                Err(LocalReason::TooManyFromIp)
            }
            _ => Ok(()),
        }
    }

    /// The peer that was accepted last is known under `id` from here on.
    pub fn name_arriving(&mut self, id: ConnId, net: &Net) -> Verdict {
        if self.conn(id).is_some() {
            return Ok(());
        }
        let Some(arriving) = self.arriving.filter(|arriving| arriving.admitted) else {
            return broken("a connection for a peer that was not admitted", Some(id), "");
        };
        if self.conns.len() <= id.slot() {
            self.conns.resize_with(id.slot() + 1, || None);
        }
        if self.conns[id.slot()].is_some() {
            return broken("a slot was given away twice", Some(id), "");
        }
        let peer = net.socks[arriving.sock].peer;
        self.conns[id.slot()] = Some(Conn::new(id, peer, arriving.door, &self.settings, self.now));
        Ok(())
    }

    pub fn on_attached(&mut self, id: ConnId, sock: usize, net: &Net) -> Verdict {
        self.name_arriving(id, net)?;
        let arriving = self.arriving.take();
        if arriving.is_none_or(|arriving| arriving.sock != sock) {
            return broken("the wrong socket was attached", Some(id), "");
        }
        if let Some(conn) = self.conn(id) {
            conn.sock = Some(sock);
        }
        let freed = self.freed.iter().any(|(slot, at)| *slot == id.slot() && *at == self.now);
        self.seen.hit_if(freed, Situation::SlotReused);
        Ok(())
    }

    pub fn on_dropped(&mut self, sock: usize) -> Verdict {
        match self.arriving.take() {
            Some(arriving) if arriving.sock == sock && !arriving.admitted => Ok(()),
            _ => broken("a peer was turned away that no limit forbids", None, format!("socket {sock}")),
        }
    }

    pub fn on_attach_failed(&mut self, id: ConnId, kind: std::io::ErrorKind, net: &Net) -> Verdict {
        self.name_arriving(id, net)?;
        self.seen.hit(Situation::AttachFailed);
        if let Some(arriving) = self.arriving.as_mut() {
            arriving.admitted = false;
        }
        self.on_failed(id, kind)
    }

    pub fn on_shut_down(&mut self, id: ConnId, net: &Net, gateway: &Gateway<Recorder>) -> Verdict {
        self.settle();
        self.find_untold(id, net, gateway)?;
        self.find_slow(id, net)?;
        let conn = self.known(id)?;
        let flushed = conn.end.is_some_and(|(reason, _)| flushes(reason) || cuts(reason)) && conn.out.is_done();
        if !flushed || conn.shut || conn.peer_ended {
            return broken("our side was shut out of turn", Some(id), format!("owed {}", conn.pending()));
        }
        conn.shut = true;
        Ok(())
    }

    /// Its socket is closed: from here on nothing of it may be left.
    pub fn on_closed(&mut self, id: ConnId, net: &Net, gateway: &Gateway<Recorder>) -> Verdict {
        self.settle();
        self.find_untold(id, net, gateway)?;
        let (now, settings, stopped) = (self.now, self.settings.clone(), self.stopped);
        let conn = self.known(id)?;
        if conn.opened && !conn.told_closed {
            return broken("closed without telling the handler", Some(id), "");
        }
        let Some((reason, at)) = conn.end else {
            return broken("closed without a reason", Some(id), "");
        };
        let owed = conn.pending();
        let gave_up = now >= at + millis(settings.close_timeout);
        let stalled = owed > 0 && now >= conn.progress_at + millis(settings.write_timeout);
        let silent = !flushes(reason) && !cuts(reason);
        let done = conn.failed || stopped || silent || (conn.peer_ended && conn.out.is_done());
        if !(done || gave_up || stalled) {
            return broken("closed before its time", Some(id), format!("{reason} at {at}, owed {owed}"));
        }
        let (shut, failed) = (conn.shut, conn.failed);
        if !failed && owed == 0 && flushes(reason) && !conn.visit.as_ref().is_none_or(|visit| visit.is_satisfied()) {
            return broken("a visitor has not heard all", Some(id), format!("{:?}", conn.visit));
        }
        self.conns[id.slot()] = None;
        self.freed.push((id.slot(), now));
        self.seen.hit_if(!done && owed > 0, Situation::CloseTimedOut);
        self.seen.hit_if(!done && shut && !failed, Situation::LingerTimedOut);
        Ok(())
    }

    /// Takes the ends of connections that were never opened: only counters and phases tell of them.
    pub fn settle_untold(&mut self, net: &Net, gateway: &Gateway<Recorder>) -> Verdict {
        for slot in 0..self.conns.len() {
            if let Some(conn) = self.conns[slot].as_ref().filter(|conn| conn.is_live() && !conn.opened) {
                self.find_untold(conn.id, net, gateway)?;
            }
        }
        Ok(())
    }

    /// As [`Model::find_untold`], for bytes that may be the last words to somebody whose end nobody was told of; or may
    /// not.
    pub fn find_unseen(&mut self, id: ConnId, net: &Net, gateway: &Gateway<Recorder>) {
        let ended = |reason: &CloseReason| self.counted[reason.index()] > self.ended[reason.index()];
        if UNTOLD.iter().any(ended) && self.conn(id).is_some_and(|conn| conn.incoming.is_http()) {
            // If it ends for another reason, that will show.
            let _ = self.find_untold(id, net, gateway);
        }
    }

    /// The end of a slow one may be told after its last byte.
    pub fn find_slow(&mut self, id: ConnId, net: &Net) -> Verdict {
        if self.slow.contains(&id) && self.known(id)?.is_live() {
            self.allow(id, CloseReason::Local(LocalReason::SlowConsumer), net)?;
        }
        Ok(())
    }

    fn find_untold(&mut self, id: ConnId, net: &Net, gateway: &Gateway<Recorder>) -> Verdict {
        if gateway.phase(id).is_some_and(is_live) || self.known(id)?.opened || !self.known(id)?.is_live() {
            return Ok(());
        }
        let mut verdict = broken("ended without a reason", Some(id), "");
        for reason in UNTOLD {
            if self.counted[reason.index()] > self.ended[reason.index()] {
                verdict = self.allow(id, reason, net);
                if verdict.is_ok() {
                    break;
                }
            }
        }
        verdict
    }

    /// Notes how it came to an end that only the gateway could decide.
    pub fn note_end(&mut self, id: ConnId, reason: CloseReason) {
        let (serving, seen) = (self.serving, self.seen.clone());
        let Some(conn) = self.conn(id) else {
            return;
        };
        let undecided = conn.incoming.is_undecided();
        let begun = conn.incoming.is_begun();
        let owed = conn.pending() > 0;
        let by_deadline = match reason {
            CloseReason::Peer(PeerReason::HandshakeTimeout) => Some(match (undecided, begun) {
                (true, false) => Situation::SilentHandshake,
                (true, true) => Situation::UndecidedHandshake,
                (false, _) if conn.asks(Expects::Rest) => Situation::LaterRequestLate,
                (false, true) if conn.incoming.is_http() => Situation::FirstRequestLate,
                (false, false) if conn.incoming.is_http() => Situation::SilentHandshake,
                (false, _) => Situation::DrippedHandshake,
            }),
            CloseReason::Peer(PeerReason::HeartbeatTimeout) if conn.incoming.stream.is_some() => {
                Some(Situation::SilentWebSocket)
            }
            CloseReason::Peer(PeerReason::HeartbeatTimeout) => Some(Situation::HeartbeatMissed),
            CloseReason::Local(LocalReason::IdleTimeout) if conn.incoming.is_http() => Some(Situation::NoMoreRequests),
            CloseReason::Local(LocalReason::IdleTimeout) => Some(Situation::Idle),
            CloseReason::Local(LocalReason::WriteTimeout) => Some(Situation::WriteStalled),
            _ => None,
        };
        seen.hit_if(reason == CloseReason::Local(LocalReason::Draining) && owed, Situation::DrainBlocked);
        seen.hit_if(reason == CloseReason::Local(LocalReason::Stopped) && owed, Situation::StopWaiting);
        seen.hit_if(
            reason == CloseReason::Local(LocalReason::SlowConsumer) && serving == Some(id),
            Situation::SlowInEcho,
        );
        if let Some(situation) = by_deadline {
            seen.hit(situation);
            self.timed_out += 1;
        }
    }
}

/// Whether a connection in this phase has no end yet.
pub fn is_live(phase: Phase) -> bool {
    match phase {
        Phase::Detecting { .. }
        | Phase::Http { .. }
        | Phase::Entering { .. }
        | Phase::Opening { .. }
        | Phase::Open { .. } => true,
        Phase::Flushing { .. } | Phase::Lingering { .. } | Phase::Closed => false,
    }
}
