//! The model beside the gateway: follows the journal entry by entry and objects to whatever should not have happened.

use crate::conn::{Conn, Hold, Tokens, cuts, flushes};
use crate::handler::Recorder;
use crate::incoming::{Item, heartbeat_answer};
use crate::journal::{Call, Entry, Journal};
use crate::net::Net;
use crate::seen::{Seen, Situation};
use crate::tally::Tally;
use crate::websocket::serving::Serving;
use std::net::IpAddr;
use tidegate::config::{HeartbeatForms, Settings};
use tidegate::connection::{CloseReason, Compressor, Door, LocalReason, PeerReason};
use tidegate::gateway::{ConnId, Gateway, Peer};
use tidegate::wire::http::HttpDate;
use tidegate::wire::{HTTP_REFUSAL, TLS_REFUSAL};

/// A broken rule.
#[derive(Debug, Clone)]
pub struct Violation {
    pub rule: &'static str,
    pub detail: String,
    pub conn: Option<ConnId>,
}

pub type Verdict = Result<(), Violation>;

pub fn broken<T>(rule: &'static str, conn: Option<ConnId>, detail: impl Into<String>) -> Result<T, Violation> {
    Err(Violation { rule, detail: detail.into(), conn })
}

/// A peer that was accepted and has no id yet.
#[derive(Debug, Clone, Copy)]
pub struct Arriving {
    pub sock: usize,
    pub door: Door,
    pub admitted: bool,
}

pub struct Model {
    pub settings: Settings,
    pub listeners: Vec<Door>,
    pub seen: Seen,
    pub now: u64,
    /// By slot.
    pub conns: Vec<Option<Conn>>,
    pub arriving: Option<Arriving>,
    pub accepts: Option<Tokens>,
    pub serving: Option<ConnId>,
    pub inside: Option<Call>,
    /// Opened connections that this journal says are slow consumers.
    pub slow: Vec<ConnId>,
    /// Those that it says sent too large a message.
    pub too_large: Vec<ConnId>,
    /// Connections that should have got a broadcast, did not, and hence must have ended by the end of the call.
    pub must_end: Vec<ConnId>,
    pub timers: Vec<(u64, u64)>,
    pub drain: Option<Drain>,
    pub stopped: bool,
    pub accepted: u64,
    pub refused: u64,
    pub panics: u64,
    pub probes: u64,
    pub requests: u64,
    pub opened: u64,
    /// What the handler is asked about now.
    pub asked: Serving,
    pub compressor: Compressor,
    pub date: HttpDate,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub tally: Tally,
    /// Slots written to since the last broadcast, and how many it went to.
    pub walk: Vec<usize>,
    pub walkers: usize,
    /// By the index of the reason.
    pub ended: Vec<u64>,
    /// What the gateway has counted so far.
    pub counted: Vec<u64>,
    /// Probes the gateway has counted and the model has not found.
    pub may_probe: usize,
    /// What peers answer to the probe, where that is a known form.
    pub probe_answer: Option<Vec<u8>>,
    /// Connections that may have been probed in this turn and are past telling.
    pub lost_probes: usize,
    /// Ends in this turn that a deadline brought.
    pub timed_out: usize,
    pub late_turns: u32,
    /// Slots freed at this very moment.
    pub freed: Vec<(usize, u64)>,
}

#[derive(Debug, Clone, Copy)]
pub struct Drain {
    pub started: u64,
    pub total: usize,
    pub told: usize,
}

impl Model {
    pub fn new(settings: Settings, listeners: Vec<Door>, seen: Seen, now: u64) -> Self {
        Self {
            probe_answer: settings
                .heartbeat_probe
                .as_deref()
                .and_then(|probe| heartbeat_answer(probe, HeartbeatForms::ALL))
                .map(<[u8]>::to_vec),
            accepts: settings.max_accepts_per_second.map(|rate| Tokens::new(rate, now)),
            settings,
            listeners,
            seen,
            now,
            conns: Vec::new(),
            arriving: None,
            serving: None,
            inside: None,
            slow: Vec::new(),
            too_large: Vec::new(),
            must_end: Vec::new(),
            timers: Vec::new(),
            drain: None,
            stopped: false,
            accepted: 0,
            refused: 0,
            panics: 0,
            probes: 0,
            requests: 0,
            opened: 0,
            asked: Serving::default(),
            compressor: Compressor::default(),
            date: HttpDate::new(),
            bytes_in: 0,
            bytes_out: 0,
            tally: Tally::default(),
            walk: Vec::new(),
            walkers: 0,
            ended: vec![0; CloseReason::KINDS],
            counted: vec![0; CloseReason::KINDS],
            may_probe: 0,
            lost_probes: 0,
            timed_out: 0,
            late_turns: 0,
            freed: Vec::new(),
        }
    }

    pub fn begin_drain(&mut self, total: usize) {
        self.drain = Some(Drain { started: self.now, total, told: 0 });
    }

    pub fn conn(&mut self, id: ConnId) -> Option<&mut Conn> {
        self.conns.get_mut(id.slot())?.as_mut().filter(|conn| conn.id == id)
    }

