//! Before the first publication: where no hub says that a receiver is subscribed, its connection may stand in the
//! kernel's queue while the server knows nothing of it. So something is sent that does not count, until all have heard it.

use super::{Fanout, Stamp};
use crate::load::{Lines, Moment, Reach};
use std::time::Duration;

/// How the gathering goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Gathering {
    /// It has not begun.
    #[default]
    Ahead,
    /// Calls are made: the next at this moment, the last at that.
    Calling(Moment, Moment),
    /// All have heard, or have had their time.
    Over,
}

/// Between two calls.
const AGAIN: Duration = Duration::from_millis(100);
/// Who hears nothing for so long is left to be counted as one who loses everything.
const PATIENCE: Duration = Duration::from_secs(5);

impl Gathering {
    pub(super) fn next_at(self) -> Option<Moment> {
        match self {
            Gathering::Calling(at, _) => Some(at),
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
            Gathering::Calling(_, last) if has_heard_all() || now >= last => Gathering::Over,
            Gathering::Calling(at, last) if now < at => Gathering::Calling(at, last),
            Gathering::Calling(_, last) => {
                self.call(reach);
                Gathering::Calling(now + AGAIN, last)
            }
            Gathering::Ahead => {
                self.call(reach);
                Gathering::Calling(now + AGAIN, now + PATIENCE)
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

    /// Something came that is no publication of this run: a call, or somebody else's.
    #[cold]
    pub(super) fn on_foreign(&mut self, receiver: usize, payload: &[u8]) {
        if Stamp::read(payload).is_some_and(|stamp| stamp.run == !self.setting.run) {
            self.ears[receiver].has_heard = true;
        } else {
            self.faults.foreign += 1;
        }
    }
}
