//! The model's rules for what the reactor does with its sockets: bytes read, bytes written, errors.

use crate::handler::Recorder;
use crate::incoming::{Item, frame};
use crate::journal::Call;
use crate::model::{Model, Verdict, broken, show};
use crate::net::Net;
use crate::seen::Situation;
use crate::websocket::ear::Heard;
use crate::websocket::frames::{PING, from_server};
use crate::websocket::stream::Said;
use tidegate::connection::{CloseReason, LocalReason, PeerReason};
use tidegate::gateway::{ConnId, Gateway};
use tidegate::wire::Wire;

impl Model {
    pub fn on_read(&mut self, id: ConnId, bytes: &[u8], room: usize) -> Verdict {
        self.settle();
        self.on_read_on(id)?;
        let (now, seen) = (self.now, self.seen.clone());
        self.serving = Some(id);
        self.bytes_in += bytes.len() as u64;
        let conn = self.known(id)?;
        // Once where the last turn stopped, and once for an event.
        conn.reads += 1;
        if conn.reads > 2 {
            return broken("one connection is read too often in a turn", Some(id), "");
        }
        if conn.peer_ended {
            return broken("read on after the peer's end", Some(id), "");
        }
        seen.hit_if(bytes.len() == room, Situation::BudgetUsedUp);
        seen.hit_if(conn.unheld_at == now && conn.heard_at < now, Situation::ResumedReading);
        let was_undecided = conn.incoming.is_undecided() && !conn.incoming.tail.is_empty();
        seen.hit_if(conn.last_probe.is_some_and(|at| at >= conn.heard_at), Situation::ProbeFollowed);
        conn.heard_at = now;
        let within_rate = conn.bytes.as_mut().is_none_or(|tokens| tokens.take(bytes.len() as u64, now));
        if !conn.is_live() {
            return Ok(());
        }
        if !within_rate {
            seen.hit(Situation::TooManyBytes);
            self.decide(id, CloseReason::Local(LocalReason::TooManyBytes));
            return Ok(());
        }
        let (reads, was_easy) = (conn.incoming.reads, conn.is_easy() && conn.due.is_empty());
        let was_begun = conn.incoming.is_begun();
        conn.incoming.feed(bytes, &mut conn.due);
        conn.note_ease(was_easy);
        let is_begun = conn.incoming.is_begun() && conn.incoming.wire.is_some();
        let met = conn.incoming.stream.as_mut().map(|stream| std::mem::take(&mut stream.met)).unwrap_or_default();
        let may_be_part = is_begun || was_begun || met.contains(&Situation::Fragmented);
        conn.part_at = if may_be_part { now } else { conn.part_at };
        conn.message_at = if is_begun { now } else { conn.message_at };
        seen.hit_if(reads >= 2 && matches!(conn.due.front(), Some(Item::Message(..))), Situation::ThreeReads);
        seen.hit_if(was_undecided && conn.due.front() == Some(&Item::Opened), Situation::DecidedLate);
        let asked = matches!(conn.due.front(), Some(Item::Said(Said::Request(_) | Said::Upgrade(_))));
        seen.hit_if(reads >= 2 && asked, Situation::RequestInParts);
        let pongs = conn.due.iter().filter(|item| **item == Item::Said(Said::Pong)).count();
        seen.hit_if(pongs > 100, Situation::PongFlood);
        met.into_iter().for_each(|situation| seen.hit(situation));
        Ok(())
    }

    /// The reactor is told of bytes to read, and will not read them while too much of ours waits.
    pub fn on_readable(&mut self, id: ConnId) {
        let (soft, seen) = (self.settings.write_queue_soft_bytes, self.seen.clone());
        if let Some(conn) = self.conn(id) {
            conn.held |= conn.pending() > soft;
            let next = conn.visit.as_ref().and_then(|visit| visit.expected.front());
            seen.hit_if(conn.pending() > soft && matches!(next, Some(Heard::Pong(_))), Situation::PingFloodHeld);
        }
    }