    pub fn present(&self) -> impl Iterator<Item = &Conn> {
        self.conns.iter().flatten()
    }

    /// What the gateway has counted, for ends that nobody else is told of.
    fn observe(&mut self, gateway: &Gateway<Recorder>) {
        self.counted.clone_from(&gateway.counters().closed);
        self.may_probe = (gateway.counters().probes_sent - self.probes) as usize;
    }

    /// The reactor serves its deadlines next.
    pub fn mark(&mut self) {
        self.timed_out = 0;
        for conn in self.conns.iter_mut().flatten() {
            conn.out.mark();
            conn.reads = 0;
        }
    }

    /// Follows one call of the reactor.
    pub fn digest(&mut self, journal: &Journal, net: &Net, gateway: &Gateway<Recorder>) -> Verdict {
        self.observe(gateway);
        self.slow.clear();
        self.too_large.clear();
        self.conns.iter_mut().flatten().for_each(|conn| conn.peak = conn.pending());
        for entry in &journal.entries {
            if let Entry::Enter(Call::Ended(id, CloseReason::Local(LocalReason::SlowConsumer))) = entry {
                self.slow.push(*id);
            }
            if let Entry::Enter(Call::Ended(id, CloseReason::Peer(PeerReason::MessageTooLarge))) = entry {
                self.too_large.push(*id);
            }
        }
        for entry in &journal.entries {
            self.follow(entry, journal, net, gateway)?;
        }
        self.settle();
        self.finish(net, gateway)
    }

    fn follow(&mut self, entry: &Entry, journal: &Journal, net: &Net, gateway: &Gateway<Recorder>) -> Verdict {
        match entry {
            Entry::Accepted { listener, sock } => self.on_accepted(*listener, *sock, net),
            Entry::AcceptFailed { .. } => Ok(()),
            Entry::Dropped { sock } => self.on_dropped(*sock),
            Entry::Attached { id, sock } => self.on_attached(*id, *sock, net),
            Entry::AttachFailed { id, kind } => self.on_attach_failed(*id, *kind, net),
            Entry::Read { id, data, room } => self.on_read(*id, &journal.bytes[data.clone()], *room),
            Entry::ReadEnd { id } => self.on_read_end(*id),
            Entry::ReadFailed { id, kind } if *kind == std::io::ErrorKind::Interrupted => {
                self.seen.hit(Situation::InterruptedRead);
                self.known(*id).map(|_| ())
            }
            Entry::ReadFailed { id, kind } => self.on_failed(*id, *kind),
            Entry::WriteFailed { id, kind } => {
                self.settle();
                self.find_unseen(*id, net, gateway);
                self.find_slow(*id, net)?;
                self.seen.hit(Situation::WriteFailed);
                self.on_failed(*id, *kind)
            }
            Entry::Wrote { id, data, offered } => {
                self.on_wrote(*id, &journal.bytes[data.clone()], *offered, net, gateway)
            }
            Entry::Blocked { id, offered } => {
                self.settle();
                self.note_write(*id, *offered, 0);
                Ok(())
            }
            Entry::ShutDown { id } => self.on_shut_down(*id, net, gateway),
            Entry::Closed { id } => self.on_closed(*id, net, gateway),
            Entry::Enter(call) => self.on_enter(call, journal, net),
            Entry::Did(act) => self.on_act(act, journal),
            Entry::Return => {
                self.inside = None;
                self.on_returned()
            }
            Entry::Misuse(what, id) => broken("a socket was misused", Some(*id), *what),
        }
    }

    pub fn known(&mut self, id: ConnId) -> Result<&mut Conn, Violation> {
        match self.conn(id) {
            Some(conn) => Ok(conn),
            None => broken("an id without a connection was used", Some(id), ""),
        }
    }

    /// Takes what needs no handler off the front of what the connection being served has sent.
    pub fn settle(&mut self) {
        if self.inside.is_some() {
            return;
        }
        let Some(id) = self.serving else {
            return;
        };
        while self.conn(id).is_some_and(|conn| conn.hold == Hold::None) && self.settle_one(id) {}
    }

    fn settle_one(&mut self, id: ConnId) -> bool {
        let now = self.now;
        let is_slow = self.slow.contains(&id);
        let Some(item) = self.conn(id).and_then(|conn| conn.due.front().cloned()) else {
            return false;
        };
        match item {
            Item::Opened => return false,
            Item::Message(body, kind) => {
                let (answer, answers_probe) = self.answers(id, &body);
                let Some(conn) = self.conn(id) else {
                    return false;
                };
                if !conn.messages.as_mut().is_none_or(|tokens| tokens.has(1, now)) && !is_slow {
                    self.count_message();
                    self.seen.hit(Situation::TooManyMessages);
                    self.decide(id, CloseReason::Local(LocalReason::TooManyMessages));
                    return false;
                }
                if answer.is_none() && !answers_probe {
                    return false;
                }
                conn.spend_message(now);
                conn.awaits_answer &= !answers_probe;
                conn.beat |= !answers_probe;
                conn.first_done = true;
                conn.due.pop_front();
                self.seen.hit_if(answers_probe, Situation::ProbeAnswered);
                match answer {
                    Some(answer) => {
                        self.count_heartbeat(id);
                        self.owe(id, answer, kind);
                    }
                    None => self.count_answer(id, answers_probe),
                }
            }
            Item::Said(said) => return self.settle_said(id, &said, is_slow),
            _ if is_slow => return false,
            Item::TooLarge => self.refuse(id, PeerReason::MessageTooLarge, b"", Situation::TooLarge),
            Item::Http => self.refuse(id, PeerReason::HttpNotServed, HTTP_REFUSAL, Situation::Http),
            Item::Tls => self.refuse(id, PeerReason::TlsNotServed, TLS_REFUSAL, Situation::Tls),
        }
        true
    }

