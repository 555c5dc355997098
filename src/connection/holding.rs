//! Why a connection is neither read from nor served: its handler has paused it, or owes it an answer.

#[cfg(feature = "websocket")]
use super::machine::Expects;
use super::machine::{Connection, Phase};
#[cfg(feature = "websocket")]
use crate::timer::Time;

/// The reasons that hold a connection, together; none where it goes on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Hold(u8);

/// The handler said so.
const PAUSED: u8 = 1;
/// An HTTP request waits for its answer.
#[cfg(feature = "websocket")]
const UNANSWERED: u8 = 2;
/// It was let go and stands on a list: what it had sent before comes first.
const RELEASED: u8 = 4;

impl Connection {
    /// Whether nothing of it is to be handled or read.
    #[inline]
    pub fn is_held(&self) -> bool {
        self.hold.0 != 0
    }

    /// Holds it until [`Connection::resume`]. Does nothing before messages or requests can come, and after its end.
    pub fn pause(&mut self) {
        if self.is_live() && !matches!(self.phase, Phase::Detecting { .. }) {
            self.hold.0 |= PAUSED;
        }
    }

    /// Ends a pause; whether it is to be put on the list of those that go on.
    pub fn resume(&mut self) -> bool {
        self.release(PAUSED)
    }

    /// Takes it off the list of those that go on; whether it does.
    pub fn take_released(&mut self) -> bool {
        let released = self.hold.0 == RELEASED;
        self.hold.0 &= !RELEASED;
        released
    }

    fn release(&mut self, reason: u8) -> bool {
        let was_held = self.hold.0 & reason != 0;
        self.hold.0 &= !reason;
        let goes_on = was_held && self.hold.0 == 0;
        if goes_on {
            self.hold.0 = RELEASED;
        }
        goes_on
    }
}

#[cfg(feature = "websocket")]
impl Connection {
    /// A request goes to the handler, whose answer ends this.
    pub fn await_answer(&mut self, head_only: bool, close: bool) {
        if let Phase::Http { .. } = self.phase {
            let expects = Expects::Nothing { head_only, close };
            self.phase = Phase::Http { give_up_at: Time::MAX, expects };
        }
    }

    /// The handler will answer later: until then nothing else is handled.
    pub fn hold_for_answer(&mut self) {
        if self.awaited_answer().is_some() {
            self.hold.0 |= UNANSWERED;
        }
    }

    /// How the request that waits for its answer is to be answered: with a head alone, and as the last one.
    pub fn awaited_answer(&self) -> Option<(bool, bool)> {
        match self.phase {
            Phase::Http { expects: Expects::Nothing { head_only, close }, .. } => Some((head_only, close)),
            _ => None,
        }
    }

    /// The answer has to come by then, and is the last one.
    pub fn limit_answer(&mut self, until: Time) {
        if let Some((head_only, _)) = self.awaited_answer() {
            let expects = Expects::Nothing { head_only, close: true };
            self.phase = Phase::Http { give_up_at: until, expects };
        }
    }

    /// Ends the wait for an answer; whether it is to be put on the list of those that go on.
    pub fn release_answered(&mut self) -> bool {
        self.release(UNANSWERED)
    }
}
