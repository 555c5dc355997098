//! Who comes: admitted under the limits, or refused, and given a slot.

use super::admission::Peer;
use super::core::{Core, Reading, Slot, Watch};
use super::handler::Handler;
use super::id::ConnId;
use super::machine::Gateway;
use crate::connection::{Bucket, CloseReason, Connection, Door, LocalReason, RateLimiter, Start};
use crate::timer::Time;

impl<H: Handler> Gateway<H> {
    /// Admits a connection, or says which limit it met; then its socket is to be closed.
    pub fn handle_accepted(&mut self, peer: Peer, door: impl Into<Door>, now: Time) -> Result<ConnId, CloseReason> {
        let door = door.into();
        let core = &mut self.core;
        let speaks_for_others = core.speaks_for_others(peer, door);
        let admitted = if door.proxy && !core.trusts(peer) {
            Err(LocalReason::UntrustedProxy)
        } else {
            core.admission.admit(peer, !speaks_for_others, core.slots.len(), now)
        };
        if let Err(reason) = admitted.map_err(CloseReason::Local) {
            core.log_refusal(peer, reason, now);
            return Err(reason);
        }
        core.counters.accepted += 1;
        let connection = core.new_connection(door, now);
        let opens = connection.wire().is_some();
        let slot = Slot {
            connection,
            peer,
            is_counted: !speaks_for_others,
            opened_at_secs: u32::try_from(now.as_millis() / 1000).unwrap_or(u32::MAX),
            opened: false,
            watch: Watch::Off,
            dirty: false,
            reading: Reading::OnEvent,
            reads_to_end: false,
            peer_ended: false,
            encrypted: false,
            run: None,
        };
        let id = core.slots.insert(slot);
        core.rearm(id);
        if opens {
            self.open(id, now);
            self.deliver_ended(now);
        }
        Ok(id)
    }
}

impl Core {
    fn new_connection(&mut self, door: Door, now: Time) -> Connection {
        let Self { settings, habits, .. } = self;
        let interval = settings.heartbeat_interval;
        let rate = (settings.max_messages_per_second.is_some() || settings.max_bytes_per_second.is_some()).then(|| {
            Box::new(RateLimiter {
                messages: settings.max_messages_per_second.map(|rate| Bucket::new(rate, now)),
                bytes: settings.max_bytes_per_second.map(|rate| Bucket::new(rate, now)),
            })
        });
        let first_quiet = self.jitter.within(interval / 2, interval);
        Connection::new(Start {
            door,
            now,
            first_quiet,
            rate,
            admits: habits.admits,
            handler_asks: habits.pings,
            settings,
        })
    }
}
