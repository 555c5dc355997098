//! Peers who come for others: whom to believe, and whom to count.

use super::admission::Peer;
use super::core::Core;
use super::handler::Handler;
use super::id::ConnId;
use super::machine::Gateway;
use crate::connection::{CloseReason, Door, LocalReason};
use crate::timer::Time;
use crate::wire::proxy::Proxied;

impl<H: Handler> Gateway<H> {
    /// A proxy has told who connects.
    pub(super) fn on_proxied(&mut self, id: ConnId, proxied: Proxied, now: Time) {
        match proxied {
            Proxied::Address(address) => {
                if let Err(reason) = self.core.rename(id, Peer::Tcp(address)) {
                    self.core.close(id, CloseReason::Local(reason), now);
                }
            }
            // The proxy speaks for itself, as in a health check.
            Proxied::Unknown => {}
        }
        let is_open = self.core.slots.get(id).is_some_and(|slot| slot.connection.wire().is_some());
        if is_open {
            self.open(id, now);
        }
        self.core.rearm(id);
    }
}

impl Core {
    /// Whether this peer comes for others, whose address it will tell.
    pub(super) fn speaks_for_others(&self, peer: Peer, door: Door) -> bool {
        door.proxy || (self.settings.forwarded_hops > 0 && self.trusts(peer))
    }

    /// Whether this peer is believed when it says for whom it speaks. A process of this machine is.
    pub(super) fn trusts(&self, peer: Peer) -> bool {
        match peer {
            Peer::Tcp(address) => self.settings.trusted_proxies.iter().any(|network| network.contains(address.ip())),
            Peer::Unix => true,
        }
    }

    /// Notes who is really at the other end, if there may be one more of them.
    pub(super) fn rename(&mut self, id: ConnId, peer: Peer) -> Result<(), LocalReason> {
        let Some(slot) = self.slots.get_mut(id).filter(|slot| slot.peer != peer || !slot.is_counted) else {
            return Ok(());
        };
        if std::mem::take(&mut slot.is_counted) {
            self.admission.leave(slot.peer);
        }
        slot.peer = peer;
        self.admission.count(peer)?;
        slot.is_counted = true;
        Ok(())
    }
}
