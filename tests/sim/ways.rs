//! Notes which of the gateway's short ways a connection has gone: messages handled at ease, runs shared with others, large
//! messages written at once. It judges nothing: whether they were right shows elsewhere.

use crate::conn::{Conn, Hold};
use crate::incoming::Item;
use crate::journal::Call;
use crate::model::Model;
use crate::seen::Situation;
use tidegate::gateway::ConnId;
use tidegate::wire::Wire;

/// What a connection is owed together with others, and nothing else before it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Shared {
    messages: usize,
    bytes: isize,
    /// Of a run the first bytes have left, and the others wait.
    is_cut: bool,
}

impl Conn {
    /// Whether nothing of it has to be looked at but that its messages lie whole in what is read next.
    pub fn is_easy(&self) -> bool {
        let awaited = self.awaits_answer && self.incoming.wire != Some(Wire::WebSocket);
        let limited = self.messages.is_some() || self.bytes.is_some();
        let agreed = self.visit.as_ref().is_some_and(|visit| visit.compression.is_agreed());
        let is_open = self.takes_messages() && self.first_done && self.hold == Hold::None;
        is_open && self.out.pending == 0 && !self.incoming.is_begun() && !awaited && !limited && !agreed
    }

    /// A read brought something; `was_easy` before it.
    pub fn note_ease(&mut self, was_easy: bool) {
        self.at_ease = was_easy && self.due.iter().filter(|item| matches!(item, Item::Message(..))).count() > 1;
    }
}

impl Model {
    /// The handler of a message decides something about the connection it came from, which ends its ease.
    pub fn note_end_of_ease(&mut self, id: ConnId, situation: Situation) {
        let is_own = matches!(self.inside, Some(Call::Message(own, ..)) if own == id);
        let ends =
            is_own && self.conn(id).is_some_and(|conn| !conn.due.is_empty() && std::mem::take(&mut conn.at_ease));
        self.seen.hit_if(ends, situation);
    }

    /// Everybody of these is owed one message more, and was owed `before` each.
    pub fn note_shared(&mut self, receivers: &[ConnId], before: &[isize]) {
        let serving = self.serving;
        for (id, before) in receivers.iter().zip(before) {
            if let Some(conn) = self.conn(*id) {
                let alone = *before == conn.shared.bytes && !conn.shared.is_cut && serving != Some(*id);
                let messages = if alone { conn.shared.messages + 1 } else { 0 };
                let bytes = if alone { conn.out.pending } else { 0 };
                conn.shared = Shared { messages, bytes, ..conn.shared };
            }
        }
        self.note_walk();
        self.walk.clear();
        self.walkers = receivers.len();
    }

    /// How much each of these is owed.
    pub fn owed_to(&mut self, receivers: &[ConnId]) -> Vec<isize> {
        receivers.iter().map(|id| self.conn(*id).map_or(0, |conn| conn.out.pending)).collect()
    }

    /// A write took `taken` of `offered` bytes, before that is known of what is owed.
    pub fn note_write(&mut self, id: ConnId, offered: usize, taken: usize) {
        let (seen, partial) = (self.seen.clone(), taken < offered);
        let is_direct = matches!(self.inside, Some(Call::Message(own, ..)) if own == id);
        let Some(conn) = self.conn(id) else {
            return;
        };
        let all = conn.out.pending == offered as isize;
        seen.hit_if(is_direct, Situation::Direct);
        seen.hit_if(is_direct && partial && taken > 0, Situation::DirectCut);
        seen.hit_if(is_direct && taken == 0, Situation::DirectBlocked);
        seen.hit_if(is_direct && all && conn.out.frames_owed() > 1, Situation::DirectBehind);
        let Shared { messages, bytes, .. } = conn.shared;
        let is_run = messages > 0 && all && bytes == offered as isize;
        seen.hit_if(is_run && messages > 1 && !partial, Situation::RunSent);
        seen.hit_if(is_run && messages > 1 && partial && taken > 0, Situation::RunCut);
        seen.hit_if(is_run && taken == 0, Situation::RunBlocked);
        seen.hit_if(messages > 0 && conn.out.pending > bytes, Situation::RunThenOther);
        let is_cut = (conn.shared.is_cut || (is_run && taken > 0)) && conn.out.pending > taken as isize;
        conn.shared = Shared { is_cut, ..Shared::default() };
        if self.walk.last() != Some(&id.slot()) {
            self.walk.push(id.slot());
        }
    }

    /// What a connection is owed is dropped, but for what has begun to leave.
    pub fn note_dropped(&mut self, id: ConnId) {
        let cut = self.conn(id).is_some_and(|conn| std::mem::take(&mut conn.shared).is_cut);
        self.seen.hit_if(cut, Situation::RunCutThenSlow);
    }

    /// In which order those were written to who were sent the last broadcast.
    fn note_walk(&mut self) {
        let enough = self.walkers > 2 && self.walk.len() == self.walkers;
        self.seen.hit_if(enough && self.walk.is_sorted(), Situation::WalkedThere);
        self.seen.hit_if(enough && self.walk.is_sorted_by(|a, b| a > b), Situation::WalkedBack);
    }
}
