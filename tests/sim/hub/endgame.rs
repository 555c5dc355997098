//! The faults stop. Whoever is there must hear a marker on every channel, presence must be true, and when all have gone
//! nothing may be left.

use super::link::Stage;
use super::seen::Situation;
use super::world::World;
use crate::model::{Verdict, broken};
use crate::pipes::Segment;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;

impl World<'_> {
    pub fn finish(&mut self) -> Verdict {
        self.lose_the_newest()?;
        self.calm_down()?;
        self.all_come_back()?;
        self.check_tails()?;
        self.mark()?;
        self.check_quiet()?;
        self.all_leave()?;
        self.check_empty()
    }

    /// The newest publications are lost on their way, and no later one shows it.
    fn lose_the_newest(&mut self) -> Verdict {
        if self.plan.temper.breaks {
            for channel in &self.plan.channels.clone() {
                self.call_publish(channel, 10);
            }
            let wait = self.rng.below(20);
            self.advance(wait)?;
            self.desk.borrow_mut().interrupt(self.now);
            self.wake();
        }
        Ok(())
    }

    fn calm_down(&mut self) -> Verdict {
        self.is_calm = true;
        self.net.borrow_mut().is_calm = true;
        self.desk.borrow_mut().calm();
        for link in 0..self.links.len() {
            let sock = self.links[link].sock;
            self.net.borrow_mut().socks[sock].flaky = 0;
            self.thaw(link);
            self.read_quickly(link);
        }
        let settings = &self.plan.settings;
        let silence = settings.heartbeat_timeout + settings.write_timeout + settings.handshake_timeout;
        self.advance(millis(silence) + millis(settings.close_timeout) + 2_000)
    }

    fn all_come_back(&mut self) -> Verdict {
        for _ in 0..6 {
            for who in 0..self.clients.len() {
                let link = self.clients[who].link.filter(|link| self.is_open(*link));
                if link.is_none() {
                    self.come(who)?;
                }
            }
            self.advance(1_000)?;
        }
        for who in 0..self.clients.len() {
            if self.connected(who).is_none() {
                return broken("a client can't come back", None, format!("client {who}"));
            }
            self.seen.hit(Situation::CameBack);
        }
        Ok(())
    }

    /// In the quiet, who keeps a position has all there is, although nothing newer has shown a gap.
    fn check_tails(&self) -> Verdict {
        if self.plan.temper.refuses() {
            // A loss is found with the next publication at the latest, which the marker is.
            return Ok(());
        }
        let mut desk = self.desk.borrow_mut();
        for (number, link) in self.links.iter().enumerate().filter(|(_, link)| link.stage == Stage::Connected) {
            for (channel, sub) in link.subs.iter().filter(|(channel, _)| !channel.starts_with("drop:")) {
                if let (Some(position), Some(top)) = (&sub.position, desk.stands(channel))
                    && (&position.epoch, position.offset) != (&top.0, top.1)
                {
                    let detail = format!("link {number} on {channel}: {position:?}, top {top:?}");
                    return broken("the newest publications are missing, and nobody was told", None, detail);
                }
            }
        }
        Ok(())
    }

    /// A publication on every channel reaches everybody who is subscribed.
    fn mark(&mut self) -> Verdict {
        let channels = self.plan.channels.clone();
        let before = self.last_number;
        for channel in &channels {
            self.call_publish(channel, 10);
            self.advance(100)?;
        }
        self.advance(1_000)?;
        for link in 0..self.links.len() {
            if self.links[link].stage != Stage::Connected {
                continue;
            }
            if let Some((id, what)) = self.links[link].pending.front() {
                return broken("a command without a reply", None, format!("link {link}: {id} {what:?}"));
            }
            for (channel, sub) in &self.links[link].subs {
                let desk = self.desk.borrow();
                let at = channels.iter().position(|other| other == channel).unwrap_or(0) as u64;
                let has_heard = match &sub.position {
                    Some(position) => desk.truth.top(channel) == Some((position.epoch.as_str(), position.offset)),
                    None => sub.has_heard(channel, before + 1 + at, &desk.truth),
                };
                if !has_heard {
                    let top = desk.truth.top(channel);
                    let detail = format!("link {link} on {channel}: {sub:?}, top {top:?}");
                    return broken("a marker did not come", None, detail);
                }
                self.seen.hit(Situation::Marker);
            }
        }
        Ok(())
    }

    fn check_quiet(&mut self) -> Verdict {
        for (link, of) in self.links.iter().enumerate() {
            if of.replaced_at.is_some() && of.stage != Stage::Over {
                return broken("a session on two connections", None, format!("link {link}"));
            }
        }
        self.is_quiet = true;
        let answered = self.backend.answered;
        for channel in self.plan.channels.clone() {
            self.ask_presence(&channel);
            self.advance(100)?;
        }
        if self.backend.answered < answered + self.plan.channels.len() as u64 {
            return broken("a back end is not answered", None, "");
        }
        Ok(())
    }

    /// In the quiet, who is present is who is subscribed.
    pub fn check_presence(&self, channel: &str, presence: &Value) -> Verdict {
        if !self.is_quiet {
            return Ok(());
        }
        let told: BTreeSet<&str> = presence.as_object().into_iter().flatten().map(|(id, _)| id.as_str()).collect();
        let connected = self.links.iter().filter(|link| link.stage == Stage::Connected);
        let there: BTreeSet<&str> =
            connected.filter(|link| link.subs.contains_key(channel)).map(|link| link.uuid.as_str()).collect();
        let is_sure = !self.desk.borrow().unsure.contains(channel);
        if told == there || (!is_sure && told.is_subset(&there)) {
            self.seen.hit(Situation::PresenceQuiet);
            return Ok(());
        }
        broken("presence is not who is subscribed", None, format!("{channel}: {told:?} where {there:?}"))
    }

    fn all_leave(&mut self) -> Verdict {
        for link in 0..self.links.len() {
            let sock = self.links[link].sock;
            if !self.net.borrow().socks[sock].is_over() {
                self.net.borrow_mut().send(sock, Segment::End, self.now);
            }
        }
        let backend = self.owners.iter().rposition(|owner| *owner == super::world::Owner::Backend);
        if let Some(sock) = backend {
            self.net.borrow_mut().send(sock, Segment::End, self.now);
        }
        self.advance(millis(self.plan.settings.close_timeout) + 10_000)?;
        let hub = &self.plan.hub;
        let longest = hub.namespaces.values().chain([&hub.default_namespace]).map(|each| each.history_ttl).max();
        let ttl = longest.unwrap_or_default() * 2 + hub.idempotency_ttl + hub.session_ttl;
        self.advance(millis(ttl) + 10_000)
    }

    fn check_empty(&mut self) -> Verdict {
        let gateway = self.reactor.gateway();
        let tables = gateway.handler().hub().table_sizes();
        let desk = self.desk.borrow();
        let memory = desk.memory();
        let kept = [
            memory.channels(),
            memory.publications(),
            memory.history_bytes(),
            memory.members(),
            memory.idempotency_keys(),
            desk.pending,
            gateway.connection_count(),
        ];
        if tables != [0; 5] || kept != [0; 7] {
            return broken("something is left when all have gone", None, format!("{tables:?} {kept:?}"));
        }
        self.seen.hit(Situation::Empty);
        let counters = gateway.handler().hub().counters();
        self.seen.hit_if(counters.lagged > 0, Situation::Lagged);
        self.seen.hit_if(counters.sliced > 0, Situation::Sliced);
        self.seen.hit_if(desk.overtaken > 0, Situation::AnswerLate);
        Ok(())
    }
}

fn millis(duration: Duration) -> u64 {
    duration.as_millis() as u64
}
