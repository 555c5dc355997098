//! What was really published, and in which order: what clients are told is held against it.

use crate::model::{Violation, broken};
use std::collections::HashMap;
use tidegate::engine::{Position, Publication, Publish};

/// Everything that has been published since the engine's last beginning, and before.
#[derive(Debug, Default)]
pub struct Truth {
    /// The numbers of the publications of each life of a history, in the order of their offsets.
    lives: HashMap<(String, String), Vec<u64>>,
    /// The present life of each channel.
    current: HashMap<String, String>,
    /// Publications without a place in a history, in the order in which they are heard of, and which of them never are.
    loose: HashMap<String, Vec<(u64, bool)>>,
    /// The keys that publications were given by who has made them.
    given: HashMap<u64, String>,
    /// What a repetition must not bring again, until when.
    once: HashMap<(String, String), (u64, u64)>,
    /// The keys of publications that have one.
    keys: HashMap<u64, String>,
    /// By channel and number: how many publications there had been with this one.
    counts: HashMap<(String, u64), u64>,
    pub published: u64,
    pub repeated: u64,
}

impl Truth {
    /// The engine has it. Repetitions bring nothing for so many milliseconds.
    pub fn on_published(
        &mut self,
        publish: &Publish,
        position: Option<&Position>,
        heard: bool,
        (now, ttl): (u64, u64),
    ) -> Result<(), Violation> {
        let (channel, number) = (publish.channel.to_string(), number_of(&publish.body));
        if publish.idempotency_key.as_deref() != self.given.get(&number).map(String::as_str) {
            let detail = format!("{number} on {channel}: {:?}", publish.idempotency_key);
            return broken("a publication came without its key, or with another", None, detail);
        }
        let key = publish.idempotency_key.as_ref().map(|key| (channel.clone(), key.to_string()));
        self.keys.extend(key.iter().map(|(_, key)| (number, key.clone())));
        self.published += 1;
        self.counts.entry((channel.clone(), number)).or_insert(self.published);
        let Some(position) = position else {
            if heard {
                self.loose.entry(channel.clone()).or_default().push((number, false));
                return self.note_once(key, number, now, ttl);
            }
            return Ok(());
        };
        let epoch = position.epoch.to_string();
        self.current.insert(channel.clone(), epoch.clone());
        let life = self.lives.entry((channel.clone(), epoch)).or_default();
        let place = usize::try_from(position.offset).unwrap_or(usize::MAX);
        if place == life.len() + 1 {
            life.push(number);
            return self.note_once(key, number, now, ttl);
        }
        self.repeated += 1;
        let first = key.and_then(|key| self.once.get(&key)).map(|(first, _)| *first);
        if first.is_some() && life.get(place.wrapping_sub(1)).copied() == first {
            return Ok(());
        }
        broken("an offset was given away twice", None, format!("{number} on {channel} at {position:?}"))
    }

    fn note_once(&mut self, key: Option<(String, String)>, number: u64, now: u64, ttl: u64) -> Result<(), Violation> {
        let Some(key) = key else {
            return Ok(());
        };
        let detail = format!("{number} on {key:?}");
        match self.once.insert(key, (number, now + ttl)) {
            Some((_, until)) if now < until => broken("an idempotent publication was published twice", None, detail),
            _ => Ok(()),
        }
    }

    /// A publication is on its way with this key.
    pub fn on_given(&mut self, number: u64, key: &str) {
        self.given.insert(number, key.to_owned());
    }

    /// Whether two publications are tries of the same.
    pub fn are_same(&self, one: u64, other: u64) -> bool {
        one == other || self.keys.get(&one).is_some_and(|key| self.keys.get(&other) == Some(key))
    }

    /// Nobody will hear of it.
    pub fn lose(&mut self, channel: &str, publication: &Publication) {
        let number = number_of(&publication.body);
        let loose = self.loose.get_mut(channel).into_iter().flatten();
        loose.filter(|(other, _)| *other == number).for_each(|(_, lost)| *lost = true);
    }

    /// The engine has lost all it had.
    pub fn begin_anew(&mut self) {
        self.current.clear();
        self.once.clear();
    }

    /// Which publication has this place.
    pub fn at(&self, channel: &str, epoch: &str, offset: u64) -> Option<u64> {
        let life = self.lives.get(&(channel.to_owned(), epoch.to_owned()))?;
        life.get(usize::try_from(offset).ok()?.checked_sub(1)?).copied()
    }

    /// Whether it was published in some life of this channel's history.
    pub fn has_place(&self, channel: &str, offset: u64, number: u64) -> bool {
        let lives = self.lives.iter().filter(|((name, _), _)| name == channel);
        lives.map(|(_, life)| life).any(|life| life.get(offset as usize - 1) == Some(&number))
    }

    /// Where a life of a channel's history stands.
    pub fn top_of(&self, channel: &str, epoch: &str) -> u64 {
        self.lives.get(&(channel.to_owned(), epoch.to_owned())).map_or(0, |life| life.len() as u64)
    }

    /// Where the present life of a channel stands.
    pub fn top(&self, channel: &str) -> Option<(&str, u64)> {
        let epoch = self.current.get(channel)?;
        let life = self.lives.get(&(channel.to_owned(), epoch.clone()))?;
        Some((epoch, life.len() as u64))
    }

    /// The place of a publication among those that have none in a history.
    pub fn loose_place(&self, channel: &str, number: u64) -> Option<usize> {
        self.loose.get(channel)?.iter().rposition(|(other, _)| *other == number)
    }

    /// Whether all between two of them were lost on their way.
    pub fn all_lost(&self, channel: &str, from: usize, to: usize) -> bool {
        self.loose.get(channel).is_some_and(|loose| loose[from..to].iter().all(|(_, lost)| *lost))
    }

    /// How many publications there had been with this one.
    pub fn count_at(&self, channel: &str, number: u64) -> Option<u64> {
        self.counts.get(&(channel.to_owned(), number)).copied()
    }
}

/// The number in a publication's data.
fn number_of(body: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(body);
    let digits = text.split("{\"n\":").nth(1).unwrap_or_default();
    digits.split(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse().ok()).unwrap_or_default()
}
