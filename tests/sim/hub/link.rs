//! One connection of a client: what it has said, what it was told, and whether that may be.

use super::ear::{Ear, Told};
use super::engine::Desk;
use super::seen::{Seen, Situation};
use super::subs::{Asked, Side, Sub};
use crate::model::{Verdict, Violation, broken};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use tidegate::wire::Wire;

/// What a run allows.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    pub reliable: bool,
    pub recovery_limit: u64,
    pub max_channels: usize,
}

/// What is around while a client listens.
pub struct Look<'a> {
    pub desk: &'a mut Desk,
    pub seen: &'a Seen,
    pub rules: Rules,
}

/// What a reply is awaited to.
#[derive(Debug, Clone)]
pub enum What {
    Connect {
        with_session: bool,
        asked: BTreeMap<String, Asked>,
    },
    Subscribe {
        channel: String,
        asked: Option<Asked>,
        reject: bool,
    },
    Unsubscribe(String),
    Publish {
        channel: String,
        key: Option<String>,
        number: u64,
    },
    History {
        channel: String,
    },
    Presence {
        stats: bool,
    },
    Ping,
    /// What is answered by this error.
    Wrong(u64),
}

/// What a client does upon what it was told.
#[derive(Debug)]
pub enum Reaction {
    Open,
    Pong,
    Connected {
        session: Option<String>,
        resumed: bool,
    },
    Again(String, Option<Asked>),
    /// Nobody knows what became of it.
    Unsure {
        channel: String,
        key: String,
    },
    Over(u16),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Opening,
    Connecting,
    Connected,
    /// It was told that this is the end, or has ended itself.
    Over,
}

pub struct Link {
    pub sock: usize,
    pub wire: Wire,
    pub stage: Stage,
    pub uuid: String,
    pub subs: BTreeMap<String, Sub>,
    pub pending: VecDeque<(u64, What)>,
    pub code: Option<u16>,
    pub last_id: u64,
    ear: Ear,
    /// Channels for which it may have subscriptions that it did not ask for here.
    pub known: BTreeSet<String>,
    /// What may be heard with reason.
    pub said_garbage: bool,
    pub kicked: bool,
    /// It has read slowly or fallen silent at times.
    pub was_slow: bool,
    pub unsubscribed_by_server: bool,
    pub subscribed_by_server: bool,
    /// Publications there were when another connection of its session was answered.
    pub replaced_at: Option<u64>,
}

impl Link {
    pub fn new(sock: usize, wire: Wire) -> Self {
        Self {
            sock,
            wire,
            stage: Stage::Opening,
            uuid: String::new(),
            subs: BTreeMap::new(),
            pending: VecDeque::new(),
            code: None,
            last_id: 0,
            ear: Ear::new(wire),
            known: BTreeSet::new(),
            said_garbage: false,
            kicked: false,
            was_slow: false,
            unsubscribed_by_server: false,
            subscribed_by_server: false,
            replaced_at: None,
        }
    }

    /// Takes in what the server has sent.
    pub fn hear(&mut self, bytes: &[u8], look: &mut Look<'_>) -> Result<Vec<Reaction>, Violation> {
        let mut reactions = Vec::new();
        let misheard = |error: String| Violation { rule: "a server does not say that", detail: error, conn: None };
        let mut told = self.ear.hear(bytes).map_err(misheard)?;
        if self.ear.open().map_err(misheard)? {
            reactions.push(Reaction::Open);
            told.extend(self.ear.hear(b"").map_err(misheard)?);
        }
        for each in told {
            if self.code.is_some() {
                return broken("told something behind the last word", None, format!("{each:?}"));
            }
            match each {
                Told::Document(document) => self.on_document(&document, look, &mut reactions)?,
                Told::Close(code) => {
                    self.on_close(code, look)?;
                    reactions.push(Reaction::Over(code));
                }
            }
        }
        Ok(reactions)
    }

    fn on_document(&mut self, document: &Value, look: &mut Look<'_>, reactions: &mut Vec<Reaction>) -> Verdict {
        let Some(fields) = document.as_object() else {
            return broken("a document is an object", None, document.to_string());
        };
        if fields.is_empty() {
            reactions.push(Reaction::Pong);
            return Ok(());
        }
        if let Some(push) = fields.get("push") {
            return self.on_push(push, look, reactions);
        }
        let id = fields.get("id").and_then(Value::as_u64);
        let Some((due, what)) = self.pending.pop_front() else {
            return broken("answered without a question", None, document.to_string());
        };
        if id != Some(due) {
            return broken("answered out of order", None, format!("{document} where {due} was due"));
        }
        match fields.get("error") {
            Some(error) => self.on_error(error["code"].as_u64().unwrap_or_default(), what, look, reactions),
            None => self.on_reply(document, what, look, reactions),
        }
    }