    pub fn on_read_end(&mut self, id: ConnId) -> Verdict {
        self.settle();
        self.on_read_on(id)?;
        let pending = {
            let conn = self.known(id)?;
            conn.peer_ended = true;
            if conn.shut { None } else { Some((conn.pending(), conn.is_live())) }
        };
        self.seen.hit_if(pending.is_none(), Situation::LingerEnded);
        self.seen.hit_if(pending.is_some_and(|(owed, live)| owed > 0 && live), Situation::PeerClosedWaiting);
        self.decide(id, CloseReason::Peer(PeerReason::Closed));
        Ok(())
    }

    pub fn on_failed(&mut self, id: ConnId, kind: std::io::ErrorKind) -> Verdict {
        use std::io::ErrorKind::{BrokenPipe, ConnectionReset};
        let is_direct = matches!(self.inside, Some(Call::Message(own, ..)) if own == id);
        self.seen.hit_if(is_direct, Situation::DirectFailed);
        let conn = self.known(id)?;
        conn.failed = true;
        let reason = match kind {
            ConnectionReset | BrokenPipe => CloseReason::Peer(PeerReason::Reset),
            other => CloseReason::Transport(other),
        };
        self.decide(id, reason);
        self.forget_owed(id);
        Ok(())
    }

    pub fn on_wrote(
        &mut self,
        id: ConnId,
        data: &[u8],
        offered: usize,
        net: &Net,
        gateway: &Gateway<Recorder>,
    ) -> Verdict {
        self.settle();
        self.find_unseen(id, net, gateway);
        let (now, soft, probe) = (self.now, self.settings.write_queue_soft_bytes, self.probe_frame(id));
        let (may_probe, is_slow) = (self.may_probe, self.slow.contains(&id));
        self.bytes_out += data.len() as u64;
        self.note_write(id, offered, data.len());
        let seen = self.seen.clone();
        let conn = self.known(id)?;
        if conn.shut {
            return broken("wrote after our side was shut", Some(id), "");
        }
        seen.hit_if(data.len() < offered, Situation::PartialWrite);
        conn.progress_at = now;
        let before = (is_slow && conn.is_live()).then(|| conn.out.clone());
        let mut written = conn.out.written(data, &probe, may_probe);
        // The end is told after its last words: what does not fit before it must fit behind it.
        if let Some(before) = before.filter(|_| written.is_err()) {
            conn.out = before;
            self.allow(id, CloseReason::Local(LocalReason::SlowConsumer), net)?;
            written = self.known(id)?.out.written(data, &probe, may_probe);
        }
        let conn = self.known(id)?;
        let probes = match written {
            Ok(probes) => probes,
            Err(at) => {
                let what = format!("byte {at} of the stream, in a write of {} bytes: {}", data.len(), show(data));
                return broken("wrote what it did not owe", Some(id), what);
            }
        };
        conn.on_owed(soft, now);
        if let Some(visit) = conn.visit.as_mut().filter(|_| conn.incoming.stream.is_some())
            && let Err(what) = visit.hear(data)
        {
            return broken("a visitor heard what it should not", Some(id), what);
        }
        let inflated = conn.visit.as_mut().is_some_and(|visit| std::mem::take(&mut visit.ear.inflated));
        seen.hit_if(inflated, Situation::Deflated);
        for _ in 0..probes {
            self.on_probed(id)?;
        }
        Ok(())
    }

    /// A probe was found that the gateway has sent now.
    pub fn on_probed(&mut self, id: ConnId) -> Verdict {
        let now = self.now;
        self.probes += 1;
        self.seen.hit(Situation::ProbeSent);
        if self.may_probe == 0 {
            return broken("probed without counting it", Some(id), "");
        }
        self.may_probe -= 1;
        let settings = self.settings.clone();
        let conn = self.known(id)?;
        let from = conn.probe_from(&settings);
        let rule = "probed a peer that was not quiet for long enough";
        conn.last_probe = Some(now);
        conn.awaits_answer = true;
        if now < from { broken(rule, Some(id), format!("at {now}, allowed from {from}")) } else { Ok(()) }
    }

    pub fn probe_frame(&mut self, id: ConnId) -> Vec<u8> {
        let probe = self.settings.heartbeat_probe.clone();
        let wire = self.conn(id).and_then(|conn| conn.incoming.wire);
        if wire == Some(Wire::WebSocket) {
            return from_server(PING, &[]);
        }
        probe.zip(wire).map_or_else(Vec::new, |(probe, wire)| frame(wire, &probe))
    }
}
