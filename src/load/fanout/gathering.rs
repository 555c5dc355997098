//! Before the first publication: where no hub says that a receiver is subscribed, its connection may stand in the
//! kernel's queue while the server knows nothing of it. So something is sent that does not count, until all have heard it.

use super::{Fanout, Stamp};
use crate::load::{Lines, Moment, Reach};
use crate::wire::{Message, Wire};
use std::time::Duration;

/// How the gathering goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Gathering {
    /// It has not begun.
    #[default]
    Ahead,
    /// Calls are made: the next at this moment, the last at that; and whether receivers speak first at the next.
    Calling(Moment, Moment, bool),
    /// All have heard, or have had their time.
    Over,
}

/// Between two calls.
const AGAIN: Duration = Duration::from_millis(100);
/// Who hears nothing for so long is left to be counted as one who loses everything.
const PATIENCE: Duration = Duration::from_secs(5);
/// A listener that tells wires apart by their first bytes sends nothing to who says nothing. So who has heard nothing for
/// this long says something, which gateways take for a heartbeat.
const SHY: Duration = Duration::from_secs(1);
const SOMETHING: &[u8] = b"ping";
const ITS_ANSWER: &[u8] = b"pong";

impl Gathering {
    pub(super) fn next_at(self) -> Option<Moment> {
        match self {
            Gathering::Calling(at, ..) => Some(at),
            Gathering::Ahead | Gathering::Over => None,
        }
    }
}

impl Fanout {
    /// Calls all receivers, if it is time to; whether all have heard.
    pub(super) fn gather<L: Lines>(&mut self, reach: &mut Reach<'_, L>) -> bool {
        let now = reach.now;
        let has_heard_all = || self.ears.iter().all(|ear| ear.has_heard || !ear.is_open());
        self.gathering = match self.gathering {
            Gathering::Over => Gathering::Over,
            _ if !self.setting.channels.is_empty() || self.voices_open == 0 => Gathering::Over,
            Gathering::Calling(_, last, _) if has_heard_all() || now >= last => Gathering::Over,
            Gathering::Calling(at, last, speaks) if now < at => Gathering::Calling(at, last, speaks),
            Gathering::Calling(_, last, speaks) => {
                let is_time = speaks && last - now < PATIENCE - SHY;
                if is_time {
                    self.speak(reach);
                }
                self.call(reach);
                Gathering::Calling(now + AGAIN, last, speaks && !is_time)
            }
            Gathering::Ahead => {
                self.call(reach);
                Gathering::Calling(now + AGAIN, now + PATIENCE, true)
            }
        };
        self.gathering == Gathering::Over
    }

    fn call<L: Lines>(&mut self, reach: &mut Reach<'_, L>) {
        let stamp = Stamp { run: !self.setting.run, stream: 0, number: 0, at: reach.now };
        let wire = reach.crowd.entrance(0).wire;
        self.voices[0].say(&self.setting, 0, &stamp, wire, &mut reach.crowd.jitter);
        self.voices[0].send(0, reach.lines);
    }

    /// Lets those who have heard nothing say something, on wires where that is harmless.
    fn speak<L: Lines>(&mut self, reach: &mut Reach<'_, L>) {
        for (receiver, ear) in self.ears.iter().enumerate() {
            let line = self.voices.len() + receiver;
            let wire = reach.crowd.entrance(line).wire;
            if ear.is_open() && !ear.has_heard && matches!(wire, Wire::Length | Wire::Line) {
                reach.crowd.out.clear();
                wire.encode(Message::from(SOMETHING), &mut reach.crowd.out);
                reach.lines.send_copy(line, &reach.crowd.out);
            }
        }
    }

    /// Something came that is no publication of this run: a call, or somebody else's.
    #[cold]
    pub(super) fn on_foreign(&mut self, receiver: usize, payload: &[u8]) {
        if Stamp::read(payload).is_some_and(|stamp| stamp.run == !self.setting.run) {
            self.ears[receiver].has_heard = true;
        } else if payload != ITS_ANSWER {
            self.faults.foreign += 1;
        }
    }
}
