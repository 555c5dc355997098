//! The load generator behind `tidegate bench`: what is sent and when, what has to come back, what was measured.
//!
//! Sans-IO, as all below `net`: a [`Run`] is told what happens to connections by a driver (`net` has it on sockets) and
//! acts on them through [`Lines`]. [`Crowd`] opens connections, a [`Scene`] loads them, [`Record`] keeps what came of it.

mod crowd;
pub mod echo;
mod end;
pub mod fanout;
pub mod hub;
pub mod idle;
mod lines;
mod moment;
mod opening;
mod pace;
mod reader;
mod record;
mod ring;
mod run;
mod sequence;
mod stamp;
pub mod storm;
#[cfg(test)]
mod tests;
pub mod verdict;

pub use crowd::{Crowd, Outcome, Rules, Tally};
pub use end::{End, tame};
pub use lines::{Lines, Play};
pub use moment::Moment;
pub use opening::{Entrance, Opened, Opening, Progress, Ticket};
pub use pace::{Pace, dealt};
pub use reader::{Body, Control, Heard, MAX_MESSAGE_BYTES, Reader};
pub use record::{Errors, Record, SHARES, Second, value_at};
pub use ring::{Ring, Rings};
pub use run::{Part, Phase, Plan, Reach, Run, Scene};
pub use sequence::{Seen, Sequence};
pub use stamp::{STAMP_BYTES, Stamp};
