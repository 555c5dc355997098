//! How a client's one socket is driven: connected, written to, read from and closed as the client asks.

use crate::customers::Customer;
use crate::knobs::Fault;
use crate::model::{Verdict, broken};
use crate::net::{Happening, Net};
use crate::pipes::{Appetite, Segment, Sock};
use crate::plan::Plan;
use crate::rng::Rng;
use crate::world::Owner;
use std::io::{self, ErrorKind, IoSlice};
use std::time::Duration;
use tidegate::client::{Action, ClientOptions, HeartbeatForm};
use tidegate::gateway::Peer as Address;
use tidegate::timer::Time;

/// Bytes between client and server before the client's socket is full.
const ROOM: usize = 64 << 10;

impl Customer {
    /// Acts on what is due and on whatever the client asks for.
    pub fn on_time(&mut self, net: &mut Net, owners: &mut Vec<Owner>) -> Verdict {
        self.called_at = self.called_at.filter(|at| *at > net.now);
        if let Some((_, result)) = self.connecting.take_if(|(at, _)| *at <= net.now) {
            self.on_decided(net, result);
        }
        self.client.handle_timeout(Time::from_millis(net.now));
        self.pump(net, owners)
    }

    /// Does what the client asks for until it asks for nothing more.
    pub fn pump(&mut self, net: &mut Net, owners: &mut Vec<Owner>) -> Verdict {
        let now = Time::from_millis(net.now);
        let (mut blocked, mut quiet) = (false, 0);
        // A failing write shows in the next round.
        while quiet < 2 {
            quiet += 1;
            while let Some(action) = self.client.poll_action() {
                quiet = 0;
                self.act(action, net, owners)?;
            }
            blocked = self.transmit(net);
            while let Some(event) = self.client.poll_event() {
                self.on_event(event, net.now)?;
            }
            if self.client.poll_timeout().is_some_and(|at| at <= now) {
                quiet = 0;
                self.client.handle_timeout(now);
            }
        }
        self.call_again(net, blocked);
        Ok(())
    }

    /// Lets it write; whether there was no room.
    pub fn transmit(&mut self, net: &mut Net) -> bool {
        let Some(sock) = self.sock else {
            return false;
        };
        let (now, latency, rng) = (Time::from_millis(net.now), self.latency, &mut self.rng);
        let mut blocked = false;
        self.client.poll_transmit(now, |slices| {
            let result = transmit(net, sock, slices, latency, rng);
            blocked |= matches!(&result, Err(error) if error.kind() == ErrorKind::WouldBlock);
            result
        });
        blocked
    }

    pub fn call_again(&mut self, net: &mut Net, blocked: bool) {
        let times = [
            self.client.poll_timeout().map(Time::as_millis),
            self.connecting.map(|(at, _)| at),
            (blocked || self.client.waiting_messages() > 0 && self.client.is_connected()).then_some(net.now + 3),
        ];
        let Some(next) = times.into_iter().flatten().min().map(|at| at.max(net.now)) else {
            return;
        };
        if self.called_at.is_none_or(|at| next < at) {
            self.called_at = Some(next);
            net.enter(next, Happening::Customer(self.which));
        }
    }

    pub fn act(&mut self, action: Action, net: &mut Net, owners: &mut Vec<Owner>) -> Verdict {
        match action {
            Action::CloseSocket => {
                self.connecting = None;
                if let Some(sock) = self.sock.take() {
                    let at = net.now + self.latency;
                    net.socks[sock].deaf = false;
                    if !net.socks[sock].is_over() {
                        net.send(sock, Segment::End, at);
                    }
                    net.vanish(sock);
                }
                Ok(())
            }
            Action::Connect if self.sock.is_some() || self.connecting.is_some() => {
                broken("a client connects before its old socket is closed", None, self.which.to_string())
            }
            Action::Connect if net.now < self.attempt_from => {
                broken("a client comes back early", None, format!("at {}, said {}", net.now, self.attempt_from))
            }
            Action::Connect => {
                self.connect(net, owners);
                Ok(())
            }
        }
    }