    fn on_reply(
        &mut self,
        document: &Value,
        what: What,
        look: &mut Look<'_>,
        reactions: &mut Vec<Reaction>,
    ) -> Verdict {
        let result = |name: &str| match document.get(name) {
            Some(result) => Ok(result.clone()),
            None => broken("answered by another method", None, format!("{document} to {name}")),
        };
        match what {
            What::Connect { with_session, asked } => {
                self.on_connected(&result("connect")?, with_session, &asked, look, reactions)
            }
            What::Subscribe { channel, asked, .. } => {
                let sub = Sub::begin(&channel, &result("subscribe")?, asked.as_ref(), Side::Client, look)?;
                self.subs.insert(channel, sub);
                Ok(())
            }
            What::Unsubscribe(channel) => {
                result("unsubscribe")?;
                look.seen.hit_if(self.subs.remove(&channel).is_some(), Situation::Unsubscribed);
                Ok(())
            }
            What::Publish { channel, key, number } => {
                Self::on_published(&result("publish")?, &channel, key.is_some(), number, look)
            }
            What::History { channel } => on_history(&result("history")?, &channel, look),
            What::Presence { stats } => {
                look.seen.hit(Situation::PresenceAsked);
                result(if stats { "presence_stats" } else { "presence" }).map(|_| ())
            }
            What::Ping => result("ping").map(|_| ()),
            What::Wrong(code) => broken("done although it is wrong", None, format!("{document} for {code}")),
        }
    }

    fn on_connected(
        &mut self,
        result: &Value,
        with_session: bool,
        asked: &BTreeMap<String, Asked>,
        look: &mut Look<'_>,
        reactions: &mut Vec<Reaction>,
    ) -> Verdict {
        self.stage = Stage::Connected;
        self.uuid = result["client"].as_str().unwrap_or_default().to_owned();
        let resumed = result["resumed"].as_bool().unwrap_or(false);
        if resumed && !with_session {
            return broken("resumed what was not asked for", None, result.to_string());
        }
        look.seen.hit_if(with_session && !resumed, Situation::SessionGone);
        for (channel, made) in result["subs"].as_object().into_iter().flatten() {
            if !resumed || !self.known.contains(channel) {
                return broken("subscribed without having asked", None, format!("{channel} in {result}"));
            }
            look.seen.hit(Situation::ResumedWithSubs);
            let sub = Sub::begin(channel, made, asked.get(channel), Side::Either, look)?;
            self.subs.insert(channel.clone(), sub);
        }
        let session = result["session"].as_str().map(ToOwned::to_owned);
        reactions.push(Reaction::Connected { session, resumed });
        Ok(())
    }

    fn on_published(result: &Value, channel: &str, keyed: bool, number: u64, look: &Look<'_>) -> Verdict {
        let (Some(epoch), Some(offset)) = (result["epoch"].as_str(), result["offset"].as_u64()) else {
            return Ok(());
        };
        look.seen.hit(Situation::KeyedAnswer);
        let there = look.desk.truth.at(channel, epoch, offset);
        if !keyed || there.is_none_or(|there| !look.desk.truth.are_same(there, number)) {
            return broken("a publication is said to be elsewhere", None, format!("{number} on {channel}: {result}"));
        }
        Ok(())
    }

    fn on_error(&mut self, code: u64, what: What, look: &mut Look<'_>, reactions: &mut Vec<Reaction>) -> Verdict {
        look.seen.hit_if(code == 100 && look.desk.failed > 0, Situation::EngineFailed);
        look.seen.hit_if(code == 100 && look.desk.refused > 0, Situation::EngineFull);
        let is_right = match (&what, code) {
            (What::Wrong(right), _) if *right == code => true,
            (What::Connect { .. } | What::Unsubscribe(_) | What::Ping, _) => false,
            (_, 100) => !look.rules.reliable,
            (What::Subscribe { channel, .. }, 105) => {
                look.seen.hit(Situation::AlreadyThere);
                self.subs.contains_key(channel) || self.subscribed_by_server
            }
            // What it asks for may be larger than a message can be.
            (What::History { .. } | What::Presence { .. }, 106) => true,
            (What::Subscribe { .. }, 106) => {
                look.seen.hit(Situation::ChannelLimit);
                self.subs.len() >= look.rules.max_channels || self.subscribed_by_server
            }
            (What::Subscribe { channel, asked: Some(asked), reject: true }, 112) => {
                look.seen.hit(Situation::Rejected);
                asked.may_be_gone(channel, look)
            }
            (What::Subscribe { .. }, 103) => self.unsubscribed_by_server,
            (What::History { .. }, 112) => {
                look.seen.hit(Situation::HistoryGone);
                true
            }
            _ => false,
        };
        if !is_right {
            return broken("an error for no reason", None, format!("{code} for {what:?}"));
        }
        match what {
            What::Subscribe { channel, asked, .. } if code == 100 => {
                reactions.push(Reaction::Again(channel, asked));
            }
            What::Publish { channel, key: Some(key), .. } => {
                reactions.push(Reaction::Unsure { channel, key });
            }
            _ => {}
        }
        Ok(())
    }

