//! A client's side of a subscription: how far it has heard, and whether what it hears next may be.

use super::link::Look;
use super::seen::Situation;
use super::truth::Truth;
use crate::model::{Verdict, Violation, broken};
use serde_json::Value;
use std::collections::HashSet;

/// A place from which a client wants what it missed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub epoch: String,
    pub offset: u64,
}

impl Asked {
    /// Whether the server may say that what lies behind it is not whole: it is no more, or more than one recovery brings.
    pub fn may_be_gone(&self, channel: &str, look: &mut Look<'_>) -> bool {
        if !look.rules.reliable || !look.desk.holds(channel, &self.epoch, self.offset) {
            return true;
        }
        let top = look.desk.truth.top(channel).map_or(0, |(_, top)| top);
        top.saturating_sub(self.offset) > look.rules.recovery_limit
    }
}

/// Who has made a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Client,
    Server,
    /// It came back with its session, and was made by either.
    Either,
}

#[derive(Debug)]
pub struct Sub {
    /// The life of the history its offsets are of, where it keeps a position.
    pub position: Option<Asked>,
    pub side: Side,
    /// The last publication without a place.
    loose: Option<usize>,
    /// What it has heard without keeping a position.
    heard: HashSet<u64>,
    recovered: bool,
}

impl Sub {
    /// What a subscription begins with.
    pub fn begin(
        channel: &str,
        result: &Value,
        asked: Option<&Asked>,
        side: Side,
        look: &mut Look<'_>,
    ) -> Result<Self, Violation> {
        let flag = |name: &str| result[name].as_bool().unwrap_or(false);
        let number = |name: &str| result[name].as_u64().unwrap_or(0);
        let epoch = result["epoch"].as_str().unwrap_or_default().to_owned();
        let empty = Vec::new();
        let publications = result["publications"].as_array().unwrap_or(&empty);
        let detail = || format!("{channel}: {result} to {asked:?}");
        let mut sub = Self { position: None, side, loose: None, heard: HashSet::new(), recovered: flag("recovered") };
        if !flag("positioned") {
            let right = publications.is_empty() && !sub.recovered;
            return if right { Ok(sub) } else { broken("recovered without a position", None, detail()) };
        }
        if asked.is_some() != flag("was_recovering") && (asked.is_some() || side == Side::Client) {
            return broken("recovering is not told", None, detail());
        }
        let mut position = Asked { epoch, offset: number("offset") };
        if sub.recovered {
            if asked.is_some_and(|asked| asked.offset != position.offset || asked.epoch != position.epoch) {
                return broken("recovered from elsewhere", None, detail());
            }
            look.seen.hit(Situation::Recovered);
            look.seen.hit_if(!publications.is_empty(), Situation::RecoveredSome);
        } else {
            if !publications.is_empty() {
                return broken("publications of no recovery", None, detail());
            }
            Self::check_gap(channel, result, asked, look)?;
        }
        if look.desk.truth.top_of(channel, &position.epoch) < position.offset {
            return broken("a position ahead of what was published", None, detail());
        }
        for publication in publications {
            let number = publication.pointer("/data/n").and_then(Value::as_u64);
            let offset = publication["offset"].as_u64().unwrap_or_default();
            let real = look.desk.truth.at(channel, &position.epoch, offset);
            if offset != position.offset + 1 || real != number {
                return broken("recovered what was not missed", None, detail());
            }
            position.offset = offset;
        }
        sub.position = Some(position);
        Ok(sub)
    }

    fn check_gap(channel: &str, result: &Value, asked: Option<&Asked>, look: &mut Look<'_>) -> Verdict {
        let Some(asked) = asked else {
            return Ok(());
        };
        let detail = || format!("{channel}: {result} to {asked:?}");
        let reason = result.pointer("/gap/reason").and_then(Value::as_str);
        look.seen.hit_if(reason == Some("history_trimmed"), Situation::RecoveredNone);
        look.seen.hit_if(reason == Some("epoch_changed"), Situation::OtherEpoch);
        if reason.is_none() {
            return broken("a gap that is not told", None, detail());
        }
        if !asked.may_be_gone(channel, look) {
            return broken("told of a gap where there is none", None, detail());
        }
        Ok(())
    }

    /// A publication comes live.
    pub fn on_publication(&mut self, channel: &str, number: u64, offset: Option<u64>, look: &mut Look<'_>) -> Verdict {
        match (offset, &mut self.position) {
            (None, _) => self.on_loose(channel, number, look),
            (Some(offset), Some(position)) => {
                let detail = format!("{number} at {offset} of {channel} behind {position:?}");
                if look.desk.truth.at(channel, &position.epoch, offset) != Some(number) {
                    return broken("a publication that is not this one", None, detail);
                }
                let skips = channel.starts_with("drop:") && offset > position.offset + 1;
                look.seen.hit_if(skips, Situation::Skipped);
                look.seen.hit_if(self.recovered, Situation::LiveBehindRecovery);
                look.seen.hit(Situation::Live);
                if offset <= position.offset {
                    return broken("a publication came twice", None, detail);
                }
                if offset != position.offset + 1 && !skips {
                    return broken("a publication is missing, and nobody was told", None, detail);
                }
                position.offset = offset;
                Ok(())
            }
            (Some(offset), None) => {
                if !look.desk.truth.has_place(channel, offset, number) || !self.heard.insert(number) {
                    return broken("a publication came twice, or never was", None, format!("{number} of {channel}"));
                }
                Ok(())
            }
        }
    }

    fn on_loose(&mut self, channel: &str, number: u64, look: &mut Look<'_>) -> Verdict {
        let detail = format!("{number} of {channel} behind {:?}", self.loose);
        let Some(place) = look.desk.truth.loose_place(channel, number) else {
            return broken("a publication that never was", None, detail);
        };
        look.seen.hit(Situation::Loose);
        let last = self.loose.replace(place);
        let Some(last) = last else {
            return Ok(());
        };
        if place <= last {
            return broken("a publication without a place came twice", None, detail);
        }
        let lost = look.desk.truth.all_lost(channel, last + 1, place);
        look.seen.hit_if(lost && place > last + 1, Situation::LostOnTheWay);
        if lost || channel.starts_with("drop:") {
            return Ok(());
        }
        broken("a publication without a place is missing", None, detail)
    }

    /// Whether it has heard a publication that is none of its positions.
    pub fn has_heard(&self, channel: &str, number: u64, truth: &Truth) -> bool {
        self.heard.contains(&number) || (self.loose.is_some() && self.loose == truth.loose_place(channel, number))
    }

    /// The server says that something was missed; where to go on.
    pub fn on_insufficient(&mut self, channel: &str, look: &mut Look<'_>) -> Result<Option<Asked>, Violation> {
        look.seen.hit(Situation::Insufficient);
        let Some(position) = self.position.take() else {
            // An engine that could not be asked to tell of the channel leaves nobody to believe that it does.
            let may_be_untold = !look.rules.reliable;
            return if may_be_untold {
                Ok(None)
            } else {
                broken("lost a position that it does not keep", None, channel)
            };
        };
        if look.rules.reliable {
            look.seen.hit(Situation::LaggedLost);
            if look.desk.holds(channel, &position.epoch, position.offset) {
                let detail = format!("{channel} behind {position:?}");
                return broken("a position lost without a reason", None, detail);
            }
        }
        Ok(Some(position))
    }
}
