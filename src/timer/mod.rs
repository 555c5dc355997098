//! Time as this crate counts it, the wheel that holds every deadline, and the jitter that keeps deadlines apart.
//!
//! Nothing here reads a clock: the driver does, once a turn, and hands the result down as a [`Time`].

mod jitter;
mod time;
mod wheel;

pub use jitter::Jitter;
pub use time::Time;
pub(crate) use time::earliest;
pub use wheel::{MOVES_PER_POLL, Polled, TICK_MILLIS, Wheel};