    fn on_push(&mut self, push: &Value, look: &mut Look<'_>, reactions: &mut Vec<Reaction>) -> Verdict {
        let channel = push["channel"].as_str().unwrap_or_default();
        if self.stage != Stage::Connected {
            return broken("pushed to who is not connected", None, push.to_string());
        }
        if let Some(made) = push.get("subscribe") {
            look.seen.hit(Situation::ServerSide);
            let was = self.subs.insert(channel.to_owned(), Sub::begin(channel, made, None, Side::Server, look)?);
            if was.is_some() || !self.subscribed_by_server {
                return broken("subscribed by nobody", None, push.to_string());
            }
            return Ok(());
        }
        let is_ended = push.pointer("/unsubscribe/code").and_then(Value::as_u64) == Some(2000);
        if is_ended && self.unsubscribed_by_server && !self.subs.contains_key(channel) {
            // It was being made.
            return Ok(());
        }
        let Some(sub) = self.subs.get_mut(channel) else {
            return broken("told of a channel without a subscription", None, push.to_string());
        };
        if let Some(publication) = push.get("pub") {
            return self.on_publication(channel, publication, look);
        }
        if let Some(code) = push.pointer("/unsubscribe/code").and_then(Value::as_u64) {
            let is_right = match code {
                2000 => self.unsubscribed_by_server,
                2500 => sub.side != Side::Server,
                _ => false,
            };
            if !is_right {
                return broken("unsubscribed for no reason", None, push.to_string());
            }
            look.seen.hit_if(code == 2000, Situation::EndedByServer);
            let position = if code == 2500 { sub.on_insufficient(channel, look)? } else { None };
            self.subs.remove(channel);
            if code == 2500 {
                reactions.push(Reaction::Again(channel.to_owned(), position));
            }
            return Ok(());
        }
        look.seen.hit_if(push.get("join").is_some(), Situation::Joined);
        look.seen.hit_if(push.get("leave").is_some(), Situation::Left);
        if (push.get("join").is_some() || push.get("leave").is_some()) && channel.starts_with("opt:") {
            return Ok(());
        }
        broken("a push that is none", None, push.to_string())
    }

    fn on_publication(&mut self, channel: &str, publication: &Value, look: &mut Look<'_>) -> Verdict {
        let number = publication.pointer("/data/n").and_then(Value::as_u64).unwrap_or_default();
        if let (Some(until), Some(count)) = (self.replaced_at, look.desk.truth.count_at(channel, number))
            && count > until
        {
            return broken("a session heard on two connections", None, format!("{channel}: {publication}"));
        }
        let Some(sub) = self.subs.get_mut(channel) else {
            return Ok(());
        };
        sub.on_publication(channel, number, publication["offset"].as_u64(), look)
    }

    fn on_close(&mut self, code: u16, look: &mut Look<'_>) -> Verdict {
        self.code = Some(code);
        self.stage = Stage::Over;
        let (seen, has_server_side) = (look.seen, self.subs.values().any(|sub| sub.side != Side::Client));
        let is_right = match code {
            3501 => self.said_garbage,
            3502 => self.uuid.is_empty(),
            3503 => self.kicked,
            3008 => true,
            3009 => self.was_slow,
            // A hole in what came while a subscription was made closes as well.
            3010 => has_server_side || !look.rules.reliable,
            4500 => self.replaced_at.is_some() || !self.uuid.is_empty(),
            _ => false,
        };
        for (each, situation) in [
            (3501, Situation::Malformed),
            (3502, Situation::Silent),
            (3503, Situation::Kicked),
            (3008, Situation::TooSlow),
            (3009, Situation::Stalled),
            (3010, Situation::InsufficientClose),
            (4500, Situation::TakenOverReading),
        ] {
            seen.hit_if(code == each, situation);
        }
        if is_right { Ok(()) } else { broken("closed for no reason", None, format!("{code}")) }
    }
}

/// A part of a history has to be what was published, in order.
fn on_history(result: &Value, channel: &str, look: &Look<'_>) -> Verdict {
    look.seen.hit(Situation::HistoryAsked);
    let epoch = result["epoch"].as_str().unwrap_or_default();
    let mut last = None;
    for publication in result["publications"].as_array().into_iter().flatten() {
        let offset = publication["offset"].as_u64().unwrap_or_default();
        let number = publication.pointer("/data/n").and_then(Value::as_u64);
        if last.is_some_and(|last| offset != last + 1) || look.desk.truth.at(channel, epoch, offset) != number {
            return broken("a history that never was", None, format!("{channel}: {result}"));
        }
        last = Some(offset);
    }
    Ok(())
}
