//! What clients do: they come, say things, go, come back with what they know, and do as they are told.

use super::ear::{UPGRADE, frame};
use super::link::{Link, Reaction, Stage, What};
use super::seen::Situation;
use super::subs::Asked;
use super::world::{Owner, World};
use crate::model::Verdict;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use tidegate::wire::Wire;

/// Who comes back on one connection after the other.
#[derive(Debug, Default)]
pub struct Client {
    /// The newest of its connections, as long as that is there.
    pub link: Option<usize>,
    pub session: Option<String>,
    /// Where it was in each channel when it lost its connection.
    pub memory: BTreeMap<String, Option<Asked>>,
    /// Every channel that its session may hold.
    pub known: BTreeSet<String>,
    /// Publications of which nobody knows whether they were published.
    pub unsure: Vec<(String, String)>,
    /// Connections that have gone, whose session was shown anew.
    pub shown_at: Option<usize>,
}

impl World<'_> {
    /// Its newest connection, if that is connected.
    pub fn connected(&self, who: usize) -> Option<usize> {
        self.clients[who].link.filter(|link| self.links[*link].stage == Stage::Connected)
    }

    /// A client comes, with its session or without.
    pub fn come(&mut self, who: usize) -> Verdict {
        let wire = self.rng.pick(&[Wire::Line, Wire::Length, Wire::WebSocket]);
        let number = self.links.len();
        let sock = self.connect(wire, Owner::Link(number));
        self.links.push(Link::new(sock, wire));
        self.whose.push(who);
        self.clients[who].shown_at = self.clients[who].link.replace(number);
        match wire {
            Wire::WebSocket => self.send(sock, UPGRADE.as_bytes()),
            Wire::Line | Wire::Length | Wire::Raw => self.say_connect(number),
        }
        Ok(())
    }

    fn say_connect(&mut self, link: usize) {
        self.links[link].stage = Stage::Connecting;
        let who = self.whose[link];
        let session = self.clients[who].session.clone().filter(|_| self.is_calm || self.rng.chance(80));
        let mut asked = BTreeMap::new();
        if session.is_some() {
            let positions = self.clients[who].memory.iter().filter_map(|(channel, at)| Some((channel, at.clone()?)));
            asked.extend(positions.map(|(channel, at)| (channel.clone(), at)));
        }
        let subs: BTreeMap<_, _> = asked.iter().map(|(channel, at)| (channel, position(at))).collect();
        let mut connect = json!({"name": "sim", "version": "1"});
        if let Some(session) = &session {
            connect["session"] = json!(session);
            connect["subs"] = json!(subs);
        }
        let what = What::Connect { with_session: session.is_some(), asked };
        let mut unit = vec![self.command(link, what, "connect", connect)];
        if self.rng.chance(30) {
            self.seen.hit(Situation::InConnectUnit);
            unit.push(self.command(link, What::Ping, "ping", json!({})));
        }
        self.say(link, &unit);
    }

    /// A command as a document, and what its reply has to be.
    pub fn command(&mut self, link: usize, what: What, method: &str, fields: serde_json::Value) -> String {
        let link = &mut self.links[link];
        link.last_id += 1;
        link.pending.push_back((link.last_id, what));
        json!({"id": link.last_id, method: fields}).to_string()
    }

    pub fn say(&mut self, link: usize, unit: &[String]) {
        let (wire, sock) = (self.links[link].wire, self.links[link].sock);
        self.seen.hit_if(unit.len() > 3, Situation::Batch);
        let bytes = frame(wire, unit, &mut self.rng);
        self.send(sock, &bytes);
    }

    /// One to four commands in one unit.
    pub fn say_something(&mut self, who: usize) -> Verdict {
        let Some(link) = self.clients[who].link.filter(|link| self.is_open(*link)) else {
            return self.come(who);
        };
        if self.links[link].stage == Stage::Opening {
            return Ok(());
        }
        let count = self.rng.size(1, 4);
        let unit: Vec<String> = (0..count).map(|_| self.some_command(link)).collect();
        self.say(link, &unit);
        Ok(())
    }

    fn some_command(&mut self, link: usize) -> String {
        let at = self.rng.below(self.plan.channels.len() as u64) as usize;
        let channel = self.plan.channels[at].clone();
        match self.rng.below(20) {
            0..6 => self.subscribe_to(link, channel, None),
            6 | 7 => self.command(link, What::Unsubscribe(channel.clone()), "unsubscribe", json!({"channel": channel})),
            8..14 => self.publish_on(link, channel, 300),
            14 => {
                let what = What::History { channel: channel.clone() };
                let what = if channel.starts_with("live:") { What::Wrong(108) } else { what };
                let limit = self.rng.below(20) as i64 - 1;
                let known = self.links[link].subs.get(&channel).and_then(|sub| sub.position.clone());
                let mut fields = json!({"channel": channel, "limit": limit});
                if let Some(at) = known.filter(|_| self.rng.chance(50)) {
                    fields["since"] = json!({"epoch": at.epoch, "offset": at.offset.saturating_sub(self.rng.below(5))});
                }
                self.command(link, what, "history", fields)
            }
            15 => self.command(link, What::Presence { stats: false }, "presence", json!({"channel": channel})),
            16 => self.command(link, What::Presence { stats: true }, "presence_stats", json!({"channel": channel})),
            17 => self.command(link, What::Ping, "ping", json!({})),
            18 => self.wrong_command(link),
            _ => {
                let top = self.desk.borrow().truth.top(&channel).map(|(epoch, top)| (epoch.to_owned(), top));
                let back = self.rng.below(20);
                let asked = top.map(|(epoch, top)| Asked { epoch, offset: top.saturating_sub(back) });
                self.subscribe_to(link, channel, asked)
            }
        }
    }

    fn wrong_command(&mut self, link: usize) -> String {
        match self.rng.below(4) {
            0 => self.command(link, What::Wrong(102), "subscribe", json!({"channel": "nowhere:x"})),
            1 => self.command(link, What::Wrong(107), "publish", json!({"channel": "", "data": 1})),
            2 => self.command(link, What::Wrong(104), "dance", json!({})),
            _ => self.command(link, What::Wrong(108), "rpc", json!({"method": "m"})),
        }
    }

    pub fn subscribe_to(&mut self, link: usize, channel: String, asked: Option<Asked>) -> String {
        let who = self.whose[link];
        self.clients[who].known.insert(channel.clone());
        let mut fields = json!({"channel": channel});
        if let Some(at) = &asked {
            fields = position(at);
            fields["channel"] = json!(channel);
        } else if channel.starts_with("opt:") {
            fields["positioned"] = json!(self.rng.chance(50));
            fields["join_leave"] = json!(self.rng.chance(70));
        }
        let reject = asked.is_some() && self.rng.chance(20);
        if reject {
            fields["flag"] = json!(2);
        }
        // Where there is no history, there are no positions.
        let asked = asked.filter(|_| !channel.starts_with("live:"));
        self.command(link, What::Subscribe { channel, asked, reject }, "subscribe", fields)
    }

    pub fn publish_on(&mut self, link: usize, channel: String, most: u64) -> String {
        let who = self.whose[link];
        self.last_number += 1;
        let number = self.last_number;
        let (channel, key) = match self.clients[who].unsure.pop() {
            Some((channel, key)) => {
                self.seen.hit(Situation::PublishedTwice);
                (channel, Some(key))
            }
            None => (channel, self.rng.chance(30).then(|| format!("k{number}"))),
        };
        let mut fields = json!({"channel": channel, "data": self.data(number, most)});
        if let Some(key) = &key {
            fields["idempotency_key"] = json!(key);
            self.desk.borrow_mut().truth.on_given(number, key);
        }
        let again = key.clone().filter(|_| self.rng.chance(20));
        if let Some(key) = again {
            self.clients[who].unsure.push((channel.clone(), key));
        }
        self.command(link, What::Publish { channel, key, number }, "publish", fields)
    }

    /// A payload that tells its number, first of all.
    pub fn data(&mut self, number: u64, most: u64) -> serde_json::Value {
        let pad = "x".repeat(self.rng.below(most) as usize);
        json!({"n": number, "p": pad})
    }

    /// What a client does upon what it was told.
    pub fn react(&mut self, link: usize, reaction: Reaction) -> Verdict {
        let who = self.whose[link];
        match reaction {
            Reaction::Open => self.say_connect(link),
            Reaction::Pong => {
                self.seen.hit(Situation::Ponged);
                self.say(link, &["{}".to_owned()]);
            }
            Reaction::Connected { session, resumed } => self.on_connected(link, session, resumed),
            Reaction::Again(channel, asked) => {
                if self.links[link].stage == Stage::Connected && (self.is_calm || self.rng.chance(90)) {
                    let command = self.subscribe_to(link, channel, asked);
                    self.say(link, &[command]);
                }
            }
            Reaction::Unsure { channel, key } => self.clients[who].unsure.push((channel, key)),
            Reaction::Over(code) => {
                self.on_link_over(link);
                if matches!(code, 3500..4000 | 4500..5000) && self.clients[who].link.is_none() {
                    (self.clients[who].session, self.clients[who].memory) = (None, BTreeMap::new());
                }
            }
        }
        Ok(())
    }

    fn on_connected(&mut self, link: usize, session: Option<String>, resumed: bool) {
        let who = self.whose[link];
        let wire = self.links[link].wire;
        self.seen.hit_if(wire == Wire::Line, Situation::OnLine);
        self.seen.hit_if(wire == Wire::Length, Situation::OnLength);
        self.seen.hit_if(wire == Wire::WebSocket, Situation::OnWebSocket);
        self.seen.hit_if(resumed, Situation::Resumed);
        let old = self.clients[who].shown_at.take();
        if let (true, Some(old)) = (resumed, old) {
            self.seen.hit(Situation::TakenOver);
            self.links[old].replaced_at.get_or_insert(self.desk.borrow().truth.published);
        }
        self.seen.hit_if(resumed && old.is_none(), Situation::ResumedKept);
        if self.clients[who].link != Some(link) {
            return;
        }
        self.clients[who].session = session;
        self.clients[who].known.extend(self.links[link].subs.keys().cloned());
        let memory = std::mem::take(&mut self.clients[who].memory);
        let lost = memory.into_iter().filter(|(channel, _)| !self.links[link].subs.contains_key(channel));
        let lost: Vec<_> = lost.collect();
        let unit: Vec<String> =
            lost.into_iter().map(|(channel, asked)| self.subscribe_to(link, channel, asked)).collect();
        if !unit.is_empty() {
            self.say(link, &unit);
        }
    }

    /// Nothing more is heard on a connection: what its client knows goes on to the next.
    pub fn on_link_over(&mut self, link: usize) {
        self.links[link].stage = Stage::Over;
        let who = self.whose[link];
        for (_, what) in std::mem::take(&mut self.links[link].pending) {
            if let What::Publish { channel, key: Some(key), .. } = what {
                self.clients[who].unsure.push((channel, key));
            }
        }
        self.remember(link);
        if self.clients[who].link == Some(link) {
            self.clients[who].link = None;
        }
    }

    /// Where a client is on each channel goes into its memory.
    pub fn remember(&mut self, link: usize) {
        let client = &mut self.clients[self.whose[link]];
        for (channel, sub) in &self.links[link].subs {
            client.memory.insert(channel.clone(), sub.position.clone());
        }
    }
}

fn position(at: &Asked) -> serde_json::Value {
    json!({"recover": true, "epoch": at.epoch, "offset": at.offset})
}
