//! How many messages came and went, as the model counts them: exactly, but where a connection was ended in the middle of
//! what it was answered.

use crate::model::{Model, Verdict, broken};
use tidegate::gateway::ConnId;
use tidegate::stats::Counters;

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    least: u64,
    most: u64,
}

/// What the gateway counts too.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    messages_in: Count,
    messages_out: Count,
    heartbeats: Count,
    probes_answered: Count,
}

impl Count {
    fn add(&mut self, is_certain: bool) {
        self.most += 1;
        self.least += u64::from(is_certain);
    }

    /// Whether it may be this; then it is.
    fn settle(&mut self, theirs: u64) -> bool {
        let right = (self.least..=self.most).contains(&theirs);
        *self = Self { least: theirs, most: theirs };
        right
    }
}

impl Model {
    /// A message came that the handler was told of, or one that was too many.
    pub fn count_message(&mut self) {
        self.tally.messages_in.add(true);
    }

    /// A heartbeat or a ping came, and its answer is owed.
    pub fn count_heartbeat(&mut self, id: ConnId) {
        let is_certain = !self.slow.contains(&id);
        self.tally.messages_in.add(is_certain);
        self.tally.heartbeats.add(is_certain);
        self.tally.messages_out.add(is_certain);
    }

    /// A pong came, or what answers a probe elsewhere.
    pub fn count_answer(&mut self, id: ConnId, to_ours: bool) {
        let is_certain = !self.slow.contains(&id);
        self.tally.messages_in.add(is_certain);
        if to_ours {
            self.tally.probes_answered.add(is_certain);
        }
    }

    /// A message is owed. Who was ended for it may have been ended by what had waited before.
    pub fn count_sent(&mut self, id: ConnId) {
        let is_certain = !self.slow.contains(&id);
        self.tally.messages_out.add(is_certain);
    }

    /// A page is owed, perhaps one that made too much wait.
    pub fn count_page(&mut self, is_certain: bool) {
        self.tally.messages_out.add(is_certain);
    }

    /// What the gateway has counted is what happened. It asks by messages that the model finds later than others.
    pub fn check_tally(&mut self, counters: &Counters) -> Verdict {
        let Tally { messages_in, messages_out, heartbeats, probes_answered } = &mut self.tally;
        let pairs = [
            ("messages in", counters.messages_in, messages_in),
            ("messages out", counters.messages_out - counters.probes_sent, messages_out),
            ("heartbeats answered", counters.heartbeats_answered, heartbeats),
            ("probes answered", counters.probes_answered, probes_answered),
        ];
        for (name, theirs, ours) in pairs {
            let before = *ours;
            if !ours.settle(theirs) {
                return broken("a counter of messages is wrong", None, format!("{name}: {theirs} counted, {before:?}"));
            }
        }
        Ok(())
    }
}