    fn refuse(&mut self, id: ConnId, reason: PeerReason, answer: &[u8], situation: Situation) {
        let (now, soft) = (self.now, self.settings.write_queue_soft_bytes);
        self.seen.hit(situation);
        if let Some(conn) = self.conn(id) {
            if conn.pending() == 0 {
                conn.progress_at = now;
            }
            conn.out.push(answer.into());
            conn.on_owed(soft, now);
        }
        self.decide(id, CloseReason::Peer(reason));
    }

    /// The end of a connection, unless it has one.
    pub fn decide(&mut self, id: ConnId, reason: CloseReason) {
        if cuts(reason) {
            self.cut(id);
        }
        if flushes(reason) || cuts(reason) {
            self.tell_end(id, reason);
        }
        self.end(id, reason);
    }

    /// The end of a connection, whatever its peer is told of it.
    pub fn end(&mut self, id: ConnId, reason: CloseReason) {
        let now = self.now;
        let Some(conn) = self.conn(id).filter(|conn| conn.is_live()) else {
            return;
        };
        conn.end = Some((reason, now));
        let was_held = std::mem::replace(&mut conn.hold, Hold::None) != Hold::None;
        conn.due.clear();
        conn.incoming.stop();
        self.ended[reason.index()] += 1;
        self.seen.hit_if(was_held, Situation::PausedEnded);
        if !flushes(reason) && !cuts(reason) {
            self.forget_owed(id);
        }
    }

    /// What was owed to a live connection is dropped, but for what has begun to leave: how much that is will show.
    fn cut(&mut self, id: ConnId) {
        let (now, settings) = (self.now, self.settings.clone());
        self.note_dropped(id);
        if let Some(conn) = self.conn(id).filter(|conn| conn.is_live()) {
            conn.out.cut();
            conn.progress_at = now;
            conn.visit.iter_mut().for_each(|visit| visit.is_cut = true);
            let may_be_probed = now >= conn.probe_from(&settings);
            self.lost_probes += usize::from(may_be_probed);
        }
    }

    /// What was owed to a connection will never be written; a probe of this turn may be part of it.
    pub fn forget_owed(&mut self, id: ConnId) {
        let (now, settings) = (self.now, self.settings.clone());
        if let Some(conn) = self.conn(id) {
            conn.out.clear();
            conn.visit.iter_mut().for_each(|visit| visit.expected.clear());
            let may_be_probed = now >= conn.probe_from(&settings);
            self.lost_probes += usize::from(may_be_probed);
        }
    }

    /// Nobody is served any more: nothing is left but what came behind a pause.
    pub fn finish_serving(&mut self) -> Verdict {
        let Some(id) = self.serving.take() else {
            return Ok(());
        };
        let now = self.now;
        let Some(conn) = self.conn(id) else {
            return Ok(());
        };
        if let Some(item) = conn.due.front().filter(|_| conn.hold == Hold::None) {
            return broken("a message was not handed on", Some(id), format!("{item:?}"));
        }
        if conn.incoming.is_http() && conn.incoming.is_begun() {
            conn.visit.iter_mut().for_each(|visit| visit.on_begun(now));
        }
        Ok(())
    }

    fn finish(&mut self, net: &Net, gateway: &Gateway<Recorder>) -> Verdict {
        self.finish_serving()?;
        self.settle_untold(net, gateway)?;
        while let Some(id) = self.must_end.pop() {
            if self.conn(id).is_some_and(|conn| conn.is_live()) {
                return broken("a message was not taken for an open connection", Some(id), "");
            }
        }
        if self.arriving.take().is_some_and(|arriving| arriving.admitted) {
            return broken("an admitted peer got no connection", None, "");
        }
        Ok(())
    }
}

/// Bytes as people read them, not too many.
pub fn show(bytes: &[u8]) -> String {
    let end = if bytes.len() > 48 { "..." } else { "" };
    format!("{} bytes \"{}{end}\"", bytes.len(), bytes[..bytes.len().min(48)].escape_ascii())
}

/// Where a peer counts against the limit of its address.
pub fn address_of(peer: Peer) -> Option<(bool, u128)> {
    match peer {
        Peer::Tcp(address) => Some(match address.ip().to_canonical() {
            IpAddr::V4(v4) => (false, u128::from(v4.to_bits())),
            IpAddr::V6(v6) => (true, v6.to_bits() >> 64),
        }),
        Peer::Unix => None,
    }
}
