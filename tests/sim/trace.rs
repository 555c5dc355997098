//! The trace of a run: a number that is equal when a seed runs twice, and lines to read where a run is looked into.

use crate::journal::{Act, Call, Entry, Journal};
use crate::model::show;
use tidegate::gateway::ConnId;

#[derive(Debug, Clone)]
pub struct Trace {
    hash: u64,
    /// With the connection a line is about. `None` where nobody reads them.
    lines: Option<Vec<(Option<ConnId>, String)>>,
    pub entries: u64,
}

impl Trace {
    pub fn new(keeps_lines: bool) -> Self {
        Self { hash: 0xcbf2_9ce4_8422_2325, lines: keeps_lines.then(Vec::new), entries: 0 }
    }

    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// FNV-1a over whole words.
    pub fn mix(&mut self, word: u64) {
        self.hash = (self.hash ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
    }

    pub fn note(&mut self, conn: Option<ConnId>, line: impl FnOnce() -> String) {
        if let Some(lines) = self.lines.as_mut() {
            lines.push((conn, line()));
        }
    }

    pub fn journal(&mut self, journal: &Journal, now: u64) {
        for entry in &journal.entries {
            self.entries += 1;
            let (kind, conn, number) = summary(entry);
            self.mix(now);
            self.mix(kind << 56 ^ number);
            self.mix(conn.map_or(0, ConnId::to_bits));
            if self.lines.is_some() {
                self.note(conn, || format!("{now}     {}", in_words(entry, journal)));
            }
        }
    }

    /// The last lines, about one connection where one is named.
    pub fn tail(&self, about: Option<ConnId>, most: usize) -> Vec<&str> {
        let lines = self.lines.as_deref().unwrap_or_default();
        let chosen = lines.iter().filter(|(conn, _)| about.is_none() || conn.is_none() || *conn == about);
        let chosen: Vec<&str> = chosen.map(|(_, line)| line.as_str()).collect();
        chosen[chosen.len().saturating_sub(most)..].to_vec()
    }
}

/// A number for the kind of entry, the connection, and one more number.
fn summary(entry: &Entry) -> (u64, Option<ConnId>, u64) {
    match entry {
        Entry::Accepted { listener, sock } => (1, None, (*listener as u64) << 32 | *sock as u64),
        Entry::AcceptFailed { kind } => (2, None, *kind as u64),
        Entry::Dropped { sock } => (3, None, *sock as u64),
        Entry::Attached { id, sock } => (4, Some(*id), *sock as u64),
        Entry::AttachFailed { id, kind } => (5, Some(*id), *kind as u64),
        Entry::Read { id, data, .. } => (6, Some(*id), data.len() as u64),
        Entry::ReadEnd { id } => (7, Some(*id), 0),
        Entry::ReadFailed { id, kind } => (8, Some(*id), *kind as u64),
        Entry::Wrote { id, data, offered } => (9, Some(*id), (*offered as u64) << 32 | data.len() as u64),
        Entry::WriteFailed { id, kind } => (10, Some(*id), *kind as u64),
        Entry::Blocked { id, offered } => (35, Some(*id), *offered as u64),
        Entry::ShutDown { id } => (11, Some(*id), 0),
        Entry::Closed { id } => (12, Some(*id), 0),
        Entry::Enter(Call::Opened(id)) => (13, Some(*id), 0),
        Entry::Enter(Call::Message(id, body, _)) => (14, Some(*id), body.len() as u64),
        Entry::Enter(Call::Ended(id, reason)) => (15, Some(*id), reason.index() as u64),
        Entry::Enter(Call::Timer(token)) => (16, None, *token),
        Entry::Enter(Call::Task) => (17, None, 0),
        Entry::Enter(Call::Drained(id)) => (30, Some(*id), 0),
        Entry::Did(Act::Pause { id, .. }) => (31, Some(*id), 0),
        Entry::Did(Act::Resume { id }) => (32, Some(*id), 0),
        Entry::Did(Act::Offer { to, waiting, .. }) => (33, Some(*to), *waiting as u64),
        Entry::Did(Act::Watch { id, .. }) => (34, Some(*id), 0),
        Entry::Did(Act::Send { to, body, .. }) => (18, Some(*to), body.len() as u64),
        Entry::Did(Act::Broadcast { receivers, body, .. }) => (19, None, (receivers.len() << 32 | body.len()) as u64),
        Entry::Did(Act::Close { id, reason, .. }) => (20, Some(*id), reason.index() as u64),
        Entry::Did(Act::Arm { token, .. }) => (21, None, *token),
        Entry::Did(Act::Cancel { token, .. }) => (22, None, *token),
        Entry::Did(Act::Panic) => (23, None, 0),
        Entry::Return => (24, None, 0),
        Entry::Misuse(_, id) => (25, Some(*id), 0),
        Entry::Enter(Call::Request(id, path, body)) => (26, Some(*id), (path.len() << 32 | body.len()) as u64),
        Entry::Enter(Call::Upgrade(id, path)) => (27, Some(*id), path.len() as u64),
        Entry::Did(Act::Answer(response)) => (28, None, u64::from(response.status().code())),
        Entry::Did(Act::Welcome(welcome)) => (29, None, u64::from(welcome.is_ok())),
    }
}

fn in_words(entry: &Entry, journal: &Journal) -> String {
    let bytes = |range: &std::ops::Range<usize>| show(&journal.bytes[range.clone()]);
    match entry {
        Entry::Read { id, data, .. } => format!("read {id:?} {}", bytes(data)),
        Entry::Wrote { id, data, offered } => format!("wrote {id:?} of {offered}: {}", bytes(data)),
        Entry::Enter(Call::Message(id, body, kind)) => format!("  message {id:?} {kind:?} {}", bytes(body)),
        Entry::Enter(Call::Request(id, path, body)) => format!("  request {id:?} {} {}", bytes(path), bytes(body)),
        Entry::Enter(call) => format!("  {call:?}"),
        Entry::Did(Act::Send { to, body, kind, result }) => {
            format!("    sends {to:?} {kind:?} {} {result:?}", bytes(body))
        }
        Entry::Did(Act::Broadcast { except, body, receivers, .. }) => {
            format!("    broadcasts {} to {receivers:?} without {except:?}", bytes(body))
        }
        Entry::Did(act) => format!("    {act:?}"),
        Entry::Return => "  returned".to_owned(),
        other => format!("{other:?}"),
    }
}
