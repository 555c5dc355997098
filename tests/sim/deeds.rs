//! What each event of a plan does to the world.

use crate::customers::Customer;
use crate::handler::Order;
use crate::knobs::Fault;
use crate::model::Verdict;
use crate::peers::{FORMS, Peer};
use crate::pipes::{Ready, Segment};
use crate::plan::{Action, Deed};
use crate::rng::Rng;
use crate::seen::Situation;
use crate::world::{Owner, World};
use std::io::ErrorKind;
use tidegate::connection::LocalReason;
use tidegate::timer::Time;
use tidegate::wire::Wire;

/// More than one read takes, several times over.
const BURST: usize = 160 << 10;
const BURST_MESSAGES: usize = 8000;

impl World<'_> {
    pub fn act(&mut self, action: &Action) -> Verdict {
        match action.deed {
            Deed::Nothing => Ok(()),
            Deed::Wait => self.wait(),
            Deed::Jump => self.jump_ahead(),
            Deed::Task => self.run_task(),
            Deed::Stale => self.tell_stale(),
            Deed::Drain => self.begin_drain(),
            Deed::Spurious => self.tell_spurious(),
            Deed::Crowd => {
                for _ in 0..self.rng.size(3, 40) {
                    self.seat_stranger();
                }
                Ok(())
            }
            Deed::FailAttach | Deed::FailAccept | Deed::Descriptors => {
                self.fail_door(action.deed);
                Ok(())
            }
            Deed::Http | Deed::Tls | Deed::Hesitate => {
                self.come_hostile(action.deed);
                Ok(())
            }
            Deed::BadBid => {
                self.come_as_intruder();
                Ok(())
            }
            deed if action.chair < self.plan.clients => self.act_as_customer(action.chair, deed),
            deed => {
                self.act_at(action.chair, deed);
                Ok(())
            }
        }
    }

    /// Whoever sits at a chair does something; a new peer where nobody does.
    fn act_at(&mut self, chair: usize, deed: Deed) {
        let seated = self.chairs[chair].filter(|sock| !self.net.borrow().socks[*sock].is_over());
        let sock = match seated {
            Some(sock) => sock,
            None => {
                self.chairs[chair] = self.seat_stranger();
                match self.chairs[chair] {
                    Some(sock) => sock,
                    None => return,
                }
            }
        };
        match deed {
            Deed::Ask | Deed::Control | Deed::Flood | Deed::Fragments | Deed::Violate | Deed::Goodbye => {
                if !self.act_as_visitor(sock, deed) {
                    self.say_some(sock);
                }
            }
            Deed::Say => self.say_some(sock),
            Deed::SayPart => self.say_part(sock),
            Deed::SayRest => self.say_rest(sock),
            Deed::Beat => {
                let form = self.rng.pick(&FORMS);
                self.say_whole(sock, form);
            }
            Deed::Burst => self.burst(sock),
            Deed::Order => self.give_order(sock),
            Deed::Oversize | Deed::Noise => self.be_hostile(sock, deed),
            _ => self.break_line(sock, deed),
        }
    }

    /// A reconnecting client at this chair does something, a new one where the last has ended.
    fn act_as_customer(&mut self, chair: usize, deed: Deed) -> Verdict {
        let ended = |which: &usize| self.customers[*which].client.is_ended();
        let which = match self.chairs[chair].filter(|which| !ended(which)) {
            Some(which) => which,
            None => {
                let which = self.customers.len();
                let seen = self.seen.clone();
                self.customers.push(Customer::new(self.plan, which, &mut self.rng, seen, self.now));
                self.chairs[chair] = Some(which);
                which
            }
        };
        let most = self.most().min(5000) as u64;
        let net = &mut *self.net.borrow_mut();
        let customer = &mut self.customers[which];
        match (deed, customer.sock) {
            (Deed::Reset, _) => customer.on_reset(net, self.rng.chance(50)),
            (Deed::Vanish | Deed::End, _) => {
                customer.client.stop();
                self.seen.hit(Situation::ClientStopped);
            }
            (Deed::Mute, Some(sock)) => net.socks[sock].mute = true,
            (Deed::Deaf, Some(sock)) => net.socks[sock].deaf = true,
            (Deed::Thaw, Some(sock)) if customer.client.is_connected() => net.thaw(sock),
            (Deed::FailWrite, Some(sock)) => net.socks[sock].fail_write = Some((1, ErrorKind::TimedOut)),
            _ => {
                for _ in 0..self.rng.size(1, 4) {
                    customer.say(self.rng.magnitude(0, most) as usize);
                }
            }
        }
        customer.pump(net, &mut self.owners)
    }

    /// A new peer at some listener.
    fn seat_stranger(&mut self) -> Option<usize> {
        let sock = self.seat_silent()?;
        if self.rng.chance(40) {
            self.say_some(sock);
        }
        Some(sock)
    }

    fn seat_silent(&mut self) -> Option<usize> {
        let listener = self.rng.size(0, self.plan.listeners.len() - 1);
        let (plan, rng) = (self.plan, &mut self.rng);
        let (peer, sock) = Peer::draw(rng, plan.faults, &plan.settings, plan.listeners[listener]);
        self.seat(listener, peer, sock)
    }

    /// A peer whose very first bytes are of another protocol, or may become so.
    fn come_hostile(&mut self, deed: Deed) {
        let Some(sock) = self.seat_silent() else {
            return;
        };
        self.with_peer(sock, |peer, net, rng| {
            let request = b"GET /index.html HTTP/1.1\r\nHost: example.org\r\n\r\n";
            let begun = rng.size(1, 3);
            match deed {
                Deed::Http => peer.send(net, request, rng),
                Deed::Tls => peer.send(net, &[0x16, 3, 1, 0, 200, 1, 0, 0, 196], rng),
                _ => {
                    peer.send(net, &request[..begun], rng);
                    peer.beat = None;
                    let rest = if rng.chance(50) { request[begun..].to_vec() } else { b"O\n".to_vec() };
                    if rng.chance(50) {
                        net.send(sock, Segment::Bytes(rest), net.now + rng.below(50));
                    }
                }
            }
        });
    }

    fn most(&self) -> usize {
        self.plan.settings.max_message_bytes.min(20_000)
    }

    fn compose(&mut self, sock: usize) -> Vec<u8> {
        let most = self.most();
        match &mut self.owners[sock] {
            Owner::Script(peer) => peer.compose(most, &mut self.rng),
            Owner::Customer(_) => Vec::new(),
        }
    }

    /// A few messages and heartbeats, in one go or one by one.
    fn say_some(&mut self, sock: usize) {
        self.say_rest(sock);
        let mut bytes = Vec::new();
        for _ in 0..self.rng.size(1, 4) {
            let body = if self.rng.chance(20) { self.rng.pick(&FORMS).to_vec() } else { self.compose(sock) };
            self.with_peer(sock, |peer, _, rng| bytes.extend(peer.frame(&body, rng)));
        }
        self.with_peer(sock, |peer, net, rng| peer.send(net, &bytes, rng));
    }

    fn say_whole(&mut self, sock: usize, body: &[u8]) {
        self.say_rest(sock);
        self.say(sock, body);
    }

    fn say_part(&mut self, sock: usize) {
        self.say_rest(sock);
        let body = self.compose(sock);
        self.with_peer(sock, |peer, net, rng| {
            let mut bytes = peer.frame(&body, rng);
            let last = bytes.len().saturating_sub(1);
            let rest = bytes.split_off(if rng.chance(15) { last } else { rng.size(0, bytes.len()) });
            peer.send(net, &bytes, rng);
            peer.rest = rest;
        });
    }

    /// What was cut off follows, all of it or a little.
    fn say_rest(&mut self, sock: usize) {
        self.with_peer(sock, |peer, net, rng| {
            let bytes = std::mem::take(&mut peer.rest);
            peer.send(net, &bytes, rng);
        });
    }

    fn burst(&mut self, sock: usize) {
        self.say_rest(sock);
        let mut bytes = Vec::new();
        let small = self.rng.chance(30);
        for _ in 0..BURST_MESSAGES {
            if bytes.len() >= BURST {
                break;
            }
            let body = if small { FORMS[bytes.len() % 4].to_vec() } else { self.compose(sock) };
            self.with_peer(sock, |peer, _, rng| bytes.extend(peer.frame(&body, rng)));
        }
        self.with_peer(sock, |peer, net, _| {
            if !peer.ended && !net.socks[sock].is_over() {
                net.send(sock, Segment::Bytes(bytes), net.now + peer.latency);
            }
        });
    }

    fn give_order(&mut self, sock: usize) {
        let panics = if self.plan.faults.has(Fault::Panic) { 3 } else { 0 };
        let letters =
            [(1, b'c'), (1, b'u'), (1, b'k'), (panics, b'p'), (2, b't'), (1, b'x'), (3, b'o'), (3, b'm'), (3, b'b')];
        let letter = self.rng.weighted(&letters);
        let mut body = vec![b'!', letter, self.rng.next() as u8];
        let most = self.most().min(2000);
        let fill = self.rng.magnitude(0, most as u64) as usize;
        body.resize(body.len().max(fill), b'.');
        body.truncate(self.plan.settings.max_message_bytes);
        let body = if body.contains(&b'\n') { b"!o1".to_vec() } else { body };
        self.say_whole(sock, &body);
    }

    fn be_hostile(&mut self, sock: usize, deed: Deed) {
        let max = self.plan.settings.max_message_bytes;
        self.with_peer(sock, |peer, net, rng| {
            peer.clean = false;
            let bytes = match deed {
                // In the middle of a request a line end alone breaks it, in a frame anything is part of it.
                _ if peer.visitor.is_some() => [b"\n".to_vec(), noise(rng)].concat(),
                Deed::Oversize if peer.wire == Wire::Length => {
                    let length = rng.pick(&[u32::MAX, max as u32 + 1, 0x1000_0000]);
                    length.to_be_bytes().to_vec()
                }
                Deed::Oversize => vec![b'x'; max + rng.size(1, 3)],
                _ => noise(rng),
            };
            peer.send(net, &bytes, rng);
        });
    }

    fn break_line(&mut self, sock: usize, deed: Deed) {
        let body = self.compose(sock);
        let (loses, writes) = (self.rng.chance(50), self.rng.below(3) as u32);
        let fault = self.rng.pick(&[ErrorKind::TimedOut, ErrorKind::HostUnreachable, ErrorKind::BrokenPipe]);
        self.with_peer(sock, |peer, net, rng| match deed {
            Deed::End => peer.end(net, Segment::End),
            Deed::SayAndEnd => {
                let bytes = [std::mem::take(&mut peer.rest), peer.frame(&body, rng)].concat();
                peer.end(net, Segment::BytesAndEnd(bytes));
            }
            Deed::Vanish => {
                peer.end(net, Segment::End);
                net.vanish(sock);
            }
            Deed::Reset => {
                peer.ended = true;
                net.reset(sock, loses);
            }
            Deed::Mute => net.socks[sock].mute = true,
            Deed::Deaf => net.socks[sock].deaf = true,
            Deed::Thaw => net.thaw(sock),
            Deed::FailWrite => net.socks[sock].fail_write = Some((writes, fault)),
            _ => {}
        });
    }

    fn fail_door(&mut self, deed: Deed) {
        let count = self.rng.size(1, 5);
        let kind = self.rng.pick(&[ErrorKind::Other, ErrorKind::ConnectionAborted, ErrorKind::Interrupted]);
        let free = if self.rng.chance(40) { usize::MAX } else { self.rng.size(0, 6) };
        let net = &mut *self.net.borrow_mut();
        match deed {
            Deed::FailAttach => net.attach_errors.extend([ErrorKind::OutOfMemory]),
            Deed::FailAccept => net.accept_errors.extend(std::iter::repeat_n(kind, count)),
            _ => net.descriptors = free,
        }
    }

    fn wait(&mut self) -> Verdict {
        let settings = &self.plan.settings;
        let waits = [
            settings.heartbeat_interval,
            settings.heartbeat_timeout,
            settings.write_timeout,
            settings.handshake_timeout,
            settings.idle_timeout.unwrap_or_default(),
        ];
        let wait = self.rng.pick(&waits).as_millis() as u64;
        let wait = wait.min(settings.heartbeat_timeout.as_millis() as u64 * 2) + self.rng.below(20);
        self.advance(wait)
    }

    fn jump_ahead(&mut self) -> Verdict {
        let by = self.rng.magnitude(100, 8 * 3_600_000);
        self.jump(by)
    }

    /// Readiness that has no reason.
    fn tell_spurious(&mut self) -> Verdict {
        let ids: Vec<_> = self.model.present().map(|conn| conn.id).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let id = self.rng.pick(&ids);
        let ready = Ready { read: self.rng.chance(70), write: self.rng.chance(70), closed: self.rng.chance(20) };
        self.reactor.begin_turn(self.time());
        self.digest()?;
        self.tell(id, ready)?;
        self.end_turn()
    }

    /// Readiness of a connection that is no more, its slot perhaps used again.
    fn tell_stale(&mut self) -> Verdict {
        if self.old_ids.is_empty() {
            return Ok(());
        }
        let id = self.rng.pick(&self.old_ids);
        let used = self.model.present().any(|conn| conn.id.slot() == id.slot());
        self.seen.hit_if(used, Situation::StaleEvent);
        self.tell(id, Ready { read: true, write: true, closed: true })?;
        self.end_turn()
    }

    fn run_task(&mut self) -> Verdict {
        let handler = self.reactor.gateway().handler();
        let ids = [handler.open.as_slice(), handler.past.as_slice()].concat();
        let most = self.most() as u64;
        let body = vec![b'T'; self.rng.magnitude(0, most.min(3000)) as usize];
        let reasons = [
            LocalReason::Normal,
            LocalReason::Kicked,
            LocalReason::Replaced,
            LocalReason::SlowConsumer,
            LocalReason::Stopped,
        ];
        let (prepared, reason, wait) = (self.rng.chance(50), self.rng.pick(&reasons), self.rng.below(300));
        let except = ids.first().copied().filter(|_| self.rng.chance(50));
        let choice = self.rng.below(12);
        if self.plan.habits.pauses.is_some() && !ids.is_empty() && self.rng.chance(40) {
            let (id, watches) = (self.rng.pick(&ids), self.rng.chance(30));
            return self.order(if watches { Order::Watch { id } } else { Order::Offer { to: id, body } });
        }
        let order = match choice {
            0..=3 if !ids.is_empty() => Order::Send { to: self.rng.pick(&ids), body, prepared },
            4 if !ids.is_empty() => Order::Close { id: self.rng.pick(&ids), reason },
            5 => Order::Arm { wait },
            6 => Order::Cancel,
            7 if self.plan.faults.has(Fault::Panic) => Order::Panic,
            8 if self.rng.chance(30) => Order::Volley { times: self.rng.size(2, 100), body },
            _ => Order::Broadcast { except, body },
        };
        self.order(order)
    }

    /// As the loop does it: nobody is accepted any more, then the closes are spread.
    pub fn begin_drain(&mut self) -> Verdict {
        if self.model.drain.is_some() {
            return Ok(());
        }
        self.reactor.clear_listeners();
        self.net.borrow_mut().stop_listening();
        let total = self.reactor.gateway().connection_count();
        self.model.begin_drain(total);
        let now = Time::from_millis(self.now);
        self.reactor.gateway_mut().begin_drain(now);
        self.end_turn()
    }
}

fn noise(rng: &mut Rng) -> Vec<u8> {
    let length = rng.magnitude(1, 300);
    let from = [b'G', b'E', b'T', b' ', b'P', b'U', b'\n', b'\r', 0, 1, 0x16, 0xff, b'a', b'{'];
    (0..length).map(|_| rng.pick(&from)).collect()
}
