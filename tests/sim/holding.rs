//! The model's rules for connections that are paused, and for queues that drain.

use crate::conn::Hold;
use crate::journal::Call;
use crate::model::{Model, Verdict, broken};
use crate::seen::Situation;
use tidegate::connection::{CloseReason, LocalReason, PeerReason};
use tidegate::gateway::{ConnId, Offer};
use tidegate::timer::Time;
use tidegate::wire::Kind;

impl Model {
    pub fn on_pause(&mut self, id: ConnId, live: bool) -> Verdict {
        self.note_end_of_ease(id, Situation::EaseThenPause);
        match self.conn(id).filter(|conn| conn.takes_messages()) {
            Some(conn) => conn.hold = Hold::Paused,
            None if live => return broken("a paused connection is not known", Some(id), ""),
            None => {}
        }
        Ok(())
    }

    pub fn on_resume(&mut self, id: ConnId) -> Verdict {
        let now = self.now;
        if let Some(conn) = self.conn(id).filter(|conn| conn.is_live() && conn.hold == Hold::Paused) {
            conn.hold = Hold::Resumed;
            (conn.unheld_at, conn.silent_from) = (now, now);
        }
        Ok(())
    }

    /// The handler hears of a connection that goes on: it is its turn from here on.
    pub fn turn_to(&mut self, call: &Call) -> Verdict {
        let id = match call {
            Call::Message(id, ..) => *id,
            // Only these ends can come from what it has sent.
            Call::Ended(id, CloseReason::Peer(PeerReason::MessageTooLarge))
            | Call::Ended(id, CloseReason::Local(LocalReason::TooManyMessages)) => *id,
            _ => return Ok(()),
        };
        if self.conn(id).is_some_and(|conn| conn.hold == Hold::Resumed) {
            self.settle();
            self.finish_serving()?;
            self.go_on(id);
        }
        Ok(())
    }

    /// What the connection had sent before is handled from here on.
    fn go_on(&mut self, id: ConnId) {
        if let Some(conn) = self.conn(id) {
            conn.hold = Hold::None;
            let waits = !conn.due.is_empty();
            self.seen.hit_if(waits, Situation::RestHandled);
        }
        self.serving = Some(id);
    }

    /// It is read from: what came before must have been handled.
    pub fn on_read_on(&mut self, id: ConnId) -> Verdict {
        let hold = self.known(id)?.hold;
        if hold == Hold::Paused {
            return broken("read from a paused connection", Some(id), "");
        }
        if hold == Hold::Resumed {
            self.finish_serving()?;
            self.go_on(id);
            self.settle();
            self.finish_serving()?;
        }
        Ok(())
    }

    /// A turn is over: whoever was let go has gone on, and whoever was to be told was told.
    pub fn check_holds(&mut self, poll: Option<Time>) -> Verdict {
        let at_once = poll.is_some_and(|at| at.as_millis() <= self.now);
        for slot in 0..self.conns.len() {
            let Some((id, hold)) = self.conns[slot].as_ref().map(|conn| (conn.id, conn.hold)) else {
                continue;
            };
            if hold == Hold::Resumed {
                self.go_on(id);
                self.settle();
                self.finish_serving()?;
            }
            let conn = self.known(id)?;
            if conn.watched && conn.takes_messages() && conn.pending() == 0 && !at_once {
                return broken("nobody was told of a drained queue", Some(id), "");
            }
        }
        Ok(())
    }

    pub fn on_offer(&mut self, to: ConnId, body: &[u8], kind: Kind, waiting: usize, offer: Offer) -> Verdict {
        let (soft, hard) = (self.settings.write_queue_soft_bytes, self.settings.write_queue_hard_bytes);
        let too_large = body.len() + 16 > hard;
        let conn = self.conn(to).filter(|conn| conn.takes_messages());
        let owed = conn.as_ref().map(|conn| conn.pending());
        let fits = waiting <= soft && waiting + body.len() + 16 <= hard;
        match (offer, owed) {
            (Offer::Gone, None) => {}
            (Offer::Gone, Some(_)) if too_large => {}
            (Offer::Gone, Some(_)) => self.must_end.push(to),
            (Offer::Sent, Some(owed)) if fits && owed == waiting => {
                self.count_sent(to);
                self.owe(to, body, kind);
            }
            (Offer::Full, Some(owed)) if !fits && owed == waiting && !too_large => {
                self.seen.hit(Situation::OfferFull);
                self.known(to)?.watched = true;
            }
            _ => {
                let what = format!("{offer:?} where {waiting} wait and {owed:?} are owed");
                return broken("an offer went wrong", Some(to), what);
            }
        }
        Ok(())
    }

    pub fn on_watch(&mut self, id: ConnId, live: bool) -> Verdict {
        if let Some(conn) = self.conn(id).filter(|_| live) {
            conn.watched = true;
        }
        Ok(())
    }

    pub fn on_drained(&mut self, id: ConnId) -> Verdict {
        let half = self.settings.write_queue_soft_bytes / 2;
        self.seen.hit(Situation::DrainedTold);
        let conn = self.known(id)?;
        let told = std::mem::take(&mut conn.watched) && conn.takes_messages() && conn.pending() <= half;
        if told { Ok(()) } else { broken("told of a queue that has not drained", Some(id), conn.pending().to_string()) }
    }
}