    pub fn connect(&mut self, net: &mut Net, owners: &mut Vec<Owner>) {
        let at = net.now + self.latency + 1;
        let calm = net.is_calm;
        let refused = !calm && self.faults.has(Fault::FailAccept) && self.rng.chance(30);
        let swallowed = !calm && self.faults.has(Fault::HalfOpen) && self.rng.chance(10);
        let flaky = if !calm && self.faults.has(Fault::Flaky) { 20 } else { 0 };
        let mut sock = Sock::new(Address::Unix, Appetite::Eager { after: self.latency }, ROOM, flaky);
        // What the server sends waits until the client knows that it is connected.
        sock.deaf = true;
        if !refused && !swallowed {
            self.sock = net.connect(self.listener, sock);
            owners.extend(self.sock.map(|_| Owner::Customer(self.which)));
        }
        self.connecting = match (swallowed, self.sock) {
            (true, _) => Some((u64::MAX, Err(ErrorKind::TimedOut))),
            (false, Some(_)) => Some((at, Ok(()))),
            (false, None) => Some((at, Err(ErrorKind::ConnectionRefused))),
        };
    }

    pub fn on_decided(&mut self, net: &mut Net, result: Result<(), ErrorKind>) {
        let now = Time::from_millis(net.now);
        match result {
            Ok(()) => {
                self.client.handle_connected(now);
                if let Some(sock) = self.sock {
                    net.socks[sock].deaf = false;
                    net.be_hungry(sock);
                    self.look_for_end(net, sock);
                }
            }
            Err(kind) => self.client.handle_connect_failed(kind, now),
        }
    }

    pub fn look_for_end(&mut self, net: &mut Net, sock: usize) {
        let of = &net.socks[sock];
        let ended = (of.shut || of.closed) && of.outbox.is_empty() && !of.deaf;
        if ended && self.connecting.is_none() {
            self.client.handle_closed(Time::from_millis(net.now));
        }
    }

    /// Its connection is reset.
    pub fn on_reset(&mut self, net: &mut Net, loses: bool) {
        if let Some(sock) = self.sock {
            net.reset(sock, loses);
            self.client.handle_error(ErrorKind::ConnectionReset, Time::from_millis(net.now));
        }
    }
}

fn transmit(net: &mut Net, sock: usize, slices: &[IoSlice<'_>], latency: u64, rng: &mut Rng) -> io::Result<usize> {
    let of = &net.socks[sock];
    if of.closed || of.dead {
        return Err(ErrorKind::BrokenPipe.into());
    }
    let waiting: usize = of.in_flight.iter().map(|(_, segment)| segment.len()).sum();
    let offered: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
    let mut room = ROOM.saturating_sub(waiting + of.inbox.len()).min(offered.len());
    if of.flaky > 0 && rng.chance(of.flaky) {
        room = rng.size(0, room);
    }
    if room == 0 && !offered.is_empty() {
        return Err(ErrorKind::WouldBlock.into());
    }
    net.send(sock, Segment::Bytes(offered[..room].to_vec()), net.now + latency);
    Ok(room)
}

/// Times that leave room for the way there and back, and that are no endless series of small steps beside the server's.
pub fn draw_options(rng: &mut Rng, plan: &Plan, latency: u64) -> ClientOptions {
    let millis = Duration::from_millis;
    let step = plan.settings.heartbeat_timeout.as_millis() as u64 / 100;
    let interval = 3 * latency + step + rng.magnitude(20, 20_000);
    let min = step + rng.magnitude(1, 500);
    let max_message_bytes = plan.settings.max_message_bytes;
    let forms = [HeartbeatForm::Lower, HeartbeatForm::Upper, HeartbeatForm::Json, HeartbeatForm::Byte];
    ClientOptions {
        heartbeat_interval: millis(if rng.chance(10) { 0 } else { interval }),
        heartbeat_timeout: millis(interval * 2 + rng.below(interval * 2)),
        missed_limit: rng.within(1, 4) as u32,
        heartbeat_form: rng.pick(&forms),
        connect_timeout: millis(2 * latency + rng.magnitude(10, 2000)),
        backoff_min: millis(min),
        backoff_max: millis(min + rng.magnitude(0, 4000)),
        stable_after: millis(rng.magnitude(0, 10_000)),
        max_tries: rng.chance(10).then(|| rng.within(2, 10) as u32),
        max_message_bytes,
        max_outbox_messages: if rng.chance(30) { rng.size(1, 10) } else { 1024 },
        max_outbox_bytes: (max_message_bytes + 4) * rng.size(1, 20),
        ..ClientOptions::default()
    }
}
